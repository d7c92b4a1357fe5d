from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest

from visprog.errors import Refused, ToolError
from visprog.registry.sees import Near
from visprog.tools.backends.onnx import OnnxDetector
from visprog.tools.backends.onnx_layouts import fastestdet, named, read_layout, yolo
from visprog.tools.backends.opencv import OpenCVDetector
from visprog.tools.detect import detect
from visprog.tools.imaging.suppression import suppress
from visprog.tools.words.labels import Labels
from visprog.tools.words.phrase import read_phrase
from visprog.values import Box
from visprog.values.image import Image

Photo = Callable[[str], Image]


@pytest.fixture(scope="module")
def onnx(shared: Path) -> OnnxDetector:
    model = shared / "models" / "fastestdet_coco.onnx"
    if not model.is_file():
        pytest.skip("FastestDet is not there")
    return OnnxDetector(str(model))


@pytest.fixture(scope="module")
def opencv() -> OpenCVDetector:
    return OpenCVDetector()


@pytest.mark.parametrize(
    ("what", "noun", "color"),
    [
        ("people", "person", ""),
        ("The Red Circles", "circle", "red"),
        ("any two wine glasses", "wine glass", ""),
        ("glasses of wine", "glass of wine", ""),
        ("3 dark blue cars", "car", "dark blue"),
        ("oranges", "orange", ""),
        ("light bulbs", "light bulb", ""),
        ("how many mice", "mouse", ""),
        ("pairs of scissors", "scissors", ""),
        ("dogs in the picture", "dog", ""),
        ("buses, ", "bus", ""),
        ("a person's face", "persons face", ""),
        ("shelves", "shelf", ""),
        ("cherries", "cherry", ""),
        ("tomatoes", "tomato", ""),
    ],
)
def test_phrases_are_reduced_to_a_noun(what: str, noun: str, color: str) -> None:
    phrase = read_phrase(what)
    assert (phrase.noun, phrase.color) == (noun, color)


@pytest.mark.parametrize("what", ["", "  ", "the", "?!"])
def test_a_phrase_without_a_noun_is_an_error(what: str) -> None:
    with pytest.raises(ToolError, match="names nothing"):
        read_phrase(what)


def test_coco_has_80_classes_with_synonyms_and_groups() -> None:
    labels = Labels.coco()
    assert len(labels) == 80
    assert [labels.names[i] for i in labels.find("automobile")] == ["car"]
    assert {labels.names[i] for i in labels.find("fruit")} == {"banana", "apple", "orange"}
    assert not labels.find("woman")
    assert labels.near("woman") == Near("person", "broader", "woman")
    assert labels.near("sports car") == Near("car", "broader", "sports car")
    assert labels.near("wheel") is None


def test_other_names_of_coco_classes_in_a_label_file(tmp_path: Path) -> None:
    file = tmp_path / "some.names"
    file.write_text("sofa\ntvmonitor\nred blood cell\n")
    labels = Labels.read(str(file))
    assert labels.names == ["couch", "tv", "red blood cell"]
    assert labels.find("sofa") == labels.find("couch") == {0}
    assert labels.find("red blood cell") == {2}
    with pytest.raises(ToolError, match="cannot read the label file"):
        Labels.read(str(tmp_path / "missing"))


def test_suppression_keeps_the_best_of_each_kind() -> None:
    boxes = [Box(0, 0, 10, 10), Box(1, 0, 11, 10), Box(0, 0, 10, 10), Box(50, 50, 60, 60), Box(2, 2, 4, 4)]
    kinds = ["a", "a", "b", "a", "a"]
    assert suppress(boxes, [0.5, 0.9, 0.3, 0.2, 0.1], kinds) == [1, 2, 3, 4]
    assert suppress(boxes, [0.5, 0.9, 0.3, 0.2, 0.1], kinds, other=0.7, inside=0.8) == [1, 3]


# -- with OpenCV alone ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "what",
    ["dog", "a woman", "child", "chefs", "man with a hat", "small dog", "person in red", "middle circle"],
)
def test_what_opencv_cannot_see_is_refused(opencv: OpenCVDetector, what: str) -> None:
    (result,) = opencv([{"image": Image(np.zeros((50, 50, 3), np.uint8)), "what": what}])
    assert isinstance(result, Refused)
    assert "owlv2" in str(result)
    assert "[tools.detect]" in str(result)


