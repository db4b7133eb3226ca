"""The sandbox next to a fresh interpreter and a fresh bubblewrap: warm call, first call, start, memory.

The call is that of one small function with arguments and a result of 200 bytes. All ways take turns in one run. Calls are
counted in CPU time of everything that takes part (this process, its workers, what they started), starts in wall time.

The bars are those of a quiet machine, where a fresh interpreter takes 8 ms and a fresh bubblewrap 17: a call of 0.15 ms in
monty and of 0.1 ms in a child that is kept, a first call of 0.5 and of 3 ms, a start of 50 and of 150 ms, as shares of these.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.rows import Row
from palaestra.envs.sandbox import Sandbox
from palaestra.envs.sandbox.bubblewrap import confined_command, find_bubblewrap, python_command
from palaestra.envs.sandbox.monty import is_installed

SOURCE = "def f(text, number):\n    return {'text': text, 'number': number + 1}\n"
ARGUMENTS = {"text": "x" * 170, "number": 3}
FRESH_SOURCE = f"import os\n{SOURCE}"
"""A module that is not on the list of what leaves no trace: each call has a child of its own."""
ROUNDS = 20
CALLS = 20
FORKED_CALLS = 100
"""Calls with a child each: the kernel tells the time of processes that have ended in hundredths of a second."""
ALONE = """\
import json, sys
namespace = {}
exec(sys.argv[1], namespace)
print(json.dumps(namespace["f"](**json.loads(sys.argv[2]))))
"""


def run() -> list[Row]:
    """Measure what is installed here."""
    if not (is_installed() and find_bubblewrap()):
        return []
    with Sandbox("monty", timeout_s=60) as monty, Sandbox("process", timeout_s=60, programs=2 * ROUNDS) as process:
        warm = {"monty": monty.load(SOURCE), "process": process.load(SOURCE), "stateful": process.load(SOURCE, stateful=True)}
        warm["fresh"] = process.load(FRESH_SOURCE)
        count = iter(range(10**9))
        kept = []

        def first(sandbox: Sandbox) -> None:
            kept.append(sandbox.load(f"# {next(count)}\n{SOURCE}"))
            assert kept[-1].call("f", ARGUMENTS).ok

        ways: dict[str, Callable[[], object]] = {
            "monty": lambda: [warm["monty"].call("f", ARGUMENTS) for _ in range(CALLS)],
            "process": lambda: [warm["process"].call("f", ARGUMENTS) for _ in range(CALLS)],
            "stateful": lambda: [warm["stateful"].call("f", ARGUMENTS) for _ in range(CALLS)],
            "fresh": lambda: [warm["fresh"].call("f", ARGUMENTS) for _ in range(FORKED_CALLS)],
            "monty first": lambda: first(monty),
            "process first": lambda: first(process),
            "subprocess": lambda: _output(python_command(ALONE, SOURCE)),
            "bubblewrap": lambda: _output(_without_filter(python_command(ALONE, SOURCE))),
        }
        ms = _medians(ways, cpu_ms, ROUNDS)
        memory = _memory_mb()
    starts = _medians({name: lambda name=name: _start(name) for name in ("monty", "process")}, _wall_ms, 9)
    bare = _medians({"bubblewrap": ways["bubblewrap"]}, _wall_ms, 9)["bubblewrap"]
    call = {name: ms[name] / CALLS for name in ("monty", "process", "stateful")}
    call["fresh"] = ms["fresh"] / FORKED_CALLS
    alone, wrapped = ms["subprocess"], ms["bubblewrap"]

    def row(name: str, ours: float, peer: str, peers: float, target: str, most: float) -> Row:
        return Row(f"sandbox: {name}", ours, "ms", peer, peers, target, ours <= peers * most)

    return [
        row("call, monty (CPU)", call["monty"], "subprocess", alone, "<= 1/50", 1 / 50),
        row("call, monty (CPU)", call["monty"], "fresh bubblewrap", wrapped, "<= 1/100", 1 / 100),
        row("call, process (CPU)", call["process"], "fresh bubblewrap", wrapped, "<= 1/170", 1 / 170),
        row("call of a stateful program, process (CPU)", call["stateful"], "fresh bubblewrap", wrapped, "<= 1/25", 1 / 25),
        row("call in a fresh child, process (CPU)", call["fresh"], "fresh bubblewrap", wrapped, "<= 1/4", 1 / 4),
        row("first call of a source, monty (CPU)", ms["monty first"], "subprocess", alone, "<= 1/16", 1 / 16),
        row("first call of a source, process (CPU)", ms["process first"], "fresh bubblewrap", wrapped, "<= 3/17", 3 / 17),
        row("start to first answer, monty (wall)", starts["monty"], "fresh bubblewrap", bare, "<= 50/17", 50 / 17),
        row("start to first answer, process (wall)", starts["process"], "fresh bubblewrap", bare, "<= 150/17", 150 / 17),
        Row("sandbox: idle worker of monty", memory, "MB", "floor", 12.0, "<= 12 MB", memory <= 12),
    ]


def _medians(ways: dict[str, Callable[[], object]], clock: Callable[[bool], float], rounds: int) -> dict[str, float]:
    """Return the median of each way by a clock in milliseconds, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            begin = clock(False)
            way()
            times[name].append(clock(True) - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def _wall_ms(is_end: bool) -> float:
    """Return the wall's time in milliseconds."""
    return time.perf_counter() * 1e3


def cpu_ms(is_end: bool) -> float:
    """Return the CPU time of this process, of all processes below it, and of those that they waited for.

    Looking is work as well: this process's own time is read first at the end of a measurement, and last at its beginning.
    """
    own = time.process_time()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for pid in _below():
        with contextlib.suppress(OSError):  # a child that ends now
            for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                total += int(task.read_text(encoding="ascii").split()[0]) / 1e9
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            total += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return (total + (own if is_end else time.process_time())) * 1e3


def _below() -> list[int]:
    """Return the living processes below this one."""
    found, level = [], [os.getpid()]
    while level:
        pid = level.pop()
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                level += (new := [int(word) for word in children.read_text(encoding="ascii").split()])
                found += new
    return found


def _output(command: list[str]) -> bytes:
    """Run a command with the arguments and return what it prints."""
    return subprocess.run([*command, json.dumps(ARGUMENTS)], capture_output=True, check=True).stdout


def _without_filter(command: list[str]) -> list[str]:
    """Return a command in bubblewrap, as the keeper's, without the filter."""
    words = confined_command(find_bubblewrap(), 0, [], command)
    at = words.index("--seccomp")
    return words[:at] + words[at + 2 :]


def _start(executor: str) -> None:
    """Start a sandbox, call once, end it."""
    with Sandbox(executor, timeout_s=60) as sandbox:
        assert sandbox.load(SOURCE).call("f", ARGUMENTS).ok


def _memory_mb() -> float:
    """Return the resident memory of a worker of monty that has answered."""
    for pid in _below():
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        if "Name:\tmonty\n" in status:
            return int(status.split("VmRSS:")[1].split()[0]) / 1024
    return float("nan")
