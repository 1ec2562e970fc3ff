"""Frames that a damaged source loses without a note.

    python -m benchmarks.robustness.damage matrix    # files with holes of 3 kB, directly and through a pipe
    python -m benchmarks.robustness.damage holes     # raw streams, holes of 0.3, 3 and 9 kB at random places
    python -m benchmarks.robustness.damage gif       # GIFs of many encoders, holes of 0.3 to 9 kB at random places
    python -m benchmarks.robustness.damage healthy   # raw streams of many encoder options: no note is right

`matrix` and `holes` make files of 100 frames with the ffmpeg of imageio-ffmpeg. A hole is cut out, or filled with zeros
or garbage. A trial is silent if frames are lost and no note is added. `gif` also reads the undamaged files: no note is
right. Published: docs/log.md, kind 59. Five minutes.
"""

from __future__ import annotations

import argparse
import io
import itertools
import random
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from support import Pipe  # type: ignore[import-not-found]  # of the tests

from benchmarks.robustness.gif_files import make_gifs, make_tiny_gifs
from dfccodec.errors import DfcError
from dfccodec.media.input.source import VideoSource
from dfccodec.metrics.vmaf import find_ffmpeg

HOLE, PLACES = 3000, (0.2, 0.35, 0.5, 0.62, 0.75, 0.9)
SIZES, TRIALS = (300, 3000, 9000), 10
GIF_SIZES, GIF_TRIALS = (300, 1024, 3000, 9000), 4
_H264 = "-c:v libx264 -threads 1 -g 12 -bf 2 -pix_fmt yuv420p"
_HEVC = "-c:v libx265 -x265-params pools=1:log-level=error:keyint=12"
_MJPEG = "-c:v mjpeg -q:v 8 -pix_fmt yuvj420p"
_MPEG4, _MPEG2 = "-c:v mpeg4 -q:v 4", "-c:v mpeg2video -q:v 5"
RAW = {
    "raw.h264": _H264,
    "raw.hevc": _HEVC,
    "raw.m2v": f"-f mpeg2video {_MPEG2}",
    "raw.mjpeg": f"-f mjpeg {_MJPEG}",
}
SILENT_FILES = {
    **RAW,
    "raw.m4v": f"-f m4v {_MPEG4}",
    "raw.y4m": "-pix_fmt yuv420p",
    "a.gif": "",
    "a.apng": "",
    "theora_noaudio.ogv": "-c:v libtheora -q:v 7 -g 12",
    "vp8.ivf": "-c:v libvpx -b:v 400k -g 12",
    "vp9.ivf": "-c:v libvpx-vp9 -b:v 400k -cpu-used 8 -g 12",
}
"""Name: options of ffmpeg; files without audio."""
SOUND_FILES = {
    "theora.ogv": "-c:v libtheora -q:v 7 -g 12 -c:a libvorbis",
    "vp8.ogv": "-c:v libvpx -g 12 -b:v 400k -c:a libvorbis",
    "wmv2.wmv": "-c:v wmv2 -q:v 4 -c:a wmav2",
    "h264.asf": f"{_H264} -c:a aac",
    "mpeg4.asf": f"{_MPEG4} -c:a libmp3lame",
    "flv1.flv": "-c:v flv -q:v 4 -ar 44100 -c:a libmp3lame",
    "h264.flv": f"{_H264} -c:a aac",
    "h264.mkv": f"{_H264} -c:a aac",
    "hevc.mkv": f"{_HEVC} -c:a aac",
    "mpeg4.mkv": f"{_MPEG4} -c:a libmp3lame",
    "mjpeg.mkv": f"{_MJPEG} -c:a libmp3lame",
    "ffv1.mkv": "-c:v ffv1 -c:a flac",
    "av1.mkv": "-c:v libsvtav1 -preset 12 -g 12 -svtav1-params lp=1 -c:a libopus",
    "vp9.webm": "-c:v libvpx-vp9 -b:v 400k -cpu-used 8 -g 12 -c:a libopus",
    "vp8.webm": "-c:v libvpx -b:v 400k -cpu-used 8 -g 12 -c:a libopus",
    "h264.ts": f"{_H264} -c:a aac",
    "h264.m2ts": f"{_H264} -c:a aac -mpegts_m2ts_mode 1",
    "hevc.ts": f"{_HEVC} -c:a aac",
    "mpeg2.ts": f"{_MPEG2} -c:a mp2",
    "mpeg2.mpg": f"{_MPEG2} -c:a mp2",
    "mpeg1.mpg": "-f mpeg -c:v mpeg1video -q:v 5 -c:a mp2",
    "mpeg2.vob": f"-f vob {_MPEG2} -c:a ac3",
    "mpeg2.mxf": f"{_MPEG2} -c:a pcm_s16le -ar 48000",
    "mpeg4.avi": f"{_MPEG4} -c:a libmp3lame",
    "mjpeg.avi": f"{_MJPEG} -c:a pcm_s16le",
    "h264.avi": f"{_H264} -bf 0 -c:a libmp3lame",
    "h264_fast.mp4": f"{_H264} -c:a aac -movflags +faststart",
    "h264.mp4": f"{_H264} -c:a aac",
    "h264_frag.mp4": f"{_H264} -c:a aac -movflags frag_keyframe+empty_moov+default_base_moof",
    "hevc.mp4": f"{_HEVC} -c:a aac",
    "mpeg4_frag.mp4": f"{_MPEG4} -c:a aac -movflags frag_keyframe+empty_moov",
    "mjpeg_frag.mov": f"{_MJPEG} -c:a aac -movflags frag_every_frame+empty_moov",
    "mjpeg.mov": f"{_MJPEG} -c:a aac",
    "h264.nut": f"{_H264} -c:a aac",
    "mpeg4.nut": f"{_MPEG4} -c:a libmp3lame",
    "rv20.rm": "-c:v rv20 -q:v 5 -c:a ac3",
    "flv1.swf": "-c:v flv -q:v 4 -ar 44100 -c:a libmp3lame",
}
ENCODERS = {
    "libx264": "h264",
    "libx265": "hevc",
    "mpeg2video": "mpeg2video",
    "mpeg1video": "mpeg1video",
    "mjpeg": "mjpeg",
}
"""Encoder: format of its raw stream."""
_X264 = (
    "bframes=0", "bframes=16:b-pyramid=normal", "bframes=3:b-pyramid=strict:open-gop=1:keyint=12", "interlaced=1",
    "tff=1:bframes=3", "fake-interlaced=1", "intra-refresh=1", "keyint=1", "keyint=infinite:ref=16",
    "bframes=2:keyint=7:min-keyint=1", "slices=4", "pic-struct=1:nal-hrd=vbr:vbv-maxrate=500:vbv-bufsize=500",
    "cqm=jvt", "bframes=8:b-adapt=2:weightp=2",
)  # fmt: skip
_X265 = (
    "bframes=0", "bframes=8:b-pyramid=1:open-gop=1:keyint=12", "open-gop=0:keyint=12", "temporal-layers=1",
    "temporal-layers=3:bframes=7", "interlace=tff", "slices=4", "keyint=1", "keyint=-1",
    "radl=2:open-gop=0:keyint=15", "log2-max-poc-lsb=4", "repeat-headers=1", "idr-recovery-sei=1:intra-refresh=1",
    "opt-ref-list-length-pps=1", "multi-pass-opt-rps=1", "log2-max-poc-lsb=16",
)  # fmt: skip
_MPEG: tuple[dict[str, str], ...] = (
    {}, {"g": "1"}, {"bf": "2"}, {"bf": "2", "g": "5"}, {"bf": "4", "b_strategy": "1"}, {"g": "600", "bf": "2"},
)  # fmt: skip
_JPEG: tuple[dict[str, str], ...] = ({}, {"huffman": "default"}, {"q": "2"}, {"b": "50k"}, {"b": "20M"})


