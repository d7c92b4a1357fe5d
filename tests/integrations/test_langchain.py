"""visprog's tools in LangChain: ids for values, one source for schemas, errors as text."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("langchain_core")

from visprog import Agent, Image, Region, Registry, tool
from visprog.config import Config
from visprog.errors import Refused, ToolError
from visprog.integrations.langchain import MAX_IMAGES, ask_tool, langchain_tools
from visprog.planner.base import Plan
from visprog.runtime.host import Host
from visprog.runtime.workspace import Workspace
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
    assert isinstance(workspace["region1"], Region)


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

        def plan(self, request, *, failed=None, n=1):
            return [Plan("def answer(image):\n    return halves(image)[0]\n", self.name)]

    with Agent(Planner(), registry=Registry([halves])) as agent:
        reply = json.loads(ask_tool(workspace, agent).invoke({"question": "Where?", "images": ["image1"]}))
    assert reply["status"] == "answered"
    assert reply["value"]["id"] in workspace
    assert "halves(image)" in reply["program"]


@tool
def named(
    regions: dict[str, Region], which: str | Region = "left", only: tuple[Region, int] | None = None
) -> str:
    """Which of them."""
    return f"{which}, {sorted(regions)}, {only}"


@tool
def odd(image: Image) -> float:
    """No number, or worse."""
    if image.width == 40:
        return math.nan
    raise SystemExit(3)


class Planner:
    name = "fixed"

    def plan(self, task: Any, **options: Any) -> list[Plan]:
        if "fall" in task.question:
            raise RuntimeError("the planner fell over")
        return [Plan("def answer(images):\n    return len(images)\n", self.name)]


@pytest.fixture
def agent() -> Iterator[Agent]:
    with Agent(Planner(), registry=Registry([halves])) as made:
        yield made


def call(tool: Any, given: Any, asynchronous: bool) -> Any:
    return json.loads(asyncio.run(tool.ainvoke(given)) if asynchronous else tool.invoke(given))


WRONG: list[tuple[Any, str]] = [
    ({}, "needs the argument 'question'"),
    ({"question": "How many?"}, "needs the argument 'images'"),
    ({"images": ["image1"]}, "needs the argument 'question'"),
    ({"question": 3, "images": ["image1"]}, "'question': must be str, not int"),
    ({"question": "Q?", "images": "image1"}, "'images': must be list[Image], not str"),
    ({"question": "Q?", "images": None}, "'images': must be list[Image], not None"),
    ({"question": "Q?", "images": {"image1": 0}}, "'images': must be list[Image], not dict"),
    ({"question": "Q?", "images": [3]}, "must be the id of a value of type Image, not int"),
    ({"question": "Q?", "images": [["image1"]]}, "must be the id of a value of type Image, not list[str]"),
    ({"question": "Q?", "images": ["region1"]}, "must be Image, and 'region1' is Region"),
    ({"question": "Q?", "images": ["imgae1"]}, "there is no value 'imgae1'; did you mean 'image1'?"),
    ({"question": "Q?", "images": ["x"]}, "there is no value 'x'; there are image1, region1"),
    ({"question": "Q?", "images": []}, "at least one"),
    ({"question": " ", "images": ["image1"]}, "the question is empty"),
    ({"question": "Q?", "images": ["image1"] * (MAX_IMAGES + 1)}, f"{MAX_IMAGES} images at most"),
    ({"question": "Q?", "images": ["image1"], "color": 1}, "no argument 'color'"),
    ({"question": "Q?", "images": ["image1"], "config": {}}, "no argument 'config'"),
    ({"question": "Q?", "images": ["image1"], "run_manager": 1}, "no argument 'run_manager'"),
    ({"question": "Q?", "images": ["image1"], "self": 1}, "'self'"),
    ({"question": "fall over", "images": ["image1"]}, "the planner fell over"),
    ("How many?", "takes an object of its arguments, not str"),
    (["image1"], "takes an object of its arguments, not list[str]"),
    (None, "takes an object of its arguments, not None"),
]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(("given", "error"), WRONG, ids=lambda v: str(v)[:40])
def test_a_wrong_question_is_told_to_the_model(
    workspace: Workspace, agent: Agent, given: Any, error: str, asynchronous: bool
) -> None:
    workspace.add(Region(Box(0, 0, 1, 1)))
    reply = call(ask_tool(workspace, agent), given, asynchronous)
    assert reply.keys() == {"error"} and error in reply["error"]


@pytest.mark.parametrize("wrap", [list, lambda p: {p[0]: 0}, lambda p: p[0]])
def test_no_path_is_opened(workspace: Workspace, agent: Agent, host: Host, tmp_path: Path, wrap: Any) -> None:
    path = str(tmp_path / "private.png")
    Image.open(np.zeros((10, 40, 3), np.uint8)).save(path)
    for made in (ask_tool(workspace, agent), *langchain_tools(workspace, host)):
        for name in made.args:
            others = {n: "image1" for n in made.args if n != name}
            assert "error" in json.loads(made.invoke({**others, name: wrap([path])}))
    assert workspace.ids == ["image1"]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("name", "given", "error"),
    [
        ("halves", {}, "needs the argument 'image'"),
        ("halves", {"imag": "image1"}, "did you mean 'image'?"),
        ("halves", {"image": {"image1": 1}}, "must be the id of a value of type Image, not dict"),
        ("halves", {"image": "region1"}, "must be Image, and 'region1' is Region"),
        ("widths", {"regions": "region1"}, "must be list[Region], not str"),
        ("widths", {"regions": {"region1": 1}}, "must be list[Region], not dict"),
        ("widths", {"regions": ["region1"], "factor": "2"}, "'factor': must be float, not str"),
        ("named", {"regions": ["region1"]}, "must be dict[str, Region], not list[str]"),
        ("named", {"regions": {"a": "image1"}}, "must be Region, and 'image1' is Image"),
        ("named", {"regions": {}, "which": 3}, "'which': must be str | Region, not int"),
        ("named", {"regions": {}, "only": ["region1"]}, "'only': must be "),
        ("named", {"regions": {}, "only": ["regoin1", 1]}, "did you mean 'region1'?"),
        ("odd", {"image": "image2"}, "SystemExit"),
        ("odd", "image1", "takes an object of its arguments"),
    ],
)
def test_a_wrong_call_is_told_to_the_model(
    workspace: Workspace, name: str, given: Any, error: str, asynchronous: bool
) -> None:
    workspace.add(Region(Box(0, 0, 1, 1)))
    workspace.add(Image.open(np.zeros((4, 4, 3), np.uint8)))
    host = Host(Registry([halves, widths, named, odd]))
    (made,) = langchain_tools(workspace, host, names=[name])
    reply = call(made, given, asynchronous)
    assert reply.keys() == {"error"} and error in reply["error"]


def test_values_inside_of_others_are_named_too(workspace: Workspace) -> None:
    workspace.add(Region(Box(0, 0, 1, 1), "dog"))
    which, strange = langchain_tools(workspace, Host(Registry([named, odd])))
    given = {"regions": {"a": "region1"}, "only": ["region1", 3]}
    assert json.loads(which.invoke(given)).startswith("left, ['a'], (Region")
    assert json.loads(which.invoke({**given, "which": "region1"})).startswith("Region")
    assert json.loads(which.invoke({**given, "which": "region9"})).startswith("region9")
    assert json.loads(strange.invoke({"image": "image1"})) == "nan"
    assert workspace.to_json({"a": [workspace["region1"]]})["a"][0]["id"] == "region2"


def test_a_conversation_is_longer_than_the_budget_of_a_program(workspace: Workspace) -> None:
    first, *_ = langchain_tools(workspace, Host(Registry([halves]), Config(calls=2)))
    assert all("error" not in json.loads(first.invoke({"image": "image1"})) for _ in range(4))


def test_ids_made_at_once_differ(workspace: Workspace) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda n: workspace.add(Region(Box(0, 0, n + 1, 1))), range(200)))
    assert len(set(ids)) == 200 and {workspace[i].width for i in ids} == set(range(1, 201))


def test_an_agent_goes_on_after_wrong_calls(workspace: Workspace, agent: Agent) -> None:
    agents = pytest.importorskip("langchain.agents")
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage

    class Model(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **options: Any) -> Any:
            return self

    given = [g for g, _ in WRONG if isinstance(g, dict)] + [
        {"question": "Q?", "images": ["image1", "image1"]}
    ]
    calls = [{"name": "ask_image", "args": g, "id": str(i), "type": "tool_call"} for i, g in enumerate(given)]
    for asynchronous in (False, True):
        model = Model(messages=iter([AIMessage("", tool_calls=calls), AIMessage("done")]))
        made = agents.create_agent(model, [ask_tool(workspace, agent)])
        start = {"messages": [("user", "Q?")]}
        said = asyncio.run(made.ainvoke(start)) if asynchronous else made.invoke(start)
        replies = [json.loads(m.content) for m in said["messages"] if m.type == "tool"]
        assert ["error" in r for r in replies] == [True] * (len(given) - 1) + [False]
        assert replies[-1]["value"] == 2 and said["messages"][-1].content == "done"
