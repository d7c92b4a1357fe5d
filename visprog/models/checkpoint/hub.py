"""Checkpoints of the Hugging Face hub: downloaded once, and of each only the files that are read."""

from __future__ import annotations

from pathlib import Path

from .. import BUNDLED, WEIGHTS
from .weights import INDEX, SINGLE, found_instead, read_index

SETTINGS = (
    "config.json", "adapter_config.json", "preprocessor_config.json", "processor_config.json", "image_processor.json",
    "chat.json", "region_encoder.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "vocab.json", "merges.txt", "vocab.txt",
)  # fmt: skip
"""The files of a checkpoint that are read here, besides its weights."""

CONVERTER, CONVERSION = "SFconvertbot", "Adding `safetensors` variant of this model"
"""Author and title of the pull requests with which the hub offers pickled weights as safetensors."""


def locate(source: str | Path) -> Path:
    """The folder of a processor or a tokenizer: as `fetch`, for folders also without `config.json`.

    Raises:
        ValueError: there is no such folder or id.
    """
    return Path(source) if source not in BUNDLED and Path(source).is_dir() else fetch(source)


def fetch(source: str | Path, revision: str | None = None) -> Path:
    """The folder of a checkpoint: the given one, that of a bundled model, or that of a hub id, downloaded once and
    then kept.

    If the main branch of a hub id has pickled weights alone, the hub's own conversion of them is taken, an open pull
    request of its bot.

    Args:
        source: a folder, the name of a bundled model ("clip"), or a hub id ("openai/clip-vit-base-patch32"). A folder
            with the name of a bundled model is given as "./clip".
        revision: branch, tag, commit or "refs/pr/N" on the hub; the main branch if not given.

    Raises:
        ValueError: there is no such folder or id, or it is no checkpoint.
    """
    folder = WEIGHTS / source if source in BUNDLED else Path(source)
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"{folder} is a folder, which has no revision '{revision}'")
    elif folder.is_absolute() or str(source).count("/") != 1:
        raise ValueError(
            f"there is no folder {source}, and it is neither a hub id (like openai/clip-vit-base-patch32) nor a "
            f"bundled model ({', '.join(BUNDLED)})"
        )
    else:
        folder = _download(str(source), revision)
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} holds no config.json: not a checkpoint folder")
    return folder


def _download(source: str, revision: str | None) -> Path:
    try:
        folder = _snapshot(source, revision)
        if _has_weights(folder):
            return folder
        names = sorted(_files(source, revision))
        conversion = None if revision else _conversion(source)
        current = conversion is None or _pickled(source, None) == _pickled(source, conversion)
    except Exception as error:  # the hub's client and the HTTP library each raise their own kinds
        raise ValueError(
            f"{source} is no folder, and could not be fetched from the hub: {error}".split("\n")[0]
        ) from error
    if conversion is None:
        raise ValueError(f"{source} has neither {SINGLE} nor {INDEX} on the hub: {found_instead(names)}")
    if not current:
        raise ValueError(
            f"{source} has no .safetensors weights, and its pull request {conversion} has those of older ones: "
            f'give revision="{conversion}" to take them all the same'
        )
    return _download(source, conversion)


def _snapshot(source: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download(source, revision=revision, allow_patterns=[*SETTINGS, SINGLE, INDEX]))
    if not (folder / SINGLE).is_file() and (folder / INDEX).is_file():
        parts = sorted(set(read_index(folder).values()))
        snapshot_download(source, revision=revision, allow_patterns=parts)
    return folder


def _has_weights(folder: Path) -> bool:
    return (folder / SINGLE).is_file() or (folder / INDEX).is_file()


def _conversion(source: str) -> str | None:
    """The revision of the hub's own conversion of a checkpoint."""
    from huggingface_hub import HfApi

    for found in HfApi().get_repo_discussions(source, author=CONVERTER, discussion_type="pull_request"):
        if found.author == CONVERTER and found.title == CONVERSION and found.status == "open":
            return found.git_reference
    return None


def _pickled(source: str, revision: str | None) -> dict[str, str | None]:
    """The pickled weights of a revision, and their digests: a conversion of others is out of date."""
    found = _files(source, revision)
    return {k: v for k, v in found.items() if k.startswith("pytorch_model") and k.endswith(".bin")}


def _files(source: str, revision: str | None) -> dict[str, str | None]:
    """All files of a revision, and their digests."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(source, revision=revision, files_metadata=True)
    return {file.rfilename: file.blob_id for file in info.siblings or ()}
