"""Many images, one plan: order, memory, faults, files of results, and going on after a kill."""

from __future__ import annotations

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog.agent import Agent
from visprog.answer import Answer
from visprog.errors import ConfigError, PlannerError, Refused, VisprogError
from visprog.files.tables import read_table
from visprog.mapping.image_folder import ImageFolder
from visprog.mapping.map import ImageSource, MapResult, in_flight, sources
from visprog.mapping.results import Results
from visprog.registry import Registry, tool
from visprog.values.image import Image

ROOT = Path(__file__).resolve().parents[2]
QUESTION = "How bright is it?"
BRIGHT = "def answer(image):\n    return brightness(image)\n"

Make = Callable[..., Agent]


@tool
def brightness(image: Image) -> int:
    """The value of the last pixel."""
    return int(image.pixels[-1, -1, 0])


@pytest.fixture
def make() -> Iterator[Make]:
    """Agents on one small tool, or on `registry`."""
    made: list[Agent] = []

    def new(*programs: str, registry: Registry | None = None, **settings: Any) -> Agent:
        registry = Registry([brightness]) if registry is None else registry
        made.append(Agent(FakePlanner(*programs), settings, registry=registry))
        return made[-1]

    yield new
    for agent in made:
        agent.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve images as bright as their number; each sixth is no image."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for i in range(12):
        path = folder / ("more" if i > 8 else "") / f"{i:02}.png"
        picture(16, 16, 30 + i).save(path)
        if i % 6 == 5:
            path.write_bytes(b"no picture")
    (folder / "notes.txt").write_text("not meant")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


EXPECTED = {f"{'more/' if i > 8 else ''}{i:02}.png": None if i % 6 == 5 else 30 + i for i in range(12)}


def values(results: Any) -> dict[str, Any]:
    return {r.image: r.answer.value for r in results}


def test_one_plan_is_run_on_every_image_in_order(make: Make, folder: Path) -> None:
    agent = make(BRIGHT)
    results = list(agent.map(QUESTION, folder, jobs=3))
    assert [r.image for r in results] == list(EXPECTED) and values(results) == EXPECTED
    assert [r.index for r in results] == list(range(12))
    assert len(agent.planner.asked) == 1  # type: ignore[attr-defined]
    broken = results[5].answer
    assert (broken.status, broken.program) == ("error", BRIGHT)
    assert broken.message == "05.png is not an image of a format that can be read"
    assert {r.answer.question for r in results} == {QUESTION}


def test_results_can_come_as_they_are_ready(make: Make, folder: Path) -> None:
    assert values(make(BRIGHT).map(QUESTION, folder, jobs=3, ordered=False)) == EXPECTED


def test_images_of_every_kind_are_taken(make: Make) -> None:
    array = np.full((8, 8, 3), 5, np.uint8)
    given = [picture(value=9), array, str(ROOT / "nothing.png")]
    first, second, third = make(BRIGHT).map(QUESTION, given, jobs=2)
    assert (first.answer.value, second.answer.value, second.image) == (9, 5, "1")
    assert third.image.endswith("nothing.png") and "no such file" in third.answer.message


