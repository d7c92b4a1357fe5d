"""The only place where tools are called: validate, look up, batch, time, record.

Programs of many runs share one host. Each run has its own `Session`, with its budget and its record of calls.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from visprog.sandbox import StopProgram, current_line

from .batcher import Batcher, Traffic
from .cache import MISSING, Cache, fingerprint, holds_picture
from .config import Config, ToolConfig
from .errors import BudgetExceeded, ConfigError, NotRecorded, ToolError, VisprogError
from .registry import Registry, Tool
from .sees import NOT_SAID, Sees
from .types import accepts, describe, render

if TYPE_CHECKING:
    from .recording import Recording


@dataclass(frozen=True)
class Call:
    """One call of a tool by a program.

    Attributes:
        tool: its name.
        arguments: by name, defaults included; as given where they could not be bound.
        result: what it returned; None where it failed.
        error: why it failed, in one sentence; empty where it did not.
        line: the line of the program that made the call.
        seconds: that it took.
        cached: the result was known from an equal call before.
        backend: that did the work; empty for a plain function.
    """

    tool: str
    arguments: Mapping[str, Any]
    result: Any = None
    error: str = ""
    line: int | None = None
    seconds: float = 0.0
    cached: bool = False
    backend: str = ""


class RunEnded(StopProgram):
    """Ends the run that a tool was called in. The reason is in `reason`."""

    def __init__(self, reason: VisprogError) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Host:
    """Calls tools, with the backends that the configuration chooses.

    Args:
        recording: where results are written down, or replayed from.

    Raises:
        ConfigError: the configuration names a tool or a backend that does not exist.
    """

    def __init__(
        self, registry: Registry, config: Config | None = None, recording: Recording | None = None
    ) -> None:
        self.registry = registry
        self.config = config or Config()
        self.recording = recording
        self.cache = Cache(self.config.cache)
        self.traffic = Traffic()
        self._batchers: dict[str, Batcher] = {}
        self._lock = threading.Lock()
        for name, chosen in self.config.tools.items():
            _check_choice(registry, name, chosen)

    def backend_of(self, tool: Tool) -> str:
        """The name of the backend in force; empty for a plain function."""
        chosen = self.config.tools.get(tool.name, ToolConfig()).backend
        return (chosen or tool.default_backend) if tool.backends else ""

    @cached_property
    def in_force(self) -> Registry:
        """The registry for planners and the check: each tool says what its backend in force can see."""
        return Registry(
            replace(tool, sees=self._sees(tool)) if tool.backends else tool for tool in self.registry.values()
        )

    def _sees(self, tool: Tool) -> Sees:
        chosen = self.config.tools.get(tool.name, ToolConfig())
        try:
            sees = getattr(tool.load(chosen.backend, chosen.key), "sees", NOT_SAID)
        except Exception:  # a backend that cannot be made says why when it is called, as it always did
            return NOT_SAID
        return sees if isinstance(sees, Sees) else NOT_SAID

    def session(self) -> Session:
        """A fresh record and budget, for one run of a program."""
        return Session(self)

    def batcher(self, tool: Tool) -> Batcher:
        """What calls the backend of a tool, which is loaded at the first call.

        Raises:
            ConfigError: its options are wrong.
        """
        with self._lock:
            if tool.name not in self._batchers:
                chosen = self.config.tools.get(tool.name, ToolConfig())
                try:
                    backend = tool.load(chosen.backend, chosen.key)
                except TypeError as error:
                    name = self.backend_of(tool)
                    raise ConfigError(
                        f"[tools.{tool.name}]: options of the backend '{name}': {error}"
                    ) from None
                # A plain function gains nothing from company: its callers get their results one by one.
                largest = Batcher.LARGEST if tool.backends else 1
                self._batchers[tool.name] = Batcher(backend, self.traffic, largest)
            return self._batchers[tool.name]

    def batches(self) -> dict[str, dict[int, int]]:
        """Of each model-backed tool that was called: how many batches there were of each size."""
        with self._lock:
            found = {n: b.sizes for n, b in self._batchers.items() if self.registry[n].backends}
        return {name: dict(sorted(sizes.items())) for name, sizes in sorted(found.items())}

    def key(self, tool: Tool, arguments: Mapping[str, Any]) -> tuple[Any, ...]:
        """What a result depends on: tool, backend, options, model file, and the arguments' content."""
        chosen = self.config.tools.get(tool.name, ToolConfig())
        model = chosen.options.get("model")
        stamp: tuple[Any, ...] = ()
        if isinstance(model, str) and Path(model).is_file():
            status = Path(model).stat()
            stamp = (status.st_size, status.st_mtime_ns)
        return (tool.name, self.backend_of(tool), chosen.key, stamp, fingerprint(dict(arguments)))


