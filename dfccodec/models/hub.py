"""Lookup in the local Hugging Face cache, and download into it; `publish` uploads.

Only `download` uses the network. Both functions call huggingface_hub, which reads the environment variables HF_HOME,
HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from dfccodec.errors import ModelError, UsageError

SCHEME = "hf://"
DEFAULT_REVISION = "main"
SUFFIXES = (".pt", ".safetensors")

_REPO_PART = re.compile(r"[A-Za-z0-9]([\w.-]{0,94}\w)?", re.ASCII)  # as in huggingface_hub


@dataclass(frozen=True)
class HubAddress:
    """Address of a file in a model repository.

    Args:
        repo: `owner/name`.
        file: path inside the repository.
        revision: branch, tag or commit hash. Only a hash always means the same bytes.
    """

    repo: str
    file: str
    revision: str = DEFAULT_REVISION

    def __str__(self) -> str:
        """Return the address in the form that `parse_address` reads."""
        revision = "" if self.revision == DEFAULT_REVISION else "@" + quote(self.revision, safe="")
        return f"{SCHEME}{self.repo}{revision}/{self.file}"


def parse_address(spec: str) -> HubAddress:
    """Parse `hf://owner/repo[@revision]/file`. A slash in a revision is written `%2F`.

    Raises:
        UsageError: the form is invalid, or the file is neither .pt nor .safetensors.
    """
    owner, _, rest = spec.removeprefix(SCHEME).partition("/")
    name, _, file = rest.partition("/")
    name, at, revision = name.partition("@")
    revision = unquote(revision) if at else DEFAULT_REVISION
    parts = file.split("/")
    if not (owner and name and revision) or not revision.isprintable() or {"", ".", ".."} & {*parts}:
        raise UsageError(f"model {spec!r} is not a hub address; write hf://owner/repo[@revision]/file.safetensors")
    if PurePosixPath(file).suffix not in SUFFIXES:
        raise UsageError(f"model {spec!r} names {file!r}; dfc reads {' and '.join(SUFFIXES)}")
    if not is_repo_name(f"{owner}/{name}"):
        raise UsageError(f"model {spec!r}: {owner}/{name} is not a repository name; see https://huggingface.co")
    return HubAddress(f"{owner}/{name}", file, revision)


def is_address(name: str) -> bool:
    """Whether a name, which can come from a file, is a valid address."""
    try:
        return name.startswith(SCHEME) and name.isascii() and parse_address(name).repo != ""
    except UsageError:
        return False


def is_repo_name(repo: str) -> bool:
    """Whether a text has the form `owner/name` of a repository."""
    parts = repo.split("/")
    valid = all(_REPO_PART.fullmatch(part) and ".." not in part and "--" not in part for part in parts)
    return len(parts) == 2 and valid


def pinned(address: HubAddress, path: Path) -> HubAddress:
    """Return the address with the commit of a file in the cache, which is part of its path, as revision."""
    snapshot = path.parents[len(PurePosixPath(address.file).parts) - 1].name
    return HubAddress(address.repo, address.file, snapshot)


def cached_file(address: HubAddress) -> Path | None:
    """Return the path of the file in the local cache, or None. Does not use the network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(address.repo, address.file, revision=address.revision)
    return Path(found) if isinstance(found, str) else None  # a third result means "known not to exist on the hub"


def download(address: HubAddress) -> Path:
    """Update the file in the local cache from the hub, and return its path.

    Raises:
        ModelError: the download failed. The message is one line with cause and fix.
    """
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(address.repo, address.file, revision=address.revision))
    except Exception as error:
        message = explain(error, address)
        if message is None:
            raise
        raise ModelError(f"cannot get {address}: {message}") from error


def explain(error: Exception, address: HubAddress) -> str | None:
    """Return cause and fix of an error of the hub, the network or the disk; None for other errors."""
    from huggingface_hub import constants, errors

    endpoint = constants.ENDPOINT
    page = f"{endpoint}/{address.repo}"
    match error:
        case errors.GatedRepoError():
            return f"{address.repo} is gated; accept its terms at {page}, then: hf auth login"
        case errors.RepositoryNotFoundError():
            return f"no repository at {page}, or a private one; check the name, or: hf auth login"
        case errors.RevisionNotFoundError():
            return f"{address.repo} has no revision {address.revision!r}; see {page}/commits/main"
        case errors.LocalEntryNotFoundError() | errors.OfflineModeIsEnabled():
            if constants.HF_HUB_OFFLINE:
                return "HF_HUB_OFFLINE is set and the file is not in the cache; unset it and try again"
            return f"{endpoint} cannot be reached ({reason(error)}); check the connection or HF_ENDPOINT"
        case errors.EntryNotFoundError():
            where = f"{address.file!r} at revision {address.revision!r}"
            return f"{address.repo} has no file {where}; see {page}/tree/{quote(address.revision)}"
        case errors.HfHubHTTPError():
            return f"{endpoint} answered with an error ({reason(error)}); try again later"
        case OSError():
            return f"{reason(error)}; check the disk and the connection, then try again"
    # huggingface_hub has changed its HTTP client twice, so network errors are recognized by their package.
    if type(error).__module__.partition(".")[0] in {"requests", "urllib3", "httpx", "httpx2", "httpcore"}:
        return f"{endpoint} cannot be reached ({reason(error)}); check the connection or HF_ENDPOINT"
    return None


def reason(error: BaseException) -> str:
    """Return the first line of the innermost cause, which is the most specific one."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0][:120].rstrip(".") if lines else type(error).__name__
