"""Many samples from one: words that stand in the question and in the program alike are exchanged in both.

Colours, numbers and how they compare, kinds of shape, top and bottom, and how many there must be ("there is a box
with …", "there are exactly two boxes with …"). Each exchange is made only where question and program agree on what
is exchanged, so a pair that was right stays right. Other words are exchanged in the question alone, for others of the
same meaning.
"""

from __future__ import annotations

import random
import re
from functools import partial

from .corpus import NUMBERS, Sample, pluralise
from .normalise import in_words_of

COLORS = "black blue yellow red green white orange purple pink brown grey".split()
KINDS = {"circle": "find_circles({}{})", "square": 'find_polygons({}, "squares"{})'} | {
    "triangle": 'find_polygons({}, "triangles"{})'
}
COMPARED = {
    "exactly": "==", "at least": ">=", "atleast": ">=", "at most": "<=", "more than": ">", "less than": "<",
    "fewer than": "<", "only": "==",
}  # fmt: skip
_COUNT = "|".join((*NUMBERS[2:10], *"23456789"))

SAME = (
    (r"(?:items?|objects?|things?)", ("item", "object", "thing", "item", "object", "element")),
    (r"blocks?", ("block", "block", "block", "square", "brick")),
    (r"(?:grey |gray )?(?:boxe?s?)", ("box", "box", "grey box", "gray box")),
)
"""Nouns → others of their meaning, in the singular."""

PHRASES = (
    (r"(?<=touching )(?:the|a|an) (?:wall|edge|side|border)\b(?! of)", "the wall|the edge|the side|a wall|an edge"),
    (r"(?<=not touching )(?:any|the|an) (?:wall|edge|side)\b", "any edge|the edge|any wall|the wall|any side"),
    (r"(?<!as )\b(?:at|on) the (?:base|bottom)\b", "at the base|at the bottom|at the base|on the bottom"),
    (r"(?<=\w )at the top\b", "at the top|on the top|at the top|on top"),
    (r"(?<=block )(?:over|above|on top of|on)(?= an? \w+ block)", "over|above|on top of|on"),
    (r"(?<=tower )(?:with|which has|that has|having)\b", "with|which has|that has|having|containing|with"),
    (r"(?<=box )(?:with|that has)\b", "with|that has|which has|containing|having|that contains"),
    (r"^There (?=is|are)", "There |there |There |There "),
    (r"\bcolou?r", "color|colour"),
    (r"\bat ?least\b", "at least|at least|atleast"),
    (r"\b(?:closely )?touching\b", "touching|touching|closely touching"),
)  # fmt: skip
"""What may be said in several ways."""


def augment(sample: Sample, r: random.Random) -> Sample:
    """Another sample of the same kind; sometimes the same."""
    question, program = sample.question, sample.program
    for change in (_how_many, _colors, _ends, _number, _kind):
        if r.random() < 0.7:
            question, program = change(question, program, r)
    question = _said_otherwise(question, program, r)
    worded = in_words_of(question, program)
    return sample if worded is None else sample._replace(question=question, program=worded)


def _how_many(question: str, program: str, r: random.Random) -> tuple[str, str]:
    """ "There is a …" ↔ "There are exactly two …"."""
    start = re.match(
        rf"(?i)there (?:is|are) (?:(?:exactly|only|at least|atleast) )?(?:an?|1|one|{_COUNT}|no) "
        r"(?P<noun>(?:\w+ )??(?:box|boxes|towers?|items?|objects?|circles?|squares?|triangles?))\b(?P<rest>.*)",
        question,
    )
    parts = _parts(program)
    if start is None or parts is None or re.search(r"\b(?:one|which are|them)\b", start["rest"]):
        return question, program
    over, condition, things = parts
    if things and re.match(r"(?:box|tower)", start["noun"]):
        return question, program
    words = start["noun"].split()
    words[-1] = re.sub(r"(?<=box)es$|(?<!box)s$", "", words[-1])
    one, rest = " ".join(words), start["rest"]
    n = r.choice((2, 2, 2, 3)) if not things else r.choice((2, 2, 3, 4))
    word = r.choice((NUMBERS[n], str(n)))
    many = f"{pluralise(one)}{re.sub(r' has ', ' have ', rest) if r.random() < 0.7 else rest}"
    article = "an" if one[0] in "aeiou" else "a"
    text, test = r.choice(
        (
            (f"There is {article} {one}{rest}", ">= 1"),
            (f"There is {article} {one}{rest}", ">= 1"),
            (f"There is at least one {one}{rest}", ">= 1"),
            (f"There is no {one}{rest}", "== 0"),
            (f"There is exactly one {one}{rest}", "== 1"),
            (f"There is only one {one}{rest}", "== 1"),
            (f"There are exactly {word} {many}", f"== {n}"),
            (f"There are {word} {many}", f"== {n}"),
            (f"There are at least {word} {many}", f">= {n}"),
        )
    )
    if test in (">= 1", "== 0"):
        loops = f" for x in {over}" + (f" for y in {things}" if things else "")
        value = f"{'not ' if test == '== 0' else ''}any({condition}{loops})"
    elif things:
        value = f"sum(len([y for y in {things} if {condition}]) for x in {over}) {test}"
    else:
        value = f"len([x for x in {over} if {condition}]) {test}"
    return text, re.sub(r"return .*", lambda _: f"return {value}", program)


