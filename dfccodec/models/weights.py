"""Tensors in and out of files, and what a set of tensors is called: its fingerprint.

Two kinds of file are read. `.safetensors` carries its configuration and name in its metadata. `.pt` is what
the published code saved: a flat dict of tensors in a pickle, of which only the tensors are ever read; one
that wants to call something is refused, not run. Whatever the kind, tensors come out in the precision they
were stored in, so the fingerprint does not depend on it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import re
import struct
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dfccodec.errors import DfcError, ModelError

CONFIG_KEY, NAME_KEY = "dfc.config", "dfc.name"

MAX_HEADER_BYTES = 16 * 1024 * 1024  # a tensor takes about 150 bytes of header: 100 000 tensors
MAX_NAME_CHARS = 200  # a model's name goes into every .dfc file and onto terminals

DTYPE_NAMES: Mapping[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""The spelling of safetensors; a tensor of any other type is refused."""


@dataclass(frozen=True)
class WeightFile:
    """What a weight file holds.

    Args:
        path: where it was read.
        tensors: by name, on the CPU, possibly mapped from the file rather than read.
        config_json: the configuration beside them, None where the file has none (`.pt`).
        name: the model's name beside them, None where the file has none.
    """

    path: Path
    tensors: dict[str, Tensor]
    config_json: str | None = None
    name: str | None = None


def read_weights(path: Path) -> WeightFile:
    """Read the tensors of a `.pt` or `.safetensors` file, running no code in it.

    Raises:
        ModelError: no such file, another kind of file, damaged, a pickle with code, or no dict of tensors.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise ModelError(f"model file {str(path)!r} cannot be read: {error.strerror}") from error
    if path.suffix == ".safetensors":
        return _read_safetensors(path, head)
    if path.suffix == ".pt":
        return WeightFile(path, _read_pickle(path))
    raise ModelError(f"model file {str(path)!r} ends in {path.suffix!r}; dfc reads .pt and .safetensors")


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as stream:
            zipped = stream.read(4) == b"PK\x03\x04"  # the older form without a zip cannot be mapped
        with warnings.catch_warnings():  # torch warns of odd pickles; here they are fine or refused
            warnings.simplefilter("ignore")
            content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # a hostile file makes torch.load raise nearly anything; none of it is our bug
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code is not None:
            raise ModelError(
                f"model file {str(path)!r} holds code ({code[1]}), which was not run; use one of tensors"
            ) from error
        if isinstance(error, pickle.UnpicklingError):  # torch's text here is a page of advice to run the code anyway
            raise ModelError(
                f"model file {str(path)!r} is damaged or holds code, which was not run; get it again"
            ) from error
        raise ModelError(f"model file {str(path)!r} is damaged or no .pt file ({_first_line(error)})") from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()
    ):
        raise ModelError(f"model file {str(path)!r} is not a flat dict of tensors; save model.state_dict() alone")
    _check_storage(path, content)
    return {name: tensor.detach() for name, tensor in content.items()}  # parameters are saved as such


def _check_storage(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Strides let a pickled tensor repeat one byte a billion times; refuse before anything copies it."""
    claimed = 0
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise ModelError(f"model file {str(path)!r}: tensor {_short(name)} is not a plain dense tensor")
        claimed += tensor.numel() * tensor.element_size()
    held = path.stat().st_size
    if claimed > held:
        raise ModelError(f"model file {str(path)!r} of {held} bytes claims {claimed} bytes of tensors; get it again")


def _read_safetensors(path: Path, head: bytes) -> WeightFile:
    from safetensors import safe_open

    size = int.from_bytes(head, "little")
    if len(head) < 8 or size > min(MAX_HEADER_BYTES, path.stat().st_size - 8):
        raise ModelError(f"model file {str(path)!r} is damaged or no .safetensors file: its header claims {size} bytes")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            twice = _named_twice(path, size)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except Exception as error:  # the reader's own error, but also OSError, ValueError and more on hostile headers
        if "cannot allocate memory" in str(error).lower():
            raise MemoryError from None
        raise ModelError(
            f"model file {str(path)!r} is damaged or no .safetensors file ({_first_line(error)})"
        ) from error
    if twice is not None:
        raise ModelError(f"model file {str(path)!r} is damaged: {_short(twice)} stands twice in its header")
    name = metadata.get(NAME_KEY)
    if name is not None:
        check_name(name)
    return WeightFile(path, tensors, metadata.get(CONFIG_KEY), name)


def _named_twice(path: Path, size: int) -> str | None:
    """A key that the header has more than once: JSON allows it, and readers differ in which one counts."""
    twice: list[str] = []

    def keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = Counter(key for key, _ in pairs)
        twice.extend(key for key, count in found.items() if count > 1)
        return dict(pairs)

    with path.open("rb") as stream:
        stream.seek(8)
        json.loads(stream.read(size), object_pairs_hook=keys)
    return twice[0] if twice else None


def check_name(name: str) -> str:
    """`name`, if it can be a model's name: 1…`MAX_NAME_CHARS` printable characters.

    Raises:
        ModelError: it cannot.
    """
    if not 1 <= len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise ModelError(f"model name {_short(name)} is not 1 to {MAX_NAME_CHARS} printable characters")
    return name


