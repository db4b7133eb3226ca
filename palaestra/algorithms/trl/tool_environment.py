"""Any registered environment as the `environment_factory` of TRL's `GRPOTrainer`.

`environment_class(env_id)` makes a class whose instances TRL uses as it likes: `reset(**row)` begins the episode that a
row of `task_rows` names and returns the first observation, every tool of the environment is a method with type hints and
docstring, and `get_reward()` is the sum of the rewards.

TRL ends an episode when the model stops calling tools, at `max_tool_calling_iterations`, or at its token budget. So after
the environment has ended, every further call is answered with `OVER`; and the final message, which TRL hands to nobody, has
to come as a call of the method `answer` (or `act` in an environment without tools).
"""

from __future__ import annotations

import inspect
import math
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import gymnasium

from palaestra.algorithms.trl.tool_methods import make_method
from palaestra.envs.core.tool_env import ToolEnv
from palaestra.errors import BoundaryError, ConfigError, EnvironmentFault, EpisodeStateError, UsageError, unknown_name
from palaestra.types import EpisodeError, Json, Message, ToolCall

OVER = "The episode is over; nothing more can be done. Stop calling tools."
FAILED = "The environment failed; the episode is over and does not count. Stop calling tools."
RESERVED = ("reset", "get_reward", "error", "score", "num_turns", "info")

Actions = Literal["auto", "tools", "text"]

_MORE_LOOKS = 4

_ANSWER: dict[str, Json] = {
    "type": "function",
    "function": {
        "name": "answer",
        "description": "Say something instead of calling another tool: your final answer, or that you are done.",
        "parameters": {
            "type": "object",
            "properties": {"text": {"type": "string", "description": "What you say."}},
            "required": ["text"],
        },
    },
}
_ACT: dict[str, Json] = {
    "type": "function",
    "function": {
        "name": "act",
        "description": "Send one action to the environment.",
        "parameters": {
            "type": "object",
            "properties": {"action": {"type": "string", "description": "The action, as the instructions say."}},
            "required": ["action"],
        },
    },
}


class EnvironmentEpisode:
    """What all generated classes share; TRL sees `reset`, `get_reward` and the tools, everything else is private to it.

    Attributes:
        env_id: Registered id.
        env_kwargs: Arguments of `gymnasium.make`.
        error: What ended the episode if the environment failed; such an episode has no reward, which is not a reward of 0.
        score: Sum of the rewards so far.
        num_turns: Actions so far.
        info: Info of the last step.
    """

    env_id: str = ""
    env_kwargs: Mapping[str, Json] = {}
    _offered: Sequence[Mapping[str, Json]] | None = None  # tools that are methods; None where one method takes texts

    def __init__(self) -> None:
        """Begin without an environment; the first `reset` makes it."""
        self.error: EpisodeError | None = None
        self.score = 0.0
        self.num_turns = 0
        self.info: Mapping[str, Any] = {}
        self._env: gymnasium.Env[Any, Any] | None = None
        self._is_over = True

    def reset(self, task: str | None = None, seed: int | None = None, **row: Any) -> str:
        """Begin an episode and return the first observation.

        Args:
            task: Key of the task; None draws one.
            seed: Seed of the episode.
            **row: Other columns of the data set (`prompt`, ...), which mean nothing here.

        Raises:
            UsageError: If there is no such task, or it has other tools than those that are methods; a failing environment is
                recorded in `error` instead.
        """
        del row
        self.error, self.score, self.num_turns, self.info, self._is_over = None, 0.0, 0, {}, False
        try:
            if self._env is None:
                self._env = gymnasium.make(self.env_id, **self.env_kwargs)
            observation, self.info = self._env.reset(seed=seed, options=None if task is None else {"task": task})
            if self._offered is not None and list(self.info.get("tools") or ()) != self._offered:
                raise ConfigError(_other_tools(self.env_id, self.info))
            return _text(observation)
        except UsageError:
            raise
        except Exception as error:
            return self._fail(error)

    def get_reward(self) -> float | None:
        """Return the sum of the rewards; None if the environment failed.

        TRL leaves an episode without a reward out of the mean and deviation of its group and gives it the advantage 0.
        """
        return None if self.error is not None else self.score

    def _play(self, action: Message) -> str:
        """Play one action and return what is shown for it."""
        if self.error is not None:
            return FAILED
        if self._is_over:
            return OVER
        if self._env is None:
            raise EpisodeStateError("A tool was called before reset(); call reset(**row) first.")
        try:
            observation, reward, terminated, truncated, self.info = self._env.step(action)
            if not math.isfinite(float(reward)):
                raise EnvironmentFault(f"The reward of step {self.num_turns} is {reward}; expected a finite number.")
            shown = _shown(_text(observation), self.info)
        except Exception as error:
            return self._fail(error)
        self.score += float(reward)
        self.num_turns += 1
        self._is_over = bool(terminated or truncated)
        return f"{shown}\n{OVER}" if self._is_over else shown

    def _fail(self, error: Exception) -> str:
        """Record a failure; the environment is never used again."""
        boundary = error.boundary if isinstance(error, BoundaryError) else "environment"
        detail = "".join(traceback.format_exception(error))
        self.error = EpisodeError(boundary, type(error).__name__, str(error) or type(error).__name__, detail)
        self._is_over, self._env = True, None
        return FAILED


