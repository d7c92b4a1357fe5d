"""Answers that are images: no file overwrites an input, another answer, or what a user has there."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from tests.small_tools import picture
from visprog.answer import Answer
from visprog.errors import ImageError, VisprogError
from visprog.files.outputs import is_inside, is_same_file, keep_inputs
from visprog.mapping.saved_images import SavedImages
from visprog.values.image import Image

NAMES = [
    "a.png", "a.jpg", "a.bmp", "a.jpeg", "a", "a.png.png", "scan.1.png", "scan.1.jpeg", "scan.1", "scan", "scan-1",
    "scan-1.png", "scan-1-1", "scan.png-1", "b/a.png", "b/c/a.png", "b-a.png", "B/a.png", "A.png", "-1",
    "caf\udce9.png", "x" * 250 + ".png", "x" * 250 + ".jpg", " .png", "=a.png",
]  # fmt: skip


def answer(*values: int, program: str = "p", question: str = "Q?") -> Answer:
    """An answer of one image, or of a list of several."""
    images = [picture(value=v) for v in values]
    return Answer("answered", images[0] if len(images) == 1 else images, question=question, program=program)


@pytest.fixture
def saved(tmp_path: Path) -> SavedImages:
    (tmp_path / "images").mkdir()
    return SavedImages(tmp_path / "out", tmp_path / "images")


def values(paths: list[Path]) -> list[int]:
    return [int(Image.open(p).pixels[-1, -1, 0]) for p in paths]


def files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()]


@pytest.mark.parametrize("names", [NAMES, NAMES[::-1]])
@pytest.mark.parametrize("several", [0, 1])
def test_no_two_answers_meet(saved: SavedImages, names: list[str], several: int) -> None:
    """Of every second image the answer is a list."""
    given = {name: [2 * i, 2 * i + 1][: 1 + (i + several) % 2] for i, name in enumerate(names)}
    written = {name: saved.save(name, answer(*numbers)) for name, numbers in given.items()}
    assert {name: values(paths) for name, paths in written.items()} == given
    assert len(files(saved.folder)) == sum(map(len, given.values()))


def test_files_are_named_after_their_images(saved: SavedImages) -> None:
    assert [p.relative_to(saved.folder).as_posix() for p in saved.save("b/a.jpg", answer(1))] == [
        "b/a.jpg.png"
    ]
    assert [p.name for p in saved.save("c.jpg", answer(1, 2))] == ["c.jpg-1.png", "c.jpg-2.png"]
    assert saved.save("d.jpg", Answer("answered", 3)) == [] == saved.save("d.jpg", Answer("error"))


@pytest.mark.parametrize(
    ("first", "second"),
    [("A.JPG", "a.jpg"), ("é.png", unicodedata.normalize("NFD", "é.png")), ("Straße", "STRASSE")],
)
def test_names_that_meet_on_some_file_systems_are_told_apart(
    saved: SavedImages, first: str, second: str
) -> None:
    (there,) = saved.save(first, answer(1))
    there.rename(there.with_name(f"{second}.png"))  # as a file system that takes the names for one
    kept = saved.save(second, answer(2))
    assert values(kept) == [2] and values([there.with_name(f"{second}.png")]) == [1]
    assert saved.save(second, answer(3)) == kept and values(kept) == [3]  # done anew
    assert len(files(saved.folder)) == 2


def test_an_answer_done_anew_replaces_itself_and_nothing_else(saved: SavedImages) -> None:
    (path,) = saved.save("a.png", answer(1))
    assert saved.save("a.png", answer(2)) == [path] and values([path]) == [2]
    for other in (answer(3, program="another"), answer(3, question="Another?")):
        with pytest.raises(ImageError, match="holds something else: name another folder, or remove it"):
            saved.save("a.png", other)
    assert values([path]) == [2]


@pytest.mark.parametrize("content", [b"mine", b"\x89PNG\r\n\x1a\n", None])
def test_what_is_there_is_kept(saved: SavedImages, content: bytes | None) -> None:
    path = saved.folder / "a.png.png"
    if content is None:
        picture(value=9).save(path)
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(ImageError, match="holds something else"):
        saved.save("a.png", answer(1))
    assert path.read_bytes() == before


def test_a_file_that_a_kill_left_empty_is_written(saved: SavedImages) -> None:
    (saved.folder / "a.png.png").touch()
    (saved.folder / ".a.png.png.new").write_bytes(b"half of")
    assert values(saved.save("a.png", answer(1))) == [1]
    assert [p.name for p in files(saved.folder)] == ["a.png.png"]


@pytest.mark.parametrize("make", [os.mkfifo, lambda p: os.symlink("/dev/null", p)])
def test_special_files_in_the_way(saved: SavedImages, make: Any) -> None:
    make(saved.folder / "a.png.png")
    with pytest.raises(ImageError, match="holds something else"):
        saved.save("a.png", answer(1))


def test_folders_and_files_in_each_others_way(saved: SavedImages) -> None:
    (saved.folder / "a.png.png").mkdir()
    assert values(saved.save("a.png", answer(1))) == [1]
    saved.save("b", answer(2))
    with pytest.raises(ImageError, match="cannot be a folder: a file has its name"):
        saved.save("b.png/c.png", answer(3))


def test_links_lead_nowhere(saved: SavedImages, tmp_path: Path) -> None:
    mine = tmp_path / "images" / "a.png.png"
    picture(value=7).save(mine)
    (saved.folder / "linked").symlink_to(tmp_path / "images")
    (saved.folder / "a.png.png").symlink_to(mine)
    (saved.folder / "dangling.png.png").symlink_to(tmp_path / "images" / "new.png")
    outside = ("linked/a.png", "linked/new/b.png", "../images/b.png", str(tmp_path / "c.png"))
    for name in (*outside, "a.png", "dangling.png"):
        with pytest.raises(ImageError, match=r"leads out of|holds something else"):
            saved.save(name, answer(1))
    assert values([mine]) == [7] and len(files(tmp_path / "images")) == 1
    assert not (tmp_path / "c.png.png").exists() and not (tmp_path / "images" / "new").exists()


def test_a_folder_above_the_images_is_taken_but_not_their_own(tmp_path: Path) -> None:
    images = tmp_path / "a" / "a"
    (images / "a").mkdir(parents=True)
    saved = SavedImages(tmp_path / "a", images)
    assert saved.save("b.png", answer(1)) == [tmp_path / "a" / "b.png.png"]
    with pytest.raises(ImageError, match="leads out of"):
        saved.save("a/b.png", answer(1))
    for inside in (images, images / "out", images / "a" / ".."):
        with pytest.raises(VisprogError, match="would lie among the images"):
            SavedImages(inside, images)


def test_a_folder_that_cannot_be_written_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(VisprogError, match="cannot write"):
            SavedImages(folder, tmp_path / "images")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(VisprogError, match="permission denied"):
        SavedImages(tmp_path / "out", tmp_path / "images")


def test_files_are_compared_by_what_they_are(tmp_path: Path) -> None:
    file, link, hard = tmp_path / "a.png", tmp_path / "link", tmp_path / "hard"
    file.touch()
    link.symlink_to(file)
    hard.hardlink_to(file)
    for other in (file, link, hard, tmp_path / "." / "b" / ".." / "a.png", str(file)):
        assert is_same_file(file, other) or "b" in Path(other).parts
    assert is_same_file(tmp_path / "new", tmp_path / "x" / ".." / "new")
    assert not is_same_file(file, tmp_path / "c.png") and not is_same_file("http://x/a.png", file)
    assert is_inside(tmp_path / "x" / "y", tmp_path) and not is_inside(tmp_path, tmp_path / "x")
    with pytest.raises(VisprogError, match=r"link is read, and would be overwritten: name another file"):
        keep_inputs(link, ["http://x/a.png", file])
    keep_inputs(tmp_path / "new", [file])
