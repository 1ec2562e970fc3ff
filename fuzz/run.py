"""Fuzz the readers of dfc.

    python fuzz/run.py --target clip --minutes 30
    python fuzz/run.py --target all --minutes 8            # all targets in turn, 8 minutes each
    python fuzz/run.py --target clip --replay FILE…        # run inputs of findings again

With `pip install atheris` (extra `fuzz`), inputs are chosen by code coverage; otherwise at random. Prints a row for
each target. Inputs of findings are written to --out, each with a .txt that describes the fault. The exit code is 1 if
there are findings.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", required=True, help="a name from targets.py, several with commas, or all")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=256)
    parser.add_argument("--engine", choices=("auto", "atheris", "plain"), default="auto")
    parser.add_argument("--out", type=Path, default=Path("fuzz-out"))
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine == "auto":
        options.engine = "atheris" if importlib.util.find_spec("atheris") else "plain"
    options.out.mkdir(parents=True, exist_ok=True)
    if options.child:
        return _child(options)
    from targets import TARGETS

    names = list(TARGETS) if options.target == "all" else options.target.split(",")
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        parser.error(f"no target {', '.join(unknown)}: give {', '.join(TARGETS)} or all")
    if options.replay:
        return _replay(TARGETS[names[0]], options.replay)
    print("| target | engine | minutes | CPU minutes | executions | endings | slowest ms | findings |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    return max([_parent(name, options) for name in names])


def _parent(name: str, options: argparse.Namespace) -> int:
    """Run a target in a child process, because a fault in a C library may crash it."""
    from engine import Report

    report = Report(options.out, name)
    command = [sys.executable, __file__, "--child", "--target", name, "--minutes", str(options.minutes)]
    command += ["--seed", str(options.seed), "--engine", options.engine, "--out", str(options.out)]
    with (options.out / f"{name}.log").open("wb") as log:
        code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
    record: dict[str, Any] = {"executions": 0, "seconds": 0, "cpu": 0, "endings": 0, "slowest_ms": 0, "findings": {}}
    with contextlib.suppress(OSError):
        record = json.loads(report.stats.read_text(encoding="utf-8"))
    if code:
        path = options.out / f"{name}-crash-{int(time.time())}"
        path.write_bytes(report.last_input())
        record["findings"]["crash"] = f"ended with {code}, see {name}.log; input in {path}"
    report.input.unlink(missing_ok=True)
    found = "; ".join(f"{key}: {what}" for key, what in record["findings"].items()) or "none"
    row = [name, options.engine, f"{record['seconds'] / 60:.1f}", f"{record['cpu'] / 60:.1f}", record["executions"]]
    row += [record["endings"], record["slowest_ms"], found]
    print("| " + " | ".join(map(str, row)) + " |", flush=True)
    return int(bool(record["findings"]))


def _child(options: argparse.Namespace) -> int:
    with contextlib.ExitStack() as stack:
        if options.engine == "atheris":
            import atheris

            # Instrument imports before dfc is imported: modules imported earlier have no coverage.
            names = ["dfccodec", "read_dfc", "read_range", "read_motion"]
            stack.enter_context(atheris.instrument_imports(include=names))
        from engine import Report, run_atheris, run_plain
        from targets import TARGETS
        from watch import Watch

    watch = Watch(TARGETS[options.target], options.out)
    note = (report := Report(options.out, options.target)).open(watch)
    begun = time.monotonic()
    if options.engine == "atheris":
        run_atheris(watch, 60 * options.minutes, options.seed, options.out, note)
    else:
        run_plain(watch, 60 * options.minutes, options.seed, note=note)
    report.write(watch, time.monotonic() - begun)
    return 0


def _replay(target: Any, paths: list[Path]) -> int:
    from watch import Watch

    watch = Watch(target)
    for path in paths:
        ending = watch.run(path.read_bytes())
        print(f"{path}: {ending or 'as one before'}")
    for finding in watch.findings.values():
        print(f"{finding.kind}: {finding.what}")
    return int(bool(watch.findings))


if __name__ == "__main__":
    sys.exit(main())
