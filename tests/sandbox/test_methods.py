"""Methods of handles: a program calls them as attributes, the caller's process answers."""

from __future__ import annotations

import pytest

from visprog.sandbox import Method, Sandbox


class Door:
    """Stays outside."""

    width = 3


class Room:
    """Has a door."""

    door = Door()


TYPES = ((Door, ("width", Method("knock", "knock_at"))), (Room, ("door",)))


def run(source: str, tools: dict[str, object]) -> object:
    with Sandbox() as sandbox:
        outcome = sandbox.run(source, tools=tools, inputs={"door": Door(), "room": Room()}, types=TYPES)  # type: ignore[arg-type]
    return outcome.value if outcome.status == "ok" else (outcome.status, outcome.error)


def test_a_method_gets_its_object_and_its_arguments() -> None:
    def knock(door: Door, times: int = 1) -> list[object]:
        return [door.width, "knock" * times]

    tools = {"knock_at": knock}
    assert run("return door.knock(times=2)", tools) == [3, "knockknock"]
    assert run("return [f(1) for f in [room.door.knock]][0]", tools) == [3, "knock"]
    assert run("return hasattr(door, 'knock'), hasattr(room, 'knock')", tools) == (True, False)


@pytest.mark.parametrize(
    "source", ["return room.knock()", "return door.open()", "return door.knock.__func__"]
)
def test_nothing_else_is_open(source: str) -> None:
    assert run(source, {"knock_at": lambda door: 1})[0] in ("error", "rejected")  # type: ignore[index]
