"""The keeper: its text is given to `python -c` inside the sandbox; nothing of Palaestra imports it.

It imports the allowed modules once, with a frozen clock and seeded chance, and never runs foreign code. It forks children,
each over a socket that comes with the request. A child sets its limits, installs its filter of system calls and only then
reads a source. Whether it answers one call or more is decided at the other end; it tells how much the calls have used.

Requests are JSON: {"op": "fork" | "stop" | "continue" | "end", "child": ...}, the child by a name that the other end chose. A
request with "number" is answered with that number.
"""

from __future__ import annotations

import base64
import builtins
import ctypes
import errno
import gc
import importlib
import json
import operator
import os
import random
import resource
import signal
import socket
import sys
import time
import types
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

CPU_CLOCK = time.process_time_ns  # before the clock is frozen for foreign code
USAGE = resource.getrusage
MB = 1 << 20
PRCTL_NO_NEW_PRIVS, PRCTL_SECCOMP, SECCOMP_FILTER, PRCTL_DEATH_SIGNAL = 38, 22, 2, 1
FAILED_FILTER, FAILED_START = 97, 96
CONTROL, MAX_DESCRIPTORS, CLOSE_RANGE = 3, 64, 436
MAX_REQUEST = 64 * MB
MOST_GROWTH_KB, MOST_CPU_NS, MOST_CALLS = 4096, 500_000_000, 1000
"""What the calls of a stateless program may use of a child together; then the next one gets a fresh child."""


class Refused(PermissionError):
    """What a removed built-in raises."""


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class Filter:
    """A seccomp filter that can be installed after a fork without loading anything."""

    def __init__(self, program: bytes) -> None:
        """Keep the program in memory that does not move."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._bytes = ctypes.create_string_buffer(program, len(program))
        self._program = _Program(len(program) // 8, ctypes.addressof(self._bytes))

    def install(self) -> None:
        """Install it in this process, or leave the process."""
        if self._libc.prctl(PRCTL_NO_NEW_PRIVS, 1, 0, 0, 0):
            os._exit(FAILED_FILTER)
        if self._libc.prctl(PRCTL_SECCOMP, SECCOMP_FILTER, ctypes.byref(self._program), 0, 0):
            os._exit(FAILED_FILTER)

    def die_with_parent(self) -> None:
        """Let the kernel kill this process when its parent ends."""
        self._libc.prctl(PRCTL_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def freeze_clock(now: float) -> None:
    """Let every clock of Python stand still, and nobody sleep; to be called before `datetime` is imported.

    `datetime` is then loaded in its pure Python form, which asks `time`; its C form asks the system.
    """
    nanoseconds = int(now * 1e9)
    originals = {name: getattr(time, name) for name in ("localtime", "gmtime", "ctime", "asctime", "strftime", "sleep")}

    def at_now(name: str) -> Callable[..., Any]:
        original = originals[name]

        def told(seconds: float | None = None, /) -> Any:
            return original(now if seconds is None else seconds)

        return told

    def sleep(seconds: float, /) -> None:
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")

    def asctime(t: Any = None, /) -> str:
        return str(originals["asctime"](originals["gmtime"](now) if t is None else t))

    def strftime(form: str, t: Any = None, /) -> str:
        return str(originals["strftime"](form, originals["gmtime"](now) if t is None else t))

    used = {getattr(time, name) for name in ("CLOCK_PROCESS_CPUTIME_ID", "CLOCK_THREAD_CPUTIME_ID") if hasattr(time, name)}
    clocks = {value for name, value in vars(time).items() if name.startswith("CLOCK_")}

    def clock_gettime_ns(clock: int, /) -> int:
        if operator.index(clock) not in clocks:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return 0 if clock in used else nanoseconds

    def clock_gettime(clock: int, /) -> float:
        return clock_gettime_ns(clock) / 1e9

    frozen: dict[str, Any] = {name: at_now(name) for name in ("localtime", "gmtime", "ctime")}
    frozen.update(asctime=asctime, strftime=strftime, sleep=sleep, clock_gettime=clock_gettime)
    frozen.update(clock_gettime_ns=clock_gettime_ns)
    for name in ("time", "monotonic", "perf_counter"):
        frozen[name] = lambda: now
        frozen[f"{name}_ns"] = lambda: nanoseconds
    for name in ("process_time", "thread_time"):
        frozen[name] = lambda: 0.0
        frozen[f"{name}_ns"] = lambda: 0
    for name, function in frozen.items():
        setattr(time, name, function)
    for name in ("clock_settime", "clock_settime_ns", "pthread_getcpuclockid"):
        vars(time).pop(name, None)
    nothing = (0.0, 0.0, 0.0, 0.0, now)
    os.times = sys.modules[os.name].times = lambda: os.times_result(nothing)  # type: ignore[attr-defined]
    resource.getrusage = lambda who, /: resource.struct_rusage([0] * 16)
    _freeze_dates()


def _freeze_dates() -> None:
    """Load `datetime` in Python, with the C form's checks, so that errors have its words."""
    native = importlib.import_module("_datetime")
    for name in ("_datetime", "_zoneinfo"):  # the second needs the first
        sys.modules[name] = None  # type: ignore[assignment]
    sys.modules.pop("datetime", None)
    importlib.import_module("datetime")
    python = sys.modules.get("_pydatetime", sys.modules["datetime"])

    def checked_date(year: Any, month: Any, day: Any) -> tuple[int, int, int]:
        date = native.date(year, month, day)
        return date.year, date.month, date.day

    def checked_time(hour: Any, minute: Any, second: Any, microsecond: Any, fold: Any) -> tuple[int, int, int, int, int]:
        time = native.time(hour, minute, second, microsecond, fold=fold)
        return time.hour, time.minute, time.second, time.microsecond, time.fold

    python._check_date_fields = checked_date  # type: ignore[attr-defined]
    python._check_time_fields = checked_time  # type: ignore[attr-defined]


