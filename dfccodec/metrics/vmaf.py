"""VMAF, computed with the ffmpeg binary of `imageio-ffmpeg`.

Source: Z. Li, A. Aaron, I. Katsavounidis, A. Moorthy, M. Manohara, "Toward A Practical Perceptual Video Quality
Metric", Netflix 2016; model `vmaf_v0.6.1`, mean over frames. The model was trained on 1080p at a viewing distance of
three picture heights. At other sizes its values rank codecs, but do not predict the opinion of viewers.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from dfccodec.errors import DfcError
from dfccodec.metrics.inputs import Video, check_pair, to_uint8

MODEL = "vmaf_v0.6.1"

_TO_YUV = "scale=in_range=full:out_range=limited:out_color_matrix=bt709:flags=bicubic+accurate_rnd+full_chroma_int"
_GRAPH = (
    f"[0:v]{_TO_YUV},format=yuv420p[d];[1:v]{_TO_YUV},format=yuv420p[r];"
    "[d][r]libvmaf=model=version={model}:n_threads={threads}:log_fmt=json:log_path=vmaf.json"
)


def find_ffmpeg() -> str:
    """Return the path of imageio-ffmpeg's binary.

    Raises:
        DfcError: the package is not installed or has no binary.
    """
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        raise DfcError("VMAF needs an ffmpeg with libvmaf; get one with: pip install 'imageio-ffmpeg>=0.8'")
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise DfcError(f"imageio-ffmpeg has no binary: {error}; try: pip install 'imageio-ffmpeg>=0.8'") from None


def vmaf(reference: Video, distorted: Video, threads: int = 1) -> float:
    """Return the mean VMAF over frames.

    Both videos are converted to 8-bit limited-range BT.709 4:2:0 first, because VMAF is defined on luma.

    Args:
        reference, distorted: (T, H, W, 3), uint8 or floats in [0, 1].
        threads: number of threads of libvmaf.

    Returns:
        0 to 100, higher is better; identical videos give about 97 to 100.

    Raises:
        DfcError: ffmpeg is missing, lacks libvmaf, or fails; the message states the reason.
        UsageError: see :func:`dfccodec.metrics.inputs.check_pair`.
    """
    check_pair(reference, distorted)
    with contextlib.closing(VmafFiles(reference.shape[2], reference.shape[1])) as files:
        for a, b in zip(reference, distorted, strict=True):
            files.add(to_uint8(a), to_uint8(b))
        scores = files.measure(threads)
    return sum(scores) / len(scores)


class VmafFiles:
    """Raw frames in a temporary folder, from which ffmpeg computes VMAF; 6 bytes per pixel and frame.

    Args:
        width, height: size of the frames.

    Raises:
        DfcError: ffmpeg is missing.
    """

    def __init__(self, width: int, height: int) -> None:
        self._ffmpeg, self._size = find_ffmpeg(), f"{width}x{height}"
        self._folder = tempfile.TemporaryDirectory(prefix="dfc-vmaf-")
        self._distorted, self._reference = (
            (Path(self._folder.name) / name).open("wb") for name in ("distorted.rgb", "reference.rgb")
        )

    @staticmethod
    def check() -> None:
        """Raise `DfcError` if there is no ffmpeg with libvmaf."""
        ffmpeg = find_ffmpeg()
        done = subprocess.run([ffmpeg, "-v", "error", "-filters"], capture_output=True, text=True)
        if "libvmaf" not in done.stdout:
            raise DfcError(f"{ffmpeg} has no libvmaf; get one with: pip install 'imageio-ffmpeg>=0.8'")

    def add(self, reference: Video, distorted: Video) -> None:
        """Add a pair of frames (H, W, 3) uint8."""
        self._reference.write(np.ascontiguousarray(reference).data)
        self._distorted.write(np.ascontiguousarray(distorted).data)

    def close(self) -> None:
        """Delete the files."""
        self._distorted.close()
        self._reference.close()
        self._folder.cleanup()

    def measure(self, threads: int = 1) -> list[float]:
        """Return the VMAF of each frame.

        Raises:
            DfcError: ffmpeg lacks libvmaf or fails.
        """
        self._distorted.flush()
        self._reference.flush()
        raw = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", self._size, "-framerate", "25", "-i"]
        graph = _GRAPH.format(model=MODEL, threads=threads)
        command = [self._ffmpeg, "-nostdin", "-v", "error", "-filter_threads", str(threads)]
        command += [*raw, "distorted.rgb", *raw, "reference.rgb", "-filter_complex", graph, "-f", "null", "-"]
        done = subprocess.run(command, cwd=self._folder.name, capture_output=True, text=True)
        log = Path(self._folder.name) / "vmaf.json"
        if done.returncode or not log.is_file():
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise DfcError(f"{self._ffmpeg} cannot compute VMAF: {lines[-1]}")
        return [float(frame["metrics"]["vmaf"]) for frame in json.loads(log.read_text())["frames"]]
