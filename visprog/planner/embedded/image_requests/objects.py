"""Objects that a request names: the expression that finds them."""

from __future__ import annotations

from dataclasses import dataclass

from ....errors import Refused
from ....language.parts_of_speech import is_plural, tag_words
from ....values.colors import NAMES
from ..support.question import NUMBERS, ORDINALS
from .form import ImageRequest, NotOfThisForm, nothing

WHAT = (
    r"(?P<which>(?:(?:all|every|each|any)(?: of)?(?: (?:the|these|those))?|the|these|those)"
    r"(?: (?:largest|biggest|smallest|leftmost|rightmost))? )?(?P<what>[a-z]+(?: [a-z]+){0,2}?)"
)
"""Objects of one kind, as a request names them."""

_FINDERS = {
    "face": "find_faces(image)", "text": "find_text(image)", "writing": "find_text(image)",
    "lettering": "find_text(image)", "qr code": "find_qr_codes(image)", "barcode": "find_barcodes(image)",
}  # fmt: skip
"""Nouns that a tool of their own finds."""
_MASSES = frozenset(("text", "writing", "lettering", "people"))
_CHOOSERS = {
    "largest": "largest", "biggest": "largest", "smallest": "smallest", "leftmost": "leftmost", "rightmost": "rightmost"
}  # fmt: skip
"""Words that choose one object → the helper that does."""
_NO_OBJECTS = frozenset(
    "thing object item something anything everything stuff kind type sort colour half left right top bottom upper "
    "lower front back middle side center centre corner part rest edge area last only next background foreground image "
    "it them size rotation crop noise blur eye shadow".split()
) | {*NUMBERS, *ORDINALS}
"""Words that no name of a kind of object has."""


@dataclass(frozen=True)
class Objects:
    """Objects of a request.

    Attributes:
        noun: Their name, as the request has it.
        found: The expression of all of them, a list of regions.
        chooser: Helper that chooses one of them; empty for all.
        single: Whether there must be one.
    """

    noun: str
    found: str
    chooser: str = ""
    single: bool = False

    @property
    def lines(self) -> tuple[str, ...]:
        """Lines that put them into `found`, and end the program if there are none, or not the one that is meant."""
        lines: tuple[str, ...] = (f"found = {self.found}", "if not found:", nothing(f"no {self.noun} found"))
        if self.chooser:
            return (*lines, f"found = [{self.chooser}(found)]")
        if self.single:
            lines += (
                "if len(found) > 1:",
                nothing(f"{{len(found)}} are seen, not one {self.noun}: say all of them, or the largest"),
            )
        return lines


def objects_of(request: ImageRequest) -> Objects:
    """The objects that the groups of `WHAT` name.

    Raises:
        NotOfThisForm: They name no kind of object.
        Refused: `detect` cannot see them.
    """
    which, noun = request["which"].split(), request["what"]
    words = noun.split()
    plural = is_plural(words[-1])
    all_of = bool({"all", "every", "each", "any"} & {*which})
    singular = noun.removesuffix("s") if noun.removesuffix("s") in _FINDERS else noun
    chooser = next((_CHOOSERS[word] for word in which if word in _CHOOSERS), "")
    if plural and chooser:
        raise NotOfThisForm
    single = not (plural or all_of or chooser or singular in _MASSES)
    if singular in _FINDERS:
        tool = _FINDERS[singular].partition("(")[0]
        if tool not in request.registry:
            raise NotOfThisForm
        return Objects(singular, _FINDERS[singular], chooser, single)
    _check(noun, request)
    return Objects(noun, f'detect(image, "{noun}")', chooser, single)


def _check(noun: str, request: ImageRequest) -> None:
    """Raise `NotOfThisForm` if words name no kind of object, and `Refused` if `detect` cannot see it."""
    if "detect" not in request.registry:
        raise NotOfThisForm
    *before, head = noun.split()
    if not _NO_OBJECTS.isdisjoint((*before, head, head.removesuffix("s"))):
        raise NotOfThisForm
    if before and before[0] in NAMES:
        before = before[1:]
    nouns = {word.tag for word in tag_words(f"the {' '.join([*before, head])}")[1:]} == {"noun"}
    phrases = request.registry["detect"].sees.phrases.get("what")
    if not nouns or (phrases is None and not request.known.nouns.issuperset((*before, head))):
        raise NotOfThisForm
    if phrases is not None and not phrases.can_see(noun):
        raise Refused(phrases.refusal(noun))
