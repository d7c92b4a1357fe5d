"""What only shows when a program runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from visprog.check import Diagnostic, check, dry_run
from visprog.check.dry_run import LIBRARY
from visprog.check.fakes import StandIns, documented_values
from visprog.program import Program
from visprog.registry import Registry, default_registry, tool
from visprog.sandbox import Limits, Sandbox, process
from visprog.values import Circle, Grid, Image

FROM_CORPUS = 10
"""How many of the correct programs are run: each takes three processes."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(cpu=1.0, grace=5.0), library=LIBRARY) as shared:
        yield shared


def found(
    source: str, registry: Registry, sandbox: Sandbox, images: int | None = None, **options: Any
) -> list[Diagnostic]:
    program = Program.parse(source)
    assert [d for d in check(program, registry) if d.severity == "error"] == []
    return dry_run(program, registry, inputs=program.inputs(images), sandbox=sandbox, **options)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return detect(image, 'dog')[0].label", ["empty-result warning"]),
        ("return 10 / len(detect(image, 'dog'))", ["empty-result warning"]),
        ("return max(d.score for d in detect(image, 'dog'))", ["empty-result warning"]),
        (
            "a, b = detect(image, 'dog')[:2]\n    return a.left_of(b)",
            ["empty-result warning", "few-results warning"],
        ),
        ("return detect(image, 'dog')[1].label", ["empty-result warning", "few-results warning"]),
        ("return best(detect(image, 'dog')).label", []),
        ("return nth(detect(image, 'dog'), 1).label", []),
        (
            "return left_to_right(detect(image, 'dog'))[3].label",
            ["empty-result warning", "few-results warning"],
        ),
        ("ds = detect(image, 'dog')\n    i = len(ds)\n    return ds[i]", ["may-fail warning"]),
        ("d = {}\n    return d['dog']", ["fails error"]),
        ("return 1 / (len(detect(image, 'dog')) - len(detect(image, 'cat')))", ["may-fail warning"]),
        ("n = 0\n    while n < 3:\n        m = n + 1\n    return m", ["endless error"]),
        ("while not detect(image, 'dog'):\n        image = image\n    return 1", ["limit warning"]),
        ("if not detect(image, 'dog'):\n        raise ValueError('no dog')\n    return 1", []),
        ("assert detect(image, 'dog'), 'no dog'\n    return 1", []),
        ("raise ValueError('always')", []),
        ("return int(vqa(image, 'How many?'))", []),
        ("x = [1]\n    return x.pop() if x.pop() else None", ["fails error"]),
        ("return None", []),
        ("x = [image, 'dog']\n    return detect(*x[::-1])", ["argument-type error"]),
    ],
)
def test_findings(body: str, expected: list[str], registry: Registry, sandbox: Sandbox) -> None:
    source = f"def answer(image):\n    {body}\n"
    got = found(source, registry, sandbox)
    assert sorted(f"{d.code} {d.severity}" for d in got) == expected, got
    assert all(1 < d.line <= source.count("\n") or d.code in ("no-answer", "endless") for d in got)


HANGS_ON_WHAT_IS_MADE_UP = {
    "a, b = best(detect(image, 'a')), best(detect(image, 'b'))\nreturn Box(a.right, 0, b.left, 9).area": "min(…)",
    "return read_text(image).split('\\n')[1]": "test len(…) first",
    "hour, minute = read_text(image).split(':')\nreturn hour": "before it is taken apart",
    "return {'stop': 1}[read_text(image)]": "use .get(…)",
    "return 9 / (len(detect(image, 'a')) - len(detect(image, 'b')))": "divisor is not 0",
    "return min(r.width for r in detect(image, 'a') if r.label == 'b')": "default=…",
    "return next(r for r in detect(image, 'a') if r.label == 'b').box": "second argument",
    "a, b = detect(image, 'a')[:2]\nreturn a.box.intersection(b).area": "is not None",
    "for d in detect(image, 'a'):\n    if d.label == 'b':\n        found = d\nreturn found": "before the branch",
    "return len(detect(crop_half(image, vqa(image, 'which?')), 'a'))": "one of those",
    "a, b = detect(image, 'a')[:2]\nreturn crop(image, a.box.intersection(b)).width": "is not None",
    "return ['a', 'b'].index(vqa(image, 'which?'))": "whatever is found",
    "return {'stop': 1}.get(read_text(image))": "on every way",
    "while image.width > 9:\n    image = crop_half(image, 'left')\nreturn 1": "comes to its end",
    "return 1 / (image.width - 640)": "divisor is not 0",
    "import math\nreturn math.sqrt(-len(detect(image, 'a')))": "whatever is found",
}


