"""The system-call filter, judged by executing it: for both machines, without needing them."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from visprog.sandbox import Sandbox, kernel

X86, ARM = 0xC000_003E, 0xC000_00B7
ALLOW, DENY, KILL = 0x7FFF_0000, 0x5_0000 | errno.EPERM, 0x8000_0000
MACHINES = {"x86_64": (X86, 0), "aarch64": (ARM, 1)}


def judge(
    machine: str, number: int, *arguments: int, architecture: int | None = None, tools: bool = False
) -> int:
    """What the filter of programs, or that of tools, says to a system call: a small interpreter of the BPF it uses."""
    data = {0: number, 4: MACHINES[machine][0] if architecture is None else architecture}
    data |= {16 + 8 * i: argument & 0xFFFF_FFFF for i, argument in enumerate((*arguments, 0, 0, 0, 0))}
    program = (
        kernel.tools_program(machine) if tools else kernel.seccomp_program(machine, readable=0, writable=1)
    )
    code, at, value = program, 0, 0
    while True:
        operation, then, otherwise, constant = code[at]
        at += 1
        match operation:
            case 0x20:
                value = data[constant]
            case 0x15:
                at += then if value == constant else otherwise
            case 0x35:
                at += then if value >= constant else otherwise
            case 0x45:
                at += then if value & constant else otherwise
            case 0x06:
                return constant
            case _:
                raise AssertionError(f"an instruction the filter does not use: {operation}")


@pytest.fixture(params=MACHINES)
def machine(request: Any) -> str:
    return str(request.param)


def test_allowed_calls(machine: str) -> None:
    column = MACHINES[machine][1]
    assert all(judge(machine, numbers[column]) == ALLOW for numbers in kernel.ALLOWED.values())


def test_hostile_calls_end_the_process(machine: str) -> None:
    column = MACHINES[machine][1]
    for name, numbers in kernel.HOSTILE.items():
        number = numbers[column]
        if number is not None:
            assert judge(machine, number, 1) == KILL, name
            assert judge(machine, number, 0x7FFF_FF01) == DENY, name


def test_everything_else_is_denied(machine: str) -> None:
    column = MACHINES[machine][1]
    listed = {numbers[column] for table in (kernel.ALLOWED, kernel.HOSTILE) for numbers in table.values()}
    listed |= {call[column] for call in (kernel.READ, kernel.WRITE, *kernel.NOT_EXECUTABLE.values())}
    for number in set(range(600)) - listed:
        assert judge(machine, number) == DENY
    for name in ("open", "openat"):
        number = {"open": (2, 1024), "openat": (257, 56)}[name][column]
        assert judge(machine, number) == DENY


def test_only_the_pipes(machine: str) -> None:
    column = MACHINES[machine][1]
    verdicts = [[judge(machine, call[column], fd) for fd in range(4)] for call in (kernel.READ, kernel.WRITE)]
    assert verdicts == [[ALLOW, DENY, DENY, DENY], [DENY, ALLOW, DENY, DENY]]


def test_no_executable_memory(machine: str) -> None:
    column = MACHINES[machine][1]
    for call in kernel.NOT_EXECUTABLE.values():
        assert judge(machine, call[column], 0, 4096, 3) == ALLOW
        assert judge(machine, call[column], 0, 4096, 7) == DENY


def test_other_architectures_end_the_process(machine: str) -> None:
    assert judge(machine, 0, architecture=0x4000_0003) == KILL
    if machine == "x86_64":
        assert judge(machine, 0x4000_0000 | 41) == KILL


def test_tools_start_nothing_and_reach_nobody(machine: str) -> None:
    column = MACHINES[machine][1]
    denied = {"socket": kernel.SOCKET, **kernel.TOOLS_DENIED}
    assert {"execve", "kill", "ptrace", "connect", "bpf", "mount"} <= set(denied)
    numbers = {numbers[column] for numbers in denied.values()}
    for number in set(range(600)):
        assert judge(machine, number, tools=True) == (DENY if number in numbers else ALLOW), number
    assert judge(machine, 0, architecture=0x4000_0003, tools=True) == KILL


def test_no_number_is_listed_twice() -> None:
    for column in (0, 1):
        tables = [*kernel.ALLOWED.values(), *kernel.HOSTILE.values(), *kernel.NOT_EXECUTABLE.values()]
        numbers = [numbers[column] for numbers in [*tables, kernel.READ, kernel.WRITE]]
        known = [number for number in numbers if number is not None]
        assert len(known) == len(set(known))


def test_facts(sandbox: Sandbox) -> None:
    facts = sandbox.level.facts
    assert set(sandbox.level.REQUIRED) <= set(facts)
    assert (sandbox.level == "kernel") == (not sandbox.level.missing)
