"""When a run ends, beside how: at most a second after its limit, by every way in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.clock import ends_within
from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog import Agent

ENDLESS = {
    "busy": """
def answer(image):
    while True:
        pass
""",
    "deaf": """
def answer(image):
    while True:
        try:
            x = 1 + 1
        except:
            pass
""",
    "calling": """
def answer(image):
    n = 0
    while True:
        n += len(str(crop(image, detect(image, 'dog')[0])))
""",
    "inside C": """
def answer(image):
    return sum(range(10 ** 14))
""",
}
"""Programs that never end by themselves."""
SECONDS = 1.5


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    settings = {"seconds": SECONDS, "calls": 1_000_000, "in_process": True}
    with Agent(FakePlanner(*[ENDLESS["busy"]] * 9), settings, registry=REGISTRY, standby=4) as made:
        made.sandbox.warm()
        yield made


@pytest.mark.parametrize("name", ENDLESS)
def test_a_program_ends_with_its_time(agent: Agent, name: str) -> None:
    agent.sandbox.warm()
    with ends_within(SECONDS):
        answer = agent.run(ENDLESS[name], picture())
    assert answer.status == "error" and ("ended" in answer.message or "1.5 s" in answer.message)


def test_each_image_of_a_map_ends_with_its_time(agent: Agent, tmp_path: Path) -> None:
    images = []
    for number in range(4):
        images.append(tmp_path / f"{number}.png")
        picture().save(images[-1])
    agent.sandbox.warm()
    with ends_within(2 * SECONDS):  # two at a time
        results = list(agent.map("", images, program=_file(tmp_path), jobs=2, progress=False))
    assert [result.answer.status for result in results] == ["error"] * 4


def test_a_request_is_answered_in_time(agent: Agent) -> None:
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    pytest.importorskip("python_multipart")
    from tests.server.local import request, running
    from visprog.server.app import Service
    from visprog.server.limits import RequestLimits
    from visprog.server.queue import RequestQueue
    from visprog.server.shares import Shares

    service = Service(agent, RequestQueue(2, 2), RequestLimits(seconds=0.5))
    with running(service, Shares(9)) as served, ends_within(0.5):
        assert served.send(request(ENDLESS["busy"]))[0] == 504


def _file(folder: Path) -> Path:
    path = folder / "program.py"
    path.write_text(ENDLESS["busy"])
    return path
