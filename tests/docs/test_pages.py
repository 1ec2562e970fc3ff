"""The pages of docs/verbs: made from the command line as it is, complete, and every command on them run."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import DATA

from dfccodec.cli.main import VERBS, main
from dfccodec.codec.clip import refine

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in (DOCS / "verbs").glob("*.md") if path.name != "README.md")


def test_the_pages_are_those_of_the_command_line(tmp_path: Path) -> None:
    script = [sys.executable, str(DOCS / "make_pages.py"), "--out", str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(script, check=True, env=env)
    stale = [
        str(made.relative_to(tmp_path))
        for made in sorted(tmp_path.rglob("*"))
        if made.is_file() and made.read_bytes() != (DOCS / made.relative_to(tmp_path)).read_bytes()
    ]
    assert stale == [], "run python docs/make_pages.py"


def test_every_verb_has_its_page_and_is_in_the_manual() -> None:
    assert {path.stem for path in PAGES} == set(VERBS)
    manual = (DOCS / "man" / "dfc.1").read_text(encoding="utf-8")
    listed = (DOCS / "verbs" / "README.md").read_text(encoding="utf-8")
    for verb in VERBS:
        assert f".SS dfc {verb}" in manual
        assert f"[{verb}]({verb}.md)" in listed
        assert f"<!-- options: {verb} -->" in (DOCS / "verbs" / f"{verb}.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not shutil.which("man"), reason="man is not installed")
def test_the_manual_is_good_roff() -> None:
    shown = subprocess.run(
        ["man", "--warnings", "-l", str(DOCS / "man" / "dfc.1")],
        capture_output=True, text=True, check=False, env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    if "minimized" in shown.stdout + shown.stderr:
        pytest.skip("this system has no manual pages")
    assert shown.returncode == 0
    assert shown.stderr == ""
    assert "dfc encode" in shown.stdout


def commands(page: Path) -> list[tuple[str, int]]:
    """The commands of a page in order, and the exit code each says it has."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, flags=re.S) for line in block.splitlines()]
    out = []
    for line in lines:
        command, _, note = line.partition(" #")
        code = re.match(r" exit (\d+): \S", note)
        out.append((command.strip(), int(code[1]) if code else 0))
    return out


def run(command: str) -> tuple[int, str]:
    """Exit code and standard error: of a shell where the command needs one, else of the verb, which starts quicker."""
    if command.startswith("dfc ") and not set(command) & set("<>|*$"):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
            return main(shlex.split(command)[1:]), said.getvalue()
    shell = f'dfc() {{ "{sys.executable}" -m dfccodec "$@"; }}\n{command}'
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", shell], env=env, capture_output=True, timeout=120, check=False)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_command_does_what_its_page_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = commands(page)
    assert found
    (tmp_path / "more").mkdir()
    for name in ("flower.mp4", "more/flower.mp4", "flower.mov"):
        shutil.copy(DATA / "flower_96x64.mp4", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(refine, "DEFAULT_ITERATIONS", 0)  # as good a command, in a fraction of the time
    for name, value in {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub"), "OMP_NUM_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    for command, code in found:
        done, said = run(command)
        assert done == code, (command, said)
        assert "Traceback" not in said, command
    written = [line.split(" -o ")[1].split()[0] for line, code in found if " -o " in line and code == 0]
    # Of a series of pictures the folder is there.
    assert all((tmp_path / name.partition("%")[0]).stat().st_size for name in written if name != "-")
