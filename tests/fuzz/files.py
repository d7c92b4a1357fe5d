"""Feeds damaged files to their readers: archives, shards, tables, recordings, results, answers, settings.

    python -m tests.fuzz.files [--seconds 600] [--seed 0] [--case NUMBER]

Each reader gives what it read or raises the error that its documentation names. Exit code 1: something else was raised,
or this process grew.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.fuzz.mutations import chance_of, damaged
from tests.sandbox.fuzz_frames import main
from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog.agent import Agent
from visprog.answer import Answer
from visprog.config import Config
from visprog.errors import VisprogError
from visprog.evaluation.loaders.files import BenchmarkFiles
from visprog.files.archives import is_archive, is_cut_archive, open_archive, read_member
from visprog.files.plain_text import decode_text, parse_json
from visprog.mapping.results import Results
from visprog.runtime.host import RunEnded
from visprog.runtime.recording import Recording

PROGRAM = (
    'def answer(image):\n    found = detect(image, "dog")\n    return [len(found), found[1], invert(image)]\n'
)
MAX_MEMBER = 100_000


@cache
def seeds() -> dict[str, bytes]:
    """A well-formed file for each reader."""
    image = picture()
    png = image._repr_png_()
    lines = b'{"question": "How many?", "image": "a.png", "answer": 2}\n' * 3
    archive, shard = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in (("data/q.jsonl", lines), ("data/a.png", png), ("data/q.json", b'[{"a": [1]}]')):
            file.writestr(name, data)
    with tarfile.open(fileobj=shard, mode="w", format=tarfile.PAX_FORMAT) as file:
        for name, data in (("a.png", png), ("a.txt", b"a dog"), ("b/ä.json", b'{"caption": "x"}')):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    with tempfile.TemporaryDirectory() as folder:
        record, out = Path(folder, "record"), Path(folder, "out.jsonl")
        with Agent(FakePlanner(PROGRAM), registry=REGISTRY, record=record, in_process=True) as agent:
            answer = agent.ask("How many dogs?", image).to_json()
            image.save(Path(folder, "a.png"))
            with Results(out, "How many?") as results:
                for result in agent.map("", [Path(folder, "a.png")], program=PROGRAM, progress=False):
                    results.add(result)
                results.finish()
            recording = (record / "recording.jsonl").read_bytes()
            rows = out.read_bytes()
    toml = (
        b'votes = 3\ncalls = 50\nwithout_tools = ["crop"]\n[tools.detect]\nbackend = "owl"\nmodel = "a/b"\n'
    )
    return {
        "archive": archive.getvalue(),
        "shard": shard.getvalue(),
        "recording": recording,
        "results": rows,
        "answer": json.dumps(answer).encode(),
        "settings": toml,
        "text": lines,
    }


def read_archive(path: Path) -> None:
    is_cut_archive(path)
    if is_archive(path):
        try:
            with open_archive(path) as archive:
                for name in archive.namelist():
                    assert len(read_member(archive, name, MAX_MEMBER)) <= MAX_MEMBER
        except (ValueError, KeyError):
            pass
    files = BenchmarkFiles(path)
    list(files.lines(files.find("q.jsonl")))
    files.json(files.find("q.json"))
    files.image("a.png")


def read_shard(path: Path) -> None:
    from visprog.training.data.samples import BadSample
    from visprog.training.data.shards import content, places

    for place in places(str(path)):
        for ending in place.parts:
            with contextlib.suppress(BadSample):
                content(place, ending)


def read_recording(path: Path) -> None:
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    path.replace(folder / "recording.jsonl")
    recording = Recording(folder, replay=True)
    planner = FakePlanner(PROGRAM)
    with (
        Agent(planner, registry=REGISTRY, replay=folder, in_process=True) as agent,
        contextlib.suppress(RunEnded),
    ):
        agent.host.new_run().call(REGISTRY["detect"], image=picture(), what="dog")
    recording.close()


def read_results(path: Path) -> None:
    with Results(path, "How many?") as results:
        len(results)
        results.finish()


def read_answer(path: Path) -> None:
    try:
        answer = Answer.from_json(path.read_bytes())
    except ValueError:
        return
    json.dumps(answer.to_json())
    str(answer)
    answer.to_html()


def read_settings(path: Path) -> None:
    Config.read(path)


def read_json(path: Path) -> None:
    with contextlib.suppress(ValueError):
        parse_json(decode_text(path.read_bytes()))


READERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "archive": (".zip", read_archive),
    "shard": (".tar", read_shard),
    "recording": (".rec", read_recording),
    "results": (".jsonl", read_results),
    "answer": (".json", read_answer),
    "settings": (".toml", read_settings),
    "text": (".json", read_json),
}


def damaged_json(chance: random.Random, value: object) -> object:
    """A JSON value with some parts replaced by values of other types, which no damage to bytes would make."""
    odd = [
        None,
        True,
        -1,
        2**70,
        1e308,
        "",
        "x" * 300,
        "\ud800",
        [],
        {},
        [[]],
        {"type": "Box"},
        {"box": [1, 2]},
    ]
    if chance.random() < 0.05:
        return chance.choice(odd)
    if isinstance(value, dict):
        return {k: damaged_json(chance, v) for k, v in value.items() if chance.random() > 0.01}
    if isinstance(value, list):
        return [damaged_json(chance, v) for v in value]
    return value


def run_case(seed: int, number: int) -> None:
    chance = chance_of(seed, number)
    name = chance.choice(list(READERS))
    ending, read = READERS[name]
    data = seeds()[name]
    if name in ("recording", "results", "answer") and chance.random() < 0.6:
        rows = [json.loads(line) for line in data.splitlines()]
        data = b"\n".join(json.dumps(damaged_json(chance, row)).encode() for row in rows) + b"\n"
    else:
        data = damaged(chance, data, list(seeds().values()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"file{ending}")
        path.write_bytes(data)
        try:
            read(path)
        except VisprogError as error:
            assert str(error), "an error without a message"


if __name__ == "__main__":
    sys.exit(main(__doc__, run_case))
