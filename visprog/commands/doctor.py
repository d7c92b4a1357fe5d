"""What is installed and what is in force: the report of `visprog doctor`. Imports nothing heavy."""

from __future__ import annotations

import os
import platform
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import Config, ToolConfig, default_files
from ..errors import VisprogError
from ..models import WEIGHTS
from ..models.measured import described
from .settings import host_in_force, planner_in_force

if TYPE_CHECKING:
    from ..registry import Registry, Tool

_EXTRA_OF = {
    **{
        f"visprog.tools.backends.{name}:": "torch"
        for name in ("clip", "coca", "diffusion", "owl", "sam", "siglip")
    },
    **{
        f"visprog.tools.backends.{name}:": "hf"
        for name in ("blip", "detr", "florence2", "grounding_dino", "llava", "sam2", "vlm", "vlm_readers")
    },
    "visprog.tools.backends.llava:Embedded": "torch",
    "visprog.tools.backends.diffusers:": "diffusion",
    "visprog.tools.backends.endpoint:": "openai",
    "visprog.tools.backends.pointing:Endpoint": "openai",
    "visprog.tools.backends.pointing:Vlm": "hf",
}
"""Beginning of a backend's path → the extra that it needs. The longest that fits counts."""

_NOT_FOR_USE = ("all", "dev")


def report(config: Config | None = None, path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """The state of this installation as plain data.

    Args:
        config: the settings to report on; by default those that `Config.load` finds.
        path: the configuration file that was asked for, if any.
    """
    from .. import __version__

    problems: list[str] = []
    origins: dict[str, str] = {}
    try:
        loaded, origins = Config.load_with_origins(path)
    except VisprogError as error:
        problems.append(str(error))
        loaded = Config()
    config = config or loaded
    extras = _extras()
    problems += _torchvision_problem()
    result: dict[str, Any] = {
        "visprog": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "config": {"file": _config_file(path), "environment": _environment(), "origins": origins},
        "planner": _planner(config),
        "packages": {name: version(name) for name in _requirements("")},
        "extras": extras,
        "tools": _tools(config, extras, problems),
        "sandbox": _sandbox(config),
    }
    problems += [str(part["problem"]) for part in (result["planner"], result["sandbox"]) if part["problem"]]
    missing = [name for name, found in result["packages"].items() if found is None]
    if missing:
        problems.append(f"packages that visprog needs are missing: {', '.join(missing)}; pip install visprog")
    return {**result, "problems": problems}


def version(package: str) -> str | None:
    """The installed version of a package; None where it is not installed. Nothing is imported."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def is_installed(extra: str) -> bool:
    """Whether all packages of an extra are installed."""
    return all(version(name) for name in _requirements(extra))


def _extras() -> dict[str, dict[str, Any]]:
    found = {}
    for extra in _extra_names():
        packages = {name: version(name) for name in _requirements(extra)}
        found[extra] = {
            "installed": all(packages.values()),
            "packages": packages,
            "install": f"pip install 'visprog[{extra}]'",
        }
    return found


def _declared() -> Mapping[str, Any] | None:
    """The project's own table, where visprog runs from a checkout; newer than what was once installed."""
    file = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if not file.is_file():
        return None
    project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    return project if isinstance(project, dict) and project.get("name") == "visprog" else None


def _extra_names() -> list[str]:
    project = _declared()
    if project is not None:
        names: Iterable[str] = project["optional-dependencies"]
    else:
        names = metadata.metadata("visprog").get_all("Provides-Extra") or ()
    return [n for n in names if n not in _NOT_FOR_USE]


def _requirements(extra: str) -> list[str]:
    """Packages that an extra brings, those of extras within it too; of visprog itself where empty."""
    project = _declared()
    if project is not None:
        lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    else:
        marked = [line.partition(";") for line in metadata.requires("visprog") or ()]
        lines = [line for line, _, marker in marked if _extra_in(marker) == extra]
    names: list[str] = []
    for line in lines:
        inner = re.match(r"visprog\[([\w,\s-]+)\]", line)
        if inner:
            names += [n for part in inner[1].split(",") for n in _requirements(part.strip())]
        else:
            names.append(re.split(r"[^\w.-]", line.strip(), maxsplit=1)[0])
    return list(dict.fromkeys(names))


def _extra_in(marker: str) -> str:
    found = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker)
    return found[1] if found else ""


def _torchvision_problem() -> list[str]:
    """torchvision 0.(N+15) is made for torch 2.N; another one breaks the import of transformers."""
    torch, torchvision = version("torch"), version("torchvision")
    if torch is None or torchvision is None:
        return []
    wanted = re.match(r"2\.(\d+)", torch)
    actual = re.match(r"0\.(\d+)", torchvision)
    if wanted and actual and int(actual[1]) == int(wanted[1]) + 15:
        return []
    fitting = f" or install torchvision 0.{int(wanted[1]) + 15}" if wanted else ""
    return [
        f"torchvision {torchvision} is not made for torch {torch}, and breaks the import of transformers: "
        f"pip uninstall torchvision (visprog does not need it){fitting}"
    ]


def _config_file(path: str | os.PathLike[str] | None) -> str | None:
    chosen = path or os.environ.get("VISPROG_CONFIG")
    file = Path(chosen) if chosen else next((f for f in default_files() if f.is_file()), None)
    return str(file.absolute()) if file and file.is_file() else None


def _environment() -> list[str]:
    """Names of the variables that are set; their values may be secrets."""
    return sorted(
        n for n in os.environ if n.startswith("VISPROG_") or n in ("OPENAI_API_KEY", "OPENAI_BASE_URL")
    )


