"""What the flow-guided consistency loss of MTC-VAE is worth: weights trained without and with it.

    python -m benchmarks.quality.flow_loss runs/{without,with}/model.safetensors

The weights are made with `dfc train --start mini` and a recipe of the stage `time` of `mini`, `encoder` and `linear`
frozen, with `consistency` = 0 and above 0 in its options, and the same seed and number of steps. The latents of all
three are the same: the encoder is. DFC-32, 24 eval clips; pictures of the decoder network, kept frames at QP 28 without
refinement, dropped frames from the fill token. *Change along the motion* is the loss itself: the mean absolute
difference between each frame and the one before, moved along the flow of the source. *Flicker* is as in `looks`.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dfccodec as dfc
from benchmarks.clips import EVAL, dfc32_clips, table, write_json
from benchmarks.quality.looks import Yardstick
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.metrics.lpips import load_lpips
from dfccodec.runtime.resources import available_cpus
from dfccodec.training.losses.flow_consistency import flow_inconsistency

QP = 28
BUDGETS = ("8", "all")
NAMES = ("shipped", "trained on", "with the loss")
COLUMNS = ("psnr", "lpips", "flicker", "change")
LABELS = {"trained on": "trained without it", "with the loss": "trained with it"}


def decode(frames: np.ndarray, budget: str, loaded: LoadedModel) -> np.ndarray:
    """Encode and decode a clip: (T, H, W, 3) uint8."""
    out = io.BytesIO()
    dfc.encode(frames, out, budget=budget, qp=QP, fill="token", refine=0, coding="inter", model=loaded)
    return np.stack([picture.rgb for picture in dfc.decode(out.getvalue(), model=loaded)])


@torch.inference_mode()
def change(frames: np.ndarray, truth: np.ndarray) -> float:
    """Change of pictures along the motion of the source, in levels of 255."""
    made, true = (torch.from_numpy(x.astype(np.float32) / 255).permute(0, 3, 1, 2)[None] for x in (frames, truth))
    return 255 * float(flow_inconsistency(made, true, torch.arange(len(frames))))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Weights without and with the flow-guided consistency loss.")
    parser.add_argument("weights", type=Path, nargs=2, help="weights without and with the loss")
    parser.add_argument("--clips", type=Path, default=EVAL)
    parser.add_argument("--out", type=Path, help="folder for the results; default benchmarks/results")
    args = parser.parse_args(arguments)
    torch.set_num_threads(available_cpus())
    networks, record = {"lpips": load_lpips()}, dict[str, Any]()
    models = dict(zip(NAMES, ["mini", *map(str, args.weights)], strict=True))
    loaded = {name: dfc.load_model(model, "cpu") for name, model in models.items()}
    rows: dict[tuple[str, str], list[list[float]]] = {}
    count = 0
    for clip, frames in dfc32_clips(args.clips):
        yardstick, count = Yardstick(frames, networks), count + 1
        print(clip, flush=True)
        source = change(frames, frames)
        for budget in BUDGETS:
            for name, model in loaded.items():
                back = decode(frames, budget, model)
                found = yardstick(back)
                row = [found["psnr"], found["lpips"], found["flicker"], change(back, frames)]
                rows.setdefault((name, budget), []).append([*row, source])
    for (name, budget), values in rows.items():
        means = np.mean(values, axis=0).tolist()
        record[f"{name}@{budget}"] = {
            column: round(value, 5) for column, value in zip((*COLUMNS, "change_of_source"), means, strict=True)
        }
    print(report({"rows": record}))
    write_json("flow_loss", {"clips": count, "qp": QP, "rows": record}, folder=args.out)


def report(record: dict[str, Any]) -> str:
    """The table of docs/training.md."""
    lines = []
    for key, row in record["rows"].items():
        name, budget = key.split("@")
        lines.append(
            [
                "all" if budget == "all" else f"{budget} of 32", LABELS.get(name, name), f"{row['psnr']:.2f}",
                f"{row['lpips']:.4f}", f"{row['flicker']:.4f}", f"{row['change']:.2f}",
            ]
        )  # fmt: skip
    lines.sort(key=lambda line: line[0])
    source = next(iter(record["rows"].values()))["change_of_source"]
    head = ["kept", "weights", "PSNR", "LPIPS", "flicker", "change along the motion, of 255"]
    return f"{table(head, lines)}\n\nThe source itself changes by {source:.2f}."


if __name__ == "__main__":
    main()
