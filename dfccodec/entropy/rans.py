"""The range coding of a clip's integers (SPEC.md 7.4): one rANS stream over contexts that adapt as they go.

Bytes are those of `constriction.stream.stack.AnsCoder` (64 bits of state, words of 32, probabilities of 24), to which
each table is given as integers. formats/read_range.py reads the same in plain Python.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dfccodec.entropy import context_tables as tables
from dfccodec.entropy.context_model import Ints, code_latents
from dfccodec.entropy.context_tables import ESCAPE, INITIAL_STATE, MIN_FREQUENCY, PRECISION, SYMBOLS
from dfccodec.entropy.zstd_coding import Grid
from dfccodec.errors import DamagedError, LimitError
from dfccodec.limits import MAX_CLIP_VALUES, MAX_EXPANSION

if TYPE_CHECKING:
    import constriction

Bytes = npt.NDArray[np.uint8]
LENGTHS = 16
"""Of the excess of an escape: 1 to 16 bits, the first always 1."""
_POWERS = 1 << np.arange(LENGTHS)


def encode_range(values: np.ndarray) -> bytes:
    """Code the integers of a clip's kept frames.

    Args:
        values: (K, tiles, rows, columns, C) int16.
    """
    if values.size == 0:
        return b""
    writer = RansEncoder(tables.initial_counts())
    code_latents(values.shape, writer, values)
    return writer.finish()


def decode_range(data: bytes, kept: int, grid: Grid, channels: int) -> np.ndarray:
    """Undo :func:`encode_range`.

    Args:
        data: the coded bytes.
        kept: kept frames of the clip.
        grid: (tiles, rows, columns) of tokens.
        channels: integers per token.

    Returns:
        (K, tiles, rows, columns, C) int16.

    Raises:
        LimitError: the sizes are over the limits; nothing was allocated.
        DamagedError: the bytes are not what a writer makes of that many integers.
    """
    check_declared_size(data, kept, grid, channels)
    if not kept:
        return np.zeros((0, *grid, channels), np.int16)
    reader = RansDecoder(data, tables.initial_counts(), "latents")
    values = code_latents((kept, *grid, channels), reader)
    reader.finish()
    return values


def ideal_bits(values: np.ndarray) -> float:
    """Sum of −log2 p over all that is coded: what a coder without any loss of its own would need."""
    if values.size == 0:
        return 0.0
    meter = _Meter(tables.initial_counts())
    code_latents(values.shape, meter, values)
    return meter.bits


def check_declared_size(data: bytes, kept: int, grid: Grid, channels: int) -> None:
    """Every check of :func:`decode_range` that needs no decoding; arguments and errors as there."""
    values = kept * channels * int(np.prod(grid, dtype=object))
    if values > MAX_CLIP_VALUES:
        raise LimitError(f"latents: {values} integers declared, over the limit of {MAX_CLIP_VALUES}")
    if not kept and data:
        raise DamagedError(f"latents: {len(data)} bytes for no kept frame")
    check_stream_size("latents", data, values)


def check_stream_size(what: str, data: bytes, values: int) -> None:
    """Raise LimitError or DamagedError unless `data` can be the words of that many integers."""
    if values and not data:
        raise DamagedError(f"{what}: no word for {values} integers")
    if 2 * values > MAX_EXPANSION * len(data):
        raise LimitError(f"{what}: {values} integers declared from {len(data)} bytes, more than a coder can make")
    if len(data) % 4:
        raise DamagedError(f"{what}: {len(data)} bytes are no whole number of words of 4")
    if values and not any(data[-4:]):
        raise DamagedError(f"{what}: the last word is 0")


class FrequencyModel:
    """How often each symbol came in each context, and the tables that follow."""

    def __init__(self, first_counts: npt.NDArray[np.int64]) -> None:
        """`first_counts` (contexts, SYMBOLS) to begin with."""
        self.counts = first_counts.copy()

    def frequencies(self, contexts: npt.NDArray[np.intp] | slice) -> npt.NDArray[np.int64]:
        """(n, SYMBOLS) frequencies that sum to 2^24, for each context."""
        counts = self.counts[contexts]
        out = counts * ((1 << PRECISION) - SYMBOLS * MIN_FREQUENCY)
        out //= counts.sum(axis=1, keepdims=True)
        out += MIN_FREQUENCY
        out[:, ESCAPE] += (1 << PRECISION) - out.sum(axis=1)
        return out

    def update(self, contexts: Bytes, symbols: Ints) -> None:
        """Count what a pass has coded."""
        place = contexts.astype(np.intp)
        place *= SYMBOLS
        place += symbols
        found = np.bincount(place, minlength=self.counts.size)
        found *= tables.COUNT_INCREMENT
        self.counts += found.reshape(self.counts.shape)


class _Pass:
    """The symbols of a pass sorted by context, each context's in order."""

    def __init__(self, contexts: Bytes) -> None:
        sizes = np.bincount(contexts)
        self.used = sizes.nonzero()[0]
        self.sizes: list[int] = sizes[self.used].tolist()
        self.order = np.argsort(contexts, kind="stable")

    def split(self, sorted_values: Ints) -> list[Ints]:
        """Views of what belongs to each context used."""
        ends = np.cumsum(self.sizes).tolist()
        return [sorted_values[end - size : end] for size, end in zip(self.sizes, ends, strict=True)]


def _half(shifts: Ints) -> Ints:
    out: Ints = (np.int32(1) << shifts) >> 1
    return out


