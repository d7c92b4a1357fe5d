"""Our CLIP against transformers': intermediates, outputs, loss and gradients, at tiny random weights."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from visprog.models.clip.hub import KEYS  # noqa: E402
from visprog.models.clip.model import (  # noqa: E402
    Clip,
    ClipConfig,
    ImageEncoder,
    ImageEncoderConfig,
    TextEncoder,
    TextEncoderConfig,
    clamp_logit_scale,
)
from visprog.models.nn import info_nce  # noqa: E402

VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "plain": {},
    "gelu": {"vision": {"hidden_act": "gelu"}, "text": {"hidden_act": "gelu"}},
    "mixed activations": {"vision": {"hidden_act": "gelu_pytorch_tanh"}, "text": {"hidden_act": "relu"}},
    "old end id": {"text": {"eos_token_id": 2}},
    "end id 40": {"text": {"eos_token_id": 40}},
    "other widths": {
        "vision": {"hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 40, "patch_size": 5},
        "text": {"hidden_size": 36, "num_attention_heads": 3, "num_hidden_layers": 3},
        "both": {"projection_dim": 11},
    },
    "grey, eps": {
        "vision": {"num_channels": 1, "layer_norm_eps": 1e-3, "image_size": 24},
        "text": {"layer_norm_eps": 1e-2, "max_position_embeddings": 13},
    },
    "ragged patches": {"vision": {"image_size": 22, "patch_size": 4}},
}


def make(variant: str, seed: int = 0) -> Any:
    extra = VARIANTS[variant]
    torch.manual_seed(seed)
    config = transformers.CLIPConfig(
        text_config={
            "vocab_size": 64,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 12,
            "bos_token_id": 62,
            "eos_token_id": 63,
            **extra.get("text", {}),
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "image_size": 20,
            "patch_size": 5,
            **extra.get("vision", {}),
        },
        **{"projection_dim": 16, **extra.get("both", {})},
    )
    theirs = transformers.CLIPModel(config).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if name != "logit_scale":
                parameter += 0.1 * torch.randn_like(parameter)
    return theirs


def inputs(theirs: Any, n: int, m: int, seed: int) -> tuple[Any, Any, Any]:
    """Images, token ids with an end token each, and a mask of what stands before and at it."""
    generator = torch.Generator().manual_seed(seed)
    vision, text = theirs.config.vision_config, theirs.config.text_config
    images = torch.randn(n, vision.num_channels, vision.image_size, vision.image_size, generator=generator)
    length = text.max_position_embeddings
    tokens = torch.randint(3, 40, (m, length), generator=generator)
    ends = torch.randint(2, length, (m,), generator=generator)
    end = 63 if text.eos_token_id == 2 else text.eos_token_id
    tokens[torch.arange(m), ends] = end
    return images, tokens, torch.arange(length)[None] <= ends[:, None]


def close(have: Any, want: Any, rtol: float = 1e-5) -> None:
    torch.testing.assert_close(have, want, atol=1e-5, rtol=rtol)


@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_intermediates_outputs_loss_and_gradients_agree(variant: str, masked: bool, tmp_path: Path) -> None:
    theirs = make(variant)
    theirs.save_pretrained(tmp_path)
    ours = Clip.from_pretrained(tmp_path).eval()
    images, tokens, mask = inputs(theirs, 5, 5, 1)
    mask = mask if masked else None
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
        close(features.projected, model.pooler_output)  # get_*_features put the projection there
    close(have.image.pooled, theirs.vision_model(images).pooler_output)
    close(have.text.pooled, theirs.text_model(tokens, mask).pooler_output)
    close(have.image_embeds, want.image_embeds)
    close(have.text_embeds, want.text_embeds)
    close(have.logits, want.logits_per_image)
    loss = info_nce(have.image_embeds, have.text_embeds, ours.logit_scale.exp())
    close(loss, want.loss)
    loss.backward()
    want.loss.backward()
    gradients = KEYS.to_theirs({name: p.grad for name, p in ours.named_parameters()})
    assert set(gradients) == {name for name, _ in theirs.named_parameters()}
    for name, parameter in theirs.named_parameters():
        assert parameter.grad.abs().max() > 0, name
        close(gradients[name], parameter.grad)


def test_more_texts_than_images_and_one_of_each(tmp_path: Path) -> None:
    theirs = make("plain", 3)
    theirs.save_pretrained(tmp_path)
    ours = Clip.from_pretrained(tmp_path).eval()
    for n, m in ((1, 1), (2, 7), (4, 1)):
        images, tokens, _ = inputs(theirs, n, m, n)
        close(ours(images, tokens).logits, theirs(input_ids=tokens, pixel_values=images).logits_per_image)
    short = tokens[:, :6].clone()
    short[:, -1] = 63
    close(ours.text_encoder(short).projected, theirs.get_text_features(short).pooler_output)


def test_padding_on_the_left_agrees(tmp_path: Path) -> None:
    theirs = make("plain", 4)
    theirs.save_pretrained(tmp_path)
    ours = Clip.from_pretrained(tmp_path).eval()
    tokens = torch.randint(3, 40, (3, 9), generator=torch.Generator().manual_seed(5))
    tokens[:, -1] = 63
    mask = torch.ones(3, 9, dtype=torch.bool)
    mask[1, :4] = False
    have, want = ours.text_encoder(tokens, mask), theirs.text_model(tokens, mask.long())
    close(have.pooled, want.pooler_output)
    close(have.tokens[mask], want.last_hidden_state[mask])


@pytest.mark.parametrize("size", [(30, 30), (20, 40), (35, 15)])
def test_other_image_sizes_interpolate_the_positions(size: tuple[int, int], tmp_path: Path) -> None:
    theirs = make("plain", 6)
    theirs.save_pretrained(tmp_path)
    ours = Clip.from_pretrained(tmp_path).eval()
    images = torch.randn(2, 3, *size)
    want = theirs.vision_model(images, interpolate_pos_encoding=True)
    have = ours.image_encoder(images)
    close(have.tokens, want.last_hidden_state)
    close(have.pooled, want.pooler_output)


def test_the_names_map_both_ways(tmp_path: Path) -> None:
    theirs = make("other widths")
    theirs.save_pretrained(tmp_path)
    ours = Clip.from_pretrained(tmp_path)
    back = make("other widths", seed=9)
    back.load_state_dict(KEYS.to_theirs(ours.state_dict()), strict=True)
    for name, value in theirs.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name


@pytest.mark.parametrize("projected", [True, False])
def test_towers_load_alone(projected: bool, tmp_path: Path) -> None:
    whole = make("plain", 7)
    images, tokens, _ = inputs(whole, 2, 3, 8)
    kind = "WithProjection" if projected else ""
    for name, tower, x in (("Vision", ImageEncoder, images), ("Text", TextEncoder, tokens)):
        section = getattr(whole.config, f"{name.lower()}_config")
        theirs = getattr(transformers, f"CLIP{name}Model{kind}")(section).eval()
        theirs.save_pretrained(tmp_path / name)
        ours = tower.from_pretrained(tmp_path / name).eval()
        want = theirs(x)
        close(ours(x).tokens, want.last_hidden_state)
        output = getattr(want, "image_embeds" if name == "Vision" else "text_embeds") if projected else None
        close(ours(x).projected, want.pooler_output if output is None else output)
    whole.save_pretrained(tmp_path / "whole")
    close(
        ImageEncoder.from_pretrained(tmp_path / "whole")(images).projected,
        whole.get_image_features(images).pooler_output,
    )


def test_missing_and_unexpected_keys_and_kinds_are_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    make("plain").save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    state["vision_model.extra.weight"] = state.pop("vision_model.post_layernorm.weight")
    state["text_model.embeddings.position_ids"] = torch.arange(12)[None]  # a buffer of old checkpoints
    save_file(state, tmp_path / "model.safetensors")
    for load in (Clip, ImageEncoder):
        with pytest.raises(
            ValueError, match=r"missing key (image_encoder\.)?norm\.weight.*unexpected key .*extra\.weight"
        ):
            load.from_pretrained(tmp_path)
    TextEncoder.from_pretrained(tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    with pytest.raises(ValueError, match="'swish2'"):
        Clip(ClipConfig.from_hub(raw | {"vision_config": raw["vision_config"] | {"hidden_act": "swish2"}}))
    with pytest.raises(ValueError, match="model_type 'siglip'"):
        ClipConfig.from_hub(raw | {"model_type": "siglip"})
    with pytest.raises(ValueError, match="not square"):
        ClipConfig.from_hub(raw | {"vision_config": raw["vision_config"] | {"image_size": [20, 30]}})


def test_old_configurations_with_two_sections_read_as_transformers_reads_them() -> None:
    raw = {
        "model_type": "clip",
        "projection_dim": 768,
        "text_config": {"hidden_size": 512, "eos_token_id": 2},
        "text_config_dict": {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
        "vision_config": {"hidden_size": 1024, "num_attention_heads": 16, "patch_size": 14},
        "vision_config_dict": None,
    }
    theirs = transformers.CLIPConfig(**{k: v for k, v in raw.items() if k != "model_type"})
    ours = ClipConfig.from_hub(raw)
    assert (ours.text_encoder.dim, ours.text_encoder.heads, ours.text_encoder.end) == (
        768,
        12,
        theirs.text_config.eos_token_id,
    )
    assert theirs.text_config.hidden_size == 768
    assert (ours.image_encoder.dim, ours.image_encoder.patch, ours.image_encoder.project) == (1024, 14, 768)


def test_initial_weights_are_as_published() -> None:
    torch.manual_seed(0)
    model = Clip(
        ClipConfig(ImageEncoderConfig(dim=256, heads=4, layers=2, hidden=512), TextEncoderConfig(layers=4))
    )
    width = model.text_encoder.config.dim
    std = {name: float(p.detach().std()) for name, p in model.named_parameters() if p.ndim}
    for name, want in {
        "image_encoder.class_token": 256**-0.5,
        "image_encoder.positions": 256**-0.5,
        "image_encoder.projection.weight": 256**-0.5,
        "image_encoder.blocks.1.attention.k.weight": math.sqrt(
            2 / (4 * 256)
        ),  # Xavier of a (768, 256) matrix
        "text_encoder.embed.weight": 0.02,
        "text_encoder.positions": 0.01,
        "text_encoder.blocks.3.attention.q.weight": width**-0.5,
        "text_encoder.blocks.3.attention.out.weight": width**-0.5 * 8**-0.5,
        "text_encoder.blocks.3.mlp.layers.0.weight": (2 * width) ** -0.5,
        "text_encoder.blocks.3.mlp.layers.1.weight": width**-0.5 * 8**-0.5,
        "text_encoder.projection.weight": width**-0.5,
    }.items():
        assert std[name] == pytest.approx(want, rel=0.12), name
    assert float(model.logit_scale.detach()) == pytest.approx(math.log(1 / 0.07))
    model.logit_scale.data.fill_(7)
    clamp_logit_scale(model.logit_scale)
    assert float(model.logit_scale.detach().exp()) == pytest.approx(100)


def test_saved_models_load_again(tmp_path: Path) -> None:
    config = ClipConfig(
        ImageEncoderConfig(size=16, patch=4, dim=16, layers=1, heads=2, hidden=32, project=8),
        TextEncoderConfig(vocab=20, length=6, dim=16, layers=1, heads=2, hidden=32, end=None, project=8),
    )
    model = Clip(config)
    model.save_pretrained(tmp_path, torch.float32)
    again = Clip.from_pretrained(tmp_path)
    assert again.config == config
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be divided among 3 heads"):
        ImageEncoder(ImageEncoderConfig(dim=32, heads=3))
    tower = TextEncoder(TextEncoderConfig(vocab=20, length=6, dim=16, layers=1, heads=2, hidden=32))
    with pytest.raises(ValueError, match="7 tokens, 6 are the most"):
        tower(torch.zeros(1, 7, dtype=torch.long))


def test_it_compiles_as_one_graph_and_runs_in_bfloat16() -> None:
    torch.manual_seed(0)
    image = ImageEncoderConfig(size=16, patch=4, dim=16, layers=1, heads=2, hidden=32, project=8)
    model = Clip(ClipConfig(image, TextEncoderConfig(20, 6, 16, 1, 2, 32, end=None, project=8))).eval()
    images, tokens = torch.randn(2, 3, 16, 16), torch.randint(0, 20, (3, 6))
    mask = torch.ones(3, 6, dtype=torch.bool)
    want = model(images, tokens, mask).logits
    close(torch.compile(model, backend="eager", fullgraph=True)(images, tokens, mask).logits, want)
    with torch.autocast("cpu", torch.bfloat16):
        have = model(images, tokens, mask).logits
    torch.testing.assert_close(have.float(), want, atol=0.3, rtol=0.05)
