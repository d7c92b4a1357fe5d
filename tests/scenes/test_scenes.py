"""Scenes: what is drawn is what is said to be there, at every size, and the same in every process."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from itertools import pairwise, product
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from visprog.scenes import COLORS, HELD_OUT, SHAPES, SIZES, SPLITS, STYLES, TEXTURES, Scene, Scenes
from visprog.scenes.background import NoPhotographs
from visprog.scenes.colors import palette
from visprog.scenes.shapes import outline
from visprog.values import colors as color

MANY = 200


@pytest.fixture(scope="module")
def some() -> list[Scene]:
    scenes = Scenes(64, seed=11)
    return [scenes[i] for i in range(MANY)]


def digest(scene: Scene) -> str:
    parts = [scene.pixels.tobytes(), scene.masks.tobytes(), scene.boxes.tobytes()]
    words = [*scene.captions("full"), *scene.region_captions, *(q.text for q in scene.questions(4))]
    return hashlib.sha256(b"".join(parts) + json.dumps(words).encode()).hexdigest()


# -- determinism -------------------------------------------------------------------------------------


def test_a_scene_depends_on_seed_split_and_index_alone() -> None:
    first = [digest(Scenes(64, seed=3, style="mixed")[i]) for i in range(6)]
    scenes = Scenes(64, seed=3, style="mixed")
    backwards = {i: digest(scenes[i]) for i in reversed(range(6))}
    assert first == [backwards[i] for i in range(6)]
    others = [digest(Scenes(64, seed=4)[0]), *(digest(Scenes(64, seed=3, split=s)[0]) for s in SPLITS)]
    assert len({*first, *others}) == 6 + len(others)


def test_another_process_draws_the_same() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from visprog.scenes import Scenes\n"
        "import hashlib\n"
        "scene = Scenes(64, seed=3)[41]\n"
        "print(hashlib.sha256(scene.pixels.tobytes() + scene.caption('full').encode()).hexdigest())\n"
        "assert 'torch' not in sys.modules\n"
    )
    root = Path(__file__).resolve().parents[2]
    told = subprocess.run(
        [sys.executable, "-c", program, str(root)], capture_output=True, text=True, check=True, timeout=120
    ).stdout.strip()
    scene = Scenes(64, seed=3)[41]
    assert told == hashlib.sha256(scene.pixels.tobytes() + scene.caption("full").encode()).hexdigest()


# -- masks and boxes ---------------------------------------------------------------------------------


def inside(contours: tuple[NDArray[np.float32], ...], size: int) -> NDArray[np.bool_]:
    """Which pixel centres lie inside contours, by the even-odd rule."""
    at = np.arange(size) + 0.5
    x, y = np.meshgrid(at, at)
    found = np.zeros((size, size), bool)
    for contour in contours:
        for (x0, y0), (x1, y1) in pairwise(np.vstack([contour, contour[:1]]).tolist()):
            if y0 != y1:
                found ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return found


@pytest.mark.parametrize("size", [64, 96, 224])
def test_silhouettes_are_the_outlines(size: int) -> None:
    scenes = Scenes(size, seed=5)
    wrong, more = [], []
    for scene in (scenes[i] for i in range(16)):
        for obj, mask in zip(scene.objects, scene.silhouettes, strict=True):
            form = outline(obj.shape, obj.angle)
            placed = tuple((c * obj.radius + (obj.x, obj.y)) * size for c in form.contours)
            exact = inside(placed, size)
            edge = exact.sum() - cv2.erode(exact.astype(np.uint8), np.ones((3, 3), np.uint8)).sum()
            wrong.append((mask ^ exact).sum() / edge)
            more.append((mask.sum() - float(exact.sum())) / edge)
    assert max(wrong) < 0.6 and np.mean(wrong) < 0.1
    assert abs(np.mean(more)) < 0.04


def test_masks_are_what_later_things_leave_visible(some: list[Scene]) -> None:
    hidden = 0
    for scene in some:
        for k, mask in enumerate(scene.masks):
            before = scene.silhouettes[k]
            after = np.any(scene.silhouettes[k + 1 :], axis=0)
            np.testing.assert_array_equal(mask, before & ~after)
            assert mask.sum() >= 0.6 * before.sum()
            hidden += mask.sum() < before.sum()
    assert hidden > 10


def test_boxes_fit_the_masks_exactly(some: list[Scene]) -> None:
    for scene in some:
        assert scene.boxes.shape == (len(scene.objects), 4) and scene.boxes.dtype == np.float32
        for mask, (left, top, right, bottom) in zip(scene.masks, scene.boxes.astype(int), strict=True):
            rows, columns = np.nonzero(mask)
            assert (left, top, right, bottom) == (
                columns.min(), rows.min(), columns.max() + 1, rows.max() + 1,
            )  # fmt: skip


def test_a_scene_is_the_same_at_every_size(some: list[Scene]) -> None:
    for scene in some[:40]:
        large = scene.at(192)
        assert large.pixels.shape == (192, 192, 3)
        assert np.abs(large.boxes / 3 - scene.boxes).max() <= 1.34
        shrunk = cv2.resize(large.pixels, (64, 64), interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(shrunk - scene.pixels).mean() < 14
        assert large.captions("full") == scene.captions("full")


# -- what is to be seen --------------------------------------------------------------------------------


def test_every_shade_answers_to_its_name() -> None:
    for k, name in enumerate(COLORS):
        assert {color.name_of(rgb) for rgb in palette().rgb[k]} == {name}


def test_things_are_of_their_colour_and_stand_out(some: list[Scene]) -> None:
    named = total = 0
    for scene in some[:150]:
        anything = np.any(scene.silhouettes, axis=0)
        for obj, mask in zip(scene.objects, scene.masks, strict=True):
            core = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
            around = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & ~cv2.dilate(
                anything.astype(np.uint8), np.ones((3, 3), np.uint8)
            ).astype(bool)
            if core.sum() < 9 or around.sum() < 9 or obj.texture != "solid":
                continue
            seen, behind = np.median(scene.pixels[core], axis=0), np.median(scene.pixels[around], axis=0)
            named += color.name_of(seen) == obj.color
            total += 1
            assert np.linalg.norm(np.diff(color.to_lab(np.stack([seen, behind])), axis=0)) > 15
    assert total > 200 and named / total > 0.97


def test_textures_show(some: list[Scene]) -> None:
    spread: dict[str, list[float]] = {name: [] for name in TEXTURES}
    for scene in some:
        for obj, mask in zip(scene.objects, scene.masks, strict=True):
            core = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
            if obj.size != "small" and core.sum() > 20:
                lightness = color.to_lab(scene.pixels[core])[:, 0]
                spread[obj.texture].append(float(lightness.std()) - scene.background.noise / 5)
    assert max(np.median(spread["solid"]), 0) + 4 < min(np.median(spread[name]) for name in TEXTURES[1:])


def test_every_word_occurs_and_counts_are_spread(some: list[Scene]) -> None:
    objects = [obj for scene in some for obj in scene.objects]
    for attribute, words in (("shape", SHAPES), ("color", COLORS), ("size", SIZES), ("texture", TEXTURES)):
        assert {getattr(obj, attribute) for obj in objects} == set(words)
    counts = Counter(len(scene.objects) for scene in some)
    assert set(counts) == {1, 2, 3, 4, 5} and min(counts.values()) > MANY / 10


@pytest.mark.parametrize("style", STYLES)
def test_styles(style: str) -> None:
    normal, styled = Scenes(64, seed=2), Scenes(64, seed=2, style=style)
    for i in range(8):
        a, b = normal[i], styled[i]
        np.testing.assert_array_equal(a.masks, b.masks)
        assert np.array_equal(a.pixels, b.pixels) == (style == "normal")
        if style in ("sketch", "infrared", "inverted"):
            assert not b.colored and not any(word in b.caption("full").split() for word in COLORS)
        if style == "inverted":
            np.testing.assert_array_equal(b.pixels, 255 - a.pixels)
    assert {Scenes(style="mixed")[i].style for i in range(60)} == set(STYLES)


def test_nine_things_fit() -> None:
    scenes = Scenes(64, objects=(9, 9), overlap=1)
    assert all(len(scenes[i].objects) == 9 and (scenes[i].boxes[:, 2] > 0).all() for i in range(10))


# -- what training never sees --------------------------------------------------------------------------


def combinations_of(scene: Scene) -> set[tuple[str, str]]:
    return {pair for t in scene.objects for pair in ((t.color, t.shape), (t.texture, t.shape))}


@pytest.mark.parametrize("split", SPLITS)
def test_held_out_combinations(split: str) -> None:
    scenes = Scenes(64, seed=9, split=split)
    for i in range(300):
        shown = combinations_of(scenes[i]) & HELD_OUT
        assert bool(shown) == (split == "held_out")
    special = [*scenes.sequence(1, 3), scenes.nested(1), scenes.pair(1).first, scenes.pair(1).second]
    assert all(bool(combinations_of(s) & HELD_OUT) == (split == "held_out") for s in special)


def test_an_eighth_of_the_combinations_is_held_out_and_each_word_is_seen() -> None:
    held = {pair for pair in HELD_OUT if pair[0] in COLORS}
    assert 1 / 9 < len(held) / (len(COLORS) * len(SHAPES)) < 1 / 7
    for shape in SHAPES:
        assert 1 <= sum(pair[1] == shape for pair in held) <= 3
        assert any((texture, shape) not in HELD_OUT for texture in TEXTURES[1:])
    assert {pair[0] for pair in HELD_OUT} == {*COLORS, *TEXTURES[1:]}
    assert set(product(COLORS, SHAPES)) >= held


# -- photographs, pairs, films, nests ------------------------------------------------------------------


def test_photographs_as_backgrounds(tmp_path: Path) -> None:
    y, x = np.mgrid[:300, :400]
    image = np.stack([x * 255 // 400, y * 255 // 300, (x // 8 + y // 8) % 2 * 255], 2).astype(np.uint8)
    (tmp_path / "more").mkdir()
    cv2.imwrite(str(tmp_path / "more" / "one.png"), image)
    scenes = Scenes(64, seed=1, backgrounds=tmp_path)
    drawn = [scenes[i] for i in range(60)]
    share = np.mean([scene.background.kind == "photo" for scene in drawn])
    assert 0.3 < share < 0.7
    again = Scenes(64, seed=1, backgrounds=tmp_path)
    assert all(np.array_equal(again[i].pixels, drawn[i].pixels) for i in (59, 3))
    (tmp_path / "two.jpg").write_bytes(b"no picture")
    with pytest.raises(NoPhotographs, match=r"two.jpg cannot be read"):
        _ = [Scenes(backgrounds=tmp_path)[i] for i in range(40)]


def test_real_photographs(shared: Path) -> None:
    scenes = Scenes(96, backgrounds=shared / "photos")
    assert any(scenes[i].background.kind == "photo" and scenes[i].pixels.std() > 10 for i in range(8))


def test_pairs_differ_in_one_object() -> None:
    scenes = Scenes(64, seed=6)
    kinds = Counter()
    for i in range(80):
        pair = scenes.pair(i)
        kinds[pair.type] += 1
        before, after = list(pair.first.objects), list(pair.second.objects)
        changed = before.pop(pair.index)
        now = after.pop(pair.index) if pair.type != "presence" else None
        assert before == after and changed != now
        assert changed.name in pair.difference and pair.first.find(changed.name) == [pair.index]
        if pair.type in ("color", "shape", "texture", "size"):
            assert now is not None and getattr(now, pair.type) in pair.difference
        assert not np.array_equal(pair.first.pixels, pair.second.pixels)
    assert set(kinds) == {"color", "shape", "texture", "size", "position", "orientation", "presence"}


def test_films_move_smoothly() -> None:
    scenes = Scenes(64, seed=6)
    for i in range(8):
        frames = scenes.sequence(i, 6)
        assert len(frames) == 6
        for a, b in pairwise(frames):
            for one, other in zip(a.objects, b.objects, strict=True):
                assert one.name == other.name and np.hypot(one.x - other.x, one.y - other.y) < 0.05
        assert all(np.array_equal(frame.masks, frame.silhouettes) for frame in frames)
        assert frames[0].objects != frames[-1].objects
        behind = ~np.any([frame.silhouettes.any(0) for frame in (frames[0], frames[-1])], axis=0)
        behind = cv2.erode(behind.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        change = frames[0].pixels[behind].astype(int) - frames[-1].pixels[behind]
        assert np.abs(change.mean()) < 1 and change.std() < 20
    with pytest.raises(ValueError, match="at least one frame"):
        scenes.sequence(0, 0)


def test_a_nest_is_a_part_within_a_whole() -> None:
    scenes = Scenes(64, seed=6)
    for i in range(20):
        nest = scenes.nested(i)
        whole, part = nest.silhouettes
        assert whole[part].all() and part.sum() < 0.4 * whole.sum()
        np.testing.assert_array_equal(nest.masks[0], whole & ~part)
        assert nest.relations == ((1, "inside", 0),)
        assert nest.agrees(nest.caption("full"), complete=True)


# -- batches, arguments, the command -------------------------------------------------------------------


def test_batches_are_the_scenes_stacked() -> None:
    scenes = Scenes(32, seed=8)
    batch = scenes.batch([5, 0, 7])
    assert batch.pixels.shape == (3, 32, 32, 3) and batch.pixels.dtype == np.uint8
    for k, i in enumerate((5, 0, 7)):
        scene, count = scenes[i], batch.counts[k]
        np.testing.assert_array_equal(batch.pixels[k], scene.pixels)
        np.testing.assert_array_equal(batch.boxes[k, :count], scene.boxes)
        np.testing.assert_array_equal(batch.masks[k, :count], scene.masks)
        assert not batch.boxes[k, count:].any() and not batch.masks[k, count:].any()
    assert scenes.batch([]).pixels.shape == (0, 32, 32, 3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 16}, "at least 32"),
        ({"split": "valid"}, "unknown split 'valid'"),
        ({"objects": (0, 3)}, "least, greatest"),
        ({"objects": (4, 3)}, "least, greatest"),
        ({"style": "cubist"}, "unknown style 'cubist'"),
        ({"overlap": 2}, "chances from 0 to 1"),
    ],
)
def test_wrong_arguments(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scenes(**wrong)  # type: ignore[arg-type]


def test_no_scene_before_the_first_and_no_photographs(tmp_path: Path) -> None:
    with pytest.raises(IndexError, match="numbered from 0"):
        Scenes()[-1]
    with pytest.raises(NoPhotographs, match="holds no photographs"):
        Scenes(backgrounds=tmp_path)


def test_the_command_writes_a_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from visprog.scenes.__main__ import main

    out = tmp_path / "sheet.png"
    monkeypatch.setattr(
        sys, "argv", ["scenes", str(out), "--count", "7", "--size", "64", "--style", "mixed", "--boxes"]
    )
    main()
    sheet = cv2.imread(str(out))
    assert sheet is not None and sheet.shape[0] > 2 * 192 and sheet.shape[1] == 6 * 200


@pytest.mark.parametrize("wrong", [["--count", "0"], ["--size", "8"], ["--backgrounds", "nowhere"]])
def test_the_command_says_what_is_wrong(
    wrong: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from visprog.scenes.__main__ import main

    monkeypatch.setattr(sys, "argv", ["scenes", str(tmp_path / "sheet.png"), *wrong])
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr().err
    assert any(words in told for words in ("at least 1", "at least 32", "holds no photographs"))
