"""CPU seconds of a fresh `import palaestra`, against `import gymnasium` alone, which it needs."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.rows import Row

TARGET_S = 0.25
ROUNDS = 9
PROGRAM = "import {}, resource; u = resource.getrusage(resource.RUSAGE_SELF); print(u.ru_utime + u.ru_stime)"


def run() -> list[Row]:
    times: dict[str, list[float]] = {"gymnasium": [], "palaestra": []}
    for _ in range(ROUNDS):
        for module, seconds in times.items():
            done = subprocess.run([sys.executable, "-c", PROGRAM.format(module)], capture_output=True, text=True, check=True)
            seconds.append(float(done.stdout))
    ours, peer = statistics.median(times["palaestra"]), statistics.median(times["gymnasium"])
    return [Row("import palaestra", ours, "s CPU", "import gymnasium", peer, f"<= {TARGET_S} s", ours <= TARGET_S)]
