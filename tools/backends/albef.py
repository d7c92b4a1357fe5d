"""`match` and `verify` with ALBEF (Li et al., 2021), trained by `visprog train albef`."""

from __future__ import annotations

from visprog.errors import ToolError

from ._checkpoint import CheckpointSource
from ._pair_matcher import PairBackend, PairMatcher, PairVerifier


class AlbefBackend(PairBackend):
    """What both tools share."""

    default_model = ""
    model_type = "albef"

    def _find(self, *model_types: str) -> CheckpointSource:
        if not self.model:
            raise ToolError(
                f'{self.tool}: set model = "FOLDER", such as one that visprog train albef wrote, under '
                f"[tools.{self.tool}] in visprog.toml"
            )
        return super()._find(*model_types)


class AlbefMatcher(AlbefBackend, PairMatcher):
    """The probability that a text belongs to an image, from the fusion of the two.

    Args:
        model: Folder of a model, such as one that `visprog train` wrote.
    """


class AlbefVerifier(AlbefBackend, PairVerifier):
    """True if a statement belongs to an image more likely than not, from the fusion of the two. A statement with "not"
    is true if the one without is false.

    Args:
        model: Folder of a model, such as one that `visprog train` wrote.
        threshold: Minimum probability.
    """
