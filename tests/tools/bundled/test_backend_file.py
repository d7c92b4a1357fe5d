"""`backend.json`: what a folder says about its weights, and what it may not say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from visprog.errors import ToolError
from visprog.models import WEIGHTS
from visprog.scenes import COLORS, SHAPES, SIZES, TEXTURES, Scenes
from visprog.scenes.questions import is_worded
from visprog.scenes.wordings import QUESTION_TYPES
from visprog.tools.backends._backend_file import BackendFile, backend_file, folder_of
from visprog.training.recipe import load_recipe


def test_a_folder_without_the_file_has_no_limits(tmp_path: Path) -> None:
    assert backend_file(tmp_path) == backend_file(None) == BackendFile()
    assert BackendFile().option("frame", None, 0.0) == 0.0


def test_an_option_that_is_given_counts_before_the_file() -> None:
    frame = backend_file(WEIGHTS / "coca").option
    assert frame("frame", None, 0.0) == 3.0 and frame("frame", 1.5, 0.0) == 1.5


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"taught": 1}', '{"domain": {"images": "maps"}}', '{"vocabulary": 3}']
)
def test_a_file_that_cannot_be_read_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "backend.json").write_text(text)
    with pytest.raises(
        ToolError, match=r"backend.json cannot be read .*: it is a JSON object of device, options"
    ):
        backend_file(tmp_path)


def test_bundled_names_folders_and_hub_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip").mkdir()
    assert folder_of("clip") == WEIGHTS / "clip"
    assert folder_of("./clip") == tmp_path / "clip"
    assert folder_of("openai/clip-vit-base-patch32") is None and folder_of("") is None


def test_the_words_of_the_bundled_models_are_those_of_the_scenes() -> None:
    clip, owl = (backend_file(WEIGHTS / name).vocabulary for name in ("clip", "owl"))
    assert clip is not None and owl is not None
    assert [tuple(words) for words in clip.kinds.values()] == [TEXTURES[1:], COLORS, SHAPES]
    assert [tuple(words) for words in owl.kinds.values()] == [SIZES, COLORS, TEXTURES]


@pytest.mark.parametrize("name", ["clip", "owl"])
def test_a_model_that_is_trained_on_scenes_says_its_words(name: str, tmp_path: Path) -> None:
    small = ["model.image_encoder.layers=1", "model.text_encoder.layers=1"]
    load_recipe(name, [*small, *(["init_from=null"] if name == "clip" else [])]).build().save(tmp_path)
    assert backend_file(tmp_path) == BackendFile(vocabulary=backend_file(WEIGHTS / name).vocabulary)


def test_the_questions_of_the_bundled_model_are_those_of_the_scenes() -> None:
    questions = backend_file(WEIGHTS / "llava").questions
    assert questions is not None
    asked = [
        q.text
        for n in range(60)
        for q in Scenes(96, split="test")[n].questions(2, [QUESTION_TYPES[n % len(QUESTION_TYPES)]])
    ]
    others = [
        "Name the star",
        "What is left of the star?",
        "Is there an elephant?",
        "how many  things are there",
    ]
    for text in (*asked, *questions.examples, *others, *(json.dumps(text) for text in asked[:5])):
        assert questions.has(text) == is_worded(text), text
    assert all(map(questions.has, asked))
