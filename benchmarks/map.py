"""Many images with one program: `Agent.map`, asking one by one, and a plain loop over the same models.

    python benchmarks/map.py [--images 200] [--jobs 8] [--device cpu] [--memory]

The models are image towers of random weights: their answers mean nothing, their speed does. All three ways run the
same program on the same scenes and must give the same answers. With --memory, also the peak memory of a
process that maps 200 images, and of one that maps 2,000.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from visprog import Agent, Image, Registry, tool

PROGRAM = """
def answer(image):
    if look(image, "left") < look(image, "right"):
        return look(crop_left(image), "whole") > 0
    return look(image, "whole") > 0
"""
WORDS = ("left", "right", "whole")


@tool(backends={"tower": f"{__name__}:Tower"})
def look(image: Image, what: str) -> float:
    """One number that a network makes of the image."""
    raise NotImplementedError


@tool
def crop_left(image: Image) -> Image:
    """The left half of the image."""
    from visprog import Box

    box = image.box
    return image.crop(Box(box.left, box.top, box.center.x, box.bottom))


@tool
def nothing(image: Image, n: int) -> int:
    """The number, as fast as can be."""
    return n


class Tower:
    """An image encoder that answers a batch of calls at once."""

    def __init__(self, model: str | None = None, device: str = "cpu", size: int = 64, dim: int = 192) -> None:
        import torch

        from visprog.models.clip.model import ImageEncoder, ImageEncoderConfig

        torch.manual_seed(0)
        config = ImageEncoderConfig(
            size=size, patch=16, dim=dim, layers=6, heads=dim // 64, hidden=4 * dim, project=len(WORDS)
        )
        self.device, self.size = device, size
        self.tower = ImageEncoder(config).to(device).eval()

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        import torch

        with torch.inference_mode():
            pixels = np.stack([self.resized(c["image"]) for c in calls])
            batch = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float() / 255
            features = self.tower(batch).projected.float().cpu()
        return [float(row[WORDS.index(c["what"])]) for row, c in zip(features, calls, strict=True)]

    def resized(self, image: Image) -> Any:
        import PIL.Image

        return np.asarray(PIL.Image.fromarray(image.pixels).resize((self.size, self.size)))


class Never:
    """A planner that is never asked."""

    name = "none"

    def plan(self, request: object, **options: object) -> list[Any]:
        return []


@cache
def scenes(count: int) -> list[Image]:
    from visprog.scenes import Scenes

    made = Scenes(size=128, seed=7)
    return [Image.open(made[i].pixels) for i in range(count)]


def streamed(count: int) -> Iterator[Image]:
    """So many different images, made of a few scenes one after another."""
    few = scenes(50)
    for i in range(count):
        pixels = few[i % len(few)].pixels.copy()
        pixels[0, 0] = i % 256, i // 256 % 256, 0
        yield Image(pixels)


def make_agent(options: argparse.Namespace, jobs: int) -> Agent:
    settings = {"tools": {"look": {"backend": "tower", "device": options.device}}}
    return Agent(Never(), settings, registry=Registry([look, crop_left, nothing]), standby=jobs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    import torch

    if options.device == "cpu":
        torch.set_num_threads(1)
    if options.peak:
        print(peak(options))
        return
    compare(options)
    per_call(options)
    if options.memory:
        for count in (200, 2000):
            command = [sys.executable, __file__, "--peak", str(count), "--jobs", str(options.jobs)]
            done = subprocess.run(
                [*command, "--device", options.device], capture_output=True, text=True, check=True
            )
            print(f"peak memory of the process that maps {count} images: {done.stdout.strip()} MB")


def compare(options: argparse.Namespace) -> None:
    images = scenes(options.images)
    backend = look.load("tower", (("device", options.device),))
    backend([{"image": images[0], "what": "left"}])

    def plain() -> list[Any]:
        def ask(image: Image, what: str) -> float:
            (result,) = backend([{"image": image, "what": what}])
            return float(result)

        space: dict[str, Any] = {"look": ask, "crop_left": crop_left.function}
        exec(PROGRAM, space)
        return [space["answer"](p) for p in images]

    def one_by_one(agent: Agent) -> list[Any]:
        return [agent.run(PROGRAM, p).value for p in images]

    def mapped(agent: Agent) -> list[Any]:
        return [r.answer.value for r in agent.map("", images, program=PROGRAM, jobs=options.jobs)]

    table = Table("", "images a second", "batches", "calls in each (mean; largest)", box=None)
    results = [measure(table, "plain loop", plain, len(images))]
    ways: dict[str, tuple[int, Callable[[Agent], list[Any]]]] = {
        "one by one": (1, one_by_one),
        f"map, {options.jobs} jobs": (options.jobs, mapped),
    }
    for name, (standby, way) in ways.items():
        with make_agent(options, standby) as agent:
            agent.sandbox.warm()
            results.append(measure(table, name, lambda a=agent, w=way: w(a), len(images), agent))  # type: ignore[misc]
    Console().print(table)
    if not results[0] == results[1] == results[2]:
        raise SystemExit("the answers differ")


def measure(
    table: Table, name: str, way: Callable[[], list[Any]], count: int, agent: Agent | None = None
) -> list[Any]:
    start = time.perf_counter()
    results = way()
    rate = count / (time.perf_counter() - start)
    sizes = {1: 3 * count} if agent is None else agent.host.batches()["look"]
    mean = sum(n * k for n, k in sizes.items()) / sum(sizes.values())
    table.add_row(name, f"{rate:.1f}", str(sum(sizes.values())), f"{mean:.1f}; {max(sizes)}")
    return results


def per_call(options: argparse.Namespace) -> None:
    """What a call of a tool costs beyond the tool: a program with many calls against one with a single one."""
    program = "def answer(image):\n    return sum([nothing(image, i) for i in range({count})])\n"
    image = scenes(1)[0]
    with make_agent(options, 1) as agent:
        seconds = {}
        for count in (1, 101):
            runs = []
            for _ in range(5):
                agent.sandbox.warm()
                runs.append(agent.run(program.format(count=count), image).seconds)
            seconds[count] = min(runs)
    print(f"overhead of a tool call: {1000 * (seconds[101] - seconds[1]) / 100:.2f} ms")


def peak(options: argparse.Namespace) -> int:
    with make_agent(options, options.jobs) as agent:
        for _ in agent.map("", streamed(options.peak), program=PROGRAM, jobs=options.jobs):
            pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
