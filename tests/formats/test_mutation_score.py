"""The mutation score of the independent reader; `python formats/mutation_score.py` computes it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import mutation_score
import pytest


@pytest.fixture(autouse=True)
def _modules() -> Iterator[None]:
    """The script replaces the modules of the reader."""
    saved = {name: sys.modules.get(name) for name in mutation_score.MODULES}
    yield
    for name, module in saved.items():
        if module is not None:
            sys.modules[name] = module


def test_every_explanation_is_of_a_mutant() -> None:
    keys = {mutant.key for module in mutation_score.MODULES for mutant in mutation_score.mutants(module)}
    assert len(keys) > 2000
    explained = json.loads(mutation_score.EXPLAINED.read_text(encoding="utf-8"))
    assert [key for key in explained if key not in keys] == []


@pytest.mark.parametrize(
    ("before", "after", "survives"),
    [
        ("if self.x < 1 << 32 and self.words:", "if self.x < 1 << 31 and self.words:", False),
        ("self.x = self.words.pop()", "pass", False),
        ("if self.x < 1 << 32 and self.words:", "if self.x <= 1 << 32 and self.words:", True),
    ],
)
def test_vectors_kill_a_mutant(before: str, after: str, survives: bool) -> None:
    (mutant,) = (m for m in mutation_score.mutants("read_range") if (m.before, m.after) == (before, after))
    names = ["valid/range-frames", "faulty/range-end-state", "damaged/payload"]
    assert mutation_score.survives(mutant, mutation_score.all_vectors(), names, 20) == survives
