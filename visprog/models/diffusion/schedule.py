"""Denoising diffusion: noise schedules, the steps of DDPM and DDIM, guidance, and inpainting with known pixels.

An image x_0 becomes x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε at timestep t = 0 … steps − 1, and a network learns ε, or the
velocity v = √ᾱ_t ε − √(1 − ᾱ_t) x_0, from x_t. Samplers go back from noise: DDPM (Ho et al. 2020, arXiv:2006.11239)
draws each step, DDIM (Song et al. 2021, arXiv:2010.02502) need not. Known pixels are put back at every step, as in
RePaint (Lugmayr et al. 2022, arXiv:2201.09865). Timestep −1 stands for the image without noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Spacing = Literal["trailing", "leading", "linspace"]
Denoiser = Callable[[Tensor, Tensor], Tensor]
"""Noised images (batch, channels, height, width) and timesteps (batch,) → what the network predicts of them."""

MAX_BETA = 0.999
"""Greatest β of the cosine schedule."""


@dataclass(frozen=True)
class NoiseSchedule:
    """How much noise each timestep adds, and what the network predicts.

    Attributes:
        steps: number of timesteps.
        beta_schedule: "linear" (Ho et al. 2020), or "cosine" (Nichol & Dhariwal 2021, arXiv:2102.09672).
        prediction: "epsilon", the noise, or "v", the velocity (Salimans & Ho 2022, arXiv:2202.00512).
        beta_start: first β of the linear schedule.
        beta_end: last β of the linear schedule.

    Raises:
        ValueError: there is no such schedule or prediction.
    """

    steps: int = 1000
    beta_schedule: Literal["linear", "cosine"] = "linear"
    prediction: Literal["epsilon", "v"] = "epsilon"
    beta_start: float = 1e-4
    beta_end: float = 0.02

    def __post_init__(self) -> None:
        check_choice("beta_schedule", self.beta_schedule, ("linear", "cosine"))
        check_choice("prediction", self.prediction, ("epsilon", "v"))

    @cached_property
    def betas(self) -> Tensor:
        """Share of noise that each timestep adds, float32 (steps,)."""
        if self.beta_schedule == "linear":
            return torch.linspace(self.beta_start, self.beta_end, self.steps, dtype=torch.float32)

        def kept(i: int) -> float:
            return math.cos((i / self.steps + 0.008) / 1.008 * math.pi / 2) ** 2

        return torch.tensor([min(1 - kept(i + 1) / kept(i), MAX_BETA) for i in range(self.steps)])

    @cached_property
    def alphas_cumprod(self) -> Tensor:
        """ᾱ, the share of the image that is left after each timestep, float32 (steps,)."""
        return (1 - self.betas).cumprod(0)

    def timesteps(self, count: int, spacing: Spacing = "trailing") -> list[int]:
        """The timesteps of a sampler, from the last one down (Lin et al. 2024, arXiv:2305.08891, table 2). Only
        "trailing", the default, and "linspace" begin at the last timestep, which is all noise.

        Raises:
            ValueError: there are not as many timesteps.
        """
        if not 1 <= count <= self.steps:
            raise ValueError(f"a sampler takes 1 to {self.steps} steps, not {count}")
        if spacing == "trailing":
            return [round(self.steps - i * self.steps / count) - 1 for i in range(count)]
        if spacing == "leading":
            return [i * (self.steps // count) for i in reversed(range(count))]
        return [round(i * (self.steps - 1) / max(count - 1, 1)) for i in reversed(range(count))]

    # -- training ------------------------------------------------------------------------------------------

    def add_noise(self, images: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x_t of images (batch, …) in [−1, 1] at timesteps (batch,)."""
        signal, rest = self._levels(timesteps, images)
        return signal * images + rest * noise

    def target(self, images: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the network should predict of x_t: the noise, or the velocity."""
        if self.prediction == "epsilon":
            return noise
        signal, rest = self._levels(timesteps, images)
        return signal * noise - rest * images

    # -- sampling ------------------------------------------------------------------------------------------

    def ddpm_step(
        self,
        output: Tensor,
        noised: Tensor,
        timestep: int,
        previous: int,
        noise: Tensor,
        *,
        variance: Literal["small", "large"] = "small",
        clip: bool = True,
    ) -> Tensor:
        """x at timestep `previous`, drawn from the posterior of x_0 as it is predicted (algorithm 2).

        Args:
            output: prediction of the network.
            noised: x at `timestep`.
            noise: standard normal, of the same shape; not used at the last step.
            variance: "small", β̃_t, that of the posterior, or "large", β_t.
            clip: whether the predicted x_0 is clipped to [−1, 1].
        """
        now, before = self._alpha(timestep), self._alpha(previous)
        alpha = now / before
        beta = 1 - alpha
        original = self.original(output, noised, timestep, clip)
        mean = (before**0.5 * beta / (1 - now)) * original
        mean = mean + (alpha**0.5 * (1 - before) / (1 - now)) * noised
        if previous < 0:
            return mean
        spread = beta if variance == "large" else (1 - before) / (1 - now) * beta
        return mean + spread.clamp(min=1e-20) ** 0.5 * noise

    def ddim_step(
        self,
        output: Tensor,
        noised: Tensor,
        timestep: int,
        previous: int,
        noise: Tensor | None = None,
        *,
        eta: float = 0.0,
        clip: bool = True,
    ) -> Tensor:
        """x at timestep `previous` (equation 12).

        Args:
            output: prediction of the network.
            noised: x at `timestep`.
            noise: standard normal, of the same shape; not needed if `eta` is 0.
            eta: share of the noise of DDPM that is drawn anew; 0 for a sampler that draws nothing.
            clip: whether the predicted x_0 is clipped to [−1, 1]; the noise stays as it was predicted.
        """
        now, before = self._alpha(timestep), self._alpha(previous)
        original = self.original(output, noised, timestep, clip)
        epsilon = output
        if self.prediction == "v":
            epsilon = now**0.5 * output + (1 - now) ** 0.5 * noised
        sigma = eta * ((1 - before) / (1 - now) * (1 - now / before)) ** 0.5
        mean = before**0.5 * original + (1 - before - sigma**2).clamp(min=0) ** 0.5 * epsilon
        return mean if eta == 0 or noise is None else mean + sigma * noise

    def renoise(self, noised: Tensor, timestep: int, later: int, noise: Tensor) -> Tensor:
        """x at a later timestep, from x at `timestep`: the diffusion itself, to go back in time (equation 1)."""
        alpha = self._alpha(later) / self._alpha(timestep)
        return alpha**0.5 * noised + (1 - alpha) ** 0.5 * noise

    def original(self, output: Tensor, noised: Tensor, timestep: int, clip: bool = False) -> Tensor:
        """x_0 as a prediction of the network has it, perhaps clipped to [−1, 1]."""
        alpha = self._alpha(timestep)
        signal, rest = alpha**0.5, (1 - alpha) ** 0.5
        if self.prediction == "epsilon":
            image = (noised - rest * output) / signal
        else:
            image = signal * noised - rest * output
        return image.clamp(-1, 1) if clip else image

    def _alpha(self, timestep: int) -> Tensor:
        return self.alphas_cumprod[timestep] if timestep >= 0 else torch.ones(())

    def _levels(self, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """√ᾱ and √(1 − ᾱ), (batch, 1, …)."""
        alphas = self.alphas_cumprod.to(like.device)[timesteps].view(-1, *[1] * (like.ndim - 1))
        return (alphas**0.5).to(like.dtype), ((1 - alphas) ** 0.5).to(like.dtype)


class Known(NamedTuple):
    """Pixels that are given.

    Attributes:
        images: (batch, channels, height, width), in [−1, 1].
        mask: (batch, 1, height, width), 1 for pixels to generate, 0 for those of `images`.
    """

    images: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Sampler:
    """Noise to images.

    Attributes:
        steps: number of steps.
        method: "ddim" or "ddpm".
        eta: of DDIM, the share of the noise of DDPM that is drawn at each step.
        variance: of DDPM, "small" or "large".
        spacing: of the timesteps.
        clip: whether the predicted image is clipped to [−1, 1] at each step.
        resamples: number of times that each stretch of `jump` steps is gone through, so that what is generated fits
            the known pixels (Lugmayr et al. 2022, r and j); 1 goes straight.
        jump: number of steps of a stretch.

    Raises:
        ValueError: there is no such method, variance or spacing.
    """

    steps: int = 50
    method: Literal["ddim", "ddpm"] = "ddim"
    eta: float = 0.0
    variance: Literal["small", "large"] = "small"
    spacing: Spacing = "trailing"
    clip: bool = True
    resamples: int = 1
    jump: int = 10

    def __post_init__(self) -> None:
        check_choice("method", self.method, ("ddim", "ddpm"))
        check_choice("variance", self.variance, ("small", "large"))
        check_choice("spacing", self.spacing, ("trailing", "leading", "linspace"))

    @torch.no_grad()
    def sample(
        self,
        denoise: Denoiser,
        noise: Tensor,
        schedule: NoiseSchedule,
        *,
        known: Known | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Images (batch, channels, height, width) in [−1, 1], from noise of that shape.

        Args:
            denoise: the network.
            noise: standard normal.
            schedule: that of the network's training.
            known: pixels that are given.
            generator: of further noise, on the CPU, so that a seed gives the same images on every device.

        Raises:
            ValueError: a schedule with fewer timesteps than `steps`.
        """

        def draw() -> Tensor:
            return torch.randn(noise.shape, generator=generator).to(noise)

        times = [-1, *reversed(schedule.timesteps(self.steps, self.spacing))]
        x = noise
        for here, there in pairwise(resampled(self.steps, self.jump, self.resamples)):
            timestep, to = times[here + 1], times[there + 1]
            if there > here:
                x = schedule.renoise(x, timestep, to, draw())
                continue
            output = denoise(x, torch.full((len(x),), timestep, device=x.device))
            if self.method == "ddpm":
                x = schedule.ddpm_step(
                    output, x, timestep, to, draw(), variance=self.variance, clip=self.clip
                )
            else:
                fresh = draw() if self.eta else None
                x = schedule.ddim_step(output, x, timestep, to, fresh, eta=self.eta, clip=self.clip)
            if known is not None:
                given = known.images
                if to >= 0:
                    given = schedule.add_noise(given, draw(), torch.full((len(x),), to, device=x.device))
                x = torch.where(known.mask.bool(), x, given)
        return x


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a setting that is none of the choices.

    Raises:
        ValueError: It is none; the message names them.
    """
    if value not in choices:
        raise ValueError(f"'{name}' must be {' or '.join(choices)}, not {value!r}")


def resampled(steps: int, jump: int, resamples: int) -> Sequence[int]:
    """The order in which a sampler visits its steps, from `steps` − 1 (noise) to −1 (an image): after every `jump` of
    them it goes back as many, `resamples` − 1 times (Lugmayr et al. 2022, appendix)."""
    left = dict.fromkeys(range(0, steps - jump, jump), resamples - 1)
    at, path = steps, []
    while at >= 1:
        at -= 1
        path.append(at)
        if left.get(at, 0) > 0:
            left[at] -= 1
            path += range(at + 1, at + jump + 1)
            at += jump
    return [*path, -1]


def guided(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """The prediction of classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598); a scale of 1 is the
    conditional one."""
    return unconditional + scale * (conditional - unconditional)


def diffusion_loss(output: Tensor, target: Tensor) -> Tensor:
    """Squared error of predictions, the mean over each sample: (batch, …) → (batch,).

    Args:
        output: prediction of the network.
        target: from `NoiseSchedule.target`.
    """
    return F.mse_loss(output.float(), target.float(), reduction="none").flatten(1).mean(1)
