"""The process that runs one program and ends.

It imports what it will need, confines itself, measures that, says READY, and only then reads the program:
STARTED. From then on it speaks in frames: CALL for every tool, at last DONE, ERROR, LIMIT or REJECTED. When a
limit is hit it says so and is gone in the same instant, so nothing in a program can run afterwards. Only after
DONE, and if the caller wants that, does it read the same program again with other inputs.
"""

from __future__ import annotations

import gc
import os
import sys
import time
import unicodedata  # noqa: F401 - the parser imports it for the first name that is not ASCII: too late by then
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

from . import confine as confinement
from . import engine as engines
from .checker import check
from .engine import FILENAME, Namespace, Refused
from .guards import ToolError
from .library import Library, load
from .limits import Limits
from .protocol import HEADER, MAX_KEYWORDS, VERSION, Codec, TooLarge, pack, readable, unpack

MAX_DIAGNOSTICS = 20
MAX_TEXT = 500
_RESERVE = 1 << 20
_SERVICE = 0.5
"""Seconds of processor time after which a worker serves no more. The kernel allows a second beyond the limit of one
run and counts all runs together: so the last one has its limit too."""
_BLOCK = 1 << 16


class Handle:
    """An object of the caller, as the program has it: a number, and the attributes that were sent with it."""

    __slots__ = ("_number",)  # underscored: no declared attribute can take its place
    _number: int

    def __new__(cls, *_: Any, **__: Any) -> Handle:
        raise TypeError(f"{cls.__name__} objects come from the inputs and the tools")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._number}>"


class GuestCodec(Codec):
    """Values as the worker has them: a handle becomes an object of one class for each declared type.

    Args:
        kinds: of each class its name, the attributes that come with an object, and the tool of each method.
        tool: the function that calls a tool, by its name.
    """

    def __init__(
        self,
        library: Library,
        limits: Limits,
        kinds: Sequence[tuple[str, Sequence[str], Mapping[str, str]]],
        tool: Callable[[str], Callable[..., Any]],
    ) -> None:
        super().__init__(library, limits)
        self.kinds = [
            (
                type(
                    name,
                    (Handle,),
                    {
                        **{method: tool(called) for method, called in methods.items()},
                        "__slots__": tuple(attributes),
                        "__module__": "builtins",
                    },
                ),
                tuple(attributes),
            )
            for name, attributes, methods in kinds
        ]
        self.opened = {
            cls: (*attributes, *methods)
            for (cls, attributes), (_, _, methods) in zip(self.kinds, kinds, strict=True)
        }
        self._handles: dict[int, Handle] = {}

    def _encode_other(self, value: Any, depth: int) -> Any:
        if isinstance(value, Handle):
            return {"$h": value._number}
        raise TypeError(_no_passage(value))

    def _handle(self, wire: dict[str, Any], depth: int) -> Handle:
        number = wire["$h"]
        if "k" not in wire:
            return self._handles[number]
        cls, attributes = self.kinds[wire["k"]]
        handle: Handle = object.__new__(cls)
        handle._number = number
        self._handles[number] = handle  # before its attributes: an image may name itself as its root
        for name, value in zip(attributes, wire["a"], strict=True):
            setattr(handle, name, self._decode(value, depth - 1))
        return handle


def _no_passage(value: Any) -> str:
    kind = type(value).__name__
    if callable(value):
        return "a function cannot leave the program"
    if hasattr(value, "__iter__"):
        return f"a {kind} cannot leave the program: make it a list first, with list(...)"
    return f"a value of type {kind} cannot leave the program"


