"""Tools as people write them: with PIL, NumPy and torch, around a detector, calling other tools."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pydoc
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from tests.small_tools import REGISTRY, picture
from visprog.config import Config, ToolConfig
from visprog.errors import ToolDefinitionError, ToolError
from visprog.registry import Registry, Tool, caution, tool
from visprog.runtime.host import Host, RunEnded, with_backends
from visprog.values import Box, Circle, Mask, Point, Region
from visprog.values.image import Image

IMAGE = picture(100, 80)
CROP = IMAGE.crop(Box(40, 30, 100, 80))


class Tensor:
    """Looks like a tensor of torch, which need not be installed."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)
        self.ndim, self.shape = self.values.ndim, self.values.shape

    def numel(self) -> int:
        return int(self.values.size)

    def item(self) -> Any:
        return self.values.item()

    def tolist(self) -> Any:
        return self.values.tolist()

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> NDArray[Any]:
        return self.values


def returning(value: Any, annotation: Any) -> Tool:
    """A tool of one image that returns this."""

    def give(image: Image) -> Any:
        """Gives."""
        return value() if callable(value) else value

    give.__annotations__["return"] = annotation
    return tool(give)


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (np.bool_(True), bool, True),
        (np.array([1, 2]).mean() > 1, bool, True),
        (Tensor(True), bool, True),
        (np.int64(3), int, 3),
        (Tensor([3]), int, 3),
        (np.float32(0.5), float, 0.5),
        (np.float64(0.5), float, 0.5),
        (np.longdouble(0.5), float, 0.5),
        (np.array(2.5), float, 2.5),
        (Tensor(0.5), float, 0.5),
        (np.str_("a"), str, "a"),
        (np.int8(1), int | None, 1),
        (np.array([1.0, 2.0]), list[float], [1.0, 2.0]),
        (lambda: (n for n in (1, 2)), list[int], [1, 2]),
        ({"a": np.float32(1)}, dict[str, float], {"a": 1.0}),
        ((np.int32(1), "x"), tuple[int, str], (1, "x")),
        (np.array([1, 2, 3, 4.0]), Box, Box(1, 2, 3, 4)),
        ((5, 6), Point, Point(5, 6)),
    ],
)
def test_numbers_and_arrays_become_the_values_that_they_stand_for(
    value: Any, annotation: Any, expected: Any
) -> None:
    made = Host(Registry([each := returning(value, annotation)])).new_run().call(each, IMAGE)
    assert made == expected and type(made) is type(expected)
    if isinstance(made, list):
        assert [type(v) for v in made] == [type(v) for v in expected]


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        (np.int64(1), bool, "must return bool, not numpy.int64"),
        (np.float32(1), int, "must return int, not numpy.float32"),
        (np.zeros(3), float, r"must return float, not numpy.ndarray of shape \(3,\)"),
        (np.zeros((5, 5)), bool, r"not numpy.ndarray of shape \(5, 5\)"),
        ("abc", list[str], r"must return list\[str\], not str"),
        ({"a": 1}, list[str], "not dict"),
        ([{"box": 1}], list[Region], r"must return list\[Region\], not list\[dict\]"),
        ((5, 2, 3, 4), Box, "left <= right"),
        (PIL.Image.new("L", (2, 2)), float, "must return float, not PIL.Image"),
        ("a.png", Image, "must return Image, not str"),
        (np.zeros((2, 2), complex), Image, "must return Image, not numpy.ndarray"),
        (np.zeros((3, 3), bool), Mask, "does not fit an image of height 80 and width 100"),
    ],
)
def test_what_cannot_be_the_result_is_named_with_its_module(
    value: Any, annotation: Any, message: str
) -> None:
    each = returning(value, annotation)
    with pytest.raises(ToolError, match=message):
        Host(Registry([each])).new_run().call(each, IMAGE)


