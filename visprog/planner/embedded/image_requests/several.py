"""Several images: which is sharper or brighter, what differs between two, how alike they are, and collages."""

from __future__ import annotations

from ..support.question import ORDINALS
from .form import Body, Forms, ImageRequest, NotOfThisForm, literal, nothing
from .sentence import THEM

MARGIN = {"sharpness": 0.1, "brightness": 3.0}
"""Difference of a measure below which two images are too close to call. A blur of 1 pixel takes about 0.12 from the
sharpness of a photograph."""

COPY, NO_COPY = 0.8, 0.75
"""Likeness from which `similar` finds an image to be a copy, and up to which it is another image."""

_DIGITS = {"sharpness": ".2f", "brightness": ".1f"}

MIN_LEAD = 0.05
"""Difference of likeness between the image most like another and the next."""

# -- the programs ----------------------------------------------------------------------------------------


def _which(request: ImageRequest) -> Body:
    """The number of the image with the most, or the least, of a measure."""
    _counted(request)
    if request["two"] and request.images != 2:
        raise NotOfThisForm
    tool, most = _measure(request)
    lines = (
        *_measured(tool),
        f"ordered = sorted(values{', reverse=True' if most else ''})",
        f"if abs(ordered[0] - ordered[1]) < {literal(MARGIN[tool])}:",
        _close(tool, "ordered[0]", "ordered[1]"),
    )
    return Body("int", "values.index(ordered[0]) + 1", lines)


def _is_more(request: ImageRequest) -> Body:
    """Whether an image has more of a measure than another."""
    one, other = _pair(request)
    tool, most = _measure(request)
    lines = (
        *_measured(tool),
        f"one, other = values[{one - 1}], values[{other - 1}]",
        f"if abs(one - other) < {literal(MARGIN[tool])}:",
        _close(tool, "one", "other"),
    )
    return Body("bool", f"one {'>' if most else '<'} other", lines)


def _compared(request: ImageRequest, said: str, order: str = "images[0], images[1]") -> tuple[str, str]:
    """The lines that find the differences of two images, and print how many there are."""
    _two(request)
    return f"found = compare_images({order})", f'print(f"{said}: {{len(found)}}")'


def _differences(request: ImageRequest) -> Body:
    return Body("regions", "found", _compared(request, "places in image 1 that differ, the largest first"))


def _differ(request: ImageRequest) -> Body:
    said = "places that differ, but for noise, a small shift and the light"
    return Body("bool", "len(found) > 0", _compared(request, said))


def _count_differences(request: ImageRequest) -> Body:
    _two(request)
    return Body("int", "len(compare_images(images[0], images[1]))")


def _show_differences(request: ImageRequest) -> Body:
    said = "places in image 2 that differ from image 1"
    return Body("image", "annotate(images[1], found)", _compared(request, said, "images[1], images[0]"))


def _is_copy(request: ImageRequest) -> Body:
    _two(request)
    lines = (
        *_likeness(),
        f"if {NO_COPY} < likeness < {COPY}:",
        nothing(f"too close to call: a likeness of {{likeness:.2f}}, and a copy has at least {COPY}"),
    )
    value = f"likeness <= {NO_COPY}" if request["differ"] else f"likeness >= {COPY}"
    return Body("bool", value, lines)


def _is_identical(request: ImageRequest) -> Body:
    _two(request)
    lines = (
        *_likeness(),
        f"if likeness <= {NO_COPY} or images[0].width != images[1].width or images[0].height != images[1].height:",
        "    return False",
        "found = compare_images(images[0], images[1])",
        'print(f"places that differ, but for noise, a small shift and the light: {len(found)}")',
    )
    return Body("bool", "not found", lines)


def _likeness_of_two(request: ImageRequest) -> Body:
    _two(request)
    return Body("float", "likeness", _likeness())


def _most_like(request: ImageRequest) -> Body:
    one = _number(request, "one")
    if request.images < 3 or not 1 <= one <= request.images:
        raise NotOfThisForm
    lines = (
        f"others = [i for i in range(len(images)) if i != {one - 1}]",
        f"values = similar(images[{one - 1}], [images[i] for i in others])",
        'print("likeness, 0 to 1: " + ", ".join(f"image {i + 1} {v:.2f}" for i, v in zip(others, values)))',
        "ordered = sorted(values, reverse=True)",
        f"if ordered[0] - ordered[1] < {MIN_LEAD}:",
        nothing("too close to call: likeness {ordered[0]:.2f} and {ordered[1]:.2f}"),
    )
    return Body("int", "others[values.index(ordered[0])] + 1", lines)


