"""Checkpoints of the Hugging Face hub: downloaded once, and of each only the files that are read.

This is the one way to the hub. What is here is never asked for again; a download that was cut is continued where it
ended, also by another process.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visprog.errors import MissingExtra, first_line
from visprog.files.locks import claim
from visprog.files.reading import file_digest
from visprog.files.sizes import bytes_in_words

from .. import BUNDLED, WEIGHTS
from .cache import PART, PIPELINE, cached, hub_cache, is_hub_id, is_plain_name, parts_of_pipeline, repository
from .weight_files import INDEX, SINGLE, found_instead, read_index

SETTINGS = (
    "config.json", "adapter_config.json", "preprocessor_config.json", "processor_config.json", "image_processor.json",
    "video_preprocessor_config.json", "chat.json", "chat_template.json", "chat_template.jinja", "region_encoder.json",
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model",
    "sentencepiece.bpe.model", "source.spm",
)  # fmt: skip
"""The files of a checkpoint that are read, besides its weights."""

CONVERTER, CONVERSION = "SFconvertbot", "Adding `safetensors` variant of this model"
"""Author and title of the pull requests with which the hub offers pickled weights as safetensors."""

TIMEOUT = 10.0
"""Seconds in which the hub must begin to answer."""

Report = Callable[[str, int, int], None]
"""Is told of a download: the hub id, the number of bytes that are here, and that of all."""


class HubError(ValueError):
    """A checkpoint cannot be had from the hub. The message says why, and what to do."""


class HubUnavailable(HubError):
    """No checkpoint can be had just now: there is no network, or no space on the disk."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        size: in bytes.
        blob: name of its content in the cache.
        sha256: digest of its content; empty for a small file.
    """

    size: int
    blob: str
    sha256: str = ""


@dataclass
class Repository:
    """A repository of the hub at one commit.

    Attributes:
        revision: as it was asked for; None for the main branch.
        files: by their names.
        report: is told of what is downloaded.
    """

    source: str
    revision: str | None
    commit: str
    files: Mapping[str, RemoteFile]
    report: Report
    _done: int = field(default=0, init=False)
    _total: int = field(default=0, init=False)

    @property
    def snapshot(self) -> Path:
        """The folder that its files are put into."""
        return repository(self.source) / "snapshots" / self.commit

    def get(self, name: str) -> Path:
        """A small file, downloaded if it is not here."""
        from huggingface_hub import hf_hub_download

        with _quiet:
            return Path(
                hf_hub_download(
                    self.source, name, revision=self.commit, cache_dir=hub_cache(), etag_timeout=TIMEOUT
                )
            )

    def chosen(self) -> list[str]:
        """The files that are read, the weights last: their presence says that the others are here too.

        Raises:
            ValueError: a list of parts cannot be read.
        """
        settings = [name for name in SETTINGS if name in self.files]
        if SINGLE in self.files:
            return [*settings, SINGLE]
        if INDEX in self.files:
            return [*settings, INDEX, *sorted(set(read_index(self.get(INDEX).parent).values()))]
        if PIPELINE in self.files:
            parts = parts_of_pipeline(self.get(PIPELINE).parent)
            inner = [name for name in self.files if name.partition("/")[0] in parts and _is_of_part(name)]
            return [PIPELINE, *sorted(inner, key=lambda name: (name.endswith(".safetensors"), name))]
        return []

    def download(self, names: list[str]) -> Path:
        """The folder with these files, of which those are downloaded that are not here.

        Raises:
            HubError: the disk has too little space.
        """
        missing = [name for name in names if not (self.snapshot / name).exists()]
        absent = [name for name in missing if name not in self.files]
        if absent:
            raise HubError(
                f"cannot get '{self.source}' from the hub: it lacks {absent[0]}, which it names itself"
            )
        self._total = sum(self.files[name].size for name in names)
        left = sum(self.files[name].size - self._here(name) for name in missing)
        self._done = self._total - left
        check_space(self.source, left)
        if missing:
            self.report(self.source, self._done, self._total)
        for name in missing:
            if self.files[name].sha256:
                self._download_blob(name)
            self.get(name)
        if missing:
            self.report(self.source, self._total, self._total)
        _remember(self.source, self.revision, self.commit)
        return self.snapshot

    def _here(self, name: str) -> int:
        """Number of bytes of a file that were downloaded before."""
        blob = repository(self.source) / "blobs" / self.files[name].blob
        for file in (blob, blob.with_name(blob.name + PART)):
            if file.is_file():
                return min(file.stat().st_size, self.files[name].size)
        return 0

    def _download_blob(self, name: str) -> None:
        """The content of a large file, continued where it was cut."""
        wanted = self.files[name]
        blob = repository(self.source) / "blobs" / wanted.blob
        if blob.exists():
            return
        blob.parent.mkdir(parents=True, exist_ok=True)
        part = blob.with_name(blob.name + PART)
        with part.open("ab") as stream:
            claim(stream.fileno(), part)
            if stream.tell() > wanted.size:
                stream.truncate(0)
            self._continue(name, stream)
        if file_digest(part) != wanted.sha256:
            part.unlink()
            raise HubError(
                f"cannot get '{self.source}' from the hub: {name} arrived damaged, and was deleted: try again"
            )
        part.replace(blob)

    def _continue(self, name: str, stream: Any) -> None:
        """Append what is missing of a file, again and again as long as each connection brings some of it."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers

        size = self.files[name].size
        while True:
            start = stream.seek(0, os.SEEK_END)
            try:
                with _quiet:
                    http_get(
                        hf_hub_url(self.source, name, revision=self.commit),
                        stream,
                        resume_size=start,
                        headers=build_hf_headers(),
                        expected_size=size,
                        tqdm_class=self._bar(),
                    )
                return
            except (HfHubHTTPError, MemoryError):
                raise
            except Exception as error:  # the HTTP libraries each raise their own kinds
                stream.flush()
                if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise
                if stream.seek(0, os.SEEK_END) <= start:
                    raise HubError(
                        f"cannot get '{self.source}' from the hub: the connection broke off after "
                        f"{bytes_in_words(self._done)} of {bytes_in_words(self._total)}: continue with 'visprog models "
                        f"fetch {self.source}'"
                    ) from error

    def _bar(self) -> Any:
        """What the hub's client takes for a progress bar."""
        repository = self

        class Bar:
            def __init__(self, *_: Any, **__: Any) -> None:
                pass

            def __enter__(self) -> Bar:
                return self

            def __exit__(self, *_: Any) -> None:
                pass

            def update(self, count: float = 1) -> None:
                repository._done += int(count)
                repository.report(repository.source, repository._done, repository._total)

            def __getattr__(self, name: str) -> Any:  # what a bar can do besides
                return lambda *_, **__: None

        return Bar


