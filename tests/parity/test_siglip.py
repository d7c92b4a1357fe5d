"""Our SigLIP against transformers': intermediates, outputs, loss and gradients, at tiny random weights."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from visprog.models.nn import sigmoid_pair_loss  # noqa: E402
from visprog.models.siglip import KEYS, Siglip, SiglipConfig, canonical  # noqa: E402

VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "plain": {},
    "gelu": {"vision": {"hidden_act": "gelu"}, "text": {"hidden_act": "quick_gelu"}},
    "ragged patches": {"vision": {"image_size": 23, "patch_size": 4}},  # as so400m: 384 pixels, patches of 14
    "other widths": {
        "vision": {"hidden_size": 40, "num_attention_heads": 5, "num_channels": 1},
        "text": {"projection_size": 40, "num_hidden_layers": 1, "max_position_embeddings": 16},
    },
    "eps": {"vision": {"layer_norm_eps": 1e-3}, "text": {"layer_norm_eps": 1e-2}},
}


def make(variant: str, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = transformers.SiglipConfig(
        text_config={
            "vocab_size": 50,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 9,
            "eos_token_id": 1,
            "bos_token_id": 2,
            **VARIANTS[variant].get("text", {}),
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 56,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "image_size": 20,
            "patch_size": 5,
            **VARIANTS[variant].get("vision", {}),
        },
    )
    theirs = transformers.SiglipModel(config).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter += 0.1 * torch.randn_like(parameter)
            if name == "logit_scale":
                parameter.fill_(math.log(8))
            if name == "logit_bias":
                parameter.fill_(-2.5)
    return theirs


def close(have: Any, want: Any) -> None:
    torch.testing.assert_close(have, want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_intermediates_outputs_loss_and_gradients_agree(variant: str, masked: bool, tmp_path: Path) -> None:
    theirs = make(variant)
    theirs.save_pretrained(tmp_path)
    ours = Siglip.from_pretrained(tmp_path).eval()
    vision, text = theirs.config.vision_config, theirs.config.text_config
    images = torch.randn(5, vision.num_channels, vision.image_size, vision.image_size)
    tokens = torch.randint(3, 50, (5, text.max_position_embeddings))
    mask = torch.arange(tokens.shape[1])[None] < torch.tensor([3, 9, 1, 5, 7])[:, None] if masked else None
    want = theirs(
        input_ids=tokens,
        pixel_values=images,
        attention_mask=None if mask is None else mask.long(),
        return_loss=True,
        output_hidden_states=True,
    )
    have = ours(images, tokens, mask, collect=True)
    for features, model in ((have.image, want.vision_model_output), (have.text, want.text_model_output)):
        for ours_hidden, theirs_hidden in zip(
            (features.embedded, *features.hidden), model.hidden_states, strict=True
        ):
            close(ours_hidden, theirs_hidden)
        close(features.tokens, model.last_hidden_state)
        close(features.projected, model.pooler_output)
    close(have.image_embeds, want.image_embeds)
    close(have.text_embeds, want.text_embeds)
    close(have.logits, want.logits_per_image)
    for chunk in (None, 2):
        loss = sigmoid_pair_loss(
            have.image_embeds, have.text_embeds, ours.logit_scale.exp(), ours.logit_bias, chunk=chunk
        )
        close(loss, want.loss)
    loss.backward()
    want.loss.backward()
    gradients = KEYS.to_theirs({name: p.grad for name, p in ours.named_parameters()})
    assert set(gradients) == {name for name, _ in theirs.named_parameters()}
    for name, parameter in theirs.named_parameters():
        assert parameter.grad.abs().max() > 0, name
        close(gradients[name], parameter.grad)


@pytest.mark.parametrize("size", [(30, 30), (20, 40), (35, 15)])
def test_other_image_sizes_interpolate_the_positions(size: tuple[int, int], tmp_path: Path) -> None:
    theirs = make("plain", 6)
    theirs.save_pretrained(tmp_path)
    ours = Siglip.from_pretrained(tmp_path).eval()
    images = torch.randn(1, 3, *size)
    close(
        ours.image_encoder(images).projected,
        theirs.vision_model(images, interpolate_pos_encoding=True).pooler_output,
    )


def test_the_names_map_both_ways(tmp_path: Path) -> None:
    theirs = make("other widths")
    theirs.save_pretrained(tmp_path)
    back = make("other widths", seed=9)
    back.load_state_dict(KEYS.to_theirs(Siglip.from_pretrained(tmp_path).state_dict()), strict=True)
    for name, value in theirs.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name


def test_missing_keys_and_kinds_are_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    make("plain").save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["vision_model.head.attention.in_proj_weight"]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"missing key image_encoder\.pool\.attention\.q\.weight"):
        Siglip.from_pretrained(tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    with pytest.raises(ValueError, match="model_type 'clip'"):
        SiglipConfig.from_hub(raw | {"model_type": "clip"})
    with pytest.raises(ValueError, match="without the pooling head"):
        SiglipConfig.from_hub(raw | {"vision_config": {"vision_use_head": False}})


def test_saved_models_load_again_and_start_as_published(tmp_path: Path) -> None:
    make("plain").save_pretrained(tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    model = Siglip(SiglipConfig.from_hub(raw))
    assert float(model.logit_scale) == pytest.approx(math.log(10))
    assert float(model.logit_bias) == -10
    assert float(model.text_encoder.projection.weight.std()) == pytest.approx(32**-0.5, rel=0.1)
    assert float(model.image_encoder.blocks[0].attention.q.weight.abs().max()) <= math.sqrt(6 / 64)
    model.save_pretrained(tmp_path, torch.float32)
    again = Siglip.from_pretrained(tmp_path)
    assert again.config == model.config
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_texts_are_cleaned_as_in_training() -> None:
    assert canonical("  A photo,  of THE (small) dog's bowl! ") == "a photo of the small dogs bowl"
