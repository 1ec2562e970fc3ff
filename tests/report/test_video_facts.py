"""Facts of coded files: parts, bits of frames, settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import encode_source, flat_model, moving_square, write_av, write_video

import dfccodec as dfc
from dfccodec.report.video_facts import dfc_facts, packet_facts, read_facts

VECTORS = Path(__file__).resolve().parents[2] / "formats" / "vectors"


@pytest.mark.parametrize(
    "path", sorted(p for kind in ("valid", "uncommon") for p in (VECTORS / kind).glob("*.dfc")), ids=lambda p: p.stem
)
def test_parts_add_up_and_every_frame_has_bits(path: Path) -> None:
    with dfc.open(path) as file:
        facts = dfc_facts(file)
        assert sum(facts.parts.values()) == file.summary.size
        assert min(facts.parts.values()) >= 0
        assert len(facts.bits) == len(facts.motion) == len(facts.kept) == len(facts.importance) == file.frames
        assert sum(facts.kept) == file.kept


def test_a_damaged_clip_is_said_and_the_others_are_shown(tmp_path: Path) -> None:
    dfc.encode(moving_square(40, 16, 32), tmp_path / "a.dfc", model=flat_model(), budget="8")
    data = bytearray((tmp_path / "a.dfc").read_bytes())
    with dfc.open(bytes(data)) as file:
        head = file[1].head
    data[head.offset + head.size - 6] ^= 1
    steps: list[int] = []
    with dfc.open(bytes(data)) as file:
        facts = dfc_facts(file, steps.append)
    assert facts.notes == ["bits of the frames of 1 damaged or unknown clips are not shown"]
    assert [value is None for value in facts.bits] == [False] * 32 + [True] * 8
    assert steps == [32, 40]
    assert sum(facts.parts.values()) == len(data)


def test_sound_is_a_part(tmp_path: Path) -> None:
    source = write_av(tmp_path / "in.mkv", moving_square(8), audio=["aac"])
    (tmp_path / "a.dfc").write_bytes(encode_source(source))
    assert read_facts(tmp_path / "a.dfc", 0, 8).parts["sound"] > 0
    parts = read_facts(source, source.stat().st_size, 8).parts
    assert list(parts) == ["video", "sound", "overhead"]
    assert min(parts.values()) > 0


def test_packets_of_other_videos_are_bits(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving_square(10))
    facts = packet_facts(path, path.stat().st_size, 10)
    assert len(facts.bits) == 10
    assert facts.settings[0] == ("codec", "h264")
    assert sum(facts.parts.values()) == path.stat().st_size
    other = packet_facts(path, path.stat().st_size, 9)
    assert other.bits == [None] * 9
    assert other.notes == ["10 packets have 9 frames: the bits of each frame are not shown"]
