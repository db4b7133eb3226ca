"""Agents that set the scale: random, one that does nothing, expert, and a person at the terminal."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np

from palaestra.agents.core import ENV_CALL, Agent
from palaestra.envs.core.outermost import outermost
from palaestra.errors import EnvironmentFault, EpisodeStateError, UsageError
from palaestra.spaces import TextSpace
from palaestra.types import Json, Message


class RandomAgent(Agent):
    """Plays well-formed actions drawn from the environment's action space.

    Args:
        seed: Mixed with the name of the episode, so that every episode has a stream of its own.
    """

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        """Keep the seed."""
        self.seed = seed
        self._space: gymnasium.Space[Any] | None = None
        self._rng = np.random.default_rng(seed)

    def shaped_by(self) -> dict[str, Json]:
        """Return the seed."""
        return {"seed": self.seed}

    def reset(self, info: Mapping[str, Any], *, env: gymnasium.Env[Any, Any] | None = None, session: str = "") -> None:
        """Take the action space of `env`, or of its own seat, and seed for this episode."""
        if env is None:
            raise UsageError("RandomAgent needs the environment: call reset(info, env=env).")
        seat, inner = info.get("seat"), env.unwrapped
        self._space = inner.action_space_of(seat) if seat and _has_seats(env) else env.action_space  # type: ignore[attr-defined]
        digest = hashlib.blake2b(f"{self.seed}|{session}".encode(), digest_size=8).digest()
        self._rng = np.random.default_rng(int.from_bytes(digest, "big"))
        if not isinstance(self._space, TextSpace):
            self._space.seed(int(self._rng.integers(2**31)))

    async def aact(self, observation: str, info: Mapping[str, Any]) -> Message:
        """Draw an action."""
        del observation, info
        if self._space is None:
            raise EpisodeStateError("act() was called before reset(info, env=env).")
        space = self._space
        return _as_message(space.sampler(self._rng) if isinstance(space, TextSpace) else space.sample())


class NothingAgent(Agent):
    """Answers everything in plain words and does nothing: the lower bound where doing nothing is sometimes right.

    Args:
        text: What it says each time; holds no call, no code and no command.
    """

    name = "nothing"

    def __init__(self, text: str = "I leave everything as it is.") -> None:
        """Keep the text."""
        self.text = text

    def shaped_by(self) -> dict[str, Json]:
        """Return the text."""
        return {"text": self.text}

    async def aact(self, observation: str, info: Mapping[str, Any]) -> Message:
        """Say the text."""
        del observation, info
        return Message("assistant", self.text)


class ExpertAgent(Agent):
    """Plays what the environment's own expert says: demonstrations, and the upper bound in reports."""

    name = "expert"

    def __init__(self) -> None:
        """Wait for an environment."""
        self._actions: Iterator[str | Message] | None = None

    def shaped_by(self) -> dict[str, Json]:
        """Return nothing: what it plays follows from the environment alone."""
        return {}

    def reset(self, info: Mapping[str, Any], *, env: gymnasium.Env[Any, Any] | None = None, session: str = "") -> None:
        """Ask the environment for its expert, or for that of its own seat."""
        del session
        expert = None if env is None else outermost(env, "expert")
        if expert is None:
            given = "no environment" if env is None else type(env.unwrapped).__name__
            raise UsageError(f"ExpertAgent got {given}; it needs reset(info, env=env) with an env that has expert().")
        seat = info.get("seat")
        self._actions = expert(seat) if seat and _has_seats(env) else expert()

    async def aact(self, observation: str, info: Mapping[str, Any]) -> Message:
        """Play the expert's next action."""
        del observation, info
        if self._actions is None:
            raise EpisodeStateError("act() was called before reset(info, env=env).")
        call = ENV_CALL.get()
        action = next(self._actions, None) if call is None else await call(next, self._actions, None)
        if action is None:
            raise EnvironmentFault("The environment's expert() has no further action, but the episode is not over.")
        return _as_message(action)


class HumanAgent(Agent):
    """Asks a person.

    Args:
        read: Shows a prompt and returns a line; `input` by default. End of input raises EOFError to the caller.
        write: Shows a text; `print` by default.
    """

    name = "human"

    def __init__(self, read: Callable[[str], str] = input, write: Callable[[str], None] = print) -> None:
        """Keep the two ends of the terminal."""
        self._read = read
        self._write = write

    def shaped_by(self) -> dict[str, Json]:
        """Return nothing: a person has no settings."""
        return {}

    def reset(self, info: Mapping[str, Any], *, env: gymnasium.Env[Any, Any] | None = None, session: str = "") -> None:
        """Show the instructions, and in an environment with several seats whose they are."""
        del session
        if info.get("seat") and _has_seats(env):
            self._write(f"You are the {info['seat']}.")
        if info.get("instructions"):
            self._write(str(info["instructions"]))

    async def aact(self, observation: str, info: Mapping[str, Any]) -> Message:
        """Show the observation and read one line."""
        return self.act(observation, info)

    def act(self, observation: str, info: Mapping[str, Any]) -> Message:
        """Do the same in the caller's own thread, where Ctrl-C reaches the prompt."""
        del info
        self._write(observation)
        return Message("assistant", self._read("> "))


def _has_seats(env: gymnasium.Env[Any, Any] | None) -> bool:
    """Whether the `seat` of an info names a seat of the environment; others may mean something else by it."""
    return env is not None and hasattr(env.unwrapped, "action_space_of")


def _as_message(action: str | Message) -> Message:
    """Return an action as the assistant message it stands for."""
    return action if isinstance(action, Message) else Message.of_text("assistant", action)
