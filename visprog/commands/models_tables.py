"""What `visprog models` prints for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from ..files.plain_text import plain
from ..files.sizes import bytes_in_words
from .terminal import new_console, new_table


def print_checkpoints(
    checkpoints: Sequence[Mapping[str, Any]], machine: Mapping[str, Any], made: str
) -> None:
    """The catalogue, a line per checkpoint."""
    out = _wide_console()
    out.print(Text(machine_in_words(machine)))
    out.print()
    rows = new_table(
        "checkpoint", "backend", "tools", "size", "download", "memory", "licence", "here", "fits"
    )
    for each in checkpoints:
        rows.add_row(
            each["id"],
            each["backend"],
            ", ".join(each["tools"]),
            each["size"],
            bytes_in_words(each["download"]),
            bytes_in_words(each["memory_here"]),
            Text(each["licence"] + (" (to be accepted)" if each["gated"] else "")),
            here_in_words(each),
            Text(each["refusal"] or "yes"),
        )
    out.print(rows)
    out.print()
    out.print(
        Text(f"Sizes are estimates of {made}. visprog models setup chooses for this machine and downloads.")
    )


def print_advice(advice: Mapping[str, Any]) -> None:
    """What `visprog models setup` proposes."""
    out = _wide_console()
    out.print(Text(machine_in_words(advice["machine"])))
    out.print()
    rows = new_table("tool", "backend", "checkpoint", "licence", "download", "memory")
    for name, each in advice["tools"].items():
        download = "here" if each["cached"] else bytes_in_words(each["left"])
        memory = bytes_in_words(each["memory_here"])
        rows.add_row(name, each["backend"], each["id"], Text(each["licence"]), download, memory)
    if advice["planner"]:
        rows.add_row("planner", "", Text(plain(advice["planner"])), "", "", "")
    for name, why in advice["without"].items():
        rows.add_row(name, "–", Text(f"none: {why}"), "", "", "")
    out.print(rows)
    checkpoints = {each["id"]: each for each in advice["tools"].values()}
    total = sum(each["left"] for each in checkpoints.values())
    memory = sum(each["memory_here"] for each in checkpoints.values())
    out.print()
    out.print(
        Text(
            f"To download: {bytes_in_words(total)} (an estimate); free: {bytes_in_words(advice['machine']['disk'])}. "
            f"Memory if all of them work: {bytes_in_words(memory)}. Settings: {plain(advice['file'])}"
        )
    )
    if advice["kept"]:
        out.print(Text(f"Your own settings stay: {', '.join(advice['kept'])}"))
    for command in advice["install"]:
        out.print(Text(f"More are proposed after: {command}"))


def _wide_console() -> Console:
    """Ids are copied from here, so that a file or a pipe gets them whole."""
    out = new_console()
    if not out.is_terminal:
        out.width = 220
    return out


def machine_in_words(machine: Mapping[str, Any]) -> str:
    """ "2 cores, 25 GB of memory, no GPU"."""
    gpu = f"{machine['gpu']} with {bytes_in_words(machine['gpu_memory'])}" if machine["gpu"] else "no GPU"
    cores = "1 core" if machine["cores"] == 1 else f"{machine['cores']} cores"
    return f"{cores}, {bytes_in_words(machine['memory'])} of memory, {gpu}"


def here_in_words(checkpoint: Mapping[str, Any]) -> str:
    """Whether a checkpoint is in the cache."""
    if checkpoint["cached"]:
        return "yes"
    return f"{bytes_in_words(checkpoint['bytes_here'])} of it" if checkpoint["bytes_here"] else "no"
