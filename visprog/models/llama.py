"""LLaMA: a decoder-only language model (Touvron et al. 2023, arXiv:2302.13971).

Pre-norm blocks with RMSNorm, rotary positions, SwiGLU and (from LLaMA 2 on) grouped keys and values. The
embedded planner is one of these, small; the same code loads public LLaMA checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import PretrainedModel, Rename
from .checkpoint.hub_config import check_keys, check_model_type
from .checkpoint.keymap import KeyMap
from .nn import Attention, Block, KVCache, Linear, RMSNorm, Rotary, SwiGLU, Transformer
from .nn.generate import Beams, Sampling, generate


@dataclass(frozen=True)
class RopeScaling:
    """How rotary frequencies are stretched for sequences longer than those a model was first trained on.

    Attributes:
        factor: all frequencies ("linear"), or the lowest ones ("llama3"), are divided by it.
        low, high: "llama3" only: wavelengths above original / low are stretched, those below original / high are
            left, and between them it goes over smoothly.
        original: "llama3" only: the length of the first training.
    """

    rope_type: Literal["linear", "llama3"]
    factor: float
    low: float = 1.0
    high: float = 4.0
    original: int = 8192

    def __call__(self, frequencies: Tensor) -> Tensor:
        """Frequencies in radians a position, any shape → the same."""
        if self.rope_type == "linear":
            return frequencies / self.factor
        turns = self.original * frequencies / (2 * math.pi)
        kept = ((turns - self.low) / (self.high - self.low)).clamp(0, 1)
        return kept * frequencies + (1 - kept) * frequencies / self.factor


@dataclass(frozen=True)
class LlamaConfig:
    """The shape of a model. The defaults are the embedded planner's."""

    vocab: int = 2048
    dim: int = 192
    layers: int = 6
    heads: int = 6
    kv_heads: int | None = None
    head_dim: int | None = None
    hidden: int = 512
    theta: float = 10000.0
    scaling: RopeScaling | None = None
    eps: float = 1e-6
    attention_bias: bool = False
    tied: bool = True

    @classmethod
    def from_hub(cls, raw: dict[str, Any]) -> LlamaConfig:
        """From the `config.json` of a hub checkpoint; what it leaves out is as in LLaMA 7B.

        Raises:
            ValueError: it asks for something that this LLaMA does not have; the message names it.
        """
        raw = {key: value for key, value in raw.items() if value is not None}
        for key, known in {
            "hidden_act": ("silu", "swish"),
            "mlp_bias": (False,),
        }.items():
            if raw.get(key, known[0]) not in known:
                raise ValueError(
                    f"{key} {raw[key]!r} is not implemented, only {' or '.join(map(repr, known))}"
                )
        check_model_type(raw, "llama")
        check_keys(raw, HUB_KEYS)
        rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
        return cls(
            vocab=raw.get("vocab_size", 32000),
            dim=raw.get("hidden_size", 4096),
            layers=raw.get("num_hidden_layers", 32),
            heads=raw.get("num_attention_heads", 32),
            kv_heads=raw.get("num_key_value_heads"),
            head_dim=raw.get("head_dim"),
            hidden=raw.get("intermediate_size", 11008),
            theta=rope.get("rope_theta") or raw.get("rope_theta") or 10000.0,
            scaling=_scaling(rope, raw.get("max_position_embeddings", 2048)),
            eps=raw.get("rms_norm_eps", 1e-6),
            attention_bias=raw.get("attention_bias", False),
            tied=raw.get("tie_word_embeddings", False),
        )


HUB_KEYS = (
    "attention_bias", "head_dim", "hidden_act", "hidden_size", "intermediate_size", "max_position_embeddings",
    "mlp_bias", "model_type", "num_attention_heads", "num_hidden_layers", "num_key_value_heads", "rms_norm_eps",
    "rope_parameters", "rope_scaling", "rope_theta", "tie_word_embeddings", "vocab_size",
)  # fmt: skip
"""Settings of a hub checkpoint that `LlamaConfig.from_hub` reads."""