def test_values_take_numbers_of_any_library() -> None:
    xyxy = np.array([1, 2, 30, 40], np.float32)
    region = Region(Box(*xyxy), np.str_("dog"), np.float32(0.5))
    assert region == Region(xyxy, "dog", 0.5) == Region(Tensor(xyxy).tolist(), "dog", Tensor(0.5))  # type: ignore[arg-type]
    assert [type(v) for v in (region.left, region.score, region.label)] == [float, float, str]


@pytest.mark.parametrize("field", ["image", "mask"])
def test_a_region_of_bare_pixels_names_the_way(field: str) -> None:
    with pytest.raises(
        ValueError, match=rf"Region.{field} must be an? (Image|Mask), not ndarray: .*image.region\("
    ):
        Region(Box(0, 0, 5, 5), "dog", 0.5, **{field: np.zeros((5, 5), bool)})


@tool
def darkest(image: PIL.Image.Image, gray: NDArray[np.uint8], few: list[PIL.Image.Image] | None = None) -> int:
    """Least value."""
    assert isinstance(image, PIL.Image.Image) and isinstance(gray, np.ndarray)
    assert few is None or all(isinstance(each, PIL.Image.Image) for each in few)
    return min(gray.min(), image.getextrema()[0][0])


def test_a_tool_may_work_on_pil_images_and_arrays(tmp_path: Any) -> None:
    assert darkest.signature == "darkest(image: Image, gray: Image, few: list[Image] | None = None) -> int"
    assert Host(Registry([darkest])).new_run().call(darkest, IMAGE, CROP, [IMAGE]) == 20
    IMAGE.save(tmp_path / "a.png")
    assert darkest(str(tmp_path / "a.png"), IMAGE.to_pil()) == 20  # type: ignore[arg-type]
    assert darkest(tmp_path / "a.png", IMAGE.pixels) == 20


def test_a_program_cannot_name_a_file_as_an_image(tmp_path: Any) -> None:
    IMAGE.save(tmp_path / "a.png")
    with pytest.raises(ToolError, match="'image' must be Image, not str"):
        Host(Registry([darkest])).new_run().call(darkest, str(tmp_path / "a.png"), IMAGE)


def test_an_image_may_be_returned_as_pil_or_array() -> None:
    def half(image: PIL.Image.Image) -> PIL.Image.Image:
        """Half the size."""
        return image.reduce(2)

    def dark(image: Image) -> NDArray[np.uint8]:
        """Darker."""
        return image.pixels // 2

    for function, size in ((half, (50, 40)), (dark, (100, 80))):
        each = tool(function)
        assert each.signature.endswith("(image: Image) -> Image")
        assert Host(Registry([each])).new_run().call(each, IMAGE).size == size


# -- where things lie ----------------------------------------------------------------------------


@tool
def by_region(image: Image) -> list[Region]:
    """By image.region."""
    return [image.region(np.array([50.0, 10, 70, 20]), "x", np.float32(0.5))]


@tool
def by_image(image: Image) -> list[Region]:
    """With the image that it was given."""
    return [Region(Box(50, 10, 60, 20), "x", 0.5, image)]


@tool
def by_pil(image: PIL.Image.Image) -> list[Region]:
    """From bare pixels."""
    return [Region((50, 10, 60, 20), "x", 0.5)]  # type: ignore[arg-type]


@tool
def by_root(image: Image) -> list[Region]:
    """In the frame of the root, as built-in tools do."""
    return [Region(image.to_root(Box(50, 10, 60, 20)), "x", 0.5, image.root)]


@pytest.mark.parametrize("find", [by_region, by_image, by_pil, by_root])
def test_what_is_found_in_a_crop_is_expressed_in_the_frame_of_the_root(find: Tool) -> None:
    run = Host(Registry([find])).new_run()
    (whole,), (part,) = run.call(find, IMAGE), run.call(find, CROP)
    assert whole.box.left == 50 and whole.box.top == 10
    assert part.box == Box(90, 40, 100, 50)
    deeper = CROP.crop(Box(45, 35, 100, 80))
    if find is not by_region:  # there the box reaches over the edge
        assert run.call(find, deeper)[0].box == Box(95, 45, 105, 55)
    assert whole.image is IMAGE and part.image is IMAGE
    assert find(CROP) == [part]


