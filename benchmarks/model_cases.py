"""The models that `models.py` compares: published sizes and random weights, or half their width where they are many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from visprog.models import load_model
from visprog.models.bert import IGNORED
from visprog.models.blip2.model import encode_tokens
from visprog.models.diffusion.dit import Dit
from visprog.models.diffusion.schedule import diffusion_loss
from visprog.models.nn import info_nce, sigmoid_pair_loss
from visprog.models.precision import load_fastest
from visprog.models.regions import Regions, Targets

Run = Callable[[Any], Any]
Runs = dict[str, tuple[Run, Run]]
LAST = slice(-1, None)


def load_ours(folder: Path, precision: str) -> tuple[Any, str]:
    """Our model, and the precision that "auto" is here."""
    if precision == "auto":
        model, found = load_fastest(folder)
        return model, str(found)
    return load_model(folder, dtype=precision).eval(), ""


@dataclass(frozen=True)
class Case:
    """A model in two implementations.

    Attributes:
        model: class of theirs, which is made with `config`, and read with `from_pretrained`.
        runs: title → what is timed, given our model, and given theirs; a title with "step" is a training step.
        ours: reads ours from a folder in a precision.
    """

    model: Any
    config: Any
    runs: Callable[[], Runs]
    ours: Callable[[Path, str], tuple[Any, str]] = load_ours

    def save(self, folder: Path) -> None:
        """Write the checkpoint that both read."""
        self.model(self.config).save_pretrained(folder)

    def theirs(self, folder: Path) -> Any:
        """Theirs."""
        return self.model.from_pretrained(folder, dtype=torch.float32).eval()


def quiet() -> None:
    """No bars and warnings of the other libraries."""
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.set_verbosity_error()


def step(loss: Callable[[Any], Tensor]) -> Run:
    """A backward pass, without the update."""

    def run(model: Any) -> None:
        model.zero_grad(set_to_none=True)
        loss(model).backward()

    return run


# -- image and text ----------------------------------------------------------------------------------


def clip() -> Runs:
    """Texts fill the full length; then as a tokenizer of CLIP pads short ones."""
    images, tokens = torch.randn(8, 3, 224, 224), torch.randint(3, 49000, (8, 77))
    tokens[:, -1] = 49407
    short = tokens.clone()
    short[:, 11:] = 49407

    def loss(ours: Any) -> Tensor:
        out = ours(images, tokens)
        return info_nce(out.image_embeds, out.text_embeds, ours.logit_scale.exp())

    return {
        "CLIP B/32, image": (
            lambda o: o.encode_images(images[:1]),
            lambda t: t.get_image_features(images[:1]),
        ),
        "CLIP B/32, 8 images": (lambda o: o.encode_images(images), lambda t: t.get_image_features(images)),
        "CLIP B/32, 8 texts of 77": (lambda o: o.encode_texts(tokens), lambda t: t.get_text_features(tokens)),
        "CLIP B/32, 8 texts of 12 in 77": (
            lambda o: o.encode_texts(short),
            lambda t: t.get_text_features(short),
        ),
        "CLIP B/32, training step": (
            step(loss),
            step(lambda t: t(input_ids=tokens, pixel_values=images, return_loss=True).loss),
        ),
    }


def siglip() -> Runs:
    """Texts have the full length."""
    images, tokens = torch.randn(4, 3, 224, 224), torch.randint(3, 31000, (4, 64))

    def loss(ours: Any) -> Tensor:
        out = ours(images, tokens)
        return sigmoid_pair_loss(out.image_embeds, out.text_embeds, ours.logit_scale.exp(), ours.logit_bias)

    return {
        "SigLIP B/16, 4 images": (lambda o: o.encode_images(images), lambda t: t.get_image_features(images)),
        "SigLIP B/16, 4 texts": (lambda o: o.encode_texts(tokens), lambda t: t.get_text_features(tokens)),
        "SigLIP B/16, training step": (
            step(loss),
            step(lambda t: t(input_ids=tokens, pixel_values=images, return_loss=True).loss),
        ),
    }


def owlv2() -> Runs:
    """Eight queries on one image."""
    images, tokens = torch.randn(1, 3, 960, 960), torch.randint(3, 49000, (8, 16))
    tokens[:, -1] = 49407
    return {
        "OWLv2 B/16, 960 pixels": (
            lambda o: o(images, tokens[None]),
            lambda t: t(input_ids=tokens, pixel_values=images),
        )
    }


def sam() -> Runs:
    """The image, then prompts on its embedding."""
    image, points = torch.randn(1, 3, 1024, 1024), 1024 * torch.rand(1, 32, 1, 2)
    labels, embedding = torch.ones(1, 32, 1), torch.randn(1, 256, 64, 64)

    def ours(count: int) -> Run:
        return lambda o: o(image_embeddings=embedding, points=points[:, :count], labels=labels[:, :count])

    def theirs(count: int) -> Run:
        return lambda t: t(
            image_embeddings=embedding, input_points=points[:, :count], input_labels=labels[:, :count].long()
        )

    return {
        "SAM B, image": (lambda o: o.image_encoder(image), lambda t: t.vision_encoder(image)),
        "SAM B, 1 point": (ours(1), theirs(1)),
        "SAM B, 32 points": (ours(32), theirs(32)),
    }


# -- language ----------------------------------------------------------------------------------------


def written(count: int) -> dict[str, Any]:
    """Settings of transformers for so many tokens."""
    return {
        "max_new_tokens": count,
        "min_new_tokens": count,
        "do_sample": False,
        "pad_token_id": 0,
        "num_beams": 1,
    }


def llama() -> Runs:
    """Prompts and answers of several lengths."""
    tokens = torch.randint(3, 31000, (4, 512))
    return {
        "LLaMA 160 M, prompt of 512, last logits": (
            lambda o: o(tokens[:1], logits_at=LAST),
            lambda t: t(tokens[:1], use_cache=False, logits_to_keep=1),
        ),
        "LLaMA 160 M, prompt of 512, all logits": (
            lambda o: o(tokens[:1]),
            lambda t: t(tokens[:1], use_cache=False),
        ),
        **{
            f"LLaMA 160 M, 64 tokens after 32, batch {n}": (
                lambda o, n=n: o.generate(tokens[:n, :32], 64),
                lambda t, n=n: t.generate(tokens[:n, :32], **written(64)),
            )
            for n in (1, 4)
        },
    }


def llava() -> Runs:
    """A CLIP B/16 before a LLaMA of 160 M: 196 features in a prompt of 236 tokens."""
    image, tokens = torch.randn(1, 3, 224, 224), torch.randint(3, 31000, (1, 236))
    tokens[:, 10:206] = 32000
    features: dict[int, Tensor] = {}

    def kept(o: Any) -> Tensor:
        if id(o) not in features:
            features[id(o)] = o.encode_images(image)
        return features[id(o)]

    def read(t: Any) -> Any:
        return t(input_ids=tokens, pixel_values=image, use_cache=False, logits_to_keep=1)

    return {
        "LLaVA, image and prompt": (lambda o: o(tokens, image, logits_at=LAST), read),
        "LLaVA, another prompt on an image": (
            lambda o: o(tokens, image_features=kept(o), logits_at=LAST),
            read,
        ),
        "LLaVA, 32 tokens": (
            lambda o: o.generate(tokens, image, 32),
            lambda t: t.generate(input_ids=tokens, pixel_values=image, **written(32)),
        ),
    }


LLAMA = {
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
    "tie_word_embeddings": False,
}  # fmt: skip

# -- fusion ------------------------------------------------------------------------------------------

LENGTH, REGIONS, SHAPE = 24, 36, {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}
"""Tokens of a text, regions of an image, and half the width of the published models."""

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


class Batch(NamedTuple):
    """Texts with regions of images; a tenth of the words, all of which are masked, is to be restored."""

    tokens: Tensor
    mask: Tensor
    words: Tensor
    regions: Regions

    @classmethod
    def of(cls, count: int = 8) -> Batch:
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


def bert() -> Runs:
    """Masked words."""
    batch = Batch.of()

    def loss(o: Any) -> Tensor:
        return F.cross_entropy(o(batch.tokens, batch.mask).logits.flatten(0, 1), batch.words.flatten())

    def theirs(t: Any, **given: Tensor) -> Any:
        return t(input_ids=batch.tokens, attention_mask=batch.mask.long(), **given)

    return {
        "BERT, 8 texts": (lambda o: o(batch.tokens, batch.mask), theirs),
        "BERT, training step": (step(loss), step(lambda t: theirs(t, labels=batch.words).loss)),
    }


def visualbert() -> Runs:
    """Masked words and matching, in one stream."""
    batch = Batch.of()
    matched = torch.ones(len(batch.tokens), dtype=torch.bool)
    labels = torch.cat([batch.words, torch.full((len(batch.tokens), REGIONS), IGNORED)], 1)

    def ours(o: Any) -> Any:
        return o(batch.tokens, batch.regions, batch.mask)

    def loss(o: Any) -> Tensor:
        targets = Targets(batch.words, matched, batch.regions, ~batch.regions.mask)
        return sum(o.pretraining_losses(ours(o), targets).values())  # type: ignore[return-value]

    def theirs(t: Any, **given: Tensor) -> Any:
        return t(
            input_ids=batch.tokens, attention_mask=batch.mask.long(), visual_embeds=batch.regions.features,
            visual_attention_mask=batch.regions.mask.long(), **given,
        )  # fmt: skip

    return {
        "VisualBERT, 8 pairs": (ours, theirs),
        "VisualBERT, training step": (
            step(loss),
            step(lambda t: theirs(t, labels=labels, sentence_image_labels=(~matched).long()).loss),
        ),
    }


def lxmert() -> Runs:
    """Answers, by two streams and those that cross."""
    batch = Batch.of()
    answers = torch.randint(0, 3129, (len(batch.tokens),))

    def ours(o: Any) -> Any:
        return o(batch.tokens, batch.regions, batch.mask)

    def theirs(t: Any, **given: Tensor) -> Any:
        return t(
            input_ids=batch.tokens, attention_mask=batch.mask.long(), visual_feats=batch.regions.features,
            visual_pos=batch.regions.boxes, visual_attention_mask=batch.regions.mask.long(), **given,
        )  # fmt: skip

    return {
        "LXMERT, 8 pairs": (ours, theirs),
        "LXMERT, training step": (
            step(lambda o: F.cross_entropy(ours(o).answer_logits, answers)),
            step(lambda t: theirs(t, labels=answers).loss),
        ),
    }


def blip2() -> Runs:
    """Matching and contrast, by an image encoder of six layers."""
    batch = Batch.of()
    images, match = torch.randn(len(batch.tokens), 3, 224, 224), torch.randint(0, 2, (len(batch.tokens),))

    def theirs(t: Any, head: bool) -> Any:
        return t(images, batch.tokens, batch.mask.long(), use_image_text_matching_head=head).logits_per_image

    return {
        "BLIP-2, contrast": (
            lambda o: o.similarity(o.encode_images(images)[1], o.encode_texts(batch.tokens)[1]),
            lambda t: theirs(t, False),
        ),
        "BLIP-2, training step of matching": (
            step(
                lambda o: F.cross_entropy(
                    o.pair_logits(encode_tokens(o.image_encoder, images), batch.tokens), match
                )
            ),
            step(lambda t: F.cross_entropy(theirs(t, True), match)),
        ),
    }


# -- diffusion ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DitCase(Case):
    """A network of diffusers, whose blocks there have copies of what is one here."""

    def save(self, folder: Path) -> None:
        """As `Case.save`."""
        made = self.model(**self.config)
        first = made.transformer_blocks[0].norm1.emb
        for block in made.transformer_blocks[1:]:
            block.norm1.emb.load_state_dict(first.state_dict())
        made.save_pretrained(folder)

    def theirs(self, folder: Path) -> Any:
        """As `Case.theirs`."""
        return self.model.from_pretrained(folder).eval()


def load_dit(folder: Path, precision: str) -> tuple[Any, str]:
    """As `load_ours`."""
    return Dit.from_diffusers(folder).eval(), "float32" if precision == "auto" else ""


def dit() -> Runs:
    """Four images of 32 × 32 latents."""
    images, noise = torch.randn(4, 4, 32, 32), torch.randn(4, 8, 32, 32)
    timesteps, labels = torch.randint(0, 1000, (2, 4))
    return {
        "DiT-S/2, 4 images": (lambda o: o(images, timesteps, labels), lambda t: t(images, timesteps, labels)),
        "DiT-S/2, training step": (
            step(lambda o: diffusion_loss(o(images, timesteps, labels).output, noise).mean()),
            step(lambda t: F.mse_loss(t(images, timesteps, labels).sample, noise)),
        ),
    }


T = transformers
CASES = {
    "clip": Case(T.CLIPModel, T.CLIPConfig(), clip),
    "siglip": Case(T.SiglipModel, T.SiglipConfig(text_config={"eos_token_id": 1, "bos_token_id": 2}), siglip),
    "owlv2": Case(T.Owlv2ForObjectDetection, T.Owlv2Config(vision_config={"image_size": 960, "patch_size": 16}), owlv2),
    "sam": Case(T.SamModel, T.SamConfig(), sam),
    "llama": Case(T.LlamaForCausalLM, T.LlamaConfig(vocab_size=32000, **LLAMA), llama),
    "llava": Case(
        T.LlavaForConditionalGeneration,
        T.LlavaConfig(
            vision_config=T.CLIPVisionConfig(patch_size=16),
            text_config=T.LlamaConfig(vocab_size=32064, **LLAMA),
            image_token_index=32000, image_seq_length=196,
        ),
        llava,
    ),
    "bert": Case(T.BertForMaskedLM, T.BertConfig(num_hidden_layers=6, **SHAPE, **NO_DROPOUT), bert),
    "visualbert": Case(
        T.VisualBertForPreTraining,
        T.VisualBertConfig(num_hidden_layers=6, visual_embedding_dim=2048, pad_token_id=0, **SHAPE, **NO_DROPOUT),
        visualbert,
    ),
    "lxmert": Case(
        T.LxmertForQuestionAnswering,
        T.LxmertConfig(l_layers=4, r_layers=2, x_layers=2, num_qa_labels=3129, **SHAPE, **NO_DROPOUT),
        lxmert,
    ),
    "blip2": Case(
        T.Blip2ForImageTextRetrieval,
        T.Blip2Config(
            vision_config={**SHAPE, "num_hidden_layers": 6, "image_size": 224, "patch_size": 16},
            qformer_config={
                **SHAPE, **NO_DROPOUT, "num_hidden_layers": 4, "use_qformer_text_input": True,
                "encoder_hidden_size": 384,
            },
            num_query_tokens=32,
        ),
        blip2,
    ),
    "dit": DitCase(
        diffusers.DiTTransformer2DModel,
        {"num_attention_heads": 6, "attention_head_dim": 64, "in_channels": 4, "out_channels": 8, "num_layers": 12},
        dit,
        load_dit,
    ),
}  # fmt: skip
