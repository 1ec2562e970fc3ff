"""Write the best weights of a run as the safetensors file that the package ships.

python -m dfccodec.training.export runs/mini/best.pt dfccodec/weights/mini.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from dfccodec.models.mini import Mini
from dfccodec.models.weights import save_safetensors


def export(checkpoint: Path, target: Path, name: str = "mini") -> None:
    """Save the averaged weights: convolutions in half precision, the linear code in single.

    Half precision halves the package; the linear code stays exact because every error in it is an error of pixels.
    """
    model = Mini()
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["model"])
    tensors = {
        key: value.contiguous() if key.startswith("linear.") else value.half().contiguous()
        for key, value in model.state_dict().items()
    }
    save_safetensors(target, tensors, model.config_json, name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write trained weights as a safetensors file.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    export(arguments.checkpoint, arguments.target)
