"""Programs that measure drawings, in words: `find_circles(image, "red")` is `detect(image, "red circle")`.

The embedded planner learned to measure what can be measured. Where a task lacks the tools for that, what they would
find is asked of `detect` by its name.
"""

from __future__ import annotations

import re

from ...check import check
from ...registry import Registry, default_registry

MEASURING = ("find_circles", "find_polygons")

_IMAGE = r"(?P<image>image|images\[-?\d+\]|[a-z])"
_CIRCLES = re.compile(rf'\bfind_circles\({_IMAGE}(?:, "(?P<color>[^"]*)")?\)')
_POLYGONS = re.compile(rf'\bfind_polygons\({_IMAGE}(?:, "(?P<kind>[^"]*)"(?:, "(?P<color>[^"]*)")?)?\)')
_BOTH = re.compile(rf'{_CIRCLES.pattern} \+ (?=find_polygons\((?P=image), "shapes?")')
"""Circles, and all shapes: `detect` counts circles among the shapes."""

_ROUND = re.compile(r"\b(circle|disc|disk|dot|ring)s?\b")
"""Nouns for what `find_circles` finds. A ring measures as a circle, but people see another object."""


def missing(registry: Registry) -> Registry:
    """The measuring tools that a registry lacks, where `detect` can be asked instead."""
    absent = [name for name in MEASURING if name not in registry and "detect" in registry]
    return Registry(default_registry()[name] for name in absent)


def detect_instead(source: str, question: str, absent: Registry, registry: Registry) -> str | None:
    """The program that asks `detect` for what `absent` tools would measure; None where that does not do, as where a
    radius is needed.

    Args:
        source: a program of the embedded planner.
        question: which it is to answer.
        absent: of `missing`.
        registry: what programs may call.
    """
    if not any(f"{name}(" in source for name in absent):
        return source
    if len(absent) == len(MEASURING):
        source = _BOTH.sub("", source)
    asked = set(_ROUND.findall(question.lower()))
    if "find_circles" in absent and not ("ring" in asked and len(asked) > 1):
        noun = "ring" if "ring" in asked else "circle"
        source = _CIRCLES.sub(lambda call: _detect(call, noun), source)
    if "find_polygons" in absent:
        source = _POLYGONS.sub(lambda call: _detect(call, call["kind"] or "polygon"), source)
    return None if any(found.severity == "error" for found in check(source, registry)) else source


def _detect(call: re.Match[str], noun: str) -> str:
    return f'detect({call["image"]}, "{" ".join(filter(None, (call["color"], noun)))}")'
