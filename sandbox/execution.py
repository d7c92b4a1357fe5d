"""One run in the parent: it answers the calls of the worker and judges whatever the worker sends."""

from __future__ import annotations

import contextvars
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .library import Library
from .limits import Limits
from .outcome import Outcome, StopProgram
from .parsing import Diagnostic
from .process import DeadlinePassed, PipeClosed, WorkerProcess
from .protocol import MAX_KEYWORDS, CannotCross, Codec, ProtocolError, TooLarge, readable

MAX_TEXT = 500
_END_PATIENCE = 0.5
_current: contextvars.ContextVar[Execution | None] = contextvars.ContextVar("sandbox_run", default=None)

Tools = Mapping[str, Callable[..., Any]]
Inputs = Mapping[str, Any]
Types = Sequence[tuple[type, Sequence[str]]]


class Method(str):
    """A name among the attributes of a class that is a method: its call is that of a tool, with the object first.

    Args:
        name: that programs call.
        tool: name of the tool.
    """

    tool: str

    def __new__(cls, name: str, tool: str) -> Method:
        made = super().__new__(cls, name)
        made.tool = tool
        return made


def current_line() -> int | None:
    """Inside a tool: the line of the program that called it. None elsewhere."""
    execution = _current.get()
    return None if execution is None else execution.line


def extend_time(seconds: float) -> None:
    """Inside a tool: extend the time of the run that called it, by seconds. No effect elsewhere."""
    execution = _current.get()
    if execution is not None:
        execution.extend(seconds)


class HostCodec(Codec):
    """Codec of the parent: objects of declared types cross as entries of the table of this run."""

    def __init__(self, library: Library, limits: Limits, types: Types) -> None:
        super().__init__(library, limits)
        self._types = types
        self._kinds: dict[type, int | None] = {cls: number for number, (cls, _) in enumerate(types)}
        self._table: list[Any] = []
        self._index: dict[int, int] = {}

    def encode(self, value: Any) -> Any:
        before = len(self._table)
        try:
            return super().encode(value)
        except BaseException:
            # The worker does not know these handles: the next message has to introduce them.
            for forgotten in self._table[before:]:
                del self._index[id(forgotten)]
            del self._table[before:]
            raise

    def _encode_other(self, value: Any, depth: int) -> Any:
        kind = self._kind(type(value))
        if kind is None:
            return self._encode_derived(value, depth)
        number = self._index.get(id(value))
        if number is not None:
            return {"$h": number}
        number = len(self._table)
        if number >= self._limits.handles:
            raise TooLarge("handles", f"the program may hold {self._limits.handles} objects")
        self._table.append(value)
        self._index[id(value)] = number
        read = [name for name in self._types[kind][1] if not isinstance(name, Method)]
        return {
            "$h": number,
            "k": kind,
            "a": [self._encode(getattr(value, name), depth - 1) for name in read],
        }

    def _kind(self, cls: type) -> int | None:
        if cls not in self._kinds:
            near = (number for number, (declared, _) in enumerate(self._types) if issubclass(cls, declared))
            self._kinds[cls] = next(near, None)
        return self._kinds[cls]

    def _encode_derived(self, value: Any, depth: int) -> Any:
        """Subclasses of plain types cross as their base: a namedtuple, an IntEnum, a numpy.float64."""
        plain: Any
        for plain in (bool, int, float, str, tuple, list, dict, set, frozenset):
            if isinstance(value, plain):
                return self._encode(plain(value), depth)
        raise CannotCross(
            f"a value of type {type(value).__name__} cannot enter the program: declare it in types=, "
            "or give it to the library"
        )

    def _handle(self, wire: dict[str, Any], depth: int) -> Any:
        number = wire["$h"]
        if len(wire) != 1 or type(number) is not int or not 0 <= number < len(self._table):
            raise ProtocolError("a handle that was never given")
        return self._table[number]


@dataclass(frozen=True)
class Job:
    """What is run; its caller has checked it.

    Attributes:
        source: of the program.
        tools: functions that it may call, by name.
        inputs: its inputs, by name.
        types: classes whose objects cross as handles, each with its open attributes.
        library: the values and functions next to the program.
        limits: bounds of the run.
        call: calls a tool and gives its result; with `Sandbox.arun` it awaits here.
        again: whether the worker waits for the next inputs of this program after its result.
        started: time of `time.monotonic` at which it began.
    """

    source: str
    tools: Mapping[str, Callable[..., Any]]
    inputs: Mapping[str, Any]
    types: Types
    library: Library
    limits: Limits
    call: Callable[[Callable[..., Any], list[Any], dict[str, Any]], Any]
    again: bool = False
    started: float = field(default_factory=time.monotonic)


