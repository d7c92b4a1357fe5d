"""Checkpoints of the Hugging Face hub: downloaded once, and of each only the files that are read.

This is the one way to the hub. What is here is never asked for again; a download that was cut is continued where it
ended, also by another process.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .. import BUNDLED, WEIGHTS
from .cache import PIPELINE, cached, damaged_files, is_hub_id, whole_mark
from .download import ProgressLines, Report, Repository, remember_revision, remote_repository
from .hub_errors import HubError, explained
from .weight_files import INDEX, SINGLE, found_instead

CONVERTER, CONVERSION = "SFconvertbot", "Adding `safetensors` variant of this model"
"""Author and title of the pull requests with which the hub offers pickled weights as safetensors."""

Check = Callable[[Path], None]
"""Gets the path of a `config.json`, and raises if such a model is not to be downloaded."""


def locate(source: str | Path) -> Path:
    """The folder of a processor or a tokenizer: as `fetch`, for folders also without `config.json`.

    Raises:
        ValueError: there is no such folder or id.
    """
    return Path(source) if source not in BUNDLED and Path(source).is_dir() else fetch(source)


def fetch(
    source: str | Path,
    revision: str | None = None,
    *,
    refresh: bool = False,
    report: Report | None = None,
    check: Check | None = None,
) -> Path:
    """The folder of a checkpoint: the given one, that of a bundled model, or that of a hub id, downloaded once and
    then kept.

    If the main branch of a hub id has pickled weights alone, the hub's own conversion of them is taken, an open pull
    request of its bot.

    Args:
        source: a folder, the name of a bundled model ("clip"), or a hub id ("openai/clip-vit-base-patch32"). A folder
            with the name of a bundled model is given as "./clip".
        revision: branch, tag, commit or "refs/pr/N" on the hub; the main branch if not given.
        refresh: ask the hub for a newer commit, also if the checkpoint is here, and compare what is here with its
            digests.
        report: is told of a download; by default lines on standard error tell of it.
        check: gets the path of the `config.json` of a hub id before its weights are downloaded, and raises to refuse.

    Raises:
        HubError: the hub does not give it.
        ValueError: there is no such folder or id, or it is no checkpoint.
    """
    folder = WEIGHTS / source if source in BUNDLED else Path(source)
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"{folder} is a folder, which has no revision '{revision}'")
    elif not is_hub_id(str(source)):
        raise ValueError(
            f"there is no folder {source}, and it is neither a hub id (like openai/clip-vit-base-patch32) nor a "
            f"bundled model ({', '.join(BUNDLED)})"
        )
    else:
        folder = _from_hub(str(source), revision, refresh, report or ProgressLines(), check)
    if not any((folder / name).is_file() for name in ("config.json", PIPELINE)):
        raise ValueError(f"{folder} holds no config.json: not a checkpoint folder")
    return folder


def fetch_config(source: str) -> Path:
    """The `config.json` of a hub id, without its weights.

    Raises:
        HubError: the hub does not give it.
    """
    folder = cached(source)
    if folder is not None:
        return folder / "config.json"
    with explained(source):
        return remote_repository(source, None, ProgressLines()).get("config.json")


def _from_hub(source: str, revision: str | None, refresh: bool, report: Report, check: Check | None) -> Path:
    """The folder of a hub id. One that another program put into the cache may lack files that are read here: they are
    added, if the hub can be reached."""
    found = cached(source, revision)
    if found is not None and not refresh and whole_mark(source, found.name).exists():
        return found
    try:
        return _download(source, revision, report, check, verify=refresh)
    except HubError as error:
        if found is not None and not refresh:
            return found
        if damaged := damaged_files(source, revision):
            raise type(error)(f"{error}; what is here of it is damaged ({damaged[0]})") from error
        raise


def _download(
    source: str, revision: str | None, report: Report, check: Check | None, *, verify: bool
) -> Path:
    with explained(source):
        found = remote_repository(source, revision, report)
        names = found.chosen()
        if names:
            if check is not None and "config.json" in names:
                check(found.get("config.json"))
            return found.download(names, verify=verify)
        conversion = None if revision else _conversion(source)
        current = conversion is None or _pickled(found) == _pickled(
            remote_repository(source, conversion, report)
        )
    if conversion is None:
        raise ValueError(
            f"{source} has neither {SINGLE} nor {INDEX} on the hub: {found_instead(sorted(found.files))}"
        )
    if not current:
        raise ValueError(
            f"{source} has no .safetensors weights, and its pull request {conversion} has those of older ones: "
            f'give revision="{conversion}" to take them all the same'
        )
    folder = _download(source, conversion, report, check, verify=verify)
    remember_revision(source, None, folder.name)  # so that it is found without the hub
    return folder


def _conversion(source: str) -> str | None:
    """The revision of the hub's own conversion of a checkpoint."""
    from huggingface_hub import HfApi

    for found in HfApi().get_repo_discussions(source, author=CONVERTER, discussion_type="pull_request"):
        if found.author == CONVERTER and found.title == CONVERSION and found.status == "open":
            return str(found.git_reference)
    return None


def _pickled(found: Repository) -> dict[str, str]:
    """The pickled weights of a revision, and their digests: a conversion of others is out of date."""
    return {
        name: file.blob
        for name, file in found.files.items()
        if name.startswith("pytorch_model") and name.endswith(".bin")
    }
