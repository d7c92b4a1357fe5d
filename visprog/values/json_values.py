"""The values of an answer's JSON form: what they hold, and how they read in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

Data: TypeAlias = Mapping[str, Any]

_PLACED = ("Region", "Box", "Mask", "Point", "Circle", "Line", "Polygon", "Grid")


def type_of(value: Any) -> str:
    """The name of a value's type."""
    return str(value["type"]) if isinstance(value, Mapping) else type(value).__name__


def placed(values: Iterable[Any]) -> Iterator[Data]:
    """The values, at any depth, that have a place in an image."""
    for value in values:
        if type_of(value) in _PLACED:
            yield value
        yield from placed(_inside(value))


def images(values: Iterable[Any]) -> list[Data]:
    """The images, at any depth, each once."""
    found: dict[str, Data] = {}

    def look(items: Iterable[Any]) -> None:
        for item in items:
            if type_of(item) == "Image":
                found.setdefault(item["digest"], item)
            look(_inside(item))

    look(values)
    return list(found.values())


def window(image: Data) -> Data:
    """The place of a crop in its root, as a box."""
    x, y = map(float, image["origin"])
    return {"type": "Box", "box": [x, y, x + float(image["width"]), y + float(image["height"])]}


def words(value: Any) -> str:
    """A value in words, as a program would write it; places are rounded to pixels."""
    if isinstance(value, list):
        return "[" + ", ".join(map(words, value)) + "]"
    if not isinstance(value, Mapping):
        return f"{value:.6g}" if isinstance(value, float) else repr(value)
    kind, place = type_of(value), ""
    if "box" in value:
        place = "(" + ", ".join(f"{float(v):.0f}" for v in value["box"]) + ")"
    match kind:
        case "float" | "other":
            return str(value["text"])
        case "tuple":
            return "(" + ", ".join(map(words, value["items"])) + ")"
        case "set":
            return "{" + ", ".join(map(words, value["items"])) + "}"
        case "dict":
            return "{" + ", ".join(f"{words(k)}: {words(v)}" for k, v in value["items"]) + "}"
        case "Image":
            what = "image" if value["digest"] == value["root"] else "crop"
            return f"{what} {value['width']} × {value['height']}"
        case "Region":
            mask = " with mask" if value["mask"] else ""
            name = repr(value["label"]) if value["label"] else "region"
            return f"{name} {float(value['score']):.2f} at {place}{mask}"
        case "Box" | "Mask":
            return f"{kind.lower()} {place}"
        case "Point":
            return f"point ({float(value['x']):.1f}, {float(value['y']):.1f})"
        case "Circle":
            x, y = map(float, value["center"])
            return f"{_color(value)}circle at ({x:.0f}, {y:.0f}), radius {float(value['radius']):.1f}"
        case "Line" | "Polygon":
            corners = " → ".join(f"({float(x):.0f}, {float(y):.0f})" for x, y in value["points"])
            return f"{_color(value)}{kind.lower()} {corners}"
        case "Grid":
            return f"grid of {value['rows']} rows and {value['columns']} columns at {place}"
    return str(value.get("text", kind))


def label(item: Data) -> str:
    """What is written beside an object that is drawn."""
    if item["type"] == "Region":
        return f"{item['label']} {float(item['score']):.2f}".strip()
    return f"{item['color']} {item['type'].lower()}" if item.get("color") else ""


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
    return [v for _, v in value["items"]] if kind == "dict" else ()


def _color(value: Data) -> str:
    return f"{value['color']} " if value["color"] else ""
