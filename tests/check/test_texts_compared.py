"""A text that is compared with a truth or a number: always false, and so an error; a wary program stays as it is."""

from __future__ import annotations

import pytest

from visprog.check import check
from visprog.registry import Registry

ASKED = 'vqa(image, "Is there a dog?")'


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        (f"return {ASKED} == True", "ask verify(…) in place of a text, or write"),
        (f"return {ASKED} is True", "ask verify(…)"),
        (f"return {ASKED} is not False", "ask verify(…)"),
        (f"return True == {ASKED}", "ask verify(…)"),
        (f"return {ASKED}.lower() != False", "ask verify(…)"),
        (f"said = {ASKED}\nprint(said)\nreturn said == False", 'said.strip().lower().startswith("yes")'),
        (
            f"said = {ASKED}\nif said == True:\n    return 'a'\nif said == False:\n    return 'b'",
            "ask verify(…)",
        ),
        (f"return {ASKED} == 2", "float("),
        (f"return {ASKED} in (1, 2)", ""),
        (f"return {ASKED} == len(detect(image, 'dog'))", "float("),
        ("return read_text(image) == 5", "float("),
        ("return [r for r in detect(image, 'dog') if r.label == 3]", "float("),
    ],
)
def test_a_text_never_equals_a_truth_or_a_number(source: str, hint: str, registry: Registry) -> None:
    found = [d for d in check(source, registry) if d.code == "always-same"]
    assert found and {d.severity for d in found} == {"error"}
    assert hint in str(found[0].suggestion)


@pytest.mark.parametrize(
    "source",
    [
        f'said = {ASKED}\nreturn said == True or said == "yes"',
        f'return {ASKED} == True or {ASKED} == "yes"',
        f'said = {ASKED}\nif said == True or said.lower().startswith("y"):\n    return True\nreturn False',
        f"said = {ASKED}\nif said == 2:\n    return 2\nreturn int(said)",
    ],
)
def test_a_wary_program_is_only_warned(source: str, registry: Registry) -> None:
    found = [d for d in check(source, registry) if d.code == "always-same"]
    assert found and {d.severity for d in found} == {"warning"}


@pytest.mark.parametrize(
    "source",
    [
        f'return ({ASKED} == "yes") == True',
        'return verify(image, "a dog") == True',
        f"number = int({ASKED})\nreturn number == 2",
        f'return {ASKED} in (True, "yes")',
        'dog = best(detect(image, "dog"))\nreturn dog is None',
        'return largest(detect(image, "dog")) is leftmost(detect(image, "dog"))',
    ],
)
def test_what_can_be_equal_is_not_reported(source: str, registry: Registry) -> None:
    assert not [d for d in check(source, registry) if d.code == "always-same"]
