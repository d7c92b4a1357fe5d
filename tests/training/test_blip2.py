"""Both stages of BLIP-2 as recipes: what each trains, that it learns and resumes, and its backends."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.usefixtures("one_thread")

from visprog.errors import Refused  # noqa: E402
from visprog.models import Blip2, Blip2Generator, Llava, load_model  # noqa: E402
from visprog.tools.backends.blip2 import Blip2Captioner, Blip2Matcher, Blip2Verifier, Blip2Vqa  # noqa: E402
from visprog.training.data.samples import DataError  # noqa: E402
from visprog.training.fit import fit  # noqa: E402
from visprog.training.optim.optimizers import make_optimizers  # noqa: E402
from visprog.training.recipe import load_recipe  # noqa: E402
from visprog.values.image import Image  # noqa: E402

from .recipes import BLIP2, CHANGES, LLAVA, OWL, make_data  # noqa: E402
from .tiny_objective import weights  # noqa: E402

FEW = [
    "batch_size=4",
    "evaluate_every=null",
    "checkpoint_every=2",
    "schedule.warmup=1",
    "ema=null",
    "workers=0",
]
STAGE_1 = [*BLIP2, *FEW]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector "owl", a LLaVA "llava" and a BLIP-2 of stage 1 "stage1", all small and untrained."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    load_recipe("owl", OWL).build().save(folder / "owl")
    changes = [change.replace("{data}", str(folder)) for change in LLAVA]
    load_recipe("llava", [*changes, "length=300"]).build().save(folder / "llava")
    start = f"init_from={{image_encoder: '{folder / 'owl'}'}}"
    load_recipe("blip2-stage1", [*BLIP2, start, "model.image_encoder.activation=gelu"]).build().save(
        folder / "stage1"
    )
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few captions and conversations, and models."""
    folder = tmp_path_factory.mktemp("few") / "data"
    make_data(folder)
    return folder


def stage_2(models: Path) -> list[str]:
    return [
        f"init_from={{qformer: '{models / 'stage1'}', language_model: '{models / 'llava'}'}}",
        *FEW,
        "length=300",
    ]


def trained_parts(recipe: Any) -> set[str]:
    """Parts of a model that one step changes."""
    torch.manual_seed(0)
    task = recipe.build()
    before = {name: value.clone() for name, value in task.model.named_parameters()}
    optimizers, data, rng = (
        make_optimizers(task, recipe.optimizer),
        task.data("train"),
        np.random.default_rng(0),
    )
    task.loss(data.collate([data.sample(i, rng) for i in range(3)]))["loss"].backward()
    for optimizer in optimizers:
        optimizer.step()
    changed = {name for name, value in task.model.named_parameters() if not torch.equal(value, before[name])}
    return {".".join(name.split(".")[: 2 if name.startswith("image_encoder") else 1]) for name in changed}


def test_each_stage_trains_what_it_should(models: Path) -> None:
    rest = {
        "image_projection",
        "text_projection",
        "matching_head",
        "caption_head",
        "words",
        "positions",
        "temperature",
    }
    assert trained_parts(load_recipe("blip2-stage1", STAGE_1)) == {"image_encoder.norm", "qformer", *rest}
    found = trained_parts(load_recipe("blip2-stage2", stage_2(models)))
    assert found == {"image_encoder.norm", "qformer", "projector"}


def test_stage_2_begins_with_both_parts(models: Path) -> None:
    model = load_recipe("blip2-stage2", stage_2(models)).build().model
    first, llava = load_model(models / "stage1"), load_model(models / "llava")
    assert isinstance(model, Blip2Generator) and isinstance(first, Blip2) and isinstance(llava, Llava)
    torch.testing.assert_close(model.qformer.queries, first.qformer.queries)
    torch.testing.assert_close(model.language_model.state_dict(), llava.language_model.state_dict())
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model.encode_images(images), first.encode_images(images)[0])
    for wrong, message in (
        ("{qformer: owl, language_model: llava}", "owl is a OwlVit, not a Blip2"),
        (
            f"{{qformer: '{models / 'stage1'}', language_model: owl}}",
            "owl is a OwlVit, which has no language model",
        ),
        (f"{{qformer: '{models / 'stage1'}'}}", "both parts of a new one"),
    ):
        with pytest.raises(DataError, match=message):
            load_recipe("blip2-stage2", [f"init_from={wrong}"]).build()


