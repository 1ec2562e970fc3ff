"""`dfc decode --conceal` as a person uses it: what is repaired, what is repeated, what is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from command import run
from support import DATA, moving, write_av

import dfccodec as dfc
from dfccodec.media.input.source import VideoSource


def pictures(path: Path) -> list[np.ndarray]:
    with VideoSource(path) as video:
        return [picture.rgb for picture in video]


def test_a_bit_is_put_right_and_a_hole_costs_what_it_must(tmp_path: Path) -> None:
    file, bad = tmp_path / "a.dfc", tmp_path / "bad.dfc"
    dfc.encode(DATA / "flower_96x64.mp4", file, budget="8", refine=0, dtype="float32")
    assert run("decode", file, "-o", tmp_path / "a.y4m", "--dtype", "float32").returncode == 0
    with dfc.open(file) as opened:
        head = opened.summary.clips[1]
        kept = [32 + int(n) for n in opened[1].kept_indices]
    data = bytearray(file.read_bytes())
    data[head.offset + 200] ^= 1
    bad.write_bytes(data)
    done = run("decode", bad, "-o", tmp_path / "b.y4m", "--conceal", "--json", "--dtype", "float32")
    record = json.loads(done.stdout)
    assert (done.returncode, record["concealed"]) == (4, [])
    assert record["damage"][0]["mended"] == f"byte {head.offset + 200}"
    assert all((a == b).all() for a, b in zip(pictures(tmp_path / "a.y4m"), pictures(tmp_path / "b.y4m"), strict=True))

    data = bytearray(file.read_bytes())
    latents = head.offset + head.size - 4 - head.latent_bytes
    data[latents : latents + 64] = bytes(64)
    bad.write_bytes(data)
    done = run("decode", bad, "-o", tmp_path / "c.y4m", "--conceal", "--json", "--dtype", "float32")
    record = json.loads(done.stdout)
    assert done.returncode == 4
    lost = {n for part in record["concealed"] for n in range(part["first"], part["first"] + part["count"])}
    shown = set(range(32, 64)) - lost
    assert shown == set(kept[: len(shown)])
    assert len(shown) >= len(kept) - 2
    assert {n for p in record["salvaged"] for n in range(p["first"], p["first"] + p["count"])} == shown
    assert b"frames probably right, from damaged clips: 3" in done.stderr
    whole, found = pictures(tmp_path / "a.y4m"), pictures(tmp_path / "c.y4m")
    assert all((whole[n] == found[n]).all() for n in (*range(32), *range(64, 70)))
    # of fewer frames around them the decoder makes nearly the same
    assert all(np.mean(np.abs(whole[n].astype(int) - found[n])) < 4 for n in shown)


def test_lost_sound_and_an_early_end_are_said(tmp_path: Path) -> None:
    source, bad, back = (
        write_av(tmp_path / "in.mkv", moving(40, 16, 32), ["aac"]),
        tmp_path / "b.dfc",
        tmp_path / "b.mkv",
    )
    dfc.encode(source, tmp_path / "a.dfc", budget="2", fill="token")
    data = bytearray((tmp_path / "a.dfc").read_bytes())
    place = data.index(b"pkts")
    data[place + 100 : place + 2100] = bytes(2000)
    size = int.from_bytes(data[place + 4 : place + 8], "little") + 12
    bad.write_bytes(data)
    done = run("recover", bad, "-o", tmp_path / "c.dfc", "--json")
    assert f"note: {size} bytes of audio or subtitles are lost" in done.stderr.decode()
    assert json.loads(done.stdout)["lost_tracks"] == {"bytes": size, "unattributed": 0, "maybe": 0}
    bad.write_bytes(data[: data.rindex(b"CLIP")])  # the second clip is gone
    done = run("decode", bad, "-o", back, "--conceal", "--json", "--dtype", "float32")
    record = json.loads(done.stdout)
    assert (done.returncode, record["frames"], record["ended"], record["lost_tracks"]["bytes"]) == (4, 32, False, size)
    text = done.stderr.decode()
    assert f"all others up to where the file ends early, 32 frames, were decoded; {size} bytes of audio" in text
