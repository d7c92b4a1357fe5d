"""Reports of expressions that cannot be looped over or indexed, with what to write instead."""

from __future__ import annotations

import ast

from ...values import Located, Point
from .. import hints
from ..diagnostics import Diagnostics
from .types import (
    INT,
    STR,
    UNKNOWN,
    Either,
    Fixed,
    Function,
    Instance,
    StaticType,
    class_of,
    is_none,
    is_number,
    iterable,
    members,
    show,
)


def report_loop(diagnostics: Diagnostics, node: ast.expr, type_: StaticType) -> None:
    """Report something without parts that is looped over or unpacked."""
    text = hints.brief(node)
    hint = hints.conversion(type_, Instance(list, (UNKNOWN,)), node)
    cls = class_of(type_)
    if type_ == INT or cls is int:
        hint = f"write range({text})"
    elif cls is Point:
        hint = f"use {text}.x and {text}.y"
    elif cls is not None and issubclass(cls, Located):
        hint = f"use {text}.left, .top, .right and .bottom, or put it into a list: [{text}]"
    elif is_number(type_):
        hint = f"write range(int({text}))"
    diagnostics.add("not-iterable", node, f"{show(type_)} has no parts to loop over or unpack", hint)


def report_subscript(
    diagnostics: Diagnostics, node: ast.Subscript, type_: StaticType, index: StaticType
) -> None:
    """Report a subscript that is sure to raise."""
    text = hints.brief(node.value)
    hint: str | None = None
    message = f"{show(type_)} cannot be indexed"
    member = next((m for m in members(type_) if not is_none(m)), type_)
    cls = class_of(member)
    if cls in (list, tuple, str) and not isinstance(node.slice, ast.Slice):
        if isinstance(member, Fixed) and class_of(index) is int:
            message = f"there are {len(member.items)} values, counted from 0"
        else:
            message = f"{show(type_)} is indexed by whole numbers, not {show(index)}"
            names = index == STR or class_of(index) is str
            hint = f"loop over it: [x for x in {text} if …]" if names else "write int(…), or // for division"
    elif isinstance(type_, Function):
        hint = hints.conversion(type_, UNKNOWN, node.value) or f"call it: {text}(…)"
    elif cls is Point:
        hint = f"use {text}.x or {text}.y"
    elif cls is not None and issubclass(cls, Located):
        hint = f"use its attributes: {text}.left, .top, .right, .bottom, .center, …"
    elif is_none(member) and isinstance(member, Instance):
        hint = member.note or None
    elif isinstance(type_, Either) or cls is None:
        hint = None
    elif iterable(type_):
        hint = f"write list({text}) first"
    diagnostics.add("bad-subscript", node, message, hint)
