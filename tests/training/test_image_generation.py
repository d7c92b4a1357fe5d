"""The objectives dvae and autoregressive-image: what changes over a run, what they begin with, scores and the judge."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.usefixtures("one_thread")

from visprog.models import Dalle, Dvae, load_model  # noqa: E402
from visprog.training.data.samples import DataError  # noqa: E402
from visprog.training.fit import fit  # noqa: E402
from visprog.training.from_plain import RecipeError  # noqa: E402
from visprog.training.metrics.retrieval import fingerprint  # noqa: E402
from visprog.training.objectives.autoregressive_image import AutoregressiveImages  # noqa: E402
from visprog.training.objectives.dvae import DiscreteAutoencoding, annealed  # noqa: E402
from visprog.training.recipe import load_recipe  # noqa: E402
from visprog.training.run_folder import RunFolder  # noqa: E402

from .recipes import CLIP, DALLE, DVAE  # noqa: E402

STILL = ["batch_size=8", "schedule.warmup=1", "evaluate_every=null", "ema=null"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CLIP and a small autoencoder."""
    folder = tmp_path_factory.mktemp("models")
    for name, small in (("clip", [*CLIP, "init_from=null"]), ("dvae", DVAE)):
        (folder / name).mkdir()
        load_recipe(name, small).build().save(folder / name)
    return folder


def dvae(*changes: str) -> DiscreteAutoencoding:
    torch.manual_seed(0)
    found = load_recipe("dvae", [*DVAE, *STILL, *changes]).build()
    assert isinstance(found, DiscreteAutoencoding)
    return found


def dalle_changes(models: Path, *changes: str) -> list[str]:
    return [change.replace("{data}", str(models)) for change in (*DALLE, *STILL, *changes)]


def dalle(models: Path, *changes: str) -> AutoregressiveImages:
    torch.manual_seed(0)
    found = load_recipe("dalle", dalle_changes(models, *changes)).build()
    assert isinstance(found, AutoregressiveImages)
    return found


def batch_of(objective: Any, split: str, count: int) -> Any:
    data, rng = objective.data(split), np.random.default_rng(0)
    return data.collate([data.sample(i, rng) for i in range(count)])


def losses(run: Path) -> list[float]:
    return list(np.genfromtxt(run / "log.csv", delimiter=",", names=True)["loss"])


def test_temperature_falls_and_the_weight_of_the_divergence_rises() -> None:
    objective = dvae("temperature_steps=100", "kl_steps=40")
    seen = []
    for step in (0, 20, 40, 100, 1000):
        objective.step = step
        seen.append((objective.temperature, objective.kl_weight))
    temperatures, weights = zip(*seen, strict=True)
    assert temperatures[0] == 1 and temperatures[-2:] == (1 / 16, 1 / 16)
    assert weights == pytest.approx((0, 3.3, 6.6, 6.6, 6.6))
    assert annealed(1.0, 1 / 16, 50, 100) == pytest.approx(0.53125)
    assert annealed(1.0, 0.5, 0, 0) == 0.5
    for wrong, message in (
        ("temperature=[1, 0]", "temperature must be positive"),
        ("kl_steps=-1", "negative"),
    ):
        with pytest.raises(RecipeError, match=message):
            dvae(wrong)


