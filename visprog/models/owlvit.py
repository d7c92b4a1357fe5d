"""OWL-ViT and OWLv2: detection of whatever a text names (Minderer et al. 2022, arXiv:2205.06230, and 2023,
arXiv:2306.09683).

CLIP without its pooling: every patch token may become a box. Its class is told by the cosine between a linear
map of the token and the text's feature, its place by a small network. OWLv2 adds how much a token looks like a
thing at all, learned on features that it does not shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoint.checkpoint import assemble, load_model, read_checkpoint, read_own, save_model
from .checkpoint.hub_config import check_keys, check_kind
from .checkpoint.keymap import KeyMap
from .clip.hub import TOP, hub_section, tower_keys
from .clip.model import ClipConfig, Features, ImageConfig, ImageTower, TextConfig, TextTower
from .nn import Mlp, focal_loss
from .nn.boxes import generalized_iou, to_corners


@dataclass(frozen=True)
class OwlConfig:
    """The shape of a detector; the defaults are those of OWL-ViT B/32.

    Attributes:
        objectness: whether there is a head for it, as in OWLv2.
    """

    image: ImageConfig = field(default_factory=lambda: ImageConfig(size=768))
    text: TextConfig = field(default_factory=lambda: TextConfig(length=16, end=None))
    objectness: bool = False

    @classmethod
    def from_hub(cls, raw: dict[str, Any]) -> OwlConfig:
        """From the `config.json` of a hub checkpoint of either kind.

        Raises:
            ValueError: it is of another kind.
        """
        check_kind(raw, "owlvit", "owlv2")
        check_keys(raw, TOP)
        kind = raw.get("model_type")
        if kind is None:
            raise ValueError("config.json has no model_type, which tells OWL-ViT and OWLv2 apart")
        project = raw.get("projection_dim", 512)
        image = {"image_size": 768, "patch_size": 16 if kind == "owlv2" else 32, **hub_section(raw, "vision")}
        text = {"max_position_embeddings": 16, **hub_section(raw, "text"), "eos_token_id": 2}
        return cls(ImageConfig.from_hub(image, project), TextConfig.from_hub(text, project), kind == "owlv2")


class OwlOutput(NamedTuple):
    """Named intermediates of a forward pass, for `patches` tokens and `queries` texts an image.

    Attributes:
        image: of the image tower.
        text: of the text tower, rows image after image.
        features: (batch, patches, dim), what the heads see.
        class_embeds: (batch, patches, text dim), rows of length 1.
        query_embeds: (batch, queries, project), rows of length 1.
        logits: (batch, patches, queries); those of padded queries are the smallest number there is.
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


