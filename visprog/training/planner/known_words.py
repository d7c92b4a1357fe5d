"""What the corpus knows of words: which of them say nothing, and with which programs the others are used.

The embedded planner's second judge (`visprog.planner.embedded.support`) reads this beside its own table. It comes
from the templates alone: a template says everything that its program does, so each of its words, outside the slots,
is either said by the program or says nothing.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from visprog.planner.embedded.planner import finish
from visprog.planner.embedded.support import signature
from visprog.planner.embedded.vocabulary import normalize

from .corpus import (
    EMOJI,
    FIGURES,
    GENERIC,
    NUMBERS,
    ORDINALS,
    POLYGONS,
    ROUND,
    Corpus,
    Sample,
    pluralise,
    templates,
    words,
)

ANYWHERE = 5
"""A word that is used with so many different kinds of program says nothing."""

DRAWS = 6
"""Samples of each pattern, whose programs show what kinds there are."""


def known_words(recorded: Iterable[Sample] = ()) -> dict[str, Any]:
    """The table, ready for `json.dumps`.

    Args:
        recorded: samples beyond the templates, all of whose words that are not copied are taken likewise.

    Returns:
        `anywhere`: words that say nothing; `words`: words, each with the numbers of the `signatures` of the
        programs that they are used with; `vocabulary`: every word that is spelled right; `nouns`: words that name
        objects; `states`: words that say how an object looks.
    """
    content = _content()
    seen: dict[str, set[str]] = defaultdict(set)
    corpus = Corpus(0, wear=False)
    for pattern, ways in templates().items():
        if pattern == "out_of_scope":
            continue
        kinds = {_signature(corpus.draw(pattern)) for _ in range(DRAWS)}
        for template in itertools.chain.from_iterable(ways.values()):
            for word in _plain(re.sub(r"\{[^{}]*\}", " ", template)):
                seen[word] |= kinds
    for word in _nouns():
        seen.pop(word, None)  # what is looked for is said by the program, or not at all
    for sample in recorded:
        copied = {w for text in re.findall(r'"([^"]*)"', sample.program) for w in _plain(text)}
        for word in _plain(sample.question):
            if word not in copied:
                seen[word].add(_signature(sample))
    worn = set(_plain(re.sub(r"\{[^{}]*\}", " ", " ".join(_openings()))))
    anywhere = {w for w, kinds in seen.items() if len(kinds) >= ANYWHERE} | worn
    signatures = sorted(set().union(*seen.values()))
    numbers = {text: i for i, text in enumerate(signatures)}
    slots = set(_plain(" ".join(_slot_words())))
    return {
        "anywhere": " ".join(sorted(anywhere - (content - worn))),
        "signatures": signatures,
        "words": {w: sorted(numbers[k] for k in kinds) for w, kinds in sorted(seen.items())},
        "nouns": " ".join(sorted(_nouns())),
        "states": " ".join(sorted(_states())),
        "worn": sorted(_worn()),
        "vocabulary": " ".join(sorted({w for w in (*seen, *worn, *content, *slots) if w.isalpha()})),
    }


def save(path: Path, recorded: Iterable[Sample] = ()) -> None:
    """Write the table to a file."""
    path.write_text(
        json.dumps(known_words(recorded), ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8"
    )


def _signature(sample: Sample) -> str:
    return signature(finish(sample.program, sample.question))


def _plain(text: str) -> list[str]:
    return [word for word, _, _ in normalize(text) if re.search(r"[^\W_]", word)]


def _openings() -> list[str]:
    table = words()
    names = (
        "prefixes",
        "prefixes_question",
        "prefixes_request",
        "prefixes_direct",
        "suffixes",
        "image_words",
    )
    return [str(text) for name in names for text in table[name]]


def _content() -> set[str]:
    """Words that name what is looked for; none of them says nothing."""
    table = words()
    lists = ("nouns", "everyday", "mass", "colors", "attributes", "parts", "sizes")
    found = {w for name in lists for text in table[name] for w in _plain(str(text))}
    return {w for w in found if len(w) > 2} - set(
        "with for and the out off high low made of in on up down".split()
    )


def _nouns() -> set[str]:
    """The last words of all nouns, and of what is worn or held, in singular and plural."""
    table = words()
    nouns = [str(n) for name in ("nouns", "everyday", "parts", "mass") for n in table[name]]
    nouns += [str(n) for _, _, objects in table["conditions"] for n in objects if " " not in str(n)]
    nouns += [
        *GENERIC,
        *POLYGONS,
        *ROUND,
        *FIGURES,
        "block",
        "brick",
        "tower",
        "people",
        "persons",
        "items",
        "image",
    ]
    heads = {re.split(r" (?:of|with|in|on) ", n)[0].split()[-1] for n in nouns}
    return heads | {pluralise(n).split()[-1] for n in heads}


def _worn() -> set[str]:
    """What is worn or held, and the parts of things, in singular and plural."""
    table = words()
    things = {str(n) for _, _, objects in table["conditions"] for n in objects} | {
        str(p) for p in table["parts"]
    }
    return things | {pluralise(t) for t in things}


def _states() -> set[str]:
    """Words of attributes and conditions."""
    table = words()
    said = [str(text) for name in ("attributes", "predicates", "sizes", "colors") for text in table[name]]
    for verb, participle, objects in table["conditions"]:
        said += [verb, participle, f"{verb}s", *map(str, objects), *(pluralise(str(o)) for o in objects)]
    return {w for w in _plain(" ".join(said)) if len(w) > 1} - {"parked"}  # cars on a photograph mostly are


def _slot_words() -> list[str]:
    table = words()
    nouns = [str(n) for name in ("nouns", "everyday", "parts") for n in table[name]]
    said = [str(p) for p in table["predicates"]]
    for verb, participle, objects in table["conditions"]:
        said += [verb, participle, *map(str, objects), *(pluralise(str(o)) for o in objects)]
    for name in ("superlatives", "relations", "places"):
        said += [str(text) for texts in table[name].values() for text in texts]
    said += [*EMOJI, *NUMBERS, *ORDINALS, *GENERIC, *POLYGONS, *ROUND, *FIGURES, *map(str, table["colors"])]
    said += [pluralise(n) for n in (*POLYGONS, *ROUND, *FIGURES, *GENERIC)]
    return [*nouns, *(pluralise(n) for n in nouns), *said, *map(str, table["scenes"])]
