"""OWLv2 B/16 against transformers: the same weights, inputs and threads.

python benchmarks/models_owl.py --threads 2

Each line is ours over theirs: of seconds, the median over rounds in which both take turns; of memory, the most
that tensors took beside weights and inputs. Below 1 is faster, or smaller.
"""

from __future__ import annotations

import argparse
import tempfile

import torch
import transformers
from timing import compare, head

from visprog.models.owlvit import OwlVit


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=960, help="side of the image, in pixels")
    parser.add_argument("--queries", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    config = transformers.Owlv2Config(vision_config={"image_size": arguments.size, "patch_size": 16})
    theirs = transformers.Owlv2ForObjectDetection(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours = OwlVit.from_pretrained(folder).eval()
    images = torch.randn(1, 3, arguments.size, arguments.size)
    tokens = torch.randint(3, 49000, (arguments.queries, 16))
    tokens[:, -1] = 49407

    @torch.inference_mode()
    def mine() -> None:
        ours(images, tokens[None])

    @torch.inference_mode()
    def other() -> None:
        theirs(input_ids=tokens, pixel_values=images)

    head(arguments.threads, arguments.rounds)
    compare(f"OWLv2 B/16 at {arguments.size} px", mine, other, arguments.rounds, memory=True)


if __name__ == "__main__":
    main()
