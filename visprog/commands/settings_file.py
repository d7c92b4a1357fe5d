"""Changes of a settings file by a command: what the user wrote stays as it is, to the letter."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..files.limits import MAX_SETTINGS_BYTES
from ..files.plain_text import decode_text
from ..files.reading import printable, read_file

MARK = "# visprog models setup"
"""Comment on what the command wrote, and may replace; without it, a line is the user's own."""

_TABLE = re.compile(
    r"\n?^\[tools\.(\w+)\][ \t]*" + re.escape(MARK) + r"[ \t]*\r?\n((?:(?:backend|model)[ \t]*=.*\n?)*)",
    re.MULTILINE,
)
_PLANNER = re.compile(r"^planner[ \t]*=.*" + re.escape(MARK) + r"[ \t]*\r?\n", re.MULTILINE)


_ASIDE = re.compile(r"\A(?:[ \t]*(?:#.*)?\r?\n)*")
"""Blank lines and comments."""


def read_settings(path: Path) -> str:
    """The text of a settings file; empty if there is none.

    Raises:
        ConfigError: it cannot be read.
    """
    if not path.exists():
        return ""
    try:
        return decode_text(read_file(path, MAX_SETTINGS_BYTES))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read the configuration {printable(path)}: {why}") from None


def with_models(text: str, tools: Mapping[str, tuple[str, str]], planner: str = "") -> str:
    """Settings with backends and models of tools, in place of those that were written here before.

    Args:
        text: the settings as they are.
        tools: backend and model per tool. A tool that the user has set up is left alone.
        planner: a planner, if the user has chosen none.

    Raises:
        ConfigError: the file is not TOML, or of a form that cannot be added to.
    """
    own = without_models(text)
    settings = _parsed(own)
    chosen = {name: each for name, each in tools.items() if name not in own_tools(text)}
    start = f'planner = "{planner}"  {MARK}\n' if planner and "planner" not in settings else ""
    tables = "".join(
        f'\n[tools.{name}]  {MARK}\nbackend = "{backend}"\nmodel = "{model}"\n'
        for name, (backend, model) in chosen.items()
    )
    end = "" if not own or own.endswith("\n") else "\n"
    made = f"{start}{own}{end}{tables if start or own else tables.lstrip()}"
    wanted = {**settings, **({"planner": planner} if start else {})}
    if chosen:
        wanted["tools"] = {
            **settings.get("tools", {}),
            **{name: {"backend": backend, "model": model} for name, (backend, model) in chosen.items()},
        }
    try:
        fits = _parsed(made) == wanted
    except ConfigError:
        fits = False
    if not fits:
        raise ConfigError(
            f"the settings cannot be added to as they are written: add these lines yourself\n{start}{tables}"
        )
    return made


def without_models(text: str) -> str:
    """Settings without what was written here."""

    def kept(table: re.Match[str]) -> str:
        rest = _ASIDE.sub("", text[table.end() :])
        return table[0] if rest and not rest.startswith("[") else ""  # with further keys it is the user's own

    return _PLANNER.sub("", _TABLE.sub(kept, text))


def earlier_models(text: str) -> tuple[dict[str, tuple[str, str]], str]:
    """Backend and model per tool, and the planner, that were written here; the planner is empty if there is none.

    Raises:
        ConfigError: the file is not TOML.
    """
    settings, own = _parsed(text), _parsed(without_models(text))
    tools = {
        name: (str(table["backend"]), str(table["model"]))
        for name, table in settings.get("tools", {}).items()
        if name not in own.get("tools", {}) and table.keys() == {"backend", "model"}
    }
    return tools, "" if "planner" in own else str(settings.get("planner", ""))


def own_tools(text: str) -> list[str]:
    """The tools that the user has set up.

    Raises:
        ConfigError: the file is not TOML.
    """
    tables = _parsed(without_models(text)).get("tools", {})
    return list(tables) if isinstance(tables, dict) else []


def write_settings(path: Path, text: str) -> None:
    """Put a text in the place of a file at once, with the rights of the old file; a link stays a link.

    Raises:
        ConfigError: it cannot be written.
    """
    place = path.resolve()
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8", newline="")
        if place.exists():
            part.chmod(stat.S_IMODE(place.stat().st_mode))
        part.replace(place)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {printable(path)}: {error.strerror or error}") from None


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the settings are not valid TOML: {error}") from None
