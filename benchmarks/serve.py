"""Many clients at once on `visprog serve`: no answer may be lost or wrong, and the server's memory stays flat.

    python benchmarks/serve.py [--clients 64] [--seconds 120] [--workers 4] [--queue 124] [--hostile]

Each client runs programs and asks questions about pictures of circles whose number it knows; the value of each
answer is compared. Who is sent away (429, 503) comes back when the server says so; with a short `--queue` that is
seen often. Meanwhile a sampler asks `/health`, and whenever that says ready, it runs a program at once, which must be
answered. With `--hostile`, other clients (on Linux from other addresses) send headers and bodies slowly, announce and
send giant bodies, keep connections open, and call a tool that takes longer than a request may.
Exit code 1: an answer was lost or wrong, readiness lied, or memory grew. With `--url` a server that runs is used, which
needs the tool of `HANG` for the hanging calls.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import PIL.Image
import PIL.ImageDraw

from visprog.server.client import Client, ServerError, encode

QUESTION = "How many circles are there?"
PROGRAM = "def answer(image):\n    return [len(find_circles(image)), {salt}]\n"
CACHE = 16
"""MiB of tool results that the server keeps, few enough to be full soon: from then on its memory must stay flat."""
HANG = '''
import time
from visprog import Image, tool

@tool(cache=False)
def hang(image: Image, seconds: float) -> int:
    """The width, after a while."""
    time.sleep(seconds)
    return image.width
'''
GROWTH = 0.1
"""Share by which it may grow from the first third of the time to the last."""


@dataclass
class Tally:
    """What the clients met."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    def note(self, kind: str, example: str = "") -> None:
        with self.lock:
            self.counts[kind] += 1
            if example and len(self.examples) < 5:
                self.examples.append(f"{kind}: {example}")


