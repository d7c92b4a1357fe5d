"""The classes of a detector, found by the words that people use for them."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path

from visprog.errors import ToolError

from .phrase import read_yaml, singular


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

    def nearest(self, noun: str) -> str | None:
        """The class that is most like the noun, or that includes it ("puppy" → "dog")."""
        for name, kinds in read_yaml("coco")["kinds"].items():
            if name in self.names and noun in kinds:
                return str(name)
        words = noun.split()
        for start in range(1, len(words)):
            found = self.find(" ".join(words[start:])) or self.find(" ".join(words[:-start]))
            if len(found) == 1:
                return self.names[next(iter(found))]
        close = difflib.get_close_matches(noun, list(self._index), 1, 0.75)
        return self.names[min(self._index[close[0]])] if close else None


@cache
def _canonical() -> dict[str, str]:
    """Each word for a COCO class, in the singular → the class."""
    return {
        singular(word): entry["name"]
        for entry in read_yaml("coco")["classes"]
        for word in (entry["name"], *entry["also"])
    }
