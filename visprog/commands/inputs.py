"""Images and outputs of a command line, checked before anything runs. Nothing heavy is imported here."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .result import UsageError
from .status import working


class StandardInput(bytes):
    """What was read from standard input; messages call it that."""

    name = "standard input"


def with_standard_input(images: Sequence[str]) -> list[str | bytes]:
    """The images of a command line, with "-" replaced by the content of standard input.

    Raises:
        UsageError: "-" is given twice, or standard input is a terminal.
        ImageError: standard input is empty, or too large.
    """
    if "-" not in images:
        return list(images)
    if images.count("-") > 1:
        raise UsageError("standard input holds one image: give '-' once")
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("'-' reads an image from standard input: pipe one in, or name a file")
    from ..errors import ImageError
    from ..files.limits import limits
    from ..files.reading import read_stream

    try:
        data = read_stream(sys.stdin.buffer, limits().file_bytes, "standard input")
    except OSError as error:
        raise ImageError(f"cannot read standard input: {error.strerror or error}") from None
    if not data:
        raise ImageError("standard input is empty: pipe an image in")
    return [StandardInput(data) if image == "-" else image for image in images]


def with_cameras(images: Sequence[str | bytes], seconds: float | None) -> list[Any]:
    """The images of a command line, with the names of cameras replaced by what they record for so many seconds.

    Raises:
        UsageError: A camera is given without seconds, seconds without a camera, or two cameras.
        ImageError: A camera cannot be read.
    """
    cameras = [image for image in images if isinstance(image, str) and image.startswith("camera:")]
    if not cameras and seconds is None:
        return list(images)
    if not cameras:
        raise UsageError("--for says for how many seconds a camera is recorded: name one, such as camera:0")
    if seconds is None:
        raise UsageError(
            f"{cameras[0]} is a camera: say for how many seconds it is recorded, such as --for 10"
        )
    if len(images) > 1:
        raise UsageError("a question is about one video: give one camera, and nothing else")
    from ..camera import open_camera

    with working(f"recording {cameras[0]} for {seconds:g} s"):
        return [open_camera(cameras[0], seconds=seconds)]


def check_outputs(outputs: Mapping[str, Path | None], inputs: Sequence[str]) -> None:
    """Refuse outputs that would overwrite an input or each other, before anything runs.

    Args:
        outputs: Output path per option; None if it is not given.
        inputs: Paths that are read.

    Raises:
        UsageError: Two outputs are the same file, or one is a folder.
        VisprogError: An output would overwrite an input.
    """
    from ..files.outputs import can_save, keep_inputs

    taken: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        real = path.resolve()
        if real in taken:
            raise UsageError(f"{taken[real]} and {option} both name {path}")
        taken[real] = option
        keep_inputs(path, inputs)
        if path.is_dir():
            raise UsageError(f"{option} names a file to write, and {path} is a folder")
        if option == "--save" and not can_save(path):
            raise UsageError(f"{option} writes an image: end {path} in .png, .jpg or .webp")
