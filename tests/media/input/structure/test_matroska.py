"""Matroska: elements with and without a size."""

from __future__ import annotations

from dfccodec.media.input.structure.chain import Break
from dfccodec.media.input.structure.matroska import MatroskaScanner

HEADER = b"\x1a\x45\xdf\xa3\x84\x42\x86\x81\x01"
SEGMENT = b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff"
BLOCK = b"\xa3\xa0\x81\0\0\x80" + b"\x55" * 28
GROUP = b"\xa0\xa7" + b"\xa1\xa0\x81\0\0\0" + b"\x55" * 28 + b"\x9b\x81\x01\xfb\x81\x02"
TIME = b"\xe7\x81\0"


def make_cluster(unlimited: bool = False) -> bytes:
    """Return a cluster of 6 blocks."""
    data = TIME + BLOCK * 3 + GROUP * 2 + BLOCK
    return b"\x1f\x43\xb6\x75" + (b"\xff" if unlimited else (1 << 14 | len(data)).to_bytes(2, "big")) + data


def scan(data: bytes) -> list[Break]:
    """Return the breaks."""
    scanner = MatroskaScanner()
    scanner.feed(0, data)
    scanner.finish()
    return scanner.breaks


def test_elements() -> None:
    void = b"\xec\x90" + bytes(16)
    unknown = b"\x40\x99\x90" + bytes(16)
    for unlimited in (False, True):
        assert scan(HEADER + SEGMENT + void + make_cluster(unlimited) * 4 + unknown + make_cluster() * 2) == []


def test_files_joined_end_to_end() -> None:
    assert scan((HEADER + SEGMENT + make_cluster() * 2) * 2) == []


def test_hole() -> None:
    start, cluster = HEADER + SEGMENT, make_cluster()
    size = len(cluster)
    for filling in (b"", bytes(50), b"\xa5" * 50):
        data = start + cluster * 2 + cluster[:30] + filling + cluster[80:] + cluster * 3
        found = scan(data)
        assert [b.end for b in found] == [len(start) + 3 * size - 50 + len(filling)]
        assert len(start) + 2 * size < found[0].start < found[0].end


def test_garbage_that_looks_like_empty_space() -> None:
    """An empty element that reaches beyond the end of the file would hide everything after it."""
    data = HEADER + SEGMENT + make_cluster() * 2
    garbage = b"\xec\x1f\xff\xff\xff"
    for size in (b"\x10\x0f\xff\xff", b"\x01\0\0\xe0\0\0\0\0"):  # 1 MiB, and more than any file reserves
        found = scan(data + b"\xec" + size + garbage + make_cluster() * 3)
        assert [b.start for b in found] == [len(data)]
    assert scan(data + b"\xec\x90" + bytes(16)) == []
