"""Token ids as transformers gives them, and the small tokenizers of our own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from visprog.models.preprocess.tokenizer import Tokenizer, bpe_tokenizer, word_tokenizer  # noqa: E402

TEXTS = ["A photo of a cat.", "it's  2 o'clock,\tnaïve café!", "", "low lower lowest " * 9]


def write_clip_vocabulary(folder: Path) -> None:
    """A byte-pair vocabulary in CLIP's two files: bytes, bytes that end a word, and a few merges."""
    from tokenizers.pre_tokenizers import ByteLevel

    signs = sorted(ByteLevel.alphabet())
    merges = [("l", "o"), ("lo", "w</w>"), ("lo", "w"), ("c", "a"), ("ca", "t</w>"), ("p", "h")]
    words = signs + [s + "</w>" for s in signs] + ["".join(m) for m in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))


@pytest.mark.parametrize("files", ["vocab.json", "tokenizer.json"])
def test_clip_tokens_are_those_of_transformers(files: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    write_clip_vocabulary(tmp_path)
    theirs = transformers.CLIPTokenizer.from_pretrained(tmp_path, model_max_length=20)
    theirs.save_pretrained(tmp_path / "saved")
    if files == "vocab.json":
        ours = Tokenizer.from_pretrained(tmp_path, length=20)
    else:
        ours = Tokenizer.from_pretrained(tmp_path / "saved")
    want = theirs(TEXTS, padding=True, truncation=True, return_tensors="pt")
    have = ours(TEXTS)
    assert torch.equal(have.ids, want["input_ids"])
    assert torch.equal(have.mask, want["attention_mask"].bool())
    whole = Tokenizer.from_pretrained(tmp_path, length=33, full=True)(TEXTS[:1])
    want = theirs(TEXTS[:1], padding="max_length", max_length=33, return_tensors="pt")
    assert torch.equal(whole.ids, want["input_ids"])
    assert ours.decode(have.ids[0]).strip() == "a photo of a cat ."


def test_padding_can_go_to_the_left(tmp_path: Path) -> None:
    word_tokenizer(["a b c"], 8).save_pretrained(tmp_path)
    batch = Tokenizer.from_pretrained(tmp_path, side="left")(["a", "a b c"])
    assert batch.mask.tolist() == [[False, False, True, True, True], [True] * 5]
    assert batch.ids[0].tolist()[:2] == [0, 0]


def test_words_are_tokens(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(["A red circle, left of it.", "a blue circle"], 7, special=["<image>"])
    batch = tokenizer(["a red zebra", "a <image> blue circle left of it"])
    assert batch.ids[0].tolist() == [1, tokenizer.id("a"), tokenizer.id("red"), 3, 2, 0, 0]
    assert batch.ids[1].tolist()[2] == tokenizer.id("<image>") == 4
    assert len(batch.ids[1]) == 7 and batch.ids[1, -1] == tokenizer.id("<end>")
    assert tokenizer.decode(batch.ids[0]) == "a red"
    tokenizer.save_pretrained(tmp_path)
    assert torch.equal(
        Tokenizer.from_pretrained(tmp_path)(["a red circle"]).ids, tokenizer(["a red circle"]).ids
    )
    assert word_tokenizer(["a b"], 5)(["b a"], special=False).ids.tolist() == [[5, 4]]
    with pytest.raises(ValueError, match="no token 'zebra'"):
        tokenizer.id("zebra")


def test_byte_pairs_know_every_word() -> None:
    tokenizer = bpe_tokenizer(["a red circle", "a red square"] * 5, 300, 40)
    batch = tokenizer(["A red zebra, naïve"])
    assert 3 not in batch.ids
    assert tokenizer.decode(batch.ids[0]).strip() == "a red zebra, naïve"
    assert len(tokenizer) <= 300


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"neither tokenizer\.json, nor vocab\.json"):
        Tokenizer.from_pretrained(tmp_path)
