"""`visprog search`: the images of a folder that fit a text, or are like an image."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import VisprogError
from .common import BackendOption, ConfigOption, HtmlOption, JsonOption, MaxPixelsOption, ToolsOption
from .inputs import check_outputs
from .result import Result, UsageError
from .settings import load_settings
from .status import say

if TYPE_CHECKING:
    from ..config import Config
    from ..registry import Registry
    from ..retrieval.index import Changes, FeatureEncoder, Hit
    from ..runtime.host import Host

MAX_NAMED = 3
"""Number of images without a feature that are named on standard error; `--json` names all."""

_THUMBNAIL = 220
"""Longest side of an image in the HTML page, in pixels."""


@dataclass(frozen=True)
class Query:
    """What is looked for.

    Attributes:
        name: The text, or the path of the image.
        image: Whether it is an image.
    """

    name: str
    image: bool = False


def search(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of images.", show_default=False)],
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar='"TEXT"...', help="What the images show, in quotes.", show_default=False),
    ] = None,
    image: Annotated[
        list[str] | None, typer.Option("--image", help="Image to find similar ones of. May be repeated.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Number of images to find.")] = 10,
    rerank: Annotated[
        int,
        typer.Option(
            "--rerank", min=0, help="Number of the first images that the tool match puts in order anew."
        ),
    ] = 0,
    distinct: Annotated[
        float | None,
        typer.Option(
            "--distinct", min=0, max=1, help="Leave out images that are as similar to a better one: 0.95."
        ),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option("--index", help="Folder of the index; one in the cache of the user, if not given."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Build the index anew.")] = False,
    backend: BackendOption = None,
    tools: ToolsOption = None,
    config: ConfigOption = None,
    max_pixels: MaxPixelsOption = None,
    html: HtmlOption = None,
    json: JsonOption = False,
) -> Result:
    """Find the images of a folder that fit a text best, or are most like an image.

    The first search encodes all images, later ones those that are new or have changed.

    \b
    visprog search photos/ "a red car at night" --backend retrieve=siglip
    visprog search photos/ --image query.jpg -k 20 --distinct 0.95
    visprog search photos/ "a dog" "a cat" --rerank 32 --html found.html
    """
    from ..registry import chosen_registry
    from ..runtime.host import Host

    queries = [*(Query(text) for text in texts or ()), *(Query(path, True) for path in image or ())]
    if not queries:
        raise UsageError('nothing to look for: visprog search FOLDER "TEXT", or --image FILE')
    if not folder.is_dir():
        raise VisprogError(f'there is no folder {folder}: visprog search FOLDER "TEXT"')
    if rerank and image:
        raise UsageError("--rerank compares with a text, and --image is none")
    check_outputs({"--html": html}, image or ())
    settings = load_settings(config, tools, backend, max_pixels=max_pixels)
    registry = chosen_registry(settings)
    host = Host(registry, _with_encoder(settings, registry))
    run = _Search(host, folder, queries, max(k, rerank))
    found = run.find(index, fresh, distinct)
    if rerank:
        found = [
            [*run.reranked(query.name, hits[:rerank]), *hits[rerank:]]
            for query, hits in zip(queries, found, strict=True)
        ]
    found = [hits[:k] for hits in found]
    if html is not None:
        _write_page(html, folder, queries, found, host.config.max_pixels)
    if not json:
        _print(folder, queries, found)
    return Result(run.summary(found))


def _with_encoder(settings: Config, registry: Registry) -> Config:
    """The settings, with the model of `match` or `classify` for `retrieve` if that has none and can run it."""
    from ..config import ToolConfig

    tool = registry.find("retrieve")
    if settings.tools.get("retrieve", ToolConfig()) != ToolConfig():
        return settings
    for name in ("match", "classify"):
        chosen = settings.tools.get(name, ToolConfig())
        if chosen.backend in tool.backends:
            return replace(settings, tools={**settings.tools, "retrieve": chosen})
    return settings


class _Search:
    """One call of the command.

    Args:
        count: Number of images per query.
    """

    def __init__(self, host: Host, folder: Path, queries: Sequence[Query], count: int) -> None:
        self.host, self.folder, self.queries, self.count = host, folder, queries, count
        self.started = time.monotonic()
        self.place = Path()
        self.images = 0
        self.changes: Changes
        self.seconds = 0.0

    def find(self, place: Path | None, fresh: bool, max_similarity: float | None) -> list[list[Hit]]:
        """The images of each query, best first.

        Raises:
            Refused: No model is chosen that can do it, or it was not taught the words or any of the images.
        """
        import numpy as np

        from ..errors import Refused
        from ..mapping.image_folder import ImageFolder
        from ..retrieval.index import default_place, update_index

        encoder = self._encoder()
        features = np.stack([self._feature(encoder, query) for query in self.queries])
        self.place = place or default_place(self.folder, encoder.digest())
        images = ImageFolder(self.folder)
        with _progress() as progress:
            try:
                index, self.changes = update_index(
                    self.place,
                    ((path.relative_to(self.folder).as_posix(), path) for path in images),
                    encoder,
                    features.shape[1],
                    fresh=fresh,
                    max_pixels=self.host.config.max_pixels,
                    say=say,
                    progress=progress,
                )
            except KeyboardInterrupt:
                say("interrupted: the images that are encoded are kept; run the same command again to resume")
                raise
        if images.notice:
            say(images.notice)
        self._say_broken()
        if not len(index):
            reason = next(iter(self.changes.broken.values()), "it holds none")
            raise Refused(f"no image of {self.folder} can be searched: {reason}")
        self.images = len(index)
        began = time.monotonic()
        found = index.search(features, self.count, max_similarity)
        self.seconds = time.monotonic() - began
        return found

    def _encoder(self) -> FeatureEncoder:
        from ..errors import Refused, ToolError
        from ..retrieval.index import FeatureEncoder

        tool = self.host.in_force["retrieve"]
        encoder = self.host.batcher(self.host.registry["retrieve"]).backend
        if isinstance(encoder, FeatureEncoder):
            return encoder
        if tool.sees.nothing:
            raise Refused(f"{tool.sees.nothing}, or give --backend retrieve=NAME")
        raise ToolError(
            f"the backend '{self.host.backend_of(tool)}' of retrieve encodes no folders: choose clip, siglip or dino"
        )

    def _feature(self, encoder: FeatureEncoder, query: Query) -> Any:
        if not query.image:
            return encoder.text_features([query.name])[0]
        from ..values.image import Image

        (feature,) = encoder.image_features([Image.open(query.name, max_pixels=self.host.config.max_pixels)])
        if isinstance(feature, Exception):
            raise feature
        return feature

    def reranked(self, text: str, hits: Sequence[Hit]) -> list[Hit]:
        """Images by how well they fit a text, as the tool `match` says, which also gives the scores."""
        from ..values.image import Image

        tool, run = self.host.registry.find("match"), self.host.new_run()
        scored = []
        for hit in hits:
            image = Image.open(self.folder / hit.name, max_pixels=self.host.config.max_pixels)
            scored.append(hit._replace(score=float(run.call(tool, image, text))))
        return sorted(scored, key=lambda hit: -hit.score)

    def _say_broken(self) -> None:
        from ..files.reading import printable

        broken = self.changes.broken
        if broken:
            named = "; ".join(
                why if why.startswith(name) else f"{printable(name)}: {why}"
                for name, why in [*broken.items()][:MAX_NAMED]
            )
            more = f"; and {len(broken) - MAX_NAMED} more" if len(broken) > MAX_NAMED else ""
            say(f"{len(broken)} image{'s' * (len(broken) > 1)} left out: {named}{more}")

    def summary(self, found: Sequence[Sequence[Hit]]) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "status": "ok",
            "folder": str(self.folder),
            "index": str(self.place),
            "images": self.images,
            "encoded": self.changes.added,
            "removed": self.changes.removed,
            "left_out": dict(self.changes.broken),
            "results": [
                {
                    "image" if query.image else "text": query.name,
                    "hits": [{"image": hit.name, "score": round(hit.score, 4)} for hit in hits],
                }
                for query, hits in zip(self.queries, found, strict=True)
            ],
            "search_seconds": round(self.seconds, 4),
            "seconds": round(time.monotonic() - self.started, 3),
        }


def _print(folder: Path, queries: Sequence[Query], found: Sequence[Sequence[Hit]]) -> None:
    from ..files.reading import printable

    for query, hits in zip(queries, found, strict=True):
        if len(queries) > 1:
            print(f"{printable(query.name)}:")
        for hit in hits:
            print(f"{hit.score:6.3f}  {printable(folder / hit.name, 4096)}")


def _write_page(
    path: Path, folder: Path, queries: Sequence[Query], found: Sequence[Sequence[Hit]], max_pixels: int
) -> None:
    from ..files.journal import replacing
    from ..files.writing import utf8
    from ..report import markup
    from ..report.figures import draw, encode
    from ..report.html import document
    from ..values.image import Image

    def figure(hit: Hit) -> markup.Markup:
        image = Image.open(folder / hit.name, max_pixels=max_pixels)
        drawn = draw(image.to_pil(), (0, 0, image.width, image.height), (), _THUMBNAIL)
        return markup.image(encode(drawn), hit.name, f"{hit.score:.3f}  {hit.name}")

    cards = [
        markup.card(markup.tag("div", query.name, style=markup.TITLE), *map(figure, hits))
        for query, hits in zip(queries, found, strict=True)
    ]
    text = document(queries[0].name, markup.join(cards))
    replacing(path, lambda file: file.write(utf8(text)))


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Progress bar on standard error; without a terminal, a line every 30 seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    last = time.monotonic()
    columns = (TextColumn("encoding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("")

        def show(done: int, of: int) -> None:
            nonlocal last
            bar.update(task, completed=done, total=of)
            if bar.disable and time.monotonic() - last > 30:
                last = time.monotonic()
                console.print(f"{done} of {of} images are encoded")

        yield show
