"""Programs as planners write them: none that is right is refused, what is wrong is found where it stands."""

from __future__ import annotations

from visprog.check import Diagnostic, check, render_diagnostics
from visprog.registry import Registry


def test_a_correct_program_has_no_finding(correct: tuple[str, str], registry: Registry) -> None:
    found = check(correct[1], registry)
    assert not found, "\n" + render_diagnostics(found, correct[1])


def test_a_wrong_program_has_the_one_finding(wrong: tuple[str, str], registry: Registry) -> None:
    found = check(wrong[1], registry)
    assert [_head(d) for d in found] == [wrong[0]], "\n" + render_diagnostics(found, wrong[1])
    assert found[0].message
    assert bool(found[0].name) or found[0].code in NAMELESS


NAMELESS = {
    "always-same", "bad-subscript", "bad-unpack", "forbidden-statement", "no-answer", "operand-types", "return-type",
    "syntax-error",
}  # fmt: skip
"""Codes of what may be about no name: an expression, a statement, or the whole program."""


def _head(found: Diagnostic) -> str:
    return f"{found.code} {found.line}:{found.column}"
