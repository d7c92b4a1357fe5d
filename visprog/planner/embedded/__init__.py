"""The planner that comes with the package: a small language model, its grammar, and the checks of what it wrote."""
