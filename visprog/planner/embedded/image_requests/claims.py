"""Requests that nothing but the forms of this package could answer: where none fits, they are refused."""

from __future__ import annotations

import re

from .documents import LABELS
from .sentence import IT

_EXCEPT = r"(?!.*\b(?:except|but|only|apart|besides|rest|everything|keep|leave|leaving)\b)"
"""Edits of a part of an image have programs of their own."""

_FILE = "the size, format, name and date of a file are not seen in its image"
_REAL = "real sizes are seen in no image without an object of known size, see the tool measure"
_BARCODE = "known is 'Read the barcode'"

REFUSALS: dict[str, str] = {
    r".*\b(?:file ?size|size of (?:the|this|my) file|file ?(?:format|name|type)|(?:kilo|mega)?bytes?|kb|mb)\b.*": _FILE,
    r"(?:when|by whom|where) was (?:it|this|that|(?:the|this|that|my) image) (?:taken|made|shot)": _FILE,
    r"(?:which|what) (?:camera|lens|phone) (?:took|made|shot|was used)\b.*": _FILE,
    rf"what (?:is|are) the (?:size|width|height|dimensions?|length|depth|weight) of (?!{IT}\b).*": _REAL,
    r".*\bin (?:centimet(?:er|re)s?|met(?:er|re)s?|millimet(?:er|re)s?|inches|feet|cm|mm|m|km)": _REAL,
    rf"{_EXCEPT}(?:rotate|spin) .*": "known is, for example, 'Rotate it by 90 degrees'",
    rf"{_EXCEPT}(?:resize|rescale|scale|upscale|downscale|shrink|enlarge) .*": (
        "known is, for example, 'Make it 800 pixels wide'"
    ),
    rf"{_EXCEPT}(?:brighten|darken|lighten) .*": "known is, for example, 'Brighten it by 20 percent'",
    rf"{_EXCEPT}(?:make|turn|convert|change|transform|render|reduce) {IT}\b.*": (
        "known is, for example, 'Make it 800 pixels wide', 'Make it brighter' and 'Convert it to black and white'"
    ),
    r"(?:read|scan|decode|what (?:does|is|are|do|number|code|digits?))\b.*\bbarcodes?\b.*": _BARCODE,
    r"(?:read|give me|show me|extract|transcribe|copy)(?: out)? (?:the|this) table\b.*": "known is 'Read the table'",
    r".*\bbarcode (?:number|digits?|content)\b.*": _BARCODE,
    r"how many (?:mega)?pixels\b.*": "known is 'How many pixels does the image have?'",
    rf"(?:(?:what|which|how much) (?:is|was) )?(?:the )?(?:\w+ )?(?:{LABELS}) (?:on|of|in) (?:the|this|that|my|a) "
    r"(?:\w+ )?(?:receipt|bill|invoice)\b.*": (
        "known is, for example, 'What is the total on this receipt?'"
    ),
    r"(?:read|extract|transcribe) (?:the |all )?(?:\w+ )?(?:rows?|columns?|cells?) (?:of|in|from) .*\btable\b.*": (
        "known is 'Read the table'"
    ),
    rf"(?:what|which) (?:percentage|percent|share|part|fraction|proportion|portion) of {IT} .*|how much of {IT} .*": (
        "known is, for example, 'What percentage of the image is covered by faces?'"
    ),
}  # fmt: skip
"""Such a request → why it is refused."""

_PATTERNS = [(re.compile(pattern), why) for pattern, why in REFUSALS.items()]


def claimed(text: str) -> str:
    """Why a request without a form is refused; "" if another reader may answer it."""
    return next((why for pattern, why in _PATTERNS if pattern.fullmatch(text)), "")
