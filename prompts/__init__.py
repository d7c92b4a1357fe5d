"""All text that language models get, as text and YAML files that can be edited without Python."""

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
        question: Question in natural language.
        program: Python source.
        images: Number of images that the program gets.
        returns: Type of its answer, as written in Python.
        draw: Image to try it on, as shapes (see `prompts/examples.yaml`); empty if there is none.
        answer: Right answer on that image.
        video: Whether the program gets a video.
    """

    question: str
    program: str
    images: int = 1
    returns: str = ""
    draw: Mapping[str, Any] = field(default_factory=dict, hash=False)
    answer: Any = None
    video: bool = False


@cache
def text(name: str) -> str:
    """The content of a text file of this folder, for example "planner.txt".

    Raises:
        FileNotFoundError: There is no such file.
    """
    from importlib.resources import files

    return (files(__name__) / name).read_text(encoding="utf-8")


@cache
def examples(name: str = "examples.yaml") -> tuple[Example, ...]:
    """The in-context examples of a YAML file of this folder.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: An example has an unknown field, or lacks its question or program.
    """
    import yaml

    return tuple(Example(**entry) for entry in yaml.safe_load(text(name)))


@cache
def templates(name: str = "imagenet") -> tuple[str, ...]:
    """Sentences with "{}" in place of a class.

    Args:
        name: "imagenet" for the 80 sentences that were published with CLIP, "simple" for 7 of them with slightly better
            results, "crops" for phrases and crops of objects.

    Raises:
        ValueError: There is no set of that name.
    """
    found = _table("clip_templates.yaml")
    if name not in found:
        raise ValueError(f"there are no templates '{name}': one of {', '.join(found)}")
    return tuple(found[name])


@cache
def class_sentences() -> Mapping[str, tuple[str, ...]]:
    """Sentences that describe how a class looks (CuPL), by class: the objects of scenes, and the classes of COCO and
    CIFAR-10."""
    return {name: tuple(sentences) for name, sentences in _table("cupl_sentences.yaml").items()}


def _table(name: str) -> dict[str, list[str]]:
    """A file of texts by name, read by the parser of libyaml if it is there: the other takes a tenth of a second."""
    import yaml

    found: dict[str, list[str]] = yaml.load(text(name), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return found