def test_a_deeper_image_encoder_gives_its_first_blocks(models: Path) -> None:
    deep = load_recipe("owl", [*OWL, "model.image_encoder.layers=2"]).build()
    deep.save(models / "deep")
    model = (
        load_recipe("blip2-stage1", [*BLIP2, f"init_from={{image_encoder: '{models / 'deep'}'}}"])
        .build()
        .model
    )
    have = model.image_encoder.blocks[0].state_dict()
    torch.testing.assert_close(
        have, {k: v.half().float() for k, v in deep.model.image_encoder.blocks[0].state_dict().items()}
    )


@pytest.mark.parametrize("stage", [1, 2])
def test_it_learns_and_resumes(stage: int, data: Path, tmp_path: Path) -> None:
    name = f"blip2-stage{stage}"
    own = ["data={data}/pairs.csv", "vocabulary=300", "length=16"] if stage == 1 else []
    changes = [change.replace("{data}", str(data)) for change in [*CHANGES[name], *own]]
    recipe = load_recipe(name, [*changes, *FEW, "optimizer.lr=2.0e-3", "steps=10"])
    fit(recipe, tmp_path / "whole")
    losses = log(tmp_path / "whole")
    assert sum(losses[-3:]) < sum(losses[:3])
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, recipe, 5)
        fit(recipe, tmp_path / "stopped")
    fit(recipe, tmp_path / "stopped")
    assert weights(tmp_path / "stopped", "last") == weights(tmp_path / "whole", "last")


def log(run: Path) -> list[float]:
    """The loss of every step."""
    with (run / "log.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def stop_at(patch: pytest.MonkeyPatch, recipe: Any, call: int) -> None:
    """Ctrl-C comes while the loss is computed for the `call`th time."""
    objective = type(recipe.build())
    loss, calls = objective.loss, iter(range(1, 100))

    def interrupted(self: Any, batch: Any) -> Any:
        if next(calls) == call:
            raise KeyboardInterrupt
        return loss(self, batch)

    patch.setattr(objective, "loss", interrupted)


def test_a_model_of_stage_1_describes_images(models: Path) -> None:
    captioner = Blip2Captioner(str(models / "stage1"), max_tokens=5)
    assert "star" in captioner.sees.summary
    calls = [{"image": Image(np.full((20, 30, 3), value, np.uint8))} for value in (0, 200)]
    texts = captioner(calls)
    assert all(isinstance(text, str) for text in texts) and texts == [captioner([call])[0] for call in calls]


def test_a_model_of_stage_1_judges_texts_in_words_that_it_knows(models: Path) -> None:
    image = Image(np.full((20, 30, 3), 90, np.uint8))
    model = str(models / "stage1")
    likely, unknown = Blip2Matcher(model)([{"image": image, "text": t} for t in ("a red star", "a dog")])
    assert 0 < likely < 1 and isinstance(unknown, Refused) and "'dog'" in str(unknown)
    yes, no, unknown = Blip2Verifier(model, threshold=likely / 2)(
        [{"image": image, "statement": s} for s in ("The star is red.", "The star is not red.", "a dog")]
    )
    assert (yes, no) == (True, False) and isinstance(unknown, Refused)


def test_a_model_of_stage_2_answers_in_words_that_it_knows(models: Path, tmp_path: Path) -> None:
    load_recipe("blip2-stage2", stage_2(models)).build().save(tmp_path)
    image = Image(np.zeros((20, 30, 3), np.uint8))
    known, unknown = Blip2Vqa(str(tmp_path), max_tokens=5)(
        [{"image": image, "question": q} for q in ("What color is the star?", "What breed is the dog?")]
    )
    assert isinstance(known, str)
    assert isinstance(unknown, Refused) and "does not know 'breed', 'dog'" in str(unknown)
    (refused,) = Blip2Captioner(str(tmp_path))([{"image": image}])
    assert isinstance(refused, Refused) and "take a model of stage 1" in str(refused)