def read(source: Any) -> tuple[list[int] | None, list[str]]:
    """Return checksums of the frames, None if the source cannot be read, and the notes."""
    try:
        with VideoSource(source) as video:
            return [zlib.crc32(p.rgb.tobytes()) for p in video], video.notes
    except DfcError as error:
        return None, [str(error)]


def make(name: str, options: str, sound: bool, folder: Path) -> bytes:
    """Make a file of 100 frames of moving bars with noise."""
    inputs = ["-f", "lavfi", "-i", "testsrc2=s=128x96:r=25:d=4,noise=alls=12:allf=t"]
    inputs += ["-f", "lavfi", "-i", "sine=440:d=4"] if sound else []
    command = [find_ffmpeg(), "-v", "error", "-threads", "1", "-y", *inputs, "-bitexact", *options.split()]
    subprocess.run([*command, str(folder / name)], check=True)
    return (folder / name).read_bytes()


def fill(data: bytes, at: int, size: int, kind: str, draw: random.Random) -> bytes:
    """Return the data with a hole: `cut`, `zeros` or `garbage`."""
    inside = {"cut": b"", "zeros": bytes(size), "garbage": draw.randbytes(size)}[kind]
    return data[:at] + inside + data[at + size :]


def judge(sound: tuple[list[int], list[str]], damaged: bytes, pipe: bool) -> str:
    """Return what a damaged file costs: refused, noted, silent, changed (without a note) or equal."""
    frames, notes = read(Pipe(damaged) if pipe else io.BytesIO(damaged))
    if frames is None:
        return "refused"
    if any(note not in sound[1] for note in notes):
        return "noted"
    return "silent" if len(frames) < len(sound[0]) else "changed" if frames != sound[0] else "equal"


