"""CLIP and SigLIP against transformers, at the size of B/32 and B/16: the same weights, inputs and threads.

python benchmarks/models_clip.py --threads 2

Each line is ours over theirs: of seconds, the median over rounds in which both take turns; of memory, the most
that tensors took beside weights and inputs. Below 1 is faster, or smaller.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import torch
import transformers
from timing import Run, compare, head

from visprog.models.clip.model import Clip
from visprog.models.nn import info_nce, sigmoid_pair_loss
from visprog.models.siglip import Siglip


def images_of(theirs: Any, count: int) -> torch.Tensor:
    vision = theirs.config.vision_config
    return torch.randn(count, 3, vision.image_size, vision.image_size)


def make(kind: str) -> tuple[Any, Any]:
    """Theirs and ours, with the same random weights."""
    config = (
        transformers.CLIPConfig()
        if kind == "clip"
        else transformers.SiglipConfig(text_config={"eos_token_id": 1, "bos_token_id": 2})
    )
    theirs = (transformers.CLIPModel if kind == "clip" else transformers.SiglipModel)(config)
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours = (Clip if kind == "clip" else Siglip).from_pretrained(folder)
    return theirs.eval(), ours.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--only", choices=("clip", "siglip"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    head(arguments.threads, arguments.rounds)
    for kind in [arguments.only] if arguments.only else ("clip", "siglip"):
        theirs, ours = make(kind)
        name = "CLIP B/32" if kind == "clip" else "SigLIP B/16"
        length, vocab = (77, 49408) if kind == "clip" else (64, 32000)
        images, tokens = (
            images_of(theirs, arguments.batch),
            torch.randint(3, vocab - 2, (arguments.batch, length)),
        )
        tokens[:, -1] = vocab - 1

        def our_step(ours: Any = ours, images: Any = images, tokens: Any = tokens, kind: str = kind) -> None:
            ours.zero_grad(set_to_none=True)
            out = ours(images, tokens)
            if kind == "clip":
                loss = info_nce(out.image_embeds, out.text_embeds, ours.logit_scale.exp())
            else:
                loss = sigmoid_pair_loss(
                    out.image_embeds, out.text_embeds, ours.logit_scale.exp(), ours.logit_bias
                )
            loss.backward()

        def their_step(theirs: Any = theirs, images: Any = images, tokens: Any = tokens) -> None:
            theirs.zero_grad(set_to_none=True)
            theirs(input_ids=tokens, pixel_values=images, return_loss=True).loss.backward()

        runs: dict[str, tuple[Run, Run]] = {
            "images": (
                torch.inference_mode()(lambda o=ours, x=images: o.encode_images(x)),
                torch.inference_mode()(lambda t=theirs, x=images: t.get_image_features(x)),
            ),
            "texts": (
                torch.inference_mode()(lambda o=ours, x=tokens: o.encode_texts(x)),
                torch.inference_mode()(lambda t=theirs, x=tokens: t.get_text_features(x)),
            ),
            "one image": (
                torch.inference_mode()(lambda o=ours, x=images[:1]: o.encode_images(x)),
                torch.inference_mode()(lambda t=theirs, x=images[:1]: t.get_image_features(x)),
            ),
            "training step": (our_step, their_step),
        }
        for title, (have, want) in runs.items():
            memory = title in ("images", "training step")
            compare(f"{name}, {title}", have, want, arguments.rounds, memory)


if __name__ == "__main__":
    main()
