"""The files of a checkpoint on the hub: which of them are read, and their download into the cache."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import Any

from visprog.errors import VisprogError
from visprog.files.locks import claimed
from visprog.files.reading import file_digest, read_file
from visprog.files.sizes import bytes_in_words

from .cache import PART, PIPELINE, hub_cache, is_plain_name, parts_of_pipeline, repository, whole_mark
from .hub_errors import HubError, HubUnavailable
from .weight_files import INDEX, SINGLE, read_index

SETTINGS = (
    "config.json", "adapter_config.json", "preprocessor_config.json", "processor_config.json", "image_processor.json",
    "video_preprocessor_config.json", "chat.json", "chat_template.json", "chat_template.jinja", "region_encoder.json",
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model",
    "sentencepiece.bpe.model", "source.spm",
)  # fmt: skip
"""The files of a checkpoint that are read, besides its weights."""

TIMEOUT = 10.0
"""Seconds in which the hub must begin to answer."""

MAX_SMALL = 10 << 20
"""Largest size in bytes of a file that the hub keeps in git itself."""

_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""A commit, or the digest of a file: they become names in the cache."""

Report = Callable[[str, int, int], None]
"""Is told of a download: the hub id, the number of bytes that are here, and that of all."""


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

        if self._is_damaged(name, verify=False):
            self._discard(name)
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

    def download(self, names: list[str], *, verify: bool = False) -> Path:
        """The folder with these files, of which those are downloaded that are not here, or damaged. Of several
        processes that want it, one downloads, and the others wait.

        Args:
            verify: compare the content of what is here with its digest, and not its size alone.

        Raises:
            HubError: the disk has too little space.
        """
        absent = [name for name in names if name not in self.files and not (self.snapshot / name).exists()]
        if absent:
            raise HubError(
                f"cannot get '{self.source}' from the hub: it lacks {absent[0]}, which it names itself"
            )
        if not all((self.snapshot / name).exists() for name in names) or self._damaged(names, verify):
            try:
                with claimed(repository(self.source), self._wait):
                    for name in self._damaged(names, verify):
                        self._discard(name)
                    self._download_missing(names)
            except VisprogError as error:
                raise HubUnavailable(f"cannot get '{self.source}' from the hub: {error}") from error
        _remember(self, names)
        return self.snapshot

    def _download_missing(self, names: list[str]) -> None:
        missing = [name for name in names if not (self.snapshot / name).exists()]
        self._total = sum(self.files[name].size for name in names if name in self.files)
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

    def _wait(self) -> None:
        _say(f"waiting for another process that downloads {self.source}")

    def _damaged(self, names: list[str], verify: bool) -> list[str]:
        """The files that are here, and have another size than the hub's, or if asked for another content."""
        return [name for name in names if self._is_damaged(name, verify)]

    def _is_damaged(self, name: str, verify: bool) -> bool:
        file, wanted = self.snapshot / name, self.files.get(name)
        if wanted is None or not wanted.size or not file.exists():  # some mirrors tell no sizes
            return False
        if file.stat().st_size != wanted.size:
            return True
        return verify and _has_other_content(file, wanted)

    def _discard(self, name: str) -> None:
        """Remove a damaged file."""
        _say(f"{name} of {self.source} is damaged here, and downloaded again")
        file = self.snapshot / name
        if file.exists():
            file.resolve().unlink()
        file.unlink(missing_ok=True)

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
            except (HfHubHTTPError, HubError, MemoryError):
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
                if repository._done > repository._total:
                    raise HubError(
                        f"cannot get '{repository.source}' from the hub: it sends more than it announced"
                    )
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
            rest = f", of which {bytes_in_words(done)} are here" if 100 * done > total else ""
            _say(f"downloading {source}: {bytes_in_words(total)}{rest}")
        elif tenth > self._tenths[source] and done < total:
            _say(f"{source}: {10 * tenth} % of {bytes_in_words(total)}")
        self._tenths[source] = max(tenth, self._tenths.get(source, 0))


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


def remote_repository(source: str, revision: str | None, report: Report) -> Repository:
    """What the hub has of a checkpoint at a revision.

    Raises:
        HubError: its answer names files of the cache that are none.
    """
    from huggingface_hub import HfApi

    info = HfApi().model_info(source, revision=revision, files_metadata=True, timeout=TIMEOUT)
    files, named = {}, [str(info.sha)]
    for each in info.siblings or ():
        digest = each.lfs.sha256 if each.lfs is not None else ""
        blob = digest or each.blob_id  # a mirror may tell neither
        files[each.rfilename] = RemoteFile(max(0, each.size or 0), str(blob), digest)
        named += [blob] if blob else []
    if not all(map(_DIGEST.fullmatch, named)):
        raise HubError(
            f"cannot get '{source}' from the hub: it names a commit or a file by what is no digest"
        )
    return Repository(source, revision, str(info.sha), files, report)


def _remember(found: Repository, names: list[str]) -> None:
    """Write down, once all files are here, their sizes, and which commit a branch is at."""
    sizes = {name: (found.snapshot / name).stat().st_size for name in names}
    _replace(whole_mark(found.source, found.commit), json.dumps(sizes))
    remember_revision(found.source, found.revision, found.commit)


def remember_revision(source: str, revision: str | None, commit: str) -> None:
    """Write down which commit a branch is at; the main branch if no revision is given."""
    if revision != commit:
        _replace(repository(source) / "refs" / (revision or "main"), commit)


def _replace(file: Path, text: str) -> None:
    """Write a small file at once, whoever else writes it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}{PART}")
    part.write_text(text, encoding="utf-8")
    part.replace(file)


def _has_other_content(file: Path, wanted: RemoteFile) -> bool:
    """Whether the digest of a file is not the one that the hub names, as far as it names one: SHA-256, or for a small
    file that of git."""
    if wanted.sha256:
        return file_digest(file) != wanted.sha256
    if not re.fullmatch("[0-9a-f]{40}", wanted.blob) or wanted.size > MAX_SMALL:
        return False
    content = read_file(file, wanted.size)
    return sha1(f"blob {wanted.size}\0".encode() + content).hexdigest() != wanted.blob


def _say(text: str) -> None:
    print(f"visprog: {text}", file=sys.stderr, flush=True)


def _is_of_part(name: str) -> bool:
    """Whether a file of a part of a pipeline is read: settings, and weights in their first precision."""
    folder, _, file = name.partition("/")
    if not is_plain_name(folder) or not is_plain_name(file):
        return False
    return file.endswith((".json", ".txt", ".model")) or (
        file.endswith(".safetensors") and file.count(".") == 1
    )


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
