"""The environment under test: makes fresh copies of it, plays them, and compares what happened.

A *script* is a list of actions that makes for an interesting episode; a *transcript* is the plain record of playing one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import gymnasium

from palaestra.envs.check.report import CheckFailed
from palaestra.envs.core.outermost import outermost
from palaestra.envs.registration import Cost
from palaestra.types import Json, Message, plain

Action = str | Message
Env = gymnasium.Env[Any, Any]

TEXT_ENV_ADVICE = "Derive the environment from palaestra.envs.TextEnv, which does this for you, or add it by hand."


class Budget(NamedTuple):
    """How much the checks play.

    Attributes:
        script_turns: Actions of a script.
        samples: Drawn actions that are tried.
        seeds: Seeds whose episodes are compared.
        expert_tasks: Tasks of each split that the expert plays.
        drawn_turns: Drawn actions after which an episode need not have ended.
        vector_steps: Steps of vector environments.
        tool_calls: Calls with texts that have no UTF-8 form.
        resets: Whether every bad action is tried from a fresh start, or only after one that changed something.
    """

    script_turns: int = 8
    samples: int = 80
    seeds: int = 8
    expert_tasks: int = 3
    drawn_turns: int = 200
    vector_steps: int = 6
    tool_calls: int = 10_000
    resets: bool = True


BUDGETS: dict[Cost, Budget] = {
    "cheap": Budget(),
    "engine": Budget(6, samples=24, seeds=4, expert_tasks=2, drawn_turns=60, vector_steps=3, tool_calls=16, resets=False),
    "browser": Budget(4, samples=8, seeds=2, expert_tasks=1, drawn_turns=12, vector_steps=2, tool_calls=4, resets=False),
}
"""By what a step of the environment costs, as its registration says."""


@dataclass(frozen=True)
class Subject:
    """An environment and how to make it again.

    Attributes:
        name: For the report.
        make: Returns a fresh environment; keyword arguments are added to those it was given. Pickles (with cloudpickle).
        seed: Seed of all that the checks draw.
        budget: How much they play.
    """

    name: str
    make: Callable[..., Env]
    seed: int = 0
    budget: Budget = BUDGETS["cheap"]

    def open(self, **kwargs: Any) -> contextlib.closing[Env]:
        """Make an environment and close it at the end."""
        return contextlib.closing(self.make(**kwargs))

    def of_seat(self, seat: str) -> Subject:
        """Return the same environment as played from another of its seats."""
        return Subject(f"{self.name} from the seat {seat!r}", partial(self.make, seat=seat), self.seed, self.budget)

    def script(self, env: Env) -> list[Action]:
        """Return a few actions, drawn and the expert's in turn; `env` has played them afterwards."""
        actions: list[Action] = []
        env.reset(seed=self.seed)
        env.action_space.seed(self.seed)
        for turn in range(self.budget.script_turns):
            action = next_expert_action(env) if turn % 2 else None
            if action is None:
                action = env.action_space.sample()
            actions.append(action)
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                break
        return actions


def next_expert_action(env: Env) -> Action | None:
    """Return the expert's next action, or None if it knows nothing or there is none."""
    expert = outermost(env, "expert")
    return None if expert is None else next(iter(expert()), None)


def play(env: Env, actions: Sequence[Action], *, seed: int | None = None, resets: bool = True) -> list[Json]:
    """Play actions until the episode ends, then reset once more, and return the transcript.

    Args:
        env: Is reset with `seed` first, unless `resets` is off: then it is played from where it is.
        actions: What to play.
        seed: Given to the first reset.
        resets: Whether to begin with a reset.
    """
    transcript: list[Json] = []
    if resets:
        observation, info = env.reset(seed=seed)
        transcript.append([told(observation), told(info)])
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        transcript.append([told(observation), float(reward), bool(terminated), bool(truncated), told(info)])
        if terminated or truncated:
            break
    observation, info = env.reset()  # shows whether the stream of chance is the same, too
    transcript.append([told(observation), told(info)])
    return transcript


def difference(first: Sequence[Json], second: Sequence[Json]) -> str:
    """Say where two transcripts part; empty if they are equal."""
    for number, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            place = "the reset" if number == 0 else f"entry {number} of the transcript"
            return f"at {place}: {_clip(a)} against {_clip(b)}"
    return "" if len(first) == len(second) else f"one episode has {len(first)} entries, the other {len(second)}"


def told(value: Any) -> Json:
    """Return a value as plain data; of what has no plain form, the kind (another check asks for plain infos)."""
    if isinstance(value, Mapping):
        return {str(key): told(item) for key, item in value.items()}
    try:
        return plain(value)
    except TypeError:
        return f"<{type(value).__name__}>"


def method(env: Env, name: str) -> Callable[..., Any]:
    """Return a method that the contract asks for, of the outermost wrapper that has one of its own.

    Raises:
        CheckFailed: If it has none.
    """
    found = outermost(env, name)
    if not callable(found):
        raise CheckFailed(f"{type(env.unwrapped).__name__} has no method {name}().", TEXT_ENV_ADVICE)
    return found  # type: ignore[no-any-return]


def full_return(env: Env) -> Any:
    """Return the declared return of a solved episode: 1 where nothing is declared, None where it varies."""
    return outermost(env, "full_return") if env.has_wrapper_attr("full_return") else 1.0


def state_hash(env: Env) -> str | None:
    """Return the digest of the state, None where the environment has none."""
    found = outermost(env, "state_hash")
    return str(found()) if callable(found) else None


def shown(action: object) -> str:
    """Return an action as a short text for a report."""
    return _clip(action.to_json() if isinstance(action, Message) else action)


def _clip(value: object) -> str:
    """Return the representation of a value, at most 160 characters of it."""
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "..."
