"""The Gymnasium face of the maze."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from palaestra.envs.agentgym.maze.picture import as_picture, as_text
from palaestra.envs.agentgym.maze.procedural import ProceduralMazes
from palaestra.envs.agentgym.maze.tasks import MAX_MOVES, PublishedMaze
from palaestra.envs.agentgym.maze.tools import Commands
from palaestra.envs.agentgym.maze.world import Cell, Maze, MazeWorld
from palaestra.envs.core.command_env import CommandEnv
from palaestra.envs.core.tasks import Task, TaskSet
from palaestra.envs.core.text_env import Turn
from palaestra.envs.core.typed import fits
from palaestra.envs.formats.action_format import ActionFormat
from palaestra.envs.formats.plain import PlainFormat
from palaestra.envs.formats.react import ReActFormat
from palaestra.errors import ConfigError, EpisodeStateError, UsageError, unknown_name
from palaestra.types import Json, Message

UNKNOWN_COMMAND = "{command!r} is not one of the moves: move left, move right, move up, move down. It counted as a move."


class MazeEnv(CommandEnv):
    """Walk through a maze to a goal, feeling only the walls next to oneself.

    ## Description
    Each observation tells the goal's position, the agent's, and which of the four neighbouring cells are walls. The agent has
    50 moves. The task type says how long a shortest way is: "short" (up to 8 moves), "medium" (up to 16) or "long". A task of
    AgentGym (arXiv 2406.04151), from LMRL-Gym (arXiv 2311.18232).

    ## Action
    Exactly one of `move left`, `move right`, `move up`, `move down`. With `action_format="react"` the command is the text
    after the first `Action:`. An assistant `Message` may instead call the tool `move`, several times at once; the same calls
    written as Hermes tags in plain text are understood.

    ## Observation
    `The goal is at position 8, 6. Your current position is at position 1, 2. There are walls above you, below you.`; rows come
    first, and count downward. At the goal `Success`, after the last move `Failure`, each with a line break. A text that is
    not a command is answered with the current position, counts as a move, and is named in `info["action_error"]`.

    ## Reward
    1 at the goal, -1 when the moves are used up, else 0. `score` is 1 or 0, `success` whether it is 1.

    ## Termination and truncation
    Terminated at the goal, and by the move after the 50th. Truncated after `max_turns` messages, those that could not be read
    included.

    ## Arguments
    * `maze`: path of a published maze (`double_t_maze.json`); by default mazes are made on the spot.
    * `split`: "train" or "test" for mazes made on the spot, which belong to one of them permanently; published games are
      "test".
    * `max_turns`: 60 by default, more than the game has moves (AgentEvol: 15).
    * `action_format`: "text" or "react".
    * `tasks`: with `maze`, published files by the name of the mapping that their ids belong to: `{"agenteval": PATH}`,
      `{"agenttraj": {"path": PATH, "split": "train"}}`. A start that is in the files of both splits is refused.
    * `compat`: "upstream" puts the reply of AgentGym's server under `info["upstream"]`: of `reset` `observation`, of `step`
      `observation`, `reward`, `done`. By default None.
    * For mazes made on the spot, see `ProceduralMazes`: `size`, `loops`, `num_test_tasks`.
    * `render_mode`: None, "ansi" or "rgb_array".

    ## Ids
    `palaestra/Maze-v0`. Task keys: `train/17`; of a published maze its file's name and the start, `double_t_maze/1,1`.
    Published ids: `upstream#N`, the number of the game. Game 25 starts on the goal and is refused, as the published server
    does.

    ## Data and licence
    Mazes made on the spot need no data. The published maze is LMRL-Gym's (MIT), with the start positions of AgentGym (MIT).

    ## Papers
    * AgentGym (arXiv:2406.04151): start positions, replies, the reading of ReAct. Left out: its server.
    * LMRL-Gym (arXiv:2311.18232): the maze and its observations, word for word. Left out: its other mazes and rewards.

    ## Version history
    * v0: replies word for word as published; the score of a lost game is 0.

    Raises:
        MissingDataError: If there is no file at `maze`.
        ConfigError: If it, or an argument, cannot be understood.
    """

    commands = Commands
    formats: ClassVar[tuple[ActionFormat, ...]] = (PlainFormat(), ReActFormat(calls=False, marker="first"))
    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # type: ignore[misc]
    snapshot_fields = (*CommandEnv.snapshot_fields, "_num_moves")
    snapshot_types = MappingProxyType({**CommandEnv.snapshot_types, "_num_moves": int})

    def __init__(
        self,
        maze: str | Path | None = None,
        *,
        split: str | None = None,
        max_turns: int | None = 60,
        action_format: str = "text",
        tasks: Mapping[str, Any] | str | Path | None = None,
        compat: str | None = None,
        render_mode: str | None = None,
        **procedural: Any,
    ) -> None:
        """Make the tasks."""
        if compat not in (None, "upstream"):
            raise unknown_name("compat", compat, ["upstream"])
        if maze is not None and not isinstance(maze, str | Path):
            raise ConfigError(f"maze is {maze!r}; expected the path of a maze file, or None for mazes made on the spot.")
        task_set: TaskSet
        self.max_moves = MAX_MOVES
        if maze is None:
            if tasks is not None:
                raise ConfigError("tasks=... goes with maze=PATH; mazes made on the spot are chosen by their keys.")
            if unknown := sorted(set(procedural) - set(ProceduralMazes.__dataclass_fields__)):
                raise unknown_name("argument of Maze", unknown[0], _ARGUMENTS)
            task_set = ProceduralMazes(**procedural).tasks()
        else:
            if procedural:
                raise ConfigError(f"{sorted(procedural)[0]} goes with mazes made on the spot, not with maze=PATH.")
            published = PublishedMaze(maze, tasks)
            task_set, self.max_moves = published, published.max_moves
        super().__init__(
            task_set,
            action_format=action_format,
            split=task_set.splits[0] if split is None else split,
            max_turns=max_turns,
            render_mode=render_mode,
        )
        self.compat = compat
        self._world: MazeWorld | None = None
        self._num_moves = 0  # not the world's: a text that is not a command counts, and changes nothing in the maze

    @property
    def world(self) -> MazeWorld:
        """The world of the current episode."""
        if self._world is None:
            raise EpisodeStateError("There is no world before reset(); call reset() first.")
        return self._world

    # -- the contract ---------------------------------------------------------------------------------------------

    def instructions(self) -> str:
        """Return the rules and the form of an action."""
        form = self.format.describe(self.tools())
        return f"{_prompt().format(max_moves=self.max_moves)}\n\n{form}".strip()

    def expert(self) -> Iterator[str | Message]:
        """Yield the moves of a shortest way; nothing if there is none."""
        while self._playing and (command := self.world.next_move()):
            yield self.written(command, _thought(self.world.maze.goal, self.world.position))

    def available_actions(self) -> Sequence[str | Message]:
        """Return the moves that no wall stops."""
        return [self.written(command) for command in self.world.available_commands()] if self._playing else []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode (see `TextEnv.reset`)."""
        observation, info = super().reset(seed=seed, options=options)
        if self.compat is not None:
            info["upstream"] = {"observation": observation}
        return observation, info

    def render(self) -> Any:
        """Return the maze as text ("ansi"), or as a picture, uint8 of shape (H, W, 3) ("rgb_array")."""
        return self._picture() if self.render_mode == "rgb_array" else super().render()

    def _begin(self, task: Task) -> str:
        """Put the agent on its start."""
        self._world = world = _begun(task)
        self._num_moves = 0
        return world.observation()

    def _command(self, text: str) -> Turn:
        """Play a command; the move after the last one ends the game, whatever it is."""
        self._num_moves += 1
        if self._num_moves > self.max_moves:
            turn = Turn("Failure\n", -1.0, True, score=0.0)
        else:
            reply = self._world.act(text)  # type: ignore[union-attr]  # reset() has been called
            if reply.is_solved:
                turn = Turn(reply.text, 1.0, True, True)
            elif reply.is_known:
                turn = Turn(reply.text)
            else:
                turn = Turn(reply.text, action_error=UNKNOWN_COMMAND.format(command=text[:80]))
        if self.compat is not None:
            turn.info = {"upstream": _reply(turn)}
        return turn

    def _play_calls(self, calls: Any) -> Turn:
        """Play tool calls; the published reply is that to the last command."""
        return self._never_sent(super()._play_calls(calls))

    def _refuse(self, problem: str) -> Turn:
        """Answer an action that cannot even be read."""
        return self._never_sent(super()._refuse(problem))

    def _never_sent(self, turn: Turn) -> Turn:
        """Give our own words where nothing is sent to the published server."""
        if self.compat is not None and not turn.info:
            turn.info = {"upstream": _reply(turn)}
        return turn

    def _save(self) -> Json:
        """Return where the agent stands; the maze is the task's."""
        return list(self.world.position)

    def _load(self, task: Task, state: Json) -> None:
        """Put the agent where it stood."""
        if not fits(state, tuple[int, int]):
            raise TypeError("the position is not two integers")
        self._world = MazeWorld(_begun(task).maze, tuple(state))

    def _check_restored(self) -> None:
        """Refuse a game that goes on beyond its end."""
        if not 0 <= self._num_moves <= self.max_moves + 1 or (self._playing and self._num_moves > self.max_moves):
            raise ValueError(f"{self._num_moves} moves of {self.max_moves} are used")
        if self._playing and self.world.position == self.world.maze.goal:
            raise ValueError("the goal is reached, and the episode goes on")

    def _settings(self) -> dict[str, Json]:
        """Return what an episode depends on in addition to its task, which holds the maze."""
        return {
            "action_format": self.action_format,
            "compat": self.compat,
            "max_moves": self.max_moves,
            "max_turns": self.max_turns,
        }

    def _render_ansi(self) -> str:
        """Return the maze as characters, above the current turn."""
        return super()._render_ansi() if self._world is None else f"{as_text(self._world)}\n{super()._render_ansi()}"

    def _picture(self) -> NDArray[np.uint8]:
        """Return the maze as a picture."""
        return as_picture(self.world)


