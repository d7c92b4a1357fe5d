"""`point` with vision-language models that were trained to point: Molmo (Deitke et al., 2024) and Molmo2 in their own
form, Qwen3-VL, Gemini and others in JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from string import Template
from typing import Any, Literal

from visprog import prompts
from visprog.errors import ToolError
from visprog.files.plain_text import parse_json
from visprog.values import Point
from visprog.values.image import Image

from ._batching import answer_batch
from .endpoint import EndpointModel
from .vlm import ImagePrompt, VlmBackend

MAX_POINTS = 1000
Form = Literal["auto", "molmo", "json"]
Pair = tuple[float, float]

_ATTRIBUTE = re.compile(r"""\b([xy])(\d*)\s*=\s*["']\s*(-?\d+(?:\.\d+)?)\s*["']""")
_ELEMENT = re.compile(r"<points?\b([^>]*)>")
_COORDS = re.compile(r"""\bcoords\s*=\s*["']([^"']*)["']""")
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
_NONE = re.compile(r"(?:there (?:is|are) (?:no|none|not any)\b|none\b|no such\b)[^0-9<\[{]*\Z", re.IGNORECASE)


def parse_points(text: str) -> list[Pair]:
    """The points in an answer, as shares (x, y) of width and height.

    Three forms are read. Molmo: `<point x="61.5" y="40.4">` and `<points x1="10.5" y1="20.0" x2=…>`, in percent.
    Molmo2: `<points coords="1 1 615 404 2 …">`, the number of the image, then for each point its number, x and y in
    thousandths. JSON: lists of `{"point_2d": [x, y]}`, `{"x": x, "y": y}` or `{"point": [y, x]}`, in thousandths.

    Raises:
        ValueError: There are none in a known form and the answer does not say so, or one lies outside the image.
    """
    text = text.strip()
    elements = _ELEMENT.findall(text)
    if elements:
        points = [pair for attributes in elements for pair in _of_element(attributes)]
    elif _NONE.match(text):
        points = []
    else:
        points = _of_json(text)
    if len(points) > MAX_POINTS or not all(0 <= x <= 1 and 0 <= y <= 1 for x, y in points):
        raise ValueError("points outside the image, or too many")
    return points


def _of_element(attributes: str) -> Iterator[Pair]:
    """The points of one element of Molmo or Molmo2."""
    coords = _COORDS.search(attributes)
    if coords is not None:
        image, *numbers = map(float, coords[1].split())
        if image != 1 or not numbers or len(numbers) % 3:
            raise ValueError("coordinates that are not those of points in one image")
        yield from ((x / 1000, y / 1000) for x, y in zip(numbers[1::3], numbers[2::3], strict=True))
        return
    found: dict[str, dict[str, float]] = {}
    for axis, number, value in _ATTRIBUTE.findall(attributes):
        found.setdefault(number, {})[axis] = float(value)
    if not found or any(len(pair) < 2 for pair in found.values()):
        raise ValueError("a point without its coordinates")
    yield from ((pair["x"] / 100, pair["y"] / 100) for pair in found.values())


def _of_json(text: str) -> list[Pair]:
    """The points of a JSON list, which may be fenced."""
    fenced = _FENCE.search(text)
    try:
        entries = parse_json(fenced[1] if fenced else text)
    except RecursionError:
        entries = None
    entries = [entries] if isinstance(entries, dict) else entries
    if not isinstance(entries, list):
        raise ValueError("no list of points")
    points = []
    for entry in entries:
        match entry:
            case {"point_2d": [x, y]} | {"x": x, "y": y} | {"point": [y, x]}:
                if not all(type(v) in (int, float) for v in (x, y)):
                    raise ValueError("a point that is not made of numbers")
                points.append((x / 1000, y / 1000))
            case _:
                raise ValueError("an entry that is no point")
    return points


def point_prompt(what: str, model: str, form: Form) -> str:
    """The prompt that asks a model to point.

    Raises:
        ToolError: It is not said to what.
    """
    what = " ".join(what.split())
    if not what:
        raise ToolError("point was not given what to point to")
    if form == "molmo" or (form == "auto" and "molmo" in model.lower()):
        return f"Point to {what}."
    return Template(prompts.text("point.txt")).substitute(what=what).strip()


def points_in(image: Image, model: str, answer: str | Exception) -> list[Point] | Exception:
    """The points of an answer in the frame of the root, or the error that it is."""
    if isinstance(answer, Exception):
        return answer
    try:
        shares = parse_points(answer)
    except ValueError:
        return ToolError(
            f"point: the answer of '{model}' holds no points in a known form: {answer[:80]!r}; choose a model that was "
            "trained to point, such as Molmo2 or Qwen3-VL"
        )
    return [image.to_root(Point(x * image.width, y * image.height)) for x, y in shares]


class VlmPointer(VlmBackend):
    """Points by a vision-language model on this machine.

    Args:
        form: "molmo" for models that answer with <point>, "json" for others; "auto" goes by the name of the model, or
            by its type if it is a folder.
    """

    tool = "point"
    default_model = "allenai/Molmo2-4B"
    default_max_tokens = 512

    def __init__(self, model: str | None = None, *, form: Form = "auto", **options: Any) -> None:
        super().__init__(model, **options)
        self.form: Form = form

    def _prepare(self, image: Image, what: str) -> ImagePrompt:
        name = self.model if self.folder is None else self._find().model_type
        return ImagePrompt(image, point_prompt(what, name, self.form))

    def _answer(self, asked: list[ImagePrompt]) -> list[Any]:
        answers = super()._answer(asked)
        return [points_in(ask.image, self.model, said) for ask, said in zip(asked, answers, strict=True)]


class EndpointPointer(EndpointModel):
    """Points by a vision-language model behind an OpenAI-compatible endpoint.

    Args:
        form: "molmo" for models that answer with <point>, "json" for others; "auto" goes by the name of the model.
    """

    tool = "point"

    def __init__(self, model: str | None = None, *, form: Form = "auto", **options: Any) -> None:
        super().__init__(model, **options)
        self.form: Form = form

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_batch(calls, self._prepare, self._answer)

    def _prepare(self, image: Image, what: str) -> ImagePrompt:
        return ImagePrompt(image, point_prompt(what, self.model, self.form))

    def _answer(self, asks: list[ImagePrompt]) -> list[Any]:
        answers = super()._answer(asks)
        return [points_in(ask.image, self.model, said) for ask, said in zip(asks, answers, strict=True)]
