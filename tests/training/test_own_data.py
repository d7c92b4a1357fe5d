"""Recipes on your own data: captions, boxes and masks, shards, bad samples, and what is too little or too much."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.usefixtures("one_thread")

import PIL.Image  # noqa: E402

from tests.training.recipes import CHANGES, CLIP, SIGLIP  # noqa: E402
from tests.training.tiny_objective import recipe as tiny_recipe  # noqa: E402
from visprog.training.data.run_lengths import encode_runs  # noqa: E402
from visprog.training.data.samples import DataError  # noqa: E402
from visprog.training.fit import fit  # noqa: E402
from visprog.training.objectives.contrastive import pair_numbers, related  # noqa: E402
from visprog.training.recipe import Recipe, load_recipe  # noqa: E402
from visprog.training.trainer import Trainer  # noqa: E402

STEPS = ["steps=2", "batch_size=4", "evaluate_every=null", "ema=null"]
CAPTIONS = ("clip-captions", "coca-captions")


def png(shade: int, size: tuple[int, int] = (24, 20)) -> bytes:
    data = io.BytesIO()
    PIL.Image.new("RGB", size, (shade % 256, 80, 200)).save(data, "png")
    return data.getvalue()


@pytest.fixture
def captions(tmp_path: Path) -> Callable[..., Path]:
    """Write a table of captioned images, some of them bad."""

    def write(count: int = 60, bad: dict[int, str] | None = None) -> Path:
        lines = ["path,caption"]
        for i in range(count):
            problem = (bad or {}).get(i, "")
            if problem != "missing":
                (tmp_path / f"{i}.png").write_bytes(png(i)[: 50 if problem == "truncated" else None])
            lines.append(f"{i}.png,{'' if problem == 'empty' else f'shade number {i}'}")
        (tmp_path / "pairs.csv").write_text("\n".join(lines))
        return tmp_path / "pairs.csv"

    return write


def of_captions(name: str, **keys: Any) -> Recipe:
    """A recipe of captions; `pairs` are its data."""
    keys = {"data" if k == "pairs" else k: v for k, v in keys.items()}
    small = [change for change in CHANGES[name] if not change.startswith("data=")]
    return load_recipe(name, [*small, *STEPS, *(f"{k}={v}" for k, v in keys.items())])


def coco(folder: Path, count: int, *, masks: bool = True, name: str = "coco.json", size: int = 24) -> Path:
    """Images with two objects each, in COCO's format."""
    images, annotations = [], []
    for i in range(count):
        (folder / f"{i}.png").write_bytes(png(i, (size, 20)))
        images.append({"id": i, "file_name": f"{i}.png", "width": size, "height": 20})
        for k, (left, top) in enumerate(((2, 3), (12, 8))):
            mask = np.zeros((20, size), bool)
            mask[top : top + 8, left : left + 6] = True
            thing = {
                "id": 2 * i + k,
                "image_id": i,
                "category_id": 1 + k,
                "bbox": [left, top, 6, 8],
                "iscrowd": 0,
            }
            runs = {"segmentation": {"size": [20, size], "counts": encode_runs(mask)}} if masks else {}
            annotations.append(thing | runs)
    categories = [{"id": 1, "name": "cell"}, {"id": 2, "name": "Egg"}]
    raw = {"images": images, "annotations": annotations, "categories": categories}
    (folder / name).write_text(json.dumps(raw))
    return folder / name


# -- captions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CAPTIONS)
@pytest.mark.parametrize("problem", ["missing", "truncated", "empty"])
def test_a_bad_sample_anywhere_is_skipped_and_named(
    captions: Callable[..., Path], tmp_path: Path, name: str, problem: str
) -> None:
    bad = {i: problem for i in range(0, 60, 4)}  # some of them to train on, some to score by
    made = fit(of_captions(name, pairs=captions(bad=bad), steps=14), tmp_path / "run")
    assert made["step"] == 14
    source: Any = of_captions(name, pairs=tmp_path / "pairs.csv").build().source
    met = {source.train.entries[k].image for part in ("train", "val") for k in source.keys[part]}
    assert set(made["skipped"]) == {f"{i}.png" for i in bad} & met
    assert set(json.loads((tmp_path / "run/summary.json").read_text())["skipped"]) == set(made["skipped"])


