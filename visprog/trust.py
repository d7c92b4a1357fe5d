"""Which files of a working folder the user has looked at and allowed.

A file that is merely found, in a folder that somebody else may have made, sets plain data only. What can run code, send
data or keys elsewhere, or speak to a language model counts if the user names the file, or has allowed its
content once with `visprog trust`.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from .errors import ConfigError

_STORE = "trusted.json"


def config_home() -> Path:
    """The folder of the user's own settings. A relative XDG_CONFIG_HOME is invalid, and would be of any folder."""
    named = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(named) if os.path.isabs(named) else Path.home() / ".config") / "visprog"


def is_trusted(path: Path, content: bytes) -> bool:
    """Whether the user has allowed this file with this very content."""
    return _read().get(str(path.absolute())) == hashlib.sha256(content).hexdigest()


def trust(path: Path, content: bytes) -> None:
    """Allow a file, as long as its content does not change.

    Raises:
        ConfigError: it cannot be remembered.
    """
    _write({**_read(), str(path.absolute()): hashlib.sha256(content).hexdigest()})


def distrust(path: Path) -> bool:
    """Allow a file no more. Returns whether it was allowed.

    Raises:
        ConfigError: this cannot be remembered.
    """
    known = _read()
    was = known.pop(str(path.absolute()), None) is not None
    if was:
        _write(known)
    return was


def _read() -> dict[str, str]:
    try:
        found = json.loads((config_home() / _STORE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
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
        raise ConfigError(f"cannot remember what is trusted in {file}: {error.strerror or error}") from None
