"""`visprog examples`: turn right answers into examples for the planner."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import VisprogError
from .common import ConfigOption, JsonOption
from .result import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from visprog.prompts import Example

    from ..agent import Agent

examples = typer.Typer(help="Keep right answers as examples for the planner.", rich_markup_mode=None)

FileOption = Annotated[
    Path | None,
    typer.Option("--file", help="File of your examples; visprog.examples.yaml by default."),
]


@examples.command("add")
def add(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Saved answer (JSON), or results.jsonl of an evaluation."),
    ],
    id: Annotated[
        str | None, typer.Option("--id", help="Id of one question of an evaluation.", show_default=False)
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(
            "--image",
            help="Image that the question is about, to run the program on it again. May be repeated.",
        ),
    ] = None,
    file: FileOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> Result:
    """Turn a right answer into an example.

    Its program is checked, run on fake tools, and run again on its images if they are available: those given with
    --image, or those that the saved answer holds unchanged.

    \b
    visprog ask shelf.jpg "How many jars?" --json > jars.json
    visprog examples add jars.json --image shelf.jpg
    visprog examples add runs/nlvr/results.jsonl --id dev-1572-0-3
    """
    from visprog.prompts import Example

    from ..agent import Agent
    from ..planner.user_examples import DEFAULT, add_example

    record = read_run(run, id)
    images: tuple[Any, ...] = tuple(image or ()) or kept_whole(record)
    count = len(images) or len(record.get("images", ())) or _image_count(record["program"])
    example = Example(record["question"], record["program"], count, _type_name(record["value"]))
    with Agent("embedded", config, turns=1, tool_calls=False) as agent:
        try_example(agent, example, images, record["value"])
    path = file or DEFAULT
    total = add_example(path, example)
    ran = "it passes its check and gives the same answer again" if images else "it passes its check"
    if not json:
        print(f"added to {path} ({total} in all): {ran}")
        if not images:
            print("its images are not available: to run the program on them, give them with --image")
    return Result({"status": "added", "file": str(path), "examples": total, "ran": bool(images)})


@examples.command("list")
def show(file: FileOption = None, json: JsonOption = False) -> Result:
    """Print the questions of your examples.

    \b
    visprog examples list
    visprog examples list --file mine.yaml --json
    """
    from ..planner.user_examples import DEFAULT, read_examples

    path = file or DEFAULT
    found = read_examples(path)
    if not json:
        print("\n".join(e.question for e in found) if found else f"{path} holds no examples yet")
    data = [
        {"question": e.question, "program": e.program, "images": e.images, "returns": e.returns}
        for e in found
    ]
    return Result({"status": "ok", "file": str(path), "examples": data})


def read_run(path: Path, id: str | None = None) -> Mapping[str, Any]:
    """Read question, program and value of a saved answer, or of one row of an evaluation.

    Raises:
        VisprogError: The file is neither, has no such row, or the answer is not right.
    """
    from ..files.plain_text import numbered_lines, parse_json, read_text

    try:
        text = read_text(path)
        lines = [line for _, line in numbered_lines(text)] if path.suffix == ".jsonl" else [text]
        rows = [parse_json(line) for line in lines]
    except OSError as error:
        raise VisprogError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise VisprogError(f"{path} {error}") from None
    if not all(isinstance(row, dict) for row in rows):
        raise VisprogError(f"{path} is neither a saved answer nor the results of an evaluation")
    if path.suffix == ".jsonl":
        if id is None:
            raise VisprogError(f"which of the {len(rows)} questions of {path}? name one with --id")
        rows = [row for row in rows if row.get("id") == id]
        if not rows:
            raise VisprogError(f"{path} has no question with the id {id}")
    record = {**rows[-1]}
    record.setdefault("value", record.get("answer"))
    if not isinstance(record.get("question"), str) or not isinstance(record.get("program"), str):
        raise VisprogError(f"{path} holds no question with a program: give an answer saved with --json")
    if not record["question"].strip() or not record["program"].strip():
        raise VisprogError(
            f"{path} has no question or no program: only an answer to a question is an example"
        )
    if record.get("status") != "answered":
        raise VisprogError(
            f"that question was not answered ({record.get('status')}), so it cannot be an example"
        )
    if record.get("right") is False:
        raise VisprogError("that answer is marked wrong in the evaluation, so it cannot be an example")
    return record


def kept_whole(record: Mapping[str, Any]) -> tuple[bytes, ...]:
    """The images of a saved answer, encoded, if it holds all of them unchanged; otherwise none."""
    held = record.get("pictures") or {}
    found = [held.get(image.get("digest"), {}) for image in record.get("images", ())]
    if not all(p.get("scale") == 1 and p.get("mime") == "image/png" for p in found):
        return ()
    return tuple(base64.b64decode(p["data"]) for p in found)


def _image_count(program: str) -> int:
    """Number of images that a program takes, by its parameters: two for `images`, which may be any number."""
    from ..program import Program

    names = Program.parse(program).parameters
    return 2 if names == ("images",) else max(1, len(names or ()))


def _type_name(value: Any) -> str:
    """Name of the type of an answer in its JSON form, as an example states it; empty if it says little."""
    for type_ in (bool, int, float, str):
        if isinstance(value, type_):
            return type_.__name__
    return str(value["type"]) if isinstance(value, dict) and value.get("type") in ("Region", "Image") else ""


def try_example(agent: Agent, example: Example, images: tuple[Any, ...] = (), value: Any = None) -> None:
    """Check a program, run it on fake tools, and on its images if they are given.

    Args:
        agent: Agent that runs the program.
        example: Example with the program.
        images: Images that the question is about; none to leave out that run.
        value: Answer that the program must give on them, in the JSON form of answers.

    Raises:
        VisprogError: The program does not pass; the message says why.
    """
    from ..check import check
    from ..check.dry_run import dry_run
    from ..program import Program

    program = Program.parse(example.program)
    found = check(program, agent.registry)
    if not any(d.severity == "error" for d in found):
        wrong = program.mismatch(example.images)
        if wrong:
            raise VisprogError(f"this cannot be an example: {wrong}")
        found = dry_run(program, agent.registry, inputs=program.inputs(example.images), sandbox=agent.sandbox)
    errors = [d for d in found if d.severity == "error"]
    if errors:
        raise VisprogError(f"the program does not pass its check, so it cannot be an example: {errors[0]}")
    if not images:
        return
    again = agent.run(example.program, *images)
    if again.status != "answered":
        raise VisprogError(f"the program no longer answers: {again.message}")
    if again.to_json(pictures=False)["value"] != value:
        raise VisprogError(f"the program now answers {again} on its images, which is not the saved answer")
