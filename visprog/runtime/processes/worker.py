"""What a tool process does: it imports tools and backends by name, and answers batches of calls."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from visprog.sandbox import cut_off

from ...errors import ToolError, contained
from ...registry import Tool, cautions, through_host
from ...registry.loader import PlainFunction
from ...registry.results import alone, images_of
from ...registry.types import Unfit, coerce
from .channel import Channel, Closed, Message
from .names import find, name_of
from .transfer import Transfer, packed_error, unpacked_error

_ORPHAN_CHECK = 1.0
"""Seconds between two looks at whether the host still lives."""


def main(descriptor: int, how: dict[str, Any]) -> None:
    """Answer batches until the host closes the channel.

    Args:
        descriptor: Of the socket to the host.
        how: Which mechanisms of confinement took hold.
    """
    gc.freeze()
    gc.enable()
    os.dup2(2, 1)  # what tools print must not get among the output of a command
    threading.Thread(target=_end_with_host, args=(os.getppid(),), daemon=True).start()
    server = ToolServer(Channel(socket.socket(fileno=descriptor)))
    try:
        server.channel.send({"op": "ready", "how": how})
        server.serve()
    except Closed:
        os._exit(0)


class ToolServer:
    """Tools and backends, called over a channel.

    Args:
        channel: To the host. While a tool works that calls another, the host may send further batches over it.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.transfer = Transfer(channel, host=False)
        self._works: dict[int, tuple[Callable[..., Any], Tool | None]] = {}

    def serve(self) -> Message:
        """Answer batches until an answer comes to a call that this process has made, and return that.

        Raises:
            Closed: The host has ended.
        """
        while True:
            message = self.channel.receive()
            assert message is not None
            if self.transfer.take(message):
                continue
            match message.head["op"]:
                case "run":
                    self._answer(message)
                case "load":
                    self._load(message)
                case _:
                    return message

    def _work(self, message: Message) -> tuple[Callable[..., Any], Tool | None]:
        number, name, tool, options = message.head["work"]
        if number not in self._works:
            self._works[number] = _made(name, tool, options)
        return self._works[number]

    def _load(self, message: Message) -> None:
        """Load what a call would load, weights in another thread: the calls of other tools do not wait for them.

        Whatever fails here fails again in the call, and says so.
        """
        with contextlib.suppress(Exception):
            backend, _ = self._work(message)
            load = getattr(backend, "load", None)
            if load is not None:
                threading.Thread(target=_quietly, args=(load,), daemon=True).start()

    def _answer(self, message: Message) -> None:
        try:
            backend, declared = self._work(message)
        except Exception as error:
            self.channel.send({"op": "unavailable", "error": packed_error(error)})
            return
        calls = self.transfer.unpack(message.head["calls"], message.body)
        token = through_host.set(self._call_host)
        with cautions() as collected:
            try:
                results = list(backend(calls))
            except BaseException as error:  # the whole batch failed
                results = [contained(error)] * len(calls)
            finally:
                through_host.reset(token)
        body = bytearray()
        if declared is not None and len(results) == len(calls):
            results = [_typed(declared, *each) for each in zip(results, calls, strict=True)]
        forms = [self._packed(result, body) for result in results]
        if message.head["cut_off"] and not all(isinstance(result, Exception) for result in results):
            cut_off()  # its weights are loaded
        self.transfer.send({"op": "results", "results": forms, "cautions": collected}, body)

    def _packed(self, result: Any, body: bytearray) -> dict[str, Any]:
        if not isinstance(result, Exception):
            try:
                form, more = self.transfer.pack(result)
            except TypeError as error:
                result = ToolError(str(error))
            else:
                start = len(body)
                body += more
                return {"value": form, "from": start, "to": len(body)}
        return {"error": packed_error(result)}

    def _call_host(self, tool: Tool, *args: Any, **kwargs: Any) -> Any:
        """Call another tool through the host, with its settings, cache and budget."""
        form, body = self.transfer.pack(tool.bind(*args, **kwargs))
        self.transfer.send({"op": "call", "tool": [tool.name, name_of(tool)], "arguments": form}, body)
        answer = self.serve()
        if "error" in answer.head:
            raise unpacked_error(answer.head["error"])
        return self.transfer.unpack(answer.head["value"], answer.body)


def _quietly(load: Callable[[], None]) -> None:
    with contextlib.suppress(Exception):
        load()


def _made(name: str, tool: str, options: list[list[Any]]) -> tuple[Callable[..., Any], Tool | None]:
    """A backend or plain function, and the tool whose result it gives, where that can be imported too."""
    declared = find(tool) if tool else None
    if not isinstance(declared, Tool):
        declared = None
    if not name:
        if declared is None:
            raise ImportError(f"{tool} is no tool")
        return PlainFunction(declared), declared
    made = find(name)
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in options}
    return made(**arguments), declared


def _typed(tool: Tool, result: Any, arguments: dict[str, Any]) -> Any:
    """A result as the tool declares it, so that arrays, PIL images and tensors become values before they cross."""
    if isinstance(result, Exception):
        return result
    images = images_of(list(arguments.values()))
    image = images[0] if len(images) == 1 else None
    if image is not None and any(p.form for p in tool.parameters):
        image = alone(image)
    try:
        return coerce(tool.returns, result, image)
    except Unfit:
        return result  # the host says what is wrong with it


def _end_with_host(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_ORPHAN_CHECK)
    os._exit(0)
