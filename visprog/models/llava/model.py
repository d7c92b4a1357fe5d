"""LLaVA: a language model that sees (Liu et al. 2023, arXiv:2304.08485; LLaVA-1.5, arXiv:2310.03744).

The patches of an image, as the layer before the last of a CLIP tower describes them, are projected to the width of
the embeddings of a LLaMA and put in the place of as many placeholder tokens. The class token is left out: only it is
supervised in CLIP's last layer, and the others still say what is where. It is trained in two stages: first the
projector alone, on captions; then projector and language model, on conversations, with the loss on the answers.
The image tower stays as it is. Which part learns at which rate is said by the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..checkpoint.checkpoint import assemble, load_model, read_checkpoint, read_own, save_model
from ..checkpoint.hub_config import check_keys, check_kind
from ..checkpoint.keymap import KeyMap
from ..clip.model import ImageConfig, ImageTower, tower_keys
from ..llama import Llama, LlamaConfig, LlamaDecoding, model_keys
from ..nn import Mlp, activation
from ..nn.generate import Beams, Sampling, generate

VIT_L_336 = ImageConfig(size=336, patch=14, dim=1024, layers=24, heads=16, hidden=4096, project=None)


@dataclass(frozen=True)
class LlavaConfig:
    """The shape of a model; the defaults are those of LLaVA-1.5 7B.

    Attributes:
        image_token: id of the placeholder that a patch is put in place of.
        feature_layers: of which hidden states of the tower the features are: 0 is what enters the first block, 1
            what leaves it, -1 what leaves the last; of several, side by side.
        class_token: keep the class token, as the first feature of an image.
        merge: patches of a square of so many by so many become one feature, side by side (Chen et al. 2023,
            MiniGPT-v2, arXiv:2310.09478): the language model reads a fraction of them.
        projector: activations between linear maps, each as wide as the language model: ("gelu",) has two maps,
            () is one (LLaVA-1).
    """

    image: ImageConfig = VIT_L_336
    text: LlamaConfig = field(
        default_factory=lambda: LlamaConfig(32064, 4096, 32, 32, hidden=11008, eps=1e-5, tied=False)
    )
    image_token: int = 32000
    feature_layers: tuple[int, ...] = (-2,)
    class_token: bool = False
    merge: int = 1
    projector: tuple[str, ...] = ("gelu",)
    projector_bias: bool = True

    @property
    def per_image(self) -> int:
        """Placeholders that an image takes."""
        return (self.image.grid // self.merge) ** 2 + self.class_token

    def __post_init__(self) -> None:
        if self.merge > 1 and (self.class_token or self.image.grid % self.merge):
            raise ValueError(
                f"merge = {self.merge} needs no class token, and a grid of patches that it divides, "
                f"not {self.image.grid}"
            )

    @classmethod
    def from_hub(cls, raw: dict[str, Any]) -> LlavaConfig:
        """From the `config.json` of a hub checkpoint.

        Raises:
            ValueError: its image tower is no CLIP, its language model no LLaMA, or one has what is not
                implemented; the message names it.
        """
        check_kind(raw, "llava")
        check_keys(raw, HUB_KEYS)
        raw = {key: value for key, value in raw.items() if value is not None}
        vision, text = raw.get("vision_config"), dict(raw.get("text_config") or {})
        if vision and (kind := vision.get("model_type", "clip_vision_model")) != "clip_vision_model":
            raise ValueError(f"an image tower of kind '{kind}' is not implemented in LLaVA, only CLIP's")
        layers = raw.get("vision_feature_layer", -2)
        select = raw.get("vision_feature_select_strategy", "default")
        if select not in ("default", "full"):
            raise ValueError(f"vision_feature_select_strategy is 'default' or 'full', not {select!r}")
        if raw.get("tie_word_embeddings"):
            text["tie_word_embeddings"] = True
        return cls(
            image=ImageConfig.from_hub(vision, None) if vision else VIT_L_336,
            text=LlamaConfig.from_hub(text),
            image_token=raw.get("image_token_index", raw.get("image_token_id", 32000)),
            feature_layers=(layers,) if isinstance(layers, int) else tuple(layers),
            class_token=select == "full",
            projector=(raw.get("projector_hidden_act", "gelu"),),
            projector_bias=raw.get("multimodal_projector_bias", True),
        )

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> LlavaConfig:
        """From what `dataclasses.asdict` made of one."""
        parts = {"image": ImageConfig(**raw["image"]), "text": LlamaConfig(**raw["text"])}
        tuples = {name: tuple(raw[name]) for name in ("feature_layers", "projector")}
        return cls(**(raw | parts | tuples))


class LlavaOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        logits: (batch, length, vocab).
        image_features: (images, per_image, dim), projected; None without images.
        embeddings: (batch, length, dim), what the language model reads.
        features: (batch, length, dim), after its final norm.
        hidden: after each of its blocks; empty unless asked for.
    """

    logits: Tensor
    image_features: Tensor | None
    embeddings: Tensor
    features: Tensor
    hidden: list[Tensor]


