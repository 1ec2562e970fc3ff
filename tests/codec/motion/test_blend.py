"""Fill policy blend: dropped frames from their reference frames, without the network."""

from __future__ import annotations

import io

import numpy as np
import pytest
from support import moving_square

import dfccodec as dfc
from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.motion.blend import ReferenceBlender
from dfccodec.container.records import Fill

KEPT = np.array([0, 1, 0, 0, 1, 0], bool)


def test_dropped_frames_are_interpolated_in_time() -> None:
    emitted: dict[int, np.ndarray] = {}
    blend = ReferenceBlender(KEPT, emitted.__setitem__)
    for frame, value in ((1, 0.25), (4, 1.5), (2, 9.0)):  # a sample above 1 is clamped, a dropped frame ignored
        blend(frame, np.full((1, 1, 3), value, np.float32))
    assert list(emitted) == [1, 4, 0, 2, 3, 5]
    assert [float(emitted[n][0, 0, 0]) for n in (0, 1, 2, 3, 4, 5)] == pytest.approx([0.25, 0.25, 0.5, 0.75, 1.0, 1.0])


def encode(frames: np.ndarray, model: LoadedModel, **options: object) -> bytes:
    out = io.BytesIO()
    dfc.encode(frames, out, model=model, fill="blend", refine=0, **options)  # type: ignore[arg-type]
    return out.getvalue()


def test_the_network_decodes_kept_frames_only(mini: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(moving_square(9, 64, 96), mini, budget="10", coding="inter")
    with dfc.open(data) as file:
        assert file[0].record.fill == Fill.DIRECT
        kept = set(file[0].kept_indices.tolist())
    decoded: list[int] = []
    original = type(mini.model)._decode_pictures

    def recording(self: object, *args: object) -> object:
        for frame, picture in original(self, *args):  # type: ignore[arg-type]
            decoded.append(frame)
            yield frame, picture

    monkeypatch.setattr(type(mini.model), "_decode_pictures", recording)
    pictures = list(dfc.decode(data, model=mini))
    assert len(pictures) == 9
    assert set(decoded) == kept
    assert len(kept) < 9


def test_motion_is_used_and_files_trim(mini: LoadedModel) -> None:
    frames = moving_square(16, 64, 96)
    data = encode(frames, mini, budget="8")
    back = np.stack([picture.rgb for picture in dfc.decode(data, model=mini)])
    assert np.mean((back.astype(float) - frames) ** 2) < 60
    out = io.BytesIO()
    dfc.trim(data, out, budget=Budget.parse("4"))
    assert dfc.verify(out.getvalue())
    assert len(list(dfc.decode(out.getvalue(), model=mini))) == 16
    with dfc.open(data) as file, dfc.open(out.getvalue()) as small:
        assert (file.kept, small.kept) == (4, 2)


def test_a_clip_without_kept_frames_and_one_without_dropped_frames(flat: LoadedModel) -> None:
    frames = moving_square(3)
    everything = encode(frames, flat, budget="all")
    assert len(list(dfc.decode(everything, model=flat))) == 3
    # A network whose frames depend on one another, here the flat one, decodes all of them; the result is the same.
    some = encode(moving_square(8), flat, budget="8")
    assert len(list(dfc.decode(some, model=flat))) == 8
