"""`dfc inspect` of several files and of long tag names."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from support import encode_source, flat_model, moving_square, write_av

import dfccodec as dfc
from dfccodec.cli.main import main

SCHEMA = json.loads((Path(dfc.__file__).parent / "cli" / "inspect.schema.json").read_text())


def test_inspect_prints_one_line_per_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["a.dfc", "long name.dfc", "short.dfc"]
    paths = [tmp_path / name for name in names]
    for frames, path in zip((8, 40, 70), paths, strict=True):
        dfc.encode(moving_square(frames, 16, 32), path, model=flat_model(), budget="25%", qp=frames % 64)
    paths[2].write_bytes(paths[2].read_bytes()[:-300])
    assert main(["inspect", *map(str, paths[:2])]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["file", "picture", "frames", "seconds", "kept", "QP", "size", "bits/pixel", "model"]
    assert [line.split("32×16")[1].split()[:4] for line in lines] == [
        ["8", "0.320", "25.0%", "8"],
        ["40", "1.600", "25.0%", "40"],
    ]
    assert len({line.index("×") for line in lines}) == 1
    assert [line[header.index("model") :] for line in lines] == ["flat, range", "flat, range"]
    assert main(["inspect", *map(str, paths), str(tmp_path / "none.dfc"), "--json"]) == 4
    output = capsys.readouterr()
    records = json.loads(output.out)
    assert [Path(record["input"]).name for record in records] == [*names, "none.dfc"]
    assert [record.get("exit_code") for record in records] == [None, None, 4, 3]
    assert [record.get("frames") for record in records[:2]] == [8, 40]
    for record in records[:3]:
        jsonschema.validate(record, SCHEMA)
    assert output.err.count("dfc: error: ") == 2


def test_a_long_tag_name_is_separated_from_its_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Phones write such tags."""
    source = write_av(tmp_path / "in.mkv", moving_square(2), tags={"com.apple.quicktime.make": "Apple"})
    (tmp_path / "a.dfc").write_bytes(encode_source(source))
    assert main(["inspect", str(tmp_path / "a.dfc")]) == 0
    assert "tag: com.apple.quicktime.make Apple\n".lower() in capsys.readouterr().out.lower()
