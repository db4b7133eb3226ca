"""PettingZoo's faces of environments with several seats: `AECEnv` for all, `ParallelEnv` where all act in every tick.

Every seat is an agent, played from outside. A face keeps nothing of its own: whose turn it is, what each agent sees and
earns comes from the environment at an open table. All agents end together: in the AEC face each leaves `agents` after
its last `step(None)`, in the parallel face all leave in the step that ends the episode.
"""

from __future__ import annotations

from typing import Any

import gymnasium
from pettingzoo import AECEnv, ParallelEnv

from palaestra.envs.core.actions import unusable
from palaestra.envs.core.seated import Action, SeatedEnv
from palaestra.envs.registration import env_class, list_envs
from palaestra.errors import SeatFault, UsageError, unknown_name
from palaestra.spaces import ActionSpace, TextSpace

_RESET_OPTIONS = ("task", "split", "max_turns")
_OWN = ("action_error", "tool_results")  # of a step's info, for the agent that acted


class SeenText(str):
    """An observation with a `dtype`, as its space has one: PettingZoo's `api_test` asks every observation for it."""

    __slots__ = ()
    dtype = None


def make_multi_agent(env_id: str, *, parallel: bool = False, **kwargs: Any) -> AECEnv | ParallelEnv:
    """Make the PettingZoo environment of an id with several seats.

    Args:
        env_id: Registered id; `list_multi_agent()` lists those that have seats.
        parallel: Return a `ParallelEnv`, for environments in which all seats act in every tick.
        **kwargs: Arguments of the environment; `max_turns` counts the actions of its first seat, or of `seat`.

    Raises:
        UsageError: If the environment has one seat, or `parallel` is asked for and its seats take turns.
        UnknownNameError: If there is no such id.
    """
    try:
        env = gymnasium.make(env_id, disable_env_checker=True, **kwargs).unwrapped
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.VersionNotFound):
        known = list_multi_agent()
        raise unknown_name("environment with several seats", env_id, known) from None
    if not isinstance(env, SeatedEnv):
        raise UsageError(f"{env_id!r} has one seat; make it with gymnasium.make. list_multi_agent() lists those with several.")
    return as_parallel(env) if parallel else as_aec(env)


def list_multi_agent() -> list[str]:
    """Return the registered ids that have several seats, sorted. Imports every registered environment's module."""
    return [env_id for env_id in list_envs() if _has_seats(env_id)]


def as_aec(env: SeatedEnv) -> AECEnv:
    """Return the turn-by-turn PettingZoo face of an environment."""
    return SeatedAEC(env)


def as_parallel(env: SeatedEnv) -> ParallelEnv:
    """Return the parallel PettingZoo face of an environment.

    Raises:
        UsageError: If its seats take turns.
    """
    if not env.simultaneous:
        raise UsageError(f"The seats of {type(env).__name__} take turns; leave out parallel=True for its AECEnv.")
    return SeatedParallel(env)


class _Face:
    """What both faces share: agents, spaces, rendering."""

    metadata: dict[str, Any]

    def _sit(self, env: SeatedEnv) -> None:
        """Take the agents from the seats."""
        self.env = env
        self.possible_agents = list(env.seats)
        self.agents: list[str] = []
        self.render_mode = env.render_mode
        self.metadata = {
            **env.metadata,
            "name": env.spec.id if env.spec is not None else type(env).__name__,
            "is_parallelizable": env.simultaneous,
        }
        self.observation_spaces = {seat: TextSpace() for seat in env.seats}
        self.action_spaces = {seat: env.action_space_of(seat) for seat in env.seats}

    def observation_space(self, agent: str) -> TextSpace:
        """Return the space of what an agent sees."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> ActionSpace:
        """Return the space of an agent's actions."""
        return self.action_spaces[agent]

    def render(self) -> str | None:
        """Return the current turn as a readable text if the environment was made with render_mode "ansi"."""
        return self.env.render()

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def _open(self, seed: int | None, options: dict[str, Any] | None) -> str:
        """Begin an episode with all seats at the table and return who acts first; options of others are not for us."""
        own = {key: value for key, value in (options or {}).items() if key in _RESET_OPTIONS}
        _, info = self.env.reset(seed=seed, options={**own, "seats": self.env.seats})
        self.agents = list(self.possible_agents)
        self.infos: dict[str, dict[str, Any]] = {
            seat: {"task": info["task"], **about} for seat, about in info["seats"].items()
        }
        return str(info["seat"])


