"""The variables of one function, as they stand at one point of the program."""

from __future__ import annotations

from dataclasses import dataclass, field

from .types import StaticType, join, shallow

State = dict[str, StaticType]
"""The variables of a scope at one point."""


@dataclass(eq=False)
class Scope:
    """Names to types. `variables` is replaced, never shared, where the program branches; so a function made
    in this scope sees the variables as they stand when it is called.

    `passing`: the scope of a comprehension or of a part of an expression, whose `:=` binds further out.
    """

    variables: State = field(default_factory=dict)
    parent: Scope | None = None
    passing: bool = False

    def find(self, name: str) -> StaticType | None:
        owner = self.owner(name)
        return None if owner is None else owner.variables[name]

    def owner(self, name: str) -> Scope | None:
        """The scope that holds the name: this one or one around it."""
        scope: Scope | None = self
        while scope is not None and name not in scope.variables:
            scope = scope.parent
        return scope

    @property
    def home(self) -> Scope:
        """The scope of the function that this is a part of."""
        scope = self
        while scope.passing and scope.parent is not None:
            scope = scope.parent
        return scope

    def bind(self, name: str, type_: StaticType) -> None:
        self.variables[name] = shallow(type_)


def merge(*states: State | None) -> State | None:
    """The variables after several ways have met; None stands for a way that does not come here."""
    live = [s for s in states if s is not None]
    if not live:
        return None
    names = dict.fromkeys(name for state in live for name in state)
    # A name that only some ways bind is taken to be bound: that it may not be is for the dry run to find.
    return {name: shallow(join(*(s[name] for s in live if name in s))) for name in names}
