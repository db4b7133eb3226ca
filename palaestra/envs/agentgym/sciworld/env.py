"""The Gymnasium face of SciWorld."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import resources
from typing import Any, ClassVar

from palaestra.envs.agentgym.sciworld.engine import UNKNOWN, GoldPath, Reply, ScienceWorld, StartScienceWorld
from palaestra.envs.agentgym.sciworld.tasks import SciWorldTasks
from palaestra.envs.agentgym.sciworld.tools import Commands, TeleportCommands
from palaestra.envs.agentgym.sciworld.upstream import UpstreamEpisode
from palaestra.envs.core.engine_command_env import EngineCommandEnv
from palaestra.envs.core.tasks import Task
from palaestra.envs.core.text_env import Turn
from palaestra.envs.formats.action_format import ActionFormat
from palaestra.envs.formats.json_call import JsonCallFormat
from palaestra.envs.formats.plain import PlainFormat
from palaestra.envs.formats.python_call import PythonCallFormat
from palaestra.envs.formats.react import ReActFormat
from palaestra.errors import ConfigError, EpisodeStateError, UsageError, unknown_name
from palaestra.types import Json, Message, ToolCall

VARIABLE = "PALAESTRA_SCIWORLD_JVMS"
"""Environment variable: most JVMs of a process."""

SIMPLIFICATIONS = ("teleportAction", "openDoors", "selfWateringFlowerPots", "openContainers", "noElectricalAction", "easy")
GOLD_TIMEOUT_S = 600.0
"""Limit for the simulator's own solution, in seconds; it takes from one to about thirty on one core."""

_ASIDE = frozenset({"look around", "inventory", "task", "help", "objects"})  # commands that change nothing
_gold_paths: dict[tuple[str, str], GoldPath] = {}  # of repeatable simulators, by task and simplifications


