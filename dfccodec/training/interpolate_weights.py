"""Linear interpolation between two weight files of one network.

    python -m dfccodec.training.interpolate_weights before.safetensors after.safetensors 0.75 between.safetensors

A short training run learns something and forgets something else, at different rates. Interpolated weights can keep most
of both (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", section 3).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dfccodec.errors import DfcError, InputError
from dfccodec.models.weights import read_weights, save_safetensors


def interpolate(before: Path, after: Path, share: float, target: Path) -> None:
    """Write weights interpolated between two files.

    Args:
        before, after: weight files of one network and configuration. Data types are taken from `before`.
        share: weight of `after`: 0 gives `before`, 1 gives `after`.
        target: .safetensors file; replaced if it exists.

    Raises:
        InputError: `share` is not within 0 to 1, or the files are of different networks.
        ModelError: a file is missing or damaged.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share {share:g} is out of range: give 0 to 1")
    first, second = read_weights(before), read_weights(after)
    shapes = [{name: tensor.shape for name, tensor in file.tensors.items()} for file in (first, second)]
    if shapes[0] != shapes[1] or first.config_json != second.config_json or not first.config_json:
        raise InputError(f"{before} and {after} differ in network or configuration: give two .safetensors of one model")
    tensors = {
        name: ((1 - share) * tensor.double() + share * second.tensors[name].double()).to(tensor.dtype).contiguous()
        for name, tensor in first.tensors.items()
    }
    save_safetensors(target, tensors, first.config_json, first.name or target.stem)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Interpolate between two weight files of one network.")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("share", type=float, help="weight of AFTER, 0 to 1")
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    try:
        interpolate(args.before, args.after, args.share, args.target)
    except DfcError as error:
        parser.exit(error.exit_code, f"error: {error}\n")


if __name__ == "__main__":
    main()
