"""The evidence of an answer as HTML, drawn from its JSON form alone."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from . import markup
from .figures import COLORS, GIVEN, INK, MAX_SHAPES, DrawnValue, Figure, Shape, figure
from .forms import Data, images, one_line, type_of, walk, window
from .markup import Markup, join, tag
from .timeline import timeline

MAX_FIGURES = 6
"""Images per call, and of the question."""

MAX_NOTEBOOK_BYTES = 1_000_000
MAX_PAGE_BYTES = 30_000_000
"""Size from which on neither images nor further calls are shown."""

_THUMBNAIL, _STEP_SIDE = 240, 360
_MARKED, _WRONG = "#fff0b8", "#ffd9dd"


class Kinds(Protocol):
    """How the kinds of values read and look, in their JSON form: `visprog.values.codec`."""

    def words(self, value: Any) -> str:
        """A value in words."""

    def drawing(self, value: Any) -> DrawnValue | None:
        """A value on its image; None for one that has no place in an image."""


def page(data: Data, kinds: Kinds) -> str:
    """One self-contained HTML file: question, answer, program, and the images of every call.

    Args:
        data: what `Answer.to_json` returns.
        kinds: how its values read and look.
    """
    title = one_line(str(data.get("question") or "A program that was run"), 80)
    return document(title, _Evidence(data, kinds, 960, MAX_PAGE_BYTES).draw())


def document(title: str, content: Markup) -> str:
    """One HTML file with a title."""
    head = tag(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", f"{title} · visprog"),
    )
    column = tag("div", content, style="max-width:960px;margin:0 auto;")
    body = tag("body", column, style=markup.css("margin:0;padding:8px;", background=markup.TINT))
    return f'<!doctype html>\n<html lang="en">{head}{body}</html>\n'


def fragment(data: Data, kinds: Kinds) -> Markup:
    """The same as a part of another page, small enough to be stored in a notebook.

    Args:
        data: what `Answer.to_json` returns.
        kinds: how its values read and look.
    """
    return _Evidence(data, kinds, 640, MAX_NOTEBOOK_BYTES).draw()


class _Evidence:
    """Draws one answer.

    Args:
        side: longest side of the answer's images, in pixels.
        budget: bytes from which on no more images are drawn.
    """

    def __init__(self, data: Data, kinds: Kinds, side: int, budget: int) -> None:
        self.data = data
        self.kinds = kinds
        self.pictures: Data = data.get("pictures") or {}
        self.side = side
        self.budget = budget
        self.lines = re.split(r"\r\n|\r|\n", str(data["program"]).rstrip())
        given = images(data["images"])
        self.default_root = given[0]["root"] if given else None
        # With several images, a call shows which of them it was about.
        self.shown = {given[0]["digest"]} if len(given) == 1 else set()

    def draw(self) -> Markup:
        return markup.card(self.head(), self.answer(), self.program(), self.calls(), self.more(), self.foot())

    # -- sections --------------------------------------------------------------------------------

    def head(self) -> Markup:
        question = str(self.data["question"])
        given = images(self.data["images"])
        names = [i.get("name") or (f"image {n}" if len(given) > 1 else "") for n, i in enumerate(given, 1)]
        figures = (self.figure(i["digest"], (), _THUMBNAIL, n) for i, n in zip(given, names, strict=True))
        title = (
            tag("b", question, style=markup.PLAIN)
            if question
            else tag("i", "A program that was run", style=markup.NOTE)
        )
        return join([tag("div", title, style=markup.TITLE), self.row(figures)])

    def answer(self) -> Markup:
        status = str(self.data["status"])
        value, message = self.data["value"], str(self.data["message"])
        parts = [markup.badge(status)]
        if value is not None:
            text = self.value(value)
            style = markup.VALUE if len(text) < 120 else markup.MESSAGE
            parts.append(tag("div", tag("b", text, style=markup.PLAIN), style=style))
        if message:
            parts.append(tag("div", message, style=markup.MESSAGE))
        for caution in self.data.get("cautions", ()):
            style = markup.css("margin:4px 0;", markup.STATUS_COLORS["refused"])
            parts.append(tag("div", f"Caution: {caution}", style=style))
        parts.append(self.row(self.figures([value], (), self.side)))
        bar = f"border-left:6px solid {markup.status_color(status)};margin:10px 0;padding:2px 0 2px 14px;"
        return tag("div", *parts, style=markup.css(bar))

    def program(self) -> Markup:
        if not self.data["program"]:
            return Markup("")
        called = {c["line"] for c in self.data["trace"]}
        wrong = {d["line"] for d in self.data["diagnostics"]}
        width = len(str(len(self.lines)))
        rows: list[str] = []
        for number, line in enumerate(self.lines, 1):
            ground = _WRONG if number in wrong else _MARKED if number in called else markup.TINT
            rows.append(
                tag(
                    "span",
                    f"{number:>{width}}  ",
                    style=markup.css("user-select:none;", markup.SOFT, markup.TINT),
                )
            )
            rows.extend([tag("span", line, style=markup.css("", markup.INK, ground)), "\n"])
        return join([_heading("Program"), tag("pre", *rows[:-1], style=markup.PRE)])

    def calls(self) -> Markup:
        trace = self.data["trace"]
        if not trace:
            return Markup("")
        parts = [_heading(f"Calls ({len(trace):,})")]
        for number, call in enumerate(trace, 1):
            if self.budget < 0:
                parts.append(tag("div", f"and {len(trace) - number + 1:,} more calls", style=markup.NOTE))
                break
            parts.append(self.step(number, call))
            self.budget -= len(parts[-1])
        return join(parts)

    def step(self, number: int, call: Data) -> Markup:
        notes = ["cached"] if call["cached"] else [_duration(call["seconds"])]
        if call["backend"]:
            notes.append(str(call["backend"]))
        if call.get("caller"):
            notes.append(f"called by {call['caller']}")
        name = tag("b", f"{number}. {call['tool']}", style=markup.PLAIN)
        parts = [
            tag("div", name, tag("span", "  " + " · ".join(notes), style=markup.NOTE), style=markup.PLAIN)
        ]
        if call["line"] is not None and 0 < call["line"] <= len(self.lines):
            source = tag("code", self.lines[call["line"] - 1].strip(), style=markup.CODE)
            parts.append(tag("div", f"line {call['line']}  ", source, style=markup.NOTE))
        rows = [(name, markup.long(self.kinds.words(value))) for name, value in call["arguments"].items()]
        if call["error"]:
            failed = tag("b", str(call["error"]), style=markup.css(color=markup.STATUS_COLORS["error"]))
            rows.append(("✗", failed))
        else:
            rows.append(("→", tag("b", markup.long(self.kinds.words(call["result"])), style=markup.PLAIN)))
        found, given = [call["result"]], list(call["arguments"].values())
        parts += [
            markup.table(rows),
            timeline(call["result"], given),
            self.row(self.figures(found, given, min(self.side, _STEP_SIDE))),
        ]
        return tag("div", *parts, style=markup.STEP)

    def more(self) -> Markup:
        parts = []
        if self.data["diagnostics"]:
            parts += [_heading("Check"), _findings(self.data["diagnostics"])]
        if self.data["stdout"]:
            printed = str(self.data["stdout"])
            parts += [_heading("Printed"), markup.long(printed, "pre", markup.PRE)]
        taken = self.data.get("rests_on") or ()
        if taken:
            parts.append(_heading("Taken from earlier questions"))
            parts += [self.earlier("", step) for step in taken]
        earlier = self.data["steps"][:-1]
        if earlier:
            # Of a planner that looks before it answers, what came before belongs to the evidence.
            turns = any(step.get("kept_as") for step in earlier)
            parts.append(_heading("Turns before" if turns else "Also tried"))
            name = "Turn" if turns else "Attempt"
            parts += [self.earlier(f"{name} {number}: ", step) for number, step in enumerate(earlier, 1)]
        return join(parts)

    def earlier(self, title: str, step: Data) -> Markup:
        """A program before the one that the answer comes from.

        Args:
            title: The beginning of its title.
        """
        kept = step.get("kept_as")
        what = self.kinds.words(step["value"]) if kept else _why(step)
        title += f"{kept + ' = ' if kept else ''}{one_line(what, 160)}"
        called = ", ".join(one_line(str(call["tool"]), 40) for call in step.get("trace") or ())
        drawn = Markup("")
        if kept and self.budget > 0:
            drawn = self.row(self.figures([step["value"]], (), min(self.side, _STEP_SIDE)))
        return tag(
            "details",
            tag("summary", title, style=markup.css("cursor:pointer;")),
            tag("pre", str(step.get("program") or "(no program)"), style=markup.PRE),
            tag("div", f"called: {called}", style=markup.NOTE) if kept and called else Markup(""),
            tag("div", str(step["feedback"]), style=markup.MESSAGE) if step["feedback"] else Markup(""),
            _findings(step.get("diagnostics") or ()),
            drawn,
            style=markup.PLAIN,
            open="" if kept else None,
        )

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
        return tag("div", " · ".join(facts), style=markup.FOOT)

    def value(self, value: Any) -> Markup:
        """An answer in words: yes and no, texts without quotes."""
        if isinstance(value, bool):
            return join(["yes" if value else "no"])
        if value in ("", []):
            return join(["nothing"])
        return markup.long(value if isinstance(value, str) else self.kinds.words(value))

    # -- images ----------------------------------------------------------------------------------

    def row(self, figures: Iterable[Markup]) -> Markup:
        """Images side by side, as far as there is room."""
        shown = [f for f in figures if f]
        hidden = len(shown) - MAX_FIGURES
        more = [tag("div", f"and {hidden:,} more images", style=markup.NOTE)] if hidden > 0 else []
        return tag("div", *shown[:MAX_FIGURES], *more, style=markup.PLAIN) if shown else Markup("")

    def figures(self, found: Sequence[Any], given: Sequence[Any], side: int) -> Iterable[Markup]:
        """What was found and given, drawn on the images that it lies in, and images that were made."""
        inputs = [i for i in given if type_of(i) == "Image"]
        frame = inputs[0]["root"] if inputs else self.default_root
        shapes: dict[str, list[tuple[Data, DrawnValue, str]]] = {}
        for values, color in ((found, ""), (given, GIVEN)):
            placed = ((v, self.kinds.drawing(v)) for v in walk(values))
            for number, (item, drawing) in enumerate((v, d) for v, d in placed if d is not None):
                # A colour that is named is not contradicted by the colour of the line.
                own = INK if drawing.colored else COLORS[number % len(COLORS)]
                root = str((item.get("image") or {}).get("root") or frame)
                if root in self.pictures:
                    shapes.setdefault(root, []).append((item, drawing, color or own))
        for crop in inputs:  # shown as its place in the whole
            place = self.kinds.drawing(window(crop))
            if crop["digest"] != crop["root"] and crop["root"] in shapes and place is not None:
                shapes[crop["root"]].append((window(crop), place, GIVEN))
        drawn = False
        for root, items in shapes.items():
            drawn = True
            yield self.figure(root, items, side)
        for made in images(found):
            drawn = True
            yield self.figure(made["digest"], (), side, made.get("name", ""))
        if not drawn:
            for looked_at in images(given):
                if looked_at["digest"] not in self.shown:
                    yield self.figure(looked_at["digest"], (), side)

    def figure(
        self, digest: str, shapes: Sequence[tuple[Data, DrawnValue, str]], side: int, name: str = ""
    ) -> Markup:
        """An image with shapes drawn in, which are in the coordinates of the whole image."""
        kept = self.pictures.get(digest)
        if kept is None or self.budget < 0:
            return Markup("")
        drawn = _drawn(kept, [(drawing, color) for _, drawing, color in shapes], side)
        if drawn is None:
            return Markup("")
        self.budget -= len(drawn.url)
        notes = [name] if name else []
        if len(shapes) > MAX_SHAPES:
            notes.append(f"first {MAX_SHAPES} of {len(shapes):,} are drawn")
        alt = "; ".join(one_line(self.kinds.words(item), 80) for item, _, _ in shapes[:8]) or name or "image"
        return markup.image(drawn, alt, " · ".join(notes))


def _drawn(kept: Data, shapes: Sequence[Shape], side: int) -> Figure | None:
    try:
        data = base64.b64decode(kept["data"])
    except ValueError:
        return None
    return figure(data, (0.0, 0.0, float(kept["width"]), float(kept["height"])), shapes, side)


def _heading(text: str) -> Markup:
    return tag("div", tag("b", text, style=markup.css(color=markup.SOFT)), style=markup.HEADING)


def _findings(diagnostics: Iterable[Data]) -> Markup:
    items = []
    for found in diagnostics:
        severity = str(found["severity"])
        where = f" line {found['line']}, column {int(found['column']) + 1}: {found['message']} "
        color = markup.STATUS_COLORS["error" if severity == "error" else "refused"]
        parts: list[str] = [
            tag("b", severity, style=markup.css(color=color)),
            where,
            tag("code", found["code"], style=markup.CODE),
        ]
        if found["suggestion"]:
            parts.append(tag("div", str(found["suggestion"]), style=markup.NOTE))
        items.append(tag("div", *parts, style=markup.css("margin:2px 0;")))
    return join(items)


def _why(attempt: Data) -> str:
    found = attempt.get("diagnostics") or ()
    why = attempt["feedback"] or next((d["message"] for d in found), attempt["message"])
    return str(why or "it was not the best")


def _duration(seconds: Any) -> str:
    seconds = float(seconds)
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
