"""Features that networks have computed: what is kept, and for how long."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from visprog.models.llava.model import Llava
from visprog.scenes import Scenes
from visprog.tools.backends import _checkpoint as module
from visprog.tools.backends._checkpoint import Checkpoint, CheckpointSource, load_once
from visprog.tools.backends._features import ENTRY_BYTES, FeatureCache
from visprog.tools.backends.llava import LlavaVqa
from visprog.tools.backends.owl import OwlDetector
from visprog.values.image import Image

Folder = Callable[..., str]


def some_checkpoint() -> Checkpoint:
    return Checkpoint(CheckpointSource("m", "detect", None, {}), None, None)


def rows(keys: list[int]) -> list[Any]:
    return [np.full(100, key, np.uint8) for key in keys]


def test_least_recently_used_features_leave() -> None:
    cache, checkpoint = FeatureCache(2 * (100 + ENTRY_BYTES)), some_checkpoint()
    asked: list[list[int]] = []

    def compute(keys: list[int]) -> list[Any]:
        asked.append(keys)
        return rows(keys)

    def get(*keys: int) -> list[int]:
        return [int(row[0]) for row in cache.get(checkpoint, "image", keys, compute)]

    assert get(1, 2, 1) == [1, 2, 1] and asked == [[1, 2]]
    assert get(1) == [1] and get(3) == [3]  # 2 leaves
    assert get(1, 3) == [1, 3] and get(2, 3) == [2, 3]
    assert asked == [[1, 2], [3], [2]]
    assert cache.size <= cache.capacity


def test_features_larger_than_the_cache_are_given_and_not_kept() -> None:
    cache, checkpoint = FeatureCache(50), some_checkpoint()
    (row,) = cache.get(checkpoint, "image", [7], rows)
    assert row[0] == 7 and cache.size == 0


def test_checkpoints_and_results_are_told_apart_and_leave_with_their_network() -> None:
    cache, first, second = FeatureCache(1 << 20), some_checkpoint(), some_checkpoint()
    cache.get(first, "image", [1], rows)
    assert cache.get(second, "image", [1], lambda keys: ["other"]) == ["other"]
    assert cache.get(first, "text", [1], lambda keys: [("a", np.zeros(4))])[0][0] == "a"
    before = cache.size
    del first
    gc.collect()
    assert 0 < cache.size < before
    del second
    gc.collect()
    assert cache.size == 0


def test_a_failure_leaves_no_trace() -> None:
    cache, checkpoint = FeatureCache(1 << 20), some_checkpoint()
    with pytest.raises(ZeroDivisionError):
        cache.get(checkpoint, "image", [1], lambda keys: [1 / 0])
    assert cache.get(checkpoint, "image", [1], rows)[0][0] == 1


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    calls: list[Any] = []
    real = getattr(owner, name)

    def call(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, call)
    return calls


def test_a_detector_encodes_an_image_once_for_all_phrases(
    checkpoint: Folder, pictures: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = OwlDetector(checkpoint("owlv2"), threshold=0.0)
    images = counted(monkeypatch, detector.checkpoint.network, "encode_images")
    texts = counted(monkeypatch, detector.checkpoint.network, "encode_texts")
    first = detector([{"image": pictures[0], "what": "cat"}])
    again = detector([{"image": pictures[0], "what": what} for what in ("cat", "dog")])
    assert repr(again[0]) == repr(first[0])
    assert len(images) == 1 and [len(ids) for ids, *_ in texts] == [1, 1]


def test_llava_encodes_an_image_once_for_all_questions(
    checkpoint: Folder, pictures: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    vqa = LlavaVqa(checkpoint("llava"))
    vqa([{"image": pictures[0], "question": "what is it?"}])
    (loaded,) = module._loaded.values()
    images = counted(monkeypatch, loaded.network, "encode_images")
    vqa([{"image": pictures[0], "question": "what colour is the car?"}])
    assert not images
    vqa([{"image": p, "question": "what is it?"} for p in (pictures[1], pictures[0], pictures[1])])
    assert [len(pixels) for (pixels,) in images] == [1]


def test_the_bundled_llava_is_asked_its_first_question_once(monkeypatch: pytest.MonkeyPatch) -> None:
    image, vqa = Image(Scenes(96, split="test")[0].pixels), LlavaVqa("llava")
    questions = vqa.settings.questions
    assert questions is not None
    written = counted(monkeypatch, Llava, "generate")
    first, _, again = (
        vqa([{"image": image, "question": q}])[0] for q in (*questions.examples, questions.examples[0])
    )
    assert first == again
    assert len(written) == 1 + 3


def test_two_checkpoints_load_side_by_side() -> None:
    """Each waits for the other within its loading."""
    meeting = threading.Barrier(2, timeout=30)

    def make(place: str) -> tuple[Any, Any]:
        meeting.wait()
        network = SimpleNamespace(parameters=lambda: iter([SimpleNamespace(dtype=None)]))
        network.to = lambda device: network
        return network, None

    def loading(name: str) -> None:
        found.append(load_once(CheckpointSource(name, "t", Path(name), {}), "x", "cpu", "float32", "", make))

    found: list[Checkpoint] = []
    threads = [threading.Thread(target=loading, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(c.source.name for c in found) == ["a", "b"]


def test_one_checkpoint_is_loaded_once_for_two_threads() -> None:
    count, entered = [0], threading.Event()

    def make(place: str) -> tuple[Any, Any]:
        count[0] += 1
        entered.wait(0.2)
        network = SimpleNamespace(parameters=lambda: iter([SimpleNamespace(dtype=None)]))
        network.to = lambda device: network
        return network, None

    source = CheckpointSource("a", "t", Path("a"), {})
    threads = [
        threading.Thread(target=load_once, args=(source, "x", "cpu", "float32", "", make)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert count == [1]
