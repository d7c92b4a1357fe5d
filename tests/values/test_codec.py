"""One table of the kinds of values: a kind that is added to it is known everywhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog.agent import Agent
from visprog.answer import Answer, json_schema
from visprog.check import check, dry_run
from visprog.check.fakes import StandIns
from visprog.registry import Registry, tool
from visprog.registry.types import Unfit, accepts, answer_type, coerce, describe, render
from visprog.registry.types import json_schema as schema_of
from visprog.report.figures import DrawnValue
from visprog.runtime.call import Call
from visprog.runtime.recording.values import Store, root_images
from visprog.values import Box, Located, Mask, Point, Region, codec
from visprog.values.codec import (
    IMAGE,
    KINDS,
    NUMBER,
    PIXELS,
    POINT,
    Kind,
    Reader,
    Writer,
    fingerprint,
    show,
    words,
)
from visprog.values.image import Image


@dataclass(frozen=True)
class Angle(Located):
    """The angle between two strokes.

    Attributes:
        corner: Where they meet.
        degrees: 0 to 180.
    """

    corner: Point
    degrees: float
    image: Image | None = field(default=None, repr=False, compare=False)

    @property
    def box(self) -> Box:
        return self.corner.box.expand(5)


@dataclass(frozen=True, eq=False)
class Nearness:
    """How near each pixel is, 0 to 255."""

    pixels: Any

    def _repr_html_(self) -> str:
        return f"<b>{self.pixels.shape}</b>"


def draw_angle(data: Any) -> DrawnValue:
    x, y = map(float, data["corner"])
    return DrawnValue(
        (x - 5, y - 5, x + 5, y + 5), lines=[[(x, y), (x + 5, y)]], label=f"{data['degrees']:.0f}°"
    )


TOYS = (
    Kind(
        Angle,
        {"corner": POINT, "degrees": NUMBER, "image": IMAGE},
        fake=lambda world: Angle(Point(world.box.left, world.box.top), 30.0 * world.turn, world.image),
        words=lambda data: f"angle of {data['degrees']:.0f} degrees",
        show=lambda angle: f"{angle.degrees:g}°",
        drawing=draw_angle,
        opened=("corner", "degrees", "box"),
    ),
    Kind(
        Nearness,
        {"pixels": PIXELS},
        fake=lambda world: Nearness(np.full((4, 5), world.turn, np.uint8)),
        words=lambda data: "depth",
    ),
)
ROOT = picture()


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in TOYS:
        monkeypatch.setitem(KINDS, kind.name, kind)


@pytest.fixture
def registry() -> Registry:
    @tool
    def find_angles(image: Image, what: str = "corner") -> list[Angle]:
        """Two angles."""
        return [Angle(Point(10, 10), 90), Angle(Point(30, 20), 45)]

    @tool
    def measure(angle: Angle) -> float:
        """Its size in radians, about."""
        return angle.degrees / 57

    @tool
    def nearness(image: Image) -> Nearness:
        """All the same."""
        return Nearness(np.full((image.height, image.width), 7, np.uint8))

    return REGISTRY | [find_angles, measure, nearness]


PROGRAM = """
def answer(image):
    sharp = [a for a in find_angles(image) if a.degrees < 60 and a.box.width > 0]
    return sharp[0] if measure(sharp[0]) > 0.5 else None
