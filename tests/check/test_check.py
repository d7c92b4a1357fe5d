"""How findings come: once, without echoes, with what was meant, at the place that they are about."""

from __future__ import annotations

import time
from typing import Literal

import pytest

from visprog import sandbox
from visprog.check import Diagnostic, check
from visprog.check.inference.types import (
    INT,
    NEVER,
    STR,
    UNKNOWN,
    Const,
    Fixed,
    Instance,
    from_annotation,
    join,
    list_of,
    show,
)
from visprog.registry import Registry, tool
from visprog.values import Image, Region
from visprog.values.codec import KINDS
from visprog.values.library import ATTRIBUTES, LIBRARY


def only(source: str, registry: Registry) -> Diagnostic:
    found = check(source, registry)
    assert len(found) == 1, list(map(str, found))
    return found[0]


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("dtect(image, 'dog')", "did you mean 'detect'? detect(image: Image, what: str)"),
        ("find(image, 'dog')", "did you mean 'detect'?"),
        ("OCR(image)", "did you mean 'read_text'?"),
        ("query(image, 'what?')", "did you mean 'vqa'?"),
        ("left_most(detect(image, 'dog'))", "did you mean 'leftmost'?"),
        ("len(detect(imag, 'dog'))", "did you mean 'image'?"),
        ("crop(image, bbox=detect(image, 'dog')[0])", "did you mean 'region'?"),
        ("detect(image, label='dog')", "did you mean 'what'?"),
        ("cover(image, find_faces(image), 'pixelated')", "did you mean 'pixelate'?"),
        ("detect(image, 'dog')[0].scroe", "did you mean 'score'?"),
        ("detect(image, 'dog')[0].x1", "write '.left'"),
        ("detect(image, 'dog')[0].bbox", "write '.box'"),
        ("detect(image, 'dog')[0].confidence", "write '.score'"),
        ("detect(image, 'dog')[0].x", "write '.center.x'"),
        ("detect(image, 'dog')[0].is_left_of(3)", "write '.left_of(…)'"),
        ("detect(image, 'dog').label", "loop over it"),
        ("detect(image, 'dog') > 3", "len(detect(image, 'dog'))"),
        ("detect(image, 'dog') == 3", "len(detect(image, 'dog'))"),
        ("detect(image, 'dog')[0] == 'dog'", ".label"),
        ("'dog' in detect(image, 'animal')", "any(x.label == 'dog'"),
        ("crop(image, detect(image, 'dog'))", "best(detect(image, 'dog'))"),
        ("blur_background(image, detect(image, 'dog')[0])", "[detect(image, 'dog')[0]]"),
        ("len(detect)", "call it: detect("),
        ("caption(image) + 1", "write str(1)"),
        ("sum(detect(image, 'dog'))", "len(detect(image, 'dog'))"),
        ("sorted(detect(image, 'dog'))", "key=lambda x: x.area"),
        ("detect('dog', image)", "write detect(image: Image, what: str)"),
        ("crop_left_of(detect(image, 'dog')[0], detect(image, 'cat')[0])", "crop(image, "),
        ("len(d for d in detect(image, 'dog'))", "write list("),
        ("caption(image).contains('dog')", "'part in text'"),
        ("image.shape", "write '.size'"),
        ("detect(image, 'dog')[0][0]", ".left, .top"),
        ("[t for t in len(find_text(image))]", "range(len(find_text(image)))"),
    ],
)
def test_what_was_meant_is_suggested(expression: str, part: str, registry: Registry) -> None:
    found = only(f"def answer(image):\n    return {expression}\n", registry)
    assert part in (found.suggestion or ""), found


def test_a_value_that_was_not_allowed_is_told_what_is(registry: Registry) -> None:
    message = only("return crop_half(image, 'upper')", registry).message
    assert message == "crop_half: 'side' cannot be 'upper'; it is one of 'left', 'right', 'top', 'bottom'"


def test_an_error_has_no_echo(registry: Registry) -> None:
    source = """
def answer(image):
    dogs = dtect(image, "dog")
    first = dogs[0].label.upper() + 3
    for dog in dogs:
        first += dog * 2
    wrong = image.shape[0] / 2 + "x"
    for part in wrong:
        print(part.label, part > 3)
    return first - wrong
"""
    assert [d.code for d in check(source, registry)] == [
        "unknown-tool",
        "unknown-attribute",
    ]


