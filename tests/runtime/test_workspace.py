"""Values under short names: ids by type, resolving, and what is said of ids that are unknown."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.small_tools import picture
from visprog.errors import ToolError
from visprog.runtime.workspace import Workspace
from visprog.values import Box, Region
from visprog.values.image import Image

DOG = Region(Box(0, 0, 10, 10), "dog")


def test_ids_are_counted_per_type() -> None:
    workspace = Workspace()
    assert [workspace.add(v) for v in (picture(), DOG, picture())] == ["image1", "region1", "image2"]
    assert workspace.ids == ["image1", "region1", "image2"] and len(workspace) == 3
    assert workspace["region1"] is DOG and "image3" not in workspace


def test_ids_that_are_known_elsewhere_are_not_given_again() -> None:
    workspace = Workspace({"image1": picture(), "mine": DOG})
    assert workspace.add(picture()) == "image2"
    assert workspace.resolve(Region, "mine") is DOG


def test_a_value_is_resolved_by_the_type_that_is_asked_for() -> None:
    workspace = Workspace({"a": picture(), "b": DOG})
    assert workspace.resolve(list[Image | Region], ["a", "b"]) == [workspace["a"], DOG]
    assert workspace.resolve(str | Region, "b") is DOG and workspace.resolve(str | Region, "dog") == "dog"
    assert workspace.resolve(dict[str, Region], {"x": "b"}) == {"x": DOG}
    with pytest.raises(ToolError, match="must be Image, and 'b' is Region"):
        workspace.resolve(Image, "b")
    with pytest.raises(ToolError, match="there is no value 'c'; there are a, b"):
        workspace.resolve(Image, "c")
    with pytest.raises(ToolError, match="must be int, not str"):
        workspace.resolve(int, "a")


def test_a_value_is_described_on_one_line() -> None:
    workspace = Workspace({"dog": DOG})
    assert workspace.describe("dog") == "dog at (0, 0) to (10, 10)"
    with pytest.raises(ToolError, match="did you mean 'dog'"):
        workspace.describe("dogs")
    assert workspace.to_json([1, DOG]) == [1, {"id": "region1", "what": "dog at (0, 0) to (10, 10)"}]


def test_ids_made_at_once_differ() -> None:
    workspace = Workspace()
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(workspace.add, [DOG] * 200))
    assert len(set(ids)) == 200


def test_lists_of_one_kind_have_the_plural_and_names_of_tools_are_left_out() -> None:
    workspace = Workspace({"image": picture()}, taken={"regions1", "int1"})
    names = [workspace.add(v) for v in ([DOG], [Box(0, 0, 1, 1)], [], [DOG, 1], 3, {"a": 1}, (1,))]
    assert names == ["regions2", "boxes1", "list1", "list2", "int2", "dict1", "tuple1"]
    assert workspace.resolve(list[Region], "regions2") == [DOG]
    with pytest.raises(ToolError, match="not str"):
        workspace.resolve(list[Region], "boxes1")
