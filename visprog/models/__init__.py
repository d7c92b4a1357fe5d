"""The systems, one readable file or folder each: `from visprog.models import Clip, Sam, Llava, load_model`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .albef.model import Albef as Albef
    from .albef.model import AlbefConfig as AlbefConfig
    from .albef.model import AlbefImageEncoderConfig as AlbefImageEncoderConfig
    from .albef.model import albef_base as albef_base
    from .base import PretrainedModel as PretrainedModel
    from .base import load_model as load_model
    from .bert import Bert as Bert
    from .bert import BertConfig as BertConfig
    from .bert import bert_base as bert_base
    from .bert import bert_large as bert_large
    from .blip2.generator import Blip2Generator as Blip2Generator
    from .blip2.generator import Blip2GeneratorConfig as Blip2GeneratorConfig
    from .blip2.model import Blip2 as Blip2
    from .blip2.model import Blip2Config as Blip2Config
    from .blip2.model import blip2_vit_g as blip2_vit_g
    from .blip2.model import blip2_vit_l as blip2_vit_l
    from .blip2.qformer import QFormer as QFormer
    from .blip2.qformer import QFormerConfig as QFormerConfig
    from .clip.model import Clip as Clip
    from .clip.model import ClipConfig as ClipConfig
    from .clip.model import ImageEncoder as ImageEncoder
    from .clip.model import ImageEncoderConfig as ImageEncoderConfig
    from .clip.model import TextEncoder as TextEncoder
    from .clip.model import TextEncoderConfig as TextEncoderConfig
    from .clip.model import clip_vit_b_16 as clip_vit_b_16
    from .clip.model import clip_vit_b_32 as clip_vit_b_32
    from .clip.model import clip_vit_l_14 as clip_vit_l_14
    from .clip.model import clip_vit_l_14_336 as clip_vit_l_14_336
    from .coca import Coca as Coca
    from .coca import CocaConfig as CocaConfig
    from .coca import CocaImageEncoderConfig as CocaImageEncoderConfig
    from .coca import coca_base as coca_base
    from .coca import coca_large as coca_large
    from .dalle.dvae import Dvae as Dvae
    from .dalle.dvae import DvaeConfig as DvaeConfig
    from .dalle.dvae import dvae_openai as dvae_openai
    from .dalle.model import Dalle as Dalle
    from .dalle.model import DalleConfig as DalleConfig
    from .dalle.model import dalle_12b as dalle_12b
    from .diffusion.dit import Dit as Dit
    from .diffusion.dit import DitConfig as DitConfig
    from .diffusion.dit import dit_b_2 as dit_b_2
    from .diffusion.dit import dit_l_2 as dit_l_2
    from .diffusion.dit import dit_s_2 as dit_s_2
    from .diffusion.dit import dit_xl_2 as dit_xl_2
    from .diffusion.model import Diffusion as Diffusion
    from .diffusion.model import DiffusionConfig as DiffusionConfig
    from .diffusion.schedule import Known as Known
    from .diffusion.schedule import NoiseSchedule as NoiseSchedule
    from .diffusion.schedule import Sampler as Sampler
    from .llama import Llama as Llama
    from .llama import LlamaConfig as LlamaConfig
    from .llama import llama_2_7b as llama_2_7b
    from .llama import llama_7b as llama_7b
    from .llava.chat import Chat as Chat
    from .llava.model import Llava as Llava
    from .llava.model import LlavaConfig as LlavaConfig
    from .llava.model import llava_1_5_7b as llava_1_5_7b
    from .lxmert import Lxmert as Lxmert
    from .lxmert import LxmertConfig as LxmertConfig
    from .lxmert import lxmert_base as lxmert_base
    from .owlvit import OwlVit as OwlVit
    from .owlvit import OwlVitConfig as OwlVitConfig
    from .owlvit import owlv2_base as owlv2_base
    from .owlvit import owlvit_base_patch16 as owlvit_base_patch16
    from .owlvit import owlvit_base_patch32 as owlvit_base_patch32
    from .owlvit import owlvit_large_patch14 as owlvit_large_patch14
    from .precision import Precision as Precision
    from .precision import load_fastest as load_fastest
    from .preprocess.image_processor import ImageProcessor as ImageProcessor
    from .preprocess.tokenizer import Tokenizer as Tokenizer
    from .probe import Probe as Probe
    from .probe import ProbeConfig as ProbeConfig
    from .region_encoder import RegionEncoder as RegionEncoder
    from .sam.automatic import SamAutomaticMaskGenerator as SamAutomaticMaskGenerator
    from .sam.model import Sam as Sam
    from .sam.model import SamConfig as SamConfig
    from .sam.model import sam_vit_b as sam_vit_b
    from .sam.model import sam_vit_h as sam_vit_h
    from .sam.model import sam_vit_l as sam_vit_l
    from .sam.predictor import SamPredictor as SamPredictor
    from .siglip import Siglip as Siglip
    from .siglip import SiglipConfig as SiglipConfig
    from .siglip import SiglipImageEncoderConfig as SiglipImageEncoderConfig
    from .siglip import SiglipTextEncoderConfig as SiglipTextEncoderConfig
    from .siglip import siglip_base_patch16_224 as siglip_base_patch16_224
    from .siglip import siglip_large_patch16_256 as siglip_large_patch16_256
    from .siglip import siglip_so400m_patch14_384 as siglip_so400m_patch14_384
    from .simclr import Simclr as Simclr
    from .simclr import SimclrConfig as SimclrConfig
    from .vilbert import Vilbert as Vilbert
    from .vilbert import VilbertConfig as VilbertConfig
    from .vilbert import vilbert_base as vilbert_base
    from .visualbert import VisualBert as VisualBert
    from .visualbert import VisualBertConfig as VisualBertConfig
    from .visualbert import visualbert_base as visualbert_base
    from .zero_shot import ZeroShot as ZeroShot

WEIGHTS = Path(__file__).resolve().parent / "weights"
"""Folder of the bundled weights, one folder per model."""

BUNDLED = ("clip", "coca", "llava", "owl", "planner", "sam")
"""Names of the bundled models, which are their folders in `WEIGHTS`."""

_NAMES = {
    "albef.model": "Albef AlbefConfig AlbefImageEncoderConfig albef_base",
    "base": "PretrainedModel load_model",
    "bert": "Bert BertConfig bert_base bert_large",
    "blip2.generator": "Blip2Generator Blip2GeneratorConfig",
    "blip2.model": "Blip2 Blip2Config blip2_vit_g blip2_vit_l",
    "blip2.qformer": "QFormer QFormerConfig",
    "clip.model": """
        Clip ClipConfig ImageEncoder ImageEncoderConfig TextEncoder TextEncoderConfig clip_vit_b_16
        clip_vit_b_32 clip_vit_l_14 clip_vit_l_14_336
    """,
    "coca": "Coca CocaConfig CocaImageEncoderConfig coca_base coca_large",
    "dalle.dvae": "Dvae DvaeConfig dvae_openai",
    "dalle.model": "Dalle DalleConfig dalle_12b",
    "diffusion.dit": "Dit DitConfig dit_b_2 dit_l_2 dit_s_2 dit_xl_2",
    "diffusion.model": "Diffusion DiffusionConfig",
    "diffusion.schedule": "Known NoiseSchedule Sampler",
    "llama": "Llama LlamaConfig llama_2_7b llama_7b",
    "llava.chat": "Chat",
    "llava.model": "Llava LlavaConfig llava_1_5_7b",
    "lxmert": "Lxmert LxmertConfig lxmert_base",
    "owlvit": "OwlVit OwlVitConfig owlv2_base owlvit_base_patch16 owlvit_base_patch32 owlvit_large_patch14",
    "precision": "Precision load_fastest",
    "preprocess.image_processor": "ImageProcessor",
    "preprocess.tokenizer": "Tokenizer",
    "probe": "Probe ProbeConfig",
    "region_encoder": "RegionEncoder",
    "sam.automatic": "SamAutomaticMaskGenerator",
    "sam.model": "Sam SamConfig sam_vit_b sam_vit_h sam_vit_l",
    "sam.predictor": "SamPredictor",
    "siglip": """
        Siglip SiglipConfig SiglipImageEncoderConfig SiglipTextEncoderConfig siglip_base_patch16_224
        siglip_large_patch16_256 siglip_so400m_patch14_384
    """,
    "simclr": "Simclr SimclrConfig",
    "vilbert": "Vilbert VilbertConfig vilbert_base",
    "visualbert": "VisualBert VisualBertConfig visualbert_base",
    "zero_shot": "ZeroShot",
}
"""Module → names that are imported from it at their first use, since they need torch."""

_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [*_MODULES, "BUNDLED", "WEIGHTS"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
