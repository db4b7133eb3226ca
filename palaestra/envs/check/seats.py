"""Checks of environments with several seats: the same game either way, private by construction, PettingZoo's face."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from typing import Any
from unittest import mock

import numpy as np

from palaestra.envs.check.report import expect
from palaestra.envs.check.subject import Action, Subject, shown, told
from palaestra.envs.core.seated import Exchange, SeatedEnv
from palaestra.envs.core.table import NOT_RECORDED, TABLE_INFO
from palaestra.types import Json, Message, Outcome, SeatRecord, Step, Trajectory

NOT_SEATED = "does not apply: there is one seat"
MAX_TURNS = 60  # of one seat, in a game that does not end by itself
SHORT_HORIZON = 3
NUM_SEEDS = 3
POLICIES = ("expert", "mixed")
WARNINGS = (  # PettingZoo expects arrays and names like agent_0; texts and seats have neither
    "Observation is not a NumPy array",
    "Observation space for each agent probably should be",
    "Action space for each agent probably should be",
    "We recommend agents to be named in the format",
)


def check_same_either_way(subject: Subject) -> str:
    """Scripted players driven from outside give, by `of_seat`, the episode of the one-seat face, for every seat."""
    num_episodes = 0
    with subject.open() as env, subject.open() as second:
        inner, twin = env.unwrapped, second.unwrapped
        if not isinstance(inner, SeatedEnv) or not isinstance(twin, SeatedEnv):
            return NOT_SEATED
        for policy in POLICIES:
            for seed in range(subject.seed, subject.seed + min(NUM_SEEDS, subject.budget.seeds)):
                for horizon in (None, SHORT_HORIZON):
                    alone = play_alone(inner, seed, policy, max_turns=horizon)
                    table = play_table(inner, twin, seed, inner.seat, policy, max_turns=horizon)
                    _expect_same(alone, table.of_seat(inner.seat), f"seed {seed}, {policy} policy, max_turns {horizon}")
                    num_episodes += 1
                for seat in (seat for seat in inner.seats if seat != inner.seat):
                    with subject.open(seat=seat) as face:
                        other = face.unwrapped
                        assert isinstance(other, SeatedEnv)
                        alone = play_alone(other, seed, policy)
                    table = play_table(inner, twin, seed, seat, policy)
                    _expect_same(alone, table.of_seat(seat), f"seed {seed}, seat {seat!r}, {policy} policy")
                    num_episodes += 1
    return f"{num_episodes} episodes"


def check_privacy(subject: Subject) -> str:
    """A seat is shown what it was told and nothing else; without a table no info holds anything of another seat.

    Metrics are functions of the whole world, so that only the info of the last step may hold any.
    """
    with subject.open() as env:
        inner = env.unwrapped
        if not isinstance(inner, SeatedEnv):
            return NOT_SEATED
        for seed in range(subject.seed, subject.seed + min(NUM_SEEDS, subject.budget.seeds)):
            _, info = env.reset(seed=seed)
            infos, lasts = [info], True
            for turn in range(MAX_TURNS):
                *_, terminated, truncated, info = env.step(_drawn(inner, inner.seat, seed, turn))
                infos.append(info)
                if terminated or truncated:
                    lasts = False
                    break
            found = sorted({key for info in infos for key in info if key in TABLE_INFO})
            expect(not found, f"Without a table, info holds {', '.join(found)}, which is of other seats.")
            early = sorted({name for info in infos[: None if lasts else -1] for name in info.get("metrics") or ()})
            expect(
                not early,
                f"In mid-episode, info['metrics'] holds {', '.join(early)}: they may follow from what the seat does not know.",
                "Give them in Exchange.metrics; the info of the last step has them.",
            )
            _expect_told_is_shown(inner, seed)
    return f"{len(inner.seats)} seats, {min(NUM_SEEDS, subject.budget.seeds)} seeds"


def check_multi_agent(subject: Subject) -> str:
    """PettingZoo's own tests pass on the multi-agent face, with the warnings that texts cause and no others."""
    from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test

    from palaestra.envs.multi_agent import as_aec, as_parallel

    with subject.open() as env:
        inner = env.unwrapped
        if not isinstance(inner, SeatedEnv):
            return NOT_SEATED
        is_simultaneous = inner.simultaneous

    def made() -> SeatedEnv:
        return subject.make().unwrapped  # type: ignore[return-value]

    tests: list[tuple[str, Callable[[], Any]]] = [
        ("api_test", lambda: api_test(as_aec(made()), num_cycles=50)),
        ("seed_test", lambda: seed_test(lambda: as_aec(made()), num_cycles=20)),
    ]
    if is_simultaneous:
        tests += [
            ("parallel_api_test", lambda: parallel_api_test(as_parallel(made()), num_cycles=50)),
            ("parallel_seed_test", lambda: parallel_seed_test(lambda: as_parallel(made()), num_cycles=20)),
        ]
    for name, test in tests:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            test()
        texts = {str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)}
        strange = sorted(text for text in texts if not any(known in text for known in WARNINGS))
        expect(not strange, f"{name} warns: {'; '.join(strange)}")
    return ", ".join(name for name, _ in tests)


