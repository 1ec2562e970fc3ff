"""Quality of the frames of a coded video: PSNR, MS-SSIM and LPIPS of each, in batches of a few frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dfccodec.errors import DfcError, UsageError
from dfccodec.metrics.lpips import MIN_SIDE, Lpips, load_lpips
from dfccodec.metrics.ssim import WEIGHTS, WINDOW, ms_ssim_planes
from dfccodec.metrics.vmaf import VmafFiles
from dfccodec.report.videos import TimedFrame

METRICS = ("psnr", "ms-ssim", "lpips", "vmaf")
MIN_MS_SSIM_SIDE = WINDOW << (len(WEIGHTS) - 1)
MIN_VMAF_SIDE = 24
"""At 16 pixels libvmaf crashes."""
MAX_VMAF_BYTES = 4 << 30
"""Maximum size of the raw frames that are written for VMAF by default."""
_BATCH = 8

Pixels = npt.NDArray[np.uint8]


def parse_metrics(text: str) -> tuple[str, ...]:
    """Parse names of metrics with commas between them; an empty text is none.

    Raises:
        UsageError: a name is unknown.
    """
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in names:
        if name not in METRICS:
            raise UsageError(f"metric {name!r} is unknown: give some of {', '.join(METRICS)}")
    return names


@dataclass(frozen=True)
class FrameQuality:
    """Quality of one frame; a metric that was not measured is None.

    Attributes:
        seconds: time of the source frame.
        kept: as in `TimedFrame`.
        source, coded: numbers of the source frame and of the coded frame in their videos.
        mse: mean squared error over RGB in [0, 1].
        ms_ssim: 0 to 1.
        lpips: 0 or more, lower is better.
    """

    seconds: Fraction
    kept: bool | None
    source: int
    coded: int
    mse: float
    ms_ssim: float | None = None
    lpips: float | None = None

    @property
    def psnr(self) -> float:
        """PSNR in dB; infinite for equal frames."""
        return -10 * math.log10(self.mse) if self.mse else math.inf


@dataclass
class Tools:
    """The metrics that can be measured.

    Attributes:
        ms_ssim: whether pictures are large enough.
        lpips: the network, or None.
        vmaf: whether VMAF is measured.
        missing: one line for each metric that was asked for and cannot be measured.
    """

    ms_ssim: bool = False
    lpips: Lpips | None = None
    vmaf: bool = False
    missing: list[str] = field(default_factory=list)

    @classmethod
    def choose(cls, wanted: tuple[str, ...], size: tuple[int, int], frames: int) -> Tools:
        """Choose the metrics for frames of `size` (width, height).

        Args:
            wanted: of `METRICS`; empty for all that are at hand.
            size: of the source.
            frames: number of frames, 0 if unknown.
        """
        out = cls()
        asked = wanted or METRICS
        if "ms-ssim" in asked:
            out.ms_ssim = min(size) >= MIN_MS_SSIM_SIDE
            if not out.ms_ssim:
                out.missing.append(f"MS-SSIM needs sides of at least {MIN_MS_SSIM_SIDE} pixels")
        if "lpips" in asked:
            if min(size) < MIN_SIDE:
                out.missing.append(f"LPIPS needs sides of at least {MIN_SIDE} pixels")
            else:
                out._try(cls._with_lpips)
        if "vmaf" in asked and min(size) < MIN_VMAF_SIDE:
            out.missing.append(f"VMAF needs sides of at least {MIN_VMAF_SIDE} pixels")
        elif "vmaf" in asked:
            raw = 6 * size[0] * size[1] * frames
            if not wanted and raw > MAX_VMAF_BYTES:
                needed = f"{raw / 2**30:.0f} GiB"
                out.missing.append(f"VMAF would write {needed} of raw frames; ask for it with --metrics vmaf")
            else:
                out._try(cls._with_vmaf)
        return out

    def _try(self, load: Callable[[Tools], None]) -> None:
        try:
            load(self)
        except DfcError as error:
            self.missing.append(str(error))

    def _with_lpips(self) -> None:
        self.lpips = load_lpips()

    def _with_vmaf(self) -> None:
        VmafFiles.check()
        self.vmaf = True


class Meter:
    """Measures the matched frames of one coded video.

    Args:
        tools: the metrics.
        size: (width, height) of the frames.
    """

    def __init__(self, tools: Tools, size: tuple[int, int]) -> None:
        self._tools, self._waiting = tools, list[tuple[TimedFrame, TimedFrame]]()
        self._files = VmafFiles(*size) if tools.vmaf else None
        self.frames: list[FrameQuality] = []
        self.vmaf: list[float] = []

    def close(self) -> None:
        """Delete temporary files."""
        if self._files:
            self._files.close()

    def add(self, source: TimedFrame, coded: TimedFrame) -> None:
        """Add a pair of frames of one size."""
        if self._files:
            self._files.add(source.rgb, coded.rgb)
        self._waiting.append((source, coded))
        if len(self._waiting) == _BATCH:
            self._measure()

    def finish(self, threads: int = 1) -> None:
        """Measure what is left, and VMAF."""
        self._measure()
        if self._files and self.frames:
            self.vmaf = self._files.measure(threads)
        self.close()

    @torch.inference_mode()
    def _measure(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        a, b = (_planes([frame.rgb for frame in side]) for side in zip(*waiting, strict=True))
        squares = [float(x.double().sub(y.double()).square().mean()) for x, y in zip(a, b, strict=True)]
        structure = ms_ssim_planes(a, b).mean(1).tolist() if self._tools.ms_ssim else [None] * len(waiting)
        distance = self._tools.lpips(a, b).tolist() if self._tools.lpips else [None] * len(waiting)
        for (source, coded), *values in zip(waiting, squares, structure, distance, strict=True):
            self.frames.append(FrameQuality(source.seconds, coded.kept, source.number, coded.number, *values))

    def summary(self) -> dict[str, Any]:
        """Mean quality: PSNR of the mean squared error over all frames, means of the other metrics, None if unknown."""
        mse = _mean([f.mse for f in self.frames])
        return {
            "psnr": None if mse is None else -10 * math.log10(mse) if mse else None,
            "ms_ssim": _mean([f.ms_ssim for f in self.frames]),
            "lpips": _mean([f.lpips for f in self.frames]),
            "vmaf": _mean(self.vmaf),
        }


def _mean(values: list[Any]) -> float | None:
    return None if not values or values[0] is None else math.fsum(values) / len(values)


def _planes(frames: list[Pixels]) -> Tensor:
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
