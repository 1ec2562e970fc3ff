"""What an encode is to reach: a size, a bitrate, a quality, or a price of a bit. Imports neither torch nor av."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dfccodec.errors import DfcError, UsageError

SIZE_TOLERANCE = 0.03
"""A size or bitrate counts as reached within this share of it, on either side."""

PSNR_TOLERANCE = 0.2
"""A PSNR counts as reached from its minimum to so many dB above."""

_ROUNDING = 1e-9
_UNITS = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_RATES = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
_OPTIONS = {"size": "--target-size", "bitrate": "--bitrate", "psnr": "--min-psnr", "lambda": "--lambda"}


@dataclass(frozen=True)
class Target:
    """What an encode is to reach.

    Args:
        kind: "size" (bytes of the whole file), "bitrate" (bits of the whole file a second of video), "psnr" (RGB-PSNR
            of the whole video in dB, a minimum) or "lambda" (squared error, of samples in 0…1 added up, that one bit
            must save).
        value: of that.
        strict: missing it is an error.
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
        """The target of a command line or a call, None where there is none.

        Raises:
            UsageError: more than one is given, a value is no such number, or `strict` has nothing to be strict about.
        """
        given = {
            "size": None if size is None else float(parse_size(size)),
            "bitrate": None if bitrate is None else parse_rate(bitrate),
            "psnr": min_psnr,
            "lambda": rd_lambda,
        }
        found = {kind: value for kind, value in given.items() if value is not None}
        if len(found) > 1:
            raise UsageError(f"{' and '.join(_OPTIONS[kind] for kind in found)} are given: one video, one target")
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
        """The command-line option that gives it."""
        return _OPTIONS[self.kind]

    def __str__(self) -> str:
        """The command-line option and its value."""
        return f"{self.option} {self.value:.12g}"


@dataclass(frozen=True)
class Outcome:
    """How an encode to a target ended.

    Args:
        target: what was wanted.
        reached: in the target's unit: bytes, bits a second or dB; for "lambda" its value.
        psnr: RGB-PSNR of the whole video in dB.
    """

    target: Target
    reached: float
    psnr: float

    @property
    def miss(self) -> float:
        """Reached over wanted, less 1; of a PSNR the difference in dB."""
        wanted = self.target.value
        return self.reached - wanted if self.target.kind == "psnr" else self.reached / wanted - 1

    @property
    def met(self) -> bool:
        """Within tolerance."""
        low, high = (0, PSNR_TOLERANCE) if self.target.kind == "psnr" else (-SIZE_TOLERANCE, SIZE_TOLERANCE)
        return low - _ROUNDING <= self.miss <= high + _ROUNDING

    def __str__(self) -> str:
        """One line for people."""
        if self.target.kind == "psnr":
            text = f"{self.reached:.2f} dB reached ({self.miss:+.2f} dB)"
        elif self.target.kind == "lambda":
            return f"{self.target}: {self.psnr:.2f} dB"
        else:
            unit = "bytes" if self.target.kind == "size" else "bits a second"
            text = f"{self.reached:.0f} {unit} reached ({self.miss * 100:+.1f} %)"
        return f"{self.target}: {text}{'' if self.met else ', outside tolerance'}"

    def record(self) -> dict[str, str | float | bool]:
        """For machines: what was wanted, what was reached, by how much it was missed and whether that is tolerable."""
        target = self.target
        return {
            "kind": target.kind, "wanted": target.value, "reached": self.reached, "error": self.miss, "met": self.met,
            "psnr": self.psnr,
        }  # fmt: skip

    def require(self) -> None:
        """For strict targets.

        Raises:
            DfcError: it was missed.
        """
        if not self.met:
            raise DfcError(f"{self}; give what can be reached, or leave out --strict")


def parse_size(text: str | int) -> int:
    """`2MiB`, `300kB`, `1.5 MB` or plain bytes -> bytes; K and M count in 1000, Ki and Mi in 1024.

    Raises:
        UsageError: the text is none of these.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?i?b|)", str(text).strip().lower())
    if not found or found[2] not in _UNITS or float(found[1]) * _UNITS[found[2]] < 1:
        raise UsageError(f"--target-size {str(text)!r} is not understood; give bytes, or as 300kB, 2MB, 2MiB")
    return int(float(found[1]) * _UNITS[found[2]])


def parse_rate(text: str | float) -> float:
    """`300k`, `1.5M` or plain bits a second -> bits a second; k and M count in 1000.

    Raises:
        UsageError: the text is none of these.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)(?:bit/s|bps)?", str(text).strip().lower())
    if not found or not float(found[1]):
        raise UsageError(f"--bitrate {str(text)!r} is not understood; give bits a second, or as 300k, 1.5M")
    return float(found[1]) * _RATES[found[2]]
