"""ToolForge: a step with tables and with Python tools, building and proving, scoring the published way, opening a file.

A step is a message with one golden call of `paper_like`, played through the environment; the same instances are played with
their tables and with the Python sources that these export, in the sandbox. The peer runs such a source as the published
scorer does: `exec` of the source for every call, in a thread that is joined with a time limit, without any protection; it
runs in a process of its own. All is CPU time, of everything that takes part.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.rows import Row
from benchmarks.sandbox_calls import cpu_ms
from palaestra.envs.formats.hermes import format_message
from palaestra.envs.toolforge import Instance, open_instances, write_instances
from palaestra.envs.toolforge.build import build_many
from palaestra.envs.toolforge.env import ToolForgeEnv
from palaestra.envs.toolforge.published import play
from palaestra.envs.toolforge.tables import source_of
from palaestra.types import Message, ToolCall

NUM_PLAYED = 20
NUM_BUILT = 1000
NUM_OPENED = 10_000
ROUNDS = 3
REPEATS = 10
_PUBLISHED = """
import json, sys, threading, time

def call(source, name, arguments):
    box = []
    def target():
        namespace = {}
        exec(source, namespace)
        box.append(json.dumps(namespace[name](**arguments), ensure_ascii=False))
    thread = threading.Thread(target=target)
    thread.start()
    thread.join(10)
    return box[0]

calls = [json.loads(line) for line in sys.stdin]
times = []
for _ in range(int(sys.argv[1])):
    for source, name, arguments in calls:
        begin = time.process_time()
        call(source, name, arguments)
        times.append(time.process_time() - begin)
times.sort()
print(times[len(times) // 2] * 1e3)
"""


def run() -> list[Row]:
    """Measure; scoring only where the shared reference episodes are found (PALAESTRA_FIXTURES)."""
    instances = list(build_many("paper_like", count=NUM_PLAYED))
    with tempfile.TemporaryDirectory() as folder:
        tables, sources = Path(folder, "tables.jsonl"), Path(folder, "sources.jsonl")
        write_instances(tables, instances)
        write_instances(sources, map(with_sources, instances))
        by_table, by_source = step_ms(tables), step_ms(sources)
        peer = published_ms(instances)
        built = cpu_s(lambda: sum(1 for _ in build_many("paper_like", count=NUM_BUILT, seed=1)))
        many = Path(folder, "many.jsonl")
        write_instances(many, renamed(instances))
        opened = cpu_s(lambda: len(open_instances(many)))
    rows = [
        Row(
            "toolforge: step, tables (p50, CPU)",
            by_table,
            "ms",
            "published executor, its call alone",
            peer,
            "<= .3 ms",
            by_table <= 0.3,
        ),
        Row(
            "toolforge: step, sandboxed source (p50, CPU)",
            by_source,
            "ms",
            "published executor, its call alone",
            peer,
            "<= .5 ms",
            by_source <= 0.5,
        ),
        Row(f"toolforge: build and prove {NUM_BUILT:,}", built, "CPU s", "floor", 30.0, "<= 30 CPU s", built <= 30),
        Row(f"toolforge: open {NUM_OPENED:,} instances", opened, "CPU s", "floor", 2.0, "<= 2 CPU s", opened <= 2),
    ]
    if (scoring := scoring_s()) is not None:
        rows.append(Row("toolforge: score the reference episodes", scoring, "CPU s", "floor", 2.0, "<= 2 CPU s", scoring <= 2))
    return rows


def with_sources(instance: Instance) -> Instance:
    """Return an instance whose tools are Python sources instead of tables."""
    data = instance.to_json()
    for tool in data["tools"]:
        function = tool["function"]
        name = function["name"]
        spec = data["impl"][name]["spec"]
        data["impl"][name] = {"kind": "python", "source": source_of(name, function["parameters"], spec)}
    return Instance.of(data)


def renamed(instances: list[Instance]) -> Iterator[Instance]:
    """Yield many instances, each with an id of its own."""
    for number, instance in enumerate(islice(cycle(instances), NUM_OPENED)):
        yield instance.model_copy(update={"id": f"{instance.id}-{number}"})


def step_ms(file: Path) -> float:
    """Return the CPU time of a step with one golden call, workers included, in milliseconds: the median over tasks and rounds.

    Workers and sources are warm. A round plays the calls of a task several times, as the kernel's clocks are coarse.
    """
    times: list[float] = []
    with closing(ToolForgeEnv(instances=file, max_turns=None)) as env:
        for number in range(ROUNDS + 1):
            for task in range(NUM_PLAYED):
                env.reset(seed=0, options={"task": env.tasks.at("train", task).key})
                nodes = env.instance.nodes
                actions = [
                    format_message(Message("assistant", "", (ToolCall(one.tool, one.golden_args or {}),))) for one in nodes
                ]
                begin = cpu_ms(False)
                for action in actions * REPEATS:
                    info: dict[str, Any] = env.step(action)[4]
                elapsed = cpu_ms(True) - begin
                assert info["remaining"] == 0
                times += [elapsed / len(actions) / REPEATS] if number else []
    return statistics.median(times)


def published_ms(instances: list[Instance]) -> float:
    """Return the median CPU time of a call of the same tools as the published scorer makes it."""
    lines = []
    for instance in map(with_sources, instances):
        for node in instance.nodes:
            source = instance.impl[node.tool].model_dump()["source"]
            lines.append(json.dumps([source, node.tool, node.golden_args]))
    command = [sys.executable, "-c", _PUBLISHED, str(ROUNDS)]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True)
    return float(done.stdout)


def scoring_s() -> float | None:
    """Return the CPU time of scoring the reference episodes on the published rows; None where they are not found."""
    folder = Path(os.environ.get("PALAESTRA_FIXTURES", "")) / "ftrl"
    episodes, data = folder / "reference" / "episode.jsonl", folder / "test.jsonl"
    if not (episodes.is_file() and data.is_file()):
        return None
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    played = [json.loads(line) for line in episodes.read_text(encoding="utf-8").splitlines()]
    places = {row.get("id", f"ftrl-test-{number:03d}"): row for number, row in enumerate(rows)}

    def score() -> None:
        for episode in played:
            play(places[episode["instance"]], episode["turns"], max_turns=episode["max_turns"])

    return cpu_s(score)


def cpu_s(what: Any) -> float:
    """Return the CPU time of this process and of the children that it waited for, in seconds."""
    begin = os.times()
    what()
    end = os.times()
    return sum(end[:4]) - sum(begin[:4])


if __name__ == "__main__":
    for row in run():
        print(row)
