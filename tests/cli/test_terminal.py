"""Output that a terminal or pipe cannot encode: plain signs, never a traceback, in every verb."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from command import DFC, ENV
from support import encode_source, moving, write_video

ENCODINGS = ["cp1252", "latin-1", "ascii", "utf-8"]
VERBS = ["encode", "decode", "inspect", "verify", "trim", "recover", "generate", "train", "models"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    made = []
    for name in ("one.dfc", "Ünïcode → 2.dfc"):
        (folder / name).write_bytes(encode_source(write_video(folder / "in.mp4", moving(3))))
        made.append(folder / name)
    return made


def run(encoding: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    env = {**ENV, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    return subprocess.run([*DFC, *map(str, arguments)], capture_output=True, env=env)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_inspect_says_all_of_it(encoding: str, files: list[Path]) -> None:
    for given in (files[:1], files):
        done = run(encoding, "inspect", *given)
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
        text = done.stdout.decode(encoding)
        assert ("64×48" if encoding != "ascii" else "64x48") in text
    done = run(encoding, "inspect", files[0])
    assert ("█" if encoding == "utf-8" else "###") in done.stdout.decode(encoding)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize("verb", VERBS)
def test_help_is_shown(verb: str, encoding: str) -> None:
    done = run(encoding, verb, "--help")
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert len(done.stdout.decode(encoding)) > 200


def test_json_is_the_same_in_every_encoding(files: list[Path]) -> None:
    read = [json.loads(run(encoding, "inspect", "--json", *files).stdout) for encoding in ENCODINGS]
    assert all(record == read[0] for record in read)
    assert read[0][0]["input"] == str(files[0])


def test_errors_and_notes_are_shown(files: list[Path], tmp_path: Path) -> None:
    done = run("ascii", "verify", tmp_path / "Ünïcode.dfc")
    assert (done.returncode, done.stderr.count(b"\n")) == (3, 1)
