"""Everything an LLM is told, as text and YAML that can be edited without Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

__all__ = ["Example", "examples", "text"]


@dataclass(frozen=True)
class Example:
    """A question and a program that answers it.

    Attributes:
        question: in plain language.
        program: Python source.
        images: how many pictures the program is given.
        returns: the type of its answer, as written in Python.
        draw: a picture to try it on, as shapes (see `prompts/examples.yaml`); empty where there is none.
        answer: the right answer on that picture.
    """

    question: str
    program: str
    images: int = 1
    returns: str = ""
    draw: Mapping[str, Any] = field(default_factory=dict, hash=False)
    answer: Any = None


@cache
def text(name: str) -> str:
    """The content of a text file of this folder, for example "planner.txt".

    Raises:
        FileNotFoundError: there is no such file.
    """
    from importlib.resources import files

    return (files(__name__) / name).read_text(encoding="utf-8")


@cache
def examples(name: str = "examples.yaml") -> tuple[Example, ...]:
    """The in-context examples of a YAML file of this folder.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: an example has an unknown field, or lacks its question or program.
    """
    import yaml

    return tuple(Example(**entry) for entry in yaml.safe_load(text(name)))
