"""Our ViLBERT against an independent one: its code cannot be installed and has no licence, so the whole model is
derived again here from the paper, as functions of plain arrays, with the BERT layers of transformers for the blocks of
one stream."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import torch.nn.functional as F  # noqa: E402
from torch import Tensor  # noqa: E402
from transformers.models.bert.modeling_bert import BertEmbeddings, BertLayer  # noqa: E402

from visprog.models import Vilbert, load_model  # noqa: E402
from visprog.models.bert import block_keys, embedding_keys  # noqa: E402
from visprog.models.checkpoint.keymap import KeyMap  # noqa: E402
from visprog.models.nn.boxes import iou  # noqa: E402
from visprog.models.regions import Targets  # noqa: E402
from visprog.models.vilbert import VilbertConfig, select_loss, select_targets  # noqa: E402

from .regions import REGIONS, VOCAB, Batch, batch, close, same_gradients, shaken  # noqa: E402

OBJECTS = 5
SHARED = {"vocab": VOCAB, "length": 12, "objects": OBJECTS, "dropout": 0.0}
SHAPES = [
    VilbertConfig(
        **SHARED, dim=16, layers=4, heads=2, hidden=24, region_dim=10, region_width=12, region_layers=2,
        region_heads=3, region_hidden=20, cross_dim=18, cross_heads=3, text_places=(2, 3), region_places=(0, 1),
    ),
    VilbertConfig(
        **SHARED, dim=12, layers=2, heads=3, hidden=16, region_dim=7, region_width=16, region_layers=3,
        region_heads=2, region_hidden=16, cross_dim=8, cross_heads=2, text_places=(0, 2), region_places=(1, 3),
    ),
]  # fmt: skip
LAYER = KeyMap(block_keys("", ""))
EMBEDDINGS = KeyMap(embedding_keys("", ""))
Weights = dict[str, Tensor]


def part(weights: Weights, prefix: str) -> Weights:
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return torch.einsum("...i,oi->...o", x, weights[f"{name}.weight"]) + weights[f"{name}.bias"]


def norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-12).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def bert_layer(weights: Weights, x: Tensor, mask: Tensor, heads: int) -> Tensor:
    """A block of one stream, by transformers."""
    hidden, dim = weights["mlp.layers.0.weight"].shape
    config = transformers.BertConfig(
        hidden_size=dim, num_attention_heads=heads, intermediate_size=hidden, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, attn_implementation="eager",
    )  # fmt: skip
    bias = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)[:, None, None]
    found = torch.func.functional_call(BertLayer(config), LAYER.to_theirs(weights), (x, bias))
    return found[0] if isinstance(found, tuple) else found


def text_embeddings(weights: Weights, tokens: Tensor, types: Tensor) -> Tensor:
    """Words, positions and types, by transformers."""
    vocab, dim = weights["words.weight"].shape
    config = transformers.BertConfig(
        vocab_size=vocab, hidden_size=dim, max_position_embeddings=len(weights["positions.weight"]),
        hidden_dropout_prob=0.0,
    )  # fmt: skip
    module = BertEmbeddings(config)
    given = (tokens, types)
    return torch.func.functional_call(module, EMBEDDINGS.to_theirs(weights), given)


def attend(weights: Weights, x: Tensor, other: Tensor, mask: Tensor, heads: int) -> Tensor:
    """Queries of x; keys and values of the other stream."""

    def split(name: str, of: Tensor) -> Tensor:
        y = linear(weights, name, of)
        return y.reshape(*y.shape[:2], heads, -1)

    q, k, v = split("q", x), split("k", other), split("v", other)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
    shares = scores.masked_fill(~mask[:, None, None], -1e30).softmax(-1)
    return linear(weights, "out", torch.einsum("bhqk,bkhd->bqhd", shares, v).flatten(2))


def co_attention(
    weights: Weights, text: Tensor, regions: Tensor, mask: Tensor, region_mask: Tensor, heads: int
) -> tuple[Tensor, Tensor]:
    def stream(name: str, x: Tensor, other: Tensor, seen: Tensor) -> Tensor:
        own = part(weights, f"{name}.")
        x = norm(own, "cross_norm", x + attend(part(own, "cross."), x, other, seen, heads))
        return norm(own, "mlp_norm", x + linear(own, "mlp.layers.1", gelu(linear(own, "mlp.layers.0", x))))

    return stream("text", text, regions, region_mask), stream("regions", regions, text, mask)


def reference(c: VilbertConfig, weights: Weights, given: Batch) -> dict[str, Any]:
    """The model of the paper: all its outputs."""
    text = text_embeddings(part(weights, "embeddings."), given.tokens, given.types)
    features, boxes, mask = given.regions[:3]
    # The whole image: the mean of its regions, at (0, 0, 1, 1), of the area 1.
    mean = torch.stack([f[m].mean(0) for f, m in zip(features, mask, strict=True)])[:, None]
    area = ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))[..., None]
    places = torch.cat([torch.tensor([0.0, 0, 1, 1, 1]).expand(3, 1, 5), torch.cat([boxes, area], -1)], 1)
    own = part(weights, "region_embeddings.")
    seen = linear(own, "features", torch.cat([mean, features], 1)) + linear(own, "locations", places)
    regions = norm(own, "norm", seen)
    out: dict[str, Any] = {"text_embeddings": text, "region_embeddings": regions}
    real = torch.cat([torch.ones(3, 1, dtype=torch.bool), mask], 1)
    text_hidden, region_hidden = [], []
    text_layer = region_layer = 0
    for i, (place, region_place) in enumerate(
        [*zip(c.text_places, c.region_places, strict=True), (c.layers, c.region_layers)]
    ):
        while text_layer < place:
            text = bert_layer(part(weights, f"blocks.{text_layer}."), text, given.mask, c.heads)
            text_hidden.append(text)
            text_layer += 1
        while region_layer < region_place:
            own = part(weights, f"region_blocks.{region_layer}.")
            regions = bert_layer(own, regions, real, c.region_heads)
            region_hidden.append(regions)
            region_layer += 1
        if i < len(c.text_places):
            own = part(weights, f"cross_blocks.{i}.")
            text, regions = co_attention(own, text, regions, given.mask, real, c.cross_heads)
            text_hidden.append(text)
            region_hidden.append(regions)
    out |= {"text_hidden": text_hidden, "region_hidden": region_hidden}
    out |= {"text_tokens": text, "region_tokens": regions}
    pooled = F.relu(linear(weights, "text_pool", text[:, 0]))
    out["pooled"] = pooled * F.relu(linear(weights, "region_pool", regions[:, 0]))
    transformed = norm(weights, "head.norm", gelu(linear(weights, "head.layer", text)))
    out["word_logits"] = transformed @ weights["embeddings.words.weight"].T + weights["head.bias"]
    out["match_logits"] = linear(weights, "match", out["pooled"])
    shown = norm(weights, "object_head.norm", gelu(linear(weights, "object_head.layer", regions[:, 1:])))
    out["object_logits"] = linear(weights, "object_head.out", shown)
    out["region_scores"] = linear(weights, "select", regions[:, 1:])[..., 0]
    return out


def reference_losses(out: dict[str, Any], given: Batch, matched: Tensor, hidden: Tensor) -> dict[str, Tensor]:
    chosen = given.words != -100
    target = given.regions.objects
    kl = (target * (target.log() - out["object_logits"].log_softmax(-1))).sum(-1)
    log = out["match_logits"].log_softmax(-1)
    words = out["word_logits"].log_softmax(-1)[chosen].gather(1, given.words[chosen][:, None])
    return {
        "words": -words.mean(),
        "match": -torch.where(matched, log[:, 0], log[:, 1]).mean(),
        "objects": kl[hidden].mean(),
    }


@pytest.mark.parametrize("config", SHAPES)
@pytest.mark.parametrize("seed", [0, 7])
def test_it_is_the_model_of_the_paper(config: VilbertConfig, seed: int) -> None:
    torch.manual_seed(seed)
    model = shaken(Vilbert(config))
    given = batch(seed, config.region_dim, OBJECTS + 1)
    matched, hidden = torch.tensor([True, False, True]), given.regions.mask.clone()
    hidden[0, :2] = False
    weights = {k: v.detach().clone().requires_grad_() for k, v in model.state_dict().items()}
    expected = reference(config, weights, given)
    found = model(given.tokens, given.regions, given.mask, given.types, collect=True)
    for name, value in expected.items():
        ours = getattr(found, name)
        assert name not in ("text_hidden", "region_hidden") or len(ours) == len(value)
        pairs = zip(ours, value, strict=True) if isinstance(value, list) else [(ours, value)]
        for i, (one, other) in enumerate(pairs):
            close(one, other, f"{name} {i}")
    losses = model.pretraining_losses(found, Targets(given.words, matched, given.regions, hidden))
    wanted = reference_losses(expected, given, matched, hidden)
    assert set(losses) == set(wanted)
    for name, loss in wanted.items():
        close(losses[name], loss, name)
    truth = given.regions.boxes[:, :1]
    targets = select_targets(given.regions.boxes, truth, torch.ones(3, 1, dtype=torch.bool))
    chosen = select_loss(found.region_scores, targets, given.regions.mask)
    p = expected["region_scores"].sigmoid()
    each = -(targets * p.log() + (1 - targets) * (1 - p).log())
    other = sum(row[mask].sum() for row, mask in zip(each, given.regions.mask, strict=True)) / 3
    close(chosen, other)
    (sum(losses.values()) + chosen).backward()
    (sum(wanted.values()) + other).backward()
    same_gradients(model, {name: value.grad for name, value in weights.items()})
    close(model.match_probability(found.match_logits), found.match_logits.softmax(1)[:, 0])


def test_regions_score_as_they_overlap() -> None:
    torch.manual_seed(0)
    boxes = torch.rand(2, REGIONS, 2, 2).sort(2).values.flatten(2)
    truth, real = boxes[:, 1:3] + 0.01, torch.tensor([[True, True], [True, False]])
    found = select_targets(boxes, truth, real)
    for row in range(2):
        for i in range(REGIONS):
            overlaps = [float(iou(boxes[row, i], truth[row, k])) for k in range(2) if real[row, k]]
            best = max(overlaps)
            assert found[row, i].item() == pytest.approx(best if best >= 0.5 else 0.0, abs=1e-6)
    assert select_targets(boxes, truth[:, :0], real[:, :0]).shape == (2, REGIONS)


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Vilbert(SHAPES[0]).eval()
    model.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    assert isinstance(again, Vilbert) and again.config == model.config
    given = batch(0, 10)
    close(
        again.eval()(given.tokens, given.regions).region_scores,
        model(given.tokens, given.regions).region_scores,
    )


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    model = Vilbert(SHAPES[0]).eval()
    given, row = batch(0, 10), slice(1, 2)
    whole = model(given.tokens, given.regions, given.mask)
    alone = model(given.tokens[row, :5], given.regions.rows((row, slice(0, 4))))
    close(whole.word_logits[row, :5], alone.word_logits)
    close(whole.match_logits[row], alone.match_logits)
    close(whole.region_scores[row, :4], alone.region_scores)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="text_places rise from 0 to at most 12"):
        VilbertConfig(text_places=(6, 13), region_places=(0, 1))
    with pytest.raises(ValueError, match="are as many"):
        VilbertConfig(text_places=(6,))
    model = Vilbert(SHAPES[0])
    given = batch(0, 10)
    regions = given.regions._replace(objects=None)
    with pytest.raises(ValueError, match="the detector must tell objects"):
        model.pretraining_losses(
            model(given.tokens, regions), Targets(given.words, given.mask[:, 0], regions, regions.mask)
        )
    (tmp_path / "config.json").write_text('{"model_type": "vilbert"}')
    with pytest.raises(ValueError, match="public checkpoints of Vilbert are not read"):
        Vilbert.from_pretrained(tmp_path)