class OwlVit(nn.Module):
    """The model: images (batch, 3, height, width) and token ids (batch, queries, length) → logits and boxes."""

    def __init__(self, config: OwlConfig) -> None:
        super().__init__()
        self.config = config
        dim, text_dim = config.image.dim, config.text.dim
        self.image = ImageTower(config.image)
        self.text = TextTower(config.text)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))  # of CLIP; detection does not use it
        self.merged_norm = nn.LayerNorm(dim, config.image.eps)
        self.class_embed = nn.Linear(dim, text_dim)
        self.logit_shift, self.logit_scale = nn.Linear(dim, 1), nn.Linear(dim, 1)
        self.box_head = Mlp([dim, dim, dim, 4])
        self.objectness_head = Mlp([dim, dim, dim, 1]) if config.objectness else None
        self._init()

    def _init(self) -> None:
        """As published: class features start near 0, every token as background with probability 0.99, and every
        box as the patch of its token."""
        nn.init.normal_(self.class_embed.weight, std=1e-3)
        nn.init.zeros_(self.class_embed.bias)
        nn.init.constant_(self.logit_shift.bias, -math.log(0.99 / 0.01))
        for layer in (self.logit_shift, self.logit_scale):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.logit_scale.bias)
        nn.init.zeros_(self.box_head.layers[-1].weight)
        nn.init.zeros_(self.box_head.layers[-1].bias)

    def encode_image(self, images: Tensor, collect: bool = False) -> tuple[Features, Tensor]:
        """What the image tower gives, and what the heads see (batch, patches, dim): each token times the class
        token, then normalised."""
        image = self.image(images, collect)
        tokens = self.image.norm(image.tokens)
        return image, self.merged_norm(tokens[:, 1:] * tokens[:, :1])

    def encode_queries(
        self, tokens: Tensor, mask: Tensor | None = None, collect: bool = False
    ) -> tuple[Features, Tensor]:
        """Ids (n, length) → what the text tower gives, and rows of length 1 (n, project)."""
        text = self.text(tokens, mask, collect)
        return text, F.normalize(text.projected, dim=-1)

    def classify(self, features: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Features (batch, patches, dim) against queries (batch or 1, queries, project).

        Returns:
            logits (batch, patches, queries), and rows of length 1 (batch, patches, text dim).
        """
        embeds = _unit(self.class_embed(features))
        cosines = embeds @ _unit(queries).transpose(1, 2)
        return (cosines + self.logit_shift(features)) * (F.elu(self.logit_scale(features)) + 1), embeds

    def locate(self, features: Tensor, grid: tuple[int, int]) -> Tensor:
        """Boxes (batch, patches, 4), relative to the patches of a grid of (rows, columns)."""
        return (self.box_head(features) + _box_bias(grid).to(features)).sigmoid()

    def forward(
        self, images: Tensor, tokens: Tensor, mask: Tensor | None = None, collect: bool = False
    ) -> OwlOutput:
        """Args:
        images: (batch, 3, height, width).
        tokens: ids (batch, queries, length); a query that starts with 0 is padding.
        mask: bool like `tokens`, True for real tokens.
        collect: keep the hidden states.
        """
        real = tokens[..., 0] > 0
        if mask is not None:
            mask = (mask.bool() | ~real[..., None]).flatten(
                0, 1
            )  # padding sees itself: a softmax of nothing is NaN
        image, features = self.encode_image(images, collect)
        text, queries = self.encode_queries(tokens.flatten(0, 1), mask, collect)
        queries = queries.view(*tokens.shape[:2], -1)
        logits, embeds = self.classify(features, queries)
        logits = logits.masked_fill(~real[:, None], torch.finfo(logits.dtype).min)
        patch = self.config.image.patch
        boxes = self.locate(features, (images.shape[-2] // patch, images.shape[-1] // patch))
        objectness = self.objectness_head(features.detach())[..., 0] if self.objectness_head else None
        return OwlOutput(image, text, features, embeds, queries, logits, boxes, objectness)

    def save(self, folder: str | Path, dtype: torch.dtype | None = torch.float16) -> None:
        """Write `model.safetensors` and `config.json`."""
        save_model(self, self.config, folder, dtype)

    @classmethod
    def load(cls, folder: str | Path) -> OwlVit:
        """Read what `save` wrote, as float32."""
        raw = read_own(folder)
        towers = ClipConfig.from_dict(raw)
        config = OwlConfig(towers.image, towers.text, raw["objectness"])
        return load_model(lambda: cls(config), folder)

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, dtype: str | torch.dtype = "float32", revision: str | None = None
    ) -> OwlVit:
        """Load a public OWL-ViT or OWLv2 checkpoint.

        Args:
            source: a hub id, or a folder in the hub's layout.
            dtype: precision of the weights: "float32", "bfloat16", "float16", or "auto", that of the file.
            revision: branch, tag or commit of a hub id.

        Raises:
            ValueError: it is neither, or keys are missing or unexpected; the message names them.
        """
        config, state = read_checkpoint(source, OwlConfig.from_hub, revision)
        return assemble(lambda: cls(config), state, source, dtype, keys(config).to_ours)


def keys(config: OwlConfig) -> KeyMap:
    """Names in the hub's checkpoints ↔ names here."""
    base = "owlv2." if config.objectness else "owlvit."
    vision, text = f"{base}vision_model.", f"{base}text_model."
    heads = [("box_head", "box_head")]
    if config.objectness:
        heads.append(("objectness_head", "objectness_head"))
    return KeyMap(
        [
            (f"{vision}embeddings.class_embedding", "image.class_token"),
            (f"{vision}embeddings.patch_embedding.weight", "image.patches.projection.weight"),
            (f"{vision}embeddings.position_embedding.weight", "image.positions"),
            (f"{vision}pre_layernorm.{{}}", "image.pre_norm.{}"),
            *tower_keys(vision, "image."),
            (f"{vision}post_layernorm.{{}}", "image.norm.{}"),
            (f"{base}visual_projection.weight", "image.projection.weight"),
            (f"{text}embeddings.token_embedding.weight", "text.embed.weight"),
            (f"{text}embeddings.position_embedding.weight", "text.positions"),
            *tower_keys(text, "text."),
            (f"{text}final_layer_norm.{{}}", "text.norm.{}"),
            (f"{base}text_projection.weight", "text.projection.weight"),
            (f"{base}logit_scale", "scale"),
            ("layer_norm.{}", "merged_norm.{}"),
            ("class_head.dense0.{}", "class_embed.{}"),
            ("class_head.logit_shift.{}", "logit_shift.{}"),
            ("class_head.logit_scale.{}", "logit_scale.{}"),
            *((f"{t}.dense{i}.{{}}", f"{o}.layers.{i}.{{}}") for t, o in heads for i in range(3)),
        ],
        ignored=[f"{text}embeddings.position_ids", f"{vision}embeddings.position_ids", "box_bias"],
    )


# -- the loss ----------------------------------------------------------------------------------------


class Target(NamedTuple):
    """What an image shows, of what its queries ask for.

    Attributes:
        boxes: (things, 4), centre, width and height in shares of the image.
        queries: (things, queries) bool: which of the image's queries name the thing.
    """

    boxes: Tensor
    queries: Tensor


@torch.no_grad()
def assign(
    logits: Tensor, boxes: Tensor, target: Target, more: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The pairs of tokens and things of one image that cost least in all (Carion et al. 2020, arXiv:2005.12872;
    the cost of a class as in Zhu et al. 2021, arXiv:2010.04159).

    Args:
        logits: (patches, queries).
        boxes: (patches, 4).
        more: costs to add, (patches, things).

    Returns:
        indices of tokens and of things, each (pairs,).
    """
    from scipy.optimize import linear_sum_assignment

    p = logits.float().sigmoid()
    gain = 0.25 * (1 - p) ** 2 * -(p + 1e-8).log() - 0.75 * p**2 * -(1 - p + 1e-8).log()
    named = target.queries.to(gain)
    cost = gain @ named.T / named.sum(1).clamp(min=1)
    cost = cost + torch.cdist(boxes.float(), target.boxes.float(), p=1)
    cost = cost - generalized_iou(to_corners(boxes.float())[:, None], to_corners(target.boxes.float())[None])
    cost = cost if more is None else cost + more
    rows, columns = linear_sum_assignment(cost.cpu().numpy())
    return torch.as_tensor(rows, device=boxes.device), torch.as_tensor(columns, device=boxes.device)


def detection_loss(
    logits: Tensor,
    boxes: Tensor,
    objectness: Tensor | None,
    targets: Sequence[Target],
    more: Sequence[Tensor | None] | None = None,
) -> dict[str, Tensor]:
    """Focal loss of the classes (alpha 0.3, gamma 2), L1 and generalised IoU of the boxes, weighted 1 each, and the
    focal loss of objectness where there is a head for it. Every image counts the same: its sums are divided by
    how many things it shows.

    Args:
        logits, boxes, objectness: as in `OwlOutput`.
        targets: one an image.
        more: costs of `assign` to add, one an image.

    Returns:
        scalars: "loss", their sum, and "class", "l1", "giou" and "objectness".
    """
    more = more or [None] * len(targets)
    pairs = [assign(*row) for row in zip(logits, boxes, targets, more, strict=True)]
    named = torch.zeros_like(logits)
    for i, (tokens, things) in enumerate(pairs):
        named[i, tokens] = targets[i].queries[things].to(named)
    counts = torch.tensor([max(len(t.boxes), 1) for t in targets], device=named.device, dtype=torch.float32)
    patches, queries = logits.shape[1:]
    losses = {"class": (focal_loss(logits, named, 0.3) * patches * queries / counts).mean()}
    image = torch.cat([torch.full_like(tokens, i) for i, (tokens, _) in enumerate(pairs)])
    found = boxes[image, torch.cat([tokens for tokens, _ in pairs])]
    truth = torch.cat([target.boxes[things] for target, (_, things) in zip(targets, pairs, strict=True)]).to(
        found
    )
    share = 1 / counts[image] / len(targets)
    losses["l1"] = ((found - truth).abs().sum(-1) * share).sum()
    losses["giou"] = ((1 - generalized_iou(to_corners(found), to_corners(truth))) * share).sum()
    if objectness is not None:
        thing = torch.zeros_like(objectness)
        thing[image, torch.cat([tokens for tokens, _ in pairs])] = 1
        losses["objectness"] = (
            focal_loss(objectness[..., None], thing[..., None], 0.3) * patches / counts
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
