"""The page for people: its policy, by parsing; and what it does, in a real browser if there is one."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("python_multipart")

import PIL.Image

from tests.planner.test_turns import COUNT, LOOK, Scripted
from tests.runtime.processes.hostile import obey
from tests.server import serving
from tests.server.browser import Tab, browser, find_browser
from tests.server.local import Running, events_on, post, running, until
from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog import Agent, Image, tool
from visprog.cli import main
from visprog.server.app import Service
from visprog.server.chats import Chats
from visprog.server.limits import RequestLimits
from visprog.server.page import example
from visprog.server.queue import RequestQueue
from visprog.server.shares import Shares

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = 'def answer(image):\n    return len(detect(image, "dog"))\n'
SLEEP = "def answer(image):\n    return obey(image, 'sleep')"
SCRIPT = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"
"""What would change the title of the page if it were taken for HTML."""


@tool
def read_sign(image: Image) -> str:
    """Text of an image that somebody made to attack the page."""
    return SCRIPT


class Parsed(HTMLParser):
    """Elements and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.inside: list[str] = []
        self.content: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.inside and self.inside[-1] in ("style", "script"):
            self.content[self.inside[-1]] = self.content.get(self.inside[-1], "") + data

    def handle_endtag(self, tag: str) -> None:
        self.inside.append("")


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    with ExitStack() as stack:

        def begin(
            *programs: str,
            planner: Any = None,
            limits: RequestLimits | None = None,
            chats: Chats | None = None,
        ) -> Running:
            planner = planner or FakePlanner(*(programs or [PROGRAM] * 20))
            registry = REGISTRY | [obey, read_sign]
            agent = stack.enter_context(Agent(planner, {"seconds": 60}, registry=registry, standby=1))
            limits = limits or RequestLimits(seconds=60)
            service = Service(agent, RequestQueue(2, 4), limits, chats=chats)
            return stack.enter_context(running(service, Shares(500)))

        yield begin


@pytest.fixture(scope="module")
def quiet() -> Iterator[Running]:
    """A server that is asked nothing that needs a program."""
    with (
        Agent(FakePlanner(), {}, registry=REGISTRY, standby=1) as agent,
        running(Service(agent, RequestQueue(2, 4), RequestLimits()), Shares(500)) as served,
    ):
        yield served


def get(served: Running, path: str, *headers: str) -> tuple[int, dict[str, str], bytes]:
    with served.connect() as connection:
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode())
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    return int(first.split()[1]), {k.lower(): v for k, v in (f.split(": ", 1) for f in fields)}, body


# -- what it is ----------------------------------------------------------------------------------


