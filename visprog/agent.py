"""The agent: a question and images go in, an answer with its evidence comes out."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from visprog.sandbox import Limits, Sandbox, SandboxUnavailable, Series

from .answer import Answer
from .check import Diagnostic, check
from .check.dry_run import LIBRARY, dry_run
from .config import Config
from .errors import ConfigError, PlannerError, Refused, VisprogError
from .files.endings import IMAGE_ENDINGS, VIDEO_ENDINGS
from .files.limits import SizeLimits, use_limits
from .llm.chat import ChatModel
from .planner.base import Plan, Planner, PlannerLike, PlanRequest, total_tokens
from .planner.execution import NO_SANDBOX, execute, step_of
from .planner.factory import make_planner
from .planner.llm import LLMPlanner
from .planner.repair import Mend, RepairLoop, mend_once
from .planner.turns import ChatMemory, TurnLoop, check_turns, no_turns
from .planner.vote import vote
from .program import Given, Program, open_given, open_images, program_source
from .registry import (
    BackendLoader,
    Registry,
    Tool,
    chosen_registry,
    default_registry,
    further_tools,
)
from .registry.types import AnswerType, Type, answer_type, describe
from .runtime.events import Answered, Checked, Emitter, GuardedListener, Listener, emitter_of
from .runtime.host import Host, Run, RunEnded, with_backends, with_chat
from .runtime.processes.decoder import DECODERS
from .runtime.steps import Step
from .runtime.summary import summary
from .values.image import Image
from .values.video import InputLike, Video, is_video, key_frames

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from .chat import AgentChat
    from .mapping.map import Answerer, ImageSource, MapResult, Sources
    from .mapping.map_run import MapRun
    from .runtime.recording import Recording


CHAT_TURNS = 6
"""Number of replies per question of a conversation, if the settings allow one."""

T = TypeVar("T")


class Agent:
    """Answers questions about images: a planner writes a program, which is checked, run and, if need be, repaired.

    One agent may be used from several threads at once.

    Args:
        planner: "embedded", "openai:MODEL", "langchain:PROVIDER:MODEL", "transformers:FOLDER_OR_ID",
            "replay:FILE", a chat model or a `Planner`; by default the configured one.
        config: A `Config`, the path of a configuration file, or a mapping of settings; by default what
            `Config.load` finds.
        tools: Further tools, or names of them ("module" or "module:attribute"), next to the built-in ones, those of
            installed packages and `extra_tools`.
        registry: The tools to choose from, instead of all of these.
        record: Folder in which results of the planner and of tools are recorded; see `visprog.runtime.recording`.
        replay: Folder of a recording: its results are given back, and no model is needed.
        backends: Backends by the name of their tool: "owlv2", "onnx:FILE", "module:Class", a mapping with options, or
            a class.
        standby: Number of sandbox workers that wait ready. A program is tried in one before it runs in another; `map`
            is fastest with as many as programs run at once.
        loader: Builds the backends of tools and holds them; by default in processes of their own, or in this one if the
            setting `in_process` says so.
        settings: Any other field of `Config`, such as `turns=6` or `allow_url=True`.

    Raises:
        ConfigError: A setting is unknown or wrong, or there is nothing to replay.
        ToolDefinitionError: Two tools have one name.
        TypeError: There is no such argument.
    """

    def __init__(
        self,
        planner: PlannerLike | None = None,
        config: Config | str | os.PathLike[str] | Mapping[str, Any] | None = None,
        *,
        tools: Tool | Iterable[Tool | str] = (),
        registry: Registry | None = None,
        record: str | os.PathLike[str] | Recording | None = None,
        replay: str | os.PathLike[str] | None = None,
        backends: Mapping[str, Any] | None = None,
        standby: int = 2,
        loader: BackendLoader | None = None,
        **settings: Any,
    ) -> None:
        misplaced = next((name for name in settings if name in default_registry().called), None)
        if misplaced is not None:
            raise TypeError(
                f"Agent() has no argument '{misplaced}'; a backend is chosen with backends={{'{misplaced}': …}}"
            )
        self.config = _config(config).changed(settings, of="Agent()")
        if self.config.limits != SizeLimits():
            use_limits(self.config.limits)
        if registry is None:
            registry = chosen_registry(self.config)
        self.recording = _recording(record, replay)
        spec = self.config.planner if planner is None else planner
        # Options in a file belong to the planner that the file names.
        options = self.config.planner_options if spec == self.config.planner else {}
        make = partial(make_planner, spec, **options)
        self.planner: Planner = make() if self.recording is None else _recorded(self.recording, make, planner)
        if self.config.turns > 1 or self.config.tool_calls:
            check_turns(self.planner, self.config)
        self.registry = registry | further_tools(tools)
        chat = getattr(self.planner, "chat", None)
        if isinstance(chat, ChatModel):
            self.registry = with_chat(self.registry, chat)
        if backends is not None:
            self.registry, self.config = with_backends(self.registry, self.config, backends)
        self.host = Host(self.registry, self.config, self.recording, loader)
        if not self.config.in_process:
            DECODERS.start()
        self._is_ready = False
        limits = Limits(calls=self.config.calls + 1, time=self.config.seconds)
        self.sandbox = Sandbox(limits, require=self.config.require, library=LIBRARY, standby=standby)

    def close(self) -> None:
        """End the workers that stand by, and the recording. The agent then answers no more."""
        self.sandbox.close()
        self.host.close()
        if self.recording is not None:
            self.recording.close()

    def __repr__(self) -> str:
        here = [name for name, tool in self.registry.called.items() if not self.host.process_of(tool)]
        unbounded = f", not bounded: {', '.join(here)}" if 0 < len(here) < len(self.registry.called) else ""
        return f"<Agent: planner {self.planner.name}, {len(self.registry.called)} tools{unbounded}>"

    def __enter__(self) -> Agent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what users call -------------------------------------------------------------------------

    def ask(
        self,
        question: str,
        *images: InputLike | Iterable[InputLike],
        returns: AnswerType | None = None,
        on_event: Listener | None = None,
    ) -> Answer:
        """Plan a program for the question, check it, run it on the images.

        Args:
            question: In plain language.
            images: Whatever `Image.open` reads, one after another or in lists; at least one.
            returns: Type that the answer must have, such as `bool`, `int` or `str`.
            on_event: Called with each event as it happens; see `visprog.runtime.events`.

        Returns:
            An answer, whatever happens after the images are read; look at its `status`.

        Raises:
            ImageError: An image cannot be read.
            VisprogError: No question, or no image, was given.
        """
        started = time.perf_counter()
        _check_question(question)
        returns = answer_type(returns)
        with self._getting_ready(question):
            opened = self._open(images)
        if not opened:
            raise VisprogError("give at least one image to ask about")
        emit = emitter_of(on_event)
        if self.config.turns > 1 and not is_video(opened[0]):
            conversation = ChatMemory.about(_images(opened), self.registry)
            answer = self._look(question, conversation, returns, self.config.turns, emit)
            return self._finished(answer, question, started, emit)
        loop = self._repair_loop(self._request(question, len(opened), returns, is_video(opened[0])), emit)
        try:
            plans = loop.plans(self.config.votes)
        except VisprogError as error:
            status = "refused" if isinstance(error, Refused) else "error"
            answer = Answer(status, message=str(error), planner=self.planner.name, images=key_frames(opened))  # type: ignore[arg-type]
        else:
            answer = self._vote(plans, loop, opened)
        return self._finished(answer, question, started, emit)

    def chat(self, *images: InputLike | Iterable[InputLike], turns: int | None = None) -> AgentChat:
        """A conversation about images, in which a question may refer to those before it.

        With a chat model as planner, which looks at what its programs find (see `visprog.planner.turns`) and knows the
        values of before. Any other planner reads each question by itself.

        Args:
            images: As in `ask`.
            turns: Number of replies of the chat model per question, at most; by default the configured one, or 6 if
                that is 1.

        Raises:
            ImageError: An image cannot be read.
            VisprogError: No image was given.
        """
        from .chat import AgentChat

        given = self._open(images)
        if not given:
            raise VisprogError("give at least one image to talk about")
        opened = _images(given)
        if len(opened) < len(given):
            raise VisprogError("a conversation is about images: ask about a video with Agent.ask")
        if not isinstance(self.planner, LLMPlanner):
            if turns is not None:
                raise ConfigError(no_turns(self.planner))
            return AgentChat(
                opened,
                lambda question, returns, on_event: self.ask(
                    question, *opened, returns=returns, on_event=on_event
                ),
                follows=False,
            )
        most = self.config.turns if self.config.turns > 1 else CHAT_TURNS
        if turns is not None:
            most = self.config.changed({"turns": turns}, of="Agent.chat()").turns
        conversation = ChatMemory.about(opened, self.registry)

        def ask(question: str, returns: AnswerType | None, on_event: Listener | None) -> Answer:
            started, emit = time.perf_counter(), emitter_of(on_event)
            _check_question(question)
            answer = self._look(question, conversation, answer_type(returns), most, emit)
            return self._finished(answer, question, started, emit)

        return AgentChat(opened, ask)

    def plan(
        self, question: str, images: int = 1, returns: AnswerType | None = None, *, video: bool = False
    ) -> Plan:
        """The checked program for a question, without running it; for a video if `video` is true.

        Raises:
            PlannerError: None could be written.
            Refused: The planner is unsure, or says that the tools cannot answer it.
        """
        _check_question(question)
        if not isinstance(images, int):
            raise VisprogError(f"a plan takes the number of images, such as images=2, not {describe(images)}")
        return self._repair_loop(self._request(question, images, answer_type(returns), video)).plan()

    def run(
        self,
        program: str | os.PathLike[str] | Plan,
        *images: InputLike | Iterable[InputLike],
        returns: AnswerType | None = None,
        on_event: Listener | None = None,
    ) -> Answer:
        """Check a program, given as source, as the path of a file or as a plan, and run it on the images.

        Args:
            program: What to run.
            images: As in `ask`.
            returns: As in `ask`.
            on_event: As in `ask`.

        Raises:
            ImageError: An image cannot be read.
            VisprogError: The file of the program cannot be read.
        """
        started = time.perf_counter()
        returns = answer_type(returns)
        plan = self._given(program, returns)
        for name in Program.parse(plan.program).called:
            self.host.prepare(name)
        opened = self._open(images)
        emit = emitter_of(on_event)
        if emit is not None:
            emit(Checked, program=plan.program, diagnostics=plan.diagnostics)
        step = self._execute(plan, returns, opened, self.host.new_run(emit))
        return self._finished(_answer_of((step,), key_frames(opened)), "", started, emit)

    def map(
        self,
        question: str,
        images: Iterable[InputLike | ImageSource] | str | os.PathLike[str],
        *,
        program: str | os.PathLike[str] | None = None,
        plan_each: bool = False,
        returns: AnswerType | None = None,
        jobs: int = 8,
        ordered: bool = True,
        on: Literal["threads", "ray"] = "threads",
        progress: bool = True,
        on_event: Listener | None = None,
    ) -> MapRun:
        """Ask one question about many images: one program, run on several images at once.

        Images are read when their turn comes, and no more than a few results wait to be taken: memory does not grow
        with their number. What goes wrong with an image is the `message` of its own answer, and the rest goes on. The
        calls of programs that run at once are answered in batches.

        Args:
            images: A folder, all images in it and below; or whatever `Image.open` reads, one after another.
            program: Source or file of the program, instead of a plan.
            plan_each: Plan anew for each image, and mend its program if that fails.
            returns: Type that the answers must have.
            jobs: Number of programs that run at once.
            ordered: Whether results come in the order of the images; else as they are ready.
            on: "ray" runs on the machines of a Ray cluster (extra `ray`); see `visprog.mapping.ray`.
            progress: Show how far it is while results are waited for, in a terminal or a notebook.
            on_event: As in `ask`, from several threads at once: each image is a run of its own, and so is the planning
                for all of them, which has no `Answered`. Not with Ray.

        Returns:
            A generator: nothing runs before it is asked for results, and `close` ends it. `len` is the number of
            images, if it is known.

        Raises:
            PlannerError: No program could be written (when the first result is asked for).
            Refused: The planner says that the tools cannot answer the question.
            VisprogError: No question, no such folder, or a program that cannot be read or fails its check.
        """
        from .mapping.map import map_on_threads, sources
        from .mapping.map_run import MapRun

        if program is None and not question.strip():
            raise VisprogError("the question is empty")
        if program is not None and plan_each:
            raise ConfigError("either one program for all images, or plan_each")
        if jobs < 1:
            raise ConfigError(f"jobs must be at least 1, not {jobs}")
        if on not in ("threads", "ray"):
            raise ConfigError(f"on must be 'threads' or 'ray', not {on!r}")
        listed = sources(images)
        job = _MapJob(self, question, answer_type(returns), program, plan_each, on_event, listed.are_videos)
        if on == "ray":
            results = job.on_ray(listed, jobs, ordered)
        else:
            results = map_on_threads(question, listed, job.answerer, jobs=jobs, ordered=ordered)
        return MapRun(results, listed, progress)

    async def aask(
        self,
        question: str,
        *images: InputLike | Iterable[InputLike],
        returns: AnswerType | None = None,
        on_event: Listener | None = None,
    ) -> Answer:
        """`ask` without blocking the event loop; events come from another thread."""
        return await _in_thread(partial(self.ask, question, *images, returns=returns, on_event=on_event))

    async def aplan(self, question: str, images: int = 1, returns: AnswerType | None = None) -> Plan:
        """`plan` without blocking the event loop."""
        return await _in_thread(partial(self.plan, question, images, returns))

    async def arun(
        self,
        program: str | os.PathLike[str] | Plan,
        *images: InputLike | Iterable[InputLike],
        returns: AnswerType | None = None,
        on_event: Listener | None = None,
    ) -> Answer:
        """`run` without blocking the event loop; events come from another thread."""
        return await _in_thread(partial(self.run, program, *images, returns=returns, on_event=on_event))

    # -- how it is done --------------------------------------------------------------------------

    @contextmanager
    def _getting_ready(self, question: str) -> Iterator[None]:
        """Load the planner, at the first question, while another process decodes the images."""
        if self._is_ready:
            yield
            return
        self._is_ready = True
        thread = threading.Thread(target=self._get_ready, args=(question,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def _get_ready(self, question: str) -> None:
        with contextlib.suppress(
            Exception
        ):  # whatever fails here fails again where it is needed, and says so
            self.sandbox.start()
            self.host.start()
            likely = getattr(self.planner, "likely", None)
            if likely is not None:
                self.host.start(likely(question))
            _ = self.host.in_force
            load = getattr(self.planner, "load", None)
            if load is not None:
                load()

    def _open(self, images: Sequence[Any]) -> tuple[Given, ...]:
        return open_images(images, self.config)

    def _request(self, question: str, images: int, returns: Type, video: bool) -> PlanRequest:
        registry = self.host.in_force.for_inputs(video)
        return PlanRequest(question, images, returns, registry, self.host.prepare, video)

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

    def _repair_loop(self, request: PlanRequest, emit: Emitter | None = None) -> RepairLoop:
        return RepairLoop(self.planner, request, self._check, self.config.repairs, emit)

    def _look(
        self,
        question: str,
        conversation: ChatMemory,
        returns: Type,
        turns: int,
        emit: Emitter | None,
    ) -> Answer:
        """The answer of a chat model that takes turns."""
        assert isinstance(self.planner, LLMPlanner)
        images = len(conversation.images)
        request = self._request(question, images, returns, video=False)
        run = self.host.new_run(emit)
        loop = TurnLoop(self.planner, request, conversation, run, self.sandbox, turns, emit)
        return _answer_of(loop.steps(), conversation.images)

    def _given(self, program: str | os.PathLike[str] | Plan, returns: Type) -> Plan:
        """A program that a user gives as a plan, with what the check found in it.

        Raises:
            VisprogError: Its file cannot be read.
        """
        source = program_source(program.program if isinstance(program, Plan) else program)
        return Plan(source, "", diagnostics=tuple(check(source, self.host.in_force, returns=returns)))

    def _vote(self, plans: Sequence[Plan], loop: RepairLoop, images: tuple[Given, ...]) -> Answer:
        """Run each program; the answer that most of them give, or the one program's answer."""

        def execute(plan: Plan) -> Step:
            return self._execute(plan, loop.request.returns, images, self.host.new_run(loop.emit))

        shown = key_frames(images)
        answers = [_answer_of(loop.run(plan, execute), shown) for plan in plans]
        good = [a for a in answers if a.status == "answered"]
        if len(answers) == 1 or not good:
            return answers[0]
        winner = vote([a.value for a in good], voters=len(answers))
        return replace(good[winner.index], probability=winner.share)

    def _execute(
        self,
        plan: Plan,
        returns: Type,
        images: tuple[Given, ...],
        run: Run,
        series: Series | None = None,
    ) -> Step:
        """Run one program.

        Args:
            series: Of the plan's program, made by `self.sandbox`; by default a process of its own.
        """
        if plan.error_message:
            return step_of(plan, message=plan.error_message)
        program = Program.parse(plan.program)
        video = any(isinstance(each, Video) for each in images)
        message = program.mismatch(len(images), video)
        if message:
            return step_of(plan, message=message, feedback=message)
        return execute(plan, program.bind(images), run, self.sandbox, returns, series)

    def _finished(self, answer: Answer, question: str, started: float, emit: Emitter | None) -> Answer:
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

    def _fall_back(self, question: str, answer: Answer, emit: Emitter | None) -> Answer:
        """Ask the question-answering tool plainly; the answer says so."""
        if "vqa" not in self.registry or not answer.images:
            return answer
        run = self.host.new_run(emit)
        try:
            value = run.call(self.registry["vqa"], answer.images[0], question)
        except (VisprogError, RunEnded):
            return answer
        return replace(
            answer,
            status="fallback",
            value=value,
            message=f"no program answered ({answer.message}); the vqa tool was asked plainly",
            trace=(*answer.trace, *run.calls),
        )


