"""The only place where tools are called: validate, look up, batch, time, record.

Programs of many runs share one host. Each run of a program is a `Run`, with its budget and its record of calls.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from visprog.sandbox import StopProgram, current_line, extend_time

from ..config import Config, ToolConfig
from ..errors import (
    BudgetExceeded,
    ConfigError,
    MissingExtra,
    NotRecorded,
    ToolError,
    VisprogError,
    close_match,
    readable,
)
from ..registry import (
    BACKENDS,
    BackendLoader,
    Registry,
    Tool,
    backend_options,
    cautions,
    through_host,
)
from ..registry.declaration import batch_through_host
from ..registry.loader import PlainFunction
from ..registry.results import Metered
from ..registry.sees import NOT_SAID, Sees, handed_on
from ..registry.types import Unfit, coerce, render
from ..values.codec import fingerprint
from ..values.depth import Depth
from ..values.elsewhere import decode_videos_with, decode_with
from ..values.video import Video
from .argument_limits import check_arguments
from .batcher import Batcher, OutOfTime, Traffic
from .cache import MISSING, Cache, holds_picture
from .call import Call
from .cancellation import Cancellation, Cancelled, current_cancellation
from .events import CallEnded, CallStarted, Emitter
from .new_pixels import NewPixels
from .processes.decoder import DECODERS
from .processes.pool import NATIVE, PROCESSES, InProcess, ToolProcesses
from .processes.video_decoder import VIDEO_DECODERS
from .summary import summary

if TYPE_CHECKING:
    from ..llm.chat import ChatModel
    from .recording import Recording


log = logging.getLogger(__name__)

PLANNER = "planner"
"""Name of the backends that ask the planner's chat model."""

MOST_WAITING = 10
"""Calls may wait for the work of other runs this number of times the seconds of their run; then its clock goes on."""