def _parts(program: str) -> tuple[str, str, str] | None:
    """What a program loops over, the condition, and the things in each, where it asks how many fulfil it."""
    if program.count("\n") != 2:
        return None
    line = program.split("return ", 1)[1].strip()
    over = "find_panels(image)"
    if m := re.fullmatch(
        r"(?:not )?any\((?P<c>.*) for x in find_panels\(image\)(?: for y in (?P<s>.*))?\)", line
    ):
        return (over, m["c"], m["s"] or "") if _balanced(m["c"]) and _balanced(m["s"] or "") else None
    if m := re.fullmatch(r"len\(\[x for x in find_panels\(image\) if (?P<c>.*)\]\) (?:==|>=|>) \d", line):
        return (over, m["c"], "") if _balanced(m["c"]) else None
    if m := re.fullmatch(
        r"sum\(len\(\[y for y in (?P<s>.*) if (?P<c>y.*)\]\) for x in find_panels\(image\)\) .. \d", line
    ):
        return (over, m["c"], m["s"]) if _balanced(m["c"]) and _balanced(m["s"]) else None
    return None


def _balanced(code: str) -> bool:
    """True if brackets match and no loop or condition lies outside them."""
    depth, outside = 0, ""
    for char in code:
        depth += (char in "([") - (char in ")]")
        if depth < 0:
            return False
        outside += char if depth == 0 else ""
    return depth == 0 and not re.search(r" (?:for|if) ", outside)


def _colors(question: str, program: str, r: random.Random) -> tuple[str, str]:
    said = [c for c in COLORS if re.search(rf"\b{c}\b", question) and (c != "grey" or f'"{c}"' in program)]
    if not said or any(f'"{c}"' in program and c not in said for c in COLORS):
        return question, program
    pool = COLORS[:3] if len(said) > 1 or r.random() < 0.85 else COLORS
    if len(said) > len(pool):
        return question, program
    new = dict(zip(said, r.sample(pool, len(said)), strict=True))
    pattern = r"\b(" + "|".join(said) + r")\b"
    question = re.sub(pattern, lambda m: new[m[1]], question)
    return question, re.sub(rf'"{pattern[2:-2]}"', lambda m: f'"{new[m[1]]}"', program)


def _ends(question: str, program: str, r: random.Random) -> tuple[str, str]:
    """Top ↔ bottom, above ↔ below, left ↔ right, where each is said once."""
    tops, bottoms = (
        len(re.findall(w, question)) for w in (r"\btop\b(?! of)", r"\b(?:base|bottom)\b(?! of a box)")
    )
    if (
        tops + bottoms == 1
        and len(re.findall(r"\b(?:top|bottom)most\(", program)) == 1
        and "nth(" not in program
    ):
        if tops:
            question = re.sub(r"\btop\b", r.choice(("base", "bottom")), question)
            return question, program.replace("topmost(", "bottommost(")
        question = re.sub(r"\b(?:base|bottom)\b", "top", question)
        return question, program.replace("bottommost(", "topmost(")
    if len(re.findall(r"\b(?:over|above)\b", question)) == 1 and program.count(".above(") == 1:
        word = r.choice(("below", "under"))
        return re.sub(r"\b(?:over|above)\b", word, question), program.replace(".above(", ".below(")
    walls = {
        "left": "y.left < x.left + 1.5", "right": "y.right > x.right - 1.5", "top": "y.top < x.top + 1.5",
        "bottom": "y.bottom > x.bottom - 1.5",
    }  # fmt: skip
    here = [w for w, test in walls.items() if test in program]
    said = re.search(r"touching (?:the )?(right wall|bottom|base)( of a box)?", question)
    if len(here) == 1 and said:
        to = r.choice(list(walls))
        place = r.choice((f"the {to} wall", f"{to} wall", f"the {to} edge", f"the {to}"))
        if to == "bottom":
            place = r.choice((place, "the base"))
        question = question.replace(said[0], f"touching {place}{said[2] or ''}")
        return question, program.replace(walls[here[0]], walls[to])
    return question, program


