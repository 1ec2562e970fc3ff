"""`dfc models push` through the real huggingface_hub client, to a small hub on this machine."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import READ_TOKEN, TOKEN, Hub, hub_environment, serve_hub

from dfccodec.errors import UsageError
from dfccodec.models import publish
from dfccodec.models.config import VAEConfig
from dfccodec.models.weights import fingerprint, read_weights, save_safetensors

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import contextlib, io, json, os, sys
from dfccodec.cli.main import main
answers = []
for command in json.loads(sys.argv[1]):
    os.environ.pop("HF_TOKEN", None)
    if command[0].startswith("HF_TOKEN="):
        os.environ["HF_TOKEN"] = command.pop(0).removeprefix("HF_TOKEN=")
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        code = main(["models", *command])
    answers.append([code, " ".join(stderr.getvalue().split())])
print(json.dumps(answers))
"""
WRITE = f"HF_TOKEN={TOKEN}"
NAMES = ["README.md", "config.json", "model.safetensors"]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve_hub({}) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, reference: Path, vae_config: VAEConfig) -> Path:
    """A folder as `dfc train` leaves it."""
    path = tmp_path / "run"
    path.mkdir()
    tensors = read_weights(reference / "vae_tiny.pt").tensors
    save_safetensors(path / "model.safetensors", tensors, vae_config.to_json(), "tiny-vae")
    (path / "last.pt").write_bytes(b"state")
    rows = [("time", 0, None, 1.5), ("time", 20, 0.3, 2.5), ("time", 40, 0.2, 2.25)]
    lines = [json.dumps({"stage": s, "step": n, "cost": c, "score": x}) for s, n, c, x in rows]
    (path / "log.jsonl").write_text("\n".join(lines) + "\n")
    return path