class RunEnded(StopProgram):
    """Ends the run that a tool was called in. The reason is in `reason`."""

    def __init__(self, reason: VisprogError) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Host:
    """Calls tools, with the backends that the configuration chooses. Many runs share it, from several threads.

    Args:
        recording: Where results are recorded, or replayed from.
        loader: What builds and holds the backends; by default the tool processes of this interpreter, or what works
            in this process if the setting `in_process` says so.

    Attributes:
        discreet: Whether the text of an unexpected error of a tool goes to the log alone, since it may hold paths or
            keys: programs and answers are given its type. For a host that works for others.

    Raises:
        ConfigError: The configuration names a tool or a backend that does not exist.
    """

    def __init__(
        self,
        registry: Registry,
        config: Config | None = None,
        recording: Recording | None = None,
        loader: BackendLoader | None = None,
    ) -> None:
        self.registry = registry
        self.config = _resolved(registry, config or Config())
        self.recording = recording
        memory = self.config.process_memory
        self._own = ToolProcesses(memory << 20) if memory and loader is None else None
        self.loader = loader or (BACKENDS if self.config.in_process else self._own or PROCESSES)
        if not self.config.in_process:
            decode_with(DECODERS)
            decode_videos_with(VIDEO_DECODERS)
        self.discreet = False
        self.cache = Cache(self.config.cache)
        self.traffic = Traffic()
        self._batchers: dict[Tool, Batcher] = {}
        self._lock = threading.Lock()
        for name, chosen in self.config.tools.items():
            _check_choice(registry, name, chosen)

    def close(self) -> None:
        """End the tool processes that are this host's alone."""
        if self._own is not None:
            self._own.pool.close()

    def backend_of(self, tool: Tool) -> str:
        """The name of the backend in force; empty for a plain function."""
        chosen = self.config.tools.get(tool.name, ToolConfig()).backend
        return (chosen or tool.default_backend) if tool.backends else ""

    def process_of(self, tool: Tool) -> str:
        """The name of the process that a tool works in; empty if it had to stay in that of the host, where nothing can
        end it."""
        if tool.pure:
            return "program"
        try:
            backend: object = self.batcher(tool).backend
        except Exception:  # a backend that cannot be made says why when it is called
            return "none"
        return str(getattr(backend, "works_in", "") or getattr(backend, "process", ""))

    @cached_property
    def in_force(self) -> Registry:
        """The registry for planners and the check: each tool says what its backend in force can see."""
        return Registry(
            replace(tool, sees=self._sees(tool)) if tool.backends or tool.phrases else tool
            for tool in self.registry.values()
        )

    def _sees(self, tool: Tool) -> Sees:
        sees = self._backend_sees(tool) if tool.backends else tool.sees
        for parameter, source in tool.phrases.items():
            name, _, of = source.partition(".")
            if name in self.registry:
                optional = next(p.type for p in tool.parameters if p.name == parameter) is not str
                other = self._sees(self.registry[name])
                sees = handed_on(sees, parameter, name, of, other, optional=optional)
        return sees

    def _backend_sees(self, tool: Tool) -> Sees:
        chosen = self.config.tools.get(tool.name, ToolConfig())
        try:
            sees = getattr(tool.load(chosen.backend, chosen.key, self.loader), "sees", NOT_SAID)
        except MissingExtra as error:
            return Sees(nothing=str(error))
        except Exception:  # a backend that cannot be made says why when it is called, as it always did
            return NOT_SAID
        return sees if isinstance(sees, Sees) else NOT_SAID

    def error_text(self, tool: Tool, error: Exception) -> str:
        """An unexpected error of a tool, in words for its caller."""
        kind = type(error).__name__
        if not self.discreet:
            return f"{kind}: {readable(str(error))}"
        log.error("%s failed", tool.name, exc_info=error)
        return f"{kind} (the log of the server has the details)"

    def new_run(self, emit: Emitter | None = None) -> Run:
        """A fresh budget and record of calls, for one run of a program.

        Args:
            emit: Sends events of its calls, if somebody listens.
        """
        return Run(self, emit)

    def batcher(self, tool: Tool) -> Batcher:
        """The batcher of a tool, whose backend is loaded at the first call.

        Raises:
            ConfigError: its options are wrong.
        """
        with self._lock:
            if tool not in self._batchers:
                chosen = self.config.tools.get(tool.name, ToolConfig())
                try:
                    backend = tool.load(chosen.backend, chosen.key, self.loader)
                    if chosen.process and isinstance(backend, InProcess):
                        backend = backend.moved(chosen.process)
                except TypeError as error:
                    name = self.backend_of(tool)
                    raise ConfigError(
                        f"[tools.{tool.name}]: options of the backend '{name}': {error}"
                    ) from None
                # A plain function gains nothing from a batch.
                max_batch = Batcher.MAX_BATCH if tool.backends else 1
                self._batchers[tool] = Batcher(
                    backend, self.traffic, max_batch, getattr(backend, "at_once", 1)
                )
            return self._batchers[tool]

    def start(self, likely: Container[str] = ()) -> None:
        """Start in the background the process of plain functions, which imports them.

        Args:
            likely: Tools that may be called. Those that work in that process are loaded too.
        """
        self.loader.start()
        called = self.registry.called
        for name in sorted(called, key=lambda name: bool(called[name].backends)):
            if (name in likely or not called[name].backends) and self.process_of(called[name]) == NATIVE:
                self.prepare(name)

    def prepare(self, name: str) -> None:
        """Let the process of a tool load in the background what a call of the tool needs: it will probably be called.

        Does nothing for a tool that works in this process. Whatever is wrong, the call says.
        """
        tool = self.registry.get(name)
        if tool is None or tool.pure or self.recording is not None:
            return
        with contextlib.suppress(Exception):
            backend = self.batcher(tool).backend
            if isinstance(backend, InProcess):
                backend.prepare()

    def batches(self) -> dict[str, dict[int, int]]:
        """Number of batches per size, for each model-backed tool that was called."""
        with self._lock:
            found = {tool.name: b.sizes for tool, b in self._batchers.items() if tool.backends}
        return {name: dict(sorted(sizes.items())) for name, sizes in sorted(found.items())}

    def key(self, tool: Tool, arguments: Mapping[str, Any]) -> tuple[Any, ...]:
        """Key of a result in the cache: tool, backend, options, model file, and the arguments' content."""
        chosen = self.config.tools.get(tool.name, ToolConfig())
        model = chosen.options.get("model")
        stamp: tuple[Any, ...] = ()
        if isinstance(model, str) and Path(model).is_file():
            status = Path(model).stat()
            stamp = (status.st_size, status.st_mtime_ns)
        # The tool, not its name: one that takes the place of another may call that with the same arguments.
        return (tool, self.backend_of(tool), chosen.key, stamp, fingerprint(dict(arguments)))


