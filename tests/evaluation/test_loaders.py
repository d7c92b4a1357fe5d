"""Every benchmark reads the layout in which it is published, and its metric is the official one."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from visprog.errors import ImageError, VisprogError
from visprog.evaluation.benchmark import BENCHMARKS, Benchmark, Item, open_benchmark
from visprog.values import Box, Grid, Region
from visprog.values.image import Image

from .conftest import Write, png


def rows(benchmark: Benchmark, answers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of results for answers by id; questions that are not named have no answer."""
    found = []
    for item in benchmark:
        value = answers.get(item.id)
        found.append(
            {"id": item.id, "group": item.group, "kind": item.details.get("kind", ""), "truth": item.answer,
             "answer": value, "scores": dict(benchmark.score(item, value))}
        )  # fmt: skip
    return found


def opened(item: Item) -> list[Image]:
    return [Image.open(image) for image in item.images]


def table(head: Sequence[str], *lines: Sequence[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([head, *lines])
    return buffer.getvalue()


def test_nlvr2(published: Write) -> None:
    lines = [
        {
            "identifier": f"dev-7-{pair}-{sentence}",
            "sentence": f"sentence {sentence}",
            "label": str(pair == 0),
        }
        for sentence in (0, 1)
        for pair in (0, 1)
    ]
    pictures = {
        f"images/dev/dev-7-{pair}-img{k}.png": png(10 + pair, 5 + k) for pair in (0, 1) for k in (0, 1)
    }
    benchmark = open_benchmark(
        "nlvr2", published({"data/dev.json": "\n".join(map(_json, lines)), **pictures})
    )
    items = list(benchmark)
    assert [i.id for i in items] == [line["identifier"] for line in lines]
    assert [image.size for image in opened(items[1])] == [(11, 5), (11, 6)]
    assert (items[0].answer, items[1].answer, items[0].returns) == (True, False, bool)
    answers = {"dev-7-0-0": True, "dev-7-1-0": "no", "dev-7-0-1": True, "dev-7-1-1": True}
    assert benchmark.summary(rows(benchmark, answers)) == {"accuracy": 0.75, "consistency": 0.5}


def test_gqa(published: Write) -> None:
    questions = {
        "100": {
            "question": "What is it?",
            "answer": "dog",
            "imageId": "n1",
            "types": {"structural": "query"},
        },
        "200": {
            "question": "Is it red?",
            "answer": "yes",
            "imageId": "n2",
            "types": {"structural": "verify"},
        },
        "300": {"question": "Is it?", "answer": "no", "imageId": "n2", "types": {"structural": "logical"}},
    }
    benchmark = open_benchmark(
        "gqa",
        published(
            {"testdev_balanced_questions.json": questions, "images/n1.jpg": png(), "images/n2.jpg": png(9)}
        ),
    )
    assert [opened(i)[0].width for i in benchmark] == [12, 9, 9]
    found = benchmark.summary(rows(benchmark, {"100": "The dog.", "200": True, "300": True}))
    assert found == pytest.approx({"accuracy": 2 / 3, "open": 1.0, "binary": 0.5})


INSTANCES = {
    "images": [{"id": 5, "file_name": "COCO_train2014_000000000005.jpg"}],
    "annotations": [{"id": 50, "image_id": 5, "bbox": [2, 1, 6, 4], "category_id": 1}],
    "categories": [{"id": 1, "name": "person"}],
}


def test_refcoco_as_released_but_in_json(published: Write) -> None:
    refs = [
        {"ref_id": 1, "ann_id": 50, "image_id": 5, "split": "val",
         "sentences": [{"sent_id": 3, "sent": "left guy"}, {"sent_id": 4, "raw": "the man"}]},
        {"ref_id": 2, "ann_id": 50, "image_id": 5, "split": "testA", "sentences": [{"sent_id": 9, "sent": "x"}]},
    ]  # fmt: skip
    other = [{**refs[0], "sentences": [{"sent_id": 8, "sent": "of another set"}]}]
    data = published(
        {"refcoco/refs(unc).json": refs, "refcoco/instances.json": INSTANCES, "refcoco+/refs(unc).json": other,
         "refcoco+/instances.json": INSTANCES, "mscoco/COCO_train2014_000000000005.jpg": png()}
    )  # fmt: skip
    benchmark = open_benchmark("refcoco", data)
    items = list(benchmark)
    assert [i.question for i in items] == ["Find the left guy", "Find the man"]
    assert (items[0].answer, items[0].group, opened(items[0])[0].size) == ([2, 1, 8, 5], "1", (12, 8))
    half = Region(Box(2, 1, 5, 5))  # exactly half of the box: not above 0.5
    found = rows(
        benchmark,
        {"1-3": half, "1-4": [Region(Box(2, 1, 6, 5), score=0.8), Region(Box(9, 6, 12, 8), score=0.1)]},
    )
    assert benchmark.summary(found) == pytest.approx({"accuracy": 0.5, "mean_iou": (0.5 + 2 / 3) / 2})
    assert [i.question for i in open_benchmark("refcoco", data, "testA")] == ["Find the x"]
    assert [i.question for i in open_benchmark("refcoco+", data)] == ["Find the of another set"]
    with pytest.raises(VisprogError, match="holds no refcocog/refs"):
        list(open_benchmark("refcocog", data))


def test_refcoco_as_mdetr_converts_it(published: Write) -> None:
    data = {
        "images": [{"id": 0, "file_name": "COCO_train2014_000000000005.jpg", "caption": "guy on the left"}],
        "annotations": [{"id": 0, "image_id": 0, "bbox": [2, 1, 6, 4]}],
    }
    benchmark = open_benchmark("refcocog", published({"finetune_refcocog_val.json": data}))
    (item,) = benchmark
    assert (item.question, item.answer) == ("Find the guy on the left", [2, 1, 8, 5])
    with pytest.raises(ImageError, match="COCO_train2014"):
        opened(item)


@pytest.mark.parametrize(("name", "prefix"), [("vqav2", "v2_"), ("okvqa", "")])
def test_vqa(published: Write, name: str, prefix: str) -> None:
    questions = {"questions": [{"question_id": 9, "image_id": 42, "question": "What colour?"}]}
    people = ["red"] * 3 + ["dark red"] * 7
    answers = {
        "annotations": [
            {"question_id": 9, "answer_type": "other", "answers": [{"answer": a} for a in people]}
        ]
    }
    benchmark = open_benchmark(
        name,
        published(
            {
                f"{prefix}OpenEnded_mscoco_val2014_questions.json": questions,
                f"{prefix}mscoco_val2014_annotations.json": answers,
                "val2014/COCO_val2014_000000000042.jpg": png(),
            }
        ),
    )
    (item,) = benchmark
    assert opened(item)[0].size == (12, 8)
    assert benchmark.score(item, "Red.") == pytest.approx({"accuracy": 0.9})
    assert benchmark.summary(rows(benchmark, {"9": "dark red"})) == {"accuracy": 1.0}
    assert benchmark.score(item, None) == {"accuracy": 0.0}


def film(path: Path, frames: int = 16) -> bytes:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 8, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), number * 15, np.uint8))
    writer.release()
    return path.read_bytes()


