"""Backends that answer by way of other tools, with whatever backends those have."""

from __future__ import annotations

import re
from typing import Any

from visprog.errors import Refused, ToolError
from visprog.registry import answer_each
from visprog.registry.sees import Parsed, Sees
from visprog.values import Point, Region
from visprog.values.image import Image

from ..classify import verify
from ..detect import detect
from ..words.phrase import Phrase, read_phrase

_AMONG_OTHERS = re.compile(
    r"\b(?:(?:left|right|top|bottom|front|middle|cent(?:er|re)) ?most|\w+est|most|least|first|second|third|fourth|fifth"
    r"|last|next|other|another|both|same|middle|central|upper|lower|than"
    r"|(?:to|on|at|in) the (?:left|right|top|bottom|middle|cent(?:er|re)|front|back|corner|edge)"
    r"|(?:left|right|in front|on top|outside|inside) of|above|below|beneath|under(?:neath)?|over|behind"
    r"|besides?|between|among|near|nearer|close|closer|far|farther|further|opposite"
    r"|around|against|facing)\b",
    re.IGNORECASE,
)
"""Words that say how an object lies, or compares, among others."""
_NOT_SUPERLATIVE = re.compile(
    r"\b(?:forest|chest|west|guest|nest|vest|pest|test|rest|priest|harvest|request|interest)\b"
)


def _of_one_region(phrase: str) -> Phrase:
    """A phrase that can be judged of each region alone.

    Raises:
        Refused: It says how a region lies, or compares, among others.
        ToolError: It says nothing.
    """
    among = _AMONG_OTHERS.search(_NOT_SUPERLATIVE.sub(" ", phrase))
    if among is not None:
        raise Refused(
            f"select looks at each region alone, and '{among[0]}' says how it lies or compares among others: use "
            'leftmost, largest, nth, nearest or a.left_of(b), or a backend that sees all regions, such as "vilbert" '
            "under [tools.select]"
        )
    return read_phrase(phrase)


class VerifiedRegions:
    """Those regions of which `verify` says that the phrase holds, each looked at alone, in their order.

    Args:
        model: Must be None: set the backend of verify.
    """

    process = "host"
    sees = Sees(
        "each region alone: its colour, and what verify can tell of it. How regions lie among others is refused.",
        {"phrase": Parsed(_of_one_region)},
    )

    def __init__(self, model: str | None = None) -> None:
        if model is not None:
            raise ToolError("select: 'verify' has no model of its own: set that of [tools.verify]")

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self._fitting)

    def _fitting(self, regions: list[Region], phrase: str) -> list[Region]:
        """Raises `Refused` if the phrase cannot be judged of each region alone, or of one of them not at all."""
        parsed = _of_one_region(phrase)
        if any(region.image is None for region in regions):
            raise ToolError("select needs regions that know their image, as detect and segment return them")
        if regions and parsed.color and all(_is_kind(region, parsed.noun) for region in regions):
            return [region for region in regions if verify(region, parsed.color)]
        if (
            regions
            and parsed.whole == parsed.noun
            and all(_is_kind(region, parsed.noun) for region in regions)
        ):
            return list(regions)
        return [region for region in regions if verify(region, parsed.whole)]


def _is_kind(region: Region, noun: str) -> bool:
    """Whether a region was found under this noun, so that only the rest of a phrase is open."""
    try:
        return read_phrase(region.label).noun == noun
    except ToolError:
        return False


class DetectedCenters:
    """The centre of each object that `detect` finds.

    Args:
        model: Must be None: set the backend of detect.
    """

    process = "host"

    def __init__(self, model: str | None = None) -> None:
        if model is not None:
            raise ToolError("point: 'detect' has no model of its own: set that of [tools.detect]")

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self._centers)

    def _centers(self, image: Image, what: str) -> list[Point]:
        return [region.center for region in detect(image, what)]
