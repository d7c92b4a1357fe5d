"""The defences of the sandbox, one a line: how to take each away, and the test that must then fail."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weakening:
    """One defence taken away."""

    name: str
    file: str
    """Under ``sandbox/``."""
    old: str
    """Text that stands exactly once in the file."""
    new: str
    test: str
    """Under ``tests/sandbox/``: what fails then. It is a test of this very layer, where others stand behind it."""


def _of(file: str, *rows: tuple[str, str, str, str]) -> list[Weakening]:
    return [Weakening(name, file, old, new, test) for name, old, new, test in rows]


_CODES = "test_check.py::test_codes"
_ALL_AT_ONCE = "test_check.py::test_all_findings_at_once_in_order"
CHECK = _of(
    "checker.py",
    ("check: attributes", "elif node.attr not in self._attributes:", "elif False:", "test_check.py::test_attributes"),
    ("check: underscore names", 'if name.startswith("_") and name != "_":', "if False:", _CODES),
    ("check: syntax", "if type(node) in policy.NODES:", "if True:", _ALL_AT_ONCE),
    ("check: import", 'if alias.name != "math":', "if False:", _ALL_AT_ONCE),
    ("check: from-import", 'if node.module != "math" or node.level:', "if False:", _CODES),
    ("check: unknown names", "elif any(node.id in scope for scope in self._scopes):", "elif True:",
     "test_check.py::test_names"),
    ("check: tools stay bound", "elif name in self._tools:", "elif False:", "test_check.py::test_names"),
    ("check: decorators", "for decorator in node.decorator_list:", "for decorator in node.body[:0]:", _CODES),
    ("check: underscore keywords", 'if keyword.arg is not None and keyword.arg.startswith("_"):', "if False:", _CODES),
    ("check: number of keywords", "if len(node.keywords) > MAX_KEYWORDS:", "if False:", _CODES),
    ("check: integer literals", "if type(node.value) is int and node.value.bit_length() > MAX_INTEGER_BITS:",
     "if False:", _CODES),
)  # fmt: skip
PARSING = _of(
    "parsing.py",
    ("check: control characters", "if control:", "if False:", _CODES),
    ("check: size", "if size > limits.source:", "if False:", _CODES),
    ("check: brackets", "if _open_brackets(source) > MAX_BRACKETS:", "if False:", _CODES),
    ("check: number of nodes", "if count > limits.source_nodes:", "if False:", _CODES),
    ("check: depth", "if depth > limits.source_depth or nesting", "if nesting", _CODES),
    ("check: nesting", " or nesting > limits.source_nesting:", ":", "test_limits.py::test_source_limits"),
)  # fmt: skip

_TYPES = "test_guards.py::test_attributes_are_open_by_exact_type"
_REFUSES = "test_guards.py::test_the_rewriting_refuses"
_ITEMS = "test_guards.py::test_items_are_open_by_exact_type"
_HUGE = "test_guards.py::test_nothing_huge_is_made"
_HANDLER = "test_guards.py::test_no_handler_outlives_a_limit"
_FINALLY = "test_guards.py::test_no_finally_outlives_a_limit"
_NOT_THERE = "test_guards.py::test_builtins_that_are_not_there"
_FACADE = "test_guards.py::test_imports_give_the_facade_alone"
LANGUAGE = [
    *_of(
        "policy.py",
        ("leaky attributes", "str: _STRING,", 'str: _STRING + " format_map",',
         "test_guards.py::test_what_is_open_is_not_leaky"),
        ("no BaseException", "    Exception, ArithmeticError,", "    BaseException, Exception, ArithmeticError,",
         "test_guards.py::test_no_exception_catches_the_end_of_a_run"),
        ("builtins", "abs, all, any, ascii,", "open, abs, all, any, ascii,", _NOT_THERE),
    ),
    *_of(
        "guards.py",
        ("attribute allow-list", "return self._type_attribute(value, name)", "return getattr(value, name)", _TYPES),
        ("exact types", "self._open[type(value)][name]",
         "next(self._open[kind] for kind in (*type(value).__mro__, None) if kind is None or kind in self._open)[name]",
         _TYPES),
        ("items read", "if type(value) in policy.SUBSCRIPTABLE or", "if True or", _ITEMS),
        ("items written", "if type(value) in policy.WRITABLE:", "if True:", _ITEMS),
        ("memory is sticky", "if isinstance(error, MemoryError):", "if False:", _FINALLY),
        ("recursion is sticky", "if isinstance(error, RecursionError):", "if False:", _FINALLY),
        ("math facade", "[name for name in policy.MATH_NAMES if hasattr(math, name)]", "dir(math)", _FACADE),
    ),
    *_of(
        "engine.py",
        ("builtins table", '"__builtins__": builtins,', '"__builtins__": __builtins__,', _NOT_THERE),
        ("recursion", "sys.setrecursionlimit(_depth() + namespace.limits.recursion)", "pass",
         "test_guards.py::test_recursion_is_bounded"),
    ),
    *_of(
        "restrict.py",
        ("underscore names", 'if name is not None and name.startswith("_") and name not in ("_", WRAPPER):',
         "if False:", _REFUSES),
        ("refused syntax", "visit_Yield = visit_YieldFrom = _refuse", "visit_Yield = visit_YieldFrom = _visit_parts",
         _REFUSES),
        ("decorators", "if node.decorator_list:", "if False:", _REFUSES),
        ("imports", "def visit_Import(", "def visit_Import_(", _FACADE),
        ("bare except", "if node.type is None:", "if False:", _HANDLER),
        ("handlers", 'node.body.insert(0, _at(node.body[0], ast.Expr(_call("_caught_"))))', "pass", _HANDLER),
        ("finally", "if node.finalbody:", "if False:", _FINALLY),
        ("attributes are not written", "if isinstance(node.target, ast.Attribute):", "if False:", _REFUSES),
        ("guard of *", 'ast.Mult: "_mul_", ', "", _HUGE),
        ("guard of **", 'ast.Pow: "_pow_", ', "", _HUGE),
        ("guard of <<", 'ast.LShift: "_lshift_", ', "", _HUGE),
        ("guard of %", ', ast.Mod: "_mod_"', "", _HUGE),
        ("small factors", "_SMALL = 1024", "_SMALL = 1 << 40", _HUGE),
        ("guard of f-strings", "if plain or node.format_spec is None:", "if True:", _HUGE),
    ),
    *_of(
        "sizes.py",
        ("product of integers", "if left.bit_length() + right.bit_length() > self.bits:", "if False:", _HUGE),
        ("sequence times", "if len(left) * right > self.length:", "if False:", _HUGE),
        ("times sequence", "len(right) * left > self.length:", "False:", _HUGE),
        ("power", "if integers and abs(base) > 1 and ", "if False and ", _HUGE),
        ("shift", "isinstance(count, int) and value.bit_length() + count > self.bits:", "False:", _HUGE),
        ("round", "isinstance(ndigits, int) and -ndigits > self.bits:", "False:", _HUGE),
        ("results of math", "if value.bit_length() > self.bits:", "if False:", _HUGE),
        ("factors", "if known and count * (size.bit_length() - 1) > 2 * self.bits:", "if False:",
         "test_guards.py::test_factors_are_judged_first"),
    ),
    *_of(
        "formatting.py",
        ("format traversal", 'if "." in field or "[" in field:', "if False:",
         "test_guards.py::test_format_walks_into_nothing"),
        ("format width", "if type(spec) is str and _LONG_NUMBER.search(spec):", "if False:", _HUGE),
        ("percent width", "if (found and any(_widths(left, right))) or ", "if ", _HUGE),
        ("nested keys of %", " or _NESTED_PERCENT.search(left):", ":", _HUGE),
        ("join", "self._judge(sum(map(len, items)) + len(separator) * len(items))", "pass", _HUGE),
        ("replace", "self._judge(len(text) + times * len(new))", "pass", _HUGE),
        ("expandtabs", 'self._judge(text.count("\\t") * tabsize)', "pass", _HUGE),
        ("padding", "if type(length) is int and length > self._sizes.length:", "if False:", _HUGE),
    ),
]  # fmt: skip

_DECODER = "test_execution.py::test_the_decoder_refuses"
_ENCODER = "test_execution.py::test_the_encoder_refuses"
_BODIES = "test_execution.py::test_bodies_that_are_no_message"
_ENDS = "test_execution.py::test_messages_that_end_the_run"
_BOUNDED = "test_execution.py::test_calls_and_handles_are_bounded"
PROTOCOL = [
    *_of(
        "protocol.py",
        ("nodes sent", "if self._left < 0:", "if False:", _ENCODER),
        ("depth sent", "if depth < 0:", "if False:", _ENCODER),
        ("text sent", "if len(value) > self._limits.text:", "if False:", _ENCODER),
        ("integers sent", "if value.bit_length() > self._limits.integer or value.bit_length() > 4096:", "if False:",
         _ENCODER),
        ("nodes received", "if self._left < 0 or depth < 0:", "if depth < 0:", _DECODER),
        ("depth received", "if self._left < 0 or depth < 0:", "if self._left < 0:", _DECODER),
        ("text received", "if len(wire) > self._limits.text:", "if False:", _DECODER),
        ("integers received", "if len(digits) > INT_DIGITS:", "if False:", _BODIES),
        ("depth of JSON", "except (ValueError, RecursionError) as error:", "except ValueError as error:", _BODIES),
        ("messages are objects", "if type(message) is not dict:", "if False:", _BODIES),
        ("markers", "if len(wire) != 1 or marker not in _BUILDERS:", "if False:", _DECODER),
        ("late markers", 'if any(key[:1] == "$" for key in wire):', "if False:", _DECODER),
        ("unhashable keys", "except TypeError:", "except KeyError:", _DECODER),
        ("types of values", "if not 0 <= number < len(self._library.types):", "if False:", _DECODER),
        ("size of messages", "if len(body) > limit:", "if False:", "test_limits.py::test_result_bytes_are_bounded"),
    ),
    *_of(
        "execution.py",
        ("handle table", "if len(wire) != 1 or type(number) is not int or not 0 <= number < len(self._table):",
         "if False:", _DECODER),
        ("numbers of calls", 'if message.get("i") != self._calls + 1 or', "if",
         "test_execution.py::test_calls_count_up"),
        ("types of numbers of calls", ' or type(message.get("i")) is not int:', ":", _ENDS),
        ("granted tools", "if type(name) is not str or name not in self._job.tools:", "if False:", _ENDS),
        ("types of arguments", "if type(positional) is not list or type(keywords) is not dict:", "if False:", _ENDS),
        ("keywords", "if len(keywords) > MAX_KEYWORDS or not all(", "if False and not all(", _ENDS),
        ("call limit", "if self._calls >= limits.calls:", "if False:", _BOUNDED),
        ("handle limit", "if number >= self._limits.handles:", "if False:", _BOUNDED),
        ("output limit", "text = text[: self._room]", "pass", "test_execution.py::test_output_is_bounded"),
        ("types of output", "if type(text) is not str:", "if False:", _ENDS),
        ("length of texts", "readable(value[:MAX_TEXT])", "readable(value)",
         "test_execution.py::test_texts_are_bounded"),
        ("control characters", "readable(value[:MAX_TEXT])", "value[:MAX_TEXT]",
         "test_execution.py::test_texts_steer_no_terminal"),
        ("lines", "if value is not None and (type(value) is not int or not 0 <= value < 1 << 31):", "if False:", _ENDS),
        ("number of findings", "if type(wire) is not list or not 1 <= len(wire) <= 20:", "if False:", _ENDS),
        ("text of tool errors", "str(error)[:MAX_TEXT]", "str(error)", "test_sandbox.py::test_tool_errors"),
        ("silence deadline", "return min(time.monotonic() + limits.cpu + limits.grace, self._last)",
         "return self._last", "test_execution.py::test_silence"),
        ("whole-run deadline", "self._last = job.started + job.limits.time", 'self._last = float("inf")',
         "test_execution.py::test_the_whole_run_has_a_deadline"),
    ),
    *_of(
        "process.py",
        ("frame length", "if size > self._limits.message:", "if False:",
         "test_execution.py::test_long_messages_are_not_awaited"),
        ("absolute deadlines", "left = deadline - time.monotonic()", "left = self._limits.cpu + self._limits.grace",
         "test_execution.py::test_drops_are_silence"),
        ("write deadline", "self._wait(self._writable, deadline)", "self._wait(self._writable, deadline + 3600)",
         "test_execution.py::test_replies_have_a_deadline"),
        ("start deadline", "self._deadline = time.monotonic() + limits.startup",
         "self._deadline = time.monotonic() + limits.startup + 3600",
         "test_always_an_answer.py::test_a_worker_that_never_gets_ready"),
    ),
]  # fmt: skip

_GIVEN = "test_mechanisms.py::test_what_the_worker_is_given"
_OWN = "test_mechanisms.py::test_every_program_has_a_process_of_its_own"
PROCESS = [
    *_of(
        "process.py",
        ("environment", "env=_ENVIRONMENT,", "env={**os.environ, **_ENVIRONMENT},", _GIVEN),
        ("close_fds", "close_fds=True,", "close_fds=False,", _GIVEN),
        ("session of its own", "start_new_session=True,", "start_new_session=False,", _GIVEN),
        ("working directory", 'cwd="/",', "", _GIVEN),
        ("errors go nowhere", "stderr=subprocess.DEVNULL,", "", _GIVEN),
        ("no site", '"-S", ', "", _GIVEN),
        ("safe path", '_FLAGS = ("-P", ', "_FLAGS = (", _GIVEN),
        ("series end with their sandbox", ", *(w for waiting in self._series.values() for w in waiting)]", "]",
         "test_series.py::test_closing_the_sandbox_ends_it_all"),
        ("forks start anew", "if os.getpid() != self._owner:", "if False:",
         "test_always_an_answer.py::test_a_fork_has_workers_of_its_own"),
    ),
    *_of(
        "sandbox.py",
        ("kill of the worker", "self._standby.retire(worker)", "pass", _OWN),
        ("fresh process", "self._standby.retire(worker)", "self._standby.put(worker)", _OWN),
        ("again only after a result", 'ended_well = outcome.status == "ok"', "ended_well = True",
         "test_series.py::test_a_run_that_fails_ends_its_process"),
        ("cancelling", "            stop.set()", "            pass",
         "test_always_an_answer.py::test_cancelling_leaves_no_worker"),
        ("kernel or nothing", 'if self._require == "kernel" and missing:', "if False:", "test_layers.py::test_levels"),
    ),
    *_of(
        "worker.py",
        ("check in the worker", "            if found:\n                raise Refused(found)\n", "",
         "test_layers.py::test_the_worker_checks_for_itself"),
        ("end of an orphan that computes", "confinement.end_with_parent()", "pass",
         "test_always_an_answer.py::test_no_worker_outlives_a_killed_parent[while True: pass]"),
        ("end of an orphan", "            if not part:\n                os._exit(0)",
         "            if not part:\n                continue",
         "test_sandbox.py::test_workers_end_with_their_parent"),
        ("sticky limits", "        os._exit(0)\n\n\ndef _line(", "        raise TimeoutError\n\n\ndef _line(",
         "test_limits.py::test_a_worker_ends_with_its_limit"),
        ("again, but anew",
         '        worker = Worker(limits, library, engine, config["checked"])\n        gc', "        gc",
         "test_series.py::test_one_process_serves_many_inputs_and_ends_with_the_series"),
        ("again, but not for long", " or time.process_time() > _SERVICE", "",
         "test_series.py::test_the_limit_of_processor_time_is_that_of_one_run"),
        ("processor time", "confinement.on_cpu_time(self._limits.cpu, self._on_cpu_time)", "pass",
         "test_limits.py::test_lines_of_limits"),
        ("output kept", "kept = text[: self._room]", "kept = text",
         "test_limits.py::test_output_is_dropped_in_the_worker"),
    ),
]  # fmt: skip

_LANDLOCK = "test_mechanisms.py::test_landlock_alone"
KERNEL = [
    *_of(
        "confine.py",
        *[
            (f"rlimit {name}", f'"{name}": {value},', "", f"test_mechanisms.py::test_resource[{name}]")
            for name, value in {
                "AS": "limits.memory", "DATA": "limits.memory", "STACK": "_STACK", "FSIZE": 0, "NOFILE": 0,
                "NPROC": 0, "CORE": 0, "MEMLOCK": 0, "MSGQUEUE": 0, "SIGPENDING": 0,
            }.items()
        ],
        ("rlimit CPU", '"CPU": (cpu, cpu + 1), ', "", "test_mechanisms.py::test_processor_time"),
        ("no_new_privs", "kernel.prctl(PR_SET_NO_NEW_PRIVS, 1)", "True", "test_mechanisms.py::test_privileges"),
        ("not dumpable", "kernel.prctl(PR_SET_DUMPABLE, 0)", "pass", "test_mechanisms.py::test_privileges"),
        ("nobody", "_drop_user()}", "False}", "test_mechanisms.py::test_root_becomes_nobody"),
        ("Landlock", "kernel.apply_landlock()", "0", "test_mechanisms.py::test_confined_without_seccomp"),
        ("seccomp", "kernel.apply_seccomp(readable=0, writable=1)", "False",
         "test_mechanisms.py::test_confined_without_landlock"),
        ("honest probes", "return error.errno in (errno.EPERM, errno.EACCES)\n    return False",
         "pass\n    return True", "test_mechanisms.py::test_an_unconfined_worker_knows_it"),
    ),
    *_of(
        "kernel.py",
        ("seccomp: the rest is denied", "return [*code, (_RETURN, 0, 0, _DENY)]",
         "return [*code, (_RETURN, 0, 0, _ALLOW)]",
         "test_confine.py::test_everything_else_is_denied"),
        ("seccomp: hostile calls kill", "_PROBE, _DENY, _KILL)", "_PROBE, _DENY, _DENY)",
         "test_confine.py::test_hostile_calls_end_the_process"),
        ("seccomp: no openat", '"futex": (202, 98),', '"futex": (202, 98), "openat": (257, 56),',
         "test_confine.py::test_everything_else_is_denied"),
        ("seccomp: the pipes alone", "descriptor, _ALLOW, _DENY)", "descriptor, _ALLOW, _ALLOW)",
         "test_confine.py::test_only_the_pipes"),
        ("seccomp: executable memory", "_PROT_EXEC, _DENY, _ALLOW)", "_PROT_EXEC, _ALLOW, _ALLOW)",
         "test_confine.py::test_no_executable_memory"),
        ("seccomp: architecture", "(_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL)",
         "(_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _ALLOW)",
         "test_confine.py::test_other_architectures_end_the_process"),
        ("seccomp: x32", "if column == 0:", "if False:", "test_confine.py::test_other_architectures_end_the_process"),
    ),
    *_of(
        "kernel.py",
        ("Landlock: files", "every = (1 << _FILE_RIGHTS.get(abi, 16)) - 1", "every = 1", f"{_LANDLOCK}[read-1]"),
        ("Landlock: network", "if abi >= _NETWORK_FROM:", "if False:", f"{_LANDLOCK}[connect-4]"),
        ("Landlock: scopes", "if abi >= _SCOPES_FROM:", "if False:", f"{_LANDLOCK}[signal-6]"),
        ("tools: no socket", "(SOCKET[column], *_numbers(TOOLS_DENIED", "(-1, *_numbers(TOOLS_DENIED",
         "test_confine.py::test_tools_start_nothing_and_reach_nobody"),
        ("tools: the list", "*_numbers(TOOLS_DENIED.values(), column)", "",
         "test_confine.py::test_tools_start_nothing_and_reach_nobody"),
        ("tools: files", "(_EXECUTE | _READ_FILE | _READ_FOLDER) & every, every)", "every, every)",
         "test_mechanisms.py::test_tools_change_files_of_their_own_alone"),
    ),
    *_of(
        "confine.py",
        ("tools: Landlock", "kernel.apply_landlock(readable, writable, network)", "0",
         "test_mechanisms.py::test_tools_change_files_of_their_own_alone"),
        ("tools: seccomp", "not network and kernel.apply_tools_filter()", "False",
         "test_mechanisms.py::test_tools_change_files_of_their_own_alone"),
    ),
]  # fmt: skip

WEAKENINGS = [*CHECK, *PARSING, *LANGUAGE, *PROTOCOL, *PROCESS, *KERNEL]