ROPE_KEYS = (
    "factor", "high_freq_factor", "low_freq_factor", "original_max_position_embeddings", "partial_rotary_factor",
    "rope_theta", "rope_type", "type",
)  # fmt: skip
"""Likewise of its rotary positions."""


def _scaling(rope: dict[str, Any], length: int) -> RopeScaling | None:
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise ValueError("rotary positions for a part of the channels are not implemented")
    if rope_type not in ("default", "linear", "llama3"):
        raise ValueError(f"rotary scaling '{rope_type}' is not implemented, only linear and llama3")
    check_keys(rope, ROPE_KEYS, "rope_parameters")
    try:
        match rope_type:
            case "linear":
                return RopeScaling("linear", rope["factor"])
            case "llama3":
                original = rope.get("original_max_position_embeddings", length)
                return RopeScaling(
                    "llama3", rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"], original
                )
    except KeyError as error:
        raise ValueError(f"rotary scaling '{rope_type}' has no {error}") from None
    return None


class LlamaOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        logits: (batch, length, vocab); of the positions alone that were asked for, if any were.
        features: (batch, length, dim), after the final norm.
        hidden: after each block, (batch, length, dim), the last one before the final norm; empty unless asked for.
    """

    logits: Tensor
    features: Tensor
    hidden: list[Tensor]


class Llama(PretrainedModel):
    """The model. Shapes: token ids (batch, length) → logits (batch, length, vocab)."""

    model_type = "llama"
    config_class = LlamaConfig
    config: LlamaConfig

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab, config.dim)
        self.blocks = Transformer(
            Block(
                Attention(
                    config.dim,
                    config.heads,
                    kv_heads=config.kv_heads,
                    head_dim=config.head_dim,
                    bias=config.attention_bias,
                ),
                SwiGLU(config.dim, config.hidden),
                lambda: RMSNorm(config.dim, config.eps),
            )
            for _ in range(config.layers)
        )
        self.norm = RMSNorm(config.dim, config.eps)
        self.head = Linear(config.dim, config.vocab, bias=False)
        if config.tied:
            self.head.weight = self.embed.weight
        self.rotary = Rotary(config.head_dim or config.dim // config.heads, config.theta)
        if config.scaling:
            self.rotary.frequencies = config.scaling(self.rotary.frequencies)
        self.apply(self._init)

    def _init(self, module: nn.Module) -> None:
        """Normal of std 0.02; the projections that write to the residual stream scaled by 1/sqrt(2 layers)."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, Block):
            for layer in (module.attention.out, module.mlp.down):
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * self.config.layers))

    def forward(
        self,
        tokens: Tensor | None = None,
        mask: Tensor | None = None,
        cache: list[KVCache] | None = None,
        collect: bool = False,
        embeddings: Tensor | None = None,
        logits_at: slice | Tensor | None = None,
    ) -> LlamaOutput:
        """Predict the token after each.

        Args:
            tokens: ids (batch, length).
            mask: bool (batch, length), True for real tokens, for left-padded batches; None if all are real.
            cache: from `new_cache`; then `tokens` are the next ones, and `mask` covers past and new.
            collect: whether to keep the hidden states.
            embeddings: (batch, length, dim), in place of `tokens`.
            logits_at: positions to compute logits for, such as `slice(-1, None)` for the last or a tensor of indices
                (n,); all if not given. With a large vocabulary, logits take much of the time and most of the memory.
        """
        x = self.embed(tokens) if embeddings is None else embeddings
        features, hidden = self.forward_features(x, mask, cache, collect)
        asked = features if logits_at is None else features[:, logits_at]
        return LlamaOutput(self.head(asked), features, hidden)

    def forward_features(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        cache: list[KVCache] | None = None,
        collect: bool = False,
    ) -> tuple[Tensor, list[Tensor]]:
        """`features` and `hidden`, without the logits, of embeddings (batch, length, dim), as `forward`."""
        past = cache[0].length if cache else 0
        positions, allowed = attended(mask, past, x.shape[1], x.device)
        x, hidden = self.blocks(
            x,
            mask=allowed,
            causal=allowed is None and x.shape[1] > 1,
            rotary=self.rotary(positions, x.dtype),
            caches=cache,
            collect=collect,
        )
        return self.norm(x), hidden

    def new_cache(self, batch: int, capacity: int) -> list[KVCache]:
        """Empty caches, one a layer, for `capacity` positions."""
        return [block.attention.new_cache(batch, capacity) for block in self.blocks]

    @torch.no_grad()
    def generate(
        self,
        tokens: Tensor | None = None,
        max_new: int = 128,
        *,
        mask: Tensor | None = None,
        embeddings: Tensor | None = None,
        stop: Sequence[int] = (),
        pad: int | None = None,
        search: Sampling | Beams | None = None,
    ) -> Tensor:
        """Continue prompts: ids (batch, length) → the new ids (batch, at most max_new).

        Args:
            tokens: ids (batch, length), shorter prompts padded on the left.
            max_new: greatest number of new tokens.
            mask: bool (batch, length), True for real tokens.
            embeddings: (batch, length, dim), in place of `tokens`.
            stop, pad, search: as `visprog.models.nn.generate`.
        """
        x = self.embed(tokens) if embeddings is None else embeddings
        return generate(LlamaDecoding(self, x, mask, max_new), max_new, stop=stop, pad=pad, search=search)

    @classmethod
    def from_public(cls, raw: Mapping[str, Any]) -> tuple[LlamaConfig, Rename]:
        return LlamaConfig.from_hub(dict(raw)), KEYS.to_ours


