"""Matching of queries in captions: which queries occur in a caption as whole words.

The definition is MetaCLIP's: a query matches if it is a sub-string of the caption, both padded with spaces, after the
characters of `PUNCTUATION` got spaces around them and tabs and line ends became spaces. Padded so, a sub-string begins
and ends at a space; hence the words of the query follow each other among the words of the caption, and words can be
looked up instead of characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Ids: TypeAlias = NDArray[np.int64]

PUNCTUATION = ",.;:?!`"
"""Characters that get a space on each side."""

WHITE_SPACE = "\t\n\r"
"""Characters that become a space."""


class Matches(NamedTuple):
    """Pairs of a caption and a query that matches it, each once, in the order of the captions.

    Attributes:
        rows: Position of the caption in its batch, (n,).
        queries: Position of the query in the list of queries, (n,).
    """

    rows: Ids
    queries: Ids


class QueryMatcher:
    """Finds the queries that match captions.

    Args:
        queries: Texts, without spaces at their ends.
        ignore_case: Whether captions and queries are compared in lower case.
    """

    def __init__(self, queries: Sequence[str], *, ignore_case: bool = False) -> None:
        self.count, self.ignore_case = len(queries), ignore_case
        texts = pa.array(list(queries), pa.large_string())
        words = _split(pc.utf8_lower(texts) if ignore_case else texts)
        self._vocabulary = words.flatten().unique()
        self._words = len(self._vocabulary)
        # A trie over words: state 0 … words − 1 is a first word, and `_steps` holds state * words + next word, sorted,
        # whose position + words is the next state. `_queries` has the query that ends in a state; −1 for none.
        ids, starts = self._ids(words), words.offsets.to_numpy().astype(np.int64)
        lengths = np.diff(starts)
        states = ids[starts[:-1]]
        ends = [(states[lengths == 1], np.flatnonzero(lengths == 1))]
        self._steps: list[Ids] = []
        first = self._words
        for depth in range(1, int(lengths.max(initial=0))):
            longer = lengths > depth
            keys = np.where(longer, states * self._words + ids[np.where(longer, starts[:-1] + depth, 0)], -1)
            steps = np.unique(keys[longer])
            states = np.where(longer, first + np.searchsorted(steps, keys), -1)
            ends.append((states[lengths == depth + 1], np.flatnonzero(lengths == depth + 1)))
            self._steps.append(steps)
            first += len(steps)
        self._queries = np.full(first, -1, np.int64)
        for at, numbers in ends:
            self._queries[at] = numbers
        self._continues = np.zeros(first, bool)
        for steps in self._steps:
            self._continues[steps // self._words] = True

    def __call__(self, captions: Any) -> Matches:
        """The matches of a batch.

        Args:
            captions: A pyarrow array of strings, or a sequence; None matches nothing.
        """
        texts = pa.array(captions) if not isinstance(captions, pa.Array | pa.ChunkedArray) else captions
        texts = spaced(texts.cast(pa.large_string()).fill_null(""))
        words = _split(pc.utf8_lower(texts) if self.ignore_case else texts)
        ids, starts = self._ids(words), words.offsets.to_numpy().astype(np.int64)
        rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))

        places = np.flatnonzero(ids >= 0)
        states = ids[places]
        found = [rows[places[self._queries[states] >= 0]] * self.count + self._ended(states)]
        first = self._words
        for depth, steps in enumerate(self._steps, 1):
            goes_on = self._continues[states] & (places + depth < len(ids))
            places, states = places[goes_on], states[goes_on]
            nexts = places + depth
            same = (rows[nexts] == rows[places]) & (ids[nexts] >= 0)
            places, states, nexts = places[same], states[same], nexts[same]
            keys = states * self._words + ids[nexts]
            positions = np.searchsorted(steps, keys)
            hit = steps[np.minimum(positions, len(steps) - 1)] == keys
            places, states = places[hit], first + positions[hit]
            found.append(rows[places[self._queries[states] >= 0]] * self.count + self._ended(states))
            first += len(steps)
        keys = np.sort(np.concatenate(found))
        keys = keys[np.append(True, keys[1:] != keys[:-1])] if len(keys) else keys
        return Matches(*np.divmod(keys, max(self.count, 1)))

    def _ended(self, states: Ids) -> Ids:
        """The queries that end in states."""
        queries = self._queries[states]
        return queries[queries >= 0]

    def _ids(self, words: Any) -> Ids:
        """The number of each word; −1 if no query has it."""
        ids = pc.index_in(words.flatten(), self._vocabulary).fill_null(-1)
        found: Ids = ids.to_numpy(zero_copy_only=False).astype(np.int64)
        return found


def spaced(captions: Any) -> Any:
    """Captions (a pyarrow array) with spaces around punctuation, and for tabs and line ends."""
    for sign in PUNCTUATION:
        captions = pc.replace_substring(captions, sign, f" {sign} ")
    for sign in WHITE_SPACE:
        captions = pc.replace_substring(captions, sign, " ")
    return captions


def _split(texts: Any) -> Any:
    """The words of texts, between single spaces: an array of lists. Two spaces have an empty word between them."""
    words = pc.split_pattern(texts, " ")
    return words.combine_chunks() if isinstance(words, pa.ChunkedArray) else words
