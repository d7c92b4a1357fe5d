"""Linear layers are those of PyTorch, whichever library computes them."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from visprog.models.nn import linear as module  # noqa: E402
from visprog.models.nn.linear import Linear  # noqa: E402


@pytest.fixture(params=[False, True])
def onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param and not torch.backends.mkldnn.is_available():
        pytest.skip("torch was built without oneDNN")
    monkeypatch.setattr(module, "_prefers_onednn", lambda: request.param)
    return bool(request.param)


@pytest.mark.parametrize("shape", [(5,), (1, 5), (3, 4, 5), (0, 5), (2, 1, 4, 5)])
@pytest.mark.parametrize("bias", [False, True])
def test_results_are_equal(onednn: bool, bias: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer, x = Linear(5, 7, bias=bias), torch.randn(shape)
    want = F.linear(x, layer.weight, layer.bias)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), want, atol=1e-6, rtol=1e-5)
        strided = torch.randn(*shape[:-1], 10)[..., ::2]
        torch.testing.assert_close(
            layer(strided), F.linear(strided, layer.weight, layer.bias), atol=1e-6, rtol=1e-5
        )
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), want, atol=1e-6, rtol=1e-5)


def test_gradients_flow(onednn: bool) -> None:
    layer, x = Linear(5, 7), torch.randn(3, 5, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and layer.weight.grad is not None
    layer.requires_grad_(False)
    layer.bias.requires_grad_()
    layer(x.detach()).sum().backward()
    assert layer.bias.grad is not None
    x.grad = None
    layer(x).sum().backward()
    assert torch.allclose(x.grad, layer.weight.sum(0).expand(3, 5))


def test_other_precisions(onednn: bool) -> None:
    layer, x = Linear(5, 7), torch.randn(3, 5)
    with torch.no_grad():
        assert layer.double()(x.double()).dtype == torch.float64
        assert layer.bfloat16()(x.bfloat16()).dtype == torch.bfloat16
        layer.float()
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16
        with pytest.raises(RuntimeError, match=r"shapes|size"):
            layer(torch.randn(3, 6))
