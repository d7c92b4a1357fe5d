"""Tiny checkpoints with random weights, saved the way that real ones are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's package is imported

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
T = pytest.importorskip("transformers", reason="the extra 'hf' is not installed")

from visprog.values import Box, Region  # noqa: E402
from visprog.values.image import Image  # noqa: E402

TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
VISION = {**TOWER, "image_size": 32, "patch_size": 8}
WORDS = """
a photo of the picture close-up cropped cat dog red car person wearing hat something else scene thing . ? : ,
what colour is it describe in one plain sentence look at and answer question single word number text two
"""
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: "
    "{% for c in m.content %}{% if c.type == 'image' %}<image> {% else %}{{ c.text }}{% endif %}{% endfor %} "
    "{% endfor %}{% if add_generation_prompt %}answer: {% endif %}"
)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test loads for itself."""
    monkeypatch.setattr("visprog.tools.backends._checkpoint._loaded", {})


def noise(width: int, height: int, seed: int = 0) -> Image:
    """Coarse random blocks: pictures that even random networks tell apart."""
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    rows = np.arange(height) * 6 // height
    columns = np.arange(width) * 8 // width
    return Image.open(blocks[rows][:, columns])


@pytest.fixture
def pictures() -> list[Image]:
    """Four images of different sizes; the last is a crop, away from the corner of its root."""
    return [noise(60, 40, 1), noise(32, 48, 2), noise(50, 50, 3), noise(90, 70, 4).crop(Box(20, 10, 80, 60))]


@pytest.fixture
def region() -> Region:
    image = noise(90, 70, 5)
    return Region(Box(20, 10, 60, 50), "car", 0.9, image)


def words(pad: str, start: str, end: str, *more: str, wrap: bool = True) -> Any:
    """A tokenizer of whole words; what it does not know is `end`."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    special = [pad, start, end, *more]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([*special, "[UNK]", *WORDS.split()]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s+|(?=[.?:,])"), "removed")
    if wrap:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{start} $A {end}", special_tokens=[(t, vocabulary[t]) for t in (start, end)]
        )
    return T.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, bos_token=start, eos_token=end, unk_token="[UNK]",
        additional_special_tokens=list(more),
    )  # fmt: skip


def shake(network: Any, seed: int = 0) -> Any:
    """Weights large enough that different inputs give clearly different outputs."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.dim() > 1:
                weight.copy_(torch.randn(weight.shape, generator=generator) * weight.shape[-1] ** -0.5)
            elif "logit" not in name and "bias" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    return network


def text_tower(tokenizer: Any, **more: Any) -> dict[str, Any]:
    return {
        **TOWER, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, **more,
    }  # fmt: skip


def save_clip(folder: Path) -> None:
    tokenizer = words("<pad>", "<s>", "<end>")
    config = T.CLIPConfig(
        text_config=text_tower(tokenizer, max_position_embeddings=24), vision_config=VISION, projection_dim=16
    )
    shake(T.CLIPModel(config)).save_pretrained(folder)
    processor = T.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)
    T.CLIPProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)


def save_siglip(folder: Path) -> None:
    tokenizer = words("<pad>", "<s>", "<end>", wrap=False)
    config = T.SiglipConfig(
        text_config=text_tower(tokenizer, max_position_embeddings=16, projection_size=32),
        vision_config=VISION,
    )
    shake(T.SiglipModel(config)).save_pretrained(folder)
    processor = T.SiglipImageProcessorPil(size={"height": 32, "width": 32})
    T.SiglipProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)


def save_owlv2(folder: Path) -> None:
    tokenizer = words("!", "<s>", "<end>")
    config = T.Owlv2Config(
        text_config=text_tower(tokenizer, max_position_embeddings=16), vision_config=VISION, projection_dim=32
    )
    shake(T.Owlv2ForObjectDetection(config)).save_pretrained(folder)
    processor = T.Owlv2ImageProcessorPil(size={"height": 32, "width": 32})
    T.Owlv2Processor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)


def save_owlvit(folder: Path) -> None:
    tokenizer = words("!", "<s>", "<end>")
    config = T.OwlViTConfig(
        text_config=text_tower(tokenizer, max_position_embeddings=16), vision_config=VISION, projection_dim=32
    )
    shake(T.OwlViTForObjectDetection(config)).save_pretrained(folder)
    processor = T.OwlViTImageProcessorPil(
        size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32}
    )
    T.OwlViTProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)


def save_grounding_dino(folder: Path, config_class: Any = None) -> None:
    tokenizer = words("[PAD]", "[CLS]", "[SEP]")
    config = (config_class or T.GroundingDinoConfig)(
        backbone_config=T.SwinConfig(
            image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], window_size=4,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=T.BertConfig(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=64,
        ),
        d_model=32, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=64, decoder_ffn_dim=64,
        encoder_attention_heads=4, decoder_attention_heads=4, num_queries=20, max_text_len=16,
        disable_custom_kernels=True, fusion_droppath=0.0,
    )  # fmt: skip
    T.AutoModelForZeroShotObjectDetection.from_config(config).save_pretrained(folder)
    processor = T.GroundingDinoImageProcessorPil(size={"shortest_edge": 128, "longest_edge": 192})
    T.GroundingDinoProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)


def save_mm_grounding_dino(folder: Path) -> None:
    """MM-Grounding-DINO and LLMDet."""
    save_grounding_dino(folder, T.MMGroundingDinoConfig)


