"""A local chat-completions endpoint that does what its script says, also badly. Standard library only."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Say:
    """A proper reply: one choice for each text, with the usual count of tokens."""

    texts: Sequence[str | None]
    finish: str = "stop"
    usage: tuple[int, int] | None = (100, 20)


@dataclass(frozen=True)
class Fail:
    """An error with its status, and how long the client should wait before it tries again."""

    status: int
    message: str = "something is wrong"
    code: str | None = None
    param: str | None = None
    retry_after_ms: int = 5


@dataclass(frozen=True)
class Slow:
    """Nothing for a while."""

    seconds: float


@dataclass(frozen=True)
class Cut:
    """A reply that breaks off in the middle of its body."""


@dataclass(frozen=True)
class Raw:
    """Any body at all."""

    body: str
    content_type: str = "application/json"
    status: int = 200


@dataclass(frozen=True)
class Unless:
    """An error as long as the request is of a kind; else a proper reply."""

    refuses: Callable[[dict[str, Any]], bool]
    error: Fail | Raw


Step = Say | Fail | Slow | Cut | Raw | Unless


def say(*texts: str | None, **more: Any) -> Say:
    return Say(texts, **more)


@dataclass
class Endpoint:
    """Where the server listens, what it was sent, and what it will answer, one step a request."""

    url: str
    steps: list[Step]
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    pulled: Sequence[str] | None = None
    """Names of the models of an Ollama."""

    @property
    def last(self) -> dict[str, Any]:
        return self.requests[-1]


@contextmanager
def serve(*steps: Step) -> Iterator[Endpoint]:
    """An endpoint that goes through the steps; the last one is repeated."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            endpoint.requests.append(request)
            endpoint.keys.append(self.headers.get("authorization"))
            endpoint.paths.append(self.path)
            endpoint.headers.append({name.lower(): value for name, value in self.headers.items()})
            step = endpoint.steps[min(len(endpoint.requests), len(endpoint.steps)) - 1]
            try:
                self.act(step, request)
            except (BrokenPipeError, ConnectionResetError):  # the client gave up
                self.close_connection = True

        def do_GET(self) -> None:
            if self.path == "/api/tags" and endpoint.pulled is not None:
                models = [
                    {"name": n, "size": 1000 + len(n), "details": {"family": "x"}} for n in endpoint.pulled
                ]
                self.send(200, json.dumps({"models": models}))
            else:
                self.send(404, "404 page not found", "text/plain")

        def act(self, step: Step, request: dict[str, Any]) -> None:
            match step:
                case Say():
                    self.send(200, json.dumps(completion(step, request)))
                case Fail():
                    error = {"message": step.message, "code": step.code, "param": step.param, "type": "error"}
                    self.send(step.status, json.dumps({"error": error}), wait=step.retry_after_ms)
                case Slow():
                    time.sleep(step.seconds)
                    self.send(200, json.dumps(completion(say("late"), request)))
                case Cut():
                    body = json.dumps(completion(say("def answer(image):\n    return 1"), request))
                    self.send_response(200)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body[: len(body) // 2].encode())
                    self.wfile.flush()
                    self.close_connection = True
                    self.connection.close()
                case Raw():
                    self.send(step.status, step.body, step.content_type)
                case Unless():
                    self.act(step.error if step.refuses(request) else say("fine"), request)

        def send(
            self, status: int, body: str, kind: str = "application/json", wait: int | None = None
        ) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body.encode())))
            if wait is not None:
                self.send_header("retry-after-ms", str(wait))
            self.end_headers()
            self.wfile.write(body.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}/v1", list(steps))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()


def completion(step: Say, request: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": request["model"],
        "choices": [
            {"index": i, "finish_reason": step.finish, "message": {"role": "assistant", "content": text}}
            for i, text in enumerate(step.texts)
        ],
    }
    if step.usage is not None:
        prompt, written = step.usage
        body["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
        }
    return body
