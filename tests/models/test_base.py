"""Folders say which model they hold, and every model is saved and loaded alike."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import visprog.models as models  # noqa: E402
from visprog.models import BUNDLED, WEIGHTS, PretrainedModel, load_model  # noqa: E402
from visprog.models.albef.model import Albef, AlbefConfig, AlbefImageEncoderConfig  # noqa: E402
from visprog.models.base import MODEL_TYPES  # noqa: E402
from visprog.models.bert import Bert, BertConfig  # noqa: E402
from visprog.models.blip2.generator import Blip2Generator, Blip2GeneratorConfig  # noqa: E402
from visprog.models.blip2.model import Blip2, Blip2Config  # noqa: E402
from visprog.models.blip2.qformer import QFormerConfig  # noqa: E402
from visprog.models.clip.model import (  # noqa: E402
    Clip,
    ClipConfig,
    ImageEncoder,
    ImageEncoderConfig,
    TextEncoder,
    TextEncoderConfig,
)
from visprog.models.coca import Coca, CocaConfig, CocaImageEncoderConfig  # noqa: E402
from visprog.models.dalle.dvae import Dvae, DvaeConfig  # noqa: E402
from visprog.models.dalle.model import Dalle, DalleConfig  # noqa: E402
from visprog.models.diffusion.dit import Dit, DitConfig, TextContext  # noqa: E402
from visprog.models.diffusion.model import Diffusion, DiffusionConfig  # noqa: E402
from visprog.models.llama import Llama, LlamaConfig, RopeScaling  # noqa: E402
from visprog.models.llava.model import Llava, LlavaConfig  # noqa: E402
from visprog.models.lxmert import Lxmert, LxmertConfig  # noqa: E402
from visprog.models.owlvit import OwlVit, OwlVitConfig  # noqa: E402
from visprog.models.probe import Probe, ProbeConfig  # noqa: E402
from visprog.models.regions import Regions  # noqa: E402
from visprog.models.sam.model import Sam, SamConfig  # noqa: E402
from visprog.models.siglip import (  # noqa: E402
    Siglip,
    SiglipConfig,
    SiglipImageEncoder,
    SiglipImageEncoderConfig,
    SiglipTextEncoderConfig,
)
from visprog.models.simclr import Simclr, SimclrConfig  # noqa: E402
from visprog.models.vilbert import Vilbert, VilbertConfig  # noqa: E402
from visprog.models.visualbert import VisualBert, VisualBertConfig  # noqa: E402

IMAGE = ImageEncoderConfig(16, 8, 16, 1, 2, 16, project=16)
TEXT = TextEncoderConfig(20, 6, 16, 1, 2, 16, project=16)
LLAMA = LlamaConfig(20, 16, 1, 2, hidden=16, scaling=RopeScaling("linear", 2.0))
SHAPE: dict[str, Any] = {"dim": 16, "layers": 1, "heads": 2, "hidden": 16}
IMAGES, TOKENS = torch.rand(1, 3, 16, 16), torch.tensor([[1, 2, 3, 4, 5, 6]])

QFORMER = QFormerConfig(3, 16, 2, 2, 16)
DVAE = DvaeConfig(16, 3, 2, 4, 8, 1, 12)
DIT = DitConfig(16, 4, 3, 3, **SHAPE, classes=None, context=16)
CONTEXT = TextContext(torch.rand(1, 6, 16), torch.rand(1, 16), torch.ones(1, 6, dtype=torch.bool))
REGIONS = Regions(
    torch.rand(1, 2, 4),
    torch.tensor([[[0.0, 0.1, 0.5, 0.6], [0.2, 0.2, 1.0, 1.0]]]),
    torch.ones(1, 2, dtype=torch.bool),
)
READ = {"tokens": TOKENS, "regions": REGIONS}

MODELS: list[tuple[type[PretrainedModel], Any, dict[str, Any]]] = [
    (
        Albef,
        AlbefConfig(AlbefImageEncoderConfig(16, 8, **SHAPE), BertConfig(20, 6, 2, 16, 1, 2, 16), 1, 8),
        {"images": IMAGES, "tokens": TOKENS},
    ),
    (Bert, BertConfig(20, 6, 2, 16, 1, 2, 16), {"tokens": TOKENS}),
    (Clip, ClipConfig(IMAGE, TEXT), {"images": IMAGES, "tokens": TOKENS}),
    (ImageEncoder, IMAGE, {"images": IMAGES}),
    (TextEncoder, TEXT, {"tokens": TOKENS}),
    (
        Siglip,
        SiglipConfig(
            SiglipImageEncoderConfig(16, 8, **SHAPE), SiglipTextEncoderConfig(20, 6, **SHAPE, project=16)
        ),
        {"images": IMAGES, "tokens": TOKENS},
    ),
    (OwlVit, OwlVitConfig(IMAGE, TEXT, objectness=True), {"images": IMAGES, "tokens": TOKENS[None]}),
    (
        Sam,
        SamConfig(16, 8, **SHAPE, window_size=1, global_attn_indexes=(0,), width=16, decoder_hidden=8),
        {"images": IMAGES, "boxes": torch.tensor([[[1.0, 2.0, 9.0, 9.0]]])},
    ),
    (
        Coca,
        CocaConfig(
            CocaImageEncoderConfig(16, 8, **SHAPE), 20, 6, 16, 1, 1, 2, 16, queries=3, pool_heads=2, project=8
        ),
        {"images": IMAGES, "tokens": TOKENS},
    ),
    (SiglipImageEncoder, SiglipImageEncoderConfig(16, 8, **SHAPE), {"images": IMAGES}),
    (Simclr, SimclrConfig(replace(IMAGE, project=None), project=8), {"images": IMAGES}),
    (
        Probe,
        ProbeConfig(ImageEncoder(replace(IMAGE, project=None)).settings(), ("a", "b"), 16, 4),
        {"images": IMAGES},
    ),
    (
        Blip2,
        Blip2Config(IMAGE, QFORMER, 20, 6, caption_start=1, project=8),
        {"images": IMAGES, "tokens": TOKENS},
    ),
    (Blip2Generator, Blip2GeneratorConfig(IMAGE, QFORMER, LLAMA, 7), {"tokens": TOKENS}),
    (Dvae, DVAE, {"images": IMAGES}),
    (
        Dalle,
        DalleConfig(DVAE, 20, 6, 16, 2, 2, 8, 16, ("row", "convolution"), 3),
        {"tokens": TOKENS, "image_tokens": torch.randint(12, (1, DVAE.side**2))},
    ),
    (Dit, DIT, {"images": IMAGES, "timesteps": torch.tensor([3]), "context": CONTEXT}),
    (
        Diffusion,
        DiffusionConfig(DIT, replace(TEXT, project=None)),
        {"noised": IMAGES, "timesteps": torch.tensor([3]), "context": CONTEXT},
    ),
    (VisualBert, VisualBertConfig(20, 6, **SHAPE, region_dim=4), READ),
    (
        Lxmert,
        LxmertConfig(
            20, 6, **SHAPE, region_layers=1, cross_layers=1, region_dim=4, objects=3, attributes=2, answers=5
        ),
        READ,
    ),
    (
        Vilbert,
        VilbertConfig(
            20,
            6,
            **SHAPE,
            region_dim=4,
            objects=3,
            region_width=8,
            region_layers=1,
            region_heads=2,
            region_hidden=8,
            cross_dim=8,
            cross_heads=2,
            text_places=(0,),
            region_places=(0,),
        ),
        READ,
    ),
    (Llama, LLAMA, {"tokens": TOKENS}),
    (Llava, LlavaConfig(IMAGE, LLAMA, image_token=7, projector=()), {"tokens": TOKENS}),
]


@pytest.mark.parametrize(("kind", "config", "inputs"), MODELS, ids=[m[0].__name__ for m in MODELS])
def test_what_is_saved_is_loaded_with_class_configuration_and_outputs(
    kind: type[PretrainedModel], config: Any, inputs: dict[str, Any], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = kind(config).eval()
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == kind.model_type
    for again in (load_model(tmp_path), kind.from_pretrained(tmp_path)):
        assert type(again) is kind and again.config == config
        torch.manual_seed(1)  # a dVAE draws its tokens
        have = _tensors(again.eval()(**inputs))
        torch.manual_seed(1)
        assert all(torch.equal(a, b) for a, b in zip(have, _tensors(model(**inputs)), strict=True))
    halved = tmp_path / "half"
    model.save_pretrained(halved, torch.float16)
    assert (halved / "model.safetensors").stat().st_size < (tmp_path / "model.safetensors").stat().st_size
    assert next(load_model(halved, dtype="auto").parameters()).dtype == torch.float16


def _tensors(output: Any) -> list[Any]:
    if isinstance(output, torch.Tensor):
        return [output]
    return [t for part in output if part is not None for t in _tensors(part)]


def test_every_type_has_a_class_that_says_the_same() -> None:
    classes = {kind.model_type for kind, _, _ in MODELS}
    assert classes | {"owlv2"} == set(MODEL_TYPES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model_type": None},
            r"has no model_type: save the model again with save_pretrained, or add one of albef",
        ),
        ({"model_type": "mystery"}, r"'mystery', which is not implemented: known are albef, .*visual_bert$"),
    ],
)
def test_a_type_that_is_missing_or_unknown_is_one_sentence(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    Llama(LLAMA).save_pretrained(tmp_path)
    _rewrite(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path)


def test_another_type_and_unknown_settings_are_refused_by_name(tmp_path: Path) -> None:
    Llama(LLAMA).save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match=r"model_type 'llama', not 'clip': visprog\.models\.load_model reads it"
    ):
        Clip.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="'llama', not 'clip_vision_model'"):
        ImageEncoder.from_pretrained(tmp_path)
    _rewrite(tmp_path, surprise=1)
    with pytest.raises(ValueError, match="LlamaConfig has no surprise"):
        load_model(tmp_path)


def test_public_checkpoints_of_a_model_without_a_known_layout_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "coca"}')
    with pytest.raises(ValueError, match="public checkpoints of Coca are not read"):
        load_model(tmp_path)


@pytest.mark.parametrize("owner", [Clip, OwlVit, Llava])
def test_an_encoder_is_read_from_a_whole_model(owner: type[PretrainedModel], tmp_path: Path) -> None:
    config = next(config for kind, config, _ in MODELS if kind is owner)
    model = owner(config)
    model.save_pretrained(tmp_path)
    encoder = ImageEncoder.from_pretrained(tmp_path)
    want = model.image_encoder.state_dict()
    assert encoder.config == IMAGE and encoder.state_dict().keys() == want.keys()
    assert all(torch.equal(value, want[name]) for name, value in encoder.state_dict().items())
    if owner is not Llava:
        assert torch.equal(TextEncoder.from_pretrained(tmp_path).positions, model.text_encoder.positions)


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_folders_name_their_type(name: str) -> None:
    raw = json.loads((WEIGHTS / name / "config.json").read_text())
    types = {"owl": "owlvit", "planner": "llama"}
    assert (raw["layout"], raw["model_type"]) == ("visprog", types.get(name, name))
    assert load_model(name).model_type == raw["model_type"]
    assert not (WEIGHTS / name / "pixels.json").exists()


def test_all_bundled_folders_have_a_name() -> None:
    assert sorted(path.name for path in WEIGHTS.iterdir() if path.is_dir()) == list(BUNDLED)


def test_every_exported_name_is_there() -> None:
    for name in models.__all__:
        assert getattr(models, name) is not None
    assert dir(models) == sorted(models.__all__)
    with pytest.raises(AttributeError, match="Clipp"):
        models.Clipp  # noqa: B018


def _rewrite(folder: Path, **changes: Any) -> None:
    raw = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps({k: v for k, v in raw.items() if v is not None}))
