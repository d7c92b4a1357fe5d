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

from ..data.samples import DataError, Pair
from ..data.source import Items, PairSource, SplitName
from ..data.word_swaps import word_swaps
from ..distributed.collectives import gather
from ..gradient_cache import cached_backward
from ..hard_images import HardImages, Images
from ..metrics.groups import group_means, membership
from ..metrics.retrieval import fingerprint, recall
from ..models import build_reader, check_model, image_size
from ..objective import Collect, Objective, Prepared, Run, Samples, Stream


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
        negatives: whether each image is also held against a false caption, if the source has them; "swaps" takes the
            caption with two of its adjectives, nouns, noun phrases, adverbs or verb phrases exchanged, of any source.
        swaps: number of such captions per image, of different kinds if possible. NegCLIP has 1; from scratch, 3 teach
            relations in far fewer steps.
        hard_images: number of nearest images, by the model's own features, from which a second image is drawn for each
            one of a batch, which then has twice as many; null for none. NegCLIP takes 3.
        mine_every: number of steps after which the nearest images are found anew; null finds them at the start alone.
        regions: weight of the contrastive loss between the regions of the images and their phrases, beside that of the
            whole images; 0 for none. The source must have regions.
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
    negatives: bool | Literal["swaps"] = True
    swaps: int = 1
    hard_images: int | None = None
    mine_every: int | None = None
    regions: float = 0.0
    shift: int | None = None
    cache_chunk: int | None = None
    max_logit_scale: float = 100.0

    def __post_init__(self) -> None:
        for name in ("swaps", "hard_images", "mine_every"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.mine_every and not self.hard_images:
            raise ValueError("mine_every says how often hard_images are found: give their number too")
        if self.regions < 0:
            raise ValueError(f"regions must not be negative, not {self.regions}")
        if self.regions and self.shift is not None:
            raise ValueError("regions would not move with their images: leave out shift")


MAX_REGIONS = 8
"""Greatest number of regions of an image that a visit learns from."""


class View(NamedTuple):
    """A prepared pair.

    Attributes:
        pixels: of the model's size.
        caption: that was drawn.
        pair: that it is made of.
        false_captions: that the image is also held against; "" for none.
        boxes: (regions, 4) in these pixels, and their phrases.
    """

    pixels: NDArray[np.uint8]
    caption: str
    pair: Pair
    false_captions: tuple[str, ...]
    boxes: NDArray[np.float32]
    phrases: tuple[str, ...]


class Contrastive(Objective):
    """Contrastive training. A batch is a mapping of

    - "images" (n, 3, size, size) and "tokens" (n, length): pair i belongs together;
    - "false" (n, f, length), perhaps: ids of the f false captions of each image;
    - "boxes" (n, r, 4), "phrases" (n, r, length) and "named" (n, r), perhaps: regions in pixels, ids of their phrases,
      and a number per phrase, 0 if it only fills the batch;
    - "objects" (n, t, k) and "claims" (n, k), perhaps: facts as whole numbers; see `true_of`. Every text that is true
      of an image is then right for it, and not its own alone;
    - "pairs" (n, 2 + f) otherwise: numbers of image, text and false captions, as `pair_numbers` gives them. Every text
      that an image has, or that is equal to one of its own, is then right for it.

    With `hard_images` the second half of a training batch are the hard images of the first: of 2B images, 2B captions
    and 2B false captions, an image chooses among all texts, and a text that is no false caption among all images.

    Scores: if the source has classes, the share of images whose own class is the nearest ("accuracy"), also in each
    group and by each attribute; else how often the right caption, or the right image, of all validation pairs is the
    nearest.
    """

    Config: ClassVar[Any] = ContrastiveConfig
    sample_type = Pair
    needs = ("encode_images", "encode_texts", "logit_scale")
    source: PairSource
    hard_images: HardImages
    unchanged: Images

    def __init__(self, config: ContrastiveConfig, model: Any, source: PairSource) -> None:
        super().__init__(config, model, source)
        self.model, self.tokenizer, self.image_processor = build_reader(model, config, source)
        check_model(
            self.model, "contrastive", (*self.needs, "encode_regions") if config.regions else self.needs
        )
        if config.regions and not source.has_regions:
            raise DataError(
                f"regions={config.regions:g}: the data have no regions with phrases (docs/train.md)"
            )
        self.size = image_size(self.model.config)
        self.metric = "accuracy" if source.classes else "image_to_text"
        if config.hard_images is not None:
            self.refresh_every = config.mine_every or 0

    def data(self, split: SplitName) -> Samples | Stream | None:
        if split != "train" or self.config.hard_images is None:
            return super().data(split)
        found = self.source.split(split, self.size)
        if not isinstance(found, Items):
            raise DataError("hard_images are not found in a stream: give files whose images can be counted")
        self.hard_images = HardImages(Prepared(self, found, True), self.config.hard_images)
        self.unchanged = Images(Prepared(self, found, False), self)
        return self.hard_images

    def prepare(self, sample: Pair, rng: np.random.Generator, train: bool) -> View:
        pixels = self.image_processor.fit(sample.image)
        if train and self.config.shift is not None:
            pixels = moved(pixels, self.config.shift, rng)
        captions = sample.captions
        caption = captions[0] if len(captions) == 1 else str(rng.choice(captions))
        false, boxes, phrases = tuple[str, ...](), sample.boxes[:0], tuple[str, ...]()
        if train and self.config.negatives == "swaps":
            count = self.config.swaps
            swaps = word_swaps(caption, rng, count, (*captions, *sample.other_captions))
            false = (*swaps, *[""] * (count - len(swaps)))
        elif train and self.config.negatives and self.source.has_false_captions:
            false = (sample.false_caption,)
        if train and self.config.regions and len(sample.boxes):
            boxes, phrases = self._regions(sample, rng)
        return View(pixels, caption, sample, false, boxes, phrases)

    def _regions(self, sample: Pair, rng: np.random.Generator) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """Some of the regions of which at least a pixel is seen in the model's image, at most `MAX_REGIONS`."""
        boxes = self.image_processor.fit_boxes(sample.boxes, sample.image.shape[:2])
        seen = np.flatnonzero((boxes[:, 2:] - boxes[:, :2]).min(1) >= 1)
        chosen = np.sort(rng.permutation(seen)[:MAX_REGIONS])
        return boxes[chosen], tuple(sample.phrases[i] for i in chosen)

    def collate(self, samples: list[View], train: bool) -> dict[str, Tensor]:
        captions = [view.caption for view in samples]
        false = [view.false_captions for view in samples]
        ids = self.ids([*captions, *(text or "nothing" for texts in false for text in texts)])
        tokens, rest = ids[: len(samples)], ids[len(samples) :]
        batch = {"images": self.image_processor([view.pixels for view in samples]), "tokens": tokens}
        if len(rest):
            batch["false"] = rest.unflatten(0, (len(samples), -1))
        if all(view.pair.claim is not None for view in samples):
            batch["objects"] = pad_sequence([torch.tensor(view.pair.objects) for view in samples])
            batch["claims"] = torch.tensor([view.pair.claim for view in samples])
        else:
            names = [view.pair.name for view in samples]
            batch["pairs"] = pair_numbers(names, captions, *zip(*false, strict=True))
        if train and self.config.regions:
            batch |= self._collate_regions(samples)
        if not train and self.source.classes:
            batch["labels"] = torch.tensor([view.pair.label for view in samples])
            batch["groups"] = membership([view.pair.groups for view in samples], self.source.groups)
        return batch

    def _collate_regions(self, samples: list[View]) -> dict[str, Tensor]:
        most = max(1, *(len(view.boxes) for view in samples))
        boxes, named = torch.zeros(len(samples), most, 4), torch.zeros(len(samples), most, dtype=torch.long)
        for i, view in enumerate(samples):
            boxes[i, : len(view.boxes)] = torch.from_numpy(view.boxes)
            named[i, : len(view.boxes)] = torch.tensor([fingerprint(phrase) for phrase in view.phrases])
        padded = [
            phrase for view in samples for phrase in (*view.phrases, *[""] * (most - len(view.phrases)))
        ]
        return {"boxes": boxes, "named": named, "phrases": self.ids(padded).unflatten(0, (-1, most))}

    def embed(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Unit features of images (n, dim) and of texts (n, 1 + f, dim); and of regions and their phrases, (n, r, dim)
        each, if the batch has them."""
        texts = self.model.encode_texts(batch["tokens"])[:, None]
        if "false" in batch:
            false = self.model.encode_texts(batch["false"].flatten(0, 1))
            texts = torch.cat([texts, false.unflatten(0, batch["false"].shape[:2])], 1)
        if "boxes" not in batch:
            return self.model.encode_images(batch["images"]), texts
        count, most = batch["named"].shape
        owners = torch.arange(count, device=batch["boxes"].device).repeat_interleave(most)
        images, regions = self.model.encode_regions(batch["images"], batch["boxes"].flatten(0, 1), owners)
        phrases, place = batch["phrases"].flatten(0, 1).unique(dim=0, return_inverse=True)
        named = self.model.encode_texts(phrases)[place]
        shape = (count, most)
        return images, texts, regions.unflatten(0, shape), named.unflatten(0, shape)

    def contrast(
        self, batch: Mapping[str, Tensor], images: Tensor, texts: Tensor, *regions: Tensor
    ) -> dict[str, Tensor]:
        """The loss of the features of a batch, over those of all processes."""
        images, texts = gather(images, name="image features"), gather(texts, name="text features")
        if "claims" in batch:
            objects = gather(batch["objects"], NO_FACT, "objects")
            positives = true_of(objects, gather(batch["claims"], name="claims"))
            positives = F.pad(positives, (0, len(images) * (texts.shape[1] - 1)))
        else:
            positives = related(gather(batch["pairs"], name="pairs"))
        loss = self.pair_loss(images, texts.transpose(0, 1).flatten(0, 1), positives)
        found = {"scale": self.model.logit_scale.exp().mean()}
        if regions:
            found["regions"] = self.contrast_regions(batch["named"], *regions)
            loss = loss + self.config.regions * found["regions"]
        return {"loss": loss, **found}

    def contrast_regions(self, named: Tensor, regions: Tensor, phrases: Tensor) -> Tensor:
        """The loss of regions and phrases (n, r, dim), of which those numbered 0 only fill the batch."""
        real = named != 0
        named = gather(named[real], name="phrases")
        regions = gather(regions[real], name="region features")
        phrases = gather(phrases[real], name="phrase features")
        if not len(named):
            return regions.sum()
        return self.pair_loss(regions, phrases, named[:, None] == named)

    def pair_loss(self, images: Tensor, texts: Tensor, positives: Tensor) -> Tensor:
        """The loss of CLIP or of SigLIP."""
        scale = self.model.logit_scale.exp()
        if self.config.loss == "sigmoid":
            return sigmoid_pair_loss(images, texts, scale, self.model.logit_bias, positives)
        return info_nce(images, texts, scale, positives)

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
        images, texts = self.embed(batch)[:2]
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

    def backend_file(self) -> dict[str, Any]:
        regions = {"options": {"regions": True}} if self.config.regions else {}
        return super().backend_file() | regions

    def refresh(self, collect: Collect) -> str:
        found = collect(self.unchanged, self._describe)
        self.hard_images.mine(found)
        return f"the {self.hard_images.count} nearest of {len(self.unchanged):,} images are known"

    def _describe(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        features = self.model.encode_images(batch["images"]).half()
        return {"features": features, "keys": batch["keys"], "names": batch["names"]}

    def state(self) -> dict[str, Tensor]:
        mined = self.hard_images.neighbours if self.config.hard_images else None
        return {} if mined is None else {"neighbours": mined}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        if self.config.hard_images:
            self.hard_images.neighbours = state["neighbours"]

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


def pair_numbers(*columns: Sequence[str]) -> Tensor:
    """Numbers (n, columns) of images, of their captions and of any false captions: equal for equal ones, in all
    processes."""
    return torch.tensor([[fingerprint(text) for text in row] for row in zip(*columns, strict=True)])


def related(pairs: Tensor) -> Tensor:
    """Which texts are right for which images, bool (n, (1 + f) n): the captions of the same image, and those of the
    same words; a false caption is right for an image whose caption has the same words.

    Args:
        pairs: from `pair_numbers`.
    """
    right = (pairs[:, None, :2] == pairs[:, :2]).any(-1)
    return torch.cat([right, *(pairs[:, 1:2] == column for column in pairs[:, 2:].T)], 1)


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
