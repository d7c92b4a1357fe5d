"""SAM-B against transformers and against its authors' package: the same weights, inputs and threads.

python benchmarks/models_sam.py --threads 2

Each line is ours over theirs: of seconds, the median over rounds in which both take turns; of memory, the most
that tensors took beside weights and inputs. Below 1 is faster, or smaller.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from timing import Run, peak, ratio

from visprog.models.sam.hub import SEGMENT_ANYTHING_KEYS
from visprog.models.sam.model import Sam

sys.path.append(str(Path(__file__).resolve().parents[1]))

from tests.parity.segment_anything_package import import_package


def make(size: int) -> tuple[Sam, Any, Any]:
    """Ours, that of transformers and that of the authors, with the same random weights."""
    import_package()
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer
    from segment_anything.modeling import Sam as Authors

    config = transformers.SamConfig(
        vision_config={"image_size": size}, prompt_encoder_config={"image_size": size}
    )
    hub = transformers.SamModel(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        hub.save_pretrained(folder)
        ours = Sam.from_pretrained(folder).eval()
    authors = Authors(
        image_encoder=ImageEncoderViT(
            img_size=size, out_chans=256, norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), use_rel_pos=True,
            window_size=14, global_attn_indexes=(2, 5, 8, 11),
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=256, image_embedding_size=(size // 16, size // 16), input_image_size=(size, size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=256,
            transformer=TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
        ),
    )  # fmt: skip
    authors.load_state_dict(SEGMENT_ANYTHING_KEYS.to_theirs(ours.state_dict()))
    return ours, hub, authors.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=1024, help="side of the image, in pixels")
    parser.add_argument("--points", type=int, default=64, help="prompts on one image at once")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    ours, hub, authors = make(arguments.size)
    image = torch.randn(1, 3, arguments.size, arguments.size)
    points = arguments.size * torch.rand(1, arguments.points, 1, 2)
    labels = torch.ones(1, arguments.points, 1)
    with torch.inference_mode():
        embedding = ours.image_encoder(image)[0]

    def decode_authors(points: Any, labels: Any) -> Any:
        sparse, dense = authors.prompt_encoder((points[0], labels[0]), None, None)
        places = authors.prompt_encoder.get_dense_pe()
        return authors.mask_decoder(embedding, places, sparse, dense, multimask_output=True)

    def decode_hub(points: Any, labels: Any) -> Any:
        return hub(image_embeddings=embedding, input_points=points, input_labels=labels)

    def decode(points: Any, labels: Any) -> Any:
        return ours(image_embeddings=embedding, points=points, labels=labels)

    def quiet(run: Run) -> Run:
        return torch.inference_mode()(run)  # type: ignore[no-any-return]

    many, one = (points, labels), (points[:, :1], labels[:, :1])
    runs: dict[str, tuple[Run, Run, Run]] = {
        "image": (
            lambda: ours.image_encoder(image),
            lambda: hub.vision_encoder(image),
            lambda: authors.image_encoder(image),
        ),
        f"{arguments.points} points": tuple(partial(f, *many) for f in (decode, decode_hub, decode_authors)),
        "one point": tuple(partial(f, *one) for f in (decode, decode_hub, decode_authors)),
    }  # type: ignore[dict-item]
    print(f"{arguments.threads} threads, images of {arguments.size}, {arguments.rounds} rounds")
    print(f"{'':<34}{'ours':>10}{'theirs':>10}{'ratio':>8}")
    for title, (mine, *others) in runs.items():
        for name, theirs in zip(("transformers", "authors"), others, strict=True):
            factor, a, b = ratio(quiet(mine), quiet(theirs), arguments.rounds)
            print(f"{f'{title}, {name}':<34}{a * 1e3:>7.0f} ms{b * 1e3:>7.0f} ms{factor:>8.2f}", flush=True)
            a, b = peak(quiet(mine)), peak(quiet(theirs))
            print(f"{f'{title}, {name}, memory':<34}{a:>6.0f} MiB{b:>6.0f} MiB{a / b:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
