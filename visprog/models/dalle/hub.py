"""Weights of the package `dall_e` (openai/DALL-E): their shapes, and their names ↔ names here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..checkpoint.keymap import KeyMap
from ..checkpoint.weights import read_state

CONVERSION = (
    "the public encoder.pkl and decoder.pkl are pickled modules, which can run code and are not unpickled here; where "
    "the package dall_e is installed and you trust them, save their tensors: "
    'torch.save(torch.load("encoder.pkl", weights_only=False).state_dict(), "encoder.pt")'
)


def dvae_keys(group_count: int, n_blk_per_group: int) -> KeyMap:
    """The names in the package, with "encoder." or "decoder." before them ↔ names here."""
    blocks = [
        (f"group_{group + 1}.block_{block + 1}", f"blocks.{group * n_blk_per_group + block}")
        for group in range(group_count)
        for block in range(n_blk_per_group)
    ]
    layers = [
        ("input", "input"),
        ("output.conv", "output"),
        *((f"{theirs}.id_path", f"{ours}.skip") for theirs, ours in blocks),
        *((f"{t}.res_path.conv_{i + 1}", f"{o}.convs.{i}") for t, o in blocks for i in range(4)),
    ]
    return KeyMap(
        (f"{{}}.blocks.{theirs}.{short}", f"{{}}.{ours}.{long}")
        for theirs, ours in layers
        for short, long in (("w", "weight"), ("b", "bias"))
    )


def read_dall_e(encoder: Path, decoder: Path) -> dict[str, Tensor]:
    """The tensors of both files, with "encoder." and "decoder." before their names.

    Raises:
        ValueError: a file is missing, or holds anything but tensors by name.
    """
    state: dict[str, Tensor] = {}
    for part, file in (("encoder", encoder), ("decoder", decoder)):
        try:
            found = read_state(file)
        except ValueError as error:
            raise ValueError(f"{error}; {CONVERSION}" if file.is_file() else str(error)) from error
        state |= {f"{part}.{name}": value for name, value in found.items()}
    return state


def dvae_shape(state: Mapping[str, Tensor], source: str | Path) -> dict[str, int]:
    """The fields of a `DvaeConfig` that follow from the shapes of the weights.

    Raises:
        ValueError: the weights are not those of a dVAE.
    """
    try:
        n_hid, channels = state["encoder.blocks.input.w"].shape[:2]
        n_init, vocab_size = state["decoder.blocks.input.w"].shape[:2]
    except KeyError as error:
        raise ValueError(f"{source} is no dVAE of the package dall_e: it lacks {error}") from None
    groups = {name.split(".")[2] for name in state if name.startswith("encoder.blocks.group_")}
    first = {name.split(".")[3] for name in state if name.startswith("encoder.blocks.group_1.")}
    return dict(
        channels=channels,
        group_count=len(groups),
        n_init=n_init,
        n_hid=n_hid,
        n_blk_per_group=len(first),
        vocab_size=vocab_size,
    )
