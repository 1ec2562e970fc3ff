from typing import Any

Array = Any
Level = tuple[Array, Array, int, int, int, int, int, int, int, int]

VERSION: int

class Coder: ...

def latents(
    mode: int, kept: int, tiles: int, rows: int, columns: int, channels: int, inter: bool, values: Array, data: bytes,
    mvs: Array, first: int, lower: Array, prices: Array, logs: Array, counts: Array, weights: Array, basis: Array,
) -> Any: ...  # fmt: skip
def mix_latents(
    mode: int, kept: int, rows: int, columns: int, intra: bool, level: int, groups: Array, values: Array, data: bytes,
    profile: Array, partners: Array, linear: Array, tables: tuple[Array, ...], left: Array,
) -> Any: ...  # fmt: skip
def mix_motion(
    mode: int, rows: int, columns: int, dropped: Array, past: Array, future: Array, data: bytes, blocks: Array,
    tables: tuple[Array, ...],
) -> Any: ...  # fmt: skip
def new_coder(decode: bool, counts: Array, data: bytes) -> Coder: ...
def run_coder(coder: Coder, contexts: Array, residuals: Array) -> bool: ...
def finish(coder: Coder) -> Any: ...
def motion(
    encoding: bool, rows: int, columns: int, part: int, dropped: Array, past: Array, future: Array, counts: Array,
    data: bytes, blocks: Array,
) -> Any: ...  # fmt: skip
def candidates(
    neighbours: Array, fifth: Array, adjacent: bool, offset: int, medians: Array, contexts: Array, sizes: Array
) -> None: ...
def compensate_latents(
    tiles: int, rows: int, columns: int, values: Array, vectors: Array, basis: Array, out: Array
) -> bool: ...
def estimate_latents(
    rows: int, columns: int, old: Array, now: Array, basis: Array, table: Array, out: Array
) -> bool: ...
def undo_filters(
    planes: int, kept: int, tiles: int, rows: int, columns: int, channels: int, raw: bytes, values: Array
) -> bool: ...
def errors(
    now: Level, past: Level, past_vectors: Array, future: Level | None, future_vectors: Array, weight: int,
    cells: Array, out: Array,
) -> None: ...  # fmt: skip
def search(
    now_full: Level, then_full: Level, now_half: Level, then_half: Level, target: Array, target_stride: int,
    places: Array, stride: int, span: int, coarse_rate: Array, rate: Array, half_rate: Array, least_error: int,
    thorough: bool, centre_down: int, centre_right: int, mask: Array, known: Array, vectors: Array,
) -> bool: ...  # fmt: skip
def level(planes: Array, height: int, width: int, edge: int, per: int, out: Array) -> bool: ...
def choose(
    now: Level, past: Level | None, future: Level | None, cells: Array, estimate: Array, searched: Array, order: Array,
    mode_contexts: Array, known: Array, contexts: Array, sizes: Array, bits: Array, rd_lambda: int, modes: Array,
    vectors: Array,
) -> None: ...  # fmt: skip
def compensate(
    height: int, width: int, rows: int, columns: int, estimate: Array, past: Array, future: Array, fraction: float,
    blocks: Array, weights: Array, out: Array, rounded: bool, six_tap: bool,
) -> None: ...  # fmt: skip
