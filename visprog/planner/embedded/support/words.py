"""Each word of the question stands for something in the program, and each tool of the program for a word."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..grammar import FIXED
from ..vocabulary import normalize
from .features import PSEUDO_WORDS, ProgramFeatures
from .form import type_of
from .lexicon import CorpusWords, lexicon
from .question import NUMBERS, AskedQuestion


def unanswerable(asked: AskedQuestion, done: ProgramFeatures) -> Iterator[str]:
    """Words that ask for what cannot be seen, unless they are to be read or drawn."""
    quoted = {
        i
        for text, tool in done.strings
        if tool in ("find_text", "tag") or (tool == "cover" and text in lexicon().emotions)
        for start, end in asked.find(text)
        for i in range(start, end)
    }
    hiding = bool({"blur_background", "color_pop", "cover:box", "cover:emoji"} & done.features)
    aside = asides(asked, asked.copied(text for text, _ in done.strings))
    for match in lexicon().unanswerable.finditer(asked.text):
        if asked.span(*match.span()) <= aside:
            continue
        if hiding and match[0].startswith("behind"):
            continue  # "blur everything behind the dog", "hide it behind a box"
        if not asked.span(*match.span()) <= quoted:
            yield f"'{match[0]}' asks for what cannot be seen"


def unaccounted(asked: AskedQuestion, done: ProgramFeatures, known: CorpusWords) -> Iterator[str]:
    """Words that the program neither copies nor answers, unless they say nothing."""
    known_words = lexicon()
    yield from (f"'{name}' is looked for and not used" for name in sorted(done.unused))
    if any(tool == "vqa" and is_whole(text, asked) for text, tool in done.strings):
        asked.known.update(range(len(asked.words)))
    copied = asked.copied(text for text, tool in done.strings if tool != "vqa")
    asked.known |= copied
    given = {w for text, tool in done.strings if tool for w in text.lower().split()}
    given |= {w for w in asked.words for noun in done.objects if re.fullmatch(PSEUDO_WORDS.get(noun, "$"), w)}
    for text, tool in done.strings:
        if (
            not tool and set(text.lower().split()) & given
        ):  # "red car" as an answer: it looks for red ones too
            asked.known -= {i for i in asked.copied((text,)) if asked.words[i] not in given}
    for entry in known_words.entries:
        if entry.means & done.features:
            for match in entry.words.finditer(asked.text):
                asked.known |= asked.span(*match.span())
    for match in known_words.ignored.finditer(asked.text):
        asked.known |= asked.span(*match.span())
    if {"person", "find_faces"} & done.features:
        nobody = bool({"none", "not", "index:min"} & done.features)
        for match in known_words.persons.finditer(asked.text):
            if nobody or match[0] not in _NOBODY:
                asked.known |= asked.span(*match.span())
    restricting = type_of(done, done.value) != "truth"
    aside = asides(asked, copied)
    for i, word in enumerate(asked.words):
        if i in aside and not known_words.strict.fullmatch(word) and word not in known.states - known.nouns:
            continue
        if restricting and word in ("only", "just"):
            continue  # it adds nothing to the other words about the object
        if i in asked.known or not re.search(r"[^\W_]", word) or is_number(word):
            continue
        if known_words.strict.fullmatch(word) or not known.accounts(word, done.kind, known_words.asks(word)):
            yield f"'{word}'"


_NOBODY = frozenset(("nobody", "no one", "noone", "no-one", "empty", "deserted"))

_ASIDE = re.compile(
    r"(?:hi |hello |hey |so |ok |okay |sorry |well )*"
    r"(?:i|i'm|i am|i've|we|we're|we've|we are|my|our|it 's|it's|its|this is|that 's|these are|this one is|setting up|"
    r"need|doing|preparing|thanks|because|for)(?!\S)"
)
"""How a clause begins that tells about the speaker."""

_ASKS = re.compile(
    r"(?<!\S)(?:please|can you|could you|would you|tell me|how|is there|are there|what|which|where|who|why|when|if|"
    r"whether|count|blur)(?!\S)"
)
"""Where it begins to ask."""


def asides(asked: AskedQuestion, copied: set[int]) -> set[int]:
    """The words of clauses that tell about the speaker, and name nothing that the program looks for."""
    ends = [i for i, w in enumerate(asked.words) if w in {",", ".", ";", ":", "!", "?", "-", "–"}]
    starts = [0, *(i + 1 for i in ends)]
    found: set[int] = set()
    for start, end in zip(starts, [*ends, len(asked.words)], strict=True):
        clause = " ".join(asked.words[start:end])
        if start < end and _ASIDE.match(clause):
            asks = _ASKS.search(clause)
            stop = start + clause[: asks.start()].count(" ") if asks else end
            found |= set(range(start, stop))
    return set() if found & copied or len(found) == len(asked.words) else found


def is_whole(text: str, asked: AskedQuestion) -> bool:
    return [w for w, _, _ in normalize(text)] == asked.words


def unasked(asked: AskedQuestion, done: ProgramFeatures) -> Iterator[str]:
    """What the program does though no word asks for it."""
    known_words = lexicon()
    copied = {
        i
        for text, tool in done.strings
        if text not in FIXED
        and tool not in ("", "cover", "crop_half")
        and not text.startswith("shape")
        and not is_whole(text, asked)
        for start, end in asked.find(text)
        for i in range(start, end)
    }
    copied |= {i for match in known_words.tags.finditer(asked.text) for i in asked.span(*match.span())}
    called = {
        feature
        for entry in known_words.entries
        for match in entry.words.finditer(asked.text)
        if not asked.span(*match.span()) <= copied
        for feature in entry.means
    }
    of_areas = {"-", "*"} if ".area" in done.features else set()  # a share, or a size that is about the same
    yield from (
        f"nothing asks for {name}"
        for name in sorted((done.features & known_words.required) - called - of_areas)
    )
    if "person" in done.features and not known_words.persons.search(asked.text):
        yield "nobody is asked for"
    plain = " ".join("" if i in copied else w for i, w in enumerate(asked.words))
    for feature in done.features & set(known_words.needs):
        if feature == "all" and "find_panels" in done.features:
            continue  # a black tower is one all of whose blocks are black
        if not known_words.needs[feature].search(plain):
            yield f"nothing asks for {feature}"
    for text, tool in done.strings:
        if (
            text not in FIXED
            and not is_whole(text, asked)
            and not asked.find(text)
            and tool not in ("cover", "split")
        ):
            yield f"nothing asks for '{text}'"


def is_number(word: str) -> bool:
    return word in NUMBERS or word.isdigit()
