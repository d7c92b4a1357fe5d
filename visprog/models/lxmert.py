"""LXMERT: text and regions apart, then together (Tan & Bansal 2019, arXiv:1908.07490).

One stack of blocks reads the words, another the regions, whose features and boxes are embedded apart and averaged.
Then come layers that cross: each stream attends to the other by one and the same attention, then to itself, and passes
its own feed-forward layer. Five tasks teach it: masked words, whether text and image match, the classes and the
attributes of the regions, the features of hidden regions, and answers to questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import Rename
from .bert import (
    BertConfig,
    BertEmbeddings,
    HeadTransform,
    MaskedLanguageHead,
    Pooler,
    attention_keys,
    bert_block,
    bert_blocks,
    block_keys,
    embedding_keys,
    head_keys,
    init_bert,
    init_std,
    masked_language_loss,
    transform_keys,
)
from .checkpoint.keymap import KeyMap
from .nn import Attention
from .regions import RegionModel, Regions, Targets, answer_loss, hide_regions

CLASSES = {"LxmertForPreTraining": True, "LxmertForQuestionAnswering": False}
"""Class in the `architectures` of a public checkpoint → whether it has the heads of pre-training."""


@dataclass(frozen=True)
class LxmertConfig(BertConfig):
    """The shape of a model; the defaults are those of lxmert-base-uncased.

    Attributes:
        layers: number of blocks of the text.
        region_layers: number of blocks of the regions.
        cross_layers: number of layers that cross.
        region_dim: width of the features of regions.
        objects: number of classes of objects.
        attributes: number of classes of attributes.
        answers: number of classes of answers.
        pretraining: whether there are heads for words, matching and regions beside that for answers.
        region_weight: weight of each loss of regions.
    """

    layers: int = 9
    region_layers: int = 5
    cross_layers: int = 5
    region_dim: int = 2048
    objects: int = 1600
    attributes: int = 400
    answers: int = 9500
    pretraining: bool = True
    region_weight: float = 1 / 0.15


class RegionLogits(NamedTuple):
    """What is said of regions.

    Attributes:
        objects: (batch, regions, objects).
        attributes: (batch, regions, attributes).
        features: (batch, regions, region_dim).
    """

    objects: Tensor
    attributes: Tensor
    features: Tensor


class LxmertOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        text_embeddings: (batch, length, dim).
        region_embeddings: (batch, regions, dim).
        text_hidden: outputs of the blocks of the text, then of the layers that cross; empty unless collected.
        region_hidden: the same of the regions.
        text_tokens: (batch, length, dim), after the last layer.
        region_tokens: (batch, regions, dim), after the last layer.
        pooled: (batch, dim), of the first token.
        answer_logits: (batch, answers).
        word_logits: (batch, length, vocab); None without heads of pre-training, as the next two.
        match_logits: (batch, 2).
        region_logits: classes, attributes and features of the regions.
    """

    text_embeddings: Tensor
    region_embeddings: Tensor
    text_hidden: list[Tensor]
    region_hidden: list[Tensor]
    text_tokens: Tensor
    region_tokens: Tensor
    pooled: Tensor
    answer_logits: Tensor
    word_logits: Tensor | None
    match_logits: Tensor | None
    region_logits: RegionLogits | None


class LxmertEmbeddings(BertEmbeddings):
    """As in BERT, but the first position and the first type are treated like padding: they get no gradient."""

    def __init__(self, config: LxmertConfig) -> None:
        super().__init__(config)
        self.positions.padding_idx = self.types.padding_idx = 0

    def forward(self, tokens: Tensor, types: Tensor | None = None) -> Tensor:
        self.check_length(tokens)
        places = torch.arange(tokens.shape[1], device=tokens.device)
        kinds = self.types(torch.zeros_like(tokens) if types is None else types)
        return self.dropout(self.norm(self.words(tokens) + self.positions(places) + kinds))


