"""The gate of the embedded planner: made-up worlds, the judge, the questions, and the command."""

from __future__ import annotations

import ast
import inspect
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from visprog import cli
from visprog.check import check
from visprog.errors import ConfigError, PlannerError, ToolError
from visprog.evaluation.planner.asked_words import QuestionWords
from visprog.evaluation.planner.judging import LIMITS, MIN_WORLDS, answers_of, judge, open_sandbox, whole
from visprog.evaluation.planner.planner_questions import (
    PlannerQuestion,
    Score,
    default_files,
    read_questions,
    score_question,
    score_questions,
    summarise,
)
from visprog.evaluation.planner.wording import is_a, plain_text, read_noun, read_statement
from visprog.evaluation.planner.worlds import TOOLS, World
from visprog.models import WEIGHTS
from visprog.planner.base import Plan, PlanRequest
from visprog.planner.replay import ReplayPlanner, normalise_question
from visprog.registry import default_registry
from visprog.runtime.steps import Step
from visprog.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
QUESTIONS = read_questions(default_files())


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox() as opened:
        yield opened


def world(program: str, question: str = "", seed: int = 1, images: int = 1) -> World:
    return World(QuestionWords.of(whole(program, images), question), seed, images)


# -- words ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    ["wearing a hat", "wears hats", "has a hat on", "hat", "a person wearing a hat", "is wearing a hat"],
)
def test_one_claim_in_other_words(said: str) -> None:
    assert read_statement(said, "person") == read_statement("wearing a hat", "person")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("open", "shut", False), ("not open", "closed", True), ("without a helmet", "not wearing a helmet", True),
     ("without a helmet", "wearing a helmet", False), ("smiling", "smiles", True), ("asleep", "sleeping", True),
     ("lying down", "lies down", True), ("holding a cup", "holding a bag", False), ("made of wood", "wooden", True)],
)  # fmt: skip
def test_denial_and_contraries(one: str, other: str, same: bool) -> None:
    assert (read_statement(one) == read_statement(other)) is same


def test_nouns() -> None:
    assert read_noun("the red lorries").noun == "truck" and read_noun("the red lorries").color == "red"
    assert read_noun("number plates").noun == read_noun("licence plate").noun == "number plate"
    assert read_noun("broken windows", frozenset(("broken",))).claims == ("broken",)
    assert read_noun("person wearing a hat").claims == ("wearing a hat",)
    assert is_a("stop sign", "sign") and is_a("nurse", "person") and is_a("kitten", "animal")
    assert not is_a("sign", "stop sign") and not is_a("woman", "man")
    assert plain_text("on the Left") == plain_text("left") and plain_text("apples") == plain_text("the apple")


@pytest.mark.parametrize(
    ("question", "program", "known"),
    [("is the dog brown", 'return has_color(detect(image, "dog")[0], "brown")', {("dog", ""): 1}),
     ("how many of the sheep are black", 'return len(detect(image, "sheep"))', {}),
     ("the biggest dog", 'return largest(detect(image, "dog"))', {}),
     ("is there just the one dog", 'return len(detect(image, "dog")) == 1', {}),
     ("show the red car", 'return detect(image, "red car")', {("car", "red"): 1}),
     ("both mugs the same?", 'return len(detect(image, "mugs"))', {("mug", ""): 2}),
     ("the cup on the sill", 'return best([x for x in detect(image, "cup") if x.overlaps(image)])', {})],
)  # fmt: skip
def test_what_a_question_takes_as_known(
    question: str, program: str, known: dict[tuple[str, str], int]
) -> None:
    assert QuestionWords.of(whole(program, 1), question).known == known


# -- worlds --------------------------------------------------------------------------------------------


def test_worlds_are_reproducible() -> None:
    program = 'return len([x for x in detect(image, "dogs") if verify(x, "wearing a collar")])'
    random.seed(0)
    first = answers_of("dogs with collars?", program, worlds=30)
    random.seed(1)
    assert answers_of("dogs with collars?", program, worlds=30) == first
    assert len(first) >= 3


def test_signatures_are_those_of_the_registry() -> None:
    registry, made = default_registry(), world("return 1").tools()
    fragments = json.loads((WEIGHTS / "planner" / "vocabulary.json").read_text())["fragments"]
    written = {text.removesuffix("(") for text in fragments if text.endswith("(")}  # by the bundled planner
    assert registry.called.keys() & written <= made.keys() <= registry.called.keys()
    for name in TOOLS:
        given = list(inspect.signature(made[name]).parameters.values())
        wanted = registry[name].parameters
        assert [(p.name, p.default) for p in given] == [(p.name, p.default) for p in wanted], name


