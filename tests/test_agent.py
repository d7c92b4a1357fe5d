"""The agent: from a question to an answer, and every way in which there is none."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog import agent as agent_module
from visprog.agent import Agent
from visprog.answer import Answer
from visprog.config import Config, ToolConfig
from visprog.errors import (
    ConfigError,
    ImageError,
    MissingExtra,
    PlannerError,
    Refused,
    ToolDefinitionError,
    VisprogError,
)
from visprog.planner.base import mends_refusals
from visprog.planner.embedded.planner import EmbeddedPlanner
from visprog.registry import Registry, default_registry, tool
from visprog.sandbox import SandboxUnavailable
from visprog.values import Region
from visprog.values.image import Image

COUNT = 'def answer(image):\n    return len(detect(image, "dog"))\n'
WRONG = 'def answer(image):\n    return len(detekt(image, "dog"))\n'
FAILS = (
    'def answer(image):\n    detect(image, "dog")[0].label + read_text(image)\n    return crash_it(image)\n'
)

Make = Callable[..., Agent]


@pytest.fixture
def make() -> Iterator[Make]:
    """Agents on the small tools: `make("program", "the next program", config={…})`."""
    made: list[Agent] = []

    def new(*programs: str, config: Any = None, registry: Registry = REGISTRY, planner: Any = None) -> Agent:
        made.append(Agent(planner or FakePlanner(*programs), config or {}, registry=registry))
        return made[-1]

    yield new
    for agent in made:
        agent.close()


def test_ask(make: Make) -> None:
    answer = make(COUNT).ask("How many dogs?", picture())
    assert (answer.status, answer.value, answer.message) == ("answered", 2, "")
    assert (answer.question, answer.program, answer.planner) == ("How many dogs?", COUNT, "fake")
    assert answer.tokens == 15 and answer.seconds > 0 and answer.level in ("kernel", "process")
    (call,) = answer.trace
    assert (call.tool, call.line, len(call.result)) == ("detect", 2, 2)
    assert str(answer) == "2"
    with pytest.raises(TypeError, match=r"use answer\.value"):
        bool(answer)


def test_pictures_are_read_as_image_open_reads_them(make: Make, tmp_path: Path) -> None:
    picture().save(tmp_path / "p.png")
    agent = make(COUNT, COUNT, COUNT)
    for source in (tmp_path / "p.png", str(tmp_path / "p.png"), (tmp_path / "p.png").read_bytes()):
        assert agent.ask("How many?", source).value == 2
    with pytest.raises(ImageError, match="no such file"):
        agent.ask("How many?", tmp_path / "nope.png")
    with pytest.raises(ImageError, match="is a URL"):
        agent.ask("How many?", "https://example.org/p.png")


def test_what_must_be_given(make: Make) -> None:
    with pytest.raises(VisprogError, match="at least one image"):
        make(COUNT).ask("How many?")
    with pytest.raises(VisprogError, match="question is empty"):
        make(COUNT).ask("  ", picture())


def test_run_source_and_file(make: Make, tmp_path: Path) -> None:
    agent = make()
    (tmp_path / "count.py").write_text(COUNT)
    for program in (COUNT, tmp_path / "count.py", str(tmp_path / "count.py")):
        answer = agent.run(program, picture())
        assert (answer.status, answer.value, answer.question) == ("answered", 2, "")
    with pytest.raises(VisprogError, match="cannot read the program"):
        agent.run("nope.py", picture())


def test_plan_runs_nothing(make: Make) -> None:
    agent = make(COUNT)
    assert agent.plan("How many dogs?").program == COUNT
    assert agent.planner.asked[0][0].images == 1  # type: ignore[attr-defined]


def test_returns(make: Make) -> None:
    agent = make(COUNT)
    assert agent.run(COUNT, picture(), returns=int).status == "answered"
    wrong = agent.run(COUNT, picture(), returns=bool)
    assert wrong.status == "error" and "return-type" in wrong.message
    # What the check cannot tell, the run does.
    late = 'def answer(image):\n    return {"a": 1, "b": "x"}[read_text(image)[0:0] + "b"]\n'
    answer = agent.run(late, picture(), returns=int)
    assert answer.status == "error" and "int" in answer.message


def test_several_pictures(make: Make) -> None:
    agent = make()
    small, large = picture(30, 20), picture(50, 20)
    by_name = "def answer(before, after):\n    return after.width - before.width\n"
    as_list = "def answer(images):\n    return [i.width for i in images]\n"
    assert agent.run(by_name, small, large).value == 20
    assert agent.run(as_list, small, large).value == [30, 50]
    assert agent.run(as_list, small).value == [30]
    assert agent.run("return image.width + len(images)", small, large).value == 32


@pytest.mark.parametrize(
    ("program", "count", "message"),
    [
        (
            "def answer(before, after):\n    return 1\n",
            1,
            r"takes 2 images \(before, after\), and one was given",
        ),
        ("def answer(image):\n    return 1\n", 2, "takes one image .*2 were given; .*def answer.images"),
        ("def answer(image):\n    return 1\n", 0, "none was given"),
    ],
)
def test_another_number_of_pictures(make: Make, program: str, count: int, message: str) -> None:
    import re

    answer = make().run(program, *[picture()] * count)
    assert answer.status == "error" and re.search(message, answer.message)


def test_async_twins(make: Make) -> None:
    agent = make(COUNT, COUNT)

    async def both() -> tuple[Any, ...]:
        return await asyncio.gather(
            agent.aask("How many?", picture()), agent.aplan("How many?"), agent.arun(COUNT, picture())
        )

    asked, planned, ran = asyncio.run(both())
    assert asked.value == ran.value == 2 and planned.program == COUNT


def test_repair_after_the_check(make: Make) -> None:
    agent = make(WRONG, COUNT)
    answer = agent.ask("How many dogs?", picture())
    assert (answer.status, answer.value) == ("answered", 2)
    assert [s.program for s in answer.steps] == [WRONG, COUNT]
    assert "detect" in str(answer.steps[0].diagnostics)
    assert agent.planner.asked[1][1].program == WRONG  # type: ignore[attr-defined]


def test_repair_after_the_run(make: Make) -> None:
    fails = "def answer(image):\n    return int(read_text(image))\n"
    agent = make(fails, COUNT)
    answer = agent.ask("What number?", picture())
    assert (answer.status, answer.value) == ("answered", 2)
    assert "ValueError" in answer.steps[0].feedback and answer.steps[0].feedback.startswith("line 2")
    assert len(answer.trace) == 1  # of the program that answered


def test_repair_is_bounded(make: Make) -> None:
    programs = [f'def answer(image):\n    return detekt(image, "{i}")\n' for i in range(9)]
    agent = make(*programs, config={"repairs": 3})
    answer = agent.ask("How many?", picture())
    assert answer.status == "error" and "fails its check" in answer.message
    assert len(agent.planner.asked) == 4  # type: ignore[attr-defined]
    assert not answer.trace


def test_votes(make: Make) -> None:
    programs = [f"def answer(image):\n    return {n}\n" for n in (3, 5, 5)]
    answer = make(*programs, config={"votes": 3}).ask("How many?", picture())
    assert (answer.value, answer.program) == (5, programs[1])
    assert answer.probability == pytest.approx(2 / 3)


UNICORNS = 'def answer(image):\n    return len(detect(image, "unicorn"))\n'
GHOST = 'def answer(image):\n    return largest(detect(image, "ghost")).label\n'
NO_UNICORN = "no unicorn can be seen here: install a detector of unicorns"
EMPTY = "largest was given an empty list"


@pytest.mark.parametrize("error", ["ToolError", "Exception"])
def test_a_program_may_catch_a_refusal(make: Make, error: str) -> None:
    program = (
        "def answer(image):\n    try:\n        return len(detect(image, 'unicorn'))\n"
        f"    except {error}:\n        return len(detect(image, 'horse'))\n"
    )
    agent = make(program, COUNT)
    answer = agent.ask("How many unicorns?", picture())
    assert (answer.status, answer.value, answer.message) == ("answered", 2, "")
    assert [(c.arguments["what"], c.error) for c in answer.trace] == [("unicorn", NO_UNICORN), ("horse", "")]
    assert len(agent.planner.asked) == 1  # type: ignore[attr-defined]


def test_a_refusal_that_is_caught_and_raised_again_is_one(make: Make) -> None:
    program = "try:\n    n = len(detect(image, 'unicorn'))\nexcept ToolError as e:\n    raise\nreturn n\n"
    answer = make().run(program, picture())
    assert (answer.status, answer.message) == ("refused", NO_UNICORN)
    instead = program.replace("    raise\n", "    raise ValueError('none of them')\n")
    answer = make().run(instead, picture())
    assert (answer.status, answer.message) == ("error", "line 4: ValueError: none of them")


def test_a_missing_extra_is_refused_and_may_be_caught(make: Make) -> None:
    @tool
    def depth(image: Image) -> int:
        """How far away it is."""
        raise MissingExtra("depth", "hf")

    agent = make(registry=REGISTRY | [depth])
    refused = agent.run("return depth(image)", picture())
    assert refused.status == "refused" and refused.message.endswith("pip install 'visprog[hf]'")
    caught = agent.run(
        "try:\n    return depth(image)\nexcept ToolError:\n    return image.width\n", picture()
    )
    assert (caught.status, caught.value) == ("answered", 60)


@pytest.mark.parametrize(
    ("program", "told", "message"),
    [
        (UNICORNS, f"line 2: Refused: {NO_UNICORN}", NO_UNICORN),
        (GHOST, f"line 2: NothingFound: {EMPTY}", f"line 2: {EMPTY}"),
    ],
)
def test_what_is_refused_goes_back_to_the_planner(make: Make, program: str, told: str, message: str) -> None:
    agent = make(program, COUNT)
    answer = agent.ask("How many?", picture())
    assert (answer.status, answer.value, answer.program) == ("answered", 2, COUNT)
    step, _ = answer.steps
    assert step.program == program and step.feedback.startswith(told)
    assert agent.planner.asked[1][1] == step  # type: ignore[attr-defined]
    # Who runs a program of one's own is told at once, as before.
    answer = agent.run(program, picture())
    assert answer.status == "refused" and answer.message.startswith(message) and len(answer.steps) == 1


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (GHOST, f"line 2: {EMPTY}: nothing was found to choose from"),
        ("def answer(image):\n    return int(read_text(image))\n", "line 2: ValueError: invalid literal"),
    ],
)
def test_where_no_program_answers_the_first_refusal_stands(make: Make, last: str, why: str) -> None:
    answer = make(UNICORNS, last, config={"repairs": 1}).ask("How many?", picture())
    assert (answer.status, answer.message, answer.program) == ("refused", NO_UNICORN, UNICORNS)
    assert [c.error for c in answer.trace] == [NO_UNICORN]
    step, stands = answer.steps
    assert step.program == last and step.message.startswith(why)
    assert (stands.program, stands.status) == (UNICORNS, "refused")
    assert answer.tokens == 30


def test_a_refusal_after_an_error_is_what_is_said(make: Make) -> None:
    fails = "def answer(image):\n    return int(read_text(image))\n"
    answer = make(fails, UNICORNS).ask("How many?", picture())
    assert (answer.status, answer.message) == ("refused", NO_UNICORN)
    assert [s.program for s in answer.steps] == [fails, UNICORNS]


def test_repairs_after_refusals_are_bounded(make: Make) -> None:
    agent = make(*[UNICORNS + f"# {i}\n" for i in range(9)], config={"repairs": 3})
    answer = agent.ask("How many?", picture())
    assert len(agent.planner.asked) == 4  # type: ignore[attr-defined]
    assert (answer.status, answer.message) == ("refused", NO_UNICORN)
    assert [s.program[-4:] for s in answer.steps] == ["# 1\n", "# 2\n", "# 3\n", "# 0\n"]
    none = make(UNICORNS, COUNT, config={"repairs": 0}).ask("How many?", picture())
    assert (none.status, len(none.steps)) == ("refused", 1)


def test_the_planner_may_give_up_after_a_refusal(make: Make) -> None:
    class GivesUp(FakePlanner):
        def plan(self, request: Any, *, failed: Any = None, n: int = 1) -> Any:
            if failed is not None:
                raise Refused("fake says that the tools cannot answer this: they know no unicorns")
            return super().plan(request, n=n)

    answer = make(planner=GivesUp(UNICORNS)).ask("How many?", picture())
    assert (answer.status, answer.message, answer.program) == ("refused", NO_UNICORN, UNICORNS)
    step, _ = answer.steps
    assert step.program == "" and step.message.endswith("they know no unicorns")


def test_a_planner_that_would_guess_is_not_asked_again(make: Make) -> None:
    planner = FakePlanner(UNICORNS, COUNT)
    planner.mends_refusals = False  # type: ignore[attr-defined]
    answer = make(planner=planner).ask("How many?", picture())
    assert (answer.status, answer.message, len(answer.steps)) == ("refused", NO_UNICORN, 1)
    assert len(planner.asked) == 1
    fails = FakePlanner("def answer(image):\n    return int(read_text(image))\n", COUNT)
    fails.mends_refusals = False  # type: ignore[attr-defined]
    assert make(planner=fails).ask("How many?", picture()).value == 2  # an error is mended
    assert not mends_refusals(EmbeddedPlanner())


def test_refusals_are_mended_in_votes_and_without_blocking(make: Make) -> None:
    agent = make(UNICORNS, COUNT, COUNT + "# mended\n", config={"votes": 2})
    answer = asyncio.run(agent.aask("How many?", picture()))
    assert (answer.value, answer.probability) == (2, 1.0)
    assert len(agent.planner.asked) == 2  # type: ignore[attr-defined]


def test_nothing_found_is_refused(make: Make) -> None:
    answer = make().run(GHOST, picture())
    assert answer.status == "refused" and answer.message.startswith(f"line 2: {EMPTY}")


def test_a_planner_that_cannot(make: Make) -> None:
    class Unsure:
        name = "unsure"

        def __init__(self, error: Exception) -> None:
            self.error = error

        def plan(self, request: Any, *, failed: Any = None, n: int = 1) -> Any:
            raise self.error

    answer = make(planner=Unsure(Refused("ask a language model"))).ask("Why?", picture())
    assert (answer.status, answer.message, answer.planner) == ("refused", "ask a language model", "unsure")
    answer = make(planner=Unsure(PlannerError("no key"))).ask("Why?", picture())
    assert (answer.status, answer.message) == ("error", "no key")
    with pytest.raises(PlannerError):
        make(planner=Unsure(PlannerError("no key"))).plan("Why?")


def test_a_tool_that_fails_can_be_caught(make: Make) -> None:
    agent = make()
    caught = (
        "def answer(image):\n    try:\n        detect(image, 'crash')\n"
        "    except Exception:\n        return 'caught'\n    return 'no'\n"
    )
    assert agent.run(caught, picture()).value == "caught"
    answer = agent.run("def answer(image):\n    return len(detect(image, 'crash'))\n", picture())
    assert answer.status == "error"
    assert answer.message == "line 2: ToolError: detect failed: RuntimeError: the detector fell over"


def test_budgets(make: Make) -> None:
    many = "def answer(image):\n    return [len(detect(image, str(i))) for i in range(9)]\n"
    answer = make(config={"calls": 5}).run(many, picture())
    assert answer.status == "error" and "more than 5 tool calls" in answer.message
    assert len(answer.trace) == 5


def test_a_killed_program_is_an_error_and_the_next_question_runs(make: Make) -> None:
    agent = make()
    greedy = "def answer(image):\n    x = 'a'\n    while True:\n        x = x + x\n    return x\n"
    answer = agent.run(greedy, picture())
    assert answer.status == "error" and "was ended" in answer.message
    assert agent.run(COUNT, picture()).value == 2


def test_an_edited_picture_is_an_answer(make: Make) -> None:
    answer = make().run("def answer(image):\n    return invert(image)\n", picture(value=200))
    assert isinstance(answer.value, Image) and int(answer.value.pixels.max()) == 235
    assert str(answer) == "an image of 60 x 40 pixels"


def test_a_crop_knows_its_place_in_the_whole_picture(make: Make) -> None:
    program = (
        "part = crop(image, detect(image, 'dog')[1])\nreturn [part.box.left, part.box.center.y, part.width]\n"
    )
    assert make().run(program, picture()).value == [30, 15, 10]


def test_no_answer_at_the_end(make: Make) -> None:
    answer = make().run(
        'def answer(image):\n    if read_text(image) == "GO":\n        return 1\n    return None\n', picture()
    )
    assert answer.status == "error" and "without an answer" in answer.message


def test_what_is_printed_is_kept(make: Make) -> None:
    answer = make().run("def answer(image):\n    print('hello', image.width)\n    return 1\n", picture())
    assert answer.stdout == "hello 60\n"


def test_fallback_is_visible(make: Make) -> None:
    @tool
    def vqa(image: Image | Region, question: str) -> str:
        """Answers."""
        return "a guess"

    registry = REGISTRY | [vqa]
    silent = make(registry=registry, config={"fallback": False}).ask("Why?", picture())
    assert silent.status == "error"
    answer = make(registry=registry, config={"fallback": True}).ask("Why?", picture())
    assert (answer.status, answer.value) == ("fallback", "a guess")
    assert "the vqa tool was asked plainly" in answer.message
    assert [c.tool for c in answer.trace] == ["vqa"] and answer.trace[0].arguments["question"] == "Why?"


def test_what_a_trial_only_doubts_is_planned_and_run(make: Make) -> None:
    """The trial's warnings stop neither a plan nor a program of one's own: `check` and `run` agree."""
    letters = 'def answer(image):\n    return {"STOP": 1, "GO": 2}[read_text(image)]\n'
    between = (
        "def answer(image):\n    a, b = detect(image, 'dog')\n    return Box(a.right, 0, b.left, 10).width\n"
    )
    for program, value in ((letters, 1), (between, 10)):
        agent = make(program)
        answer = agent.ask("?", picture())
        assert (answer.status, answer.value, len(answer.steps)) == ("answered", value, 1)
        assert [(d.code, d.severity) for d in answer.diagnostics] == [("may-fail", "warning")]
        assert agent.run(program, picture()).value == value


def test_where_no_sandbox_can_start(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make(COUNT)

    def unavailable(*_: Any, **__: Any) -> Any:
        raise SandboxUnavailable("no worker starts")

    monkeypatch.setattr(agent.sandbox, "run", unavailable)
    for answer in (agent.ask("How many?", picture()), agent.run(COUNT, picture())):
        assert answer.status == "error" and answer.message == "no program can be run here: no worker starts"


def test_configuration_of_an_agent(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("votes = 3\n")
    planner = FakePlanner(COUNT)
    for given, votes in ((Config(votes=2), 2), ({"votes": 4}, 4), (tmp_path / "settings.toml", 3)):
        with Agent(planner, given, registry=REGISTRY) as agent:
            assert agent.config.votes == votes
    with pytest.raises(ConfigError, match="must be a Config, a path or a mapping"):
        Agent(planner, 3, registry=REGISTRY)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no such tool"):
        Agent(planner, {"tools": {"detct": {"backend": "x"}}}, registry=REGISTRY)
    with pytest.raises(ConfigError, match="there is no planner"):
        Agent("nonsense", {}, registry=REGISTRY)


def test_ask_without_an_agent(monkeypatch: pytest.MonkeyPatch, make: Make) -> None:
    import visprog

    agent = make(COUNT)
    monkeypatch.setattr(agent_module, "_default_agent", lambda: agent)
    assert visprog.ask("How many dogs?", picture()).value == 2


class Found:
    """A detector of the user's."""

    def __init__(self, label: str = "thing") -> None:
        self.label = label

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return [[c["image"].region((1, 1, 5, 5), self.label)] for c in calls]


