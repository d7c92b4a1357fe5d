from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from visprog.errors import ToolError
from visprog.tools.backends.cascades import HaarFaces
from visprog.tools.backends.opencv import OpenCVDetector
from visprog.tools.backends.yunet import BestFaces, YuNetFaces, yunet_beside_opencv
from visprog.tools.detect import detect
from visprog.tools.edit import cover
from visprog.tools.faces import find_faces
from visprog.values import Box, Region
from visprog.values.image import Image

Photo = Callable[[str], Image]

DRIVER = Box(328, 192, 352, 220)
MEN = [Box(149, 85, 177, 118), Box(260, 74, 288, 115), Box(388, 62, 420, 110)]


def matches(found: list[Region], box: Box) -> bool:
    return any(r.box.iou(box) > 0.3 for r in found)


def test_haar_finds_frontal_and_profile_faces(photo: Photo) -> None:
    street = photo("street2")
    found = find_faces(street)
    assert all(r.label == "face" and 0 < r.score <= 1 and r.image is street for r in found)
    assert sum(matches(found, man) for man in MEN) >= 2
    assert len(found) <= 4
    bus = find_faces(photo("street1"))
    assert len(bus) == 1
    assert matches(bus, DRIVER)


@pytest.mark.parametrize("name", ["cats", "dog", "groceries", "truck"])
def test_haar_sees_no_face_in_wheels_lamps_and_animals(photo: Photo, name: str) -> None:
    assert find_faces(photo(name)) == []


def test_faces_of_a_crop_lie_in_the_root(photo: Photo) -> None:
    whole = photo("street2")
    part = whole.crop(Box(340, 20, 520, 300)).crop(Box(350, 30, 500, 200))
    found = find_faces(part)
    assert len(found) == 1
    assert matches(found, MEN[2])
    assert found[0].image is whole


def test_eyes_lie_in_faces(photo: Photo) -> None:
    street = photo("street2")
    faces = find_faces(street)
    for eye in detect(street, "eyes"):
        assert any(eye.inside(face, 0.3) for face in faces)


def test_an_empty_or_tiny_image_has_no_face() -> None:
    for size in ((1, 1), (5, 300), (64, 64), (1, 2000), (2000, 1), (3, 5000)):
        assert find_faces(Image(np.full((*size, 3), 90, np.uint8))) == []


def test_yunet_finds_all_faces(photo: Photo, shared: Path) -> None:
    backend = YuNetFaces(str(shared / "models" / "yunet_face.onnx"))
    found = backend.find(photo("street2"))
    assert len(found) == 4
    assert all(matches(found, man) for man in MEN)
    assert matches(backend.find(photo("street1")), DRIVER)
    for name in ("cats", "dog", "groceries", "truck"):
        assert backend.find(photo(name)) == []


def test_the_default_finder_is_yunet_where_it_can_be_had(
    photo: Photo, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shared / "models" / "yunet_face.onnx"
    assert isinstance(BestFaces().finder, HaarFaces)
    assert len(BestFaces(str(model)).find(photo("street2"))) == 4
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "face.onnx").write_bytes(model.read_bytes())
    (tmp_path / "data" / "other.onnx").write_bytes(b"another network")
    monkeypatch.setattr("cv2.__file__", str(tmp_path / "__init__.py"))
    yunet_beside_opencv.cache_clear()
    try:
        backend = OpenCVDetector()
        assert isinstance(backend.faces.finder, YuNetFaces)
        assert len(backend.detect(photo("street2"), "faces")) == 4
    finally:
        yunet_beside_opencv.cache_clear()


def test_an_edit_for_privacy_says_what_it_may_miss() -> None:
    assert "missed stays visible" in cover.description
    assert "missed" in find_faces.description


def test_yunet_in_a_crop(photo: Photo, shared: Path) -> None:
    whole = photo("street2")
    (result,) = YuNetFaces(str(shared / "models" / "yunet_face.onnx"))(
        [{"image": whole.crop(Box(350, 20, 520, 300))}]
    )
    assert len(result) == 1
    assert matches(result, MEN[2])


def test_wrong_configurations_are_errors(shared: Path) -> None:
    image = Image(np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(ToolError, match="takes no model"):
        HaarFaces("some.onnx")
    with pytest.raises(ToolError, match=r"tools\.find_faces"):
        YuNetFaces().find(image)
    with pytest.raises(ToolError, match="is not YuNet"):
        YuNetFaces(str(shared / "models" / "fastestdet_coco.onnx")).find(image)
