"""What only shows when a program runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from visprog.check import Diagnostic, check, dry_run
from visprog.check.dry_run import LIBRARY
from visprog.check.stand_ins import World
from visprog.registry import Registry
from visprog.sandbox import Limits, Sandbox

FROM_CORPUS = 10
"""How many of the correct programs are run: each takes three processes."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(cpu=1.0, grace=5.0), library=LIBRARY) as shared:
        yield shared


def found(source: str, registry: Registry, sandbox: Sandbox, **options: Any) -> list[Diagnostic]:
    assert [d for d in check(source, registry) if d.severity == "error"] == []
    return dry_run(source, registry, sandbox=sandbox, **options)


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
        ("ds = detect(image, 'dog')\n    return ds[len(ds)]", ["fails error"]),
        ("d = {}\n    return d['dog']", ["fails error"]),
        ("return 1 / (len(detect(image, 'dog')) - len(detect(image, 'cat')))", ["fails error"]),
        ("n = 0\n    while n < 3:\n        m = n + 1\n    return m", ["endless error"]),
        ("while not detect(image, 'dog'):\n        image = image\n    return 1", ["limit error"]),
        ("if not detect(image, 'dog'):\n        raise ValueError('no dog')\n    return 1", []),
        ("assert detect(image, 'dog'), 'no dog'\n    return 1", []),
        ("raise ValueError('always')", []),
        ("return int(vqa(image, 'How many?'))", []),
        ("x = [1]\n    return x.pop() if x.pop() else None", ["fails error"]),
        ("t = verify(image, 'x')\n    r = print(t)\n    return r", ["no-answer error"]),
        ("return None", []),
        ("x = [image, 'dog']\n    return detect(*x[::-1])", ["argument-type error"]),
    ],
)
def test_findings(body: str, expected: list[str], registry: Registry, sandbox: Sandbox) -> None:
    source = f"def answer(image):\n    {body}\n"
    got = found(source, registry, sandbox)
    assert sorted(f"{d.code} {d.severity}" for d in got) == expected, got
    assert all(1 < d.line <= source.count("\n") or d.code in ("no-answer", "endless") for d in got)


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
        images = 2 if "answer(images)" in source else 1
        errors = [
            d for d in dry_run(source, registry, images=images, sandbox=sandbox) if d.severity == "error"
        ]
        assert errors == [], name


def test_stand_ins_give_what_they_declare(registry: Registry) -> None:
    from visprog.check.stand_ins import picture
    from visprog.types import accepts

    image = picture()
    for world in (World(0, (False,), ("",)), World(3, (True, False), ("2", "4"))):
        for each in registry.called.values():
            given = {p.name: world.make(p.type, {}, 1) for p in each.parameters}
            given["image"] = image
            result = world.stand_in(each)(**given)
            assert accepts(each.returns, result), each.name
