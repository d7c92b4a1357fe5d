"""Every mechanism of the confinement on its own, in a process that gives itself up to nothing else."""

from __future__ import annotations

import json
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import engines  # noqa: F401 - the library of the tests is on the path
import pytest

from visprog.sandbox import Limits, Sandbox

ROOT = Path(__file__).parents[2]
SUPPORTED = platform.machine() in ("x86_64", "aarch64", "arm64")
linux = pytest.mark.skipif(sys.platform != "linux", reason="a mechanism of Linux")

START = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from visprog.sandbox import Limits, confine, kernel
from visprog.sandbox.kernel import prctl, syscall
def attempt(action):
    try:
        action()
    except OSError as error:
        return error.errno
    return 0
def tell(facts):
    os.write(1, json.dumps(facts).encode())
    os._exit(0)
"""


def alone(script: str, *arguments: str) -> Any:
    """What a script in a process of its own tells; the signal that ended it, where one did."""
    command = [sys.executable, "-c", START + script, str(ROOT), *arguments]
    ended = subprocess.run(command, capture_output=True, timeout=60)
    if ended.returncode < 0:
        return signal.Signals(-ended.returncode)
    assert ended.returncode == 0, ended.stderr.decode()
    return json.loads(ended.stdout)


# --- limits of resources ---

BOUNDS = {
    "AS": 300 << 20,
    "DATA": 300 << 20,
    "STACK": 8 << 20,
    "FSIZE": 0,
    "NOFILE": 0,
    "NPROC": 0,
    "CORE": 0,
    "MEMLOCK": 0,
    "MSGQUEUE": 0,
    "SIGPENDING": 0,
}


@pytest.fixture(scope="module")
def bounds() -> Any:
    return alone("""
import resource
confine._limit_resources(Limits(cpu=7, memory=300 << 20))
tell({name[7:]: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name[:7] == "RLIMIT_"})
""")


@linux
@pytest.mark.parametrize("name", BOUNDS)
def test_resource(bounds: dict[str, list[int]], name: str) -> None:
    ceiling = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1]
    bound = BOUNDS[name] if ceiling == resource.RLIM_INFINITY else min(ceiling, BOUNDS[name])
    assert bounds[name] == [bound, bound]


def test_processor_time(bounds: dict[str, list[int]]) -> None:
    soft, hard = bounds["CPU"]
    assert 8 <= soft <= 11 and hard == soft + 1


# --- privileges ---


@linux
def test_privileges() -> None:
    """Neither a set-user-id program nor a debugger gets at the worker."""
    facts = alone("""
kernel.apply_seccomp = lambda **_: False
kernel.apply_landlock = lambda: 0
confine._drop_user = lambda: False  # that alone makes a process not dumpable
confine.confine(Limits(memory=1 << 30))
number = {"x86_64": 157}.get(os.uname().machine, 167)  # prctl, which answers here
no_new_privileges, dumpable = (syscall(number, option, 0, 0, 0, 0)[0] for option in (39, 3))
tell([no_new_privileges, dumpable])
""")
    assert facts == [1, 0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_becomes_nobody() -> None:
    facts = alone("""
kernel.apply_seccomp = lambda **_: False
confine.confine(Limits(memory=1 << 30))
tell([os.getresuid(), os.getresgid(), os.getgroups()])
""")
    assert facts == [[65534] * 3, [65534] * 3, []]


# --- either lock alone, put on by the whole confinement ---


@linux
def test_confined_without_seccomp(tmp_path: Path) -> None:
    abi, error = alone(
        """
kernel.apply_seccomp = lambda **_: False
confine._drop_user = lambda: False
abi, _ = syscall(444, 0, 0, 1)
confine.confine(Limits(memory=1 << 30))
tell([abi, attempt(lambda: os.mkdir(sys.argv[2] + "/sub"))])
""",
        str(tmp_path),
    )
    if abi < 1:
        pytest.skip("this kernel has no Landlock")
    assert error == 13


@linux
def test_confined_without_landlock() -> None:
    if "Seccomp_filters" not in Path("/proc/self/status").read_text() or not SUPPORTED:
        pytest.skip("no seccomp filter here")
    assert (
        alone("""
kernel.apply_landlock = lambda: 0
confine.confine(Limits(memory=1 << 30))
tell(attempt(lambda: os.stat("/")))
""")
        == 1
    )


# --- Landlock alone ---


@pytest.fixture(scope="module")
def behind_landlock() -> Any:
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket() as server,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        server.bind(("127.0.0.1", 0))
        server.listen()
        unix.bind(f"\0visprog-test-{os.getpid()}")
        unix.listen()
        facts = alone(
            """
