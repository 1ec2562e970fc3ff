"""Uploads weights with their configuration and card to a repository of the hub, in one commit.

`collect` reads and checks the files, without the network. `push` uploads them through huggingface_hub, which reads
HF_ENDPOINT and HF_HUB_OFFLINE. The token comes from HF_TOKEN alone, never from a stored login: publishing is meant.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dfccodec.errors import ModelError, UsageError
from dfccodec.models import hub, model_card, registry

if TYPE_CHECKING:
    from dfccodec.models.registry import ModelInfo

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
"""Names in the repository."""

TOKEN_VARIABLE = "HF_TOKEN"


@dataclass(frozen=True)
class Publication:
    """What is to be uploaded.

    Args:
        info: the checked model.
        repo: `owner/name`.
        files: content by name in the repository: a file of this machine, or text that is made here.
        own_card: whether the card is the author's. A card that is made here never replaces one in the repository.
        left: names of other files of the folder, which stay here.
    """

    info: ModelInfo
    repo: str
    files: Mapping[str, Path | bytes]
    own_card: bool
    left: tuple[str, ...]

    @property
    def page(self) -> str:
        """Address of the repository for a browser."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{self.repo}"

    def size(self, name: str) -> int:
        """Bytes of a file."""
        content = self.files[name]
        return len(content) if isinstance(content, bytes) else content.stat().st_size


def collect(source: Path, repo: str, license_name: str = "") -> Publication:
    """Read and check what is to be uploaded.

    Args:
        source: a folder with `model.safetensors`, or a .safetensors file. A `README.md` beside it is the card.
        repo: `owner/name`.
        license_name: see `card_text`; only for a card that is made here.

    Raises:
        UsageError: the name of repository or licence is invalid, or the folder has no weights or several.
        ModelError: the weights are invalid.
    """
    if not hub.is_repo_name(repo):
        raise UsageError(f"{repo!r} is not the name of a repository: give owner/name")
    if license_name and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", license_name):
        raise UsageError(f"--license {license_name!r} is not a name of the hub: give one such as apache-2.0")
    weights = _find_weights(source)
    folder = weights.parent
    info = registry.open_checked(registry.resolve(str(weights))).info
    card = folder / CARD
    own_card = card.is_file()
    if own_card and license_name:
        raise UsageError(f"{card} is the card already: write license: {license_name} there, and leave out --license")
    log = folder / "log.jsonl"
    text = model_card.card_text(
        info,
        str(hub.HubAddress(repo, WEIGHTS)),
        license_name=license_name,
        log=log if log.is_file() and source.is_dir() else None,
    )
    files: dict[str, Path | bytes] = {
        WEIGHTS: weights,
        CONFIG: model_card.config_text(info).encode(),
        CARD: card if own_card else text.encode(),
    }
    left = sorted(p.name for p in folder.iterdir() if p not in (weights, card)) if source.is_dir() else []
    return Publication(info, repo, files, own_card, tuple(left))


def read_token() -> str:
    """Return the token of the environment.

    Raises:
        UsageError: there is none, or it is not a token. The message does not contain it.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise UsageError(f"no token: set {TOKEN_VARIABLE} to one with write access, from {_endpoint()}/settings/tokens")
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise UsageError(f"{TOKEN_VARIABLE} is not a token: it has spaces or control characters; copy it again")
    return token


def push(publication: Publication, token: str, *, private: bool = False) -> hub.HubAddress:
    """Upload in one commit, and return the address of the weights at that commit.

    Args:
        publication: from `collect`.
        token: with write access.
        private: whether a new repository is private; an existing one stays as it is.

    Raises:
        ModelError: the upload failed. The message is one line with cause and fix, without the token.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    repo = publication.repo
    api = HfApi(token=token)
    try:
        api.create_repo(repo, private=private or None, exist_ok=True)
        keep_theirs = not publication.own_card and api.file_exists(repo, CARD)
        operations = [
            CommitOperationAdd(
                path_in_repo=name, path_or_fileobj=content if isinstance(content, bytes) else str(content)
            )
            for name, content in publication.files.items()
            if not (keep_theirs and name == CARD)
        ]
        message = f"{publication.info.name}, fingerprint {publication.info.fingerprint.hex()[:16]}"
        commit = api.create_commit(repo, operations, commit_message=message)
    except Exception as error:
        reason = _explain(error, repo)
        if reason is None:
            raise
        raise ModelError(f"cannot push to {repo}: {reason.replace(token, '…')}") from None
    return hub.HubAddress(repo, WEIGHTS, commit.oid)


def _find_weights(source: Path) -> Path:
    """Return the .safetensors file that is meant."""
    if not source.is_dir():
        if source.suffix != ".safetensors":
            fix = f"convert it first: dfc models convert {source}" if source.suffix == ".pt" else "give a folder"
            raise UsageError(f"{str(source)!r} is not a .safetensors file: {fix}")
        return source
    found = sorted(source.glob("*.safetensors"))
    if source / WEIGHTS in found:
        return source / WEIGHTS
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:5])
        fix = f"name one of {names}" if found else f"dfc train writes {WEIGHTS} there, dfc models convert makes one"
        raise UsageError(f"folder {str(source)!r} has {len(found) or 'no'} .safetensors files: {fix}")
    return found[0]


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _explain(error: Exception, repo: str) -> str | None:
    """Return cause and fix; None for a bug. Refusals of the hub come first, the rest is as for a download."""
    from huggingface_hub import errors

    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set; unset it and try again"
    page = f"{_endpoint()}/settings/tokens"
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else 0
    owner = repo.partition("/")[0]
    match status:
        case 401:
            return f"the token in {TOKEN_VARIABLE} is not valid; make one at {page}"
        case 402 | 403 | 404:
            return f"the token in {TOKEN_VARIABLE} may not write for {owner!r}; check the name, or its rights at {page}"
        case 400 | 409 | 412 | 413 | 422:
            return f"the hub refused it ({hub.reason(error)})"
    if isinstance(error, ValueError) and "README.md" in str(error):
        lines = [line.strip("- ") for line in str(error).splitlines()]
        return f"the head of {CARD} is not valid ({' '.join(lines[1:3])[:200]}); correct it"
    return hub.explain(error, hub.HubAddress(repo, WEIGHTS))
