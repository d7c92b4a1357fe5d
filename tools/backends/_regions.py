"""What the backends on models that read regions share: ViLBERT, VisualBERT and LXMERT.

The folder of such a model names the frozen detector whose regions it was trained on. What that detector was not taught
to see, the model cannot judge either.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from visprog.errors import ToolError
from visprog.registry.sees import Parsed, Sees
from visprog.values import Box, Region
from visprog.values.image import Image

from ._backend_file import folder_of, known_words, read_json, words_summary
from ._batching import chunks
from ._checkpoint import Checkpoint, CheckpointSource
from ._features import FEATURES
from ._gate import to_view
from ._loading import load
from ._model_backend import ModelBackend
from ._vocabulary import ARTICLES, in_known_words


class Look(NamedTuple):
    """One call: an image, a text in the words of the model, and the boxes that it is about, in pixels of the image;
    none for all that the detector finds."""

    image: Image
    text: str
    boxes: tuple[Box, ...] = ()


class RegionProcessor(NamedTuple):
    """What prepares the inputs of a model that reads regions."""

    tokenizer: Any
    encoder: Any


class RegionBackend(ModelBackend):
    """Backend on a model that reads regions.

    Args:
        batch_size: Number of images that the network sees at once.

    Attributes:
        model_type: Type of the model in its `config.json`.
        recipe: Recipe that trains one.
        parameter: Argument of the tool that holds the text.
        context: Whether the detector adds to given boxes what else there is.
    """

    default_model = ""
    model_type: ClassVar[str]
    recipe: ClassVar[str]
    parameter: ClassVar[str]
    context: ClassVar[bool] = False

    def __init__(self, model: str | None = None, *, batch_size: int = 32, **options: Any) -> None:
        if not model:
            raise ToolError(
                f"{self.tool}: this backend has no model of its own: train one with `visprog train {self.recipe}`, "
                f'and set model = "FOLDER" under [tools.{self.tool}] in visprog.toml'
            )
        super().__init__(model, **options)
        self.batch_size = batch_size

    @property
    def sees(self) -> Sees:
        """The words that the model was taught; any text if it reads any word."""
        if known_words(self.folder) is None:
            return Sees("any short text.")
        return Sees(words_summary(self.folder), {self.parameter: Parsed(self._read)})

    @property
    def checkpoint(self) -> Checkpoint:
        """The model and its detector, loaded when they are first used.

        Raises:
            ToolError: There is no such model, or it does not say which regions it reads.
        """
        return load(self._find(self.model_type), self.device, self.dtype, processor=_region_processor)

    @cached_property
    def detector(self) -> Path | None:
        """The folder of the detector that finds the regions; None for a hub id."""
        try:
            raw = read_json(self.folder / "region_encoder.json") if self.folder else {}
        except (OSError, ValueError):  # said when the model is loaded
            raw = {}
        return folder_of(str(raw.get("source", "")))

    def _read(self, text: str) -> str:
        """A text in the words of the training.

        Raises:
            Refused: It has words that the model does not know.
            ToolError: It is empty.
        """
        way_out = f"train one on such words, or set another backend under [tools.{self.tool}] in visprog.toml"
        known = known_words(self.folder)
        return in_known_words(
            text, known, model=self.model, tool=self.tool, way_out=way_out, ignored=ARTICLES
        )

    def _look(self, seen: Image | Region, text: str) -> Look:
        """An image with all that is in it, or one region alone.

        Raises:
            Refused: The detector was not taught to see such images.
            ToolError: The region does not know its image.
        """
        if isinstance(seen, Region) and seen.image is None:
            raise ToolError(f"{self.tool}: this region does not know its image: give an image")
        seen = to_view(seen, self.detector, self.tool)
        if isinstance(seen, Image):
            return Look(seen, text)
        assert seen.image is not None
        return Look(seen.image.root, text, (seen.box,))

    def _outputs(self, looks: Sequence[Look]) -> list[tuple[Any, int]]:
        """What the model says, and the row of it that a call is about.

        Raises:
            ToolError: The detector finds no regions by itself.
        """
        checkpoint = self.checkpoint
        tokenizer, encoder = checkpoint.processor
        found = []
        with checkpoint.running():
            for part in chunks(looks, self.batch_size):
                tokens, mask = tokenizer([look.text for look in part])
                regions = _encoded(checkpoint, encoder, part, self.context)
                output = checkpoint.network(checkpoint.send(tokens), regions, checkpoint.send(mask))
                found += [(output, row) for row in range(len(part))]
        return found


def _encoded(checkpoint: Checkpoint, encoder: Any, looks: Sequence[Look], context: bool) -> Any:
    """The regions of some calls as one batch."""
    from visprog.models.region_encoder import one_row, stack

    encoder.to(next(checkpoint.network.parameters()).device)
    images = {look.image.digest: look.image for look in looks}

    def compute(keys: list[tuple[str, tuple[Box, ...]]]) -> list[Any]:
        rows: dict[Any, Any] = {}
        for given in (False, True):
            group = [(digest, boxes) for digest, boxes in keys if bool(boxes) == given]
            if not group:
                continue
            shares = [[_shares(box, images[digest]) for box in boxes] for digest, boxes in group]
            pixels = [images[digest].pixels for digest, _ in group]
            try:
                found = encoder.encode(pixels, shares if given else None, complete=context)
            except ValueError as error:
                raise ToolError(f"{checkpoint.source.tool}: {error}") from error
            for k, key in enumerate(group):
                row = one_row(found, k)
                rows[key] = type(row)(*(None if part is None else part.clone() for part in row))
        return [rows[key] for key in keys]

    keys = [(look.image.digest, look.boxes) for look in looks]
    whole = stack(FEATURES.get(checkpoint, "completed regions" if context else "regions", keys, compute))
    return type(whole)(*(None if part is None else checkpoint.send(part) for part in whole))


def _shares(box: Box, image: Image) -> tuple[float, float, float, float]:
    """The corners of a box in shares of its image."""
    width, height = image.size
    return box.left / width, box.top / height, box.right / width, box.bottom / height


def _region_processor(source: CheckpointSource, network: Any) -> RegionProcessor:
    """The tokenizer and the region encoder of a model."""
    from visprog.models.checkpoint.hub import locate
    from visprog.models.preprocess.tokenizer import Tokenizer
    from visprog.models.region_encoder import RegionEncoder

    folder = locate(source.place)
    encoder = RegionEncoder.from_pretrained(folder)
    if encoder.region_dim != network.config.region_dim:
        raise ValueError(
            f"its regions have {network.config.region_dim} numbers, those of {encoder.config.source} "
            f"{encoder.region_dim}"
        )
    return RegionProcessor(Tokenizer.from_pretrained(folder, length=network.config.length), encoder)