def expected_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Name → shape of every tensor in the state dict of `module`."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], what: str) -> None:
    """Refuse tensors that are not exactly those of a network, or hold a value that is not finite.

    Shapes come first, so that nothing of an unexpected size is ever touched.

    Args:
        tensors: by name.
        expected: name → shape, as `expected_shapes` gives them.
        what: the file, for the message.

    Raises:
        ModelError: missing, unexpected or misshaped tensors, an unknown dtype, or a NaN or infinity.
    """
    problems = [
        _few("missing", expected.keys() - tensors.keys()),
        _few("unexpected", tensors.keys() - expected.keys()),
        _few(
            "misshaped",
            (
                f"{name} {list(tensors[name].shape)} for {list(shape)}"
                for name, shape in expected.items()
                if name in tensors and tuple(tensors[name].shape) != shape
            ),
        ),
    ]
    if any(problems):
        found = "; ".join(filter(None, problems))
        raise ModelError(f"{what}: not the tensors of this configuration: {found}; give the config it was made with")
    odd = [name for name, tensor in tensors.items() if tensor.dtype not in DTYPE_NAMES]
    if odd:
        raise ModelError(f"{what}: {_few('of unknown type', odd)} (such as {tensors[min(odd)].dtype})")
    infinite = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if infinite:
        raise ModelError(f"{what}: {_few('with NaN or infinite values', infinite)}; get the file again")


def fill_module(module: nn.Module, tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> None:
    """Give a module built on the meta device its tensors, already checked, and evaluation mode.

    Floating tensors become `dtype`, except those named in the module's `float32_tensors`.

    Raises:
        ModelError: the module keeps a tensor outside its state dict that nothing fills.
    """
    exact: Iterable[str] = getattr(module, "float32_tensors", ())
    state = {}
    for name, tensor in tensors.items():
        kind = torch.float32 if name in exact else dtype
        state[name] = tensor.to(device, kind if tensor.is_floating_point() else tensor.dtype)
    module.load_state_dict(state, strict=True, assign=True)
    left = [name for name, buffer in module.named_buffers() if buffer.is_meta]
    if left:
        raise ModelError(f"{type(module).__name__}: {_few('never filled', left)}; compute them where they are used")
    module.eval().requires_grad_(False)


def fingerprint(tensors: Mapping[str, Tensor]) -> bytes:
    """SHA-256 over tensors in canonical order: what a model *is*, whatever file it came in.

    Tensors are sorted by the UTF-8 bytes of their names. Each adds: u32 length of the name, the name, u32
    length of the dtype, the dtype as safetensors spells it, u32 number of dimensions, u64 each dimension,
    then the values in row-major order. Everything is little-endian.

    Returns:
        32 bytes.

    Raises:
        ModelError: a dtype that has no spelling.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors, key=str.encode):
        tensor = tensors[name]
        label, spelling = name.encode(), _dtype_name(name, tensor).encode()
        digest.update(struct.pack("<I", len(label)) + label + struct.pack("<I", len(spelling)) + spelling)
        digest.update(struct.pack(f"<I{tensor.ndim}Q", tensor.ndim, *tensor.shape))
        digest.update(_raw_bytes(tensor))
    return digest.digest()


def save_safetensors(path: Path, tensors: Mapping[str, Tensor], config_json: str, name: str) -> None:
    """Write a `.safetensors` file: to a temporary file beside `path`, then renamed over it.

    The same arguments give the same bytes. That is why the file is written here and not by the safetensors
    library, which orders the metadata by a hash that differs from run to run (0.8.0).

    Args:
        path: replaced if it exists.
        tensors: by name.
        config_json, name: stored in the metadata.

    Raises:
        ModelError: a name or dtype that cannot be stored.
        DfcError: the file cannot be written.
    """
    # wide types first, then by name, as the library does: every tensor then starts at a multiple of its width
    order = sorted(tensors, key=lambda key: (-tensors[key].element_size(), key.encode()))
    header: dict[str, Any] = {"__metadata__": {CONFIG_KEY: config_json, NAME_KEY: check_name(name), "format": "pt"}}
    end = 0
    for key in order:
        start, end = end, end + tensors[key].numel() * tensors[key].element_size()
        dtype = _dtype_name(key, tensors[key])
        header[key] = {"dtype": dtype, "shape": list(tensors[key].shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(struct.pack("<Q", len(text)) + text)
            for key in order:
                stream.write(_raw_bytes(tensors[key]))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise DfcError(f"cannot write {str(path)!r}: {error.strerror}; choose another place") from error
    finally:
        with contextlib.suppress(OSError):  # gone already when all went well
            temporary.unlink()


def _raw_bytes(tensor: Tensor) -> memoryview:
    """Row-major little-endian values."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    raw = flat.view(torch.uint8)
    if sys.byteorder == "big":
        raw = raw.reshape(-1, tensor.element_size()).flip(1).reshape(-1)
    return raw.numpy().data


def _dtype_name(name: str, tensor: Tensor) -> str:
    if tensor.dtype not in DTYPE_NAMES:
        raise ModelError(f"tensor {_short(name)} is {tensor.dtype}; dfc stores {', '.join(DTYPE_NAMES.values())}")
    return DTYPE_NAMES[tensor.dtype]


def _few(what: str, names: Iterable[str]) -> str:
    """`3 missing ('a', 'b', 'c')`, or nothing for none."""
    listed = sorted(names)
    if not listed:
        return ""
    more = ", …" if len(listed) > 3 else ""
    return f"{len(listed)} {what} ({', '.join(_short(name) for name in listed[:3])}{more})"


def _short(name: str) -> str:
    """A name from a file, safe to show."""
    text = ascii(name)
    return text if len(text) <= 80 else text[:77] + "..."


def _first_line(error: BaseException) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return "".join(c if c.isprintable() else "?" for c in line)[:120]
