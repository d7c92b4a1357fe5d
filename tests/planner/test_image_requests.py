"""The embedded planner and whole images: requests that it understands as a whole, and those that only look alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import yaml

from tests.planner.image_worlds import answer, expected
from visprog.errors import Refused
from visprog.planner.base import PlanRequest
from visprog.planner.embedded.image_requests import image_program
from visprog.planner.embedded.image_requests.measures import BLURRED, SHARP
from visprog.planner.embedded.image_requests.reader import _OF_ONE, _OF_SEVERAL
from visprog.planner.embedded.image_requests.sentence import canonical
from visprog.planner.embedded.planner import EmbeddedPlanner, load_words
from visprog.registry import Registry, default_registry
from visprog.registry.sees import Sees
from visprog.tools.words.labels import ClassPhrases, Labels
from visprog.values import Region
from visprog.values.image import Image

HERE = Path(__file__).parent
REQUESTS: list[tuple[int, str, str]] = yaml.safe_load((HERE / "image_requests.yaml").read_text("utf-8"))
NEAR_MISSES: list[tuple[int, str]] = yaml.safe_load((HERE / "image_near_misses.yaml").read_text("utf-8"))
PLANNER = EmbeddedPlanner()


def seeing(sees: Sees) -> Registry:
    """The tools, with a `detect` that sees this."""
    return Registry(
        replace(tool, sees=sees) if name == "detect" else tool for name, tool in default_registry().items()
    )


def program(request: str, images: int = 1, returns: Any = None, tools: Registry | None = None) -> str | None:
    """The program for a request; None if it is none of the forms, or refused."""
    try:
        given = PlanRequest(request, images, returns, default_registry() if tools is None else tools)
        return image_program(given, load_words())
    except Refused:
        return None


def refusal(request: str, images: int = 1, returns: Any = None, tools: Registry | None = None) -> str:
    with pytest.raises(Refused) as error:
        PLANNER.plan(PlanRequest(request, images, returns, default_registry() if tools is None else tools))
    return str(error.value)


# -- what is understood ------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(8))
def test_requests_are_answered_as_they_are_meant(part: int) -> None:
    for images, request, expression in REQUESTS[part::8]:
        (plan,) = PLANNER.plan(PlanRequest(request, images))
        assert answer(plan.program, images) == expected(expression, images), (request, plan.program)


def test_each_sentence_of_a_form_is_said_by_somebody() -> None:
    texts = [(canonical(request), images) for images, request, _ in REQUESTS]
    for patterns, several in ((_OF_ONE, False), (_OF_SEVERAL, True)):
        unsaid = {build.__name__ for _, build in patterns}
        for pattern, build in patterns:
            if any(pattern.fullmatch(text) for text, images in texts if (images > 1) is several):
                unsaid.discard(build.__name__)
        assert not unsaid


def test_edits_follow_each_other() -> None:
    made = program("Rotate it by 90 degrees, make it 800 pixels wide and then convert it to black and white")
    assert made is None  # a comma joins no edits
    made = program(
        "Rotate it by 90 degrees and make it 320 pixels wide and then convert it to black and white"
    )
    assert made is not None
    assert answer(made, 1) == expected("grayscale(resize(rotate(image, 90), 320))", 1)
    assert program("Rotate it by 90 degrees and tell me a joke") is None
    assert program("Rotate it and make it 320 pixels wide") is None


def test_a_program_says_what_was_done_and_measured() -> None:
    for request, part in (
        ("Rotate it left", "rotated by 90 degrees counterclockwise"),
        ("Make it 800 pixels wide", "pixels, now"),
        ("Make it brighter", "brightness times 1.3"),
        ("Is it blurry?", f"blurred below {BLURRED}, sharp from {SHARP}"),
        ("How bright is it?", "from 0 (black) to 100 (white)"),
        ("What is the size of the image?", "in pixels"),
        ("How much of the image is covered by people?", "in percent of the area"),
    ):
        made = program(request)
        assert made is not None and part in made


# -- what is not -------------------------------------------------------------------------------------------


def test_what_only_looks_alike_is_none_of_the_forms() -> None:
    answered = [request for images, request in NEAR_MISSES if program(request, images)]
    assert answered == []


@pytest.mark.parametrize(
    "request_",
    ["Rotate the car", "What is the file size of this image?", "What is the size of the dog?", "Resize it",
     "Read the barcode on the red box", "Crop to the largest face that smiles", "How much of the image is fun?",
     "Make it 0 pixels wide", "Don't rotate it by 90 degrees"],
)  # fmt: skip
def test_what_only_looks_alike_is_refused(request_: str) -> None:
    assert "let a language model plan" in refusal(request_)


def test_a_refusal_names_the_words_and_a_request_that_is_known() -> None:
    message = refusal("Rotate by 90 apples")
    assert "not understood: 'apples'" in message and "'Rotate it by 90 degrees'" in message
    assert "not understood: 'on the red box'" in refusal("Read the barcode on the red box")
    assert "of a file are not seen" in refusal("What is the file size of this image?")


@pytest.mark.parametrize(
    ("request_", "images"),
    [("Which of these three photos is sharper?", 2), ("Which photo is sharper?", 3), ("What changed?", 3),
     ("Is the third image sharper than the first?", 2), ("Is the first image sharper than the first?", 2),
     ("Make a collage with 5 columns", 3), ("Put these four images side by side", 3)],
)  # fmt: skip
def test_the_number_of_images_must_be_that_of_the_request(request_: str, images: int) -> None:
    assert program(request_, images) is None


def test_objects_must_be_seen_by_the_backend_in_force() -> None:
    coco = seeing(Sees(phrases={"what": ClassPhrases(Labels.coco(), "some.onnx")}))
    made = program("Remove the cars", tools=coco)
    assert made is not None and 'detect(image, "cars")' in made
    assert "spaceship" in refusal("Remove the spaceship", tools=coco)
    assert program("Remove the car on the left", tools=coco) is None
    anything = seeing(Sees())
    for request in ("Remove the red eyes", "Remove the second car", "Remove the biggest cars", "Remove it"):
        assert program(request, tools=anything) is None, request
    one = program("Remove the dog", tools=anything)
    assert one is not None and answer(one, 1) == "NothingFound"  # two are seen, and one is meant


def test_tools_that_are_left_out_are_not_used() -> None:
    left = Registry(
        tool for name, tool in default_registry().items() if name not in ("grayscale", "find_faces")
    )
    assert program("Convert it to black and white", tools=left) is None
    assert program("Pixelate all faces", tools=left) is None
    assert program("Rotate it left", tools=left) is not None


def test_tools_in_the_place_of_ours_are_not_used() -> None:
    from visprog import tool

    @tool(replace=True)
    def sharpness(image: Image) -> float:
        """Variance of the Laplacian, in squared grey levels."""
        return 400.0

    own = default_registry() | Registry([sharpness])
    assert program("Is this photo blurry?", tools=own) is None
    assert program("Is this photo dark?", tools=own) is not None


def test_the_other_images_are_asked_for() -> None:
    for request in (
        "Put these images side by side",
        "What changed between these two images?",
        "Are they identical?",
    ):
        assert program(request) is None
    assert "give the others too" in refusal("Put these images side by side")
    assert "give the others too" in refusal("Spot the differences")


@pytest.mark.parametrize(
    ("request_", "expression"),
    [("Scale it down by a factor of 2", "resize(image, 320)"), ("Shrink it by a factor of 4", "resize(image, 160)"),
     ("Enlarge it by a factor of 2", "resize(image, 1280)"), ("Shrink it by 25%", "resize(image, 480)"),
     ("Make it 25 % larger", "resize(image, 800)"), ("Make it twice as dark", "brighten(image, 0.5)"),
     ("Rotate it by -90 degrees", "rotate(image, -90)"), ("Resize it to 1,280 x 720", "resize(image, 1280, 720)")],
)  # fmt: skip
def test_numbers_are_taken_as_they_are_meant(request_: str, expression: str) -> None:
    assert answer(program(request_) or "", 1) == expected(expression, 1)


def test_answers_have_the_type_that_is_asked_for() -> None:
    assert answer(program("What is the size of this image?", returns=str) or "", 1) == "640 × 480 pixels"
    assert answer(program("How bright is this image?", returns=int) or "", 1) == 70
    assert "an image" in refusal("Rotate it left", returns=bool)
    assert program("Rotate it left", returns=Image) is not None
    assert "true or false" in refusal("Is it blurry?", returns=list[Region])


@pytest.mark.parametrize(
    ("question", "language"),
    [("Was ist auf dem Schild?", "German"), ("Fais pivoter la photo de 90 degrés", "French"),
     ("¿Cuántas sillas hay?", "Spanish"), ("Quante persone ci sono?", "Italian"),
     ("この写真はぼやけていますか", "another script")],
)  # fmt: skip
def test_other_languages_are_refused_by_their_name(question: str, language: str) -> None:
    assert f"which seems to be in {language}, and it reads English alone" in refusal(question)


@pytest.mark.parametrize(
    "text", ["", " ", "?" * 500, "rotate " * 200, "it " * 39, "rotate it by " + "9" * 400]
)
def test_odd_texts_are_read_at_once(text: str) -> None:
    assert program(text) is None


# -- with the real tools -----------------------------------------------------------------------------------


def scene(width: int = 320, height: int = 240) -> np.ndarray[Any, Any]:
    import cv2

    pixels = np.full((height, width, 3), 90, np.uint8)
    for x, y, r, level in (
        np.random.default_rng(1).integers([0, 0, 3, 0], [width, height, 30, 255], (150, 4)).tolist()
    ):
        cv2.rectangle(pixels, (x, y), (x + r, y + r), (level, 255 - level, level // 2), -1)
    return pixels


def test_real_tools_answer_and_leave_what_is_unclear(tmp_path: Path) -> None:
    import cv2

    import visprog as vp

    sharp = scene()
    images = {sigma: Image(cv2.GaussianBlur(sharp, (0, 0), sigma)) for sigma in (0.8, 4.0)} | {
        0: Image(sharp)
    }
    with vp.Agent() as agent:
        assert agent.ask("Is this photo blurry?", images[0]).unwrap() is False
        assert agent.ask("Is this photo blurry?", images[4.0]).unwrap() is True
        unclear = agent.ask("Is this photo blurry?", images[0.8])
        assert unclear.status == "refused" and "neither blurred (below 0.45) nor sharp" in unclear.message
        found = agent.ask("Which of these two photos is sharper?", images[4.0], images[0])
        assert found.unwrap() == 2 and "sharpness, 0 to 1: image 1" in found.stdout
        assert agent.ask("Is it blurry?", Image(np.full((90, 90, 3), 70, np.uint8))).status == "refused"
        turned = agent.ask("Rotate it by 90 degrees", images[0])
        assert turned.unwrap().size == (240, 320) and "320 × 240 pixels, now 240 × 320" in turned.stdout
        grey = agent.ask("Convert it to black and white", images[0]).unwrap()
        assert (np.ptp(grey.pixels, axis=2) == 0).all()
        side = agent.ask("Put these images side by side", images[0], images[4.0]).unwrap()
        assert side.width > 640


def test_the_command_saves_an_edit_and_keeps_the_image(tmp_path: Path) -> None:
    from visprog.cli import main

    given, out = tmp_path / "photo.png", tmp_path / "out.png"
    PIL.Image.fromarray(scene()).save(given)
    before = given.read_bytes()
    assert main(["ask", str(given), "Rotate it by 90 degrees", "--save", str(out)]) == 0
    assert PIL.Image.open(out).size == (240, 320)
    assert main(["ask", str(given), "Rotate it by 90 degrees", "--save", str(given)]) != 0
    assert given.read_bytes() == before