def test_a_program_of_ones_own(make: Make, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(BRIGHT)
    agent = make()
    for program in (BRIGHT, tmp_path / "p.py"):
        assert values(agent.map("", folder, program=program, jobs=2)) == EXPECTED
    assert not agent.planner.asked  # type: ignore[attr-defined]


def test_planning_each_time(make: Make, folder: Path) -> None:
    programs = [BRIGHT.replace("brightness(image)", f"brightness(image) * {n}") for n in range(1, 11)]
    agent = make(*programs)
    found = values(agent.map(QUESTION, folder, jobs=1, plan_each=True))
    good = [v for v in EXPECTED.values() if v is not None]
    assert [v for v in found.values() if v is not None] == [v * n for n, v in enumerate(good, 1)]


def test_a_program_that_is_refused_is_mended_once_for_all_images(make: Make) -> None:
    unicorns = 'def answer(image):\n    return len(detect(image, "unicorn"))\n'
    horses = unicorns.replace("unicorn", "horse")
    agent = make(unicorns, horses, registry=REGISTRY)
    results = list(agent.map("How many?", [picture(value=v) for v in range(6)], jobs=3))
    assert [(r.answer.value, r.answer.program) for r in results] == [(2, horses)] * 6
    assert all(len(r.answer.steps) == 2 for r in results)
    assert len(agent.planner.asked) == 2  # type: ignore[attr-defined]
    own = list(agent.map("How many?", [picture()], program=unicorns))
    assert [r.answer.status for r in own] == ["refused"]
    assert len(agent.planner.asked) == 2  # type: ignore[attr-defined]


def test_what_cannot_begin_says_so(make: Make, folder: Path) -> None:
    agent = make()
    for images, message in (
        (folder / "00.png", "there is no folder .*00.png; one image is asked about with ask"),
        (folder / "nowhere", "there is no folder"),
        (picture(), "give a folder or several images, not one Image"),
        (b"bytes", "not one bytes"),
    ):
        with pytest.raises(VisprogError, match=message):
            agent.map(QUESTION, images)  # type: ignore[arg-type]
    with pytest.raises(VisprogError, match="question is empty"):
        agent.map(" ", folder)
    with pytest.raises(ConfigError, match="at least 1, not 0"):
        agent.map(QUESTION, folder, jobs=0)
    with pytest.raises(ConfigError, match="'threads' or 'ray'"):
        agent.map(QUESTION, folder, on="moon")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="either one program"):
        agent.map(QUESTION, folder, program=BRIGHT, plan_each=True)
    with pytest.raises(PlannerError, match="no program left"):
        next(agent.map(QUESTION, folder))
    with pytest.raises(VisprogError, match="the program fails its check"):
        next(agent.map("", folder, program="def answer(image):\n    return brightnes(image)\n"))
    with pytest.raises(VisprogError, match="the program takes 2 images"):
        next(agent.map("", folder, program="def answer(before, after):\n    return 1\n"))
    assert list(agent.map(QUESTION, [])) == []


def test_no_more_is_opened_than_is_taken() -> None:
    """However many images there are, and however slow their reader is."""
    opened: list[int] = []
    agent = Agent(FakePlanner(BRIGHT), {}, registry=Registry([brightness]))

    def endless() -> Iterator[Image]:
        for i in range(10**9):
            opened.append(i)
            yield picture(16, 16, 30 + i % 200)

    with agent:
        results = agent.map(QUESTION, endless(), jobs=2)
        taken = [next(results).answer.value for _ in range(5)]
        time.sleep(0.3)
        assert taken == [30, 31, 32, 33, 34] and len(opened) <= 5 + 2 * 2
        results.close()
        assert len(opened) <= 5 + 2 * 2


@pytest.mark.parametrize("ordered", [True, False])
def test_a_slow_one_holds_up_no_more_than_it_must(ordered: bool) -> None:
    from concurrent.futures import ThreadPoolExecutor

    go = threading.Event()

    def work(source: ImageSource) -> MapResult:
        if source.index == 0:
            go.wait(20)
        return MapResult(source.index, source.name, Answer("answered", source.index))

    with ThreadPoolExecutor(2) as pool:
        given = (ImageSource(i, str(i), None) for i in range(20))
        results = in_flight(given, lambda s: pool.submit(work, s), most=4, ordered=ordered)
        if not ordered:
            assert sorted(next(results).index for _ in range(10)) == list(range(1, 11))
        go.set()
        left = [r.index for r in results]
    assert left == list(range(20)) if ordered else sorted(left) == [0, *range(11, 20)]


def test_what_is_found_in_an_image_does_not_stay_in_memory(make: Make) -> None:
    agent = make('def answer(image):\n    return len(detect(image, "dog"))\n', registry=REGISTRY)
    results = list(agent.map("How many dogs?", (picture(value=v) for v in range(20)), jobs=2))
    assert {r.answer.value for r in results} == {2}
    assert agent.host.cache._bytes == 0


def test_a_worker_that_is_killed_is_one_error(folder: Path) -> None:
    @tool
    def kill(image: Image) -> int:
        """Kills the worker that runs the program for the brightest image."""
        number = int(image.pixels[-1, -1, 0])
        if number == 33:
            for child in children():
                os.kill(child, signal.SIGKILL)
        return number

    with Agent(
        FakePlanner("def answer(image):\n    return kill(image)\n"), {}, registry=Registry([kill])
    ) as agent:
        results = list(agent.map(QUESTION, folder, jobs=1))
    assert values(results) == {**EXPECTED, "03.png": None}
    assert "the worker crashed (SIGKILL)" in results[3].answer.message


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), RecursionError()])
def test_a_tool_that_ends_more_than_its_call_is_an_error_of_its_image(raised: BaseException) -> None:
    @tool
    def rude(image: Image) -> int:
        """Ends more than it should."""
        number = int(image.pixels[-1, -1, 0])
        if number == 32:
            raise raised
        return number

    rudely = "def answer(image):\n    return rude(image)\n"
    with Agent(FakePlanner(), {}, registry=Registry([rude])) as agent:
        results = list(agent.map("", [picture(value=30 + i) for i in range(5)], program=rudely, jobs=2))
    assert [r.answer.value for r in results] == [30, 31, None, 33, 34]
    assert results[2].answer.status == "error" and type(raised).__name__ in results[2].answer.message


