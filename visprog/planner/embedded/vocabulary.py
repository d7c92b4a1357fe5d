"""What the embedded planner reads and writes: normal form of questions, tokens of questions and programs.

A question becomes lower-case words, each with one space before it (" how many red cars are there ?"), cut into
byte-pair tokens (Sennrich et al. 2016). A program is cut into fragments of code ("len(", " for x in ", …) and,
inside its strings, into the same word tokens with the same leading space, so that copying a phrase from the
question is copying its tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...files.plain_text import read_json

ONE, SEVERAL, PROGRAM, END = "<one>", "<several>", "<program>", "<end>"
SPECIAL = ("<pad>", ONE, SEVERAL, PROGRAM, END)

QUESTION = "<question>"
"""Stands in a program for the whole question, which need not be copied word by word."""

# fmt: off
FRAGMENTS = (
    "def answer(image):\n", "def answer(images):\n", "    return ", "    a = ", "    b = ", "    c = ",
    "    grid = ", "    counts = ", "    image = ", "unsure\n", "\n", "len(", "any(", "all(", "sum(",
    "set(", "abs(", "max(", "min(", "str(", "range(", "[x for x in ", " for x in ", " for y in ",
    " for image in images", "[i + 1 for i", "[image for image in images", ", image in enumerate(images)",
    " if ", " else ", " and ", " or ", "not ", " == ", " != ", " > ", " < ", " >= ", " <= ", " + ", " - ",
    " / ", " * ", ", ", "(", ")", "[", "]", '"', "image", "images", "counts", "a", "b", "c", "x", "y", "i",
    "grid", ".center.x", ".center.y", ".width", ".height", ".area", ".rows", ".columns", ".cells", ".sides",
    ".label", ".index(", ".split()", '.split("\\n")[0]', ".left_of(", ".right_of(", ".above(", ".below(",
    ".inside(", ".contains(", ".overlaps(", ".touches(", ".distance(", '"left"', '"right"', '"top"',
    '"bottom"', '"blur"', '"pixelate"', '"emoji"', '"shape"', '"squares"', f'"{QUESTION}"', "-", "0.2",
    '"What shape is the thing?"', "100 * ", "len(a)", "2", "[0]", "[1]", "[-1]", " + 1", '"person"', '"above"',
    '"below"', " % 2", "[i + 1 for i, image in enumerate(images) if ", "len(set(dominant_color(x) for x in ",
)
# fmt: on
"""Pieces of code that are one token each; names of tools are added to them."""


def normalize(question: str) -> list[tuple[str, int, int]]:
    """The words and marks of a question, lower-cased, each with where it stands: (word, start, end)."""
    words: list[tuple[str, int, int]] = []
    for match in re.finditer(r"[^\W_]+(?:['’&/+.-][^\W_]+)*|[^\s\w]|_", question):
        text, start, end = match[0].lower(), match.start(), match.end()
        if re.search(r"\w['’]s$", text):  # the dog's: two words, so that "dog" can be copied
            words += [(text[:-2], start, end - 2), ("'s", end - 2, end)]
        else:
            words.append((text.replace("’", "'").replace("“", '"').replace("”", '"'), start, end))
    return words


def normal_text(question: str) -> str:
    """The question as the model reads it."""
    return "".join(f" {word}" for word, _, _ in normalize(question))


@dataclass(frozen=True)
class Vocabulary:
    """The tokens, by id: the special ones, the fragments of code, then the byte pairs of words.

    Attributes:
        fragments: pieces of code, one token each.
        tokenizer_json: the byte-pair tokenizer of words, as the `tokenizers` library writes it.
    """

    fragments: tuple[str, ...]
    tokenizer_json: str

    @classmethod
    def train(cls, questions: Iterable[str], tools: Sequence[str], size: int) -> Vocabulary:
        """Learn the byte pairs from questions; `size` counts all tokens."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        fragments = tuple(dict.fromkeys((*FRAGMENTS, *(f"{name}(" for name in tools))))
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(_regex(r" ?\d| ?[^\s\d]+|\s"), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size - len(SPECIAL) - len(fragments),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator((normal_text(q) for q in questions), trainer)
        return cls(fragments, tokenizer.to_str())

    def __len__(self) -> int:
        return self._offset + int(self._tokenizer.get_vocab_size())

    @cached_property
    def _tokenizer(self):  # type: ignore[no-untyped-def]
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.tokenizer_json)

    @property
    def _offset(self) -> int:
        return len(SPECIAL) + len(self.fragments)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.fragments, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)))

    @cached_property
    def _fragment_ids(self) -> dict[str, int]:
        return {f: i + len(SPECIAL) for i, f in enumerate(self.fragments)}

    def words(self, text: str) -> list[int]:
        return [i + self._offset for i in self._tokenizer.encode(text, add_special_tokens=False).ids]

    def question(self, question: str, several: bool) -> list[int]:
        """Ids of a question, from the mark of one or several images to the mark at which the program begins."""
        start = SPECIAL.index(SEVERAL if several else ONE)
        return [start, *self.words(normal_text(question)), SPECIAL.index(PROGRAM)]

    def program(self, source: str) -> list[int]:
        """Ids of a program whose copied strings are lower case, with the end mark."""
        ids: list[int] = []
        at = 0
        while at < len(source):
            match = self._pattern.match(source, at)
            if match is None or (match[0] == '"' and source[at - 1 : at] != "\\"):
                if source[at] == '"':
                    close = source.index('"', at + 1)
                    inner = self.words("".join(f" {w}" for w, _, _ in normalize(source[at + 1 : close])))
                    ids += [self._fragment_ids['"'], *inner, self._fragment_ids['"']]
                    at = close + 1
                else:
                    ids += self.words(source[at])
                    at += 1
            else:
                ids.append(self._fragment_ids[match[0]])
                at = match.end()
        return [*ids, SPECIAL.index(END)]

    @cached_property
    def bytes(self) -> list[bytes]:
        """What each token writes; nothing for the special ones."""
        table = _byte_level()
        vocabulary = self._tokenizer.get_vocab()
        words = [b""] * len(vocabulary)
        for token, i in vocabulary.items():
            words[i] = bytes(table[c] for c in token)
        return [b""] * len(SPECIAL) + [f.encode() for f in self.fragments] + words

    def text(self, ids: Iterable[int]) -> str:
        """What a sequence of tokens writes."""
        return b"".join(self.bytes[i] for i in ids).decode("utf-8", "replace")

    def save(self, path: Path) -> None:
        path.write_text(
            json.dumps({"fragments": self.fragments, "words": json.loads(self.tokenizer_json)}) + "\n"
        )

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        raw = read_json(path)
        return cls(tuple(raw["fragments"]), json.dumps(raw["words"]))


def _regex(pattern: str):  # type: ignore[no-untyped-def]
    from tokenizers import Regex

    return Regex(pattern)


def _byte_level() -> dict[str, int]:
    """The printable character by which byte-level BPE writes each byte → the byte (Radford et al. 2019)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(rest)}


def spans(words: Sequence[tuple[str, int, int]], longest: int = 8) -> Iterator[tuple[int, int]]:
    """Runs of words without a mark between them: what a program may copy."""
    for i in range(len(words)):
        for j in range(i, min(i + longest, len(words))):
            if not re.search(r"\w", words[j][0]):
                break
            yield i, j + 1
