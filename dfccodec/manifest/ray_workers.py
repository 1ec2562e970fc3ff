"""The workers of a list as tasks of a Ray cluster (`pip install 'dfccodec[ray]'`).

Ray starts the workers and says when one has died. What each works on is up to the claims in the shared folder, as
without Ray, so a worker that dies loses nothing, and workers outside of the cluster may work on the same list.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from dfccodec.errors import DfcError, UsageError


def run_on_ray(
    address: str,
    count: int,
    threads: int,
    function: Callable[..., object],
    arguments: Sequence[Any],
    may_restart: Callable[[DfcError], bool],
    quiet: bool = False,
) -> None:
    """Run the same function in several tasks, to its end in each. A task that dies is started again.

    Args:
        address: `local` for a cluster of this machine alone that ends with the run; else that of a cluster, as `auto`.
        count, threads: number of tasks, and of CPUs that each has.
        function, arguments: what each runs; the function belongs to a module that all machines have.
        may_restart: asked after each task that died.
        quiet: show no output of the tasks.

    Raises:
        UsageError: Ray is not installed.
        DfcError: there is no cluster at the address, or a task died and may not be started again.
        Exception: the error of the function in one of the tasks.
    """
    try:
        import ray
    except ImportError:
        raise UsageError("--ray needs Ray, which is not installed: pip install 'dfccodec[ray]'") from None
    here: dict[str, Any] = {"num_cpus": max(count * threads, os.cpu_count() or 1), "include_dashboard": False}
    try:
        ray.init(address, logging_level="ERROR", log_to_driver=not quiet, **(here if address == "local" else {}))
    except (ConnectionError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())[:200]
        raise DfcError(f"no Ray cluster at {address} ({why}): start one with ray start --head, or give local") from None
    try:
        task = ray.remote(num_cpus=threads, max_retries=0)(_run)
        running = [task.remote(threads, function, arguments) for _ in range(count)]
        while running:
            done, running = ray.wait(running)
            try:
                ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError as error:
                died = DfcError(f"a Ray worker died ({type(error).__name__})")
                if not may_restart(died):
                    raise died from None
                running.append(task.remote(threads, function, arguments))
    finally:
        ray.shutdown()


def _run(threads: int, function: Callable[..., object], arguments: Sequence[Any]) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before torch is imported
    function(*arguments)
