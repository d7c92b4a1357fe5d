"""Claims of the papers, each measured by one small experiment: `python -m benchmarks.claims --all`."""
