"""Drawn scenes as a source of every sample type."""
