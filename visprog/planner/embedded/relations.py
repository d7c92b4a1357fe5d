"""Places of objects, compared rather than judged: "on the bed" is a matter of boxes, not of how something looks."""

from __future__ import annotations

import re

_METHODS = {
    "on": "overlaps", "upon": "overlaps", "in": "inside", "inside": "inside", "into": "inside", "within": "inside",
    "under": "below", "below": "below", "beneath": "below", "underneath": "below", "above": "above", "over": "above",
    "touching": "touches",
}  # fmt: skip
_PLACE = re.compile(
    rf'"(?:(?:lying|sitting|standing|placed|resting|hanging) )?(?P<relation>{"|".join(_METHODS)}) '
    r'(?:the|a|an|this|that|my) (?P<noun>[\w -]+)"\)'
)


def compare_places(program: str, states: re.Pattern[str]) -> str:
    """The program with `verify(x, "on the bed")` as `any(x.overlaps(y) for y in detect(image, "bed"))`.

    It stays as it is if no variable is free for the loop.

    Args:
        states: what says how something is although it begins with such a word: "on the phone".
    """
    at = 0
    while (start := program.find("verify(", at)) >= 0:
        end = _argument_end(program, start + len("verify("))
        found = _PLACE.match(program, end + 2) if program[end : end + 2] == ", " else None
        letter = next((v for v in "yi" if not re.search(rf"\b{v}\b", re.sub(r'"[^"]*"', "", program))), None)
        if found is None or letter is None or states.fullmatch(found[0][1:-2].lower()):
            at = start + 1
            continue
        subject = program[start + len("verify(") : end]
        places = f'detect(image, "{found["noun"]}")'
        compared = f"any({subject}.{_METHODS[found['relation']]}({letter}) for {letter} in {places})"
        program = program[:start] + compared + program[found.end() :]
        at = start + len(compared)
    return program


def _argument_end(program: str, start: int) -> int:
    """Where the expression that begins at `start` ends: before a comma or a bracket of the call that it is in."""
    depth, quoted = 0, False
    for i in range(start, len(program)):
        char = program[i]
        quoted ^= char == '"'
        if quoted:
            continue
        if depth == 0 and char in ",)":
            return i
        depth += (char in "([") - (char in ")]")
    return len(program)
