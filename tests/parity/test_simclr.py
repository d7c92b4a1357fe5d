"""Our SimCLR against stored numbers of pytorch-metric-learning and lightly (tests/parity/data/make_simclr.py says how
they were made), its loss against the authors' form of it, and its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from visprog.models import Simclr, SimclrConfig, load_model  # noqa: E402
from visprog.models.checkpoint.checkpoint import load_exactly  # noqa: E402
from visprog.models.checkpoint.keymap import KeyMap  # noqa: E402
from visprog.models.clip.model import ImageEncoder, ImageEncoderConfig  # noqa: E402
from visprog.models.simclr import Projector, nt_xent_loss  # noqa: E402

TINY = SimclrConfig(
    ImageEncoderConfig(size=12, patch=4, dim=16, layers=2, heads=2, hidden=32, project=None), project=8
)
KEYS = KeyMap(
    [pair for i in range(3) for pair in (
        (f"layers.{3 * i}.{{}}", f"layers.{i}.{{}}"), (f"layers.{3 * i + 1}.{{}}", f"norms.{i}.{{}}")
    )]
)  # fmt: skip


@pytest.fixture(scope="module")
def stored() -> dict[str, torch.Tensor]:
    return load_file(Path(__file__).with_name("data") / "simclr.safetensors")


@pytest.mark.parametrize("case", range(3))
def test_loss_and_gradients_are_twice_those_of_the_mean_over_views(case: int, stored) -> None:
    views = stored[f"{case}.views"].clone().requires_grad_()
    loss = nt_xent_loss(*views.chunk(2), temperature=float(stored[f"{case}.temperature"]))
    torch.testing.assert_close(loss, 2 * stored[f"{case}.loss"], atol=1e-5, rtol=1e-5)
    loss.backward()
    torch.testing.assert_close(views.grad, 2 * stored[f"{case}.grad"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 9])
def test_loss_is_the_authors_sum_of_two_directions(n: int) -> None:
    torch.manual_seed(n)
    first, second = torch.randn(2, n, 5, dtype=torch.double)
    a, b = (x / x.norm(dim=1, keepdim=True) for x in (first, second))
    own, target = 1e9 * torch.eye(n), torch.arange(n)
    want = sum(
        torch.nn.functional.cross_entropy(torch.cat([x @ y.T / 0.1, x @ x.T / 0.1 - own], 1), target)
        for x, y in ((a, b), (b, a))
    )
    torch.testing.assert_close(nt_xent_loss(first, second), want)
    torch.testing.assert_close(nt_xent_loss(3 * first, 0.1 * second), want)  # lengths do not matter


def test_projector_is_that_of_lightly_without_the_last_bias(stored) -> None:
    def part(prefix: str) -> dict[str, torch.Tensor]:
        found = {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}
        found.pop("layers.7.bias")
        return KEYS.to_ours(found)

    projector = Projector(12, 8, 3)
    tracked = {k: v for k, v in projector.state_dict().items() if "tracked" in k}
    weights, gradients = part("weight."), part("grad.")
    fresh = {k: torch.zeros_like(v) if k.endswith("mean") else torch.ones_like(v)
             for k, v in weights.items() if "running" in k}  # fmt: skip
    load_exactly(projector, weights | fresh | tracked, "simclr.safetensors")
    features = stored["features"].clone().requires_grad_()
    hidden = projector(features)
    assert [tuple(h.shape) for h in hidden] == [(10, 12), (10, 12), (10, 8)]
    assert min(float(h.detach().min()) for h in hidden[:2]) == 0
    torch.testing.assert_close(hidden[-1], stored["projected"], atol=1e-5, rtol=1e-5)
    loss = nt_xent_loss(*hidden[-1].chunk(2)) / 2
    torch.testing.assert_close(loss, stored["loss"], atol=1e-5, rtol=1e-5)
    loss.backward()
    torch.testing.assert_close(features.grad, stored["features.grad"], atol=1e-5, rtol=1e-4)
    for name, parameter in projector.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-5, rtol=1e-4, msg=name)
    for name, value in projector.state_dict().items():  # the means and deviations that it goes on with
        if "running" in name:
            torch.testing.assert_close(value, weights[name], atol=1e-5, rtol=1e-5, msg=name)
    torch.testing.assert_close(
        projector.eval()(stored["features"])[-1], stored["evaluated"], atol=1e-5, rtol=1e-5
    )


def test_features_are_those_before_the_projector_and_the_folder_gives_all_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, images = Simclr(TINY), torch.randn(6, 3, 12, 12)
    model(images)  # moves the running means
    model.eval()
    out = model(images, collect=True)
    torch.testing.assert_close(model.encode_images(images), out.image.pooled)
    torch.testing.assert_close(model.project(out.image.pooled), out.embeds)
    torch.testing.assert_close(out.embeds.norm(dim=1), torch.ones(6))
    assert len(out.image.hidden) == 2 and out.image.projected is out.image.pooled
    model.save_pretrained(tmp_path)
    again = load_model(tmp_path).eval()
    assert isinstance(again, Simclr) and again.config == TINY
    torch.testing.assert_close(again(images).embeds, out.embeds)
    encoder = ImageEncoder.from_pretrained(tmp_path)
    torch.testing.assert_close(encoder(images).pooled, out.image.pooled)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"image_encoder\.project null"):
        SimclrConfig(ImageEncoderConfig())
    with pytest.raises(ValueError, match="1 layer or more, not 0"):
        SimclrConfig(projector_layers=0)
    Simclr(TINY).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "temperature": 0.1}))
    with pytest.raises(ValueError, match="has no temperature"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "simclr"}))
    with pytest.raises(ValueError, match="public checkpoints of Simclr are not read"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "clip"}))
    with pytest.raises(ValueError, match="'clip', not 'simclr'"):
        Simclr.from_pretrained(tmp_path)