"""


@pytest.fixture
def agent(registry: Registry) -> Iterator[Agent]:
    with Agent(FakePlanner(), {}, registry=registry) as made:
        yield made


def test_it_is_a_type_of_tools(registry: Registry) -> None:
    angle = Angle(Point(1, 2), 30, ROOT)
    assert render(list[Angle] | None) == "list[Angle] | None" and describe([angle]) == "list[Angle]"
    assert registry["find_angles"].signature.endswith("-> list[Angle]")
    assert accepts(Angle, angle) and coerce(Angle, angle) is angle and answer_type("Angle") is Angle
    with pytest.raises(Unfit, match=r"^Point"):
        coerce(Angle, Point(1, 2))
    assert schema_of(Angle) == {"type": "string", "description": "id of a value of type Angle"}
    assert registry["measure"].bind(angle) == {"angle": angle}


def test_programs_hold_it_and_read_what_is_open(agent: Agent) -> None:
    answer = agent.run(PROGRAM, ROOT)
    assert answer.status == "answered", answer.message
    assert answer.value == Angle(Point(30, 20), 45) and answer.value.image.digest == ROOT.digest
    hidden = agent.run("def answer(image):\n    return find_angles(image)[0].image\n", ROOT)
    assert hidden.status == "error" and "image" in hidden.message


def test_it_lies_in_the_frame_of_the_root(agent: Agent) -> None:
    crop = ROOT.crop(Box(20, 10, 60, 40))
    assert crop.to_root(Angle(Point(1, 2), 30)) == Angle(Point(21, 12), 30)


def test_the_check_knows_its_attributes(registry: Registry) -> None:
    (found,) = check(PROGRAM.replace("a.degrees", "a.degree"), registry)
    assert found.code == "unknown-attribute" and "degrees" in (found.suggestion or "")
    found = check("def answer(image):\n    return find_angles(image)[0].degrees + 'x'\n", registry)[0]
    assert found.code == "operand-types"


def test_trial_runs_make_it_up(registry: Registry) -> None:
    assert not [d for d in dry_run(PROGRAM, registry) if d.severity == "error"]
    made = StandIns(2, (True,), ("x",)).make(list[Angle], {"image": ROOT}, 0)
    assert [a.degrees for a in made] == [0, 30] and made[0].image is ROOT


def test_programs_take_it_as_an_input(registry: Registry) -> None:
    source = "def answer(angle, depths):\n    return angle.degrees + measure(angle) + len(depths)\n"
    inputs = {"angle": Angle, "depths": list[Nearness]}
    assert check(source, registry, inputs=inputs, returns=float) == []
    assert dry_run(source, registry, inputs=inputs, returns=float) == []
    (found,) = check(source.replace("degrees", "degree"), registry, inputs=inputs)
    assert (found.code, found.name) == ("unknown-attribute", "degree")
    (found,) = check(source.replace("angle, depths", "angle, layers, depths"), registry, inputs=inputs)
    assert (found.code, found.name) == ("wrong-inputs", "layers")


def test_its_answer_is_json_and_comes_back(agent: Agent) -> None:
    answer = agent.run(PROGRAM, ROOT)
    data = json.loads(json.dumps(answer.to_json(), allow_nan=False))
    jsonschema.Draft202012Validator(json_schema()).validate(data)
    assert data["value"]["type"] == "Angle" and data["value"]["image"]["root"] == ROOT.digest
    back = Answer.from_json(data)
    assert back.value == answer.value and back.value.image.size == ROOT.size
    assert back.to_json() == data and back.to_html() == answer.to_html()


def test_it_is_drawn_as_evidence(agent: Agent) -> None:
    image = picture(200, 200)
    found = [Angle(Point(100, 100), 90, image)]
    plain = Answer("answered", 1, trace=(Call("find", {"image": image}, []),), images=(image,)).to_html()
    html = Answer("answered", 1, trace=(Call("find", {"image": image}, found),), images=(image,)).to_html()
    assert html.count("<img ") == plain.count("<img ") + 1
    assert "angle of 90 degrees" in html and words(codec.to_json(found)) == "[angle of 90 degrees]"


def test_it_shows_itself(agent: Agent) -> None:
    assert "angle of 90 degrees" in (Angle(Point(30, 20), 90, ROOT)._repr_html_() or "")
    assert Angle(Point(30, 20), 90)._repr_html_() is None
    assert str(Answer("answered", [Angle(Point(30, 20), 90)])) == show(Angle(Point(30, 20), 90)) == "90°"


def test_it_is_recorded_and_replayed(registry: Registry, tmp_path: Path) -> None:
    answers = []
    for how in ({"record": tmp_path}, {"replay": tmp_path}):
        with Agent(FakePlanner(), {}, registry=registry, **how) as agent:  # type: ignore[arg-type]
            answers.append(agent.run(PROGRAM, ROOT))
    assert answers[0].value == answers[1].value == Angle(Point(30, 20), 45)
    assert (tmp_path / "recording.jsonl").read_text().count('"type": "Angle"') >= 2


def test_equal_values_are_found_in_the_cache(agent: Agent) -> None:
    measure = agent.host.registry["measure"]
    session = agent.host.new_run()
    other = picture(value=9)
    for angle in (
        Angle(Point(1, 2), 30, ROOT),
        Angle(Point(1, 2), 30, picture()),
        Angle(Point(1, 2), 30, other),
    ):
        session.call(measure, angle)
    assert [c.cached for c in session.calls] == [False, True, False]
    assert fingerprint(Angle(Point(1, 2), 30)) != fingerprint(Angle(Point(1, 2), 31))


def test_an_array_keeps_its_pixels(agent: Agent, tmp_path: Path) -> None:
    pixels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    value = Nearness(pixels)
    data = json.loads(json.dumps(Answer("answered", value).to_json()))
    jsonschema.Draft202012Validator(json_schema()).validate(data)
    assert (Answer.from_json(data).value.pixels == pixels).all()
    store = Store(tmp_path)
    form = store.encode(value, at_hand={})
    assert (store.decode(form, at_hand={}).pixels == pixels).all() and form.keys() == data["value"].keys()
    assert fingerprint(value) == fingerprint(Nearness(pixels.copy())) != fingerprint(Nearness(pixels + 1))
    assert agent.run("def answer(image):\n    return nearness(image)\n", ROOT).value.pixels.max() == 7


def test_langchain_names_it_by_an_id(registry: Registry) -> None:
    pytest.importorskip("langchain_core")
    from visprog.integrations.langchain import Workspace, langchain_tools
    from visprog.runtime.host import Host

    workspace = Workspace()
    workspace.add(ROOT)
    find, measure = langchain_tools(workspace, Host(registry), names=["find_angles", "measure"])
    found = json.loads(find.invoke({"image": "image1"}))
    assert found == [{"id": "angle1", "what": "90°"}, {"id": "angle2", "what": "45°"}]
    assert json.loads(measure.invoke({"angle": "angle1"})) == pytest.approx(90 / 57)


def test_the_server_gives_and_takes_it(agent: Agent) -> None:
    pytest.importorskip("fastapi")
    testclient = pytest.importorskip("starlette.testclient")
    from tests.server.test_app import png
    from visprog.server.app import Service, create_app
    from visprog.server.limits import RequestLimits
    from visprog.server.queue import RequestQueue

    app = create_app(Service(agent, RequestQueue(2, 2), RequestLimits()))
    images = {"street": base64.b64encode(png()).decode()}
    with testclient.TestClient(app) as client:
        body = {"arguments": {"image": "street"}, "images": images}
        found = client.post("/v1/tools/find_angles", json=body).json()["value"]
        assert [a["degrees"] for a in found] == [90, 45]
        body = {"arguments": {"angle": "it"}, "values": {"it": found[0]}, "images": images}
        assert client.post("/v1/tools/measure", json=body).json()["value"] == pytest.approx(90 / 57)
        assert "Angle" in client.get("/openapi.json").json()["components"]["schemas"]


# -- the form of all kinds -----------------------------------------------------------------------


def test_answers_and_recordings_have_one_form(tmp_path: Path) -> None:
    """What differs is where pixels are kept."""
    crop = ROOT.crop(Box(10, 5, 30, 25))
    world = codec.FakeObject(1, 2, Box(5, 5, 20, 20), "dog", "red", ROOT.box, ROOT, None, picture)
    values = [kind.fake(world) for kind in KINDS.values()]
    values += [
        crop,
        Region(Box(0.5, 0, 5, 5), "x", 1 / 3, ROOT, Mask(np.eye(4, dtype=bool), Box(0, 0, 4, 4))),
    ]
    written = Writer().value(values)
    stored = Store(tmp_path).encode(values, at_hand=root_images(ROOT))
    assert without_pixels(written) == without_pixels(stored)
    read = Reader(lambda form: ROOT if form["digest"] == ROOT.digest else crop).value(written)
    assert list(map(fingerprint, read)) == list(map(fingerprint, values))


def without_pixels(data: Any) -> Any:
    if isinstance(data, dict):
        return {k: without_pixels(v) for k, v in data.items() if k not in ("png", "pixels", "values")}
    return [without_pixels(v) for v in data] if isinstance(data, list) else data


def test_every_kind_has_all_that_is_asked_of_it() -> None:
    for kind in KINDS.values():
        assert kind.cls.__doc__ and (kind.name == "Nearness" or kind.attributes or not kind.fields)
        if kind.fields and kind.name not in (
            "Image",
            "Nearness",
            "Video",
            "Span",
            "Track",
        ):  # a track by its view
            assert kind.drawing is not None


def test_a_mask_without_pixels_keeps_its_shape() -> None:
    mask = Mask(np.zeros((0, 5), bool), Box(1, 2, 6, 2))
    back = Reader(lambda _: None).value(Writer().value(mask))
    assert back.box == mask.box and back.pixels.shape == (0, 5)
    with pytest.raises(ValueError, match="has no pixels"):
        Reader(lambda _: None).value({"type": "Mask", "box": [0, 0, 1e5, 1e5], "area": 0, "png": ""})
