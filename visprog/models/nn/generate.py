"""Text generation: greedy, sampling and beam search, over any decoder that keeps its state between tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

IMPOSSIBLE = -1e9
"""Score of a token that cannot be chosen."""


class Decoding(Protocol):
    """A batch of sequences that a model is writing.

    Attributes:
        logits: (rows, vocab), float, of the next token of each sequence.
    """

    logits: Tensor

    def advance(self, tokens: Tensor) -> None:
        """Take the next token of each sequence, ids (rows,), and compute new `logits`."""

    def reorder(self, rows: Tensor) -> None:
        """Sequence i becomes what sequence `rows[i]` was; the number of rows may change."""


class Averaged:
    """Sequences that are written from several views of each: the log probability of a token is the mean over views.

    Args:
        views: the sequences of the first view, then those of the second, and so on.
        count: number of views.
    """

    logits: Tensor

    def __init__(self, views: Decoding, count: int) -> None:
        self.views, self.count = views, count
        self._average()

    def advance(self, tokens: Tensor) -> None:
        """As `Decoding.advance`."""
        self.views.advance(tokens.repeat(self.count))
        self._average()

    def reorder(self, rows: Tensor) -> None:
        """As `Decoding.reorder`."""
        before = len(self.logits)
        self.views.reorder(torch.cat([rows + view * before for view in range(self.count)]))
        self.logits = self.logits.index_select(0, rows)

    def _average(self) -> None:
        logs = self.views.logits.float().log_softmax(-1)
        self.logits = logs.unflatten(0, (self.count, -1)).mean(0)


@dataclass(frozen=True)
class Sampling:
    """Draw each token from the model's distribution.

    Args:
        temperature: divides the logits.
        top_k: keep the k likeliest tokens.
        top_p: keep the likeliest tokens whose probabilities add up to p (Holtzman et al. 2020).
        generator: generator of the random numbers; torch's own if not given.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}; without sampling it is 0")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, not {self.top_p}")

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits (rows, vocab) → the probabilities (rows, vocab) that tokens are drawn with."""
        logits = logits.float() / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            lowest = logits.topk(self.top_k).values[:, -1:]
            logits = logits.masked_fill(logits < lowest, -torch.inf)
        if self.top_p is not None:
            ordered, order = logits.sort(descending=False)
            dropped = ordered.softmax(-1).cumsum(-1) <= 1 - self.top_p
            dropped[:, -1] = False
            logits = logits.masked_fill(dropped.scatter(1, order, dropped), -torch.inf)
        return logits.softmax(-1)

    def draw(self, logits: Tensor) -> Tensor:
        """One token a row: logits (rows, vocab) → ids (rows,)."""
        return torch.multinomial(self.probabilities(logits), 1, generator=self.generator)[:, 0]


@dataclass(frozen=True)
class Beams:
    """Keep the `count` likeliest sequences; finished ones are ranked by log-probability / length ** penalty.

    Args:
        count: of beams.
        length_penalty: above 0 longer sequences win, below 0 shorter ones.
        early_stopping: when to stop looking for better ones, as in transformers: True as soon as `count` are
            finished; False when the best running one, at its present length, is behind; "never" when it is
            behind at any length.
    """

    count: int = 4
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be at least 1, not {self.count}")


def generate(
    decoding: Decoding,
    max_new: int,
    *,
    stop: Sequence[int] = (),
    pad: int | None = None,
    search: Sampling | Beams | None = None,
) -> Tensor:
    """Generate tokens, for each sequence until a stop token or `max_new` tokens.

    Args:
        decoding: a batch of sequences that has read its prompts.
        max_new: greatest number of new tokens.
        stop: ids after which a sequence is finished.
        pad: id after a stop token; the first of `stop` (else 0) if not given.
        search: how tokens are chosen; the likeliest each time if not given.

    Returns:
        The new tokens (batch, at most max_new), stop tokens included.

    Raises:
        ValueError: `max_new` is not positive.
    """
    if max_new < 1:
        raise ValueError(f"max_new must be at least 1, not {max_new}")
    filler = pad if pad is not None else (stop[0] if stop else 0)
    stops = torch.tensor(list(stop), device=decoding.logits.device)
    if isinstance(search, Beams):
        return _beam_search(decoding, max_new, stops, filler, search)
    rows = decoding.logits.shape[0]
    tokens = torch.full((rows, max_new), filler, device=decoding.logits.device)
    finished = torch.zeros(rows, dtype=torch.bool, device=decoding.logits.device)
    for step in range(max_new):
        chosen = search.draw(decoding.logits) if search else decoding.logits.argmax(-1)
        if stop:
            chosen = chosen.masked_fill(finished, filler)
            finished |= torch.isin(chosen, stops)
        tokens[:, step] = chosen
        if step + 1 == max_new or (stop and bool(finished.all())):
            return tokens[:, : step + 1]
        decoding.advance(chosen)
    return tokens


def _beam_search(decoding: Decoding, max_new: int, stops: Tensor, pad: int, search: Beams) -> Tensor:
    """The best sequence of each of the batch, (batch, at most max_new)."""
    batch, vocab = decoding.logits.shape
    beams, penalty, device = search.count, search.length_penalty, decoding.logits.device
    # Enough candidates that `beams` of them continue even if all the others stop.
    kept = min(max(2, 1 + stops.numel()) * beams, beams * vocab)
    first = torch.arange(batch, device=device)[:, None] * beams
    decoding.reorder(torch.arange(batch, device=device).repeat_interleave(beams))
    running = torch.full((batch, beams, max_new), pad, device=device)
    scores = torch.tensor([0.0] + [IMPOSSIBLE] * (beams - 1), device=device).repeat(batch, 1)
    done = running.clone()  # finished sequences, best first, with their scores and lengths
    done_scores = torch.full((batch, beams), IMPOSSIBLE, device=device)
    lengths = torch.zeros(batch, beams, dtype=torch.long, device=device)
    improvable = torch.ones(batch, 1, dtype=torch.bool, device=device)
    for step in range(max_new):
        logs = decoding.logits.float().log_softmax(-1).view(batch, beams, vocab)
        top, index = (scores[:, :, None] + logs).flatten(1).topk(kept)
        parents, tokens = index // vocab, index % vocab
        candidates = _take(running, parents)
        candidates[:, :, step] = tokens
        ended = torch.isin(tokens, stops) | (step + 1 == max_new)

        closed = ~improvable
        if search.early_stopping is True:
            closed = closed | (lengths > 0).all(1, keepdim=True)
        final = top / (step + 1) ** penalty
        # Candidates beyond the first `beams` are there to go on, not to finish.
        final = final.masked_fill(~ended | closed | (torch.arange(kept, device=device) >= beams), IMPOSSIBLE)
        length = torch.where(final > IMPOSSIBLE, step + 1, 0)
        done_scores, best = torch.cat([done_scores, final], 1).topk(beams)
        done = _take(torch.cat([done, candidates], 1), best)
        lengths = torch.cat([lengths, length], 1).gather(1, best)

        scores, chosen = (top + IMPOSSIBLE * ended).topk(beams)
        running = _take(candidates, chosen)
        possible = max_new if search.early_stopping == "never" and penalty > 0 else step + 1
        worst = torch.where((lengths > 0).all(1), done_scores[:, -1], IMPOSSIBLE)[:, None]
        improvable = improvable & (scores[:, :1] / possible**penalty > worst)
        over = ~improvable.any() | ended.all()
        if search.early_stopping is True:
            over = over | (lengths > 0).all()
        if step + 1 == max_new or bool(over):
            break
        decoding.reorder((first + parents.gather(1, chosen)).flatten())
        decoding.advance(tokens.gather(1, chosen).flatten())
    return done[:, 0, : int(lengths[:, 0].max())]


def _take(sequences: Tensor, rows: Tensor) -> Tensor:
    """(batch, n, length) and indices (batch, m) → (batch, m, length)."""
    return sequences.gather(1, rows[:, :, None].expand(-1, -1, sequences.shape[2]))
