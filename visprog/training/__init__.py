"""The trainer, its tasks and data, and the scenes that the bundled models learn from."""
