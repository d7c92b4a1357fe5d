"""Our BLIP-2 against transformers': outputs, every intermediate, loss, gradients of all, files, answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from visprog.models import Blip2, Blip2Config, Blip2Generator, Blip2GeneratorConfig, QFormer, load_model  # noqa: E402
from visprog.models.blip2 import hub  # noqa: E402
from visprog.models.blip2.model import VIT_G  # noqa: E402
from visprog.models.blip2.qformer import matching_mask  # noqa: E402
from visprog.models.llama import next_token_loss  # noqa: E402

VOCAB, IMAGE = 41, 5
VISION = {
    "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 12,
    "patch_size": 4,
}  # fmt: skip
QFORMERS = [
    {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24},
    {
        "hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 20,
        "cross_attention_frequency": 3,
    },
]  # fmt: skip
TEXT = {
    "vocab_size": 57, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def theirs(
    cls: str, seed: int = 0, shape: dict[str, int] = QFORMERS[0], text: bool = True, **settings: object
):
    """A model of transformers with random weights, without dropout."""
    torch.manual_seed(seed)
    qformer = {
        **shape, "vocab_size": VOCAB, "max_position_embeddings": 9, "use_qformer_text_input": text,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "encoder_hidden_size": VISION["hidden_size"],
    }  # fmt: skip
    config = transformers.Blip2Config(
        vision_config=VISION, qformer_config=qformer, text_config=transformers.LlamaConfig(**TEXT),
        num_query_tokens=4, image_text_hidden_size=6, **settings,
    )  # fmt: skip
    model = getattr(transformers, cls)(config.qformer_config if cls == "Blip2QFormerModel" else config)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def own_gradients(model, reference) -> dict[str, torch.Tensor]:
    """Their gradients by our names; zeros for what their loss does not reach."""
    found = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in reference.named_parameters()}
    ours = hub.to_ours(found)
    assert not [name for name in ours if name not in dict(model.named_parameters())]
    return ours


def check_gradients(model, reference) -> None:
    want = own_gradients(model, reference)
    for name, parameter in model.named_parameters():
        if name == "temperature":  # theirs has none
            continue
        have = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(have, want[name], **CLOSE, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("shape", QFORMERS)
@pytest.mark.parametrize("parts", ["image", "text", "both"])
def test_qformer_is_that_of_transformers(shape: dict[str, int], parts: str) -> None:
    want = theirs("Blip2QFormerModel", 3, shape)
    config = hub.encoders({"qformer_config": want.config.to_dict(), "num_query_tokens": 4}, text=True)[1]
    model = QFormer(config, VISION["hidden_size"], text=True)
    context = torch.randn(3, 10, VISION["hidden_size"], requires_grad=True)
    again = context.detach().clone().requires_grad_()
    text = torch.randn(3, 7, config.dim)
    real = torch.arange(7) < torch.tensor([[7], [3], [1]])
    state = hub.to_ours({f"qformer.{name}": value for name, value in want.state_dict().items()})
    queries = model.queries.detach().clone()
    model.load_state_dict({"queries": queries, **{n.removeprefix("qformer."): v for n, v in state.items()}})
    rows = [queries.expand(3, -1, -1)] * (parts != "text") + [text] * (parts != "image")
    seen = torch.cat(
        [torch.ones(3, 4 * (parts != "text"), dtype=torch.bool), real[:, : 7 * (parts != "image")]], 1
    )
    expected = want(
        query_embeds=torch.cat(rows, 1), query_length=4 * (parts != "text"), attention_mask=seen.long(),
        encoder_hidden_states=None if parts == "text" else context, output_hidden_states=True,
    )  # fmt: skip
    found = model(
        None if parts == "image" else text,
        None if parts == "text" else again,
        mask=seen[:, None, None],
        collect=True,
    )
    torch.testing.assert_close(found.embeddings, expected.hidden_states[0], **CLOSE)
    for i, hidden in enumerate(found.hidden):
        torch.testing.assert_close(hidden, expected.hidden_states[i + 1], **CLOSE)
    torch.testing.assert_close(found.tokens, expected.last_hidden_state, **CLOSE)
    weight = torch.randn_like(found.tokens)
    (found.tokens * weight).sum().backward()
    (expected.last_hidden_state * weight).sum().backward()
    if parts != "text":
        torch.testing.assert_close(again.grad, context.grad, atol=1e-4, rtol=1e-4)
    for name, parameter in want.named_parameters():
        ((ours, _),) = hub.to_ours({f"qformer.{name}": parameter}).items()
        have = model.get_parameter(ours.removeprefix("qformer.")).grad
        assert (have is None) == (parameter.grad is None), name
        if have is not None:
            torch.testing.assert_close(
                have, parameter.grad, atol=2e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
            )


@pytest.fixture(params=[(0, QFORMERS[0]), (7, QFORMERS[1])], ids=["two", "three"])
def retrieval(request: pytest.FixtureRequest, tmp_path: Path):
    seed, shape = request.param
    reference = theirs("Blip2ForImageTextRetrieval", seed, shape)
    reference.save_pretrained(tmp_path)
    model = load_model(tmp_path)
    assert isinstance(model, Blip2)
    return reference, model


def pairs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    images, tokens = torch.randn(3, 3, 12, 12), torch.randint(1, VOCAB, (3, 8))
    real = torch.arange(8) < torch.tensor([[8], [5], [1]])
    return images, tokens.masked_fill(~real, 0), real.long()


def test_contrast_is_that_of_transformers(retrieval) -> None:
    reference, model = retrieval
    images, tokens, real = pairs()
    expected = reference(images, tokens, real, use_image_text_matching_head=False)
    image_tokens, image_embeds = model.encode_images(images)
    text_tokens, text_embeds = model.encode_texts(tokens)
    torch.testing.assert_close(image_tokens, expected.vision_model_output.last_hidden_state, **CLOSE)
    torch.testing.assert_close(image_embeds, expected.image_embeds, **CLOSE)
    torch.testing.assert_close(text_tokens, expected.text_model_output.last_hidden_state, **CLOSE)
    torch.testing.assert_close(text_embeds, expected.text_embeds, **CLOSE)
    cosines = model.similarity(image_embeds, text_embeds)
    torch.testing.assert_close(cosines, expected.logits_per_image, **CLOSE)
    weight = torch.randn(3, 3)
    (cosines * weight).sum().backward()
    (expected.logits_per_image * weight).sum().backward()
    check_gradients(model, reference)


def test_matching_is_that_of_transformers(retrieval) -> None:
    reference, model = retrieval
    images, tokens, real = pairs()
    expected = reference(images, tokens, real, use_image_text_matching_head=True)
    found = model.pair_logits(model.encode_images(images)[0], tokens)
    torch.testing.assert_close(found, expected.logits_per_image, **CLOSE)
    weight = torch.randn(3, 2)
    (found * weight).sum().backward()
    (expected.logits_per_image * weight).sum().backward()
    check_gradients(model, reference)


def test_retrieval_names_go_both_ways(retrieval, tmp_path: Path) -> None:
    reference, model = retrieval
    state = {name: value for name, value in model.state_dict().items() if name != "temperature"}
    assert set(hub.to_ours(hub.to_theirs(state))) == set(state)
    reference.load_state_dict(hub.to_theirs(state))  # strict
    model.save_pretrained(tmp_path / "own")
    again = load_model(tmp_path / "own")
    assert isinstance(again, Blip2) and again.config == model.config
    images, tokens, _ = pairs()
    torch.testing.assert_close(
        again.eval()(images, tokens).text_embeds, model.eval()(images, tokens).text_embeds
    )
    with pytest.raises(ValueError, match="no head for captions"):
        model.generate(images)


@pytest.fixture(params=[0, 1], ids=["two", "three"])
def generation(request: pytest.FixtureRequest, tmp_path: Path):
    reference = theirs(
        "Blip2ForConditionalGeneration",
        request.param,
        QFORMERS[request.param],
        text=False,
        image_token_index=IMAGE,
    ).eval()
    reference.save_pretrained(tmp_path)
    model = load_model(tmp_path).eval()
    assert isinstance(model, Blip2Generator)
    return reference, model


def prompts(seed: int):
    """Two prompts, the soft tokens first, the shorter one left-padded; and which tokens are the text."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(6, 57, (20,), generator=generator).tolist()
    rows = [[IMAGE] * 4 + words[:9], [2, 2, 2] + [IMAGE] * 4 + words[9:15]]
    tokens = torch.tensor(rows)
    mask = torch.arange(13) >= torch.tensor([[0], [3]])
    return tokens, torch.randn(2, 3, 12, 12, generator=generator), mask, (torch.arange(13) > 9).expand(2, -1)


