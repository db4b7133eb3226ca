"""Who acts in an episode: one agent, or at an open table an agent in each of several seats.

The engine plays every environment with one loop. What it must know of seats is here: which reset options open the table,
whose step it is, whose failure it is, and what of it all is recorded where.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from palaestra.agents.core import Agent, AgentRecord
from palaestra.agents.masking import masked
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.envs.core.table import NOT_RECORDED
from palaestra.errors import Boundary, UsageError, unknown_name
from palaestra.types import Json, SeatRecord, plain


class Seating:
    """The seats of one episode.

    Args:
        env: The unwrapped environment.
        agent: Plays; `Agent.seats` names the seats that it plays in addition to the policy's.

    Attributes:
        has_seats: Whether the environment has several; it then keeps the horizon itself.
        policy: The policy's seat at an open table, else empty.
        acting: Whose turn it is at an open table, else empty.
        is_open: Whether several agents play.

    Raises:
        UsageError: If the agent plays seats that the environment does not have.
    """

    def __init__(self, env: Any, agent: Agent) -> None:
        """Look at what the environment and the agent offer each other."""
        self.has_seats = bool(seats_of(env))
        self._played = agent.seats
        self.policy = self.acting = ""
        self.is_open = False
        self._about: Mapping[str, Any] = {}
        self._last_seen: Mapping[str, str] = {}
        if not agent.seats:
            return
        check_seating(env, agent)
        self.policy = str(env.seat)
        self.is_open = bool(self.policy)

    @property
    def is_policys_turn(self) -> bool:
        """Whether the policy acts now."""
        return self.acting == self.policy

    def options(self, plan: EpisodePlan) -> dict[str, Any] | None:
        """Return the options of the reset: the task, who plays, and the horizon where the environment keeps it."""
        options: dict[str, Any] = {} if plan.task_key is None else {"task": plan.task_key}
        if self.is_open:
            options["seats"] = self._played
        if self.has_seats and plan.max_turns is not None:
            options["max_turns"] = plan.max_turns
        return options or None

    def begin(self, info: Mapping[str, Any]) -> None:
        """Note what the reset said."""
        if self.is_open:
            self._about = info["seats"]
            self.acting = info["seat"]

    def shown(self, info: Mapping[str, Any], step: int) -> Mapping[str, Any]:
        """Return the info that the agent is given for its next action, with the index of that step at an open table."""
        return {**info, "step": step} if self.is_open else info

    def kept(self, info: Mapping[str, Any]) -> Mapping[str, Any]:
        """Note whose turn is next; return the part of the info that belongs to the record of the step."""
        if not self.is_open:
            return info
        self.acting = info.get("seat", self.acting)
        self._last_seen = info.get("last_seen", {})
        return {key: value for key, value in info.items() if key not in NOT_RECORDED}

    def boundary(self, boundary: Boundary) -> Boundary:
        """Return the boundary of a failure while an agent was asked: a model's failure is its seat's."""
        if boundary != "model" or self.acting not in self._about:
            return boundary
        found: Boundary = self._about[self.acting]["boundary"]
        return found

    def records(self, record: AgentRecord) -> dict[str, SeatRecord]:
        """Return the records of the seats other than the policy's."""
        return {
            seat: SeatRecord(
                agent=masked(own.name),
                instructions=str(self._about[seat]["instructions"]),
                tools=tuple(plain(tool) for tool in self._about[seat]["tools"]),
                usage=own.usage,
                segments=own.segments,
                final_observation=self._last_seen.get(seat, ""),
            )
            for seat, own in record.seats.items()
            if seat in self._about
        }

    def meta(self) -> dict[str, Json]:
        """Return the note about an action that was chosen and not played."""
        return {"unfinished_seat": self.acting} if self.is_open else {}


def check_seating(env: Any, agent: Agent) -> None:
    """Refuse an agent that plays seats that an environment does not have, or that are its own.

    Args:
        env: The unwrapped environment, here or in a worker.
        agent: Who is to play.

    Raises:
        UsageError: With the seats there are.
    """
    if not agent.seats:
        return
    seats = seats_of(env)
    if not seats:
        names = ", ".join(agent.seats)
        raise UsageError(f"The agent also plays {names}, and this environment has one seat; play it with the policy alone.")
    if env.seat in agent.seats:
        raise UsageError(f"The seat {env.seat!r} is the policy's; give the agent for it as the policy, not by its name.")
    if strangers := [seat for seat in agent.seats if seat not in seats]:
        raise unknown_name("seat", strangers[0], seats)


def seats_of(env: Any) -> tuple[str, ...]:
    """Return the seats of an unwrapped environment, here or in a worker; none for an environment with one seat."""
    seats = getattr(env, "seats", ())
    return seats if isinstance(seats, tuple) and callable(getattr(env, "cut", None)) else ()


__all__ = ["Seating", "check_seating", "seats_of"]
