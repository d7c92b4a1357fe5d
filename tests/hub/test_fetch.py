"""Downloads of checkpoints: what is read, what is kept, and each way in which they fail."""

from __future__ import annotations

import errno
import json
import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.hub.fake_hub import FakeHub
from visprog.models.checkpoint import cache
from visprog.models.checkpoint.hub import HubError, fetch, fetch_config
from visprog.models.checkpoint.weight_files import INDEX, SINGLE

NAME = "org/name"
PARTS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
CONFIG = b'{"model_type": "llama"}'


def message(source: str = NAME, **options: Any) -> str:
    with pytest.raises(HubError) as caught:
        fetch(source, **options)
    assert "\n" not in str(caught.value) and str(caught.value).count(source)
    return str(caught.value)


def test_only_what_is_read_is_downloaded_and_only_once(hub: FakeHub) -> None:
    files = {
        "config.json": CONFIG, SINGLE: b"w", "tokenizer.json": b"{}", "model_ema.safetensors": b"w", "code.py": b"",
        "open_clip_model.safetensors": b"w", "pytorch_model.bin": b"w", "onnx/config.json": b"{}", "README.txt": b"",
    }  # fmt: skip
    hub.add(NAME, files)
    assert cache.cached(NAME) is None
    folder = fetch(NAME)
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", SINGLE, "tokenizer.json"]
    assert sorted(hub.fetched()) == ["config.json", SINGLE, "tokenizer.json"]
    before = len(hub.requests)
    assert fetch(NAME) == folder == cache.cached(NAME) and fetch_config(NAME).parent == folder
    assert len(hub.requests) == before  # the hub is not even asked
    hub.repositories[NAME].revisions["main"][SINGLE] = b"newer"
    assert fetch(NAME) == folder
    newer = fetch(NAME, refresh=True)
    assert (newer / SINGLE).read_bytes() == b"newer" and cache.cached(NAME) == newer