def test_generation_loss_and_gradients_are_those_of_transformers(generation) -> None:
    reference, model = generation
    tokens, images, mask, texts = prompts(0)
    want = reference(
        images, tokens, mask.long(), labels=tokens.masked_fill(~texts, -100), output_hidden_states=True,
        position_ids=(mask.long().cumsum(-1) - 1).clamp(min=0),
    )  # fmt: skip
    have = model(tokens, images, mask, collect=True)
    torch.testing.assert_close(have.query_tokens, want.qformer_outputs.last_hidden_state, **CLOSE)
    torch.testing.assert_close(model.encode_images(images), want.vision_outputs.last_hidden_state, **CLOSE)
    torch.testing.assert_close(have.logits[mask], want.logits[mask], **CLOSE)
    hidden = want.language_model_outputs.hidden_states
    torch.testing.assert_close(have.embeddings[mask], hidden[0][mask], **CLOSE)
    torch.testing.assert_close(have.hidden[0][mask], hidden[1][mask], **CLOSE)
    torch.testing.assert_close(have.features[mask], hidden[-1][mask], **CLOSE)
    torch.testing.assert_close(have.embeddings[tokens == IMAGE], have.image_embeds.flatten(0, 1))
    loss = next_token_loss(have.logits, tokens, texts)
    torch.testing.assert_close(loss, want.loss, **CLOSE)
    loss.backward()
    want.loss.backward()
    check_gradients(model, reference)


