"""The JSON form of answers: whole, stable, and as its schema says."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import jsonschema
import numpy as np
import pytest

from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog.agent import Agent
from visprog.answer import VERSION, Answer, Thumbnails, json_schema
from visprog.check import Diagnostic
from visprog.files import limits as limits_module
from visprog.files.limits import SizeLimits
from visprog.llm.chat import Tokens
from visprog.runtime.call import Call
from visprog.runtime.steps import Step
from visprog.values import Box, Circle, Grid, Line, Mask, Point, Polygon, Region
from visprog.values.codec import schemas, show
from visprog.values.image import Image

SCHEMA = json_schema()

IMAGE = picture()
CORNERS = (Point(0, 0), Point(9.5, 0), Point(3, 7))
MASK = Mask(np.eye(4, 6, dtype=bool), Box(2, 3, 8, 7))
VALUES: list[Any] = [
    None, True, 0, -3, 10**30, 2.5, math.inf, -math.inf, "", "<b>&\"'\u202e\x00", [], [1, ["a", None]],
    (1, (2, "b")), {1, 2}, frozenset(), {"a": [1], "type": "Box"}, {1: (2,)}, 
    Box(0, 0.5, 10, 20), Point(1, 2),
    Circle(Point(5, 5), 2.5, "red"), Line(CORNERS[:2], None), Polygon(CORNERS, "blue"),
    Grid(2, 3, Box(0, 0, 6, 4)), MASK,
    Region(Box(1, 2, 3, 4)), Region(Box(1, 2, 3, 4), "dög", 0.25, None, MASK),
]  # fmt: skip


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with Agent(FakePlanner(), {}, registry=REGISTRY) as made:
        yield made


def validate(data: Any) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(data)


def as_text(answer: Answer, **options: Any) -> str:
    return json.dumps(answer.to_json(**options), allow_nan=False)


def same(a: Any, b: Any) -> bool:
    """Equal values; masks by their content."""
    if isinstance(a, Mask):
        return isinstance(b, Mask) and a.box == b.box and bool((a.pixels == b.pixels).all())
    if isinstance(a, Region) and isinstance(b, Region):
        return (a.box, a.label, a.score, a.image) == (b.box, b.label, b.score, b.image) and same(
            a.mask, b.mask
        )
    return type(a) is type(b) and a == b


def test_the_schema_is_one_and_knows_every_kind_of_value() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert {*schemas()} <= {*SCHEMA["$defs"]}


@pytest.mark.parametrize("value", VALUES, ids=lambda v: type(v).__name__)
def test_values_survive(value: Any) -> None:
    data = json.loads(as_text(Answer("answered", value)))
    validate(data)
    back = Answer.from_json(data)
    expected = set(value) if isinstance(value, frozenset) else value
    assert same(expected, back.value)
    assert back.to_json() == data


def test_not_a_number_survives() -> None:
    assert math.isnan(Answer.from_json(as_text(Answer("answered", math.nan))).value)


def test_pictures_survive() -> None:
    edited = Image(255 - IMAGE.pixels, name="edited")
    data = json.loads(as_text(Answer("answered", edited, images=(IMAGE,))))
    validate(data)
    back = Answer.from_json(data)
    assert (back.value.pixels == edited.pixels).all() and back.value.name == "edited"
    assert back.images[0].size == (60, 40)
    assert back.to_json() == data


def test_an_edited_picture_is_kept_whole_and_others_as_thumbnails() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (800, 1000, 3), dtype=np.uint8)
    answer = Answer("answered", Image(255 - noise), images=(Image(noise),))
    data = json.loads(as_text(answer))
    validate(data)
    assert [p["scale"] for p in data["pictures"].values()] == [1.0, 0.64]
    back = Answer.from_json(data)
    assert (back.value.pixels == 255 - noise).all()
    assert max(back.images[0].size) == 640
    assert back.to_json() == data  # which still says how large the picture was


def test_a_region_does_not_spoil_the_picture_that_is_the_answer() -> None:
    noise = Image(np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8))
    answer = Answer("answered", [Region(Box(0, 0, 5, 5), image=noise), noise])
    assert (Answer.from_json(as_text(answer)).value[1].pixels == noise.pixels).all()


def test_alpha_survives() -> None:
    rng = np.random.default_rng(0)
    image = Image.open(rng.integers(0, 256, (20, 30, 4), dtype=np.uint8))
    back = Answer.from_json(as_text(Answer("answered", image))).value
    assert back.digest == image.digest


def test_crops_name_their_root() -> None:
    crop = IMAGE.crop(Box(10, 5, 30, 25)).crop(Box(15, 10, 20, 20))
    data = Answer("answered", crop).to_json()
    validate(data)
    assert data["value"]["origin"] == [15, 10] and data["value"]["root"] == IMAGE.digest
    assert set(data["pictures"]) == {crop.digest, IMAGE.digest}


def test_without_pictures() -> None:
    answer = Answer("answered", IMAGE, images=(IMAGE,))
    data = json.loads(as_text(answer, pictures=False))
    validate(data)
    assert "pictures" not in data
    back = Answer.from_json(data)
    assert back.value is None and back.images == () and back.to_json() == data
    assert Answer.from_json(as_text(answer)).to_json(pictures=False) == data


def test_everything_else_survives() -> None:
    call = Call(
        "detect",
        {"image": IMAGE, "what": "dog"},
        [Region(Box(0, 0, 1, 1), image=IMAGE)],
        "",
        2,
        0.5,
        True,
        "onnx",
    )
    failed = Call("detect", {"0": "x"}, None, "wrong", None, 0.0)
    answer = Answer(
        "refused", None, "nobody can", "How?", "return 1",
        (Diagnostic("code", 1, 0, "message", None, "warning"),),
        (call, failed), (IMAGE,), 1.25, "fake", 0.5, 12,
        (Step("x", (Diagnostic("a", 1, 2, "b", "c"),), "failed", "fake", trace=(call,), tokens=Tokens(7, 5)),),
        "printed", "kernel",
    )  # fmt: skip
    data = json.loads(as_text(answer))
    validate(data)
    back = Answer.from_json(data)
    for name in (
        "status",
        "message",
        "question",
        "program",
        "diagnostics",
        "seconds",
        "planner",
        "probability",
    ):
        assert getattr(back, name) == getattr(answer, name)
    assert back.trace[0].cached and back.trace[0].result[0].box == Box(0, 0, 1, 1)
    assert back.to_json() == data and back.to_html() == answer.to_html()


@pytest.mark.parametrize(
    "program",
    [
        "def answer(image):\n    return detect(crop(image, detect(image, 'a')[1]), 'b')\n",
        "def answer(image):\n    return [find_shapes(image), {'n': 1, 'd': detect(image, 'x')}]\n",
        "def answer(image):\n    return invert(image)\n",
        "def answer(image):\n    print('hi')\n    return detect(image, 'unicorn')\n",
        "def answer(image):\n    return detect(image, 'crash')\n",
        "def answer(image):\n    return largest(detect(image, 'ghost'))\n",
        "def answer(image):\n    return nothing\n",
        "def answer(image)\n",
        "def answer(image):\n    return lie(image)\n",
        "def answer(image):\n    return image.crop\n",
        "",
    ],
)
def test_real_answers_are_as_the_schema_says(agent: Agent, program: str) -> None:
    for pictures in (True, False):
        data = json.loads(as_text(agent.run(program, IMAGE), pictures=pictures))
        validate(data)
        assert Answer.from_json(data).to_json() == data


@pytest.mark.parametrize(
    ("place", "value"),
    [("images", [{"type": "Image"}]), ("diagnostics", [{"line": 1}]), ("seconds", []), ("steps", {}),
     ("trace", [{"tool": "detect"}]), ("pictures", {"0" * 64: {"width": {}}}), ("version", True)],
)  # fmt: skip
def test_parts_of_another_form_are_refused_before_anything_is_made_of_them(place: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"\.{place}|version"):
        Answer.from_json({**Answer("answered").to_json(), place: value})


def test_what_is_no_answer_is_refused() -> None:
    for data in (
        "{}",
        '{"answer": 2}',
        "[]",
        "3",
        "no JSON",
        "",
        b"\xff",
        "[" * 100_000,
        '{"a":' * 100_000,
        None,
        3,
    ):
        with pytest.raises(ValueError, match="this is not an answer: it"):
            Answer.from_json(data)
    with pytest.raises(ValueError, match=r"not a whole answer: .*'status' is a required"):
        Answer.from_json({"version": 1})
    for version in (0, 3, "2", None, [1]):
        with pytest.raises(ValueError, match="read it with the visprog that made it, or ask again"):
            Answer.from_json({**Answer("answered", 1).to_json(), "version": version})


def test_an_answer_of_version_1_is_read() -> None:
    """Its shapes do not say in which image they lie."""
    shapes = {"type": "Circle", "center": [5, 5], "radius": 2.5, "color": "red"}, {
        "type": "Line", "points": [[0, 0], [9.5, 0]], "color": None,
    }  # fmt: skip
    old = {**Answer("answered").to_json(), "version": 1, "value": list(shapes)}
    back = Answer.from_json(json.dumps(old))
    assert back.value == [Circle(Point(5, 5), 2.5, "red"), Line(CORNERS[:2], None)]
    assert back.to_json() == old and "red circle at (5, 5)" in back.to_html()


def test_attempts_of_version_1_are_steps() -> None:
    found = Diagnostic("unknown-tool", 1, 0, "no such tool")
    attempts = [
        {"program": "return a()", "error": "", "diagnostics": [found.to_json()]},
        {"program": "return b()", "error": "line 1: ValueError", "diagnostics": []},
    ]
    old = {**Answer("answered", 3, program="return 3").to_json(), "version": 1, "attempts": attempts}
    del old["steps"]
    back = Answer.from_json(json.dumps(old))
    assert [s.program for s in back.steps] == ["return a()", "return b()", "return 3"]
    assert back.steps[0].diagnostics == (found,) and back.steps[1].feedback == "line 1: ValueError"
    assert (back.steps[2].status, back.steps[2].value) == ("answered", 3)
    assert "line 1: ValueError" in back.to_html() and Answer.from_json(back.to_json()).steps == back.steps


def test_the_form_is_exact_and_knows_the_image_of_shapes() -> None:
    box = Box(0.1 + 0.2, 1 / 3, 10, 20)
    answer = Answer("answered", [Region(box, "x", 1 / 7, IMAGE), Circle(Point(5, 5), 2, "red", IMAGE)])
    data = json.loads(as_text(answer))
    validate(data)
    region, circle = Answer.from_json(data).value
    assert (region.box, region.score, data["version"]) == (box, 1 / 7, VERSION)
    assert circle.image.digest == region.image.digest == IMAGE.digest


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "change",
    [
        {"status": "bogus"}, {"status": ["answered"]}, {"message": None}, {"program": 3}, {"question": {}},
        {"seconds": "long"}, {"pictures": []}, {"pictures": {IMAGE.digest: 1}}, {"images": 3},
        {"images": ["x"], "trace": [1]},
        {"trace": [{}]}, {"trace": {"a": 1}}, {"diagnostics": [{"a": 1}]}, {"steps": 3}, {"steps": [{}]},
        {"value": {"type": ["x"]}},
        {"value": {}}, {"value": {"type": "Box", "box": [1]}}, {"value": {"type": "Box", "box": ["a", 1, 2, 3]}},
        {"value": {"type": "Grid", "rows": 1}}, {"value": {"type": "float", "text": "x"}},
        {"value": {"type": "set", "items": [[1]]}}, {"value": {"type": "dict", "items": [1]}},
        {"value": {"type": "Mask", "box": [0, 0, 1, 1], "png": "?"}},
        {"value": {"type": "Mask", "box": [0, 0, 1, 1], "png": "bm90IGEgcG5n"}},
        {"value": {"type": "Image", "digest": []}},
        {"value": {"type": "Image", "digest": "d", "name": ""}, "pictures": {"d": {"data": "bm90IGEgcG5n"}}},
    ],
)  # fmt: skip
def test_a_broken_answer_is_refused_with_one_kind_of_error(change: dict[str, Any]) -> None:
    data = {**Answer("answered", 1, images=(IMAGE,)).to_json(), **change}
    with pytest.raises(ValueError, match="not a whole answer"):
        Answer.from_json(data)


def test_an_answer_that_is_nested_deeply_is_refused() -> None:
    data = {**Answer("answered", 1).to_json(), "value": nested(5000)}
    with pytest.raises(ValueError, match="nested too deeply"):
        Answer.from_json(data)


def test_any_text_survives() -> None:
    everything = "".join(map(chr, range(0x110000)))
    text = everything.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    for answer in (Answer("answered", text, program=text), Answer("answered", {text: text}, message=text)):
        written = as_text(answer)
        assert written.isascii() and Answer.from_json(written.encode()).value == answer.value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "yes"), (False, "no"), (3, "3"), (0.12345, "0.123"), (0.0001, "0.0001"),
        ([], "nothing"), ("", "nothing"),
        ([1, True], "1, yes"), ([[0.1, 0.2], 3], "[0.1, 0.2], 3"), ([[], {"a": (1, 2)}], "[], {a: [1, 2]}"),
        ({"a": [1, 2], "b": 3}, "a: [1, 2], b: 3"),
        ({"a": 0.5}, "a: 0.5"), (IMAGE, "an image of 60 x 40 pixels"),
        (Region(Box(1, 2, 3.4, 4.6), "dog"), "dog at (1, 2) to (3, 5)"),
        (Grid(2, 3, Box(0, 0, 6, 4)), "grid at (0, 0) to (6, 4)"),
        (Box(0, 0, 1, 1), "box at (0, 0) to (1, 1)"),
    ],
)  # fmt: skip
def test_values_in_words(value: Any, words: str) -> None:
    assert show(value) == words


def test_steps_survive_the_json_form() -> None:
    wrong = 'def answer(image):\n    return len(detekt(image, "dog"))\n'
    fails = "def answer(image):\n    return int(read_text(image))\n"
    right = 'def answer(image):\n    return detect(image, "dog")\n'
    with Agent(FakePlanner(wrong, fails, right), {}, registry=REGISTRY) as agent:
        answer = agent.ask("Where are dogs?", IMAGE)
    data = json.loads(as_text(answer))
    validate(data)
    back = Answer.from_json(data)
    assert back.to_json() == data
    assert [s.program for s in back.steps] == [wrong, fails, right]
    first, second, last = back.steps
    assert first.diagnostics[0].code == "unknown-tool" and not first.feedback and first.status == "error"
    assert second.feedback.startswith("line 2: ValueError") and second.trace[0].result == "STOP"
    assert last.status == "answered" and len(last.value) == 2 and last.tokens == Tokens(10, 5)
    assert answer.tokens == 45 and [s.tokens for s in back.steps] == [Tokens(10, 5)] * 3


def test_an_answer_of_many_images_keeps_some_as_thumbnails_and_says_so() -> None:
    rng = np.random.default_rng(0)
    made = [Image(rng.integers(0, 255, (700, 1000, 3), dtype=np.uint8)) for _ in range(4)]
    kept = Thumbnails(max_pixels=2 * 700_000)
    for image in made:
        kept.keep_value(image, True)
    assert [p["scale"] for p in kept.data.values()] == [1.0, 1.0, 0.64, 0.64]
    (sentence,) = kept.caution
    assert "2 images of it as thumbnails" in sentence and "raise 'answer_pixels'" in sentence
    few = Thumbnails(max_pixels=2 * 448 * 640)
    for image in made:
        few.keep(image)
        few.keep(image)
    assert len(few.data) == 2
    assert "2 images of its evidence not at all" in few.caution[0]


def test_the_json_form_has_a_limit_of_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "_in_force", SizeLimits(answer_pixels=100 * 100))
    images = [Image(np.full((90, 90, 3), i, np.uint8)) for i in range(3)]
    answer = Answer("answered", images[:2], images=tuple(images), cautions=("beware",))
    data = answer.to_json()
    validate(data)
    assert len(data["pictures"]) == 2
    assert data["cautions"][0] == "beware"
    assert "1 images of its evidence not at all" in data["cautions"][1]
    assert answer.cautions == ("beware",)
    back = Answer.from_json(json.dumps(data))
    assert len(back.images) == 2 and back.to_json() == data
    assert "beware" in answer.to_html()
    assert len(answer.to_json(pictures=False)["cautions"]) == 1