import socket, tempfile
folder, port, name, target = sys.argv[2:]
prctl(confine.PR_SET_NO_NEW_PRIVS, 1)
abi = kernel.apply_landlock()
tell({
    "abi": abi,
    "read": attempt(lambda: open("/etc/passwd")),
    "list": attempt(lambda: os.listdir("/")),
    "write": attempt(lambda: open(folder + "/file", "w")),
    "make": attempt(lambda: os.mkdir(folder + "/sub")),
    "execute": attempt(lambda: os.execv("/bin/true", ["true"])),
    "connect": attempt(lambda: socket.socket().connect(("127.0.0.1", int(port)))),
    "bind": attempt(lambda: socket.socket().bind(("127.0.0.1", 0))),
    "abstract": attempt(lambda: socket.socket(socket.AF_UNIX).connect(chr(0) + name)),
    "signal": attempt(lambda: os.kill(int(target), 0)),
})
""",
            folder,
            str(server.getsockname()[1]),
            f"visprog-test-{os.getpid()}",
            str(os.getpid()),
        )
    if not facts["abi"]:
        pytest.skip("this kernel has no Landlock")
    return facts


@linux
@pytest.mark.parametrize(
    ("what", "since"),
    [
        *[(what, 1) for what in ("read", "list", "write", "make", "execute")],
        *[("connect", 4), ("bind", 4), ("abstract", 6), ("signal", 6)],
    ],
)
def test_landlock_alone(behind_landlock: dict[str, int], what: str, since: int) -> None:
    if behind_landlock["abi"] < since:
        pytest.skip(f"Landlock does that from ABI {since}")
    assert behind_landlock[what] in (1, 13)


@linux
def test_tools_change_files_of_their_own_alone(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    facts = alone(
        """
import socket
own, other = sys.argv[2:]
abi = kernel.syscall(kernel._CREATE_RULESET, 0, 0, 1)[0]
how = confine.confine_tools(writable=[own])
tell({
    "abi": abi,
    "how": how,
    "read": attempt(lambda: open("/etc/passwd")),
    "own": attempt(lambda: open(own + "/file", "w")),
    "other": attempt(lambda: open(other + "/file", "w")),
    "make": attempt(lambda: os.mkdir(other + "/sub")),
    "execute": attempt(lambda: os.execv("/bin/true", ["true"])),
    "connect": attempt(lambda: socket.socket()),
})
""",
        str(own),
        str(other),
    )
    assert facts["read"] == facts["own"] == 0 and facts["how"]["no_new_privs"]
    if facts["abi"] > 0:
        assert facts["other"] in (1, 13) and facts["make"] in (1, 13) and facts["how"]["landlock"]
    if platform.machine() in ("x86_64", "aarch64"):
        assert facts["execute"] == facts["connect"] == 1 and facts["how"]["seccomp"]


# --- seccomp alone ---

BEHIND_SECCOMP = """
import ctypes, mmap, socket
from _socket import socket as bare
prctl(confine.PR_SET_NO_NEW_PRIVS, 1)
reading, writing = os.pipe()
if not kernel.apply_seccomp(readable=0, writable=1):
    tell("none")
"""


@linux
def test_seccomp_alone_denies() -> None:
    facts = alone(
        BEHIND_SECCOMP
        + """
tell([attempt(lambda: open("/etc/passwd")), attempt(lambda: os.listdir("/")), attempt(lambda: os.stat("/")),
      attempt(lambda: os.execv("/bin/true", ["true"])), attempt(lambda: os.write(writing, b"x")),
      attempt(lambda: os.read(reading, 1)), attempt(lambda: mmap.mmap(-1, 4096, prot=7)), attempt(os.getppid)])
"""
    )
    if facts == "none":
        pytest.skip("no seccomp filter for this machine")
    assert facts[:7] == [1] * 7


@linux
@pytest.mark.parametrize(
    "action", ["bare()", "os.fork()", "os.kill(os.getpid(), 0)", "ctypes.CDLL(None).unshare(0)"]
)
def test_seccomp_alone_kills(action: str) -> None:
    ended = alone(BEHIND_SECCOMP + f"{action}\ntell('alive')")
    if ended == "none":
        pytest.skip("no seccomp filter for this machine")
    assert ended == signal.SIGSYS


# --- what the process is given ---


class Open(Sandbox):
    """Neither checked nor confined, to look around inside."""

    _checked = False
    _confined = False


LOOK = """
import os, resource, sys
result = {
    "environment": dict(os.environ), "directory": os.getcwd(), "session": os.getsid(0) == os.getpid(),
    "files": sorted(int(fd) for fd in os.listdir("/proc/self/fd")), "errors": os.readlink("/proc/self/fd/2"),
    "site": "site" in sys.modules, "safe path": sys.flags.safe_path, "byte code": sys.dont_write_bytecode,
    "process": os.getpid(),
}
"""


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Any]]:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    os.environ["VISPROG_TEST_SECRET"] = "hunter2"
    try:
        with Open(engine="engines:PlainExec", standby=0) as sandbox:
            yield sandbox.run(LOOK).value
    finally:
        os.close(descriptor)
        del os.environ["VISPROG_TEST_SECRET"]


@linux
def test_what_the_worker_is_given(seen: dict[str, Any]) -> None:
    assert set(seen["environment"]) <= {"PYTHONHASHSEED", "LC_CTYPE"}
    assert seen["files"][:3] == [0, 1, 2] and len(seen["files"]) == 4  # the fourth lists the folder
    assert seen["errors"] == "/dev/null"
    assert seen["directory"] == "/"
    assert seen["session"]
    assert not seen["site"] and seen["safe path"] and seen["byte code"]


def test_an_unconfined_worker_knows_it(seen: dict[str, Any]) -> None:
    with Open(standby=0) as sandbox:
        level = sandbox.level
    assert level == "process" and len(level.missing) == len(level.REQUIRED)


def test_every_program_has_a_process_of_its_own() -> None:
    """Even where the worker does not end by itself, and would take another program."""
    with Open(Limits(cpu=1, grace=1), engine="engines:RawFrames") as sandbox:
        first, second = sandbox.run("linger"), sandbox.run("linger")
    assert first.value[0] != second.value[0]
    assert (first.value[1], second.value[1]) == (1, 1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in (first.value[0], second.value[0]))