class Chance:
    """All randomness of the standard library from one seed, set again for every call."""

    def __init__(self, seed: int) -> None:
        """Replace the sources of entropy that Python code can reach."""
        self._seed = seed
        self._entropy = random.Random(seed)
        entropy, seed_of = self._entropy, random.Random.seed

        def urandom(size: int, /) -> bytes:
            return entropy.randbytes(size)

        def seeded(self: random.Random, a: Any = None, version: int = 2) -> None:
            seed_of(self, entropy.getrandbits(64) if a is None else a, version)

        os.urandom = urandom
        random._urandom = urandom  # type: ignore[attr-defined]
        random.Random.seed = seeded  # type: ignore[method-assign]
        random.seed = random._inst.seed
        self._seed_of = seed_of
        uuid = importlib.import_module("uuid")
        uuid._generate_time_safe = uuid._UuidCreate = None  # type: ignore[attr-defined]  # the C library's read the clock
        uuid._node = 1 << 40  # type: ignore[attr-defined]  # or it would look for a network card

    def restart(self) -> None:
        """Begin again."""
        self._seed_of(self._entropy, self._seed)
        self._seed_of(random._inst, self._seed)


def facades() -> dict[str, types.ModuleType]:
    """Return the stand-ins for `os` and `sys`: text work on paths and constants, no files, no process."""
    import posixpath

    path = types.ModuleType("os.path")
    pure = ("basename", "commonpath", "commonprefix", "dirname", "isabs", "join", "normcase", "normpath", "split", "splitext")
    for name in pure:
        setattr(path, name, getattr(posixpath, name))
    for name in ("exists", "isfile", "isdir", "islink", "lexists"):
        setattr(path, name, lambda path, /: False)
    path.sep = "/"  # type: ignore[attr-defined]
    system = types.ModuleType("os")
    system.__dict__.update(path=path, sep="/", linesep="\n", name="posix", environ={}, curdir=".", pardir="..", extsep=".")
    interpreter = types.ModuleType("sys")
    for name in ("maxsize", "float_info", "int_info", "version_info", "version", "byteorder", "maxunicode", "platform"):
        setattr(interpreter, name, getattr(sys, name))
    return {"os": system, "os.path": path, "sys": interpreter}


class Guard:
    """The built-ins that foreign code sees."""

    def __init__(self, modules: list[str]) -> None:
        """Import what is allowed; what is not installed is left out."""
        self._import = builtins.__import__
        self._allowed = frozenset([*modules, "_strptime"])  # C code imports by the built-ins of whoever calls it
        self._facades: dict[str, types.ModuleType] = {}
        self.prints = 0
        for name in [*modules, "_strptime", "encodings.idna", "encodings.latin_1", "encodings.ascii", "encodings.utf_16"]:
            try:
                __import__(name)
            except ImportError:
                continue
        self._facades = facades()
        left_out = ("open", "input", "breakpoint", "help", "exit", "quit", "copyright", "credits", "license")
        self.names = {name: value for name, value in vars(builtins).items() if name not in left_out}
        self.names.update({"__import__": self.imported, "print": self.printed}, open=refused, input=refused)

    def imported(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Any = (),
        level: int = 0,
    ) -> types.ModuleType:
        """Stand for `__import__`: only what is on the list."""
        if name in self._facades:
            return self._facades[name if fromlist else name.partition(".")[0]]
        if level or (name not in self._allowed and name.partition(".")[0] not in self._allowed):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return self._import(name, globals, locals, fromlist, level)

    def printed(self, *values: object, **options: object) -> None:
        """Stand for `print`."""
        self.prints += 1


