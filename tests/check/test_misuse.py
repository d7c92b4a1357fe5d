"""Text taken for truth, words for numbers, a crop's size for a place: found, and not where it is meant."""

from __future__ import annotations

import pytest

from visprog.check import check
from visprog.registry import Registry, tool
from visprog.values import Grid, Image

ASKED = 'vqa(image, "Is there a dog?")'


@pytest.mark.parametrize(
    ("source", "place"),
    [
        (f"if {ASKED}:\n    return True\nreturn False", "1:3"),
        (f"said = {ASKED}.strip().lower()\nreturn True if said else False", "2:15"),
        ("return len([p for p in detect(image, 'person') if vqa(p, 'Is he smiling?')])", "1:50"),
        ("return any(vqa(p, 'Is he smiling?') for p in detect(image, 'person'))", "1:11"),
        ("return all([vqa(p, 'Is he smiling?') for p in detect(image, 'person')])", "1:12"),
        (f"return not {ASKED}", "1:11"),
        (f"return bool({ASKED})", "1:12"),
        (f"assert {ASKED}\nreturn 1", "1:7"),
        ("while not caption(image):\n    image = crop_half(image, 'left')\nreturn 1", "1:10"),
        (f"if len(detect(image, 'dog')) > 0 and {ASKED}:\n    return 1\nreturn 2", "1:37"),
        (f"if not (len(detect(image, 'dog')) > 3 or {ASKED}):\n    return 1\nreturn 2", "1:41"),
        ("if dominant_color(image):\n    return 1\nreturn 2", "1:3"),
    ],
)
def test_a_text_is_no_truth(source: str, place: str, registry: Registry) -> None:
    (found,) = check(source, registry)
    assert (found.code, found.severity) == ("text-as-truth", "error")
    assert f"{found.line}:{found.column}" == place
    if "vqa" in source:
        assert '.strip().lower().startswith("yes"), or use verify(…)' in str(found.suggestion)


@pytest.mark.parametrize(
    "source",
    [
        f'return "yes" in {ASKED}.lower()',
        f'return {ASKED} == "yes"',
        f'return {ASKED} or "unknown"',
        "if read_text(image):\n    return True\nreturn False",
        "return [s for s in detect(image, 'sign') if read_text(s)]",
        f'said = {ASKED}\nif said and said != "no":\n    return True\nreturn False',
        'said = ""\nfor d in detect(image, "dog"):\n    said = caption(d)\nif said:\n    return said\nreturn "none"',
        'def vqa_says(x):\n    return vqa(x, "Is it?") == "yes"\nreturn vqa_says(image)',
        "said = caption(image)\ndef some(said):\n    return 1 if said else 0\nreturn some([]), said",
        'labels = [caption(d) for d in detect(image, "dog")]\nreturn len(labels) if labels else 0',
    ],
)
def test_a_text_that_is_asked_about_is_fine(source: str, registry: Registry) -> None:
    assert check(source, registry) == []


@pytest.mark.parametrize(
    "source",
    [
        "return int(vqa(image, 'How many dogs are there?'))",
        "return float(caption(image))",
        "said = vqa(image, 'How many?').strip()\nreturn int(said.lower())",
        "return sum(int(vqa(d, 'How many spots?')) for d in detect(image, 'dog'))",
    ],
)
def test_words_may_be_no_number(source: str, registry: Registry) -> None:
    (found,) = check(source, registry)
    assert (found.code, found.severity) == ("words-as-number", "warning")
    assert "len(detect(…))" in str(found.suggestion)


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    return int(vqa(image, 'How many?'))\nexcept ValueError:\n    return len(detect(image, 'dog'))",
        "return int(read_text(image))",
        "return int(classify(image, ['1', '2']))",
        "return int(vqa(image, 'How many?').split()[0])",
    ],
)
def test_numbers_that_are_seen_to_are_fine(source: str, registry: Registry) -> None:
    assert check(source, registry) == []


