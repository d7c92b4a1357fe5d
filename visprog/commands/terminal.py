"""What the command line prints for people. No text from an image or a model can move the cursor."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..files.plain_text import plain
from ..files.sizes import bytes_in_words
from ..runtime.events import CallEnded, CallStarted, Checked, Event, Planned

if TYPE_CHECKING:
    from ..planner.base import Plan
    from ..registry import Registry, Tool
    from .status import Status


class RunStatus:
    """A listener that shows the events of one run as its status."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._calls: dict[int, str] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Planned):
            self._status.show("checking" if event.program else "planning")
        elif isinstance(event, Checked):
            wrong = any(d.severity == "error" and not d.refusal for d in event.diagnostics)
            self._status.show("planning again" if wrong else "running")
        elif isinstance(event, CallStarted):
            self._calls[event.call] = event.tool
            self._status.show(event.tool)
        elif isinstance(event, CallEnded):
            self._calls.pop(event.call, None)
            self._status.show(next(reversed(self._calls.values()), "running"))


def print_answer(data: Mapping[str, Any], shown: str, path: str) -> None:
    """The answer, the program below it, and what the check says.

    Args:
        data: JSON form of the answer.
        shown: Its value in words.
        path: What to call the program.
    """
    out = new_console()
    if data["status"] in ("answered", "fallback"):
        out.print(Text(plain(shown), style="bold green"))
    if data["stdout"]:
        out.print()
        out.print(Text(plain(data["stdout"].rstrip("\n")), style="italic"))
    print_program(data["program"])
    print_findings(data, path)
    planner, probability = data["planner"], data["probability"]
    others = len(data["steps"]) - 1
    turns = others > 0 and any(step.get("kept_as") for step in data["steps"])
    calls = sum(len(step["trace"]) for step in data["steps"]) if turns else len(data["trace"])
    facts = [f"{data['seconds']:.2f} s", f"{calls} tool call{'s' * (calls != 1)}"]
    if planner:
        sure = "" if probability is None else f" ({probability:.0%} sure)"
        facts.append(f"planned by {planner}{sure}")
    if turns:
        facts.append(f"in {others + 1} steps")
    elif others > 0:
        facts.append(f"after {others} other attempt{'s' * (others != 1)}")
    if data["level"]:
        facts.append(f"sandbox: {data['level']}")
    out.print()
    out.print(Text(plain(" · ".join(facts)), style="dim"))


def print_findings(data: Mapping[str, Any], path: str) -> None:
    """What the check says of the program of an answer, which is given in its JSON form."""
    if data["diagnostics"]:
        from ..check import Diagnostic

        print_diagnostics([Diagnostic(**found) for found in data["diagnostics"]], data["program"], path)


def print_program(program: str) -> None:
    """Source with line numbers."""
    if not program:
        return
    out = new_console()
    out.print()
    for number, line in enumerate(program.rstrip("\n").split("\n"), 1):
        out.print(Text.assemble((f"{number:>4} │ ", "dim"), plain(line)))


def colored() -> bool:
    """Whether colours suit standard output: a terminal that shows them, and no NO_COLOR."""
    console = new_console()
    return console.color_system is not None and not console.no_color


def print_diagnostics(diagnostics: Sequence[Any], source: str, path: str) -> None:
    """Findings as a compiler prints them."""
    from ..check import render_diagnostics

    if diagnostics:
        print()
        print(render_diagnostics(diagnostics, source, path, color=colored()), end="")


def print_plan(plan: Plan) -> None:
    """The program alone, so that it can be piped into a file; the rest on standard error."""
    print(plan.program.rstrip("\n"))
    note = f"planned by {plan.planner}"
    note += "" if plan.probability is None else f" ({plan.probability:.0%} sure)"
    print(plain(f"# {note} in {plan.total_seconds:.2f} s"), file=sys.stderr)


def print_opening(data: Mapping[str, Any]) -> None:
    """The first messages of a conversation, each under its role, and the tools that the model may call."""
    if data.get("tools"):
        print(f"───── tools ─────\n{json.dumps(data['tools'], ensure_ascii=False, indent=1)}\n")
    for message in data["messages"]:
        print(f"───── {message['role']} ─────\n{plain(message['content'])}\n")


def print_tools(registry: Registry, backends: Mapping[str, str]) -> None:
    """All tools, a line each."""
    called = new_table("tool", "what it does", "backend")
    for tool in registry.called.values():
        called.add_row(tool.name, Text(tool.summary), backends[tool.name] or "–")
    helpers = new_table("helper", "what it gives")
    for tool in registry.values():
        if tool.pure:
            helpers.add_row(tool.name, Text(tool.summary))
    out = new_console()
    out.print(called)
    if helpers.row_count:
        out.print(Text("\nHelpers choose among what was found; they cost no call:\n"))
        out.print(helpers)
    out.print(Text("\nvisprog tools NAME shows one of them.", style="dim"))


