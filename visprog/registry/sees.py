"""What a backend can see, as data: one source for the planner's prompt, the check, and the backend's own refusals.

A backend declares it as its attribute `sees`, a tool that is a plain function with `@tool(sees=…)`. It must be known
without loading a model: from the options, a file of labels, or the configuration beside the weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..errors import ToolError


@dataclass(frozen=True, slots=True)
class Near:
    """A phrase that can be seen, and is nearest by meaning to one that cannot.

    Attributes:
        phrase: what to write.
        relation: "broader" if it includes what was asked for ("person" for "man"), "narrower" if it is one kind of it
            ("stop sign" for "sign"), "part" if what was asked for is made of several or of a piece of it ("person" for
            "crowd", "pizza" for "slice of pizza"), "spelling" if it is the same word, mistyped.
        asked: the phrase that cannot be seen, in the singular.
        others: further phrases of the same relation.
    """

    phrase: str
    relation: Literal["broader", "narrower", "part", "spelling"]
    asked: str = ""
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        end = {
            "broader": ", which includes it",
            "narrower": ", which is one kind of it",
            "part": ", of which it is made",
            "spelling": "",
        }
        return f"the nearest is '{self.phrase}'{end[self.relation]}"


class Phrases(ABC):
    """The texts that one argument of a tool can hold."""

    @abstractmethod
    def refusal(self, phrase: str) -> str:
        """The sentence with which the backend refuses a phrase; empty if it can see that, or may."""

    def near(self, phrase: str) -> Near | None:
        """What can be seen and is nearest by meaning to a phrase that cannot; None if nothing is near."""
        return None

    def elsewhere(self, phrase: str) -> str:
        """The name of another tool that finds such objects by itself; empty if none is known."""
        return ""

    def can_see(self, phrase: str) -> bool:
        """Whether the backend looks for this, rather than refuse it."""
        return not self.refusal(phrase)

    def nearest(self, phrase: str) -> str | None:
        """The phrase of `near`."""
        found = self.near(phrase)
        return None if found is None else found.phrase


@dataclass(frozen=True)
class Parsed(Phrases):
    """Texts that a function reads.

    Args:
        parse: raises a `ToolError` (a `Refused`, as a rule), whose text is the refusal, for those that it cannot read.
        closest: for `near`.
        finder: for `elsewhere`.
    """

    parse: Callable[[str], object]
    closest: Callable[[str], Near | None] = lambda phrase: None
    finder: Callable[[str], str] = lambda phrase: ""

    def refusal(self, phrase: str) -> str:
        try:
            self.parse(phrase)
        except ToolError as error:
            return str(error)
        return ""

    def near(self, phrase: str) -> Near | None:
        return self.closest(phrase)

    def elsewhere(self, phrase: str) -> str:
        return self.finder(phrase)


@dataclass(frozen=True)
class Sees:
    """What a tool can see with the backend in force.

    Attributes:
        summary: of it, in one or two lines for a planner; empty if the docstring says enough.
        phrases: by parameter, the texts that can be looked for; any text, for a parameter that is not named.
        nothing: why the tool cannot answer at all, and which backend would; empty if it can.
        without: by method of its result, as "Depth.metres", why that refuses.
    """

    summary: str = ""
    phrases: Mapping[str, Phrases] = field(default_factory=dict)
    nothing: str = ""
    without: Mapping[str, str] = field(default_factory=dict)


NOT_SAID = Sees()
"""Of a tool or backend that declares nothing."""


@dataclass(frozen=True)
class _None(Phrases):
    """No text at all, for a reason."""

    why: str

    def refusal(self, phrase: str) -> str:
        return self.why


def handed_on(own: Sees, parameter: str, tool: str, of: str, other: Sees, *, optional: bool) -> Sees:
    """What a tool sees that hands its `parameter` on to another tool, as `of` there.

    Args:
        own: what it sees by itself.
        tool: name of the other tool.
        other: what that sees.
        optional: whether it also works without a text in that parameter.
    """
    phrases: Phrases | None = _None(other.nothing) if other.nothing else other.phrases.get(of)
    return Sees(
        own.summary or (f"what `{tool}` sees" if other.summary and not other.nothing else ""),
        own.phrases if phrases is None else {**own.phrases, parameter: phrases},
        own.nothing or ("" if optional else other.nothing),
        own.without,
    )
