"""Contrastive batches larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .objective import Run

if TYPE_CHECKING:
    from accelerate import Accelerator

Embeddings = tuple[Tensor, ...]


def cached_backward(
    run: Run,
    chunks: Sequence[Any],
    embed: Callable[[Any], Embeddings],
    contrast: Callable[..., dict[str, Tensor]],
    accelerator: Accelerator,
) -> dict[str, Tensor]:
    """Gradients of a loss over all embeddings of a batch in the memory of one chunk (GradCache, Gao et al. 2021).

    Every chunk is embedded without a graph; the loss is differentiated with respect to the embeddings; then each
    chunk is embedded again, with a graph, and the gradients are sent through it. Equal to the plain gradients,
    dropout included: the second pass draws the same numbers.

    Args:
        run: the prepared module, as an objective's `backward` gets it.
        chunks: the parts of a batch.
        embed: of a chunk, tensors (n, …), such as image and text features.
        contrast: losses of the concatenated tensors; it may use parameters itself, such as a temperature.
        accelerator: of the trainer.

    Returns:
        The losses, detached.
    """
    states, parts = [], []
    with torch.no_grad():
        for chunk in chunks:
            states.append(_random_state())
            parts.append(run(embed, chunk))
    leaves = [torch.cat(columns).requires_grad_() for columns in zip(*parts, strict=True)]
    with accelerator.no_sync(run):  # of this pass only the gradients of the embeddings are wanted
        losses = run(contrast, *leaves)
    gradients = torch.autograd.grad(losses["loss"], leaves)
    sizes = [len(part[0]) for part in parts]
    split = list(zip(*(g.split(sizes) for g in gradients), strict=True))

    def surrogate(chunk: Any, received: Embeddings, last: bool) -> dict[str, Tensor]:
        """Its gradient is that of the loss: through the embeddings of a chunk, and once through `contrast`."""
        loss = sum((e * g).sum() for e, g in zip(embed(chunk), received, strict=True))
        return {"loss": loss + contrast(*(leaf.detach() for leaf in leaves))["loss"] if last else loss}

    end = len(chunks) - 1
    for i, (chunk, state, received) in enumerate(zip(chunks, states, split, strict=True)):
        with nullcontext() if i == end else accelerator.no_sync(run), _replaying(state):
            accelerator.backward(run(surrogate, chunk, received, i == end)["loss"])
    return {name: value.detach() for name, value in losses.items()}


def _random_state() -> tuple[Tensor, list[Tensor]]:
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


@contextmanager
def _replaying(state: tuple[Tensor, list[Tensor]]) -> Iterator[None]:
    """Draw again what was drawn after `state`; afterwards the generators stand where they stood."""
    with torch.random.fork_rng():
        torch.set_rng_state(state[0])
        if state[1]:
            torch.cuda.set_rng_state_all(state[1])
        yield
