"""What is peculiar to one set of weights: `backend.json` in the folder of a model.

A folder without this file has no limits of its own: its backend asks it about any image, in any words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

from visprog.errors import ToolError
from visprog.files import plain_text
from visprog.models import BUNDLED, WEIGHTS

T = TypeVar("T")

FILE = "backend.json"

LAYOUT = "visprog"
"""The `layout` in the `config.json` of models that this package saved; public checkpoints have none."""


@dataclass(frozen=True)
class TaughtWords:
    """Words in which a model was trained to describe an object.

    Attributes:
        kinds: Name of a property → its words, of which an object has one; in the order in which a phrase names them.
        noun: Noun for an object of any kind.
    """

    kinds: Mapping[str, tuple[str, ...]]
    noun: str = "thing"


@dataclass(frozen=True)
class Questions:
    """Questions that a model was trained to answer.

    Attributes:
        wordings: The questions, with slots such as "{phrase}".
        slots: Name of a slot → regular expression of the words that fill it.
        examples: Two questions, for messages.
    """

    wordings: tuple[str, ...]
    slots: Mapping[str, str]
    examples: tuple[str, str]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = (
            re.sub(r"\\\{(\w+)\\\}", lambda slot: f"(?:{self.slots[slot[1]]})", re.escape(wording))
            for wording in self.wordings
        )
        return re.compile("|".join(parts), re.IGNORECASE)

    def has(self, question: str) -> bool:
        """Whether a question is worded as one of them, whatever its spaces and its last sign."""
        return self._pattern.fullmatch(" ".join(question.split()).rstrip(" ?.!") + "?") is not None


@dataclass(frozen=True)
class Domain:
    """Images that a model was trained on.

    Attributes:
        images: Description of them, for messages.
        gate: Folder, relative to the model's, of a detector whose image features tell such images from others by the
            linear classifier in its `gate.json`.
        brightness: Minimum level, 0 to 255, that 1 % of the pixels reach in one of their channels; 0 for any.
        aspect: Maximum ratio of the longer side to the shorter one.
        objects: Maximum number of objects in one image, counted by that detector; None for any number.
        contrast: Minimum difference, in levels of 255, between the brightest channel of the brightest 1 % of the pixels
            and the darkest channel of the darkest 1 %; 0 for any.
    """

    images: str
    gate: str
    brightness: float
    aspect: float
    objects: int | None
    contrast: float = 0.0


@dataclass(frozen=True)
class BackendFile:
    """The contents of `backend.json`.

    Attributes:
        device: Device of the model if the configuration names none; "auto" for a GPU if there is one.
        options: Defaults of the backend's options, by name.
        vocabulary: Words that describe an object; None for any text.
        questions: Questions that are answered; None for any question.
        domain: Images that are taken; None for any image.
        answers: Answers that a model chooses among, in the order of its classes.
    """

    device: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)
    vocabulary: TaughtWords | None = None
    questions: Questions | None = None
    domain: Domain | None = None
    answers: tuple[str, ...] = ()

    def option(self, name: str, given: T | None, default: T) -> T:
        """The value of an option: the given one, else that of the file, else the default."""
        return given if given is not None else self.options.get(name, default)


def folder_of(model: str) -> Path | None:
    """The folder of a bundled model by its name, or the folder at a path; None for anything else, such as a hub id.

    A folder that has the name of a bundled model is given as "./clip".
    """
    folder = WEIGHTS / model if model in BUNDLED else Path(model).expanduser()
    return folder.resolve() if model and folder.is_dir() else None


@cache
def backend_file(folder: Path | None) -> BackendFile:
    """What a folder says about its weights; nothing if it has no `backend.json`.

    Raises:
        ToolError: The file cannot be read, or has fields that are not known.
    """
    file = folder / FILE if folder else None
    if file is None or not file.is_file():
        return BackendFile()
    try:
        raw = read_json(file)
        parts = {name: _PARTS[name](**raw[name]) for name in _PARTS.keys() & raw.keys()}
        return BackendFile(**{**raw, **parts})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        known = ", ".join(each.name for each in fields(BackendFile))
        raise ToolError(f"{file} cannot be read ({error}): it is a JSON object of {known}") from error


_PARTS: Mapping[str, Any] = {"vocabulary": TaughtWords, "questions": Questions, "domain": Domain}


@cache
def is_trained_here(folder: Path | None) -> bool:
    """Whether the model in a folder was saved by this package; else it is a public checkpoint."""
    try:
        return folder is not None and read_json(folder / "config.json").get("layout") == LAYOUT
    except (OSError, ValueError):
        return False


@cache
def known_words(folder: Path | None) -> frozenset[str] | None:
    """All words that a model trained here knows, from its `tokenizer.json`; None if it reads any word in pieces, or is
    a public checkpoint."""
    if folder is None or not is_trained_here(folder):
        return None
    try:
        model = read_json(folder / "tokenizer.json")["model"]
    except (OSError, ValueError, KeyError):
        return None
    return frozenset(model["vocab"]) if model.get("type") == "WordLevel" else None


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        OSError: It cannot be read.
        ValueError: It holds no JSON object.
    """
    raw = plain_text.read_json(file)
    if not isinstance(raw, dict):
        raise ValueError(f"{file} holds no JSON object")
    return raw


def words_summary(folder: Path | None) -> str:
    """The words that a model knows, for a planner; empty if it reads any."""
    words = sorted(word for word in known_words(folder) or () if word.isalpha() and len(word) > 1)
    return f"descriptions in the words that it was taught: {', '.join(words)}" if words else ""
