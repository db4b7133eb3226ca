"""Several agents in one environment: `Seats` for engines and commands, `OtherSeats` for plain loops.

Each agent gets what its own seat may know: at the start its instructions, tools and private goal, then what the seat was
told and the info of its own last action. What the environment says to the driver of an open table goes to nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Self, SupportsFloat

import gymnasium

from palaestra.agents.core import Agent, AgentRecord
from palaestra.agents.own import AgentLike, as_agent
from palaestra.agents.sync import run_sync
from palaestra.agents.users_code import Exited, close_after, forked, recorded
from palaestra.envs.core.table import TABLE_INFO
from palaestra.errors import EpisodeStateError, UsageError, unknown_name
from palaestra.types import OPENING_HINTS, Json, Message, Segment
from palaestra.types.trajectory import add_by_name

_OWN = ("tool_results", "action_error", "tools", "format")
"""What of a step's info is for the agent that acted; the policy is also told the score."""


class Seats(Agent):
    """Gives each seat of an environment to an agent of its own; none of them sees what another one does.

    In a tick all seats are asked at once. An agent may sit in several seats: every seat plays with a fork of its own.

    Args:
        policy: Plays the policy's seat.
        **others: Agents of the other seats by name; seats that are not named are played by the environment's scripts.

    Raises:
        UsageError: Without another agent, or if one of them is a `Seats` itself.
    """

    def __init__(self, policy: AgentLike, **others: AgentLike) -> None:
        """Keep the agents; nothing is asked yet."""
        if not others:
            raise UsageError(
                "Seats(policy) seats nobody else; give agents by the names of their seats: Seats(policy, user=...)."
            )
        self.policy = as_agent(policy, "Seats()")
        self.others = {seat: as_agent(agent, f"The seat {seat!r}") for seat, agent in others.items()}
        for who, agent in [("policy", self.policy), *self.others.items()]:
            _refuse_seats(agent, f"Seats() got Seats for {who!r}")
        self.name = self.policy.name
        self.seats = tuple(others)
        self._table: _Table | None = None

    @property
    def version(self) -> str:
        """The policy's; those of the others are in `seats_config`."""
        return self.policy.version

    def shaped_by(self) -> dict[str, Json]:
        """Return the policy's own; the record of a run has those of the others next to it."""
        return self.policy.shaped_by()

    def reset(self, info: Mapping[str, Any], *, env: gymnasium.Env[Any, Any] | None = None, session: str = "") -> None:
        """Let every agent sit down.

        Args:
            info: `info` of a reset with `options={"seats": (...)}`.
            env: The environment.
            session: Name of the episode; the agent of another seat gets `session/SEAT`.

        Raises:
            UsageError: If the environment has no such seats, or the table was not opened for them.
        """
        about = info.get("seats") or {}
        if missing := [seat for seat in self.seats if seat not in about]:
            raise UsageError(
                f"The table is not open for the seats {', '.join(missing)}: reset the environment with "
                f"options={{'seats': {list(self.seats)}}}. An environment with one seat takes the policy alone."
            )
        agents = {seat: self.policy if one["boundary"] == "model" else self.others[seat] for seat, one in about.items()}
        self._table = _Table(agents, info, env, session)

    async def aact(self, observation: str, info: Mapping[str, Any]) -> Message:
        """Ask the agent of the seat whose turn it is."""
        if self._table is None:
            raise EpisodeStateError("act() was called before reset(info); reset the agent with the info of env.reset().")
        return await self._table.answer(observation, info)

    def record(self) -> AgentRecord:
        """Return the policy's usage and tokens, and those of the other seats under `seats`."""
        if self._table is None:
            return AgentRecord()
        records = self._table.records()
        return replace(records.pop(self._table.policy, AgentRecord()), seats=records)

    def fork(self) -> Self:
        """Return seats for another episode, with forks of the agents."""
        twin: Self = super().fork()
        twin._table = None
        return twin

    async def aclose(self) -> None:
        """Close every agent once."""
        for agent in {id(agent): agent for agent in (self.policy, *self.others.values())}.values():
            await close_after(agent)


