"""The linear probe against the conditions of its optimum, and the report on robustness against a line by hand."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from visprog.models.linear_probe import choose, fit, robustness  # noqa: E402


def blobs(n: int, seed: int, spread: float = 1.0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)) * 2
    labels = torch.randint(0, 4, (n,), generator=generator)
    return centres[labels] + spread * torch.randn(n, 6, generator=generator) + 5, labels


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_it_is_at_the_optimum_of_logistic_regression(c: float) -> None:
    features, labels = blobs(300, 1)
    probe = fit(features, labels, c)
    x = features.double()
    mean, std = x.mean(0), x.std(0)
    z, weight = (x - mean) / std, probe.weight * std  # as it was fitted
    torch.testing.assert_close(probe(features), z @ weight.T + probe.bias + probe.weight @ mean)
    error = probe(features).softmax(1) - torch.nn.functional.one_hot(labels, 4)
    assert float((c * error.T @ z + weight).abs().max()) < 1e-3 * max(c, 1)
    assert float((error.sum(0)).abs().max()) < 1e-3


def test_less_regularisation_fits_closer_and_the_sweep_chooses_by_validation() -> None:
    train, validation, test = blobs(60, 1, 2.0), blobs(200, 2, 2.0), blobs(400, 3, 2.0)
    weak, strong = fit(*train, 1e4), fit(*train, 1e-4)
    assert weak.accuracy(*train) >= strong.accuracy(*train)
    assert weak.weight.norm() > 100 * strong.weight.norm()
    best = choose(train, validation, [1e4, 1e-4, 1.0])
    assert best.accuracy(*validation) == max(
        p.accuracy(*validation) for p in (weak, strong, fit(*train, 1.0))
    )
    assert best.accuracy(*test) > 0.5


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"\(3, 2\) features do not fit \(4,\) labels"):
        fit(torch.zeros(3, 2), torch.zeros(4, dtype=torch.long))
    with pytest.raises(ValueError, match="two classes or more"):
        fit(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long))


def test_effective_robustness_is_the_height_above_the_line() -> None:
    def from_logit(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    baselines = [(from_logit(x), from_logit(0.5 * x - 1)) for x in (-1.0, 0.3, 2.0)]
    on_line = robustness("plain", from_logit(1.0), from_logit(-0.5), baselines)
    assert on_line.effective == pytest.approx(0, abs=1e-9)
    above = robustness("robust", from_logit(1.0), from_logit(-0.5) + 0.1, baselines)
    assert above.effective == pytest.approx(0.1)
    assert math.isnan(robustness("alone", 0.8, 0.7, baselines[:1]).effective)