@tool
def lost(image: Image) -> list[Region]:
    """Says not in which image."""
    return [Region(Box(1, 1, 5, 5), "x")]


@tool
def misplaced(image: Image) -> list[Region]:
    """Its own pixels, with the root."""
    return [Region(Box(1, 1, 5, 5), "x", 1.0, image.root)]


def test_a_region_of_a_crop_that_nobody_can_place_is_an_error() -> None:
    run = Host(Registry([lost, misplaced])).new_run()
    assert run.call(lost, IMAGE)[0].image is IMAGE
    with pytest.raises(ToolError, match=r"make it with image.region\("):
        run.call(lost, CROP)
    with pytest.raises(ToolError, match=r"outside the crop .* image.region\("):
        run.call(misplaced, CROP)


def test_shapes_and_masks_are_placed_alike() -> None:
    @tool
    def rings(image: PIL.Image.Image) -> list[Circle | Point]:
        """Rings."""
        return [Circle((5, 5), 3), Point(1, 1)]  # type: ignore[arg-type]

    @tool
    def stain(image: PIL.Image.Image) -> Mask:
        """Its pixels."""
        return np.asarray(image)[..., 0] > 100

    run = Host(Registry([rings, stain])).new_run()
    circle, point = run.call(rings, CROP)
    assert circle.center == Point(45, 35) and circle.image is IMAGE and point == Point(41, 31)
    assert run.call(stain, CROP).box == Box(40, 30, 100, 80)


