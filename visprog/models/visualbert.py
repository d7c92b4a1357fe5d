"""VisualBERT: BERT over words and regions in one sequence (Li et al. 2019, arXiv:1908.03557).

A region becomes a token: a linear map of its feature, plus an embedding that says that it is a region, plus the
position of the words that it belongs to, where these are known. All tokens attend to all. It learns from captions by
restoring masked words, with the image as help, and by telling whether a caption is of the image; then from a task.
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
    MaskedLanguageHead,
    Pooler,
    bert_blocks,
    block_keys,
    embedding_keys,
    head_keys,
    init_bert,
    init_std,
    masked_language_loss,
)
from .checkpoint.keymap import KeyMap
from .regions import RegionModel, Regions, Targets

HEADS = {
    "VisualBertForPreTraining": "pretraining",
    "VisualBertForQuestionAnswering": "answers",
    "VisualBertForVisualReasoning": "statements",
}
"""Class in the `architectures` of a public checkpoint → the head that it has."""

FURTHER = ("visual_embedding_dim", "bypass_transformer", "special_visual_initialize")
"""Settings of a public checkpoint besides BERT's; the last one is about training alone."""


@dataclass(frozen=True)
class VisualBertConfig(BertConfig):
    """The shape of a model; the defaults are those of visualbert-vqa-coco-pre.

    Attributes:
        region_dim: width of the features of regions.
        head: what the model is for: "pretraining"; "answers", the classes of answers to a question, read at its last
            word (VQA); "statements", the classes of a statement, read at the first token (NLVR2).
        classes: number of classes of the last two.
    """

    region_dim: int = 2048
    head: str = "pretraining"
    classes: int = 2

    def __post_init__(self) -> None:
        if self.head not in HEADS.values():
            raise ValueError(f"head is one of {', '.join(HEADS.values())}, not '{self.head}'")


class VisualBertOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        embeddings: (batch, length + regions, dim), words and then regions, normalised.
        hidden: outputs of all blocks, if collected.
        text_tokens: (batch, length, dim), after the last block.
        region_tokens: (batch, regions, dim), after the last block.
        pooled: (batch, dim), of the first token.
        word_logits: (batch, length, vocab); with the head "pretraining" alone.
        match_logits: (batch, 2); with the head "pretraining" alone.
        class_logits: (batch, classes); with the other heads.
    """

    embeddings: Tensor
    hidden: list[Tensor]
    text_tokens: Tensor
    region_tokens: Tensor
    pooled: Tensor
    word_logits: Tensor | None
    match_logits: Tensor | None
    class_logits: Tensor | None


class VisualBertEmbeddings(BertEmbeddings):
    """Words as in BERT, and regions."""

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__(config)
        self.regions = nn.Linear(config.region_dim, config.dim)
        self.region_types = nn.Embedding(config.types, config.dim)
        self.region_positions = nn.Embedding(config.length, config.dim)

    def embed_regions(
        self, features: Tensor, types: Tensor | None = None, words: Tensor | None = None
    ) -> Tensor:
        """Embed regions (batch, regions, region_dim) → (batch, regions, dim).

        Args:
            types: ids (batch, regions); 1 if not given. Two images have different ones.
            words: (batch, regions, words), positions of the words that each region belongs to, filled with -1.
        """
        kinds = self.region_types.weight[1] if types is None else self.region_types(types)
        x = self.regions(features) + kinds + self.region_positions.weight[0]
        if words is not None:
            known = (words >= 0)[..., None]
            positions = self.positions(words.clamp(min=0)) * known  # (batch, regions, words, dim)
            x = x + positions.sum(2) / known.sum(2).clamp(min=1)
        return self.dropout(self.norm(x))

    def copy_text(self) -> None:
        """Begin with the text's embeddings of types and positions for regions, as published."""
        self.region_types.weight.data.copy_(self.types.weight.data)
        self.region_positions.weight.data.copy_(self.positions.weight.data)


