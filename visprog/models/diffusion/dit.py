"""DiT: a transformer that predicts the noise of images (Peebles & Xie 2023, arXiv:2212.09748).

Patches of a noised image pass through blocks whose norms are scaled and shifted by what the timestep and a label, or a
text, say, and whose branches are gated by it: the gates begin at zero (adaLN-Zero). With texts, each block also attends
to their tokens, between its two branches (section 3.2, "cross-attention block").
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import PretrainedModel
from ..checkpoint.checkpoint import assemble, read_json
from ..checkpoint.hub_config import check_keys
from ..checkpoint.keymap import KeyMap
from ..checkpoint.weights import read_tensors
from ..nn import Attention, Mlp, PatchEmbed, activation

FREQUENCIES = 256
"""Number of sines and cosines that a timestep becomes."""


@dataclass(frozen=True)
class DitConfig:
    """The shape of a network; the defaults are DiT-XL/2 for 1000 classes on latents of 256-pixel images.

    Attributes:
        size: side of the square images, in pixels.
        patch: side of a patch, in pixels.
        channels: number of channels of the images that it reads.
        out_channels: number of channels that it predicts; twice those of an image if also a variance.
        dim, layers, heads, hidden: shape of the blocks.
        classes: number of labels, beside the one for no label; None for no labels.
        context: width of the tokens of texts that the blocks attend to, and of the vector of the whole text; None for
            no texts.
        eps: of the norms before the MLPs; that of the others is 1e-6.
    """

    size: int = 32
    patch: int = 2
    channels: int = 4
    out_channels: int = 8
    dim: int = 1152
    layers: int = 28
    heads: int = 16
    hidden: int = 4608
    classes: int | None = 1000
    context: int | None = None
    eps: float = 1e-6


class TextContext(NamedTuple):
    """Texts that images are generated for.

    Attributes:
        tokens: (batch, length, context).
        pooled: (batch, context), of each whole text.
        mask: bool (batch, length), True for real tokens.
    """

    tokens: Tensor
    pooled: Tensor
    mask: Tensor


class DitOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        condition: (batch, dim), of the timestep and the label or the text.
        tokens: (batch, patches, dim), after the last block.
        output: (batch, out_channels, height, width), the prediction.
    """

    condition: Tensor
    tokens: Tensor
    output: Tensor


class DitBlock(nn.Module):
    """A block with adaLN-Zero: x + gate · attention(norm(x)), x + cross(norm(x), context), x + gate · mlp(norm(x)).

    Shapes: (batch, patches, dim) → (batch, patches, dim).
    """

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        dim, c = config.dim, config
        self.attention_norm = nn.LayerNorm(dim, 1e-6, elementwise_affine=False)
        self.attention = Attention(dim, c.heads)
        if c.context is not None:
            self.cross_norm = nn.LayerNorm(dim, 1e-6, elementwise_affine=False)
            self.cross = Attention(dim, c.heads, kv_dim=c.context)
        self.mlp_norm = nn.LayerNorm(dim, c.eps, elementwise_affine=False)
        self.mlp = Mlp([dim, c.hidden, dim], activation("gelu_pytorch_tanh"))
        self.modulation = nn.Linear(dim, 6 * dim)

    def forward(self, x: Tensor, condition: Tensor, context: TextContext | None = None) -> Tensor:
        """Apply the block.

        Args:
            x: (batch, patches, dim).
            condition: (batch, dim), after its activation.
            context: texts, for a network that reads them.
        """
        parts = self.modulation(condition)[:, None].chunk(6, -1)  # of (batch, 1, dim)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = parts
        x = x + gate * self.attention(modulate(self.attention_norm(x), shift, scale))
        if context is not None:
            x = x + self.cross(self.cross_norm(x), context.tokens, mask=context.mask[:, None, None])
        return x + mlp_gate * self.mlp(modulate(self.mlp_norm(x), mlp_shift, mlp_scale))


