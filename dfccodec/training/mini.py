"""Train `mini` from a folder of footage: PCA, then the frame transform at all rates, then the filling of frames.

    python -m dfccodec.training.mini --data ../shared/clips/train --out runs/mini --minutes 60
    python -m dfccodec.training.mini --data ../shared/clips/train --out runs/mini --minutes 20 --stage fill

Each call goes on from `out/last.pt` where there is one, keeps the best weights by held-out loss in
`out/best.pt`, and writes a line of JSON per report to `out/log.jsonl`. `dfccodec.training.export` makes
the safetensors file that the package ships of it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dfccodec.models.mini import BASE_STEP, CHANNELS, Mini, neighbours
from dfccodec.training.footage import Scene, is_held_out, load_scenes
from dfccodec.training.linear import fit_pca
from dfccodec.training.rate import LaplaceRate

FILL_GRID = 10
"""Tokens on a side of the crops that the fill network is trained on: 160 pixels, several times the usual motion."""

FILL_QPS = (16, 20, 24, 28, 32, 36)
"""Quantizer indices that the fill network is trained at."""

QPS = (8, 48)
"""Range of quantizer indices drawn in training: steps 0.04 … 1.28."""


def step_of(qp: Tensor) -> Tensor:
    """Quantizer step of QP (B,), shaped to broadcast over (B, C, h, w)."""
    return (BASE_STEP * 2.0 ** (qp.float() / 8))[:, None, None, None]


def slope_of(qp: Tensor) -> Tensor:
    """λ in squared error per bit: minus the slope of the high-rate curve at this step, ln 2 / 6 · step²."""
    return math.log(2) / 6 * step_of(qp)[:, 0, 0, 0] ** 2


class Crops:
    """Random square crops from uint8 frames, with flips and sometimes a 2×2 reduction. Seeded by the step."""

    def __init__(self, frames: list[np.ndarray], size: int) -> None:
        self.frames, self.size = frames, size

    def batch(self, rng: np.random.Generator, count: int) -> Tensor:
        """(count, 3, size, size) float32 in [0, 1]."""
        out = np.empty((count, self.size, self.size, 3), dtype=np.float32)
        for i in range(count):
            frame = self.frames[rng.integers(len(self.frames))]
            shrink = 2 if rng.random() < 0.15 else 1
            side = self.size * shrink
            y, x = rng.integers(frame.shape[0] - side + 1), rng.integers(frame.shape[1] - side + 1)
            crop = frame[y : y + side, x : x + side].astype(np.float32)
            if shrink == 2:
                crop = crop.reshape(self.size, 2, self.size, 2, 3).mean(axis=(1, 3))
            out[i] = crop[:, ::-1] if rng.random() < 0.5 else crop
        return torch.from_numpy(out).permute(0, 3, 1, 2) / 255


def frame_loss(model: Mini, rate: LaplaceRate, x: Tensor, qp: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Squared error and bits per 16×16 patch for each picture of a batch, both (B,)."""
    with torch.autocast(x.device.type, torch.bfloat16):
        z = model.analyse(x, qp)
    step = step_of(qp)
    y = z.float() / step
    noise = torch.rand(y.shape, generator=rng, device=y.device) - 0.5
    bits = rate(y + noise, qp)
    rounded = y + (torch.round(y) - y).detach()  # straight through
    with torch.autocast(x.device.type, torch.bfloat16):
        back = model.synthesise(rounded * step, qp)
    patches = y.shape[2] * y.shape[3]
    error = (back.float() - x).square().sum(dim=(1, 2, 3)) / patches
    return error, bits.sum(dim=(1, 2, 3)) / patches


@torch.inference_mode()
def entropy(integers: Tensor) -> float:
    """Order-0 entropy per channel of (B, C, h, w) integers, in bits per patch."""
    total = 0.0
    flat = integers.transpose(0, 1).reshape(integers.shape[1], -1).round().long()
    for channel in flat:
        _, counts = torch.unique(channel, return_counts=True)
        p = counts.double() / channel.numel()
        total += float(-(p * p.log2()).sum())
    return total


