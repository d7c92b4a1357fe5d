"""Every objective learns from every source that fits it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.usefixtures("one_thread")

import PIL.Image  # noqa: E402

from visprog.training.data.run_lengths import encode_runs, pack  # noqa: E402
from visprog.training.data.source import SOURCES  # noqa: E402
from visprog.training.fit import fit  # noqa: E402
from visprog.training.objective import OBJECTIVES, find_objective  # noqa: E402
from visprog.training.recipe import load_recipe  # noqa: E402

from .recipes import (  # noqa: E402
    ALBEF,
    CLIP,
    COCA,
    DALLE,
    DIFFUSION,
    DVAE,
    FUSED,
    LLAVA,
    OWL,
    SIMCLR,
    VILBERT,
    changes,
    make_data,
)

SIZE = (36, 30)
SMALL = {
    "contrastive": ("clip", [*CLIP, "init_from=null", "length=40"]),
    "caption": ("coca", [*COCA, "init_from=null", "length=40"]),
    "diffusion": ("diffusion", [*DIFFUSION, "length=40"]),
    "detection": ("owl", [*OWL, "anchor=3"]),
    "masks": ("sam", None),
    "matching": ("albef", ALBEF),
    "instruction": ("llava", [*LLAVA, "length=400"]),
    "dvae": ("dvae", DVAE),
    "autoregressive-image": ("dalle", [*DALLE, "length=40", "judge=null"]),
    "masked-regions": ("visualbert", [*FUSED, "vocabulary=200"]),
    "select": ("vilbert-select", [*VILBERT, "vocabulary=200"]),
    "answers": ("lxmert", [*changes("lxmert", Path("{data}")), "vocabulary=200"]),
    "self-supervised": ("simclr", SIMCLR),
}
"""Objective → a recipe of it, and what makes it small."""

LAYOUTS = {
    "scenes": ["{source: scenes}"],
    "scene-captions": ["{source: scene-captions}"],
    "scene-statements": ["{source: scene-statements}"],
    "scene-expressions": ["{source: scene-expressions}"],
    "scene-relations": ["{source: scene-relations}"],
    "captions": ["{source: captions, path: '{data}/pairs.csv'}", "{source: captions, path: '{data}/beside'}",
                 "{source: captions, path: '{data}/captions.json'}",
                 "{source: captions, path: '{data}/{0..1}.tar', val: '{data}/1.tar'}"],
    "classes": ["{source: classes, path: '{data}/classes.zip'}"],
    "images": ["{source: images, path: '{data}/coco'}", "{source: images, path: '{data}/images', val: '{data}/coco'}"],
    "annotations": ["{source: annotations, path: '{data}/coco/polygons.json'}",
                    "{source: annotations, path: '{data}/coco/runs.json'}",
                    "{source: annotations, path: '{data}/coco/packed.json'}",
                    "{source: annotations, path: '{data}/voc'}",
                    "{source: annotations, path: '{data}/indexed'}", "{source: annotations, path: '{data}/separate'}"],
    "conversations": ["{source: conversations, path: '{data}/talk.json', held: 0.2}"],
    "referring": ["{source: referring, path: '{data}/refcoco'}", "{source: referring, path: '{data}/mdetr'}"],
}  # fmt: skip
"""Source → the data that it is tried with, one of each layout."""

CASES = [
    (objective, layout)
    for objective in OBJECTIVES
    for source, types in SOURCES.items()
    if find_objective(objective).sample_type in types
    for layout in LAYOUTS[source]
    if not (objective == "masks" and layout.endswith("voc'}"))  # Pascal VOC's XML holds no masks
]


def png(array: Any) -> bytes:
    out = io.BytesIO()
    PIL.Image.fromarray(array).save(out, "png")
    return out.getvalue()


def boxes_of(i: int) -> list[tuple[int, int]]:
    """Left and top of the two objects of an image, each 10 x 12."""
    return [(2 + i % 5, 3), (20, 12 + i % 4)]


def write_coco(folder: Path, images: list[bytes]) -> None:
    """One file per way of writing masks."""
    folder.mkdir()
    width, height = SIZE
    listed, annotations = [], []
    for i, data in enumerate(images):
        (folder / f"{i}.png").write_bytes(data)
        listed.append({"id": i, "file_name": f"{i}.png", "width": width, "height": height})
        for k, (left, top) in enumerate(boxes_of(i)):
            right, bottom = left + 10, top + 12
            mask = np.zeros((height, width), bool)
            mask[top:bottom, left:right] = True
            runs = encode_runs(mask)
            annotations.append({
                "id": 2 * i + k, "image_id": i, "category_id": 1 + k, "bbox": [left, top, 10, 12], "iscrowd": 0,
                "polygons": [[left, top, right, top, right, bottom, left, bottom]],
                "runs": {"size": [height, width], "counts": runs},
                "packed": {"size": [height, width], "counts": pack(runs)},
            })  # fmt: skip
    categories = [{"id": 1, "name": "cell"}, {"id": 2, "name": "egg"}]
    for way in ("polygons", "runs", "packed"):
        ours = [{**a, "segmentation": a[way]} for a in annotations]
        raw = {"images": listed, "annotations": ours, "categories": categories}
        (folder / f"{way}.json").write_text(json.dumps(raw))
    captions = [{"id": i, "image_id": i, "caption": f"cell number {i}"} for i in range(len(images))]
    named = [{"id": i, "file_name": f"coco/{i}.png"} for i in range(len(images))]
    raw = {"images": named, "annotations": captions}
    (folder.parent / "captions.json").write_text(json.dumps(raw))


def write_expressions(folder: Path, images: list[bytes]) -> None:
    """Both layouts of RefCOCO, every image with two objects."""
    width, height = SIZE
    for name in ("refcoco", "mdetr"):
        (folder / name / "train2014").mkdir(parents=True)
        for i, data in enumerate(images):
            (folder / name / "train2014" / f"{i}.png").write_bytes(data)
    split = ["val" if i % 4 == 3 else "train" for i in range(len(images))]
    listed = [
        {"id": i, "file_name": f"{i}.png", "width": width, "height": height} for i in range(len(images))
    ]
    boxes = [
        {"id": 2 * i + k, "image_id": i, "bbox": [left, top, 10, 12]}
        for i in range(len(images))
        for k, (left, top) in enumerate(boxes_of(i))
    ]
    refs = [
        {"ref_id": i, "ann_id": 2 * i + i % 2, "image_id": i, "split": split[i], "file_name": f"{i}.png",
         "sentences": [{"sent_id": i, "sent": f"{('left', 'right')[i % 2]} cell"}, {"sent_id": -i, "raw": "that one"}]}
        for i in range(len(images))
    ]  # fmt: skip
    (folder / "refcoco" / "instances.json").write_text(json.dumps({"images": listed, "annotations": boxes}))
    (folder / "refcoco" / "refs(unc).json").write_text(json.dumps(refs))
    for part in ("train", "val"):
        said = [i for i in range(len(images)) if split[i] == part]
        raw = {
            "images": [{**listed[i], "id": i, "caption": "the left cell"} for i in said],
            "annotations": [{"id": i, "image_id": i, "bbox": boxes[2 * i]["bbox"]} for i in said],
        }
        (folder / "mdetr" / f"finetune_refcoco_{part}.json").write_text(json.dumps(raw))


def write_mask_folders(folder: Path, images: list[bytes]) -> None:
    """Index masks without splits, and one mask per object with splits."""
    for i, data in enumerate(images):
        part = folder / "separate" / ("val" if i % 4 == 3 else "train")
        planes = []
        for left, top in boxes_of(i):
            plane = np.zeros(SIZE[::-1], np.uint8)
            plane[top : top + 12, left : left + 10] = 255
            planes.append(plane)
        for place in (folder / "indexed" / "images", part / "images"):
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{i}.png").write_bytes(data)
        (folder / "indexed" / "masks").mkdir(exist_ok=True)
        index = np.maximum(planes[0] // 255, planes[1] // 255 * 2)
        (folder / "indexed" / "masks" / f"{i}.png").write_bytes(png(index))
        (part / "masks" / str(i)).mkdir(parents=True)
        for name, plane in zip(("cell-1", "egg"), planes, strict=True):
            (part / "masks" / str(i) / f"{name}.png").write_bytes(png(plane))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data in every layout."""
    folder = tmp_path_factory.mktemp("sources") / "data"
    make_data(folder)
    rng = np.random.default_rng(0)
    images = [png(rng.integers(0, 255, (*SIZE[::-1], 3), np.uint8)) for _ in range(40)]
    write_coco(folder / "coco", images)
    write_mask_folders(folder, images)
    write_expressions(folder, images)
    (folder / "beside").mkdir()
    for i, image in enumerate(images):
        (folder / "beside" / f"{i}.png").write_bytes(image)
        (folder / "beside" / f"{i}.txt").write_text(f"noise of kind {i}")
    for k in range(2):
        with tarfile.open(folder / f"{k}.tar", "w") as file:
            for i in range(20 * k, 20 * k + 20):
                for ending, content in (("png", images[i]), ("txt", f"noise number {i}".encode())):
                    info = tarfile.TarInfo(f"{i:03}.{ending}")
                    info.size = len(content)
                    file.addfile(info, io.BytesIO(content))
    return folder


def test_every_objective_and_every_source_is_tried() -> None:
    assert SMALL.keys() == OBJECTIVES.keys() and LAYOUTS.keys() == SOURCES.keys()
    assert {objective for objective, _ in CASES} == OBJECTIVES.keys()


@pytest.mark.parametrize(("objective", "layout"), CASES)
def test_an_objective_learns_from_a_source(objective: str, layout: str, data: Path, tmp_path: Path) -> None:
    name, small = SMALL[objective]
    small = changes("sam", data) if small is None else small
    keys = [*small, f"data={layout}", "steps=2", "batch_size=4", "evaluate_every=null", "schedule.warmup=1"]
    recipe = load_recipe(name, [key.replace("{data}", str(data)) for key in keys])
    made = fit(recipe, tmp_path / "run")
    losses = np.genfromtxt(tmp_path / "run/log.csv", delimiter=",", names=True)["loss"]
    assert made["step"] == 2 and np.isfinite(losses).all() and not made["skipped"]
    assert made["metric"] in made["scores"]
    assert (tmp_path / "run/best/config.json").is_file()
    assert (tmp_path / "run/best/image_processor.json").is_file()
