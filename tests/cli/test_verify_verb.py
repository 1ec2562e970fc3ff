"""`dfc verify --json`: every fault with its offset, according to the schema."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import jsonschema
import pytest
from support import flat_model, moving_square, write_av

import dfccodec as dfc
from dfccodec.cli.main import main
from dfccodec.container.chunks import pack_chunk
from dfccodec.container.pack import pack_clip, pack_stream
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import StreamInfo
from dfccodec.container.writer import Writer

SCHEMA = json.loads((Path(dfc.__file__).parent / "cli" / "verify.schema.json").read_text())


def verify_json(
    data: bytes, path: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, object], list[int]]:
    """Write and verify a file; return exit code, JSON record and fault offsets."""
    (path / "a.dfc").write_bytes(data)
    code = main(["verify", str(path / "a.dfc"), "--json"])
    record = json.loads(capsys.readouterr().out)
    jsonschema.validate(record, SCHEMA)
    assert record["valid"] is (code == 0)
    return code, record, [fault["offset"] for fault in record["faults"]]


@pytest.fixture
def intact() -> bytes:
    out = io.BytesIO()
    dfc.encode(moving_square(150, 16, 32), out, model=flat_model(), budget="4", fill="token", coding="zstd")
    return out.getvalue()


def read_clips(data: bytes) -> list[ClipAt]:
    return [i for i in StreamReader(io.BytesIO(data)) if isinstance(i, ClipAt)]


def test_an_intact_file_has_no_faults(intact: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, record, offsets = verify_json(intact, tmp_path, capsys)
    assert (code, offsets, record["frames"]) == (0, [], 150)


def test_every_fault_has_its_offset_and_size(intact: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = read_clips(intact)
    damaged = bytearray(intact)
    damaged[at[1].offset + 30] ^= 1
    damaged[at[3].offset + 30] ^= 1
    damaged[-6] ^= 1
    code, record, offsets = verify_json(bytes(damaged), tmp_path, capsys)
    assert code == 4
    assert offsets == [at[1].offset, at[3].offset, len(intact) - 20, len(intact)]
    assert [f["bytes"] for f in record["faults"]] == [at[1].size, at[3].size, 20, 0]  # type: ignore[attr-defined]
    assert (record["clips"], record["frames"]) == (3, 32 + 32 + 22)


def test_frame_numbers_are_checked_after_a_fault(
    intact: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = read_clips(intact)
    misnumbered = [dataclasses.replace(at[n].clip, first_frame=first) for n, first in ((2, 64), (3, 999))]
    body = b"".join(pack_chunk(b"CLIP", pack_clip(clip)) for clip in misnumbered)
    damaged = intact[: at[1].offset] + b"\0" * at[1].size + body + intact[at[4].offset :]
    _, record, offsets = verify_json(damaged, tmp_path, capsys)
    assert offsets == [at[1].offset, at[3].offset, at[4].offset]
    reasons = [f["reason"] for f in record["faults"]]  # type: ignore[attr-defined]
    assert "clip begins at frame 999, 96 expected" in reasons[1]
    assert "clip begins at frame 128, 1031 expected" in reasons[2]


def test_faults_of_streams_and_the_index_have_offsets(
    intact: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write_av(tmp_path / "in.mkv", moving_square(40, 16, 32), ["aac"]), io.BytesIO()
    dfc.encode(source, out, model=flat_model(), budget="4", fill="token")
    data, items = out.getvalue(), StreamReader(io.BytesIO(out.getvalue()))
    (stream,) = [i for i in items if isinstance(i, StreamInfo)]
    chunk = pack_chunk(b"strm", pack_stream(stream))
    offset = data.index(chunk)
    _, _, offsets = verify_json(data[:offset] + chunk + data[offset:], tmp_path, capsys)
    assert offsets[0] == offset + len(chunk)
    first_packets = data.index(b"pkts")
    _, record, offsets = verify_json(data[:offset] + data[offset + len(chunk) :], tmp_path, capsys)
    assert offsets[0] == first_packets - len(chunk)
    assert "come before its declaration" in record["faults"][0]["reason"]  # type: ignore[index]
    reader, empty_file = StreamReader(io.BytesIO(intact)), io.BytesIO()
    Writer(empty_file, reader.preamble.header, reader.preamble.model, reader.preamble.steps).finish()
    index, last_clip = empty_file.getvalue().index(b"indx"), read_clips(intact)[0]
    with_empty_index = intact[: last_clip.offset + last_clip.size] + empty_file.getvalue()[index:]
    _, record, offsets = verify_json(with_empty_index, tmp_path, capsys)
    assert offsets[0] == last_clip.offset + last_clip.size
    assert "index lists 0 clips" in record["faults"][0]["reason"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("damage", "code", "error_class", "offset"),
    [
        (lambda data, at: b"no " + data, 3, "not-dfc", 0),
        (lambda data, at: data[:8] + b"\0" + data[9:], 4, "damaged", 8),
        (lambda data, at: data[:at] + pack_chunk(b"NEXT", b"") + data[at:], 3, "unsupported", -1),
    ],
)
def test_faults_that_end_the_verification_are_in_the_json(
    damage: object,
    code: int,
    error_class: str,
    offset: int,
    intact: bytes,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    at = read_clips(intact)[1].offset
    exit_code, record, offsets = verify_json(damage(intact, at), tmp_path, capsys)  # type: ignore[operator]
    assert (exit_code, offsets) == (code, [at if offset < 0 else offset])
    assert record["faults"][0]["class"] == error_class  # type: ignore[index]
    assert (record["latent_sha256"] is None) is (offset >= 0)


def test_several_files_give_the_highest_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, damaged = tmp_path / "good.dfc", tmp_path / "bad.dfc"
    dfc.encode(moving_square(3), good, model=flat_model())
    damaged.write_bytes(good.read_bytes()[:-100])
    assert main(["verify", str(good), str(good)]) == 0
    assert "2 of 2 ok" in capsys.readouterr().err
    assert main(["verify", str(damaged), str(tmp_path / "none.dfc"), str(good), "--json"]) == 4
    output = capsys.readouterr()
    assert "1 of 3 ok" in output.err
    records = json.loads(output.out)
    assert [record.get("valid") for record in records] == [False, None, True]
    assert [record.get("exit_code") for record in records] == [4, 3, None]
    for record in (records[0], records[2]):
        jsonschema.validate(record, SCHEMA)
