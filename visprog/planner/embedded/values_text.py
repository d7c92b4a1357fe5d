"""The values that programs handle, as text for a language model: read off the classes, not written twice."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...registry import Tool

_ALWAYS = ("Located", "Point", "Box", "Region", "Image", "Mask")
"""Kinds that every program may meet; the others come from the tools that return them."""


def describe_values(tools: Mapping[str, Tool], brief: Collection[type] = ()) -> str:
    """Each kind of value that programs meet as a Python stub, with the attributes and methods that they may use.

    Args:
        tools: Tools that can be called. Drawn shapes, tables and depth are described only if one of them returns such.
        brief: Kinds of which the members are named, without their types and what they do.
    """
    from ...registry.types import mentions
    from ...values import Video

    return "\n\n".join(
        _names_of_members(text) if cls in brief else text
        for cls, text in _stubs(any(mentions(tool.returns, Video) for tool in tools.values())).items()
        if cls.__name__ in _ALWAYS or any(mentions(tool.returns, cls) for tool in tools.values())
    )


def _names_of_members(stub: str) -> str:
    """A stub with the members of the kind on one line: names, and for methods those of their arguments."""
    head, doc, *members = stub.splitlines()
    names = []
    for name, arguments in re.findall(
        r"^    (?:def )?(\w+)(?:\(self(.*?)\) ->)?", "\n".join(members), re.MULTILINE
    ):
        given = ", ".join(re.findall(r"(\w+):", arguments))
        names.append(f"{name}({given})" if given else name)
    return "\n".join([head, doc, f"    # Has {', '.join(names)}."])


@cache
def _stubs(video: bool) -> dict[type, str]:
    """The stub of each kind; the time of an image is of use for frames of videos alone."""
    from visprog import values
    from visprog.values.codec import KINDS, handles
    from visprog.values.library import ATTRIBUTES

    kinds = {**ATTRIBUTES, **{cls: KINDS[cls.__name__].attributes for cls, _ in handles()}}
    if not video:
        kinds[values.Image] = tuple(name for name in kinds[values.Image] if name != "time")
    located = [name for name in ATTRIBUTES[values.Region] if hasattr(values.Located, name)]
    stubs: dict[type, str] = {values.Located: _stub(values.Located, "", located)}
    for kind, names in kinds.items():
        base = "Located" if set(located) <= set(names) else ""
        own = [n for n in names if n not in located or not base or n in _fields(kind)]
        stubs[kind] = _stub(kind, base, own)
    return stubs


def _stub(kind: type, base: str, names: Iterable[str]) -> str:
    doc = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
    lines = [f"class {kind.__name__}({base}):" if base else f"class {kind.__name__}:", f'    """{doc}"""']
    return "\n".join([*lines, *(f"    {_member(kind, name)}" for name in names)])


def _member(kind: type, name: str) -> str:
    fields = _fields(kind)
    if name in fields:
        note = _notes(kind).get(name)
        return f"{name}: {fields[name]}" + (f"  # {note}" if note else "")
    member = inspect.getattr_static(kind, name)
    if isinstance(member, property):
        return f"{name}: {member.fget.__annotations__['return']}" + _comment(member.fget)
    signature = str(inspect.signature(member)).replace("'", "")
    return f"def {name}{signature}: ..." + _comment(member)


def _fields(kind: type) -> dict[str, str]:
    """Name and type, as written, of the fields of a dataclass, in the order of its constructor."""
    return {f.name: str(f.type) for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else {}


def _notes(kind: type) -> dict[str, str]:
    """The lines `name: what it is` under "Attributes:" of a docstring."""
    found = re.search(r"^Attributes:\n((?:    .*\n?)+)", inspect.getdoc(kind) or "", re.MULTILINE)
    return dict(re.findall(r"^    (\w+): (.*)$", found.group(1), re.MULTILINE)) if found else {}


def _comment(function: object) -> str:
    doc = inspect.getdoc(function)
    return f"  # {' '.join(doc.split(chr(10) * 2)[0].split())}" if doc else ""
