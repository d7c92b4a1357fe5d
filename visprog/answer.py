"""An answer with its evidence: JSON first, everything else drawn from it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from .check.diagnostics import Diagnostic
from .errors import MAX_ERROR, Refused, VisprogError, readable
from .files.limits import limits
from .files.plain_text import parse_json
from .llm.chat import Tokens
from .report import html
from .report.forms import one_line
from .runtime.call import Call
from .runtime.steps import Step
from .values import codec
from .values.codec import show
from .values.image import Image

VERSION = 2
"""Version of the JSON form, which `json_schema` describes."""

READ_VERSIONS = (1, VERSION)
"""Versions that can be read. In version 1 shapes do not say in which image they lie, numbers are rounded, and other
programs that were tried are `attempts`."""

THUMBNAIL = 640
"""Longest side, in pixels, of the images kept as evidence."""

PNG = "image/png"

Status = Literal["answered", "fallback", "refused", "error"]


@dataclass(frozen=True)
class Answer:
    """The answer to a question, or why there is none.

    Attributes:
        status: "answered"; "fallback" (no program answered, and the `vqa` tool was asked directly, as the
            configuration allows); "refused" (no planner or backend in force can answer it, or nothing was found);
            "error".
        value: The answer; None if there is none.
        message: Why there is no answer, in one sentence; empty if there is one.
        question: The question as it was asked; empty if a program was run.
        program: Source of the program.
        diagnostics: Results of the check of the program.
        trace: Calls of tools, in order.
        images: The images that the question is about.
        seconds: Time for planning and running.
        planner: Name of the planner that wrote the program.
        probability: Probability of the program, if the planner knows it, or its share of the votes.
        tokens: Number of tokens that the planner read and wrote, if it says.
        steps: The programs that were written for the question with their outcomes, the oldest first; the last is the
            one that this answer comes from. Empty if none was written.
        stdout: Text that the program printed.
        level: How far the program was confined: "kernel" or "process"; empty if none ran.
        cautions: Sentences to read before relying on the answer.
        rests_on: In a conversation, the steps of earlier questions whose values the program takes, the oldest first.
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
    rests_on: tuple[Step, ...] = ()
    _read_from: Mapping[str, Any] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", readable(self.message, MAX_ERROR))

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
            Refused: No planner or backend in force can answer it, or nothing was found.
            VisprogError: The program or the planner failed.
        """
        if self.ok:
            return self.value
        raise (Refused if self.status == "refused" else VisprogError)(self.message)

    def to_json(self, *, pictures: bool = True) -> dict[str, Any]:
        """Plain data, as `json_schema` describes it.

        Args:
            pictures: Whether to hold thumbnails of all images involved, and an edited image as a whole: as many as
                `SizeLimits.answer_pixels` allows. One of the `cautions` says if that was not enough.
        """
        kept = Thumbnails()
        of_value = codec.Writer(kept.keep_value) if pictures else codec.Writer()
        data = self._to_json(of_value, codec.Writer(kept.keep) if pictures else of_value, kept)
        return data if pictures else {k: v for k, v in data.items() if k != "pictures"}

    def _to_json(self, of_value: codec.Writer, writer: codec.Writer, kept: Thumbnails) -> dict[str, Any]:
        """The JSON form, whose value and whose evidence are written by one writer each."""
        if self._read_from is not None:  # thumbnails have lost what the JSON form says of their images
            kept_form: dict[str, Any] = _copied(self._read_from)
            return kept_form
        return {
            "version": VERSION,
            "status": self.status,
            "value": of_value.value(self.value),
            "message": self.message,
            "question": self.question,
            "program": self.program,
            "planner": self.planner,
            "probability": self.probability,
            "tokens": self.tokens,
            "diagnostics": [d.to_json() for d in self.diagnostics],
            "steps": [_step_json(s, writer) for s in self.steps],
            **({"rests_on": [_step_json(s, writer) for s in self.rests_on]} if self.rests_on else {}),
            "trace": [_call_json(c, writer) for c in self.trace],
            "images": [writer.value(i) for i in self.images],
            "seconds": round(self.seconds, 4),
            "stdout": self.stdout,
            "level": self.level,
            "cautions": [*self.cautions, *kept.caution],
            "pictures": kept.data,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | str | bytes) -> Answer:
        """An answer from its JSON form. Its `to_json` gives the same form again.

        Images come back as the thumbnails that were kept, crops as images without a root; None if none were kept.

        Raises:
            ValueError: It is not such a form, or of a version that cannot be read.
        """
        if isinstance(data, str | bytes):
            try:
                data = parse_json(data if isinstance(data, str) else data.decode())
            except ValueError as error:
                raise ValueError(f"this is not an answer: it {error}") from None
        if not isinstance(data, Mapping) or "version" not in data:
            raise ValueError("this is not an answer: it has no version")
        if isinstance(data["version"], bool) or data["version"] not in READ_VERSIONS:
            raise ValueError(
                f"this answer is of version {data['version']!r:.20}, and versions up to {VERSION} can be read: "
                "read it with the visprog that made it, or ask again"
            )
        try:
            data = _with_steps(data)
            _check_form(data)
            answer = cls._read(data)
            kept = _copied(dict(data))
        except RecursionError:
            raise ValueError("this is not an answer: it is nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"this is not a whole answer: {error}") from None
        except Exception as error:  # whatever values are made of, they refuse it in their own ways
            raise ValueError(f"this is not a whole answer: {type(error).__name__}: {error}") from None
        object.__setattr__(answer, "_read_from", kept)
        return answer

    @classmethod
    def _read(cls, data: Mapping[str, Any]) -> Answer:
        reader = _reader(data.get("pictures", {}))
        return cls(
            status=data["status"],
            value=reader.value(data["value"]),
            message=data["message"],
            question=data["question"],
            program=data["program"],
            diagnostics=tuple(Diagnostic(**d) for d in data["diagnostics"]),
            trace=tuple(_read_call(c, reader) for c in data["trace"]),
            images=tuple(i for i in map(reader.value, data["images"]) if i is not None),
            seconds=data["seconds"],
            planner=data["planner"],
            probability=data["probability"],
            tokens=data["tokens"],
            steps=tuple(_read_step(s, reader) for s in data["steps"]),
            rests_on=tuple(_read_step(s, reader) for s in data.get("rests_on", ())),
            stdout=data["stdout"],
            level=data["level"],
            cautions=tuple(data.get("cautions", ())),
        )

    def to_html(self) -> str:
        """One self-contained page: question, answer, program, and the image of every step."""
        return html.page(self.to_json(), codec)

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
        kept = Thumbnails()
        writer = codec.Writer(kept.keep)
        return html.fragment(self._to_json(writer, writer, kept), codec)

    def __str__(self) -> str:
        return (
            show(self.value) if self.status in ("answered", "fallback") else f"{self.status}: {self.message}"
        )


class Thumbnails:
    """Images kept as evidence, by digest: small ones, and those that are answers as a whole.

    Args:
        max_pixels: Number of pixels that they have together, by default `SizeLimits.answer_pixels`. Images of an answer
            that would exceed it are kept as thumbnails; those may have as many pixels again.

    Attributes:
        data: The `pictures` of the JSON form.
    """

    def __init__(self, max_pixels: int | None = None) -> None:
        self.data: dict[str, Any] = {}
        self._max_pixels = limits().answer_pixels if max_pixels is None else max_pixels
        self._whole = self._small = 0
        self._reduced: set[str] = set()
        self._left_out: set[str] = set()

    @property
    def caution(self) -> list[str]:
        """A sentence on the images that are not kept as they should be, if there are any."""
        parts = [
            f"{len(images)} images {what}"
            for images, what in (
                (self._reduced, "of it as thumbnails"),
                (self._left_out, "of its evidence not at all"),
            )
            if images
        ]
        if not parts:
            return []
        return [
            f"this form of the answer holds {' and '.join(parts)}, since they have too many pixels: save them from "
            "answer.value in Python, or raise 'answer_pixels' under [limits]"
        ]

    def keep(self, image: Image, alone: bool = False) -> None:
        """Keep a thumbnail of an image, and of the image that it was cut from."""
        if image.digest not in self.data:
            pixels = _thumbnail_pixels(image)
            if self._small + pixels <= self._max_pixels:
                self._small += pixels
                self.data[image.digest] = _encoded(image, whole=False)
            else:
                self._left_out.add(image.digest)
        if image.root is not image:
            self.keep(image.root)

    def keep_value(self, image: Image, alone: bool) -> None:
        """Keep an image of an answer: all of it, if it is the answer itself or a part of it."""
        held = self.data.get(image.digest)
        if alone and (held is None or held["scale"] != 1 or held["mime"] != PNG):
            pixels = image.width * image.height
            if self._whole + pixels <= self._max_pixels:
                self._whole += pixels
                self.data[image.digest] = _encoded(image, whole=True)
            elif _thumbnail_pixels(image) < pixels:
                self._reduced.add(image.digest)
        self.keep(image)


def _thumbnail_pixels(image: Image) -> int:
    """Number of pixels of a thumbnail."""
    scale = min(1.0, THUMBNAIL / max(image.size))
    return round(image.width * scale) * round(image.height * scale)


def json_schema() -> dict[str, Any]:
    """JSON Schema of `Answer.to_json`: `answer.schema.json`, with every kind of value of the table."""
    text = files("visprog").joinpath("answer.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    parts, kinds = schema["$defs"], codec.schemas()
    parts["value"]["anyOf"] += [{"$ref": f"#/$defs/{name}"} for name in kinds]
    parts.update(kinds)
    return schema


@cache
def _validator(version: int, kinds: frozenset[str]) -> Any:
    from jsonschema import Draft202012Validator

    schema = json_schema()  # with these kinds of values: packages may add some
    schema["properties"]["version"] = {"const": version}
    if version < VERSION:  # values had fewer fields; the codec reads them
        schema["$defs"]["value"] = True
    return Draft202012Validator(schema)


def _check_form(data: Mapping[str, Any]) -> None:
    """Raise `ValueError` if a form is not as its schema says."""
    from jsonschema.exceptions import best_match

    wrong = best_match(_validator(data["version"], frozenset(codec.schemas())).iter_errors(dict(data)))
    if wrong is not None:
        raise ValueError(f"{wrong.json_path}: {wrong.message}"[:MAX_ERROR])


def _call_json(call: Call, writer: codec.Writer) -> dict[str, Any]:
    return {
        "tool": call.tool,
        "arguments": {k: writer.value(v) for k, v in call.arguments.items()},
        "result": writer.value(call.result),
        "error": call.error,
        "line": call.line,
        "seconds": round(call.seconds, 6),
        "cached": call.cached,
        "backend": call.backend,
        "caller": call.caller,
    }


def _read_call(data: Mapping[str, Any], reader: codec.Reader) -> Call:
    values = {"arguments": {k: reader.value(v) for k, v in data["arguments"].items()}}
    return Call(**{**data, **values, "result": reader.value(data["result"])})


def _copied(data: Any) -> Any:
    """A copy of a JSON form, which may be changed."""
    if isinstance(data, dict):
        return {k: _copied(v) for k, v in data.items()}
    return [_copied(v) for v in data] if isinstance(data, list | tuple) else data


def _reader(pictures: Mapping[str, Any]) -> codec.Reader:
    """Reads values whose images are thumbnails: each is decoded once per name."""
    opened: dict[tuple[str, str], Image] = {}

    def image(data: Mapping[str, Any]) -> Image | None:
        held, key = pictures.get(data["digest"]), (data["digest"], data["name"])
        if held is not None and key not in opened:
            opened[key] = Image.open(base64.b64decode(held["data"]), name=data["name"])
        return opened.get(key)

    return codec.Reader(image)


def _encoded(image: Image, whole: bool) -> dict[str, Any]:
    """An image as an entry of `Thumbnails`: all of it as PNG, or a thumbnail; `scale` is thumbnail over image."""
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


def _step_json(step: Step, writer: codec.Writer) -> dict[str, Any]:
    return {
        "program": step.program,
        "diagnostics": [d.to_json() for d in step.diagnostics],
        "feedback": step.feedback,
        "planner": step.planner,
        "status": step.status,
        "value": writer.value(step.value),
        "message": step.message,
        "trace": [_call_json(c, writer) for c in step.trace],
        "stdout": step.stdout,
        "level": step.level,
        "cautions": list(step.cautions),
        "probability": step.probability,
        "tokens": None if step.tokens is None else [step.tokens.prompt, step.tokens.completion],
        "seconds": round(step.seconds, 4),
        **({"kept_as": step.kept_as} if step.kept_as else {}),
    }


def _read_step(data: Mapping[str, Any], reader: codec.Reader) -> Step:
    read = {
        "value": reader.value(data["value"]),
        "diagnostics": tuple(Diagnostic(**d) for d in data["diagnostics"]),
        "trace": tuple(_read_call(c, reader) for c in data["trace"]),
        "cautions": tuple(data["cautions"]),
        "tokens": None if data["tokens"] is None else Tokens(*data["tokens"]),
    }
    return Step(**{**data, **read})


def _with_steps(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON form with `steps`: in version 1 there are `attempts`, and the program of the answer itself."""
    if data["version"] != 1 or "attempts" not in data:
        return data
    others = {name: value for name, value in data.items() if name != "attempts"}
    writer = codec.Writer()
    steps = [
        _step_json(Step(a["program"], feedback=a["error"]), writer) | {"diagnostics": a["diagnostics"]}
        for a in data["attempts"]
    ]
    if data["program"] and data["status"] != "fallback":
        own = _step_json(Step(data["program"]), writer)
        steps.append(own | {name: data[name] for name in own if name in data and name != "tokens"})
    return {**others, "steps": steps}