FOUND = Found("ready")


class Uncallable:
    """A class that lacks what a backend needs."""


@pytest.mark.parametrize(
    ("backend", "label"),
    [
        (Found, "thing"),
        (Found("mine"), "mine"),
        (f"{__name__}:Found", "thing"),
        ({"backend": f"{__name__}:Found", "label": "x"}, "x"),
        ({"backend": Found, "label": "x"}, "x"),
        (f"{__name__}:FOUND", "ready"),
    ],
)
def test_backends_are_given_in_short(backend: Any, label: str) -> None:
    with Agent(backends={"detect": backend}) as agent:
        answer = agent.run('def answer(image):\n    return best(detect(image, "dog")).label\n', picture())
    assert answer.unwrap() == label
    assert default_registry()["detect"].default_backend != "Found"


@pytest.mark.parametrize(
    ("backends", "message"),
    [
        ("owlv2", "backends must map tools to backends"),
        (["detect=owlv2"], "backends must map tools to backends"),
        ({"detct": Found}, "no such tool; did you mean 'detect'"),
        ({"find_circles": Found}, "find_circles is a plain function and has no backends"),
        ({"detect": Uncallable}, "no method __call__"),
        ({"detect": f"{__name__}:Uncallable"}, "no method __call__"),
        ({"detect": Uncallable()}, "not Uncallable"),
        ({"detect": None}, "not NoneType"),
        ({"detect": "no_such_module:Found"}, "no backend, and no module, 'no_such_module'"),
        ({"detect": {"backend": Found, "lable": "x"}}, "no option 'lable'; did you mean 'label'"),
    ],
)
def test_backends_that_cannot_be_are_named_at_once(backends: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Agent(backends=backends)


def test_a_backend_that_returns_no_list_is_named() -> None:
    with Agent(backends={"detect": lambda calls: Found()}) as agent:
        answer = agent.run('def answer(image):\n    return detect(image, "dog")\n', picture())
    assert "returned tests.Found, not a list with the result of each call" in answer.message


@tool
def mean_level(image: Image) -> float:
    """Mean grey level."""
    return image.pixels.mean()  # type: ignore[no-any-return]


def plain(image: Image) -> int:
    """Not decorated."""
    return 1


@pytest.mark.parametrize(
    "tools",
    [
        mean_level,
        [mean_level],
        {"b": mean_level},
        __name__,
        [f"{__name__}:mean_level"],
        sys.modules[__name__],
    ],
)
def test_tools_are_given_in_short(tools: Any) -> None:
    with Agent(tools=tools) as agent:
        assert agent.registry["mean_level"] is mean_level
        assert "planner embedded" in repr(agent)


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        (plain, "plain is not a tool: decorate"),
        ([plain], "plain is not a tool: decorate"),
        ("my_tools.py", "by their module, 'my_tools'"),
        (["./tools/my_tools.py"], "by their module, 'my_tools'"),
    ],
)
def test_what_is_no_tool_is_named(tools: Any, message: str) -> None:
    with pytest.raises(ToolDefinitionError, match=message):
        Agent(tools=tools)


