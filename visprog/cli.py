"""The command `visprog`. What a command needs is imported when it runs: `visprog --help` answers at once."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .eval_cli import evaluation
from .examples_cli import examples
from .map_cli import map_command
from .serve_cli import serve
from .train_cli import train

if TYPE_CHECKING:
    from .agent import Agent
    from .answer import Answer
    from .config import Config
    from .registry import Registry

app = typer.Typer(
    help="Ask questions about pictures. A planner writes a program, vision tools run it.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawing the help with rich costs half a second
)

INTERRUPTED = 130

_USAGE = {
    "visprog ask": 'visprog ask IMAGE... "QUESTION"',
    "visprog run": "visprog run PROGRAM.py IMAGE...",
    "visprog plan": 'visprog plan "QUESTION"',
    "visprog check": "visprog check PROGRAM.py...",
}
"""What the commands with arguments are written like; the others say it in their help."""


class UsageError(Exception):
    """The command cannot be understood; the message says how it is written."""


@dataclass(frozen=True)
class Result:
    """What a command comes to: the object that `--json` prints, and the exit code."""

    data: Mapping[str, Any]
    code: int = 0


class Returns(StrEnum):
    """A type that the answer must have."""

    bool = "bool"
    int = "int"
    float = "float"
    str = "str"
    list = "list"


_TYPES: Mapping[str, type] = {"bool": bool, "int": int, "float": float, "str": str, "list": list}

PlannerOption = Annotated[
    str | None,
    typer.Option(
        "--planner",
        help="Who writes the program: embedded, openai:MODEL, langchain:PROVIDER:MODEL, "
        "transformers:FOLDER, replay:FILE.",
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings; otherwise visprog.toml, if there is one.")
]
ToolsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tools", metavar="MODULE[:ATTRIBUTE]", help="Further tools, made with @tool. May be repeated."
    ),
]
BackendOption = Annotated[
    list[str] | None,
    typer.Option(
        "--backend", metavar="TOOL=NAME[:MODEL]", help="What does the work of a tool. May be repeated."
    ),
]
ReturnsOption = Annotated[
    Returns | None, typer.Option("--returns", help="The type that the answer must have.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write the evidence to this file.")]
SaveOption = Annotated[
    Path | None, typer.Option("--save", help="Write an answer that is a picture to this file.")
]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        envvar="VISPROG_SERVER",
        help="Let a running visprog serve answer; its token in VISPROG_TOKEN.",
    ),
]
RecordOption = Annotated[
    Path | None,
    typer.Option(
        "--record", help="Keep what the planner and the tools said in this folder.", file_okay=False
    ),
]
ReplayOption = Annotated[
    Path | None,
    typer.Option(
        "--replay", help="Take what they said from such a folder: no model is run.", file_okay=False
    ),
]
UrlOption = Annotated[bool, typer.Option("--allow-url", help="Read pictures from http and https addresses.")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    0 for an answer (or whatever else the command is for), 1 where there is none, 2 where the command cannot
    be understood, 130 where it was interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json, debug, stdout = "--json" in options, "--debug" in options, sys.stdout
    if debug:  # wherever it stands
        arguments.remove("--debug")
    debug = debug or bool(os.environ.get("VISPROG_DEBUG"))
    # In JSON mode nothing but the object may reach standard output, whatever a tool or a library prints.
    aside = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    with aside, warnings.catch_warnings():
        warnings.showwarning = _warn
        result = _run(arguments, debug)
    if as_json and result.data:
        print(json.dumps(result.data, indent=2, allow_nan=False), file=stdout)
    return result.code


def _run(arguments: list[str], debug: bool) -> Result:
    command = typer.main.get_command(app)
    try:
        result = command.main(args=arguments, prog_name="visprog", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        result = INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # the interpreter flushes it at its end
        return Result({}, 1)
    except Exception as error:
        return _failed(error, debug)
    if isinstance(result, Result):
        return result
    data = {"status": "error", "message": "interrupted"} if result == INTERRUPTED else {}
    return Result(data, int(result or 0))


def _failed(error: Exception, debug: bool) -> Result:
    """One clear sentence for what a user can get wrong; anything else is our mistake, and says so."""
    from visprog.sandbox import SandboxError

    from .errors import VisprogError

    show = getattr(error, "format_message", None)  # of the parser of the command line
    if debug and show is None:
        raise error
    if isinstance(error, VisprogError | SandboxError | UsageError):
        message, code = str(error), 2 if isinstance(error, UsageError) else 1
    elif show is not None:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "visprog"
        message, code = f"{show().rstrip('.')}: {_USAGE.get(where, f'see {where} --help')}", 2
    else:
        message, code = f"{type(error).__name__}: {error} (a mistake in visprog: run again with --debug)", 1
    _say(message)
    return Result({"status": "error", "message": message}, code)


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    _say(f"warning: {message}")


def _say(message: str) -> None:
    from .terminal import complain

    complain(message)


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error comes from (also VISPROG_DEBUG=1).")
    ] = False,
) -> None:
    if version:
        from . import __version__

        print(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


# -- questions -----------------------------------------------------------------------------------


@app.command()
def ask(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", show_default=False)],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="Last, in quotes.", show_default=False)],
    planner: PlannerOption = None,
    returns: ReturnsOption = None,
    html: HtmlOption = None,
    save: SaveOption = None,
    votes: Annotated[
        int | None, typer.Option("--votes", min=1, help="Write so many programs, and vote.")
    ] = None,
    backend: BackendOption = None,
    tools: ToolsOption = None,
    config: ConfigOption = None,
    allow_url: UrlOption = False,
    server: ServerOption = None,
    record: RecordOption = None,
    replay: ReplayOption = None,
    json: JsonOption = False,
) -> Result:
    """Answer a question about one or more pictures.

    \b
    visprog ask street.jpg "How many people are there?"
    visprog ask before.png after.png "Which picture has more red circles?"
    visprog ask dog.jpg "Blur everything except the dog" --save blurred.png --html evidence.html
    visprog ask shelf.jpg "Is the milk left of the bread?" --planner openai:MODEL --backend detect=owlv2
    """
    _tell_apart(images, question)
    if server:
        if planner or votes or backend or tools or config or allow_url or record or replay:
            raise UsageError(
                "--planner, --votes, --backend, --tools, --config, --allow-url, --record and --replay are settings "
                "of the server: give them to visprog serve, or ask without --server and VISPROG_SERVER"
            )
        return _ask_server(server, question, images, returns, html, save, json)
    with (
        _agent(planner, config, tools, backend, record, replay, votes=votes, allow_url=allow_url) as agent,
        _working("thinking"),
    ):
        answer = agent.ask(question, *images, returns=_type(returns))
    return _finish(answer, html, save, json, "program.py")


@app.command()
def run(
    program: Annotated[Path, typer.Argument(metavar="PROGRAM.py", show_default=False)],
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", show_default=False)],
    returns: ReturnsOption = None,
    html: HtmlOption = None,
    save: SaveOption = None,
    backend: BackendOption = None,
    tools: ToolsOption = None,
    config: ConfigOption = None,
    allow_url: UrlOption = False,
    record: RecordOption = None,
    replay: ReplayOption = None,
    json: JsonOption = False,
) -> Result:
    """Run a program that you have on one or more pictures.

    \b
    visprog run count_people.py street.jpg
    visprog run program.py street.jpg --json
    """
    if program.suffix != ".py" and any(i.endswith(".py") for i in images):
        raise UsageError(f"the program comes first: {_USAGE['visprog run']}")
    with (
        _agent(None, config, tools, backend, record, replay, allow_url=allow_url) as agent,
        _working("running"),
    ):
        answer = agent.run(program, *images, returns=_type(returns))
    return _finish(answer, html, save, json, str(program))


@app.command()
def plan(
    question: Annotated[str, typer.Argument(metavar='"QUESTION"', show_default=False)],
    images: Annotated[
        int, typer.Option("--images", min=1, help="How many pictures the question is about.")
    ] = 1,
    prompt: Annotated[
        bool, typer.Option("--prompt", help="Print what a language model would be sent instead.")
    ] = False,
    planner: PlannerOption = None,
    returns: ReturnsOption = None,
    tools: ToolsOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> Result:
    """Write the program for a question, and do not run it.

    \b
    visprog plan "How many dogs are there?"
    visprog plan "Is there a hat in both pictures?" --images 2 > program.py
    visprog plan "How many dogs are there?" --prompt
    """
    if not question.strip():
        raise UsageError("the question is empty")
    if prompt:
        return _prompt(question, images, returns, tools, config, json)
    from .errors import Refused
    from .terminal import print_diagnostics, print_plan

    with _agent(planner, config, tools, None) as agent, _working("thinking"):
        try:
            made = agent.plan(question, images, _type(returns))
        except Refused as error:
            _say(f"refused: {error}")
            return Result({"status": "refused", "message": str(error)}, 1)
    wrong = any(d.severity == "error" for d in made.diagnostics)
    if not json:
        print_plan(made)
        with contextlib.redirect_stdout(sys.stderr):
            print_diagnostics(made.diagnostics, made.program, "program.py")
    tokens = None if made.tokens is None else made.tokens.prompt + made.tokens.completion
    data = {
        "status": "error" if wrong else "planned",
        "program": made.program,
        "planner": made.planner,
        "probability": made.probability,
        "tokens": tokens,
        "seconds": round(made.seconds, 4),
        "diagnostics": [d.to_json() for d in made.diagnostics],
        "attempts": len(made.attempts),
    }
    return Result(data, int(wrong))


@app.command()
def check(
    programs: Annotated[list[Path], typer.Argument(metavar="PROGRAM.py...", show_default=False)],
    images: Annotated[
        int | None, typer.Option("--images", min=1, help="How many pictures they are given.")
    ] = None,
    returns: ReturnsOption = None,
    static: Annotated[bool, typer.Option("--static", help="Leave out the trial on made-up results.")] = False,
    tools: ToolsOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> Result:
    """Find what is wrong with programs before they run. Needs no picture.

    \b
    visprog check program.py
    visprog check programs/*.py --returns bool --json
    """
    from .check import check as look
    from .check import dry_run, format
    from .check.dry_run import LIBRARY

    registry, found, failed = _registry(_config(config, tools)), [], False
    with contextlib.ExitStack() as stack:
        sandbox = None
        for path in programs:
            source = _read(path)
            diagnostics = look(source, registry, returns=_type(returns))
            if not static and not any(d.severity == "error" for d in diagnostics):
                if sandbox is None:
                    from visprog.sandbox import Limits, Sandbox

                    sandbox = stack.enter_context(Sandbox(Limits(cpu=2.0, grace=1.0), library=LIBRARY))
                count = images or _pictures_of(source)
                diagnostics += dry_run(
                    source, registry, returns=_type(returns), images=count, sandbox=sandbox
                )
            failed |= any(d.severity == "error" for d in diagnostics)
            found.append({"path": str(path), "diagnostics": [d.to_json() for d in diagnostics]})
            if not json:
                printed = format(diagnostics, source, str(path), color=sys.stdout.isatty())
                print(printed or f"{path}: nothing found", end="" if printed else "\n")
    return Result({"status": "error" if failed else "ok", "programs": found}, int(failed))


# -- what there is -------------------------------------------------------------------------------


@app.command("tools")
def list_tools(
    name: Annotated[str | None, typer.Argument(help="One tool.", show_default=False)] = None,
    tools: ToolsOption = None,
    backend: BackendOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> Result:
    """List the tools that programs may call, or show one.

    \b
    visprog tools
    visprog tools detect
    visprog tools --tools my_tools:sharpness
    """
    from .host import Host
    from .terminal import print_tool, print_tools

    settings = _config(config, tools, backend)
    registry = _registry(settings)
    host = Host(registry, settings)
    backends = {n: host.backend_of(t) for n, t in registry.items()}
    if name is not None:
        tool = registry.find(name)
        if not json:
            print_tool(tool, backends[tool.name])
        return Result({"status": "ok", **_described(tool, backends[tool.name])})
    if not json:
        print_tools(registry, backends)
    return Result({"status": "ok", "tools": [_described(t, backends[n]) for n, t in registry.items()]})


@app.command()
def doctor(config: ConfigOption = None, json: JsonOption = False) -> Result:
    """Show what is installed, which planner and backends are in force, and how far programs are confined.

    \b
    visprog doctor
    visprog doctor --json
    """
    from .doctor import report
    from .terminal import print_doctor

    _import_from_here()
    with _working("looking"):
        found = report(path=config)
    if not json:
        print_doctor(found)
    return Result(
        {"status": "problems" if found["problems"] else "ok", **found}, int(bool(found["problems"]))
    )


@train.command("planner")
def train_planner(
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Batches to train on, in all.")] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of weights, vocabulary, checkpoint and log.")
    ] = Path("runs/planner"),
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Questions in a batch.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of the corpus and the first weights.")] = None,
    vocab: Annotated[int | None, typer.Option("--vocab", min=300, help="Tokens in the vocabulary.")] = None,
    dim: Annotated[int | None, typer.Option("--dim", min=8, help="Width of the model.")] = None,
    layers: Annotated[int | None, typer.Option("--layers", min=1, help="Blocks of the model.")] = None,
    heads: Annotated[int | None, typer.Option("--heads", min=1, help="Attention heads of a block.")] = None,
    hidden: Annotated[int | None, typer.Option("--hidden", min=8, help="Width within a block.")] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option("--checkpoint-every", min=1, help="In steps.")
    ] = None,
    from_runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--from-runs",
            help="Go on from the bundled planner with the programs of a file: an evaluation's results.jsonl, a "
            "recording for replay, or examples.",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again, whatever --out holds.")] = False,
    json: JsonOption = False,
) -> Result:
    """Train the embedded planner on its synthetic corpus. The same command goes on where it was stopped.

    \b
    visprog train planner --steps 2400 --out runs/planner
    visprog train planner --from-runs runs/eval-csv/results.jsonl --out runs/mine
    visprog ask street.jpg "How many dogs?" --config visprog.toml   # planner_options.folder = "runs/planner"
    """
    from .errors import MissingExtra, VisprogError

    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtra("training", "train") from None
    from visprog.tools.training.planner.train import Recipe
    from visprog.tools.training.planner.train import train as run_training

    given: dict[str, Any] = {
        "steps": steps, "batch": batch, "seed": seed, "vocab": vocab, "dim": dim, "layers": layers,
        "heads": heads, "hidden": hidden, "checkpoint_every": checkpoint_every,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    recipe = Recipe.from_runs([str(path) for path in from_runs], **given) if from_runs else Recipe(**given)
    try:
        folder = run_training(recipe, out, resume=not fresh)
    except (ValueError, OSError) as error:
        raise VisprogError(str(error)) from error
    if not json:
        print(f"the planner is in {folder}; use it with planner_options.folder in visprog.toml")
    return Result({"status": "trained", "folder": str(folder), "steps": recipe.steps})


# -- commands that have a file of their own -------------------------------------------------------

app.command("map")(map_command)
app.command()(serve)
app.add_typer(train, name="train")
app.add_typer(evaluation, name="eval")
app.add_typer(examples, name="examples")


# -- how it is done ------------------------------------------------------------------------------


def _tell_apart(images: list[str], question: str) -> None:
    """The most common slips with pictures and question get a sentence of their own."""
    usage = _USAGE["visprog ask"]
    if not question.strip():
        raise UsageError(f"the question is empty: {usage}")
    others = [i for i in images if not _is_picture(i)]
    if _is_picture(question):
        why = "the question comes last" if others else "the question is missing"
        raise UsageError(f"{why}: {usage}")
    if others and others[0] != images[0] and not any(c in others[0] for c in "./\\"):
        raise UsageError(f"'{others[0]}' is no picture; put the whole question in quotes: {usage}")


def _is_picture(text: str) -> bool:
    """Whether an argument means a picture, be it there or not."""
    suffixes = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".ppm")
    if text.startswith(("http://", "https://")) and " " not in text:
        return True
    try:
        return text.lower().endswith(suffixes) or Path(text).is_file()
    except (OSError, ValueError):  # too long for a path
        return False


def _type(returns: Returns | None) -> type | None:
    return None if returns is None else _TYPES[returns.value]


def _config(
    path: Path | None,
    tools: Sequence[str] | None = None,
    backends: Sequence[str] | None = None,
    **settings: Any,
) -> Config:
    """The settings in force, with what the command line changes."""
    from dataclasses import replace

    from .config import Config

    config = Config.load(path)
    for text in backends or ():
        config = config.with_backend(text)
    given = {name: value for name, value in settings.items() if value}
    config = replace(config, extra_tools=(*config.extra_tools, *(tools or ())), **given)
    if config.extra_tools:
        _import_from_here()
    return config


def _import_from_here() -> None:
    """Modules of the working folder can hold tools, as with `python -m`."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def _registry(config: Config) -> Registry:
    from .registry import default_registry, load_tools

    return default_registry() | [t for reference in config.extra_tools for t in load_tools(reference)]


def _agent(
    planner: str | None,
    config: Path | None,
    tools: Sequence[str] | None,
    backends: Sequence[str] | None,
    record: Path | None = None,
    replay: Path | None = None,
    **settings: Any,
) -> Agent:
    from .agent import Agent

    return Agent(planner, _config(config, tools, backends, **settings), record=record, replay=replay)


def _working(what: str) -> contextlib.AbstractContextManager[None]:
    from .terminal import working

    return working(what)


def _finish(answer: Answer, html: Path | None, save: Path | None, as_json: bool, path: str) -> Result:
    """Print an answer, write what was asked for beside it."""
    if answer.status != "answered":
        _say(f"{answer.status}: {answer.message}")
    if not as_json:
        from .terminal import print_answer

        print_answer(answer, path)
    written = all([_write_evidence(answer, html), _save(answer, save)])
    code = 0 if answer.status == "answered" and written else 1
    return Result(answer.to_json(pictures=False), code)


def _ask_server(
    url: str,
    question: str,
    images: Sequence[str],
    returns: Returns | None,
    html: Path | None,
    save: Path | None,
    as_json: bool,
) -> Result:
    """`ask` at a server. Where only JSON is wanted, nothing that reads answers is imported."""
    from .server.client import Client

    evidence = not as_json or html is not None or save is not None
    wanted = "" if returns is None else returns.value
    with _working("asking"):
        data = Client(url).ask(question, *images, returns=wanted, evidence=evidence)
    if not evidence:
        if data["status"] != "answered":
            _say(f"{data['status']}: {data['message']}")
        return Result(data, int(data["status"] != "answered"))
    from .answer import Answer

    return _finish(Answer.from_json(data), html, save, as_json, "program.py")


def _write_evidence(answer: Answer, path: Path | None) -> bool:
    if path is None:
        return True
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(answer.to_html(), encoding="utf-8")
    except OSError as error:
        _say(f"cannot write the evidence to {path}: {error.strerror or error}")
        return False
    print(f"evidence: {path}")
    return True


def _save(answer: Answer, path: Path | None) -> bool:
    """Write the pictures that an answer is; where it is one and no file is named, say how."""
    from .errors import ImageError
    from .values.image import Image

    values = answer.value if isinstance(answer.value, list) else [answer.value]
    pictures = [v for v in values if isinstance(v, Image)]
    if path is None:
        if pictures:
            print("the answer is a picture: keep it with --save FILE.png")
        return True
    if not pictures:
        if answer.status in ("answered", "fallback"):
            _say(f"the answer is no picture; nothing was written to {path}")
        return False
    for number, picture in enumerate(pictures, 1):
        file = path if len(pictures) == 1 else path.with_stem(f"{path.stem}-{number}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            picture.save(file)
        except (ImageError, OSError) as error:
            _say(str(error) if isinstance(error, ImageError) else f"cannot write {file}: {error.strerror}")
            return False
        print(f"saved: {file}")
    return True


def _prompt(
    question: str,
    images: int,
    returns: Returns | None,
    tools: Sequence[str] | None,
    config: Path | None,
    as_json: bool,
) -> Result:
    """The messages that a language model would be sent: no model and no key is needed for that."""
    from .planner.base import Task
    from .planner.llm import LLMPlanner
    from .terminal import print_messages

    settings = _config(config, tools)
    options = {k: v for k, v in settings.planner_options.items() if k == "max_examples"}
    messages = LLMPlanner(_Nobody(), **options).prompt(
        Task(question, images, _type(returns), _registry(settings))
    )
    if not as_json:
        print_messages(messages)
    return Result({"status": "ok", "messages": messages})


class _Nobody:
    """Stands where a chat model would: nothing is sent."""

    name = "nobody"

    def complete(self, messages: Any, **_: Any) -> Any:
        from .errors import PlannerError

        raise PlannerError("this planner only shows its prompt")


def _read(path: Path) -> str:
    from .errors import VisprogError

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise VisprogError(f"cannot read the program {path}: {why}") from None


def _pictures_of(source: str) -> int:
    """How many pictures a program seems to be made for."""
    from .inputs import named

    return 2 if any(isinstance(value, list) for value in named(source, [0]).values()) else 1


def _described(tool: Any, backend: str) -> dict[str, Any]:
    return {
        "name": tool.name,
        "signature": tool.signature,
        "doc": tool.doc,
        "limits": tool.limits,
        "pure": tool.pure,
        "parameters": tool.schema(),
        "backend": backend,
        "default_backend": tool.default_backend,
        "backends": dict(tool.backends),
    }
