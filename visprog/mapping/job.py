"""One question about many images: the program for all of them is planned once, and run on one after another."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from visprog.sandbox import Series

from ..answer import Answer
from ..config import Config
from ..errors import ConfigError, PlannerError, VisprogError
from ..pipeline import Pipeline, answer_of
from ..planner.base import Plan
from ..planner.repair import Mend, RepairLoop, mend_once
from ..program import Program, open_given
from ..registry.types import Type
from ..runtime.events import Emitter, GuardedListener, Listener, emitter_of
from ..runtime.steps import Step
from ..values.video import key_frames

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..values.video import InputLike
    from .map import Answerer, MapResult, Sources


@dataclass(frozen=True)
class MapJob:
    """One question about many images.

    Attributes:
        pipeline: That the question, or each program, passes through.
        question: In plain language.
        returns: Type that the answers must have; None for any.
        program: Source or file of the program, instead of a plan.
        plan_each: Whether each image has a program of its own.
        on_event: Called with each event.
        video: Whether it is about videos.
    """

    pipeline: Pipeline
    question: str
    returns: Type
    program: str | os.PathLike[str] | None
    plan_each: bool
    on_event: Listener | None
    video: bool = False

    @contextmanager
    def answerer(self) -> Iterator[Answerer]:
        """Plans the program, and gives what runs it on one image after another. Raises as `plan`."""
        listener = self.on_event and GuardedListener(self.on_event)
        if self.plan_each:
            yield _Answerer(self.pipeline, self.question, self.returns, listener)
            return
        loop = self.loop(emitter_of(listener))
        plan = self.plan(loop)
        with self.pipeline.sandbox.series(plan.program) as series:
            yield _Answerer(
                self.pipeline,
                self.question,
                self.returns,
                listener,
                plan,
                loop,
                series,
                mend_once(loop.mend),
            )

    def on_ray(
        self,
        images: Sources,
        jobs: int,
        ordered: bool,
        open_pipeline: Callable[[Config, int], Pipeline],
    ) -> Generator[MapResult, None, None]:
        """Results of the machines of a cluster.

        Args:
            open_pipeline: Makes a pipeline on another machine, for so many programs at once; a function of a module.

        Raises:
            ConfigError: Something cannot be had on other machines.
        """
        from .ray import check_portable, map_on_ray

        if self.plan_each:
            raise ConfigError("on Ray the program is planned once: leave plan_each out")
        if self.on_event is not None:
            raise ConfigError("on Ray there are no events: leave on_event out")
        config, host = self.pipeline.config, self.pipeline.host
        check_portable(config, host.registry, host.recording)

        def plan() -> tuple[str, Callable[[], Answerer]]:
            made = self.plan(self.loop(None))
            remote = partial(open_pipeline, config, jobs)
            return made.program, partial(_remote_answerer, remote, self.question, self.returns, made)

        return map_on_ray(self.question, images, plan, jobs=jobs, ordered=ordered)

    def loop(self, emit: Emitter | None) -> RepairLoop:
        """Planning for all images; a program that is given is not mended."""
        request = self.pipeline.request(self.question, 1, self.returns, self.video)
        loop = self.pipeline.repair_loop(request, emit)
        return loop if self.program is None else replace(loop, rounds=0)

    def plan(self, loop: RepairLoop) -> Plan:
        """The program for all images: planned, or the one that is given, checked.

        Raises:
            PlannerError: None could be planned.
            Refused: The planner says that the tools cannot answer the question.
            VisprogError: The given one cannot be read, fails its check, or does not take one image.
        """
        plan = loop.plan() if self.program is None else self.pipeline.given(self.program, self.returns)
        if plan.error_message:
            raise (PlannerError if self.program is None else VisprogError)(plan.error_message)
        wrong = Program.parse(plan.program).mismatch(1, self.video)
        if wrong:
            raise VisprogError(wrong)
        return plan


@dataclass(frozen=True)
class _Answerer:
    """Answers one question about one image after another; by a plan for all of them, or each by its own."""

    pipeline: Pipeline
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
        image = open_given(given, self.pipeline.config)
        emit = emitter_of(self.listener)
        if self.plan is None or self.loop is None:
            answer = self.pipeline.answer(self.question, (image,), self.returns, emit)
            return self.pipeline.finished(answer, self.question, started, emit)

        def execute(plan: Plan) -> Step:
            run = self.pipeline.host.new_run(emit)
            series = self.series if plan is self.plan else None
            step = self.pipeline.execute(plan, self.returns, (image,), run, series, self.question)
            run.drop_from_cache()
            return step

        answer = answer_of(self.loop.run(self.plan, execute, self.mend), key_frames((image,)))
        return self.pipeline.finished(answer, self.question, started, emit)


def _remote_answerer(
    open_pipeline: Callable[[], Pipeline], question: str, returns: Type, plan: Plan
) -> Answerer:
    """Made on another machine, where it stays until its process ends."""
    pipeline = open_pipeline()
    video = Program.parse(plan.program).takes_video
    loop = replace(pipeline.repair_loop(pipeline.request(question, 1, returns, video)), rounds=0)
    return _Answerer(pipeline, question, returns, None, plan, loop, pipeline.sandbox.series(plan.program))
