"""How well the shape tools see: hand-written programs on BlindTest ("Vision language models are blind").

    python benchmarks/blindtest_tools.py [ZIP_OR_FOLDER] [-v]

prints the accuracy of each task. The data set holds images/ and questions.jsonl (image, task, question,
answer); without an argument it is looked for in data/blindtest_dev.zip of the shared data.
"""

from __future__ import annotations

import json
import os
import sys
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from visprog.tools.shapes import find_circles, find_grid, find_lines, find_polygons
from visprog.values.helpers import intersections
from visprog.values.image import Image

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("VISPROG_SHARED", ROOT.parent / "shared"))


def count_circles(image: Image, question: str) -> int:
    return len(find_circles(image))


def count_pentagons(image: Image, question: str) -> int:
    return len(find_polygons(image, "pentagons"))


def nested_squares(image: Image, question: str) -> int:
    return len(find_polygons(image, "squares"))


def rows_and_columns(image: Image, question: str) -> list[int]:
    grid = find_grid(image)
    return [grid.rows, grid.columns]


def line_intersections(image: Image, question: str) -> int:
    return len(intersections(find_lines(image, "blue"), find_lines(image, "red")))


def two_circles(image: Image, question: str) -> str:
    a, b = find_circles(image)[:2]
    return "yes" if (a.overlaps(b) if "overlap" in question else a.touches(b)) else "no"


PROGRAMS: dict[str, Callable[[Image, str], Any]] = {
    f.__name__: f
    for f in (
        count_circles,
        count_pentagons,
        nested_squares,
        rows_and_columns,
        line_intersections,
        two_circles,
    )
}


def questions(source: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Each question with the bytes of its image."""
    if source.is_dir():
        for line in (source / "questions.jsonl").read_text().splitlines():
            item = json.loads(line)
            yield item, (source / item["image"]).read_bytes()
        return
    with zipfile.ZipFile(source) as archive:
        names = {Path(n).name: n for n in archive.namelist() if n.endswith("questions.jsonl")}
        folder = names["questions.jsonl"].removesuffix("questions.jsonl")
        for line in archive.read(names["questions.jsonl"]).decode().splitlines():
            item = json.loads(line)
            yield item, archive.read(folder + item["image"])


def main() -> None:
    arguments = [a for a in sys.argv[1:] if a != "-v"]
    source = Path(arguments[0]) if arguments else SHARED / "data" / "blindtest_dev.zip"
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    for item, data in questions(source):
        task = item["task"]
        start = time.perf_counter()
        try:
            answer = PROGRAMS[task](Image.open(data), item["question"])
        except Exception as error:  # a wrong answer, and the next image is tried
            answer = f"{type(error).__name__}: {error}"
        seconds[task] += time.perf_counter() - start
        total[task] += 1
        right[task] += answer == item["answer"]
        if answer != item["answer"] and "-v" in sys.argv:
            print(f"{item['image']}: {answer!r}, not {item['answer']!r} ({item['question']})")
    for task, count in total.items():
        print(
            f"{task:20} {right[task]:4} of {count:4} {100 * right[task] / count:6.1f} %"
            f" {seconds[task] / count:6.2f} s a question"
        )


if __name__ == "__main__":
    main()
