"""Videos that clients upload: how large, where they lie, and that nothing is left of them."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("python_multipart")
pytest.importorskip("av")

import starlette.formparsers

from tests.server import serving
from tests.server.local import Running, post, running, until
from tests.server.test_connections import needs_loopback_network
from tests.small_tools import REGISTRY, FakePlanner, picture
from tests.video_files import write_video
from visprog import Agent
from visprog.cli import main
from visprog.errors import ToolError
from visprog.runtime.processes.video_decoder import VIDEO_DECODERS
from visprog.server.app import Service
from visprog.server.limits import RequestLimits
from visprog.server.queue import RequestQueue
from visprog.server.shares import Shares
from visprog.server.videos import VideoUpload
from visprog.values import Video
from visprog.values.elsewhere import video_decoder

LENGTH = "def answer(video):\n    return round(video.duration, 1)\n"
LIMITS = RequestLimits(upload=20_000, video=400_000, pixels=100_000, seconds=60, stall=0.6, rate=1 << 20)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that is larger than a request without one may be."""
    path = write_video(
        tmp_path_factory.mktemp("clip") / "clip.mp4", lambda t: [(10 + 20 * t, 30, (200, 0, 0))], 4
    )
    assert 20_000 < path.stat().st_size < 400_000
    return path


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that is not."""
    path = write_video(tmp_path_factory.mktemp("short") / "short.mp4", lambda t: [(10, 30, (200, 0, 0))], 0.3)
    assert path.stat().st_size < 15_000
    return path


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with Agent(FakePlanner(*[LENGTH] * 9), {"seconds": 60}, registry=REGISTRY) as made:
        yield made


@pytest.fixture
def start(agent: Agent) -> Iterator[Callable[..., Running]]:
    with ExitStack() as stack:

        def begin(limits: RequestLimits = LIMITS, videos: Shares | None = None) -> Running:
            service = Service(agent, RequestQueue(2, 2), limits, videos=videos)
            return stack.enter_context(running(service, Shares(500)))

        yield begin


@pytest.fixture
def nothing_left() -> Iterator[Callable[[], bool]]:
    """Whether this process holds no more temporary files than before, but empty ones."""

    def held() -> int:
        return sum(os.fstat(int(fd)).st_size for fd in os.listdir("/proc/self/fd") if is_temporary(fd))

    def is_temporary(fd: str) -> bool:
        try:
            return os.readlink(f"/proc/self/fd/{fd}").endswith("(deleted)")
        except OSError:
            return False

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("open files are listed on Linux alone")
    before = held()
    yield lambda: held() <= before


def problem(found: tuple[int, dict[str, str], Any], status: int, *words: str) -> None:
    assert (found[0], found[2]["status"]) == (status, "error"), found
    assert all(word in found[2]["message"] for word in words), found[2]


def run(*files: tuple[str, bytes], program: str = LENGTH) -> bytes:
    return post("/v1/run", {"program": program}, *files)


def as_json(path: str, **fields: Any) -> bytes:
    body = json.dumps(fields).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


# -- answers -------------------------------------------------------------------------------------


def test_a_video_is_asked_about_and_removed(
    start: Callable[..., Running], clip: Path, nothing_left: Callable[[], bool]
) -> None:
    served = start()
    status, _, answer = served.send(run(("clip.mp4", clip.read_bytes())))
    assert (status, answer["status"], answer["value"]) == (200, "answered", 4.0)
    assert answer["images"][0]["name"].startswith("clip.mp4 at ")
    status, _, answer = served.send(
        post("/v1/ask", {"question": "How long?"}, ("clip.mp4", clip.read_bytes()))
    )
    assert (status, answer["value"]) == (200, 4.0)
    until(lambda: served.service.videos.used == served.service.uploads.used == 0)
    assert nothing_left()


def test_videos_are_decoded_in_confined_processes(
    start: Callable[..., Running], clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = start()
    assert video_decoder() is VIDEO_DECODERS

    class Broken:
        def __call__(self, calls: Any) -> Any:
            raise ToolError("no process can be started")

        def interrupt(self, thread: int) -> None:
            pass

    monkeypatch.setattr(VIDEO_DECODERS, "_decoder", Broken())
    problem(served.send(run(("clip.mp4", clip.read_bytes()))), 400, "clip.mp4 cannot be decoded")


def test_a_short_video_comes_in_every_form(
    start: Callable[..., Running], short: Path, nothing_left: Callable[[], bool]
) -> None:
    served, data = start(), short.read_bytes()
    text = base64.b64encode(data).decode()
    forms = [
        run(("short.mp4", data)),
        renamed(run(("short.mp4", data))),
        as_json("/v1/run", program=LENGTH, images=[text]),
        as_json("/v1/run", program=LENGTH, video=text),
    ]
    for form in forms:
        status, _, answer = served.send(form)
        assert (status, answer.get("value")) == (200, 0.3), answer
    until(nothing_left)


def renamed(data: bytes) -> bytes:
    """A form whose files are in the field `video`."""
    head, _, body = data.partition(b"\r\n\r\n")
    body = body.replace(b'name="images"', b'name="video"')
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length"))
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def test_a_video_is_not_told_by_the_name_of_its_file(start: Callable[..., Running], clip: Path) -> None:
    served = start()
    assert served.send(run(("a.png", clip.read_bytes())))[2]["value"] == 4.0
    problem(served.send(run(("clip.mp4", picture()._repr_png_()[:40]))), 400, "clip.mp4")


def test_the_command_asks_a_server_about_a_video(
    tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "length.py").write_text(LENGTH)
    served = serving.start(tmp_path, "--upload-limit", "1", "--workers", "1", "--planner", "replay:length.py")
    monkeypatch.chdir(tmp_path)
    long = tmp_path / "long.mp4"
    long.write_bytes(clip.read_bytes() + bytes(2 << 20))
    try:
        for file in (clip, long):
            assert main(["ask", str(file), "How long is it?", "--server", served.url, "--json"]) == 0
            answer = json.loads(capsys.readouterr().out)
            assert answer["value"] == 4.0 and answer["images"][0]["name"].startswith(file.name)
        assert main(["ask", "nothing.mp4", "How long is it?", "--server", served.url]) == 1
        assert "no such file: nothing.mp4" in capsys.readouterr().err
    finally:
        serving.stop(served)


# -- what is refused -----------------------------------------------------------------------------


def test_what_is_too_large_is_refused_with_the_way_out(start: Callable[..., Running], clip: Path) -> None:
    served, data = start(), clip.read_bytes()
    head = b"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    problem(
        served.send(head + b"Content-Length: 99999999\r\n\r\n"), 413, "too large", "a video of 0.38147 MiB"
    )
    text = base64.b64encode(data).decode()
    problem(served.send(as_json("/v1/ask", question="?", video=text)), 413, "multipart form, not in base64")
    problem(served.send(run(("a.png", bytes(30_000)))), 413, "too large")
    problem(served.send(run(("a.mp4", data + bytes(400_000 - len(data) + 1)))), 413, "too large")
    some = [(f"{i}.png", bytes(15_000)) for i in range(3)]
    problem(served.send(run(*some)), 413, "too large")
    tool = post("/v1/tools/detect", {"arguments": "{}"}, ("a.mp4", data))
    problem(served.send(tool), 413, "too large: this server accepts 0.0190735 MiB")
    without = start(RequestLimits(upload=20_000, video=0))
    problem(without.send(run(("clip.mp4", data))), 413, "too large")


def test_what_is_no_video_or_not_alone_is_refused(
    start: Callable[..., Running], clip: Path, short: Path, nothing_left: Callable[[], bool]
) -> None:
    served, data = start(), clip.read_bytes()
    problem(served.send(run(("clip.mp4", data[:200] + bytes(40_000)))), 400, "clip.mp4")
    problem(
        served.send(run(("a.mp4", data), ("b.png", picture()._repr_png_()))),
        400,
        "one video, or about images",
    )
    problem(served.send(run(("a.mp4", data), ("b.mp4", short.read_bytes()))), 400, "one video")
    problem(served.send(renamed(run(("a.png", picture()._repr_png_())))), 400, "a.png is no video")
    tool = post("/v1/tools/detect", {"arguments": "{}"}, ("short.mp4", short.read_bytes()))
    problem(served.send(tool), 400, "short.mp4 is a video")
    small = start(RequestLimits(upload=20_000, video=400_000, pixels=1_000))
    problem(small.send(run(("clip.mp4", data))), 400, "160 x 120 pixels")
    until(nothing_left)


def test_a_full_disk_is_named(
    start: Callable[..., Running],
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    nothing_left: Callable[[], bool],
) -> None:
    class Full(starlette.formparsers.SpooledTemporaryFile):  # type: ignore[type-arg]
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(starlette.formparsers, "SpooledTemporaryFile", Full)
    served = start()
    problem(served.send(run(("clip.mp4", clip.read_bytes()))), 507, "no room")
    assert served.service.videos.used == 0 and nothing_left()


@needs_loopback_network
def test_bytes_on_the_disk_are_bounded_for_all_and_for_each(start: Callable[..., Running]) -> None:
    served = start(RequestLimits(upload=20_000, video=400_000, stall=20), Shares(900_000, 0.5, least=300_000))
    head = b"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    head += b"Content-Length: 300000\r\n\r\n"
    with ExitStack() as stack:
        for source in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
            before = served.service.videos.used
            stack.enter_context(served.connect(source)).sendall(head)
            until(lambda before=before: served.service.videos.used == before + 300_000)
        assert served.service.uploads.used == 60_000
        problem(served.send(head, "127.0.0.2"), 429, "bytes")
    until(lambda: served.service.videos.used == 0)


# -- nothing is left -----------------------------------------------------------------------------


@pytest.mark.parametrize("leaves", [True, False], ids=["gone", "slow"])
def test_an_upload_that_is_not_finished_leaves_nothing(
    start: Callable[..., Running], clip: Path, nothing_left: Callable[[], bool], leaves: bool
) -> None:
    served, data = start(), run(("clip.mp4", clip.read_bytes()))
    with served.connect() as connection:
        connection.sendall(data[:-5_000])
        until(lambda: not nothing_left())  # it is on the disk
        if not leaves:
            assert b"408" in connection.recv(100)
    until(lambda: served.service.videos.used == 0)
    assert nothing_left()


def test_a_client_that_goes_away_leaves_nothing(
    start: Callable[..., Running], clip: Path, nothing_left: Callable[[], bool]
) -> None:
    served = start()
    program = "def answer(video):\n    while True:\n        video.at(1.0)\n"
    with served.connect() as connection:
        connection.sendall(run(("clip.mp4", clip.read_bytes()), program=program))
        until(lambda: served.service.queue.running == 1)
    until(lambda: served.service.queue.running == 0)
    until(nothing_left)


def test_a_server_that_is_killed_leaves_nothing(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    served = serving.start(tmp_path, "--upload-limit", "1")
    try:
        data = run(("clip.mp4", clip.read_bytes() + bytes(2 << 20)))
        address = urlsplit(served.url)
        with socket.create_connection((address.hostname, address.port or 0)) as connection:
            connection.sendall(data[: 2 << 20])
            until(lambda: "visprog_video_bytes 2" in served.request("GET", "/metrics")[2].decode())
            served.process.send_signal(signal.SIGKILL)
            served.process.wait()
        assert [file for file in temporary.rglob("*") if file.is_file()] == []
    finally:
        serving.stop(served)


def test_a_video_that_was_removed_is_gone_for_all_who_have_it_open(clip: Path) -> None:
    upload = VideoUpload("clip.mp4", clip.read_bytes(), clip.stat().st_size)
    video = upload.open(100_000)
    assert isinstance(video, Video) and video.name == "clip.mp4" and video.duration == 4.0
    descriptor = video.source._file.descriptor  # type: ignore[attr-defined]
    assert os.fstat(descriptor).st_size == clip.stat().st_size
    upload.close()
    assert os.fstat(descriptor).st_size == 0
    with pytest.raises(Exception, match="cancelled"):
        upload.open(100_000)
    upload.close()
