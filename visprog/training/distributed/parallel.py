"""One process, several GPUs or several machines: what a recipe asks of `accelerate`, and of the model's blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..checkpoint import TrainingError, weights
from ..objective import Objective
from ..recipe import Recipe


def make_accelerator(recipe: Recipe, objective: Objective) -> Accelerator:
    """The `Accelerator` of a recipe; compiles the model's blocks or makes them recompute, if the recipe says so.

    Raises:
        TrainingError: the recipe asks for what the model or the machine does not have.
    """
    blocks = list(objective.blocks())
    for key in ("compile", "activation_checkpointing", "fsdp"):
        if getattr(recipe, key) and not blocks:
            raise TrainingError(
                f"objective '{recipe.objective}' names no blocks, so '{key}' cannot be used: set it to false"
            )
    if recipe.fsdp and recipe.optimizer.name == "muon":
        raise TrainingError("muon needs whole matrices, which fsdp splits: take optimizer.name adamw")
    for block in blocks:
        if recipe.compile:
            block.forward = torch.compile(block.forward)
        if (
            recipe.activation_checkpointing
        ):  # around what is compiled: the compiler leaves torch's own code alone
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    plugin = None
    if recipe.fsdp:
        plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            auto_wrap_policy="transformer_based_wrap",
            transformer_cls_names_to_wrap=sorted({type(b).__name__ for b in blocks}),
            cpu_ram_efficient_loading=False,
        )
    AcceleratorState._reset_state()  # accelerate remembers the precision: a process may train by several recipes
    accelerator = Accelerator(
        cpu=not torch.accelerator.is_available(),  # without it several processes on CPUs are not joined
        mixed_precision="bf16" if recipe.precision == "bf16" else "no",
        gradient_accumulation_steps=recipe.accumulation,
        fsdp_plugin=plugin,
        # A loss need not use every part in every step: a prompt encoder, say, sees points or boxes.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    if recipe.fsdp and accelerator.distributed_type != DistributedType.FSDP:
        raise TrainingError(
            "fsdp shards over several GPUs, each with a process of its own: start the run with torchrun "
            "--nproc-per-node GPUS -m visprog train, or set fsdp to false"
        )
    return accelerator


@contextmanager
def whole_model(objective: Objective, runner: nn.Module, copy: nn.Module | None) -> Iterator[None]:
    """Within, the objective's model is whole in the main process, also where FSDP2 has sharded it.

    Args:
        runner: the prepared `Runner`. All processes must enter.
        copy: in the main process, a model as it was before it was sharded; it takes the weights.
    """
    from torch.distributed.fsdp import FSDPModule

    if not isinstance(runner, FSDPModule):
        yield
        return
    sharded, state = objective.model, weights(runner)
    if copy is not None:
        own = {name: value for name, value in state.items() if name.startswith("model.")}
        copy.load_state_dict({name.removeprefix("model."): value for name, value in own.items()})
        objective.model = copy
    try:
        yield
    finally:
        objective.model = sharded
