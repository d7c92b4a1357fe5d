"""`select` with ViLBERT (Lu et al., 2019), trained by `visprog train vilbert-select`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from visprog.errors import Refused, ToolError
from visprog.values import Region

from ._gate import to_view
from ._regions import Look, RegionBackend


class Candidates(NamedTuple):
    """One call: its regions, and how they are looked at; None if there are none."""

    regions: tuple[Region, ...]
    look: Look | None


class VilbertSelector(RegionBackend):
    """Which regions an expression means, by how well each fits it among all that the image shows. What else there is
    the model's own detector finds, so that "the star left of the ring" needs no region of the ring.

    Args:
        threshold: Minimum probability of a region.
    """

    tool = "select"
    model_type = "vilbert"
    recipe = "vilbert-select"
    parameter = "phrase"
    context = True

    def __init__(self, model: str | None = None, *, threshold: float = 0.5, **options: Any) -> None:
        super().__init__(model, **options)
        self.threshold = threshold

    def _prepare(self, regions: list[Region], phrase: str) -> Candidates:
        text = self._read(phrase)
        if not regions:
            return Candidates((), None)
        images = {None if region.image is None else region.image.root.digest for region in regions}
        if len(images) > 1 or None in images:
            raise ToolError("select chooses among regions of one image, as detect and segment return them")
        image = regions[0].image
        assert image is not None
        to_view(regions[0], self.detector, self.tool)
        look = Look(image.root, text, tuple(region.box for region in regions))
        return Candidates(tuple(regions), look)

    def _answer(self, asked: Sequence[Candidates]) -> list[list[Region] | Refused]:
        most = self.checkpoint.processor.encoder.config.count
        fitting = [each for each in asked if each.look is not None and len(each.regions) <= most]
        said = iter(self._outputs([each.look for each in fitting if each.look is not None]))
        results: list[list[Region] | Refused] = []
        for each in asked:
            if len(each.regions) > most:
                results.append(
                    Refused(
                        f"the model '{self.model}' of select was taught to choose among {most} regions, and these are "
                        f"{len(each.regions)}: give fewer"
                    )
                )
            elif each.look is None:
                results.append([])
            else:
                output, row = next(said)
                scores = output.region_scores[row, : len(each.regions)].float().sigmoid().tolist()
                ranked = sorted(zip(scores, each.regions, strict=True), key=lambda pair: -pair[0])
                results.append(
                    [replace(region, score=score) for score, region in ranked if score >= self.threshold]
                )
        return results
