"""What agents that know nothing get on instances of the procedural builder, their sizes, and how fast they are built.

    python -m experiments.toolforge.builder.run --instances 50 --timed 1000

One row an instance of `paper_like` (the first ones of each scenario), and one row of the time. Calls are run through the
table interpreter, and a node counts as solved when its answer stands at its path. Agents:

* golden: the golden call of each node;
* whole: every tool, and every value of `attribute`, with the whole question for every name;
* echo: the golden calls with the answer of the node in place of every name;
* quoted: every tool, and every value of `attribute`, with each quoted name of the question;
* written otherwise: the golden calls in capitals, in small letters, and with other spaces.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from palaestra.envs.toolforge.build import build_many
from palaestra.envs.toolforge.graph import SCENARIOS
from palaestra.envs.toolforge.instance import Instance
from palaestra.envs.toolforge.stages.checks import filled, refilled, solved_by
from palaestra.envs.toolforge.stats import TYPES, sizes_of
from palaestra.envs.toolforge.tables import run_table

ROWS = Path(__file__).with_name("rows.jsonl")
PUBLISHED = {
    "single_hop": (8.0, 1.0),
    "parallel_single_hop": (7.5, 2.0),
    "multi_hop": (10.3, 5.7),
    "parallel_multi_hop": (11.3, 7.7),
}
"""Mean tools and nodes of the published test split, by scenario."""

Calls = Iterable[tuple[str, dict[str, Any]]]


def solved(instance: Instance, calls: Calls) -> tuple[int, int]:
    """Return how many nodes some calls solve, and how many calls there are."""
    nodes = [node.model_dump() for node in instance.nodes]
    found: set[str] = set()
    number = 0
    for tool, arguments in calls:
        number += 1
        found |= {*solved_by(nodes, tool, run_table(instance.impl[tool].spec, arguments))}  # type: ignore[union-attr]
    return len(found), number


def with_text(instance: Instance, texts: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a call of every tool and every `attribute` with each of some texts."""
    for tool in instance.tools:
        function: Any = tool["function"]
        schema = function["parameters"]
        for text in texts:
            for value in schema["properties"].get("attribute", {}).get("enum", [None]):
                yield function["name"], filled(schema, text) | ({} if value is None else {"attribute": value})


def changed(value: Any, change: Callable[[str], str]) -> Any:
    """Return a value with all of its texts changed."""
    if isinstance(value, dict):
        return {name: inner if name in ("attribute", "operation") else changed(inner, change) for name, inner in value.items()}
    if isinstance(value, list):
        return [changed(inner, change) for inner in value]
    return change(value) if isinstance(value, str) else value


def spaced(text: str) -> str:
    """Return a text with other spaces."""
    return f"  {text.replace(' ', '   ')} "


def row_of(instance: Instance) -> dict[str, Any]:
    """Return the row of an instance."""
    golden = [(node.tool, node.golden_args or {}) for node in instance.nodes]
    echo = [(node.tool, refilled(node.golden_args or {}, str(node.answer))) for node in instance.nodes]
    kept = total = 0
    for node in instance.nodes:
        for change in (str.upper, str.lower, spaced):
            found, _ = solved(instance, [(node.tool, changed(node.golden_args, change))])
            kept, total = kept + found, total + 1
    sizes = sizes_of([instance])["all"]
    quoted = solved(instance, with_text(instance, instance.question.split('"')[1::2]))
    return {
        "id": instance.id,
        "scenario": instance.scenario,
        "digest": hashlib.sha256(instance.to_line().encode()).hexdigest()[:16],
        "nodes": sizes.nodes,
        "tools": sizes.tools,
        "parameters": sizes.parameters,
        "types": {kind: sizes.types[kind] for kind in TYPES},
        "golden": solved(instance, golden)[0],
        "whole": solved(instance, with_text(instance, [instance.question]))[0],
        "echo": solved(instance, echo)[0],
        "quoted": quoted[0],
        "quoted_calls": quoted[1],
        "otherwise": kept,
        "otherwise_calls": total,
    }


def timed(count: int) -> dict[str, Any]:
    """Return the row of the time that so many instances of `paper_like` take, scenarios mixed."""
    begin = time.process_time()
    size = sum(len(instance.question) > 0 for instance in build_many("paper_like", count=count, seed=1))
    return {"timed": size, "cpu_s": round(time.process_time() - begin, 2)}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the tables of the page."""
    lines = [
        "| scenario | instances | golden calls | whole question | echo | quoted names: recall | F1 | written otherwise |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    own = [row for row in rows if "scenario" in row]
    for scenario in SCENARIOS:
        some = [row for row in own if row["scenario"] == scenario]
        recall = [sum(row[name] / row["nodes"] for row in some) / len(some) for name in ("golden", "whole", "echo", "quoted")]
        f1 = sum(2 * row["quoted"] / (row["quoted_calls"] + row["nodes"]) for row in some) / len(some)
        kept = sum(row["otherwise"] for row in some) / sum(row["otherwise_calls"] for row in some)
        cells = [scenario, str(len(some)), *(f"{value:.2f}" for value in recall), f"{f1:.2f}", f"{100 * kept:.1f} %"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| scenario | tools | published | nodes | published |", "|---|---:|---:|---:|---:|"]
    for scenario in SCENARIOS:
        some = [row for row in own if row["scenario"] == scenario]
        tools, nodes = (sum(row[name] for row in some) / len(some) for name in ("tools", "nodes"))
        lines.append(f"| {scenario} | {tools:.1f} | {PUBLISHED[scenario][0]} | {nodes:.1f} | {PUBLISHED[scenario][1]} |")
    parameters = sum(row["parameters"] for row in own)
    shares = " : ".join(f"{100 * sum(row['types'][kind] for row in own) / parameters:.1f}" for kind in TYPES)
    lines += [
        "",
        f"Parameters of a tool: {parameters / sum(row['tools'] for row in own):.1f}; {' : '.join(TYPES)} = {shares} %.",
    ]
    lines += [f"{row['timed']} instances were built and proven in {row['cpu_s']} CPU s." for row in rows if "timed" in row]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Build, write the rows, print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--instances", type=int, default=50, help="of each scenario")
    parser.add_argument("--timed", type=int, default=1000, help="instances whose time is taken")
    parser.add_argument("--rows", type=Path, default=ROWS)
    chosen = parser.parse_args(arguments)
    rows = [
        row_of(instance)
        for scenario in SCENARIOS
        for instance in build_many("paper_like", scenario=scenario, count=chosen.instances)
    ]
    rows.append(timed(chosen.timed))
    chosen.rows.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
