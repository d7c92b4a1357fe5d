"""Whether two programs answer a question alike: both are run in many made-up worlds, and their answers compared."""

from __future__ import annotations

import ast
import textwrap
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ToolError
from ..values import Box, Circle, Grid, Line, Located, Mask, Point, Polygon, Region, helpers
from ..values.helpers import NothingFound
from ..values.image import Image
from .answers import yes_no_of
from .asked_words import Words
from .made_scenes import Picture
from .wording import plain_text
from .worlds import World

WORLDS = 24
"""In so many an answer is looked at, at least."""

RARE = 3
"""So many worlds must bring another answer than the most frequent one, if that can be had."""

MOST = 160
"""Worlds that are tried, at most."""

_ORDERING = ("left_to_right", "top_to_bottom", "by_size", "sorted")


class Failed:
    """Instead of an answer: what stopped the program."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.empty = isinstance(error, NothingFound | ToolError | IndexError) or "empty" in str(error)

    def __repr__(self) -> str:
        return f"{type(self.error).__name__}: {self.error}"


@dataclass(frozen=True)
class Verdict:
    """Whether a program is as good as the reference.

    Attributes:
        right: their answers are the same wherever that can be told.
        worlds: in so many they were compared.
        answers: different answers of the reference among them.
        why: where they differ: a world's seed, and both answers.
    """

    right: bool
    worlds: int
    answers: int
    why: str = ""


def judge(question: str, reference: str, candidate: str, images: int = 1) -> Verdict:
    """Compare a program with a reference program for the same question.

    Both are bodies or whole functions, and must have passed the check of programs: they run in this process.
    """
    sources = whole(reference, images), whole(candidate, images)
    try:
        words = Words.of(sources[0], question, sources[1:])
        right, other = (Runnable(source) for source in sources)
    except SyntaxError as error:
        return Verdict(False, 0, 0, f"not Python: {error}")
    hedged = Runnable(sources[0], hedge=True)
    ordered = images > 1 or any(name in sources[0] for name in _ORDERING)
    start = zlib.crc32(question.encode()) % 1_000_000 * 1000
    seen: Counter[str] = Counter()
    compared = 0
    for seed in range(start, start + MOST):
        if compared >= WORLDS and len(seen) > 1 and compared - seen.most_common(1)[0][1] >= RARE:
            break
        world = World(words, seed, images)
        wanted = right.run(world)
        doubtful = world.doubtful or isinstance(wanted, Failed)
        if doubtful or (hedged.hedges and not _same(wanted, hedged.run(world), True, images)):
            continue
        got = other.run(world)
        if right.vacuous or other.vacuous or world.doubtful or _is_presumed(wanted, got):
            continue
        compared += 1
        seen[_short(wanted)] += 1
        if not _same(wanted, got, ordered, images):
            return Verdict(
                False, compared, len(seen), f"world {seed}: {_short(wanted)} against {_short(got)}"
            )
    return Verdict(
        compared >= WORLDS // 3,
        compared,
        len(seen),
        "" if compared >= WORLDS // 3 else "too few worlds to tell",
    )


def answers_of(question: str, program: str, images: int = 1, worlds: int = MOST) -> Counter[str]:
    """What a program answers in the worlds of its question, errors included: to see that it can be judged by them."""
    source = whole(program, images)
    words, run = Words.of(source, question), Runnable(source)
    start = zlib.crc32(question.encode()) % 1_000_000 * 1000
    return Counter(_short(run.run(World(words, seed, images))) for seed in range(start, start + worlds))


class Runnable:
    """A program that runs in worlds.

    Args:
        hedge: where two are compared to choose a word or a number, let the other one be chosen when they are equal:
            an answer that then changes was a tie, and says nothing.
    """

    def __init__(self, source: str, hedge: bool = False) -> None:
        tree = ast.parse(source)
        self.hedges = False
        if hedge:
            hedger = _Hedger()
            tree = ast.fix_missing_locations(hedger.visit(tree))
            self.hedges = hedger.changed
        self._code = compile(tree, "<program>", "exec")
        self._takes_several = "images" in source.partition("\n")[0]
        self.vacuous = False

    def run(self, world: World) -> Any:
        """Its answer, or `Failed`. `vacuous` then says whether it asked whether all of nothing are so."""
        self.vacuous = False
        space: dict[str, Any] = {"__builtins__": {**_BUILTINS, "all": self._all}, **_NAMES, **world.tools()}
        pictures: Any = world.pictures if self._takes_several else world.pictures[0]
        try:
            exec(self._code, space)
            return space["answer"](pictures)
        except Exception as error:  # a program may fail in any way
            return Failed(error)

    def _all(self, values: Iterable[Any]) -> bool:
        empty = True
        for value in values:
            empty = False
            if not value:
                return False
        self.vacuous |= empty
        return True


class _Hedger(ast.NodeTransformer):
    """Turns the comparison of a choice so that the other one is chosen where both are equal."""

    changed = False

    def visit_If(self, node: ast.If) -> ast.AST:
        return self._choice(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        return self._choice(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """`counts.index(max(counts))`: of several that are equal, the last."""
        self.generic_visit(node)
        func = node.func
        if isinstance(func, ast.Attribute) and func.attr == "index" and isinstance(node.args[0], ast.Call):
            self.changed = True
            name, inner = ast.unparse(func.value), ast.unparse(node.args[0])
            return ast.parse(f"(len({name}) - 1 - {name}[::-1].index({inner}))", mode="eval").body
        return node

    def _choice(self, node: ast.If | ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        test = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and _is_choice(node):
            operator, sides = test.ops[0], (test.left, test.comparators[0])
            if any(isinstance(side, ast.Constant) for side in sides):
                return node
            if isinstance(operator, ast.Gt | ast.Lt):
                self.changed = True
                test.ops = [ast.GtE() if isinstance(operator, ast.Gt) else ast.LtE()]
            elif isinstance(operator, ast.Eq):
                self.changed = True
                node.test = ast.Constant(False)
        return node


def _is_choice(node: ast.If | ast.IfExp) -> bool:
    chosen = node.body if isinstance(node, ast.IfExp) else node.body[0]
    value = chosen.value if isinstance(chosen, ast.Return) else chosen
    return isinstance(value, ast.Constant) and isinstance(value.value, str | int)


_NAMES: Mapping[str, Any] = {
    **{function.__name__: function for function in helpers.FUNCTIONS},
    **{cls.__name__: cls for cls in (Box, Circle, Grid, Line, Point, Polygon, Region)},
    "ToolError": ToolError,
    "NothingFound": NothingFound,
    "__name__": "program",
}


def _import(name: str, *_: Any) -> Any:
    import math

    if name != "math":
        raise NameError(f"{name} cannot be imported")
    return math


_BUILTINS: Mapping[str, Any] = {
    **{f.__name__: f for f in (
        abs, any, bool, dict, divmod, enumerate, filter, float, int, isinstance, len, list, map, max, min, next, pow,
        range, reversed, round, set, sorted, str, sum, tuple, zip, Exception, ValueError, IndexError, KeyError,
        ZeroDivisionError, TypeError,
    )},
    "__import__": _import,
}  # fmt: skip


def whole(program: str, images: int) -> str:
    if program.lstrip().startswith(("def ", "import ", "from ")):
        return program
    header = "def answer(image):" if images == 1 else "def answer(images):"
    return f"{header}\n{textwrap.indent(program, '    ')}"


# -- comparing -----------------------------------------------------------------------------------------


def _is_presumed(wanted: Any, got: Any) -> bool:
    """Whether one of the two stopped because an object that the question takes for granted is not there."""
    as_it_was = isinstance(wanted, Picture) and not wanted.done and wanted.parent is None
    nothing = as_it_was if isinstance(wanted, Image) else not wanted
    return nothing and isinstance(got, Failed) and got.empty


def _same(wanted: Any, got: Any, ordered: bool, images: int) -> bool:
    """Whether two answers say the same, whatever their form."""
    if isinstance(wanted, Failed) or isinstance(got, Failed):
        return isinstance(wanted, Failed) and isinstance(got, Failed)
    if isinstance(wanted, bool):
        return yes_no_of(got) == wanted
    wanted, got = (_number_of_picture(v, images) for v in (wanted, got))
    if isinstance(wanted, list | tuple) or isinstance(got, list | tuple):
        return _same_lists(_listed(wanted), _listed(got), ordered, images)
    if isinstance(wanted, int | float):
        number = _as_number(got)
        return number is not None and abs(number - wanted) < 1e-6
    if isinstance(wanted, str):
        return isinstance(got, str) and _same_texts(wanted, got)
    return bool(_key(wanted) == _key(got))


def _same_lists(wanted: list[Any], got: list[Any], ordered: bool, images: int) -> bool:
    if len(wanted) != len(got):
        return False
    if ordered:
        return all(_same(a, b, True, images) for a, b in zip(wanted, got, strict=True))
    left = list(got)
    for one in wanted:
        match = next((i for i, other in enumerate(left) if _same(one, other, False, images)), None)
        if match is None:
            return False
        del left[match]
    return True


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _same_texts(wanted: str, got: str) -> bool:
    return wanted.casefold() == got.casefold() or plain_text(wanted) == plain_text(got)


_ORDINALS = {"first": 1, "second": 2, "third": 3}


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        words = value.lower().split()
        named = next((_ORDINALS[w] for w in words if w in _ORDINALS), None)
        digits = value.strip()
        return float(digits) if digits.isdigit() else named
    return None


def _number_of_picture(value: Any, images: int) -> Any:
    """One of several pictures as its number, from 1; texts such as "the second" too."""
    if images > 1 and isinstance(value, Picture) and value.parent is None and not value.done:
        return int(value.name.split()[-1])
    if images > 1 and isinstance(value, str) and (number := _as_number(value)) is not None:
        return int(number)
    return value


def _key(value: Any) -> Any:
    """What makes a value that is no plain one what it is."""
    if isinstance(value, Picture):
        return ("picture", value.name, _rounded(value.box), value.done)
    if isinstance(value, Located):
        segmented = isinstance(value, Region) and value.mask is not None
        return ("region", _rounded(value.box), segmented, _picture_of(value))
    if isinstance(value, Point):
        return ("point", round(value.x, 3), round(value.y, 3))
    if isinstance(value, Mask):
        return ("mask", _rounded(value.box))
    if isinstance(value, set | frozenset):
        return frozenset(map(_key, value))
    if isinstance(value, dict):
        return frozenset((k, _key(v)) for k, v in value.items())
    return value


def _picture_of(value: Any) -> str:
    image = getattr(value, "image", None)
    return image.name if image is not None else ""


def _rounded(box: Box) -> tuple[float, ...]:
    return tuple(round(v, 3) for v in (box.left, box.top, box.right, box.bottom))


def _short(value: Any) -> str:
    """An answer as one line."""
    if isinstance(value, Failed):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_short, value))}]"
    if isinstance(value, Picture):
        boxes = sorted(map(str, value.done))
        return f"{value.name} {value.box} {' '.join(boxes)}"
    if isinstance(value, Region):
        return f"{value.label} {value.box}"
    return str(value)
