"""X24: DALL-E: images as tokens by annealing, the best of several by CLIP, and the weight of the image loss."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from visprog.models.clip.model import Clip
from visprog.models.dalle.dvae import Dvae, DvaeConfig, dvae_loss, logit_laplace_log_prob, map_pixels
from visprog.models.dalle.model import Dalle, DalleConfig, dalle_loss
from visprog.models.nn import info_nce
from visprog.models.nn.generate import Sampling
from visprog.training.objectives.dvae import annealed

from .claim import Check, Claim
from .small_models import image_features, small_clip, text_features, train
from .world import COLORS, PAD, SHAPES, Pool, Scene, Shape, Words, draw, world_words

SIZE, BATCH, TRAINING, TESTS = 32, 32, 6000, 256
DVAE_STEPS, STEPS, CLIP_STEPS = 1000, 800, 400
CANDIDATES = 8
NAMES = [f"a {color} {shape}" for color in COLORS for shape in SHAPES]
ANNEALED, CONSTANT, SEVEN, ONE = (
    "dVAE, temperature 1 to 1/16",
    "dVAE, temperature 1",
    "image loss 7, text loss 1",
    "image loss 1, text loss 1",
)


@cache
def words() -> Words:
    return world_words()


@cache
def pools(seed: int) -> tuple[Pool, Pool]:
    return large_shapes(TRAINING, seed), large_shapes(TESTS, 1000 + seed)


def large_shapes(count: int, seed: int) -> Pool:
    """Images of one large shape near the middle."""
    rng = np.random.default_rng((seed, 24))
    scenes = []
    for _ in range(count):
        x, y = rng.uniform(SIZE / 2 - 3, SIZE / 2 + 3, 2)
        name = str(rng.choice(list(COLORS))), str(rng.choice(SHAPES))
        scenes.append(Scene((Shape(*name, x, y, rng.uniform(9, 12)),)))
    return draw(scenes, seed, size=SIZE)


def levels(pool: Pool, rows: NDArray[np.int64] | slice) -> Tensor:
    """Images as the autoencoder reads them, from 0 to 1."""
    return (pool.pixels(rows) + 1) / 2


@cache
def trained_dvae(seed: int, last_temperature: float) -> tuple[Dvae, float]:
    """An autoencoder, and its PSNR after a quarter of its training."""
    pool, tests = pools(seed)
    rng = np.random.default_rng((seed, 25))
    torch.manual_seed(seed)
    model = Dvae(DvaeConfig(SIZE, group_count=3, n_init=16, n_hid=16, n_blk_per_group=1, vocab_size=64))
    early: list[float] = []

    def loss(step: int) -> Tensor:
        if step == DVAE_STEPS // 4:
            early.append(psnr(model, tests))
        images = levels(pool, rng.integers(len(pool), size=BATCH))
        temperature = annealed(1.0, last_temperature, step, DVAE_STEPS)
        return dvae_loss(model(images, temperature), images, annealed(0.0, 6.6, step, 20))["loss"]

    train(model.parameters(), loss, DVAE_STEPS, lr=4e-3, weight_decay=1e-4)
    return model.eval().requires_grad_(False), early[0]


@torch.no_grad()
def psnr(model: Dvae, tests: Pool) -> float:
    """Mean peak signal-to-noise ratio of unseen images from their likeliest tokens, in dB."""
    images = levels(tests, slice(None))
    error = (model.decode(model.encode_images(images)) - images).square().flatten(1).mean(1)
    return float((-10 * error.log10()).mean())


@torch.no_grad()
def relaxation_gap(model: Dvae, tests: Pool, temperature: float) -> float:
    """What the decoder loses, in nats per level of a pixel, if it gets whole tokens instead of relaxed ones, both drawn
    from the encoder's distribution."""
    images = levels(tests, slice(None))
    mapped, logits = map_pixels(images), model.encode(images)
    losses = []
    for hard in (True, False):
        torch.manual_seed(0)
        tokens = F.gumbel_softmax(logits, tau=temperature, hard=hard, dim=1)
        mu, ln_b = model.decoder(tokens).chunk(2, 1)
        losses.append(-logit_laplace_log_prob(mapped, mu, ln_b).mean())
    return float(losses[0] - losses[1])


@cache
def trained_clip(seed: int, which: int) -> Clip:
    """A CLIP: number 0 ranks, number 1 judges, and has seen other images."""
    pool = large_shapes(TRAINING, 2000 + 2 * seed + which)
    rng = np.random.default_rng((seed, 26, which))
    model = small_clip(words(), 10 * seed + which, size=SIZE)

    def loss(step: int) -> Tensor:
        rows = rng.integers(len(pool), size=2 * BATCH)
        tokens = words()([pool.scenes[i].caption for i in rows])
        same = (tokens[:, None] == tokens).all(-1)
        scale = model.logit_scale.exp().clamp(max=100)
        return info_nce(
            model.encode_images(pool.pixels(rows)), model.encode_texts(tokens), scale, positives=same
        )

    train(model.parameters(), loss, CLIP_STEPS)
    return model.eval().requires_grad_(False)


