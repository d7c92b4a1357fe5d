"""A recording: what language models wrote and what tools returned, by the content of what they were given."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from visprog import errors
from visprog.errors import ConfigError, MissingExtra, NotRecorded, VisprogError
from visprog.files.journal import Journal, dump, read_lines

from .values import Store, root_images, without_names

FILE_NAME = "recording.jsonl"
VERSION = 2
"""Version of the form in which calls of tools are recorded."""

_NEVER_RECORDED = (ConfigError, MissingExtra, NotRecorded)
"""Faults of the machine or its settings, which a replay elsewhere has not."""

_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "planner": {"name": str, "options": dict | None},
    "chat": {"model": str, "asked": str, "options": dict, "replies": list},
    "plan": {"planner": str, "question": str, "plans": list},
    "tool": {"version": int, "tool": str, "backend": str, "options": dict, "arguments": dict},
}
"""Types of the fields of each kind of entry."""

_OUTCOMES = ("replies", "plans")
"""Fields that an entry with an error does not have."""


class Recording:
    """A folder with `recording.jsonl`, one line for each different call, and the pixels that they gave.

    While it records, a call that it holds already is answered from it: a run that is done again asks only what
    is new. Each call, seeds and options included, is known by a digest of what it was given, so neither the order
    of calls nor the number of programs at once changes anything. Lines hold no times and are put in order when
    the recording is closed: recorded twice, it is the same, and its changes can be reviewed.

    Args:
        path: the folder.
        replay: give back what is there, and nothing else.
        tools: record tools; without it only what planners wrote.

    Raises:
        ConfigError: there is nothing to replay.
        VisprogError: the folder cannot be read or written, or another process is recording into it.
    """

    def __init__(self, path: str | os.PathLike[str], *, replay: bool = False, tools: bool = True) -> None:
        self.path = Path(path).expanduser()
        self.replay = replay
        self.tools = tools
        self.store = Store(self.path / "files")
        self._lock = threading.Lock()
        self._journal: Journal | None = None
        file = self.path / FILE_NAME
        if self.path.is_file():
            raise ConfigError(f"{self.path} is a file; a recording is a folder that holds {FILE_NAME}")
        if replay and not file.is_file():
            raise ConfigError(
                f"there is no recording in {self.path}: make one with record={str(path)!r}, on the command line with "
                "--record"
            )
        if not replay:
            self._journal = Journal(file)
        self._entries = {entry["key"]: entry for entry in _checked(read_lines(file), file)}
        self._added = False
        self._holds_tools = any(e["kind"] == "tool" for e in self._entries.values())

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """All of a kind: "planner", "chat", "plan" or "tool"."""
        with self._lock:
            return [e for e in self._entries.values() if e["kind"] == kind]

    def answer(
        self,
        given: Mapping[str, Any],
        key: Any,
        call: Callable[[], Mapping[str, Any]],
        missing: Callable[[], str],
    ) -> Mapping[str, Any]:
        """The entry of a call: the recorded one; else, while recording, the outcome of `call`.

        Args:
            given: what identifies the call to a reader, with its "kind"; the outcome is added to it.
            key: plain data that identify the call exactly.
            call: makes it, and gives its outcome as plain data.
            missing: describes the call, for the message where a replay does not hold it.

        Raises:
            NotRecorded: as said.
        """
        digest = _digest([given["kind"], key])
        with self._lock:
            entry = self._entries.get(digest)
        if entry is not None and (self.replay or "error" not in entry):
            return entry
        if self.replay:
            raise NotRecorded(f"the recording {self.path} holds no {missing()}")
        entry = {**given, **call(), "key": digest}
        self._add(entry)
        return entry

    def note(self, given: Mapping[str, Any]) -> None:
        """Write down a fact of the run, once."""
        key = _digest(given)
        if not self.replay and key not in self._entries:
            self._add({**given, "key": key})

    def tool(
        self,
        name: str,
        backend: str,
        options: Mapping[str, Any],
        arguments: Mapping[str, Any],
        call: Callable[[], Any],
    ) -> Any:
        """The result of a tool's call, recorded or replayed; a recording without any tool runs the tools.

        Raises:
            NotRecorded: a replay does not hold this call.
            Exception: what `call` raises, or raised when it was recorded.
        """
        if not (self._holds_tools if self.replay else self.tools):
            return call()
        images = root_images(arguments)
        plain = {k: self.store.encode(v, at_hand=images, save=False) for k, v in arguments.items()}
        options = {k: PurePath(v).name if k == "model" else v for k, v in options.items()}
        given = {
            "kind": "tool", "version": VERSION, "tool": name, "backend": backend, "options": options,
            "arguments": plain,
        }  # fmt: skip
        results: list[Any] = []  # what the tool has just returned or raised, as it is
        failures: list[Exception] = []

        def run() -> Mapping[str, Any]:
            try:
                results.append(call())
            except _NEVER_RECORDED:
                raise
            except Exception as error:  # raised again below
                failures.append(error)
                return {"error": {"type": type(error).__name__, "message": str(error)}}
            return {"result": self.store.encode(results[0], at_hand=images)}

        entry = self.answer(
            given,
            without_names([name, backend, options, plain]),
            run,
            lambda: self._missing_tool(name, backend, plain),
        )
        if "error" in entry:
            raise failures[0] if failures else revive(entry["error"])
        return results[0] if results else self.store.decode(entry["result"], at_hand=images)

    def close(self) -> None:
        """Put the lines in order. Nothing can be recorded any more."""
        if self._journal is None:
            return
        if self._added:
            self._journal.rewrite(_in_order)
        self._journal.close()
        self._journal = None

    def _add(self, entry: dict[str, Any]) -> None:
        with self._lock:
            known = self._entries.get(entry["key"])
            if known is not None and "error" not in known:  # another program was quicker
                return
            if self._journal is None:
                raise VisprogError(f"the recording {self.path} is closed")
            self._entries[entry["key"]] = entry
            self._added = True
            self._journal.append(entry)

    def _missing_tool(self, name: str, backend: str, plain: Mapping[str, Any]) -> str:
        shown = ", ".join(f"{k}={_short(v)}" for k, v in plain.items())
        text = f"{name}({shown})" + (f" by the backend '{backend}'" if backend else "")
        same = [e for e in self.entries("tool") if e["tool"] == name]
        others = {e["backend"] for e in same if without_names(e["arguments"]) == without_names(plain)}
        if others - {backend}:
            return f"{text}; it holds that call by '{min(others - {backend})}': choose that backend"
        return text


def revive(error: Mapping[str, str]) -> Exception:
    """An exception of the recorded name and message."""
    kind = getattr(errors, error["type"], None)
    if not (isinstance(kind, type) and issubclass(kind, VisprogError)) or kind is MissingExtra:
        kind = type(error["type"], (Exception,), {})
    raised: Exception = kind(error["message"])
    return raised


def _in_order(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """By kind, tool and arguments; of one call the latest."""
    return sorted({e["key"]: e for e in entries}.values(), key=dump)


def _checked(entries: Iterable[dict[str, Any]], path: Path) -> Iterator[dict[str, Any]]:
    """The entries, of which each has the fields of its kind."""
    for entry in entries:
        if not isinstance(entry.get("key"), str) or not isinstance(entry.get("kind"), str):
            raise VisprogError(f"{path} is no recording: a line has no 'kind' and 'key'")
        if entry["kind"] == "tool" and entry.get("version", 1) != VERSION:
            raise VisprogError(
                f"{path} holds calls of tools in a form of version {entry.get('version', 1)!r:.20}, and this visprog "
                f"reads version {VERSION}: record anew, into another folder"
            )
        fields = _FIELDS.get(entry["kind"], {})
        if "error" in entry:
            error = entry["error"] if isinstance(entry["error"], dict) else {}
            name, message = error.get("type"), error.get("message")
            whole = isinstance(name, str) and name.isidentifier() and isinstance(message, str)
            fields = {k: v for k, v in fields.items() if k not in _OUTCOMES}
        else:
            whole = "result" in entry or entry["kind"] != "tool"
        try:
            without_names(entry)  # which nothing can walk through that is nested too deeply
        except RecursionError:
            whole = False
        if not whole or not all(isinstance(entry.get(k), kind) for k, kind in fields.items()):
            raise VisprogError(
                f"{path} is damaged: it holds a '{entry['kind']:.20}' without what belongs to it"
            )
        yield entry


def _digest(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("name") or value.get("label") or value["type"])
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"
