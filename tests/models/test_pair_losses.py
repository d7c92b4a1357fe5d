"""The losses over pairs, against their definitions written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from visprog.models.nn import info_nce, sigmoid_pair_loss  # noqa: E402


def unit(n: int, seed: int, dim: int = 5):
    x = torch.randn(n, dim, dtype=torch.double, generator=torch.Generator().manual_seed(seed))
    return (x / x.norm(dim=1, keepdim=True)).requires_grad_()


def cross_entropy(logits: np.ndarray, target: np.ndarray) -> float:
    shifted = logits - logits.max(1, keepdims=True)
    log = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return float(-(target * log).sum(1).mean())


@pytest.mark.parametrize("extra", [0, 4])
def test_info_nce_is_two_cross_entropies(extra: int) -> None:
    images, texts, scale = unit(6, 1), unit(6 + extra, 2), torch.tensor(7.0, dtype=torch.double)
    logits = 7 * images.detach().numpy() @ texts.detach().numpy().T
    eye = np.eye(6, 6 + extra)
    want = (cross_entropy(logits, eye) + cross_entropy(logits[:, :6].T, eye[:, :6])) / 2
    assert info_nce(images, texts, scale).item() == pytest.approx(want)


def test_several_texts_may_be_right() -> None:
    images, texts, scale = unit(4, 1), unit(5, 2), torch.tensor(3.0, dtype=torch.double)
    right = torch.eye(4, 5, dtype=torch.bool)
    alone = info_nce(images, texts, scale, right)
    assert alone.item() == pytest.approx(info_nce(images, texts, scale).item())
    right[0, 1] = right[1, 0] = True
    spread = right.numpy() / right.numpy().sum(1, keepdims=True)
    back = right.numpy()[:, :4].T / right.numpy()[:, :4].T.sum(1, keepdims=True)
    logits = 3 * images.detach().numpy() @ texts.detach().numpy().T
    want = (cross_entropy(logits, spread) + cross_entropy(logits[:, :4].T, back)) / 2
    assert info_nce(images, texts, scale, right).item() == pytest.approx(want)


@pytest.mark.parametrize("chunk", [None, 1, 3, 100])
@pytest.mark.parametrize("several", [False, True])
def test_the_sigmoid_loss_judges_each_pair(chunk: int | None, several: bool) -> None:
    images, texts = unit(6, 1), unit(8, 2)
    scale = torch.tensor(10.0, dtype=torch.double, requires_grad=True)
    bias = torch.tensor(-3.0, dtype=torch.double, requires_grad=True)
    right = torch.eye(6, 8, dtype=torch.bool)
    if several:
        right[2, 7] = True
    loss = sigmoid_pair_loss(images, texts, scale, bias, right if several else None, chunk)
    z = np.where(right.numpy(), 1, -1)
    logits = 10 * images.detach().numpy() @ texts.detach().numpy().T - 3
    assert loss.item() == pytest.approx(np.log1p(np.exp(-z * logits)).sum() / 6)
    loss.backward()
    slope = -z / (1 + np.exp(z * logits)) / 6
    assert bias.grad.item() == pytest.approx(slope.sum())
    np.testing.assert_allclose(texts.grad.numpy(), 10 * slope.T @ images.detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(images.grad.numpy(), 10 * slope @ texts.detach().numpy(), rtol=1e-9)


def test_at_the_start_of_siglip_every_negative_costs_nothing() -> None:
    """With t = 10 and b = -10 a pair that is one costs about 10 at right angles, one that is none nothing."""
    images = torch.eye(4)
    scale, bias = torch.tensor(10.0), torch.tensor(-10.0)
    apart = sigmoid_pair_loss(images, images.roll(1, 0), scale, bias)
    assert float(apart) == pytest.approx(10 + np.log(2), abs=1e-3)