@pytest.mark.parametrize("seed", range(20))
def test_tools_agree_with_each_other(seed: int) -> None:
    program = (
        'return detect(image, "people"), detect(image, "stop sign"), has_color(image, "red"), '
        'verify(image, "smiling"), find_faces(image), read_text(image)'
    )
    made = world(program, seed=seed)
    image = made.images[0]
    people = made.detect(image, "people")
    boxes = {p.box for p in people}
    parts = [made.detect(image, kind) for kind in ("men", "women", "children")]
    assert boxes == {r.box for part in parts for r in part} and len(people) == sum(map(len, parts))
    assert {r.box for r in made.detect(image, "red person")} == {
        p.box for p in people if made.has_color(p, "red")
    }
    smiling = {p.box for p in people if made.verify(p, "smiling")}
    assert smiling == {p.box for p in made.detect(image, "person smiling")}
    assert all(made.verify(p, "not smiling") != made.verify(p, "a person who smiles") for p in people)
    signs, stops = ({r.box for r in made.detect(image, noun)} for noun in ("signs", "stop sign"))
    assert stops <= signs
    for person in people:
        assert made.has_color(person, made.dominant_color(person))
        assert made.classify(person, ["smiling", "not smiling"]) == (
            "smiling" if person.box in smiling else "not smiling"
        )
    halves = [made.tools()["crop_half"](image, side) for side in ("left", "right")]
    assert sum(len(made.detect(half, "person")) for half in halves) == len(people)
    assert made.read_text(image).split("\n") == [
        t.label for t in made.find_text(image)
    ] or not made.read_text(image)


def test_edits_say_what_was_done() -> None:
    for seed in range(20):
        made = world("return find_faces(image)", seed=seed)
        image, faces = made.images[0], made.find_faces(made.images[0])
        if len(faces) > 1:
            break
    whole_picture = made.cover(image, faces, "blur")
    stepwise = made.cover(made.cover(image, faces[:1], "blur"), faces[1:], "blur")
    assert whole_picture.done == stepwise.done != made.cover(image, faces, "box").done  # type: ignore[attr-defined]
    with pytest.raises(ToolError, match="nothing to keep"):
        made.color_pop(image, [])


# -- the judge -----------------------------------------------------------------------------------------

CARS, RED = 'detect(image, "cars")', 'len([x for x in detect(image, "cars") if has_color(x, "red")])'
HELMET = 'len([x for x in detect(image, "people") if {}verify(x, "{}")])'
MORE = 'return "cats" if len(detect(image, "cats")) > len(detect(image, "dogs")) else "dogs"'
ALL = 'dogs = detect(image, "dogs")\nreturn len(dogs) > 0 and all(has_color(x, "brown") for x in dogs)'
ON = 'return best(detect(image, "cat")).overlaps(best(detect(image, "bed")))'
PLATE = 'return read_text(best([x for x in detect(image, "sign") if has_color(x, "yellow")]))'
FACES = 'faces = find_faces(image)\nreturn cover(image, [x for x in faces if x != largest(faces)], "blur")'
MOST = "counts = [len(detect(image, 'cars')) for image in images]\nreturn counts.index(max(counts)) + 1"
SAME = 'a, b = left_to_right(detect(image, "mugs"))[:2]\nreturn dominant_color(a) == dominant_color(b)'


