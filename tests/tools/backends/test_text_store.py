"""Features of lists of texts on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visprog.models.measured import model_cache
from visprog.tools.backends import _text_store as module
from visprog.tools.backends._checkpoint import find
from visprog.tools.backends._dual_encoder import DualEncoder, dual_encoder

Folder = Callable[..., str]
NAMES = [
    f"{size} {color} {noun}"
    for size in ("one", "two")
    for color in ("red", "a")
    for noun in "car dog cat hat".split()
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("VISPROG_TEXT_CACHE", raising=False)


@pytest.fixture
def fresh(checkpoint: Folder, monkeypatch: pytest.MonkeyPatch) -> Callable[[], DualEncoder]:
    """The encoder as another process has it."""

    def made() -> DualEncoder:
        monkeypatch.setattr("visprog.tools.backends._checkpoint._loaded", {})
        return dual_encoder(find(checkpoint("clip"), "classify"), "cpu", "float32")

    return made


def encode(encoder: DualEncoder, names: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, int]:
    """Features, and the number of texts that the network read."""
    count, real = 0, DualEncoder._text_features

    def features(self: DualEncoder, lines: list[str]) -> Any:
        nonlocal count
        count += len(lines)
        return real(self, lines)

    monkeypatch.setattr(DualEncoder, "_text_features", features)
    found = encoder.encode_texts(names, ("{}",), 8)
    monkeypatch.setattr(DualEncoder, "_text_features", real)
    return found, count


def files() -> list[Path]:
    return sorted((model_cache() / "text").glob("*"))


def test_a_list_of_names_is_encoded_once(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first, read = encode(fresh(), NAMES, monkeypatch)
    again, read_again = encode(fresh(), NAMES, monkeypatch)
    assert (read, read_again) == (len(NAMES), 0) and np.array_equal(first, again)
    more, read_more = encode(fresh(), ["wearing", *NAMES], monkeypatch)
    assert read_more == 1 and np.array_equal(more[1:], first)
    assert len(files()) == 1 and not any(b"dog" in file.read_bytes() for file in files())


def test_few_texts_are_not_kept(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encode(fresh(), NAMES[:3], monkeypatch)
    assert not files()


def test_it_can_be_turned_off(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISPROG_TEXT_CACHE", "off")
    encode(fresh(), NAMES, monkeypatch)
    assert not files()
    assert encode(fresh(), NAMES, monkeypatch)[1] == len(NAMES)


@pytest.mark.parametrize("broken", [b"", b"PK\3\4 cut", b"\0" * 100])
def test_a_broken_file_is_written_anew(broken: bytes, fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = encode(fresh(), NAMES, monkeypatch)
    files()[0].write_bytes(broken)
    assert encode(fresh(), NAMES, monkeypatch)[1] == len(NAMES)
    again, read = encode(fresh(), NAMES, monkeypatch)
    assert read == 0 and np.array_equal(first, again)


def test_pickles_and_other_shapes_are_not_read(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encode(fresh(), NAMES, monkeypatch)
    for arrays in (
        {"digests": np.array(["a"]), "features": np.zeros((2, 3), np.float32)},
        {"digests": np.array([{}], dtype=object), "features": np.zeros((1, 3), np.float32)},
    ):
        np.savez(files()[0], allow_pickle=True, **arrays)
        assert encode(fresh(), NAMES, monkeypatch)[1] == len(NAMES)


def test_both_numbers_are_bounded(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TEXTS", 20)
    monkeypatch.setattr(module, "MAX_FILES", 1)
    encoder = fresh()
    (model_cache() / "text").mkdir(parents=True)
    (model_cache() / "text" / "old.npz").write_bytes(b"")
    encode(encoder, NAMES, monkeypatch)
    encode(encoder, [f"{name} ?" for name in NAMES], monkeypatch)
    (file,) = files()
    with np.load(file) as arrays:
        assert arrays["features"].shape[0] == 20


def test_a_folder_that_cannot_be_written_keeps_nothing(
    fresh: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert encode(fresh(), NAMES, monkeypatch)[1] == len(NAMES)
