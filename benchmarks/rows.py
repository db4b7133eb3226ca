"""A `Row`: one measured figure, with what it is measured against and what was promised.

A benchmark is a module of this folder with `run() -> list[Row]`; `benchmarks.run` finds it by that. Ours and the peer's
figure are taken in one run, in turns (`cpu_us`), so that a busy machine slows both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        name: What is measured.
        ours: Our figure.
        unit: Its unit, which is the peer's too.
        peer: What it is measured against; "floor" for a figure that was promised outright.
        peer_value: The peer's figure in the same run; None if the peer is not installed.
        target: The promise in words, e.g. "<= 1.5x"; empty if the row is only shown.
        ok: Whether it is kept; None if nothing was promised.
    """

    name: str
    ours: float
    unit: str
    peer: str
    peer_value: float | None
    target: str = ""
    ok: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict."""
        return asdict(self)


def cpu_us(loops: Mapping[str, Callable[[int], object]], *, number: int, rounds: int = 31) -> dict[str, float]:
    """Return the median CPU time per turn of several loops, in microseconds.

    Args:
        loops: Each runs its body as often as it is told.
        number: Turns per round and loop; one round should take about a millisecond or more.
        rounds: All loops run once per round, one after the other.
    """
    times: dict[str, list[float]] = {name: [] for name in loops}
    for loop in loops.values():
        loop(number)  # warm: caches, and the interpreter's specialised instructions
    for _ in range(rounds):
        for name, loop in loops.items():
            begin = time.process_time_ns()
            loop(number)
            times[name].append((time.process_time_ns() - begin) / number / 1e3)
    return {name: statistics.median(values) for name, values in times.items()}