@pytest.mark.parametrize("source", HANGS_ON_WHAT_IS_MADE_UP)
def test_what_hangs_on_a_made_up_value_is_a_warning(
    source: str, registry: Registry, sandbox: Sandbox
) -> None:
    got = found(source, registry, sandbox)
    assert got and {d.severity for d in got} == {"warning"}
    assert HANGS_ON_WHAT_IS_MADE_UP[source] in str(got[-1].suggestion)


@pytest.mark.parametrize(
    "source",
    [
        "t = {'a': 1, 'b': 'x'}\nreturn t['b'] + t['a']",
        "t = [len, 1]\nreturn t[1](detect(image, 'a'))",
        "return {'a': 1}['b'] + len(detect(image, 'a'))",
        "return 1 / 0",
        "return Box(1, 2, 0, 3).area",
        "def answer(images):\n    a, b = [1, 2, 3]\n    return len(images)",
    ],
)
def test_what_is_certain_whatever_the_values_is_an_error(
    source: str, registry: Registry, sandbox: Sandbox
) -> None:
    (diagnostic,) = found(source, registry, sandbox, images=2 if "images" in source else 1)
    assert (diagnostic.code, diagnostic.severity) == ("fails", "error")


def test_texts_that_a_tool_documents_are_those_that_it_makes_up(sandbox: Sandbox) -> None:
    @tool
    def dominant_color(image: Image) -> str:
        """The colour.

        One of red, blue, or green. Nothing else.
        """
        raise NotImplementedError

    @tool
    def quality(image: Image) -> str:
        """One of "good", "fair", "poor"; never empty."""
        raise NotImplementedError

    assert documented_values(dominant_color) == ["red", "blue", "green"]
    assert documented_values(quality) == ["good", "fair", "poor"]
    registry = Registry([dominant_color, quality])
    source = (
        "colors = {'red': 1, 'blue': 2, 'green': 3}\nmarks = {'good': 1, 'fair': 2, 'poor': 3}\n"
        "return sum(colors[dominant_color(image)] + marks[quality(image)] for i in range(5))\n"
    )
    assert dry_run(source, registry, sandbox=sandbox) == []


def test_as_many_pictures_as_a_program_takes(registry: Registry, sandbox: Sandbox) -> None:
    three = "def answer(images):\n    a, b, c = images\n    return a.width + b.width + c.width\n"
    fourth = "def answer(images):\n    return images[3].width\n"
    millionth = "def answer(images):\n    return images[999999].width if len(images) > 999999 else 0\n"
    script = "a, b = images\nreturn len(detect(b, 'dog'))\n"
    for source in (three, fourth, millionth, script):
        assert found(source, registry, sandbox) == []
    (diagnostic,) = found(three, registry, sandbox, images=2)
    assert "not enough values to unpack (expected 3, got 2)" in diagnostic.message


def test_the_type_of_the_answer(registry: Registry, sandbox: Sandbox) -> None:
    source = "def answer(image):\n    d = {'a': detect(image, 'a'), 'b': 1}\n    return d['a']\n"
    (diagnostic,) = found(source, registry, sandbox, returns=int)
    assert (diagnostic.code, diagnostic.message) == (
        "return-type",
        "the answer must be int, not list[Region]",
    )
    assert found(source, registry, sandbox, returns=list) == []


