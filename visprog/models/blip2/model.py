"""BLIP-2, stage 1: a Q-Former learns to take from a frozen image encoder what texts say (Li et al. 2023,
arXiv:2301.12597, section 3.2).

Three losses share one Q-Former, and differ in what queries and text see of each other (`qformer.py` has the masks):
contrast (ITC; nothing), matching (ITM; everything) and captions (ITG; the text sees the queries and the words before).
The image encoder may be any vision transformer of `clip.model`; its last norm is the layer norm that the paper puts on
its output, over all tokens, and is trained while the rest is frozen. Stage 2 is in `generator.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import PretrainedModel, Rename
from ..bert import Bert, BertConfig, MaskedLanguageHead, init_bert, init_std
from ..clip.hub import renamed
from ..clip.model import ImageEncoder, ImageEncoderConfig
from ..nn import hard_negatives, matching_loss
from ..nn.generate import Beams, Sampling, generate
from . import hub
from .qformer import KeysValues, QFormer, QFormerConfig, caption_mask, matching_mask

VIT_G = ImageEncoderConfig(
    size=224, patch=14, dim=1408, layers=39, heads=16, hidden=6144, activation="gelu", eps=1e-6, project=None,
    pre_norm=False,
)  # fmt: skip
"""ViT-g/14 of EVA-CLIP without its last block."""


@dataclass(frozen=True)
class Blip2Config:
    """The shape of a model; the defaults are those of the paper with ViT-g/14.

    Attributes:
        vocab: number of token ids: those of BERT and [DEC].
        length: greatest number of tokens of a text.
        pad: id of the token that fills shorter texts.
        caption_start: id of [DEC], which stands in the place of the first token when the text is a caption to write;
            None for a model that writes none, as the public ones for retrieval.
        project: width of the space of the contrast.
    """

    image_encoder: ImageEncoderConfig = VIT_G
    qformer: QFormerConfig = field(default_factory=QFormerConfig)
    vocab: int = 30523
    length: int = 512
    pad: int = 0
    caption_start: int | None = 30522
    project: int = 256

    @classmethod
    def from_hub(cls, raw: Mapping[str, Any]) -> Blip2Config:
        """From the `config.json` of a `Blip2ForImageTextRetrieval`.

        Raises:
            ValueError: it asks for what is not implemented; the message names it.
        """
        image, qformer = hub.encoders(raw, text=True)
        text = {"vocab_size": 30522, **(raw.get("qformer_config") or {})}
        project = raw.get("image_text_hidden_size", 256)
        return cls(image, qformer, **renamed(text, hub.TEXT_NAMES), caption_start=None, project=project)


class Blip2Output(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        image_tokens: (batch, tokens, image dim), after the norm.
        query_tokens: (batch, queries, dim), what the queries took from the image.
        image_embeds: (batch, queries, project), rows of length 1.
        text_tokens: (batch, length, dim).
        text_embeds: (batch, project), rows of length 1.
        logits: (batch, length, vocab), of the token of a caption after each; None if the model writes none.
    """

    image_tokens: Tensor
    query_tokens: Tensor
    image_embeds: Tensor
    text_tokens: Tensor
    text_embeds: Tensor
    logits: Tensor | None


