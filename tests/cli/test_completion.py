"""Shell completion: what is offered, and that asking for it stays quick."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dfccodec.cli.main import VERBS

START = [sys.executable, "-c", "import sys; sys.argv = ['dfc']; from dfccodec.cli.main import run; run()"]


def complete(typed: str, shell: str = "bash") -> subprocess.CompletedProcess[str]:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)}
    words |= {"_TYPER_COMPLETE_ARGS": typed, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    env = {**os.environ, "_DFC_COMPLETE": f"complete_{shell}", **words}
    return subprocess.run([*START], capture_output=True, text=True, env=env, check=False)


def test_verbs_and_options_are_offered() -> None:
    assert set(complete("dfc ").stdout.split()) == set(VERBS)
    assert complete("dfc enc").stdout.split() == ["encode"]
    assert {"--json", "--clips"} <= set(complete("dfc inspect --").stdout.split())
    assert complete("dfc models p").stdout.split() == ["pull"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_answered(shell: str) -> None:
    assert "--conceal" in complete("dfc decode --co", shell).stdout


def test_the_scripts_name_the_program() -> None:
    for shell in ("bash", "zsh", "fish"):
        env = {**os.environ, "_DFC_COMPLETE": f"source_{shell}"}
        done = subprocess.run([*START], capture_output=True, text=True, env=env, check=False)
        assert "complete_" + shell in done.stdout


def test_completion_imports_the_verb_typed_and_no_torch() -> None:
    env = {**os.environ, "_DFC_COMPLETE": "complete_bash", "COMP_WORDS": "dfc inspect --", "COMP_CWORD": "2"}
    # Not -X importtime: it does not see what importlib.import_module brings in.
    seen = "import atexit, sys; atexit.register(lambda: sys.stderr.write(' '.join(sys.modules))); " + START[2]
    done = subprocess.run([*START[:2], seen], capture_output=True, text=True, env=env, check=False)
    imported = set(done.stderr.split())
    assert "dfccodec.cli.inspect" in imported
    assert not imported & {"dfccodec.cli.encode", "torch", "av"}