def children() -> list[int]:
    """Processes that this one started."""
    return [int(p) for t in Path("/proc/self/task").iterdir() for p in (t / "children").read_text().split()]


# -- files of results ----------------------------------------------------------------------------


def run(agent: Agent, path: Path, images: Any, **options: Any) -> int:
    """Map into a file; how many images were asked about."""
    count = 0
    with Results(path, QUESTION, **options) as results:
        for result in agent.map(QUESTION, results.missing(images), program=BRIGHT, ordered=False, jobs=2):
            results.add(result)
            count += 1
        results.finish()
    return count


def rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return list(read_table(path))


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_results_are_a_table_in_the_order_of_names(make: Make, folder: Path, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    path = folder.parent / f"results.{ending}"
    agent = make()
    assert run(agent, path, folder) == 12
    table = rows(path)
    shown = {k: "" if v is None else str(v) for k, v in EXPECTED.items()} if ending == "csv" else EXPECTED
    assert {r["image"]: r["value"] for r in table} == shown
    assert [r["image"] for r in table] == sorted(EXPECTED)
    assert {r["question"] for r in table} == {QUESTION} and {r["program"] for r in table} == {BRIGHT}
    assert [r["status"] for r in table].count("error") == 2 and table[0]["calls"] == 1
    assert sorted(p.name for p in folder.parent.iterdir()) == ["pictures", f"results.{ending}"]
    # What is there is not asked again; what is new is.
    before = path.read_bytes()
    assert run(agent, path, folder) == 0 and path.read_bytes() == before
    picture(16, 16, 99).save(folder / "03b.png")
    assert run(agent, path, folder) == 1
    assert [str(r["value"]) for r in rows(path)][3:5] == ["33", "99"] and len(rows(path)) == 13


def test_csv_is_plain(make: Make, folder: Path) -> None:
    run(make(), folder.parent / "r.csv", folder)
    with (folder.parent / "r.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert (first["image"], first["status"], first["value"]) == ("00.png", "answered", "30")


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ([True, False, None], "bool"),
        ([1, 2, None], "int64"),
        ([1, 2.5], "double"),
        (["a", None], "string"),
        ([None, None], "string"),
    ],
)
def test_parquet_has_the_type_of_the_answers(tmp_path: Path, given: list[Any], kind: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    path = tmp_path / "r.parquet"
    write(path, given)
    assert str(parquet.read_schema(path).field("value").type) == kind
    assert [r["value"] for r in read_table(path)] == given


def test_parquet_of_other_answers_is_json(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    given = [[1, 2], "a", {"b": 1.5}, True, None]
    path = tmp_path / "r.parquet"
    write(path, given)
    found = [r["value"] for r in read_table(path)]
    assert found == [[1, 2], "a", {"type": "dict", "items": [["b", 1.5]]}, True, None]
    write(path, given[:1], first=5)  # goes on from its own file
    assert [r["value"] for r in read_table(path)] == [*found, [1, 2]]


def write(path: Path, given: list[Any], first: int = 0) -> None:
    with Results(path, QUESTION) as results:
        for i, value in enumerate(given, first):
            results.add(MapResult(i, str(i), Answer("answered", value, question=QUESTION)))
        results.finish()


def test_errors_are_asked_again_when_wanted(make: Make, folder: Path) -> None:
    path, agent = folder.parent / "r.jsonl", make()
    run(agent, path, folder)
    picture(16, 16, 35).save(folder / "05.png")
    assert run(agent, path, folder) == 0
    assert run(agent, path, folder, retry=True) == 2
    assert {r["image"]: r["value"] for r in rows(path)} == {**EXPECTED, "05.png": 35}


def test_results_of_something_else_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write(path, [1])
    before = path.read_bytes()
    with pytest.raises(VisprogError, match='another question, "How bright is it\\?": name another file'):
        Results(path, "How dark is it?")
    (tmp_path / "other.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "broken.jsonl").write_text("no json\n")
    for name, message in (
        ("other.jsonl", "something else than results"),
        ("other.csv", "holds no results that can be read"),
        ("broken.jsonl", "line 1 is not JSON"),
        ("r.txt", "ends in .jsonl, .csv, .parquet, not"),
    ):
        with pytest.raises(VisprogError, match=message):
            Results(tmp_path / name, QUESTION)
    assert path.read_bytes() == before and (tmp_path / "other.csv").read_text() == "a,b\n1,2\n"
    assert not (tmp_path / "other.csv.jsonl").exists()


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    with (
        Results(tmp_path / "r.jsonl", QUESTION),
        pytest.raises(VisprogError, match="another process is writing"),
    ):
        Results(tmp_path / "r.jsonl", QUESTION)


CLIENT = """
import os, sys
from pathlib import Path
from visprog.agent import Agent
from visprog.registry import Registry, tool
from visprog.mapping.results import Results
from visprog.values.image import Image

@tool
def brightness(image: Image) -> int:
    "Counts its calls in a file."
    number = int(image.pixels[-1, -1, 0])
    with open(sys.argv[3], "a") as file:
        file.write(f"{number}\\n")
    return number

class Never:
    name = "never"
    def plan(self, task, **options): raise AssertionError

with Agent(Never(), {}, registry=Registry([brightness])) as agent, Results(sys.argv[2], "Q") as results:
    program = "def answer(image):\\n    return brightness(image)\\n"
    for result in agent.map("Q", results.missing(sys.argv[1]), program=program, jobs=2, ordered=False):
        results.add(result)
        print(len(results), flush=True)
    results.finish()
"""


def test_a_client_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    pictures, path, calls = tmp_path / "pictures", tmp_path / "r.csv", tmp_path / "calls"
    pictures.mkdir()
    for i in range(30):
        picture(16, 16, 30 + i).save(pictures / f"{i:02}.png")
    command = [sys.executable, "-c", CLIENT, str(pictures), str(path), str(calls)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        for line in client.stdout:
            if int(line) == 8:
                client.kill()
                break
    kept = [json.loads(line)["value"] for line in (tmp_path / "r.csv.jsonl").read_text().splitlines()]
    assert 8 <= len(kept) < 30 and not path.exists()
    asked_before = calls.read_text().split()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=200)
    asked_after = calls.read_text().split()[len(asked_before) :]
    assert [r["value"] for r in rows(path)] == [str(30 + i) for i in range(30)]
    assert not {str(v) for v in kept} & set(asked_after)  # nothing that was kept is computed again
    assert len(asked_before) + len(asked_after) <= 30 + 2 * 2  # and of the rest, what was under way at most


def test_a_full_disk_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write(path, [1, 2])
    before, size = path.read_bytes(), path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, hard))
    try:
        with Results(path, QUESTION) as results:
            for _ in range(2):
                with pytest.raises(
                    VisprogError, match=r"cannot write to .*r\.jsonl: File too large; what was"
                ):
                    results.add(MapResult(7, "7", Answer("answered", 7, question=QUESTION)))
            assert len(results) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == before
    write(path, [3], first=2)
    assert [r["value"] for r in rows(path)] == [1, 2, 3]


def test_a_table_that_cannot_be_written_keeps_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.mkdir()  # a folder is in the way
    with Results(path.with_name("s.csv"), QUESTION) as results:
        results.add(MapResult(0, "0", Answer("answered", 1, question=QUESTION)))
        results.path = path
        with pytest.raises(VisprogError, match=r"cannot write .*r\.csv"):
            results.finish()
    assert len((tmp_path / "s.csv.jsonl").read_text().splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.csv", "s.csv.jsonl"]


def test_folders_are_read_by_name(folder: Path) -> None:
    assert [p.relative_to(folder).as_posix() for p in ImageFolder(folder)] == list(EXPECTED)
    assert [s.name for s in sources(str(folder))] == list(EXPECTED)
    with pytest.raises(VisprogError, match="cannot read the folder"):
        list(ImageFolder(folder / "nowhere"))


def test_a_planner_that_refuses_ends_it(folder: Path) -> None:
    class Unsure(FakePlanner):
        def plan(self, *args: Any, **options: Any) -> Any:
            raise Refused("not sure")

    with (
        Agent(Unsure(), {}, registry=Registry([brightness])) as agent,
        pytest.raises(Refused, match="not sure"),
    ):
        next(agent.map(QUESTION, folder))
