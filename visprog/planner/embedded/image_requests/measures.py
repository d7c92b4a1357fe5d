"""Measures of one image: its size, sharpness, brightness, main colour, and how much of it objects cover."""

from __future__ import annotations

from .form import Body, Forms, ImageRequest, NotOfThisForm, literal, nothing
from .objects import WHAT, objects_of
from .sentence import IT, NUMBER, THE_IMAGE

BLURRED, SHARP = 0.45, 0.65
"""Sharpness below which an image is blurred, and from which it is sharp; between them it is not decided.

Of 146 photographs (docs/measured.md), 99 % are above the first as they are, and all are below it if they are blurred by
3 pixels; 70 % reach the second as they are, and none if it is blurred by 2 pixels.
"""

DARK, NOT_DARK = 30, 40
"""Brightness below which an image is dark, and above which it is not."""

NOT_BRIGHT, BRIGHT = 55, 65
"""Brightness below which an image is not bright, and above which it is. Half of 146 photographs have 39 to 52."""

# -- the programs ----------------------------------------------------------------------------------------

_SHARPNESS = (
    "value = sharpness(image)",
    f'print(f"sharpness {{value:.2f}} of 1: blurred below {BLURRED}, sharp from {SHARP}")',
)
_BRIGHTNESS = (
    "value = brightness(image)",
    f'print(f"brightness {{value:.0f}}, from 0 (black) to 100 (white): dark below {DARK}, bright above {BRIGHT}")',
)
_DECIDED = (
    *_SHARPNESS,
    "if value == 0:",
    '    raise NothingFound("the image has no edges by which to judge whether it is sharp")',
    f"if {BLURRED} <= value < {SHARP}:",
    nothing(f"its sharpness of {{value:.2f}} is neither blurred (below {BLURRED}) nor sharp (from {SHARP})"),
)


def _sharpness(request: ImageRequest) -> Body:
    return Body("float", "value", _SHARPNESS)


def _brightness(request: ImageRequest) -> Body:
    return Body("float", "value", _BRIGHTNESS)


def _is_blurred(request: ImageRequest) -> Body:
    sharp = bool(request["sharp"]) != bool(request["not"])
    return Body("bool", f"value >= {SHARP}" if sharp else f"value < {BLURRED}", _DECIDED)


def _blurred_or_sharp(request: ImageRequest) -> Body:
    blurred = request["blurred"] or request["blurred_"]
    sharp = request["sharp"] or request["sharp_"]
    return Body("str", f'"{sharp}" if value >= {SHARP} else "{blurred}"', _DECIDED)


def _is_dark(request: ImageRequest) -> Body:
    low, high = (DARK, NOT_DARK) if request["dark"] else (NOT_BRIGHT, BRIGHT)
    word = "dark" if request["dark"] else "bright"
    lines = (
        *_BRIGHTNESS,
        f"if {low} <= value <= {high}:",
        nothing(
            f"its brightness of {{value:.0f}} is too close to call: {low} to {high} may be {word} or not"
        ),
    )
    return Body("bool", f"value < {low}" if request["dark"] else f"value > {high}", lines)


def _size(request: ImageRequest) -> Body:
    lines = ('print("width and height, in pixels")',)
    return Body("size", "[image.width, image.height]", lines)


def _width(request: ImageRequest) -> Body:
    side = "width" if request["wide"] else "height"
    return Body("int", f"image.{side}")


def _is_wider(request: ImageRequest) -> Body:
    """Whether a side is longer, or shorter, than a length."""
    side = "width" if request["wide"] else "height"
    operator = ">=" if request["least"] else "<=" if request["most"] else "<"
    if request["more"] or (request["wide"] == "wider"):
        operator = ">"
    return Body("bool", f"image.{side} {operator} {literal(request.number('length'))}")


def _pixels(request: ImageRequest) -> Body:
    return Body("int", "image.width * image.height")


def _megapixels(request: ImageRequest) -> Body:
    lines = ('print("in millions of pixels")',)
    return Body("float", "round(image.width * image.height / 1000000, 2)", lines)


def _main_color(request: ImageRequest) -> Body:
    return Body("str", "dominant_color(image)")


def _share(request: ImageRequest) -> Body:
    if request["which"].strip() not in ("", "the", "all", "all the", "all of the"):
        raise NotOfThisForm
    objects = objects_of(request)
    by_phrase = objects.found.startswith("detect")
    what = f'"{objects.noun}"' if by_phrase else objects.found
    lines = (
        f"share = area_share(image, {what})",
        f'print("in percent of the area, by the {"outlines" if by_phrase else "boxes"} of what is found")',
    )
    return Body("float", "100 * share", lines)


# -- the forms -------------------------------------------------------------------------------------------

_BLURRED = r"(?:blurry|blurred|out of focus|unsharp|fuzzy)"
_SHARP = r"(?:sharp|in focus|crisp)"
_SURE = r"(?: or (?:not|ok|okay|fine))?"
_IS = rf"(?:is {IT}|does {IT} look|did {IT} (?:turn|come) out)"
_THE = r"(?:(?:what|which) (?:is|are) )?(?:the )?"
"""Before a measure that is named, as in a question of few words."""
_SIZE = r"(?:(?:pixel |image )?(?:size|dimensions?|resolution)|width and (?:the )?height|height and (?:the )?width)"
_IS_IMAGE = rf"(?:is {THE_IMAGE}|does {THE_IMAGE} look|did {THE_IMAGE} (?:turn|come) out)"
_PIXELS = r" (?:in|measured in) pixels"
_IN_PIXELS = rf"(?:{_PIXELS})?"
_PORTION = r"(?:percentage|percent|share|part|fraction|proportion|portion)"
_COVERED = r"(?:covered|taken up|filled|occupied|made up)"
_COVER = r"(?:cover|take up|fill|occupy|make up)"

