"""ALFWorld against texts of the original engine."""

from pathlib import Path
from typing import Any

import gymnasium
import pytest

import palaestra  # noqa: F401  (registers the environments)
from palaestra.envs.agentgym.alfworld.engine.game import Game
from palaestra.envs.agentgym.alfworld.engine.game_file import read_game
from palaestra.envs.agentgym.alfworld.planner import plan
from palaestra.envs.agentgym.alfworld.world import AlfredWorld
from tests.fixtures import need_fixtures, read_rows

pytestmark = pytest.mark.parity

FOLDER = "agentgym/alfworld"


def traces() -> list[tuple[Path, dict[str, Any]]]:
    """Return the games and their traces."""
    found = [
        (folder / "games" / row["game"], row) for folder in need_fixtures(FOLDER) for row in read_rows(folder / "traces.jsonl")
    ]
    if not found:
        pytest.skip("there are no traces")
    return found


def test_every_trace_is_reproduced_word_for_word_with_its_commands() -> None:
    for path, trace in traces():
        env = gymnasium.make("palaestra/ALFWorld-v0", games=path, max_turns=None)
        observation, info = env.reset()
        assert observation == trace["first_feedback"]
        assert info["task"]["key"] == path.name.removesuffix(".tw-pddl")
        assert list(env.unwrapped.available_actions()) == trace["first_admissible"]
        for step in trace["steps"]:
            world = env.unwrapped.world.copy()
            observation, reward, terminated, truncated, info = env.step(step["action"])
            assert observation == step["feedback"], trace["game"]
            assert (bool(reward), terminated, truncated) == (step["won"], step["won"], False)
            assert info["success"] == step["won"]
            world.act(step["action"])
            assert world.commands() == step["admissible"]


def test_published_walkthroughs_win_in_both_dialects() -> None:
    for path, _ in traces():
        for dialect in ("put", "move"):
            world = AlfredWorld(Game(read_game(path).turned(dialect)))
            for command in world.game.file.walkthrough:
                thing, _, place = command.removeprefix("move ").partition(" to ")
                put = f"put {thing} in/on {place}"
                reply = world.act(put if command.startswith("move ") and dialect == "put" else command)
                assert not reply.is_error, command
            assert world.is_won


def test_a_game_turned_to_and_fro_says_the_same() -> None:
    for path, trace in traces():
        world = AlfredWorld(Game(read_game(path).turned("put").turned("move")))
        for step in trace["steps"]:
            reply = world.act(step["action"])
            assert (reply.text, world.commands()) == (step["feedback"], step["admissible"])


def test_help_of_a_turned_game_says_what_published_files_say() -> None:
    for path, _ in traces():
        file = read_game(path)
        assert AlfredWorld(Game(file.turned("put").turned("move"))).act("help") == AlfredWorld(Game(file)).act("help")


def test_the_planner_is_no_longer_than_the_published_walkthroughs() -> None:
    for path, _ in traces():
        world = AlfredWorld(Game(read_game(path)))
        found = plan(world)
        assert found is not None
        assert len(found) <= len(world.game.file.walkthrough)
        assert all(not world.act(command).is_error for command in found)
        assert world.is_won
