"""`detect` with OWL-ViT (Minderer et al., 2022) and OWLv2 (2023): bundled, trained by `visprog train`, or public."""

from __future__ import annotations

from visprog.values.image import Image

from ._gate import to_view
from ._owl import OwlSearch
from ._phrase_detector import Search


class OwlDetector(OwlSearch):
    """Any phrase, with one score per phrase, independent of the others. A model that was trained here takes the words
    that it was taught, and bundled weights the images that they were taught."""

    def _prepare(self, image: Image, what: str) -> Search:
        phrase = self._read(what)
        return Search(to_view(image, self.folder, "detect"), phrase)


class EmbeddedDetector(OwlDetector):
    """The bundled OWLv2, which finds the simple shapes of drawn scenes by size, colour, texture and name."""

    default_model = "owl"
