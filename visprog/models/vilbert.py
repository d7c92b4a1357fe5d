"""ViLBERT: a stream for words and one for regions, which attend to each other (Lu et al. 2019, arXiv:1908.02265).

The stream of words is a BERT; that of regions is wider and shallower, and begins with a token for the whole image.
Between their blocks lie layers of co-attention: each stream asks, the other gives keys and values. It learns from
captions by restoring masked words, the classes of hidden regions, and by telling whether text and image belong
together; then from a task, such as which region an expression refers to.

The weights of the authors have no licence, and are not loaded here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .bert import (
    BertConfig,
    BertEmbeddings,
    HeadTransform,
    MaskedLanguageHead,
    bert_blocks,
    init_bert,
    init_std,
    masked_language_loss,
)
from .nn import Attention, Mlp, activation
from .nn.boxes import iou
from .regions import RegionModel, Regions, Targets, hide_regions

MIN_IOU = 0.5
"""Intersection over union from which a region counts as the one that is referred to."""


@dataclass(frozen=True)
class VilbertConfig(BertConfig):
    """The shape of a model; the defaults are those of the paper, BERT-base and six layers of regions.

    Attributes:
        region_dim: width of the features of regions.
        objects: number of classes of objects; the detector tells one more, for none of them.
        region_width, region_layers, region_heads, region_hidden: shape of the blocks of regions.
        cross_dim: width of the co-attention and of the pooled features.
        cross_heads: number of heads of the co-attention.
        text_places: blocks of the text that have a layer of co-attention before them.
        region_places: blocks of the regions before which the same layers lie.
    """

    region_dim: int = 2048
    objects: int = 1600
    region_width: int = 1024
    region_layers: int = 6
    region_heads: int = 8
    region_hidden: int = 1024
    cross_dim: int = 1024
    cross_heads: int = 8
    text_places: tuple[int, ...] = (6, 7, 8, 9, 10, 11)
    region_places: tuple[int, ...] = (0, 1, 2, 3, 4, 5)

    def __post_init__(self) -> None:
        for name, layers in (("text_places", self.layers), ("region_places", self.region_layers)):
            places = getattr(self, name)
            if list(places) != sorted(places) or not all(0 <= place <= layers for place in places):
                raise ValueError(
                    f"{name} rise from 0 to at most {layers}, the number of blocks, not {places}"
                )
        if len(self.text_places) != len(self.region_places):
            raise ValueError("text_places and region_places are as many: each layer lies in both streams")

    @property
    def region_stream(self) -> BertConfig:
        """The shape of the blocks of regions."""
        return BertConfig(
            dim=self.region_width, layers=self.region_layers, heads=self.region_heads, hidden=self.region_hidden,
            activation=self.activation, dropout=self.dropout, eps=self.eps,
        )  # fmt: skip


class VilbertOutput(NamedTuple):
    """Named intermediates of a forward pass. Of the regions, the first token is that of the whole image.

    Attributes:
        text_embeddings: (batch, length, dim).
        region_embeddings: (batch, 1 + regions, region_width).
        text_hidden: outputs of the layers of co-attention and of the blocks of the text, in order; empty unless
            collected.
        region_hidden: the same of the regions.
        text_tokens: (batch, length, dim), after the last block.
        region_tokens: (batch, 1 + regions, region_width), after the last block.
        pooled: (batch, cross_dim), of both streams.
        word_logits: (batch, length, vocab).
        match_logits: (batch, 2).
        object_logits: (batch, regions, 1 + objects).
        region_scores: (batch, regions), logits of being what the text refers to.
    """

    text_embeddings: Tensor
    region_embeddings: Tensor
    text_hidden: list[Tensor]
    region_hidden: list[Tensor]
    text_tokens: Tensor
    region_tokens: Tensor
    pooled: Tensor
    word_logits: Tensor
    match_logits: Tensor
    object_logits: Tensor
    region_scores: Tensor


class RegionEmbeddings(nn.Module):
    """Regions, and before them the whole image: their mean, in a box around everything."""

    def __init__(self, config: VilbertConfig) -> None:
        super().__init__()
        self.features = nn.Linear(config.region_dim, config.region_width)
        self.locations = nn.Linear(5, config.region_width)
        self.norm = nn.LayerNorm(config.region_width, config.eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, regions: Regions) -> tuple[Tensor, Tensor]:
        """Embed regions.

        Returns:
            Embeddings (batch, 1 + regions, region_width), and which are no padding, bool (batch, 1 + regions).
        """
        real = regions.mask[..., None].to(regions.features.dtype)
        mean = (regions.features * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)
        features = torch.cat([mean, regions.features], 1)
        whole = regions.boxes.new_tensor([0, 0, 1, 1]).expand(len(mean), 1, 4)
        x = self.features(features) + self.locations(locations(torch.cat([whole, regions.boxes], 1)))
        return self.dropout(self.norm(x)), F.pad(regions.mask, (1, 0), value=True)


class CoAttention(nn.Module):
    """Each stream attends to the other and passes a feed-forward layer: norm(x + cross(x, other)), norm(x + mlp(x))."""

    def __init__(self, config: VilbertConfig) -> None:
        super().__init__()
        self.text = CrossBlock(config, config, config.region_width)
        self.regions = CrossBlock(config, config.region_stream, config.dim)

    def forward(
        self, text: Tensor, regions: Tensor, mask: Tensor | None, region_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Text (batch, length, dim) and regions (batch, regions, region_width) → the same; both read the other as it
        was before."""
        return self.text(text, regions, region_mask), self.regions(regions, text, mask)