class RansEncoder:
    """Collects symbols and tables in order, and codes them from the last to the first: rANS is a stack.

    Args:
        first_counts: (contexts, SYMBOLS) of the statistics.
    """

    def __init__(self, first_counts: npt.NDArray[np.int64]) -> None:
        self.statistics = FrequencyModel(first_counts)
        self.jobs: list[tuple[Ints, Any]] = []

    def code(self, contexts: Bytes, shifts: Ints | None, residuals: Ints | None) -> Ints:
        """Note the residuals (n,) of a pass in their contexts (n,), `shifts` (n,) low bits apart; gives them back."""
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
            self._add(bits, _uniform(LENGTHS))
            self._raw(excess - (1 << bits), bits)
        self.statistics.update(contexts, symbols)
        return residuals

    def _symbols(self, contexts: Bytes, symbols: Ints) -> None:
        sort = _Pass(contexts)
        tables_used = _tables(self.statistics.frequencies(sort.used))
        for table, part in zip(tables_used, sort.split(symbols[sort.order]), strict=True):
            self._add(part, table)

    def _raw(self, values: Ints, bits: Ints) -> None:
        """Low bits with no model, those of fewer bits first."""
        for count in range(1, int(bits.max()) + 1):
            self._add(values[bits == count], _uniform(1 << count))

    def _add(self, symbols: Ints, model: Any) -> None:
        if symbols.size:
            self.jobs.append((symbols.astype(np.int32, copy=False), model))

    def finish(self) -> bytes:
        """Code all that was noted: little-endian words of 32 bits, the last of them not 0."""
        coder = _coder(np.array([INITIAL_STATE], np.uint32))
        for symbols, model in reversed(self.jobs):
            coder.encode_reverse(symbols, model)
        return bytes(coder.get_compressed().astype("<u4").tobytes())


class _Meter(RansEncoder):
    """Adds up what an ideal coder would spend."""

    bits = 0.0

    def _symbols(self, contexts: Bytes, symbols: Ints) -> None:
        sort = _Pass(contexts)
        rows = self.statistics.frequencies(sort.used)
        for row, part in zip(rows, sort.split(symbols[sort.order]), strict=True):
            self.bits -= float(np.log2(row[part] / (1 << PRECISION)).sum())

    def _raw(self, values: Ints, bits: Ints) -> None:
        self.bits += float(bits.sum())

    def _add(self, symbols: Ints, model: Any) -> None:
        self.bits += symbols.size * np.log2(LENGTHS)


class RansDecoder:
    """Takes symbols off the stack in order.

    Args:
        data: words, the last of them not 0 (see :func:`check_stream_size`).
        first_counts: (contexts, SYMBOLS) of the statistics.
        what: is read, for messages.
    """

    def __init__(self, data: bytes, first_counts: npt.NDArray[np.int64], what: str) -> None:
        self.statistics, self.what = FrequencyModel(first_counts), what
        self.coder = _coder(np.frombuffer(data, "<u4").astype(np.uint32))

    def code(self, contexts: Bytes, shifts: Ints | None, residuals: Ints | None) -> Ints:
        """The residuals (n,) of a pass; arguments as for `RangeWriter.code`, `residuals` is not looked at.

        Raises:
            DamagedError: the words end before the symbols.
        """
        if not contexts.size:
            return np.zeros(0, np.int32)
        symbols = self._symbols(contexts)
        out = symbols - np.int32(ESCAPE)
        low = 0 if shifts is None else self._raw(shifts) - _half(shifts)
        escaped = (np.abs(out) == ESCAPE).nonzero()[0]
        if escaped.size:
            bits = self.coder.decode(_uniform(LENGTHS), escaped.size)
            excess = self._raw(bits) + (1 << bits) - 1
            out[escaped] += np.where(out[escaped] < 0, -excess, excess)
        self.statistics.update(contexts, symbols)
        self._check_underflow()
        return out if shifts is None else (out << shifts) + low

    def _symbols(self, contexts: Bytes) -> Ints:
        sort = _Pass(contexts)
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
        """Stop early where the words have run out: no writer's state is ever below the one it began with."""
        if self.coder.num_words() < 2 and not self._state() >= INITIAL_STATE:
            raise DamagedError(f"{self.what}: the words end before the integers do")

    def _state(self) -> int:
        words = self.coder.get_compressed().tolist()
        return sum(int(word) << 32 * i for i, word in enumerate(words))

    def finish(self) -> None:
        """Raises DamagedError where the stack is not empty."""
        if self.coder.num_words() > 1 or self._state() != INITIAL_STATE:
            raise DamagedError(f"{self.what}: the words do not end where the integers do")


def _coder(words: npt.NDArray[np.uint32]) -> constriction.stream.stack.AnsCoder:
    # Imported late: most commands never come here, and `dfc inspect` must start fast.
    import constriction

    return constriction.stream.stack.AnsCoder(words)


def _tables(frequencies: npt.NDArray[np.int64]) -> list[Any]:
    """Tables of exactly these frequencies (n, SYMBOLS), n of them.

    constriction gives each symbol 1 and its share of the rest. It is handed what a symbol has beyond 1, which sums to
    the rest, so each share is the number itself; cumulative sums of integers below 2^24 are exact. tests/entropy holds
    it to that.
    """
    import constriction

    table = constriction.stream.model.Categorical
    return [table(row, perfect=False) for row in (frequencies - 1).astype(np.float64)]


@lru_cache(maxsize=32)
def _uniform(size: int) -> Any:
    """`size` symbols of the same frequency; a power of two, so exactly."""
    import constriction

    return constriction.stream.model.Uniform(size)
