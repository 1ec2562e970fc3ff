"""Interrupted encodes: the partial output, and resuming to the same bytes as an uninterrupted encode."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import flat_model, moving_square, write_av

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.partial_output import PartialOutput
from dfccodec.errors import DfcError, UsageError

FRAMES = moving_square(150, 16, 32)  # five clips, the last of 22 frames
QUICK = {"fill": "token", "coding": "zstd", "budget": "bernoulli:0.3"}


class Interrupted(BaseException):
    """Stands for the end of a killed process."""


def frames_until(frames: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Yield the first `count` frames, then raise `Interrupted`."""
    yield from frames[:count]
    raise Interrupted


def encode_interrupted(
    target: Path, loaded: LoadedModel, count: int, frames: np.ndarray = FRAMES, **options: object
) -> None:
    with pytest.raises(Interrupted):
        dfc.encode(frames_until(frames, count), target, model=loaded, **{**QUICK, **options})  # type: ignore[arg-type]


def encode_resumed(target: Path, loaded: LoadedModel, frames: object = FRAMES, **options: object) -> bytes:
    dfc.encode(frames, target, model=loaded, resume=True, **{**QUICK, **options})  # type: ignore[arg-type]
    assert [p.name for p in target.parent.iterdir() if p.name.startswith(f".{target.name}")] == []
    return target.read_bytes()


@pytest.fixture
def complete(tmp_path: Path, flat: LoadedModel) -> bytes:
    dfc.encode(FRAMES, tmp_path / "complete.dfc", model=flat, **QUICK)  # type: ignore[arg-type]
    return (tmp_path / "complete.dfc").read_bytes()


class FrameCounter:
    """A model that counts the frames it encodes."""

    def __init__(self) -> None:
        self.loaded, self.frames = flat_model(), 0
        encode = self.loaded.model.encode

        def count_frames(video: object, qp: int, **options: object) -> object:
            self.frames += video.shape[1]  # type: ignore[attr-defined]
            return encode(video, qp, **options)  # type: ignore[arg-type]

        self.loaded.model.encode = count_frames  # type: ignore[method-assign,assignment]


def test_resume_continues_at_the_next_clip_with_the_same_bytes(
    tmp_path: Path, flat: LoadedModel, complete: bytes
) -> None:
    target = tmp_path / "a.dfc"
    encode_interrupted(target, flat, 100)
    assert not target.exists()
    counter = FrameCounter()
    assert encode_resumed(target, counter.loaded) == complete
    assert counter.frames == 150 - 96


def test_resume_without_partial_output_and_with_an_existing_target(
    tmp_path: Path, flat: LoadedModel, complete: bytes
) -> None:
    target = tmp_path / "a.dfc"
    target.write_bytes(b"old")
    encode_interrupted(target, flat, 20)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["a.dfc", "complete.dfc"]  # no clip is complete
    encode_interrupted(target, flat, 64)
    assert target.read_bytes() == b"old"
    assert encode_resumed(target, flat) == complete
    assert encode_resumed(tmp_path / "b.dfc", flat) == complete


def test_an_encode_can_be_interrupted_repeatedly(tmp_path: Path, flat: LoadedModel, complete: bytes) -> None:
    target = tmp_path / "a.dfc"
    for count in (40, 70, 70, 20, 149):
        encode_interrupted(target, flat, count, resume=True)
    assert encode_resumed(target, flat) == complete


