"""One question, many images: one plan, programs that run at once, memory that does not grow."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from ..answer import Answer
from ..errors import VisprogError
from ..report import markup
from ..report.figures import draw, encode
from ..report.forms import one_line
from ..report.markup import Markup
from ..values.codec import show
from ..values.image import Image
from ..values.video import is_video
from .image_folder import ImageFolder

MAX_ROWS = 50
"""Bound of the rows of a table of results."""

_ROW_SIDE = 96
"""Longest side of the image of a row, in pixels."""


@dataclass(frozen=True)
class ImageSource:
    """An image that is to be asked about, not yet opened.

    Attributes:
        index: Position among all, from 0.
        name: Path within the folder, or as it was given; of an image in memory its position.
        given: What `Image.open` reads.
    """

    index: int
    name: str
    given: Any


@dataclass(frozen=True)
class MapResult:
    """The answer about one image.

    Attributes:
        index: Position of the image among all, from 0.
        image: Its name; see `ImageSource`.
        answer: As `Agent.ask` gives it.
    """

    index: int
    image: str
    answer: Answer

    def __repr__(self) -> str:
        return f"MapResult({self.index}, {one_line(self.image, 40)!r}, {one_line(str(self.answer), 50)!r})"

    def _repr_html_(self) -> str:
        return results_html([self])


def results_html(results: Iterable[MapResult], count: int | None = None) -> Markup:
    """Results as a table for notebooks: a small image, the answer, why there is none.

    Args:
        count: Number of all results, if `results` holds only the first of them.
    """
    shown = list(islice(results, MAX_ROWS + 1))
    rows = [_row(result) for result in shown[:MAX_ROWS]]
    hidden = len(shown) > MAX_ROWS or (count or 0) > MAX_ROWS
    more = f"first {MAX_ROWS}" + (f" of {count:,} results" if count else " results")
    note = [markup.tag("div", more, style=markup.NOTE)] if hidden else []
    return markup.card(markup.table(rows, ("image", "", "status", "answer")), *note)


def _row(result: MapResult) -> Sequence[str]:
    answer = result.answer
    text = show(answer.value) if answer.value is not None else answer.message
    text = markup.tag("span", one_line(text, 200), style=markup.PLAIN)
    return _thumbnail(answer.images), result.image, markup.badge(answer.status), text


def _thumbnail(images: Sequence[Image]) -> Markup:
    if not images:
        return Markup("")
    image = images[0]
    figure = encode(draw(image.to_pil(), (0, 0, image.width, image.height), (), _ROW_SIDE))
    shown = markup.image(figure, image.name or "image")
    return markup.tag("div", shown, style=markup.css(f"min-width:{figure.width}px;"))


class Answerer(Protocol):
    """Answers one question about one image after another, in several threads at once."""

    @property
    def program(self) -> str:
        """The program for all images; empty if each has its own."""
        ...

    def __call__(self, given: Any, /) -> Answer:
        """The answer about an image. May raise anything, for instance if it cannot be read."""
        ...


class Sources:
    """Images to ask about, named and numbered; their files are found as they are needed.

    Args:
        images: a folder, or whatever yields what `Image.open` reads.
        wanted: whether an image is to be asked about; all are by default.
        most: number of them, at most; None for all.
    """

    def __init__(
        self,
        images: ImageFolder | Iterable[Any],
        wanted: Callable[[ImageSource], bool] | None,
        most: int | None = None,
    ) -> None:
        self._images = images
        self._wanted = wanted
        self._most = most
        self._length: int | None = None

    def __iter__(self) -> Iterator[ImageSource]:
        if isinstance(self._images, ImageFolder):
            folder = self._images.path
            named = ((path.relative_to(folder).as_posix(), path) for path in self._images)
            found = (ImageSource(i, name, path) for i, (name, path) in enumerate(named))
        else:
            found = (
                each if isinstance(each, ImageSource) else ImageSource(i, _name(each, i), each)
                for i, each in enumerate(self._images)
            )
        return islice(found if self._wanted is None else filter(self._wanted, found), self._most)

    def first(self, most: int) -> Sources:
        """The first of them, at most so many."""
        return Sources(self._images, self._wanted, most)

    def __len__(self) -> int:
        """Number of images, as it was when it was first asked for.

        Raises:
            TypeError: they come from an iterator, which does not say how many there are.
            VisprogError: the folder cannot be read.
        """
        length = self.known_length()
        if length is None:
            raise TypeError("the number of images is not known: they come from an iterator")
        return length

    def known_length(self) -> int | None:
        """The same; None if it is not known."""
        if self._length is None:
            if isinstance(self._images, ImageFolder | list | tuple):
                self._length = sum(1 for _ in self)
            elif (
                self._wanted is None and self._most is None and isinstance(self._images, Sized)
            ):  # whose items may be slow to read
                self._length = len(self._images)
        return self._length

    @property
    def are_videos(self) -> bool:
        """Whether videos are asked about: the first is one, of those that do not come from an iterator."""
        if isinstance(self._images, ImageFolder):
            return self._images.videos
        if not isinstance(self._images, list | tuple):
            return False
        first = next(iter(self), None)
        return first is not None and is_video(first.given)

    @property
    def left_out(self) -> Counter[str]:
        """Number of files of the folder that are no images, per ending; see `ImageFolder`."""
        return self._images.left_out if isinstance(self._images, ImageFolder) else Counter()

    @property
    def notice(self) -> str:
        """The same in one sentence."""
        return self._images.notice if isinstance(self._images, ImageFolder) else ""


def sources(
    images: Iterable[Any] | str | os.PathLike[str], wanted: Callable[[ImageSource], bool] | None = None
) -> Sources:
    """The images of a folder and the folders in it, by name, or its videos if it has no still images; or of whatever
    yields what `Image.open` reads.

    Raises:
        VisprogError: there is no such folder, or `images` is neither.
    """
    if isinstance(images, str | os.PathLike):
        folder = Path(images)
        if not folder.is_dir():
            hint = "; one image is asked about with ask" if folder.is_file() else ""
            raise VisprogError(f"there is no folder {folder}{hint}")
        return Sources(_images_or_videos(folder), wanted)
    if isinstance(images, bytes | bytearray | Image) or not isinstance(images, Iterable) or _is_one(images):
        raise VisprogError(f"give a folder or several images, not one {type(images).__name__}")
    return images if isinstance(images, Sources) and wanted is None else Sources(images, wanted)


def _images_or_videos(folder: Path) -> ImageFolder:
    """The images of a folder; its videos and animated images, if it has no others."""
    images, videos = ImageFolder(folder), ImageFolder(folder, videos=True)
    with suppress(VisprogError):  # of a folder that cannot be read: that is said when it is asked about
        if all(map(is_video, images)) and next(iter(videos), None) is not None:
            return videos
    return images


def map_on_threads(
    question: str,
    images: Iterable[ImageSource],
    start: Callable[[], AbstractContextManager[Answerer]],
    *,
    jobs: int,
    ordered: bool,
) -> Generator[MapResult, None, None]:
    """Results as `Agent.map` gives them.

    Args:
        start: Makes the answerer when the first result is asked for; it is closed after the last.
        jobs: Number of images that are worked on at once.
    """
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(jobs, thread_name_prefix="visprog-map"))
        answerer: Answerer | None = None

        def submit(source: ImageSource) -> Future[MapResult]:
            nonlocal answerer
            if answerer is None:
                answerer = stack.enter_context(start())
            return pool.submit(answer_one, answerer, question, source)

        yield from in_flight(images, submit, most=2 * jobs, ordered=ordered)


def answer_one(answerer: Answerer, question: str, source: ImageSource) -> MapResult:
    """The answer for one image, whatever goes wrong with it."""
    started = time.perf_counter()
    try:
        answer = answerer(source.given)
    except VisprogError as error:
        answer = Answer("error", message=str(error), program=answerer.program)
    except Exception as error:  # of one image: the others go on
        answer = Answer("error", message=f"{type(error).__name__}: {error}", program=answerer.program)
    answer = replace(answer, question=question, seconds=time.perf_counter() - started)
    return MapResult(source.index, source.name, answer)


def in_flight(
    images: Iterable[ImageSource],
    submit: Callable[[ImageSource], Future[MapResult]],
    *,
    most: int,
    ordered: bool,
) -> Generator[MapResult, None, None]:
    """Results of work that is submitted ahead, so that at most `most` are unfinished or wait to be taken."""
    waiting: deque[Future[MapResult]] = deque()

    def done() -> Iterator[MapResult]:
        """What can be handed out; if there is no room for more, at least one."""
        if len(waiting) >= most:
            wait([waiting[0]] if ordered else waiting, return_when=FIRST_COMPLETED)
        for future in [*waiting]:
            if future.done():
                waiting.remove(future)
                yield future.result()
            elif ordered:
                return

    try:
        for source in images:
            waiting.append(submit(source))
            yield from done()
        most = 1  # of what is left, each as soon as it may be
        while waiting:
            yield from done()
    finally:
        for future in waiting:
            future.cancel()


def _name(given: Any, index: int) -> str:
    return str(given) if isinstance(given, str | os.PathLike) else str(index)


def _is_one(images: Iterable[Any]) -> bool:
    """Whether an array is one image, whose rows are no images."""
    shape: tuple[int, ...] = getattr(images, "shape", ())
    return len(shape) == 2 or (len(shape) == 3 and shape[-1] in (1, 3, 4))
