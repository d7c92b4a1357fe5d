"""The agent: a question and pictures go in, an answer with its evidence comes out."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from visprog.sandbox import Limits, Outcome, Sandbox, SandboxUnavailable, Series

from .answer import Answer
from .check import Diagnostic, check
from .check.dry_run import LIBRARY, TYPES, dry_run
from .config import Config
from .errors import ConfigError, MissingExtra, PlannerError, Refused, VisprogError, readable
from .files.plain_text import read_text
from .planner.base import Feedback, Plan, Planner, Task, mends_refusals
from .planner.factory import make_planner
from .planner.repair import Mend, plans_checked, replan
from .planner.vote import vote
from .program import mismatch, named, open_images
from .registry import (
    BACKENDS,
    BackendLoader,
    Registry,
    Tool,
    chosen_registry,
    default_registry,
    further_tools,
)
from .registry.types import accepts, answer_type, describe, render
from .runtime.cautions import cautions_on, missed
from .runtime.host import Host, RunEnded, Session, with_backends
from .values.endings import IMAGE_ENDINGS
from .values.image import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .mapping.map_run import MapRun
    from .runtime.recording import Recording


_NO_SANDBOX = "no program can be run here"


class Agent:
    """Answers questions about pictures.

    Args:
        planner: "embedded", "openai:MODEL", "langchain:PROVIDER:MODEL", "transformers:FOLDER_OR_ID",
            "replay:FILE", a chat model or a `Planner`; by default the configured one.
        config: a `Config`, a path of a configuration file, or a mapping of settings; by default what
            `Config.load` finds.
        tools: further tools, or names of them ("module" or "module:attribute"), next to the built-in ones, those of
            installed packages and `extra_tools`.
        registry: the tools to choose from, instead of all of these.
        record: a folder in which to write down what planner and tools say; see `visprog.runtime.recording`.
        replay: a folder that was so recorded: its answers are given back, and no model is needed.
        backends: of tools, by their names: "owlv2", "onnx:FILE", "module:Class", a mapping with options, or a
            class of the user's.
        standby: sandbox workers that wait ready; as many as programs run at once make `map` the quickest.
        loader: what builds the backends of tools and holds them; a server gives its own.
        settings: any other field of `Config`, such as `votes=3` or `allow_url=True`.

    Raises:
        ConfigError: a setting is unknown or wrong, or there is nothing to replay.
        ToolDefinitionError: two tools have one name.
        TypeError: there is no such argument.
    """

    def __init__(
        self,
        planner: Any = None,
        config: Config | str | os.PathLike[str] | Mapping[str, Any] | None = None,
        *,
        tools: Tool | Iterable[Tool | str] = (),
        registry: Registry | None = None,
        record: str | os.PathLike[str] | Recording | None = None,
        replay: str | os.PathLike[str] | None = None,
        backends: Mapping[str, Any] | None = None,
        standby: int = 1,
        loader: BackendLoader = BACKENDS,
        **settings: Any,
    ) -> None:
        misplaced = next((name for name in settings if name in default_registry().called), None)
        if misplaced is not None:
            raise TypeError(
                f"Agent() has no argument '{misplaced}'; a backend is chosen with backends={{'{misplaced}': …}}"
            )
        self.config = _config(config).changed(settings, of="Agent()")
        if registry is None:
            registry = chosen_registry(self.config)
        self.registry = registry | further_tools(tools)
        if backends is not None:
            self.registry, self.config = with_backends(self.registry, self.config, backends)
        self.recording = _recording(record, replay)
        self.host = Host(self.registry, self.config, self.recording, loader)
        spec = self.config.planner if planner is None else planner
        # Options in a file belong to the planner that the file names.
        options = self.config.planner_options if spec == self.config.planner else {}
        make = partial(make_planner, spec, **options)
        self.planner: Planner = make() if self.recording is None else _recorded(self.recording, make, planner)
        limits = Limits(calls=self.config.calls + 1, time=self.config.seconds)
        self.sandbox = Sandbox(limits, require=self.config.require, library=LIBRARY, standby=standby)

    def close(self) -> None:
        """End the workers that stand by, and the recording. The agent then answers no more."""
        self.sandbox.close()
        if self.recording is not None:
            self.recording.close()

    def __repr__(self) -> str:
        return f"<Agent: planner {self.planner.name}, {len(self.registry.called)} tools>"

    def __enter__(self) -> Agent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what users call -------------------------------------------------------------------------

    def ask(self, question: str, *images: Any, returns: Any = None) -> Answer:
        """Plan a program for the question, check it, run it on the pictures.

        Args:
            question: in plain language.
            images: whatever `Image.open` reads, one after another or in lists; at least one.
            returns: the type that the answer must have, such as `bool`, `int` or `str`.

        Returns:
            an answer, whatever happens after the pictures are read; look at its `status`.

        Raises:
            ImageError: a picture cannot be read.
            VisprogError: no question, or no picture, was given.
        """
        started = time.perf_counter()
        _check_question(question)
        returns = answer_type(returns)
        pictures = self._open(images)
        if not pictures:
            raise VisprogError("give at least one picture to ask about")
        task = Task(question, len(pictures), returns, self.host.in_force)
        try:
            plans = plans_checked(
                self.planner, task, self.config.votes, check=self._check, rounds=self.config.repairs
            )
        except VisprogError as error:
            status = "refused" if isinstance(error, Refused) else "error"
            answer = Answer(status, message=str(error), planner=self.planner.name, images=pictures)  # type: ignore[arg-type]
        else:
            answer = self._vote(plans, task, pictures)
        if self.config.fallback and answer.status in ("refused", "error"):
            answer = self._fall_back(question, answer, pictures)
        return replace(answer, question=question, seconds=time.perf_counter() - started)

    def plan(self, question: str, images: int = 1, returns: Any = None) -> Plan:
        """The checked program for a question, without running it.

        Raises:
            PlannerError: none could be written.
            Refused: the planner is unsure, or says that the tools cannot answer it.
        """
        _check_question(question)
        if not isinstance(images, int):
            raise VisprogError(f"a plan takes the number of images, such as images=2, not {describe(images)}")
        task = Task(question, images, answer_type(returns), self.host.in_force)
        return plans_checked(self.planner, task, 1, check=self._check, rounds=self.config.repairs)[0]

    def run(self, program: str | os.PathLike[str] | Plan, *images: Any, returns: Any = None) -> Answer:
        """Check a program, given as source, as the path of a file or as a plan, and run it on the pictures.

        Raises:
            ImageError: a picture cannot be read.
            VisprogError: the file of the program cannot be read.
        """
        started = time.perf_counter()
        returns = answer_type(returns)
        plan = self.checked(program, returns)
        pictures = self._open(images)
        answer, _ = self._execute(plan, Task("", len(pictures), returns, self.host.in_force), pictures)
        return replace(answer, seconds=time.perf_counter() - started)

    def checked(self, program: str | os.PathLike[str] | Plan, returns: Any = None) -> Plan:
        """A program of one's own as a plan, with what the check found in it.

        Raises:
            VisprogError: its file cannot be read.
        """
        if isinstance(program, Plan):
            program = program.program
        source, returns = _source(program), answer_type(returns)
        return Plan(source, "", diagnostics=tuple(check(source, self.host.in_force, returns=returns)))

    def follow(
        self,
        plan: Plan,
        picture: Image,
        *,
        question: str = "",
        returns: Any = None,
        series: Series | None = None,
        mend: Mend | None = None,
    ) -> Answer:
        """Run a plan on one of many pictures: nothing of the picture stays in memory.

        Args:
            series: of the plan's program, made by `self.sandbox`; a process of its own where there is none.
            mend: gives a better program where this one fails; see `mending`.
        """
        task = Task(question, 1, returns, self.host.in_force)

        def run(tried: Plan) -> tuple[Answer, str]:
            session = self.host.session()
            shared = series if tried is plan else None
            found = self._execute(tried, task, (picture,), session, shared)
            session.forget()
            return found

        answer = run(plan)[0] if mend is None else self._run_repaired(plan, run, mend)
        if self.config.fallback and question and answer.status in ("refused", "error"):
            answer = self._fall_back(question, answer, (picture,))
        return answer

    def mending(self, question: str, images: int = 1, returns: Any = None) -> Mend:
        """How this agent's planner mends a program that failed when it ran, within the budget of `repairs`."""
        return partial(self._mend, Task(question, images, returns, self.host.in_force))

    def map(
        self,
        question: str,
        images: Iterable[Any] | str | os.PathLike[str],
        *,
        program: str | os.PathLike[str] | None = None,
        plan_each: bool = False,
        returns: Any = None,
        jobs: int = 8,
        ordered: bool = True,
        on: Literal["threads", "ray"] = "threads",
        progress: bool = True,
    ) -> MapRun:
        """Ask one question of many pictures: one program, run on several pictures at once.

        Pictures are read when their turn comes, and no more than a few of them wait for whoever takes the
        results: memory does not grow with their number. What goes wrong with a picture is its own answer's
        `message`, and the rest goes on. The calls of programs that run at once are answered in batches.

        Args:
            images: a folder, all pictures in it and below; or whatever `Image.open` reads, one after another.
            program: source or file of the program, instead of a plan.
            plan_each: plan anew for each picture, and mend its program where that fails.
            returns: the type that the answers must have.
            jobs: programs that run at once.
            ordered: results in the order of the pictures; else as they come.
            on: "ray" runs on the machines of a Ray cluster (extra `ray`); see `visprog.mapping.ray`.
            progress: show how far it is while one waits for results, in a terminal or a notebook.

        Returns:
            a generator: nothing runs before it is asked for results, and `close` ends it. `len` is the number of
            images, if it is known.

        Raises:
            PlannerError: no program could be written (when the first result is asked for).
            Refused: the planner says that the tools cannot answer the question.
            VisprogError: no question, no such folder, or a program that cannot be read or fails its check.
        """
        from .mapping.map import map_images

        returns = answer_type(returns)
        return map_images(
            self, question, images, program=program, plan_each=plan_each, returns=returns, jobs=jobs,
            ordered=ordered, on=on, progress=progress,
        )  # fmt: skip

    async def aask(self, question: str, *images: Any, returns: Any = None) -> Answer:
        """`ask` without blocking the event loop."""
        return await asyncio.to_thread(partial(self.ask, question, *images, returns=returns))

    async def aplan(self, question: str, images: int = 1, returns: Any = None) -> Plan:
        """`plan` without blocking the event loop."""
        return await asyncio.to_thread(self.plan, question, images, returns)

    async def arun(self, program: str | os.PathLike[str] | Plan, *images: Any, returns: Any = None) -> Answer:
        """`run` without blocking the event loop."""
        return await asyncio.to_thread(partial(self.run, program, *images, returns=returns))

    # -- how it is done --------------------------------------------------------------------------

    def _open(self, images: Sequence[Any]) -> tuple[Image, ...]:
        return open_images(images, self.config)

    def _check(self, program: str, task: Task) -> list[Diagnostic]:
        found = check(program, task.registry, returns=task.returns)
        if any(d.severity == "error" for d in found):
            return found
        try:
            trial = dry_run(
                program, task.registry, returns=task.returns, images=task.images, sandbox=self.sandbox
            )
        except SandboxUnavailable as error:
            raise PlannerError(f"{_NO_SANDBOX}: {error}") from None
        return [*found, *trial]

    def _vote(self, plans: Sequence[Plan], task: Task, pictures: tuple[Image, ...]) -> Answer:
        """Run each program; the answer that most of them give, or the one program's answer."""
        run, mend = partial(self._execute, task=task, pictures=pictures), partial(self._mend, task)
        answers = [self._run_repaired(plan, run, mend) for plan in plans]
        good = [a for a in answers if a.status == "answered"]
        if len(answers) == 1 or not good:
            return answers[0]
        winner = vote([a.value for a in good], voters=len(answers))
        return replace(good[winner.index], probability=winner.share)

    def _run_repaired(self, plan: Plan, run: Callable[[Plan], tuple[Answer, str]], mend: Mend) -> Answer:
        """Run a program; where it fails, or a tool refuses, let its planner mend it.

        Where no program answers, the first refusal stands, since it names what cannot be seen; the programs
        that were tried after it are among its attempts. Of errors, the latest stands.
        """
        refusal: Answer | None = None
        while True:
            answer, failure = run(plan)
            if answer.status == "refused":
                refusal = answer if refusal is None else refusal
                failure = failure if mends_refusals(self.planner) else ""
            better, said = mend(plan, failure) if failure else (None, "")
            if better is None:
                break
            plan = better
        if refusal is not None and answer.status != "answered" and answer.program != refusal.program:
            tried = [a for a in answer.attempts if a["program"] != refusal.program]
            last = _attempt(Feedback(answer.program, answer.diagnostics, answer.message))
            answer = replace(refusal, attempts=(*tried, last), tokens=answer.tokens)
        if said:
            answer = replace(answer, attempts=(*answer.attempts, _attempt(Feedback("", error=said))))
        return answer

    def _mend(self, task: Task, plan: Plan, failure: str) -> tuple[Plan | None, str]:
        try:
            better = replan(self.planner, task, plan, failure, check=self._check, rounds=self.config.repairs)
        except Refused as refusal:
            return None, str(refusal)
        except VisprogError:  # the answer at hand says what went wrong first
            return None, ""
        return better, ""

    def _execute(
        self,
        plan: Plan,
        task: Task,
        pictures: tuple[Image, ...],
        session: Session | None = None,
        series: Series | None = None,
    ) -> tuple[Answer, str]:
        """Run one program. Also what its planner should be told, where a better program might do."""
        base = Answer(
            "error",
            program=plan.program,
            diagnostics=plan.diagnostics,
            images=pictures,
            planner=plan.planner,
            probability=plan.probability,
            tokens=plan.tokens.prompt + plan.tokens.completion if plan.tokens else None,
            attempts=tuple(_attempt(f) for f in plan.attempts),
        )
        # What will be refused is refused by the tool, in its own words, if the program comes to it.
        errors = [d for d in plan.diagnostics if d.severity == "error" and not d.refusal]
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            return replace(base, message=f"the program fails its check: {errors[0]}{more}"), ""
        message = mismatch(plan.program, len(pictures))
        if message:
            return replace(base, message=message), message
        session = session or self.host.session()
        try:
            with session:
                run = series.run if series is not None else partial(self.sandbox.run, plan.program)
                outcome = run(tools=session.tools(), inputs=named(plan.program, pictures), types=TYPES)
        except SandboxUnavailable as error:
            return replace(base, message=f"{_NO_SANDBOX}: {error}"), ""
        answer = replace(
            base,
            trace=tuple(session.calls),
            stdout=outcome.stdout,
            level=str(outcome.level or ""),
            # What would be refused is known by now: a tool has said so itself, or was not called.
            diagnostics=(*(d for d in plan.diagnostics if not d.refusal), *_diagnostics(outcome)),
        )
        return _judge(answer, outcome, task.returns)

    def _fall_back(self, question: str, answer: Answer, pictures: tuple[Image, ...]) -> Answer:
        """Ask the question-answering tool plainly; the answer says so."""
        if "vqa" not in self.registry:
            return answer
        session = self.host.session()
        try:
            value = session.call(self.registry["vqa"], pictures[0], question)
        except (VisprogError, RunEnded):
            return answer
        return replace(
            answer,
            status="fallback",
            value=value,
            message=f"no program answered ({answer.message}); the vqa tool was asked plainly",
            trace=(*answer.trace, *session.calls),
        )


