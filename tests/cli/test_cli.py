"""The command line, as a person and as a script use it."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.small_tools import picture
from visprog.answer import Answer
from visprog.cli import main
from visprog.llm.chat import Reply
from visprog.llm.openai import OpenAIChat
from visprog.trust import trust

COUNT = 'def answer(image):\n    return len(my_detect(image, "dog"))\n'
TOOLS = '''
import sys
from visprog import Box, Image, Region, tool
from visprog.errors import Refused

@tool
def my_detect(image: Image, what: str) -> list[Region]:
    """A detector of two classes."""
    print("this goes to standard output")
    if what == "unicorn":
        raise Refused("no unicorn can be seen here")
    return [Region(Box(0, 0, 9, 9), what, 0.5, image.root)] * 2

@tool
def my_invert(image: Image) -> Image:
    """In opposite colours."""
    return Image(255 - image.pixels)
'''


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an image, some programs and a module of tools; no settings from outside."""
    for name in [n for n in os.environ if n.startswith("VISPROG_") and n != "VISPROG_SHARED"]:
        monkeypatch.delenv(name)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    picture().save("dog.png")
    Path("count.py").write_text(COUNT)
    Path("cli_tools.py").write_text(TOOLS)
    settings('planner = "replay:count.py"\nextra_tools = ["cli_tools"]\n')
    return tmp_path


def settings(text: str) -> None:
    """Settings of the working folder, that the user trusts."""
    Path("visprog.toml").write_text(text)
    trust(Path("visprog.toml"), text.encode())


