"""BLIP-2, stage 2: the Q-Former speaks to a frozen language model (Li et al. 2023, arXiv:2301.12597, section 3.3).

What the queries took from an image is projected by one linear map to the width of the embeddings of a LLaMA, and takes
the place of as many placeholder tokens: soft tokens, before the text as published. Image encoder and language model are
frozen; Q-Former and projector learn by the loss of the language model on the text. Texts no longer enter the Q-Former,
which has no layers for them. The learning rate of each part is in the recipe.

Public checkpoints with OPT or Flan-T5 are run by transformers (`visprog.tools.backends.blip2`); those with a LLaMA are
read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..base import PretrainedModel, Rename
from ..clip.model import ImageEncoder, ImageEncoderConfig
from ..llama import Llama, LlamaConfig, LlamaDecoding, check_placeholders
from ..nn.generate import Beams, Sampling, generate
from . import hub
from .model import VIT_G, Blip2, encode_tokens
from .qformer import QFormer, QFormerConfig


@dataclass(frozen=True)
class Blip2GeneratorConfig:
    """The shape of a model.

    Attributes:
        image_token: id of the placeholder whose place a soft token takes.
    """

    image_encoder: ImageEncoderConfig = VIT_G
    qformer: QFormerConfig = field(default_factory=QFormerConfig)
    language_model: LlamaConfig = field(
        default_factory=lambda: LlamaConfig(32064, 4096, 32, 32, hidden=11008, eps=1e-5, tied=False)
    )
    image_token: int = 32000

    @property
    def tokens_per_image(self) -> int:
        """Number of placeholders per image."""
        return self.qformer.queries

    @classmethod
    def from_hub(cls, raw: Mapping[str, Any]) -> Blip2GeneratorConfig:
        """From the `config.json` of a `Blip2ForConditionalGeneration`.

        Raises:
            ValueError: its language model is no LLaMA, or it asks for what is not implemented; the message names it.
        """
        text = dict(raw.get("text_config") or {})
        if (found := text.get("model_type", "opt")) != "llama":
            raise ValueError(
                f"a BLIP-2 with the language model '{found}' is not implemented, only with a LLaMA: the backend "
                '"blip2" of caption and vqa runs it by transformers'
            )
        image, qformer = hub.encoders(raw, text=False)
        image_token = raw.get("image_token_index", raw.get("image_token_id"))
        if image_token is None:
            raise ValueError("config.json names no image_token_index, the placeholder of the soft tokens")
        return cls(image, qformer, LlamaConfig.from_hub(text), image_token)


class Blip2GeneratorOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        logits: (batch, length, vocab).
        query_tokens: (images, queries, qformer dim), what the queries took from the images; None without images.
        image_embeds: (images, queries, dim), the soft tokens; None without images.
        embeddings: (batch, length, dim), the input of the language model.
        features: (batch, length, dim), after its final norm.
        hidden: (batch, length, dim) after each of its blocks; empty unless asked for.
    """

    logits: Tensor
    query_tokens: Tensor | None
    image_embeds: Tensor | None
    embeddings: Tensor
    features: Tensor
    hidden: list[Tensor]


