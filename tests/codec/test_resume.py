"""Interrupted encodes: what they leave, and that going on from there makes the bytes of an uninterrupted one."""

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
from support import flat_model, moving, write_av

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.partial_output import PartialOutput
from dfccodec.errors import DfcError, UsageError

FRAMES = moving(150, 16, 32)  # five clips, the last of 22 frames
QUICK = {"fill": "token", "coding": "zstd", "budget": "bernoulli:0.3"}


class Stop(BaseException):
    """What a killed process meets."""


def until(frames: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """The first `count` frames, then an interruption."""
    yield from frames[:count]
    raise Stop


def interrupted(target: Path, loaded: LoadedModel, count: int, frames: np.ndarray = FRAMES, **more: object) -> None:
    with pytest.raises(Stop):
        dfc.encode(until(frames, count), target, model=loaded, **{**QUICK, **more})  # type: ignore[arg-type]


def resumed(target: Path, loaded: LoadedModel, frames: object = FRAMES, **more: object) -> bytes:
    dfc.encode(frames, target, model=loaded, resume=True, **{**QUICK, **more})  # type: ignore[arg-type]
    assert [p.name for p in target.parent.iterdir() if p.name.startswith(f".{target.name}")] == []
    return target.read_bytes()


@pytest.fixture
def whole(tmp_path: Path, flat: LoadedModel) -> bytes:
    dfc.encode(FRAMES, tmp_path / "whole.dfc", model=flat, **QUICK)  # type: ignore[arg-type]
    return (tmp_path / "whole.dfc").read_bytes()


class Counting:
    """A model that counts the frames it is asked about."""

    def __init__(self) -> None:
        self.loaded, self.frames = flat_model(), 0
        encode = self.loaded.model.encode

        def counted(video: object, qp: int, **more: object) -> object:
            self.frames += video.shape[1]  # type: ignore[attr-defined]
            return encode(video, qp, **more)  # type: ignore[arg-type]

        self.loaded.model.encode = counted  # type: ignore[method-assign,assignment]


def test_it_goes_on_at_the_next_clip_to_the_same_bytes(tmp_path: Path, flat: LoadedModel, whole: bytes) -> None:
    target = tmp_path / "a.dfc"
    interrupted(target, flat, 100)
    assert not target.exists()
    counting = Counting()
    assert resumed(target, counting.loaded) == whole
    assert counting.frames == 150 - 96


def test_nothing_left_is_no_error_and_an_old_target_stays_until_the_end(
    tmp_path: Path, flat: LoadedModel, whole: bytes
) -> None:
    target = tmp_path / "a.dfc"
    target.write_bytes(b"old")
    interrupted(target, flat, 20)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["a.dfc", "whole.dfc"]  # no clip: nothing worth keeping
    interrupted(target, flat, 64)
    assert target.read_bytes() == b"old"
    assert resumed(target, flat) == whole
    assert resumed(tmp_path / "b.dfc", flat) == whole


def test_it_can_be_interrupted_again_and_again(tmp_path: Path, flat: LoadedModel, whole: bytes) -> None:
    target = tmp_path / "a.dfc"
    for count in (40, 70, 70, 20, 149):
        interrupted(target, flat, count, resume=True)
    assert resumed(target, flat) == whole


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_bytes_a_killed_run_has_left(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Cut part and log anywhere, rubbish behind the cut: the result is the same, or a refusal that loses nothing."""
    folder, flat = tmp_path_factory.mktemp("cut"), flat_model()
    target, part, log = folder / "a.dfc", folder / ".a.dfc.part", folder / ".a.dfc.part.log"
    interrupted(target, flat, 149)
    for path in (part, log):
        old = path.read_bytes()
        cut = data.draw(st.integers(0, len(old)))
        path.write_bytes(old[:cut] + data.draw(st.binary(max_size=20)))
    left = part.read_bytes()
    dfc.encode(FRAMES, folder / "whole.dfc", model=flat, **QUICK)  # type: ignore[arg-type]
    try:
        assert resumed(target, flat) == (folder / "whole.dfc").read_bytes()
    except UsageError as error:
        assert "cannot resume" in str(error)
        assert part.read_bytes() == left
        assert not target.exists()


def test_steps_measured_on_the_first_clip_are_those_of_the_part(tmp_path: Path) -> None:
    ramp = np.stack([np.full((16, 32, 3), t, np.uint8) for t in range(150)])  # no clip has the others' spread
    plain = flat_model(with_steps=False)
    dfc.encode(ramp, tmp_path / "whole.dfc", model=plain, **QUICK)  # type: ignore[arg-type]
    interrupted(tmp_path / "a.dfc", flat_model(with_steps=False), 80, ramp)
    again = resumed(tmp_path / "a.dfc", flat_model(with_steps=False), ramp)
    assert again == (tmp_path / "whole.dfc").read_bytes()


@pytest.mark.parametrize(
    ("more", "says"),
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
def test_another_source_or_option_is_refused_and_loses_nothing(
    more: dict[str, object], says: str, tmp_path: Path, flat: LoadedModel, whole: bytes
) -> None:
    target = tmp_path / "a.dfc"
    interrupted(target, flat, 100)
    left = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(UsageError, match="leave out --resume") as caught:
        resumed(target, flat, **more)
    assert says in str(caught.value)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == left
    assert resumed(target, flat) == whole


def test_without_resume_it_begins_anew_but_not_before_it_has_a_clip(
    tmp_path: Path, flat: LoadedModel, whole: bytes
) -> None:
    target = tmp_path / "a.dfc"
    interrupted(target, flat, 130)
    left = (tmp_path / ".a.dfc.part").read_bytes()
    interrupted(target, flat, 20, FRAMES[::-1])
    assert (tmp_path / ".a.dfc.part").read_bytes() == left
    interrupted(target, flat, 40, FRAMES[::-1])
    with pytest.raises(UsageError, match="frames 0 to 31"):
        resumed(target, flat)
    dfc.encode(FRAMES, target, model=flat, **QUICK)  # type: ignore[arg-type]
    assert target.read_bytes() == whole
    assert len(list(tmp_path.iterdir())) == 2


def test_two_at_a_time(tmp_path: Path, flat: LoadedModel, whole: bytes) -> None:
    target = tmp_path / "a.dfc"

    def meanwhile() -> Iterator[np.ndarray]:
        yield from FRAMES[:70]
        with pytest.raises(DfcError, match="is being written by another dfc"):
            resumed(target, flat)
        dfc.encode(FRAMES[:5], target, model=flat, **QUICK)  # type: ignore[arg-type]
        yield from FRAMES[70:]

    assert resumed(target, flat, meanwhile()) == whole  # the last to end has the target


def test_what_dfc_refuses_leaves_nothing(tmp_path: Path, flat: LoadedModel) -> None:
    odd = itertools.chain(FRAMES[:70], [np.zeros((8, 8, 3), np.uint8)])
    with pytest.raises(UsageError, match="all of one size"):
        dfc.encode(odd, tmp_path / "a.dfc", model=flat, **QUICK)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("more", "says"), [({"budget": "auto"}, "--budget auto"), ({"budget": None, "min_psnr": 30}, "--min-psnr 30")]
)
def test_what_cannot_be_resumed_says_so(more: dict[str, object], says: str, tmp_path: Path, flat: LoadedModel) -> None:
    with pytest.raises(UsageError, match="--resume does not go with") as caught:
        resumed(tmp_path / "a.dfc", flat, **more)
    assert says in str(caught.value)
    with (tmp_path / "b.dfc").open("wb") as stream, pytest.raises(UsageError, match="needs a path"):
        dfc.encode(FRAMES, stream, model=flat, resume=True)


def test_sound_and_subtitles_stay_in_step(tmp_path: Path, flat: LoadedModel) -> None:
    source = write_av(
        tmp_path / "in.mkv", moving(150, 16, 32), ["aac", "libopus"], "subrip", Fraction(25), {"title": "T"}
    )
    dfc.encode(source, tmp_path / "whole.dfc", model=flat, **QUICK)  # type: ignore[arg-type]
    whole = (tmp_path / "whole.dfc").read_bytes()
    target = tmp_path / "a.dfc"
    for frames in (32, 96):

        def stop(done: int, frames: int = frames) -> None:
            if done == frames:
                raise Stop

        with pytest.raises(Stop):
            dfc.encode(source, target, model=flat, progress=stop, **QUICK)  # type: ignore[arg-type]
        assert json.loads((tmp_path / ".a.dfc.part.log").read_bytes().split(b"\n")[0])["device"].startswith("cpu")
        with pytest.raises(UsageError, match="chunk strm"):
            resumed(target, flat, source, audio=False)
        assert resumed(target, flat, source) == whole


def test_a_link_in_the_place_of_the_part_is_not_followed(tmp_path: Path, flat: LoadedModel) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / ".a.dfc.part").symlink_to(tmp_path / "precious")
    with pytest.raises(DfcError, match="cannot write into"):
        dfc.encode(FRAMES, tmp_path / "a.dfc", model=flat, **QUICK)  # type: ignore[arg-type]
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_the_name_that_a_part_replaces_is_locked_until_the_end(tmp_path: Path) -> None:
    first = PartialOutput(tmp_path / "a.dfc", {}, False)
    with pytest.raises(DfcError, match="another dfc"):
        PartialOutput(tmp_path / "a.dfc", {}, False)
    first.finish()
    second = PartialOutput(tmp_path / "a.dfc", {}, False)
    second.abandon(Stop())
    assert [p.name for p in tmp_path.iterdir()] == ["a.dfc"]
