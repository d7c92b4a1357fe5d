"""Class names of a detector, and the words that people use for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from visprog.errors import ToolError
from visprog.files.plain_text import read_text, split_lines
from visprog.registry.sees import Near, Phrases

from .meaning import finder_of, head_of, including, miswritten, near
from .phrase import Phrase, read_phrase, read_yaml, singular

MAX_NAMED = 200
"""Number of classes that a summary names."""


class Labels:
    """Class names in the order of a network's outputs, with COCO's synonyms and groups if they apply.

    Attributes:
        names: Name per class; those that COCO has under another name bear COCO's ("sofa" is "couch").
    """

    def __init__(self, names: list[str]) -> None:
        names = [" ".join(n.replace("_", " ").split()) for n in names]
        self.names = [_canonical().get(singular(n), n) for n in names]
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
        """COCO's 80 classes."""
        return cls([c["name"] for c in read_yaml("coco")["classes"]])

    @classmethod
    def read(cls, path: str) -> Labels:
        """Names from a text file, one per line.

        Raises:
            ToolError: The file cannot be read or holds no name.
        """
        try:
            lines = split_lines(read_text(Path(path).expanduser()))
        except OSError as error:
            raise ToolError(f"cannot read the label file {path}: {error.strerror or error}") from None
        except ValueError as error:
            raise ToolError(f"the label file {path} {error}") from None
        names = [line.strip() for line in lines if line.strip()]
        if not names:
            raise ToolError(f"the label file {path} holds no name: write one class a line")
        return cls(names)

    def __len__(self) -> int:
        return len(self.names)

    def find(self, noun: str) -> frozenset[int]:
        """The classes that a singular noun means; empty if it means none of them."""
        return self._index.get(noun, frozenset())

    @property
    def groups(self) -> list[str]:
        """Words for several of the classes."""
        return [word for word, classes in self._index.items() if len(classes) > 1]

    @property
    def group_names(self) -> list[str]:
        """One word per group of classes."""
        named: dict[frozenset[int], str] = {}
        for word in self.groups:
            named.setdefault(self._index[word], word)
        return list(named.values())

    def near(self, noun: str) -> Near | None:
        """The class or group that is nearest by meaning to a noun that is none."""
        single = [word for word, classes in self._index.items() if len(classes) == 1]
        found = near(noun, single, self.groups)
        if found is None:
            return None
        # A broader synonym ("table") includes what the class that it stands for ("dining table") may not.
        others = dict.fromkeys(self._name(word) for word in found.others)
        name = found.phrase if found.relation == "broader" else self._name(found.phrase)
        return replace(found, phrase=name, others=tuple(w for w in others if w != name))

    def related(self, noun: str) -> list[str]:
        """The classes of the smallest group that a noun would belong to, were it a class: horse, sheep and cow for
        "donkey"."""
        groups = [self._index[word] for word in including(head_of(noun)) if word in self.groups]
        smallest: frozenset[int] = min(groups, key=lambda group: len(group), default=frozenset())
        return [self.names[i] for i in sorted(smallest)]

    def _name(self, word: str) -> str:
        classes = self._index[word]
        return self.names[next(iter(classes))] if len(classes) == 1 else word


@dataclass(frozen=True)
class ClassPhrases(Phrases):
    """Phrases that name a class of a network, a group of them, or all; a colour may stand before the noun.

    Attributes:
        labels: Classes of the network.
        network: Name of the network, for messages.
    """

    labels: Labels
    network: str

    def find(self, phrase: Phrase) -> tuple[frozenset[int], str]:
        """The classes that a phrase means, none if the network has none of them, and its colour."""
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
        if wrong := miswritten(phrase):
            return wrong
        has = self._near(read) or self._has(read.noun)
        return (
            f"the network {self.network} has no class '{read.noun}' ({has}): for free "
            f'phrases set backend = "owlv2" under [tools.detect] in visprog.toml'
        )

    def near(self, phrase: str) -> Near | None:
        try:
            return None if miswritten(phrase) else self._near(read_phrase(phrase))
        except ToolError:
            return None

    def elsewhere(self, phrase: str) -> str:
        return finder_of(phrase)

    def _near(self, read: Phrase) -> Near | None:
        head = head_of(read.whole)
        if head != read.whole and self.can_see(head):
            return Near(head, "broader", read.whole)
        found = self.labels.near(read.noun)
        if found is None or not read.color:
            return found
        if read.noun.startswith("and "):  # "black and white cat"
            return replace(found, asked=read.whole)
        colored = tuple(f"{read.color} {word}" for word in found.others)
        return replace(found, phrase=f"{read.color} {found.phrase}", asked=read.whole, others=colored)

    @property
    def summary(self) -> str:
        """Summary of the classes, for a planner."""
        names = self.labels.names
        kinds = "1 kind of object" if len(names) == 1 else f"{len(names)} kinds of object"
        more = f", … ({len(names) - MAX_NAMED} more)" if len(names) > MAX_NAMED else ""
        groups = f"; also {', '.join(self.labels.group_names)}, for these kinds" if self.labels.groups else ""
        kind = next(
            ((k, n) for n in names for k in read_yaml("kinds").get(n, ()) if not self.can_see(k)), None
        )
        special = f' ("{kind[0]}" as "{kind[1]}")' if kind else ""
        return (
            f'{kinds}: {", ".join(names[:MAX_NAMED])}{more}{groups}; "object" for all. A colour may stand before '
            f"the noun. It refuses all other nouns: what is more special is looked for by its kind{special}."
        )

    def _has(self, noun: str) -> str:
        """Classes that the network has instead of a noun that nothing is near to."""
        if related := self.labels.related(noun):
            return f"of that kind it has {', '.join(related)} alone"
        names = self.labels.names
        return f"it has {', '.join(names[:6])}" + (f" and {len(names) - 6} more" if len(names) > 6 else "")


@cache
def _canonical() -> dict[str, str]:
    """Name of the COCO class, by each word for it in the singular."""
    return {
        singular(word): entry["name"]
        for entry in read_yaml("coco")["classes"]
        for word in (entry["name"], *entry["also"])
    }
