"""Which checkpoints are proposed for which machine, and what the catalogue says of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from visprog.commands.advice import Advice, advise, with_backends
from visprog.commands.machine import Machine, this_machine
from visprog.models.catalogue import PLANNER, SIZES, catalogue, date_made, find_published
from visprog.registry import backend_options, default_registry

SMALL = Machine(cores=2, memory=24 * 10**9, disk=50 * 10**9)
"""Two cores, 24 GB, no GPU."""

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def proposal(machine: Machine, size: str = "") -> Advice:
    rows = with_backends(catalogue(), default_registry())
    return advise(rows, machine, next((s for s in SIZES if s == size), machine.size))


def test_every_checkpoint_that_is_shown_names_a_backend_that_takes_it() -> None:
    registry = default_registry()
    shown = with_backends(catalogue(), registry)
    assert len(shown) >= 10
    for checkpoint in shown:
        for name in checkpoint.tools:
            if name != PLANNER:
                assert "model" in backend_options(registry[name], checkpoint.backend).known, checkpoint
    assert all(c.backend in ("transformers",) for c in shown if PLANNER in c.tools)


def test_rows_without_a_backend_are_not_shown() -> None:
    row = replace(catalogue()[0], backend="no-such-backend")
    assert with_backends([row], default_registry()) == []
    row = replace(catalogue()[0], tools=("classify", "no_such_tool"))
    assert with_backends([row], default_registry())[0].tools == ("classify",)


def test_the_estimates_are_those_that_the_file_says() -> None:
    assert date_made().count("-") == 2
    for c in catalogue():
        assert c.id.count("/") == 1 and c.licence and c.size in SIZES and c.tools, c
        assert c.download == c.parameters * BYTES[c.stored], c
        assert c.memory == {
            name: int(c.parameters * BYTES[name] * 1.25) for name in ("float32", "bfloat16")
        }, c
    assert len({c.id for c in catalogue()}) == len(catalogue())
    assert find_published("SAM-VIT-Base") == find_published("facebook/sam-vit-base") is not None
    assert find_published("org/nothing") is None


def test_two_cores_without_a_gpu_get_what_they_can_hold_and_run() -> None:
    assert SMALL.size == "small"
    for size in SIZES:
        advice = proposal(SMALL, size)
        held = sum(SMALL.memory_of(c) for c in advice.checkpoints)
        assert held <= 12 * 10**9, size  # half of the memory, in float32
        assert all(c.parameters < 2 * 10**9 and not c.gpu for c in advice.checkpoints), size
        assert {"detect", "segment", "classify", "caption"} <= advice.tools.keys(), size
        assert PLANNER not in advice.tools and advice.without[PLANNER] == "needs a GPU"
    seven = find_published("llava-hf/llava-1.5-7b-hf")
    assert seven is not None and SMALL.refusal(seven) == "needs a GPU"
    assert replace(SMALL, memory=6 * 10**9).refusal(replace(seven, gpu=False)) == "too large"


def test_little_memory_gets_fewer_and_none_gets_nothing() -> None:
    small = proposal(replace(SMALL, memory=5 * 10**9))
    assert sum(SMALL.memory_of(c) for c in small.checkpoints) <= 2.5 * 10**9
    assert small.tools and "too large beside the others" in small.without.values()
    none = proposal(replace(SMALL, memory=10**8))
    assert not none.tools and all(none.without.values())


def test_a_gpu_gets_more() -> None:
    gpu = replace(SMALL, gpu="a GPU", gpu_memory=80 * 10**9)
    assert gpu.size == "large" and replace(gpu, gpu_memory=16 * 10**9).size == "base"
    large, small = proposal(gpu), proposal(gpu, "small")
    assert "vqa" in large.tools and PLANNER in large.tools and "generate" in large.tools
    assert sum(map(gpu.memory_of, large.checkpoints)) <= 68 * 10**9
    assert sum(map(gpu.memory_of, small.checkpoints)) < sum(map(gpu.memory_of, large.checkpoints))
    assert not any(c.gated for c in large.checkpoints)


def test_tools_that_the_user_set_up_need_nothing() -> None:
    rows = with_backends(catalogue(), default_registry())
    advice = advise(rows, SMALL, "small", ["detect", PLANNER])
    assert not {"detect", PLANNER} & {*advice.tools, *advice.without}


@pytest.mark.parametrize("gpu", [False, True])
def test_this_machine_is_measured(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visprog.commands.machine._gpu", lambda: ("a GPU", 0) if gpu else ("", 0))
    found = this_machine()
    assert found.cores >= 1 and found.memory > 10**8 and found.disk > 0
    assert found.gpu_memory == (found.memory // 2 if gpu else 0)  # a GPU without memory of its own
