"""Tiny checkpoints of the architectures that the hub has today, with random weights, in the files that the hub has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


SAVERS: dict[str, Callable[[Path], None]] = {
    "qwen3-vl": save_qwen3_vl,
    "smolvlm": save_smolvlm,
    "llava-onevision": save_llava_onevision,
    "internvl": save_internvl,
}
