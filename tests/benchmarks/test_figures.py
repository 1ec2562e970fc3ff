"""The figures of the pages agree with benchmarks/results/ and name other weights."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import clips
from benchmarks.report import results
from benchmarks.report import update_docs as pages


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_pages_agree_with_the_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    stated = re.findall(r"<!-- figures: (\w+) -->\n\n(.*?)\n\n<!-- end -->", text, flags=re.DOTALL)
    assert stated
    for name, figures in stated:
        assert figures == pages.block(name), "run python -m benchmarks.report.update_docs"


def test_figures_of_other_weights_have_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clips, "RESULTS", tmp_path)
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    row = {"fill": "token", "kept": 6, "choice": "even", "mse": 0.01, "psnr": 20.0, "bytes": 1000}
    clips.write_json("selection", {"rows": [row]})
    assert clips.read_json("selection")["rows"] == [row]
    assert "earlier" not in pages.block("selection")
    path = tmp_path / "selection.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "coding": "range"}))
    assert clips.read_json("selection") == {}
    assert "Measured with `--coding range`, an earlier default" in pages.block("selection")
    clips.write_json("selection", {"rows": [row]})
    path.write_text(json.dumps({**json.loads(path.read_text()), "weights": "0123456789abcdef"}))
    assert clips.read_json("selection") == {}
    assert pages.block("selection").endswith("Measured with earlier weights (0123456789abcdef).")
