"""Mazes made on the spot, in two splits that share no maze.

Task *i* of a split is made from `(split, i)` and the options alone. Walls belong to the split that their hash says, and so do
shortest ways, as sequences of moves: neither walls nor a way that were trained on are ever tested on, whatever the options.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from palaestra.envs.agentgym.maze.world import OPEN, WALL, Cell, Maze, MazeWorld
from palaestra.envs.core.tasks import GeneratedTasks, Task
from palaestra.envs.core.typed import fits
from palaestra.errors import ConfigError

TEST_SHARE = 5  # one maze in so many belongs to the test split
MAX_PATH = 40  # moves of a shortest way; the game ends after 50
NUM_TEST_TASKS = 1000
_MAX_DRAWS = 2000
_MAX_PAIRS = 50  # of start and goal, in one maze


@dataclass(frozen=True)
class ProceduralMazes:
    """Makes mazes, one per task.

    Attributes:
        size: Least and greatest number of rows and of columns, border included, 7 to 31; odd numbers between them are drawn.
        loops: Share of the inner walls that are opened again after a maze without loops was made, 0 to 0.5.
        num_test_tasks: Number of test tasks; the train split has no end.
    """

    size: tuple[int, int] = (7, 13)
    loops: float = 0.1
    num_test_tasks: int = NUM_TEST_TASKS

    def __post_init__(self) -> None:
        """Check the ranges."""
        given: Any = self.size
        size = (given, given) if fits(given, int) else given
        if not fits(size, tuple[int, int]) or not 7 <= size[0] <= size[1] <= 31:
            raise ConfigError(f"size is {given!r}; expected an odd number, or a range within 7 to 31, least first.")
        if not range(size[0] | 1, size[1] + 1, 2):
            raise ConfigError(f"size is {given!r}; expected an odd number of 7 to 31, or a range that holds one.")
        if not fits(self.loops, float) or not 0 <= self.loops <= 0.5:
            raise ConfigError(f"loops is {self.loops!r}; expected a share of the walls, 0 to 0.5.")
        if not fits(self.num_test_tasks, int) or self.num_test_tasks < 1:
            raise ConfigError(f"num_test_tasks is {self.num_test_tasks!r}; expected an integer of at least 1.")
        object.__setattr__(self, "size", tuple(size))

    def tasks(self) -> GeneratedTasks:
        """Return the task set."""
        return GeneratedTasks(self.make, {"train": None, "test": self.num_test_tasks})

    def make(self, split: str, index: int) -> Task:
        """Make task number `index` of a split.

        Raises:
            ConfigError: If so small a maze, or one with so many loops, is not to be had in this split.
        """
        rng = np.random.Generator(np.random.PCG64([20_250_611, split == "test", index]))
        sides = range(self.size[0] | 1, self.size[1] + 1, 2)
        for _ in range(_MAX_DRAWS):
            height, width = (sides[int(rng.integers(len(sides)))] for _ in range(2))
            rows = draw_rows(height, width, float(self.loops), rng)
            if split_of(rows) != split:
                continue
            cells = Maze(rows, (1, 1)).open_cells()
            for _ in range(_MAX_PAIRS):
                maze = Maze(rows, cells[int(rng.integers(len(cells)))])
                start = cells[int(rng.integers(len(cells)))]
                if 2 <= maze.distances[start] <= MAX_PATH and split_of(MazeWorld(maze, start).way()) == split:
                    return maze_task(f"{split}/{index}", split, maze, start)
        raise ConfigError(
            f"No maze of the {split} split was found with size={self.size} and loops={self.loops}; give a greater size, or "
            f"fewer loops."
        )


def maze_task(key: str, split: str, maze: Maze, start: Cell) -> Task:
    """Return the task of a maze and a start; its type says how long a shortest way is."""
    moves = maze.distances.get(start)
    kind = "no-way" if moves is None else "short" if moves <= 8 else "medium" if moves <= 16 else "long"
    return Task(key, split, kind, {**maze.to_json(), "start": list(start)})


def split_of(lines: Sequence[str]) -> str:
    """Return the split of walls (rows) or of a way (moves): the same with any options, in any process."""
    digest = hashlib.blake2b("\n".join(lines).encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") % TEST_SHARE == 0 else "train"


def draw_rows(height: int, width: int, loops: float, rng: np.random.Generator) -> list[str]:
    """Draw a maze: rooms on odd rows and columns, joined by a random walk that turns back where it cannot go on.

    Args:
        height: Rows, odd, at least 3.
        width: Columns, odd, at least 3.
        loops: Share of the walls between two rooms that are opened afterwards.
        rng: Source of chance.
    """
    grid = [[WALL] * width for _ in range(height)]
    trail = [(1 + 2 * int(rng.integers(height // 2)), 1 + 2 * int(rng.integers(width // 2)))]
    grid[trail[0][0]][trail[0][1]] = OPEN
    while trail:
        row, column = trail[-1]
        unseen = [
            (down, right)
            for down, right in ((0, -2), (0, 2), (-2, 0), (2, 0))
            if 0 < row + down < height and 0 < column + right < width and grid[row + down][column + right] == WALL
        ]
        if not unseen:
            trail.pop()
            continue
        down, right = unseen[int(rng.integers(len(unseen)))] if len(unseen) > 1 else unseen[0]
        grid[row + down // 2][column + right // 2] = grid[row + down][column + right] = OPEN
        trail.append((row + down, column + right))
    walls = [
        (row, column)
        for row in range(1, height - 1)
        for column in range(1, width - 1)
        if (row + column) % 2 and grid[row][column] == WALL
    ]
    for (row, column), chance in zip(walls, rng.random(len(walls)), strict=True):
        if chance < loops:
            grid[row][column] = OPEN
    return ["".join(row) for row in grid]


__all__ = ["MAX_PATH", "ProceduralMazes", "draw_rows", "maze_task", "split_of"]
