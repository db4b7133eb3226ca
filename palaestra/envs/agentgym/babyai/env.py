"""The Gymnasium face of BabyAI."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from palaestra.envs.agentgym.babyai.engine import LEVELS
from palaestra.envs.agentgym.babyai.expert import Route
from palaestra.envs.agentgym.babyai.tasks import LevelTasks, listed_tasks
from palaestra.envs.agentgym.babyai.tools import Commands
from palaestra.envs.agentgym.babyai.view import STATES
from palaestra.envs.agentgym.babyai.world import BabyAIWorld, Reply
from palaestra.envs.core.command_env import CommandEnv
from palaestra.envs.core.tasks import Task, TaskSet
from palaestra.envs.core.text_env import Turn
from palaestra.envs.core.typed import fits
from palaestra.envs.formats.action_format import ActionFormat
from palaestra.envs.formats.plain import PlainFormat
from palaestra.envs.formats.react import ReActFormat
from palaestra.errors import ConfigError, EpisodeStateError, UsageError, unknown_name
from palaestra.types import Json, Message

PASSES_ABOVE = 0.5
"""Reward above which the published server lets an episode end."""


class BabyAIEnv(CommandEnv):
    """Reach goals told in plain English in rooms of objects and doors, by text commands.

    ## Description
    An agent sees seven by seven cells ahead of it, told in words, and has a mission such as "go to the red ball", "pick up a
    key on your left", "put the box next to the ball" or two of these in a row. Forty levels of minigrid's BabyAI, from one
    room to nine with locked doors; the level is the task type. A task of AgentGym (arXiv 2406.04151) and AgentGym-RL (arXiv
    2509.08755), made of BabyAI (arXiv 1810.08272).

    ## Action
    One of the listed actions: `turn left`, `turn right`, `move forward`, `go to OBJECT N`, `pickup OBJECT N` (or `pick up`),
    `drop`, `go through DOOR N`, `toggle and go through DOOR N`, `toggle`, `check available actions`. Each is a shortest plan
    of primitive steps within view, played up to the first step that leaves the view as it is. With `action_format="react"` it
    is taken from the message's single `Action:` line, less every character that is not a letter, digit, comma or space. An
    assistant `Message` may instead call the tools (`turn`, `move_forward`, `go_to`, `pickup`, `drop`, `go_through`, `toggle`,
    ...), several at once; the same calls written as Hermes tags in plain text are understood.

    ## Observation
    First `Your goal: ...`, then the state: objects in view by distance with their place, walls ahead, what is carried; and a
    line `Available actions: [...]`. What cannot be done is answered with the reason and changes nothing.

    ## Reward
    When the mission is accomplished, minigrid's value, `1 - 0.9 * steps / max_steps` (primitive steps; `max_steps` is the
    level's), else 0. `score` is the same, `success` whether it is above 0; there is no fixed full return.

    ## Termination and truncation
    Terminated when the mission is accomplished, also in the middle of an action, or can no longer be (levels with "Debug" in
    their name). Truncated after `max_turns` messages. minigrid's own limit of steps, which AgentGym ignores, lowers the value
    only.

    ## Arguments
    * `levels`: names of the levels that tasks are drawn from, e.g. `["GoToRedBall", "Pickup"]`; by default all but two that
      the expert does not solve (`OpenDoorsOrderN4Debug`, `KeyInBox`). `reset(options={"task": ...})` takes any.
    * `split`: "train" or "test"; a task belongs to one of them permanently, and none begins like one of the other split.
    * `max_turns`: 128 by default (AgentGym-RL: 20).
    * `numbering`: "published", where `pickup` and `go to` number only what can be reached, so that numbers may differ from
      those of the state; or "fixed": each object has one number, and `toggle` also closes doors and opens boxes.
    * `action_format`: "text" or "react".
    * `tasks`: published files by the name of the mapping that their ids belong to: `{"agenteval": PATH}`,
      `{"agenttraj": {"path": PATH, "split": "train"}}`. A game that is in the files of both splits is refused.
    * `num_test_tasks`: number of test tasks.
    * `compat`: "upstream" puts the reply of AgentGym's server under `info["upstream"]`: `observation`, `reward`, `score`
      (the sum of the rewards), `done`, and on reset `deleted`. The episode then continues where the server's does: past an end
      that is worth 0.5 or less, or that lies in the middle of an action. By default None.
    * `render_mode`: None, "ansi" or "rgb_array".

    ## Ids
    `palaestra/BabyAI-v0`. Task keys: `BabyAI-GoToRedBall-v0/17`, level and seed. Published ids: `upstream#N`, level `N % 40 +
    1`, seed `N // 40`. `BabyAI-GoToObjS6-v0`, which minigrid 3 no longer has, is `GoToObj` with rooms of size 4.

    ## Data and licence
    The levels are minigrid's (Apache-2.0), installed with the extra `agentgym`. minigrid brings pygame (LGPL), which is not
    imported here.

    ## Papers
    * AgentGym (arXiv:2406.04151): states, actions and replies, word for word. Left out: its server.
    * AgentGym-RL (arXiv:2509.08755): the horizon and the reading of ReAct. Left out: its server.
    * BabyAI (arXiv:1810.08272): levels, missions and bot, by way of minigrid. Left out: its pictures as observations.

    ## Version history
    * v0: replies word for word as AgentGym's wrapper on minigrid 3.2; fixed: a mission that is accomplished in the middle of
      an action, or for little reward, ends the episode, and its value counts once.

    Raises:
        MissingExtraError: If minigrid is not installed.
        ConfigError: If an argument cannot be understood.
    """

    commands = Commands
    formats: ClassVar[tuple[ActionFormat, ...]] = (PlainFormat(), ReActFormat(calls=False, marker="only", sanitise=True))
    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # type: ignore[misc]
    full_return: ClassVar[float | None] = None
    snapshot_fields = (*CommandEnv.snapshot_fields, "_value", "_upstream")
    snapshot_types = MappingProxyType({**CommandEnv.snapshot_types, "_value": float, "_upstream": tuple[float, float]})

    def __init__(
        self,
        levels: Iterable[str] | str | None = None,
        *,
        split: str | None = None,
        max_turns: int | None = 128,
        numbering: str = "published",
        action_format: str = "text",
        tasks: Mapping[str, Any] | str | Path | None = None,
        num_test_tasks: int = 1000,
        compat: str | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Make the tasks; minigrid is imported by the first `reset`."""
        if compat not in (None, "upstream"):
            raise unknown_name("compat", compat, ["upstream"])
        if numbering not in ("published", "fixed"):
            raise unknown_name("numbering", numbering, ["published", "fixed"])
        task_set: TaskSet
        if tasks is None:
            task_set = LevelTasks(levels, num_test_tasks)
        elif levels is not None:
            raise ConfigError("levels=... and tasks=... exclude each other: the items of published files name their levels.")
        else:
            task_set = listed_tasks(tasks)
        super().__init__(
            task_set,
            action_format=action_format,
            split=task_set.splits[0] if split is None else split,
            max_turns=max_turns,
            render_mode=render_mode,
        )
        self.numbering = numbering
        self.compat = compat
        self._world: BabyAIWorld | None = None
        self._value = 0.0  # of an accomplished mission; with compat="upstream" the episode may go on behind it
        self._upstream: list[float] = [0.0, 0.0]  # the server's last reward, and the sum of its rewards

    @property
    def world(self) -> BabyAIWorld:
        """The world of the current episode."""
        if self._world is None:
            raise EpisodeStateError("There is no world before reset(); call reset() first.")
        return self._world

    # -- the contract ---------------------------------------------------------------------------------------------

    def instructions(self) -> str:
        """Return the rules and the form of an action."""
        return f"{_prompt()}\n\n{self.format.describe(self.tools())}".strip()

    def expert(self) -> Iterator[str | Message]:
        """Yield actions that accomplish the mission, planned by minigrid's bot; nothing where it has no plan."""
        route = Route(self.world) if self._playing else None
        while self._playing and route is not None:
            command = route.next_command(self.world)
            if not command:
                route = Route(self.world)  # somebody else acted
                if not (command := route.next_command(self.world)):
                    return
            yield self.written(command, f"My goal is to {self.world.goal}.")

    def available_actions(self) -> Sequence[str | Message]:
        """Return the listed actions that change something."""
        if not self._playing:
            return []
        choices = self.world.choices
        texts = [action.text for action in choices.actions.values() if "check" in action.text or choices.plan(action)]
        return [self.written(text) for text in texts]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode (see `TextEnv.reset`)."""
        observation, info = super().reset(seed=seed, options=options)
        if self.compat is not None:
            info["upstream"] = {"observation": observation, "reward": 0, "score": 0, "deleted": False, "done": False}
        return observation, info

    def render(self) -> Any:
        """Return the level as text ("ansi"), or as a picture, uint8 of shape (H, W, 3) ("rgb_array")."""
        if self.render_mode == "rgb_array":
            return self.world.level.get_frame(highlight=True, tile_size=_TILE)
        return super().render()

    def _begin(self, task: Task) -> str:
        """Begin a level."""
        level: Any = task.data.get("level")
        seed: Any = task.data.get("seed")
        if level not in LEVELS or not fits(seed, int) or seed < 0:
            raise UsageError(f"Task {task.key!r} is not one of BabyAI; take tasks from env.unwrapped.tasks.")
        self._world = world = BabyAIWorld.begin(level, seed, is_fixed=self.numbering == "fixed")
        self._draw_from(**_names_in(world.level))
        self._value, self._upstream = 0.0, [0.0, 0.0]
        return f"Your goal: {world.goal}\n{world.observation()}{world.listed()}"

    def _command(self, text: str) -> Turn:
        """Play a command."""
        world: BabyAIWorld = self._world  # type: ignore[assignment]  # reset() has been called
        reply = world.act(text)
        gained = reply.value if not self._value else 0.0
        self._value += gained
        is_over = reply.ended
        info = None
        if self.compat is not None:
            published = self._published(reply)
            is_over, info = bool(published["done"]), {"upstream": published}
        return Turn(
            reply.text + world.listed(),
            gained,
            is_over,
            self._value > 0,
            score=self._value,
            action_error=reply.problem,
            info=info,
        )

    def _published(self, reply: Reply) -> dict[str, Json]:
        """Return the reply of the published server; what plays nothing repeats its last reward."""
        last, total = self._upstream
        if reply.last_reward is not None:
            last = reply.last_reward
        self._upstream = [last, total + last]
        return {
            "observation": reply.published + self.world.listed(),
            "reward": last or 0,
            "score": total + last or 0,
            "done": reply.last_ended and last > PASSES_ABOVE,
        }

    def _play_calls(self, calls: Any) -> Turn:
        """Play tool calls; the published reply is that to the last command."""
        return self._never_sent(super()._play_calls(calls))

    def _refuse(self, problem: str) -> Turn:
        """Answer an action that cannot even be read."""
        return self._never_sent(super()._refuse(problem))

    def _never_sent(self, turn: Turn) -> Turn:
        """Give our own words where nothing is sent to the published server, and keep what was reached."""
        if turn.score is None:
            turn.score, turn.success = self._value, self._value > 0
        if self.compat is not None and not turn.info:
            turn.info = {"upstream": {"observation": turn.observation, "reward": 0, "score": self._upstream[1], "done": False}}
        return turn

    def _save(self) -> Json:
        """Return the state of the level."""
        return self.world.to_json()

    def _load(self, task: Task, state: Json) -> None:
        """Set the level to a saved state."""
        self._world = BabyAIWorld.from_json(state)
        self._draw_from(**_names_in(self._world.level))
        if state["level"] != task.data["level"] or state["is_fixed"] != (self.numbering == "fixed"):
            raise ValueError("the state is one of another task")

    def _check_restored(self) -> None:
        """Refuse values that no mission is worth."""
        if not 0 <= self._value <= 1:
            raise ValueError(f"the value is {self._value}")

    def _settings(self) -> dict[str, Json]:
        """Return what an episode depends on in addition to its task."""
        return {
            "action_format": self.action_format,
            "compat": self.compat,
            "max_turns": self.max_turns,
            "numbering": self.numbering,
        }

    def _render_ansi(self) -> str:
        """Return the level as characters, above the current turn."""
        if self._world is None:
            return super()._render_ansi()
        return f"{self._world.level.pprint_grid()}\n{super()._render_ansi()}"


_TILE = 16  # pixels of a cell


def _names_in(level: Any) -> dict[str, list[Json]]:
    """Return what actions may name in a level, by argument: things, doors in each of their states, numbers."""
    found = {(cell.color, cell.type) for cell in level.grid.grid if cell is not None and cell.type not in ("wall", "floor")}
    doors = [f"{colour} {state} door" for colour, kind in sorted(found) if kind == "door" for state in STATES]
    things = [f"{colour} {kind}" for colour, kind in sorted(found) if kind != "door"]
    return {"thing": [*things, *doors], "door": list(doors), "number": [1, 2]}


@lru_cache(maxsize=1)
def _prompt() -> str:
    """Return the text of the instructions."""
    return (resources.files("palaestra.envs.agentgym.babyai") / "prompt.txt").read_text(encoding="utf-8").strip()


__all__ = ["BabyAIEnv"]