def print_tool(tool: Tool, backend: str, options: Mapping[str, str], process: str, precision: str) -> None:
    """Everything that is known of one tool.

    Args:
        tool: The tool.
        backend: Name of its backend in force.
        options: Options of that backend, each as it is declared, with its description.
        process: Name of the process that it works in; empty for that of the host.
        precision: Precision of its model; empty if it has none.
    """
    out = new_console()
    out.print(Text(tool.signature, style="bold"))
    out.print()
    out.print(Text(plain(tool.doc)))
    if tool.limits:
        out.print(Text(f"\nLimits: {tool.limits}"))
    if tool.sees.summary:
        out.print(Text(f"\nSees: {tool.sees.summary}"))
    if tool.sees.nothing:
        out.print(Text(f"\nCannot answer here: {tool.sees.nothing}"))
    if precision:
        out.print(Text(f"\nPrecision: {precision}"))
    if tool.pure:
        out.print(Text("\nA helper: it runs with the program and costs no call."))
    elif process:
        out.print(Text(f"\nIts process: {process}"))
    else:
        out.print(Text("\nIt works in the process of the host, where nothing can end it: it is not bounded."))
    for name, path in tool.backend_paths.items():
        marks = [
            m
            for m, holds in (("in force", name == backend), ("default", name == tool.default_backend))
            if holds
        ]
        out.print(Text(f"\nbackend {name}  {path}" + (f"  ({', '.join(marks)})" if marks else "")), end="")
    if options:
        out.print(Text("\n\noptions of the backend in force:"), end="")
    for declared, description in options.items():
        out.print(Text.assemble("\n  ", (declared, "bold"), f"  {description}".rstrip()), end="")
    if tool.backends:
        out.print(
            Text(
                f"\n\nChoose another with --backend {tool.name}=NAME[:MODEL], or in visprog.toml.",
                style="dim",
            )
        )


def print_doctor(report: Mapping[str, Any]) -> None:
    """The report of `visprog.commands.doctor`."""
    out = new_console()
    sandbox = report["sandbox"]
    level = sandbox["level"] or "none"
    if sandbox["missing"]:
        level += f" (not enforced here: {', '.join(sandbox['missing'])})"
    planner = report["planner"]
    weights = (
        "" if planner["name"] != "embedded" else " (weights are there)" if planner["embedded_weights"] else ""
    )
    facts = new_table("", "")
    for name, value in (
        ("visprog", report["visprog"]),
        ("python", f"{report['python']} at {report['executable']}"),
        ("platform", report["platform"]),
        ("configuration", report["config"]["file"] or "no file; defaults"),
        ("settings", _origins(report["config"]["origins"])),
        ("variables set", ", ".join(report["config"]["environment"]) or "none"),
        ("planner", planner["name"] + weights),
        ("sandbox", level),
    ):
        facts.add_row(name, Text(str(value)))
    extras = new_table("extra", "packages")
    for name, extra in report["extras"].items():
        found = ", ".join(f"{p} {v or '–'}" for p, v in extra["packages"].items())
        extras.add_row(name, Text(found if extra["installed"] else f"{found}   install: {extra['install']}"))
    tools = new_table("tool", "backend", "precision", "others", "sees")
    for tool in report["tools"]:
        sees = (
            "nothing: choose another backend"
            if tool["cannot"]
            else shorten(tool["sees"], 60, placeholder=" …")
        )
        needs = sees if tool["ready"] else tool["install"]
        precision = Text(tool["precision"] or "–")
        tools.add_row(tool["name"], tool["backend"] or "–", precision, ", ".join(tool["others"]), Text(needs))
    checkpoints = new_table("tool", "checkpoint", "size", "here", "device", "memory")
    for tool in report["tools"]:
        if found := tool["checkpoint"]:
            size, memory = (bytes_in_words(found[n]) if found[n] else "?" for n in ("bytes", "memory"))
            here = "yes" if found["cached"] else "no"
            checkpoints.add_row(tool["name"], Text(plain(found["id"])), size, here, found["device"], memory)
    for table in (facts, extras, tools, *([checkpoints] if checkpoints.row_count else [])):
        out.print(table)
        out.print()
    for problem in report["problems"]:
        out.print(Text.assemble(("problem: ", "bold red"), plain(problem)))
    if not report["problems"]:
        out.print(Text("no problems found", style="bold green"))


def _origins(origins: Mapping[str, str]) -> str:
    """Where settings come from: "calls, votes from FILE; planner from VARIABLE; all others are defaults"."""
    keys: dict[str, list[str]] = {}
    for key, origin in origins.items():
        keys.setdefault(origin, []).append(key)
    parts = [f"{', '.join(names)} from {origin}" for origin, names in keys.items()]
    return "; ".join([*parts, "all others are defaults" if parts else "all are defaults"])


def new_table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def new_console() -> Console:
    # Made anew each time: standard output may have been redirected.
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())
