"""A user's own in-context examples: answers that were right, kept as questions and programs in a YAML file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..files.limits import MAX_SETTINGS_BYTES
from ..files.plain_text import decode_text, read_text
from ..files.reading import read_file
from ..trust import is_trusted, trust

if TYPE_CHECKING:
    from visprog.prompts import Example


DEFAULT = Path("visprog.examples.yaml")

_HEAD = "# Questions and programs that were right; a language model is shown those most like its question.\n"


def read_examples(path: Path) -> tuple[Example, ...]:
    """The examples of a file, in its order; none where there is no such file.

    Raises:
        ConfigError: the file is not a list of examples; the message names the entry.
    """
    import yaml

    from visprog.prompts import Example

    try:
        data = read_file(path, MAX_SETTINGS_BYTES)
        entries = yaml.safe_load(decode_text(data))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the examples {path}: {error}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise ConfigError(f"{path} holds no list of examples")
    examples = []
    for number, entry in enumerate(entries, 1):
        try:
            example = Example(**entry)
        except TypeError as error:
            raise ConfigError(f"{path}, example {number}: {error}") from None
        if not isinstance(example.question, str) or not isinstance(example.program, str):
            raise ConfigError(f"{path}, example {number}: question and program must be texts")
        examples.append(example)
    return tuple(examples)


def found_examples() -> tuple[Example, ...]:
    """The examples of the working folder, which enter a prompt: left out, with a warning, unless they are trusted.

    Raises:
        ConfigError: as `read_examples` does.
    """
    if not DEFAULT.is_file():
        return ()
    try:
        trusted = is_trusted(DEFAULT, read_file(DEFAULT, MAX_SETTINGS_BYTES))
    except (OSError, ValueError):
        trusted = True  # read_examples says what is wrong with it
    if trusted:
        return read_examples(DEFAULT)
    warnings.warn(
        f"{DEFAULT}, found in the working folder, is left out, since its content would enter a prompt: look at it, "
        "then trust it with 'visprog trust'",
        stacklevel=2,
    )
    return ()


def add_example(path: Path, example: Example) -> int:
    """Append an example to a file, which is written whole or not at all. Returns how many it then holds.

    Raises:
        ConfigError: the question is there already, or the file cannot be read or written.
    """
    import yaml

    from .replay import normalise_question

    present = read_examples(path)
    if normalise_question(example.question) in {normalise_question(e.question) for e in present}:
        raise ConfigError(f'{path} has an example for "{example.question}" already: remove that first')
    fields: Mapping[str, Any] = {
        "question": example.question,
        **({"images": example.images} if example.images != 1 else {}),
        **({"returns": example.returns} if example.returns else {}),
        "program": _Block(example.program.rstrip() + "\n"),
    }
    text = read_text(path, MAX_SETTINGS_BYTES).rstrip("\n") + "\n" if present else _HEAD
    entry = yaml.dump([fields], Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=100)
    part = path.with_name(path.name + ".part")
    before = read_file(path, MAX_SETTINGS_BYTES) if present else b""
    content = f"{text}\n{entry}".encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from None
    if not present or is_trusted(path, before):  # the user's own work; not what came with a folder
        trust(path, content)
    return len(present) + 1


class _Block(str):
    """Text that YAML holds line by line."""


def _dumper() -> Any:
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def block(dumper: yaml.SafeDumper, text: _Block) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")

    Dumper.add_representer(_Block, block)
    return Dumper
