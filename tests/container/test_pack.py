"""Records and payloads: all records round-trip, values out of range are rejected, all errors are a DfcError."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfccodec.container import pack
from dfccodec.container.fields import Fields, pack_pairs, pack_text
from dfccodec.container.records import (
    Clip,
    Colour,
    Header,
    Index,
    IndexEntry,
    ModelId,
    Packet,
    Ratio,
    StreamInfo,
)
from dfccodec.errors import DamagedError, DfcError, LimitError, UnsupportedError
from dfccodec.limits import MAX_CLIP_VALUES, MAX_PAIRS, MAX_PIXELS

U8, U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
I64 = st.integers(-(1 << 63), (1 << 63) - 1)
POSITIVE = st.builds(Ratio, st.integers(1, (1 << 32) - 1), st.integers(1, (1 << 32) - 1))
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SOME_TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    patch = draw(st.sampled_from([1, 2, 4, 8, 16, 32, 64]))
    tile = draw(st.integers(0, 8)) * patch
    overlap = draw(st.integers(0, tile // 2 // patch)) * patch
    width, height = draw(st.integers(1, 3000)), draw(st.integers(1, 300))
    colour = Colour(draw(st.integers(0, 2)), draw(U8), draw(U8), draw(U8), draw(U8))
    rate = draw(POSITIVE | st.just(Ratio(0, 1)))
    return Header(
        width, height, rate, draw(POSITIVE), patch, draw(st.integers(1, 16)), draw(st.integers(1, 64)), tile, overlap,
        draw(POSITIVE), draw(st.integers(0, 3)), colour, draw(st.integers(1, 255)), 1,
    )  # fmt: skip


@st.composite
def clips(draw: st.DrawFn) -> tuple[Clip, Header]:
    """A clip with random bytes as latents."""
    frames = draw(st.integers(1, 64))
    kept = np.array(draw(st.lists(st.booleans(), min_size=frames, max_size=frames)))
    importance = np.frombuffer(draw(st.binary(min_size=frames, max_size=frames)), np.uint8)
    durations = draw(st.tuples(U32) | st.tuples(*[U32] * frames))
    pts = draw(st.integers(-(1 << 63), (1 << 63) - 1 - 64 * (1 << 32)))
    clip = Clip(
        draw(U32), kept, importance, draw(st.integers(0, 63)), pts, durations, draw(st.binary(max_size=30)),
        draw(st.integers(1, 2)), fill := draw(U8), draw(st.binary(max_size=30)) if fill > 2 else b"", draw(U8),
    )  # fmt: skip
    return clip, Header(32, 16, Ratio(25, 1), Ratio(1, 25), channels=2, clip_frames=64)


def same_clip(a: Clip, b: Clip) -> None:
    for field in dataclasses.fields(Clip):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))


@given(headers())
def test_headers_round_trip(header: Header) -> None:
    payload = pack.pack_header(header)
    assert len(payload) == 48
    assert pack.unpack_header(payload) == header


@given(headers())
def test_the_grid_is_the_tiles_laid_down(header: Header) -> None:
    """SPEC.md 5.2: every padded pixel is covered, tiles lie inside, none could be left out."""
    tiles, rows, columns = header.grid
    for length in (header.height, header.width):
        padded = -(-length // header.patch) * header.patch
        if not header.tile:
            assert padded // header.patch in (rows, columns)
            continue
        starts, padded = header.tile_starts(length), max(padded, header.tile)
        covered = {p for s in starts for p in range(s, s + header.tile)}
        assert covered == set(range(padded))
        assert len(starts) == 1 or (len(starts) - 2) * (header.tile - header.overlap) + header.tile < padded
    if header.tile:
        assert tiles == len(header.tile_starts(header.height)) * len(header.tile_starts(header.width))
        assert rows == columns == header.tile // header.patch
    assert header.frame_values == tiles * rows * columns * header.channels


@given(clips())
def test_clips_round_trip(made: tuple[Clip, Header]) -> None:
    clip, header = made
    same_clip(pack.unpack_clip(pack.pack_clip(clip), header), clip)


@given(clips())
def test_the_head_of_a_clip_is_enough_for_its_record(made: tuple[Clip, Header]) -> None:
    clip, header = made
    head = pack.pack_clip(clip)[: pack.CLIP_HEAD_BYTES]
    found, fill, latents, _ = pack.unpack_clip_head(head, header)
    same_clip(dataclasses.replace(found, fill_payload=clip.fill_payload, latents=clip.latents), clip)
    assert (fill, latents) == (len(clip.fill_payload), len(clip.latents))


@given(SOME_TEXT, st.binary(min_size=32, max_size=32), st.dictionaries(TEXT, st.none() | st.integers() | TEXT))
def test_models_round_trip(name: str, fingerprint: bytes, config: dict[str, object]) -> None:
    model = ModelId(name, fingerprint, json.dumps(config))
    assert pack.unpack_model(pack.pack_model(model)) == model


@pytest.mark.parametrize("config", ['{"a":"' + '\\"' * 32000, '{"a":' * 10000, '{"a":' + "[" * 60000, '"' * 65000])
def test_no_configuration_costs_a_second(config: str) -> None:
    """A pattern that went back at every quote took half a minute for the first of these."""
    begun = process_time()
    with pytest.raises(DamagedError, match="a JSON object"):
        pack.unpack_model(pack_text("x") + bytes(32) + pack_text(config))
    assert process_time() - begun < 1


@given(st.lists(st.floats(2.0**-126, 2.0**127, width=32), min_size=1, max_size=9))
def test_steps_round_trip(steps: list[float]) -> None:
    values = np.array(steps, np.float32)
    payload = pack.pack_steps(values)
    np.testing.assert_array_equal(pack.unpack_steps(payload, len(steps)), values)
    assert len(payload) == 2 + 4 * (1 if len(set(steps)) == 1 else len(steps))


@given(st.lists(st.tuples(TEXT, TEXT), max_size=6))
def test_pairs_round_trip(pairs: list[tuple[str, str]]) -> None:
    assert list(pack.unpack_pairs(pack_pairs(pairs), "tags")) == pairs


def test_a_long_text_is_truncated_between_characters() -> None:
    data = pack_text("é" * 40000)
    assert data[:2] == struct.pack("<H", 65534)
    assert Fields(data, "chunk tags").text("value") == "é" * 32767


@given(st.tuples(U16, st.integers(0, 2), POSITIVE, SOME_TEXT, U32, U16, TEXT, TEXT, U16, st.binary(max_size=20)))
def test_streams_round_trip(row: tuple[Any, ...]) -> None:
    info = StreamInfo(*row)
    assert pack.unpack_stream(pack.pack_stream(info)) == info


@given(U16, st.lists(st.builds(Packet, I64, I64, U32, st.binary(max_size=20), st.booleans()), max_size=5))
def test_packets_round_trip(stream: int, packets: list[Packet]) -> None:
    assert pack.unpack_packets(pack.pack_packets(stream, packets)) == (stream, packets)


ENTRIES = st.builds(IndexEntry, U64, U32, U32, I64, U8, U8)


@given(st.lists(ENTRIES, max_size=5), st.binary(min_size=32, max_size=32))
def test_indexes_round_trip(entries: list[IndexEntry], digest: bytes) -> None:
    index = Index(tuple(entries), digest)
    assert pack.unpack_index(pack.pack_index(index)) == index


@given(U64)
def test_footers_round_trip(offset: int) -> None:
    assert pack.unpack_foot(pack.pack_foot(offset)) == offset


GOOD = Header(64, 48, Ratio(25, 1), Ratio(1, 25))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"needs": 2, "version": 2}, UnsupportedError, "needs .dfc version 2"),
        ({"needs": 0}, DamagedError, "version 1 that needs 0"),
        ({"version": 0}, DamagedError, "version 0 that needs 1"),
        ({"width": 0}, DamagedError, "0×48"),
        ({"width": 65535, "height": 65535}, LimitError, f"limit of {MAX_PIXELS} pixels"),
        ({"width": 16384, "height": 8193}, LimitError, "16384×8193"),
        ({"patch": 12}, DamagedError, "patch of 12"),
        ({"channels": 1025}, DamagedError, "1025 channels"),
        ({"clip_frames": 65}, DamagedError, "65 frames"),
        ({"tile": 40}, DamagedError, "tile 40"),
        ({"tile": 64, "overlap": 48}, DamagedError, "overlap 48"),
        ({"overlap": 16}, DamagedError, "tile 0 with overlap 16"),
        ({"time_base": Ratio(1, 0)}, DamagedError, "time base 1/0"),
        ({"rate": Ratio(25, 0)}, DamagedError, "rate 25/0"),
        ({"pixel_aspect": Ratio(0, 1)}, DamagedError, "pixel aspect 0/1"),
        ({"rotation": 4}, DamagedError, "rotation 4"),
        ({"colour": Colour(3)}, DamagedError, "range 3"),
        ({"width": 8192, "height": 8192, "patch": 1}, LimitError, f"limit of {MAX_CLIP_VALUES}"),
    ],
)
def test_headers_out_of_range_are_neither_written_nor_read(change: Any, error: type[DfcError], message: str) -> None:
    with pytest.raises(error, match=message):
        pack.pack_header(dataclasses.replace(GOOD, **change))


def test_streams_and_steps_out_of_range_are_not_written() -> None:
    with pytest.raises(DamagedError, match="kind 3"):
        pack.pack_stream(StreamInfo(0, 3, Ratio(1, 48000), "opus"))
    with pytest.raises(DamagedError, match="codec ''"):
        pack.pack_stream(StreamInfo(0, 0, Ratio(1, 48000), ""))
    for step in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(DamagedError, match="not a positive normal number"):
            pack.pack_steps(np.array([1, step], np.float32))


def test_the_largest_picture_is_allowed() -> None:
    largest = dataclasses.replace(GOOD, width=16384, height=8192, clip_frames=16)
    assert pack.unpack_header(pack.pack_header(largest)) == largest
    with pytest.raises(LimitError, match="clips of 17 frames"):
        pack.pack_header(dataclasses.replace(largest, clip_frames=17))


@given(st.binary(min_size=1, max_size=80).filter(lambda b: b[1:2] > b"\1"))
def test_a_newer_version_is_unsupported_and_not_damaged(payload: bytes) -> None:
    with pytest.raises(UnsupportedError, match="get a newer dfc"):
        pack.unpack_header(payload)


UNPACKERS: list[Callable[[bytes], object]] = [
    pack.unpack_header,
    pack.unpack_model,
    lambda p: pack.unpack_steps(p, 2),
    lambda p: pack.unpack_clip(p, GOOD),
    pack.unpack_index,
    pack.unpack_foot,
    lambda p: pack.unpack_pairs(p, "tags"),
    pack.unpack_stream,
    pack.unpack_packets,
]


@settings(max_examples=300)
@given(st.sampled_from(UNPACKERS), st.binary(max_size=120))
def test_any_bytes_give_a_record_or_a_dfc_error(unpack: Callable[[bytes], object], payload: bytes) -> None:
    try:
        record = unpack(payload)
    except DfcError as error:
        assert "\n" not in str(error)
    else:
        assert record is not None


@pytest.mark.parametrize("unpack", UNPACKERS)
def test_a_missing_or_an_extra_byte_is_rejected(unpack: Callable[[bytes], object]) -> None:
    clip = Clip(0, np.array([True]), np.array([9], np.uint8), 3, 0, (1,), b"abc", fill=200, fill_payload=b"z")
    info = StreamInfo(1, 0, Ratio(1, 9), "opus", extradata=b"x")
    payloads = [
        pack.pack_header(GOOD), pack.pack_model(ModelId("m", bytes(32))), pack.pack_steps(np.array([1, 2], np.float32)),
        pack.pack_clip(clip), pack.pack_index(Index((IndexEntry(1, 2, 3, 4, 5, 6),))), pack.pack_foot(9),
        pack_pairs([("a", "b")]), pack.pack_stream(info), pack.pack_packets(1, [Packet(0, 0, 0, b"q")]),
    ]  # fmt: skip
    payload = payloads[UNPACKERS.index(unpack)]
    unpack(payload)
    for wrong in (payload + b"\0", payload[:-1]):
        with pytest.raises(DamagedError):
            unpack(wrong)


def test_an_index_whose_totals_are_wrong() -> None:
    payload = bytearray(pack.pack_index(Index((IndexEntry(1, 2, 3, 4, 5, 6),))))
    payload[4] = 6
    with pytest.raises(DamagedError, match="totals are 6 frames, 6 kept; its clips add up to 5, 6"):
        pack.unpack_index(bytes(payload))


def test_more_pairs_than_allowed() -> None:
    with pytest.raises(LimitError, match="1025 pairs"):
        pack.unpack_pairs(struct.pack("<H", MAX_PAIRS + 1) + bytes(4 * (MAX_PAIRS + 1)), "tags")


def test_timestamps_must_fit_63_bits() -> None:
    clip = Clip(0, np.array([True, False]), np.zeros(2, np.uint8), 0, 2**63 - 7, (3,), b"")
    assert pack.unpack_clip(pack.pack_clip(clip), GOOD).timestamps[-1] == 2**63 - 4
    late = dataclasses.replace(clip, first_pts=2**63 - 6)
    with pytest.raises(DamagedError, match="overflow"):
        pack.unpack_clip(pack.pack_clip(late), GOOD)
