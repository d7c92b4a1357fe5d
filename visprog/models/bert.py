"""BERT: an encoder of text that sees both sides of every word (Devlin et al. 2019, arXiv:1810.04805).

It learns by restoring masked words. The fusion models build on its parts: `BertEmbeddings`, `bert_blocks` (also with
cross-attention to another modality), `Pooler` and `MaskedLanguageHead`. The second task of the paper, whether one
sentence follows another, is left out: later work found that it does not help (Liu et al. 2019, arXiv:1907.11692).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import PretrainedModel, Rename
from .checkpoint.hub_config import check_keys
from .checkpoint.keymap import KeyMap
from .nn import Attention, Block, Mlp, Transformer, activation

IGNORED = -100
"""Label of a token that is not predicted."""


@dataclass(frozen=True)
class BertConfig:
    """The shape of an encoder; the defaults are those of bert-base-uncased.

    Attributes:
        vocab: number of token ids.
        length: greatest number of tokens of a text.
        types: number of token types (first sentence, second sentence, or another modality).
        dim, layers, heads, hidden: shape of the blocks.
        activation: of the feed-forward layers.
        dropout: rate of embeddings, attention weights and branches in training.
        pad: id of the token that fills shorter texts.
        eps: epsilon of the norms.
        start: id of the token that every text begins with.
        mask: id of the token that stands for a hidden word.
    """

    vocab: int = 30522
    length: int = 512
    types: int = 2
    dim: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    activation: str = "gelu"
    dropout: float = 0.1
    pad: int = 0
    eps: float = 1e-12
    start: int = 101
    mask: int = 103

    @classmethod
    def from_hub(cls, raw: Mapping[str, Any], *further: str) -> Self:
        """From the `config.json` of a public checkpoint.

        Args:
            further: settings that the caller reads.

        Raises:
            ValueError: it asks for what is not implemented.
        """
        check_keys(raw, (*HUB_NAMES, *FIXED, *further))
        for key, value in FIXED.items():
            if raw.get(key, value) != value:
                raise ValueError(f"config.json has {key} = {raw[key]!r}; only {value!r} is implemented here")
        found = {ours: raw[theirs] for theirs, ours in HUB_NAMES.items() if raw.get(theirs) is not None}
        return cls(**found)


class BertOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        embeddings: (batch, length, dim), the sum of word, position and type, normalised.
        hidden: outputs of all blocks, if collected.
        tokens: (batch, length, dim), after the last block.
        logits: (batch, length, vocab), of the word at each position.
    """

    embeddings: Tensor
    hidden: list[Tensor]
    tokens: Tensor
    logits: Tensor


class BertEmbeddings(nn.Module):
    """Words, their positions and their types, added and normalised.

    Shapes: ids (batch, length) → (batch, length, dim).
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = c = config
        self.words = nn.Embedding(c.vocab, c.dim, c.pad)
        self.positions = nn.Embedding(c.length, c.dim)
        self.types = nn.Embedding(c.types, c.dim)
        self.norm = nn.LayerNorm(c.dim, c.eps)
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, tokens: Tensor, types: Tensor | None = None) -> Tensor:
        """Embed tokens.

        Args:
            tokens: ids (batch, length).
            types: ids (batch, length); 0 if not given.

        Raises:
            ValueError: the texts are longer than the configuration's `length`.
        """
        self.check_length(tokens)
        kinds = self.types.weight[0] if types is None else self.types(types)
        return self.dropout(self.norm(self.words(tokens) + kinds + self.positions.weight[: tokens.shape[1]]))

    def check_length(self, tokens: Tensor) -> None:
        """Refuse texts (batch, length) that are longer than the configuration's `length`.

        Raises:
            ValueError: they are.
        """
        if tokens.shape[1] > self.config.length:
            raise ValueError(f"a text has {tokens.shape[1]} tokens, {self.config.length} are the most")


class Pooler(nn.Module):
    """The first token through a layer of its own: (batch, length, dim) → (batch, dim)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layer = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.layer(tokens[:, 0]).tanh()


