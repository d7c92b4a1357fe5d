"""The text format of Prometheus."""

from __future__ import annotations

import threading

import pytest

from visprog.server.metrics import BUCKETS, Metrics, resident_bytes


def test_counters_histograms_and_gauges() -> None:
    metrics = Metrics({"a_total": "How often.", "b_seconds": "How long.", "c": "How much."})
    metrics.count("a_total", kind='x"y\\z\n')
    metrics.count("a_total", 2, kind="w")
    for seconds in (0.005, 0.03, 0.5, 1000):
        metrics.observe("b_seconds", seconds)
    assert metrics.text({"c": 3.5}).splitlines() == [
        "# HELP a_total How often.",
        "# TYPE a_total counter",
        'a_total{kind="w"} 2',
        'a_total{kind="x\\"y\\\\z\\n"} 1',
        "# HELP b_seconds How long.",
        "# TYPE b_seconds histogram",
        *(
            f'b_seconds_bucket{{le="{b:g}"}} {n}'
            for b, n in zip(BUCKETS, (1, 2, 2, 2, 3, 3, 3, 3, 3), strict=True)
        ),
        'b_seconds_bucket{le="+Inf"} 4',
        "b_seconds_sum 1000.535",
        "b_seconds_count 4",
        "# HELP c How much.",
        "# TYPE c gauge",
        "c 3.5",
    ]


def test_nothing_is_lost_between_threads() -> None:
    metrics = Metrics({"n_total": "N."})
    threads = [
        threading.Thread(target=lambda: [metrics.count("n_total") for _ in range(500)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "n_total 4000" in metrics.text({}).splitlines()


def test_only_what_is_described_is_counted() -> None:
    with pytest.raises(KeyError, match="'other'"):
        Metrics({"n": "N."}).count("other")


def test_memory_of_this_process() -> None:
    assert resident_bytes() > 5 << 20