def test_a_plan_can_be_run(make: Make) -> None:
    agent = make(COUNT)
    assert agent.run(agent.plan("How many dogs?"), picture()).value == 2
    with pytest.raises(VisprogError, match="a program is its source or the path of its file, not function"):
        agent.run(plain, picture())  # type: ignore[arg-type]
    with pytest.raises(VisprogError, match="takes the number of images, such as images=2"):
        agent.plan("How many dogs?", [picture()])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("detect", "backends={'detect': …}"), ("image", "images follow the question"), ("vote", "'votes'")],
)
def test_arguments_that_do_not_exist_are_told_the_way(name: str, hint: str) -> None:
    with pytest.raises(TypeError, match=re.escape(hint)):
        agent_module.ask("How many?", **{name: "x"})


def test_settings_are_given_in_short() -> None:
    with Agent(
        backends={"vqa": "openai:m"}, allow_url=True, votes=2, config={"tools": {"detect": "onnx:a.onnx"}}
    ) as agent:
        assert (agent.config.allow_url, agent.config.votes) == (True, 2)
        assert agent.config.tools["detect"] == ToolConfig("onnx", {"model": "a.onnx"})
        assert agent.config.tools["vqa"] == ToolConfig("openai", {"model": "m"})
    with pytest.raises(TypeError, match=r"no argument 'backend'; did you mean 'backends'"):
        Agent(backend={"detect": "onnx"})
    with pytest.raises(ConfigError, match="no such tool; did you mean 'detect'"):
        Agent(backends={"detct": "onnx"})


