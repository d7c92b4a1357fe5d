"""Texts that language models read, as text and YAML that can be edited without Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

__all__ = ["Example", "class_sentences", "examples", "templates", "text"]


@dataclass(frozen=True)
class Example:
    """A question and a program that answers it.

    Attributes:
        question: in plain language.
        program: Python source.
        images: number of images that the program is given.
        returns: the type of its answer, as written in Python.
        draw: an image to try it on, as shapes (see `prompts/examples.yaml`); empty if there is none.
        answer: the right answer on that image.
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


@cache
def templates(name: str = "imagenet") -> tuple[str, ...]:
    """Sentences with "{}" in the place of a class: "imagenet" are the 80 that CLIP was published with, "simple" the
    7 of them that do a little better, "crops" a few for phrases and objects cut out.

    Raises:
        ValueError: there is no set of that name.
    """
    import yaml

    found = yaml.safe_load(text("clip_templates.yaml"))
    if name not in found:
        raise ValueError(f"there are no templates '{name}': one of {', '.join(found)}")
    return tuple(found[name])


@cache
def class_sentences() -> Mapping[str, tuple[str, ...]]:
    """Sentences about what a class looks like (CuPL), by class: what scenes are made of, the classes of COCO and of
    CIFAR-10."""
    import yaml

    found: dict[str, list[str]] = yaml.safe_load(text("cupl_sentences.yaml"))
    return {name: tuple(sentences) for name, sentences in found.items()}
