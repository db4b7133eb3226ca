from __future__ import annotations

import math

import pytest
import torch

from palaestra.algorithms.learner.optimiser import Optimiser, OptimiserConfig, lr_scale
from palaestra.algorithms.learner.watchdog import FiniteWatchdog
from palaestra.algorithms.run.alarms import ALARM_TEXTS, Alarms, CollapseWatchdog
from palaestra.errors import TrainingStopped


def test_three_bad_updates_in_a_row_stop_training() -> None:
    watchdog = FiniteWatchdog(limit=3)
    assert watchdog.accepts(0.5, 1.0)
    assert not watchdog.accepts(math.nan, 1.0)
    assert not watchdog.accepts(0.5, math.inf)
    assert watchdog.accepts(0.5, 1.0)  # the row is broken
    assert not watchdog.accepts(math.nan, 1.0)
    assert not watchdog.accepts(math.nan, 1.0)
    with pytest.raises(TrainingStopped, match="3 updates in a row"):
        watchdog.accepts(math.nan, 1.0)
    assert watchdog.total == 5


def test_a_bad_update_moves_nothing_and_the_next_good_one_does() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimiser = Optimiser([weight], OptimiserConfig(lr=0.1, warmup_updates=0))
    weight.grad = torch.tensor([math.nan, 1.0])
    assert optimiser.step(0.0)["skipped"] == 1.0
    assert weight.tolist() == [1.0, 1.0]
    assert optimiser.updates == 0
    weight.grad = torch.ones(2)
    assert optimiser.step(0.0)["skipped"] == 0.0
    assert (weight < 1.0).all()


def test_gradients_are_clipped() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = Optimiser([weight], OptimiserConfig(lr=1.0, warmup_updates=0, grad_clip=1.0))
    weight.grad = torch.tensor([1000.0])
    assert optimiser.step(0.0)["grad_norm"] == pytest.approx(1000.0)


@pytest.mark.parametrize(
    ("update", "decay", "expected"),
    [(0, "constant", 0.1), (9, "constant", 1.0), (500, "constant", 1.0), (10, "linear", 1.0), (60, "linear", 0.55),
     (110, "linear", 0.1), (110, "cosine", 0.1), (60, "cosine", 0.55), (10**6, "cosine", 0.1)],
)  # fmt: skip
def test_the_learning_rate_is_a_function_of_the_update(update: int, decay: str, expected: float) -> None:
    assert lr_scale(update, warmup=10, total=110, decay=decay) == pytest.approx(expected)  # type: ignore[arg-type]


def test_optimiser_state_survives() -> None:
    def fresh() -> tuple[torch.nn.Parameter, Optimiser]:
        weight = torch.nn.Parameter(torch.ones(3))
        return weight, Optimiser([weight], OptimiserConfig(lr=0.01, warmup_updates=3))

    def push(weight: torch.nn.Parameter, optimiser: Optimiser, times: int) -> None:
        for _ in range(times):
            weight.grad = weight.detach() * 2
            optimiser.step(0.0)

    one, whole = fresh()
    push(one, whole, 6)
    two, first = fresh()
    push(two, first, 2)
    three, second = fresh()
    three.data.copy_(two.data)
    second.load(first.state())
    push(three, second, 4)
    assert torch.equal(one, three)


def test_the_watchdog_of_an_older_checkpoint_is_read() -> None:
    optimiser = Optimiser([torch.nn.Parameter(torch.ones(1))], OptimiserConfig())
    state = optimiser.state()
    state["guard"] = {**state.pop("watchdog"), "in_a_row": 2, "total": 5}
    optimiser.load(state)
    with pytest.raises(TrainingStopped, match="3 updates in a row"):
        optimiser.step(math.nan)
    assert optimiser.watchdog.total == 6


def test_collapse_needs_both_signs() -> None:
    watch = CollapseWatchdog(baseline_step=2, window=1)
    assert not watch.observe(1, spread=0.4, entropy=1.0)
    assert not watch.observe(2, spread=0.4, entropy=1.0)
    assert not watch.observe(3, spread=0.05, entropy=0.9)
    assert not watch.observe(4, spread=0.4, entropy=0.1)
    assert watch.observe(5, spread=0.05, entropy=0.1)


def test_a_policy_turned_into_noise_is_a_collapse_too() -> None:
    watch = CollapseWatchdog(baseline_step=1, window=1)
    assert not watch.observe(1, spread=0.4, entropy=1.0, return_=0.5)
    assert not watch.observe(2, spread=0.4, entropy=5.0, return_=0.0)  # still telling better from worse
    assert not watch.observe(3, spread=0.0, entropy=5.0, return_=0.5)  # certain and right
    assert watch.observe(4, spread=0.0, entropy=5.0, return_=0.05)


def test_one_unlucky_batch_is_no_alarm() -> None:
    watch = CollapseWatchdog(baseline_step=1)
    for step in range(1, 6):
        watch.observe(step, spread=0.4, entropy=1.0)
    assert not watch.observe(6, spread=0.0, entropy=0.0)


def test_a_resumed_watch_goes_on() -> None:
    one, two = CollapseWatchdog(baseline_step=2), CollapseWatchdog(baseline_step=2)
    for step in range(1, 5):
        one.observe(step, spread=0.4, entropy=1.0)
    two.load(one.state())
    for step in range(5, 9):
        assert one.observe(step, spread=0.0, entropy=0.0) == two.observe(step, spread=0.0, entropy=0.0)