def test_nextqa(published: Write, tmp_path: Path) -> None:
    head = (
        "video",
        "frame_count",
        "width",
        "height",
        "question",
        "answer",
        "qid",
        "type",
        *(f"a{k}" for k in range(5)),
    )
    text = table(
        head,
        ("77", 16, 64, 48, "why did he run", 1, 0, "CW", "tired", "afraid", "happy", "late", "cold"),
        ("77", 16, 64, 48, "what is there", 4, 1, "DO", "cat", "cow", "bird", "fish", "dog"),
        ("78", 16, 64, 48, "what next", 0, 0, "TN", "sit", "lie", "run", "eat", "go"),
    )
    data = published(
        {
            "val.csv": text,
            "map_vid_vidorID.json": {"77": "1164/77"},
            "NExTVideo/1164/77.mp4": film(tmp_path / "f.mp4"),
        }
    )
    benchmark = open_benchmark("nextqa", data)
    items = list(benchmark)
    assert items[0].question == "why did he run? (a) tired (b) afraid (c) happy (d) late (e) cold"
    levels = [float(frame.pixels.mean()) for frame in opened(items[0])]
    assert len(levels) == 8
    assert levels == pytest.approx([15 * (2 * k + 1) for k in range(8)], abs=8)  # compression loses a little
    with pytest.raises(ImageError, match="no video"):
        opened(items[2])
    found = benchmark.summary(rows(benchmark, {"77_0": "afraid", "77_1": "(e)", "78_0": "lie"}))
    assert found == pytest.approx({"accuracy": 2 / 3, "causal": 1, "descriptive": 1, "temporal": 0})