@pytest.mark.parametrize(
    ("returns", "value"),
    [("int", 2), (int, 2), ("float", 2), ("bool", None), ("list", None), (list[int], None)],
)
def test_the_type_of_an_answer_by_name_or_as_a_type(make: Make, returns: Any, value: Any) -> None:
    assert make(COUNT, COUNT, COUNT).ask("How many?", picture(), returns=returns).value == value


def test_wrong_arguments_are_named(make: Make) -> None:
    agent = make(COUNT)
    for returns in ("integer", 3, complex):
        with pytest.raises(ConfigError, match="returns must be a type, or one of bool, int"):
            agent.ask("How many?", picture(), returns=returns)
    with pytest.raises(VisprogError, match="the question comes first"):
        agent.ask(picture(), "How many?")  # type: ignore[arg-type]
    with pytest.raises(VisprogError, match="the question comes first"):
        agent.ask("dog.png", "How many?")


def test_images_may_come_in_a_list(make: Make) -> None:
    program = "def answer(images):\n    return len(images)\n"
    agent = make(program, program)
    assert agent.ask("How many?", [picture(), picture()]).value == 2
    assert agent.run(program, picture(), (picture(), picture())).value == 3


def test_unwrap(make: Make) -> None:
    assert make(COUNT).ask("How many?", picture()).unwrap() == 2
    refused = make().run(UNICORNS, picture())
    assert not refused.ok
    with pytest.raises(Refused, match="no unicorn"):
        refused.unwrap()
    failed = make().run("def answer(image):\n    return 1 / 0\n", picture())
    with pytest.raises(VisprogError, match="ZeroDivisionError"):
        failed.unwrap()


