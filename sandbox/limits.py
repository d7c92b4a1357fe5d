"""Bounds of what a program may use."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True)
class Limits:
    """Bounds of one run. A program that reaches one is ended, and can neither catch nor delay that.

    Attributes:
        cpu: seconds of processor time. The kernel ends the worker a second later, if it does not end itself.
        grace: seconds beyond `cpu` that a program may go without a message, unless a busy machine starves it.
        time: seconds of the whole run, tools included.
        startup: seconds in which a worker must report that it is confined and ready.
        memory: bytes of address space of the worker.
        calls: number of tool calls.
        handles: number of objects of the caller that a program may hold at once.
        output: characters that `print` keeps; what follows is dropped and `Outcome.truncated` is set.
        recursion: number of nested calls.
        integer: bits of an integer made by `*`, `**`, `<<`, `pow` or `math`.
        sequence: elements of a sequence, or characters of a string, made in one operation.
        message: bytes of one message from the program: a tool call or the result.
        reply: bytes of one message to the program: the inputs or the result of a tool.
        text: characters of one string in a message.
        nodes: number of values in one message, each element counted.
        depth: nesting of the values in one message.
        source: bytes of the program.
        source_nodes: number of nodes of its syntax tree.
        source_depth: depth of its syntax tree.
        source_nesting: depth of statements inside statements.

    Raises:
        ValueError: a limit is not a positive number.
    """

    cpu: float = 5.0
    grace: float = 2.0
    time: float = 120.0
    startup: float = 20.0
    memory: int = 256 * MIB
    calls: int = 200
    handles: int = 5_000
    output: int = 64 * KIB
    recursion: int = 600
    integer: int = 4_096
    sequence: int = 4 * MIB
    message: int = 1 * MIB
    reply: int = 16 * MIB
    text: int = 256 * KIB
    nodes: int = 20_000
    depth: int = 16
    source: int = 64 * KIB
    source_nodes: int = 20_000
    source_depth: int = 100
    source_nesting: int = 12

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) not in (int, float) or not 0 < value < float("inf"):
                raise ValueError(f"Limits.{field.name} must be a positive number, not {value!r}")

    def to_json(self) -> dict[str, float]:
        return asdict(self)


DEFAULT = Limits()