JUDGED = [
        ("how many red cars", f"return {RED}", 'return len(detect(image, "red cars"))', True),
        ("how many red cars", f"return {RED}", f"return len({CARS})", False),  # a condition is dropped
        ("how many cars", f"return len({CARS})", "return image.width", False),
        ("how many cars", f"return len({CARS})", f"return str(len({CARS}))", True),
        ("more than ten cars", f"return len({CARS}) > 10", f"return len({CARS}) >= 10", False),
        ("fewer than two cars", f"return len({CARS}) < 2", f"return len({CARS}) > 2", False),  # turned round
        ("no cars", f"return len({CARS}) == 0", f"return not {CARS}", True),
        ("no cars", f"return len({CARS}) == 0", f"return len({CARS}) > 0", False),  # negation is dropped
        ("how many people", 'return len(detect(image, "people"))', 'return len(detect(image, "men"))', False),
        ("how many people", 'return len(detect(image, "people"))', 'return len(detect(image, "person"))', True),
        ("how many lorries", 'return len(detect(image, "lorries"))', 'return len(detect(image, "truck"))', True),
        ("a stop sign?", 'return len(detect(image, "stop sign")) > 0', 'return len(detect(image, "sign")) > 0', False),
        ("without helmet", f"return {HELMET.format('not ', 'wearing a helmet')}",
         f"return {HELMET.format('', 'without a helmet')}", True),
        ("without helmet", f"return {HELMET.format('not ', 'wearing a helmet')}",
         f"return {HELMET.format('', 'wearing a helmet')}", False),
        ("more cats or dogs", MORE, MORE.replace(">", "<"), False),
        ("more cats or dogs", MORE, MORE.replace(">", ">="), True),  # nobody asks what a tie is
        ("are all dogs brown", ALL, 'return all(has_color(x, "brown") for x in detect(image, "dogs"))', True),
        ("are all dogs brown", ALL, ALL.replace("all(", "any("), False),
        ("are all dogs brown", ALL, 'return has_color(best(detect(image, "dogs")), "brown")', False),
        ("is the cat on the bed", ON, ON.replace("cat", "TMP").replace("bed", "cat").replace("TMP", "bed"), True),
        ("is the cat on the bed", ON, ON.replace("overlaps", "above"), False),
        ("what does the yellow sign say", PLATE, 'return read_text(best(detect(image, "yellow sign")))', True),
        ("what does the yellow sign say", PLATE, 'return read_text(best(detect(image, "sign")))', False),
        ("blur all faces but the biggest", FACES, 'return cover(image, by_size(find_faces(image))[1:], "blur")', True),
        ("blur all faces but the biggest", FACES, 'return cover(image, find_faces(image), "blur")', False),
        ("blur all faces but the biggest", FACES, FACES.replace("blur", "pixelate"), False),
        ("both mugs the same colour?", SAME,
         'return len(set(dominant_color(x) for x in detect(image, "mugs"))) == 1', True),
        ("how many of the sheep lie", 'return len([x for x in detect(image, "sheep") if verify(x, "lying down")])',
         'return int(verify(best(detect(image, "sheep")), "lying down"))', False),
        ("the second largest", "return nth(by_size(find_circles(image)), 2)",
         "return largest(find_circles(image))", False),
        ("where are the keys", 'return detect(image, "keys")', 'return best(detect(image, "keys"))', False),
        ("where is the key", 'return detect(image, "key")', 'return best(detect(image, "key"))', True),
        ("where is the key", 'return best(detect(image, "key"))', 'return {"keys": [detect(image, "key")]}', False),
        ("how many cars", f"return len({CARS})", "return '²'", False),
        ("how many cars", f"return len({CARS})", "return 10 ** 400", False),
        ("how many cars", f"return len({CARS})", f"# count\ndef answer(image):\n    return len({CARS})", True),
        ("how many cars", f"return len({CARS})", f"import math\nreturn math.floor(len({CARS}))", True),
        ("how many cars", f"return len({CARS})", "return len(", False),
]  # fmt: skip


@pytest.mark.parametrize(("question", "reference", "candidate", "right"), JUDGED)
def test_the_judge_tells_right_from_wrong(question: str, reference: str, candidate: str, right: bool) -> None:
    verdict = judge(question, reference, candidate)
    assert verdict.right is right, verdict


@pytest.mark.parametrize(("question", "reference", "candidate", "right"), JUDGED)
def test_the_judge_is_the_same_in_a_sandbox(
    question: str, reference: str, candidate: str, right: bool, sandbox: Sandbox
) -> None:
    assert judge(question, reference, candidate, sandbox=sandbox).right is right


@pytest.mark.parametrize(
    ("candidate", "why"),
    [("while True:\n    pass", f"{LIMITS.cpu:g} seconds of processor time"),
     ("text = 'a'\nwhile True:\n    text = text + text", "killed: "),
     (f"for i in range(10000):\n    {CARS}\nreturn 0", f"{LIMITS.calls} tool calls"),
     ("return image._pixels", "rejected: ")],
)  # fmt: skip
def test_a_sandbox_ends_what_does_not_end(candidate: str, why: str, sandbox: Sandbox) -> None:
    verdict = judge("how many cars", f"return len({CARS})", candidate, sandbox=sandbox)
    assert not verdict.right and verdict.worlds == 1 and why in verdict.why


def test_all_of_nothing_is_not_compared(sandbox: Sandbox) -> None:
    for where in (None, sandbox):
        verdict = judge("are all dogs brown", ALL, ALL.replace("len(dogs) > 0 and ", ""), sandbox=where)
        assert verdict.right and verdict.worlds >= MIN_WORLDS and verdict.answers == 2