class Execution:
    """One execution of a program on one worker."""

    def __init__(self, job: Job, worker: WorkerProcess) -> None:
        self._job = job
        self._worker = worker
        self._codec = HostCodec(job.library, job.limits, job.types)
        self._calls = 0
        self._failures: dict[int, Exception] = {}
        self._output: list[str] = []
        self._room = job.limits.output
        self._truncated = False
        self._line: int | None = None
        self._last = job.started + job.limits.time

    @property
    def line(self) -> int | None:
        """The line of the program that made the last call."""
        return self._line

    def extend(self, seconds: float) -> None:
        """Let the run take longer than its limit."""
        self._last += seconds

    def start(self) -> None:
        """Send the program.

        Raises:
            TypeError, ValueError: an input cannot cross.
            PipeClosed: the worker ended before it had read the program: nothing of it ran.
        """
        job = self._job
        message = {
            "op": "RUN",
            "source": job.source,
            "tools": list(job.tools),
            "kinds": [_kind(cls, attributes) for cls, attributes in job.types],
            "inputs": {name: self._codec.encode(value) for name, value in job.inputs.items()},
            "again": job.again,
        }
        deadline = time.monotonic() + job.limits.startup
        try:
            self._worker.send(message, deadline)
            if self._worker.receive(deadline).get("op") != "STARTED":
                raise PipeClosed("it answered something else")
        except (DeadlinePassed, ProtocolError) as error:
            raise PipeClosed(str(error)) from None

    def run(self) -> Outcome:
        """Serve the program to its end, whatever the worker does."""
        try:
            while True:
                message = self._receive()
                self._take_output(message)
                end = self._serve(message)
                if end is not None:
                    return end
        except ProtocolError as error:
            return self._killed("protocol", f"the worker broke the protocol: {error}")
        except DeadlinePassed:
            if time.monotonic() >= self._last:
                return self._killed("time", f"the run took more than {self._job.limits.time:g} seconds")
            seconds = self._job.limits.cpu + self._job.limits.grace
            return self._killed("silence", f"the program gave no sign of life for {seconds:g} seconds")
        except PipeClosed:
            return self._crashed(self._worker.ended(_END_PATIENCE))

    def _receive(self) -> dict[str, Any]:
        while True:
            try:
                return self._worker.receive(self._deadline())
            except DeadlinePassed:
                if time.monotonic() >= self._last or not self._worker.is_starved():
                    raise

    def _deadline(self) -> float:
        limits = self._job.limits
        return min(time.monotonic() + limits.cpu + limits.grace, self._last)

    def _serve(self, message: dict[str, Any]) -> Outcome | None:
        match message.get("op"):
            case "CALL":
                return self._on_call(message)
            case "DONE":
                return self._outcome("ok", value=self._codec.decode(message.get("v")))
            case "ERROR":
                return self._on_error(message)
            case "LIMIT":
                limit, line = _text(message.get("limit")), _number(message.get("l"))
                return self._outcome("killed", limit=limit, error=_text(message.get("message")), line=line)
            case "REJECTED":
                found = _diagnostics(message.get("diagnostics"))
                return self._outcome("rejected", diagnostics=found, error=str(found[0]), line=found[0].line)
        raise ProtocolError("an unknown message")

    # --- calls ---

    def _on_call(self, message: dict[str, Any]) -> Outcome | None:
        limits = self._job.limits
        name, positional, keywords = message.get("f"), message.get("a"), message.get("k")
        if message.get("i") != self._calls + 1 or type(message.get("i")) is not int:
            raise ProtocolError("a call out of order")
        if type(name) is not str or name not in self._job.tools:
            raise ProtocolError("a call of a tool that was not granted")
        if type(positional) is not list or type(keywords) is not dict:
            raise ProtocolError("a call without arguments")
        self._line = _number(message.get("l"))
        if self._calls >= limits.calls:
            return self._killed("calls", f"the program made more than {limits.calls} tool calls")
        # Judged as they came: a marked object would be decoded to something else than a dict of names.
        if len(keywords) > MAX_KEYWORDS or not all(key.isidentifier() and key[0] != "_" for key in keywords):
            raise ProtocolError("a call with impossible keywords")
        args, kwargs = self._codec.decode([positional, keywords])
        self._calls += 1
        token = _current.set(self)
        try:
            result = self._job.call(self._job.tools[name], args, kwargs)
            reply = {"op": "RESULT", "v": self._encode_result(name, result)}
        except StopProgram as error:
            return self._outcome(
                "error", error=str(error), error_type=type(error).__name__, line=self._line, cause=error
            )
        except TooLarge as error:
            return self._killed(error.limit, str(error))
        except Exception as error:
            self._failures[self._calls] = error
            reply = {"op": "TOOL_ERROR", "message": str(error)[:MAX_TEXT]}
        finally:
            _current.reset(token)
        if time.monotonic() >= self._last:
            raise DeadlinePassed
        try:
            self._worker.send(reply, self._deadline())
        except TooLarge as error:
            return self._killed(error.limit, f"{name}() returned too much: {error}")
        return None

    def _encode_result(self, name: str, result: Any) -> Any:
        try:
            return self._codec.encode(result)
        except CannotCross as error:
            raise TypeError(f"{name}() returned what a program cannot hold: {error}") from None

    # --- ends ---

    def _on_error(self, message: dict[str, Any]) -> Outcome:
        line = _number(message.get("l"))
        number = message.get("i")
        cause = self._failures.get(number) if type(number) is int else None
        if cause is not None:
            return self._outcome(
                "error", error=str(cause), error_type=type(cause).__name__, line=line, cause=cause
            )
        error, kind = _text(message.get("message")), _text(message.get("type"))
        return self._outcome("error", error=error, error_type=kind, line=line)

    def _killed(self, limit: str, why: str) -> Outcome:
        return self._outcome("killed", limit=limit, error=why, line=self._line)

    def _crashed(self, code: int) -> Outcome:
        if code == -signal.SIGSYS:
            return self._killed("system call", "the program tried a forbidden system call")
        if code == -getattr(signal, "SIGXCPU", 0):
            return self._killed(
                "cpu", f"the program used its {self._job.limits.cpu:g} seconds of processor time"
            )
        names = {number.value: number.name for number in signal.Signals}  # real-time signals have none
        how = names.get(-code, f"signal {-code}") if code < 0 else f"exit code {code}"
        return self._killed("crash", f"the worker crashed ({how})")

    def _outcome(self, status: Any, **details: Any) -> Outcome:
        return Outcome(
            status,
            stdout="".join(self._output),
            calls=self._calls,
            seconds=time.monotonic() - self._job.started,
            level=self._worker.level,
            truncated=self._truncated,
            **details,
        )

    def _take_output(self, message: dict[str, Any]) -> None:
        if "out" not in message and "truncated" not in message:
            return
        text = message.get("out", "")
        if type(text) is not str:
            raise ProtocolError("output that is no text")
        self._truncated |= message.get("truncated") is True or len(text) > self._room
        text = text[: self._room]
        self._room -= len(text)
        self._output.append(text)


def _kind(cls: type, attributes: Sequence[str]) -> list[Any]:
    """A class as the worker is told of it: its name, what is read, and the tool of each method."""
    methods = {name: name.tool for name in attributes if isinstance(name, Method)}
    return [cls.__name__, [name for name in attributes if name not in methods], methods]


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ProtocolError("a text that is none")
    return readable(value[:MAX_TEXT])


def _number(value: Any) -> int | None:
    if value is not None and (type(value) is not int or not 0 <= value < 1 << 31):
        raise ProtocolError("a line that is none")
    return value


def _diagnostics(wire: Any) -> tuple[Diagnostic, ...]:
    if type(wire) is not list or not 1 <= len(wire) <= 20:
        raise ProtocolError("diagnostics that are none")
    found = []
    for item in wire:
        if type(item) is not dict:
            raise ProtocolError("a diagnostic that is none")
        hint = item.get("suggestion")
        line, column = _number(item.get("line")), _number(item.get("column"))
        found.append(
            Diagnostic(
                _text(item.get("code")),
                line or 1,
                column or 0,
                _text(item.get("message")),
                None if hint is None else _text(hint),
                name=_text(item.get("name")),
            )
        )
    return tuple(found)
