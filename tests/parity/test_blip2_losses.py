"""Stage 1 of our BLIP-2 against stored numbers of torchmultimodal's (tests/parity/data/make_blip2.py says how they were
made), and its masks, losses and captions against what they must be."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

from visprog.models import Bert, Blip2, Blip2Config, QFormer, QFormerConfig, load_model  # noqa: E402
from visprog.models.bert import BertConfig  # noqa: E402
from visprog.models.blip2.model import bert_config, caption_loss, contrast_loss  # noqa: E402
from visprog.models.blip2.qformer import caption_mask  # noqa: E402
from visprog.models.checkpoint.checkpoint import load_exactly  # noqa: E402
from visprog.models.checkpoint.keymap import KeyMap  # noqa: E402
from visprog.models.clip.model import ImageEncoderConfig  # noqa: E402
from visprog.models.nn import hard_negatives  # noqa: E402
from visprog.models.nn.generate import Beams  # noqa: E402

TINY = Blip2Config(
    ImageEncoderConfig(12, 4, dim=12, layers=1, heads=2, hidden=16, project=None, pre_norm=False),
    QFormerConfig(queries=4, dim=16, layers=3, heads=2, hidden=24, dropout=0.0),
    vocab=41, length=9, caption_start=40, project=6,
)  # fmt: skip

ATTENTION = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "output_proj": "out"}
LAYERS = {
    **{f"self_attention.{a}": f"attention.{b}" for a, b in ATTENTION.items()},
    **{f"cross_attention.{a}": f"cross.{b}" for a, b in ATTENTION.items()},
    "self_attn_layernorm": "attention_norm", "cross_attn_layernorm": "cross_norm",
    "feedforward.model.0": "mlp.layers.0", "feedforward.model.2": "mlp.layers.1",
    "feedforward_query.model.0": "query_mlp.layers.0", "feedforward_query.model.2": "query_mlp.layers.1",
    "feedforward_layernorm": "mlp_norm", "feedforward_layernorm_query": "query_mlp_norm",
}  # fmt: skip
KEYS = KeyMap(
    [
        ("ln_vision.{}", "image_encoder.norm.{}"),
        ("query_tokens", "qformer.queries"),
        ("vision_proj.{}", "image_projection.{}"),
        ("text_proj.{}", "text_projection.{}"),
        ("itm_head.{}", "matching_head.{}"),
        ("temp", "temperature"),
        ("qformer.head.linear_1.{}", "caption_head.layer.{}"),
        ("qformer.head.layernorm.{}", "caption_head.norm.{}"),
        ("qformer.head.linear_2.weight", "words.weight"),
        ("qformer.head.linear_2.bias", "caption_head.bias"),
        ("qformer.model.embeddings.position_embeddings.weight", "positions.weight"),
        ("qformer.model.embeddings.layernorm.{}", "qformer.norm.{}"),
        *(
            (f"qformer.model.encoder.layers.{{}}.{a}.{{}}", f"qformer.blocks.{{}}.{b}.{{}}")
            for a, b in LAYERS.items()
        ),
    ]
)
FROM_TOKENS = "visprog.models.blip2.model.encode_tokens"


@pytest.fixture(scope="module")
def stored() -> dict[str, torch.Tensor]:
    return load_file(Path(__file__).with_name("data") / "blip2.safetensors")


def part(stored: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Their weights or gradients, under our names."""
    found = KEYS.to_ours({k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)})
    return found | {"qformer.queries": found["qformer.queries"][0]}


@pytest.fixture
def model() -> Blip2:
    torch.manual_seed(0)
    model = Blip2(TINY).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    model.temperature.data.fill_(0.07)
    return model


