"""The evidence as HTML: all of it is there, drawn in its place, and no markup is another's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog.agent import Agent
from visprog.answer import Answer
from visprog.check import Diagnostic
from visprog.host import Call
from visprog.html import MOST_SHAPES, fragment, page
from visprog.values import Box, Circle, Grid, Line, Mask, Point, Polygon, Region

HOSTILE = [
    "<script>alert(1)</script>",
    "</code></pre></style><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "&lt;b&gt; ]]> --> <!-- \x00\x1b[31m \ud800 \u2028",
    "javascript:alert(1)",
]
VOID = ("meta", "img", "br")


class Strict(HTMLParser):
    """Reads HTML, and insists on balance and on attributes that are ours."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(html: str) -> Strict:
    parser = Strict()
    parser.feed(html)
    parser.close()
    assert not parser.open
    for tag, attributes in parser.seen:
        assert tag not in ("script", "iframe", "img", "object", "link", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "src"):
                assert re.match(r"#v[0-9a-f]{10}-|data:image/(png|jpeg);base64,[\w+/=]+$", value or ""), value
    return parser


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with Agent(FakePlanner(), {}, registry=REGISTRY) as made:
        yield made


def words(html: str) -> str:
    return " ".join("".join(read(html).text).split())


def test_a_page_shows_the_whole_path(agent: Agent) -> None:
    program = (
        'def answer(image):\n    dogs = detect(image, "dog")\n    part = crop(image, dogs[0])\n'
        '    print("so far")\n    return len(detect(part, "nose")) > 1\n'
    )
    answer = agent.run(program, picture())
    html = answer.to_html()
    text = words(html)
    for piece in (
        "answered",
        "yes",
        "Program",
        "Calls (3)",
        "1. detect",
        "2. crop",
        "3. detect",
        "so far",
        "sandbox level",
    ):
        assert piece in text, piece
    parser = read(html)
    lines = [a for t, a in parser.seen if t == "div" and "call" in (a.get("class") or "").split()]
    assert [str(a["id"]).rpartition("-")[2] for a in lines] == ["L2", "L3", "L5"]
    links = [a["href"] for t, a in parser.seen if t == "a"]
    assert links == [f"#{a['id']}" for a in lines]
    assert (
        'return len(detect(part, "nose")) > 1' in text.partition("line 5")[2]
    )  # the source stands at the step


def test_one_file_and_nothing_from_elsewhere(agent: Agent) -> None:
    html = agent.run("def answer(image):\n    return detect(image, 'dog')\n", picture()).to_html()
    assert html.startswith("<!doctype html>") and "prefers-color-scheme: dark" in html
    assert not re.search(r"https?://|@import|<script|<link", html)


def test_each_picture_is_embedded_once(agent: Agent) -> None:
    program = "def answer(image):\n    return [len(detect(image, w)) for w in ('a', 'b', 'c')]\n"
    html = agent.run(program, picture()).to_html()
    assert html.count("data:image/png;base64,") == 1 + 3  # the picture, and a mask a call
    assert html.count("<use ") == 4  # at the top and with each call


def test_two_answers_on_one_page_do_not_meet(agent: Agent) -> None:
    one = agent.run("def answer(image):\n    return detect(image, 'a')\n", picture())
    two = agent.run("def answer(image):\n    return detect(image, 'b')\n", picture(value=60))
    ids = [a["id"] for f in (one, two) for _, a in read(f._repr_html_()).seen if "id" in a]
    assert len(ids) == len(set(ids))


def test_styles_of_a_fragment_stay_inside() -> None:
    html = fragment(Answer("answered", 1).to_json())
    style = html.partition("<style>")[2].partition("</style>")[0]
    for selectors in re.findall(r"(?:^|\})\s*([^{}@]+)\{", style):
        assert all(s.strip().startswith(".visprog") for s in selectors.split(",")), selectors
    assert "<html" not in html and "<body" not in html


