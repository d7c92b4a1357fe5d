"""DiT and samplers against diffusers: the same weights, inputs and threads.

python benchmarks/models_diffusion.py --threads 2

Each line is ours over theirs: of seconds, the median over rounds in which both take turns; of memory, the most that
tensors took beside weights and inputs. Below 1 is faster, or smaller.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import diffusers
import torch
from timing import Run, compare, head

from visprog.models.diffusion.dit import Dit
from visprog.models.diffusion.schedule import NoiseSchedule, Sampler, diffusion_loss


def make(heads: int, layers: int) -> tuple[Any, Any]:
    """Theirs and ours, with the same random weights."""
    theirs = diffusers.DiTTransformer2DModel(heads, 64, in_channels=4, out_channels=8, num_layers=layers)
    first = theirs.transformer_blocks[0].norm1.emb
    for block in theirs.transformer_blocks[1:]:
        block.norm1.emb.load_state_dict(first.state_dict())
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours = Dit.from_diffusers(folder)
    return theirs.eval(), ours.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    diffusers.utils.logging.set_verbosity_error()
    head(arguments.threads, arguments.rounds)
    theirs, ours = make(heads=6, layers=12)
    images = torch.randn(arguments.batch, 4, 32, 32)
    timesteps, labels = torch.randint(0, 1000, (2, arguments.batch))
    noise = torch.randn(arguments.batch, 8, 32, 32)

    def our_step() -> None:
        ours.zero_grad(set_to_none=True)
        diffusion_loss(ours(images, timesteps, labels).output, noise).mean().backward()

    def their_step() -> None:
        theirs.zero_grad(set_to_none=True)
        torch.nn.functional.mse_loss(theirs(images, timesteps, labels).sample, noise).backward()

    schedule, start = NoiseSchedule(), torch.randn(16, 3, 64, 64)

    def halved(x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        return 0.5 * x

    def their_sampler(kind: str, **options: Any) -> None:
        scheduler = getattr(diffusers, f"{kind}Scheduler")(timestep_spacing="trailing")
        scheduler.set_timesteps(50)
        x = start
        for t in scheduler.timesteps:
            x = scheduler.step(0.5 * x, t, x, **options).prev_sample

    inference = torch.inference_mode()
    runs: dict[str, tuple[Run, Run]] = {
        "DiT-S/2, images": (
            inference(lambda: ours(images, timesteps, labels)),
            inference(lambda: theirs(images, timesteps, labels)),
        ),
        "DiT-S/2, training step": (our_step, their_step),
        "DDIM, 50 steps without a network": (
            lambda: Sampler(50).sample(halved, start, schedule),
            inference(lambda: their_sampler("DDIM")),
        ),
        "DDPM, 50 steps without a network": (
            lambda: Sampler(50, "ddpm").sample(halved, start, schedule),
            inference(lambda: their_sampler("DDPM")),
        ),
    }
    for title, (have, want) in runs.items():
        compare(title, have, want, arguments.rounds, memory="DiT" in title)


if __name__ == "__main__":
    main()