def texts(names: list[str]) -> Tensor:
    """Ids (n, 3) of "a", a colour and a shape."""
    return words()(names)[:, 1:4]


def drawn(seed: int, image_weight: float) -> dict[str, float]:
    """Train the transformer on tokens, and draw each name `CANDIDATES` times."""
    dvae, _ = trained_dvae(seed, 1 / 16)
    pool, tests = pools(seed)
    rng = np.random.default_rng((seed, 27))
    torch.manual_seed(seed)
    config = DalleConfig(
        dvae.config, len(words()), 3, dim=64, layers=4, heads=2, head_dim=32, hidden=256, kernel=5, pad=PAD
    )
    model = Dalle(config)
    model.dvae.load_state_dict(dvae.state_dict())
    model.dvae.requires_grad_(False)
    with torch.no_grad():
        codes = torch.cat(
            [model.encode_images(levels(pool, slice(i, i + 500))) for i in range(0, TRAINING, 500)]
        )
        unseen = model.encode_images(levels(tests, slice(None)))
    tokens, true = (texts([s.caption for s in part.scenes]) for part in (pool, tests))

    def loss(step: int) -> Tensor:
        rows = torch.from_numpy(rng.integers(len(pool), size=BATCH))
        output = model(tokens[rows], codes[rows])
        return dalle_loss(output, tokens[rows], codes[rows], image_weight)["loss"]

    train(model.parameters(), loss, STEPS, lr=2e-3)
    model.eval()
    with torch.no_grad():
        losses = dalle_loss(model(true, unseen), true, unseen)
    search = Sampling(generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        images = model.decode_images(model.generate(texts(NAMES), CANDIDATES, search=search))
    made = Pool(
        (images * 255).round().byte().permute(0, 2, 3, 1).numpy(),
        tuple(Scene(()) for _ in images),
    )
    return {"image loss": float(losses["image"]), "text loss": float(losses["text"]), **judged(made, seed)}


def judged(made: Pool, seed: int) -> dict[str, float]:
    """How often the judge sees the name that was drawn, and how near it finds it: of any candidate, and of the one that
    the other CLIP ranks first."""
    cosines = []
    for which in (0, 1):
        clip = trained_clip(seed, which)
        cosines.append(image_features(clip, made) @ text_features(clip, words(), NAMES).T)
    own = torch.arange(len(NAMES)).repeat_interleave(CANDIDATES)
    scale = trained_clip(seed, 0).logit_scale.exp()
    rank = (scale * cosines[0]).log_softmax(-1)[torch.arange(len(own)), own].view(-1, CANDIDATES)
    seen = (cosines[1].argmax(-1) == own).view(-1, CANDIDATES).float()
    score = cosines[1][torch.arange(len(own)), own].view(-1, CANDIDATES)
    best = rank.argmax(1, keepdim=True)
    return {
        "right, one drawn": float(seen.mean()),
        "right, best of 8": float(seen.gather(1, best).mean()),
        "CLIP score, one drawn": float(score.mean()),
        "CLIP score, best of 8": float(score.gather(1, best).mean()),
    }


def measure(condition: str, seed: int) -> dict[str, float]:
    """Train one autoencoder, or one transformer on the tokens of the annealed autoencoder."""
    if condition in (ANNEALED, CONSTANT):
        temperature, tests = (1 / 16 if condition == ANNEALED else 1.0), pools(seed)[1]
        model, early = trained_dvae(seed, temperature)
        return {
            "PSNR": psnr(model, tests),
            "PSNR, a quarter": early,
            "relaxation gap": relaxation_gap(model, tests, temperature),
        }
    return drawn(seed, 7.0 if condition == SEVEN else 1.0)


CLAIM = Claim(
    name="x24",
    title="DALL-E draws what a text says, the best of eight by CLIP more often than one, and images matter more",
    source="Ramesh et al. 2021, arXiv:2102.12092",
    conditions=(ANNEALED, CONSTANT, SEVEN, ONE),
    measure=measure,
    metrics={
        "PSNR": None,
        "PSNR, a quarter": None,
        "relaxation gap": None,
        "right, one drawn": 1 / len(NAMES),
        "right, best of 8": 1 / len(NAMES),
        "CLIP score, one drawn": None,
        "CLIP score, best of 8": None,
        "image loss": float(np.log(64)),
        "text loss": None,
    },
    checks=(
        Check(
            "reconstructions get better with training",
            lambda r: r[ANNEALED]["PSNR"].mean > r[ANNEALED]["PSNR, a quarter"].mean + 0.5,
        ),
        Check(
            "at a temperature of 1/16 whole tokens cost the decoder less than half of what they cost it at 1",
            lambda r: r[ANNEALED]["relaxation gap"].mean < 0.5 * r[CONSTANT]["relaxation gap"].mean,
        ),
        Check(
            "the best of eight by CLIP is right more often than one that is drawn, to another CLIP",
            lambda r: r[SEVEN]["right, best of 8"].mean > r[SEVEN]["right, one drawn"].mean + 0.05,
        ),
        Check(
            "the weight of 7 gives a lower loss of image tokens than that of 1",
            lambda r: r[SEVEN]["image loss"].mean < r[ONE]["image loss"].mean,
        ),
    ),
)
