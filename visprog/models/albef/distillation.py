"""Momentum distillation: a model is taught by a slowly moving copy of itself (ALBEF, Li et al. 2021, section 3.3).

The copy softens the targets of the contrast and of the masked words, and its features of earlier batches wait in a
queue as further candidates of the contrast, as in MoCo (He et al. 2020, arXiv:1911.05722).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Distillation:
    """How a slowly moving copy of the model teaches it; the defaults are the published ones.

    Attributes:
        alpha: share of the teacher's probabilities in the targets.
        ramp: number of steps over which the share rises from 0 to `alpha`; published is the first epoch.
        momentum: share of the teacher's weights that an update keeps; 0.995 is too slow for less than 2000 steps.
        queue: number of earlier pairs whose features are further candidates of the contrast.
    """

    alpha: float = 0.4
    ramp: int = 1000
    momentum: float = 0.995
    queue: int = 65536

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1 or not 0 <= self.momentum <= 1:
            raise ValueError("alpha and momentum must lie in [0, 1]")
        if self.ramp < 0 or self.queue < 0:
            raise ValueError("ramp and queue must not be negative")


class Lesson(NamedTuple):
    """What a batch of n pairs is compared with; there are N pairs in all processes.

    Attributes:
        images, texts: features (N + queue, project), those of the batch first.
        repeated: bool (n, queue), whether an image or a text of the batch is that of an earlier pair.
        to_texts, to_images: the teacher's logits (n, N + queue) of images over texts, and of texts over images.
        words: the teacher's logits of masked words, (chosen, vocab).
        alpha: share of the teacher's probabilities in the targets.
    """

    images: Tensor
    texts: Tensor
    repeated: Tensor
    to_texts: Tensor | None = None
    to_images: Tensor | None = None
    words: Tensor | None = None
    alpha: Tensor | float = 0.0


class AlbefTeacher(nn.Module):
    """A copy of a model that follows it slowly, and the features of earlier batches as it saw them.

    It is part of the training, not of the model: it is never trained, and not saved with the model.

    Args:
        model: the `Albef` that it copies.
        config: how it follows.
    """

    image_queue: Tensor
    text_queue: Tensor
    pair_queue: Tensor
    written: Tensor
    step: Tensor

    def __init__(self, model: Any, config: Distillation) -> None:
        super().__init__()
        self.config = config
        self.model = deepcopy(model).requires_grad_(False).eval()
        for name in ("image_queue", "text_queue"):
            features = F.normalize(torch.randn(config.queue, model.config.project), dim=-1)
            self.register_buffer(name, features)
        self.register_buffer("pair_queue", torch.zeros(config.queue, 2, dtype=torch.long))
        self.register_buffer("written", torch.zeros((), dtype=torch.long))  # number of pairs so far
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    @property
    def alpha(self) -> Tensor:
        """The share of its probabilities in the targets of this step."""
        return self.config.alpha * (self.step / max(self.config.ramp, 1)).clamp(max=1)

    @torch.no_grad()
    def forward(
        self,
        images: Tensor,
        tokens: Tensor,
        masked: Tensor,
        chosen: Tensor,
        pairs: Tensor,
        temperature: Tensor,
        gather: Callable[[Tensor], Tensor],
    ) -> Lesson:
        """See a batch, and remember it.

        Args:
            images, tokens, pairs, gather: as `Albef.losses`.
            masked, chosen: as `Albef.restored_words`.
            temperature: of the student.
        """
        image_tokens, image_embeds = self.model.encode_images(images)
        _, text_embeds = self.model.encode_texts(tokens)
        new_images, new_texts = gather(image_embeds), gather(text_embeds)
        all_images = torch.cat([new_images, self.image_queue])
        all_texts = torch.cat([new_texts, self.text_queue])
        lesson = Lesson(
            all_images,
            all_texts,
            (pairs[:, None] == self.pair_queue).any(-1),
            image_embeds @ all_texts.T / temperature,
            text_embeds @ all_images.T / temperature,
            self.model.restored_words(masked, chosen, image_tokens),
            self.alpha,
        )
        self._remember(new_images, new_texts, gather(pairs))
        return lesson

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the model, after a step of it: before the teacher is used again."""
        own, others = list(self.model.parameters()), [p.detach() for p in model.parameters()]
        torch._foreach_lerp_(own, others, 1 - self.config.momentum)
        self.step += 1

    def _remember(self, images: Tensor, texts: Tensor, pairs: Tensor) -> None:
        """Overwrite the oldest pairs of the queue."""
        size, new = self.config.queue, len(pairs)
        kept = min(size, new)
        places = (self.written + torch.arange(new - kept, new, device=pairs.device)) % max(size, 1)
        for queue, rows in (
            (self.image_queue, images),
            (self.text_queue, texts),
            (self.pair_queue, pairs),
        ):
            queue[places] = rows[new - kept :].to(queue.dtype)
        self.written += new


def distilled_loss(
    logits: Tensor, target: Tensor, teacher: Tensor | None = None, alpha: Tensor | float = 0.0
) -> Tensor:
    """Mean cross-entropy with targets of which a share are the probabilities of a teacher; 0 if there are no rows.

    Args:
        logits: (rows, classes).
        target: classes (rows,) or probabilities (rows, classes).
        teacher: its logits (rows, classes); None for no teacher.
        alpha: share of its probabilities.
    """
    if not len(logits):
        return logits.sum()
    loss = F.cross_entropy(logits, target)
    return (
        loss if teacher is None else (1 - alpha) * loss + alpha * F.cross_entropy(logits, teacher.softmax(1))
    )


def spread(right: Tensor) -> Tensor:
    """Targets (rows, classes) that are spread evenly over the right classes of each row, bool (rows, classes)."""
    return right / right.sum(1, keepdim=True)
