"""Do the tests of strangers' faults fail on the commit before the fixes, and pass now?

    python -m benchmarks.robustness.faults_before [--commit a6bae9f]

Checks the commit out beside this one, copies `tests/cli/test_strangers_faults.py` into it and runs it in both. A test
that passes there would show nothing. Two minutes, most of them for the tests that hang there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.clips import table

ROOT = Path(__file__).parents[2]
TESTS = Path("tests/cli/test_strangers_faults.py")


def outcomes(root: Path) -> dict[str, str]:
    """Run the tests in a checkout; return test -> PASSED or FAILED."""
    command = [sys.executable, "-m", "pytest", "-rA", "-q", "--no-header", "--tb=no", str(TESTS)]
    env = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    text = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True).stdout
    rows = (line.split(" ")[:2] for line in text.splitlines() if line.startswith(("PASSED ", "FAILED ", "ERROR ")))
    return {name.split("::")[1]: outcome for outcome, name in rows}


def main() -> None:
    """Run the command line; exit with 1 if a test does not fail before or does not pass now."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commit", default="a6bae9f")
    commit = parser.parse_args().commit
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        subprocess.run(["git", "worktree", "add", "--detach", str(before), commit], cwd=ROOT, check=True)
        try:
            shutil.copy(ROOT / TESTS, before / TESTS)
            then, now = outcomes(before), outcomes(ROOT)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(before)], cwd=ROOT, check=True)
    print(table(("test", commit, "now"), [(name, then.get(name, "not run"), now[name]) for name in now]))
    wrong = [name for name in now if (then.get(name), now[name]) != ("FAILED", "PASSED")]
    print(f"{len(now) - len(wrong)} of {len(now)} fail on {commit} and pass now")
    sys.exit(1 if wrong or not now else 0)


if __name__ == "__main__":
    main()
