"""Tasks of made games."""

import pytest

from palaestra.envs.agentgym.alfworld.generator import choose
from palaestra.envs.agentgym.alfworld.tasks import NUM_TEST_TASKS, made_game, made_tasks, place_of_made
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


@pytest.mark.parametrize("key", ["17", "train/", "train/x", "test/500", "valid/3", "train/03"])
def test_other_keys_are_refused(key):
    with pytest.raises(UsageError, match="not one that can be made"):
        place_of_made(Task(key, "train"))
