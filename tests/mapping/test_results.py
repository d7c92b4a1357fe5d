"""Files of results: whatever an answer or a file name holds is written, read, and resumed in each format."""

from __future__ import annotations

import csv
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visprog.answer import Answer
from visprog.errors import VisprogError
from visprog.files import writing as text_files
from visprog.files.journal import Journal, read_lines
from visprog.files.tables import read_table
from visprog.mapping.map import MapResult
from visprog.mapping.results import Results

QUESTION = "What is it?"
FORMATS = ["jsonl", "csv", "parquet"]
EVERYTHING = st.text(st.characters(exclude_categories=[]), max_size=12)
"""Text of any code points, halves of surrogate pairs among them."""


@pytest.fixture(params=FORMATS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    return tmp_path / f"r.{request.param}"


def write(path: Path, answers: dict[str, Any], question: str = QUESTION) -> None:
    """Answers by the name of the image; those that are there are not written again."""
    with Results(path, question) as results:
        for source in results.missing(list(answers)):
            answer = Answer("answered", answers[source.name], question=question)
            results.add(MapResult(source.index, source.name, answer))
        results.finish()


def rows(path: Path) -> list[dict[str, Any]]:
    path.read_bytes().decode() if path.suffix != ".parquet" else None  # all of it is UTF-8
    return list(read_lines(path) if path.suffix == ".jsonl" else read_table(path))


def joined(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@pytest.mark.parametrize("ending", FORMATS)
@settings(deadline=None, max_examples=50)
@given(name=EVERYTHING, value=EVERYTHING, question=EVERYTHING)
def test_any_text_is_written_read_and_resumed(
    tmp_path_factory: pytest.TempPathFactory, ending: str, name: str, value: str, question: str
) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    path = tmp_path_factory.mktemp("r") / f"r.{ending}"
    for answers in ({name: value}, {name: value, f"{name}2": [value, {value: 1}]}):
        write(path, answers, question)
        found = rows(path)
        assert [r["image"] for r in found] == sorted(map(joined, answers))
        assert {r["question"] for r in found} == {joined(question)}
        assert found[0]["value"] == joined(value)
    before = path.read_bytes()
    write(path, answers, question)
    assert path.read_bytes() == before or ending == "parquet"
    assert rows(path) == found


def test_every_character_survives_a_table() -> None:
    everything = "".join(map(chr, range(0x110000)))
    escaped = text_files.escape(everything)
    assert escaped.encode() and "\x00" not in escaped
    assert text_files.unescape(escaped) == everything
    assert json.loads(text_files.dumps(everything).encode()) == joined(everything)


@pytest.mark.parametrize(
    "text", [r"\udce9", "\\\udce9", r"\x00", "\\\x00", r"\x5c", r"\x5cudce9", r"C:\xampp", "\\"]
)
def test_escapes_in_the_text_itself_stay(text: str) -> None:
    assert text_files.unescape(text_files.escape(text)) == text


VALUES: list[list[Any]] = [
    [2**80, 1],
    [-(2**63) - 1],
    [2**63 - 1, -(2**63)],
    [2**53 + 1, 0.5],
    [2**80, 0.5],
    [math.nan, 1.5, 2],
    [math.inf, -math.inf],
    [math.nan],
    [True, 1, "a", 2.5, None],
    [[], [[1, ["\ud800"]], []], {"a": {"b": [None]}}],
    ["a\x00b", "\udce9", "\\udce9"],
    ["x" * 200_000],
    [["\x00\ud800 \\x00"]],
    [None],
    ["", None],
]


@pytest.mark.parametrize("values", VALUES, ids=lambda v: ascii(v)[:30])
def test_any_values_are_written_read_and_resumed(path: Path, values: list[Any]) -> None:
    answers = {f"{i}.png": value for i, value in enumerate(values)}
    write(path, answers)
    first = rows(path)
    write(path, {**answers, "z.png": None})
    assert len(rows(path)) == len(values) + 1
    if path.suffix == ".csv":
        return
    for row, value in zip(first, values, strict=True):
        expected = Answer("answered", value).to_json(pictures=False)["value"]
        assert row["value"] == expected
        assert type(row["value"]) is type(expected) or {float, int} == {type(row["value"]), type(expected)}


def test_integers_beyond_64_bits_are_whole(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    path = tmp_path / "r.parquet"
    for values, kind in (
        ([2**63 - 1], "int64"),
        ([2**63], "string"),
        ([2**53, 0.5], "double"),
        ([2**53 + 1, 0.5], "string"),
    ):
        path.unlink(missing_ok=True)
        write(path, {str(i): v for i, v in enumerate(values)})
        assert str(parquet.read_schema(path).field("value").type) == kind
        assert [r["value"] for r in rows(path)] == values
    write(tmp_path / "nan.parquet", {"a": math.nan, "b": 1})
    assert str(parquet.read_schema(tmp_path / "nan.parquet").field("value").type) == "double"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1+1", "'-1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"), ("\n=1", "'\n=1"), ("＝1", "'＝1"), ("'=1", "''=1"), ("'quoted'", "'quoted'"),
        ("a=1", "a=1"), (-3, "-3"), (-2.5e-9, "-2.5e-09"), ("-3", "-3"), (-math.inf, "-inf"), (True, "true"),
        (None, ""), ([-1, "=1"], '[-1, "=1"]'),
    ],
)  # fmt: skip
def test_formulas_are_text_in_csv(tmp_path: Path, value: Any, cell: str) -> None:
    path = tmp_path / "r.csv"
    for answers in ({"=a.png": value}, {"=a.png": value, "z.png": 1}):
        write(path, answers)
        with path.open(encoding="utf-8", newline="") as file:
            first = next(csv.DictReader(file))
        assert (first["image"], first["value"]) == ("'=a.png", cell)
    assert [r["image"] for r in rows(path)] == ["=a.png", "z.png"]


def test_a_file_with_halves_of_pairs_as_bytes_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write(path, {"caf\udce9.png": "\ud800"})
    line = json.loads(path.read_bytes())
    path.write_bytes(json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    write(path, {"caf\udce9.png": "not asked again", "d.png": 1})
    assert [(r["image"], r["value"]) for r in rows(path)] == [("caf\udce9.png", "\ud800"), ("d.png", 1)]


# -- what is there already ---------------------------------------------------------------------


ROW = {"image": "a", "question": QUESTION, "status": "answered", "value": 1,
       "message": "", "program": "", "seconds": 0.5, "calls": 1}  # fmt: skip
DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "plans.jsonl",
            json.dumps({"question": "How?", "program": "return 1"}),
        ),  # without an end of the line
        ("notes.jsonl", "one line"),
        ("notes.jsonl", "a line\n{"),
        ("deep.jsonl", f'{{"image": {DEEP}\n'),
        ("list.jsonl", json.dumps({**ROW, "image": ["x"]}) + "\n"),
        ("seconds.jsonl", json.dumps({**ROW, "seconds": "long"}) + "\n"),
        ("other.jsonl", json.dumps({**ROW, "question": "Another?"}) + '\n{"torn'),
        ("latin.jsonl", b'{"image": "\xe9"}\n'),
        ("header.csv", "name,age\n"),
        ("table.csv", "name,age\nAda,36\n"),
        ("short.csv", ",".join(ROW) + "\na,b\n"),
        ("long.csv", ",".join(ROW) + "\n" + "1," * 20 + "\n"),
        ("latin.csv", b"image\xe9,b\n"),
        ("other.csv", ",".join(ROW) + "\na,Another?,answered,1,,,0.5,1\n"),
        ("table.parquet", "no table"),
    ],
)
@pytest.mark.parametrize("retry", [False, True])
def test_a_file_of_something_else_stays_as_it_is(
    tmp_path: Path, name: str, content: Any, retry: bool
) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = path.read_bytes()
    with pytest.raises(
        VisprogError, match=r"name another file|is not JSON|holds no results that can be read"
    ):
        Results(path, QUESTION, retry=retry)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_table_of_something_else_beside_rows_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "r.csv.jsonl").write_text(json.dumps(ROW) + "\n")
    (tmp_path / "r.csv").write_text("name,age\nAda,36\n")
    with pytest.raises(VisprogError, match="holds no results"):
        Results(tmp_path / "r.csv", QUESTION)
    assert (tmp_path / "r.csv").read_text() == "name,age\nAda,36\n"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda p: os.symlink("/dev/zero", p)])
