"""Quantizer of latents: step per channel × 2^(QP/8), round half to even (SPEC.md 6.2)."""

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
    """Quantizer steps (C,) float64 at a QP, from base steps (C,) float32. 2^(QP/8) is a power of two times a
    constant."""
    out: np.ndarray = steps.astype(np.float64) * (_EIGHTHS[qp % 8] * 2.0 ** (qp // 8))
    return out


DEFAULT_DEADZONE = 0.15
"""Default dead zone in quantizer steps; 0.1 and 0.2 are as good (benchmarks/quality/deadzone.py)."""


def quantize(
    latents: np.ndarray, steps: np.ndarray, qp: int, deadzone: float = 0.0, vectors: np.ndarray | None = None
) -> np.ndarray:
    """Quantize latents to integers, clipped to 16 bits.

    Args:
        latents: (K, …, C) float, the kept frames of a clip in order.
        steps: (C,) float32 base steps.
        qp: quantizer index.
        deadzone: 0…0.5 steps. A latent within 0.5 + `deadzone` of its prediction takes the predicted value: noise that
            flips integers back and forth costs many bits and gains nothing. This is a non-normative encoder decision.
        vectors: (K, cells, 2), motion vectors of the inter coding: the prediction is the previous kept frame,
            motion-compensated; latents are then (K, tiles, rows, columns, 96). Without vectors it is the previous kept
            frame.

    Returns:
        (K, …, C) int16.
    """
    out: np.ndarray = np.empty(latents.shape, np.int16)
    sizes = step_sizes(steps, qp)
    for k, frame in enumerate(latents):  # one at a time: numbers in float64 take much memory
        scaled = frame / sizes
        out[k] = np.clip(np.rint(scaled), -32768, 32767)
        if not k or not deadzone:
            continue
        prediction = out[k - 1]
        if vectors is not None:
            flat = prediction.reshape(-1, out.shape[-1])
            prediction = motion_compensate(flat, vectors[k], out.shape[1:4]).reshape(prediction.shape)
        np.copyto(out[k], prediction, where=np.abs(scaled - prediction) < 0.5 + deadzone)
    return out


@dataclass(frozen=True)
class Quantized:
    """Quantized latents of the kept frames of a clip.

    Attributes:
        values: (K, tiles, rows, columns, C) int16.
        vectors: motion vectors (K, cells, 2) int16 of the inter coding; None without it.
    """

    values: np.ndarray
    vectors: np.ndarray | None = None


@single_threaded_blas()
def quantize_inter(latents: np.ndarray, steps: np.ndarray, qp: int, deadzone: float, inter: bool) -> Quantized:
    """Quantize latents; if `inter`, with motion estimation and a dead zone around the motion-compensated prediction."""
    values = quantize(latents, steps, qp, deadzone)
    if not inter or len(values) < 2:
        return Quantized(values)
    vectors = estimate_motion(values, available_cpus())
    return Quantized(quantize(latents, steps, qp, deadzone, vectors), vectors)


def dequantize(values: np.ndarray, steps: np.ndarray, qp: int) -> np.ndarray:
    """Dequantize integers (…, C) int16 to latents (…, C) float32: product in binary64, rounded once to binary32."""
    with np.errstate(over="ignore"):  # steps of a hostile file can give infinities
        out: np.ndarray = (values.astype(np.float64) * step_sizes(steps, qp)).astype(np.float32)
    return out


def estimate_base_steps(latents: np.ndarray) -> np.ndarray:
    """Base steps for a model without its own: 1/32 of the standard deviation of each channel in this video.

    Args:
        latents: (…, C) float, those of the first clip.

    Returns:
        (C,) float32; at QP 24 a step is a quarter of a standard deviation.
    """
    spread = latents.reshape(-1, latents.shape[-1]).astype(np.float64).std(axis=0)
    floor = max(float(spread.max()) * 1e-3, 1e-6)  # for a channel that is constant in the first clip
    out: np.ndarray = (np.maximum(spread, floor) / 32).astype(np.float32)
    return out
