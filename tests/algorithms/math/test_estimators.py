"""Each estimator against its formula written out in plain Python, on drawn episodes of several turns."""

from __future__ import annotations

import dataclasses
import math
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from palaestra.algorithms.math import estimators
from palaestra.algorithms.math.batch import Batch, collate
from palaestra.algorithms.math.estimators import (
    AdvantageConfig,
    GiGPOAdvantage,
    GRPOAdvantage,
    ReBNAdvantage,
    ReinforcePPAdvantage,
    RLOOAdvantage,
    TurnRLOOAdvantage,
    episode_returns,
    estimate,
    estimator_names,
    get_estimator,
)
from palaestra.errors import ConfigError, UnknownNameError
from palaestra.types import Trajectory
from tests.algorithms.build import episode, segment


@pytest.mark.parametrize(
    "data",
    [
        None,
        "grpo",
        3,
        [],
        ["estimator"],
        {},
        {"estimator": None},
        {"estimator": 3},
        {"estimator": ["grpo"]},
        {"estimator": "?"},
    ],
)
def test_data_that_name_no_estimator_are_of_the_class_that_was_asked(data: object) -> None:
    for asked in (AdvantageConfig, GRPOAdvantage):
        assert asked.class_for(data) is asked


@pytest.mark.parametrize("name", estimator_names())
def test_data_are_of_the_class_of_the_estimator_that_they_name(name: str) -> None:
    for asked in (AdvantageConfig, GRPOAdvantage):
        assert asked.class_for({"estimator": name}) is get_estimator(name).config


def test_a_decorated_function_is_the_estimator_of_its_name_and_stays_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators, "ESTIMATORS", dict(estimators.ESTIMATORS))

    class Half(AdvantageConfig):
        estimator: str = "half"

    def halves(batch: Batch, reward: torch.Tensor, config: Half) -> torch.Tensor:
        return batch.spread(batch.return_) / 2

    assert estimators.estimator(Half)(halves) is halves
    assert get_estimator("half") == estimators.Estimator(Half, halves)
    assert "half" in estimator_names()
    estimators.estimator(Half)(halves)  # again, as where a module is reloaded

    class Other(Half):
        pass

    with pytest.raises(ConfigError, match=r"Other\.estimator is 'half'; expected a default that names no other estimator"):
        estimators.estimator(Other)


@pytest.mark.parametrize("name", estimator_names())
def test_every_default_is_one_that_the_setting_takes(name: str) -> None:
    config = get_estimator(name).config
    assert config.model_validate(config().model_dump()) == config()


@st.composite
def played(draw: st.DrawFn) -> list[Trajectory]:
    """Two groups of two or three episodes with one to three turns of one or two tokens, and perhaps a failed one."""
    made = []
    for group in "ab":
        for number in range(draw(st.integers(2, 3))):
            rewards = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=3))
            mask, spans = [0], []
            for turn in range(len(rewards)):
                length = draw(st.integers(1, 2))
                spans.append((len(mask), len(mask) + length, turn))
                mask += [1] * length + [0]
            one = episode(f"{group}{number}", [segment(mask, spans)], rewards, group=group)
            digests = [draw(st.sampled_from(["x", "y"])) for _ in rewards]
            steps = tuple(dataclasses.replace(s, state_hash=d) for s, d in zip(one.steps, digests, strict=True))
            made.append(dataclasses.replace(one, steps=steps))
    if draw(st.booleans()):
        made.append(episode("failed", [segment([0, 1], [(1, 2, 0)])], [1.0], group="a", error=True))
    return made


def scored(trajectories: list[Trajectory]) -> list[Trajectory]:
    return [t for t in trajectories if t.outcome.error is None]


def to_go(trajectory: Trajectory, turn: int, gamma: float) -> float:
    """Discounted sum of rewards from a turn on."""
    rewards = [step.reward for step in trajectory.steps]
    return sum(gamma**k * reward for k, reward in enumerate(rewards[turn:]))


def members(trajectory: Trajectory, trajectories: list[Trajectory]) -> list[Trajectory]:
    return [t for t in scored(trajectories) if t.group_id == trajectory.group_id]


def of_group(t: Trajectory, all_: list[Trajectory], spread: str = "group") -> float:
    returns = [m.return_ for m in members(t, all_)]
    if len(set(returns)) < 2:
        return 0.0
    centred = t.return_ - statistics.mean(returns)
    if spread == "none":
        return centred
    over = returns if spread == "group" else [m.return_ for m in scored(all_)]
    return centred / (statistics.stdev(over) + 1e-4)


