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
from support import moving

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.errors import DamagedError, InputError, NotDfcError, UsageError


@pytest.fixture
def path(tmp_path: Path, flat: LoadedModel) -> Path:
    target = tmp_path / "a.dfc"
    dfc.encode(moving(70), target, budget="4", model=flat)
    return target


def test_header_clips_latents(path: Path) -> None:
    with dfc.open(path) as file:
        assert (file.header.width, file.header.height, file.frames, len(file)) == (64, 48, 70, 3)
        assert file.kept == sum(len(c.kept_indices) for c in file)
        clip = file[1]
        assert clip.record.first_frame == 32
        assert clip.latents.shape == (4, 1, 3, 4, 3)
        assert clip.latents.dtype == np.int16
        assert np.allclose(clip.dequantized(), clip.latents * file.steps * 2.0 ** (clip.record.qp / 8))


def test_integers_are_those_of_the_stream(path: Path) -> None:
    import hashlib

    digest = hashlib.sha256()
    with dfc.open(path) as file:
        for clip in file:
            digest.update(clip.latents.astype("<i2").tobytes())
        assert file.summary.index is not None
        assert digest.digest() == file.summary.index.latent_hash


def test_a_damaged_clip_is_named_when_it_is_read(path: Path) -> None:
    data = bytearray(path.read_bytes())
    with dfc.open(path) as file:
        data[file.summary.clips[1].offset + 60] ^= 1
    path.write_bytes(data)
    with dfc.open(path) as file:
        assert file[0].latents.size
        with pytest.raises(DamagedError, match="checksum"):
            _ = file[1].latents


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot open"):
        dfc.open(tmp_path / "none.dfc")
    (tmp_path / "text.dfc").write_text("hello")
    with pytest.raises(NotDfcError, match=r"text\.dfc is not a \.dfc file"):
        dfc.open(tmp_path / "text.dfc")
    with pytest.raises(NotDfcError, match=r"text\.dfc is not a \.dfc file"):
        dfc.decode(tmp_path / "text.dfc")


def test_opening_never_loads_torch_or_av(path: Path) -> None:
    read = f"import sys, dfccodec as d; d.open({str(path)!r})[0].latents; "
    code = read + "print('torch' in sys.modules, 'av' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_bytes_and_streams_open_as_paths_do(path: Path) -> None:
    data = path.read_bytes()
    for source in (data, io.BytesIO(data), path.open("rb")):
        with dfc.open(source) as file:
            assert file.frames == 70
            assert file[2].latents.size


@pytest.mark.parametrize("damaged", [False, True])
def test_a_file_may_begin_inside_a_stream(damaged: bool, path: Path) -> None:
    data = path.read_bytes()
    data = data[:-1] + b"?" if damaged else data  # then the scan reads all of it
    stream = io.BytesIO(b"before" + data)
    stream.seek(6)
    with dfc.open(stream) as inside, dfc.open(path) as alone:
        assert inside.summary.size == len(data)
        np.testing.assert_array_equal(inside[0].latents, alone[0].latents)


def test_a_stream_that_cannot_seek_is_refused(path: Path) -> None:
    pipe = io.BytesIO(path.read_bytes())
    pipe.seekable = lambda: False  # type: ignore[method-assign]
    with pytest.raises(InputError, match="seek"):
        dfc.open(pipe)


def test_threads_may_share_a_file(path: Path) -> None:
    class Slow(io.FileIO):
        """Lets go of the interpreter between seeking and reading, where another thread would come in."""

        def seek(self, offset: int, whence: int = 0) -> int:
            place = super().seek(offset, whence)
            time.sleep(0.001)
            return place

    with dfc.open(Slow(path)) as file:  # type: ignore[arg-type]
        wanted = [clip.latents.tobytes() for clip in file]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda n: file[n % 3].latents.tobytes(), range(24))) == wanted * 8


def test_reading_after_close_is_refused(path: Path) -> None:
    with dfc.open(path) as file:
        clip = file[0]
    with pytest.raises(UsageError, match="closed"):
        _ = clip.latents


@pytest.mark.skipif(not hasattr(os, "pread"), reason="the system has neither pread nor fork")
def test_reading_a_clip_does_not_move_in_the_file(path: Path) -> None:
    """What a fork has made two share one place in the file: it must not matter."""
    with dfc.open(path) as file:
        whole = [clip.latents for clip in file]
        handle = file._stream.fileno()  # type: ignore[attr-defined]
        for place in (0, 100, path.stat().st_size):
            os.lseek(handle, place, os.SEEK_SET)
            assert all((clip.latents == latents).all() for clip, latents in zip(file, whole, strict=True))
            assert os.lseek(handle, 0, os.SEEK_CUR) == place


def test_a_clip_that_is_gone_is_said_to_be(path: Path) -> None:
    with dfc.open(path) as file:
        path.write_bytes(path.read_bytes()[: file[1]._head.offset])
        with pytest.raises(DamagedError, match="is gone"):
            _ = file[1].latents


def test_a_file_opened_by_its_path_goes_to_other_processes(path: Path) -> None:
    with dfc.open(path) as file, pickle.loads(pickle.dumps(file)) as other:
        assert (other[1].latents == file[1].latents).all()
        clip = pickle.loads(pickle.dumps(file[2]))
        assert (clip.latents == file[2].latents).all()
    with path.open("rb") as stream, dfc.open(stream) as file, pytest.raises(UsageError, match="by its path"):
        pickle.dumps(file)
