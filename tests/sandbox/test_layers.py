"""Either layer alone: the operating system against ``exec``, the language without the operating system."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from visprog.sandbox import Limits, Outcome, Sandbox, SandboxUnavailable

from .conftest import Image
from .test_corpus import HOSTILE, make_tools, reached, verdict


class NoLanguage(Sandbox):
    _checked = False


class NoKernel(Sandbox):
    _confined = False


@pytest.fixture(scope="module")
def escaped(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The language layer has fallen: programs are executed with everything Python has."""
    if sandbox.level != "kernel":
        pytest.skip(f"not enforced by this system: {sandbox.level.missing}")
    with NoLanguage(Limits(cpu=2, grace=2), engine="engines:PlainExec", standby=2) as sandbox:
        yield sandbox


DENIED = {
    "read a file": "open('/etc/passwd').read()",
    "write a file": "open('/tmp/visprog-escape', 'w').write('x')",
    "list a directory": "import os; os.listdir('/')",
    "stat a path": "import os; os.stat('/etc/passwd')",
    "read the parent's environment": "import os; open(f'/proc/{os.getppid()}/environ').read()",
    "write the parent's memory": "import os; open(f'/proc/{os.getppid()}/mem', 'wb').write(b'x')",
    "change directory": "import os; os.chdir('/tmp')",
    "make a directory": "import os; os.mkdir('/tmp/visprog-escape')",
    "delete": "import os; os.unlink('/tmp/visprog-escape')",
    "make a pipe": "import os; os.pipe()",
    "duplicate a descriptor": "import os; os.dup(1)",
    "read from another descriptor": "import os; os.read(2, 1)",
    "write to another descriptor": "import os; os.write(2, b'x')",
    "execute": "import os; os.execv('/bin/true', ['true'])",
    "change the user": "import os; os.setuid(0)",
    "lift a limit": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (9999, 9999))",
    "make executable memory": "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
    "sleep": "import time; time.sleep(0.01)",
    "set the priority": "import os; os.nice(-5)",
    "send a signal to itself": "import signal; signal.raise_signal(signal.SIGUSR1)",
}
KILLED = {
    "open a socket": "import _socket; _socket.socket()",
    "open a unix socket": "import _socket; _socket.socket(_socket.AF_UNIX)",
    "fork": "import os; os.fork()",
    "start a thread": "import _thread; _thread.start_new_thread(print, ())",
    "signal the parent": "import os; os.kill(os.getppid(), 0)",
    "signal everybody": "import os; os.kill(-1, 0)",
    "trace the parent": "import ctypes; ctypes.CDLL(None).ptrace(16, 1, 0, 0)",
    "leave the namespace": "import ctypes; ctypes.CDLL(None).unshare(0x10000000)",
    "load a filter": "import ctypes; ctypes.CDLL(None).syscall(321, 0, 0, 0)",
}


@pytest.mark.parametrize("what", DENIED)
def test_kernel_denies(escaped: Sandbox, what: str) -> None:
    source = (
        f"try:\n    {DENIED[what]}\nexcept (OSError, ImportError, ValueError) as e:\n    result = repr(e)\n"
    )
    outcome = escaped.run(source + "else:\n    result = 'done'")
    assert outcome.status in ("ok", "killed")
    assert outcome.value != "done", outcome
    assert not Path("/tmp/visprog-escape").exists()


@pytest.mark.parametrize("what", KILLED)
def test_kernel_kills(escaped: Sandbox, what: str) -> None:
    outcome = escaped.run(f"{KILLED[what]}\nresult = 'done'")
    if (
        outcome.status == "error"
    ):  # a module that was not imported before the lock-down cannot be imported now
        assert outcome.error_type in ("ModuleNotFoundError", "ImportError", "PermissionError")
    else:
        assert (outcome.status, outcome.limit) == ("killed", "system call")


def test_kernel_bounds_memory_and_time(escaped: Sandbox) -> None:
    outcome = escaped.run("x = [bytearray(1 << 30)]\nresult = 'done'")
    assert (outcome.status, outcome.limit) == ("killed", "memory")
    outcome = escaped.run("import signal\nsignal.setitimer(signal.ITIMER_PROF, 0)\nwhile True: pass")
    assert (outcome.status, outcome.limit) in {("killed", "silence"), ("killed", "cpu")}


def test_the_worker_has_nothing_of_ours(escaped: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISPROG_SECRET_KEY", "hunter2")
    with NoLanguage(engine="engines:PlainExec", standby=0) as sandbox:
        outcome = sandbox.run("import os\nresult = [dict(os.environ), os.getpid() == os.getsid(0)]")
    assert outcome.status == "ok" or outcome.error_type == "PermissionError", outcome
    assert "hunter2" not in repr(outcome)
    environment = escaped.run("import os\nresult = sorted(os.environ)").value
    assert set(environment) <= {"PYTHONHASHSEED", "LC_CTYPE"}


BOMBS = (
    "memory-",
    "sequence-",
    "tool-gets",
    "result-",
    "recursion-repr",
    "recursion-equal",
    "tool-call",
    "integer-",
)
LANGUAGE = [path for path in HOSTILE if not path.stem.startswith((*BOMBS, "source-"))]


@pytest.fixture(scope="module")
def unconfined_outcomes() -> dict[Path, Outcome]:
    """Hostile programs against the language layer alone; those that were not refused before they ran."""
    image = Image(40, 30)
    with NoKernel(Limits(cpu=3, grace=10), library="shapes:LIBRARY", standby=3) as sandbox:
        assert sandbox.level == "process"
        types = [(Image, ("width", "height", "root"))]
        jobs = [(path.read_bytes().decode(), {"image": image}) for path in LANGUAGE]
        return dict(
            zip(LANGUAGE, sandbox.map(jobs, tools=make_tools(image), types=types, workers=3), strict=True)
        )


@pytest.mark.parametrize("path", LANGUAGE, ids=lambda path: path.stem)
def test_language_alone(path: Path, unconfined_outcomes: Any) -> None:
    outcome = unconfined_outcomes[path]
    assert set(verdict(path.read_bytes().decode())) <= set(reached(outcome))


def test_the_worker_checks_for_itself(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not take the word of its parent for it, which alone could be wrong about versions or options."""
    monkeypatch.setattr("visprog.sandbox.sandbox.check", lambda *args, **kwargs: [])
    outcome = sandbox.run("x = 1\nresult = x.nothing_has_this")
    assert (outcome.status, outcome.line) == ("rejected", 2)
    assert [finding.code for finding in outcome.diagnostics] == ["forbidden-attribute"]


def test_levels(recwarn: pytest.WarningsRecorder) -> None:
    class Demanding(Sandbox):
        _confined = False

    with Demanding(require="kernel", standby=0) as sandbox:
        with pytest.raises(SandboxUnavailable, match="files denied"):
            sandbox.run("result = 1")
        with pytest.raises(SandboxUnavailable):
            _ = sandbox.level
    with Sandbox(standby=0) as sandbox:
        assert sandbox.level == sandbox.run("result = 1").level
        assert set(sandbox.level.REQUIRED) <= set(sandbox.level.facts)


def test_a_program_that_got_out_finds_no_settings() -> None:
    source = "import sys, __main__\nresult = [sys.argv, sys.orig_argv, sorted(vars(__main__))]"
    with NoLanguage(engine="engines:PlainExec", standby=0) as sandbox:
        outcome = sandbox.run(source)
    assert outcome.status == "ok", outcome
    assert outcome.value[:2] == [["-c"], []]
    assert not {"config", "arguments"}.intersection(outcome.value[2])