class Dit(PretrainedModel):
    """The network."""

    model_type = "dit"
    config_class = DitConfig
    config: DitConfig

    def __init__(self, config: DitConfig) -> None:
        super().__init__(config)
        c = config
        if c.dim % c.heads or c.dim % 4:
            raise ValueError(f"a width of {c.dim} must be a multiple of 4 and of the {c.heads} heads")
        self.patches = PatchEmbed(c.dim, c.patch, c.channels)
        self.timestep_mlp = Mlp([FREQUENCIES, c.dim, c.dim], F.silu)
        if c.classes is not None:
            self.labels = nn.Embedding(c.classes + 1, c.dim)  # the last is no label
        if c.context is not None:
            self.text_projection = nn.Linear(c.context, c.dim)
        self.blocks = nn.ModuleList(DitBlock(c) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.dim, 1e-6, elementwise_affine=False)
        self.modulation = nn.Linear(c.dim, 2 * c.dim)
        self.head = nn.Linear(c.dim, c.patch**2 * c.out_channels)
        self._init()

    def _init(self) -> None:
        """As published: each block begins as the identity, and the prediction as zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patches.projection.weight.view(self.config.dim, -1))
        nn.init.zeros_(self.patches.projection.bias)
        for layer in self.timestep_mlp.layers:
            nn.init.normal_(layer.weight, std=0.02)
        if self.config.classes is not None:
            nn.init.normal_(self.labels.weight, std=0.02)
        for zero in (*(block.modulation for block in self.blocks), self.modulation, self.head):
            nn.init.zeros_(zero.weight)
        if self.config.context is not None:
            for block in self.blocks:
                nn.init.zeros_(block.cross.out.weight)

    def forward(
        self,
        images: Tensor,
        timesteps: Tensor,
        labels: Tensor | None = None,
        context: TextContext | None = None,
    ) -> DitOutput:
        """Predict the noise, or the velocity.

        Args:
            images: noised, (batch, channels, height, width). Positions are stretched if the size is not that of the
                configuration.
            timesteps: (batch,).
            labels: (batch,), for a network with `classes`, whose number stands for no label.
            context: texts, for a network with `context`.

        Raises:
            ValueError: labels or texts are missing, or the network has none.
        """
        c = self.config
        if (labels is None) != (c.classes is None) or (context is None) != (c.context is None):
            raise ValueError(
                f"this network is conditioned on {_kinds(c)}, and was given "
                f"{_given(labels is not None, context is not None)}"
            )
        x = self.patches(images)  # (batch, patches, dim)
        rows, columns = images.shape[-2] // c.patch, images.shape[-1] // c.patch
        x = x + sine_positions(rows, columns, c.dim, c.size // c.patch).to(x)
        condition = self.timestep_mlp(sine_timesteps(timesteps).to(x))  # (batch, dim)
        if labels is not None:
            condition = condition + self.labels(labels)
        if context is not None:
            condition = condition + self.text_projection(context.pooled)
        active = F.silu(condition)
        for block in self.blocks:
            x = block(x, active, context)
        shift, scale = self.modulation(active)[:, None].chunk(2, -1)
        patches = self.head(modulate(self.norm(x), shift, scale))  # (batch, patches, patch² · out_channels)
        grid = patches.unflatten(2, (c.patch, c.patch, c.out_channels)).unflatten(1, (rows, columns))
        output = (
            grid.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)
        )  # (batch, out_channels, height, width)
        return DitOutput(condition, x, output)

    @classmethod
    def from_diffusers(
        cls, folder: str | Path, *, dtype: str | torch.dtype = "float32", device: str | torch.device = "cpu"
    ) -> Dit:
        """Load the transformer of a checkpoint of diffusers, the folder `transformer` of facebook/DiT-XL-2-256. Its
        images are latents, which the autoencoder beside it makes and reads.

        Args:
            folder: with `config.json` and `diffusion_pytorch_model.safetensors`.
            dtype, device: as `PretrainedModel.from_pretrained`.

        Raises:
            ValueError: it is another network, has settings that are not implemented, or weights that do not fit.
        """
        settings, weights = (Path(folder) / name for name in FILES)
        for file in (settings, weights):
            if not file.is_file():
                raise ValueError(f"{folder} is no folder `transformer` of diffusers: {file.name} is missing")
        config = from_diffusers_config(read_json(settings))
        return assemble(
            lambda: cls(config), read_tensors(weights), folder, dtype, from_diffusers_weights, device
        )


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """(1 + scale) x + shift; shift and scale (batch, 1, dim)."""
    return torch.addcmul(shift, x, 1 + scale)


def sine_timesteps(timesteps: Tensor) -> Tensor:
    """Cosines and sines of timesteps: (batch,) → float32 (batch, FREQUENCIES). The frequencies fall from 1 to 1e-4, as
    in DDPM's code."""
    half = FREQUENCIES // 2
    exponents = -math.log(10_000) * torch.arange(half, dtype=torch.float32, device=timesteps.device)
    angles = timesteps[:, None].float() * torch.exp(exponents / (half - 1))
    return torch.cat([angles.cos(), angles.sin()], -1)


@lru_cache(maxsize=8)
def sine_positions(rows: int, columns: int, dim: int, base: int) -> Tensor:
    """Sines and cosines of columns, then of rows, float32 (rows · columns, dim); a grid of another size than `base` is
    stretched to it."""
    frequencies = 10_000.0 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim / 4))

    def waves(count: int) -> Tensor:
        places = (torch.arange(count, dtype=torch.float32) / (count / base)).double()
        angles = torch.outer(places, frequencies)
        return torch.cat([angles.sin(), angles.cos()], 1)  # (count, dim / 2)

    across = waves(columns).expand(rows, -1, -1)
    down = waves(rows)[:, None].expand(-1, columns, -1)
    return torch.cat([across, down], -1).flatten(0, 1).float()


def _kinds(config: DitConfig) -> str:
    return _given(config.classes is not None, config.context is not None)


def _given(labels: bool, texts: bool) -> str:
    return " and ".join([name for name, has in (("labels", labels), ("texts", texts)) if has]) or "nothing"


# -- checkpoints of diffusers --------------------------------------------------------------------------