@pytest.mark.parametrize("name", CAPTIONS)
def test_no_image_is_read_for_its_caption(
    captions: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    given = of_captions(name, pairs=captions())
    monkeypatch.setattr("visprog.training.data.pairs.decode", pytest.fail)
    Trainer(given)


@pytest.mark.parametrize("split", ["train", "val"])
def test_more_bad_samples_than_good_ones_end_the_run(
    captions: Callable[..., Path], tmp_path: Path, split: str
) -> None:
    path = captions(40)
    bad = "\n".join(["path,caption", *(f"{i}.png,shade {i}" for i in range(30, 60))])
    (tmp_path / "bad.csv").write_text(bad)
    pairs, val = (path, tmp_path / "bad.csv") if split == "val" else (tmp_path / "bad.csv", path)
    with pytest.raises(
        DataError, match=r"^\d+ of \d+ samples are bad, the first is \d+.png: the file is missing"
    ):
        fit(of_captions("clip-captions", pairs=pairs, val=val, steps=20), tmp_path / "run")


def test_an_image_is_no_negative_of_itself() -> None:
    pairs = pair_numbers(["a", "a", "b", "c"], ["one", "two", "two", "three"])
    assert related(pairs).tolist() == [
        [True, True, False, False],  # another caption of the same image
        [True, True, True, False],  # an equal caption of another image
        [False, True, True, False],
        [False, False, False, True],
    ]


@pytest.mark.parametrize("model", ["clip", "siglip"])
def test_a_batch_that_is_repeated_is_as_good_as_one(captions: Callable[..., Path], model: str) -> None:
    shape = SIGLIP if model == "siglip" else CLIP
    data_keys = [f"data={captions()}", "vocabulary=300", "length=16"]
    objective = load_recipe("clip-captions", [*shape, *data_keys, *STEPS]).build()
    data: Any = objective.data("train")
    batch = data.collate([data.sample(i, np.random.default_rng(0)) for i in range(4)])
    twice = {name: torch.cat([value, value]) for name, value in batch.items()}
    once, both = (objective.loss(b)["loss"].item() for b in (batch, twice))
    assert both == pytest.approx(once + np.log(2) if model == "clip" else 2 * once, abs=1e-4)


def test_a_batch_larger_than_the_data_is_said(
    captions: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    Trainer(of_captions("clip-captions", pairs=captions(), batch_size=99))
    assert "a batch of 99 repeats some of the " in capfd.readouterr().err
    Trainer(tiny_recipe())
    assert "repeats" not in capfd.readouterr().err


@pytest.mark.parametrize("name", CAPTIONS)
def test_too_few_captions_are_an_error_with_a_way_out(captions: Callable[..., Path], name: str) -> None:
    path = captions(2)
    with pytest.raises(
        DataError, match=r"pairs.csv holds too few images .*: add more, or give data.val=FILE"
    ):
        Trainer(of_captions(name, pairs=path))
    Trainer(of_captions(name, pairs=path, val=path))


# -- shards ------------------------------------------------------------------------------------------


def shard(path: Path, numbers: range, bad: int | None = None) -> None:
    with tarfile.open(path, "w") as file:
        for i in numbers:
            data = {"png": png(i)[: 40 if i == bad else None], "txt": f"shade number {i}".encode()}
            for ending, content in data.items():
                info = tarfile.TarInfo(f"{i:05}.{ending}")
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("name", CAPTIONS)
def test_shards_are_trained_on_and_scored(tmp_path: Path, name: str) -> None:
    for k in range(3):
        shard(tmp_path / f"{k}.tar", range(8 * k, 8 * k + 8), bad=5)
    shard(tmp_path / "val.tar", range(100, 110))
    pattern = f"{tmp_path}/{{0..2}}.tar"
    made = fit(of_captions(name, pairs=f'"{pattern}"', val=tmp_path / "val.tar", steps=8), tmp_path / "run")
    assert made["step"] == 8 and made["best"] is not None
    assert [n.endswith("0.tar:00005") for n in made["skipped"]] == [True]
    unscored = fit(of_captions(name, pairs=f'"{pattern}"'), tmp_path / "unscored")
    assert unscored["best"] is None and (tmp_path / "unscored/last").is_dir()


# -- boxes and masks ---------------------------------------------------------------------------------


def of_boxes(**keys: Any) -> Recipe:
    small = [change for change in CHANGES["owl-boxes"] if not change.startswith("data=")]
    return load_recipe("owl-boxes", [*small, *STEPS, *(f"{k}={v}" for k, v in keys.items())])


def of_masks(**keys: Any) -> Recipe:
    return load_recipe("sam", [*CHANGES["sam"], *STEPS, *(f"{k}={v}" for k, v in keys.items())])


def test_a_detector_learns_from_coco(tmp_path: Path) -> None:
    path = coco(tmp_path, 30)
    made = fit(of_boxes(data=path, names="{Egg: quail egg}"), tmp_path / "run")
    assert made["step"] == 2 and not made["skipped"]
    other = tmp_path / "other"
    other.mkdir()
    task: Any = of_boxes(data=path, val=coco(other, 3)).build()
    assert task.source.phrases == ("cell", "egg")
    assert [len(task.data(split)) for split in ("train", "val")] == [30, 3]


def test_equal_names_are_one_phrase(tmp_path: Path) -> None:
    task: Any = of_boxes(data=coco(tmp_path, 30), names="{Egg: cell}").build()
    assert task.source.phrases == ("cell",)
    data = task.data("train")
    named = data.collate([data.sample(0, np.random.default_rng(0))])["named"]
    assert named[0, :3].tolist() == [[True], [True], [False]]


def test_kinds_that_only_the_validation_data_have_are_named(tmp_path: Path) -> None:
    path, other = coco(tmp_path, 5), tmp_path / "val.json"
    raw = json.loads(path.read_text().replace("Egg", "unicorn"))
    other.write_text(json.dumps(raw))
    with pytest.warns(UserWarning, match="^unicorn: only the validation images show it"):
        of_boxes(data=path, val=other).build()


def test_sam_learns_from_masks(tmp_path: Path) -> None:
    path = coco(tmp_path, 30, size=48)
    made = fit(of_masks(data=path), tmp_path / "run")
    assert made["step"] == 2 and not made["skipped"]
    task: Any = of_masks(data=path, prompts=2).build()
    batch = task.data("train").collate(
        [task.data("train").sample(0, np.random.default_rng(k)) for k in range(2)]
    )
    assert batch["images"].shape == (2, 3, 32, 32) and batch["targets"].shape == (2, 2, 32, 32)
    rows, columns = (
        np.flatnonzero(batch["targets"][0].any(0).any(1)),
        np.flatnonzero(batch["targets"][0].any(0).any(0)),
    )
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (2, 9, 1, 11)  # of 20 x 48 at two thirds


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"masks": False}, "coco.json has boxes without masks: masks are needed"),
        ({"count": 2}, "coco.json holds too few images to set some aside for validation"),
    ],
)
def test_masks_that_cannot_be_used(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    path = coco(tmp_path, keys.pop("count", 30), **keys)
    with pytest.raises(DataError, match=message):
        of_masks(data=path).build()


def test_objects_too_many_or_too_small_are_bad_samples(tmp_path: Path) -> None:
    from visprog.training.data.samples import BadSample

    path = coco(tmp_path, 30, size=2400)
    boxes: Any = of_boxes(data=path, max_objects=1).build().data("train")
    masks: Any = of_masks(data=path, **{"model.image_size": 16}).build().data("train")
    for data, message in (
        (boxes, "it shows 2 objects, more than max_objects=1"),
        (masks, "it has no mask that is seen"),
    ):
        with pytest.raises(BadSample, match=message):
            data.sample(0, np.random.default_rng(0))


def test_a_trained_model_learns_on(captions: Callable[..., Path], tmp_path: Path) -> None:
    """Without `model`, shape, tokenizer and image processor are those of `init_from`."""
    keys = [*STEPS, "model=null", "init_from=clip", f"data={captions()}"]
    made = fit(load_recipe("clip", keys), tmp_path / "run")
    assert made["step"] == 2 and made["metric"] == "image_to_text"
    again = load_recipe("clip", [*keys, f"init_from={tmp_path / 'run/last'}"]).build()
    assert again.tokenizer.id("circle") != again.tokenizer.id("<unk>") and again.size == 96