def test_the_policy_allows_this_script_and_this_style_and_no_other(quiet: Running) -> None:
    status, headers, body = get(quiet, "/")
    assert status == 200 and headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(each.split(" ", 1) for each in headers["content-security-policy"].split("; "))
    parsed = Parsed(body.decode())
    for directive, element in (("script-src", "script"), ("style-src", "style")):
        digest = base64.b64encode(hashlib.sha256(parsed.content[element].encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
        assert [name for name, _ in parsed.elements].count(element) == 1
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'" and policy["require-trusted-types-for"] == "'script'"
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"


def test_it_loads_nothing_and_holds_no_other_script(quiet: Running) -> None:
    text = get(quiet, "/")[2].decode()
    parsed = Parsed(text)
    for name, attributes in parsed.elements:
        assert not any(key.startswith("on") for key in attributes), (name, attributes)
        for key in ("src", "href", "action", "srcset", "data"):
            assert attributes.get(key, "data:,") == "data:,", (name, attributes)
    assert not re.search(r"\b(?:https?|wss?):", text)
    assert "innerHTML" not in text and "eval(" not in text and "localStorage" not in text
    (frame,) = [attributes for name, attributes in parsed.elements if name == "iframe"]
    assert frame["sandbox"] is None or frame["sandbox"] == ""  # it may do nothing


def test_everything_has_a_name_for_screen_readers(quiet: Running) -> None:
    parsed = Parsed(get(quiet, "/")[2].decode())
    labels = {a["for"] for name, a in parsed.elements if name == "label"}
    ids = {a["id"] for _, a in parsed.elements if "id" in a}
    for name, attributes in parsed.elements:
        if name in ("input", "textarea"):
            assert attributes["id"] in labels, attributes
        if name == "iframe":
            assert attributes["title"]
        for reference in ("aria-labelledby", "aria-describedby", "for"):
            assert attributes.get(reference, next(iter(ids))) in ids
    assert ("html", {"lang": "en"}) in parsed.elements
    assert any(a.get("role") == "status" for _, a in parsed.elements)


@pytest.mark.parametrize("header", ["Host: evil.example", "Origin: http://evil.example", "Origin: null"])
@pytest.mark.parametrize("path", ["/", "/example.png", "/v1/about"])
def test_pages_and_names_of_others_do_not_get_it(quiet: Running, path: str, header: str) -> None:
    with quiet.connect() as connection:
        host = "" if header.startswith("Host") else "Host: localhost\r\n"
        connection.sendall(f"GET {path} HTTP/1.1\r\n{host}{header}\r\nConnection: close\r\n\r\n".encode())
        assert connection.makefile("rb").readline().split()[1] == b"403"


@pytest.mark.parametrize("header", ["Host: evil.example", "Origin: http://evil.example", "Origin: null"])
@pytest.mark.parametrize("path", ["/v1/ask", "/v1/chats", "/v1/chats/x/ask"])
def test_pages_and_names_of_others_get_no_stream(quiet: Running, path: str, header: str) -> None:
    headers = f"Accept: text/event-stream\r\n{header}\r\n"
    data = post(path, {"question": "?"}, ("a.png", b"x"), headers=headers)
    if header.startswith("Host"):
        data = data.replace(b"Host: localhost\r\n", b"")
    status, _, body = quiet.send(data)
    assert status == 403 and body["status"] == "error"


def test_text_of_questions_and_images_is_text_in_the_evidence(start: Callable[..., Running]) -> None:
    served = start("def answer(image):\n    return read_sign(image)")
    fields = {"question": SCRIPT, "html": "true"}
    with served.connect() as connection:
        headers = "Accept: text/event-stream\r\n"
        connection.sendall(
            post("/v1/ask", fields, (f"{SCRIPT}.png", picture()._repr_png_()), headers=headers)
        )
        found = dict(events_on(connection))
    assert found["answer"]["value"] == SCRIPT
    parsed = Parsed(found["evidence"]["html"])
    assert "script" not in [name for name, _ in parsed.elements]
    assert not any(key.startswith("on") for _, attributes in parsed.elements for key in attributes)
    assert "".join(parsed.texts).count(SCRIPT) >= 2  # the question and the answer


def test_the_example_is_the_one_of_the_documentation() -> None:
    import asyncio

    content = asyncio.run(example()).body
    assert bytes(content) == (ROOT / "examples" / "signs.png").read_bytes()


def test_the_page_is_opened_on_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("visprog.server.run.serve", lambda *given: (given[4](), time.sleep(0.2)))
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--port", "0", "--open"]) == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", opened.pop())
    assert main(["serve", "--port", "0", "--open", "--host", "0.0.0.0", "--token", "s3cret"]) == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", opened.pop())  # and without the token
    assert main(["serve", "--port", "0"]) == 0 and not opened


# -- in a browser --------------------------------------------------------------------------------

COMMAND = find_browser()
in_browser = pytest.mark.skipif(COMMAND is None, reason="there is no Chromium or Chrome here")
ANSWERS = "document.querySelectorAll('.answer:not([hidden])')"


@pytest.fixture(scope="module")
def new_tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Tab]]:
    assert COMMAND is not None
    with browser(COMMAND, tmp_path_factory.mktemp("profile")) as new:
        yield new


