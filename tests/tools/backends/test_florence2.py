"""The backend `florence2`: captions, objects and lines of text in what the model writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from visprog.errors import ToolError
from visprog.tools.backends import florence2
from visprog.tools.backends._checkpoint import find
from visprog.tools.backends._loading import load_by_transformers
from visprog.tools.backends.florence2 import (
    Florence2Captioner,
    Florence2Detector,
    Florence2TextFinder,
    Florence2TextReader,
    Writing,
    read_places,
)
from visprog.tools.caption import caption
from visprog.tools.detect import detect
from visprog.tools.text import find_text, read_text
from visprog.values import Box, Region
from visprog.values.image import Image

Folder = Callable[[str], str]

LINES = "a cat<loc_0><loc_100><loc_500><loc_999>red car<loc_10><loc_20><loc_30><loc_40><loc_5><loc_6><loc_7><loc_8>"


def written(text: str, whole: bool = True, probability: float = 0.5) -> Writing:
    tokens = tuple(text.replace("<", " <").replace(">", "> ").split())
    return Writing(tokens, (probability,) * len(tokens), whole)


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Callable[[Writing], list[str]]:
    """What the model writes from now on; the prompts that it gets."""

    def set_to(writing: Writing) -> list[str]:
        prompts: list[str] = []

        def write(self: Any, checkpoint: Any, tasks: Sequence[Any]) -> list[Writing]:
            prompts.extend(task.prompt for task in tasks)
            return [writing for _ in tasks]

        monkeypatch.setattr(florence2.Florence2Backend, "_write", write)
        return prompts

    return set_to


def test_it_is_a_backend_of_four_tools() -> None:
    assert isinstance(caption.load("florence2"), Florence2Captioner)
    assert isinstance(detect.load("florence2"), Florence2Detector)
    assert isinstance(read_text.load("florence2"), Florence2TextReader)
    assert isinstance(find_text.load("florence2"), Florence2TextFinder)


def test_tokens_are_those_of_the_network_itself(checkpoint: Folder, pictures: list[Image]) -> None:
    loaded = load_by_transformers(
        find(checkpoint("florence2"), "caption"), "AutoModelForImageTextToText", "cpu", "auto"
    )
    captioner = Florence2Captioner(checkpoint("florence2"), max_tokens=8)
    tasks = [captioner._prepare(picture) for picture in pictures[:2]]
    for task, writing in zip(tasks, captioner._write(loaded, tasks), strict=True):
        inputs = loaded.processor(images=task.image.to_pil(), text="<CAPTION>", return_tensors="pt")
        output = loaded.network.generate(
            **inputs,
            max_new_tokens=8,
            do_sample=False,
            num_beams=1,
            output_logits=True,
            return_dict_in_generate=True,
        )
        ids = output.sequences[0, -len(output.logits) :]
        assert list(writing.tokens) == loaded.processor.tokenizer.convert_ids_to_tokens(
            [i for i in ids.tolist() if i not in (0, 1, 2)]
        )
        assert all(0 < p <= 1 for p in writing.probabilities)
        if len(writing.tokens) == len(ids):
            want = torch.stack(output.logits)[:, 0].softmax(-1).amax(-1).tolist()
            assert list(writing.probabilities[1:]) == pytest.approx(want[1:], abs=1e-4)


def test_places_are_those_of_its_processor(checkpoint: Folder) -> None:
    loaded = load_by_transformers(
        find(checkpoint("florence2"), "caption"), "AutoModelForImageTextToText", "cpu", "auto"
    )
    image = Image.open(np.zeros((480, 640, 3), np.uint8))
    want = loaded.processor.post_process_generation(LINES, task="<OD>", image_size=(640, 480))["<OD>"]
    have = list(read_places(written(LINES), 4, image, " ".join))
    assert [place.name for place in have] == want["labels"] == ["a cat", "red car", "red car"]
    for place, box in zip(have, want["bboxes"], strict=True):  # theirs are cut to whole pixels
        assert [int(v) for v in (place.box.left, place.box.top, place.box.right, place.box.bottom)] == box
    assert [place.score for place in have] == pytest.approx([0.5] * 3)
    text = "STOP<loc_0><loc_0><loc_99><loc_5><loc_99><loc_30><loc_1><loc_30>"
    theirs = loaded.processor.post_process_generation(text, task="<OCR_WITH_REGION>", image_size=(640, 480))
    (quad,) = theirs["<OCR_WITH_REGION>"]["quad_boxes"]
    (line,) = read_places(written(text), 8, image, " ".join)
    assert [int(v) for v in (line.box.left, line.box.top, line.box.right, line.box.bottom)] == [
        min(quad[::2]), min(quad[1::2]), max(quad[::2]), max(quad[1::2])
    ]  # fmt: skip
    assert list(read_places(written("cat<loc_1><loc_2><loc_3>"), 4, image, " ".join)) == []


def test_objects_lie_in_the_frame_of_the_root(
    checkpoint: Folder, pictures: list[Image], says: Callable[[Writing], list[str]]
) -> None:
    crop = pictures[-1]  # 60 x 50, from (20, 10)
    prompts = says(written("car<loc_100><loc_200><loc_499><loc_599>"))
    finder = Florence2Detector(checkpoint("florence2"))
    named, everything = finder(
        [{"image": crop, "what": "two <red> cars"}, {"image": crop, "what": "objects"}]
    )
    assert (
        prompts[0].startswith("<OPEN_VOCABULARY_DETECTION>")
        and prompts[0].count("<") == 1
        and prompts[1] == "<OD>"
    )
    for found, label in ((named, finder._prepare(crop, "two <red> cars").what), (everything, "car")):
        (region,) = found
        assert region.image is crop.root and region.label == label and region.score == pytest.approx(0.5)
        assert (region.left, region.top) == pytest.approx((20 + 100.5 * 0.06, 10 + 200.5 * 0.05))
    assert Florence2Detector(checkpoint("florence2"), threshold=0.6)([{"image": crop, "what": "car"}]) == [[]]


def test_text(
    checkpoint: Folder, pictures: list[Image], region: Region, says: Callable[[Writing], list[str]]
) -> None:
    quad = "<loc_0><loc_0><loc_99><loc_0><loc_99><loc_99><loc_0><loc_99>"
    says(written(f"no entry{quad}exit 5{quad.replace('99', '500')}"))
    folder = checkpoint("florence2")
    assert (
        Florence2TextReader(folder)([{"image": pictures[0]}, {"image": region}]) == ["no entry\nexit 5"] * 2
    )
    finder = Florence2TextFinder(folder)
    everything, some, nothing = finder(
        [
            {"image": pictures[-1], "text": ""},
            {"image": pictures[-1], "text": "Exit5"},
            {"image": pictures[-1], "text": "way"},
        ]
    )
    assert [r.label for r in everything] == ["no entry", "exit 5"] and nothing == []
    assert [r.label for r in some] == ["exit 5"] and some[0].image is pictures[-1].root
    assert some[0].box.left == pytest.approx(20.03)
    assert everything[0].box.inside(Box(20, 10, 80, 60), 0)
    says(written("no entry", whole=False))
    for backend in (Florence2TextReader(folder), finder):
        (error,) = backend([{"image": pictures[0]}])
        assert isinstance(error, ToolError) and "raise max_tokens" in str(error)


def test_captions(checkpoint: Folder, pictures: list[Image], says: Callable[[Writing], list[str]]) -> None:
    captioner = Florence2Captioner(checkpoint("florence2"))
    prompts = says(written("a red car<loc_1>"))
    assert captioner([{"image": pictures[0]}]) == ["a red car"] and prompts == ["<CAPTION>"]
    (error,) = Florence2Captioner(checkpoint("clip"))([{"image": pictures[0]}])
    assert isinstance(error, ToolError) and "this backend takes florence2" in str(error)
