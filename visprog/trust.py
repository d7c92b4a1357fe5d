"""Files of a working folder that the user trusts.

A file that visprog finds in the working folder may come from somebody else, and sets plain data only. Settings that can
run code, send data or keys elsewhere, or reach a language model take effect if the user names the file, or has trusted
its content once with `visprog trust`.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from .errors import ConfigError
from .files.limits import MAX_SETTINGS_BYTES
from .files.plain_text import read_json

_STORE = "trusted.json"


def config_home() -> Path:
    """The folder of the user's settings. A relative XDG_CONFIG_HOME is invalid, and ignored."""
    named = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(named) if os.path.isabs(named) else Path.home() / ".config") / "visprog"


def is_trusted(path: Path, content: bytes) -> bool:
    """Whether the user trusts this file with exactly this content."""
    return _read().get(str(path.absolute())) == hashlib.sha256(content).hexdigest()


def trust(path: Path, content: bytes) -> None:
    """Trust a file as long as its content does not change.

    Raises:
        ConfigError: The list of trusted files cannot be written.
    """
    _write({**_read(), str(path.absolute()): hashlib.sha256(content).hexdigest()})


def distrust(path: Path) -> bool:
    """Withdraw the trust in a file.

    Returns:
        Whether the file was trusted.

    Raises:
        ConfigError: The list of trusted files cannot be written.
    """
    known = _read()
    was = known.pop(str(path.absolute()), None) is not None
    if was:
        _write(known)
    return was


def _read() -> dict[str, str]:
    try:
        found = read_json(config_home() / _STORE, MAX_SETTINGS_BYTES)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(known: dict[str, str]) -> None:
    file = config_home() / _STORE
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(known, indent=1), encoding="utf-8")
        os.replace(part, file)
    except OSError as error:
        raise ConfigError(
            f"cannot write the list of trusted files {file}: {error.strerror or error}"
        ) from None
