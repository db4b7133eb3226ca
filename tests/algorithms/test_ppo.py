from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from palaestra.algorithms import ppo
from palaestra.algorithms.learner.critic import Critic, CriticConfig, RunningMoments, before, make_value_model
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.batch import Batch, collate
from palaestra.algorithms.ppo import PPOConfig, PPOLearner
from palaestra.algorithms.run.registry import make_learner
from palaestra.algorithms.run.training import train
from palaestra.types import Trajectory
from tests.algorithms.toy_recipe import toy_policy, toy_recipe
from tests.algorithms.updates import FORMS, Written, caught_gradient, counted_passes, failed, play, weights, with_return


def learner(policy: Policy, *, critic: dict | None = None, **options: object) -> PPOLearner:
    config = PPOConfig(critic=CriticConfig(**(critic or {})), **options)  # type: ignore[arg-type]
    return PPOLearner(policy, config)


def judged(policy: Policy, played: list[Trajectory], **options: object):
    made = learner(policy, **options)
    batch, _ = made.score(collate(played))
    return made, made.judged(batch)


@pytest.mark.parametrize("level", ["token", "turn"])
def test_a_reward_in_the_last_turn_reaches_every_action_token_and_no_other(level: str) -> None:
    policy = toy_policy()
    played = [with_return(t, 1.0) for t in play(policy)[:2]]
    made, batch = judged(policy, played, level=level, whiten_advantages=False)
    for parameter in made.critic.model.head.parameters():
        torch.nn.init.zeros_(parameter)
    batch = made.judged(batch)
    advantage = batch.extra["advantage"]
    assert (advantage[batch.action_mask] > 0).all()
    assert (advantage[~batch.action_mask] == 0).all()
    assert advantage.max() == pytest.approx(1.0)


def test_values_stand_before_their_token_and_only_at_action_tokens() -> None:
    policy = toy_policy()
    batch = collate(play(policy))
    critic = learner(policy).critic
    value = critic.values(batch)
    assert (value[~batch.action_mask] == 0).all()
    after = critic.model(batch.ids, batch.attention_mask).value.detach()
    row, column = (int(x[0]) for x in torch.nonzero(batch.action_mask, as_tuple=True))
    assert float(value[row, column]) == pytest.approx(float(after[row, column - 1]), abs=1e-5)
    assert torch.equal(before(after)[:, 1:], after[:, :-1])


def test_the_critic_has_weights_of_its_own_and_the_policy_gets_no_gradient_from_it() -> None:
    policy = toy_policy()
    played = play(policy)
    made, batch = judged(policy, played)
    start = weights(policy)
    made.critic.fit(batch, 1)
    assert torch.equal(weights(policy), start)
    assert all(p.grad is None for p in policy.parameters())


def test_a_shared_backbone_is_moved_by_the_critic_but_not_by_its_pretraining() -> None:
    policy = toy_policy()
    played = play(policy, num_tasks=3)
    made = learner(policy, critic={"share_backbone": True, "warmup_updates": 0}, pretrain_episodes=4)
    start = weights(policy)
    found = made.pretrain(collate(played))
    assert found["pretrain_passes"] >= 1
    assert torch.equal(weights(policy), start)
    batch, _ = made.score(collate(played))
    made.critic.fit(made.judged(batch), 1)
    assert not torch.equal(weights(policy), start)


@pytest.mark.parametrize("options", [{}, {"kl": {"coefficient": 0.1}}, {"entropy_coefficient": 0.1}], ids=str)
def test_the_first_pass_finds_the_log_probs_that_scoring_before_it_finds(options: dict[str, float]) -> None:
    played = play(toy_policy())
    found = []
    for scores_first in (False, True):
        policy = toy_policy()
        config = PPOConfig(lr=1e-2, warmup_updates=0, epochs=3, **options)  # type: ignore[arg-type]
        critic = Critic(make_value_model(policy, config.critic, seed=0), config.critic)
        made = PPOLearner(policy, config, critic=critic, reference=policy.frozen_copy)
        passes = counted_passes(policy)
        if scores_first:
            made.prepare = made.score  # type: ignore[method-assign]
        metrics = made.update(played, 1)
        found.append((metrics, weights(policy), weights(critic.model), len(passes)))
    (metrics, trained, judging, passed), (expected, wanted, valued, more) = found
    assert metrics == expected
    assert torch.equal(trained, wanted)
    assert torch.equal(judging, valued)
    assert passed == more - 1