class LxmertRegionEmbeddings(nn.Module):
    """Features and boxes, each through a linear layer and a norm, then averaged."""

    def __init__(self, config: LxmertConfig) -> None:
        super().__init__()
        self.features, self.boxes = nn.Linear(config.region_dim, config.dim), nn.Linear(4, config.dim)
        self.feature_norm, self.box_norm = (nn.LayerNorm(config.dim, config.eps) for _ in range(2))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Features (batch, regions, region_dim) and boxes (batch, regions, 4) → (batch, regions, dim)."""
        x = self.feature_norm(self.features(features)) + self.box_norm(self.boxes(boxes))
        return self.dropout(x / 2)


class CrossLayer(nn.Module):
    """Attention of each stream to the other, with shared weights; then a block per stream."""

    def __init__(self, config: LxmertConfig) -> None:
        super().__init__()
        self.cross = Attention(config.dim, config.heads, dropout=config.dropout)
        self.cross_norm = nn.LayerNorm(config.dim, config.eps)
        self.dropout = nn.Dropout(config.dropout)
        self.text_block, self.region_block = bert_block(config), bert_block(config)

    def forward(
        self, text: Tensor, regions: Tensor, mask: Tensor | None, region_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Text (batch, length, dim) and regions (batch, regions, dim) → the same, with their attention masks."""
        seen = self.cross_norm(text + self.dropout(self.cross(text, regions, mask=region_mask)))
        read = self.cross_norm(regions + self.dropout(self.cross(regions, text, mask=mask)))
        return self.text_block(seen, mask=mask), self.region_block(read, mask=region_mask)


class RegionHead(HeadTransform):
    """What a region shows, (batch, regions, dim) → `RegionLogits`."""

    def __init__(self, config: LxmertConfig) -> None:
        super().__init__(config)
        self.objects = nn.Linear(config.dim, config.objects)
        self.attributes = nn.Linear(config.dim, config.attributes)
        self.features = nn.Linear(config.dim, config.region_dim)

    def forward(self, tokens: Tensor) -> RegionLogits:
        x = self.transform(tokens)
        return RegionLogits(self.objects(x), self.attributes(x), self.features(x))


class AnswerHead(nn.Module):
    """Two layers, (batch, dim) → (batch, answers)."""

    def __init__(self, config: LxmertConfig) -> None:
        super().__init__()
        self.layer = nn.Linear(config.dim, 2 * config.dim)
        self.norm = nn.LayerNorm(2 * config.dim, config.eps)
        self.out = nn.Linear(2 * config.dim, config.answers)

    def forward(self, pooled: Tensor) -> Tensor:
        return self.out(self.norm(F.gelu(self.layer(pooled))))