class Pipe:
    """The worker's end: whole frames, and no interruption in the middle of one."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.busy = False

    def send(self, message: dict[str, Any]) -> None:
        frame = pack(message, self._limits.message)
        self.busy = True
        sent = os.write(1, frame)
        while sent < len(frame):
            sent += os.write(1, frame[sent:])
        self.busy = False

    def receive(self) -> dict[str, Any]:
        """The next message; the process ends if there is none, since the caller is gone."""
        frame, end = bytearray(), HEADER.size
        while len(frame) < end:
            part = os.read(0, _BLOCK)
            if not part:
                os._exit(0)
            frame += part
            if len(frame) >= HEADER.size:
                end = HEADER.size + HEADER.unpack_from(frame)[0]
        return unpack(frame[HEADER.size :])  # nothing follows: the caller speaks when spoken to


class Worker:
    """One program, from its frame to its end."""

    def __init__(self, limits: Limits, library: Library, engine: engines.Engine, checked: bool) -> None:
        self._limits = limits
        self._library = library
        self._engine = engine
        self._checked = checked
        self._pipe = Pipe(limits)
        self._codec = GuestCodec(library, limits, [], self._tool)
        self._calls = 0
        self._printed: list[str] = []
        self._room = limits.output
        self._truncated = False
        self._reserve: bytearray | None = bytearray(_RESERVE)
        self._overdue = False

    def ready(self, facts: dict[str, Any]) -> None:
        self._pipe.send({"op": "READY", "protocol": VERSION, "pid": os.getpid(), "facts": facts})

    def serve(self) -> None:
        """Read one program, run it, send its end. It returns only if the program is to be run again."""
        message = self._pipe.receive()
        self._pipe.send({"op": "STARTED"})
        confinement.end_with_parent()
        confinement.on_cpu_time(self._limits.cpu, self._on_cpu_time)
        self._codec = GuestCodec(self._library, self._limits, message["kinds"], self._tool)
        try:
            value = self._engine.run(message["source"], self._namespace(message))
            done = {"op": "DONE", "v": self._codec.encode(value)}
            if not message["again"] or time.process_time() > _SERVICE:
                self._end(done)
            self._send(done)
        except Refused as refused:
            found = [diagnostic.to_json() for diagnostic in refused.diagnostics[:MAX_DIAGNOSTICS]]
            self._end({"op": "REJECTED", "diagnostics": found})
        except TooLarge as error:
            self._stop("result", f"the result is too large: {error}")
        except MemoryError:
            self._stop("memory", "the program used up its memory")
        except RecursionError:
            self._stop("recursion", "calls are nested too deeply")
        except Exception as error:
            self._end(self._error(error))

    def _namespace(self, message: dict[str, Any]) -> Namespace:
        inputs = {name: self._codec.decode(wire) for name, wire in message["inputs"].items()}
        kinds = {cls.__name__: cls for cls, _ in self._codec.kinds}
        names = {**self._library.names, **kinds}
        attributes: dict[type, Sequence[str]] = dict(self._codec.opened)
        attributes.update({kind.cls: kind.attributes for kind in self._library.types})
        attributes.update({error: ("args",) for error in self._library.errors})
        if self._checked:
            found = check(
                message["source"],
                {*inputs, *kinds},
                tools=message["tools"],
                attributes=[name for names in self._codec.opened.values() for name in names],
                library=self._library,
                limits=self._limits,
            )
            if found:
                raise Refused(found)
        tools = {name: self._tool(name) for name in message["tools"]}
        return Namespace(inputs, tools, names, attributes, self._write, self._stop, self._limits)

    # --- tools ---

    def _tool(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return self._call(name, args, kwargs)

        call.__name__ = call.__qualname__ = name
        return call

    def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if len(kwargs) > MAX_KEYWORDS or not all(key.isidentifier() and key[0] != "_" for key in kwargs):
            raise TypeError(f"{name}() got keyword arguments that no tool has")
        try:
            wire = self._codec.encode([list(args), kwargs])
            self._calls += 1
            call = {"op": "CALL", "i": self._calls, "f": name, "a": wire[0], "k": wire[1], "l": _line()}
            self._send(call)
        except TooLarge as error:
            self._stop("message", f"the arguments of {name}() are too large: {error}")
        reply = self._pipe.receive()
        if reply["op"] == "RESULT":
            return self._codec.decode(reply["v"])
        raise ToolError(reply["message"], self._calls)

    def _write(self, text: str) -> None:
        kept = text[: self._room]
        self._room -= len(kept)
        self._truncated |= len(kept) < len(text)
        if kept:
            self._printed.append(kept)

    def _send(self, message: dict[str, Any]) -> None:
        """Send a message together with what was printed since the last one."""
        if self._printed:
            message["out"] = "".join(self._printed)
            self._printed = []
        if self._truncated:
            message["truncated"] = True
        self._pipe.send(message)
        if self._overdue:
            self._out_of_time(_line())

    # --- ends ---

    def _error(self, error: Exception) -> dict[str, Any]:
        message = {
            "op": "ERROR",
            "type": type(error).__name__,
            "message": _text(error),
            "l": _error_line(error),
        }
        if type(error) is ToolError and error.call is not None:
            message["i"] = error.call
        return message

    def _stop(self, limit: str, why: str, line: int | None = None) -> NoReturn:
        self._reserve = None
        self._end({"op": "LIMIT", "limit": limit, "message": why, "l": _line() if line is None else line})

    def _on_cpu_time(self, _: int, frame: FrameType | None) -> None:
        if self._pipe.busy:
            self._overdue = True
        else:
            self._out_of_time(_line(frame))

    def _out_of_time(self, line: int | None) -> NoReturn:
        self._stop("cpu", f"the program used its {self._limits.cpu:g} seconds of processor time", line)

    def _end(self, message: dict[str, Any]) -> NoReturn:
        try:
            self._send(message)
        except TooLarge as error:
            self._pipe.send(
                {"op": "LIMIT", "limit": "result", "message": f"the result is too large: {error}"}
            )
        os._exit(0)


def _line(frame: FrameType | None = None) -> int | None:
    """The line of the program that is being executed."""
    frame = frame or sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename == FILENAME:
            return frame.f_lineno
        frame = frame.f_back
    return None


def _error_line(error: BaseException) -> int | None:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILENAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _text(error: Exception) -> str:
    try:
        text = str(error)[:MAX_TEXT]
    except Exception as fault:  # of an argument's repr
        text = f"an error whose text cannot be made: {type(fault).__name__}"
    return readable(text)


def main(config: dict[str, Any]) -> NoReturn:
    """Entry point of the fresh interpreter; `config` is what `WorkerProcess` passes on its command line."""
    warnings.simplefilter("ignore")  # the compiler's, about the program; nobody could read them
    limits = Limits(**config["limits"])
    try:
        library = load(config["library"])
        module, _, name = config["engine"].partition(":")
        engine = getattr(import_module(module), name)()
        check(engines.REHEARSAL, ("n",), library=library)
    except Exception as error:
        Pipe(limits).send({"op": "FAILED", "message": f"{type(error).__name__}: {str(error)[:MAX_TEXT]}"})
        os._exit(1)
    worker = Worker(limits, library, engine, config["checked"])
    gc.freeze()
    how = confinement.confine(limits) if config["confined"] else {}
    worker.ready({**confinement.measure(limits), **how})
    while True:
        worker.serve()
        worker = Worker(limits, library, engine, config["checked"])
        gc.collect()  # the next run has all of its memory
