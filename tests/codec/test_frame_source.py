"""Encoding arrays does not load PyAV, which takes 20 MB and a tenth of a second."""

import subprocess
import sys


def test_arrays_are_encoded_without_pyav() -> None:
    code = (
        "import io, sys, numpy as np, dfccodec as dfc\n"
        "dfc.encode(np.zeros((3, 32, 32, 3), np.uint8), io.BytesIO())\n"
        "print('av' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
