"""The data of a report page as JSON values; `page/*.js` reads them. Needs no torch."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Sequence
from fractions import Fraction
from importlib import metadata
from typing import TYPE_CHECKING, Any

from dfccodec.container.scan import Summary
from dfccodec.report.video_facts import Pairs, VideoFacts
from dfccodec.version import __version__

if TYPE_CHECKING:
    from dfccodec.report.compare import Comparison
    from dfccodec.report.videos import ComparedVideo

_METRICS = ("psnr", "ms_ssim", "lpips", "vmaf")
_DIGITS = 5


def compare_data(
    source: ComparedVideo, results: Sequence[tuple[Comparison, VideoFacts]], seconds: Sequence[Fraction],
    shown: Sequence[int], notes: Iterable[str], command: str,
) -> dict[str, Any]:  # fmt: skip
    """Data of the page of a comparison.

    Args:
        source: the source.
        results: figures and facts of each coded video.
        seconds: time of each source frame.
        shown: numbers of the source frames with pictures.
        notes: for the reader of the page.
        command: that made the page; empty if unknown.
    """
    coded = ", ".join(result.name for result, _ in results)
    return {
        "kind": "compare",
        "title": f"{source.name} and {coded}" if len(results) < 3 else f"{source.name} and {len(results)} coded videos",
        "source": {"name": source.name, "bytes": source.bytes},
        **_time(seconds, source.rate),
        "shown": list(shown),
        "videos": [_compared(result, facts, len(seconds)) for result, facts in results],
        "versions": _versions(command),
        "notes": list(notes),
    }


def inspect_data(
    name: str, summary: Summary, facts: VideoFacts, shown: Sequence[int], notes: Iterable[str], command: str
) -> dict[str, Any]:
    """Data of the page of one `.dfc` file; arguments as for :func:`compare_data`."""
    header, frames = summary.preamble.header, len(facts.kept)
    base = Fraction(header.time_base.num, header.time_base.den or 1)
    seconds = [stamp * base for head in summary.clips for stamp in head.clip.timestamps]
    bits_per_pixel = 8 * summary.size / max(frames * header.width * header.height, 1)
    video = _video(name, summary.size, header.width, header.height, bits_per_pixel, facts)
    return {
        "kind": "inspect",
        "title": name,
        "source": None,
        **_time(seconds, Fraction(header.rate.num, header.rate.den or 1)),
        "shown": list(shown),
        "videos": [video | {"bits": _round(facts.bits, 1), "motion": _round(facts.motion, 1), "equal": []}],
        "versions": _versions(command),
        "notes": list(notes),
    }


def _time(seconds: Sequence[Fraction], rate: Fraction) -> dict[str, Any]:
    return {"seconds": _round(map(float, seconds)), "frame_seconds": float(1 / rate) if rate else 0.04}


def _video(name: str, size: int, width: int, height: int, bits_per_pixel: float, facts: VideoFacts) -> dict[str, Any]:
    """What the page shows of any coded video, with its own frames."""
    return {
        "name": name, "caption": name, "bytes": size, "width": width, "height": height,
        "bits_per_pixel": round(bits_per_pixel, 6), "summary": {}, "quality": {},
        "kept": list(map(int, facts.kept)), "importance": facts.importance, "clips": facts.clips,
        "parts": facts.parts, "settings": facts.settings, "notes": facts.notes,
    }  # fmt: skip


def _compared(result: Comparison, facts: VideoFacts, count: int) -> dict[str, Any]:
    """A coded video with values of its frames at the places of the source frames."""
    places = [(frame.source, frame.coded) for frame in result.frames]

    def placed(values: Sequence[Any], numbers: Iterable[tuple[int, int]] = places) -> list[Any]:
        out: list[Any] = [None] * count
        for place, number in numbers if values else []:
            out[place] = values[number]
        return out if values else []

    measured = [(place, number) for number, (place, _) in enumerate(places)]
    per_frame = {name: [getattr(frame, name) for frame in result.frames] for name in _METRICS[:-1]}
    per_frame["vmaf"] = list(result.vmaf)
    source_of = {number: place for place, number in places}
    quality = {name: placed(_round(values), measured) for name, values in per_frame.items()}
    known = {name: values for name, values in quality.items() if any(value is not None for value in values)}
    video = _video(result.name, result.bytes, result.width, result.height, result.bits_per_pixel, facts)
    return video | {
        "caption": result.caption,
        "summary": {name: _finite(result.quality[name]) for name in _METRICS} | {"equal": _all_equal(result)},
        "quality": known,
        "equal": [frame.source for frame in result.frames if not frame.mse],
        "kept": placed(video["kept"]), "importance": placed(facts.importance),
        "clips": [source_of[clip] for clip in facts.clips if clip in source_of],
        "bits": placed(_round(facts.bits, 1)), "motion": placed(_round(facts.motion, 1)),
    }  # fmt: skip


def _all_equal(result: Comparison) -> bool:
    return bool(result.frames) and result.quality["psnr"] is None


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, _DIGITS)


def _round(values: Iterable[float | None], digits: int = _DIGITS) -> list[float | None]:
    return [None if value is None or not math.isfinite(value) else round(value, digits) for value in values]


def _versions(command: str) -> Pairs:
    packages = [(name, metadata.version(name)) for name in ("torch", "av", "numpy")]
    made = [("command", command)] if command else []
    return [*made, ("dfc", __version__), ("Python", platform.python_version()), *packages]
