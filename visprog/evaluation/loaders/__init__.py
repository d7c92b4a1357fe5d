"""Readers of public benchmarks in the layout in which they are published, one file a family."""
