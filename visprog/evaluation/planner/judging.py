"""Comparison of two programs for one question: both run in many generated worlds, and their answers are compared."""

from __future__ import annotations

import ast
import math
import textwrap
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import CodeType
from typing import Any

from visprog.sandbox import Limits, Sandbox, Series

from ...check.dry_run import LIBRARY
from ...errors import ToolError
from ...program import Program, header, image_inputs
from ...values import Box, Circle, Grid, Line, Located, Mask, Point, Polygon, Region, helpers
from ...values.codec import handles
from ...values.helpers import NothingFound
from ...values.image import Image
from ..answers import yes_no_of
from .asked_words import QuestionWords
from .made_scenes import WorldImage
from .wording import plain_text
from .worlds import World

MIN_WORLDS = 24
"""Number of worlds in which answers are compared."""

MIN_OTHERS = 3
"""Number of worlds in which the answer of the reference should differ from its most frequent answer."""

MAX_WORLDS = 160
"""Maximum number of worlds that are tried."""

LIMITS = Limits(cpu=2.0, grace=1.0, calls=5_000)
"""Limits of one run in a sandbox."""

# Precedes a program, which then reports whether it called `all` on nothing.
_ALL = """
def all(values):
    empty = True
    for value in values:
        empty = False
        if not value:
            return False
    if empty:
        report_vacuous()
    return True

"""
_ORDERING = ("left_to_right", "top_to_bottom", "by_size", "sorted")


@dataclass(frozen=True)
class Failed:
    """The error that stopped a program, in place of an answer: name of the error and message."""

    kind: str
    message: str

    @property
    def empty(self) -> bool:
        """Whether the error means that nothing was found."""
        return self.kind in ("IndexError", "NothingFound", "ToolError") or "empty" in self.message

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


@dataclass(frozen=True)
class Verdict:
    """Whether a program is equivalent to the reference.

    Attributes:
        right: Whether their answers are equal in all worlds in which they were compared.
        worlds: Number of these worlds.
        answers: Number of different answers of the reference in them.
        why: The first difference: seed of the world, and both answers.
    """

    right: bool
    worlds: int
    answers: int
    why: str = ""


def open_sandbox() -> Sandbox:
    """Open a sandbox for `judge`; the caller closes it."""
    return Sandbox(LIMITS, library=LIBRARY)


def judge(
    question: str, reference: str, candidate: str, images: int = 1, sandbox: Sandbox | None = None
) -> Verdict:
    """Compare a program with a reference program for the same question.

    Args:
        question: Question that both programs answer.
        reference: Body of `answer`, or a whole program.
        candidate: Body of `answer`, or a whole program.
        images: Number of images that the question is about.
        sandbox: Sandbox from `open_sandbox`. If None, the programs run in this process, which is faster: only for
            programs that are known to be harmless and to terminate.

    Raises:
        SandboxUnavailable: Programs cannot be run in the sandbox here.
    """
    reference, candidate = whole(reference, images), whole(candidate, images)
    if message := Program.parse(candidate).mismatch(images):
        return Verdict(False, 0, 0, message)
    with ExitStack() as stack:

        def load(source: str) -> Runnable:
            series = None if sandbox is None else stack.enter_context(sandbox.series(_ALL + source))
            return Runnable(source, series)

        try:
            words = QuestionWords.of(reference, question, [candidate])
            hedged = _hedged(reference)
            programs = load(reference), load(candidate), load(hedged) if hedged else None
        except SyntaxError as error:
            return Verdict(False, 0, 0, f"not Python: {error}")
        ordered = images > 1 or any(name in reference for name in _ORDERING)
        worlds = (World(words, seed, images) for seed in _seeds(question, MAX_WORLDS))
        return _compare(worlds, *programs, ordered)


def answers_of(question: str, program: str, images: int = 1, worlds: int = MAX_WORLDS) -> Counter[str]:
    """Count the answers of a program in the worlds of its question, errors included, to see that they differ."""
    source = whole(program, images)
    words, run = QuestionWords.of(source, question), Runnable(source)
    return Counter(_short(run.run(World(words, seed, images))) for seed in _seeds(question, worlds))


def _seeds(question: str, worlds: int) -> range:
    start = zlib.crc32(question.encode()) % 1_000_000 * 1000
    return range(start, start + worlds)


def _compare(
    worlds: Iterable[World], right: Runnable, other: Runnable, hedged: Runnable | None, ordered: bool
) -> Verdict:
    """Run a reference, a candidate and the hedged reference until enough worlds have been compared."""
    seen: Counter[str] = Counter()
    for world in worlds:
        compared = seen.total()
        if compared >= MIN_WORLDS and len(seen) > 1 and compared - seen.most_common(1)[0][1] >= MIN_OTHERS:
            break
        images = len(world.images)
        wanted = right.run(world)
        if world.doubtful or isinstance(wanted, Failed):
            continue
        if hedged is not None and not _same(wanted, hedged.run(world), True, images):
            continue
        got = other.run(world)
        if right.vacuous or other.vacuous or world.doubtful or _is_presumed(wanted, got):
            continue
        seen[_short(wanted)] += 1
        if not _same(wanted, got, ordered, images):
            why = f"world {world.seed}: {_short(wanted)} against {_short(got)}"
            return Verdict(False, seen.total(), len(seen), why)
    enough = seen.total() >= MIN_WORLDS // 3
    return Verdict(enough, seen.total(), len(seen), "" if enough else "too few worlds to tell")


