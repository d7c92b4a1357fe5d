"""The endpoints, in this process: what they answer, and what they refuse."""

from __future__ import annotations

import base64
import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("python_multipart")
pytest.importorskip("httpx")
from starlette.testclient import TestClient

from tests.sandbox.clock import ends_within
from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog import Agent, Answer, Image, tool
from visprog.answer import json_schema
from visprog.server.app import Service, create_app
from visprog.server.limits import RequestLimits
from visprog.server.queue import RequestQueue

SCHEMA = json_schema()
COUNT = 'def answer(image):\n    return len(detect(image, "dog"))\n'


@tool
def nap(image: Image, seconds: float) -> int:
    """The width, after a while."""
    time.sleep(seconds)
    return image.width


def png(image: Image | None = None) -> bytes:
    buffer = io.BytesIO()
    (image or picture()).to_pil().save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with Agent(FakePlanner(*[COUNT] * 50), {"seconds": 30}, registry=REGISTRY | [nap]) as made:
        yield made


@pytest.fixture(scope="module")
def client(agent: Agent) -> Iterator[TestClient]:
    limits = RequestLimits(upload=200_000, pixels=10_000, seconds=60)
    service = Service(agent, RequestQueue(2, 2), limits, models=lambda: {"detect:big": 5 << 20})
    service.readiness.started = True
    with TestClient(create_app(service), raise_server_exceptions=False) as made:
        yield made


def good(reply: Any) -> dict[str, Any]:
    assert reply.status_code == 200, reply.text
    data: dict[str, Any] = reply.json()
    return data


def bad(reply: Any, status: int, *words: str) -> None:
    data = reply.json()
    assert (reply.status_code, data["status"]) == (status, "error"), reply.text
    assert all(word in data["message"] for word in words), data["message"]


# -- ask and run ---------------------------------------------------------------------------------


def test_a_form_and_json_ask_the_same(client: TestClient) -> None:
    form = good(client.post("/v1/ask", data={"question": "How many?"}, files={"images": ("a.png", png())}))
    text = base64.b64encode(png()).decode()
    plain = good(client.post("/v1/ask", json={"question": "How many?", "images": [text]}))
    for answer in (form, plain):
        jsonschema.validate(answer, SCHEMA)
        assert (answer["status"], answer["value"], answer["question"]) == ("answered", 2, "How many?")
        assert "pictures" not in answer and answer["program"] == COUNT
    assert form["images"][0]["name"] == "a.png" and plain["images"][0]["name"] == "image1"
    assert form["images"][0]["digest"] == plain["images"][0]["digest"] == picture().digest


def test_evidence_is_sent_on_request(client: TestClient) -> None:
    data = {"program": "def answer(image):\n    return invert(image)", "evidence": "true"}
    answer = good(client.post("/v1/run", data=data, files={"images": ("a.png", png())}))
    jsonschema.validate(answer, SCHEMA)
    value = Answer.from_json(answer).value
    assert isinstance(value, Image) and np.array_equal(value.pixels, 255 - picture().pixels)


def test_several_images_keep_their_order(client: TestClient) -> None:
    program = "def answer(images):\n    return [i.width for i in images]"
    sent = [("images", (f"{w}.png", png(picture(w, 10)))) for w in (30, 10, 20)]
    answer = good(client.post("/v1/run", data={"program": program}, files=sent))
    assert answer["value"] == [30, 10, 20]


def test_the_answer_must_have_the_type_that_is_asked_for(client: TestClient) -> None:
    sent = {"images": ("a.png", png())}
    answer = good(client.post("/v1/run", data={"program": COUNT, "returns": "str"}, files=sent))
    assert answer["status"] == "error" and "str" in answer["message"]


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("def answer(image):\n    return detect(image, 'unicorn')", "refused"),
        ("def answer(image):\n    return detct(image)", "error"),
        ("import os", "error"),
        ("", "error"),
    ],
)
def test_every_outcome_of_a_program_is_an_answer(client: TestClient, program: str, status: str) -> None:
    data = {"program": program} if program else {"program": " "}
    answer = good(client.post("/v1/run", data=data, files={"images": ("a.png", png())}))
    jsonschema.validate(answer, SCHEMA)
    assert answer["status"] == status and answer["message"]


