"""`python -m dfccodec.cli` is `dfc`: what `torchrun` starts."""

from dfccodec.cli.main import run

run()