class CrossBlock(nn.Module):
    """One stream of a `CoAttention`.

    Args:
        config: width and heads of the attention.
        own: shape of the stream.
        other: width of the other stream.
    """

    def __init__(self, config: VilbertConfig, own: BertConfig, other: int) -> None:
        super().__init__()
        head_dim = config.cross_dim // config.cross_heads
        self.cross = Attention(
            own.dim, config.cross_heads, head_dim=head_dim, kv_dim=other, dropout=config.dropout
        )
        self.cross_norm, self.mlp_norm = (nn.LayerNorm(own.dim, own.eps) for _ in range(2))
        self.mlp = Mlp([own.dim, own.hidden, own.dim], activation(own.activation))
        self.dropout = nn.Dropout(own.dropout)

    def forward(self, x: Tensor, other: Tensor, mask: Tensor | None) -> Tensor:
        x = self.cross_norm(x + self.dropout(self.cross(x, other, mask=mask)))
        return self.mlp_norm(x + self.dropout(self.mlp(x)))


class ObjectHead(HeadTransform):
    """Classes of regions, (batch, regions, region_width) → (batch, regions, 1 + objects)."""

    def __init__(self, config: VilbertConfig) -> None:
        super().__init__(config.region_stream)
        self.out = nn.Linear(config.region_width, 1 + config.objects)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.transform(tokens))


