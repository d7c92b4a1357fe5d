"""Shapes in drawings: lines, circles, polygons, the grid of a table, panels. Classical geometry, nothing learned.

Places are in the frame of the root image.
"""

from __future__ import annotations

from collections.abc import Sequence

from visprog.registry import tool
from visprog.registry.sees import Sees
from visprog.values import Circle, Grid, Line, Located, Polygon, Region
from visprog.values.colors import parse
from visprog.values.image import Image

from .color import COLOR
from .drawing.grid import read_grid
from .drawing.lettering import without_letters
from .drawing.panels import panels
from .drawing.polygons import KIND, parse_kind
from .drawing.shapes import circles_in, is_frame, lines_in, panel_grounds, polygon_kinds, polygons_in
from .drawing.strokes import Drawing, read_drawing
from .imaging.flatness import is_drawing

LIMITS = "drawings, diagrams and other clean images; photographs and textures are refused"
IN_COLOR = Sees(phrases={"color": COLOR})


@tool(limits=LIMITS, sees=IN_COLOR)
def find_circles(image: Image, color: str | None = None) -> list[Circle]:
    """Circles in a drawing, outlined or filled, also where they cross or hide parts of each other.

    From left to right; of one colour only, if `color` is given.

    The radius reaches to the outer edge of what is drawn: half the pen beyond the middle of an outline.

    Raises:
        Refused: an unknown colour name, or an image that is a photograph or has a texture.
    """
    wanted = None if color is None else parse(color)
    drawings = read_drawing(image)
    found = [c for drawing in drawings for c in circles_in(drawing, wanted)]
    kept = without_letters(found, drawings, lambda: _all_shapes(drawings))
    return sorted(kept, key=lambda c: (c.center.x, c.center.y))


@tool(limits=LIMITS, sees=Sees(phrases={"kind": KIND, "color": COLOR}))
def find_polygons(image: Image, kind: str = "polygon", color: str | None = None) -> list[Polygon]:
    """Polygons in a drawing, outlined or filled, also nested or crossing.

    From left to right; of one kind and one colour only, if these are given.

    Args:
        kind: "triangle", "square", "rectangle" (squares are rectangles too), "diamond", "rhombus",
            "parallelogram", "trapezoid", "quadrilateral", "pentagon", "hexagon", "heptagon", "octagon",
            "star", or "polygon" for all.

    Raises:
        Refused: an unknown kind or colour name, or an image that is a photograph or has a texture.
    """
    name = parse_kind(kind)
    wanted = None if color is None else parse(color)
    drawings = read_drawing(image)
    found = [p for drawing in drawings for p in polygons_in(drawing, name, wanted)]
    found = [p for p in found if not is_frame(p, image)]
    found = without_letters(found, drawings, lambda: _all_shapes(drawings))
    if not found and wanted is not None:
        found = [p for p in panel_grounds(image, wanted) if name in polygon_kinds(p)]
    return sorted(found, key=lambda p: (p.center.x, p.center.y))


@tool(limits=LIMITS, sees=IN_COLOR)
def find_lines(image: Image, color: str | None = None) -> list[Line]:
    """Drawn lines, straight or bent, as polylines with a point at each bend; of one colour, if given.

    A line goes on beneath others that cross it.

    Raises:
        Refused: an unknown colour name, or an image that is a photograph or has a texture.
    """
    wanted = None if color is None else parse(color)
    return [line for drawing in read_drawing(image) for line in lines_in(drawing, wanted)]


@tool(limits=LIMITS)
def find_grid(image: Image) -> Grid:
    """The ruled table in an image: how many rows and columns it has, whatever is written in its cells.

    Raises:
        ToolError: there is no grid.
        Refused: an image that is a photograph or has a texture.
    """
    grid = read_grid(image)
    if not is_drawing(image):
        read_drawing(image)  # refuses photographs, whose edges look like rules
    return grid


@tool(limits="panels that straight bars or gutters of one flat colour keep apart")
def find_panels(image: Image) -> list[Region]:
    """The panels of an image that is laid out as several: boxes side by side, sub-figures, frames of a comic.

    Row by row, from left to right; the whole image if nothing parts it. crop(image, panel) is one of them as
    an image.
    """
    return [Region(image.to_root(box), "panel", 1.0, image.root) for box in panels(image.pixels)]


def _all_shapes(drawings: Sequence[Drawing]) -> list[Located]:
    """Circles and polygons of any colour, letters among them."""
    return [s for d in drawings for s in (*circles_in(d, None), *polygons_in(d, "polygon", None))]
