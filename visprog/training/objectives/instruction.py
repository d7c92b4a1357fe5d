"""Visual instruction tuning (Liu et al. 2023, arXiv:2304.08485), on any source of conversations.

The two published stages of LLaVA are two recipes of one objective: `optimizer.lr` of the first trains the projector
alone, that of the second the projector and the language model. So is the second stage of BLIP-2, which trains the
Q-Former before a frozen language model. The loss is of what the assistant says, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from visprog.models.blip2.generator import Blip2Generator
from visprog.models.blip2.model import Blip2
from visprog.models.llava.chat import IMAGE, Chat
from visprog.models.llava.model import Llava, LlavaConfig
from visprog.models.preprocess.image_processor import ImageProcessor
from visprog.models.preprocess.tokenizer import Tokenizer

from ..data.samples import BadSample, Conversation, DataError
from ..data.source import ConversationSource
from ..distributed.collectives import share
from ..from_plain import Section
from ..init_from import (
    IMAGE_ENCODER,
    add_position_codes,
    init_model,
    load_image_encoder,
    load_language_model,
    load_start,
)
from ..metrics.groups import group_means, membership
from ..models import (
    check_model,
    load_processor,
    load_tokenizer,
    make_tokenizer,
    new_model,
    square_processor,
    with_vocabulary,
)
from ..objective import Objective

IGNORED = -100
"""Label of a token that is not learned."""

LANGUAGE_MODEL, QFORMER = "language_model", "qformer"


@dataclass(frozen=True)
class InstructionConfig:
    """Keys of the objective `instruction`.

    Attributes:
        init_from: trained model to begin with, or one per part: {image_encoder: MODEL, language_model: MODEL} of a
            LLaVA, {qformer: MODEL, language_model: MODEL} of a BLIP-2, whose Q-Former brings its image encoder. A
            folder, the name of a bundled model, or a hub id.
        position_codes: whether sines of row and column are added to the positions of the image encoder, since the
            features of a detector say little about where they are.
        length: greatest number of tokens of a conversation, the placeholders of its images included.
        vocabulary: greatest number of tokens of the byte-pair encoding of a new language model.
    """

    init_from: str | dict[str, str] | None = None
    position_codes: bool = False
    length: int = 2048
    vocabulary: int = 4096


class Instruction(Objective):
    """Visual instruction tuning. A batch holds "tokens" (n, length) padded on the right, "labels" (n, length) of what
    the assistant says, and "images" of all conversations, if there are any.

    Scores: if the source has groups, the share of questions that are answered right in each; else "loss", the mean loss
    of the assistant's tokens.
    """

    Config: ClassVar[Any] = InstructionConfig
    sample_type = Conversation
    needs = ("image_encoder", "projector", "language_model", "embed")
    model: Llava | Blip2Generator
    source: ConversationSource

    def __init__(self, config: InstructionConfig, model: Any, source: ConversationSource) -> None:
        super().__init__(config, model, source)
        self.model, tokenizer, self.image_processor = _parts(config, model, source)
        check_model(self.model, "instruction", self.needs)
        if config.position_codes and not isinstance(config.init_from, str):
            add_position_codes(self.model.image_encoder)
        shape = self.model.config
        self.size = shape.image_encoder.size
        self.chat = Chat(
            tokenizer, shape.tokens_per_image, first_question=source.first, answer_mark=source.mark
        )
        self.metric, self.lower_is_better = (source.groups[0], False) if source.groups else ("loss", True)

    def prepare(self, sample: Conversation, rng: np.random.Generator, train: bool) -> Conversation:
        length = len(self.chat.encode(_turns(sample)).ids)
        if length > self.config.length:
            raise BadSample(sample.name, f"it has {length} tokens, {self.config.length} are the most")
        return replace(sample, images=tuple(self.image_processor.fit(image) for image in sample.images))

    def collate(self, samples: Sequence[Conversation], train: bool) -> dict[str, Any]:
        images = [image for sample in samples for image in sample.images]
        batch: dict[str, Any] = {"images": self.image_processor(images)} if images else {}
        if not train and self.source.groups:
            batch["turns"] = [_turns(sample) for sample in samples]
            batch["groups"] = membership([sample.groups for sample in samples], self.source.groups)
            return batch
        written = [self.chat.encode(_turns(sample)) for sample in samples]
        length = max(len(w.ids) for w in written)
        tokens = torch.full((len(written), length), self.chat.end)
        labels = torch.full((len(written), length), IGNORED)
        for row, (sample, (ids, spoken)) in enumerate(zip(samples, written, strict=True)):
            tokens[row, : len(ids)] = torch.tensor(ids)
            learned = [t if s else IGNORED for t, s in zip(ids, spoken, strict=True)]
            labels[row, : len(ids)] = torch.tensor(learned)
            labels[row, : len(self.chat.encode(_turns(sample)[: sample.given]).ids)] = IGNORED
        return batch | {"tokens": tokens, "labels": labels}

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        count = (batch["labels"][:, 1:] != IGNORED).sum()
        # The mean over the tokens of all processes, not the mean of their means.
        return {"loss": self._losses(batch).sum() / count.clamp(min=1) * share(count)}

    def _losses(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Of every next token (n, length - 1); 0 if it is not the assistant's."""
        x, _ = self.model.embed(batch["tokens"], batch.get("images"))
        features, _ = self.model.language_model.forward_features(x)
        spoken = batch["labels"][:, 1:] != IGNORED
        logits = self.model.language_model.head(features[:, :-1][spoken])  # only where they are needed
        losses = F.cross_entropy(logits.float(), batch["labels"][:, 1:][spoken], reduction="none")
        return torch.zeros(spoken.shape, device=losses.device).masked_scatter(spoken, losses)

    def predict(self, batch: Mapping[str, Any]) -> Mapping[str, Tensor]:
        if not self.source.groups:
            learned = (batch["labels"][:, 1:] != IGNORED).sum(1)
            return {"nats": self._losses(batch).sum(1), "tokens": learned}
        turns, most = batch["turns"], self.source.answer_length
        asked, expected = zip(*(conversation[-1] for conversation in turns), strict=True)
        if "images" in batch:
            answers = self.chat.answer(self.model, batch["images"], asked, most)
        else:
            given = [[*t[:-1], (question, None)] for t, question in zip(turns, asked, strict=True)]
            tokens, mask = (x.to(batch["groups"].device) for x in self.chat.encode_batch(given))
            answers = self.chat.final_answers(
                self.model.generate(tokens, max_new=most, mask=mask, stop=[self.chat.end])
            )
        right = [a == e for a, e in zip(answers, expected, strict=True)]
        return {"right": torch.tensor(right, device=batch["groups"].device), "groups": batch["groups"]}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        if not self.source.groups:
            return {"loss": float(predictions["nats"].sum() / predictions["tokens"].sum())}
        return group_means(predictions["right"], predictions["groups"], self.source.groups)

    def save(self, folder: Path) -> None:
        super().save(folder)
        self.chat.save_pretrained(folder)

    def amounts(self, batch: Mapping[str, Tensor]) -> Mapping[str, int]:
        return {"conversations": len(batch["tokens"]), "tokens": batch["tokens"].numel()}