@settings(max_examples=60)
@given(data=st.data())
def test_resume_from_truncated_or_corrupt_partial_output(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Truncate the partial output and its log anywhere and append random bytes.

    The resumed encode gives the same bytes, or it is rejected and leaves the partial output unchanged.
    """
    folder, flat = tmp_path_factory.mktemp("cut"), flat_model()
    target, part, log = folder / "a.dfc", folder / ".a.dfc.part", folder / ".a.dfc.part.log"
    encode_interrupted(target, flat, 149)
    for path in (part, log):
        content = path.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        path.write_bytes(content[:cut] + data.draw(st.binary(max_size=20)))
    before = part.read_bytes()
    dfc.encode(FRAMES, folder / "complete.dfc", model=flat, **QUICK)  # type: ignore[arg-type]
    try:
        assert encode_resumed(target, flat) == (folder / "complete.dfc").read_bytes()
    except UsageError as error:
        assert "cannot resume" in str(error)
        assert part.read_bytes() == before
        assert not target.exists()


def test_resume_uses_the_base_steps_of_the_partial_output(tmp_path: Path) -> None:
    ramp = np.stack([np.full((16, 32, 3), t, np.uint8) for t in range(150)])  # each clip has its own distribution
    model = flat_model(with_steps=False)
    dfc.encode(ramp, tmp_path / "complete.dfc", model=model, **QUICK)  # type: ignore[arg-type]
    encode_interrupted(tmp_path / "a.dfc", flat_model(with_steps=False), 80, ramp)
    resumed_bytes = encode_resumed(tmp_path / "a.dfc", flat_model(with_steps=False), ramp)
    assert resumed_bytes == (tmp_path / "complete.dfc").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"qp": 30}, "options was '--budget bernoulli:0.3 --qp 24"),
        ({"refine": 1}, "--refine 1"),
        ({"seed": 1}, "--seed 256"),
        ({"deadzone": 0.1500001}, "--snap 0.15 --seed 256"),
        ({"frames": FRAMES[::-1]}, "frames 0 to 31 of the source"),
        ({"frames": FRAMES[:40]}, "frames 32 to 63 of the source"),
        ({"frames": np.concatenate([FRAMES[:95], FRAMES[:50]])}, "frames 64 to 95 of the source"),
        ({"rate": 30}, "chunk HEAD at byte 8"),
    ],
)
def test_resume_with_another_source_or_option_is_rejected(
    options: dict[str, object], message: str, tmp_path: Path, flat: LoadedModel, complete: bytes
) -> None:
    target = tmp_path / "a.dfc"
    encode_interrupted(target, flat, 100)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(UsageError, match="leave out --resume") as caught:
        encode_resumed(target, flat, **options)
    assert message in str(caught.value)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    assert encode_resumed(target, flat) == complete


def test_without_resume_the_first_new_clip_replaces_the_partial_output(
    tmp_path: Path, flat: LoadedModel, complete: bytes
) -> None:
    target = tmp_path / "a.dfc"
    encode_interrupted(target, flat, 130)
    before = (tmp_path / ".a.dfc.part").read_bytes()
    encode_interrupted(target, flat, 20, FRAMES[::-1])
    assert (tmp_path / ".a.dfc.part").read_bytes() == before
    encode_interrupted(target, flat, 100, FRAMES[::-1])
    with pytest.raises(UsageError, match="frames 0 to 31"):
        encode_resumed(target, flat)
    dfc.encode(FRAMES, target, model=flat, **QUICK)  # type: ignore[arg-type]
    assert target.read_bytes() == complete
    assert len(list(tmp_path.iterdir())) == 2


def test_concurrent_encodes_of_one_target(tmp_path: Path, flat: LoadedModel, complete: bytes) -> None:
    target = tmp_path / "a.dfc"

    def frames_with_second_encode() -> Iterator[np.ndarray]:
        yield from FRAMES[:70]
        with pytest.raises(DfcError, match="is being written by another dfc"):
            encode_resumed(target, flat)
        dfc.encode(FRAMES[:5], target, model=flat, **QUICK)  # type: ignore[arg-type]
        yield from FRAMES[70:]

    # The encode that ends last writes the target.
    assert encode_resumed(target, flat, frames_with_second_encode()) == complete


def test_a_rejected_encode_leaves_no_files(tmp_path: Path, flat: LoadedModel) -> None:
    bad_frames = itertools.chain(FRAMES[:70], [np.zeros((8, 8, 3), np.uint8)])
    with pytest.raises(UsageError, match="all of one size"):
        dfc.encode(bad_frames, tmp_path / "a.dfc", model=flat, **QUICK)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"), [({"budget": "auto"}, "--budget auto"), ({"budget": None, "min_psnr": 30}, "--min-psnr 30")]
)
def test_resume_rejects_multi_pass_encodes_and_streams(
    options: dict[str, object], message: str, tmp_path: Path, flat: LoadedModel
) -> None:
    with pytest.raises(UsageError, match="--resume does not go with") as caught:
        encode_resumed(tmp_path / "a.dfc", flat, **options)
    assert message in str(caught.value)
    with (tmp_path / "b.dfc").open("wb") as stream, pytest.raises(UsageError, match="needs a path"):
        dfc.encode(FRAMES, stream, model=flat, resume=True)


def test_resume_keeps_audio_and_subtitles_in_sync(tmp_path: Path, flat: LoadedModel) -> None:
    source = write_av(
        tmp_path / "in.mkv", moving_square(150, 16, 32), ["aac", "libopus"], "subrip", Fraction(25), {"title": "T"}
    )
    dfc.encode(source, tmp_path / "complete.dfc", model=flat, **QUICK)  # type: ignore[arg-type]
    complete = (tmp_path / "complete.dfc").read_bytes()
    target = tmp_path / "a.dfc"
    for frames in (32, 96):

        def interrupt(encoded: int, frames: int = frames) -> None:
            if encoded == frames:
                raise Interrupted

        with pytest.raises(Interrupted):
            dfc.encode(source, target, model=flat, progress=interrupt, **QUICK)  # type: ignore[arg-type]
        assert json.loads((tmp_path / ".a.dfc.part.log").read_bytes().split(b"\n")[0])["device"].startswith("cpu")
        with pytest.raises(UsageError, match="chunk strm"):
            encode_resumed(target, flat, source, audio=False)
        assert encode_resumed(target, flat, source) == complete


def test_a_symlink_as_partial_output_is_not_followed(tmp_path: Path, flat: LoadedModel) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / ".a.dfc.part").symlink_to(tmp_path / "precious")
    with pytest.raises(DfcError, match="cannot write into"):
        dfc.encode(FRAMES, tmp_path / "a.dfc", model=flat, **QUICK)  # type: ignore[arg-type]
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_the_target_is_locked_until_the_partial_output_is_closed(tmp_path: Path) -> None:
    first = PartialOutput(tmp_path / "a.dfc", {}, False)
    with pytest.raises(DfcError, match="another dfc"):
        PartialOutput(tmp_path / "a.dfc", {}, False)
    first.finish()
    second = PartialOutput(tmp_path / "a.dfc", {}, False)
    second.abandon(Interrupted())
    assert [p.name for p in tmp_path.iterdir()] == ["a.dfc"]
