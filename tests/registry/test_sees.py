"""The registry in force: what each tool can see, in the prompt, in planning and at run time."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.planner.conftest import ScriptedChat
from visprog.agent import Agent
from visprog.check import check
from visprog.cli import main
from visprog.commands import doctor
from visprog.config import Config
from visprog.planner import LLMPlanner, Plan, PlanRequest
from visprog.planner.examples import choose
from visprog.prompts import examples
from visprog.registry import Registry, chosen_registry, default_registry, tool
from visprog.registry.sees import Parsed, Sees
from visprog.runtime.host import Host
from visprog.runtime.steps import Step
from visprog.values.image import Image

ONNX: dict[str, Any] = {"tools": {"detect": {"backend": "onnx", "model": "none.onnx"}}}
BLANK = Image(np.full((40, 40, 3), 255, np.uint8))


def in_force(settings: dict[str, Any]) -> Registry:
    return Host(default_registry(), Config.of(settings)).in_force


def prompt(settings: dict[str, Any], question: str = "How many dogs are there?") -> str:
    messages = LLMPlanner(ScriptedChat()).prompt(PlanRequest(question, registry=in_force(settings)))
    return "\n".join(m["content"] for m in messages)


def fenced(body: str) -> str:
    return f"```python\ndef answer(image):\n    return {body}\n```"


# -- as data -------------------------------------------------------------------------------------------


def test_every_backend_that_can_be_made_says_what_it_sees_without_its_weights(tmp_path: Path) -> None:
    for name, each in default_registry().items():
        for backend in each.backends:
            settings: dict[str, Any] = {"backend": backend}
            if backend == "onnx":
                settings["model"] = str(tmp_path / "none.onnx")
            sees = in_force({"tools": {name: settings}})[name].sees
            assert isinstance(sees, Sees)
            assert not (sees.nothing and sees.summary)
            assert set(sees.phrases) <= {p.name for p in each.parameters}


def test_a_label_file_is_what_the_detector_sees(tmp_path: Path) -> None:
    labels = tmp_path / "mine.names"
    labels.write_text("raccoon\nred blood cell\n")
    settings = {"backend": "onnx", "model": "none.onnx", "labels": str(labels)}
    phrases = in_force({"tools": {"detect": settings}})["detect"].sees.phrases["what"]
    assert phrases.can_see("raccoons") and phrases.can_see("red blood cells") and not phrases.can_see("dog")


def test_the_face_network_sees_faces_alone(shared: Path) -> None:
    model = shared / "models" / "yunet_face.onnx"
    sees = in_force({"tools": {"detect": {"backend": "onnx", "model": str(model)}}})["detect"].sees
    assert sees.phrases["what"].can_see("faces") and not sees.phrases["what"].can_see("person")
    assert sees.summary.startswith("1 kind of object: face")


def test_a_backend_that_cannot_be_made_says_nothing_until_it_is_called() -> None:
    sees = in_force({"tools": {"detect": {"backend": "onnx", "labels": "none.txt"}}})["detect"].sees
    assert sees == Sees()


def test_tools_of_ones_own_may_declare_theirs() -> None:
    def parse(sign: str) -> None:
        from visprog.errors import Refused

        if sign != "aries":
            raise Refused(f"no zodiac sign '{sign}'")

    @tool(sees=Sees("signs of the zodiac", {"sign": Parsed(parse)}))
    def zodiac(sign: str) -> str:
        """The month of a sign."""
        return "April"

    assert zodiac.sees.phrases["sign"].refusal("pig") == "no zodiac sign 'pig'"
    assert Registry([zodiac]).prompt().count("Sees: signs of the zodiac") == 1


# -- in the prompt -------------------------------------------------------------------------------------


def test_the_prompt_says_what_is_in_force() -> None:
    plain, coco = prompt({}), prompt(ONNX)
    assert "Sees: people, faces, eyes" in plain and "fire hydrant" not in plain.split("def find_faces")[0]
    assert "Sees: 80 kinds of object: person, bicycle, car" in coco
    assert "Sees: any noun phrase" in prompt({"tools": {"detect": {"backend": "owlv2"}}})


@pytest.mark.parametrize("name", ["vqa", "caption", "segment_everything", "retrieve"])
def test_tools_without_a_backend_are_left_out(name: str) -> None:
    assert f"def {name}(" not in prompt({})
    assert f"def {name}(" in prompt({"tools": {name: {"backend": "embedded"}}})
    assert name in in_force({}) and name not in in_force({}).offered


@pytest.mark.parametrize(
    "settings",
    [{}, {"tools": {"vqa": {"backend": "embedded"}}},
     {"without_tools": ["find_polygons", "find_circles", "verify", "find_text", "read_text", "classify"]}],
)  # fmt: skip
def test_the_rules_name_only_tools_that_are_offered(settings: dict[str, Any]) -> None:
    config = Config.of(settings)
    registry = Host(chosen_registry(config), config).in_force
    system = LLMPlanner(ScriptedChat()).prompt(PlanRequest("How many?", registry=registry))[0]["content"]
    rules = system.split("# The language")[0]
    named = {name for name in default_registry() if re.search(rf"`{name}[`(]", rules)}
    assert named <= registry.offered.keys()
    assert "{{" not in system and "}}" not in system and "\n\n\n" not in rules
    assert ("vqa" in rules) == ("vqa" in registry.offered)


def test_the_doctor_says_what_is_seen_and_which_files_are_missing(tmp_path: Path) -> None:
    labels = tmp_path / "mine.names"
    labels.write_text("raccoon\n")
    settings = {"detect": {"backend": "onnx", "model": "none.onnx", "labels": str(labels)}}
    found = doctor.report(Config.of({"tools": settings}))
    tools = {tool["name"]: tool for tool in found["tools"]}
    assert tools["detect"]["sees"].startswith("1 kind of object: raccoon")
    assert tools["vqa"]["cannot"].startswith("no model that answers free questions")
    assert any("there is no model file none.onnx" in problem for problem in found["problems"])
    labels.unlink()
    assert any(
        "cannot read the label file" in p for p in doctor.report(Config.of({"tools": settings}))["problems"]
    )


def test_a_drawing_is_asked_for_shapes_and_text() -> None:
    refusal = in_force({})["detect"].sees.phrases["what"].refusal("sign")
    assert 'ask for the shape ("red octagon")' in refusal and "find_text" in refusal and "owlv2" in refusal


ROOT = Path(__file__).resolve().parents[2]
WORDS = sorted(
    path for folder in ("visprog", "tools", "prompts") for path in (ROOT / folder).rglob("*.yaml")
    if "recipes" not in path.parts
)  # fmt: skip


@pytest.mark.parametrize("path", WORDS, ids=lambda path: path.name)
def test_no_word_is_read_as_a_truth_value(path: Path) -> None:
    """In YAML, `no` and `on` without quotes are no words."""

    def check(value: Any) -> None:
        if isinstance(value, dict):
            assert all(isinstance(key, str) for key in value), value.keys()
            for each in value.values():
                check(each)
        elif isinstance(value, list):
            assert not any(isinstance(each, bool) or each is None for each in value), value
            for each in value:
                check(each)

    check(yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def test_examples_look_only_for_what_can_be_seen() -> None:
    def programs(settings: dict[str, Any]) -> str:
        request = PlanRequest(
            "How many dogs, people and red triangles are there?", registry=in_force(settings)
        )
        return "\n".join(e.program for e in choose(request, examples(), 200))

    plain, coco = programs({}), programs(ONNX)
    opened = programs({"tools": {n: {"backend": b} for n, b in (("detect", "owlv2"), ("verify", "siglip"))}})
    assert '"sheep"' not in plain and '"sheep"' in coco and '"sheep"' in opened
    assert '"kettle"' not in coco and '"kettle"' in opened
    assert "wearing a hat" not in coco and "wearing a hat" in opened
    assert "vqa(" not in plain + coco + opened
    assert "find_polygons" in plain


# -- planning and running ------------------------------------------------------------------------------


def test_a_language_model_mends_what_would_be_refused_before_anything_runs() -> None:
    chat = ScriptedChat(fenced('len(detect(image, "man"))'), fenced('len(detect(image, "face"))'))
    with Agent(LLMPlanner(chat), {}) as agent:
        answer = agent.ask("How many men are there?", BLANK)
    assert (answer.status, answer.value) == ("answered", 0)
    assert "the nearest is 'person'" in chat.sent[1][-1]["content"]
    assert answer.steps[0].diagnostics[0].code == "unseen-phrase"
    assert [call.arguments["what"] for call in answer.trace] == ["face"]


class OneProgram:
    """A planner that reads the question alone, as the embedded one."""

    name = "one"
    mends_refusals = False

    def __init__(self, *bodies: str) -> None:
        self.programs = [f"def answer(image):\n    return {body}\n" for body in bodies]

    def plan(self, request: PlanRequest, *, failed: Step | None = None, n: int = 1) -> list[Plan]:
        return [Plan(self.programs.pop(0), self.name)]


@pytest.mark.parametrize(
    ("body", "message"),
    [('len(detect(image, "dog"))', "with OpenCV alone, detect cannot see 'dog'"),
     ('vqa(image, "Who?")', "no model that answers free questions is chosen, so vqa cannot answer 'Who?'")],
)  # fmt: skip
def test_a_planner_that_cannot_mend_is_not_asked_to_guess(body: str, message: str) -> None:
    planner = OneProgram(body, "len(find_lines(image))")
    with Agent(planner, {}) as agent:
        answer = agent.ask("How many dogs are there?", BLANK)
    assert answer.status == "refused"
    assert answer.message.startswith(message)
    assert len(planner.programs) == 1 and answer.diagnostics == ()


def test_a_program_of_ones_own_runs_as_far_as_it_gets() -> None:
    with Agent(OneProgram(), {}) as agent:
        answer = agent.run(
            'def answer(image):\n    return 3 if image.width > 9 else len(detect(image, "dog"))', BLANK
        )
        assert (answer.status, answer.value) == ("answered", 3)
        found = check('def answer(image):\n    return len(detect(image, "dog"))', agent.host.in_force)
    assert [d.code for d in found] == ["unseen-phrase"]


def test_the_configuration_of_the_agent_counts() -> None:
    owl = {"tools": {"detect": {"backend": "owlv2"}}}
    with Agent(OneProgram(), owl) as agent:
        assert check('def answer(image):\n    return len(detect(image, "zebu"))', agent.host.in_force) == []


# -- on the command line -------------------------------------------------------------------------------


@pytest.fixture
def printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    """Runs a command in an empty folder: its exit code, and what it prints, on one line."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        code = main(list(arguments))
        return code, " ".join(capsys.readouterr().out.split())

    return run