def test_winoground(published: Write) -> None:
    lines = [
        {"id": n, "image_0": f"ex_{n}_img_0", "image_1": f"ex_{n}_img_1", "caption_0": "a on b", "caption_1": "b on a",
         "collapsed_tag": "Object"}
        for n in (0, 1, 2)
    ]  # fmt: skip
    pictures = {f"images/ex_{n}_img_{k}.png": png(10 + k) for n in (0, 1, 2) for k in (0, 1)}
    benchmark = open_benchmark("winoground", published({"examples.jsonl": lines, **pictures}))
    items = list(benchmark)
    assert [(i.id, i.answer, opened(i)[0].width) for i in items[:4]] == [
        ("0-c0-i0", True, 10), ("0-c0-i1", False, 11), ("0-c1-i0", False, 10), ("0-c1-i1", True, 11)
    ]  # fmt: skip
    answers = {
        "0-c0-i0": 0.9, "0-c0-i1": 0.2, "0-c1-i0": 0.3, "0-c1-i1": 0.8,  # all comparisons right
        "1-c0-i0": 0.9, "1-c0-i1": 0.8, "1-c1-i0": 0.6, "1-c1-i1": 0.7,  # only images are told apart
        "2-c0-i0": True, "2-c0-i1": True, "2-c1-i0": False, "2-c1-i1": True,  # ties are not right
    }  # fmt: skip
    found = benchmark.summary(rows(benchmark, answers))
    assert {k: found[k] for k in ("text", "image", "group")} == pytest.approx(
        {"text": 1 / 3, "image": 2 / 3, "group": 1 / 3}
    )
    more = {**answers, "1-c1-i1": 0.85}
    found = benchmark.summary(rows(benchmark, more))
    assert (found["text"], found["group"]) == pytest.approx((2 / 3, 2 / 3))
    silent = benchmark.summary(rows(benchmark, {}))
    assert (silent["group"], silent["accuracy"]) == (0, 0)


def test_mmvp(published: Write) -> None:
    text = table(
        ("Index", "Question", "Options", "Correct Answer"),
        (1, "Is the door open?", "(a) Open (b) Closed", "(a)"),
        (2, "Is the door open?", "(a) Open (b) Closed", "(b)"),
        (3, "Is it a dog?", "(a) Yes (b) No", "(b)"),
        (4, "Is it a dog?", "(a) Yes (b) No", "(a)"),
    )
    pictures = {f"MMVP Images/{n}.jpg": png(10 + n) for n in range(1, 5)}
    benchmark = open_benchmark("mmvp", published({"Questions.csv": text, **pictures}))
    items = list(benchmark)
    assert [(i.group, i.answer, opened(i)[0].width) for i in items] == [
        ("1", "Open", 11), ("1", "Closed", 12), ("2", "No", 13), ("2", "Yes", 14)
    ]  # fmt: skip
    assert items[0].question == "Is the door open? (a) Open (b) Closed"
    found = benchmark.summary(rows(benchmark, {"1": "open", "2": "(b)", "3": False, "4": False}))
    assert found == {"pair_accuracy": 0.5, "accuracy": 0.75}


def test_pope(published: Write) -> None:
    def lines(split: str) -> list[dict[str, Any]]:
        return [
            {
                "question_id": n,
                "image": "COCO_val2014_000000000001.jpg",
                "text": f"Is there a {split}?",
                "label": label,
            }
            for n, label in enumerate(("yes", "no"), 1)
        ]

    files = {
        f"coco_pope_{s}.json": "\n".join(map(_json, lines(s))) for s in ("random", "popular", "adversarial")
    }
    data = published({**files, "COCO_val2014_000000000001.jpg": png()})
    benchmark = open_benchmark("pope", data)
    answers = {
        "random-1": True,
        "random-2": True,
        "popular-1": "no",
        "popular-2": "No.",
        "adversarial-1": True,
    }
    assert benchmark.summary(rows(benchmark, answers)) == pytest.approx(
        {"accuracy": 3 / 6, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "yes_share": 3 / 6}
    )
    assert [i.id for i in open_benchmark("pope", data, "popular")] == ["popular-1", "popular-2"]
    with pytest.raises(VisprogError, match="no split 'easy'"):
        list(open_benchmark("pope", data, "easy"))


