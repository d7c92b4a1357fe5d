"""Our LXMERT against transformers': outputs, every intermediate, losses, gradients, padding, key maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from visprog.models import Lxmert, load_model  # noqa: E402
from visprog.models.lxmert import KEYS, LxmertConfig, RegionLogits, region_losses  # noqa: E402
from visprog.models.regions import Regions, Targets, answer_loss, hide_regions  # noqa: E402

from .regions import VOCAB, batch, close, same_gradients, shaken  # noqa: E402

OBJECTS, ATTRIBUTES, ANSWERS = 6, 4, 7
SHAPES = [
    {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "visual_feat_dim": 10,
     "l_layers": 3, "r_layers": 2, "x_layers": 2},
    {"hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 20, "visual_feat_dim": 7,
     "l_layers": 1, "r_layers": 1, "x_layers": 3},
]  # fmt: skip
OURS = {
    "vocab": VOCAB, "length": 12, "dim": 8, "layers": 1, "heads": 2, "hidden": 16, "region_layers": 1,
    "cross_layers": 1, "region_dim": 6, "objects": OBJECTS, "attributes": ATTRIBUTES, "answers": ANSWERS,
}  # fmt: skip


def theirs(name: str, seed: int = 0, shape: dict[str, int] = SHAPES[0]) -> Any:
    torch.manual_seed(seed)
    config = transformers.LxmertConfig(
        vocab_size=VOCAB, max_position_embeddings=12, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        num_object_labels=OBJECTS, num_attr_labels=ATTRIBUTES, num_qa_labels=ANSWERS, **shape,
    )  # fmt: skip
    return shaken(getattr(transformers, f"LxmertFor{name}")(config))


def inputs(given: Any) -> dict[str, Any]:
    return {
        "input_ids": given.tokens,
        "attention_mask": given.mask.long(),
        "token_type_ids": given.types,
        "visual_feats": given.regions.features,
        "visual_pos": given.regions.boxes,
        "visual_attention_mask": given.regions.mask.long(),
        "output_hidden_states": True,
    }


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", [0, 7])
def test_pretraining_is_that_of_transformers(shape: dict[str, int], seed: int, tmp_path: Path) -> None:
    want = theirs("PreTraining", seed, shape)
    want.save_pretrained(tmp_path)
    model = Lxmert.from_pretrained(tmp_path)
    assert model.config.pretraining and model.config.region_weight == 6.67
    given = batch(seed, shape["visual_feat_dim"], OBJECTS + 1, ATTRIBUTES)
    matched, answers = torch.tensor([True, False, True]), torch.tensor([3, 4, -100])
    hidden = torch.rand(given.regions.mask.shape) < 0.5
    # Their mean is over padding, too, so that they are compared on losses with regions that are all real.
    whole = given.regions._replace(mask=torch.ones_like(given.regions.mask))
    (objects, labels), (sure, named) = whole.objects[..., 1:].max(-1), whole.attributes.max(-1)
    expected = want(
        **inputs(given),
        labels=given.words,
        matched_label=matched.long(),
        obj_labels={
            "obj": (labels, objects), "attr": (named, sure), "feat": (whole.features, hidden.float())
        },
        ans=answers.masked_fill(~matched, -100),
    )  # fmt: skip
    found = model(given.tokens, given.regions, given.mask, given.types, collect=True)
    for name in ("text", "region"):
        states = getattr(expected, f"{'language' if name == 'text' else 'vision'}_hidden_states")
        assert len(getattr(found, f"{name}_hidden")) == len(states)
        for i, hidden_state in enumerate(getattr(found, f"{name}_hidden")):
            close(hidden_state, states[i], f"{name} layer {i}")
        close(getattr(found, f"{name}_tokens"), states[-1])
    close(found.text_embeddings, want.lxmert.embeddings(given.tokens, given.types))
    close(found.region_embeddings, want.lxmert.encoder.visn_fc(given.regions.features, given.regions.boxes))
    close(found.word_logits, expected.prediction_logits)
    close(found.match_logits, expected.cross_relationship_score)
    close(found.answer_logits, expected.question_answering_score)
    said = want.obj_predict_head(expected.vision_hidden_states[-1])
    for ours, name in (("objects", "obj"), ("attributes", "attr"), ("features", "feat")):
        close(getattr(found.region_logits, ours), said[name])
    losses = model.pretraining_losses(found, Targets(given.words, matched, whole, hidden, answers))
    assert list(losses) == ["words", "match", "objects", "attributes", "features", "answers"]
    loss = sum(losses.values())
    close(loss, expected.loss)
    loss.backward()
    expected.loss.backward()
    same_gradients(model, KEYS.to_ours({name: p.grad for name, p in want.named_parameters()}))
    close(model.match_probability(found.match_logits), found.match_logits.softmax(1)[:, 1])


def test_answers_are_those_of_transformers(tmp_path: Path) -> None:
    want = theirs("QuestionAnswering", 1)
    want.save_pretrained(tmp_path)
    model = Lxmert.from_pretrained(tmp_path)
    assert not model.config.pretraining and model.config.answers == ANSWERS
    given, answers = batch(1, 10), torch.tensor([2, 0, 6])
    expected = want(**inputs(given), labels=answers)
    found = model(given.tokens, given.regions, given.mask, given.types)
    close(model.answer_logits(found), expected.question_answering_score)
    loss = answer_loss(found.answer_logits, answers)
    close(loss, expected.loss)
    loss.backward()
    expected.loss.backward()
    same_gradients(model, KEYS.to_ours({name: p.grad for name, p in want.named_parameters()}))
    with pytest.raises(ValueError, match="is not pre-trained"):
        model.pretraining_losses(
            found, Targets(given.words, given.mask[:, 0], given.regions, given.regions.mask)
        )


@pytest.mark.parametrize("name", ["PreTraining", "QuestionAnswering"])
def test_names_go_both_ways(name: str, tmp_path: Path) -> None:
    want = theirs(name)
    want.save_pretrained(tmp_path)
    state = Lxmert.from_pretrained(tmp_path).state_dict()
    back = KEYS.to_theirs(state)
    assert set(back) == {k for k in want.state_dict() if "decoder.weight" not in k}
    assert set(KEYS.to_ours(back)) == set(state)


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Lxmert(LxmertConfig(**OURS)).eval()
    model.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    assert isinstance(again, Lxmert) and again.config == model.config
    given = batch(0, 6)
    close(
        again.eval()(given.tokens, given.regions).answer_logits,
        model(given.tokens, given.regions).answer_logits,
    )


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    model = Lxmert(LxmertConfig(**OURS)).eval()
    given, row = batch(0, 6, OBJECTS + 1, ATTRIBUTES), slice(1, 2)
    whole = model(given.tokens, given.regions, given.mask)
    regions = given.regions.rows((row, slice(0, 4)))
    alone = model(given.tokens[row, :5], regions)
    close(whole.word_logits[row, :5], alone.word_logits)
    close(whole.answer_logits[row], alone.answer_logits)
    hidden = torch.ones_like(given.regions.mask)
    padded = RegionLogits(*(part[row] for part in whole.region_logits))
    found = region_losses(padded, given.regions.rows(row), hidden[row], 2.0)
    for name, value in region_losses(alone.region_logits, regions, hidden[row, :4], 2.0).items():
        close(found[name], value, name)
    with pytest.raises(ValueError, match="the detector must tell both"):
        region_losses(padded, given.regions.rows(row)._replace(objects=None), hidden[row], 2.0)


def test_regions_are_hidden_as_published() -> None:
    features = torch.randn(200, 40, 3, generator=torch.Generator().manual_seed(0)) + 5
    mask = torch.arange(40) < torch.arange(1, 201)[:, None]
    regions = Regions(features, torch.rand(200, 40, 4), mask)
    changed, hidden = hide_regions(
        regions, zeroed=0.8, replaced=0.1, generator=torch.Generator().manual_seed(1)
    )
    assert not (hidden & ~mask).any() and hidden[mask].float().mean().item() == pytest.approx(0.15, abs=0.01)
    assert torch.equal(changed.features[~hidden], features[~hidden]) and changed.boxes is regions.boxes
    zero = (changed.features[hidden] == 0).all(-1)
    kept = (changed.features[hidden] == features[hidden]).all(-1)
    assert zero.float().mean().item() == pytest.approx(0.8, abs=0.03)
    assert kept.float().mean().item() == pytest.approx(0.1, abs=0.03)
    real = {tuple(row) for row in features[mask].tolist()}
    assert all(tuple(row) in real for row in changed.features[hidden][~zero].tolist())


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("task_qa", False, "task_qa = False"),
        ("visual_pos_dim", 5, "visual_pos_dim = 5"),
        ("architectures", ["LxmertModel"], "of the class LxmertModel"),
        ("wonder", 3, "wonder = 3"),
        ("model_type", "bert", "load_model reads it"),
    ],
)
def test_what_is_not_implemented_is_refused(tmp_path: Path, setting: str, value: Any, message: str) -> None:
    theirs("PreTraining").save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {setting: value}))
    with pytest.raises(ValueError, match=message):
        Lxmert.from_pretrained(tmp_path)
