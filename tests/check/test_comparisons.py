"""Comparisons that tell nothing, methods taken for truth, questions that nothing is known of; and what is fine."""

from __future__ import annotations

import pytest

from visprog.check import check
from visprog.registry import Registry, default_registry


@pytest.fixture(scope="module")
def tools() -> Registry:
    """Tools that can be asked for anything."""
    return default_registry()


@pytest.mark.parametrize(
    ("source", "code", "hint"),
    [
        ("return read_text(image).lower() == 'STOP'", "always-same", "write 'stop'"),
        ("return 'STOP' in read_text(image).strip().lower().split()", "always-same", "write 'stop'"),
        ("t = read_text(image).upper()\nreturn t.startswith(('Go', 'NO'))", "always-same", "write 'GO'"),
        ("return dominant_color(image).upper() in ['RED', 'blue']", "always-same", "write 'BLUE'"),
        ("return vqa(image, 'Is it open?') == 'Yes'", "always-same", "write 'yes'"),
        ("said = vqa(image, 'Are there dogs?').strip()\nreturn 'Yes' in said", "always-same", "write 'yes'"),
        ("return [d for d in find_faces(image) if d.score > 50]", "out-of-range", "between 0 and 1"),
        ("return sharpness(image) > 100", "out-of-range", "between 0 and 1"),
        ("return depth(image).at(best(find_faces(image))) < 5", "out-of-range", "between 0 and 1"),
        (
            "d = depth(image)\nfar = d.at(best(find_faces(image)))\nreturn far < 5",
            "out-of-range",
            "between 0 and 1",
        ),
        (
            "a = best(find_faces(image))\nreturn 'left' if a.left_of else 'right'",
            "method-as-truth",
            "a.left_of(…)",
        ),
        ("return [w for w in read_text(image).split() if w.isdigit]", "method-as-truth", "w.isdigit(…)"),
        ("return ask_llm('What is in the image?')", "blind-question", "context="),
        ("return find_faces(image) > find_text(image)", "operand-types", "len(find_faces(image)) > len("),
        (
            "import statistics\nreturn statistics.mean([1]).real",
            "forbidden-import",
            "sum(values) / len(values)",
        ),
        ("from collections import Counter\nreturn Counter([1]).most_common()", "forbidden-import", "dict"),
        ("import os\nreturn os.getcwd()", "forbidden-import", "leave it out"),
    ],
)
def test_what_tells_nothing(source: str, code: str, hint: str, tools: Registry) -> None:
    (found,) = check(source, tools)
    assert (found.code, found.severity) == (code, "error")
    assert hint in str(found.suggestion)


@pytest.mark.parametrize(
    "source",
    [
        "return read_text(image).lower() == 'stop 1'",
        "return 'STOP' in read_text(image)",
        "return 'STOP' in read_text(image).lower().upper()",
        "return vqa(image, 'What does it say?') == 'Yes'",
        "return vqa(image, 'Is it open?').capitalize() == 'Yes'",
        "return vqa(image, 'Is it open?') in ('yes', 'no')",
        "d = depth(image)\nif not d.metric:\n    return 'unknown'\nreturn d.at(best(find_faces(image))) < 5",
        "return depth(image).at(best(find_faces(image))) < 0.5",
        "a = best(find_faces(image))\nreturn 'one' if a.score else 'none'",
        "return ask_llm('What is the capital of France?')",
        "return ask_llm('What does this mean?', read_text(image))",
        "return find_faces(image) == [] or [1, 2] < [1, 3]",
        "s = read_text(image)\nreturn ''.join(reversed(s)) == s",
        "return [k for k in reversed({'a': 1})]",
        "return read_table(image)[0]",
    ],
)
def test_what_tells_something(source: str, tools: Registry) -> None:
    assert check(source, tools) == []


@pytest.mark.parametrize("name", ["max", "min"])
def test_pairs_are_compared_by_their_times(name: str, tools: Registry) -> None:
    def report(answer: str) -> list[str]:
        return [
            d.code
            for d in check(
                f"def answer(video):\n    counts = count_over_time(video, 'car')\n    {answer}", tools
            )
        ]

    assert report(f"return {name}(counts)[1]") == ["pairs-by-time"]
    assert report(f"return {name}(n for _, n in counts)") == []
    assert report(f"return {name}(counts, key=lambda pair: pair[1])") == []


def test_a_list_of_lists_is_not_put_into_a_list(tools: Registry) -> None:
    (found,) = check("def answer(video):\n    return spans_where(count_over_time(video, 'car'))", tools)
    assert found.code == "argument-type" and found.suggestion is None
