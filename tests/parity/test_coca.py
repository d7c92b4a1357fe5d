"""Our CoCa against stored numbers of torchmultimodal's (tests/parity/data/make_coca.py says how they were made), and
its masks, poolers, losses and captions against what they must be."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from visprog.models.checkpoint.checkpoint import load_exactly  # noqa: E402
from visprog.models.checkpoint.keymap import KeyMap  # noqa: E402
from visprog.models.coca import Coca, CocaConfig, CocaImageEncoderConfig, caption_loss, class_mask, coca_loss  # noqa: E402
from visprog.models.nn.generate import Beams  # noqa: E402
from visprog.models.nn.pool import AttentionPool  # noqa: E402

TINY = CocaConfig(
    CocaImageEncoderConfig(size=12, patch=4, dim=12, layers=2, heads=2, hidden=24),
    vocab=41, length=8, dim=16, unimodal_layers=2, multimodal_layers=3, heads=4, hidden=32,
    queries=5, pool_heads=2, project=16,
)  # fmt: skip


def layers(theirs: str, ours: str) -> list[tuple[str, str]]:
    theirs, ours = f"{theirs}.layer.{{}}.", f"{ours}.{{}}."
    names = {
        "attention_layernorm": "attention_norm",
        "cross_attention_layernorm": "cross_norm",
        "feedforward_layernorm": "mlp_norm",
        "attention.output_proj": "attention.out",
        "cross_attention.output_proj": "cross.out",
        "feedforward.model.0": "mlp.layers.0",
        "feedforward.model.2": "mlp.layers.1",
    }
    names |= {f"attention.{x}_proj": f"attention.{x}" for x in "qkv"}
    names |= {f"cross_attention.{x}_proj": f"cross.{x}" for x in "qkv"}
    return [(f"{theirs}{a}.{{}}", f"{ours}{b}.{{}}") for a, b in names.items()]


def pool(theirs: str, ours: str) -> list[tuple[str, str]]:
    names = {
        "ln_q": "query_norm",
        "ln_k": "context_norm",
        "ln_post": "norm",
        "attn.output_proj": "attention.out",
    }
    names |= {f"attn.{x}_proj": f"attention.{x}" for x in "qkv"}
    pairs = [(f"{theirs}.{a}.{{}}", f"{ours}.{b}.{{}}") for a, b in names.items()]
    return [*pairs, (f"{theirs}.query", f"{ours}.queries")]


QKV = tuple(f"image_encoder.blocks.{{}}.attention.{x}.{{}}" for x in "qkv")
KEYS = KeyMap(
    [
        ("vision_encoder.embeddings.conv_projection.{}", "image_encoder.patches.projection.{}"),
        ("vision_encoder.encoder.layer.{}.attention.input_proj.{}", QKV),
        *layers("vision_encoder.encoder", "image_encoder.blocks"),
        *pool("vision_pooler.poolers.0", "caption_pool"),
        *pool("vision_pooler.poolers.1", "contrast_pool"),
        ("vision_proj.weight", "image_projection.weight"),
        ("text_decoder.embeddings.cls_embedding", "class_token"),
        ("text_decoder.embeddings.position_embeddings", "positions"),
        ("text_decoder.embeddings.token_embeddings.weight", "embed.weight"),
        *layers("text_decoder.transformer_decoder", "unimodal_blocks"),
        ("text_decoder.ln_final.{}", "text_norm.{}"),
        ("text_decoder.text_projection.weight", "text_projection.weight"),
        *layers("multimodal_decoder.transformer_decoder", "multimodal_blocks"),
        ("multimodal_decoder.transformer_decoder.final_layer_norm.{}", "norm.{}"),
        ("multimodal_decoder.output_projection.weight", "head.weight"),
    ]
)


@pytest.fixture(scope="module")
def stored() -> dict[str, torch.Tensor]:
    return load_file(Path(__file__).with_name("data") / "coca.safetensors")


def part(stored: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Their weights or gradients, under our names."""
    found = {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}
    positions = found.pop("vision_encoder.embeddings.position_embeddings")[0]
    scale = stored["scale" if prefix == "weight." else "grad.scale"]
    found.pop("scale", None)
    return KEYS.to_ours(found) | {"image_encoder.positions": positions, "logit_scale": scale}


@pytest.fixture
def model() -> Coca:
    torch.manual_seed(0)
    model = Coca(TINY).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def test_outputs_losses_and_gradients_are_those_of_torchmultimodal(stored) -> None:
    model = Coca(TINY)
    load_exactly(model, part(stored, "weight."), "coca.safetensors")
    texts = stored["texts"]
    out = model(stored["images"], texts[:, :-1])
    for name in ("image_tokens", "caption_tokens", "image_embeds", "text_tokens", "text_embeds", "logits"):
        torch.testing.assert_close(getattr(out, name), stored[name], atol=1e-5, rtol=1e-5, msg=name)
    losses = coca_loss(
        out._replace(logits=torch.nn.functional.pad(out.logits, (0, 0, 0, 1))),
        texts,
        model.logit_scale.exp(),
        pad=0,
    )
    torch.testing.assert_close(losses["contrast"], stored["contrast"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(losses["caption"], stored["caption"], atol=1e-5, rtol=1e-5)
    losses["loss"].backward()
    want = part(stored, "grad.")
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, want[name], atol=1e-5, rtol=1e-4, msg=name)


def test_class_token_does_not_see_padding_and_tokens_do_not_see_it() -> None:
    mask = class_mask(torch.tensor([[True, True, False], [True, True, True]]))
    assert mask.shape == (2, 1, 4, 4)
    assert mask[0, 0].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]
    assert mask[1, 0].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