@pytest.mark.parametrize(
    ("box", "mask", "message"),
    [
        ((0.1, 0.2, 0.5, 0.6), None, "multiply by image.width"),
        ((200, 10, 220, 30), None, "outside the image of 100 x 80"),
        ((30, 10, 20, 30), None, "left <= right"),
        ((1, 2, 3), None, "four numbers"),
        (None, None, "needs a box"),
        (None, np.zeros((5, 5), bool), "does not fit an image of height 80 and width 100"),
        (None, np.full((80, 100), 3.0), "probabilities"),
    ],
)
def test_numbers_that_cannot_be_a_region_are_refused(box: Any, mask: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IMAGE.region(box, "x", mask=mask)


def test_a_region_is_cut_to_the_image_and_may_be_made_of_a_mask() -> None:
    assert IMAGE.region((-5, -5, 300, 20.5)).box == Box(0, 0, 100, 20.5)
    spot = np.zeros((1, 50, 60), np.float32)
    spot[0, 10:20, 5:15] = 0.9
    region = CROP.region(None, "spot", mask=Tensor(spot))
    assert region.box == Box(45, 40, 55, 50) and region.mask is not None and region.mask.area == 100


# -- what may be a tool --------------------------------------------------------------------------


class Scorer:
    """Scores images."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    @tool
    def width(self, image: Image) -> int:
        """Width, times the factor."""
        return self.factor * image.width

    def height(self, image: Image) -> int:
        """Height, times the factor."""
        return self.factor * image.height

    def __call__(self, image: Image) -> int:
        return self.factor


async def waiting(image: Image) -> int:
    """Comes late."""
    await asyncio.sleep(0)
    return image.width


def scaled(image: Image, factor: int, less: int = 0) -> int:
    """Width, scaled."""
    return image.width * factor - less


@pytest.mark.parametrize(
    ("each", "signature", "expected"),
    [
        (Scorer(2).width, "width(image: Image) -> int", 200),
        (tool(Scorer(3).height), "height(image: Image) -> int", 240),
        (tool(name="score")(Scorer(4)), "score(image: Image) -> int", 4),
        (tool(waiting), "waiting(image: Image) -> int", 100),
        (tool(functools.partial(scaled, factor=3)), "scaled(image: Image, less: int = 0) -> int", 300),
    ],
)
def test_async_functions_methods_objects_and_partials(each: Tool, signature: str, expected: int) -> None:
    assert each.signature == signature
    assert Host(Registry([each])).new_run().call(each, IMAGE) == each(IMAGE) == expected

    async def in_a_loop() -> int:
        return each(IMAGE)

    assert asyncio.run(in_a_loop()) == expected


def test_the_signature_of_a_method_is_that_of_a_call() -> None:
    class Finder:
        @tool
        def find(self, image: Image, what: str) -> int:
            """Finds."""
            return 1

    assert list(inspect.signature(Finder().find).parameters) == ["image", "what"]
    assert "def find(self" in inspect.getsource(Finder().find)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["len", "print", "math", "open", "Image", "Region", "answer", "image"])
def test_a_name_that_means_something_else_in_programs_is_refused(name: str) -> None:
    with pytest.raises(ToolDefinitionError, match=f"'{name}' means something else in programs; pass name="):

        @tool(name=name)
        def some(image: Image) -> int:
            """Some."""
            return 1


def test_what_cannot_be_a_tool_names_the_way_out() -> None:
    def starred(image: Image, *more: int) -> int:
        """Starred."""
        return 1

    def tensor(image: Image) -> Tensor:
        """A tensor."""
        raise NotImplementedError

    def made(cls: type, image: Image) -> int:
        """Made."""
        return 1

    for function, message in (
        (starred, r"'\*more' cannot be described"),
        (tensor, r"Tensor: write Image if it is an image .* list\[float\]"),
        (classmethod(made), r"outside of its class: tool\(TheClass.made\)"),
    ):
        with pytest.raises(ToolDefinitionError, match=message):
            tool(function)  # type: ignore[arg-type]


def test_a_method_without_its_object_is_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="give it as an attribute of an object"):
        Registry([Scorer.width])  # type: ignore[list-item]


class Score(TypedDict):
    """A score."""

    name: str
    value: float


@dataclass
class Reading:
    """A reading."""

    unit: str
    values: list[float]


class Pair(NamedTuple):
    """A pair."""

    first: int
    second: str


def test_records_are_dicts_for_programs() -> None:
    each = returning(Reading("mm", [1.0]), Reading)
    assert each.signature.endswith("-> dict[str, str | list[float]]")
    assert each.doc.endswith("Keys of the result: unit (str), values (list[float]).")
    run = Host(Registry([each])).new_run()
    assert run.call(each, IMAGE) == {"unit": "mm", "values": [1.0]}
    for value, annotation, expected in (
        ([Reading("mm", [])], list[Reading], [{"unit": "mm", "values": []}]),
        ({"name": "a", "value": np.float32(1)}, Score, {"name": "a", "value": 1.0}),
        (Pair(1, "a"), Pair, (1, "a")),
    ):
        each = returning(value, annotation)
        assert Host(Registry([each])).new_run().call(each, IMAGE) == expected


def test_help_shows_the_function() -> None:
    text = pydoc.plain(pydoc.render_doc(darkest))
    assert "darkest(image: 'PIL.Image.Image'" in text and "Least value." in text and "Attributes:" not in text
    assert inspect.signature(tool(scaled)) == inspect.signature(scaled)
    assert (darkest.__name__, darkest.__doc__, darkest.__module__) == ("darkest", "Least value.", __name__)  # type: ignore[attr-defined]
    assert repr(darkest) == f"<tool {darkest.signature}>"


# -- tools that call tools -----------------------------------------------------------------------


@tool
def inner(image: Image, what: str) -> list[Region]:
    """Finds one."""
    return [image.region((0, 0, 5, 5), what)]


class TwoFound:
    """A backend that finds two."""

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return [[c["image"].region((0, 0, 5, 5), c["what"])] * 2 for c in calls]


@tool(backends={"one": f"{__name__}:OneFound", "two": TwoFound})
def finder(image: Image, what: str) -> list[Region]:
    """Finds some."""
    raise NotImplementedError


class OneFound:
    """A backend that finds one."""

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return [[c["image"].region((0, 0, 5, 5), c["what"])] for c in calls]


@tool
def count(image: Image, what: str) -> int:
    """Number of those."""
    return len(finder(image, what))


def test_a_tool_that_calls_another_goes_through_the_host() -> None:
    registry = Registry([finder, count])
    run = Host(registry, Config(tools={"finder": ToolConfig("two")})).new_run()
    assert run.call(count, IMAGE, "dog") == 2
    assert [(c.tool, c.caller, c.backend) for c in run.calls] == [
        ("finder", "count", "two"),
        ("count", "", ""),
    ]
    run.call(finder, IMAGE, "dog")
    assert run.calls[-1].cached and run.calls[-1].caller == ""


def test_a_tool_in_a_tool_has_the_backend_that_an_agent_is_given() -> None:
    registry, config = with_backends(Registry([finder, count]), Config(), {"finder": TwoFound})
    run = Host(registry, config).new_run()
    assert run.call(count, IMAGE, "dog") == 2
    assert run.calls[0].backend == "TwoFound"


def test_a_replacement_and_what_it_replaces_are_cached_apart() -> None:
    @tool(name="measure")
    def first(image: Image) -> int:
        """One."""
        return 1

    @tool(name="measure", replace=True)
    def second(image: Image) -> int:
        """Two."""
        return 2

    @tool
    def asks_first(image: Image) -> int:
        """One, by the tool that was replaced."""
        return first(image)

    run = Host(Registry([first, second, asks_first])).new_run()
    assert [run.call(t, IMAGE) for t in (asks_first, second, asks_first)] == [1, 2, 1]


def test_a_tool_in_a_tool_uses_up_the_budget() -> None:
    run = Host(Registry([finder, count]), Config(calls=1)).new_run()
    run.call(count, IMAGE, "dog")
    with pytest.raises(RunEnded, match="more than 1 tool calls"):
        run.call(count, IMAGE, "cat")


def test_a_tool_that_calls_itself_is_an_error() -> None:
    @tool
    def again(image: Image) -> int:
        """Again."""
        return again(image) + 1

    run = Host(Registry([again])).new_run()
    with pytest.raises(ToolError, match="again calls itself"):
        run.call(again, IMAGE)


def test_two_tools_that_call_each_other_in_two_threads_end() -> None:
    ready = threading.Barrier(2, timeout=20)

    @tool(cache=False)
    def ping(image: Image, deep: bool) -> int:
        """Calls pong."""
        if deep:
            ready.wait()
            return pong(image, False)
        return 1

    @tool(cache=False)
    def pong(image: Image, deep: bool) -> int:
        """Calls ping."""
        if deep:
            ready.wait()
            return ping(image, False)
        return 2

    host = Host(Registry([ping, pong]))
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda t=t: found.append(host.new_run().call(t, IMAGE, True)), daemon=True)
        for t in (ping, pong)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(found) == [1, 2]


def test_a_tool_that_must_not_be_cached() -> None:
    numbers = iter(range(10))

    @tool(cache=False)
    def clock(image: Image) -> int:
        """Counts."""
        return next(numbers)

    run = Host(Registry([clock])).new_run()
    assert [run.call(clock, IMAGE) for _ in range(2)] == [0, 1]


def test_one_tool_may_take_the_place_of_another() -> None:
    @tool(name="finder", replace=True)
    def mine(image: Image, what: str) -> list[Region]:
        """Mine, that asks the other first."""
        return [*finder(image, what), image.region((5, 5, 9, 9), what)]

    for registry in (Registry([finder, mine]), Registry([mine, finder]), Registry([finder]) | [mine]):
        assert registry["finder"] is mine
        run = Host(registry, Config(tools={"finder": ToolConfig("two")})).new_run()
        assert len(run.call(mine, IMAGE, "dog")) == 3
    with pytest.raises(ToolDefinitionError, match=r"@tool\(replace=True\)"):
        Registry([REGISTRY["detect"], tool(name="detect")(lambda_free)])


def lambda_free(image: Image) -> int:
    """Doc."""
    return 1


def test_a_tool_that_is_defined_again_is_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    space: dict[str, Any] = {"__name__": "__main__"}
    cell = (
        "from visprog import Image, tool\n@tool\ndef again(image: Image) -> int:\n    'Doc.'\n    return 1\n"
    )
    exec(cell, space)
    exec(cell, space)
    assert not recwarn.list  # no agent has it yet
    registry = Registry([old := space["again"]])
    with pytest.warns(UserWarning, match="'again' is defined anew.*make a new Agent"):
        exec(cell, space)
    with pytest.raises(ToolDefinitionError, match=r"defined twice \(a cell.*only the newer"):
        Registry([old, space["again"]])
    assert registry["again"] is old


def test_a_backend_may_be_named_by_its_module_and_class() -> None:
    host = Host(Registry([finder]), Config(tools={"finder": ToolConfig(f"{__name__}:OneFound")}))
    run = host.new_run()
    assert len(run.call(finder, IMAGE, "dog")) == 1
    assert run.calls[0].backend == f"{__name__}:OneFound"


def test_what_a_tool_cautions_of_is_kept_with_its_result() -> None:
    @tool
    def hide(image: Image) -> Image:
        """Hides faces."""
        caution("Some may be missed.")
        return image

    host = Host(Registry([hide]))
    for cached in (False, True):
        run = host.new_run()
        run.call(hide, IMAGE)
        assert (run.calls[0].cautions, run.calls[0].cached) == (("Some may be missed.",), cached)
    hide(IMAGE)


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), asyncio.CancelledError()])
def test_a_tool_that_exits_ends_its_call_alone(error: BaseException) -> None:
    @tool
    def leave(image: Image) -> int:
        """Leaves."""
        raise error

    run = Host(Registry([leave])).new_run()
    with pytest.raises(ToolError, match=f"leave failed: {type(error).__name__}"):
        run.call(leave, IMAGE)
    discreet = Host(Registry([leave]))
    discreet.discreet = True
    with pytest.raises(ToolError, match=r"the log of the server has the details"):
        discreet.new_run().call(leave, IMAGE)


def test_an_error_is_cut_and_readable() -> None:
    @tool
    def shout(image: Image) -> int:
        """Shouts."""
        raise ValueError("\x1b[31m" + "a" * 100_000 + "\udc80")

    run = Host(Registry([shout])).new_run()
    with pytest.raises(ToolError) as caught:
        run.call(shout, IMAGE)
    assert len(str(caught.value)) < 700 and str(caught.value).isprintable()
    assert len(run.calls[0].error) < 700


def test_file_names_do_not_cross_the_cache() -> None:
    @tool
    def crop(image: Image) -> Image:
        """A part."""
        return image.crop(Box(0, 0, 5, 5))

    host = Host(Registry([crop]))
    names = [host.new_run().call(crop, picture(name=name)).name for name in ("alice.png", "bob.png")]
    assert names == ["alice.png", "bob.png"]


def test_the_examples_of_the_documentation_run(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    blocks = re.findall(
        r"```python\n(.*?)```", (root / "docs/tools.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert len(blocks) == 3
    found: dict[str, Any] = {}
    for block in blocks:
        exec("from __future__ import annotations\n" + block, found)
        if "agent" in found:
            found.pop("agent").close()
    for name in ("MyDetector", "MyClasses"):
        with found["Agent"](backends={"detect": found[name]}) as agent:
            count = 'def answer(image):\n    return len(detect(image, "dogs"))\n'
            assert agent.run(count, IMAGE).unwrap() == 1
            if name == "MyClasses":
                assert agent.run(count.replace("dogs", "sofas"), IMAGE).unwrap() == 0
                assert agent.run(count.replace("dogs", "giraffe"), IMAGE).status == "refused"
