"""`retrieve` and `visprog search` with the bundled CLIP, over drawn scenes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest

pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from visprog import Agent
from visprog.cli import main
from visprog.errors import Refused, ToolError
from visprog.tools.backends.clip import EmbeddedRetriever
from visprog.tools.retrieve import retrieve
from visprog.values.image import Image

COLORS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (40, 70, 220), "yellow": (235, 215, 50)}


def drawing(color: str, shape: str) -> Image:
    canvas = PIL.Image.new("RGB", (96, 96), (236, 236, 236))
    pen = PIL.ImageDraw.Draw(canvas)
    if shape == "circle":
        pen.ellipse((28, 30, 66, 68), fill=COLORS[color])
    else:
        pen.rectangle((28, 30, 66, 68), fill=COLORS[color])
    return Image.open(canvas, name=f"{color} {shape}.png")


@pytest.fixture(scope="module")
def drawings() -> list[Image]:
    return [drawing(color, shape) for color in COLORS for shape in ("circle", "square")]


def answer(calls: list[dict[str, Any]], **options: Any) -> list[Any]:
    return EmbeddedRetriever(**options)(calls)


def test_the_best_comes_first_as_the_image_that_was_given(drawings: list[Image]) -> None:
    red, blue = answer(
        [
            {"images": drawings, "text": "a red circle", "k": 1},
            {"images": drawings, "text": "a blue thing", "k": 2},
        ]
    )
    assert red == [drawings[0]] and red[0] is drawings[0]
    assert {image.name for image in blue} == {"blue circle.png", "blue square.png"}
    (everything,) = answer([{"images": drawings, "text": "a red circle", "k": 100}])
    assert len(everything) == 8 and {*map(id, everything)} == {*map(id, drawings)}
    assert answer([{"images": [], "text": "a red circle", "k": 2}]) == [[]]


def test_it_refuses_what_it_was_not_taught(drawings: list[Image]) -> None:
    noise = Image(np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8))
    unknown, other, none, fine = answer(
        [
            {"images": drawings, "text": "a zebra", "k": 1},
            {"images": [*drawings, noise], "text": "a red circle", "k": 1},
            {"images": drawings, "text": "a red circle", "k": 0},
            {"images": drawings, "text": "a red circle", "k": 1},
        ]
    )
    assert isinstance(unknown, Refused) and "zebra" in str(unknown)
    assert isinstance(other, Refused) and "[tools.retrieve]" in str(other)
    assert isinstance(none, ToolError) and "k must be 1 or more" in str(none)
    assert fine == [drawings[0]]
    with pytest.raises(Refused, match=r"under \[tools.retrieve\]"):
        retrieve(drawings, "a red circle")


class Backwards:
    """A `match` that likes what comes last in the alphabet."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        names = sorted(f"{color} {shape}.png" for color in COLORS for shape in ("circle", "square"))
        self.seen += [call["image"].name for call in calls]
        return [names.index(call["image"].name) / len(names) for call in calls]


PROGRAM = """
def answer(images):
    return retrieve(images, "a red circle", 2)
"""


def test_the_first_are_put_in_order_by_the_configured_match(drawings: list[Image]) -> None:
    matcher = Backwards()
    backends = {"match": matcher, "retrieve": {"backend": "embedded", "rerank": 4}}
    with Agent(backends=backends) as agent:
        found = agent.run(PROGRAM, *drawings)
    nearest = {image.name for image in answer([{"images": drawings, "text": "a red circle", "k": 4}])[0]}
    assert found.status == "answered" and set(matcher.seen) == nearest
    assert [image.name for image in found.value] == sorted(nearest, reverse=True)[:2]
    assert [call.tool for call in found.trace].count("match") == 4
    assert {call.caller for call in found.trace if call.tool == "match"} == {"retrieve"}


@pytest.fixture
def folder(drawings: list[Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.platform", "linux")
    (tmp_path / "drawings").mkdir()
    for image in drawings:
        image.to_pil().save(tmp_path / "drawings" / image.name)
    return tmp_path / "drawings"


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code = main(["search", *arguments, "--json"])
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == (0 if data["status"] == "ok" else 1)
    return data


def test_the_command_finds_by_text_and_by_image(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.rglob("*"))
    (folder / "broken.png").write_bytes(b"no image")
    use = ("--backend", "retrieve=embedded")
    data = found(capsys, str(folder), "a red circle", "a blue square", "-k", "1", *use)
    assert [each["hits"][0]["image"] for each in data["results"]] == ["red circle.png", "blue square.png"]
    assert (data["images"], data["encoded"]) == (8, 9) and data["left_out"].keys() == {"broken.png"}
    assert sorted(folder.rglob("*")) == sorted([*before, folder / "broken.png"])
    data = found(capsys, str(folder), "--image", str(folder / "green square.png"), "-k", "2", *use)
    assert data["encoded"] == 0 and data["results"][0]["hits"][0] == {
        "image": "green square.png",
        "score": 1.0,
    }
    match = ("--backend", "match=embedded")  # whose model serves, too
    page = folder.parent / "found.html"
    data = found(capsys, str(folder), "a red circle", "-k", "3", "--rerank", "4", "--html", str(page), *match)
    hits = data["results"][0]["hits"]
    assert hits[0]["image"] == "red circle.png" and hits[0]["score"] > 0.5 > hits[1]["score"]
    assert page.read_text().count("<img") == 3
    assert main(["search", str(folder), "a red circle", *use, "-k", "2"]) == 0
    assert "red circle.png" in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["a red circle"], 1, "no model that finds images by a text is chosen"),
        (["a zebra", "--backend", "retrieve=embedded"], 1, "was not taught what 'zebra' is"),
        (["--backend", "retrieve=embedded"], 2, "nothing to look for"),
        (["--image", "x.png", "--rerank", "3"], 2, "--rerank compares with a text"),
        (["--image", "x.png", "--backend", "retrieve=embedded"], 1, "x.png"),
    ],
)
def test_what_the_command_refuses(
    arguments: list[str], code: int, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", str(folder), *arguments]) == code
    assert message in capsys.readouterr().err
    assert not (folder.parent / "cache").exists()


def test_a_folder_of_other_images_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in folder.iterdir():
        path.unlink()
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    PIL.Image.fromarray(noise).save(folder / "noise.png")
    assert main(["search", str(folder), "a red circle", "--backend", "retrieve=embedded"]) == 1
    assert "can be searched: the model of retrieve was taught" in capsys.readouterr().err
    assert main(["search", str(folder / "none"), "a red circle"]) == 1