def test_shapes_are_drawn_where_they_lie_in_the_root() -> None:
    root = picture(100, 80)
    crop = root.crop(Box(40, 30, 90, 70))
    corners = (Point(1, 2), Point(30, 5), Point(12, 30))
    mask = Mask(np.ones((5, 7), bool), Box(50, 40, 57, 45))
    found = [
        Region(Box(50, 40, 57, 45), "dog", 0.5, root, mask), Circle(Point(60, 50), 8, "red"), 
        Line(corners[:2]),
        Polygon(corners), Grid(2, 2, Box(41, 31, 61, 51)), Point(45, 35), Box(1, 2, 3, 4),
    ]  # fmt: skip
    call = Call("find", {"image": crop}, found)
    html = Answer("answered", True, trace=(call,), images=(root,)).to_html()
    assert 'viewBox="0 0 100 80"' in html
    assert '<rect x="40" y="30" width="50" height="40" class="given"' in html  # the crop that was looked at
    for drawn in (
        '<rect x="50" y="40" width="7" height="5"', '<circle cx="60" cy="50" r="8"', 'points="1,2 30,5"',
        'points="1,2 30,5 12,30"', "M41 41H61M51 31V51", '<circle cx="45" cy="35"',
        '<rect x="1" y="2" width="2" height="2"',
    ):  # fmt: skip
        assert drawn in html, drawn
    assert "dog 0.50" in html and "<mask " in html


def test_an_edited_picture_is_shown(agent: Agent) -> None:
    html = agent.run("def answer(image):\n    return invert(image)\n", picture()).to_html()
    answer = html.partition('class="answer"')[2].partition("</section>")[0]
    assert "<use " in answer and "inverted" in answer


@pytest.mark.parametrize("text", HOSTILE)
def test_everything_is_escaped(text: str) -> None:
    image = picture(name=text)
    region = Region(Box(0, 0, 9, 9), text, 0.5, image)
    found = Diagnostic(text, 1, 0, text, text)
    calls = (
        Call(text, {text: text, "image": image}, [region, text, {text: text}], "", 1, 0.1, False, text),
        Call("read_text", {"image": region}, text, text, 1),
        Call("find", {"image": image}, [Circle(Point(1, 1), 1, text)]),
    )
    answer = Answer(
        "answered", [text, region, image], text, text, text, (found,), calls, (image,), 1.0, text, 0.5, 1,
        ({"program": text, "error": text, "diagnostics": [found.to_json()]},), text, "kernel",
    )  # fmt: skip
    for value in (answer.value, text, {text: (text,)}):
        data = Answer(**{**vars_of(answer), "value": value}).to_json()
        for html in (page(data), fragment(data)):
            read(html)
            html.encode("utf-8")
            assert "\x00" not in html and "\x1b" not in html


def vars_of(answer: Answer) -> dict[str, object]:
    return {k: v for k, v in vars(answer).items() if not k.startswith("_")}


def test_hostile_pictures_cannot_leave_their_attribute() -> None:
    data = Answer("answered", 1, images=(picture(),)).to_json()
    (held,) = data["pictures"].values()
    held["mime"] = '"><script>alert(1)</script>'
    held["data"] = '"><script>alert(1)</script>'
    assert "<script>" not in page(data)


def test_long_values_open_on_demand() -> None:
    text = "word " * 500
    html = Answer("answered", text, trace=(Call("t", {"x": list(range(500))}, text),)).to_html()
    assert html.count("<details>") == 3
    read(html)


def test_many_things_are_not_all_drawn() -> None:
    image = picture()
    found = [Region(Box(i % 50, 0, i % 50 + 2, 5), "x", 1.0, image) for i in range(MOST_SHAPES + 40)]
    html = Answer("answered", 1, trace=(Call("t", {"image": image}, found),), images=(image,)).to_html()
    assert "40 more are not drawn" in html and html.count("<rect ") == MOST_SHAPES


def test_without_pictures_the_rest_is_shown() -> None:
    data = Answer("answered", 1, trace=(Call("t", {"image": picture()}, [Box(0, 0, 1, 1)]),)).to_json(
        pictures=False
    )
    text = words(page(data))
    assert "picture 60 × 40" in text and "<use" not in page(data)


@pytest.mark.parametrize("status", ["refused", "error", "fallback"])
def test_why_there_is_no_answer_is_shown(status: str) -> None:
    answer = Answer(status, None, "nobody can see that", "Where?")  # type: ignore[arg-type]
    assert f"Where?{status}nobody can see that" in "".join(read(fragment(answer.to_json())).text)


def test_failed_calls_and_findings_are_shown(agent: Agent) -> None:
    text = words(agent.run("def answer(image):\n    return detect(image, 'crash')\n", picture()).to_html())
    assert "the detector fell over" in text
    text = words(agent.run("def answer(image):\n    return detekt(image)\n", picture()).to_html())
    assert "line 2, column 12" in text and "detect" in text