@pytest.mark.parametrize("name", ["dvae", "dalle"])
def test_a_few_steps_lower_the_loss_and_a_run_that_broke_off_resumes(
    name: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes with the step goes on where it was: both runs come to the same numbers."""
    keys = (
        [*DVAE, *STILL, "temperature_steps=8", "kl_steps=4"]
        if name == "dvae"
        else dalle_changes(models, "judge=null")
    )
    keys += ["steps=12", "checkpoint_every=4", "data.scenes=16", "batch_size=16"]
    recipe = load_recipe(name, keys)
    summary = fit(recipe, tmp_path / "whole")
    assert losses(tmp_path / "whole")[-1] < losses(tmp_path / "whole")[0] - 0.02
    assert summary["metric"] in summary["scores"] and not summary["skipped"]

    objective = DiscreteAutoencoding if name == "dvae" else AutoregressiveImages
    loss, calls = objective.loss, []

    def breaks(self: Any, batch: Any) -> Any:
        calls.append(self.step)
        if len(calls) == 7:
            raise RuntimeError("no more")
        return loss(self, batch)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="no more"):
        patch.setattr(objective, "loss", breaks)
        fit(recipe, tmp_path / "broken")
    assert calls == list(range(7)) and RunFolder(tmp_path / "broken", recipe, fresh=False).exists
    fit(recipe, tmp_path / "broken")
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
    a, b = (load_model(tmp_path / run / "last").state_dict() for run in ("whole", "broken"))
    assert all(torch.equal(value, b[key]) for key, value in a.items())


def test_scores_of_the_autoencoder() -> None:
    objective = dvae()
    batch = batch_of(objective, "val", 3)
    found = objective.predict(batch)
    images = objective.model.decode(objective.model.encode_images(batch["images"]))
    error = ((images - batch["images"]) ** 2).flatten(1).mean(1)
    torch.testing.assert_close(found["psnr"], -10 * error.log10())
    tokens = torch.tensor([[0, 0, 1, 1], [2, 2, 3, 3]])
    scores = objective.score({"psnr": torch.tensor([20.0, 30.0]), "tokens": tokens})
    assert scores == pytest.approx({"psnr": 25, "perplexity": 4})
    assert objective.score({"psnr": torch.ones(2), "tokens": tokens * 0})["perplexity"] == pytest.approx(1)


def test_images_are_levels_from_0_to_1() -> None:
    objective = dvae()
    images = batch_of(objective, "train", 4)["images"]
    assert images.shape == (4, 3, 32, 32) and images.min() >= 0 and images.max() <= 1 and images.std() > 0.1


def test_single_scenes_show_one_large_object_and_say_what_it_is() -> None:
    source = load_recipe("dalle", ["init_from=null"]).data
    assert source.config.single
    from visprog.training.data.scenes.pairs import SceneCaptions

    data = SceneCaptions(source.config).split("train", 32)
    for key in range(30):
        scene, pair = data.scene(key), data.sample(key, np.random.default_rng(0))
        (shown,) = scene.objects
        article = "an" if shown.color[0] in "aeiou" else "a"
        assert pair.captions == (f"{article} {shown.color} {shown.shape}",)
        left, top, right, bottom = scene.boxes[0]
        assert (
            left >= 0 and top >= 0 and right <= 32 and bottom <= 32 and max(right - left, bottom - top) >= 14
        )


def test_the_loss_is_that_of_the_tokens_of_a_frozen_autoencoder(models: Path) -> None:
    objective = dalle(models)
    assert isinstance(objective.model, Dalle)
    trained = load_model(models / "dvae")
    assert isinstance(trained, Dvae) and objective.model.config.dvae == trained.config
    state = objective.model.dvae.state_dict()
    assert all(torch.equal(state[name], value) for name, value in trained.state_dict().items())
    batch = batch_of(objective, "train", 4)
    assert batch["tokens"].shape == (4, 3)  # a colour and a shape: neither a start nor an end
    torch.testing.assert_close(
        objective.model.encode_images(batch["images"]), trained.encode_images(batch["images"]).flatten(1)
    )
    found = objective.loss(batch)
    assert found["loss"].item() == pytest.approx((found["text"].item() + 7 * found["image"].item()) / 8)
    equal = dalle(models, "image_weight=1").loss(batch)
    assert equal["loss"].item() == pytest.approx((equal["text"].item() + equal["image"].item()) / 2)
    found["loss"].backward()
    assert all(p.grad is None for p in objective.model.dvae.parameters())
    assert objective.model.image_head.weight.grad is not None


def test_the_judge_scores_what_is_drawn(models: Path) -> None:
    objective = dalle(models)
    assert (objective.metric, objective.lower_is_better) == ("r_precision", False)
    batch = batch_of(objective, "val", 4)
    with torch.no_grad():
        found, again = objective.predict(batch), objective.predict(batch)
    assert set(found) == {"image", "captions", "image_embeds", "text_embeds"}
    assert all(torch.equal(again[name], value) for name, value in found.items())  # drawn with one seed
    captions = torch.tensor([fingerprint(c) for c in ("a", "b", "a", "c")])
    texts = torch.nn.functional.one_hot(torch.tensor([0, 1, 0, 2]), 3).float()
    images = texts[[2, 0, 0, 3]]  # the second shows the first's text
    rows = {"image": torch.ones(4), "captions": captions, "image_embeds": images, "text_embeds": texts}
    assert objective.score(rows) == {"image": 1.0, "r_precision": 0.75}
    blind = dalle(models, "judge=null")
    assert (blind.metric, blind.lower_is_better) == ("image", True)
    val = batch_of(blind, "val", 4)
    with torch.no_grad():
        scores = blind.score(blind.predict(val))
    assert set(scores) == {"image"} and scores["image"] == pytest.approx(math.log(16), rel=0.1)
    assert scores["image"] == pytest.approx(blind.loss(val)["image"].item(), rel=1e-5)


def test_what_it_begins_with(models: Path, tmp_path: Path) -> None:
    objective = dalle(models)
    objective.save(tmp_path)
    again = load_recipe("dalle", ["model=null", f"init_from={tmp_path}", "judge=null"]).build()
    state = again.model.state_dict()
    assert all(torch.equal(state[k], v.half().float()) for k, v in objective.model.state_dict().items())
    assert again.tokenizer.backend.get_vocab() == objective.tokenizer.backend.get_vocab()
    whole = dalle(models, f"init_from={tmp_path}")
    assert all(torch.equal(state[k], v) for k, v in whole.model.state_dict().items())
    for start, message in (
        ("null", r"train one with the recipe dvae, and give init_from=\{dvae: FOLDER\}"),
        (f"{{dvae: '{models / 'clip'}'}}", "is a Clip, not a Dvae"),
        (f"{{dvae: '{tmp_path / 'none'}'}}", "holds no model to begin with"),
        (f"'{models / 'clip'}'", "is a Clip, not a Dalle"),
    ):
        with pytest.raises(DataError, match=message):
            dalle(models, f"init_from={start}")
    with pytest.raises(DataError, match="a Dvae cannot learn by the objective 'judge'"):
        dalle(models, f"judge='{models / 'dvae'}'")
    with pytest.raises(RecipeError, match="image_weight must be positive"):
        dalle(models, "image_weight=0")
