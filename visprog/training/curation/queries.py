"""Lists of queries: read from a file, or built from the words of a corpus as CLIP and MetaCLIP did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from visprog.files.plain_text import numbered_lines, parse_json, read_text, split_lines
from visprog.files.writing import open_regular

from ..data.samples import DataError
from .matching import Ids, spaced

MIN_COUNT, MIN_PMI, MAX_QUERIES = 100, 5.0, 500_000
"""Of CLIP (Radford et al., 2021, section 2.2), which does not say its bound of the mutual information."""

_CHUNK = 1 << 24
"""Bytes of a corpus that are worked on at once."""

_WORD = r"[\p{L}\p{N}]"
"""What a word has at least one character of; a sign alone is none."""


class CountedQuery(NamedTuple):
    """A query and the number of its occurrences in the corpus; 0 for a phrase that was added."""

    text: str
    occurrences: int


def read_queries(path: Path, *, ignore_case: bool = False) -> list[str]:
    """The queries of a file, each once: a text file with one per line, which may go on with a tab and a count; or a
    JSON list of texts.

    Raises:
        DataError: There is no such file, it is no text in UTF-8, or has no queries.
    """
    try:
        text = read_text(path)
        if path.suffix.lower() == ".json":
            given = parse_json(text)
            if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
                raise ValueError("holds no JSON list of texts")
        else:
            given = [line.partition("\t")[0] for _, line in numbered_lines(text)]
    except OSError as error:
        raise DataError(f"cannot read the queries {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise DataError(f"{path} {error}") from None
    stripped = (each.strip() for each in given)
    queries = list(dict.fromkeys(each.lower() if ignore_case else each for each in stripped if each))
    if not queries:
        raise DataError(f"{path} holds no queries: write one per line")
    return queries


def build_queries(
    corpus: Sequence[Path],
    *,
    added: Iterable[str] = (),
    min_count: int = MIN_COUNT,
    min_pmi: float = MIN_PMI,
    limit: int = MAX_QUERIES,
    ignore_case: bool = False,
) -> list[CountedQuery]:
    """Queries from text files: phrases that are added, then the frequent words, then pairs of words that go together.

    Words are what stands between spaces, after punctuation is split off as for matching. Memory is that of the distinct
    words, and of 16 bytes per distinct pair of frequent words.

    Args:
        corpus: Files of text, read twice.
        added: Phrases such as titles of articles and names of WordNet synsets; they come first.
        min_count: Minimum number of occurrences of a word, and of a pair.
        min_pmi: Minimum pointwise mutual information of a pair, log2(p(a b) / (p(a) p(b))).
        limit: Maximum number of queries. Words leave out the rarest, pairs those of the least mutual information.
        ignore_case: Whether everything becomes lower case.

    Raises:
        DataError: A file cannot be read, or no word is frequent enough.
    """
    words, counts, total = _count_words(corpus, min_count, ignore_case)
    if not len(words):
        raise DataError(f"no word occurs {min_count} times in the corpus: lower the minimum count")
    keys, pairs = _count_pairs(corpus, words, ignore_case)
    keys, pairs = keys[pairs >= min_count], pairs[pairs >= min_count]
    firsts, seconds = np.divmod(keys, len(words))
    pmi = np.log2(pairs * (total / counts[firsts]) / counts[seconds])
    best = np.lexsort((keys, -pmi))
    best = best[pmi[best] >= min_pmi]

    texts = words.to_pylist()
    found: dict[str, int] = {
        (each.lower() if ignore_case else each): 0 for each in map(str.strip, added) if each
    }
    for word, count in zip(texts, counts.tolist(), strict=True):
        found.setdefault(word, count)
    for i in best.tolist():
        found.setdefault(f"{texts[firsts[i]]} {texts[seconds[i]]}", int(pairs[i]))
    return [CountedQuery(*each) for each in list(found.items())[:limit]]


def _count_words(corpus: Sequence[Path], min_count: int, ignore_case: bool) -> tuple[pa.Array, Ids, int]:
    """The frequent words, most frequent first, their counts, and the number of all words."""
    parts: list[pa.Table] = []
    total = 0
    for words in _words(corpus, ignore_case):
        counted = words.value_counts()
        table = pa.table({"word": counted.field(0), "count": counted.field(1)})
        table = table.filter(pc.match_substring_regex(table["word"], _WORD))
        total += pc.sum(table["count"]).as_py() or 0
        parts.append(table)
        if len(parts) > 8:
            parts = [_sum(parts)]
    if not parts:
        return pa.array([], pa.large_string()), np.zeros(0, np.int64), 0
    table = _sum(parts)
    table = table.filter(pc.greater_equal(table["count"], min_count))
    table = table.sort_by([("count", "descending"), ("word", "ascending")])
    counts: Ids = table["count"].to_numpy()
    return table["word"].combine_chunks(), counts, total


def _sum(parts: list[pa.Table]) -> pa.Table:
    summed = pa.concat_tables(parts).group_by("word").aggregate([("count", "sum")])
    return summed.rename_columns(["word", "count"])


def _count_pairs(corpus: Sequence[Path], words: pa.Array, ignore_case: bool) -> tuple[Ids, Ids]:
    """Pairs of neighbouring frequent words as first * number of words + second, rising, and their counts.

    A line end, and whatever is no frequent word, such as punctuation, parts neighbours.
    """
    keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    new: list[tuple[Ids, Ids]] = []
    for tokens in _words(corpus, ignore_case):
        ids = pc.index_in(tokens, words).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        near = (ids[:-1] >= 0) & (ids[1:] >= 0)
        new.append(np.unique(ids[:-1][near] * len(words) + ids[1:][near], return_counts=True))
        if sum(len(each) for each, _ in new) > max(len(keys), _CHUNK):
            keys, counts = _merge([(keys, counts), *new])
            new = []
    return _merge([(keys, counts), *new])


def _merge(parts: list[tuple[Ids, Ids]]) -> tuple[Ids, Ids]:
    keys, places = np.unique(np.concatenate([each for each, _ in parts]), return_inverse=True)
    counts = np.zeros(len(keys), np.int64)
    np.add.at(counts, places, np.concatenate([each for _, each in parts]))
    return keys, counts


def _words(corpus: Sequence[Path], ignore_case: bool) -> Iterator[pa.Array]:
    """The words of files, in chunks that end at a line end; a line end is a word "\\n".

    Raises:
        DataError: A file cannot be read, or is no text in UTF-8.
    """
    for path in corpus:
        try:
            with open_regular(path, "rb") as file:
                start = 0
                while chunk := file.read(_CHUNK) + file.readline():
                    yield _chunk_words(chunk, path, start, ignore_case)
                    start += chunk.count(b"\n")
        except OSError as error:
            raise DataError(f"cannot read the corpus {path}: {error.strerror or error}") from None


def _chunk_words(chunk: bytes, path: Path, start: int, ignore_case: bool) -> pa.Array:
    try:
        text = chunk.decode("utf-8")
    except UnicodeDecodeError as error:
        line = start + chunk[: error.start].count(b"\n") + 1
        raise DataError(f"{path} is not text in UTF-8 in line {line}: save it as UTF-8") from None
    lines = pa.array(split_lines(text), pa.large_string())
    lines = spaced(pc.utf8_lower(lines) if ignore_case else lines)
    end, space = (pa.scalar(each, pa.large_string()) for each in "\n ")
    lines = pc.binary_join_element_wise(lines, end, space)
    words = pc.split_pattern(lines, " ").flatten()
    return words.filter(pc.not_equal(words, ""))
