"""The environment contract: a world (plain Python) behind a Gymnasium face.

An author writes a world, a `TaskSet`, and a `TextEnv` with four hooks: `_begin`, `_act`, `_save`, `_load`. Everything
that the contract promises (seeding, options, info, turn limit, refusal of unusable actions, snapshots, rendering) is
done here, once.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, SupportsFloat

import gymnasium
import numpy as np

from palaestra.envs.core.tasks import Task, TaskSet
from palaestra.errors import ConfigError, EpisodeStateError, UsageError, unknown_name
from palaestra.spaces import MAX_ACTION_CHARS, ActionSpace, Sampler, TextSpace, is_unicode
from palaestra.types import Json, Message, StopReason, ToolResult

SNAPSHOT_VERSION = 1

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


class TextEnv(gymnasium.Env[str, "str | Message"]):
    """Base of all single-agent environments: text in, text (or an assistant `Message`) out.

    Args:
        tasks: The environment's tasks.
        split: Split that `reset` draws from unless told otherwise.
        max_turns: Number of actions after which the episode is truncated; None for no limit.
        sampler: Draws well-formed actions for `action_space.sample()`.
        render_mode: None or one of `metadata["render_modes"]`.

    Subclasses write `_begin`, `_act`, `_save`, `_load`, and where they apply `instructions`, `tools`, `expert`.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 1}  # type: ignore[misc]

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
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise unknown_name("render mode", render_mode, self.metadata["render_modes"])
        if max_turns is not None and (not isinstance(max_turns, int) or isinstance(max_turns, bool) or max_turns < 1):
            raise ConfigError(f"max_turns is {max_turns!r}; expected an integer of at least 1, or None for no limit.")
        tasks.split(split)
        self.tasks = tasks
        self.default_split = split
        self.max_turns = max_turns
        self.render_mode = render_mode
        self.observation_space = TextSpace()
        self.action_space = ActionSpace(sampler=sampler)
        self.task: Task | None = None
        self._limit = max_turns if max_turns is not None else 2**62
        self._playing = False
        self._num_turns = 0
        self._score = 0.0
        self._success = False
        self._observation = ""
        self._last_action: str | Message | None = None

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

    def instructions(self) -> str:
        """Return what an agent must be told once: rules and formats."""
        return ""

    def tools(self) -> list[dict[str, Json]]:
        """Return the OpenAI function schemas an agent may call; empty if there are none."""
        return []

    def expert(self) -> Iterator[str | Message]:
        """Yield actions that solve the current task from its present state.

        Each action must be played before the next one is asked for. Environments without an expert yield nothing.
        """
        return iter(())

    # -- Gymnasium ------------------------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seeds `np_random`; None goes on with the present stream.
            options: `task` (a `Task`, or its key) or `split` (draw a task of it).

        Returns:
            The first observation, and `info` with `task`, `instructions` and `tools`.

        Raises:
            UsageError: For unknown options, tasks and splits.
        """
        super().reset(seed=seed)
        task = self._choose_task(options or {})
        self._playing = False  # should the task be refused, there is no episode to go on with
        self._observation = self._begin(task)
        self.task = task
        self._num_turns = 0
        self._score = 0.0
        self._success = False
        self._last_action = None
        self._playing = True
        return self._observation, {"task": task.public(), "instructions": self.instructions(), "tools": self.tools()}

    def step(self, action: str | Message) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Play one action (see the contract in docs/environments.md for `info`).

        Raises:
            EpisodeStateError: Before `reset` or after the end of the episode.
            UsageError: If `action` is neither a text nor an assistant message.
        """
        if not self._playing:
            raise EpisodeStateError(
                "step() was called before reset()." if self.task is None else "This episode is over; call reset()."
            )
        if type(action) is str and len(action) <= MAX_ACTION_CHARS and action.isascii():  # nearly always: the short way
            turn = self._act(action)
        else:
            problem = self._unusable(action)
            turn = self._act(action) if problem is None else Turn(problem, action_error=problem)
        self._last_action = action
        self._observation = observation = turn.observation
        self._success = success = turn.success
        reward = turn.reward
        score = turn.score
        if score is None:
            score = self._score + reward
        self._score = score
        self._num_turns = num_turns = self._num_turns + 1
        terminated = turn.terminated
        truncated = num_turns >= self._limit and not terminated

        info = _QUIET_INFO.copy()  # copying a dict and setting what differs takes half the time of building one
        info["score"] = score
        info["reward_parts"] = turn.reward_parts or {"task": reward}
        if success:
            info["success"] = True
        if turn.tool_results:
            info["tool_results"] = turn.tool_results
        if turn.action_error:
            info["action_error"] = turn.action_error
        if turn.info is not None:
            info.update(turn.info)
        if terminated or truncated:
            self._playing = False
            info["stop_reason"] = turn.stop_reason or ("max_rounds" if truncated else "success" if success else "failure")
        return observation, reward, terminated, truncated, info

    def render(self) -> str | None:
        """Return the present turn as a readable text if `render_mode` is "ansi"."""
        return self._render_ansi() if self.render_mode == "ansi" else None

    # -- state ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Return the whole state of the episode, to go on from in any process with `restore`.

        Raises:
            EpisodeStateError: Before the first `reset`.
        """
        if self.task is None:
            raise EpisodeStateError("snapshot() was called before reset(); there is no state yet.")
        task = self.task
        state = {
            "version": SNAPSHOT_VERSION,
            "env": type(self).__name__,
            "task": {"key": task.key, "split": task.split, "type": task.type, "data": task.data},
            "playing": self._playing,
            "num_turns": self._num_turns,
            "score": self._score,
            "success": self._success,
            "observation": self._observation,
            "np_random": None if self._np_random is None else self._np_random.bit_generator.state,
            "world": self._save(),
        }
        return json.dumps(state, ensure_ascii=False, separators=(",", ":")).encode()

    def restore(self, snapshot: bytes) -> None:
        """Continue from a state that `snapshot` returned, in this or any other process.

        Raises:
            EpisodeStateError: If the bytes are no snapshot of this environment.
        """
        try:
            state = json.loads(snapshot)
            version, name = state["version"], state["env"]
        except (ValueError, KeyError, TypeError) as error:
            raise EpisodeStateError(f"These bytes are no snapshot ({error!r}); pass what snapshot() returned.") from None
        if (version, name) != (SNAPSHOT_VERSION, type(self).__name__):
            raise EpisodeStateError(
                f"This snapshot is of {name} version {version}; expected {type(self).__name__} version {SNAPSHOT_VERSION}."
            )
        task = Task(**state["task"])
        self._load(task, state["world"])
        self.task = task
        self._playing = state["playing"]
        self._num_turns = state["num_turns"]
        self._score = state["score"]
        self._success = state["success"]
        self._observation = state["observation"]
        self._last_action = None
        if state["np_random"] is not None:
            generator = np.random.PCG64()
            generator.state = state["np_random"]
            self._np_random = np.random.Generator(generator)

    def state_hash(self) -> str:
        """Return a digest of the task and the world's state: equal states, equal digests, on every machine."""
        if self.task is None:
            raise EpisodeStateError("state_hash() was called before reset(); there is no state yet.")
        return digest([self.task.key, self._save()])

    # -- private --------------------------------------------------------------------------------------------------

    def _choose_task(self, options: Mapping[str, Any]) -> Task:
        """Resolve `reset(options=...)` to a task."""
        if unknown := set(options) - {"task", "split"}:
            raise unknown_name("reset option", sorted(unknown)[0], ["task", "split"])
        wanted, split = options.get("task"), options.get("split")
        if wanted is None:
            if split is not None and not isinstance(split, str):
                raise UsageError(f"options['split'] is {split!r}; expected one of {', '.join(self.tasks.splits)}.")
            return self.tasks.sample(self.np_random, split or self.default_split)
        if isinstance(wanted, Task):
            return wanted
        if isinstance(wanted, Mapping) and isinstance(wanted.get("key"), str):
            wanted = wanted["key"]
        if not isinstance(wanted, str):
            raise UsageError(
                f"options['task'] is {wanted!r}; expected a task key. "
                f"The key of a position is env.unwrapped.tasks.split('test')[0].key."
            )
        task = self.tasks.find(wanted)
        if split is not None and task.split != split:
            raise UsageError(f"Task {wanted!r} belongs to split {task.split!r}, not {split!r}; drop one of the options.")
        return task

    def _unusable(self, action: object) -> str | None:
        """Say why an action cannot even be read; raise if the caller passed something else than an action."""
        if isinstance(action, str):
            text = action
        elif isinstance(action, Message):
            if action.role != "assistant":
                raise UsageError(f"The action is a message with role {action.role!r}; expected 'assistant'.")
            if action.error:
                return action.error
            text = action.content
        else:
            raise UsageError(f"The action is a {type(action).__name__}; expected a str or an assistant Message.")
        if len(text) > MAX_ACTION_CHARS:
            return f"Your message has {len(text)} characters; at most {MAX_ACTION_CHARS} are read. Send a shorter one."
        if not text.isascii() and not is_unicode(text):
            return "Your message is not valid Unicode (it holds lone surrogates). Send it again as plain text."
        return None

    def _render_ansi(self) -> str:
        """Return the last action and the present observation."""
        if self.task is None:
            return "(not started)"
        head = f"[{self.task.key}] turn {self._num_turns}, score {self._score:g}"
        if self._last_action is None:
            return f"{head}\n{self._observation}"
        action = self._last_action
        text = action if isinstance(action, str) else action.content or ", ".join(c.name for c in action.tool_calls)
        return f"{head}\n> {text}\n{self._observation}"


def digest(value: Json) -> str:
    """Return a 128-bit hex digest of plain JSON data, the same on every platform."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


__all__ = ["TextEnv", "Turn", "World", "digest"]
