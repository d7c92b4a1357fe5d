"""Data sets: image–text pairs, boxes, masks and conversations, as typed samples."""

from __future__ import annotations

from .coco import read_coco
from .conversations import Conversations, read_conversations
from .detection import Detections
from .layouts import read_detections
from .pairs import Pairs, read_classes, read_pairs
from .samples import BadSample, Conversation, DataError, Detection, Masked, Pair, Pixels, Turn
from .shards import Shards, is_shards
from .voc import read_voc

__all__ = [
    "BadSample", "Conversation", "Conversations", "DataError", "Detection", "Detections", "Masked", "Pair", "Pairs",
    "Pixels", "Shards", "Turn", "is_shards", "read_classes", "read_coco", "read_conversations", "read_detections",
    "read_pairs", "read_voc",
]  # fmt: skip