def test_several_pictures(registry: Registry, sandbox: Sandbox) -> None:
    assert (
        found("def answer(images):\n    return len(images)\n", registry, sandbox, images=3, returns=int) == []
    )
    assert (
        found("def answer(one, two):\n    return one.width + two.width\n", registry, sandbox, images=2) == []
    )
    assert (
        found("def answer(images):\n    a, b = images\n    return a.width\n", registry, sandbox, images=2)
        == []
    )
    assert found("return len(images) + image.width\n", registry, sandbox, images=2) == []


@pytest.mark.parametrize(
    ("head", "body", "inputs"),
    [
        ("one, two, three", "one.width + two.width + three.width", {"one": Image, "two": Image, "three": Image}),
        ("grid", "grid.rows * grid.columns", {"grid": Grid}),
        ("board", "board.rows", {"grid": Grid}),
        ("image, spots", "len(detect(image, 'dog')) + spots[2].radius", {"image": Image, "spots": list[Circle]}),
        ("*, spots", "sum(s.area for s in spots)", {"image": Image, "spots": tuple[Circle, Circle]}),
    ],
)  # fmt: skip
def test_inputs_of_any_name_and_type(
    head: str, body: str, inputs: dict[str, Any], registry: Registry, sandbox: Sandbox
) -> None:
    program = Program.parse(f"def answer({head}):\n    return {body}\n")
    assert check(program, registry, inputs=inputs, returns=float) == []
    assert dry_run(program, registry, inputs=inputs, returns=float, sandbox=sandbox) == []
    (unknown,) = check(f"def answer({head}):\n    return ({body}).colour\n", registry, inputs=inputs)
    assert (unknown.code, unknown.name) == ("unknown-attribute", "colour")


def test_a_list_of_known_length_has_no_more(registry: Registry, sandbox: Sandbox) -> None:
    source = "def answer(spots):\n    return spots[2].radius\n"
    assert dry_run(source, registry, inputs={"spots": list[Circle]}, sandbox=sandbox) == []
    (found,) = dry_run(source, registry, inputs={"spots": tuple[Circle, Circle]}, sandbox=sandbox)
    assert "IndexError" in found.message


def test_what_the_sandbox_refuses(registry: Registry, sandbox: Sandbox) -> None:
    codes = [d.code for d in dry_run("import os\nreturn 1\n", registry, sandbox=sandbox)]
    assert codes == ["forbidden-import"]
    assert [d.code for d in dry_run("return (", registry, sandbox=sandbox)] == ["syntax-error"]


def test_a_sandbox_of_its_own(registry: Registry) -> None:
    source = "def answer(image):\n    return detect(image, 'dog')[0]\n"
    assert [d.code for d in dry_run(source, registry, seconds=1.0)] == ["empty-result"]


def test_correct_programs_have_no_error(
    registry: Registry, sandbox: Sandbox, corpus: list[tuple[str, str]]
) -> None:
    for name, source in corpus[:: max(1, len(corpus) // FROM_CORPUS)]:
        program = Program.parse(source)
        inputs = program.inputs(2 if "answer(images)" in source else 1)
        errors = [
            d for d in dry_run(program, registry, inputs=inputs, sandbox=sandbox) if d.severity == "error"
        ]
        assert errors == [], name


def test_stand_ins_give_what_they_declare(registry: Registry) -> None:
    from visprog.check.fakes import plain_image
    from visprog.registry.types import accepts

    image = plain_image()
    for stand_ins in (StandIns(0, (False,), ("",)), StandIns(3, (True, False), ("2", "4"))):
        for each in registry.called.values():
            given = {p.name: stand_ins.make(p.type, {}, 1) for p in each.parameters}
            given["image"] = image
            result = stand_ins.stand_in(each)(**given)
            assert accepts(each.returns, result), each.name


def test_a_program_is_tried_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    class Counted(process.WorkerProcess):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            started.append(self.pid)

    monkeypatch.setattr(process, "WorkerProcess", Counted)
    with Sandbox(Limits(cpu=1.0, grace=5.0), library=LIBRARY, standby=0) as alone:
        source = "def answer(image):\n    return len(detect(image, 'dog'))\n"
        assert dry_run(source, default_registry(), sandbox=alone) == []
    assert len(started) == 1
