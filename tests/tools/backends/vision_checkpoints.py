"""Tiny checkpoints with random weights of models without words to write: SAM 3, depth estimators, image encoders."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import transformers as T
from safetensors.torch import save_file
from transformers.modeling_outputs import BaseModelOutput

from tests.tools.backends.conftest import TOWER, VISION, shake, text_tower, words
from tests.tools.backends.hub_checkpoints import stir


def write_settings(folder: Path, **settings: Any) -> None:
    """The `preprocessor_config.json` of a processor that cannot be made without torchvision."""
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


# -- SAM 3 ---------------------------------------------------------------------------------------


SAM3_VISION: dict[str, Any] = {
    "backbone_config": {
        "model_type": "sam3_vit_model", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": 56, "pretrain_image_size": 28, "patch_size": 14, "window_size": 2,
        "global_attn_indexes": [1],
    },
    "fpn_hidden_size": 16, "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
}  # fmt: skip
HEADS = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}


def sam3_config(tokenizer: Any) -> Any:
    return T.Sam3Config(
        vision_config=SAM3_VISION,
        text_config={
            **text_tower(tokenizer, max_position_embeddings=32), "model_type": "clip_text_model",
            "projection_dim": 16,
        },
        geometry_encoder_config={**HEADS, "num_layers": 1, "roi_size": 2},
        detr_encoder_config={**HEADS, "num_layers": 1},
        detr_decoder_config={**HEADS, "num_layers": 2, "num_queries": 8},
        mask_decoder_config={"hidden_size": 16, "num_attention_heads": 2},
    )  # fmt: skip


def save_sam3(folder: Path) -> None:
    """What the hub has of SAM 3: the model for videos, which holds a detector and a tracker."""
    tokenizer = words("<pad>", "<s>", "<end>")
    tracker = T.Sam3TrackerVideoConfig(
        vision_config=SAM3_VISION,
        prompt_encoder_config={"hidden_size": 16, "image_size": 56, "patch_size": 14, "mask_input_channels": 8},
        mask_decoder_config={
            "hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16,
        },
        memory_attention_hidden_size=16, memory_attention_feed_forward_hidden_size=16, memory_attention_num_layers=1,
        memory_encoder_hidden_size=16, memory_encoder_output_channels=8, mask_downsampler_embed_dim=16,
        memory_fuser_embed_dim=16, memory_fuser_intermediate_dim=16, image_size=56,
    )  # fmt: skip
    config = T.Sam3VideoConfig(
        detector_config=sam3_config(tokenizer), tracker_config=tracker, low_res_mask_size=16
    )
    network = stir(T.Sam3VideoModel(config))
    config.save_pretrained(folder)
    # `save_pretrained` of transformers 5.24 writes the prefix of the tracker twice, which it cannot read again.
    weights = {name: weight.clone() for name, weight in network.state_dict().items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    tokenizer.save_pretrained(folder)
    write_settings(
        folder, image_processor_type="Sam3ImageProcessorFast", size={"height": 56, "width": 56},
        mask_size={"height": 16, "width": 16},
    )  # fmt: skip


# -- EdgeTAM -------------------------------------------------------------------------------------


class PyramidConfig(T.PretrainedConfig):
    """Of the stand-in for RepViT, which the published EdgeTAM takes from timm."""

    model_type = "test_pyramid"


class Pyramid(T.PreTrainedModel):
    """Four maps of features, each half as large as the one before."""

    config_class = PyramidConfig
    main_input_name = "pixel_values"

    def __init__(self, config: PyramidConfig) -> None:
        super().__init__(config)
        channels = (3, 8, 8, 16, 16)
        self.stages = torch.nn.ModuleList(
            torch.nn.Conv2d(i, o, 4 if n == 0 else 2, 4 if n == 0 else 2)
            for n, (i, o) in enumerate(pairwise(channels))
        )
        self.post_init()

    def forward(self, pixel_values: torch.Tensor, **_: Any) -> Any:
        maps = list[torch.Tensor]()
        for stage in self.stages:
            maps.append(stage(maps[-1] if maps else pixel_values).tanh())
        return BaseModelOutput(last_hidden_state=maps)


T.AutoConfig.register("test_pyramid", PyramidConfig)
T.AutoModel.register(PyramidConfig, Pyramid)


def save_edgetam(folder: Path) -> None:
    """EdgeTAM, but for its image encoder."""
    config = T.EdgeTamConfig(
        vision_config={
            "backbone_config": {"model_type": "test_pyramid"}, "backbone_channel_list": [16, 16, 8, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": 16,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 8},
        mask_decoder_config={
            "hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16,
        },
    )  # fmt: skip
    stir(T.EdgeTamModel(config)).save_pretrained(folder)
    write_settings(folder, image_processor_type="Sam2ImageProcessorFast", size={"height": 64, "width": 64})


# -- depth ---------------------------------------------------------------------------------------

BACKBONE: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
    "out_features": ["stage1", "stage2", "stage3", "stage4"], "reshape_hidden_states": False,
}  # fmt: skip
SIZES: dict[str, Any] = {"neck_hidden_sizes": [4, 8, 8, 8], "fusion_hidden_size": 8, "head_hidden_size": 4}


def save_depth_anything(folder: Path, kind: str = "relative") -> None:
    config = T.DepthAnythingConfig(
        backbone_config=T.Dinov2Config(**BACKBONE), reassemble_hidden_size=16, patch_size=14,
        depth_estimation_type=kind, max_depth=20, **SIZES,
    )  # fmt: skip
    shake(T.DepthAnythingForDepthEstimation(config)).save_pretrained(folder)
    T.DPTImageProcessorPil(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14
    ).save_pretrained(folder)


def save_depth_anything_metric(folder: Path) -> None:
    save_depth_anything(folder, "metric")


def save_zoedepth(folder: Path) -> None:
    backbone = T.BeitConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=64, patch_size=16,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False,
        use_relative_position_bias=True,
    )  # fmt: skip
    config = T.ZoeDepthConfig(
        backbone_config=backbone, bottleneck_features=16, num_relative_features=4, num_attractors=[4, 4, 4, 4],
        bin_embedding_dim=8, bin_configurations=[{"n_bins": 8, "min_depth": 0.1, "max_depth": 10.0, "name": "nyu"}],
        patch_transformer_hidden_size=8, patch_transformer_intermediate_size=8, **{**SIZES, "fusion_hidden_size": 16},
    )  # fmt: skip
    shake(T.ZoeDepthForDepthEstimation(config)).save_pretrained(folder)
    T.ZoeDepthImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)


def save_dpt(folder: Path) -> None:
    config = T.DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=16,
        backbone_out_indices=[0, 1, 2, 3], is_hybrid=False, **{**SIZES, "neck_hidden_sizes": [4, 4, 4, 4]},
    )  # fmt: skip
    shake(T.DPTForDepthEstimation(config)).save_pretrained(folder)
    T.DPTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


def save_glpn(folder: Path) -> None:
    config = T.GLPNConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1] * 4, num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=8
    )
    shake(T.GLPNForDepthEstimation(config)).save_pretrained(folder)
    T.GLPNImageProcessorPil().save_pretrained(folder)


def save_depth_pro(folder: Path, field_of_view: bool = True) -> None:
    encoder = {
        "model_type": "dinov2", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32,
        "patch_size": 8,
    }  # fmt: skip
    config = T.DepthProConfig(
        fusion_hidden_size=16, patch_size=32, intermediate_hook_ids=[1, 0], intermediate_feature_dims=[8, 8],
        scaled_images_ratios=[0.25, 0.5, 1], scaled_images_overlap_ratios=[0.0, 0.5, 0.25],
        scaled_images_feature_dims=[16, 16, 8], merge_padding_value=1, use_fov_model=field_of_view,
        image_model_config=encoder, patch_model_config=encoder, fov_model_config=encoder,
    )  # fmt: skip
    shake(T.DepthProForDepthEstimation(config)).save_pretrained(folder)
    write_settings(
        folder, image_processor_type="DepthProImageProcessorFast", size={"height": 128, "width": 128}
    )


# -- image encoders ------------------------------------------------------------------------------


def save_dinov3(folder: Path) -> None:
    config = T.DINOv3ViTConfig(**TOWER, image_size=32, patch_size=8, num_register_tokens=2)
    shake(T.DINOv3ViTModel(config)).save_pretrained(folder)
    write_settings(
        folder, image_processor_type="DINOv3ViTImageProcessorFast", size={"height": 32, "width": 32}
    )


def save_dinov3_convnext(folder: Path) -> None:
    config = T.DINOv3ConvNextConfig(hidden_sizes=[8, 8, 16, 32], depths=[1] * 4, layer_scale_init_value=1.0)
    shake(T.DINOv3ConvNextModel(config)).save_pretrained(folder)
    write_settings(
        folder, image_processor_type="DINOv3ViTImageProcessorFast", size={"height": 64, "width": 64}
    )


def save_dinov2(folder: Path) -> None:
    config = T.Dinov2Config(**TOWER, image_size=32, patch_size=8)
    shake(T.Dinov2Model(config)).save_pretrained(folder)
    T.BitImageProcessorPil(size={"shortest_edge": 40}, crop_size=32).save_pretrained(folder)


# -- SigLIP 2 ------------------------------------------------------------------------------------


def save_gemma_tokenizer(folder: Path, length: int, **settings: Any) -> int:
    """The tokenizer of Gemma as SigLIP 2 has it, of few tokens, and the number of these.

    Spaces are "▁", bytes stand for what is not known, and "<eos>" ends a text. That letters are lowered first is not
    part of the file.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    letters = [*"▁abcdefghijklmnopqrstuvwxyzABC.,'!?"]
    merges = [
        ("▁", "a"),
        ("c", "a"),
        ("ca", "t"),
        ("▁", "cat"),
        ("▁", "d"),
        ("▁d", "o"),
        ("▁do", "g"),
        ("r", "e"),
    ]
    merged = [a + b for a, b in merges]
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *letters, *merged]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", vocabulary["<eos>"])]
    )
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "GemmaTokenizer", "pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>",
        "unk_token": "<unk>", "add_bos_token": False, "add_eos_token": True, "padding_side": "right",
        "model_max_length": length, **settings,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return len(vocabulary)