@pytest.fixture
def tab(new_tab: Callable[[], Tab]) -> Tab:
    return new_tab()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "dogs.png"
    picture().save(file)
    return file


def url(served: Running) -> str:
    return f"http://localhost:{served.port}/"


def asked(tab: Tab, question: str, number: int) -> str:
    """The text of the answer to a question that is typed and sent with the keyboard."""
    tab.run("document.querySelector('#question').focus()")
    tab.type(question)
    tab.press("Enter", 13)
    tab.wait(f"{ANSWERS}.length === {number}")
    return str(tab.run(f"{ANSWERS}[{number - 1}].innerText"))


@in_browser
def test_a_person_asks_and_follows_up(start: Callable[..., Running], tab: Tab, image: Path) -> None:
    left = "```python\ndef answer(regions1):\n    return leftmost(regions1).label\n```\nDONE"
    served = start(planner=Scripted(LOOK, COUNT + "\nDONE", left))
    tab.open(url(served))
    tab.choose("#files", image)
    tab.wait("document.querySelector('#previews img').naturalWidth === 60")
    assert "2" in asked(tab, "How many dogs are there?", 1)
    assert "dog" in asked(tab, "And the left one?", 2)
    text = tab.run("document.querySelector('#turns li').textContent")
    assert "Program written by scripted" in text and "detect(image: test.png" in text.replace(
        "dogs.png", "test.png"
    )
    assert "refer to those before" in tab.run("document.querySelector('#note').innerText")
    assert (
        tab.run("document.querySelector('.evidence').open && document.querySelector('iframe').srcdoc.length")
        > 1000
    )
    assert served.service.chats.number.used == 1
    tab.run("document.querySelector('#previews button').click()")
    until(lambda: served.service.chats.number.used == 0)
    assert tab.messages == []


@in_browser
def test_an_answer_that_is_an_image_is_shown_and_can_be_saved(
    start: Callable[..., Running], tab: Tab, image: Path
) -> None:
    tab.open(url(start("def answer(image):\n    return invert(image)\n")))
    tab.choose("#files", image)
    asked(tab, "Show the negative", 1)
    tab.wait("document.querySelector('.results img').naturalWidth === 60")
    assert tab.run("document.querySelector('.results a').download") == "answer.png"
    assert tab.messages == []


@in_browser
def test_a_question_is_stopped(start: Callable[..., Running], tab: Tab, image: Path) -> None:
    served = start(SLEEP, PROGRAM)
    tab.open(url(served))
    tab.choose("#files", image)
    tab.run("document.querySelector('#question').focus()")
    tab.type("How long?")
    tab.press("Enter", 13)
    tab.wait("document.querySelector('.steps .pending')")  # a step is shown as it happens
    assert tab.run("document.activeElement.id") == "stop"
    tab.press("Enter", 13)
    tab.wait(f"{ANSWERS}.length === 1")
    assert "stopped" in tab.run(f"{ANSWERS}[0].innerText")
    assert "2" in asked(tab, "How many dogs are there?", 2)
    assert served.service.queue.running == 0 and tab.run("!document.querySelector('.pending')")


@in_browser
@pytest.mark.parametrize("number", [0, 1])
def test_a_conversation_that_is_over_or_has_no_room(
    start: Callable[..., Running], tab: Tab, image: Path, number: int
) -> None:
    chats = Chats(Shares(number), Shares(1 << 30))
    served = start(chats=chats)
    tab.open(url(served))
    tab.choose("#files", image)
    for asked_before in (0, 1):
        assert "2" in asked(tab, f"How many dogs are there in {asked_before}?", asked_before + 1)
        assert chats.number.used == number
        for chat in list(chats._by_id.values()):
            tab.run(f"fetch('/v1/chats/{chat.id}', {{method: 'DELETE'}})")
        until(lambda: chats.number.used == 0)