@dataclass
class Session:
    """One run: its calls so far, and what is left of its budget.

    As a context manager it tells the host that a program runs: one that may soon call a tool, for whose call
    a batch may wait a little.
    """

    host: Host
    calls: list[Call] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    _about_pictures: list[Any] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __enter__(self) -> Session:
        self.host.traffic.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.host.traffic.end()

    def forget(self) -> None:
        """Drop from the cache what was found in this run's pictures, which will not be asked about again."""
        self.host.cache.drop(self._about_pictures)

    def tools(self) -> dict[str, Callable[..., Any]]:
        """The callables that the sandbox gives to the program."""
        return {name: self._caller(tool) for name, tool in self.host.registry.called.items()}

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
        start = time.perf_counter()
        arguments: Mapping[str, Any] = {**{str(i): a for i, a in enumerate(args)}, **kwargs}
        result, error, cached = None, "", False
        try:
            arguments = tool.bind(*args, **kwargs)
            key = self.host.key(tool, arguments)
            result = self.host.cache.get(key)
            cached = result is not MISSING
            if not cached:
                result = self._answer(tool, dict(arguments))
                if not accepts(tool.returns, result):
                    raise ToolError(f"{tool.name} must return {render(tool.returns)}, not {describe(result)}")
                self.host.cache.put(key, result)
                if holds_picture(list(arguments.values())):
                    self._about_pictures.append(key)
            return result
        except (ConfigError, NotRecorded) as failure:  # nothing that a program could do better
            result, error = None, str(failure)
            raise RunEnded(failure) from None
        except VisprogError as failure:
            result, error = None, str(failure)
            raise
        except Exception as failure:  # a tool's own mistake: one sentence, and the program may go on
            result, error = None, f"{tool.name} failed: {type(failure).__name__}: {failure}"
            raise ToolError(error) from failure
        finally:
            call = Call(
                tool=tool.name,
                arguments=arguments,
                result=None if error else result,
                error=error,
                line=current_line(),
                seconds=time.perf_counter() - start,
                cached=cached,
                backend=self.host.backend_of(tool),
            )
            with self._lock:
                self.calls.append(call)

    def _answer(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        recording = self.host.recording
        if recording is None:
            return self.host.batcher(tool)(arguments)
        chosen = self.host.config.tools.get(tool.name, ToolConfig())
        return recording.tool(
            tool.name,
            self.host.backend_of(tool),
            chosen.options,
            arguments,
            lambda: self.host.batcher(tool)(arguments),
        )

    def _spend(self, tool: Tool) -> None:
        config = self.host.config
        if len(self.calls) >= config.calls:
            raise RunEnded(
                BudgetExceeded(f"the program made more than {config.calls} tool calls; raise 'calls'")
            )
        if time.monotonic() - self.started > config.seconds:
            raise RunEnded(
                BudgetExceeded(
                    f"the program took more than {config.seconds:g} s before {tool.name}; raise 'seconds'"
                )
            )


def _check_choice(registry: Registry, name: str, chosen: ToolConfig) -> None:
    if name not in registry:
        close = registry.nearest(name)
        raise ConfigError(
            f"[tools.{name}]: there is no such tool" + (f"; did you mean '{close}'?" if close else "")
        )
    tool = registry[name]
    if not tool.backends and (chosen.backend or chosen.options):
        raise ConfigError(f"[tools.{name}]: {name} is a plain function and has no backends")
    if chosen.backend and chosen.backend not in tool.backends:
        raise ConfigError(
            f"[tools.{name}]: there is no backend '{chosen.backend}'; choose {', '.join(tool.backends)}"
        )
