"""Environments that lack something or misbehave: the card says what could not be judged, and what is wrong."""

import json
import math

import gymnasium
import numpy as np
import pytest

from palaestra.envs import audit_environment
from palaestra.envs.audit import audit
from palaestra.envs.audit.card import Card
from palaestra.envs.core.text_env import Turn
from tests.envs.audit.toys import LAMPS, Lamps, registered

N = 4


class NoExpert(Lamps):
    """Knows no solution."""

    def expert(self):
        yield from ()


class OnlyTrain(Lamps):
    """Has no test tasks."""

    sizes = (("train", 30),)


class OneTask(Lamps):
    """Has one task in all."""

    sizes = (("test", 1),)


class Empty(Lamps):
    """Has a test split without tasks."""

    sizes = (("train", 0), ("test", 0))


class Endless(Lamps):
    """Never ends by itself, whatever is said."""

    def _act(self, action):
        turn = super()._act(action)
        return Turn(turn.observation, 0.0)


class Raising(Lamps):
    """Every second task raises."""

    def _act(self, action):
        if self.task.data["floor"] % 2:
            raise ZeroDivisionError("no lamps here")
        return super()._act(action)


class RaisingAtReset(Lamps):
    """Every second task cannot begin."""

    def _begin(self, task):
        if task.data["floor"] % 2:
            raise RuntimeError("fuse blown")
        return super()._begin(task)


class RaisingAlways(Lamps):
    """No task can begin."""

    def _begin(self, task):
        raise RuntimeError("fuse blown")


class BrokenExpert(Lamps):
    """The expert raises."""

    def expert(self):
        yield f"on {LAMPS[0]}"
        raise KeyError("lost the plan")


class High(Lamps):
    """Pays 7."""

    def _act(self, action):
        turn = super()._act(action)
        turn.reward *= 7
        return turn


class Negative(Lamps):
    """Costs one a step."""

    def _act(self, action):
        turn = super()._act(action)
        turn.reward -= 1
        return turn


class NoNumber(gymnasium.Env):
    """As a third party writes it: a reward that is not a number, and nothing else."""

    metadata = {"render_modes": []}  # noqa: RUF012
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed, options=options)
        self.turn = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.turn += 1
        return np.zeros(2, np.float32), math.nan, self.turn == 3, False, {}


class Infinite(NoNumber):
    """Pays without end."""

    def step(self, action):
        observation, _, *rest = super().step(action)
        return (observation, math.inf, *rest)


def card_of(env, n=N):
    """Return the card of a class as it looks after the journey through strict JSON, and its points by name."""
    with registered(env) as env_id:
        card = audit_environment(env_id, n)
    return check(card)


def check(card):
    again = Card.from_json(json.loads(json.dumps(card.to_json(), allow_nan=False)))
    assert again.verdict == card.verdict
    assert all(point.reason for point in card.points)
    return card, {point.name: point for point in card.points}


CASES = [
    (NoExpert, {"ceiling.success": ("not judged", "no expert"), "near.left_out": ("not judged", "solves no task")}),
    (OnlyTrain, {"splits.overlap": ("not judged", "")}),
    (OneTask, {"floor.common_actions": ("not judged", "fewer than two tasks"), "splits.goals": ("warn", "single task")}),
    (Endless, {"episodes.end": ("warn", "did not end within 200 actions"), "ceiling.success": ("fail", "does not solve")}),
    (Raising, {"episodes.run": ("fail", "ZeroDivisionError: no lamps here"), "ceiling.success": ("warn", "raised")}),
    (RaisingAtReset, {"episodes.run": ("fail", "RuntimeError: fuse blown")}),
    (RaisingAlways, {"episodes.run": ("fail", "RuntimeError: fuse blown"), "floor.nothing": ("not judged", "No episode")}),
    (BrokenExpert, {"episodes.run": ("fail", "lost the plan"), "ceiling.success": ("fail", "lost the plan")}),
    (High, {"reward.bound": ("fail", "7"), "ceiling.return": ("fail", "another return than 1")}),
    (Negative, {"reward.bound": ("warn", "less than 0"), "ceiling.return": ("fail", "another return than 1")}),
    (NoNumber, {"reward.finite": ("fail", "nan"), "floor.nothing": ("not judged", "not texts")}),
    (Infinite, {"reward.finite": ("fail", "inf"), "floor.random": ("not judged", "says neither")}),
]


@pytest.mark.parametrize(("env", "expected"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_the_card_says_what_is_wrong_and_what_could_not_be_judged(env, expected):
    card, points = card_of(env)
    for name, (verdict, said) in expected.items():
        assert points[name].verdict == verdict, points[name]
        assert said in points[name].reason, points[name]
    assert card.verdict != "pass"


def test_an_empty_split_has_a_card_that_judges_nothing():
    card, points = card_of(Empty)
    assert (card.n, card.floors, card.split) == (0, {}, None)
    assert card.verdict == "warn"
    assert {point.verdict for point in points.values()} <= {"not judged", "pass"}
    assert all("Does not apply" in point.reason for point in points.values() if point.verdict == "pass")
    assert points["episodes"].verdict == "not judged"


@pytest.mark.parametrize("env_id", ["CartPole-v1", "FrozenLake-v1"])
def test_a_plain_gymnasium_environment_is_audited(env_id):
    card, points = check(audit_environment(env_id, 3))
    assert card.verdict == "warn"
    assert set(card.floors) == {"random"}
    assert card.ceiling["n"] == 0
    assert points["episodes.run"].verdict == points["reward.finite"].verdict == "pass"
    assert points["stability.replay"].verdict == "pass"
    for name in ("floor.nothing", "injection", "vandal", "ceiling.success", "length", "leaks.info", "flips.luck"):
        assert points[name].verdict == "not judged", points[name]


def test_a_judge_that_raises_has_not_judged_and_the_others_have(monkeypatch):
    def broken(subject):
        raise LookupError("nothing here")

    kept = audit.JUDGES[-1]
    monkeypatch.setattr(audit, "JUDGES", (audit.Judge("mine", broken, "?"), kept))
    with registered(Lamps) as env_id:
        points = audit_environment(env_id, 1).points
    assert (points[0].name, points[0].verdict) == ("mine", "not judged")
    assert "LookupError: nothing here" in points[0].reason
    assert len(points) == 5
