"""The static check: findings, their places, their alternatives; and that a check runs nothing."""

from __future__ import annotations

import ast

import pytest

from visprog.sandbox import Diagnostic, check, parse
from visprog.sandbox.library import load


def codes(source: str, **options: object) -> list[str]:
    return [diagnostic.code for diagnostic in check(source, **options)]  # type: ignore[arg-type]


def test_all_findings_at_once_in_order() -> None:
    source = "import os\nclass A:\n    pass\nx = eval('1') + y\nz = x.__class__\nwith x: pass\nresult = x.foo"
    found = check(source)
    assert [(d.line, d.column, d.code) for d in found] == [
        (1, 0, "forbidden-import"),
        (2, 0, "forbidden-statement"),
        (4, 4, "forbidden-name"),
        (4, 16, "undefined-name"),
        (5, 4, "forbidden-attribute"),
        (6, 0, "forbidden-statement"),
        (7, 9, "forbidden-attribute"),
    ]
    assert all(d.suggestion for d in found if d.code not in ("undefined-name", "forbidden-attribute"))


def test_a_diagnostic_is_text_and_json() -> None:
    diagnostic = Diagnostic(
        "forbidden-name", 3, 7, "'eval' is not part of the language", "write it out", name="eval"
    )
    assert str(diagnostic) == "3:7: forbidden-name 'eval' is not part of the language"
    assert diagnostic.to_json() == {
        "code": "forbidden-name",
        "line": 3,
        "column": 7,
        "message": "'eval' is not part of the language",
        "suggestion": "write it out",
        "severity": "error",
        "name": "eval",
    }
    assert hash(diagnostic)


def test_a_tree_is_checked_like_its_source() -> None:
    source = "import os\nx = y\nresult = x.__class__"
    tree = parse(source)
    assert isinstance(tree, ast.Module) and check(tree) == check(source) != []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import os", "os"),
        ("from math import sqroot", "sqroot"),
        ("x = y", "y"),
        ("x = eval", "eval"),
        ("_x = 1", "_x"),
        ("tool = 1", "tool"),
        ("x = 'a'.__class__", "__class__"),
        ("x = 'a'.foo", "foo"),
        ("print(file=1)", "file"),
        ("tool(_a=1)", "_a"),
        ("with 1: pass", ""),
    ],
)
def test_a_diagnostic_carries_the_name_that_it_is_about(source: str, name: str) -> None:
    (found,) = check(source, tools=["tool"])
    assert found.name == name and name in found.message


def test_names() -> None:
    assert codes("result = image") == ["undefined-name"]
    assert codes("result = image", names={"image"}) == []
    assert codes("result = detect(1)", tools=["detect"]) == []
    assert codes("detect = 1\nresult = detect", tools=["detect"]) == ["rebound-tool"]
    assert codes("image = 1\nresult = image", names={"image"}) == []
    (finding,) = check("result = detcet(1)", tools=["detect"])
    assert finding.suggestion == "did you mean 'detect'?"


def test_scopes() -> None:
    good = """
def f(a, *b, c=1, **d):
    def g():
        return a, b, c, d, h
    return [x for x in b if (y := x)], y, g
h = lambda q: (q, f)
try:
    pass
except ValueError as e:
    print(e)
for i, (j, *k) in []:
    del i
result = {m: n for m, n in [(j, k)]}
"""
    assert codes(good) == []
    assert codes("def f():\n    x = 1\nresult = x") == ["undefined-name"]
    assert codes("result = [x for x in []] + [x]") == ["undefined-name"]
    assert codes("result = (lambda x: x)(x)") == ["undefined-name"]


def test_attributes() -> None:
    assert codes("result = image.width", names={"image"}) == ["forbidden-attribute"]
    assert codes("result = image.width", names={"image"}, attributes=["width"]) == []
    shapes = load("shapes:LIBRARY")
    assert codes("result = largest([]).box.left_of(Box(1, 2, 3, 4))", library=shapes) == []
    assert codes("result = largest([]).box.secret()", library=shapes) == ["forbidden-attribute"]


def test_annotations_are_types_and_not_read() -> None:
    """They are dropped, so their names need not be defined; but they hold nothing that could do something."""
    good = "def answer(x: F | 'B' = 1, *y: a.c) -> L[open, None]:\n    z: dict[str, G] = 2\n    w: Nope\n    return z"
    assert codes(good) == []
    for bad in ("a.__c__", "eval(q)", "(lambda: 0)", "[x for x in y]"):
        assert codes(f"def answer(x: {bad}):\n    return 1") == ["forbidden-expression"], bad
        assert codes(f"x: {bad} = 1\nresult = x") == ["forbidden-expression"], bad


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("x = (", "syntax-error"),
        ("result = 'a\0b'", "bad-character"),
        ("result = '\ud800'", "bad-character"),
        ("result = '\u202e'", "bad-character"),
        ("result = " + "(" * 70, "too-deep"),
        ("result = " + "-" * 500 + "1", "too-deep"),
        ("result = " + "9" * 400, "too-large"),
        ("#" * 70_000, "too-large"),
        ("result = f(" + ",".join(f"a{i}=1" for i in range(40)) + ")", "too-large"),
        ("result = [" + "0," * 25_000 + "]", "too-large"),
        ("result = " + ".".join(["''", *["strip"] * 150]), "too-deep"),
        ("_x = 1\nresult = 1", "forbidden-name"),
        ("result = print(_sep=1)", "forbidden-name"),
        ("@print\ndef f(): pass\nresult = 1", "forbidden-statement"),
        ("from cmath import sqrt\nresult = sqrt(1)", "forbidden-import"),
        ("from .math import sqrt\nresult = sqrt(1)", "forbidden-import"),
    ],
)
def test_codes(source: str, code: str) -> None:
    assert code in codes(source)


def test_positions_of_characters() -> None:
    (finding,) = check("x = 1\ny = '\u2066'\nresult = 1")
    assert (finding.line, finding.column) == (2, 5)


def test_warnings_of_the_parser_are_not_findings(recwarn: pytest.WarningsRecorder) -> None:
    assert codes("result = '\\d' if 1 is 1 else 0") == []
    assert not recwarn.list


def test_it_only_parses(monkeypatch: pytest.MonkeyPatch) -> None:

    real = compile

    def only_parse(source: object, filename: str, mode: str, flags: int = 0, **rest: object) -> object:
        assert flags & ast.PyCF_ONLY_AST
        return real(source, filename, mode, flags, **rest)  # type: ignore[call-overload]

    monkeypatch.setattr("builtins.compile", only_parse)
    assert codes("result = 1") == []


@pytest.mark.parametrize("name", ["Refused", "(ValueError, VisionError)"])
def test_an_unknown_error_that_is_caught(name: str) -> None:
    (found,) = check(f"try:\n    result = 1\nexcept {name}:\n    result = 2\n")
    assert (found.code, found.suggestion) == (
        "undefined-name",
        "use ToolError for what a tool raises, or Exception",
    )
