"""The model card and the configuration of weights, as they are published beside them. Only facts of the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfccodec.models.config import FAMILIES
from dfccodec.models.entries import GENERATORS
from dfccodec.terminal_text import escape_for_terminal
from dfccodec.version import __version__

if TYPE_CHECKING:
    from dfccodec.models.registry import ModelInfo


def config_text(info: ModelInfo) -> str:
    """Return the configuration as a JSON file, as `--config` reads it."""
    return json.dumps(json.loads(info.config_json), indent=2) + "\n"


def card_text(info: ModelInfo, address: str, *, license_name: str = "", log: Path | None = None) -> str:
    """Return the model card in Markdown, with the front matter of the hub.

    Args:
        info: the model.
        address: where it will be, `hf://owner/repo/file`.
        license_name: name of the licence as on the hub, such as `apache-2.0`; empty leaves it out.
        log: `log.jsonl` of the training run, if there is one.
    """
    name = escape_for_terminal(info.name)
    front = ["library_name: dfccodec", *([f"license: {license_name}"] if license_name else []), "tags:"]
    front += [f"- {tag}" for tag in ("video", "video-compression", "dfc", info.family)]
    rows = [
        ("family", f"`{info.family}`"),
        ("parameters", f"{info.parameters:,} in {info.tensors} tensors"),
        ("fingerprint", f"`{info.fingerprint.hex()}`"),
        ("written by", f"dfc {__version__}"),
        *_training(log),
    ]
    table = "\n".join(f"| {key} | {value} |" for key, value in rows)
    return (
        "---\n" + "\n".join(front) + f"\n---\n\n# {name}\n\n"
        "Weights for `dfc`, a learned video codec.\n\n"
        f"```sh\ndfc models pull {address}\n{_usage(info.family, address)}```\n\n"
        f"| | |\n| --- | --- |\n{table}\n\n"
        "To be added by the author: training footage and its licence, figures, failure cases.\n"
    )


def _usage(family: str, address: str) -> str:
    if FAMILIES[family].codec is not None:
        return f"dfc encode in.mp4 -o out.dfc --model {address}\ndfc decode out.dfc -o back.mp4 --model {address}\n"
    return f"dfc generate -o clip.mp4 --generator {address}\n" if family in GENERATORS else ""


def _training(log: Path | None) -> list[tuple[str, str]]:
    """Return the row of a run's best evaluation. A log that is not ours is left out."""
    if log is None:
        return []
    try:
        rows: list[dict[str, Any]] = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        best = max((row for row in rows if row["stage"] == rows[-1]["stage"]), key=lambda row: float(row["score"]))
        return [("training", f"stage {best['stage']}, step {int(best['step'])}, score {float(best['score']):.3f}")]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return []