@pytest.mark.parametrize(
    ("reference", "candidate", "right"),
    [(MOST, f"import math\n\ndef answer(images):\n    {MOST}".replace("\nreturn", "\n    return"), True),
     (MOST, f"def answer(image):\n    {MOST}".replace("\nreturn", "\n    return"), False),
     (MOST, MOST.replace("max(", "min("), False),
     (MOST, MOST.split("return")[0] + "return [i + 1 for i, n in enumerate(counts) if n == max(counts)]", True),
     ('return [len(detect(image, "cars")) for image in images]',
      'return sum(len(detect(image, "cars")) for image in images)', False),
     ('return [i + 1 for i, image in enumerate(images) if detect(image, "dog")]',
      'return [image for image in images if detect(image, "dog")]', True)],
)  # fmt: skip
def test_the_judge_over_several_images(reference: str, candidate: str, right: bool) -> None:
    assert judge("which picture", reference, candidate, images=3).right is right


# -- the questions -------------------------------------------------------------------------------------


def test_the_sets_are_large_enough() -> None:
    held_out = [q for q in QUESTIONS if q.set != "printed"]
    assert len(held_out) >= 600 and len({(q.set, q.question.casefold()) for q in held_out}) == len(held_out)
    assert sum(q.refuse == "must" for q in held_out) >= 140
    assert {q.set for q in QUESTIONS} == {"everyday", "global", "printed", "trades"}


@pytest.mark.parametrize("name", ["everyday", "global", "printed", "trades"])
def test_reference_programs_pass_their_check_and_are_right(name: str) -> None:
    registry = default_registry()
    for question in QUESTIONS:
        for program in (
            (question.program, *question.also) if question.program and question.set == name else ()
        ):
            source = whole(program, question.images)
            assert not [d for d in check(source, registry) if d.severity == "error"], question
            verdict = judge(question.question, program, program, question.images)
            assert verdict.right, (question, verdict)
            told = answers_of(question.question, program, question.images, worlds=20)
            assert not all(re.match(r"\w+Error|\w+Found", answer) for answer in told), question


def printed_questions() -> Iterator[tuple[str, str]]:
    """Every question that is printed for people to type, and where."""
    paths = [ROOT / "README.md", ROOT / "SECURITY.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.toml")]
    paths += [
        *ROOT.glob("visprog/*.py"),
        *ROOT.glob("visprog/commands/*.py"),
        *ROOT.glob("visprog/server/*.py"),
    ]
    for path in [*paths, ROOT / "Makefile"]:
        text = path.read_text(encoding="utf-8")
        command = r'visprog (?:ask|plan|map)\b(?![^"\n]*(?:\.mp4|camera:))[^"\n`]* '
        typed = rf'(?:{command}|\.(?:ask|plan|map)\(|question ?:?= ?)"([^"\n]+)"'
        for question in re.findall(typed, text):
            yield question, path.name
    for path in ROOT.glob("examples/*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                code = re.sub(r"^[%!].*$", "", "".join(cell["source"]), flags=re.MULTILINE)
                for question in _asked_in(ast.parse(code)):
                    yield question, path.name


def _asked_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("ask", "plan")
        ):
            yield from (a.value for a in node.args[:1] if isinstance(a, ast.Constant))
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.fullmatch(r"[A-Z].*\?", node.value)
        ):
            yield node.value


BY_LANGUAGE_MODELS = {"chat.md", "05_chat.ipynb", "video.md"}
"""What is about conversations and videos, whose questions are no questions about one image."""


def test_every_printed_question_is_in_the_printed_set() -> None:
    known = {normalise_question(q.question) for q in QUESTIONS if q.set == "printed"}
    found = {q: where for q, where in printed_questions() if q not in ("QUESTION", "…")}
    found = {q: where for q, where in found.items() if where not in BY_LANGUAGE_MODELS}
    assert len(found) >= 20
    assert {q: where for q, where in found.items() if normalise_question(q) not in known} == {}


# -- scores and the command ----------------------------------------------------------------------------

TINY = """
- {question: how many cars, category: count, program: 'return len(detect(image, "cars"))'}
- {question: how many red cars, category: count, program: 'return len(detect(image, "red cars"))'}
- {question: how many dogs, category: count, program: 'return len(detect(image, "dogs"))'}
- {question: parked cars, category: count, refuse: fine, program: 'return len(detect(image, "cars"))',
   also: ['return len([x for x in detect(image, "cars") if verify(x, "parked")])']}
- {question: why is it red, category: why, refuse: must}
- {question: who made it, category: brand, refuse: must}
"""
PROGRAMS = {
    "how many cars": 'return len(detect(image, "cars"))',
    "how many red cars": 'return len(detect(image, "cars"))',
    "how many dogs": "CANNOT: no",
    "parked cars": 'return len(detect(image, "parked cars"))',
    "why is it red": "return dominant_color(image)",
    "who made it": "CANNOT: no",
}


