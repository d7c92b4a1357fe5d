"""Small models of the package and one loop that trains any of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visprog.models.clip.model import Clip, ClipConfig, ImageEncoderConfig, TextEncoderConfig
from visprog.models.llama import Llama, LlamaConfig, next_token_loss
from visprog.training.optim.muon import Muon

from .world import END, PAD, Pool, Scene, Words


def small_clip(
    words: Words, seed: int, *, size: int = 48, patch: int = 8, dim: int = 64, layers: int = 3
) -> Clip:
    """A CLIP with fresh weights: 3 + 3 layers of width 64."""
    torch.manual_seed(seed)
    image = ImageEncoderConfig(size, patch, dim, layers, dim // 32, 4 * dim, "gelu", project=dim)
    text = TextEncoderConfig(
        len(words), words.length, dim, layers, dim // 32, 4 * dim, "gelu", project=dim, end=END
    )
    return Clip(ClipConfig(image, text))


def train(
    parameters: Iterable[nn.Parameter],
    loss: Callable[[int], Tensor],
    steps: int,
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.05,
    warmup: int = 50,
    muon: Iterable[nn.Parameter] = (),
) -> list[float]:
    """AdamW with a linear warm-up and a cosine to 0.

    Args:
        parameters: what is trained.
        loss: of a step, which draws its own batch.
        steps: number of updates.
        muon: those of the parameters that Muon trains instead, such as the `matrices` of a model, which then needs far
            fewer steps.

    Returns:
        The loss of every step.
    """
    chosen = [p for p in parameters if p.requires_grad]
    by_muon = list(muon)
    rest = [p for p in chosen if not any(p is one for one in by_muon)]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, lr, betas=(0.9, 0.98), weight_decay=weight_decay, fused=True)
    ]
    if by_muon:
        optimizers.append(Muon(by_muon, lr, weight_decay=weight_decay))
    losses = []
    for step in range(steps):
        factor = min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / steps)))
        value = loss(step)
        for optimizer in optimizers:
            optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(chosen, 1.0, foreach=True)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr * factor
            optimizer.step()
        losses.append(float(value.detach()))
    return losses


def matrices(model: nn.Module) -> list[nn.Parameter]:
    """The matrices within the blocks of a model, but for frozen ones."""
    return [
        p for name, p in model.named_parameters() if "blocks." in name and p.ndim == 2 and p.requires_grad
    ]


def fact_reader(
    words: Words,
    scenes: Sequence[Scene],
    say: Callable[[Scene], str],
    slots: int,
    seed: int,
    *,
    layers: int = 2,
    steps: int = 500,
) -> Llama:
    """A language model that has read texts after the facts that they are about, and has never seen an image.

    What a soft token may tell it is thereby something that it understands. Its weights are frozen.

    Args:
        words: which it knows, `FACTS` among them.
        scenes: that it reads about.
        say: a text about a scene.
        slots: number of tokens before a text.
        seed: of the weights and all draws.
        layers: of width 64.
        steps: of 64 texts.
    """
    torch.manual_seed(seed)
    model = Llama(LlamaConfig(len(words), dim=64, layers=layers, heads=2, hidden=192))
    draws = torch.Generator().manual_seed(seed)

    def loss(step: int) -> Tensor:
        read = [scenes[i] for i in torch.randint(len(scenes), (64,), generator=draws)]
        ids = torch.cat([words.facts(read, slots, draws), words([say(scene) for scene in read])], 1)
        return next_token_loss(model(ids).logits, ids, (ids != PAD) & (torch.arange(ids.shape[1]) > slots))

    train(model.parameters(), loss, steps, lr=2e-3, muon=matrices(model))
    return model.eval().requires_grad_(False)


@torch.no_grad()
def image_features(model: Clip, pool: Pool, batch: int = 256) -> Tensor:
    """Unit features of all images, (n, dim)."""
    parts = (model.encode_images(pool.pixels(slice(i, i + batch))) for i in range(0, len(pool), batch))
    return F.normalize(torch.cat(list(parts)), dim=-1)


@torch.no_grad()
def text_features(model: Clip, words: Words, texts: list[str], batch: int = 512) -> Tensor:
    """Unit features of all texts, (n, dim)."""
    ids = words(texts)
    return F.normalize(torch.cat([model.encode_texts(part) for part in ids.split(batch)]), dim=-1)


def recall_at_1(images: Tensor, texts: Tensor, captions: list[str]) -> float:
    """Share of images whose nearest text is their caption; equal captions count as the same."""
    nearest = (images @ texts.T).argmax(1).tolist()
    return sum(captions[i] == captions[j] for i, j in enumerate(nearest)) / len(captions)


def prefers(images: Tensor, right: Tensor, wrong: Tensor) -> float:
    """Share of images that are nearer to the right text than to the wrong one; all (n, dim)."""
    return float(((images * right).sum(1) > (images * wrong).sum(1)).float().mean())
