"""Results of tools as people return them: records, iterators, and coordinates in the frame of a crop."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from tests.small_tools import picture
from visprog.check.dry_run import dry_run
from visprog.errors import ToolDefinitionError, ToolError
from visprog.registry import Registry, Tool, tool
from visprog.runtime.host import Host
from visprog.values import Box, Mask, Point, Region
from visprog.values.image import Image

IMAGE = picture(100, 80)
CROP = IMAGE.crop(Box(40, 30, 100, 80))


@dataclass
class Score:
    name: str
    value: float


class Pair(NamedTuple):
    first: Score
    second: int


@dataclass
class Node:
    children: list[Node]


class Tree(TypedDict):
    children: list[Tree]


def returning(value: Any, annotation: Any) -> Tool:
    def give(image: Image) -> Any:
        """Gives."""
        return value() if callable(value) else value

    give.__annotations__["return"] = annotation
    return tool(give)


def each(*values: Any) -> Iterator[Any]:
    yield from values


ONE = {"name": "a", "value": 1.0}


@pytest.mark.parametrize(
    ("value", "annotation", "signature", "expected"),
    [
        (Score("a", 1.0), Score | None, "dict[str, str | float] | None", ONE),
        (None, Score | None, "dict[str, str | float] | None", None),
        ({"k": Score("a", 1.0)}, dict[str, Score], "dict[str, dict[str, str | float]]", {"k": ONE}),
        ((Score("a", 1.0), 3), tuple[Score, int], "tuple[dict[str, str | float], int]", (ONE, 3)),
        (Pair(Score("a", 1.0), 3), Pair, "tuple[dict[str, str | float], int]", (ONE, 3)),
        ([[Score("a", 1.0)]], list[list[Score]], "list[list[dict[str, str | float]]]", [[ONE]]),
        (lambda: each(Score("a", 1.0)), Iterator[Score], "list[dict[str, str | float]]", [ONE]),
        (lambda: each(1, 2), Generator[int, None, None], "list[int]", [1, 2]),
        ({"a": np.int64(1)}, Mapping[str, int], "dict[str, int]", {"a": 1}),
    ],
)
def test_records_and_iterators_at_any_depth(
    value: Any, annotation: Any, signature: str, expected: Any
) -> None:
    give = returning(value, annotation)
    assert give.signature == f"give(image: Image) -> {signature}"
    assert Host(Registry([give])).new_run().call(give, IMAGE) == expected


@dataclass
class Segmented:
    count: int
    regions: list[Region]
    overlay: NDArray[np.uint8]


@tool
def segmented(image: Image) -> Segmented:
    """Things, and an image of them."""
    return Segmented(2, [image.region((1, 1, 5, 5), "x")], np.zeros((4, 5, 3), np.uint8))


def test_the_check_knows_the_keys_of_a_record() -> None:
    registry = Registry([segmented])
    assert segmented.signature.endswith("-> dict[str, int | list[Region] | Image]")
    assert segmented(IMAGE)["overlay"].size == (5, 4)  # type: ignore[index]
    for key, codes in (("count", []), ("counted", ["may-fail"])):
        program = f"def answer(image):\n    return segmented(image)['{key}'] + 1\n"
        assert [d.code for d in dry_run(program, registry)] == codes


def test_a_key_that_the_type_lacks_is_an_error() -> None:
    class Sizes(TypedDict):
        width: int

    give = returning({"width": np.int64(3)}, Sizes)
    assert give(IMAGE) == {"width": 3}
    with pytest.raises(ToolError, match="its type has no key 'height'"):
        returning({"height": 3}, Sizes)(IMAGE)


class Options(TypedDict, total=False):
    times: int


def test_a_typed_dict_as_a_parameter() -> None:
    @tool
    def repeated(image: Image, options: Options | None = None) -> int:
        """Some."""
        return (options or {}).get("times", 1)

    @tool
    def turned(image: Image, options: Options) -> int:
        """Some."""
        return options["times"]

    assert repeated(IMAGE, {"times": 3}) == 3
    assert turned.doc == "Some.\n\nKeys of 'options': times (int)."
    assert turned.schema()["properties"]["options"]["properties"] == {"times": {"type": "integer"}}
    with pytest.raises(
        ToolError, match=r"'options' must be dict\[str, int\], not dict: its type has no key 'time'"
    ):
        turned(IMAGE, {"time": 3})  # type: ignore[typeddict-unknown-key, typeddict-item]


def test_a_record_that_holds_itself_is_refused() -> None:
    for record in (Node, Tree):
        with pytest.raises(ToolDefinitionError, match=f"{record.__name__} holds itself"):
            returning(None, record)


def test_a_record_whose_fields_cannot_be_read_is_refused() -> None:
    @dataclass
    class Local:
        inner: Unknown  # type: ignore[name-defined]  # what a class of a function looks like  # noqa: F821

    with pytest.raises(ToolDefinitionError, match="fields of its result cannot be read: name 'Unknown'"):
        returning(None, Local)


# -- coordinates ---------------------------------------------------------------------------------


@tool
def found(image: Image) -> list[Region]:
    """In the frame of the root, as built-in tools say it."""
    return [image.region((1, 2, 11, 12), "x")]


@tool
def by_pil(image: PIL.Image.Image) -> list[Region]:
    """Asks another tool about pixels that have lost their place."""
    return found(image)  # type: ignore[arg-type]


@tool
def by_array(image: NDArray[np.uint8]) -> list[Region]:
    """The same with an array."""
    return found(image)  # type: ignore[arg-type]


@tool
def by_copy(image: Image) -> list[Region]:
    """Takes an image, and loses its place on the way."""
    return found(image.to_pil())  # type: ignore[arg-type]


@pytest.mark.parametrize("find", [by_pil, by_array, by_copy])
@pytest.mark.parametrize("image", [IMAGE, CROP, CROP.crop(Box(60, 40, 100, 80))])
def test_pixels_that_lost_their_place_on_the_way_to_another_tool(find: Tool, image: Image) -> None:
    (region,) = Host(Registry([found, find])).new_run().call(find, image)
    assert region.box == image.to_root(Box(1, 2, 11, 12)) and region.image is IMAGE


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        ((1, 2, 11, 12), Box),
        (np.array([[1, 2, 11, 12]], np.float32), list[Box]),
        ((1, 2), Point),
        (Box(1, 2, 11, 12), Box),
        (Point(1, 2), Point),
        (Mask(np.ones((5, 5), bool), Box(1, 2, 6, 7)), Mask),
    ],
)
def test_coordinates_of_a_crop_that_have_no_frame_are_an_error(value: Any, annotation: Any) -> None:
    give = returning(value, annotation)
    give(IMAGE)
    with pytest.raises(ToolError, match=r"image\.to_root"):
        give(CROP)


def test_what_a_tool_of_pixels_returns_lies_in_these() -> None:
    @tool
    def spots(image: NDArray[np.uint8]) -> list[Mask | Box | Point]:
        """Spots."""
        pixels = np.zeros(image.shape[:2], bool)
        pixels[2:4, 1:6] = True
        return [Mask.tight(pixels), pixels, (1, 2, 6, 4), Point(1, 2)]  # type: ignore[list-item]

    tight, whole, box, point = spots(CROP)  # type: ignore[arg-type]
    assert tight.box == whole.box == box == Box(41, 32, 46, 34) and point == Point(41, 32)


def test_an_array_may_be_drawn_on() -> None:
    @tool
    def blackened(image: NDArray[np.uint8]) -> Image:
        """Black."""
        image[:] = 0
        return image  # type: ignore[return-value]

    before = IMAGE.pixels.copy()
    assert blackened(IMAGE).pixels.max() == 0  # type: ignore[arg-type]
    assert (IMAGE.pixels == before).all()


@tool
def change(before: Image, after: Image) -> list[Region]:
    """Where two images differ."""
    return [Region(Box(1, 1, 5, 5), "x")]


@tool
def shared(images: list[Image]) -> list[Region]:
    """What all images show."""
    return [Region(Box(1, 1, 5, 5), "x")]


def test_regions_of_several_images() -> None:
    run = Host(Registry([change, shared])).new_run()
    other = CROP.crop(Box(50, 40, 90, 70))
    assert run.call(change, IMAGE, IMAGE)[0].image is IMAGE
    assert run.call(shared, [IMAGE])[0].image is IMAGE
    assert run.call(change, IMAGE, picture(90, 90))[0].image is None
    for call in (
        lambda: run.call(change, CROP, other),
        lambda: run.call(shared, [CROP, other]),
        lambda: run.call(shared, [CROP]),
    ):
        with pytest.raises(ToolError, match="did not say in which image it lies"):
            call()


@pytest.mark.parametrize("value", [[((1, 2, 3, 4), "x", 0.5)], [{"box": (1, 2, 3, 4)}]])
def test_raw_detections_are_told_how_to_become_regions(value: Any) -> None:
    with pytest.raises(ToolError, match=r"must return list\[Region\].*make it with image\.region\("):
        returning(value, list[Region])(IMAGE)