def ask(question: str, *images: Any, returns: Any = None, **settings: Any) -> Answer:
    """Ask with the settings in force (see `Config.load`), by an agent that is kept for the next question.

    Args:
        settings: for this question alone: any argument of `Agent`, such as `planner="openai:MODEL"`,
            `backends={"detect": "owlv2"}` or `allow_url=True`.

    Raises as `Agent` and `Agent.ask` do.
    """
    if not settings:
        return _default_agent().ask(question, *images, returns=returns)
    with Agent(**settings) as agent:
        return agent.ask(question, *images, returns=returns)


@cache
def _default_agent() -> Agent:
    return Agent()


def _check_question(question: Any) -> None:
    if not isinstance(question, str):
        raise VisprogError(
            f"the question must be a text, not {describe(question)}: the question comes first, then the images"
        )
    if not question.strip():
        raise VisprogError("the question is empty")
    if "\n" not in question and question.strip().lower().endswith(IMAGE_ENDINGS):
        raise VisprogError(f"'{question}' is no question: the question comes first, then the images")


def _judge(answer: Answer, outcome: Outcome, returns: Any) -> tuple[Answer, str]:
    """The answer that an outcome amounts to, and the sentence for the planner where it might mend it."""
    if isinstance(outcome.cause, RunEnded):
        return replace(answer, message=str(outcome.cause.reason)), ""
    where = f"line {outcome.line}: " if outcome.line else ""
    if outcome.status == "ok":
        if returns is not None and not accepts(returns, outcome.value):
            message = f"the program answered {describe(outcome.value)}, but {render(returns)} was asked for"
            return replace(answer, message=message), message
        if outcome.value is None:
            message = "the program came to its end without an answer"
            return replace(answer, message=message), message
        return replace(
            answer, status="answered", value=outcome.value, cautions=cautions_on(outcome.value, answer.trace)
        ), ""
    if outcome.status == "error":
        message = f"{where}{outcome.error_type}: {readable(str(outcome.error))}"
        if isinstance(outcome.cause, Refused | MissingExtra):
            return replace(answer, status="refused", message=readable(str(outcome.cause))), message
        if outcome.error_type == "NothingFound":
            looked = missed(answer.trace)
            said = f"{where}{outcome.error}" + (f" ({looked[-1]})" if looked else "")
            return replace(answer, status="refused", message=said), message
        return replace(answer, message=message), message
    if outcome.status == "rejected":
        message = "the program was rejected: " + "; ".join(map(str, outcome.diagnostics[:3]))
        return replace(answer, message=message), message
    return replace(answer, message=f"the program was ended ({outcome.limit}): {where}{outcome.error}"), ""