class SeatedAEC(_Face, AECEnv):  # type: ignore[misc]
    """An environment with several seats as a PettingZoo `AECEnv`; `infos[agent]` is of its own last action.

    An agent that is refused three times in a row (other than the first seat's) ends the episode for all: truncated.
    """

    def __init__(self, env: SeatedEnv) -> None:
        """Take the seats of `env` as agents."""
        super().__init__()
        self._sit(env)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start an episode."""
        self.agent_selection = self._open(seed, options)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self._skip_agent_selection = None

    def observe(self, agent: str) -> SeenText:
        """Return the current observation of an agent."""
        return SeenText(self.env.observation_of(agent))

    def step(self, action: Action | None) -> None:
        """Play the action of `agent_selection`; after the end, None for each agent."""
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[agent] = 0.0
        try:
            _, _, terminated, truncated, info = self.env.step(action)  # type: ignore[arg-type]
        except SeatFault as fault:
            terminated, truncated, info = False, True, {"action_error": str(fault)}
        earned = info.get("rewards", {})
        self.rewards = {seat: earned.get(seat, 0.0) for seat in self.agents}
        self.infos[agent] = {key: info[key] for key in _OWN if key in info}
        if terminated or truncated:
            self.terminations = dict.fromkeys(self.agents, terminated)
            self.truncations = dict.fromkeys(self.agents, truncated)
            self.agent_selection = self.agents[0]
        else:
            self.agent_selection = info["seat"]
        self._accumulate_rewards()


class SeatedParallel(_Face, ParallelEnv):  # type: ignore[misc]
    """An environment whose seats all act in every tick as a PettingZoo `ParallelEnv`.

    Nobody is asked twice: an agent whose action is missing or cannot be read passes.
    """

    def __init__(self, env: SeatedEnv) -> None:
        """Take the seats of `env` as agents."""
        self._sit(env)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
        """Start an episode; return what each agent sees, and what it must know."""
        self._open(seed, options)
        return self._seen(), self.infos

    def step(
        self, actions: dict[str, Action]
    ) -> tuple[dict[str, str], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Play one tick."""
        rewards = dict.fromkeys(self.agents, 0.0)
        infos: dict[str, dict[str, Any]] = {agent: {"action_error": ""} for agent in self.agents}
        terminated = truncated = False
        for agent in self.env.acting:
            problem = unusable(actions[agent]) if agent in actions else "You gave no action."
            try:
                result = self.env.step(actions[agent]) if problem is None else self.env.pass_turn(problem)
            except SeatFault as fault:
                truncated, infos[agent] = True, {"action_error": str(fault)}
                break
            _, _, terminated, truncated, info = result
            infos[agent] = {"action_error": problem or info["action_error"]}
            for seat, reward in info["rewards"].items():
                rewards[seat] += reward
        agents = self.agents
        if terminated or truncated:
            self.agents = []
        return self._seen(agents), rewards, dict.fromkeys(agents, terminated), dict.fromkeys(agents, truncated), infos

    def _seen(self, agents: list[str] | None = None) -> dict[str, str]:
        """Return what agents see now."""
        return {agent: SeenText(self.env.observation_of(agent)) for agent in (agents or self.agents)}


def _has_seats(env_id: str) -> bool:
    """Whether the class behind an id has seats; one that cannot be imported here has none to offer."""
    try:
        creator = env_class(env_id)
    except ImportError:
        return False
    return isinstance(creator, type) and issubclass(creator, SeatedEnv)


__all__ = ["SeatedAEC", "SeatedParallel", "as_aec", "as_parallel", "list_multi_agent", "make_multi_agent"]
