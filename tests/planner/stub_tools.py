"""The planner's vocabulary as tools that do nothing: for tests of the planner alone."""

from __future__ import annotations

from typing import Literal

from visprog.registry import Registry, describe_function, tool
from visprog.values import Box, Circle, Grid, Line, Polygon, Region, helpers
from visprog.values.image import Image

Place = Image | Region | Circle | Polygon | Line


@tool
def detect(image: Image, what: str) -> list[Region]:
    """Find the things of a kind."""


@tool
def find_faces(image: Image) -> list[Region]:
    """Find faces."""


@tool
def segment(image: Image, region: Region) -> Region:
    """The region with a mask."""


@tool
def classify(image: Image | Region, options: list[str]) -> str:
    """The option that fits best."""


@tool
def match(image: Image | Region, text: str) -> float:
    """How well a text fits."""


@tool
def verify(image: Image | Region, statement: str) -> bool:
    """True if the statement holds."""


@tool
def caption(image: Image | Region) -> str:
    """A sentence on what is seen."""


@tool
def vqa(image: Image | Region, question: str) -> str:
    """A short answer to a question."""


@tool
def read_text(image: Image | Region) -> str:
    """All text in reading order."""


@tool
def find_text(image: Image, text: str = "") -> list[Region]:
    """One region a line of text."""


@tool
def find_qr_codes(image: Image) -> list[Region]:
    """QR codes; their label is the content."""


@tool
def crop(image: Image, region: Region | Box, margin: float = 0.0) -> Image:
    """The part of the image under a region."""


@tool
def crop_left_of(image: Image, region: Region) -> Image:
    """What lies to the left."""


@tool
def crop_right_of(image: Image, region: Region) -> Image:
    """What lies to the right."""


@tool
def crop_above(image: Image, region: Region) -> Image:
    """What lies above."""


@tool
def crop_below(image: Image, region: Region) -> Image:
    """What lies below."""


@tool
def crop_half(image: Image, side: Literal["left", "right", "top", "bottom"]) -> Image:
    """Half of the image."""


@tool
def dominant_color(image: Place) -> str:
    """The name of the main colour."""


@tool
def has_color(image: Place, color: str) -> bool:
    """True if it is of that colour."""


@tool
def find_lines(image: Image, color: str | None = None) -> list[Line]:
    """Drawn lines."""


@tool
def find_circles(image: Image, color: str | None = None) -> list[Circle]:
    """Drawn circles."""


@tool
def find_polygons(image: Image, kind: str = "polygon", color: str | None = None) -> list[Polygon]:
    """Drawn polygons."""


@tool
def find_grid(image: Image) -> Grid:
    """The table that is drawn."""


@tool
def blur_background(image: Image, keep: list[Region]) -> Image:
    """Blur everything else."""


@tool
def color_pop(image: Image, keep: list[Region]) -> Image:
    """Grey everything else."""


@tool
def cover(
    image: Image,
    regions: list[Region],
    style: Literal["box", "blur", "pixelate", "emoji"] | None = None,
    emoji: str | None = None,
) -> Image:
    """Cover regions."""


@tool
def tag(image: Image, regions: list[Region], labels: list[str] | None = None) -> Image:
    """Draw labelled boxes."""


REGISTRY = Registry(
    [
        *(detect, find_faces, segment, classify, match, verify, caption, vqa, read_text, find_text),
        *(
            find_qr_codes,
            crop,
            crop_left_of,
            crop_right_of,
            crop_above,
            crop_below,
            crop_half,
            dominant_color,
            has_color,
            find_lines,
        ),
        *(find_circles, find_polygons, find_grid, blur_background, color_pop, cover, tag),
        *(describe_function(helper, pure=True) for helper in helpers.FUNCTIONS),
    ]
)
