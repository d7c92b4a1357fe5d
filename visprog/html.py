"""The evidence of an answer as HTML, drawn from its JSON form alone.

Whatever comes from a question, a picture, a program or a model is escaped where it is put in: only `Markup`,
which this file makes, is taken as it is.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

Data: TypeAlias = Mapping[str, Any]

SHORT = 240
"""Characters of a value that are shown before one asks for the rest."""

MOST_FIGURES = 6
MOST_SHAPES = 150
"""Drawn for one call; of what is beyond, only the number is told."""

_COLORS = ("#e8364f", "#1f7ae0", "#12a150", "#a23de0", "#e07b00", "#00a5a5", "#d6349b", "#8a6d00")
_GIVEN = "#8d8d8d"
_PLACED = ("Region", "Box", "Mask", "Point", "Circle", "Line", "Polygon", "Grid")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def page(data: Data) -> str:
    """One self-contained HTML file: question, answer, program, and the picture of every call.

    Args:
        data: what `Answer.to_json` returns.
    """
    title = _one_line(str(data.get("question") or "A program that was run"), 80)
    head = tag(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", f"{title} · visprog"),
        tag("style", _style()),
    )
    body = tag("body", _Evidence(data).draw(), class_="visprog-page")
    return f'<!doctype html>\n<html lang="en">{head}{body}</html>\n'


def fragment(data: Data) -> str:
    """The same as a part of a page, for notebooks: its styles and names do not reach beyond it.

    Args:
        data: what `Answer.to_json` returns.
    """
    return tag("style", _style()) + _Evidence(data).draw()


def tag(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """An element. Children that are not `Markup`, and all attributes, are escaped."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>{join(children)}</{name}>")


def join(children: Iterable[str]) -> Markup:
    """Children one after another, escaped where they are not `Markup`."""
    return Markup("".join(c if isinstance(c, Markup) else _escape(c) for c in children))


def _escape(text: str) -> str:
    plain = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be written
    return html.escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "�", plain))


@cache
def _style() -> Markup:
    from importlib.resources import files

    return Markup((files(__package__) / "evidence.css").read_text(encoding="utf-8"))


