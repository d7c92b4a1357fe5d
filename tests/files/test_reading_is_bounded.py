"""What comes from outside is read by `visprog.files` alone, whose functions know sizes before they take memory."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from visprog.files import limits as limits_module
from visprog.files.limits import SizeLimits
from visprog.files.plain_text import read_json
from visprog.files.reading import file_digest
from visprog.models.checkpoint.checkpoint import read_json as read_object
from visprog.models.checkpoint.weight_files import read_index
from visprog.models.preprocess.tokenizer import Tokenizer
from visprog.training.recipe import RecipeError, load_recipe
from visprog.trust import is_trusted

ROOT = Path(__file__).resolve().parents[2]
READERS = {"open", "read_text", "read_bytes", "loads", "load"}

ELSEWHERE = {
    "visprog/answer.py": "the schema of the package; a copy",
    "visprog/commands/doctor.py": "pyproject.toml of the checkout",
    "visprog/evaluation/folder.py": "a copy by way of JSON",
    "visprog/evaluation/models/benchmark.py": "a copy by way of JSON",
    "visprog/evaluation/planner/wording.py": "a table of the package",
    "visprog/files/": "the readers themselves",
    "visprog/models/checkpoint/weights.py": "tensors by their places, after the library has compared header and length",
    "visprog/models/nn/linear.py": "what the operating system says of the processor",
    "visprog/models/precision.py": "what the operating system says of processor and memory",
    "visprog/planner/embedded/vocabulary.py": "what a tokenizer of this process writes",
    "visprog/retrieval/index.py": "its own features, to write more of them",
    "visprog/runtime/processes/": "frames that its channel bounds; numbers of the operating system",
    "visprog/values/video_file.py": "frames of an open file, in the confined process of videos",
    "visprog/server/forms.py": "a part of a request, bounded by the limit of the upload",
    "visprog/server/app.py": "a video that was uploaded within the limit",
    "visprog/server/metrics.py": "a number of the operating system",
    "visprog/server/openapi.py": "the schema of the package",
    "visprog/training/planner/corpus.py": "tables of the package",
    "visprog/training/planner/train.py": "a copy by way of JSON",
    "tools/words/phrase.py": "tables of the package",
}
"""Files that read otherwise, each with its reason."""


def readings() -> Iterator[tuple[str, int, str]]:
    """File, line and source of each call that may read from outside: not of the package's own resources, and not by
    `open` of a mode that only writes."""
    for folder in ("visprog", "tools"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            inner = file.relative_to(ROOT)
            if folder == "visprog" and inner.parts[1] in ("tools", "sandbox", "prompts"):
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and _reads(node):
                    yield inner.as_posix(), node.lineno, ast.unparse(node)


def _reads(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Name):
        return call.func.id == "open" and not _writes(call, 1)
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in READERS:
        return False
    owner = ast.unparse(call.func.value)
    if owner.startswith(("files(", "(files(")) or owner in ("files", "self.files"):
        return False  # resources of the package; `DataFiles`, which reads by the helpers
    match call.func.attr:
        case "loads":
            return owner == "json"
        case "load":
            return owner == "json"
        case "open":
            # Path.open has the mode first; classes and libraries have an `open` of their own
            return (
                owner not in ("os", "cv2", "tarfile")
                and not owner[:1].isupper()
                and "Image" not in owner
                and (not _writes(call, 0))
            )
    return True


def _writes(call: ast.Call, place: int) -> bool:
    modes = [call.args[place]] if len(call.args) > place else []
    modes += [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    return any(
        "r" not in str(c.value) and c.value for m in modes for c in ast.walk(m) if isinstance(c, ast.Constant)
    )


def test_files_from_outside_are_read_by_the_helpers() -> None:
    found = list(readings())
    wrong = [
        f"{file}:{line} {source}" for file, line, source in found if not any(map(file.startswith, ELSEWHERE))
    ]
    assert not wrong, "read it by visprog.files, or give a reason in ELSEWHERE:\n" + "\n".join(wrong)
    unused = [known for known in ELSEWHERE if not any(file.startswith(known) for file, _, _ in found)]
    assert not unused


def test_a_json_file_is_bounded_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    file.write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"a\.json is not JSON that can be read: it is nested too deeply"):
        read_json(file)
    file.write_bytes(b"\xff\xfe\0")
    with pytest.raises(ValueError, match=r"a\.json is not text in UTF-8"):
        read_json(file)
    file.write_text("{}" + " " * 2000)
    monkeypatch.setattr(limits_module, "_in_force", SizeLimits(text_bytes=1000))
    with pytest.raises(OSError, match="larger than"):
        read_json(file)


def test_settings_of_models_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("model.safetensors.index.json", "config.json", "tokenizer_config.json"):
        (tmp_path / name).write_text("[" * 100_000)
    for read in (read_index, Tokenizer.from_pretrained, lambda folder: read_object(folder / "config.json")):
        with pytest.raises(ValueError):
            read(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "tokenizer.json").symlink_to("/dev/zero")
    with pytest.raises((OSError, ValueError)):
        Tokenizer.from_pretrained(tmp_path)


def test_special_files_are_no_recipes_and_no_lists_of_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "device.yaml").symlink_to("/dev/zero")
    (tmp_path / "large.yaml").write_text("# " + "x" * 2_000_000)
    for name, message in (
        ("device", "there is no recipe"),
        ("large", "cannot read the recipe .* larger than 1 MiB"),
    ):
        with pytest.raises(RecipeError, match=message):
            load_recipe(tmp_path / f"{name}.yaml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "visprog").mkdir()
    (tmp_path / "visprog" / "trusted.json").symlink_to("/dev/zero")
    assert not is_trusted(tmp_path / "visprog.toml", b"")


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a").startswith("ba7816bf")
    (tmp_path / "b").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="a device"):
        file_digest(tmp_path / "b")
