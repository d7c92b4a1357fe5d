"""The diffusion objective: what is drawn for a sample, the loss, the score, and where a model begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.usefixtures("one_thread")

import PIL.Image  # noqa: E402

from visprog.models import Diffusion, TextEncoder, load_model  # noqa: E402
from visprog.training.data.samples import DataError, Pair  # noqa: E402
from visprog.training.fit import fit  # noqa: E402
from visprog.training.from_plain import RecipeError  # noqa: E402
from visprog.training.objectives.diffusion import Denoising, draw_mask  # noqa: E402
from visprog.training.recipe import load_recipe  # noqa: E402

from .recipes import DIFFUSION  # noqa: E402
from .tiny_objective import rows  # noqa: E402


def built(*changes: str) -> Denoising:
    found = load_recipe("diffusion", [*DIFFUSION, *changes]).build()
    assert isinstance(found, Denoising)
    return found


def batch_of(task: Denoising, count: int, split: Any = "train") -> dict[str, torch.Tensor]:
    data: Any = task.data(split)
    return data.collate([data.sample(key, np.random.default_rng(key)) for key in range(count)])


@pytest.fixture(scope="module")
def task() -> Denoising:
    torch.manual_seed(0)
    return built()


def test_a_batch_and_its_loss(task: Denoising) -> None:
    batch = batch_of(task, 24)
    assert batch["images"].shape == batch["noise"].shape == (24, 3, 32, 32)
    assert batch["masks"].shape == (24, 1, 32, 32) and set(batch["masks"].unique().tolist()) == {0.0, 1.0}
    assert batch["images"].min() >= -1 and batch["images"].max() <= 1
    assert len(batch["timesteps"].unique()) > 12 and batch["timesteps"].max() < 1000
    # A new network predicts zero, and the velocity of noise and image is what it misses.
    velocity = task.model.config.schedule.target(batch["images"], batch["noise"], batch["timesteps"])
    assert task.loss(batch)["loss"].item() == pytest.approx((velocity**2).mean().item(), rel=1e-5)


def test_one_text_in_ten_is_empty_and_those_of_validation_are_not(task: Denoising) -> None:
    empty = task.tokenizer([""]).ids[0]
    shares = {}
    for split in ("train", "val"):
        data: Any = task.data(split)
        texts = [data.sample(key, np.random.default_rng(key)).text for key in range(200)]
        shares[split] = sum(not text for text in texts) / 200
        assert all(len(task.tokenizer([text]).ids[0]) > len(empty) for text in texts if text)
    assert 0.04 < shares["train"] < 0.16 and shares["val"] == 0
    pair = Pair(np.zeros((9, 9, 3), np.uint8), ("a red circle",))
    assert built("drop_text=1").prepare(pair, np.random.default_rng(0), True).text == ""


def test_without_a_text_the_plain_part_is_masked() -> None:
    pixels = np.full((32, 32, 3), 200, np.uint8)
    pixels[12:20, 12:20] = (255, 0, 0)
    rng = np.random.default_rng(0)
    shares = {}
    for choices in (1, 32):
        masks = [draw_mask(pixels, 0.0, rng, choices)[0] > 0 for _ in range(100)]
        assert all(0 < mask.mean() < 0.9 for mask in masks)
        shares[choices] = np.mean([pixels[mask].std(0).sum() for mask in masks])
    assert shares[32] < 0.1 * shares[1]
    assert draw_mask(pixels, 1.0, rng, 1).all()


def test_the_score_is_the_same_at_every_evaluation(task: Denoising) -> None:
    batch = batch_of(task, 6, "val")
    with torch.no_grad():
        first, again = task.predict(batch), task.predict(batch_of(task, 6, "val"))
        middle = task.errors(batch, torch.full((6,), 500))
    assert task.score(first) == task.score(again)
    assert first["errors"].shape == (6, 3)
    torch.testing.assert_close(first["errors"][:, 1], middle)


def test_it_learns_and_resumes(tmp_path: Path) -> None:
    for i in range(20):
        color = [(220, 30, 30), (30, 30, 220)][i % 2]
        PIL.Image.new("RGB", (20, 20), color).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text(["all red", "all blue"][i % 2])
    settings = ["batch_size=8", "evaluate_every=null", "schedule.warmup=1", "checkpoint_every=8", "ema=0.5"]
    data = [f"data={tmp_path}", "vocabulary=280", "optimizer.lr=5e-3", "steps=24"]
    whole = load_recipe("diffusion", [*DIFFUSION, *settings, *data])
    fit(whole, tmp_path / "whole")
    losses = [float(row["loss"]) for row in rows(tmp_path / "whole")]
    assert np.mean(losses[-4:]) < 0.8 * losses[0]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        seen, loss = [0], Denoising.loss

        def interrupted(self: Denoising, batch: Any) -> Any:
            seen[0] += 1
            if seen[0] == 14:
                raise KeyboardInterrupt
            return loss(self, batch)

        patch.setattr(Denoising, "loss", interrupted)
        fit(whole, tmp_path / "stopped")
    fit(whole, tmp_path / "stopped")
    assert [float(row["loss"]) for row in rows(tmp_path / "stopped")] == losses
    model = load_model(tmp_path / "stopped" / "last")
    assert isinstance(model, Diffusion) and model.config.inpaints


def test_a_network_without_masks_learns_too() -> None:
    task = built("model.network.channels=3")
    assert not task.model.config.inpaints
    assert torch.isfinite(task.loss(batch_of(task, 3))["loss"])


def test_it_begins_with_the_text_encoder_of_a_trained_clip() -> None:
    task = built("init_from={text_encoder: clip}", "optimizer.lr={'': 1.0e-3, text_encoder: 0}")
    trained = TextEncoder.from_pretrained("clip")
    tokens = task.tokenizer(["a red circle", "two stars"]).ids
    torch.testing.assert_close(task.model.text_encoder(tokens).tokens, trained(tokens).tokens)
    assert task.model.config.network.context == trained.config.dim
    assert torch.isfinite(task.loss(batch_of(task, 2))["loss"])


def test_it_continues_with_its_own_words(task: Denoising, tmp_path: Path) -> None:
    task.save(tmp_path)
    again = load_recipe("diffusion", ["model=null", f"init_from={tmp_path}"]).build()
    assert isinstance(again, Denoising) and again.size == 32
    assert again.tokenizer.backend.get_vocab() == task.tokenizer.backend.get_vocab()
    assert again.image_processor == task.image_processor
    copied = built(f"init_from={tmp_path}").model.state_dict()
    assert all(torch.equal(copied[n], v.half().float()) for n, v in task.model.state_dict().items())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("init_from={image_encoder: owl}", DataError, "only its text_encoder can be taken"),
        ("init_from={text_encoder: sam}", DataError, "sam holds no text encoder"),
        ("init_from=clip", DataError, "is a Clip, not a Diffusion"),
        ("model.network.channels=5", DataError, "reads 3 channels, or 7 to inpaint"),
        ("model.type=clip", RecipeError, "model"),
        ("drop_text=1.5", RecipeError, "shares, from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(change: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        built(change)
