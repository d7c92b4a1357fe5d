"""What a program asks of its tools, compared with what their backends in force can see."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..registry import Registry, Tool
from ..registry.sees import Near, Phrases
from .diagnostics import Diagnostics
from .inference.types import Const, StaticType, class_of, element, members

CATCHING = frozenset(("Exception", "BaseException", "VisprogError", "ToolError", "Refused"))
"""Errors that a program catches a refusal by."""


HELPERS = {
    **dict.fromkeys(("largest", "biggest", "tallest"), "largest"),
    **dict.fromkeys(("smallest", "littlest"), "smallest"),
    **dict.fromkeys(("leftmost", "left"), "leftmost"),
    **dict.fromkeys(("rightmost", "right"), "rightmost"),
    **dict.fromkeys(("topmost", "top", "upper", "highest", "uppermost"), "topmost"),
    **dict.fromkeys(("bottommost", "bottom", "lower", "lowest"), "bottommost"),
}
"""Words of a phrase that a helper chooses by."""

_RANKS = {
    **{word: f"{helper}(…)" for word, helper in HELPERS.items() if word.endswith(("est", "most"))},
    **dict.fromkeys(("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"),
                    "nth(left_to_right(…), n)"),
    **dict.fromkeys(("nearest", "closest"), "nearest(…)"),
    "farthest": "farthest(…)",
}  # fmt: skip
"""Words of a phrase that choose one of several objects, and what does that in a program."""

_OPEN_QUESTION = re.compile(
    r"\s*(?:how (?:many|much|often|long|far|old|tall|big)\b|(?:what|which|who|whose|where|when|why|how)\b.*\?\s*$)",
    re.I,
)

PLACED = (re.compile(r"\b(?:on|at|to|in) the (\w+)(?: side)?$"), re.compile(r"^(?:the )?(\w+)\b"))
"""Where such a word may stand: last, or first."""

MAX_EXPLAINED = 4
"""Number of phrases of one argument that a diagnostic explains."""


def check_phrase(
    tool: Tool,
    parameter: str,
    node: ast.expr,
    type_: StaticType,
    registry: Registry,
    diagnostics: Diagnostics,
) -> None:
    """Report an argument that is known before the program runs and cannot be seen."""
    phrases = tool.sees.phrases.get(parameter)
    if phrases is None:
        return
    unseen = [text for text in _texts(type_) if not phrases.can_see(text)]
    if unseen:
        first, *more = unseen[:MAX_EXPLAINED]
        message = phrases.refusal(first)
        message += f"; likewise {', '.join(map(repr, more))}" if more else ""
        remedies = [_remedy(tool, text, phrases, registry) for text in (first, *more)]
        diagnostics.add("unseen-phrase", node, message, "; ".join(dict.fromkeys(remedies)), name=tool.name)


def check_statement(tool: Tool, node: ast.expr, type_: StaticType, diagnostics: Diagnostics) -> None:
    """Report a question in the place of a statement, which is neither true nor false."""
    for text in _texts(type_):
        if _OPEN_QUESTION.match(text):
            diagnostics.add(
                "question-as-statement", node, f"'{text}' is a question, and {tool.name} judges statements",
                f"ask vqa(…, {text!r}), or count with len(detect(…))" if not tool.about_video
                else "say what is so, such as 'a girl claps', and count the spans",
                name=tool.name,
            )  # fmt: skip
        elif text.rstrip().endswith("?"):
            diagnostics.add(
                "question-as-statement", node, f"'{text}' is a question, and {tool.name} judges statements",
                "write what is so, without a question mark: 'there is a dog'", "warning", name=tool.name,
            )  # fmt: skip


def check_relations(
    tool: Tool, parameter: str, node: ast.expr, type_: StaticType, diagnostics: Diagnostics
) -> None:
    """Warn of a phrase that names one object by its rank among others, or several kinds: few detectors know these.

    A backend that declares the phrases that it sees has said whether it sees one of several kinds: see `check_phrase`.
    """
    phrases = tool.sees.phrases.get(parameter)
    for text in _texts(type_):
        if phrases is not None and phrases.can_see(text):
            continue
        words = text.lower().replace("black and white", "").split()
        rank = next((word for word in words if word in _RANKS), None)
        if rank is not None:
            diagnostics.add(
                "ranked-phrase", node, f"{tool.name} looks for kinds of objects, and '{rank}' chooses among them",
                f"look for all of them, and choose with {_RANKS[rank]}", "warning", name=tool.name,
            )  # fmt: skip
        elif phrases is None and ("and" in words or "or" in words):
            diagnostics.add(
                "several-kinds", node, f"{tool.name} looks for one kind of objects at a time, and '{text}' may be two",
                "call it once for each kind, and add the lists", "warning", name=tool.name,
            )  # fmt: skip


def check_absent(tool: Tool, node: ast.Call, diagnostics: Diagnostics) -> None:
    """Report a call of a tool that no backend in force can answer."""
    if tool.sees.nothing:
        diagnostics.add("absent-tool", node.func, tool.sees.nothing, "use other tools, if they can tell")


def check_method(method: str, node: ast.Call, registry: Registry, diagnostics: Diagnostics) -> None:
    """Report a call of a method, as "Depth.metres", that what the tools in force give refuses."""
    for tool in registry.values():
        if why := tool.sees.without.get(method):
            diagnostics.add(
                "absent-tool", node.func, why, "use other tools, if they can tell", name=tool.name
            )


def catches_refusals(handlers: list[ast.ExceptHandler]) -> bool:
    """Whether a `try` goes on when a tool refuses."""
    return any(
        handler.type is None
        or any(isinstance(n, ast.Name) and n.id in CATCHING for n in ast.walk(handler.type))
        for handler in handlers
    )


def _texts(type_: StaticType) -> Iterator[str]:
    """The strings that an argument is known to be, or to be a list of."""
    for member in members(type_):
        if isinstance(member, Const) and isinstance(member.value, str):
            yield member.value
        elif class_of(member) in (list, tuple):
            yield from (
                m.value for m in members(element(member)) if isinstance(m, Const) and isinstance(m.value, str)
            )


def _remedy(tool: Tool, text: str, phrases: Phrases, registry: Registry) -> str:
    near = phrases.near(text)
    other = registry.get(phrases.elsewhere(text))
    remedies = [] if near is None else [_suggestion(tool, text, near, registry)]
    if other is not None and not other.sees.nothing and not tool.about_video:
        remedies.append(f"call {other.name}({'image, …' if len(other.parameters) > 1 else 'image'})")
    return ", or ".join(remedies) or (
        f"answer it from what {tool.name} sees ('visprog tools {tool.name}' lists it), or say that it cannot be "
        "answered: never take another object for it"
    )


def _suggestion(tool: Tool, text: str, near: Near, registry: Registry) -> str:
    if near.relation == "spelling":
        return f"did you mean '{near.phrase}'?"
    call = f"{tool.name}(…, {near.phrase!r})"
    if near.relation == "narrower":
        calls = ", ".join((call, *(repr(other) for other in near.others)))
        return f"{calls} finds {'one kind' if not near.others else 'some kinds'} of it, and no other"
    if near.relation == "part":
        return f"{call} finds what it is made of, each by itself"
    return f"write {call}{_telling(tool, near.asked or text, near, registry)}"


def _telling(tool: Tool, text: str, near: Near, registry: Registry) -> str:
    """How to tell what was asked for from the rest of what includes it."""
    one = "best_view(video, x)" if tool.about_video else "x"
    choosers = {**_RANKS, **{word: f"{helper}(…)" for word, helper in HELPERS.items() if helper in registry}}
    found = next((m for place in PLACED if (m := place.search(text.lower())) and m[1] in choosers), None)
    steps, rest = [], text
    if found and not tool.about_video:
        rest = (text[: found.start()] + text[found.end() :]).strip()
        steps = [f"choose with {choosers[found[1]]}"]
    if rest and rest != near.phrase:
        verify, statement = registry.get("verify"), _one(rest)
        if verify is None or verify.sees.nothing or not _can_tell(verify, statement):
            first = f"{' and '.join(steps)}, " if steps else ""
            return (
                f", {first}if every {near.phrase} will do: nothing in force tells {statement} from others, so that "
                "else it cannot be answered"
            )
        steps.insert(0, f"keep those for which verify({one}, {statement!r}) is true")
    return f", and {' and '.join(steps)}"


def _can_tell(verify: Tool, statement: str) -> bool:
    phrases = verify.sees.phrases.get("statement")
    return phrases is None or phrases.can_see(statement)


def _one(text: str) -> str:
    """What an object is, as a statement about it."""
    if text.split(maxsplit=1)[0].lower() in ("a", "an", "the"):
        return text
    return f"{'an' if text[:1].lower() in 'aeiou' else 'a'} {text}"
