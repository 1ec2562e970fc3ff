"""A clip of fill policy `generate` at any time: its motion latents are functions of continuous time (SPEC.md 6.8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dfccodec.codec import fill
from dfccodec.codec.clip.decode import check_memory, decode_clip, run_decoder_network
from dfccodec.codec.clip.frame_buffer import round_samples
from dfccodec.codec.clip.quantizer import dequantize
from dfccodec.codec.fill.generate.policy import GenerateFill
from dfccodec.codec.fill.postprocess import BatchPostprocessor, Times
from dfccodec.codec.motion.blend import clamp
from dfccodec.container.reader import Preamble
from dfccodec.container.records import Clip, Fill
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.errors import UsageError
from dfccodec.media.picture import Picture
from dfccodec.runtime.resources import available_memory

if TYPE_CHECKING:
    from dfccodec.codec.loaded_model import LoadedModel

Bytes = npt.NDArray[np.uint8]

ShowLook = Callable[[Bytes, int], Bytes]

BATCH = 8
"""Frames that are made at once."""


class ContinuousClip:
    """The decoded kept frames of a clip; all other pictures are made when they are asked for.

    Args:
        clip: the clip, with the fill policy to be used.
        preamble: preamble of its file.
        loaded: the model of the file.
        look: filter of every picture (H, W, 3) uint8 at a quantizer index, or None.

    Raises:
        UsageError: the fill policy has no pictures between frames.
        DamagedError, ModelError, UnsupportedError: as for `decode_clip`.
    """

    def __init__(self, clip: Clip, preamble: Preamble, loaded: LoadedModel, look: ShowLook | None = None) -> None:
        policy = fill.policy(clip.fill)
        if not isinstance(policy, GenerateFill):
            raise UsageError(
                f"--rate needs fill policy generate, the file has {Fill(clip.fill).name.lower()}: give --cfr, which "
                "repeats frames, or encode with --fill generate"
            )
        self._clip, self._header, self._look = clip, preamble.header, look
        self._still: dict[int, Bytes] = {}
        self._composer: BatchPostprocessor | None = None
        if not clip.kept.any():  # left to the network, which makes no frame between frames
            self._still = dict(enumerate(decode_clip(clip, preamble, loaded)))
            return
        check_memory(clip, preamble.header, available_memory())
        values = decode_latents(clip, preamble.header)
        self._composer = policy.composer(clip, preamble.header, dequantize(values, preamble.steps, clip.qp))
        run_decoder_network(clip, values, preamble.header, preamble.steps, loaded, self._add, blend=False)

    def _add(self, number: int, picture: npt.NDArray[np.float32]) -> None:
        if self._clip.kept[number] and self._composer is not None:
            picture = clamp(picture)
            self._composer.add_reference(number, picture)
            self._still[number] = round_samples(picture)

    def pictures(self, times: Times) -> list[Bytes]:
        """Pictures (H, W, 3) at `times` (P,), in frames from the first frame of the clip."""
        made = self._faithful(times)
        look = self._look
        return made if look is None else [look(picture, self._clip.qp) for picture in made]

    def _faithful(self, times: Times) -> list[Bytes]:
        """As :meth:`pictures`, without the look."""
        if self._composer is None:
            return [self._still[int(time)] for time in times]
        made = [time for time in times if time not in self._still]
        new = [np.empty((self._header.height, self._header.width, 3), np.uint8) for _ in made]
        if made:
            self._composer.compose_at(np.array(made), new)
        rest = iter(new)
        return [self._still[int(time)] if time in self._still else next(rest) for time in times]

    def frames(self) -> list[Picture]:
        """The frames of the clip with their timestamps; pictures of dropped frames are not made yet."""
        clip = self._clip
        durations = clip.durations * (clip.frames if len(clip.durations) == 1 else 1)
        rows = enumerate(zip(clip.timestamps, durations, strict=True))
        return [ContinuousPicture(np.empty((0, 0, 3), np.uint8), pts, time, self, n) for n, (pts, time) in rows]


@dataclass(frozen=True)
class ContinuousPicture(Picture):
    """A frame of a `ContinuousClip`. `rgb` is empty.

    Args:
        clip: the clip.
        number: number of the frame in the clip.
    """

    clip: ContinuousClip
    number: int

    def pictures(self, fractions: list[float]) -> list[Bytes]:
        """Pictures while the frame is shown, at `fractions` of its duration."""
        return self.clip.pictures(self.number + np.array(fractions, np.float64))


def still(picture: Picture) -> Picture:
    """A frame with its picture made."""
    if isinstance(picture, ContinuousPicture):
        return Picture(picture.pictures([0])[0], picture.pts, picture.duration)
    return picture


def at_rate(pictures: Iterable[Picture], tick: Fraction, rate: Fraction) -> Iterator[Picture]:
    """Pictures at a constant rate. The first one is the first frame; other frames are repeated or left out.

    Args:
        pictures: frames with timestamps in ticks.
        tick: seconds.
        rate: pictures per second.

    Returns:
        pictures with timestamps in units of 1/rate; their number is the duration of the frames, rounded.
    """
    number: int | None = None
    zero = end = Fraction(0)
    last: Picture | None = None  # the last one is shown only if the video lasts for half of its duration
    for picture in pictures:
        begin, end = (time * tick * rate for time in (picture.pts, picture.pts + picture.duration))
        if number is None:
            number = round(begin)
            zero = begin - number
        while number < ceil(end - zero):
            numbers = range(number, min(number + BATCH, ceil(end - zero)))
            fractions = [max(float((zero + n - begin) / (end - begin)), 0.0) for n in numbers]
            made = (
                picture.pictures(fractions) if isinstance(picture, ContinuousPicture) else [picture.rgb] * len(numbers)
            )
            for n, rgb in zip(numbers, made, strict=True):
                if last is not None:
                    yield last
                last = Picture(rgb, n, 1)
            number = numbers.stop
    if last is not None and (last.pts < round(end - zero) or last.pts == round(zero)):
        yield last