class Vilbert(RegionModel):
    """The model. Class 0 of `match_logits` says that text and image belong together."""

    model_type = "vilbert"
    config_class = VilbertConfig
    config: VilbertConfig
    matched_class: ClassVar[int] = 0

    def __init__(self, config: VilbertConfig) -> None:
        super().__init__(config)
        c = config
        self.embeddings, self.region_embeddings = BertEmbeddings(c), RegionEmbeddings(c)
        self.blocks, self.region_blocks = bert_blocks(c), bert_blocks(c.region_stream)
        self.cross_blocks = nn.ModuleList(CoAttention(c) for _ in c.text_places)
        self.text_pool = nn.Linear(c.dim, c.cross_dim)
        self.region_pool = nn.Linear(c.region_width, c.cross_dim)
        self.head = MaskedLanguageHead(c)
        self.object_head = ObjectHead(c)
        self.match = nn.Linear(c.cross_dim, 2)
        self.select = nn.Linear(c.region_width, 1)
        self.dropout = nn.Dropout(c.dropout)
        init_bert(self, init_std(config.dim))

    def forward(
        self,
        tokens: Tensor,
        regions: Regions,
        mask: Tensor | None = None,
        types: Tensor | None = None,
        *,
        collect: bool = False,
    ) -> VilbertOutput:
        """Read a text and the regions of an image.

        Args:
            tokens: ids (batch, length).
            regions: of one image per text.
            mask: bool (batch, length), True for real tokens; None if all are real.
            types: ids (batch, length); 0 if not given.
            collect: whether to keep the outputs of all layers.
        """
        c, seen = self.config, None if mask is None else mask[:, None, None]
        text = text_embeddings = self.embeddings(tokens, types)
        found, real = self.region_embeddings(regions)
        region_embeddings, region_seen = found, real[:, None, None]
        text_hidden, region_hidden = [], []
        done, region_done = 0, 0
        ends = [*zip(c.text_places, c.region_places, strict=True), (c.layers, c.region_layers)]
        for i, (place, region_place) in enumerate(ends):
            for block in islice(self.blocks, done, place):
                text_hidden.append(text := block(text, mask=seen))
            for block in islice(self.region_blocks, region_done, region_place):
                region_hidden.append(found := block(found, mask=region_seen))
            if i < len(self.cross_blocks):
                text, found = self.cross_blocks[i](text, found, seen, region_seen)
                text_hidden.append(text)
                region_hidden.append(found)
            done, region_done = place, region_place
        pooled = F.relu(self.text_pool(text[:, 0])) * F.relu(self.region_pool(found[:, 0]))
        return VilbertOutput(
            text_embeddings, region_embeddings, text_hidden if collect else [], region_hidden if collect else [],
            text, found, pooled, self.head(text, self.embeddings.words.weight), self.match(self.dropout(pooled)),
            self.object_head(found[:, 1:]), self.select(self.dropout(found[:, 1:]))[..., 0],
        )  # fmt: skip

    def hide_regions(self, regions: Regions) -> tuple[Regions, Tensor]:
        """Of 15 % of the regions 90 % lose their feature, and 10 % keep it."""
        return hide_regions(regions, zeroed=0.9)

    def pretraining_losses(self, output: VilbertOutput, targets: Targets) -> dict[str, Tensor]:
        """ "words", "match" and "objects".

        Raises:
            ValueError: the detector tells no objects.
        """
        if targets.regions.objects is None:
            raise ValueError("ViLBERT learns classes of regions: the detector must tell objects")
        return {
            "words": masked_language_loss(output.word_logits, targets.words),
            "match": F.cross_entropy(output.match_logits, self.match_labels(targets.matched)),
            "objects": object_loss(output.object_logits, targets.regions.objects, targets.hidden),
        }


def vilbert_base() -> Vilbert:
    """ViLBERT of the paper (239 M parameters; the code of the authors has 11 M more, which it never uses)."""
    return Vilbert(VilbertConfig())


def locations(boxes: Tensor) -> Tensor:
    """Corners in shares of the image, and the share of its area, (…, 4) → (…, 5)."""
    sizes = boxes[..., 2:] - boxes[..., :2]
    return torch.cat([boxes, sizes.prod(-1, keepdim=True)], -1)


def object_loss(logits: Tensor, objects: Tensor, hidden: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the detector's classes and those predicted, the mean over hidden regions; 0 if
    there are none.

    Args:
        logits: (batch, regions, 1 + objects).
        objects: (batch, regions, 1 + objects), probabilities.
        hidden: bool (batch, regions).
    """
    each = F.kl_div(logits.log_softmax(-1), objects, reduction="none").sum(-1)  # (batch, regions)
    return (each * hidden).sum() / hidden.sum().clamp(min=1)


def select_targets(boxes: Tensor, truth: Tensor, real: Tensor) -> Tensor:
    """What regions are to score: their intersection over union with the nearest box that is referred to, 0 below
    `MIN_IOU`.

    Args:
        boxes: (batch, regions, 4), corners.
        truth: (batch, boxes, 4), corners.
        real: bool (batch, boxes), False for padding.
    """
    overlap = iou(boxes[:, :, None], truth[:, None]).nan_to_num().masked_fill(~real[:, None], 0)
    best = F.pad(overlap, (0, 1)).amax(-1)  # (batch, regions); 0 if nothing is referred to
    return torch.where(best < MIN_IOU, 0, best)


def select_loss(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of the regions of an image, summed, the mean over images.

    Args:
        scores: logits (batch, regions).
        targets: (batch, regions), of `select_targets`.
        mask: bool (batch, regions), False for padding.
    """
    each = F.binary_cross_entropy_with_logits(scores, targets, reduction="none")
    return (each * mask).sum() / len(scores)
