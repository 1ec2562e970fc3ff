"""docs/latents.md, metrics.md, many.md, install.md: every command and block of Python on them works, in order."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from support import DATA
from test_pages import DOCS, run

from dfccodec.codec.clip import refine


@pytest.mark.parametrize("page", ["latents", "metrics", "many", "install"])
def test_every_block_of_a_page_works(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "more").mkdir()
    for name in ("flower.mp4", "more/flower.mp4"):
        shutil.copy(DATA / "flower_96x64.mp4", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(refine, "DEFAULT_ITERATIONS", 0)  # the same commands, but faster
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.S | re.M)
    assert blocks
    names: dict[str, object] = {}
    for language, text in blocks:
        if language == "python":
            exec(compile(text, f"{page}.md", "exec"), names)
            continue
        for line in text.splitlines():
            code, stderr = run(line)
            assert code == 0, (line, stderr)
