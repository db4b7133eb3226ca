"""Which executors of the sandbox work on this machine, how fast, and whether a list of escapes stays inside.

The escapes are in `escapes.toml`: sources that define `attack(port, marker)`, each with the statuses that are right.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from palaestra.envs.sandbox import monty
from palaestra.envs.sandbox.bubblewrap import INSTALL, find_bubblewrap
from palaestra.envs.sandbox.sandbox import Sandbox
from palaestra.errors import UsageError

TIMED_CALLS = 100
ESCAPE_TIMEOUT_S = 5.0
_STEADY = "def f(value):\n    return {'value': value}\n"


@dataclass(frozen=True, slots=True)
class Finding:
    """One point that was looked at.

    Attributes:
        name: What was looked at.
        works: Whether it works here.
        told: What was found, and what to do if it does not work.
    """

    name: str
    works: bool
    told: str

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict."""
        return asdict(self)


def examine() -> Iterator[Finding]:
    """Yield what was found, point by point; workers are started and ended on the way."""
    version = monty.version()
    yield Finding("monty", bool(version), version or "not installed: pip install 'palaestra[sandbox]'")
    if version:
        yield from _executor_findings("monty")
    bwrap = find_bubblewrap()
    yield Finding("bubblewrap", bool(bwrap), _version_of(bwrap) if bwrap else f"not installed. {INSTALL}.")
    if bwrap:
        yield from _executor_findings("process")


def escapes() -> list[dict[str, Any]]:
    """Return the list of escapes: `name`, `source`, and under "monty" and "process" the statuses that are right."""
    text = Path(__file__).with_name("escapes.toml").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = tomllib.loads(text)["escape"]
    return rows


def _executor_findings(executor: str) -> Iterator[Finding]:
    """Yield whether an executor starts, how fast it is, and whether escapes stay inside."""
    try:
        with Sandbox(executor, timeout_s=ESCAPE_TIMEOUT_S) as sandbox:
            begin = time.perf_counter()
            program = sandbox.load(_STEADY)
            first = program.call("f", {"value": 1})
            start_ms = (time.perf_counter() - begin) * 1e3
            told = f"{start_ms:.0f} ms until the first answer" if first.ok else first.content
            yield Finding(f"{executor}: start", first.ok, told)
            if not first.ok:
                return
            times = [_timed(program) for _ in range(TIMED_CALLS)]
            yield Finding(f"{executor}: call", True, f"{median(times):.3f} ms in the median of {TIMED_CALLS}")
            yield _escape_finding(executor, sandbox)
    except UsageError as error:
        yield Finding(f"{executor}: start", False, str(error))


def _timed(program: Any) -> float:
    """Return how many milliseconds a call takes."""
    begin = time.perf_counter()
    program.call("f", {"value": 1})
    return (time.perf_counter() - begin) * 1e3


def _escape_finding(executor: str, sandbox: Sandbox) -> Finding:
    """Run the list and count what went wrong."""
    wrong = []
    rows = escapes()
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        marker = Path(folder) / "marker"
        arguments = {"port": listener.getsockname()[1], "marker": str(marker)}
        for row in rows:
            result = sandbox.load(row["source"]).call("attack", arguments)
            if result.status not in row[executor]:
                wrong.append(f"{row['name']} ended as {result.status}")
            if marker.exists():
                marker.unlink()
                wrong.append(f"{row['name']} wrote a file outside")
            if _was_called(listener):
                wrong.append(f"{row['name']} reached a server outside")
            if not sandbox.load(_STEADY).call("f", {"value": 1}).ok:
                wrong.append(f"the call after {row['name']} failed")
    told = "; ".join(wrong) if wrong else f"{len(rows)} of {len(rows)} stayed inside"
    return Finding(f"{executor}: escapes", not wrong, told)


def _was_called(listener: socket.socket) -> bool:
    """Whether somebody connected."""
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def _version_of(bwrap: str) -> str:
    """Return the version of bubblewrap, and where it is."""
    said = subprocess.run([bwrap, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return f"{said or 'unknown version'} ({bwrap})"
