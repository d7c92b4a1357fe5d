"""An answer with its evidence: JSON first, everything else drawn from it."""

from __future__ import annotations

import base64
import copy
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from .errors import Refused, VisprogError
from .files.plain_text import parse_json
from .llm.chat import Tokens
from .registry.types import describe
from .runtime.host import Call
from .runtime.steps import Step
from .values import Box, Circle, Grid, Line, Mask, Point, Polygon, Region
from .values.describe import show
from .values.image import Image
from .values.json_values import one_line

if TYPE_CHECKING:
    from .check import Diagnostic

VERSION = 2
"""Of the JSON form, which `answer.schema.json` describes."""

THUMBNAIL = 640
"""Longest side, in pixels, of the pictures kept as evidence."""

PNG = "image/png"

Status = Literal["answered", "fallback", "refused", "error"]


@dataclass(frozen=True)
class Answer:
    """What came of a question.

    Attributes:
        status: "answered"; "fallback" (no program answered, and the `vqa` tool was asked plainly, as the
            configuration allows); "refused" (nothing installed can see or plan this, or nothing was found);
            "error".
        value: the answer; None where there is none.
        message: why there is no answer, in one sentence; empty where there is one.
        question: as it was asked; empty where a program was run.
        program: its source.
        diagnostics: what the check found in the program.
        trace: every call of a tool, in order.
        images: the pictures that it is about.
        seconds: planning and running.
        planner: who wrote the program.
        probability: of the program, where the planner knows it, or the share of votes.
        tokens: read and written by the planner, where it says.
        steps: the programs that were written for the question and what came of each, the oldest first; the last is the
            one that this answer comes from. Empty where none was written.
        stdout: what the program printed.
        level: how far the program was confined: "kernel" or "process"; empty where none ran.
        cautions: what to know before relying on the answer, in whole sentences.
    """

    status: Status
    value: Any = None
    message: str = ""
    question: str = ""
    program: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()
    trace: tuple[Call, ...] = ()
    images: tuple[Image, ...] = field(default=(), repr=False)
    seconds: float = 0.0
    planner: str = ""
    probability: float | None = None
    tokens: int | None = None
    steps: tuple[Step, ...] = ()
    stdout: str = ""
    level: str = ""
    cautions: tuple[str, ...] = ()
    _read_from: Mapping[str, Any] | None = field(default=None, init=False, repr=False, compare=False)

    def __bool__(self) -> bool:
        raise TypeError(
            "an Answer is neither true nor false: use answer.value, after a look at answer.status"
        )

    @property
    def ok(self) -> bool:
        """Whether there is an answer: by a program, or by the fallback that the configuration allows."""
        return self.status in ("answered", "fallback")

    def unwrap(self) -> Any:
        """The value of an answer.

        Raises:
            Refused: nothing installed can see or plan this, or nothing was found.
            VisprogError: the program or the planner failed.
        """
        if self.ok:
            return self.value
        raise (Refused if self.status == "refused" else VisprogError)(self.message)

    def to_json(self, *, pictures: bool = True) -> dict[str, Any]:
        """Plain data, as `answer.schema.json` describes it.

        Args:
            pictures: hold thumbnails of all pictures involved, and an edited picture as a whole.
        """
        data = self._to_json(_Writer(pictures), whole=True)
        return data if pictures else {k: v for k, v in data.items() if k != "pictures"}

    def _to_json(self, writer: _Writer, whole: bool) -> dict[str, Any]:
        """The JSON form; an edited picture as a whole, or as a thumbnail."""
        if self._read_from is not None:  # thumbnails have lost what the JSON form says of their pictures
            return copy.deepcopy(dict(self._read_from))
        return {
            "version": VERSION,
            "status": self.status,
            "value": writer.value(self.value, whole),
            "message": self.message,
            "question": self.question,
            "program": self.program,
            "planner": self.planner,
            "probability": self.probability,
            "tokens": self.tokens,
            "diagnostics": [d.to_json() for d in self.diagnostics],
            "steps": [writer.step(s) for s in self.steps],
            "trace": [writer.call(c) for c in self.trace],
            "images": [writer.value(i) for i in self.images],
            "seconds": round(self.seconds, 4),
            "stdout": self.stdout,
            "level": self.level,
            "cautions": list(self.cautions),
            "pictures": writer.pictures,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | str | bytes) -> Answer:
        """An answer from its JSON form. Its `to_json` gives the same form again.

        Pictures come back as the thumbnails that were kept, crops as pictures of their own; None where none
        were kept.

        Raises:
            ValueError: it is not such a form, or of another version.
        """
        if isinstance(data, str | bytes):
            try:
                data = parse_json(data if isinstance(data, str) else data.decode())
            except ValueError as error:
                raise ValueError(f"this is not an answer of version {VERSION}: it {error}") from None
        if not isinstance(data, Mapping) or data.get("version") != VERSION:
            raise ValueError(f"this is not an answer of version {VERSION}")
        try:
            answer = cls._read(data)
            kept = copy.deepcopy(dict(data))
        except RecursionError:
            raise ValueError("this is not an answer: it is nested too deeply") from None
        except Exception as error:  # whatever values are made of, they refuse it in their own ways
            raise ValueError(f"this is not a whole answer: {type(error).__name__}: {error}") from None
        object.__setattr__(answer, "_read_from", kept)
        return answer

    @classmethod
    def _read(cls, data: Mapping[str, Any]) -> Answer:
        reader = _Reader(data.get("pictures", {}))
        from .check import Diagnostic

        if data["status"] not in get_args(Status):
            raise ValueError(f"there is no status {data['status']!r}")
        for name in ("message", "question", "program", "planner", "stdout", "level"):
            if not isinstance(data[name], str):
                raise TypeError(f"'{name}' is not text")
        if not isinstance(data["seconds"], int | float):
            raise TypeError("'seconds' is not a number")
        return cls(
            status=data["status"],
            value=reader.value(data["value"]),
            message=data["message"],
            question=data["question"],
            program=data["program"],
            diagnostics=tuple(Diagnostic(**d) for d in data["diagnostics"]),
            trace=tuple(reader.call(c) for c in data["trace"]),
            images=tuple(i for i in map(reader.value, data["images"]) if i is not None),
            seconds=data["seconds"],
            planner=data["planner"],
            probability=data["probability"],
            tokens=data["tokens"],
            steps=tuple(reader.step(s) for s in data["steps"]),
            stdout=data["stdout"],
            level=data["level"],
            cautions=tuple(data.get("cautions", ())),
        )

    def to_html(self) -> str:
        """One self-contained page: question, answer, program, and the picture of every step."""
        from .report.html import page

        return page(self.to_json())

    def __repr__(self) -> str:
        what = [repr(self.status)]
        if self.value is not None:
            what.append(one_line(repr(self.value) if isinstance(self.value, str) else show(self.value), 40))
        elif self.message:
            what.append(f"message={one_line(self.message, 36)!r}")
        if self.question:
            what.append(f"question={one_line(self.question, 36)!r}")
        return f"Answer({', '.join(what)})"

    def _repr_html_(self) -> str:
        from .report.html import fragment

        return fragment(self._to_json(_Writer(True), whole=False))

    def __str__(self) -> str:
        return (
            show(self.value) if self.status in ("answered", "fallback") else f"{self.status}: {self.message}"
        )