@in_browser
def test_no_text_runs_in_the_page(start: Callable[..., Running], tab: Tab, tmp_path: Path) -> None:
    file = tmp_path / f"{SCRIPT.replace('/', '')}.png"
    PIL.Image.new("RGB", (60, 40)).save(file)
    tab.open(url(start("def answer(image):\n    return read_sign(image)")))
    tab.choose("#files", file)
    assert SCRIPT in asked(tab, SCRIPT, 1)
    tab.wait("document.querySelector('iframe').srcdoc.includes('img src=x')")
    assert tab.run("document.title") == "visprog" and tab.run("document.scripts.length") == 1
    assert tab.run("document.querySelectorAll('#turns img').length") == 0
    # Not even a script of this page can make HTML of text.
    with pytest.raises(AssertionError, match="TrustedHTML"):
        tab.run(f"document.body.innerHTML = {SCRIPT!r}")


@in_browser
def test_problems_are_said_in_the_page(start: Callable[..., Running], tab: Tab, image: Path) -> None:
    served = start(limits=RequestLimits(upload=200, video=0))
    tab.open(url(served))
    tab.wait("document.querySelector('#planner').innerText")
    problem = "document.querySelector('#problem').innerText"
    tab.run("document.querySelector('#ask').click()")
    assert "Choose an image" in tab.run(problem)
    image.write_bytes(image.read_bytes() + bytes(2 << 20))
    tab.choose("#files", image)
    assert "too large" in tab.run(problem)
    image.write_bytes(b"no image")
    tab.choose("#files", image)
    tab.wait("document.querySelector('#previews li')")
    assert "dogs.png" in asked(tab, "How many?", 1)
    served.stop()
    until(lambda: served.service.queue.closed)
    text = asked(tab, "How many?", 2)
    assert "shutting down" in text or "cannot be reached" in text, text


@in_browser
def test_a_token_is_asked_for_and_kept_in_memory_only(tab: Tab, tmp_path: Path) -> None:
    served = serving.start(tmp_path, "--host", "0.0.0.0", token="s3cret")
    address = served.url.replace("0.0.0.0", "127.0.0.1") + "/"
    try:
        tab.open(address)
        for token, is_open in (("wrong", True), ("s3cret", False)):
            tab.wait("document.querySelector('#token').open && !document.querySelector('#token-text').value")
            tab.type(token)
            tab.press("Enter", 13)
            if is_open:
                tab.wait("!document.querySelector('#token-wrong').hidden")
        tab.wait("document.querySelector('#planner').innerText")
        tab.run("document.querySelector('#example').click()")
        tab.wait("document.querySelector('#previews img')")
        assert "answered" in asked(tab, "How dark is it?", 1)
        assert tab.run("document.cookie + localStorage.length + sessionStorage.length") == "00"
        tab.open(address)
        tab.wait("document.querySelector('#token').open")
    finally:
        serving.stop(served)


@in_browser
@pytest.mark.parametrize("width", [320, 1000])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_narrow_screens_in_light_and_dark(
    start: Callable[..., Running], tab: Tab, image: Path, width: int, scheme: str
) -> None:
    tab.call("Emulation.setDeviceMetricsOverride", width=width, height=700, deviceScaleFactor=1, mobile=True)
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    tab.open(url(start()))
    tab.choose("#files", image)
    asked(tab, "How many dogs are there?", 1)
    assert tab.run("document.documentElement.scrollWidth") <= width
    for part in ("body", ".value", "summary", ".note", "#ask", ".badge"):
        assert contrast(tab, part) >= 4.5, part
    folder = os.environ.get("VISPROG_SCREENSHOTS")
    if folder:
        tab.screenshot(Path(folder) / f"{scheme}-{width}.png")


def contrast(tab: Tab, selector: str) -> float:
    """Contrast of a text to its ground, as WCAG 2 defines it."""
    colors = tab.run(f"""(() => {{
        const element = document.querySelector({selector!r});
        let ground = element;
        while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
        return [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor];
    }})()""")

    def luminance(color: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
        red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted(map(luminance, colors))
    return (light + 0.05) / (dark + 0.05)
