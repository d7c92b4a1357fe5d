"""What the command line prints for people. Nothing that a picture or a model says can move the cursor."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from ..answer import Answer
    from ..planner.base import Plan
    from ..registry import Registry, Tool


def plain(text: str) -> str:
    """The text without characters that change the terminal; line ends stay."""
    shown = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() or c == "\n" else "    " if c == "\t" else "�" for c in shown)


def complain(message: str) -> None:
    """One sentence on standard error."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        Text(plain(f"visprog: {message}"), style="bold red")
    )


@contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner on standard error while something takes its time, where a person looks at it."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status(what):
        yield


def print_answer(answer: Answer, path: str) -> None:
    """The answer, the program below it, and what the check says. `path` is what to call the program."""
    from ..answer import show

    out = _console()
    if answer.status in ("answered", "fallback"):
        out.print(Text(plain(show(answer.value)), style="bold green"))
    if answer.stdout:
        out.print()
        out.print(Text(plain(answer.stdout.rstrip("\n")), style="italic"))
    print_program(answer.program)
    print_diagnostics(answer.diagnostics, answer.program, path)
    facts = [f"{answer.seconds:.2f} s", f"{len(answer.trace)} tool call{'s' * (len(answer.trace) != 1)}"]
    if answer.planner:
        sure = "" if answer.probability is None else f" ({answer.probability:.0%} sure)"
        facts.append(f"planned by {answer.planner}{sure}")
    if answer.attempts:
        facts.append(f"after {len(answer.attempts)} other attempt{'s' * (len(answer.attempts) != 1)}")
    if answer.level:
        facts.append(f"sandbox: {answer.level}")
    out.print()
    out.print(Text(plain(" · ".join(facts)), style="dim"))


def print_program(program: str) -> None:
    """Source with line numbers."""
    if not program:
        return
    out = _console()
    out.print()
    for number, line in enumerate(program.rstrip("\n").split("\n"), 1):
        out.print(Text.assemble((f"{number:>4} │ ", "dim"), plain(line)))


def colored() -> bool:
    """Whether colours suit standard output: a terminal that shows them, and no NO_COLOR."""
    console = _console()
    return console.color_system is not None and not console.no_color


def print_diagnostics(diagnostics: Sequence[Any], source: str, path: str) -> None:
    """Findings as a compiler prints them."""
    from ..check import format

    if diagnostics:
        print()
        print(format(diagnostics, source, path, color=colored()), end="")


def print_plan(plan: Plan) -> None:
    """The program alone, so that it can be piped into a file; the rest on standard error."""
    print(plan.program.rstrip("\n"))
    note = f"planned by {plan.planner}"
    note += "" if plan.probability is None else f" ({plan.probability:.0%} sure)"
    print(plain(f"# {note} in {plan.seconds:.2f} s"), file=sys.stderr)


def print_messages(messages: Sequence[Mapping[str, str]]) -> None:
    """A conversation, each message under its role."""
    for message in messages:
        print(f"───── {message['role']} ─────\n{plain(message['content'])}\n")


def print_tools(registry: Registry, backends: Mapping[str, str]) -> None:
    """All tools, a line each."""
    called = _table("tool", "what it does", "backend")
    for tool in registry.called.values():
        called.add_row(tool.name, Text(tool.summary), backends[tool.name] or "–")
    helpers = _table("helper", "what it gives")
    for tool in registry.values():
        if tool.pure:
            helpers.add_row(tool.name, Text(tool.summary))
    out = _console()
    out.print(called)
    if helpers.row_count:
        out.print(Text("\nHelpers choose among what was found; they cost no call:\n"))
        out.print(helpers)
    out.print(Text("\nvisprog tools NAME shows one of them.", style="dim"))


def print_tool(tool: Tool, backend: str, options: Mapping[str, str]) -> None:
    """Everything that is known of one tool.

    Args:
        tool: The tool.
        backend: Name of its backend in force.
        options: Options of that backend, each as it is declared, with its description.
    """
    out = _console()
    out.print(Text(tool.signature, style="bold"))
    out.print()
    out.print(Text(plain(tool.doc)))
    if tool.limits:
        out.print(Text(f"\nLimits: {tool.limits}"))
    if tool.sees.summary:
        out.print(Text(f"\nSees: {tool.sees.summary}"))
    if tool.sees.nothing:
        out.print(Text(f"\nCannot answer here: {tool.sees.nothing}"))
    if tool.pure:
        out.print(Text("\nA helper: it runs with the program and costs no call."))
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
    """The report of `visprog.report.doctor`."""
    out = _console()
    sandbox = report["sandbox"]
    level = sandbox["level"] or "none"
    if sandbox["missing"]:
        level += f" (not enforced here: {', '.join(sandbox['missing'])})"
    planner = report["planner"]
    weights = (
        "" if planner["name"] != "embedded" else " (weights are there)" if planner["embedded_weights"] else ""
    )
    facts = _table("", "")
    for name, value in (
        ("visprog", report["visprog"]),
        ("python", f"{report['python']} at {report['executable']}"),
        ("platform", report["platform"]),
        ("configuration", report["config"]["file"] or "no file; defaults"),
        ("variables set", ", ".join(report["config"]["environment"]) or "none"),
        ("planner", planner["name"] + weights),
        ("sandbox", level),
    ):
        facts.add_row(name, Text(str(value)))
    extras = _table("extra", "packages")
    for name, extra in report["extras"].items():
        found = ", ".join(f"{p} {v or '–'}" for p, v in extra["packages"].items())
        extras.add_row(name, Text(found if extra["installed"] else f"{found}   install: {extra['install']}"))
    tools = _table("tool", "backend", "others", "sees")
    for tool in report["tools"]:
        sees = (
            "nothing: choose another backend"
            if tool["cannot"]
            else shorten(tool["sees"], 60, placeholder=" …")
        )
        needs = sees if tool["ready"] else tool["install"]
        tools.add_row(tool["name"], tool["backend"] or "–", ", ".join(tool["others"]), Text(needs))
    for table in (facts, extras, tools):
        out.print(table)
        out.print()
    for problem in report["problems"]:
        out.print(Text.assemble(("problem: ", "bold red"), plain(problem)))
    if not report["problems"]:
        out.print(Text("no problems found", style="bold green"))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _console() -> Console:
    # Made anew each time: standard output may have been redirected.
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())
