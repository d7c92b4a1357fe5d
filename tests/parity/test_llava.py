"""Our LLaVA against transformers': outputs, intermediates, loss, gradients of everything, files and answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402

from visprog.models.clip.model import ImageEncoderConfig  # noqa: E402
from visprog.models.llama import LlamaConfig, next_token_loss  # noqa: E402
from visprog.models.llava.model import VIT_L_336, Llava, LlavaConfig, to_ours, to_theirs  # noqa: E402

IMAGE, VOCAB = 5, 57
VISION = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2,
    "image_size": 12, "patch_size": 4,
}  # fmt: skip
TEXT = {
    "vocab_size": VOCAB, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip
VARIANTS = {
    "1.5": {},
    "full, last layer": {"vision_feature_select_strategy": "full", "vision_feature_layer": -1},
    "several layers, no bias": {"vision_feature_layer": [-3, 1, -2], "multimodal_projector_bias": False},
    "other activations": {
        "projector_hidden_act": "quick_gelu",
        "vision_feature_layer": 1,
        "vision_config": {**VISION, "hidden_act": "gelu", "patch_size": 3, "layer_norm_eps": 1e-3},
    },
    "tied": {"text_config": {**TEXT, "tie_word_embeddings": True}, "tie_word_embeddings": True},
}


@pytest.fixture(params=VARIANTS, ids=str)
def pair(request: pytest.FixtureRequest, tmp_path: Path):
    torch.manual_seed(0)
    settings = {"vision_config": VISION, "text_config": TEXT, **VARIANTS[request.param]}
    vision = transformers.CLIPVisionConfig(**settings.pop("vision_config"))
    text = transformers.LlamaConfig(**settings.pop("text_config"))
    config = transformers.LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=IMAGE, **settings
    )
    theirs = transformers.LlavaForConditionalGeneration(config).eval()
    for parameter in theirs.parameters():
        parameter.data += 0.15 * torch.randn_like(parameter)
    theirs.save_pretrained(tmp_path)
    return theirs, Llava.from_pretrained(tmp_path).eval()


def batch(ours: Llava, seed: int = 0):
    """Two prompts, one with two images and one shorter, left-padded, with one; and which tokens are answers."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(6, VOCAB, (20,), generator=generator).tolist()
    image = [IMAGE] * ours.config.tokens_per_image
    rows = [[words[0], *image, *words[1:4], *image, *words[4:9]], [*words[9:12], *image, *words[12:18]]]
    length = max(map(len, rows))
    tokens = torch.tensor([[0] * (length - len(row)) + row for row in rows])
    mask = torch.tensor([[False] * (length - len(row)) + [True] * len(row) for row in rows])
    answers = torch.arange(length) >= length - 4
    images = torch.randn(3, 3, 12, 12, generator=generator)
    return tokens, images, mask, answers.expand(2, -1)


def test_outputs_intermediates_loss_and_gradients_agree(pair) -> None:
    theirs, ours = pair
    tokens, images, mask, answers = batch(ours)
    want = theirs(
        tokens, pixel_values=images, attention_mask=mask.long(), output_hidden_states=True,
        labels=tokens.masked_fill(~answers, -100), position_ids=(mask.long().cumsum(-1) - 1).clamp(min=0),
    )  # fmt: skip
    have = ours(tokens, images, mask, collect=True)
    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(have.logits[mask], want.logits[mask], **close)
    seen = want.image_hidden_states  # one tensor up to transformers 5.23, then a list of one an image
    seen = torch.cat(seen) if isinstance(seen, list) else seen.flatten(0, -2)
    torch.testing.assert_close(have.image_embeds.flatten(0, 1), seen, **close)
    torch.testing.assert_close(have.embeddings[mask], want.hidden_states[0][mask], **close)
    torch.testing.assert_close(have.hidden[0][mask], want.hidden_states[1][mask], **close)
    torch.testing.assert_close(have.features[mask], want.hidden_states[-1][mask], **close)
    loss = next_token_loss(have.logits, tokens, answers)
    torch.testing.assert_close(loss, want.loss, **close)
    loss.backward()
    want.loss.backward()
    gradients = to_theirs({k: p.grad for k, p in ours.named_parameters() if p.grad is not None})
    reached = 0
    for name, parameter in theirs.named_parameters():
        if parameter.grad is None:  # a part of the tower that features of earlier layers do not come from
            assert name not in gradients or not gradients[name].any()
            continue
        reached += 1
        torch.testing.assert_close(gradients[name], parameter.grad, atol=1e-5, rtol=1e-4, msg=name)
    assert reached >= len(list(ours.language_model.parameters())) + len(list(ours.projector.parameters())) + 4


def test_text_alone_and_features_that_were_kept(pair) -> None:
    theirs, ours = pair
    tokens = torch.randint(6, VOCAB, (2, 7), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours(tokens).logits, theirs(tokens).logits, atol=1e-5, rtol=1e-5)
    tokens, images, mask, _ = batch(ours, 2)
    kept = ours.encode_images(images)
    assert torch.equal(ours(tokens, mask=mask, image_features=kept).logits, ours(tokens, images, mask).logits)
    with pytest.raises(ValueError, match=r"placeholders for 0 features"):
        ours(tokens)
    with pytest.raises(ValueError, match=r"placeholders for \d+ features"):
        ours(tokens, images[:2])


