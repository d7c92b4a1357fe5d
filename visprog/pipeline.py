"""The path of one question: planned, checked, run in the sandbox, and by the fallback if no program answered."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from visprog.sandbox import Sandbox, SandboxUnavailable, Series

from .answer import Answer
from .check import Diagnostic, check
from .check.dry_run import dry_run
from .config import Config
from .errors import PlannerError, Refused, VisprogError
from .planner.base import Plan, Planner, PlanRequest, total_tokens
from .planner.execution import NO_SANDBOX, execute, step_of
from .planner.llm import LLMPlanner
from .planner.memory import ChatMemory
from .planner.opening import Opening, opening
from .planner.repair import RepairLoop
from .planner.turns import TurnLoop
from .planner.vote import vote
from .program import Given, Program, program_source
from .registry.types import Type
from .runtime.events import Answered, Emitter
from .runtime.host import Host, Run, RunEnded
from .runtime.steps import Step
from .runtime.summary import summary
from .values.image import Image
from .values.video import Video, is_video, key_frames


@dataclass(frozen=True)
class Pipeline:
    """What a question passes through.

    Args:
        planner: Writes the programs.
        config: The settings.
        host: Calls the tools.
        sandbox: Runs the programs.
    """

    planner: Planner
    config: Config
    host: Host
    sandbox: Sandbox

    def answer(
        self, question: str, images: tuple[Given, ...], returns: Type, emit: Emitter | None = None
    ) -> Answer:
        """The answer that programs give to a question about images or a video; `finished` is still to be called."""
        video = is_video(images[0])
        if self.config.turns > 1:
            memory = ChatMemory.about(images, self.host.registry)
            return self.look(question, memory, returns, self.config.turns, emit)
        loop = self.repair_loop(self.request(question, len(images), returns, video), emit)
        try:
            plans = loop.plans(self.config.votes)
        except VisprogError as error:
            status: Literal["refused", "error"] = "refused" if isinstance(error, Refused) else "error"
            return Answer(status, message=str(error), planner=self.planner.name, images=key_frames(images))
        return self._vote(plans, loop, images)

    def look(
        self, question: str, memory: ChatMemory, returns: Type, turns: int, emit: Emitter | None = None
    ) -> Answer:
        """The same, of a chat model that takes turns, with what was asked before in mind."""
        assert isinstance(self.planner, LLMPlanner)
        request = self.request(question, 1 if memory.video else len(memory.images), returns, memory.video)
        run = self.host.new_run(emit)
        loop = TurnLoop(self.planner, request, memory, run, self.sandbox, turns, emit)
        answer = answer_of(loop.steps(), memory.images)
        return replace(answer, rests_on=loop.rests_on)

    def opening(self, question: str, memory: ChatMemory, returns: Type, turns: int) -> Opening:
        """What `look` sends to the chat model first."""
        assert isinstance(self.planner, LLMPlanner)
        request = self.request(question, 1 if memory.video else len(memory.images), returns, memory.video)
        return opening(self.planner, request, turns, self.config.tool_calls, memory)

    def request(self, question: str, images: int, returns: Type, video: bool) -> PlanRequest:
        """What the planner is asked for."""
        registry = self.host.in_force.for_inputs(video)
        return PlanRequest(question, images, returns, registry, self.host.prepare, video)

    def repair_loop(self, request: PlanRequest, emit: Emitter | None = None) -> RepairLoop:
        """Planning, check and repair for a request."""
        return RepairLoop(self.planner, request, self._check, self.config.repairs, emit)

    def given(self, program: str | os.PathLike[str] | Plan, returns: Type) -> Plan:
        """A program that a user gives as a plan, with what the check found in it.

        Raises:
            VisprogError: Its file cannot be read.
        """
        source = program_source(program.program if isinstance(program, Plan) else program)
        return Plan(source, "", diagnostics=tuple(check(source, self.host.in_force, returns=returns)))

    def execute(
        self,
        plan: Plan,
        returns: Type,
        images: tuple[Given, ...],
        run: Run,
        series: Series | None = None,
        question: str = "",
    ) -> Step:
        """Run one program.

        Args:
            series: Of the plan's program, made by `sandbox`; by default a process of its own.
            question: That it answers; empty if there is none.
        """
        if plan.error_message:
            return step_of(plan, message=plan.error_message)
        program = Program.parse(plan.program)
        video = any(isinstance(each, Video) for each in images)
        message = program.mismatch(len(images), video)
        if message:
            return step_of(plan, message=message, feedback=message)
        return execute(plan, program.bind(images), run, self.sandbox, returns, series, question, video)

    def finished(self, answer: Answer, question: str, started: float, emit: Emitter | None) -> Answer:
        """An answer to a question, by the fallback if no program gave it; its event is sent."""
        if self.config.fallback and question and answer.status in ("refused", "error"):
            answer = self._fall_back(question, answer, emit)
        answer = replace(answer, question=question, seconds=time.perf_counter() - started)
        if emit is not None:
            emit(
                Answered,
                question=question,
                images=tuple(image.name for image in answer.images),
                status=answer.status,
                value="" if answer.value is None else summary(answer.value),
                message=answer.message,
                seconds=answer.seconds,
            )
        return answer

    def _check(self, program: str, request: PlanRequest) -> list[Diagnostic]:
        parsed = Program.parse(program)
        found = check(parsed, request.registry, returns=request.returns)
        if any(d.severity == "error" for d in found):
            return found
        for name in parsed.called:
            request.expect(name)
        try:
            trial = dry_run(
                parsed,
                request.registry,
                returns=request.returns,
                inputs=parsed.inputs(request.images),
                sandbox=self.sandbox,
            )
        except SandboxUnavailable as error:
            raise PlannerError(f"{NO_SANDBOX}: {error}") from None
        return [*found, *trial]

    def _vote(self, plans: Sequence[Plan], loop: RepairLoop, images: tuple[Given, ...]) -> Answer:
        """Run each program; the answer that most of them give, or the one program's answer."""

        def execute(plan: Plan) -> Step:
            request, run = loop.request, self.host.new_run(loop.emit)
            return self.execute(plan, request.returns, images, run, question=request.question)

        shown = key_frames(images)
        answers = [answer_of(loop.run(plan, execute), shown) for plan in plans]
        good = [a for a in answers if a.status == "answered"]
        if len(answers) == 1 or not good:
            return answers[0]
        winner = vote([a.value for a in good], voters=len(answers))
        return replace(good[winner.index], probability=winner.share)

    def _fall_back(self, question: str, answer: Answer, emit: Emitter | None) -> Answer:
        """Ask the question-answering tool plainly; the answer says so. It sees one image, so that it is not asked about
        several or a video."""
        registry = self.host.registry
        if "vqa" not in registry or len(answer.images) != 1:
            return answer
        run = self.host.new_run(emit)
        try:
            value = run.call(registry["vqa"], answer.images[0], question)
        except (VisprogError, RunEnded):
            return answer
        return replace(
            answer,
            status="fallback",
            value=value,
            message=f"no program answered ({answer.message}); the vqa tool was asked plainly",
            trace=(*answer.trace, *run.calls),
        )


def answer_of(steps: tuple[Step, ...], images: tuple[Image, ...]) -> Answer:
    """The answer that the last of several steps gives."""
    step, tokens = steps[-1], total_tokens(steps)
    return Answer(
        step.status,
        step.value,
        step.message,
        program=step.program,
        diagnostics=step.diagnostics,
        trace=step.trace,
        images=images,
        planner=step.planner,
        probability=step.probability,
        tokens=None if tokens is None else tokens.prompt + tokens.completion,
        steps=steps,
        stdout=step.stdout,
        level=step.level,
        cautions=step.cautions,
    )
