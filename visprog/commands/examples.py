"""`visprog examples`: answers that were right become examples for the planner."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import VisprogError
from .common import ConfigOption, JsonOption, Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from visprog.prompts import Example

    from ..agent import Agent

examples = typer.Typer(
    help="Keep answers that were right as examples for the planner.", rich_markup_mode=None
)

FileOption = Annotated[
    Path | None,
    typer.Option("--file", help="The file of your examples; visprog.examples.yaml, if not given."),
]


@examples.command("add")
def add(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A saved answer (JSON), or the results.jsonl of an evaluation."),
    ],
    id: Annotated[
        str | None, typer.Option("--id", help="Which question of an evaluation.", show_default=False)
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option("--image", help="The picture that it is about, to run it again. May be repeated."),
    ] = None,
    file: FileOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> Result:
    """Turn an answer that you found right into an example.

    Its program is checked, run on stand-ins for the tools, and run again on its pictures where they are at hand:
    those given with --image, or those that the saved answer holds whole.

    \b
    visprog ask shelf.jpg "How many jars?" --json > jars.json
    visprog examples add jars.json --image shelf.jpg
    visprog examples add runs/nlvr/results.jsonl --id dev-1572-0-3
    """
    from visprog.prompts import Example

    from ..agent import Agent
    from ..planner.user_examples import DEFAULT, add_example

    record = read_run(run, id)
    pictures: tuple[Any, ...] = tuple(image or ()) or kept_whole(record)
    count = len(pictures) or len(record.get("images", ())) or _taken(record["program"])
    example = Example(record["question"], record["program"], count, _kind(record["value"]))
    with Agent("embedded", config) as agent:
        try_example(agent, example, pictures, record["value"])
    path = file or DEFAULT
    total = add_example(path, example)
    ran = "it passes its check and gives the same answer again" if pictures else "it passes its check"
    if not json:
        print(f"added to {path} ({total} in all): {ran}")
        if not pictures:
            print("its pictures are not at hand: to run it on them, give them with --image")
    return Result({"status": "added", "file": str(path), "examples": total, "ran": bool(pictures)})


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
    """What was asked, the program and its value: of a saved answer, or of one row of an evaluation.

    Raises:
        VisprogError: the file is neither, has no such row, or there is no right answer in it.
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
        raise VisprogError(f"that question was not answered ({record.get('status')}), so it is no example")
    if record.get("right") is False:
        raise VisprogError("that answer is marked wrong in the evaluation, so it is no example")
    return record


def kept_whole(record: Mapping[str, Any]) -> tuple[bytes, ...]:
    """The pictures of a saved answer, where it holds every one of them unchanged; else none."""
    held = record.get("pictures") or {}
    found = [held.get(image.get("digest"), {}) for image in record.get("images", ())]
    if not all(p.get("scale") == 1 and p.get("mime") == "image/png" for p in found):
        return ()
    return tuple(base64.b64decode(p["data"]) for p in found)


def _taken(program: str) -> int:
    """How many pictures a program takes, as far as its first line says: `images` may be any number."""
    from ..program import Program

    names = Program.parse(program).parameters
    return 2 if names == ("images",) else max(1, len(names or ()))


def _kind(value: Any) -> str:
    """The type of an answer in its JSON form, as an example states it; empty where that says little."""
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind.__name__
    return str(value["type"]) if isinstance(value, dict) and value.get("type") in ("Region", "Image") else ""


def try_example(agent: Agent, example: Example, pictures: tuple[Any, ...] = (), value: Any = None) -> None:
    """Check a program, run it on stand-ins for the tools, and on its pictures where they are given.

    Args:
        pictures: those that it is about.
        value: what it must answer on them, in the JSON form of answers.

    Raises:
        VisprogError: it does not pass; the message says why.
    """
    from ..check import check
    from ..check.dry_run import dry_run
    from ..program import Program

    program = Program.parse(example.program)
    found = check(program, agent.registry)
    if not any(d.severity == "error" for d in found):
        wrong = program.mismatch(example.images)
        if wrong:
            raise VisprogError(f"this is no example: {wrong}")
        found = dry_run(program, agent.registry, inputs=program.inputs(example.images), sandbox=agent.sandbox)
    errors = [d for d in found if d.severity == "error"]
    if errors:
        raise VisprogError(f"the program does not pass its check, so it is no example: {errors[0]}")
    if not pictures:
        return
    again = agent.run(example.program, *pictures)
    if again.status != "answered":
        raise VisprogError(f"the program no longer answers: {again.message}")
    if again.to_json(pictures=False)["value"] != value:
        raise VisprogError(f"the program now answers {again} on its pictures, and not what was marked right")
