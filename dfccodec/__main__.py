"""`python -m dfccodec` is `dfc`."""

from dfccodec.cli.main import run

run()
