"""Frame selection: importance of `mini` compared with uniform and with optimal selections, protocol DFC-32.

    python -m benchmarks.quality.selection [--clips ../shared/clips/eval] [--qp 24] [--kept 6 8 4]
    python -m benchmarks.quality.selection --fill motion --kept 6   complete files, as by default of `dfc encode`
    python -m benchmarks.quality.selection --linear    PCA-96 with interpolation instead of the model: 1 minute

Each selection is coded and decoded by the same model at the same QP. "Measured" is dynamic programming over the real
cost of each gap between two kept frames: the squared error of source pixels against interpolated decoded frames. It
uses the output of the decoder, which importance does not, and is too slow for an encoder. "Even" distances leave half a
distance at both ends. "Strides" take every n-th frame from the first. "Ends" are even distances that include the first
and the last frame.
"""

from __future__ import annotations

import argparse
import io
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

import dfccodec as dfc
from benchmarks.clips import EVAL, FRAMES, dfc32_clips, mse, read_json, steps_of, table, uniform, write_json
from benchmarks.quality.gain_over_pca import through_linear
from dfccodec.codec.api import load_model
from dfccodec.codec.clip.quantizer import DEFAULT_DEADZONE, dequantize, quantize
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.records import Fill
from dfccodec.entropy.latent_coding import default_coding, encode_latents
from dfccodec.models.importance import optimal_selection
from dfccodec.runtime.resources import available_cpus


