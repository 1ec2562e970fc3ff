"""`write_latents`: latents are stored unchanged, and invalid arguments are rejected."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import flat_model, moving_square

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.errors import UsageError


def write(clips: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    dfc.write_latents(out, clips, **options)
    return out.getvalue()


def test_rewriting_the_latents_of_a_file_gives_the_same_pictures(mini: LoadedModel) -> None:
    out = io.BytesIO()
    dfc.encode(moving_square(40, 48, 80), out, model=mini, budget="8", fill="token", refine=0)
    with dfc.open(out.getvalue()) as file:
        clips = [(clip.dequantized(), clip.kept) for clip in file]
    for latents in (clips, [(z.reshape(len(z), -1, 96), kept) for z, kept in clips]):
        data = write(iter(latents), size=(80, 48), model=mini, qp=24)
        assert dfc.verify(data).latent_hash == dfc.verify(out.getvalue()).latent_hash
        pictures = [[p.rgb for p in dfc.decode(d, model=mini)] for d in (data, out.getvalue())]
        assert (np.stack(pictures[0]) == np.stack(pictures[1])).all()
    with dfc.open(data) as file:
        assert file[1].record.importance.tolist() == [255 * int(kept) for kept in clips[1][1]]


@pytest.mark.parametrize("fill", ["token", "hold", "lerp"])
def test_any_model_and_a_clip_without_kept_frames(fill: str, tmp_path: Path) -> None:
    rng, kept = np.random.default_rng(0), np.array([True, False, True])
    clips = [(rng.random((2, 4, 3)), kept), (np.zeros((0, 4, 3)), np.zeros(5, bool))]
    report = dfc.write_latents(tmp_path / "a.dfc", clips, size=(30, 20), model=flat_model(), fill=fill, qp=0)
    assert (report.frames, report.kept, report.clips) == (8, 2, 2)
    assert dfc.verify(tmp_path / "a.dfc")
    with dfc.open(tmp_path / "a.dfc") as file:
        assert np.abs(file[0].dequantized().reshape(2, 4, 3) - clips[0][0]).max() < 1e-3
    assert len(list(dfc.decode(tmp_path / "a.dfc", model=flat_model()))) == 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int16])
def test_torch_tensors_of_any_dtype_are_accepted(dtype: torch.dtype) -> None:
    tensor = torch.arange(24).view(2, 4, 3).to(dtype).requires_grad_(dtype.is_floating_point)
    kept = np.array([True, False, True])
    options: dict[str, Any] = {"size": (32, 32), "model": flat_model(), "qp": 0}
    data = write([(tensor, torch.from_numpy(kept))], **options)
    assert data == write([(np.arange(24).reshape(2, 4, 3), kept)], **options)


KEPT_ONE = np.ones(1, bool)
GOOD = np.zeros((1, 4, 3), np.float32)


@pytest.mark.parametrize(
    ("clips", "options", "message"),
    [
        ([], {}, "there is no clip"),
        (
            [(GOOD, np.ones(2, bool))],
            {},
            r"clip 0: latents are \(1, 4, 3\); for 2 kept frames of 32×32 give \(2, 4, 3\)",
        ),
        ([(GOOD, KEPT_ONE), (GOOD[..., :2], KEPT_ONE)], {}, r"clip 1: latents are \(1, 4, 2\).*dfc.LatentSpace"),
        ([(GOOD, np.ones(1))], {}, r"kept is \(1,\) float64; give \(T,\) bool"),
        ([(np.zeros((33, 4, 3)), np.ones(33, bool))], {}, "T from 1 to 32"),
        ([(GOOD * np.nan, KEPT_ONE)], {}, "not finite"),
        ([(np.full(GOOD.shape, 1e300), KEPT_ONE)], {}, "not finite"),
        ([(GOOD.astype(complex), KEPT_ONE)], {}, "latents are complex128; give real numbers"),
        ([(GOOD.astype(str), KEPT_ONE)], {}, "give real numbers"),
        ([(None, KEPT_ONE)], {}, "latents are object; give real numbers"),
        ([([[1.0], [1.0, 2.0]], KEPT_ONE)], {}, "clip 0: a list of unequal parts is no array"),
        ([GOOD], {}, "clip 0 is a ndarray: give a pair"),
        ([(GOOD, KEPT_ONE)], {"fill": "motion"}, "fill motion needs the frames themselves"),
        ([(GOOD, KEPT_ONE)], {"size": 32}, "size 32 is invalid"),
        ([(GOOD, KEPT_ONE)], {"size": (0, 32)}, r"give \(width, height\)"),
        ([(GOOD, KEPT_ONE)], {"size": (70000, 1)}, "each 1 to 65535"),
        ([(GOOD, KEPT_ONE)], {"qp": 64}, "QP 64 is out of range"),
        ([(GOOD, KEPT_ONE)], {"rate": 0}, "rate 0 is out of range"),
        ([(GOOD, KEPT_ONE)], {"model": 3}, "model of type int"),
    ],
)
def test_invalid_latents_are_reported_and_write_no_file(
    clips: Any, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        dfc.write_latents(tmp_path / "a.dfc", clips, **{"size": (32, 32), "model": flat_model(), **options})
    assert not list(tmp_path.iterdir())