def leave_one_out(t: Trajectory, all_: list[Trajectory]) -> float:
    returns = [m.return_ for m in members(t, all_)]
    if len(set(returns)) < 2:
        return 0.0
    others = (sum(returns) - t.return_) / (len(returns) - 1)
    return t.return_ - others


def by_turn(t: Trajectory, turn: int, all_: list[Trajectory], gamma: float) -> float:
    others = [m for m in members(t, all_) if m is not t]
    beyond = [to_go(m, turn, gamma) if turn < len(m.steps) else 0.0 for m in others]
    return to_go(t, turn, gamma) - (statistics.mean(beyond) if beyond else to_go(t, turn, gamma))


def of_state(t: Trajectory, turn: int, all_: list[Trajectory], gamma: float) -> float:
    state = t.steps[turn].state_hash
    values = [
        to_go(m, k, gamma) for m in members(t, all_) for k, step in enumerate(m.steps) if step.state_hash == state
    ]  # the own one included
    return 0.0 if len(values) < 2 else to_go(t, turn, gamma) - statistics.mean(values)


def assert_is(batch: Batch, found: torch.Tensor, all_: list[Trajectory], expected: Callable[[Trajectory, int], float]) -> None:
    """The advantage of every action token is that of its turn, and 0 elsewhere."""
    assert bool((found[~batch.action_mask] == 0).all())
    for row, index in enumerate(batch.episode_index.tolist()):
        for column in batch.action_mask[row].nonzero().flatten().tolist():
            turn = int(batch.turn_index[row, column])
            assert float(found[row, column]) == pytest.approx(expected(all_[index], turn), abs=2e-4)


@given(played())
def test_estimators_of_groups_are_their_formulas(made: list[Trajectory]) -> None:
    batch = collate(made)

    def found(config: AdvantageConfig) -> torch.Tensor:
        return estimate(batch, batch.token_reward, config)

    for spread in ("group", "batch", "none"):
        assert_is(batch, found(GRPOAdvantage(spread=spread)), made, lambda t, _, s=spread: of_group(t, made, s))  # type: ignore[misc]
    assert_is(batch, found(RLOOAdvantage()), made, lambda t, _: leave_one_out(t, made))
    for gamma in (0.0, 0.5):  # 0: each turn by its own reward alone
        assert_is(batch, found(TurnRLOOAdvantage(gamma=gamma)), made, lambda t, k, g=gamma: by_turn(t, k, made, g))  # type: ignore[misc]
    gigpo = GiGPOAdvantage(gamma=0.5, spread="none", step_weight=0.25)
    assert_is(batch, found(gigpo), made, lambda t, k: of_group(t, made, "none") + 0.25 * of_state(t, k, made, 0.5))


@given(played(), st.booleans())
def test_estimators_of_the_batch_are_their_formulas(made: list[Trajectory], with_baseline: bool) -> None:
    batch = collate(made)
    turns = {(t.episode_id, k): to_go(t, k, 0.5) for t in scored(made) for k in range(len(t.steps))}
    mean, std = statistics.mean(turns.values()), statistics.pstdev(turns.values())
    whitened = {key: (value - mean) / std if std > 1e-6 else 0.0 for key, value in turns.items()}
    rebn = estimate(batch, batch.token_reward, ReBNAdvantage(gamma=0.5))
    assert_is(batch, rebn, made, lambda t, k: whitened[t.episode_id, k])

    baseline = {t.episode_id: statistics.mean(m.return_ for m in members(t, made)) * with_baseline for t in scored(made)}
    # without a discount every token of a turn has the return from that turn on; the baseline lies on the last token of all
    tokens = [
        to_go(t, span.turn, 1.0) - baseline[t.episode_id]
        for t in scored(made)
        for span in t.segments[0].turns
        for _ in range(span.start, span.end)
    ]
    centre, spread = statistics.mean(tokens), statistics.pstdev(tokens)
    plus = estimate(batch, batch.token_reward, ReinforcePPAdvantage(group_baseline=with_baseline))

    def expected(t: Trajectory, turn: int) -> float:
        return (to_go(t, turn, 1.0) - baseline[t.episode_id] - centre) / spread if spread > 1e-6 else 0.0

    assert_is(batch, plus, made, expected)


