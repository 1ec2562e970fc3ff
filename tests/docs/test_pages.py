"""docs/verbs: the pages are complete and up to date, and every command on them works."""

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


def test_generated_pages_are_up_to_date(tmp_path: Path) -> None:
    script = [sys.executable, str(DOCS / "make_pages.py"), "--out", str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(script, check=True, env=env)
    stale = [
        str(generated.relative_to(tmp_path))
        for generated in sorted(tmp_path.rglob("*"))
        if generated.is_file() and generated.read_bytes() != (DOCS / generated.relative_to(tmp_path)).read_bytes()
    ]
    assert stale == [], "run python docs/make_pages.py"


def test_every_verb_has_a_page_and_a_manual_section() -> None:
    assert {path.stem for path in PAGES} == set(VERBS)
    manual = (DOCS / "man" / "dfc.1").read_text(encoding="utf-8")
    listed = (DOCS / "verbs" / "README.md").read_text(encoding="utf-8")
    for verb in VERBS:
        assert f".SS dfc {verb}" in manual
        assert f"[{verb}]({verb}.md)" in listed
        assert f"<!-- options: {verb} -->" in (DOCS / "verbs" / f"{verb}.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not shutil.which("man"), reason="man is not installed")
def test_the_manual_is_valid_roff() -> None:
    result = subprocess.run(
        ["man", "--warnings", "-l", str(DOCS / "man" / "dfc.1")],
        capture_output=True, text=True, check=False, env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    if "minimized" in result.stdout + result.stderr:
        pytest.skip("this system has no manual pages")
    assert result.returncode == 0
    assert result.stderr == ""
    assert "dfc encode" in result.stdout


def commands(page: Path) -> list[tuple[str, int]]:
    """Return the commands of a page in order, each with its documented exit code."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, flags=re.S) for line in block.splitlines()]
    out = []
    for line in lines:
        command, _, note = line.partition(" #")
        code = re.match(r" exit (\d+): \S", note)
        out.append((command.strip(), int(code[1]) if code else 0))
    return out


def run(command: str) -> tuple[int, str]:
    """Return exit code and standard error. A command without shell syntax runs in this process, which is faster."""
    if command.startswith("dfc ") and not set(command) & set("<>|*$"):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as stderr:
            return main(shlex.split(command)[1:]), stderr.getvalue()
    shell = f'dfc() {{ "{sys.executable}" -m dfccodec "$@"; }}\n{command}'
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(["bash", "-c", shell], env=env, capture_output=True, timeout=120, check=False)
    return result.returncode, result.stderr.decode()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_command_exits_as_its_page_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = commands(page)
    assert listed
    (tmp_path / "more").mkdir()
    for name in ("flower.mp4", "more/flower.mp4", "flower.mov"):
        shutil.copy(DATA / "flower_96x64.mp4", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(refine, "DEFAULT_ITERATIONS", 0)  # the same commands, but faster
    for name, value in {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub"), "OMP_NUM_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    for command, code in listed:
        exit_code, stderr = run(command)
        assert exit_code == code, (command, stderr)
        assert "Traceback" not in stderr, command
    outputs = [line.split(" -o ")[1].split()[0] for line, code in listed if " -o " in line and code == 0]
    # The output of an image sequence is checked by its folder.
    assert all((tmp_path / name.partition("%")[0]).stat().st_size for name in outputs if name != "-")