def refused(*args: object, **options: object) -> NoReturn:
    """Stand for built-ins that reach outside."""
    raise Refused(1, "not allowed here")


class Runner:
    """Answers the calls of one program, in its child."""

    def __init__(self, guard: Guard, chance: Chance, options: Mapping[str, Any]) -> None:
        """Keep own references to what is needed, so that code which patches modules hurts itself least."""
        self._guard, self._chance = guard, chance
        self._limit: int = options["output_chars"]
        self._keeps_state: bool = options["stateful"]
        self._encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
        self._text = str
        self._code: types.CodeType | None = None
        self._namespace: dict[str, Any] = {}
        self._source, self._draws = "", True
        self._calls = 0
        self._most_kb = USAGE(resource.RUSAGE_SELF).ru_maxrss + MOST_GROWTH_KB

    def load(self, source: str) -> None:
        """Take the source; it is run by the first call."""
        self._source = source
        names = unicodedata.normalize("NFKC", source)  # as the compiler reads them
        self._draws = "random" in names or "uuid" in names  # one that comes to chance by other ways gets fresh children

    def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Run a function of the source and return the fields of the answer."""
        begin, prints = CPU_CLOCK(), self._guard.prints
        answer: dict[str, Any]
        try:
            function = self._function(name)
            value = function(**arguments)
        except MemoryError:
            self._namespace = {}
            answer = {"status": "crash", "content": "memory"}
        except BaseException as error:
            answer = self._raised(error)
        else:
            answer = self._returned(value)
        end = CPU_CLOCK()
        answer["cpu_us"] = (end - begin) // 1000
        answer["prints"] = self._guard.prints - prints
        self._calls += 1
        answer["again"] = (
            answer["status"] in ("ok", "error")
            and self._calls < MOST_CALLS
            and end < MOST_CPU_NS
            and USAGE(resource.RUSAGE_SELF).ru_maxrss < self._most_kb
        )
        return answer

    def _function(self, name: str) -> Callable[..., Any]:
        """Run the source, unless its state is kept, and return the function."""
        if not self._namespace or not self._keeps_state:
            if self._code is None or self._draws:
                self._chance.restart()
            if self._code is None:
                self._code = compile(self._source, "<tool>", "exec", dont_inherit=True)
            self._namespace = {"__name__": "tool", "__builtins__": dict(self._guard.names)}
            exec(self._code, self._namespace)
        if name not in self._namespace:
            raise NameError("the source does not define this function")
        function: Callable[..., Any] = self._namespace[name]
        return function

    def _raised(self, error: BaseException) -> dict[str, Any]:
        """Describe an exception by the nearest class that is not the code's own."""
        kind = next((k for k in type(error).__mro__ if k.__module__ != "tool"), BaseException)
        blocked = isinstance(error, PermissionError) and error.errno == 1
        try:
            detail = str(error)[:300].encode("utf-8", "replace").decode()
        except BaseException:
            detail = ""
        return {"status": "blocked" if blocked else "error", "content": kind.__name__, "detail": detail}

    def _returned(self, value: Any) -> dict[str, Any]:
        """Turn a result into text."""
        try:
            is_text = isinstance(value, self._text)
            text = value if is_text else self._encode(value)
            if len(text) > self._limit:
                return {"status": "crash", "content": "output"}
            text.encode()
        except MemoryError:
            return {"status": "crash", "content": "memory"}
        except BaseException:
            return {"status": "crash", "content": "json"}
        return {"status": "ok", "content": text, "kind": "text" if is_text else "json"}


def set_limits(memory_mb: int, cpu_s: int) -> None:
    """Set the limits of a child, hard ones, so that nothing raises them again."""
    limits = {
        resource.RLIMIT_AS: memory_mb * MB,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 4,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_STACK: 8 * MB,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_NPROC: 0,  # the kernel does not hold root to it: the filter does
    }
    for what, value in limits.items():
        hard = resource.getrlimit(what)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (value, value))