def test_a_finding_in_a_loop_or_a_helper_comes_once(registry: Registry) -> None:
    source = """
def area(r):
    return r.aera

def answer(images):
    total = 0
    for image in images:
        for r in detect(image, "dog"):
            total += area(r) + area(best(detect(image, "cat")))
    return total
"""
    assert str(only(source, registry)).startswith("3:13: unknown-attribute")


def test_severities(registry: Registry) -> None:
    assert only("return detect(image, 'dog')[0] == 'dog'", registry).severity == "warning"
    assert only("return detect(image, 'dog') == 1", registry).severity == "error"
    assert only("crop_half(image, 'left')\nreturn image", registry).severity == "warning"
    assert only("return nothing", registry).severity == "error"


def test_a_diagnostic_is_one_of_the_sandbox(registry: Registry) -> None:
    found = only("return nothing", registry)
    assert isinstance(found, sandbox.Diagnostic)
    assert found.to_json() == {
        "code": "unknown-name",
        "line": 1,
        "column": 7,
        "message": "'nothing' is not defined",
        "suggestion": found.suggestion,
        "severity": "error",
        "name": "nothing",
    }


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("return nothing", "nothing"),
        ("return dtect(image, 'dog')", "dtect"),
        ("return detect(image, 'dog', margn=1)", "margn"),
        ("return detect(image)", "detect"),
        ("return crop(image, 'dog')", "crop"),
        ("return image.name.widht", "widht"),
        ("return [d.__class__ for d in detect(image, 'dog')]", "__class__"),
        ("import numpy\nreturn 1", "numpy"),
        ("from math import sqroot\nreturn 1", "sqroot"),
        ("def answer(image, other):\n    return 1", "other"),
        ("def answer(image):\n    if image.width > 9:\n        return 1", "answer"),
        ("return sum(detect(image, 'dog'))", "sum"),
        ("class A: pass\nreturn 1", ""),
        ("return (", ""),
    ],
)
def test_a_diagnostic_carries_the_name_that_it_is_about(source: str, name: str, registry: Registry) -> None:
    (found,) = check(source, registry, inputs={"image": Image})
    assert found.name == name and (name in found.message or found.code == "missing-return")


def test_attributes_at_one_place_are_told_apart_by_their_names(registry: Registry) -> None:
    found = check("return image.colour.name_of.__dict__", registry)
    assert [(d.code, d.name) for d in found] == [
        ("forbidden-attribute", "__dict__"), ("unknown-attribute", "colour"), ("unknown-attribute", "name_of"),
    ]  # fmt: skip


def test_what_is_forbidden_is_said_by_the_language_check(registry: Registry) -> None:
    source = "import os\nwith open('x') as f:\n    global g\n    eval('1')\nreturn os.path.join('a')\n"
    found = [d.code for d in check(source, registry)]
    language = [d.code for d in sandbox.check(source, ["image", "images"], tools=registry)]
    assert sorted(c for c in found if c.startswith("forbidden")) == sorted(
        c for c in language if c.startswith("forbidden") and c != "forbidden-attribute"
    )
    assert "unknown-attribute" not in found


def test_a_tool_of_ones_own_is_known(registry: Registry) -> None:
    @tool
    def depth_at(image: Image, region: Region, mode: Literal["near", "far"] = "near") -> dict[str, float]:
        """Depth."""
        raise NotImplementedError

    more = registry | [depth_at]
    fine = "d = depth_at(image, detect(image, 'a')[0])\nreturn d['mean'] + 1"
    assert check(fine, more) == []
    assert [d.code for d in check(fine, registry)] == ["unknown-tool"]
    assert only("return depth_at(image, detect(image, 'a')[0], 'middle')", more).code == "argument-type"
    assert only("return depth_at(image, detect(image, 'a')[0]) + 1", more).code == "operand-types"


def test_types_flow_through_generic_functions(registry: Registry) -> None:
    assert only("return largest(find_circles(image)).label", registry).message.startswith("Circle has no")
    assert only("return left_to_right(find_lines(image))[0].radius", registry).message.startswith(
        "Line has no"
    )
    assert check("return largest(find_circles(image)).radius + 1", registry) == []