def scene(seed: int) -> tuple[bytes, int]:
    """A PNG of one to six circles that stand apart, and their number."""
    chosen = random.Random(seed)
    count = chosen.randint(1, 6)
    picture = PIL.Image.new("RGB", (240, 160), "white")
    draw = PIL.ImageDraw.Draw(picture)
    for cell in chosen.sample(range(6), count):
        x, y, r = 40 + 80 * (cell % 3), 40 + 80 * (cell // 3), chosen.randint(14, 28)
        draw.ellipse((x - r, y - r, x + r, y + r), outline="black", width=3)
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue(), count


def work(client: Client, number: int, end: float, tally: Tally) -> None:
    """One client, until the time is over; an answer that was begun is waited for."""
    chosen = random.Random(number)
    while time.monotonic() < end:
        picture, count = scene(chosen.randrange(500))
        salt = chosen.randrange(10**9)
        asks = chosen.random() < 0.25
        started = time.monotonic()
        try:
            answer = client.ask(QUESTION, picture) if asks else client.run(PROGRAM.format(salt=salt), picture)
        except ServerError as error:
            if error.status in (429, 503):
                tally.note(str(error.status))
                time.sleep(error.retry_after or 1)
            else:  # 504 too: nobody waits for two minutes
                tally.note("lost", str(error))
            continue
        expected = count if asks else [count, salt]
        right = answer["status"] == "answered" and answer["value"] == expected
        told = "" if right else f"{answer['status']} {answer['value']} {answer['message']}, not {expected}"
        tally.note("right" if right else "wrong", told)
        with tally.lock:
            tally.seconds.append(time.monotonic() - started)


def source(number: int) -> tuple[str, int]:
    """An address of this machine for a client: on Linux, one of its own."""
    return (f"127.0.1.{number}" if sys.platform == "linux" else "127.0.0.1"), 0


def sample(url: str, end: float, tally: Tally) -> None:
    """Ask whether the server is ready, and if so, run a program at once."""
    picture, _ = scene(0)
    kind, body = encode(
        [("program", None, b"def answer(image):\n    return 1"), ("images", "a.png", picture)]
    )
    while time.monotonic() < end:
        status = exchange(url, "GET", "/health", 200)[0]
        if status != 200:
            tally.note("not ready")
            time.sleep(0.2)
            continue
        status, data = exchange(url, "POST", "/v1/run", 200, body, {"Content-Type": kind})
        right = status == 200 and json.loads(data).get("value") == 1
        tally.note("ready" if right else "ready, but no answer", "" if right else data.decode()[:200])
        time.sleep(0.2)


def exchange(
    url: str, method: str, path: str, number: int, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Status and content of an answer; (0, reason) if there is none."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=300, source_address=source(number))
    try:
        connection.request(method, path, body, dict(headers or {}))
        reply = connection.getresponse()
        return reply.status, reply.read()
    except (OSError, HTTPException) as error:
        return 0, f"{type(error).__name__}: {error}".encode()
    finally:
        connection.close()


HEAD = b"POST /v1/run HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def trickle(url: str, number: int, end: float, tally: Tally, start: bytes, part: bytes) -> None:
    """Send a part of a request every half second, until the server has had enough; again and again."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    while time.monotonic() < end:
        try:
            with socket.create_connection((host, port), 5, source_address=source(number)) as connection:
                connection.sendall(start)
                connection.settimeout(0.5)
                got = b""
                while not got and time.monotonic() < end:
                    connection.sendall(part)
                    with suppress(TimeoutError):
                        got = connection.recv(1 << 16)
                        tally.note(f"slow: {got.split()[1].decode() if got else 'closed'}")
        except OSError:
            tally.note("slow: closed")
        time.sleep(0.5)


def flood(url: str, number: int, end: float, tally: Tally) -> None:
    """Send a body of 64 MiB in chunks, without an announcement."""
    chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    host, port = urlsplit(url).hostname, urlsplit(url).port
    while time.monotonic() < end:
        got = b""
        with (
            suppress(OSError),
            socket.create_connection((host, port), 30, source_address=source(number)) as connection,
        ):
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(64):
                connection.sendall(chunk)
            got = connection.recv(1 << 16)
        tally.note(f"giant: {got.split()[1].decode() if got else 'closed'}")
        time.sleep(1)


def hang(url: str, number: int, end: float, tally: Tally, seconds: float) -> None:
    """Run a program whose tool takes longer than a request may."""
    picture, _ = scene(number)
    program = f"def answer(image):\n    return hang(image, {seconds})".encode()
    kind, body = encode([("program", None, program), ("images", "a.png", picture)])
    while time.monotonic() < end:
        status, _ = exchange(url, "POST", "/v1/run", number, body, {"Content-Type": kind})
        tally.note(f"hanging: {status or 'closed'}")
        time.sleep(0.2)


def hostile(url: str, options: argparse.Namespace, end: float, tally: Tally) -> list[threading.Thread]:
    """The hostile clients: their threads, not started."""
    half = HEAD + b"Content-Length: 1000000\r\n\r\n{"
    jobs: list[tuple[Any, tuple[Any, ...]]] = []
    jobs += [(trickle, (url, 1, end, tally, HEAD, b"X: y\r\n"))] * 40
    jobs += [(trickle, (url, 2, end, tally, half, b" "))] * 40
    jobs += [(trickle, (url, 3, end, tally, b"", b""))] * 300  # more than its share of the connections
    jobs += [(flood, (url, 4, end, tally))] * 4
    jobs += [(hang, (url, 5, end, tally, 1.25 * options.timeout))] * options.hanging
    return [threading.Thread(target=job, args=arguments) for job, arguments in jobs]


def memory(url: str) -> float:
    """MiB of the server process."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    (line,) = (x for x in text.splitlines() if x.startswith("visprog_resident_bytes "))
    return float(line.split()[1]) / 2**20


@contextmanager
def server(options: argparse.Namespace) -> Iterator[str]:
    """The address of a server: the one that was given, or one that is started and must end well."""
    if options.url:
        yield options.url
        return
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "visprog.toml")
        config.write_text(f"cache = {CACHE}\n")
        Path(folder, "hostile_tools.py").write_text(HANG)
        process = subprocess.Popen(
            [
                sys.executable, "-m", "visprog", "serve", "--port", "0", "--config", str(config),
                "--workers", str(options.workers), "--queue", str(options.queue),
                "--timeout", str(options.timeout), "--tools", "hostile_tools",
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([folder, *sys.path])},
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        line = process.stdout.readline() if process.stdout else ""
        if not line.startswith("serving on "):
            raise SystemExit("the server did not start")
        try:
            yield line.split()[-1]
        finally:
            process.terminate()
            if process.wait(60) != 0:
                raise SystemExit(f"the server ended with {process.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--queue", type=int, default=124)
    parser.add_argument("--timeout", type=float, default=120, help="of a request, in seconds")
    parser.add_argument("--hostile", action="store_true", help="let hostile clients disturb the others")
    parser.add_argument(
        "--hanging", type=int, default=2, help="number of hostile clients that call a hanging tool"
    )
    parser.add_argument("--url", default="", help="of a server that runs already")
    options = parser.parse_args()
    with server(options) as url:
        tally, client = Tally(), Client(url)
        warm, count = scene(0)
        if client.ask(QUESTION, warm)["value"] != count:
            raise SystemExit("the server does not even count circles when it is alone")
        begin = time.monotonic()
        threads = [
            threading.Thread(target=work, args=(client, i, begin + options.seconds, tally))
            for i in range(options.clients)
        ]
        threads.append(threading.Thread(target=sample, args=(url, begin + options.seconds, tally)))
        if options.hostile:
            threads += hostile(url, options, begin + options.seconds, tally)
        for thread in threads:
            thread.start()
        sizes = []
        while any(t.is_alive() for t in threads):
            sizes.append(memory(url))
            time.sleep(1)
        took = time.monotonic() - begin
    if report(tally, sizes, took):
        raise SystemExit(1)


def report(tally: Tally, sizes: list[float], took: float) -> bool:
    """Print what was met; whether it is bad."""
    third = max(1, len(sizes) // 3)
    first, last = max(sizes[:third]), max(sizes[-third:])
    seconds = sorted(tally.seconds) or [0.0]
    print(
        json.dumps(
            {
                "answers": len(tally.seconds),
                "right": tally.counts["right"],
                "wrong": tally.counts["wrong"],
                "lost": tally.counts["lost"],
                "429": tally.counts["429"],
                "503": tally.counts["503"],
                "ready": tally.counts["ready"],
                "not_ready": tally.counts["not ready"],
                "ready_without_answer": tally.counts["ready, but no answer"],
                "hostile": {k: n for k, n in sorted(tally.counts.items()) if ": " in k},
                "answers_a_second": round(len(tally.seconds) / took, 2),
                "median_seconds": round(statistics.median(seconds), 2),
                "p95_seconds": round(seconds[int(0.95 * (len(seconds) - 1))], 2),
                "mib_first_third": round(first),
                "mib_last_third": round(last),
            },
            indent=2,
        )
    )
    print("\n".join(tally.examples), file=sys.stderr)
    bad = tally.counts["wrong"] or tally.counts["lost"] or tally.counts["ready, but no answer"]
    return bool(bad) or last > (1 + GROWTH) * first


if __name__ == "__main__":
    main()
