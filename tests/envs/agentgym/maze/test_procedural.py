"""Mazes made on the spot: alone and always the same, in two splits that share no walls."""

import pytest

from palaestra.envs.agentgym.maze.env import MazeEnv
from palaestra.envs.agentgym.maze.procedural import MAX_PATH, ProceduralMazes, split_of
from palaestra.envs.agentgym.maze.world import Maze, MazeWorld
from palaestra.errors import ConfigError
from tests.hash_seeds import outputs


@pytest.mark.parametrize("size", [(7, 7), (7, 13)])
def test_the_splits_share_neither_walls_nor_ways(size):
    mazes = ProceduralMazes(size)
    found = {}
    for split in ("train", "test"):
        tasks = [mazes.make(split, i).data for i in range(150)]
        walls = {tuple(data["rows"]) for data in tasks}
        ways = {tuple(MazeWorld(Maze.from_json(data), tuple(data["start"])).way()) for data in tasks}
        assert {split_of(lines) for lines in walls | ways} == {split}
        found[split] = walls | ways
    assert not found["train"] & found["test"]


def test_every_maze_has_a_way_short_enough_to_be_walked():
    for size, loops in (((7, 7), 0.0), ((7, 13), 0.1), ((31, 31), 0.0), ((7, 7), 0.5)):
        mazes = ProceduralMazes(size, loops)
        for index in range(30):
            data = mazes.make("test", index).data
            maze = Maze.from_json(data)
            assert 2 <= maze.distances[tuple(data["start"])] <= MAX_PATH
            assert size[0] <= len(maze.rows) <= size[1]
            assert size[0] <= len(maze.rows[0]) <= size[1]


def test_the_expert_solves_200_test_tasks():
    env = MazeEnv()
    for task in env.tasks.split("test").first(200):
        env.reset(options={"task": task})
        for action in env.expert():
            _, _, terminated, _, info = env.step(action)
        assert terminated
        assert info["success"], task.key


def test_tasks_are_the_same_in_another_process_with_another_hash_seed():
    program = "from tests.envs.agentgym.maze.test_procedural import told; print(told())"
    assert outputs(program, ("0", "77")) == {f"{told()}\n"}


def told() -> str:
    env = MazeEnv()
    hashes = []
    for split in ("train", "test"):
        for task in env.tasks.split(split).first(5):
            env.reset(seed=0, options={"task": task.key})
            env.step("move up")
            hashes.append(env.state_hash())
    return " ".join(hashes)


@pytest.mark.parametrize(
    "options",
    [
        *({"size": size} for size in (8, (5, 9), (9, 7), "big", (7, 99), (8, 8))),
        *({"loops": loops} for loops in (2, -0.1, True, "x")),
        {"num_test_tasks": 0},
    ],
)
def test_options_that_cannot_be_meant_are_refused(options):
    with pytest.raises(ConfigError, match="expected"):
        MazeEnv(**options)
