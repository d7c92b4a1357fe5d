"""Our SAM against transformers' and against its authors' package, at tiny random weights."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from visprog.models.sam.hub import POSITIONS, SEGMENT_ANYTHING_KEYS, from_hub, to_hub  # noqa: E402
from visprog.models.sam.model import Sam, SamConfig  # noqa: E402

CLOSE = {"atol": 1e-5, "rtol": 1e-5}

SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "plain": {},
    "padded windows, another patch": {
        "vision": {"image_size": 60, "patch_size": 12, "window_size": 3, "global_attn_indexes": [0, 2],
                   "num_hidden_layers": 3, "num_attention_heads": 2},
        "prompt_encoder": {"image_size": 60, "patch_size": 12},
    },
    "window larger than the image": {"vision": {"window_size": 11, "global_attn_indexes": []}},
    "no windows": {"vision": {"window_size": 0}},
    "no positions, no bias": {"vision": {"use_abs_pos": False, "use_rel_pos": False, "qkv_bias": False}},
    "absolute positions alone": {"vision": {"use_rel_pos": False, "num_channels": 4}},
    "other activations and norms": {
        "vision": {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-3, "mlp_dim": None, "mlp_ratio": 1.5},
        "prompt_encoder": {"hidden_act": "silu", "layer_norm_eps": 1e-2, "mask_input_channels": 12},
        "mask_decoder": {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-4},
    },
    "another decoder": {
        "mask_decoder": {"num_hidden_layers": 3, "num_attention_heads": 2, "attention_downsample_rate": 4,
                         "num_multimask_outputs": 5, "iou_head_depth": 5, "iou_head_hidden_dim": 24},
    },
    "shallow score head, one layer": {"mask_decoder": {"iou_head_depth": 1, "num_hidden_layers": 1}},
    "wider": {
        "vision": {"output_channels": 48, "num_pos_feats": 24, "hidden_size": 24, "num_attention_heads": 3},
        "prompt_encoder": {"hidden_size": 48},
        "mask_decoder": {"hidden_size": 48, "num_attention_heads": 6, "attention_downsample_rate": 1},
    },
}  # fmt: skip


def hub_model(name: str) -> Any:
    parts: dict[str, dict[str, Any]] = {
        "vision": {
            "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 64, "patch_size": 8,
            "window_size": 4, "global_attn_indexes": [1], "output_channels": 32, "mlp_dim": 40, "num_pos_feats": 16,
        },
        "prompt_encoder": {"hidden_size": 32, "image_size": 64, "patch_size": 8, "mask_input_channels": 8},
        "mask_decoder": {"hidden_size": 32, "mlp_dim": 40, "num_attention_heads": 4, "iou_head_hidden_dim": 16},
    }  # fmt: skip
    config = transformers.SamConfig(
        **{f"{part}_config": {**own, **SIZES[name].get(part, {})} for part, own in parts.items()}
    )
    return noisy(transformers.SamModel(config))


def noisy(model: Any) -> Any:
    """With every parameter random, so that nothing is zero and every gradient tells something."""
    draw = torch.Generator().manual_seed(5)
    for key, parameter in model.named_parameters():
        value = torch.randn(parameter.shape, generator=draw)
        scale = 1.0 if "positional" in key else 0.15
        parameter.data = scale * value + (1.0 if "norm" in key and key.endswith("weight") else 0.0)
    return model.eval()


@pytest.fixture(params=SIZES, ids=str)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Sam]:
    theirs = hub_model(request.param)
    theirs.save_pretrained(tmp_path)
    return theirs, Sam.from_pretrained(tmp_path).eval()


def prompts(kind: str, batch: int, count: int, side: int, grid: int) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(len(kind))
    points = side * torch.rand(batch, count, 3, 2, generator=draw)
    labels = torch.tensor([[1, 0, 1], [1, -1, -10]])[torch.arange(batch * count) % 2].view(batch, count, 3)
    low = side / 2 * torch.rand(batch, count, 2, generator=draw)
    boxes = torch.cat([low, low + side / 2 * torch.rand(batch, count, 2, generator=draw)], -1)
    masks = 3 * torch.randn(batch, 1, 4 * grid, 4 * grid, generator=draw)
    return {
        "points": {"points": points, "labels": labels},
        "one point": {"points": points[:, :, :1]},
        "boxes": {"boxes": boxes},
        "points and boxes": {"points": points, "labels": labels, "boxes": boxes},
        "points and masks": {"points": points, "labels": labels, "masks": masks},
        "all": {"points": points, "labels": labels, "boxes": boxes, "masks": masks},
        "masks": {"masks": masks},
        "nothing": {},
    }[kind]


KINDS = "points", "one point", "boxes", "points and boxes", "points and masks", "all", "masks", "nothing"


def run_hub(theirs: Any, images: Any, given: dict[str, Any], multimask: bool) -> Any:
    return theirs(
        pixel_values=images,
        input_points=given.get("points"),
        input_labels=given.get("labels"),
        input_boxes=given.get("boxes"),
        input_masks=given.get("masks"),
        multimask_output=multimask,
        output_hidden_states=True,
    )


def run_and_record(theirs: Any, images: Any, given: dict[str, Any], multimask: bool) -> tuple[Any, Any, Any]:
    """Their output, their embedded prompts (sparse, dense), and their tokens after the decoder."""
    seen: dict[str, Any] = {}
    hooks = [
        theirs.prompt_encoder.register_forward_hook(lambda _, __, y: seen.update(prompts=y)),
        theirs.mask_decoder.transformer.register_forward_hook(lambda _, __, y: seen.update(tokens=y[0])),
    ]
    want = run_hub(theirs, images, given, multimask)
    for hook in hooks:
        hook.remove()
    return want, seen["prompts"], seen["tokens"]


def test_every_output_and_gradient_equals_the_hubs(pair: tuple[Any, Sam]) -> None:
    theirs, ours = pair
    side, channels = ours.config.image_size, ours.config.channels
    for number, kind in enumerate(KINDS):
        batch, count, multimask = 1 + number % 2, 1 + number % 3, number % 4 < 2
        images = torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(number))
        given = prompts(kind, batch, count, side, side // ours.config.patch)
        want, embedded, tokens = run_and_record(theirs, images, given, multimask)
        have = ours(images, **given, multimask_output=multimask, collect=True)
        torch.testing.assert_close(have.masks, want.pred_masks, **CLOSE)
        torch.testing.assert_close(have.iou_predictions, want.iou_scores, **CLOSE)
        torch.testing.assert_close(have.tokens, tokens, **CLOSE)
        sparse, dense = embedded
        if sparse is not None:
            torch.testing.assert_close(have.sparse_embeddings, sparse, **CLOSE)
        torch.testing.assert_close(have.dense_embeddings[:, 0], dense.expand(batch, -1, -1, -1), **CLOSE)
        for mine, hidden in zip(have.hidden, want.vision_hidden_states[1:], strict=True):
            torch.testing.assert_close(mine, hidden, **CLOSE)
        embedding = theirs.get_image_embeddings(images)
        torch.testing.assert_close(have.image_embeddings, embedding, **CLOSE)
        again = ours(image_embeddings=have.image_embeddings, **given, multimask_output=multimask)
        torch.testing.assert_close(again.masks, have.masks)

        draw = torch.Generator().manual_seed(7)
        weight, other = (torch.randn(t.shape, generator=draw) for t in (have.masks, have.iou_predictions))
        for model, masks, iou in (
            (ours, have.masks, have.iou_predictions),
            (theirs, want.pred_masks, want.iou_scores),
        ):
            model.zero_grad()
            ((masks * weight).mean() + (iou * other).mean()).backward()
        compare_gradients(
            to_hub(gradients(ours), ours.config.iou_head_depth),
            {k: p.grad for k, p in theirs.named_parameters() if k != POSITIONS},  # fixed, as in the paper
        )


def gradients(model: Sam) -> dict[str, Any]:
    """Of every parameter and, as zeros, of what is not trained."""
    found = {k: torch.zeros_like(v) for k, v in model.state_dict().items()}
    return found | {k: p.grad for k, p in model.named_parameters() if p.grad is not None}


def compare_gradients(have: dict[str, Any], want: dict[str, Any]) -> None:
    assert want
    for name, gradient in want.items():
        gradient = torch.zeros_like(have[name]) if gradient is None else gradient
        torch.testing.assert_close(
            have[name], gradient, atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_the_hubs_own_initial_weights_agree(tmp_path: Path) -> None:
    """Whose positions are drawn with a standard deviation of half the width: sines of large angles."""
    torch.manual_seed(0)
    theirs = transformers.SamModel(hub_model("plain").config).eval()
    theirs.save_pretrained(tmp_path)
    ours = Sam.from_pretrained(tmp_path)
    images = torch.randn(2, 3, 64, 64)
    for kind in KINDS:
        given = prompts(kind, 2, 2, 64, 8)
        want = run_hub(theirs, images, given, True)
        have = ours(images, **given)
        torch.testing.assert_close(have.masks, want.pred_masks, **CLOSE)
        torch.testing.assert_close(have.iou_predictions, want.iou_scores, **CLOSE)


def test_weights_go_to_the_hub_and_back(pair: tuple[Any, Sam]) -> None:
    theirs, ours = pair
    state = to_hub(ours.state_dict(), ours.config.iou_head_depth)
    copy.deepcopy(theirs).load_state_dict(state, strict=True)
    for key, value in theirs.state_dict().items():
        assert torch.equal(state[key], value), key
    assert set(from_hub(theirs.state_dict(), ours.config.iou_head_depth)) == set(ours.state_dict())


def test_files_may_hold_the_positions_under_either_name(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    theirs = hub_model("plain")
    theirs.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    both = theirs.state_dict()
    twin = "prompt_encoder.shared_embedding.positional_embedding"
    for present in ([POSITIONS], [twin], [POSITIONS, twin]):
        rest = {k: v for k, v in state.items() if k not in (POSITIONS, twin)}
        save_file(rest | {k: both[k].clone() for k in present}, file, metadata={"format": "pt"})
        assert torch.equal(Sam.from_pretrained(tmp_path).prompt_encoder.frequencies, both[POSITIONS])


def test_what_is_missing_or_too_much_is_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    hub_model("plain").save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    del state["mask_decoder.iou_token.weight"]
    save_file({**state, "surplus": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match=r"missing key mask_decoder.iou_token; unexpected key surplus"):
        Sam.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("vision_config", "num_pos_feats", 20),
        ("vision_config", "output_channels", 64),
        ("vision_config", "attention_dropout", 0.5),
        ("vision_config", "hidden_act", "mish"),
        ("vision_config", "image_size", [64, 32]),
        ("prompt_encoder_config", "image_size", 128),
        ("prompt_encoder_config", "num_point_embeddings", 6),
    ],
)
def test_what_is_not_implemented_is_refused(part: str, key: str, value: Any) -> None:
    raw = hub_model("plain").config.to_dict()
    raw[part][key] = value
    with pytest.raises(ValueError, match=str(value).replace("[", r"\[")):
        Sam(SamConfig.from_hub(raw))


def test_a_bare_configuration_is_sam_b() -> None:
    raw = {"vision_config": {}, "prompt_encoder_config": {}, "mask_decoder_config": {}}
    want = transformers.SamConfig()
    raw_full = want.to_dict()
    assert SamConfig.from_hub(raw) == SamConfig.from_hub(raw_full) == SamConfig(decoder_eps=1e-6)


# -- the authors' package --------------------------------------------------------------------------


def authors_model(height: int, width: int, *, window: int = 3, absolute: bool = False, table: int = 0) -> Any:
    """On images that need not be square; with tables of relative positions for a side of `table`, where given."""
    from tests.parity.segment_anything_package import import_package

    import_package()
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    return noisy(
        Sam(
            image_encoder=ImageEncoderViT(
                img_size=8 * table or max(height, width), patch_size=8, embed_dim=24, depth=3, num_heads=3,
                mlp_ratio=2, out_chans=32, norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), use_rel_pos=True,
                use_abs_pos=absolute, window_size=window, global_attn_indexes=(1,),
            ),
            prompt_encoder=PromptEncoder(
                embed_dim=32, image_embedding_size=(height // 8, width // 8), input_image_size=(height, width),
                mask_in_chans=8,
            ),
            mask_decoder=MaskDecoder(
                transformer_dim=32, iou_head_hidden_dim=24,
                transformer=TwoWayTransformer(depth=2, embedding_dim=32, mlp_dim=40, num_heads=4),
            ),
        )
    )  # fmt: skip


def from_authors(theirs: Any, side: int, **changes: Any) -> Sam:
    config = SamConfig(
        image_size=side, patch=8, dim=24, layers=3, heads=3, hidden=48, window_size=3, global_attn_indexes=(1,),
        width=32, mask_channels=8, decoder_heads=4, decoder_hidden=40, iou_head_hidden_dim=24,
    )  # fmt: skip
    ours = Sam(SamConfig(**{**vars(config), **changes}))
    ours.load_state_dict(SEGMENT_ANYTHING_KEYS.to_ours(theirs.state_dict()), strict=True)
    back = SEGMENT_ANYTHING_KEYS.to_theirs(ours.state_dict())
    assert all(torch.equal(back[k], v) for k, v in theirs.state_dict().items()) and len(back) == len(
        theirs.state_dict()
    )
    return ours.eval()


SHAPES = {
    "square": (64, 64, {"absolute": True}),
    "wide": (40, 72, {}),
    "high": (72, 16, {"window": 5}),
    "interpolated tables": (48, 48, {"table": 9}),
    "interpolated tables, wide": (24, 56, {"table": 4, "window": 2}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_and_gradients_equal_the_authors(shape: str) -> None:
    height, width, options = SHAPES[shape]
    theirs = authors_model(height, width, **options)
    side = 8 * options.get("table", 0) or max(height, width)
    ours = from_authors(
        theirs, side, window_size=options.get("window", 3), use_abs_pos=options.get("absolute", False)
    )
    draw = torch.Generator().manual_seed(3)
    images = torch.randn(1, 3, height, width, generator=draw)
    count = 4
    points = torch.rand(count, 2, 2, generator=draw) * torch.tensor([width, height])
    labels = torch.tensor([[1, 0], [1, -1], [0, 1], [1, 1]])
    boxes = torch.rand(count, 4, generator=draw) * height
    masks = 3 * torch.randn(count, 1, height // 2, width // 2, generator=draw)
    for multimask, (p, b, m) in enumerate(
        (
            (points, None, None),
            (None, boxes, None),
            (points, boxes, None),
            (points, boxes, masks),
            (None, boxes, masks),
        )
    ):
        embedding = theirs.image_encoder(images)
        sparse, dense = theirs.prompt_encoder(points=None if p is None else (p, labels), boxes=b, masks=m)
        places = theirs.prompt_encoder.get_dense_pe()
        want, iou = theirs.mask_decoder(
            image_embeddings=embedding, image_pe=places, sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense, multimask_output=bool(multimask % 2),
        )  # fmt: skip
        have = ours(
            images,
            points=None if p is None else p[None],
            labels=None if p is None else labels[None],
            boxes=None if b is None else b[None],
            masks=None if m is None else m[None, :, 0],
            multimask_output=bool(multimask % 2),
        )
        torch.testing.assert_close(have.image_embeddings, embedding, **CLOSE)
        torch.testing.assert_close(have.sparse_embeddings[0], sparse, **CLOSE)
        torch.testing.assert_close(have.dense_embeddings[0].expand(count, -1, -1, -1), dense, **CLOSE)
        torch.testing.assert_close(
            ours.prompt_encoder.image_pe(height // 8, width // 8).permute(2, 0, 1)[None], places, **CLOSE
        )
        torch.testing.assert_close(have.masks[0], want, **CLOSE)
        torch.testing.assert_close(have.iou_predictions[0], iou, **CLOSE)
        weight = torch.randn(want.shape, generator=draw)
        for model, y, score in ((ours, have.masks[0], have.iou_predictions[0]), (theirs, want, iou)):
            model.zero_grad()
            ((y * weight).mean() + score.square().mean()).backward()
        compare_gradients(
            SEGMENT_ANYTHING_KEYS.to_theirs(gradients(ours)),
            {k: v.grad for k, v in theirs.named_parameters()},
        )


def test_prompts_of_different_number_are_refused() -> None:
    ours = Sam(
        SamConfig(image_size=32, patch=8, dim=8, layers=1, heads=1, hidden=8, width=16, decoder_hidden=8)
    )
    images = torch.zeros(2, 3, 32, 32)
    with pytest.raises(ValueError, match="2 images, 3 prompts"):
        ours(images, points=torch.zeros(2, 3, 1, 2), boxes=torch.zeros(2, 2, 4))
    with pytest.raises(ValueError, match="2 images, 3 prompts"):
        ours(images, boxes=torch.zeros(1, 3, 4))
    with pytest.raises(ValueError, match="either images or their embeddings"):
        ours(boxes=torch.zeros(1, 3, 4))


@pytest.fixture
def small() -> Sam:
    torch.manual_seed(0)
    config = SamConfig(
        image_size=32, patch=8, dim=16, layers=3, heads=2, hidden=16, window_size=3, global_attn_indexes=(1,), width=16,
        mask_channels=8, decoder_heads=2, decoder_hidden=16, iou_head_hidden_dim=8, drop_path=0.5,
    )  # fmt: skip
    return noisy(Sam(config))


def test_it_compiles_as_one_graph(small: Sam) -> None:
    compiled = torch.compile(small, backend="aot_eager", fullgraph=True)
    images, points, boxes = torch.randn(2, 3, 32, 32), torch.rand(2, 3, 1, 2) * 32, torch.rand(2, 3, 4) * 32
    for given in ({"points": points}, {"boxes": boxes, "masks": torch.randn(2, 3, 16, 16)}):
        have, want = compiled(images, **given), small(images, **given)
        torch.testing.assert_close(have.masks, want.masks, **CLOSE)


def test_it_runs_in_half_precision(small: Sam) -> None:
    images, points = torch.randn(2, 3, 32, 32), torch.rand(2, 3, 2, 2) * 32
    want = small(images, points=points)
    with torch.autocast("cpu", torch.bfloat16):
        have = small(images, points=points)
    assert have.masks.dtype == torch.bfloat16
    assert (have.masks.float() - want.masks).abs().mean() < 0.05 * want.masks.abs().mean()
    whole = copy.deepcopy(small).to(torch.bfloat16)(images.bfloat16(), points=points)
    assert (whole.masks.float() - want.masks).abs().mean() < 0.1 * want.masks.abs().mean()


def test_recomputed_activations_and_dropped_paths(small: Sam) -> None:
    images = torch.randn(4, 3, 32, 32)
    small.train()

    def gradients_of(checkpointing: bool) -> list[Any]:
        torch.manual_seed(1)
        small.zero_grad()
        small.image_encoder.blocks.checkpointing = checkpointing
        small.image_encoder(images)[0].square().sum().backward()
        return [p.grad.clone() for p in small.image_encoder.parameters() if p.grad is not None]

    for a, b in zip(gradients_of(False), gradients_of(True), strict=True):
        torch.testing.assert_close(a, b)
    first, second = (small.image_encoder(images)[0] for _ in range(2))
    assert not torch.allclose(first, second)  # other paths are dropped
    small.eval()
    assert torch.equal(small.image_encoder(images)[0], small.image_encoder(images)[0])


def test_what_is_saved_is_read_again(small: Sam, tmp_path: Path) -> None:
    small.save_pretrained(tmp_path)
    again = Sam.from_pretrained(tmp_path)
    assert again.config == small.config
    for key, value in small.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value, atol=1e-3, rtol=1e-3)