def matrix(folder: Path) -> Iterator[tuple[str, Counter[str]]]:
    """Holes of 3 kB at six places of every file."""
    for name, options in {**SILENT_FILES, **SOUND_FILES}.items():
        data = make(name, options, name in SOUND_FILES, folder)
        for pipe in (False, True):
            frames, notes = read(Pipe(data) if pipe else io.BytesIO(data))
            if frames is None:  # such as an mp4 with its index at the end, through a pipe
                continue
            draw, found = random.Random(5), Counter[str]()
            for place, kind in itertools.product(PLACES, ("cut", "zeros", "garbage")):
                damaged = fill(data, int(len(data) * place) + draw.randrange(500), HOLE, kind, draw)
                found[judge((frames, notes), damaged, pipe)] += 1
            yield f"{name} {'pipe' if pipe else 'file'}", found


def holes(folder: Path) -> Iterator[tuple[str, Counter[str]]]:
    """Holes of three sizes at random places of raw streams."""
    draw = random.Random(11)
    for name, options in RAW.items():
        data, found = make(name, options, False, folder), Counter[str]()
        frames, notes = read(io.BytesIO(data))
        for size, _, kind in itertools.product(SIZES, range(TRIALS), ("cut", "zeros", "garbage")):
            damaged = fill(data, draw.randrange(2000, len(data) - size - 2000), size, kind, draw)
            found[judge((frames or [], notes), damaged, False)] += 1
        yield name, found


def gif_holes(folder: Path) -> Iterator[tuple[str, Counter[str]]]:
    """Holes of four sizes at random places of GIFs, after the undamaged files."""
    draw = random.Random(13)
    for name, data in itertools.chain(make_gifs(folder), make_tiny_gifs()):
        frames, notes = read(io.BytesIO(data))
        found = Counter({"false note": 1} if notes else {"right": 1})
        for size, _, kind in itertools.product(GIF_SIZES, range(GIF_TRIALS), ("cut", "zeros", "garbage")):
            if 4 * size < len(data):
                damaged = fill(data, draw.randrange(900, len(data) - size), size, kind, draw)
                found[judge((frames or [], notes), damaged, False)] += 1
        yield name, found


def healthy(folder: Path) -> Iterator[tuple[str, Counter[str]]]:
    """Complete raw streams of all encoders, with moving and black pictures."""
    runs = [
        *(("libx264", {"x264-params": o}, p) for o in _X264 for p in ("yuv420p", "yuv444p")),
        *(("libx264", {"profile": o, "tune": "zerolatency"}, "yuv420p") for o in ("baseline", "main", "high")),
        *(("libx265", {"x265-params": f"log-level=error:pools=1:{o}"}, "yuv420p") for o in _X265),
        *((codec, o, "yuv420p") for o in _MPEG for codec in ("mpeg2video", "mpeg1video")),
        ("mpeg2video", {"flags": "+ildct+ilme", "bf": "2"}, "yuv420p"),
        *(("mjpeg", o, p) for o in _JPEG for p in ("yuvj420p", "yuvj422p", "yuvj444p")),
    ]
    found: dict[str, Counter[str]] = {}
    for (codec, options, pixels), black in itertools.product(runs, (False, True)):
        frames, notes = read(io.BytesIO(raw_stream(codec, options, pixels, black)))
        wrong = [n for n in notes if "missing" in n or "damaged" in n or "decode" in n]
        kind = "false note" if wrong else "right" if frames and len(frames) == 120 else "other number of frames"
        found.setdefault(codec, Counter())[kind] += 1
    yield from found.items()


def raw_stream(codec: str, options: dict[str, str], pixels: str, black: bool) -> bytes:
    """Encode 120 frames of moving noise with two cuts, or of black, as a raw stream."""
    out, draw = io.BytesIO(), np.random.default_rng(1)
    with av.open(out, "w", format=ENCODERS[codec]) as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixels
        for number in range(120):
            if number % 40 == 0:
                noise = draw.integers(0, 255, (80, 240, 3), np.uint8) * (not black)
            y, x = number % 10, number % 40
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(noise[y : y + 64, x : x + 96]), format="rgb24")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return out.getvalue()


def main() -> None:
    """Run one part and print a line for each file or encoder, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("matrix", "holes", "gif", "healthy"))
    part = {"matrix": matrix, "holes": holes, "gif": gif_holes, "healthy": healthy}[parser.parse_args().part]
    av.logging.set_level(None)
    total = Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for name, found in part(Path(folder)):
            total += found
            print(f"{name:24} {dict(found)}", flush=True)
    print(f"{total.total()} trials: {dict(total)}")


if __name__ == "__main__":
    main()
