from __future__ import annotations

import json

from visprog.check import Diagnostic, check, render_diagnostics
from visprog.registry import Registry

SOURCE = (
    'def answer(image):\n    dogs = dtect(image, "dog")\n    crop_half(image, "left")\n    return len(dogs)\n'
)


def test_as_a_compiler_prints(registry: Registry) -> None:
    text = render_diagnostics(check(SOURCE, registry), SOURCE, "p.py")
    assert text.splitlines() == [
        "p.py:2:12: error: there is no tool or function 'dtect' [unknown-tool]",
        ' 2 |     dogs = dtect(image, "dog")',
        "   |            ^^^^^",
        "   = help: did you mean 'detect'? detect(image: Image, what: str) -> list[Region]",
        "",
        "p.py:3:5: warning: the result of crop_half is dropped: nothing is changed in place [unused-result]",
        ' 3 |     crop_half(image, "left")',
        "   |     ^^^^^^^^^",
        "   = help: keep it: result = crop_half(image, 'left')",
        "",
        "1 error, 1 warning",
    ]


def test_nothing_to_say(registry: Registry) -> None:
    assert render_diagnostics([], SOURCE) == ""


def test_colour(registry: Registry) -> None:
    found = check(SOURCE, registry)
    assert "\x1b[31merror\x1b[0m" in render_diagnostics(found, SOURCE, color=True)
    assert "\x1b" not in render_diagnostics(found, SOURCE)


def test_the_caret_stands_under_wide_characters_and_tabs(registry: Registry) -> None:
    source = 'x = "日本"; y = nothing\nif x:\n\tz = nothing\nreturn y\n'
    lines = render_diagnostics(check(source, registry), source).splitlines()
    assert lines[1:3] == [' 1 | x = "日本"; y = nothing', "   | " + " " * 16 + "^^^^^^^"]
    assert lines[6:8] == [" 3 |     z = nothing", "   | " + " " * 8 + "^^^^^^^"]


def test_a_program_cannot_write_to_the_terminal() -> None:
    source = "x = '\x1b[2J\u202e'"
    text = render_diagnostics([Diagnostic("odd", 1, 0, "bad \x1b[2J", "no \x07")], source)
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text


def test_a_place_outside_the_program_is_printed_without_a_line() -> None:
    assert (
        render_diagnostics([Diagnostic("odd", 99, 7, "strange")], "x = 1").splitlines()[0]
        == "program.py:99:8: error: strange [odd]"
    )


def test_json(registry: Registry) -> None:
    (first, second) = json.loads(json.dumps([d.to_json() for d in check(SOURCE, registry)]))
    assert (first["code"], first["severity"], first["line"], first["column"]) == (
        "unknown-tool",
        "error",
        2,
        11,
    )
    assert second["severity"] == "warning"
    assert set(first) == {"code", "line", "column", "message", "suggestion", "severity", "name"}
