"""Engines that stand in for a broken language layer, to see what the others do about it."""

from __future__ import annotations

import builtins
import json
import os
import struct
import time
from typing import Any, NoReturn

from visprog.sandbox.engine import Namespace


class PlainExec:
    """Executes the program with everything Python has, as after an escape."""

    def run(self, source: str, scope: Namespace) -> Any:
        space: dict[str, Any] = {"__builtins__": builtins, **scope.inputs, **scope.tools}
        exec(source, space)
        return space.get("result")


class NeverReady:
    """Keeps its worker from getting ready."""

    def __init__(self) -> None:
        time.sleep(60)


def frame(message: Any) -> bytes:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">I", len(body)) + body


def call(number: Any = 1, name: Any = "echo", args: Any = (), kwargs: Any = None, **rest: Any) -> bytes:
    args = list(args) if isinstance(args, tuple) else args
    kwargs = {} if kwargs is None else kwargs
    return frame({"op": "CALL", "i": number, "f": name, "a": args, "k": kwargs, **rest})


def call_value(wire: Any) -> bytes:
    return call(1, "echo", [wire])


DONE = frame({"op": "DONE", "v": 1})
ATTACKS: dict[str, bytes] = {
    "call without arguments": frame({"op": "CALL", "i": 1, "f": "echo"}),
    "call without a name": frame({"op": "CALL", "i": 1, "a": [], "k": {}}),
    "call of nothing granted": call(1, "open"),
    "call named by a list": call(1, ["echo"]),
    "arguments of another type": call(1, "echo", {"a": 1}),
    "keywords as a list": call(1, "echo", (), []),
    "keywords that are no names": call(1, "echo", (), {"a b": 1}),
    "keywords with underscores": call(1, "echo", (), {"__class__": 1}),
    "too many keywords": call(1, "echo", (), {f"k{i}": 1 for i in range(100)}),
    "number missing": frame({"op": "CALL", "f": "echo", "a": [], "k": {}}),
    "number zero": call(0),
    "number two": call(2),
    "number true": call(True),
    "number text": call("1"),
    "line of text": call(1, l="x"),
    "line negative": call(1, l=-4),
    "set of lists": call_value({"$s": [[1]]}),
    "frozenset of dicts": call_value({"$f": [{}]}),
    "pairs that are none": call_value({"$d": [[1]]}),
    "pairs with an unhashable key": call_value({"$d": [[[1], 2]]}),
    "pairs as a number": call_value({"$d": 5}),
    "tuple of an integer": call_value({"$t": 5}),
    "unknown marker": call_value({"$x": 5}),
    "two markers": call_value({"$t": [], "$s": []}),
    "late marker": call_value({"a": 1, "$h": 0}),
    "handle true": call_value({"$h": True}),
    "handle unknown": call_value({"$h": 77}),
    "handle negative": call_value({"$h": -1}),
    "handle text": call_value({"$h": "0"}),
    "handle huge": call_value({"$h": 10**30}),
    "handle with attributes": call_value({"$h": 0, "k": 0, "a": [1, 2]}),
    "value of no type": call_value({"$v": [99, []]}),
    "value of a negative type": call_value({"$v": [-1, []]}),
    "value of type true": call_value({"$v": [True, [1, 1, 1, 1]]}),
    "value with too few fields": call_value({"$v": [0, [1]]}),
    "value that refuses": call_value({"$v": [0, [5, 0, 1, 1]]}),
    "value with a list for a number": call_value({"$v": [0, [[], 0, 1, 1]]}),
    "value as text": call_value({"$v": "x"}),
    "deep": call_value(json.loads("[" * 100 + "]" * 100)),
    "wide": call_value([0] * 30_000),
    "long text": call_value("x" * 300_000),
    "output that is no text": frame({"op": "DONE", "v": 1, "out": 5}),
    "line that is no number": frame({"op": "ERROR", "type": "X", "message": "x", "l": []}),
    "error without a type": frame({"op": "ERROR", "message": "x"}),
    "message that is no text": frame({"op": "ERROR", "type": "X", "message": {}}),
    "limit without a name": frame({"op": "LIMIT"}),
    "diagnostics missing": frame({"op": "REJECTED"}),
    "diagnostics empty": frame({"op": "REJECTED", "diagnostics": []}),
    "diagnostics of numbers": frame({"op": "REJECTED", "diagnostics": [1]}),
    "diagnostics too many": frame({"op": "REJECTED", "diagnostics": [{}] * 1000}),
    "length without end": b"\xff\xff\xff\xff",
    "length zero": b"\0\0\0\0",
    "length then nothing": b"\0\0\1\0",
    "bad text": frame(b'{"op": "\xff\xfe"}'),
    "not JSON": frame(b"import os"),
    "a list": frame([1]),
    "a number": frame(5),
    "brackets": frame(b"[" * 500_000),
    "braces": frame(b'{"a":' * 100_000),
    "long integer": frame(b'{"op": "DONE", "v": ' + b"9" * 100_000 + b"}"),
    "unknown operation": frame({"op": "OPEN"}),
    "operation of another type": frame({"op": ["CALL"]}),
    "ready again": frame({"op": "READY", "protocol": 1, "facts": {}}),
}
LAWFUL: dict[str, bytes] = {  # odd, but within the protocol: an outcome like any other
    "done twice": DONE + DONE,
    "call after done": DONE + call(),
    "not a number": frame(b'{"op": "DONE", "v": [NaN, Infinity, -Infinity]}'),
    "long message": frame({"op": "ERROR", "type": "X" * 9000, "message": "y" * 90_000}),
    "forged cause": frame({"op": "ERROR", "type": "X", "message": "y", "i": 3}),
    "long output": frame({"op": "DONE", "v": 1, "out": "x" * 900_000}),
    "done of nothing": frame({"op": "DONE"}),
}


class RawFrames:
    """Sends the bytes that the source names, past everything the worker would do."""

    def run(self, source: str, scope: Namespace) -> NoReturn:
        behave = getattr(self, source.replace(" ", "_"), None)
        if behave is not None:
            behave()
        else:
            self.write({**ATTACKS, **LAWFUL}[source])
        os.read(0, 1)
        os._exit(0)

    @staticmethod
    def write(data: bytes) -> None:
        while data:
            data = data[os.write(1, data) :]

    def drip(self) -> None:
        for byte in call():
            self.write(bytes([byte]))
            time.sleep(0.3)

    def flood(self) -> None:
        for number in range(1, 100_000):
            self.write(call(number, "big"))

    def linger(self) -> None:
        """Answers, does not end, and would serve the next program too."""
        for number in range(1, 9):
            self.write(frame({"op": "DONE", "v": [os.getpid(), number]}))
            (size,) = struct.unpack(">I", os.read(0, 4))
            while size:
                size -= len(os.read(0, size))
            self.write(frame({"op": "STARTED"}))

    def silence(self) -> None:
        time.sleep(60)

    def leave(self) -> None:
        os._exit(3)

    def close(self) -> None:
        os.close(1)
        time.sleep(60)
