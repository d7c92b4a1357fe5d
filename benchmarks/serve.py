"""Many clients at once on `visprog serve`: no answer may be lost or wrong, and the server's memory stays flat.

    python benchmarks/serve.py [--clients 64] [--seconds 120] [--workers 4] [--queue 60]

Each client runs programs and asks questions about pictures of circles whose number it knows; the value of each
answer is compared. Who is sent away (429, 503) comes back when the server says so; with a short `--queue` that is
seen often. Exit code 1: an answer was lost or wrong, or memory grew. With `--url` a server that runs is used.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import PIL.Image
import PIL.ImageDraw

from visprog.server.client import Client, ServerError

QUESTION = "How many circles are there?"
PROGRAM = "def answer(image):\n    return [len(find_circles(image)), {salt}]\n"
CACHE = 16
"""MiB of tool results that the server keeps, few enough to be full soon: from then on its memory must stay flat."""
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
        process = subprocess.Popen(
            [
                sys.executable, "-m", "visprog", "serve", "--port", "0", "--config", str(config),
                "--workers", str(options.workers), "--queue", str(options.queue),
                "--timeout", str(options.timeout),
            ],
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
    parser.add_argument("--queue", type=int, default=60)
    parser.add_argument("--timeout", type=float, default=120, help="of a request, in seconds")
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
    return bool(tally.counts["wrong"] or tally.counts["lost"]) or last > (1 + GROWTH) * first


if __name__ == "__main__":
    main()