@pytest.fixture
def tiny(tmp_path: Path) -> tuple[Path, Path]:
    questions, programs = tmp_path / "tiny.yaml", tmp_path / "programs.json"
    questions.write_text(TINY)
    said = [{"question": q, "program": p if "CANNOT" in p else whole(p, 1)} for q, p in PROGRAMS.items()]
    programs.write_text(json.dumps(said))
    return questions, programs


def test_scores(tiny: tuple[Path, Path]) -> None:
    planner = ReplayPlanner(tiny[1])
    scores = [score_question(planner, q) for q in read_questions([tiny[0]])]
    assert [s.outcome for s in scores] == ["right", "wrong", "refused", "right", "wrong", "refused"]
    assert [s.good for s in scores] == [True, False, False, True, False, True]
    found = summarise(scores)
    assert found["figures"] == {
        "wrong": {"value": 2 / 6, "of": 6}, "right": {"value": 1 / 3, "of": 3}, "refused": {"value": 1 / 2, "of": 2},
        "printed": {"value": 0.0, "of": 0},
    }  # fmt: skip
    assert found["categories"]["count"] == {"questions": 4, "right": 2, "refused": 1, "wrong": 1, "good": 2}


class Unreached:
    """A planner that cannot be reached for some questions."""

    name = "unreached"

    def __init__(self, *reached: int) -> None:
        self.reached = reached
        self.asked = 0

    def plan(self, request: PlanRequest, *, failed: Step | None = None, n: int = 1) -> list[Plan]:
        self.asked += 1
        if self.asked in self.reached:
            return [Plan('def answer(image):\n    return len(detect(image, "cars"))\n', self.name)]
        raise PlannerError("cannot reach it")


def test_a_planner_that_cannot_be_reached() -> None:
    question = PlannerQuestion("mine", "how many cars", "count", program='return len(detect(image, "cars"))')
    now_and_then = list(score_questions(Unreached(5, 8), [question] * 9))
    assert [s.outcome == "right" for s in now_and_then] == [n in (5, 8) for n in range(1, 10)]
    assert now_and_then[0].outcome == "refused" and now_and_then[0].why == "cannot reach it"
    planner = Unreached(1)
    with pytest.raises(PlannerError, match="cannot reach it"):
        list(score_questions(planner, [question] * 9))
    assert planner.asked == 6


def test_the_gate_opens() -> None:
    question = PlannerQuestion("printed", "how many cars", "count", program="return 1")
    hopeless = PlannerQuestion("mine", "why", "why", refuse="must")
    good = [Score(question, "right"), Score(hopeless, "refused")]
    assert summarise(good)["open"]
    assert not summarise([*good, Score(question, "refused")])["open"]
    assert not summarise([*good, Score(hopeless, "wrong")])["open"]


def test_the_command(tiny: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    command = ["eval", "planner-questions", str(tiny[0]), "--planner", f"replay:{tiny[1]}"]
    assert cli.main([*command, "--show", "wrong"]) == 0
    printed = capsys.readouterr().out
    assert "6 questions" in printed and "answered wrong" in printed and "33.3" in printed
    assert "how many red cars" in printed and "against" in printed and "how many dogs" not in printed
    assert cli.main([*command, "--gate", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["open"] and [f["question"] for f in found["failures"]] == [
        "how many red cars", "how many dogs", "why is it red"
    ]  # fmt: skip
    assert cli.main([*command, "--gate", "--limit", "1"]) == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [("a: [", "is not YAML"), ("{}", "must hold a list"), ("- {question: a}", "question 1"),
     ("- {question: a, category: b}", "with a program"),
     ("- {question: a, category: b, refuse: must, program: x}", "without one")],
)  # fmt: skip
def test_a_file_that_is_no_set_of_questions(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "q.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=why):
        read_questions([path])
    with pytest.raises(ConfigError, match="cannot read"):
        read_questions([tmp_path / "none.yaml"])


@pytest.mark.timeout(900)
def test_the_bundled_planner_passes_its_gate() -> None:
    from visprog.planner.embedded.planner import EmbeddedPlanner

    planner = EmbeddedPlanner()
    scores = [score_question(planner, question) for question in QUESTIONS]
    summary = summarise(scores)
    wrong = [f"{s.question.question} | {s.program}" for s in scores if s.outcome == "wrong"]
    assert summary["open"], (summary["figures"], wrong)
