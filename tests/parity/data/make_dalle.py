"""Writes dalle.safetensors: numbers of OpenAI's dVAE and of dalle_pytorch at tiny random weights, which test_dalle.py
holds ours to.

    python tests/parity/data/make_dalle.py

Needs `DALL-E==0.1` (with attrs) and `dalle-pytorch==1.6.6` (with einops, axial-positional-embedding and
rotary-embedding-torch), installed with --no-deps, beside torch (2.13.0 when the file was made): old packages that
nothing else here uses, so the numbers are stored. dalle_pytorch imports a VQGAN and pkg_resources, which are not
needed. Its blocks are made those of the paper: feed-forward layers without a gate, projections to queries, keys and
values with a bias, and residual branches with the scale 1.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from safetensors.torch import save_file
from torch import nn

for name in ("taming", "taming.models", "taming.models.vqgan", "importlib_resources", "youtokentome"):
    sys.modules.setdefault(name, ModuleType(name))
sys.modules["taming.models.vqgan"].VQModel = sys.modules["taming.models.vqgan"].GumbelVQ = object
resources = sys.modules.setdefault("pkg_resources", ModuleType("pkg_resources"))
resources.get_distribution = lambda name: SimpleNamespace(version="1.6.6")

from dall_e import map_pixels, unmap_pixels  # noqa: E402
from dall_e.decoder import Decoder  # noqa: E402
from dall_e.encoder import Encoder  # noqa: E402
from dalle_pytorch import DALLE, DiscreteVAE, transformer  # noqa: E402


class FeedForward(nn.Module):
    """Without a gate."""

    def __init__(self, dim, dropout=0.0, mult=4):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, dim * mult), nn.GELU(), nn.Linear(dim * mult, dim))

    def forward(self, x, cache=None, cache_key=None):
        return self.net(x)


def perturbed(module: nn.Module) -> nn.Module:
    """A module whose parameters are random and learn."""
    for name, parameter in module.named_parameters():
        parameter.requires_grad_()
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
        elif not name.endswith("scale"):
            parameter.data += 0.05 * torch.randn_like(parameter)
    return module


def dvae() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    encoder = perturbed(Encoder(n_hid=4, vocab_size=16))
    decoder = perturbed(Decoder(n_init=6, n_hid=4, vocab_size=16))
    images = torch.rand(2, 3, 8, 16)
    tokens = torch.randn(2, 16, 1, 2).softmax(1)
    logits, stats = encoder(map_pixels(images)), decoder(tokens)
    weights = torch.randn_like(logits), torch.randn_like(stats)
    ((logits * weights[0]).sum() + (stats * weights[1]).sum()).backward()
    return {
        "dvae.images": images,
        "dvae.tokens": tokens,
        "dvae.logits": logits,
        "dvae.stats": stats,
        "dvae.pixels": unmap_pixels(torch.sigmoid(stats[:, :3])),
        "dvae.logits_weight": weights[0],
        "dvae.stats_weight": weights[1],
        **{f"weight.encoder.{name}": p for name, p in encoder.named_parameters()},
        **{f"weight.decoder.{name}": p for name, p in decoder.named_parameters()},
        **{f"grad.encoder.{name}": p.grad for name, p in encoder.named_parameters()},
        **{f"grad.decoder.{name}": p.grad for name, p in decoder.named_parameters()},
    }


def divergence() -> dict[str, torch.Tensor]:
    """The sum over all tokens of their divergence from the uniform prior: what the weight of the loss brings."""
    torch.manual_seed(1)
    vae = DiscreteVAE(image_size=16, num_tokens=13, codebook_dim=8, num_layers=2, hidden_dim=8)
    for parameter in vae.encoder.parameters():
        parameter.data *= 3
    images = torch.rand(2, 3, 16, 16)
    losses = []
    for weight in (0.0, 1.0):
        torch.manual_seed(2)
        vae.kl_div_loss_weight = weight
        losses.append(vae(images, return_loss=True))
    return {"kl.logits": vae(images, return_logits=True), "kl.sum": losses[1] - losses[0]}


def dalle() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    transformer.FeedForward = FeedForward
    vae = DiscreteVAE(image_size=16, num_tokens=13, codebook_dim=4, num_layers=2, hidden_dim=4)
    model = DALLE(
        dim=12, vae=vae, num_text_tokens=11, text_seq_len=5, depth=2, heads=2, dim_head=4, rotary_emb=False,
        shift_tokens=False, attn_types=("full", "axial_col"),
    )  # fmt: skip
    for name, module in model.transformer.named_modules():
        if isinstance(module, transformer.LayerScale):
            module.scale.data.fill_(1)
        elif name.endswith("to_qkv"):
            module.bias = nn.Parameter(torch.zeros(module.out_features))
    model.vae = nn.Identity()
    perturbed(model)
    model.vae = vae
    text = torch.randint(1, 11, (3, 5))
    text[0, 3:] = text[1, 1:] = 0
    image = torch.randint(0, 13, (3, 16))
    logits = model(text, image)
    loss = model(text, image, return_loss=True)
    loss.backward()
    # A row of the logits is masked either for the text or for the image.
    own = {
        name: p
        for name, p in model.named_parameters()
        if not name.startswith("vae.") and not name.endswith(".scale")
    }
    return {
        "dalle.text": text,
        "dalle.image": image,
        "dalle.logits": logits,
        "dalle.loss": loss,
        **{f"weight.dalle.{name}": p for name, p in own.items()},
        **{f"grad.dalle.{name}": p.grad for name, p in own.items()},
    }


def main() -> None:
    numbers = dvae() | divergence() | dalle()
    save_file(
        {name: value.detach().clone().contiguous() for name, value in numbers.items()},
        Path(__file__).with_name("dalle.safetensors"),
        {"origin": f"DALL-E 0.1 and dalle-pytorch 1.6.6, torch {torch.__version__}, by make_dalle.py"},
    )


if __name__ == "__main__":
    main()
