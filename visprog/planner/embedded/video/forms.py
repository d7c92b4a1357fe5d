"""The forms of questions about videos: what builds a program, and the sentences for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from . import programs
from .programs import ProgramBody, Sentence
from .words import (
    ACROSS,
    APPEAR,
    AT_ONCE,
    AUXILIARY,
    BY,
    COLOR,
    COME,
    EXTREME,
    FEWER,
    FIRST_OF,
    FIRST_OTHER,
    HOW_LONG,
    IN_VIEW,
    LEAVE,
    MORE,
    MOVE,
    ONE,
    ONE_WAY,
    OTHER_WAY,
    PASS,
    QUANTITY,
    RANGE,
    SEEN,
    SOME,
    SOMEONE,
    UNTIL,
    VIDEO,
    VISIBLE,
    WAY,
    WHAT,
    WHEN,
)

Build: TypeAlias = Callable[[Sentence], ProgramBody]

THERE = rf"(?:(?:are|were) there|(?:are|were) {IN_VIEW}|(?:do|can|did) you see|can be seen)"
ALL_THERE = rf"(?:(?:are|were) there|(?:are|were) {SEEN}|(?:do|can|did) you see|can be seen)"
DIFFERENT = "(?:different |distinct |unique |individual )?"

FORMS: dict[Build, tuple[str, ...]] = {
    programs.count: (
        rf"how many {DIFFERENT}{WHAT}(?: {AUXILIARY}{BY}| {ALL_THERE})?(?: in total| altogether| overall)?",
        rf"what is the (?:total )?number of {DIFFERENT}{WHAT}(?: that {BY})?",
        rf"count (?:all )?(?:the )?{WHAT}(?: that {BY})?",
        rf"(?:the )?(?:total )?number of {DIFFERENT}{WHAT}(?: that {BY})?",
        rf"how many {DIFFERENT}{WHAT} (?:are|were) in (?:the|this) {VIDEO}",
    ),
    programs.count_at: (rf"how many {WHAT} {THERE}", rf"how many {WHAT} (?:remain|are (?:left|still there))"),
    programs.extreme: (
        rf"what (?:is|was) the {EXTREME} number of {WHAT}(?:(?: that (?:is|are|can be))? {IN_VIEW})?"
        rf"(?: {AT_ONCE})?",
        rf"what (?:is|are) the (?:(?P<most>most)|(?P<least>fewest)) {WHAT}(?: {IN_VIEW})?(?: {AT_ONCE})?",
        rf"how many {WHAT} {THERE} (?:(?P<most>at most)|(?P<least>at least))(?: {AT_ONCE})?",
    ),
    programs.most_at_once: (rf"how many {WHAT} {THERE} {AT_ONCE}",),
    programs.direction: (
        rf"how many {WHAT} {AUXILIARY}{MOVE} {WAY}",
        rf"how many {WHAT} {AUXILIARY}(?:{PASS}|{COME}) (?:{ACROSS})",
        rf"count (?:all )?(?:the )?{WHAT} that {MOVE} {WAY}",
    ),
    programs.any_goes: (
        rf"(?:does|did|do) {SOME} {WHAT} (?:ever )?{MOVE} {WAY}",
        rf"(?:does|did) (?:ever )?{SOMEONE} {MOVE} {WAY}",
        rf"(?:is|are) there (?:ever )?{SOME} {WHAT} that {MOVE} {WAY}",
    ),
    programs.all_go: (rf"(?:do|did) all (?:the )?{WHAT} {MOVE} {WAY}",),
    programs.one_goes: (rf"(?:does|did) {ONE} {MOVE} {WAY}",),
    programs.way_of_one: (
        rf"(?:in )?(?:which|what) (?:direction|way) (?:does|did|is) {ONE} {MOVE}",
        rf"what is the direction of {ONE}",
    ),
    programs.more_go: (rf"(?:do|did) (?:{MORE}|{FEWER}) {WHAT} {MOVE} {ONE_WAY} than {OTHER_WAY}",),
    programs.both_ways: (rf"how many {WHAT} {MOVE} {ONE_WAY} and how many(?: go| drive| walk| move)? {OTHER_WAY}",),
    programs.which_first: (
        rf"(?:which|what|who) (?:one )?(?:{APPEAR}|{COME}|is (?:{IN_VIEW})) first {FIRST_OF} or {FIRST_OTHER}",
        rf"does {FIRST_OF} or {FIRST_OTHER} (?:{APPEAR}|{COME}) first",
    ),
    programs.before: (
        rf"(?:does|did) {FIRST_OF} (?:{APPEAR}|{COME}(?: by| past| along)?) (?:before|(?P<after>after)) {FIRST_OTHER}"
        rf"(?: (?:{APPEAR}|{COME}|does|did))?",
    ),
    programs.at_once: (
        rf"(?:is|are) (?:there )?(?:ever )?an? {WHAT} and an? (?P<other>[a-z]+(?:[ -][a-z]+){{0,3}}?)"
        rf"(?: (?:ever )?{IN_VIEW})? {AT_ONCE}",
    ),
    programs.compared_at_ends: (
        rf"(?:are|were) there (?:{MORE}|{FEWER}) {WHAT} (?:at|in) the (?P<first_time>end) than (?:at|in) the "
        r"(?:beginning|start)",
        rf"(?:are|were) there (?:{MORE}|{FEWER}) {WHAT} (?:at|in) the (?P<first_time>beginning|start) than "
        r"(?:at|in) the end",
    ),
    programs.appear_within: (rf"how many {WHAT} {AUXILIARY}{APPEAR}",),
    programs.until: (rf"how (?:long|many seconds) (?:does it take |is it )?(?:until|till|before) {ONE} {APPEAR}",),
    programs.count_of_color: (rf"how many (?:of the )?{WHAT} (?:are|were) {COLOR}",),
    programs.one_has_color: (rf"(?:is|was) {ONE} {COLOR}",),
    programs.all_have_color: (rf"(?:are|were) all (?:of )?(?:the )?{WHAT} {COLOR}",),
    programs.appears: (rf"{WHEN} (?:does|did) {ONE} {APPEAR}(?: in seconds)?",),
    programs.first_appears: (
        rf"{WHEN} (?:does|did) (?:the|an?|any) {WHAT} (?:first {APPEAR}|{APPEAR} (?:first|for the first time))"
        "(?: in seconds)?",
        rf"{WHEN} (?:is|was) (?:the|an?|any) {WHAT} first {IN_VIEW}(?: in seconds)?",
        rf"{WHEN} (?:does|did) {SOMEONE} (?:first {APPEAR}|{APPEAR} (?:first|for the first time))(?: in seconds)?",
    ),
    programs.leaves: (rf"{WHEN} (?:does|did) {ONE} {LEAVE}(?: in seconds)?",),
    programs.times: (
        rf"when (?:are|is|were|was) there {QUANTITY}{WHAT}(?: {IN_VIEW})?{UNTIL}",
        rf"{RANGE} (?:are|is) there {QUANTITY}{WHAT}(?: {IN_VIEW})?",
        rf"when (?:are|is) {QUANTITY}{WHAT} {IN_VIEW}{UNTIL}",
        rf"when (?:do|can) you see {QUANTITY}{WHAT}{UNTIL}",
        rf"when is (?:there )?{SOMEONE}(?: there| {IN_VIEW})?{UNTIL}",
        rf"when is (?:there )?(?P<none>nobody|no one|no-one)(?: there| {IN_VIEW})?{UNTIL}",
    ),
    programs.times_of_most: (rf"(?:when|at (?:what|which) time) are (?:there )?(?:the )?most {WHAT}(?: {IN_VIEW})?",),
    programs.seconds_of: (
        rf"{HOW_LONG} (?:are|is|were|was) there {QUANTITY}{WHAT}(?: {IN_VIEW})?",
        rf"{HOW_LONG} (?:are|is|were|was) (?P<none>no) {WHAT} {IN_VIEW}",
        rf"{HOW_LONG} (?:is|was) (?:there )?(?P<none>nobody|no one|no-one)(?: there| {IN_VIEW})",
    ),
    programs.ever: (
        rf"(?:are|is|were|was) there ever {QUANTITY}{WHAT}(?: {IN_VIEW})?(?: {AT_ONCE})?",
        rf"is there (?:ever )?(?:a|any) (?:moment|time) (?:with|when there (?:is|are)) {QUANTITY}{WHAT}(?: {IN_VIEW})?",
        rf"is there (?:ever )?(?:a|any) (?:moment|time) (?P<none>without) (?:(?:an?|any) )?{WHAT}(?: {IN_VIEW})?",
        rf"is there (?:ever )?(?:a|any) (?:moment|time) when (?P<none>no) {WHAT} (?:is|are) {IN_VIEW}",
    ),
    programs.always: (
        rf"(?:are|is|were|was) there always {QUANTITY}{WHAT}(?: {IN_VIEW})?",
        rf"(?:is|was) (?:an?|any|at least one) {WHAT} always (?:there|{IN_VIEW})",
        rf"(?:is|was) there always {SOMEONE}",
    ),
    programs.times_of_one: (
        rf"when (?:is|was) {ONE} {IN_VIEW}{UNTIL}",
        rf"when can {ONE} be seen{UNTIL}",
        rf"{RANGE} (?:is|was) {ONE} {IN_VIEW}",
    ),
    programs.inside_at: (rf"(?:is|was) {ONE}",),
    programs.count_inside_at: (rf"how many {WHAT} (?:are|were)(?: there)?", rf"how many {WHAT} (?:can|do) you see"),
    programs.seconds_in_half: (
        rf"{HOW_LONG} (?:is|was) {ONE}(?: {VISIBLE})?",
        rf"{HOW_LONG} (?:does|did) {ONE} (?:stay|remain)",
    ),
    programs.exists: (
        rf"(?:is|was) there (?:ever )?{SOME} {WHAT}(?: {IN_VIEW})?",
        rf"(?:are|were) there (?:ever )?(?:any |some )?{WHAT}(?: {IN_VIEW})?",
        rf"(?:is|are|was|were) (?:ever )?{SOME} {WHAT} (?:there|ever {IN_VIEW}|{IN_VIEW})",
        rf"(?:is|was) (?:there (?:ever )?)?{SOMEONE} (?:there|ever {IN_VIEW}|{IN_VIEW})",
        rf"is there (?:ever )?{SOMEONE}",
        rf"(?:do|can|did) you (?:ever )?see (?:{SOME} )?{WHAT}",
        rf"(?:do|can|did) you (?:ever )?see {SOMEONE}",
    ),
    programs.exists_ever: (
        rf"(?:does|do|did) {SOME} {WHAT} (?:ever )?{BY}",
        rf"(?:does|did) {SOMEONE} (?:ever )?{BY}",
    ),
    programs.any_appears_within: (
        rf"(?:does|do|did) {SOME} {WHAT} {APPEAR}",
        rf"(?:does|did) {SOMEONE} {APPEAR}",
    ),
    programs.exists_there: (rf"(?:is|are) (?:ever )?{SOME} {WHAT}", rf"is {SOMEONE}(?: ever)?"),
    programs.color: (
        rf"(?:what|which) colou?r (?:is|was|has) {ONE}",
        rf"what (?:is|was) the colou?r of {ONE}",
        rf"(?:what|which) colou?r does {ONE} have",
    ),
    programs.duration: (
        rf"{HOW_LONG} (?:is|was) {ONE} {VISIBLE}(?: for)?",
        rf"{HOW_LONG} (?:does|did) {ONE} (?:stay|remain)(?: {IN_VIEW})?",
    ),
    programs.duration_of_any: (
        rf"{HOW_LONG} (?:is|was) (?:an?|any) {WHAT} {VISIBLE}(?: for)?",
        rf"{HOW_LONG} (?:is|was) {SOMEONE} {VISIBLE}(?: for)?",
    ),
    programs.length: (
        rf"how (?:long|many seconds) is (?:the|this) {VIDEO}(?: long)?",
        rf"how (?:long|many seconds) does (?:the|this) {VIDEO} (?:last|take)",
        rf"what is the (?:length|duration) of (?:the|this) {VIDEO}",
    ),
}  # fmt: skip
"""What builds a program → the sentences for it."""

PATTERNS = [(re.compile(pattern), build) for build, patterns in FORMS.items() for pattern in patterns]
TIMED = frozenset(
    (
        programs.count_at,
        programs.exists,
        programs.exists_there,
        programs.appear_within,
        programs.any_appears_within,
        programs.inside_at,
        programs.count_inside_at,
    )
)
"""What takes a time, taken off the ends of a sentence."""
PLACED = frozenset(
    (
        programs.exists,
        programs.exists_there,
        programs.inside_at,
        programs.count_inside_at,
        programs.seconds_in_half,
    )
)
"""What takes a half of the picture."""
