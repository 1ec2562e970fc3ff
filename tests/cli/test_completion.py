"""Shell completion: the suggestions, and few imports so that it stays fast."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dfccodec.cli.main import VERBS

DFC_COMMAND = [sys.executable, "-c", "import sys; sys.argv = ['dfc']; from dfccodec.cli.main import run; run()"]


def complete(command_line: str, shell: str = "bash") -> subprocess.CompletedProcess[str]:
    words = {"COMP_WORDS": command_line, "COMP_CWORD": str(len(command_line.split(" ")) - 1)}
    words |= {"_TYPER_COMPLETE_ARGS": command_line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    env = {**os.environ, "_DFC_COMPLETE": f"complete_{shell}", **words}
    return subprocess.run([*DFC_COMMAND], capture_output=True, text=True, env=env, check=False)


def test_commands_and_options_are_completed() -> None:
    assert set(complete("dfc ").stdout.split()) == set(VERBS)
    assert complete("dfc enc").stdout.split() == ["encode"]
    assert {"--json", "--clips"} <= set(complete("dfc inspect --").stdout.split())
    assert complete("dfc models pul").stdout.split() == ["pull"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_works_in_zsh_and_fish(shell: str) -> None:
    assert "--conceal" in complete("dfc decode --co", shell).stdout


def test_completion_scripts_call_dfc() -> None:
    for shell in ("bash", "zsh", "fish"):
        env = {**os.environ, "_DFC_COMPLETE": f"source_{shell}"}
        result = subprocess.run([*DFC_COMMAND], capture_output=True, text=True, env=env, check=False)
        assert "complete_" + shell in result.stdout


def test_completion_imports_only_the_typed_command() -> None:
    env = {**os.environ, "_DFC_COMPLETE": "complete_bash", "COMP_WORDS": "dfc inspect --", "COMP_CWORD": "2"}
    # -X importtime does not list modules that importlib.import_module imports.
    script = "import atexit, sys; atexit.register(lambda: sys.stderr.write(' '.join(sys.modules))); " + DFC_COMMAND[2]
    result = subprocess.run([*DFC_COMMAND[:2], script], capture_output=True, text=True, env=env, check=False)
    imported = set(result.stderr.split())
    assert "dfccodec.cli.inspect" in imported
    assert not imported & {"dfccodec.cli.encode", "torch", "av"}
