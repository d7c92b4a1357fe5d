"""`Agent.map` on one local Ray node: the same results as on threads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog.agent import Agent
from visprog.errors import ConfigError

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'visprog[ray]'")

WIDTH = "def answer(image):\n    return crop(image, Box(1, 0, 4, 4)).width + image.width\n"


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    """One node with two processors."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(8):
        picture(16 + i, 16).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_bytes(b"no picture")
    return tmp_path


def test_the_results_are_those_of_threads(folder: Path) -> None:
    options: dict[str, Any] = {"program": WIDTH, "jobs": 2}
    with Agent(FakePlanner(), {}) as agent:
        there, here = ([*agent.map("", folder, on=on, **options)] for on in ("ray", "threads"))  # type: ignore[arg-type]
        again = {r.image: r.answer.value for r in agent.map("", folder, on="ray", ordered=False, **options)}
    assert [(r.index, r.image, r.answer.status, r.answer.value, r.answer.message) for r in there] == [
        (r.index, r.image, r.answer.status, r.answer.value, r.answer.message) for r in here
    ]
    assert again == {f"{i}.png": None if i == 3 else 19 + i for i in range(8)}
    assert [c.tool for c in there[0].answer.trace] == ["crop"]


def test_what_other_machines_cannot_have_is_refused(folder: Path) -> None:
    with (
        Agent(FakePlanner(), {}, registry=REGISTRY) as agent,
        pytest.raises(ConfigError, match="extra_tools"),
    ):
        agent.map("", folder, program=WIDTH, on="ray")
    with (
        Agent(FakePlanner(), {}, record=folder / "run") as agent,
        pytest.raises(ConfigError, match="nothing is recorded"),
    ):
        agent.map("", folder, program=WIDTH, on="ray")
    with Agent(FakePlanner(), {}) as agent, pytest.raises(ConfigError, match="planned once"):
        agent.map("How wide?", folder, plan_each=True, on="ray")
