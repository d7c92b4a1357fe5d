"""Benchmarks of a model by itself, without a planner and without tools."""