class HeadTransform(nn.Module):
    """What heads begin with: a layer of their own, its activation and a norm, (…, dim) → (…, dim)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.Linear(config.dim, config.dim)
        self.activation = activation(config.activation)
        self.norm = nn.LayerNorm(config.dim, config.eps)

    def transform(self, tokens: Tensor) -> Tensor:
        """Tokens (…, dim) → (…, dim)."""
        transformed: Tensor = self.norm(self.activation(self.layer(tokens)))
        return transformed


class MaskedLanguageHead(HeadTransform):
    """Logits of the word at each position; the last layer shares its matrix with the embeddings of the words.

    Shapes: (…, dim) → (…, vocab).
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab))

    def forward(self, tokens: Tensor, words: Tensor) -> Tensor:
        """Logits of words.

        Args:
            tokens: (…, dim).
            words: (vocab, dim), the embeddings of all words.
        """
        return F.linear(self.transform(tokens), words, self.bias)


class Bert(PretrainedModel):
    """The encoder with its head for masked words."""

    model_type = "bert"
    config_class = BertConfig
    config: BertConfig

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.embeddings = BertEmbeddings(config)
        self.blocks = bert_blocks(config)
        self.head = MaskedLanguageHead(config)
        init_bert(self)

    def forward(
        self, tokens: Tensor, mask: Tensor | None = None, types: Tensor | None = None, collect: bool = False
    ) -> BertOutput:
        """Encode texts, and predict the word at each position.

        Args:
            tokens: ids (batch, length).
            mask: bool (batch, length), True for real tokens; None if all are real.
            types: ids (batch, length); 0 if not given.
            collect: whether to keep the outputs of all blocks.
        """
        embeddings = self.embeddings(tokens, types)
        x, hidden = self.blocks(
            embeddings, mask=None if mask is None else mask[:, None, None], collect=collect
        )
        return BertOutput(embeddings, hidden, x, self.head(x, self.embeddings.words.weight))

    @classmethod
    def from_public(cls, raw: Mapping[str, Any]) -> tuple[BertConfig, Rename]:
        """The configuration and the names of weights of a `BertForMaskedLM` or `BertForPreTraining`."""
        return BertConfig.from_hub(raw), KEYS.to_ours


def bert_base() -> Bert:
    """BERT-base, uncased (110 M parameters)."""
    return Bert(BertConfig())


def bert_large() -> Bert:
    """BERT-large, uncased (335 M parameters)."""
    return Bert(BertConfig(dim=1024, layers=24, heads=16, hidden=4096))


# -- parts that the fusion models share ----------------------------------------------------------------


def bert_block(config: BertConfig, *, cross: bool = False, context_dim: int | None = None) -> Block:
    """One block, post-norm.

    Args:
        config: its shape.
        cross: whether it also attends to a context, after itself.
        context_dim: width of the context; `dim` if not given.
    """
    c = config
    return Block(
        Attention(c.dim, c.heads, dropout=c.dropout),
        Mlp([c.dim, c.hidden, c.dim], activation(c.activation)),
        lambda: nn.LayerNorm(c.dim, c.eps),
        Attention(c.dim, c.heads, kv_dim=context_dim, dropout=c.dropout) if cross else None,
        post_norm=True,
        dropout=c.dropout,
    )


def bert_blocks(config: BertConfig, layers: int | None = None, **options: Any) -> Transformer:
    """A stack of `layers` blocks, as many as the configuration's if not given; options as `bert_block`."""
    return Transformer(
        bert_block(config, **options) for _ in range(config.layers if layers is None else layers)
    )


def init_bert(model: nn.Module, std: float = 0.02) -> None:
    """Weights from a normal distribution, biases 0, norms 1, as published; of parts that are trained before,
    initialise only the rest."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=std)
            if module.padding_idx is not None:
                module.weight.data[module.padding_idx].zero_()


def init_std(dim: int) -> float:
    """Standard deviation of fresh weights: the published 0.02 for the published width, more for narrow models, whose
    blocks would change little else."""
    return 0.02 * math.sqrt(768 / dim)


def mask_tokens(
    tokens: Tensor,
    special: Tensor,
    mask_id: int,
    vocab: int,
    *,
    share: float = 0.15,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Tokens to restore: of those chosen 80 % become the mask, 10 % a random token, and 10 % stay (Devlin et al. 2019,
    section 3.1).

    Args:
        tokens: ids (batch, length).
        special: ids that are never chosen, such as padding, start and end, (n,).
        mask_id: id of the mask.
        vocab: number of token ids.
        share: probability that a token is chosen.
        generator: of the random numbers; torch's own if not given.

    Returns:
        The changed ids and the labels, `IGNORED` for tokens that were not chosen, both (batch, length).
    """
    draw = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    fate = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    random = torch.randint(vocab, tokens.shape, generator=generator, device=tokens.device)
    chosen = (draw < share) & ~torch.isin(tokens, special)
    changed = torch.where(fate < 0.8, mask_id, torch.where(fate < 0.9, random, tokens))
    return torch.where(chosen, changed, tokens), tokens.masked_fill(~chosen, IGNORED)


