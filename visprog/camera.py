"""Live cameras, recorded for some seconds: from then on, a video like any other.

A camera is opened by the user alone, through `open_camera` or `visprog ask camera:0 … --for SECONDS`: no text that a
program, a server or a settings file holds opens one.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

from .errors import ImageError
from .files.limits import limits
from .files.reading import printable
from .runtime.processes.camera import record
from .values.elsewhere import OpenFile
from .values.image import MAX_PIXELS
from .values.video import CAMERA, Video


def open_camera(camera: int | str = 0, *, seconds: float, max_pixels: int | None = None) -> Video:
    """Record a camera, and give what it showed as a video.

    Memory does not grow with the time: the recording is a temporary file without a name.

    Args:
        camera: Its number, or its name: on Linux the path of its device, such as "/dev/video2".
        seconds: Time to record.
        max_pixels: Larger frames are refused; `visprog.values.image.MAX_PIXELS` by default.

    Raises:
        ImageError: There is no such camera, it cannot be read, or it stops before its time.
        MissingExtra: PyAV is not installed.
    """
    which = printable(str(camera).removeprefix(CAMERA))
    if not 0 < seconds <= limits().video_seconds:
        raise ImageError(
            f"a camera is recorded for more than 0 s and at most {limits().video_seconds:,} s, not {seconds:g} s"
        )
    device, format, options = _device(which)
    name = f"camera {which}"
    most = MAX_PIXELS if max_pixels is None else max_pixels
    with tempfile.TemporaryDirectory(prefix="visprog-") as folder:
        path = Path(folder) / name.replace("/", "_")
        file = OpenFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        record(device, format, options, file, seconds, name, most, limits().video_bytes)
        return Video.open(path, max_pixels=most)


def _device(which: str) -> tuple[str, str, dict[str, str]]:
    """What FFmpeg opens for a camera, by which of its formats, and with which options.

    Raises:
        ImageError: There is no such camera.
    """
    if sys.platform == "darwin":
        return f"{which}:none", "avfoundation", {"framerate": "30"}
    if sys.platform == "win32":
        return f"video={which}", "dshow", {}
    path = f"/dev/video{which}" if which.isdecimal() else which
    try:
        is_device = stat.S_ISCHR(os.stat(path).st_mode)
    except (OSError, ValueError):
        is_device = False
    if not is_device:
        present = sorted(each.name.removeprefix("video") for each in Path("/dev").glob("video[0-9]*"))
        others = f"there is {', '.join(present)}" if present else "this machine has none"
        raise ImageError(f"there is no camera '{which}' ({path} is no device): {others}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise ImageError(f"camera {which} may not be read ({path}): its device wants another user or group")
    return path, "v4l2", {}