class OtherSeats(gymnasium.Wrapper[str, "str | Message", str, "str | Message"]):
    """The one-seat face of an environment with agents in other seats, for plain loops: `step` waits for them.

    Args:
        env: An environment with several seats.
        agents: By seat; seats that are not named are played by the environment's scripts.

    Raises:
        UsageError: If there are no such seats, one of them is the environment's own, or an agent is a `Seats`.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], agents: Mapping[str, AgentLike]) -> None:
        """Check who sits where."""
        super().__init__(env)
        seats, own = getattr(env.unwrapped, "seats", ()), getattr(env.unwrapped, "seat", "")
        for seat in agents:
            if seat not in seats:
                raise unknown_name("seat", seat, seats)
            if seat == own:
                raise UsageError(f"The seat {seat!r} is played through step(); name another, or make the environment for it.")
        self.agents = {seat: as_agent(agent, f"The seat {seat!r}") for seat, agent in agents.items()}
        for seat, agent in self.agents.items():
            _refuse_seats(agent, f"OtherSeats() got Seats for {seat!r}")
        self.seat = str(own)
        self._count = 0
        self._table: _Table | None = None
        self._owed: list[tuple[float, Mapping[str, Any]]] = []
        self._tick: Mapping[str, str] = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode and let the others act until it is the turn of the environment's own seat."""
        observation, info = self.env.reset(seed=seed, options={**(options or {}), "seats": tuple(self.agents)})
        self._count += 1
        opening = {key: value for key, value in info.items() if key not in TABLE_INFO}
        self._table = _Table(self.agents, info, self.env, f"episode-{self._count}")
        self._owed, self._tick = [], {}
        for result in self._others_act(observation, info):
            observation, reward, *_, info = result
            self._owed.append((reward, info))
        return observation, opening

    def step(self, action: str | Message) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Play one action, and what the others answer until it is the turn of the environment's own seat again.

        Raises:
            ModelError: If the model of an agent failed.
            SeatFault: If an agent was refused three times in a row.
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        results, own = [*self._owed, (float(reward), info)], info
        self._owed = []
        if not terminated and not truncated:
            for result in self._others_act(observation, info):
                observation, amount, terminated, truncated, info = result
                results.append((amount, info))
        return observation, sum(amount for amount, _ in results), terminated, truncated, _folded(own, results)

    def _others_act(
        self, observation: str, info: Mapping[str, Any]
    ) -> Iterator[tuple[str, float, bool, bool, dict[str, Any]]]:
        """Let the others act, and yield what came of each action."""
        if self._table is None:
            raise EpisodeStateError("step() was called before reset().")
        tick, self._tick = self._tick, info.get("tick", self._tick)
        while info["seat"] != self.seat:
            # a tick in which the environment's own seat was first: the others are asked now, all at once
            message = run_sync(self._table.answer(observation, {"tick": tick, **info, "step": 0}))
            observation, reward, terminated, truncated, info = self.env.step(message)
            tick, self._tick = {}, info.get("tick", {})
            yield observation, float(reward), terminated, truncated, info
            if terminated or truncated:
                return
        self._table.note(info)


def _refuse_seats(agent: Agent, found: str) -> None:
    """Refuse an agent for one seat that plays several."""
    if agent.seats:
        raise UsageError(
            f"{found}, which also plays {', '.join(agent.seats)}; expected an agent for that seat alone. Name every seat "
            f"once: Seats(policy, NAME=agent, ...)."
        )


def seats_config(agent: Agent) -> dict[str, Json]:
    """Return who sits in the seats other than the policy's, for the configuration of a run; empty for one seat."""
    others: Mapping[str, Agent] = getattr(agent, "others", {}) if agent.seats else {}
    return {seat: {"agent": one.name, "version": one.version} for seat, one in others.items()}


