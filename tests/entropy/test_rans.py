"""Range coding of latents: lossless, same bytes as the coder in plain Python, hostile bytes rejected early."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time

import numpy as np
import pytest
import read_range
import write_range
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dfccodec.entropy import context_model, context_tables, rans
from dfccodec.entropy.rans import check_declared_size, decode_range, encode_range, ideal_bits
from dfccodec.entropy.zstd_coding import encode_zstd
from dfccodec.errors import DamagedError, DfcError, LimitError
from dfccodec.limits import MAX_CLIP_VALUES, MAX_EXPANSION

SHAPES = st.tuples(
    st.integers(0, 4), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 2, 3, 7, 13, 34])
)
EXTREME = st.sampled_from([-32768, -32767, -17, -16, -15, -1, 0, 1, 15, 16, 17, 255, 32766, 32767])
VALUES = hnp.arrays(np.int16, SHAPES, elements=EXTREME | st.integers(-32768, 32767) | st.integers(-2, 2))


def decoded(data: bytes, like: np.ndarray) -> np.ndarray:
    return decode_range(data, like.shape[0], like.shape[1:4], like.shape[4])


def laplace(shape: tuple[int, ...], scale: float = 1.5, seed: int = 0) -> np.ndarray:
    """Integers with the statistics of latents: smaller from channel to channel, partly unchanged between frames."""
    rng = np.random.default_rng(seed)
    size = scale * 3 / (1 + np.arange(shape[-1]))
    values = np.rint(rng.laplace(0, size, shape)).clip(-32768, 32767).astype(np.int16)
    for k in range(1, shape[0]):
        unchanged = rng.random(shape[1:4]) < 0.6
        values[k][unchanged] = values[k - 1][unchanged]
    return values


@settings(max_examples=150)
@given(VALUES)
def test_all_integers_round_trip(values: np.ndarray) -> None:
    data = encode_range(values)
    back = decoded(data, values)
    assert back.dtype == np.int16
    np.testing.assert_array_equal(back, values)
    assert encode_range(values) == data


@settings(max_examples=60)
@given(VALUES.filter(lambda v: v.size > 0))
def test_plain_python_coder_agrees(values: np.ndarray) -> None:
    data = encode_range(values)
    assert write_range.encode_range(values) == data
    kept, *grid, channels = values.shape
    other = read_range.LatentDecoder(read_range.RansDecoder(data), kept, grid, channels).v
    np.testing.assert_array_equal(np.array(other).reshape(values.shape), values)


@pytest.mark.parametrize("scale", [0.05, 0.5, 2, 30, 900, 9000])
@pytest.mark.parametrize("shape", [(3, 1, 9, 11, 100), (2, 4, 4, 4, 130), (2, 3, 1, 6, 21)])
def test_integers_of_all_sizes_round_trip(shape: tuple[int, ...], scale: float) -> None:
    values = laplace(shape, scale * 10)
    np.testing.assert_array_equal(decoded(encode_range(values), values), values)


def test_memory_order_and_byte_order_do_not_matter() -> None:
    values = laplace((2, 1, 4, 4, 8))
    assert encode_range(np.asfortranarray(values)) == encode_range(values)
    assert encode_range(values.astype(">i2")) == encode_range(values)


def test_several_bands_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_tables, "BAND_CELLS", 12)
    values = laplace((3, 2, 5, 4, 24))
    np.testing.assert_array_equal(decoded(encode_range(values), values), values)


class PlainCoder:
    """rANS encoder of SPEC.md 7.4.1 with Python integers."""

    def __init__(self, state: int) -> None:
        self.state, self.words = state, list[int]()

    def encode(self, left: int, frequency: int) -> None:
        if self.state >= frequency << 40:
            self.words.append(self.state & 0xFFFFFFFF)
            self.state >>= 32
        self.state = (self.state // frequency << 24) + left + self.state % frequency

    def finish(self) -> list[int]:
        out, state = list(self.words), self.state
        while state:
            out.append(state & 0xFFFFFFFF)
            state >>= 32
        return out


@settings(max_examples=200)
@given(st.data())
def test_constriction_uses_exactly_the_given_frequencies(draw: st.DataObject) -> None:
    """For random frequencies that add up to 2^24, the words equal those of the coder in plain Python."""
    weights = draw.draw(hnp.arrays(np.int64, 33, elements=st.integers(0, 3) | st.integers(0, 1 << 34)))
    weights[16] += 1
    spare = (1 << 24) - 33 * context_tables.MIN_FREQUENCY
    frequencies = weights * spare // weights.sum() + context_tables.MIN_FREQUENCY
    frequencies[16] += (1 << 24) - frequencies.sum()
    symbols = draw.draw(hnp.arrays(np.int32, st.integers(1, 60), elements=st.integers(0, 32)))
    bits = draw.draw(st.integers(1, 15))
    raw = symbols % (1 << bits)

    ours = rans._coder(np.array([context_tables.INITIAL_STATE], np.uint32))
    ours.encode_reverse(raw, rans._uniform(1 << bits))
    ours.encode_reverse(symbols, rans._tables(frequencies[None])[0])
    plain = PlainCoder(context_tables.INITIAL_STATE)
    left = np.cumsum(frequencies) - frequencies
    for value in raw[::-1].tolist():
        plain.encode(value << 24 - bits, 1 << 24 - bits)
    for symbol in symbols[::-1].tolist():
        plain.encode(int(left[symbol]), int(frequencies[symbol]))
    assert ours.get_compressed().tolist() == plain.finish()


def test_frequencies_are_positive_and_add_up_for_extreme_counts() -> None:
    statistics = rans.FrequencyModel(context_tables.initial_counts())
    assert (statistics.counts.sum(axis=1) == context_tables.INITIAL_TOTAL).all()
    statistics.counts[5] = 0
    statistics.counts[5, 0] = 32 * MAX_CLIP_VALUES + context_tables.INITIAL_TOTAL
    frequencies = statistics.frequencies(np.arange(context_tables.CONTEXTS))
    assert (frequencies.sum(axis=1) == 1 << 24).all()
    assert frequencies.min() >= context_tables.MIN_FREQUENCY
    assert frequencies.max() <= (1 << 24) - 32 * context_tables.MIN_FREQUENCY


def test_size_is_close_to_the_ideal_code_length() -> None:
    values = laplace((6, 1, 16, 16, 96))
    data = encode_range(values)
    assert len(data) < ideal_bits(values) / 8 * 1.002 + 12
    assert len(data) < 0.9 * len(encode_zstd(values)[0])
    assert ideal_bits(values[:0]) == 0


def test_no_kept_frames_give_no_bytes() -> None:
    values = np.zeros((0, 1, 2, 3, 4), np.int16)
    assert encode_range(values) == b""
    assert decoded(b"", values).shape == (0, 1, 2, 3, 4)
    with pytest.raises(DamagedError, match="4 bytes for no kept frame"):
        decoded(b"\0\0\0\1", values)


def test_no_content_expands_beyond_the_limit() -> None:
    """SPEC.md 12.1: constant integers, among them the first and the last symbol of the alphabet."""
    for value, cells in itertools.product((0, -32768, 1, -16), ((1, 1, 1), (1, 1, 50), (2, 181, 181), (1, 700, 700))):
        values = np.full((1, *cells, 1), value, np.int16)
        data = encode_range(values)
        assert 2 * values.size <= MAX_EXPANSION * len(data), (value, cells)
        check_declared_size(data, 1, cells, 1)
    zeros = np.zeros((8, 1, 700, 700, 1), np.int16)
    assert 5000 < zeros.size / len(encode_range(zeros)) < MAX_EXPANSION / 2


def test_the_state_grows_with_every_symbol() -> None:
    """Numerical check of the proof in SPEC.md 12.1, with the most probable symbol at both ends of its table."""
    most = (1 << 24) - 32 * context_tables.MIN_FREQUENCY
    for left in (0, 32 * context_tables.MIN_FREQUENCY):
        coder, count = PlainCoder(context_tables.INITIAL_STATE), 0
        while len(coder.words) < 3:
            before, words = coder.state, len(coder.words)
            coder.encode(left, most)
            assert coder.state > before or len(coder.words) > words
            count += 1
        assert count <= 21_400 + 4 * 45_800


GRID = (1, 2, 3)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda data: b"", "0 bytes for"),
        (lambda data: data + bytes(4), "the last word is 0"),
        (lambda data: data[:-1], "not a multiple of 4"),
        (lambda data: data[4:], "ends before its last integer|wrong state"),
        (lambda data: bytes(4) + data, "wrong state or has unread data"),
        (lambda data: bytes([data[0] ^ 1]) + data[1:], "wrong state or has unread data"),
        (lambda data: write_range.encode_range(laplace((2, *GRID, 5)), [0, 34, 0, 0, 0]), "levels from 0 to 34"),
    ],
)
def test_invalid_streams_are_damaged(edit: object, message: str) -> None:
    values = laplace((2, *GRID, 5))
    with pytest.raises(DamagedError, match=message):
        decoded(edit(encode_range(values)), values)  # type: ignore[operator]


def test_declared_sizes_over_the_limits_are_rejected() -> None:
    with pytest.raises(LimitError, match="over the limit of 268435456"):
        check_declared_size(b"\1\1\1\1", 1, (1, MAX_CLIP_VALUES, 1), 2)
    with pytest.raises(LimitError, match="more than 4 bytes can code"):
        check_declared_size(b"\1\1\1\1", 1, (1, 65537, 1), 1)
    check_declared_size(b"\1\1\1\1", 1, (1, 65536, 1), 1)


@settings(max_examples=300)
@given(st.data())
def test_a_changed_byte_is_detected_or_changes_integers(draw: st.DataObject) -> None:
    """A changed bypass-coded bit changes one integer only; the checksum of the chunk detects it."""
    values = laplace((2, 1, 3, 3, 6), 9)
    data = bytearray(encode_range(values))
    place = draw.draw(st.integers(0, len(data) - 1))
    data[place] ^= draw.draw(st.integers(1, 255))
    cut = draw.draw(st.integers(0, len(data)) | st.just(len(data)))
    try:
        out = decoded(bytes(data[:cut]), values)
    except DamagedError:
        return
    assert cut == len(data)
    assert out.shape == values.shape
    assert (out != values).any()


def test_most_changes_are_detected() -> None:
    """A decoder that lost synchronization rarely ends in the right state."""
    values, found = laplace((4, 1, 8, 8, 24)), 0
    data = encode_range(values)
    for place in range(0, len(data), len(data) // 50):
        try:
            decoded(data[:place] + bytes([data[place] ^ 64]) + data[place + 1 :], values)
        except DamagedError:
            found += 1
    assert found >= 45


@settings(max_examples=100)
@given(
    st.binary(max_size=120), st.sampled_from([(1, 1, 1, 1), (2, 1, 4, 5), (3, 2, 8, 8)]), st.sampled_from([1, 9, 96])
)
def test_random_bytes_are_rejected_or_decoded(data: bytes, frames: tuple[int, int, int, int], channels: int) -> None:
    try:
        out = decode_range(data, frames[0], frames[1:], channels)
    except DfcError:
        return
    assert out.shape == (*frames, channels)


@pytest.mark.parametrize("fill", [0, 1, 127, 255])
def test_a_large_declared_size_with_few_bytes_fails_early(fill: int) -> None:
    """2^25 integers from 2 KiB are within the limits, but would take seconds to decode."""
    data = bytes([fill]) * 2047 + b"\1"
    begun = time.process_time()
    with pytest.raises(DamagedError):
        decode_range(data, 1, (1, 64, 5461), 96)
    assert time.process_time() - begun < 3


def test_neighbours_of_a_band() -> None:
    """Neighbours are in the same tile and band, one cell away."""
    for tiles, rows, columns in ((1, 1, 1), (2, 3, 4), (3, 2, 1), (1, 4, 5)):
        seen = 0
        for band in context_model.bands(tiles, rows, columns):
            cells = [(n // columns, n % columns) for n in (band.first + band.order).tolist()]
            parity = [(line % rows + x) % 2 for line, x in cells]
            assert parity == sorted(parity)
            assert parity.count(0) == band.even
            for i, (line, x) in enumerate(cells):
                sides = [(line - 1, x), (line, x - 1), (line, x + 1), (line + 1, x)]
                want = {s for s in sides if s in cells and s[0] // rows == line // rows}
                if i < band.even:
                    continue
                found = [cells[j] for j in band.neighbours[:, i - band.even].tolist() if j < band.even]
                assert sorted(found) == sorted(want)
                assert band.count[i - band.even] == max(1, len(want))
            seen += band.cells
        assert seen == tiles * rows * columns


def test_bytes_are_the_same_in_a_new_process() -> None:
    script = (
        "import hashlib, numpy as np; from dfccodec.entropy.rans import encode_range;"
        "v = (np.arange(2 * 96 * 96) * 2654435761 % 4093 % 7 - 3).astype(np.int16).reshape(2, 1, 8, 12, 96);"
        "print(hashlib.sha256(encode_range(v)).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "25fadbe5bbf05fcdc965b5932d9f34f657ae74bacb03548096794eb5a504d3a0"


def test_inspect_does_not_import_constriction() -> None:
    script = "import sys, dfccodec.entropy.latent_coding, dfccodec.cli.main; sys.exit('constriction' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
