"""Finding the program in what a chat model wrote around it."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator

from visprog.sandbox import parse

from ..files.plain_text import parse_json
from ..llm.thoughts import without_thoughts

MAX_REPLY = 100_000
"""Characters of a reply that are searched; the rest is left out."""

_MAX_PARSES = 400

_FENCE = re.compile(
    r"^[ \t]*(?P<mark>`{3,}|~{3,})[ \t]*(?P<language>[\w+#.-]*)[^\n]*\n"
    r"(?P<body>.*?)(?:(?P<end>^[ \t]*(?P=mark)[`~]*[ \t]*$)|\Z)",
    re.DOTALL | re.MULTILINE,
)
_INVISIBLE = {ord(c): None for c in "\ufeff\u200b\u200c\u200d\u2060"}
_TYPESET = str.maketrans("\u201c\u201d\u2018\u2019\u00a0\u202f", "\"\"''  ")
"""What a word processor makes of quotes and blanks."""

_PYTHON = ("", "python", "py", "python3", "tool_code", "code")
_REFUSAL = re.compile(
    r"^[^\w#]*(?:(?:final )?answer\W+)?CANNOT\W*[:：–—-]\W*(?P<why>\w.*?)\s*$", re.MULTILINE | re.IGNORECASE
)


_DONE = re.compile(r"[\s*_`#-]*DONE[\s*_`.!]*", re.IGNORECASE)
"""A line that is the one word DONE, emphasized or not; not a quotation of it, which may come from an image."""


def find_program(reply: str, *, truncated: bool = False) -> str | None:
    """The program in a reply, or None if there is none.

    Thoughts are left out. Of several fenced blocks the last that is a program wins; a block that is not closed runs
    to the end. Without a fence, the longest run of lines that parses as a program is taken. A fenced block that does
    not parse is still given back: the check says what is wrong. A `CANNOT:` after the program takes it back.

    Args:
        truncated: the reply was cut off: only a block that was closed before that can be whole, if no other was begun.
    """
    text = _answer_in(reply)
    from_json = _from_json(text)
    if from_json is not None:
        return _tidy(from_json)
    fenced_json = [m["body"] for m in _FENCE.finditer(text) if m["language"].lower() == "json"]
    if len(fenced_json) == 1 and (from_json := _from_json(fenced_json[0])) is not None:
        return _tidy(from_json)
    fenced = [m for m in _FENCE.finditer(text) if m["language"].lower() in _PYTHON and m["body"].strip()]
    if truncated and fenced and not fenced[-1]["end"]:
        return None  # what comes before is a draft of it
    blocks = [(textwrap.dedent(m["body"]).strip("\n"), m.end()) for m in fenced]
    if blocks:
        rank, i, block = max((_rank(b), i, b) for i, (b, _) in enumerate(blocks))
        return _tidy(block) if rank and not _REFUSAL.search(text, blocks[i][1]) else None
    if truncated or _REFUSAL.search(text):
        return None
    bare = _unfenced(text)
    return None if bare is None else _tidy(bare)


def find_refusal(reply: str) -> str | None:
    """The reason given if the model says `CANNOT: reason` instead of writing a program; the last one counts."""
    found = list(_REFUSAL.finditer(_answer_in(reply)))
    return found[-1]["why"].strip('`*" ') if found else None


def says_done(reply: str) -> bool:
    """Whether a reply begins or ends with a line that is the one word DONE, or such a line follows the last fenced
    block. In the middle of a text it may be a word that the model has read."""
    text = _answer_in(reply)
    rest = text[max((m.end() for m in _FENCE.finditer(text)), default=0) :]
    return any(_DONE.fullmatch(line) for part in (text, rest) for line in _ends(part.strip()))


def _ends(text: str) -> tuple[str, str]:
    """The first and the last line of a text."""
    return text.partition("\n")[0], text.rpartition("\n")[2]


def _answer_in(reply: str) -> str:
    """A reply without thoughts, with plain line ends and none of the invisible characters that chat pages add."""
    text = reply[:MAX_REPLY].replace("\r\n", "\n").replace("\r", "\n").translate(_INVISIBLE)
    return without_thoughts(text)


def _from_json(text: str) -> str | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = parse_json(text)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    return next((found[k] for k in ("program", "code") if isinstance(found.get(k), str)), None)


def _rank(code: str) -> int:
    """How much a text looks like a program: 4 defines `answer`, 3 gives a result, 2 and 1 the same but
    broken, 0 not at all."""
    tree = _parse(code)
    if tree is None:
        if re.search(r"^\s*def answer\b", code, re.MULTILINE):
            return 2
        return 1 if re.search(r"^\s*(return\b|result\s*=)", code, re.MULTILINE) else 0
    return _rank_tree(tree)


def _rank_tree(tree: ast.Module) -> int:
    if any(isinstance(s, ast.FunctionDef) and s.name == "answer" for s in tree.body):
        return 4
    outside = list(_outside_functions(tree))
    if any(isinstance(n, ast.Return) for n in outside):
        return 3
    if any(isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.id == "result" for n in outside):
        return 3
    return 1 if any(isinstance(n, ast.Call) for n in outside) else 0


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield child
            yield from _outside_functions(child)


def _unfenced(text: str) -> str | None:
    """The longest run of lines that is a program, begun at the earliest line that could be code."""
    lines = text.split("\n")
    starts = [i for i, line in enumerate(lines) if line[:1].strip() and _could_be_code(line)]
    ends = [
        i + 1
        for i, line in enumerate(lines)
        if line.strip() and (i + 1 == len(lines) or not lines[i + 1].startswith((" ", "\t")))
    ]
    parses = 0
    for start in starts:
        for end in reversed(ends):
            if end <= start or parses >= _MAX_PARSES:
                break
            code = "\n".join(lines[start:end])
            parses += 1
            tree = _parse(code)
            if tree is not None and _rank_tree(tree) >= 3:
                return code
    broken = re.search(r"^def answer\b.*", text, re.MULTILINE | re.DOTALL)
    return broken.group(0) if broken else None


def _could_be_code(line: str) -> bool:
    line = line.rstrip()
    if line.endswith(("(", "[", "{", ",", "\\")):
        return True
    return _parse(f"{line} pass" if line.endswith(":") else line) is not None


def _parse(code: str) -> ast.Module | None:
    tree = parse(code)
    return tree if isinstance(tree, ast.Module) else None


def _tidy(code: str) -> str:
    code = re.sub(
        r"\s*`{1,3}\s*$", "", code
    )  # a fence that was cut off while it closed, or closes behind the code
    if _parse(code) is None and _parse(code.translate(_TYPESET)) is not None:
        code = code.translate(_TYPESET)
    return "\n".join(line.rstrip() for line in code.strip("\n").split("\n")).rstrip() + "\n"
