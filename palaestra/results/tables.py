"""Result tables of one environment's own: what its paper reports, beside success and score.

An environment id may have a function that reads stored episodes and returns tables; `palaestra evaluate` prints them below its
own. The functions are named by text and imported when they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

from palaestra.types import Json, Trajectory


@dataclass(frozen=True, slots=True)
class PlayedArm:
    """The episodes of one agent with one set of arguments.

    Attributes:
        run_id: Its run.
        agent: Name of the agent.
        env_id: Environment that it played.
        env_kwargs: Arguments of the environment.
        episodes: Its trajectories; gone through once.
        settings: Arguments in which the arms differ.
    """

    run_id: str
    agent: str
    env_id: str
    env_kwargs: Mapping[str, Json]
    episodes: Iterable[Trajectory]
    settings: Mapping[str, Json] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Agent and the arguments that tell this arm from the others."""
        return arm_name(self.agent, self.settings)


@dataclass(frozen=True, slots=True)
class ResultTable:
    """A table to print.

    Attributes:
        title: Shown above.
        columns: Names of the columns; the first holds names, the others figures.
        rows: Cells as text.
        note: Shown below.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


class EnvResults(Protocol):
    """Results of one environment."""

    def tables(self) -> list[ResultTable]:
        """Return the tables to print."""

    def to_json(self) -> dict[str, Json]:
        """Return everything as plain data."""


_ENV_RESULTS: dict[str, str] = {"palaestra/VehicleWorld-v0": "palaestra.agents.vehicle_results:vehicle_results"}


def register_results(env_id: str, function: str) -> None:
    """Give an environment result tables of its own.

    Args:
        env_id: Registered id.
        function: "module:name" of a function that takes the arms (`Sequence[PlayedArm]`) and returns `EnvResults`.
    """
    _ENV_RESULTS[env_id] = function


def env_results(arms: Sequence[PlayedArm]) -> dict[str, EnvResults]:
    """Return the results of every environment that has tables of its own, by its id."""
    found: dict[str, EnvResults] = {}
    for env_id in dict.fromkeys(arm.env_id for arm in arms):
        if env_id in _ENV_RESULTS:
            module, _, name = _ENV_RESULTS[env_id].partition(":")
            read: Callable[[Sequence[PlayedArm]], Any] = getattr(import_module(module), name)
            found[env_id] = read([arm for arm in arms if arm.env_id == env_id])
    return found


def arm_name(agent: str, settings: Mapping[str, Json]) -> str:
    """Return what an arm is called: the agent, and the arguments in which the arms differ."""
    return " · ".join([agent, *(f"{key}={value}" for key, value in settings.items())])


def differing(arguments: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """Return of every set of arguments those that are not the same in all of them, None where one is not given."""
    keys = dict.fromkeys(key for one in arguments for key in one)
    telling = [key for key in keys if any(one.get(key) != arguments[0].get(key) for one in arguments)]
    return [{key: one.get(key) for key in telling} for one in arguments]


__all__ = ["EnvResults", "PlayedArm", "ResultTable", "arm_name", "differing", "env_results", "register_results"]
