"""Decoding with another fill policy than the one of the file: `dfc.decode(..., fill=)` and `dfc decode --fill`."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from motion_clips import sliding_texture

import dfccodec as dfc
from dfccodec.cli.main import main
from dfccodec.codec import fill
from dfccodec.codec.clip.decode import decode_clip
from dfccodec.codec.fill.generate.pictures import load_generator
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import Fill
from dfccodec.errors import ModelError, UnsupportedError, UsageError
from dfccodec.models import registry

NAMES = {"blend": "direct"}  # what blend becomes in the inter coding
FRAMES = sliding_texture(20, 64, 80, (0, 1))


@pytest.fixture(scope="module")
def files(mini: LoadedModel) -> dict[str, bytes]:
    """One clip with three kept frames, by fill policy."""
    out = {}
    for name in ("token", "motion", "blend", "generate"):
        stream = io.BytesIO()
        dfc.encode(FRAMES, stream, model=mini, qp=16, budget="4", fill=name, refine=0, coding="inter")
        out[name] = stream.getvalue()
    return out


@pytest.fixture
def no_generator(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installation without `mini-regen`."""
    locate = registry.locate
    monkeypatch.setattr(registry, "locate", lambda entry: None if entry.name == "mini-regen" else locate(entry))
    load_generator.cache_clear()
    yield
    load_generator.cache_clear()


def decoded(data: bytes, loaded: LoadedModel, name: str | None = None) -> np.ndarray:
    return np.stack([picture.rgb for picture in dfc.decode(data, model=loaded, fill=name)])


def kept(data: bytes) -> np.ndarray:
    return next(item.clip.kept for item in StreamReader(io.BytesIO(data)) if isinstance(item, ClipAt))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(max(np.mean((a.astype(float) - b) ** 2), 1e-9) / 255**2))


@pytest.mark.parametrize("name", ["token", "hold", "lerp", "blend"])
def test_policies_of_kept_frames_only_work_for_every_file(
    name: str, files: dict[str, bytes], mini: LoadedModel, no_generator: None
) -> None:
    made = {own: decoded(data, mini, name) for own, data in files.items()}
    for own, frames in made.items():
        assert frames.shape == FRAMES.shape
        still = decoded(files[own], mini, "hold")[kept(files[own])]
        assert psnr(frames[kept(files[own])], still) > 45
    if name == "token":
        np.testing.assert_array_equal(made["token"], decoded(files["token"], mini))


def test_vectors_are_used_by_motion_and_blend(files: dict[str, bytes], mini: LoadedModel) -> None:
    for own, other in (("motion", "blend"), ("blend", "motion")):
        more = 3 if own == "motion" else 2  # blocks of mode 0 then lose their direct motion
        assert psnr(decoded(files[own], mini, other), FRAMES) > psnr(decoded(files[own], mini, "hold"), FRAMES) + more
        np.testing.assert_array_equal(decoded(files[own], mini, own), decoded(files[own], mini))


def test_motion_latents_are_followed_without_a_generator(
    files: dict[str, bytes], mini: LoadedModel, no_generator: None
) -> None:
    data = files["generate"]
    with pytest.raises(ModelError, match=r"'mini-regen' is not on this machine.*pip install.*dfc decode --fill motion"):
        decoded(data, mini)
    assert psnr(decoded(data, mini, "motion"), FRAMES) > psnr(decoded(data, mini, "hold"), FRAMES) + 3


def test_the_nearer_kept_frame_is_warped(mini: LoadedModel, files: dict[str, bytes]) -> None:
    reader = StreamReader(io.BytesIO(files["generate"]))
    clip = next(item.clip for item in reader if isinstance(item, ClipAt))
    still = fill.replace(dataclasses.replace(clip, fill_payload=b""), Fill.MOTION)  # no motion
    made = decode_clip(still, reader.preamble, mini)
    for number, frame in enumerate(made):
        nearest = min(np.flatnonzero(clip.kept), key=lambda k: abs(k - number))  # the past one if equally near
        assert np.abs(frame.astype(int) - made[nearest]).max() <= 1


@pytest.mark.parametrize(("own", "name"), [("token", "motion"), ("token", "generate"), ("blend", "generate")])
def test_motion_that_is_not_in_the_file(own: str, name: str, files: dict[str, bytes], mini: LoadedModel) -> None:
    with pytest.raises(
        UsageError, match=f"--fill {name} needs motion .*is {NAMES.get(own, own)}.*give token, hold, lerp or blend"
    ):
        decoded(files[own], mini, name)
    with pytest.raises(UsageError, match="fill policy 'magic' is unknown"):
        dfc.decode(files[own], model=mini, fill="magic")


def test_clips_of_unknown_policies_decode_with_another_one(files: dict[str, bytes], mini: LoadedModel) -> None:
    reader = StreamReader(io.BytesIO(files["token"]))
    clip = next(dataclasses.replace(item.clip, fill=9) for item in reader if isinstance(item, ClipAt))
    with pytest.raises(UnsupportedError, match=r"fill policy 9 .*decode with --fill hold"):
        decode_clip(clip, reader.preamble, mini)
    made = decode_clip(fill.replace(clip, Fill.HOLD), reader.preamble, mini)
    np.testing.assert_array_equal(made, decoded(files["token"], mini, "hold"))
    with pytest.raises(UsageError, match=r"its fill policy is 9"):
        fill.replace(clip, Fill.MOTION)


def test_command_line(
    files: dict[str, bytes], tmp_path: Path, no_generator: None, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "in.dfc", tmp_path / "out.mkv"
    source.write_bytes(files["generate"])
    assert main(["decode", str(source), "-o", str(output)]) == 5
    error = capsys.readouterr().err
    assert "dfc decode --fill motion" in error
    assert "Traceback" not in error
    assert not output.exists()
    assert main(["decode", str(source), "-o", str(output), "--fill", "generate"]) == 5
    assert main(["decode", str(source), "-o", str(output), "--fill", "motion"]) == 0
    assert output.exists()
    capsys.readouterr()
    assert main(["decode", str(source), "-o", str(output), "-y", "--fill", "magic"]) == 2
