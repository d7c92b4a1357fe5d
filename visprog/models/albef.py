"""ALBEF: image and text are aligned before they are fused (Li et al. 2021, arXiv:2107.07651).

A vision transformer encodes the image, the first half of a BERT the text; a contrastive loss brings the two class
tokens together. The second half of the BERT then reads the text with cross-attention to the image, and learns by two
tasks: does a text match an image, with hard negatives that the contrast finds, and which words are masked.

A slowly moving copy of the model, the teacher, softens the targets of the contrast and of the masked words, since the
captions of the web do not always describe their image (momentum distillation). Its features of earlier batches wait in
a queue as further candidates of the contrast.

The decoder of the paper that ranks answers to questions is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import PretrainedModel
from .bert import (
    IGNORED,
    BertConfig,
    BertEmbeddings,
    MaskedLanguageHead,
    bert_blocks,
    block_keys,
    embedding_keys,
    head_keys,
    init_bert,
    init_std,
    mask_tokens,
)
from .checkpoint.checkpoint import assemble
from .checkpoint.keymap import KeyMap
from .checkpoint.weights import read_state
from .clip.model import whole_patches
from .nn import Attention, Block, ConvStem, Mlp, PatchEmbed, Transformer, hard_negatives, resize_positions

if TYPE_CHECKING:
    from .preprocess.tokenizer import Tokenizer

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.001, 0.5
"""Bounds of the temperature of the contrast."""


@dataclass(frozen=True)
class AlbefImageEncoderConfig:
    """The shape of an image encoder; the defaults are those of the published ViT-B/16.

    Attributes:
        size: side of the square images that the positions are learned for, in pixels.
        patch: side of a patch, in pixels.
        dim, layers, heads, hidden: shape of the blocks.
        stem: as in `clip.model.ImageEncoderConfig`.
    """

    size: int = 256
    patch: int = 16
    dim: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    eps: float = 1e-6
    stem: int | None = None


@dataclass(frozen=True)
class AlbefConfig:
    """The shape of a model; the defaults are the published ones.

    Attributes:
        text_encoder: shape of the BERT; its `layers` are those that read the text alone.
        fusion_layers: number of further layers, which also attend to the image.
        project: width of the space of the contrast.
    """

    image_encoder: AlbefImageEncoderConfig = field(default_factory=AlbefImageEncoderConfig)
    text_encoder: BertConfig = field(default_factory=lambda: BertConfig(layers=6))
    fusion_layers: int = 6
    project: int = 256


class AlbefOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        image_tokens: (batch, 1 + patches, image dim), the class token first.
        image_embeds: (batch, project), rows of length 1.
        text_tokens: (batch, length, dim), after the layers that read the text alone.
        text_embeds: (batch, project), rows of length 1.
        fused_tokens: (batch, length, dim), after the layers that also attend to the image.
        matching_logits: (batch, 2), of not matching and of matching.
        language_logits: (batch, length, vocab), of the word at each position.
    """

    image_tokens: Tensor
    image_embeds: Tensor
    text_tokens: Tensor
    text_embeds: Tensor
    fused_tokens: Tensor
    matching_logits: Tensor
    language_logits: Tensor