def test_longer_padding_changes_nothing(model: Coca) -> None:
    tokens = torch.tensor([[3, 9, 4, 0], [7, 8, 9, 4]])
    images = torch.randn(2, 3, 12, 12)
    short, long = model(images, tokens), model(images, torch.nn.functional.pad(tokens, (0, 4)))
    torch.testing.assert_close(long.text_embeds, short.text_embeds, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(long.logits[:, :4], short.logits, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="9 tokens, 8 are the most"):
        model(images, torch.ones(2, 9, dtype=torch.long))


def test_words_depend_on_earlier_words_and_the_image_only(model: Coca) -> None:
    tokens, images = torch.randint(1, 41, (1, 6)), torch.randn(1, 3, 12, 12)
    changed = tokens.clone()
    changed[0, 4] = 1 + tokens[0, 4] % 40
    before, after = model(images, tokens), model(images, changed)
    torch.testing.assert_close(after.logits[:, :4], before.logits[:, :4])
    assert not torch.allclose(after.logits[:, 4], before.logits[:, 4])
    other = model(images + 1, tokens)
    torch.testing.assert_close(other.text_embeds, before.text_embeds)
    assert not torch.allclose(other.logits, before.logits)


def test_pooler_is_attention_of_its_queries() -> None:
    pool = AttentionPool(8, 2, 3, kv_dim=6)
    x = torch.randn(2, 5, 6)
    attention = pool.attention
    q = attention.q(pool.query_norm(pool.queries)).view(3, 2, 4)
    context = pool.context_norm(x)
    k, v = attention.k(context).view(2, 5, 2, 4), attention.v(context).view(2, 5, 2, 4)
    weights = (torch.einsum("qhd,bkhd->bhqk", q, k) / 2).softmax(-1)
    want = pool.norm(attention.out(torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(2)))
    torch.testing.assert_close(pool(x), want)
    order = torch.randperm(5)
    torch.testing.assert_close(pool(x[:, order]), want)  # a set: the order says nothing


def test_uniform_guesses_cost_the_logarithm_of_the_choices(model: Coca) -> None:
    tokens = torch.tensor([[1, 2, 3, 0], [1, 5, 0, 0]])
    logits = torch.zeros(2, 4, 41)
    assert caption_loss(logits, tokens, pad=0).item() == pytest.approx(math.log(41))
    logits[0, 0, 2] = logits[0, 1, 3] = logits[1, 0, 5] = 50.0
    assert caption_loss(logits, tokens, pad=0).item() == pytest.approx(0, abs=1e-6)
    out = model(torch.randn(2, 3, 12, 12), tokens)
    same = out._replace(image_embeds=out.image_embeds[:1].expand(2, -1), logits=torch.zeros(2, 4, 41))
    losses = coca_loss(same, tokens, torch.tensor(0.0), pad=0)
    assert losses["contrast"].item() == pytest.approx(math.log(2))
    assert losses["loss"].item() == pytest.approx(math.log(2) + 2 * math.log(41), rel=1e-5)


def test_captions_are_the_likeliest_words_one_after_another(model: Coca) -> None:
    images = torch.randn(3, 3, 12, 12)
    start = torch.tensor([1])
    tokens = start.expand(3, 1)
    for _ in range(7):
        tokens = torch.cat([tokens, model(images, tokens).logits[:, -1:].argmax(-1)], 1)
    assert torch.equal(model.generate(images, start, 7), tokens[:, 1:])
    assert model.generate(images, start).shape == (3, 8)  # as many as there are positions
    assert torch.equal(model.generate(images, tokens[:, :3], 5), tokens[:, 3:8])
    assert torch.equal(model.generate(images, start, 7, search=Beams(1)), tokens[:, 1:])


def test_several_looks_are_averaged(model: Coca) -> None:
    looks, start = torch.randn(2, 3, 3, 12, 12), torch.tensor([1])
    tokens = start.expand(3, 1)
    for _ in range(6):
        logs = [model(images, tokens).logits[:, -1].log_softmax(-1) for images in looks]
        tokens = torch.cat([tokens, sum(logs).argmax(-1, keepdim=True)], 1)
    assert torch.equal(model.generate(looks, start, 6), tokens[:, 1:])
    assert torch.equal(model.generate(looks, start, 6, search=Beams(1)), tokens[:, 1:])
    twice = torch.stack([looks[0], looks[0]])
    for search in (None, Beams(3)):
        alone = model.generate(looks[0], start, 6, search=search)
        assert torch.equal(model.generate(twice, start, 6, search=search), alone)


def test_saved_and_loaded_is_the_same(model: Coca, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path, dtype=None)
    images, tokens = torch.randn(1, 3, 12, 12), torch.randint(1, 41, (1, 5))
    torch.testing.assert_close(Coca.from_pretrained(tmp_path)(images, tokens), model(images, tokens))
    larger = model(torch.randn(1, 3, 20, 16), tokens)
    assert larger.image_tokens.shape == (1, 20, 12)
