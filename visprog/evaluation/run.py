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
from .folder import EvaluationFolder, made_with
from .truth_tools import TruthTools

MAX_UNREACHED = 5
"""Maximum number of consecutive questions for which the planner cannot be reached, before the run ends."""

MAX_CACHED = 10_000

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
) -> EvaluationFolder:
    """Ask every question of a benchmark that has no result in the folder yet.

    Equal questions (one statement about six images) are planned once. `results.jsonl` gets one line per question.

    Args:
        benchmark: Benchmark to run.
        folder: Folder of the run; it is made if it does not exist.
        planner: Planner, in any form that `Agent` accepts; by default the configured one.
        config: Settings; by default those in force.
        oracle: Whether tools answer from the ground truth, if the benchmark offers it.
        limit: Maximum number of questions, from the first on.
        resume: True to resume a run that must exist, False to start again, None to resume a run if there is one.
        watch: Called with every row that is written.

    Returns:
        The folder of the run.

    Raises:
        VisprogError: The folder holds a run with other settings or cannot be written, the files of the benchmark do not
            have the published layout, or the planner cannot be reached. Results that were written are kept.
    """
    settings = config or Config.load()
    benchmark.check(limit)
    run = EvaluationFolder.open(folder, made_with(benchmark, planner, settings, oracle), resume)
    done = set(run.ids())
    with ExitStack() as stack:
        agent = stack.enter_context(_ItemAgent(benchmark, planner, settings, oracle))
        results = stack.enter_context(Journal(run.results))
        evidence = Evidence(run.evidence)
        stack.callback(evidence.close)
        unreached: list[tuple[Row, Answer]] = []
        for item in islice(benchmark, limit):
            if item.id in done:
                continue
            answer = agent.ask(item)
            found = [*unreached, (row_of(benchmark, item, answer), answer)]
            unreached = found if agent.unreached else []
            if len(unreached) == MAX_UNREACHED:  # these are asked again when the run is resumed
                raise VisprogError(
                    f"{answer.message}; this happened for {MAX_UNREACHED} questions in a row: the results "
                    "before are kept, run the same command again to resume"
                )
            if not unreached:
                _keep(found, results, evidence, watch)
        _keep(unreached, results, evidence, watch)
    return run


def row_of(benchmark: Benchmark, item: Item, answer: Answer) -> Row:
    """One question with its answer, as a line of `results.jsonl`.

    `right` is the first score, rounded; `checked` whether the first program passed its check (None without a program);
    `repaired` whether a program with errors was repaired (None if there were no errors).
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


class _ItemAgent:
    """The agent that answers the items of a benchmark."""

    def __init__(self, benchmark: Benchmark, planner: Any, config: Config, oracle: bool) -> None:
        self.benchmark = benchmark
        spec = config.planner if planner is None else planner
        options = config.planner_options if spec == config.planner else {}
        made = make_planner(spec, **options)
        self.planner = _PlanOnce(made)
        registry = chosen_registry(config)
        self.truth: TruthTools | None = None
        if oracle:
            self.truth, config = self._with_truth(registry, config)
            registry = self.truth.registry
        # What a chat model writes after a look at one image is not the program for another.
        self.agent = Agent(self.planner if config.turns == 1 else made, config, registry=registry)

    def __enter__(self) -> _ItemAgent:
        return self

    def __exit__(self, *_: object) -> None:
        self.agent.close()

    @property
    def unreached(self) -> bool:
        """Whether the planner could not be reached for the last question."""
        return self.planner.unreached

    def ask(self, item: Item) -> Answer:
        """The answer to an item; one with the status "error" if the images cannot be read."""
        self.planner.unreached = False
        if self.truth is not None:
            self.truth.switch_to(_truth_of(self.benchmark, item))
        try:
            return self.agent.ask(item.question, *item.images, returns=item.returns)
        except VisprogError as error:
            return Answer("error", message=str(error), question=item.question)

    def _with_truth(self, registry: Registry, config: Config) -> tuple[TruthTools, Config]:
        first = next(iter(self.benchmark), None)
        truth = TruthTools(registry, {} if first is None else _truth_of(self.benchmark, first))
        backends = {name: chosen for name, chosen in config.tools.items() if truth.registry[name].backends}
        # Equal images of two items may have different ground truths: nothing is cached from one to the next.
        return truth, replace(config, tools=backends, cache=0)


def _truth_of(benchmark: Benchmark, item: Item) -> Mapping[str, Callable[..., Any]]:
    tools = benchmark.oracle(item)
    if tools is None:
        raise VisprogError(
            f"{benchmark.name} has no tools that answer from the ground truth: leave out --oracle"
        )
    return tools


class _PlanOnce:
    """A planner that asks another planner only once per question."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self.mends_refusals = mends_refusals(planner)
        self.unreached = False
        self._known: dict[tuple[Any, ...], list[Plan] | Refused] = {}

    @property
    def name(self) -> str:
        return self.planner.name

    def plan(self, request: PlanRequest, *, failed: Step | None = None, n: int = 1) -> list[Plan]:
        """The programs of the other planner, from the cache if known; raises as it does."""
        why = (failed.program, failed.feedback) if failed else None
        key = (request.question, request.images, repr(request.returns), why, n)
        if key not in self._known:
            if len(self._known) >= MAX_CACHED:
                self._known.clear()
            try:
                self._known[key] = self.planner.plan(request, failed=failed, n=n)
            except Refused as refusal:
                self._known[key] = refusal
            except PlannerError as error:
                # A call that is not recorded, or a reply without code, does not mean that the planner is unreachable.
                self.unreached = not isinstance(error, NoProgram) and not isinstance(
                    self.planner, ReplayPlanner
                )
                raise
        known = self._known[key]
        if isinstance(known, Refused):
            raise known
        return known