@dataclass(frozen=True)
class _MapJob:
    """One question about many images."""

    agent: Agent
    question: str
    returns: Type
    program: str | os.PathLike[str] | None
    plan_each: bool
    on_event: Listener | None
    video: bool = False

    @contextmanager
    def answerer(self) -> Iterator[Answerer]:
        """Plans the program, and gives what runs it on one image after another. Raises as `plan`."""
        agent, listener = self.agent, self.on_event and GuardedListener(self.on_event)
        if self.plan_each:
            yield _Answerer(agent, self.question, self.returns, listener)
            return
        loop = self.loop(emitter_of(listener))
        plan = self.plan(loop)
        with agent.sandbox.series(plan.program) as series:
            yield _Answerer(
                agent, self.question, self.returns, listener, plan, loop, series, mend_once(loop.mend)
            )

    def on_ray(self, images: Sources, jobs: int, ordered: bool) -> Generator[MapResult, None, None]:
        """Raises `ConfigError` if something cannot be had on other machines."""
        from .mapping.ray import check_portable, map_on_ray

        if self.plan_each:
            raise ConfigError("on Ray the program is planned once: leave plan_each out")
        if self.on_event is not None:
            raise ConfigError("on Ray there are no events: leave on_event out")
        config = self.agent.config
        check_portable(config, self.agent.registry, self.agent.recording)

        def plan() -> tuple[str, Callable[[], Answerer]]:
            made = self.plan(self.loop(None))
            return made.program, partial(_remote_answerer, config, self.question, self.returns, made, jobs)

        return map_on_ray(self.question, images, plan, jobs=jobs, ordered=ordered)

    def loop(self, emit: Emitter | None) -> RepairLoop:
        """Planning for all images; a program that is given is not mended."""
        loop = self.agent._repair_loop(self.agent._request(self.question, 1, self.returns, self.video), emit)
        return loop if self.program is None else replace(loop, rounds=0)

    def plan(self, loop: RepairLoop) -> Plan:
        """The program for all images: planned, or the one that is given, checked.

        Raises:
            PlannerError: None could be planned.
            Refused: The planner says that the tools cannot answer the question.
            VisprogError: The given one cannot be read, fails its check, or does not take one image.
        """
        plan = loop.plan() if self.program is None else self.agent._given(self.program, self.returns)
        if plan.error_message:
            raise (PlannerError if self.program is None else VisprogError)(plan.error_message)
        wrong = Program.parse(plan.program).mismatch(1, self.video)
        if wrong:
            raise VisprogError(wrong)
        return plan


