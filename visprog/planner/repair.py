"""Bounded repair: a program that fails its check, or its run, goes back to its author with what was wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from .base import Feedback, NoProgram, Plan, Planner, PlanRequest, mends_refusals

if TYPE_CHECKING:
    from ..check import Diagnostic

Check: TypeAlias = "Callable[[str, PlanRequest], Sequence[Diagnostic]]"
"""What is found in a program written for a request; it may run where nothing of it is an error."""


def check_program(program: str, request: PlanRequest) -> Sequence[Diagnostic]:
    """The static check of `visprog.check`, and where that finds no error, its dry run."""
    from ..check import check, dry_run

    found = check(program, request.registry, returns=request.returns)
    if any(d.severity == "error" for d in found):
        return found
    return [*found, *dry_run(program, request.registry, returns=request.returns, images=request.images)]


def plan_checked(
    planner: Planner, request: PlanRequest, *, check: Check = check_program, rounds: int = 2
) -> Plan:
    """One program, sent back for repair up to `rounds` times while its check finds errors.

    It also ends when the planner writes the same program again: it has nothing better to offer.

    Returns:
        The first program without errors; where there is none, the one with the fewest. `attempts` holds the
        others; `tokens` and `seconds` are the sums over all of them.

    Raises:
        PlannerError: no program was written, in any round.
        Refused: the planner says that the tools cannot answer the question.
    """
    return _write(planner, request, check, max(rounds, 0) + 1, [], [])


def plans_checked(
    planner: Planner, request: PlanRequest, n: int, *, check: Check = check_program, rounds: int = 2
) -> list[Plan]:
    """Up to `n` programs for a vote: those of one sampling that pass their check; where none does, the best
    of them, repaired. Raises as `plan_checked` does."""
    if n == 1:
        return [plan_checked(planner, request, check=check, rounds=rounds)]
    plans = [_checked(p, request, check) for p in planner.plan(request, n=n)]
    good = [p for p in plans if not _to_mend(p, planner)]
    if good or rounds < 1:
        return good or [_best(plans)]
    best = _best(plans)
    return [_write(planner, request, check, rounds, [best], [Feedback(best.program, best.diagnostics)])]


def replan(
    planner: Planner,
    request: PlanRequest,
    plan: Plan,
    error: str,
    *,
    check: Check = check_program,
    rounds: int = 2,
) -> Plan | None:
    """A better program after `plan` failed when it ran. Attempts so far count towards `rounds`.

    Args:
        error: what stopped it, in one sentence, with the line.

    Returns:
        The new plan, with its history; None where the rounds are used up, or nothing new was written.

    Raises:
        PlannerError, Refused: as `plan_checked`.
    """
    left = rounds - len(plan.attempts)
    if left < 1:
        return None
    better = _write(
        planner, request, check, left, [plan], [*plan.attempts, Feedback(plan.program, error=error)]
    )
    return None if better.program == plan.program else better


Mend: TypeAlias = "Callable[[Plan, str], tuple[Plan | None, str]]"
"""A better program after one failed for the reason given; or None, and what the planner said instead."""


def mend_once(mend: Mend) -> Mend:
    """For a plan that is run on many images: each program is mended once, for all images that it fails on.

    Where several threads want it, they wait for the first.
    """
    known: dict[str, tuple[Plan | None, str]] = {}
    lock = threading.Lock()

    def known_or_mended(plan: Plan, failure: str) -> tuple[Plan | None, str]:
        with lock:
            if plan.program not in known:
                known[plan.program] = mend(plan, failure)
            return known[plan.program]

    return known_or_mended


def _write(
    planner: Planner,
    request: PlanRequest,
    check: Check,
    tries: int,
    written: list[Plan],
    history: list[Feedback],
) -> Plan:
    """Ask up to `tries` times, each time with the latest feedback, until a program has no errors.

    `written` and `history` are what there is so far; both are added to.
    """
    failure: NoProgram | None = None
    for _ in range(tries):
        try:
            plan = planner.plan(request, feedback=history[-1] if history else None)[0]
        except NoProgram as error:
            failure = error
            history.append(Feedback("", error=str(error)))
            continue
        if any(plan.program == f.program for f in history):
            break
        plan = _checked(plan, request, check)
        written.append(plan)
        if not _to_mend(plan, planner):
            break
        history.append(Feedback(plan.program, plan.diagnostics))
    if failure is not None and not written:
        raise failure
    best = _best(written)
    spent = [p.tokens for p in written if p.tokens is not None]
    return replace(
        best,
        attempts=tuple(f for f in history if f.program != best.program),
        tokens=sum(spent[1:], spent[0]) if spent else None,
        seconds=sum(p.seconds for p in written),
    )


def _checked(plan: Plan, request: PlanRequest, check: Check) -> Plan:
    return replace(plan, diagnostics=tuple(check(plan.program, request)))


def _to_mend(plan: Plan, planner: Planner) -> bool:
    """Whether a program goes back to its planner: for an error, or, if the planner can read why a tool refuses,
    for what a tool will refuse or an answer in place of a refusal.
    """
    from ..check.misuse import SWALLOWED

    if mends_refusals(planner):
        return any(d.severity == "error" or d.code == SWALLOWED for d in plan.diagnostics)
    return any(not d.refusal for d in _errors(plan))


def _best(plans: Sequence[Plan]) -> Plan:
    """The one with the fewest errors; of several, the latest, which knew the most."""
    return min(reversed(plans), key=lambda p: len(_errors(p)))


def _errors(plan: Plan) -> list[Diagnostic]:
    return [d for d in plan.diagnostics if d.severity == "error"]
