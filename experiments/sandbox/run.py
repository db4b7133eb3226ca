"""Attacks the sandbox: `python -m experiments.sandbox.run WHAT`; rows are added to `rows.jsonl`.

`escapes` runs every source of `tests/envs/sandbox/hostile` so often, and counts wrong statuses, files, packets, processes and
wrong next calls. `calls` makes 10,000 calls of 1,000 programs and compares memory, descriptors and processes. `differences`
runs the published tools in both executors and counts what differs, `programs` does so with random programs (`programs.py`),
three calls each. `kept` compares published tools and random programs in children that are kept with fresh ones, and with
`--executor monty` in sessions. `oracle` makes every published call, `killed` ends the parent
process. As an ordinary user: see the page.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

from palaestra.envs.sandbox import Sandbox
from palaestra.envs.sandbox.plain import leaves_globals_alone
from palaestra.envs.sandbox.routing import traces
from tests.envs.sandbox.hostile_list import Hostile, descendants, hostile_sources, listener

FOLDER = Path(__file__).parent
STEADY = "def f(a):\n    return {'a': a}\n"


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, run, add a row."""
    parser = argparse.ArgumentParser(prog="python -m experiments.sandbox.run", description=__doc__)
    parser.add_argument("what", choices=tuple(WAYS))
    parser.add_argument("-n", type=int, default=20, help="rounds of the list; calls of each program")
    parser.add_argument("--executor", choices=("auto", "monty", "process"), default="process")
    parser.add_argument("--rows", type=Path, default=FOLDER / "rows.jsonl", help="file to add the row to")
    options = parser.parse_args(arguments)
    begin = time.perf_counter()
    found = WAYS[options.what](options.executor, options.n)
    about = {"what": options.what, "executor": options.executor, "n": options.n, "user": os.geteuid()}
    row = {**about, "python": platform.python_version(), "wall_s": round(time.perf_counter() - begin, 1), **found}
    print(json.dumps(row))
    with options.rows.open("a", encoding="utf-8") as rows:
        rows.write(json.dumps(row) + "\n")
    return 0 if not found["failures"] else 1


def escapes(executor: str, rounds: int) -> dict[str, Any]:
    """Run the whole list over and over."""
    sources = hostile_sources()
    failures: list[str] = []
    statuses: Counter[str] = Counter()
    before = descendants()
    with tempfile.TemporaryDirectory() as folder, listener() as listening:
        marker = Path(folder) / "marker"
        sandboxes = {t: Sandbox(executor, timeout_s=t, memory_mb=128) for t in sorted({s.timeout_s for s in sources})}
        steady = {t: sandbox.load(STEADY) for t, sandbox in sandboxes.items()}
        for number in range(rounds):
            for hostile in sources:
                sandbox = sandboxes[hostile.timeout_s]
                program = sandbox.load(hostile.source)
                result = program.call("attack", {"port": listening.port, "marker": str(marker)})
                statuses[result.status] += 1
                where = f"{number}/{hostile.name}"
                failures += [f"{where}: {fault}" for fault in _faults(hostile, executor, result, marker)]
                if listening.heard():
                    failures.append(f"{where}: a packet on the loopback")
                if program.call("fine", {"number": 2}).content != "3":
                    failures.append(f"{where}: its next call is wrong")
                if steady[hostile.timeout_s].call("f", {"a": 1}).content != '{"a": 1}':
                    failures.append(f"{where}: another program's next call is wrong")
                program.close()
            told = f"round {number + 1} of {rounds}: {len(failures)} failures"
            print(told, *failures[-3:], sep="\n  ", file=sys.stderr, flush=True)
        for sandbox in sandboxes.values():
            sandbox.close()
    left = len(descendants() - before)
    failures += [f"{left} processes left"] if left else []
    return {"sources": len(sources), "calls": rounds * len(sources), "statuses": dict(statuses), "failures": failures[:50]}


def _faults(hostile: Hostile, executor: str, result: Any, marker: Path) -> list[str]:
    """Return what is wrong with the outcome of an attack."""
    found = []
    if result.status not in hostile.expected[executor]:
        found.append(f"status {result.status}: {result.content}")
    if result.ok and hostile.content is not None and result.content != hostile.content:
        found.append("content")
    if marker.exists():
        marker.unlink()
        found.append("a file outside")
    if str(marker) in result.content:
        found.append("an argument in the message")
    return found


