"""The keys of a recipe with their documentation, as `visprog train --keys` prints them."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Any, get_type_hints

from .data.source import find_source
from .from_plain import Section, describe, plain
from .models import find_model
from .objective import find_objective
from .recipe import Recipe

WIDTH = 100
"""Columns of the printed text."""


@dataclass(frozen=True)
class Key:
    """A key that a recipe may hold.

    Attributes:
        name: dotted, as on the command line.
        value: in the recipe.
        default: if the recipe leaves it out; "required" if it cannot.
        type: in words.
        text: what it means.
    """

    name: str
    value: Any
    default: Any
    type: str
    text: str


def keys_of(recipe: Recipe) -> dict[str, list[Key]]:
    """The keys of a recipe, by the title of the dataclass that documents them."""
    elsewhere = ("arguments", "data", "model")
    trainer = [key for key in _keys(Recipe, recipe, "") if key.name.split(".")[0] not in elsewhere]
    objective = find_objective(recipe.objective)
    source = find_source(recipe.data.name, objective.sample_type)
    found = {
        f"the trainer ({_place(Recipe)})": trainer,
        f"the objective {recipe.objective} ({_place(objective.Config)})": list(
            _keys(objective.Config, recipe.arguments, "")
        ),
        f"the source {recipe.data.name} ({_place(source.Config)})": list(
            _section_keys("data", "source", recipe.data, source.Config)
        ),
    }
    if recipe.model is not None:
        config = find_model(recipe.model.name).config_class
        found[f"the model {recipe.model.name} ({_place(config)})"] = list(
            _section_keys("model", "type", recipe.model, config)
        )
    return found


def show_keys(recipe: Recipe) -> str:
    """The keys of a recipe as text: value, meaning, type and default of each."""
    lines = []
    for title, keys in keys_of(recipe).items():
        lines += [f"Keys of {title}", ""]
        for key in keys:
            lines.append(f"  {key.name}={_short(key.value)}")
            default = "required" if key.default == "required" else f"default {_short(key.default)}"
            text = f"{key.text}{' ' if key.text else ''}({key.type}; {default})"
            lines += textwrap.wrap(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
        lines.append("")
    return "\n".join(lines).rstrip()


def field_texts(config: type) -> dict[str, str]:
    """What the docstring of a dataclass, or of one that it extends, says about each field."""
    found: dict[str, str] = {}
    for base in reversed(config.__mro__):
        section = re.search(r"^(?:Attributes|Args):\n((?:[ ]+.*\n?|\n)*)", f"{_doc(base)}\n", re.MULTILINE)
        name = ""
        for line in section[1].splitlines() if section else ():
            if entry := re.match(r" {4}([\w, ]+): (.*)", line):
                name = entry[1]
                found |= dict.fromkeys(re.split(r",\s*", name), entry[2])
            elif name and line.strip():
                found |= {each: f"{found[each]} {line.strip()}" for each in re.split(r",\s*", name)}
    return found


def _doc(config: type) -> str:
    return inspect.cleandoc(config.__dict__.get("__doc__") or "")


def _section_keys(section: str, naming: str, given: Section, config: type) -> Iterator[Key]:
    yield Key(f"{section}.{naming}", given.name, "required", "text", f"Name of the {naming}.")
    yield from _keys(config, given.config, f"{section}.")


def _keys(config: Any, value: Any, prefix: str) -> Iterator[Key]:
    texts, hints = field_texts(config), get_type_hints(config)
    for field in fields(config):
        own = getattr(value, field.name)
        if is_dataclass(own):
            yield from _keys(type(own), own, f"{prefix}{field.name}.")
        else:
            yield Key(
                f"{prefix}{field.name}", plain(own), plain(_default(field)), describe(hints[field.name]),
                texts.get(field.name, ""),
            )  # fmt: skip


def _default(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else "required"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k or chr(34) * 2}: {_short(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_short, value)) + "]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _place(config: type) -> str:
    return f"{config.__module__}.{config.__qualname__}"
