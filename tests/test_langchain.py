"""visprog's tools in LangChain: ids for values, one source for schemas, errors as text."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("langchain_core")

from visprog import Agent, Image, Region, Registry, tool
from visprog.errors import Refused, ToolError
from visprog.host import Host
from visprog.langchain import Workspace, ask_tool, langchain_tools
from visprog.planner.base import Plan
from visprog.values import Box


@tool
def halves(image: Image) -> list[Region]:
    """The left and the right half."""
    middle = image.width / 2
    boxes = Box(0, 0, middle, image.height), Box(middle, 0, image.width, image.height)
    return [Region(b, n, image=image) for b, n in zip(boxes, ("left", "right"), strict=True)]


@tool
def widths(regions: list[Region], factor: float = 1.0) -> list[float]:
    """Their widths, times a factor."""
    return [factor * r.width for r in regions]


@tool
def blind(image: Image) -> str:
    """Sees nothing."""
    raise Refused("nothing can be seen")


@pytest.fixture
def workspace() -> Workspace:
    workspace = Workspace()
    workspace.add(Image.open(np.zeros((10, 40, 3), np.uint8)))
    return workspace


@pytest.fixture
def host() -> Host:
    return Host(Registry([halves, widths, blind]))


def test_results_get_ids_that_later_calls_name(workspace: Workspace, host: Host) -> None:
    first, second, _ = langchain_tools(workspace, host)
    found = json.loads(first.invoke({"image": "image1"}))
    assert [f["id"] for f in found] == ["region1", "region2"]
    assert "left at (0, 0) to (20, 10)" in found[0]["what"]
    assert json.loads(second.invoke({"regions": ["region1", "region2"], "factor": 0.5})) == [10, 10]
    assert isinstance(workspace.values["region1"], Region)


def test_schemas_and_descriptions_are_the_registry_s(workspace: Workspace, host: Host) -> None:
    for made in langchain_tools(workspace, host):
        assert made.description == host.registry[made.name].description
        properties = host.registry[made.name].schema()["properties"]
        assert set(made.args) == set(properties)


def test_what_goes_wrong_is_told_to_the_model(workspace: Workspace, host: Host) -> None:
    tools = {t.name: t for t in langchain_tools(workspace, host)}
    assert "there is no value 'image9'" in tools["halves"].invoke({"image": "image9"})
    assert "nothing can be seen" in tools["blind"].invoke({"image": "image1"})
    with pytest.raises(ToolError, match="did you mean 'halves'"):
        langchain_tools(workspace, host, names=["halfes"])


def test_a_whole_question_as_one_tool(workspace: Workspace) -> None:
    class Planner:
        name = "fixed"

        def plan(self, task, *, feedback=None, n=1):
            return [Plan("def answer(image):\n    return halves(image)[0]\n", self.name)]

    with Agent(Planner(), registry=Registry([halves])) as agent:
        reply = json.loads(ask_tool(workspace, agent).invoke({"question": "Where?", "images": ["image1"]}))
    assert reply["status"] == "answered"
    assert reply["value"]["id"] in workspace.values
    assert "halves(image)" in reply["program"]