def calls(executor: str, each: int) -> dict[str, Any]:
    """Call a thousand programs, in turns, and compare what this process holds before and after."""
    failures = []
    with Sandbox(executor, timeout_s=120, memory_mb=128) as sandbox:
        programs = [sandbox.load(f"TABLE = {{}}\ndef f(a):\n    TABLE[a] = {i}\n    return TABLE\n") for i in range(1000)]

        def play(round_number: int) -> None:
            for i, program in enumerate(programs):
                result = program.call("f", {"a": round_number})
                if result.content != json.dumps({str(round_number): i}):
                    failures.append(f"{round_number}/{i}: {result}")

        play(0)
        before = _held()
        begin = time.perf_counter()
        for number in range(1, each + 1):
            play(number)
        seconds = time.perf_counter() - begin
        after = _held()
    grown = {name: after[name] - before[name] for name in before}
    if grown["descriptors"] or grown["processes"] or grown["memory_kb"] > 4000:
        failures.append(f"grown: {grown}")
    figures = {"programs": 1000, "calls": 1000 * each, "ms_a_call": round(seconds / each, 3)}
    return {**figures, "before": before, "grown": grown, "failures": failures[:50]}


def differences(executor: str, each: int) -> dict[str, Any]:
    """Call every published tool that monty may run with other arguments, in both executors, and count what differs."""
    sources = _published()
    differ, count, elsewhere = [], 0, 0
    with Sandbox(timeout_s=120) as one, Sandbox("process", timeout_s=120) as other:
        for (name, source), schema in sources.items():
            first, second = one.load(source), other.load(source)
            if first.needs_cpython:
                elsewhere += 1
                continue
            for arguments in _variants(schema)[:each]:
                mine, theirs = first.call(name, arguments), second.call(name, arguments)
                count += 1
                if (mine.status, mine.content) != (theirs.status, theirs.content):
                    differ.append(
                        f"{name} {arguments}: {mine.status} {mine.content[:80]} | {theirs.status} {theirs.content[:80]}"
                    )
            second.close()
    return {"sources": len(sources), "need_cpython": elsewhere, "calls": count, "differ": len(differ), "failures": differ[:50]}


def programs(executor: str, each: int) -> dict[str, Any]:
    """Run random programs that the list lets into monty, under `auto` and in CPython, and count what differs."""
    from experiments.sandbox.programs import program

    found: Counter[str] = Counter()
    differ: list[str] = []
    with Sandbox("monty", timeout_s=120) as alone, Sandbox(timeout_s=120) as one, Sandbox("process", timeout_s=120) as other:
        for seed in range(each):
            source, arguments = program(seed)
            mine, bare = one.load(source), alone.load(source)
            if mine.executor != "monty":
                found["need_cpython"] += 1
                continue
            found["in_monty"] += 1
            for given in arguments:
                result, right, raw = (p.call("f", given) for p in (mine, other.load(source), bare))
                found["calls"] += 1
                found[f"answered by {result.executor}"] += 1
                found["monty alone differs"] += (raw.status, raw.content) != (right.status, right.content)
                if (result.status, result.content) != (right.status, right.content):
                    differ.append(
                        f"{seed} {given}: {result.status} {result.content[:80]} | {right.status} {right.content[:80]}"
                    )
    return {"sources": each, **found, "differ": len(differ), "failures": differ[:50]}


def kept(executor: str, each: int) -> dict[str, Any]:
    """Call published tools, and so many random programs, in kept and in fresh children or sessions, twice each."""
    from experiments.sandbox.programs import program

    found: Counter[str] = Counter()
    differ: list[str] = []
    in_monty = executor == "monty"
    line = (
        "UNUSED = []" if in_monty else "import os"
    )  # what is not on the list gets fresh children, what could change sessions
    with Sandbox(executor, timeout_s=120) as one, Sandbox(executor, timeout_s=120) as other:
        cases = [(name, source, _variants(schema)) for (name, source), schema in _published().items()]
        cases += [("f", *program(seed)) for seed in range(each)]
        for name, source, variants in cases:
            found["sources"] += 1
            if not leaves_globals_alone(source) if in_monty else traces(source):
                continue
            found["kept"] += 1
            again = f"{source}\n{line}\n"
            first, second = one.load(source), other.load(again)
            for arguments in (*variants, *variants[::-1]):
                mine, fresh = first.call(name, arguments), second.call(name, arguments)
                found["calls"] += 1
                if (mine.status, mine.content, mine.prints) != (fresh.status, fresh.content, fresh.prints):
                    differ.append(f"{name} {arguments}: {mine} | {fresh}"[:300])
            first.close()
    return {**found, "differ": len(differ), "failures": differ[:50]}


