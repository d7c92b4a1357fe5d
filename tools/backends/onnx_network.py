"""ONNX files: the network in one, and what can be read from a file without opening the network."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.files.writing import open_regular

from .onnx_layouts import Array

TAIL_BYTES = 1 << 16
"""Bytes at the end of an ONNX file, in which its outputs are described."""

INPUT_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Network:
    """The network of an ONNX file, which takes one image.

    Args:
        path: Path of the file.
        tool: Name of the tool that needs it, for messages.
        threads: Number of threads of the runtime.

    Attributes:
        size: (width, height) of its input; None if it takes any.
        outputs: Names of its outputs.
        metadata: Metadata of the file.

    Raises:
        ToolError: No path is configured, no such file, or it cannot be run.
    """

    def __init__(self, path: str | None, tool: str, threads: int = 2) -> None:
        import onnxruntime

        if path is None:
            raise ToolError(
                f'{tool} needs an ONNX file with this backend: set model = "PATH.onnx" under [tools.{tool}] '
                f"in visprog.toml"
            )
        if not Path(path).expanduser().is_file():
            raise ToolError(f"{tool}: there is no model file {path}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(
                str(Path(path).expanduser()), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime has its own kinds of error, not exported
            reason = str(error).splitlines()[0]
            raise ToolError(f"{tool}: the model file {path} cannot be used: {reason}") from None
        self.path = path
        self.tool = tool
        inputs = self.session.get_inputs()
        shape: list[Any] = inputs[0].shape
        self.dtype = INPUT_TYPES.get(inputs[0].type)
        if len(inputs) != 1 or self.dtype is None or len(shape) != 4:
            raise ToolError(f"{tool}: {path} must have one float input (1, 3, height, width)")
        self.channels_last = shape[3] == 3 and shape[1] != 3
        batch, channels, height, width = [shape[i] for i in (0, 3, 1, 2)] if self.channels_last else shape
        if (isinstance(batch, int) and batch > 1) or (isinstance(channels, int) and channels != 3):
            given = ", ".join(str(side) for side in shape)
            raise ToolError(
                f"{tool}: {path} takes an input ({given}), but one image of three channels is given: export it for "
                "a batch of 1 and RGB"
            )
        self.size = (width, height) if isinstance(width, int) and isinstance(height, int) else None
        self.outputs = [o.name for o in self.session.get_outputs()]
        self.metadata: dict[str, str] = self.session.get_modelmeta().custom_metadata_map

    def __call__(self, pixels: NDArray[Any]) -> dict[str, Array]:
        """Outputs by name for an input (H, W, 3).

        Raises:
            ToolError: The network cannot be run on it.
        """
        image = pixels if self.channels_last else pixels.transpose(2, 0, 1)
        batch = np.ascontiguousarray(image[None], dtype=self.dtype)
        try:
            values = self.session.run(None, {self.session.get_inputs()[0].name: batch})
        except Exception as error:  # the runtime has its own kinds of error, not exported
            reason = str(error).splitlines()[0]
            size = f"{pixels.shape[1]} x {pixels.shape[0]}"
            raise ToolError(f"{self.tool}: {self.path} fails on an input of {size}: {reason}") from None
        return {name: np.asarray(value, np.float32) for name, value in zip(self.outputs, values, strict=True)}


def file_tail(path: Path) -> bytes:
    """The end of an ONNX file, where the names of its outputs and its metadata stand."""
    with open_regular(path, "rb") as file:
        file.seek(max(path.stat().st_size - TAIL_BYTES, 0))
        return file.read()


def class_names(path: Path) -> list[str]:
    """Names of the classes that an ONNX file itself holds, in order; none if it holds none.

    They stand in the metadata at its end, as `{0: 'person', 1: 'bicycle'}`: the network is not opened.
    """
    pattern = rb"names\x12[\x80-\xff]*[\x00-\x7f](\{0: .*?\})"
    match = re.search(pattern, file_tail(path), re.DOTALL)
    try:
        names = ast.literal_eval(match[1].decode()) if match else {}
    except (ValueError, SyntaxError):
        return []
    return [str(names[i]) for i in range(len(names))] if set(names) == set(range(len(names))) else []


def resize(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) at another size (width, height)."""
    import cv2

    smaller = size[0] < pixels.shape[1] or size[1] < pixels.shape[0]
    resized: NDArray[np.uint8] = cv2.resize(
        pixels, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )
    return resized
