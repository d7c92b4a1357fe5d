"""The folder of a run: its settings, its results and its summary."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import VisprogError
from ..files.archives import is_archive
from ..files.journal import read_lines
from ..files.limits import limits
from ..files.plain_text import parse_json, read_text
from ..files.reading import file_digest, read_file
from .benchmark import Benchmark
from .loaders.files import BenchmarkFiles

VERSION = 1


@dataclass(frozen=True)
class EvaluationFolder:
    """The files of a run.

    Attributes:
        path: Path of the folder.
        made_with: Benchmark, data, planner and settings of the run.
    """

    path: Path
    made_with: Mapping[str, Any]

    @property
    def results(self) -> Path:
        """One JSON line per question."""
        return self.path / "results.jsonl"

    @property
    def evidence(self) -> Path:
        """Answers with their images: most failures, some right answers."""
        return self.path / "evidence.jsonl"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @classmethod
    def open(cls, path: Path, made_with: Mapping[str, Any], resume: bool | None = None) -> EvaluationFolder:
        """Open the folder of a new run, or of a run to resume.

        Args:
            path: Path of the folder.
            made_with: Benchmark, data, planner and settings of the run.
            resume: True for a run that must exist, False to delete an existing run, None for either.

        Raises:
            VisprogError: The run has other settings, does not exist, or cannot be written.
        """
        run = cls(path, made_with)
        about = path / "run.json"
        if resume and not about.exists():
            raise VisprogError(f"there is no run in {path} to resume: leave out --resume")
        try:
            path.mkdir(parents=True, exist_ok=True)
            if resume is False:
                for file in (about, run.results, run.evidence, run.summary, run.report):
                    file.unlink(missing_ok=True)
            if about.exists():
                _agree(path, cls.read(path).made_with, made_with)
            elif run.results.exists():
                raise VisprogError(
                    f"{path} holds results of unknown origin: name another --output, or --fresh"
                )
            else:
                about.write_text(json.dumps(made_with, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise VisprogError(f"cannot write the run {path}: {error.strerror or error}") from None
        return run

    @classmethod
    def read(cls, path: Path) -> EvaluationFolder:
        """Read an existing run.

        Raises:
            VisprogError: There is none.
        """
        try:
            data = parse_json(read_text(path / "run.json"))
        except (OSError, ValueError):
            raise VisprogError(
                f"{path} is not the folder of an evaluation: it has no readable run.json"
            ) from None
        if not isinstance(data, dict) or data.get("version") != VERSION:
            raise VisprogError(
                f"{path} was made by another version of visprog eval: start again with --fresh"
            )
        return cls(path, data)

    def rows(self) -> list[dict[str, Any]]:
        """The results so far, in the order of writing. Raises `VisprogError` if they are broken."""
        return list(_lines(self.results))

    def ids(self) -> Iterator[str]:
        """Ids of the questions that have a result."""
        return (row["id"] for row in _lines(self.results))

    def answers(self) -> dict[str, Any]:
        """The JSON form of the answers with evidence, by the id of the question."""
        return {entry["id"]: entry["answer"] for entry in _lines(self.evidence)}


def made_with(benchmark: Benchmark, planner: Any, config: Config, oracle: bool) -> dict[str, Any]:
    """All settings that the results of a run depend on, as plain data.

    Options of planners are kept as a digest only, since they may hold secrets.
    """
    spec = config.planner if planner is None else planner
    name = spec if isinstance(spec, str) else str(getattr(spec, "name", type(spec).__name__))
    settings = asdict(config)
    options = settings.pop("planner_options") if spec == config.planner else {}
    settings.pop("planner")
    return {
        "version": VERSION,
        "benchmark": benchmark.name,
        "split": benchmark.split or "",
        "data": benchmark.data.name,
        "data_digest": data_digest(benchmark.data),
        "planner": name,
        "planner_digest": _planner_digest(name, options),
        "oracle": oracle,
        "config": json.loads(json.dumps(settings)),
    }


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    return read_lines(path) if path.exists() else iter(())


def data_digest(data: Path) -> str:
    """Digest of a data set: of a folder or an archive from its names and sizes, of a file from its bytes."""
    if data.is_dir() or is_archive(data):
        return BenchmarkFiles(data).digest()
    return file_digest(data) if data.is_file() else hashlib.sha256(str(data).encode()).hexdigest()


def _planner_digest(name: str, options: Any) -> str:
    found = hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode())
    form, _, rest = name.partition(":")
    recording = Path(rest).expanduser()
    if form == "replay" and recording.is_file():
        found.update(read_file(recording, limits().text_bytes))
    return found.hexdigest()


def _agree(path: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    different = [key for key in wanted if there.get(key) != wanted[key]]
    if not different:
        return
    key = different[0]
    if key in ("config", "data_digest", "planner_digest"):
        what = {"config": "other settings", "data_digest": "other data", "planner_digest": "another planner"}[
            key
        ]
        what = f"{what} of the same name" if key != "config" else what
    else:
        what = f"{key} {there.get(key)!r}, not {wanted[key]!r}"
    raise VisprogError(f"{path} holds a run with {what}: name another --output, or start again with --fresh")