def oracle(executor: str, each: int) -> dict[str, Any]:
    """Make every published call of the fixtures, so often, and count outputs that are not the stored ones."""
    from tests.envs.sandbox.test_parity import published
    from tests.fixtures import read_rows

    codes = {row["id"]: json.loads(row["codes"]) for row in read_rows(_fixtures() / "test.jsonl")}
    found: Counter[str] = Counter()
    differ: list[str] = []
    with Sandbox(executor, timeout_s=60, output_chars=1_000_000) as sandbox:
        for row in read_rows(_fixtures() / "oracle_calls.jsonl"):
            for call in row["calls"] if row["id"] in codes else ():
                found["published"] += 1
                program = sandbox.load(codes[row["id"]][call["tool"]])
                for _ in range(each):
                    result = program.call(call["tool"], call["arguments"])
                    found["calls"] += 1
                    found[f"answered by {result.executor}"] += 1
                    if published(result) != call["output"]:
                        differ.append(f"{row['id']}/{call['tool']} {call['arguments']}: {result}"[:300])
                program.close()
    return {**found, "differ": len(differ), "failures": differ[:50]}


def killed(executor: str, each: int) -> dict[str, Any]:
    """Kill a process with -9 that has idle, busy and stopped workers, and take the time until all of them have ended."""
    from tests.envs.sandbox.test_lifetime import HUNG, alive

    seconds, counts, failures = [], [], []
    for number in range(each):
        parent = subprocess.Popen([sys.executable, "-c", HUNG, executor], stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        parent.stdout.readline()
        time.sleep(0.5)  # the busy one starts in a thread
        below = descendants(parent.pid)
        parent.kill()
        begin = time.monotonic()
        while any(map(alive, below)) and time.monotonic() < begin + 30:
            time.sleep(0.002)
        seconds.append(time.monotonic() - begin)
        counts.append(len(below))
        parent.wait()
        parent.stdout.close()
        failures += [f"{number}: {seconds[-1]:.1f} s until none was left"] if seconds[-1] > 2 or not below else []
    slowest = round(max(seconds), 3)
    return {
        "processes": sorted(set(counts)),
        "slowest_s": slowest,
        "median_s": round(median(seconds), 3),
        "failures": failures,
    }


def _fixtures() -> Path:
    """Return the folder of the published rows."""
    return Path(os.environ["PALAESTRA_FIXTURES"].split(os.pathsep)[0]) / "ftrl"


def _published() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the schemas of the published tools, by name and source."""
    from tests.fixtures import read_rows

    sources: dict[tuple[str, str], dict[str, Any]] = {}
    for row in read_rows(_fixtures() / "test.jsonl"):
        schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in json.loads(row["tools"])}
        for name, source in json.loads(row["codes"]).items():
            sources.setdefault((name, source), schemas.get(name, {}))
    return sources


def _variants(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return arguments for a schema: by type, only the required, odd ones of each type, wrong types."""
    properties, required = schema.get("properties", {}), schema.get("required", [])
    plain: dict[str, Any] = {
        "string": "Paris",
        "integer": 3,
        "number": 2.5,
        "boolean": True,
        "array": ["a", "b"],
        "object": {"a": 1},
    }
    odd: dict[str, Any] = {"string": "", "integer": -1, "number": 0, "boolean": False, "array": [], "object": {}}
    wrong: dict[str, Any] = {"string": 7, "integer": "x", "number": None, "boolean": "no", "array": {"a": 1}, "object": [1]}

    def by(table: dict[str, Any], names: Any) -> dict[str, Any]:
        given = {}
        for name in names:
            rule = properties.get(name, {})
            choices = rule.get("enum")
            given[name] = choices[0] if choices and table is not wrong else table.get(rule.get("type", "string"), "x")
        return given

    dates = {
        name: "2024-02-29" if properties[name].get("type") == "string" else plain.get(properties[name].get("type"), 1)
        for name in properties
    }
    return [by(plain, properties), by(plain, required), by(odd, properties), by(wrong, properties), dates]


def _held() -> dict[str, int]:
    """Return what this process holds, once the number of processes below it stands still: children end behind calls."""
    processes, steady = len(descendants()), 0
    while steady < 5:
        time.sleep(0.2)
        before, processes = processes, len(descendants())
        steady = steady + 1 if processes == before else 0
    status = Path("/proc/self/status").read_text(encoding="ascii")
    memory = int(status.split("VmRSS:")[1].split()[0])
    return {"memory_kb": memory, "descriptors": len(os.listdir("/proc/self/fd")), "processes": processes}


WAYS = {way.__name__: way for way in (escapes, calls, differences, programs, kept, oracle, killed)}

if __name__ == "__main__":
    sys.exit(main())