def test_coco_detection(published: Write) -> None:
    pytest.importorskip("pycocotools")
    boxes = [[10, 10, 40, 40], [60, 60, 30, 30], [5, 5, 50, 50]]
    truth = {
        "images": [{"id": n, "file_name": f"{n:012d}.jpg", "width": 100, "height": 100} for n in (1, 2, 3)],
        "annotations": [
            {"id": n, "image_id": image, "category_id": c, "bbox": box, "area": box[2] * box[3]}
            for n, (image, c, box) in enumerate(zip((1, 1, 2), (1, 18, 1), boxes, strict=True), 1)
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
    }
    benchmark = open_benchmark("coco", published({"annotations/instances_val2017.json": truth}))
    items = list(benchmark)
    assert items[0].question == "Find every person, dog"
    right = [Region(Box(10, 10, 50, 50), "person", 0.9), Region(Box(60, 60, 90, 90), "Dog", 0.8)]
    assert benchmark.score(items[0], right) == {"f1": 1.0}
    assert benchmark.score(items[0], right[:1]) == pytest.approx({"f1": 2 / 3})
    assert benchmark.score(items[2], []) == {"f1": 1.0}
    assert benchmark.score(items[2], None) == {"f1": 0.0}

    def row(key: str, found: list[Region]) -> dict[str, Any]:
        answer = [
            {"type": "Region", "box": list(_corners(r.box)), "label": r.label, "score": r.score}
            for r in found
        ]
        return {"id": key, "answer": answer}

    perfect = [row("1", right), row("2", [Region(Box(5, 5, 55, 55), "person", 0.7)]), row("3", [])]
    found = benchmark.summary(perfect)
    assert (found["AP"], found["AP50"], found["AR_100"]) == pytest.approx((1, 1, 1))
    assert "AP_large" not in found  # there is none
    half = benchmark.summary([row("1", right), {"id": "2", "answer": None}])
    assert half["AP50"] == pytest.approx(
        (51 / 101 + 1) / 2
    )  # person: 1 of 2 found, 101 recall points; dog: all
    assert benchmark.summary([row("1", [])])["AP"] == 0


def test_blindtest(published: Write) -> None:
    lines = [
        {"image": "images/a.png", "task": "count_circles", "question": "How many?", "answer": 6},
        {
            "image": "images/b.png",
            "task": "rows_and_columns",
            "question": "Count the rows and columns.",
            "answer": [7, 6],
        },
        {"image": "images/b.png", "task": "two_circles", "question": "Touching?", "answer": "no"},
    ]
    scores = {"count_circles": {"gpt-4o": 42.08}}
    benchmark = open_benchmark(
        "blindtest",
        published(
            {
                "questions.jsonl": lines,
                "published_accuracy.json": scores,
                "images/a.png": png(),
                "images/b.png": png(),
            }
        ),
    )
    items = list(benchmark)
    assert [(i.id, i.returns, i.answer) for i in items] == [
        ("count_circles-0000", int, 6), ("rows_and_columns-0001", None, [7, 6]), ("two_circles-0002", bool, False)
    ]  # fmt: skip
    for value in (Grid(7, 6, Box(0, 0, 9, 9)), (7, 6), "7 rows and 6 columns", {"rows": 7, "columns": 6}):
        assert benchmark.score(items[1], value) == {"correct": 1.0}
    for wrong in ((6, 7), 7, None, [7], "seven"):
        assert benchmark.score(items[1], wrong) == {"correct": 0.0}
    found = benchmark.summary(rows(benchmark, {"count_circles-0000": 6.0, "two_circles-0002": False}))
    assert found == pytest.approx({"accuracy": 2 / 3, "mean_over_tasks": 2 / 3})
    assert benchmark.published() == scores


def test_blindtest_as_it_is(shared: Path) -> None:
    path = shared / "data" / "blindtest_dev.zip"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    benchmark = open_benchmark("blindtest", path)
    items = list(benchmark)
    assert len(items) == len(benchmark) == 427
    assert {i.details["kind"] for i in items} == set(benchmark.published())
    assert opened(items[0])[0].width > 100


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png())
    path = tmp_path / "mine.csv"
    path.write_text(
        'image,question,answer,kind\na.png,"How many, all?",3,count\na.png;b.png,Same?,Yes,two\nc.png,What?,A dog,\n',
        encoding="utf-8-sig",
    )
    benchmark = open_benchmark("csv", path)
    items = list(benchmark)
    assert [(i.question, i.answer, i.returns, len(i.images)) for i in items] == [
        ("How many, all?", 3, int, 1), ("Same?", True, bool, 2), ("What?", "A dog", None, 1)
    ]  # fmt: skip
    assert [image.size for image in opened(items[1])] == [(12, 8), (12, 8)]
    assert benchmark.summary(rows(benchmark, {"1": 3, "2": "yes", "3": "the dog"})) == {"accuracy": 1.0}


