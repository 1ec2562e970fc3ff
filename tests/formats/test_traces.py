"""The traces of SPEC.md 15.4, and its worked fingerprint."""

from __future__ import annotations

import json
import re

import make_traces
import pytest
import torch
from vectors import FORMATS, SPEC, VECTORS

from dfccodec.models.weights import fingerprint

FOLDER = FORMATS / "traces"


@pytest.mark.parametrize("name", sorted(make_traces.traces()))
def test_the_traces_are_those_of_the_reader(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == make_traces.traces()[name]
    assert f"[`formats/traces/{name}`](formats/traces/{name})" in SPEC


def test_there_is_no_other_trace() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(make_traces.traces())


@pytest.mark.parametrize("name", ["range", "inter", "motion", "mixing"])
def test_a_trace_ends_with_the_hashes_of_its_vector(name: str) -> None:
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    (clip,) = json.loads((VECTORS / f"valid/{name}-trace.json").read_text(encoding="utf-8"))["clips"]
    for key, value in re.findall(r"^(\w+_sha256) (\w+)$", text, flags=re.M):
        assert clip[key] == value
    assert "end: state 1000000, 0 words left" in text


def test_the_traces_show_what_the_specification_says() -> None:
    texts = {name: (FOLDER / f"{name}.txt").read_text(encoding="utf-8") for name in ("range", "inter", "motion")}
    assert {"levels", "integers"} == set(re.findall(r" of (\w+)$", texts["range"], flags=re.M))
    assert re.search(r"bypass\(4\) .*\n  bypass\(3\)", texts["range"])  # an escape
    assert "(shift 4)" in texts["range"]
    assert "vector choices" in texts["inter"]
    assert {"mode ranks", "vector choices", "vector differences"} == set(
        re.findall(r"pass \d+: \d+ of (.*)$", texts["motion"], flags=re.M)
    )


def test_the_trace_of_context_mixing_shows_every_kind_of_decision() -> None:
    text = (FOLDER / "mixing.txt").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^content (\d), ", text, flags=re.M)) == ["0", "1", "2", "3"]
    decisions = re.findall(r"^  (\w.*): ([a-z ]+?)(?:, node \d+)? +A .* decision [01]$", text, flags=re.M)
    assert {"depth", "length", "top bit", "sign", "mode", "choice"} == {what for _, what in decisions}
    assert {"past down", "future right"} <= {" ".join(place.split()[2:]) for place, _ in decisions}
    assert re.search(r"linear prediction -?[1-9]\d* / 256, guess [1-9]", text)
    assert {"0", "1", "2", "3"} == set(re.findall(r": mode (\d)", text))
    assert {"0", "2", "5"} <= set(re.findall(r": choice (\d)", text))
    assert "bypass(2)" in text
    assert len(text.splitlines()) < 600
    assert max(map(len, text.splitlines())) <= 150


def test_the_worked_fingerprint_is_that_of_dfccodec() -> None:
    tensors = {"b.weight": torch.tensor([[1.0], [-0.5]]), "b": torch.tensor([1, -1, 127], dtype=torch.int8)}
    text = (FOLDER / "fingerprint.txt").read_text(encoding="utf-8")
    assert text.rstrip().endswith(fingerprint(tensors).hex())
