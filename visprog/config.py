"""Settings: the planner, the backends and the budget of a run.

A setting comes, in this order, from: an argument in Python or on the command line; an environment variable; a
settings file; the default. The file is the one that `--config` or VISPROG_CONFIG names, otherwise `visprog.toml` in the
working folder, otherwise `~/.config/visprog/visprog.toml`. Files are not merged: the first that exists is read.

The file in the working folder may come from somebody else: unless it is named, or trusted once with `visprog trust`,
it sets plain data only: no code, no models, no addresses.

    planner = "openai:MODEL"            # VISPROG_PLANNER
    require = "kernel"                  # VISPROG_REQUIRE
    extra_tools = ["my_tools"]          # VISPROG_EXTRA_TOOLS, separated by commas
    without_tools = ["find_circles"]    # tools that programs may not call
    max_pixels = 200_000_000            # larger images are refused
    in_process = false                  # VISPROG_IN_PROCESS=0

    [limits]                            # sizes: docs/limits.md
    new_pixels = 100_000_000

    [planner_options]
    base_url = "http://localhost:8000/v1"

    [tools.detect]                      # VISPROG_TOOL_DETECT=onnx:detector.onnx
    backend = "onnx"
    model = "detector.onnx"             # a path is relative to this file
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from .errors import ConfigError, close_match
from .files.limits import MAX_SETTINGS_BYTES, SizeLimits
from .files.plain_text import decode_text
from .files.reading import printable, read_file
from .trust import config_home, is_trusted

FILE_NAME = "visprog.toml"

MAX_VOTES = 100
"""Maximum number of programs that are sampled per question."""

MAX_TURNS = 50
"""Maximum number of replies of a chat model per question."""

_PLAIN = (
    "tools",
    "without_tools",
    "repairs",
    "votes",
    "fallback",
    "calls",
    "seconds",
    "require",
    "cache",
    "limits",
)
"""Keys that a file found in the working folder may set; limits of size only to less than their defaults."""

_OFFLINE = (
    "none", "basic", "bundled", "embedded", "opencv", "onnx", "best", "haar", "yunet", "grabcut", "rapidocr",
)  # fmt: skip
"""Backends that a file found in the working folder may choose: they fetch nothing, and send nothing anywhere."""

_PATHS = ("model", "labels")
_LISTS = {
    "extra_tools": 'names such as "my_tools" or "my_tools:tools"',
    "without_tools": 'names such as "find_circles"',
}


@dataclass(frozen=True)
class ToolConfig:
    """The backend of one tool.

    Attributes:
        backend: its name; empty for the default backend.
        options: of its constructor.
        process: name of the process that it works in; backends of one name share it. "host" is that of the host. Empty
            for the one that the backend chooses.
    """

    backend: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    process: str = ""

    @classmethod
    def short(cls, text: str) -> ToolConfig:
        """From "BACKEND" or "BACKEND:MODEL"."""
        backend, _, model = text.partition(":")
        return cls(backend, {"model": model} if model else {})

    @property
    def key(self) -> tuple[tuple[str, Any], ...]:
        return tuple(sorted((k, tuple(v) if isinstance(v, list) else v) for k, v in self.options.items()))


@dataclass(frozen=True)
class Config:
    """Settings of an `Agent`.

    Attributes:
        planner: Planner that writes programs; see `visprog.planner.factory.FORMS`.
        planner_options: Arguments of the planner's constructor, such as `base_url` or `temperature`.
        tools: Backend per tool, for tools that do not use their default.
        extra_tools: Modules of additional tools, as "module" or "module:attribute".
        without_tools: Names of tools that programs may not call.
        repairs: Number of times that a program may be sent back to its planner.
        votes: Number of programs to sample; if it is above 1, their answers are put to a vote.
        turns: Maximum number of replies of a chat model per question: between them it sees what its programs found.
            With 1 it writes one program, without seeing the images.
        tokens: Maximum number of tokens that a chat model reads and writes in the turns of one question.
        tool_calls: Whether a chat model that takes turns calls tools one by one instead of writing programs.
        fallback: Whether to ask the `vqa` tool if no program answers; the status is then `fallback`.
        calls: Maximum number of tool calls per program.
        seconds: Maximum time per program, tools included.
        require: "kernel" refuses to run if the operating system does not confine programs; "auto" warns.
        cache: Megabytes of tool results kept in memory.
        in_process: Whether tools work in the process of the host, where nothing can end them: for debugging.
        process_memory: Megabytes of memory that each tool process may take; 0 for a share of this machine's.
        allow_url: Whether images may be downloaded from http and https addresses.
        max_pixels: Maximum width times height of an image; larger images are refused.
        limits: Further limits of size, the table `[limits]`.
    """

    planner: str = "embedded"
    planner_options: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, ToolConfig] = field(default_factory=dict)
    extra_tools: tuple[str, ...] = ()
    without_tools: tuple[str, ...] = ()
    repairs: int = 2
    votes: int = 1
    turns: int = 1
    tokens: int = 200_000
    tool_calls: bool = False
    fallback: bool = False
    calls: int = 200
    seconds: float = 120.0
    require: Literal["auto", "kernel"] = "auto"
    cache: int = 256
    in_process: bool = False
    process_memory: int = 0
    allow_url: bool = False
    max_pixels: int = 100_000_000
    limits: SizeLimits = field(default_factory=SizeLimits)

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> Config:
        """The settings in force: environment over file over defaults.

        Args:
            path: Path of the file; by default the one that VISPROG_CONFIG names, or the first found (see above).

        Raises:
            ConfigError: The file is missing or broken, or holds an unknown key or a wrong value.
        """
        return cls.load_with_origins(path)[0]

    @classmethod
    def load_with_origins(cls, path: str | os.PathLike[str] | None = None) -> tuple[Config, dict[str, str]]:
        """The settings in force, and where each comes from that is not a default. Raises `ConfigError` as `load` does.

        Returns:
            The settings; and by dotted key, such as "tools.detect.model", the path of the file or the name of the
            environment variable.
        """
        chosen = path or os.environ.get("VISPROG_CONFIG")
        file = Path(chosen) if chosen else next((f for f in default_files() if f.is_file()), None)
        config, origins = cls(), dict[str, str]()
        if file is not None:
            config, raw = cls._parsed(file, _content(file)) if chosen else cls._found(file)
            origins = dict.fromkeys(_dotted(raw), str(file.absolute()))
        return config._with_environment(origins), origins

    @classmethod
    def read(cls, path: Path) -> Config:
        """Read one file that the user names, without the environment. Raises `ConfigError` as `load` does."""
        return cls._parsed(path, _content(path))[0]

    @classmethod
    def _found(cls, path: Path) -> tuple[Config, dict[str, Any]]:
        """Read a file that was found, not named. That of the working folder must be plain data, or trusted."""
        data = _content(path)
        config, raw = cls._parsed(path, data)
        if path == default_files()[0] and not is_trusted(path, data):
            risky = _risky(raw)
            if risky:
                raise ConfigError(
                    f"{path}, found in the working folder, sets {', '.join(risky)}, which can run code, fetch models, "
                    "send data elsewhere or lift a limit: read it, then trust it with 'visprog trust', or name it "
                    f"with --config {path}"
                )
        return config, raw

    @classmethod
    def _parsed(cls, path: Path, data: bytes) -> tuple[Config, dict[str, Any]]:
        """The settings in a file, and the file as plain data."""
        try:
            raw = tomllib.loads(decode_text(data))
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{printable(path)} is not valid TOML: {error}") from None
        except RecursionError:
            raise ConfigError(
                f"{printable(path)} is not TOML that can be read: it is nested too deeply"
            ) from None
        except ValueError as error:
            raise ConfigError(f"{printable(path)} {error}") from None
        try:
            return cls.of(raw, path.parent), raw
        except ConfigError as error:
            raise ConfigError(f"{printable(path)}: {error}") from None

    @classmethod
    def of(cls, raw: Mapping[str, Any], folder: Path | None = None) -> Config:
        """Make settings from plain data. Paths of models are relative to `folder`, if they exist there.

        Raises:
            ConfigError: An unknown key or a wrong value; the message names it.
        """
        known = {f.name: f for f in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in raw.items():
            if key not in known:
                close = close_match(key, known)
                raise ConfigError(f"unknown key '{key}'" + (f"; did you mean '{close}'?" if close else ""))
            values[key] = value
        values["tools"] = {
            name: _tool(name, table, folder) for name, table in _table(values, "tools").items()
        }
        values["planner_options"] = _table(values, "planner_options")
        values["limits"] = SizeLimits.of(values.get("limits", {}))
        for name, what in _LISTS.items():
            given = values.get(name, ())
            if isinstance(given, str) or not isinstance(given, Sequence):
                raise ConfigError(f"'{name}' must be a list of {what}")
            values[name] = tuple(given)
        config = cls(**values)
        config._check()
        return config

    def _check(self) -> None:
        for name, type_ in (
            ("planner", str),
            ("tool_calls", bool),
            ("fallback", bool),
            ("in_process", bool),
            ("allow_url", bool),
        ):
            if not isinstance(getattr(self, name), type_):
                raise ConfigError(f"'{name}' must be a {type_.__name__}, not {getattr(self, name)!r}")
        for name, least in (
            ("repairs", 0),
            ("votes", 1),
            ("turns", 1),
            ("tokens", 1),
            ("calls", 1),
            ("cache", 0),
            ("process_memory", 0),
            ("max_pixels", 1),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"'{name}' must be a whole number of at least {least}, not {value!r}")
        if self.votes > MAX_VOTES:
            raise ConfigError(f"'votes' must be {MAX_VOTES} at most, not {self.votes}")
        if self.turns > MAX_TURNS:
            raise ConfigError(f"'turns' must be {MAX_TURNS} at most, not {self.turns}")
        seconds: Any = self.seconds
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not number or not 0.001 <= seconds < math.inf:
            raise ConfigError(f"'seconds' must be a number of at least 0.001, not {seconds!r}")
        if self.require not in ("auto", "kernel"):
            raise ConfigError(f"'require' must be 'auto' or 'kernel', not {self.require!r}")
        for name, what in _LISTS.items():
            if not all(isinstance(t, str) for t in getattr(self, name)):
                raise ConfigError(f"'{name}' must be a list of {what}")

    def _with_environment(self, origins: dict[str, str]) -> Config:
        """A copy with what environment variables set, which are added to the origins."""
        found: dict[str, Any] = {}
        for name in ("planner", "require"):
            if value := os.environ.get(f"VISPROG_{name.upper()}"):
                found[name] = value
        if value := os.environ.get("VISPROG_IN_PROCESS"):
            if value not in ("0", "1"):
                raise ConfigError(f"VISPROG_IN_PROCESS must be 0 or 1, not {value!r:.80}")
            found["in_process"] = value == "1"
        if value := os.environ.get("VISPROG_EXTRA_TOOLS"):
            found["extra_tools"] = tuple(v.strip() for v in value.split(",") if v.strip())
        origins |= {name: f"VISPROG_{name.upper()}" for name in found}
        config = replace(self, **found)
        for key, value in os.environ.items():
            if key.startswith("VISPROG_TOOL_"):
                name = key.removeprefix("VISPROG_TOOL_").lower()
                try:
                    config = config.with_backend(f"{name}={value}")
                except ConfigError as error:
                    raise ConfigError(f"{key}: {error}") from None
                for known in [k for k in origins if k.startswith(f"tools.{name}.")]:
                    del origins[known]
                origins |= {f"tools.{name}.{k}": key for k in ("backend", *config.tools[name].options)}
        config._check()
        return config

    def changed(self, settings: Mapping[str, Any], *, of: str) -> Config:
        """A copy with some settings changed.

        Args:
            settings: New values by name.
            of: Name of the class or function that got them as keyword arguments, for messages.

        Raises:
            TypeError: There is no such setting.
            ConfigError: A value is wrong.
        """
        if not settings:
            return self
        known = [f.name for f in fields(self)]
        for name in settings:
            if name not in known:
                raise TypeError(f"{of} has no argument '{name}'{_hint(name, known)}")
        return replace(self, **{k: getattr(Config.of({k: v}, Path.cwd()), k) for k, v in settings.items()})

    def with_backend(self, text: str) -> Config:
        """A copy with the backend of one tool changed, written `TOOL=BACKEND` or `TOOL=BACKEND:MODEL`.

        Raises:
            ConfigError: The text has another form.
        """
        name, equals, rest = text.partition("=")
        if not equals or not name or not rest or rest.startswith(":"):
            raise ConfigError(f"a backend is chosen as TOOL=BACKEND or TOOL=BACKEND:MODEL, not '{text}'")
        return replace(self, tools={**self.tools, name: ToolConfig.short(rest)})


def default_files() -> tuple[Path, ...]:
    """Paths of the settings files that are tried, in order."""
    return Path(FILE_NAME), config_home() / FILE_NAME


def _hint(name: str, known: Sequence[str]) -> str:
    """Suggestion for an argument that does not exist."""
    if name in ("image", "images"):
        return "; images follow the question without a name, one after another or in a list"
    close = close_match(name, [*known, "backends", "registry", "record", "replay", "returns"])
    return f"; did you mean '{close}'?" if close else ""


def _content(path: Path) -> bytes:
    try:
        return read_file(path, MAX_SETTINGS_BYTES)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read the configuration {printable(path)}: {why}") from None


def _dotted(raw: Mapping[str, Any]) -> Iterator[str]:
    """The keys of a file of settings: "calls", "tools.detect.model"."""
    for key, value in raw.items():
        if key == "tools":
            for name, table in value.items():
                yield from (
                    f"tools.{name}.{each}" for each in (table if isinstance(table, Mapping) else ["backend"])
                )
        elif isinstance(value, Mapping):
            yield from (f"{key}.{each}" for each in value)
        else:
            yield key


def _risky(raw: Mapping[str, Any]) -> list[str]:
    """The keys of a file that set more than plain data, as they are written."""
    found = [
        f"'{key}'"
        for key, value in raw.items()
        if key not in _PLAIN and (key, value) != ("planner", "embedded")
    ]
    lifted = asdict(SizeLimits())
    found += [f"'limits.{name}'" for name, value in raw.get("limits", {}).items() if value > lifted[name]]
    for name, table in raw.get("tools", {}).items():
        settings = table if isinstance(table, Mapping) else {"backend": table}
        found += [
            f"'tools.{name}.{key}'"
            for key, value in settings.items()
            if (value not in _OFFLINE if key == "backend" else not isinstance(value, int | float))
        ]
    return found


def _table(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = values.get(name, {})
    if not isinstance(table, Mapping):
        raise ConfigError(f"'{name}' must be a table, [{name}…], not {table!r}")
    return dict(table)


def _tool(name: str, table: Any, folder: Path | None) -> ToolConfig:
    if isinstance(table, ToolConfig):
        return table
    if isinstance(table, str):
        return ToolConfig.short(table)
    if not isinstance(table, Mapping):
        raise ConfigError(f'[tools.{name}] must be a table with a backend, or "BACKEND:MODEL", not {table!r}')
    options = dict(table)
    backend = options.pop("backend", "")
    process = options.pop("process", "")
    for key, text in (("backend", backend), ("process", process)):
        if not isinstance(text, str):
            raise ConfigError(f"[tools.{name}]: '{key}' must be a name, not {text!r:.80}")
    for key, value in options.items():
        if not isinstance(value, str | int | float | list):
            raise ConfigError(f"[tools.{name}]: '{key}' must be a text, a number or a list, not {value!r}")
    for key in _PATHS:
        value = options.get(key)
        if folder is not None and isinstance(value, str) and (folder / value).exists():
            options[key] = str(folder / value)
    return ToolConfig(backend, options, process)
