"""Values of tool calls as plain data and back, exactly. Pixels are kept in files, by their content."""

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
from visprog.values import Box, Circle, Grid, Line, Mask, Point, Polygon, Region
from visprog.values.image import Image

_DIGEST = re.compile(r"[0-9a-f]{64}")


class CannotBeRecorded(VisprogError):
    """A value of a kind that a recording does not know."""


class Store:
    """Encodes and decodes values; pictures and masks lie as PNG files in a folder.

    Args:
        folder: of the files; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # -- to plain data ---------------------------------------------------------------------------

    def encode(self, value: Any, *, at_hand: Mapping[str, Image], save: bool = True) -> Any:
        """A value as JSON can hold it.

        Args:
            at_hand: whole pictures, by digest, that will be there when the value is decoded.
            save: write the pixels of others; without it this only describes the value.

        Raises:
            CannotBeRecorded: a value of another kind than tools take and give.
            VisprogError: a file cannot be written.
        """

        def plain(v: Any) -> Any:
            if v is None or isinstance(v, bool | str):
                return v
            if isinstance(v, int | float | np.generic):
                return _number(v)
            if isinstance(v, list):
                return [plain(each) for each in v]
            if isinstance(v, tuple):
                return {"type": "tuple", "items": [plain(each) for each in v]}
            if isinstance(v, set | frozenset):
                return {"type": "set", "items": sorted((plain(each) for each in v), key=repr)}
            if isinstance(v, Mapping):
                return {"type": "dict", "items": [[plain(k), plain(each)] for k, each in v.items()]}
            if isinstance(v, Image):
                return self._image(v, at_hand, save)
            if isinstance(v, Mask):
                return {"type": "Mask", "box": _box(v.box), "file": self._mask(v, save)}
            if isinstance(v, Region):
                region = {"box": _box(v.box), "label": v.label, "score": _number(v.score)}
                return {"type": "Region", **region, "image": plain(v.image), "mask": plain(v.mask)}
            if isinstance(v, Box):
                return {"type": "Box", "box": _box(v)}
            if isinstance(v, Point):
                return {"type": "Point", "x": _number(v.x), "y": _number(v.y)}
            if isinstance(v, Circle):
                center = [_number(v.center.x), _number(v.center.y)]
                circle = {"center": center, "radius": _number(v.radius), "color": v.color}
                return {"type": "Circle", **circle, "image": plain(v.image)}
            if isinstance(v, Line | Polygon):
                points = [[_number(p.x), _number(p.y)] for p in v.points]
                return {
                    "type": type(v).__name__, "points": points, "color": v.color, "image": plain(v.image),
                }  # fmt: skip
            if isinstance(v, Grid):
                return {"type": "Grid", "rows": v.rows, "columns": v.columns, "box": _box(v.box)}
            raise CannotBeRecorded(f"a {type(v).__name__} cannot be recorded")

        return plain(value)

    def _image(self, image: Image, at_hand: Mapping[str, Image], save: bool) -> dict[str, Any]:
        root = image.root
        if save:
            if root.digest not in at_hand:
                self._save_pixels(root)
            if image is not root and not _is_part(image, root):
                self._save_pixels(image)  # it was changed after it was cut
        return {
            "type": "Image", "name": image.name, "digest": image.digest, "root": root.digest,
            "origin": [int(image.origin.x), int(image.origin.y)], "size": list(image.size),
        }  # fmt: skip

    def _save_pixels(self, image: Image) -> None:
        self._save(f"{image.digest}.png", image.pixels)
        if image.alpha is not None:
            self._save(f"{image.digest}.alpha.png", image.alpha)

    def _mask(self, mask: Mask, save: bool) -> str:
        if 0 in mask.pixels.shape:
            return ""
        name = f"{_mask_digest(mask.pixels)}.png"
        if save:
            self._save(name, mask.pixels)
        return name

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

        def value(d: Any) -> Any:
            if isinstance(d, list):
                return [value(each) for each in d]
            if not isinstance(d, Mapping):
                return d
            kind = d["type"]
            if kind == "tuple":
                return tuple(value(each) for each in d["items"])
            if kind == "set":
                return {value(each) for each in d["items"]}
            if kind == "dict":
                return {value(k): value(v) for k, v in d["items"]}
            if kind == "Image":
                return self._read_image(d, known)
            if kind == "Mask":
                return self._read_mask(d)
            if kind == "Region":
                mask = value(d["mask"])
                if not isinstance(mask, Mask | None):
                    raise TypeError(f"a {type(mask).__name__} stands in the place of a mask")
                return Region(Box(*d["box"]), d["label"], d["score"], image(d["image"]), mask)
            if kind == "Box":
                return Box(*d["box"])
            if kind == "Point":
                return Point(d["x"], d["y"])
            if kind == "Circle":
                return Circle(Point(*d["center"]), d["radius"], d["color"], image(d["image"]))
            if kind in ("Line", "Polygon"):
                points = tuple(Point(*p) for p in d["points"])
                return (Line if kind == "Line" else Polygon)(points, d["color"], image(d["image"]))
            if kind == "Grid":
                return Grid(d["rows"], d["columns"], Box(*d["box"]))
            raise VisprogError(f"a recorded value of an unknown kind: {kind!r}")

        def image(d: Any) -> Image | None:
            found = value(d)
            if not isinstance(found, Image | None):
                raise TypeError(f"a {type(found).__name__} stands in the place of an image")
            return found

        try:
            return value(data)
        except (
            KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError,
        ) as error:  # fmt: skip
            raise VisprogError(f"this is no recorded value ({type(error).__name__}: {error})") from None

    def _read_image(self, data: Mapping[str, Any], known: dict[str, Image]) -> Image:
        digest, root, name = data["digest"], data["root"], data["name"]
        if not isinstance(name, str):
            raise TypeError(f"the name of an image is a {type(name).__name__}")
        if root not in known:
            known[root] = self._read_pixels(root, name)
        if digest == root:
            return known[root]
        origin = Point(*data["origin"])
        part = _cut(known[root], origin, data["size"])
        if part is None or part.digest != digest:
            changed = self._read_pixels(digest, name)
            part = Image(changed.pixels, changed.alpha, name, known[root], origin)
        return part

    def _read_pixels(self, digest: str, name: str) -> Image:
        path, alpha = self._path(digest, ".png"), self._path(digest, ".alpha.png")
        pixels = Image.open(path).pixels
        image = Image(pixels, _grey(alpha) if alpha.exists() else None, name)
        if image.digest != digest:
            raise VisprogError(f"{path} is not the picture that was recorded: it has been changed")
        return image

    def _read_mask(self, data: Mapping[str, Any]) -> Mask:
        box, file = Box(*data["box"]), data["file"]
        if not file:
            return Mask(np.zeros((round(box.height), round(box.width)), bool), box)
        digest = file.removesuffix(".png")
        path = self._path(digest, ".png")
        pixels = _grey(path) > 0
        if _mask_digest(pixels) != digest:
            raise VisprogError(f"{path} is not the mask that was recorded: it has been changed")
        return Mask(pixels, box)

    def _path(self, digest: str, ending: str) -> Path:
        """A file of pixels. Nothing but a digest becomes part of a path: a recording may come from anywhere."""
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!a:.80} is no digest")
        return self.folder / f"{digest}{ending}"


def whole_pictures(value: Any) -> dict[str, Image]:
    """The whole pictures that a value lies in, by digest."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return {digest: image for each in value for digest, image in whole_pictures(each).items()}
    image = value if isinstance(value, Image) else getattr(value, "image", None)
    return {image.root.digest: image.root} if isinstance(image, Image) else {}