@torch.inference_mode()
def validate(model: Mini, frames: Tensor, qps: tuple[int, ...] = (12, 20, 28, 36, 44)) -> list[dict[str, float]]:
    """Bits per pixel (order-0 entropy) and PSNR of held-out frames, ours and the linear code's at the same step."""
    rows = []
    for q in qps:
        qp = torch.full((1,), q)
        step = step_of(qp)
        row: dict[str, float] = {"qp": q}
        for name in ("linear", "mini"):
            ints, mses = [], []
            for frame in frames:
                x = frame[None]
                z = model.linear.analyse(x) if name == "linear" else model.analyse(x, qp)
                y = torch.round(z / step)
                back = model.linear.synthesise(y * step) if name == "linear" else model.synthesise(y * step, qp)
                mses.append(float((back.clamp(0, 1) - x).square().mean()))
                ints.append(y)
            row[f"{name}_bpp"] = entropy(torch.cat(ints)) / 256
            row[f"{name}_psnr"] = float(np.mean([-10 * math.log10(m) for m in mses]))
        rows.append(row)
    return rows


def gain(rows: list[dict[str, float]]) -> float:
    """Mean gain in dB over the linear code at equal bits, by interpolating the linear code's curve."""
    bits = np.log([r["linear_bpp"] for r in rows])[::-1]
    psnr = np.array([r["linear_psnr"] for r in rows])[::-1]
    return float(np.mean([r["mini_psnr"] - np.interp(math.log(r["mini_bpp"]), bits, psnr) for r in rows]))


