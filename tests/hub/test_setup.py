"""`visprog models` in processes of its own, against a hub on loopback: from nothing to an answer, and each fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("transformers", reason="the extra 'hf' is not installed")

from tests.hub.checkpoints import KINDS, publish  # noqa: E402
from tests.hub.fake_hub import FakeHub, serving  # noqa: E402

SIGNS = Path(__file__).resolve().parents[2] / "examples" / "signs.png"


class Shell:
    """Commands in an empty folder, with a home, a cache and a hub of their own."""

    def __init__(self, folder: Path, hub: FakeHub) -> None:
        self.folder, self.hub = folder, hub
        self.more: dict[str, str] = {}

    def __call__(self, *words: str, code: int = 0) -> dict[str, Any]:
        """The JSON object that a command prints; its standard error is `self.said`."""
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("HF_", "VISPROG_", "OPENAI_", "XDG_"))
        }
        places = {
            "HOME": str(self.folder / "home"), "HF_HOME": str(self.folder / "hf"), "HF_ENDPOINT": self.hub.url,
            "OLLAMA_HOST": "127.0.0.1:9", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "visprog", *words, "--json"],
            cwd=self.folder, env={**kept, **places, **self.more}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.said = done.stderr
        assert "Traceback" not in done.stderr and done.returncode == code, done.stderr + done.stdout
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    @property
    def settings(self) -> dict[str, Any]:
        return tomllib.loads((self.folder / "visprog.toml").read_text())


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    with serving() as found:
        yield found


@pytest.fixture(scope="module")
def published(hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is proposed on a small machine, and lies on the hub."""
    shell = Shell(tmp_path_factory.mktemp("proposal"), hub)
    proposal = shell("models", "setup", "--size", "small")
    assert proposal["status"] == "proposed" and "run it again with --yes" in shell.said
    assert not (shell.folder / "visprog.toml").exists()
    publish(hub, proposal["tools"].values(), tmp_path_factory.mktemp("checkpoints"))
    return proposal


@pytest.fixture
def shell(tmp_path: Path, hub: FakeHub, published: dict[str, Any]) -> Iterator[Shell]:
    kept = dict(hub.repositories)
    yield Shell(tmp_path, hub)
    hub.repositories, hub.statuses, hub.cuts = kept, {}, 0


