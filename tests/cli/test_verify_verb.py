"""`dfc verify --json`: every fault with its place, by the schema."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import jsonschema
import pytest
from support import flat_model, moving, write_av

import dfccodec as dfc
from dfccodec.cli.main import main
from dfccodec.container.chunks import pack_chunk
from dfccodec.container.pack import pack_clip, pack_stream
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import StreamInfo
from dfccodec.container.writer import Writer

SCHEMA = json.loads((Path(dfc.__file__).parent / "cli" / "verify.schema.json").read_text())


def judged(data: bytes, path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object], list[int]]:
    """Exit code, record, offsets of the faults."""
    (path / "a.dfc").write_bytes(data)
    code = main(["verify", str(path / "a.dfc"), "--json"])
    record = json.loads(capsys.readouterr().out)
    jsonschema.validate(record, SCHEMA)
    assert record["valid"] is (code == 0)
    return code, record, [fault["offset"] for fault in record["faults"]]


@pytest.fixture
def sound() -> bytes:
    out = io.BytesIO()
    dfc.encode(moving(150, 16, 32), out, model=flat_model(), budget="4", fill="token", coding="zstd")
    return out.getvalue()


def clips(data: bytes) -> list[ClipAt]:
    return [i for i in StreamReader(io.BytesIO(data)) if isinstance(i, ClipAt)]


def test_a_sound_file(sound: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, record, places = judged(sound, tmp_path, capsys)
    assert (code, places, record["frames"]) == (0, [], 150)


def test_every_fault_has_its_place_and_size(sound: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = clips(sound)
    bad = bytearray(sound)
    bad[at[1].offset + 30] ^= 1
    bad[at[3].offset + 30] ^= 1
    bad[-6] ^= 1
    code, record, places = judged(bytes(bad), tmp_path, capsys)
    assert code == 4
    assert places == [at[1].offset, at[3].offset, len(sound) - 20, len(sound)]
    assert [f["bytes"] for f in record["faults"]] == [at[1].size, at[3].size, 20, 0]  # type: ignore[attr-defined]
    assert (record["clips"], record["frames"]) == (3, 32 + 32 + 22)


def test_orders_and_numbers_are_judged_behind_a_fault(
    sound: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = clips(sound)
    wrong = [dataclasses.replace(at[n].clip, first_frame=first) for n, first in ((2, 64), (3, 999))]
    body = b"".join(pack_chunk(b"CLIP", pack_clip(clip)) for clip in wrong)
    bad = sound[: at[1].offset] + b"\0" * at[1].size + body + sound[at[4].offset :]
    _, record, places = judged(bad, tmp_path, capsys)
    assert places == [at[1].offset, at[3].offset, at[4].offset]
    reasons = [f["reason"] for f in record["faults"]]  # type: ignore[attr-defined]
    assert "clip begins at frame 999, 96 expected" in reasons[1]
    assert "clip begins at frame 128, 1031 expected" in reasons[2]


def test_streams_and_the_index_have_places_too(
    sound: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write_av(tmp_path / "in.mkv", moving(40, 16, 32), ["aac"]), io.BytesIO()
    dfc.encode(source, out, model=flat_model(), budget="4", fill="token")
    data, items = out.getvalue(), StreamReader(io.BytesIO(out.getvalue()))
    (stream,) = [i for i in items if isinstance(i, StreamInfo)]
    chunk = pack_chunk(b"strm", pack_stream(stream))
    place = data.index(chunk)
    _, _, places = judged(data[:place] + chunk + data[place:], tmp_path, capsys)
    assert places[0] == place + len(chunk)
    first = data.index(b"pkts")
    _, record, places = judged(data[:place] + data[place + len(chunk) :], tmp_path, capsys)
    assert places[0] == first - len(chunk)
    assert "come before its declaration" in record["faults"][0]["reason"]  # type: ignore[index]
    reader, other = StreamReader(io.BytesIO(sound)), io.BytesIO()
    Writer(other, reader.preamble.header, reader.preamble.model, reader.preamble.steps).finish()
    index, end = other.getvalue().index(b"indx"), clips(sound)[0]
    short = sound[: end.offset + end.size] + other.getvalue()[index:]
    _, record, places = judged(short, tmp_path, capsys)
    assert places[0] == end.offset + end.size
    assert "index lists 0 clips" in record["faults"][0]["reason"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "code", "kind", "place"),
    [
        (lambda data, at: b"no " + data, 3, "not-dfc", 0),
        (lambda data, at: data[:8] + b"\0" + data[9:], 4, "damaged", 8),
        (lambda data, at: data[:at] + pack_chunk(b"NEXT", b"") + data[at:], 3, "unsupported", -1),
    ],
)
def test_what_ends_the_judgement_is_in_the_json(
    change: object, code: int, kind: str, place: int, sound: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = clips(sound)[1].offset
    got, record, places = judged(change(sound, at), tmp_path, capsys)  # type: ignore[operator]
    assert (got, places) == (code, [at if place < 0 else place])
    assert record["faults"][0]["class"] == kind  # type: ignore[index]
    assert (record["latent_sha256"] is None) is (place >= 0)


def test_several_files_are_judged_each_and_the_worst_is_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.dfc", tmp_path / "bad.dfc"
    dfc.encode(moving(3), good, model=flat_model())
    bad.write_bytes(good.read_bytes()[:-100])
    assert main(["verify", str(good), str(good)]) == 0
    assert "2 of 2 ok" in capsys.readouterr().err
    assert main(["verify", str(bad), str(tmp_path / "none.dfc"), str(good), "--json"]) == 4
    said = capsys.readouterr()
    assert "1 of 3 ok" in said.err
    records = json.loads(said.out)
    assert [record.get("valid") for record in records] == [False, None, True]
    assert [record.get("exit_code") for record in records] == [4, 3, None]
    for record in (records[0], records[2]):
        jsonschema.validate(record, SCHEMA)
