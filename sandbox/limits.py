"""What a program may use up."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True)
class Limits:
    """The bounds of one run. A program that reaches one is ended, and cannot catch or delay that.

    Raises:
        ValueError: a limit is not a positive number.
    """

    cpu: float = 5.0
    """Seconds of processor time. The kernel ends the worker a second later, should it not end itself."""
    grace: float = 2.0
    """Seconds beyond ``cpu`` that a program may go without a message, unless a busy machine starves it."""
    time: float = 120.0
    """Seconds for the whole run, tools included."""
    startup: float = 20.0
    """Seconds in which a worker must report that it is confined and ready."""
    memory: int = 256 * MIB
    """Bytes of address space of the worker."""
    calls: int = 200
    """Tool calls."""
    handles: int = 5_000
    """Objects of the caller that a program may hold at once."""
    output: int = 64 * KIB
    """Characters that ``print`` keeps; what follows is dropped and ``Outcome.truncated`` is set."""
    recursion: int = 600
    """Nested calls."""
    integer: int = 4_096
    """Bits of an integer made by ``*``, ``**``, ``<<``, ``pow`` or ``math``."""
    sequence: int = 4 * MIB
    """Elements of a sequence, or characters of a string, made in one operation."""
    message: int = 1 * MIB
    """Bytes of one message from the program: a tool call or the result."""
    reply: int = 16 * MIB
    """Bytes of one message to the program: the inputs or a tool's result."""
    text: int = 256 * KIB
    """Characters of one string in a message."""
    nodes: int = 20_000
    """Values in one message, each element counted."""
    depth: int = 16
    """Nesting of the values in one message."""
    source: int = 64 * KIB
    """Bytes of the program."""
    source_nodes: int = 20_000
    """Nodes of its syntax tree."""
    source_depth: int = 100
    """Depth of its syntax tree."""
    source_nesting: int = 12
    """Statements inside statements."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) not in (int, float) or not 0 < value < float("inf"):
                raise ValueError(f"Limits.{field.name} must be a positive number, not {value!r}")

    def to_json(self) -> dict[str, float]:
        return asdict(self)


DEFAULT = Limits()