def without_names(data: Any) -> Any:
    """Encoded data without the names of pictures: what a result depends on."""
    if isinstance(data, Mapping):
        is_image = data.get("type") == "Image"
        return {k: without_names(v) for k, v in data.items() if not (is_image and k == "name")}
    return [without_names(each) for each in data] if isinstance(data, list) else data


def _is_part(image: Image, root: Image) -> bool:
    """Whether a crop has the very pixels of the picture it was cut from."""
    part = _cut(root, image.origin, image.size)
    return part is not None and part.digest == image.digest


def _cut(root: Image, origin: Point, size: tuple[int, int]) -> Image | None:
    width, height = size
    try:
        return root.crop(Box(origin.x, origin.y, origin.x + width, origin.y + height))
    except ImageError:  # it lies outside
        return None


def _mask_digest(pixels: NDArray[np.bool_]) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def _grey(path: Path) -> Any:
    return np.ascontiguousarray(Image.open(path).pixels[:, :, 0])


def _number(value: Any) -> Any:
    """A plain number: of numpy's, and of enumerations, the number that they are."""
    if isinstance(value, np.generic):
        return value.item()
    return float(value) if isinstance(value, float) else int(value)


def _box(box: Box) -> list[Any]:
    return [_number(v) for v in (box.left, box.top, box.right, box.bottom)]
