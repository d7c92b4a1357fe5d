"""Scores of finding captions by images, and images by captions."""

from __future__ import annotations

import hashlib

from torch import Tensor


def recall(cosines: Tensor, queries: Tensor, answers: Tensor) -> float:
    """Recall at 1: the share of the distinct queries whose nearest answer stands in a pair with them.

    An image with several captions is found by any of them, and counts once; so does a caption of several images.

    Args:
        cosines: (n, n), of the query of each pair to the answer of each pair.
        queries: int64 (n,), equal for equal queries, as `fingerprint` makes them.
        answers: int64 (n,), likewise of the answers.
    """
    pairs = set(zip(queries.tolist(), answers.tolist(), strict=True))
    nearest = answers[cosines.argmax(1)].tolist()
    found = dict(zip(queries.tolist(), nearest, strict=True))
    return sum(pair in pairs for pair in found.items()) / max(len(found), 1)


def fingerprint(text: str) -> int:
    """64 bits that stand for a text, as int64 has them."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
