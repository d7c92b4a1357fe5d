"""Values of tool calls in their JSON form and back, exactly. Pixels are kept in files, by their content."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ImageError, VisprogError
from visprog.files.journal import replacing
from visprog.files.limits import limits
from visprog.files.reading import read_file
from visprog.values import Box, Point
from visprog.values.codec import Reader, Writer, type_name
from visprog.values.image import Image
from visprog.values.png import decode_pixels

_DIGEST = re.compile(r"[0-9a-f]{64}")


class CannotBeRecorded(VisprogError):
    """A value that is of no known kind."""


class Store:
    """Encodes and decodes values; images and masks lie as PNG files in a folder.

    Args:
        folder: Of the files; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # -- to plain data ---------------------------------------------------------------------------

    def encode(self, value: Any, *, at_hand: Mapping[str, Image], save: bool = True) -> Any:
        """A value as JSON can hold it.

        Args:
            at_hand: Root images, by digest, that will be there when the value is decoded.
            save: Write the pixels of others; without it this only describes the value.

        Raises:
            CannotBeRecorded: A value that is of no known kind.
            VisprogError: A file cannot be written.
        """

        def keep(image: Image, alone: bool) -> None:
            root = image.root
            if root.digest not in at_hand:
                self._save_image(root)
            if image is not root and not _is_part(image, root):
                self._save_image(image)  # it was changed after it was cut

        def pixels(array: NDArray[Any]) -> str:
            name = f"{_digest(array)}.png"
            if save:
                self._save(name, array)
            return name

        return (Writer(keep, pixels, _refuse) if save else Writer(pixels=pixels, other=_refuse)).value(value)

    def _save_image(self, image: Image) -> None:
        self._save(f"{image.digest}.png", image.pixels)
        if image.alpha is not None:
            self._save(f"{image.digest}.alpha.png", image.alpha)

    def _save(self, name: str, pixels: Any) -> None:
        import PIL.Image

        path = self.folder / name
        if path.exists():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VisprogError(f"cannot write {self.folder}: {error.strerror or error}") from None
        buffer = io.BytesIO()
        PIL.Image.fromarray(pixels).save(buffer, "png")
        replacing(path, lambda file: file.write(buffer.getvalue()))

    # -- and back --------------------------------------------------------------------------------

    def decode(self, data: Any, *, at_hand: Mapping[str, Image]) -> Any:
        """The value that `encode` was given.

        Raises:
            VisprogError: a file is missing or has been changed, or the data are no recorded value.
        """
        known = dict(at_hand)
        reader = Reader(lambda form: self._read_image(form, known), self._read_pixels)
        try:
            return reader.value(data)
        except (
            KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError,
        ) as error:  # fmt: skip
            raise VisprogError(f"this is no recorded value ({type(error).__name__}: {error})") from None

    def _read_image(self, data: Mapping[str, Any], known: dict[str, Image]) -> Image:
        digest, root, name = data["digest"], data["root"], data["name"]
        if not isinstance(name, str):
            raise TypeError(f"the name of an image is a {type(name).__name__}")
        if root not in known:
            known[root] = self._open(root, name)
        if digest == root:
            return known[root]
        origin = Point(*data["origin"])
        part = _cut(known[root], origin, (data["width"], data["height"]))
        if part is None or part.digest != digest:
            changed = self._open(digest, name)
            part = Image(changed.pixels, changed.alpha, name, known[root], origin)
        return part

    def _open(self, digest: str, name: str) -> Image:
        path, alpha = self._path(digest, ".png"), self._path(digest, ".alpha.png")
        pixels = Image.open(path).pixels
        image = Image(pixels, _grey(alpha) if alpha.exists() else None, name)
        if image.digest != digest:
            raise VisprogError(f"{path} is not the image that was recorded: it has been changed")
        return image

    def _read_pixels(self, file: str) -> NDArray[Any]:
        digest = file.removesuffix(".png")
        path = self._path(digest, ".png")
        try:
            pixels = decode_pixels(read_file(path, limits().file_bytes))
        except OSError as error:
            raise VisprogError(f"cannot read {path}: {error.strerror or error}") from None
        if _digest(pixels) != digest:
            raise VisprogError(f"{path} is not the mask that was recorded: it has been changed")
        return pixels

    def _path(self, digest: str, ending: str) -> Path:
        """A file of pixels. Nothing but a digest becomes part of a path: a recording may come from anywhere."""
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!a:.80} is no digest")
        return self.folder / f"{digest}{ending}"


def root_images(value: Any) -> dict[str, Image]:
    """The root images that a value lies in, by digest."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return {digest: image for each in value for digest, image in root_images(each).items()}
    image = value if isinstance(value, Image) else getattr(value, "image", None)
    return {image.root.digest: image.root} if isinstance(image, Image) else {}


def without_names(data: Any) -> Any:
    """Encoded data without the names of images: what a result depends on."""
    if isinstance(data, Mapping):
        is_image = data.get("type") == "Image"
        return {k: without_names(v) for k, v in data.items() if not (is_image and k == "name")}
    return [without_names(each) for each in data] if isinstance(data, list) else data


def _refuse(value: Any) -> Any:
    raise CannotBeRecorded(f"a value of type {type_name(type(value))} cannot be recorded")


def _is_part(image: Image, root: Image) -> bool:
    """Whether a crop has the very pixels of the image it was cut from."""
    part = _cut(root, image.origin, image.size)
    return part is not None and part.digest == image.digest


def _cut(root: Image, origin: Point, size: tuple[int, int]) -> Image | None:
    width, height = size
    try:
        return root.crop(Box(origin.x, origin.y, origin.x + width, origin.y + height))
    except ImageError:  # it lies outside
        return None


def _digest(pixels: NDArray[Any]) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def _grey(path: Path) -> Any:
    return np.ascontiguousarray(Image.open(path).pixels[:, :, 0])
