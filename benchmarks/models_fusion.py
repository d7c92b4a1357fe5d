"""BERT, VisualBERT, LXMERT and BLIP-2 against transformers: the same weights, inputs and threads.

python benchmarks/models_fusion.py --threads 2
python benchmarks/models_fusion.py lxmert

Each line is ours over theirs: of seconds, the median over rounds in which both take turns; of memory, the most that
tensors took beside weights and inputs. Below 1 is faster, or smaller.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any, NamedTuple

import torch
import transformers
from timing import Run, compare, head
from torch import Tensor

from visprog.models import load_model
from visprog.models.bert import IGNORED
from visprog.models.blip2.model import encode_tokens
from visprog.models.regions import Regions, Targets

LENGTH, REGIONS, SHAPE = 24, 36, {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}
"""Tokens of a text, regions of an image, and half the width of the published models."""


class Batch(NamedTuple):
    """Texts with regions of images; a tenth of the words, all of which are masked, is to be restored."""

    tokens: Tensor
    mask: Tensor
    words: Tensor
    regions: Regions

    @classmethod
    def of(cls, count: int) -> Batch:
        """Random ones."""
        tokens, real = (
            torch.randint(1000, 30000, (count, LENGTH)),
            torch.ones(count, REGIONS, dtype=torch.bool),
        )
        corners = torch.rand(count, REGIONS, 2, 2).sort(2).values.flatten(2)
        return cls(
            tokens, torch.ones_like(tokens).bool(), tokens.masked_fill(torch.rand(tokens.shape) > 0.1, IGNORED),
            Regions(torch.randn(count, REGIONS, 2048), corners, real),
        )  # fmt: skip


def same(theirs: Any) -> tuple[Any, Any]:
    """Theirs and ours, with the same random weights."""
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours = load_model(folder)
    return theirs.eval(), ours.eval()


def step(model: torch.nn.Module, loss: Run) -> Run:
    """A backward pass, without the update."""

    def run() -> None:
        model.zero_grad(set_to_none=True)
        loss().backward()

    return run


def bert(batch: Batch) -> dict[str, tuple[Run, Run]]:
    """Masked words."""
    theirs, ours = same(
        transformers.BertForMaskedLM(transformers.BertConfig(num_hidden_layers=6, **SHAPE, **NO_DROPOUT))
    )

    def have() -> Tensor:
        logits = ours(batch.tokens, batch.mask).logits
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.words.flatten())

    def want(**given: Tensor) -> Any:
        return theirs(input_ids=batch.tokens, attention_mask=batch.mask.long(), **given)

    return {
        "BERT, texts": (lambda: ours(batch.tokens, batch.mask), want),
        "BERT, training step": (step(ours, have), step(theirs, lambda: want(labels=batch.words).loss)),
    }


def visualbert(batch: Batch) -> dict[str, tuple[Run, Run]]:
    """Masked words and matching, in one stream."""
    config = transformers.VisualBertConfig(
        num_hidden_layers=6, visual_embedding_dim=2048, pad_token_id=0, **SHAPE, **NO_DROPOUT
    )
    theirs, ours = same(transformers.VisualBertForPreTraining(config))
    matched = torch.ones(len(batch.tokens), dtype=torch.bool)

    def have() -> Tensor:
        found = ours(batch.tokens, batch.regions, batch.mask)
        return sum(
            ours.pretraining_losses(
                found, Targets(batch.words, matched, batch.regions, ~batch.regions.mask)
            ).values()
        )  # type: ignore[return-value]

    def want(**given: Tensor) -> Any:
        return theirs(
            input_ids=batch.tokens, attention_mask=batch.mask.long(), visual_embeds=batch.regions.features,
            visual_attention_mask=batch.regions.mask.long(), **given,
        )  # fmt: skip

    labels = torch.cat([batch.words, torch.full((len(batch.tokens), REGIONS), IGNORED)], 1)
    return {
        "VisualBERT, pairs": (lambda: ours(batch.tokens, batch.regions, batch.mask), want),
        "VisualBERT, training step": (
            step(ours, have),
            step(theirs, lambda: want(labels=labels, sentence_image_labels=(~matched).long()).loss),
        ),
    }


def lxmert(batch: Batch) -> dict[str, tuple[Run, Run]]:
    """Answers, by two streams and those that cross."""
    config = transformers.LxmertConfig(
        l_layers=4, r_layers=2, x_layers=2, num_qa_labels=3129, **SHAPE, **NO_DROPOUT
    )
    theirs, ours = same(transformers.LxmertForQuestionAnswering(config))
    answers = torch.randint(0, 3129, (len(batch.tokens),))

    def have() -> Tensor:
        logits = ours(batch.tokens, batch.regions, batch.mask).answer_logits
        return torch.nn.functional.cross_entropy(logits, answers)

    def want(**given: Tensor) -> Any:
        return theirs(
            input_ids=batch.tokens, attention_mask=batch.mask.long(), visual_feats=batch.regions.features,
            visual_pos=batch.regions.boxes, visual_attention_mask=batch.regions.mask.long(), **given,
        )  # fmt: skip

    return {
        "LXMERT, pairs": (lambda: ours(batch.tokens, batch.regions, batch.mask), want),
        "LXMERT, training step": (step(ours, have), step(theirs, lambda: want(labels=answers).loss)),
    }


def blip2(batch: Batch) -> dict[str, tuple[Run, Run]]:
    """Matching and contrast, by an image encoder of six layers."""
    vision = {**SHAPE, "num_hidden_layers": 6, "image_size": 224, "patch_size": 16}
    qformer = {
        **SHAPE, **NO_DROPOUT, "num_hidden_layers": 4, "use_qformer_text_input": True, "encoder_hidden_size": 384,
    }  # fmt: skip
    config = transformers.Blip2Config(vision_config=vision, qformer_config=qformer, num_query_tokens=32)
    theirs, ours = same(transformers.Blip2ForImageTextRetrieval(config))
    images, match = torch.randn(len(batch.tokens), 3, 224, 224), torch.randint(0, 2, (len(batch.tokens),))
    loss = torch.nn.functional.cross_entropy

    def want(head: bool) -> Any:
        return theirs(
            images, batch.tokens, batch.mask.long(), use_image_text_matching_head=head
        ).logits_per_image

    def tokens_of(images: Tensor) -> Tensor:
        tokens: Tensor = encode_tokens(ours.image_encoder, images)
        return tokens

    def contrast() -> Tensor:
        similarity: Tensor = ours.similarity(
            ours.encode_images(images)[1], ours.encode_texts(batch.tokens)[1]
        )
        return similarity

    return {
        "BLIP-2, contrast": (contrast, lambda: want(False)),
        "BLIP-2, training step of matching": (
            step(ours, lambda: loss(ours.pair_logits(tokens_of(images), batch.tokens), match)),
            step(theirs, lambda: loss(want(True), match)),
        ),
    }


NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
MODELS = {"bert": bert, "visualbert": visualbert, "lxmert": lxmert, "blip2": blip2}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "models", nargs="*", choices=[*MODELS, []], help=f"of {', '.join(MODELS)}; all if none"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    head(arguments.threads, arguments.rounds)
    torch.manual_seed(0)
    batch = Batch.of(arguments.batch)
    for name in arguments.models or MODELS:
        for title, (have, want) in MODELS[name](batch).items():
            training = "step" in title
            if not training:
                have, want = torch.inference_mode(have), torch.inference_mode(want)
            compare(title, have, want, arguments.rounds, memory=training)


if __name__ == "__main__":
    main()
