"""The proof of ToolForge: agents that know nothing get nothing through the environment, the expert gets everything.

    python -m experiments.toolforge.proof.run --instances 50

Instances of `paper_like`, so many of each scenario, are played through `palaestra/ToolForge-v0` by agents of known worth:

* expert: the golden calls, a level at a time, then the answer;
* random: 12 messages of the action space that hold calls, then a word;
* echo: the golden calls with the answer of the node in place of every name, then the right answer;
* guesser: the right answer, and no call;
* whole question: every tool, and every value of `attribute`, with the question for every name, then the right answer;
* quoted names: the same with each quoted name of the question, then a word, as it cannot tell which result is the answer;
* written otherwise: the expert's calls in capitals, in small letters, and with other spaces, then the right answer.

One row an agent and scenario, one of the digests of 100 instances in processes of different `PYTHONHASHSEED`, and one of each
`palaestra check` (`--no-checks` leaves those out).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from experiments.toolforge.builder.run import changed, spaced, with_text
from palaestra.envs.toolforge.build import build_many
from palaestra.envs.toolforge.env import PROFILES, ToolForgeEnv
from palaestra.envs.toolforge.expert import answer_of, ready_nodes
from palaestra.envs.toolforge.graph import SCENARIOS
from palaestra.envs.toolforge.stages.checks import refilled
from palaestra.envs.toolforge.stages.presets import PRESETS
from palaestra.types import Message, ToolCall

ROWS = Path(__file__).with_name("rows.jsonl")
DIGESTS = 100
WORD = "nothing"
"""What an agent says at the end that has no answer."""
MEASURES = ("solve_recall", "solve_f1", "final_correct")

Playing = Iterator[str | Message]


def expert(env: ToolForgeEnv) -> Playing:
    """Yield what the expert says."""
    yield from env.expert()


def random(env: ToolForgeEnv) -> Playing:
    """Yield messages with calls that fit the schemas."""
    said = 0
    while said < 12:
        action = env.action_space.sample()
        if "<tool_call>" in action:
            said += 1
            yield action
    yield WORD


def echo(env: ToolForgeEnv) -> Playing:
    """Yield calls that bring their answers along."""
    yield from in_messages(
        env, [(node.tool, refilled(node.golden_args or {}, str(node.answer))) for node in env.instance.nodes]
    )
    yield answer_of(env.instance, is_published=False)


def guesser(env: ToolForgeEnv) -> Playing:
    """Yield the answer."""
    yield answer_of(env.instance, is_published=False)


def whole_question(env: ToolForgeEnv) -> Playing:
    """Yield calls of every tool with the question, then the answer."""
    yield from in_messages(env, with_text(env.instance, [env.instance.question]))
    yield answer_of(env.instance, is_published=False)


def quoted_names(env: ToolForgeEnv) -> Playing:
    """Yield calls of every tool with each name of the question, then a word."""
    yield from in_messages(env, with_text(env.instance, env.instance.question.split('"')[1::2]))
    yield WORD


def rewriting(change: Callable[[str], str]) -> Callable[[ToolForgeEnv], Playing]:
    """Return an agent that writes the expert's calls otherwise."""

    def play(env: ToolForgeEnv) -> Playing:
        """Yield the calls level by level, whatever they solve, then the answer."""
        done: list[str] = []
        while ready := ready_nodes(env.instance.nodes, done):
            done += [node.id for node in ready]
            yield from in_messages(env, [(node.tool, changed(node.golden_args, change)) for node in ready])
        yield answer_of(env.instance, is_published=False)

    return play


AGENTS: dict[str, tuple[Callable[[ToolForgeEnv], Playing], ...]] = {
    "expert": (expert,),
    "random": (random,),
    "echo": (echo,),
    "guesser": (guesser,),
    "whole question": (whole_question,),
    "quoted names": (quoted_names,),
    "written otherwise": (rewriting(str.upper), rewriting(str.lower), rewriting(spaced)),
}
BOUNDS: dict[str, dict[str, tuple[float, float]]] = {
    "expert": {"solve_recall": (1, 1), "solve_f1": (1, 1), "final_correct": (1, 1), "success": (1, 1)},
    "random": {"solve_recall": (0, 0.05), "success": (0, 0)},
    "echo": {"solve_recall": (0, 0), "success": (0, 0)},
    "guesser": {"solve_recall": (0, 0), "success": (0, 0)},
    "whole question": {"solve_recall": (0, 0), "success": (0, 0)},
    "quoted names": {"solve_f1": (0, 0.25), "success": (0, 0)},
    "written otherwise": {"solve_recall": (0.99, 1)},
}
"""Lowest and highest mean that each agent may have in each scenario."""


