"""Edits of one image: its orientation, size, light and colours, a part of it, and objects hidden or taken out."""

from __future__ import annotations

import re

from .form import Body, Forms, ImageRequest, NotOfThisForm, literal
from .objects import WHAT, objects_of
from .sentence import IT, NUMBER

LIGHTER, DARKER = 1.3, 0.75
"""Factors of the brightness where a request does not say how much."""

# -- the programs ----------------------------------------------------------------------------------------


def edit(tool_call: str, did: str, lines: tuple[str, ...] = ()) -> Body:
    """The program of an edit of the same size, which prints what was done.

    Args:
        tool_call: Expression of the new image.
        did: What was done, as the inside of a string, with values in braces.
        lines: Lines before that.
    """
    return Body("image", "edited", (*lines, f"edited = {tool_call}", f'print({"f" * ("{" in did)}"{did}")'))


def reshape(tool_call: str, did: str, lines: tuple[str, ...] = ()) -> Body:
    """The program of an edit that changes the size, which prints both sizes too."""
    sizes = "{image.width} × {image.height} pixels, now {edited.width} × {edited.height}"
    return edit(tool_call, f"{did}: {sizes}", lines)


def _rotate(request: ImageRequest) -> Body:
    way, turn = request["before"] or request["after"], request["turn"]
    if request["before"] and request["after"]:
        raise NotOfThisForm
    if turn:
        angle = {"quarter": 90.0, "half": 180.0}[turn]
    else:
        angle = request.number("angle") if request["angle"] else 90.0
    if request["minus"]:
        if way:
            raise NotOfThisForm
        angle = -angle
    if "counter" in way or "left" in way:
        angle = -angle
    side = "counterclockwise" if angle < 0 else "clockwise"
    return reshape(f"rotate(image, {literal(angle)})", f"rotated by {literal(abs(angle))} degrees {side}")


def _upside_down(request: ImageRequest) -> Body:
    return reshape("rotate(image, 180)", "rotated by 180 degrees")


def _resize_side(request: ImageRequest) -> Body:
    side = "width" if request["wide"] else "height"
    return _resized(**{side: request.number("pixels")})


def _resize_both(request: ImageRequest) -> Body:
    return _resized(request.number("width"), request.number("height"))


def _resized(width: float | None = None, height: float | None = None) -> Body:
    if any(side is not None and side < 1 for side in (width, height)):
        raise NotOfThisForm
    given = {"width": width, "height": height}
    arguments = ", ".join(f"{side}={literal(n)}" for side, n in given.items() if n is not None)
    return reshape(f"resize(image, {arguments})", "resized")


def _resize_factor(request: ImageRequest) -> Body:
    """A factor of width and height, said as such, as a share, or as how much larger or smaller."""
    smaller = bool(request["less"] or request["shrink"])
    if request["percent"]:
        share = request.number("percent") / 100
        factor = share
        if request["by"] or request["more"] or request["less"]:  # by so much of it
            factor = 1 - share if smaller else 1 + share
    elif request["times"]:
        factor = request.number("times")
        factor = 1 / factor if smaller and factor > 1 else factor
    else:
        factor = 0.5 if request["half"] else 2.0
    if factor <= 0:
        raise NotOfThisForm
    return reshape(
        f"resize(image, width=image.width * {literal(factor)})", f"resized by a factor of {literal(factor)}"
    )


def _brighten(request: ImageRequest) -> Body:
    darker = bool(request["dark"])
    if request["percent"]:
        share = request.number("percent") / 100
        factor = 1 - share if darker else 1 + share
    elif request["times"]:
        factor = (
            1 / request.number("times") if darker and request.number("times") else request.number("times")
        )
    elif request["twice"]:
        factor = 0.5 if darker else 2.0
    elif request["half"]:
        factor = 0.5
    else:
        factor = DARKER if darker else LIGHTER
    if factor <= 0:
        raise NotOfThisForm
    return edit(f"brighten(image, {literal(factor)})", f"brightness times {literal(factor)}")


def _greyscale(request: ImageRequest) -> Body:
    return edit("grayscale(image)", "made grey")


def _square(request: ImageRequest) -> Body:
    lines = (
        "side = min(image.width, image.height)",
        "left, top = (image.width - side) // 2, (image.height - side) // 2",
    )
    return reshape(
        "crop(image, Box(left, top, left + side, top + side))", "cropped to the square in the middle", lines
    )


