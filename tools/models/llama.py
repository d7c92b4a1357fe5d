"""LLaMA: a decoder-only language model (Touvron et al. 2023, arXiv:2302.13971).

Pre-norm blocks with RMSNorm, rotary positions, SwiGLU and (from LLaMA 2 on) grouped keys and values. The
embedded planner is one of these, small; the same code loads public LLaMA checkpoints.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn import Block, KVCache, RMSNorm, Rotary


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


class LlamaOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        logits: (batch, length, vocab).
        hidden: after each block, a list of (batch, length, dim); the last one before the final norm.
    """

    logits: Tensor
    hidden: list[Tensor]


class Llama(nn.Module):
    """The model. Shapes: token ids (batch, length) → logits (batch, length, vocab)."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab, config.dim)
        self.blocks = nn.ModuleList(
            Block(config.dim, config.heads, config.hidden, config.kv_heads, config.eps)
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
        self, tokens: Tensor, mask: Tensor | None = None, cache: list[KVCache] | None = None
    ) -> LlamaOutput:
        """Args:
        tokens: ids (batch, length).
        mask: bool (batch, length), True for real tokens, for left-padded batches; None where all are real.
        cache: from `new_cache`; then `tokens` are the next ones, and `mask` covers past and new.
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
        rotary = self.rotary(positions)
        x = self.embed(tokens)
        hidden = []
        for i, block in enumerate(self.blocks):
            x = block(x, rotary, allowed, cache[i] if cache else None)
            hidden.append(x)
        return LlamaOutput(self.head(self.norm(x)), hidden)

    def new_cache(self, batch: int, capacity: int) -> list[KVCache]:
        """Empty caches, one a layer, for `capacity` positions."""
        attention = self.blocks[0].attention
        shape = (batch, attention.kv_heads, capacity, attention.head_dim)
        weight = self.embed.weight
        return [KVCache(shape, weight.dtype, weight.device) for _ in self.blocks]

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
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {k: v.half().contiguous() for k, v in self.state_dict().items() if k != "head.weight"}
        if not self.config.tied:
            state["head.weight"] = self.head.weight.half()
        save_file(state, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(asdict(self.config), indent=1) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> Llama:
        """Read what `save` wrote, as float32."""
        from safetensors.torch import load_file

        folder = Path(folder)
        model = cls(LlamaConfig(**json.loads((folder / "config.json").read_text())))
        _load(model, {k: v.float() for k, v in load_file(folder / "model.safetensors").items()}, str(folder))
        return model

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Llama:
        """Load a public LLaMA checkpoint (Hugging Face layout: config.json and *.safetensors) from a folder.

        Raises:
            ValueError: scaled rotary positions, biases, or keys missing or unexpected; the message names them.
        """
        from safetensors.torch import load_file

        folder = Path(folder)
        raw = json.loads((folder / "config.json").read_text())
        rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
        if rope.get("rope_type", "default") != "default":
            raise ValueError(f"{folder}: rotary scaling '{rope['rope_type']}' is not implemented")
        model = cls(
            LlamaConfig(
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
        )
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise ValueError(f"{folder} holds no .safetensors file")
        state = {from_hub(key): value for file in files for key, value in load_file(file).items()}
        _load(model, {k: v for k, v in state.items() if not k.endswith("rotary_emb.inv_freq")}, str(folder))
        return model


_NAMES = (
    ("model.embed_tokens.", "embed."),
    ("model.layers.", "blocks."),
    ("model.norm.", "norm."),
    ("lm_head.", "head."),
    (".input_layernorm.", ".attention_norm."),
    (".post_attention_layernorm.", ".mlp_norm."),
    (".self_attn.q_proj.", ".attention.q."),
    (".self_attn.k_proj.", ".attention.k."),
    (".self_attn.v_proj.", ".attention.v."),
    (".self_attn.o_proj.", ".attention.out."),
    (".mlp.gate_proj.", ".mlp.gate."),
    (".mlp.up_proj.", ".mlp.up."),
    (".mlp.down_proj.", ".mlp.down."),
)


def from_hub(key: str) -> str:
    """A parameter's name in hub checkpoints → its name here."""
    for theirs, ours in _NAMES:
        key = key.replace(theirs, ours)
    return key


def to_hub(key: str) -> str:
    """A parameter's name here → its name in hub checkpoints."""
    for theirs, ours in reversed(_NAMES):
        key = f".{key}".replace(f".{ours}", f".{theirs}")[1:] if ours[0] != "." else key.replace(ours, theirs)
    return key


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


def _load(model: Llama, state: dict[str, Tensor], where: str) -> None:
    """Load parameters, naming every key that is missing or unexpected."""
    if model.config.tied:
        state.setdefault("head.weight", state.get("embed.weight", torch.empty(0)))
    wanted = set(model.state_dict())
    missing, unexpected = sorted(wanted - set(state)), sorted(set(state) - wanted)
    if missing or unexpected:
        raise ValueError(f"{where}: missing keys {missing}, unexpected keys {unexpected}")
    model.load_state_dict(state)
