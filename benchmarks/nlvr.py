"""NLVR (Suhr et al. 2017): the recorded programs and the embedded planner, with oracle tools and from the pixels.

python benchmarks/nlvr.py nlvr_dev.zip                  # 300 images of the validation sentences
python benchmarks/nlvr.py nlvr_dev.zip --images 0       # all of their images
python benchmarks/nlvr.py nlvr_dev.zip --sentences all --only replay --images 0

Validation sentences are those that the planner was not trained on: one in five of the sentences with a recorded
program. A sentence for which no program is written, or none that the planner is sure of, counts as wrong. Kept in
--output and gone on with there.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from pathlib import Path

from visprog.config import Config
from visprog.evaluation.benchmark import Item
from visprog.evaluation.folder import EvaluationFolder
from visprog.evaluation.nlvr import NLVR
from visprog.evaluation.progress import progress
from visprog.evaluation.run import evaluate
from visprog.evaluation.summary import summarise
from visprog.training.planner.normalise import held_out, read_programs

RECORDED = Path(__file__).resolve().parent.parent / "visprog" / "training" / "planner" / "nlvr_programs.yaml"


class Part(NLVR):
    """Some images of some sentences, drawn by a hash of their ids."""

    def __init__(self, data: Path, sentences: str, images: int) -> None:
        super().__init__(data)
        known = {r.question for r in read_programs(RECORDED)}
        self.sentences = {
            q for q in known if sentences == "all" or held_out(q) == (sentences == "validation")
        }
        items = [item for item in super().__iter__() if item.question in self.sentences]
        drawn = sorted(items, key=lambda item: zlib.crc32(item.id.encode()))[: images or None]
        kept = {item.id for item in drawn}
        self.items_kept = [item for item in items if item.id in kept]

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items_kept)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder or zip archive of NLVR")
    parser.add_argument("--sentences", choices=("validation", "training", "all"), default="validation")
    parser.add_argument("--images", type=int, default=300, help="how many of them; 0 for all")
    parser.add_argument("--only", choices=("replay", "embedded"), help="one of the two planners")
    parser.add_argument("--folder", help="of another embedded planner, from visprog train planner")
    parser.add_argument("--output", type=Path, default=Path("runs/nlvr"))
    options = parser.parse_args()
    config = Config.of({"planner_options": {"folder": options.folder}} if options.folder else {})
    benchmark = Part(options.data, options.sentences, options.images)
    for title, planner in (("replay", f"replay:{RECORDED}"), ("embedded", "embedded")):
        if options.only not in (None, title):
            continue
        for oracle in (True, False):
            name = f"{title}-{options.sentences}-{options.images}{'-oracle' if oracle else ''}"
            done = len(list(EvaluationFolder(options.output / name, {}).ids()))
            with progress(len(benchmark), done) as watch:
                run = evaluate(
                    benchmark,
                    options.output / name,
                    planner=planner,
                    config=config,
                    oracle=oracle,
                    watch=watch,
                )
            summary = summarise(benchmark, run)
            accuracy, answered = summary["metrics"]["accuracy"], summary["outcomes"]["answered"]["value"]
            print(
                f"{title:<9} {'oracle tools' if oracle else 'pixels':<13} accuracy {accuracy['value']:.3f} "
                f"[{accuracy['low']:.3f}, {accuracy['high']:.3f}]   answered {answered:.3f}   "
                f"{summary['questions']} images of {len(benchmark.sentences)} sentences",
                flush=True,
            )


if __name__ == "__main__":
    main()
