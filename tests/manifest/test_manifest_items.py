"""Lists of files: names of outputs, and messages about bad lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfccodec.errors import InputError, UsageError
from dfccodec.manifest.items import read_items


def write(folder: Path, *lines: str) -> Path:
    path = folder / "list.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_names_of_outputs(tmp_path: Path) -> None:
    lines = ['{"input": "a/one.mp4"}', "", '{"input": "a/b/two.mov", "output": "x/y.dfc", "id": 7, "state": "done"}']
    file = write(tmp_path, *lines, '{"input": "/c/three.v2.mp4"}')
    items = read_items(file, ".dfc")
    assert [item.output for item in items] == ["one.dfc", "x/y.dfc", "three.v2.dfc"]
    assert [item.line for item in items] == [1, 3, 4]
    assert [item.path for item in items] == [tmp_path / "a/one.mp4", tmp_path / "a/b/two.mov", Path("/c/three.v2.mp4")]
    assert len({item.key for item in items}) == 3
    tree = read_items(write(tmp_path, '{"input": "a/x.mp4"}', '{"input": "a/b/x.mov"}'), ".dfc", keep_tree=True)
    assert [item.output for item in tree] == ["x.dfc", "b/x.dfc"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"input": "b.mp4",}', "line 2 is not JSON ("),
        ("b.mp4", 'line 2 is not JSON (Expecting value, column 1): write one object a line, as {"input": "in.mp4"'),
        ('["b.mp4"]', 'line 2 is no object but ["b.mp4"]'),
        ('{"output": "b.dfc"}', 'line 2 has no "input"'),
        ('{"inputs": "b.mp4"}', 'line 2 has "inputs" and no "input": rename it'),
        ('{"input": "b.mp4", "ouput": "c.dfc"}', 'line 2 has "ouput" and no "output": rename it'),
        ('{"input": 5}', "line 2 has an input that is no text, 5"),
        ('{"input": "https://a/b.mp4"}', "line 2: input https://a/b.mp4 is no file: fetch it first"),
        ('{"input": "folder/"}', "line 2: input folder/ is a folder: name its files"),
        ('{"input": "b.mp4", "output": ""}', "line 2 has an output that is no text"),
        ('{"input": "b.mp4", "output": "../b.dfc"}', "line 2: output ../b.dfc is outside of the output folder"),
        ('{"input": "b.mp4", "output": "/b.dfc"}', "line 2: output /b.dfc is outside of the output folder"),
        ('{"input": "b.mp4", "output": "b.mp4"}', "line 2: output b.mp4 is no .dfc name: write b.dfc"),
        ('{"input": "b.mp4", "output": "."}', "line 2: output . is no .dfc name: write name.dfc"),
        ('{"input": "x/a.mov"}', "line 2: x/a.mov would become a.dfc, as a.mp4 of line 1; give one of them another"),
    ],
)
def test_a_bad_line_is_named_with_its_number(line: str, message: str, tmp_path: Path) -> None:
    file = write(tmp_path, '{"input": "a.mp4"}', line)
    with pytest.raises(UsageError) as caught:
        read_items(file, ".dfc")
    assert f"manifest {file} {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_list_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot open manifest .*gone\.jsonl: No such file"):
        read_items(tmp_path / "gone.jsonl", ".dfc")
    with pytest.raises(UsageError, match="is empty: give one object a line"):
        read_items(write(tmp_path, ""), ".dfc")
    (tmp_path / "bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not text in UTF-8"):
        read_items(tmp_path / "bin", ".dfc")
    with pytest.raises(UsageError, match="--keep-tree needs inputs that share a folder"):
        read_items(write(tmp_path, '{"input": "a.mp4"}', '{"input": "/b.mp4"}'), ".dfc", keep_tree=True)
