"""Bounded repair: a program that fails its check, or its run, goes back to its planner with what was wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from ..errors import Refused, VisprogError
from ..runtime.cancellation import current_cancellation
from ..runtime.events import Checked, Emitter, Planned
from ..runtime.steps import Step
from .base import NoProgram, Plan, Planner, PlanRequest, mends_refusals

if TYPE_CHECKING:
    from ..check import Diagnostic

Check: TypeAlias = "Callable[[str, PlanRequest], Sequence[Diagnostic]]"
"""Finds what is wrong in a program written for a request; without an error among it, the program may run."""

Mend: TypeAlias = Callable[[Plan, Step], Plan | Refused | None]
"""A better plan than the one that failed in a step; what the planner refused with; None if it has no better one."""


@dataclass(frozen=True)
class RepairLoop:
    """Planning and repair for one request.

    Args:
        planner: Writes the programs.
        request: What they are for.
        check: Finds what is wrong in them.
        rounds: Number of programs, at most, that are written after the first, before a run and after it together.
        emit: Sends events of the run, if somebody listens.
    """

    planner: Planner
    request: PlanRequest
    check: Check
    rounds: int = 2
    emit: Emitter | None = None

    def plan(self) -> Plan:
        """One program, sent back for repair while its check finds errors and rounds are left.

        It also ends if the planner writes the same program again: it has nothing better to offer.

        Returns:
            The first program without errors; if there is none, the one with the fewest. `steps` holds the others.

        Raises:
            PlannerError: No program was written, in any round.
            Refused: The planner says that the tools cannot answer the question.
        """
        return self._write([], [], max(self.rounds, 0) + 1)

    def plans(self, n: int) -> list[Plan]:
        """Up to `n` programs for a vote: those of one sampling that pass their check; if none does, the best of
        them, repaired. Raises as `plan` does.
        """
        if n == 1:
            return [self.plan()]
        plans = [self._checked(plan) for plan in self._ask(None, n)]
        good = [plan for plan in plans if not self._needs_repair(plan)]
        if good or self.rounds < 1:
            return good or [_best(plans)]
        best = _best(plans)
        return [self._write([best], [_step(best)], self.rounds)]

    def run(self, plan: Plan, execute: Callable[[Plan], Step], mend: Mend | None = None) -> tuple[Step, ...]:
        """Run a program; if it fails, or a tool refuses, let its planner mend it and run the new one.

        If no program answers, the first refusal stands, since it names what cannot be seen; of errors, the latest.

        Args:
            execute: Runs a plan.
            mend: Gives a better plan; by default this loop's `mend`.

        Returns:
            All steps, those before the plan included; the last is the one that stands.
        """
        steps = list(plan.steps)
        while True:
            step = execute(plan)
            mends = step.feedback and (step.status != "refused" or mends_refusals(self.planner))
            better = (mend or self.mend)(plan, step) if mends else None
            steps.append(step)
            if not isinstance(better, Plan):
                break
            # The failed step that it knows may be that of another image: see `mend_once`.
            steps += better.steps[len(plan.steps) + 1 :]
            plan = better
        refusal = next((s for s in steps if s.status == "refused"), step)
        stands = step if step.status == "answered" else refusal
        steps = [s for s in steps if s is not stands]
        if isinstance(better, Refused):
            steps.append(Step("", planner=self.planner.name, status="refused", message=str(better)))
        return (*steps, stands)

    def mend(self, plan: Plan, failed: Step) -> Plan | Refused | None:
        """A better program than one that failed when it ran, if rounds are left. Steps so far count."""
        left = self.rounds - len(plan.steps)
        if left < 1:
            return None
        try:
            better = self._write([plan], [*plan.steps, failed], left)
        except Refused as refusal:
            return refusal
        except VisprogError:  # the step at hand says what went wrong first
            return None
        return None if better.program == plan.program else better

    def _write(self, written: list[Plan], steps: list[Step], tries: int) -> Plan:
        """Ask up to `tries` times, each time with the latest step, until a program has no errors.

        `written` and `steps` are what there is so far; both are added to.
        """
        failure: NoProgram | None = None
        for _ in range(tries):
            try:
                plan = self._ask(steps[-1] if steps else None)[0]
            except NoProgram as error:
                failure = error
                steps.append(Step("", feedback=str(error), planner=self.planner.name, message=str(error)))
                continue
            if any(plan.program == step.program for step in steps):
                break
            plan = self._checked(plan)
            written.append(plan)
            if not self._needs_repair(plan):
                break
            steps.append(_step(plan))
        if failure is not None and not written:
            raise failure
        best = _best(written)
        return replace(best, steps=tuple(step for step in steps if step.program != best.program))

    def _ask(self, failed: Step | None, n: int = 1) -> list[Plan]:
        current_cancellation().check()
        started = time.perf_counter()
        plans: list[Plan] = []
        try:
            plans = self.planner.plan(self.request, failed=failed, n=n)
        finally:
            if self.emit is not None:
                seconds = time.perf_counter() - started
                for program in [plan.program for plan in plans] or [""]:
                    self.emit(
                        Planned,
                        question=self.request.question,
                        program=program,
                        planner=self.planner.name,
                        seconds=seconds,
                    )
        return plans

    def _checked(self, plan: Plan) -> Plan:
        found = tuple(self.check(plan.program, self.request))
        if self.emit is not None:
            self.emit(Checked, program=plan.program, diagnostics=found)
        return replace(plan, diagnostics=found)

    def _needs_repair(self, plan: Plan) -> bool:
        """Whether a program goes back to its planner: for an error, or, if the planner can read why a tool refuses,
        for what a tool will refuse or an answer in place of a refusal.
        """
        from ..check.misuse import SWALLOWED

        if mends_refusals(self.planner):
            return any(d.severity == "error" or d.code == SWALLOWED for d in plan.diagnostics)
        return bool(plan.errors)


def mend_once(mend: Mend) -> Mend:
    """For a plan that is run on many images: each program is mended once, for all images that it fails on.

    Threads that want the same wait for the first. Nothing of an image is kept.
    """
    known: dict[str, Plan | Refused | None] = {}
    lock = threading.Lock()

    def known_or_mended(plan: Plan, failed: Step) -> Plan | Refused | None:
        with lock:
            if plan.program not in known:
                known[plan.program] = mend(plan, replace(failed, value=None, trace=()))
            return known[plan.program]

    return known_or_mended


def _step(plan: Plan) -> Step:
    """A program that went back to its planner after its check."""
    return Step(
        plan.program,
        plan.diagnostics,
        planner=plan.planner,
        message=plan.error_message or "the planner was asked for a better program",
        probability=plan.probability,
        tokens=plan.tokens,
        seconds=plan.seconds,
    )


def _best(plans: Sequence[Plan]) -> Plan:
    """The one with the fewest errors; of several, the latest, which knew the most."""
    return min(reversed(plans), key=lambda p: sum(d.severity == "error" for d in p.diagnostics))
