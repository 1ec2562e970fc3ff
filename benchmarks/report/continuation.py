"""Pictures of what `mini-dit` makes of a real clip: `dfc generate --continue` and `--between`.

    python -m benchmarks.report.continuation                               docs/figures/continue.png

Upper row: a clip of 32 frames at 8 kept, and what follows it. Lower row: the same clip at 2 kept frames, and what is
put between them. The clip is an eval clip, which no weight has seen.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

import dfccodec as dfc
from benchmarks.clips import EVAL, FRAMES
from dfccodec.codec.generate_clips import Sampling, continue_clips, generate_between
from dfccodec.media.input.read_frames import read_scaled
from dfccodec.models import registry

CLIP, SIDE, QP = "sam2_dog.mp4", 256, 24
TARGET = Path(__file__).resolve().parents[2] / "docs" / "figures" / "continue.png"
SHOWN = (0.0, 0.25, 0.5, 0.6, 0.75, 1.0)
"""Shown frames, as shares of the length."""


def row(data: bytes, loaded: dfc.LoadedModel) -> npt.NDArray[np.uint8]:
    """Return some frames of a file beside each other."""
    frames = [picture.rgb for picture in dfc.decode(data, model=loaded)]
    return np.concatenate([frames[round(share * (len(frames) - 1))] for share in SHOWN], axis=1)


def main() -> None:
    """Make the picture."""
    loaded = dfc.load_model("mini")
    dit = registry.load_generator("mini-dit", device=loaded.device)[0]
    frames = np.stack(read_scaled(EVAL / CLIP, SIDE, max_frames=FRAMES))
    rows = []
    for budget, make in (("8", continue_clips), ("2", generate_between)):
        given, made = io.BytesIO(), io.BytesIO()
        dfc.encode(frames, given, budget=budget, qp=QP, fill="token", model=loaded)
        make(dit, loaded, io.BytesIO(given.getvalue()), made, Sampling())  # type: ignore[arg-type]
        rows.append(row(made.getvalue(), loaded))
    picture = Image.fromarray(np.concatenate(rows))
    picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS).save(TARGET)


if __name__ == "__main__":
    main()