@pytest.mark.parametrize(
    ("source", "instead"),
    [
        (
            "panel = best(detect(image, 'box'))\npart = crop(image, panel)\n"
            "return [d for d in detect(part, 'dog') if d.center.x < part.width / 2]",
            "compare with panel.center.x, panel.left or panel.right",
        ),
        (
            "half = crop_half(image, 'right')\nreturn best(detect(image, 'dog')).left >= half.width",
            "compare with half.box.center.x, half.box.left or half.box.right",
        ),
        (
            "d = best(detect(image, 'dog'))\npart = crop(image, d)\n"
            "return abs(best(detect(part, 'eye')).center.y - part.height / 2) < 5",
            "compare with d.center.y, d.top or d.bottom",
        ),
        (
            "d = best(detect(image, 'dog'))\nimage = crop(image, d, 0.2)\n"
            "return best(detect(image, 'eye')).left / image.width",
            "compare with d.center.x, d.left or d.right",
        ),
        (
            "low = crop_below(image, best(detect(image, 'dog')))\n"
            "return low.height / 2 < best(detect(low, 'cat')).bottom",
            "compare with low.box.center.y, low.box.top or low.box.bottom",
        ),
    ],
)
def test_a_crop_counts_from_its_own_edge(source: str, instead: str, registry: Registry) -> None:
    (found,) = check(source, registry)
    assert (found.code, found.severity, found.suggestion) == ("crop-frame", "error", instead)


@pytest.mark.parametrize(
    "condition",
    [
        "d.center.x < image.width / 2",
        "d.width > part.width / 2",
        "d.center.x < panel.left + part.width / 2",
        "(d.center.x - panel.left) / part.width < 0.5",
        "d.center.x < part.box.center.x",
        "d.center.x < left.width / 2 and d.center.y < left.height",
        "d.center.y < right.height / 2",
        "d.center.x < low.width / 2",
        "d.center.y < half.height / 2",
        "d.center.x < upper.width / 2",
    ],
)
def test_places_in_one_frame_are_fine(condition: str, registry: Registry) -> None:
    source = (
        "panel = best(detect(image, 'box'))\npart = crop(image, panel)\nleft = crop_left_of(image, panel)\n"
        "right = crop_right_of(image, panel)\nlow = crop_below(image, panel)\nhalf = crop_half(image, 'right')\n"
        "upper = crop_half(image, 'top')\nd = best(detect(part, 'dog'))\n"
        f"return {condition}"
    )
    assert check(source, registry) == []


@pytest.mark.parametrize(
    "error", ["", " ToolError", " Exception", " (ValueError, Exception)", " Exception as e"]
)
@pytest.mark.parametrize("answer", ["return 0", "return False", "return []", "n = 0", "pass"])
def test_a_refusal_is_not_to_be_answered(error: str, answer: str, registry: Registry) -> None:
    source = f"n = 1\ntry:\n    n = len(detect(image, 'man'))\nexcept{error}:\n    {answer}\nreturn n\n"
    (found,) = check(source, registry)
    assert (found.code, found.severity, found.line) == ("swallowed-refusal", "warning", 5)


@pytest.mark.parametrize(
    "handler",
    [
        "except ToolError:\n    n = len(detect(image, 'person'))",
        "except ToolError:\n    return 'nothing here sees men'",
        "except ToolError:\n    raise",
        "except ValueError:\n    n = 0",
    ],
)
def test_a_refusal_that_is_seen_to_is_fine(handler: str, registry: Registry) -> None:
    assert check(f"try:\n    n = len(detect(image, 'man'))\n{handler}\nreturn n\n", registry) == []


def test_a_tool_that_fails_where_there_is_nothing(registry: Registry) -> None:
    @tool
    def find_table(image: Image) -> Grid:
        """The table.

        Raises:
            ToolError: there is none.
        """
        raise NotImplementedError

    source = "try:\n    return find_table(image).rows\nexcept ToolError:\n    return 0\n"
    assert check(source, registry | [find_table]) == []