class AlbefImageEncoder(nn.Module):
    """A vision transformer with a class token and a norm after its blocks.

    Shapes: (batch, 3, height, width) → (batch, 1 + patches, dim).
    """

    def __init__(self, config: AlbefImageEncoderConfig) -> None:
        super().__init__()
        self.config = c = config
        self.patches: nn.Module = (
            PatchEmbed(c.dim, c.patch) if c.stem is None else ConvStem(c.dim, c.patch, c.stem)
        )
        self.class_token = nn.Parameter(torch.empty(c.dim))
        self.positions = nn.Parameter(torch.empty(1 + (c.size // c.patch) ** 2, c.dim))
        self.blocks = Transformer(
            Block(
                Attention(c.dim, c.heads), Mlp([c.dim, c.hidden, c.dim]), lambda: nn.LayerNorm(c.dim, c.eps)
            )
            for _ in range(c.layers)
        )
        self.norm = nn.LayerNorm(c.dim, c.eps)
        self._init()

    def _init(self) -> None:
        """As in DeiT: matrices, class token and positions from a normal distribution."""
        std = init_std(self.config.dim)
        for parameter in (self.class_token, self.positions):
            nn.init.trunc_normal_(parameter, std=std)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=std)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Encode images. Positions are interpolated if the size is not that of the configuration."""
        images, grid = whole_patches(images, self.config.patch)
        x = self.patches(images)  # (batch, patches, dim)
        positions = torch.cat([self.positions[:1], resize_positions(self.positions[1:], grid)])
        x = torch.cat([self.class_token.expand(len(x), 1, -1).to(x.dtype), x], 1) + positions
        x, _ = self.blocks(x)
        return self.norm(x)


class Albef(PretrainedModel):
    """The model. `temperature` divides the cosines of the contrast.

    Attributes:
        special_tokens: settings that hold ids of further special tokens, and these tokens.
    """

    model_type = "albef"
    config_class = AlbefConfig
    special_tokens: ClassVar[dict[str, str]] = {"mask": "<mask>"}
    config: AlbefConfig

    def __init__(self, config: AlbefConfig) -> None:
        super().__init__(config)
        text, image = config.text_encoder, config.image_encoder
        self.image_encoder = AlbefImageEncoder(image)
        self.text_embeddings = BertEmbeddings(text)
        self.text_blocks = bert_blocks(text)
        self.fusion_blocks = bert_blocks(text, config.fusion_layers, cross=True, context_dim=image.dim)
        self.image_projection = nn.Linear(image.dim, config.project)
        self.text_projection = nn.Linear(text.dim, config.project)
        self.matching_head = nn.Linear(text.dim, 2)
        self.language_head = MaskedLanguageHead(text)
        self.temperature = nn.Parameter(torch.tensor(0.07))
        for part in (self.text_embeddings, self.text_blocks, self.fusion_blocks, self.language_head):
            init_bert(part, init_std(text.dim))

    def encode_images(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`image_tokens` and `image_embeds` of images (batch, 3, height, width)."""
        tokens = self.image_encoder(images)
        return tokens, F.normalize(self.image_projection(tokens[:, 0]), dim=-1)

    def encode_texts(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """`text_tokens` and `text_embeds` of texts, ids (batch, length)."""
        x, _ = self.text_blocks(self.text_embeddings(tokens), mask=self._real(tokens))
        return x, F.normalize(self.text_projection(x[:, 0]), dim=-1)

    def fuse(self, tokens: Tensor, text_tokens: Tensor, image_tokens: Tensor) -> Tensor:
        """`fused_tokens` of pairs of a text and an image.

        Args:
            tokens: ids (batch, length).
            text_tokens: (batch, length, dim), of the same texts.
            image_tokens: (batch, 1 + patches, image dim).
        """
        x, _ = self.fusion_blocks(text_tokens, mask=self._real(tokens), context=image_tokens)
        return x

    def forward(self, images: Tensor, tokens: Tensor) -> AlbefOutput:
        """Read pairs of an image and a text.

        Args:
            images: (batch, 3, height, width).
            tokens: ids (batch, length), from the start token on, padded on the right; some perhaps masked.
        """
        image_tokens, image_embeds = self.encode_images(images)
        text_tokens, text_embeds = self.encode_texts(tokens)
        fused = self.fuse(tokens, text_tokens, image_tokens)
        return AlbefOutput(
            image_tokens, image_embeds, text_tokens, text_embeds, fused,
            self.matching_head(fused[:, 0]), self._words(fused),
        )  # fmt: skip

    def similarity(self, image_embeds: Tensor, text_embeds: Tensor) -> Tensor:
        """Cosines of images (n, project) and texts (m, project): (n, m)."""
        return image_embeds @ text_embeds.T

    def matching_logits(self, image_tokens: Tensor, tokens: Tensor) -> Tensor:
        """Logarithm of the odds that texts match images, (batch,).

        Args:
            image_tokens: (batch, 1 + patches, image dim), of `encode_images`.
            tokens: ids (batch, length).
        """
        fused = self.fuse(tokens, self.encode_texts(tokens)[0], image_tokens)
        against, match = self.matching_head(fused[:, 0]).unbind(1)
        return match - against

    def match(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Probabilities (batch,) that texts, ids (batch, length), match images (batch, 3, height, width)."""
        return self.matching_logits(self.encode_images(images)[0], tokens).sigmoid()

    def restored_words(self, masked: Tensor, chosen: Tensor, image_tokens: Tensor) -> Tensor:
        """Logits of masked words, (chosen, vocab).

        Args:
            masked: ids (batch, length), some of them masked.
            chosen: bool (batch, length), which words are restored.
            image_tokens: (batch, 1 + patches, image dim).
        """
        text_tokens, _ = self.encode_texts(masked)
        return self._words(self.fuse(masked, text_tokens, image_tokens)[chosen])

    def losses(
        self,
        images: Tensor,
        tokens: Tensor,
        related: Tensor,
        pairs: Tensor,
        *,
        gather: Callable[[Tensor], Tensor] = lambda rows: rows,
        teacher: AlbefTeacher | None = None,
    ) -> dict[str, Tensor]:
        """The three losses of n pairs; there are N in all processes.

        Args:
            images: (n, 3, height, width).
            tokens: ids (n, length); pair i belongs together.
            related: bool (N, N), which texts (columns) are right for which images (rows), those of this process first.
            pairs: (n, 2), numbers of images and of texts, equal for equal ones.
            gather: gives the rows of all processes, those of this one first.
            teacher: softens the targets, and remembers further candidates of the contrast.

        Returns:
            "contrast", "matching" and "language"; published is their plain sum.
        """
        n, text = len(images), self.config.text_encoder
        with torch.no_grad():
            self.temperature.clamp_(MIN_TEMPERATURE, MAX_TEMPERATURE)
        masked, labels = mask_tokens(tokens, tokens.new_tensor([text.pad, text.start]), text.mask, text.vocab)
        chosen = labels != IGNORED
        image_tokens, image_embeds = self.encode_images(images)
        text_tokens, text_embeds = self.encode_texts(tokens)
        if teacher is None:
            lesson = Lesson(gather(image_embeds), gather(text_embeds), related.new_zeros(n, 0))
        else:
            lesson = teacher(images, tokens, masked, chosen, pairs, self.temperature, gather)

        to_texts = image_embeds @ lesson.texts.T / self.temperature  # (n, N + queue)
        to_images = text_embeds @ lesson.images.T / self.temperature
        right_texts = torch.cat([related[:n], lesson.repeated], 1)
        right_images = torch.cat([related[:, :n].T, lesson.repeated], 1)
        contrast = (
            distilled_loss(to_texts, spread(right_texts), lesson.to_texts, lesson.alpha)
            + distilled_loss(to_images, spread(right_images), lesson.to_images, lesson.alpha)
        ) / 2

        of_text, false_image = hard_negatives(to_images[:, :n], related[:n, :n].T)
        of_image, false_text = hard_negatives(to_texts[:, :n], related[:n, :n])
        own = torch.arange(n, device=images.device)
        t, i = torch.cat([own, of_text, false_text]), torch.cat([own, false_image, of_image])
        fused = self.fuse(tokens[t], text_tokens[t], image_tokens[i])  # n true pairs, 2 n false ones
        matches = (torch.arange(len(t), device=images.device) < n).long()
        matching = F.cross_entropy(self.matching_head(fused[:, 0]), matches)

        words = self.restored_words(masked, chosen, image_tokens)
        language = distilled_loss(words, labels[chosen], lesson.words, lesson.alpha)
        return {"contrast": contrast, "matching": matching, "language": language}

    def new_teacher(self, config: Distillation) -> AlbefTeacher:
        """A teacher that begins as this model is."""
        return AlbefTeacher(self, config)

    @classmethod
    def from_albef(cls, file: str | Path, *, dtype: str | torch.dtype = "float32") -> Albef:
        """Load a checkpoint of the authors' pre-training, such as `ALBEF.pth`.

        The sizes of the model follow from the shapes of its weights. Of a pickled file only tensors are read, never
        objects. Momentum copies and queues are left out.

        Args:
            file: a `.pth` or `.safetensors` file.
            dtype: as `from_pretrained`.

        Raises:
            ValueError: the file is missing, damaged, or holds other weights.
        """
        state = read_state(Path(file))
        config = authors_config(state, file)
        return assemble(lambda: cls(config), state, file, dtype, lambda s: from_authors(s, config))

    def _real(self, tokens: Tensor) -> Tensor:
        """The attention mask of texts, bool (batch, 1, 1, length)."""
        return (tokens != self.config.text_encoder.pad)[:, None, None]

    def _words(self, fused: Tensor) -> Tensor:
        return self.language_head(fused, self.text_embeddings.words.weight)


# -- momentum distillation -----------------------------------------------------------------------------


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
        model: what it copies.
        config: how it follows.
    """

    image_queue: Tensor
    text_queue: Tensor
    pair_queue: Tensor
    written: Tensor
    step: Tensor

    def __init__(self, model: Albef, config: Distillation) -> None:
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
    def update(self, model: Albef) -> None:
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


# -- published sizes, with fresh weights ---------------------------------------------------------------


def albef_base() -> Albef:
    """ALBEF of the paper (210 M parameters), with fresh weights."""
    return Albef(AlbefConfig())


# -- the authors' checkpoints --------------------------------------------------------------------------

HEAD_DIM = 64
"""Width of an attention head in the authors' checkpoints, which do not say it."""

SIGNS, DASHES = "[,.'!?\"()*#:;~]", "[-/]"
"""Signs that the authors leave out of captions, and those that they replace by a space."""

TRAINING = re.compile(
    r"(visual_encoder|vision_proj|text_encoder|text_proj)_m\..*|(image|text|idx)_queue|queue_ptr"
)
"""Names of momentum copies and queues."""


def authors_config(state: Mapping[str, Tensor], source: str | Path) -> AlbefConfig:
    """The configuration, from the shapes of the authors' weights.

    Raises:
        ValueError: the weights are not those of a pre-trained ALBEF.
    """

    def shape(key: str) -> tuple[int, ...]:
        return tuple(state[key].shape)

    def count(prefix: str, last: str) -> int:
        """Number of numbered parts under a prefix that have a certain weight."""
        return sum(key.startswith(prefix) and key.endswith(last) for key in state)

    text, layers = "text_encoder.bert.", "text_encoder.bert.encoder.layer."
    try:
        dim, _, _, patch = shape("visual_encoder.patch_embed.proj.weight")
        side = math.isqrt(shape("visual_encoder.pos_embed")[1] - 1)
        vocab, width = shape(f"{text}embeddings.word_embeddings.weight")
        fusion = count(layers, ".crossattention.self.query.weight")
        return AlbefConfig(
            AlbefImageEncoderConfig(
                side * patch, patch, dim, count("visual_encoder.blocks.", ".norm1.weight"), dim // HEAD_DIM,
                shape("visual_encoder.blocks.0.mlp.fc1.weight")[0],
            ),
            BertConfig(
                vocab, shape(f"{text}embeddings.position_embeddings.weight")[0],
                shape(f"{text}embeddings.token_type_embeddings.weight")[0], width,
                count(layers, ".attention.self.query.weight") - fusion, width // HEAD_DIM,
                shape(f"{layers}0.intermediate.dense.weight")[0],
            ),
            fusion,
            shape("text_proj.weight")[0],
        )  # fmt: skip
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(
            f"{source} is no checkpoint of the pre-training of ALBEF: it lacks {error}"
        ) from None


def authors_tokenizer(source: str | Path, length: int = 30) -> Tokenizer:
    """BERT's word pieces of captions that are cleaned as the authors do.

    Args:
        source: folder or hub id of the tokenizer of bert-base-uncased.
        length: greatest number of tokens of a text.

    Raises:
        ValueError: there is no tokenizer.
    """
    from tokenizers import Regex, normalizers

    from .preprocess.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_pretrained(source, length=length)
    signs, dashes = normalizers.Replace(Regex(SIGNS), ""), normalizers.Replace(Regex(DASHES), " ")
    tokenizer.backend.normalizer = normalizers.Sequence([signs, dashes, tokenizer.backend.normalizer])
    return tokenizer


def from_authors(state: Mapping[str, Tensor], config: AlbefConfig) -> dict[str, Tensor]:
    """The authors' weights under our names."""
    found = {key: value for key, value in state.items() if not TRAINING.fullmatch(key)}
    found = authors_keys(config).to_ours(found)
    for name, axes in EXTRA_AXES.items():
        found |= {key: value.flatten(0, axes) for key, value in found.items() if key == name}
    return found


def to_authors(state: Mapping[str, Tensor], config: AlbefConfig) -> dict[str, Tensor]:
    """Our weights under the authors' names."""
    state = {
        key: value[(None,) * EXTRA_AXES[key]] if key in EXTRA_AXES else value for key, value in state.items()
    }
    return authors_keys(config).to_theirs(state)


EXTRA_AXES = {"image_encoder.class_token": 2, "image_encoder.positions": 1}
"""Weights that have axes of length 1 in front in the authors' checkpoints, and the number of these."""


def authors_keys(config: AlbefConfig) -> KeyMap:
    """The authors' layout; their BERT numbers the layers of both halves together."""
    first, fusion = config.text_encoder.layers, config.fusion_layers
    bert, image = "text_encoder.bert.", ("visual_encoder.blocks.{}.", "image_encoder.blocks.{}.")
    parts = {
        "norm1.{}": "attention_norm.{}",
        "attn.proj.{}": "attention.out.{}",
        "norm2.{}": "mlp_norm.{}",
        "mlp.fc1.{}": "mlp.layers.0.{}",
        "mlp.fc2.{}": "mlp.layers.1.{}",
    }
    layers = [
        *(f"text_blocks.{i}." for i in range(first)),
        *(f"fusion_blocks.{i}." for i in range(fusion)),
    ]
    return KeyMap(
        [
            ("visual_encoder.cls_token", "image_encoder.class_token"),
            ("visual_encoder.pos_embed", "image_encoder.positions"),
            ("visual_encoder.patch_embed.proj.{}", "image_encoder.patches.projection.{}"),
            (f"{image[0]}attn.qkv.{{}}", tuple(f"{image[1]}attention.{name}.{{}}" for name in "qkv")),
            *((image[0] + theirs, image[1] + ours) for theirs, ours in parts.items()),
            ("visual_encoder.norm.{}", "image_encoder.norm.{}"),
            *embedding_keys(f"{bert}embeddings.", "text_embeddings."),
            *(
                pair
                for i, ours in enumerate(layers)
                for pair in block_keys(f"{bert}encoder.layer.{i}.", ours)
            ),
            *head_keys("text_encoder.cls.predictions.", "language_head."),
            ("vision_proj.{}", "image_projection.{}"),
            ("text_proj.{}", "text_projection.{}"),
            ("itm_head.{}", "matching_head.{}"),
            ("temp", "temperature"),
        ],
        ignored=(f"{bert}embeddings.position_ids", "text_encoder.cls.predictions.decoder.{}"),
    )
