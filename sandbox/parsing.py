"""From source to syntax tree, within bounds: nothing later has to fear a bomb.

It parses and never compiles: 1 KB of source can take gigabytes to compile, while 64 KiB parse in well under a
second.
"""

from __future__ import annotations

import ast
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

from .limits import DEFAULT, Limits

MAX_BRACKETS = 60
_CONTROL = re.compile("[\0\u202a-\u202e\u2066-\u2069]")
_warnings_lock = threading.Lock()


Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Diagnostic:
    """What is wrong with a program, where, and what to write instead.

    Attributes:
        code: stable, and meant for other programs.
        line: counted from 1.
        column: counted from 0, in bytes of UTF-8, as in `ast`.
        message: one sentence.
        suggestion: what to write instead, if that is known.
        severity: an error is sure to fail, or to answer something else than was asked for; a warning may be meant.
        name: that it is about, such as a variable, an attribute, a module or a tool; empty if it is about none.
    """

    code: str
    line: int
    column: int
    message: str
    suggestion: str | None = None
    severity: Severity = "error"
    name: str = ""

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.code} {self.message}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def parse(source: str, limits: Limits = DEFAULT) -> ast.Module | Diagnostic:
    """The syntax tree of a program whose size is within bounds, or what is wrong with it."""
    try:
        size = len(source.encode("utf-8"))
    except UnicodeEncodeError:
        return Diagnostic("bad-character", 1, 0, "the program holds half a character (a lone surrogate)")
    if size > limits.source:
        return Diagnostic("too-large", 1, 0, f"the program has {size} bytes; {limits.source} are allowed")
    control = _CONTROL.search(source)
    if control:
        line, column = (
            source.count("\n", 0, control.start()) + 1,
            len(source[: control.start()].rpartition("\n")[2]),
        )
        what = f"the control character U+{ord(control.group()):04X}"
        return Diagnostic("bad-character", line, column, what, "remove it")
    if _open_brackets(source) > MAX_BRACKETS:
        return Diagnostic("too-deep", 1, 0, f"more than {MAX_BRACKETS} open brackets", "use variables")
    try:
        with _no_warnings():
            tree = ast.parse(source)
    except SyntaxError as error:
        if "integer string conversion" in str(error.msg):  # the interpreter's own limit, of 4,300 digits
            return Diagnostic("too-large", error.lineno or 1, 0, "an integer of too many digits")
        return Diagnostic("syntax-error", error.lineno or 1, max((error.offset or 1) - 1, 0), str(error.msg))
    except (RecursionError, MemoryError, ValueError):
        return Diagnostic("too-deep", 1, 0, "the program is nested too deeply to be read", "use variables")
    return _oversized(tree, limits) or tree


def _open_brackets(source: str) -> int:
    """Number of brackets that are open at once, at most."""
    if sum(map(source.count, "([{")) <= MAX_BRACKETS:
        return 0
    depth = most = 0
    for bracket in re.findall(r"[][(){}]", source):
        depth = max(0, depth + (1 if bracket in "([{" else -1))
        most = max(most, depth)
    return most


def _oversized(tree: ast.Module, limits: Limits) -> Diagnostic | None:
    """Size and depth of the tree, measured without recursion: later passes recurse."""
    count = 0
    stack: list[tuple[ast.AST, int, int]] = [(tree, 0, -1)]
    while stack:
        node, depth, nesting = stack.pop()
        count += 1
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        if count > limits.source_nodes:
            return Diagnostic("too-large", line, column, f"more than {limits.source_nodes} nodes of syntax")
        if depth > limits.source_depth or nesting > limits.source_nesting:
            return Diagnostic(
                "too-deep", line, column, "code nested too deeply", "use variables and functions"
            )
        # An elif is an If alone in the else of another: a long chain is no nesting.
        chained = node.orelse if isinstance(node, ast.If) and len(node.orelse) == 1 else []
        for child in ast.iter_child_nodes(node):
            inner = isinstance(child, ast.stmt) and not (isinstance(child, ast.If) and child in chained)
            stack.append((child, depth + 1, nesting + inner))
    return None


@contextmanager
def _no_warnings() -> Iterator[None]:
    # The parser warns of such things as "\d". Locked: the filters belong to the whole process.
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
