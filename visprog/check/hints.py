"""Suggestions of what to write instead of a value of the wrong type."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from ..errors import close_match
from ..values import Box, Located, Mask, Point, Region, Track
from ..values.colors import SYNONYMS
from ..values.image import Image
from ..values.video import Video
from .inference.signatures import Class, Signature
from .inference.types import (
    ITERATOR,
    VIEW,
    Function,
    Instance,
    StaticType,
    Variable,
    class_of,
    could_be,
    element,
    is_number,
    list_of,
    members,
)

_LISTS = (list, tuple, Sequence, Iterable)


def conversion(given: StaticType, wanted: StaticType, node: ast.expr, *, strict: bool = False) -> str | None:
    """How to make what is wanted of the value that `node` gives."""
    text = brief(node)
    note = next((m.note for m in members(given) if isinstance(m, Instance) and m.note), "")
    if note:
        return note
    if isinstance(given, Signature) and not could_be(given, wanted, strict=strict):
        return f"call it: {given.text}"
    if isinstance(given, Function) and not isinstance(given, Class):
        return "call it with (…)"
    options = [w.bound if isinstance(w, Variable) else w for w in members(wanted)]
    classes = {class_of(w) for w in options}
    have = class_of(given)
    if have in (list, tuple) and not classes & set(_LISTS):
        if could_be(element(given), wanted, strict=strict) and (
            Region in classes or Located in classes or Box in classes
        ):
            return f"choose one of them, for example best({text}), or loop over them"
        if classes <= {int, float}:
            return f"write len({text}) for how many there are"
        if could_be(element(given), wanted, strict=strict):
            return f"choose one of them, for example {text}[0], or loop over them"
    if have is ITERATOR and could_be(list_of(element(given)), wanted, strict=strict):
        return f"write list({text})"
    if classes & set(_LISTS):
        inner = [w.args[0] for w in options if isinstance(w, Instance) and w.cls in _LISTS and w.args]
        if have not in (list, tuple) and any(could_be(given, i, strict=strict) for i in inner):
            if tuple in classes:
                return f"give one tuple of all of them: ({text}, …)"
            return f"put it into a list: [{text}]"
        if strict and have in (set, frozenset, dict, range, VIEW):
            return f"write list({text})"
        if any(could_be(i, Instance(str), strict=True) and not isinstance(i, Variable) for i in inner):
            return "make strings of them: [str(x) for x in …], or [r.label for r in …] for regions"
    if have is Video and Image in classes:
        return f"take a frame: {text}.at(time), or go through {text}.frames(every=…)"
    moving = element(given) if have in (list, tuple) else given
    if class_of(moving) is Track and classes & {Image, Region}:
        return f"take it where it is seen best: best_view(video, {text})"
    if class_of(moving) is Track and (_inner(options) or classes) & {Located, Point, Box}:
        return "a Track moves: say which place is meant, t.start, t.end or t.at(time)"
    if Image in classes and have in (Box, Mask) and isinstance(node, ast.Attribute):
        return f"give {brief(node.value)} itself, or cut it out first: crop(image, {text})"
    if Image in classes and have is not None and issubclass(have, Located):
        return f"cut it out first: crop(image, {text})"
    if have is Image and classes & {Region, Box, Located}:
        return "give what a tool found in the image, for example detect(image, '…')[0]"
    if str in classes and have is Region:
        return f"use {text}.label"
    if str in classes and is_number(given):
        return f"write str({text})"
    if classes & {int, float} and have is str:
        return f"write int({text}) or float({text})"
    if have is Point and classes & {Region, Box}:
        return "a Point has no extent: give a Region or Box"
    return None


def operands(
    operator: str, left: StaticType, right: StaticType, node_left: ast.expr, node_right: ast.expr
) -> str | None:
    """How to make the two sides of an operator fit."""
    for type_, other, node in ((left, right, node_left), (right, left, node_right)):
        text = brief(node)
        note = next((m.note for m in members(type_) if isinstance(m, Instance) and m.note), "")
        if note:
            return note
        if isinstance(type_, Signature):
            return f"call it: {type_.text}"
        have = class_of(type_)
        if have is list and class_of(other) is list and operator in ("<", "<=", ">", ">="):
            return f"compare their lengths: len({brief(node_left)}) {operator} len({brief(node_right)})"
        if have in (list, tuple, dict, set) and is_number(other):
            return (
                f"compare its length: len({text})"
                if operator in ("<", "<=", ">", ">=", "==", "!=")
                else f"write len({text})"
            )
        if have is str and class_of(other) is bool and operator in ("==", "!=", "is", "is not"):
            return f'write {text}.strip().lower().startswith("yes")'
        if have is str and is_number(other):
            if operator == "+":
                return f"write str({brief(node_left if node is node_right else node_right)}), or an f-string"
            return f"write float({text}), or ask the tool for a number"
        if have is Region and class_of(other) is str:
            return f"use {text}.label"
        if have is Region and is_number(other):
            return f"name the number that is meant: {text}.score, .area, .left, …"
        if have is list and class_of(other) is Region and operator == "+":
            return f"put it into a list: [{brief(node_right if node is node_left else node_left)}]"
    return None


def _inner(wanted: Sequence[StaticType]) -> set[type | None]:
    """The classes of what the wanted lists hold."""
    held = [w.args[0] for w in wanted if isinstance(w, Instance) and w.cls in _LISTS and w.args]
    return {class_of(m) for h in held for m in members(h.bound if isinstance(h, Variable) else h)}


def instead_of(value: str, values: Sequence[str]) -> str:
    """What to write instead of a text that a value never is."""
    same = next((each for each in values if each.casefold() == value.strip().casefold()), None)
    close = same or SYNONYMS.get(value.lower()) or close_match(value, values)
    return f"write {close!r}" if close in values else "compare with one of these"


def brief(node: ast.expr) -> str:
    """The source of an expression, shortened for a message."""
    if sum(1 for _ in ast.walk(node)) > 40:
        return "…"
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 40 else "…"
