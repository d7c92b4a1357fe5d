"""Questions about clips with the truth, and a long clip: speed and memory. Reads the clips of the shared data.

python benchmarks/video.py --data ../shared              # all questions of videos/questions.jsonl
python benchmarks/video.py --data ../shared --minutes 10 # a clip of ten minutes, made of one that is repeated
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from visprog.agent import Agent
from visprog.errors import readable

PROGRAMS = {
    "How many cars pass?": 'return count_unique(video, "car")',
    "When does the first car appear, in seconds?": """
cars = track(video, "car")
return cars[0].first_seen if cars else None""",
    "What is the largest number of cars in view at once?": 'return max(n for _, n in count_over_time(video, "car"))',
    "Is there a red car?": 'return any(has_color(best_view(video, c), "red") for c in track(video, "car"))',
    "How many cars drive from top to bottom?": 'return len([c for c in track(video, "car") if c.direction == "down"])',
    "Is there any car between second 10 and second 13?": """
return any(n > 0 for t, n in count_over_time(video, "car") if 10 <= t <= 13)""",
    "What colour is the last car?": """
cars = track(video, "car")
if not cars:
    return "there is no car"
return dominant_color(best_view(video, cars[-1]))""",
    "How many bottles are there at the beginning?": """
return min(count_over_time(video, "bottle"), key=lambda s: abs(s[0] - (video.start + 0.5)))[1]""",
    "How many bottles are there at second 20?": """
return min(count_over_time(video, "bottle"), key=lambda s: abs(s[0] - 20))[1]""",
    "How many bottles are there at the end?": """
return min(count_over_time(video, "bottle"), key=lambda s: abs(s[0] - (video.end - 0.5)))[1]""",
    "When are there fewer than two bottles, from which second to which?": """
return spans_where([(t, n < 2) for t, n in count_over_time(video, "bottle")])""",
    "What is the smallest number of bottles seen?": 'return min(n for _, n in count_over_time(video, "bottle"))',
}
"""Program of each question, as a language model writes it from the prompt."""


def source(body: str) -> str:
    """A program with this body."""
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    return f"def answer(video):\n{lines}\n"


def agent_of(data: Path) -> Agent:
    """An agent with the detector of the shared data, as docs/sees.md configures one."""
    model = data / "models" / "fastestdet_coco.onnx"
    options = {"backend": "onnx", "model": str(model), "labels": str(model.with_suffix(".names"))}
    return Agent(backends={"detect": options})


def is_right(value: Any, truth: Any, tolerance: float) -> bool:
    """Whether an answer is the truth, or near enough to it."""
    if isinstance(truth, list):
        return (
            isinstance(value, list)
            and len(value) == 1
            and abs(value[0].start - truth[0]) <= tolerance
            and abs(value[0].end - truth[1]) <= tolerance
        )
    if isinstance(truth, bool | str):
        return bool(value == truth)
    return isinstance(value, int | float) and abs(value - truth) <= tolerance


def questions(data: Path) -> None:
    """Answer all questions, and print what is right."""
    right = total = 0
    with agent_of(data) as agent:
        for line in (data / "videos" / "questions.jsonl").read_text(encoding="utf-8").splitlines():
            item = json.loads(line)
            started = time.perf_counter()
            answer = agent.run(source(PROGRAMS[item["question"]]), data / "videos" / item["video"])
            good = answer.ok and is_right(answer.value, item["answer"], item.get("tolerance", 0))
            right, total = right + good, total + 1
            print(
                f"{'right' if good else 'WRONG'}  {item['video']:<12} {item['question']:<66} "
                f"{readable(str(answer)):<24} (truth: {item['answer']}; {time.perf_counter() - started:.1f} s)"
            )
    print(f"{right} of {total} right")


def long_clip(data: Path, minutes: float) -> None:
    """Count the cars of a clip that is repeated, and print time and memory."""
    with tempfile.TemporaryDirectory() as folder, agent_of(data) as agent:
        path = Path(folder) / "long.mp4"
        seconds = repeated(data / "videos" / "cars.mp4", path, 60 * minutes)
        highest: dict[str, float] = {}
        ended = threading.Event()
        watcher = threading.Thread(target=watch, args=(highest, ended))
        watcher.start()
        started, before = time.perf_counter(), os.times()
        answer = agent.run(source('return count_unique(video, "car")'), path)
        wall = time.perf_counter() - started
        ended.set()
        watcher.join()
        after = os.times()
        print(f"{seconds:.0f} s of video ({path.stat().st_size >> 20} MiB): {answer} cars after {wall:.1f} s")
        print(
            f"{seconds / wall:.2f} times real time; {answer.cautions[0] if answer.cautions else answer.message}"
        )
        print(f"processor time of the host: {after.user + after.system - before.user - before.system:.1f} s")
        for name, megabytes in sorted(highest.items()):
            print(f"most memory, {name}: {megabytes:.0f} MiB")


def repeated(clip: Path, path: Path, seconds: float) -> float:
    """Write a clip again and again until it lasts so long; the packets are copied, not encoded anew.

    Returns:
        Seconds that it lasts.
    """
    import av

    with av.open(str(path), "w") as target:
        out, offset, length = None, 0, 0.0
        while length < seconds:
            with av.open(str(clip)) as given:
                stream = given.streams.video[0]
                out = out or target.add_stream_from_template(stream)
                last = 0
                for packet in given.demux(stream):
                    if packet.dts is None or packet.pts is None:
                        continue
                    last = max(last, packet.pts + (packet.duration or 0))
                    packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, out
                    target.mux(packet)
                offset += last
                length = float(offset * (stream.time_base or 0))
    return length


def watch(highest: dict[str, float], ended: threading.Event) -> None:
    """Note the most memory that the host, and all its processes together, have had of their own."""
    while not ended.wait(0.5):
        own = resident(os.getpid())
        others = sum(resident(pid) for pid in children(os.getpid()))
        for name, size in (("host", own), ("its processes", others)):
            highest[name] = max(highest.get(name, 0.0), size)
    highest["host, peak of the kernel"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident(pid: int) -> float:
    """MiB of memory of a process that no other shares."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0.0
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE") / 2**20


def children(pid: int) -> Iterator[int]:
    """Processes that a process has started."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found = (task / "children").read_text(encoding="ascii").split()
        except OSError:
            continue
        yield from map(int, found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=Path("../shared"), help="folder with videos/ and models/"
    )
    parser.add_argument("--minutes", type=float, default=0.0, help="length of the long clip; none by default")
    arguments = parser.parse_args()
    if not (arguments.data / "videos" / "questions.jsonl").is_file():
        parser.error(f"{arguments.data} does not hold videos/questions.jsonl")
    if arguments.minutes:
        long_clip(arguments.data, arguments.minutes)
    else:
        questions(arguments.data)


if __name__ == "__main__":
    main()