# -- published sizes, with fresh weights ---------------------------------------------------------------


def llama_7b() -> Llama:
    """LLaMA 7B (6.7 G parameters)."""
    return Llama(LlamaConfig(32000, 4096, 32, 32, hidden=11008, tied=False))


def llama_2_7b() -> Llama:
    """LLaMA 2 7B (6.7 G parameters)."""
    return Llama(LlamaConfig(32000, 4096, 32, 32, hidden=11008, eps=1e-5, tied=False))


class LlamaDecoding:
    """A batch of sequences that a LLaMA is writing (see `visprog.models.nn.generate.Decoding`).

    Args:
        embeddings: of the prompts, (batch, length, dim), shorter ones padded on the left.
        mask: bool (batch, length), True for real positions; None if all are real.
        max_new: greatest number of new tokens.
    """

    logits: Tensor

    def __init__(self, model: Llama, embeddings: Tensor, mask: Tensor | None, max_new: int) -> None:
        batch, length = embeddings.shape[:2]
        capacity = length + max_new - 1  # the last token is not read
        self.model, self.caches = model, model.new_cache(batch, length)
        _, allowed = attended(mask, 0, length, embeddings.device)
        if mask is not None:
            mask = F.pad(mask, (0, max_new - 1), value=True)
        positions, _ = attended(mask, 0, capacity, embeddings.device)
        self.rotary: tuple[Tensor, ...] = model.rotary(positions, embeddings.dtype)
        self.seen = None if mask is None else mask[:, None, None]
        self._read(embeddings, allowed)
        for cache in self.caches:  # only now: reading the prompts takes the most memory
            cache.reserve(capacity)

    def advance(self, tokens: Tensor) -> None:
        """Read the next token of each sequence, ids (batch,)."""
        end = self.caches[0].length + 1
        self._read(self.model.embed(tokens[:, None]), None if self.seen is None else self.seen[..., :end])

    def reorder(self, rows: Tensor) -> None:
        """Sequence i becomes what sequence `rows[i]` was."""
        self.logits = self.logits.index_select(0, rows)
        for cache in self.caches:
            cache.reorder(rows)
        if self.seen is not None:
            self.seen = self.seen.index_select(0, rows)
            self.rotary = tuple(table.index_select(0, rows) for table in self.rotary)

    def _read(self, x: Tensor, allowed: Tensor | None) -> None:
        start = self.caches[0].length
        x, _ = self.model.blocks(
            x,
            mask=allowed,
            causal=allowed is None and x.shape[1] > 1,
            rotary=tuple(table[..., start : start + x.shape[1], :] for table in self.rotary),
            caches=self.caches,
        )
        self.logits = self.model.head(self.model.norm(x[:, -1]))


