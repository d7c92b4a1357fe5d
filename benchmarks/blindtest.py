"""BlindTest ("Vision language models are blind", Rahmanzadehgervi et al. 2024): accuracy for each task.

    python benchmarks/blindtest.py [FOLDER_OR_ZIP] [--planner NAME] [--show]

The agent is given the picture and the question, nothing else. Beside ours stand the published accuracies.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

import visprog as vp

DEFAULT = Path(__file__).resolve().parent.parent / "../shared/data/blindtest_dev.zip"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", type=Path, default=DEFAULT)
    parser.add_argument("--planner", default="embedded")
    parser.add_argument("--show", action="store_true", help="print what was answered wrongly")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.data.suffix == ".zip":
            zipfile.ZipFile(options.data).extractall(folder)
            run(Path(folder), options)
        else:
            run(options.data, options)


def run(folder: Path, options: argparse.Namespace) -> None:
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    published: dict[str, Any] = {}
    if (folder / "published_accuracy.json").exists():
        published = json.loads((folder / "published_accuracy.json").read_text())
    agent = vp.Agent(planner=options.planner)
    right: dict[str, list[bool]] = defaultdict(list)
    seconds = []
    console = Console()
    for row in track(rows, "BlindTest", console=Console(stderr=True)):
        start = time.perf_counter()
        answer = agent.ask(row["question"], folder / row["image"])
        seconds.append(time.perf_counter() - start)
        good = answer.status == "answered" and same(answer.value, row["answer"])
        right[row["task"]].append(good)
        if options.show and not good:
            console.print(f"{row['image']}: {row['question']} {answer}, not {row['answer']}", highlight=False)
    models = sorted({m for task in published.values() if isinstance(task, dict) for m in task})
    table = Table("task", "questions", "visprog", *models)
    for task, results in right.items():
        others = [f"{published.get(task, {}).get(m, float('nan')):.1f}" for m in models]
        table.add_row(task, str(len(results)), f"{100 * sum(results) / len(results):.1f}", *others)
    console.print(table)
    seconds.sort()
    console.print(f"seconds per answer: median {seconds[len(seconds) // 2]:.2f}, longest {seconds[-1]:.2f}")


def same(value: Any, wanted: Any) -> bool:
    """True if a program's value says what the data set's answer says."""
    if wanted in ("yes", "no"):
        return value is (wanted == "yes")
    if isinstance(wanted, list):
        return isinstance(value, list | tuple) and list(value) == wanted
    return not isinstance(value, bool) and bool(value == wanted)


if __name__ == "__main__":
    main()
