"""What is installed: the packages, their data, and nothing that a newcomer must not need."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import visprog

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
LINKS = ("prompts", "sandbox", "tools")


def packages(root: Path = ROOT) -> dict[str, Path]:
    """The folders that hold an `__init__.py`, by the name under which they are imported."""
    found = {}
    for name, folder in {"visprog": "visprog", **{f"visprog.{n}": n for n in LINKS}}.items():
        for file in (root / folder).rglob("__init__.py"):
            parts = file.parent.relative_to(root / folder).parts
            if not (name == "visprog" and parts[:1] and parts[0] in LINKS):  # reached through a link
                found[".".join((name, *parts))] = file.parent
    return found


def test_every_folder_of_code_is_a_package_that_is_installed() -> None:
    assert set(SETUPTOOLS["packages"]) == set(packages())
    assert len(SETUPTOOLS["packages"]) == len(set(SETUPTOOLS["packages"]))


@pytest.mark.parametrize("name", LINKS)
def test_links_let_a_bare_checkout_be_imported(name: str) -> None:
    link = ROOT / "visprog" / name
    assert link.is_symlink() and link.readlink() == Path("..") / name
    assert link.resolve() == ROOT / name and (link / "__init__.py").is_file()
    assert SETUPTOOLS["package-dir"][f"visprog.{name}"] == name


@dataclass(frozen=True)
class Built:
    """A wheel, and the sources that it was built from."""

    wheel: zipfile.ZipFile
    sources: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    pytest.importorskip("setuptools")
    out, sources = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("sources")
    # Built from a copy: setuptools leaves its notes beside the sources.
    for name in ("visprog", *LINKS):
        shutil.copytree(
            ROOT / name, sources / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources / name)
    code = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    ran = subprocess.run([sys.executable, "-c", code, str(out)], cwd=sources, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    (file,) = out.glob("visprog-*.whl")
    return Built(zipfile.ZipFile(file), sources)


def test_the_wheel_holds_all_code(built: Built) -> None:
    inside = set(built.wheel.namelist())
    for package, folder in packages(built.sources).items():
        for file in folder.glob("*.py"):
            assert f"{package.replace('.', '/')}/{file.name}" in inside
    assert not [n for n in inside if n.startswith(("tools/", "prompts/", "sandbox/", "tests/"))]


def test_the_wheel_holds_the_data(built: Built) -> None:
    inside = set(built.wheel.namelist())
    assert {"visprog/py.typed", "visprog/answer.schema.json"} <= inside
    data = {"prompts": ("*.txt", "*.yaml"), "tools": ("data/*", "weights/**/*", "training/planner/**/*.yaml")}
    for folder, patterns in data.items():
        for pattern in patterns:
            for file in (built.sources / folder).glob(pattern):
                assert not file.is_file() or f"visprog/{file.relative_to(built.sources).as_posix()}" in inside
    size = sum(i.file_size for i in built.wheel.infolist() if "/weights/" in i.filename)
    assert size <= 40 * 1000 * 1000


def test_the_wheel_has_the_command(built: Built) -> None:
    (name,) = [n for n in built.wheel.namelist() if n.endswith("entry_points.txt")]
    assert "visprog = visprog.cli:main" in built.wheel.read(name).decode()


def test_nothing_requires_torchvision() -> None:
    project = PROJECT["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    named = [line.lower() for lines in lists for line in lines]
    assert not [n for n in named if n.startswith(("torchvision", "timm", "open_clip", "open-clip"))]
    assert not [
        n for n in project["dependencies"] if n.startswith(("torch", "transformers", "openai", "langchain"))
    ]


def pins() -> dict[str, Requirement]:
    """The lines of constraints.txt, by the name of the package."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    read = [Requirement(line) for line in lines if not line.startswith("#")]
    named = {canonicalize_name(requirement.name): requirement for requirement in read}
    assert len(named) == len(read)
    return named


def required(extra: str = "") -> Iterator[Requirement]:
    """What pyproject.toml asks for, with what extras of its own bring along."""
    project = PROJECT["project"]
    for line in project["optional-dependencies"][extra] if extra else project["dependencies"]:
        requirement = Requirement(line)
        if requirement.name != project["name"]:
            yield requirement
            continue
        for other in requirement.extras:
            yield from required(other)


def test_tested_versions_are_exact_and_without_addresses() -> None:
    for requirement in pins().values():
        assert re.fullmatch(r"==[0-9]+[0-9a-z.]*", str(requirement.specifier)), requirement
        assert requirement.url is None and not requirement.extras


def test_what_is_required_has_a_tested_version() -> None:
    tested = pins()
    for requirement in (*required(), *required("dev")):
        pin = tested[canonicalize_name(requirement.name)]
        (version,) = (only.version for only in pin.specifier)
        assert requirement.specifier.contains(version), f"{requirement} is not {pin}"


def test_the_tests_have_every_extra() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    tested = {requirement.name for requirement in required("dev")}
    for extra in extras:
        assert {requirement.name for requirement in required(extra)} <= tested, extra


def test_make_installs_the_tested_versions() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipes = dict(re.findall(r"^(\S.*?):.*\n((?:\t.*\n)+)", makefile, re.MULTILINE))
    for targets, recipe in recipes.items():
        for line in recipe.splitlines():
            constrained = "-c constraints.txt" in line
            assert "pip install" not in line or constrained == (targets != "test-latest"), line
    assert "-c constraints.txt" in recipes["$(VENV)/installed $(VENV)/installed-dev"]
    assert "exec make test\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_importing_visprog_loads_nothing_heavy() -> None:
    code = (
        "import sys, time, visprog\n"
        "heavy = {'numpy', 'torch', 'PIL', 'cv2', 'yaml', 'rich', 'typer'} & set(sys.modules)\n"
        "print(sorted(heavy), time.process_time())"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded, _, seconds = ran.stdout.strip().rpartition(" ")
    assert loaded == "[]" and float(seconds) < 0.3


def test_what_the_package_offers_is_there() -> None:
    import visprog

    assert {"Agent", "Answer", "Image", "Region", "ask", "tool"} <= set(visprog.__all__) == set(dir(visprog))
    for name in visprog.__all__:
        assert getattr(visprog, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = visprog.nonsense


def test_a_script_beside_the_clone_imports_the_package(tmp_path: Path) -> None:
    """Not the folder of the clone, which Python would take for a namespace package."""
    (tmp_path / "visprog").symlink_to(ROOT)
    script = tmp_path / "script.py"
    script.write_text(
        "import visprog, visprog.values, visprog.tools\n"
        "from visprog.registry import Registry\n"
        "print(visprog.ask.__name__, visprog.__name__, len(visprog.__path__), visprog.__version__)\n"
    )
    ran = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout == f"ask visprog 1 {visprog.__version__}\n", ran.stderr
