"""The classes of a detector, found by the words that people use for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from visprog.errors import ToolError
from visprog.sees import Near, Phrases

from .meaning import head_of, near
from .phrase import Phrase, read_phrase, read_yaml, singular

MOST_NAMED = 200
"""Classes that a summary names."""


class Labels:
    """Class names in the order of a network's outputs, with COCO's synonyms and groups where they apply.

    Attributes:
        names: one a class; those that COCO has under another name bear COCO's ("sofa" is "couch").
    """

    def __init__(self, names: list[str]) -> None:
        self.names = [_canonical().get(singular(n), n.strip()) for n in names]
        self._index: dict[str, frozenset[int]] = {singular(n): frozenset((i,)) for i, n in enumerate(names)}
        for i, name in enumerate(self.names):
            self._index.setdefault(singular(name), frozenset((i,)))
        for alias, name in _canonical().items():
            if name in self.names:
                self._index.setdefault(alias, frozenset((self.names.index(name),)))
        for group, members in read_yaml("coco")["groups"].items():
            present = frozenset(self.names.index(m) for m in members if m in self.names)
            if len(present) > 1:
                self._index.setdefault(singular(group), present)

    @classmethod
    def coco(cls) -> Labels:
        return cls([c["name"] for c in read_yaml("coco")["classes"]])

    @classmethod
    def read(cls, path: str) -> Labels:
        """Names from a text file, one a line.

        Raises:
            ToolError: the file cannot be read or holds no name.
        """
        try:
            lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ToolError(f"cannot read the label file {path}: {error}") from None
        names = [line.strip() for line in lines if line.strip()]
        if not names:
            raise ToolError(f"the label file {path} holds no name: write one class a line")
        return cls(names)

    def __len__(self) -> int:
        return len(self.names)

    def find(self, noun: str) -> frozenset[int]:
        """The classes that a singular noun means; empty where it means none of them."""
        return self._index.get(noun, frozenset())

    @property
    def groups(self) -> list[str]:
        """Words for several of the classes."""
        return [word for word, classes in self._index.items() if len(classes) > 1]

    def near(self, noun: str) -> Near | None:
        """The class or group that is nearest by meaning to a noun that is none."""
        single = [word for word, classes in self._index.items() if len(classes) == 1]
        found = near(noun, single, self.groups)
        if found is None or len(self._index[found.phrase]) > 1:
            return found
        return replace(found, phrase=self.names[next(iter(self._index[found.phrase]))])


@dataclass(frozen=True)
class ClassPhrases(Phrases):
    """Phrases that name a class of a network, a group of them, or all; a colour may stand before the noun.

    Attributes:
        labels: its classes.
        network: its name, for messages.
    """

    labels: Labels
    network: str

    def find(self, phrase: Phrase) -> tuple[frozenset[int], str]:
        """The classes that are asked for, none where the network has none such, and the colour."""
        if phrase.everything:
            return frozenset(range(len(self.labels))), phrase.color
        if found := self.labels.find(phrase.whole):
            return found, ""
        return self.labels.find(phrase.noun), phrase.color

    def refusal(self, phrase: str) -> str:
        try:
            read = read_phrase(phrase)
        except ToolError as error:
            return str(error)
        if self.find(read)[0]:
            return ""
        near = self._near(read)
        return (
            f"the network {self.network} has no class '{read.noun}' ({near or f'it has {self._some}'}): for free "
            f'phrases set backend = "owlv2" under [tools.detect] in visprog.toml'
        )

    def near(self, phrase: str) -> Near | None:
        try:
            return self._near(read_phrase(phrase))
        except ToolError:
            return None

    def _near(self, read: Phrase) -> Near | None:
        head = head_of(read.whole)
        if head != read.whole and self.can_see(head):
            return Near(head, "broader", read.whole)
        found = self.labels.near(read.noun)
        if found is None or not read.color:
            return found
        return replace(found, phrase=f"{read.color} {found.phrase}", asked=read.whole)

    @property
    def summary(self) -> str:
        """For a planner."""
        names = self.labels.names
        kinds = "1 kind of object" if len(names) == 1 else f"{len(names)} kinds of object"
        more = f", … ({len(names) - MOST_NAMED} more)" if len(names) > MOST_NAMED else ""
        groups = f"; also {', '.join(self.labels.groups)}" if self.labels.groups else ""
        return (
            f'{kinds}: {", ".join(names[:MOST_NAMED])}{more}{groups}; "object" for all. A colour may stand before '
            f'the noun. It refuses all other nouns: what is more special is looked for by its kind ("man" as "person").'
        )

    @property
    def _some(self) -> str:
        names = self.labels.names
        return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


@cache
def _canonical() -> dict[str, str]:
    """Each word for a COCO class, in the singular → the class."""
    return {
        singular(word): entry["name"]
        for entry in read_yaml("coco")["classes"]
        for word in (entry["name"], *entry["also"])
    }
