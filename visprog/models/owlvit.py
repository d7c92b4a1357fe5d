"""OWL-ViT and OWLv2: detection of whatever a text names (Minderer et al. 2022, arXiv:2205.06230, and 2023,
arXiv:2306.09683).

CLIP without its pooling: every patch token may become a box. Its class is the text whose feature has the greatest
cosine with a linear map of the token, its position is predicted by a small network. OWLv2 adds objectness: how much a
token looks like any object, learned on features that it does not shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import PretrainedModel, Rename
from .checkpoint.hub_config import architecture, check_keys, check_model_type
from .checkpoint.keymap import KeyMap
from .clip.hub import TOP, encoder_keys, hub_section
from .clip.model import Features, ImageEncoder, ImageEncoderConfig, TextEncoder, TextEncoderConfig
from .nn import Mlp, focal_loss
from .nn.boxes import generalized_iou, to_corners


@dataclass(frozen=True)
class OwlVitConfig:
    """The shape of a detector; the defaults are those of OWL-ViT B/32.

    Attributes:
        objectness: whether the model has a head for it, as OWLv2 has.
    """

    image_encoder: ImageEncoderConfig = field(default_factory=lambda: ImageEncoderConfig(size=768))
    text_encoder: TextEncoderConfig = field(default_factory=lambda: TextEncoderConfig(length=16, end=None))
    objectness: bool = False

    @classmethod
    def from_hub(cls, raw: dict[str, Any]) -> OwlVitConfig:
        """From the `config.json` of a hub checkpoint of either type.

        Raises:
            ValueError: it is of another type.
        """
        check_model_type(raw, "owlvit", "owlv2")
        check_keys(raw, TOP)
        is_owlv2 = architecture(raw) == "owlv2"
        project = raw.get("projection_dim", 512)
        image = {"image_size": 768, "patch_size": 16 if is_owlv2 else 32, **hub_section(raw, "vision")}
        text = {"max_position_embeddings": 16, **hub_section(raw, "text"), "eos_token_id": 2}
        return cls(
            ImageEncoderConfig.from_hub(image, project),
            TextEncoderConfig.from_hub(text, project),
            is_owlv2,
        )


class OwlVitOutput(NamedTuple):
    """Named intermediates of a forward pass, for `patches` tokens and `queries` texts per image.

    Attributes:
        image: intermediates of the image encoder.
        text: intermediates of the text encoder, rows image after image.
        features: (batch, patches, dim), the input of the heads.
        class_embeds: (batch, patches, text dim), rows of length 1.
        query_embeds: (batch, queries, project), rows of length 1.
        logits: (batch, patches, queries); those of padded queries are the smallest number of the precision.
        boxes: (batch, patches, 4), centre, width and height in shares of the image.
        objectness: (batch, patches) logits, or None.
    """

    image: Features
    text: Features
    features: Tensor
    class_embeds: Tensor
    query_embeds: Tensor
    logits: Tensor
    boxes: Tensor
    objectness: Tensor | None


class ClassHead(nn.Module):
    """Compares tokens with texts: cosines, which each token shifts and scales for itself.

    Args:
        dim: width of the tokens.
        text_dim: width of the features of texts.
    """

    def __init__(self, dim: int, text_dim: int) -> None:
        super().__init__()
        self.projection = nn.Linear(dim, text_dim)
        self.logit_shift, self.logit_scale = nn.Linear(dim, 1), nn.Linear(dim, 1)

    def forward(self, features: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Features (batch, patches, dim) and queries (batch or 1, queries, text_dim) → logits (batch, patches,
        queries), and the projected features, rows of length 1 (batch, patches, text_dim)."""
        embeds = _unit(self.projection(features))
        cosines = embeds @ _unit(queries).transpose(1, 2)
        return (cosines + self.logit_shift(features)) * (F.elu(self.logit_scale(features)) + 1), embeds