@pytest.fixture(scope="module")
def ready(hub: FakeHub, published: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A folder after `visprog models setup --yes`, over a connection that broke twice."""
    shell = Shell(tmp_path_factory.mktemp("ready"), hub)
    hub.cuts, hub.cut_after = 2, 20_000
    found = shell("models", "setup", "--size", "small", "--yes")
    hub.cuts = 0
    assert found["status"] == "ok" and found["failures"] == {} and "visprog: downloading " in shell.said
    return shell


@pytest.fixture(scope="module")
def tools(published: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The tables of the settings."""
    return {name: {"backend": c["backend"], "model": c["id"]} for name, c in published["tools"].items()}


def test_what_was_proposed_is_set_up_and_here(ready: Shell, tools: dict[str, dict[str, str]]) -> None:
    assert tools["detect"]["backend"] == "owlv2" and tools["classify"]["backend"] == "siglip"
    assert ready.settings["tools"] == tools
    listed = ready("models", "list")["checkpoints"]
    assert {c["id"] for c in listed if c["cached"]} == {c["model"] for c in tools.values()}
    before = (ready.folder / "visprog.toml").read_text()
    assert ready("models", "setup", "--size", "small", "--yes")["status"] == "ok"
    assert (ready.folder / "visprog.toml").read_text() == before
    doctor = next(t for t in ready("doctor")["tools"] if t["name"] == "detect")["checkpoint"]
    assert doctor["cached"] and doctor["id"] == tools["detect"]["model"] and doctor["bytes"] > 1000
    assert doctor["device"] == "auto" and doctor["memory"] > 0


def test_questions_are_answered_without_the_hub(ready: Shell, tools: dict[str, dict[str, str]]) -> None:
    before = len(ready.hub.requests)
    answer = ready("ask", str(SIGNS), "How many dogs are there?")
    assert answer["status"] == "answered" and answer["trace"][0]["backend"] == "owlv2"
    calls = {
        "classify": 'classify(image, ["cat", "dog"])',
        "caption": "caption(image)",
        "verify": 'verify(image, "cat")',
    }
    made = [text for name, text in calls.items() if tools[name]["backend"] in KINDS]
    (ready.folder / "program.py").write_text(f"def answer(image):\n    return [{', '.join(made)}]\n")
    answer = ready("run", "program.py", str(SIGNS))
    assert answer["status"] == "answered" and len(answer["value"]) == len(made)
    assert {call["backend"] for call in answer["trace"]} <= set(KINDS)
    assert len(ready.hub.requests) == before


def test_what_a_question_needs_is_downloaded_then(ready: Shell, tools: dict[str, dict[str, str]]) -> None:
    detector = tools["detect"]["model"]
    removed = ready("models", "remove", detector)
    assert removed["freed"] > 1000 and removed["used_by"] == ["detect"] and "downloads it again" in ready.said
    ready.more = {"HF_HUB_OFFLINE": "1"}
    answer = ready("ask", str(SIGNS), "How many dogs are there?", code=1)
    assert f"'visprog models fetch {detector}'" in answer["message"]
    ready.more = {}
    answer = ready("ask", str(SIGNS), "How many dogs are there?")
    assert answer["status"] == "answered" and f"downloading {detector}: " in ready.said


def test_a_fault_of_one_checkpoint_leaves_the_others(shell: Shell, published: dict[str, Any]) -> None:
    detector, classifier = (published["tools"][name]["id"] for name in ("detect", "classify"))
    repositories = dict(shell.hub.repositories)
    shell.hub.repositories = {k: v for k, v in repositories.items() if k != classifier}
    gated = shell.hub.repositories[detector]
    gated.gated = True
    try:
        found = shell("models", "setup", "--size", "small", "--yes", code=1)
    finally:
        gated.gated = False
    assert "there is no such model" in found["failures"][classifier]
    assert (
        f"accept it at {shell.hub.url}/{detector}, log in with 'hf auth login'" in found["failures"][detector]
    )
    assert "segment" in shell.settings["tools"] and "detect" not in shell.settings["tools"]
    assert shell("models", "setup", "--size", "small", "--yes", code=1)["failures"].keys() == {classifier}
    assert "detect" in shell.settings["tools"]
    shell("models", "remove", detector)
    gated.gated = True
    try:
        shell("models", "setup", "--size", "small", "--yes", code=1)
    finally:
        gated.gated = False
    assert "detect" in shell.settings["tools"]  # what worked before is not lost


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "http://127.0.0.1:9 cannot be reached"),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids downloads"),
    ],
)
def test_without_a_network_nothing_is_written_and_nothing_is_waited_for(
    shell: Shell, settings: dict[str, str], message: str
) -> None:
    (shell.folder / "visprog.toml").write_text("calls = 7\n")
    shell.more = settings
    found = shell("models", "setup", "--size", "small", "--yes", code=1)
    assert message in found["message"] and found["message"].count("cannot get") == 1
    assert shell.settings == {"calls": 7}
    assert message in shell("models", "fetch", "org/name", code=1)["message"]


def test_what_the_user_set_up_stays(shell: Shell) -> None:
    own = 'planner = "embedded" # mine\n\n# the detector\n[tools.detect]\nbackend = "opencv"\n\n[limits]\nimages = 5'
    (shell.folder / "visprog.toml").write_text(own)
    found = shell("models", "setup", "--size", "small", "--yes")
    assert sorted(found["kept"]) == ["detect", "planner"] and "detect" not in found["tools"]
    assert (shell.folder / "visprog.toml").read_text().startswith(own)
    assert shell.settings["tools"]["detect"] == {"backend": "opencv"} and "segment" in shell.settings["tools"]
    (shell.folder / "visprog.toml").write_text(own + "\nallow_url")
    assert "is not valid TOML" in shell("models", "setup", "--yes", code=1)["message"]
    assert (shell.folder / "visprog.toml").read_text() == own + "\nallow_url"


def test_names_that_mean_nothing(shell: Shell) -> None:
    assert "did you mean 'sam-vit-base'?" in shell("models", "fetch", "sam-vit-bas", code=2)["message"]
    assert (
        "--size must be small, base or large" in shell("models", "setup", "--size", "huge", code=2)["message"]
    )
    assert "there is nothing to remove" in shell("models", "remove", "org/name", code=1)["message"]
    assert "is no hub id" in shell("models", "remove", "../../etc", code=2)["message"]


def test_a_model_of_ollama_is_proposed_as_planner(shell: Shell) -> None:
    from tests.llm.fake_server import say, serve

    with serve(say("x")) as endpoint:
        endpoint.pulled = ["qwen3:4b", "nomic-embed-text:latest"]
        shell.more = {"OLLAMA_HOST": endpoint.url.removesuffix("/v1")}
        assert shell("models", "setup", "--size", "small", "--yes")["planner"] == "ollama:qwen3:4b"
    assert shell.settings["planner"] == "ollama:qwen3:4b"