def _cut_off(request: ImageRequest) -> Body:
    amount, side = request.number("amount"), request["side"]
    whole = "image.width" if side in ("left", "right") else "image.height"
    if amount <= 0 or (request["unit"] == "percent" and amount >= 100):
        raise NotOfThisForm
    share = f"round({whole} * {literal(amount / 100)})"
    length = share if request["unit"] == "percent" else literal(round(amount))
    box = {
        "top": "Box(0, cut, image.width, image.height)",
        "bottom": "Box(0, 0, image.width, image.height - cut)",
        "left": "Box(cut, 0, image.width, image.height)",
        "right": "Box(0, 0, image.width - cut, image.height)",
    }[side]
    lines = (
        f"cut = {length}",
        f"if cut >= {whole}:",
        '    raise NothingFound("nothing of the image would be left")',
    )
    return reshape(f"crop(image, {box})", f"{{cut}} pixels cut off ({side})", lines)


def _crop_to(request: ImageRequest) -> Body:
    objects = objects_of(request)
    if not objects.chooser:
        raise NotOfThisForm
    return Body("image", f"crop(image, {objects.chooser}({objects.found}))")


def _hide(request: ImageRequest) -> Body:
    objects = objects_of(request)
    if objects.single or objects.chooser or objects.found.startswith("detect"):
        raise NotOfThisForm
    style = {"blur": "blur", "pixelate": "pixelate", "pixellate": "pixelate"}[request["style"]]
    return Body("image", f'cover(image, {objects.found}, "{style}")')


def _remove(request: ImageRequest) -> Body:
    objects = objects_of(request)
    if not request["which"] and not objects.found.startswith("find"):
        raise NotOfThisForm
    return edit("remove(image, found)", f"{objects.noun} removed ({{len(found)}} found)", objects.lines)


# -- the forms -------------------------------------------------------------------------------------------

_WAY = r"(?:(?:to the )?(?:left|right)|clockwise|counterclockwise)"
_ANGLE = rf"(?:(?P<minus>-|minus ?)?(?P<angle>{NUMBER})(?: ?degrees?)?)"
_TURN = r"(?:an? (?P<turn>quarter|half)(?: turn)?)"
_SCALE = r"(?:resize|rescale|scale|shrink|enlarge|reduce|upscale|downscale)"
_RESIZE = rf"(?:{_SCALE}|change|set|make|get|have)"
_SIZE_OF = r"(?:the size of )?"
_SHRINK = r"(?P<shrink>shrink|reduce|downscale)"
_GROW = r"(?:enlarge|upscale|increase)"
_TO = r"(?:down |up )?(?:to |be |at )?"
_SIDE = r"(?:(?P<wide>wide|in width|across|width)|(?P<high>high|tall|in height|height))"
_KEEPING = (
    r"(?: (?:and |while |with )?(?:keep|preserve|maintain|keeping|preserving|maintaining) (?:the |its )?"
    r"(?:proportions?|aspect ratio))?"
)
_LENGTH = rf"(?P<pixels>{NUMBER})(?: pixels)?{_KEEPING}"
_WIDTH_OR_HEIGHT = r"(?:(?P<wide>width)|(?P<high>height))"
_PERCENT = rf"(?P<percent>{NUMBER}) percent"
_TIMES = rf"(?P<times>{NUMBER})"
_LIGHT = r"(?:brighter|lighter|(?P<dark>darker))"
_GREY = r"(?:greyscale|grey)(?: (?:image|version|tones?|shades?))?"
_SIDES = r"(?P<side>top|bottom|left|right)(?: side| edge)?"
_AMOUNT = rf"(?P<amount>{NUMBER}) (?P<unit>pixels|percent)"
_OF_IT = rf"(?: (?:of|in|from|on) {IT})?"

