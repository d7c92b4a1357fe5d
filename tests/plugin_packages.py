"""What installed packages with plugins leave in a folder of packages."""

from __future__ import annotations

from pathlib import Path


def install(folder: Path, package: str, group: str = "tools", **entries: str) -> None:
    """Write the metadata of a package with entry points.

    Args:
        package: name of the distribution.
        entries: name → "module" or "module:attribute"; "__" in a name stands for ".".
    """
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = (f"{name.replace('__', '.')} = {value}\n" for name, value in entries.items())
    (info / "entry_points.txt").write_text(f"[visprog.{group}]\n{''.join(lines)}")
