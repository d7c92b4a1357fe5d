"""`visprog models`: published checkpoints of the tools, which are here, which fit this machine, and their download."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import ConfigOption, Group, JsonOption
from .result import Result, UsageError
from .status import say

if TYPE_CHECKING:
    from ..models.catalogue import PublishedCheckpoint
    from ..models.checkpoint.download import Report
    from ..registry import Registry, Tool
    from .advice import Advice
    from .machine import Machine

models = typer.Typer(
    cls=Group,
    help="List, download and remove the checkpoints of the tools; visprog models setup chooses them for this machine.",
    no_args_is_help=False,
)

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the download.")]


@models.command("list")
def list_models(config: ConfigOption = None, json: JsonOption = False) -> Result:
    """List the checkpoints of the tools: size, licence, whether they are here, and whether they fit this machine.

    \b
    visprog models
    visprog models --json
    """
    from ..models.catalogue import catalogue, date_made
    from .advice import with_backends
    from .machine import this_machine
    from .models_tables import print_checkpoints

    machine = this_machine()
    found = [described(c, machine) for c in with_backends(catalogue(), _registry(config))]
    if not json:
        print_checkpoints(found, asdict(machine), date_made())
    return Result({"status": "ok", "made": date_made(), "machine": asdict(machine), "checkpoints": found})


@models.command("setup")
def setup(
    size: Annotated[
        str | None,
        typer.Option("--size", help="Largest size: small, base or large; by default what fits this machine."),
    ] = None,
    yes: YesOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> Result:
    """Choose checkpoints for this machine, download them, and write them into visprog.toml.

    What you have set up in that file yourself stays as it is. A download that was cut goes on where it ended.

    \b
    visprog models setup
    visprog models setup --size small --yes
    """
    from ..config import FILE_NAME, default_files
    from ..models.catalogue import PLANNER, SIZES, catalogue
    from .advice import advise, with_backends
    from .machine import this_machine
    from .models_tables import print_advice
    from .settings_file import earlier_models, own_tools, read_settings, with_models

    if size is not None and size not in SIZES:
        raise UsageError(f"--size must be {', '.join(SIZES[:-1])} or {SIZES[-1]}, not '{size}'")
    # Refuses settings that are wrong, or not trusted. A file that is named and missing is made.
    registry = _registry(config if config is None or config.exists() else None)
    named = config or os.environ.get("VISPROG_CONFIG")
    file = Path(named) if named else next((f for f in default_files() if f.is_file()), Path(FILE_NAME))
    text = read_settings(file)
    machine = this_machine()
    own = [*own_tools(text), *([PLANNER] if _has_planner(text) else [])]
    ready, missing = _ready(with_backends(catalogue(), registry), registry)
    wanted = next((s for s in SIZES if s == size), machine.size)
    planner = "" if PLANNER in own else _ollama(machine)
    advice = advise(ready, machine, wanted, [*own, PLANNER] if planner else own)
    if PLANNER in advice.tools:
        planner = f"transformers:{advice.tools[PLANNER].id}"
    left = _left(advice)
    data = {
        "machine": asdict(machine),
        "size": wanted,
        "file": str(file),
        "planner": planner or None,
        "tools": {
            name: described(c, machine) | {"left": left[c.id]}
            for name, c in advice.tools.items()
            if name != PLANNER
        },
        "without": {
            n: why for n, why in advice.without.items() if n in registry and _needs_model(registry[n])
        },
        "kept": own,
        "install": missing,
    }
    if not json:
        print_advice(data)
    if not advice.checkpoints and not planner:
        return Result({"status": "ok", "written": False, **data})
    if not yes and not _agreed(json):
        return Result({"status": "proposed", "written": False, **data})
    failures = _download_all(advice, left)
    here = {name: c for name, c in advice.tools.items() if c.id not in failures}
    if planner.startswith("transformers:") and PLANNER not in here:
        planner = ""
    names = [*here, *([PLANNER] if planner and PLANNER not in here else [])]
    if names:
        earlier, earlier_planner = earlier_models(text)
        tools = {
            name: each for name, each in earlier.items() if name in advice.tools
        }  # where the new one failed
        tools |= {name: (c.backend, c.id) for name, c in here.items() if name != PLANNER}
        _write(file, with_models(text, tools, planner or earlier_planner), trusted=not named)
    if not json:
        print(f"{file}: {', '.join(names) or 'nothing'} set up")
    for failure in dict.fromkeys(failures.values()):
        say(failure)
    status = "ok" if not failures else "error"
    message = {"message": "; ".join(dict.fromkeys(failures.values()))} if failures else {}
    return Result(
        {"status": status, "written": bool(names), **message, **data, "failures": failures},
        int(bool(failures)),
    )


@models.command("fetch")
def fetch_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Hub id, or a name that visprog models lists.")],
    json: JsonOption = False,
) -> Result:
    """Download a checkpoint, or go on with a download that was cut. One that is here is brought up to date.

    \b
    visprog models fetch google/siglip2-base-patch16-224
    """
    from ..models.checkpoint.hub import fetch
    from .model_types import check_model_type

    source = _source(name)
    with _bars() as report, _as_errors():
        folder = fetch(source, refresh=True, report=report, check=check_model_type)
    if not json:
        print(f"{source} is in {folder}")
    return Result({"status": "ok", "id": source, "folder": str(folder)})


@models.command("remove")
def remove_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Hub id, or a name that visprog models lists.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> Result:
    """Delete a checkpoint from the cache of the hub, with what was downloaded of it in part.

    \b
    visprog models remove google/siglip2-base-patch16-224
    """
    from ..errors import VisprogError
    from ..files.sizes import bytes_in_words
    from ..models.checkpoint.cache import remove, repository
    from .settings import load_settings

    source = _source(name)
    if not repository(source).is_dir():
        raise VisprogError(f"{source} is not in {repository(source).parent}: there is nothing to remove")
    try:
        freed = remove(source)
    except OSError as error:
        raise VisprogError(f"cannot remove {repository(source)}: {error.strerror or error}") from None
    settings = load_settings(config)
    users = [tool for tool, chosen in settings.tools.items() if chosen.options.get("model") == source]
    if not json:
        print(f"{source}: removed, {bytes_in_words(freed)} are free again")
    if users:
        say(
            f"note: the settings name it for {', '.join(users)}: the next question that needs it downloads it again"
        )
    return Result({"status": "ok", "id": source, "freed": freed, "used_by": users})


def described(checkpoint: PublishedCheckpoint, machine: Machine) -> dict[str, Any]:
    """A checkpoint as plain data, with what is here of it and whether it fits a machine."""
    from ..models.checkpoint.cache import bytes_here, cached

    return {
        **asdict(checkpoint),
        "tools": list(checkpoint.tools),
        "cached": cached(checkpoint.id) is not None,
        "bytes_here": bytes_here(checkpoint.id),
        "memory_here": machine.memory_of(checkpoint),
        "fits": not machine.refusal(checkpoint),
        "refusal": machine.refusal(checkpoint),
    }


def _registry(config: Path | None) -> Registry:
    from ..registry import chosen_registry
    from .settings import load_settings

    return chosen_registry(load_settings(config))


def _ready(
    checkpoints: list[PublishedCheckpoint], registry: Registry
) -> tuple[list[PublishedCheckpoint], list[str]]:
    """The checkpoints whose packages are installed, and how to install those of the others."""
    from ..models.catalogue import PLANNER
    from .doctor import extra_of, is_installed

    ready, missing = [], []
    for checkpoint in checkpoints:
        tool = checkpoint.tools[0]
        path = "" if tool == PLANNER else registry[tool].backend_paths.get(checkpoint.backend, "")
        extra = (
            "hf" if extra_of(path) in ("torch", "") else extra_of(path)
        )  # the client of the hub comes with it
        if is_installed(extra):
            ready.append(checkpoint)
        elif checkpoint.proposed:
            missing.append(f"pip install 'visprog[{extra}]'")
    return ready, list(dict.fromkeys(missing))


def _needs_model(tool: Tool) -> bool:
    """Whether a tool can do nothing without a checkpoint."""
    return tool.default_backend == "none"


def _ollama(machine: Machine) -> str:
    """The planner that Ollama could run; empty if it does not run here, or has no model that fits."""
    from ..errors import VisprogError
    from ..llm.ollama import best_ollama_model, ollama_models

    try:
        best = best_ollama_model(
            ollama_models(timeout=2), machine.budget // 2
        )  # the tools need the other half
    except VisprogError:
        return ""
    return f"ollama:{best.name}" if best else ""


def _has_planner(text: str) -> bool:
    import tomllib

    from .settings_file import without_models

    return "planner" in tomllib.loads(without_models(text)) or bool(os.environ.get("VISPROG_PLANNER"))


def _left(advice: Advice) -> dict[str, int]:
    """Bytes that are still to be downloaded per checkpoint, by the estimates of the catalogue."""
    from ..models.checkpoint.cache import bytes_here, cached

    return {c.id: 0 if cached(c.id) else max(0, c.download - bytes_here(c.id)) for c in advice.checkpoints}


def _agreed(json: bool) -> bool:
    if json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        say("nothing is downloaded or written yet: run it again with --yes")
        return False
    return typer.confirm("Download them and write the settings?", default=True)


def _download_all(advice: Advice, left: Mapping[str, int]) -> dict[str, str]:
    """Download all checkpoints.

    Returns:
        Why a checkpoint could not be had, by its id. Where the hub cannot be reached, or the disk is full, no further
        one is tried.
    """
    from ..errors import VisprogError
    from ..models.checkpoint.download import check_space
    from ..models.checkpoint.hub import fetch
    from ..models.checkpoint.hub_errors import HubError, HubUnavailable

    failures: dict[str, str] = {}
    with _bars() as report:
        try:
            check_space("the checkpoints", sum(left.values()))
        except HubError as error:
            return {c.id: str(error) for c in advice.checkpoints if left[c.id]}
        for checkpoint in advice.checkpoints:
            try:
                fetch(checkpoint.id, report=report)
            except (ValueError, OSError, VisprogError) as error:
                failures[checkpoint.id] = str(error)
                if isinstance(error, HubUnavailable):
                    break
    from ..models.checkpoint.cache import cached

    return {
        c.id: failures.get(c.id, next(reversed(failures.values()), ""))
        for c in advice.checkpoints
        if cached(c.id) is None
    }


def _write(file: Path, text: str, *, trusted: bool) -> None:
    """Write settings. What a file that was found sets was accepted before, and what is new was chosen here: it is
    trusted."""
    from ..config import default_files
    from ..trust import trust
    from .settings_file import write_settings

    write_settings(file, text)
    if trusted and file == default_files()[0]:
        trust(file, text.encode())


def _source(name: str) -> str:
    """The hub id that a name means."""
    from ..models.catalogue import catalogue, find_published
    from ..models.checkpoint.cache import is_hub_id

    known = find_published(name)
    if known is not None:
        return known.id
    if not is_hub_id(name):
        from ..errors import close_match

        close = close_match(name, [c.id.partition("/")[2] for c in catalogue()])
        hint = f"did you mean '{close}'?" if close else "see visprog models"
        raise UsageError(f"there is no checkpoint '{name}', and it is no hub id like ORG/NAME: {hint}")
    return name


@contextmanager
def _as_errors() -> Iterator[None]:
    """The errors of a download as those of a command: one sentence."""
    from ..errors import VisprogError

    try:
        yield
    except (ValueError, OSError) as error:
        raise VisprogError(str(error)) from None


@contextmanager
def _bars() -> Iterator[Report]:
    """Progress bars of downloads on a terminal, else lines."""
    from ..models.checkpoint.download import ProgressLines

    if not sys.stderr.isatty():
        yield ProgressLines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        "{task.description}",
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, Any] = {}

        def report(source: str, done: int, total: int) -> None:
            if source not in tasks:
                tasks[source] = progress.add_task(source, total=total)
            progress.update(tasks[source], completed=done, total=total)

        yield report