def test_a_resumed_watch_remembers_the_highest_return() -> None:
    one, two = CollapseWatchdog(baseline_step=2), CollapseWatchdog(baseline_step=2)
    for step in range(1, 5):
        one.observe(step, spread=0.4, entropy=1.0, return_=0.9)
    two.load(one.state())
    fallen = {"spread": 0.0, "entropy": 9.0, "return_": 0.01}
    rang = [(one.observe(step, **fallen), two.observe(step, **fallen)) for step in range(5, 9)]
    assert all(first == second for first, second in rang)
    assert any(first for first, _ in rang)


def rung(rows: list[dict[str, float | None]]) -> dict[str, list[int]]:
    """Steps at which each alarm rang; alarms that were never judged are missing."""
    alarms = Alarms()
    found: dict[str, list[int]] = {}
    for step, row in enumerate(rows, start=1):
        for name, value in alarms.observe(step, row).items():
            found.setdefault(name, []).extend([step] if value else [])
    return found


def test_only_what_is_logged_is_judged() -> None:
    assert rung([{"grad_norm": 1.0}] * 3) == {"alarm_grad_norm": [], "alarm_not_finite": []}
    assert rung([{"anything": 1.0}] * 3) == {}


def test_a_gradient_that_stays_far_above_its_median_rings_once_it_is_known() -> None:
    norms = [1.0, 50.0, *[1.0, 2.0] * 5, 15.0, 21.0, 22.0, 23.0, 1.0, 24.0, 1.0]  # 24 alone is one odd step
    assert rung([{"grad_norm": norm} for norm in norms])["alarm_grad_norm"] == [15, 16]
    assert rung([{"critic_grad_norm": norm} for norm in norms])["alarm_critic_grad_norm"] == [15, 16]


def test_the_gradient_of_one_step_does_not_ring() -> None:
    for at in range(30):
        assert rung([{"grad_norm": 1000.0 if step == at else 1.0} for step in range(30)])["alarm_grad_norm"] == []


def test_a_rising_share_of_cut_episodes_rings_and_a_constant_one_does_not() -> None:
    cut = [{"truncated_rounds": 0.1, "truncated_tokens": 0.1}] * 10 + [{"truncated_rounds": 0.5, "truncated_tokens": 0.2}] * 8
    assert rung(cut)["alarm_truncated"] == [15, 16, 17, 18]  # mean of the last 8 at step 15: .2 + 5/8 * .5
    assert rung([{"truncated_rounds": 0.9}] * 30)["alarm_truncated"] == []


def test_a_sampler_that_leaves_the_trainer_rings() -> None:
    steady = [{"drift_mean": 0.001}] * 12
    assert rung([*steady, {"drift_mean": 0.01}, {"drift_mean": 0.03}])["alarm_drift"] == [14]
    assert rung([{"drift_mean": 0.25}])["alarm_drift"] == [1]
    assert rung([{"drift_mean": 0.1}] * 30)["alarm_drift"] == []  # another engine's arithmetic, always the same


@pytest.mark.parametrize(
    ("alarm", "good", "bad"),
    [
        ("alarm_stale", {"stale_tokens": 0.05}, {"stale_tokens": 0.2}),
        ("alarm_stale", {"stale_episodes": 1.0, "episodes": 64.0}, {"stale_episodes": 10.0, "episodes": 64.0}),
        ("alarm_not_finite", {"loss": 0.5, "skipped": 0.0}, {"loss": 0.5, "skipped": 0.5}),
        ("alarm_not_finite", {"loss": 0.5}, {"loss": math.nan}),
        ("alarm_not_finite", {"grad_norm": 0.5}, {"grad_norm": None}),
        ("alarm_not_finite", {"excluded_rewards": 0.0}, {"excluded_rewards": 1.0}),
        ("alarm_not_finite", {"missing_log_probs": 0.0}, {"missing_log_probs": 3.0}),
        ("alarm_errors", {"errors": 4.0, "episodes": 16.0}, {"errors": 5.0, "episodes": 16.0}),
        ("alarm_collapse", {"collapsed": 0.0}, {"collapsed": 1.0}),
        ("alarm_collapse", {"latent_collapsed": 0.0}, {"latent_collapsed": 1.0}),
    ],
)
def test_what_has_gone_wrong_rings_at_once(alarm: str, good: dict[str, float], bad: dict[str, float | None]) -> None:
    assert rung([dict(good), bad, dict(good)])[alarm] == [2]


def test_silence_rings_from_the_fifth_step_on() -> None:
    silent, loud = {"no_signal": 1.0}, {"no_signal": 0.0}
    assert rung([silent] * 4 + [loud] + [silent] * 6)["alarm_no_signal"] == [10, 11]


def test_every_alarm_has_words() -> None:
    everything = ("grad_norm", "critic_grad_norm", "truncated_rounds", "drift_mean", "stale_tokens", "errors", "no_signal")
    trends = ("entropy_sampled", "invalid_actions", "groups_equal", "return_mean")
    assert set(Alarms().observe(1, dict.fromkeys((*everything, *trends, "collapsed"), 0.0))) == set(ALARM_TEXTS)


def test_steps_far_apart_do_not_add_up() -> None:
    calm = [1.0, 1.1] * 6
    norms = [*calm, 50.0, *calm, 50.0, *calm, 50.0, 1.0]  # never two in a row
    assert rung([{"grad_norm": norm} for norm in norms])["alarm_grad_norm"] == []