def _row(request: ImageRequest) -> Body:
    _counted(request)
    return _collage(request.images)


def _column(request: ImageRequest) -> Body:
    _counted(request)
    return _collage(1)


def _grid(request: ImageRequest) -> Body:
    _counted(request)
    columns = int(request.number("columns")) if request["columns"] else None
    if columns is not None and not 1 <= columns <= request.images:
        raise NotOfThisForm
    return _collage(columns)


def _collage(columns: int | None) -> Body:
    call = "collage(images)" if columns is None else f"collage(images, {columns})"
    lines = (
        f"made = {call}",
        'print(f"a collage of {len(images)} images: {made.width} × {made.height} pixels")',
    )
    return Body("image", "made", lines)


def _measured(tool: str) -> tuple[str, str]:
    scale, digits = "0 to 1" if tool == "sharpness" else "0 to 100", _DIGITS[tool]
    return (
        f"values = [{tool}(image) for image in images]",
        f'print("{tool}, {scale}: " + ", ".join(f"image {{i}} {{v:{digits}}}" for i, v in enumerate(values, 1)))',
    )


def _close(tool: str, one: str, other: str) -> str:
    digits = _DIGITS[tool]
    return nothing(f"too close to call: a {tool} of {{{one}:{digits}}} and {{{other}:{digits}}}")


def _likeness() -> tuple[str, str]:
    return (
        "likeness = similar(images[0], [images[1]])[0]",
        f'print(f"likeness {{likeness:.2f}} of 1: a copy from {COPY}, another image up to {NO_COPY}")',
    )


def _measure(request: ImageRequest) -> tuple[str, bool]:
    """The tool that measures what a comparison is about, and whether the most of it is asked for."""
    if request["light"] or request["dark"]:
        return "brightness", not request["dark"]
    return "sharpness", not request["blurred"]


def _pair(request: ImageRequest) -> tuple[int, int]:
    """The numbers of the two images that a comparison names; "the other" is that of two."""
    one, other = _number(request, "one"), _number(request, "other")
    if not other and request.images == 2:
        other = 3 - one
    if one == other or not 1 <= one <= request.images or not 1 <= other <= request.images:
        raise NotOfThisForm
    return one, other


def _number(request: ImageRequest, group: str) -> int:
    """The number of an image that a group, or its sibling for digits, names; 0 if it names none."""
    return ORDINALS.get(request[group]) or int(request[f"{group}_number"] or 0)


def _two(request: ImageRequest) -> None:
    """Raise `NotOfThisForm` unless there are two images, and the request names no other."""
    _counted(request)
    if request.images != 2:
        raise NotOfThisForm
    if _number(request, "one"):
        _pair(request)


def _counted(request: ImageRequest) -> None:
    """Raise `NotOfThisForm` if the request says another number of images than are given."""
    if request["count"] and int(request["count"]) != request.images:
        raise NotOfThisForm


# -- the forms -------------------------------------------------------------------------------------------

_LIGHTER = r"(?:(?P<light>brighter|lighter)|(?P<dark>darker))"
_LESS_SHARP = r"(?P<blurred>blurrier|more (?:blurry|blurred|out of focus)|less sharp)"
_MORE = (
    rf"(?:sharper|(?:more|better) in focus|in better focus|less (?:blurry|blurred)|{_LIGHTER}|{_LESS_SHARP})"
)
_LIGHTEST = r"(?:(?P<light>brightest|lightest)|(?P<dark>darkest))"
_LEAST_SHARP = r"(?P<blurred>blurriest|most (?:blurry|blurred)|least sharp)"
_MOST = rf"(?:sharpest|(?:most|best) in focus|least (?:blurry|blurred)|{_LIGHTEST}|{_LEAST_SHARP})"
_WHICH = rf"(?:which|what)(?: one| image)?(?: of {THEM})?"
_NTH = r"first|second|third|fourth"
_FIRST = rf"(?:(?:the )?(?P<one>{_NTH})(?: one| image)?|image (?P<one_number>\d))"
_OTHER = rf"(?:(?:the )?(?:(?P<other>{_NTH})|other)(?: one| image)?|image (?P<other_number>\d))"
_BETWEEN = (
    rf"(?: (?:of|in|between|from|on|among) {THEM}"
    r"| (?:from|between) the first(?: image)? (?:to|and) the second(?: image)?)?"
)
_CHANGED = r"(?:has changed|did change|changed|is different|differs)"
_PUT = r"(?:put|place|show|arrange|lay|lay out|see|view|show me|combine|join|set|display|line up|stitch)"
_EACH_OTHER = r"(?:each other|one another|the other)"
_IN_A = r"(?:in ?to|in) (?:a|one) (?:single )?"
_ROW = rf"(?:side by side|(?:next to|beside) {_EACH_OTHER}|{_IN_A}(?:row|line)|horizontally)"
_COLUMN = rf"(?:vertically|(?:one )?(?:above|below|under|on top of) {_EACH_OTHER}|{_IN_A}column)"
_GRID = r"(?:collage|grid|contact sheet|montage)"
_COLUMNS = r"(?: (?:with|of|in|and) (?P<columns>\d+) columns?)?"

