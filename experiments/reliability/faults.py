"""What do 512 requests in flight make of a server that fails in every way? Nothing may be lost, doubled, scored, or shown.

    python -m experiments.reliability.faults [-n 1024] [--concurrency 512]

`palaestra evaluate` plays against a server on loopback whose answers go through all faults of the tests in turn
(statuses, resets, cut and dripped bodies, wrong encodings, endless and packed bodies, redirects) with good answers
between them, once by each client, with a marked key, marked headers and a marked query. Every episode has to end
once, with a score or an error of the model, and no byte of the store, the report or the terminal may hold a mark. One
row a client is added to `faults.jsonl`.

It runs from a checkout: the server is that of `tests/agents/backends`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import sqlite3
import tempfile
import time
import zlib
from itertools import cycle
from pathlib import Path
from typing import Any

from experiments.common.rows import append_row, folder_of
from palaestra.agents.store.store import FILE_NAME, RunStore
from palaestra.cli.main import main as palaestra
from tests.agents.backends.fault_server import FAULTS, REDIRECTS, fault_server

MARK = b"mk9"
LEFT_OUT = ("hang", "drip", "500 endless", "huge")
"""Faults that last until a time limit, of which a few are planned: their bytes would be all that is measured."""


def bytes_written(folder: Path) -> bytes:
    """Return everything under a folder, what is compressed in a store as it was before."""
    found = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    for file in folder.rglob(FILE_NAME):
        connection = sqlite3.connect(file)
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f"SELECT * FROM {table}"):
                found += [zlib.decompress(cell) for cell in row if isinstance(cell, bytes) and cell[:1] == b"x"]
                found.append(repr(row).encode())
        connection.close()
    return b"\n".join(found)


def attack(client: str, episodes: int, concurrency: int, folder: Path, timeout: str = "20") -> dict[str, Any]:
    """Play against the failing server; return what came of it.

    Args:
        client: "aiohttp" or "openai".
        episodes: To play.
        concurrency: In flight at once.
        folder: For the store.
        timeout: Seconds for a request.
    """
    names = [name for name in (*FAULTS, *REDIRECTS) if name not in LEFT_OUT]
    with fault_server() as server:
        turns = cycle([*(part for name in names for part in (name, "ok")), "ok"])
        server.plan.extend(next(turns) for _ in range(episodes * 12))
        for at, name in enumerate(LEFT_OUT * 4):
            server.plan[at * episodes // (4 * len(LEFT_OUT))] = name
        words = ["evaluate", "--env", "palaestra/TextCraft-v0", "--set", "recipes=procedural", "--run", "faults", "--json"]
        words += ["--model", f"{server.base_url}?sig=mk9-query#stub", "--option", "api_key=mk9-key"]
        words += ["--option", "headers={X-Team='mk9-header'}", "--option", f"client={client}", "--retries", "1"]
        words += ["--timeout", timeout, "--option", "max_response_bytes=1000000", "--max-turns", "2", "-n", str(episodes)]
        words += ["--concurrency", str(concurrency), "--runs", str(folder)]
        out, err = io.StringIO(), io.StringIO()
        started = time.monotonic()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = palaestra(words)
        seconds = time.monotonic() - started
        num_requests = len(server.received)
    with RunStore(folder, read_only=True) as store:
        lines = store.episodes("faults")
        played = sum(1 for _ in store.trajectories("faults"))
    ids = [line.episode_id for line in lines]
    errors = [line for line in lines if line.error_boundary]
    return {
        "client": client,
        "in_flight": concurrency,
        "code": code,
        "episodes": len(ids),
        "requests": num_requests,
        "lost": episodes - len(set(ids)) + len(ids) - played,
        "doubled": len(ids) - len(set(ids)),
        "errors": len(errors),
        "errors_of_others": sum(line.error_boundary != "model" for line in errors),
        "errors_with_a_score": sum(line.score is not None for line in errors),
        "neither": sum(line.score is None for line in lines if not line.error_boundary),
        "secrets": sum(data.count(MARK) for data in (bytes_written(folder), out.getvalue().encode(), err.getvalue().encode())),
        "seconds": round(seconds, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    """Run the attack by each client and add the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=1024)
    parser.add_argument("--concurrency", type=int, default=512)
    parser.add_argument("--client", action="append", choices=("aiohttp", "openai"))
    given = parser.parse_args()
    for client in given.client or ("aiohttp", "openai"):
        with tempfile.TemporaryDirectory() as folder:
            row = {"attack": "faults", **attack(client, given.n, given.concurrency, Path(folder))}
        append_row(folder_of("reliability") / "faults.jsonl", row)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
