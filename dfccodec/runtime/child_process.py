"""Child processes that run functions for this one, and are replaced when they end."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pickle import PickleError
from typing import Any, TypeVar

from dfccodec.errors import DfcError
from dfccodec.runtime.signals import raise_interrupt

A = TypeVar("A")
R = TypeVar("R")


class ChildEndedError(DfcError):
    """A child process ended before it had a result.

    Args:
        code: its exit code; the negative number of a signal.
    """

    def __init__(self, code: int | None) -> None:
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        hint = ", as when memory is short" if code == -getattr(signal, "SIGKILL", 9) else ""
        super().__init__(f"its process ended by {how}{hint}")
        self.code = code


class ChildProcess:
    """A new process that runs functions, one after the other.

    Args:
        threads: value of `OMP_NUM_THREADS` there.
    """

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, there = context.Pipe()
        # A daemon, so that it does not outlive this process.
        self.process = context.Process(target=_serve, args=(there, threads), daemon=True)
        self.process.start()
        there.close()

    def call(self, function: Callable[..., R], *arguments: Any) -> R:
        """Run a function of a module there.

        Raises:
            ChildEndedError: the process ended.
            Exception: the error of the function.
        """
        try:
            self._connection.send((function, arguments))
            done, value = self._connection.recv()
        except (EOFError, OSError):
            self.process.join()
            raise ChildEndedError(self.process.exitcode) from None
        if not done:
            raise value
        result: R = value
        return result

    def close(self, wait: float = 30) -> None:
        """Let the process end; kill it if it does not within some seconds."""
        self._connection.close()
        self.process.join(wait)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()


def parent_lives() -> bool:
    """Whether the process that started this one is still there; True in a process that is no child."""
    parent = multiprocessing.parent_process()
    return parent is None or parent.is_alive()


class ChildPool:
    """Child processes for jobs. A process that ends costs the job it was running, and is replaced.

    Args:
        count, threads: number of processes, and of threads in each.
    """

    def __init__(self, count: int, threads: int) -> None:
        self._count, self._threads = count, threads
        self._idle: list[ChildProcess] = []
        self._all: set[ChildProcess] = set()
        self._lock, self._stopped = threading.Lock(), False

    def run_each(self, function: Callable[[A], None], arguments: Iterable[A]) -> None:
        """Call a function with each argument in threads, as many as there are processes; it may use :meth:`call`.

        Raises:
            Exception: the first error of the function; the processes are ended.
        """
        with ThreadPoolExecutor(self._count) as threads:
            try:
                for future in [threads.submit(function, argument) for argument in arguments]:
                    future.result()
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                with self._lock:
                    self._stopped = True
                    for child in self._all:
                        child.process.terminate()
                raise
            finally:
                self._idle.clear()
        for child in self._all:
            child.close()

    def call(self, function: Callable[..., R], *arguments: Any) -> R:
        """Run a function in a process that is idle, or in a new one.

        Raises:
            ChildEndedError: the process ended.
            KeyboardInterrupt: :meth:`run_each` has ended the processes.
            Exception: the error of the function.
        """
        with self._lock:
            if self._stopped:
                raise KeyboardInterrupt
            child = self._idle.pop() if self._idle else ChildProcess(self._threads)
            self._all.add(child)
        try:
            result = child.call(function, *arguments)
        except ChildEndedError:
            with self._lock:
                self._all.discard(child)
                if self._stopped:
                    raise KeyboardInterrupt from None
            raise
        except Exception:
            self._idle.append(child)
            raise
        self._idle.append(child)
        return result


def run_in_children(
    count: int,
    threads: int,
    function: Callable[..., object],
    arguments: Sequence[Any],
    may_restart: Callable[[ChildEndedError], bool],
) -> None:
    """Run the same function in several processes, to its end in each. A process that ends before is replaced.

    Args:
        count, threads: number of processes, and of threads in each.
        function, arguments: what each runs.
        may_restart: asked after each process that ended; called by one thread at a time.

    Raises:
        ChildEndedError: a process ended and was not replaced.
        Exception: the error of the function in one of the processes; the others are ended.
    """
    children: set[ChildProcess] = set()
    lock, stop = threading.Lock(), threading.Event()

    def keep_one() -> None:
        while True:
            with lock:
                if stop.is_set():
                    return
                child = ChildProcess(threads)
                children.add(child)
            try:
                child.call(function, *arguments)
                return
            except ChildEndedError as error:
                with lock:
                    if not stop.is_set() and not may_restart(error):
                        raise
            finally:
                children.discard(child)
                child.close()

    with ThreadPoolExecutor(count) as pool:
        try:
            for future in [pool.submit(keep_one) for _ in range(count)]:
                future.result()
        except BaseException:
            stop.set()
            for child in list(children):
                child.process.terminate()
            raise


def _serve(connection: Connection, threads: int) -> None:
    """Main function of a child process."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before torch is imported
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends its children
    signal.signal(signal.SIGTERM, raise_interrupt)
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            function, arguments = connection.recv()
            try:
                answer = (True, function(*arguments))
            except Exception as error:
                answer = (False, error)
            try:
                connection.send(answer)
            except (TypeError, AttributeError, ValueError, PickleError) as error:  # it cannot be pickled
                connection.send((False, DfcError(str(error if answer[0] else answer[1]))))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
