"""Which checkpoints `visprog models setup` proposes for a machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    for largest in reversed(SIZES[: SIZES.index(size) + 1]):
        advice = _pick(checkpoints, wanted, machine, largest)
        if sum(map(machine.memory_of, advice.checkpoints)) <= machine.budget:
            return advice
    return _reduced(advice, machine)


def _pick(
    checkpoints: Sequence[PublishedCheckpoint], names: Sequence[str], machine: Machine, largest: Size
) -> Advice:
    tools, without = {}, {}
    for name in names:
        rows = [c for c in checkpoints if name in c.tools and c.proposed and not c.gated]
        fitting = [c for c in rows if not machine.refusal(c)]
        small = [c for c in fitting if SIZES.index(c.size) <= SIZES.index(largest)]
        if small:
            tools[name] = max(small, key=lambda c: SIZES.index(c.size))  # the first of the largest
        elif rows:
            reasons = dict.fromkeys(filter(None, map(machine.refusal, rows)))
            without[name] = " or ".join(reasons) or f"only in a larger size than {largest}"
    return Advice(tools, without)


def _reduced(advice: Advice, machine: Machine) -> Advice:
    """As many of the tools as the machine can hold, the first of them."""
    tools: dict[str, PublishedCheckpoint] = {}
    without = dict(advice.without)
    for name, checkpoint in advice.tools.items():
        held = {c.id: machine.memory_of(c) for c in (*tools.values(), checkpoint)}
        if sum(held.values()) <= machine.budget:
            tools[name] = checkpoint
        else:
            without[name] = "too large beside the others"
    return Advice(tools, without)
