"""Tools and backends that misbehave, in a module that another process can import."""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from visprog.errors import Refused
from visprog.registry import Registry, Tool, caution, tool
from visprog.tools.color import has_color
from visprog.values import Box, Image, Mask, Region

kept: list[bytes] = []


@tool(cache=False)
def obey(image: Image, order: str) -> str:
    """Does what the order says, none of it good."""
    match order:
        case "sleep":
            time.sleep(60)
        case "loop":
            while True:
                pass
        case "hold":  # never gives other threads a turn
            ctypes.PyDLL(None).sleep(60)
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(60)
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "leak":
            kept.append(b"x" * (40 << 20))
        case "flood":
            print("x" * 100_000)
        case "memory":
            for _ in range(100):
                kept.append(b"x" * (64 << 20))
                time.sleep(0.05)
        case "child":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            kept.append(str(child.pid).encode())
            time.sleep(60)
        case "close":
            os.closerange(3, 100)
        case "sys.exit":
            sys.exit("enough")
        case "refuse":
            raise Refused("it is too dark")
        case "error":
            raise KeyError("nothing")
        case "gpu":
            kept.append(b"gpu")
            raise RuntimeError("CUDA error: device-side assert triggered\nCompile with …")
        case "caution":
            caution("look again")
    return f"{order} done"


@tool(cache=False)
def attempt(image: Image, what: str) -> str:
    """Tries something that a confined process must not do; what came of it."""
    try:
        match what:
            case "read":
                Path("/etc/passwd").read_bytes()
            case "write":
                Path(image.name, "written").write_text("x")
            case "write a temporary file":
                with tempfile.NamedTemporaryFile("w") as file:
                    file.write("x")
            case "connect":
                socket.create_connection(("127.0.0.1", 9), timeout=1)
            case "socket":
                socket.socket().close()
            case "socket in an older thread":
                _asked.set()
                return _answers.get(timeout=10)
            case "run":
                subprocess.run(["true"], check=True)
            case "signal":
                os.kill(os.getppid(), 0)
            case "keys":
                return ",".join(key for key in os.environ if "KEY" in key or "TOKEN" in key)
            case "threads":
                threading.Thread(target=_ask_later, daemon=True).start()
    except OSError as error:
        return type(error).__name__
    return "done"


_asked = threading.Event()
_answers: queue.Queue[str] = queue.Queue()


def _ask_later() -> None:
    _asked.wait()
    try:
        socket.socket().close()
        _answers.put("done")
    except OSError as error:
        _answers.put(type(error).__name__)


@tool(cache=False)
def process_id(image: Image) -> int:
    """Number of the process that it works in."""
    return os.getpid()


@tool(cache=False, alone=True)
def nap_alone(image: Image, seconds: float) -> int:
    """Sleeps, and is never called twice at once."""
    time.sleep(seconds)
    return os.getpid()


@tool(cache=False)
def nap(image: Image, seconds: float) -> int:
    """Sleeps."""
    time.sleep(seconds)
    return os.getpid()


@tool(cache=False)
def by_way(image: Image, color: str) -> bool:
    """Asks another tool."""
    return has_color(image, color)


@tool(cache=False)
def ask_nap(image: Image, seconds: float) -> int:
    """Asks a tool that sleeps."""
    return nap(image, seconds)


@tool(cache=False)
def invert(image: PIL.Image.Image) -> PIL.Image.Image:
    """The image in complementary colours."""
    return PIL.Image.fromarray(255 - np.asarray(image))


@tool(cache=False)
def bright(image: np.ndarray[Any, Any]) -> Mask:
    """Where the image is bright."""
    return image.mean(2) > 127  # type: ignore[return-value]


@tool(cache=False)
def corner(image: np.ndarray[Any, Any]) -> Region:
    """The corner of the image, in its own pixels."""
    return Region(Box(0, 0, 5, 5), "corner", 0.5)


@tool(cache=False)
def find(image: Image) -> list[Region]:
    """One region, of the whole image."""
    return [Region(image.box, "dog", 1.0, image.root)]


@tool(cache=False)
def same(images: list[Image]) -> list[Image]:
    """The images that it is given."""
    return images


class Sleeper:
    """A backend that sleeps at "sleep", crashes at "crash", and says which process it is in."""

    def __init__(self, model: str | None = None, *, size: int = 1) -> None:
        self.model = model
        self.size = size

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        orders = [call["what"] for call in calls]
        if "sleep" in orders:
            time.sleep(60)
        if "crash" in orders:
            os.abort()
        if "too few" in orders:
            return []
        return [
            ValueError("odd") if order == "odd" else f"{order} {os.getpid()} {self.size}" for order in orders
        ]


@tool(backends={"sleeper": "tests.runtime.processes.hostile:Sleeper"}, cache=False)
def rest(image: Image, what: str) -> str:
    """Rests."""
    raise NotImplementedError


class Loader:
    """A backend that tells whether it was loaded before a call, and does badly what its option says."""

    process = "loader"

    def __init__(self, model: str | None = None, *, order: str = "") -> None:
        self.order = order
        self.loaded = threading.Event()

    def load(self) -> None:
        if self.order == "abort":
            os.abort()
        if self.order == "hang":
            time.sleep(60)
        if self.order == "error":
            raise OSError("no weights")
        self.loaded.set()

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        if self.order == "error":
            raise OSError("no weights")
        return [f"{call['what']} {self.loaded.wait(0 if self.order else 10)}" for call in calls]


@tool(backends={"loader": "tests.runtime.processes.hostile:Loader"}, cache=False)
def load_and_say(image: Image, what: str) -> str:
    """Says whether its backend was loaded."""
    raise NotImplementedError


REGISTRY = Registry([*{each.name: each for each in [*globals().values()] if isinstance(each, Tool)}.values()])
