"""All models against those of transformers, diffusers and their authors: the same weights, inputs and threads.

python benchmarks/models.py --threads 2
python benchmarks/models.py clip owlv2 --rounds 9 --memory
python benchmarks/models.py sam --other-python ENV/bin/python

Each line is theirs over ours, so above 1 is faster, or smaller: of seconds, of the best round and of the median one; of
memory, of the peak of a process that loads the model and runs it once. Who goes first takes turns. "auto" is the
precision that `visprog.models.precision` chooses here; theirs is float32. With --other-python, the packages
`segment_anything` and `open_clip` of another environment take turns, too.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import model_cases
import torch
from model_cases import CASES, Case, Run
from timing import seconds

from visprog.models.precision import half_type, machine

PRECISIONS = ("float32", "auto")
OTHERS = Path(__file__).with_name("other_models.py")


class Other:
    """A model of a package in another environment, which runs there when it is asked.

    Args:
        python: the interpreter of that environment.
        name: name of the case.
        folder: folder with the weights.
        threads: number of threads.
    """

    def __init__(self, python: str, name: str, folder: Path, threads: int) -> None:
        self.process = subprocess.Popen(
            [python, str(OTHERS), name, str(folder), str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.titles = self._line().split("\t")

    def __call__(self, title: str) -> float:
        """Seconds of one run."""
        assert self.process.stdin is not None
        print(title, file=self.process.stdin, flush=True)
        return float(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise SystemExit(f"{self.process.args} ended")
        return line


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}; all if none")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--cpu", action="store_true", help="count seconds of the processors, for a busy machine"
    )
    parser.add_argument("--memory", action="store_true", help="measure peaks, each in a process of its own")
    parser.add_argument(
        "--other-python", metavar="PYTHON", help="interpreter of an environment with other packages"
    )
    parser.add_argument("--only", help="titles that contain this text")
    parser.add_argument("--peak", nargs=3, metavar=("FOLDER", "TITLE", "WHO"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = set(arguments.names) - CASES.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(CASES)}")
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model_cases.quiet()
    if arguments.peak:
        folder, title, who = arguments.peak
        print(_peak(CASES[arguments.names[0]], Path(folder), title, who))
        return
    print(
        f"{_processor()}, {arguments.threads} threads, {arguments.rounds} rounds, torch {torch.__version__}"
    )
    heads = (
        "theirs",
        "float32",
        "median",
        "auto",
        "median",
        *(("memory", "auto") if arguments.memory else ()),
    )
    print(f"{'':<42}" + "".join(f"{head:>10}" for head in heads))
    for name in arguments.names or CASES:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_CACHE_HOME"] = folder  # what is measured before is not taken from elsewhere
            _compare(name, Path(folder) / "checkpoint", arguments)


def _compare(name: str, folder: Path, arguments: argparse.Namespace) -> None:
    case = CASES[name]
    case.save(folder)
    folder = _in_cache(folder)
    theirs = case.theirs(folder)
    ours, precision = {}, ""
    for kind in PRECISIONS:
        ours[kind], found = case.ours(folder, kind)
        precision = found or precision
    print(f"{name}: auto is {precision}", flush=True)
    other = Other(arguments.other_python, name, folder, arguments.threads) if arguments.other_python else None
    clock = time.process_time if arguments.cpu else time.perf_counter
    for title, (mine, their) in case.runs().items():
        if arguments.only and arguments.only not in title:
            continue
        runs: dict[str, Callable[[], float]] = {"theirs": partial(_timed, their, theirs, title, "", clock)}
        for kind in PRECISIONS:
            model = ours["float32" if "step" in title else kind]
            runs[kind] = partial(_timed, mine, model, title, kind, clock)
        if other is not None and title in other.titles:
            runs["other"] = partial(other, title)
        times = _interleaved(runs, arguments.rounds)
        line = f"{title:<42}{min(times['theirs']) * 1e3:>7.0f} ms"
        for kind in PRECISIONS:
            best = min(times["theirs"]) / min(times[kind])
            pairs = statistics.median(a / b for a, b in zip(times["theirs"], times[kind], strict=True))
            line += f"{best:>10.2f}{pairs:>10.2f}"
        if arguments.memory:
            peaks = {
                who: _peak_in_process(name, folder, title, who, arguments) for who in ("theirs", *PRECISIONS)
            }
            line += "".join(f"{peaks['theirs'] / peaks[kind]:>10.2f}" for kind in PRECISIONS)
        print(line, flush=True)
        if "other" in times:
            best = [f"{min(times['other']) / min(times[kind]):>10.2f}{'':>10}" for kind in PRECISIONS]
            print(
                f"{'  the other package':<42}{min(times['other']) * 1e3:>7.0f} ms{''.join(best)}", flush=True
            )


def _interleaved(runs: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each round; who goes first takes turns."""
    times: dict[str, list[float]] = {who: [] for who in runs}
    order = list(runs)
    for run in runs.values():
        run()
    for i in range(rounds):
        for who in order[i % len(order) :] + order[: i % len(order)]:
            times[who].append(runs[who]())
    return times


def _timed(
    run: Run, model: Any, title: str, kind: str, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds of a run: inference without gradients, and a training step, in "auto", with the `precision: bf16` of the
    recipes."""
    training = "step" in title
    mixed = training and kind == "auto" and half_type(torch.device("cpu")) is not None
    with (
        nullcontext() if training else torch.inference_mode(),
        torch.autocast("cpu", torch.bfloat16) if mixed else nullcontext(),
    ):
        return seconds(lambda: run(model), clock)


def _peak_in_process(name: str, folder: Path, title: str, who: str, arguments: argparse.Namespace) -> int:
    command = [
        sys.executable,
        __file__,
        name,
        "--threads",
        str(arguments.threads),
        "--peak",
        str(folder),
        title,
        who,
    ]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def _in_cache(folder: Path) -> Path:
    """The checkpoint as the hub's cache holds what was downloaded: links to files that nobody overwrites, which we map
    into memory as transformers maps all files; a folder of your own is copied."""
    cache = folder.parent / "models--visprog--benchmark"
    blobs, snapshot = cache / "blobs", cache / "snapshots" / "main"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(folder.iterdir())):
        (snapshot / file.name).symlink_to(file.rename(blobs / str(number)))
    return snapshot


def _peak(case: Case, folder: Path, title: str, who: str) -> int:
    """Bytes that loading and one run take beyond what was there before."""
    mine, their = case.runs()[title]
    before = _memory("VmRSS")
    if who == "theirs":
        run, model = their, case.theirs(folder)
    else:
        run, (model, _) = mine, case.ours(folder, "float32" if "step" in title else who)
    _timed(run, model, title, who)
    return _memory("VmHWM") - before


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field))


def _processor() -> str:
    return machine(torch.device("cpu")).split(", ")[0] + f" ({os.cpu_count()} cores)"


if __name__ == "__main__":
    main()
