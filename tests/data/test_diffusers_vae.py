"""Latents of a VAE of diffusers, tiny and with random weights, go into files and come back within the stated error."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import DATA, flat_model, moving_square, write_video
from torch import Tensor, nn

import dfccodec as dfc
from dfccodec.data import DiffusersVAE, LatentDataset, pack_folder
from dfccodec.errors import ModelError, UsageError
from dfccodec.media.input.source import VideoSource

MISSING = importlib.util.find_spec("diffusers") is None


class _Output:
    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class CausalVAE(nn.Module):
    """The interface of diffusers: mean colours of 8×8 patches, of the first frame and then of every 4 frames."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.eye(3).reshape(3, 3, 1, 1, 1) * 1.5)

    def encode(self, video: Tensor) -> _Output:
        first, rest = video[:, :, :1], video[:, :, 1:]
        rest = nn.functional.avg_pool3d(rest, (4, 1, 1)) if rest.shape[2] else rest
        small = nn.functional.avg_pool3d(torch.cat([first, rest], 2), (1, 8, 8))
        return _Output(latent_dist=_Output(mode=lambda: nn.functional.conv3d(small, self.kernel)))

    def decode(self, latents: Tensor) -> _Output:
        frames = torch.cat([latents[:, :, :1], latents[:, :, 1:].repeat_interleave(4, 2)], 2) / 1.5
        return _Output(sample=frames.repeat_interleave(8, 3).repeat_interleave(8, 4))


def real_vae(kind: str) -> nn.Module:
    import diffusers

    torch.manual_seed(0)
    if kind == "image":
        return diffusers.AutoencoderKL(
            block_out_channels=(8, 8, 8, 8), norm_num_groups=4, latent_channels=4,
            down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4, layers_per_block=1,
        ).eval()  # type: ignore[no-any-return]  # fmt: skip
    return diffusers.AutoencoderKLWan(
        base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    ).eval()  # type: ignore[no-any-return]


@pytest.fixture(scope="module", params=["double", "video", "image"])
def adapter(request: pytest.FixtureRequest) -> DiffusersVAE:
    if request.param != "double" and MISSING:
        pytest.skip("diffusers is not installed")
    return DiffusersVAE(CausalVAE() if request.param == "double" else real_vae(request.param), "owner/repo", "abc")


def test_strides_are_measured(adapter: DiffusersVAE) -> None:
    space = adapter.space
    assert space.patch == 8
    assert (space.channels, space.temporal_stride) in ((3, 4), (4, 4), (4, 1))
    assert space.identity.fingerprint != bytes(32)
    assert '"repository": "owner/repo"' in space.identity.config
    assert '"revision": "abc"' in space.identity.config


@pytest.mark.parametrize(("qp", "snr"), [(0, 40), (8, 34), (16, 27)])
def test_latents_come_back_within_half_a_step(adapter: DiffusersVAE, qp: int, snr: float, tmp_path: Path) -> None:
    frames = moving_square(70)
    clips = list(adapter.clips(frames))
    dfc.write_latents(tmp_path / "a.dfc", clips, size=(64, 48), model=adapter.space, qp=qp, coding="zstd")
    with dfc.open(tmp_path / "a.dfc") as file:
        step = file.steps * 2 ** (qp / 8)
        found = [clip.dequantized().reshape(len(z), -1, z.shape[-1]) for clip, (z, _) in zip(file, clips, strict=True)]
        assert (file.frames, file.model.name) == (70, "owner/repo")
        assert [clip.kept.tolist() for clip in file] == [kept.tolist() for _, kept in clips]
    for latents, (exact, _) in zip(found, clips, strict=True):
        assert (np.abs(latents - exact) <= 0.51 * step).all()
    signal, error = clips[0][0].var(axis=(0, 1)).sum(), np.square(found[0] - clips[0][0]).mean(axis=(0, 1)).sum()
    assert 10 * np.log10(signal / error) > snr


def test_a_video_goes_in_and_comes_back(adapter: DiffusersVAE, tmp_path: Path) -> None:
    video = write_video(tmp_path / "in.mp4", moving_square(67, 64, 64))
    report = adapter.encode_file(video, tmp_path / "out.dfc", size=64, crop=48, qp=0)
    assert report.frames == 67
    decoded = list(adapter.decode_file(tmp_path / "out.dfc"))
    assert sum(map(len, decoded)) == 67
    with VideoSource(video, size=64, crop=48) as source:
        first = np.stack([picture.rgb for picture, _ in zip(source, range(len(decoded[0])), strict=False)])
    latents = adapter.encode(first)
    exact = adapter.decode(latents, (48, 48))[: len(first)]
    assert np.abs(exact.astype(int) - decoded[0]).mean() < 1


def test_every_tool_reads_the_files(adapter: DiffusersVAE, tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.dfc"
    path.parent.mkdir()
    adapter.encode_file(DATA / "flower_96x64.mp4", path)
    assert not dfc.verify(path).faults
    pack_folder(tmp_path / "in", tmp_path / "shards")
    data = LatentDataset(tmp_path / "shards", window=4, model="owner/repo")
    item = data[0]
    assert item is not None
    assert item["latents"].shape == (4, 96, adapter.space.channels)
    assert item["positions"].tolist() == [adapter.space.temporal_stride * k for k in range(4)]
    small = io.BytesIO()
    dfc.trim(path, small, coding="range", budget=2)
    with dfc.open(small.getvalue()) as file:
        assert file[0].latents.shape[0] == 2
    with pytest.raises(ModelError, match=r"latents of 'owner/repo' .* decode them with that network"):
        next(dfc.decode(path))


def test_another_network_is_refused(tmp_path: Path) -> None:
    adapter = DiffusersVAE(CausalVAE(), "owner/repo")
    other = CausalVAE()
    with torch.no_grad():
        other.kernel.mul_(2)
    adapter.encode_file(DATA / "flower_96x64.mp4", tmp_path / "a.dfc")
    with pytest.raises(ModelError, match=r"the file has latents of 'owner/repo' .*: load the weights of the file"):
        next(DiffusersVAE(other, "owner/repo").decode_file(tmp_path / "a.dfc"))
    dfc.encode(moving_square(2), tmp_path / "b.dfc", model=flat_model(), fill="token")
    with pytest.raises(ModelError, match="'flat'"):
        next(adapter.decode_file(tmp_path / "b.dfc"))


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        (np.zeros((3, 16, 16), np.uint8), "give (T, H, W, 3) uint8"),
        (np.zeros((3, 16, 16, 3), np.float32), "float32"),
        (np.zeros((0, 16, 16, 3), np.uint8), "give (T, H, W, 3) uint8"),
        (np.zeros((3, 17, 16, 3), np.uint8), "frames of 16×17: sides must be multiples of 8"),
    ],
)
def test_bad_frames(frames: np.ndarray, says: str) -> None:
    with pytest.raises(UsageError) as error:
        DiffusersVAE(CausalVAE(), "owner/repo").encode(frames)
    assert says in str(error.value)


def test_another_interface_is_refused() -> None:
    with pytest.raises(UsageError, match="Linear is no autoencoder of diffusers"):
        DiffusersVAE(nn.Linear(1, 1), "owner/repo")