class _Table:
    """The agents of one episode, and what each of them may know.

    Args:
        agents: By seat; each plays with a fork.
        info: Of the reset that opened the table.
        env: The environment.
        session: Name of the episode.
    """

    def __init__(
        self, agents: Mapping[str, Agent], info: Mapping[str, Any], env: gymnasium.Env[Any, Any] | None, session: str
    ) -> None:
        self.policy = ""
        self._agents: dict[str, Agent] = {}
        self._own: dict[str, dict[str, Any]] = {}  # by seat: the info of its last own action
        self._last = ""  # who acted last
        self._answers: dict[str, Message | BaseException] = {}  # of a tick, until their turn comes
        self._asked: dict[str, int] = {}  # by seat: the step its answer was expected to be
        self._moved: dict[str, dict[int, int]] = {}  # by seat: steps that an answer became, where it is another one
        hints = {key: info[key] for key in OPENING_HINTS if key in info}
        for seat, agent in agents.items():
            about = dict(info["seats"][seat])
            is_policy = about.pop("boundary") == "model"
            told = {"task": info["task"], **(hints if is_policy else {}), **about, "seat": seat}
            self.policy = seat if is_policy else self.policy
            self._agents[seat] = forked(agent)
            self._agents[seat].reset(told, env=env, session=session if is_policy else f"{session}/{seat}")

    async def answer(self, observation: str, info: Mapping[str, Any]) -> Message:
        """Return the action of the seat whose turn it is."""
        seat, step = info["seat"], info["step"]
        self.note(info)
        if tick := info.get("tick"):
            # they do not see what the others do: ask all at once, and answer for each when its turn comes
            asked = {name: step + n for n, name in enumerate(tick) if name in self._agents}
            answers = [self._ask(name, tick[name], expected) for name, expected in asked.items()]
            self._answers = dict(zip(asked, await asyncio.gather(*answers, return_exceptions=True), strict=True))
        if seat not in self._answers:
            return await self._ask(seat, observation, step)
        found = self._answers.pop(seat)
        if isinstance(found, BaseException):
            raise found
        if self._asked[seat] != step:  # somebody before it in the tick was asked again
            self._moved.setdefault(seat, {})[self._asked[seat]] = step
        return found

    def note(self, info: Mapping[str, Any]) -> None:
        """Keep the info of the last action for the seat that made it; `info["seat"]` acts next."""
        if self._last:
            keys = (*_OWN, "score", "success") if self._last == self.policy else _OWN
            self._own[self._last] = {key: info[key] for key in keys if key in info}
        self._last = info["seat"]

    def records(self) -> dict[str, AgentRecord]:
        """Return usage and tokens by seat."""
        found = {}
        for seat, agent in self._agents.items():
            record, moved = recorded(agent), self._moved.get(seat, {})
            segments = tuple(_moved(segment, moved) for segment in record.segments) if moved else record.segments
            found[seat] = replace(record, name=agent.name, segments=segments)
        return found

    async def _ask(self, seat: str, observation: str, step: int) -> Message:
        """Ask the agent of a seat."""
        self._asked[seat] = step
        try:
            return await self._agents[seat].aact(observation, {**self._own.get(seat, {}), "seat": seat, "step": step})
        except SystemExit as error:  # in a tick each seat is asked in a task
            raise Exited(error) from error


def _moved(segment: Segment, steps: Mapping[int, int]) -> Segment:
    """Return a segment whose spans index the steps that the answers became."""
    return replace(segment, turns=tuple(replace(span, turn=steps.get(span.turn, span.turn)) for span in segment.turns))


def _folded(own: Mapping[str, Any], results: list[tuple[float, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the info of an action with what came of it until the seat acts again, as without a table."""
    infos = [info for _, info in results]
    last = infos[-1]
    info = {key: value for key, value in own.items() if key not in TABLE_INFO}
    info |= {key: last[key] for key in ("score", "success", "stop_reason")}
    info["reward_parts"] = add_by_name(one["reward_parts"] for one in infos)
    if metrics := {key: value for one in infos for key, value in (one.get("metrics") or {}).items()}:
        info["metrics"] = metrics
    return info


__all__ = ["OtherSeats", "Seats", "seats_config"]
