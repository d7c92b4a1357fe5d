"""Images unlike those of the training are refused by the bundled models, or answered right; benchmarks/embedded.py
measures it with more of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from visprog.training.gate import leaves

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "embedded.py"
SHIFTS = ("wide", "very-wide", "photo", "dark", "bright", "pale", "many")
COUNT = 8


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=280
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Shift → test → title → its result."""
    photos, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(3)
    for i in range(4):
        cv2.imwrite(str(photos / f"{i}.png"), leaves(rng, 160))
    done = run("--shift", "all", "--photos", str(photos), "-n", str(COUNT), "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, dict[str, dict[str, Any]]]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("shift", SHIFTS)
def test_few_answers_are_wrong_and_not_refused(results: Any, shift: str) -> None:
    assert set(results[shift]) == {"classify", "detect", "segment", "caption", "vqa"}
    for test, titles in results[shift].items():
        for title, result in titles.items():
            assert title == "AP50" or result["wrong"] <= 0.2, (test, title)


def test_what_was_never_taught_is_refused(results: Any) -> None:
    assert all(each["refused"] > 0.3 for test in results["photo"].values() for each in test.values())
    assert results["many"]["caption"]["all facts right"]["refused"] > 0.7
    assert results["many"]["detect"]["counts right"]["refused"] < 0.3
    assert results["dark"]["detect"]["counts right"]["refused"] > 0.6


@pytest.mark.parametrize("shift", ["wide", "very-wide"])
def test_the_part_of_a_long_image_that_shows_objects_is_seen(results: Any, shift: str) -> None:
    assert results[shift]["segment"]["IoU by box"]["score"] > 0.9
    assert results[shift]["detect"]["AP50"]["score"] > 0.9
    assert 0.1 < results[shift]["detect"]["AP50"]["refused"] < 0.8


def test_photographs_come_from_a_folder_that_is_named() -> None:
    done = run("caption", "--shift", "photo", "-n", "1", "--json")
    assert done.returncode == 0 and json.loads(done.stdout) == {}
    assert "give a folder of photographs by --photos" in done.stderr


def test_programs_have_no_shifts() -> None:
    done = run("ask", "--shift", "dark", "-n", "1")
    assert done.returncode == 2 and "ask has no shifts" in done.stderr
