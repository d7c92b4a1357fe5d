"""The evidence as HTML: all of it is there, drawn in its place, legible wherever it is shown, and no markup is
another's."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import numpy as np
import PIL.Image
import pytest

from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog.agent import Agent
from visprog.answer import Answer
from visprog.check import Diagnostic
from visprog.mapping.map import MapResult, results_html
from visprog.report import html
from visprog.report.figures import MAX_SHAPES
from visprog.report.html import MAX_FIGURES, MAX_NOTEBOOK_BYTES
from visprog.report.markup import INK, PAPER, STATUS_COLORS
from visprog.runtime.call import Call
from visprog.runtime.steps import Step
from visprog.values import Box, Circle, Mask, Point, Region, codec
from visprog.values.image import Image

HOSTILE = [
    "<script>alert(1)</script>",
    "</code></pre></style><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "&lt;b&gt; ]]> --> <!-- \x00\x1b[31m \ud800 \u2028",
    "javascript:alert(1)",
]
VOID = ("meta", "img", "br")
TAGS = {
    "html", "head", "meta", "title", "body", "div", "span", "b", "i", "code", "pre", "table", "tbody", "tr", "td",
    "details", "summary", "img",
}  # fmt: skip
ATTRIBUTES = {"style", "class", "src", "alt", "width", "charset", "name", "content", "lang"}

PROPERTIES = re.compile(
    r"(color|background-color|border(-left|-top|-collapse|-radius)?|box-sizing|cursor|display|font-family|font-size"
    r"|height|line-height|margin(-top)?|max-height|max-width|min-width|overflow|padding(-top)?|table-layout|text-align"
    r"|vertical-align|white-space|width|word-wrap):[^:;]+"
)
"""Those that the sanitizer of JupyterLab lets through, of what is used here."""


class Strict(HTMLParser):
    """Reads HTML, and insists on balance and on elements and attributes that are ours."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        """Each text, and the style of the element that it is directly in."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        assert tag in TAGS and set(attributes) <= ATTRIBUTES, (tag, attributes)
        self.seen.append((tag, attributes))
        if tag not in VOID:
            self.open.append(attributes.get("style", "") if tag != "title" else "title")
            self.stack = [*getattr(self, "stack", []), tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.stack and self.stack.pop() == tag, f"</{tag}> closes nothing"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append((data, self.open[-1] if self.open else ""))


def read(html: str) -> Strict:
    parser = Strict()
    parser.feed(html)
    parser.close()
    assert not parser.open
    for tag, attributes in parser.seen:
        if tag == "img":
            assert re.fullmatch(r"data:image/(png|jpeg);base64,[\w+/=]+", attributes["src"])
            assert attributes["alt"] and "max-width:100%" in attributes.get("style", "max-width:100%")
    return parser


def words(html: str) -> str:
    return " ".join("".join(text for text, _ in read(html).texts).split())


def drawn(html: str) -> list[PIL.Image.Image]:
    """The images, decoded."""
    sources = [a["src"] for tag, a in read(html).seen if tag == "img"]
    return [PIL.Image.open(io.BytesIO(base64.b64decode(s.partition(",")[2]))).convert("RGB") for s in sources]


def colors(image: PIL.Image.Image, box: tuple[int, int, int, int] | None = None) -> set[str]:
    """The colours of more than a few pixels of an image, coarsely."""
    part = image.crop(box) if box else image
    found = part.getcolors(part.width * part.height)
    assert found
    return {"#" + "".join(f"{v // 32:x}" for v in color) for n, color in found if n > 3}  # type: ignore[attr-defined]


def page(data: Any) -> str:
    return html.page(data, codec)


def fragment(data: Any) -> str:
    return html.fragment(data, codec)


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with Agent(FakePlanner(), {}, registry=REGISTRY) as made:
        yield made


def rich() -> Answer:
    """An answer with everything in it."""
    image, crop = picture(), picture().crop(Box(5, 5, 30, 30))
    region = Region(Box(2, 4, 20, 24), "dog", 0.9, image, Mask(np.eye(10, dtype=bool), Box(5, 6, 15, 16)))
    found = Diagnostic("unknown-name", 2, 0, "no such name", "try another")
    calls = (
        Call("detect", {"image": image, "what": "dog"}, [region], "", 2, 0.1, False, "opencv"),
        Call("crop", {"image": image, "region": region}, crop, "", 2),
        Call("read_text", {"image": crop}, None, "it fell over", 2),
        Call("list", {"x": list(range(500))}, "word " * 500, "", 9),
    )
    step = Step("a program", (found,), "it failed")
    return Answer(
        "answered", [region, crop], "as asked", "Where is\nthe dog?", "def answer(image):\n    pass\n", (found,),
        calls, (image,), 1.0, "fake", 0.5, 7, (step, Step("return 1", status="answered")), "printed", "kernel",
    )  # fmt: skip


CARDS = {
    "answer": lambda: fragment(rich().to_json()),
    "page": lambda: page(rich().to_json()),
    "refused": lambda: fragment(Answer("refused", message="nobody can see that").to_json()),
    "region": lambda: rich().value[0]._repr_html_(),
    "mask": lambda: Mask(np.eye(9, dtype=bool), Box(0, 0, 9, 9))._repr_html_(),
    "results": lambda: results_html([MapResult(i, f"{i}.png", rich()) for i in range(3)]),
    "tool": lambda: REGISTRY["detect"]._repr_html_(),
    "registry": lambda: REGISTRY._repr_html_(),
}


@pytest.mark.parametrize("card", CARDS)
def test_every_text_has_its_own_colors(card: str) -> None:
    for text, style in read(CARDS[card]()).texts:
        if text.strip() and style != "title":
            assert re.match(r"color:#[0-9a-f]{6};background-color:#[0-9a-f]{6};", style), (text, style)
            ink, ground = (int(v, 16) for v in re.findall(r"#(\w{6})", style)[:2])
            light = [sum((c >> s & 255) * w for s, w in ((16, 3), (8, 6), (0, 1))) for c in (ink, ground)]
            assert abs(light[0] - light[1]) > 900, (text, style)  # of 2550


@pytest.mark.parametrize("card", CARDS)
def test_nothing_is_lost_in_an_untrusted_notebook(card: str) -> None:
    for tag, attributes in read(CARDS[card]()).seen:
        assert tag not in ("style", "svg", "script", "link")
        for declaration in attributes.get("style", "").rstrip(";").split(";"):
            if declaration and declaration != "user-select:none":
                assert PROPERTIES.fullmatch(declaration), (tag, declaration)
        assert attributes.get("class", "mathjax_ignore").endswith(
            "mathjax_ignore"
        )  # no looks depend on a class


@pytest.mark.parametrize("card", [c for c in CARDS if c != "page"])
def test_without_any_style_the_evidence_is_still_there(card: str) -> None:
    html = CARDS[card]()
    bare = re.sub(r' (style|class)="[^"]*"', "", html)
    assert words(bare) == words(html) and len(drawn(bare)) == len(drawn(html))


def test_tables_are_aligned_whatever_the_page_says() -> None:
    for tag, attributes in read(fragment(rich().to_json())).seen:
        if tag == "td":
            assert "text-align:left" in attributes["style"] and "border:0" in attributes["style"]
        if tag == "tr":
            assert f"background-color:{PAPER}" in attributes["style"]  # no stripes


def test_a_page_shows_the_whole_path(agent: Agent) -> None:
    program = (
        'def answer(image):\n    dogs = detect(image, "dog")\n    part = crop(image, dogs[0])\n'
        '    print("so far")\n    return read_text(part) == "STOP"\n'
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
        "3. read_text",
        "so far",
        "sandbox level",
    ):
        assert piece in text, piece
    marked = [t for t, style in read(html).texts if "#fff0b8" in style]
    assert [line.split("(")[0].split()[-1] for line in marked] == [
        "detect",
        "crop",
        "read_text",
    ]  # the lines that call
    assert 'return read_text(part) == "STOP"' in text.partition("line 5")[2]  # the source stands at the step


def test_one_file_and_nothing_from_elsewhere(agent: Agent) -> None:
    html = agent.run("def answer(image):\n    return detect(image, 'dog')\n", picture()).to_html()
    assert html.startswith("<!doctype html>")
    assert not re.search(r"https?://|@import|<script|<link", html)


@pytest.mark.parametrize("status", [*STATUS_COLORS, "unheard of"])
def test_the_bar_has_the_color_of_the_status(status: str) -> None:
    html = fragment(Answer(status, None, "a reason", "Where?").to_json())  # type: ignore[arg-type]
    (bar,) = re.findall(r"border-left:6px solid (#\w+)", html)
    badges = [(t, style) for t, style in read(html).texts if t == status]
    assert len(badges) == 1 and f"background-color:{bar}" in badges[0][1]
    others = {color for name, color in STATUS_COLORS.items() if name != status}
    assert bar not in others and len(others) >= len(STATUS_COLORS) - 1


@pytest.mark.parametrize("status", ["refused", "error", "fallback"])
def test_why_there_is_no_answer_is_shown(status: str) -> None:
    answer = Answer(status, None, "nobody can see that", "Where?")  # type: ignore[arg-type]
    text = "".join(t for t, _ in read(fragment(answer.to_json())).texts)
    assert f"Where?{status}nobody can see that" in text


def test_what_was_found_is_drawn_on_the_root(agent: Agent) -> None:
    root = picture(100, 80)
    crop = root.crop(Box(40, 30, 90, 70))
    found = [Region(Box(50, 40, 60, 50), "", 0.5, root)]
    call = Call("find", {"image": crop}, found)
    html = Answer("answered", True, trace=(call,), images=(root,)).to_html()
    whole, step = drawn(html)
    assert step.width / step.height == pytest.approx(1.25, abs=0.02) and whole.width == 128
    scale = step.width / 100
    place = [round(v * scale) for v in (47, 37, 63, 53)]
    assert len(colors(step, tuple(place))) > len(colors(step, (0, 0, *place[:2])))  # type: ignore[arg-type]


def test_shapes_of_a_known_color_are_drawn_in_none(agent: Agent) -> None:
    image = picture(200, 200, 255)
    call = Call("find", {"image": image}, [Circle(Point(100, 100), 50, "red")])
    html = Answer("answered", 1, trace=(call,), images=(image,)).to_html()
    for r, g, b in (c for _, c in drawn(html)[-1].getcolors(10**6) or ()):  # type: ignore[misc]
        assert max(r, g, b) - min(r, g, b) < 40  # ink and paper
    assert INK != PAPER


def test_an_edited_image_is_shown(agent: Agent) -> None:
    html = agent.run("def answer(image):\n    return invert(image)\n", picture(value=10)).to_html()
    given, *made = drawn(html)
    assert len(made) == 2 and "inverted" in words(html)  # as the answer, and with the call
    assert colors(given) != colors(made[0]) == colors(made[1])


def test_an_image_of_the_question_is_not_repeated_with_each_call(agent: Agent) -> None:
    program = "def answer(image):\n    return [read_text(image) for _ in range(3)]\n"
    assert len(drawn(fragment(agent.run(program, picture()).to_json()))) == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_everything_is_escaped(text: str) -> None:
    image = picture(name=text)
    region = Region(Box(0, 0, 9, 9), text, 0.5, image)
    found = Diagnostic(text, 1, 0, text, text)
    calls = (
        Call(text, {text: text, "image": image}, [region, text, {text: text}], "", 1, 0.1, False, text),
        Call("read_text", {"image": region}, text, text, 1),
        Call("find", {"image": image}, [Circle(region.center, 1, text)]),
    )
    answer = Answer(
        "answered", [text, region, image], text, text, text, (found,), calls, (image,), 1.0, text, 0.5, 1,
        (Step(text, (found,), text), Step(text)), text, "kernel",
    )  # fmt: skip
    for value in (answer.value, text, {text: (text,)}):
        data = Answer(**{**vars_of(answer), "value": value}).to_json()
        for shown in (page(data), fragment(data), results_html([MapResult(0, text, answer)])):
            read(shown)
            shown.encode("utf-8")
            assert "\x00" not in shown and "\x1b" not in shown
    read(region._repr_html_() or "")


def vars_of(answer: Answer) -> dict[str, Any]:
    return {k: v for k, v in vars(answer).items() if not k.startswith("_")}


@pytest.mark.parametrize("data", ['"><script>alert(1)</script>', "", "AAAA", "not base64", "é"])
def test_images_that_cannot_be_decoded_are_left_out(data: str) -> None:
    evidence = Answer("answered", 1, images=(picture(),)).to_json()
    (held,) = evidence["pictures"].values()
    held["mime"] = '"><script>alert(1)</script>'
    held["data"] = data
    assert not drawn(page(evidence))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1e300, 1e300])
