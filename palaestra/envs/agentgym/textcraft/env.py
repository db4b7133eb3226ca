"""The Gymnasium face of TextCraft."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from palaestra.envs.agentgym.textcraft.books import builtin_book, load_book
from palaestra.envs.agentgym.textcraft.planner import Planner
from palaestra.envs.agentgym.textcraft.procedural import ProceduralWorlds, Vocabulary
from palaestra.envs.agentgym.textcraft.published import Published, published_tasks
from palaestra.envs.agentgym.textcraft.recipes import RecipeBook
from palaestra.envs.agentgym.textcraft.tasks import (
    ListedTasks,
    book_tasks,
    draw_commands,
    tasks_of_depth,
    variant_generator,
)
from palaestra.envs.agentgym.textcraft.tools import Commands
from palaestra.envs.agentgym.textcraft.upstream import UpstreamEngine
from palaestra.envs.agentgym.textcraft.world import TextCraftWorld
from palaestra.envs.core.command_env import CommandEnv
from palaestra.envs.core.tasks import Task, TaskSet
from palaestra.envs.core.text_env import Turn
from palaestra.envs.formats.action_format import ActionFormat
from palaestra.envs.formats.plain import PlainFormat
from palaestra.envs.formats.react import ReActFormat
from palaestra.errors import ConfigError, EpisodeStateError, UsageError, unknown_name
from palaestra.types import Json, Message, ToolCall


class TextCraftEnv(CommandEnv):
    """Craft a goal item from a list of recipes, by text commands.

    ## Description
    The first observation lists crafting commands, most of them useless, and names a goal item. The agent gets what no
    recipe makes, crafts the parts bottom-up and finally the goal. Depth, the number of crafting levels, is the task
    type ("depth-1" ...). A task of AgentGym (arXiv 2406.04151) and AgentGym-RL (arXiv 2509.08755), made for ADaPT
    (arXiv 2311.05772).

    ## Action
    One command: `get N ITEM`, `craft N ITEM using N ITEM, N ITEM, ...` or `inventory`. The text before the first line
    break counts, from its start; `N` before the crafted item may be anything, every ingredient needs its exact count.
    A recipe's generic ingredient ("plank") stands for any one item of that kind ("oak plank"). With
    `action_format="react"` the command is taken from the message's single `Action:` line, less every character that is
    not a letter, digit, comma or space. An assistant `Message` may instead call the tools `craft`, `get` and
    `inventory`, several at once; the same calls written as Hermes tags in plain text are understood.

    ## Observation
    First `Crafting commands:`, one command per line, an empty line and `Goal: craft NAME.`; then the reply to each
    command: `Got N NAME`, `Crafted N ID`, `Inventory: [NAME] (N) ...`, or what was wrong (`Could not find ...`, `Wrong
    item format: ...`, `Could not find enough items to craft ...`, `Could not find a valid recipe for ...`, `Could not
    execute ...`). Replies of several tool calls come on lines of their own.

    ## Reward
    1 when the goal item is obtained, else 0. `score` is the same, `success` whether it is 1.

    ## Termination and truncation
    Terminated when the goal item is obtained, truncated after `max_turns` messages. A failed command costs a turn and
    changes nothing.

    ## Arguments
    * `recipes`: None for the built-in book; "procedural" for a new small recipe world per task; or a path: a folder of
      Minecraft recipe files, or a text file in the format of `data/workshop.txt`.
    * `split`: "train" or "test"; a goal belongs to one of them permanently. By default "train", or the split of the
      first of `tasks`.
    * `max_turns`: 30 by default, as AgentGym-RL evaluates (AgentEvol: 20).
    * `distractors`: most commands shown in addition to those the goal may need.
    * `action_format`: "text" or "react".
    * `tasks`: only these tasks: a list of keys, `Task`s and `{"goal": ID, "commands": LINES}`; or published files by the
      name of the mapping that their ids belong to: `{"agenteval": PATH}`, `{"agenttraj": {"path": PATH, "split": "train"}}`.
    * `compat`: "upstream" puts the reply of AgentGym's server under `info["upstream"]` (`observation`, `reward`, `done`),
      bug for bug; where a message never reaches the server, what the published client says instead. By default None.
    * `depth`: least and greatest depth of a goal, e.g. (1, 2): of a book, only such goals; of procedural worlds, those drawn.
    * For `recipes="procedural"` alone, see `ProceduralWorlds`: `max_ingredients`, `max_count`, `max_yield`, `branching`,
      `num_names`, `name_words`, `num_test_tasks`.
    * `render_mode`: None or "ansi".

    ## Ids
    `palaestra/TextCraft-v0`. Task keys: `workshop:ladder` (command list drawn with the episode's seed),
    `workshop:ladder#3` (always list number 3); procedural: `train/17`. Published integer ids depend on the directory
    order of one machine; of files that `tasks` names they are read as `MAPPING#N`, e.g. `agenteval#160`, each with the
    goal and the command list of its first observation. The canonical order (depth, item id) is `env.unwrapped.book.goals`.

    ## Data and licence
    The built-in book is part of this package (Apache-2.0). The published tasks use the recipe files of Minecraft 1.16,
    e.g. from AgentGym (MIT): pass their folder as `recipes`.

    ## Papers
    * AgentGym (arXiv:2406.04151): the engine's replies, word for word. Left out: its server.
    * AgentGym-RL (arXiv:2509.08755): the horizon of 30 messages and the reading of ReAct. Left out: its server.
    * ADaPT (arXiv:2311.05772): the task.

    ## Version history
    * v0: replies word for word as AgentGym's engine; fixed: an ingredient listed twice cannot take more than is
      carried, counts of 0 or above a million are not executed, looking at a goal's recipes does not change them.

    Raises:
        MissingDataError: If there is nothing to read at `recipes`.
        ConfigError: If a recipe file or an argument cannot be understood.
    """

    commands = Commands
    formats: ClassVar[tuple[ActionFormat, ...]] = (PlainFormat(), ReActFormat(calls=False, marker="only", sanitise=True))

    def __init__(
        self,
        recipes: str | Path | None = None,
        *,
        split: str | None = None,
        max_turns: int | None = 30,
        distractors: int = 10,
        action_format: str = "text",
        tasks: Iterable[str | Task | Mapping[str, Any]] | Mapping[str, Any] | str | Path | None = None,
        compat: str | None = None,
        render_mode: str | None = None,
        **procedural: Any,
    ) -> None:
        """Load the recipes and make the tasks."""
        if compat not in (None, "upstream"):
            raise unknown_name("compat", compat, ["upstream"])
        if not isinstance(distractors, int) or isinstance(distractors, bool) or distractors < 0:
            raise ConfigError(f"distractors is {distractors!r}; expected an integer of at least 0.")
        if recipes is not None and not isinstance(recipes, str | Path):
            raise ConfigError(f"recipes is {recipes!r}; expected None, 'procedural' or a path.")
        self.book: RecipeBook | None = None  # procedural tasks bring their own
        task_set: TaskSet
        if recipes == "procedural":
            if tasks is not None:
                raise ConfigError(
                    "tasks=... goes with a recipe book; procedural tasks are chosen by reset(options={'task': KEY})."
                )
            worlds = ProceduralWorlds.from_options(procedural, distractors=distractors)
            task_set = worlds.tasks()
            sampler = CommandSampler.of_vocabulary(worlds.vocabulary, action_format)
        else:
            depth = procedural.pop("depth", None)
            if procedural:
                raise unknown_name("argument of TextCraft", sorted(procedural)[0], _ARGUMENTS, hint=_PROCEDURAL_HINT)
            self.book = builtin_book() if recipes is None else load_book(recipes)
            task_set = _tasks_of(self.book, tasks, depth)
            sampler = CommandSampler.of_book(self.book, action_format)
        if split is None:
            split = "train" if tasks is None else task_set.splits[0]
        super().__init__(
            task_set,
            action_format=action_format,
            sampler=sampler,
            split=split,
            max_turns=max_turns,
            render_mode=render_mode,
        )
        self.distractors = distractors
        self._world: TextCraftWorld | None = None
        self._planner: Planner | None = None
        self.compat = compat
        self._upstream: list[Json] | None = None  # what the published server's engine carries
        if compat is not None:  # not the world's: a message that we refuse may change it
            self.snapshot_fields = (*self.snapshot_fields, "_upstream")  # type: ignore[misc]

    # -- the contract ---------------------------------------------------------------------------------------------

    @property
    def world(self) -> TextCraftWorld:
        """The world of the current episode."""
        if self._world is None:
            raise EpisodeStateError("There is no world before reset(); call reset() first.")
        return self._world

    def instructions(self) -> str:
        """Return the rules and the form of an action."""
        return _prompt(self.action_format)

    def expert(self) -> Iterator[str | Message]:
        """Yield commands that obtain the goal, planned again from what is carried; nothing if there is no plan."""
        world = self.world
        if self._planner is None or self._planner.book is not world.book:
            self._planner = Planner(world.book)
        while self._playing and (plan := self._planner.plan(world.goal, world.inventory)):
            yield self.written(plan[0], _thought(plan[0]))

    def available_actions(self) -> Sequence[str | Message]:
        """Return the commands that do something now: `inventory`, one of each item to be had, and all that can be crafted."""
        return [self.written(command) for command in self.world.available_commands()] if self._playing else []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode (see `TextEnv.reset`)."""
        observation, info = super().reset(seed=seed, options=options)
        if self.compat is not None:
            self._upstream = []
            info["upstream"] = _reply(observation)
        return observation, info

    def _begin(self, task: Task) -> str:
        """Draw the command list and empty the inventory."""
        book, goal = self._book_for(task), task.data["goal"]
        if "commands" in task.data:
            commands = task.data["commands"]
        elif "variant" in task.data:
            commands = draw_commands(book, goal, self.distractors, variant_generator(goal, task.data["variant"]))
        else:
            commands = draw_commands(book, goal, self.distractors, self.np_random)
        self._world = TextCraftWorld(book, goal, commands)
        return self._world.observation()

    def _command(self, text: str) -> Turn:
        """Play a command."""
        reply = self._world.act(text)  # type: ignore[union-attr]  # reset() has been called
        if reply.is_error:
            turn = Turn(reply.text, action_error=reply.text)
        else:
            turn = Turn(reply.text, 1.0, True, True) if reply.is_solved else Turn(reply.text)
        if self._upstream is not None:
            engine = UpstreamEngine.carrying(self.world.book, self.world.goal, self._upstream)
            turn.info = {"upstream": engine.answer(text)}
            self._upstream = engine.carried()
        return turn

    def _play_calls(self, calls: Sequence[ToolCall]) -> Turn:
        """Play tool calls; the published reply is that to the last command."""
        return self._never_sent(super()._play_calls(calls))

    def _refuse(self, problem: str) -> Turn:
        """Answer an action that cannot even be read."""
        return self._never_sent(super()._refuse(problem))

    def _never_sent(self, turn: Turn) -> Turn:
        """Say what the published client says where it sends nothing to its server."""
        if self._upstream is not None and not turn.info:
            turn.info = {"upstream": _reply(turn.observation)}
        return turn

    def _save(self) -> Json:
        """Return the state of the world."""
        return self.world.to_json()

    def _load(self, task: Task, state: Json) -> None:
        """Set the world to a saved state."""
        self._world = TextCraftWorld.from_json(state, self._book_for(task))

    def _settings(self) -> dict[str, Json]:
        """Return what an episode depends on; of recipes not where they lie, but which they are."""
        recipes = "of the task" if self.book is None else self.book.digest
        return {
            "action_format": self.action_format,
            "compat": self.compat,
            "max_turns": self.max_turns,
            "recipes": recipes,
        }

    def _book_for(self, task: Task) -> RecipeBook:
        """Return the recipes that hold in a task."""
        book = ProceduralWorlds.book_of(task) if self.book is None else self.book
        goal = task.data.get("goal")
        if not isinstance(goal, str) or goal not in book.items:
            raise UsageError(
                f"Task {task.key!r} has no goal that these recipes know ({goal!r}); take tasks from "
                f"env.unwrapped.tasks, or make one with tasks.explicit_task(book, goal, commands)."
            )
        return book


def _tasks_of(book: RecipeBook, tasks: Any, depth: Any) -> TaskSet:
    """Return the task set that the arguments `tasks` and `depth` ask for."""
    if tasks is None:
        return book_tasks(book) if depth is None else tasks_of_depth(book, depth)
    if depth is not None:
        raise ConfigError("depth=... chooses among all goals of a book; leave it out where tasks=... names them.")
    if isinstance(tasks, str | Path) or (isinstance(tasks, Mapping) and "goal" not in tasks):
        published: Published = published_tasks(book, tasks)
        return ListedTasks(book, published.tasks, aliases=published.aliases)
    if isinstance(tasks, Mapping):
        raise UsageError(f"tasks is {tasks!r}; expected a list of tasks: tasks=[...].")
    return ListedTasks(book, tasks)


def _reply(observation: str) -> dict[str, Json]:
    """Return a reply of the published server that ends nothing and rewards nothing."""
    return {"observation": observation, "reward": 0, "done": False}


@dataclass(frozen=True)
class CommandSampler:
    """Draws well-formed commands: a recipe line, a `get` of something gettable, or `inventory`.

    Attributes:
        lines: Crafting commands to draw from.
        items: Names of items to get.
        action_format: Form of the action.
    """

    lines: tuple[str, ...]
    items: tuple[str, ...]
    action_format: str = "text"

    @classmethod
    @lru_cache(maxsize=8)
    def of_book(cls, book: RecipeBook, action_format: str) -> CommandSampler:
        """Draw from everything in a book; made once per book."""
        gettable = tuple(book.name(item) for item in sorted(book.items) if book.is_gettable(item))
        return cls(tuple(book.line(recipe) for recipe in book.recipes), gettable, action_format)

    @classmethod
    def of_vocabulary(cls, vocabulary: Vocabulary, action_format: str) -> CommandSampler:
        """Draw names from a vocabulary."""
        return cls((), vocabulary.names, action_format)

    def __call__(self, rng: np.random.Generator) -> str:
        """Draw an action."""
        choice = rng.random()
        if choice < 0.1:
            command = "inventory"
        elif choice < 0.55:
            command = f"get {rng.integers(1, 5)} {self._item(rng)}"
        elif self.lines:
            command = self.lines[rng.integers(len(self.lines))]
        else:
            inputs = ", ".join(f"{rng.integers(1, 4)} {self._item(rng)}" for _ in range(rng.integers(1, 3)))
            command = f"craft 1 {self._item(rng)} using {inputs}"
        return f"Action: {command}" if self.action_format == "react" else command

    def _item(self, rng: np.random.Generator) -> str:
        """Draw the name of an item."""
        return self.items[rng.integers(len(self.items))]


_PROCEDURAL_OPTIONS = tuple(ProceduralWorlds.option_names())
_ARGUMENTS = (
    "recipes",
    "split",
    "max_turns",
    "distractors",
    "action_format",
    "tasks",
    "compat",
    "render_mode",
    *_PROCEDURAL_OPTIONS,
)
_PROCEDURAL_HINT = f"With recipes='procedural' there are also {', '.join(n for n in _PROCEDURAL_OPTIONS if n != 'depth')}."


@lru_cache(maxsize=2)
def _prompt(action_format: str) -> str:
    """Return the text of the instructions."""
    folder = resources.files("palaestra.envs.agentgym.textcraft")
    text = (folder / "prompt.txt").read_text(encoding="utf-8")
    if action_format == "react":
        text += (folder / "prompt_react.txt").read_text(encoding="utf-8")
    return text.strip()


def _thought(command: str) -> str:
    """Return the expert's thought with a command."""
    words = command.split(" using ")[0].split(" ", 2)
    return f"I still need {words[1]} {words[2]}." if words[0] == "get" else f"I carry all that {words[2]} takes."
