"""Winoground: two images, and two captions with the same words in another order. (Thrush et al., 2022)"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..answers import yes_no_of
from ..benchmark import Item
from ..metrics import Row, accuracy, groups
from .published import Published


class Winoground(Published):
    """Reads `examples.jsonl`, and the images `ex_N_img_0.png` and `ex_N_img_1.png` of images.zip.

    Each caption is combined with each image: four questions per example. An answer is a number (how well they fit) or
    yes or no (1 or 0). Metrics, by the official comparisons, in which a tie is not right: the text score (for both
    images the right caption scores higher), the image score (for both captions the right image), the group
    score (both). Kinds are the tags of the swap (Object, Relation, Both).
    """

    name = "winoground"

    def entries(self) -> Iterable[tuple[str, Any]]:
        return self.files.lines(self.files.find("examples.jsonl"))

    def items(self, entry: Any) -> Iterable[Item]:
        for caption in (0, 1):
            for image in (0, 1):
                name = entry[f"image_{image}"]
                file = name if "." in name else f"{name}.png"
                yield Item(
                    f"{entry['id']}-c{caption}-i{image}",
                    f'Does the caption "{entry[f"caption_{caption}"].strip()}" fit the picture?',
                    (self.files.image(file),),
                    caption == image,
                    group=str(entry["id"]),
                    details={"kind": entry.get("collapsed_tag", "")},
                )

    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        answer = yes_no_of(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            fits = float(value)
        else:
            fits = float("nan") if answer is None else float(answer)
        scores = {"correct": float((fits > 0.5) == item.answer and fits == fits)}
        return scores if fits != fits else {**scores, "fits": fits}

    def summary(self, rows: Sequence[Row]) -> Mapping[str, float]:
        found: dict[str, list[float]] = {"text": [], "image": [], "group": []}
        for members in groups(rows).values():
            fits = [row["scores"].get("fits", float("nan")) for row in members]
            if len(fits) != 4:  # the run stopped within the example
                continue
            right, wrong_image, wrong_caption, right_too = fits
            text = right > wrong_caption and right_too > wrong_image
            image = right > wrong_image and right_too > wrong_caption
            for name, holds in (("text", text), ("image", image), ("group", text and image)):
                found[name].append(float(holds))
        shares = {name: sum(values) / len(values) for name, values in found.items() if values}
        return {**shares, "accuracy": accuracy(rows)}
