"""Regions of images with a feature each, for models that do not see pixels (VisualBERT, ViLBERT, LXMERT).

A frozen detector proposes boxes whatever they show, by objectness, and says how probable it holds each class of
objects and of attributes; its image encoder gives the features, which RoIAlign reads inside the boxes. The papers took
10 to 144 regions of a Faster R-CNN that knows 1600 objects and 400 attributes; here any OWLv2 does, with the classes
that a user names. The image encoder of a CLIP gives features of boxes that are known, and proposes none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .base import model_type
from .checkpoint.checkpoint import float_type, read_json
from .checkpoint.hub import fetch, locate
from .checkpoint.weight_files import few
from .clip.model import ImageEncoder
from .nn import nms, roi_align
from .nn.boxes import iou, to_corners
from .owlvit import OwlVit
from .preprocess.image_processor import ImageArray, ImageProcessor
from .preprocess.tokenizer import Tokenizer
from .regions import Regions

FILE = "region_encoder.json"
"""Name of the file beside a model that says which regions it was trained on."""

SAMPLES = 7
"""Number of points of a box in each direction whose features are averaged."""


@dataclass(frozen=True)
class RegionEncoderConfig:
    """Which regions a model reads.

    Attributes:
        source: the frozen detector, or image encoder: a folder, the name of a bundled model, or a hub id.
        count: greatest number of regions of an image.
        threshold: least objectness of a proposed box; the best one is proposed in any case.
        nms: intersection over union from which two boxes are one.
        objects: names of the classes of objects that the detector tells.
        attributes: names of the classes of attributes.
        digest: of the weights; filled in when they are first read, and checked ever after.
    """

    source: str = "owl"
    count: int = 16
    threshold: float = 0.2
    nms: float = 0.5
    objects: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    digest: str = ""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be positive, not {self.count}")


class RegionEncoder(nn.Module):
    """Images to regions, without gradients.

    Args:
        config: which regions.
        dtype: precision of the network: "float32", "bfloat16" or "float16".
        device: device of the network.

    Attributes:
        region_dim: width of the features: the mean of the tokens in a box, the token at its centre, by which a
            detector tells what it sees, and 5 numbers for the place of the box.

    Raises:
        ValueError: there is no such model, its weights are others than those that the model beside was trained on, or
            classes are asked for that it cannot tell.
    """

    def __init__(
        self,
        config: RegionEncoderConfig,
        *,
        dtype: str | torch.dtype = "float32",
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__()
        folder = fetch(config.source)
        detects = model_type(read_json(folder / "config.json"), config.source) in ("owlvit", "owlv2")
        self.network: OwlVit | ImageEncoder = (OwlVit if detects else ImageEncoder).from_pretrained(folder)
        self.network.eval().requires_grad_(False)
        found = _digest(self.network)
        if config.digest not in ("", found):
            raise ValueError(
                f"the weights of {config.source} are not those whose regions the model was trained on: "
                "train it again, or give that model back its name"
            )
        self.config = replace(config, digest=found)
        self.processor = _whole(ImageProcessor.from_pretrained(folder), self.image_encoder.config.size)
        self.region_dim = 2 * self.image_encoder.config.dim + 5
        self._classes(folder)
        self.to(device, float_type(dtype))  # the digest is that of the weights in float32

    @property
    def image_encoder(self) -> ImageEncoder:
        """The image encoder."""
        return self.network if isinstance(self.network, ImageEncoder) else self.network.image_encoder

    @property
    def proposes(self) -> bool:
        """Whether it finds regions by itself."""
        return isinstance(self.network, OwlVit) and self.network.objectness_head is not None

    @torch.no_grad()
    def forward(
        self, images: Tensor, boxes: Sequence[Tensor] | None = None, *, complete: bool = False
    ) -> Regions:
        """Regions of images of one size.

        Args:
            images: (batch, 3, height, width), as `processor` prepares them.
            boxes: of each image, (n, 4) with n at least 1, corners in shares of the image; proposed if not given.
            complete: whether proposed boxes that overlap none of the given ones come after these.

        Raises:
            ValueError: no boxes are given, and it proposes none; or an image has none or too many.
        """
        tokens, grid = self._encode(images)  # (batch, patches, dim)
        if boxes is None:
            boxes = self._propose(tokens, grid)
        elif complete and self.proposes:
            boxes = [self._completed(*pair) for pair in zip(boxes, self._propose(tokens, grid), strict=True)]
        counts = [len(each) for each in boxes]
        if not all(1 <= count <= self.config.count for count in counts):
            raise ValueError(
                f"an image has {min(counts)} to {max(counts)} regions; 1 to {self.config.count} can be read"
            )
        corners = torch.cat(list(boxes)).to(
            tokens.device, torch.promote_types(tokens.dtype, torch.float32)
        )  # (all, 4)
        image = torch.arange(len(images), device=images.device).repeat_interleave(
            torch.tensor(counts, device=images.device)
        )
        maps = tokens.transpose(1, 2).unflatten(2, grid)  # (batch, dim, rows, columns)
        scale = corners.new_tensor([grid[1], grid[0], grid[1], grid[0]])
        inside, center = (
            roi_align(maps, corners * scale, image, (1, 1), samples=n).flatten(1) for n in (SAMPLES, 1)
        )  # (all, dim) each
        area = (corners[:, 2:] - corners[:, :2]).prod(-1, keepdim=True)
        features = torch.cat([inside, center, corners, area], 1)
        objects, attributes = self._tell(tokens, grid, corners, image)
        return _padded(counts, features, corners, objects, attributes)

    def encode(
        self,
        images: Sequence[ImageArray],
        boxes: Sequence[NDArray[Any]] | None = None,
        *,
        complete: bool = False,
        batch_size: int = 16,
    ) -> Regions:
        """Regions of images (height, width, 3) of any sizes.

        Args:
            boxes, complete: as `forward`, boxes as arrays.
            batch_size: number of images that the network sees at once.
        """
        fitted = [self.processor.fit(image) for image in images]
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, image in enumerate(fitted):
            groups.setdefault(image.shape, []).append(i)
        device = next(self.network.parameters()).device
        rows: dict[int, Regions] = {}
        for group in groups.values():
            for start in range(0, len(group), batch_size):
                part = group[start : start + batch_size]
                given = (
                    None
                    if boxes is None
                    else [torch.as_tensor(boxes[i], dtype=torch.float32, device=device) for i in part]
                )
                found = self(self.processor([fitted[i] for i in part]).to(device), given, complete=complete)
                rows |= {i: one_row(found, k) for k, i in enumerate(part)}
        return stack([rows[i] for i in range(len(images))])

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `region_encoder.json`: the source, not its weights. The source in it is a name, or an absolute path."""
        path = Path(self.config.source)
        source = str(path.resolve()) if path.is_dir() else self.config.source
        settings = asdict(replace(self.config, source=source))
        (Path(folder) / FILE).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        dtype: str | torch.dtype = "float32",
        device: str | torch.device = "cpu",
    ) -> RegionEncoder:
        """The region encoder that a model beside its file was trained with.

        Args:
            source: folder of the model, the name of a bundled one, or a hub id.
            dtype, device: as the constructor.

        Raises:
            ValueError: there is no such file, it has settings that are not known, or as the constructor.
        """
        file = locate(source) / FILE
        if not file.is_file():
            raise ValueError(
                f"{source} does not say which regions it reads: {FILE} is missing, which training on images writes"
            )
        raw = read_json(file)
        if unknown := raw.keys() - {field.name for field in fields(RegionEncoderConfig)}:
            raise ValueError(f"{file}: {few(sorted(unknown))} is not known here")
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        return cls(RegionEncoderConfig(**known), dtype=dtype, device=device)

    def _encode(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Tokens of the patches, normalised (batch, patches, dim), and rows and columns of their grid."""
        patch = self.image_encoder.config.patch
        grid = (images.shape[-2] // patch, images.shape[-1] // patch)
        if isinstance(self.network, OwlVit):
            return self.network.encode_images(images)[1], grid
        return self.network.norm(self.network(images).tokens[:, 1:]), grid

    def _propose(self, tokens: Tensor, grid: tuple[int, int]) -> list[Tensor]:
        """Boxes (n, 4) of each image, best first."""
        if not isinstance(self.network, OwlVit) or self.network.objectness_head is None:
            raise ValueError(
                f"{self.config.source} proposes no regions: take an OWLv2, which has objectness, or give boxes"
            )
        boxes = to_corners(self.network.predict_boxes(tokens, grid)).clamp(0, 1)  # (batch, patches, 4)
        scores = self.network.objectness_head(tokens)[..., 0].sigmoid()
        proposed = []
        for corners, score in zip(boxes, scores, strict=True):
            likely = (score > self.config.threshold).nonzero()[:, 0]
            likely = likely if len(likely) else score.argmax(keepdim=True)
            kept = likely[nms(corners[likely], score[likely], self.config.nms)]
            proposed.append(corners[kept[: self.config.count]])
        return proposed

    def _completed(self, boxes: Tensor, proposed: Tensor) -> Tensor:
        """Boxes (n, 4), and after them those proposed that overlap none of them, as many as can be read."""
        boxes = boxes.to(proposed)
        apart = (iou(proposed[:, None], boxes[None]).nan_to_num() <= self.config.nms).all(1)
        return torch.cat([boxes, proposed[apart][: max(self.config.count - len(boxes), 0)]])

    def _classes(self, folder: Path) -> None:
        """Encode the names of classes."""
        names = [*self.config.objects, *self.config.attributes]
        if names and not isinstance(self.network, OwlVit):
            raise ValueError(f"{self.config.source} is no detector, and tells no objects and attributes")
        queries = torch.zeros(0)
        if names and isinstance(self.network, OwlVit):
            tokenizer = Tokenizer.from_pretrained(folder, length=self.network.config.text_encoder.length)
            queries = self.network.encode_texts(tokenizer(names).ids)[1]
        self.register_buffer("queries", queries, persistent=False)  # (objects + attributes, project)

    def _tell(
        self, tokens: Tensor, grid: tuple[int, int], corners: Tensor, image: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        """Probabilities of objects (all, 1 + objects), the first for none, and of attributes (all, attributes), by what
        the detector says at the centre of each box."""
        if not isinstance(self.network, OwlVit) or not len(self.queries):
            return None, None
        x, y = ((corners[:, i] + corners[:, i + 2]) / 2 * grid[1 - i] for i in (0, 1))
        place = y.long().clamp(max=grid[0] - 1) * grid[1] + x.long().clamp(max=grid[1] - 1)
        center = tokens[image, place]  # (all, dim)
        logits = self.network.class_head(center[None], self.queries[None])[0][0]
        first = len(self.config.objects)
        objects = attributes = None
        if first:
            probable = self.network.objectness_head is not None
            head = self.network.objectness_head
            is_object = (
                head(center).sigmoid() if probable and head is not None else center.new_ones(len(center), 1)
            )
            objects = torch.cat([1 - is_object, is_object * logits[:, :first].softmax(-1)], 1)
        if self.config.attributes:
            attributes = logits[:, first:].softmax(-1)
        return objects, attributes


def read_regions(file: Path) -> Regions:
    """Regions of one image that were computed elsewhere, as data sets are published with them.

    An `.npz` holds "features" or "x" (n, region_dim); boxes as "boxes" or "bbox" (n, 4) in pixels, with "image_w" and
    "image_h", or as "norm_bb" (n, 4 or more) in shares of the image; and perhaps "soft_labels" (n, 1 + objects),
    probabilities with the first for none. An `.npy` holds features alone, for models that read no boxes: these are NaN.

    Raises:
        ValueError: it is no such file.
        OSError: it cannot be read.
    """
    loaded = np.load(file, allow_pickle=False)
    arrays = {"features": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    features = arrays.get("features", arrays.get("x"))
    if features is None or features.ndim != 2 or not len(features):
        raise ValueError(f"{file} holds no features of regions, (n, width) by the name 'features' or 'x'")
    boxes = arrays.get("norm_bb")
    pixels = arrays.get("boxes", arrays.get("bbox"))
    if boxes is None and pixels is not None:
        if not {"image_w", "image_h"} <= arrays.keys():
            raise ValueError(f"{file} holds boxes in pixels, without 'image_w' and 'image_h'")
        width, height = float(arrays["image_w"]), float(arrays["image_h"])
        boxes = pixels / np.array([width, height, width, height])
    elif boxes is None:
        boxes = np.full((len(features), 4), np.nan)
    if boxes.ndim != 2 or boxes.shape[1] < 4 or len(boxes) != len(features):
        raise ValueError(f"{file} holds {len(features)} features, and boxes of the shape {boxes.shape}")
    labels = arrays.get("soft_labels")
    return Regions(
        torch.from_numpy(features.astype(np.float32))[None],
        torch.from_numpy(boxes[:, :4].astype(np.float32))[None],
        torch.ones(1, len(features), dtype=torch.bool),
        None if labels is None else torch.from_numpy(labels.astype(np.float32))[None],
    )


def one_row(regions: Regions, index: int) -> Regions:
    """The regions of one image, without padding, as a batch of one."""
    count = int(regions.mask[index].sum())
    return regions.rows((slice(index, index + 1), slice(0, count)))


def stack(rows: Sequence[Regions]) -> Regions:
    """Batches of one as one batch, padded. What not all have is left out."""
    counts = [row.mask.shape[1] for row in rows]
    parts = []
    for name in Regions._fields:
        values = [getattr(row, name) for row in rows]
        whole = name != "mask" and all(value is not None for value in values)
        parts.append(torch.cat([value[0] for value in values]) if whole else None)
    features, boxes, _, objects, attributes = parts
    assert features is not None and boxes is not None
    return _padded(counts, features, boxes, objects, attributes)


def _padded(
    counts: Sequence[int], features: Tensor, boxes: Tensor, objects: Tensor | None, attributes: Tensor | None
) -> Regions:
    """Regions of all images in a row as a batch, filled with zeros."""

    def pad(value: Tensor) -> Tensor:
        return nn.utils.rnn.pad_sequence(list(value.split(list(counts))), batch_first=True)

    mask = pad(torch.ones(len(features), dtype=torch.bool, device=features.device))
    return Regions(
        pad(features),
        pad(boxes),
        mask,
        None if objects is None else pad(objects),
        None if attributes is None else pad(attributes),
    )


def _whole(processor: ImageProcessor, size: int) -> ImageProcessor:
    """A processor that shows the whole image and nothing else, so that shares of the image stay what they are: what is
    cropped or filled up to a square by a checkpoint's own is stretched."""
    if processor.crop or processor.pad or processor.square:
        return replace(
            processor, size=(size, size), shortest=None, longest=None, crop=None, pad=None, square=False
        )
    return processor


def _digest(network: nn.Module) -> str:
    """The weights in 16 letters."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
