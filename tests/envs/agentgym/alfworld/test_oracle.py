"""Our engine against the original one, where textworld and alfworld are installed (extra `alfworld-oracle`)."""

import json
import sys

import pytest

from experiments.agentgym.alfworld_oracle.run import compared, games, recorded
from experiments.agentgym.alfworld_oracle.variants import published_like
from palaestra.envs.agentgym.alfworld.engine.game import Game
from palaestra.envs.agentgym.alfworld.engine.game_file import parse_game
from palaestra.envs.agentgym.alfworld.generator import generate
from palaestra.envs.agentgym.alfworld.world import AlfredWorld


def test_the_original_says_the_same_in_a_game_of_each_type_and_in_one_like_published_ones(tmp_path):
    pytest.importorskip("textworld")
    pytest.importorskip("alfworld")
    paths = []
    for name, contents in games(6, 1):
        paths.append(tmp_path / f"{name}.tw-pddl")
        paths[-1].write_text(json.dumps(contents), "utf-8")
    for told in recorded(sys.executable, tmp_path, paths, 15):
        row = compared(told)
        assert row["feedback"] == row["commands"] == row["won"] == row["texts"], row


@pytest.mark.parametrize("seed", range(4))
def test_games_like_published_ones_play(seed):
    contents = published_like(generate("train", 1000 + seed), seed)
    world = AlfredWorld(Game(parse_game(contents)))
    for number in range(10):
        places = [command for command in world.commands() if command.startswith("go to")]
        assert not world.act(places[7 * number % len(places)]).is_error
        for command in world.commands():
            assert not world.copy().act(command).is_error
    if seed % 2:
        assert world.act("help").text.startswith("Available commands:\n  look:")
