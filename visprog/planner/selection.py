"""A prompt of bounded size: the tools, the kinds of values and the examples that a question is likely to need."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..llm.chat import estimate_tokens
from ..registry import Registry, Tool
from ..registry.registry import descriptions, stub
from ..registry.types import mentions
from ..values import Circle, Depth, Grid, Line, Located, Mask, Polygon, Track
from .examples import bm25, calls, ranked

if TYPE_CHECKING:
    from visprog.prompts import Example

    from ..llm.chat import Message
    from .base import PlanRequest

CORE = (
    "detect", "segment", "verify", "classify", "vqa", "read_text", "crop", "has_color", "dominant_color", "ask_llm"
)  # fmt: skip
"""Tools that every prompt about images shows, if they can answer: most programs call one of them, whatever their
question says. The helpers that choose among regions are always there too."""
VIDEO_CORE = ("detect", "vqa", "video_vqa", "track", "count_over_time", "when", "best_view")
"""The same of prompts about a video."""
_VIDEO_BRIEF = (Located, Mask)
"""Kinds of values that programs about a video hardly use, of which their prompts name the members alone."""

_OFFERS = re.compile(r"\bor\b|\boptions?\b|[:(].+,", re.IGNORECASE)
"""A question that offers options."""
_CHOOSE = ("classify", "choose")
"""Tools that choose among options."""

_WRITTEN = (Circle, Line, Polygon)
"""Shapes that a program can write itself, one by one; lists of them are found by tools."""
_FOUND = (Depth, Grid, Track, *_WRITTEN)
"""Kinds of values that tools find for helpers."""

MIN_SIMILAR = 3
"""Number of tools, the most similar to the question, that are shown before any further example."""
NAME_WEIGHT = 3.0
"""Weight of the likeness of a question to the name of a tool, beside that to its summary and to its examples."""

MIN_EXAMPLES = 2
"""Number of examples below which descriptions are shortened rather than further examples left out."""

_ANY_PLACE = re.compile(r"(?:(?:Region|Box|Mask|Circle|Polygon|Line|Grid)(?: \| )?){7}")
"""All kinds that have a place, as one type."""


@dataclass(frozen=True)
class PromptContent:
    """What a prompt shows.

    Attributes:
        tools: Tools that can be called.
        examples: Questions and programs, the most similar last.
        description: Stubs of the tools.
        brief: Kinds of values of which the names of the members are enough.
    """

    tools: Registry
    examples: Sequence[Example]
    description: str
    brief: Collection[type] = ()


def fitted(
    request: PlanRequest,
    examples: Sequence[Example],
    max_examples: int,
    max_tokens: int,
    messages: Callable[[PromptContent], list[Message]],
    *,
    needed: Iterable[str] = (),
) -> PromptContent:
    """What a prompt of at most so many tokens shows.

    The tools of `CORE` or `VIDEO_CORE`, the few most similar tools, those that the examples shown call, and the helpers
    for what these tools find are always there; others follow in the order of their similarity to the question. If that
    is too much, the least similar tools are left out first, then the least similar examples; descriptions are shortened
    last.

    Args:
        examples: Examples to choose from.
        messages: Gives the conversation with what is shown.
        needed: Names of further tools that must be there.

    Raises:
        ConfigError: The least prompt has more tokens.
    """
    offered = request.registry.offered
    scored = ranked(request, examples)
    best = [example for _, example in scored[: max(max_examples, 0)]]
    order = _by_similarity(request.question, offered, scored)
    nearest = [tool.name for tool in order[:MIN_SIMILAR]]
    core, short = (VIDEO_CORE, _VIDEO_BRIEF) if request.video else (CORE, ())
    if _OFFERS.search(request.question):
        nearest += _CHOOSE
    least = 0
    for brief in (False, True):
        fewest = min(MIN_EXAMPLES, len(best)) if not brief else 0
        for number in range(len(best), fewest - 1, -1):
            kept = best[:number][::-1]
            names = {*core, *nearest, *needed}.union(*(calls(example.program) for example in kept))

            def shown(names: set[str], kept: list[Example] = kept, brief: bool = brief) -> PromptContent:
                tools = [t for name, t in offered.items() if name in names and not t.pure]
                helpers = [
                    t for name, t in offered.items() if t.pure and (name in names or _has_use(t, tools))
                ]
                chosen = Registry([*tools, *helpers])
                return PromptContent(chosen, kept, describe(chosen, brief=brief), short)

            least = estimate_tokens(messages(shown(names)))
            if least > max_tokens:
                continue
            for tool in order:
                if (
                    tool.name not in names
                    and estimate_tokens(messages(shown(names | {tool.name}))) <= max_tokens
                ):
                    names.add(tool.name)
            return shown(names)
    raise ConfigError(
        f"'prompt_tokens' is {max_tokens:,}, and the least prompt for this question has about {least:,}: raise it"
    )


def describe(tools: Registry, *, brief: bool) -> str:
    """Stubs of tools. Helpers of one signature, whose names say what they do, are written once.

    Args:
        brief: Whether of each docstring only the first sentence is shown.
    """
    stubs, alike = [], dict[str, list[Tool]]()
    for name, text in descriptions(tools, brief=brief).items():
        tool = tools[name]
        if tool.pure:
            alike.setdefault(tool.signature.removeprefix(tool.name), []).append(tool)
        else:
            stubs.append(stub(tool, text))
    for first_helper, *others in alike.values():
        names = ", ".join(each.name for each in others)
        more = f" Called in the same way: {names}." if others else ""
        stubs.append(stub(first_helper, first_helper.doc + more))
    return _ANY_PLACE.sub("Located", "\n\n".join(stubs))


def _has_use(helper: Tool, tools: Iterable[Tool]) -> bool:
    """Whether the tools find what a helper takes."""
    taken = [k for p in helper.parameters for k in _FOUND if mentions(p.type, k) and p.type not in _WRITTEN]
    return all(any(mentions(tool.returns, kind) for tool in tools) for kind in taken)


def _by_similarity(question: str, offered: Registry, scored: Sequence[tuple[float, Example]]) -> list[Tool]:
    """Tools, those first whose name, summary and best example are most like the question, then those of `CORE`."""
    tools = [tool for tool in offered.values() if not tool.pure]
    by_name = bm25(question, [tool.name.replace("_", " ") for tool in tools])
    by_summary = bm25(question, [tool.summary for tool in tools])
    by_example: dict[str, float] = {}
    for score, example in reversed(scored):
        by_example.update(dict.fromkeys(calls(example.program), score))
    worth = [
        NAME_WEIGHT * name + summary + by_example.get(tool.name, 0.0)
        for tool, name, summary in zip(tools, by_name, by_summary, strict=True)
    ]
    return [tools[i] for i in sorted(range(len(tools)), key=lambda i: (-worth[i], tools[i].name not in CORE))]
