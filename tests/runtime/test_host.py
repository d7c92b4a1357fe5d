"""The host: validation, cache, batches, budgets, the record of calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.small_tools import REGISTRY, SlowBackend, detect, picture
from visprog.config import Config, ToolConfig
from visprog.errors import ConfigError, MissingExtra, ToolError
from visprog.registry import Registry, Tool, tool
from visprog.runtime.batcher import Batcher
from visprog.runtime.cache import MISSING, Cache
from visprog.runtime.host import Host, RunEnded
from visprog.values import Box, Region
from visprog.values.codec import fingerprint
from visprog.values.depth import Depth
from visprog.values.image import Image

IMAGE = picture()


def counted() -> tuple[Tool, list[str]]:
    """A tool, and what it was called with."""
    seen: list[str] = []

    @tool
    def look(image: Image, what: str = "dog") -> list[Region]:
        """Looks."""
        seen.append(what)
        return [Region(Box(0, 0, 5, 5), what, 1.0, image.root)]

    return look, seen


def backed(name: str, factory: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Tool:
    """A tool whose backend is made by `factory`."""
    import sys
    import types

    module = types.ModuleType(f"backends_{name}")
    module.Backend = factory  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def function(image: Image, what: str, option: int = 1) -> list[Region]:
        """Finds."""
        raise NotImplementedError

    return tool(name=name, backends={"main": f"{module.__name__}:Backend"})(function)


def caller(host: Host, find: Tool, results: dict[str, Any]) -> Callable[[str], None]:
    """Calls the tool as a program would, and keeps what came of it."""

    def call(what: str) -> None:
        try:
            results[what] = host.new_run().call(find, IMAGE, what)
        except ToolError as error:
            results[what] = str(error)

    return call


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, for ten seconds at most."""
    for _ in range(1000):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never did")


def test_arguments_are_bound_by_name_and_recorded() -> None:
    look, _ = counted()
    run = Host(Registry([look])).new_run()
    run.call(look, IMAGE)
    (call,) = run.calls
    assert call.arguments == {"image": IMAGE, "what": "dog"}
    assert (call.tool, call.error, call.cached, call.backend) == ("look", "", False, "")
    assert call.seconds > 0 and call.result[0].label == "dog"


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "look needs the argument 'image'"),
        ((IMAGE, "dog", 3), {}, "look takes 2 arguments, not 3"),
        ((IMAGE,), {"wat": "dog"}, "no argument 'wat'; did you mean 'what'"),
        ((IMAGE, "dog"), {"what": "cat"}, "got the argument 'what' twice"),
        ((IMAGE, 3), {}, "'what' must be str, not int"),
        (("image.png",), {}, "'image' must be Image, not str"),
        (([IMAGE],), {}, r"'image' must be Image, not list\[Image\]"),
    ],
)
def test_wrong_arguments_never_reach_the_tool(
    args: tuple[Any, ...], kwargs: dict[str, Any], message: str
) -> None:
    look, seen = counted()
    run = Host(Registry([look])).new_run()
    with pytest.raises(ToolError, match=message):
        run.call(look, *args, **kwargs)
    assert not seen
    assert run.calls[0].error and run.calls[0].result is None


def test_a_result_of_another_type_is_an_error() -> None:
    run = Host(REGISTRY).new_run()
    with pytest.raises(ToolError, match="lie must return int, not str"):
        run.call(REGISTRY["lie"], IMAGE)


def test_what_a_tool_raises_is_one_sentence() -> None:
    run = Host(REGISTRY).new_run()
    with pytest.raises(ToolError, match="detect failed: RuntimeError: the detector fell over"):
        run.call(detect, IMAGE, "crash")


def test_equal_calls_are_answered_from_the_cache() -> None:
    look, seen = counted()
    host = Host(Registry([look]))
    same = Image(IMAGE.pixels.copy(), name=IMAGE.name)
    first, second = host.new_run(), host.new_run()
    first.call(look, IMAGE)
    second.call(look, same, what="dog")
    second.call(look, IMAGE, "cat")
    assert seen == ["dog", "cat"]
    assert [c.cached for c in first.calls + second.calls] == [False, True, False]