def test_places_out_of_this_world_do_no_harm(number: float) -> None:
    image = picture()
    data = Answer("answered", Region(Box(1, 2, 3, 4), "x", 1.0, image), images=(image,)).to_json()
    data["value"]["box"] = [number, 2, 3, 4]
    data["value"]["mask"] = {"type": "Mask", "box": [1, number, 3, 4], "area": 1, "png": "AAAA"}
    try:
        text = words(page(data))
    except (ValueError, OverflowError) as error:
        pytest.fail(f"{error}")
    assert "answered" in text


def test_long_values_open_on_demand() -> None:
    text = "word " * 500
    html = Answer("answered", text, trace=(Call("t", {"x": list(range(500))}, text),)).to_html()
    assert [tag for tag, _ in read(html).seen].count("details") == 3


def test_of_very_long_values_the_length_is_said() -> None:
    html = Answer("answered", "x" * 1_000_000).to_html()
    assert len(html) < 60_000 and "980,000 more characters" in html


def test_many_objects_are_not_all_drawn() -> None:
    image = picture()
    found = [Region(Box(i % 50, 0, i % 50 + 2, 5), "x", 1.0, image) for i in range(2431)]
    html = Answer("answered", 1, trace=(Call("t", {"image": image}, found),), images=(image,)).to_html()
    assert f"first {MAX_SHAPES} of 2,431 are drawn" in html


