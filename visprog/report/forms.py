"""The JSON form of values, as far as it is the same for every kind: containers, images, and places in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

Data: TypeAlias = Mapping[str, Any]


def type_of(value: Any) -> str:
    """The name of a value's type."""
    return str(value["type"]) if isinstance(value, Mapping) else type(value).__name__


def walk(values: Iterable[Any]) -> Iterator[Any]:
    """The values and, after each container, those in it, at any depth."""
    for value in values:
        yield value
        yield from walk(_inside(value))


def images(values: Iterable[Any]) -> list[Data]:
    """The images, at any depth, each once."""
    found: dict[str, Data] = {}
    for value in walk(values):
        if type_of(value) == "Image":
            found.setdefault(value["digest"], value)
    return list(found.values())


def window(image: Data) -> Data:
    """The place of a crop in its root, as a box."""
    x, y = map(float, image["origin"])
    return {"type": "Box", "box": [x, y, x + float(image["width"]), y + float(image["height"])]}


def is_plain(value: Any) -> bool:
    """Whether a value is its own JSON form: a number, a text, true or false, or a list of such values."""
    return (
        all(map(is_plain, value)) if isinstance(value, list) else isinstance(value, bool | int | float | str)
    )


def plain_words(value: Any) -> str:
    """A plain value in words: yes and no, rounded numbers; of a table, a line per row, its cells parted by tabs."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e-3 else f"{round(value, 3):g}"
    if isinstance(value, str | list | tuple | dict) and not value:
        return "nothing"
    if isinstance(value, list) and all(isinstance(row, list) for row in value):
        return "\n".join("\t".join("" if cell == "" else plain_words(cell) for cell in row) for row in value)
    return ", ".join(map(plain_words, value)) if isinstance(value, list) else str(value)


def one_line(text: str, most: int) -> str:
    """The text on one line, cut to `most` characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _inside(value: Any) -> Iterable[Any]:
    """What a container holds; nothing, for other values."""
    if isinstance(value, list):
        return value
    kind = type_of(value)
    if kind in ("tuple", "set"):
        return list(value["items"])
    if kind == "Track":  # is seen where it is seen best
        return [value["view"]] if value.get("view") else ()
    return [v for _, v in value["items"]] if kind == "dict" else ()