def _diagnostics(outcome: Outcome) -> tuple[Diagnostic, ...]:
    return tuple(Diagnostic(d.code, d.line, d.column, d.message, d.suggestion) for d in outcome.diagnostics)


def _attempt(feedback: Feedback) -> dict[str, Any]:
    return {
        "program": feedback.program,
        "error": feedback.error,
        "diagnostics": [d.to_json() for d in feedback.diagnostics],
    }


def _config(given: Config | str | os.PathLike[str] | Mapping[str, Any] | None) -> Config:
    if isinstance(given, Config):
        return given
    if given is None or isinstance(given, str | os.PathLike):
        return Config.load(given)
    if isinstance(given, Mapping):
        return Config.of(given, Path.cwd())
    raise ConfigError(f"config must be a Config, a path or a mapping, not {type(given).__name__}")


def _recording(
    record: str | os.PathLike[str] | Recording | None, replay: str | os.PathLike[str] | None
) -> Recording | None:
    if record is not None and replay is not None:
        raise ConfigError("a run is either recorded or replayed: give record or replay, not both")
    if record is None and replay is None:
        return None
    from .runtime.recording import Recording

    if replay is not None:
        return Recording(replay, replay=True)
    return record if record is None or isinstance(record, Recording) else Recording(record)


def _recorded(recording: Recording, make: Callable[[], Planner], planner: Any) -> Planner:
    from .planner.recording import recorded

    return recorded(recording, make, chosen=planner is not None)


def _source(program: str | os.PathLike[str]) -> str:
    """The source itself, or the content of the file that is named: one line that ends in .py is a path."""
    if not isinstance(program, str | os.PathLike):
        raise VisprogError(f"a program is its source or the path of its file, not {describe(program)}")
    if isinstance(program, os.PathLike) or ("\n" not in program and program.strip().endswith(".py")):
        try:
            return read_text(program)
        except OSError as error:
            raise VisprogError(f"cannot read the program {program}: {error.strerror or error}") from None
        except ValueError as error:
            raise VisprogError(f"the program {program} {error}") from None
    return program
