"""What several seats share while they play: whose turn it is, what each was told, how they stand.

An `Exchange` is what an environment's author returns for one action, or for the actions of one tick. A `Table` keeps what
follows from it. It is plain data, and part of the state that is hashed and saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from palaestra.envs.core.typed import typed
from palaestra.errors import EnvironmentFault
from palaestra.types import Json, StopReason, ToolResult

NOT_RECORDED = ("seat", "tick", "last_seen")
"""What the info of a step at an open table says to its driver only: the record keeps it in other places, or not at all."""

TABLE_INFO = (*NOT_RECORDED, "seats", "rewards", "scores", "won", "exchange")
"""What infos hold at an open table only."""


@dataclass(slots=True)
class Exchange:
    """What one action, or the actions of one tick, did.

    Attributes:
        told: Text by seat; the only way to reach a seat. Texts that gather until it acts are joined by line breaks.
        next: Who acts now. Several names are a tick: they act without seeing each other. Nobody: the game is over.
        rewards: Increments by seat.
        won: Seats that have reached their goal, as things stand now.
        scores: Cumulative scores by seat in the native scale; a seat that is not named keeps the sum of its rewards.
        stop_reason: Why the game is over; "success" and "failure" are filled in from `won`, by seat.
        tool_results: One per tool call of the seat that acted. That seat then acts again at once, or the game is over.
        metrics: Values of metrics that the environment declares; the last of each counts. They may follow from what a seat
            does not know: `info["metrics"]` has them when the episode is over (terminated, truncated or cut), not before.
        info: Plain JSON for the record of an episode with several seats (`info["exchange"]`); never shown to a seat.
    """

    told: Mapping[str, str] = field(default_factory=dict)
    next: tuple[str, ...] = ()
    rewards: Mapping[str, float] = field(default_factory=dict)
    won: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    stop_reason: StopReason = ""
    tool_results: Sequence[ToolResult] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    info: Mapping[str, Json] | None = None


class Refused(Exception):
    """Raised by `SeatedEnv._read`: the action cannot be played; its text says why, and what would do."""


@dataclass(slots=True)
class Table:
    """The state of play between seats.

    Attributes:
        episode: Drawn once an episode; the chance of scripted players follows from it.
        acting: Who has yet to act in this turn or tick, in order.
        sealed: In a tick, the actions that are in, by seat; None for a seat that passes.
        inbox: What each seat was told and has not been shown yet.
        turns: Actions by seat, those that were refused not counted.
        scores: Cumulative score by seat.
        won: Seats that have reached their goal.
        stop_reason: Why the game ended by itself.
    """

    episode: int
    acting: list[str]
    sealed: dict[str, Json]
    inbox: dict[str, list[str]]
    turns: dict[str, int]
    scores: dict[str, float]
    won: list[str]
    stop_reason: StopReason = ""

    @classmethod
    def laid(cls, seats: Iterable[str], episode: int) -> Table:
        """Return the table before anything has happened."""
        names = list(seats)
        return cls(episode, [], {}, {name: [] for name in names}, dict.fromkeys(names, 0), dict.fromkeys(names, 0.0), [])

    @property
    def is_tick(self) -> bool:
        """Whether several seats act without seeing each other."""
        return len(self.acting) > 1 or bool(self.sealed)

    def take(self, exchange: Exchange) -> None:
        """Deliver what an exchange tells, scores and decides.

        Raises:
            EnvironmentFault: If it names a seat that does not exist.
        """
        named = {*exchange.told, *exchange.rewards, *exchange.scores, *exchange.next, *exchange.won}
        if strangers := named - self.inbox.keys():
            raise _stranger(min(strangers), self.inbox)
        for seat, text in exchange.told.items():
            self.inbox[seat].append(text)
        for seat, reward in exchange.rewards.items():
            self.scores[seat] += reward
        for seat, score in exchange.scores.items():
            self.scores[seat] = float(score)
        self.acting = list(dict.fromkeys(exchange.next))
        self.won = list(exchange.won)
        self.stop_reason = exchange.stop_reason

    def hear(self, seat: str) -> str:
        """Return the texts told to a seat since it last acted, and empty its inbox."""
        texts, self.inbox[seat] = self.inbox[seat], []
        return texts[0] if len(texts) == 1 else "\n".join(texts)

    def waiting(self, seat: str) -> str:
        """Return the observation of a seat if it acted now; its inbox stays as it is."""
        return "\n".join(self.inbox[seat])

    def to_json(self) -> dict[str, Any]:
        """Return the state as plain JSON data."""
        return {name: getattr(self, name) for name in _FIELDS}

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Table:
        """Rebuild from `to_json()`.

        Raises:
            TypeError: If a field is missing or is not of its type.
        """
        return typed(cls, state)


_FIELDS = tuple(field.name for field in fields(Table))


def _stranger(name: str, seats: Iterable[str]) -> EnvironmentFault:
    """Return the error of an exchange that names a seat that does not exist."""
    return EnvironmentFault(f"An Exchange names the seat {name!r}; the seats are {', '.join(seats)}. Correct _open or _play.")


__all__ = ["NOT_RECORDED", "TABLE_INFO", "Exchange", "Refused", "Table"]
