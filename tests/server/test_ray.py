"""Tools on Ray Serve, on one local node."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("ray.serve", reason="Ray is not installed: pip install 'visprog[ray]'")
pytest.importorskip("fastapi")

from tests.server.heavy import width_at
from tests.server.serving import ROOT, start, stop
from tests.small_tools import picture
from visprog import Config
from visprog.errors import ConfigError, Refused, ToolError
from visprog.registry import Registry
from visprog.runtime.host import Host
from visprog.server.client import Client
from visprog.server.replicas import Replicas


@pytest.fixture(scope="module")
def replicas() -> Iterator[Replicas]:
    os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    try:
        made = Replicas(2)
    except ConfigError as error:  # a busy machine may be too slow for it
        pytest.skip(str(error))
    yield made
    made.close()


def test_calls_of_many_threads_are_answered_by_replicas(replicas: Replicas) -> None:
    config = Config.of({"cache": 0, "tools": {"width_at": {"offset": 1000}}})
    host = Host(Registry([width_at]), config, loader=replicas)
    pictures = [picture(width, 9) for width in range(10, 60)]
    with ThreadPoolExecutor(8) as pool:
        widths = list(pool.map(lambda p: host.new_run().call(width_at, p, "dog"), pictures))
    assert widths == [p.width + 1000 for p in pictures]


def test_what_fails_on_a_replica_fails_here(replicas: Replicas) -> None:
    run = Host(Registry([width_at]), Config.of({"cache": 0}), loader=replicas).new_run()
    with pytest.raises(ToolError, match="nothing there"):
        run.call(width_at, picture(), "tool")
    with pytest.raises(ToolError, match="ZeroDivisionError: by zero"):
        run.call(width_at, picture(), "bug")
    for what, words in (("refuse", "cannot see that"), ("extra", r"visprog\[hf\]")):
        with pytest.raises(Refused, match=words):
            run.call(width_at, picture(), what)
    assert run.call(width_at, picture(33, 5), "dog") == 33


def test_a_server_on_a_cluster_that_is_there(
    replicas: Replicas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
    served = start(tmp_path, "--ray", "--tools", "tests.server.heavy:width_at")
    try:
        answer = Client(served.url).run(
            "def answer(image):\n    return width_at(image, 'dog') + darkest(image)",
            picture(50, 20)._repr_png_(),
        )
        assert (answer["status"], answer["value"]) == ("answered", 70), answer["message"]
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(60) == 0
    finally:
        stop(served)
    host = Host(Registry([width_at]), loader=replicas)
    assert host.new_run().call(width_at, picture(21, 5), "dog") == 21  # its cluster is still there
