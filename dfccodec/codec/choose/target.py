"""Rate and quality targets: a size, a bitrate, a PSNR or a λ. Imports neither torch nor av."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dfccodec.errors import DfcError, UsageError

SIZE_TOLERANCE = 0.03
"""Relative tolerance of a size or bitrate, in both directions."""

PSNR_TOLERANCE = 0.2
"""Tolerance of a PSNR: dB above its minimum."""

_ROUNDING = 1e-9
_UNITS = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_RATES = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
_OPTIONS = {"size": "--target-size", "bitrate": "--bitrate", "psnr": "--min-psnr", "lambda": "--lambda"}


@dataclass(frozen=True)
class Target:
    """Target of an encode.

    Args:
        kind: "size" (bytes of the file), "bitrate" (bits of the file per second of video), "psnr" (minimum RGB-PSNR of
            the whole video in dB) or "lambda" (λ: squared error, summed over samples in 0…1, per bit).
        value: the target value.
        strict: whether missing the target is an error.
    """

    kind: str
    value: float
    strict: bool = False

    @classmethod
    def of(
        cls,
        size: str | int | None = None,
        bitrate: str | float | None = None,
        min_psnr: float | None = None,
        rd_lambda: float | None = None,
        strict: bool = False,
    ) -> Target | None:
        """The target given by options or arguments; None if none is given.

        Raises:
            UsageError: more than one target is given, a value is invalid, or `strict` is given without a target.
        """
        given = {
            "size": None if size is None else float(parse_size(size)),
            "bitrate": None if bitrate is None else parse_rate(bitrate),
            "psnr": min_psnr,
            "lambda": rd_lambda,
        }
        found = {kind: value for kind, value in given.items() if value is not None}
        if len(found) > 1:
            raise UsageError(f"{' and '.join(_OPTIONS[kind] for kind in found)} are given: give only one of them")
        if strict and (not found or "lambda" in found):
            raise UsageError("--strict is given without a target: add --target-size, --bitrate or --min-psnr")
        for kind, value in found.items():
            return cls(kind, float(value), strict)
        return None

    def __post_init__(self) -> None:
        if self.kind == "psnr" and not 0 < self.value <= 90:
            raise UsageError(f"--min-psnr {self.value:g} is out of range: give dB above 0, to 90")
        if not 0 < self.value < 2**63:
            raise UsageError(f"{self.option} {self.value:g} is out of range: give a number above 0")

    @property
    def option(self) -> str:
        """The command-line option of the target."""
        return _OPTIONS[self.kind]

    def __str__(self) -> str:
        """The command-line option and its value."""
        return f"{self.option} {self.value:.12g}"


@dataclass(frozen=True)
class Outcome:
    """Outcome of an encode with a target.

    Args:
        target: the target.
        reached: the value reached, in bytes, bits per second or dB; for "lambda" the target value.
        psnr: RGB-PSNR of the whole video in dB.
    """

    target: Target
    reached: float
    psnr: float

    @property
    def miss(self) -> float:
        """Relative deviation from the target; for a PSNR the difference in dB."""
        wanted = self.target.value
        return self.reached - wanted if self.target.kind == "psnr" else self.reached / wanted - 1

    @property
    def met(self) -> bool:
        """Whether the deviation is within tolerance."""
        low, high = (0, PSNR_TOLERANCE) if self.target.kind == "psnr" else (-SIZE_TOLERANCE, SIZE_TOLERANCE)
        return low - _ROUNDING <= self.miss <= high + _ROUNDING

    def __str__(self) -> str:
        """One line of text for users."""
        if self.target.kind == "psnr":
            text = f"{self.reached:.2f} dB reached ({self.miss:+.2f} dB)"
        elif self.target.kind == "lambda":
            return f"{self.target}: {self.psnr:.2f} dB"
        else:
            unit = "bytes" if self.target.kind == "size" else "bits per second"
            text = f"{self.reached:.0f} {unit} reached ({self.miss * 100:+.1f} %)"
        return f"{self.target}: {text}{'' if self.met else ', outside tolerance'}"

    def record(self) -> dict[str, str | float | bool]:
        """The JSON form: target and reached value, deviation, whether it is within tolerance."""
        target = self.target
        return {
            "kind": target.kind, "wanted": target.value, "reached": self.reached, "error": self.miss, "met": self.met,
            "psnr": self.psnr,
        }  # fmt: skip

    def require(self) -> None:
        """Check a strict target.

        Raises:
            DfcError: the target was missed.
        """
        if not self.met:
            raise DfcError(f"{self}; give a target that can be reached, or leave out --strict")


def parse_size(text: str | int, option: str = "--target-size") -> int:
    """Parse a size such as `2MiB`, `300kB`, `1.5 MB` or plain bytes; K and M are powers of 1000, Ki and Mi of 1024.

    Raises:
        UsageError: the text is not a size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?i?b|)", str(text).strip().lower())
    if not found or found[2] not in _UNITS or float(found[1]) * _UNITS[found[2]] < 1:
        raise UsageError(f"{option} {str(text)!r} is not understood; give bytes, or as 300kB, 2MB, 2MiB")
    return int(float(found[1]) * _UNITS[found[2]])


def parse_rate(text: str | float) -> float:
    """Parse a bitrate such as `300k`, `1.5M` or plain bits per second; k and M are powers of 1000.

    Raises:
        UsageError: the text is not a bitrate.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)(?:bit/s|bps)?", str(text).strip().lower())
    if not found or not float(found[1]):
        raise UsageError(f"--bitrate {str(text)!r} is not understood; give bits per second, or as 300k, 1.5M")
    return float(found[1]) * _RATES[found[2]]
