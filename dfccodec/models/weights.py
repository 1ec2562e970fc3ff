"""Reading and writing of weight files, and the fingerprint of a set of tensors.

Two kinds of file are read. A `.safetensors` file has configuration and name in its metadata. A `.pt` file, as the
published code saves it, is a pickle with a flat dict of tensors. Only tensors are read from it; a pickle with code is
rejected and not run. Tensors keep the precision in the file, so the fingerprint does not depend on the kind of file.
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

MAX_HEADER_BYTES = 16 * 1024 * 1024  # about 150 bytes per tensor: 100 000 tensors
MAX_NAME_CHARS = 200  # the name of a model is stored in each .dfc file and printed on terminals

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
"""Names of types as in safetensors. Tensors of other types are rejected."""


@dataclass(frozen=True)
class WeightFile:
    """Content of a weight file.

    Args:
        path: the file.
        tensors: tensors by name, on the CPU, possibly memory-mapped.
        config_json: configuration in the metadata; None if the file has none (`.pt`).
        name: name of the model in the metadata; None if the file has none.
    """

    path: Path
    tensors: dict[str, Tensor]
    config_json: str | None = None
    name: str | None = None


def read_weights(path: Path) -> WeightFile:
    """Read the tensors of a `.pt` or `.safetensors` file without running code in it.

    Raises:
        ModelError: the file is missing, damaged, of another kind, contains code, or is not a dict of tensors.
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
            zipped = stream.read(4) == b"PK\x03\x04"  # the old format without zip cannot be memory-mapped
        with warnings.catch_warnings():  # torch warns about unusual pickles, which are checked here
            warnings.simplefilter("ignore")
            content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # for a hostile file, torch.load raises nearly any exception
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code is not None:
            raise ModelError(
                f"model file {str(path)!r} contains code ({code[1]}), which was not run; use a file with only tensors"
            ) from error
        if isinstance(error, pickle.UnpicklingError):  # torch's message explains how to run the code
            raise ModelError(
                f"model file {str(path)!r} is damaged or contains code, which was not run; get it again"
            ) from error
        raise ModelError(f"model file {str(path)!r} is damaged or not a .pt file ({first_line(error)})") from error
    if isinstance(content, dict) and "recipe" in content:
        raise ModelError(
            f"model file {str(path)!r} is a checkpoint of dfc train; its weights are in model.safetensors beside it, "
            "which dfc train --resume writes anew"
        )
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()
    ):
        raise ModelError(f"model file {str(path)!r} is not a flat dict of tensors; save model.state_dict() alone")
    _check_storage(path, content)
    return {name: tensor.detach() for name, tensor in content.items()}  # the file may contain nn.Parameter objects