class ProgressLines:
    """Tells of downloads on standard error: how large each is, and each tenth of it."""

    def __init__(self) -> None:
        self._tenths: dict[str, int] = {}

    def __call__(self, source: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if source not in self._tenths:
            rest = f", of which {bytes_in_words(done)} are here" if done else ""
            print(
                f"visprog: downloading {source}: {bytes_in_words(total)}{rest}", file=sys.stderr, flush=True
            )
        elif tenth > self._tenths[source] and done < total:
            print(
                f"visprog: {source}: {10 * tenth} % of {bytes_in_words(total)}", file=sys.stderr, flush=True
            )
        self._tenths[source] = max(tenth, self._tenths.get(source, 0))


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
) -> Path:
    """The folder of a checkpoint: the given one, that of a bundled model, or that of a hub id, downloaded once and
    then kept.

    If the main branch of a hub id has pickled weights alone, the hub's own conversion of them is taken, an open pull
    request of its bot.

    Args:
        source: a folder, the name of a bundled model ("clip"), or a hub id ("openai/clip-vit-base-patch32"). A folder
            with the name of a bundled model is given as "./clip".
        revision: branch, tag, commit or "refs/pr/N" on the hub; the main branch if not given.
        refresh: ask the hub for a newer commit, also if the checkpoint is here.
        report: is told of a download; by default lines on standard error tell of it.

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
        folder = _from_hub(str(source), revision, refresh, report or ProgressLines())
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
    with _explained(source):
        return _repository(source, None, ProgressLines()).get("config.json")


def check_space(what: str, size: int) -> None:
    """Raise `HubError` if the disk of the cache has too little space for a number of bytes.

    Args:
        what: is to be downloaded, for the message.
    """
    free = free_space()
    if size > free:
        raise HubUnavailable(
            f"{what}: {bytes_in_words(size)} more are needed, and {hub_cache()} has {bytes_in_words(free)} free: free "
            "some, or let HF_HOME name a folder on another disk"
        )


def free_space() -> int:
    """Number of bytes that are free for the cache."""
    folder = hub_cache().absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _from_hub(source: str, revision: str | None, refresh: bool, report: Report) -> Path:
    """The folder of a hub id. One that another program put into the cache may lack files that are read here: they are
    added, if the hub can be reached."""
    found = cached(source, revision)
    if found is not None and not refresh and _whole_mark(source, found.name).exists():
        return found
    try:
        return _download(source, revision, report)
    except HubError:
        if found is None or refresh:
            raise
        return found


def _download(source: str, revision: str | None, report: Report) -> Path:
    with _explained(source):
        found = _repository(source, revision, report)
        names = found.chosen()
        if names:
            return found.download(names)
        conversion = None if revision else _conversion(source)
        current = conversion is None or _pickled(found) == _pickled(_repository(source, conversion, report))
    if conversion is None:
        raise ValueError(
            f"{source} has neither {SINGLE} nor {INDEX} on the hub: {found_instead(sorted(found.files))}"
        )
    if not current:
        raise ValueError(
            f"{source} has no .safetensors weights, and its pull request {conversion} has those of older ones: "
            f'give revision="{conversion}" to take them all the same'
        )
    folder = _download(source, conversion, report)
    _remember(source, None, folder.name)  # so that it is found without the hub
    return folder


def _repository(source: str, revision: str | None, report: Report) -> Repository:
    from huggingface_hub import HfApi

    info = HfApi().model_info(source, revision=revision, files_metadata=True, timeout=TIMEOUT)
    files = {}
    for each in info.siblings or ():
        digest = each.lfs.sha256 if each.lfs is not None else ""
        files[each.rfilename] = RemoteFile(each.size or 0, digest or str(each.blob_id), digest)
    return Repository(source, revision, str(info.sha), files, report)


def _remember(source: str, revision: str | None, commit: str) -> None:
    """Write down, once all files are here, which commit a branch is at."""
    mark = _whole_mark(source, commit)
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    file = repository(source) / "refs" / (revision or "main")
    if revision == commit:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}{PART}")
    part.write_text(commit, encoding="utf-8")
    part.replace(file)


def _whole_mark(source: str, commit: str) -> Path:
    """The file that says that all that is read of a commit is here."""
    return repository(source) / "whole" / commit


def _is_of_part(name: str) -> bool:
    """Whether a file of a part of a pipeline is read: settings, and weights in their first precision."""
    folder, _, file = name.partition("/")
    if not is_plain_name(folder) or not is_plain_name(file):
        return False
    return file.endswith((".json", ".txt", ".model")) or (
        file.endswith(".safetensors") and file.count(".") == 1
    )


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


class _Quiet:
    """No progress bars and warnings of the hub's client while at least one thread downloads: what goes on is told in
    words of our own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._before: tuple[int, bool] = (0, False)

    def __enter__(self) -> None:
        from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, logging

        with self._lock:
            self._threads += 1
            if self._threads == 1:
                self._before = logging.get_verbosity(), are_progress_bars_disabled()
                logging.set_verbosity_error()
                disable_progress_bars()

    def __exit__(self, *_: object) -> None:
        from huggingface_hub.utils import enable_progress_bars, logging

        with self._lock:
            self._threads -= 1
            if self._threads == 0:
                logging.set_verbosity(self._before[0])
                if not self._before[1]:
                    enable_progress_bars()


