"""The table of the kinds of values: what each is as JSON, as a key, on its image, in words, and as a fake.

Answers, recordings, the cache, reports, LangChain, the server and the dry run read it, and list no kinds of their own.
A new kind of value is its own file and a row of `KINDS`; what programs may read of it is in that row too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.sandbox import Method

from ..report import markup
from ..report.figures import COLORS, CROP_SIDE, DrawnValue, draw, encode
from ..report.forms import Data, one_line, plain_words, type_of
from .depth import Depth, as_bytes, depth_words, draw_depth, from_bytes
from .evidence import (
    circle_words,
    draw_circle,
    draw_frame,
    draw_grid,
    draw_line,
    draw_mask,
    draw_point,
    draw_polygon,
    draw_region,
    image_words,
    line_words,
    place,
    region_words,
    span_words,
    track_words,
    video_words,
)
from .geometry import NOTEBOOK, Box, Circle, Grid, Line, Located, Point, Polygon
from .image import Image
from .library import ATTRIBUTES
from .mask import Mask
from .png import from_png, to_png
from .region import Region
from .track import Span, Track
from .video import Video, read_video

# -- from values to JSON, and back -------------------------------------------------------------------


def _nothing(image: Image, alone: bool) -> None:
    pass


def _in_words(value: Any) -> Data:
    return {"type": "other", "text": f"{type_name(type(value))}: {value}"[:500]}


class Writer:
    """Values as plain data. Images are named by their digests; where their pixels are kept is the caller's affair.

    Args:
        keep: Is given each image that is written, and whether it is a value itself, rather than the image that a
            value lies in.
        pixels: The text that stands for the pixels of a mask; a PNG in base64 by default.
        other: The form of a value that is of no known kind.
    """

    def __init__(
        self,
        keep: Callable[[Image, bool], object] = _nothing,
        pixels: Callable[[NDArray[Any]], str] = to_png,
        other: Callable[[Any], Data] = _in_words,
    ) -> None:
        self.keep = keep
        self.pixels = pixels
        self.other = other

    def value(self, value: Any) -> Any:
        """A value as JSON can hold it: plain values and lists as they are, all others as objects with a "type"."""
        cls = type(value)
        if cls in _AS_THEY_ARE:
            return value
        kind = kind_of(cls)
        if kind is not None:
            return kind.write(value, self)
        if isinstance(value, np.generic):
            return self.value(value.item())
        if isinstance(value, bool | str):
            return value
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"type": "float", "text": str(float(value))}
        if isinstance(value, int):  # of an enumeration
            return int(value)
        if isinstance(value, list):
            return [self.value(v) for v in value]
        if isinstance(value, tuple):
            return {"type": "tuple", "items": [self.value(v) for v in value]}
        if isinstance(value, set | frozenset):
            return {"type": "set", "items": sorted((self.value(v) for v in value), key=repr)}
        if isinstance(value, Mapping):
            return {"type": "dict", "items": [[self.value(k), self.value(v)] for k, v in value.items()]}
        return self.other(value)

    def image(self, image: Any, alone: bool = False) -> Data | None:
        """An image by its digest, and by its place in its root; None for none."""
        if image is None:
            return None
        self.keep(image, alone)
        return {
            "type": "Image",
            "digest": image.digest,
            "width": image.width,
            "height": image.height,
            "name": image.name,
            "origin": [image.origin.x, image.origin.y],
            "root": image.root.digest,
        }


_AS_THEY_ARE = frozenset((type(None), bool, int, str))


class Reader:
    """The reverse of `Writer`.

    Args:
        image: The image that a form names; None if it was not kept.
        pixels: The pixels that a text of `Writer.pixels` stands for.
    """

    def __init__(
        self,
        image: Callable[[Data], Image | None],
        pixels: Callable[[str], NDArray[Any]] = from_png,
    ) -> None:
        self.image = image
        self.pixels = pixels

    def value(self, data: Any) -> Any:
        """The value of a form.

        Raises:
            KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError: It is no form
                of a value.
            ImageError: Pixels cannot be decoded.
        """
        if type(data) in _AS_THEY_ARE:
            return data
        if isinstance(data, list):
            return [self.value(d) for d in data]
        if not isinstance(data, Mapping):
            return data
        name = data["type"]
        kind = KINDS.get(name)
        if kind is not None and kind.fields:
            return kind.read(data, self)
        if name == "float":
            return float(data["text"])
        if name == "tuple":
            return tuple(self.value(d) for d in data["items"])
        if name == "set":
            return {self.value(d) for d in data["items"]}
        if name == "dict":
            return {self.value(k): self.value(v) for k, v in data["items"]}
        if name == "other":
            return data["text"]
        raise ValueError(f"there is no kind of values {name!r}")

    def of(self, cls: type, data: Any) -> Any:
        """The value of a form that must be of a class; None for none."""
        found = self.value(data)
        if found is not None and not isinstance(found, cls):
            raise TypeError(f"a {type(found).__name__} stands in the place of a {cls.__name__}")
        return found


def to_json(value: Any) -> Any:
    """A value in the JSON form, without the pixels of images."""
    return Writer().value(value)


# -- fields ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Field:
    """One field of a value.

    Attributes:
        schema: JSON Schema of its form.
        write: Its form; the value itself by default, which is a number or a text.
        read: The value of its form.
        parts: Names of the attributes of the value that a cache key is made of, if it is not made of the value itself.
        key: Its part of a cache key, if the value cannot be hashed.
        missing: Whether a form may lack it; it is None then.
    """

    schema: Data
    write: Callable[[Any, Writer], Any] | None = None
    read: Callable[[Any, Reader], Any] | None = None
    parts: tuple[str, ...] = ()
    key: Callable[[Any], Hashable] | None = None
    missing: bool = False


def _ref(name: str) -> Data:
    return {"$ref": f"#/$defs/{name}"}


def _or_null(schema: Data) -> Data:
    return {"anyOf": [{"type": "null"}, schema]}


def _edges(box: Box, writer: Writer) -> list[float]:
    return [box.left, box.top, box.right, box.bottom]


def _image_key(image: Image | None) -> Hashable:
    if image is None:
        return None
    root = image.root
    return ("Image", image.digest, image.origin, root.digest, image.name, root.name)  # results repeat names


def _mask_key(mask: Mask | None) -> Hashable:
    return None if mask is None else ("Mask", mask.pixels.tobytes(), mask.box)


def _region_key(region: Any) -> Hashable:
    # As its fields would make it, in half the time: most arguments and results are regions.
    image, mask = _image_key(region.image), _mask_key(region.mask)
    return ("Region", region.box, region.label, region.score, image, mask)


NUMBER = Field({"type": "number"})
POSITIVE = Field({"type": "number", "minimum": 0})
COUNT = Field({"type": "integer", "minimum": 0})
TEXT = Field({"type": "string"})
SCORE = Field({"type": "number", "description": "Confidence, 0 to 1."})
COLOR = Field(_ref("color"))
BOX = Field(_ref("box"), _edges, lambda edges, _: Box(*edges), ("left", "top", "right", "bottom"))
POINT = Field(_ref("pair"), lambda p, _: [p.x, p.y], lambda pair, _: Point(*pair), ("x", "y"))
POINTS = Field(
    {"type": "array", "items": _ref("pair"), "minItems": 2},
    lambda points, _: [[p.x, p.y] for p in points],
    lambda pairs, _: tuple(Point(*p) for p in pairs),
)
IMAGE = Field(
    {**_or_null(_ref("Image")), "description": "The image that it lies in."},
    lambda image, writer: writer.image(image),
    lambda data, reader: reader.of(Image, data),
    key=_image_key,
    missing=True,  # in shapes of answers of version 1
)
MASK = Field(
    _or_null(_ref("Mask")),
    lambda mask, writer: writer.value(mask),
    lambda data, reader: reader.of(Mask, data),
    key=_mask_key,
)
PIXELS = Field(
    {
        "type": "string",
        "contentEncoding": "base64",
        "description": "PNG; empty if it has no pixels.",
    },
    lambda pixels, writer: writer.pixels(pixels),
    lambda text, reader: reader.pixels(text),
    key=lambda pixels: (pixels.shape, pixels.tobytes()),
)
DEPTHS = Field(
    {
        **PIXELS.schema,
        "description": "PNG of grey levels, (rows, 4 * columns): the bytes of little-endian float32.",
    },
    lambda values, writer: writer.pixels(as_bytes(values)),
    lambda text, reader: from_bytes(reader.pixels(text)),
)

# -- kinds -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FakeObject:
    """What a fake is made of: one of the objects that a trial run makes up.

    Attributes:
        turn: Number of the object, or of the call.
        count: Number of objects that there are.
        box: Where it lies.
        label: What it is called.
        color: Name of its colour.
        frame: The whole image.
        image: That the call was given, if any.
        region: That the call was given, if any.
        blank: Makes an image.
    """

    turn: int
    count: int
    box: Box
    label: str
    color: str
    frame: Box
    image: Image | None
    region: Region | None
    blank: Callable[[], Image]


@dataclass(frozen=True)
class Kind:
    """A kind of values: a row of `KINDS`.

    Attributes:
        cls: Its class. `cls(**fields)` makes a value, unless there is a `reader`.
        fields: Of its JSON form, in order, by name; empty for a class that has no values of its own.
        fake: A made-up value for a trial run.
        words: How its form reads, as a program would write it; class and box by default.
        show: How a value reads to people; by default as `words` for what has a place, else as `str`.
        drawing: Its form on the image that it lies in; None if it has no place in one.
        opened: What programs may read of it, if its values stay outside the sandbox: attributes, and each `Method` with
            the tool that it is.
        is_shape: Whether it stands for the region that it covers, where a tool takes a region.
        writer, reader, key: For a form that is not made of attributes of the same names.
    """

    cls: type
    fields: Mapping[str, Field]
    fake: Callable[[FakeObject], Any]
    words: Callable[[Data], str] | None = None
    show: Callable[[Any], str] | None = None
    drawing: Callable[[Data], DrawnValue] | None = None
    opened: tuple[str, ...] = ()
    is_shape: bool = False
    writer: Callable[[Any, Writer], Data] | None = None
    reader: Callable[[Data, Reader], Any] | None = None
    key: Callable[[Any], Hashable] | None = None

    @property
    def name(self) -> str:
        return self.cls.__name__

    @property
    def attributes(self) -> tuple[str, ...]:
        """What programs may read of it, methods included."""
        return self.opened or ATTRIBUTES.get(self.cls, ())

    def write(self, value: Any, writer: Writer) -> Data:
        """The JSON form of a value."""
        if self.writer is not None:
            return self.writer(value, writer)
        data: dict[str, Any] = {"type": self.name}
        for name, write in self._writes:
            given = getattr(value, name)
            data[name] = given if write is None else write(given, writer)
        return data

    def read(self, data: Data, reader: Reader) -> Any:
        """The value of a JSON form."""
        if self.reader is not None:
            return self.reader(data, reader)
        given: dict[str, Any] = {}
        for name, read, missing in self._reads:
            form = data.get(name) if missing else data[name]
            given[name] = form if read is None else read(form, reader)
        return self.cls(**given)

    @cached_property
    def schema(self) -> Data:
        """JSON Schema of the form."""
        return {
            "type": "object",
            "description": " ".join((self.cls.__doc__ or self.name).split("\n\n")[0].split()),
            "required": ["type", *self.fields],
            "additionalProperties": False,
            "properties": {
                "type": {"const": self.name},
                **{name: dict(each.schema) for name, each in self.fields.items()},
            },
        }

    @cached_property
    def _writes(self) -> tuple[tuple[str, Callable[[Any, Writer], Any] | None], ...]:
        return tuple((name, each.write) for name, each in self.fields.items())

    @cached_property
    def _reads(self) -> tuple[tuple[str, Callable[[Any, Reader], Any] | None, bool], ...]:
        return tuple((name, each.read, each.missing) for name, each in self.fields.items())

    @cached_property
    def fingerprint(self) -> Callable[[Any], Hashable]:
        """What gives a key that equal values share."""
        if self.key is not None:
            return self.key
        names = [(f"{name}.{part}" if part else name) for name, each in self.fields.items()
                 if each.key is None for part in each.parts or ("",)]  # fmt: skip
        plain: Callable[[Any], Hashable] = attrgetter(*names) if names else lambda value: None
        keyed = [(attrgetter(name), each.key) for name, each in self.fields.items() if each.key is not None]
        return lambda value: (self.cls, plain(value), *[key(get(value)) for get, key in keyed])


def _write_mask(mask: Mask, writer: Writer) -> Data:
    png = writer.pixels(mask.pixels) if mask.pixels.size else ""
    return {"type": "Mask", "box": _edges(mask.box, writer), "area": mask.area, "png": png}


def _read_mask(data: Data, reader: Reader) -> Mask:
    box = Box(*data["box"])
    if data["png"]:
        pixels = reader.pixels(data["png"])
        return Mask(pixels if pixels.dtype == bool else pixels > 127, box)
    height, width = round(box.height), round(box.width)
    if height and width:
        raise ValueError(f"a mask that fills {box} has no pixels")
    return Mask(np.zeros((height, width), bool), box)


def _made_region(world: FakeObject) -> Region:
    given = world.region
    if given is not None:
        return Region(given.box, given.label, given.score, given.image, made_mask(given.box))
    score = round(0.9 - 0.05 * (world.turn % 12), 2)
    return Region(world.box, world.label, score, world.image and world.image.root)


def made_mask(box: Box) -> Mask:
    """A mask that fills a box."""
    pixels = np.ones((round(box.height), round(box.width)), bool)
    return Mask(pixels, Box(box.left, box.top, box.left + pixels.shape[1], box.top + pixels.shape[0]))


def _made_line(world: FakeObject) -> Line:
    x = world.box.left - 10
    return Line((Point(x, 0.0), Point(x + 100, 300.0), Point(x, 400.0)), world.color)


def _made_polygon(world: FakeObject) -> Polygon:
    box = world.box
    corners = (Point(box.left, box.top), Point(box.right, box.top), Point(box.left, box.bottom))
    return Polygon(corners, world.color)


def _corners(box: Box) -> str:
    return f"({box.left:.0f}, {box.top:.0f}) to ({box.right:.0f}, {box.bottom:.0f})"


def _made_track(world: FakeObject) -> Track:
    start, x = 1.0 + 2 * world.turn, 20.0 + world.turn
    moved = world.box.shift(0 if world.turn % 2 else x, x if world.turn % 2 else 0)
    return Track("object", 0.9, (Span(start, start + 4),), ((start, world.box), (start + 4, moved)))


def _made_span(world: FakeObject) -> Span:
    return Span(1.0 + 2 * world.turn, 2.0 + 2 * world.turn)


def _made_depth(world: FakeObject) -> Depth:
    root = world.image and world.image.root
    return Depth(np.ones((1, 1), np.float32), world.frame, metric=True, image=root)


def _made_video(world: FakeObject) -> Video:
    return Video.open([world.blank() for _ in range(8)], fps=1.0)


_DIGEST = Field(_ref("digest"))

SECONDS = Field({"type": "number", "minimum": 0, "description": "Seconds from the start of the video."})
SPANS = Field(
    {"type": "array", "items": _ref("pair"), "description": "Times from and to, in seconds."},
    lambda spans, _: [[span.start, span.end] for span in spans],
    lambda pairs, _: tuple(Span(*pair) for pair in pairs),
)
PLACES = Field(
    {
        "type": "array",
        "items": {"type": "array", "items": {"type": "number"}, "minItems": 5, "maxItems": 5},
        "description": "Time in seconds, then left, top, right and bottom.",
    },
    lambda places, writer: [[time, *_edges(box, writer)] for time, box in places],
    lambda rows, _: tuple((row[0], Box(*row[1:])) for row in rows),
)
VIEW = Field(
    _or_null(_ref("Region")),
    lambda view, writer: writer.value(view),
    lambda data, reader: reader.of(Region, data),
    key=lambda view: None if view is None else _region_key(view),
    missing=True,
)
VIDEO_METHODS = ("frames", "at", "between", "first_half", "second_half")
"""What programs may call of a video; each is the tool of that name after `video_`."""

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            Image,
            {
                "digest": _DIGEST,
                "width": Field({"type": "integer", "minimum": 1}),
                "height": Field({"type": "integer", "minimum": 1}),
                "name": Field({"type": "string", "description": "Where it came from, such as a file name."}),
                "origin": Field({**POINT.schema, "description": "Its top-left corner in the root image."}),
                "root": Field(
                    {**_DIGEST.schema, "description": "The image it was cut from; its own digest if it is whole."}
                ),
            },
            fake=lambda world: world.image or world.blank(),
            words=image_words,
            show=lambda image: f"an image of {image.width} x {image.height} pixels",
            opened=("width", "height", "size", "name", "box", "time"),
            writer=lambda image, writer: writer.image(image, alone=True) or {},
            reader=lambda data, reader: reader.image(data),
            key=_image_key,
        ),
        Kind(
            Mask,
            {
                "box": BOX,
                "area": Field({**POSITIVE.schema, "description": "Number of pixels."}),
                "png": Field(
                    {**PIXELS.schema, "description": "As large as the box, white where it is; empty if the mask is."}
                ),
            },
            fake=lambda world: made_mask(world.box),
            drawing=draw_mask,
            opened=("area", "box", "left", "top", "right", "bottom", "width", "height", "center"),
            writer=_write_mask,
            reader=_read_mask,
            key=_mask_key,
        ),
        Kind(
            Region,
            {"box": BOX, "label": TEXT, "score": SCORE, "image": IMAGE, "mask": MASK},
            fake=_made_region,
            words=region_words,
            show=lambda region: f"{region.label or 'something'} at {_corners(region.box)}",
            drawing=draw_region,
            key=_region_key,
        ),
        Kind(Box, {"box": BOX}, fake=lambda world: world.box, drawing=draw_frame,
             reader=lambda data, _: Box(*data["box"])),
        Kind(
            Point,
            {"x": NUMBER, "y": NUMBER},
            fake=lambda world: Point(world.box.left, world.box.top),
            words=lambda data: f"point ({float(data['x']):.1f}, {float(data['y']):.1f})",
            drawing=draw_point,
        ),
        Kind(
            Circle,
            {"center": POINT, "radius": POSITIVE, "color": COLOR, "image": IMAGE},
            fake=lambda world: Circle(world.box.center, 15.0 + world.turn % 12, world.color),
            words=circle_words,
            drawing=draw_circle,
            is_shape=True,
        ),
        Kind(
            Line,
            {"points": POINTS, "color": COLOR, "image": IMAGE},
            fake=_made_line,
            words=line_words,
            drawing=draw_line,
            is_shape=True,
        ),
        Kind(
            Polygon,
            {"points": POINTS, "color": COLOR, "image": IMAGE},
            fake=_made_polygon,
            words=line_words,
            drawing=draw_polygon,
            is_shape=True,
        ),
        Kind(
            Grid,
            {"rows": COUNT, "columns": COUNT, "box": BOX},
            fake=lambda world: Grid(world.count + 1, world.count + 2, world.frame),
            words=lambda d: f"grid of {d['rows']} rows and {d['columns']} columns at {place(d)}",
            drawing=draw_grid,
        ),
        Kind(
            Video,
            {
                "name": TEXT,
                "start": SECONDS,
                "end": SECONDS,
                "seconds": Field({**POSITIVE.schema, "description": "Length of the whole video."}),
                "fps": POSITIVE,
                "width": COUNT,
                "height": COUNT,
                "digest": _DIGEST,
            },
            fake=_made_video,
            words=video_words,
            show=lambda video: f"a video of {video.duration:.1f} s",
            opened=(
                "duration", "start", "end", "fps", "width", "height", "name",
                *(Method(name, f"video_{name}") for name in VIDEO_METHODS),
            ),
            reader=lambda data, _: read_video(data),
            key=lambda video: ("Video", video.digest, video.start, video.end, video.name),
        ),
        Kind(Span, {"start": SECONDS, "end": SECONDS}, fake=_made_span, words=span_words,
             show=lambda span: f"{span.start:.1f} s to {span.end:.1f} s"),
        Kind(
            Track,
            {"label": TEXT, "score": SCORE, "spans": SPANS, "places": PLACES, "view": VIEW},
            fake=_made_track,
            words=track_words,
            show=lambda track: f"{track.label} from {track.first_seen:.1f} s to {track.last_seen:.1f} s",
        ),
        Kind(
            Depth,
            {"values": DEPTHS, "box": BOX, "metric": Field({"type": "boolean"}), "image": IMAGE},
            fake=_made_depth,
            words=depth_words,
            show=repr,
            drawing=draw_depth,
            opened=("box", "metric", Method("at", "depth_at"), Method("metres", "depth_metres")),
            key=lambda depth: (*depth.key, _image_key(depth.image)),
        ),
        Kind(Located, {}, fake=lambda world: world.box),  # anything that has a place
    )
}  # fmt: skip
"""The kinds of values, by the names of their classes."""


def kind_of(cls: type) -> Kind | None:
    """The kind whose values are of a class; None for a class of other values."""
    for base in cls.__mro__:
        kind = KINDS.get(base.__name__)
        if kind is not None and kind.cls is base and kind.fields:
            return kind
    return None


def is_kind(annotation: Any) -> bool:
    """Whether an annotation is the class of a kind of values."""
    kind = KINDS.get(annotation.__name__) if isinstance(annotation, type) else None
    return kind is not None and kind.cls is annotation


def is_value(value: object) -> bool:
    """Whether this is a value of one of the kinds."""
    return kind_of(type(value)) is not None or isinstance(value, Located)


def type_name(cls: Any) -> str:
    """The name of a class in messages: of one that is neither ours nor the language's, with its module."""
    name, module = str(getattr(cls, "__name__", cls)), str(getattr(cls, "__module__", "")).partition(".")[0]
    return name if module in ("", "builtins", "typing", "visprog") or is_kind(cls) else f"{module}.{name}"


