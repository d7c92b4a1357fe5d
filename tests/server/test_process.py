"""A server in a process of its own: many clients, signals, and its sudden end."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("python_multipart")

from tests.server.serving import ROOT, Served, start, stop
from tests.small_tools import picture
from visprog.errors import ImageError
from visprog.server.client import Client, ServerError

NAP = "def answer(image):\n    return nap(image, {seconds}) + {salt}"


def png(value: int) -> bytes:
    """An image whose least value is `min(20, value)`."""
    return picture(30, 20, value)._repr_png_()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = start(
        tmp_path_factory.mktemp("serve"),
        "--workers",
        "2",
        "--queue",
        "3",
        "--share",
        "1",
        "--upload-limit",
        "1",
    )
    yield made
    stop(made)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts servers that a test may end."""
    made: list[Served] = []

    def begin(*arguments: str, token: str = "") -> Served:
        made.append(start(tmp_path, *arguments, token=token))
        return made[-1]

    yield begin
    for each in made:
        stop(each)


def gauge(served: Served, name: str) -> float:
    _, _, content = served.request("GET", "/metrics")
    return next(
        float(line.split()[1]) for line in content.decode().splitlines() if line.startswith(f"{name} ")
    )


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def running(served: Served, number: int) -> Callable[[], bool]:
    return lambda: gauge(served, "visprog_requests_running") == number


# -- answers -------------------------------------------------------------------------------------


def test_a_client_asks_with_files_and_with_bytes(served: Served, tmp_path: Path) -> None:
    client = Client(served.url)
    assert client.health()["ready"]
    file = tmp_path / "größe 1.png"
    file.write_bytes(png(9))
    for image in (file, str(file), png(9)):
        answer = client.ask("How dark is it?", image)
        assert (answer["status"], answer["value"], answer["question"]) == ("answered", 9, "How dark is it?")
    answer = client.ask("How dark?", file, returns="str", evidence=True)
    assert answer["images"][0]["name"] == "größe 1.png" and answer["pictures"]
    assert answer["status"] == "error" and "str" in answer["message"]
    assert client.run("def answer(images):\n    return len(images)", png(1), png(2))["value"] == 2
    assert "darkest" in {t["name"] for t in client.tools()}