class Lxmert(RegionModel):
    """The model. Class 1 of `match_logits` says that text and image belong together."""

    model_type = "lxmert"
    config_class = LxmertConfig
    config: LxmertConfig
    matched_class: ClassVar[int] = 1

    def __init__(self, config: LxmertConfig) -> None:
        super().__init__(config)
        self.embeddings = LxmertEmbeddings(config)
        self.region_embeddings = LxmertRegionEmbeddings(config)
        self.blocks = bert_blocks(config)
        self.region_blocks = bert_blocks(config, config.region_layers)
        self.cross_blocks = nn.ModuleList(CrossLayer(config) for _ in range(config.cross_layers))
        self.pooler = Pooler(config.dim)
        self.answer_head = AnswerHead(config)
        if config.pretraining:
            self.head = MaskedLanguageHead(config)
            self.match = nn.Linear(config.dim, 2)
            self.region_head = RegionHead(config)
        init_bert(self, init_std(config.dim))

    def forward(
        self,
        tokens: Tensor,
        regions: Regions,
        mask: Tensor | None = None,
        types: Tensor | None = None,
        *,
        collect: bool = False,
    ) -> LxmertOutput:
        """Read a text and the regions of an image.

        Args:
            tokens: ids (batch, length).
            regions: of one image per text.
            mask: bool (batch, length), True for real tokens; None if all are real.
            types: ids (batch, length); 0 if not given.
            collect: whether to keep the outputs of all layers.
        """
        seen, region_seen = None if mask is None else mask[:, None, None], regions.mask[:, None, None]
        text_embeddings = self.embeddings(tokens, types)
        region_embeddings = self.region_embeddings(regions.features, regions.boxes)
        text, text_hidden = self.blocks(text_embeddings, mask=seen, collect=collect)
        found, region_hidden = self.region_blocks(region_embeddings, mask=region_seen, collect=collect)
        for layer in self.cross_blocks:
            text, found = layer(text, found, seen, region_seen)
            if collect:
                text_hidden.append(text)
                region_hidden.append(found)
        pooled = self.pooler(text)
        word_logits = match_logits = region_logits = None
        if self.config.pretraining:
            word_logits = self.head(text, self.embeddings.words.weight)
            match_logits, region_logits = self.match(pooled), self.region_head(found)
        return LxmertOutput(
            text_embeddings, region_embeddings, text_hidden, region_hidden, text, found, pooled,
            self.answer_head(pooled), word_logits, match_logits, region_logits,
        )  # fmt: skip

    def hide_regions(self, regions: Regions) -> tuple[Regions, Tensor]:
        """Of 15 % of the regions 80 % lose their feature, 10 % get another's, and 10 % keep it."""
        return hide_regions(regions, zeroed=0.8, replaced=0.1)

    def pretraining_losses(self, output: LxmertOutput, targets: Targets) -> dict[str, Tensor]:
        """ "words", "match", "objects", "attributes", "features", and "answers" if there are questions. Of an image
        that a text does not belong to no answer is learned.

        Raises:
            ValueError: the model has no heads of pre-training, or the detector tells no objects and attributes.
        """
        if output.word_logits is None or output.match_logits is None or output.region_logits is None:
            raise ValueError("this LXMERT has a head for answers alone, and is not pre-trained")
        losses = {
            "words": masked_language_loss(output.word_logits, targets.words),
            "match": F.cross_entropy(output.match_logits, self.match_labels(targets.matched)),
            **region_losses(output.region_logits, targets.regions, targets.hidden, self.config.region_weight),
        }
        if targets.answers is not None:
            losses["answers"] = answer_loss(
                output.answer_logits, targets.answers.masked_fill(~targets.matched, -100)
            )
        return losses

    def answer_logits(self, output: LxmertOutput) -> Tensor:
        """Logits of the answers to questions, (batch, answers)."""
        return output.answer_logits

    @classmethod
    def from_public(cls, raw: Mapping[str, Any]) -> tuple[LxmertConfig, Rename]:
        """The configuration and the names of weights of an `LxmertForPreTraining` or `LxmertForQuestionAnswering`;
        `pretraining` in the configuration says which it was."""
        (name,) = raw.get("architectures") or ("none",)
        if name not in CLASSES:
            raise ValueError(
                f"this is a checkpoint of the class {name}; read are those of {', '.join(CLASSES)}"
            )
        for key in TASKS if CLASSES[name] else ():
            if not raw.get(key, True):
                raise ValueError(
                    f"config.json has {key} = False; all tasks are implemented here, and no part"
                )
        if raw.get("visual_pos_dim", 4) != 4:
            raise ValueError(f"config.json has visual_pos_dim = {raw['visual_pos_dim']}; a box has 4 numbers")
        shape = {**raw, "num_hidden_layers": raw.get("l_layers", 9), "pad_token_id": 0}
        config = LxmertConfig.from_hub(shape, *SETTINGS, *TASKS, "l_layers", "visual_pos_dim")
        found = {ours: raw[theirs] for theirs, ours in SETTINGS.items() if raw.get(theirs) is not None}
        config = replace(config, **{"region_weight": 6.67, **found}, pretraining=CLASSES[name])
        return config, KEYS.to_ours


def lxmert_base() -> Lxmert:
    """LXMERT of 9, 5 and 5 layers, with 9500 answers (228 M parameters)."""
    return Lxmert(LxmertConfig())


