"""Words and phrases of questions about videos, as regular expressions."""

from __future__ import annotations

from ....values.colors import NAMES
from ..support.question import NUMBERS, ORDINALS

PERSONS = frozenset(("anyone", "anybody", "someone", "somebody", "people", "persons"))
WALKERS = frozenset(
    "person pedestrian human man woman boy girl child kid dog cat puppy kitten animal creature pet horse cow sheep "
    "elephant bear zebra giraffe bird".split()
)
"""What walks; all else drives."""
COMPOUNDS = frozenset(("hot dog", "potted plant", "stuffed bear"))
"""Names of objects that begin with an adjective."""
NO_OBJECTS = frozenset(
    "thing object item something anything everything stuff second minute hour time moment frame scene shot video clip "
    "film kind type sort colour color half left right top bottom upper lower front back middle side last only "
    "next".split()
) | {*NUMBERS, *ORDINALS}
"""Words that no name of a kind of object has."""

WHAT = r"(?P<what>[a-z]+(?:[ -][a-z]+){0,3}?)"
SOMEONE = r"(?P<what>anyone|anybody|someone|somebody)"
SOME = r"(?:an?|any|some|at least one)"
PLACES = {word: n for word, n in ORDINALS.items() if word.isalpha()}
ONE = rf"the (?:(?P<place>{'|'.join(PLACES)}|last|only) )?{WHAT}"
COUNT = rf"\d{{1,4}}|{'|'.join(NUMBERS)}"
VIDEO = "(?:video|clip|film|movie|recording|footage)"
SEEN = "(?:visible|seen|shown|to be seen)"
VISIBLE = rf"(?:{SEEN}|in view|in sight|on (?:the )?screen)"
IN_VIEW = rf"(?:{VISIBLE}|in the (?:picture|frame))"
HOW_LONG = "(?:for )?how (?:long|many seconds)"
AT_ONCE = "(?:at once|at the same time|at one time|simultaneously)"
AUXILIARY = "(?:(?:are|is|were|was|have|has|did|does|do) )?"
PASS, COME, GO = "pass(?:es|ed|ing)?", "(?:comes?|came|coming)", "(?:go|goes|went|gone|going)"
DRIVE, WALK = "(?P<drive>drives?|drove|driven|driving)", "(?P<walk>walk(?:s|ed|ing)?)"
APPEAR = (
    rf"(?:appear(?:s|ed)?|(?:show|shows|showed) up|arrive[sd]?|{COME} into (?:view|sight|the picture|the frame)"
    "|enter(?:s|ed)? the (?:picture|frame))"
)
LEAVE = rf"(?:(?:leaves?|left)(?: the (?:picture|frame))?|disappear(?:s|ed)?|{GO} out of (?:view|sight))"
BY = rf"(?:{PASS}(?: by| past| through)?|{APPEAR}|(?:{COME}|{GO}|{DRIVE}|{WALK}) (?:by|past)|{COME} along)"
OF_PICTURE = rf"(?: of the (?:picture|frame|image|screen|view|{VIDEO}))?"
WAYS = {
    "down": ("top", "bottom"),
    "up": ("bottom", "top"),
    "right": ("left", "right"),
    "left": ("right", "left"),
}
ACROSS = "|".join(
    f"(?P<{way}>(?:from )?(?:the )?{a} to (?:the )?{b}{OF_PICTURE})" for way, (a, b) in WAYS.items()
)
TOWARDS = "(?P<towards>down|downwards?|up|upwards?|(?:(?:to|towards) the )?(?:left|right))"
QUANTITY = (
    "(?:(?:(?P<none>no|zero)|(?:(?P<compared>fewer than|less than|more than|greater than|at least|at most|no more than"
    rf"|no fewer than|no less than|exactly|just|only) )?(?P<number>{COUNT})(?P<beyond> or more| or fewer| or less)?"
    "|an?|any|some) )?"
)
MORE, FEWER = "(?P<more>more)", "(?P<fewer>fewer|less)"
OPERATORS = {
    "fewer than": "<", "less than": "<", "more than": ">", "greater than": ">", "at least": ">=", "at most": "<=",
    "no more than": "<=", "no fewer than": ">=", "no less than": ">=", "or more": ">=",
    "or fewer": "<=", "or less": "<=",
}  # fmt: skip
MOST, LEAST = (
    "largest|greatest|biggest|highest|maximum|maximal|most",
    "smallest|lowest|least|minimum|minimal|fewest",
)
EXTREME = rf"(?:(?P<most>{MOST})|(?P<least>{LEAST}))"
WHEN = "(?:when|at (?:what|which) (?:second|time)|in (?:what|which) second)"
RANGE = "(?:from (?:which|what) second to (?:which|what)(?: second)?|from when to when)"
UNTIL = rf"(?: {RANGE})?(?: in seconds)?"

NUMBERS_HERE = rf"(\d+(?:\.\d+)?|{'|'.join(NUMBERS)})"
TIMES = (
    r"at [@#](?P<moment>[\d.]+)",
    rf"(?:at|in) the (?P<at>beginning|start|end)(?: of the {VIDEO})?",
    r"in the (?P<frame>first|last) frame",
    r"after @(?P<a>[\d.]+)",
    r"before @(?P<b>[\d.]+)",
    r"(?:between|from) (?=[^ ]+ (?:and|to) [@#]|[@#])[@#]?(?P<a>[\d.]+) (?:and|to) [@#]?(?P<b>[\d.]+)",
    rf"(?:in|during) the (?P<half>first|second) half(?: of the {VIDEO})?",
    rf"(?:in|within|during) the (?P<part>first|last) #(?P<length>[\d.]+)(?: of the {VIDEO})?",
)
HALVES = {
    "left": "Box(0, 0, video.width / 2, video.height)",
    "right": "Box(video.width / 2, 0, video.width, video.height)",
    "upper": "Box(0, 0, video.width, video.height / 2)",
    "lower": "Box(0, video.height / 2, video.width, video.height)",
}
ZONE = (
    rf"(?:(?:in|on|at) the (?P<zone>left|right|upper|lower|top|bottom) half|on the (?P<side>left|right)(?: side)?)"
    rf"{OF_PICTURE}"
)
MOVE = rf"(?:moves?|moved|moving|travel(?:s|l?ed|l?ing)?|{GO}|{DRIVE}|{WALK})"
WAY = rf"(?:{ACROSS}|{TOWARDS})"
COLOR = rf"(?P<color>{'|'.join((*NAMES, 'gray'))})"
FIRST_OF = rf"(?:the first|(?P<only>the)|an?) {WHAT}"
FIRST_OTHER = r"(?:the first|(?P<only_other>the)|an?) (?P<other>[a-z]+(?:[ -][a-z]+){0,3}?)"
_FROM_TO = "|".join(f"from (?:the )?{a} to (?:the )?{b}" for a, b in WAYS.values())
_EACH_WAY = f"{_FROM_TO}|downwards?|down|upwards?|up|(?:(?:to|towards) the )?(?:left|right)"
ONE_WAY, OTHER_WAY = f"(?P<one_way>{_EACH_WAY})", f"(?P<other_way>{_EACH_WAY})"


def way_of(phrase: str) -> str:
    """Where a phrase such as "from top to bottom" or "upwards" leads: one of `WAYS`."""
    words = phrase.split()
    ends = next((way for way, (_, end) in WAYS.items() if words[0] == "from" and end == words[-1]), "")
    return ends or next(way for way in WAYS if way in words[-1])