def test_where_nothing_was_found_the_answer_says_what_was_looked_for(make: Make) -> None:
    answer = make().run(GHOST, picture())
    assert answer.message.endswith("(detect found no 'ghost')")


@tool
def framed(image: Image, regions: list[Region]) -> Image:
    """Marks regions."""
    return Image(image.pixels)


@pytest.mark.parametrize(
    ("program", "cautions"),
    [
        (
            'return framed(image, detect(image, "ghost"))',
            ["framed was given an empty list of regions: nothing was changed", "detect found no 'ghost'"],
        ),
        ('return len(detect(image, "ghost")) / 2', ["detect found no 'ghost'"]),
        ('return len(detect(image, "ghost"))', []),
        ('return framed(image, detect(image, "dog"))', []),
    ],
)
def test_an_answer_says_what_to_know_before_relying_on_it(
    make: Make, program: str, cautions: list[str]
) -> None:
    agent = make(registry=REGISTRY | [framed])
    answer = agent.run(f"def answer(image):\n    {program}\n", picture())
    assert answer.status == "answered" and list(answer.cautions) == cautions
    assert list(Answer.from_json(answer.to_json()).cautions) == cautions


def test_a_message_is_cut(make: Make) -> None:
    @tool
    def refuse(image: Image) -> int:
        """Refuses at length."""
        raise Refused("dog " * 60_000)

    answer = make(registry=REGISTRY | [refuse]).run(
        "def answer(image):\n    return refuse(image)\n", picture()
    )
    assert answer.status == "refused" and len(answer.message) < 600
    assert len(answer.trace[0].error) < 600


def test_a_run_leaves_no_image_to_the_garbage_collector() -> None:
    """It comes late in a server, where few objects are made and each image is large."""
    with Agent(FakePlanner(), registry=REGISTRY, cache=0, in_process=True) as agent:
        program = 'def answer(image):\n    return [len(detect(image, "dog")), invert(image)]\n'
        agent.run(program, picture())
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(3):
                assert agent.run(program, picture()).status == "answered"
            gc.collect()
            assert not [kept for kept in gc.garbage if isinstance(kept, Image)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
