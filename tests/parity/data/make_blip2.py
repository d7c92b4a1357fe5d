"""Writes blip2.safetensors: numbers of torchmultimodal's BLIP-2 at tiny random weights, which test_blip2_losses.py
holds ours to.

    python tests/parity/data/make_blip2.py

Needs `torchmultimodal-nightly==2024.4.1`, installed with --no-deps, and iopath, beside torch (2.13.0 when the file
was made); it is an old package that nothing else here uses, so the numbers are stored. Hard negatives are drawn at
random there: here the likeliest ones are taken. Its head for captions is tied to the embeddings, as in the authors'
code.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file
from torch import nn

stub = ModuleType("torchvision.ops.stochastic_depth")
# The one name that it takes from torchvision, for training with dropped layers.
stub.StochasticDepth = nn.Identity
for name in ("torchvision", "torchvision.ops", stub.__name__, "portalocker"):
    sys.modules[name] = stub if name == stub.__name__ else ModuleType(name)

from torchmultimodal.models.blip2.blip2 import BLIP2  # noqa: E402
from torchmultimodal.models.blip2.qformer_model import QformerForCLM  # noqa: E402
from torchmultimodal.modules.losses.blip2_losses import Blip2Phase1Loss, compute_image_text_similarity  # noqa: E402


class ImageEncoder(nn.Module):
    """Tokens of an image that are given."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens


def main() -> None:
    torch.manual_seed(0)
    qformer = QformerForCLM(
        dim_q=16, dim_kv=12, dim_feedforward=24, num_heads=2, num_hidden_layers=3, max_position_embeddings=9,
        vocab_size=41, query_length=4,
    )  # fmt: skip
    model = BLIP2(
        qformer, ImageEncoder(), dim_q=16, image_encoder_embedding_dim=12, embedding_dim=6, num_query_token=4,
        decoder_bos_token_id=40,
    )  # fmt: skip
    whole = Blip2Phase1Loss(dim_q=16)
    qformer.head.linear_2.weight = qformer.model.embeddings.token_embeddings.weight
    for part in (model, whole):
        for name, parameter in part.named_parameters():
            if name != "temp":
                nn.init.normal_(parameter, std=0.3)
                if "norm" in name or "ln_" in name:
                    parameter.data += name.endswith("weight")
    images = torch.randn(4, 10, 12)
    texts = torch.randint(1, 40, (4, 8))
    for row, length in enumerate((8, 4, 6, 2)):
        texts[row, length:] = 0
    real = (texts != 0).long()
    torch.multinomial = lambda weights, count: weights.topk(count).indices
    out = model(images, texts, real)
    losses = whole(out, model, texts, real)
    losses.total_loss.backward()
    to_texts, to_images = compute_image_text_similarity(out.image_features, out.text_features, whole.temp)
    numbers = {
        "images": images,
        "tokens": texts,
        "image_tokens": out.image_embeddings,
        "query_tokens": out.image_qformer_output,
        "image_embeds": out.image_features,
        "text_embeds": out.text_features,
        "logits": out.prediction_scores,
        "to_texts": to_texts,
        "to_images": to_images,
        "contrast": losses.image_text_contrastive_loss,
        "matching": losses.image_text_matching_loss,
        "language": losses.image_captioning_loss,
    }
    for part in (model, whole):
        for name, parameter in part.named_parameters():
            numbers[f"weight.{name}"], numbers[f"grad.{name}"] = parameter, parameter.grad
    save_file(
        {name: value.detach().clone().contiguous() for name, value in numbers.items()},
        Path(__file__).with_name("blip2.safetensors"),
        {"origin": "torchmultimodal-nightly 2024.4.1, torch 2.13.0, by make_blip2.py"},
    )


if __name__ == "__main__":
    main()