def region_losses(logits: RegionLogits, regions: Regions, hidden: Tensor, weight: float) -> dict[str, Tensor]:
    """The losses "objects" and "attributes" of all regions, each as much as the detector is sure, and "features" of
    those that are hidden: means over the regions, times a weight.

    Args:
        logits: what is said of the regions.
        regions: what the detector says, features not hidden.
        hidden: bool (batch, regions).
        weight: of each loss.

    Raises:
        ValueError: the detector tells no objects or attributes.
    """
    if regions.objects is None or regions.attributes is None:
        raise ValueError("LXMERT learns classes of objects and of attributes: the detector must tell both")
    real = regions.mask.to(logits.features.dtype)
    found = {"objects": regions.objects[..., 1:], "attributes": regions.attributes}
    losses = {}
    for name, probabilities in found.items():
        confidence, label = probabilities.max(-1)  # (batch, regions)
        said = getattr(logits, name).transpose(1, 2)  # (batch, classes, regions)
        losses[name] = F.cross_entropy(said, label, reduction="none") * confidence
    error = F.smooth_l1_loss(logits.features, regions.features, reduction="none").mean(-1)
    losses["features"] = error * hidden
    return {name: weight * (loss * real).sum() / real.sum() for name, loss in losses.items()}


# -- public checkpoints --------------------------------------------------------------------------------

SETTINGS = {
    "r_layers": "region_layers",
    "x_layers": "cross_layers",
    "visual_feat_dim": "region_dim",
    "num_object_labels": "objects",
    "num_attr_labels": "attributes",
    "num_qa_labels": "answers",
    "visual_loss_normalizer": "region_weight",
}
"""Names in the `config.json` of LXMERT checkpoints, besides BERT's → names here."""

TASKS = (
    "task_matched", "task_mask_lm", "task_obj_predict", "task_qa", "visual_obj_loss", "visual_attr_loss",
    "visual_feat_loss",
)  # fmt: skip

_CROSS, _LAYER = "lxmert.encoder.x_layers.{}.", "cross_blocks.{}."
_SHORT = {"lang": "text", "visn": "region"}
KEYS = KeyMap(
    [
        *embedding_keys("lxmert.embeddings.", "embeddings."),
        ("lxmert.encoder.visn_fc.visn_fc.{}", "region_embeddings.features.{}"),
        ("lxmert.encoder.visn_fc.visn_layer_norm.{}", "region_embeddings.feature_norm.{}"),
        ("lxmert.encoder.visn_fc.box_fc.{}", "region_embeddings.boxes.{}"),
        ("lxmert.encoder.visn_fc.box_layer_norm.{}", "region_embeddings.box_norm.{}"),
        *block_keys("lxmert.encoder.layer.{}.", "blocks.{}."),
        *block_keys("lxmert.encoder.r_layers.{}.", "region_blocks.{}."),
        *attention_keys(f"{_CROSS}visual_attention.", f"{_LAYER}cross", f"{_LAYER}cross_norm", "att"),
        *(
            pair
            for theirs, ours in _SHORT.items()
            for pair in (
                *attention_keys(
                    f"{_CROSS}{theirs}_self_att.",
                    f"{_LAYER}{ours}_block.attention",
                    f"{_LAYER}{ours}_block.attention_norm",
                ),
                (f"{_CROSS}{theirs}_inter.dense.{{}}", f"{_LAYER}{ours}_block.mlp.layers.0.{{}}"),
                (f"{_CROSS}{theirs}_output.dense.{{}}", f"{_LAYER}{ours}_block.mlp.layers.1.{{}}"),
                (f"{_CROSS}{theirs}_output.LayerNorm.{{}}", f"{_LAYER}{ours}_block.mlp_norm.{{}}"),
            )
        ),
        ("lxmert.pooler.dense.{}", "pooler.layer.{}"),
        *head_keys("cls.predictions.", "head."),
        ("cls.seq_relationship.{}", "match.{}"),
        *transform_keys("obj_predict_head.", "region_head."),
        ("obj_predict_head.decoder_dict.obj.{}", "region_head.objects.{}"),
        ("obj_predict_head.decoder_dict.attr.{}", "region_head.attributes.{}"),
        ("obj_predict_head.decoder_dict.feat.{}", "region_head.features.{}"),
        ("answer_head.logit_fc.0.{}", "answer_head.layer.{}"),
        ("answer_head.logit_fc.2.{}", "answer_head.norm.{}"),
        ("answer_head.logit_fc.3.{}", "answer_head.out.{}"),
    ],
    ignored=("lxmert.embeddings.position_ids", "cls.predictions.decoder.{}"),
)
"""`LxmertForPreTraining` and `LxmertForQuestionAnswering` ↔ `Lxmert`."""