@dataclass(frozen=True)
class _Answerer:
    """Answers one question about one image after another; by a plan for all of them, or each by its own."""

    agent: Agent
    question: str
    returns: Type
    listener: Listener | None = None
    plan: Plan | None = None
    loop: RepairLoop | None = None
    series: Series | None = None
    mend: Mend | None = None

    @property
    def program(self) -> str:
        """The program for all images; empty if each has its own."""
        return "" if self.plan is None else self.plan.program

    def __call__(self, given: InputLike) -> Answer:
        """The answer for an image, of which nothing stays in memory. Raises `ImageError` if it cannot be read."""
        started = time.perf_counter()
        image = open_given(given, self.agent.config)
        if self.plan is None or self.loop is None:
            return self.agent.ask(self.question, image, returns=self.returns, on_event=self.listener)
        emit = emitter_of(self.listener)

        def execute(plan: Plan) -> Step:
            run = self.agent.host.new_run(emit)
            series = self.series if plan is self.plan else None
            step = self.agent._execute(plan, self.returns, (image,), run, series)
            run.drop_from_cache()
            return step

        answer = _answer_of(self.loop.run(self.plan, execute, self.mend), key_frames((image,)))
        return self.agent._finished(answer, self.question, started, emit)


def _remote_answerer(config: Config, question: str, returns: Type, plan: Plan, jobs: int) -> Answerer:
    """Made on another machine, where it stays until its process ends."""
    agent = Agent(config=config, standby=jobs)
    video = Program.parse(plan.program).takes_video
    loop = replace(agent._repair_loop(agent._request(question, 1, returns, video)), rounds=0)
    return _Answerer(agent, question, returns, None, plan, loop, agent.sandbox.series(plan.program))


