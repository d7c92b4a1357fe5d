"""The bundled models on scenes that none of them has seen, through the tools' own backends.

python benchmarks/embedded.py                   # all six, programs against CLIP and VQA, and `visprog ask`
python benchmarks/embedded.py detect vqa -n 500
python benchmarks/embedded.py --size 200        # pictures that are not of the models' own size

Each score is of 300 scenes of the split "test", and then of "held_out", where each scene shows at least one
combination of colour or texture and shape that training never shows. Those that the models refuse, about one in a
hundred, are left out, but not by `ask`, where they count as not answered.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from visprog import Agent
from visprog.errors import Refused
from visprog.models import WEIGHTS
from visprog.scenes import COLORS, SHAPES, Scene, Scenes
from visprog.scenes.objects import OPPOSITE
from visprog.scenes.wordings import QUESTION_TYPES
from visprog.tools.backends._gate import to_view
from visprog.tools.backends.clip import Comparison, EmbeddedClassifier, EmbeddedMatcher
from visprog.tools.backends.coca import CocaCaptioner
from visprog.tools.backends.llava import EmbeddedVqa
from visprog.tools.backends.owl import EmbeddedDetector
from visprog.tools.backends.sam import EmbeddedSegmenter
from visprog.training.metrics.average_precision import ScoredBoxes, average_precision
from visprog.values import Box, Region
from visprog.values.image import Image

Scores = dict[str, float]
SPLITS = ("test", "held_out")
RELATIONAL = ("relation", "relation_color", "relation_shape")
LEARNED = Path(__file__).resolve().parents[1] / "examples" / "learned.toml"


def scenes(
    split: str, count: int, size: int, objects: tuple[int, int] = (1, 5)
) -> Iterator[tuple[Scene, Image]]:
    """The scenes of a test with their pictures, but those that the captioner, the strictest of the models, refuses."""
    source = Scenes(size, split=split, objects=objects)
    for i in range(count):
        image = Image(source[i].pixels)
        with contextlib.suppress(Refused):
            to_view(image, WEIGHTS / "coca", "caption")
            yield source[i], image


def answers(backend: Any, calls: list[dict[str, Any]]) -> list[Any]:
    """What a backend answers, 64 calls at a time. Raises the first error that it gives in the place of an answer."""
    found = [answer for at in range(0, len(calls), 64) for answer in backend(calls[at : at + 64])]
    for answer in found:
        if isinstance(answer, Exception):
            raise answer
    return found


def share(right: list[bool]) -> float:
    return float(np.mean(right)) if right else float("nan")


def classify(split: str, count: int, size: int) -> Scores:
    """Zero-shot: the thing in a box, and the one thing of a picture, among all 144 names."""
    names = [f"{color} {shape}" for color in COLORS for shape in SHAPES]
    backend, scores = EmbeddedClassifier(), {}
    for title, most in (("things", 5), ("pictures", 1)):
        calls, truth = [], []
        for scene, image in scenes(split, count, size, (1, most)):
            odd = [i for i, thing in enumerate(scene.objects) if thing.held_out]
            i = (odd or [0])[0]
            look = image if most == 1 else region(scene, image, i)
            calls.append({"image": look, "options": names})
            truth.append(f"{scene.objects[i].color} {scene.objects[i].shape}")
        said = answers(backend, calls)
        scores[title] = share([a == b for a, b in zip(said, truth, strict=True)])
    return scores


def detect(split: str, count: int, size: int) -> Scores:
    """AP50 of phrases of a colour and a shape, half of them of what is not there; and how often the count is
    right."""
    rare = split == "held_out"
    rng = np.random.default_rng(0)
    all_boxes, counting, found = EmbeddedDetector(threshold=0.01), EmbeddedDetector(), []
    counts: list[bool] = []
    for scene, image in scenes(split, count, size):
        shown = [f"{t.color} {t.shape}" for t in scene.objects if t.held_out or not rare]
        others = [f"{rng.choice(COLORS)} {rng.choice(SHAPES)}" for _ in shown]
        for phrase in dict.fromkeys((*shown, *others)):
            truth = scene.boxes[scene.find(phrase)]
            (regions,) = all_boxes([{"image": image, "what": phrase}])
            boxes = np.array([[r.left, r.top, r.right, r.bottom] for r in regions]).reshape(-1, 4)
            found.append(ScoredBoxes(boxes, np.array([r.score for r in regions]), truth))
            counts.append(len(counting([{"image": image, "what": phrase}])[0]) == len(truth))
    return {"AP50": average_precision(found), "counts right": share(counts)}


def segment(split: str, count: int, size: int) -> Scores:
    """Mean intersection over union of the mask for a box, and of the best of three for a point in the thing."""
    import torch

    from visprog.models.nn import mask_iou

    segmenter = EmbeddedSegmenter()
    predictor = segmenter.predictor
    rng, by_box, by_point, best = np.random.default_rng(0), [], [], []
    for scene, image in scenes(split, count, size):
        masks = torch.from_numpy(scene.masks)
        calls = [{"image": image, "region": region(scene, image, i)} for i in range(len(masks))]
        found = [answer.mask.within(image.box) for answer in answers(segmenter, calls)]
        by_box += mask_iou(torch.from_numpy(np.stack(found)), masks).tolist()
        inside = [np.argwhere(mask) for mask in scene.masks]
        points = np.array([place[rng.integers(len(place))][::-1] + 0.5 for place in inside], np.float32)
        predictor.image = predictor.set_image(scene.pixels)
        answer = predictor.predict(points=torch.from_numpy(points)[:, None])
        ious = mask_iou(answer.logits > 0, masks[:, None])
        by_point += ious.gather(1, answer.iou_predictions.argmax(1, keepdim=True))[:, 0].tolist()
        best += ious.amax(1).tolist()
    return {
        "IoU by box": float(np.mean(by_box)),
        "by point": float(np.mean(by_point)),
        "by point, best of 3": float(np.mean(best)),
    }


def caption(split: str, count: int, size: int) -> Scores:
    """The share of captions that name each thing with its colour and shape, and nothing else."""
    pairs = list(scenes(split, count, size))
    backend = CocaCaptioner()
    said = answers(backend, [{"image": image} for _, image in pairs])
    return {
        "all facts right": share(
            [s.agrees(text, complete=True) for (s, _), text in zip(pairs, said, strict=True)]
        )
    }


def vqa(split: str, count: int, size: int) -> Scores:
    """The share of questions answered right, of all kinds alike."""
    calls, truth = [], []
    for n, (scene, image) in enumerate(scenes(split, count, size)):
        for question in scene.questions(1, [QUESTION_TYPES[n % len(QUESTION_TYPES)]]):
            calls.append({"image": image, "question": question.text})
            truth.append(question.answer_text)
    said = answers(EmbeddedVqa(), calls)
    return {"answers right": share([a == b for a, b in zip(said, truth, strict=True)])}


def ask(split: str, count: int, size: int) -> Scores:
    """Questions of all kinds as `visprog ask` answers them with examples/learned.toml: the bundled planner writes the
    program, the bundled models see. What it declines to answer is not right."""
    right, answered = [], []
    with Agent(config=LEARNED) as agent:
        source = Scenes(size, split=split)
        for n in range(count):
            for question in source[n].questions(1, [QUESTION_TYPES[n % len(QUESTION_TYPES)]]):
                answer = agent.ask(question.text, Image(source[n].pixels))
                answered.append(answer.status == "answered")
                right.append(answered[-1] and answer.value == question.answer)
    return {"answered": share(answered), "right": share(right)}


def relations(split: str, count: int, size: int) -> Scores:
    """Questions about what lies where: whether one thing is left of, right of, above or below another, and which color
    or shape the one thing there has. The visual program with the bundled tools and the end-to-end model answer them
    all; CLIP chooses between the statement of a yes/no question and its opposite."""
    agent = Agent(config=LEARNED)
    speaker, matcher = EmbeddedVqa(), EmbeddedMatcher()
    asked = [
        (image, question)
        for scene, image in scenes(split, count, size, (2, 5))
        for kind in RELATIONAL
        for question in scene.questions(1, [kind])
    ]
    said = answers(speaker, [{"image": image, "question": question.text} for image, question in asked])
    scores = dict[str, float]()
    with agent:
        found = [agent.run(question.program, image).value for image, question in asked]
    for title, kinds in (("yes/no", RELATIONAL[:1]), ("which", RELATIONAL[1:])):
        these = [i for i, (_, question) in enumerate(asked) if question.type in kinds]
        scores[f"visual program, {title}"] = share([found[i] == asked[i][1].answer for i in these])
        scores[f"end-to-end VQA, {title}"] = share([said[i] == asked[i][1].answer_text for i in these])
        scores[f"questions, {title}"] = float(len(these))
    chosen = []
    for image, question in asked:
        if question.type == "relation":
            (cosines,) = matcher.cosines([Comparison(image, list(statements(question.text)))])
            chosen.append(bool(cosines[0] > cosines[1]) == question.answer)
    return {**scores, "CLIP score, yes/no": share(chosen)}


def statements(question: str) -> tuple[str, str]:
    """What a question about a relation asks for, and the opposite, in the words of captions."""
    told = question.rstrip("?").removeprefix("Is the ").removeprefix("Does the ").replace(" lie ", " ")
    for relation, opposite in OPPOSITE.items():
        for said in (f" to the {relation} the ", f" {relation} the "):
            if said in told:
                one, other = told.split(said)
                return f"a {one} {relation} a {other}", f"a {one} {opposite} a {other}"
    raise ValueError(f"'{question}' asks for no relation")


def region(scene: Scene, image: Image, i: int) -> Region:
    return Region(Box(*map(float, scene.boxes[i])), "", 1.0, image)


TESTS: Mapping[str, Callable[[str, int, int], Scores]] = {
    "classify": classify, "detect": detect, "segment": segment, "caption": caption, "vqa": vqa, "relations": relations,
    "ask": ask,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "tests", nargs="*", metavar="TEST", help=f"of {', '.join(TESTS)}; all, if none is given"
    )
    parser.add_argument("-n", "--count", type=int, default=300, help="scenes of each split")
    parser.add_argument("--size", type=int, default=96, help="of the pictures, in pixels")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if unknown := set(arguments.tests) - set(TESTS):
        parser.error(f"there is no test {min(unknown)}: choose of {', '.join(TESTS)}")
    results: dict[str, dict[str, Scores]] = {}
    for name in arguments.tests or TESTS:
        results[name] = {split: TESTS[name](split, arguments.count, arguments.size) for split in SPLITS}
        if not arguments.json:
            for title in results[name]["test"]:
                values = "   ".join(f"{split} {results[name][split][title]:6.3f}" for split in SPLITS)
                print(f"{name:<10} {title:<26} {values}", flush=True)
    if arguments.json:
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
