"""What the backends in force cannot see is found before a program runs."""

from __future__ import annotations

import pytest

from visprog.check import Diagnostic, check
from visprog.config import Config
from visprog.registry import Registry, default_registry
from visprog.runtime.host import Host

ONNX = {"tools": {"detect": {"backend": "onnx", "model": "none.onnx"}}}


def in_force(settings: dict[str, object]) -> Registry:
    return Host(default_registry(), Config.of(settings)).in_force


@pytest.fixture(scope="module")
def coco() -> Registry:
    """Tools whose `detect` knows the 80 classes of COCO; the file of the network need not be there to know that."""
    return in_force(ONNX)


@pytest.fixture(scope="module")
def basic() -> Registry:
    """The tools without any configuration."""
    return in_force({})


def refused(source: str, registry: Registry) -> list[Diagnostic]:
    return [d for d in check(source, registry) if d.refusal]


def one(body: str, registry: Registry) -> Diagnostic:
    (found,) = refused(f"def answer(image):\n    {body}\n", registry)
    assert (found.code, found.severity) == ("unseen-phrase", "error")
    return found


def test_a_phrase_that_cannot_be_seen_is_an_error_where_it_stands(coco: Registry) -> None:
    found = one('return len(detect(image, "man"))', coco)
    assert (found.line, found.column) == (2, 29)
    assert found.message.startswith("the network none.onnx has no class 'man' (the nearest is 'person'")
    assert found.suggestion == (
        "write detect(…, 'person'), if every person will do: nothing in force tells a man from others, so that else it "
        "cannot be answered"
    )


def test_where_the_difference_can_be_verified_the_remedy_says_how() -> None:
    registry = in_force({"tools": {**ONNX["tools"], "verify": {"backend": "siglip"}}})
    found = one('return len(detect(image, "Women"))', registry)
    assert found.suggestion == (
        "write detect(…, 'person'), and keep those for which verify(x, 'a woman') is true"
    )


@pytest.mark.parametrize(
    "body",
    [
        'return detect(image, what="zebu")',
        'what = "zebu"\n    return detect(image, what)',
        'return [len(detect(image, w)) for w in ["cat", "zebu"]]',
        'return {w: len(detect(image, w)) for w in ("cat", "zebu")}',
        'n = 0\n    for w in ["cat", "zebu"]:\n        n += len(detect(image, w))\n    return n',
        'def count(w):\n        return len(detect(image, w))\n    return count("cat") + count("zebu")',
        'f = lambda w: detect(image, w)\n    return f("zebu")',
        'return detect(image, "cat" if image.width > 9 else "zebu")',
        'return detect(crop_half(image, "left"), "zebu")',
    ],
)
def test_constants_are_followed_to_the_call(coco: Registry, body: str) -> None:
    assert "'zebu'" in one(body, coco).message
    assert refused(f"def answer(image):\n    {body}\n".replace("zebu", "zebra"), coco) == []


def test_all_phrases_of_one_argument_are_explained(coco: Registry) -> None:
    found = one('return [detect(image, w) for w in ["wall", "sign", "sofa"]]', coco)
    assert "'wall'" in found.message and "'sign'" in found.message and "sofa" not in found.message
    assert found.suggestion is not None and "'stop sign'" in found.suggestion
    assert "'sink'" not in found.message + found.suggestion


@pytest.mark.parametrize(
    ("what", "remedy"),
    [
        ("sign", "detect(…, 'stop sign') finds one kind of it, and no other, or call find_text(image, …)"),
        ("seat", "detect(…, 'chair'), 'couch', 'bench' finds some kinds of it, and no other"),
        ("crowd", "detect(…, 'person') finds what it is made of, each by itself"),
        ("face", "call find_faces(image)"),
        ("octagon", "call find_polygons(image, …)"),
        ("left car", "write detect(…, 'car'), and choose with leftmost(…)"),
        ("car on the right", "write detect(…, 'car'), and choose with rightmost(…)"),
        ("umbrela", "did you mean 'umbrella'?"),
        ("wall", "answer it from what detect sees ('visprog tools detect' lists it), or say that it cannot be "
                 "answered: never take another object for it"),
    ],
)  # fmt: skip
def test_the_remedy_keeps_the_meaning(coco: Registry, what: str, remedy: str) -> None:
    assert one(f"return detect(image, {what!r})", coco).suggestion == remedy