class SciWorldEnv(EngineCommandEnv[ScienceWorld]):
    """Carry out experiments of elementary school science in a simulated house, by text commands.

    ## Description
    A house of ten places with furniture, devices, substances, plants and animals, which heat, melt, mix, conduct and grow.
    The first observation is the task, a line break and a description of the room. There are 30 kinds of tasks (boil, find an
    animal, test conductivity, cross plants, ...) with 10 to 1386 variations each; the kind is the task type. A task of
    AgentGym (arXiv 2406.04151) and AgentGym-RL (arXiv 2509.08755), made for ScienceWorld (arXiv 2203.07540), whose simulator
    (Scala, in a JVM) plays here.

    ## Action
    One command: `open OBJ`, `close OBJ`, `activate OBJ`, `deactivate OBJ`, `connect OBJ to OBJ`, `disconnect OBJ`, `use OBJ
    [on OBJ]`, `look around`, `look at OBJ`, `look in OBJ`, `examine OBJ`, `read OBJ`, `move OBJ to OBJ`, `pick up OBJ`, `put
    down OBJ` (or `drop`), `pour OBJ into OBJ`, `dunk OBJ in OBJ`, `mix OBJ`, `go to LOCATION`, `eat OBJ`, `flush OBJ`, `focus
    on OBJ`, `wait` (10 iterations), `wait1` (one), `task`, `inventory`, `help`, `objects`, `reset task`. A name that fits
    several things is answered by a numbered menu; the next action is the bare number. A number that the menu does not have is
    refused, and the menu waits on (with `compat="upstream"` it cancels the menu, as published); any other text cancels it.

    `action_format` is "text", "react" (the action follows the last `Action:`), "json" (function calling: `{"thought",
    "function_name", "arguments"}`) or "code" (code as action: one Python call in a fence, parsed and never run). The functions
    are AgentGym's, under every argument name that its prompts and its parser have used; `lookin` works, which its parser
    refuses, and `wait(10)` is the command `wait`. Native tool calls are understood in every format.

    ## Observation
    The simulator's reply, word for word. A command that it cannot read is answered by `No known action matches that input.`
    and changes nothing.

    ## Reward
    The change of the score, divided by 100. `score` is 0 to 100, or -100 after a wrong `focus on`; `success` is a score of
    100. Where an agent begins in a place that is a subgoal, the score is above 0 from the first observation, and the rewards
    of a solved episode add up to so much less than 1.

    ## Termination and truncation
    Terminated when the task is completed, or when its score is negative; truncated after `max_turns` messages.

    ## Arguments
    * `split`: "train", "dev" or "test", the simulator's own.
    * `max_turns`: 1000 by default (a solution of 751 commands was seen); AgentGym and AgentGym-RL allow 30.
    * `action_format`: "text", "react", "json" or "code".
    * `tasks`: only these: names or ids of kinds ("boil", "1-1"), keys, published ids.
    * `simplifications`: of the simulator, comma-separated or a list: "easy", "teleportAction", "openDoors",
      "openContainers", "selfWateringFlowerPots", "noElectricalAction". None by default, as AgentGym.
    * `compat`: "upstream" puts the reply of AgentGym's server under `info["upstream"]`: `task_name`, `var_num`,
      `task_description`, `observation`, `reward` (in points), `score`, `deleted` and `done` for `reset`, and four of them for
      `step`. It ends an episode after 100 moves. By default None.
    * `render_mode`: None or "ansi".

    ## Ids
    `palaestra/SciWorld-v0`. Task keys: `boil/15` (kind and variation). Published integers: `upstream#N`, the `data_idx` of
    AgentGym's server (4639 games, without the kinds 5-1, 5-2, 9-1, 9-2, 9-3, 10-1 and 10-2), and `published_ids#N`, the ids of
    AgentTraj-L and AgentEval (4339 games, without 2-3 too; under it the published train and eval sets do not meet).

    ## Available actions
    `available_actions()` is the simulator's own list, several hundred commands, without those about things in closed
    containers, which it lists and then refuses. Asking costs a replay of the episode.

    ## Engine
    Needs the extra `agentgym` and a Java runtime, 11 or later: that of `JAVA_HOME`, else that on the PATH. The first `reset`
    starts a JVM (seconds; 300 episodes leave it at 480 MB). A process has at most 2 of them, or
    `PALAESTRA_SCIWORLD_JVMS`; environments take them from each other between episodes. Episodes are exactly repeatable on
    OpenJDK, whose identity hashes are set to be constant; where a runtime refuses that option, a warning says so once, and a
    few texts in a hundred vary.
    A JVM that dies, runs out of memory or hangs is an `EnvironmentFault`; the next `reset` plays in a new one.

    ## Expert
    The simulator's own solution, made when it is asked for (one to thirty seconds) and checked: if it does not reach 100, or
    if other commands than its own have been played, the expert yields nothing. Of 148 variations of
    all kinds (test split, four to six each) it solves 148, with up to 194 commands. Variations that it is known not to solve
    would be in no split (`unsolved.json`, none so far), and can be asked for by their key.

    ## Data and licence
    The simulator comes with the package `scienceworld` (Apache-2.0). Nothing else is needed.

    ## Papers
    * ScienceWorld (arXiv:2203.07540): the simulator, its tasks and splits. Left out: its agents.
    * AgentGym (arXiv:2406.04151): the first observation, formats of actions, two layouts of ids. Left out: its server.
    * AgentGym-RL (arXiv:2509.08755): the horizon of 30 messages. Left out: its server.

    ## Version history
    * v0: scienceworld 1.2.3.

    Raises:
        MissingExtraError: If the extra is not installed.
        UsageError: If there is no Java that can be used.
    """

    pool = (VARIABLE, 2)
    engines_outlive = True
    full_return = None  # 1 less the score of the first observation
    commands = Commands
    formats: ClassVar[tuple[ActionFormat, ...]] = (
        PlainFormat(),
        ReActFormat(calls=False),
        JsonCallFormat(answers=False),
        PythonCallFormat(answers=False),
    )

    def __init__(
        self,
        *,
        split: str = "train",
        max_turns: int | None = 1000,
        action_format: str = "text",
        tasks: Iterable[str] | str | None = None,
        simplifications: str | Iterable[str] = "",
        compat: str | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Check the arguments; no JVM is started."""
        if compat not in (None, "upstream"):
            raise unknown_name("compat", compat, ["upstream"])
        self.simplifications = _simplifications(simplifications)
        if "teleportAction" in self.simplifications or self.simplifications == "easy":
            self.commands = TeleportCommands  # type: ignore[misc]
        super().__init__(
            SciWorldTasks([tasks] if isinstance(tasks, str) else tasks),
            StartScienceWorld(),
            split=split,
            max_turns=max_turns,
            action_format=action_format,
            render_mode=render_mode,
        )
        self.compat = compat
        self._points = 0
        self._played: list[str] = []  # commands since the beginning that changed something
        self._upstream: UpstreamEpisode | None = None
        self._answer: dict[str, Json] = {}

    # -- the contract ---------------------------------------------------------------------------------------------

    def instructions(self) -> str:
        """Return the rules and the form of an action."""
        parts = [_prompt("prompt.txt"), self.format.describe(self.tools())]
        if self.commands is TeleportCommands:
            parts.insert(1, _prompt("prompt_teleport.txt"))
        return "\n\n".join(part for part in parts if part)

    def expert(self) -> Iterator[str | Message]:
        """Yield the commands of the simulator's own solution, from where the episode is in it.

        Nothing where the simulator does not solve the variation itself, or another command than that of the solution has
        been played (commands that only look do not count).
        """
        gold: GoldPath | None = None
        while self.task is not None and self._playing:
            gold = gold or self._ask(self._gold, self.task, what="expert()")
            acts = [command for command in gold.commands if command not in _ASIDE]
            done = len(self._played)
            if not gold.is_solved or acts[:done] != self._played or done == len(acts):
                return
            yield self.written(self._said(acts[done]))

    def available_actions(self) -> Sequence[str | Message]:
        """Return the commands that mean something now, several hundred; forms of calls leave out those without a function."""
        if self.task is None:
            self.state_hash()  # says that there is no state yet
        if not self._playing:
            return []
        commands = self._ask(ScienceWorld.valid_actions)
        self._leased().is_behind = True  # listing has drawn from the world's chance: the next call plays the episode again
        said = [self._said(command) for command in commands]
        return [self.written(one) for one in said if isinstance(one, ToolCall) or not self.format.needs_tools]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode (see `TextEnv.reset`)."""
        observation, info = super().reset(seed=seed, options=options)
        self._score = float(self._points)  # of a room that is a subgoal, if the agent begins in it
        if self.compat is not None:
            info["upstream"] = self._answer
        return observation, info

    # -- the engine -----------------------------------------------------------------------------------------------

    def _start(self, engine: ScienceWorld, task: Task, seed: int) -> str:
        """Load the variation and look around; the simulator has no chance beyond it."""
        del seed
        name, variation = _place(task)
        description = engine.load(name, variation, self.simplifications)
        reply = engine.step("look around")
        self._points, self._played = reply.score, []
        if not engine.is_repeatable:
            self.replays_exactly = False  # type: ignore[misc]
        if self.compat is not None:
            self._upstream = UpstreamEpisode(name, variation)
            self._answer = self._upstream.begin(description, reply)
        return f"{description}\n{reply.text}"

    def _load(self, task: Task, state: Json) -> None:
        """Take over a saved state."""
        try:
            _place(task)
        except UsageError as error:
            raise EpisodeStateError(str(error)) from None
        super()._load(task, state)

    def _execute(self, engine: ScienceWorld, command: str) -> Turn:
        """Play one command."""
        if engine.menu_size and self._upstream is None and (problem := _wrong_number(command, engine.menu_size)):
            return Turn(problem, score=float(self._points), action_error=problem)
        reply = engine.step(command)
        turn = self._turn(command, reply)
        if self._upstream is not None:
            turn.info = {"upstream": self._upstream.answer(reply, engine.num_moves())}
        return turn

    def _turn(self, command: str, reply: Reply) -> Turn:
        """Return the turn that a reply stands for."""
        if reply.text == UNKNOWN:
            return Turn(UNKNOWN, score=float(self._points), action_error=UNKNOWN)
        if command not in _ASIDE:
            self._played.append(command)
        gained, self._points = reply.score - self._points, reply.score
        return Turn(
            reply.text,
            gained / 100,
            terminated=reply.is_over or reply.score < 0,
            success=reply.score == 100,
            score=float(reply.score),
        )

    def _gold(self, engine: ScienceWorld, task: Task) -> GoldPath:
        """Return the simulator's own solution; it is made in the engine, which is brought back into the present state."""
        place = task.key, self.simplifications
        if (known := _gold_paths.get(place)) is not None:
            return known
        lease = self._leased()
        lease.restart_clock(GOLD_TIMEOUT_S)
        gold = engine.gold_path(*_place(task), self.simplifications)
        lease.restart_clock(self.call_timeout_s)
        if engine.is_repeatable:
            _gold_paths[place] = gold
        self._replay(engine, lease)
        return gold

    def _said(self, command: str) -> str | ToolCall:
        """Return a command as a call where the form in use has nothing else."""
        if not self.format.needs_tools:
            return command
        call = self._commands.call_of(command) if isinstance(self._commands, Commands) else None
        return command if call is None else call

    # -- what is never sent ----------------------------------------------------------------------------------------

    def _play_calls(self, calls: Sequence[ToolCall]) -> Turn:
        """Play tool calls; the published reply is that to the last command."""
        return self._never_sent(super()._play_calls(calls))

    def _refuse(self, problem: str) -> Turn:
        """Answer an action that cannot even be read."""
        return self._never_sent(super()._refuse(problem))

    def _never_sent(self, turn: Turn) -> Turn:
        """Say what the published client says where it sends nothing to its server."""
        if self._upstream is not None and not turn.info:
            turn.info = {"upstream": self._upstream.never_sent()}
        return turn


def _place(task: Task) -> tuple[str, int]:
    """Return kind and variation of a task."""
    name, variation = task.data.get("task"), task.data.get("variation")
    if not isinstance(name, str) or not isinstance(variation, int):
        raise UsageError(f"Task {task.key!r} has no 'task' and 'variation'; take tasks from env.unwrapped.tasks.")
    return name, variation


_NUMBER = re.compile(r"[+-]?\d{1,100}")


def _wrong_number(answer: str, size: int) -> str:
    """Return the reason why a number is not an answer to a menu; empty for one that is, and for what is not a number."""
    answer = answer.strip()
    if _NUMBER.fullmatch(answer) is None or (answer.isascii() and 0 <= int(answer) < size):
        return ""
    return (
        f"The menu has the numbers 0 to {size - 1}, and {answer[:20]!r} is not one of them. Send one of these numbers in the "
        f"digits 0 to 9; any text that is not a number cancels the menu."
    )


def _simplifications(given: str | Iterable[str]) -> str:
    """Return simplifications as the simulator takes them."""
    if not isinstance(given, str) and not isinstance(given, Iterable):
        raise ConfigError(f"simplifications is {given!r}; expected names such as 'easy' or 'openDoors,teleportAction'.")
    names = [name.strip() for name in (given.split(",") if isinstance(given, str) else given)]
    for name in filter(None, names):
        if name not in SIMPLIFICATIONS:
            raise unknown_name("simplification", name, SIMPLIFICATIONS)
    return ",".join(dict.fromkeys(filter(None, names)))


@cache
def _prompt(name: str) -> str:
    """Return a part of the instructions."""
    return (resources.files("palaestra.envs.agentgym.sciworld") / name).read_text(encoding="utf-8").strip()


__all__ = ["SIMPLIFICATIONS", "VARIABLE", "SciWorldEnv"]