class Clip:
    """A clip and its latents; codes any selection of frames."""

    def __init__(self, frames: np.ndarray, loaded: LoadedModel, qp: int) -> None:
        self.frames, self.loaded, self.qp = frames, loaded, qp
        self.latents, importance = loaded.encode(frames, qp)
        self.importance = np.rint(importance * 255).astype(np.uint8)
        self.steps = steps_of(loaded)

    def code(self, kept: np.ndarray) -> tuple[np.ndarray, int]:
        """Return the quantized latents (K, N, 96) of the frames `kept` (T,) bool, and their size in bytes."""
        values = quantize(self.latents[kept], self.steps, self.qp, DEFAULT_DEADZONE)
        return values, self.size(values.reshape(len(values), 1, self.frames.shape[1] // 16, -1, 96))

    def size(self, values: np.ndarray) -> int:
        """Return the coded size of latents (K, 1, rows, columns, 96) in bytes."""
        return len(encode_latents(values, default_coding(self.loaded.model))[0])

    def decode(self, kept: np.ndarray) -> tuple[np.ndarray, int]:
        """Return all decoded frames, uint8, and the bytes of the latents, with the frames `kept` (T,) bool."""
        values, size = self.code(kept)
        slots = np.zeros_like(self.latents)
        slots[kept] = dequantize(values, self.steps, self.qp)
        back = self.loaded.decode(slots, kept, self.frames.shape[1], self.frames.shape[2], self.qp)
        return (np.clip(back, 0, 1) * 255 + 0.5).astype(np.uint8), size

    def measured_costs(self) -> np.ndarray:
        """Return the cost of interpolating decoded frames over each gap, (T + 2, T + 2), as in `models.importance`."""
        back = self.decode(np.ones(FRAMES, bool))[0].reshape(FRAMES, -1).astype(np.float32) / 255
        source = self.frames.reshape(FRAMES, -1).astype(np.float32) / 255
        inner, cross = (back @ back.T).astype(np.float64), (source @ back.T).astype(np.float64)
        square = np.square(source).sum(axis=1, dtype=np.float64)
        cost = np.full((FRAMES + 2, FRAMES + 2), np.inf)
        for i in range(FRAMES + 1):
            for j in range(i + 1, FRAMES + 2):
                a, b = (j - 1 if i == 0 else i - 1), (i - 1 if j == FRAMES + 1 else j - 1)
                inside = np.arange(i, j - 1)
                if a < 0 or a >= FRAMES:
                    continue
                w = np.zeros(len(inside)) if a == b else (inside - a) / (b - a)
                mix = (1 - w) ** 2 * inner[a, a] + w**2 * inner[b, b] + 2 * w * (1 - w) * inner[a, b]
                cost[i, j] = np.sum(square[inside] + mix - 2 * ((1 - w) * cross[inside, a] + w * cross[inside, b]))
        return cost


class WholeFile(Clip):
    """A clip coded by `dfc.encode` with its fill policy, and decoded from the file."""

    def decode(self, kept: np.ndarray) -> tuple[np.ndarray, int]:
        """See the base class, but bytes are those of the file."""
        out = io.BytesIO()
        model = FixedSelection(**vars(self.loaded), kept=kept)
        dfc.encode(self.frames, out, model=model, qp=self.qp, budget=str(int(kept.sum())), frame_rate=25)
        if not np.array_equal(dfc.open(io.BytesIO(out.getvalue()))[0].kept_indices, np.flatnonzero(kept)):
            raise RuntimeError("other frames were kept than were asked for")
        back = np.stack([picture.rgb for picture in Decoder(io.BytesIO(out.getvalue()), lambda _: self.loaded)])
        return back, len(out.getvalue())


@dataclass(frozen=True)
class FixedSelection(LoadedModel):
    """A model for which the frames `kept` (T,) bool are the most important ones."""

    kept: np.ndarray = field(kw_only=True)

    def encode(self, tile: np.ndarray, qp: int, keep: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """See `LoadedModel.encode`. It encodes all frames: with `keep`, `mini` computes good latents only for its own
        selection.
        """
        latents, importance = super().encode(tile, qp)
        return latents, (importance + self.kept).astype(np.float32) / 2


class LinearClip(Clip):
    """A clip coded with PCA-96, with interpolation of latents for dropped frames."""

    def __init__(self, frames: np.ndarray, loaded: LoadedModel, qp: int) -> None:
        self.frames, self.loaded, self.qp = frames, loaded, qp

    def decode(self, kept: np.ndarray) -> tuple[np.ndarray, int]:
        """See the base class."""
        values, back = through_linear(self.frames, self.loaded, kept, self.qp, Fill.LERP)
        return back, self.size(values)


def ends(kept: int) -> np.ndarray:
    """Return (32,) bool: even distances from the first frame to the last."""
    mask = np.zeros(FRAMES, bool)
    mask[np.rint(np.linspace(0, FRAMES - 1, kept)).astype(int)] = True
    return mask


def strides(kept: int) -> np.ndarray:
    """Return (32,) bool: every n-th frame from the first."""
    mask = np.zeros(FRAMES, bool)
    mask[np.arange(kept) * math.ceil(FRAMES / kept)] = True
    return mask


def main() -> None:
    parser = argparse.ArgumentParser(description="Choices of kept frames.")
    parser.add_argument("--clips", type=Path, default=EVAL)
    parser.add_argument("--qp", type=int, default=24)
    parser.add_argument("--kept", type=int, nargs="+", default=[6, 8, 4])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--fill", choices=["token", "motion"], default="token", help="motion: whole files")
    parser.add_argument("--linear", action="store_true", help="the linear code alone; leaves the result as it is")
    args = parser.parse_args()
    torch.set_num_threads(available_cpus())
    loaded = load_model(args.model)
    kind = LinearClip if args.linear else WholeFile if args.fill == "motion" else Clip
    found: dict[tuple[int, str], list[tuple[float, int]]] = {}
    for _, frames in dfc32_clips(args.clips):
        clip = kind(frames, loaded, args.qp)
        costs = clip.measured_costs()
        for kept in args.kept:
            choices = {"even": uniform(kept), "strides": strides(kept), "ends": ends(kept)}
            if not args.linear:
                _, importance = loaded.encode(frames, args.qp, kept)
                choices["importance"] = np.zeros(FRAMES, bool)
                choices["importance"][np.argsort(-importance, kind="stable")[:kept]] = True
            choices["measured"] = optimal_selection(costs, kept)
            for name, mask in choices.items():
                back, size = clip.decode(mask)
                found.setdefault((kept, name), []).append((mse(back, frames), size))
    rows, record = [], []
    for (kept, name), values in found.items():
        errors, sizes = zip(*values, strict=True)
        psnr = float(np.mean([-10 * math.log10(max(e, 1e-10)) for e in errors]))
        rows.append((kept, name, f"{np.mean(errors):.5f}", f"{psnr:.2f}", f"{np.mean(sizes) / 1000:.1f}"))
        measured = {"mse": np.mean(errors), "psnr": psnr, "bytes": np.mean(sizes)}
        record.append({"fill": args.fill, "kept": kept, "choice": name, **measured})
    print(table(("kept of 32", "choice", "MSE", "PSNR dB", "kB a clip"), rows))
    if not args.linear:
        others = [row for row in read_json("selection").get("rows", []) if row.get("fill", "token") != args.fill]
        record = sorted([*others, *record], key=lambda row: row["fill"] != "token")
        write_json("selection", {"qp": args.qp, "rows": record}, args.model)


if __name__ == "__main__":
    main()
