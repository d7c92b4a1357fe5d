"""LLaMA: a decoder-only language model (Touvron et al. 2023, arXiv:2302.13971).

Pre-norm blocks with RMSNorm, rotary positions, SwiGLU and (from LLaMA 2 on) grouped keys and values. The
embedded planner is one of these, small; the same code loads public LLaMA checkpoints.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn import Attention, Block, KVCache, RMSNorm, Rotary, SwiGLU, Transformer
from .checkpoint import load_exactly, load_model, read_checkpoint, save_model
from .keymap import KeyMap


@dataclass(frozen=True)
class LlamaConfig:
    """The shape of a model. The defaults are the embedded planner's."""

    vocab: int = 2048
    dim: int = 192
    layers: int = 6
    heads: int = 6
    kv_heads: int | None = None
    hidden: int = 512
    theta: float = 10000.0
    eps: float = 1e-6
    tied: bool = True

    @classmethod
    def from_hub(cls, raw: dict[str, Any]) -> LlamaConfig:
        """From the `config.json` of a hub checkpoint.

        Raises:
            ValueError: it asks for scaled rotary positions.
        """
        rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
        if rope.get("rope_type", "default") != "default":
            raise ValueError(f"rotary scaling '{rope['rope_type']}' is not implemented")
        return cls(
            vocab=raw["vocab_size"],
            dim=raw["hidden_size"],
            layers=raw["num_hidden_layers"],
            heads=raw["num_attention_heads"],
            kv_heads=raw.get("num_key_value_heads"),
            hidden=raw["intermediate_size"],
            theta=rope.get("rope_theta", raw.get("rope_theta", 10000.0)),
            eps=raw["rms_norm_eps"],
            tied=raw.get("tie_word_embeddings", False),
        )


class LlamaOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        logits: (batch, length, vocab).
        hidden: after each block, (batch, length, dim), the last one before the final norm; empty unless asked for.
    """

    logits: Tensor
    hidden: list[Tensor]


class Llama(nn.Module):
    """The model. Shapes: token ids (batch, length) → logits (batch, length, vocab)."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab, config.dim)
        self.blocks = Transformer(
            Block(
                Attention(config.dim, config.heads, kv_heads=config.kv_heads, bias=False),
                SwiGLU(config.dim, config.hidden),
                lambda: RMSNorm(config.dim, config.eps),
            )
            for _ in range(config.layers)
        )
        self.norm = RMSNorm(config.dim, config.eps)
        self.head = nn.Linear(config.dim, config.vocab, bias=False)
        if config.tied:
            self.head.weight = self.embed.weight
        self.rotary = Rotary(config.dim // config.heads, config.theta)
        self.apply(self._init)

    def _init(self, module: nn.Module) -> None:
        """Normal of std 0.02; the projections that write to the residual stream scaled by 1/sqrt(2 layers)."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, Block):
            for layer in (module.attention.out, module.mlp.down):
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * self.config.layers))

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        cache: list[KVCache] | None = None,
        collect: bool = False,
    ) -> LlamaOutput:
        """Args:
        tokens: ids (batch, length).
        mask: bool (batch, length), True for real tokens, for left-padded batches; None where all are real.
        cache: from `new_cache`; then `tokens` are the next ones, and `mask` covers past and new.
        collect: keep the hidden states.
        """
        length = tokens.shape[1]
        past = cache[0].length if cache else 0
        if mask is None:
            positions = torch.arange(past, past + length, device=tokens.device)[None]
            allowed = None
            if past and length > 1:
                keys = torch.arange(past + length, device=tokens.device)
                allowed = (keys[None] <= positions[0][:, None])[None, None]
        else:
            positions = (mask.long().cumsum(-1) - 1).clamp(min=0)[:, past:]
            index = torch.arange(past + length, device=tokens.device)
            allowed = (index[None] <= index[past:, None])[None, None] & mask[:, None, None, :]
            # A padded query sees no key at all; letting it see itself keeps the softmax finite.
            allowed = allowed | (index[None] == index[past:, None])
        x, hidden = self.blocks(
            self.embed(tokens),
            mask=allowed,
            causal=allowed is None and length > 1,
            rotary=self.rotary(positions),
            caches=cache,
            collect=collect,
        )
        return LlamaOutput(self.head(self.norm(x)), hidden)

    def new_cache(self, batch: int, capacity: int) -> list[KVCache]:
        """Empty caches, one a layer, for `capacity` positions."""
        return [block.attention.new_cache(batch, capacity) for block in self.blocks]

    @torch.no_grad()
    def generate(
        self, tokens: Tensor, max_new: int, end: int | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Greedy continuation of (batch, length) by at most `max_new` tokens; after `end` comes only `end`."""
        cache = self.new_cache(tokens.shape[0], tokens.shape[1] + max_new)
        step, out = tokens, tokens
        finished = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
        for _ in range(max_new):
            step = self(step, mask, cache).logits[:, -1:].argmax(-1)
            if end is not None:
                step = torch.where(finished[:, None], end, step)
                finished |= step[:, 0] == end
            out = torch.cat([out, step], 1)
            if mask is not None:
                mask = F.pad(mask, (0, 1), value=True)
            if end is not None and bool(finished.all()):
                break
        return out

    # -- checkpoints -----------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write `model.safetensors` (float16) and `config.json`."""
        save_model(self, self.config, folder, torch.float16)

    @classmethod
    def load(cls, folder: str | Path) -> Llama:
        """Read what `save` wrote, as float32."""
        model = cls(LlamaConfig(**json.loads((Path(folder) / "config.json").read_text())))
        load_model(model, folder)
        return model

    @classmethod
    def from_pretrained(cls, source: str | Path) -> Llama:
        """Load a public LLaMA checkpoint: a hub id, or a folder in the hub's layout.

        Raises:
            ValueError: scaled rotary positions, or keys missing or unexpected; the message names them.
        """
        raw, state = read_checkpoint(source)
        model = cls(LlamaConfig.from_hub(raw))
        state = KEYS.to_ours(state)
        if model.config.tied:
            state.setdefault("head.weight", state["embed.weight"])
        load_exactly(model, state, source)
        return model


KEYS = KeyMap(
    [
        ("model.embed_tokens.weight", "embed.weight"),
        ("model.layers.{}.input_layernorm.weight", "blocks.{}.attention_norm.weight"),
        ("model.layers.{}.self_attn.q_proj.weight", "blocks.{}.attention.q.weight"),
        ("model.layers.{}.self_attn.k_proj.weight", "blocks.{}.attention.k.weight"),
        ("model.layers.{}.self_attn.v_proj.weight", "blocks.{}.attention.v.weight"),
        ("model.layers.{}.self_attn.o_proj.weight", "blocks.{}.attention.out.weight"),
        ("model.layers.{}.post_attention_layernorm.weight", "blocks.{}.mlp_norm.weight"),
        ("model.layers.{}.mlp.{}_proj.weight", "blocks.{}.mlp.{}.weight"),
        ("model.norm.weight", "norm.weight"),
        ("lm_head.weight", "head.weight"),
    ],
    ignored=["model.layers.{}.self_attn.rotary_emb.inv_freq"],
)
"""Names in the hub's checkpoints ↔ names here."""


def next_token_loss(logits: Tensor, tokens: Tensor, weight: Tensor) -> Tensor:
    """Mean cross-entropy of each token given those before it.

    Args:
        logits: (batch, length, vocab).
        tokens: (batch, length).
        weight: (batch, length), how much predicting each token counts; 0 for prompt and padding.
    """
    losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    weight = weight[:, 1:].flatten().to(losses.dtype)
    return (losses * weight).sum() / weight.sum().clamp(min=1)
