"""VideoVAE against the numbers of the published code, and VideoVAEAdapter against its interface."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dfccodec.errors import UsageError
from dfccodec.models.config import PUBLISHED_VAE
from dfccodec.models.interface import LatentModel
from dfccodec.models.vae import Packed, VideoVAE, pack, unpack
from dfccodec.models.video_vae_adapter import VideoVAEAdapter

Vectors = dict[str, Tensor]


def assert_same(actual: Tensor, expected: Tensor) -> None:
    """Assert equality to 1e-5 of the largest expected magnitude."""
    assert actual.shape == expected.shape
    error = (actual - expected).abs().max() / expected.abs().max()
    assert error.item() < 1e-5


def mask_of(frames: int, kept: list[int]) -> Tensor:
    mask = torch.zeros(1, frames, dtype=torch.bool)
    mask[:, kept] = True
    return mask


def test_encoder(vae: VideoVAE, vae_io: Vectors) -> None:
    posterior = vae.encode(vae_io["video"])
    assert_same(posterior.mean, vae_io["mean"])
    assert_same(posterior.variance, vae_io["variance"])
    assert_same(posterior.importance, vae_io["selection"][..., 0])


def test_encoder_with_the_last_frames_masked(vae: VideoVAE, vae_io: Vectors) -> None:
    posterior = vae.encode(vae_io["video"], vae_io["mask_short"][:, 0, 0].bool())
    assert_same(posterior.mean, vae_io["mean_masked"])
    assert_same(posterior.variance, vae_io["variance_masked"])
    assert_same(posterior.importance, vae_io["selection_masked"][..., 0])


def test_decoder_with_every_frame(vae: VideoVAE, vae_io: Vectors) -> None:
    assert_same(vae.decode(vae_io["mean"]), vae_io["decoded_all"])


def test_decoder_with_four_frames(vae: VideoVAE, vae_io: Vectors) -> None:
    best = vae_io["selection"][0, :, 0].topk(4).indices.sort().values
    assert torch.equal(best, vae_io["top4_indices"])
    kept = mask_of(12, best.tolist())
    assert_same(vae.decode(vae.fill(vae_io["mean"], kept)), vae_io["decoded_top4"])


def test_threshold_path(vae: VideoVAE, vae_io: Vectors) -> None:
    posterior = vae.encode(vae_io["video"])
    packed = pack(posterior.mean, posterior.importance > 0.5)
    assert_same(packed.latents, vae_io["threshold_latents"])
    assert torch.equal(packed.gaps, vae_io["threshold_gaps"])
    assert torch.equal(packed.valid, vae_io["threshold_valid"].bool())
    latents, kept = unpack(packed, 12)
    assert_same(vae.decode(vae.fill(latents, kept)), vae_io["threshold_decoded"])


def test_threshold_that_no_frame_passes(vae: VideoVAE, vae_io: Vectors) -> None:
    latents, kept = unpack(pack(vae_io["mean"], vae_io["selection"][..., 0] > 2), 12)
    assert not kept.any()
    video = vae.decode(vae.fill(latents, kept))
    assert video.shape == vae_io["video"].shape
    assert video.isfinite().all()


def test_threshold_that_four_frames_pass(vae: VideoVAE, vae_io: Vectors) -> None:
    packed = pack(vae_io["mean"], mask_of(12, vae_io["top4_indices"].tolist()))
    assert packed.gaps[0].tolist() == [5, 1, 1, 2] + [0] * 8
    assert packed.valid.sum() == 4
    latents, kept = unpack(packed, 12)
    assert_same(vae.decode(vae.fill(latents, kept)), vae_io["decoded_top4"])


@pytest.mark.parametrize("gaps", [[-1, 1], [0, 0], [3, 1], [2, -1]])
def test_unpack_rejects_gaps_that_do_not_ascend_inside_the_clip(gaps: list[int]) -> None:
    packed = Packed(torch.zeros(1, 2, 1, 1), torch.tensor([gaps]), torch.ones(1, 2, dtype=torch.bool))
    with pytest.raises(UsageError, match="clip of 4 frames"):
        unpack(packed, 4)


def test_full_configuration_has_the_published_names_and_shapes(reference: Path) -> None:
    with torch.device("meta"):
        model = VideoVAE(PUBLISHED_VAE)
    lines = [f"{name}\t{'x'.join(map(str, t.shape))}" for name, t in model.state_dict().items()]
    assert lines == (reference / "vae_full_keys.tsv").read_text().splitlines()
    assert len(lines) == 675
    assert not list(model.buffers())
    assert round(sum(math.prod(t.shape) for t in model.state_dict().values()) / 1e6, 1) == 170.6


@pytest.mark.parametrize("shape", [(1, 12, 32, 32), (1, 0, 32, 32, 3), (1, 65, 32, 32, 3), (1, 2, 16, 32, 3)])
def test_encode_rejects_other_shapes(vae: VideoVAE, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"\(B, 1…64, 32, 32, 3\)"):
        vae.encode(torch.zeros(shape))


def test_masks_are_checked(vae: VideoVAE) -> None:
    video = torch.zeros(1, 2, 32, 32, 3)
    with pytest.raises(UsageError, match="expected torch"):
        vae.encode(video, torch.ones(1, 2))
    with pytest.raises(UsageError, match="all frames of a clip"):
        vae.encode(video, torch.zeros(1, 2, dtype=torch.bool))


class TestVideoVAEAdapter:
    def test_implements_the_interface(self, vae: VideoVAE) -> None:
        codec = VideoVAEAdapter(vae)
        assert isinstance(codec, LatentModel)
        assert (codec.channels, codec.patch, codec.tile, codec.max_frames) == (24, 8, 32, 64)
        assert codec.steps is None
        assert codec.fill_token.shape == (24,)

    def test_encode_gives_the_mean(self, vae: VideoVAE, vae_io: Vectors) -> None:
        coded = VideoVAEAdapter(vae).encode(vae_io["video"], qp=20)
        assert_same(coded.latents, vae_io["mean"])
        assert_same(coded.importance, vae_io["selection"][..., 0])

    def test_encode_accepts_uint8(self, vae: VideoVAE, vae_io: Vectors) -> None:
        pixels = (vae_io["video"] * 255).round().to(torch.uint8)
        codec = VideoVAEAdapter(vae)
        coded = codec.encode(pixels, qp=20)
        assert_same(coded.latents, codec.encode(pixels.double() / 255, qp=20).latents)

    def test_padding_has_no_importance(self, vae: VideoVAE, vae_io: Vectors) -> None:
        coded = VideoVAEAdapter(vae).encode(vae_io["video"], 20, mask_of(12, list(range(9))))
        assert_same(coded.latents, vae_io["mean_masked"])
        assert not coded.importance[:, 9:].any()
        assert (coded.importance[:, :9] > 0).all()

    def test_latents_of_dropped_frames_are_ignored(self, vae: VideoVAE, vae_io: Vectors) -> None:
        kept = mask_of(12, vae_io["top4_indices"].tolist())
        latents = torch.where(kept[:, :, None, None], vae_io["mean"], torch.nan)
        assert_same(VideoVAEAdapter(vae).decode(latents, kept, 32, 32, 20), vae_io["decoded_top4"])

    @pytest.mark.parametrize("kept", [[0, 2], [0], [4], []])
    def test_dropped_frames_at_the_end_are_decoded(self, vae: VideoVAE, vae_io: Vectors, kept: list[int]) -> None:
        latents = vae_io["mean"][:, :5]
        video = VideoVAEAdapter(vae).decode(latents, mask_of(5, kept), 32, 32, 20)
        assert video.shape == (1, 5, 32, 32, 3)
        assert video.isfinite().all()

    def test_a_batch_is_its_clips(self, vae: VideoVAE, vae_io: Vectors) -> None:
        latents = torch.cat([vae_io["mean"], vae_io["mean"].flip(1)])
        kept = torch.cat([mask_of(12, [5, 6, 7, 9]), mask_of(12, [0])])
        codec = VideoVAEAdapter(vae)
        together = codec.decode(latents, kept, 32, 32, 20)
        assert_same(together[:1], codec.decode(latents[:1], kept[:1], 32, 32, 20))
        assert_same(together[1:], codec.decode(latents[1:], kept[1:], 32, 32, 20))

    def test_other_sizes_are_rejected(self, vae: VideoVAE, vae_io: Vectors) -> None:
        with pytest.raises(UsageError, match="only 32×32"):
            VideoVAEAdapter(vae).decode(vae_io["mean"], mask_of(12, [0]), 64, 32, 20)

    def test_runs_under_bfloat16_autocast(self, vae: VideoVAE, vae_io: Vectors) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            coded = VideoVAEAdapter(vae).encode(vae_io["video"], 20)
        assert coded.latents.dtype == torch.float32
        error = (coded.latents - vae_io["mean"]).abs().max() / vae_io["mean"].abs().max()
        assert error < 0.05
