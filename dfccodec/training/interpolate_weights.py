"""Weights between two files of weights of one network.

    python -m dfccodec.training.interpolate_weights before.safetensors after.safetensors 0.75 between.safetensors

What a short run has learned and what it has forgotten need not go at the same pace: on the way between the weights it
began with and those it ended with lie some that keep most of both (Wortsman et al. 2022, "Robust fine-tuning of
zero-shot models", section 3).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dfccodec.errors import DfcError, InputError
from dfccodec.models.weights import read_weights, save_safetensors


def blend(before: Path, after: Path, share: float, target: Path) -> None:
    """Write the weights that lie `share` of the way from one file to another.

    Args:
        before, after: files of weights of one network and configuration; the types of numbers are those of `before`.
        share: 0 is `before`, 1 is `after`.
        target: .safetensors file; replaced if it exists.

    Raises:
        InputError: the share is not within 0 to 1, or the files are not of one network.
        ModelError: a file is missing or damaged.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share {share:g} does not lie between two files of weights: give 0 to 1")
    first, second = read_weights(before), read_weights(after)
    shapes = [{name: tensor.shape for name, tensor in file.tensors.items()} for file in (first, second)]
    if shapes[0] != shapes[1] or first.config_json != second.config_json or not first.config_json:
        raise InputError(f"{before} and {after} are not of one network: give two .safetensors of one configuration")
    tensors = {
        name: ((1 - share) * tensor.double() + share * second.tensors[name].double()).to(tensor.dtype).contiguous()
        for name, tensor in first.tensors.items()
    }
    save_safetensors(target, tensors, first.config_json, first.name or target.stem)


def main() -> None:
    """The script: see the top of this file."""
    parser = argparse.ArgumentParser(description="Weights between two files of weights of one network.")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("share", type=float, help="of the way, 0 to 1")
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    try:
        blend(args.before, args.after, args.share, args.target)
    except DfcError as error:
        parser.exit(error.exit_code, f"error: {error}\n")


if __name__ == "__main__":
    main()