def test_a_client_says_what_is_wrong(served: Served, tmp_path: Path) -> None:
    client = Client(served.url)
    with pytest.raises(ImageError, match="no such file"):
        client.ask("?", tmp_path / "nothing.png")
    with pytest.raises(ImageError, match="is a URL"):
        client.ask("?", "http://example.org/a.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ServerError, match=r"broken\.png") as refused:
        client.ask("?", tmp_path / "broken.png")
    assert refused.value.status == 400
    for size in (2 << 20, 30 << 20):  # also where the server stops reading
        with pytest.raises(ServerError, match="too large") as refused:
            client.ask("?", b"x" * size)
        assert refused.value.status == 413


def test_a_full_server_answers_with_retry_after(served: Served) -> None:
    """A queue of 5: of 12 clients some are refused, and every answer is right."""
    barrier = threading.Barrier(12)

    def ask(number: int) -> tuple[int, Any]:
        barrier.wait()
        status, headers, data = served.run(NAP.format(seconds=0.3, salt=number), png(7))
        if status == 200:
            assert (data["status"], data["value"]) == ("answered", 7 + number), data
        else:
            assert status == 429 and int(headers["retry-after"]) >= 1 and "5 requests" in data["message"]
        return status, data

    with ThreadPoolExecutor(12) as pool:
        counts = Counter(status for status, _ in pool.map(ask, range(12)))
    assert counts[200] >= 5 and counts[429] >= 1 and sum(counts.values()) == 12
    until(running(served, 0))


def test_a_foreign_name_is_refused(served: Served) -> None:
    status, _, content = served.request("GET", "/v1/tools", headers={"Host": "evil.example"})
    assert status == 403 and json.loads(content)["status"] == "error"


def test_an_upload_that_stops_frees_its_place(served: Served) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    for _ in range(8):
        with socket.create_connection((host, int(port))) as half:
            half.sendall(b"POST /v1/run HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
            half.sendall(b"Content-Length: 1000\r\n\r\n{")
    until(lambda: served.run("def answer(image):\n    return 1", png(1))[0] == 200)
    assert 'endpoint="run",status="499"' in served.request("GET", "/metrics")[2].decode()


# -- the end -------------------------------------------------------------------------------------


def test_sigterm_finishes_what_runs_and_refuses_the_rest(own: Callable[..., Served]) -> None:
    served = own("--workers", "1", "--queue", "4")
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(served.run, NAP.format(seconds=2, salt=0), png(3))
        until(running(served, 1))
        second = pool.submit(served.run, NAP.format(seconds=0, salt=1), png(3))
        until(lambda: gauge(served, "visprog_requests_waiting") == 1)
        served.process.send_signal(signal.SIGTERM)
        status, headers, data = second.result()
        assert status == 503 and "shutting down" in data["message"] and headers["retry-after"]
        status, _, data = first.result()
        assert (status, data["value"]) == (200, 3)
    assert served.process.wait(20) == 0
    with pytest.raises(ServerError, match="visprog serve"):
        Client(served.url).health()


def test_a_server_may_open_many_files(tmp_path: Path) -> None:
    """Also where a process may open few, as on most systems, unless it asks."""
    limits = Path("/proc/self/limits")
    if not limits.exists():
        pytest.skip("limits of another process are read on Linux alone")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
    try:
        served = start(tmp_path)
        text = Path(f"/proc/{served.process.pid}/limits").read_text()
        stop(served)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    (line,) = (line for line in text.splitlines() if line.startswith("Max open files"))
    assert int(line.split()[3]) >= min(hard, 16_384)


def test_an_idle_server_ends_at_once_on_ctrl_c(own: Callable[..., Served]) -> None:
    served = own()
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(20) == 0


def test_a_second_signal_does_not_wait(own: Callable[..., Served]) -> None:
    served = own("--workers", "1")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(Client(served.url).run, NAP.format(seconds=60, salt=0), png(3))
        until(running(served, 1))
        served.process.send_signal(signal.SIGTERM)
        until(lambda: not json.loads(served.request("GET", "/health")[2])["ready"])
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(20) == 143
        with pytest.raises(ServerError, match="ended before it answered"):
            asked.result()


def test_a_killed_server_is_noticed(own: Callable[..., Served]) -> None:
    served = own("--workers", "1")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(Client(served.url).run, NAP.format(seconds=60, salt=0), png(3))
        until(running(served, 1))
        served.process.kill()
        with pytest.raises(ServerError, match="ended before it answered") as lost:
            asked.result()
    assert served.url in str(lost.value) and lost.value.status == 0


def test_a_token_opens_a_server_that_others_reach(
    own: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = own("--host", "0.0.0.0", token="s3cret")
    url = f"http://127.0.0.1:{served.url.rpartition(':')[2]}"
    monkeypatch.delenv("VISPROG_TOKEN", raising=False)
    with pytest.raises(ServerError, match="VISPROG_TOKEN") as refused:
        Client(url).ask("?", png(1))
    assert refused.value.status == 401
    assert Client(url, "s3cret").ask("?", png(4))["value"] == 4
    monkeypatch.setenv("VISPROG_TOKEN", "s3cret")
    assert Client(url).ask("?", png(5))["value"] == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "VISPROG_TOKEN"),
        (["--token", "two words"], "ASCII"),
        (["--host", "256.1.1.1", "--token", "x"], "there is no address 256.1.1.1"),
        (["--port", "TAKEN"], "choose another with --port"),
    ],
)
def test_a_server_that_cannot_start_says_why(tmp_path: Path, arguments: list[str], words: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "visprog", "serve", *(port if a == "TAKEN" else a for a in arguments)],
            cwd=tmp_path,
            env={"PATH": "", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 1 and words in done.stderr and "Traceback" not in done.stderr