_quiet = _Quiet()


@contextmanager
def _explained(source: str) -> Iterator[None]:
    """Turn what the hub's client raises into one sentence with the way out.

    Raises:
        MissingExtra: the client is not installed.
        HubError: any other failure.
    """
    try:
        from huggingface_hub import errors
    except ImportError:
        raise MissingExtra("a model of the Hugging Face hub", "hf") from None
    try:
        yield
    except (HubError, MissingExtra):
        raise
    except Exception as error:  # the client and the HTTP library each raise their own kinds
        reason, again = _reason(source, error, errors)
        kind = HubError if again else HubUnavailable
        raise kind(f"cannot get '{source}' from the hub: {reason}") from error


def _reason(source: str, error: Exception, errors: Any) -> tuple[str, bool]:
    """Why the hub does not give a checkpoint, with the way out, and whether it might give another one."""
    from huggingface_hub import constants

    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)

    def has(kind: type[BaseException]) -> bool:
        return any(isinstance(each, kind) for each in causes)

    status = next((r.status_code for e in causes if (r := getattr(e, "response", None)) is not None), None)
    number = next((e.errno for e in causes if isinstance(e, OSError) and e.errno), None)
    kinds = {kind.__name__ for each in causes for kind in type(each).__mro__}
    page, fetch_it = f"{constants.ENDPOINT}/{source}", f"'visprog models fetch {source}'"
    if has(errors.OfflineModeIsEnabled):
        return f"it is not here, and HF_HUB_OFFLINE forbids downloads: with a network, run {fetch_it}", False
    if has(errors.GatedRepoError) or status == 403:
        return (
            f"its licence must be accepted: accept it at {page}, log in with 'hf auth login', and try again",
            True,
        )
    if status == 401 and "credentials" in str(error):
        return "the hub refuses the token: log in again with 'hf auth login'", True
    if has(errors.RevisionNotFoundError):
        return f"it has no such revision: see {page}", True
    if has(errors.RepositoryNotFoundError) or status == 404:
        return f"there is no such model, or it is private: see {page}, or log in with 'hf auth login'", True
    if status is not None:
        return f"it answered with status {status}: try again later", True
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"the disk of {hub_cache()} is full: free some space and continue with {fetch_it}, or delete what is there "
            f"with 'visprog models remove {source}'"
        ), False
    if number in (errno.EACCES, errno.EROFS, errno.EPERM):
        return f"nothing can be written to {hub_cache()}: let HF_HOME name another folder", False
    if kinds & {"TransportError", "TimeoutException", "LocalEntryNotFoundError", "ConnectionError"}:
        return f"{constants.ENDPOINT} cannot be reached: with a network, run {fetch_it}", False
    return first_line(error), True
