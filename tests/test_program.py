"""What users give as images: one after another, in lists, within the limits of the settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.small_tools import REGISTRY, FakePlanner
from visprog.agent import Agent
from visprog.config import Config
from visprog.errors import ConfigError, ImageError
from visprog.program import open_images
from visprog.values.image import Image

WIDTHS = "def answer(images):\n    return [i.width for i in images]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for width in (10, 20):
        Image.open(np.zeros((5, width, 3), np.uint8)).save(tmp_path / f"{width}.png")
    return tmp_path


FORMS: list[Callable[[Path, Path], list[Any]]] = [
    lambda a, b: [a, b],
    lambda a, b: [[a, b]],
    lambda a, b: [(str(a), b)],
    lambda a, b: [a, [b]],
    lambda a, b: [iter([a, b])],
    lambda a, b: [sorted(a.parent.glob("*.png"))],
    lambda a, b: [[a.read_bytes(), np.zeros((5, 20), np.uint8)], []],
    lambda a, b: [a.open("rb"), [b.open("rb")]],
]


@pytest.mark.parametrize("form", FORMS)
def test_images_one_after_another_or_in_lists(form: Callable[[Path, Path], list[Any]], folder: Path) -> None:
    opened = open_images(form(folder / "10.png", folder / "20.png"), Config())
    assert [image.width for image in opened] == [10, 20]


def test_an_agent_takes_lists(folder: Path) -> None:
    paths = [str(folder / "10.png"), str(folder / "20.png")]
    with Agent(FakePlanner(WIDTHS), {}, registry=REGISTRY) as agent:
        assert agent.ask("How wide are they?", paths).value == [10, 20]
        assert agent.run(WIDTHS, paths).value == [10, 20]


@pytest.mark.parametrize("given", [{"a": 1}, {1}, 3, None, [[["a.png"]]], [[0, 255]], [None]])
def test_what_is_no_image_is_refused(given: Any) -> None:
    with pytest.raises(ImageError, match="cannot read a picture from"):
        open_images([given], Config())


def test_the_settings_limit_the_pixels(folder: Path) -> None:
    with pytest.raises(
        ImageError, match=r"10.png has 10 x 5 pixels, more than 40: .* max_pixels \(--max-pixels\)"
    ):
        open_images([folder / "10.png"], Config(max_pixels=40))
    with pytest.raises(ConfigError, match="'max_pixels' must be"):
        Config.of({"max_pixels": 0})
    with Agent(FakePlanner(), {"max_pixels": 40}, registry=REGISTRY) as agent:
        (mapped,) = agent.map("?", [folder / "10.png"], program="def answer(image):\n    return 1\n")
    assert mapped.answer.status == "error" and "--max-pixels" in mapped.answer.message
