"""Short runs of all fuzz targets, regression inputs, and the detection of faults."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from random import Random

import engine
import mutate
import numpy as np
import pytest
from claims import Limits
from seeds import vectors
from targets import TARGETS, Target
from watch import TRACED_EVERY, Watch

from dfccodec.errors import DamagedError

FUZZ = Path(__file__).resolve().parents[2] / "fuzz"

REGRESSIONS = sorted((FUZZ / "regressions").iterdir())


@pytest.mark.parametrize("name", TARGETS)
def test_short_run_of_each_target(name: str) -> None:
    watch = Watch(TARGETS[name])
    engine.run_plain(watch, seconds=1, seed=time.time_ns())
    assert {key: (finding.what, finding.data.hex()) for key, finding in watch.findings.items()} == {}
    assert watch.executions >= len(TARGETS[name].seeds())


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.name)
def test_regressions(path: Path) -> None:
    watch = Watch(TARGETS[path.name.partition("-")[0]])
    watch.run(path.read_bytes())
    assert watch.findings == {}


def planted(data: bytes) -> str:
    """A target with four faults."""
    if data[:1] == b"\x01":
        raise KeyError("fault")
    if data[:1] == b"\x02":
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
    if data[:1] == b"\x03":
        np.ones(64 << 17).sum()
    if data[:1] == b"\x04":
        raise DamagedError("two\nlines")
    raise DamagedError("as it should")


def watched(data: bytes) -> list[str]:
    watch = Watch(Target("planted", planted, lambda: [b"\0"], mutate.havoc, Limits()))
    watch.run(data)
    watch.executions = TRACED_EVERY - 1  # the peak of this process may be higher already, so trace allocations too
    watch.run(data)
    return [finding.kind for finding in watch.findings.values()]


@pytest.mark.parametrize(
    ("data", "kinds"),
    [(b"\0", []), (b"\1", ["exception"]), (b"\2", ["slow"]), (b"\3", ["memory"]), (b"\4", ["exception"])],
)
def test_faults_are_found(data: bytes, kinds: list[str]) -> None:
    assert watched(data) == kinds


def test_random_mutation_finds_a_fault_behind_a_checksum(tmp_path: Path) -> None:
    def fragile(data: bytes) -> str:
        TARGETS["header"].run(data)
        assert not any(kind == b"CLIP" and payload[5:6] == b"\x3f" for kind, payload in mutate.split(data))
        return "good"

    watch = Watch(Target("fragile", fragile, vectors, mutate.file), tmp_path)
    engine.run_plain(watch, seconds=60, max_executions=20_000)
    (finding,) = watch.findings.values()
    assert finding.kind == "exception"
    (saved,) = (path for path in tmp_path.iterdir() if path.suffix != ".txt")
    with pytest.raises(AssertionError):
        fragile(saved.read_bytes())


def test_mutated_files_keep_their_checksums() -> None:
    dice, seeds = Random(256), vectors()
    valid = 0
    for _ in range(300):
        data = mutate.file(dice.choice(seeds), dice, seeds)
        valid += data[:8] == mutate.SIGNATURE and mutate.join(mutate.split(data)) == data
    assert valid > 200  # the rest is truncated, or has arbitrary changed bytes


def test_files_are_split_and_joined_without_loss() -> None:
    good = [path.read_bytes() for path in sorted((FUZZ.parent / "formats" / "vectors" / "valid").glob("*.dfc"))]
    assert all(mutate.join(mutate.split(data)) == data for data in good)
    assert all(mutate.join(mutate.rebuild_index(mutate.split(data))) == data for data in good)


def test_the_command(tmp_path: Path) -> None:
    command = [sys.executable, str(FUZZ / "run.py"), "--engine", "plain", "--out", str(tmp_path)]
    done = subprocess.run([*command, "--target", "tags", "--minutes", "0.01"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = (line.split(" | ") for line in done.stdout.splitlines()[2:])
    assert (row[0], row[-1]) == ("| tags", "none |")
    assert int(row[4]) > 100
    assert subprocess.run([*command, "--target", "nothing"], capture_output=True).returncode == 2


def test_atheris_drives_the_same_targets(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed: pip install -e '.[fuzz]'")
    command = [sys.executable, str(FUZZ / "run.py"), "--engine", "atheris", "--out", str(tmp_path)]
    done = subprocess.run([*command, "--target", "clip", "--minutes", "0.05"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.splitlines()[-1].split(" | ")[4]) > 300
    assert len(list((tmp_path / "corpus" / "clip").iterdir())) > len(
        TARGETS["clip"].seeds()
    )  # inputs with new coverage were added