def save_sam(folder: Path) -> None:
    config = T.SamConfig(
        vision_config={
            "hidden_size": 32, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": 64, "patch_size": 8, "window_size": 4, "global_attn_indexes": [1],
            "num_pos_feats": 8, "mlp_dim": 64,
        },
        prompt_encoder_config={
            "hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 8,
        },
        mask_decoder_config={
            "hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "iou_head_hidden_dim": 16, "attention_downsample_rate": 2,
        },
    )  # fmt: skip
    shake(T.SamModel(config)).save_pretrained(folder)
    processor = T.SamImageProcessorPil(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 16}, mask_pad_size={"height": 16, "width": 16},
    )  # fmt: skip
    T.SamProcessor(processor).save_pretrained(folder)


def save_blip(folder: Path) -> None:
    tokenizer = words("[PAD]", "[CLS]", "[SEP]", "[DEC]", wrap=False)
    config = T.BlipConfig(
        text_config={
            **TOWER, "vocab_size": len(tokenizer), "encoder_hidden_size": 32, "max_position_embeddings": 64,
            "bos_token_id": 3, "sep_token_id": 2, "pad_token_id": 0, "eos_token_id": 2,
        },
        vision_config=VISION,
    )  # fmt: skip
    shake(T.BlipForConditionalGeneration(config)).save_pretrained(folder)
    processor = T.BlipImageProcessorPil(size={"height": 32, "width": 32})
    T.BlipProcessor(processor, tokenizer).save_pretrained(folder)


def save_llava(folder: Path, template: str | None = TEMPLATE) -> None:
    tokenizer = words("<pad>", "<s>", "</s>", "<image>", wrap=False)
    config = T.LlavaConfig(
        text_config={
            "model_type": "llama",
            **text_tower(tokenizer, num_key_value_heads=2, max_position_embeddings=512),
        },
        vision_config={"model_type": "clip_vision_model", **VISION},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )
    shake(T.LlavaForConditionalGeneration(config)).save_pretrained(folder)
    T.LlavaProcessor(
        image_processor=T.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32),
        tokenizer=tokenizer, patch_size=8, vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    ).save_pretrained(folder)  # fmt: skip


def save_blip2(folder: Path, language_model: Any, tokenizer: Any, image: str | None = "<image>") -> None:
    config = T.Blip2Config(
        vision_config=VISION,
        qformer_config={**TOWER, "num_hidden_layers": 3, "vocab_size": 30},
        text_config=language_model,
        num_query_tokens=4,
        image_token_index=image and tokenizer.convert_tokens_to_ids(image),
    )
    shake(T.Blip2ForConditionalGeneration(config)).save_pretrained(folder)
    processor = T.BlipImageProcessorPil(size={"height": 32, "width": 32})
    T.Blip2Processor(processor, tokenizer, 4 if image else None).save_pretrained(folder)


def save_blip2_opt(folder: Path) -> None:
    tokenizer = words("<pad>", "</s>", "[N]", "<image>", wrap=False)
    shape = text_tower(tokenizer, word_embed_proj_dim=32, ffn_dim=64, max_position_embeddings=64)
    save_blip2(folder, T.OPTConfig(**shape), tokenizer)


def save_blip2_t5(folder: Path) -> None:
    tokenizer = words("<pad>", "<s>", "</s>", "<image>", wrap=False)
    config = T.T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0,
        eos_token_id=2, pad_token_id=0, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
    )  # fmt: skip
    save_blip2(folder, config, tokenizer)


def save_blip2_itm(folder: Path) -> None:
    tokenizer = words("[PAD]", "[CLS]", "[SEP]", "[DEC]")
    qformer = {
        **TOWER, "num_hidden_layers": 3, "vocab_size": len(tokenizer), "max_position_embeddings": 32,
        "use_qformer_text_input": True,
    }  # fmt: skip
    config = T.Blip2Config(
        vision_config=VISION, qformer_config=qformer, num_query_tokens=4, image_text_hidden_size=16
    )
    shake(T.Blip2ForImageTextRetrieval(config)).save_pretrained(folder)
    processor = T.BlipImageProcessorPil(size={"height": 32, "width": 32})
    T.Blip2Processor(processor, tokenizer).save_pretrained(folder)


SAVERS: dict[str, Callable[[Path], None]] = {
    "clip": save_clip,
    "siglip": save_siglip,
    "owlv2": save_owlv2,
    "owlvit": save_owlvit,
    "grounding-dino": save_grounding_dino,
    "mm-grounding-dino": save_mm_grounding_dino,
    "sam": save_sam,
    "blip": save_blip,
    "blip2-itm": save_blip2_itm,
    "blip2-opt": save_blip2_opt,
    "blip2-t5": save_blip2_t5,
    "llava": save_llava,
}


def saved_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Gives the folder of a tiny checkpoint of a kind, which is saved when it is first asked for."""
    made: dict[str, str] = {}

    def folder(kind: str) -> str:
        if kind not in made:
            from tests.tools.backends.hub_checkpoints import SAVERS as MORE
            from tests.tools.backends.vision_checkpoints import SAVERS as VISION_ALONE
            from tests.tools.backends.vlm_checkpoints import SAVERS as VLM

            torch.manual_seed(0)
            path = tmp_path_factory.mktemp(kind)
            T.utils.logging.disable_progress_bar()
            (SAVERS | MORE | VISION_ALONE | VLM)[kind](path)
            made[kind] = str(path)
        return made[kind]

    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The folder of a tiny checkpoint of a kind: `checkpoint("clip")`."""
    return saved_checkpoints(tmp_path_factory)