def attended(
    mask: Tensor | None, past: int, length: int, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Positions of the next `length` tokens after `past`, and which keys they may attend to.

    Args:
        mask: bool (batch, past + length), True for real tokens; None if all are real.

    Returns:
        Positions (batch or 1, length), and bool (batch or 1, 1, length, past + length); None if plain causal
        attention is the same.
    """
    index = torch.arange(past + length, device=device)
    causal = index[None] <= index[past:, None]
    if mask is None:
        return index[None, past:], causal[None, None] if past and length > 1 else None
    positions = (mask.long().cumsum(-1) - 1).clamp(min=0)[:, past:]
    # A padded query has no key at all; attending to itself keeps the softmax finite.
    itself = index[None] == index[past:, None]
    return positions, causal[None, None] & mask[:, None, None, :] | itself


def check_placeholders(places: Tensor, features: Tensor | None) -> None:
    """Refuse a batch whose placeholders are not as many as the features that take their places.

    Args:
        places: bool (batch, length), True for placeholders.
        features: (n, count, dim), of all images of the batch; None if there are none.

    Raises:
        ValueError: the numbers differ.
    """
    found = 0 if features is None else features.shape[0] * features.shape[1]
    if not torch.compiler.is_compiling() and int(places.sum()) != found:
        raise ValueError(f"{int(places.sum())} placeholders for {found} features of images")


def model_keys(theirs: str, ours: str) -> list[tuple[str, str]]:
    """Key pairs of all but the head, their names and ours each with a prefix."""
    layer, block = f"{theirs}layers.{{}}.", f"{ours}blocks.{{}}."
    return [
        (f"{theirs}embed_tokens.weight", f"{ours}embed.weight"),
        (f"{layer}input_layernorm.weight", f"{block}attention_norm.weight"),
        *((f"{layer}self_attn.{n}_proj.{{}}", f"{block}attention.{n}.{{}}") for n in "qkv"),
        (f"{layer}self_attn.o_proj.{{}}", f"{block}attention.out.{{}}"),
        (f"{layer}post_attention_layernorm.weight", f"{block}mlp_norm.weight"),
        (f"{layer}mlp.{{}}_proj.weight", f"{block}mlp.{{}}.weight"),
        (f"{theirs}norm.weight", f"{ours}norm.weight"),
    ]


KEYS = KeyMap(
    [*model_keys("model.", ""), ("lm_head.weight", "head.weight")],
    ignored=["model.layers.{}.self_attn.rotary_emb.inv_freq"],
)
"""Names in the hub's checkpoints ↔ names here."""


def next_token_loss(logits: Tensor, tokens: Tensor, weight: Tensor) -> Tensor:
    """Mean cross-entropy of each token given those before it.

    Args:
        logits: (batch, length, vocab).
        tokens: (batch, length).
        weight: (batch, length), weight of the loss of each token; 0 for prompt and padding.
    """
    losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    weight = weight[:, 1:].flatten().to(losses.dtype)
    return (losses * weight).sum() / weight.sum().clamp(min=1)


def answer_loss(features: Tensor, head: Tensor, tokens: Tensor, weight: Tensor) -> Tensor:
    """`next_token_loss` with logits for the counted tokens alone, which saves most of its memory if the vocabulary is
    large.

    Args:
        features: (batch, length, dim), after the final norm.
        head: (vocab, dim), weight of the linear map to logits.
        tokens, weight: as `next_token_loss`.
    """
    counted = weight[:, 1:] > 0
    losses = F.cross_entropy(features[:, :-1][counted] @ head.T, tokens[:, 1:][counted], reduction="none")
    weight = weight[:, 1:][counted].to(losses.dtype)
    return (losses * weight).sum() / weight.sum().clamp(min=1)