_ARGUMENTS = (
    *("maze", "split", "max_turns", "action_format", "tasks", "compat", "render_mode"),
    *ProceduralMazes.__dataclass_fields__,
)


def _begun(task: Task) -> MazeWorld:
    """Return the world of a task at its start."""
    try:
        maze, start = Maze.from_json(task.data), task.data["start"]
        if not fits(start, tuple[int, int]):
            raise TypeError("the start is not two integers")
        return MazeWorld(maze, tuple(start))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"Task {task.key!r} is not one of a maze ({error}); take tasks from env.unwrapped.tasks.") from None


def _reply(turn: Turn) -> dict[str, Json]:
    """Return what the published server says in a turn."""
    reward: Json = turn.reward if turn.terminated else 0
    return {"observation": turn.observation, "reward": reward, "done": turn.terminated}


def _thought(goal: Cell, position: Cell) -> str:
    """Return the expert's thought: where the goal lies from here."""
    down, right = goal[0] - position[0], goal[1] - position[1]
    parts = [f"{abs(down)} rows {'below' if down > 0 else 'above'} me"] if down else []
    parts += [f"{abs(right)} columns to my {'right' if right > 0 else 'left'}"] if right else []
    return f"The goal is {' and '.join(parts)}."


@lru_cache(maxsize=1)
def _prompt() -> str:
    """Return the text of the instructions."""
    return (resources.files("palaestra.envs.agentgym.maze") / "prompt.txt").read_text(encoding="utf-8").strip()


__all__ = ["MazeEnv"]
