"""Test of interrupted encodes: the target file is untouched, and `--resume` gives the same bytes.

    python -m benchmarks.robustness.resume [KILLS]

A video with audio is encoded once without interruption. Then, KILLS (50) times, an encode is started, killed with
SIGKILL at a random time, and resumed with --resume until it is complete. Every third encode is killed twice. The script
prints the state at each kill. It fails if a file differs by a byte, or if a target file was changed by a killed encode.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections import Counter
from fractions import Fraction
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.clips import table, write_json

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from support import moving_square, write_av  # type: ignore[import-not-found]  # of the tests

DFC = [sys.executable, "-m", "dfccodec", "encode"]


def command(source: Path, target: Path) -> list[str]:
    return [*DFC, str(source), "-o", str(target), "-y", "-q", "--fill", "token", "--budget", "bernoulli"]


def killed(arguments: list[str], after: float) -> bool:
    """Kill a process after some seconds. Returns whether it was still running."""
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    try:
        process.wait(after)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    rng, met, old = random.Random(256), Counter[str](), b"what was there before"
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.mkv", Path(folder) / "out.dfc"
        frames = np.roll(moving_square(640, 96, 128), 7, axis=2)
        write_av(source, frames, ["aac", "libopus"], "subrip", Fraction(25), {"title": "resume"}, 2)
        begun = perf_counter()
        subprocess.run(command(source, target), check=True)
        seconds, whole = perf_counter() - begun, target.read_bytes()
        part = target.with_name(".out.dfc.part")
        for number in range(kills):
            target.write_bytes(old)
            moment = rng.uniform(0.2, 1.1) * seconds
            alive = killed(command(source, target), moment)
            if number % 3 == 2:
                alive &= killed([*command(source, target), "--resume"], rng.uniform(0.2, 1.1) * seconds)
            found = target.read_bytes()
            if not alive or found == whole:  # a process outlives its last act
                met["it was done already"] += 1
                assert found == whole, f"kill {number}: another file than in peace"
                continue
            assert found == old, f"kill {number}: the target was touched"
            clips = part.read_bytes().count(b"CLIP") if part.exists() else 0
            met["no clip was begun" if not clips else "some clips were there" if clips < 20 else "all were begun"] += 1
            subprocess.run([*command(source, target), "--resume"], check=True)
            assert target.read_bytes() == whole, f"kill {number} after {moment:.3f} s: another file than in peace"
            assert len(list(Path(folder).iterdir())) == 2, f"kill {number}: something was left"
    print(f"{kills} kills over {seconds:.1f} s of encoding {len(whole)} bytes: every file the same, every target safe")
    print(table(("the kill met", "times"), [(name, str(count)) for name, count in met.items()]))
    write_json("resume", {"kills": kills, "seconds": seconds, "bytes": len(whole), "met": dict(met)})


if __name__ == "__main__":
    main()