def _planner(config: Config) -> dict[str, Any]:
    weights = WEIGHTS / "planner" / "model.safetensors"
    problem = ""
    try:
        from ..planner.factory import make_planner

        make_planner(config.planner, **config.planner_options)
    except VisprogError as error:
        problem = f"the planner '{config.planner}' cannot be used: {error}"
    folder = config.planner_options.get("folder")
    if config.planner == "embedded" and not folder and not weights.is_file():
        problem = "the embedded planner has no weights here: train some with 'visprog train planner'"
    return {"name": config.planner, "embedded_weights": weights.is_file(), "problem": problem}


def _tools(config: Config, extras: Mapping[str, Any], problems: list[str]) -> list[dict[str, Any]]:
    try:
        registry, backends = _in_force(config)
    except VisprogError as error:
        problems.append(str(error))
        return []
    found = []
    for tool in registry.called.values():
        backend = backends[tool.name]
        extra = extra_of(tool.backend_paths.get(backend, ""))
        options = dict(config.tools[tool.name].options) if tool.name in config.tools else {}
        ready = not extra or bool(extras.get(extra, {}).get("installed"))
        found.append(
            {
                "name": tool.name,
                "backend": backend,
                "options": options,
                "others": [b for b in tool.backends if b != backend],
                "precision": precision_of(tool, backend, config.tools.get(tool.name, ToolConfig()))
                if ready
                else "",
                "checkpoint": checkpoint_of(tool, backend, config.tools.get(tool.name, ToolConfig()))
                if ready
                else None,
                "sees": tool.sees.summary,
                "cannot": tool.sees.nothing,
                "ready": ready,
                "install": "" if ready else f"pip install 'visprog[{extra}]'",
            }
        )
        if not ready:
            problems.append(f"the backend '{backend}' of {tool.name} needs: pip install 'visprog[{extra}]'")
        elif tool.name in config.tools:
            problems += _backend_problem(tool, backend, config.tools[tool.name])
    return found


def precision_of(tool: Tool, backend: str, chosen: ToolConfig) -> str:
    """The precision of a backend's model, for people; empty for a backend without one."""
    if not tool.backends:
        return ""
    try:
        made = tool.load(backend, chosen.key)
    except (VisprogError, TypeError, ImportError):
        return ""
    dtype = getattr(made, "dtype", None)
    if not isinstance(dtype, str):
        return ""
    return described(str(getattr(made, "model", ""))) if dtype == "auto" else f"{dtype} (as configured)"


def checkpoint_of(tool: Tool, backend: str, chosen: ToolConfig) -> dict[str, Any] | None:
    """The checkpoint of a backend as plain data; None for a backend without one.

    Its `bytes` are those of its files here, or of its download where they are not here and that is known; its `memory`
    is estimated from what is known of it.
    """
    from ..models import BUNDLED
    from ..models.catalogue import find_published
    from ..models.checkpoint.cache import bytes_here, cached, is_hub_id
    from .machine import usual_device

    if not tool.backends:
        return None
    try:
        made = tool.load(backend, chosen.key)
        model, device = str(getattr(made, "model", None) or ""), str(getattr(made, "device", ""))
    except (VisprogError, TypeError, ImportError):
        return None
    path = WEIGHTS / model if model in BUNDLED else Path(model).expanduser()
    if not model or not (path.exists() or is_hub_id(model)) or not device:
        return None
    known = None if path.exists() else find_published(model)
    if path.exists():
        files = [path] if path.is_file() else list(path.rglob("*.safetensors"))
        here, size = True, sum(file.stat().st_size for file in files)
    else:
        here = cached(model) is not None
        size = bytes_here(model) if here else known.download if known else 0
    return {
        "id": model,
        "bytes": size,
        "cached": here,
        "device": usual_device() if device == "auto" else device,
        "memory": known.memory["float32"] if known else size or None,
    }


def _backend_problem(tool: Tool, backend: str, chosen: ToolConfig) -> list[str]:
    """Why a backend could not answer: its options are wrong, or a file that they name is not there."""
    try:
        _ = getattr(tool.load(backend, chosen.key), "sees", None)
    except VisprogError as error:
        return [f"the backend '{backend}' of {tool.name} cannot be used: {error}"]
    except TypeError as error:  # an option that it does not have
        return [f"the backend '{backend}' of {tool.name} cannot be made: {error}"]
    model = chosen.options.get("model")
    if isinstance(model, str) and model.endswith(".onnx") and not Path(model).expanduser().is_file():
        return [f"the backend '{backend}' of {tool.name} cannot be used: there is no model file {model}"]
    return []


def _in_force(config: Config) -> tuple[Registry, dict[str, str]]:
    try:
        planner = planner_in_force(config)
    except VisprogError:  # said by `_planner`
        planner = None
    host = host_in_force(config, planner)
    return host.in_force, {name: host.backend_of(tool) for name, tool in host.registry.called.items()}


def extra_of(path: str) -> str:
    """The extra that a backend needs; empty for what the plain install has."""
    fitting = [start for start in _EXTRA_OF if path.startswith(start)]
    return _EXTRA_OF[max(fitting, key=len)] if fitting else ""


def _sandbox(config: Config) -> dict[str, Any]:
    """What a worker that is started for it measures."""
    import warnings

    from visprog.sandbox import Sandbox, SandboxUnavailable

    from ..check.dry_run import LIBRARY

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is missing stands in the report
            with Sandbox(require=config.require, library=LIBRARY) as sandbox:
                level = sandbox.warm().level
    except SandboxUnavailable as error:
        return {"level": "", "missing": [], "facts": {}, "problem": f"no program can be run here: {error}"}
    return {"level": str(level), "missing": list(level.missing), "facts": dict(level.facts), "problem": ""}
