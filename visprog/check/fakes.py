"""Stand-ins for tools. They check their arguments as tools do, and make up a result of the declared type."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from ..errors import ToolError
from ..registry import Registry, Tool
from ..registry.types import Type, accepts, is_union, keys_of
from ..values import Box, Region
from ..values.codec import KINDS, FakeObject, made_mask
from ..values.image import Image
from ..values.library import LIBRARY
from ..values.video import Video

WIDTH, HEIGHT = 640, 480

_LISTED = re.compile(r"""\b[Oo]ne of ((?:["'\w-]+,\s+)+(?:(?:and|or)\s+)?["'\w-]+)(?=[.;:\n]|$)""")


_ARGUMENTS = re.compile(r"^Args:\n(?:[ \t].*\n?|\n)*", re.MULTILINE)
"""The part of a docstring that is not about the result."""

_MASKED = re.compile(r"\bwith (?:a|its) mask\b")
"""How a docstring promises masks."""


class OddValue(ToolError):
    """An argument with a value that the tool does not take, though another of its type would do."""


@dataclass
class StandIns:
    """Stand-ins for tools, which answer alike for every image.

    Attributes:
        count: Number of objects found, for any search.
        truths: the answers to yes/no questions, in turn.
        texts: what is read or described, in turn.
    """

    count: int
    truths: tuple[bool, ...]
    texts: tuple[str, ...]
    calls: int = field(default=0, init=False)

    def tools(self, registry: Registry) -> dict[str, Callable[..., Any]]:
        """A stand-in for every tool that is called out of the sandbox; pure functions are what they are."""
        return {
            name: each.function if each.pure else self.stand_in(each)
            for name, each in registry.items()
            if name not in LIBRARY.functions
        }

    def stand_in(self, tool: Tool) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                arguments = tool.bind(*args, **kwargs)
            except ToolError as error:
                raise OddValue(str(error)) if _is_odd_value(tool, args, kwargs) else error from None
            self.calls += 1
            _check_labels(tool, arguments)
            if tool.returns is str and listed:
                return listed[self.calls % len(listed)]
            made = self.make(tool.returns, arguments, self.calls)
            return _with_masks(made) if masked else made

        listed, masked = documented_values(tool), bool(_MASKED.search(tool.doc))
        return call

    def make(self, kind: Type, arguments: dict[str, Any], turn: int) -> Any:
        """A value of the type `kind`: the `turn`-th that is made up, for a call with these arguments."""
        origin: Any = get_origin(kind)
        args = get_args(kind)
        if origin is Literal:
            return args[turn % len(args)]
        if origin in (Union, types.UnionType):
            if not self.count and type(None) in args:
                return None
            return self.make(next(a for a in args if a is not type(None)), arguments, turn)
        if origin in (list, Sequence) or (origin is tuple and args[1:] == (Ellipsis,)):
            if not self.count and get_origin(args[0]) is list:  # a table has a row, and a row a cell
                return replace(self, count=1).make(kind, arguments, turn)
            made = [self.make(args[0], arguments, i) for i in range(self._length(args[0], arguments))]
            return tuple(made) if origin is tuple else made
        if origin is tuple:
            return tuple(self.make(a, arguments, turn) for a in args)
        if origin is dict:
            return {f"key {i}": self.make(args[1], arguments, i) for i in range(self.count)}
        if keys := keys_of(kind):
            return {name: self.make(each, arguments, turn) for name, each in keys.items()}
        if kind is bool:
            return self.truths[turn % len(self.truths)]
        if kind is float:
            return 0.8 if self.truths[turn % len(self.truths)] else 0.2
        if kind is int:
            return self.count
        if kind is str:
            return self._text(arguments, turn)
        if isinstance(kind, TypeVar) or kind is None or kind is type(None):
            return None
        return self._value(kind, arguments, turn)

    def _length(self, kind: Type, arguments: dict[str, Any]) -> int:
        origin: Any = get_origin(kind)
        if origin is tuple:  # samples over time: there are some, whatever is found
            return max(self.count, 1)
        if kind is Image and any(isinstance(v, Video) for v in arguments.values()):
            return max(self.count, 1)  # a video has a frame
        # A list of scores holds one for each of what is given.
        given = next((len(v) for v in arguments.values() if isinstance(v, list | tuple)), None)
        return self.count if kind is not float or given is None else given

    def _text(self, arguments: dict[str, Any], turn: int) -> str:
        # A tool that is given a list of words chooses among them.
        for value in arguments.values():
            if isinstance(value, list | tuple) and value and all(isinstance(v, str) for v in value):
                return str(value[turn % len(value)])
        return self.texts[turn % len(self.texts)]

    def _value(self, kind: Type, arguments: dict[str, Any], i: int) -> Any:
        """Objects lie side by side, each a little larger than the last, all of them inside the image."""
        at = 40.0 * (i % 12)
        given = list(arguments.values())
        world = FakeObject(
            turn=i,
            count=self.count,
            box=Box(at + 10, at / 2 + 10, at + 40 + i % 12, at / 2 + 50 + i % 12),
            label=next((v for v in given if isinstance(v, str) and v), self.texts[i % len(self.texts)]),
            color=next((v for k, v in arguments.items() if k == "color" and isinstance(v, str)), "red"),
            frame=Box(0, 0, WIDTH, HEIGHT),
            image=next((v for v in given if isinstance(v, Image)), None),
            region=next((v for v in given if isinstance(v, Region)), None),
            blank=lambda: plain_image(i),
        )
        return KINDS[kind.__name__].fake(world)


def _check_labels(tool: Tool, arguments: Mapping[str, Any]) -> None:
    """Raise `OddValue` if a tool that takes regions and their labels is given more of one than of the other."""
    regions, labels = arguments.get("regions"), arguments.get("labels")
    if isinstance(regions, list) and isinstance(labels, list) and len(regions) != len(labels):
        raise OddValue(
            f"{tool.name} needs one label a region: it got {len(labels)} labels for {len(regions)}"
        )


def _with_masks(value: Any) -> Any:
    """Regions with the masks that a tool promises."""
    if isinstance(value, list | tuple):
        return type(value)(map(_with_masks, value))
    return replace(value, mask=made_mask(value.box)) if isinstance(value, Region) else value


def documented_values(tool: Tool) -> list[str]:
    """The texts that a tool returns, where its docstring lists them: "One of red, green, blue."."""
    found = _LISTED.search(_ARGUMENTS.sub("", tool.doc))
    return re.findall(r"[\w-]+", re.sub(r",\s+(and|or)\s", ", ", found[1])) if found else []


def _is_odd_value(tool: Tool, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether all that is wrong with the arguments is None, or a text that is not among those listed."""
    given = {**dict(zip((p.name for p in tool.parameters), args, strict=False)), **kwargs}
    wrong = [
        (p.type, given[p.name])
        for p in tool.parameters
        if p.name in given and not accepts(p.type, given[p.name])
    ]
    return bool(wrong) and all(value is None or _is_listed(kind, value) for kind, value in wrong)


def _is_listed(kind: Type, value: Any) -> bool:
    options = get_args(kind) if is_union(kind) else (kind,)
    return any(
        get_origin(option) is Literal and any(type(value) is type(each) for each in get_args(option))
        for option in options
    )


def plain_image(number: int = 0) -> Image:
    """A plain image, each number of another grey."""
    import numpy as np

    return Image(np.full((HEIGHT, WIDTH, 3), 60 + 20 * (number % 10), np.uint8), name=f"image {number + 1}")