class _Evidence:
    """Draws one answer. Pictures are embedded once each, and shown by reference."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.pictures: Data = data.get("pictures") or {}
        # Names within a page must not meet those of another answer on it.
        self.prefix = "v" + hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:10]
        self.used: dict[str, str] = {}
        self.masks = 0
        self.lines = re.split(r"\r\n|\r|\n", str(data["program"]))

    def draw(self) -> Markup:
        parts = [self.head(), self.answer(), self.program(), self.calls(), self.more(), self.foot()]
        # Last, since drawing finds out which pictures are used.
        return tag("div", self.embedded(), *parts, class_="visprog", id=self.prefix)

    # -- sections --------------------------------------------------------------------------------

    def head(self) -> Markup:
        question = str(self.data["question"])
        pictures = [self.figure(i["digest"], (), i.get("name", "")) for i in _images(self.data["images"])]
        return tag(
            "header",
            tag("h1", question) if question else tag("h1", "A program that was run", class_="none"),
            tag("div", *pictures, class_="figures") if any(pictures) else Markup(""),
        )

    def answer(self) -> Markup:
        status = str(self.data["status"])
        value, message = self.data["value"], str(self.data["message"])
        parts = [tag("span", status, class_=f"status {_class(status)}")]
        if value is not None:
            parts.append(tag("div", self.text(value, plain=True), class_="value"))
        if message:
            parts.append(tag("p", message, class_="message"))
        figures = self.figures([value], (), self.default_root())
        parts.extend([tag("div", *figures, class_="figures")] if figures else [])
        return tag("section", *parts, class_="answer")

    def program(self) -> Markup:
        if not self.data["program"]:
            return Markup("")
        called = {c["line"] for c in self.data["trace"]}
        wrong = {d["line"] for d in self.data["diagnostics"]}
        rows = []
        for number, line in enumerate(self.lines, 1):
            kinds = ["line"] + ["call"] * (number in called) + ["wrong"] * (number in wrong)
            text = tag("code", line or " ")
            rows.append(
                tag("div", tag("i", str(number)), text, class_=" ".join(kinds), id=f"{self.prefix}-L{number}")
            )
        return tag("section", tag("h2", "Program"), tag("div", *rows, class_="code"))

    def calls(self) -> Markup:
        trace = self.data["trace"]
        if not trace:
            return Markup("")
        steps = [self.step(number, call) for number, call in enumerate(trace, 1)]
        return tag("section", tag("h2", f"Calls ({len(trace)})"), tag("ol", *steps, class_="steps"))

    def step(self, number: int, call: Data) -> Markup:
        notes = ["cached"] if call["cached"] else [_duration(call["seconds"])]
        if call["backend"]:
            notes.append(str(call["backend"]))
        title = [tag("b", f"{number}. {call['tool']}"), tag("span", " · ".join(notes), class_="notes")]
        parts = [tag("div", *title, class_="title"), self.source_line(call["line"])]
        rows = [(name, self.text(value)) for name, value in call["arguments"].items()]
        table = [tag("tr", tag("th", name), tag("td", text)) for name, text in rows]
        if call["error"]:
            table.append(tag("tr", tag("th", "✗"), tag("td", str(call["error"])), class_="error"))
        else:
            table.append(tag("tr", tag("th", "→"), tag("td", self.text(call["result"])), class_="result"))
        parts.append(tag("table", *table))
        figures = self.figures([call["result"]], list(call["arguments"].values()), self.default_root())
        parts.extend([tag("div", *figures, class_="figures")] if figures else [])
        return tag("li", *parts, class_="failed" if call["error"] else None)

    def source_line(self, line: int | None) -> Markup:
        if line is None or not 0 < line <= len(self.lines):
            return Markup("")
        link = tag("a", f"line {line}", href=f"#{self.prefix}-L{line}")
        return tag("div", link, tag("code", self.lines[line - 1].strip()), class_="source")

    def more(self) -> Markup:
        parts = []
        if self.data["diagnostics"]:
            parts.append(tag("section", tag("h2", "Check"), _findings(self.data["diagnostics"])))
        if self.data["stdout"]:
            parts.append(tag("section", tag("h2", "Printed"), _long(str(self.data["stdout"]), "pre")))
        attempts = [
            tag(
                "details",
                tag("summary", f"Attempt {number}: {_one_line(_why(attempt), 160)}"),
                tag("pre", str(attempt.get("program") or "(no program)")),
                tag("p", str(attempt["error"]), class_="message") if attempt.get("error") else Markup(""),
                _findings(attempt.get("diagnostics") or ()),
            )
            for number, attempt in enumerate(self.data["attempts"], 1)
        ]
        if attempts:
            parts.append(tag("section", tag("h2", "Also tried"), *attempts))
        return join(parts)

    def foot(self) -> Markup:
        data = self.data
        facts = [f"planner: {data['planner']}"] if data["planner"] else []
        if data["probability"] is not None:
            facts.append(f"probability: {float(data['probability']):.0%}")
        if data["tokens"] is not None:
            facts.append(f"tokens: {data['tokens']}")
        facts.append(f"time: {_duration(data['seconds'])}")
        if data["level"]:
            facts.append(f"sandbox level: {data['level']}")
        return tag("footer", " · ".join(facts))

    # -- values as text --------------------------------------------------------------------------

    def text(self, value: Any, plain: bool = False) -> Markup:
        """A value in words; `plain` as an answer (yes, a text without quotes), else as in a program."""
        if plain and isinstance(value, bool):
            return join(["yes" if value else "no"])
        if plain and value in ("", []):
            return join(["nothing"])
        return _long(value if plain and isinstance(value, str) else _words(value), "span")

    # -- pictures --------------------------------------------------------------------------------

    def default_root(self) -> str | None:
        return next((i["root"] for i in _images(self.data["images"])), None)

    def figures(self, found: Sequence[Any], given: Sequence[Any], default: str | None) -> list[Markup]:
        """What was found and given, drawn on the pictures that it lies in, and pictures that were made."""
        images = [i for i in given if _kind(i) == "Image"]
        frame = images[0]["root"] if images else default
        shapes: dict[str, list[tuple[Data, str]]] = {}
        for values, color in ((given, _GIVEN), (found, "")):
            for number, item in enumerate(_placed(values)):
                root = str((item.get("image") or {}).get("root") or frame)
                if root in self.pictures:
                    shapes.setdefault(root, []).append((item, color or _COLORS[number % len(_COLORS)]))
        if shapes:
            for image in images:  # a crop is shown as its place in the whole
                if image["digest"] != image["root"] and image["root"] in shapes:
                    shapes[image["root"]].insert(0, (_window(image), _GIVEN))
        figures = [self.figure(root, drawn) for root, drawn in shapes.items()]
        figures += [self.figure(i["digest"], (), i.get("name", "")) for i in _images(found)]
        if not figures and given:
            figures = [self.figure(i["digest"], ()) for i in _images(given)]
        figures = [f for f in figures if f]
        if len(figures) > MOST_FIGURES:
            hidden = len(figures) - MOST_FIGURES
            figures = [*figures[:MOST_FIGURES], tag("span", f"and {hidden} more pictures", class_="notes")]
        return figures

    def figure(self, digest: str, shapes: Sequence[tuple[Data, str]], name: str = "") -> Markup:
        """A picture with shapes on it, in the coordinates of the whole picture."""
        picture = self.pictures.get(digest)
        if picture is None:
            return Markup("")
        name_of = self.used.setdefault(digest, f"{self.prefix}-p{len(self.used)}")
        width, height = float(picture["width"]), float(picture["height"])
        drawn = [self.shape(item, color, max(width, height)) for item, color in shapes[:MOST_SHAPES]]
        notes = [name] if name else []
        if len(shapes) > MOST_SHAPES:
            notes.append(f"{len(shapes) - MOST_SHAPES} more are not drawn")
        svg = tag(
            "svg",
            tag("use", href=f"#{name_of}"),
            *drawn,
            viewBox=f"0 0 {_number(width)} {_number(height)}",
            role="img",
        )
        return tag("figure", svg, *([tag("figcaption", " · ".join(notes))] if notes else []))

    def shape(self, item: Data, color: str, side: float) -> Markup:
        """One located value as SVG. The `side` of the picture, the longer one, sets the size of labels."""
        kind = item["type"]
        parts: list[Markup] = []
        x, y = 0.0, 0.0
        dashed = "given" if color == _GIVEN else None
        style: dict[str, Any] = {"class_": dashed, "stroke": color, "fill": "none"}
        if kind in ("Region", "Box", "Mask", "Grid"):
            x, y, right, bottom = map(float, item["box"])
            mask = item if kind == "Mask" else item.get("mask")
            if mask and mask.get("png"):
                parts.append(self.mask(mask, color))
            place = dict(
                zip(("x", "y", "width", "height"), map(_number, (x, y, right - x, bottom - y)), strict=True)
            )
            parts.append(tag("rect", **place, **style))
            if kind == "Grid":
                parts.append(tag("path", d=_grid_lines(item), **style))
        elif kind == "Circle":
            cx, cy, radius = float(item["center"][0]), float(item["center"][1]), float(item["radius"])
            parts.append(tag("circle", cx=_number(cx), cy=_number(cy), r=_number(radius), **style))
            x, y = cx - radius, cy - radius
        elif kind == "Point":
            x, y = float(item["x"]), float(item["y"])
            dot = {**style, "fill": color}
            parts.append(tag("circle", cx=_number(x), cy=_number(y), r=_number(side / 120), **dot))
        else:
            points = [(float(a), float(b)) for a, b in item["points"]]
            name = "polygon" if kind == "Polygon" else "polyline"
            parts.append(tag(name, points=" ".join(f"{_number(a)},{_number(b)}" for a, b in points), **style))
            x, y = min(points)
        label = _label(item)
        if label:
            size = side / 34
            above = max(y - size * 0.3, size)
            placed = {"x": _number(max(x, 0)), "y": _number(above), "font_size": _number(size)}
            parts.append(tag("text", _one_line(label, 28), fill=color, **placed))
        return tag("g", tag("title", _one_line(_words(item), 300)), *parts)

    def mask(self, mask: Data, color: str) -> Markup:
        """The exact pixels of a thing, tinted."""
        self.masks += 1
        name = f"{self.prefix}-m{self.masks}"
        left, top, right, bottom = map(float, mask["box"])
        place: dict[str, Any] = {
            "x": _number(left), "y": _number(top),
            "width": _number(right - left), "height": _number(bottom - top),
        }  # fmt: skip
        image = tag("image", href=f"data:image/png;base64,{mask['png']}", preserveAspectRatio="none", **place)
        stencil = tag("mask", image, id=name, maskUnits="userSpaceOnUse", **place)
        return join([stencil, tag("rect", class_="mask", fill=color, mask=f"url(#{name})", **place)])

    def embedded(self) -> Markup:
        """The pictures that are referred to, each once."""
        images = []
        for digest, name in self.used.items():
            picture = self.pictures[digest]
            images.append(
                tag(
                    "image",
                    id=name,
                    width=_number(float(picture["width"])),
                    height=_number(float(picture["height"])),
                    preserveAspectRatio="none",
                    href=f"data:{picture['mime']};base64,{picture['data']}",
                )
            )
        return tag("svg", tag("defs", *images), class_="defs", width="0", height="0", aria_hidden="true")


def _kind(value: Any) -> str:
    return str(value["type"]) if isinstance(value, Mapping) else type(value).__name__


def _inside(value: Any) -> Iterable[Any]:
    """What a container holds; nothing, for other values."""
    if isinstance(value, list):
        return value
    kind = _kind(value)
    if kind in ("tuple", "set"):
        return list(value["items"])
    return [v for _, v in value["items"]] if kind == "dict" else ()


def _placed(values: Iterable[Any]) -> Iterator[Data]:
    """The values, at any depth, that have a place in a picture."""
    for value in values:
        if _kind(value) in _PLACED:
            yield value
        yield from _placed(_inside(value))


def _images(values: Iterable[Any]) -> list[Data]:
    """The pictures, at any depth, each once."""
    found: dict[str, Data] = {}

    def look(items: Iterable[Any]) -> None:
        for item in items:
            if _kind(item) == "Image":
                found.setdefault(item["digest"], item)
            look(_inside(item))

    look(values)
    return list(found.values())


def _words(value: Any) -> str:
    """A value of the JSON form in words."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_words, value)) + "]"
    if not isinstance(value, Mapping):
        return f"{value:.6g}" if isinstance(value, float) else repr(value)
    kind, place = _kind(value), ""
    if "box" in value:
        place = "(" + ", ".join(f"{float(v):.0f}" for v in value["box"]) + ")"
    match kind:
        case "float" | "other":
            return str(value["text"])
        case "tuple":
            return "(" + ", ".join(map(_words, value["items"])) + ")"
        case "set":
            return "{" + ", ".join(map(_words, value["items"])) + "}"
        case "dict":
            return "{" + ", ".join(f"{_words(k)}: {_words(v)}" for k, v in value["items"]) + "}"
        case "Image":
            what = "picture" if value["digest"] == value["root"] else "crop"
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


