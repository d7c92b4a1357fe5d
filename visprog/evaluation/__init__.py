"""Benchmarks, and the scores of a planner and its tools on them."""

from __future__ import annotations

from .benchmark import BENCHMARKS, Benchmark, Item, open_benchmark

__all__ = ["BENCHMARKS", "Benchmark", "Item", "open_benchmark"]
