"""Running one input with checks of exceptions, time and memory."""

from __future__ import annotations

import gc
import os
import re
import resource
import time
import traceback
import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path

from targets import Target

from dfccodec.errors import DfcError

TRACED_EVERY = 64
"""One execution in this many traces allocations, because tracing triples the time."""
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
"""Whether AddressSanitizer is loaded. It keeps freed memory and surrounds the rest: memory is judged without it."""
NOISE_MS = 60
"""Milliseconds tolerated for a busy machine and garbage collection."""


@dataclass(frozen=True)
class Finding:
    """A fault of a target, with its input."""

    kind: str
    """`exception`, `slow`, `memory` or `crash`."""
    what: str
    data: bytes


@dataclass
class Watch:
    """Runs inputs of one target and collects findings, one input for each different fault.

    Args:
        target: the target.
        folder: folder for inputs of findings; None to keep them only in memory.
    """

    target: Target
    folder: Path | None = None
    executions: int = 0
    findings: dict[str, Finding] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    slowest_ms: float = 0.0

    def run(self, data: bytes) -> str:
        """Run one input. Returns its outcome if it is new, else "". Numbers in outcomes are replaced by #."""
        self.executions += 1
        traced = self.executions % TRACED_EVERY == 0
        fat = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        took, outcome = self._once(data, traced)
        allowed = self.target.limits
        if not traced:
            self.slowest_ms = max(self.slowest_ms, took)
            if took > NOISE_MS + allowed.ms(data) and self._fastest(data) > allowed.ms(data):
                self._found("slow", f"{took:.0f} ms for {len(data)} bytes, {allowed.ms(data):.0f} allowed", data)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - fat
        # A traced run is judged by its own peak: the records of tracing would count here.
        if not traced and not SANITIZED and grown > 1024 * allowed.mib(data):
            self._found("memory", f"{grown >> 10} MiB more than before, {allowed.mib(data):.0f} allowed", data)
        fresh = outcome not in self.outcomes
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        return outcome if fresh else ""

    def _once(self, data: bytes, traced: bool = False) -> tuple[float, str]:
        if traced:
            tracemalloc.start()
        begun = time.process_time()
        try:
            outcome = self.target.run(data) or "good"
        except DfcError as error:
            outcome = f"{type(error).__name__} {_template(str(error))}"
            if "\n" in str(error) or not str(error).isprintable():
                self._found("exception", f"a message with unprintable characters: {error!r:.200}", data)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a panic in Rust raises a BaseException
            where = traceback.extract_tb(error.__traceback__)[-1]
            outcome = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
            self._found("exception", f"{outcome}: {str(error)[:200]}", data, outcome)
        took = 1000 * (time.process_time() - begun)
        if traced:
            peak = tracemalloc.get_traced_memory()[1] / 2**20
            tracemalloc.stop()
            if peak > self.target.limits.mib(data):
                self._found("memory", f"{peak:.0f} MiB, {self.target.limits.mib(data):.0f} allowed", data)
        return took, outcome

    def _fastest(self, data: bytes) -> float:
        """Return the minimum of three times, so that a pause of the machine is not a finding."""
        gc.collect()
        return min(self._once(data)[0] for _ in range(3))

    def _found(self, kind: str, what: str, data: bytes, key: str = "") -> None:
        key = key or kind
        if key in self.findings:
            return
        self.findings[key] = Finding(kind, what, data)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"{self.target.name}-{re.sub(r'[^a-zA-Z0-9]+', '-', key)[:60]}"
            (self.folder / name).write_bytes(data)
            (self.folder / f"{name}.txt").write_text(what + "\n", encoding="utf-8")


def _template(text: str) -> str:
    return re.sub(r"'[^']*'|[0-9a-f]{8,}|-?\d+", "#", text)[:120]
