"""Curation of files: the same pairs by any format, number of processes or number of stops; and what it cannot read."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from visprog.cli import main
from visprog.errors import VisprogError
from visprog.training.curation import curate as curation
from visprog.training.curation import shards as formats
from visprog.training.curation.curate import Curation, curate

QUERIES = ["dog", "red car", "car", "zebra", "okapi"]


def captions(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    texts = ['a dog, "Rex"', "a red car\nat night", "a blue car", "a zebra", "nothing of note", "ein Café"]
    return [texts[i] for i in rng.choice(6, count, p=[0.5, 0.2, 0.1, 0.01, 0.15, 0.04])]


def write(path: Path, texts: list[str]) -> None:
    table = pa.table({"url": [f"u{i}" for i in range(len(texts))], "caption": texts})
    if path.suffix == ".parquet":
        pa.parquet.write_table(table, path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()), encoding="utf-8")
    elif path.suffix == ".tar":
        with tarfile.open(path, "w") as tar:
            for row in table.to_pylist():
                for ending, data in ((".jpg", row["url"].encode()), (".txt", row["caption"].encode())):
                    member = tarfile.TarInfo(f"{row['url']}{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    elif path.suffix == ".tsv":
        rows = [[text.replace("\n", " ") for text in row.values()] for row in table.to_pylist()]
        path.write_text("\n".join(map("\t".join, [["url", "caption"], *rows])), encoding="utf-8")
    else:
        pa.csv.write_csv(table, path)


def urls(path: Path) -> list[str]:
    """The rows of a shard that was written."""
    if path.suffix == ".tar":
        with tarfile.open(path) as tar:
            names = tar.getnames()
            for name in names:
                member = tar.extractfile(name)
                assert member is not None and member.read()
        return [name.removesuffix(".jpg") for name in names if name.endswith(".jpg")]
    rows = [row for batch in formats.open_shard(path, None).batches(whole=True) for row in _rows(batch.rows)]
    assert all(set(row) == {"url", "caption"} for row in rows)
    return [row["url"] for row in rows]


def _rows(rows: Any) -> list[dict[str, str]]:
    return [json.loads(line) for line in rows] if isinstance(rows, list) else rows.to_pylist()


@pytest.fixture
def settings(tmp_path: Path) -> Curation:
    (tmp_path / "queries.txt").write_text("\n".join(QUERIES), encoding="utf-8")
    (tmp_path / "data").mkdir()
    return Curation([str(tmp_path / "data")], tmp_path / "queries.txt", tmp_path / "out", max_per_query=50)


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".tsv", ".jsonl", ".tar"])
def test_formats_keep_the_same_rows(ending: str, settings: Curation, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = captions(1000, 0)
    path = Path(settings.shards[0]) / f"a{ending}"
    write(path, texts)
    monkeypatch.setattr(formats, "ROWS", 64)
    monkeypatch.setattr(formats, "_CSV_BLOCK", 4096)
    report = curate(settings)
    kept = urls(settings.output / path.name)
    assert len(kept) == report.kept and abs(report.kept - report.expected) < 50
    monkeypatch.undo()
    other = Path(settings.shards[0]).parent / "other"
    other.mkdir()
    write(other / f"a{ending}", texts)
    curate(replace(settings, shards=[str(other)], output=other / "out", ids=True))
    ids = (other / "out" / f"a{ending}.ids.txt").read_text().split()
    assert kept == [f"u{i}" for i in ids]


def test_the_tail_stays_and_the_head_is_cut(settings: Curation) -> None:
    texts = captions(2000, 1)
    write(Path(settings.shards[0]) / "a.parquet", texts)
    report = curate(settings)
    counts = {query: (int(a), int(b)) for query, a, b in _lines(settings.output / "counts.tsv")}
    car = sum("car" in text for text in texts)
    assert counts["zebra"][0] == counts["zebra"][1] == texts.count("a zebra")
    assert counts["car"][0] == car and counts["okapi"] == (0, 0)
    for query in ("dog", "red car"):
        assert 30 < counts[query][1] < 120 < counts[query][0]
    assert (report.before.unmatched, report.before.tail, report.before.head) == (1, 1, 3)
    assert report.after.tail_share > 5 * report.before.tail_share
    assert report.matched == sum(" car" in t or "dog" in t or "zebra" in t for t in texts)
    assert report.top[0][:2] == ("dog", counts["dog"][0])
    assert json.loads((settings.output / "report.json").read_text())["kept"] == report.kept


def _lines(path: Path) -> Iterator[list[str]]:
    return (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())


def test_processes_stops_and_other_draws(settings: Curation, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path(settings.shards[0])
    for i in range(4):
        write(data / f"{i}.jsonl", captions(300, i))
    whole = curate(settings)
    kept = [urls(settings.output / f"{i}.jsonl") for i in range(4)]
    assert len({tuple(each[:20]) for each in kept}) == 4

    several = replace(settings, output=settings.output.with_name("several"), workers=2)
    assert replace(curate(several), seconds=0.0) == replace(whole, seconds=0.0)
    assert [urls(several.output / f"{i}.jsonl") for i in range(4)] == kept

    stopped = replace(settings, output=settings.output.with_name("stopped"))
    for work, after in (("counting", 2), ("sampling", 3)):

        def stop(now: str, done: int, of: int, rows: int, work: str = work, after: int = after) -> None:
            if now == work and done == after:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            curate(stopped, progress=stop)
    seen: list[tuple[str, int]] = []
    again = curate(stopped, progress=lambda work, done, of, rows: seen.append((work, done)))
    assert seen[0] == ("sampling", 3) and replace(again, seconds=0.0) == replace(whole, seconds=0.0)
    assert [urls(stopped.output / f"{i}.jsonl") for i in range(4)] == kept

    seen.clear()  # other draws rest on the same counts
    other = curate(replace(stopped, seed=1, ids=True), progress=lambda work, *_: seen.append((work, 0)))
    assert {work for work, _ in seen} == {"sampling"} and other.before == whole.before
    assert not list(stopped.output.glob("*.jsonl")) and other.kept != whole.kept

    (settings.queries).write_text("dog")
    with pytest.raises(VisprogError, match="other shards, or by other queries"):
        curate(stopped)
    assert curate(stopped, resume=False).queries == 1
    with pytest.raises(VisprogError, match="no run to resume"):
        curate(replace(settings, output=settings.output.with_name("new")), resume=True)


def test_a_killed_run_resumes(settings: Curation) -> None:
    data = Path(settings.shards[0])
    for i in range(3):
        write(data / f"{i}.jsonl", captions(200, i))
    program = (
        "import os, signal, sys; from pathlib import Path; from visprog.training.curation import curate as c\n"
        "c._SAVE_EVERY = 0.0\n"
        "def die(work, done, of, rows):\n"
        "    if work == 'sampling' and done == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "c.curate(c.Curation([sys.argv[1]], Path(sys.argv[2]), Path(sys.argv[3]), max_per_query=50), progress=die)\n"
    )
    arguments = [settings.shards[0], str(settings.queries), str(settings.output)]
    assert subprocess.run([sys.executable, "-c", program, *arguments]).returncode == -9
    started: list[int] = []
    report = curate(settings, progress=lambda work, done, of, rows: started.append(done))
    assert started[0] >= 1
    fresh = curate(replace(settings, output=settings.output.with_name("fresh")))
    assert replace(report, seconds=0.0) == replace(fresh, seconds=0.0)


def test_two_processes_do_not_write_to_one_folder(settings: Curation) -> None:
    write(Path(settings.shards[0]) / "a.jsonl", captions(10, 0))
    program = (
        "import sys, time; from pathlib import Path; from visprog.files.locks import claimed\n"
        "with claimed(Path(sys.argv[1])): print(flush=True); time.sleep(30)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(settings.output)], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(VisprogError, match="another process is writing"):
            curate(settings)
        other.kill()
    assert curate(settings).pairs == 10


def test_a_full_disk_keeps_what_is_there(settings: Curation, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path(settings.shards[0])
    for i in range(2):
        write(data / f"{i}.jsonl", captions(50, i))
    real = curation.replacing

    def full(path: Path, write: Any) -> None:
        if path.name == "1.jsonl":
            raise VisprogError(f"cannot write {path}: No space left on device")
        real(path, write)

    monkeypatch.setattr(curation, "replacing", full)
    with pytest.raises(VisprogError, match="No space left"):
        curate(settings)
    assert urls(settings.output / "0.jsonl") and not (settings.output / "1.jsonl").exists()
    monkeypatch.undo()
    seen: list[int] = []
    curate(settings, progress=lambda work, done, of, rows: seen.append(done))
    assert seen == [1, 2] and urls(settings.output / "1.jsonl")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"url,text_en\nu,a dog\n", r"no column 'caption', but url, text_en"),
        ("a.csv", b"url,Caption\nu,a dog\n", r"did you mean 'Caption'\?"),
        ("a.jsonl", b'{"url": "u", "capton": "a dog"}\n', r"did you mean 'capton'\?"),
        ("a.csv", "url,caption\nu,Café\n".encode("latin-1"), "save it as UTF-8"),
        ("a.parquet", b"PAR1 no table", "cannot read the shard"),
        ("a.csv", b"", "cannot read the shard"),
    ],
)
def test_shards_that_cannot_be_read(name: str, content: bytes, message: str, settings: Curation) -> None:
    (Path(settings.shards[0]) / name).write_bytes(content)
    with pytest.raises(VisprogError, match=message):
        curate(replace(settings, column="caption"))


def test_a_column_without_text(settings: Curation) -> None:
    pa.parquet.write_table(pa.table({"text": [1, 2]}), Path(settings.shards[0]) / "a.parquet")
    with pytest.raises(VisprogError, match="the column 'text' holds int64, not text"):
        curate(settings)


def test_rows_that_cannot_be_read_are_counted_and_named(settings: Curation) -> None:
    data = Path(settings.shards[0])
    (data / "a.jsonl").write_bytes(
        b'{"text": "a dog"}\n{"text": \n{"text": null}\n{"text": "caf\xe9"}\n{"text": "a car"}'
    )
    (data / "b.csv").write_text("url,title\nu0,a dog\nu1\nu2,a car\n")
    report = curate(settings)
    assert (report.pairs, report.unread, report.kept) == (8, 4, 4)
    assert report.problems[0].startswith("a.jsonl: a line is not JSON") and "cells" in report.problems[1]
    assert (settings.output / "a.jsonl").read_bytes() == b'{"text": "a dog"}\n{"text": "a car"}\n'


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (b"\n \n", "holds no queries"),
        ("Café".encode("latin-1"), "save it as UTF-8"),
        (None, "cannot read the queries"),
    ],
)
def test_queries_that_cannot_be_read(queries: bytes | None, message: str, settings: Curation) -> None:
    write(Path(settings.shards[0]) / "a.jsonl", ["a dog"])
    settings.queries.unlink() if queries is None else settings.queries.write_bytes(queries)
    with pytest.raises(VisprogError, match=message):
        curate(settings)


def test_shards_that_are_not_there(settings: Curation, tmp_path: Path) -> None:
    for shards, message in (
        ([str(tmp_path / "x*.csv")], "there is no shard"),
        ([str(tmp_path / "data")], "holds no files that end in .parquet"),
        ([str(tmp_path / "queries.txt")], "is no shard"),
    ):
        with pytest.raises(VisprogError, match=message):
            curate(replace(settings, shards=shards))
    write(tmp_path / "data" / "a.csv", ["a dog"])
    with pytest.raises(VisprogError, match="holds the shards themselves"):
        curate(replace(settings, output=tmp_path / "data"))
    inner = replace(settings, output=tmp_path / "data" / "curated")
    assert curate(inner).pairs == 1 and curate(inner).pairs == 1  # not its own output


def test_the_command(settings: Curation, capsys: pytest.CaptureFixture[str]) -> None:
    write(Path(settings.shards[0]) / "a.csv", captions(100, 0))
    arguments = ["curate", *settings.shards, "--queries", str(settings.queries), "-o", str(settings.output)]
    assert main([*arguments, "--tail-share", "0.2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["status"] == "ok" and found["kept"] == len(urls(settings.output / "a.csv"))
    assert main(arguments) == 0
    assert "queries without a match" in capsys.readouterr().out
    assert main([*arguments, "--tail-share", "0.2", "--max-per-query", "3"]) == 2


def test_queries_of_a_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, out, titles = tmp_path / "corpus.txt", tmp_path / "queries.txt", tmp_path / "titles.txt"
    line = "the house in New York, the dog in the house. the house\n"
    corpus.write_text(line * 100 + "rare words\n", encoding="utf-8")
    titles.write_text("Golden Gate Bridge\nhouse\n")
    arguments = ["curate", "queries", str(corpus), "-o", str(out), "--add", str(titles)]
    assert main([*arguments, "--min-pmi", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == 1
    assert [*_lines(out)] == [
        ["Golden Gate Bridge", "0"], ["house", "0"], ["the", "400"], ["in", "200"], ["New", "100"], ["York", "100"],
        ["dog", "100"], ["New York", "100"],
    ]  # fmt: skip
    assert main([*arguments, "--limit", "3"]) == 0
    assert len([*_lines(out)]) == 3
    assert main(["curate", "queries", str(corpus), "-o", str(corpus)]) == 1
    assert main(["curate", "queries", str(tmp_path / "none.txt"), "-o", str(out)]) == 1
    assert main([*arguments, "--min-count", "500"]) == 1
    assert "lower the minimum count" in capsys.readouterr().err


def test_queries_of_the_corpus_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from visprog.training.curation import queries

    corpus = tmp_path / "corpus.txt"
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(30)]
    corpus.write_text("\n".join(" ".join(rng.choice(words, 9)) for _ in range(400)), encoding="utf-8")
    whole = queries.build_queries([corpus], min_count=3, min_pmi=-1.0)
    monkeypatch.setattr(queries, "_CHUNK", 200)
    assert queries.build_queries([corpus], min_count=3, min_pmi=-1.0) == whole
    assert sum(" " in each.text for each in whole) > 300