def siglip_text(size: int) -> dict[str, Any]:
    return {
        **TOWER, "vocab_size": size, "max_position_embeddings": 16, "projection_size": 32, "pad_token_id": 0,
        "bos_token_id": 2, "eos_token_id": 1,
    }  # fmt: skip


def save_siglip2(folder: Path) -> None:
    """A SigLIP 2 of one resolution: the network of SigLIP, and the tokenizer of Gemma."""
    size = save_gemma_tokenizer(folder, 16, processor_class="SiglipProcessor")
    shake(T.SiglipModel(T.SiglipConfig(text_config=siglip_text(size), vision_config=VISION))).save_pretrained(
        folder
    )
    T.SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


def save_siglip2_naflex(folder: Path) -> None:
    """A SigLIP 2 of any resolution, which has a network of its own."""
    size = save_gemma_tokenizer(folder, 16, processor_class="Siglip2Processor")
    vision = {**TOWER, "patch_size": 8, "num_patches": 16}
    shake(
        T.Siglip2Model(T.Siglip2Config(text_config=siglip_text(size), vision_config=vision))
    ).save_pretrained(folder)
    T.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16).save_pretrained(folder)


SAVERS: dict[str, Callable[[Path], None]] = {
    "sam3": save_sam3,
    "edgetam": save_edgetam,
    "depth-anything": save_depth_anything,
    "depth-anything-metric": save_depth_anything_metric,
    "zoedepth": save_zoedepth,
    "dpt": save_dpt,
    "glpn": save_glpn,
    "depth-pro": save_depth_pro,
    "siglip2": save_siglip2,
    "siglip2-naflex": save_siglip2_naflex,
    "dinov2": save_dinov2,
    "dinov3": save_dinov3,
    "dinov3-convnext": save_dinov3_convnext,
}
