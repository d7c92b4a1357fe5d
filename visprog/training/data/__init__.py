"""Sources of samples: image–text pairs, boxes, masks and conversations."""

from __future__ import annotations

from .annotations import read_detections
from .coco import read_coco
from .conversations import Conversations, read_conversations
from .detections import Detections
from .mask_folder import read_mask_folder
from .pairs import Pairs, read_classes, read_pairs
from .samples import BadSample, Boxes, Conversation, DataError, LabelledImage, Masks, Pair, Pixels, Turn
from .shards import Shards, is_shards
from .source import Source
from .voc import read_voc

__all__ = [
    "BadSample", "Boxes", "Conversation", "Conversations", "DataError", "Detections", "LabelledImage",
    "Masks", "Pair", "Pairs", "Pixels", "Shards", "Source", "Turn", "is_shards", "read_classes", "read_coco",
    "read_conversations", "read_detections", "read_mask_folder", "read_pairs", "read_voc",
]  # fmt: skip
