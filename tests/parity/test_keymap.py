"""The table of names between public checkpoints and ours."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from visprog.models.checkpoint.keymap import KeyMap  # noqa: E402

KEYS = KeyMap(
    [
        ("layers.{}.attn.qkv.{}", ("blocks.{}.q.{}", "blocks.{}.k.{}", "blocks.{}.v.{}")),
        ("layers.{}.fc1.{}", "blocks.{}.mlp.layers.0.{}"),
        ("head.weight", "out.weight"),
    ],
    ignored=["layers.{}.position_ids"],
)


def test_both_ways() -> None:
    theirs = {
        "layers.0.attn.qkv.weight": torch.arange(12.0).reshape(6, 2),
        "layers.0.attn.qkv.bias": torch.arange(6.0),
        "layers.11.fc1.bias": torch.ones(3),
        "head.weight": torch.zeros(2),
    }
    ours = KEYS.to_ours({**theirs, "layers.3.position_ids": torch.arange(4)})
    assert ours["blocks.0.k.weight"].tolist() == [[4, 5], [6, 7]]
    assert ours["blocks.0.v.bias"].tolist() == [4, 5]
    assert set(ours) == {
        *(f"blocks.0.{x}.{y}" for x in "qkv" for y in ("weight", "bias")),
        "blocks.11.mlp.layers.0.bias",
        "out.weight",
    }
    back = KEYS.to_theirs(dict(reversed(ours.items())))
    assert back.keys() == theirs.keys() and all(torch.equal(back[k], theirs[k]) for k in theirs)


def test_unknown_names_are_kept_for_the_loader_to_name() -> None:
    assert set(KEYS.to_ours({"head_weight": torch.ones(1)})) == {"head_weight"}
    assert set(KEYS.to_theirs({"blocks.0.mlp.layers.1.bias": torch.ones(1)})) == {
        "blocks.0.mlp.layers.1.bias"
    }