# -- playing ----------------------------------------------------------------------------------------------------------


def play_alone(env: SeatedEnv, seed: int, policy: str, *, max_turns: int | None = None) -> Trajectory:
    """Play the one-seat face of an environment.

    Args:
        env: Played from its own seat.
        seed: Of the reset and of what the policy draws.
        policy: "expert", or "mixed": the expert's actions, drawn ones and nonsense in turn.
        max_turns: Horizon in addition to the environment's.
    """
    options = {} if max_turns is None else {"max_turns": max_turns}
    observation, info = env.reset(seed=seed, options=options)
    record = _Record(env, observation, info)
    for turn in range(MAX_TURNS):
        if record.step(choose_action(env, env.seat, seed, turn, policy)):
            break
    return record.trajectory()


def play_table(
    env: SeatedEnv, twin: SeatedEnv, seed: int, seat: str, policy: str, *, max_turns: int | None = None
) -> Trajectory:
    """Play an open table at which every seat is played from outside: one by a policy, the others by their scripts.

    Args:
        env: The environment.
        twin: Another one made alike. The scripted players are asked there, in a restored state: whatever they keep or draw
            outside of the state and of `chance` is lost.
        seed: Of the reset and of what the policy draws.
        seat: Who is played by the policy.
        policy: As in `play_alone`.
        max_turns: Horizon in addition to the environment's.
    """
    options: dict[str, Any] = {"seats": env.seats}
    if max_turns is not None:
        options["max_turns"] = max_turns
    observation, info = env.reset(seed=seed, options=options)
    record = _Record(env, observation, info)
    turns = 0
    for _ in range(MAX_TURNS * len(env.seats)):
        acting = record.acting
        if acting == seat:
            if turns == MAX_TURNS:
                break
            action = choose_action(env, seat, seed, turns, policy)
            turns += 1
        else:
            twin.restore(env.snapshot())
            action = twin._scripted(acting, record.observation)
        if record.step(action):
            break
    return record.trajectory()


def choose_action(env: SeatedEnv, seat: str, seed: int, turn: int, policy: str) -> Action:
    """Return the action of a policy of the checks: the same in the same situation, however the other seats are played."""
    if policy == "mixed" and turn % 3:
        return "\u2603 no such move" if turn % 3 == 2 else _drawn(env, seat, seed, turn)
    action = next(iter(env.expert(seat)), None)
    return _drawn(env, seat, seed, turn) if action is None else action


def _drawn(env: SeatedEnv, seat: str, seed: int, turn: int) -> Action:
    """Draw an action of a seat."""
    return type(env)._sample(seat, np.random.default_rng([seed, turn]))


