"""Which picture a program means by which name."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from visprog.sandbox import checker
from visprog.sandbox.desugar import entry

IMAGE_NAMES = ("image", "img", "picture", "photo")
SEVERAL_NAMES = tuple(f"{name}s" for name in IMAGE_NAMES)


def named(source: str, pictures: Sequence[Any]) -> dict[str, Any]:
    """The pictures under the names that the program gives them.

    `def answer(image)` gets the picture, `def answer(images)` the list, `def answer(before, after)` one each. A
    script finds `image`, the first, and `images`, all of them.
    """
    tree = checker.parse(source)
    function = entry(tree) if isinstance(tree, ast.Module) else None
    if function is None:
        return {"image": pictures[0], "images": list(pictures)} if pictures else {}
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    names = [a.arg for a in positional[: len(positional) - len(arguments.defaults)]]
    if len(names) == 1 and (len(pictures) != 1 or names[0] in SEVERAL_NAMES):
        return {names[0]: list(pictures)}
    return dict(zip(names, pictures, strict=False))