def test_narrowing(registry: Registry) -> None:
    source = """
def answer(image):
    a, b = leftmost(detect(image, "a")).box, largest(detect(image, "b")).box
    shared = a.intersection(b)
    if not shared:
        return {}
    return shared.area
"""
    assert check(source.format(0), registry) == []
    assert check(source.format("0 if shared is None else shared.area"), registry) == []
    assert only(source.format("shared.area"), registry).code == "none-attribute"


def test_a_narrowed_way_that_cannot_be_taken_is_silent(registry: Registry) -> None:
    source = "x = caption(image)\nif isinstance(x, list):\n    x = x[0].label\nreturn x\n"
    assert check(source, registry) == []


def test_a_program_too_long_to_follow_is_given_up_quietly(registry: Registry) -> None:
    lines = ["def f0(x): return x"]
    lines += [f"def f{i}(x): return f{i - 1}(x) + f{i - 1}(x) + f{i - 1}(x)" for i in range(1, 8)]
    lines += (
        ["def answer(image):"]
        + [f"    a{i} = [f7(x) for x in range(3)]" for i in range(300)]
        + ["    return 1"]
    )
    start = time.process_time()
    assert check("\n".join(lines), registry) == []
    assert time.process_time() - start < 20


def test_deep_expressions_and_calls_are_given_up_quietly(registry: Registry) -> None:
    deep = "+".join(["x"] * 80)
    lines = [f"def f0(x): return {deep}"]
    lines += [f"def f{i}(x): return f{i - 1}({deep}) + {'-' * 70}f{i - 1}(x)" for i in range(1, 9)]
    assert check("\n".join([*lines, "def answer(image): return f8(1)"]), registry) == []
    found = check(f"return {'-' * 70}dtect(image, image.widht)", registry)
    assert {d.code for d in found} == {"unknown-tool", "unknown-attribute"}


def test_a_script_that_names_its_result_otherwise(registry: Registry) -> None:
    assert "name it 'result'" in (only("output = len(detect(image, 'dog'))\n", registry).suggestion or "")
    assert "name it 'answer'" in (only("def solve(image):\n    return 1\n", registry).suggestion or "")


def test_loops_in_loops_end_soon(registry: Registry) -> None:
    source = "def answer(image):\n    x = 0\n"
    for i in range(9):
        source += "    " * (i + 1) + f"for i{i} in range(2):\n"
    source += "    " * 10 + "x = [x, x]\n    return x\n"
    start = time.process_time()
    assert check(source, registry) == []
    assert time.process_time() - start < 20


def test_the_lattice() -> None:
    assert join() == NEVER
    assert join(INT, UNKNOWN) == UNKNOWN
    assert join(Const(1), INT) == INT == join(INT, Const(1))
    assert join(Const(True), Const(1)) != Const(1)
    assert join(list_of(NEVER), list_of(INT)) == list_of(INT)
    assert join(list_of(INT), list_of(STR)) == list_of(join(STR, INT))
    assert join(Fixed((INT, STR)), Fixed((STR, STR))) == Fixed((join(INT, STR), STR))
    assert join(Fixed((INT,)), Fixed((INT, STR))) == Instance(tuple, (join(INT, STR),))
    assert join(*(Const(i) for i in range(100))) == INT
    assert show(from_annotation(list[Region] | None)) == "list[Region] | None"
    assert show(from_annotation(Literal["a", "b"])) == "str"


def test_every_attribute_that_is_open_to_programs_exists(registry: Registry) -> None:
    for name, kind in KINDS.items():
        reads = ", ".join(f"x.{n}" for n in kind.attributes)
        source = f"def f(x: {name}):\n    return [{reads}]\ndef answer(image):\n    return 1\n"
        assert check(source, registry) == []
    assert {kind.cls for kind in LIBRARY.types} == set(ATTRIBUTES)
    assert all(kind.attributes for kind in KINDS.values() if kind.fields)


@pytest.mark.parametrize(
    ("source", "line", "hint"),
    [
        ("", 1, "define 'def answer(...)'"),
        ("x = 1\ny = x", 2, "define 'def answer(...)'"),
        ("def solve(image):\n    return 1", 1, "name it 'answer'"),
    ],
)
def test_a_program_must_have_a_result(source: str, line: int, hint: str, registry: Registry) -> None:
    (found,) = check(source, registry)
    assert (found.code, found.line) == ("no-answer", line)
    assert hint in (found.suggestion or "")