def test_many_images_are_not_all_shown() -> None:
    images = tuple(picture(value=i) for i in range(20))
    html = fragment(Answer("answered", 1, images=images).to_json())
    assert len(drawn(html)) == MAX_FIGURES and f"and {20 - MAX_FIGURES} more images" in html


def test_a_notebook_stays_small() -> None:
    noise = Image(np.random.default_rng(0).integers(0, 255, (900, 1200, 3), np.uint8))
    calls = [
        Call("detect", {"image": noise, "n": i}, [Region(Box(i, 0, i + 50, 50), "x", 1.0, noise)])
        for i in range(60)
    ]
    answer = Answer("answered", noise, images=(noise,), trace=tuple(calls))
    html = answer._repr_html_()
    assert len(html) < 1.2 * MAX_NOTEBOOK_BYTES
    assert re.search(r"and \d+ more calls", words(html))
    for image in drawn(html):
        assert max(image.size) <= 640


def test_without_images_the_rest_is_shown() -> None:
    data = Answer("answered", 1, trace=(Call("t", {"image": picture()}, [Box(0, 0, 1, 1)]),)).to_json(
        pictures=False
    )
    assert "image 60 × 40" in words(page(data)) and not drawn(page(data))


def test_failed_calls_and_findings_are_shown(agent: Agent) -> None:
    text = words(agent.run("def answer(image):\n    return detect(image, 'crash')\n", picture()).to_html())
    assert "the detector fell over" in text
    text = words(agent.run("def answer(image):\n    return detekt(image)\n", picture()).to_html())
    assert "line 2, column 12" in text and "detect" in text


def test_what_was_read_from_json_is_drawn_alike() -> None:
    answer = rich()
    again = Answer.from_json(answer.to_json())
    assert words(again._repr_html_()) == words(answer._repr_html_())


def test_cautions_and_callers_are_shown() -> None:
    call = Call("detect", {"image": picture()}, [], caller="count_dogs")
    text = words(fragment(Answer("answered", 0, cautions=("nothing was <found>",), trace=(call,)).to_json()))
    assert "Caution: nothing was <found>" in text and "called by count_dogs" in text
