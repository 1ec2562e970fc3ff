"""What a process may use of the machine."""

from __future__ import annotations

import ctypes
import io
import os
from pathlib import Path

import pytest
import threadpoolctl
from support import moving

import dfccodec as dfc
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.runtime import resources


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux lets a process choose its cores")
def test_threads_are_those_of_the_affinity_not_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert resources.available_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(("quota", "threads"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None)])
def test_threads_are_those_of_the_cgroup(quota: str, threads: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(Path, "read_text", lambda self: quota)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert resources.available_cpus() == (threads or cores)


@pytest.mark.parametrize("error", [OSError, AttributeError, TypeError])
def test_memory_is_given_back_where_the_c_library_can(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: None) -> object:
        raise error

    resources._trim.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    resources.malloc_trim()
    assert resources._trim() is None
    monkeypatch.undo()
    resources._trim.cache_clear()
    resources.malloc_trim()


def test_the_frame_remembered_does_not_hold_its_clip(flat: LoadedModel) -> None:
    out = io.BytesIO()
    dfc.encode(moving(40), out, model=flat, frame_rate=25)
    decoder = Decoder(io.BytesIO(out.getvalue()), lambda _: flat)
    pictures = list(decoder)
    assert decoder._concealer.last is pictures[-1]
    assert pictures[-1].rgb.base is None
    assert pictures[-2].rgb.base is not None
    assert len(pictures) == 40


def test_numpys_products_take_one_thread_until_the_last_to_ask_is_done() -> None:
    def threads() -> set[int]:
        return {blas["num_threads"] for blas in resources._numpy_blas().info()}

    if not threads():
        pytest.skip("this NumPy has no OpenBLAS of its own")
    with threadpoolctl.ThreadpoolController().select(user_api="blas").limit(limits=2):
        first, second = resources.single_threaded_blas(), resources.single_threaded_blas()
        first.__enter__()
        assert threads() == {1}
        second.__enter__()
        first.__exit__(None, None, None)
        assert threads() == {1}  # the other is still at work, as when clips are coded in threads
        second.__exit__(None, None, None)
        assert threads() == {2}
        with pytest.raises(ZeroDivisionError), resources.single_threaded_blas():
            raise ZeroDivisionError
        assert threads() == {2}
