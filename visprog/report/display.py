"""Values, tools and results in notebooks: HTML and images of bounded size, drawn as the evidence of answers is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from ..answer import to_data
from ..values.describe import show
from ..values.json_values import one_line, words
from . import markup
from .figures import COLORS, draw, encode, smallest
from .markup import Markup, tag

if TYPE_CHECKING:
    from ..mapping.map import MapResult
    from ..registry import Registry, Tool
    from ..values import Located, Mask
    from ..values.image import Image

SIDE = 640
"""Longest side of images that are shown alone, in pixels."""

MAX_ROWS = 50
_CROP_SIDE, _ROW_SIDE = 320, 96


def image_bytes(image: Image, media_type: str) -> bytes | None:
    """An image, scaled down to `SIDE`, as PNG or JPEG; None if it is larger in that format than in the other."""
    import PIL.Image

    picture = image.to_pil()
    if max(picture.size) > SIDE:
        picture.thumbnail((SIDE, SIDE), PIL.Image.Resampling.LANCZOS)
    best, data = smallest(picture)
    return data if best == media_type else None


def located_html(value: Located, image: Image | None) -> str | None:
    """A value on the part of its image that it lies in; None if its image is not known."""
    if image is None:
        return None
    margin = 8 + 0.25 * max(value.width, value.height)
    shown = value.box.expand(margin).intersection(image.root.box)
    if shown is None:
        return None
    part = image.root.crop(shown)
    frame = part.box
    corners = (frame.left, frame.top, frame.right, frame.bottom)
    data = to_data(value)
    figure = encode(draw(part.to_pil(), corners, [(data, COLORS[0])], _CROP_SIDE))
    return markup.card(markup.image(figure, words(data), one_line(words(data), 160)))


def mask_html(mask: Mask) -> str:
    """A mask, white on black."""
    import PIL.Image

    text = repr(mask)
    if 0 in mask.pixels.shape:
        return markup.card(text)
    box = mask.box
    pixels = PIL.Image.fromarray(mask.pixels)
    figure = encode(draw(pixels, (box.left, box.top, box.right, box.bottom), (), _CROP_SIDE))
    return markup.card(markup.image(figure, text, text))


def results_html(results: Iterable[MapResult], count: int | None = None) -> str:
    """Results of a map as a table: a small image, the answer, why there is none.

    Args:
        count: number of all results, if `results` holds only the first of them.
    """
    shown = list(islice(results, MAX_ROWS + 1))
    rows = [_result_row(result) for result in shown[:MAX_ROWS]]
    hidden = len(shown) > MAX_ROWS or (count or 0) > MAX_ROWS
    more = f"first {MAX_ROWS}" + (f" of {count:,} results" if count else " results")
    note = [tag("div", more, style=markup.NOTE)] if hidden else []
    return markup.card(markup.table(rows, ("image", "", "status", "answer")), *note)


def tool_html(tool: Tool) -> str:
    """A tool: how it is called, what it does, what it cannot do, what does the work."""
    rows = [("limits", tool.limits)] if tool.limits else []
    backends = ", ".join(f"{n} (default)" if n == tool.default_backend else n for n in tool.backends)
    rows += [("backends", backends)] if backends else []
    return markup.card(
        tag("code", tag("b", tool.signature, style=markup.PLAIN), style=markup.CODE),
        tag("div", tool.doc, style=markup.MESSAGE),
        *([markup.table(rows)] if rows else []),
    )


def registry_html(registry: Registry) -> str:
    """The tools of a registry, a row each; helpers, which cost no call, in a table of their own."""
    tools = list(registry.values())
    tables: list[str] = []
    for name, members in (
        ("tool", [t for t in tools if not t.pure]),
        ("helper", [t for t in tools if t.pure]),
    ):
        if members:
            rows = [(tag("code", t.name, style=markup.CODE), t.summary) for t in members]
            tables.append(markup.table(rows, (name, "what it does")))
    return markup.card(*tables or ["no tools"])


def _result_row(result: MapResult) -> Sequence[str]:
    answer = result.answer
    text = show(answer.value) if answer.value is not None else answer.message
    return (
        _thumbnail(answer.images),
        result.image,
        markup.badge(answer.status),
        tag("span", one_line(text, 200), style=markup.PLAIN),
    )


def _thumbnail(images: Sequence[Image]) -> Markup:
    if not images:
        return Markup("")
    image = images[0]
    figure = encode(draw(image.to_pil(), (0, 0, image.width, image.height), (), _ROW_SIDE))
    shown = markup.image(figure, image.name or "image")
    return tag("div", shown, style=markup.css(f"min-width:{figure.width}px;"))
