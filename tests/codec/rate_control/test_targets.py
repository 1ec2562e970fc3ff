"""Rate control, the parts: targets as text, surfaces through measured points, one price for all clips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfccodec.codec.choose.target import Outcome, Target, parse_rate, parse_size
from dfccodec.codec.rate_control.allocation import TargetInterval, best_at_lambda, solve_lambda, swap_one_point, totals
from dfccodec.codec.rate_control.rd_model import OperatingPoint, RDCost, RDModel, lower_hull
from dfccodec.errors import DfcError, UsageError

GRID = ((8, 24), (8, 40), (2, 32), (32, 32), (16, 16), (4, 24))


def true_cost(choice: OperatingPoint, scale: float = 1.0) -> RDCost:
    """A clip as they are: bytes fall with the QP and rise with frames kept, error the other way, both bending."""
    size = scale * 30000 * 2 ** (-(choice.qp - 24) / 9) * (choice.kept / 8) ** 0.5 + 300
    return RDCost(size, scale * (3000 * 2 ** ((choice.qp - 24) / 8) + 40000 / choice.kept))


def surveyed(scale: float = 1.0, kept: list[int] | None = None) -> RDModel:
    surface = RDModel(32, kept)
    for k, qp in GRID:
        surface.add(OperatingPoint(k, qp), true_cost(OperatingPoint(k, qp), scale))
    return surface


@pytest.mark.parametrize(
    ("text", "size"),
    [("2MiB", 2 << 20), ("300kB", 300_000), ("1.5 MB", 1_500_000), ("7", 7), (99, 99), ("3KiB", 3072), ("5b", 5)],
)
def test_sizes_are_read(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "2 M iB", "MiB", "-3", "2TB", "0", "1e6", "2k"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--target-size"):
        parse_size(text)


def test_bitrates_are_read() -> None:
    assert [parse_rate(t) for t in ("300k", "1.5M", "64000", 5.5, "2 kbit/s")] == [300e3, 1.5e6, 64e3, 5.5, 2e3]
    with pytest.raises(UsageError, match="--bitrate 'fast'"):
        parse_rate("fast")


def test_one_video_has_one_target() -> None:
    assert Target.of() is None
    assert Target.of(size="2MiB") == Target("size", 2 << 20)
    with pytest.raises(UsageError, match="--target-size and --min-psnr"):
        Target.of(size=5, min_psnr=30)
    with pytest.raises(UsageError, match="--strict"):
        Target.of(strict=True)
    with pytest.raises(UsageError, match="--min-psnr 200"):
        Target.of(min_psnr=200)
    with pytest.raises(UsageError, match="--lambda 0"):
        Target.of(rd_lambda=0)


def test_an_outcome_knows_what_is_tolerable() -> None:
    size, psnr = Target("size", 1000), Target("psnr", 30)
    assert [Outcome(size, r, 0).met for r in (969, 970, 1030, 1031)] == [False, True, True, False]
    assert [Outcome(psnr, r, r).met for r in (29.99, 30.0, 30.19, 30.21)] == [False, True, True, False]
    assert "+5.0 %" in str(Outcome(size, 1050, 0))
    with pytest.raises(DfcError, match=r"outside tolerance.*--strict"):
        Outcome(size, 1050, 0).require()


def test_a_surface_goes_through_its_points_and_near_the_others() -> None:
    surface = surveyed()
    sizes, errors = surface.predicted()
    for number, choice in enumerate(surface.choices):
        cost = true_cost(choice)
        if choice in surface.measured:
            assert (sizes[number], errors[number]) == (cost.size, cost.error)
        elif choice.kept >= 2 and 16 <= choice.qp <= 40:
            assert sizes[number] == pytest.approx(cost.size, rel=0.25)
            assert errors[number] == pytest.approx(cost.error, rel=0.5)


def test_far_from_its_points_a_surface_still_falls_and_rises() -> None:
    surface = RDModel(32)
    for k, qp in GRID:  # curved so that the quadratics turn
        surface.add(OperatingPoint(k, qp), RDCost(1000 + (50 - qp) ** 2 * k, (qp - 5) ** 4 / k + 1))
    surface.measured.pop(OperatingPoint(8, 24))
    sizes, errors = (v.reshape(32, 64) for v in surface.predicted())
    free = np.ones((32, 64), bool)
    for choice in surface.measured:
        free[choice.kept - 1] = False  # rows with measured points go through them instead
    rows = free.all(axis=1)
    assert (np.diff(sizes[rows], axis=1) <= 0).all()
    assert (np.diff(errors[rows], axis=1) >= 0).all()


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=30), st.floats(0.01, 100))
def test_the_hull_holds_the_best_point_of_every_price(points: list[tuple[int, int]], price: float) -> None:
    sizes, errors = np.array(points, float).T
    hull = lower_hull(sizes, errors)
    assert (np.diff(sizes[hull]) > 0).all()
    assert (np.diff(errors[hull]) < 0).all()
    assert (errors[hull] + price * sizes[hull]).min() == pytest.approx((errors + price * sizes).min())


@pytest.mark.parametrize(
    "goal", [TargetInterval(0, 100_000, 97_000, 103_000), TargetInterval(1, 59_300, 57_300, 60_000)]
)
def test_one_price_shares_out_what_all_clips_may_take(goal: TargetInterval) -> None:
    surfaces = [surveyed(scale) for scale in (0.5, 1.0, 2.0)]
    price = solve_lambda(surfaces, goal)
    numbers = swap_one_point(surfaces, [best_at_lambda(s, price) for s in surfaces], goal, price)
    assert goal.miss(totals(surfaces, numbers)[goal.quantity]) == 0


@pytest.mark.parametrize("aim", [3000, 9000, 21_000, 40_000, 90_000])
def test_a_single_clip_lands_in_three_percent(aim: float) -> None:
    surface = surveyed()
    goal = TargetInterval(0, aim, 0.97 * aim, 1.03 * aim)
    price = solve_lambda([surface], goal)
    (number,) = swap_one_point([surface], [best_at_lambda(surface, price)], goal, price)
    assert abs(surface.predicted()[0][number] / aim - 1) < 0.03


def test_a_fixed_number_of_frames_stays() -> None:
    surface = RDModel(32, [8])
    for qp in (16, 24, 32, 40):
        surface.add(OperatingPoint(8, qp), true_cost(OperatingPoint(8, qp)))
    assert {c.kept for c in surface.choices} == {8}
    number = best_at_lambda(surface, solve_lambda([surface], TargetInterval(0, 30_000, 29_000, 31_000)))
    assert abs(surface.choices[number].qp - 24) <= 1