@pytest.mark.parametrize(
    ("text", "why"),
    [("image,question\na.png,x\n", "no column 'answer'"), ("image,question,answer\na.png,x\n", "line 2 has 2 columns"),
     ("image,question,answer\n,x,y\n", "column 'image' is empty"), ('image,question,answer\n"a', "columns|not CSV")],
)  # fmt: skip
def test_a_table_that_is_wrong(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(VisprogError, match=why):
        list(open_benchmark("csv", path))


def test_scenes_and_what_is_true_of_them() -> None:
    benchmark = open_benchmark("scenes", Path("scenes:12:5"))
    items = list(benchmark)
    assert len(items) == len(benchmark) == 12
    assert [i.question for i in items] == [i.question for i in benchmark]
    for item in items:
        tools = benchmark.oracle(item)
        assert tools is not None
        scene, image = item.details["scene"], Image.open(item.images[0])
        found = tools["detect"](image=image, what="thing")
        assert len(found) == len(scene.objects)
        for region, thing in zip(found, scene.objects, strict=True):
            assert tools["dominant_color"](image=region) == thing.color
            assert tools["classify"](image=region, options=["none of it", thing.shape]) == thing.shape
            assert tools["verify"](image=region, statement=f"a {thing.size} {thing.shape}")
        circles = [t for t in scene.objects if t.shape == "circle"]
        assert len(tools["find_circles"](image=image)) == len(circles)
        squares = [t for t in scene.objects if t.shape in ("square", "rectangle")]
        assert len(tools["find_polygons"](image=image, kind="rectangles")) == len(squares)


@pytest.mark.parametrize("data", ["scenes", "scenes:", "scenes:-3", "200 scenes"])
def test_scenes_written_wrongly(data: str) -> None:
    with pytest.raises(VisprogError, match="scenes:COUNT"):
        open_benchmark("scenes", Path(data))


# -- what is wrong with files ----------------------------------------------------------------------


def test_every_benchmark_can_be_opened_or_says_what_is_missing(tmp_path: Path) -> None:
    for name in BENCHMARKS:
        with pytest.raises(VisprogError):
            open_benchmark(name, tmp_path / "nowhere")


def test_an_unknown_benchmark_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(VisprogError, match="did you mean 'blindtest'"):
        open_benchmark("blind-test", tmp_path)


def test_a_missing_file_and_a_broken_one(published: Write) -> None:
    with pytest.raises(VisprogError, match=r"holds no dev\.json"):
        list(open_benchmark("nlvr2", published({"train.json": "{}"})))


def test_a_broken_line_is_named(published: Write) -> None:
    with pytest.raises(VisprogError, match=r"dev\.json, line 2 is not JSON"):
        list(
            open_benchmark(
                "nlvr2",
                published({"dev.json": '{"identifier": "dev-1-0-0", "sentence": "x", "label": "True"}\n{'}),
            )
        )


def test_an_entry_that_lacks_something_is_named(published: Write) -> None:
    with pytest.raises(
        VisprogError, match=r"line 1 does not have the published layout of nlvr2: it has no 'label'"
    ):
        list(open_benchmark("nlvr2", published({"dev.json": '{"identifier": "dev-1-0-0", "sentence": "x"}'})))


def test_archives_within_a_folder_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "examples.jsonl").write_text(
        _json({"id": 0, "image_0": "ex_0_img_0", "image_1": "ex_0_img_1", "caption_0": "x", "caption_1": "y"})
    )
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("images/ex_0_img_0.png", png(30))
    items = list(open_benchmark("winoground", tmp_path))
    assert opened(items[0])[0].width == 30
    with pytest.raises(ImageError, match="ex_0_img_1"):
        opened(items[1])


def test_a_damaged_archive(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("dev.json", '{"identifier": "dev-1-0-0"}' * 40)
    data = bytearray(path.read_bytes())
    data[50] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(VisprogError, match="cannot unpack"):
        list(open_benchmark("nlvr2", path))


def _json(value: Any) -> str:
    import json

    return json.dumps(value)


def _corners(box: Box) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom
