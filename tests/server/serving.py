"""A server in a process of its own, in a folder with tools and a planner of its own; and requests as bytes."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from visprog.server.client import encode

ROOT = Path(__file__).resolve().parents[2]
TOOLS = '''
import time
from visprog import Image, tool

@tool
def darkest(image: Image) -> int:
    """The least value of all its pixels."""
    return int(image.pixels.min())

@tool
def nap(image: Image, seconds: float) -> int:
    """The same, after a while."""
    time.sleep(seconds)
    return int(image.pixels.min())
'''

PLAN = "def answer(image):\n    return darkest(image)\n"


@dataclass
class Served:
    """A running server."""

    url: str
    process: subprocess.Popen[str]

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
        finally:
            connection.close()

    def run(self, program: str, image: bytes) -> tuple[int, dict[str, str], Any]:
        """The response to a program on one image, without the client."""
        content_type, body = encode([("program", None, program.encode()), ("images", "a.png", image)])
        status, headers, content = self.request("POST", "/v1/run", body, {"Content-Type": content_type})
        return status, headers, json.loads(content)


def start(folder: Path, *arguments: str, token: str = "") -> Served:
    """Start a server in a folder, and wait until it is ready."""
    folder.joinpath("serve_tools.py").write_text(TOOLS)
    folder.joinpath("plan.py").write_text(PLAN)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("VISPROG_")}
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
    process = subprocess.Popen(
        [
            sys.executable, "-m", "visprog", "serve", "--port", "0", "--tools", "serve_tools",
            "--planner", "replay:plan.py", *arguments,
        ],
        cwd=folder,
        env={**clean, "PYTHONPATH": path, "XDG_CONFIG_HOME": str(folder), "VISPROG_TOKEN": token},
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("serving on http"), (line, process.poll())
    return Served(line.split()[-1], process)


def stop(served: Served) -> None:
    """End a server that a test started, however it stands."""
    served.process.kill()
    served.process.wait()
    assert served.process.stdout is not None
    served.process.stdout.close()
