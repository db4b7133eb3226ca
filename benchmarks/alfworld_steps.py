"""ALFWorld: loads and steps per CPU second of our engine, next to the original where it is installed."""

from __future__ import annotations

import json
import random
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import gymnasium

import palaestra  # noqa: F401  (registers the environments)
from benchmarks.rows import Row
from palaestra.envs.agentgym.alfworld.engine.game import Game
from palaestra.envs.agentgym.alfworld.engine.game_file import read_game
from palaestra.envs.agentgym.alfworld.generator import generate
from palaestra.envs.agentgym.alfworld.world import AlfredWorld

STEPS_FLOOR, LOAD_CEILING_MS = 5_000, 15
STEPS_RATIO, LOAD_RATIO = 300, 100
NUM_GAMES, NUM_STEPS, NUM_REPEATS = 12, 200, 3


def run() -> list[Row]:
    """Play the walkthrough and random commands of made games, commands listed after every step; the best repeat counts."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number in range(NUM_GAMES):
            paths.append(Path(folder, f"{number}.tw-pddl"))
            paths[-1].write_text(json.dumps(generate("train", number)), encoding="utf-8")
        scripts = [_script(path) for path in paths]
        load_ms = min(_load_ms(paths) for _ in range(NUM_REPEATS))
        steps = max(_steps(paths, scripts) for _ in range(NUM_REPEATS))
        through_make = max(_steps_of_env(paths, scripts) for _ in range(NUM_REPEATS))
        peer_load_ms, peer_steps = _original(paths[:3], scripts) if find_spec("textworld") else (None, None)
    return [
        Row(
            "ALFWorld load",
            load_ms,
            "CPU ms",
            "original",
            peer_load_ms,
            f"<= {LOAD_CEILING_MS} ms; 1/{LOAD_RATIO}",
            load_ms <= LOAD_CEILING_MS and (peer_load_ms is None or load_ms * LOAD_RATIO <= peer_load_ms),
        ),
        Row(
            "ALFWorld steps with admissible commands",
            steps,
            "steps/CPU s",
            "original",
            peer_steps,
            f">= {STEPS_FLOOR:,}; {STEPS_RATIO}x",
            steps >= STEPS_FLOOR and (peer_steps is None or steps >= STEPS_RATIO * peer_steps),
        ),
        Row("ALFWorld steps through make", through_make, "steps/CPU s", "floor", float(STEPS_FLOOR)),
    ]


def _script(path: Path) -> list[str]:
    """Return the commands of one game: the walkthrough without its end, then random ones, rare verbs as often as others."""
    world, chance = AlfredWorld(Game(read_game(path))), random.Random(path.name)
    commands = list(world.game.file.walkthrough[:-1])
    for command in commands:
        world.act(command)
    while len(commands) < NUM_STEPS:
        verbs: dict[str, list[str]] = {}
        for command in world.commands():
            verbs.setdefault(command.split()[0], []).append(command)
        twin = world.copy()
        command = chance.choice(verbs[chance.choice(sorted(verbs))])
        if not twin.act(command).is_solved:  # the episode must go on
            world = twin
            commands.append(command)
    return commands


def _load_ms(paths: list[Path]) -> float:
    """Return the CPU time of a load."""
    begin = time.process_time()
    for path in paths:
        AlfredWorld(Game(read_game(path)))
    return 1e3 * (time.process_time() - begin) / len(paths)


def _steps(paths: list[Path], scripts: list[list[str]]) -> float:
    """Return steps per CPU second of the engine; nothing is remembered from an earlier repeat."""
    seconds = 0.0
    for path, script in zip(paths, scripts, strict=True):
        world = AlfredWorld(Game(read_game(path)))
        begin = time.process_time()
        for command in script:
            world.act(command)
            world.commands()
        seconds += time.process_time() - begin
    return sum(map(len, scripts)) / seconds


def _steps_of_env(paths: list[Path], scripts: list[list[str]]) -> float:
    """Return steps per CPU second through `gymnasium.make`."""
    seconds = 0.0
    for path, script in zip(paths, scripts, strict=True):
        env = gymnasium.make("palaestra/ALFWorld-v0", games=path, max_turns=None)
        env.reset()
        begin = time.process_time()
        for command in script:
            env.step(command)
        seconds += time.process_time() - begin
    return sum(map(len, scripts)) / seconds


def _original(paths: list[Path], scripts: list[list[str]]) -> tuple[float, float]:
    """Return CPU ms per load and steps per CPU second of textworld and alfworld."""
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler

    load_s = step_s = 0.0
    num_steps = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path, script in zip(paths, scripts, strict=False):
            begin = time.process_time()
            infos = textworld.EnvInfos(won=True, admissible_commands=True, feedback=True)
            env = textworld.start(str(path), infos, wrappers=[AlfredDemangler(shuffle=False)])
            env.reset()
            load_s += time.process_time() - begin
            begin = time.process_time()
            for command in script[:50]:
                env.step(command)
            step_s += time.process_time() - begin
            num_steps += len(script[:50])
            env.close()
    return 1e3 * load_s / len(paths), num_steps / step_s


if __name__ == "__main__":
    for row in run():
        print(row)