def test_the_printed_prompt_depends_on_the_backends(printed: Callable[..., tuple[int, str]]) -> None:
    question = "How many dogs are there?"
    _, plain = printed("plan", question, "--prompt")
    _, coco = printed("plan", question, "--prompt", "--backend", "detect=onnx:none.onnx")
    Path("own.toml").write_text('[tools.detect]\nbackend = "onnx"\nmodel = "none.onnx"\n')
    _, configured = printed("plan", question, "--prompt", "--config", "own.toml")
    assert plain != coco == configured
    assert "80 kinds of object" in coco and "80 kinds of object" not in plain


def test_the_check_depends_on_the_backends(printed: Callable[..., tuple[int, str]]) -> None:
    Path("dogs.py").write_text('def answer(image):\n    return len(detect(image, "dog"))\n')
    code, out = printed("check", "dogs.py")
    assert code == 1 and "unseen-phrase" in out and "cannot see 'dog'" in out
    assert printed("check", "dogs.py", "--backend", "detect=onnx:none.onnx") == (0, "dogs.py: nothing found")


def test_one_tool_is_shown_with_what_it_sees(printed: Callable[..., tuple[int, str]]) -> None:
    assert "Sees: people, faces" in printed("tools", "detect")[1]
    assert "Sees: 80 kinds of object" in printed("tools", "detect", "--backend", "detect=onnx:none.onnx")[1]
    assert "Cannot answer here: no model that answers free questions" in printed("tools", "vqa")[1]
