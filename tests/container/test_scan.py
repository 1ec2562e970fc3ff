"""The inspector: scanning headers and reading all bytes give the same summary."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from dfccodec.container import scan as scanning
from dfccodec.container.chunks import TAGS, pack_chunk
from dfccodec.container.scan import scan
from dfccodec.edit.verify import verify

ROOT = Path(__file__).resolve().parents[2]
GOOD = sorted((ROOT / "formats" / "vectors").glob("[vu]*/*.dfc"))


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_both_scans_agree(path: Path) -> None:
    data = path.read_bytes()
    quick, thorough = scan(io.BytesIO(data)), scanning._scan_all(io.BytesIO(data))
    assert quick.bytes_by_type == thorough.bytes_by_type
    if quick.index is not None:  # the file is not truncated
        assert sum(quick.bytes_by_type.values()) + 8 == quick.size == len(data)
    heads = [[(h.offset, h.size, h.fill_bytes, h.latent_bytes) for h in s.clips] for s in (quick, thorough)]
    assert heads[0] == heads[1]


def test_unknown_ancillary_chunks_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "formats" / "vectors" / "uncommon" / "unknown-ancillary.dfc"
    monkeypatch.setattr(scanning, "_scan_all", lambda stream: pytest.fail("read all bytes"))
    assert scan(io.BytesIO(path.read_bytes())).damage == []


def test_invalid_tags_lose_only_the_tags() -> None:
    data = (ROOT / "formats" / "vectors" / "valid" / "sound-and-tags.dfc").read_bytes()
    place = data.index(TAGS)
    length = int.from_bytes(data[place + 4 : place + 8], "little")
    bad = pack_chunk(TAGS, b"\1\0\1\0\xff\1\0a")
    broken = data[:place] + bad + data[place + 12 + length :]
    verdict = verify(io.BytesIO(broken))
    assert verdict.preamble.tags == ()
    assert verdict.frames > 0
    assert any("UTF-8" in fault.reason for fault in verdict.faults)