def test_answers_are_those_of_transformers(pair) -> None:
    theirs, ours = pair
    tokens, images, mask, _ = batch(ours, 3)
    want = theirs.generate(
        tokens, pixel_values=images, attention_mask=mask.long(), max_new_tokens=8, do_sample=False,
        eos_token_id=[9, 20, 33], pad_token_id=2,
    )[:, tokens.shape[1] :]  # fmt: skip
    have = ours.generate(tokens, images, 8, mask=mask, stop=[9, 20, 33], pad=2)
    assert torch.equal(have, want)


def test_weights_go_both_ways_and_every_layout_is_read(pair, tmp_path: Path) -> None:
    theirs, ours = pair
    theirs.load_state_dict(to_theirs(ours.state_dict()))  # strict
    assert set(to_ours(theirs.state_dict())) == set(ours.state_dict())
    saved = load_file(tmp_path / "model.safetensors")
    old = {
        key.replace("vision_tower.", "vision_tower.vision_model."): value
        for key, value in saved.items()
    }  # fmt: skip
    new = to_theirs(ours.state_dict())
    for name, layout in {"old": old, "new": {k: v.clone() for k, v in new.items()}}.items():
        folder = tmp_path / name
        folder.mkdir()
        save_file(layout, folder / "model.safetensors")
        (folder / "config.json").write_text((tmp_path / "config.json").read_text())
        again = Llava.from_pretrained(folder)
        assert all(torch.equal(a, b) for a, b in zip(again.parameters(), ours.parameters(), strict=True))
    ours.save_pretrained(tmp_path / "own", dtype=None)
    again = Llava.from_pretrained(tmp_path / "own")
    assert again.config == ours.config
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), ours.parameters(), strict=True))


def test_missing_and_unexpected_keys_are_named(pair, tmp_path: Path) -> None:
    saved = load_file(tmp_path / "model.safetensors")
    del saved["multi_modal_projector.linear_1.weight"]
    save_file({**saved, "image_newline": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"missing key projector.layers.0.weight; unexpected key image_newline"
    ):
        Llava.from_pretrained(tmp_path)


def test_configurations_of_public_files() -> None:
    """What llava-hf/llava-1.5-7b-hf says, which leaves most of LLaMA to defaults; others are refused."""
    raw = {
        "model_type": "llava", "image_token_index": 32000, "vision_feature_layer": -2,
        "text_config": {"model_type": "llama", "vocab_size": 32064, "rms_norm_eps": 1e-5},
        "vision_config": {
            "model_type": "clip_vision_model", "hidden_size": 1024, "image_size": 336, "patch_size": 14,
            "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24, "projection_dim": 768,
        },
    }  # fmt: skip
    assert LlavaConfig.from_hub(raw) == LlavaConfig() and LlavaConfig().tokens_per_image == 576
    assert LlavaConfig.from_hub({"text_config": raw["text_config"]}).image_encoder == VIT_L_336
    for part, message in (
        (
            {"vision_config": {"model_type": "siglip_vision_model"}},
            "image encoder of model_type 'siglip_vision_model'",
        ),
        ({"text_config": {"model_type": "qwen2"}}, "model_type 'qwen2', not 'llama'"),
        ({"model_type": "vipllava"}, "checkpoint of model_type 'vipllava'"),
        ({"vision_feature_select_strategy": "cls"}, "'default' or 'full', not 'cls'"),
    ):
        with pytest.raises(ValueError, match=message):
            LlavaConfig.from_hub(json.loads(json.dumps({**raw, **part})))


def test_one_linear_map_as_in_the_first_llava(pair) -> None:
    """LLaVA-1 has no transformers class: its projector is the matrix product itself."""
    from dataclasses import replace

    _, ours = pair
    linear = Llava(replace(ours.config, projector=()))
    tokens, images, mask, _ = batch(ours)
    (layer,) = linear.projector.layers
    out = linear(tokens, images, mask)
    want = linear.encode_images(images) @ layer.weight.T + (0 if layer.bias is None else layer.bias)
    torch.testing.assert_close(out.image_embeds, want)
    torch.testing.assert_close(out.embeddings[tokens == IMAGE], want.flatten(0, 1))


def test_merged_patches_are_squares_side_by_side(tmp_path: Path) -> None:
    torch.manual_seed(0)
    image = ImageEncoderConfig(size=16, patch=4, dim=8, layers=2, heads=2, hidden=16, project=None)
    text = LlamaConfig(vocab=11, dim=12, layers=1, heads=2, hidden=16)
    single = Llava(LlavaConfig(image, text, image_token=IMAGE))
    merged = Llava(LlavaConfig(image, text, image_token=IMAGE, merge=2))
    merged.image_encoder.load_state_dict(single.image_encoder.state_dict())
    images = torch.randn(3, 3, 16, 16)
    each, squares = single.encode_images(images).unflatten(1, (4, 4)), merged.encode_images(images)
    assert squares.shape == (3, merged.config.tokens_per_image, 4 * 8) and merged.config.tokens_per_image == 4
    for row in range(2):
        for column in range(2):
            patches = each[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            square = squares[:, 2 * row + column].unflatten(1, (8, 2, 2))
            assert torch.equal(square, patches.permute(0, 3, 1, 2))
    assert merged(torch.tensor([[1, 5, 5, 5, 5, 2]]), images[:1]).logits.shape == (1, 6, 11)
    merged.save_pretrained(tmp_path)
    assert Llava.from_pretrained(tmp_path).config == merged.config
    for wrong in ({"merge": 3}, {"merge": 2, "class_token": True}):
        with pytest.raises(ValueError, match=r"merge = \d needs"):
            LlavaConfig(image, text, **wrong)
