"""BD-rate, compared with the `bjontegaard` package, SciPy and arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dfccodec.errors import UsageError
from dfccodec.metrics.bdrate import bd_rate, envelope, pareto_front, pchip

# The example of the bjontegaard package, whose PCHIP agrees with the JVET sheet; values by its release 1.3.0.
ANCHOR = [(9487.76, 40.037), (4593.60, 38.615), (2486.44, 36.845), (1358.24, 34.851)]
TEST = [(9787.80, 40.121), (4469.00, 38.651), (2451.52, 36.970), (1356.24, 34.987)]


def test_example_of_the_bjontegaard_package():
    found = bd_rate(ANCHOR, TEST)
    assert found.percent == pytest.approx(-4.417485350589045, abs=1e-9)
    assert (found.low, found.high, found.reason) == (34.987, 40.037, "")


def test_curves_of_different_lengths():
    anchor = [(0.03, 26), (0.06, 29), (0.1, 31), (0.2, 34.5), (0.3, 35)]
    test = [(0.05, 25.0), (0.09, 28), (0.2, 31.5), (0.5, 36)]
    assert bd_rate(anchor, test).percent == pytest.approx(88.70875685817762, abs=1e-9)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_curve_at_multiple_of_rate(factor):
    found = bd_rate(ANCHOR, [(rate * factor, quality) for rate, quality in ANCHOR])
    assert found.percent == pytest.approx(100 * (factor - 1), abs=1e-9)
    assert found.share == 1


def test_order_of_points_does_not_matter():
    assert bd_rate(ANCHOR[::-1], TEST[1:] + TEST[:1]) == bd_rate(ANCHOR, TEST)


def test_curves_without_common_quality_are_undefined():
    above = [(rate, quality + 10) for rate, quality in ANCHOR]
    found = bd_rate(ANCHOR, above)
    assert math.isnan(found.percent)
    assert found.reason == "the curves have no common quality: 34.85 to 40.04 and 44.85 to 50.04"


def test_small_overlap_can_be_rejected():
    above = [(rate, quality + 4) for rate, quality in ANCHOR]
    assert not bd_rate(ANCHOR, above).reason
    found = bd_rate(ANCHOR, above, min_share=0.25)
    assert math.isnan(found.percent)
    assert "share only 13%" in found.reason


@pytest.mark.parametrize(
    ("points", "says"), [(ANCHOR[:1], "1 point"), ([], "0 point"), ([(1, 30), (2, 29), (3, 35)], "does not increase")]
)
def test_invalid_curves_are_undefined(points, says):
    for found in (bd_rate(ANCHOR, points), bd_rate(points, ANCHOR)):
        assert math.isnan(found.percent)
        assert says in found.reason


@pytest.mark.parametrize("point", [(0, 30), (-1, 30), (1, math.nan), (math.inf, 30)])
def test_invalid_points_are_rejected(point):
    with pytest.raises(UsageError):
        bd_rate(ANCHOR, [*TEST, point])


def test_pchip_matches_scipy():
    interpolate = pytest.importorskip("scipy.interpolate", reason="scipy is not installed (extra: bench)")
    rng = np.random.default_rng(0)
    for count in (2, 3, 4, 9):
        x = np.cumsum(rng.uniform(0.1, 2, count))
        y = rng.normal(0, 1, count)  # not monotone: slopes are 0 at extrema
        at = np.linspace(x[0], x[-1], 101)
        np.testing.assert_allclose(pchip(x, y, at), interpolate.PchipInterpolator(x, y)(at), atol=1e-12)


def test_pareto_front():
    points = [(1, 1), (2, 5), (2, 4), (3, 5.5), (3.5, 5.5), (4, 8), (6, 7), (8, 9)]
    assert pareto_front(points) == [(1, 1), (2, 5), (3, 5.5), (4, 8), (8, 9)]
    assert pareto_front([]) == []


def test_envelope_is_the_better_curve_at_every_rate():
    flat, steep = (
        [(1, 30), (8, 33)],
        [(2, 30), (4, 33), (8, 36)],
    )  # linear over log rate; the curves cross at (2.83, 31.5)
    found = envelope([flat, steep, [(0.5, 29)]])
    assert found[0] == (0.5, 29)
    assert (1, 30) in found
    assert (8, 36) in found
    assert (2, 30) not in found
    assert (8, 33) not in found
    for rate, quality in found[1:]:
        assert quality == pytest.approx(max(30 + math.log2(rate), 27 + 3 * math.log2(rate)), abs=0.1)
    assert bd_rate(flat, envelope([flat])).percent == pytest.approx(0, abs=1e-6)
    assert envelope([]) == []


def test_envelope_does_not_interpolate_between_curves():
    assert envelope([[(1, 30)], [(4, 36)], [(2, 31)]]) == [(1, 30), (2, 31), (4, 36)]
    with pytest.raises(UsageError):
        envelope([[(0, 1), (1, 2)]])
