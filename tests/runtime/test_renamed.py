"""Old names of arguments and options are still accepted."""

from __future__ import annotations

import io

import numpy as np
import pytest
from support import moving_square

import dfccodec as dfc
from dfccodec.cli.names import with_current_names
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.runtime.renamed import accept_old_names


def test_an_old_name_gives_a_deprecation_warning() -> None:
    @accept_old_names(snap="deadzone")
    def encode(deadzone: float = 0.15) -> float:
        return deadzone

    with pytest.warns(DeprecationWarning, match="snap is now called deadzone"):
        assert encode(snap=0.25) == 0.25  # type: ignore[call-arg]
    assert encode(deadzone=0.5) == 0.5
    with pytest.raises(TypeError, match="leave out snap"):
        encode(snap=0.25, deadzone=0.5)  # type: ignore[call-arg]


def test_encode_accepts_old_argument_names(flat: LoadedModel) -> None:
    files = []
    for options in (
        {"snap": 0.25, "rate": 12, "select": "dp"},
        {"deadzone": 0.25, "frame_rate": 12, "frame_selection": "dp"},
    ):
        out = io.BytesIO()
        with np.testing.suppress_warnings() as quiet:
            quiet.filter(DeprecationWarning)
            dfc.encode(moving_square(4), out, budget="2", fill="hold", model=flat, **options)  # type: ignore[arg-type]
        files.append(out.getvalue())
    assert files[0] == files[1]


def test_old_options_are_renamed_before_the_double_dash() -> None:
    typed = ["encode", "--snap=0.2", "--select", "dp", "--mirror", "--", "--snap"]
    assert with_current_names(typed) == [
        "encode", "--deadzone=0.2", "--frame-selection", "dp", "--keep-tree", "--", "--snap",
    ]  # fmt: skip
