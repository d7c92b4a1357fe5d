"""ALBEF: image and text are aligned before they are fused (Li et al. 2021, arXiv:2107.07651).

A vision transformer encodes the image, the first half of a BERT the text; a contrastive loss brings the two class
tokens together. The second half of the BERT then reads the text with cross-attention to the image, and learns by two
tasks: does a text match an image, with hard negatives that the contrast finds, and which words are masked.

Since the captions of the web do not always describe their image, a slowly moving copy of the model softens the targets
(`distillation`).

The decoder of the paper that ranks answers to questions is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import PretrainedModel, from_json
from ..bert import (
    IGNORED,
    BertConfig,
    BertEmbeddings,
    MaskedLanguageHead,
    bert_blocks,
    init_bert,
    init_std,
    mask_tokens,
)
from ..checkpoint.checkpoint import assemble
from ..checkpoint.weights import read_state
from ..clip.model import whole_patches
from ..nn import (
    Attention,
    Block,
    ConvStem,
    Mlp,
    PatchEmbed,
    Transformer,
    hard_negatives,
    matching_loss,
    resize_positions,
)
from .authors import authors_config, from_authors
from .distillation import AlbefTeacher, Distillation, Lesson, distilled_loss, spread

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.001, 0.5
"""Bounds of the temperature of the contrast."""


@dataclass(frozen=True)
class AlbefImageEncoderConfig:
    """The shape of an image encoder; the defaults are those of the published ViT-B/16.

    Attributes:
        size: side of the square images that the positions are learned for, in pixels.
        patch: side of a patch, in pixels.
        dim, layers, heads, hidden: shape of the blocks.
        stem: as in `clip.model.ImageEncoderConfig`.
    """

    size: int = 256
    patch: int = 16
    dim: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    eps: float = 1e-6
    stem: int | None = None


@dataclass(frozen=True)
class AlbefConfig:
    """The shape of a model; the defaults are the published ones.

    Attributes:
        text_encoder: shape of the BERT; its `layers` are those that read the text alone.
        fusion_layers: number of further layers, which also attend to the image.
        project: width of the space of the contrast.
    """

    image_encoder: AlbefImageEncoderConfig = field(default_factory=AlbefImageEncoderConfig)
    text_encoder: BertConfig = field(default_factory=lambda: BertConfig(layers=6))
    fusion_layers: int = 6
    project: int = 256


class AlbefOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        image_tokens: (batch, 1 + patches, image dim), the class token first.
        image_embeds: (batch, project), rows of length 1.
        text_tokens: (batch, length, dim), after the layers that read the text alone.
        text_embeds: (batch, project), rows of length 1.
        fused_tokens: (batch, length, dim), after the layers that also attend to the image.
        matching_logits: (batch, 2), of not matching and of matching.
        language_logits: (batch, length, vocab), of the word at each position.
    """

    image_tokens: Tensor
    image_embeds: Tensor
    text_tokens: Tensor
    text_embeds: Tensor
    fused_tokens: Tensor
    matching_logits: Tensor
    language_logits: Tensor


