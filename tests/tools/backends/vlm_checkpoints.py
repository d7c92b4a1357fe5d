"""Tiny image-text-to-text checkpoints with random weights, in the files that the hub has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers as T

from tests.tools.backends.conftest import TOWER, VISION, shake, words
from tests.tools.backends.hub_checkpoints import CHAT, language_model, save_chat

MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2], "mrope_interleaved": True}


def with_names(plain: Any, **names: str) -> Any:
    """A tokenizer whose special tokens have names, such as `image_token`."""
    return T.PreTrainedTokenizerFast(
        tokenizer_object=plain.backend_tokenizer, pad_token=plain.pad_token, bos_token=plain.bos_token,
        eos_token=plain.eos_token, unk_token="[UNK]", extra_special_tokens=names,
    )  # fmt: skip


def write_image_processor(folder: Path, **settings: Any) -> None:
    """The settings of an image processor that transformers has for torchvision alone."""
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def save_gemma_chat(
    folder: Path, kind: str, image: str, tokenizer: Any, processor: Any, **settings: Any
) -> None:
    """As `save_chat`; both the template and the tokenizer write the token that begins a text; a prompt has one."""
    from tokenizers import processors

    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", tokenizer.bos_token_id)]
    )
    save_chat(folder, kind, image, tokenizer, processor, **settings)
    (folder / "chat_template.jinja").write_text("{{ bos_token }}" + CHAT.replace("IMAGE", image))


class Saved:
    """In the place of an image processor whose settings are written by hand."""

    def save_pretrained(self, folder: Path) -> None:
        """Nothing."""


def save_qwen3_5(folder: Path) -> None:
    marks = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    tokenizer = words("<pad>", "<s>", "</s>", *marks, wrap=False)
    ids = [tokenizer.convert_tokens_to_ids(mark) for mark in marks]
    rope = MROPE | {"partial_rotary_factor": 1.0}
    config = T.Qwen3_5Config(
        text_config=language_model(
            tokenizer, head_dim=8, rope_parameters=rope, layer_types=["linear_attention", "full_attention"],
            linear_num_key_heads=2, linear_num_value_heads=2, linear_key_head_dim=8, linear_value_head_dim=8,
        ),
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "out_hidden_size": 32,
            "patch_size": 8, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 16,
        },
        image_token_id=ids[0], video_token_id=ids[1], vision_start_token_id=ids[2], vision_end_token_id=ids[3],
    )  # fmt: skip
    shake(T.Qwen3_5ForConditionalGeneration(config)).save_pretrained(folder)
    processor = T.Qwen2VLImageProcessorPil(
        patch_size=8, merge_size=2, size={"shortest_edge": 32 * 32, "longest_edge": 64 * 64}
    )
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    save_chat(folder, "Qwen3VLProcessor", image, tokenizer, processor)


def save_molmo2(folder: Path) -> None:
    marks = (
        "<im_patch>", "<im_col>", "<im_start>", "<low_res_im_start>", "<frame_start>", "<im_end>", "<frame_end>",
        "<im_low>", "<|image|>", "<|video|>",
    )  # fmt: skip
    tokenizer = words("<pad>", "<s>", "</s>", *marks, wrap=False)
    ids = dict(zip(marks, tokenizer.convert_tokens_to_ids(list(marks)), strict=True))
    text = language_model(tokenizer, head_dim=8, rope_parameters={"rope_type": "default", "rope_theta": 1e4})
    text["vocab_size"] -= 8  # the last words are in the additional vocabulary
    config = T.Molmo2Config(
        text_config=text | {"additional_vocab_size": 8},
        vision_config={
            **TOWER, "image_size": [56, 56], "patch_size": 7, "num_key_value_heads": 4, "head_dim": 8,
        },
        adapter_config={
            "vision_feature_layer": [1, 0], "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 4,
            "head_dim": 8, "intermediate_size": 64, "text_hidden_size": 32,
        },
        image_patch_id=ids["<im_patch>"], image_start_token_id=ids["<im_start>"],
        low_res_image_start_token_id=ids["<low_res_im_start>"], image_end_token_id=ids["<im_end>"],
        frame_start_token_id=ids["<frame_start>"], frame_end_token_id=ids["<frame_end>"],
    )  # fmt: skip
    shake(T.Molmo2ForConditionalGeneration(config)).save_pretrained(folder)
    save_chat(folder, "Molmo2Processor", "<|image|>", tokenizer, Saved())
    write_image_processor(
        folder, image_processor_type="Molmo2ImageProcessor", size={"height": 56, "width": 56}, patch_size=7,
        overlap_margins=[1, 2], max_crops=4, resample=2, image_mean=[0.5, 0.4, 0.6], image_std=[0.5, 0.3, 0.2],
    )  # fmt: skip


GEMMA = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}


def save_gemma3(folder: Path) -> None:
    tokenizer = with_names(words("<pad>", "<bos>", "<eos>", *GEMMA.values(), wrap=False), **GEMMA)
    config = T.Gemma3Config(
        text_config=language_model(
            tokenizer, head_dim=8, sliding_window=64, layer_types=LAYERS, tie_word_embeddings=False
        ),
        vision_config=VISION, mm_tokens_per_image=4, image_token_index=tokenizer.image_token_id,
        boi_token_index=tokenizer.boi_token_id, eoi_token_index=tokenizer.eoi_token_id, tie_word_embeddings=False,
    )  # fmt: skip
    shake(T.Gemma3ForConditionalGeneration(config)).save_pretrained(folder)
    processor = T.Gemma3ImageProcessorPil(size={"height": 32, "width": 32})
    save_gemma_chat(folder, "Gemma3Processor", "<start_of_image>", tokenizer, processor, image_seq_length=4)


LAYERS = ["sliding_attention", "full_attention"]


def gemma4_parts() -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """A tokenizer, the configuration of a language model, and the other settings of a Gemma 4."""
    names = {
        "boi_token": "<|image>", "image_token": "<|image|>", "eoi_token": "<image|>", "boa_token": "<|audio>",
        "audio_token": "<|audio|>", "eoa_token": "<audio|>",
    }  # fmt: skip
    marks = (*names.values(), "<|video|>", "<|channel>", "<channel|>")
    tokenizer = with_names(words("<pad>", "<bos>", "<eos>", *marks, wrap=False), **names)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|video|>", "<|channel>", "<channel|>"]})
    text = language_model(
        tokenizer, head_dim=8, global_head_dim=8, sliding_window=64, layer_types=LAYERS,
        use_bidirectional_attention="vision", tie_word_embeddings=False,
    )  # fmt: skip
    ids = {
        "boi_token_id": tokenizer.boi_token_id, "eoi_token_id": tokenizer.eoi_token_id,
        "image_token_id": tokenizer.image_token_id, "boa_token_id": tokenizer.boa_token_id,
        "eoa_token_index": tokenizer.eoa_token_id, "audio_token_id": tokenizer.audio_token_id,
        "video_token_id": tokenizer.convert_tokens_to_ids("<|video|>"),
    }  # fmt: skip
    return tokenizer, text, ids | {"tie_word_embeddings": False}


def save_gemma4(folder: Path) -> None:
    tokenizer, text, ids = gemma4_parts()
    config = T.Gemma4Config(
        text_config=text | {"vocab_size_per_layer_input": len(tokenizer), "hidden_size_per_layer_input": 8},
        vision_config={
            **TOWER, "num_key_value_heads": 4, "head_dim": 8, "patch_size": 8, "pooling_kernel_size": 2,
            "position_embedding_size": 1024,
        },
        **ids,
    )  # fmt: skip
    shake(T.Gemma4ForConditionalGeneration(config)).save_pretrained(folder)
    processor = T.Gemma4ImageProcessorPil(patch_size=8, pooling_kernel_size=2, max_soft_tokens=70)
    save_gemma_chat(folder, "Gemma4Processor", "<|image|>", tokenizer, processor)


def save_gemma4_unified(folder: Path) -> None:
    tokenizer, text, ids = gemma4_parts()
    vision = {"patch_size": 4, "pooling_kernel_size": 2, "mm_embed_dim": 32, "output_proj_dims": 32}
    config = T.Gemma4UnifiedConfig(text_config=text, vision_config=vision, **ids)
    shake(T.Gemma4UnifiedForConditionalGeneration(config)).save_pretrained(folder)
    save_gemma_chat(folder, "Gemma4UnifiedProcessor", "<|image|>", tokenizer, Saved())
    write_image_processor(
        folder, image_processor_type="Gemma4UnifiedImageProcessor", patch_size=4, pooling_kernel_size=2,
        max_soft_tokens=70,
    )  # fmt: skip


def save_lfm2_vl(folder: Path) -> None:
    names = {
        "image_token": "<image>", "image_start_token": "<|image_start|>", "image_end_token": "<|image_end|>",
        "image_thumbnail_token": "<|img_thumbnail|>",
    }  # fmt: skip
    tiles = tuple(f"<|img_row_{row}_col_{column}|>" for row in range(1, 5) for column in range(1, 5))
    tokenizer = with_names(words("<pad>", "<s>", "</s>", *names.values(), *tiles, wrap=False), **names)
    config = T.Lfm2VlConfig(
        text_config={
            "model_type": "lfm2", "layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False,
            **language_model(tokenizer), "tie_word_embeddings": False,
        },
        vision_config={"model_type": "siglip2_vision_model", **TOWER, "patch_size": 8, "num_patches": 16},
        image_token_id=tokenizer.image_token_id, projector_hidden_size=32, downsample_factor=2,
        tie_word_embeddings=False,
    )  # fmt: skip
    shake(T.Lfm2VlForConditionalGeneration(config)).save_pretrained(folder)
    save_chat(folder, "Lfm2VlProcessor", "<image>", tokenizer, Saved())
    write_image_processor(
        folder, image_processor_type="Lfm2VlImageProcessorFast", encoder_patch_size=8, tile_size=32, min_tiles=2,
        max_tiles=4, min_image_tokens=2, max_image_tokens=6, resample=2, image_mean=[0.5, 0.4, 0.6],
        image_std=[0.5, 0.3, 0.2],
    )  # fmt: skip


def save_glm_ocr(folder: Path) -> None:
    marks = ("<|image|>", "<|video|>", "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>",
             "<|end_of_video|>")  # fmt: skip
    tokenizer = words("<pad>", "<s>", "</s>", *marks, wrap=False)
    ids = [tokenizer.convert_tokens_to_ids(mark) for mark in marks]
    rope = {
        "rope_type": "default",
        "rope_theta": 1e4,
        "mrope_section": [1, 1, 2],
        "partial_rotary_factor": 1.0,
    }
    config = T.GlmOcrConfig(
        text_config=language_model(tokenizer, head_dim=8, rope_parameters=rope),
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "out_hidden_size": 32,
            "patch_size": 8, "spatial_merge_size": 2, "temporal_patch_size": 2, "image_size": 32,
        },
        image_token_id=ids[0], video_token_id=ids[1], image_start_token_id=ids[2], image_end_token_id=ids[3],
        video_start_token_id=ids[4], video_end_token_id=ids[5],
    )  # fmt: skip
    shake(T.GlmOcrForConditionalGeneration(config)).save_pretrained(folder)
    processor = T.Glm46VImageProcessorPil(
        patch_size=8, merge_size=2, size={"shortest_edge": 32 * 32, "longest_edge": 2 * 64 * 64}
    )
    image = "<|begin_of_image|><|image|><|end_of_image|>"
    save_chat(folder, "Glm46VProcessor", image, tokenizer, processor)


def save_paddleocr_vl(folder: Path) -> None:
    names = {"image_token": "<|IMAGE_PLACEHOLDER|>"}
    marks = ("<|IMAGE_START|>", "<|IMAGE_END|>")
    tokenizer = with_names(words("<unk>", "<s>", "</s>", *names.values(), *marks, wrap=False), **names)
    tokenizer.add_special_tokens({"additional_special_tokens": list(marks)})
    start, end = (tokenizer.convert_tokens_to_ids(mark) for mark in marks)
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
    config = T.PaddleOCRVLConfig(
        text_config=language_model(tokenizer, head_dim=8, rope_parameters=rope),
        vision_config={**TOWER, "image_size": 32, "patch_size": 8, "spatial_merge_size": 2},
        image_token_id=tokenizer.image_token_id, video_token_id=len(tokenizer) + 1,
        vision_start_token_id=start, vision_end_token_id=end,
    )  # fmt: skip
    shake(T.PaddleOCRVLForConditionalGeneration(config)).save_pretrained(folder)
    processor = T.PaddleOCRVLImageProcessorPil(
        patch_size=8, merge_size=2, size={"shortest_edge": 32 * 32, "longest_edge": 64 * 64}
    )
    image = "<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>"
    save_chat(folder, "PaddleOCRVLProcessor", image, tokenizer, processor)


def save_lighton_ocr(folder: Path) -> None:
    names = {
        "image_token": "<|image_pad|>", "image_break_token": "<|vision_pad|>", "image_end_token": "<|vision_end|>",
    }  # fmt: skip
    tokenizer = with_names(words("<pad>", "<s>", "</s>", *names.values(), wrap=False), **names)
    config = T.LightOnOcrConfig(
        text_config={"model_type": "qwen3", **language_model(tokenizer, head_dim=8)},
        vision_config={"model_type": "pixtral", **TOWER, "head_dim": 8, "image_size": 64, "patch_size": 8},
        image_token_id=tokenizer.image_token_id, spatial_merge_size=2,
    )  # fmt: skip
    shake(T.LightOnOcrForConditionalGeneration(config)).save_pretrained(folder)
    processor = T.PixtralImageProcessorPil(patch_size=16, size={"longest_edge": 64})
    save_chat(
        folder,
        "LightOnOcrProcessor",
        "<|image_pad|>",
        tokenizer,
        processor,
        patch_size=8,
        spatial_merge_size=2,
    )


SAVERS: dict[str, Callable[[Path], None]] = {
    "qwen3-5": save_qwen3_5,
    "molmo2": save_molmo2,
    "gemma3": save_gemma3,
    "gemma4": save_gemma4,
    "gemma4-unified": save_gemma4_unified,
    "lfm2-vl": save_lfm2_vl,
    "glm-ocr": save_glm_ocr,
    "paddleocr-vl": save_paddleocr_vl,
    "lighton-ocr": save_lighton_ocr,
}