def run_child(wire: int, options: Mapping[str, Any], guard: Guard, chance: Chance, confinement: Filter) -> NoReturn:
    """Become the child of one program: confine it, then answer its calls until the wire ends."""
    os.dup2(wire, 0)
    os.closerange(1, MAX_DESCRIPTORS)
    confinement.die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sys.setrecursionlimit(options["recursion"])
    dumps, loads = json.JSONEncoder().encode, json.JSONDecoder().decode  # bound now: patching the module changes neither
    read, write, leave = os.read, os.write, os._exit
    runner = Runner(guard, chance, options)
    sys.modules.pop("ctypes", None)
    set_limits(options["memory_mb"], options["cpu_s"])
    confinement.install()
    write(0, b"\n")  # ready: what comes from here on is judged, and the time of a call begins
    buffer = b""
    while True:
        while b"\n" not in buffer:
            piece = read(0, 1 << 16)
            if not piece or len(buffer) > MAX_REQUEST:
                leave(0)
            buffer += piece
        line, _, buffer = buffer.partition(b"\n")
        message = loads(line.decode())
        if "source" in message:
            runner.load(message["source"])
        answer = runner.call(message["name"], message["arguments"])
        answer["id"] = message["id"]
        out = dumps(answer).encode() + b"\n"
        while out:
            out = out[write(0, out) :]


class Children:
    """The children that were forked and not yet asked to end.

    A child that has ended stays a zombie until it is named, so that its number can mean no other process.
    """

    def __init__(self, guard: Guard, chance: Chance, confinement: Filter) -> None:
        """Begin with none."""
        self._prepared = guard, chance, confinement
        self._pids: dict[int, int] = {}

    def fork(self, child: int, wire: int, options: Mapping[str, Any]) -> None:
        """Fork one; where the kernel refuses, its wire is closed, which tells."""
        try:
            pid = os.fork()
        except OSError:
            return
        if pid == 0:
            try:
                run_child(wire, options, *self._prepared)
            finally:
                os._exit(FAILED_START)
        self._pids[child] = pid

    def signal(self, child: int, number: int) -> None:
        """Send a signal, if there is such a child."""
        if child in self._pids:
            os.kill(self._pids[child], number)

    def end(self, child: int) -> int:
        """Kill a child that still runs, wait for it and return its status; -1 if there is none."""
        pid = self._pids.pop(child, 0)
        if not pid:
            return -1
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended == 0:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        return status


def serve(control: socket.socket, children: Children) -> NoReturn:
    """Do as told, until the other end closes."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 1)
        if not data:
            os._exit(0)
        request = json.loads(data)
        child, answer = request["child"], 0
        if request["op"] == "fork":
            children.fork(child, descriptors[0], request)
        elif request["op"] == "end":
            answer = children.end(child)
        else:
            children.signal(child, signal.SIGSTOP if request["op"] == "stop" else signal.SIGCONT)
        for descriptor in descriptors:
            os.close(descriptor)
        if "number" in request:
            control.send(json.dumps({"number": request["number"], "answer": answer}).encode())


def only_descriptor(given: int) -> socket.socket:
    """Return the control socket at a low number; close everything above it and let nothing be opened higher."""
    if given != CONTROL:
        os.dup2(given, CONTROL)
    if ctypes.CDLL(None).syscall(CLOSE_RANGE, CONTROL + 1, ctypes.c_uint(2**32 - 1), 0):  # fails before Linux 5.9
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        os.closerange(CONTROL + 1, max(given + 1, hard if hard != resource.RLIM_INFINITY else 1 << 20))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_DESCRIPTORS, MAX_DESCRIPTORS))
    return socket.socket(fileno=CONTROL)


def main() -> NoReturn:
    """Prepare everything that a child needs, then serve."""
    config = json.loads(sys.argv[1])
    sys.path[:0] = config["path"]
    control = only_descriptor(config["control"])
    confinement = Filter(base64.b64decode(config["filter"]))
    confinement.die_with_parent()
    freeze_clock(config["now"])
    guard = Guard(config["modules"])
    chance = Chance(config["seed"])
    gc.collect()
    gc.freeze()
    control.send(b'{"ready": 1}')
    serve(control, Children(guard, chance, confinement))


if __name__ == "__main__":
    main()