def environment_class(
    env_id: str,
    env_kwargs: Mapping[str, Json] | None = None,
    *,
    actions: Actions = "auto",
    answer: bool | None = None,
    name: str = "",
) -> type[EnvironmentEpisode]:
    """Make a class for TRL's `environment_factory` out of a registered environment.

    Args:
        env_id: Registered id.
        env_kwargs: Arguments of the environment, e.g. `{"calls": "tools"}`.
        actions: "tools" makes a method of every tool, "text" one method `act(action)`; "auto" takes tools where there are
            any.
        answer: Whether there is a method `answer(text)` for what is said without a tool; by default where the environment
            waits for it (`ToolEnv`, and environments that report `info["format"] == "tools"`).
        name: Name of the class, under which TRL logs its rewards; made of the id by default.

    Returns:
        A class without arguments; the same tools are offered in every episode.

    Raises:
        ConfigError: If a tool cannot be a method, the environment has no tools though `actions` is "tools", or its tools
            differ between tasks: TRL reads the methods once.
    """
    if actions not in ("auto", "tools", "text"):
        raise ConfigError(f"actions is {actions!r}; expected 'auto', 'tools' or 'text'.")
    kwargs = dict(env_kwargs or {})
    tools, says = _look(env_id, kwargs, as_methods=actions != "text")
    if actions == "tools" and not tools:
        raise ConfigError(f"Environment {env_id!r} has no tools with the arguments {kwargs}; use actions='text'.")
    methods: dict[str, Any] = {}
    if not tools or actions == "text":
        methods["act"] = make_method(
            _ACT, lambda self, _, given: self._play(Message("assistant", str(given.get("action", ""))))
        )
    else:
        for tool in tools:
            _add(methods, tool["function"]["name"], make_method(tool, _play_call))
        if says if answer is None else answer:
            speak = make_method(_ANSWER, lambda self, _, given: self._play(Message("assistant", str(given.get("text", "")))))
            _add(methods, "answer", speak)
    offered = None if not tools or actions == "text" else tools
    class_name = name or env_id.rpartition("/")[2].partition("-v")[0]
    return type(
        class_name,
        (EnvironmentEpisode,),
        {**methods, "env_id": env_id, "env_kwargs": kwargs, "_offered": offered, "__module__": __name__},
    )


def shown_tools(made: type[EnvironmentEpisode]) -> list[dict[str, Json]]:
    """Return the tools of a generated class as TRL shows them to the model.

    They differ a little from the environment's own (`info["tools"]`), because they are read back from Python methods. A
    policy that is to be trained with TRL is best cloned with these in its prompts.
    """
    from transformers.utils import get_json_schema

    found = inspect.getmembers(made, predicate=inspect.isfunction)
    public = [method for name, method in found if not name.startswith("_") and name not in RESERVED]
    return [get_json_schema(method) for method in public]


def _other_tools(env_id: str, info: Mapping[str, Any]) -> str:
    """Say that tools differ between tasks, which TRL's environments cannot have."""
    names = [tool["function"]["name"] for tool in info.get("tools") or ()]
    return (
        f"Task {info['task']['key']!r} of {env_id} has tools of its own ({', '.join(names)[:200] or 'none'}), and TRL takes "
        f"the tools of an environment class once, for all tasks. Train with EnvironmentRollouts (rollout_func) instead, which "
        f"tells each episode its tools."
    )


def _look(env_id: str, kwargs: Mapping[str, Json], *, as_methods: bool) -> tuple[list[Mapping[str, Json]], bool]:
    """Return the tools of an environment, and whether it waits for messages without a call."""
    try:
        env = gymnasium.make(env_id, **kwargs)
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.VersionNotFound) as error:
        raise unknown_name("environment", env_id, gymnasium.registry, hint="List all with palaestra list.") from error
    try:
        _, info = env.reset(seed=0)
        is_tool_env = isinstance(env.unwrapped, ToolEnv)
        tools = list(info.get("tools") or ())
        for seed in range(1, _MORE_LOOKS if is_tool_env else 1):  # another task now rather than in the middle of training
            _, other = env.reset(seed=seed)
            if list(other.get("tools") or ()) != tools and (as_methods or other["instructions"] != info["instructions"]):
                raise ConfigError(_other_tools(env_id, other))
        return tools, is_tool_env or info.get("format") == "tools"
    finally:
        env.close()


def _add(methods: dict[str, Any], name: str, method: Any) -> None:
    """Add a method, unless its name is taken."""
    if name in methods or name in RESERVED or name.startswith("_") or hasattr(EnvironmentEpisode, name):
        raise ConfigError(
            f"A tool is called {name!r}, which TRL or another method uses already; rename it or use answer=False."
        )
    methods[name] = method


def _play_call(self: Any, name: str, arguments: dict[str, Json]) -> str:
    """Play one tool call."""
    call = ToolCall(name, arguments, f"call_{self.num_turns + 1}")
    shown: str = self._play(Message("assistant", tool_calls=(call,)))
    return shown


def _text(observation: object) -> str:
    """Return an observation if it is text."""
    if not isinstance(observation, str):
        raise EnvironmentFault(f"The observation is a {type(observation).__name__}; expected a str.")
    return observation


def _shown(observation: str, info: Mapping[str, Any]) -> str:
    """Return the bare result of a call, since the chat template puts the tags around it."""
    results: Sequence[Any] = info.get("tool_results") or ()
    if len(results) != 1:
        return observation
    content = str(results[0].content)
    # what follows the result (the next request, say) is kept
    _, tag, rest = observation.rpartition("</tool_response>")
    return f"{content}\n{rest.strip()}".strip() if tag and rest.strip() else content


__all__ = ["FAILED", "OVER", "EnvironmentEpisode", "environment_class", "shown_tools"]