def test_no_text_is_taken_for_a_path(client: TestClient, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text("def answer(image):\n    return 'read from the disk'\n")
    answer = good(client.post("/v1/run", data={"program": str(file)}, files={"images": ("a.png", png())}))
    assert answer["status"] == "error" and "disk" not in json.dumps(answer)
    (tmp_path / "p.png").write_bytes(png())
    for image in (str(tmp_path / "p.png"), "http://127.0.0.1:1/a.png", "file:///etc/passwd"):
        bad(client.post("/v1/ask", json={"question": "?", "images": [image]}), 400, "base64")


def test_a_file_name_is_a_name_only(client: TestClient) -> None:
    sent = {"images": ("../../etc/\x1bpasswd\n.png", png())}
    answer = good(client.post("/v1/run", data={"program": COUNT}, files=sent))
    assert re.fullmatch(r"[\w%.]+", answer["images"][0]["name"])


PLAIN = base64.b64encode(png(picture(61, 47))).decode()


@pytest.mark.parametrize(
    "text",
    [PLAIN, base64.encodebytes(png(picture(61, 47))).decode(), base64.urlsafe_b64encode(png(picture(61, 47))).decode(),
     PLAIN.rstrip("="), f" \r\n{PLAIN}\n", PLAIN.replace("A", "A\t", 3), f"data:image/png;base64,{PLAIN}",
     f"DATA:image/png;name=a.png;BASE64,{PLAIN}", f"data:;base64,\n{PLAIN}",
     "data:image/png;base64," + PLAIN.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")],
)  # fmt: skip
def test_base64_as_it_is_written_elsewhere(client: TestClient, text: str) -> None:
    answer = good(client.post("/v1/run", json={"program": COUNT, "images": [text]}))
    assert answer["images"][0]["width"] == 61


@pytest.mark.parametrize(
    ("image", "message"),
    [("data:image/svg+xml,<svg/>", "a data URL that is not in base64"), ("data:image/png;base64", "not in base64"),
     ("https://example.org/a.png", "is a URL, and this server downloads nothing"), ("a.png", "it holds '.'"),
     ("bücher", "it holds '\\xfc'"), (PLAIN[:41], "ends in the middle of a byte"), (PLAIN[:4] + "=" + PLAIN[4:], "'='"),
     ("", "image1 is empty"), (None, "not null"), (3, "not a number"), (True, "not true or false"),
     ({"data": PLAIN}, "not an object"), ([PLAIN], "not a list"), (PLAIN[:80], "image1 is broken"),
     (base64.b64encode(b"%PDF-1.7").decode(), "image1 is a PDF document")],
)  # fmt: skip
def test_a_wrong_image_in_json_is_named(client: TestClient, image: Any, message: str) -> None:
    bad(client.post("/v1/run", json={"program": COUNT, "images": [image]}), 400, message)


def browser_form(*parts: tuple[str, str | None, bytes]) -> dict[str, Any]:
    """Name, file name and content of each field, as a browser sends them: also of a file field left empty."""
    body = b""
    for name, file, content in parts:
        about = f'name="{name}"' + ("" if file is None else f'; filename="{file}"')
        kind = "" if file is None else "Content-Type: application/octet-stream\r\n"
        body += f"--b\r\nContent-Disposition: form-data; {about}\r\n{kind}\r\n".encode() + content + b"\r\n"
    return {"content": body + b"--b--\r\n", "headers": {"content-type": "multipart/form-data; boundary=b"}}


def test_fields_that_a_browser_leaves_empty(client: TestClient) -> None:
    program, empty = ("program", None, COUNT.encode()), ("images", "", b"")
    form = browser_form(
        program, empty, ("images", "a.png", png()), empty, ("returns", None, b""), ("evidence", None, b"on")
    )
    assert [i["name"] for i in good(client.post("/v1/run", **form))["images"]] == ["a.png"]
    question = ("question", None, b"How many?")
    bad(client.post("/v1/ask", **browser_form(question, empty)), 400, "at least one image")
    bad(
        client.post("/v1/ask", **browser_form(question, ("images", "none.png", b""))),
        400,
        "none.png is empty",
    )
    nameless = good(client.post("/v1/run", **browser_form(program, ("images", "", png()))))
    assert [i["name"] for i in nameless["images"]] == ["images"]


def test_a_file_sent_as_text_is_named(client: TestClient) -> None:
    form = browser_form(("question", None, b"How many?"), ("images", None, b"a.png"))
    bad(client.post("/v1/ask", **form), 400, "'images' must be a file", "-F images=@FILE")


@pytest.mark.parametrize("returns", [[], {}, 3, "dict"])
def test_an_unknown_type_is_named(client: TestClient, returns: Any) -> None:
    bad(
        client.post("/v1/run", json={"program": COUNT, "images": [PLAIN], "returns": returns}),
        400,
        "'returns'",
    )


# -- what is refused -----------------------------------------------------------------------------


def test_requests_that_cannot_be_understood(client: TestClient) -> None:
    image = {"images": ("a.png", png())}
    bad(client.post("/v1/ask", files=image), 400, "'question'")
    bad(client.post("/v1/ask", data={"question": " "}, files=image), 400, "question is empty")
    bad(client.post("/v1/ask", json={"question": "How many?"}), 400, "at least one image")
    bad(client.post("/v1/ask", data={"question": "?", "planner": "x"}, files=image), 400, "'planner'")
    bad(client.post("/v1/ask", data={"question": "?"}, files={"picture": ("a.png", png())}), 400, "'images'")
    bad(client.post("/v1/run", data={"program": COUNT, "returns": "dict"}, files=image), 400, "'returns'")
    bad(client.post("/v1/run", data={"program": COUNT, "evidence": "maybe"}, files=image), 400, "'evidence'")
    bad(client.post("/v1/run", json={"program": 3}), 400, "'program'")
    bad(client.post("/v1/run", json=[1]), 400, "JSON object")
    bad(client.post("/v1/run", json={"program": COUNT, "images": "x"}), 400, "'images'")
    json_type = {"content-type": "application/json"}
    bad(client.post("/v1/run", content=b"{", headers=json_type), 400, "not valid JSON")
    bad(client.post("/v1/run", content=b'{"program": NaN}', headers=json_type), 400, "NaN")
    bad(client.post("/v1/run", content=b"[" * 90_000, headers=json_type), 400, "not valid JSON")
    bad(client.post("/v1/run", content=b"x", headers={"content-type": "text/plain"}), 415, "multipart")
    for kind, body in (("multipart/form-data", b""), ("multipart/form-data; boundary=b", b"--b\r\n\r\nx")):
        bad(client.post("/v1/run", content=body, headers={"content-type": kind}), 400, "form")
    bad(client.get("/v1/ask"), 405, "GET /v1/ask")
    bad(client.get("/v2"), 404, "GET /v2")


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", png()[:60]])
def test_a_broken_image_is_named(client: TestClient, data: bytes) -> None:
    bad(client.post("/v1/ask", data={"question": "?"}, files={"images": ("my.png", data)}), 400, "my.png")


def test_what_is_too_large_is_refused(client: TestClient) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    large = png(Image(noise))
    assert len(large) > 200_000
    sent = {"images": ("a.png", large)}
    bad(client.post("/v1/ask", data={"question": "?"}, files=sent), 413, "too large")
    # A few bytes can ask for much memory: the pixels of all images count together.
    wide = png(picture(90, 80))
    good(client.post("/v1/run", data={"program": COUNT}, files={"images": ("a.png", wide)}))
    two = [("images", ("a.png", wide)), ("images", ("b.png", wide))]
    bad(client.post("/v1/run", data={"program": COUNT}, files=two), 413, "b.png", "10,000 pixels")
    many = [base64.b64encode(png(picture(1, 1))).decode()] * 65
    bad(client.post("/v1/run", json={"program": COUNT, "images": many}), 413, "64")


def test_a_bug_reveals_nothing_internal(
    client: TestClient, agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(agent, "run", crash)
    reply = client.post("/v1/run", data={"program": COUNT}, files={"images": ("a.png", png())})
    bad(reply, 500, "bug in visprog")
    assert "secret" not in reply.text and "secret" in caplog.text


def test_a_request_has_a_time_limit(agent: Agent) -> None:
    service = Service(agent, RequestQueue(1, 1), RequestLimits(seconds=0.5))
    program = "def answer(image):\n    return nap(image, 1.5)"
    with TestClient(create_app(service)) as client:
        with ends_within(0.5):
            reply = client.post("/v1/run", data={"program": program}, files={"images": ("a.png", png())})
        bad(reply, 504, "0.5 s")


# -- tools ---------------------------------------------------------------------------------------


def test_tools_are_listed_with_their_schemas(client: TestClient) -> None:
    tools = {t["name"]: t for t in good(client.get("/v1/tools"))["tools"]}
    assert set(tools) == set(REGISTRY.called) | {"nap"}
    for each in tools.values():
        jsonschema.Draft202012Validator.check_schema(each["parameters"])
    assert tools["detect"]["parameters"] == REGISTRY["detect"].schema()
    assert tools["detect"]["returns"] == "list[Region]"


def test_a_result_of_one_tool_is_an_argument_of_the_next(client: TestClient) -> None:
    street = {"street": ("street.png", png())}
    arguments = json.dumps({"image": "street", "what": "dog"})
    found = good(client.post("/v1/tools/detect", data={"arguments": arguments}, files=street))
    assert found["status"] == "ok" and [r["label"] for r in found["value"]] == ["dog", "dog"]
    for region in found["value"]:
        data = {
            "arguments": json.dumps({"image": "street", "region": "it"}),
            "values": json.dumps({"it": region}),
            "evidence": "1",
        }
        cut = good(client.post("/v1/tools/crop", data=data, files=street))
        left, top, right, bottom = (int(v) for v in region["box"])
        shown = cut["pictures"][cut["value"]["digest"]]
        pixels = Image.open(base64.b64decode(shown["data"])).pixels
        assert np.array_equal(pixels, picture().pixels[top:bottom, left:right])
        # A crop is sent as the image that it was cut from.
        again = {"arguments": json.dumps({"image": "part"}), "values": json.dumps({"part": cut["value"]})}
        text = good(client.post("/v1/tools/read_text", data=again, files=street))
        assert text["value"] == "STOP"


def test_json_calls_tools_too(client: TestClient) -> None:
    images = {"a": base64.b64encode(png()).decode()}
    box = {"type": "Box", "box": [0, 0, 5, 4]}
    body = {"arguments": {"image": "a", "region": "b"}, "values": {"b": box}, "images": images}
    value = good(client.post("/v1/tools/crop", json=body))["value"]
    assert (value["width"], value["height"]) == (5, 4)


def test_tools_that_cannot_be_called_so(client: TestClient) -> None:
    image = {"a": ("a.png", png())}

    def call(name: str, values: Any = None, **arguments: Any) -> Any:
        data = {"arguments": json.dumps(arguments), "values": json.dumps(values or {})}
        return client.post(f"/v1/tools/{name}", data=data, files=image)

    bad(call("detct", image="a", what="dog"), 404, "did you mean 'detect'")
    bad(call("largest"), 404, "program")
    bad(call("detect", image="a"), 400, "'what'")
    bad(call("detect", image="a", what="dog", much=1), 400, "'much'")
    bad(call("detect", image="b", what="dog"), 400, "'b'")
    bad(call("detect", image="a", what=7), 400, "'what' must be str")
    for broken in ({"type": "Box"}, {"type": "Box", "box": "no"}, {"box": 1}, {"type": "Region", "box": [0]}):
        bad(call("crop", {"r": broken}, image="a", region="r"), 400, "'r'")
    elsewhere = {"type": "Image", "digest": "0" * 64, "root": "0" * 64, "origin": [0, 0]}
    bad(call("invert", {"i": elsewhere}, image="i"), 400, "was not uploaded")
    assert good(call("detect", image="a", what="unicorn"))["status"] == "refused"
    failed = good(call("detect", image="a", what="crash"))
    assert failed["status"] == "error" and failed["value"] is None
    # What an unexpected error says, which may be a path or a key, is for the log alone.
    assert failed["message"] == "detect failed: RuntimeError (the log of the server has the details)"


def test_masks_count_as_the_pixels_that_they_unpack_to(client: TestClient) -> None:
    mask = base64.b64encode(png(Image(np.zeros((60, 90, 3), np.uint8)))).decode()
    value = {"type": "Mask", "box": [0, 0, 90, 60], "area": 0, "png": mask}
    images = {"a": base64.b64encode(png()).decode()}
    for values, too_large in (({"m": value}, False), ({"m": value, "n": [value]}, True)):
        body = {"arguments": {"image": "a", "what": "dog"}, "values": values, "images": images}
        reply = client.post("/v1/tools/detect", json=body)
        assert (reply.status_code == 413) == too_large, reply.text
        assert ("the masks are too large" in reply.text) == too_large


# -- what it says of itself ----------------------------------------------------------------------


def test_metrics_count_what_was_done(client: TestClient) -> None:
    def read() -> dict[str, float]:
        text = client.get("/metrics").text
        rows = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in rows}

    before = read()
    good(client.post("/v1/run", data={"program": COUNT}, files={"images": ("a.png", png(picture(41, 7)))}))
    bad(client.post("/v1/run", json={}), 400)
    after = read()
    added = {k: v - before.get(k, 0) for k, v in after.items()}
    assert added['visprog_requests_total{endpoint="run",status="200"}'] == 1
    assert added['visprog_requests_total{endpoint="run",status="400"}'] == 1
    assert added['visprog_request_seconds_count{endpoint="run"}'] == 2
    assert added['visprog_answers_total{status="answered"}'] == 1
    assert added['visprog_tool_calls_total{cached="false",tool="detect"}'] == 1
    assert after['visprog_model_bytes{model="detect:big"}'] == 5 << 20
    assert after["visprog_requests_running"] == after["visprog_requests_waiting"] == 0


def test_health_tells_alive_from_ready(agent: Agent) -> None:
    service = Service(agent, RequestQueue(1, 0), RequestLimits())
    with TestClient(create_app(service)) as client:
        starting = client.get("/health")
        assert starting.status_code == 503 and starting.json()["alive"] and not starting.json()["ready"]
        service.readiness.started = True
        assert good(client.get("/health"))["ready"]
        service.queue.close()
        assert client.get("/health").status_code == 503
        reply = client.post("/v1/run", data={"program": COUNT}, files={"images": ("a.png", png())})
        bad(reply, 503, "shutting down")
        assert int(reply.headers["retry-after"]) >= 1


def test_the_description_is_whole_and_loads_nothing(client: TestClient) -> None:
    described = good(client.get("/openapi.json"))
    names = set(described["components"]["schemas"])
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(described)))
    assert references <= names and {"answer", "result", "value"} <= references
    assert set(described["paths"]) == {
        "/v1/ask", "/v1/run", "/v1/tools", "/v1/tools/{name}", "/health", "/metrics", "/v1/about",
        "/v1/chats", "/v1/chats/{id}", "/v1/chats/{id}/ask",
    }  # fmt: skip
    page = client.get("/docs").text
    assert "/v1/ask" in page and "<script" not in page and "//" not in page.replace("/openapi.json", "")
