"""HTML that keeps its looks anywhere: elements with inline styles, escaped, and images as data URLs.

It is made for notebooks, where others have the last word on styles: every element with text has its own colours. So it
is legible on a dark page and in an untrusted notebook (whose `<style>`, `<svg>` and scripts are removed), and makes
sense even if all styles are removed.

Whatever comes from a question, an image, a program or a model is escaped where it is put in: only `Markup`, which this
file makes, is taken as it is.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from .figures import Figure
from .forms import one_line

SHORT = 240
"""Characters of a value that are shown before one asks for the rest."""

MAX_TEXT = 20_000
"""Characters of a value that are shown at all."""

INK, SOFT, PAPER, TINT, RULE = "#1c2128", "#57606a", "#ffffff", "#f3f5f8", "#d0d7de"
STATUS_COLORS = {
    "answered": "#12803c",
    "fallback": "#1b65c2",
    "refused": "#9a5b00",
    "unsure": "#7a3fb0",
    "error": "#c62338",
}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def css(more: str = "", color: str = INK, background: str = PAPER) -> str:
    """An inline style; the colours are always in it, since those of the page around are not known."""
    return f"color:{color};background-color:{background};{more}"


_SANS = "font-family:system-ui,sans-serif;font-size:14px;line-height:1.5;text-align:left;"
_MONO = "font-family:monospace;font-size:13px;line-height:1.5;"
_CELL = (
    "border:0;padding:1px 14px 1px 0;text-align:left;vertical-align:top;white-space:pre-wrap;max-width:none;"
)

PLAIN = css()
CARD = css(
    f"{_SANS}max-width:960px;margin:4px 0;padding:12px 16px;border:1px solid {RULE};border-radius:6px;"
    "box-sizing:border-box;word-wrap:break-word;"
)
TITLE = css("font-size:18px;margin:0 0 6px;white-space:pre-wrap;")
HEADING = css("font-size:13px;margin:16px 0 4px;", SOFT)
NOTE = css("font-size:12px;", SOFT)
VALUE = css("font-size:20px;white-space:pre-wrap;margin:4px 0;")
MESSAGE = css("margin:4px 0;white-space:pre-wrap;")
PRE = css(
    f"{_MONO}margin:4px 0;padding:8px 12px;border:0;border-radius:6px;overflow:auto;max-height:480px;text-align:left;"
    "white-space:pre;",
    background=TINT,
)
CODE = css(f"{_MONO}padding:0;white-space:pre-wrap;")
STEP = css(f"border-top:1px solid {RULE};margin:0;padding:10px 0;")
FOOT = css(f"border-top:1px solid {RULE};margin-top:12px;padding-top:8px;font-size:12px;", SOFT)
_FIGURE = css("display:inline-block;vertical-align:top;max-width:100%;margin:6px 10px 6px 0;")
_TABLE = css("border:0;border-collapse:collapse;table-layout:auto;margin:4px 0;font-size:13px;width:auto;")
_ROW = css("border:0;")


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


def card(*children: str) -> Markup:
    """What stands alone in a page or in the output of a notebook's cell.

    Its classes keep the dollar signs in it from being set as mathematics.
    """
    return tag("div", *children, style=CARD, class_="tex2jax_ignore mathjax_ignore")


def image(figure: Figure, alt: str, caption: str = "") -> Markup:
    """An image with a caption, no wider than the page."""
    style = css(f"display:block;max-width:100%;width:{figure.width}px;height:auto;margin:0;")
    size = f'width="{figure.width}"'
    shown = Markup(f'<img src="{_escape(figure.url)}" alt="{_escape(alt)}" {size} style="{style}">')
    return tag("div", shown, *([tag("div", caption, style=NOTE)] if caption else []), style=_FIGURE)


def table(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> Markup:
    """Rows of cells; the first of each names the row, unless there is a head."""

    def cells(row: Sequence[str]) -> Iterable[Markup]:
        for column, cell in enumerate(row):
            first = not column and not head
            yield tag("td", cell, style=css(_CELL, SOFT if first else INK))

    names = (
        [tag("tr", *(tag("td", name, style=css(_CELL, SOFT)) for name in head), style=_ROW)] if head else []
    )
    body = [tag("tr", *cells(row), style=_ROW) for row in rows]
    return tag("table", tag("tbody", *names, *body), style=_TABLE)


def badge(status: str) -> Markup:
    """A status in words, on its colour."""
    style = css("padding:1px 9px;border-radius:9px;font-size:12px;", PAPER, status_color(status))
    return tag("b", status, style=style)


def status_color(status: str) -> str:
    return STATUS_COLORS.get(status, SOFT)


def long(text: str, name: str = "span", style: str = PLAIN) -> Markup:
    """A text as an element; of a long one its beginning, the rest on demand."""
    if len(text) <= SHORT:
        return tag(name, text, style=style)
    more = len(text) - MAX_TEXT
    rest = text if more <= 0 else f"{text[:MAX_TEXT]}… ({more:,} more characters)"
    start = tag("summary", one_line(text, SHORT // 2), style=css("cursor:pointer;"))
    return tag("details", start, tag("pre", rest, style=PRE + "white-space:pre-wrap;"), style=PLAIN)


def _escape(text: str) -> str:
    plain = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be written
    return html.escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "�", plain))
