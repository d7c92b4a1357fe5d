"""Models of packages of another environment, one run at a time: for `models.py --other-python`. Imports nothing of
visprog, which that environment need not have.

python other_models.py NAME FOLDER THREADS prints the titles that it has, and then, for each title that it is given on
standard input, the seconds of one run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def sam(folder: Path) -> dict[str, Callable[[], Any]]:
    """The authors' package, with weights of its own: they do not change the time."""
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    try:
        from tests.parity.segment_anything_package import import_package

        registry = import_package().sam_model_registry
    except ImportError:
        from segment_anything import sam_model_registry as registry
    model = registry["vit_b"]().eval()
    image, points, labels = torch.randn(1, 3, 1024, 1024), 1024 * torch.rand(32, 1, 2), torch.ones(32, 1)
    embedding = torch.randn(1, 256, 64, 64)

    def decode(count: int) -> Any:
        sparse, dense = model.prompt_encoder((points[:count], labels[:count]), None, None)
        return model.mask_decoder(
            embedding, model.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output=True
        )

    return {
        "SAM B, image": lambda: model.image_encoder(image),
        "SAM B, 1 point": lambda: decode(1),
        "SAM B, 32 points": lambda: decode(32),
    }


def clip(folder: Path) -> dict[str, Callable[[], Any]]:
    """open_clip, with weights of its own."""
    import open_clip

    model = open_clip.create_model("ViT-B-32-quickgelu").eval()
    images, tokens = torch.randn(8, 3, 224, 224), torch.randint(3, 49000, (8, 77))
    return {
        "CLIP B/32, image": lambda: model.encode_image(images[:1]),
        "CLIP B/32, 8 images": lambda: model.encode_image(images),
        "CLIP B/32, 8 texts of 77": lambda: model.encode_text(tokens),
    }


def main(name: str, folder: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    runs = {"sam": sam, "clip": clip}.get(name, lambda _: {})(Path(folder))
    print("\t".join(runs) or "none", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        with torch.inference_mode():
            runs[line.strip()]()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
