"""Running a program that a planner wrote, and judging what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from visprog.sandbox import Outcome, Sandbox, SandboxUnavailable, Series

from ..check import Diagnostic
from ..errors import MissingExtra, Refused, readable
from ..program import Program
from ..registry.types import Type, accepts, describe, render
from ..runtime.cautions import cautions_on, missed
from ..runtime.host import Run, RunEnded
from ..runtime.steps import Step
from ..values.codec import handles
from ..values.video import Video
from .base import Plan
from .options import outside_options

NO_SANDBOX = "no program can be run here"


def step_of(plan: Plan, **outcome: Any) -> Step:
    """A step with what a plan says, and with fields of its outcome."""
    return Step(
        plan.program,
        planner=plan.planner,
        probability=plan.probability,
        tokens=plan.tokens,
        **{"diagnostics": plan.diagnostics, "seconds": plan.seconds, **outcome},
    )


def execute(
    plan: Plan,
    inputs: Mapping[str, Any],
    run: Run,
    sandbox: Sandbox,
    returns: Type = None,
    series: Series | None = None,
    question: str = "",
    video: bool = False,
) -> Step:
    """Run a program that passed its check.

    Args:
        inputs: Values by name.
        run: Where its calls of tools go; it may have made others before.
        returns: Type that its value must have; None for any.
        series: Of the plan's program, made by `sandbox`; by default a process of its own.
        question: That its value answers, which may offer options; empty if it is not yet the answer.
        video: Whether it is about a video.
    """
    started, before = time.perf_counter(), len(run.calls)
    try:
        with run:
            start = series.run if series is not None else partial(sandbox.run, plan.program)
            variables = Program.parse(plan.program).variables
            tools = {name: call for name, call in run.tools(video).items() if name not in variables}
            outcome = start(tools=tools, inputs=inputs, types=handles())
    except SandboxUnavailable as error:
        return step_of(plan, message=f"{NO_SANDBOX}: {error}")
    step = step_of(
        plan,
        trace=tuple(run.calls[before:]),
        stdout=outcome.stdout,
        level=str(outcome.level or ""),
        # What would be refused is known by now: a tool refused it, or was not called.
        diagnostics=(
            *(d for d in plan.diagnostics if not d.refusal),
            *map(Diagnostic.of, outcome.diagnostics),
        ),
        seconds=plan.seconds + time.perf_counter() - started,
    )
    judged = _judge(step, outcome, returns, run, question)
    if judged.status != "answered":
        return judged
    of_videos = (s for value in inputs.values() if isinstance(value, Video) for s in value.source.cautions)
    return replace(judged, cautions=(*of_videos, *judged.cautions))


def _judge(step: Step, outcome: Outcome, returns: Type, run: Run, question: str) -> Step:
    """The step with what an outcome amounts to; with feedback, if its planner might mend it."""
    if isinstance(outcome.cause, RunEnded):
        return replace(step, message=str(outcome.cause.reason))
    where = f"line {outcome.line}: " if outcome.line else ""
    if outcome.status == "ok":
        if returns is not None and not accepts(returns, outcome.value):
            message = f"the program answered {describe(outcome.value)}, but {render(returns)} was asked for"
            return replace(step, message=message, feedback=message)
        if outcome.value is None:
            message = "the program came to its end without an answer"
            return replace(step, message=message, feedback=message)
        message = outside_options(question, outcome.value)
        if message:
            return replace(step, status="refused", message=message, feedback=message)
        cautions = cautions_on(outcome.value, step.trace)
        return replace(step, status="answered", value=outcome.value, cautions=cautions)
    if outcome.status == "error":
        message = f"{where}{outcome.error_type}: {readable(str(outcome.error))}"
        if isinstance(outcome.cause, Refused | MissingExtra):
            why = readable(str(outcome.cause))
            return replace(step, status="refused", message=why, feedback=message)
        if outcome.error_type == "NothingFound":
            looked = missed(step.trace)
            why = f"{where}{outcome.error}" + (f" ({looked[-1]})" if looked else "")
            return replace(step, status="refused", message=why, feedback=message)
        return replace(step, message=message, feedback=message)
    if outcome.status == "rejected":
        message = "the program was rejected: " + "; ".join(map(str, outcome.diagnostics[:3]))
        return replace(step, message=message, feedback=message)
    message = f"the program was ended ({outcome.limit}): {where}{outcome.error}"
    # Another program may do with less, if there is time for it.
    return replace(step, message=message, feedback=message if run.left > 0 else "")
