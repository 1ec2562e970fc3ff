"""Models in processes that are forked after the parent has used torch (the default on Linux up to Python 3.13)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import ENV
from support import moving_square

SCRIPT = """
import io, multiprocessing, os, sys
import numpy, torch
import dfccodec as dfc

FRAMES = numpy.load(sys.argv[1])

def work(_):
    out = io.BytesIO()
    dfc.encode(list(FRAMES), out, budget="2", fill="token", refine=0)
    out.seek(0)
    return sum(1 for _ in dfc.decode(out)), torch.get_num_threads()

def torch_alone():
    torch.nn.functional.conv2d(torch.randn(1, 64, 128, 128), torch.randn(64, 64, 3, 3))

if __name__ == "__main__":
    torch.set_num_threads(2)
    {"dfc": lambda: work(0), "load": dfc.load_model, "torch": torch_alone}[sys.argv[2]]()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map_async(work, range(2)).get(timeout=100))
    print(torch.get_num_threads())
"""


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="fork is not the default there")
@pytest.mark.parametrize("before", ["dfc", "load", "torch"])
def test_a_pool_forked_after_using_the_model_works(before: str, tmp_path: Path) -> None:
    np.save(tmp_path / "frames.npy", moving_square(6, 128, 128))
    (tmp_path / "pool.py").write_text(SCRIPT)
    command = [sys.executable, "pool.py", "frames.npy", before]
    env = {**ENV, "OMP_NUM_THREADS": "2", "PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=200)
    assert result.stdout.splitlines() == ["[(6, 1), (6, 1)]", "2"], result.stderr[-2000:]
