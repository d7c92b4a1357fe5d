"""Downloads of checkpoints: what is read, what is kept, and each way in which they fail."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from tests.hub.fake_hub import FakeHub
from visprog.commands.model_types import check_model_type
from visprog.errors import VisprogError
from visprog.models.checkpoint import cache, hub_errors
from visprog.models.checkpoint.hub import fetch, fetch_config
from visprog.models.checkpoint.hub_errors import HubError
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


def test_what_a_hub_sends_beyond_what_it_announced_is_not_kept(hub: FakeHub) -> None:
    hub.add(NAME, {"config.json": CONFIG, SINGLE: WEIGHTS})
    hub.surplus = b"x" * 30_000_000
    assert "it sends more than it announced" in message()
    hub.surplus = b""
    assert (fetch(NAME) / SINGLE).read_bytes() == WEIGHTS


@pytest.mark.parametrize("place", ["sha", "lfs"])
@pytest.mark.parametrize("name", ["../../outside", "/outside", "", "A" * 40, "0" * 39])
def test_names_in_the_cache_are_digests(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, place: str, name: str
) -> None:
    import huggingface_hub

    digest = name or "x" if place == "lfs" else "0" * 64
    weights = SimpleNamespace(rfilename=SINGLE, size=1, blob_id="0" * 40, lfs=SimpleNamespace(sha256=digest))
    found = SimpleNamespace(sha=name if place == "sha" else "0" * 40, siblings=[weights])
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: found)
    assert "what is no digest" in message()
    assert not list(cache.hub_cache().parent.rglob("outside*"))


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
    assert f"{hub.url} answered with status 503: try again later" in message()
    hub.statuses["/api/"] = 404  # a proxy, or another server
    assert f"{hub.url} answered with status 404" in message()
    hub.statuses = {f"/{NAME}/resolve": 500}
    assert "status 500" in message()
    hub.statuses = {}
    hub.add("org/bare", {SINGLE: b"w"})
    with pytest.raises(HubError, match=r"lacks a file that is read, such as config\.json"):
        fetch_config("org/bare")
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


def test_a_hub_that_is_silent_is_waited_for_once(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its address swallows what is sent there: each attempt would last until its timeout."""
    import huggingface_hub
    from huggingface_hub import constants

    hub.add(NAME, {"config.json": CONFIG, SINGLE: b"w"})
    (fetch(NAME) / "tokenizer.json").unlink(missing_ok=True)
    cache.whole_mark(NAME, cache.cached(NAME).name).unlink()  # type: ignore[union-attr]
    attempts: list[str] = []

    def ask(self: Any, source: str, **_: Any) -> Any:
        attempts.append(source)
        raise TimeoutError from ConnectionError("timed out")

    with monkeypatch.context() as patch:
        patch.setattr(hub_errors, "_silent", {})
        patch.setattr(huggingface_hub.HfApi, "model_info", ask)
        patch.setattr(constants, "ENDPOINT", "http://silent.example")
        for source in ("org/other", "org/third"):
            assert f"cannot be reached: with a network, run 'visprog models fetch {source}'" in message(
                source
            )
        with pytest.raises(HubError, match="cannot be reached"):
            fetch_config("org/other")
        assert fetch(NAME).is_dir()  # what is here may lack a file, and does for the time
        assert attempts == ["org/other"]
        patch.setattr(hub_errors, "SILENT_SECONDS", 0.0)
        message("org/other")
        assert attempts == ["org/other", "org/other"]
    assert fetch(NAME).is_dir()  # another hub is asked


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "brain_2"}, "type 'brain_2' cannot be run: transformers .* does not know it"),
        ({"model_type": "own", "auto_map": {"AutoModel": "own.Own"}}, "code of its own, which is never run"),
    ],
)
def test_what_nothing_can_run_is_refused_before_its_weights(
    config: dict[str, Any], reason: str, hub: FakeHub
) -> None:
    pytest.importorskip("transformers", reason="the extra 'hf' is not installed")
    hub.add(NAME, {"config.json": json.dumps(config).encode(), SINGLE: WEIGHTS})
    with pytest.raises(VisprogError, match=f"{reason}.* choose one that 'visprog models' lists"):
        fetch(NAME, check=check_model_type)
    assert hub.fetched() == ["config.json"]


