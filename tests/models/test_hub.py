"""Downloads through the real huggingface_hub client, from a small hub on this machine.

huggingface_hub reads its environment when it is imported, so each case runs in a process of its own.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import COMMIT, REPO, Hub, hub_environment, serve_hub

from dfccodec.models.config import VAEConfig
from dfccodec.models.entries import ENTRIES
from dfccodec.models.weights import fingerprint, read_weights, save_safetensors

SCRIPT = """
import json, sys, time
time.sleep = lambda seconds: None  # the client waits 20 s between its attempts to reach a hub that is down
from dfccodec.errors import DfcError
from dfccodec.models import registry
for verb, spec in json.loads(sys.argv[1]):
    try:
        if verb == "pull":
            result = registry.pull(*spec).fingerprint.hex()
        else:
            result = str(registry.resolve(*spec).path)
        print(json.dumps([0, result]))
    except DfcError as error:
        print(json.dumps([error.exit_code, str(error)]))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, reference: Path, vae_config: VAEConfig) -> Iterator[Hub]:
    path = tmp_path_factory.mktemp("hub") / "tiny.safetensors"
    save_safetensors(path, read_weights(reference / "vae_tiny.pt").tensors, vae_config.to_json(), "tiny-vae")
    whole = path.read_bytes()
    with serve_hub({"tiny.safetensors": whole, "damaged.safetensors": whole[:-100]}) as server:
        yield server


def ask(cases: list[tuple[str, list[str]]], home: Path, endpoint: str, **extra: str) -> list[tuple[int, str]]:
    """Run `pull` and `resolve` in a new process with a cache and endpoint. Returns exit codes and results."""
    environment = hub_environment(home, endpoint, **extra)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(cases)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stderr
    assert "%|" not in done.stderr  # no progress bar if stderr is not a terminal
    return [(code, text) for code, text in map(json.loads, done.stdout.splitlines())]


def test_pull_then_resolve_then_offline(hub: Hub, tmp_path: Path, reference: Path) -> None:
    spec, pinned = f"hf://{REPO}/tiny.safetensors", f"hf://{REPO}@{COMMIT}/tiny.safetensors"
    before, pulled, after, at_commit = ask(
        [("resolve", [spec]), ("pull", [spec]), ("resolve", [spec]), ("resolve", [pinned])], tmp_path, hub.url
    )
    assert before == (5, f"model {spec!r} is not on this machine; get it with: dfc models pull {spec}")
    assert pulled == (0, fingerprint(read_weights(reference / "vae_tiny.pt").tensors).hex())
    assert after[0] == 0
    assert Path(after[1]).is_relative_to(tmp_path)
    assert Path(after[1]).read_bytes() == hub.files["tiny.safetensors"]
    assert at_commit == after

    seen = len(hub.requests)
    assert ask([("resolve", [spec]), ("pull", [spec])], tmp_path, hub.url, HF_HUB_OFFLINE="1") == [after, pulled]
    assert len(hub.requests) == seen


def test_resolve_does_not_use_the_network(hub: Hub, tmp_path: Path) -> None:
    seen = len(hub.requests)
    answers = ask([("resolve", [f"hf://{REPO}/tiny.safetensors"]), ("resolve", ["dfc-170m"])], tmp_path, hub.url)
    assert [code for code, _ in answers] == [5, 5]
    assert len(hub.requests) == seen


def test_pull_by_name_requests_the_published_files(hub: Hub, tmp_path: Path) -> None:
    seen = len(hub.requests)
    answers = ask([("pull", ["dfc-170m"]), ("pull", ["dfc-dit-504m"])], tmp_path, hub.url)
    assert all(code == 5 and "no repository at" in text for code, text in answers)
    addresses = [entry.address for entry in ENTRIES if entry.address is not None]
    asked = [f"HEAD /{a.repo}/resolve/{a.revision}/{a.file}" for a in addresses]
    assert [request for request in hub.requests[seen:] if "/resolve/" in request] == asked


def test_every_failure_is_one_line_with_the_fix(hub: Hub, tmp_path: Path) -> None:
    cases = [
        ("hf://someone/else/tiny.safetensors", f"no repository at {hub.url}/someone/else"),
        (f"hf://{REPO}/absent.safetensors", "no file 'absent.safetensors' at revision 'main'; see "),
        (f"hf://{REPO}@v9/tiny.safetensors", "no revision 'v9'; see "),
        ("hf://someone/broken/tiny.safetensors", "503"),
        (f"hf://{REPO}/damaged.safetensors", "is damaged"),
    ]
    answers = ask([("pull", [spec]) for spec, _ in cases], tmp_path, hub.url)
    assert len(answers) == len(cases)
    for (code, text), (_, expected) in zip(answers, cases, strict=True):
        assert code == 5
        assert expected in text
        assert "\n" not in text
    assert ask([("pull", [f"hf://{REPO}/tiny.safetensors", "v8"])], tmp_path, hub.url)[0][1].count("no revision 'v8'")


def test_names_that_cannot_be_pulled(hub: Hub, tmp_path: Path) -> None:
    inside, local = ask([("pull", ["mini"]), ("pull", ["model.pt"])], tmp_path, hub.url)
    assert inside[0] == local[0] == 2
    assert "part of the package" in inside[1]
    assert "cannot be pulled" in local[1]


def test_connection_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound but not listening: nothing else can answer on this port meanwhile
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        ((code, text),) = ask([("pull", ["dfc-170m"])], tmp_path, endpoint)
    assert code == 5
    assert f"{endpoint} cannot be reached" in text
    assert "check the connection or HF_ENDPOINT" in text
    assert "\n" not in text


def test_offline_and_not_cached(tmp_path: Path) -> None:
    ((code, text),) = ask([("pull", ["dfc-170m"])], tmp_path, "http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert code == 5
    assert "HF_HUB_OFFLINE is set" in text
