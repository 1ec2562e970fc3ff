"""`dfc compare`: a table, JSON, CSV and pictures of a source and coded videos."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import av
import jsonschema
import numpy as np
import pytest
from command import run
from support import moving_square, write_video

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.media.input.source import VideoSource
from dfccodec.metrics.psnr import psnr

FRAMES = moving_square(12, 48, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, mini: LoadedModel) -> Path:
    """A source without loss and a .dfc file of it."""
    made = tmp_path_factory.mktemp("compare")
    write_video(made / "in.mkv", FRAMES, codec="ffv1")
    dfc.encode(made / "in.mkv", made / "a.dfc", model=mini, budget="4", refine=0)
    return made


def test_figures_of_a_file_and_of_budgets(folder: Path, tmp_path: Path, mini: LoadedModel) -> None:
    result = run(
        "compare", folder / "in.mkv", folder / "a.dfc", "--budgets", "1", "--json", "--csv", tmp_path / "f.csv",
        "-o", tmp_path / "side.mp4", "--metrics", "psnr", "--dtype", "float32",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr.decode()
    record = json.loads(result.stdout)
    schema = json.loads((Path(dfc.__file__).parent / "cli" / "compare.schema.json").read_text())
    jsonschema.validate(record, schema)
    one, other = record["coded"]
    decoded = np.stack([p.rgb for p in dfc.decode(folder / "a.dfc", model=mini)])
    with VideoSource(folder / "in.mkv") as video:
        source = np.stack([p.rgb for p in video])
    assert one["psnr"] == pytest.approx(psnr(source, decoded), abs=1e-4)
    assert one["bits_per_pixel"] == pytest.approx(8 * (folder / "a.dfc").stat().st_size / FRAMES[..., 0].size)
    assert (one["name"], other["name"]) == ("a.dfc", "budget 1")
    assert other["bytes"] < one["bytes"]
    assert one["frames"] == {"matched": 12, "missing": 0, "extra": 0}
    rows = list(csv.DictReader(io.StringIO((tmp_path / "f.csv").read_text())))
    assert len(rows) == 24
    assert sum(int(row["kept"]) for row in rows) == dfc.open(folder / "a.dfc").kept + 1
    assert float(rows[3]["seconds"]) == pytest.approx(3 / 25)
    assert rows[0]["lpips"] == ""
    with av.open(str(tmp_path / "side.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 12


def test_a_shifted_and_shorter_video_is_said(folder: Path, tmp_path: Path) -> None:
    with av.open(str(folder / "in.mkv")) as source, av.open(str(tmp_path / "late.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None and packet.dts < 360:
                packet.pts, packet.dts = packet.pts + 1500, packet.dts + 1500
                packet.stream = stream
                target.mux(packet)
    result = run("compare", folder / "in.mkv", tmp_path / "late.mkv", "--metrics", "psnr")
    assert result.returncode == 0, result.stderr.decode()
    assert "late.mkv: timestamps are shifted by +1.500 s" in result.stderr.decode()
    assert "3 source frames have no coded frame at their time" in result.stderr.decode()
    assert b"equal" in result.stdout


def test_another_size_is_scaled_to_the_source(folder: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "small.mkv", np.ascontiguousarray(FRAMES[:, ::2, ::2]), codec="ffv1")
    result = run("compare", folder / "in.mkv", tmp_path / "small.mkv", "--metrics", "psnr", "--json")
    record = json.loads(result.stdout)["coded"][0]
    assert (record["width"], record["height"]) == (32, 24)
    assert 10 < record["psnr"] < 60


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["in.mkv"], 2, "there is nothing to compare"),
        (["-", "a.dfc"], 2, "reads files, not standard input"),
        (["in.mkv", "none.dfc"], 3, "none.dfc does not exist"),
        (["in.mkv", "a.dfc", "-o", "side.txt"], 2, "'.txt'"),
        (["in.mkv", "a.dfc", "-o", "-"], 2, "-o - is no file"),
        (["in.mkv", "a.dfc", "-o", "a%d.png"], 2, "there is only one: name it without %"),
        (["in.mkv", "a.dfc", "--qp", "30"], 2, "give --budgets, or leave out --qp"),
        (["in.mkv", "a.dfc", "-o", "a.dfc"], 6, "a.dfc exists"),
        (["in.mkv", "a.dfc", "-o", "x.mp4", "--csv", "x.mp4"], 2, "both name x.mp4"),
        (["in.mkv", "a.dfc", "--metrics", "ssim"], 2, "metric 'ssim' is unknown"),
        (["in.mkv", "--budgets", "4,none"], 2, "none"),
    ],
)
def test_bad_input_is_one_line(folder: Path, options: list[str], code: int, words: str) -> None:
    result = run("compare", *options, cwd=folder)
    assert (result.returncode, result.stderr.decode().count("\n")) == (code, 1), result.stderr.decode()
    assert words in result.stderr.decode()
    assert sorted(path.name for path in folder.iterdir()) == ["a.dfc", "in.mkv"]