class Llava(nn.Module):
    """The model, of three parts that recipes name: `tower`, `projector`, `language`."""

    def __init__(self, config: LlavaConfig) -> None:
        super().__init__()
        self.config = config
        self.tower = ImageTower(config.image)
        width = config.text.dim
        dims = [
            config.image.dim * len(config.feature_layers) * config.merge**2,
            *[width] * (1 + len(config.projector)),
        ]
        self.projector = Mlp(dims, activation(config.projector[0]) if config.projector else nn.Identity())
        if not config.projector_bias:
            for layer in self.projector.layers:
                layer.bias = None
        self.language = Llama(config.text)

    def see(self, images: Tensor) -> Tensor:
        """Images (n, 3, height, width) → what the tower says of them, (n, per_image, image dim * feature layers *
        merge²).

        It depends on the tower alone: where that is frozen, it may be computed once and kept.
        """
        out = self.tower(images, collect=True)
        states = [out.embedded, *out.hidden]
        seen = [states[layer] for layer in self.config.feature_layers]
        if self.config.class_token:
            return torch.cat(seen, -1)
        grid = torch.cat(seen, -1)[:, 1:].unflatten(1, (self.config.image.grid, -1))
        squares = grid.unfold(1, self.config.merge, self.config.merge).unfold(
            2, self.config.merge, self.config.merge
        )
        return squares.flatten(3).flatten(1, 2)

    def embed(
        self, tokens: Tensor, images: Tensor | None = None, seen: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the language model reads, (batch, length, dim), and the projected features in it.

        Args:
            tokens: ids (batch, length), with `per_image` placeholders for each image.
            images: (n, 3, height, width), all images of the batch in the order of their placeholders.
            seen: what `see` made of them, in their place.

        Raises:
            ValueError: placeholders and features are not equally many.
        """
        x = self.language.embed(tokens)
        places = tokens == self.config.image_token
        if seen is None and images is not None:
            seen = self.see(images)
        found = 0 if seen is None else seen.shape[0] * seen.shape[1]
        if not torch.compiler.is_compiling() and int(places.sum()) != found:
            raise ValueError(f"{int(places.sum())} placeholders for {found} features of images")
        if seen is None:
            return x, None
        features = self.projector(seen)
        return x.masked_scatter(places[..., None], features.to(x.dtype)), features

    def forward(
        self,
        tokens: Tensor,
        images: Tensor | None = None,
        mask: Tensor | None = None,
        collect: bool = False,
        seen: Tensor | None = None,
    ) -> LlavaOutput:
        """Args:
        tokens, images, seen: as `embed`.
        mask: bool (batch, length), True for real tokens, for left-padded batches; padding on the right needs
            none, because nothing before it sees it.
        collect: keep the hidden states.
        """
        x, image_features = self.embed(tokens, images, seen)
        out = self.language(embeddings=x, mask=mask, collect=collect)
        return LlavaOutput(out.logits, image_features, x, out.features, out.hidden)

    @torch.no_grad()
    def generate(
        self,
        tokens: Tensor,
        images: Tensor | None = None,
        max_new: int = 128,
        *,
        mask: Tensor | None = None,
        seen: Tensor | None = None,
        stop: Sequence[int] = (),
        pad: int | None = None,
        search: Sampling | Beams | None = None,
    ) -> Tensor:
        """Answers, as new ids (batch, at most max_new).

        Args:
            tokens, images, seen: as `embed`; shorter prompts padded on the left.
            mask: bool (batch, length), True for real tokens.
            max_new, stop, pad, search: as `visprog.models.nn.generate`.
        """
        x, _ = self.embed(tokens, images, seen)
        decoding = LlamaDecoding(self.language, x, mask, max_new)
        return generate(decoding, max_new, stop=stop, pad=pad, search=search)

    def save(self, folder: str | Path, dtype: torch.dtype | None = torch.float16) -> None:
        """Write `model.safetensors` and `config.json`."""
        save_model(self, self.config, folder, dtype)

    @classmethod
    def load(cls, folder: str | Path) -> Llava:
        """Read what `save` wrote, as float32."""
        config = LlavaConfig.from_dict(read_own(folder))
        return load_model(lambda: cls(config), folder)

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, dtype: str | torch.dtype = "float32", revision: str | None = None
    ) -> Llava:
        """Load a public LLaVA checkpoint (llava-hf/llava-1.5-7b-hf and its kind), of any of the layouts that
        transformers has written.

        Args:
            source: a hub id, or a folder in the hub's layout.
            dtype: precision of the weights: "float32", "bfloat16", "float16", or "auto", that of the file.
            revision: branch, tag or commit of a hub id.

        Raises:
            ValueError: its parts are of another kind, or keys are missing or unexpected; the message names them.
        """
        config, state = read_checkpoint(source, LlavaConfig.from_hub, revision)
        return assemble(lambda: cls(config), state, source, dtype, to_ours)


HUB_KEYS = (
    "image_seq_length", "image_token_id", "image_token_index", "multimodal_projector_bias", "projector_hidden_act",
    "text_config", "tie_word_embeddings", "vision_config", "vision_feature_layer", "vision_feature_select_strategy",
    "vocab_size",
)  # fmt: skip
"""Settings of a hub checkpoint that are read, or repeat others."""

KEYS = KeyMap(
    [
        ("vision_tower.embeddings.class_embedding", "tower.class_token"),
        ("vision_tower.embeddings.patch_embedding.weight", "tower.patches.projection.weight"),
        ("vision_tower.embeddings.position_embedding.weight", "tower.positions"),
        ("vision_tower.pre_layrnorm.{}", "tower.pre_norm.{}"),
        *tower_keys("vision_tower.", "tower."),
        ("vision_tower.post_layernorm.{}", "tower.norm.{}"),
        ("multi_modal_projector.linear_1.{}", "projector.layers.0.{}"),
        ("multi_modal_projector.linear_2.{}", "projector.layers.1.{}"),
        *model_keys("language_model.", "language."),
        ("lm_head.weight", "language.head.weight"),
    ],
    ignored=[
        "vision_tower.embeddings.position_ids",
        "language_model.layers.{}.self_attn.rotary_emb.inv_freq",
    ],
)
"""Names in the hub's checkpoints, without the prefixes in which their layouts differ ↔ names here."""


def to_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state of the hub, in any of its layouts → ours: `language_model.model.…` of the first files and
    `model.language_model.…` of transformers 5 are the same, so are `vision_tower.vision_model.…` and
    `vision_tower.…`."""
    plain = {}
    for key, value in state.items():
        key = key.removeprefix("model.").replace("vision_tower.vision_model.", "vision_tower.")
        key = key.replace("language_model.model.", "language_model.").replace(
            "language_model.lm_head", "lm_head"
        )
        plain[key] = value
    return KEYS.to_ours(plain)


def to_theirs(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state → the names of transformers 5 in memory (`model.language_model.…`, `lm_head.weight`)."""
    theirs = KEYS.to_theirs(state)
    return {key if key.startswith("lm_head") else f"model.{key}": value for key, value in theirs.items()}
