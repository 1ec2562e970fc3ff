"""`dfc models list | info | pull | push | convert`.

Results go to stdout, messages to stderr. Errors are raised as `DfcError`; `cli.main` turns them into one line and an
exit code. torch is imported only by the verbs that open a file.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dfccodec.cli import common
from dfccodec.errors import OutputExistsError, UsageError
from dfccodec.models import entries, hub, registry
from dfccodec.models.config import ModelConfig, config_from_json
from dfccodec.native import kernels
from dfccodec.terminal_text import escape_for_terminal

if TYPE_CHECKING:
    from dfccodec.models.registry import ModelInfo

app = typer.Typer(
    name="models",
    help="The models of dfc.",
    no_args_is_help=True,
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="JSON file with the configuration, for a .pt file or checkpoint that is not a published one."
    ),
]
ModelArgument = Annotated[
    str, typer.Argument(help="A name from `dfc models list`, a file, or hf://owner/repo[@revision]/file.")
]


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List the models that dfc knows by name, and which of them are on this machine."""
    rows = [(entry, registry.locate(entry)) for entry in entries.ENTRIES]
    if as_json:
        _print_json(
            [
                {
                    "name": entry.name,
                    "family": entry.family,
                    "summary": entry.summary,
                    "source": None if entry.address is None else str(entry.address),
                    "revision": None if entry.address is None else entry.address.revision,
                    "path": None if path is None else str(path),
                }
                for entry, path in rows
            ]
        )
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "installed", "description"):
        table.add_column(heading, overflow="fold")
    for entry, path in rows:
        table.add_row(entry.name, "no" if path is None else "yes", entry.summary)
    Console().print(table)


@app.command("info")
def info(model: ModelArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Open a model, check every tensor and print its properties."""
    found = registry.open_checked(registry.resolve(model), _read_config(config)).info
    record = _record(found)
    if as_json:
        _print_json(record)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in record.items():
        text = json.dumps(value) if isinstance(value, dict) else f"{value:,}" if isinstance(value, int) else value
        table.add_row(key, Text(escape_for_terminal(text), overflow="fold"))
    Console().print(table)


@app.command("pull")
def pull(
    model: ModelArgument,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch, tag or commit instead of the default.")
    ] = None,
) -> None:
    """Download a model into the Hugging Face cache and check it."""
    found = registry.pull(model, revision)
    _say(f"{found.name} is installed: {found.parameters:,} parameters, fingerprint {found.fingerprint.hex()}")
    address = registry.address_of(model, revision)
    pinned = hub.pinned(address, found.path)
    if pinned != address:
        _say(f"to pin this version: {pinned}")


@app.command("push")
def push(
    source: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of dfc train, or a .safetensors file.", show_default=False)
    ],
    repo: Annotated[str, typer.Argument(metavar="OWNER/REPO", help="Repository, created if needed.")],
    license_name: Annotated[
        str, typer.Option("--license", metavar="NAME", help="Licence for the card, as apache-2.0.")
    ] = "",
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be uploaded where.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
) -> None:
    """Upload weights, their configuration and a model card to the Hugging Face hub, in one commit.

    The token is that of the environment variable HF_TOKEN.
    """
    from dfccodec.models import publish

    found = publish.collect(source, repo, license_name)
    token = "" if dry_run else publish.read_token()
    _say(f"{found.info.name}, {found.info.parameters:,} parameters, to {found.page}")
    for name in found.files:
        origin = found.files[name]
        note = str(origin) if isinstance(origin, Path) else "made from the weights"
        if name == publish.CARD and not found.own_card:
            note = "made from the weights; a card that is there already stays"
        _say(f"  {name:<18}{common.format_bytes(found.size(name)):>9}  {note}")
    if found.left:
        _say(f"not uploaded: {', '.join(found.left)}")
    if dry_run:
        _say("nothing was uploaded (--dry-run)")
        return
    if not yes:
        _confirm(f"upload {len(found.files)} files to {repo}?")
    if not sys.stderr.isatty():
        from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

        disable_progress_bars()
    _say(f"uploaded; for --model and load_model: {publish.push(found, token, private=private)}")


@app.command("convert")
def convert(
    source: ModelArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The .safetensors file; next to the source by default."),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--from", metavar="KIND", help="orbax: the source is a folder, a JAX checkpoint of the published code."
        ),
    ] = "",
    config: ConfigOption = None,
    name: Annotated[str | None, typer.Option("--name", help="Name to store; that of the source by default.")] = None,
    overwrite: Annotated[bool, typer.Option("-y", "--yes", help="Overwrite the output.")] = False,
) -> None:
    """Write a model as one .safetensors file with its configuration and name. Tensors keep their precision, and so the
    fingerprint stays the same."""
    if kind not in ("", "orbax"):
        raise UsageError(f"--from {kind!r} is unknown; give orbax, or leave it out for .pt and .safetensors files")
    if kind:
        path = Path(source)
        _check_output(output := output or Path(f"{path.resolve()}.safetensors"), path, overwrite)
        checked = registry.open_orbax(path, _read_config(config))
    else:
        if entries.find_entry(source) is None and Path(source).is_dir():
            raise UsageError(f"{source!r} is a folder; if it is a JAX checkpoint, give --from orbax")
        file = registry.resolve(source)
        # next to a local file, never inside the cache
        default = file.path.with_suffix(".safetensors") if file.local else Path(f"{file.path.stem}.safetensors")
        _check_output(output := output or default, file.path, overwrite)
        checked = registry.open_checked(file, _read_config(config))

    from dfccodec.models.weights import save_safetensors

    stored = name if name is not None else checked.info.name
    save_safetensors(output, checked.tensors, checked.info.config_json, stored)
    _say(f"wrote {output}: {stored}, fingerprint {checked.info.fingerprint.hex()}")


def _confirm(question: str) -> None:
    """Ask on the terminal; end the program if the answer is not yes."""
    if not sys.stdin.isatty():
        raise UsageError("standard input is no terminal, so nobody can confirm the upload: give --yes")
    if not typer.confirm(question, err=True):
        _say("nothing was uploaded")
        raise typer.Exit(1)


def _check_output(output: Path, source: Path, overwrite: bool) -> None:
    if output.suffix != ".safetensors":
        raise UsageError(f"output {str(output)!r} must end in .safetensors")
    if output.exists():
        if source.exists() and output.samefile(source):
            raise UsageError(f"output {str(output)!r} is the input; choose another name")
        if not overwrite:
            raise OutputExistsError(f"output {str(output)!r} exists; use -y to overwrite it")


def _read_config(path: Path | None) -> ModelConfig | None:
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"config file {str(path)!r} cannot be read ({error}); give a JSON file") from error
    return config_from_json(text)


def _record(found: ModelInfo) -> dict[str, Any]:
    record: dict[str, Any] = {
        "kernels": "NumPy" if kernels is None else "C",
        **dataclasses.asdict(found),
        "fingerprint": found.fingerprint.hex(),
        "latent_space": None if found.latent_space is None else found.latent_space.hex(),
        "path": str(found.path),
        "config": json.loads(found.config_json),
    }
    del record["config_json"]
    return record


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))


def _say(message: str) -> None:
    # plain text: names come from files and must not be read as markup
    Console(stderr=True).print(Text(escape_for_terminal(message)), soft_wrap=True)
