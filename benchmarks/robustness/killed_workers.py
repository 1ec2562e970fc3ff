"""Test of `dfc encode --manifest` with killed workers: nothing is lost, nothing half written, every file encoded once.

    python -m benchmarks.robustness.killed_workers processes [KILLS]     # three dfc processes, each started again
    python -m benchmarks.robustness.killed_workers jobs [KILLS]          # one dfc with --jobs 3
    python -m benchmarks.robustness.killed_workers ray [KILLS]           # the same on a local Ray cluster

Workers encode a list of generated videos into one folder. At random moments, KILLS (50) in all, a random worker gets
SIGKILL. When a list is complete, its folder is checked and the next one begins. The script fails if an output is
missing, differs from an undisturbed encode by a byte, does not pass `dfc verify`, or has not exactly one record; or if
anything else is left.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks.clips import RESULTS, table, write_json
from dfccodec.edit.api import verify
from dfccodec.runtime.process_identity import has_ended

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from support import moving_square, write_video  # type: ignore[import-not-found]  # of the tests

WORKERS, VIDEOS, KILLS = 3, 12, 10
"""Workers at a time; videos, and kills at the most, of one list."""

ENCODING = 2 / 3
"""Share of the kills that wait for a worker that is encoding. The others also meet workers that load the model."""

OPTIONS = ["--budget", "8", "--qp", "24", "--refine", "0"]
MODES: dict[str, list[list[str]]] = {
    "processes": [[]] * WORKERS,
    "jobs": [["--jobs", str(WORKERS)]],
    "ray": [["--jobs", str(WORKERS), "--ray", "local"]],
}
"""Mode -> more options of each command that runs at the same time."""


class Started(Protocol):
    """A process, as of `subprocess`."""

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""


Start = Callable[[Sequence[str]], Started]


def start_dfc(arguments: Sequence[str]) -> Started:
    return subprocess.Popen([sys.executable, "-m", "dfccodec", *arguments, "--quiet"])


def make_list(folder: Path, videos: int, frames: int) -> Path:
    """Write videos of `frames` frames and more, and their list."""
    lines = []
    for number in range(videos):
        write_video(
            folder / f"{number:03}.mp4", moving_square(frames + number * 7 % frames, 96, 128 + 16 * (number % 3))
        )
        lines.append(json.dumps({"input": f"{number:03}.mp4", "output": f"{number % 4}/{number:03}.dfc"}))
    (folder / "list.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "list.jsonl"


def command(videos: Path, out: Path) -> list[str]:
    return ["encode", "--manifest", str(videos), "--output-dir", str(out), *OPTIONS]


def run_list(
    commands: Sequence[Sequence[str]], out: Path, kills: int, rng: random.Random, gap: tuple[float, float], start: Start
) -> Counter[str]:
    """Run commands until they end by themselves, and kill up to `kills` workers.

    Args:
        gap: least and most seconds between two kills.

    Returns:
        what the kills met.
    """
    met: Counter[str] = Counter()
    running = [(arguments, start(arguments)) for arguments in commands]
    due, encoding = time.monotonic() + rng.uniform(*gap), rng.random() < ENCODING
    while running:
        for arguments, process in list(running):
            code = process.poll()
            if code is not None:
                running.remove((arguments, process))
                if code == -signal.SIGKILL:
                    running.append((arguments, start(arguments)))
                assert code in (0, -signal.SIGKILL), f"a worker ended with exit code {code}"
        if sum(met.values()) < kills and time.monotonic() > due:
            what = kill_one(out / "list.state", rng, encoding)
            if what:
                met.update([what])
                due, encoding = time.monotonic() + rng.uniform(*gap), rng.random() < ENCODING
        time.sleep(0.02)
    return met


def kill_one(state: Path, rng: random.Random, encoding: bool) -> str:
    """Kill a random living worker, or one that is `encoding`; returns what it was doing, empty if there is none."""
    living = {}
    for owner in state.glob("work/*/owner.json"):
        identity = read(owner)
        if identity and not has_ended(identity):
            living[owner.parent.name] = identity["pid"]
    busy = {name for name in living if list((state / "work" / name).glob("*.part"))}
    if not (busy if encoding else living):
        return ""
    name = rng.choice(sorted(busy if encoding else living))
    os.kill(living[name], signal.SIGKILL)
    mine = [path for path in state.glob("claims/*.json") if read(path).get("worker") == name]
    if not mine:
        return "between two files"
    return "encoding" if name in busy else "before or after an encode, with a claim"


def read(path: Path) -> dict[str, Any]:
    """A JSON object; empty if the file is not there any more, or not yet complete."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found


