"""The values that programs handle, as text for a language model: read off the classes, not written twice."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable
from functools import cache


@cache
def describe_values(video: bool = False) -> str:
    """Each kind of value as a Python stub, with the attributes and methods that programs may use.

    Args:
        video: Whether they are about a video; else what only videos have is left out.
    """
    from visprog import values
    from visprog.values.codec import handles
    from visprog.values.library import ATTRIBUTES

    kinds = {**ATTRIBUTES, **dict(handles())}
    if not video:
        kinds = {
            kind: tuple(name for name in names if (kind, name) != (values.Image, "time"))
            for kind, names in kinds.items()
            if kind not in (values.Video, values.Track, values.Span)
        }
    located = [name for name in ATTRIBUTES[values.Region] if hasattr(values.Located, name)]
    stubs = [_stub(values.Located, "", located)]
    for kind, names in kinds.items():
        base = "Located" if set(located) <= set(names) else ""
        own = [n for n in names if n not in located or not base or n in _fields(kind)]
        stubs.append(_stub(kind, base, own))
    return "\n\n".join(stubs)


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
