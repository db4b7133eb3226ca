"""Is damage to a run store ever silent? A store is damaged at random, many times, and everything in it is read.

    python -m experiments.reliability.stores [-n 500] [--seed 0]

Half of the kinds damage the file of a store that was closed, half the write-ahead log of one whose process was killed.
Each trial flips a bit, overwrites, zeroes or swaps bytes, or cuts the file off; then every run, summary, trajectory
and metric is read, and the store is checked and repaired. Reading has to give what was stored or a `StoreError`; what
a repair saves has to be what was stored. One row for each kind of damage is added to `stores.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import palaestra  # noqa: F401  registers the environments
from experiments.common.rows import append_row, folder_of
from palaestra.agents.evaluation.evaluation import evaluate
from palaestra.agents.reference import ExpertAgent, RandomAgent
from palaestra.agents.store.check import check_store
from palaestra.agents.store.store import FILE_NAME, RunStore
from palaestra.errors import StoreError

KINDS = ("bit", "bytes", "zeroes", "page", "swap", "cut")
LOG = "log, "
ALL_KINDS = (*KINDS, *(f"{LOG}{kind}" for kind in KINDS))
PAGE = 4096

NAMES = (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm")
KILLED = "killed"

Content = dict[tuple[str, ...], str]


def make_store(folder: Path, episodes: int = 40) -> None:
    """Play a small store: two evaluations and measurements. Its folder `killed` has the files as a kill would leave them."""
    env_kwargs = {"recipes": "procedural"}
    with RunStore(folder) as store:
        store._connection.execute("PRAGMA wal_autocheckpoint = 0")  # all of it lies in the log
        for run_id, agent in (("expert", ExpertAgent()), ("random", RandomAgent(seed=1))):
            evaluate("palaestra/TextCraft-v0", agent, n=episodes, env_kwargs=env_kwargs, store=store, run_id=run_id)
        for step in range(200):
            store.log_metrics("expert", step, {"loss": 1.0 / (step + 1)})
        killed = folder / KILLED
        killed.mkdir()
        for name in NAMES:
            shutil.copyfile(folder / name, killed / name)


def content(folder: Path) -> tuple[Content, list[str]]:
    """Read all of a store; return what was read, and the errors of what could not be."""
    found: Content = {}
    errors: list[str] = []

    def take(key: tuple[str, ...], read: Callable[[], Any]) -> None:
        try:
            found[key] = json.dumps(read(), sort_keys=True)
        except StoreError as error:
            errors.append(str(error))

    try:
        with RunStore(folder, read_only=True) as store:
            take(("runs",), lambda: sorted(run.run_id for run in store.runs()))
            for run_id in json.loads(found.get(("runs",), '["expert", "random"]')):
                take(("run", run_id), lambda run_id=run_id: store.run(run_id).to_json())
                take(("metrics", run_id), lambda run_id=run_id: store.metrics(run_id))
                take(("summaries", run_id), lambda run_id=run_id: [line.to_json() for line in store.episodes(run_id)])
                take(("finished", run_id), lambda run_id=run_id: sorted(store.finished(run_id)))
                for episode in json.loads(found.get(("finished", run_id), "[]")):
                    take(("episode", run_id, episode), lambda run_id=run_id, e=episode: store.get(run_id, e).to_json())
    except StoreError as error:
        errors.append(str(error))
    return found, errors


def damage(data: bytes, kind: str, draw: random.Random) -> bytes:
    """Return damaged bytes."""
    changed, at = bytearray(data), draw.randrange(len(data))
    if kind == "bit":
        changed[at] ^= 1 << draw.randrange(8)
    elif kind == "bytes":
        changed[at : at + 64] = draw.randbytes(len(changed[at : at + 64]))
    elif kind == "zeroes":
        changed[at : at + 512] = bytes(len(changed[at : at + 512]))
    elif kind == "page":
        at -= at % PAGE
        changed[at : at + PAGE] = draw.randbytes(len(changed[at : at + PAGE]))
    elif kind == "swap":
        one, other = (PAGE * draw.randrange(1, len(data) // PAGE) for _ in range(2))
        changed[one : one + PAGE], changed[other : other + PAGE] = data[other : other + PAGE], data[one : one + PAGE]
    else:
        del changed[at:]
    return bytes(changed)


def attack(source: Path, kinds: Iterable[str], seed: int = 0) -> dict[str, Counter[str]]:
    """Damage copies of a store, read and repair each; return what came of it, by kind of damage.

    Args:
        source: Folder of a whole store.
        kinds: Kinds of damage, one trial each.
        seed: Draws places and bytes.
    """
    whole, errors = content(source)
    assert not errors, errors
    closed = {FILE_NAME: (source / FILE_NAME).read_bytes()}
    killed = {name: (source / KILLED / name).read_bytes() for name in NAMES}
    draw = random.Random(seed)
    counts: dict[str, Counter[str]] = {}
    for kind in kinds:
        count = counts.setdefault(kind, Counter())
        count["trials"] += 1
        with tempfile.TemporaryDirectory() as folder:
            files, name = (killed, NAMES[1]) if kind.startswith(LOG) else (closed, FILE_NAME)
            for each, data in files.items():
                data = damage(data, kind.removeprefix(LOG), draw) if each == name else data
                (Path(folder) / each).write_bytes(data)
            _trial(Path(folder), whole, count)
    return counts


def _trial(folder: Path, whole: Content, count: Counter[str]) -> None:
    """Read and repair one damaged store."""
    try:
        found, errors = content(folder)
        count["refused" if errors else "read"] += 1
        if any(found[key] != whole.get(key) for key in found):
            count["silently changed"] += 1
        elif not errors and found.keys() != whole.keys():
            count["silently lost"] += 1
    except Exception:  # anything but a StoreError is a fault of ours
        count["other errors"] += 1
        return
    try:
        checked = check_store(folder, repair=True)
    except StoreError:
        count["nothing to save"] += 1
        return
    except Exception:
        count["other errors"] += 1
        return
    if errors and checked.is_whole:
        count["check missed it"] += 1
    saved, wrong = content(folder)
    episodes = [key for key in whole if key[0] == "episode"]
    kept = [key for key in episodes if key in saved]
    count["episodes saved"] += len(kept)
    count["episodes lost"] += len(episodes) - len(kept)
    if wrong or any(saved[key] != whole[key] for key in kept):
        count["saved wrongly"] += 1


def main() -> None:
    """Run the attack and add its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=ALL_KINDS)
    given = parser.parse_args()
    kinds = given.kind or ALL_KINDS
    with tempfile.TemporaryDirectory() as folder:
        make_store(Path(folder))
        counts = attack(Path(folder), (kinds[i % len(kinds)] for i in range(given.n)), given.seed)
    for kind, count in counts.items():
        row = {"attack": "stores", "kind": kind, "seed": given.seed, **count}
        append_row(folder_of("reliability") / "stores.jsonl", row)
        print(json.dumps(row))


if __name__ == "__main__":
    main()
