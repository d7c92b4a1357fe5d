"""Writes albef.safetensors: numbers of two steps of torchmultimodal's ALBEF at tiny random weights, which test_albef.py
holds ours to.

    python tests/parity/data/make_albef.py

Needs `torchmultimodal-nightly==2024.4.1`, installed with --no-deps, and iopath, beside torch and transformers (2.13.0
and 5.24.0 when the file was made). Its image encoder is torchvision's; here that of transformers stands in for it,
which is the same. Hard negatives are the likeliest ones instead of drawn ones, so that they can be compared.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file
from transformers import ViTConfig, ViTModel

for name, attribute in (
    ("portalocker", None),  # of iopath, for files
    ("torchvision", None),
    ("torchvision.ops", None),
    ("torchvision.ops.stochastic_depth", "StochasticDepth"),
    ("torchvision.models", None),
    ("torchvision.models.feature_extraction", "create_feature_extractor"),
    ("torchvision.models.vision_transformer", "VisionTransformer"),
):
    sys.modules[name] = ModuleType(name)
    if attribute:
        setattr(sys.modules[name], attribute, torch.nn.Identity)

from torchmultimodal.models.albef.model import ALBEFModel, ALBEFModelWithSimilarity  # noqa: E402
from torchmultimodal.models.albef.multimodal_encoder import ALBEFMultimodalEncoder  # noqa: E402
from torchmultimodal.modules.encoders.bert_text_encoder import bert_text_encoder  # noqa: E402
from torchmultimodal.modules.losses.albef import ImageTextContrastiveLoss  # noqa: E402

MOMENTUM, QUEUE, ALPHA, RATE = 0.9, 6, 0.4, 0.01


class ImageEncoder(torch.nn.Module):
    """A vision transformer that gives its last tokens, normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.vit = ViTModel(
            ViTConfig(
                hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20, image_size=12,
                patch_size=4, layer_norm_eps=1e-6, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
            ),
            add_pooling_layer=False,
        )  # fmt: skip

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.vit(images).last_hidden_state


def main() -> None:
    torch.manual_seed(0)
    text = bert_text_encoder(
        hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20, dropout=0.0,
        vocab_size=31, max_position_embeddings=8,
    )  # fmt: skip
    fusion = ALBEFMultimodalEncoder(12, 2, 3, 20)
    albef = ALBEFModel(ImageEncoder(), text, fusion, MOMENTUM)
    model = ALBEFModelWithSimilarity(
        albef, torch.nn.Linear(12, 5), torch.nn.Linear(12, 5), embed_size=5, queue_size=QUEUE
    )
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    weights = dict(model.named_parameters())
    for name in trained:
        torch.nn.init.normal_(weights[name], std=0.3)
        if "norm" in name.lower() and name.endswith("weight"):
            weights[name].data += 1
    model.temp.data.fill_(0.2)
    for name in trained:
        copy = re.sub(r"^((albef_model\.\w+_encoder)|\w+_proj)", r"\1_m", name)
        if copy in weights and copy != name:
            weights[copy].data.copy_(weights[name])
    numbers = {f"weight.{name}": weights[name].clone() for name in trained}
    numbers |= {"image_queue": model.image_queue.T.clone(), "text_queue": model.text_queue.T.clone()}
    torch.multinomial = lambda values, count: values.argmax()[None]
    for step in range(2):
        images, texts = torch.randn(3, 3, 12, 12), torch.randint(1, 31, (3, 7))
        for row, length in enumerate((7, 4, 2)):
            texts[row, length:] = 0
        # The second step has an image that the first has had too.
        out = model(images, texts, (texts != 0).float(), torch.tensor([[0, 1, 2], [3, 2, 4]][step]))
        similarity = out.similarity
        contrast = ImageTextContrastiveLoss()(*similarity, out.sim_targets, ALPHA)
        fused = torch.cat([out.multimodal_embeddings, out.multimodal_embeddings_neg])[:, 0]
        model.zero_grad()
        (contrast + fused.sin().sum()).backward()
        numbers |= {
            f"{step}.images": images, f"{step}.texts": texts, f"{step}.image_tokens": out.image_embeddings,
            f"{step}.text_tokens": out.text_embeddings, f"{step}.fused_tokens": out.multimodal_embeddings,
            f"{step}.to_texts": similarity.sim_i2t, f"{step}.to_images": similarity.sim_t2i,
            f"{step}.teacher_to_texts": similarity.sim_i2t_m, f"{step}.teacher_to_images": similarity.sim_t2i_m,
            f"{step}.targets": out.sim_targets, f"{step}.contrast": contrast, f"{step}.fused": fused,
            **{f"{step}.grad.{name}": weights[name].grad.clone() for name in trained},
        }  # fmt: skip
        for name in trained:
            weights[name].data -= RATE * weights[name].grad
    save_file(
        {name: value.detach().clone().contiguous() for name, value in numbers.items()},
        Path(__file__).with_name("albef.safetensors"),
        {"origin": "torchmultimodal-nightly 2024.4.1, transformers 5.24.0, torch 2.13.0, by make_albef.py"},
    )


if __name__ == "__main__":
    main()
