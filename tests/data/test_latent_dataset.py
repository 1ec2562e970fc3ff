"""`LatentDataset`: windows hold what the files hold, in every type; other models, QPs and damage are named."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from latent_files import LENGTHS, write_latent_file
from support import DATA, moving_square

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.data import LatentDataset, LatentItem, dequantize
from dfccodec.data.files import find_files
from dfccodec.data.index import LatentIndex, build_index
from dfccodec.data.windows import find_windows, parts_of
from dfccodec.errors import DamagedError, InputError, ModelError, UsageError


def item(data: LatentDataset, number: int) -> LatentItem:
    found = data[number]
    assert found is not None
    return found


def test_an_item_of_each_clip(latent_files: Path) -> None:
    data = LatentDataset(latent_files)
    assert len(data) == sum(-(-frames // 32) for frames in LENGTHS.values())
    assert repr(data).startswith("<LatentDataset of 10 windows in 10 clips of 5 files")
    second = item(data, 1)
    with dfc.open(latent_files / "a.dfc") as file:
        clip = file[1]
        np.testing.assert_array_equal(second["latents"], clip.dequantized().reshape(8, 12, 3))
        assert second["positions"].tolist() == clip.kept_indices.tolist()
        np.testing.assert_allclose(second["times"], (32 + clip.kept_indices) / 25)
    assert (second["first_frame"], second["source"], second["caption"]) == (32, "a", "a bright square")
    assert (second["model"], second["fingerprint"]) == ("flat", bytes(32).hex())
    assert second["grid"] == (1, 3, 4)
    assert second["starts"].nonzero().flatten().tolist() == [0]
    assert second["ends"].nonzero().flatten().tolist() == [7]
    assert item(data, 0)["qp"].unique().tolist() == [8]
    assert [item(data, n)["caption"] for n in (3, 6, 9)] == ["", "from json", ""]


def test_windows_of_kept_frames_run_over_clips(latent_files: Path) -> None:
    data = LatentDataset(latent_files / "a.dfc", window=6, stride=3)
    with dfc.open(latent_files / "a.dfc") as file:
        whole = np.concatenate([clip.dequantized().reshape(-1, 12, 3) for clip in file])
        frames = np.concatenate([clip.record.first_frame + clip.kept_indices for clip in file])
    assert len(data) == (len(whole) - 6) // 3 + 1
    for number in range(len(data)):
        found, place = item(data, number), slice(3 * number, 3 * number + 6)
        np.testing.assert_array_equal(found["latents"], whole[place])
        assert (found["positions"] + found["first_frame"]).tolist() == frames[place].tolist()
    over = item(data, 1)  # kept frames 3 to 8: the last five of one clip, the first of the next
    assert over["segments"].tolist() == [0, 0, 0, 0, 0, 1]
    assert over["starts"].tolist() == [False] * 5 + [True]
    assert over["trailing"][4] == 31 - over["positions"][4]


def test_windows_of_frames_have_their_kept_frames(latent_files: Path) -> None:
    data = LatentDataset(latent_files / "a.dfc", window=16, stride=8, unit="frames", partial=True)
    with dfc.open(latent_files / "a.dfc") as file:
        frames = np.concatenate([clip.record.first_frame + clip.kept_indices for clip in file])
    for number in range(len(data)):
        found = item(data, number)
        begin = found["first_frame"]
        expected = frames[(frames >= begin) & (frames < begin + 16)]
        assert (found["positions"] + begin).tolist() == expected.tolist()
        assert begin % 8 == 0


@given(length=st.integers(1, 40), stride=st.integers(1, 20), unit=st.sampled_from(["kept", "frames"]))
def test_every_window_has_its_kept_frames_once(index: LatentIndex, length: int, stride: int, unit: str) -> None:
    try:
        windows = find_windows(index, length, stride, unit, partial=True)
    except InputError as error:  # short windows of frames, far apart
        assert "has a kept frame" in str(error)
        assert unit == "frames"
        assert length < stride
        return
    covered = set()
    for number in range(len(windows)):
        parts = parts_of(index, windows, number)
        assert parts
        assert len({index.clips["file"][part.clip] for part in parts}) == 1
        seen = [(part.clip, kept) for part in parts for kept in range(part.first, part.last)]
        assert len(seen) == len(set(seen)) <= length
        assert seen == sorted(seen)
        covered |= set(seen)
    if stride <= length:
        assert len(covered) == index.clips["count"].sum()


@pytest.fixture(scope="session")
def index(_latent_files: Path) -> LatentIndex:
    return build_index(find_files(_latent_files))


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 0), (torch.bfloat16, 2**-8), (torch.float16, 2**-10), (torch.int16, 1e-6), (torch.int8, 2**-7)],
)
def test_types_agree_with_float32(latent_files: Path, dtype: torch.dtype, tolerance: float) -> None:
    exact, found = (item(LatentDataset(latent_files, dtype=kind), 0) for kind in (torch.float32, dtype))
    assert found["latents"].dtype == dtype
    assert exact["latents"].abs().max() > 0.5
    torch.testing.assert_close(dequantize(found), exact["latents"], rtol=tolerance, atol=tolerance)


def test_small_integers_are_exact_in_8_bits(tmp_path: Path) -> None:
    path = write_latent_file(tmp_path / "coarse.dfc", qp=32)
    with dfc.open(path) as file:
        assert np.abs(file[0].latents).max() < 127
        found = item(LatentDataset(path, dtype=torch.int8), 0)
        np.testing.assert_array_equal(found["latents"], file[0].latents.reshape(8, 12, 3))


def test_crops_are_parts_of_the_grid(latent_files: Path) -> None:
    whole = item(LatentDataset(latent_files), 0)["latents"].reshape(8, 3, 4, 3)
    centre = item(LatentDataset(latent_files, crop=(3, 2)), 0)["latents"]
    torch.testing.assert_close(centre.reshape(8, 3, 2, 3), whole[:, :, 1:3])
    data = LatentDataset(latent_files, crop=(2, 2), crop_at="random", seed=5)
    drawn = [data[0, epoch] for epoch in range(12)]
    again = LatentDataset(latent_files, crop=(2, 2), crop_at="random", seed=5)[0, 3]
    assert again is not None
    torch.testing.assert_close(drawn[3]["latents"], again["latents"])  # type: ignore[index]
    assert len({tuple(d["latents"].flatten().tolist()) for d in drawn if d}) > 1


def test_files_of_another_model_are_refused_by_name(latent_files: Path, mini: LoadedModel) -> None:
    dfc.encode(moving_square(4), latent_files / "x.dfc", model=mini, coding="zstd", fill="token", refine=0)
    with pytest.raises(ModelError, match=r"x\.dfc has latents of model 'mini'.*a\.dfc of 'flat'"):
        LatentDataset(latent_files)
    (latent_files / "x.dfc").unlink()
    assert len(LatentDataset(latent_files, model="flat")) == len(LatentDataset(latent_files, model=bytes(32).hex()))
    with pytest.raises(ModelError, match=r"a\.dfc has latents of model 'flat' .* wanted is mini"):
        LatentDataset(latent_files, model="mini")


def test_other_qps_are_refused_unless_allowed(latent_files: Path) -> None:
    write_latent_file(latent_files / "x.dfc", qp=20)
    with pytest.raises(UsageError, match=r"x\.dfc has QP 20, .*a\.dfc has QP 8.*mixed_qp=True"):
        LatentDataset(latent_files)
    data = LatentDataset(latent_files, mixed_qp=True)
    assert {int(item(data, n)["qp"][0]) for n in range(len(data))} == {8, 20}


def test_predicted_files_are_refused_with_the_fix(latent_files: Path, mini: LoadedModel, tmp_path: Path) -> None:
    dfc.encode(DATA / "flower_96x64.mp4", tmp_path / "predicted.dfc", model=mini, refine=0)
    with pytest.raises(UsageError, match=r"predicted\.dfc: the file has residuals.*--preset latents"):
        LatentDataset(tmp_path / "predicted.dfc")


def flip_in_clip(path: Path, clip: int) -> None:
    with dfc.open(path) as file:
        place = file.summary.clips[clip].offset + file.summary.clips[clip].size - 20
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_a_flipped_byte_is_named(latent_files: Path, caplog: pytest.LogCaptureFixture) -> None:
    flip_in_clip(latent_files / "b.dfc", 1)
    data = LatentDataset(latent_files)
    with pytest.raises(DamagedError, match=r"b\.dfc: checksum of chunk CLIP"):
        [data[number] for number in range(len(data))]
    with pytest.raises(DamagedError, match=r"b\.dfc: checksum"), dfc.open(latent_files / "b.dfc") as file:
        _ = file[1].latents
    data = LatentDataset(latent_files, on_damage="skip")
    with caplog.at_level(logging.WARNING, "dfccodec.data"):
        found = [data[number] for number in range(len(data)) for _ in range(2)]
    assert found.count(None) == 2
    assert [record.getMessage().count("b.dfc") for record in caplog.records] == [1]


@pytest.mark.parametrize("content", [b"", b"not a video", "cut"])
def test_an_unreadable_file_is_named(
    latent_files: Path, content: bytes | str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = (latent_files / "b.dfc").read_bytes()
    (latent_files / "b.dfc").write_bytes(whole[:300] if isinstance(content, str) else content)
    with pytest.raises((DamagedError, InputError), match=r"b\.dfc"):
        LatentDataset(latent_files)
    with caplog.at_level(logging.WARNING, "dfccodec.data"):
        assert len(LatentDataset(latent_files, on_damage="skip").index.files) == 4
    assert "b.dfc" in caplog.text


def test_sizes_must_agree_without_a_crop(latent_files: Path, flat: LoadedModel) -> None:
    dfc.encode(moving_square(8, 64, 64), latent_files / "x.dfc", model=flat, coding="zstd", fill="token", qp=8)
    with pytest.raises(InputError, match=r"x\.dfc has 4×4 tokens, .* has 3×4: give crop="):
        LatentDataset(latent_files)
    assert item(LatentDataset(latent_files, crop=(3, 4)), 0)["latents"].shape == (8, 12, 3)
    with pytest.raises(InputError, match=r"a\.dfc has 3×4 tokens: crop=\(4, 4\) does not fit"):
        LatentDataset(latent_files, crop=(4, 4))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"window": 0}, "window 0 is not a length"),
        ({"window": 8, "stride": -1}, "stride -1 is not a length"),
        ({"stride": 4}, "stride 4 without a window"),
        ({"window": 8, "unit": "seconds"}, "unit 'seconds' is unknown: give kept or frames"),
        ({"dtype": torch.float64}, "dtype torch.float64 is not possible"),
        ({"crop": 4}, "crop 4 is invalid"),
        ({"crop": (2, 2), "crop_at": "left"}, "crop_at 'left' is unknown"),
        ({"on_damage": "stop"}, "on_damage 'stop' is unknown"),
        ({"window": 99}, "no file has a window of 99 kept frames, the longest has 18"),
        ({"window": 100, "unit": "frames"}, "window of 100 frames, the longest has 70"),
    ],
)
def test_bad_arguments(latent_files: Path, options: dict[str, object], says: str) -> None:
    with pytest.raises((UsageError, InputError), match=says.replace("(", r"\(")):
        LatentDataset(latent_files, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sources", "says"), [("none", "none does not exist"), ([], "sources \\[\\]"), (5, "sources 5")]
)
def test_bad_sources(sources: object, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UsageError, InputError), match=says):
        LatentDataset(sources)  # type: ignore[arg-type]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \.dfc file in empty: .*--preset latents"):
        LatentDataset("empty")


def test_globs_lists_and_subsets(latent_files: Path) -> None:
    assert len(LatentDataset(f"{latent_files}/**/[de].dfc").index.files) == 2
    two = LatentDataset([latent_files / "a.dfc", latent_files / "deep"])
    assert [record.source for record in two.index.files] == ["a", "d", "e"]
    assert {item(two.subset(["d"]), n)["source"] for n in range(3)} == {"d"}
    with pytest.raises(InputError, match="no file is named 'z'"):
        two.subset(["z"])


def test_a_pickled_dataset_reads_again(latent_files: Path) -> None:
    data = LatentDataset(latent_files, window=8)
    other = pickle.loads(pickle.dumps(data))
    torch.testing.assert_close(item(other, 2)["latents"], item(data, 2)["latents"])


def test_a_bad_sidecar_is_named(latent_files: Path) -> None:
    (latent_files / "b.json").write_text("[1, 2")
    with pytest.raises(InputError, match=r"b\.dfc: sidecar \.json is not a JSON object"):
        LatentDataset(latent_files)
