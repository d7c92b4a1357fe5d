"""The embedded planner's language model, run with numpy alone.

The same LLaMA as `visprog.models.llama`, for one sequence at a time with a cache of keys and values: a
newcomer's first answer needs neither torch nor the seconds that importing it takes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import PlannerError
from ...files.plain_text import read_json

Array: TypeAlias = NDArray[np.float32]


class Decoder:
    """A LLaMA decoder.

    Args:
        folder: holds `model.safetensors` and `config.json`, as `Llama.save_pretrained` writes them.

    Raises:
        PlannerError: the folder holds another model.
    """

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file

        config = read_json(folder / "config.json")
        if config.get("model_type") != "llama":
            raise PlannerError(
                f"the model_type in {folder / 'config.json'} is {config.get('model_type')!r}, not 'llama': "
                "name a folder that 'visprog train planner' wrote"
            )
        self.layers, self.heads, self.eps = config["layers"], config["heads"], config["eps"]
        self.head_dim = config["dim"] // self.heads
        half = np.arange(0, self.head_dim, 2, dtype=np.float32) / self.head_dim
        self.frequencies = (config["theta"] ** -half).astype(np.float32)
        weights = load_file(folder / "model.safetensors")
        self.weights: dict[str, Array] = {k: v.astype(np.float32) for k, v in weights.items()}
        self.reset()

    def reset(self) -> None:
        """Forget the sequence so far."""
        self.length = 0
        self.keys: list[Array | None] = [None] * self.layers
        self.values: list[Array | None] = [None] * self.layers

    def fork(self) -> None:
        """Make the cache this copy's own (its arrays are never written in place, so they stay shared)."""
        self.keys, self.values = list(self.keys), list(self.values)

    def feed(self, tokens: list[int]) -> Array:
        """Read more tokens; the logits (vocab,) of the next one."""
        w = self.weights
        x = w["embed.weight"][tokens]
        positions = np.arange(self.length, self.length + len(tokens), dtype=np.float32)
        angles = np.tile(positions[:, None] * self.frequencies, 2)
        cos, sin = np.cos(angles), np.sin(angles)
        for i in range(self.layers):
            name = f"blocks.{i}."
            x = x + self._attention(i, _norm(x, w[f"{name}attention_norm.weight"], self.eps), cos, sin)
            y = _norm(x, w[f"{name}mlp_norm.weight"], self.eps)
            gate = y @ w[f"{name}mlp.gate.weight"].T
            gate = gate / (1 + np.exp(-gate)) * (y @ w[f"{name}mlp.up.weight"].T)
            x = x + gate @ w[f"{name}mlp.down.weight"].T
        self.length += len(tokens)
        last = _norm(x[-1], w["norm.weight"], self.eps)
        logits: Array = w.get("head.weight", w["embed.weight"]) @ last
        return logits

    def _attention(self, layer: int, x: Array, cos: Array, sin: Array) -> Array:
        """Causal self-attention: (new, dim) → (new, dim)."""
        name, new = f"blocks.{layer}.attention.", len(x)

        def heads(kind: str) -> Array:
            projected: Array = x @ self.weights[f"{name}{kind}.weight"].T
            return projected.reshape(new, self.heads, self.head_dim).transpose(1, 0, 2)

        q, k, v = _rotate(heads("q"), cos, sin), _rotate(heads("k"), cos, sin), heads("v")
        past_keys, past_values = self.keys[layer], self.values[layer]
        if past_keys is not None and past_values is not None:
            k, v = np.concatenate([past_keys, k], 1), np.concatenate([past_values, v], 1)
        self.keys[layer], self.values[layer] = k, v
        scores: Array = q @ k.transpose(0, 2, 1) / np.float32(self.head_dim**0.5)
        if new > 1:
            seen = np.arange(k.shape[1]) <= np.arange(self.length, self.length + new)[:, None]
            scores = np.where(seen, scores, np.float32(-np.inf))
        weights: Array = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        mixed: Array = (weights @ v).transpose(1, 0, 2).reshape(new, -1)
        return mixed @ self.weights[f"{name}out.weight"].T


def _norm(x: Array, weight: Array, eps: float) -> Array:
    scaled: Array = x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
    return scaled * weight


def _rotate(x: Array, cos: Array, sin: Array) -> Array:
    half = x.shape[-1] // 2
    turned: Array = np.concatenate([-x[..., half:], x[..., :half]], -1)
    return x * cos + turned * sin
