"""The bundled models on scenes that none of them has seen, through the tools' own backends.

python benchmarks/embedded.py                   # all six, programs against CLIP and VQA, and `visprog ask`
python benchmarks/embedded.py detect vqa -n 500
python benchmarks/embedded.py --size 200        # images that are not of the models' own size
python benchmarks/embedded.py --shift all --photos FOLDER     # images unlike those of the training

Each score is of 300 scenes of the split "test", and then of "held_out", where each scene shows at least one
combination of colour or texture and shape that training never shows. Those that the models refuse, about one in a
hundred, are left out, but not by `ask`, where they count as not answered.

With a shift, scenes of both splits are asked about, and none is left out. Printed are the share that the backend
refuses; the score of what it answers; and the share of all that it answers, and wrong (of a mask: IoU below 0.5).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from shifted_scenes import SHIFTS, View, views

from visprog import Agent
from visprog.errors import Refused, ToolError
from visprog.models import WEIGHTS
from visprog.scenes import COLORS, SHAPES, Scenes
from visprog.scenes.objects import OPPOSITE
from visprog.scenes.wordings import QUESTION_TYPES
from visprog.tools.backends._gate import to_view
from visprog.tools.backends.clip import Comparison, EmbeddedClassifier, EmbeddedMatcher
from visprog.tools.backends.coca import CocaCaptioner
from visprog.tools.backends.llava import EmbeddedVqa
from visprog.tools.backends.owl import EmbeddedDetector
from visprog.tools.backends.sam import EmbeddedSegmenter
from visprog.training.metrics.average_precision import ScoredBoxes, average_precision
from visprog.values.image import Image

Scores = dict[str, float]
SPLITS = ("test", "held_out")
RELATIONAL = ("relation", "relation_color", "relation_shape")
LEARNED = Path(__file__).resolve().parents[1] / "examples" / "learned.toml"


@dataclass(frozen=True)
class Test:
    """Which scenes a model is asked about.

    Attributes:
        splits: "test", "held_out" or both.
        count: Number of scenes of each split.
        size: Length in pixels of the shorter side of their images.
        shift: One of SHIFTS; None for images like those of the training.
        photos: Folder of photographs, for the shift that needs one.
    """

    splits: Sequence[str]
    count: int
    size: int
    shift: str | None = None
    photos: Path | None = None

    def views(self, objects: tuple[int, int] = (1, 5)) -> Iterator[View]:
        """The scenes; without a shift, all but those that the captioner, the strictest of the models, refuses."""
        for split in self.splits:
            if self.shift is not None:
                yield from views(self.shift, split, self.count, self.size, objects, self.photos)
                continue
            source = Scenes(self.size, split=split, objects=objects)
            for i in range(self.count):
                image = Image(source[i].pixels)
                with contextlib.suppress(Refused):
                    to_view(image, WEIGHTS / "coca", "caption")
                    yield View(source[i], image, source[i].masks)


@dataclass(frozen=True)
class Result:
    """How a model answers questions of one kind.

    Attributes:
        score: Of those that it answers.
        refused: Share of all.
        wrong: Share of all that it answers, and wrong.
    """

    score: float
    refused: float
    wrong: float = float("nan")


def result(values: Sequence[float | None], minimum: float = 1.0) -> Result:
    """The result of answers, each 0 to 1, or None if it is a refusal; below the minimum they are wrong."""
    answered = [value for value in values if value is not None]
    wrong = sum(value < minimum for value in answered)
    return Result(mean(answered), 1 - len(answered) / max(len(values), 1), wrong / max(len(values), 1))


def mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def answers(backend: Any, calls: list[dict[str, Any]], refusal: type[ToolError] = Refused) -> list[Any]:
    """What a backend answers, 64 calls at a time; None for a refusal. Raises the first other error that it gives in the
    place of an answer."""
    found = [answer for at in range(0, len(calls), 64) for answer in backend(calls[at : at + 64])]
    for answer in found:
        if isinstance(answer, Exception) and not isinstance(answer, refusal):
            raise answer
    return [None if isinstance(answer, refusal) else answer for answer in found]


def compared(said: Sequence[Any], truth: Sequence[Any]) -> Result:
    return result([None if a is None else float(a == b) for a, b in zip(said, truth, strict=True)])


def classify(test: Test) -> dict[str, Result]:
    """Zero-shot: the object in a box, and the only object of an image, among all 144 names."""
    names = [f"{color} {shape}" for color in COLORS for shape in SHAPES]
    backend, results = EmbeddedClassifier(), {}
    for title, most in (("things", 5), ("pictures", 1)):
        if most == 1 and test.shift is not None and SHIFTS[test.shift].objects:
            continue
        calls, truth = [], []
        for view in test.views((1, most)):
            objects = view.scene.objects
            i = next((i for i, obj in enumerate(objects) if obj.held_out), 0)
            calls.append({"image": view.image if most == 1 else view.region(i), "options": names})
            truth.append(f"{objects[i].color} {objects[i].shape}")
        results[title] = compared(answers(backend, calls), truth)
    return results


def detect(test: Test) -> dict[str, Result]:
    """AP50 of phrases of a colour and a shape, half of them of what is not there; and how often the count is
    right."""
    rng = np.random.default_rng(0)
    all_boxes, counting, found = EmbeddedDetector(threshold=0.01), EmbeddedDetector(), []
    counts: list[float | None] = []
    for view in test.views():
        scene = view.scene
        shown = [f"{obj.color} {obj.shape}" for obj in scene.objects if obj.held_out or not scene.rare]
        others = [f"{rng.choice(COLORS)} {rng.choice(SHAPES)}" for _ in shown]
        calls = [{"image": view.image, "what": phrase} for phrase in dict.fromkeys((*shown, *others))]
        some = answers(counting, calls)
        for call, regions, counted in zip(calls, answers(all_boxes, calls), some, strict=True):
            truth = view.boxes[scene.find(str(call["what"]))]
            counts.append(None if counted is None else float(len(counted) == len(truth)))
            if regions is not None:
                boxes = np.array([[r.left, r.top, r.right, r.bottom] for r in regions]).reshape(-1, 4)
                found.append(ScoredBoxes(boxes, np.array([r.score for r in regions]), truth))
    counted = result(counts)
    precision = average_precision(found) if found else float("nan")
    return {"AP50": Result(precision, counted.refused), "counts right": counted}


def segment(test: Test) -> dict[str, Result]:
    """Mean intersection over union of the mask for a box; and, without a shift, of the best of three for a point in the
    object."""
    import torch

    from visprog.models.nn import mask_iou

    segmenter = EmbeddedSegmenter()
    predictor = segmenter.predictor
    rng, by_point, best = np.random.default_rng(0), list[float](), list[float]()
    by_box: list[float | None] = []
    for view in test.views():
        masks = torch.from_numpy(view.masks)
        calls = [{"image": view.image, "region": view.region(i)} for i in range(len(masks))]
        found = answers(segmenter, calls, ToolError)  # which says that it sees nothing in a box
        for answer, mask in zip(found, masks, strict=True):
            drawn = None if answer is None else torch.from_numpy(answer.mask.within(view.image.box))
            by_box.append(None if drawn is None else mask_iou(drawn[None], mask[None]).item())
        if test.shift is not None:
            continue
        inside = [np.argwhere(mask) for mask in view.masks]
        points = np.array([place[rng.integers(len(place))][::-1] + 0.5 for place in inside], np.float32)
        predictor.image = predictor.set_image(view.image.pixels)
        answer = predictor.predict(points=torch.from_numpy(points)[:, None])
        ious = mask_iou(answer.logits > 0, masks[:, None])
        by_point += ious.gather(1, answer.iou_predictions.argmax(1, keepdim=True))[:, 0].tolist()
        best += ious.amax(1).tolist()
    points_of = {"by point": result(by_point, 0.5), "by point, best of 3": result(best, 0.5)}
    return {"IoU by box": result(by_box, 0.5), **(points_of if test.shift is None else {})}


def caption(test: Test) -> dict[str, Result]:
    """The share of captions that name each object with its colour and shape, and nothing else."""
    seen = list(test.views())
    said = answers(CocaCaptioner(), [{"image": view.image} for view in seen])
    right = [
        None if text is None else float(view.scene.agrees(text, complete=True))
        for view, text in zip(seen, said, strict=True)
    ]
    return {"all facts right": result(right)}


def vqa(test: Test) -> dict[str, Result]:
    """The share of questions answered right, of all kinds alike."""
    calls, truth = [], []
    for n, view in enumerate(test.views()):
        for question in view.scene.questions(1, [QUESTION_TYPES[n % len(QUESTION_TYPES)]]):
            calls.append({"image": view.image, "question": question.text})
            truth.append(question.answer_text)
    return {"answers right": compared(answers(EmbeddedVqa(), calls), truth)}


def ask(test: Test) -> Scores:
    """Questions of all kinds as `visprog ask` answers them with examples/learned.toml: the bundled planner writes the
    program, the bundled models see. What it declines to answer is not right."""
    right, answered = [], []
    (split,) = test.splits
    with Agent(config=LEARNED) as agent:
        source = Scenes(test.size, split=split)
        for n in range(test.count):
            for question in source[n].questions(1, [QUESTION_TYPES[n % len(QUESTION_TYPES)]]):
                answer = agent.ask(question.text, Image(source[n].pixels))
                answered.append(answer.status == "answered")
                right.append(answered[-1] and answer.value == question.answer)
    return {"answered": mean(answered), "right": mean(right)}


def relations(test: Test) -> Scores:
    """Questions about what lies where: whether one thing is left of, right of, above or below another, and which color
    or shape the one thing there has. The visual program with the bundled tools and the end-to-end model answer them
    all; CLIP chooses between the statement of a yes/no question and its opposite."""
    agent = Agent(config=LEARNED)
    speaker, matcher = EmbeddedVqa(), EmbeddedMatcher()
    asked = [
        (view.image, question)
        for view in test.views((2, 5))
        for kind in RELATIONAL
        for question in view.scene.questions(1, [kind])
    ]
    said = answers(speaker, [{"image": image, "question": question.text} for image, question in asked])
    scores = dict[str, float]()
    with agent:
        found = [agent.run(question.program, image).value for image, question in asked]
    for title, kinds in (("yes/no", RELATIONAL[:1]), ("which", RELATIONAL[1:])):
        these = [i for i, (_, question) in enumerate(asked) if question.type in kinds]
        scores[f"visual program, {title}"] = mean([found[i] == asked[i][1].answer for i in these])
        scores[f"end-to-end VQA, {title}"] = mean([said[i] == asked[i][1].answer_text for i in these])
        scores[f"questions, {title}"] = float(len(these))
    chosen = []
    for image, question in asked:
        if question.type == "relation":
            (cosines,) = matcher.cosines([Comparison(image, list(statements(question.text)))])
            chosen.append(bool(cosines[0] > cosines[1]) == question.answer)
    return {**scores, "CLIP score, yes/no": mean(chosen)}


def statements(question: str) -> tuple[str, str]:
    """What a question about a relation asks for, and the opposite, in the words of captions."""
    told = question.rstrip("?").removeprefix("Is the ").removeprefix("Does the ").replace(" lie ", " ")
    for relation, opposite in OPPOSITE.items():
        for said in (f" to the {relation} the ", f" {relation} the "):
            if said in told:
                one, other = told.split(said)
                return f"a {one} {relation} a {other}", f"a {one} {opposite} a {other}"
    raise ValueError(f"'{question}' asks for no relation")


TESTS: Mapping[str, Callable[[Test], dict[str, Result]]] = {
    "classify": classify, "detect": detect, "segment": segment, "caption": caption, "vqa": vqa,
}  # fmt: skip
"""Name of a test → the test of one model."""

PROGRAMS: Mapping[str, Callable[[Test], Scores]] = {"relations": relations, "ask": ask}
"""Name of a test → a test of programs on the models; these have no shifts."""


def usual(name: str, count: int, size: int) -> dict[str, Scores]:
    """Split → the scores of a test on scenes like those of the training."""
    found: dict[str, Scores] = {}
    for split in SPLITS:
        test = Test((split,), count, size)
        if name in TESTS:
            found[split] = {title: each.score for title, each in TESTS[name](test).items()}
        else:
            found[split] = PROGRAMS[name](test)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = (*TESTS, *PROGRAMS)
    parser.add_argument(
        "tests", nargs="*", metavar="TEST", help=f"of {', '.join(known)}; all, if none is given"
    )
    parser.add_argument("-n", "--count", type=int, default=300, help="scenes of each split")
    parser.add_argument("--size", type=int, default=96, help="of the shorter side of the images, in pixels")
    parser.add_argument(
        "--shift",
        action="append",
        default=[],
        choices=(*SHIFTS, "all"),
        help="; ".join(f"{name}: {shift.images}" for name, shift in SHIFTS.items()),
    )
    parser.add_argument("--photos", type=Path, help="folder of photographs for --shift photo")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if unknown := set(arguments.tests) - set(known):
        parser.error(f"there is no test {min(unknown)}: choose of {', '.join(known)}")
    results: dict[str, dict[str, Any]] = {}
    if arguments.shift:
        if unshifted := set(arguments.tests) & set(PROGRAMS):
            parser.error(f"{min(unshifted)} has no shifts: choose of {', '.join(TESTS)}")
        for shift in SHIFTS if "all" in arguments.shift else dict.fromkeys(arguments.shift):
            if SHIFTS[shift].photos and arguments.photos is None:
                print(
                    f"--shift {shift} is left out: give a folder of photographs by --photos", file=sys.stderr
                )
                continue
            test = Test(SPLITS, arguments.count, arguments.size, shift, arguments.photos)
            for name in arguments.tests or TESTS:
                found = TESTS[name](test)
                results.setdefault(shift, {})[name] = {title: asdict(each) for title, each in found.items()}
                for title, each in {} if arguments.json else found.items():
                    print(
                        f"{shift:<10} {name:<10} {title:<16} refused {each.refused:6.3f}   score {each.score:6.3f}   "
                        f"wrong {each.wrong:6.3f}",
                        flush=True,
                    )
    else:
        for name in arguments.tests or known:
            results[name] = usual(name, arguments.count, arguments.size)
            for title in {} if arguments.json else results[name]["test"]:
                values = "   ".join(f"{split} {results[name][split][title]:6.3f}" for split in SPLITS)
                print(f"{name:<10} {title:<26} {values}", flush=True)
    if arguments.json:
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
