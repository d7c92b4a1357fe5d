"""Names of weights in public checkpoints ↔ names here: a table, read in both directions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

Names = str | tuple[str, ...]


class KeyMap:
    """A pure map between two layouts of the same weights.

    Args:
        pairs: (theirs, ours). ``{}`` stands for one part of a dotted name and is carried over, in order. Where
            one of theirs is several of ours stacked along the first axis (a fused query-key-value projection),
            `ours` is a tuple.
        ignored: their names that carry nothing (buffers that are computed here), ``{}`` as above.
    """

    def __init__(self, pairs: Iterable[tuple[str, Names]], ignored: Sequence[str] = ()) -> None:
        table = [(theirs, (ours,) if isinstance(ours, str) else ours) for theirs, ours in pairs]
        self._theirs = [(_pattern(theirs), ours) for theirs, ours in table]
        self._ours = [([_pattern(name) for name in ours], ours, theirs) for theirs, ours in table]
        self._ignored = [_pattern(name) for name in ignored]

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Their state → ours. A name that the table lacks is kept, so that loading can name it."""
        found: dict[str, Tensor] = {}
        for key, value in state.items():
            if any(pattern.fullmatch(key) for pattern in self._ignored):
                continue
            for pattern, ours in self._theirs:
                if match := pattern.fullmatch(key):
                    names = [name.format(*match.groups()) for name in ours]
                    parts = value.chunk(len(names)) if len(names) > 1 else [value]
                    found |= zip(names, parts, strict=True)
                    break
            else:
                found[key] = value
        return found

    def to_theirs(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our state → theirs, without what they compute."""
        found: dict[str, Tensor] = {}
        for key, value in state.items():
            for patterns, ours, theirs in self._ours:
                if match := patterns[0].fullmatch(key):
                    parts = [state[name.format(*match.groups())] for name in ours]
                    found[theirs.format(*match.groups())] = torch.cat(parts) if len(parts) > 1 else value
                    break
                if any(pattern.fullmatch(key) for pattern in patterns[1:]):
                    break  # a later part, taken with the first
            else:
                found[key] = value
        return found


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile("([^.]+)".join(re.escape(part) for part in name.split("{}")))