FORMS: Forms = {
    _which: (
        rf"{_WHICH} (?:is|looks) (?:the )?(?P<two>{_MORE})",
        rf"{_WHICH} (?:is|looks) (?:the )?{_MOST}",
        rf"{_WHICH} (?:is|looks) (?P<two>{_MORE}) (?:the )?first(?: one| image)? or (?:the )?second(?: one| image)?",
        rf"(?:find|show me|choose|pick) the {_MOST} (?:one|image)(?: (?:of|among) {THEM})?",
    ),
    _is_more: (rf"is {_FIRST} {_MORE} than {_OTHER}",),
    _differences: (
        rf"(?:(?:find|spot|see|tell me|show me|say) )?what {_CHANGED}{_BETWEEN}",
        rf"what (?:is|are) the (?:differences?|changes?){_BETWEEN}",
        rf"(?:find|spot|list|search for|locate|see) (?:all )?(?:the |any )?(?:differences?|changes?){_BETWEEN}",
        rf"where do {THEM} differ",
    ),
    _differ: (
        rf"(?:is|are) there (?:any |an? )?(?:differences?|changes?){_BETWEEN}",
        rf"is there anything different{_BETWEEN}",
        rf"do {THEM} differ",
        rf"have {THEM} anything different",
        rf"(?:has anything changed|did anything change){_BETWEEN}",
    ),
    _count_differences: (
        rf"how many (?:differences|changes) (?:are|can you see|do you see)(?: there)?{_BETWEEN}",
        rf"how many (?:things|places|parts) (?:have |are )?(?:changed|different|differ){_BETWEEN}",
        rf"count the (?:differences|changes){_BETWEEN}",
    ),
    _show_differences: (
        rf"(?:mark|highlight|outline|draw)(?: all)? the (?:differences?|changes?){_BETWEEN}",
        rf"show(?: me)?(?: all)? the (?:differences?|changes?){_BETWEEN}",
        rf"(?:mark|highlight|outline) what {_CHANGED}{_BETWEEN}",
    ),
    _is_identical: (
        rf"are {THEM} (?:identical|exactly the same)",
        rf"is {_FIRST} (?:identical to|exactly the same as) {_OTHER}",
    ),
    _is_copy: (
        rf"are {THEM} (?:the same(?: image)?|copies(?: of {_EACH_OTHER})?|duplicates?|(?P<differ>different images))",
        rf"is {_FIRST} an? (?:copy|duplicate) of {_OTHER}",
        rf"do {THEM} show the same image",
        r"same image(?: or not)?",
    ),
    _likeness_of_two: (
        rf"how (?:similar|alike) are {THEM}",
        rf"how similar is {_FIRST} to {_OTHER}",
        rf"what is the similarity (?:of|between) {THEM}",
    ),
    _most_like: (
        rf"{_WHICH} (?:is|looks) (?:the )?most (?:similar to|like|alike to) {_FIRST}",
    ),
    _row: (
        rf"(?:{_PUT}|compare) {THEM} {_ROW}",
        rf"(?:make|create) (?:a|one) row (?:of|from|with) {THEM}",
    ),
    _column: (
        rf"(?:{_PUT}|stack) {THEM} {_COLUMN}",
        r"(?:put|place) one(?: image)? (?:above|below|under|on top of) the other(?: one| image)?",
        rf"stack {THEM}",
    ),
    _grid: (
        rf"(?:make|create|build) (?:an? )?{_GRID}(?: (?:of|from|out of|with) {THEM})?{_COLUMNS}",
        rf"{_PUT} {THEM} (?:in ?to|in|as) (?:an? |one )?{_GRID}{_COLUMNS}",
        rf"collage {THEM}",
    ),
}  # fmt: skip
"""What builds a program → the sentences for it."""
