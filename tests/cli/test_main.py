"""Environment variables that `dfc` sets before it runs a command."""

import os

import pytest

from dfccodec.cli import main as main_module


def test_openmp_spinning_is_limited_unless_the_environment_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "7")
        main_module.limit_openmp_spin()
        assert os.environ["GOMP_SPINCOUNT" if name[0] == "G" else name] == "7"
        monkeypatch.delenv(name)
        assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.setenv("GOMP_SPINCOUNT", "")  # so that monkeypatch restores it afterwards
    monkeypatch.delenv("GOMP_SPINCOUNT")
    main_module.limit_openmp_spin()
    assert os.environ["GOMP_SPINCOUNT"] == str(main_module.GOMP_SPINCOUNT)
