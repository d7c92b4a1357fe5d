"""Writes coca.safetensors: numbers of torchmultimodal's CoCa at tiny random weights, which test_coca.py holds ours to.

    python tests/parity/data/make_coca.py

Needs `torchmultimodal-nightly==2024.4.1`, installed with --no-deps, and iopath, beside torch (2.13.0 when the file
was made); it is an old package that nothing else here uses, so the numbers are stored. Two things of it are put
right first: its class token sees the padding, because its mask is shifted by one place, and with the cascaded
poolers its image feature keeps an axis of length 1, over which its loss fails.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

stub = ModuleType("torchvision.ops.stochastic_depth")
# The one name that it takes from torchvision, for training with dropped layers.
stub.StochasticDepth = torch.nn.Identity
for name in ("torchvision", "torchvision.ops", stub.__name__):
    sys.modules[name] = stub if name == stub.__name__ else ModuleType(name)

from torchmultimodal.models.coca.coca_model import CoCaForPretraining, coca_vit  # noqa: E402
from torchmultimodal.models.coca.text_decoder import CoCaTextDecoder  # noqa: E402


def build_mask(self, input_ids, padding_mask=None):
    real = F.pad((input_ids != self.pad_idx)[:, None], (0, 1, input_ids.shape[1], 0), value=True)
    return (real & self.causal_mask)[:, None]


def main() -> None:
    CoCaTextDecoder.build_mask = build_mask
    torch.manual_seed(0)
    model = coca_vit(
        vision_patch_size=4, vision_dim_feedforward=24, vision_n_layer=2, vision_n_head=2, vocab_size=41,
        num_text_positions=9, text_hidden_dim=16, text_n_layer=2, text_n_head=4, text_dim_feedforward=32,
        text_output_dim=16, fusion_n_layer=3, fusion_n_head=4, fusion_dim_feedforward=32,
        multimodal_output_projection_dim=41, pooler_input_embed_dim=12, pooler_output_embed_dim=16, image_size=12,
        pooler_n_head=2, pooler_n_queries=5, vision_final_layer_norm_eps=None, cascaded_pooler=True,
    )  # fmt: skip
    whole = CoCaForPretraining(model)
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, std=0.3)
        if "norm" in name or "ln_" in name:
            parameter.data += name.endswith("weight")
    images = torch.randn(4, 3, 12, 12)
    texts = torch.randint(1, 41, (4, 9))
    for row, length in enumerate((9, 4, 7, 1)):
        texts[row, length:] = 0
    out = model(images, texts)
    image_embeds = out.image_pooled_output[:, 0]
    contrast = whole.contrastive_loss(image_embeds, out.text_pooled_output)
    caption = whole.caption_loss(out.multimodal_embeddings.flatten(0, 1), texts[:, 1:].flatten())
    (contrast + 2 * caption).backward()
    image_tokens = model.vision_encoder(images).last_hidden_state
    numbers = {
        "images": images,
        "texts": texts,
        "image_tokens": image_tokens,
        "caption_tokens": model.vision_pooler(image_tokens)[0],
        "image_embeds": image_embeds,
        "text_tokens": model.text_decoder(texts)[1],
        "text_embeds": out.text_pooled_output,
        "logits": out.multimodal_embeddings,
        "contrast": contrast,
        "caption": caption,
        "scale": whole.contrastive_loss.logit_scale,
        "grad.scale": whole.contrastive_loss.logit_scale.grad,
        **{f"weight.{name}": p for name, p in model.named_parameters()},
        **{f"grad.{name}": p.grad for name, p in model.named_parameters()},
    }
    save_file(
        {name: value.detach().clone().contiguous() for name, value in numbers.items()},
        Path(__file__).with_name("coca.safetensors"),
        {"origin": "torchmultimodal-nightly 2024.4.1, torch 2.13.0, by make_coca.py"},
    )


if __name__ == "__main__":
    main()