def test_a_place_does_not_stand_for_the_kind() -> None:
    registry = in_force({"tools": {**ONNX["tools"], "verify": {"backend": "siglip"}}})
    assert one('return detect(image, "man on the left")', registry).suggestion == (
        "write detect(…, 'person'), and keep those for which verify(x, 'a man') is true and choose with leftmost(…)"
    )


def test_several_kinds_are_looked_for_one_at_a_time(coco: Registry, basic: Registry) -> None:
    for registry in (coco, basic):
        assert "names 2 kinds of object" in one('return detect(image, "cats and dogs")', registry).message
        assert "says what is not there" in one('return detect(image, "no dogs")', registry).message


@pytest.mark.parametrize(
    "source",
    [
        "def answer(image, what):\n    return detect(image, what)",
        "def answer(image):\n    return detect(image, read_text(image))",
        'def answer(image):\n    return [detect(image, c + " car") for c in ["red"]]',
        'def detect(image, what):\n    return []\ndef answer(image):\n    return detect(image, "zebu")',
    ],
)
def test_what_is_not_known_is_not_reported(coco: Registry, source: str) -> None:
    assert refused(source, coco) == []


@pytest.mark.parametrize(
    "caught", ["", " ToolError", " Exception", " (ValueError, ToolError)", " ToolError as e"]
)
def test_a_program_may_catch_the_refusal(coco: Registry, caught: str) -> None:
    source = (
        f'def answer(image):\n    try:\n        found = detect(image, "zebu")\n'
        f'    except{caught}:\n        found = detect(image, "cow")\n    return len(found)\n'
    )
    assert refused(source, coco) == []
    assert len(refused(source.replace('"cow"', '"wall"'), coco)) == 1


def test_another_error_does_not_catch_it(coco: Registry) -> None:
    source = 'def answer(image):\n  try:\n    return detect(image, "zebu")\n  except KeyError:\n    return 0'
    assert len(refused(source, coco)) == 1


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ('detect(image, "dog")', "cannot see 'dog'"),
        ('verify(image, "a person wearing a hat")', "whether 'a person wearing a hat' is true"),
        ('verify(image, "an open door")', "verify sees colour"),
        ('match(image, "a wren")', "match sees colour"),
        ('classify(image, ["glass", "clay"])', "classify sees colour"),
        ('has_color(image, "plaid")', "the colour 'plaid' is not known"),
        ('find_circles(image, color="shiny")', "the colour 'shiny' is not known"),
        ('find_polygons(image, "circle")', "for circles call find_circles"),
        ('cover(image, [], "emoji", "unicorn")', "the emoji 'unicorn' is not known"),
        ('cupl_prompts("unicorn")', "no sentences about 'unicorn'"),
    ],
)
def test_every_tool_that_declares_its_words_is_checked(basic: Registry, call: str, what: str) -> None:
    assert what in one(f"return {call}", basic).message


@pytest.mark.parametrize(
    "call",
    [
        'detect(image, "small black triangle")', 'detect(image, "people")', 'verify(image, "the car is dark blue")',
        'verify(image, "red")', 'classify(image, ["red", "navy"])', 'match(image, "dark")', 'has_color(image, "teal")',
        'find_polygons(image, "squares", "light blue")',
        'cover(image, [], "emoji", "heart")', 'find_lines(image, None)',
    ],
)  # fmt: skip
def test_what_can_be_seen_is_not_reported(basic: Registry, call: str) -> None:
    assert refused(f"def answer(image):\n    return {call}", basic) == []


@pytest.mark.parametrize(
    ("tool", "more"), [("vqa", ', "what?"'), ("caption", ""), ("segment_everything", "")]
)
def test_a_tool_without_a_backend_is_named_with_what_would_serve(
    basic: Registry, tool: str, more: str
) -> None:
    (found,) = check(f"def answer(image):\n    return {tool}(image{more})", basic)
    assert (found.code, found.line, found.column, found.severity) == ("absent-tool", 2, 11, "error")
    assert f"[tools.{tool}]" in found.message and "backend = " in found.message
    served = in_force({"tools": {tool: {"backend": "embedded"}}})
    more = more.replace("what?", "what color is the star ?")
    assert refused(f"def answer(image):\n    return {tool}(image{more})", served) == []


def test_open_vocabularies_take_every_phrase() -> None:
    registry = in_force({"tools": {"detect": {"backend": "owlv2"}, "verify": {"backend": "clip"}}})
    source = (
        'def answer(image):\n    return [x for x in detect(image, "zebu") if verify(x, "a zebu that laughs")]'
    )
    assert refused(source, registry) == []
