"""The published sizes, by their numbers of parameters."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import visprog.models as models  # noqa: E402

PARAMETERS = {
    # Li et al. 2021: 85.8 M of the image encoder and 123.7 M of the text encoder, and the heads
    "albef_base": 209_937_725,
    # Devlin et al. 2019, without pooler and next-sentence head
    "bert_base": 109_514_298,
    "bert_large": 335_174_458,
    # Li et al. 2023: as transformers builds the model for retrieval, with the temperature and the head for captions
    "blip2_vit_g": 1_172_654_910,
    # Radford et al. 2021 (the released models)
    "clip_vit_b_32": 151_277_313,
    "clip_vit_b_16": 149_620_737,
    "clip_vit_l_14": 427_616_513,
    "clip_vit_l_14_336": 427_944_193,
    # The released SigLIP, OWL-ViT and OWLv2, as transformers builds them
    "siglip_base_patch16_224": 203_155_970,
    "siglip_large_patch16_256": 652_150_786,
    "siglip_so400m_patch14_384": 877_960_498,
    "owlvit_base_patch32": 153_231_879,
    "owlvit_base_patch16": 152_789_511,
    "owlvit_large_patch14": 433_888_519,
    "owlv2_base": 154_966_792,
    # The released VisualBERT and LXMERT, as transformers builds them, and ViLBERT without what it never uses
    "visualbert_base": 112_074_812,
    "lxmert_base": 228_051_752,
    "vilbert_base": 239_024_254,
    # The released SAM
    "sam_vit_b": 93_735_472,
    "sam_vit_l": 312_342_832,
    "sam_vit_h": 641_090_608,
    # The released dVAE of DALL-E: its encoder and its decoder
    "dvae_openai": 53_786_240 + 43_829_766,
    # Touvron et al. 2023, and LLaVA-1.5 with 64 further tokens
    "llama_7b": 6_738_415_616,
    "llama_2_7b": 6_738_415_616,
    "llava_1_5_7b": 7_063_427_072,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_numbers_of_parameters_are_the_published_ones(name: str) -> None:
    with torch.device("meta"):
        model = getattr(models, name)()
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "millions"), [("dit_s_2", 33), ("dit_b_2", 130), ("dit_l_2", 458), ("dit_xl_2", 675)]
)
def test_dit_has_the_size_of_the_paper(name: str, millions: int) -> None:
    with torch.device("meta"):
        model = getattr(models, name)()
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == pytest.approx(millions, abs=1)


@pytest.mark.parametrize(
    ("name", "millions"), [("coca_base", 383), ("coca_large", 787), ("dalle_12b", 12_000)]
)
def test_sizes_that_are_published_in_round_numbers(name: str, millions: int) -> None:
    with torch.device("meta"):
        model = getattr(models, name)()
    # The vocabulary and the poolers of CoCa, and the heads of DALL-E, are not published to the last parameter.
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.05)