def masked_language_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the chosen tokens; 0 if there are none.

    Args:
        logits: (batch, length, vocab).
        labels: (batch, length), `IGNORED` for tokens that do not count.
    """
    total = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED, reduction="sum")
    return total / (labels != IGNORED).sum().clamp(min=1)


# -- public checkpoints --------------------------------------------------------------------------------

HUB_NAMES = {
    "vocab_size": "vocab",
    "max_position_embeddings": "length",
    "type_vocab_size": "types",
    "hidden_size": "dim",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "hidden",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "pad_token_id": "pad",
    "layer_norm_eps": "eps",
}
"""Names in the `config.json` of BERT checkpoints → names here."""

FIXED = {"position_embedding_type": "absolute", "tie_word_embeddings": True, "classifier_dropout": None}
"""Settings that have one value here. `attention_probs_dropout_prob` is taken to be `hidden_dropout_prob`."""


def embedding_keys(theirs: str, ours: str) -> list[tuple[str, str]]:
    """Key pairs of the embeddings."""
    return [
        (f"{theirs}word_embeddings.weight", f"{ours}words.weight"),
        (f"{theirs}position_embeddings.weight", f"{ours}positions.weight"),
        (f"{theirs}token_type_embeddings.weight", f"{ours}types.weight"),
        (f"{theirs}LayerNorm.{{}}", f"{ours}norm.{{}}"),
    ]


def attention_keys(theirs: str, ours: str, norm: str, inner: str = "self") -> list[tuple[str, str]]:
    """Key pairs of one attention and of the norm after it; `theirs` ends before `inner` and "output"."""
    names = {"query": "q", "key": "k", "value": "v"}
    return [
        *((f"{theirs}{inner}.{a}.{{}}", f"{ours}.{b}.{{}}") for a, b in names.items()),
        (f"{theirs}output.dense.{{}}", f"{ours}.out.{{}}"),
        (f"{theirs}output.LayerNorm.{{}}", f"{norm}.{{}}"),
    ]


def block_keys(theirs: str, ours: str) -> list[tuple[str, str]]:
    """Key pairs of blocks, cross-attention included; both prefixes end in a dot."""
    return [
        *attention_keys(f"{theirs}attention.", f"{ours}attention", f"{ours}attention_norm"),
        *attention_keys(f"{theirs}crossattention.", f"{ours}cross", f"{ours}cross_norm"),
        (f"{theirs}intermediate.dense.{{}}", f"{ours}mlp.layers.0.{{}}"),
        (f"{theirs}output.dense.{{}}", f"{ours}mlp.layers.1.{{}}"),
        (f"{theirs}output.LayerNorm.{{}}", f"{ours}mlp_norm.{{}}"),
    ]


def transform_keys(theirs: str, ours: str) -> list[tuple[str, str]]:
    """Key pairs of a `HeadTransform`."""
    return [
        (f"{theirs}transform.dense.{{}}", f"{ours}layer.{{}}"),
        (f"{theirs}transform.LayerNorm.{{}}", f"{ours}norm.{{}}"),
    ]


def head_keys(theirs: str, ours: str) -> list[tuple[str, str]]:
    """Key pairs of the head for masked words."""
    return [*transform_keys(theirs, ours), (f"{theirs}bias", f"{ours}bias")]


KEYS = KeyMap(
    [
        *embedding_keys("bert.embeddings.", "embeddings."),
        *block_keys("bert.encoder.layer.{}.", "blocks.{}."),
        *head_keys("cls.predictions.", "head."),
    ],
    ignored=(
        "bert.embeddings.position_ids",
        "bert.pooler.dense.{}",
        "cls.predictions.decoder.{}",
        "cls.seq_relationship.{}",
    ),
)
"""`BertForMaskedLM` and `BertForPreTraining` ↔ `Bert`; the part for following sentences is left out."""
