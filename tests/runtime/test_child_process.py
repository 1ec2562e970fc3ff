"""Child processes: results, errors, and processes that end."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from dfccodec.errors import DamagedError, DfcError
from dfccodec.runtime.child_process import ChildEndedError, ChildPool, ChildProcess, parent_lives, run_in_children
from dfccodec.runtime.resources import cpus_per_process


def test_a_child_runs_functions_one_after_the_other() -> None:
    child = ChildProcess(threads=3)
    assert child.call(os.getenv, "OMP_NUM_THREADS") == "3"
    assert child.call(os.getpid) == child.process.pid
    assert child.call(parent_lives)
    with pytest.raises(ValueError, match="invalid literal"):
        child.call(int, "x")
    with pytest.raises(DfcError, match="pickle"):
        child.call(os.scandir, ".")  # its result cannot be sent
    assert child.call(len, "four") == 4
    child.close()
    assert child.process.exitcode == 0


def test_a_child_that_ends() -> None:
    child = ChildProcess(threads=1)
    with pytest.raises(ChildEndedError, match="its process ended by signal 9, as when memory is short"):
        child.call(os.kill, child.process.pid, signal.SIGKILL)
    child.close()


def test_children_are_replaced_until_they_may_not_be() -> None:
    ended: list[int | None] = []

    def may_restart(error: ChildEndedError) -> bool:
        ended.append(error.code)
        return len(ended) < 3

    with pytest.raises(ChildEndedError, match="exit code 7"):
        run_in_children(1, 1, os._exit, [7], may_restart)
    assert ended == [7, 7, 7]


def test_the_error_of_a_child_is_that_of_the_run() -> None:
    with pytest.raises(DamagedError, match=r"broken \(at byte 5\)"):
        run_in_children(2, 1, _fail, [], lambda error: True)


def _fail() -> None:
    raise DamagedError("broken", 5)


def test_a_pool_is_stopped_by_an_interrupt() -> None:
    pool, begun, seen = ChildPool(2, 1), threading.Event(), list[type]()

    def work(number: int) -> None:
        if number == 0:
            begun.wait()
            time.sleep(0.2)
            raise KeyboardInterrupt
        begun.set()
        try:
            pool.call(time.sleep, 60)
        except BaseException as error:
            seen.append(type(error))
            raise

    with pytest.raises(KeyboardInterrupt):
        pool.run_each(work, range(3))
    assert set(seen) == {KeyboardInterrupt}  # and not the end of a process


def test_processes_share_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfccodec.runtime.resources.available_cpus", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [cpus_per_process(n) for n in (1, 3, 16)] == [8, 2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert cpus_per_process(4) == 8  # of each process, as the user says
