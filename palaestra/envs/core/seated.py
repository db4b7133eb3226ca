"""`SeatedEnv`: several seats in one world, in strict turns or in ticks.

One object is driven in two ways. `reset()` makes it the Gymnasium environment of one seat: the setting's own scripted
players act in the others, inside the world. `reset(options={"seats": (...)})` opens the table for one episode: the seats
named are played from outside as well, each `step` is the action of `info["seat"]`, and the observation it returns is for
the seat that acts next. No model is ever called in here.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, SupportsFloat

import numpy as np

from palaestra.envs.core.table import Exchange, Refused, Table
from palaestra.envs.core.tasks import Task, TaskSet
from palaestra.envs.core.text_env import TextEnv, Turn
from palaestra.errors import (
    Boundary,
    ConfigError,
    EnvironmentFault,
    SeatFault,
    UsageError,
    unknown_name,
)
from palaestra.spaces import ActionSpace
from palaestra.types import Json, Message, StopReason, ToolResult, plain

Action = str | Message

MAX_REFUSALS = 3
"""Refusals in a row after which a seat that is not the policy's has failed."""

_OPTIONS = ("task", "split", "seats", "max_turns")


class SeatedEnv(TextEnv):
    """Base of environments with several seats.

    Args:
        tasks: The environment's tasks.
        seat: Whose Gymnasium environment this is, the *policy's* seat; the first one declared by default.
        players: Personas of scripted players by seat, e.g. `{"user": "terse"}`; the first one declared by default.
        split: Split that `reset` draws from unless told otherwise.
        max_turns: Actions of the policy's seat, refused ones included, after which the episode is stopped.
        render_mode: None or "ansi".

    Attributes:
        seats: Names of the seats, the policy's first. A class attribute; an instance may have fewer.
        judges: Those of them that judge: their failures are errors of boundary "judge".
        simultaneous: Whether every seat acts in every tick; there is a parallel PettingZoo face then.
        personas: What scripted players can be like, by seat, the default first.
        prompt_format: Prompt format that the instructions of every seat describe (`info["format"]`); "" leaves it open.
        seat: The policy's seat: `step`'s reward, `score` and `success` are this seat's, whichever seat acted.

    Subclasses write `_open`, `_read`, `_play`, `_scripted`, `_sample`, `_save_world`, `_load_world`, and where they apply
    `_out_of_turns`, `instructions`, `tools`, `private`, `expert`. What a seat is not told it does not see; metrics are told
    with the last step only, by whatever it ends.
    """

    seats: tuple[str, ...] = ()
    judges: ClassVar[tuple[str, ...]] = ()
    simultaneous: ClassVar[bool] = False
    personas: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    prompt_format: ClassVar[str] = ""
    # not the world's: a refused action, or the end of the policy's turns, changes no state hash
    snapshot_fields: ClassVar[tuple[str, ...]] = (
        *TextEnv.snapshot_fields,
        *("_outside", "_horizon", "_refused", "_cut_reason", "_rewards_due", "_metrics_due", "_notes_due"),
    )
    snapshot_types: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {
            **TextEnv.snapshot_types,
            **{"_outside": list[str], "_horizon": int, "_refused": dict[str, int], "_cut_reason": str},
            **{"_rewards_due": dict[str, float], "_metrics_due": dict[str, float], "_notes_due": dict[str, Any]},
        }
    )

    def __init__(
        self,
        tasks: TaskSet,
        *,
        seat: str = "",
        players: Mapping[str, str] | None = None,
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Check the arguments that every such environment shares."""
        self.seat = seat or self.seats[0]
        if self.seat not in self.seats:
            raise unknown_name("seat", seat, self.seats)
        self.players = self._cast(players or {})
        sampler = partial(type(self)._sample, self.seat)
        super().__init__(tasks, split=split, max_turns=max_turns, sampler=sampler, render_mode=render_mode)
        self._limit = 2**62  # the horizon is looked at when the policy's turn would come again, not after its action
        self._outside: list[str] = [self.seat]
        self._horizon = self._limit
        self._refused: dict[str, int] = {}
        self._cut_reason: StopReason = ""
        self._instead: Callable[[], None] | None = None
        self._used = 0
        self._rewards_due: dict[str, float] = {}  # by seat, since the last step; likewise notes
        self._metrics_due: dict[str, float] = {}  # given up to now; told with the end of the episode
        self._notes_due: dict[str, Json] = {}
        self._wanted = (self._outside, self._horizon)
        self._table = Table.laid(self.seats, 0)

    # -- hooks ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def _open(self, task: Task) -> Exchange:
        """Set up the world for `task`; say what the seats are told and who begins. Gives no reward and never ends."""

    @abstractmethod
    def _read(self, seat: str, action: Action) -> Any:
        """Return the move that an action means, or raise `Refused`; changes nothing. In a tick it is asked twice."""

    @abstractmethod
    def _play(self, moves: Mapping[str, Any]) -> Exchange:
        """Play the move of one seat, or one move per seat of a tick (None for a seat that passes)."""

    @abstractmethod
    def _scripted(self, seat: str, observation: str) -> Action:
        """Return what the setting's own player of a seat does; chance comes from `self.chance(seat)` only."""

    @staticmethod
    @abstractmethod
    def _sample(seat: str, rng: np.random.Generator) -> Action:
        """Draw a well-formed action of a seat."""

    @abstractmethod
    def _save_world(self) -> Json:
        """Return the state of the world as plain JSON."""

    @abstractmethod
    def _load_world(self, task: Task, state: Json) -> None:
        """Set the world to a state that `_save_world` returned."""

    def _out_of_turns(self) -> Exchange | None:
        """Return what happens when the policy may not act again: `next` may name judges. None: the episode is over."""
        return None

    def instructions(self, seat: str = "") -> str:
        """Return the text that a seat is told once, the policy's by default."""
        del seat
        return ""

    def tools(self, seat: str = "") -> list[dict[str, Json]]:
        """Return the OpenAI function schemas of a seat, the policy's by default."""
        del seat
        return []

    def private(self, seat: str) -> Json:
        """Return goal and persona of a seat as data, for its agent only."""
        del seat
        return None

    def expert(self, seat: str = "") -> Iterator[Action]:
        """Yield actions that reach the goal of a seat, the policy's by default; see `TextEnv.expert`."""
        del seat
        return iter(())

    # -- what others use ------------------------------------------------------------------------------------------

    @property
    def acting(self) -> tuple[str, ...]:
        """Seats that have yet to act in this turn or tick, in order; empty when the episode is over."""
        return tuple(self._table.acting) if self._playing else ()

    @property
    def is_open(self) -> bool:
        """Whether seats in addition to the policy's are played from outside in this episode."""
        return len(self._outside) > 1

    def boundary(self, seat: str) -> Boundary:
        """Return the boundary of errors of a seat."""
        return "model" if seat == self.seat else "judge" if seat in self.judges else "user"

    def chance(self, seat: str) -> np.random.Generator:
        """Return the generator of a scripted player in its current turn; it moves no other stream."""
        text = f"{self._table.episode}|{seat}|{self._table.turns[seat]}"
        return np.random.default_rng(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big"))

    def observation_of(self, seat: str) -> str:
        """Return the observation of a seat now: the observation if it acts, else what it was told since it last did."""
        shown = self._table.acting[0] if self._playing else self.seat
        return self._observation if seat == shown else self._table.waiting(seat)

    def action_space_of(self, seat: str) -> ActionSpace:
        """Return the space of a seat's actions."""
        if seat not in self.seats:
            raise unknown_name("seat", seat, self.seats)
        return ActionSpace(sampler=partial(type(self)._sample, seat))

    def cut(self, reason: StopReason) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Stop the episode between two actions, as if the policy had no turns left; a judge may still be asked.

        Args:
            reason: The `stop_reason` of the episode.

        Returns:
            As `step`: truncated, unless a seat that is played from outside is asked now.

        Raises:
            EpisodeStateError: Before `reset` or after the end of the episode.
        """
        return self._without_action(lambda: self._end_turns(reason))

    def pass_turn(self, problem: str = "") -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Let the seat whose turn it is in a tick pass, as after an action that cannot be read.

        Args:
            problem: Why, told to the seat.

        Raises:
            EpisodeStateError: Before `reset` or after the end of the episode.
            UsageError: If a single seat is to act; it cannot pass.
        """
        if self._playing and not self._table.is_tick:
            raise UsageError(f"Only {self._table.acting[0]!r} acts now, and it cannot pass; play its action with step().")
        return self._without_action(lambda: self._pass(problem))

    # -- Gymnasium ------------------------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seeds `np_random`; None continues the current stream.
            options: `task` or `split` as in `TextEnv`; `seats` opens the table for this episode: these seats are played
                from outside too; `max_turns` is a horizon in addition to the environment's.

        Returns:
            The first observation, and `info` with `task`, `instructions` and `tools` of the policy's seat. At an open
            table the observation is for `info["seat"]`, and `info["seats"]` has what each seat's agent must know.

        Raises:
            UsageError: For unknown options, tasks, splits and seats.
        """
        wanted = dict(options or {})
        if unknown := sorted(set(wanted) - set(_OPTIONS)):
            raise unknown_name("reset option", unknown[0], _OPTIONS)
        self._wanted = self._wanted_seats(wanted.pop("seats", ())), self._wanted_horizon(wanted.pop("max_turns", None))
        observation, info = super().reset(seed=seed, options=wanted)
        if self.prompt_format:
            info["format"] = self.prompt_format
        if self.is_open:
            info["seats"] = {seat: self._about(seat) for seat in self.seats if seat in self._outside}
            self._announce(info)
        return observation, info

    def step(self, action: Action) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Play the action of the seat whose turn it is (see `TextEnv.step`).

        Raises:
            EpisodeStateError: Before `reset` or after the end of the episode.
            UsageError: If `action` is neither a text nor an assistant message.
            SeatFault: If a seat that is not the policy's was refused three times in a row.
        """
        if not self._playing:
            return super().step(action)  # which says what is wrong
        self._used = self._num_turns + (self._table.acting[0] == self.seat)  # the policy's actions, this one included
        observation, reward, terminated, truncated, info = super().step(action)
        self._num_turns = self._used
        if terminated and self._cut_reason:
            terminated, truncated = False, True
        if self.is_open and self._playing:
            self._announce(info)
        return observation, reward, terminated, truncated, info

    # -- TextEnv's hooks ------------------------------------------------------------------------------------------

    def _begin(self, task: Task) -> str:
        """Open the game and let the scripted players act until it is the turn of a seat that is played from outside."""
        self._outside, self._horizon = self._wanted
        self._refused, self._cut_reason, self._used = {}, "", 0
        self._rewards_due, self._metrics_due, self._notes_due = {}, {}, {}
        self._table = table = Table.laid(self.seats, int(self.np_random.integers(2**62)))
        opening = self._open(task)
        if opening.rewards or opening.scores or not opening.next:
            raise EnvironmentFault(f"{type(self).__name__}._open gives a reward or names nobody in next; it may only begin.")
        self._take(opening)
        self._advance()
        if self._is_over():
            raise EnvironmentFault(f"The game was over before the seat {self.seat!r} of {type(self).__name__} was asked.")
        return table.hear(table.acting[0])

    def _act(self, action: Action) -> Turn:
        """Play the action of the seat whose turn it is, and what the scripted players answer."""
        results: tuple[ToolResult, ...] = ()
        if self._instead is not None:
            self._instead()
        else:
            try:
                results = self._submit(self._table.acting[0], action)
            except Refused as refusal:
                return self._refuse(str(refusal))
        self._advance()
        return self._turn(results)

    def _refuse(self, problem: str) -> Turn:
        """Ask again a seat whose action cannot be played, unless it was the policy's last one."""
        table = self._table
        seat = table.acting[0]
        self._count_refusal(seat, problem)
        if seat == self.seat and self._used >= self._horizon:
            if table.is_tick:
                self._pass(problem)
            else:
                table.inbox[seat].append(problem)
            self._advance()
        return self._turn(problem=problem)

    def _save(self) -> Json:
        """Return the state of the world and of the table."""
        return {"world": self._save_world(), "table": self._table.to_json()}

    def _load(self, task: Task, state: Json) -> None:
        """Set world and table to a state that `_save` returned."""
        table = Table.from_json(state["table"])
        if not all(list(named) == list(self.seats) for named in (table.inbox, table.turns, table.scores)):
            raise ValueError("the seats are others")
        if not {*table.acting, *table.won, *table.sealed} <= {*self.seats}:
            raise ValueError("a seat acts that there is not")
        self._load_world(task, state["world"])
        self._table = table

    def _check_restored(self) -> None:
        """Refuse an episode in play in which nobody acts."""
        if self._playing and not self._table.acting:
            raise ValueError("nobody acts")

    def _settings(self) -> dict[str, Json]:
        """Return also which seat is the policy's, and who plays the others."""
        return {**super()._settings(), "seat": self.seat, "players": self.players}

    def _render_ansi(self) -> str:
        """Return the last action and the current observation; at an open table also whose it is."""
        text = super()._render_ansi()
        return f"{text}\n({self._table.acting[0]} acts)" if self.is_open and self._playing else text

    # -- private --------------------------------------------------------------------------------------------------

    def _cast(self, players: Mapping[str, str]) -> dict[str, str]:
        """Return the persona of every seat that has any."""
        for seat, persona in players.items():
            if seat not in self.seats:
                raise unknown_name("seat", seat, self.seats)
            if persona not in self.personas.get(seat, ()):
                raise unknown_name(f"{seat} persona", persona, self.personas.get(seat, ()))
        return {seat: players.get(seat, names[0]) for seat, names in self.personas.items() if seat in self.seats}

    def _wanted_seats(self, given: Any) -> list[str]:
        """Return the seats that are played from outside, in the order they are declared."""
        if isinstance(given, str) or not isinstance(given, Collection) or not all(isinstance(name, str) for name in given):
            raise UsageError(f"options['seats'] is {given!r}; expected names of seats, e.g. {list(self.seats)}.")
        for name in given:
            if name not in self.seats:
                raise unknown_name("seat", name, self.seats)
        return [seat for seat in self.seats if seat == self.seat or seat in given]

    def _wanted_horizon(self, given: object) -> int:
        """Return how many actions the policy has."""
        if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 1):
            raise ConfigError(f"options['max_turns'] is {given!r}; expected an integer of at least 1.")
        return min(limit for limit in (given, self.max_turns, 2**62) if limit is not None)

    def _about(self, seat: str) -> dict[str, Json]:
        """Return what the agent of a seat must know at the start."""
        return {
            "instructions": self.instructions(seat),
            "tools": self.tools(seat),
            "private": self.private(seat),
            "boundary": self.boundary(seat),
            **({"format": self.prompt_format} if self.prompt_format else {}),
        }

    def _announce(self, info: dict[str, Any]) -> None:
        """Say who acts next; at the start of a tick, what each of them sees, so that all can be asked at once."""
        table = self._table
        info["seat"] = table.acting[0]
        asked = [seat for seat in table.acting if seat in self._outside]
        begins = len(asked) > 1 and not info.get("action_error") and not any(seat in self._outside for seat in table.sealed)
        if begins:
            info["tick"] = {seat: self.observation_of(seat) for seat in asked}

    def _without_action(self, play: Callable[[], None]) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step with something other than an action: what comes of it is reported in the same way."""
        said, self._instead = self._last_action, play
        try:
            return self.step("")
        finally:
            self._last_action, self._instead = said, None

    def _end_turns(self, reason: StopReason) -> None:
        """Stop the episode as if it were the policy's turn and it had none left."""
        table = self._table
        if self.seat not in table.acting:
            table.acting = [self.seat]
        elif table.acting[0] == self.seat:
            self._used -= 1  # its turn did not come
        self._stop(reason)

    def _submit(self, seat: str, action: Action) -> tuple[ToolResult, ...]:
        """Play the action of a seat, or seal it until the tick is complete; return the results of its tool calls.

        Raises:
            Refused: If a single seat is to act and this cannot be played. In a tick the seat passes instead.
        """
        table = self._table
        if table.is_tick:
            try:
                self._read(seat, action)
            except Refused as refusal:
                self._pass(str(refusal))
            else:
                self._refused.pop(seat, None)
                self._seal(plain(action))
            return ()
        move = self._read(seat, action)
        self._refused.pop(seat, None)
        table.turns[seat] += 1
        table.acting = []
        return self._take(self._play({seat: move}), seat)

    def _pass(self, problem: str) -> None:
        """Let the seat whose turn it is in a tick pass, and tell it why."""
        seat = self._table.acting[0]
        self._count_refusal(seat, problem)
        if problem:
            self._table.inbox[seat].append(problem)
        self._seal(None)

    def _seal(self, action: Json) -> None:
        """Keep the action of a seat in a tick, None for none; play the tick when all are in."""
        table = self._table
        seat = table.acting.pop(0)
        table.turns[seat] += 1
        table.sealed[seat] = action
        if not table.acting:
            sealed, table.sealed = table.sealed, {}
            self._take(self._play({name: self._unsealed(name, one) for name, one in sealed.items()}))

    def _unsealed(self, seat: str, action: Json) -> Any:
        """Read a sealed action, now that all are in."""
        if action is None:
            return None
        return self._read(seat, Message.from_json(action) if isinstance(action, dict) else action)

    def _take(self, exchange: Exchange, seat: str = "") -> tuple[ToolResult, ...]:
        """Let an exchange take effect; return the results of the tool calls of the seat that acted."""
        self._table.take(exchange)
        due = self._rewards_due
        for name, reward in exchange.rewards.items():
            due[name] = due.get(name, 0.0) + reward
        self._metrics_due.update(exchange.metrics)
        self._notes_due.update(exchange.info or {})
        if not exchange.tool_results:
            return ()
        # a chat model is shown the results of its calls and nothing else: other words would never reach it
        if tuple(exchange.next) not in ((seat,), ()):
            raise EnvironmentFault(
                f"The seat {seat or 'of a tick'!r} of {type(self).__name__} called tools and next is {exchange.next}; "
                "let it act again at once, or end the game."
            )
        return tuple(exchange.tool_results)

    def _advance(self) -> None:
        """Let the scripted players act until a seat that is played from outside is asked, or the game is over."""
        table = self._table
        while table.acting:
            has_turns = self._used < self._horizon and not self._cut_reason
            if self.seat in table.acting and not has_turns and not self._stop("max_rounds"):
                return
            seat = table.acting[0]
            if seat in self._outside:
                return
            action = self._scripted(seat, table.hear(seat))
            try:
                self._submit(seat, action)
            except Refused as refusal:
                raise self._misplayed(seat, str(refusal)) from refusal

    def _stop(self, reason: StopReason) -> bool:
        """Take the policy's turns away; return whether anybody else is asked."""
        if self._cut_reason:
            return False
        self._cut_reason = reason
        table = self._table
        table.sealed = {}
        last_words = self._out_of_turns()
        if last_words is None:
            return False
        if self.seat in last_words.next:
            if self.seat not in self.judges:
                raise EnvironmentFault(
                    f"{type(self).__name__}._out_of_turns names the policy's seat, which has no turns left."
                )
            others = tuple(seat for seat in last_words.next if seat != self.seat)  # a judge out of turns is not asked to judge
            last_words = replace(last_words, next=others)
        self._take(last_words)
        return bool(self._table.acting)

    def _is_over(self) -> bool:
        """Whether nobody is asked any more."""
        acting = self._table.acting
        return not acting or (bool(self._cut_reason) and self.seat in acting)

    def _count_refusal(self, seat: str, problem: str) -> None:
        """Count refusals in a row of a seat that is not the policy's.

        Raises:
            SeatFault: After the third.
        """
        if seat == self.seat:
            return
        if seat not in self._outside:
            raise self._misplayed(seat, problem)
        self._refused[seat] = self._refused.get(seat, 0) + 1
        if self._refused[seat] >= MAX_REFUSALS:
            self._playing = False
            raise SeatFault(
                self.boundary(seat), f"The seat {seat!r} was refused {MAX_REFUSALS} times in a row, at last with: {problem}"
            )

    def _misplayed(self, seat: str, problem: str) -> EnvironmentFault:
        """Return the error of a scripted player that does not play by the rules."""
        return EnvironmentFault(f"The scripted {seat!r} of {type(self).__name__} was refused: {problem}")

    def _turn(self, tool_results: tuple[ToolResult, ...] = (), *, problem: str = "") -> Turn:
        """Return what the step did for the policy, and at an open table for everybody."""
        table, is_over = self._table, self._is_over()
        is_refused = bool(problem) and not is_over  # then the same seat is asked again
        rewards, self._rewards_due = self._rewards_due, {}
        info = self._told_driver(rewards, is_over) if self.is_open else None
        # what an episode measures may follow from what a seat is not told, so nobody hears it before the end
        metrics, self._metrics_due = (self._metrics_due, {}) if is_over else ({}, self._metrics_due)
        self._notes_due = {}
        return Turn(
            problem if is_refused else table.hear(self.seat if is_over else table.acting[0]),
            rewards.get(self.seat, 0.0),
            terminated=is_over,
            success=self.seat in table.won and not is_refused,
            score=table.scores[self.seat],
            action_error=problem,
            tool_results=tool_results,
            stop_reason=self._cut_reason or table.stop_reason,
            info=info,
            metrics=metrics,
        )

    def _told_driver(self, rewards: dict[str, float], is_over: bool) -> dict[str, Any]:
        """Return what the driver of an open table is told of all seats."""
        table = self._table
        info: dict[str, Any] = {"rewards": rewards, "scores": dict(table.scores)}
        if self._notes_due:
            info["exchange"] = self._notes_due
        if is_over:
            info |= {"won": list(table.won), "last_seen": {seat: table.waiting(seat) for seat in self._outside}}
        return info


__all__ = ["MAX_REFUSALS", "Action", "Exchange", "Refused", "SeatedEnv"]