def test_generated_texts_are_those_of_transformers(generation) -> None:
    reference, model = generation
    tokens, images, mask, _ = prompts(1)
    want = reference.generate(
        images, tokens, mask.long(), max_new_tokens=7, do_sample=False, eos_token_id=[9, 20], pad_token_id=2
    )
    have = model.generate(tokens, images, 7, mask=mask, stop=[9, 20], pad=2)
    assert torch.equal(have, want[:, -have.shape[1] :])
    kept = model.encode_images(images)
    assert torch.equal(
        model.generate(tokens, max_new=7, mask=mask, image_features=kept, stop=[9, 20], pad=2), have
    )
    with pytest.raises(ValueError, match="8 placeholders for 4 features"):
        model(tokens, images[:1])
    with pytest.raises(ValueError, match="8 placeholders for 0 features"):
        model(tokens)
    assert model(torch.tensor([[1, 9]])).image_embeds is None


def test_generation_names_go_both_ways(generation, tmp_path: Path) -> None:
    reference, model = generation
    reference.load_state_dict(hub.to_theirs(model.state_dict()))  # strict
    model.save_pretrained(tmp_path / "own")
    again = load_model(tmp_path / "own")
    assert again.config == model.config
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("part", "settings", "message"),
    [
        ("", {"wonder": 3}, "wonder = 3"),
        ("", {"architectures": ["Blip2ForConditionalGeneration"]}, "'blip2_generator', not 'blip2'"),
        ("", {"architectures": ["CLIPModel"], "model_type": "clip"}, "'clip', not 'blip2'"),
        ("vision_config", {"qkv_bias": False}, "without biases"),
        ("vision_config", {"image_size": [8, 12]}, "not square"),
        ("vision_config", {"wonder": 3}, "vision_config asks for wonder"),
        ("qformer_config", {"use_qformer_text_input": False}, "reads no texts"),
        ("qformer_config", {"position_embedding_type": "relative_key"}, "absolute positions"),
    ],
)
def test_what_is_not_implemented_is_refused(part: str, settings: dict, message: str, tmp_path: Path) -> None:
    theirs("Blip2ForImageTextRetrieval").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (config[part] if part else config).update(settings)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        Blip2.from_pretrained(tmp_path)


def test_configurations_of_public_files() -> None:
    """What the files on the hub say, which leave most to defaults; language models other than LLaMA are refused."""
    vision = {"num_channels": 3, "projection_dim": 512, "qkv_bias": True}
    qformer = {"use_qformer_text_input": True, "vocab_size": 30523}
    raw = {"model_type": "blip-2", "vision_config": vision, "qformer_config": qformer}
    config = Blip2Config.from_hub(raw)
    assert config.image_encoder == VIT_G and config.vocab == 30523 and config.qformer == Blip2Config().qformer
    with pytest.raises(ValueError, match="language model 'opt' is not implemented, only with a LLaMA"):
        Blip2GeneratorConfig.from_hub({"model_type": "blip-2", "text_config": {"model_type": "opt"}})
    with pytest.raises(ValueError, match="language model 't5'"):
        Blip2GeneratorConfig.from_hub({"text_config": {"model_type": "t5"}, "is_encoder_decoder": True})
    llama = {"model_type": "llama", "vocab_size": 57}
    with pytest.raises(ValueError, match="names no image_token_index"):
        Blip2GeneratorConfig.from_hub({"text_config": llama})
    with pytest.raises(ValueError, match="InstructBLIP"):
        Blip2GeneratorConfig.from_hub(
            {"text_config": llama, "qformer_config": {"use_qformer_text_input": True}}
        )
    found = Blip2GeneratorConfig.from_hub(
        {"text_config": llama, "image_token_index": 3, "num_query_tokens": 8}
    )
    assert found.tokens_per_image == 8 and found.language_model.vocab == 57


def test_padding_is_not_seen() -> None:
    mask = matching_mask(torch.tensor([[True, False]]), 3)
    assert mask.tolist() == [[[[True, True, True, True, False]]]]