def to_data(value: Any) -> Any:
    """A value in the JSON form, without the pixels of images."""
    return _Writer(False).value(value)


class _Writer:
    """Values as plain data; pictures by digest, in a table of their own."""

    def __init__(self, pictures: bool) -> None:
        self.keep = pictures
        self.pictures: dict[str, Any] = {}

    def call(self, call: Call) -> dict[str, Any]:
        return {
            "tool": call.tool,
            "arguments": {k: self.value(v) for k, v in call.arguments.items()},
            "result": self.value(call.result),
            "error": call.error,
            "line": call.line,
            "seconds": round(call.seconds, 6),
            "cached": call.cached,
            "backend": call.backend,
            "caller": call.caller,
        }

    def step(self, step: Step) -> dict[str, Any]:
        return {
            "program": step.program,
            "diagnostics": [d.to_json() for d in step.diagnostics],
            "feedback": step.feedback,
            "planner": step.planner,
            "status": step.status,
            "value": self.value(step.value),
            "message": step.message,
            "trace": [self.call(c) for c in step.trace],
            "stdout": step.stdout,
            "level": step.level,
            "cautions": list(step.cautions),
            "probability": step.probability,
            "tokens": None if step.tokens is None else [step.tokens.prompt, step.tokens.completion],
            "seconds": round(step.seconds, 4),
        }

    def value(self, value: Any, whole: bool = False) -> Any:
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"type": "float", "text": str(value)}
        if isinstance(value, list):
            return [self.value(v, whole) for v in value]
        if isinstance(value, tuple):
            return {"type": "tuple", "items": [self.value(v, whole) for v in value]}
        if isinstance(value, set | frozenset):
            return {"type": "set", "items": sorted((self.value(v, whole) for v in value), key=repr)}
        if isinstance(value, dict):
            return {
                "type": "dict",
                "items": [[self.value(k), self.value(v, whole)] for k, v in value.items()],
            }
        if isinstance(value, Image):
            return self.image(value, whole)
        if isinstance(value, Mask):
            return {"type": "Mask", "box": _box(value.box), "area": value.area, "png": _mask_png(value)}
        if isinstance(value, Region):
            return {
                "type": "Region",
                "box": _box(value.box),
                "label": value.label,
                "score": round(float(value.score), 6),
                "image": self.value(value.image),
                "mask": self.value(value.mask),
            }
        if isinstance(value, Box):
            return {"type": "Box", "box": _box(value)}
        if isinstance(value, Point):
            return {"type": "Point", "x": value.x, "y": value.y}
        if isinstance(value, Circle):
            center = [value.center.x, value.center.y]
            return {"type": "Circle", "center": center, "radius": value.radius, "color": value.color}
        if isinstance(value, Line | Polygon):
            points = [[p.x, p.y] for p in value.points]
            return {"type": type(value).__name__, "points": points, "color": value.color}
        if isinstance(value, Grid):
            return {"type": "Grid", "rows": value.rows, "columns": value.columns, "box": _box(value.box)}
        return {"type": "other", "text": f"{describe(value)}: {value}"[:500]}

    def image(self, image: Image, whole: bool) -> dict[str, Any]:
        if self.keep:
            held = self.pictures.get(image.digest)
            if held is None or (whole and (held["scale"] != 1 or held["mime"] != PNG)):
                self.pictures[image.digest] = _picture(image, whole)
        reference = {
            "type": "Image",
            "digest": image.digest,
            "width": image.width,
            "height": image.height,
            "name": image.name,
            "origin": [image.origin.x, image.origin.y],
            "root": image.root.digest,
        }
        if self.keep and image.root is not image and image.root.digest not in self.pictures:
            self.pictures[image.root.digest] = _picture(image.root, whole=False)
        return reference


