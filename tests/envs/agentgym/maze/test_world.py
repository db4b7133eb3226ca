"""The maze: walls, observations, moves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.agentgym.maze.procedural import draw_rows
from palaestra.envs.agentgym.maze.world import COMMANDS, Maze, MazeWorld

ROWS = ["#####", "#...#", "###.#", "#...#", "#####"]


@st.composite
def worlds(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = draw_rows(draw(st.sampled_from([3, 5, 7, 11])), draw(st.sampled_from([5, 7, 9])), draw(st.floats(0, 1)), rng)
    cells = Maze(rows, (1, 1)).open_cells()
    goal, start = (cells[draw(st.integers(0, len(cells) - 1))] for _ in range(2))
    return MazeWorld(Maze(rows, goal), start)


def test_the_walls_next_to_a_cell_are_told_in_the_published_order_and_words():
    maze = Maze(ROWS, (3, 1))
    told = "The goal is at position 3, 1. Your current position is at position {}, {}. {}"
    assert maze.observation((1, 1)) == told.format(1, 1, "There are walls to your left, above you, below you.")
    assert maze.observation((1, 3)) == told.format(1, 3, "There are walls to your right, above you.")
    assert maze.observation((2, 3)) == told.format(2, 3, "There are walls to your right, to your left.")
    assert maze.observation((3, 2)) == told.format(3, 2, "There are walls above you, below you.")
    wide = Maze(["#####", "#...#", "#...#", "#...#", "#####"], (1, 1))
    assert wide.observation((2, 2)).endswith("2, 2. There are no walls near you.")
    assert wide.observation((1, 2)).endswith("1, 2. There is a wall above you.")


def test_the_way_to_the_goal_is_the_shortest():
    world = MazeWorld(Maze(ROWS, (3, 1)), (1, 1))
    told = []
    while move := world.next_move():
        told.append(move)
        reply = world.act(move)
    assert told == ["move right", "move right", "move down", "move down", "move left", "move left"]
    assert reply.text == "Success\n"
    assert reply.is_solved


@given(worlds(), st.lists(st.sampled_from([*COMMANDS, "up", "move left.", "Move Left", "", "move  up"]), max_size=30))
@settings(max_examples=60, deadline=None)
def test_a_move_goes_one_cell_where_there_is_no_wall_and_nowhere_else(world, commands):
    for command in commands:
        before, free = world.copy(), world.available_commands()
        reply = world.act(command)
        assert reply.is_known == (command in COMMANDS)
        if command in free:
            step = COMMANDS[command]
            assert world.position == (before.position[0] + step[0], before.position[1] + step[1])
        else:
            assert world == before
        assert world.maze.is_open(world.position)
        assert reply.is_solved == (world != before and world.position == world.maze.goal)
        assert reply.text == ("Success\n" if reply.is_solved else world.observation())


@given(worlds())
@settings(max_examples=60, deadline=None)
def test_each_move_of_the_expert_is_one_nearer(world):
    maze = world.maze
    assert set(maze.distances) == set(maze.open_cells())  # every cell of a drawn maze has a way to every other
    for moves in range(maze.distances[world.position], 0, -1):
        assert maze.distances[world.position] == moves
        world.act(world.next_move())
    assert world.position == maze.goal
    assert world.next_move() == ""


@given(worlds())
@settings(max_examples=30, deadline=None)
def test_a_world_travels_as_json(world):
    twin = MazeWorld.from_json(world.to_json())
    assert twin == world
    assert twin.copy() == world
    world.act(world.next_move() or "move up")
    assert (twin == world) == (twin.position == world.position)


@pytest.mark.parametrize(
    ("rows", "goal", "problem"),
    [
        (["###", "#.#", "##"], (1, 1), "no rectangle"),
        (["###", "#x#", "###"], (1, 1), "something other"),
        (["###", "#..", "###"], (1, 1), "not closed"),
        (["###", "#.#", "###"], (0, 0), "goal"),
        (["###", "#.#", "###"], (9, -1), "goal"),
        ([], (0, 0), "no rectangle"),
        (["#" * 200] * 200, (0, 0), "no rectangle"),
    ],
)
def test_what_is_not_a_maze_is_refused(rows, goal, problem):
    with pytest.raises(ValueError, match=problem):
        Maze(rows, goal)
