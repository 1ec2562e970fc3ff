"""Old names of arguments and options are still accepted."""

from __future__ import annotations

import io
import warnings

import pytest
from support import moving_square

import dfccodec as dfc
from dfccodec.cli.names import with_current_names
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.runtime.renamed import accept_old_names


def test_an_old_name_is_accepted_with_a_warning() -> None:
    @accept_old_names(snap="deadzone")
    def encode(deadzone: float = 0.15) -> float:
        return deadzone

    with pytest.warns(DeprecationWarning, match="snap is now called deadzone"):
        assert encode(snap=0.25) == 0.25  # type: ignore[call-arg]
    assert encode(deadzone=0.5) == 0.5
    with pytest.raises(TypeError, match="leave out snap"):
        encode(snap=0.25, deadzone=0.5)  # type: ignore[call-arg]


def test_encode_takes_its_old_names(flat: LoadedModel) -> None:
    files = []
    for options in (
        {"snap": 0.25, "rate": 12, "select": "dp"},
        {"deadzone": 0.25, "frame_rate": 12, "frame_selection": "dp"},
    ):
        out = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            dfc.encode(moving_square(4), out, budget="2", fill="hold", model=flat, **options)  # type: ignore[arg-type]
        files.append(out.getvalue())
    assert files[0] == files[1]


def test_old_options_become_current_ones_before_the_double_dash() -> None:
    typed = ["encode", "--snap=0.2", "--select", "dp", "--mirror", "--", "--snap"]
    assert with_current_names(typed) == [
        "encode", "--deadzone=0.2", "--frame-selection", "dp", "--keep-tree", "--", "--snap",
    ]  # fmt: skip


def test_attributes_of_results_keep_their_old_names(flat: LoadedModel) -> None:
    out = io.BytesIO()
    report = dfc.encode(moving_square(4), out, budget="2", fill="hold", model=flat)
    decoder = dfc.decode(out.getvalue(), model=flat)
    list(decoder)
    with pytest.warns(DeprecationWarning, match="Decoder.lost is now called lost_frames"):
        assert decoder.lost == decoder.lost_frames == []
    with pytest.warns(DeprecationWarning, match="is now called"):
        assert (decoder.ended, decoder.lost_tracks.maybe) == (True, 0)
    with pytest.warns(DeprecationWarning, match="is now called"):
        assert (report.refined, dfc.Span().whole, dfc.Span().ends) == (report.rd_cost_saved, True, False)