@pytest.fixture
def visprog(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command in this process: `visprog("ask", "dog.png", "How many?")`, as if a person read the output."""
    monkeypatch.setenv("TERM", "dumb")

    def call(*arguments: str, terminal: bool = True) -> Ran:
        with monkeypatch.context() as patch:
            patch.setattr(sys.stdout, "isatty", lambda: terminal)
            code = main(list(arguments))
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tools work in this process, so that what they print can be seen."""
    monkeypatch.setenv("VISPROG_IN_PROCESS", "1")


# -- ask and run ---------------------------------------------------------------------------------


def test_ask(visprog: Any, in_process: None) -> None:
    ran = visprog("ask", "dog.png", "How many dogs are there?")
    assert ran.code == 0
    lines = ran.out.splitlines()
    lines.remove("this goes to standard output")
    assert lines[0] == "2"  # the answer comes first
    assert '   2 │     return len(my_detect(image, "dog"))' in lines
    assert "planned by replay:count.py" in lines[-1]


def test_without_a_terminal_only_the_answer_is_printed(visprog: Any, in_process: None) -> None:
    ran = visprog("ask", "dog.png", "How many dogs are there?", "--html", "e.html", terminal=False)
    assert (ran.code, ran.out) == (0, "2\n")
    assert "this goes to standard output" in ran.err and "evidence: e.html" in ran.err
    Path("wrong.py").write_text("def answer(image):\n    return nothing\n")
    ran = visprog("run", "wrong.py", "dog.png", terminal=False)
    assert (ran.code, ran.out) == (1, "") and "[unknown-name]" in ran.err


class Piped:
    """Standard input that is no terminal."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)

    def isatty(self) -> bool:
        return False


def test_an_image_from_standard_input(visprog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for data, code, message in (
        (Path("dog.png").read_bytes(), 0, ""),
        (b"", 1, "standard input is empty"),
        (b"no image", 1, "standard input is not an image"),
    ):
        monkeypatch.setattr(sys, "stdin", Piped(data))
        ran = visprog("ask", "-", "How many dogs are there?", terminal=False)
        assert ran.code == code and re.search(message, ran.err)
    ran = visprog("ask", "-", "-", "How many dogs are there?")
    assert ran.code == 2 and "give '-' once" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--save", "dog.png"], "dog.png is read, and would be overwritten: name another file"),
        (["--html", "./dog.png"], "would be overwritten"),
        (["--save", "link.png"], "would be overwritten"),
        (["--save", "x.png", "--html", "x.png"], "--save and --html both name x.png"),
        (["--save", "home"], "--save names a file to write, and home is a folder"),
    ],
)
def test_no_output_overwrites_an_input_or_another_output(
    visprog: Any, arguments: list[str], message: str
) -> None:
    Path("link.png").symlink_to("dog.png")
    before = Path("dog.png").read_bytes()
    ran = visprog("ask", "dog.png", "How many dogs are there?", *arguments)
    assert ran.code in (1, 2) and message in ran.err
    assert Path("dog.png").read_bytes() == before
    ran = visprog("run", "count.py", "dog.png", "--html", "count.py")
    assert ran.code and Path("count.py").read_text() == COUNT


def test_ask_json_is_one_object_whatever_tools_print(visprog: Any, in_process: None) -> None:
    ran = visprog("ask", "dog.png", "How many dogs are there?", "--json")
    assert ran.code == 0 and "this goes to standard output" in ran.err
    assert {"status", "value", "program", "diagnostics", "seconds"} <= set(ran.data)
    assert (ran.data["status"], ran.data["value"], ran.data["program"]) == ("answered", 2, COUNT)
    assert "pictures" not in ran.data
    assert Answer.from_json(ran.data).value == 2


def test_run_and_evidence(visprog: Any) -> None:
    ran = visprog("run", "count.py", "dog.png", "--html", "out/evidence.html")
    assert ran.code == 0 and ran.out.splitlines()[-1] == f"evidence: {Path('out/evidence.html')}"
    html = Path("out/evidence.html").read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>") and "my_detect" in html


def test_evidence_that_cannot_be_written(visprog: Any) -> None:
    Path("file").write_text("")
    ran = visprog("run", "count.py", "dog.png", "--html", "file/evidence.html")
    assert ran.code == 1 and "cannot write the evidence" in ran.err and "2" in ran.out


def test_an_answer_that_is_a_image(visprog: Any) -> None:
    from visprog.values.image import Image

    Path("invert.py").write_text("def answer(image):\n    return my_invert(image)\n")
    ran = visprog("run", "invert.py", "dog.png")
    assert ran.code == 0 and "keep it with --save" in ran.out
    ran = visprog("run", "invert.py", "dog.png", "--save", "new/inverted.png")
    assert ran.code == 0 and "saved: " in ran.out
    assert int(Image.open("new/inverted.png").pixels.max()) == 235
    ran = visprog("run", "invert.py", "dog.png", "--save", "inverted.xyz")
    assert ran.code == 2 and "end inverted.xyz in .png, .jpg or .webp" in ran.err
    ran = visprog("run", "count.py", "dog.png", "--save", "count.png")
    assert ran.code == 1 and "the answer is not an image" in ran.err and not Path("count.png").exists()


def test_several_images_as_an_answer(visprog: Any) -> None:
    Path("both.py").write_text("def answer(image):\n    return [my_invert(image), image]\n")
    assert visprog("run", "both.py", "dog.png", "--save", "p.png").code == 0
    assert Path("p-1.png").exists() and Path("p-2.png").exists()
    before = Path("p-1.png").read_bytes()
    ran = visprog("run", "both.py", "p-1.png", "--save", "p.png")
    assert ran.code == 1 and "p-1.png is read, and would be overwritten" in ran.err
    assert Path("p-1.png").read_bytes() == before


def test_only_an_answer_exits_with_0(visprog: Any) -> None:
    Path("unicorn.py").write_text('def answer(image):\n    return len(my_detect(image, "unicorn"))\n')
    Path("wrong.py").write_text("def answer(image):\n    return nothing\n")
    refused = visprog("run", "unicorn.py", "dog.png", "--json")
    assert (refused.code, refused.data["status"]) == (1, "refused")
    assert refused.err.splitlines()[-1] == "visprog: refused: no unicorn can be seen here"
    wrong = visprog("run", "wrong.py", "dog.png", "--json")
    assert (wrong.code, wrong.data["status"]) == (1, "error")
    shown = visprog("run", "wrong.py", "dog.png")
    assert shown.code == 1 and "wrong.py:2:12: error: 'nothing' is not defined [unknown-name]" in shown.out


def test_returns(visprog: Any) -> None:
    assert visprog("run", "count.py", "dog.png", "--returns", "int").code == 0
    assert visprog("run", "count.py", "dog.png", "--returns", "bool").code == 1


def test_what_is_shown_cannot_move_the_cursor(visprog: Any) -> None:
    Path("evil.py").write_text(
        "def answer(image):\n    print(chr(27) + '[2J')\n    return chr(27) + '[31mred'\n"
    )
    ran = visprog("run", "evil.py", "dog.png")
    assert ran.code == 0 and "\x1b" not in ran.out


# -- mistakes that people make -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ask"], 2, "an image and a question are needed"),
        (["ask", "dog.png"], 2, 'an image and a question are needed: visprog ask IMAGE... "QUESTION"'),
        (["ask", "How many dogs?"], 2, 'visprog ask IMAGE... "QUESTION"'),
        (["ask", "How many dogs?", "dog.png"], 2, "the question comes last"),
        (["ask", "dog.png", "dog.png"], 2, "the question is missing"),
        (
            ["ask", "dog.png", "how", "many", "dogs"],
            2,
            "'how' is not an image; put the whole question in quotes",
        ),
        (["ask", "dog.png", " "], 2, "the question is empty"),
        (["ask", "", "How many?"], 2, "the path of an image is empty"),
        (["ask", "cat.png", "How many?"], 1, "no such file: cat.png"),
        (["ask", ".", "How many?"], 2, '. is a folder: visprog map "QUESTION" FOLDER'),
        (["map", ".", "How many?"], 2, 'the question comes first: visprog map "QUESTION" FOLDER'),
        (["ask", "dog.png", "Invert it", "--save", "a.txt"], 2, "end a.txt in .png, .jpg or .webp"),
        (["ask", "dog.png", "How many?", "--tools", "./my_tools.py"], 1, "by their module, 'my_tools'"),
        (["dog.png", "How many?"], 2, 'visprog ask IMAGE... "QUESTION", or see visprog --help'),
        (["ask", "count.py", "How many?"], 1, "count.py is not an image"),
        (["ask", "https://example.org/a.png", "How many?"], 1, "--allow-url"),
        (["ask", "dog.png", "How many?", "--planner", "gpt"], 1, "there is no planner 'gpt'"),
        (["ask", "dog.png", "How many?", "--planner", "replay:no.jsonl"], 1, "no such recording"),
        (["ask", "dog.png", "How many?", "--planner", "openai:m"], 1, "OPENAI_API_KEY"),
        (["ask", "dog.png", "How many?", "--config", "no.toml"], 1, "cannot read the configuration no.toml"),
        (["ask", "dog.png", "How many?", "--backend", "detect"], 1, "TOOL=BACKEND"),
        (["ask", "dog.png", "How many?", "--backend", "detect=magic"], 1, "no backend 'magic'"),
        (
            ["ask", "dog.png", "How many?", "--tools", "no_such_module"],
            1,
            "cannot import tools from 'no_such_module'",
        ),
        (["ask", "dog.png", "How many?", "--votes", "0"], 2, "--votes"),
        (["ask", "dog.png", "How many?", "--returns", "number"], 2, "--returns"),
        (["run", "count.py"], 2, "visprog run PROGRAM.py IMAGE..."),
        (["run", "dog.png", "count.py"], 2, "the program comes first"),
        (["run", "no.py", "dog.png"], 1, "cannot read the program no.py"),
        (["plan", ""], 2, "the question is empty"),
        (["check", "no.py"], 1, "cannot read the program no.py"),
        (["check", "dog.png"], 1, "is not text in UTF-8"),
        (["tools", "my_detekt"], 1, "did you mean 'my_detect'"),
        (["aks", "dog.png", "How many?"], 2, "No such command 'aks'"),
        (["ask", "--nonsense"], 2, "--nonsense"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_mistakes_get_one_clear_sentence(
    visprog: Any, arguments: list[str], code: int, message: str, as_json: bool
) -> None:
    ran = visprog(*arguments, *["--json"] * as_json)
    assert ran.code == code
    printed = ran.err.splitlines()[-1]
    assert message in printed and printed.startswith("visprog: ")
    assert "Traceback" not in ran.err
    if as_json:
        assert ran.data["status"] == "error" and message in ran.data["message"]


def test_a_mistake_of_ours_says_so(visprog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("oops")

    monkeypatch.setattr("visprog.commands.ask.open_agent", broken)
    ran = visprog("run", "count.py", "dog.png")
    assert ran.code == 1 and "run again with --debug" in ran.err
    with pytest.raises(KeyError):
        main(["run", "count.py", "dog.png", "--debug"])
    monkeypatch.setenv("VISPROG_DEBUG", "1")
    with pytest.raises(KeyError):
        main(["run", "count.py", "dog.png"])


def test_interrupted(visprog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("visprog.commands.ask.open_agent", interrupt)
    assert visprog("run", "count.py", "dog.png").code == 130
    ran = visprog("run", "count.py", "dog.png", "--json")
    assert ran.code == 130 and ran.data["message"] == "interrupted"


# -- plan, check, tools, doctor, train -----------------------------------------------------------


def test_plan(visprog: Any) -> None:
    ran = visprog("plan", "How many dogs are there?")
    assert (ran.code, ran.out) == (0, COUNT)  # so that it can be piped into a file
    ran = visprog("plan", "How many dogs are there?", "--json")
    assert ran.data["program"] == COUNT and ran.data["planner"] == "replay:count.py"


def test_plan_that_fails_its_check(visprog: Any) -> None:
    Path("wrong.py").write_text("def answer(image):\n    return nothing\n")
    ran = visprog("plan", "What?", "--planner", "replay:wrong.py", "--json")
    assert ran.code == 1 and ran.data["diagnostics"][0]["code"] == "unknown-name"


def test_prompt_needs_no_model_and_no_key(visprog: Any) -> None:
    settings('planner = "openai:m"\nextra_tools = ["cli_tools"]\n')
    ran = visprog(
        "plan", "How many dogs are there?", "--images", "2", "--prompt", "--returns", "int", "--json"
    )
    messages = ran.data["messages"]
    assert (
        messages[0]["role"] == "system" and "def my_detect(image: Image, what: str)" in messages[0]["content"]
    )
    last = messages[-1]["content"]
    assert "How many dogs are there?" in last and "def answer(images):" in last and "int" in last
    shown = visprog("plan", "How many dogs are there?", "--images", "2", "--prompt", "--returns", "int").out
    assert last in shown


def test_the_printed_prompt_is_what_the_model_is_sent(visprog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings(
        'planner = "openai:m"\n[planner_options]\nprompt_tokens = 4000\nmax_examples = 3\n'
        'base_url = "http://127.0.0.1:9/v1"\n'
    )
    sent: list[Any] = []

    def complete(chat: OpenAIChat, messages: list[Any], **_: Any) -> list[Reply]:
        sent.append(messages)
        return [Reply("```python\ndef answer(image):\n    return 'someone'\n```")]

    monkeypatch.setattr(OpenAIChat, "complete", complete)
    for question, planner in [("Who built this?", ()), ("Who built this?", ("--planner", "openai:other"))]:
        printed = visprog("plan", question, "--prompt", "--json", *planner).data["messages"]
        assert not sent
        visprog("ask", "dog.png", question, *planner)
        assert sent.pop() == printed and not sent
        assert "def ask_llm(" in printed[0]["content"]
        assert (len(printed) > 8) == bool(planner)  # the options are those of the planner in the file


@pytest.mark.parametrize("planner", ["embedded", "openai:m"])
def test_tools_that_ask_the_planner_are_there_if_it_can_be_asked(visprog: Any, planner: str) -> None:
    settings(f'planner = "{planner}"\n')
    asks = planner != "embedded"
    Path("asks.py").write_text("def answer(image):\n    return ask_llm('Who built it?')\n")
    assert visprog("check", "asks.py", "--static").code == int(not asks)
    assert ("no language model" in visprog("tools", "ask_llm", "--json").data["sees"]) != asks
    found = {t["name"]: t for t in visprog("doctor", "--json").data["tools"]}
    assert (found["ask_llm"]["cannot"] == "") == asks
    settings('planner = "openai:m"\n[planner_options]\nno_such = 1\n')
    assert "no_such" in visprog("plan", "Who?", "--prompt").err


def test_check(visprog: Any) -> None:
    Path("wrong.py").write_text("def answer(image):\n    return nothing\n")
    Path("two.py").write_text("def answer(images):\n    return images[1].width\n")
    fine = visprog("check", "count.py", "two.py")
    assert fine.code == 0 and "count.py: nothing found" in fine.out and "two.py: nothing found" in fine.out
    ran = visprog("check", "count.py", "wrong.py")
    assert ran.code == 1
    assert (
        "wrong.py:2:12: error: 'nothing' is not defined [unknown-name]\n 2 |     return nothing\n" in ran.out
    )
    ran = visprog("check", "wrong.py", "--json")
    (found,) = ran.data["programs"]
    assert (
        found["path"] == "wrong.py" and found["diagnostics"][0]["line"] == 2 and ran.data["status"] == "error"
    )


def test_check_tries_the_program(visprog: Any) -> None:
    Path("empty.py").write_text('def answer(image):\n    return my_detect(image, "dog")[0].label\n')
    assert "empty-result" in visprog("check", "empty.py").out
    assert "nothing found" in visprog("check", "empty.py", "--static").out


def test_tools(visprog: Any) -> None:
    ran = visprog("tools")
    assert ran.code == 0 and "my_detect" in ran.out and "opencv" in ran.out and "largest" in ran.out
    ran = visprog("tools", "detect")
    assert (
        "detect(image: Image, what: str, tiles: int = 1) -> list[Region]" in ran.out and "in force" in ran.out
    )
    listed = {t["name"]: t for t in visprog("tools", "--json").data["tools"]}
    assert listed["my_detect"]["parameters"]["required"] == ["image", "what"]
    one = visprog("tools", "detect", "--backend", "detect=onnx:net.onnx", "--json").data
    assert (one["backend"], one["default_backend"]) == ("onnx", "opencv")
    nms = "Intersection over union from which two boxes of one class are one object."
    assert one["options"]["nms"] == {"type": "float", "default": 0.4, "description": nms}
    shown = " ".join(visprog("tools", "detect", "--backend", "detect=onnx:net.onnx").out.split())
    assert f"nms: float = 0.4 {nms}" in shown


def test_tools_and_doctor_tell_the_precision(
    visprog: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from visprog.models import measured

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    backend = "classify=clip:some/clip"
    assert "chosen when the model is first loaded" in visprog("tools", "classify", "--backend", backend).out
    measured.remember(
        "checked", "digest, machine",
        {"name": "some/clip", "dtype": "bfloat16", "int8": False, "reason": "bfloat16 3 times as fast here"},
    )  # fmt: skip
    shown = " ".join(visprog("tools", "classify", "--backend", backend).out.split())
    assert "Precision: bfloat16 (bfloat16 3 times as fast here)" in shown
    settings('[tools.classify]\nbackend = "clip"\ndtype = "float16"\n[tools.match]\nbackend = "embedded"\n')
    told = {tool["name"]: tool["precision"] for tool in visprog("doctor", "--json").data["tools"]}
    assert told["classify"] == "float16 (as configured)" and told["match"] == "float32 (bundled)"
    assert told["crop"] == ""


def test_doctor(visprog: Any) -> None:
    ran = visprog("doctor", "--json")
    data = ran.data
    assert data["sandbox"]["level"] in ("kernel", "process")
    assert data["planner"]["name"] == "replay:count.py"
    assert data["packages"]["numpy"] and set(data["extras"]) >= {"openai", "langchain", "hf", "train"}
    assert {"name", "backend", "ready", "precision"} <= set(data["tools"][0])
    assert Path(data["config"]["file"]) == Path("visprog.toml").absolute()
    assert ran.code == bool(data["problems"])
    shown = visprog("doctor").out
    assert "sandbox" in shown and "my_detect" in shown


def test_doctor_names_problems(visprog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from visprog.commands import doctor

    versions = {"torch": "2.9.1", "torchvision": "0.20.0", "openai": None}
    real = doctor.version
    monkeypatch.setattr(
        doctor, "version", lambda name: versions.get(name, real(name)) if name in versions else real(name)
    )
    settings('planner = "nobody"\n[tools.vqa]\nbackend = "openai"\n')
    ran = visprog("doctor", "--json")
    problems = "\n".join(ran.data["problems"])
    assert ran.code == 1
    assert "there is no planner 'nobody'" in problems
    assert "torchvision 0.20.0 is not made for torch 2.9.1" in problems and "torchvision 0.24" in problems
    assert "the backend 'openai' of vqa needs: pip install 'visprog[openai]'" in problems
    assert visprog("doctor", "--config", "no.toml", "--json").data["problems"][0].startswith("cannot read")


def test_training_without_torch(visprog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    ran = visprog("train", "planner", "--steps", "1")
    assert ran.code == 1 and "pip install 'visprog[train]'" in ran.err


def test_training_passes_the_recipe_on(visprog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    training = pytest.importorskip("visprog.training.planner.train")
    seen: list[Any] = []
    monkeypatch.setattr(
        training, "train", lambda recipe, out, *, resume: seen.append((recipe, out, resume)) or out
    )
    ran = visprog(
        "train", "planner", "--steps", "7", "--batch", "3", "--seed", "5", "--out", "w", "--fresh", "--json"
    )
    ((recipe, out, resume),) = seen
    assert (recipe.steps, recipe.batch, recipe.seed, str(out), resume) == (7, 3, 5, "w", False)
    assert recipe.layers == training.PlannerRecipe().layers
    assert ran.data == {"status": "trained", "folder": "w", "steps": 7}


# -- help ----------------------------------------------------------------------------------------


def test_help(visprog: Any) -> None:
    ran = visprog("--help")
    assert ran.code == 0 and "visprog [OPTIONS] COMMAND" in ran.out
    assert visprog().out == ran.out
    for command in ("ask", "run", "plan", "check", "tools", "doctor"):
        shown = visprog(command, "--help")
        assert shown.code == 0 and f"\n  visprog {command}" in shown.out and "--json" in shown.out
    assert "--steps" in visprog("train", "planner", "--help").out


def test_version(visprog: Any) -> None:
    import visprog as package

    assert visprog("--version").out.strip() == package.__version__


def test_as_a_process(folder: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "visprog", *arguments]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
        )

    answered = run("run", "count.py", "dog.png", "--json")
    assert (answered.returncode, json.loads(answered.stdout)["value"]) == (0, 2)
    assert run("ask", "dog.png").returncode == 2
    wrong = run("ask", "no.png", "How many?")
    assert (wrong.returncode, wrong.stdout) == (
        1,
        "",
    ) and wrong.stderr.strip() == "visprog: no such file: no.png"


def test_help_is_quick() -> None:
    """It imports none of what the commands need; the time is that of the processor, for a busy machine."""
    code = (
        "import sys, time; from visprog.cli import main; main(['--help'])\n"
        "heavy = {'numpy', 'PIL', 'rich', 'cv2', 'torch', 'yaml', 'visprog.agent', 'visprog.registry'}\n"
        "heavy &= set(sys.modules)\n"
        "print('heavy:', heavy, 'seconds:', time.process_time())"
    )
    root = Path(__file__).resolve().parents[2]
    best = 9.0
    for _ in range(3):
        ran = subprocess.run(
            [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
        )
        last = ran.stdout.splitlines()[-1]
        assert "heavy: set()" in last
        best = min(best, float(last.rpartition(" ")[2]))
        time.sleep(0.01)
    assert best < 0.5
