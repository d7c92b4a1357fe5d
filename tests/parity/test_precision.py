"""All models in half precision, against themselves in float32 and against transformers' in the same precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from visprog.models.clip.model import Clip, ClipConfig, ImageEncoderConfig, TextEncoderConfig  # noqa: E402
from visprog.models.coca import Coca, CocaConfig, CocaImageEncoderConfig  # noqa: E402
from visprog.models.llama import Llama, LlamaConfig, RopeScaling  # noqa: E402
from visprog.models.llava.model import Llava, LlavaConfig  # noqa: E402
from visprog.models.nn.generate import Beams, Sampling  # noqa: E402
from visprog.models.nn.quantised import quantise  # noqa: E402
from visprog.models.owlvit import OwlVit, OwlVitConfig  # noqa: E402
from visprog.models.sam.model import Sam, SamConfig  # noqa: E402
from visprog.models.sam.predictor import SamPredictor  # noqa: E402
from visprog.models.siglip import Siglip, SiglipConfig, SiglipImageEncoderConfig, SiglipTextEncoderConfig  # noqa: E402

IMAGE = ImageEncoderConfig(size=16, patch=4, dim=16, layers=2, heads=2, hidden=32, project=8)
TEXT = TextEncoderConfig(vocab=20, length=6, dim=16, layers=2, heads=2, hidden=32, end=None, project=8)
LLAMA = LlamaConfig(
    vocab=31, dim=16, layers=2, heads=4, kv_heads=2, hidden=24, scaling=RopeScaling("llama3", 8.0)
)
SAM = SamConfig(
    image_size=32, patch=4, dim=16, layers=2, heads=2, hidden=32, window_size=3, global_attn_indexes=(1,), width=32,
    mask_channels=8, decoder_heads=4, decoder_hidden=32, iou_head_hidden_dim=16,
)  # fmt: skip
COCA = CocaConfig(
    CocaImageEncoderConfig(size=16, patch=4, dim=16, layers=2, heads=2, hidden=32), vocab=20, length=8, dim=16,
    unimodal_layers=1, multimodal_layers=1, heads=2, hidden=32, queries=3, pool_heads=2, project=8,
)  # fmt: skip

generator = torch.Generator().manual_seed(0)
IMAGES = torch.randn(2, 3, 16, 16, generator=generator)  # float32, as `ImageProcessor` makes them
LARGER = torch.randn(2, 3, 24, 20, generator=generator)
TOKENS = torch.randint(1, 20, (2, 6), generator=generator)
PADDED = torch.tensor([[False, False, True, True, True, True], [True] * 6])
PROMPTS = torch.tensor([[5] * 16 + [1, 2, 3], [5] * 16 + [4, 6, 7]])

Models = dict[str, tuple[Callable[[], Any], Callable[[Any], list[Any]]]]
MODELS: Models = {
    "clip": (
        lambda: Clip(ClipConfig(IMAGE, TEXT)),
        lambda m: [m(IMAGES, TOKENS).logits, m(LARGER, TOKENS, PADDED).logits],
    ),
    "clip, convolutional stem": (
        lambda: Clip(ClipConfig(ImageEncoderConfig(16, 4, 32, 1, 2, 32, project=8, stem=1), TEXT)),
        lambda m: [m(IMAGES, TOKENS).logits],
    ),
    "siglip": (
        lambda: Siglip(
            SiglipConfig(
                SiglipImageEncoderConfig(size=16, patch=4, dim=16, layers=2, heads=2, hidden=32),
                SiglipTextEncoderConfig(vocab=20, length=6, dim=16, layers=2, heads=2, hidden=32, project=16),
            )
        ),
        lambda m: [m(IMAGES, TOKENS).logits, m(LARGER, TOKENS, PADDED).logits],
    ),
    "owlv2": (
        lambda: OwlVit(OwlVitConfig(replace(IMAGE, project=16), replace(TEXT, project=16), objectness=True)),
        lambda m: [
            getattr(m(images, TOKENS[:, None], PADDED[:, None]), name)
            for images in (IMAGES, LARGER)
            for name in ("logits", "boxes", "objectness")
        ],
    ),
    "sam": (
        lambda: Sam(SAM),
        lambda m: [
            value
            for prompts in (
                {"points": torch.tensor([[[[3.0, 7.0]]]]).expand(2, 1, 1, 2)},
                {"boxes": torch.tensor([[[3.0, 4.0, 20.0, 9.0]]]).expand(2, 1, 4)},
                {"masks": torch.ones(2, 1, 32, 32, dtype=m.prompt_encoder.no_mask_embed.dtype)},
            )
            for value in m(torch.nn.functional.interpolate(IMAGES, 32), **prompts)[:2]
        ],
    ),
    "coca": (
        lambda: Coca(COCA),
        lambda m: [m(IMAGES, TOKENS).logits, m(LARGER, TOKENS).image_embeds, m(IMAGES, TOKENS).text_embeds],
    ),
    "llama": (lambda: Llama(LLAMA), lambda m: [m(TOKENS).logits, m(TOKENS, PADDED).logits[PADDED]]),
    "llava": (
        lambda: Llava(LlavaConfig(IMAGE, LLAMA, image_token=5)),
        lambda m: [m(PROMPTS, IMAGES).logits, m(PROMPTS, image_features=m.encode_images(IMAGES)).logits],
    ),
}
HALF = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])


def make(name: str) -> Any:
    torch.manual_seed(0)
    return MODELS[name][0]().eval()


@HALF
@pytest.mark.parametrize("name", MODELS)
def test_half_precision_is_close_to_the_whole(name: str, dtype: Any) -> None:
    run = MODELS[name][1]
    with torch.no_grad():
        want, have = run(make(name)), run(make(name).to(dtype))
    for a, b in zip(want, have, strict=True):
        assert b.dtype in (dtype, torch.float32) and a.shape == b.shape  # boxes stay float32
        close = 0.03 if dtype == torch.bfloat16 else 0.004
        torch.testing.assert_close(b.float(), a, atol=close * max(1, float(a.abs().max())), rtol=0.02)


@HALF
@pytest.mark.parametrize("search", [None, Beams(3), Sampling(top_k=4)], ids=["greedy", "beams", "sampling"])
def test_texts_are_written_in_half_precision(search: Any, dtype: Any) -> None:
    llama, llava, coca = (make(name).to(dtype) for name in ("llama", "llava", "coca"))
    written = [
        llama.generate(TOKENS, 5, mask=PADDED, search=search),
        llava.generate(PROMPTS, IMAGES, 5, search=search),
        coca.generate(IMAGES, torch.tensor([1, 2]), 5, search=search),
        coca.generate(torch.stack([IMAGES, IMAGES]), torch.tensor([1, 2]), 5, search=search),
    ]
    assert all(ids.shape == (2, 5) for ids in written)
    cache = llama.new_cache(2, 6)
    parts = [llama(TOKENS[:, a:b], cache=cache).logits for a, b in ((0, 3), (3, 4), (4, 6))]
    assert cache[0].keys.dtype == dtype
    torch.testing.assert_close(torch.cat(parts, 1), llama(TOKENS).logits, atol=0.03, rtol=0.03)


@HALF
def test_frequencies_stay_as_they_are(dtype: Any) -> None:
    llama, sam = make("llama"), make("sam")
    rotary, prompts = llama.rotary.frequencies.clone(), sam.prompt_encoder.frequencies.clone()
    for model in (llama.to(dtype), sam.to(dtype)):
        assert all(parameter.dtype == dtype for parameter in model.parameters())
    assert torch.equal(llama.rotary.frequencies, rotary) and torch.equal(
        sam.prompt_encoder.frequencies, prompts
    )
    far = torch.tensor([[8191]])
    want = (far.double() * rotary.double()).cos()
    torch.testing.assert_close(
        llama.rotary(far, dtype)[0][0, 0, 0, :2].double(), want[0], atol=0.01, rtol=0.01
    )


@HALF
@pytest.mark.parametrize("scaled", [False, True])
def test_llama_is_that_of_transformers_in_half_precision(scaled: bool, dtype: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    rope = {"rope_type": "default", "rope_theta": 1e4}
    if scaled:
        rope = {**rope, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32}  # fmt: skip
    config = transformers.LlamaConfig(
        vocab_size=31, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.3, rope_parameters=rope,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).to(dtype).save_pretrained(tmp_path)
    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path, dtype=dtype).eval()
    ours = Llama.from_pretrained(tmp_path, dtype="auto").eval()
    tokens = torch.randint(0, 31, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        want, have = theirs(tokens).logits, ours(tokens).logits
    assert have.dtype == dtype
    torch.testing.assert_close(have, want, atol=0.03 * float(want.abs().max()), rtol=0.03)


@HALF
def test_sam_answers_in_half_precision(dtype: Any) -> None:
    """Coordinates keep every pixel: those of a large image are beyond what half precision can count."""
    image = np.random.default_rng(0).integers(0, 256, (600, 801, 3), dtype=np.uint8)
    box, point = torch.tensor([[300.0, 100.0, 703.0, 301.0]]), torch.tensor([[[701.0, 103.0]]])
    answers = []
    for model in (make("sam"), make("sam").to(dtype)):
        predictor = SamPredictor(model)
        predictor.set_image(image)
        first = predictor.predict(boxes=box)
        answers.append(
            [first, predictor.predict(points=point), predictor.predict(masks=first.low_res_masks[:, 0])]
        )
    for whole, half in zip(*answers, strict=True):
        assert half.logits.shape == whole.logits.shape and half.logits.dtype == torch.float32
        close = 0.05 * float(whole.logits.abs().max())
        torch.testing.assert_close(half.logits, whole.logits, atol=close, rtol=0.05)


@pytest.mark.parametrize("name", ["llama", "llava", "coca", "clip", "siglip"])
def test_layers_with_int8_weights_run(name: str) -> None:
    model = make(name)
    for part, _ in list(model.named_children()):
        quantise(model, part)
    with torch.no_grad():
        for a, b in zip(MODELS[name][1](make(name)), MODELS[name][1](model), strict=True):
            torch.testing.assert_close(b, a, atol=0.1 * max(1, float(a.detach().abs().max())), rtol=0.1)
    if name == "llama":
        assert model.generate(TOKENS, 4).shape == (2, 4)
    if name == "llava":
        assert model.generate(PROMPTS, IMAGES, 4).shape == (2, 4)
    if name == "coca":
        assert model.generate(IMAGES, torch.tensor([1]), 4).shape == (2, 4)


def test_autocast_still_runs() -> None:
    llama = make("llama")
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        torch.testing.assert_close(llama(TOKENS).logits.float(), llama.float()(TOKENS).logits.float())
        assert llama.generate(TOKENS, 4, mask=PADDED).shape == (2, 4)