def handles() -> tuple[tuple[type, tuple[str, ...]], ...]:
    """Classes whose values stay outside the sandbox, and what programs may read of each."""
    outside = [kind for kind in KINDS.values() if kind.fields and kind.cls not in ATTRIBUTES]
    return tuple((kind.cls, kind.opened) for kind in outside)


def schemas() -> dict[str, Data]:
    """JSON Schemas of the forms, by the names of the kinds; they refer to `box`, `pair`, `color` and `digest`."""
    return {name: kind.schema for name, kind in KINDS.items() if kind.fields}


# -- what is done with any value ---------------------------------------------------------------------


def fingerprint(value: Any) -> Hashable:
    """A key that equal values share: images by the digest of their pixels, their place in the root, and their names,
    which a result repeats."""
    cls = type(value)
    if cls in _AS_THEY_ARE:
        return (cls, value)
    kind = kind_of(cls)
    if kind is not None:
        return kind.fingerprint(value)
    if isinstance(value, list | tuple):
        return (type(value).__name__, *(fingerprint(v) for v in value))
    if isinstance(value, Mapping):
        return ("dict", *((k, fingerprint(v)) for k, v in sorted(value.items())))
    return (type(value).__name__, value)


def show(value: Any) -> str:
    """A value in words, as the command line prints it: yes and no, rounded numbers, boxes."""
    kind = kind_of(type(value))
    if kind is not None and kind.show is not None:
        return kind.show(value)
    if isinstance(value, list | tuple) and value:
        return ", ".join(map(_shown_inside, value))
    if isinstance(value, dict) and value:
        return ", ".join(f"{k}: {_shown_inside(v)}" for k, v in value.items())
    if isinstance(value, Located):
        return f"{type(value).__name__.lower()} at {_corners(value.box)}"
    return plain_words(value)