def test_outputs_losses_and_gradients_are_those_of_torchmultimodal(stored, monkeypatch) -> None:
    monkeypatch.setattr(FROM_TOKENS, lambda encoder, tokens: encoder.norm(tokens))
    monkeypatch.setattr(torch, "multinomial", lambda weights, count: weights.topk(count).indices)
    model = Blip2(TINY)
    unused = {
        n: v for n, v in model.state_dict().items() if n.startswith("image_encoder.") and ".norm." not in n
    }
    load_exactly(model, unused | part(stored, "weight."), "blip2.safetensors")
    out = model(stored["images"], stored["tokens"])
    for name in ("image_tokens", "query_tokens", "image_embeds", "text_embeds", "logits"):
        torch.testing.assert_close(getattr(out, name), stored[name], atol=1e-5, rtol=1e-5, msg=name)
    related = torch.eye(4, dtype=torch.bool)
    losses = model.losses(stored["images"], stored["tokens"], related, torch.zeros(4, 2))
    for name in ("contrast", "matching", "language"):
        torch.testing.assert_close(losses[name], stored[name], atol=1e-5, rtol=1e-5, msg=name)
    similarity = model.similarity(out.image_embeds, out.text_embeds) / model.temperature
    torch.testing.assert_close(similarity, stored["to_texts"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(similarity.T, stored["to_images"], atol=1e-5, rtol=1e-5)
    sum(losses.values()).backward()
    want = part(stored, "grad.")
    for name, parameter in model.named_parameters():
        if name not in unused:
            torch.testing.assert_close(parameter.grad, want[name], atol=1e-5, rtol=1e-4, msg=name)


def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    tokens = torch.randint(1, 40, (3, 8), generator=torch.Generator().manual_seed(1))
    tokens[1, 5:] = tokens[2, 2:] = 0
    return torch.randn(3, 3, 12, 12, generator=torch.Generator().manual_seed(2)), tokens


def test_masks() -> None:
    real = torch.tensor([[True, True, False]])
    assert caption_mask(real, 2)[0, 0].int().tolist() == [
        [1, 1, 0, 0, 0],  # queries see the queries alone
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],  # a token sees the queries, itself and those before
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 0],  # padding is never seen
    ]


def test_captions_read_the_cache_of_the_queries_as_if_they_stood_beside_them(model: Blip2) -> None:
    images, tokens = pairs()
    out = model(images, tokens)
    written = torch.cat([torch.full((3, 1), 40), tokens[:, 1:]], 1)
    both = model.qformer(model._embed(written), out.image_tokens, mask=caption_mask(tokens != 0, 4)).tokens
    torch.testing.assert_close(both[:, :4], out.query_tokens, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        model.caption_head(both[:, 4:], model.words.weight), out.logits, atol=1e-5, rtol=1e-5
    )


def test_each_task_lets_through_what_it_should(model: Blip2) -> None:
    images, tokens = pairs()
    before = model(images, tokens)
    changed = tokens.clone()
    changed[0, 4] = 1 + tokens[0, 4] % 39
    after = model(images, changed)
    # contrast: what an image gives does not depend on the text, nor the other way round
    assert torch.equal(after.image_embeds, before.image_embeds) and torch.equal(
        after.query_tokens, before.query_tokens
    )
    assert not torch.allclose(after.text_embeds[0], before.text_embeds[0])
    other = model(images + torch.randn_like(images), tokens)
    assert torch.equal(other.text_embeds, before.text_embeds)
    # captions: a word depends on the image and on earlier words
    torch.testing.assert_close(after.logits[:, :4], before.logits[:, :4])
    assert not torch.allclose(after.logits[0, 4], before.logits[0, 4])
    assert not torch.allclose(other.logits, before.logits)
    # matching: the queries see the text
    assert not torch.allclose(
        model.pair_logits(before.image_tokens, changed)[0], model.pair_logits(before.image_tokens, tokens)[0]
    )


def test_longer_padding_changes_nothing(model: Blip2) -> None:
    images, tokens = pairs()
    short, long = (model(images, x) for x in (tokens, torch.nn.functional.pad(tokens, (0, 1))))
    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(long.text_embeds, short.text_embeds, **close)
    torch.testing.assert_close(long.logits[:, :8], short.logits, **close)
    logits = (
        model.matching_logits(short.image_tokens, x)
        for x in (tokens, torch.nn.functional.pad(tokens, (0, 1)))
    )
    torch.testing.assert_close(*logits, **close)
    torch.testing.assert_close(
        model.match(images, tokens), model.pair_logits(short.image_tokens, tokens).softmax(1)[:, 1]
    )
    with pytest.raises(ValueError, match="10 tokens, 9 are the most"):
        model(images, torch.ones(3, 10, dtype=torch.long))


def test_losses_of_what_is_known(model: Blip2) -> None:
    tokens = torch.tensor([[1, 2, 3, 0], [1, 5, 0, 0]])
    logits = torch.zeros(2, 4, 41)
    assert caption_loss(logits, tokens, 0).item() == pytest.approx(math.log(41))
    logits[0, 0, 2] = logits[0, 1, 3] = logits[1, 0, 5] = 50.0
    # a share of 0.1 is asked of all 41 words alike: 40 of them have a probability of e^-50
    assert caption_loss(logits, tokens, 0).item() == pytest.approx(0.1 * 40 / 41 * 50, rel=1e-4)
    assert caption_loss(logits, tokens, 0, label_smoothing=0).item() == pytest.approx(0, abs=1e-6)
    right = torch.tensor([[True, True, False], [False, True, False]])
    even = contrast_loss(torch.tensor([[9.0, 9.0, -99.0], [-99.0, 9.0, -99.0]]), right, label_smoothing=0)
    assert even.item() == pytest.approx(math.log(2) / 2, rel=1e-4)