_active: ContextVar[tuple[Tool, ...]] = ContextVar("visprog_active", default=())
"""The tools that work just now in this thread, the outermost first."""


@dataclass
class Run:
    """One run of a program: its calls so far, and what is left of its budget of calls, seconds and new pixels.

    As a context manager it tells the host that a program runs: one that may soon call a tool, for whose call
    a batch may wait a little.

    Attributes:
        started: Time of `time.monotonic` at which it began.
        waited: Seconds that its calls waited for the work of other runs. They do not count.
        frames: Number of frames of videos that its tools have looked at.
        tokens: Number of tokens that its calls exchanged with language models.
        cancellation: Whether somebody still waits for it.
    """

    host: Host
    emit: Emitter | None = None
    calls: list[Call] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    waited: float = 0.0
    frames: int = 0
    tokens: int = 0
    pixels: NewPixels = field(default_factory=NewPixels, repr=False)
    cancellation: Cancellation = field(default_factory=current_cancellation, repr=False)
    _has_video: bool = field(default=False, repr=False)
    _about_images: list[Any] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __enter__(self) -> Run:
        self.host.traffic.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.host.traffic.end()

    @property
    def left(self) -> float:
        """Seconds that are left of its time."""
        return self.host.config.seconds + self.waited - (time.monotonic() - self.started)

    @property
    def patience(self) -> float:
        """Seconds that its calls may still wait for the work of other runs."""
        return MOST_WAITING * self.host.config.seconds - self.waited

    def extend(self, seconds: float) -> None:
        """Give back seconds that a call waited for the work of other runs."""
        with self._lock:
            seconds = min(seconds, self.patience)
            self.waited += seconds
        extend_time(seconds)

    def _allow_for(self, arguments: Mapping[str, Any]) -> None:
        """A run about a video may take as long again as the video lasts; once."""
        for value in arguments.values():
            if isinstance(value, Video) and not self._has_video:
                self._has_video = True
                self.waited += value.source.seconds
                extend_time(value.source.seconds)

    def drop_from_cache(self) -> None:
        """Drop from the cache what was found in this run's images, which will not be asked about again."""
        self.host.cache.drop(self._about_images)

    def tools(self, video: bool = False) -> dict[str, Callable[..., Any]]:
        """The callables that the sandbox gives to a program: about a video, or about images."""
        registry = self.host.registry.for_inputs(video)
        return {name: self._caller(tool) for name, tool in registry.called.items()}

    def _caller(self, tool: Tool) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return self.call(tool, *args, **kwargs)

        return call

    def call(self, tool: Tool, *args: Any, **kwargs: Any) -> Any:
        """Call a tool on behalf of the program.

        Raises:
            ToolError: the arguments are wrong, the tool failed, or its backend cannot see that (`Refused`).
            MissingExtra: the backend is not installed. This and a `ToolError` the program can catch.
            StopProgram: the budget is used up, or a setting is wrong; the program ends.
        """
        self._spend(tool)
        tool = self._in_force(tool)
        start = time.perf_counter()
        arguments: Mapping[str, Any] = {**{str(i): a for i, a in enumerate(args)}, **kwargs}
        result, error, cached, warned = None, "", False, ()
        active = _active.get()
        caller = active[-1].name if active else ""
        number = self._started(tool, args, kwargs, caller) if self.emit is not None else 0
        try:
            arguments = tool.bind(*args, **kwargs)
            check_arguments(tool.name, arguments, self.host.config.limits)
            self._allow_for(arguments)
            key = self.host.key(tool, arguments) if tool.cache else None
            found: Any = MISSING if key is None else self.host.cache.get(key)
            cached = found is not MISSING
            if not cached:
                with self._inside(tool), cautions() as collected:
                    made = tool.work(dict(arguments), lambda given: self._answer(tool, given))
                    result = tool.result(made, arguments)
                found = result, tuple(collected)
            if key is not None and not cached:
                self.host.cache.put(key, found)
                if holds_picture(list(arguments.values())):
                    self._about_images.append(key)
            result, warned = found
            self._count_pixels(arguments, result)
            return result
        except (ConfigError, NotRecorded) as failure:  # nothing that a program could do better
            result, error = None, str(failure)
            raise RunEnded(failure) from None
        except (VisprogError, StopProgram) as failure:
            result, error = None, str(failure)
            raise
        except Exception as failure:  # a tool's own mistake: one sentence, and the program may go on
            result, error = None, f"{tool.name} failed: {self.host.error_text(tool, failure)}"
            raise ToolError(error) from failure
        finally:
            call = Call(
                tool=tool.name,
                # A depth map is large, and the result of an earlier call.
                arguments={k: v for k, v in arguments.items() if not isinstance(v, Depth)},
                result=None if error else result,
                error=readable(error),
                line=current_line(),
                seconds=time.perf_counter() - start,
                cached=cached,
                backend=self.host.backend_of(tool),
                caller=caller,
                cautions=warned,
            )
            with self._lock:
                self.calls.append(call)
            if self.emit is not None:
                self.emit(
                    CallEnded,
                    call=number,
                    tool=call.tool,
                    result="" if call.error else summary(call.result),
                    error=call.error,
                    cached=cached,
                    seconds=call.seconds,
                    backend=call.backend,
                )

    def batch(self, tool: Tool, calls: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Results of many calls that a tool makes of another, one for each frame of a video; none is recorded.

        Returns:
            Results in order; an exception in the place of one that failed.

        Raises:
            StopProgram: The budget of seconds or frames is used up.
        """
        tool = self._in_force(tool)
        most = self.host.config.limits.frames
        with self._lock:
            self.frames += len(calls)
        if self.frames > most:
            raise RunEnded(
                BudgetExceeded(
                    f"the tools looked at more than {most:,} frames; raise 'frames' under [limits]"
                )
            )
        if self.left < 0 or self.cancellation.is_cancelled:
            raise self._out_of_time(f"before {tool.name}")
        batcher, contexts = self.host.batcher(tool), [contextvars.copy_context() for _ in calls]

        def one(call: Mapping[str, Any], context: contextvars.Context) -> Any:
            arguments = tool.bind(**call)
            try:
                value = tool.work(arguments, lambda each: self._paid(context.run(batcher, each, self)))
                return tool.result(value, arguments)
            except OutOfTime:
                raise
            except Exception as error:
                return error

        try:
            with ThreadPoolExecutor(max(1, min(len(calls), Batcher.MAX_BATCH))) as threads:
                return list(threads.map(one, calls, contexts))
        except OutOfTime:
            raise self._out_of_time(f"while {tool.name} worked") from None

    def _started(self, tool: Tool, args: Sequence[Any], kwargs: Mapping[str, Any], caller: str) -> int:
        """Send the event of a call; its number."""
        assert self.emit is not None
        number = self.emit.next_call()
        named = {**dict(zip((p.name for p in tool.parameters), args, strict=False)), **kwargs}
        self.emit(
            CallStarted,
            call=number,
            tool=tool.name,
            arguments={name: summary(value) for name, value in named.items()},
            caller=caller,
            line=current_line(),
        )
        return number

    def _in_force(self, tool: Tool) -> Tool:
        """The tool with the backends of this host: a tool that imports another has it with its default ones."""
        own = self.host.registry.get(tool.name)
        return own if own is not None and own.function == tool.function else tool

    @contextmanager
    def _inside(self, tool: Tool) -> Iterator[None]:
        """While a tool works: what it calls goes through this run."""
        active = _active.get()
        if tool in active:
            raise ToolError(f"{tool.name} calls itself, by way of {active[-1].name}")
        one, other = _active.set((*active, tool)), through_host.set(self.call)
        many = batch_through_host.set(self.batch)
        try:
            yield
        finally:
            _active.reset(one)
            through_host.reset(other)
            batch_through_host.reset(many)

    def _answer(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        recording = self.host.recording
        if recording is None:
            return self._paid(self._work(tool, arguments))
        chosen = self.host.config.tools.get(tool.name, ToolConfig())
        return recording.tool(
            tool.name,
            self.host.backend_of(tool),
            chosen.options,
            arguments,
            lambda: self._paid(self._work(tool, arguments)),
        )

    def _work(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        batcher = self.host.batcher(tool)
        if len(_active.get()) > 1 and isinstance(batcher.backend, PlainFunction):
            # Called by another tool: two that call each other in two threads must not wait for each other.
            (result,) = batcher.backend([arguments])
            if isinstance(result, Exception):
                raise result
            return result
        try:
            return batcher(arguments, self)
        except OutOfTime:
            raise self._out_of_time(f"while {tool.name} worked") from None

    def _paid(self, result: Any) -> Any:
        """A result, of whose tokens the run is charged.

        Raises:
            RunEnded: It has spent more than it may.
        """
        if not isinstance(result, Metered):
            return result
        with self._lock:
            self.tokens += result.tokens
        most = self.host.config.limits.chat_tokens
        if self.tokens > most:
            raise RunEnded(
                BudgetExceeded(
                    f"the tools spent more than {most:,} tokens of language models; raise 'chat_tokens' under [limits]"
                )
            )
        if isinstance(result.value, Exception):
            raise result.value
        return result.value

    def _count_pixels(self, arguments: Mapping[str, Any], result: Any) -> None:
        most = self.host.config.limits.new_pixels
        if self.pixels.count(arguments, result) > most:
            raise RunEnded(
                BudgetExceeded(
                    f"the tools made images of more than {most:,} pixels together; raise 'new_pixels' under [limits]"
                )
            )

    def _spend(self, tool: Tool) -> None:
        config = self.host.config
        if len(self.calls) >= config.calls:
            raise RunEnded(
                BudgetExceeded(f"the program made more than {config.calls} tool calls; raise 'calls'")
            )
        if self.left < 0 or self.cancellation.is_cancelled:
            raise self._out_of_time(f"before {tool.name}")

    def _out_of_time(self, when: str) -> RunEnded:
        if self.cancellation.is_cancelled:
            return RunEnded(Cancelled())
        seconds = self.host.config.seconds
        return RunEnded(BudgetExceeded(f"the program took more than {seconds:g} s {when}; raise 'seconds'"))


def with_chat(registry: Registry, chat: ChatModel) -> Registry:
    """A registry whose tools that ask the planner's chat model have one."""

    def with_it(tool: Tool) -> Tool:
        if PLANNER not in tool.backends:
            return tool
        cls: Any = tool.backend_class(PLANNER)
        return replace(tool, backends={**tool.backends, PLANNER: cls.of_planner(chat)})

    return Registry(map(with_it, registry.values()))


def with_backends(registry: Registry, config: Config, backends: Mapping[str, Any]) -> tuple[Registry, Config]:
    """A registry and settings with the backends that `Agent` is given: names, tables, or classes of the user's.

    Raises:
        ConfigError: one is none of these.
    """
    if not isinstance(backends, Mapping):
        raise ConfigError(
            f'backends must map tools to backends, such as {{"detect": "owlv2"}}, not {backends!r:.80}'
        )
    tools, chosen = dict(registry.items()), dict(config.tools)
    for name, given in backends.items():
        table = dict(given) if isinstance(given, Mapping) else {"backend": given}
        backend = table.get("backend", "")
        if isinstance(backend, str):
            chosen[name] = Config.of({"tools": {name: given}}, Path.cwd()).tools[name]
            continue
        cls = backend if isinstance(backend, type) else type(backend)
        if not callable(backend):
            raise ConfigError(
                f"[tools.{name}]: a backend is a name, a class, or an object with a method __call__(self, calls), "
                f"not {cls.__name__}"
            )
        if name in tools:
            if not tools[name].backends:
                raise ConfigError(f"[tools.{name}]: {name} is a plain function and has no backends")
            made = backend if isinstance(backend, type) else lambda backend=backend: backend
            tools[name] = replace(tools[name], backends={**tools[name].backends, cls.__name__: made})
        table["backend"] = cls.__name__
        chosen[name] = Config.of({"tools": {name: table}}, Path.cwd()).tools[name]
    return Registry(tools.values()), replace(config, tools=chosen)


def _resolved(registry: Registry, config: Config) -> Config:
    """The settings with backends written "MODULE:CLASS" as such, where that was read as "BACKEND:MODEL"."""
    tools = dict(config.tools)
    for name, chosen in config.tools.items():
        known = registry[name].backends if name in registry else {}
        model = chosen.options.get("model")
        if not known or chosen.backend in ("", *known) or ":" in chosen.backend or not isinstance(model, str):
            continue
        cls, _, rest = model.partition(":")
        if cls.isidentifier() and _is_module(chosen.backend):
            others = {k: v for k, v in chosen.options.items() if k != "model"}
            tools[name] = ToolConfig(
                f"{chosen.backend}:{cls}", {**others, **({"model": rest} if rest else {})}
            )
    return replace(config, tools=tools)


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _check_choice(registry: Registry, name: str, chosen: ToolConfig) -> None:
    if name not in registry:
        close = close_match(name, registry)
        raise ConfigError(
            f"[tools.{name}]: there is no such tool" + (f"; did you mean '{close}'?" if close else "")
        )
    tool = registry[name]
    if not tool.backends:
        if (
            replace(chosen, process="") != ToolConfig() and not tool.replaces
        ):  # one that replaces another may call that
            raise ConfigError(f"[tools.{name}]: {name} is a plain function and has no backends")
        return
    if chosen.backend and chosen.backend not in tool.backends and ":" not in chosen.backend:
        missing = "backend" if chosen.options.keys() != {"model"} else "backend, and no module,"
        raise ConfigError(
            f"[tools.{name}]: there is no {missing} '{chosen.backend}'; choose {', '.join(tool.backends)}, or "
            "'module:Class' for one of yours"
        )
    _check_options(tool, chosen)


def _check_options(tool: Tool, chosen: ToolConfig) -> None:
    """Options that the backend's constructor does not take are named before anything runs."""
    where, name_in_force = f"[tools.{tool.name}]", chosen.backend or tool.default_backend
    try:
        options = backend_options(tool, chosen.backend)
    except MissingExtra:  # an error of its calls: the other tools can work
        return
    except ImportError as error:
        if ":" not in chosen.backend:
            return
        raise ConfigError(f"{where}: the backend '{chosen.backend}' cannot be imported: {error}") from None
    except ToolError as error:
        raise ConfigError(f"{where}: {error}") from None
    known = options.known
    for name, value in chosen.options.items():
        if name not in known and options.takes_others:
            continue
        if name not in known:
            close = close_match(name, known)
            hint = f"did you mean '{close}'?" if close else f"it has {', '.join(known) or 'none'}"
            raise ConfigError(f"{where}: the backend '{name_in_force}' has no option '{name}'; {hint}")
        try:
            coerce(known[name].type, tuple(value) if isinstance(value, list) else value)
        except Unfit as error:
            raise ConfigError(f"{where}: '{name}' must be {render(known[name].type)}, not {error}") from None
