"""Statistics of channels: those of the latents, whatever their type; saved and loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dfccodec.data import ChannelStatistics, LatentDataset, channel_statistics
from dfccodec.errors import InputError


def test_statistics_are_those_of_all_tokens(latent_files: Path) -> None:
    data = LatentDataset(latent_files)
    found = channel_statistics(data)
    whole = np.concatenate([data[n]["latents"].reshape(-1, 3).double().numpy() for n in range(len(data))])  # type: ignore[index]
    np.testing.assert_allclose(found.mean, whole.mean(0))
    np.testing.assert_allclose(found.deviation, whole.std(0), rtol=1e-6)
    np.testing.assert_allclose(found.zeros, (whole == 0).mean(0))
    assert (found.tokens, found.model) == (len(whole), "flat")
    few = channel_statistics(data, max_frames=20)
    assert few.tokens < found.tokens
    integers = channel_statistics(LatentDataset(latent_files, dtype=torch.int16))
    np.testing.assert_allclose(integers.mean, found.mean, rtol=1e-5)


def test_normalized_latents_have_mean_0_and_deviation_1(latent_files: Path) -> None:
    found = channel_statistics(LatentDataset(latent_files))
    latents = torch.randn(5000, 3) * torch.from_numpy(found.deviation).float() + torch.from_numpy(found.mean).float()
    normal = found.normalize(latents)
    assert normal.mean(0).abs().max() < 0.1
    assert (normal.std(0) - 1).abs().max() < 0.1
    torch.testing.assert_close(found.denormalize(normal), latents)
    assert found.normalize(latents.bfloat16()).dtype == torch.bfloat16


def test_statistics_are_saved_and_loaded(latent_files: Path, tmp_path: Path) -> None:
    found = channel_statistics(LatentDataset(latent_files))
    found.save(tmp_path / "statistics.json")
    again = ChannelStatistics.load(tmp_path / "statistics.json")
    np.testing.assert_array_equal(again.deviation, found.deviation)
    assert (again.fingerprint, again.tokens) == (found.fingerprint, found.tokens)


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[1]", '{"mean": [1], "deviation": [1, 2], "zeros": [0], "tokens": 1, "model": "", "fingerprint": ""}'],
)
def test_another_file_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match=r"x\.json"):
        ChannelStatistics.load(tmp_path / "x.json")
    with pytest.raises(InputError, match=r"cannot open .*none\.json"):
        ChannelStatistics.load(tmp_path / "none.json")


def test_no_latents_are_refused() -> None:
    with pytest.raises(InputError, match="no latents"):
        ChannelStatistics.of([])