def test_negatives_are_wrong_and_hard() -> None:
    torch.manual_seed(0)
    right = torch.tensor([[True, False, False], [True, True, True], [False, False, True]])
    logits = torch.tensor([[9.0, 0.0, 2.0], [0.0, 0.0, 0.0], [1.0, -50.0, 9.0]])
    drawn = [hard_negatives(logits, right) for _ in range(300)]
    assert all(rows.tolist() == [0, 2] for rows, _ in drawn)  # row 1 has no wrong column
    columns = torch.stack([columns for _, columns in drawn])
    assert (columns[:, 0] == 2).float().mean().item() == pytest.approx(
        math.exp(2) / (1 + math.exp(2)), abs=0.06
    )
    assert columns[:, 0].unique().tolist() == [1, 2] and columns[:, 1].unique().tolist() == [0]


def test_a_batch_in_which_everything_is_right_has_no_negatives(model: Blip2) -> None:
    images, tokens = pairs()
    losses = model.losses(images, tokens, torch.ones(3, 3, dtype=torch.bool), torch.zeros(3, 2))
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_recomputed_activations_give_the_same_gradients(model: Blip2) -> None:
    images, tokens = pairs()

    def gradients() -> list[torch.Tensor]:
        torch.manual_seed(0)
        model.zero_grad()
        losses = model.losses(images, tokens, torch.eye(3, dtype=torch.bool), torch.zeros(3, 2))
        sum(losses.values()).backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    want = gradients()
    for block in model.qformer.blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    for have, expected in zip(gradients(), want, strict=True):
        torch.testing.assert_close(have, expected)


def test_captions_are_the_likeliest_words_one_after_another(model: Blip2) -> None:
    images, _ = pairs()
    tokens = torch.full((3, 1), 7)  # what stands first becomes [DEC]
    for _ in range(8):
        tokens = torch.cat([tokens, model(images, tokens).logits[:, -1:].argmax(-1)], 1)
    have = model.generate(images)
    assert have.shape == (3, 9) and torch.equal(have[:, :8], tokens[:, 1:])
    assert torch.equal(model.generate(images, 4), tokens[:, 1:5])
    assert torch.equal(model.generate(images, search=Beams(1)), have)
    assert model.generate(images, 5, search=Beams(3)).shape == (3, 5)


def test_it_begins_as_published() -> None:
    torch.manual_seed(0)
    fresh = Blip2(TINY)
    for block in fresh.qformer.blocks:
        assert all(
            torch.equal(a, b)
            for a, b in zip(block.query_mlp.parameters(), block.mlp.parameters(), strict=True)
        )
        assert hasattr(block, "cross") == (block in (fresh.qformer.blocks[0], fresh.qformer.blocks[2]))
    assert fresh.temperature.item() == pytest.approx(0.07)
    qformer = QFormer(QFormerConfig(layers=1, hidden=8), 8, text=False)
    assert qformer.queries.shape == (32, 768)
    for weight in (qformer.queries, qformer.blocks[0].attention.q.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.02)


def test_it_begins_with_a_bert(model: Blip2) -> None:
    bert = Bert(BertConfig(vocab=40, length=12, dim=16, layers=3, heads=2, hidden=24, dropout=0.0))
    cross = [p.clone() for n, p in model.named_parameters() if "cross" in n or "queries" in n]
    dec = model.words.weight[40].clone()
    model.copy_bert(bert)
    tokens = torch.randint(1, 40, (2, 6))
    bert.embeddings.types.weight.data.zero_()  # a Q-Former has no token types
    torch.testing.assert_close(model.encode_texts(tokens)[0], bert(tokens).tokens)
    have = model.caption_head(model.encode_texts(tokens)[0], model.words.weight)
    torch.testing.assert_close(have[..., :40], bert(tokens).logits)
    kept = [p for n, p in model.named_parameters() if "cross" in n or "queries" in n]
    assert all(torch.equal(a, b) for a, b in zip(kept, cross, strict=True))
    assert torch.equal(model.words.weight[40], dec)
    with pytest.raises(ValueError, match="layers = 2 does not fit a Q-Former with 3"):
        model.copy_bert(Bert(BertConfig(vocab=40, length=12, dim=16, layers=2, heads=2, hidden=24)))
    assert bert_config(TINY).layers == 3


def test_saved_and_loaded_is_the_same(model: Blip2, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    images, tokens = pairs()
    again = load_model(tmp_path)
    assert again.config == TINY
    torch.testing.assert_close(again.eval()(images, tokens), model(images, tokens))
