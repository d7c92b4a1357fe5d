"""The model manager: budget, order of leaving, and what is in use."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.processes import hostile
from tests.server.heavy import MIB, Heavy, Measured, weigh, width_at
from tests.small_tools import REGISTRY, picture
from visprog import Config
from visprog.errors import ConfigError, ToolError
from visprog.registry import BackendLoader, Registry, default_registry
from visprog.runtime.host import Host, RunEnded
from visprog.runtime.processes.pool import ToolProcesses
from visprog.server.models import Models


@pytest.fixture(autouse=True)
def events() -> Iterator[list[str]]:
    Heavy.events.clear()
    Heavy.go.clear()
    yield Heavy.events
    Heavy.go.set()


def heavy(models: Models, name: str, mib: int = 10, **options: Any) -> Any:
    return models.get(Heavy, tuple(sorted({"name": name, "mib": mib, **options}.items())), name)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_the_least_recently_used_leaves_first(events: list[str]) -> None:
    models = Models(25 * MIB)
    a, b, c = (heavy(models, n) for n in "abc")
    assert a([{}]) == ["a"] and b([{}]) == ["b"] and a([{}]) == ["a"]
    assert models.loaded() == {"a": 10 * MIB, "b": 10 * MIB}
    events.clear()
    assert c([{}]) == ["c"]
    assert events == ["unload b", "begin c", "end c"]
    assert set(models.loaded()) == {"a", "c"}
    assert b([{}]) == ["b"]  # built again, in the place of what was used before the others
    assert events[3:] == ["unload a", "build b", "begin b", "end b"]


def test_one_large_model_takes_the_place_of_several_small_ones() -> None:
    models = Models(30 * MIB)
    for name in "abc":
        heavy(models, name)([{}])
    assert heavy(models, "large", 25)([{}]) == ["large"]
    assert models.loaded() == {"large": 25 * MIB}


def test_without_a_budget_all_stay() -> None:
    models = Models()
    for name in "abcdef":
        heavy(models, name, 1000)([{}])
    assert set(models.loaded()) == set("abcdef")


def test_what_is_larger_than_the_budget_is_refused_in_words() -> None:
    with pytest.raises(ToolError, match=r"large takes 30 MiB.*budget of 20 MiB"):
        heavy(Models(20 * MIB), "large", 30)([{}])


def test_what_is_in_use_never_leaves(events: list[str]) -> None:
    models = Models(15 * MIB)
    busy, other = heavy(models, "busy", wait=True), heavy(models, "other")
    first = threading.Thread(target=busy, args=([{}],))
    first.start()
    until(lambda: "begin busy" in events)
    second = threading.Thread(target=other, args=([{}],))
    second.start()
    time.sleep(0.05)
    assert "begin other" not in events and set(models.loaded()) == {"busy"}
    Heavy.go.set()
    first.join()
    second.join()
    assert events[-4:] == ["end busy", "unload busy", "begin other", "end other"]


def test_loading_one_holds_no_other_up(events: list[str]) -> None:
    models = Models(100 * MIB)
    slow, quick = heavy(models, "slow", wait=True), heavy(models, "quick")
    thread = threading.Thread(target=slow, args=([{}],))
    thread.start()
    until(lambda: "begin slow" in events)
    assert quick([{}]) == ["quick"]
    Heavy.go.set()
    thread.join()


def test_many_threads_stay_within_the_budget(events: list[str]) -> None:
    models = Models(30 * MIB)
    backends = [heavy(models, str(i), 5 + 3 * i) for i in range(6)]
    most: list[int] = []

    def work(start: int) -> None:
        for i in range(20):
            assert backends[(start + i) % 6]([{}]) == [str((start + i) % 6)]
            most.append(sum(models.loaded().values()))

    threads = [threading.Thread(target=work, args=(s,)) for s in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 120 and max(most) <= 30 * MIB


def test_sizes_are_measured_and_shared_weights_count_once(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x" * 3000)
    (tmp_path / "config.json").write_text("{}")
    models = Models()
    one = models.get(Measured, (("model", str(tmp_path)),), "one")
    two = models.get(Measured, (("model", f"{tmp_path}/"),), "two")
    three = models.get(Measured, (("model", str(tmp_path / "model.safetensors")),), "three")
    assert one is not two and one is models.get(Measured, (("model", str(tmp_path)),), "again")
    for backend in (one, two, three):
        backend([{}])
    assert models.loaded() == {"one": 3000, "three": 3000}


def test_weights_that_come_with_the_first_call_are_measured_after_it(tmp_path: Path) -> None:
    models = Models()
    late = models.get(Measured, (("model", str(tmp_path / "late.onnx")),), "late")
    assert models.loaded() == {}
    (tmp_path / "late.onnx").write_bytes(b"x" * 70)
    late([{}])
    assert models.loaded() == {"late": 70}


def test_the_host_calls_managed_backends_like_others() -> None:
    models = Models()
    registry = REGISTRY | [weigh]
    config = Config.of({"tools": {"weigh": {"backend": "heavy", "name": "chosen", "mib": 7}}})
    host = Host(registry, config, loader=models)
    assert host.new_run().call(weigh, picture()) == "chosen"
    assert models.loaded() == {"weigh:heavy": 7 * MIB}
    with pytest.raises(ToolError, match="no backend 'light'"):
        weigh.load("light", loader=models)


def test_hosts_share_the_backends_of_one_loader() -> None:
    loader = BackendLoader()
    hosts = [Host(Registry([weigh]), loader=loader) for _ in range(2)]
    assert hosts[0].batcher(weigh).backend is hosts[1].batcher(weigh).backend is weigh.load(loader=loader)
    assert weigh.load(loader=loader) is not weigh.load()


def test_wrong_options_are_told_of_before_anything_loads() -> None:
    with pytest.raises(ConfigError, match="speed"):
        Host(Registry([width_at]), Config.of({"tools": {"width_at": {"speed": 3}}}))


def test_the_planner_of_a_server_knows_what_its_backends_can_see() -> None:
    tools = default_registry()
    plain = Host(tools).in_force
    managed = Host(tools, loader=Models()).in_force
    assert plain["detect"].sees.summary
    assert [tool.sees.summary for tool in managed.values()] == [tool.sees.summary for tool in plain.values()]


def test_backends_in_processes_are_managed_too() -> None:
    processes = ToolProcesses()
    try:
        models = Models(25 * MIB, processes)
        host = Host(hostile.REGISTRY, loader=models)
        said = host.new_run().call(hostile.rest, picture(), "a")
        assert not said.startswith(f"a {os.getpid()}") and host.batcher(hostile.rest).backend.at_once == 1
        run = Host(hostile.REGISTRY, Config(seconds=0.5), loader=models).new_run()
        with pytest.raises(RunEnded):
            run.call(hostile.rest, picture(), "sleep")
        assert time.monotonic() - run.started < 1.5
    finally:
        processes.pool.close()
