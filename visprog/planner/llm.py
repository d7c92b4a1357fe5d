"""The planner that asks a chat model: a prompt made from the registry, then the program out of the reply."""

from __future__ import annotations

import re
import time
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from ..errors import ConfigError, PlannerError, Refused
from ..llm.chat import ChatModel, Message, Reply
from ..runtime.steps import Step
from .base import NoProgram, Plan, PlanRequest
from .embedded.values_text import describe_values
from .examples import calls, choose
from .extract import find_program, find_refusal
from .user_examples import found_examples, read_examples

if TYPE_CHECKING:
    from visprog.prompts import Example

    from ..check import Diagnostic
    from .selection import PromptContent

PART = re.compile(r"\{\{(?P<tool>\w+):(?P<text>.*?)\}\}", re.DOTALL)
"""A part of a prompt that is about one tool."""

SAMPLING_TEMPERATURE = 0.7
"""Where several programs are wanted and no temperature is set: they should differ."""


class LLMPlanner:
    """Plans with any chat model.

    Args:
        chat: the model.
        examples: to choose from; by default those in `prompts/examples.yaml` and the user's.
        own_examples: file of the user's examples, as `visprog examples add` writes it; by default that in the
            working folder, if the user trusts it.
        max_examples: shown at most.
        temperature: of sampling; where None, 0 for one program and 0.7 for several.
        max_tokens: limit of a reply; where None, the model's own.
        seed: for endpoints that can repeat themselves.
        prompt_tokens: limit of the prompt for a question, for models with a short context or little patience: only the
            tools, values and examples that it is likely to need are shown (`selection.py`). What a repair adds comes on
            top. All tools where None.

    Raises:
        ConfigError: prompt_tokens is not a whole number of at least 1.
    """

    def __init__(
        self,
        chat: ChatModel,
        *,
        examples: Sequence[Example] | None = None,
        own_examples: str | Path | None = None,
        max_examples: int = 8,
        temperature: float | None = None,
        max_tokens: int | None = None,
        seed: int | None = None,
        prompt_tokens: int | None = None,
    ) -> None:
        if prompt_tokens is not None and (not isinstance(prompt_tokens, int) or prompt_tokens < 1):
            raise ConfigError(f"'prompt_tokens' must be a whole number of at least 1, not {prompt_tokens!r}")
        self.chat = chat
        self.examples = examples
        self.own_examples = own_examples
        self.max_examples = max_examples
        self.temperature = temperature
        self.max_tokens = max_tokens
        self.seed = seed
        self.prompt_tokens = prompt_tokens

    @property
    def name(self) -> str:
        return self.chat.name

    def plan(self, request: PlanRequest, *, failed: Step | None = None, n: int = 1) -> list[Plan]:
        """Between one and `n` programs. Of several replies, those without a program are left out.

        Raises:
            PlannerError: the model cannot be reached, or answers with an error.
            NoProgram: no reply holds a program.
            Refused: the model says that the tools cannot answer the question.
        """
        temperature = self.temperature
        if temperature is None:
            temperature = 0.0 if n == 1 else SAMPLING_TEMPERATURE
        start = time.perf_counter()
        replies = self.chat.complete(
            self.prompt(request, failed),
            n=n,
            temperature=temperature,
            max_tokens=self.max_tokens,
            seed=self.seed,
        )
        seconds = time.perf_counter() - start
        if not replies:
            raise PlannerError(f"{self.name} gave no reply")
        plans = []
        for reply in replies:
            program = find_program(reply.text, truncated=reply.truncated)
            if program is not None:
                plans.append(Plan(program, self.name, tokens=reply.tokens, seconds=seconds / len(replies)))
        if not plans:
            raise self._no_program(replies[0])
        return plans

    def prompt(
        self, request: PlanRequest, failed: Step | None = None, earlier: Sequence[str] = ()
    ) -> list[Message]:
        """The conversation that the model is sent: rules, values and tools; examples; the question; and after
        a program that failed, that program and what was wrong with it.

        Args:
            earlier: Programs of questions before it, whose tools are shown too.
        """
        from visprog import prompts

        from .selection import PromptContent, fitted

        examples = self.examples
        request = replace(request, registry=request.registry.for_inputs(request.video))
        if examples is None:
            own = found_examples() if self.own_examples is None else read_examples(Path(self.own_examples))
            shipped = prompts.examples("video_examples.yaml") if request.video else prompts.examples()
            examples = (*shipped, *own)
        if self.prompt_tokens is None:
            offered = request.registry.offered
            shown = PromptContent(offered, choose(request, examples, self.max_examples), offered.prompt())
        else:
            shown = fitted(
                request,
                examples,
                self.max_examples,
                self.prompt_tokens,
                lambda shown: _conversation(request, shown),
                needed=frozenset().union(*map(_called, [*earlier, failed.program if failed else ""])),
            )
        messages = _conversation(request, shown)
        if failed is not None:
            if failed.program:
                messages.append({"role": "assistant", "content": _fenced(failed.program)})
                messages.append({"role": "user", "content": describe_failure(failed)})
            else:
                messages[-1]["content"] += "\n\n" + describe_failure(failed)
        return messages

    def _no_program(self, reply: Reply) -> PlannerError | Refused:
        reason = find_refusal(reply.text)
        if reason:
            return Refused(f"{self.name} says that the tools cannot answer this: {reason}")
        if reply.truncated:
            return NoProgram(
                f"the reply of {self.name} was cut off before its program was complete: raise max_tokens",
                reply.text,
            )
        shown = " ".join(reply.text.split())
        shown = shown if len(shown) <= 120 else shown[:119] + "…"
        return NoProgram(f'{self.name} wrote no program; its reply begins: "{shown}"', reply.text)


