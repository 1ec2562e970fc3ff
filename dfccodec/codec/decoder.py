"""The streaming decoder: a `.dfc` file in, pictures out, one clip at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np

from dfccodec.codec import fill, tiles
from dfccodec.codec.integers import decode_clip_integers
from dfccodec.codec.loaded import Loaded
from dfccodec.codec.quantizer import dequantize
from dfccodec.codec.runtime import free_threads
from dfccodec.container.chunks import FRAME_BYTES, Damage
from dfccodec.container.reader import ClipAt, IndexAt, Packets, Preamble, StreamReader
from dfccodec.container.records import Clip, Header, StreamInfo
from dfccodec.errors import DamagedError
from dfccodec.media.picture import PacketSink, Picture


def decode_clip(clip: Clip, preamble: Preamble, loaded: Loaded) -> np.ndarray:
    """All frames of a clip, kept and dropped: (T, H, W, 3) uint8, rounded half up."""
    header = preamble.header
    fill.policy(clip.fill)  # an unknown one is refused before the work
    frames = model_frames(clip, decode_clip_integers(clip, header), header, preamble.steps, loaded)
    return finished(frames, clip, header)


def finished(frames: np.ndarray, clip: Clip, header: Header) -> np.ndarray:
    """What the model makes of a clip, (T, H, W, 3) float32, used up -> its frames as they are shown, uint8."""
    fill.policy(clip.fill).paint(frames, clip, header, free_threads())
    rounded = np.empty(frames.shape, np.uint8)
    for source, target in zip(frames, rounded, strict=True):  # frame by frame: a 4K clip of floats is 3 GB already
        target[:] = np.nan_to_num(np.clip(source, 0, 1)) * 255 + 0.5
    return rounded


def model_frames(clip: Clip, values: np.ndarray, header: Header, steps: np.ndarray, loaded: Loaded) -> np.ndarray:
    """What the model makes of a clip's integers: (T, H, W, 3) float32, not clamped."""
    latents = dequantize(values, steps, clip.qp)
    policy = fill.policy(clip.fill)
    height, width = (header.tile, header.tile) if header.tile else tiles.padded_size(header)
    out = []
    for tile in range(values.shape[1]):
        tokens = latents[:, tile].reshape(len(latents), -1, header.channels)
        slots, known = policy.fill(tokens, clip.kept, clip.fill_payload)
        out.append(loaded.decode(slots, known, height, width, clip.qp))
    return tiles.join(out, header)


MIN_CLIP_BYTES = FRAME_BYTES + 34
"""Bytes of the smallest clip chunk: framing, head, one byte of kept bits, one of importance, one duration."""


class Decoder:
    """Iterate over the frames of a file.

    Args:
        stream: a binary stream; need not seek.
        load: called with the preamble to get the model the file needs.
        conceal: go on after damage: frames of a lost clip repeat the last good frame, or the first good one.
        close: close the stream when the iteration ends.
        tracks: where sound and subtitles go, as they come; may be set until the iteration begins.

    Attributes:
        preamble: header, model, steps, tags.
        damage: what was met, with `conceal`; complete once the iteration has ended.
        lost: (first frame, count) of every stretch of missing frames. A stretch longer than the damaged bytes can have
            held gets no stand-ins: a number in a file must not make a reader produce four billion frames.

    Raises:
        DamagedError: the file is damaged and `conceal` is off.
        ModelError: the model is missing or another.
    """

    def __init__(
        self,
        stream: BinaryIO,
        load: Callable[[Preamble], Loaded],
        conceal: bool = False,
        close: bool = False,
        tracks: PacketSink | None = None,
    ) -> None:
        self._owned = stream if close else None
        self._reader = StreamReader(stream)
        self.preamble = self._reader.preamble
        self._loaded = load(self.preamble)
        self._conceal = conceal
        self.tracks = tracks
        self.damage: list[Damage] = []
        self.lost: list[tuple[int, int]] = []
        self._next = 0  # number of the frame expected next
        self._room = 0  # damaged bytes since the last good clip
        self._last: Picture | None = None

    def __iter__(self) -> Iterator[Picture]:
        try:
            for item in self._reader:
                if isinstance(item, Damage):
                    self._note(item)
                elif isinstance(item, ClipAt):
                    yield from self._clip(item)
                elif isinstance(item, StreamInfo) and self.tracks:
                    self.tracks.declare(item)
                elif isinstance(item, Packets) and self.tracks:
                    self.tracks.packets(item.stream, item.packets)
                elif isinstance(item, IndexAt) and item.index.frames > self._next:
                    yield from self._bridge(item.index.frames, None)
        finally:
            if self._owned is not None:
                self._owned.close()

    def _note(self, damage: Damage) -> None:
        if not self._conceal:
            raise DamagedError(f"{damage.reason}; decode --conceal gives back what is whole", damage.offset)
        self.damage.append(damage)
        self._room += damage.size

    def _clip(self, at: ClipAt) -> Iterator[Picture]:
        clip = at.clip
        if clip.first_frame < self._next:
            self._note(Damage(at.offset, at.size, f"clip begins at frame {clip.first_frame}, {self._next} expected"))
            return
        try:
            frames = decode_clip(clip, self.preamble, self._loaded)
        except DamagedError as error:
            self._note(Damage.of(error, at.offset, at.size))
            return
        durations = clip.durations * (clip.frames if len(clip.durations) == 1 else 1)
        pictures = [Picture(*row) for row in zip(frames, clip.timestamps, durations, strict=True)]
        if clip.first_frame > self._next:
            yield from self._bridge(clip.first_frame, pictures[0])
        yield from pictures
        self._next = clip.first_frame + clip.frames
        self._last = pictures[-1]
        self._room = 0

    def _bridge(self, until: int, after: Picture | None) -> Iterator[Picture]:
        """Stand-ins for the frames from the one expected to `until`, evenly over the time that is missing."""
        count, first = until - self._next, self._next
        if not self._conceal:
            raise DamagedError(f"frames {first} to {until - 1} are missing; decode --conceal gives back the rest")
        self._next = until
        self.lost.append((first, count))
        # A frame number is only a claim: no more stand-ins than the damaged bytes can have held frames.
        if count > self.preamble.header.clip_frames * (self._room // MIN_CLIP_BYTES + 1):
            return
        model = self._last or after
        if model is None:
            return
        tick = self._nominal()
        start = self._last.pts + self._last.duration if self._last else model.pts - count * tick
        end = after.pts if after else start + count * tick
        for i in range(count):
            a, b = start + (end - start) * i // count, start + (end - start) * (i + 1) // count
            yield Picture(model.rgb, a, max(b - a, 1))

    def _nominal(self) -> int:
        """Ticks a frame lasts by the header's rate."""
        h = self.preamble.header
        if not h.rate.num:
            return 1
        return max(1, round(h.rate.den * h.time_base.den / (h.rate.num * h.time_base.num)))