class Blip2Generator(PretrainedModel):
    """The model of stage 2, of four parts that recipes name: `image_encoder`, `qformer`, `projector`,
    `language_model`."""

    model_type = "blip2_generator"
    config_class = Blip2GeneratorConfig
    config: Blip2GeneratorConfig

    def __init__(self, config: Blip2GeneratorConfig) -> None:
        super().__init__(config)
        self.image_encoder = ImageEncoder(config.image_encoder)
        self.qformer = QFormer(config.qformer, config.image_encoder.dim, text=False)
        self.projector = nn.Linear(config.qformer.dim, config.language_model.dim)
        self.language_model = Llama(config.language_model)

    def encode_images(self, images: Tensor) -> Tensor:
        """Features of images, before the Q-Former: (n, 3, height, width) → (n, tokens, image dim).

        They depend on the image encoder alone: if that is frozen, they may be computed once and kept.
        """
        return encode_tokens(self.image_encoder, images)

    def embed(
        self, tokens: Tensor, images: Tensor | None = None, image_features: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The input of the language model, (batch, length, dim), and the soft tokens of images in it.

        Args:
            tokens: ids (batch, length), with `tokens_per_image` placeholders for each image.
            images: (n, 3, height, width), all images of the batch in the order of their placeholders.
            image_features: from `encode_images`, in place of `images`.

        Raises:
            ValueError: the numbers of placeholders and of soft tokens differ.
        """
        x, _, embeds = self._embed(tokens, images, image_features)
        return x, embeds

    def forward(
        self,
        tokens: Tensor,
        images: Tensor | None = None,
        mask: Tensor | None = None,
        collect: bool = False,
        image_features: Tensor | None = None,
        logits_at: slice | Tensor | None = None,
    ) -> Blip2GeneratorOutput:
        """Predict the token after each.

        Args:
            tokens, images, image_features: as `embed`.
            mask: bool (batch, length), True for real tokens, for left-padded batches; padding on the right needs none,
                because no token before it attends to it.
            collect: whether to keep the hidden states.
            logits_at: positions to compute logits for, as `visprog.models.llama.Llama.forward`; all if not given.
        """
        x, query_tokens, embeds = self._embed(tokens, images, image_features)
        out = self.language_model(embeddings=x, mask=mask, collect=collect, logits_at=logits_at)
        return Blip2GeneratorOutput(out.logits, query_tokens, embeds, x, out.features, out.hidden)

    @torch.no_grad()
    def generate(
        self,
        tokens: Tensor,
        images: Tensor | None = None,
        max_new: int = 128,
        *,
        mask: Tensor | None = None,
        image_features: Tensor | None = None,
        stop: Sequence[int] = (),
        pad: int | None = None,
        search: Sampling | Beams | None = None,
    ) -> Tensor:
        """Texts, as new ids (batch, at most max_new).

        Args:
            tokens, images, image_features: as `embed`; shorter prompts padded on the left.
            mask: bool (batch, length), True for real tokens.
            max_new, stop, pad, search: as `visprog.models.nn.generate`.
        """
        x, _ = self.embed(tokens, images, image_features)
        decoding = LlamaDecoding(self.language_model, x, mask, max_new)
        return generate(decoding, max_new, stop=stop, pad=pad, search=search)

    @classmethod
    def from_stage_1(cls, trained: Blip2, language_model: LlamaConfig, image_token: int) -> Blip2Generator:
        """A model whose image encoder and Q-Former have learned in stage 1; projector and language model are fresh.

        Args:
            trained: the model of stage 1; what it has for texts is left out.
            language_model: shape of the language model.
            image_token: as `Blip2GeneratorConfig`.
        """
        shape = trained.config
        model = cls(Blip2GeneratorConfig(shape.image_encoder, shape.qformer, language_model, image_token))
        model.image_encoder.load_state_dict(trained.image_encoder.state_dict())
        own, state = model.qformer.state_dict(), trained.qformer.state_dict()
        model.qformer.load_state_dict({name: state[name] for name in own})
        return model

    @classmethod
    def from_public(cls, raw: Mapping[str, Any]) -> tuple[Blip2GeneratorConfig, Rename]:
        """The configuration and the names of weights of a `Blip2ForConditionalGeneration` with a LLaMA."""
        return Blip2GeneratorConfig.from_hub(raw), hub.to_ours

    def _embed(
        self, tokens: Tensor, images: Tensor | None, image_features: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """As `embed`, with the `query_tokens`."""
        x = self.language_model.embed(tokens)
        placeholders = tokens == self.config.image_token  # (batch, length)
        if image_features is None and images is not None:
            image_features = self.encode_images(images)
        query_tokens = None if image_features is None else self.qformer(context=image_features).tokens
        check_placeholders(placeholders, query_tokens)
        if query_tokens is None:
            return x, None, None
        embeds = self.projector(query_tokens)  # (n, queries, dim)
        return x.masked_scatter(placeholders[..., None], embeds.to(x.dtype)), query_tokens, embeds
