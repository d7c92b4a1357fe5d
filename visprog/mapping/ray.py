"""`Agent.map` on the machines of a Ray cluster: an agent on each, images sent to the one with the least to do.

Images given by path are opened on the machine that asks about them: the machines share that folder. Each machine has
the package, and the tools and models that the configuration names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ..answer import Answer
from ..errors import ConfigError, MissingExtra
from ..registry import Registry, chosen_registry
from .map import Answerer, ImageSource, MapResult, answer_one, in_flight

if TYPE_CHECKING:
    from ..config import Config
    from ..runtime.recording import Recording


def check_portable(config: Config, registry: Registry, recording: Recording | None) -> None:
    """Check that other machines can do the same.

    Raises:
        ConfigError: There are tools that they cannot load, or a recording.
        MissingExtra: Ray is not installed.
    """
    try:
        import ray  # noqa: F401
    except ImportError:
        raise MissingExtra("running on several machines", "ray") from None
    if recording is not None:
        raise ConfigError("on Ray nothing is recorded or replayed: run it on threads")
    if dict(registry) != dict(chosen_registry(config)):
        raise ConfigError(
            "on Ray tools are those of installed packages and of the settings (extra_tools, without_tools)"
        )


def map_on_ray(
    question: str,
    images: Iterable[ImageSource],
    plan: Callable[[], tuple[str, Callable[[], Answerer]]],
    *,
    jobs: int,
    ordered: bool,
) -> Generator[MapResult, None, None]:
    """Results as `Agent.map` gives them. The cluster is the one that Ray finds, or one on this machine.

    Args:
        plan: Makes the program, here, when the first result is asked for; and what makes an answerer that runs it, on
            each of the machines.
        jobs: Number of programs that run at once on each machine, or per GPU if there are any.
    """
    import ray

    program, answerer = plan()
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False)
    gpus = int(ray.cluster_resources().get("GPU", 0))
    count = gpus or sum(1 for node in ray.nodes() if node["Alive"])
    actor: Any = ray.remote(_Actor).options(
        num_cpus=1, num_gpus=1 if gpus else 0, max_concurrency=jobs, scheduling_strategy="SPREAD",
        max_restarts=-1, max_task_retries=2,
    )  # fmt: skip
    actors = [actor.remote(answerer, question) for _ in range(count)]
    busy: Counter[int] = Counter()

    def submit(source: ImageSource) -> Future[MapResult]:
        chosen = min(range(count), key=lambda i: busy[i])
        busy[chosen] += 1
        result: Future[MapResult] = Future()

        def settle(asked: Future[MapResult]) -> None:
            busy[chosen] -= 1
            try:
                result.set_result(asked.result())
            except (
                Exception
            ) as error:  # the worker ended, time after time: that is the answer about this image
                why = f"the worker on Ray failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
                failed = Answer("error", message=why, question=question, program=program)
                result.set_result(MapResult(source.index, source.name, failed))

        actors[chosen].answer.remote(source).future().add_done_callback(settle)
        return result

    try:
        yield from in_flight(images, submit, most=2 * jobs * count, ordered=ordered)
    finally:
        for each in actors:
            ray.kill(each)


class _Actor:
    """An answerer on one of the machines. Its calls come on several threads, so its host makes batches."""

    def __init__(self, answerer: Callable[[], Answerer], question: str) -> None:
        self.answerer = answerer()
        self.question = question

    def answer(self, source: ImageSource) -> MapResult:
        return answer_one(self.answerer, self.question, source)