def models(hub: Hub, home: Path, *commands: tuple[object, ...], **extra: str) -> list[tuple[int, str]]:
    """Run `dfc models …` command by command in one new process, because huggingface_hub reads its environment once.

    A command may begin with a token, as `HF_TOKEN=…`. Returns exit codes and what was said.
    """
    environment = {**hub_environment(home, hub.url, **extra), "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    given = json.dumps([[str(argument) for argument in command] for command in commands])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, given],
        env=environment, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert not any(hidden in said for hidden in ("Traceback", TOKEN, READ_TOKEN, "hf_wrong"))
    assert "%|" not in said  # no progress bar without a terminal
    return [(code, text) for code, text in json.loads(done.stdout)]


def test_push_then_pull_at_the_commit(hub: Hub, folder: Path, tmp_path: Path) -> None:
    address = f"hf://me/tiny@{1:040x}/model.safetensors"
    pushed, pulled, newest = models(
        hub,
        tmp_path,
        (WRITE, "push", folder, "me/tiny", "--yes", "--license", "cc0-1.0"),
        ("pull", address),
        ("pull", "hf://me/tiny/model.safetensors"),
    )
    assert pushed[0] == 0, pushed[1]
    assert "not uploaded: last.pt, log.jsonl" in pushed[1]
    assert address in pushed[1]
    stored = hub.created["models/me/tiny"]
    assert sorted(stored) == NAMES
    assert stored["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert json.loads(stored["config.json"])["family"] == "dfc-vae"
    card = stored["README.md"].decode()
    digest = fingerprint(read_weights(folder / "model.safetensors").tensors).hex()
    assert "license: cc0-1.0" in card
    assert digest in card
    assert "stage time, step 20, score 2.500" in card
    assert "dfc models pull hf://me/tiny/model.safetensors" in card
    assert len(hub.commits) == 1
    assert not hub.private

    assert pulled[0] == newest[0] == 0
    assert digest in pulled[1]
    assert "to pin" not in pulled[1]  # the address is pinned already
    assert f"to pin this version: {address}" in newest[1]


def test_a_card_in_the_repository_stays_unless_the_folder_has_one(hub: Hub, folder: Path, tmp_path: Path) -> None:
    hub.created["models/me/tiny"] = hub.commits["f" * 40] = {"README.md": b"---\n---\ntheirs", "other": b"1"}
    hub.heads["models/me/tiny"] = "f" * 40
    command = (WRITE, "push", folder, "me/tiny", "-y")
    assert models(hub, tmp_path, command)[0][0] == 0
    assert hub.created["models/me/tiny"]["README.md"].endswith(b"theirs")
    assert sorted(hub.created["models/me/tiny"]) == [*NAMES, "other"]
    (folder / "README.md").write_text("---\nlicense: mit\n---\nours")
    pushed, refused = models(hub, tmp_path, (*command, "--private"), (*command, "--license", "mit"))
    assert pushed[0] == 0
    assert hub.created["models/me/tiny"]["README.md"].endswith(b"ours")
    assert refused[0] == 2
    assert "is the card already" in refused[1]


def test_dry_run_needs_neither_token_nor_network(hub: Hub, folder: Path, tmp_path: Path) -> None:
    command = ("push", folder, "me/tiny")
    (code, said), refused = models(hub, tmp_path, (*command, "--dry-run"), (WRITE, *command, "-y"), HF_HUB_OFFLINE="1")
    assert code == 0, said
    assert all(name in said for name in NAMES)
    assert f"{hub.url}/me/tiny" in said
    assert refused[0] == 5
    assert "HF_HUB_OFFLINE is set" in refused[1]
    assert hub.requests == []


def test_what_is_refused_is_one_line(hub: Hub, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (tmp_path / "second" / "README.md").write_text("no head")
    command = ("push", folder, "me/tiny")
    cases: list[tuple[tuple[object, ...], int, str]] = [
        ((*command, "-y"), 2, "no token: set HF_TOKEN to one with write access"),
        ((WRITE, *command), 2, "nobody can confirm the upload: give --yes"),
        (("HF_TOKEN=hf_wrong", *command, "-y"), 5, "the token in HF_TOKEN is not valid"),
        ((f"HF_TOKEN={READ_TOKEN}", *command, "-y"), 5, "may not write for 'me'"),
        ((WRITE, "push", folder, "others/x", "-y"), 5, "may not write for 'others'"),
        ((WRITE, "push", tmp_path / "second", "me/tiny", "-y"), 5, "head of README.md is not valid"),
    ]
    answers = models(hub, tmp_path, *(command for command, _, _ in cases))
    for (code, said), (_, expected_code, expected) in zip(answers, cases, strict=True):
        assert code == expected_code, said
        assert said.count("dfc: error:") == 1
        assert expected in said
    assert hub.commits == {}


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 1), (b"y\n", 0)])
def test_a_terminal_is_asked(hub: Hub, folder: Path, tmp_path: Path, answer: bytes, code: int) -> None:
    ours, theirs = pty.openpty()
    environment = {**hub_environment(tmp_path, hub.url, HF_TOKEN=TOKEN), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "dfccodec", "models", "push", str(folder), "me/tiny"]
    process = subprocess.Popen(command, env=environment, stdin=theirs, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    os.write(ours, answer)
    _, said = process.communicate(timeout=120)
    os.close(ours), os.close(theirs)
    assert process.returncode == code, said
    assert b"upload 3 files to me/tiny?" in said
    assert len(hub.commits) == (answer == b"y\n")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "has no .safetensors files: dfc train writes model.safetensors there"),
        (("a.safetensors", "b.safetensors"), "has 2 .safetensors files: name one of a.safetensors, b.safetensors"),
    ],
)
def test_folders_without_or_with_several_weights(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match=message):
        publish.collect(tmp_path, "me/tiny")


def test_faulty_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"is not the name of a repository: give owner/name"):
        publish.collect(tmp_path, "tiny")
    with pytest.raises(UsageError, match=r"--license 'My own' is not a name of the hub"):
        publish.collect(tmp_path, "me/tiny", "My own")
    with pytest.raises(UsageError, match=r"convert it first: dfc models convert best\.pt"):
        publish.collect(Path("best.pt"), "me/tiny")
    monkeypatch.setenv("HF_TOKEN", "two words")
    with pytest.raises(UsageError, match="HF_TOKEN is not a token") as caught:
        publish.read_token()
    assert "two words" not in str(caught.value)
