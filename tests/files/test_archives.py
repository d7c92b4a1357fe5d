"""Zip archives from outside: damage is found when they are opened."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from visprog.files.archives import open_archive, read_member


def test_members_without_a_name_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"1234")
    whole = path.read_bytes()
    with open_archive(path) as archive:
        assert read_member(archive, "a", 10) == b"1234"
    path.write_bytes(whole.replace(b"a1234", b"\0001234").replace(b"\x00\x00a", b"\x00\x00\x00"))
    with pytest.raises(ValueError, match="the archive is damaged: a member has no name"):
        open_archive(path)


def test_what_is_no_archive_is_damage(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04" + bytes(40))
    with pytest.raises(ValueError, match="the archive is damaged"):
        open_archive(tmp_path / "a.zip")