def test_what_another_program_left_out_is_added_if_the_hub_can_be_reached(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants, hf_hub_download

    hub.add(NAME, {"config.json": CONFIG, SINGLE: b"w", "tokenizer.json": b"{}"})
    for name in ("config.json", SINGLE):
        hf_hub_download(NAME, name, cache_dir=cache.hub_cache())
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        folder = fetch(NAME)
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", SINGLE]
    assert fetch(NAME) == folder and (folder / "tokenizer.json").is_file()
    before = len(hub.requests)
    assert fetch(NAME) == folder and len(hub.requests) == before


def test_the_parts_that_an_index_lists_are_downloaded(hub: FakeHub) -> None:
    index = json.dumps({"weight_map": {"a": PARTS[0], "b": PARTS[1]}}).encode()
    files = {
        "config.json": b"{}",
        INDEX: index,
        PARTS[0]: b"1",
        PARTS[1]: b"2",
        "consolidated.safetensors": b"w",
    }
    hub.add(NAME, files)
    folder = fetch(NAME)
    assert sorted(p.name for p in folder.iterdir()) == sorted(["config.json", INDEX, *PARTS])
    (folder / PARTS[1]).unlink()
    assert cache.cached(NAME) is None
    del hub.repositories[NAME].revisions["main"][PARTS[1]]
    assert f"it lacks {PARTS[1]}" in message()


def test_of_a_pipeline_the_parts_are_downloaded_that_are_run(hub: FakeHub) -> None:
    index = {
        "_class_name": "SomePipeline", "unet": ["diffusers", "UNet"], "vae": ["diffusers", "VAE"],
        "safety_checker": ["x", "y"], "feature_extractor": [None, None],
    }  # fmt: skip
    weights = "diffusion_pytorch_model"
    files = {
        "model_index.json": json.dumps(index).encode(), "unet/config.json": b"{}", f"unet/{weights}.safetensors": b"u",
        f"unet/{weights}.fp16.safetensors": b"h", "unet/model.bin": b"p", "vae/config.json": b"{}",
        f"vae/{weights}.safetensors": b"v", "safety_checker/model.safetensors": b"s", "pipeline.safetensors": b"all",
        "vae/inner/config.json": b"{}", "vae/code.py": b"",
    }  # fmt: skip
    hub.add(NAME, files)
    folder = fetch(NAME)
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    parts = {
        f"{part}/{file}" for part in ("unet", "vae") for file in ("config.json", f"{weights}.safetensors")
    }
    assert found == {"model_index.json"} | parts
    assert cache.cached(NAME) == folder


def test_pickled_weights_are_taken_from_their_conversion(hub: FakeHub) -> None:
    main = {"config.json": b"{}", "pytorch_model.bin": b"v1"}
    repository = hub.add(NAME, main)
    repository.revisions["refs/pr/7"] = {**main, SINGLE: b"w"}
    request = {
        "num": 7, "title": "Adding `safetensors` variant of this model", "status": "open", "isPullRequest": True,
        "author": {"name": "SFconvertbot"}, "createdAt": "2023-01-01T00:00:00.000Z",
        "repo": {"name": NAME, "type": "model"}, "endpoint": hub.url,
    }  # fmt: skip
    for change in ({"author": {"name": "someone"}}, {"status": "closed"}):
        repository.discussions = [{**request, **change}]
        with pytest.raises(
            ValueError, match=r"on the hub: .*pickled weights \(pytorch_model.bin\) are refused"
        ):
            fetch(NAME)
    repository.discussions = [request]
    main["pytorch_model.bin"] = repository.revisions["main"]["pytorch_model.bin"] = b"v2"
    with pytest.raises(ValueError, match=r'refs/pr/7 has those of older ones: give revision="refs/pr/7"'):
        fetch(NAME)
    repository.revisions["main"]["pytorch_model.bin"] = b"v1"
    folder = fetch(NAME)
    assert (folder / SINGLE).is_file() and fetch(NAME, "refs/pr/7") == folder
    before = len(hub.requests)
    assert fetch(NAME) == folder and len(hub.requests) == before


def test_a_revision_is_asked_for(hub: FakeHub) -> None:
    repository = hub.add(NAME, {"config.json": b"{}", SINGLE: b"old"})
    repository.revisions["v1.5"] = {"config.json": b"{}", SINGLE: b"new"}
    assert (fetch(NAME, "v1.5") / SINGLE).read_bytes() == b"new"
    assert (fetch(NAME) / SINGLE).read_bytes() == b"old"
    assert "no such revision" in message(revision="v9")


WEIGHTS = bytes(range(256)) * 40


def test_a_connection_that_breaks_is_continued_where_it_broke(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the pauses of the client
    hub.add(NAME, {"config.json": CONFIG, SINGLE: WEIGHTS})
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 500)
    hub.cuts, hub.cut_after = 3, 3000
    folder = fetch(NAME)
    assert (folder / SINGLE).read_bytes() == WEIGHTS
    ranges = [r for _, path, r in hub.requests if path.endswith(SINGLE) and r]
    assert ranges == ["bytes=3000-", "bytes=6000-", "bytes=9000-"]
    said = capsys.readouterr().err
    assert said.startswith("visprog: downloading org/name: 10 kB\n") and "% of 10 kB" in said


def test_what_was_cut_is_continued_by_the_next_download(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(NAME, {"config.json": CONFIG, SINGLE: WEIGHTS})
    from huggingface_hub import file_download

    real = file_download.http_get

    def once(url: str, stream: Any, **options: Any) -> None:
        if not url.endswith(SINGLE):
            return real(url, stream, **options)
        if not options["resume_size"]:
            stream.write(WEIGHTS[:4000])
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    monkeypatch.setattr(file_download, "http_get", once)
    assert "the connection broke off after" in message() and cache.cached(NAME) is None
    assert 4000 <= cache.bytes_here(NAME) < 5000
    monkeypatch.setattr(file_download, "http_get", real)
    assert (fetch(NAME) / SINGLE).read_bytes() == WEIGHTS
    assert [r for _, path, r in hub.requests if path.endswith(SINGLE) and r] == ["bytes=4000-"]
    assert not list(cache.repository(NAME).rglob(f"*{cache.PART}"))


def test_what_arrives_damaged_is_not_used(hub: FakeHub) -> None:
    hub.add(NAME, {"config.json": CONFIG, SINGLE: WEIGHTS})
    part = cache.repository(NAME) / "blobs"
    part.mkdir(parents=True)
    from tests.hub.fake_hub import etag_of

    (part / (etag_of(SINGLE, WEIGHTS) + cache.PART)).write_bytes(b"x" * 100)
    assert "arrived damaged, and was deleted" in message()
    assert cache.cached(NAME) is None
    assert (fetch(NAME) / SINGLE).read_bytes() == WEIGHTS


def test_a_gated_model_says_where_its_licence_is(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(NAME, {"config.json": CONFIG, SINGLE: b"w"}, gated=True)
    found = message()
    assert f"accept it at {hub.url}/{NAME}, log in with 'hf auth login'" in found
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert "accept it at" in message()
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert (fetch(NAME) / SINGLE).read_bytes() == b"w"


def test_a_model_that_is_not_there_and_a_hub_that_fails(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert "there is no such model, or it is private" in message("org/missing")
    hub.add(NAME, {"config.json": CONFIG, SINGLE: b"w"})
    hub.statuses["/api/"] = 503
    assert "answered with status 503: try again later" in message()
    hub.statuses = {f"/{NAME}/resolve": 500}
    assert "status 500" in message()
    hub.statuses = {}
    fetch(NAME)
    hub.statuses["/"] = 503
    assert (fetch(NAME) / SINGLE).read_bytes() == b"w"


def test_a_disk_without_space_is_seen_before_and_while_it_fills(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(NAME, {"config.json": CONFIG, SINGLE: WEIGHTS})
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=9999, used=9000, free=999))
        assert "10 kB more are needed, and" in message() and "999 B free" in message()
        assert not hub.fetched()
    from huggingface_hub import file_download

    real = file_download.http_get

    def full(url: str, stream: Any, **options: Any) -> None:
        if not url.endswith(SINGLE):
            return real(url, stream, **options)
        stream.write(WEIGHTS[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(file_download, "http_get", full)
        found = message()
    assert "is full: free some space and continue with 'visprog models fetch org/name'" in found
    assert cache.cached(NAME) is None
    assert (fetch(NAME) / SINGLE).read_bytes() == WEIGHTS


def test_without_a_network(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    hub.add(NAME, {"config.json": CONFIG, SINGLE: b"w"})
    hub.add("org/other", {"config.json": CONFIG, SINGLE: b"w"})
    folder = fetch(NAME)
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert fetch(NAME) == folder
        found = message("org/other")
        assert "HF_HUB_OFFLINE forbids downloads" in found and "'visprog models fetch org/other'" in found
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert fetch(NAME) == folder
    assert "http://127.0.0.1:9 cannot be reached" in message("org/other")
    assert pauses == []  # it is not tried again and again


def test_a_removed_checkpoint_is_gone(hub: FakeHub) -> None:
    hub.add(NAME, {"config.json": CONFIG, SINGLE: b"weights"})
    assert cache.remove(NAME) == 0
    fetch(NAME)
    assert cache.remove(NAME) == len(CONFIG) + 7 == len(CONFIG + b"weights")
    assert cache.cached(NAME) is None and not cache.repository(NAME).exists()


def test_two_downloads_of_one_file_do_not_mix(hub: FakeHub) -> None:
    hub.add(NAME, {"config.json": CONFIG, SINGLE: WEIGHTS})
    results: list[Any] = []

    def get() -> None:
        try:
            results.append(fetch(NAME))
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=get) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert any(isinstance(result, Path) for result in results)
    others = [str(result) for result in results if not isinstance(result, Path)]
    assert all("another process is writing to" in each for each in others)
    assert (fetch(NAME) / SINGLE).read_bytes() == WEIGHTS
