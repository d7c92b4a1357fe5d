"""Numbers of bytes in words."""

from __future__ import annotations


def bytes_in_words(count: int) -> str:
    """A number of bytes for people, in the decimal units of discs and downloads: "1.5 GB", "990 MB"."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if round(size) < 1000:
            return f"{size:.0f} {unit}" if unit in ("B", "kB") or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
