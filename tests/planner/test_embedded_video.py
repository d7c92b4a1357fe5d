"""The embedded planner and videos: sentences that it understands as a whole, and those that only look alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from visprog.errors import Refused
from visprog.planner.base import PlanRequest
from visprog.planner.embedded.planner import EmbeddedPlanner
from visprog.registry import Registry, default_registry
from visprog.registry.sees import Sees
from visprog.runtime.steps import Step
from visprog.tools.words.labels import ClassPhrases, Labels
from visprog.values import Box, Span, Track
from visprog.values.helpers import NothingFound
from visprog.values.track import seconds_inside, spans_where


def registry(sees: Sees) -> Registry:
    """The tools for videos, with a `detect` that sees this."""
    tools = default_registry()
    return Registry(
        replace(tool, sees=sees) if name == "detect" else tool for name, tool in tools.items()
    ).for_inputs(True)


COCO = registry(Sees(phrases={"what": ClassPhrases(Labels.coco(), "some.onnx")}))
ANYTHING = registry(Sees())
PLANNER = EmbeddedPlanner()


def planned(question: str, returns: Any = None, tools: Registry = COCO) -> str:
    (plan,) = PLANNER.plan(PlanRequest(question, 1, returns, tools, video=True))
    assert (plan.planner, plan.probability) == ("embedded", 1.0)
    return plan.program


# -- a made video of 20 seconds, without frames ----------------------------------------------------------


def made(
    start: float, end: float, a: tuple[float, float], b: tuple[float, float], color: str = "grey"
) -> Track:
    """An object that goes from a to b. Its colour is its label."""
    half = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)
    places = ((start, a), ((start + end) / 2, half), (end, b))
    boxes = tuple((time, Box(x - 5, y - 5, x + 5, y + 5)) for time, (x, y) in places)
    return Track(color, 1.0, (Span(start, end),), boxes)


WORLD = {
    "car": [
        made(2, 6, (50, 0), (50, 100), "red"),
        made(5, 9, (0, 20), (100, 20), "white"),
        made(14, 16, (80, 0), (80, 100), "white"),
    ],
    "person": [made(3, 8, (90, 80), (60, 80))],
    "dog": [made(1, 4.5, (100, 90), (0, 90), "black")],
    "bottle": [
        made(0, 20, (20, 50), (20, 50)),
        made(0, 11, (40, 50), (40, 50)),
        made(12, 20, (70, 50), (70, 50)),
    ],
}


class MadeVideo:
    """What programs read of a video."""

    width = height = 100

    def __init__(self, start: float = 0.0, end: float = 20.0) -> None:
        self.start, self.end, self.duration = start, end, end - start

    def between(self, start: float, end: float) -> MadeVideo:
        assert start <= end
        return MadeVideo(max(start, self.start), min(end, self.end))

    def first_half(self) -> MadeVideo:
        return MadeVideo(self.start, (self.start + self.end) / 2)

    def second_half(self) -> MadeVideo:
        return MadeVideo((self.start + self.end) / 2, self.end)


def track(video: MadeVideo, what: str) -> list[Track]:
    """The objects of the world, as far as they are in a part of it."""
    found = []
    for each in WORLD.get(what, []):
        first, last = max(each.first_seen, video.start), min(each.last_seen, video.end)
        if first < last:
            places = [(t, each.at(t)) for t in (first, (first + last) / 2, last)]
            found.append(
                replace(each, spans=(Span(first, last),), places=tuple((t, b) for t, b in places if b))
            )
    return found


def count_over_time(video: MadeVideo, what: str) -> list[tuple[float, int]]:
    times = [0.1 * i for i in range(201)]
    return [(t, sum(each.seen(t) for each in track(video, what))) for t in times]


def answer(question: str, returns: Any = None) -> Any:
    tools: dict[str, Any] = {
        "track": track,
        "count_over_time": count_over_time,
        "count_unique": lambda video, what: len(track(video, what)),
        "best_view": lambda video, each: each,
        "has_color": lambda each, color: each.label == color,
        "dominant_color": lambda each: each.label,
        "spans_where": spans_where,
        "seconds_inside": seconds_inside,
        "Box": Box,
        "NothingFound": NothingFound,
    }
    exec(planned(question, returns), tools)
    run: Callable[[Any], Any] = tools["answer"]
    value = run(MadeVideo())
    if isinstance(value, list) and not all(isinstance(each, int) for each in value):
        return [(round(span.start, 1), round(span.end, 1)) for span in value]
    return round(value, 1) if isinstance(value, float) else value


ANSWERS: dict[str, Any] = {
    # How many come by.
    "How many cars pass?": 3,
    "how many car pass": 3,
    "How many cars pass by in the video?": 3,
    "In this clip, how many cars drive past?": 3,
    "How many people come by?": 1,
    "How many persons walk by?": 1,
    "How many cars are there in the video?": 3,
    "How many different cars do you see?": 3,
    "How many cars appeared in total?": 3,
    "How many cars?": 3,
    "What is the number of cars that pass?": 3,
    "Count the cars.": 3,
    "How many white cars go by?": 2,
    "How many buses drive by?": 0,
    # At a moment.
    "How many bottles are there at second 11.5?": 1,
    "How many bottles do you see at second five?": 2,
    "How many bottles are in view at 11.5 seconds?": 1,
    "How many bottles are visible at 0:11?": 2,
    "At second 6, how many cars are there?": 2,
    "How many bottles are there at the beginning?": 2,
    "How many bottles are there at the end of the video?": 2,
    "How many cars are there at the start?": 0,
    # At once.
    "What is the largest number of cars in view at once?": 2,
    "What's the maximum number of cars?": 2,
    "How many cars are there at the same time?": 2,
    "How many cars are in view at most at once?": 2,
    "What is the smallest number of bottles seen?": 1,
    "What are the fewest bottles in view at once?": 1,
    # When one appears or leaves.
    "When does the first car appear, in seconds?": 2,
    "At what second does the first car come into view": 2,
    "At which time does the last car appear?": 14,
    "When does the second car appear?": 5,
    "When does the first white car appear?": 5,
    "When does the dog appear?": 1,
    "When is a car first seen?": 2,
    "When does anyone first appear?": 3,
    "When does the first car leave?": 6,
    "When does the first car leave the picture?": 6,
    "When does the first car enter the frame?": 2,
    "When does the last car disappear?": 16,
    "When does the dog go out of view?": 4.5,
    # Which way they go.
    "How many cars drive from top to bottom?": 2,
    "How many cars move from the top to the bottom of the picture?": 2,
    "How many cars are driving down?": 2,
    "How many cars go from bottom to top?": 0,
    "How many cars pass from left to right?": 1,
    "How many cars went to the right?": 1,
    "How many people walk right to left?": 1,
    "How many people moved left?": 1,
    "How many white cars drive downwards?": 1,
    "How many dogs go up?": 0,
    # When so many are there.
    "When are there fewer than two bottles, from which second to which?": [(11.1, 12.0)],
    "When are there less than 2 bottles": [(11.1, 12.0)],
    "From which second to which are there at most one bottle?": [(11.1, 12.0)],
    "When are there two or more cars?": [(5, 6.1)],
    "When are there more than 1 cars in view?": [(5, 6.1)],
    "When are there exactly two bottles?": [(0, 11.1), (12, 20)],
    "When are there two cars?": [(5, 6.1)],
    "When are there no cars?": [(0, 2), (9.1, 14), (16.1, 20)],
    "When is there a person?": [(3, 8.1)],
    "When is someone in view?": [(3, 8.1)],
    "When is nobody in the picture?": [(0, 3), (8.1, 20)],
    "When are cars visible?": [(2, 9.1), (14, 16.1)],
    "When is the dog in view?": [(1, 4.5)],
    "When are there more than twenty bottles?": [],
    # Whether one is there.
    "Is there a car?": True,
    "Are there any elephants in the video?": False,
    "Do you see a dog?": True,
    "Is there a red car?": True,
    "Is there a blue car?": False,
    "Is there any car between second 10 and second 13?": False,
    "Are there any cars between second 8 and 13?": True,
    "Is there a car from 10 to 15 seconds?": True,
    "Is there a car before second 1?": False,
    "Is there a car after second 17?": False,
    "Is there a car at second 15?": True,
    "Is there a white car at second 3?": False,
    "Is there a red car at second 3?": True,
    "Is there a red car after second 7?": False,
    "Is anyone in the left half?": False,
    "Is anyone in the right half after second 7?": True,
    "Is someone in the right half of the picture after second 9?": False,
    "Is there a dog on the left before second 2?": False,
    "Is there a dog in the left half at second 4?": True,
    "Is there a dog in the upper half?": False,
    "Is a dog in the lower half in the first half of the video?": True,
    "Is there a car in the first half?": True,
    "Is there a person in the second half of the clip?": False,
    "Is there a car in the last 3 seconds?": False,
    "Is there a car in the first three seconds?": True,
    "Are there people?": True,
    "Is anybody there at second 4?": True,
    # Colours.
    "What colour is the last car?": "white",
    "What color is the first car?": "red",
    "What is the colour of the second car?": "white",
    "Which colour does the only dog have?": "black",
    # How long.
    "How long is the dog in view?": 3.5,
    "For how long is the last car visible?": 2,
    "How many seconds does the first car stay in view?": 4,
    "How long is a car in view?": 9.2,
    "How long is the video?": 20,
    "What is the duration of this clip?": 20,
    # Which way one goes, all, any, and more of them.
    "Does any car drive from top to bottom?": True,
    "Do any cars go up?": False,
    "Does anyone walk from right to left?": True,
    "Is there a car that drives to the right?": True,
    "Do all cars drive down?": False,
    "Do all red cars drive down?": True,
    "Does the first car go down?": True,
    "In which direction does the first car drive?": "down",
    "Which way is the dog moving?": "left",
    "What is the direction of the last car?": "down",
    "Count the cars that go down.": 2,
    "Do more cars go down than up?": True,
    "Do fewer cars drive from left to right than from top to bottom?": True,
    "Do more cars go right than down?": False,
    "How many cars go left, and how many go right?": [0, 1],
    "How many cars drive down and how many to the right?": [2, 1],
    # What comes first.
    "Which comes first, the red car or the white car?": "red car",
    "Which appears first, the car or the dog?": "dog",
    "What comes into view first: a person or the first car?": "car",
    "Does the dog or a car appear first?": "dog",
    "Does the dog appear before the person?": True,
    "Does a car come before the dog?": False,
    "Does the person appear after the red car?": True,
    "Does the person come by before the dog does?": False,
    "How long until the first car appears?": 2,
    "How long does it take until the second car comes into view?": 5,
    "How many seconds is it before the dog appears?": 1,
    # How many appear in a time, at the ends, ever, always, for how long.
    "How many cars appear before second 10?": 2,
    "How many cars appear between second 4 and 15?": 2,
    "How many dogs appear in the second half?": 0,
    "Does a car appear after second 10?": True,
    "Does a dog appear after second 2?": False,
    "Does a dog appear?": True,
    "Does anybody come by in this video?": True,
    "Do any elephants pass?": False,
    "Are there fewer bottles at the end than at the beginning?": False,
    "Are there more cars at the start than at the end?": False,
    "How many bottles are left at the end?": 2,
    "How many bottles remain in the last frame?": 2,
    "How many bottles are there in the beginning?": 2,
    "Are there ever two cars at the same time?": True,
    "Are there ever more than two bottles?": False,
    "Is there ever a moment when no car is visible?": True,
    "Is there a moment without a bottle?": False,
    "Is there a time with at least two cars?": True,
    "Is there always a bottle?": True,
    "Are there always two bottles?": False,
    "Is a dog always there?": False,
    "For how long are there no cars?": 10.8,
    "How many seconds is no car in view?": 10.8,
    "How long are there two cars in view?": 1.1,
    "How long is nobody in the picture?": 14.9,
    "When are there the most cars?": [(5, 6.1)],
    "At what time are most cars visible?": [(5, 6.1)],
    "From when to when is the dog visible?": [(1, 4.5)],
    "When can the dog be seen?": [(1, 4.5)],
    "Are a dog and a person ever visible at the same time?": True,
    "Is there a bottle and an elephant at the same time?": False,
    # Halves.
    "How many people are in the right half at second 5?": 1,
    "How many bottles are there in the left half at second 5?": 2,
    "Is the dog in the left half at second 4?": True,
    "Is the dog on the left at second 10?": False,
    "How long is the dog in the left half?": 1.7,
    "How many seconds does the first car stay in the lower half?": 2,
    # Colours of what is there.
    "How many cars are white?": 2,
    "How many of the cars are red?": 1,
    "Is the first car red?": True,
    "Is the last car black?": False,
    "Are all cars white?": False,
    "Are all the dogs black?": True,
    # Politely, and in short.
    "Please tell me how many cars pass.": 3,
    "Could you please tell me how many cars pass?": 3,
    "Can you see a dog?": True,
    "Number of cars?": 3,
    "How many cars are in the video?": 3,
}  # fmt: skip


@pytest.mark.parametrize(("question", "wanted"), ANSWERS.items())
def test_answers(question: str, wanted: Any) -> None:
    found = answer(question)
    assert found == wanted and (type(found) is bool) == (type(wanted) is bool)


NEAR_MISSES = """
How many red cars pass the truck?
How many cars turn left?
When does the driver get out?
Why do the cars pass?
How many people are holding a cup?
Who walks by?
How many cars pass after closing the door?
How many cars do not pass?
Is there a car that is not red?
How many cars besides the bus pass?
How many cars pass each minute?
How many cars pass twice?
How many cars pass faster than the bus?
How many cars pass on average?
How many wheels are there?
Which car is the fastest?
How many cars pass per second?
How many times does a car pass?
How many cars stop?
How many cars left?
Are there any cars left?
Is there a second car?
How many other cars pass?
How many parked cars are there?
How many moving cars are there?
How many big cars pass?
How many single people pass?
How many light blue cars pass?
How many red and white cars pass?
How many cars and trucks pass?
Is there a car or a truck?
How many men pass?
When does the woman leave?
How many white people pass?
How many cars walk by?
How many people drive by?
How many people run from left to right?
How many cars turn from left to right?
How many cars pass from left to right and back?
How many cars drive from top to bottom after second 5?
How many cars drive down the hill?
How many people go up the stairs?
How many cars drive from left to left?
How many cars come from the left?
How many cars pass between second 5 and second 10?
How many cars are there between second 5 and second 10?
How many bottles are there after second 5?
How many bottles are there at second 5 and at second 10?
How many bottles are there at second 5 on the table?
How many red bottles are there at second 5?
How many bottles are there in the middle?
How many bottles are there about second 5?
How many seconds are there?
How many things are there?
How many objects pass?
Is there something in the left half?
When are there fewer bottles than cups?
When are there fewer than two red bottles?
When are there fewer than two bottles in the left half?
When are there not two bottles?
When are there about two bottles?
When are there only cars?
When are there two or three cars?
When are there at least two or more cars?
When is the bottle taken away?
When is the dog asleep?
When does the first car appear after second 5?
When does the first car stop?
When does the first car leave the garage?
When does the first person enter the house?
When does the first car not appear?
When does the third to last car appear?
When does the second last car appear?
When does the second car leave?
When does the car appear for the second time?
When does each car appear?
When do the cars appear?
When does the first car pass the first truck?
What is the largest car?
What is the largest number of wheels?
What is the number of the bus?
What is the bus number?
What is the largest number of cars in the left half?
What is the average number of cars?
What colour is the sky?
What colour is the first person?
What colour is the car at the end?
What colour is the fastest car?
What colour is the nearest car?
When does the biggest car appear?
When does the wrong car appear?
Is there a next car?
Is there a broken car?
Is there a car alone?
Is there a man asleep?
What shape is the first car?
Is there a car in the left third?
Is there a car near the left half?
Is there no car?
Is there a car nowhere?
Is there a car with a trailer?
Is there a man running?
Is there a car between second 13 and second 10?
Is there a car between 10 and 13?
Is there a car after 10 minutes?
Is there a car in the second quarter?
Is there a person in the car?
Is there more than one car?
Is anyone happy?
Is anyone driving?
Is anyone in the kitchen?
Is nobody in the left half?
Is there a car at second 5 or second 8?
Does a car pass before the bus?
How long is the bus?
How long is the train in the picture?
How long are the cars in view?
How long does the car wait?
How fast is the first car?
How long is the video of the dog?
Describe the video.
What happens at second 5?
What does the sign say?
Where is the first car?
cars
Does a car come before the dog leaves?
Does a car come before the dog barks?
Does a car appear before the dog runs?
Does a car appear after the dog walks?
Does a car appear after the dog stops?
Does no car drive down?
Do all cars but one drive down?
Do all cars except the bus drive down?
Does the first car go down the hill?
Does the first car drive left or right?
Which comes first, the car or the red?
Which comes first, the car or the dog or the bus?
Which comes first after second 5, the car or the dog?
Which car comes first?
Who comes first?
Do more cars go down than up the hill?
Do more cars go down than dogs?
Do more cars go down than down?
How many cars go left and how many dogs go right?
How many cars go left, and how many turn right?
How many cars go left and right?
Are there ever more cars than dogs?
Are there ever more than two bottles in the left half?
Are there ever two red cars?
Is there ever a moment when two cars touch?
Is there a moment without cars on the left?
For how long are there no red cars?
For how long are there no cars in the left half?
How long until the first car leaves?
How long until the first car stops?
How long until the car is gone?
How many cars are red and white?
How many cars are not white?
How many cars are bigger than the bus?
How many people are white?
Is the first person red?
Is the first car red or white?
Is the first car not red?
Is the first car light red?
Is the first car a red one?
Is the red car red?
Are all cars the same colour?
Are not all cars white?
How many cars appear at second 5?
How many cars appear in the left half?
How many cars appear and leave?
Does a car appear at second 5?
Does a car appear in the left half after second 5?
Does a dog pass after second 5?
Does a car pass twice?
Does a car pass slowly?
Is the dog in the left half after second 4?
Is the dog not in the left half at second 4?
How many people are in the left half?
How long is a dog in the left half?
How long are the cars in the left half?
Is a car and a dog in the picture?
Is a car and no dog visible at the same time?
Are a car and two dogs visible at the same time?
Are two cars and a dog visible at the same time?
Are there more bottles at the end than cups at the beginning?
Are there more red bottles at the end than at the beginning?
Are there more bottles at the end than at second 5?
Are there many more bottles at the end than at the beginning?
Are there two more bottles at the end than at the beginning?
Is there always a dog at the beginning?
Is there not always a dog?
When are there most cars after second 5?
When are there most red cars?
In which direction do the cars drive?
In which direction does the car drive at second 3?
What is the direction of the wind?
Please tell me when the first car appears
Tell me about the cars
How many bottles remain?
How many bottles remain on the table at the end?
The number of the bus?
Number of cars per minute?
Does the driver of a car appear?
Does a car disappear?
Do cars and dogs appear?
Does any car appear before and after the dog?
Do cars appear before the dogs?
Does the dog appear right before the person?
Does the dog appear long before the person?
Does the dog appear just after a car?
Does the second car appear before the dog?
How many times does a bottle disappear?
How often does a car appear?
Does the dog leave before the first car appears?
Is there a car at the start that is not there at the end?
How long until the second bottle is gone?
Are there more cars than people?
How many more cars than dogs pass?
How many cars and dogs are there in total?
What is the longest time without a car?
When does a bottle come back?
Is there a dog while the first car is visible?
How many cars are there when the dog is visible?
Does the last car go in the same direction as the first car?
Is the dog there the whole time?
Is there a @5 car?
""".strip().split("\n")


@pytest.mark.parametrize("tools", [COCO, ANYTHING], ids=["coco", "anything"])
@pytest.mark.parametrize("question", NEAR_MISSES)
def test_near_misses_are_refused(question: str, tools: Registry) -> None:
    unseen = {"How many wheels are there?", "How many men pass?", "When does the woman leave?"}
    if tools is ANYTHING and question in unseen | {"What is the largest number of wheels?"}:
        assert planned(question, tools=tools)
        return
    with pytest.raises(Refused) as refusal:
        planned(question, tools=tools)
    message = str(refusal.value)
    assert ("not understood: '" in message and "language model" in message) or "has no class" in message


@pytest.mark.parametrize(
    ("question", "part"),
    [
        ("How many red cars pass the truck?", "the truck"),
        ("How many cars do not pass?", "not"),
        ("How many cars turn left?", "turn left"),
        ("How many cars pass, at 5 seconds?", "at 5 seconds"),
        ("How many cars pass at second 5?", "at second 5"),
        ("How many big cars pass?", "big"),
        ("Which car is the fastest?", "fastest"),
        (" ".join(["How many cars pass"] * 30), "how many cars pass how many cars pass how many cars pass"),
    ],
)
def test_a_refusal_says_what_was_not_understood(question: str, part: str) -> None:
    with pytest.raises(Refused, match=f"not understood: '{part}'"):
        planned(question)


def test_what_the_detector_does_not_see_is_refused_with_the_nearest() -> None:
    with pytest.raises(Refused, match=r"no class 'man' \(the nearest is 'person'"):
        planned("How many men pass?")
    assert 'track(video, "man")' in planned("When does the man appear?", tools=ANYTHING)


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("When does the first elephant appear?", "no elephant is seen"),
        ("What colour is the last bus?", "no bus is seen"),
        ("How long is the car in view?", "3 are seen, not one car"),
        ("When does the fourth car appear?", "only 3 are seen"),
        ("When does the last bottle leave?", "in view to the end"),
        ("When does the first bottle leave?", "not the first to leave"),
        ("How many cars are there at second 30?", "no second 30"),
        ("Is there a car after second 30?", "no second 30"),
    ],
)
def test_without_an_answer_there_is_no_number(question: str, reason: str) -> None:
    with pytest.raises(NothingFound, match=reason):
        answer(question)


@pytest.mark.parametrize(
    ("question", "returns", "wanted"),
    [
        ("How many cars pass?", int, 3),
        ("How many cars pass?", float, 3),
        ("How many cars pass?", str, "3"),
        ("When does the first car appear?", int, 2),
        ("When does the first car appear?", float | None, 2.0),
        ("Is there a car?", bool, True),
        ("When are there two cars?", list[Span], [(5, 6.1)]),
    ],
)
def test_answers_have_the_type_that_is_asked_for(question: str, returns: Any, wanted: Any) -> None:
    assert answer(question, returns) == wanted


@pytest.mark.parametrize(
    ("question", "returns"),
    [
        ("How many cars pass?", bool),
        ("Is there a car?", int),
        ("Is there a car?", str),
        ("When are there two cars?", float),
        ("What colour is the first car?", int),
        ("When does the first car appear?", list[Span]),
    ],
)
def test_answers_of_another_type_are_refused(question: str, returns: Any) -> None:
    with pytest.raises(Refused, match="was asked for"):
        planned(question, returns)


def test_tools_that_are_missing_and_a_program_that_failed() -> None:
    with pytest.raises(Refused, match="count_unique"):
        planned("How many cars pass?", tools=Registry(t for n, t in COCO.items() if n != "count_unique"))
    with pytest.raises(Refused, match="no other program"):
        request = PlanRequest("How many cars pass?", registry=COCO, video=True)
        PLANNER.plan(request, failed=Step(planned("How many cars pass?")))


def test_the_questions_of_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "video.md").read_text(encoding="utf-8")
    forms = page[page.index("| question |") : page.index("- An object is")]
    questions = re.findall(r"[A-Z][^?|…;]*\?", forms)
    assert len(questions) > 12
    for question in questions:
        assert planned(question)