def _color(value: Data) -> str:
    return f"{value['color']} " if value["color"] else ""


def _label(item: Data) -> str:
    """What is written at a thing that is drawn."""
    if item["type"] == "Region":
        return f"{item['label']} {float(item['score']):.2f}".strip()
    return str(item.get("color") or "")


def _window(image: Data) -> Data:
    """The place of a crop in its root."""
    x, y = map(float, image["origin"])
    return {"type": "Box", "box": [x, y, x + float(image["width"]), y + float(image["height"])]}


def _grid_lines(grid: Data) -> str:
    left, top, right, bottom = map(float, grid["box"])
    rows, columns = min(int(grid["rows"]), 100), min(int(grid["columns"]), 100)
    across = [top + (bottom - top) * i / rows for i in range(1, rows)]
    down = [left + (right - left) * i / columns for i in range(1, columns)]
    return "".join(
        [f"M{_number(left)} {_number(y)}H{_number(right)}" for y in across]
        + [f"M{_number(x)} {_number(top)}V{_number(bottom)}" for x in down]
    )


def _findings(diagnostics: Iterable[Data]) -> Markup:
    items = []
    for found in diagnostics:
        severity = str(found["severity"])
        where = f"line {found['line']}, column {int(found['column']) + 1}"
        parts: list[str] = [
            tag("b", severity, class_=_class(severity)),
            f" {where}: {found['message']} ",
            tag("code", found["code"]),
        ]  # fmt: skip
        if found["suggestion"]:
            parts.append(tag("div", str(found["suggestion"]), class_="notes"))
        items.append(tag("li", *parts))
    return tag("ul", *items, class_="findings") if items else Markup("")


def _why(attempt: Data) -> str:
    found = attempt.get("diagnostics") or ()
    return str(attempt.get("error") or next((d["message"] for d in found), "it was not the best"))


def _long(text: str, name: str) -> Markup:
    """A text; of a long one its beginning, the rest on demand."""
    if len(text) <= SHORT:
        return tag(name, text)
    return tag("details", tag("summary", _one_line(text, SHORT // 2)), tag("pre", text))


def _one_line(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _duration(seconds: Any) -> str:
    seconds = float(seconds)
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _number(value: float) -> str:
    return f"{value:.6g}"


def _class(text: str) -> str:
    """A class name that cannot be anything else."""
    return re.sub(r"[^a-z]", "", text.lower())
