"""The types of questions: how each is asked, and the program that answers it.

{p} and {q} are the phrases that the question names, {bare} and {bare2} the same without sizes, {a} and {a2} with
articles, {many} and {many2} in the plural, {word} a relation, texture or comparison in words, {method} a relation of
regions, {compare} < or >.
"""

from __future__ import annotations

WORDINGS: dict[str, tuple[str, ...]] = {
    "existence": ("Is there {a}?", "Do you see {a}?", "Does the picture show {a}?"),
    "count": ("How many {many} are there?", "How many {many} do you see?", "What is the number of {many}?"),
    "color": ("What color is the {p}?", "What colour is the {p}?", "Which color does the {p} have?"),
    "shape": ("What shape is the {p}?", "Which shape does the {p} have?", "What is the shape of the {p}?"),
    "texture": ("Is the {p} {word}?", "Is it true that the {p} is {word}?", "Does the {p} look {word}?"),
    "size": ("Is the {p} {word} than the {q}?", "Compared with the {q}, is the {p} {word}?"),
    "relation": ("Is the {p} {word} the {q}?", "Does the {p} lie {word} the {q}?"),
    "relation_color": (
        "What color is the thing {word} the {p}?",
        "What colour has the thing {word} the {p}?",
    ),
    "relation_shape": ("What shape is the thing {word} the {p}?", "Which shape lies {word} the {p}?"),
    "extreme_color": ("What color is the {word} thing?", "What colour has the {word} thing?"),
    "extreme_shape": ("What shape is the {word} thing?", "Which shape does the {word} thing have?"),
    "compare_counts": ("Are there more {many} than {many2}?", "Do the {many} outnumber the {many2}?"),
    "and": ("Is there {a} and {a2}?", "Do you see both {a} and {a2}?"),
    "or": ("Is there {a} or {a2}?", "Do you see {a} or {a2}?"),
}
"""Type of question → ways to ask."""

QUESTION_TYPES = tuple(WORDINGS)
COLOR_QUESTIONS = frozenset(("color", "relation_color", "extreme_color"))
"""Types of questions whose answer is a colour."""

_BODIES = {
    "existence": """
return len(detect(image, "{p}")) > 0
""",
    "count": """
return len(detect(image, "{p}"))
""",
    "color": """
return dominant_color(segment(image, the(image, "{p}", "{bare}")))
""",
    "shape": """
return classify(the(image, "{p}", "{bare}"), [{shapes}])
""",
    "texture": """
return verify(the(image, "{p}", "{bare}"), "{statement}")
""",
    "size": """
one = the(image, "{p}", "{bare}")
other = the(image, "{q}", "{bare2}")
return one.area {compare} other.area
""",
    "relation": """
one = the(image, "{p}", "{bare}")
other = the(image, "{q}", "{bare2}")
return one.{method}(other)
""",
    "relation_color": """
other = the(image, "{p}", "{bare}")
there = [t for t in detect(image, "thing") if t.{method}(other) and t.distance(other) > 0]
return dominant_color(segment(image, best(there)))
""",
    "relation_shape": """
other = the(image, "{p}", "{bare}")
there = [t for t in detect(image, "thing") if t.{method}(other) and t.distance(other) > 0]
return classify(best(there), [{shapes}])
""",
    "extreme_color": """
return dominant_color(segment(image, {word}(detect(image, "thing"))))
""",
    "extreme_shape": """
return classify({word}(detect(image, "thing")), [{shapes}])
""",
    "compare_counts": """
return len(detect(image, "{p}")) > len(detect(image, "{q}"))
""",
    "and": """
return len(detect(image, "{p}")) > 0 and len(detect(image, "{q}")) > 0
""",
    "or": """
return len(detect(image, "{p}")) > 0 or len(detect(image, "{q}")) > 0
""",
}

_THE = """

def the(image, phrase, bare):
    found = detect(image, phrase)
    return best(found) if found else max(detect(image, "thing"), key=lambda t: match(t, bare))
"""
"""The one object that a phrase names: where the detector is not sure of any, that which fits its words best."""

PROGRAMS: dict[str, str] = {
    question_type: "def answer(image):\n"
    + "".join(f"    {line}\n" for line in body.strip().splitlines())
    + (_THE if "the(" in body else "")
    for question_type, body in _BODIES.items()
}
"""Type of question → source of a program."""
