"""`Agent.map` on the machines of a Ray cluster: an agent on each, pictures sent to whichever has the least to do.

Pictures given by path are opened where they are asked about: the machines share that folder. Each machine has the
package, and the tools and models that the configuration names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ..answer import Answer
from ..errors import ConfigError, MissingExtra
from ..registry import chosen_registry
from .map import Mapped, Source, answer_one, in_flight

if TYPE_CHECKING:
    from ..agent import Agent
    from ..config import Config
    from ..planner.base import Plan


def map_on_ray(
    agent: Agent,
    question: str,
    pictures: Iterator[Source],
    plan: Callable[[], Plan],
    *,
    returns: Any,
    jobs: int,
    ordered: bool,
) -> Generator[Mapped, None, None]:
    """Results as `Agent.map` gives them. The cluster is the one that Ray finds, or one on this machine.

    Args:
        plan: makes the program, here, when the first result is asked for.
        jobs: programs that run at once on each machine, or for each GPU where there are any.

    Raises:
        ConfigError: the agent has tools that other machines cannot load, or a recording.
        MissingExtra: Ray is not installed.
    """
    try:
        import ray  # noqa: F401
    except ImportError:
        raise MissingExtra("running on several machines", "ray") from None
    if agent.recording is not None:
        raise ConfigError("on Ray nothing is recorded or replayed: run it on threads")
    if dict(agent.registry) != dict(chosen_registry(agent.config)):
        raise ConfigError(
            "on Ray tools are those of installed packages and of the settings (extra_tools, without_tools)"
        )
    return _results(agent.config, question, pictures, plan, returns, jobs, ordered)


def _results(
    config: Config,
    question: str,
    pictures: Iterator[Source],
    plan: Callable[[], Plan],
    returns: Any,
    jobs: int,
    ordered: bool,
) -> Generator[Mapped, None, None]:
    import ray

    made = plan()
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False)
    gpus = int(ray.cluster_resources().get("GPU", 0))
    count = gpus or sum(1 for node in ray.nodes() if node["Alive"])
    worker: Any = ray.remote(_Worker).options(
        num_cpus=1, num_gpus=1 if gpus else 0, max_concurrency=jobs, scheduling_strategy="SPREAD",
        max_restarts=-1, max_task_retries=2,
    )  # fmt: skip
    workers = [worker.remote(config, question, made, returns, jobs) for _ in range(count)]
    busy: Counter[int] = Counter()

    def submit(source: Source) -> Future[Mapped]:
        chosen = min(range(count), key=lambda i: busy[i])
        busy[chosen] += 1
        result: Future[Mapped] = Future()

        def settle(asked: Future[Mapped]) -> None:
            busy[chosen] -= 1
            try:
                result.set_result(asked.result())
            except Exception as error:  # the worker ended, time after time: so it is for this picture
                why = f"the worker on Ray failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
                failed = Answer("error", message=why, question=question, program=made.program)
                result.set_result(Mapped(source.index, source.name, failed))

        workers[chosen].answer.remote(source).future().add_done_callback(settle)
        return result

    try:
        yield from in_flight(pictures, submit, most=2 * jobs * count, ordered=ordered)
    finally:
        for each in workers:
            ray.kill(each)


class _Worker:
    """An agent on one of the machines. Its calls come on several threads, so its host makes batches."""

    def __init__(self, config: Config, question: str, plan: Plan, returns: Any, jobs: int) -> None:
        from ..agent import Agent

        self.agent = Agent(config=config, standby=jobs)
        self.question = question
        self.plan = plan
        self.returns = returns
        self.series = self.agent.sandbox.series(plan.program)

    def answer(self, source: Source) -> Mapped:
        return answer_one(self.agent, self.question, source, self.plan, self.returns, self.series)