def _number(question: str, program: str, r: random.Random) -> tuple[str, str]:
    compared = "|".join(COMPARED)
    said = list(re.finditer(rf"\b(?:(?P<how>{compared}) )?(?P<n>{_COUNT})\b", question))
    if len(said) != 1:
        return question, program
    how, word = said[0]["how"], said[0]["n"]
    n = int(word) if word.isdigit() else NUMBERS.index(word)
    used = [
        m
        for m in re.finditer(rf"(==|>=|<=|>|<) {n}\b", program)
        if "distance(" not in program[m.start() - 16 : m.start()]
    ]
    if len(used) != 1 or (how and COMPARED[how] != used[0][1]):
        return question, program
    boxes = program[: used[0].start()].rstrip().endswith("])") and "[x for x in" in program
    m = r.randrange(2, 4) if boxes else r.randrange(2, 8)
    new = (
        r.choice(("exactly", "exactly", "at least", "at most", "more than", "less than", "only"))
        if how
        else ""
    )
    op = COMPARED[new] if new else used[0][1]
    text = f"{new} {r.choice((NUMBERS[m], str(m)))}".strip()
    question = question[: said[0].start()] + text + question[said[0].end() :]
    return question, program[: used[0].start()] + f"{op} {m}" + program[used[0].end() :]


def _kind(question: str, program: str, r: random.Random) -> tuple[str, str]:
    said = {m[1] for m in re.finditer(r"(?<!grey )\b(circle|square|triangle)s?\b", question)}
    if len(said) != 1:
        return question, program
    (kind,) = said
    forms = {
        "circle": r"find_circles\((?P<i>crop\(image, x\)|image)(?P<c>, \"\w+\")?\)",
        "square": r'find_polygons\((?P<i>crop\(image, x\)|image), "squares"(?P<c>, "\w+")?\)',
        "triangle": r'find_polygons\((?P<i>crop\(image, x\)|image), "triangles?"(?P<c>, "\w+")?\)',
    }
    if any(re.search(form, program) for other, form in forms.items() if other != kind):
        return question, program
    new = r.choice(list(KINDS))
    plural = re.search(rf"\b{new}s", re.sub(rf"\b{kind}", new, question)) is not None
    code = KINDS[new] if plural else KINDS[new].replace('"triangles"', '"triangle"')
    program = re.sub(forms[kind], lambda m: code.format(m["i"], m["c"] or ""), program)
    return re.sub(rf"(?<!grey )\b{kind}(?=s?\b)", new, question), program


def _said_otherwise(question: str, program: str, r: random.Random) -> str:
    for pattern, nouns in SAME:
        if r.random() < 0.4 and not ("square" in question and nouns[0] == "block"):
            noun = r.choice(nouns)
            question = re.sub(rf"\b{pattern}\b", partial(_in_number, noun), question)
    for pattern, forms in PHRASES:
        if r.random() < 0.5:
            question = re.sub(pattern, r.choice(forms.split("|")), question)
    if r.random() < 0.3:
        question = re.sub(rf"\b({'|'.join(NUMBERS[1:9])})\b", lambda m: str(NUMBERS.index(m[1])), question)
    if r.random() < 0.4:
        question = question.rstrip(". ")
    elif r.random() < 0.3:
        question = question.rstrip(". ") + "."
    if r.random() < 0.3:
        question = question[:1].lower() + question[1:]
    if r.random() < 0.06:
        words = question.split()
        free = [i for i, w in enumerate(words) if len(w) > 4 and w.strip(".,").lower() not in program.lower()]
        if free:
            i = r.choice(free)
            at = r.randrange(1, len(words[i]) - 1)
            words[i] = words[i][:at] + words[i][at + 1 :]
            question = " ".join(words)
    return question


def _in_number(noun: str, match: re.Match[str]) -> str:
    """A noun in the number of the one that it stands for."""
    return pluralise(noun) if match[0].endswith("s") else noun
