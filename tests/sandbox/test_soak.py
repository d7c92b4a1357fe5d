"""A short soak: some hundred programs, hostile ones among them, lose no answer and leave nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="counts what Linux tells about a process")
def test_a_short_soak() -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "soak.py"), "--programs", "200", "--jobs", "4", "--json"],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ended.stdout, ended.stderr
    report = json.loads(ended.stdout)
    assert (report["lost"], report["wrong"], report["grown"]) == (0, [], [])
    assert set(report["statuses"]) == {"ok", "rejected", "error", "killed"}
    assert ended.returncode == 0