def test_a_crop_is_not_its_equal_elsewhere() -> None:
    """Results lie in the frame of the root: equal pixels at another place have other results."""
    plain = picture(value=20)
    one, other = plain.crop(Box(0, 0, 10, 10)), plain.crop(Box(20, 20, 30, 30))
    assert one.digest == other.digest and fingerprint(one) != fingerprint(other)


def test_failures_are_not_cached() -> None:
    tries: list[int] = []

    @tool
    def shaky(image: Image) -> int:
        """Works the second time."""
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("not yet")
        return 7

    run = Host(Registry([shaky])).new_run()
    with pytest.raises(ToolError):
        run.call(shaky, IMAGE)
    assert run.call(shaky, IMAGE) == 7


def test_types_are_told_apart_in_the_cache() -> None:
    values: list[Any] = [1, 1.0, True, "1", (1,), [1], None, Box(0, 0, 1, 1), {"a": 1}]
    assert len({fingerprint(v) for v in values}) == len(values)


def test_cache_forgets_the_oldest() -> None:
    cache = Cache(3 * 256 / (1024 * 1024))
    for key in "abc":
        cache.put(key, 1)
    cache.get("a")
    cache.put("d", 1)
    assert cache.get("b") is MISSING and cache.get("a") == 1
    cache.put("huge", picture(400, 400))
    assert cache.get("huge") is MISSING and cache.get("d") == 1


def test_a_depth_map_is_counted() -> None:
    depth = Depth(np.zeros((300, 300)), Box(0, 0, 300, 300))
    assert depth.values.nbytes == 360_000
    cache = Cache(1)
    for key in range(4):
        cache.put(key, Depth(np.full((300, 300), key), Box(0, 0, 300, 300)))
    assert [key for key in range(4) if cache.get(key) is not MISSING] == [2, 3]
    cache.put("again", cache.get(3))
    assert cache.get(2) is not MISSING  # it is held once


def test_a_picture_is_held_and_counted_once() -> None:
    """Results that lie in one picture keep it in memory together, not each."""
    image = picture(100, 100)
    cache = Cache(1)
    for key in range(50):
        cache.put(key, [Region(Box(0, 0, 5, 5), "dog", 1.0, image)] * 3)
    assert all(cache.get(key) is not MISSING for key in range(50))
    others = [picture(200, 200, value) for value in range(9)]  # 120,000 bytes each
    for key, other in enumerate(others):
        cache.put(("other", key), [Region(Box(0, 0, 5, 5), "dog", 1.0, other)])
    held = [key for key in range(9) if cache.get(("other", key)) is not MISSING]
    assert held == [1, 2, 3, 4, 5, 6, 7, 8] and cache.get(0) is MISSING
    cache.drop([("other", key) for key in range(9)])
    assert cache._bytes == 0 and not cache._holders


def test_what_was_found_in_a_picture_can_be_forgotten() -> None:
    look, seen = counted()

    @tool
    def spell(word: str) -> int:
        """How many letters."""
        seen.append(word)
        return len(word)

    host = Host(Registry([look, spell]))
    for _ in range(2):
        run = host.new_run()
        run.call(look, IMAGE)
        run.call(spell, "cat")
        run.drop_from_cache()
    assert seen == ["dog", "cat", "dog"]


def test_concurrent_calls_are_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = SlowBackend()
    find = backed("find", lambda model=None: backend, monkeypatch)
    host = Host(Registry([find]))
    results: dict[str, Any] = {}
    work = caller(host, find, results)

    first = threading.Thread(target=work, args=("first",))
    first.start()
    assert backend.started.wait(10)
    others = [threading.Thread(target=work, args=(w,)) for w in ("a", "b", "bad", "c")]
    for thread in others:
        thread.start()
    until(lambda: host.traffic.calling == 5)
    backend.go.set()
    for thread in [first, *others]:
        thread.join(20)
    assert [len(b) for b in backend.batches] == [1, 4]
    assert results["a"] == [] and "odd one" in results["bad"]
    assert host.batches() == {"find": {1: 1, 4: 1}} and host.traffic.calling == 0


