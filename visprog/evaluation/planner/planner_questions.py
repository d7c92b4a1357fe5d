"""Questions with reference programs: how often a planner is right, how often it refuses, and how often it is wrong.

A file of questions is a YAML list of entries:

    - question: "how many dogs r on the sofa"
      images: 1            # number of images (default 1)
      category: relation   # results are split by category
      program: |           # body of a right program; absent if there is none
        sofas = detect(image, "sofa")
        return len([x for x in detect(image, "dogs") if any(x.overlaps(y) for y in sofas)])
      refuse: never        # never: it must be answered; fine: a refusal is also right; must: it must be refused
      also: []             # other right programs, if the question has several readings
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from visprog.sandbox import Sandbox

from ...errors import ConfigError, PlannerError, Refused
from ...files.plain_text import read_text
from ...planner.base import NoProgram, Plan, Planner, PlanRequest
from ...planner.repair import RepairLoop
from .judging import judge, open_sandbox

if TYPE_CHECKING:
    from ...check import Diagnostic

DATA = Path(__file__).parent / "questions"
PRINTED = "printed"
"""Name of the set of questions that the documentation prints: each must be answered right."""

LIMITS: Mapping[str, float] = {"wrong": 0.015, "right": 0.85, "refused": 0.98}
"""Limits of the gate: maximum share of wrong answers, minimum shares of right answers and of refusals."""

MAX_UNREACHED = 5
"""Maximum number of consecutive questions for which the planner cannot be reached, before the run ends."""

Outcome = Literal["right", "refused", "wrong"]


@dataclass(frozen=True)
class PlannerQuestion:
    """One entry of a file of questions; see the docstring of the module."""

    set: str
    question: str
    category: str
    images: int = 1
    program: str = ""
    refuse: Literal["never", "fine", "must"] = "never"
    also: Sequence[str] = ()


@dataclass(frozen=True)
class Score:
    """Outcome of a planner on one question.

    Attributes:
        question: Question with its reference program.
        outcome: Right, refused, or wrong (a different answer than the reference, or any if the question has none).
        program: Program of the planner; empty if it refused.
        probability: Probability of the program, if the planner knows it.
        why: The difference of the answers, or the reason of the refusal.
    """

    question: PlannerQuestion
    outcome: Outcome
    program: str = ""
    probability: float | None = None
    why: str = ""

    @property
    def good(self) -> bool:
        """Whether the outcome is as wanted."""
        wanted = {"never": ("right",), "fine": ("right", "refused"), "must": ("refused",)}
        return self.outcome in wanted[self.question.refuse]


def default_files() -> list[Path]:
    """The files of questions of the package."""
    return sorted(DATA.glob("*.yaml"))


def read_questions(paths: Iterable[Path]) -> list[PlannerQuestion]:
    """Read the entries of files, in order.

    Raises:
        ConfigError: A file cannot be read, or an entry has another form; the message names it.
    """
    return [question for path in paths for question in _read(Path(path))]


def score_question(planner: Planner, question: PlannerQuestion, sandbox: Sandbox | None = None) -> Score:
    """Let a planner write the program for a question, check it, and compare it with the reference.

    Args:
        planner: Planner to score.
        question: Question with its reference program.
        sandbox: Sandbox that the programs run in; see `judge`.

    Raises:
        PlannerError: The planner cannot be reached.
        SandboxUnavailable: Programs cannot be run in the sandbox here.
    """
    request = PlanRequest(question.question, question.images)
    try:
        plan = RepairLoop(planner, request, _check).plan()
    except (Refused, NoProgram) as error:
        return Score(question, "refused", why=str(error))
    errors = [d for d in plan.diagnostics if d.severity == "error"]
    if errors:
        return Score(question, "refused", plan.program, plan.probability, str(errors[0]))
    return _judged(question, plan, sandbox)


def score_questions(planner: Planner, questions: Iterable[PlannerQuestion]) -> Iterator[Score]:
    """Yield the scores in the order of the questions; programs run in a sandbox.

    A question for which the planner cannot be reached counts as refused.

    Raises:
        PlannerError: The planner cannot be reached for `MAX_UNREACHED` questions in a row.
        SandboxUnavailable: Programs cannot be run in the sandbox here.
    """
    unreached = 0
    with open_sandbox() as sandbox:
        for question in questions:
            try:
                score = score_question(planner, question, sandbox)
                unreached = 0
            except PlannerError as error:
                unreached += 1
                if unreached == MAX_UNREACHED:
                    raise
                score = Score(question, "refused", why=str(error))
            yield score


def summarise(scores: Sequence[Score]) -> dict[str, Any]:
    """Shares of outcomes, in all and per category, and whether the gate is passed.

    `wrong` is a share of all questions, `right` of those that must be answered, `refused` of those that must be
    refused.
    """
    answerable = [s for s in scores if s.question.refuse == "never"]
    hopeless = [s for s in scores if s.question.refuse == "must"]
    printed = [s for s in scores if s.question.set == PRINTED]
    figures = {
        "wrong": _share(scores, "wrong"),
        "right": _share(answerable, "right"),
        "refused": _share(hopeless, "refused"),
        "printed": {"value": _mean([s.good for s in printed]), "of": len(printed)},
    }
    passed = {
        "wrong": figures["wrong"]["value"] <= LIMITS["wrong"],
        "right": not answerable or figures["right"]["value"] >= LIMITS["right"],
        "refused": not hopeless or figures["refused"]["value"] >= LIMITS["refused"],
        "printed": all(s.good for s in printed),
    }
    categories = sorted({s.question.category for s in scores})
    by = {c: _counts([s for s in scores if s.question.category == c]) for c in categories}
    sets = {
        n: _counts([s for s in scores if s.question.set == n])
        for n in dict.fromkeys(s.question.set for s in scores)
    }
    return {
        "questions": len(scores),
        "figures": figures,
        "limits": dict(LIMITS),
        "passed": passed,
        "open": all(passed.values()),
        "categories": by,
        "sets": sets,
    }


def to_json(score: Score) -> dict[str, Any]:
    """Convert a score to plain data."""
    return {
        **asdict(score.question), "outcome": score.outcome, "good": score.good, "written": score.program,
        "probability": score.probability, "why": score.why,
    }  # fmt: skip


def _check(program: str, request: PlanRequest) -> list[Diagnostic]:
    """The static check alone: the worlds replace the dry run."""
    from ...check import check

    return check(program, request.registry, returns=request.returns)


def _judged(question: PlannerQuestion, plan: Plan, sandbox: Sandbox | None) -> Score:
    if question.refuse == "must":
        return Score(question, "wrong", plan.program, plan.probability, "it must be refused")
    why = ""
    for reference in (question.program, *question.also):
        verdict = judge(question.question, reference, plan.program, question.images, sandbox)
        if verdict.right:
            return Score(question, "right", plan.program, plan.probability)
        why = why or verdict.why
    return Score(question, "wrong", plan.program, plan.probability, why)


def _counts(scores: Sequence[Score]) -> dict[str, int]:
    outcomes = ("right", "refused", "wrong")
    counted = {name: sum(s.outcome == name for s in scores) for name in outcomes}
    return {"questions": len(scores), **counted, "good": sum(s.good for s in scores)}


def _share(scores: Sequence[Score], outcome: Outcome) -> dict[str, Any]:
    return {"value": _mean([s.outcome == outcome for s in scores]), "of": len(scores)}


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else 0.0


def _read(path: Path) -> Iterator[PlannerQuestion]:
    import yaml

    try:
        entries = yaml.safe_load(read_text(path))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the questions {path}: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(entries, list):
        raise ConfigError(f"{path} must hold a list of questions")
    for number, entry in enumerate(entries, 1):
        try:
            question = PlannerQuestion(path.stem, **entry)
        except TypeError as error:
            raise ConfigError(f"{path}, question {number}: {error}") from None
        if question.refuse not in ("never", "fine", "must") or (question.refuse == "must") == bool(
            question.program
        ):
            raise ConfigError(
                f"{path}, question {number}: refuse is never or fine, with a program, or must, without one"
            )
        yield question
