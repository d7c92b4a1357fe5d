"""WrittenProgram programs mixed into the corpus, and the tokens that they need."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

from visprog.planner.embedded.grammar import FIXED

from .augment import augment
from .corpus import Corpus, Sample

OFTEN = 4
"""Times that a piece must occur to become a token."""


class Mixed:
    """Samples of the corpus and variations of recorded ones, drawn in turn at random.

    Args:
        corpus: where the samples without a record come from.
        recorded: what is varied.
        share: of the recorded ones.
    """

    def __init__(self, corpus: Corpus, recorded: Sequence[Sample], share: float) -> None:
        self.corpus, self.recorded, self.share = corpus, recorded, share
        self._random = random.Random()

    def reseed(self, seed: int | str) -> None:
        """Start the sequence that belongs to another seed."""
        self.corpus.reseed(seed)
        self._random.seed(seed)

    def __iter__(self) -> Iterator[Sample]:
        while True:
            if self._random.random() < self.share:
                yield augment(self._random.choice(self.recorded), self._random)
            else:
                yield self.corpus.draw()


def fragments_of(samples: Sequence[Sample], known: Sequence[str], count: int) -> list[str]:
    """Pieces of code that recorded programs often repeat, for the vocabulary to hold as one token each.

    Neighbouring pieces are joined, the most frequent pair first (Sennrich et al., 2016), starting from the fragments
    that are known. What occurs in programs of the corpus stays as it was learned.
    """
    parts = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    fixed = "|".join(f'"{word}"' for word in FIXED)
    piece = re.compile(rf'{fixed}|"[^"]*"|\.(?:left|right|top|bottom)\b(?!_)|{parts}|\.?\w+\(?|.', re.DOTALL)
    texts = [piece.findall(s.program) for s in samples]
    corpus = [s.program for s in islice(Corpus(), 3000)]
    learned, old = "".join(corpus), {p for program in corpus for p in piece.findall(program)}
    names = [
        p for p, times in Counter(p for t in texts for p in t).items() if times >= OFTEN and p not in old
    ]
    for _ in range(4 * count):
        pairs = Counter(pair for t in texts for pair in pairwise(t) if not _apart(*pair))
        if not pairs or pairs.most_common(1)[0][1] < OFTEN:
            break
        pair = pairs.most_common(1)[0][0]
        texts = [_joined(t, pair) for t in texts]
    used = [p for p, times in Counter(p for t in texts for p in t).most_common() if times >= OFTEN]
    joined = [p for p in used if p not in learned and not _whole(p)]
    new = [p for p in dict.fromkeys((*names, *joined)) if p not in known and not p.startswith('"')]
    return new[:count]


def _apart(left: str, right: str) -> bool:
    """True of neighbours that are not joined: a number stays a token of its own where it is compared."""
    return (
        _whole(left) or _whole(right) or left.isdigit() or (right.isdigit() and left[-2:] not in ("+ ", "- "))
    )


def _whole(piece: str) -> bool:
    """True of what is joined with nothing: strings that are copied from the question, and where lines begin or end."""
    return "\n" in piece or piece.startswith("    ") or (piece.startswith('"') and piece[1:-1] not in FIXED)


def _joined(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    for piece in pieces:
        if out and (out[-1], piece) == pair:
            out[-1] += piece
        else:
            out.append(piece)
    return out
