"""A linear probe: logistic regression on frozen features (Radford et al. 2021, 3.2).

How much a representation knows, without prompts: the features are those before the projection, the regression
is fitted by L-BFGS to convergence, and its regularisation is chosen on validation data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

SWEEP = tuple(10.0**power for power in range(-6, 7))
"""Inverse strengths of regularisation to choose from, those of the paper's range."""

TEMPERATURES = tuple(10 ** (power / 20) for power in range(-40, 41))
"""Divisors of logits to choose from."""


@dataclass(frozen=True)
class LinearProbe:
    """A fitted regression.

    Attributes:
        weight: (classes, dim), for features as they are.
        bias: (classes).
        c: the inverse strength of regularisation.
    """

    weight: Tensor
    bias: Tensor
    c: float

    def __call__(self, features: Tensor) -> Tensor:
        """Logits (n, classes) of features (n, dim)."""
        return F.linear(features.to(self.weight), self.weight, self.bias)

    def accuracy(self, features: Tensor, labels: Tensor) -> float:
        """The share of labels (n) that are found."""
        return float((self(features).argmax(1) == labels).double().mean())

    def probabilities(self, features: Tensor) -> Tensor:
        """Probabilities of the classes (n, classes)."""
        return self(features).softmax(1)


@torch.inference_mode(False)
def fit(
    features: Tensor,
    labels: Tensor,
    c: float = 1.0,
    iterations: int = 1000,
    start: LinearProbe | None = None,
    classes: int | None = None,
) -> LinearProbe:
    """Multinomial logistic regression: the sum of the cross-entropies times c, plus half the squared weights.

    Features are standardised inside, so that one sweep of c suits every model; the bias is not regularised.

    Args:
        features: (n, dim).
        labels: (n), classes from 0 on.
        iterations: of L-BFGS at most.
        start: where it begins, such as the probe of another c; at 0 if not given. The optimum is the same.
        classes: number of classes, if not all have labels.

    Raises:
        ValueError: features and labels do not fit, or there is only one class.
    """
    if len(features) != len(labels) or features.ndim != 2:
        raise ValueError(f"{tuple(features.shape)} features do not fit {tuple(labels.shape)} labels")
    classes = classes or int(labels.max()) + 1
    if classes < 2:
        raise ValueError("a probe needs two classes or more")
    x, labels = features.detach().double(), labels.clone()  # those of inference mode cannot be learned from
    mean, std = x.mean(0), x.std(0).clamp(min=1e-12)
    x = (x - mean) / std
    weight, bias = torch.zeros(classes, x.shape[1]).to(x), torch.zeros(classes).to(x)
    if start is not None:
        weight, bias = start.weight * std, start.bias + start.weight @ mean
    weight.requires_grad_()
    bias.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=iterations,
        tolerance_grad=1e-7,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        # Divided by n * c, which moves no minimum and keeps gradients near 1.
        loss = F.cross_entropy(F.linear(x, weight, bias), labels) + weight.square().sum() / (2 * c * len(x))
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(objective)
    scaled = (weight / std).detach()
    return LinearProbe(scaled, (bias - scaled @ mean).detach(), c)


def choose(
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    sweep: Sequence[float] = SWEEP,
    classes: int | None = None,
) -> LinearProbe:
    """The best probe of a sweep over c by its accuracy on validation data; of equal ones the most regularised.

    Args:
        train: features (n, dim) and labels (n).
        validation: features (n, dim) and labels (n).
        sweep: values of c.
        classes: number of classes, if not all have labels.
    """
    probes: list[LinearProbe] = []
    for c in sorted(sweep):
        probes.append(fit(*train, c, start=probes[-1] if probes else None, classes=classes))
    return max(probes, key=lambda probe: probe.accuracy(*validation))


def few_shot(labels: Tensor, shots: int, seed: int) -> Tensor:
    """Indices of `shots` samples of each class, all of a class that has fewer, in the order of the classes.

    Args:
        labels: (n), classes from 0 on.
        shots: number of samples per class.
        seed: of the draw. The samples of fewer shots are among those of more.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return torch.cat([order[labels[order] == label][:shots] for label in labels.unique()])


def calibrate(probe: LinearProbe, features: Tensor, labels: Tensor) -> LinearProbe:
    """A probe whose probabilities are as often right as they say, its logits divided by a temperature (Guo et al. 2017,
    arXiv:1706.04599) that fits validation data.

    The target is not certainty: if n samples are all right, the next one is right with (n + 1) / (n + 2) (Platt 1999).

    Args:
        features: (n, dim) of validation data.
        labels: (n).
    """
    logits = probe(features)
    doubt = 1 / (len(labels) + 2)
    target = torch.full_like(logits, doubt / (logits.shape[1] - 1))
    target[torch.arange(len(labels)), labels] = 1 - doubt
    best = min(TEMPERATURES, key=lambda t: float(F.cross_entropy(logits / t, target)))
    return replace(probe, weight=probe.weight / best, bias=probe.bias / best)


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 10) -> float:
    """Expected calibration error: how far the probability of the likeliest class lies from its share of right ones, on
    average (Guo et al. 2017).

    Args:
        probabilities: (n, classes).
        labels: (n).
        bins: number of ranges of probability that are compared.
    """
    sure, found = probabilities.max(1)
    right = (found == labels).to(sure)
    of = (sure * bins).long().clamp(max=bins - 1)
    gaps = [(right[of == b] - sure[of == b]).sum().abs() for b in range(bins)]
    return float(torch.stack(gaps).sum() / len(labels))


@dataclass(frozen=True)
class Robustness:
    """An accuracy on usual images beside that on shifted ones (ObjectNet, Barbu et al. 2019).

    Attributes:
        name: of the model.
        usual: accuracy on images like those of training.
        shifted: accuracy of the same classifier on the others.
        effective: by how much `shifted` lies above what the line through the baselines expects at `usual`
            (effective robustness, Taori et al. 2020); NaN with fewer than two baselines.
    """

    name: str
    usual: float
    shifted: float
    effective: float


def robustness(
    name: str, usual: float, shifted: float, baselines: Sequence[tuple[float, float]]
) -> Robustness:
    """One line of a report. `baselines` are (usual, shifted) of other models; accuracies are compared by their
    logits, in which such lines are straight."""
    effective = float("nan")
    if len({u for u, _ in baselines}) >= 2:
        x, y = (
            torch.logit(torch.tensor(v, dtype=torch.double), eps=1e-6) for v in zip(*baselines, strict=True)
        )
        slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
        at = torch.logit(torch.tensor(usual, dtype=torch.double), eps=1e-6)
        effective = shifted - float(torch.sigmoid(y.mean() + slope * (at - x.mean())))
    return Robustness(name, usual, shifted, effective)
