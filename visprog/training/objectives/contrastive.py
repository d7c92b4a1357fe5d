"""Images and texts that belong together: CLIP's and SigLIP's losses on any source of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from visprog.models.clip.model import clamp_logit_scale
from visprog.models.nn import info_nce, sigmoid_pair_loss
from visprog.models.zero_shot import ensemble

from ..data.samples import Pair
from ..data.source import PairSource
from ..distributed.collectives import gather
from ..gradient_cache import cached_backward
from ..metrics.groups import group_means, membership
from ..metrics.retrieval import fingerprint, recall
from ..models import build_reader, check_model, image_size
from ..objective import Objective, Run


@dataclass(frozen=True)
class ContrastiveConfig:
    """Keys of the objective `contrastive`.

    Attributes:
        loss: softmax, of CLIP, or sigmoid, of SigLIP, whose models have a bias.
        init_from: trained model to begin with; or per part, {image_encoder: MODEL}. A folder, the name of a bundled
            model, or a hub id.
        length: greatest number of tokens of a text.
        pad_texts: whether every text is padded to `length`, as SigLIP reads texts.
        vocabulary: greatest number of tokens of the byte-pair encoding that is learned from captions.
        negatives: whether each image is also held against a false caption, if the source has them.
        shift: number of pixels that a training image is moved by at most, and it is mirrored or not; null for neither.
        cache_chunk: number of pairs that are embedded at a time, with the gradients of their features cached, so that
            a batch may be larger than memory; null embeds all at once.
        max_logit_scale: greatest factor of the cosines.
    """

    loss: Literal["softmax", "sigmoid"] = "softmax"
    init_from: str | dict[str, str] | None = None
    length: int = 64
    pad_texts: bool = False
    vocabulary: int = 4096
    negatives: bool = True
    shift: int | None = None
    cache_chunk: int | None = None
    max_logit_scale: float = 100.0


class View(NamedTuple):
    """A prepared pair: pixels of the model's size, the caption that was drawn, and the pair."""

    pixels: NDArray[np.uint8]
    caption: str
    pair: Pair


