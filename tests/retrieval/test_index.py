"""Indexes of folders: built, brought up to date, killed, damaged, shared; with an encoder that sees mean colours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from visprog.errors import Refused, ToolError, VisprogError
from visprog.retrieval.index import (
    Changes,
    FeatureEncoder,
    Features,
    ImageIndex,
    default_place,
    update_index,
)
from visprog.values.image import Image


class Colors:
    """Mean colour as a feature; refuses black."""

    def __init__(self, model: str = "colors", limit: int = 10**6) -> None:
        self.model, self.limit = model, limit
        self.encoded = 0

    def digest(self) -> str:
        return self.model

    def image_features(self, images: Sequence[Image]) -> list[Features | Exception]:
        results: list[Features | Exception] = []
        for image in images:
            self.encoded += 1
            mean = image.pixels.reshape(-1, 3).mean(0).astype(np.float32)
            if self.encoded > self.limit:
                results.append(ToolError("out of memory"))
            else:
                length = float(np.linalg.norm(mean))
                results.append(mean / length if length else Refused("black is not judged"))
        return results

    def text_features(self, texts: list[str]) -> Features:
        return np.eye(3, dtype=np.float32)[[["red", "green", "blue"].index(text) for text in texts]]


def save(path: Path, color: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (8, 8), color).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for i in range(20):
        red, green, blue = rng.integers(1, 255, 3).tolist()
        save(folder / ("a" if i % 2 else "b") / f"{i}.png", (red, green, blue))
    return folder


Update = Callable[..., tuple[ImageIndex, Changes]]


@pytest.fixture
def update(photos: Path, tmp_path: Path) -> Update:
    def run(encoder: FeatureEncoder, fresh: bool = False) -> tuple[ImageIndex, Changes]:
        said.clear()
        return update_index(tmp_path / "index", listed(photos), encoder, 3, fresh=fresh, say=said.append)

    return run


said: list[str] = []


def listed(folder: Path) -> Iterator[tuple[str, Path]]:
    return ((path.relative_to(folder).as_posix(), path) for path in sorted(folder.rglob("*.png")))


def check(index: ImageIndex, photos: Path) -> None:
    """The index finds what looking at every file finds."""
    names = [name for name, _ in listed(photos)]
    queries = Colors().text_features(["red", "blue"])
    features, known = [], []
    for name, result in zip(
        names, Colors().image_features([Image.open(photos / name) for name in names]), strict=True
    ):
        if not isinstance(result, Exception):
            known.append(name)
            features.append(result.astype(np.float16).astype(np.float32))
    exact = queries @ np.stack(features).T
    assert len(index) == len(known)
    for hits, row in zip(index.search(queries, 100), exact, strict=True):
        assert [hit.name for hit in hits] == [known[i] for i in np.argsort(-row, kind="stable")]
        assert [hit.score for hit in hits] == pytest.approx(sorted(row, reverse=True), abs=1e-6)


def test_only_what_is_new_or_changed_is_encoded(update: Update, photos: Path) -> None:
    encoder = Colors()
    index, changes = update(encoder)
    assert (encoder.encoded, changes) == (20, Changes(20, 0, {})) and not said
    check(index, photos)
    index, changes = update(encoder)
    assert (encoder.encoded, changes) == (20, Changes(0, 0, {}))

    save(photos / "new.png", (250, 3, 9))
    save(photos / "a" / "1.png", (1, 2, 250))
    os.utime(photos / "a" / "1.png", ns=(1, 1))
    (photos / "b" / "2.png").unlink()
    index, changes = update(encoder)
    assert (encoder.encoded, changes) == (22, Changes(2, 1, {}))
    check(index, photos)

    for i in range(3, 20, 2):
        (photos / "a" / f"{i}.png").unlink()
    index, changes = update(encoder)
    assert (encoder.encoded, changes.removed) == (22, 9)
    check(index, photos)
    index, _ = update(encoder)
    check(index, photos)
    assert update(encoder, fresh=True)[1].added == 11


def test_the_files_shrink_when_images_are_gone(update: Update, photos: Path, tmp_path: Path) -> None:
    update(Colors())
    for i in range(0, 20, 2):
        (photos / "b" / f"{i}.png").unlink()
    update(Colors())
    (features,) = (tmp_path / "index").glob("*.f16")
    assert features.stat().st_size == 10 * 3 * 2
    assert len((tmp_path / "index" / "index.jsonl").read_text().splitlines()) == 11


def test_images_without_a_feature_are_named_and_not_read_again(update: Update, photos: Path) -> None:
    (photos / "broken.png").write_bytes(b"no image")
    save(photos / "black.png", (0, 0, 0))
    encoder = Colors()
    index, changes = update(encoder)
    assert changes.broken.keys() == {"black.png", "broken.png"} and len(index) == 20
    assert changes.broken["black.png"] == "black is not judged"
    again = update(encoder)[1]
    assert encoder.encoded == 21 and again == Changes(0, 0, changes.broken)
    save(photos / "broken.png", (9, 9, 9))
    assert update(encoder)[1].broken.keys() == {"black.png"}


def test_a_failure_of_the_model_is_no_fault_of_an_image(update: Update, photos: Path) -> None:
    with pytest.raises(ToolError, match="out of memory"):
        update(Colors(limit=10))
    encoder = Colors()
    index, changes = update(encoder)
    assert changes.broken == {} and encoder.encoded == 12  # a batch of eight was kept
    check(index, photos)


PROGRAM = """
import os, signal, sys
from pathlib import Path
from tests.retrieval.test_index import Colors, listed, update_index
def progress(done, of):
    if done >= 16 and sys.argv[3] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
