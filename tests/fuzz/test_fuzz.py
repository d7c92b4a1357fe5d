"""Short, seeded runs of the fuzzers of images, files and requests; longer ones: `make nightly`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fuzz import files, images
from tests.fuzz.mutations import chance_of, damaged
from tests.sandbox.fuzz_frames import fuzz


@pytest.mark.parametrize(("run", "cases"), [(images.run_case, 400), (files.run_case, 250)])
def test_damaged_files_are_read_or_refused(run: Callable[[int, int], None], cases: int) -> None:
    found = fuzz(seed=1, cases=cases, warm_up=cases // 2, run=run)
    assert found.cases == cases and not found.failures


def test_damaged_requests_get_an_answer() -> None:
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    pytest.importorskip("python_multipart")
    from tests.fuzz import requests

    found = fuzz(seed=1, cases=60, warm_up=30, run=requests.run_case, slack=requests.SLACK)
    assert found.cases == 60 and not found.failures


def test_well_formed_seeds_are_read() -> None:
    """Damage is only worth something next to files that are whole."""
    from visprog.values.image import Image

    for data in images.files():
        try:
            image = Image.decode(data, "seed", images.MAX_PIXELS)
        except images.ImageError as error:
            assert "animation" in str(error) or "frames" in str(error), error
        else:
            assert {image.width, image.height} == {53, 37}


def test_cases_depend_on_seed_and_number_alone() -> None:
    def made(seed: int) -> list[bytes]:
        return [damaged(chance_of(seed, number), bytes(range(200))) for number in range(20)]

    assert made(3) == made(3) != made(4)
