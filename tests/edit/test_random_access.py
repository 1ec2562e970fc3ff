"""`dfc.open`: random access to the clips of a file."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support import moving_square

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.errors import DamagedError, InputError, NotDfcError, UsageError


@pytest.fixture
def path(tmp_path: Path, flat: LoadedModel) -> Path:
    target = tmp_path / "a.dfc"
    dfc.encode(moving_square(70), target, budget="4", model=flat)
    return target


def test_open_gives_header_clips_and_latents(path: Path) -> None:
    with dfc.open(path) as file:
        assert (file.header.width, file.header.height, file.frames, len(file)) == (64, 48, 70, 3)
        assert file.kept == sum(len(c.kept_indices) for c in file)
        clip = file[1]
        assert clip.record.first_frame == 32
        assert clip.latents.shape == (4, 1, 3, 4, 3)
        assert clip.latents.dtype == np.int16
        assert np.allclose(clip.dequantized(), clip.latents * file.steps * 2.0 ** (clip.record.qp / 8))


def test_latents_match_the_latent_hash(path: Path) -> None:
    import hashlib

    digest = hashlib.sha256()
    with dfc.open(path) as file:
        for clip in file:
            digest.update(clip.latents.astype("<i2").tobytes())
        assert file.summary.index is not None
        assert digest.digest() == file.summary.index.latent_hash


def test_a_damaged_clip_raises_an_error_on_access(path: Path) -> None:
    data = bytearray(path.read_bytes())
    with dfc.open(path) as file:
        data[file.summary.clips[1].offset + 60] ^= 1
    path.write_bytes(data)
    with dfc.open(path) as file:
        assert file[0].latents.size
        with pytest.raises(DamagedError, match="checksum"):
            _ = file[1].latents


def test_missing_and_foreign_files_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot open"):
        dfc.open(tmp_path / "none.dfc")
    (tmp_path / "text.dfc").write_text("hello")
    with pytest.raises(NotDfcError, match=r"text\.dfc is not a \.dfc file"):
        dfc.open(tmp_path / "text.dfc")
    with pytest.raises(NotDfcError, match=r"text\.dfc is not a \.dfc file"):
        dfc.decode(tmp_path / "text.dfc")


def test_open_imports_neither_torch_nor_av(path: Path) -> None:
    read = f"import sys, dfccodec as d; d.open({str(path)!r})[0].latents; "
    code = read + "print('torch' in sys.modules, 'av' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_open_accepts_bytes_and_streams(path: Path) -> None:
    data = path.read_bytes()
    for source in (data, io.BytesIO(data), path.open("rb")):
        with dfc.open(source) as file:
            assert file.frames == 70
            assert file[2].latents.size


@pytest.mark.parametrize("damaged", [False, True])
def test_a_file_may_begin_inside_a_stream(damaged: bool, path: Path) -> None:
    data = path.read_bytes()
    data = data[:-1] + b"?" if damaged else data  # the last byte is wrong, so `open` scans the entire file
    stream = io.BytesIO(b"before" + data)
    stream.seek(6)
    with dfc.open(stream) as embedded, dfc.open(path) as standalone:
        assert embedded.summary.size == len(data)
        np.testing.assert_array_equal(embedded[0].latents, standalone[0].latents)


def test_a_stream_without_seek_is_rejected(path: Path) -> None:
    pipe = io.BytesIO(path.read_bytes())
    pipe.seekable = lambda: False  # type: ignore[method-assign]
    with pytest.raises(InputError, match="seek"):
        dfc.open(pipe)


def test_threads_may_share_a_file(path: Path) -> None:
    class SlowFile(io.FileIO):
        """Sleeps after each seek, so that another thread may run before the read."""

        def seek(self, offset: int, whence: int = 0) -> int:
            position = super().seek(offset, whence)
            time.sleep(0.001)
            return position

    with dfc.open(SlowFile(path)) as file:  # type: ignore[arg-type]
        expected = [clip.latents.tobytes() for clip in file]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda n: file[n % 3].latents.tobytes(), range(24))) == expected * 8


def test_reading_after_close_is_rejected(path: Path) -> None:
    with dfc.open(path) as file:
        clip = file[0]
    with pytest.raises(UsageError, match="closed"):
        _ = clip.latents


@pytest.mark.skipif(not hasattr(os, "pread"), reason="the system has neither pread nor fork")
def test_reading_a_clip_keeps_the_file_position(path: Path) -> None:
    """Forked processes share the position of an open file, so reads must not depend on it or change it."""
    with dfc.open(path) as file:
        expected = [clip.latents for clip in file]
        descriptor = file._stream.fileno()  # type: ignore[attr-defined]
        for position in (0, 100, path.stat().st_size):
            os.lseek(descriptor, position, os.SEEK_SET)
            assert all((clip.latents == latents).all() for clip, latents in zip(file, expected, strict=True))
            assert os.lseek(descriptor, 0, os.SEEK_CUR) == position


def test_a_clip_deleted_after_open_is_reported(path: Path) -> None:
    with dfc.open(path) as file:
        path.write_bytes(path.read_bytes()[: file[1].head.offset])
        with pytest.raises(DamagedError, match="is gone"):
            _ = file[1].latents


def test_files_opened_by_path_can_be_pickled(path: Path) -> None:
    with dfc.open(path) as file, pickle.loads(pickle.dumps(file)) as other:
        assert (other[1].latents == file[1].latents).all()
        clip = pickle.loads(pickle.dumps(file[2]))
        assert (clip.latents == file[2].latents).all()
    with path.open("rb") as stream, dfc.open(stream) as file, pytest.raises(UsageError, match="by its path"):
        pickle.dumps(file)
