"""Plays games on the original engine and writes down all that it says: `python original.py LENGTH OUT GAME...`.

Needs nothing but textworld and alfworld (`pip install 'palaestra[alfworld-oracle]'`), so any interpreter that has them can
run it. A game is played by its walkthrough, then by LENGTH random commands: a verb is drawn first, then a command of it,
and one in twenty is nonsense.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import warnings
from typing import Any

NONSENSE_RATE = 0.05


def record(path: str, length: int) -> dict[str, Any]:
    """Return what the original engine says in one game, or why it cannot load it."""
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler

    with open(path, encoding="utf-8") as file:
        walkthrough = json.load(file).get("walkthrough") or []
    chance = random.Random(path.rpartition("/")[2])
    infos = textworld.EnvInfos(won=True, admissible_commands=True, feedback=True)
    begin = _cpu_s()
    try:
        env = textworld.start(path, infos, wrappers=[AlfredDemangler(shuffle=False)])
    except KeyError as error:  # a goal that never can hold: its planner's translator names no variables
        return {"game": path, "refused": repr(error)}
    state = env.reset()
    load_s = _cpu_s() - begin
    steps: list[dict[str, Any]] = []
    first = {"feedback": state["feedback"], "commands": state["admissible_commands"]}
    begin = _cpu_s()
    for number in range(len(walkthrough) + length):
        command = walkthrough[number] if number < len(walkthrough) else _draw(chance, state["admissible_commands"])
        state, _, _ = env.step(command)
        steps.append(
            {
                "command": command,
                "feedback": state["feedback"],
                "commands": state["admissible_commands"],
                "won": bool(state["won"]),
            }
        )
    step_s = (_cpu_s() - begin) / max(1, len(steps))
    env.close()
    return {"game": path, "first": first, "steps": steps, "load_s": load_s, "step_s": step_s}


def _draw(chance: random.Random, commands: list[str]) -> str:
    """Draw a command, rare verbs as often as others."""
    verbs: dict[str, list[str]] = {}
    for command in commands:
        verbs.setdefault(command.split()[0], []).append(command)
    command = chance.choice(verbs[chance.choice(sorted(verbs))])
    if chance.random() < NONSENSE_RATE:
        return chance.choice(["go to nowhere 1", f"{command} x", command.upper(), "take", "", f" {command} ", "help"])
    return command


def _cpu_s() -> float:
    """Return the CPU time of this process and its children."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main(arguments: list[str]) -> None:
    """Record games."""
    warnings.simplefilter("ignore")
    length, out, *games = arguments
    with open(out, "w", encoding="utf-8") as file:
        for path in games:
            file.write(json.dumps(record(path, int(length))) + "\n")
            file.flush()
            print(path.rpartition("/")[2], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
