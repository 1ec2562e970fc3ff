"""Clips of protocol DFC-32 for all benchmarks: 32 frames, short side scaled to 256 (Lanczos), centre 256×256."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dfccodec.codec.api import load_model
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.media.input.read_frames import read_scaled

EVAL = Path(__file__).resolve().parents[2] / "shared" / "clips" / "eval"
RESULTS = Path(__file__).resolve().parent / "results"
FRAMES, SIDE = 32, 256


def cropped(path: Path, side: int, most: int) -> np.ndarray:
    """The first `most` frames of a video, short side scaled to `side`, centre: (T, side, side, 3) uint8."""
    frames = np.stack(read_scaled(path, side, max_frames=most))
    y, x = (frames.shape[1] - side) // 2, (frames.shape[2] - side) // 2
    return np.ascontiguousarray(frames[:, y : y + side, x : x + side])


def dfc32_clips(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and frames, (32, 256, 256, 3) uint8, of each clip in a folder."""
    for path in sorted(folder.glob("*.mp4")):
        yield path.stem, cropped(path, SIDE, FRAMES)


def motion_classes(folder: Path) -> dict[str, str]:
    """Return name -> slow, medium or fast, from the manifest next to the folder of clips."""
    with (folder.parent / "MANIFEST.tsv").open(newline="") as rows:
        return {Path(row["name"]).stem: row["motion"] for row in csv.DictReader(rows, delimiter="\t")}


def uniform(kept: int) -> np.ndarray:
    """Return (32,) bool with `kept` frames at equal distances, and half a distance at both ends."""
    mask = np.zeros(FRAMES, bool)
    mask[((np.arange(kept) + 0.5) * FRAMES / kept).astype(int)] = True
    return mask


def mse(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean squared error of uint8 pictures on the scale [0, 1]."""
    return float(np.mean(((a.astype(np.float32) - b) / 255) ** 2))


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [" | ".join(str(c) for c in row) for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(f"| {line} |" for line in lines)


CODING = "predicted"
"""Default latent coding of `mini`; it is stored in each result."""


def write_json(name: str, record: dict[str, Any], model: str = "mini", folder: Path | None = None) -> None:
    """Store a result of the package's `mini` in benchmarks/results. Results of other models are only stored in
    `folder`."""
    if model != "mini":
        print(f"results/{name}.json is left as it is: this was {model}")
        return
    folder = folder or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    record = {"weights": weights_id(), "coding": CODING, **record}
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1, default=_plain) + "\n")


def read_json(name: str) -> dict[str, Any]:
    """Return a stored result with the package's weights and coding, for a script that extends it; empty if missing."""
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found if found.get("weights") == weights_id() and is_todays(name, found) else {}


def is_todays(name: str, found: dict[str, Any]) -> bool:
    """Whether a result was measured with today's default coding, or names its coding."""
    return name.startswith("floor_") or found.get("coding") == CODING


def weights_id(loaded: LoadedModel | None = None) -> str:
    """Return the beginning of the fingerprint of a model, as `dfc models info` prints it. None: the package's
    `mini`."""
    return (loaded or _mini()).identity.fingerprint.hex()[:16]


def steps_of(loaded: LoadedModel) -> np.ndarray:
    """Return the base steps (C,) of a model that defines them, such as `mini`."""
    assert loaded.model.steps is not None
    return loaded.model.steps


@cache
def _mini() -> LoadedModel:
    return load_model("mini")


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else list(value)
