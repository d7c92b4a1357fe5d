"""What users give as images, and which image a program means by which name."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from visprog.sandbox import checker
from visprog.sandbox.desugar import entry

from .values.image import Image

if TYPE_CHECKING:
    from .config import Config

IMAGE_NAMES = ("image", "img", "picture", "photo")
SEVERAL_NAMES = tuple(f"{name}s" for name in IMAGE_NAMES)


def open_image(given: Any, config: Config) -> Image:
    """Whatever `Image.open` reads, within the settings in force. Raises `ImageError` as it does."""
    return Image.open(given, allow_url=config.allow_url, max_pixels=config.max_pixels)


def open_images(given: Iterable[Any], config: Config) -> tuple[Image, ...]:
    """Images given one after another, or in lists, tuples and iterators such as `Path.glob` returns.

    Raises:
        ImageError: one of them cannot be read.
    """
    return tuple(open_image(each, config) for item in given for each in _each(item))


def _each(given: Any) -> Iterable[Any]:
    several = isinstance(given, list | tuple | Iterator) and not hasattr(given, "read")
    return given if several else (given,)


def named(source: str, pictures: Sequence[Any]) -> dict[str, Any]:
    """The pictures under the names that the program gives them.

    `def answer(image)` gets the picture, `def answer(images)` the list, `def answer(before, after)` one each.
    A script finds `image`, the first, and `images`, all of them.
    """
    names = parameters(source)
    if names is None:
        return {"image": pictures[0], "images": list(pictures)} if pictures else {}
    if len(names) == 1 and (len(pictures) != 1 or names[0] in SEVERAL_NAMES):
        return {names[0]: list(pictures)}
    return dict(zip(names, pictures, strict=False))


def mismatch(source: str, count: int) -> str:
    """Why a program cannot be given so many pictures, in one sentence; empty where it can."""
    names = parameters(source)
    if not names or count == len(names) or (len(names) == 1 and count > 0 and names[0] not in IMAGE_NAMES):
        return ""
    wanted = f"{len(names)} pictures" if len(names) > 1 else "one picture"
    given = "none was" if count == 0 else "one was" if count == 1 else f"{count} were"
    hint = "; to take any number, write 'def answer(images)'" if len(names) == 1 and count else ""
    return f"the program takes {wanted} ({', '.join(names)}), and {given} given{hint}"


def parameters(source: str) -> list[str] | None:
    """The names by which the program's `answer` takes its pictures; None for a script."""
    tree = checker.parse(source)
    function = entry(tree) if isinstance(tree, ast.Module) else None
    if function is None:
        return None
    positional = [*function.args.posonlyargs, *function.args.args]
    return [a.arg for a in positional[: len(positional) - len(function.args.defaults)]]
