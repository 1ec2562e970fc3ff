"""CPUs, memory and BLAS threads of a process."""

from __future__ import annotations

import ctypes
import io
import os
from pathlib import Path

import pytest
import threadpoolctl
from support import moving_square

import dfccodec as dfc
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.runtime import resources


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity of Linux")
def test_available_cpus_respects_the_cpu_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert resources.available_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(("quota", "threads"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None)])
def test_available_cpus_respects_the_cgroup_quota(
    quota: str, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(Path, "read_text", lambda self: quota)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert resources.available_cpus() == (threads or cores)


@pytest.mark.parametrize("error", [OSError, AttributeError, TypeError])
def test_malloc_trim_works_without_support_of_the_c_library(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: None) -> object:
        raise error

    resources._glibc.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    resources.malloc_trim()
    assert resources._glibc("malloc_trim") is None
    monkeypatch.undo()
    resources._glibc.cache_clear()
    resources.malloc_trim()


def test_the_frame_kept_for_concealment_is_a_copy(flat: LoadedModel) -> None:
    out = io.BytesIO()
    dfc.encode(moving_square(40), out, model=flat, frame_rate=25)
    decoder = Decoder(io.BytesIO(out.getvalue()), lambda _: flat)
    pictures = list(decoder)
    assert decoder._concealer.last is pictures[-1]
    assert pictures[-1].rgb.base is None
    assert pictures[-2].rgb.base is not None
    assert len(pictures) == 40


def test_single_threaded_blas_lasts_until_the_last_context_exits() -> None:
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
        assert threads() == {1}  # the second context is still active, as when several threads code clips
        second.__exit__(None, None, None)
        assert threads() == {2}
        with pytest.raises(ZeroDivisionError), resources.single_threaded_blas():
            raise ZeroDivisionError
        assert threads() == {2}
