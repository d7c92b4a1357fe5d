"""Writes simclr.safetensors: numbers of two libraries at tiny random weights, which test_simclr.py holds ours to.

    python tests/parity/data/make_simclr.py

Needs `pytorch-metric-learning` (2.9.0), for the loss, and `lightly` (1.6.0), for the projector and again the loss,
beside torch (2.13.0 when the file was made). lightly imports torchvision, of which nothing is used here.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from unittest.mock import MagicMock

import torch
from safetensors.torch import save_file


class NoTorchvision:
    """Finds an empty stand-in for torchvision and all within it."""

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] == "torchvision" else None

    def create_module(self, spec):
        module = MagicMock(__path__=[], __spec__=spec, __name__=spec.name)
        return module

    def exec_module(self, module):
        pass


sys.meta_path.insert(0, NoTorchvision())

from lightly.loss import NTXentLoss as LightlyLoss  # noqa: E402
from lightly.models.modules.heads import SimCLRProjectionHead  # noqa: E402
from pytorch_metric_learning.losses import NTXentLoss  # noqa: E402


def main() -> None:
    torch.manual_seed(0)
    numbers = {}
    for case, (n, dim, temperature) in enumerate(((2, 3, 0.5), (7, 16, 0.1), (16, 8, 1.0))):
        views = torch.randn(2 * n, dim, requires_grad=True)
        partners = torch.arange(n).repeat(2)
        loss = NTXentLoss(temperature)(views, partners)
        lightly = LightlyLoss(temperature)(*views.split(n))
        assert abs(loss - lightly) < 1e-6
        loss.backward()
        numbers |= {f"{case}.views": views, f"{case}.loss": loss, f"{case}.grad": views.grad}
        numbers[f"{case}.temperature"] = torch.tensor(temperature)
    head = SimCLRProjectionHead(12, 12, 8, num_layers=3)
    for name, parameter in head.named_parameters():
        torch.nn.init.normal_(parameter, std=0.3)
        if ".weight" in name and parameter.ndim == 1:
            parameter.data += 1
    torch.nn.init.zeros_(head.layers[-1].bias)  # the authors' last norm has none
    features = torch.randn(10, 12, requires_grad=True)
    projected = head(features)
    loss = NTXentLoss(0.1)(projected, torch.arange(5).repeat(2))
    loss.backward()
    numbers |= {"features": features, "projected": projected, "loss": loss, "features.grad": features.grad}
    numbers |= {f"weight.{name}": p for name, p in head.state_dict().items() if "tracked" not in name}
    numbers |= {f"grad.{name}": p.grad for name, p in head.named_parameters()}
    numbers["evaluated"] = head.eval()(features)
    save_file(
        {name: value.detach().clone().contiguous() for name, value in numbers.items()},
        Path(__file__).with_name("simclr.safetensors"),
        {"origin": "pytorch-metric-learning 2.9.0, lightly 1.6.0, torch 2.13.0, by make_simclr.py"},
    )


if __name__ == "__main__":
    main()
