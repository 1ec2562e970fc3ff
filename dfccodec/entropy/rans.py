"""Range coding of latents (SPEC.md 7.4, 7.6): one rANS stream with adaptive symbol frequencies.

The bytes are those of `constriction.stream.stack.AnsCoder` (64-bit state, 32-bit words, 24-bit probabilities). Each
frequency table is passed to it as integers. formats/read_range.py is a decoder in plain Python.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dfccodec.entropy import context_tables as tables
from dfccodec.entropy import kernel_calls
from dfccodec.entropy.context_model import Ints, code_latents
from dfccodec.entropy.context_tables import ESCAPE, INITIAL_STATE, MIN_FREQUENCY, PRECISION, SYMBOLS
from dfccodec.entropy.zstd_coding import Grid
from dfccodec.errors import DamagedError, LimitError
from dfccodec.limits import MAX_CLIP_VALUES, MAX_EXPANSION
from dfccodec.native import kernels

if TYPE_CHECKING:
    import constriction

Bytes = npt.NDArray[np.uint8]
MAX_EXCESS_BITS = 16
"""Maximum number of bits of the excess of an escape; its first bit is always 1."""
_POWERS = 1 << np.arange(MAX_EXCESS_BITS)


def encode_range(values: np.ndarray) -> bytes:
    """Encode the latents of a clip's kept frames.

    Args:
        values: (K, tiles, rows, columns, C) int16.
    """
    if values.size == 0:
        return b""
    coded = kernel_calls.encode(values, None, tables.initial_counts())
    if coded is not None:
        return coded
    writer = RansEncoder(tables.initial_counts())
    code_latents(values.shape, writer, values)
    return writer.finish()


def decode_range(data: bytes, kept: int, grid: Grid, channels: int) -> np.ndarray:
    """Decode the output of :func:`encode_range`.

    Args:
        data: the coded bytes.
        kept: number of kept frames of the clip.
        grid: (tiles, rows, columns) of tokens.
        channels: integers per token.

    Returns:
        (K, tiles, rows, columns, C) int16.

    Raises:
        LimitError: the declared sizes are over the limits; nothing was allocated.
        DamagedError: the bytes are not a valid stream of that many integers.
    """
    check_declared_size(data, kept, grid, channels)
    if not kept:
        return np.zeros((0, *grid, channels), np.int16)
    found = kernel_calls.decode(data, (kept, *grid, channels), False, tables.initial_counts())
    if found is not None:
        return found
    reader = RansDecoder(data, tables.initial_counts(), "latents")
    values = code_latents((kept, *grid, channels), reader)
    reader.finish()
    return values


def ideal_bits(values: np.ndarray) -> float:
    """Return the sum of −log2 p over all symbols of :func:`encode_range`, in bits: the size without coder overhead."""
    if values.size == 0:
        return 0.0
    meter = _BitCounter(tables.initial_counts())
    code_latents(values.shape, meter, values)
    return meter.bits


def check_declared_size(data: bytes, kept: int, grid: Grid, channels: int) -> None:
    """Check the sizes before anything is allocated; arguments and errors as for :func:`decode_range`."""
    values = kept * channels * int(np.prod(grid, dtype=object))
    if values > MAX_CLIP_VALUES:
        raise LimitError(f"latents: {values} integers declared, over the limit of {MAX_CLIP_VALUES}")
    if not kept and data:
        raise DamagedError(f"latents: {len(data)} bytes for no kept frame")
    check_stream_size("latents", data, values)


def check_stream_size(what: str, data: bytes, values: int) -> None:
    """Check that a rANS stream can hold the declared number of integers.

    Args:
        what: name of the data, for messages.
        data: the stream, little-endian words of 32 bits.
        values: number of integers.

    Raises:
        LimitError: more integers are declared than that many bytes can code.
        DamagedError: the number of bytes, or the last word, is impossible.
    """
    if values and not data:
        raise DamagedError(f"{what}: 0 bytes for {values} integers")
    if 2 * values > MAX_EXPANSION * len(data):
        raise LimitError(f"{what}: {values} integers declared, more than {len(data)} bytes can code")
    if len(data) % 4:
        raise DamagedError(f"{what}: {len(data)} bytes are not a multiple of 4")
    if values and not any(data[-4:]):
        raise DamagedError(f"{what}: the last word is 0")


class FrequencyModel:
    """Adaptive frequency model: counts of each symbol in each context.

    Args:
        initial_counts: (contexts, SYMBOLS) counts before the first symbol.
    """

    def __init__(self, initial_counts: npt.NDArray[np.int64]) -> None:
        self.counts = initial_counts.copy()

    def frequencies(self, contexts: npt.NDArray[np.intp] | slice) -> npt.NDArray[np.int64]:
        """Return (n, SYMBOLS) symbol frequencies of n contexts. Each row adds up to 2^24."""
        counts = self.counts[contexts]
        out = counts * ((1 << PRECISION) - SYMBOLS * MIN_FREQUENCY)
        out //= counts.sum(axis=1, keepdims=True)
        out += MIN_FREQUENCY
        out[:, ESCAPE] += (1 << PRECISION) - out.sum(axis=1)
        return out

    def update(self, contexts: Bytes, symbols: Ints) -> None:
        """Count the symbols (n,) of a pass in their contexts (n,)."""
        place = contexts.astype(np.intp)
        place *= SYMBOLS
        place += symbols
        found = np.bincount(place, minlength=self.counts.size)
        found *= tables.COUNT_INCREMENT
        self.counts += found.reshape(self.counts.shape)


class _SortedPass:
    """Stable sort of the symbols of a pass by context."""

    def __init__(self, contexts: Bytes) -> None:
        sizes = np.bincount(contexts)
        self.used = sizes.nonzero()[0]
        self.sizes: list[int] = sizes[self.used].tolist()
        self.order = np.argsort(contexts, kind="stable")

    def split(self, sorted_values: Ints) -> list[Ints]:
        """Return one view of the sorted values for each used context."""
        ends = np.cumsum(self.sizes).tolist()
        return [sorted_values[end - size : end] for size, end in zip(self.sizes, ends, strict=True)]


def _half(shifts: Ints) -> Ints:
    out: Ints = (np.int32(1) << shifts) >> 1
    return out


class RansEncoder:
    """rANS encoder. It collects symbols and tables, and codes them from the last to the first in :meth:`finish`.

    Args:
        initial_counts: (contexts, SYMBOLS) initial symbol counts.
    """

    def __init__(self, initial_counts: npt.NDArray[np.int64]) -> None:
        self.statistics = FrequencyModel(initial_counts)
        self.jobs: list[tuple[Ints, Any]] = []

    def code(self, contexts: Bytes, shifts: Ints | None, residuals: Ints | None) -> Ints:
        """Collect the residuals of one pass; see `Coder.code`."""
        assert residuals is not None
        quotients = residuals if shifts is None else (residuals + _half(shifts)) >> shifts
        symbols = np.clip(quotients, -ESCAPE, ESCAPE) + ESCAPE
        self._symbols(contexts, symbols)
        if shifts is not None:
            low = (residuals + _half(shifts)) - (quotients << shifts)
            self._raw(low, shifts)
        escaped = np.flatnonzero((symbols == 0) | (symbols == 2 * ESCAPE))
        if escaped.size:
            excess = np.abs(quotients[escaped]) - ESCAPE + 1
            bits = (np.searchsorted(_POWERS, excess, side="right") - 1).astype(np.int32)
            self._add(bits, _uniform(MAX_EXCESS_BITS))
            self._raw(excess - (1 << bits), bits)
        self.statistics.update(contexts, symbols)
        return residuals

    def _symbols(self, contexts: Bytes, symbols: Ints) -> None:
        sort = _SortedPass(contexts)
        tables_used = _tables(self.statistics.frequencies(sort.used))
        for table, part in zip(tables_used, sort.split(symbols[sort.order]), strict=True):
            self._add(part, table)

    def _raw(self, values: Ints, bits: Ints) -> None:
        """Collect bypass-coded values, fewer bits first."""
        for count in range(1, int(bits.max()) + 1):
            self._add(values[bits == count], _uniform(1 << count))

    def _add(self, symbols: Ints, model: Any) -> None:
        if symbols.size:
            self.jobs.append((symbols.astype(np.int32, copy=False), model))

    def finish(self) -> bytes:
        """Encode all collected symbols. Returns little-endian words of 32 bits; the last word is not 0."""
        coder = _coder(np.array([INITIAL_STATE], np.uint32))
        for symbols, model in reversed(self.jobs):
            coder.encode_reverse(symbols, model)
        return bytes(coder.get_compressed().astype("<u4").tobytes())


class _BitCounter(RansEncoder):
    """Encoder that writes no bytes and adds up the ideal code length.

    Attributes:
        bits: sum so far.
    """

    bits = 0.0

    def _symbols(self, contexts: Bytes, symbols: Ints) -> None:
        sort = _SortedPass(contexts)
        rows = self.statistics.frequencies(sort.used)
        for row, part in zip(rows, sort.split(symbols[sort.order]), strict=True):
            self.bits -= float(np.log2(row[part] / (1 << PRECISION)).sum())

    def _raw(self, values: Ints, bits: Ints) -> None:
        self.bits += float(bits.sum())

    def _add(self, symbols: Ints, model: Any) -> None:
        self.bits += symbols.size * np.log2(MAX_EXCESS_BITS)


class RansDecoder:
    """rANS decoder.

    Args:
        data: little-endian words of 32 bits, checked with :func:`check_stream_size`.
        initial_counts: (contexts, SYMBOLS) initial symbol counts.
        what: name of the data, for messages.
    """

    def __init__(self, data: bytes, initial_counts: npt.NDArray[np.int64], what: str) -> None:
        self.statistics, self.what = FrequencyModel(initial_counts), what
        self.coder = _coder(np.frombuffer(data, "<u4").astype(np.uint32))

    def code(self, contexts: Bytes, shifts: Ints | None, residuals: Ints | None) -> Ints:
        """Decode the residuals of one pass; see `Coder.code`. The argument `residuals` is ignored.

        Raises:
            DamagedError: the stream ends before the last symbol.
        """
        if not contexts.size:
            return np.zeros(0, np.int32)
        symbols = self._symbols(contexts)
        out = symbols - np.int32(ESCAPE)
        low = 0 if shifts is None else self._raw(shifts) - _half(shifts)
        escaped = (np.abs(out) == ESCAPE).nonzero()[0]
        if escaped.size:
            bits = self.coder.decode(_uniform(MAX_EXCESS_BITS), escaped.size)
            excess = self._raw(bits) + (1 << bits) - 1
            out[escaped] += np.where(out[escaped] < 0, -excess, excess)
        self.statistics.update(contexts, symbols)
        self._check_underflow()
        return out if shifts is None else (out << shifts) + low

    def _symbols(self, contexts: Bytes) -> Ints:
        sort = _SortedPass(contexts)
        tables_used, decode = _tables(self.statistics.frequencies(sort.used)), self.coder.decode
        parts = [decode(table, size) for table, size in zip(tables_used, sort.sizes, strict=True)]
        out = np.empty(contexts.size, np.int32)
        out[sort.order] = np.concatenate(parts)
        return out

    def _raw(self, bits: Ints) -> Ints:
        out = np.zeros(bits.size, np.int32)
        for count in range(1, int(bits.max(initial=0)) + 1):
            where = (bits == count).nonzero()[0]
            if where.size:
                out[where] = self.coder.decode(_uniform(1 << count), where.size)
        return out

    def _check_underflow(self) -> None:
        """Stop early if all words are read: the state of a valid stream is never below the initial state."""
        if self.coder.num_words() < 2 and not self._state() >= INITIAL_STATE:
            raise DamagedError(f"{self.what}: rANS stream ends before its last integer: it is corrupt")

    def _state(self) -> int:
        words = self.coder.get_compressed().tolist()
        return sum(int(word) << 32 * i for i, word in enumerate(words))

    def finish(self) -> None:
        """Check the final state.

        Raises:
            DamagedError: the stream has unread data or does not end in the initial state.
        """
        if self.coder.num_words() > 1 or self._state() != INITIAL_STATE:
            raise DamagedError(f"{self.what}: rANS stream ends in the wrong state or has unread data: it is corrupt")


class NativeCoder:
    """rANS encoder or decoder of passes without bypass-coded bits, in C; the twin of RansEncoder and RansDecoder.

    Args:
        data: the stream to decode; None to encode.
        initial_counts: (contexts, SYMBOLS) initial symbol counts.
        what: name of the data, for messages.
    """

    def __init__(self, data: bytes | None, initial_counts: npt.NDArray[np.int64], what: str) -> None:
        assert kernels is not None
        self.what, self._call = what, kernels
        self._coder = kernels.new_coder(data is not None, initial_counts, data or b"")

    def code(self, contexts: Bytes, shifts: Ints | None, residuals: Ints | None) -> Ints:
        """Code the residuals of one pass; see `Coder.code`.

        Raises:
            DamagedError: the stream ends before the last symbol.
        """
        assert shifts is None
        out = np.zeros(contexts.size, np.int32) if residuals is None else np.array(residuals, np.int32)
        if not self._call.run_coder(self._coder, np.ascontiguousarray(contexts), out):
            raise DamagedError(f"{self.what}: rANS stream ends before its last integer: it is corrupt")
        return out

    def finish(self) -> bytes:
        """Return the coded bytes of an encoder; check the final state of a decoder.

        Raises:
            DamagedError: the stream has unread data or does not end in the initial state.
        """
        done = self._call.finish(self._coder)
        if done is False:
            raise DamagedError(f"{self.what}: rANS stream ends in the wrong state or has unread data: it is corrupt")
        return done if isinstance(done, bytes) else b""


def new_encoder(initial_counts: npt.NDArray[np.int64]) -> RansEncoder | NativeCoder:
    """Return an encoder of passes without bypass-coded bits."""
    return RansEncoder(initial_counts) if kernels is None else NativeCoder(None, initial_counts, "")


def new_decoder(data: bytes, initial_counts: npt.NDArray[np.int64], what: str) -> RansDecoder | NativeCoder:
    """Return a decoder of passes without bypass-coded bits; arguments as for `RansDecoder`."""
    return RansDecoder(data, initial_counts, what) if kernels is None else NativeCoder(data, initial_counts, what)


def _coder(words: npt.NDArray[np.uint32]) -> constriction.stream.stack.AnsCoder:
    # Imported here: most commands do not need it, and `dfc inspect` must start fast.
    import constriction

    return constriction.stream.stack.AnsCoder(words)


def _tables(frequencies: npt.NDArray[np.int64]) -> list[Any]:
    """Return n constriction models with exactly these frequencies (n, SYMBOLS).

    constriction gives each symbol a frequency of 1 and distributes the remainder by weight. The weights passed here
    are the frequencies minus 1. They add up to that remainder, so each share equals its weight. Cumulative sums of
    integers below 2^24 are exact in float64. tests/entropy checks this.
    """
    import constriction

    table = constriction.stream.model.Categorical
    return [table(row, perfect=False) for row in (frequencies - 1).astype(np.float64)]


@lru_cache(maxsize=32)
def _uniform(size: int) -> Any:
    """Return a uniform model of `size` symbols, a power of two, so that all frequencies are exactly equal."""
    import constriction

    return constriction.stream.model.Uniform(size)