FORMS: Forms = {
    _rotate: (
        rf"(?:rotate|turn|spin)(?: {IT})?(?: (?P<before>{_WAY}))?(?: by)? (?:{_ANGLE}|{_TURN})(?: (?P<after>{_WAY}))?",
        rf"(?:rotate|turn) {IT} (?P<before>{_WAY})",
        rf"give {IT} {_TURN}(?: (?P<after>{_WAY}))?",
    ),
    _upside_down: (rf"(?:rotate|turn|flip|put) {IT} (?:upside down|on its head)",),
    _resize_side: (
        rf"{_RESIZE} {IT} (?:smaller |larger |bigger )?{_TO}(?P<pixels>{NUMBER}) pixels {_SIDE}{_KEEPING}",
        rf"{_SCALE} {_TO}(?P<pixels>{NUMBER}) pixels {_SIDE}{_KEEPING}",
        rf"{_RESIZE} {IT} (?:down |up )?(?:to|with|have) an? (?:new )?{_WIDTH_OR_HEIGHT} of {_LENGTH}",
        rf"(?:set|change) the {_WIDTH_OR_HEIGHT}(?: of {IT})? to {_LENGTH}",
    ),
    _resize_both: (
        rf"{_RESIZE} {_SIZE_OF}{IT} {_TO}(?:a size of )?(?P<width>{NUMBER}) by (?P<height>{NUMBER})(?: pixels)?",
        rf"{_SCALE} (?:to )?(?P<width>{NUMBER}) by (?P<height>{NUMBER})(?: pixels)?",
    ),
    _resize_factor: (
        rf"{_SCALE}(?: {_SIZE_OF}{IT})? (?:down |up )?to {_PERCENT}(?: of (?:its|the) (?:original )?size)?",
        rf"{_SCALE} {_SIZE_OF}{IT} to (?P<half>half)(?: (?:of )?(?:its|the) (?:original )?size)?",
        rf"(?:{_SHRINK}|{_GROW}) {_SIZE_OF}{IT} (?P<by>by) {_PERCENT}",
        rf"(?:resize|rescale|scale|{_SHRINK}|{_GROW}) {_SIZE_OF}{IT} (?:up |(?P<less>down) )?by a factor of {_TIMES}",
        rf"make {IT} {_PERCENT} (?:(?P<more>larger|bigger)|(?P<less>smaller))",
        rf"make {IT} (?:(?P<more>larger|bigger)|(?P<less>smaller)) by {_PERCENT}",
        rf"(?:(?P<half>halve)|double) {_SIZE_OF}{IT}",
        rf"make {IT} (?:(?P<half>half)|twice|{_TIMES} times) (?:as (?:large|big)|(?:the|its) size)",
        rf"make {IT} {_TIMES} times (?:larger|bigger)",
        rf"make {IT} (?P<half>(?:smaller by half|half size))",
    ),
    _brighten: (
        rf"make {IT} (?:{_PERCENT} )?{_LIGHT}",
        rf"make {IT} {_LIGHT} by {_PERCENT}",
        rf"(?:brighten|lighten|(?P<dark>darken))(?: up)? {IT}(?: up)?(?: by {_PERCENT})?",
        rf"(?:increase|raise|(?P<dark>decrease|reduce|lower)) the brightness{_OF_IT}(?: by {_PERCENT})?",
        rf"make {IT} (?:(?P<half>half)|(?P<twice>twice)|{_TIMES} times) as (?:bright|light)",
        rf"make {IT} (?:(?P<twice>twice)|{_TIMES} times) as (?P<dark>dark)",
    ),
    _greyscale: (
        rf"(?:convert|turn|change|transform|make|put|show|set|render)(?: {IT}| everything)? (?:in ?to|to|in|as) "
        rf"(?:an? )?{_GREY}",
        rf"(?:make|turn) (?:{IT}|everything) {_GREY}",
        rf"(?:desaturate|greyscale) {IT}",
        r"greyscale",
        rf"(?:remove|take|drop) (?:all )?(?:the )?colou?rs? (?:from|of|out of) {IT}",
        rf"(?:(?:make|create|i want|i need|i would like|give me) )?an? greyscale (?:version|copy|image) of {IT}",
    ),
    _square: (
        rf"(?:crop|cut|trim)(?: {IT})? (?:in)?to (?:a )?square(?: format)?",
        rf"make {IT} (?:a )?square by cropping(?: it)?",
    ),
    _cut_off: (
        rf"(?:cut|crop|trim|chop) (?:off|away) (?:the )?{_SIDES}(?: by)? {_AMOUNT}{_OF_IT}",
        rf"trim the {_SIDES}{_OF_IT} by {_AMOUNT}",
        rf"(?:cut|crop|trim|chop) (?:off )?{_AMOUNT} (?:off|from|away from|off of)(?: the)? {_SIDES}{_OF_IT}",
    ),
    _crop_to: (rf"crop(?: {IT})? (?:down )?to {WHAT}",),
    _hide: (rf"(?P<style>blur|pixell?ate)(?: out)? {WHAT}{_OF_IT}",),
    _remove: (
        rf"(?:remove|erase|delete|take out|get rid of|retouch away) {WHAT}(?: (?:from|in|of|on|out of) {IT})?",
    ),
}  # fmt: skip
"""What builds a program → the sentences for it."""

JOINT = re.compile(r" and then | then | and ")
"""Between edits that follow each other."""
