"""Latents <-> integers: per-channel step × 2^(QP/8), round half to even (SPEC.md 6.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfccodec.entropy.inter.motion_compensation import motion_compensate
from dfccodec.entropy.inter.motion_estimation import estimate_motion
from dfccodec.runtime.resources import available_cpus, single_threaded_blas

# 2^(k/8) correctly rounded, as SPEC.md 6.2 lists them: not every C library's pow() would give these.
_EIGHTHS = [
    float.fromhex(f"0x1.{digits}p+0")
    for digits in (
        "0", "172b83c7d517b", "306fe0a31b715", "4bfdad5362a27", "6a09e667f3bcd", "8ace5422aa0db", "ae89f995ad3ad",
        "d5818dcfba487",
    )
]  # fmt: skip


def step_sizes(steps: np.ndarray, qp: int) -> np.ndarray:
    """Quantizer steps at a QP: (C,) float32 base steps -> (C,) float64. 2^(QP/8) is a power of two times a constant."""
    out: np.ndarray = steps.astype(np.float64) * (_EIGHTHS[qp % 8] * 2.0 ** (qp // 8))
    return out


DEFAULT_DEADZONE = 0.15
"""Slack of an encoder's rounding, in steps: 0.1 and 0.2 serve as well (benchmarks/quality/deadzone.py)."""


def quantize(
    latents: np.ndarray, steps: np.ndarray, qp: int, deadzone: float = 0.0, vectors: np.ndarray | None = None
) -> np.ndarray:
    """Latents -> integers; what leaves 16 bits is clipped.

    Args:
        latents: (K, …, C) float of a clip's kept frames in order.
        steps: (C,) float32 base steps.
        qp: quantizer index.
        deadzone: slack in steps, 0…0.5. An integer of the kept frame before stays as long as the latent is within ½ +
            snap
            of it: noise that would flip it back and forth costs many bits and is worth nothing. The encoder's choice
            alone; a reader knows nothing of it.
        vectors: (K, cells, 2) of the inter coding, which expects the frame before moved by them; then latents are
            (K, tiles, rows, columns, 96).

    Returns:
        (K, …, C) int16.
    """
    scaled = latents.astype(np.float64) / step_sizes(steps, qp)
    out: np.ndarray = np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)
    for k in range(1, len(out) if deadzone else 0):
        expected = out[k - 1]
        if vectors is not None:
            flat = expected.reshape(-1, out.shape[-1])
            expected = motion_compensate(flat, vectors[k], out.shape[1:4]).reshape(expected.shape)
        np.copyto(out[k], expected, where=np.abs(scaled[k] - expected) < 0.5 + deadzone)
    return out


@dataclass(frozen=True)
class Quantized:
    """Integers of a clip's kept frames.

    Attributes:
        values: (K, tiles, rows, columns, C) int16.
        vectors: (K, cells, 2) int16 for the inter coding; None where it is not used.
    """

    values: np.ndarray
    vectors: np.ndarray | None = None


@single_threaded_blas()
def quantize_inter(latents: np.ndarray, steps: np.ndarray, qp: int, deadzone: float, inter: bool) -> Quantized:
    """As :func:`quantize`; where integers are `inter`, with vectors searched for and snapped to what they expect."""
    values = quantize(latents, steps, qp, deadzone)
    if not inter or len(values) < 2:
        return Quantized(values)
    vectors = estimate_motion(values, available_cpus())
    return Quantized(quantize(latents, steps, qp, deadzone, vectors), vectors)


def dequantize(values: np.ndarray, steps: np.ndarray, qp: int) -> np.ndarray:
    """Integers (…, C) int16 -> latents (…, C) float32: product in binary64, rounded once to binary32."""
    with np.errstate(over="ignore"):  # hostile steps give infinities, which is what rounding to binary32 says
        out: np.ndarray = (values.astype(np.float64) * step_sizes(steps, qp)).astype(np.float32)
    return out


def estimate_base_steps(latents: np.ndarray) -> np.ndarray:
    """Base steps for a model that brings none: 1/32 of each channel's standard deviation on this video.

    Args:
        latents: (…, C) float, of the first clip.

    Returns:
        (C,) float32; at QP 24 a step is a quarter of a standard deviation.
    """
    spread = latents.reshape(-1, latents.shape[-1]).astype(np.float64).std(axis=0)
    floor = max(float(spread.max()) * 1e-3, 1e-6)  # a channel that happens to be flat in the first clip
    out: np.ndarray = (np.maximum(spread, floor) / 32).astype(np.float32)
    return out
