"""The grammar that the embedded planner's decoding is held to: well-formed programs that call known tools.

It is made anew for each question: tools come from the registry, and strings may only be phrases of the question
(or one of a `Literal`'s values), so a program cannot look for what nobody asked about.
"""

from __future__ import annotations

import json
from typing import Any, Literal, get_args, get_origin

from ...registry import Registry, Tool
from ...registry.types import Type, is_union
from ...values import Grid, Located, Point
from ...values.image import Image
from .vocabulary import QUESTION, normalize, spans

_FIXED = r"""
start: program | "unsure\n"
program: HEADER statement* "    return " answer "\n"
statement: "    " (NAME | "image") " = " answer "\n"
answer: objects | object | image | text | texts | number | truth | numbers | grid | points
objects: NAME | "[" VAR each "]" | "[" object "]" | objects " + " objects
object: VAR | NAME
image: "image" | "images[" INT "]"
points: NAME
grid: NAME
text: STRING | object ".label" | text " if " truth " else " text | text ".split(\"\\n\")[0]" | "str(" number ")"
texts: "[" text (", " text)* "]" | "[" text each "]" | text ".split()" | NAME
numbers: "[" number (", " number)* "]" | "[" number each "]" | "[" "image" each "]" | NAME
number: INT | NAME | VAR | "0.2" | "1.5" | image SIZE | object MEASURE | grid GRID | number OP number | "(" number ")"
      | "len(" (objects | numbers | texts | points | "images") ")" | "len(set(" answer each "))"
      | "abs(" number ")" | "sum(" number each ")" | "max(" numbers ")" | "min(" numbers ")"
      | numbers "[" INT "]" | numbers ".index(" number ")" | number " if " (truth | NAME) " else " number
truth: number COMPARE number | text EQUAL text | object EQUAL object | object RELATION "(" object ")" | "not " truth
     | truth " and " truth | truth " or " truth | "(" truth ")" | truth EQUAL truth
     | ("any(" | "all(") truth each+ ")" | points | objects
each: " for " item " in " loop (" if " truth)?
item: VAR | "image" | "i, image"
loop: objects | numbers | "range(" number ")" | "images" | "enumerate(images)"
INT: /-?(0|[1-9][0-9]{0,3})/
NAME: "a" | "b" | "c" | "grid" | "counts"
VAR: "x" | "y" | "i"
SIZE: ".width" | ".height"
MEASURE: ".center.x" | ".center.y" | ".width" | ".height" | ".area" | ".sides" | ".left" | ".top" | ".right" | ".bottom"
GRID: ".rows" | ".columns" | ".cells"
OP: " + " | " - " | " * " | " / " | " % "
COMPARE: " == " | " != " | " > " | " < " | " >= " | " <= "
EQUAL: " == " | " != "
RELATION: ".left_of" | ".right_of" | ".above" | ".below" | ".inside" | ".contains" | ".overlaps" | ".touches"
"""

FIXED = (
    "left",
    "right",
    "top",
    "bottom",
    "above",
    "below",
    "person",
    "shape",
    "squares",
    "What shape is the thing?",
)
"""Strings that a program may hold without the question's saying them."""

_SCALARS: dict[Type, str] = {str: "text", int: "number", float: "number", bool: "truth"}


def grammar(question: str, registry: Registry, several: bool) -> str:
    """A Lark grammar, as `llguidance` reads it, of the programs that may answer the question."""
    words = normalize(question)
    phrases = dict.fromkeys("".join(f" {word}" for word, _, _ in words[i:j]) for i, j in spans(words))
    strings = [f'"{p}"' for p in (*phrases, QUESTION, *FIXED) if '"' not in p]
    rules: dict[str, list[str]] = {}
    for tool in registry.values():
        category = _category(tool.returns)
        if category is not None:
            rules.setdefault(category, []).append(_call(tool))
    header = "def answer(images):\n" if several else "def answer(image):\n"
    lines = [_FIXED, f"HEADER: {json.dumps(header)}", "STRING: " + " | ".join(map(json.dumps, strings))]
    text = "\n".join(lines)
    for category, calls in rules.items():
        text = text.replace(f"\n{category}: ", f"\n{category}: " + " | ".join(calls) + " | ", 1)
    return text + "\n"


def _call(tool: Tool) -> str:
    """The production for a call of the tool: required arguments in order, then optional ones, by position."""
    parts = [f'"{tool.name}("']
    required = [p for p in tool.parameters if p.required]
    for i, parameter in enumerate(required):
        parts += ['", "'] * (i > 0) + [_argument(parameter.type)]
    closing = ""
    for parameter in tool.parameters[len(required) :]:
        parts += ['(", "' if required else "(", _argument(parameter.type)]
        closing += ")?"
    return " ".join(parts) + f' {closing} ")"'


def _argument(annotation: Type) -> str:
    options = get_args(annotation) if is_union(annotation) else (annotation,)
    return "(" + " | ".join(dict.fromkeys(_value(o) for o in options if o is not type(None))) + ")"


def _value(annotation: Type) -> str:
    origin: Any = get_origin(annotation)
    if origin is Literal:
        return " | ".join(json.dumps(json.dumps(a)) for a in get_args(annotation))
    return _category(annotation) or "object"


def _category(annotation: Type) -> str | None:
    """The rule of the grammar whose expressions have this type."""
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if annotation is Image:
        return "image"
    if annotation is Grid:
        return "grid"
    origin: Any = get_origin(annotation)
    if is_union(annotation) or origin is Literal:
        return None
    if origin is None:  # a class of values, or the type variable of a helper
        return "object" if not isinstance(annotation, type) or issubclass(annotation, Located) else None
    inner = get_args(annotation)[0]
    if inner is Point:
        return "points"
    if inner in _SCALARS:
        return "texts" if inner is str else "numbers"
    return "objects"