@pytest.mark.parametrize("name", [SINGLE, "config.json"])
@pytest.mark.parametrize("content", [b"{", b"another"])
def test_a_damaged_file_is_told_and_mended(
    name: str,
    content: bytes,
    hub: FakeHub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from huggingface_hub import constants

    files = {"config.json": CONFIG, SINGLE: WEIGHTS}
    hub.add(NAME, files)
    folder = fetch(NAME)
    blob = (folder / name).resolve()
    blob.write_bytes(content)  # a disk that was full, a copy that was cut
    assert cache.cached(NAME) is None and cache.damaged_files(NAME) == [name]
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        found = message()
        assert f"what is here of it is damaged ({name})" in found and f"models fetch {NAME}'" in found
    capsys.readouterr()
    assert fetch(NAME) == folder and (folder / name).read_bytes() == files[name]
    assert f"{name} of {NAME} is damaged here, and downloaded again" in capsys.readouterr().err
    same_size = bytes(len(files[name]))
    blob.write_bytes(same_size)  # only the digest tells
    assert fetch(NAME) == folder and (folder / name).read_bytes() == same_size
    assert fetch(NAME, refresh=True) == folder and (folder / name).read_bytes() == files[name]


def test_a_mirror_that_tells_no_sizes_and_digests(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub

    real = huggingface_hub.HfApi.model_info

    def bare(self: Any, *arguments: Any, **options: Any) -> Any:
        info = real(self, *arguments, **options)
        for each in info.siblings:
            each.size = each.blob_id = each.lfs = None
        return info

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", bare)
    hub.add(NAME, {"config.json": CONFIG, SINGLE: WEIGHTS})
    folder = fetch(NAME)
    assert (folder / SINGLE).read_bytes() == WEIGHTS
    assert fetch(NAME, refresh=True) == folder and hub.fetched().count(SINGLE) == 1
    assert "damaged" not in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_to_serves_what_it_has(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(NAME, {"config.json": CONFIG, SINGLE: b"w", "tokenizer.json": b"{}"})
    folder = fetch(NAME)
    (folder / "tokenizer.json").unlink()
    cache.whole_mark(NAME, folder.name).unlink()

    def refuse(*_: Any, **__: Any) -> Any:
        raise VisprogError("cannot write to it: Read-only file system")

    monkeypatch.setattr("visprog.models.checkpoint.download.claimed", refuse)
    assert fetch(NAME) == folder
    assert "Read-only file system" in message(refresh=True)


def test_a_removed_checkpoint_is_gone(hub: FakeHub) -> None:
    hub.add(NAME, {"config.json": CONFIG, SINGLE: b"weights"})
    assert cache.remove(NAME) == 0
    fetch(NAME)
    assert cache.remove(NAME) == len(CONFIG) + 7 == len(CONFIG + b"weights")
    assert cache.cached(NAME) is None and not cache.repository(NAME).exists()


def test_several_processes_that_want_a_checkpoint_download_it_once(hub: FakeHub) -> None:
    hub.add(NAME, {"config.json": CONFIG, SINGLE: WEIGHTS})
    program = f"from visprog.models.checkpoint.hub import fetch; print(fetch({NAME!r}))"
    places = {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(cache.hub_cache()), "HF_HUB_OFFLINE": "0"}
    hub.delay = 0.5
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, **places},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [each.communicate() for each in running]
    assert [each.returncode for each in running] == [0, 0, 0], said
    assert {out for out, _ in said} == {f"{fetch(NAME)}\n"}
    assert (fetch(NAME) / SINGLE).read_bytes() == WEIGHTS
    assert hub.fetched().count(SINGLE) == 1
    assert not list(cache.repository(NAME).rglob(f"*{cache.PART}"))


def test_several_threads_that_want_a_checkpoint_download_it_once(hub: FakeHub) -> None:
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
    assert results == [fetch(NAME)] * 4 and hub.fetched().count(SINGLE) == 1
    assert (fetch(NAME) / SINGLE).read_bytes() == WEIGHTS