class VisualBert(RegionModel):
    """The model. Class 0 of `match_logits` says that the caption is of the image."""

    model_type = "visual_bert"
    config_class = VisualBertConfig
    config: VisualBertConfig
    matched_class: ClassVar[int] = 0
    reads_boxes: ClassVar[bool] = False

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__(config)
        self.embeddings = VisualBertEmbeddings(config)
        self.blocks = bert_blocks(config)
        self.pooler = Pooler(config.dim)
        if config.head == "pretraining":
            self.head = MaskedLanguageHead(config)
            self.match = nn.Linear(config.dim, 2)
        else:
            self.classifier = nn.Linear(config.dim, config.classes)
        self.dropout = nn.Dropout(config.dropout)
        init_bert(self, init_std(config.dim))
        self.embeddings.copy_text()

    def init_text(self, state: Mapping[str, Tensor]) -> None:
        super().init_text(state)
        self.embeddings.copy_text()

    def forward(
        self,
        tokens: Tensor,
        regions: Regions,
        mask: Tensor | None = None,
        types: Tensor | None = None,
        *,
        region_types: Tensor | None = None,
        region_words: Tensor | None = None,
        collect: bool = False,
    ) -> VisualBertOutput:
        """Read a text and the regions of an image together.

        Args:
            tokens: ids (batch, length).
            regions: of one image per text; their boxes are not read.
            mask: bool (batch, length), True for real tokens; None if all are real.
            types: ids (batch, length), 1 for a second caption; 0 if not given.
            region_types, region_words: as in `VisualBertEmbeddings.embed_regions`.
            collect: whether to keep the outputs of all blocks.
        """
        length = tokens.shape[1]
        mask = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask
        words = self.embeddings(tokens, types)
        embedded = self.embeddings.embed_regions(regions.features, region_types, region_words)
        embeddings = torch.cat([words, embedded], 1)  # (batch, length + regions, dim)
        seen = torch.cat([mask, regions.mask], 1)[:, None, None]
        x, hidden = self.blocks(embeddings, mask=seen, collect=collect)
        text, pooled = x[:, :length], self.pooler(x)
        word_logits = match_logits = class_logits = None
        if self.config.head == "pretraining":
            word_logits = self.head(text, self.embeddings.words.weight)
            match_logits = self.match(pooled)
        elif self.config.head == "answers":
            last = mask.sum(1) - 2  # the word before the end token
            class_logits = self.classifier(self.dropout(text[torch.arange(len(x), device=x.device), last]))
        else:
            class_logits = self.classifier(self.dropout(pooled))
        return VisualBertOutput(
            embeddings, hidden, text, x[:, length:], pooled, word_logits, match_logits, class_logits
        )

    def pretraining_losses(self, output: VisualBertOutput, targets: Targets) -> dict[str, Tensor]:
        if output.word_logits is None or output.match_logits is None:
            raise ValueError(f"a model with the head '{self.config.head}' is not pre-trained")
        return {
            "words": masked_language_loss(output.word_logits, targets.words),
            "match": F.cross_entropy(output.match_logits, self.match_labels(targets.matched)),
        }

    def answer_logits(self, output: VisualBertOutput) -> Tensor:
        """Logits of the answers to questions, (batch, classes).

        Raises:
            ValueError: the model has another head.
        """
        if self.config.head != "answers" or output.class_logits is None:
            raise ValueError(f"a model with the head '{self.config.head}' does not answer questions")
        return output.class_logits

    @classmethod
    def from_public(cls, raw: Mapping[str, Any]) -> tuple[VisualBertConfig, Rename]:
        """The configuration and the names of weights of a `VisualBertForPreTraining`, `…ForQuestionAnswering` or
        `…ForVisualReasoning`; `head` in the configuration says which it was."""
        (name,) = raw.get("architectures") or ("none",)
        if name not in HEADS:
            raise ValueError(
                f"this is a checkpoint of the class {name}; read are those of {', '.join(HEADS)}"
            )
        if raw.get("bypass_transformer"):
            raise ValueError(
                "config.json has bypass_transformer = True; regions beside the blocks are not implemented here"
            )
        config = replace(
            VisualBertConfig.from_hub({"pad_token_id": 1, **raw}, *FURTHER),
            region_dim=raw.get("visual_embedding_dim", 512),
            head=HEADS[name],
            classes=len(raw["id2label"]) if raw.get("id2label") else raw.get("num_labels", 2),
        )
        return config, keys(config).to_ours


def visualbert_base() -> VisualBert:
    """The published model for pre-training, with regions of 2048 numbers (112 M parameters)."""
    return VisualBert(VisualBertConfig())


def keys(config: VisualBertConfig) -> KeyMap:
    """Names in public checkpoints ↔ names here."""
    theirs = "visual_bert.embeddings."
    shared = [
        *embedding_keys(theirs, "embeddings."),
        (f"{theirs}visual_projection.{{}}", "embeddings.regions.{}"),
        (f"{theirs}visual_token_type_embeddings.weight", "embeddings.region_types.weight"),
        (f"{theirs}visual_position_embeddings.weight", "embeddings.region_positions.weight"),
        *block_keys("visual_bert.encoder.layer.{}.", "blocks.{}."),
        ("visual_bert.pooler.dense.{}", "pooler.layer.{}"),
    ]
    heads = [*head_keys("cls.predictions.", "head."), ("cls.seq_relationship.{}", "match.{}")]
    return KeyMap(
        [*shared, *(heads if config.head == "pretraining" else [("cls.{}", "classifier.{}")])],
        ignored=("visual_bert.embeddings.position_ids", "cls.predictions.decoder.{}"),
    )