class Blip2(PretrainedModel):
    """The model of stage 1. `temperature` divides the cosines of the contrast.

    Attributes:
        special_tokens: settings that hold ids of further special tokens, and these tokens.
    """

    model_type = "blip2"
    config_class = Blip2Config
    special_tokens: ClassVar[dict[str, str]] = {"caption_start": "[DEC]"}
    config: Blip2Config

    def __init__(self, config: Blip2Config) -> None:
        super().__init__(config)
        c, dim = config, config.qformer.dim
        self.image_encoder = ImageEncoder(c.image_encoder)
        self.qformer = QFormer(c.qformer, c.image_encoder.dim, text=True)
        self.words = nn.Embedding(c.vocab, dim, c.pad)
        self.positions = nn.Embedding(c.length, dim)
        self.image_projection = nn.Linear(dim, c.project)
        self.text_projection = nn.Linear(dim, c.project)
        self.matching_head = nn.Linear(dim, 2)
        if c.caption_start is not None:
            self.caption_head = MaskedLanguageHead(bert_config(c))
            init_bert(self.caption_head, init_std(dim))
        self.temperature = nn.Parameter(torch.tensor(0.07))
        for embedding in (self.words, self.positions):
            init_bert(embedding, init_std(dim))

    def encode_images(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`image_tokens` and `image_embeds` of images (batch, 3, height, width)."""
        image_tokens = encode_tokens(self.image_encoder, images)
        return image_tokens, self._image_embeds(self.qformer(context=image_tokens).tokens)

    def encode_texts(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """`text_tokens` and `text_embeds` of texts, ids (batch, length)."""
        text_tokens = self.qformer(self._embed(tokens), mask=matching_mask(self._real(tokens), 0)).tokens
        return text_tokens, F.normalize(self.text_projection(text_tokens[:, 0]), dim=-1)

    def similarity(self, image_embeds: Tensor, text_embeds: Tensor) -> Tensor:
        """Cosine of each text with the query of each image that is nearest to it: (n, queries, project) and
        (m, project) → (n, m)."""
        return torch.einsum("nqd,md->nmq", image_embeds, text_embeds).amax(-1)

    def pair_logits(self, image_tokens: Tensor, tokens: Tensor) -> Tensor:
        """Logits (batch, 2) of not matching and of matching, the mean over the queries.

        Args:
            image_tokens: (batch, tokens, image dim), of `encode_images`.
            tokens: ids (batch, length).
        """
        queries = self.config.qformer.queries
        mask = matching_mask(self._real(tokens), queries)
        x = self.qformer(self._embed(tokens), image_tokens, mask=mask).tokens
        return self.matching_head(x[:, :queries]).mean(1)

    def matching_logits(self, image_tokens: Tensor, tokens: Tensor) -> Tensor:
        """Logarithm of the odds that texts match images, (batch,). Arguments as `pair_logits`."""
        against, match = self.pair_logits(image_tokens, tokens).unbind(1)
        return match - against

    def match(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Probabilities (batch,) that texts, ids (batch, length), match images (batch, 3, height, width)."""
        return self.matching_logits(encode_tokens(self.image_encoder, images), tokens).sigmoid()

    def caption_logits(self, tokens: Tensor, past: Sequence[KeysValues]) -> Tensor:
        """Logits (batch, length, vocab) of the token after each, of captions whose first token becomes [DEC].

        Args:
            tokens: ids (batch, length).
            past: keys and values of the queries.
        """
        tokens = torch.cat([torch.full_like(tokens[:, :1], self._caption_start), tokens[:, 1:]], 1)
        queries = self.config.qformer.queries
        mask = caption_mask(self._real(tokens), queries)[:, :, queries:]  # the rows of the text
        x = self.qformer(self._embed(tokens), mask=mask, past=past).tokens
        return self.caption_head(x, self.words.weight)

    def forward(self, images: Tensor, tokens: Tensor) -> Blip2Output:
        """Features of images and texts for the contrast, and the token after each for the captions. Captions read the
        keys and values of the queries of the contrast: one pass of the image serves both.

        Args:
            images: (batch, 3, height, width).
            tokens: ids (batch, length), from the start token on, padded on the right.
        """
        image_tokens = encode_tokens(self.image_encoder, images)
        queries = self.qformer(context=image_tokens)
        text_tokens, text_embeds = self.encode_texts(tokens)
        logits = None if self.config.caption_start is None else self.caption_logits(tokens, queries.past)
        image_embeds = self._image_embeds(queries.tokens)
        return Blip2Output(image_tokens, queries.tokens, image_embeds, text_tokens, text_embeds, logits)

    def losses(
        self,
        images: Tensor,
        tokens: Tensor,
        related: Tensor,
        pairs: Tensor,
        *,
        gather: Callable[[Tensor], Tensor] = lambda rows: rows,
        false: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """The three losses of n pairs; there are N in all processes, among which the contrast chooses and from which
        hard negatives are drawn.

        Args:
            images: (n, 3, height, width).
            tokens: ids (n, length); pair i belongs together.
            related: bool (N, N), which texts (columns) are right for which images (rows), those of this process first.
            pairs: not used.
            gather: gives the rows of all processes, those of this one first.
            false: rows of images (m,) and false captions of theirs, ids (m, length), which do not match either, and
                against which the true ones are chosen.

        Returns:
            "contrast", "matching" and "language"; published is their plain sum.
        """
        n, pad = len(images), self.config.pad
        out = self(images, tokens)
        if out.logits is None:
            raise ValueError("this BLIP-2 has no head for captions, of which one loss is made")
        to_texts = self.similarity(out.image_embeds, gather(out.text_embeds)) / self.temperature  # (n, N)
        to_images = self.similarity(gather(out.image_embeds), out.text_embeds).T / self.temperature
        right_texts, right_images = related[:n], related[:, :n].T
        contrast = (contrast_loss(to_texts, right_texts) + contrast_loss(to_images, right_images)) / 2

        of_text, false_image = hard_negatives(to_images, right_images)
        of_image, false_text = hard_negatives(to_texts, right_texts)
        own = torch.arange(n, device=images.device)
        i, t = torch.cat([own, false_image, of_image]), torch.cat([own, of_text, false_text])
        texts = gather(F.pad(tokens, (0, self.config.length - tokens.shape[1]), value=pad))[t]
        texts = texts[:, : int((texts != pad).sum(1).max())]
        logits = self.pair_logits(gather(out.image_tokens)[i], texts)  # of n true pairs and 2 n false ones
        swapped = (
            None if false is None else (false[0], self.pair_logits(out.image_tokens[false[0]], false[1]))
        )

        return {
            "contrast": contrast,
            "matching": matching_loss(logits, n, swapped),
            "language": caption_loss(out.logits, tokens, pad),
        }

    @torch.no_grad()
    def generate(
        self,
        images: Tensor,
        max_new: int | None = None,
        *,
        stop: Sequence[int] = (),
        search: Sampling | Beams | None = None,
    ) -> Tensor:
        """Write captions of images, as new ids (batch, at most max_new).

        Args:
            images: (batch, 3, height, width).
            max_new: greatest number of tokens; if not given, as many as a text can have.
            stop, search: as `visprog.models.nn.generate`.
        """
        room = self.config.length  # the last token is not read
        decoding = Blip2Decoding(self, encode_tokens(self.image_encoder, images))
        return generate(decoding, min(max_new or room, room), stop=stop, pad=self.config.pad, search=search)

    def copy_bert(self, bert: Bert) -> None:
        """Begin with a BERT of the same shape, as published: words, positions, blocks and the head for captions. Its
        vocabulary is that of this model without [DEC].

        Raises:
            ValueError: the shapes differ.
        """
        shape, own = bert.config, bert_config(self.config)
        for name in ("dim", "layers", "heads", "hidden", "activation", "eps"):
            if getattr(shape, name) != getattr(own, name):
                raise ValueError(
                    f"a BERT with {name} = {getattr(shape, name)} does not fit a Q-Former with {getattr(own, name)}"
                )
        self.qformer.copy_bert(bert)
        with torch.no_grad():
            for mine, theirs in (
                (self.words, bert.embeddings.words),
                (self.positions, bert.embeddings.positions),
            ):
                most = min(len(mine.weight), len(theirs.weight))
                mine.weight[:most] = theirs.weight[:most]
            if self.config.caption_start is not None:
                self.caption_head.layer.load_state_dict(bert.head.layer.state_dict())
                self.caption_head.norm.load_state_dict(bert.head.norm.state_dict())
                most = min(len(self.caption_head.bias), len(bert.head.bias))
                self.caption_head.bias[:most] = bert.head.bias[:most]

    @classmethod
    def from_public(cls, raw: Mapping[str, Any]) -> tuple[Blip2Config, Rename]:
        """The configuration and the names of weights of a `Blip2ForImageTextRetrieval`, whose files hold no
        temperature: it starts again."""
        return Blip2Config.from_hub(raw), lambda state: {
            "temperature": torch.tensor(0.07),
            **hub.to_ours(state),
        }

    @property
    def _caption_start(self) -> int:
        if self.config.caption_start is None:
            raise ValueError("this BLIP-2 has no head for captions: it compares images and texts alone")
        return self.config.caption_start

    def _embed(self, tokens: Tensor, start: int = 0) -> Tensor:
        end = start + tokens.shape[1]
        if end > self.config.length:
            raise ValueError(f"a text has {end} tokens, {self.config.length} are the most")
        return self.words(tokens) + self.positions.weight[start:end]

    def _image_embeds(self, query_tokens: Tensor) -> Tensor:
        return F.normalize(self.image_projection(query_tokens), dim=-1)

    def _real(self, tokens: Tensor) -> Tensor:
        return tokens != self.config.pad


class Blip2Decoding:
    """Captions that the Q-Former is writing (see `visprog.models.nn.generate.Decoding`), from [DEC] on.

    Args:
        model: the BLIP-2.
        image_tokens: (batch, tokens, image dim).
    """

    logits: Tensor

    def __init__(self, model: Blip2, image_tokens: Tensor) -> None:
        self.model, self.length = model, 0
        self.past = model.qformer(context=image_tokens).past
        self.advance(torch.full((len(image_tokens),), model._caption_start, device=image_tokens.device))

    def advance(self, tokens: Tensor) -> None:
        """Read the next token of each caption, ids (batch,)."""
        out = self.model.qformer(self.model._embed(tokens[:, None], self.length), past=self.past)
        self.past, self.length = out.past, self.length + 1
        self.logits = self.model.caption_head(out.tokens[:, 0], self.model.words.weight)

    def reorder(self, rows: Tensor) -> None:
        """Caption i becomes what caption `rows[i]` was."""
        self.logits = self.logits.index_select(0, rows)
        self.past = [(k.index_select(0, rows), v.index_select(0, rows)) for k, v in self.past]


def blip2_vit_g() -> Blip2:
    """BLIP-2 of stage 1 with ViT-g/14 of EVA-CLIP, with fresh weights (1.2 G parameters)."""
    return Blip2(Blip2Config())


def blip2_vit_l() -> Blip2:
    """BLIP-2 of stage 1 with ViT-L/14 of CLIP without its last block, with fresh weights (0.5 G parameters)."""
    encoder = ImageEncoderConfig(224, 14, dim=1024, layers=23, heads=16, hidden=4096, project=None)
    return Blip2(Blip2Config(encoder))


def encode_tokens(encoder: ImageEncoder, images: Tensor) -> Tensor:
    """All tokens of images after the last norm: (batch, 3, height, width) → (batch, tokens, image dim)."""
    return encoder.norm(encoder(images).tokens)


def bert_config(config: Blip2Config) -> BertConfig:
    """The shape of a BERT whose blocks the Q-Former has."""
    c = config.qformer
    return BertConfig(
        config.vocab, config.length, 1, c.dim, c.layers, c.heads, c.hidden, c.activation, c.dropout, config.pad,
        eps=c.eps,
    )  # fmt: skip


# -- the losses ----------------------------------------------------------------------------------------


def contrast_loss(logits: Tensor, right: Tensor, label_smoothing: float = 0.1) -> Tensor:
    """ITC, one direction: mean cross-entropy of choosing what belongs to each row.

    Args:
        logits: (n, N), similarities divided by the temperature.
        right: bool (n, N), what belongs together; the target is spread evenly over it.
        label_smoothing: share of the target that is spread over all.
    """
    target = right / right.sum(1, keepdim=True)
    return F.cross_entropy(logits, target, label_smoothing=label_smoothing)


def caption_loss(logits: Tensor, tokens: Tensor, pad: int, label_smoothing: float = 0.1) -> Tensor:
    """ITG: mean cross-entropy of each token given the image and those before it; padding does not count.

    Args:
        logits: (batch, length, vocab), of the token after each.
        tokens: (batch, length).
        pad: id of padding.
        label_smoothing: share of the target that is spread over all.
    """
    return F.cross_entropy(
        logits[:, :-1].flatten(0, 1),
        tokens[:, 1:].flatten(),
        ignore_index=pad,
        label_smoothing=label_smoothing,
    )