class AlbefImageEncoder(nn.Module):
    """A vision transformer with a class token and a norm after its blocks.

    Shapes: (batch, 3, height, width) → (batch, 1 + patches, dim).
    """

    def __init__(self, config: AlbefImageEncoderConfig) -> None:
        super().__init__()
        self.config = c = config
        self.patches: nn.Module = (
            PatchEmbed(c.dim, c.patch) if c.stem is None else ConvStem(c.dim, c.patch, c.stem)
        )
        self.class_token = nn.Parameter(torch.empty(c.dim))
        self.positions = nn.Parameter(torch.empty(1 + (c.size // c.patch) ** 2, c.dim))
        self.blocks = Transformer(
            Block(
                Attention(c.dim, c.heads), Mlp([c.dim, c.hidden, c.dim]), lambda: nn.LayerNorm(c.dim, c.eps)
            )
            for _ in range(c.layers)
        )
        self.norm = nn.LayerNorm(c.dim, c.eps)
        self._init()

    def _init(self) -> None:
        """As in DeiT: matrices, class token and positions from a normal distribution."""
        std = init_std(self.config.dim)
        for parameter in (self.class_token, self.positions):
            nn.init.trunc_normal_(parameter, std=std)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=std)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Encode images. Positions are interpolated if the size is not that of the configuration."""
        images, grid = whole_patches(images, self.config.patch)
        x = self.patches(images)  # (batch, patches, dim)
        positions = torch.cat([self.positions[:1], resize_positions(self.positions[1:], grid)])
        x = torch.cat([self.class_token.expand(len(x), 1, -1).to(x.dtype), x], 1) + positions
        x, _ = self.blocks(x)
        return self.norm(x)


class Albef(PretrainedModel):
    """The model. `temperature` divides the cosines of the contrast.

    Attributes:
        special_tokens: settings that hold ids of further special tokens, and these tokens.
    """

    model_type = "albef"
    config_class = AlbefConfig
    special_tokens: ClassVar[dict[str, str]] = {"mask": "<mask>"}
    config: AlbefConfig

    def __init__(self, config: AlbefConfig) -> None:
        super().__init__(config)
        text, image = config.text_encoder, config.image_encoder
        self.image_encoder = AlbefImageEncoder(image)
        self.text_embeddings = BertEmbeddings(text)
        self.text_blocks = bert_blocks(text)
        self.fusion_blocks = bert_blocks(text, config.fusion_layers, cross=True, context_dim=image.dim)
        self.image_projection = nn.Linear(image.dim, config.project)
        self.text_projection = nn.Linear(text.dim, config.project)
        self.matching_head = nn.Linear(text.dim, 2)
        self.language_head = MaskedLanguageHead(text)
        self.temperature = nn.Parameter(torch.tensor(0.07))
        for part in (self.text_embeddings, self.text_blocks, self.fusion_blocks, self.language_head):
            init_bert(part, init_std(text.dim))

    def encode_images(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`image_tokens` and `image_embeds` of images (batch, 3, height, width)."""
        tokens = self.image_encoder(images)
        return tokens, F.normalize(self.image_projection(tokens[:, 0]), dim=-1)

    def encode_texts(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """`text_tokens` and `text_embeds` of texts, ids (batch, length)."""
        x, _ = self.text_blocks(self.text_embeddings(tokens), mask=self._real(tokens))
        return x, F.normalize(self.text_projection(x[:, 0]), dim=-1)

    def fuse(self, tokens: Tensor, text_tokens: Tensor, image_tokens: Tensor) -> Tensor:
        """`fused_tokens` of pairs of a text and an image.

        Args:
            tokens: ids (batch, length).
            text_tokens: (batch, length, dim), of the same texts.
            image_tokens: (batch, 1 + patches, image dim).
        """
        x, _ = self.fusion_blocks(text_tokens, mask=self._real(tokens), context=image_tokens)
        return x

    def forward(self, images: Tensor, tokens: Tensor) -> AlbefOutput:
        """Read pairs of an image and a text.

        Args:
            images: (batch, 3, height, width).
            tokens: ids (batch, length), from the start token on, padded on the right; some perhaps masked.
        """
        image_tokens, image_embeds = self.encode_images(images)
        text_tokens, text_embeds = self.encode_texts(tokens)
        fused = self.fuse(tokens, text_tokens, image_tokens)
        return AlbefOutput(
            image_tokens, image_embeds, text_tokens, text_embeds, fused,
            self.matching_head(fused[:, 0]), self._words(fused),
        )  # fmt: skip

    def similarity(self, image_embeds: Tensor, text_embeds: Tensor) -> Tensor:
        """Cosines of images (n, project) and texts (m, project): (n, m)."""
        return image_embeds @ text_embeds.T

    def matching_logits(self, image_tokens: Tensor, tokens: Tensor) -> Tensor:
        """Logarithm of the odds that texts match images, (batch,).

        Args:
            image_tokens: (batch, 1 + patches, image dim), of `encode_images`.
            tokens: ids (batch, length).
        """
        fused = self.fuse(tokens, self.encode_texts(tokens)[0], image_tokens)
        against, match = self.matching_head(fused[:, 0]).unbind(1)
        return match - against

    def match(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Probabilities (batch,) that texts, ids (batch, length), match images (batch, 3, height, width)."""
        return self.matching_logits(self.encode_images(images)[0], tokens).sigmoid()

    def restored_words(self, masked: Tensor, chosen: Tensor, image_tokens: Tensor) -> Tensor:
        """Logits of masked words, (chosen, vocab).

        Args:
            masked: ids (batch, length), some of them masked.
            chosen: bool (batch, length), which words are restored.
            image_tokens: (batch, 1 + patches, image dim).
        """
        text_tokens, _ = self.encode_texts(masked)
        return self._words(self.fuse(masked, text_tokens, image_tokens)[chosen])

    def losses(
        self,
        images: Tensor,
        tokens: Tensor,
        related: Tensor,
        pairs: Tensor,
        *,
        gather: Callable[[Tensor], Tensor] = lambda rows: rows,
        false: tuple[Tensor, Tensor] | None = None,
        teacher: AlbefTeacher | None = None,
    ) -> dict[str, Tensor]:
        """The three losses of n pairs; there are N in all processes.

        Args:
            images: (n, 3, height, width).
            tokens: ids (n, length); pair i belongs together.
            related: bool (N, N), which texts (columns) are right for which images (rows), those of this process first.
            pairs: (n, 2), numbers of images and of texts, equal for equal ones.
            gather: gives the rows of all processes, those of this one first.
            false: rows of images (m,) and false captions of theirs, ids (m, length), which do not match either, and
                against which the true ones are chosen.
            teacher: softens the targets, and remembers further candidates of the contrast.

        Returns:
            "contrast", "matching" and "language"; published is their plain sum.
        """
        n, text = len(images), self.config.text_encoder
        with torch.no_grad():
            self.temperature.clamp_(MIN_TEMPERATURE, MAX_TEMPERATURE)
        masked, labels = mask_tokens(tokens, tokens.new_tensor([text.pad, text.start]), text.mask, text.vocab)
        chosen = labels != IGNORED
        image_tokens, image_embeds = self.encode_images(images)
        text_tokens, text_embeds = self.encode_texts(tokens)
        if teacher is None:
            lesson = Lesson(gather(image_embeds), gather(text_embeds), related.new_zeros(n, 0))
        else:
            lesson = teacher(images, tokens, masked, chosen, pairs, self.temperature, gather)

        to_texts = image_embeds @ lesson.texts.T / self.temperature  # (n, N + queue)
        to_images = text_embeds @ lesson.images.T / self.temperature
        right_texts = torch.cat([related[:n], lesson.repeated], 1)
        right_images = torch.cat([related[:, :n].T, lesson.repeated], 1)
        contrast = (
            distilled_loss(to_texts, spread(right_texts), lesson.to_texts, lesson.alpha)
            + distilled_loss(to_images, spread(right_images), lesson.to_images, lesson.alpha)
        ) / 2

        of_text, false_image = hard_negatives(to_images[:, :n], related[:n, :n].T)
        of_image, false_text = hard_negatives(to_texts[:, :n], related[:n, :n])
        own = torch.arange(n, device=images.device)
        t, i = torch.cat([own, of_text, false_text]), torch.cat([own, false_image, of_image])
        fused = self.fuse(tokens[t], text_tokens[t], image_tokens[i])[:, 0]
        logits = self.matching_head(fused)  # of n true pairs and 2 n false ones
        swapped = None
        if false is not None:
            rows, said = false
            read = self.fuse(said, self.encode_texts(said)[0], image_tokens[rows])
            swapped = rows, self.matching_head(read[:, 0])

        words = self.restored_words(masked, chosen, image_tokens)
        language = distilled_loss(words, labels[chosen], lesson.words, lesson.alpha)
        return {"contrast": contrast, "matching": matching_loss(logits, n, swapped), "language": language}

    def new_teacher(self, config: Distillation) -> AlbefTeacher:
        """A teacher that begins as this model is."""
        return AlbefTeacher(self, config)

    @classmethod
    def from_albef(
        cls, file: str | Path, *, dtype: str | torch.dtype = "float32", device: str | torch.device = "cpu"
    ) -> Albef:
        """Load a checkpoint of the authors' pre-training, such as `ALBEF.pth`.

        The sizes of the model follow from the shapes of its weights. Of a pickled file only tensors are read, never
        objects. Momentum copies and queues are left out.

        Args:
            file: a `.pth` or `.safetensors` file.
            dtype, device: as `from_pretrained`.

        Raises:
            ValueError: the file is missing, damaged, or holds other weights.
        """
        state = read_state(Path(file))
        config = from_json(cls.config_class, authors_config(state, file), file)
        layers = config.text_encoder.layers, config.fusion_layers
        return assemble(lambda: cls(config), state, file, dtype, lambda s: from_authors(s, *layers), device)

    def _real(self, tokens: Tensor) -> Tensor:
        """The attention mask of texts, bool (batch, 1, 1, length)."""
        return (tokens != self.config.text_encoder.pad)[:, None, None]

    def _words(self, fused: Tensor) -> Tensor:
        return self.language_head(fused, self.text_embeddings.words.weight)


# -- published sizes, with fresh weights ---------------------------------------------------------------


def albef_base() -> Albef:
    """ALBEF of the paper (210 M parameters), with fresh weights."""
    return Albef(AlbefConfig())