def test_the_critic_learns_its_targets() -> None:
    policy = toy_policy()
    played = play(policy, num_tasks=6)
    made = learner(policy, critic={"epochs": 30, "warmup_updates": 0, "lr": 3e-3})
    batch, _ = made.score(collate(played))
    first = made.critic.fit(made.judged(batch), 1)
    again = made.critic.fit(made.judged(batch), 2)
    assert again["value_loss"] < 0.5 * first["value_loss"]
    assert again["explained_variance"] > max(0.5, first["explained_variance"])


def test_pretraining_keeps_the_best_pass() -> None:
    policy = toy_policy()
    played = play(policy, num_tasks=5)
    made = learner(policy, critic={"lr": 3e-2, "warmup_updates": 0}, pretrain_episodes=4, pretrain_epochs=12)
    found = made.pretrain(collate(played))
    assert found["pretrain_kept"] <= found["pretrain_passes"] <= 12
    batch = collate(played)
    kept = copy.deepcopy(made.critic.values(batch))
    assert torch.equal(made.critic.values(batch), kept)


def ended(trajectory: Trajectory, *, cut: bool, reward: float) -> Trajectory:
    """The episode, ended by itself or cut off, with a reward in its last turn."""
    last = dataclasses.replace(trajectory.steps[-1], terminated=not cut, truncated=cut, reward=reward)
    return dataclasses.replace(trajectory, steps=(*trajectory.steps[:-1], last))


