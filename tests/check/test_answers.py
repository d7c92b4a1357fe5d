"""What a program is given, and what it answers."""

from __future__ import annotations

from typing import Any

import pytest

from visprog.check import check
from visprog.registry import Registry
from visprog.values import Image, Region


def codes(source: str, registry: Registry, **options: Any) -> list[str]:
    return [f"{d.code} {d.line}:{d.column}" for d in check(source, registry, **options)]


def body(expression: str) -> str:
    return f'def answer(image):\n    dogs = detect(image, "dog")\n    return {expression}\n'


@pytest.mark.parametrize(
    ("returns", "expression"),
    [
        (bool, "len(dogs) > 0"),
        (bool, "bool(dogs)"),
        (bool, "not dogs"),
        (bool, "any(d.score > 0.5 for d in dogs)"),
        (int, "len(dogs)"),
        (int, "sum(1 for d in dogs if d.score > 0.5)"),
        (float, "len(dogs)"),
        (float, "dogs[0].score"),
        (str, "dogs[0].label if dogs else 'none'"),
        (str, "f'{len(dogs)} dogs'"),
        (list, "dogs"),
        (list, "[d.label for d in dogs]"),
        (list[Region], "[]"),
        (list[str], "[d.label for d in dogs]"),
        (Region, "best(dogs)"),
        (Region | None, "dogs[0] if dogs else None"),
        (Image, "crop(image, dogs[0])"),
        (bool, "max(dogs, key=lambda d: unknown_to_types(d)) if False else True"),
    ],
)
def test_an_answer_of_the_type_that_was_asked_for(returns: Any, expression: str, registry: Registry) -> None:
    source = body(expression) + "def unknown_to_types(d): return unknown_to_types(d)\n"
    assert codes(source, registry, returns=returns) == []


@pytest.mark.parametrize(
    ("returns", "expression", "hint"),
    [
        (bool, "dogs", "write len(dogs) > 0"),
        (bool, "len(dogs)", "write len(dogs) > 0"),
        (bool, "caption(image)", "compare it with what is asked for"),
        (int, "dogs", "write len(dogs)"),
        (int, "dogs[0].score", "write int(dogs[0].score)"),
        (int, "len(dogs) > 0", "write int(len(dogs) > 0)"),
        (float, "caption(image)", "write float(caption(image))"),
        (str, "best(dogs)", "write best(dogs).label"),
        (str, "len(dogs)", "write str(len(dogs))"),
        (list, "best(dogs)", "write [best(dogs)]"),
        (list[Region], "[d.label for d in dogs]", None),
        (Image, "dogs", None),
        (bool, "None", None),
    ],
)
def test_an_answer_of_another_type(
    returns: Any, expression: str, hint: str | None, registry: Registry
) -> None:
    (found,) = check(body(expression), registry, returns=returns)
    assert (found.code, found.line, found.column) == ("return-type", 3, 11)
    if hint:
        assert found.suggestion == hint


def test_each_return_is_judged_by_itself(registry: Registry) -> None:
    source = 'def answer(image):\n    if detect(image, "dog"):\n        return "yes"\n    return False\n'
    assert codes(source, registry, returns=bool) == ["return-type 3:15"]
    assert codes(source, registry, returns=str) == ["return-type 4:11"]
    assert codes(source, registry) == []


def test_the_result_of_a_script_is_judged(registry: Registry) -> None:
    assert codes('result = detect(image, "dog")\n', registry, returns=int) == ["return-type 1:9"]
    assert codes('return detect(image, "dog")\n', registry, returns=int) == ["return-type 1:7"]
    assert codes('result = len(detect(image, "dog"))\n', registry, returns=int) == []


def test_a_script_may_come_to_its_end_without_a_return(registry: Registry) -> None:
    assert codes('if detect(image, "dog"):\n    return True\n', registry) == ["missing-return 1:0"]


@pytest.mark.parametrize(
    ("inputs", "head"),
    [
        ({"image": Image}, "image"),
        ({"image": Image}, "photo"),
        ({"image": Image}, "image, what='dog'"),
        ({"image": Image}, ""),
        ({"images": list[Image]}, "images"),
        ({"before": Image, "after": Image}, "before, after"),
        ({"before": Image, "after": Image}, "after"),
        ({"before": Image, "after": Image}, "*, after"),
    ],
)
def test_inputs_that_fit(inputs: dict[str, Any], head: str, registry: Registry) -> None:
    assert codes(f"def answer({head}):\n    return 1\n", registry, inputs=inputs) == []


@pytest.mark.parametrize(
    ("inputs", "head", "expected", "hint"),
    [
        ({"image": Image}, "image, other", ["wrong-inputs 1:18"], "write def answer(image)"),
        ({"before": Image, "after": Image}, "before, aftre", ["wrong-inputs 1:19"], "write 'after'"),
        (
            {"before": Image, "after": Image},
            "images",
            ["wrong-inputs 1:11"],
            "write def answer(before, after)",
        ),
        ({"image": Image}, "*, other", ["wrong-inputs 1:14"], "write def answer(image)"),
    ],
)
def test_inputs_that_do_not_fit(
    inputs: dict[str, Any], head: str, expected: list[str], hint: str, registry: Registry
) -> None:
    source = f"def answer({head}):\n    return 1\n"
    assert codes(source, registry, inputs=inputs) == expected
    assert check(source, registry, inputs=inputs)[0].suggestion == hint


def test_inputs_have_types(registry: Registry) -> None:
    source = "def answer(pictures):\n    return [caption(p) for p in pictures]\n"
    assert codes(source, registry, inputs={"pictures": list[Image]}) == []
    assert codes(source, registry, inputs={"image": Image}) == ["not-iterable 2:32"]
    assert codes("return caption(n)", registry, inputs={"n": int}) == ["argument-type 1:15"]
    assert codes("return caption(m)", registry, inputs={"n": int}) == ["unknown-name 1:15"]


def test_an_image_that_is_named_so_has_a_type(registry: Registry) -> None:
    assert codes("def answer(image1, image2):\n    return image1 + 1\n", registry) == ["operand-types 2:11"]
    assert codes("def answer(images):\n    return images.width\n", registry) == ["unknown-attribute 2:18"]
    assert codes("def answer(x: Image):\n    return x.wdth\n", registry) == ["unknown-attribute 2:13"]
    assert codes("def answer(x):\n    return x.width + 1\n", registry) == []
