"""Tasks of made games."""

import pytest

from palaestra.envs.agentgym.alfworld.engine.game import Game
from palaestra.envs.agentgym.alfworld.engine.game_file import parse_game
from palaestra.envs.agentgym.alfworld.generator import choose, generate
from palaestra.envs.agentgym.alfworld.tasks import KEPT_GAMES, NUM_TEST_TASKS, made_game, made_tasks, place_of_made
from palaestra.envs.agentgym.alfworld.world import AlfredWorld
from palaestra.envs.core.tasks import Task
from palaestra.errors import UsageError


def test_a_task_says_what_its_game_is_about():
    tasks = made_tasks()
    assert (tasks.size("train"), tasks.size("test")) == (None, NUM_TEST_TASKS)
    task = tasks.find("test/17")
    choice = choose("test", 17)
    assert (task.type, dict(task.data)) == (
        choice.task_type,
        {"object": choice.object, "target": choice.target, "room": str(choice.room)},
    )
    assert place_of_made(task) == ("test", 17)


def test_a_game_is_made_once():
    assert made_game("test", 17) is made_game("test", 17)
    assert made_game("test", 17, "put").file.dialect == "put"


def test_as_many_games_are_kept_as_an_audit_plays_over_and_over():
    assert made_game.cache_info().maxsize == KEPT_GAMES >= 100


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize(("dialect", "shuffled"), [(None, None), ("put", None), (None, 3)])
def test_a_game_is_that_of_its_file(number, dialect, shuffled):
    """Though the file is not read again: the game that proved it to be solvable is taken."""
    contents = generate("train", number)
    file = parse_game(contents)
    right = AlfredWorld(Game(file if dialect is None else file.turned(dialect), shuffled))
    mine = AlfredWorld(made_game("train", number, dialect, shuffled))
    assert mine.game.file.walkthrough == right.game.file.walkthrough == tuple(contents["walkthrough"])
    assert (mine.game.file.digest, mine.game.names) == (right.game.file.digest, right.game.names)
    assert mine.intro() == right.intro()
    for _ in range(12):
        assert mine.commands() == right.commands()
        command = right.commands()[-1]
        assert mine.act(command) == right.act(command)
    assert mine.to_json() == right.to_json()


@pytest.mark.parametrize("key", ["17", "train/", "train/x", "test/500", "valid/3", "train/03"])
def test_other_keys_are_refused(key):
    with pytest.raises(UsageError, match="not one that can be made"):
        place_of_made(Task(key, "train"))
