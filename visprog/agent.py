"""The agent: a question and images go in, an answer with its evidence comes out."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from visprog.sandbox import Limits, Sandbox

from .answer import Answer
from .check.dry_run import LIBRARY
from .config import Config
from .errors import ConfigError, VisprogError
from .files.endings import IMAGE_ENDINGS, VIDEO_ENDINGS
from .files.limits import SizeLimits, use_limits
from .llm.chat import ChatModel
from .pipeline import Pipeline, answer_of
from .planner.base import Plan, Planner, PlannerLike
from .planner.factory import make_planner
from .planner.llm import LLMPlanner
from .planner.memory import ChatMemory
from .planner.turns import check_turns, no_turns
from .program import Program, open_images
from .registry import (
    BackendLoader,
    Registry,
    Tool,
    chosen_registry,
    default_registry,
    further_tools,
)
from .registry.types import AnswerType, answer_type, describe
from .runtime.cancellation import in_thread
from .runtime.events import Checked, Listener, emitter_of
from .runtime.host import Host, with_backends, with_chat
from .runtime.processes.decoder import DECODERS
from .values.video import InputLike, key_frames

if TYPE_CHECKING:
    from .chat import AgentChat
    from .mapping.map import ImageSource
    from .mapping.map_run import MapRun
    from .planner.opening import Opening
    from .runtime.recording import Recording


CHAT_TURNS = 6
"""Number of replies per question of a conversation, if the settings allow one."""


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
        self._pipeline = Pipeline(self.planner, self.config, self.host, self.sandbox)

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
            opened = open_images(images, self.config)
        if not opened:
            raise VisprogError("give at least one image to ask about")
        emit = emitter_of(on_event)
        answer = self._pipeline.answer(question, opened, returns, emit)
        return self._pipeline.finished(answer, question, started, emit)

    def chat(self, *images: InputLike | Iterable[InputLike], turns: int | None = None) -> AgentChat:
        """A conversation about images or a video, in which a question may refer to those before it.

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

        given = open_images(images, self.config)
        if not given:
            raise VisprogError("give at least one image to talk about")
        if not isinstance(self.planner, LLMPlanner):
            if turns is not None:
                raise ConfigError(no_turns(self.planner))
            return AgentChat(
                key_frames(given),
                lambda question, returns, on_event: self.ask(
                    question, *given, returns=returns, on_event=on_event
                ),
                follows=False,
            )
        most = self.config.turns if self.config.turns > 1 else CHAT_TURNS
        if turns is not None:
            most = self.config.changed({"turns": turns}, of="Agent.chat()").turns
        memory = ChatMemory.about(given, self.registry)

        def ask(question: str, returns: AnswerType | None, on_event: Listener | None) -> Answer:
            started, emit = time.perf_counter(), emitter_of(on_event)
            _check_question(question)
            answer = self._pipeline.look(question, memory, answer_type(returns), most, emit)
            answer = self._pipeline.finished(answer, question, started, emit)
            if answer.status == "fallback":
                memory.keep_fallback(answer)
            return answer

        def opening(question: str, returns: AnswerType | None) -> Opening:
            _check_question(question)
            return self._pipeline.opening(question, memory, answer_type(returns), most)

        return AgentChat(memory.images, ask, opening=opening)

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
        request = self._pipeline.request(question, images, answer_type(returns), video)
        return self._pipeline.repair_loop(request).plan()

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
        plan = self._pipeline.given(program, returns)
        for name in Program.parse(plan.program).called:
            self.host.prepare(name)
        opened = open_images(images, self.config)
        emit = emitter_of(on_event)
        if emit is not None:
            emit(Checked, program=plan.program, diagnostics=plan.diagnostics)
        step = self._pipeline.execute(plan, returns, opened, self.host.new_run(emit))
        return self._pipeline.finished(answer_of((step,), key_frames(opened)), "", started, emit)

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
        from .mapping.job import MapJob
        from .mapping.map import map_on_threads, sources
        from .mapping.map_run import MapRun

        if program is None:
            _check_question(question)
        if program is not None and plan_each:
            raise ConfigError("either one program for all images, or plan_each")
        if jobs < 1:
            raise ConfigError(f"jobs must be at least 1, not {jobs}")
        if on not in ("threads", "ray"):
            raise ConfigError(f"on must be 'threads' or 'ray', not {on!r}")
        listed = sources(images)
        job = MapJob(
            self._pipeline, question, answer_type(returns), program, plan_each, on_event, listed.are_videos
        )
        if on == "ray":
            results = job.on_ray(listed, jobs, ordered, _remote_pipeline)
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
        """`ask` without blocking the event loop; events come from another thread.

        If it is cancelled, it asks no chat model and calls no tool any more.
        """
        return await in_thread(partial(self.ask, question, *images, returns=returns, on_event=on_event))

    async def aplan(self, question: str, images: int = 1, returns: AnswerType | None = None) -> Plan:
        """`plan` without blocking the event loop."""
        return await in_thread(partial(self.plan, question, images, returns))

    async def arun(
        self,
        program: str | os.PathLike[str] | Plan,
        *images: InputLike | Iterable[InputLike],
        returns: AnswerType | None = None,
        on_event: Listener | None = None,
    ) -> Answer:
        """`run` without blocking the event loop; events come from another thread."""
        return await in_thread(partial(self.run, program, *images, returns=returns, on_event=on_event))

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


def _remote_pipeline(config: Config, jobs: int) -> Pipeline:
    """The pipeline of an agent on another machine, where it stays until its process ends."""
    return Agent(config=config, standby=jobs)._pipeline


def _check_question(question: Any) -> None:
    if not isinstance(question, str):
        raise VisprogError(
            f"the question must be a text, not {describe(question)}: the question comes first, then the images"
        )
    if not question.strip():
        raise VisprogError("the question is empty")
    if "\n" not in question and question.strip().lower().endswith((*IMAGE_ENDINGS, *VIDEO_ENDINGS)):
        raise VisprogError(f"'{question}' is no question: the question comes first, then the images")


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
