"""Tiny checkpoints of the architectures that the hub has today, with random weights, in the files that the hub has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as T

from tests.tools.backends.conftest import TOWER, VISION, shake, text_tower, words

CHAT = (
    "{% for m in messages %}{{ m.role }} : "
    "{% for c in m.content %}{% if c.type == 'image' %}IMAGE {% else %}{{ c.text }}{% endif %}{% endfor %} "
    "{% endfor %}{% if add_generation_prompt %}answer : {% endif %}"
)


def save_chat(folder: Path, kind: str, image: str, tokenizer: Any, processor: Any, **settings: Any) -> None:
    """The files of a processor whose chat template writes `image` where an image stands."""
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(CHAT.replace("IMAGE", image), encoding="utf-8")
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": kind, **settings}))


def language_model(tokenizer: Any, **more: Any) -> dict[str, Any]:
    return text_tower(tokenizer, num_key_value_heads=2, max_position_embeddings=4096, **more)


def save_qwen3_vl(folder: Path, kind: str = "Qwen3VL", **more: Any) -> None:
    marks = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    tokenizer = words("<pad>", "<s>", "</s>", *marks, wrap=False)
    ids = [tokenizer.convert_tokens_to_ids(mark) for mark in marks]
    rope = {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [1, 1, 2],
        "mrope_interleaved": True,
    }
    config = T.Qwen3VLConfig(
        text_config=language_model(tokenizer, head_dim=8, rope_parameters=rope),
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "out_hidden_size": 32,
            "patch_size": 8, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=ids[0], video_token_id=ids[1], vision_start_token_id=ids[2], vision_end_token_id=ids[3],
    )  # fmt: skip
    shake(T.Qwen3VLForConditionalGeneration(config)).save_pretrained(folder)
    processor = T.Qwen2VLImageProcessorPil(
        patch_size=8, merge_size=2, size={"shortest_edge": 32 * 32, "longest_edge": 64 * 64}
    )
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    save_chat(folder, "Qwen3VLProcessor", image, tokenizer, processor)


def save_smolvlm(folder: Path) -> None:
    marks = ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<video>")
    rows = tuple(f"<row_{r}_col_{c}>" for r in range(1, 5) for c in range(1, 5))
    tokenizer = words("<pad>", "<s>", "</s>", *marks, *rows, wrap=False)
    config = T.SmolVLMConfig(
        text_config={"model_type": "llama", **language_model(tokenizer)},
        vision_config=VISION,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    shake(T.SmolVLMForConditionalGeneration(config)).save_pretrained(folder)
    processor = T.SmolVLMImageProcessorPil(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}, do_image_splitting=True
    )
    save_chat(folder, "SmolVLMProcessor", "<image>", tokenizer, processor, image_seq_len=4)


def save_llava_onevision(folder: Path) -> None:
    tokenizer = words("<pad>", "<s>", "</s>", "<image>", "<video>", wrap=False)
    pinpoints = [[32, 32], [32, 64], [64, 32], [64, 64]]
    config = T.LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **language_model(tokenizer)},
        vision_config={"model_type": "siglip_vision_model", **VISION},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints, vision_feature_select_strategy="full", vision_feature_layer=-1,
    )  # fmt: skip
    shake(T.LlavaOnevisionForConditionalGeneration(config)).save_pretrained(folder)
    processor = T.LlavaOnevisionImageProcessorPil(
        size={"height": 32, "width": 32}, image_grid_pinpoints=pinpoints
    )
    save_chat(
        folder, "LlavaOnevisionProcessor", "<image>", tokenizer, processor, num_image_tokens=16,
        vision_feature_select_strategy="full",
    )  # fmt: skip


def save_internvl(folder: Path) -> None:
    marks = {
        "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }  # fmt: skip
    plain = words("<pad>", "<s>", "</s>", *marks.values(), wrap=False)
    tokenizer = T.PreTrainedTokenizerFast(
        tokenizer_object=plain.backend_tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        unk_token="[UNK]", extra_special_tokens=marks,
    )  # fmt: skip
    config = T.InternVLConfig(
        text_config={"model_type": "qwen2", **language_model(tokenizer)},
        vision_config={**TOWER, "image_size": [32, 32], "patch_size": [8, 8]},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
    )
    shake(T.InternVLForConditionalGeneration(config)).save_pretrained(folder)
    processor = T.GotOcr2ImageProcessorPil(
        size={"height": 32, "width": 32}, crop_to_patches=True, min_patches=1, max_patches=4
    )
    save_chat(folder, "InternVLProcessor", "<IMG_CONTEXT>", tokenizer, processor, image_seq_length=4)


CLASSES = {0: "N/A", 1: "person", 2: "tv", 3: "LABEL_3", 4: "dining table", 5: "cat"}


def stir(network: Any) -> Any:
    """Weights of such a size that what convolutions see stays of the same order."""
    with torch.no_grad():
        for weight in network.parameters():
            if weight.dim() > 1:
                weight.normal_(std=(weight.numel() / weight.shape[0]) ** -0.5)
    return network


def save_detector(folder: Path, network: Any, processor: Any) -> None:
    with torch.no_grad():
        for name, weight in stir(network).named_parameters():
            if "class" in name and name.endswith(".bias"):
                weight.zero_()[[0, 3]] = -9.0
            elif "class" in name:  # so that all classes are found somewhere
                weight *= 8
    network.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)


def decoder(**more: Any) -> dict[str, Any]:
    """What the configurations of detectors have in common."""
    return {
        "d_model": 32, "decoder_layers": 2, "decoder_ffn_dim": 32, "encoder_ffn_dim": 32,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_queries": 12, "id2label": CLASSES, **more,
    }  # fmt: skip


def save_detr(folder: Path) -> None:
    backbone = T.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 16, 32], depths=[1] * 4, out_features=["stage4"]
    )
    config = T.DetrConfig(backbone_config=backbone, encoder_layers=1, **decoder())
    processor = T.DetrImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    save_detector(folder, T.DetrForObjectDetection(config), processor)


def hybrid(**more: Any) -> dict[str, Any]:
    """What the configurations of RT-DETR and its successors have in common."""
    return decoder(
        encoder_hidden_dim=32, encoder_in_channels=[16, 16, 32], feat_strides=[8, 16, 32],
        decoder_in_channels=[32, 32, 32], **more,
    )  # fmt: skip


def save_rt_detr_v2(folder: Path) -> None:
    backbone = T.RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 16, 32], depths=[1] * 4, out_features=["stage2", "stage3", "stage4"],
        layer_type="basic",
    )  # fmt: skip
    network = T.RTDetrV2ForObjectDetection(T.RTDetrV2Config(backbone_config=backbone, **hybrid()))
    save_detector(folder, network, T.RTDetrImageProcessorPil(size={"height": 64, "width": 64}))


def save_d_fine(folder: Path) -> None:
    backbone = T.HGNetV2Config(
        stem_channels=[3, 8, 8], stage_in_channels=[8, 8, 16, 16], stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[8, 16, 16, 32], stage_num_blocks=[1] * 4, stage_numb_of_layers=[1] * 4,
        stage_downsample=[False, True, True, True], stage_light_block=[False] * 4, stage_kernel_size=[3] * 4,
        embedding_size=8, hidden_sizes=[8, 16, 16, 32], depths=[1] * 4, out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    network = T.DFineForObjectDetection(T.DFineConfig(backbone_config=backbone, **hybrid()))
    save_detector(folder, network, T.RTDetrImageProcessorPil(size={"height": 64, "width": 64}))


def save_rf_detr(folder: Path) -> None:
    backbone = {
        "model_type": "rf_detr_dinov2", "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2,
        "image_size": 56, "patch_size": 14, "num_windows": 2, "out_features": ["stage2", "stage4"],
    }  # fmt: skip
    config = T.RfDetrConfig(
        backbone_config=backbone, d_model=32, decoder_layers=2, decoder_ffn_dim=32, num_queries=12,
        decoder_self_attention_heads=2, decoder_cross_attention_heads=2, group_detr=1, id2label=CLASSES,
    )  # fmt: skip
    save_detector(folder, T.RfDetrForObjectDetection(config), None)
    settings = {"image_processor_type": "RfDetrImageProcessor", "size": {"height": 56, "width": 56}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def sam2_config(video: bool) -> Any:
    hiera = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1, "image_size": [64, 64],
        "blocks_per_stage": [1, 2, 2, 1], "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 2, 4, 8], "window_size_per_stage": [8, 4, 8, 4],
        "window_positional_embedding_background_size": [4, 4], "global_attention_blocks": [4], "mlp_ratio": 2.0,
    }  # fmt: skip
    vision = {
        "backbone_config": hiera, "backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 16,
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
    }  # fmt: skip
    prompts = {"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 8}
    masks = {
        "hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "iou_head_hidden_dim": 16,
    }  # fmt: skip
    kind = T.Sam2VideoConfig if video else T.Sam2Config
    memory = {
        "image_size": 64, "memory_attention_hidden_size": 16, "memory_attention_feed_forward_hidden_size": 16,
        "memory_attention_num_layers": 1, "memory_encoder_hidden_size": 16, "memory_encoder_output_channels": 8,
        "mask_downsampler_embed_dim": 16, "memory_fuser_embed_dim": 16, "memory_fuser_intermediate_dim": 16,
    } if video else {}  # fmt: skip
    return kind(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=masks, **memory)


def save_sam2(folder: Path, video: bool = False) -> None:
    network = (T.Sam2VideoModel if video else T.Sam2Model)(sam2_config(video))
    stir(network).save_pretrained(folder)
    settings = {"image_processor_type": "Sam2ImageProcessorFast", "size": {"height": 64, "width": 64}}
    settings["mask_size"] = {"height": 16, "width": 16}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def save_sam2_video(folder: Path) -> None:
    """What the hub has of SAM 2.1: the model for videos, of which images need a part."""
    save_sam2(folder, video=True)


def save_florence2(folder: Path) -> None:
    plain = words("<pad>", "<s>", "</s>", "<image>", *(f"<loc_{i}>" for i in range(1000)), wrap=False)
    tokenizer = T.PreTrainedTokenizerFast(
        tokenizer_object=plain.backend_tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        unk_token="[UNK]", extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    config = T.Florence2Config(
        text_config={
            "model_type": "bart", "vocab_size": len(tokenizer), "d_model": 32, "encoder_layers": 1,
            "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "encoder_attention_heads": 2,
            "decoder_attention_heads": 2, "max_position_embeddings": 256, **ids,
        },
        vision_config={
            "embed_dim": [8, 16], "depths": [1, 1], "num_heads": [1, 2], "num_groups": [1, 2], "patch_size": [7, 3],
            "patch_stride": [4, 2], "patch_padding": [3, 1], "patch_prenorm": [False, True], "window_size": 4,
            "projection_dim": 32, "max_position_embeddings": 20,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"), **ids,
    )  # fmt: skip
    shake(T.Florence2ForConditionalGeneration(config)).save_pretrained(folder)
    processor = T.CLIPImageProcessorPil(
        size={"height": 64, "width": 64}, do_center_crop=False, crop_size={"height": 64, "width": 64}
    )
    processor.image_seq_length = 65
    parsers = {
        "ocr": {},
        "pure_text": {},
        "description_with_bboxes": {},
        "description_with_bboxes_or_polygons": {},
    }
    T.Florence2Processor(processor, tokenizer, post_processor_config=parsers).save_pretrained(folder)


SAVERS: dict[str, Callable[[Path], None]] = {
    "qwen3-vl": save_qwen3_vl,
    "smolvlm": save_smolvlm,
    "llava-onevision": save_llava_onevision,
    "internvl": save_internvl,
    "detr": save_detr,
    "rt-detr-v2": save_rt_detr_v2,
    "d-fine": save_d_fine,
    "rf-detr": save_rf_detr,
    "sam2": save_sam2,
    "florence2": save_florence2,
    "sam2-video": save_sam2_video,
}
