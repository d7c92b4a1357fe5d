"""What the models that read regions share: VisualBERT, ViLBERT and LXMERT.

They do not see pixels but regions that a detector has found, each with a feature, and learn from captions by similar
tasks: to restore masked words, to say of hidden regions what they showed, and to tell whether image and text belong
together. `region_encoder.RegionEncoder` makes regions of images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from .base import PretrainedModel
from .bert import IGNORED


class Regions(NamedTuple):
    """Regions of images, as many per image as the most has; what is beyond those of an image is padding.

    Attributes:
        features: (batch, regions, region_dim), what each shows.
        boxes: (batch, regions, 4), left, top, right and bottom in shares of the image.
        mask: bool (batch, regions), False for padding. Every image has a region.
        objects: (batch, regions, 1 + classes), how probable the detector holds each class of objects, after that it is
            none of them; None if it tells no classes.
        attributes: (batch, regions, attributes), the same for attributes, without such a first one; None if it tells
            none.
    """

    features: Tensor
    boxes: Tensor
    mask: Tensor
    objects: Tensor | None = None
    attributes: Tensor | None = None

    def rows(self, index: Any) -> Regions:
        """Some of the images."""
        return Regions(*(None if part is None else part[index] for part in self))


class Targets(NamedTuple):
    """What a batch is to be read as in pre-training.

    Attributes:
        words: (batch, length), ids of the masked words, `IGNORED` elsewhere.
        matched: bool (batch,), whether text and image belong together.
        regions: the regions as they were before some were hidden.
        hidden: bool (batch, regions), which are to be restored.
        answers: (batch,), class of the answer to the question that the text is, `IGNORED` if it is none; None if there
            are no questions.
    """

    words: Tensor
    matched: Tensor
    regions: Regions
    hidden: Tensor
    answers: Tensor | None = None


class RegionModel(PretrainedModel):
    """A model of text and regions. Its text part has the names of `bert.Bert`: `embeddings`, `blocks`, `head`.

    `forward(tokens, regions, mask, types)` gives named intermediates, `match_logits` (batch, 2) among them.

    Attributes:
        matched_class: which of the two says that text and image belong together.
        reads_boxes: whether it reads where regions lie.
    """

    matched_class: ClassVar[int]
    reads_boxes: ClassVar[bool] = True

    def hide_regions(self, regions: Regions) -> tuple[Regions, Tensor]:
        """Regions with some hidden, and which these are, bool (batch, regions); here none is."""
        return regions, torch.zeros_like(regions.mask)

    def pretraining_losses(self, output: Any, targets: Targets) -> dict[str, Tensor]:
        """The losses of pre-training, whose sum is minimised: "words" and "match", and what else there is."""
        raise NotImplementedError

    def match_labels(self, matched: Tensor) -> Tensor:
        """Classes (batch,) of `match_logits` for bool (batch,)."""
        return matched.long() if self.matched_class else (~matched).long()

    def match_log_odds(self, match_logits: Tensor) -> Tensor:
        """Logarithm of the odds that text and image belong together, (batch, 2) → (batch,)."""
        return match_logits[..., self.matched_class] - match_logits[..., 1 - self.matched_class]

    def match_probability(self, match_logits: Tensor) -> Tensor:
        """How probably text and image belong together, (batch, 2) → (batch,)."""
        return self.match_log_odds(match_logits).sigmoid()

    @torch.no_grad()
    def init_text(self, state: Mapping[str, Tensor]) -> None:
        """Begin with the weights of a `bert.Bert`; of its blocks with as many as there are here.

        Raises:
            ValueError: it has another shape.
        """
        own = self.state_dict()
        fitting = {name: value for name, value in state.items() if name in own}
        wrong = [name for name, value in fitting.items() if value.shape != own[name].shape]
        if wrong or not fitting:
            raise ValueError(
                f"the text encoder has another shape: {wrong[0] if wrong else 'no name is equal'}"
            )
        self.load_state_dict({**own, **fitting})


def hide_regions(
    regions: Regions,
    *,
    share: float = 0.15,
    zeroed: float,
    replaced: float = 0.0,
    generator: torch.Generator | None = None,
) -> tuple[Regions, Tensor]:
    """Regions to restore: of those chosen some lose their feature, some get that of another region, the others keep it.

    Args:
        share: probability that a region is chosen.
        zeroed: of those chosen, the share whose feature becomes 0.
        replaced: of those chosen, the share that get the feature of any region of the batch.
        generator: of the random numbers; torch's own if not given.

    Returns:
        The changed regions, and which were chosen, bool (batch, regions).
    """
    mask, features = regions.mask, regions.features
    draw, fate, other = (torch.rand(mask.shape, generator=generator, device=mask.device) for _ in range(3))
    chosen = (draw < share) & mask
    real = features[mask]  # (all regions, region_dim)
    others = real[(other * len(real)).long().clamp(max=len(real) - 1)]
    changed = torch.where((fate < zeroed)[..., None], 0.0, others)
    change = chosen & (fate < zeroed + replaced)
    return regions._replace(features=torch.where(change[..., None], changed, features)), chosen


def answer_loss(logits: Tensor, answers: Tensor) -> Tensor:
    """Mean cross-entropy of the right answers; 0 if there are none.

    Args:
        logits: (batch, answers).
        answers: (batch,), `IGNORED` for what is no question.
    """
    total = torch.nn.functional.cross_entropy(logits, answers, ignore_index=IGNORED, reduction="sum")
    return total / (answers != IGNORED).sum().clamp(min=1)
