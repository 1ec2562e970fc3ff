"""Fixtures of all tests."""

from __future__ import annotations

import os
import signal

# A shell starts what goes into the background (`make test &`) deaf to Ctrl-C, and deafness is inherited; the processes
# that tests interrupt must hear.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before torch is loaded, here and in every process that tests start: pictures are tiny, tests run on all cores at once,
# and threads that wait for one another in a circle on two cores take forever.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from support import flat_model

from dfccodec.codec.api import load_model
from dfccodec.codec.loaded_model import LoadedModel

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def mini() -> LoadedModel:
    """The embedded model in float32."""
    return load_model("mini", device="cpu", dtype="float32")


@pytest.fixture
def flat() -> LoadedModel:
    """`FlatModel` for any size."""
    return flat_model()
