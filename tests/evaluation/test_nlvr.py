"""NLVR as it was published: the loader, its metrics, and the recorded programs."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import yaml

from visprog.errors import VisprogError
from visprog.evaluation.benchmark import Item
from visprog.evaluation.nlvr import NLVR, ORDERS
from visprog.values import Box
from visprog.values.helpers import FUNCTIONS
from visprog.values.image import Image

ENTRY = {
    "sentence": "There is a box with a yellow square.",
    "label": "true",
    "identifier": "12-0",
    "directory": "3",
    "structured_rep": [
        [{"x_loc": 40, "y_loc": 80, "size": 20, "type": "square", "color": "Yellow"}],
        [{"x_loc": 0, "y_loc": 10, "size": 10, "type": "circle", "color": "#0099ff"}],
        [{"x_loc": 70, "y_loc": 70, "size": 30, "type": "triangle", "color": "Black"}],
    ],
}


def archive(path: Path, entries: list[dict[str, Any]]) -> Path:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (400, 100), (211, 211, 211)).save(buffer, "png")
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("dev/dev.json", "".join(json.dumps(e) + "\n" for e in entries))
        for entry in entries:
            for order in range(6):
                name = f"dev/images/{entry['directory']}/dev-{entry['identifier']}-{order}.png"
                out.writestr(name, buffer.getvalue())
    return path


def test_six_images_of_each_example(tmp_path: Path) -> None:
    items = list(NLVR(archive(tmp_path / "nlvr.zip", [ENTRY])))
    assert [i.id for i in items] == [f"dev-12-0-{k}" for k in range(6)]
    assert {(i.question, i.answer, i.returns, i.group) for i in items} == {
        (ENTRY["sentence"], True, bool, "dev-12")
    }
    assert Image.open(items[0].images[0]).size == (400, 100)
    assert [[s["box"][0] // 150 for s in i.details["scene"]] for i in items] == [[0, 1, 2]] * 6
    assert [[s["shape"] for s in i.details["scene"]] for i in items][3] == ["circle", "triangle", "square"]


def test_metrics(tmp_path: Path) -> None:
    second = {**ENTRY, "identifier": "12-1", "label": "false"}
    third = {**ENTRY, "identifier": "40-0"}
    nlvr = NLVR(archive(tmp_path / "nlvr.zip", [ENTRY, second, third]))
    rows = []
    for item in nlvr:
        value = item.answer if item.id != "dev-12-1-4" else None
        rows.append({"id": item.id, "group": item.group, "scores": nlvr.score(item, value)})
    assert nlvr.summary(rows) == {"accuracy": 17 / 18, "consistency": 1 / 2, "permutations": 2 / 3}


def test_an_entry_that_is_not_as_published(tmp_path: Path) -> None:
    broken = {k: v for k, v in ENTRY.items() if k != "structured_rep"}
    with pytest.raises(VisprogError, match="line 1 does not have the published layout of nlvr"):
        list(NLVR(archive(tmp_path / "nlvr.zip", [broken])))


# -- the real data ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nlvr(shared: Path) -> NLVR:
    path = shared / "data" / "nlvr_dev.zip"
    if not path.exists():
        pytest.skip("the development set of NLVR is not there")
    return NLVR(path)


@pytest.fixture(scope="module")
def sentences(nlvr: NLVR) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in nlvr:
        found.setdefault(item.question, []).append(item)
    return found


def recorded() -> Iterator[tuple[str, str]]:
    text = (files("visprog.training.planner") / "nlvr_programs.yaml").read_text(encoding="utf-8")
    for entry in yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        yield entry["question"], entry["program"]


def test_the_order_of_the_boxes_is_that_of_the_pixels(nlvr: NLVR, sentences: dict[str, list[Item]]) -> None:
    colors = {"black": (0, 0, 0), "blue": (0, 153, 255), "yellow": (255, 255, 0)}
    for item in sentences["There are 2 black circles"]:
        pixels = Image.open(item.images[0]).pixels
        for shape in item.details["scene"]:
            x, y = Box(*shape["box"]).center.x, Box(*shape["box"]).center.y
            assert tuple(np.asarray(pixels[int(y), int(x)])) == colors[shape["color"]], item.id
    assert len(ORDERS) == 6


def test_recorded_programs_are_right_on_the_truth_of_every_images(
    nlvr: NLVR, sentences: dict[str, list[Item]]
) -> None:
    blank = Image(np.full((100, 400, 3), 211, np.uint8))
    programs = dict(recorded())
    assert len(programs) == 247
    wrong = []
    for question, program in programs.items():
        code = compile(program, "program", "exec")
        for item in sentences[question]:
            names: dict[str, Any] = {f.__name__: f for f in FUNCTIONS}
            names |= dict(nlvr.oracle(item)) | {"crop": lambda image, region: image.crop(region.box)}
            exec(code, names)
            if names["answer"](blank) is not item.answer:
                wrong.append((item.id, question))
    assert not wrong