def test_batches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = SlowBackend()
    find = backed("bounded", lambda model=None: backend, monkeypatch)
    host = Host(Registry([find]))
    host.batcher(find).max_batch = 3
    results: dict[str, Any] = {}
    threads = [threading.Thread(target=caller(host, find, results), args=(str(i),)) for i in range(8)]
    threads[0].start()
    assert backend.started.wait(10)
    for thread in threads[1:]:
        thread.start()
    until(lambda: host.traffic.calling == 8)
    backend.go.set()
    for thread in threads:
        thread.join(20)
    assert [len(b) for b in backend.batches] == [1, 3, 3, 1] and len(results) == 8


def test_a_batch_waits_for_programs_that_may_call_and_for_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = SlowBackend()
    backend.go.set()
    find = backed("awaited", lambda model=None: backend, monkeypatch)
    host = Host(Registry([find]))
    batcher = host.batcher(find)
    monkeypatch.setattr(Batcher, "MAX_WAIT", 20.0)
    batcher._seconds = 80.0  # as if the last batch had taken so long
    results: dict[str, Any] = {}
    work = caller(host, find, results)
    with host.new_run(), host.new_run(), host.new_run():  # three programs run
        threads = [threading.Thread(target=work, args=(w,)) for w in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert [len(b) for b in backend.batches] == [3]  # complete: it did not wait to the end
    batcher._seconds = 80.0
    with host.new_run() as alone:
        alone.call(find, IMAGE, "d")
    assert [len(b) for b in backend.batches] == [3, 1]
    batcher._seconds = 80.0
    with host.new_run():
        other = host.new_run().__enter__()
        thread = threading.Thread(target=work, args=("e",))
        thread.start()
        until(lambda: host.traffic.calling == 1)
        other.__exit__(None, None, None)  # nobody is left to wait for
        thread.join(10)
    assert [len(b) for b in backend.batches] == [3, 1, 1] and len(results) == 4


def test_a_caller_that_is_interrupted_hands_the_lead_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stops(SlowBackend):
        def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
            results = super().__call__(calls)
            if calls[0]["what"] == "stop":
                raise KeyboardInterrupt
            return results

    backend = Stops()
    find = backed("halted", lambda model=None: backend, monkeypatch)
    host = Host(Registry([find]))
    results: dict[str, Any] = {}

    def interrupted() -> None:
        # Of a thread that is not the main one it cannot be the user's: it ends the call alone.
        with pytest.raises(ToolError, match="KeyboardInterrupt"):
            host.new_run().call(find, IMAGE, "stop")

    threads = [threading.Thread(target=interrupted)]
    threads[0].start()
    assert backend.started.wait(10)
    threads += [threading.Thread(target=caller(host, find, results), args=(w,)) for w in "ab"]
    for thread in threads[1:]:
        thread.start()
    until(lambda: host.traffic.calling == 3)
    backend.go.set()
    for thread in threads:
        thread.join(10)
    assert results == {"a": [], "b": []} and host.traffic.calling == 0


def test_plain_functions_are_called_without_company() -> None:
    look, seen = counted()
    alone = replace(look, alone=True)
    host, other = Host(Registry([look])), Host(Registry([alone]))
    assert host.batcher(look).max_batch == other.batcher(alone).max_batch == 1
    assert host.batcher(look).max_threads > 8 and other.batcher(alone).max_threads == 1
    host.new_run().call(look, IMAGE)
    assert seen == ["dog"] and host.batches() == {}


def test_many_threads_get_their_own_results(monkeypatch: pytest.MonkeyPatch) -> None:
    def backend(calls: list[dict[str, Any]]) -> list[Any]:
        return [[Region(Box(0, 0, 5, 5), c["what"], 1.0, IMAGE)] for c in calls]

    find = backed("many", lambda model=None: backend, monkeypatch)
    host = Host(Registry([find]), Config(cache=0))
    wrong: list[str] = []

    def work(number: int) -> None:
        for i in range(50):
            with host.new_run() as run:
                (region,) = run.call(find, IMAGE, f"{number} {i}")
            if region.label != f"{number} {i}":
                wrong.append(region.label)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and sum(n * k for n, k in host.batches()["many"].items()) == 600
    assert (host.traffic.running, host.traffic.calling) == (0, 0)


def test_a_backend_that_breaks_tells_every_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def backend(calls: list[dict[str, Any]]) -> list[Any]:
        return []

    find = backed("short", lambda model=None: backend, monkeypatch)
    with pytest.raises(ToolError, match="0 results for 1 calls"):
        Host(Registry([find])).new_run().call(find, IMAGE, "x")


def test_calls_are_limited() -> None:
    look, _ = counted()
    run = Host(Registry([look]), Config(calls=2)).new_run()
    run.call(look, IMAGE, "a")
    run.call(look, IMAGE, "b")
    with pytest.raises(RunEnded, match="more than 2 tool calls; raise 'calls'"):
        run.call(look, IMAGE, "c")
    assert len(run.calls) == 2


def test_seconds_are_limited() -> None:
    look, _ = counted()
    run = Host(Registry([look]), Config(seconds=0.5)).new_run()
    run.started -= 1
    with pytest.raises(RunEnded, match=r"more than 0.5 s before look; raise 'seconds'"):
        run.call(look, IMAGE)


def test_a_missing_extra_can_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(model: str | None = None) -> Any:
        raise MissingExtra("this backend", "hf")

    find = backed("needy", missing, monkeypatch)
    run = Host(Registry([find])).new_run()
    with pytest.raises(MissingExtra, match=r"pip install 'visprog\[hf\]'"):
        run.call(find, IMAGE, "x")
    assert "pip install" in run.calls[0].error


class Optioned(SlowBackend):
    """A backend with typed options."""

    def __init__(
        self, model: str | None = None, threshold: float = 0.5, labels: tuple[str, ...] = ()
    ) -> None:
        super().__init__()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"modle": "x"},
            r"\[tools.plain\]: the backend 'main' has no option 'modle'; did you mean 'model'\?",
        ),
        ({"zzz": 1}, "has no option 'zzz'; it has model, threshold, labels"),
        ({"threshold": "high"}, "'threshold' must be float, not str"),
        ({"labels": ["a", 3]}, r"'labels' must be tuple\[str, ...\], not tuple"),
        ({"model": 3}, r"'model' must be str \| None, not int"),
    ],
)
def test_a_wrong_option_of_a_backend_is_named_before_anything_runs(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = backed("plain", Optioned, monkeypatch)
    with pytest.raises(ConfigError, match=message):
        Host(Registry([find]), Config(tools={"plain": ToolConfig(options=options)}))


def test_right_options_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    find = backed("plain", Optioned, monkeypatch)
    Host(Registry([find]), Config(tools={"plain": ToolConfig(options={"threshold": 1, "labels": ["a"]})}))


def test_a_wrong_choice_of_backend_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    find = backed("chosen", lambda model=None: SlowBackend(), monkeypatch)
    registry = Registry([find, detect])
    for config, message in (
        (Config(tools={"chosn": ToolConfig("main")}), r"there is no such tool; did you mean 'chosen'"),
        (Config(tools={"chosen": ToolConfig("other")}), "there is no backend 'other'; choose main"),
        (Config(tools={"detect": ToolConfig("main")}), "detect is a plain function"),
    ):
        with pytest.raises(ConfigError, match=message):
            Host(registry, config)