def _turns(sample: Conversation) -> list[tuple[str, str]]:
    """Questions with answers."""
    texts = [turn.text for turn in sample.turns]
    return list(zip(texts[::2], texts[1::2], strict=True))


def _parts(
    config: InstructionConfig, section: Section | None, source: ConversationSource
) -> tuple[Any, Tokenizer, ImageProcessor]:
    """The model, its tokenizer and its image processor."""
    start = config.init_from
    if section is None and isinstance(start, str):
        model = load_start(start)
        return model, load_tokenizer(start), load_processor(start) or square_processor(model, source)
    parts = {IMAGE_ENCODER: start} if isinstance(start, str) else dict(start or {})
    if section is None:
        return _joined(parts)
    tokenizer = make_tokenizer(source, None, config.vocabulary, (IMAGE,))
    shape = with_vocabulary(section.config, vocab=len(tokenizer))
    shape = replace(shape, image_token=tokenizer.id(IMAGE))
    if IMAGE_ENCODER in parts:
        trained = load_image_encoder(parts[IMAGE_ENCODER]).config
        shape = replace(shape, image_encoder=replace(trained, project=None))
    model = new_model(replace(section, config=shape))
    init_model(model, start, tokenizer)
    return model, tokenizer, square_processor(model, source)


def _joined(parts: Mapping[str, str]) -> tuple[Any, Tokenizer, ImageProcessor]:
    """Image encoder or Q-Former, and a language model, that have not met; the token "<image>" is added to the
    latter's."""
    if parts.keys() not in ({IMAGE_ENCODER, LANGUAGE_MODEL}, {QFORMER, LANGUAGE_MODEL}):
        raise DataError(
            "init_from: give a trained model, or both parts of a new one: {image_encoder: MODEL, language_model: "
            "MODEL} of a LLaVA, {qformer: MODEL, language_model: MODEL} of a BLIP-2"
        )
    tokenizer = load_tokenizer(parts[LANGUAGE_MODEL])
    language = load_language_model(parts[LANGUAGE_MODEL])
    tokenizer.backend.add_special_tokens([IMAGE])
    vocab = max(len(tokenizer), language.config.vocab)
    shape = replace(language.config, vocab=vocab)
    eyes = parts.get(IMAGE_ENCODER) or parts[QFORMER]
    model: Llava | Blip2Generator
    if IMAGE_ENCODER in parts:
        encoder = replace(load_image_encoder(eyes).config, project=None)
        model = Llava(LlavaConfig(encoder, shape, image_token=tokenizer.id(IMAGE)))
        init_model(model, {IMAGE_ENCODER: eyes})
    else:
        trained = load_start(eyes)
        if not isinstance(trained, Blip2):
            raise DataError(f"init_from.qformer: {eyes} is a {type(trained).__name__}, not a Blip2")
        model = Blip2Generator.from_stage_1(trained, shape, tokenizer.id(IMAGE))
    words = language.state_dict()
    for name in ("embed.weight", "head.weight"):
        more = words[name].mean(0).expand(vocab - len(words[name]), -1)
        words[name] = torch.cat([words[name], more])
    model.language_model.load_state_dict(words)
    size = (model.config.image_encoder.size,) * 2
    return model, tokenizer, load_processor(eyes) or ImageProcessor(size=size)