def _shown_inside(value: Any) -> str:
    """A value as part of another: one of several parts keeps its brackets."""
    if isinstance(value, list | tuple):
        return f"[{show(value) if value else ''}]"
    if isinstance(value, dict):
        return f"{{{show(value) if value else ''}}}"
    return show(value)


def words(value: Any) -> str:
    """A JSON form in words, as a program would write it; places are rounded to pixels."""
    if isinstance(value, list):
        return "[" + ", ".join(map(words, value)) + "]"
    if not isinstance(value, Mapping):
        return f"{value:.6g}" if isinstance(value, float) else repr(value)
    name = type_of(value)
    match name:
        case "tuple":
            return "(" + ", ".join(map(words, value["items"])) + ")"
        case "set":
            return "{" + ", ".join(map(words, value["items"])) + "}"
        case "dict":
            return "{" + ", ".join(f"{words(k)}: {words(v)}" for k, v in value["items"]) + "}"
    kind = KINDS.get(name)
    if kind is not None and kind.words is not None:
        return kind.words(value)
    return f"{name.lower()} {place(value)}" if "box" in value else str(value.get("text", name))


def drawing(value: Any) -> DrawnValue | None:
    """A JSON form as it is drawn on its image; None for what has no place in one."""
    kind = KINDS.get(type_of(value)) if isinstance(value, Mapping) else None
    return kind.drawing(value) if kind is not None and kind.drawing is not None else None


def card(value: Located) -> str | None:
    """HTML of a value on the part of its image that it lies in; None if its image is not known."""
    image: Image | None = getattr(value, "image", None)
    if image is None:
        return None
    margin = 8 + 0.25 * max(value.width, value.height)
    shown = value.box.expand(margin).intersection(image.root.box)
    data = to_json(value)
    drawn = drawing(data)
    if shown is None or drawn is None:
        return None
    part = image.root.crop(shown)
    corners = (part.box.left, part.box.top, part.box.right, part.box.bottom)
    figure = encode(draw(part.to_pil(), corners, [(drawn, COLORS[0])], CROP_SIDE))
    return markup.card(markup.image(figure, words(data), one_line(words(data), 160)))


NOTEBOOK[:] = [card]
