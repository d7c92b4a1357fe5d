"""Our VisualBERT against transformers': outputs, every intermediate, losses, gradients, padding, heads, key maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import torch.nn.functional as F  # noqa: E402

from visprog.models import VisualBert, load_model  # noqa: E402
from visprog.models.regions import Targets  # noqa: E402
from visprog.models.visualbert import VisualBertConfig, keys  # noqa: E402

from .regions import LENGTH, REGIONS, VOCAB, batch, close, same_gradients, shaken  # noqa: E402

SHAPES = [
    {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 24,
     "visual_embedding_dim": 10},
    {"hidden_size": 24, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 20,
     "visual_embedding_dim": 7},
]  # fmt: skip


def theirs(name: str, seed: int = 0, shape: dict[str, int] = SHAPES[0], **settings: Any) -> Any:
    torch.manual_seed(seed)
    config = transformers.VisualBertConfig(
        vocab_size=VOCAB, max_position_embeddings=12, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        pad_token_id=0, **shape, **settings,
    )  # fmt: skip
    return shaken(getattr(transformers, f"VisualBert{name}")(config))


def inputs(given: Any) -> dict[str, Any]:
    return {
        "input_ids": given.tokens,
        "attention_mask": given.mask.long(),
        "token_type_ids": given.types,
        "visual_embeds": given.regions.features,
        "visual_attention_mask": given.regions.mask.long(),
        "output_hidden_states": True,
    }


def gradients(model: VisualBert, want: Any) -> dict[str, Any]:
    return keys(model.config).to_ours({name: p.grad for name, p in want.named_parameters()})


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("aligned", [False, True])
def test_pretraining_is_that_of_transformers(
    shape: dict[str, int], seed: int, aligned: bool, tmp_path: Path
) -> None:
    want = theirs("ForPreTraining", seed, shape)
    want.save_pretrained(tmp_path)
    model = VisualBert.from_pretrained(tmp_path)
    assert model.config.head == "pretraining"
    given = batch(seed, shape["visual_embedding_dim"])
    words = torch.randint(-1, LENGTH, (3, REGIONS, 3)) if aligned else None
    kinds = torch.randint(0, 2, (3, REGIONS)) if aligned else None
    matched = torch.tensor([True, False, True])
    expected = want(
        **inputs(given),
        image_text_alignment=words,
        visual_token_type_ids=kinds,
        labels=torch.cat([given.words, torch.full((3, REGIONS), -100)], 1),
        sentence_image_labels=(~matched).long(),
    )
    found = model(
        given.tokens, given.regions, given.mask, given.types, region_types=kinds, region_words=words, collect=True
    )  # fmt: skip
    close(found.embeddings, expected.hidden_states[0])
    for i, hidden in enumerate(found.hidden):
        close(hidden, expected.hidden_states[i + 1], f"block {i}")
    close(torch.cat([found.text_tokens, found.region_tokens], 1), expected.hidden_states[-1])
    close(found.word_logits, expected.prediction_logits[:, :LENGTH])
    close(found.match_logits, expected.seq_relationship_logits)
    losses = model.pretraining_losses(found, Targets(given.words, matched, given.regions, given.regions.mask))
    loss = sum(losses.values())
    close(loss, expected.loss)
    loss.backward()
    expected.loss.backward()
    same_gradients(model, gradients(model, want))
    close(model.match_probability(found.match_logits), found.match_logits.softmax(1)[:, 0])


@pytest.mark.parametrize("seed", [0, 3])
def test_answers_are_those_of_transformers(seed: int, tmp_path: Path) -> None:
    want = theirs("ForQuestionAnswering", seed, num_labels=9)
    want.save_pretrained(tmp_path)
    model = VisualBert.from_pretrained(tmp_path)
    assert (model.config.head, model.config.classes) == ("answers", 9)
    given, answers = batch(seed, 10), torch.rand(3, 9).softmax(-1)
    expected = want(**inputs(given), labels=answers)
    found = model(given.tokens, given.regions, given.mask, given.types)
    close(found.class_logits.log_softmax(-1), expected.logits)  # given labels, they return these
    loss = F.kl_div(model.answer_logits(found).log_softmax(-1), answers, reduction="batchmean")
    close(loss, expected.loss)
    loss.backward()
    expected.loss.backward()
    same_gradients(model, gradients(model, want))
    with pytest.raises(ValueError, match="'answers' is not pre-trained"):
        model.pretraining_losses(
            found, Targets(given.words, given.mask[:, 0], given.regions, given.regions.mask)
        )


def test_statements_are_those_of_transformers(tmp_path: Path) -> None:
    want = theirs("ForVisualReasoning", 1, num_labels=2)
    want.save_pretrained(tmp_path)
    model = VisualBert.from_pretrained(tmp_path)
    assert (model.config.head, model.config.classes) == ("statements", 2)
    given, labels = batch(1, 10), torch.tensor([0, 1, 1])
    expected = want(**inputs(given), labels=labels)
    found = model(given.tokens, given.regions, given.mask, given.types)
    close(found.class_logits, expected.logits)
    torch.nn.functional.cross_entropy(found.class_logits, labels).backward()
    expected.loss.backward()
    same_gradients(model, gradients(model, want))
    with pytest.raises(ValueError, match="'statements' does not answer questions"):
        model.answer_logits(found)


@pytest.mark.parametrize("name", ["ForPreTraining", "ForQuestionAnswering", "ForVisualReasoning"])
def test_names_go_both_ways(name: str, tmp_path: Path) -> None:
    want = theirs(name)
    want.save_pretrained(tmp_path)
    model = VisualBert.from_pretrained(tmp_path)
    names = keys(model.config)
    back = names.to_theirs(model.state_dict())
    ignored = ("decoder", "position_ids")
    assert set(back) == {k for k in want.state_dict() if not any(part in k for part in ignored)}
    assert set(names.to_ours(back)) == set(model.state_dict())


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = {"vocab": VOCAB, "length": 9, "dim": 8, "layers": 1, "heads": 2, "hidden": 16, "region_dim": 6}
    model = VisualBert(VisualBertConfig(**shape, head="answers", classes=4)).eval()
    model.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    assert isinstance(again, VisualBert) and again.config == model.config
    given = batch(0, 6)
    close(again.eval()(*given[:1], given.regions).class_logits, model(*given[:1], given.regions).class_logits)
    assert torch.equal(model.embeddings.region_types.weight, model.embeddings.types.weight)


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    shape = {"vocab": VOCAB, "length": 12, "dim": 8, "layers": 2, "heads": 2, "hidden": 16, "region_dim": 6}
    model = VisualBert(VisualBertConfig(**shape)).eval()
    given = batch(0, 6)
    whole = model(given.tokens, given.regions, given.mask)
    alone = model(given.tokens[1:2, :5], given.regions.rows((slice(1, 2), slice(0, 4))))
    close(whole.word_logits[1:2, :5], alone.word_logits)
    close(whole.match_logits[1:2], alone.match_logits)
    close(whole.region_tokens[1:2, :4], alone.region_tokens)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("bypass_transformer", True, "bypass_transformer = True"),
        ("architectures", ["VisualBertForMultipleChoice"], "of the class VisualBertForMultipleChoice"),
        ("architectures", None, "of the class none"),
        ("wonder", 3, "wonder = 3"),
        ("model_type", "bert", "load_model reads it"),
    ],
)
def test_what_is_not_implemented_is_refused(tmp_path: Path, setting: str, value: Any, message: str) -> None:
    theirs("ForPreTraining").save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {setting: value}))
    with pytest.raises(ValueError, match=message):
        VisualBert.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="head is one of"):
        VisualBertConfig(head="vcr")