def test_nothing_is_seen_in_an_empty_image(opencv: OpenCVDetector) -> None:
    image = Image(np.full((200, 300, 3), 200, np.uint8))
    for what in ("people", "faces", "eyes", "smiles", "QR codes"):
        assert opencv.detect(image, what) == []


def test_a_batch_keeps_its_order_and_its_errors_apart(opencv: OpenCVDetector) -> None:
    image = Image(np.zeros((40, 40, 3), np.uint8))
    results = opencv([{"image": image, "what": w} for w in ("faces", "zebras", "people")])
    assert results[0] == results[2] == []
    assert isinstance(results[1], Refused)


def test_shapes_are_regions_with_their_colour() -> None:
    picture = PIL.Image.new("RGB", (300, 200), "white")
    draw = PIL.ImageDraw.Draw(picture)
    draw.ellipse((30, 50, 110, 130), "red")
    draw.ellipse((180, 60, 260, 140), "blue")
    image = Image.open(picture)
    (found,) = detect(image, "red circles")
    assert found.label == "red circle"
    assert found.box.iou(Box(30, 50, 111, 131)) > 0.9
    assert len(detect(image, "circles")) == 2
    assert detect(image, "squares") == []


def test_people_are_found_by_their_faces(photo: Photo, opencv: OpenCVDetector) -> None:
    street = photo("street2")
    found = opencv.detect(street, "people")
    assert 2 <= len(found) <= 4
    assert all(r.label == "person" and r.image is street and r.height > 2 * r.width for r in found)
    assert any(r.box.iou(Box(362, 50, 479, 423)) > 0.5 for r in found)


@pytest.mark.parametrize("name", ["cats", "dog", "groceries", "truck"])
def test_opencv_sees_no_people_where_no_face_is(photo: Photo, opencv: OpenCVDetector, name: str) -> None:
    assert opencv.detect(photo(name), "person") == []


def test_the_opencv_backend_takes_no_model() -> None:
    with pytest.raises(ToolError, match="takes no model"):
        OpenCVDetector("some.onnx")


# -- with an ONNX file ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "what", "boxes"),
    [
        ("dog", "dog", [(0, 222, 425, 534)]),
        ("dog", "metal bowls", None),
        ("cats", "the cats", [(15, 55, 315, 472), (345, 25, 640, 372)]),
        ("street1", "bus", [(47, 82, 600, 425)]),
        ("street1", "vehicles", [(47, 82, 600, 425)]),
        ("truck", "lorry", [(80, 280, 1715, 860)]),
    ],
)
def test_things_in_photographs(
    photo: Photo, onnx: OnnxDetector, name: str, what: str, boxes: list[tuple[int, ...]] | None
) -> None:
    image = photo(name)
    if boxes is None:
        with pytest.raises(Refused, match="nearest is 'bowl'"):
            onnx.detect(image, what)
        return
    found = sorted(onnx.detect(image, what), key=lambda r: r.left)
    assert len(found) == len(boxes)
    for region, box in zip(found, boxes, strict=True):
        assert region.box.iou(Box(*box)) > 0.6
        assert region.box.clip(image.box) == region.box
        assert 0.5 <= region.score <= 1
        assert region.image is image


def test_a_thing_has_one_name_only(photo: Photo, onnx: OnnxDetector) -> None:
    assert onnx.detect(photo("dog"), "cats") == []
    assert onnx.detect(photo("cats"), "dogs") == []
    assert {r.label for r in onnx.detect(photo("dog"), "everything")} == {"dog", "bowl", "person"}


def test_people_near_and_far(photo: Photo, onnx: OnnxDetector) -> None:
    assert len(onnx.detect(photo("street2"), "people")) >= 3
    walking = Box(14, 251, 49, 362)
    assert any(r.box.iou(walking) > 0.5 for r in onnx.detect(photo("street1"), "people"))


def test_colours_narrow_what_is_found(photo: Photo, onnx: OnnxDetector) -> None:
    assert len(onnx.detect(photo("street1"), "purple bus")) == 1
    assert onnx.detect(photo("street1"), "green bus") == []


