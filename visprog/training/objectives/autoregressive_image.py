"""Images from texts, token by token, as DALL-E's transformer learns it (Ramesh et al. 2021, arXiv:2102.12092, section
2.2), on any source of pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from visprog.models.dalle.dvae import Dvae
from visprog.models.dalle.model import Dalle, dalle_loss
from visprog.models.nn.generate import Sampling
from visprog.models.preprocess.tokenizer import PAD

from ..data.samples import DataError, Pair
from ..data.source import PairSource
from ..from_plain import Section
from ..init_from import InitFrom, init_model, load_start
from ..metrics.retrieval import fingerprint, recall
from ..models import check_model, load_processor, load_tokenizer, make_tokenizer, new_model, trained_source
from ..objective import Objective
from .dvae import unit_processor


@dataclass(frozen=True)
class AutoregressiveImageConfig:
    """Keys of the objective `autoregressive-image`.

    Attributes:
        init_from: trained model to begin with, or {dvae: MODEL}, the autoencoder alone. A folder, or a hub id.
        length: greatest number of tokens of a text.
        vocabulary: greatest number of tokens of the byte-pair encoding that is learned from texts.
        image_weight: weight of the loss of image tokens; that of text tokens is 1.
        judge: trained CLIP or SigLIP that judges the images that are drawn of the validation texts: a folder, the name
            of a bundled model, or a hub id; null scores by the loss.
    """

    init_from: str | dict[str, str] | None = None
    length: int = 64
    vocabulary: int = 4096
    image_weight: float = 7.0
    judge: str | None = None

    def __post_init__(self) -> None:
        if self.image_weight <= 0:
            raise ValueError(f"image_weight must be positive, not {self.image_weight}")


class AutoregressiveImages(Objective):
    """Text and image as one stream of tokens. A batch holds "images" (n, 3, S, S), levels from 0 to 1, and "tokens" (n,
    at most length); for a judge also "judge_tokens" (n, its length) and "captions" (n,), numbers of equal captions.

    Scores: "r_precision" (Xu et al. 2018, arXiv:1711.10485, with CLIP in place of their encoders), the share of drawn
    images to which the judge finds their own text the nearest of all validation texts; without a judge "image", the
    mean loss of an image token.
    """

    Config: ClassVar[Any] = AutoregressiveImageConfig
    sample_type = Pair
    needs = ("generate", "encode_images", "decode_images")

    def __init__(self, config: AutoregressiveImageConfig, model: Any, source: PairSource) -> None:
        super().__init__(config, model, source)
        if model is None:
            trained = trained_source(config.init_from)
            self.model, self.tokenizer = load_start(trained), load_tokenizer(trained)
        else:
            self.tokenizer = make_tokenizer(source, config.length, config.vocabulary)
            self.model = new_model(
                with_dvae(model, config.init_from),
                vocab=len(self.tokenizer),
                length=config.length,
                pad=self.tokenizer.id(PAD),
            )
            init_model(self.model, config.init_from, self.tokenizer)
        check_model(self.model, "autoregressive-image", self.needs)
        self.size = self.model.config.image_size
        self.image_processor = unit_processor(self.size, source)
        self.judge = None if config.judge is None else Judge(config.judge)
        self.metric, self.lower_is_better = ("image", True) if self.judge is None else ("r_precision", False)

    def prepare(self, sample: Pair, rng: np.random.Generator, train: bool) -> tuple[NDArray[np.uint8], str]:
        captions = sample.captions
        caption = captions[0] if len(captions) == 1 else str(rng.choice(captions))
        return self.image_processor.fit(sample.image), caption

    def collate(self, samples: list[Any], train: bool) -> dict[str, Tensor]:
        images, captions = zip(*samples, strict=True)
        batch = {
            "images": self.image_processor(images),
            "tokens": self.tokenizer(captions, special=False).ids,
        }
        if self.judge is not None and not train:
            batch["judge_tokens"] = self.judge.tokenizer(captions).ids
            batch["captions"] = torch.tensor([fingerprint(caption) for caption in captions])
        return batch

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        tokens = self.model.padded(batch["tokens"])
        with torch.no_grad():
            image_tokens = self.model.encode_images(batch["images"])
        output = self.model(batch["tokens"], image_tokens)
        return dalle_loss(output, tokens, image_tokens, self.config.image_weight)

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        images, tokens = batch["images"], batch["tokens"]
        image_tokens = self.model.encode_images(images)
        logits = self.model(tokens, image_tokens).image_logits
        nats = F.cross_entropy(logits.transpose(1, 2), image_tokens, reduction="none").mean(1)
        if self.judge is None:
            return {"image": nats}
        search = Sampling(generator=torch.Generator(images.device).manual_seed(0))
        drawn = self.model.decode_images(self.model.generate(tokens, search=search))
        features = self.judge.encode(drawn, batch["judge_tokens"])
        return {"image": nats, "captions": batch["captions"], **features}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        scores = {"image": float(predictions["image"].mean())}
        if self.judge is not None:
            cosines = predictions["image_embeds"] @ predictions["text_embeds"].T
            numbers = torch.arange(len(cosines))
            scores["r_precision"] = recall(cosines, numbers, predictions["captions"])
        return scores


class Judge:
    """A trained model that encodes images and texts in one space, and is not trained further.

    Args:
        source: a folder, the name of a bundled model, or a hub id.

    Raises:
        DataError: there is no such model.
    """

    def __init__(self, source: str) -> None:
        self.model: Any = load_start(source).eval().requires_grad_(False)
        check_model(self.model, "judge", ("encode_images", "encode_texts"))
        self.tokenizer = load_tokenizer(source)
        processor = load_processor(source)
        if processor is None:
            raise DataError(f"judge: {source} does not say how images are prepared")
        self.image_processor = processor

    def encode(self, images: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """Features of images (n, 3, S, S), levels from 0 to 1, and of texts (n, length): "image_embeds" and
        "text_embeds" (n, dim)."""
        arrays = (images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        model = self.model.to(images.device)
        prepared = self.image_processor(list(arrays)).to(images.device)
        return {"image_embeds": model.encode_images(prepared), "text_embeds": model.encode_texts(tokens)}


def with_dvae(section: Section, init_from: InitFrom) -> Section:
    """Settings of a model, with those of the trained autoencoder that it begins with.

    Raises:
        DataError: no autoencoder is given, or it is another model.
    """
    source = init_from.get("dvae") if isinstance(init_from, Mapping) else init_from
    if source is None:
        raise DataError(
            "init_from: images are learned as the tokens of a trained autoencoder: train one with the recipe dvae, and "
            "give init_from={dvae: FOLDER}"
        )
    wanted: type[Dvae] | type[Dalle] = Dvae if isinstance(init_from, Mapping) else Dalle
    trained = load_start(source)
    if not isinstance(trained, wanted):
        raise DataError(f"init_from: {source} is a {type(trained).__name__}, not a {wanted.__name__}")
    dvae = trained.dvae if isinstance(trained, Dalle) else trained
    return replace(section, config=replace(section.config, dvae=dvae.config))
