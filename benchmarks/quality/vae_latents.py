"""Bytes and errors of the latents of another VAE in `.dfc` files: diffusers' Wan architecture with random weights.

    python -m benchmarks.quality.vae_latents [--clips 12]        2 minutes; needs pip install 'dfccodec[diffusers]'

Weights of real networks cannot be downloaded where this project is measured. A clip is 29 frames of 128×128 pixels of
the eval footage, 8 latent frames of 16 channels at 1/8. Errors are relative to the standard deviation of a channel.
"""

from __future__ import annotations

import argparse
import io
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

import dfccodec as dfc
from benchmarks.clips import EVAL, cropped, table, write_json
from dfccodec.data import DiffusersVAE

FRAMES, SIDE = 29, 128
QPS, CODINGS = (0, 8, 16, 24), ("zstd", "range")


def make_adapter() -> DiffusersVAE:
    """Return a small network of the Wan architecture with random weights."""
    from diffusers import AutoencoderKLWan

    torch.manual_seed(0)
    vae = AutoencoderKLWan(base_dim=16, z_dim=16, dim_mult=[1, 2, 2, 2], num_res_blocks=1).eval()
    return DiffusersVAE(vae, "random/AutoencoderKLWan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=12)
    options = parser.parse_args()
    adapter, sums = make_adapter(), dict[str, list[tuple[float, float, float]]]()
    for path in sorted(EVAL.glob("*.mp4"))[: options.clips]:
        latents = adapter.encode(cropped(path, SIDE, FRAMES))
        spread = latents.std(axis=(0, 1))
        stored = torch.from_numpy(latents).to(torch.bfloat16).contiguous()
        found = {"safetensors, bfloat16": (len(save({"latents": stored})), stored.float().numpy())}
        for coding in CODINGS:
            for qp in QPS:
                out = io.BytesIO()
                clip = latents, adapter.space.kept(len(latents))
                dfc.write_latents(out, [clip], size=(SIDE, SIDE), model=adapter.space, qp=qp, coding=coding)
                with dfc.open(out.getvalue()) as file:
                    back = file[0].dequantized().reshape(latents.shape)
                found[f"`.dfc`, {coding}, QP {qp}"] = (len(out.getvalue()), back)
        for name, (size, back) in found.items():
            error = np.abs(back - latents) / spread
            sums.setdefault(name, []).append((size, float(np.square(error).mean()), float(error.max())))
    rows = [
        {
            "name": name,
            "bytes": float(np.mean([size for size, _, _ in each])),
            "snr": float(-10 * np.log10(np.mean([square for _, square, _ in each]))),
            "worst": float(np.max([most for _, _, most in each])),
        }
        for name, each in sums.items()
    ]
    record = {"clips": options.clips, "rows": rows}
    write_json("vae_latents", record)
    print(report(record))


def report(record: dict[str, Any]) -> str:
    """The table of docs/latents.md."""
    whole = record["rows"][0]["bytes"]
    rows = [
        (
            row["name"],
            f"{row['bytes'] / 1000:.1f}",
            f"{row['bytes'] / whole:.0%}",
            f"{row['snr']:.0f} dB",
            f"{row['worst']:.3f}",
        )
        for row in record["rows"]
    ]
    head = ("file", "kB a clip", "of bfloat16", "SNR", "largest error, in standard deviations")
    return f"{record['clips']} clips:\n\n{table(head, rows)}"


if __name__ == "__main__":
    main()
