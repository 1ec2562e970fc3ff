"""A small hub on this machine: the part of the protocol that huggingface_hub needs for downloads and commits."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "someone/tiny"
TOKEN = "hf_aTokenThatMayWrite"
READ_TOKEN = "hf_aTokenThatMayRead"


class Hub(ThreadingHTTPServer):
    """One repository, `REPO`, at one commit, and the repositories that are created, at commits counted from 1.

    Attributes:
        files: content by path of `REPO`.
        created: contents by repository, as `models/owner/name`; the newest commit.
        commits: contents by commit.
        private: repositories created as private.
        requests: method and path of each request, in order.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.files = files
        self.created: dict[str, dict[str, bytes]] = {}
        self.commits: dict[str, dict[str, bytes]] = {}
        self.heads: dict[str, str] = {}
        self.objects: dict[str, bytes] = {}
        self.private: set[str] = set()
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class HubHandler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._resolve(with_body=False)

    def do_GET(self) -> None:
        self._resolve(with_body=True)

    def do_PUT(self) -> None:
        """Take an object of LFS; its address contains its hash."""
        self._log()
        body = self._body()
        oid = self.path.rpartition("/")[2]
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.objects[oid] = body
        self._answer(200)

    def do_POST(self) -> None:
        self._log()
        body = self._body()
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in (TOKEN, READ_TOKEN):
            return self._answer(401, {"error": f"Invalid credentials {token}"})
        path = self.path.partition("?")[0]
        if path == "/api/validate-yaml":
            valid = json.loads(body)["content"].startswith("---\n")
            errors = [] if valid else [{"message": "no front matter"}]
            return self._answer(200 if valid else 400, {"errors": errors, "warnings": []})
        if token == READ_TOKEN:
            return self._answer(403, {"error": "You don't have the rights"})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._batch(json.loads(body))
        repo, _, rest = path.removeprefix("/api/").partition("/preupload/" if "/preupload/" in path else "/commit/")
        if repo not in self.server.created or rest != "main":
            return self._answer(404, {}, "RepoNotFound")
        return self._preupload(json.loads(body)) if "/preupload/" in path else self._commit(repo, body)

    def _create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        repo = f"{wanted.get('type', 'model')}s/{name}"
        if wanted["organization"] == "others":
            return self._answer(403, {"error": "You don't have the rights"})
        known = repo in self.server.created
        self.server.created.setdefault(repo, {})
        if wanted.get("private") or wanted.get("visibility") == "private":
            self.server.private.add(repo)
        return self._answer(409 if known else 200, {"url": f"{self.server.url}/{name}"})

    def _preupload(self, wanted: dict[str, Any]) -> None:
        large = (".safetensors", ".tar")
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(large) else "regular",
                "shouldIgnore": False,
            }
            for file in wanted["files"]
        ]
        self._answer(200, {"files": modes})

    def _batch(self, wanted: dict[str, Any]) -> None:
        objects = [
            {
                **part,
                "actions": {"upload": {"href": f"{self.server.url}/objects/{part['oid']}"}},
            }
            for part in wanted["objects"]
        ]
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _commit(self, repo: str, body: bytes) -> None:
        files = dict(self.server.created[repo])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
        commit = f"{len(self.server.commits) + 1:040x}"
        self.server.created[repo] = self.server.commits[commit] = files
        self.server.heads[repo] = commit
        self._answer(200, {"commitUrl": f"{self.server.url}/{repo}/commit/{commit}", "commitOid": commit})

    def _resolve(self, with_body: bool) -> None:
        self._log()
        repo, _, rest = self.path.lstrip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        made = f"models/{repo}"
        if repo == "someone/broken":
            return self._answer(503)
        if repo != REPO and made not in self.server.created:
            return self._answer(404, code="RepoNotFound")
        commit = COMMIT if repo == REPO else self.server.heads.get(made, "")
        commit = commit if revision == "main" else revision
        files = self.server.files if commit == COMMIT else self.server.commits.get(commit)
        if files is None and commit:
            return self._answer(404, code="RevisionNotFound")
        if file not in (files or {}):
            return self._answer(404, code="EntryNotFound")
        assert files is not None
        content = files[file]
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)
        return None

    def _log(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def _answer(self, status: int, record: dict[str, Any] | None = None, code: str = "") -> None:
        content = b"" if record is None else json.dumps(record).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if self.command != "HEAD" else b"")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def serve_hub(files: dict[str, bytes]) -> Iterator[Hub]:
    """Run a hub in a thread."""
    server = Hub(files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def hub_environment(home: Path, endpoint: str, **extra: str) -> dict[str, str]:
    """Return the environment of a process that knows only this hub, with its cache in `home`.

    Large files go through LFS: Xet, the newer way, needs a storage server besides the hub.
    """
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGINGFACE_"))}
    clean = {key: value for key, value in clean.items() if not key.lower().endswith("_proxy")}
    own = {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
    return {**clean, **own, **extra}
