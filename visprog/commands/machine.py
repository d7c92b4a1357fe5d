"""What this machine has: cores, memory, a GPU, space on the disk."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..models.catalogue import PublishedCheckpoint, Size

CPU_SHARE = 0.5
"""Share of the memory of the machine that the models may take together: images, programs and others need some too."""

GPU_SHARE = 0.85
"""Share of the memory of the GPU that the models may take together."""


@dataclass(frozen=True)
class Machine:
    """What models can use.

    Attributes:
        cores: Number of processor cores that this process may use.
        memory: Bytes of memory, of the container if it is one.
        gpu: Name of the GPU; empty if there is none.
        gpu_memory: Bytes of its memory.
        disk: Bytes that are free where checkpoints are kept.
    """

    cores: int
    memory: int
    gpu: str = ""
    gpu_memory: int = 0
    disk: int = 0

    @property
    def budget(self) -> int:
        """Bytes that models may take together."""
        return int(self.gpu_memory * GPU_SHARE if self.gpu else self.memory * CPU_SHARE)

    @property
    def size(self) -> Size:
        """The class of size that is proposed."""
        if self.gpu:
            return "large" if self.gpu_memory >= 40e9 else "base" if self.gpu_memory >= 10e9 else "small"
        return "base" if self.cores >= 8 and self.memory >= 30e9 else "small"

    def memory_of(self, checkpoint: PublishedCheckpoint) -> int:
        """Bytes that a checkpoint takes here: in bfloat16 on a GPU, else in float32."""
        return checkpoint.memory["bfloat16" if self.gpu else "float32"]

    def refusal(self, checkpoint: PublishedCheckpoint) -> str:
        """Why a checkpoint is not for this machine; empty if it is."""
        if checkpoint.gpu and not self.gpu:
            return "needs a GPU"
        if self.memory_of(checkpoint) > self.budget:
            return "too large"
        return ""


def this_machine() -> Machine:
    """What this machine has. Torch is imported only if there seems to be a GPU."""
    from ..models.checkpoint.download import free_space
    from ..runtime.processes.pool import machine_memory

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpu, gpu_memory = _gpu()
    memory = machine_memory()
    return Machine(cores, memory, gpu, gpu_memory or (memory // 2 if gpu else 0), free_space())


def usual_device() -> str:
    """The device that the setting "auto" means here."""
    name, memory = _gpu()
    return "cpu" if not name else "cuda" if memory else "mps"


def _gpu() -> tuple[str, int]:
    """Name and memory of the first GPU that torch can use; of Apple's, which share that of the machine, 0 bytes."""
    likely = sys.platform == "darwin" or any(
        Path(p).exists() for p in ("/dev/nvidia0", "/dev/kfd", "/dev/dxg")
    )
    if not likely or find_spec("torch") is None:
        return "", 0
    import torch

    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(0)
        return str(found.name), int(found.total_memory)
    return ("Apple GPU", 0) if torch.backends.mps.is_available() else ("", 0)