class Run:
    """State of a training run: what is saved to `last.pt` and taken up again from it."""

    def __init__(self, args: argparse.Namespace, model: Mini, rate: LaplaceRate, parameters: list[Tensor]) -> None:
        self.args, self.model, self.rate = args, model, rate
        self.optimizer = torch.optim.Adam(parameters, lr=args.rate, betas=(0.9, 0.98), fused=True)
        self.step = 0
        self.best = -math.inf
        self.average = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.folder = Path(args.out)
        self.log = (self.folder / "log.jsonl").open("a")

    def descend(self, loss: Tensor) -> None:
        """One step of the optimizer down a scalar loss, gradients clipped to norm 1."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([p for g in self.optimizer.param_groups for p in g["params"]], 1.0)
        self.optimizer.step()
        self.step += 1
        self.update_average()

    def update_average(self) -> None:
        if self.step % 4:  # the copy costs as much as the optimizer
            return
        decay = min(0.998, (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)

    def report(self, **fields: Any) -> None:
        line = json.dumps({"step": self.step, **fields})
        self.log.write(line + "\n")
        self.log.flush()
        sys.stderr.write(line + "\n")

    def save(self, score: float) -> None:
        """Write `last.pt`, and `best.pt` where the averaged weights score higher than ever."""
        state = {
            "model": self.model.state_dict(), "rate": self.rate.state_dict(), "average": self.average,
            "optimizer": self.optimizer.state_dict(), "step": self.step, "best": max(self.best, score),
            "stage": self.args.stage,
        }  # fmt: skip
        _write(self.folder / "last.pt", state)
        if score > self.best:
            self.best = score
            _write(self.folder / "best.pt", {"model": self.average, "score": score, "step": self.step})


def _write(path: Path, state: dict[str, Any]) -> None:
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def train_frames(run: Run, frames: list[np.ndarray], held_out: Tensor) -> None:
    """The frame transform at every QP of `QPS` at once, for `--minutes`, on a cosine."""
    args, model = run.args, run.model
    crops = Crops(frames, args.crop)
    rng = np.random.default_rng(args.seed + run.step)
    noise = torch.Generator().manual_seed(args.seed + run.step)
    norm = torch.ones(64) * 0.0  # running mean of the loss per QP: every QP counts the same
    first, start, last, seen = run.step, time.monotonic(), time.monotonic(), []
    while (spent := (time.monotonic() - start) / 60) < args.minutes:
        part = spent / args.minutes
        warm = min(1.0, (run.step - first + 1) / 200)
        for group in run.optimizer.param_groups:
            group["lr"] = args.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part)))
        x = crops.batch(rng, args.batch).contiguous(memory_format=torch.channels_last)
        qp = torch.from_numpy(rng.integers(QPS[0], QPS[1] + 1, args.batch))
        error, bits = frame_loss(model, run.rate, x, qp, noise)
        loss = error + slope_of(qp) * bits
        with torch.no_grad():
            for q, value in zip(qp.tolist(), loss.tolist(), strict=True):
                norm[q] = value if norm[q] == 0 else 0.99 * norm[q] + 0.01 * value
        total = (loss / norm[qp]).mean()
        run.descend(total)
        seen.append(float(total.detach()))
        if time.monotonic() - last > args.report * 60:
            _check_frames(run, held_out, float(np.mean(seen)), spent)
            last, seen = time.monotonic(), []
    _check_frames(run, held_out, float(np.mean(seen or [0.0])), args.minutes)


def _check_frames(run: Run, held_out: Tensor, loss: float, minutes: float) -> None:
    current = {k: v.clone() for k, v in run.model.state_dict().items()}
    run.model.load_state_dict(run.average)
    rows = validate(run.model, held_out)
    run.model.load_state_dict(current)
    score = gain(rows)
    run.report(minutes=round(minutes, 1), loss=round(loss, 4), gain_db=round(score, 3), rows=rows)
    run.save(score)


def train_fill(run: Run, scenes: list[Scene], held_out: list[Scene]) -> None:
    """The network that fills dropped frames, on latents: squared error there is squared error of pixels, nearly."""
    args, model = run.args, run.model
    train = _clips_of(model, scenes, FILL_QPS)
    check = _clips_of(model, [Scene(s.source, s.frames[:32]) for s in held_out], (24,))
    rng = np.random.default_rng(args.seed + run.step)
    start, last, seen = time.monotonic(), time.monotonic(), []
    _check_fill(run, check, 0.0)
    while (spent := (time.monotonic() - start) / 60) < args.minutes:
        lr = args.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * spent / args.minutes)))
        for group in run.optimizer.param_groups:
            group["lr"] = lr
        past, future, where, qp, truth = _fill_batch(train, rng, args.batch)
        with torch.autocast("cpu", torch.bfloat16):
            out = model.fill_latents(past, future, where, qp)
        weight = (past + (future - past) * where[:, 0, None, None, None] - truth).square().mean(dim=(1, 2, 3))
        loss = ((out - truth).square().mean(dim=(1, 2, 3)) / (weight.detach() + 0.01)).mean()
        run.descend(loss)
        seen.append(float(loss.detach()))
        if time.monotonic() - last > args.report * 60:
            _check_fill(run, check, float(np.mean(seen)))
            last, seen = time.monotonic(), []
    _check_fill(run, check, float(np.mean(seen or [0.0])))


Clip = tuple[Tensor, int]
"""Latents (T, 96, h, w) of a scene in half precision, and the QP the encoder was told."""


@torch.inference_mode()
def _clips_of(model: Mini, scenes: list[Scene], qps: Sequence[int]) -> list[Clip]:
    """Latents of the centre 256×256 of each scene, the QPs dealt out in turn: the encoder's latents depend on it."""
    out = []
    for number, scene in enumerate(scenes):
        qp = qps[number % len(qps)]
        index = torch.full((1,), qp)
        h, w = (min(side, 256) // 16 * 16 for side in scene.frames.shape[1:3])
        y, x = (scene.frames.shape[1] - h) // 2, (scene.frames.shape[2] - w) // 2
        crop = torch.from_numpy(scene.frames[:, y : y + h, x : x + w]).permute(0, 3, 1, 2)
        with torch.autocast("cpu", torch.bfloat16):
            z = torch.cat([model.analyse(f[None].float() / 255, index) for f in crop])
        out.append((z.half(), qp))
    return out


def _fill_batch(clips: list[Clip], rng: np.random.Generator, count: int) -> tuple[Tensor, ...]:
    """A batch of dropped frames: past, future (B, 96, h, w), where (B, 3), qp (B,), truth (B, 96, h, w)."""
    rows = []
    for _ in range(count):
        clip, q = clips[rng.integers(len(clips))]
        span = int(rng.integers(2, 13))
        begin = int(rng.integers(0, max(1, len(clip) - span)))
        kept = np.zeros(min(span + 1, len(clip)), dtype=bool)
        kept[[0, -1]] = True
        if rng.random() < 0.15:  # the end of a clip: one side only
            kept[-1 if rng.random() < 0.5 else 0] = False
        past, future, where = neighbours(kept)
        pick = rng.integers(len(past))
        slot = np.flatnonzero(~kept)[pick]
        h, w = (min(side, FILL_GRID) for side in clip.shape[2:])
        y, x = int(rng.integers(clip.shape[2] - h + 1)), int(rng.integers(clip.shape[3] - w + 1))
        window = clip[begin : begin + len(kept), :, y : y + h, x : x + w].float()
        if rng.random() < 0.5:
            window = window.flip(0)
        rows.append(
            (window[past[pick]], window[future[pick]], torch.from_numpy(where[pick]), window[slot], torch.tensor(q))
        )
    stacked: list[Tensor] = [torch.stack(column) for column in zip(*rows, strict=True)]
    past_z, future_z, places, truth, qp = stacked
    step = step_of(qp)
    return torch.round(past_z / step) * step, torch.round(future_z / step) * step, places, qp, truth


@torch.inference_mode()
def _check_fill(run: Run, clips: list[Clip], loss: float) -> None:
    """Gain in dB over interpolation of latents on held-out clips, 6 of 32 kept."""
    current = {k: v.clone() for k, v in run.model.state_dict().items()}
    run.model.load_state_dict(run.average)
    kept = np.zeros(32, dtype=bool)
    kept[np.rint(np.linspace(2, 29, 6)).astype(int)] = True
    past, future, where = neighbours(kept)
    at = torch.from_numpy(where)
    gains = []
    for clip, q in clips:
        if len(clip) < 32:
            continue
        qp = torch.full((len(past),), q)
        z, step = clip[:32].float(), step_of(qp)
        truth = z[~torch.from_numpy(kept)]
        a, b = torch.round(z[past] / step) * step, torch.round(z[future] / step) * step
        out = run.model.fill_latents(a, b, at, qp)
        lerp = a + (b - a) * at[:, 0, None, None, None]
        gains.append(10 * math.log10(float((lerp - truth).square().mean() / (out - truth).square().mean())))
    run.model.load_state_dict(current)
    score = float(np.mean(gains))
    run.report(stage="fill", loss=round(loss, 4), gain_db=round(score, 3))
    run.save(score)


def start(args: argparse.Namespace) -> None:
    """Load or fit what a run starts from, then train the stage asked for."""
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    scenes = list(load_scenes(Path(args.data), every=args.every if args.stage == "frames" else 1, most=args.most))
    train = [s for s in scenes if not is_held_out(s.source)]
    held = [s for s in scenes if is_held_out(s.source)]
    if not held:  # a folder with one source: enough to see the loss fall, not to judge by
        held = train
    sys.stderr.write(f"{len(train)} scenes to train on, {len(held)} held out\n")
    model = Mini()
    last = folder / "last.pt"
    state = torch.load(last, weights_only=True) if last.exists() else None
    if state is None:
        basis, mean, scale = fit_pca([f for s in train for f in s.frames])
        fitted = {"basis": basis, "mean": mean, "scale": scale}
        model.linear.load_state_dict({name: torch.from_numpy(value) for name, value in fitted.items()})
    else:
        model.load_state_dict(state["model"])
    rate = LaplaceRate(CHANNELS, model.linear.scale.detach(), BASE_STEP)
    if args.stage == "frames":
        parameters = [*model.encoder.parameters(), *model.decoder.parameters(), *rate.parameters()]
    else:
        model.load_state_dict(torch.load(folder / "best.pt", weights_only=True)["model"])
        parameters = [*model.fill.parameters(), model.token]
    run = Run(args, model, rate, list(parameters))
    if state is not None:
        rate.load_state_dict(state["rate"])
        if state["stage"] == args.stage:
            run.optimizer.load_state_dict(state["optimizer"])
            run.average, run.step, run.best = state["average"], state["step"], state["best"]
    if args.stage == "frames":
        train_frames(run, [f for s in train for f in s.frames], _held_out_frames(held))
    else:
        train_fill(run, train, held)


def _held_out_frames(scenes: list[Scene], count: int = 24) -> Tensor:
    """(count, 3, 256, 256) float32 in [0, 1]: one frame from the middle of each held-out scene."""
    out = []
    for scene in scenes[:count]:
        frame = scene.frames[len(scene.frames) // 2]
        y, x = (frame.shape[0] - 256) // 2, (frame.shape[1] - 256) // 2
        out.append(torch.from_numpy(frame[y : y + 256, x : x + 256]).permute(2, 0, 1).float() / 255)
    return torch.stack(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", required=True, help="folder of training footage")
    parser.add_argument("--out", required=True, help="folder for checkpoints and the log")
    parser.add_argument("--stage", choices=["frames", "fill"], default="frames")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=float, default=4e-4, help="Adam's learning rate")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--every", type=int, default=10, help="frames stage: one frame in so many")
    parser.add_argument("--most", type=int, help="frames kept per file at the most")
    parser.add_argument("--report", type=float, default=4, help="minutes between reports")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=256)
    start(parser.parse_args())


if __name__ == "__main__":
    main()