@pytest.mark.parametrize("bootstraps", [True, False])
@pytest.mark.parametrize("level", ["token", "turn"])
def test_cut_off_episodes_alone_are_bootstrapped_for_policy_and_critic_if_asked_for(level: str, bootstraps: bool) -> None:
    policy = toy_policy()
    gamma, lams = 0.9, {"advantage": 0.8, "return_": 0.6}
    rewards, cuts = [0.5, 1.0, 0.0, 1.0], [True, False, True, False]
    played = [ended(t, cut=c, reward=r) for t, c, r in zip(play(policy)[:4], cuts, rewards, strict=True)]
    made = learner(
        policy,
        level=level,
        gamma=gamma,
        lam_policy=0.8,
        lam_value=0.6,
        bootstrap_truncated=bootstraps,
        whiten_advantages=False,
    )
    with torch.no_grad():  # values that differ from token to token and are not small
        for parameter in made.critic.model.head.parameters():
            parameter.mul_(3.0)
    made.critic.moments.mean, made.critic.moments.square = 2.0, 5.0
    batch = made.judged(collate(played))
    after = made.critic.values_after(batch)
    for row, (cut, reward) in enumerate(zip(cuts, rewards, strict=True)):
        columns = torch.nonzero(batch.action_mask[row]).flatten().tolist()
        starts = columns
        if level == "turn":
            turns = batch.turn_index[row].tolist()
            starts = [c for i, c in enumerate(columns) if i == 0 or turns[columns[i - 1]] != turns[c]]
        value = [float(after[row, c - 1]) for c in starts]
        beyond = float(after[row, columns[-1]]) if cut and bootstraps else 0.0
        assert len({*value, beyond}) > 2
        for name, lam in lams.items():
            expected, following, trace = [], beyond, 0.0
            for index in reversed(range(len(starts))):
                earned = reward if index == len(starts) - 1 else 0.0
                trace = earned + gamma * following - value[index] + gamma * lam * trace
                following = value[index]
                expected.append(trace + (value[index] if name == "return_" else 0.0))
            found = batch.extra[name][row][starts].tolist()
            assert found == pytest.approx(expected[::-1], abs=1e-4), (name, row)


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_the_gradient_is_that_of_the_formula_written_out(options: dict[str, Any]) -> None:
    case = Written(options)
    made: Any = make_learner("ppo", case.policy, case.settings, reference=lambda: case.reference)
    # advantages come from the critic: here those of the groups are put in their place
    ready, _ = case.prepared(made, case.batch.with_tensors(advantage=case.advantage))
    found = caught_gradient(made, lambda: made.improve(ready, 1))
    torch.testing.assert_close(found, case.gradient(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("lam_policy", "lam_value"), [(0.5, 1.0), (1.0, 0.5), (0.25, 0.75)])
def test_the_critic_has_a_trace_of_its_own(lam_policy: float, lam_value: float) -> None:
    policy = toy_policy()
    played = [with_return(t, 1.0) for t in play(policy)[:1]]
    made = learner(policy, lam_policy=lam_policy, lam_value=lam_value, gamma=0.5, whiten_advantages=False)
    made.critic.moments.mean = 4.0  # the head says 0, so that every state is thought to be worth 4
    for parameter in made.critic.model.head.parameters():
        torch.nn.init.zeros_(parameter)
    batch = made.judged(collate(played))
    mask = batch.action_mask
    assert batch.extra["value"][mask].tolist() == pytest.approx([4.0] * int(mask.sum()))
    # errors of the value, last token first: 1 - 4 at the end, .5 * 4 - 4 before; each trace adds .5 lam of what follows
    expected: dict[float, list[float]] = {}
    for lam in (lam_policy, lam_value):
        trace = [1.0 - 4.0]
        for _ in range(int(mask.sum()) - 1):
            trace.append(-2.0 + 0.5 * lam * trace[-1])
        expected[lam] = trace[::-1]
    assert batch.extra["advantage"][mask].tolist() == pytest.approx(expected[lam_policy], abs=1e-5)
    assert batch.extra["return_"][mask].tolist() == pytest.approx([4.0 + a for a in expected[lam_value]], abs=1e-5)


def test_a_batch_of_failures_moves_nothing() -> None:
    policy = toy_policy()
    made = learner(policy)
    start = weights(policy)
    metrics = made.update([failed(t) for t in play(policy)], 1)
    assert metrics["no_signal"] == 1.0
    assert torch.equal(weights(policy), start)


def test_the_running_moments_follow_the_returns() -> None:
    moments = RunningMoments(0.5)
    moments.observe(torch.tensor([1.0, 3.0]))
    assert (moments.mean, moments.std) == pytest.approx((2.0, 1.0))
    moments.observe(torch.tensor([4.0, 4.0]))
    assert moments.mean == pytest.approx(3.0)
    again = RunningMoments(0.5)
    again.load(moments.state())
    assert (again.mean, again.std) == (moments.mean, moments.std)


def test_a_state_brings_the_learner_back() -> None:
    policy = toy_policy()
    played = play(policy)
    made = learner(policy)
    made.update(played, 1)
    state = copy.deepcopy(made.state())
    twin_policy = policy.frozen_copy()
    twin_policy.model.requires_grad_(True)
    twin = learner(twin_policy)
    twin.load(state)
    second = play(policy)
    assert made.update(second, 2) == twin.update(second, 2)
    assert torch.equal(weights(policy), weights(twin_policy))


def test_ppo_raises_the_score_of_a_cloned_policy(tmp_path: Path) -> None:
    recipe = toy_recipe(
        model={"hidden_size": 48, "vocab_size": 400, "corpus_episodes": 64},
        phases=["sft", "ppo"],
        sft={"episodes": 256, "epochs": 4, "batch_size": 16, "lr": 3e-3, "warmup_updates": 5, "max_updates": 36},
        ppo={"steps": 16, "tasks_per_step": 48, "lr": 1e-3, "warmup_updates": 5, "entropy_coefficient": 0.01},
        evaluation={"n": 150, "baselines": []},
        checkpoint={"every": 100},
    )
    result = train(recipe, store=tmp_path)
    score = {arm: found.summary.score for arm, found in result.arms.items()}
    assert score["trained"].low > score["cloned"].high
    assert score["trained"].mean > 0.75


def test_a_clipped_value_is_compared_in_the_units_of_the_head() -> None:
    policy = toy_policy()
    made = learner(policy, critic={"value_clip": 0.3})
    made.critic.moments.mean, made.critic.moments.square = 2.0, 13.0  # standard deviation 3
    batch = collate(play(policy)[:2])
    shape, mask = batch.ids.shape, batch.action_mask
    said, old, target = torch.full(shape, 0.5), torch.full(shape, -1.0), torch.full(shape, 5.0)
    batch = batch.with_tensors(value=old, return_=target, decision=mask.float())
    loss, _ = made.critic.squared_error(said, batch, batch)
    wanted, before = (5.0 - 2.0) / 3, (-1.0 - 2.0) / 3  # 1 and -1: the head moved by 1.5, and .3 counts
    assert float(loss) == pytest.approx(0.5 * max((0.5 - wanted) ** 2, (before + 0.3 - wanted) ** 2))


def test_the_trace_of_the_policy_may_suit_the_length_and_the_critics_stays() -> None:
    policy = toy_policy()
    made = learner(policy, adaptive_alpha=0.3, lam_value=0.6, whiten_advantages=False)
    played = [with_return(t, r) for t, r in zip(play(policy)[:3], (1.0, 0.0, 0.5), strict=True)]
    batch = made.judged(collate(played))
    for row, reward in enumerate((1.0, 0.0, 0.5)):
        mask = batch.action_mask[row]
        value = batch.extra["value"][row][mask].tolist()
        count = len(value)
        for name, lam in (("advantage", min(max(1 - 1 / (0.3 * count), 0.0), 1.0)), ("return_", 0.6)):
            trace, following, expected = 0.0, 0.0, []
            for index in reversed(range(count)):
                trace = (reward if index == count - 1 else 0.0) + following - value[index] + lam * trace
                following = value[index]
                expected.append(trace + (value[index] if name == "return_" else 0.0))
            assert batch.extra[name][row][mask].tolist() == pytest.approx(expected[::-1], abs=1e-4)


def test_pretraining_holds_a_fifth_out_and_gives_the_weights_of_the_best_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = toy_policy()
    made = learner(policy, critic={"lr": 3e-2, "warmup_updates": 0}, pretrain_episodes=8, pretrain_epochs=9)
    explained = iter([0.1, 0.5, 0.3, 0.4, 0.9])
    monkeypatch.setattr(ppo, "explained_variance", lambda *tensors: next(explained))
    seen: list[tuple[set[int], torch.Tensor]] = []
    fit = made.critic.fit

    def noted(batch: Batch, step: int, **options: Any) -> dict[str, float]:
        found = fit(batch, step, **options)
        seen.append((set(batch.episode_index.tolist()), weights(made.critic.model)))
        return found

    monkeypatch.setattr(made.critic, "fit", noted)
    found = made.pretrain(collate(play(policy, num_tasks=2)))
    assert (found["pretrain_passes"], found["pretrain_kept"], found["pretrain_explained_variance"]) == (4.0, 2.0, 0.5)
    assert all(episodes == {0, 1, 2, 3, 5, 6, 7} for episodes, _ in seen)  # the fifth of them tells when to stop
    assert torch.equal(weights(made.critic.model), seen[1][1])
    assert not torch.equal(seen[1][1], seen[3][1])


def test_a_critic_that_moved_the_shared_backbone_is_told_to_samplers() -> None:
    policy = toy_policy()
    made = learner(policy, critic={"share_backbone": True, "warmup_updates": 0})
    played = play(policy)
    told: list[torch.Tensor] = []
    noted = type("Noted", (), {"update_weights": lambda self, *, version: told.append(weights(policy))})()
    policy.attach(noted)
    made.update(played, 1)
    assert torch.equal(told[-1], weights(policy))  # the last word comes after the last change