def _conversation(request: PlanRequest, shown: PromptContent) -> list[Message]:
    """The rules with what is shown, the examples, and the question."""
    from visprog import prompts

    rules = prompts.text("planner.txt") + (prompts.text("video.txt") if request.video else "")
    system = Template(about(rules, shown.tools)).substitute(
        values=describe_values(shown.tools, shown.brief), tools=shown.description
    )
    messages = [{"role": "system", "content": system.strip()}]
    for example in shown.examples:
        asked = PlanRequest(
            example.question, example.images, example.returns or None, request.registry, video=example.video
        )
        messages.append({"role": "user", "content": describe_question(asked)})
        messages.append({"role": "assistant", "content": _fenced(example.program)})
    return [*messages, {"role": "user", "content": describe_question(request)}]


def _called(program: str) -> frozenset[str]:
    """The tools that a program calls; none of one that cannot be read."""
    try:
        return calls(program)
    except SyntaxError:
        return frozenset()


def about(text: str, offered: Container[str]) -> str:
    """A text of `prompts/` without the parts about tools that are not offered: each stands in `{{TOOL:…}}`."""
    return PART.sub(lambda part: part["text"] if part["tool"] in offered else "", text)


def describe_failure(step: Step) -> str:
    """What was wrong with a program, for its author: its lines numbered, and what stopped its run, or each finding of
    the check with its code, place and remedy; never a traceback."""
    from visprog import prompts

    problems = [_finding(d) for d in step.diagnostics]
    if step.feedback:
        # What stops a run may quote words read in the image: they stay inside the quotation, as data.
        quoted = step.feedback.replace("<", "‹").replace(">", "›")
        problems = [f"It stopped while it ran:\n<error>{quoted[:500]}</error>"]
    numbered = "\n".join(f"{i:3} | {line}" for i, line in enumerate(step.program.splitlines(), 1))
    name = "repair.txt" if step.program else "no_program.txt"
    text = Template(prompts.text(name)).substitute(program=numbered, problems="\n".join(problems))
    return text.strip()


def _finding(found: Diagnostic) -> str:
    text = f"- line {found.line}, column {found.column + 1}: {found.severity} {found.code}: {found.message}"
    return f"{text} Remedy: {found.suggestion}" if found.suggestion else text


def describe_question(request: PlanRequest, text: str = "question.txt") -> str:
    """A request in words, by a text of `prompts/`."""
    from visprog import prompts

    from ..registry.types import render

    returns = (
        request.returns
        if isinstance(request.returns, str) or request.returns is None
        else render(request.returns)
    )
    return (
        Template(prompts.text(text))
        .substitute(
            question=request.question,
            header=request.header,
            given=_given(request),
            returns=f"The answer must be of type {returns}." if returns else "",
        )
        .strip()
    )


def _given(request: PlanRequest) -> str:
    if request.video:
        return "a video"
    return "one image" if request.images == 1 else f"a list of {request.images} images"


def _fenced(program: str) -> str:
    return f"```python\n{program.strip()}\n```"
