"""The environment contract: a world (plain Python) behind a Gymnasium face.

An author writes a world, a `TaskSet`, and a `TextEnv` with four hooks: `_begin`, `_act`, `_save`, `_load`. Everything
that the contract promises (seeding, options, info, turn limit, refusal of unusable actions, snapshots, rendering) is
done once: the episode here, the choice of a task in `tasks`, the refusal of unusable actions in `actions`, the bytes of a
snapshot in `snapshots`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, SupportsFloat

import gymnasium

from palaestra.envs.core.actions import as_action, refused_results, show_turn, unusable
from palaestra.envs.core.snapshots import digest, read_snapshot, settings_of, write_snapshot
from palaestra.envs.core.tasks import Task, TaskSet, wanted_task
from palaestra.envs.formats.hermes import format_results
from palaestra.envs.formats.reasoning import said
from palaestra.errors import BoundaryError, ConfigError, EpisodeStateError, PalaestraError, unknown_name
from palaestra.results.metrics import Metric
from palaestra.spaces import MAX_ACTION_CHARS, ActionSpace, Sampler, TextSpace
from palaestra.types import Json, Message, StopReason, ToolCall, ToolResult, ToolStatus

_QUIET_INFO: dict[str, Any] = {
    "score": 0.0,
    "success": False,
    "stop_reason": "",
    "reward_parts": None,
    "tool_results": (),
    "action_error": "",
}


class World(Protocol):
    """What every world can do: its state copies, compares and travels as JSON."""

    def to_json(self) -> Json:
        """Return the whole state as plain JSON data."""
        ...

    def copy(self) -> World:
        """Return an independent world in the same state."""
        ...

    def __eq__(self, other: object) -> bool:
        """Whether two worlds are in the same state."""
        ...


@dataclass(slots=True)
class Turn:
    """What one action did; returned by `TextEnv._act`.

    Attributes:
        observation: Text for the agent.
        reward: Increment for this step.
        terminated: The task ended.
        success: The task is solved.
        score: Cumulative score in the native scale; None keeps the sum of rewards.
        action_error: What was wrong with the action; empty if nothing. The world must then be unchanged.
        reward_parts: Components of the reward by name; empty means one part called "task".
        tool_results: One per tool call of the action.
        stop_reason: Why the task ended; "success" or "failure" is filled in from `success`.
        info: Further entries of the step's info, of this environment's own; plain JSON.
        metrics: Values of metrics that the environment declares, as they stand after this action; the last of each counts.
    """

    observation: str
    reward: float = 0.0
    terminated: bool = False
    success: bool = False
    score: float | None = None
    action_error: str = ""
    reward_parts: dict[str, float] | None = None
    tool_results: Sequence[ToolResult] = ()
    stop_reason: StopReason = ""
    info: dict[str, Any] | None = None
    metrics: dict[str, float] | None = None


class TextEnv(gymnasium.Env[str, "str | Message"]):
    """Base of all single-agent environments: text in, text (or an assistant `Message`) out.

    Args:
        tasks: The environment's tasks.
        split: Split that `reset` draws from unless told otherwise.
        max_turns: Number of actions after which the episode is truncated; None for no limit.
        sampler: Draws well-formed actions for `action_space.sample()`.
        render_mode: None or one of `metadata["render_modes"]`.

    Attributes:
        metrics: What an episode measures in addition to score and success; `Turn.metrics` gives the values.
        results: "module:function" of tables that means over episodes cannot express (see `palaestra.results.tables`).
        snapshot_fields: Plain attributes that belong to a snapshot and not to `state_hash()`, because they are not the
            world's (turns used, refusals): JSON values, so lists rather than tuples. A subclass adds its own.
        snapshot_types: Types of those of them that `restore` checks.
        blocks: Whether a step waits for something outside of Python (an engine, a network): rollouts then play in workers.
        thread_bound: Whether the environment has to stay in the thread in which it was first used.
        full_return: Sum of the rewards of a solved episode, which the expert is held to; None where it is not fixed.

    Subclasses write `_begin`, `_act`, `_save`, `_load`, and where they apply `instructions`, `tools`, `expert`.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 1}  # type: ignore[misc]
    snapshot_fields: ClassVar[tuple[str, ...]] = ("_playing", "_num_turns", "_score", "_success", "_observation")
    snapshot_types: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"_playing": bool, "_num_turns": int, "_score": float, "_success": bool, "_observation": str}
    )
    metrics: ClassVar[tuple[Metric, ...]] = ()
    results: ClassVar[str] = ""
    blocks: ClassVar[bool] = False
    thread_bound: ClassVar[bool] = False
    full_return: ClassVar[float | None] = 1.0

    def __init__(
        self,
        tasks: TaskSet,
        *,
        split: str = "train",
        max_turns: int | None = None,
        sampler: Sampler | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Check the arguments that every environment shares."""
        _check(tasks, split, max_turns, render_mode, self.metadata["render_modes"])
        self.tasks, self.default_split, self.max_turns, self.render_mode = tasks, split, max_turns, render_mode
        self.observation_space, self.action_space = TextSpace(), ActionSpace(sampler=sampler)
        self._limit = max_turns or 2**62
        self._playing, self._num_turns, self._score, self._success, self._observation = False, 0, 0.0, False, ""
        self._last_action: str | Message | None = None
        self.task: Task | None = None
        self._made_with: dict[str, Json] | None = None

    # -- hooks ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def _begin(self, task: Task) -> str:
        """Set up the world for `task` and return the first observation; chance comes from `self.np_random`."""

    @abstractmethod
    def _act(self, action: str | Message) -> Turn:
        """Apply a well-formed text or message to the world; a wrong one changes nothing and says why."""

    @abstractmethod
    def _save(self) -> Json:
        """Return the state of the world as plain JSON."""

    @abstractmethod
    def _load(self, task: Task, state: Json) -> None:
        """Set the world to a state that `_save` returned."""

    def _check_restored(self) -> None:
        """Raise any error if task, fields and world of a snapshot contradict each other; each has been looked at alone."""

    def _settings(self) -> dict[str, Json]:
        """Return what decides how an episode continues, in addition to task, world and chance, by name; plain JSON.

        A snapshot is restored only where the settings are equal. By default they are the arguments of the constructor that the
        environment keeps under their names, other than those that only say which tasks are drawn (`split`, `tasks`). An
        environment whose arguments may be spelled in several ways, or say where data lies, returns what they come to.
        """
        if self._made_with is None:  # before the first episode, as the author may count one of them down
            self._made_with = settings_of(self, unsettled=("split", "tasks", "sampler", "render_mode"))
        return self._made_with

    def instructions(self) -> str:
        """Return the rules and formats, which an agent must be told once."""
        return ""

    def tools(self) -> list[dict[str, Json]]:
        """Return the OpenAI function schemas an agent may call; empty if there are none."""
        return []

    def expert(self) -> Iterator[str | Message]:
        """Yield actions that solve the current task from its current state.

        Each action must be played before the next one is asked for. Environments without an expert yield nothing.
        """
        return iter(())

    def available_actions(self) -> Sequence[str | Message] | None:
        """Return actions that do something in the current state; None if there is no such list.

        Each of them is accepted (no `action_error`) if it is played next. The list may leave out actions that differ in
        nothing but an amount or a wording, and is empty after the end of the episode. Making it may be costly; neither `reset`
        nor `step` calls it.

        Raises:
            EpisodeStateError: Before the first `reset`, where there is a list.
        """
        return None

    def failed_call(self, call: ToolCall, problem: str, status: ToolStatus = "error") -> ToolResult:
        """Return the result of a call that was not run because something outside of the world failed, in this world's form.

        Args:
            call: The call.
            problem: What is said of it.
            status: Why it did nothing.
        """
        return ToolResult(call.name, f"Error: {problem}", status, call.id)

    def answer_calls(self, results: Sequence[ToolResult]) -> tuple[str, tuple[ToolResult, ...]]:
        """Return the observation that results make here, and the results as `info["tool_results"]` has them.

        Args:
            results: One per call of a message, in order; not all of them need have come from this world.
        """
        return format_results(results), tuple(results)

    def count_turns_from_here(self) -> None:
        """Forget the turns used so far, which were not the agent's: `max_turns` counts from now on."""
        self._num_turns = 0

    # -- Gymnasium ------------------------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seeds `np_random`; None continues the current stream.
            options: `task` (a `Task`, its key, or its id in a published mapping, `MAPPING#N`) or `split` (draw a task of it).

        Returns:
            The first observation, and `info` with `task`, `instructions` and `tools`.

        Raises:
            UsageError: For unknown options, tasks and splits.
        """
        super().reset(seed=seed)
        self._settings()
        wanted = wanted_task(self.tasks, options or {}, self.default_split)
        task = wanted if isinstance(wanted, Task) else self.tasks.sample(self.np_random, wanted)
        self._playing = False  # should the world refuse the task, there is no episode to continue
        self._observation = self._begin(task)
        self._num_turns, self._score, self._success, self._last_action = 0, 0.0, False, None
        self.task, self._playing = task, True
        return self._observation, {"task": task.public(), "instructions": self.instructions(), "tools": self.tools()}

    def step(self, action: str | Message) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Play one action (see the contract in docs/environments.md for `info`).

        Raises:
            EpisodeStateError: Before `reset` or after the end of the episode.
            UsageError: If `action` is neither a text nor an assistant message (an OpenAI message object or dict is one).
        """
        if not self._playing:
            raise _no_episode(self.task)
        if type(action) is str and len(action) <= MAX_ACTION_CHARS and action.isascii():  # nearly always: the short way
            turn = self._act(said(action) if "<" in action or "[" in action else action)
        else:
            action = as_action(action)
            turn = self._act(said(action)) if (problem := unusable(action)) is None else self._refuse_action(action, problem)
        self._last_action = action
        self._observation = observation = turn.observation
        self._success = success = turn.success
        reward, score, terminated = turn.reward, turn.score, turn.terminated
        if score is None:
            score = self._score + reward
        self._score = score
        self._num_turns = num_turns = self._num_turns + 1
        info = _QUIET_INFO.copy()  # copying a dict and setting what differs takes half the time of building one
        info["score"] = score
        info["reward_parts"] = turn.reward_parts or {"task": reward}
        if success or turn.tool_results or turn.action_error or turn.info is not None or turn.metrics is not None:
            _report(turn, info)
        if terminated or num_turns >= self._limit:
            self._playing = False
            info["stop_reason"] = turn.stop_reason or ("max_rounds" if not terminated else "success" if success else "failure")
            return observation, reward, terminated, not terminated, info
        return observation, reward, terminated, False, info

    def render(self) -> str | None:
        """Return the current turn as a readable text if `render_mode` is "ansi"."""
        return self._render_ansi() if self.render_mode == "ansi" else None

    # -- state ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Return the whole state of the episode; `restore` continues from it in any process.

        Raises:
            EpisodeStateError: Before the first `reset`.
        """
        fields = {name: getattr(self, name) for name in self.snapshot_fields}
        task = _begun(self.task, "snapshot")
        return write_snapshot(type(self).__name__, task, fields, self._np_random, self._save(), self._settings())

    def restore(self, snapshot: bytes) -> None:
        """Continue from a state that `snapshot` returned, in this or any other process.

        Raises:
            EpisodeStateError: If the bytes are not a snapshot of this environment, or of one with other settings.
        """
        saved = read_snapshot(snapshot, type(self).__name__, self.snapshot_fields, self._settings(), self.snapshot_types)
        try:
            self._load(saved.task, saved.world)
            if digest(self._save()) != digest(saved.world):
                raise ValueError("it holds what this environment does not save")
            vars(self).update(saved.fields)
            self.task, self._np_random, self._last_action = saved.task, saved.generator() or self._np_random, None
            self._check_restored()
        except (EpisodeStateError, BoundaryError):
            raise
        except Exception as error:
            self._playing = False  # the world may be half restored
            problem = str(error) if isinstance(error, PalaestraError) else repr(error)
            raise EpisodeStateError(
                f"The state in this snapshot of {type(self).__name__} cannot be restored ({problem}); pass what snapshot() "
                f"returned, and call reset() before the next step."
            ) from error

    def state_hash(self) -> str:
        """Return a digest of the task and the world's state: equal states, equal digests, on every machine."""
        return digest([_begun(self.task, "state_hash").key, self._save()])

    # -- private --------------------------------------------------------------------------------------------------

    def _refuse(self, problem: str) -> Turn:
        """Answer an action that cannot even be read; `_act` is not asked then."""
        return Turn(problem, action_error=problem)

    def _refuse_action(self, action: str | Message, problem: str) -> Turn:
        """Return the turn of an action that cannot be read, with a result for each of its calls."""
        turn = self._refuse(problem)
        if isinstance(action, Message) and action.tool_calls and not turn.tool_results:
            turn.tool_results = refused_results(action.tool_calls, turn.observation)
        return turn

    def _render_ansi(self) -> str:
        """Return the last action and the current observation."""
        return show_turn(self.task, self._num_turns, self._score, self._last_action, self._observation)


def _report(turn: Turn, info: dict[str, Any]) -> None:
    """Write into a quiet info what a turn has to say."""
    if turn.success:
        info["success"] = True
    if turn.tool_results:
        info["tool_results"] = turn.tool_results
    if turn.action_error:
        info["action_error"] = turn.action_error
    if turn.info:
        info.update(turn.info)
    if turn.metrics:
        info["metrics"] = turn.metrics


def _no_episode(task: Task | None) -> EpisodeStateError:
    """Return the error of a step that has no episode to belong to."""
    return EpisodeStateError("step() was called before reset()." if task is None else "This episode is over; call reset().")


def _begun(task: Task | None, what: str) -> Task:
    """Return the current task, or refuse what needs one."""
    if task is None:
        raise EpisodeStateError(f"{what}() was called before reset(); there is no state yet.")
    return task


def _check(tasks: TaskSet, split: str, max_turns: object, render_mode: str | None, render_modes: Collection[str]) -> None:
    """Check the arguments that every environment shares."""
    if render_mode is not None and render_mode not in render_modes:
        raise unknown_name("render mode", render_mode, render_modes)
    if max_turns is not None and (not isinstance(max_turns, int) or isinstance(max_turns, bool) or max_turns < 1):
        raise ConfigError(f"max_turns is {max_turns!r}; expected an integer of at least 1, or None for no limit.")
    tasks.split(split)


__all__ = ["TextEnv", "Turn", "World"]
