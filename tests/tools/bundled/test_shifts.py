"""Images unlike those of the training are refused by the bundled models, or answered right; benchmarks/embedded.py
measures it with more of them."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from visprog.training.gate import leaves

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from embedded import SPLITS, TESTS, Images, Result  # noqa: E402
from shifted_scenes import SHIFTS  # noqa: E402

MODELS = tuple(TESTS)
COUNT = 8
"""Scenes of each split."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images that look like photographs to the gate."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(3)
    for i in range(4):
        cv2.imwrite(str(folder / f"{i}.png"), leaves(rng, 160))
    return folder


@cache
def results(test: str, shift: str, photos: Path) -> dict[str, Result]:
    return TESTS[test](Images(SPLITS, COUNT, 96, shift, photos))


@pytest.mark.parametrize("test", MODELS)
@pytest.mark.parametrize("shift", SHIFTS)
def test_few_answers_are_wrong_and_not_refused(test: str, shift: str, photos: Path) -> None:
    for title, result in results(test, shift, photos).items():
        assert title == "AP50" or result.wrong <= 0.2, title


@pytest.mark.parametrize("test", MODELS)
def test_a_photograph_behind_is_refused(test: str, photos: Path) -> None:
    assert all(result.refused > 0.3 for result in results(test, "photo", photos).values())


def test_only_models_that_tell_of_all_objects_refuse_many(photos: Path) -> None:
    assert results("caption", "many", photos)["all facts right"].refused > 0.7
    assert results("vqa", "many", photos)["answers right"].refused > 0.7
    assert results("detect", "many", photos)["counts right"].refused < 0.3


def test_dark_scenes_are_refused_by_the_detector_and_not_by_the_segmenter(photos: Path) -> None:
    assert results("detect", "dark", photos)["counts right"].refused > 0.6
    assert results("segment", "dark", photos)["IoU by box"].refused < 0.3


@pytest.mark.parametrize("shift", ["wide", "very-wide"])
def test_the_part_of_a_long_image_that_shows_objects_is_seen(shift: str, photos: Path) -> None:
    assert results("segment", shift, photos)["IoU by box"].score > 0.9
    assert results("detect", shift, photos)["AP50"].score > 0.9
    assert 0.1 < results("detect", shift, photos)["AP50"].refused < 0.8


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "embedded.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=280)


def test_photographs_come_from_a_folder_that_is_named() -> None:
    done = run("caption", "--shift", "photo", "-n", "1", "--json")
    assert done.returncode == 0 and json.loads(done.stdout) == {}
    assert "give a folder of photographs by --photos" in done.stderr


def test_programs_have_no_shifts() -> None:
    done = run("ask", "--shift", "dark", "-n", "1")
    assert done.returncode == 2 and "ask has no shifts" in done.stderr
