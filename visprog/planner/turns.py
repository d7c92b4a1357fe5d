"""A chat model that looks before it answers: programs, one after another, each shown what those before it found.

The answer is always the value of a program that ran in the sandbox: the model says which, and never gives it itself.
What a model writes beside its programs is not part of the answer.
"""

from __future__ import annotations

import ast
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from visprog.sandbox import Sandbox

from ..check import check
from ..check.misuse import SWALLOWED
from ..errors import ConfigError, PlannerError, Refused, VisprogError
from ..llm.chat import ImagePart, Message, Reply, Tokens, complete, describe_images, estimate_tokens
from ..program import Program
from ..registry.types import accepts, annotation_of, describe, render
from ..runtime.cancellation import Cancelled
from ..runtime.cautions import cautions_on
from ..runtime.events import Checked, Emitter, Planned
from ..runtime.host import Run
from ..runtime.steps import Step
from ..runtime.workspace import Workspace
from .base import Plan, Planner, PlanRequest
from .execution import execute
from .extract import find_refusal
from .llm import LLMPlanner
from .memory import ChatMemory, Exchange
from .observations import MAX_IMAGES, in_images
from .opening import first_messages, seen, turn_form
from .options import outside_options
from .turn_forms import Move, TurnForm, add_to_last

if TYPE_CHECKING:
    from ..config import Config


def check_turns(planner: Planner, config: Config) -> None:
    """Raise `ConfigError` if a planner cannot take turns as the settings say."""
    if not isinstance(planner, LLMPlanner):
        raise ConfigError(no_turns(planner))
    if config.turns == 1:
        raise ConfigError("a chat model that calls tools needs several turns: set turns, such as turns=8")
    if config.votes > 1 and config.turns > 1:
        raise ConfigError(
            "either votes or turns: one program of several is voted for, or each sees the one before"
        )
    if config.tool_calls and not getattr(planner.chat, "takes_tools", False):
        raise ConfigError(f"{planner.name} cannot call tools: leave tool_calls out, and it writes programs")


def no_turns(planner: Planner) -> str:
    """Why a planner that is no chat model cannot take turns, and what to do."""
    return (
        f"the planner {planner.name} writes one program and takes no turns: choose a chat model, such as "
        "'openai:MODEL', or leave turns and tool_calls out"
    )


@dataclass
class _Turn:
    """A reply, what it came to, and what the model is shown of that.

    Attributes:
        seconds: That the model took.
    """

    reply: Reply
    seconds: float
    moves: list[Move] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    images: list[ImagePart] = field(default_factory=list)


