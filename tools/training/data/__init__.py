"""Data sets: image–text pairs, boxes, masks and conversations, as typed samples."""

from __future__ import annotations

from .conversations import Conversations, read_conversations
from .detection import Detections, read_coco, read_voc
from .pairs import Pairs, read_classes, read_pairs
from .samples import BadSample, Conversation, DataError, Detection, Masked, Pair, Pixels, Turn
from .shards import Shards

__all__ = [
    "BadSample", "Conversation", "Conversations", "DataError", "Detection", "Detections", "Masked", "Pair", "Pairs",
    "Pixels", "Shards", "Turn", "read_classes", "read_coco", "read_conversations", "read_pairs", "read_voc",
]  # fmt: skip