class Contrastive(Objective):
    """Contrastive training. A batch is a mapping of

    - "images" (n, 3, size, size) and "tokens" (n, length): pair i belongs together;
    - "false" (n, length), perhaps: ids of the false caption of each image;
    - "objects" (n, t, k) and "claims" (n, k), perhaps: facts as whole numbers; see `true_of`. Every text that is true
      of an image is then right for it, and not its own alone;
    - "pairs" (n, 2) otherwise: numbers of image and text, as `pair_numbers` gives them. Every text that an image has,
      or that is equal to one of its own, is then right for it.

    Scores: if the source has classes, the share of images whose own class is the nearest ("accuracy"), also in each
    group and by each attribute; else how often the right caption, or the right image, of all validation pairs is the
    nearest.
    """

    Config: ClassVar[Any] = ContrastiveConfig
    sample_type = Pair
    needs = ("encode_images", "encode_texts", "logit_scale")
    source: PairSource

    def __init__(self, config: ContrastiveConfig, model: Any, source: PairSource) -> None:
        super().__init__(config, model, source)
        self.model, self.tokenizer, self.image_processor = build_reader(model, config, source)
        check_model(self.model, "contrastive", self.needs)
        self.size = image_size(self.model.config)
        self.metric = "accuracy" if source.classes else "image_to_text"

    def prepare(self, sample: Pair, rng: np.random.Generator, train: bool) -> View:
        pixels = self.image_processor.fit(sample.image)
        if train and self.config.shift is not None:
            pixels = moved(pixels, self.config.shift, rng)
        captions = sample.captions
        return View(pixels, captions[0] if len(captions) == 1 else str(rng.choice(captions)), sample)

    def collate(self, samples: list[View], train: bool) -> dict[str, Tensor]:
        captions = [view.caption for view in samples]
        false = self.config.negatives and self.source.has_false_captions and train
        if false:
            captions += [view.pair.false_caption or "nothing" for view in samples]
        ids = self.ids(captions).split(len(samples))
        batch = {"images": self.image_processor([view.pixels for view in samples]), "tokens": ids[0]}
        if false:
            batch["false"] = ids[1]
        if all(view.pair.claim is not None for view in samples):
            batch["objects"] = pad_sequence([torch.tensor(view.pair.objects) for view in samples])
            batch["claims"] = torch.tensor([view.pair.claim for view in samples])
        else:
            batch["pairs"] = pair_numbers([view.pair.name for view in samples], captions[: len(samples)])
        if not train and self.source.classes:
            batch["labels"] = torch.tensor([view.pair.label for view in samples])
            batch["groups"] = membership([view.pair.groups for view in samples], self.source.groups)
        return batch

    def embed(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Unit features of images (n, dim) and of texts (n, 1 or 2, dim)."""
        texts = [self.model.encode_texts(batch[name]) for name in ("tokens", "false") if name in batch]
        return self.model.encode_images(batch["images"]), torch.stack(texts, 1)

    def contrast(self, batch: Mapping[str, Tensor], images: Tensor, texts: Tensor) -> dict[str, Tensor]:
        """The loss of the features of a batch, over those of all processes."""
        images, texts = gather(images, name="image features"), gather(texts, name="text features")
        if "claims" in batch:
            objects = gather(batch["objects"], NO_FACT, "objects")
            positives = true_of(objects, gather(batch["claims"], name="claims"))
        else:
            positives = related(gather(batch["pairs"], name="pairs"))
        positives = F.pad(positives, (0, len(images) * (texts.shape[1] - 1)))
        texts = texts.transpose(0, 1).flatten(0, 1)
        scale = self.model.logit_scale.exp()
        if self.config.loss == "sigmoid":
            loss = sigmoid_pair_loss(images, texts, scale, self.model.logit_bias, positives)
        else:
            loss = info_nce(images, texts, scale, positives)
        return {"loss": loss, "scale": scale.mean()}

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.contrast(batch, *self.embed(batch))

    def backward(self, run: Run, batch: Mapping[str, Tensor], accelerator: Any) -> dict[str, Tensor]:
        size = self.config.cache_chunk
        if size is None or size >= len(batch["images"]):
            return super().backward(run, batch, accelerator)
        parts = zip(*(value.split(size) for value in batch.values()), strict=True)
        chunks = [dict(zip(batch, part, strict=True)) for part in parts]
        return cached_backward(run, chunks, self.embed, partial(self.contrast, batch), accelerator)

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if self.source.classes:
            features = self.model.encode_images(batch["images"]).float()
            return {"features": features, "labels": batch["labels"], "groups": batch["groups"]}
        images, texts = self.embed(batch)
        return {"images": images.float(), "texts": texts[:, 0].float(), "pairs": batch["pairs"]}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        classes = self.source.classes
        if classes is None:
            cosines = predictions["images"] @ predictions["texts"].T
            images, captions = predictions["pairs"].unbind(1)
            return {
                "image_to_text": recall(cosines, images, captions),
                "text_to_image": recall(cosines.T, captions, images),
            }
        cosines, labels = (
            predictions["features"] @ self.class_features(classes.texts).T,
            predictions["labels"],
        )
        right = cosines.argmax(1) == labels
        scores = group_means(right, predictions["groups"], self.source.groups)
        for name, attribute in classes.attributes.items():
            values = torch.tensor(attribute)
            best = torch.stack([cosines[:, values == v].amax(1) for v in range(int(values.max()) + 1)], 1)
            scores[name] = float((best.argmax(1) == values[labels]).float().mean())
        return {**scores, "accuracy": float(right.float().mean())}

    def class_features(self, texts: Sequence[Sequence[str]]) -> Tensor:
        """Unit features of classes (classes, dim), each the mean of those of its sentences; on the CPU."""
        device = next(self.model.parameters()).device
        features = self.model.encode_texts(self.ids([t for of in texts for t in of]).to(device)).float().cpu()
        return torch.stack([ensemble(part) for part in features.split([len(of) for of in texts])])

    def after_step(self) -> None:
        clamp_logit_scale(self.model.logit_scale, self.config.max_logit_scale)

    def ids(self, texts: Sequence[str]) -> Tensor:
        """Token ids (n, length), as long as the longest text or as `pad_texts` asks."""
        ids = self.tokenizer(texts).ids
        return F.pad(ids, (0, self.config.length - ids.shape[1])) if self.config.pad_texts else ids


NO_FACT = -3
"""Fills the facts of objects up to the most in a batch."""


def pad_sequence(facts: Sequence[Tensor]) -> Tensor:
    """Facts of the objects of n images, (objects, k) each, as one tensor (n, most objects, k)."""
    return torch.nn.utils.rnn.pad_sequence(list(facts), batch_first=True, padding_value=NO_FACT)


def pair_numbers(names: Sequence[str], captions: Sequence[str]) -> Tensor:
    """Numbers (n, 2) of images and of captions: equal for equal ones, in all processes."""
    return torch.tensor([[fingerprint(text) for text in pair] for pair in zip(names, captions, strict=True)])


def related(pairs: Tensor) -> Tensor:
    """Which texts are right for which images, bool (n, n): those of the same image, and those of the same words.

    Args:
        pairs: from `pair_numbers`.
    """
    return (pairs[:, None] == pairs).any(-1)


def true_of(objects: Tensor, claims: Tensor) -> Tensor:
    """Which texts are true of which images: all that text j claims holds of one object of image i, or i = j.

    Args:
        objects: (n, t, k), k facts about each of t objects.
        claims: (n, k); a negative fact is not claimed, and a text that claims nothing is true of its own image alone.

    Returns:
        bool (n, n).
    """
    open_facts = claims < 0
    holds = (open_facts | (objects[:, :, None] == claims)).all(-1).any(1) & ~open_facts.all(-1)
    return holds | torch.eye(len(claims), dtype=torch.bool, device=claims.device)


def moved(pixels: NDArray[np.uint8], shift: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An image moved by up to `shift` pixels each way, what is missing mirrored in; as a whole mirrored or not."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((shift, shift), (shift, shift), (0, 0)), mode="reflect")
    top, left = rng.integers(0, 2 * shift + 1, 2)
    view = padded[top : top + height, left : left + width]
    return np.ascontiguousarray(view[:, ::-1] if rng.random() < 0.5 else view)
