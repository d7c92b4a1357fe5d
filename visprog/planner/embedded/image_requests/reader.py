"""Finds the form of a request, and writes its program."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from ....check import check
from ....errors import Refused
from ....registry import Registry
from ....registry.types import accepts, render
from ....values.image import Image
from ...base import PlanRequest
from ..support import CorpusWords
from . import documents, edits, measures, several
from .claims import claimed
from .form import EXAMPLES, Body, Build, ImageRequest, NotOfThisForm, compiled
from .sentence import MAX_WORDS, canonical

_EDITS = compiled(edits.FORMS)
_OF_ONE = [*_EDITS, *compiled(measures.FORMS), *compiled(documents.FORMS)]
_OF_SEVERAL = compiled(several.FORMS)


def image_program(request: PlanRequest, known: CorpusWords) -> str | None:
    """The program for a request about whole images; None if it has none of the forms.

    Raises:
        Refused: It asks for an edit or a measure and has none of the forms, no backend in force can see what it names,
            or its answer is not of the type that is asked for.
    """
    text = canonical(request.question)
    if len(text.split()) > MAX_WORDS:
        return None
    reader = _Reader(request, known)
    body = reader.read(text)
    if body is None:
        if request.images == 1 and reader.is_about_several(text):
            raise Refused("the request is about several images, and one was given: give the others too")
        if why := claimed(text):
            part = reader.not_understood(text)[:100]
            why = f"not understood: '{part}'; {why}" if part else why
            raise Refused(
                f"the embedded planner knows common edits and measures of whole images alone ({why}): let a language "
                "model plan (--planner openai:MODEL, langchain:PROVIDER:MODEL or transformers:FOLDER), or run a "
                "program of yours with visprog run"
            )
        return None
    source = "\n    ".join([request.header, *body.lines, f"return {_fitted(body, request)}"]) + "\n"
    wrong = [d for d in check(source, request.registry) if d.severity == "error" and not d.refusal]
    return None if wrong or _replaced(source, request.registry) else source


@dataclass
class _Reader:
    """Reads sentences for the tools in force; `unseen` says why objects that they name cannot be seen."""

    request: PlanRequest
    known: CorpusWords
    unseen: list[Refused] = field(default_factory=list)

    def read(self, text: str) -> Body | None:
        """What a sentence asks for; None if it has none of the forms, or several that differ.

        Raises:
            Refused: It has a form, and names what no backend in force can see.
        """
        found = self._form_of(text)
        if not found and self.request.images == 1:
            found = self._one_after_another(text)
        if not found and self.unseen:
            raise self.unseen[0]
        return found.pop() if len(found) == 1 else None

    def is_about_several(self, text: str) -> bool:
        """Whether a sentence has a form about two or three images."""
        readers = (_Reader(replace(self.request, images=n), self.known) for n in (2, 3))
        return any(reader._found(text, _OF_SEVERAL) for reader in readers)

    def not_understood(self, text: str) -> str:
        """The fewest words in a row without which a sentence would be understood; "" if there are none."""
        words = text.split()
        for length in range(1, len(words)):
            for start in range(len(words) - length, -1, -1):
                if self._form_of(" ".join([*words[:start], *words[start + length :]])):
                    return " ".join(words[start : start + length])
        return ""

    def _form_of(self, text: str) -> set[Body]:
        patterns = _OF_SEVERAL if self.request.images > 1 else _OF_ONE
        return self._found(text, patterns)

    def _found(self, text: str, patterns: list[tuple[re.Pattern[str], Build]]) -> set[Body]:
        found = set[Body]()
        for pattern, build in patterns:
            if match := pattern.fullmatch(text):
                words = ImageRequest(
                    match.groupdict(), self.request.images, self.request.registry, self.known
                )
                try:
                    found.add(build(words))
                except NotOfThisForm:
                    continue
                except Refused as refusal:
                    self.unseen.append(refusal)
        return found

    def _one_after_another(self, text: str) -> set[Body]:
        """Several edits, each of what the one before has made."""
        parts = edits.JOINT.split(text)
        if len(parts) < 2:
            return set()
        lines: list[str] = []
        for part in parts:
            found = self._found(part, _EDITS)
            if len(found) != 1:
                return set()
            (body,) = found
            if lines:
                lines.append("image = edited")
            lines += body.lines if body.value == "edited" else (f"edited = {body.value}",)
        return {Body("image", "edited", tuple(lines))}


def _replaced(source: str, registry: Registry) -> bool:
    """Whether a program calls a tool in the place of one of visprog: its measure may have another scale."""
    called = {name for name in re.findall(r"\b(\w+)\(", source) if name in registry.called}
    return any(not getattr(registry[name], "__module__", "").startswith("visprog.") for name in called)


def _fitted(body: Body, request: PlanRequest) -> str:
    """The answer as an expression of the type that is asked for.

    Raises:
        Refused: It cannot be.
    """
    returns = request.returns
    if body.kind == "image":
        if returns in (None, Image):
            return body.value
    elif returns is None or accepts(returns, EXAMPLES[body.kind]):
        return body.value
    elif body.kind == "float" and accepts(returns, 2):
        return f"round({body.value})"
    elif body.kind == "size" and accepts(returns, "a"):
        return 'f"{image.width} × {image.height} pixels"'
    elif body.kind in ("int", "float") and accepts(returns, "a"):
        return f"str({body.value})"
    raise Refused(f"the answer to this request is {_KINDS[body.kind]}, and {render(returns)} was asked for")


_KINDS = {
    "image": "an image", "int": "a number", "float": "a number", "bool": "true or false", "str": "a text",
    "size": "a width and a height", "regions": "a list of regions", "texts": "a list of texts",
    "rows": "a table", "fields": "texts by label",
}  # fmt: skip
