"""`dfc decode --conceal`: repaired, salvaged and concealed frames, and their report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from command import run
from support import DATA, moving_square, write_av

import dfccodec as dfc
from dfccodec.media.input.source import VideoSource


def read_frames(path: Path) -> list[np.ndarray]:
    with VideoSource(path) as video:
        return [picture.rgb for picture in video]


def test_a_bit_error_is_repaired_and_lost_frames_are_concealed(tmp_path: Path) -> None:
    file, damaged = tmp_path / "a.dfc", tmp_path / "bad.dfc"
    dfc.encode(DATA / "flower_96x64.mp4", file, budget="8", refine=0, dtype="float32", coding="inter")
    assert run("decode", file, "-o", tmp_path / "a.y4m", "--dtype", "float32").returncode == 0
    with dfc.open(file) as opened:
        clip_entry = opened.summary.clips[1]
        kept = [32 + int(n) for n in opened[1].kept_indices]
    data = bytearray(file.read_bytes())
    data[clip_entry.offset + 200] ^= 1
    damaged.write_bytes(data)
    result = run("decode", damaged, "-o", tmp_path / "b.y4m", "--conceal", "--json", "--dtype", "float32")
    record = json.loads(result.stdout)
    assert (result.returncode, record["concealed"]) == (4, [])
    assert record["damage"][0]["mended"] == f"byte {clip_entry.offset + 200}"
    assert all(
        (a == b).all() for a, b in zip(read_frames(tmp_path / "a.y4m"), read_frames(tmp_path / "b.y4m"), strict=True)
    )

    data = bytearray(file.read_bytes())
    latents = clip_entry.offset + clip_entry.size - 4 - clip_entry.latent_bytes
    data[latents : latents + 64] = bytes(64)
    damaged.write_bytes(data)
    result = run("decode", damaged, "-o", tmp_path / "c.y4m", "--conceal", "--json", "--dtype", "float32")
    record = json.loads(result.stdout)
    assert result.returncode == 4
    concealed = {n for part in record["concealed"] for n in range(part["first"], part["first"] + part["count"])}
    salvaged = set(range(32, 64)) - concealed
    assert salvaged == set(kept[: len(salvaged)])
    assert len(salvaged) >= len(kept) - 2
    assert {n for p in record["salvaged"] for n in range(p["first"], p["first"] + p["count"])} == salvaged
    assert b"frames probably right, from damaged clips: 3" in result.stderr
    original, decoded = read_frames(tmp_path / "a.y4m"), read_frames(tmp_path / "c.y4m")
    assert all((original[n] == decoded[n]).all() for n in (*range(32), *range(64, 70)))
    # With fewer kept frames in the clip, the network output differs slightly.
    assert all(np.mean(np.abs(original[n].astype(int) - decoded[n])) < 4 for n in salvaged)


def test_lost_audio_and_an_early_end_are_reported(tmp_path: Path) -> None:
    source, damaged, decoded = (
        write_av(tmp_path / "in.mkv", moving_square(40, 16, 32), ["aac"]),
        tmp_path / "b.dfc",
        tmp_path / "b.mkv",
    )
    dfc.encode(source, tmp_path / "a.dfc", budget="2", fill="token")
    data = bytearray((tmp_path / "a.dfc").read_bytes())
    offset = data.index(b"pkts")
    data[offset + 100 : offset + 2100] = bytes(2000)
    size = int.from_bytes(data[offset + 4 : offset + 8], "little") + 12
    damaged.write_bytes(data)
    result = run("recover", damaged, "-o", tmp_path / "c.dfc", "--json")
    assert f"note: {size} bytes of audio or subtitles are lost" in result.stderr.decode()
    assert json.loads(result.stdout)["lost_tracks"] == {"bytes": size, "unattributed": 0, "maybe": 0}
    damaged.write_bytes(data[: data.rindex(b"CLIP")])  # the second clip is missing
    result = run("decode", damaged, "-o", decoded, "--conceal", "--json", "--dtype", "float32")
    record = json.loads(result.stdout)
    assert (result.returncode, record["frames"], record["ended"]) == (4, 32, False)
    assert record["lost_tracks"]["bytes"] == size
    text = result.stderr.decode()
    assert f"all others up to where the file ends early, 32 frames, were decoded; {size} bytes of audio" in text
