"""Running a benchmark: every question asked once, every result kept, whatever happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from ..agent import Agent
from ..answer import Answer
from ..config import Config
from ..errors import PlannerError, Refused, VisprogError
from ..files.journal import Journal
from ..planner.base import NoProgram, Plan, Planner, PlanRequest, mends_refusals
from ..planner.factory import make_planner
from ..planner.replay import ReplayPlanner
from ..registry import Registry, chosen_registry
from ..runtime.steps import Step
from .benchmark import Benchmark, Item
from .evidence import Evidence
from .folder import RunFolder, made_with
from .truth_tools import TruthTools

FAILURES = 5
"""So many questions in a row for which no planner could be reached end the run."""

REMEMBERED = 10_000

Row = dict[str, Any]


def evaluate(
    benchmark: Benchmark,
    folder: Path,
    *,
    planner: Any = None,
    config: Config | None = None,
    oracle: bool = False,
    limit: int | None = None,
    resume: bool | None = None,
    watch: Callable[[Row], None] | None = None,
) -> RunFolder:
    """Ask every question of a benchmark that its folder has no result for yet.

    Equal questions (one statement about six pictures) are planned once. `results.jsonl` gets one line a question.

    Args:
        folder: of the run; made where it is not there.
        planner: as `Agent` takes it; by default the configured one.
        oracle: tools answer from the truth, where the benchmark has it.
        limit: only so many questions, the first ones.
        resume: True to go on with a run that must be there, False to start again; None to go on where there is one.
        watch: is given every row that is written.

    Raises:
        VisprogError: the folder holds a run made with something else or cannot be written, the benchmark's files
            are not as published, or the planner cannot be reached. What was written is kept.
    """
    settings = config or Config.load()
    benchmark.check(limit)
    run = RunFolder.open(folder, made_with(benchmark, planner, settings, oracle), resume)
    done = set(run.ids())
    with ExitStack() as stack:
        asker = stack.enter_context(_Asker(benchmark, planner, settings, oracle))
        results = stack.enter_context(Journal(run.results))
        evidence = Evidence(run.evidence)
        stack.callback(evidence.close)
        unreached: list[tuple[Row, Answer]] = []
        for item in islice(benchmark, limit):
            if item.id in done:
                continue
            answer = asker.ask(item)
            found = [*unreached, (row_of(benchmark, item, answer), answer)]
            unreached = found if asker.unreached else []
            if len(unreached) == FAILURES:  # these are asked again when the run goes on
                raise VisprogError(
                    f"{answer.message}; that was the answer to {FAILURES} questions in a row: what was answered "
                    "before is kept, and the same command goes on"
                )
            if not unreached:
                _keep(found, results, evidence, watch)
        _keep(unreached, results, evidence, watch)
    return run


def row_of(benchmark: Benchmark, item: Item, answer: Answer) -> Row:
    """One question with its answer, as a line of `results.jsonl`.

    `right` is the first score rounded; `checked` whether the first program passed its check, None where there was
    none; `repaired` whether a program that had to be mended was, None where none had to.
    """
    value = answer.value if answer.status in ("answered", "fallback") else None
    scores = dict(benchmark.score(item, value))
    return {
        "id": item.id,
        "question": item.question,
        "group": item.group,
        "kind": str(item.details.get("kind") or ""),
        "program": answer.program,
        "answer": answer.to_json(pictures=False)["value"],
        "truth": item.answer,
        "status": answer.status,
        "message": answer.message,
        "right": next(iter(scores.values())) >= 0.5,
        "scores": scores,
        "seconds": round(answer.seconds, 4),
        "calls": dict(Counter(call.tool for call in answer.trace)),
        "checked": _passed_at_first(answer),
        "repaired": _repaired(answer),
        "planner": answer.planner,
    }


def _keep(
    found: list[tuple[Row, Answer]],
    results: Journal,
    evidence: Evidence,
    watch: Callable[[Row], None] | None,
) -> None:
    for row, answer in found:
        results.append(row)
        evidence.keep(row, answer)
        if watch is not None:
            watch(row)


def _passed_at_first(answer: Answer) -> bool | None:
    if len(answer.steps) > 1:
        first = answer.steps[0]
        return bool(first.program) and not any(d.severity == "error" for d in first.diagnostics)
    return not _errors(answer) if answer.program else None


def _repaired(answer: Answer) -> bool | None:
    if len(answer.steps) < 2 and not _errors(answer):
        return None
    return bool(answer.program) and not _errors(answer) and answer.status != "error"


def _errors(answer: Answer) -> bool:
    return any(d.severity == "error" for d in answer.diagnostics)


class _Asker:
    """The agent that answers the items of a benchmark."""

    def __init__(self, benchmark: Benchmark, planner: Any, config: Config, oracle: bool) -> None:
        self.benchmark = benchmark
        spec = config.planner if planner is None else planner
        options = config.planner_options if spec == config.planner else {}
        self.planner = _PlanOnce(make_planner(spec, **options))
        registry = chosen_registry(config)
        self.truth: TruthTools | None = None
        if oracle:
            self.truth, config = self._with_truth(registry, config)
            registry = self.truth.registry
        self.agent = Agent(self.planner, config, registry=registry)

    def __enter__(self) -> _Asker:
        return self

    def __exit__(self, *_: object) -> None:
        self.agent.close()

    @property
    def unreached(self) -> bool:
        """No program could be asked for, the last time."""
        return self.planner.unreached

    def ask(self, item: Item) -> Answer:
        """The answer; one with the status "error" where the pictures cannot be read."""
        self.planner.unreached = False
        if self.truth is not None:
            self.truth.turn_to(_truth_of(self.benchmark, item))
        try:
            return self.agent.ask(item.question, *item.images, returns=item.returns)
        except VisprogError as error:
            return Answer("error", message=str(error), question=item.question)

    def _with_truth(self, registry: Registry, config: Config) -> tuple[TruthTools, Config]:
        first = next(iter(self.benchmark), None)
        truth = TruthTools(registry, {} if first is None else _truth_of(self.benchmark, first))
        backends = {name: chosen for name, chosen in config.tools.items() if truth.registry[name].backends}
        # Equal pictures of two items may have another truth: nothing is remembered from one to the next.
        return truth, replace(config, tools=backends, cache=0)


def _truth_of(benchmark: Benchmark, item: Item) -> Mapping[str, Callable[..., Any]]:
    tools = benchmark.oracle(item)
    if tools is None:
        raise VisprogError(f"{benchmark.name} has no tools that answer from the truth: leave out --oracle")
    return tools


class _PlanOnce:
    """Asks another planner once for what is asked several times."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self.mends_refusals = mends_refusals(planner)
        self.unreached = False
        self._known: dict[tuple[Any, ...], list[Plan] | Refused] = {}

    @property
    def name(self) -> str:
        return self.planner.name

    def plan(self, request: PlanRequest, *, failed: Step | None = None, n: int = 1) -> list[Plan]:
        """What the other planner writes, or wrote; raises as it does."""
        why = (failed.program, failed.feedback) if failed else None
        key = (request.question, request.images, repr(request.returns), why, n)
        if key not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            try:
                self._known[key] = self.planner.plan(request, failed=failed, n=n)
            except Refused as refusal:
                self._known[key] = refusal
            except PlannerError as error:
                # A recording lacks single questions, a model may write no code: neither says that nobody is there.
                self.unreached = not isinstance(error, NoProgram) and not isinstance(
                    self.planner, ReplayPlanner
                )
                raise
        known = self._known[key]
        if isinstance(known, Refused):
            raise known
        return known