class _Reader:
    """The reverse of `_Writer`."""

    def __init__(self, pictures: Mapping[str, Any]) -> None:
        self.pictures = pictures

    def call(self, data: Mapping[str, Any]) -> Call:
        values = {"arguments": {k: self.value(v) for k, v in data["arguments"].items()}}
        return Call(**{**data, **values, "result": self.value(data["result"])})

    def step(self, data: Mapping[str, Any]) -> Step:
        from .check import Diagnostic

        read = {
            "value": self.value(data["value"]),
            "diagnostics": tuple(Diagnostic(**d) for d in data["diagnostics"]),
            "trace": tuple(self.call(c) for c in data["trace"]),
            "cautions": tuple(data["cautions"]),
            "tokens": None if data["tokens"] is None else Tokens(*data["tokens"]),
        }
        return Step(**{**data, **read})

    def value(self, data: Any) -> Any:
        if isinstance(data, list):
            return [self.value(d) for d in data]
        if not isinstance(data, Mapping):
            return data
        kind = data["type"]
        if kind == "float":
            return float(data["text"])
        if kind == "tuple":
            return tuple(self.value(d) for d in data["items"])
        if kind == "set":
            return {self.value(d) for d in data["items"]}
        if kind == "dict":
            return {self.value(k): self.value(v) for k, v in data["items"]}
        if kind == "Image":
            return self.image(data)
        if kind == "Mask":
            pixels = Image.open(base64.b64decode(data["png"])).pixels[:, :, 0] > 127 if data["png"] else None
            return None if pixels is None else Mask(pixels, Box(*data["box"]))
        if kind == "Region":
            image, mask = self.value(data["image"]), self.value(data["mask"])
            return Region(Box(*data["box"]), data["label"], data["score"], image, mask)
        if kind == "Box":
            return Box(*data["box"])
        if kind == "Point":
            return Point(data["x"], data["y"])
        if kind == "Circle":
            return Circle(Point(*data["center"]), data["radius"], data["color"])
        if kind in ("Line", "Polygon"):
            points = tuple(Point(*p) for p in data["points"])
            return (Line if kind == "Line" else Polygon)(points, data["color"])
        if kind == "Grid":
            return Grid(data["rows"], data["columns"], Box(*data["box"]))
        if kind == "other":
            return data["text"]
        raise ValueError(f"there is no type of values {kind!r}")

    def image(self, data: Mapping[str, Any]) -> Image | None:
        held = self.pictures.get(data["digest"])
        if held is None:
            return None
        return Image.open(base64.b64decode(held["data"]), name=data["name"])


def _box(box: Box) -> list[float]:
    return [round(v, 3) for v in (box.left, box.top, box.right, box.bottom)]


def _picture(image: Image, whole: bool) -> dict[str, Any]:
    """A picture as a data entry: all of it as PNG, or a thumbnail; `scale` is thumbnail over picture."""
    pil = image.to_pil()
    scale = 1.0 if whole else min(1.0, THUMBNAIL / max(image.size))
    if scale < 1:
        pil = pil.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    lossless = whole or pil.mode == "RGBA" or max(pil.size) <= 128
    buffer = io.BytesIO()
    if lossless:
        pil.save(buffer, "png")
    else:
        pil.save(buffer, "jpeg", quality=88)
    data = base64.b64encode(buffer.getvalue()).decode()
    mime = PNG if lossless else "image/jpeg"
    return {"width": image.width, "height": image.height, "scale": scale, "mime": mime, "data": data}


def _mask_png(mask: Mask) -> str:
    import PIL.Image

    if 0 in mask.pixels.shape:
        return ""
    buffer = io.BytesIO()
    PIL.Image.fromarray(mask.pixels).convert("1").save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()
