"""`visprog plan` and `visprog check`: write a program, and find its mistakes, without running it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .answering import Returns, type_of
from .common import (
    BackendOption,
    ConfigOption,
    JsonOption,
    PlannerOption,
    ReturnsOption,
    ToolsOption,
    TurnsOption,
)
from .result import Result, UsageError
from .settings import host_in_force, load_settings, planner_in_force, registry_in_force
from .status import say, working

if TYPE_CHECKING:
    from ..config import Config


def plan(
    question: Annotated[
        str, typer.Argument(metavar='"QUESTION"', help="Question in quotes.", show_default=False)
    ],
    images: Annotated[
        int, typer.Option("--images", min=1, help="Number of images that the question is about.")
    ] = 1,
    video: Annotated[bool, typer.Option("--video", help="The question is about a video.")] = False,
    prompt: Annotated[
        bool,
        typer.Option(
            "--prompt", help="Print the messages that a language model would get, instead of planning."
        ),
    ] = False,
    turns: TurnsOption = None,
    planner: PlannerOption = None,
    returns: ReturnsOption = None,
    tools: ToolsOption = None,
    backend: BackendOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> Result:
    """Write the program for a question, and do not run it.

    \b
    visprog plan "How many dogs are there?"
    visprog plan "Is there a hat in both pictures?" --images 2 > program.py
    visprog plan "How many dogs are there?" --prompt
    visprog plan "How many dogs are there?" --prompt --turns 6
    """
    if not question.strip():
        raise UsageError("the question is empty")
    if video and images > 1:
        raise UsageError("a question is about one video, or about images: give --video or --images")
    if prompt:
        settings = load_settings(config, tools, backend, turns=turns)
        return _prompt(question, images, video, returns, settings, planner, json)
    if turns is not None:
        raise UsageError(
            "a program is written here and not run, so there are no turns: --turns is for --prompt"
        )
    from ..agent import Agent
    from ..errors import Refused
    from .terminal import print_diagnostics, print_plan

    with Agent(planner, load_settings(config, tools, backend)) as agent, working("thinking"):
        try:
            made = agent.plan(question, images, type_of(returns), video=video)
        except Refused as error:
            say(f"refused: {error}")
            return Result({"status": "refused", "message": str(error)}, 1)
    wrong = bool(made.errors)
    if not json:
        print_plan(made)
        with contextlib.redirect_stdout(sys.stderr):
            print_diagnostics(made.diagnostics, made.program, "program.py")
    tokens = made.total_tokens
    data = {
        "status": "error" if wrong else "planned",
        "program": made.program,
        "planner": made.planner,
        "probability": made.probability,
        "tokens": None if tokens is None else tokens.prompt + tokens.completion,
        "seconds": round(made.total_seconds, 4),
        "diagnostics": [d.to_json() for d in made.diagnostics],
        "attempts": len(made.steps),
    }
    return Result(data, int(wrong))


def check(
    programs: Annotated[
        list[Path], typer.Argument(metavar="PROGRAM.py...", help="Programs to check.", show_default=False)
    ],
    images: Annotated[
        int | None, typer.Option("--images", min=1, help="Number of images that the programs get.")
    ] = None,
    returns: ReturnsOption = None,
    static: Annotated[bool, typer.Option("--static", help="Skip the dry run with fake tools.")] = False,
    tools: ToolsOption = None,
    backend: BackendOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> Result:
    """Find the mistakes of programs before they run. No image is needed.

    \b
    visprog check program.py
    visprog check programs/*.py --returns bool --json
    """
    from ..check import check as look
    from ..check import dry_run, render_diagnostics
    from ..check.dry_run import LIBRARY
    from ..program import Program, program_source
    from .terminal import colored

    registry, found, failed = registry_in_force(load_settings(config, tools, backend)), [], False
    with contextlib.ExitStack() as stack:
        sandbox = None
        for path in programs:
            source = program_source(path)
            program = Program.parse(source)
            diagnostics = look(program, registry, returns=type_of(returns))
            if not static and not any(d.severity == "error" for d in diagnostics):
                if sandbox is None:
                    from visprog.sandbox import Limits, Sandbox

                    sandbox = stack.enter_context(Sandbox(Limits(cpu=2.0, grace=1.0), library=LIBRARY))
                diagnostics += dry_run(
                    program,
                    registry,
                    returns=type_of(returns),
                    inputs=program.inputs(images),
                    sandbox=sandbox,
                )
            failed |= any(d.severity == "error" for d in diagnostics)
            found.append({"path": str(path), "diagnostics": [d.to_json() for d in diagnostics]})
            if not json:
                printed = render_diagnostics(diagnostics, source, str(path), color=colored())
                print(printed or f"{path}: nothing found", end="" if printed else "\n")
    return Result({"status": "error" if failed else "ok", "programs": found}, int(failed))


def _prompt(
    question: str,
    images: int,
    video: bool,
    returns: Returns | None,
    settings: Config,
    named: str | None,
    as_json: bool,
) -> Result:
    """Print the messages that the planner's chat model would get, or any, where it asks none: this needs no model and
    no key."""
    from ..planner.base import PlanRequest
    from ..planner.llm import LLMPlanner
    from ..planner.opening import opening
    from ..planner.turns import check_turns
    from .terminal import print_opening

    planner = planner_in_force(settings, named)
    if planner is not None and (settings.turns > 1 or settings.tool_calls):
        check_turns(planner, settings)
    if not isinstance(planner, LLMPlanner):
        planner = LLMPlanner(_NoModel())
    registry = host_in_force(settings, planner).in_force.for_inputs(video)
    request = PlanRequest(question, images, type_of(returns), registry, video=video)
    data = opening(planner, request, settings.turns, settings.tool_calls).to_json()
    if not as_json:
        print_opening(data)
    return Result({"status": "ok", **data})


class _NoModel:
    """Placeholder for a chat model: nothing is sent."""

    name = "no model"

    def complete(self, messages: Any, **_: Any) -> Any:
        from ..errors import PlannerError

        raise PlannerError("this planner only shows its prompt")