def test_what_is_found_in_a_crop_lies_in_the_root(photo: Photo, onnx: OnnxDetector) -> None:
    whole = photo("cats")
    right = whole.crop(Box(325, 0, 640, 480))
    (cat,) = onnx.detect(right, "cat")
    assert cat.image is whole
    assert cat.left >= 325
    assert cat.box.iou(Box(345, 25, 640, 372)) > 0.6


@pytest.mark.parametrize("what", ["woman", "wheels", "puppies", "chef's hat"])
def test_a_class_that_the_network_lacks_is_refused(onnx: OnnxDetector, what: str) -> None:
    with pytest.raises(Refused, match="has no class"):
        onnx.detect(Image(np.zeros((40, 40, 3), np.uint8)), what)


def test_faces_through_detect(photo: Photo, shared: Path) -> None:
    backend = OnnxDetector(str(shared / "models" / "yunet_face.onnx"))
    assert len(backend.detect(photo("street2"), "faces")) == 4
    with pytest.raises(Refused):
        backend.detect(photo("street2"), "dogs")


def test_models_that_cannot_be_used_are_errors(tmp_path: Path, shared: Path) -> None:
    image = Image(np.zeros((40, 40, 3), np.uint8))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    names = tmp_path / "two.names"
    names.write_text("cell\nplatelet\n")
    model = str(shared / "models" / "fastestdet_coco.onnx")
    for backend, message in (
        (OnnxDetector(), "set model = "),
        (OnnxDetector(str(tmp_path / "none.onnx")), "there is no model file"),
        (OnnxDetector(str(broken)), "cannot be used"),
        (OnnxDetector(model, labels=str(names)), "no layout that is known with 2 classes"),
    ):
        with pytest.raises(ToolError, match=message):
            backend.detect(image, "dog")


# -- layouts -------------------------------------------------------------------------------------------


def test_layouts_are_told_apart() -> None:
    def shape(*sizes: int) -> np.ndarray:
        return np.zeros(sizes, np.float32)

    assert read_layout({"o": shape(1, 85, 22, 22)}, 80) == "fastestdet"
    assert read_layout({"o": shape(1, 84, 8400)}, 80) == "yolo"
    assert read_layout({"o": shape(1, 25200, 85)}, 80) == "yolo"
    assert read_layout({"o": shape(1, 300, 6)}, 80) == "yolo"
    assert read_layout({"boxes": shape(9, 4), "scores": shape(9), "labels": shape(9)}, 80) == "named"
    assert read_layout({"o": shape(1, 1000)}, 80) is None
    assert read_layout({"o": shape(1, 84, 8400)}, 3) is None


def test_yolo_boxes() -> None:
    values = np.zeros((2 + 4, 50), np.float32)
    values[:, 7] = [100, 50, 40, 20, 0.1, 0.8]
    for layout in (values, values.T):
        found = yolo(layout, 2)
        best = int(found.scores.argmax())
        assert found.boxes[best].tolist() == [80, 40, 120, 60]
        assert found.classes[best] == 1
        assert found.scores[best] == pytest.approx(0.8)
    with_presence = np.array([[100, 50, 40, 20, 0.5, 0.1, 0.8]] * 9, np.float32)
    assert yolo(with_presence, 2).scores[0] == pytest.approx(0.4)
    finished = np.array([[1, 2, 3, 4, 0.9, 5]] * 3, np.float32)
    found = yolo(finished, 80)
    assert (found.boxes[0].tolist(), int(found.classes[0])) == ([1, 2, 3, 4], 5)


def test_named_boxes() -> None:
    found = named(
        {
            "pred_boxes": np.array([[1, 2, 3, 4]], np.float32),
            "scores": np.array([0.5], np.float32),
            "labels": np.array([3]),
        }
    )
    assert found.boxes.tolist() == [[1, 2, 3, 4]]
    assert (found.scores.tolist(), found.classes.tolist()) == ([0.5], [3])


def test_fastestdet_boxes_agree_with_those_of_the_mirrored_image() -> None:
    grid = np.zeros((5 + 2, 4, 4), np.float32)
    grid[:, 1, 0] = [0.9, 0.5, 0.5, 0.25, 0.5, 0.1, 0.9]
    mirror = np.zeros_like(grid)
    mirror[:, 1, 3] = grid[:, 1, 0]
    found = fastestdet(grid, mirror, 400, 200)
    best = int(found.scores.argmax())
    assert found.boxes[best].tolist() == [0, 25, 100, 125]
    assert found.classes[best] == 1