@pytest.mark.parametrize("name", ["r.jsonl", "r.csv", "r.csv.jsonl"])
def test_a_file_that_is_none_is_refused_at_once(tmp_path: Path, make: Any, name: str) -> None:
    make(tmp_path / name)
    with pytest.raises(VisprogError, match=r"cannot (write|read) .*r\.(csv|jsonl)"):
        Results(tmp_path / name.removesuffix(".jsonl") if "csv" in name else tmp_path / name, QUESTION)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_an_empty_file_is_a_new_one(path: Path) -> None:
    path.touch()
    write(path, {"a": 1})
    assert len(rows(path)) == 1


def test_a_last_line_without_its_end_counts_if_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    for end in ("", '\n{"image": "b", "quest', "\n\0\0\0"):
        path.write_text(json.dumps(ROW) + end)
        write(path, {"a": 5, "c": 3})
        assert [(r["image"], r["value"]) for r in rows(path)] == [("a", 1), ("c", 3)]


def test_a_link_stays_a_link(path: Path) -> None:
    target = path.parent / f"target{path.suffix}"
    write(target, {"a": 1})
    path.symlink_to(target)
    write(path, {"a": 1, "b": 2})
    assert path.is_symlink() and len(rows(target)) == 2


def test_what_cannot_be_finished_says_where_the_rows_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall_over(*_: Any) -> None:
        raise OverflowError("too large")

    monkeypatch.setattr("visprog.mapping.results.write_csv", fall_over)
    with Results(tmp_path / "r.csv", QUESTION) as results:
        results.add(MapResult(0, "a", Answer("answered", 1, question=QUESTION)))
        with pytest.raises(VisprogError, match=r"r\.csv: too large; all rows are kept in .*r\.csv\.jsonl"):
            results.finish()
    assert len(list(read_lines(tmp_path / "r.csv.jsonl"))) == 1


def test_a_file_that_an_editor_saved_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": 2}\n\n')
    with Journal(path) as journal:
        journal.append({"a": 3})
        assert [entry["a"] for entry in journal] == [1, 2, 3]


def test_journals_neither_wait_nor_read_without_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "deep").write_text(f'{{"a": {DEEP}\n')
    with pytest.raises(VisprogError, match="cannot write"):
        Journal(tmp_path / "pipe")
    with pytest.raises(VisprogError, match="not a regular file"):
        list(read_lines(tmp_path / "pipe"))
    with pytest.raises(VisprogError, match=r"line 1 is not JSON that can be read: it is nested too deeply"):
        list(read_lines(tmp_path / "deep"))
