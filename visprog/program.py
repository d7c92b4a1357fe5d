"""A program and what it is given: its source, parsed once, and its inputs, each a name and a type."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import islice
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from visprog.sandbox import Diagnostic, entry, has_result, parse

from .errors import ImageError, VisprogError
from .files.plain_text import read_text
from .files.reading import printable
from .registry.types import describe
from .values.image import Image
from .values.video import Video, is_camera, is_video

if TYPE_CHECKING:
    from .config import Config
    from .registry.types import Type

Inputs: TypeAlias = "Mapping[str, Type]"
"""Types of the inputs of a program, by name: `{"before": Image, "after": Image}`."""

IMAGE_NAMES = ("image", "img", "picture", "photo")
"""Names by which a program takes one image."""

IMAGES_NAMES = tuple(f"{name}s" for name in IMAGE_NAMES)
"""Names by which a program takes all images, in a list."""

VIDEO_NAMES = ("video", "clip", "movie")
"""Names by which a program takes a video."""

MAX_KEPT = 16
"""Number of programs whose trees are kept."""

T = TypeVar("T")


Given: TypeAlias = "Image | Video"
"""What a question is about: images, or one video."""


def image_inputs(count: int) -> Inputs:
    """Inputs of a program that is written for so many images: `image`, or all of them in `images`."""
    return {"image": Image} if count == 1 else {"images": list[Image]}


def video_inputs() -> Inputs:
    """Inputs of a program that is written for a video."""
    return {"video": Video}


def header(inputs: Inputs) -> str:
    """First line of a program with these inputs: `def answer(image):`."""
    return f"def answer({', '.join(inputs)}):"


@dataclass(frozen=True)
class Program:
    """A program as it was written, and its syntax tree.

    Attributes:
        source: Python source.
        tree: its syntax tree, which nothing may change; an empty one if the source cannot be parsed.
        error: why it cannot be parsed; None if it can.
    """

    source: str
    tree: ast.Module = field(repr=False, compare=False)
    error: Diagnostic | None = field(default=None, compare=False)

    @staticmethod
    def parse(source: str | Program) -> Program:
        """The program with this source. The latest ones are kept: check, trial and run share one tree."""
        return source if isinstance(source, Program) else _parsed(source)

    @cached_property
    def function(self) -> ast.FunctionDef | None:
        """The function whose value is the result; None if the statements themselves give it."""
        return entry(self.tree)

    @property
    def form(self) -> Literal["function", "script", "none"]:
        """Where the result comes from: `answer`, or a `return` or `result = …` of the script; or nowhere."""
        if self.function is not None:
            return "function"
        return "script" if has_result(self.tree) else "none"

    @cached_property
    def required(self) -> tuple[ast.arg, ...]:
        """Parameters of `answer` without a default; those that are given by name alone come last."""
        if self.function is None:
            return ()
        arguments = self.function.args
        positional = [*arguments.posonlyargs, *arguments.args]
        named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        return (
            *positional[: len(positional) - len(arguments.defaults)],
            *(argument for argument, default in named if default is None),
        )

    @cached_property
    def parameters(self) -> tuple[str, ...] | None:
        """Names by which `answer` takes its images; None for a script."""
        if self.function is None:
            return None
        return tuple(a.arg for a in self.required if a not in self.function.args.kwonlyargs)

    @cached_property
    def takes_video(self) -> bool:
        """Whether it is written for a video: by the name or the annotation of its input."""
        if self.function is None:
            return any(isinstance(n, ast.Name) and n.id == "video" for n in ast.walk(self.tree))
        return any(
            a.arg in VIDEO_NAMES or (isinstance(a.annotation, ast.Name) and a.annotation.id == "Video")
            for a in self.required
        )

    @cached_property
    def called(self) -> tuple[str, ...]:
        """Names of the functions that it calls, each once, in no order."""
        calls = (node.func for node in ast.walk(self.tree) if isinstance(node, ast.Call))
        return tuple(dict.fromkeys(function.id for function in calls if isinstance(function, ast.Name)))

    @cached_property
    def variables(self) -> frozenset[str]:
        """Names that it gives to values and never calls; it needs no tool of such a name: `for point in points`."""
        nodes = list(ast.walk(self.tree))
        bound = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        bound |= {n.arg for n in nodes if isinstance(n, ast.arg)}
        return frozenset(bound - set(self.called))

    def bind(self, images: Sequence[T]) -> dict[str, T | list[T]]:
        """The images under the names that the program gives them.

        `def answer(image)` gets the image, `def answer(images)` the list, `def answer(before, after)` one each. A
        script finds `image`, the first, and `images`, all of them.
        """
        names = self.parameters
        if names is None and self.takes_video:
            return {"video": images[0]} if images else {}
        if names is None:
            return {"image": images[0], "images": list(images)} if images else {}
        if len(names) == 1 and (len(images) != 1 or names[0] in IMAGES_NAMES):
            return {names[0]: list(images)}
        return dict(zip(names, images, strict=False))

    def inputs(self, images: int | None = None) -> dict[str, Type]:
        """Types of what `bind` gives for so many images, or for as many as the program has names for.

        Args:
            images: number of images, at least that of the names; a list of them is then a tuple of so many. If None,
                it may be any.
        """
        bound = self.bind(range(max(images or 1, len(self.parameters or ()))))
        if self.takes_video:
            return {name: Video for name in bound}
        return {
            name: Image if isinstance(value, int)
            else list[Image] if images is None
            else GenericAlias(tuple, (Image,) * len(value))
            for name, value in bound.items()
        }  # fmt: skip

    def mismatch(self, images: int, video: bool = False) -> str:
        """Why the program cannot be given so many images, or a video, in one sentence; empty if it can."""
        names = self.parameters
        if video != self.takes_video and names != ():
            wanted, given = ("a video", "images were") if self.takes_video else ("images", "a video was")
            hint = "def answer(image)" if self.takes_video else "def answer(video)"
            return f"the program takes {wanted}, and {given} given; for the other, write '{hint}'"
        if not names or images == len(names):
            return ""
        if len(names) == 1 and images > 0 and names[0] not in IMAGE_NAMES:
            return ""
        wanted = f"{len(names)} images" if len(names) > 1 else "one image"
        given = "none was" if images == 0 else "one was" if images == 1 else f"{images} were"
        hint = "; to take any number, write 'def answer(images)'" if len(names) == 1 and images else ""
        return f"the program takes {wanted} ({', '.join(names)}), and {given} given{hint}"


@lru_cache(MAX_KEPT)
def _parsed(source: str) -> Program:
    tree = parse(source)
    return (
        Program(source, ast.Module([], []), tree) if isinstance(tree, Diagnostic) else Program(source, tree)
    )


def program_source(program: str | os.PathLike[str]) -> str:
    """The source itself, or the content of the file that is named: one line that ends in .py is a path.

    Raises:
        VisprogError: It is neither, or the file cannot be read.
    """
    if not isinstance(program, str | os.PathLike):
        raise VisprogError(f"a program is its source or the path of its file, not {describe(program)}")
    if isinstance(program, os.PathLike) or ("\n" not in program and program.strip().endswith(".py")):
        try:
            return read_text(program)
        except OSError as error:
            raise VisprogError(f"cannot read the program {program}: {error.strerror or error}") from None
        except ValueError as error:
            raise VisprogError(f"the program {program} {error}") from None
    return program


# -- images that users give ------------------------------------------------------------------------------


def open_image(given: Any, config: Config) -> Image:
    """Whatever `Image.open` reads, within the settings in force. Raises `ImageError` as it does."""
    return Image.open(given, allow_url=config.allow_url, max_pixels=config.max_pixels)


def open_given(given: Any, config: Config) -> Given:
    """A video, if it is one, else whatever `Image.open` reads; within the settings in force. Raises `ImageError`."""
    if is_camera(given):
        raise ImageError(
            f"{printable(given)} is a camera: say for how many seconds it is recorded (--for 10), or open it with "
            "visprog.camera.open_camera"
        )
    if is_video(given):
        return Video.open(given, allow_url=config.allow_url, max_pixels=config.max_pixels)
    return open_image(given, config)


def open_images(given: Iterable[Any], config: Config) -> tuple[Given, ...]:
    """Images given one after another, or in lists, tuples and iterators such as `Path.glob` returns; or one video.

    Raises:
        ImageError: one of them cannot be read, there are too many, or a video is not alone.
    """
    several = list(islice((each for item in given for each in _each(item)), config.limits.images + 1))
    if len(several) > config.limits.images:
        raise ImageError(
            f"a question is about {config.limits.images} images at most: ask about fewer, use map for one image after "
            "another, or raise 'images' under [limits]"
        )
    videos = [each for each in several if is_video(each)]
    if videos and len(several) > 1:
        raise ImageError(
            "a question is about one video, or about images: use map for one video after another"
        )
    return tuple(open_given(each, config) for each in several)


def _each(given: Any) -> Iterable[Any]:
    several = isinstance(given, list | tuple | Iterator) and not hasattr(given, "read")
    return given if several else (given,)
