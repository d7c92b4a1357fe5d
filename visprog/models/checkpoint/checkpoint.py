"""Checkpoints on disk and on the hub: JSON for the configuration, safetensors for the weights, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from visprog.files import plain_text

from .weight_files import SINGLE, few
from .weights import owned, release

M = TypeVar("M", bound=nn.Module)

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
"""Number formats of weights that are read; those of quantised ones mean nothing without their scales."""

QUANTISED = (".qweight", ".qzeros", ".SCB", ".absmax", ".weight_scale", ".weight_scale_inv", ".weight_packed")
"""How the names of quantised weights and of their scales end (GPTQ, AWQ, bitsandbytes, compressed-tensors)."""


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ValueError: it is no JSON, or no object.
    """
    raw = plain_text.read_json(file)
    if not isinstance(raw, dict):
        raise ValueError(f"{file} holds no JSON object")
    return raw


def assemble(
    make: Callable[[], M],
    state: dict[str, Tensor],
    where: str | Path,
    dtype: str | torch.dtype = "float32",
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
    device: str | torch.device = "cpu",
) -> M:
    """A model with given weights, which are owned, converted and put on the device one by one.

    Args:
        make: builds the model.
        state: weights; emptied, so that none is held twice. A weight that the model has under several names may be
            given under any of them.
        where: name of the checkpoint in messages.
        dtype: precision of the weights: "float32", "bfloat16", "float16", or "auto", that of most of `state`.
        rename: gives `state` the names here.
        device: where the model is to be.

    Raises:
        ValueError: as `load_exactly`; or weights that are not finite, or differ though the model has one for both.
    """
    with torch.device("meta"), _Undrawn():
        model = make()
    found = rename(state)
    state.clear()
    model.to(_precision(dtype, found))
    own = model.state_dict(keep_vars=True)
    _share(own, found, where)
    _check(model, own, found, where)
    made: dict[int, Tensor] = {}
    for name, old in own.items():
        value = found.pop(name)
        if id(old) not in made:
            value = owned(value, old.dtype, device)
            if value.is_floating_point() and value.numel() and not _finite(value):
                raise ValueError(
                    f"{where}: {name} has values that are not finite in {str(old.dtype).removeprefix('torch.')}"
                )
            release(value)  # what the check has read: a part that is not used takes no memory
            is_parameter = isinstance(old, nn.Parameter)
            made[id(old)] = nn.Parameter(value, old.requires_grad) if is_parameter else value
        module, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(module), leaf, made[id(old)])
    model.to(device)  # with the buffers that no checkpoint holds
    return model


def load_exactly(model: nn.Module, state: Mapping[str, Tensor], where: str | Path) -> None:
    """Copy weights into a model, whatever their precision.

    Raises:
        ValueError: keys are missing or unexpected, shapes differ, or weights are quantised; the message names the
            first few.
    """
    _check(model, model.state_dict(), state, where)
    model.load_state_dict(state)


def save_weights(model: nn.Module, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write `model.safetensors`; weights that are one tensor are written once.

    Args:
        dtype: precision of the floating-point weights on disk; their own if not given.
    """
    from safetensors.torch import save_file

    state = {}
    for name, value in unique(model):
        kept = value.detach()
        state[name] = (kept.to(dtype) if dtype and kept.is_floating_point() else kept).contiguous()
    save_file(state, folder / SINGLE)


def unique(model: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """Names and values of the state, a shared tensor under its first name only."""
    seen: set[int] = set()
    for name, value in model.state_dict(keep_vars=True).items():
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


class _Undrawn(TorchFunctionMode):
    """Initial weights are not drawn: on the meta device there is nothing to draw, and torch imports its compiler, which
    takes a second, to do so."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.normal_, nn.init.normal_):
            return args[0] if args else kwargs["tensor"]
        return (torch.empty if func is torch.randn else func)(*args, **kwargs)


def _precision(dtype: str | torch.dtype, state: Mapping[str, Tensor]) -> torch.dtype:
    if dtype == "auto":
        sizes = {kind: sum(v.numel() for v in state.values() if v.dtype == kind) for kind in FLOATS}
        return max(sizes, key=lambda kind: sizes[kind])
    return float_type(dtype)


def float_type(dtype: str | torch.dtype) -> torch.dtype:
    """The precision of a name, such as "bfloat16".

    Raises:
        ValueError: it is none that weights can have.
    """
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if found not in FLOATS:
        names = ", ".join(f'"{str(kind).removeprefix("torch.")}"' for kind in FLOATS)
        raise ValueError(f'dtype is "auto", {names}, not {dtype!r}')
    return found


def _share(own: Mapping[str, Tensor], state: dict[str, Tensor], where: str | Path) -> None:
    """Complete a state: a weight that a model has under several names has one value."""
    groups: dict[int, list[str]] = {}
    for name, value in own.items():
        groups.setdefault(id(value), []).append(name)
    for names in groups.values():
        given = [name for name in names if name in state]
        for name in given[1:]:
            if not torch.equal(state[given[0]], state[name]):
                raise ValueError(
                    f"{where}: {given[0]} and {name} differ, though its configuration says that they are tied "
                    "(tie_word_embeddings)"
                )
        for name in names:
            if given:
                state[name] = state[given[0]]


def _check(
    model: nn.Module, own: Mapping[str, Tensor], state: Mapping[str, Tensor], where: str | Path
) -> None:
    quantised = [k for k in state if k.endswith(QUANTISED)]
    quantised += [
        f"{k} ({str(state[k].dtype).removeprefix('torch.')})"
        for k, v in own.items()
        if k in state and v.is_floating_point() and state[k].dtype not in FLOATS
    ]
    if quantised:
        raise ValueError(
            f"{where} holds quantised weights, which are not read: {few(quantised)}; "
            "take the checkpoint that they were made of"
        )
    shapes = [
        f"{k} has shape {tuple(state[k].shape)}, not {tuple(v.shape)}"
        for k, v in own.items()
        if k in state and state[k].shape != v.shape
    ]
    problems = [
        *_first([f"missing key {k}" for k in own if k not in state]),
        *_first([f"unexpected key {k}" for k in state if k not in own]),
        *_first(shapes),
    ]
    if problems:
        raise ValueError(f"{where} does not fit {type(model).__name__}: " + "; ".join(problems))


def _first(problems: Sequence[str], most: int = 3) -> Sequence[str]:
    if len(problems) <= most:
        return problems
    return [*problems[: most - 1], f"{problems[most - 1]} and {len(problems) - most} others"]


def _finite(value: Tensor) -> bool:
    low, high = torch.aminmax(value)  # one pass and no copy; NaN is both
    return bool(torch.isfinite(low) & torch.isfinite(high))