index, changes = update_index(Path(sys.argv[1]), listed(Path(sys.argv[2])), Colors(), 3, progress=progress)
print(len(index), changes.added)
"""


def other_process(photos: Path, *what: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", PROGRAM, str(photos.parent / "index"), str(photos), *what]
    root = Path(__file__).parents[2]
    return subprocess.Popen(arguments, cwd=root, stdout=subprocess.PIPE, text=True)


def test_a_killed_build_resumes(update: Update, photos: Path) -> None:
    with other_process(photos, "die") as other:
        assert other.wait() == -signal.SIGKILL
    encoder = Colors()
    index, _ = update(encoder)
    assert encoder.encoded == 4 and not said
    check(index, photos)


def test_two_processes_take_turns(photos: Path) -> None:
    with other_process(photos, "live") as one, other_process(photos, "live") as two:
        texts = sorted(str(each.communicate()[0]).split() for each in (one, two))
    assert texts == [["20", "0"], ["20", "20"]]


@pytest.mark.parametrize(
    "damage",
    [
        lambda index: (index / "features-0.f16").write_bytes(b"short"),
        lambda index: (index / "features-0.f16").unlink(),
        lambda index: (index / "index.jsonl").write_bytes(b"\x00garbage\nmore\n"),
        lambda index: (index / "index.jsonl").write_text('{"index": 1}\n'),
        lambda index: (index / "index.jsonl").write_text(
            (index / "index.jsonl").read_text().replace('"row": 3', '"row": "x"')
        ),
        lambda index: (index / "index.jsonl").write_text(
            (index / "index.jsonl").read_text().replace("features-0.f16", "../../victim")
        ),
    ],
    ids=["short", "missing", "garbage", "no header", "no number", "elsewhere"],
)
def test_a_damaged_index_is_built_anew(
    damage: Callable[[Path], object], update: Update, photos: Path
) -> None:
    update(Colors())
    damage(photos.parent / "index")
    encoder = Colors()
    index, _ = update(encoder)
    assert encoder.encoded == 20 and len(said) == 1 and "is built anew" in said[0]
    check(index, photos)
    assert update(encoder)[1].added == 0 and not said


def test_a_torn_line_costs_one_image(update: Update, photos: Path) -> None:
    update(Colors())
    journal = photos.parent / "index" / "index.jsonl"
    journal.write_bytes(journal.read_bytes()[:-5])
    encoder = Colors()
    index, _ = update(encoder)
    assert encoder.encoded == 1 and not said
    check(index, photos)


def test_another_model_has_another_index(update: Update, photos: Path) -> None:
    update(Colors())
    encoder = Colors("other")
    update(encoder)
    assert encoder.encoded == 20 and "it is of another model" in said[0]
    places = {default_place(folder, model) for folder in (photos, photos.parent) for model in ("a", "b")}
    assert len(places) == 4 and not any(place.is_relative_to(photos.parent) for place in places)


def test_copies_are_left_out_if_asked(update: Update, photos: Path) -> None:
    for i in range(6):
        save(photos / f"copy{i}.png", (250, 10 + i % 2, 10))
    index, _ = update(Colors())
    (query,) = (Colors().text_features(["red"]),)
    assert [hit.name[:4] for hit in index.search(query, 6)[0]].count("copy") == 6
    (hits,) = index.search(query, 6, max_similarity=0.999)
    assert len(hits) == 6 and [hit.name[:4] for hit in hits].count("copy") == 1
    assert len(index.search(query, 6, max_similarity=-1.0)[0]) == 1


def test_an_index_that_cannot_be_written(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VisprogError, match="cannot write"):
        update_index(tmp_path / "file", listed(photos), Colors(), 3)


def test_a_folder_without_images(tmp_path: Path) -> None:
    index, changes = update_index(tmp_path / "index", [], Colors(), 3)
    assert len(index) == 0 and changes == Changes(0, 0, {})
    assert index.search(Colors().text_features(["red"]), 3) == [[]]
    assert index.search(Colors().text_features(["red"]), 3, 0.9) == [[]]
    assert json.loads((tmp_path / "index" / "index.jsonl").read_text())["dim"] == 3
