"""`visprog trust`: allow a settings or examples file of the working folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import JsonOption
from .result import Result


def trust(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE...",
            help="Files to trust; by default visprog.toml and visprog.examples.yaml of this folder.",
            show_default=False,
        ),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Withdraw the trust.")] = False,
    json: JsonOption = False,
) -> Result:
    """Trust a file of this folder: it may then set tools, models, addresses and examples.

    Read the file first: the code that it names runs with your rights. The trust ends when its content changes.

    \b
    visprog trust
    visprog trust visprog.toml
    visprog trust --remove
    """
    from ..config import FILE_NAME
    from ..errors import ConfigError
    from ..files.limits import MAX_SETTINGS_BYTES
    from ..files.reading import printable, read_file
    from ..planner.user_examples import DEFAULT
    from ..trust import distrust
    from ..trust import trust as allow

    chosen = files or [f for f in (Path(FILE_NAME), DEFAULT) if f.exists()]
    if not chosen:
        raise ConfigError(
            f"there is neither {FILE_NAME} nor {DEFAULT} in this folder: name the file to trust"
        )
    done = []
    for path in chosen:
        name = printable(path)
        if remove:
            outcome = "no longer trusted" if distrust(path) else "was not trusted"
        else:
            try:
                allow(path, read_file(path, MAX_SETTINGS_BYTES))
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                raise ConfigError(f"cannot read {name}: {why}") from None
            outcome = "trusted until its content changes"
        done.append({"file": str(path), "trusted": not remove})
        if not json:
            print(f"{name}: {outcome}")
    return Result({"status": "ok", "files": done})
