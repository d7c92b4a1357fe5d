"""A device with too little memory: smaller batches, then without the other models, then an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from visprog.errors import ToolError
from visprog.tools.backends import _checkpoint, _dual_encoder
from visprog.tools.backends._batching import in_batches
from visprog.tools.backends._checkpoint import OutOfDeviceMemory, find
from visprog.tools.backends._features import FeatureCache
from visprog.tools.backends._loading import load, load_by_transformers
from visprog.tools.backends.clip import ClipMatcher
from visprog.tools.backends.sam import SamSegmenter
from visprog.tools.backends.vlm import VlmVqa
from visprog.values import Region
from visprog.values.image import Image

Folder = Callable[[str], str]


class Full:
    """Memory of a device that holds so many items beside so many checkpoints."""

    def __init__(self, items: int, checkpoints: int = 99) -> None:
        self.items, self.checkpoints = items, checkpoints
        self.tried: list[int] = []

    def take(self, count: int) -> None:
        self.tried.append(count)
        if count > self.items or len(_checkpoint._loaded) > self.checkpoints:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def test_batches_are_halved_until_they_fit(checkpoint: Folder) -> None:
    loaded, memory = load(find(checkpoint("clip"), "match"), "cpu", "auto"), Full(items=2)

    def run(part: Sequence[int]) -> list[int]:
        with loaded.running():
            memory.take(len(part))
            return [number * 2 for number in part]

    assert in_batches(loaded, range(9), 8, run) == [number * 2 for number in range(9)]
    assert memory.tried == [8, 4, 2, 2, 2, 2, 1]
    assert in_batches(loaded, [], 8, run) == []


def test_other_models_leave_before_one_item_fails(checkpoint: Folder) -> None:
    loaded = load(find(checkpoint("clip"), "match"), "cpu", "auto")
    load(find(checkpoint("siglip"), "match"), "cpu", "auto")
    memory = Full(items=1, checkpoints=1)

    def run(part: Sequence[int]) -> list[int]:
        with loaded.running():
            memory.take(len(part))
            return list(part)

    assert in_batches(loaded, [1, 2], 2, run) == [1, 2]
    assert memory.tried == [2, 1, 1, 1] and list(_checkpoint._loaded.values()) == [loaded]
    memory.items = 0
    with pytest.raises(
        OutOfDeviceMemory, match=r"needs more memory than its device has: lower batch_size, take"
    ):
        in_batches(loaded, [1, 2], 2, run)


def test_other_errors_are_not_taken_for_a_lack_of_memory(checkpoint: Folder) -> None:
    loaded = load(find(checkpoint("clip"), "match"), "cpu", "auto")
    with pytest.raises(RuntimeError, match="shapes") as caught, loaded.running():
        raise RuntimeError("shapes cannot be multiplied")
    assert not isinstance(caught.value, ToolError)
    with pytest.raises(OutOfDeviceMemory), loaded.running():
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")


def test_a_model_is_loaded_again_without_the_others(
    checkpoint: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(find(checkpoint("siglip"), "match"), "cpu", "auto")
    memory, real = Full(items=99, checkpoints=0), _checkpoint._place

    def place(network: Any, *arguments: Any) -> Any:
        memory.take(1)
        return real(network, *arguments)

    monkeypatch.setattr(_checkpoint, "_place", place)
    loaded = load_by_transformers(find(checkpoint("clip"), "match"), "AutoModel", "cpu", "auto")
    assert list(_checkpoint._loaded.values()) == [loaded] and memory.tried == [1, 1]
    memory.items = 0
    with pytest.raises(
        ToolError, match="does not fit into the memory of the device 'cpu': take a smaller model"
    ):
        load(find(checkpoint("sam"), "segment"), "cpu", "auto")


@pytest.mark.parametrize(
    ("kind", "backend", "arguments", "method", "count"),
    [
        ("clip", ClipMatcher, {"text": "cat"}, "encode_images", len),
        (
            "qwen3-vl",
            VlmVqa,
            {"question": "what is it?"},
            "generate",
            lambda **given: len(given["input_ids"]),
        ),
        ("sam", SamSegmenter, {}, "forward", lambda **given: given["boxes"].shape[1]),
    ],
)
def test_backends_answer_in_smaller_batches(
    kind: str, backend: Any, arguments: dict[str, Any], method: str, count: Callable[..., int], checkpoint: Folder,
    pictures: list[Image], monkeypatch: pytest.MonkeyPatch, region: Region,
) -> None:  # fmt: skip
    calls: list[dict[str, Any]] = [{"image": picture, **arguments} for picture in pictures]
    if kind == "sam":
        calls = [{"image": region.image, "region": Region(region.box.shift(i, 0), "car")} for i in range(4)]
    made = backend(checkpoint(kind), batch_size=4)
    want = made(calls)
    (loaded,) = _checkpoint._loaded.values()
    memory, real = Full(items=1), getattr(loaded.network, method)

    def run(*inputs: Any, **given: Any) -> Any:
        memory.take(count(*inputs, **given))
        return real(*inputs, **given)

    monkeypatch.setattr(loaded.network, method, run)
    if kind == "clip":
        monkeypatch.setattr(_dual_encoder, "FEATURES", FeatureCache(1 << 20))
        assert made(calls) == pytest.approx(want, abs=1e-5)
    else:
        assert str(made(calls)) == str(want)
    assert max(memory.tried) == 4 and memory.tried.count(1) == 4
