"""Clips coded at the same time: the bytes of one after another, and an early end."""

import io
from collections.abc import Iterator
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support import flat_model

import dfccodec as dfc
from dfccodec.codec.clip import parallel
from dfccodec.codec.clip.encode import ClipCoder
from dfccodec.codec.clip.parallel import code_clips
from dfccodec.codec.encoder import make_header
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.settings import make_settings
from dfccodec.errors import DfcError
from dfccodec.media.picture import Picture, SourceInfo


def moving(count: int) -> list[np.ndarray]:
    """Noise that drifts, (48, 64, 3) uint8."""
    ground = np.random.default_rng(5).integers(0, 256, (48, 64 + count, 3)).astype(np.uint8)
    return [np.ascontiguousarray(ground[:, t : t + 64]) for t in range(count)]


def encoded(frames: list[np.ndarray], model: LoadedModel, **options: object) -> bytes:
    out = io.BytesIO()
    dfc.encode(frames, out, model=model, budget="4", **options)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_parallel_clips_have_the_bytes_of_one_after_another(
    count: int, mini: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, threads = moving(70), torch.get_num_threads()
    monkeypatch.setattr(parallel, "parallel_clips", lambda *of: 1)
    alone = encoded(frames, mini)
    monkeypatch.setattr(parallel, "parallel_clips", lambda *of: count)
    assert encoded(frames, mini) == alone
    assert torch.get_num_threads() == threads


def test_steps_of_a_model_without_its_own_come_from_the_first_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = moving(100)
    monkeypatch.setattr(parallel, "parallel_clips", lambda *of: 1)
    alone = encoded(frames, flat_model(with_steps=False), fill="token")
    monkeypatch.setattr(parallel, "parallel_clips", lambda *of: 3)
    assert encoded(frames, flat_model(with_steps=False), fill="token") == alone


def test_the_number_of_parallel_clips_follows_threads_and_memory(
    mini: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = make_header(SourceInfo(1280, 720, Fraction(25), Fraction(1, 25)), mini)
    need = 1280 * 720 * 32 * parallel.BYTES_PER_PIXEL * parallel.MEMORY_SHARE
    for threads, memory, wanted in (
        (1, 9, 1),
        (2, 9, 2),
        (2, 1, 1),
        (8, 3, 3),
        (64, 99, parallel.MAX_CLIPS),
        (2, 0, 1),
    ):
        monkeypatch.setattr(torch, "get_num_threads", lambda now=threads: now)
        monkeypatch.setattr(parallel, "available_memory", lambda now=memory: now * need)
        assert parallel.parallel_clips(header, mini) == wanted
    monkeypatch.setattr(parallel, "available_memory", lambda: None)
    assert parallel.parallel_clips(header, mini) == 1
    gpu = SimpleNamespace(device=SimpleNamespace(type="cuda"))
    assert parallel.parallel_clips(header, gpu) == 1  # type: ignore[arg-type]


def test_a_cancelled_encode_ends_before_its_next_frame(mini: LoadedModel) -> None:
    header = make_header(SourceInfo(64, 48, Fraction(25), Fraction(1, 25)), mini)
    coder = ClipCoder(header, mini, make_settings(budget="4"))
    coder.cancel()
    with pytest.raises(DfcError, match="cancelled"):
        coder.code([Picture(frame, pts, 1) for pts, frame in enumerate(moving(8))], 0)


@pytest.mark.parametrize("whole", [1, 2, 4])
def test_clips_before_an_error_of_the_source_are_encoded(
    whole: int, mini: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def batches() -> Iterator[list[Picture]]:
        for number in range(whole):
            yield [Picture(frame, 4 * number + pts, 1) for pts, frame in enumerate(moving(4))]
        raise OSError("the disk is gone")

    monkeypatch.setattr(parallel, "parallel_clips", lambda *of: 2)
    header = make_header(SourceInfo(64, 48, Fraction(25), Fraction(1, 25)), mini)
    clips = code_clips(ClipCoder(header, mini, make_settings(budget="4")), batches(), 0)
    assert [next(clips)[0].first_frame for _ in range(whole)] == [4 * number for number in range(whole)]
    with pytest.raises(OSError, match="the disk is gone"):
        next(clips)