def in_messages(env: ToolForgeEnv, calls: Iterable[tuple[str, Any]]) -> Playing:
    """Yield calls in as few messages as the environment runs."""
    waiting = [ToolCall(tool, arguments) for tool, arguments in calls]
    for start in range(0, len(waiting), env.max_calls_per_turn):
        yield Message("assistant", "", tuple(waiting[start : start + env.max_calls_per_turn]))


def row_of(agent: str, scenario: str, count: int) -> dict[str, Any]:
    """Return the row of an agent on the first instances of a scenario."""
    sums = dict.fromkeys((*MEASURES, "success", "calls"), 0.0)
    number = 0
    with closing(ToolForgeEnv(preset="paper_like", scenario=scenario, max_turns=None)) as env:
        for play in AGENTS[agent]:
            env.action_space.seed(0)
            for index in range(count):
                env.reset(seed=0, options={"task": f"paper_like-{scenario}-s0-train-{index}"})
                info: dict[str, Any] = {}
                for action in play(env):
                    info = env.step(action)[4]
                number += 1
                for name in sums:
                    sums[name] += float(info["success"] if name == "success" else info["metrics"][name])
    return {"agent": agent, "scenario": scenario, "episodes": number, **{k: round(v / number, 4) for k, v in sums.items()}}


def faults(row: dict[str, Any]) -> list[str]:
    """Return what a row of an agent has outside its bounds."""
    bounds = BOUNDS[row["agent"]]
    return [
        f"{row['agent']}, {row['scenario']}: {name} is {row[name]}, expected {low} to {high}"
        for name, (low, high) in bounds.items()
        if not low <= row[name] <= high
    ]


def digest() -> str:
    """Return the digest of 100 instances of `paper_like`, scenarios mixed."""
    found = hashlib.sha256()
    for instance in build_many("paper_like", count=DIGESTS, seed=2):
        found.update(instance.to_line().encode())
    return found.hexdigest()


def digests(seeds: Iterable[int] = (0, 4242)) -> dict[str, Any]:
    """Return the row of the digests, each of a process of its own."""
    code = "from experiments.toolforge.proof.run import digest; print(digest())"
    found = {}
    for seed in seeds:
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        found[str(seed)] = done.stdout.strip()
    return {"digests": found, "instances": DIGESTS}


def checks() -> Iterator[dict[str, Any]]:
    """Yield the row of each `palaestra check`."""
    for preset in PRESETS:
        for profile in PROFILES:
            settings = ["--set", f"preset={preset}", "--set", f"profile={profile}"]
            command = [sys.executable, "-m", "palaestra.cli.main", "check", "palaestra/ToolForge-v0", *settings]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            yield {
                "preset": preset,
                "profile": profile,
                "exit": done.returncode,
                "said": done.stdout.strip().splitlines()[-1:],
            }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the tables of the page."""
    lines = [
        "| agent | scenario | episodes | recall | F1 | answer | success | calls |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        if "agent" in row:
            figures = [f"{row[name]:.2f}" for name in (*MEASURES, "success")]
            cells = [row["agent"], row["scenario"], str(row["episodes"]), *figures, f"{row['calls']:.1f}"]
            lines.append(f"| {' | '.join(cells)} |")
    for row in rows:
        if "digests" in row:
            same = "one digest" if len({*row["digests"].values()}) == 1 else "DIFFERENT digests"
            lines += [
                "",
                f"{row['instances']} instances have {same} in processes of PYTHONHASHSEED {', '.join(row['digests'])}.",
            ]
    if passed := [row for row in rows if "exit" in row]:
        lines += ["", "| `palaestra check` | " + " | ".join(PROFILES) + " |", "|---|" + "---|" * len(PROFILES)]
        for preset in PRESETS:
            found = {row["profile"]: "passes" if row["exit"] == 0 else "FAILS" for row in passed if row["preset"] == preset}
            lines.append(f"| preset `{preset}` | {' | '.join(found.get(profile, '') for profile in PROFILES)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Play, write the rows, print the tables; 1 if a bound is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--instances", type=int, default=50, help="of each scenario")
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--no-checks", action="store_true", help="leave out `palaestra check`")
    chosen = parser.parse_args(arguments)
    rows = [row_of(agent, scenario, chosen.instances) for scenario in SCENARIOS for agent in AGENTS]
    wrong = [line for row in rows for line in faults(row)]
    rows.append(digests())
    if len({*rows[-1]["digests"].values()}) > 1:
        wrong.append("processes of different PYTHONHASHSEED build different instances")
    if not chosen.no_checks:
        for row in checks():
            rows.append(row)
            wrong += [f"palaestra check fails for {row}"] if row["exit"] else []
    chosen.rows.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(table(rows))
    print("\n".join(wrong), file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
