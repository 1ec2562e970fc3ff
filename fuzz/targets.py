"""Fuzz targets: one function of bytes for each place where untrusted bytes enter.

A target may raise only DfcError, within the time and memory that SPEC.md 12 allows for the declared sizes. `run`
returns a short outcome. An input with a new outcome is kept for mutation.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import mutate
import numpy as np
import seeds
import zstandard
from claims import (
    MAX_PIXELS,
    Limits,
    TooExpensive,
    check_affordable,
    check_file_affordable,
    clip_work,
    file_work,
    pixels_of,
)

from dfccodec.cli.inspect import inspect as inspect_verb
from dfccodec.codec import fill
from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.clip.frame_buffer import ClipFrameBuffer, decode_order
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.motion import payload as motion_payload
from dfccodec.codec.predict import order
from dfccodec.codec.predict.pictures import decode_kept
from dfccodec.container import chunks, pack, seek
from dfccodec.container.reader import Preamble, StreamReader
from dfccodec.container.records import Clip, Coding, Fill, Header, Packet, StreamInfo
from dfccodec.edit.random_access import open_file
from dfccodec.edit.recover import recover as recover_file
from dfccodec.edit.trim import trim as trim_file
from dfccodec.edit.verify import verify as verify_file
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.entropy.mixing.tables import Content
from dfccodec.entropy.predicted import divide, join
from dfccodec.errors import DfcError
from dfccodec.media import chapters
from dfccodec.media.time_range import Span
from dfccodec.terminal_text import escape_for_terminal

sys.path.append(str(seeds.FORMATS))
import read_dfc


@dataclass(frozen=True)
class Target:
    """A fuzz target: its function, seeds, mutator and limits."""

    name: str
    run: Callable[[bytes], str | None]
    seeds: Callable[[], list[bytes]]
    mutate: mutate.Mutator
    limits: Limits = field(default_factory=Limits)


class FlatModel:
    """A stand-in for the model of a file, without a network: each frame is the mean of its latents."""

    file_model = None

    def __init__(self, header: Header) -> None:
        self.model = SimpleNamespace(channels=header.channels, patch=header.patch, max_frames=header.clip_frames)

    def decode(self, slots: np.ndarray, known: np.ndarray, height: int, width: int, qp: int, *_: object) -> np.ndarray:
        """Slots (T, N, C) -> (T, height, width, 3)."""
        with np.errstate(all="ignore"):
            mean = slots.reshape(len(slots), -1).mean(axis=1)
        return np.broadcast_to(mean[:, None, None, None], (len(slots), height, width, 3)).astype(np.float32)

    def decode_frames(
        self, slots: np.ndarray, known: np.ndarray, height: int, width: int, qp: int,
        on_frame: Callable[[int, np.ndarray], None], wanted: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """See `LatentModel.decode_frames`."""
        for number in decode_order(known):
            on_frame(number, self.decode(slots[number : number + 1], known, height, width, qp)[0])


def _flat(preamble: Preamble) -> Any:
    return FlatModel(preamble.header)


class NullTrackSink:
    """A packet sink that counts audio and subtitle packets."""

    taken = 0

    def declare(self, info: StreamInfo) -> None:
        """Accept a stream."""

    def packets(self, stream: int, packets: Sequence[Packet]) -> None:
        """Accept packets of a stream."""
        self.taken += len(packets)


def header(data: bytes) -> None:
    """Read signature, HEAD, MODL, STEP, tool and tags of a file."""
    _ = StreamReader(io.BytesIO(data)).preamble.header.grid


def walk(data: bytes) -> str:
    """Read chunks and damage, which must cover the file without gap or overlap."""
    source = chunks.LookaheadReader(io.BytesIO(data))
    chunks.read_signature(source)
    place, kinds = 8, ""
    for item in chunks.iter_chunks(source):
        assert item.offset == place, (item.offset, place)
        place += item.size
        kinds += "c" if isinstance(item, chunks.Chunk) else "d"
    assert place == len(data), (place, len(data))
    return kinds[:12]


def clip(data: bytes) -> str:
    """Read a clip, write it and read it again; both records must be equal."""
    header = pack.unpack_header(data[: mutate.HEAD_BYTES])
    found = pack.unpack_clip(data[mutate.HEAD_BYTES :], header)
    assert len(found.timestamps) == found.frames
    once = pack.pack_clip(found, header)  # for one frame, a list of durations becomes a common duration
    assert pack.pack_clip(pack.unpack_clip(once, header), header) == once
    return f"{found.fill} {found.coding}"


def integers(data: bytes) -> str:
    """Decode the latents of a clip, encode and decode them again; they must be equal."""
    from dfccodec.entropy.latent_coding import encode_latents

    header = pack.unpack_header(data[: mutate.HEAD_BYTES])
    found = pack.unpack_clip(data[mutate.HEAD_BYTES :], header)
    check_affordable(found, header)
    values = decode_latents(found, header)
    coded, planes = encode_latents(values, found.coding)
    again = Clip(**{**found.__dict__, "latents": coded, "planes": planes})
    assert (decode_latents(again, header) == values).all()
    return f"{found.coding} {values.any()}"


def motion(data: bytes) -> str:
    """Read the motion payload of a clip, trim it and reconstruct its frames."""
    header = pack.unpack_header(data[: mutate.HEAD_BYTES])
    found = pack.unpack_clip(data[mutate.HEAD_BYTES :], header)
    check_affordable(found, header)
    if found.fill not in (Fill.MOTION, Fill.BLEND, Fill.GENERATE, Fill.DIRECT):
        raise TooExpensive("no motion")
    policy = fill.policy(found.fill)
    policy.check(found, header)
    policy.trim(found, header, found.kept & (np.arange(found.frames) % 3 > 0), 0)
    if pixels_of(found, header) > MAX_PIXELS or found.fill == Fill.GENERATE:  # the generator is no parser
        return "large"
    with ClipFrameBuffer(found, header, threads=1) as canvas:
        canvas.add_all(np.zeros((found.frames, header.height, header.width, 3), np.float32))
    return f"{found.frames}"


def predicted(data: bytes) -> str:
    """Read the latents of a clip in coding 3, write them again, decode its kept frames and trim it to three budgets."""
    header = pack.unpack_header(data[: mutate.HEAD_BYTES])
    found = pack.unpack_clip(data[mutate.HEAD_BYTES :], header)
    check_affordable(found, header)
    if found.coding != Coding.PREDICTED or not found.kept.any():
        raise TooExpensive("not predicted")
    values, field = decode_latents(found, header), order.read_motion(found, header)
    order.check_pictures(found, header)
    parts, place = divide(found), np.argsort(np.argsort(found.coding_order))
    types = parts.types
    content = Content.KEPT_MOTION if parts.mixed else None
    moving = motion_payload.write(field, content)
    rewritten = join(types, moving, values[place], parts.details, parts.motion_filter, parts.direct, parts.mixed)
    again = Clip(**{**found.__dict__, "latents": rewritten})
    assert (decode_latents(again, header) == values).all()
    assert (order.read_motion(again, header).blocks == field.blocks).all()
    assert divide(again).details == parts.details
    for count in {1, len(values) // 2, len(values) - 1} - {0, len(values)}:
        kept = np.isin(np.arange(found.frames), found.coding_order[:count])
        part = Clip(**{**found.__dict__, "kept": kept})
        part = order.trim(found, header, part, values[kept[found.kept]], 0)
        assert (decode_latents(part, header) == values[kept[found.kept]]).all()
        order.check_pictures(part, header)
        assert divide(part).details == parts.details[:count]
    if pixels_of(found, header) > MAX_PIXELS:
        return "large"
    seen: list[int] = []
    decode_kept(
        found, values, header, np.full(header.channels, 0.02, np.float32), cast(Any, FlatModel(header)),
        lambda frame, picture: seen.append(frame),
    )  # fmt: skip
    assert seen == found.coding_order.tolist()
    return f"{types.intra.tolist()} {bool(found.fill_payload)}"


def index(data: bytes) -> str:
    """Find and validate the index as a seeking reader does."""
    stream = io.BytesIO(data)
    found = seek.read_index(stream, 0)
    if found is None:
        return "none"
    header = StreamReader(io.BytesIO(data)).preamble.header
    return f"{len(found.clips)} {[seek.entry_matches_clip(stream, 0, entry, header) for entry in found.clips]}"


def tags(data: bytes) -> str:
    """Read pairs and chapters, and print them."""
    pairs = pack.unpack_pairs(data, "tags")
    found, others = chapters.from_tags(pairs)
    again, _ = chapters.from_tags(chapters.to_tags(found))
    assert len(again) == min(len(found), chapters.MAX_CHAPTERS)
    assert all(escape_for_terminal(text).isprintable() for pair in others for text in pair)
    return f"{len(found)} {len(others)}"


def inspect(data: bytes) -> str:
    """Run `dfc inspect` and `dfc inspect --json`, which must not print control characters."""
    for as_json in (False, True):
        printed = io.StringIO()
        with _standard(data, printed):
            inspect_verb(["-"], clips=True, json=as_json)
        assert as_json or all(line.isprintable() for line in printed.getvalue().split("\n"))
    return "good"


@contextlib.contextmanager
def _standard(data: bytes, printed: io.StringIO) -> Any:
    """Use `data` as standard input, and capture standard output."""
    old = sys.stdin
    sys.stdin = cast(Any, SimpleNamespace(buffer=io.BytesIO(data)))
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        sys.stdin = old


def verify(data: bytes) -> str:
    """Run `dfc verify`; faults are in the verdict."""
    check_file_affordable(data)
    return " ".join(sorted({fault.kind for fault in verify_file(io.BytesIO(data)).faults})) or "good"


def readers(data: bytes) -> str:
    """Read with `dfccodec` and with formats/read_dfc.py; both must accept or both must reject the file."""
    check_file_affordable(data, scale=20)  # plain Python is slow
    try:
        ours = "bad" if verify_file(io.BytesIO(data)).faults else "good"
    except DfcError:
        ours = "bad"
    try:
        read_dfc.read(data)
        theirs = "good"
    except (read_dfc.Refused, ValueError, RecursionError, zstandard.ZstdError):
        theirs = "bad"
    assert ours == theirs, f"dfccodec says {ours}, read_dfc says {theirs}"
    return ours


def trim(data: bytes) -> str:
    """Run `dfc trim`. If the input is valid, the output must be valid."""
    check_file_affordable(data, scale=2)
    dice = zlib.crc32(data)
    budget = (None, Budget.parse("1"), Budget.parse("25%"))[dice % 3]
    out = io.BytesIO()
    trim_file(io.BytesIO(data), out, budget, dice % 5, (None, 7, 40)[dice // 3 % 3])
    if not verify_file(io.BytesIO(data)).faults:
        out.seek(0)
        assert not (faults := verify_file(out).faults), faults[0].reason
        return "good"
    return "faulty"


def recover(data: bytes) -> str:
    """Run `dfc recover`. The output must be valid, and nothing of a valid input may be lost."""
    check_file_affordable(data, scale=3)
    out = io.BytesIO()
    found = recover_file(io.BytesIO(data), out)
    out.seek(0)
    again = verify_file(out)
    assert not again.faults, again.faults[0].reason
    if verify_file(io.BytesIO(data)).faults:
        return f"{min(found.clips, 3)} saved"
    assert not found.lost, found.lost
    return "good"


def decode(data: bytes) -> str:
    """Decode a file: completely or a range, with or without concealment, and by random access."""
    check_file_affordable(data, scale=3, pixels=True)
    dice = zlib.crc32(data)
    span = (Span(), Span.parse("#3", "#40"), Span.parse("0.1", duration="0.5"), Span.parse("2"))[dice % 4]
    decoder = Decoder(io.BytesIO(data), _flat, bool(dice & 8), tracks=NullTrackSink(), span=span)
    shown = size = 0
    for picture in decoder:
        shown, size = shown + 1, size + picture.rgb.size
        assert picture.rgb.shape == (decoder.preamble.header.height, decoder.preamble.header.width, 3)
        if size > 16 * MAX_PIXELS:
            raise TooExpensive("stands in for many lost frames")
    with open_file(data) as file:
        for view in file:
            _ = view.dequantized()
    return f"{shown > 0} {bool(decoder.damage)}"


def mux(data: bytes) -> str:
    """Run `dfc decode` into a container: tracks, tags, timestamps and colours of the file go to ffmpeg."""
    from dfccodec.media.output.sink import VideoSink

    check_file_affordable(data, scale=3, pixels=True)
    dice = zlib.crc32(data)
    kind, codec = (("matroska", "rawvideo"), ("mp4", "mpeg4"), ("avi", "rawvideo"), ("mp4", None))[dice % 4]
    decoder = Decoder(io.BytesIO(data), _flat, conceal=True)
    if decoder.preamble.header.width * decoder.preamble.header.height > MAX_PIXELS:
        raise TooExpensive("would show a large picture")
    with tempfile.TemporaryFile() as out, VideoSink(out, decoder.preamble.header, kind, codec, decoder.tags) as sink:
        decoder.tracks = sink
        for shown, picture in enumerate(decoder):
            sink.write(picture.rgb, picture.pts, picture.duration)
            if shown > 80:
                raise TooExpensive("many frames")
    return kind


def weights(data: bytes) -> str:
    """Read a `.safetensors` file and compute its fingerprint."""
    from dfccodec.models.weights import fingerprint, read_weights

    with tempfile.NamedTemporaryFile(suffix=".safetensors", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as f:
        f.write(data)
        f.flush()
        read = read_weights(Path(f.name))
        fingerprint(read.tensors)
    return f"{len(read.tensors)}"


_FILE = Limits(work=file_work)
_CLIP = Limits(work=clip_work)
_MUX = Limits(base_ms=150, base_mib=64, work=file_work)  # ffmpeg encoders start slowly and stay in memory

TARGETS = {
    target.name: target
    for target in (
        Target("header", header, seeds.vectors, mutate.file),
        Target("walk", walk, seeds.vectors, mutate.file),
        Target("clip", clip, seeds.clips, mutate.clip, _CLIP),
        Target("zstd", integers, lambda: seeds.clips(lambda c: c.coding == Coding.ZSTD), mutate.clip, _CLIP),
        Target("range", integers, lambda: seeds.clips(lambda c: c.coding == Coding.RANGE), mutate.clip, _CLIP),
        Target("inter", integers, lambda: seeds.clips(lambda c: c.coding == Coding.INTER), mutate.clip, _CLIP),
        Target("predicted", predicted, lambda: seeds.clips(lambda c: c.coding == Coding.PREDICTED), mutate.clip, _CLIP),
        Target("motion", motion, lambda: seeds.clips(lambda c: bool(c.fill_payload)), mutate.clip, _CLIP),
        Target("index", index, seeds.vectors, mutate.file),
        Target("tags", tags, seeds.pairs, mutate.havoc),
        Target("inspect", inspect, seeds.vectors, mutate.file, _FILE),
        Target("verify", verify, seeds.vectors, mutate.file, _FILE),
        Target("readers", readers, seeds.vectors, mutate.file, Limits(base_ms=5000)),  # plain Python
        Target("trim", trim, seeds.vectors, mutate.file, _FILE),
        Target("recover", recover, seeds.vectors, mutate.file, _FILE),
        Target("decode", decode, seeds.vectors, mutate.file, Limits(base_ms=60, base_mib=64, work=file_work)),
        Target("mux", mux, seeds.vectors, mutate.file, _MUX),
        Target("weights", weights, seeds.weight_files, mutate.safetensors),
    )
}
