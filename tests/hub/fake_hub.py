"""A hub on loopback that speaks the protocol of `huggingface_hub`, and can fail in the ways of the real one.

Answered are `/api/models/ID` (also of a revision), `/api/models/ID/discussions`, and HEAD and GET of
`/ID/resolve/REVISION/FILE`, with commits, etags, linked sizes and ranges.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = ".safetensors"
"""Ending of the files that are kept as large ones (LFS)."""


@dataclass
class FakeRepository:
    """A repository, each revision a mapping from names of files to their contents.

    Attributes:
        gated: whether its licence must be accepted: files are refused without the token.
        discussions: pull requests, as the hub describes them.
    """

    revisions: dict[str, dict[str, bytes]]
    gated: bool = False
    discussions: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class FakeHub:
    """The state of the server, which a test may change while it runs.

    Attributes:
        url: its address.
        repositories: by hub id.
        requests: method, path and range of each request.
        cuts: number of times that a large file is cut after `cut_after` bytes of a connection.
        surplus: what follows each large file.
        statuses: path beginning → status that it answers with instead.
        delay: seconds that it waits before it sends a large file.
    """

    url: str = ""
    repositories: dict[str, FakeRepository] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    cuts: int = 0
    cut_after: int = 1000
    surplus: bytes = b""
    statuses: dict[str, int] = field(default_factory=dict)
    delay: float = 0.0
    token: str = "hf_accepted"

    def add(self, name: str, files: Mapping[str, bytes] | Path, **settings: Any) -> FakeRepository:
        """Add a repository of the files of a folder."""
        if isinstance(files, Path):
            files = {
                str(path.relative_to(files)): path.read_bytes()
                for path in sorted(files.rglob("*"))
                if path.is_file()
            }
        self.repositories[name] = FakeRepository({"main": dict(files)}, **settings)
        return self.repositories[name]

    def fetched(self) -> list[str]:
        """Names of the files that were asked for, in order."""
        paths = [path for method, path, _ in self.requests if method == "GET" and "/resolve/" in path]
        return [path.partition("/resolve/")[2].partition("/")[2] for path in paths]


def commit_of(files: Mapping[str, bytes]) -> str:
    digest = sha1()
    for name, content in sorted(files.items()):
        digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


def etag_of(name: str, content: bytes) -> str:
    if name.endswith(LARGE):
        return sha256(content).hexdigest()
    return sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append((self.command, path, self.headers.get("Range", "")))
            for beginning, status in hub.statuses.items():
                if path.startswith(beginning):
                    return self._send(status, b"{}")
            if path.startswith("/api/models/"):
                return self._describe(path.removeprefix("/api/models/"))
            name, _, rest = path.strip("/").partition("/resolve/")
            repository = hub.repositories.get(name)
            if repository is None:
                return self._refuse(401 if not self.headers.get("Authorization") else 404, "RepoNotFound")
            revision, _, file = rest.partition("/")
            files = next((f for r, f in repository.revisions.items() if revision in (r, commit_of(f))), None)
            if files is None:
                return self._refuse(404, "RevisionNotFound")
            if repository.gated and self.headers.get("Authorization") != f"Bearer {hub.token}":
                return self._refuse(403 if self.headers.get("Authorization") else 401, "GatedRepo")
            if file not in files:
                return self._refuse(404, "EntryNotFound", commit_of(files))
            return self._file(file, files[file], commit_of(files))

        def _describe(self, rest: str) -> None:
            name, _, revision = rest.partition("/revision/")
            if rest.endswith("/discussions"):
                found = hub.repositories[rest.removesuffix("/discussions")].discussions
                return self._send(
                    200, json.dumps({"discussions": found, "count": len(found), "start": 0}).encode()
                )
            repository = hub.repositories.get(name)
            if repository is None:
                return self._refuse(401 if not self.headers.get("Authorization") else 404, "RepoNotFound")
            files = repository.revisions.get(revision or "main")
            if files is None:
                return self._refuse(404, "RevisionNotFound")
            siblings = []
            for file, content in files.items():
                sibling: dict[str, Any] = {
                    "rfilename": file,
                    "size": len(content),
                    "blobId": sha1(content).hexdigest() if file.endswith(LARGE) else etag_of(file, content),
                }
                if file.endswith(LARGE):
                    sibling["lfs"] = {
                        "sha256": etag_of(file, content),
                        "size": len(content),
                        "pointerSize": 134,
                    }
                siblings.append(sibling)
            found = {
                "id": name, "modelId": name, "sha": commit_of(files), "siblings": siblings, "private": False,
                "gated": "manual" if repository.gated else False, "tags": [], "downloads": 0, "likes": 0,
            }  # fmt: skip
            return self._send(200, json.dumps(found).encode())

        def _file(self, name: str, content: bytes, commit: str) -> None:
            headers = {
                "X-Repo-Commit": commit,
                "ETag": f'"{etag_of(name, content)}"',
                "X-Linked-Etag": f'"{etag_of(name, content)}"',
                "X-Linked-Size": str(len(content)),
                "Accept-Ranges": "bytes",
            }
            wanted = self.headers.get("Range", "").removeprefix("bytes=").partition("-")[0]
            start = int(wanted) if wanted else 0
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            body = content[start:] + (hub.surplus if name.endswith(LARGE) else b"")
            cut = None
            if self.command == "GET" and name.endswith(LARGE):
                time.sleep(hub.delay)
            if self.command == "GET" and name.endswith(LARGE) and hub.cuts and len(body) > hub.cut_after:
                hub.cuts -= 1
                cut = hub.cut_after
            self._send(206 if start else 200, body, headers, cut)

        def _refuse(self, status: int, code: str, commit: str = "") -> None:
            self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code, "X-Repo-Commit": commit})

        def _send(
            self, status: int, body: bytes, headers: Mapping[str, str] | None = None, cut: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[:cut])
            if cut is not None:
                self.wfile.flush()
                self.close_connection = True

    return Handler


@contextmanager
def serving() -> Iterator[FakeHub]:
    """A hub without repositories, on a free port of loopback."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