def _check_storage(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Reject tensors larger than the file: with strides, a pickled tensor can repeat one byte a billion times."""
    declared = 0
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise ModelError(f"model file {str(path)!r}: tensor {_short(name)} is not a plain dense tensor")
        declared += tensor.numel() * tensor.element_size()
    size = path.stat().st_size
    if declared > size:
        raise ModelError(f"model file {str(path)!r} of {size} bytes declares {declared} bytes of tensors; get it again")


def _read_safetensors(path: Path, head: bytes) -> WeightFile:
    from safetensors import safe_open

    size = int.from_bytes(head, "little")
    if len(head) < 8 or size > min(MAX_HEADER_BYTES, path.stat().st_size - 8):
        raise ModelError(
            f"model file {str(path)!r} is damaged or not a .safetensors file: its header declares {size} bytes"
        )
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            duplicate = _find_duplicate_key(path, size)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except Exception as error:  # for hostile headers, the library raises many types of exceptions
        if "cannot allocate memory" in str(error).lower():
            raise MemoryError from None
        raise ModelError(
            f"model file {str(path)!r} is damaged or not a .safetensors file ({first_line(error)})"
        ) from error
    if duplicate is not None:
        raise ModelError(f"model file {str(path)!r} is damaged: duplicate key {_short(duplicate)} in its header")
    name = metadata.get(NAME_KEY)
    if name is not None:
        check_name(name)
    return WeightFile(path, tensors, metadata.get(CONFIG_KEY), name)


def _find_duplicate_key(path: Path, size: int) -> str | None:
    """Return a duplicate key of the header, or None. JSON allows duplicates, but readers handle them differently."""
    duplicates: list[str] = []

    def keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = Counter(key for key, _ in pairs)
        duplicates.extend(key for key, count in found.items() if count > 1)
        return dict(pairs)

    with path.open("rb") as stream:
        stream.seek(8)
        json.loads(stream.read(size), object_pairs_hook=keys)
    return duplicates[0] if duplicates else None


def check_name(name: str) -> str:
    """Check the name of a model, and return it.

    Raises:
        ModelError: the name is not 1 to `MAX_NAME_CHARS` printable characters.
    """
    if not 1 <= len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise ModelError(f"model name {_short(name)} is not 1 to {MAX_NAME_CHARS} printable characters")
    return name


def expected_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor in the state dict of `module`, by name."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def check_shapes(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]], what: str) -> None:
    """Check names and shapes, both by name.

    Raises:
        ModelError: some are missing, unexpected or misshaped.
    """
    problems = [
        _list_some("missing", expected.keys() - found.keys()),
        _list_some("unexpected", found.keys() - expected.keys()),
        _list_some(
            "misshaped",
            (
                f"{name} {list(found[name])} for {list(shape)}"
                for name, shape in expected.items()
                if name in found and found[name] != shape
            ),
        ),
    ]
    if any(problems):
        text = "; ".join(filter(None, problems))
        raise ModelError(f"{what}: not the tensors of this configuration: {text}; give the configuration of the file")


def check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], what: str) -> None:
    """Check that tensors are exactly those of a network and that all values are finite.

    Shapes are checked first, so that no tensor of an unexpected size is read.

    Args:
        tensors: tensors by name.
        expected: name → shape, from `expected_shapes`.
        what: name of the file, for messages.

    Raises:
        ModelError: tensors are missing, unexpected or misshaped, a dtype is unknown, or a value is NaN or infinite.
    """
    check_shapes({name: tuple(tensor.shape) for name, tensor in tensors.items()}, expected, what)
    unknown = [name for name, tensor in tensors.items() if tensor.dtype not in DTYPE_NAMES]
    if unknown:
        raise ModelError(f"{what}: {_list_some('of unknown type', unknown)} (such as {tensors[min(unknown)].dtype})")
    infinite = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if infinite:
        raise ModelError(f"{what}: {_list_some('with NaN or infinite values', infinite)}; get the file again")


def assign_tensors(module: nn.Module, tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> None:
    """Assign checked tensors to a module on the meta device, and set evaluation mode.

    Floating-point tensors are cast to `dtype`, except the names in `float32_tensors` of the module.

    Raises:
        ModelError: the module has a buffer outside its state dict.
    """
    exact: Iterable[str] = getattr(module, "float32_tensors", ())
    state = {}
    for name, tensor in tensors.items():
        kind = torch.float32 if name in exact else dtype
        state[name] = tensor.to(device, kind if tensor.is_floating_point() else tensor.dtype)
    module.load_state_dict(state, strict=True, assign=True)
    left = [name for name, buffer in module.named_buffers() if buffer.is_meta]
    if left:
        raise ModelError(
            f"{type(module).__name__}: {_list_some('buffers outside the state dict', left)}; compute them in each call"
        )
    module.eval().requires_grad_(False)


def fingerprint(tensors: Mapping[str, Tensor]) -> bytes:
    """Return the SHA-256 over tensors in canonical order. It identifies a model independently of its file.

    Tensors are sorted by the UTF-8 bytes of their names. The data of each tensor are: u32 length of the name, the name,
    u32 length of the dtype, the dtype as in `DTYPE_NAMES`, u32 number of dimensions, u64 each dimension, then the
    values in row-major order. All numbers are little-endian.

    Returns:
        32 bytes.

    Raises:
        ModelError: a dtype is not in `DTYPE_NAMES`.
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
    """Write a `.safetensors` file: to a temporary file next to `path`, then renamed to it.

    The same arguments give the same bytes. The safetensors library (0.8.0) is not used, because its order of the
    metadata differs from run to run.

    Args:
        path: the file; replaced if it exists.
        tensors: tensors by name.
        config_json, name: stored in the metadata.

    Raises:
        ModelError: a name or dtype cannot be stored.
        DfcError: the file cannot be written.
    """
    # Wide types first, then by name, as in the library: each tensor then starts at a multiple of its element size.
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
        with contextlib.suppress(OSError):  # it was renamed after success
            temporary.unlink()


def _raw_bytes(tensor: Tensor) -> memoryview:
    """Return the values in row-major order, little-endian."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    raw = flat.view(torch.uint8)
    if sys.byteorder == "big":
        raw = raw.reshape(-1, tensor.element_size()).flip(1).reshape(-1)
    return raw.numpy().data


def _dtype_name(name: str, tensor: Tensor) -> str:
    if tensor.dtype not in DTYPE_NAMES:
        raise ModelError(f"tensor {_short(name)} is {tensor.dtype}; dfc stores {', '.join(DTYPE_NAMES.values())}")
    return DTYPE_NAMES[tensor.dtype]


def _list_some(what: str, names: Iterable[str]) -> str:
    """Return, for example, `3 missing ('a', 'b', 'c')`; empty if there are no names."""
    listed = sorted(names)
    if not listed:
        return ""
    more = ", …" if len(listed) > 3 else ""
    return f"{len(listed)} {what} ({', '.join(_short(name) for name in listed[:3])}{more})"


def _short(name: str) -> str:
    """Return a name from a file in a form that is safe to print."""
    text = ascii(name)
    return text if len(text) <= 80 else text[:77] + "..."


def first_line(error: BaseException) -> str:
    """Return the first line of the text of an error, safe to print."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return "".join(c if c.isprintable() else "?" for c in line)[:120]