@dataclass
class TurnLoop:
    """The turns of a chat model for one question.

    Args:
        planner: Whose chat model it is.
        request: What is asked.
        memory: What was before; what is found is added.
        run: Its budget of calls, seconds and pixels is that of all turns together.
        sandbox: Where programs run.
        turns: Number of replies, at most.
        emit: Sends events, if somebody listens.

    Attributes:
        rests_on: Steps of earlier questions whose values the answer is made from, the oldest first.
    """

    planner: LLMPlanner
    request: PlanRequest
    memory: ChatMemory
    run: Run
    sandbox: Sandbox
    turns: int
    emit: Emitter | None = None
    rests_on: tuple[Step, ...] = ()
    _steps: list[Step] = field(default_factory=list)
    _spent: int = 0
    _without_images: bool = False

    def steps(self) -> tuple[Step, ...]:
        """Take turns until there is an answer, a refusal, or no budget.

        Returns:
            A step for each program and for each reply that could not be used; the last is the one that stands.
        """
        form = turn_form(self.planner, self.request, self.run.host.config.tool_calls, self.memory)
        try:
            messages = first_messages(form, self.request, self.memory)
        except VisprogError as error:  # there is no room for the prompt
            return self._end(str(error))
        for left in reversed(range(self.turns)):
            over = self._over(messages)
            if over:
                return self._end(over)
            started = time.perf_counter()
            try:
                reply = self._ask(messages, form)
            except VisprogError as error:
                return self._end(str(error), refused=isinstance(error, Refused))
            turn = _Turn(reply, time.perf_counter() - started)
            if self._play(turn, form):
                return self._stand()
            messages = [*describe_images(messages), *form.messages(reply, turn.moves, turn.shown)]
            add_to_last(messages, [*seen(turn.images[:MAX_IMAGES]), _left(left)])
        return self._end(f"no answer within {self.turns} turns; raise 'turns'")

    # -- one turn --------------------------------------------------------------------------------

    def _over(self, messages: list[Message]) -> str:
        """Why no further reply is asked for; empty if one is."""
        config = self.run.host.config
        if self.run.cancellation.is_cancelled:
            return str(Cancelled())
        if self.run.left <= 0:
            return f"no answer within {config.seconds:g} s; raise 'seconds'"
        if self._spent + estimate_tokens(messages) > config.tokens:
            return f"no answer within {config.tokens:,} tokens; raise 'tokens'"
        return ""

    def _ask(self, messages: list[Message], form: TurnForm) -> Reply:
        planner = self.planner
        replies = complete(
            planner.chat,
            messages,
            tools=form.tools,
            temperature=planner.temperature or 0.0,
            max_tokens=planner.max_tokens,
            seed=planner.seed,
        )
        if not replies:
            raise PlannerError(f"{planner.name} gave no reply")
        reply = replies[0]
        self._without_images |= reply.without_images
        tokens = reply.tokens or Tokens(estimate_tokens(messages), estimate_tokens([{"content": reply.text}]))
        self._spent += tokens.prompt + tokens.completion
        return reply

    def _play(self, turn: _Turn, form: TurnForm) -> bool:
        """Do what a reply comes to. Whether the question has come to its end."""
        refusal = find_refusal(turn.reply.text)
        for move in form.moves(turn.reply, self.memory.workspace):
            cost = (turn.reply.tokens, turn.seconds) if not turn.moves else (None, 0.0)
            turn.moves.append(move)
            self._planned(move, turn.seconds)
            if refusal and not move.program:
                why = f"{self.planner.name} says that the tools cannot answer this: {refusal}"
                self._add_end(why, *cost, refused=True)
                return True
            problem = move.problem or (self._objection() if not move.program else "")
            if problem:
                self._steps.append(self._unusable(problem, *cost))
                turn.shown.append(f"{problem[0].upper()}{problem[1:]}.")
                continue
            if not move.program:
                self._accept(*cost)
                return True
            step, goes_on = self._try(move, *cost)
            self._steps.append(step)
            if step.status == "answered" and move.is_final:
                self._accept()
                return True
            if not goes_on:
                return True
            if step.status == "answered":
                whole = None if self.memory.video else self.memory.images[0]
                turn.images += in_images(step.value, whole)
            turn.shown.append(self._shown(step, form))
        return False

    def _shown(self, step: Step, form: TurnForm) -> str:
        """The outcome of a program in words; what it names is kept as a part of the value."""
        named = set(self.memory.workspace.ids)
        text = form.shown(step, self.memory.workspace)
        self.memory.add_parts(step.kept_as, (n for n in self.memory.workspace.ids if n not in named))
        before = next((s for s in self._steps[:-1] if s.kept_as and s.program == step.program), None)
        if before is not None and step.kept_as:
            text += f"\nIt is the program of {before.kept_as} once more: go on from its value, or give the answer."
        return text

    def _planned(self, move: Move, seconds: float) -> None:
        if self.emit is not None:
            self.emit(
                Planned,
                question=self.request.question,
                program=move.program,
                planner=self.planner.name,
                seconds=seconds,
            )

    def _try(self, move: Move, tokens: Tokens | None, seconds: float) -> tuple[Step, bool]:
        """Check a program and run it; its value is kept. Whether another turn may follow."""
        workspace = self.memory.workspace
        program = Program.parse(move.program)
        types = {name: annotation_of(workspace[name]) for name in workspace.ids}
        returns = self.request.returns if move.is_final else None
        found = tuple(check(program, self.request.registry, returns=returns, inputs=types))
        plan = Plan(move.program, self.planner.name, tokens=tokens, seconds=seconds, diagnostics=found)
        if self.emit is not None:
            self.emit(Checked, program=plan.program, diagnostics=found)
        step = Step(plan.program, found, planner=plan.planner, tokens=tokens, seconds=seconds)
        if plan.errors or any(d.code == SWALLOWED for d in found):
            return replace(step, message=plan.error_message or f"the program is refused: {found[0]}"), True
        inputs = _bound(program, workspace)
        if not _rests_on(program, {*inputs, *self.request.registry.called}):
            problem = "the program uses no image, no kept value and no tool: its value would be a guess"
            return replace(step, message=problem, feedback=problem), True
        try:
            question = self.request.question if move.is_final else ""
            step = execute(
                plan, inputs, self.run, self.sandbox, returns, question=question, video=self.memory.video
            )
        except (TypeError, ValueError) as error:
            problem = f"a kept value cannot be given to a program: {error}"
            return replace(step, message=problem, feedback=problem), True
        if step.status == "answered":
            return self.memory.keep(step, inputs), True
        return step, bool(step.feedback)

    def _objection(self) -> str:
        """Why the value of the last program cannot be the answer; empty if it can."""
        ran = next((step for step in reversed(self._steps) if step.program), None)
        if ran is None or ran.status != "answered":
            return "the last program gave no value: write one that returns the answer"
        returns = self.request.returns
        if returns is not None and not accepts(returns, ran.value):
            return (
                f"the value of the last program is {describe(ran.value)}, and the answer must be of type "
                f"{render(returns)}: write a program that returns that"
            )
        return outside_options(self.request.question, ran.value)

    # -- the end ---------------------------------------------------------------------------------

    def _accept(self, tokens: Tokens | None = None, seconds: float = 0.0) -> None:
        """The value of the last program is the answer; what its confirmation cost is added to it."""
        while not self._steps[-1].program:  # replies that could not be used, after it
            lost = self._steps.pop()
            tokens, seconds = _sum(tokens, lost.tokens), seconds + lost.seconds
        last = self._steps[-1]
        basis = self.memory.basis(last.kept_as)
        own = {step.kept_as for step in self._steps}
        self.rests_on = tuple(step for step in basis if step.kept_as not in own)
        calls = [call for step in (*self.rests_on, *self._steps) for call in step.trace]
        cautions = [*(c for step in basis for c in step.cautions), *cautions_on(last.value, calls)]
        if self._without_images:
            cautions.append(f"{self.planner.name} takes no images: it worked from descriptions")
        self._steps[-1] = replace(
            last,
            tokens=_sum(last.tokens, tokens),
            seconds=last.seconds + seconds,
            cautions=tuple(dict.fromkeys(cautions)),
        )
        self.memory.update(self._steps[-1])

    def _end(self, why: str, *, refused: bool = False) -> tuple[Step, ...]:
        self._add_end(why, refused=refused)
        return self._stand()

    def _add_end(
        self, why: str, tokens: Tokens | None = None, seconds: float = 0.0, *, refused: bool = False
    ) -> None:
        """Add a last step that says why there is no answer."""
        last = self._steps[-1] if self._steps else None
        if last is not None and last.status == "refused" and not refused:
            why, refused = f"{why} (the last program was refused: {last.message})", True
        elif last is not None and last.status == "error" and last.message and not refused:
            why = f"{why} (the last reply: {last.message})"
        status: Literal["refused", "error"] = "refused" if refused else "error"
        self._steps.append(
            Step("", planner=self.planner.name, status=status, message=why, tokens=tokens, seconds=seconds)
        )

    def _stand(self) -> tuple[Step, ...]:
        self.memory.past.append(Exchange(self.request.question, self._steps[-1]))
        return tuple(self._steps)

    def _unusable(self, problem: str, tokens: Tokens | None, seconds: float) -> Step:
        """A reply that held no program."""
        return Step(
            "",
            feedback=problem,
            planner=self.planner.name,
            message=problem,
            tokens=tokens,
            seconds=seconds,
        )


def _bound(program: Program, workspace: Workspace) -> dict[str, Any]:
    """The inputs of a program: kept values by the names of its parameters; of a script, by the names in it."""
    names = workspace.ids
    if program.function is None:
        used = {node.id for node in ast.walk(program.tree) if isinstance(node, ast.Name)}
        return {name: workspace[name] for name in names if name in used}
    if len(names) == 1 and len(program.required) == 1:  # as the check allows it
        return {program.required[0].arg: workspace[names[0]]}
    return {a.arg: workspace[a.arg] for a in program.required if a.arg in workspace}


def _rests_on(program: Program, names: set[str]) -> bool:
    """Whether a program reads one of these names."""
    return any(
        isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names
        for node in ast.walk(program.tree)
    )


def _left(turns: int) -> str:
    if turns > 1:
        return f"You have {turns} replies left."
    return "One reply is left: give the answer, or CANNOT: and the reason." if turns else ""


def _sum(one: Tokens | None, other: Tokens | None) -> Tokens | None:
    return other if one is None else one if other is None else one + other
