"""Annotations of values."""

from __future__ import annotations

from typing import Any

import pytest

from tests.small_tools import detect, picture
from visprog.registry.types import accepts, annotation_of, render
from visprog.values import Box
from visprog.values.image import Image


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "bool"),
        (3, "int"),
        (2.5, "float"),
        ("a", "str"),
        (None, "None"),
        (picture(), "Image"),
        (detect(picture(), "dog"), "list[Region]"),
        ([], "list[Any]"),
        ([1, "a"], "list[int | str]"),
        ([[1], [2]], "list[list[int]]"),
        ((1, Box(0, 0, 1, 1)), "tuple[int, Box]"),
        ({"a": [picture()], "b": 3}, "dict[str, list[Image] | int]"),
        ({}, "dict[Any, Any]"),
    ],
)
def test_the_annotation_of_a_value(value: Any, written: str) -> None:
    annotation = annotation_of(value)
    assert render(annotation) == written and accepts(annotation, value)


def test_a_value_of_another_kind_may_be_anything() -> None:
    assert annotation_of(object()) is Any
    assert annotation_of(Image) is Any
