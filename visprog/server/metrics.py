"""Counts and latencies in the text format of Prometheus (exposition format 0.0.4)."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Upper bounds of latencies, in seconds."""

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters and histograms by name. Safe to use from many threads.

    Args:
        help: Description per name; other names are refused.
    """

    def __init__(self, help: Mapping[str, str]) -> None:
        self.help = dict(help)
        self._lock = threading.Lock()
        self._counts: dict[str, dict[Labels, float]] = defaultdict(dict)
        self._histograms: dict[str, dict[Labels, list[float]]] = defaultdict(dict)

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        """Add to a counter."""
        key = self._key(name, labels)
        with self._lock:
            self._counts[name][key] = self._counts[name].get(key, 0) + by

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Add to a histogram of latencies."""
        key = self._key(name, labels)
        with self._lock:
            row = self._histograms[name].setdefault(key, [0.0] * (len(BUCKETS) + 2))
            for i, bound in enumerate(BUCKETS):
                row[i] += seconds <= bound
            row[-2] += 1
            row[-1] += seconds

    def text(self, gauges: Mapping[str, float | Mapping[Labels, float]]) -> str:
        """All counters and histograms, and the current values of `gauges`."""
        lines: list[str] = []
        with self._lock:
            for name, values in self._counts.items():
                lines += self._head(name, "counter")
                lines += [_line(name, key, value) for key, value in sorted(values.items())]
            for name, rows in self._histograms.items():
                lines += self._head(name, "histogram")
                for key, row in sorted(rows.items()):
                    lines += _histogram(name, key, row)
        for name, gauge in gauges.items():
            lines += self._head(name, "gauge")
            each = gauge if isinstance(gauge, Mapping) else {(): gauge}
            lines += [_line(name, key, value) for key, value in sorted(each.items())]
        return "\n".join(lines) + "\n"

    def _key(self, name: str, labels: Mapping[str, str]) -> Labels:
        if name not in self.help:
            raise KeyError(f"there is no metric '{name}'")
        return tuple(sorted(labels.items()))

    def _head(self, name: str, metric_type: str) -> list[str]:
        return [f"# HELP {name} {self.help[name]}", f"# TYPE {name} {metric_type}"]


def resident_bytes() -> int:
    """Resident memory of this process; 0 if the system does not report it."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _histogram(name: str, key: Labels, row: Sequence[float]) -> list[str]:
    bounds = [*(f"{b:g}" for b in BUCKETS), "+Inf"]
    lines = [_line(f"{name}_bucket", (*key, ("le", b)), n) for b, n in zip(bounds, row, strict=False)]
    return [*lines, _line(f"{name}_sum", key, row[-1]), _line(f"{name}_count", key, row[-2])]


def _line(name: str, key: Labels, value: float) -> str:
    labels = ",".join(f'{label}="{_escaped(text)}"' for label, text in key)
    return f"{name}{{{labels}}} {value:.12g}" if labels else f"{name} {value:.12g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
