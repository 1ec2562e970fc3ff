"""Figures of frames are those of the metrics over whole videos."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from dfccodec.errors import DfcError, UsageError
from dfccodec.metrics.psnr import psnr
from dfccodec.metrics.ssim import ms_ssim
from dfccodec.report import measure
from dfccodec.report.measure import Meter, Tools, parse_metrics
from dfccodec.report.videos import TimedFrame


def test_means_over_frames() -> None:
    rng = np.random.default_rng(0)
    source = rng.integers(0, 256, (11, 180, 176, 3), np.uint8)
    coded = np.clip(source.astype(int) + rng.integers(-20, 21, source.shape), 0, 255).astype(np.uint8)
    meter = Meter(Tools(ms_ssim=True), (176, 180))
    for number, (a, b) in enumerate(zip(source, coded, strict=True)):
        seconds = Fraction(number, 25)
        meter.add(TimedFrame(a, seconds, None, number), TimedFrame(b, seconds, number == 3, number))
    meter.finish()
    found = meter.summary()
    assert found["psnr"] == pytest.approx(psnr(source, coded), abs=1e-6)
    assert found["ms_ssim"] == pytest.approx(ms_ssim(source, coded), abs=1e-6)
    assert found["lpips"] is found["vmaf"] is None
    assert [frame.kept for frame in meter.frames] == [number == 3 for number in range(11)]


def test_equal_frames_have_no_psnr() -> None:
    meter = Meter(Tools(), (16, 16))
    frame = TimedFrame(np.zeros((16, 16, 3), np.uint8), Fraction(0), None)
    meter.add(frame, frame)
    meter.finish()
    assert meter.summary()["psnr"] is None
    assert meter.frames[0].psnr == float("inf")


def test_metrics_that_cannot_be_measured_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise DfcError("weights are missing; get them with: pip install it")

    monkeypatch.setattr(measure, "load_lpips", missing)
    monkeypatch.setattr(measure.VmafFiles, "check", missing)
    tools = Tools.choose((), (100, 200), 10)
    assert (tools.ms_ssim, tools.lpips, tools.vmaf) == (False, None, False)
    assert [line.split()[0] for line in tools.missing] == ["MS-SSIM", "weights", "weights"]
    assert Tools.choose(("psnr",), (100, 200), 10).missing == []
    assert "16 GiB" in Tools.choose((), (1920, 1080), 1400).missing[-1]


def test_names_of_metrics() -> None:
    assert parse_metrics(" psnr, ms-ssim") == ("psnr", "ms-ssim")
    assert parse_metrics("") == ()
    with pytest.raises(UsageError, match="metric 'ssim' is unknown: give some of psnr"):
        parse_metrics("psnr,ssim")