class Runnable:
    """A program that runs in worlds.

    Args:
        source: Source of the whole program.
        series: Series of the same program after `_ALL`, in a sandbox. If None, the program runs in this process.

    Raises:
        SyntaxError: The program cannot be compiled (in this process).
    """

    def __init__(self, source: str, series: Series | None = None) -> None:
        self._program = Program.parse(source)
        self._execute = (
            partial(_run_here, compile(_ALL + source, "<program>", "exec"))
            if series is None
            else partial(_run_confined, series)
        )
        self.vacuous = False

    def run(self, world: World) -> Any:
        """The answer, or `Failed`. `vacuous` then says whether the program called `all` on nothing."""
        self.vacuous = False
        tools = {**world.tools(), "report_vacuous": self._report_vacuous}
        return self._execute(tools, self._program.bind(world.images))

    def _report_vacuous(self) -> None:
        self.vacuous = True


def _run_here(code: CodeType, tools: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
    space: dict[str, Any] = {"__builtins__": _BUILTINS, **_NAMES, **tools}
    try:
        exec(code, space)
        return space["answer"](*inputs.values())
    except Exception as error:  # a program may raise anything
        return Failed(type(error).__name__, str(error))


def _run_confined(series: Series, tools: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
    outcome = series.run(tools=tools, inputs=inputs, types=handles())
    if outcome.status == "ok":
        return outcome.value
    return Failed(outcome.error_type or outcome.status, outcome.error or "")


def _hedged(source: str) -> str | None:
    """The program with each tie decided the other way; None if the program does not choose between two values.

    If this changes the answer, the right answer is open.
    """
    hedger = _Hedger()
    tree = ast.fix_missing_locations(hedger.visit(ast.parse(source)))
    return ast.unparse(tree) if hedger.changed else None


class _Hedger(ast.NodeTransformer):
    """Changes comparisons so that, of two equal values, the other one is chosen."""

    changed = False

    def visit_If(self, node: ast.If) -> ast.AST:
        return self._choice(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        return self._choice(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """`counts.index(max(counts))`: take the last of several equal values."""
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


def _print(*values: object) -> None:
    """What a program prints is no part of its answer."""


_BUILTINS: Mapping[str, Any] = {
    **{f.__name__: f for f in (
        abs, any, bool, dict, divmod, enumerate, filter, float, int, isinstance, len, list, map, max, min, next, pow,
        range, reversed, round, set, sorted, str, sum, tuple, zip, Exception, ValueError, IndexError, KeyError,
        ZeroDivisionError, TypeError,
    )},
    "__import__": _import,
    "print": _print,
}  # fmt: skip


def whole(program: str, images: int) -> str:
    """Make a program that defines `answer` from the body of that function; a whole program stays as it is."""
    if Program.parse(program).parameters is not None:
        return program
    return f"{header(image_inputs(images))}\n{textwrap.indent(program, '    ')}"


# -- comparing -----------------------------------------------------------------------------------------


def _is_presumed(wanted: Any, got: Any) -> bool:
    """Whether one of the programs stopped because an object that the question assumes does not exist."""
    as_it_was = isinstance(wanted, WorldImage) and not wanted.done and wanted.parent is None
    nothing = as_it_was if isinstance(wanted, Image) else not wanted
    return nothing and isinstance(got, Failed) and got.empty


def _same(wanted: Any, got: Any, ordered: bool, images: int) -> bool:
    """Whether two answers mean the same, in any form."""
    if isinstance(wanted, Failed) or isinstance(got, Failed):
        return isinstance(wanted, Failed) and isinstance(got, Failed)
    if isinstance(wanted, bool):
        return yes_no_of(got) == wanted
    wanted, got = (_number_of_image(v, images) for v in (wanted, got))
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
    if isinstance(value, str):
        words, digits = value.lower().split(), value.strip()
        named_place = next((_ORDINALS[w] for w in words if w in _ORDINALS), None)
        return float(digits) if digits.isdecimal() else named_place
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _number_of_image(value: Any, images: int) -> Any:
    """One of several images as its number, from 1; also texts such as "the second"."""
    if images > 1 and isinstance(value, WorldImage) and value.parent is None and not value.done:
        return int(value.name.split()[-1])
    if images > 1 and isinstance(value, str) and (number := _as_number(value)) is not None:
        return number
    return value


def _key(value: Any) -> Any:
    """The identity of a value that is not plain data, for comparison."""
    if isinstance(value, WorldImage):
        return ("picture", value.name, _rounded(value.box), value.done)
    if isinstance(value, Located):
        segmented = isinstance(value, Region) and value.mask is not None
        return ("region", _rounded(value.box), segmented, _image_name(value))
    if isinstance(value, Point):
        return ("point", round(value.x, 3), round(value.y, 3))
    if isinstance(value, Mask):
        return ("mask", _rounded(value.box))
    if isinstance(value, set | frozenset):
        return frozenset(map(_key, value))
    if isinstance(value, dict):
        return frozenset((k, _key(v)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_key, value))
    return value


def _image_name(value: Any) -> str:
    image = getattr(value, "image", None)
    return image.name if image is not None else ""


def _rounded(box: Box) -> tuple[float, ...]:
    return tuple(round(v, 3) for v in (box.left, box.top, box.right, box.bottom))


def _short(value: Any) -> str:
    """An answer as one line."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_short, value))}]"
    if isinstance(value, WorldImage):
        boxes = sorted(map(str, value.done))
        return f"{value.name} {value.box} {' '.join(boxes)}"
    if isinstance(value, Region):
        return f"{value.label} {value.box}"
    return str(value)
