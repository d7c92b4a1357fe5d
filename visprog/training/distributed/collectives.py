"""What processes exchange. All of them must call these functions, in the same order; with one process nothing is sent.

Tensors may differ in size between processes: the shapes are exchanged first, since what a back end does with unequal
sizes is undefined (gloo ends the process, NCCL hangs or returns wrong numbers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from ..checkpoint import TrainingError

T = TypeVar("T")
MAX_AXES = 8


def world_size() -> int:
    """Number of processes of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(tensor: Tensor, fill: float | None = None, name: str = "a tensor") -> Tensor:
    """The rows of all processes, (n, …) → (sum of all n, …), in order of rank; gradients reach each process.

    With a loss over all of them in every process, the mean of the gradients that data-parallel training takes is
    the gradient of that loss.

    Args:
        tensor: at least one axis; the first may have any length in each process, also none.
        fill: value that pads the other axes to the longest in any process; None if they must be equal.
        name: of the tensor, for messages.

    Raises:
        TrainingError: the shapes do not fit together, in all processes alike.
    """
    if world_size() == 1:
        return tensor
    shapes = _shapes(tensor, name)
    inner = [max(sizes) for sizes in zip(*(shape[1:] for shape in shapes), strict=True)]
    if fill is None and any(list(shape[1:]) != inner for shape in shapes):
        found = " and ".join(str(shape) for shape in sorted(set(shapes)))
        raise TrainingError(
            f"{name} has the shapes {found} in different processes: pad all axes but the first to one size"
        )
    gathered: Tensor = _Gather.apply(tensor, shapes, inner, fill or 0)
    return gathered


def own_first(tensor: Tensor, fill: float | None = None, name: str = "a tensor") -> Tensor:
    """As `gather`, the rows of this process before those of the others."""
    if world_size() == 1:
        return tensor
    rank = torch.full((len(tensor),), dist.get_rank(), device=tensor.device)
    order = (gather(rank, name=name) != dist.get_rank()).int().argsort(stable=True)
    return gather(tensor, fill, name)[order]


def gather_objects(value: T) -> list[T]:
    """Plain Python values of all processes, in order of rank."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def share(count: Tensor) -> Tensor:
    """A number of this process divided by its mean over all processes; 1 with one process, and for all-zero numbers.

    A mean over tokens, times this share of tokens, is averaged over processes to the mean over the tokens of all.
    """
    if world_size() == 1:
        return torch.ones_like(count, dtype=torch.float32)
    total = count.detach().float().clone()
    dist.all_reduce(total)
    return torch.where(total > 0, count * world_size() / total, 1.0)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, tensor: Tensor, shapes: Sequence[tuple[int, ...]], inner: Sequence[int], fill: float
    ) -> Tensor:
        ctx.shapes = shapes
        rows = [shape[0] for shape in shapes]
        wanted = (max(rows), *inner)
        gaps = [gap for size, most in zip(tensor.shape, wanted, strict=True) for gap in (most - size, 0)]
        padded = F.pad(tensor, gaps[::-1], value=fill).contiguous() if any(gaps) else tensor.contiguous()
        parts = [torch.empty_like(padded) for _ in shapes]
        if padded.numel():
            dist.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, rows, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        total = gradient.contiguous().clone()
        if total.numel():
            dist.all_reduce(total)
        rank = dist.get_rank()
        own = total.split([shape[0] for shape in ctx.shapes])[rank]
        return own[tuple(slice(size) for size in ctx.shapes[rank])], None, None, None


def _shapes(tensor: Tensor, name: str) -> list[tuple[int, ...]]:
    """The shapes of a tensor in all processes, in one exchange."""
    own = torch.tensor([tensor.ndim, *tensor.shape, *[0] * (MAX_AXES - tensor.ndim)], device=tensor.device)
    every = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(every, own)
    shapes = [tuple(sizes[1 : sizes[0] + 1]) for sizes in (part.tolist() for part in every)]
    counts = sorted({len(shape) for shape in shapes})
    if len(counts) > 1 or counts[0] == 0:
        raise TrainingError(
            f"{name} has {' or '.join(map(str, counts))} axes: all processes need the same, at least 1"
        )
    return shapes
