"""Fixtures that all tests share."""

from __future__ import annotations

import os
import signal

# A shell starts background jobs (`make test &`) with SIGINT ignored, and child processes inherit that. Some tests
# interrupt child processes, so restore the default handler.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Set this before torch is imported, here and in every process that tests start. The pictures are tiny and the tests
# occupy all cores: more OpenMP threads than free cores spin-wait for each other and are very slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings
from support import flat_model

from dfccodec.codec.api import load_model
from dfccodec.codec.loaded_model import LoadedModel

torch.set_num_threads(1)

# No test of a property is about its time: hypothesis' deadline of 200 ms fails where a machine stalls.
settings.register_profile("dfc", deadline=None)
settings.load_profile("dfc")


@pytest.fixture(scope="session")
def mini() -> LoadedModel:
    """Return the embedded model in float32."""
    return load_model("mini", device="cpu", dtype="float32")


@pytest.fixture
def flat() -> LoadedModel:
    """Return a `FlatModel` for any picture size."""
    return flat_model()
