"""Our BERT against transformers': outputs, every intermediate, loss, gradients, padding, key maps, word pieces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from visprog.models import Bert, load_model  # noqa: E402
from visprog.models.bert import IGNORED, KEYS, BertConfig, mask_tokens, masked_language_loss  # noqa: E402
from visprog.models.preprocess.tokenizer import Tokenizer, wordpiece_tokenizer  # noqa: E402

SHAPES = [
    {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 24},
    {"hidden_size": 24, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 20},
]


def theirs(seed: int = 0, shape: dict[str, int] = SHAPES[0], **settings: object):
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=37, max_position_embeddings=12, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        **shape, **settings,
    )  # fmt: skip
    model = transformers.BertForMaskedLM(config)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    theirs().save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", [0, 7])
def test_outputs_loss_and_gradients_are_those_of_transformers(
    shape: dict[str, int], seed: int, tmp_path: Path
) -> None:
    want = theirs(seed, shape)
    want.save_pretrained(tmp_path)
    model = Bert.from_pretrained(tmp_path)
    tokens, types = torch.randint(1, 37, (3, 9)), torch.randint(0, 2, (3, 9))
    mask = torch.arange(9) < torch.tensor([[9], [4], [1]])
    labels = tokens.masked_fill(~mask | (torch.rand(3, 9) > 0.5), IGNORED)
    labels[0, 0] = 5
    expected = want(
        input_ids=tokens,
        attention_mask=mask.long(),
        token_type_ids=types,
        labels=labels,
        output_hidden_states=True,
    )
    found = model(tokens, mask, types, collect=True)
    close = lambda a, b, name="": torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5, msg=name or None)  # noqa: E731
    close(found.embeddings, expected.hidden_states[0])
    for i, hidden in enumerate(found.hidden):
        close(hidden, expected.hidden_states[i + 1], f"block {i}")
    close(found.tokens, expected.hidden_states[-1])
    close(found.logits, expected.logits)
    loss = masked_language_loss(found.logits, labels)
    close(loss, expected.loss)
    loss.backward()
    expected.loss.backward()
    gradients = KEYS.to_ours({name: p.grad for name, p in want.named_parameters()})
    for name, parameter in model.named_parameters():
        close(parameter.grad, gradients[name], name)


def test_names_go_both_ways(folder: Path) -> None:
    state = Bert.from_pretrained(folder).state_dict()
    assert set(KEYS.to_ours(KEYS.to_theirs(state))) == set(state)
    want = {k: v for k, v in theirs().state_dict().items() if "decoder" not in k and "position_ids" not in k}
    assert set(KEYS.to_theirs(state)) == set(want)


def test_it_is_saved_and_loaded(folder: Path, tmp_path: Path) -> None:
    model = Bert.from_pretrained(folder)
    model.save_pretrained(tmp_path / "own")
    again = load_model(tmp_path / "own")
    assert isinstance(again, Bert) and again.config == model.config
    tokens = torch.randint(1, 37, (2, 5))
    torch.testing.assert_close(again.eval()(tokens).logits, model.eval()(tokens).logits)


def test_longer_padding_changes_nothing(folder: Path) -> None:
    model = Bert.from_pretrained(folder).eval()
    tokens = torch.tensor([[3, 9, 4]])
    padded, mask = torch.nn.functional.pad(tokens, (0, 4)), torch.arange(7)[None] < 3
    torch.testing.assert_close(model(padded, mask).logits[:, :3], model(tokens).logits, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="13 tokens, 12 are the most"):
        model(torch.ones(1, 13, dtype=torch.long))


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("position_embedding_type", "relative_key", "only 'absolute' is implemented"),
        ("is_decoder", True, "is_decoder"),
        ("tie_word_embeddings", False, "only True is implemented"),
        ("wonder", 3, "wonder = 3"),
        ("model_type", "roberta", "model_type 'roberta'"),
    ],
)
def test_what_is_not_implemented_is_refused(folder: Path, setting: str, value: object, message: str) -> None:
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {setting: value}))
    with pytest.raises(ValueError, match=message):
        Bert.from_pretrained(folder)


def test_dropout_acts_in_training_alone() -> None:
    model = Bert(BertConfig(vocab=20, length=8, dim=8, layers=1, heads=2, hidden=16, dropout=0.5))
    tokens = torch.randint(1, 20, (2, 6))
    assert not torch.equal(model(tokens).logits, model(tokens).logits)
    model.eval()
    assert torch.equal(model(tokens).logits, model(tokens).logits)


def test_masks_are_drawn_as_published() -> None:
    tokens = torch.randint(4, 1000, (400, 100), generator=torch.Generator().manual_seed(0))
    tokens[:, 0], tokens[:, 90:] = 1, 0
    masked, labels = mask_tokens(
        tokens, torch.tensor([0, 1, 2, 3]), 3, 1000, generator=torch.Generator().manual_seed(1)
    )
    chosen = labels != IGNORED
    assert not chosen[:, 0].any() and not chosen[:, 90:].any()
    assert torch.equal(labels[chosen], tokens[chosen]) and torch.equal(masked[~chosen], tokens[~chosen])
    assert chosen[:, 1:90].float().mean().item() == pytest.approx(0.15, abs=0.01)
    assert (masked[chosen] == 3).float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert (masked[chosen] == tokens[chosen]).float().mean().item() == pytest.approx(0.1, abs=0.02)
    nothing = masked_language_loss(torch.zeros(1, 2, 7), torch.full((1, 2), IGNORED))
    assert nothing.item() == 0


def test_word_pieces_are_those_of_transformers(tmp_path: Path) -> None:
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a red ball ##oon ##s the , . é".split()
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    (tmp_path / "config.json").write_text("{}")
    vocabulary = {word: i for i, word in enumerate(words)}
    reference = transformers.BertTokenizer(vocab=vocabulary)
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    texts = ["A red balloon, the balloons.", "unseen red", ""]
    assert tokenizer(texts).ids.tolist() == reference(texts, padding=True)["input_ids"]
    assert tokenizer.decode(tokenizer(texts[:1]).ids[0]) == "a red balloon, the balloons."
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match=r"lacks \[PAD\]"):
        Tokenizer.from_pretrained(tmp_path)


def test_word_pieces_are_learned(tmp_path: Path) -> None:
    tokenizer = wordpiece_tokenizer(["a red balloon", "a red ball", "balls"] * 9, 60, 8, ("<mask>",))
    assert tokenizer.id("<mask>") == 4
    ids = tokenizer(["Red balloons"]).ids[0]
    assert tokenizer.decode(ids) == "red balloons"
    tokenizer.save_pretrained(tmp_path)
    assert torch.equal(Tokenizer.from_pretrained(tmp_path)(["Red balloons"]).ids[0], ids)
