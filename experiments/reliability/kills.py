"""Does a killed command lose, double or change anything? `evaluate` and `train` are killed as command lines, then resumed.

    python -m experiments.reliability.kills evaluate [-n 50] [--seed 0] [--seconds 300]
    python -m experiments.reliability.kills train [-n 50] [--seed 0] [--seconds 600]

A command that nobody disturbs gives the reference. Then commands are started and killed (SIGKILL; every fourth time
Ctrl-C) at random instants from the first moment of the process to after its report, one to eight times on the same
store, and resumed until they end. Half of the kills wait for a short stage first (planning, saving, the report), which
a random instant seldom meets, and fall some milliseconds later. Store, checkpoints, final weights and the printed
result have to be those of the reference. One row is added to `kills.jsonl`. `--seconds` ends the attack early; the row
says how many kills were made.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.common.rows import append_row, folder_of
from palaestra.agents.store.store import FILE_NAME, RunStore

TIMES = {
    "model_s",
    "env_s",
    "finished_s",
    "created_s",
    "updated_s",
    "seconds",
    "cpu_seconds",
    "report",
    "folder",
    "policy_path",
}
TIMED = ("_s", "seconds", "_per_second", "seconds_update", "seconds_collect", "seconds_cpu")

EVALUATE = (
    "evaluate",
    "--env",
    "palaestra/TextCraft-v0",
    "--set",
    "recipes=procedural",
    "--model",
    "random",
    "--model",
    "expert",
)
EVALUATE += ("-n", "300", "--run", "a", "--run", "b")  # fmt: skip
TRAIN_RECIPE = """
name = "killed"
phases = ["sft", "grpo"]
[env]
id = "palaestra/TextCraft-v0"
recipes = "procedural"
depth = [1, 1]
name_words = 1
num_names = 20
distractors = 0
max_ingredients = 1
max_count = 1
[model]
hidden_size = 16
num_layers = 1
num_heads = 2
intermediate_size = 16
vocab_size = 400
max_positions = 512
corpus_episodes = 20
[agent]
format = "text"
instructions = false
max_tokens_per_turn = 8
[evaluation]
n = 8
max_turns = 3
[checkpoint]
every = 2
[sft]
episodes = 32
batch_size = 8
epochs = 1
[grpo]
steps = 6
tasks_per_step = 2
group_size = 2
[horizon]
rounds = [2]
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Exit code, negative for a signal.
        out: What it printed.
        err: What it said.
        was_killed: Whether a signal was sent.
    """

    code: int
    out: str
    err: str
    was_killed: bool


def run(
    words: tuple[str, ...],
    folder: Path,
    kill_s: float | None = None,
    number: int = signal.SIGKILL,
    waits_for: str | None = None,
) -> Ended:
    """Run a command on a store, and end it after a while.

    Args:
        words: The command, without the store.
        folder: Of the store.
        kill_s: Seconds until the kill; None for no kill.
        number: Signal to send.
        waits_for: Stage that has to be reached first; the seconds then count from there.
    """
    command = [sys.executable, "-m", "palaestra.cli.main", *words, "--runs", str(folder), "--json"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=_listen,  # in the background, shells have their children ignore Ctrl-C
    )
    sent = False
    if kill_s is not None:
        while waits_for is not None and process.poll() is None and not STAGES[waits_for](folder):
            time.sleep(0.002)
        try:
            process.wait(kill_s)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            sent = True
    out, err = process.communicate()
    return Ended(process.returncode, out, err, sent)


def _listen() -> None:
    """Have a new process take Ctrl-C as in the foreground."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def timeless(value: Any) -> Any:
    """Return plain data without times and paths."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in TIMES and not k.endswith(TIMED)}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def everything(folder: Path) -> dict[str, Any]:
    """Return all that a store holds, times aside: runs, episodes, metrics, and the digests of models."""
    found: dict[str, Any] = {}
    with RunStore(folder, read_only=True) as store:
        for one in sorted(store.runs(), key=lambda one: one.run_id):
            name = one.run_id
            summaries = [timeless(line.to_json()) for line in store.episodes(name)]
            ids = [line["episode_id"] for line in summaries]
            found[name] = {
                "run": timeless(one.to_json()),
                "doubled": len(ids) - len(set(ids)),
                "summaries": sorted(json.dumps(line, sort_keys=True) for line in summaries),
                "episodes": sorted(json.dumps(timeless(t.to_json()), sort_keys=True) for t in store.trajectories(name)),
                "metrics": timeless(list(store.metrics(name))),
            }
    models = {str(path.relative_to(folder)): path for path in folder.rglob("*.safetensors")}
    found["models"] = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sorted(models.items())}
    found["drafts"] = [path.name for path in folder.rglob(".draft-*")]
    found["reports"] = sorted(str(path.relative_to(folder)) for path in folder.rglob("report.html"))
    return found


def statuses(folder: Path) -> list[str] | None:
    """Return the status of every run; None before there is a store."""
    try:
        connection = sqlite3.connect(f"file:{folder / FILE_NAME}?mode=ro", uri=True)
        found = [row[0] for row in connection.execute("SELECT status FROM runs")]
        connection.close()
        return found
    except sqlite3.Error:
        return None


def is_over(folder: Path) -> bool:
    """Tell whether all runs have been played."""
    found = statuses(folder)
    return bool(found) and all(status == "finished" for status in found or ())


STAGES: dict[str, Callable[[Path], bool]] = {
    "while planning": lambda folder: (folder / FILE_NAME).exists(),
    "while saving": lambda folder: any(folder.glob("**/.draft-*")) or any(folder.glob("**/.*.draft")),
    "before the report": lambda folder: is_over(folder) and not any(folder.rglob("report.html")),
}
"""Short stages, and how they are known from outside (a checkpoint or a report that is being saved has another name)."""


def stage(folder: Path) -> str:
    """Say where a kill fell: before anything was stored, in play, while something was saved, around the report."""
    found = statuses(folder)
    if found is None:
        return "at the start"
    if not found:
        return "while planning"
    for name in ("while saving", "before the report"):
        if STAGES[name](folder):
            return name
    return "after the report" if is_over(folder) else "in play"


def attack(words: tuple[str, ...], kills: int, seed: int, seconds: float, most_in_a_row: int = 8) -> Counter[str]:
    """Kill a command again and again; return what came of it.

    Args:
        words: The command, without the store.
        kills: Signals to send in all.
        seed: Draws the instants.
        seconds: Time after which no new round begins.
        most_in_a_row: Kills on one store, at most.
    """
    draw, count, until = random.Random(seed), Counter[str](), time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place) / "whole"
        started = time.monotonic()
        reference = run(words, whole)
        length_s = time.monotonic() - started
        assert reference.code == 0, reference.err
        expected = everything(whole)
        while count["kills"] < kills and time.monotonic() < until:
            folder = Path(place) / f"round-{count['rounds']}"
            count["rounds"] += 1
            for _ in range(draw.randint(1, most_in_a_row)):
                number = signal.SIGINT if draw.random() < 0.25 else signal.SIGKILL
                aim = draw.choice((None, None, None, *STAGES)) if not is_over(folder) else None
                wait_s = draw.uniform(0.05, length_s) if aim is None else draw.uniform(0.0, 0.03)
                ended = run(words, folder, wait_s, number, aim)
                if ended.was_killed:
                    count["kills"] += 1
                    where = stage(folder)
                    count[f"kills {where}"] += 1
                    count["Ctrl-C"] += number == signal.SIGINT
                    says_how = "interrupted" in ended.err or where in ("at the start", "while planning")
                    if number == signal.SIGINT and "KeyboardInterrupt" in ended.err and "palaestra" not in ended.err:
                        count["Ctrl-C before Python was up"] += 1  # in its own start: no line of ours has run
                    elif ended.code not in (0, 130, -number) or (ended.code == 130 and not says_how):
                        _note(count, "unclear ends", ended)
                    if where == "after the report":
                        break
                elif ended.code != 0:
                    _note(count, "unclear ends", ended)
            started = time.monotonic()
            _resume(words, folder, reference, expected, count)
            length_s = min(length_s, max(2.0, 2.0 * (time.monotonic() - started)))  # the machine may have been busy at first
    count["seconds of the whole command"] = round(length_s, 1)
    return count


def _resume(words: tuple[str, ...], folder: Path, reference: Ended, expected: dict[str, Any], count: Counter[str]) -> None:
    """Resume a command to its end and compare what there is with the reference."""
    ended = run(words, folder)
    if ended.code != 0:
        _note(count, "not resumed", ended)
        return
    found = everything(folder)
    for name, wanted in expected.items():
        got = found.get(name)
        if name not in found:
            count["lost runs"] += 1
        elif isinstance(wanted, dict) and "episodes" in wanted:
            count["episodes"] += len(got["episodes"])
            count["lost"] += max(0, len(wanted["episodes"]) - len(got["episodes"]))
            count["doubled"] += got["doubled"] + max(0, len(got["episodes"]) - len(wanted["episodes"]))
        if got != wanted:
            count["changed"] += 1
            parts = [key for key in wanted if got is None or got.get(key) != wanted[key]] if isinstance(wanted, dict) else []
            print(f"{folder.name}: {name} differs in {parts or got}", flush=True)
    if timeless(json.loads(ended.out)) != timeless(json.loads(reference.out)):
        count["other results printed"] += 1


def _note(count: Counter[str], what: str, ended: Ended) -> None:
    """Count an end that should not be, and show it."""
    count[what] += 1
    print(f"{what}: {ended.code} {ended.err[-600:]}", flush=True)


def main() -> None:
    """Run the attack and add its row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("evaluate", "train"))
    parser.add_argument("-n", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=600.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "killed.toml"
        recipe.write_text(TRAIN_RECIPE, encoding="utf-8")
        words = EVALUATE if given.command == "evaluate" else ("train", str(recipe), "--run", "t", "--plain")
        count = attack(words, given.n, given.seed, given.seconds)
    failures = {key: count[key] for key in ("lost", "doubled", "changed", "lost runs", "not resumed", "unclear ends")}
    row = {"attack": "kills", "command": given.command, "seed": given.seed, **count, **failures}
    append_row(folder_of("reliability") / "kills.jsonl", row)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
