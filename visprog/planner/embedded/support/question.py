"""The words of a question, and which of them are accounted for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..vocabulary import normalize

NUMBERS = {
    word: n
    for n, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
}
ORDINALS = {
    word: n
    for n, word in enumerate("first second third fourth fifth sixth seventh eighth ninth tenth".split(), 1)
} | {f"{n}{end}": n for n in range(1, 21) for end in ("st", "nd", "rd", "th")}


@dataclass
class AskedQuestion:
    """The words of a question, and which of them are accounted for."""

    words: list[str]
    text: str = field(init=False)
    starts: list[int] = field(init=False)
    known: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.text = " ".join(self.words)
        self.starts, at = [], 0
        for word in self.words:
            self.starts.append(at)
            at += len(word) + 1

    def span(self, start: int, end: int) -> set[int]:
        """The indices of the words between two positions of the text."""
        return {i for i, s in enumerate(self.starts) if start <= s < end}

    def copied(self, texts: Iterable[str]) -> set[int]:
        """The indices of the words of texts, wherever they stand."""
        return {i for text in texts for start, end in self.find(text) for i in range(start, end)}

    def find(self, phrase: str) -> list[tuple[int, int]]:
        """Where a phrase stands, as ranges of words."""
        part = [w for w, _, _ in normalize(phrase)]
        n = len(part)
        return [(i, i + n) for i in range(len(self.words) - n + 1) if n and self.words[i : i + n] == part]
