"""`classify`, `match`, `verify` and `retrieve` with SigLIP (Zhai et al., 2023) and SigLIP 2, as with CLIP."""

from __future__ import annotations

from .clip import ClipClassifier, ClipMatcher, ClipRetriever, ClipVerifier

SIGLIP = "google/siglip2-base-patch16-224"


class SiglipClassifier(ClipClassifier):
    """The option whose text is nearest to the image."""

    default_model = SIGLIP


class SiglipMatcher(ClipMatcher):
    """How well a text fits, as SigLIP's own probability."""

    default_model = SIGLIP


class SiglipVerifier(ClipVerifier):
    """True if a statement fits better than empty phrases and than the bare name of its object."""

    default_model = SIGLIP


class SiglipRetriever(ClipRetriever):
    """The images whose features are nearest to that of the text."""

    default_model = SIGLIP
