"""Several programs for one question, and the answer that most of them agree on."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_YES, _NO = {"yes", "true"}, {"no", "false"}
_SAME_PLACE = 0.5


@dataclass(frozen=True)
class Vote:
    """The outcome of a vote.

    Attributes:
        value: the answer that won, as its first voter gave it.
        index: that voter's position.
        votes: how many gave it.
        share: the same as a share of all voters, 0 to 1, those without an answer included.
    """

    value: Any
    index: int
    votes: int
    share: float


def vote(answers: Sequence[Any], *, voters: int | None = None, tolerance: float = 1e-3) -> Vote:
    """The most frequent answer; of several equally frequent, the one that was given first.

    Answers that say the same count as the same: True and "Yes"; 3, 3.0 and "3"; numbers that differ by the
    share `tolerance`; text but for case, spaces, articles and final punctuation; regions that overlap by half
    (intersection over union); lists, tuples and dicts element by element.

    Args:
        answers: at least one.
        voters: how many programs were asked, where some gave no answer; else the number of answers.

    Raises:
        ValueError: there is no answer.
    """
    if not answers:
        raise ValueError("a vote needs at least one answer")
    groups: list[tuple[int, Any, int]] = []  # position and normal form of the first, how many
    for position, answer in enumerate(answers):
        normal = normalise(answer)
        for i, (first, other, votes) in enumerate(groups):
            if _same(normal, other, tolerance):
                groups[i] = (first, other, votes + 1)
                break
        else:
            groups.append((position, normal, 1))
    first, _, votes = max(groups, key=lambda g: (g[2], -g[0]))
    return Vote(answers[first], first, votes, votes / max(voters or 0, len(answers)))


def normalise(answer: Any) -> Any:
    """An answer as it is compared: booleans for yes and no, numbers for numerals, plain text."""
    if isinstance(answer, str):
        plain = re.sub(r"^(a|an|the) ", "", " ".join(answer.casefold().split()).strip(" .!?\"'"))
        if plain in _YES or plain in _NO:
            return plain in _YES
        try:
            number = float(plain)
        except ValueError:
            return plain
        return number if math.isfinite(number) else plain
    if isinstance(answer, list | tuple):
        return [normalise(a) for a in answer]
    if isinstance(answer, dict):
        return {k: normalise(v) for k, v in answer.items()}
    return answer


def _same(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-9)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k], tolerance) for k in a)
    digests = getattr(a, "digest", None), getattr(b, "digest", None)
    if None not in digests:
        return digests[0] == digests[1]
    one, other = getattr(a, "box", None), getattr(b, "box", None)
    if one is not None and other is not None and one.area and other.area:
        return bool(one.iou(other) > _SAME_PLACE)
    return bool(a == b)
