"""Which planner and which backends are in force, and within what budget.

A setting comes, in this order, from: an argument in Python or on the command line; an environment variable;
the file named by `--config` or VISPROG_CONFIG, else `visprog.toml` in the working folder, else the user's
`~/.config/visprog/visprog.toml`; the default. Files are not merged: the first that exists is read.

    planner = "openai:MODEL"            # VISPROG_PLANNER
    require = "kernel"                  # VISPROG_REQUIRE
    extra_tools = ["my_tools"]          # VISPROG_EXTRA_TOOLS, separated by commas
    without_tools = ["find_circles"]    # that programs may not call

    [planner_options]
    base_url = "http://localhost:8000/v1"

    [tools.detect]                      # VISPROG_TOOL_DETECT=onnx:detector.onnx
    backend = "onnx"
    model = "detector.onnx"             # a path is relative to this file
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from .errors import ConfigError

FILE_NAME = "visprog.toml"
_PATHS = ("model", "labels")
_LISTS = {
    "extra_tools": 'names such as "my_tools" or "my_tools:tools"',
    "without_tools": 'names such as "find_circles"',
}


@dataclass(frozen=True)
class ToolConfig:
    """The backend of one tool: its name, empty for the default one, and options for its constructor."""

    backend: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[tuple[str, Any], ...]:
        return tuple(sorted((k, tuple(v) if isinstance(v, list) else v) for k, v in self.options.items()))


@dataclass(frozen=True)
class Config:
    """Settings of an `Agent`.

    Attributes:
        planner: who writes programs; see `visprog.planner.names.FORMS`.
        planner_options: for the planner's constructor, such as `base_url` or `temperature`.
        tools: backend of each tool that should not use its default.
        extra_tools: "module" or "module:attribute" of further tools.
        without_tools: names of tools that programs may not call.
        repairs: how many times a program may be sent back to its planner.
        votes: how many programs to sample; above 1 their answers are put to a vote.
        fallback: where no program answers, ask the `vqa` tool plainly; the status is then `fallback`.
        calls: tool calls that one program may make.
        seconds: time that one program may take, tools included.
        require: "kernel" refuses to run where the operating system does not confine programs; "auto" warns.
        cache: megabytes of tool results kept in memory.
        allow_url: read pictures from http(s) addresses.
    """

    planner: str = "embedded"
    planner_options: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, ToolConfig] = field(default_factory=dict)
    extra_tools: tuple[str, ...] = ()
    without_tools: tuple[str, ...] = ()
    repairs: int = 2
    votes: int = 1
    fallback: bool = False
    calls: int = 200
    seconds: float = 120.0
    require: Literal["auto", "kernel"] = "auto"
    cache: int = 256
    allow_url: bool = False

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> Config:
        """The settings in force: environment over file over defaults.

        Args:
            path: the file; by default the one that VISPROG_CONFIG names, or the first found (see above).

        Raises:
            ConfigError: the file is missing or broken, or holds an unknown key or a wrong value.
        """
        chosen = path or os.environ.get("VISPROG_CONFIG")
        if chosen:
            config = cls.read(Path(chosen))
        else:
            config = next((cls.read(f) for f in default_files() if f.is_file()), cls())
        return config._with_environment()

    @classmethod
    def read(cls, path: Path) -> Config:
        """One file, without the environment. Raises `ConfigError` as `load` does."""
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read the configuration {path}: {error.strerror or error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not valid TOML: {error}") from None
        try:
            return cls.of(raw, path.parent)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    @classmethod
    def of(cls, raw: Mapping[str, Any], folder: Path | None = None) -> Config:
        """Settings from plain data. Paths of models are taken relative to `folder`, where they lie there.

        Raises:
            ConfigError: an unknown key or a wrong value; the message names it.
        """
        known = {f.name: f for f in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in raw.items():
            if key not in known:
                close = get_close_matches(key, known, 1)
                raise ConfigError(f"unknown key '{key}'" + (f"; did you mean '{close[0]}'?" if close else ""))
            values[key] = value
        values["tools"] = {
            name: _tool(name, table, folder) for name, table in _table(values, "tools").items()
        }
        values["planner_options"] = _table(values, "planner_options")
        for name, what in _LISTS.items():
            given = values.get(name, ())
            if isinstance(given, str) or not isinstance(given, Sequence):
                raise ConfigError(f"'{name}' must be a list of {what}")
            values[name] = tuple(given)
        config = cls(**values)
        config._check()
        return config

    def _check(self) -> None:
        for name, kind in (("planner", str), ("fallback", bool), ("allow_url", bool)):
            if not isinstance(getattr(self, name), kind):
                raise ConfigError(f"'{name}' must be a {kind.__name__}, not {getattr(self, name)!r}")
        for name, least in (("repairs", 0), ("votes", 1), ("calls", 1), ("seconds", 0.001), ("cache", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
                raise ConfigError(f"'{name}' must be a number of at least {least}, not {value!r}")
        if self.require not in ("auto", "kernel"):
            raise ConfigError(f"'require' must be 'auto' or 'kernel', not {self.require!r}")
        for name, what in _LISTS.items():
            if not all(isinstance(t, str) for t in getattr(self, name)):
                raise ConfigError(f"'{name}' must be a list of {what}")

    def _with_environment(self) -> Config:
        found: dict[str, Any] = {}
        for name in ("planner", "require"):
            if value := os.environ.get(f"VISPROG_{name.upper()}"):
                found[name] = value
        if value := os.environ.get("VISPROG_EXTRA_TOOLS"):
            found["extra_tools"] = tuple(v.strip() for v in value.split(",") if v.strip())
        config = replace(self, **found)
        for key, value in os.environ.items():
            if key.startswith("VISPROG_TOOL_"):
                name = key.removeprefix("VISPROG_TOOL_").lower()
                try:
                    config = config.with_backend(f"{name}={value}")
                except ConfigError as error:
                    raise ConfigError(f"{key}: {error}") from None
        config._check()
        return config

    def with_backend(self, text: str) -> Config:
        """These settings with one tool's backend changed, written `TOOL=BACKEND` or `TOOL=BACKEND:MODEL`.

        Raises:
            ConfigError: it is not written so.
        """
        name, equals, rest = text.partition("=")
        backend, _, model = rest.partition(":")
        if not equals or not name or not backend:
            raise ConfigError(f"a backend is chosen as TOOL=BACKEND or TOOL=BACKEND:MODEL, not '{text}'")
        options = {"model": model} if model else {}
        return replace(self, tools={**self.tools, name: ToolConfig(backend, options)})


def default_files() -> tuple[Path, ...]:
    """Where a configuration is looked for, in order."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path(FILE_NAME), home / "visprog" / FILE_NAME


def _table(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = values.get(name, {})
    if not isinstance(table, Mapping):
        raise ConfigError(f"'{name}' must be a table, [{name}…], not {table!r}")
    return dict(table)


def _tool(name: str, table: Any, folder: Path | None) -> ToolConfig:
    if isinstance(table, ToolConfig):
        return table
    if not isinstance(table, Mapping):
        raise ConfigError(f"[tools.{name}] must be a table with a backend, not {table!r}")
    options = dict(table)
    backend = options.pop("backend", "")
    if not isinstance(backend, str):
        raise ConfigError(f"[tools.{name}]: 'backend' must be a name, not {backend!r}")
    for key, value in options.items():
        if not isinstance(value, str | int | float | list):
            raise ConfigError(f"[tools.{name}]: '{key}' must be a text, a number or a list, not {value!r}")
    for key in _PATHS:
        value = options.get(key)
        if folder is not None and isinstance(value, str) and (folder / value).exists():
            options[key] = str(folder / value)
    return ToolConfig(backend, options)
