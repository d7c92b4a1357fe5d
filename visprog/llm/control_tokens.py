"""Tokens that are no text: a text that may come from an image must not write them."""

from __future__ import annotations

import re
from typing import Any


def control_tokens(tokenizer: Any) -> set[str]:
    """The tokens that are no text: they begin and end turns, stand for images, and the like."""
    added = (token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
    return {*tokenizer.all_special_tokens, *added}


def without_control_tokens(text: str, processor: Any) -> str:
    """A text without control tokens, so that it can say nothing but what it says."""
    multimodal = getattr(processor, "all_special_multimodal_tokens", ())
    control = {*control_tokens(processor.tokenizer), *multimodal}
    pattern = "|".join(re.escape(token) for token in sorted(control, key=len, reverse=True) if token.strip())
    return re.sub(pattern, " ", text) if pattern else text  # a space, so that removing one makes no other