class OwlVit(PretrainedModel):
    """The model: images (batch, 3, height, width) and token ids (batch, queries, length) → logits and boxes.

    `logit_scale` is that of the CLIP that a detector begins with, which detection does not use; the scale of the
    detector's logits is `class_head.logit_scale`, a linear map of each token.
    """

    model_type = "owlvit"
    config_class = OwlVitConfig
    config: OwlVitConfig

    def __init__(self, config: OwlVitConfig) -> None:
        super().__init__(config)
        dim = config.image_encoder.dim
        self.image_encoder = ImageEncoder(config.image_encoder)
        self.text_encoder = TextEncoder(config.text_encoder)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.merged_norm = nn.LayerNorm(dim, config.image_encoder.eps)
        self.class_head = ClassHead(dim, config.text_encoder.dim)
        self.box_head = Mlp([dim, dim, dim, 4])
        self.objectness_head = Mlp([dim, dim, dim, 1]) if config.objectness else None
        self._init()

    def _init(self) -> None:
        """As published: class features start near 0, every token as background with probability 0.99, and every
        box as the patch of its token."""
        head = self.class_head
        nn.init.normal_(head.projection.weight, std=1e-3)
        nn.init.zeros_(head.projection.bias)
        nn.init.constant_(head.logit_shift.bias, -math.log(0.99 / 0.01))
        for layer in (head.logit_shift, head.logit_scale):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(head.logit_scale.bias)
        nn.init.zeros_(self.box_head.layers[-1].weight)
        nn.init.zeros_(self.box_head.layers[-1].bias)

    def encode_images(self, images: Tensor, collect: bool = False) -> tuple[Features, Tensor]:
        """Intermediates of the image encoder, and the input of the heads (batch, patches, dim): each token times the
        class token, then normalised."""
        image = self.image_encoder(images, collect)
        tokens = self.image_encoder.norm(image.tokens)  # (batch, 1 + patches, dim)
        merged = (tokens[:, 1:] * tokens[:, :1]).to(
            self.merged_norm.weight.dtype
        )  # the encoder's may be another
        return image, self.merged_norm(merged)

    def encode_texts(
        self, tokens: Tensor, mask: Tensor | None = None, collect: bool = False
    ) -> tuple[Features, Tensor]:
        """Intermediates of the text encoder for ids (n, length), and features of the texts, rows of length 1
        (n, project). Unless hidden states are collected, what follows the last end token is left out."""
        if not collect:
            tokens, mask = self.text_encoder.trim(tokens, mask)
        text = self.text_encoder(tokens, mask, collect)
        return text, F.normalize(text.projected, dim=-1)

    def predict_boxes(self, features: Tensor, grid: tuple[int, int]) -> Tensor:
        """Boxes (batch, patches, 4) of features (batch, patches, dim) on a grid of (rows, columns) patches; each is
        predicted relative to its patch. They are float32 at least: bfloat16 would shift them by pixels."""
        relative = self.box_head(features)
        wide = torch.promote_types(relative.dtype, torch.float32)
        return (relative.to(wide) + _box_bias(grid).to(features.device, wide)).sigmoid()

    def forward(
        self, images: Tensor, tokens: Tensor, mask: Tensor | None = None, collect: bool = False
    ) -> OwlVitOutput:
        """Detect in each image what its queries name.

        Args:
            images: (batch, 3, height, width).
            tokens: ids (batch, queries, length); a query that starts with 0 is padding.
            mask: bool (batch, queries, length), True for real tokens.
            collect: whether to keep the hidden states.
        """
        real = tokens[..., 0] > 0  # (batch, queries)
        if mask is not None:  # a padded query attends to itself: a softmax of nothing is NaN
            mask = (mask.bool() | ~real[..., None]).flatten(0, 1)
        image, features = self.encode_images(images, collect)
        text, queries = self.encode_texts(tokens.flatten(0, 1), mask, collect)
        queries = queries.view(*tokens.shape[:2], -1)  # (batch, queries, project)
        logits, embeds = self.class_head(features, queries)
        logits = logits.masked_fill(~real[:, None], torch.finfo(logits.dtype).min)
        patch = self.config.image_encoder.patch
        boxes = self.predict_boxes(features, (images.shape[-2] // patch, images.shape[-1] // patch))
        objectness = self.objectness_head(features.detach())[..., 0] if self.objectness_head else None
        return OwlVitOutput(image, text, features, embeds, queries, logits, boxes, objectness)

    @classmethod
    def from_public(cls, raw: Mapping[str, Any]) -> tuple[OwlVitConfig, Rename]:
        config = OwlVitConfig.from_hub(dict(raw))
        return config, keys(config).to_ours


# -- published sizes, with fresh weights ---------------------------------------------------------------


def owlvit_base_patch32() -> OwlVit:
    """OWL-ViT B/32 (153 M parameters)."""
    return OwlVit(OwlVitConfig())


def owlvit_base_patch16() -> OwlVit:
    """OWL-ViT B/16 (153 M parameters)."""
    return OwlVit(OwlVitConfig(ImageEncoderConfig(768, 16)))


def owlvit_large_patch14() -> OwlVit:
    """OWL-ViT L/14 (434 M parameters)."""
    image = ImageEncoderConfig(840, 14, dim=1024, layers=24, heads=16, hidden=4096, project=768)
    text = TextEncoderConfig(length=16, dim=768, heads=12, hidden=3072, project=768, end=None)
    return OwlVit(OwlVitConfig(image, text))


def owlv2_base() -> OwlVit:
    """OWLv2 B/16 (155 M parameters)."""
    return OwlVit(OwlVitConfig(ImageEncoderConfig(960, 16), objectness=True))


# -- names in public checkpoints -----------------------------------------------------------------------


def keys(config: OwlVitConfig) -> KeyMap:
    """Names in the hub's checkpoints ↔ names here."""
    base = "owlv2." if config.objectness else "owlvit."
    vision, text = f"{base}vision_model.", f"{base}text_model."
    heads = [("box_head", "box_head")]
    if config.objectness:
        heads.append(("objectness_head", "objectness_head"))
    return KeyMap(
        [
            (f"{vision}embeddings.class_embedding", "image_encoder.class_token"),
            (f"{vision}embeddings.patch_embedding.weight", "image_encoder.patches.projection.weight"),
            (f"{vision}embeddings.position_embedding.weight", "image_encoder.positions"),
            (f"{vision}pre_layernorm.{{}}", "image_encoder.pre_norm.{}"),
            *encoder_keys(vision, "image_encoder."),
            (f"{vision}post_layernorm.{{}}", "image_encoder.norm.{}"),
            (f"{base}visual_projection.weight", "image_encoder.projection.weight"),
            (f"{text}embeddings.token_embedding.weight", "text_encoder.embed.weight"),
            (f"{text}embeddings.position_embedding.weight", "text_encoder.positions"),
            *encoder_keys(text, "text_encoder."),
            (f"{text}final_layer_norm.{{}}", "text_encoder.norm.{}"),
            (f"{base}text_projection.weight", "text_encoder.projection.weight"),
            (f"{base}logit_scale", "logit_scale"),
            ("layer_norm.{}", "merged_norm.{}"),
            ("class_head.dense0.{}", "class_head.projection.{}"),
            ("class_head.logit_shift.{}", "class_head.logit_shift.{}"),
            ("class_head.logit_scale.{}", "class_head.logit_scale.{}"),
            *((f"{t}.dense{i}.{{}}", f"{o}.layers.{i}.{{}}") for t, o in heads for i in range(3)),
        ],
        ignored=[f"{text}embeddings.position_ids", f"{vision}embeddings.position_ids", "box_bias"],
    )


# -- the loss ----------------------------------------------------------------------------------------


class Target(NamedTuple):
    """The objects of an image that its queries name.

    Attributes:
        boxes: (objects, 4), centre, width and height in shares of the image.
        queries: (objects, queries) bool: which of the image's queries name the object.
    """

    boxes: Tensor
    queries: Tensor


@torch.no_grad()
def assign(
    logits: Tensor, boxes: Tensor, target: Target, extra_cost: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Pairs of tokens and objects of one image with the least total cost (Carion et al. 2020, arXiv:2005.12872; the
    cost of a class as in Zhu et al. 2021, arXiv:2010.04159).

    Args:
        logits: (patches, queries).
        boxes: (patches, 4).
        target: the objects of the image.
        extra_cost: costs to add, (patches, objects).

    Returns:
        Indices of tokens and of objects, each (pairs,).
    """
    from scipy.optimize import linear_sum_assignment

    p = logits.float().sigmoid()
    gain = 0.25 * (1 - p) ** 2 * -(p + 1e-8).log() - 0.75 * p**2 * -(1 - p + 1e-8).log()
    named = target.queries.to(gain)
    cost = gain @ named.T / named.sum(1).clamp(min=1)
    cost = cost + torch.cdist(boxes.float(), target.boxes.float(), p=1)
    cost = cost - generalized_iou(to_corners(boxes.float())[:, None], to_corners(target.boxes.float())[None])
    cost = cost if extra_cost is None else cost + extra_cost
    rows, columns = linear_sum_assignment(cost.cpu().numpy())
    return torch.as_tensor(rows, device=boxes.device), torch.as_tensor(columns, device=boxes.device)


def detection_loss(
    logits: Tensor,
    boxes: Tensor,
    objectness: Tensor | None,
    targets: Sequence[Target],
    extra_costs: Sequence[Tensor | None] | None = None,
) -> dict[str, Tensor]:
    """Focal loss of the classes (alpha 0.3, gamma 2), L1 and generalised IoU of the boxes, weighted 1 each, and the
    focal loss of objectness if there is a head for it. Every image counts the same: its sums are divided by its
    number of objects.

    Args:
        logits, boxes, objectness: as in `OwlVitOutput`.
        targets: one per image.
        extra_costs: `extra_cost` of `assign`, one per image.

    Returns:
        Scalars: "loss", their sum, and "class", "l1", "giou" and "objectness".
    """
    extra_costs = extra_costs or [None] * len(targets)
    pairs = [assign(*row) for row in zip(logits, boxes, targets, extra_costs, strict=True)]
    named = torch.zeros_like(logits)
    for i, (tokens, objects) in enumerate(pairs):
        named[i, tokens] = targets[i].queries[objects].to(named)
    counts = torch.tensor([max(len(t.boxes), 1) for t in targets], device=named.device, dtype=torch.float32)
    patches, queries = logits.shape[1:]
    losses = {"class": (focal_loss(logits, named, 0.3) * patches * queries / counts).mean()}
    image = torch.cat([torch.full_like(tokens, i) for i, (tokens, _) in enumerate(pairs)])
    found = boxes[image, torch.cat([tokens for tokens, _ in pairs])]
    truth = torch.cat(
        [target.boxes[objects] for target, (_, objects) in zip(targets, pairs, strict=True)]
    ).to(found)
    share = 1 / counts[image] / len(targets)
    losses["l1"] = ((found - truth).abs().sum(-1) * share).sum()
    losses["giou"] = ((1 - generalized_iou(to_corners(found), to_corners(truth))) * share).sum()
    if objectness is not None:
        is_object = torch.zeros_like(objectness)
        is_object[image, torch.cat([tokens for tokens, _ in pairs])] = 1
        losses["objectness"] = (
            focal_loss(objectness[..., None], is_object[..., None], 0.3) * patches / counts
        ).mean()
    return {"loss": torch.stack(list(losses.values())).sum(), **losses}


def _unit(x: Tensor) -> Tensor:
    return x / (x.norm(dim=-1, keepdim=True) + 1e-6)


def _box_bias(grid: tuple[int, int]) -> Tensor:
    """Logits (rows * columns, 4) of a box at each patch, of its size; as published, at its far corner."""
    rows, columns = grid
    y, x = torch.meshgrid(
        torch.arange(1, rows + 1) / rows, torch.arange(1, columns + 1) / columns, indexing="ij"
    )
    places = torch.stack([x, y], -1).flatten(0, 1)
    boxes = torch.cat([places, torch.tensor([1 / columns, 1 / rows]).expand_as(places)], 1)
    return (boxes + 1e-4).log() - torch.log1p(1e-4 - boxes)
