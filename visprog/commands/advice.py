"""Which checkpoints `visprog models setup` proposes for a machine."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..models.catalogue import PLANNER, SIZES, PublishedCheckpoint, Size
from ..registry import Registry
from .machine import Machine


@dataclass(frozen=True)
class Advice:
    """What is proposed.

    Attributes:
        tools: Checkpoint per tool; "planner" for the planner.
        without: Tools that have none, and why.
    """

    tools: Mapping[str, PublishedCheckpoint]
    without: Mapping[str, str]

    @property
    def checkpoints(self) -> list[PublishedCheckpoint]:
        """Each of the checkpoints once."""
        return list({checkpoint.id: checkpoint for checkpoint in self.tools.values()}.values())


def with_backends(
    checkpoints: Iterable[PublishedCheckpoint], registry: Registry
) -> list[PublishedCheckpoint]:
    """The checkpoints whose backend the registry knows, each with the tools that have it."""

    def has(name: str, backend: str) -> bool:
        return name == PLANNER or (name in registry and backend in registry[name].backends)

    found = (replace(c, tools=tuple(name for name in c.tools if has(name, c.backend))) for c in checkpoints)
    return [checkpoint for checkpoint in found if checkpoint.tools]


def advise(
    checkpoints: Sequence[PublishedCheckpoint], machine: Machine, size: Size, excluded: Iterable[str] = ()
) -> Advice:
    """The best checkpoints up to a class of size that a machine can hold together.

    Args:
        checkpoints: That can be loaded here, in the order in which they are preferred.
        excluded: Tools that need none.
    """
    names = dict.fromkeys(name for each in checkpoints for name in each.tools)
    wanted = [name for name in names if name not in set(excluded)]
    allowed = [c for c in checkpoints if c.proposed and not c.gated]
    advice = _pick(allowed, wanted, machine, size, set())
    left_out: set[str] = set()
    while sum(map(machine.memory_of, advice.checkpoints)) > machine.budget:
        left_out.add(max(advice.checkpoints, key=machine.memory_of).id)  # its tools get the next smaller ones
        advice = _pick(allowed, wanted, machine, size, left_out)
    return advice


def _pick(
    checkpoints: Sequence[PublishedCheckpoint],
    names: Sequence[str],
    machine: Machine,
    size: Size,
    left_out: Collection[str],
) -> Advice:
    """For each tool the first of the largest class of size, of those that are not left out."""
    tools, without = {}, {}
    for name in names:
        rows = [c for c in checkpoints if name in c.tools]
        fitting = [c for c in rows if not machine.refusal(c) and SIZES.index(c.size) <= SIZES.index(size)]
        held = [c for c in fitting if c.id not in left_out]
        if held:
            tools[name] = max(held, key=lambda c: SIZES.index(c.size))
        elif fitting:
            without[name] = "too large beside the others"
        elif rows:
            reasons = dict.fromkeys(filter(None, map(machine.refusal, rows)))
            without[name] = " or ".join(reasons) or f"only in a larger size than {size}"
    return Advice(tools, without)
