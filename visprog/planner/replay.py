"""Recorded programs instead of a model: for tests, demonstrations, and runs that must come out the same."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError, PlannerError, Refused
from ..files.plain_text import numbered_lines, parse_json, read_text
from ..runtime.steps import Step
from .base import Plan, PlanRequest
from .extract import find_refusal

_FORMS = "a .jsonl, .json or .yaml file of {question, program} pairs, or a .py file"


class ReplayPlanner:
    """Gives back recorded programs, found by the question (case, spaces and final punctuation do not count).

    A question that was recorded several times gives its programs in order: the first `n` where several are
    wanted; after a program that failed, the one that follows it. In the place of a program there may be
    `CANNOT: reason`: then the tools cannot answer the question.

    Args:
        path: a .jsonl, .json or .yaml file of {question, program} pairs, or a .py file, which is the program
            for any question.

    Raises:
        ConfigError: the file is missing or is not of that form; the message names the entry.
    """

    def __init__(self, path: str | Path) -> None:
        if not str(path):
            raise ConfigError(f"which recording? write 'replay:FILE', {_FORMS}")
        self.path = Path(path).expanduser()
        self._programs: dict[str, list[str]] = {}
        self._questions: dict[str, str] = {}
        self._any = ""
        source = _read(self.path)
        if self.path.suffix == ".py":
            if not source.strip():
                raise ConfigError(f"{self.path} holds no program")
            self._any = source
            return
        for question, program in _pairs(source, self.path):
            key = normalise_question(question)
            self._programs.setdefault(key, []).append(program)
            self._questions.setdefault(key, question)

    @property
    def name(self) -> str:
        return f"replay:{self.path}"

    def plan(self, request: PlanRequest, *, failed: Step | None = None, n: int = 1) -> list[Plan]:
        """The recorded programs.

        Raises:
            PlannerError: none is recorded for this question; the message names the nearest that is.
            Refused: what is recorded says that the tools cannot answer it.
        """
        programs = [self._any] if self._any else self._programs.get(normalise_question(request.question), [])
        if not programs:
            raise PlannerError(self._unknown(request.question))
        if failed is not None:
            tried = [i for i, p in enumerate(programs) if p.strip() == failed.program.strip()]
            later = programs[tried[0] + 1 :] if tried else []
            programs = [p for p in later if p.strip() != failed.program.strip()] or programs
        reason = _reason(programs[0])
        if reason:
            raise Refused(reason)
        return [Plan(program, self.name) for program in programs[:n] if not _reason(program)]

    def _unknown(self, question: str) -> str:
        near = difflib.get_close_matches(normalise_question(question), self._programs, 1)
        hint = f'; the nearest question in it is "{self._questions[near[0]]}"' if near else ""
        return f'{self.path} has no program for "{question}"{hint}'


def normalise_question(question: str) -> str:
    """A question without what does not change its meaning: case, spaces, kind of quotes, last punctuation."""
    plain = question.casefold().translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'})
    return re.sub(r"[\s.!?]+$", "", " ".join(plain.split()))


def _reason(program: str) -> str:
    """Why there is no program, where `CANNOT: reason` stands in the place of one."""
    return (find_refusal(program) or "") if program.lstrip().startswith("CANNOT") else ""


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except FileNotFoundError:
        raise ConfigError(f"no such recording: {path}") from None
    except OSError as error:
        raise ConfigError(f"cannot read the recording {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise ConfigError(f"the recording {path} {error}") from None


def _pairs(source: str, path: Path) -> Iterable[tuple[str, str]]:
    for where, entry in _entries(source, path):
        if not isinstance(entry, Mapping):
            raise ConfigError(f"{path}, {where}: each entry needs a 'question' and a 'program'")
        question, program = entry.get("question"), entry.get("program")
        if not isinstance(question, str) or not isinstance(program, str) or not program.strip():
            raise ConfigError(f"{path}, {where}: each entry needs a 'question' and a 'program'")
        yield question, program


def _entries(source: str, path: Path) -> Iterable[tuple[str, Any]]:
    if path.suffix == ".jsonl":
        for number, line in numbered_lines(source):
            try:
                yield f"line {number}", parse_json(line)
            except ValueError as error:
                raise ConfigError(f"{path}, line {number} {error}") from None
        return
    if path.suffix == ".json":
        try:
            found = parse_json(source)
        except ValueError as error:
            raise ConfigError(f"{path} {error}") from None
    elif path.suffix in (".yaml", ".yml"):
        import yaml

        try:
            found = yaml.safe_load(source)
        except (yaml.YAMLError, RecursionError) as error:
            raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    else:
        raise ConfigError(f"{path}: a recording is {_FORMS}")
    if isinstance(found, Mapping):
        found = [found]
    if not isinstance(found, list):
        raise ConfigError(f"{path} holds no list of {{question, program}} pairs")
    for number, entry in enumerate(found, 1):
        yield f"entry {number}", entry
