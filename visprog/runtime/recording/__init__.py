"""Runs written down, and replayed exactly: without network, key or models."""

from __future__ import annotations

from .recording import Recording

__all__ = ["Recording"]
