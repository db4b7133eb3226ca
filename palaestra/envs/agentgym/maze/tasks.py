"""Tasks of the maze: made on the spot, or the start cells of a published maze.

Keys: `train/17` (see `procedural`); of a published maze `NAME/ROW,COLUMN`, e.g. `double_t_maze/1,1`: the name of its file and
the start cell. Published ids are `upstream#N`, where N is the number of the game in the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palaestra.envs.agentgym.maze.procedural import maze_task
from palaestra.envs.agentgym.maze.world import OPEN, WALL, Cell, Maze
from palaestra.envs.agentgym.published import PublishedItem, published_tasks
from palaestra.envs.core.data_files import kind_of, place_of, read_text, shown
from palaestra.envs.core.tasks import FixedTasks, Task
from palaestra.envs.core.typed import fits
from palaestra.errors import ConfigError, MissingDataError, UsageError

MAX_BYTES = 10_000_000
MAX_MOVES = 50
MAPPING = "upstream"

_OPENING = re.compile(
    r"The goal is at position ([0-9]{1,4}), ([0-9]{1,4})\. Your current position is at position ([0-9]{1,4}), ([0-9]{1,4})\."
)


class PublishedMaze(FixedTasks):
    """One task per start cell of a published maze, all of them in the split "test".

    Args:
        path: A JSON file: `grid` (rows of 1 for a wall and 0 for an open cell), `goal` (row and column), `start_positions` (a
            list of `{"game": N, "pos": [ROW, COLUMN]}`), and perhaps `max_steps`.
        sources: Published files whose items are the tasks instead (see `palaestra.envs.agentgym.published.published_tasks`).

    Attributes:
        max_moves: Moves after which a game is lost.

    Raises:
        MissingDataError: If there is no such file.
        ConfigError: If it cannot be understood.
    """

    def __init__(self, path: str | Path, sources: str | Path | Mapping[str, Any] | None = None) -> None:
        """Read the file."""
        place = place_of(path)
        self.name, self.path = place.stem, shown(path)
        data = _read(place)
        self.maze, self.max_moves = _maze(data, self.path), _max_moves(data, self.path)
        self._unplayable: dict[str, str] = {}
        starts = self._starts(data)
        if sources is not None:
            found = published_tasks("lmrlgym_maze", sources, self._task_of)
            super().__init__(found.tasks, aliases=found.aliases)
            return
        tasks = {cell: self._task(cell, "test") for cell in starts.values()}
        aliases = {f"{MAPPING}#{game}": tasks[cell].key for game, cell in starts.items()}
        super().__init__(tasks.values(), aliases=aliases)

    def resolve(self, name: str) -> Task:
        """Return the task with this key, or of this published game.

        Raises:
            UnknownNameError: If there is none.
            UsageError: If the game cannot be played, or an integer comes without a mapping.
        """
        if (reason := self._unplayable.get(name)) is not None:
            raise UsageError(reason)
        return super().resolve(name)

    def _starts(self, data: Mapping[str, Any]) -> dict[int, Cell]:
        """Return the start cells by game; those that cannot be played are noted."""
        starts: dict[int, Cell] = {}
        listed = data["start_positions"]
        if not isinstance(listed, list) or not listed:
            raise ConfigError(f"{self.path}: start_positions is {repr(listed)[:100]}; expected a list of games.")
        for entry in listed:
            if not (isinstance(entry, dict) and fits(entry.get("game"), int) and fits(entry.get("pos"), tuple[int, int])):
                raise ConfigError(
                    f"{self.path}: a start is {repr(entry)[:100]}; expected {{'game': N, 'pos': [ROW, COLUMN]}}."
                )
            game, cell = entry["game"], (entry["pos"][0], entry["pos"][1])
            if game < 0 or game in starts or f"{MAPPING}#{game}" in self._unplayable:
                raise ConfigError(f"{self.path}: the game {game} is listed twice, or is negative.")
            if not self.maze.is_open(cell):
                raise ConfigError(f"{self.path}: game {game} starts at {cell}, which is not an open cell of the maze.")
            if cell == self.maze.goal:
                self._unplayable[f"{MAPPING}#{game}"] = (
                    f"'{MAPPING}#{game}' cannot be played: game {game} starts on the goal, {cell}, and the published server "
                    f"refuses it as well. Choose another game of {self.path}."
                )
                continue
            starts[game] = cell
        if not starts:
            raise ConfigError(f"{self.path} has no game that can be played: all of them start on the goal.")
        return starts

    def _task(self, cell: Cell, split: str) -> Task:
        """Return the task of a start cell."""
        return maze_task(f"{self.name}/{cell[0]},{cell[1]}", split, self.maze, cell)

    def _task_of(self, item: PublishedItem, path: str, split: str) -> Task:
        """Return the task of a published item: its first observation says where it starts."""
        match = next((match for text in item.told if (match := _OPENING.search(text))), None)
        if match is None:
            raise ConfigError(
                f"Item {item.item_id!r} of {path} has no first observation ('The goal is at position ...'), from which its "
                f"start is recovered; pass a file with the dialogues, such as AgentTraj-L."
            )
        goal, cell = (int(match[1]), int(match[2])), (int(match[3]), int(match[4]))
        if goal != self.maze.goal or not self.maze.is_open(cell) or cell == goal:
            raise UsageError(
                f"Item {item.item_id!r} of {path} starts at {cell} with the goal {goal}; the maze of {self.path} has its goal "
                f"at {self.maze.goal}, or cannot start there. Pass the maze that the file was made with: maze=PATH."
            )
        return self._task(cell, split)


def _read(place: Path) -> dict[str, Any]:
    """Return the contents of a maze file."""
    if kind_of(place) != "file":
        raise MissingDataError(
            f"There is no maze at {shown(place)}; expected a JSON file such as AgentGym's double_t_maze.json, with 'grid', "
            f"'goal' and 'start_positions'."
        )
    try:
        data: Any = json.loads(read_text(place, max_bytes=MAX_BYTES))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        raise ConfigError(
            f"{shown(place)} is not JSON ({str(error)[:100]}); expected 'grid', 'goal', 'start_positions'."
        ) from None
    for key in ("grid", "goal", "start_positions"):
        if not isinstance(data, dict) or key not in data:
            raise ConfigError(f"{shown(place)} has no {key!r}; expected an object with 'grid', 'goal' and 'start_positions'.")
    found: dict[str, Any] = data
    return found


def _maze(data: Mapping[str, Any], path: str) -> Maze:
    """Return the maze of a file."""
    grid = data["grid"]
    if not fits(grid, list[list[int]]) or any(cell not in (0, 1) for row in grid for cell in row):
        raise ConfigError(f"{path}: the grid is not a list of rows of 0 (open) and 1 (wall).")
    if not fits(data["goal"], tuple[int, int]):
        raise ConfigError(f"{path}: the goal is {repr(data['goal'])[:100]}; expected [ROW, COLUMN].")
    try:
        return Maze(["".join(WALL if cell else OPEN for cell in row) for row in grid], tuple(data["goal"]))
    except ValueError as error:
        raise ConfigError(f"{path}: {error}.") from None


def _max_moves(data: Mapping[str, Any], path: str) -> int:
    """Return after how many moves a game is lost."""
    moves = data.get("max_steps", MAX_MOVES)
    if not fits(moves, int) or not 1 <= moves <= 1_000_000:
        raise ConfigError(f"{path}: max_steps is {repr(moves)[:100]}; expected an integer of at least 1.")
    return int(moves)


__all__ = ["MAPPING", "MAX_MOVES", "PublishedMaze"]
