"""Linear layers, by whichever library is faster."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_WEIGHTS = 1 << 24
"""Number of weights up to which oneDNN is asked: it makes a copy of them in its own order at each call."""


class Linear(nn.Linear):
    """As `torch.nn.Linear`, which for float32 calls MKL; on processors of AMD, oneDNN takes half the time of it.

    Shapes: (…, in_features) → (…, out_features).
    """

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`torch.nn.functional.linear`, without gradients by oneDNN where that is faster."""
    if (
        not torch.compiler.is_compiling()
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and weight.numel() <= MAX_WEIGHTS
        and _prefers_onednn()
        and not (
            torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias))
        )
        and not torch.is_autocast_enabled("cpu")
        and type(weight) in (Tensor, nn.Parameter)
        and x.shape[-1:] == weight.shape[1:]  # else PyTorch says what is wrong
    ):
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return found
    return F.linear(x, weight, bias)


@cache
def _prefers_onednn() -> bool:
    """Whether MKL has only its slower instructions here: it takes those of AVX-512 on Intel's processors alone."""
    if not (torch.backends.mkl.is_available() and getattr(torch.cpu, "_is_avx512_supported", bool)()):
        return False
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    amd = any(line.startswith("vendor_id") and "AuthenticAMD" in line for line in lines)
    return amd and hasattr(torch.ops.mkldnn, "_linear_pointwise")
