"""A real browser for tests: Chromium without a window, driven through two pipes (the DevTools protocol)."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

_BEGIN = """
import os, sys
commands, replies = (os.dup(int(number)) for number in sys.argv[1:3])
os.dup2(commands, 3)
os.dup2(replies, 4)
for descriptor in (3, 4):
    os.set_inheritable(descriptor, True)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Begins a browser, which reads commands from descriptor 3 and writes to 4."""


def find_browser() -> str | None:
    """The command of a browser that can be driven; None if there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Tab:
    """A page in the browser.

    Attributes:
        messages: What the page wrote to its console, and what its policy forbade.
    """

    def __init__(self, send: Any, receive: Any) -> None:
        self._send, self._receive = send, receive
        self._number = 0
        self._session = ""
        self.messages: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command of the DevTools protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._send.write(json.dumps(message).encode() + b"\0")
        self._send.flush()
        while True:
            reply = self._read()
            if reply.get("id") == self._number:
                assert "error" not in reply, reply
                return dict(reply["result"])

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, script: str, seconds: float = 60) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({script})"):
            assert time.monotonic() < end, (script, self.run("document.body.innerText"), self.messages)
            time.sleep(0.05)

    def open(self, url: str) -> None:
        """Load a page."""
        self.call("Page.navigate", url=url)
        self.wait(f"location.href.startsWith({url!r}) && document.readyState === 'complete'")

    def choose(self, selector: str, *files: Path) -> None:
        """Choose files in a field, as a user does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def type(self, text: str) -> None:
        """Type a text where the focus is."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, code: int) -> None:
        """Press a key, such as `press("Enter", 13)`."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        keys: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown", **keys)
        self.call("Input.dispatchKeyEvent", type="keyUp", **keys)

    def screenshot(self, file: Path) -> None:
        """Write what is seen, from top to bottom of the page, as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        file.write_bytes(base64.b64decode(shot["data"]))

    def _read(self) -> dict[str, Any]:
        data = bytearray()
        while (byte := self._receive.read(1)) != b"\0":
            assert byte, "the browser ended"
            data += byte
        message: dict[str, Any] = json.loads(data)
        match message.get("method"):
            case "Log.entryAdded":
                self.messages.append(message["params"]["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.messages.append(str(message["params"]["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.messages += [str(each.get("value")) for each in message["params"]["args"]]
        return message


@contextmanager
def browser(command: str, folder: Path) -> Iterator[Callable[[], Tab]]:
    """A browser with a profile in a folder; opens tabs."""
    read, send = os.pipe()
    receive, write = os.pipe()
    arguments = [
        command, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions",
        "--disable-background-networking", "--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en",
        "--remote-debugging-pipe", f"--user-data-dir={folder}", "--window-size=1000,900", "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", _BEGIN, str(read), str(write), *arguments],
        pass_fds=(read, write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(read)
    os.close(write)
    with os.fdopen(send, "wb") as to, os.fdopen(receive, "rb") as back:
        try:
            yield lambda: Tab(to, back)
        finally:
            process.kill()
            process.wait()