def ask(
    question: str,
    *images: InputLike | Iterable[InputLike],
    returns: AnswerType | None = None,
    on_event: Listener | None = None,
    **settings: Any,
) -> Answer:
    """Ask with the settings in force (see `Config.load`), by an agent that is kept for the next question.

    Args:
        question: As in `Agent.ask`, and so the next three.
        images: At least one.
        returns: Type of the answer.
        on_event: Listener to events.
        settings: For this question alone: any argument of `Agent`, such as `planner="openai:MODEL"`,
            `backends={"detect": "owlv2"}` or `allow_url=True`.

    Raises as `Agent` and `Agent.ask` do.
    """
    if not settings:
        return _default_agent().ask(question, *images, returns=returns, on_event=on_event)
    with Agent(**settings) as agent:
        return agent.ask(question, *images, returns=returns, on_event=on_event)


@cache
def _default_agent() -> Agent:
    return Agent()


async def _in_thread(call: Callable[[], T]) -> T:
    import asyncio  # not needed to ask, and slow to import

    return await asyncio.to_thread(call)


def _check_question(question: Any) -> None:
    if not isinstance(question, str):
        raise VisprogError(
            f"the question must be a text, not {describe(question)}: the question comes first, then the images"
        )
    if not question.strip():
        raise VisprogError("the question is empty")
    if "\n" not in question and question.strip().lower().endswith((*IMAGE_ENDINGS, *VIDEO_ENDINGS)):
        raise VisprogError(f"'{question}' is no question: the question comes first, then the images")


def _images(given: Iterable[Given]) -> tuple[Image, ...]:
    return tuple(each for each in given if isinstance(each, Image))


def _answer_of(steps: tuple[Step, ...], images: tuple[Image, ...]) -> Answer:
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