@pytest.mark.parametrize("name", estimator_names())
def test_a_reward_that_is_less_is_judged_less(name: str) -> None:
    # what a KL term takes from one episode has to reach its advantage
    one = [segment([0, 1], [(1, 2, 0)])]
    made = [episode(f"e{i}", one, [float(i % 2)], group="g") for i in range(4)]
    made = [dataclasses.replace(t, steps=tuple(dataclasses.replace(s, state_hash="x") for s in t.steps)) for t in made]
    batch = collate(made)
    config: Any = get_estimator(name).config()  # type: ignore[call-arg]
    plain = estimate(batch, batch.token_reward, config)
    taken = estimate(batch, batch.token_reward - 0.5 * (batch.episode_index == 1).unsqueeze(1) * batch.action_mask, config)
    assert float(taken[1, 1]) < float(plain[1, 1])
    assert float(taken[3, 1]) > float(plain[3, 1]) - 1e-6


def test_an_episode_without_tokens_keeps_its_return_and_errors_have_none() -> None:
    silent = episode("silent", [segment([0, 0], [])], [1.0])
    batch = collate([silent, episode("e", [segment([0, 1], [(1, 2, 0)])], [0.5]), episode("x", [], [0.0], error=True)])
    assert episode_returns(batch, batch.token_reward).tolist()[:2] == [1.0, 0.5]
    assert math.isnan(float(episode_returns(batch, batch.token_reward)[2]))
    assert math.isnan(float(episode_returns(batch, batch.token_reward.clone())[2]))


@pytest.mark.parametrize("name", ["grpo", "rloo", "gigpo", "reinforce_pp"])
def test_a_silent_episode_is_compared_with_its_return_where_the_reward_pays_for_divergence(name: str) -> None:
    silent = episode("silent", [segment([0, 0], [])], [1.0])
    spoken = [episode(f"e{i}", [segment([0, 1], [(1, 2, 0)])], [float(i)]) for i in range(2)]
    made = [dataclasses.replace(t, steps=tuple(dataclasses.replace(s, state_hash="x") for s in t.steps)) for t in spoken]
    batch = collate([silent, *made])
    taken = batch.token_reward - 0.25 * batch.action_mask  # as a KL term does, from every token
    assert episode_returns(batch, taken).tolist() == [1.0, -0.25, 0.75]
    config: Any = get_estimator(name).config(**({"group_baseline": True} if name == "reinforce_pp" else {}))  # type: ignore[call-arg]
    # another constant for everybody changes no comparison within the group, but for the silent one, which paid nothing
    paid = collate([episode("silent", [segment([0, 0], [])], [1.25]), *made])
    torch.testing.assert_close(estimate(batch, taken, config), estimate(paid, paid.token_reward, config), atol=1e-5, rtol=1e-5)


def test_an_estimator_of_a_package_is_imported_when_it_is_asked_for() -> None:
    code = """
from palaestra.algorithms.math.estimators import ESTIMATORS, estimator_names
from palaestra.algorithms import get_algorithm
from tests import conftest  # installs the package of toys
assert "toys_median" in estimator_names()
assert "toys_median" not in ESTIMATORS
config = get_algorithm("grpo").config.model_validate({"advantage": {"estimator": "toys_median"}})
assert type(config.advantage).__name__ == "MedianAdvantage"
assert "toys_median" in ESTIMATORS
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_the_estimators_of_packages_name_their_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown estimator 'toys_medain'\. Did you mean 'toys_median'"):
        get_estimator("toys_medain")
    monkeypatch.setattr(
        estimators, "_plugins", lambda: {"odd": "json:dumps", "alias": "palaestra_toys.median:over_the_median"}
    )
    for name in ("odd", "alias"):
        with pytest.raises(ConfigError, match=f"expected the function under @estimator of a config .* = '{name}'"):
            get_estimator(name)


def test_states_that_were_not_recorded_are_refused() -> None:
    batch = collate([episode(f"e{i}", [segment([0, 1], [(1, 2, 0)])], [float(i)]) for i in range(2)])
    with pytest.raises(ConfigError, match="no step carries a state_hash"):
        estimate(batch, batch.token_reward, GiGPOAdvantage())


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        (estimators.TurnRLOOAdvantage(), 1.0),
        (estimators.TurnRLOOAdvantage(gamma=0.9), None),
        (estimators.GRPOAdvantage(), None),
        (estimators.GRPOAdvantage(spread="none"), 0.75),
        (estimators.GRPOAdvantage(spread="batch"), None),
        (estimators.RLOOAdvantage(), 1.0),
        (estimators.GiGPOAdvantage(), None),
    ],
)
def test_only_an_estimate_without_bias_claims_a_scale(config: Any, scale: float | None) -> None:
    assert config.gradient_scale(4) == scale