class _Record:
    """An episode while it is played, kept the way the rollout engine keeps it."""

    def __init__(self, env: SeatedEnv, observation: str, info: Mapping[str, Any]) -> None:
        self.env, self.observation, self.opening = env, observation, info
        self.acting = str(info.get("seat", env.seat))
        self.steps: list[Step] = []
        self.last_seen: Mapping[str, str] = {}

    def step(self, action: Action) -> bool:
        """Play one action; return whether the episode is over."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        kept = {key: value for key, value in info.items() if key not in NOT_RECORDED}
        message = action if isinstance(action, Message) else Message("assistant", action)
        self.steps.append(Step(self.observation, message, float(reward), terminated, truncated, kept, seat=self.acting))
        self.observation, self.acting = observation, info.get("seat", self.acting)
        self.last_seen = info.get("last_seen", {})
        return terminated or truncated

    def trajectory(self) -> Trajectory:
        """Return the episode."""
        about = self.opening.get("seats", {})
        others = {
            seat: SeatRecord(instructions=info["instructions"], final_observation=self.last_seen.get(seat, ""))
            for seat, info in about.items()
            if seat != self.env.seat
        }
        last = self.steps[-1].info
        return Trajectory(
            "check",
            "check",
            {},
            instructions=self.opening["instructions"],
            steps=tuple(self.steps),
            final_observation=self.observation,
            outcome=Outcome(last["score"], last["success"], last["stop_reason"]),
            seat=self.env.seat if others else "",
            seats=others,
        )


# -- comparing --------------------------------------------------------------------------------------------------------


def _expect_same(alone: Trajectory, seated: Trajectory, where: str) -> None:
    """Fail unless the episode of a seat is the same in the one-seat face and at a table.

    Where one of them was stopped early (the horizon counts the actions of the policy's seat), they are compared up to there.
    """
    pairs = list(zip(_lived(alone), _lived(seated), strict=False))
    is_whole = len(alone.steps) == len(seated.steps)
    for number, (first, second) in enumerate(pairs if is_whole else pairs[:-1]):
        parts = [key for key in first if not _equal(first[key], second[key])]
        expect(
            not parts,
            f"With {where}, {', '.join(parts)} of action {number} differ: "
            f"{shown([first[key] for key in parts])} alone against {shown([second[key] for key in parts])} at a table.",
        )
    stopped = [episode.outcome.stop_reason in ("max_rounds", "") for episode in (alone, seated)]
    expect(
        is_whole or any(stopped),
        f"With {where}, the seat acted {len(alone.steps)} times alone and {len(seated.steps)} times at a table.",
    )
    if is_whole:
        expect(
            alone.final_observation == seated.final_observation and alone.instructions == seated.instructions,
            f"With {where}, the seat was left with {shown(alone.final_observation)} alone and "
            f"{shown(seated.final_observation)} at a table.",
        )


def _lived(episode: Trajectory) -> Iterator[dict[str, Any]]:
    """Yield what a seat saw, did and got, by step."""
    for step in episode.steps:
        info = {key: value for key, value in step.info.items() if key not in TABLE_INFO}
        flags = {"terminated": step.terminated, "truncated": step.truncated}
        yield {"observation": step.observation, "action": told(step.action), "reward": step.reward, **flags, **told(info)}


def _equal(first: Json, second: Json) -> bool:
    """Whether two plain values are the same; numbers that were added up in another order may differ in the last digit."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_equal(first[key], second[key]) for key in first)
    if isinstance(first, float) or isinstance(second, float):
        return math.isclose(first, second, rel_tol=1e-9, abs_tol=1e-12)
    return bool(first == second)


def _expect_told_is_shown(env: SeatedEnv, seed: int) -> None:
    """Fail unless every observation at a table is made of what that seat was told since it last acted."""
    inbox: dict[str, list[str]] = {seat: [] for seat in env.seats}

    def spied(exchange: Exchange | None) -> Exchange | None:
        for seat, text in (exchange.told if exchange is not None else {}).items():
            inbox[seat].append(text)
        return exchange

    spies: dict[str, Any] = {name: _spy(getattr(env, name), spied) for name in ("_open", "_play", "_out_of_turns")}
    with mock.patch.multiple(env, **spies):
        observation, info = env.reset(seed=seed, options={"seats": env.seats})
        expect(set(info["seats"]) == set(env.seats), f"info['seats'] names {sorted(info['seats'])}.")
        for _ in range(MAX_TURNS):
            seat = info["seat"]
            expected, inbox[seat] = "\n".join(inbox[seat]), []
            expect(
                observation == expected,
                f"The seat {seat!r} was told {shown(expected)} and shown {shown(observation)}.",
                "Tell seats what they may know in Exchange.told, and nothing in any other way.",
            )
            observation, _, terminated, truncated, info = env.step(env._scripted(seat, observation))
            if terminated or truncated:
                break


def _spy(call: Callable[..., Any], spied: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a hook that also reports what it returns."""
    return lambda *args: spied(call(*args))


__all__ = ["check_multi_agent", "check_privacy", "check_same_either_way", "play_alone", "play_table"]
