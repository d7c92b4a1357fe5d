"""LARS against its closed form, and what a recipe gives it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from visprog.models.simclr import Projector  # noqa: E402
from visprog.training.optim.lars import Lars  # noqa: E402
from visprog.training.optim.optimizers import make_optimizers  # noqa: E402
from visprog.training.recipe import OptimizerConfig  # noqa: E402


@pytest.mark.parametrize(("adapt", "decay"), [(True, 0.1), (True, 0.0), (False, 0.0)])
def test_updates_are_those_of_the_formula(adapt: bool, decay: float) -> None:
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(4, 3, dtype=torch.double))
    weight, velocity = parameter.detach().clone(), torch.zeros(4, 3, dtype=torch.double)
    optimizer = Lars([{"params": [parameter], "adapt": adapt}], lr=0.5, weight_decay=decay)
    for step in range(4):
        gradient = torch.randn(4, 3, dtype=torch.double) * 10**step
        parameter.grad = gradient.clone()
        optimizer.step()
        slope = gradient + decay * weight
        rate = 0.5 * (0.001 * weight.norm() / slope.norm() if adapt else 1)
        velocity = 0.9 * velocity + rate * slope
        weight = weight - velocity
        torch.testing.assert_close(parameter.detach(), weight)


def test_weights_or_gradients_of_zero_are_not_adapted() -> None:
    zero, still = torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.ones(2, 2))
    zero.grad, still.grad = torch.ones(2, 2), torch.zeros(2, 2)
    Lars([zero, still], lr=0.5, weight_decay=0.0).step()
    assert torch.equal(zero.detach(), torch.full((2, 2), -0.5)) and torch.equal(
        still.detach(), torch.ones(2, 2)
    )


def test_norms_and_biases_of_a_model_are_left_out() -> None:
    class Only:
        model = Projector(4, 3, 2)

        def blocks(self) -> tuple[()]:
            return ()

    (optimizer,) = make_optimizers(Only(), OptimizerConfig("lars", lr=0.3, weight_decay=1e-4))  # type: ignore[arg-type]
    assert isinstance(optimizer, Lars)
    found = {(g["adapt"], g["weight_decay"]): {p.ndim for p in g["params"]} for g in optimizer.param_groups}
    assert found == {(True, 1e-4): {2}, (False, 0.0): {1}}
