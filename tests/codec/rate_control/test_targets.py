"""Components of rate control: parsing of targets, the RD model of a clip, and bit allocation with one λ."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfccodec.codec.choose.target import Outcome, Target, parse_rate, parse_size
from dfccodec.codec.rate_control.allocation import TargetInterval, best_at_lambda, solve_lambda, swap_one_point, totals
from dfccodec.codec.rate_control.rd_model import OperatingPoint, RDCost, RDModel, lower_hull
from dfccodec.errors import DfcError, UsageError

POINTS = ((8, 24), (8, 40), (2, 32), (32, 32), (16, 16), (4, 24))


def true_cost(choice: OperatingPoint, scale: float = 1.0) -> RDCost:
    """Return a realistic cost: bytes fall with the QP and rise with the kept frames; the error does the reverse."""
    size = scale * 30000 * 2 ** (-(choice.qp - 24) / 9) * (choice.kept / 8) ** 0.5 + 300
    return RDCost(size, scale * (3000 * 2 ** ((choice.qp - 24) / 8) + 40000 / choice.kept))


def sample_model(scale: float = 1.0, kept: list[int] | None = None) -> RDModel:
    model = RDModel(32, kept)
    for k, qp in POINTS:
        model.add(OperatingPoint(k, qp), true_cost(OperatingPoint(k, qp), scale))
    return model


@pytest.mark.parametrize(
    ("text", "size"),
    [("2MiB", 2 << 20), ("300kB", 300_000), ("1.5 MB", 1_500_000), ("7", 7), (99, 99), ("3KiB", 3072), ("5b", 5)],
)
def test_sizes_are_parsed(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "2 M iB", "MiB", "-3", "2TB", "0", "1e6", "2k"])
def test_invalid_sizes_are_rejected(text: str) -> None:
    with pytest.raises(UsageError, match="--target-size"):
        parse_size(text)


def test_bitrates_are_parsed() -> None:
    assert [parse_rate(t) for t in ("300k", "1.5M", "64000", 5.5, "2 kbit/s")] == [300e3, 1.5e6, 64e3, 5.5, 2e3]
    with pytest.raises(UsageError, match="--bitrate 'fast'"):
        parse_rate("fast")


def test_only_one_target_is_accepted() -> None:
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


def test_outcome_checks_the_tolerance() -> None:
    size, psnr = Target("size", 1000), Target("psnr", 30)
    assert [Outcome(size, r, 0).met for r in (969, 970, 1030, 1031)] == [False, True, True, False]
    assert [Outcome(psnr, r, r).met for r in (29.99, 30.0, 30.19, 30.21)] == [False, True, True, False]
    assert "+5.0 %" in str(Outcome(size, 1050, 0))
    with pytest.raises(DfcError, match=r"outside tolerance.*--strict"):
        Outcome(size, 1050, 0).require()


def test_rd_model_interpolates_measured_points() -> None:
    model = sample_model()
    sizes, errors = model.predicted()
    for number, choice in enumerate(model.choices):
        cost = true_cost(choice)
        if choice in model.measured:
            assert (sizes[number], errors[number]) == (cost.size, cost.error)
        elif choice.kept >= 2 and 16 <= choice.qp <= 40:
            assert sizes[number] == pytest.approx(cost.size, rel=0.25)
            assert errors[number] == pytest.approx(cost.error, rel=0.5)


def test_rd_model_is_monotonic_far_from_measured_points() -> None:
    model = RDModel(32)
    for k, qp in POINTS:  # curved, so that quadratic fits have an extremum
        model.add(OperatingPoint(k, qp), RDCost(1000 + (50 - qp) ** 2 * k, (qp - 5) ** 4 / k + 1))
    model.measured.pop(OperatingPoint(8, 24))
    sizes, errors = (v.reshape(32, 64) for v in model.predicted())
    unmeasured = np.ones((32, 64), bool)
    for choice in model.measured:
        unmeasured[choice.kept - 1] = False  # rows with measured points interpolate them instead
    rows = unmeasured.all(axis=1)
    assert (np.diff(sizes[rows], axis=1) <= 0).all()
    assert (np.diff(errors[rows], axis=1) >= 0).all()


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=30), st.floats(0.01, 100))
def test_the_lower_hull_contains_the_optimum_for_every_lambda(points: list[tuple[int, int]], rd_lambda: float) -> None:
    sizes, errors = np.array(points, float).T
    hull = lower_hull(sizes, errors)
    assert (np.diff(sizes[hull]) > 0).all()
    assert (np.diff(errors[hull]) < 0).all()
    assert (errors[hull] + rd_lambda * sizes[hull]).min() == pytest.approx((errors + rd_lambda * sizes).min())


@pytest.mark.parametrize(
    "target", [TargetInterval(0, 100_000, 97_000, 103_000), TargetInterval(1, 59_300, 57_300, 60_000)]
)
def test_one_lambda_for_all_clips_meets_the_target(target: TargetInterval) -> None:
    models = [sample_model(scale) for scale in (0.5, 1.0, 2.0)]
    rd_lambda = solve_lambda(models, target)
    numbers = swap_one_point(models, [best_at_lambda(s, rd_lambda) for s in models], target, rd_lambda)
    assert target.miss(totals(models, numbers)[target.quantity]) == 0


@pytest.mark.parametrize("target_size", [3000, 9000, 21_000, 40_000, 90_000])
def test_a_single_clip_lands_within_three_percent(target_size: float) -> None:
    model = sample_model()
    target = TargetInterval(0, target_size, 0.97 * target_size, 1.03 * target_size)
    rd_lambda = solve_lambda([model], target)
    (number,) = swap_one_point([model], [best_at_lambda(model, rd_lambda)], target, rd_lambda)
    assert abs(model.predicted()[0][number] / target_size - 1) < 0.03


def test_a_fixed_number_of_kept_frames_is_respected() -> None:
    model = RDModel(32, [8])
    for qp in (16, 24, 32, 40):
        model.add(OperatingPoint(8, qp), true_cost(OperatingPoint(8, qp)))
    assert {c.kept for c in model.choices} == {8}
    number = best_at_lambda(model, solve_lambda([model], TargetInterval(0, 30_000, 29_000, 31_000)))
    assert abs(model.choices[number].qp - 24) <= 1
