"""Environments that lack something or misbehave: the card says what could not be judged, and what is wrong."""

import json
import math

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.cli.main import main
from palaestra.envs import audit_environment
from palaestra.envs.audit import audit
from palaestra.envs.audit.card import Card
from palaestra.envs.audit.play import yes_or_no
from palaestra.envs.core.tasks import FixedTasks, Task
from palaestra.envs.core.text_env import Turn
from palaestra.errors import ConfigError
from palaestra.spaces import TextSpace
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


class Says(gymnasium.Env):
    """As a third party writes it: texts, no tasks; repeat the number that is shown."""

    observation_space = action_space = TextSpace()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.turn, self.number = 0, int(self.np_random.integers(1000, 9999))
        return f"Say {self.number}.", {}

    def step(self, action):
        self.turn += 1
        is_right = str(action) == str(self.number)
        return "So be it.", float(is_right), is_right or self.turn == 3, False, {"success": is_right}

    def expert(self):
        yield str(self.number)


def says(name, change, base=Says):
    """Return `Says` with a change of what `step` returns: `change(reward, success, number)` gives reward and info."""

    def step(self, action):
        observation, reward, terminated, truncated, info = base.step(self, action)
        reward, info = change(reward, info["success"], self.number)
        return observation, reward, terminated, truncated, info

    return type(name, (base,), {"step": step})


class Forever(Says):
    """Neither the episodes end nor what the expert says."""

    def step(self, action):
        return "Go on.", 0.0, False, False, {"success": False}

    def expert(self):
        while True:
            yield "again"


class NoInfoAtReset(Says):
    """`reset` returns None as info."""

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0], None


class OnlyObservation(Says):
    """`reset` returns no info at all."""

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class Buttons(gymnasium.Env):
    """Buttons instead of texts, with tasks and an expert."""

    observation_space = action_space = gymnasium.spaces.Discrete(5)
    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self):
        self.tasks = FixedTasks([Task(f"{split}/{i}", split, "", {"n": i}) for split in ("train", "test") for i in range(5)])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.task = self.tasks.find((options or {}).get("task", "train/0"))
        return self.task.data["n"], {}

    def step(self, action):
        is_right = int(action) == self.task.data["n"]
        return 0, float(is_right), True, False, {"success": is_right}

    def expert(self):
        yield np.int64(self.task.data["n"])


SILENT = dict.fromkeys(("floor.nothing", "floor.random"), ("not judged", "says neither")) | {
    "ceiling.success": ("not judged", "does not say whether"),
    "difficulty": ("not judged", "says whether it was a success"),
    "near.left_out": ("not judged", "solves no task"),
}
ODD_NUMBER = says("NaNSometimes", lambda reward, success, number: (math.nan if number % 2 else reward, {"success": success}))
BROKEN_INFO = ("fail", "info of type NoneType; expected a dict")
MORE = [
    (says("SuccessNone", lambda reward, success, number: (reward, {"success": None})), SILENT),
    (says("SuccessMissing", lambda reward, success, number: (reward, {})), SILENT),
    (
        says("SuccessWord", lambda reward, success, number: (reward, {"success": "no"})),
        {**SILENT, "episodes.success": ("fail", "info['success'] is 'no'")},
    ),
    (
        says("SuccessNaN", lambda reward, success, number: (reward, {"success": math.nan})),
        {**SILENT, "episodes.success": ("fail", "info['success'] is nan")},
    ),
    (
        says("RewardNone", lambda reward, success, number: (None, {"success": success})),
        {
            "episodes.run": ("fail", "float() argument"),
            "reward.finite": ("not judged", "No action could be played"),
            "episodes.end": ("not judged", "No action could be played"),
            "ceiling.success": ("not judged", "it raised TypeError"),
            "floor.nothing": ("not judged", "No episode could be played"),
        },
    ),
    (ODD_NUMBER, {"reward.finite": ("fail", "nan is not a finite number")}),
    (says("InfoNone", lambda reward, success, number: (reward, None)), {"episodes.run": BROKEN_INFO}),
    (NoInfoAtReset, {"episodes.run": BROKEN_INFO, "reward.bound": ("not judged", "No action")}),
    (OnlyObservation, {"episodes.run": ("fail", "unpack")}),
    (
        Forever,
        {
            "episodes.end": ("warn", "did not end within 200 actions"),
            "floor.nothing": ("pass", "were cut after 200 actions and count as not solved"),
            "ceiling.success": ("fail", "does not solve"),
        },
    ),
    (
        Buttons,
        {
            "floor.nothing": ("not judged", "not texts"),
            "ceiling.success": ("pass", "solves all"),
            "floor.other_plan": ("pass", "0 %"),
        },
    ),
]


@pytest.mark.parametrize(("env", "expected"), MORE, ids=lambda value: getattr(value, "__name__", ""))
def test_what_third_parties_return_is_judged_or_the_card_says_why_not(env, expected):
    points = judged(env, expected)
    assert ("episodes.success" in points) == ("episodes.success" in expected)


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.booleans())))
def test_what_is_neither_yes_nor_no_is_no_success(said):
    found = yes_or_no(said)
    assert found in (None, True, False)
    assert (found is None) == (isinstance(said, (str, bytes, list)) or said not in (0, 1))
    assert yes_or_no(np.bool_(True)) is True
    assert yes_or_no(np.float32(1.0)) is True


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("palaestra/TextCraft-v0", "--split", "tets"), "Unknown split 'tets'. Did you mean 'test'?"),
        (("palaestra/TextCraft-v0", "--split", ""), "Unknown split ''. Known: test, train."),
        (("CartPole-v1", "--split", "test"), "Unknown split 'test'. There are none."),
        (("palaestra/TextCraft-v0", "-n", "0"), "greater than or equal to 1"),
        (("palaestra/TextCraft-v0", "-n", "-3"), "greater than or equal to 1"),
        (("palaestra/TextCraft-v0", "-n", "many"), "valid integer"),
        (("palaestra/TextCraft-v0", "--effort", "quick"), "Unknown effort 'quick'"),
        (("palaestra/TextCraf-v0",), "Did you mean 'palaestra/TextCraft-v0'?"),
    ],
)
def test_the_command_refuses_what_cannot_be_meant(words, said, capsys):
    assert main(["audit", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("n", [0, -1, 1.5, "3", True, math.nan])
def test_a_number_of_tasks_is_a_whole_number(n):
    with pytest.raises(ConfigError, match="expected a whole number of at least 1"):
        audit_environment("palaestra/TextCraft-v0", n)


def card_of(env, n=N):
    """Return the card of a class as it looks after the journey through strict JSON, and its points by name."""
    with registered(env) as env_id:
        card = audit_environment(env_id, n)
    return check(card)


def judged(env, expected):
    """Return the points of a class by name, once those expected have their verdicts and words, and the card does not pass."""
    card, points = card_of(env)
    for name, (verdict, said) in expected.items():
        assert points[name].verdict == verdict, points[name]
        assert said in points[name].reason, points[name]
    assert card.verdict != "pass"
    return points


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
    judged(env, expected)


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
