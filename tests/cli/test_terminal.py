"""Terminals and pipes with a limited encoding: replacement characters, and never a traceback."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from command import DFC, ENV
from support import encode_source, moving_square, write_video

ENCODINGS = ["cp1252", "latin-1", "ascii", "utf-8"]
VERBS = ["encode", "decode", "inspect", "verify", "trim", "recover", "generate", "train", "models"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    paths = []
    for name in ("one.dfc", "Ünïcode → 2.dfc"):
        (folder / name).write_bytes(encode_source(write_video(folder / "in.mp4", moving_square(3))))
        paths.append(folder / name)
    return paths


def run(encoding: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    env = {**ENV, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    return subprocess.run([*DFC, *map(str, arguments)], capture_output=True, env=env)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_inspect_replaces_unsupported_characters(encoding: str, files: list[Path]) -> None:
    for inputs in (files[:1], files):
        result = run(encoding, "inspect", *inputs)
        assert (result.returncode, b"Traceback" in result.stderr) == (0, False)
        text = result.stdout.decode(encoding)
        assert ("64×48" if encoding != "ascii" else "64x48") in text
    result = run(encoding, "inspect", files[0])
    assert ("█" if encoding == "utf-8" else "###") in result.stdout.decode(encoding)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize("verb", VERBS)
def test_help_works_in_every_encoding(verb: str, encoding: str) -> None:
    result = run(encoding, verb, "--help")
    assert (result.returncode, b"Traceback" in result.stderr) == (0, False)
    assert len(result.stdout.decode(encoding)) > 200


def test_json_is_the_same_in_every_encoding(files: list[Path]) -> None:
    records = [json.loads(run(encoding, "inspect", "--json", *files).stdout) for encoding in ENCODINGS]
    assert all(record == records[0] for record in records)
    assert records[0][0]["input"] == str(files[0])


def test_errors_work_in_ascii(files: list[Path], tmp_path: Path) -> None:
    result = run("ascii", "verify", tmp_path / "Ünïcode.dfc")
    assert (result.returncode, result.stderr.count(b"\n")) == (3, 1)
