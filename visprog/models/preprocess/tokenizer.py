"""Texts to token ids and back, over the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend
from torch import Tensor

from visprog.files.plain_text import read_json, read_text

from ..checkpoint.hub import locate

PAD, START, END, UNKNOWN = SPECIAL = ("<pad>", "<start>", "<end>", "<unk>")
"""The special tokens of tokenizers that are made here, with ids 0 to 3."""

CLIP_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""What CLIP's byte-pair encoding takes for one word (Radford et al. 2021)."""


class TextBatch(NamedTuple):
    """Texts as tokens.

    Attributes:
        ids: (batch, length).
        mask: bool (batch, length), True for real tokens.
    """

    ids: Tensor
    mask: Tensor


class Tokenizer:
    """Texts to token ids; call it with texts to get one `TextBatch`.

    Args:
        backend: tokenizer of the `tokenizers` library. How it pads and truncates is part of its file.
        clean: function that every text passes through first.
    """

    def __init__(self, backend: Backend, clean: Callable[[str], str] | None = None) -> None:
        self.backend, self.clean = backend, clean

    def __call__(self, texts: Sequence[str], special: bool = True) -> TextBatch:
        """Ids of texts, padded to the longest (or to the full length if the tokenizer says so), cut at its length.

        Args:
            texts: any number of them.
            special: whether to add start and end tokens, if the tokenizer has them.
        """
        clean = [self.clean(text) for text in texts] if self.clean else list(texts)
        encoded = self.backend.encode_batch_fast(clean, add_special_tokens=special)
        ids = torch.tensor([e.ids for e in encoded], dtype=torch.long)
        return TextBatch(ids, torch.tensor([e.attention_mask for e in encoded], dtype=torch.bool))

    def __len__(self) -> int:
        """Number of ids."""
        return int(self.backend.get_vocab_size())

    def id(self, token: str) -> int:
        """The id of one token.

        Raises:
            ValueError: there is no such token.
        """
        found = self.backend.token_to_id(token)
        if found is None:
            raise ValueError(f"the tokenizer has no token '{token}'")
        return int(found)

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """The text of one sequence of ids (length), without special tokens."""
        text = str(self.backend.decode(list(map(int, ids))))
        suffix = getattr(self.backend.model, "end_of_word_suffix", None)
        return text.replace(suffix, " ").strip() if suffix else text

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `tokenizer.json`."""
        self.backend.save(str(Path(folder) / "tokenizer.json"))

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        length: int | None = None,
        full: bool = False,
        side: str | None = None,
        clean: Callable[[str], str] | None = None,
    ) -> Tokenizer:
        """Load what `save_pretrained` wrote, or the tokenizer of a public checkpoint: `tokenizer.json`, or CLIP's
        `vocab.json` with `merges.txt`, or BERT's `vocab.txt`. Settings that are not given come from
        `tokenizer.json`, then from `tokenizer_config.json`.

        Args:
            source: a folder, the name of a bundled model, or a hub id.
            length: greatest number of tokens of a text.
            full: whether to pad every text to `length`.
            side: side of the padding, "right" or "left".
            clean: as in the constructor.

        Raises:
            ValueError: the folder holds no tokenizer of these kinds.
        """
        folder = locate(source)
        settings: dict[str, Any] = {}
        for name in ("special_tokens_map.json", "tokenizer_config.json"):
            if (folder / name).is_file():
                settings |= read_json(folder / name)
        if (folder / "tokenizer.json").is_file():
            backend = Backend.from_str(read_text(folder / "tokenizer.json"))
        elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
            backend = _clip_backend(folder)
        elif (folder / "vocab.txt").is_file():
            backend = _bert_backend(folder, bool(settings.get("do_lower_case", True)))
        else:
            raise ValueError(
                f"{folder} holds no tokenizer: neither tokenizer.json, nor vocab.json and merges.txt, nor vocab.txt"
            )
        length = length or (backend.truncation or {}).get("max_length") or settings.get("model_max_length")
        if length is not None and length < 1_000_000:  # larger ones mean that there is no limit
            backend.enable_truncation(int(length))
        padding = backend.padding or {}
        token = str(
            padding.get("pad_token")
            or _token(settings, "pad_token")
            or _token(settings, "eos_token")
            or backend.id_to_token(0)
        )
        backend.enable_padding(
            direction=side or padding.get("direction") or settings.get("padding_side", "right"),
            pad_id=backend.token_to_id(token),
            pad_token=token,
            length=int(length) if full and length else padding.get("length"),
        )
        return cls(backend, clean)


def word_tokenizer(texts: Iterable[str], length: int | None, special: Sequence[str] = ()) -> Tokenizer:
    """A tokenizer whose tokens are the words and signs that occur in texts, lower-cased.

    Args:
        length: greatest number of tokens of a text, start and end included; None if texts may be of any length.
        special: further tokens, such as "<image>", after the usual four.
    """
    splitter = pre_tokenizers.Whitespace()
    words = sorted({word for text in texts for word, _ in splitter.pre_tokenize_str(text.lower())})
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys((*SPECIAL, *special, *words)))}
    backend = Backend(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    backend.normalizer, backend.pre_tokenizer = normalizers.Lowercase(), splitter
    return _finish(backend, length, special)


def bpe_tokenizer(texts: Iterable[str], vocab: int, length: int, special: Sequence[str] = ()) -> Tokenizer:
    """A byte-pair encoding learned from texts, lower-cased: no word is unknown to it. Arguments as
    `word_tokenizer`; `vocab` tokens at most."""
    backend = Backend(models.BPE(unk_token=UNKNOWN))
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[*SPECIAL, *special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.normalizer, backend.pre_tokenizer = normalizers.Lowercase(), splitter
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(texts, trainer)
    return _finish(backend, length, special)


def wordpiece_tokenizer(
    texts: Iterable[str], vocab: int, length: int, special: Sequence[str] = ()
) -> Tokenizer:
    """Pieces of words learned from texts, lower-cased, as BERT reads them; a word with an unknown letter is unknown.
    Arguments as `bpe_tokenizer`."""
    backend = Backend(models.WordPiece(unk_token=UNKNOWN))
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab, special_tokens=[*SPECIAL, *special], show_progress=False
    )
    backend.normalizer, backend.pre_tokenizer = (
        normalizers.BertNormalizer(),
        pre_tokenizers.BertPreTokenizer(),
    )
    backend.decoder = decoders.WordPiece()
    backend.train_from_iterator(texts, trainer)
    return _finish(backend, length, special)


def _finish(backend: Backend, length: int | None, special: Sequence[str]) -> Tokenizer:
    backend.add_special_tokens([*SPECIAL, *special])
    ends = [(token, backend.token_to_id(token)) for token in (START, END)]
    backend.post_processor = processors.TemplateProcessing(f"{START} $A {END}", special_tokens=ends)
    if length is not None:
        backend.enable_truncation(length)
    backend.enable_padding(pad_id=backend.token_to_id(PAD), pad_token=PAD)
    return Tokenizer(backend)


def _clip_backend(folder: Path) -> Backend:
    lines = read_text(folder / "merges.txt").split("\n")
    pairs = [line.split() for line in lines if line and not line.startswith("#version")]
    vocabulary = read_json(folder / "vocab.json")
    start, end = "<|startoftext|>", "<|endoftext|>"
    backend = Backend(
        models.BPE(
            vocab=vocabulary,
            merges=[(first, second) for first, second in pairs],
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            fuse_unk=False,
            unk_token=end,
        )
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([start, end])
    backend.enable_padding(pad_id=vocabulary[end], pad_token=end)
    backend.post_processor = processors.RobertaProcessing(
        (end, vocabulary[end]), (start, vocabulary[start]), trim_offsets=False, add_prefix_space=False
    )
    return backend


def _bert_backend(folder: Path, lowercase: bool) -> Backend:
    lines = read_text(folder / "vocab.txt").splitlines()
    vocabulary = {token: i for i, token in enumerate(lines)}
    backend = Backend(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    if missing := [token for token in special if token not in vocabulary]:
        raise ValueError(f"{folder / 'vocab.txt'} lacks {', '.join(missing)}: it is no vocabulary of a BERT")
    backend.add_special_tokens(list(special))
    backend.enable_padding(pad_id=vocabulary["[PAD]"], pad_token="[PAD]")
    backend.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    return backend


def _token(settings: dict[str, Any], name: str) -> str | None:
    """A special token of `tokenizer_config.json`, which is a string or an object."""
    value = settings.get(name)
    return value.get("content") if isinstance(value, dict) else value
