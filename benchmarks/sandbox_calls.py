"""The sandbox beside a fresh interpreter and a fresh bubblewrap: warm call, first call, start, memory.

The call is that of one small function with arguments and a result of 200 bytes. All ways take turns in one run. Wall time,
since the work is done in other processes; the lower quartile of the turns, since the machine is shared.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.rows import Row
from palaestra.envs.sandbox import Sandbox
from palaestra.envs.sandbox.bubblewrap import confined_command, find_bubblewrap, python_command
from palaestra.envs.sandbox.monty import is_installed

SOURCE = "def f(text, number):\n    return {'text': text, 'number': number + 1}\n"
ARGUMENTS = {"text": "x" * 170, "number": 3}
ROUNDS = 60
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
    with Sandbox("monty", timeout_s=60) as monty, Sandbox("process", timeout_s=60) as process:
        warm = {"monty": monty.load(SOURCE), "process": process.load(SOURCE)}
        count = iter(range(10**9))

        def first(sandbox: Sandbox) -> None:
            program = sandbox.load(f"# {next(count)}\n{SOURCE}")
            assert program.call("f", ARGUMENTS).ok
            program.close()

        ways: dict[str, Callable[[], object]] = {
            "monty": lambda: [warm["monty"].call("f", ARGUMENTS) for _ in range(10)],
            "process": lambda: [warm["process"].call("f", ARGUMENTS) for _ in range(10)],
            "monty first": lambda: first(monty),
            "process first": lambda: first(process),
            "subprocess": lambda: _output(python_command(ALONE, SOURCE)),
            "bubblewrap": lambda: _output(_without_filter(python_command(ALONE, SOURCE))),
        }
        ms = _lower_quartiles(ways)
        ms["monty"] /= 10
        ms["process"] /= 10
    starts = _lower_quartiles({name: lambda name=name: _start(name) for name in ("monty", "process")}, rounds=12)
    memory = _idle_memory_mb()
    alone, wrapped = ms["subprocess"], ms["bubblewrap"]

    def row(name: str, ours: float, peer: str, peers: float, target: str, most: float) -> Row:
        return Row(f"sandbox: {name}", ours, "ms", peer, peers, target, ours <= peers * most)

    return [
        row("call, monty", ms["monty"], "subprocess", alone, "<= 1/50", 1 / 50),
        row("call, monty", ms["monty"], "fresh bubblewrap", wrapped, "<= 1/100", 1 / 100),
        row("call, process", ms["process"], "fresh bubblewrap", wrapped, "<= 1/100", 1 / 100),
        row("first call of a source, monty", ms["monty first"], "subprocess", alone, "<= 1/16", 1 / 16),
        row("first call of a source, process", ms["process first"], "fresh bubblewrap", wrapped, "<= 1/4", 1 / 4),
        row("start to first answer, monty", starts["monty"], "fresh bubblewrap", wrapped, "<= 3x", 3),
        row("start to first answer, process", starts["process"], "fresh bubblewrap", wrapped, "<= 10x", 10),
        Row("sandbox: idle worker of monty", memory, "MB", "floor", 16.0, "<= 16 MB", memory <= 16),
    ]


def _lower_quartiles(ways: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Return the lower quartile of milliseconds of each way, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            times[name].append((time.perf_counter() - begin) * 1e3)
    return {name: statistics.quantiles(values, n=4)[0] for name, values in times.items()}


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


def _idle_memory_mb() -> float:
    """Return the resident memory of a worker of monty that has answered."""
    with Sandbox("monty", timeout_s=60) as sandbox:
        sandbox.load(SOURCE).call("f", ARGUMENTS)
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    status = Path(f"/proc/{entry}/status").read_text(encoding="ascii")
                except OSError:
                    continue
                if f"PPid:\t{os.getpid()}\n" in status and "Name:\tmonty\n" in status:
                    return int(status.split("VmRSS:")[1].split()[0]) / 1024
    return float("nan")


if __name__ == "__main__":
    for row in run():
        print(row, file=sys.stderr)