FILES = ("config.json", "diffusion_pytorch_model.safetensors")
"""Settings and weights of a network in a checkpoint of diffusers."""

_EMBED = "norm1.emb."
_BLOCK = "transformer_blocks.{}."
KEYS = KeyMap(
    [
        ("pos_embed.proj.{}", "patches.projection.{}"),
        (f"{_EMBED}timestep_embedder.linear_1.{{}}", "timestep_mlp.layers.0.{}"),
        (f"{_EMBED}timestep_embedder.linear_2.{{}}", "timestep_mlp.layers.1.{}"),
        (f"{_EMBED}class_embedder.embedding_table.weight", "labels.weight"),
        (f"{_BLOCK}norm1.linear.{{}}", "blocks.{}.modulation.{}"),
        *((f"{_BLOCK}attn1.to_{x}.{{}}", f"blocks.{{}}.attention.{x}.{{}}") for x in "qkv"),
        (f"{_BLOCK}attn1.to_out.0.{{}}", "blocks.{}.attention.out.{}"),
        (f"{_BLOCK}ff.net.0.proj.{{}}", "blocks.{}.mlp.layers.0.{}"),
        (f"{_BLOCK}ff.net.2.{{}}", "blocks.{}.mlp.layers.1.{}"),
        ("proj_out_1.{}", "modulation.{}"),
        ("proj_out_2.{}", "head.{}"),
    ]
)
"""Names in checkpoints of diffusers, with the embeddings that all blocks share once ↔ names here."""


def from_diffusers_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a `DiTTransformer2DModel`, which has the embeddings of timestep and label in every block.

    Raises:
        ValueError: they differ from block to block.
    """
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        shared = _EMBED + key.partition(f".{_EMBED}")[2] if f".{_EMBED}" in key else key
        if shared in found and not torch.equal(found[shared], value):
            raise ValueError(
                f"{key} differs from that of another block: embeddings per block are not implemented"
            )
        found[shared] = value
    return KEYS.to_ours(found)


def to_diffusers_weights(state: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The way back."""
    found = KEYS.to_theirs(state)
    shared = {key: found.pop(key) for key in list(found) if key.startswith(_EMBED)}
    return found | {
        f"transformer_blocks.{i}.{key}": value for i in range(layers) for key, value in shared.items()
    }


_FIXED: Mapping[str, Any] = {
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "norm_elementwise_affine": False,
    "norm_type": "ada_norm_zero",
    "double_self_attention": False,
    "only_cross_attention": False,
    "use_linear_projection": False,
}
"""Settings that are implemented with these values alone."""

_WITHOUT_EFFECT = ("dropout", "norm_num_groups", "upcast_attention", "attention_type")


def from_diffusers_config(raw: Mapping[str, Any]) -> DitConfig:
    """The configuration in the `config.json` of a `DiTTransformer2DModel`; what it leaves out is as in DiT-XL/2.

    Raises:
        ValueError: it is of another network, or asks for what is not implemented; the message names it.
    """
    name = raw.get("_class_name")
    if name not in ("DiTTransformer2DModel", "Transformer2DModel"):
        raise ValueError(f"this is a checkpoint of {name}, not of DiTTransformer2DModel")
    settings = {key: value for key, value in raw.items() if not key.startswith("_")}
    names = (
        "num_attention_heads", "attention_head_dim", "in_channels", "out_channels", "num_layers", "sample_size",
        "patch_size", "num_embeds_ada_norm", "norm_eps",
    )  # fmt: skip
    check_keys(settings, (*names, *_FIXED, *_WITHOUT_EFFECT))
    for key, value in _FIXED.items():
        if settings.get(key, value) != value:
            raise ValueError(f"{key} = {settings[key]!r} is not implemented, only {value!r}")
    heads, channels = settings.get("num_attention_heads", 16), settings.get("in_channels", 4)
    dim = heads * settings.get("attention_head_dim", 72)
    return DitConfig(
        size=settings.get("sample_size", 32),
        patch=settings.get("patch_size", 2),
        channels=channels,
        out_channels=settings.get("out_channels") or channels,
        dim=dim,
        layers=settings.get("num_layers", 28),
        heads=heads,
        hidden=4 * dim,
        classes=settings.get("num_embeds_ada_norm", 1000),
        eps=settings.get("norm_eps", 1e-5),
    )


# -- published sizes, with fresh weights ---------------------------------------------------------------


def dit_s_2() -> Dit:
    """DiT-S/2 (33 M parameters)."""
    return Dit(DitConfig(dim=384, layers=12, heads=6, hidden=1536))


def dit_b_2() -> Dit:
    """DiT-B/2 (130 M parameters)."""
    return Dit(DitConfig(dim=768, layers=12, heads=12, hidden=3072))


def dit_l_2() -> Dit:
    """DiT-L/2 (458 M parameters)."""
    return Dit(DitConfig(dim=1024, layers=24, heads=16, hidden=4096))


def dit_xl_2() -> Dit:
    """DiT-XL/2 (675 M parameters)."""
    return Dit(DitConfig())
