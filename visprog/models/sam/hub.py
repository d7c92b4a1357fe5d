"""Public checkpoints of SAM: their configuration, and their names of weights ↔ names here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..checkpoint.hub_config import check_keys, check_model_type
from ..checkpoint.keymap import KeyMap, Names

POSITIONS = "shared_image_embedding.positional_embedding"
TWIN = "prompt_encoder.shared_embedding.positional_embedding"
"""One tensor that hub checkpoints know by two names, of which a file may hold either."""


HUB_KEYS = {
    "vision_config": """
        global_attn_indexes hidden_act hidden_size image_size intermediate_size layer_norm_eps mlp_dim mlp_ratio
        num_attention_heads num_channels num_hidden_layers num_pos_feats output_channels patch_size projection_dim
        qkv_bias scale use_abs_pos use_rel_pos window_size
    """,
    "prompt_encoder_config": """
        hidden_act hidden_size image_embedding_size image_size layer_norm_eps mask_input_channels num_point_embeddings
        patch_size
    """,
    "mask_decoder_config": """
        attention_downsample_rate hidden_act hidden_size iou_head_depth iou_head_hidden_dim layer_norm_eps mlp_dim
        num_attention_heads num_hidden_layers num_multimask_outputs
    """,
}
"""Parts of the `config.json` of a hub checkpoint, and their settings that are read or that SAM does not use."""


def hub_config(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `SamConfig`, from the `config.json` of a hub checkpoint; what it leaves out are its defaults.

    Raises:
        ValueError: its parts do not fit together, or it asks for what is not implemented.
    """
    check_model_type(raw, "sam")
    check_keys(raw, (*HUB_KEYS, "tie_word_embeddings"))
    vision, prompts, decoder = (raw.get(part) or {} for part in HUB_KEYS)
    for (part, known), section in zip(HUB_KEYS.items(), (vision, prompts, decoder), strict=True):
        check_keys(section, known.split(), part)
    vision, prompts, decoder = (
        {key: value for key, value in section.items() if value is not None}
        for section in (vision, prompts, decoder)
    )
    width = decoder.get("hidden_size", 256)
    size, patch = vision.get("image_size", 1024), vision.get("patch_size", 16)
    if not isinstance(size, int) or not isinstance(patch, int):
        raise ValueError(f"images of {size} in patches of {patch}: only square ones are implemented")
    for what, found, wanted in (
        ("vision_config.output_channels", vision.get("output_channels", 256), width),
        ("vision_config.num_pos_feats", vision.get("num_pos_feats", 128), width // 2),
        ("vision_config.attention_dropout", vision.get("attention_dropout", 0.0), 0.0),
        ("prompt_encoder_config.hidden_size", prompts.get("hidden_size", 256), width),
        ("prompt_encoder_config.image_size", prompts.get("image_size", 1024), size),
        ("prompt_encoder_config.patch_size", prompts.get("patch_size", 16), patch),
        (
            "prompt_encoder_config.image_embedding_size",
            prompts.get("image_embedding_size", size // patch),
            size // patch,
        ),
        ("prompt_encoder_config.num_point_embeddings", prompts.get("num_point_embeddings", 4), 4),
    ):
        if found != wanted:
            raise ValueError(
                f"the checkpoint's {what} is {found}; only {wanted} is implemented with the rest of it"
            )
    dim = vision.get("hidden_size", 768)
    return dict(
        image_size=size,
        patch=patch,
        channels=vision.get("num_channels", 3),
        dim=dim,
        layers=vision.get("num_hidden_layers", 12),
        heads=vision.get("num_attention_heads", 12),
        hidden=vision.get("mlp_dim") or int(dim * vision.get("mlp_ratio", 4.0)),
        window_size=vision.get("window_size", 14),
        global_attn_indexes=tuple(vision.get("global_attn_indexes", (2, 5, 8, 11))),
        qkv_bias=vision.get("qkv_bias", True),
        use_abs_pos=vision.get("use_abs_pos", True),
        use_rel_pos=vision.get("use_rel_pos", True),
        activation=vision.get("hidden_act", "gelu"),
        eps=vision.get("layer_norm_eps", 1e-6),
        width=width,
        mask_channels=prompts.get("mask_input_channels", 16),
        mask_activation=prompts.get("hidden_act", "gelu"),
        mask_eps=prompts.get("layer_norm_eps", 1e-6),
        decoder_layers=decoder.get("num_hidden_layers", 2),
        decoder_heads=decoder.get("num_attention_heads", 8),
        decoder_hidden=decoder.get("mlp_dim", 2048),
        decoder_activation=decoder.get("hidden_act", "relu"),
        decoder_eps=decoder.get("layer_norm_eps", 1e-6),
        downsample=2,  # theirs reads the rate for the last attention alone
        last_downsample=decoder.get("attention_downsample_rate", 2),
        num_multimask_outputs=decoder.get("num_multimask_outputs", 3),
        iou_head_depth=max(2, decoder.get("iou_head_depth", 3)),
        iou_head_hidden_dim=decoder.get("iou_head_hidden_dim", 256),
    )


def _shared(norm: str, blocks: str) -> list[tuple[str, Names]]:
    """What both layouts call alike, but for the name of their norms and of the encoder's blocks."""
    block, layer = f"{blocks}.{{}}", "mask_decoder.transformer.layers.{}"
    return [
        (f"{block}.{norm}1.{{}}", "image_encoder.blocks.{}.attention_norm.{}"),
        (f"{block}.attn.qkv.{{}}", "image_encoder.blocks.{}.attention.qkv.{}"),
        (f"{block}.attn.proj.{{}}", "image_encoder.blocks.{}.attention.out.{}"),
        (f"{block}.attn.rel_pos_h", "image_encoder.blocks.{}.attention.rel_pos_h"),
        (f"{block}.attn.rel_pos_w", "image_encoder.blocks.{}.attention.rel_pos_w"),
        (f"{block}.{norm}2.{{}}", "image_encoder.blocks.{}.mlp_norm.{}"),
        (f"{block}.mlp.lin1.{{}}", "image_encoder.blocks.{}.mlp.layers.0.{}"),
        (f"{block}.mlp.lin2.{{}}", "image_encoder.blocks.{}.mlp.layers.1.{}"),
        ("prompt_encoder.not_a_point_embed.weight", "prompt_encoder.not_a_point_embed"),
        ("prompt_encoder.no_mask_embed.weight", "prompt_encoder.no_mask_embed"),
        ("mask_decoder.iou_token.weight", "mask_decoder.iou_token"),
        ("mask_decoder.mask_tokens.weight", "mask_decoder.mask_tokens"),
        (f"{layer}.self_attn.{{}}_proj.{{}}", "mask_decoder.blocks.{}.self_attention.{}.{}"),
        (f"{layer}.cross_attn_token_to_image.{{}}_proj.{{}}", "mask_decoder.blocks.{}.token_to_image.{}.{}"),
        (f"{layer}.cross_attn_image_to_token.{{}}_proj.{{}}", "mask_decoder.blocks.{}.image_to_token.{}.{}"),
        (f"{layer}.mlp.lin1.{{}}", "mask_decoder.blocks.{}.mlp.layers.0.{}"),
        (f"{layer}.mlp.lin2.{{}}", "mask_decoder.blocks.{}.mlp.layers.1.{}"),
        *((f"{layer}.{norm}{i + 1}.{{}}", f"mask_decoder.blocks.{{}}.norms.{i}.{{}}") for i in range(4)),
        (
            "mask_decoder.transformer.final_attn_token_to_image.{}_proj.{}",
            "mask_decoder.final_token_to_image.{}.{}",
        ),
        (f"mask_decoder.transformer.{norm}_final_attn.{{}}", "mask_decoder.final_norm.{}"),
    ]


def hub_keys(iou_head_depth: int) -> KeyMap:
    """The layout of `transformers` (facebook/sam-vit-…), for an IoU head of so many layers."""
    return KeyMap(
        [
            (POSITIONS, "prompt_encoder.frequencies"),
            ("vision_encoder.patch_embed.projection.{}", "image_encoder.patches.projection.{}"),
            ("vision_encoder.pos_embed", "image_encoder.positions"),
            *_shared("layer_norm", "vision_encoder.layers"),
            ("vision_encoder.neck.conv1.weight", "image_encoder.neck.0.weight"),
            ("vision_encoder.neck.layer_norm1.{}", "image_encoder.neck.1.{}"),
            ("vision_encoder.neck.conv2.weight", "image_encoder.neck.2.weight"),
            ("vision_encoder.neck.layer_norm2.{}", "image_encoder.neck.3.{}"),
            ("prompt_encoder.point_embed.{}.weight", "prompt_encoder.point_embeddings.{}"),
            ("prompt_encoder.mask_embed.conv1.{}", "prompt_encoder.mask_convs.0.{}"),
            ("prompt_encoder.mask_embed.conv2.{}", "prompt_encoder.mask_convs.1.{}"),
            ("prompt_encoder.mask_embed.conv3.{}", "prompt_encoder.mask_convs.2.{}"),
            ("prompt_encoder.mask_embed.layer_norm1.{}", "prompt_encoder.mask_norms.0.{}"),
            ("prompt_encoder.mask_embed.layer_norm2.{}", "prompt_encoder.mask_norms.1.{}"),
            ("mask_decoder.upscale_conv1.{}", "mask_decoder.output_upscaling.0.{}"),
            ("mask_decoder.upscale_layer_norm.{}", "mask_decoder.output_upscaling.1.{}"),
            ("mask_decoder.upscale_conv2.{}", "mask_decoder.output_upscaling.3.{}"),
            (
                "mask_decoder.output_hypernetworks_mlps.{}.proj_in.{}",
                "mask_decoder.output_hypernetworks.{}.layers.0.{}",
            ),
            (
                "mask_decoder.output_hypernetworks_mlps.{}.layers.0.{}",
                "mask_decoder.output_hypernetworks.{}.layers.1.{}",
            ),
            (
                "mask_decoder.output_hypernetworks_mlps.{}.proj_out.{}",
                "mask_decoder.output_hypernetworks.{}.layers.2.{}",
            ),
            ("mask_decoder.iou_prediction_head.proj_in.{}", "mask_decoder.iou_prediction_head.layers.0.{}"),
            *(
                (
                    f"mask_decoder.iou_prediction_head.layers.{i}.{{}}",
                    f"mask_decoder.iou_prediction_head.layers.{i + 1}.{{}}",
                )
                for i in range(iou_head_depth - 2)
            ),
            (
                "mask_decoder.iou_prediction_head.proj_out.{}",
                f"mask_decoder.iou_prediction_head.layers.{iou_head_depth - 1}.{{}}",
            ),
        ]
    )


SEGMENT_ANYTHING_KEYS = KeyMap(
    [
        ("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", "prompt_encoder.frequencies"),
        ("image_encoder.patch_embed.proj.{}", "image_encoder.patches.projection.{}"),
        ("image_encoder.pos_embed", "image_encoder.positions"),
        *_shared("norm", "image_encoder.blocks"),
        ("image_encoder.neck.{}.{}", "image_encoder.neck.{}.{}"),
        ("prompt_encoder.point_embeddings.{}.weight", "prompt_encoder.point_embeddings.{}"),
        ("prompt_encoder.mask_downscaling.0.{}", "prompt_encoder.mask_convs.0.{}"),
        ("prompt_encoder.mask_downscaling.3.{}", "prompt_encoder.mask_convs.1.{}"),
        ("prompt_encoder.mask_downscaling.6.{}", "prompt_encoder.mask_convs.2.{}"),
        ("prompt_encoder.mask_downscaling.1.{}", "prompt_encoder.mask_norms.0.{}"),
        ("prompt_encoder.mask_downscaling.4.{}", "prompt_encoder.mask_norms.1.{}"),
        ("mask_decoder.output_upscaling.{}.{}", "mask_decoder.output_upscaling.{}.{}"),
        (
            "mask_decoder.output_hypernetworks_mlps.{}.layers.{}.{}",
            "mask_decoder.output_hypernetworks.{}.layers.{}.{}",
        ),
        ("mask_decoder.iou_prediction_head.layers.{}.{}", "mask_decoder.iou_prediction_head.layers.{}.{}"),
    ]
)
"""The layout of the authors' package `segment_anything`."""


def from_hub(state: Mapping[str, Tensor], iou_head_depth: int) -> dict[str, Tensor]:
    """A hub checkpoint's weights under our names."""
    state = dict(state)
    if TWIN in state:
        state.setdefault(POSITIONS, state[TWIN])
        del state[TWIN]
    return hub_keys(iou_head_depth).to_ours(state)


def to_hub(state: Mapping[str, Tensor], iou_head_depth: int) -> dict[str, Tensor]:
    """Our weights under the names of a hub checkpoint."""
    theirs = hub_keys(iou_head_depth).to_theirs(state)
    return {**theirs, TWIN: theirs[POSITIONS]}


def segment_anything_config(state: Mapping[str, Tensor], source: str | Path) -> dict[str, Any]:
    """The fields of a `SamConfig`, from the shapes of the weights of the package `segment_anything`.

    Raises:
        ValueError: the weights are not SAM's.
    """

    def shape(key: str) -> tuple[int, ...]:
        return tuple(state[key].shape)

    def count(prefix: str) -> int:
        """Number of the numbered parts under a prefix."""
        return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})

    try:
        dim, channels, _, patch = shape("image_encoder.patch_embed.proj.weight")
        side = shape("image_encoder.pos_embed")[1]
        layers = count("image_encoder.blocks.")
        # Tables of relative positions from -(n - 1) to n - 1, n being the side of the window or of the map
        tables = [shape(f"image_encoder.blocks.{i}.attn.rel_pos_h") for i in range(layers)]
        windows = [(table[0] + 1) // 2 for table in tables]
        return dict(
            image_size=side * patch,
            patch=patch,
            channels=channels,
            dim=dim,
            layers=layers,
            heads=dim // tables[0][1],
            hidden=shape("image_encoder.blocks.0.mlp.lin1.weight")[0],
            window_size=min(windows) if min(windows) < side else 0,
            global_attn_indexes=tuple(i for i, window in enumerate(windows) if window == side),
            width=shape("image_encoder.neck.0.weight")[0],
            mask_channels=4 * shape("prompt_encoder.mask_downscaling.0.weight")[0],
            decoder_layers=count("mask_decoder.transformer.layers."),
            decoder_hidden=shape("mask_decoder.transformer.layers.0.mlp.lin1.weight")[0],
            num_multimask_outputs=shape("mask_decoder.mask_tokens.weight")[0] - 1,
            iou_head_depth=count("mask_decoder.iou_prediction_head.layers."),
            iou_head_hidden_dim=shape("mask_decoder.iou_prediction_head.layers.0.weight")[0],
        )
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"{source} is no checkpoint of segment_anything: it lacks {error}") from None