def check(videos: Path, out: Path, whole: Path) -> None:
    """Compare the outputs of killed workers with those of an undisturbed run in `whole`."""
    names = [json.loads(line)["output"] for line in videos.read_text().splitlines()]
    lines = [line for path in out.glob("list.state/records/*.jsonl") for line in path.read_bytes().splitlines()]
    records = Counter(record["output"] for record in map(json.loads, lines) if record["state"] == "done")
    failed = [record for record in map(json.loads, lines) if record["state"] != "done"]
    assert not failed, f"failed: {failed}"
    assert records == Counter(names), f"not one record for each file: {records}"
    for name in names:
        assert (out / name).read_bytes() == (whole / name).read_bytes(), f"{name} differs"
        assert not verify(out / name).faults, f"{name} is damaged"
    left = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} - set(names)
    left = {name for name in left if not name.startswith("list.state/records/")}
    assert left == {"list.results.jsonl", "list.state/run.json"}, f"left over: {left}"
    results = [json.loads(line) for line in (out / "list.results.jsonl").read_text().splitlines()]
    assert [(row["output"], row["state"]) for row in results] == [(name, "done") for name in names]


def main() -> None:
    mode, kills = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 50
    found = stored().get(mode, {})
    if not 0 < found.get("kills", 0) < kills:
        found = {"kills": 0, "lists": 0, "videos": 0, "met": {}, "found": 0}
    rng = random.Random(256 + found["kills"])
    with tempfile.TemporaryDirectory() as folder:
        videos, whole = make_list(Path(folder), VIDEOS, 60), Path(folder) / "whole"
        run_list([command(videos, whole)], whole, 0, rng, (1, 1), start_dfc)
        while found["kills"] < kills:
            out = Path(folder) / f"out{found['lists']}"
            commands = [[*command(videos, out), *more] for more in MODES[mode]]
            met = run_list(commands, out, min(KILLS, kills - found["kills"]), rng, (0.3, 2.5), start_dfc)
            check(videos, out, whole)
            found["kills"] += sum(met.values())
            found["lists"] += 1
            found["videos"] += VIDEOS
            found["met"] = dict(Counter(found["met"]) + met)
            found["found"] += (out / "list.results.jsonl").read_text().count('"found": true')
            modes = stored() | {mode: found}
            write_json("killed_workers", {"workers": WORKERS, "modes": {m: modes[m] for m in MODES if m in modes}})
            print(f"list {found['lists']}: {found['kills']} kills", flush=True)
    print(report({"modes": {mode: found}}))


def stored() -> dict[str, Any]:
    """Results by mode; a run that was interrupted goes on after its last list."""
    modes: dict[str, Any] = read(RESULTS / "killed_workers.json").get("modes", {})
    return modes


def report(found: dict[str, Any]) -> str:
    """The table of kills."""
    names = {"processes": "3 processes", "jobs": "`--jobs 3`", "ray": "`--jobs 3 --ray local`"}
    rows = []
    for mode, r in found["modes"].items():
        encoding = r["met"].get("encoding", 0)
        rows.append((names[mode], r["kills"], encoding, r["kills"] - encoding, r["videos"], 0, 0))
    head = ("workers", "killed", "while encoding", "otherwise", "videos", "lost", "damaged or double")
    return table(head, rows)


if __name__ == "__main__":
    main()