FORMS: Forms = {
    _sharpness: (
        rf"how (?:sharp|crisp) is {THE_IMAGE}",
        rf"how (?:blurry|blurred) is {IT}",
        rf"{_THE}(?:sharpness|blurriness) of {IT}",
        r"what is the (?:sharpness|blurriness)",
        rf"(?:measure|rate) the sharpness(?: of {IT})?",
    ),
    _is_blurred: (
        rf"{_IS} (?P<not>not )?(?:(?:too )?{_BLURRED}|(?P<sharp>in focus)){_SURE}",
        rf"{_IS_IMAGE} (?P<not>not )?(?P<sharp>{_SHARP}){_SURE}",
        rf"is {IT} an? (?:{_BLURRED}|(?P<sharp>{_SHARP})) (?:image|one){_SURE}",
        rf"{_BLURRED} or not",
    ),
    _blurred_or_sharp: (
        rf"{_IS} (?:(?P<blurred>{_BLURRED}) or (?P<sharp>{_SHARP})|(?P<sharp_>{_SHARP}) or (?P<blurred_>{_BLURRED}))",
    ),
    _brightness: (
        rf"how (?:bright|dark) is {IT}",
        rf"how light is {THE_IMAGE}",
        rf"{_THE}(?:(?:mean|average|overall) )?brightness of {IT}",
        r"what is the brightness",
        rf"(?:measure|rate) the brightness(?: of {IT})?",
    ),
    _is_dark: (
        rf"{_IS} (?:(?:too|very) )?(?:(?P<dark>dark)|bright){_SURE}",
        rf"is {IT} an? (?:(?P<dark>dark)|bright) (?:image|one){_SURE}",
    ),
    _size: (
        rf"{_THE}{_SIZE} of (?:{THE_IMAGE}{_IN_PIXELS}|{IT}{_PIXELS})",
        rf"(?:what (?:is|are) )?(?:the )?(?:image|pixel) (?:size|dimensions?|resolution){_IN_PIXELS}",
        rf"what (?:is|are) the {_SIZE}{_PIXELS}",
        r"what is the resolution",
        rf"(?:what|which) {_SIZE} (?:is|are|does|has) {THE_IMAGE}(?: have| has| got)?{_IN_PIXELS}",
        rf"how (?:large|big) is (?:{THE_IMAGE}{_IN_PIXELS}|{IT}{_PIXELS})",
    ),
    _width: (
        rf"how (?:(?P<wide>wide)|high|tall) is {THE_IMAGE}{_IN_PIXELS}",
        rf"how (?:(?P<wide>wide)|high|tall) is {IT}{_PIXELS}",
        rf"how many pixels (?:(?P<wide>wide)|high|tall) is {IT}",
        rf"how many pixels is {IT} (?:(?P<wide>wide)|high|tall)",
        rf"{_THE}(?:(?P<wide>width)|height) of {THE_IMAGE}{_IN_PIXELS}",
        rf"what is the (?:(?P<wide>width)|height)(?: of {IT})?{_PIXELS}",
    ),
    _is_wider: (
        rf"is {IT} (?:(?P<more>more)|less|at (?P<least>least)|at (?P<most>most)) (?:than )?(?P<length>{NUMBER}) pixels "
        r"(?:(?P<wide>wide)|high|tall)",
        rf"is {IT} (?:(?P<wide>wider)|(?P<more>higher|taller)) than (?P<length>{NUMBER}) pixels",
    ),
    _pixels: (
        rf"how many pixels (?:does {IT} have|has {IT}(?: got)?|are (?:there )?in {IT})(?: in total| altogether)?",
        rf"what is the (?:total )?number of pixels(?: (?:of|in) {IT})?",
    ),
    _megapixels: (
        rf"how many megapixels (?:does {IT} have|has {IT}(?: got)?|is {IT}|are (?:there )?in {IT})",
    ),
    _main_color: (
        rf"{_THE}(?:main|dominant|predominant|prevailing|most common) colou?r (?:of|in) {IT}",
        r"what is the (?:main|dominant|predominant|prevailing|most common) colou?r",
        rf"(?:what|which) colou?r (?:dominates|prevails)(?: in)? {IT}",
    ),
    _share: (
        rf"(?:what|which|how many) {_PORTION} of {IT} (?:is|are) (?:{_COVERED} (?:by|with|up by) )?{WHAT}",
        rf"(?:what|which|how many) {_PORTION} of {IT} (?:do|does) {WHAT} {_COVER}",
        rf"how much of {IT} (?:is|are) {_COVERED} (?:by|with) {WHAT}",
        rf"how much of {IT} (?:do|does) {WHAT} {_COVER}",
    ),
}  # fmt: skip
"""What builds a program → the sentences for it."""
