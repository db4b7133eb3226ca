import dataclasses

import pytest
import torch

from experiments.common.base_model import BaseConfig, build_policy
from experiments.common.token_world import PAD, expert_actor, roll_out
from experiments.key_doors.arms import ARMS, area_under, train_step
from experiments.key_doors.run import compare, final_success
from experiments.key_doors.world import FEEDBACK_PLACE, KEY_PLACE, Corridors, KeyDoors, KeyDoorsGame, random_walk, walk
from palaestra.algorithms.grpo import GRPOConfig, GRPOLearner


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def corridors(world: KeyDoors, *rooms: int) -> Corridors:
    return world.with_rooms(torch.tensor(rooms), generator())


def test_a_wrong_action_costs_a_turn_and_leaves_the_door_shut():
    world = KeyDoors()
    game = KeyDoorsGame(world, corridors(world, 2, 2))
    first = game.observation()
    assert (first[:, FEEDBACK_PLACE] == world.token("START")).all()
    right = game.right_actions()
    wrong = torch.tensor([a for a in world.action_tokens if a != int(right[0])][:1])
    reward, ended = game.act(torch.cat([wrong, right[1:]]))
    second = game.observation()
    assert second[:, FEEDBACK_PLACE].tolist() == [world.token("BAD"), world.token("OK")]
    assert second[0, KEY_PLACE] == first[0, KEY_PLACE]
    assert game.opened.tolist() == [0, 1]
    assert reward.tolist() == [0, 0]
    assert not ended.any()


@pytest.mark.parametrize("cap", [4, 5, 6, 24])
def test_the_expert_is_paid_once_if_the_cap_lets_it_reach_the_exit(cap):
    world = KeyDoors()
    game = KeyDoorsGame(world, corridors(world, 2, 5, 12))
    episodes = roll_out(game, expert_actor(game), max_turns=cap)
    reached = torch.tensor([2, 5, 12]) <= cap
    assert torch.equal(episodes.return_, reached.float())
    assert torch.equal(episodes.ended, reached)
    assert torch.equal(episodes.played.sum(dim=1), torch.tensor([2, 5, 12]).clamp(max=cap))
    assert torch.equal((episodes.reward > 0).any(dim=1), reached)


def test_no_walk_is_longer_than_its_cap_and_those_cut_off_are_marked():
    world = KeyDoors()
    policy = build_policy(world.vocabulary, 24 * 3, BaseConfig(width=16, layers=1))
    batch = walk(world, policy, world.draw(20, generator()), generator(1), cap=6).batch()
    assert int(batch.num_turns.max()) <= 6
    assert torch.equal(batch.truncated, batch.return_ == 0)


def test_finished_rows_show_padding_that_no_learner_sees():
    world = KeyDoors()
    batch = random_walk(world, 64, generator(), cap=24).batch()
    assert not batch.action_mask[~batch.attention_mask].any()
    assert (batch.ids[~batch.attention_mask] == PAD).all()
    assert (batch.ids[batch.attention_mask] != PAD).all()
    assert torch.equal(batch.action_mask.sum(dim=1), batch.num_turns)
    assert (batch.token_reward.sum(dim=1) == batch.return_).all()


def test_zones_have_keys_of_their_own():
    keys = KeyDoors(num_zones=3).draw(200, generator()).keys
    assert [keys[:, place].unique().tolist() for place in (0, 3, 4, 11)] == [
        [0, 1, 2, 3],
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]
    assert KeyDoors(num_zones=1).draw(200, generator()).keys[:, 0].unique().tolist() == list(range(12))
    with pytest.raises(ValueError, match="num_zones is 5"):
        KeyDoors(num_zones=5)


@pytest.mark.parametrize("name", list(ARMS))
def test_training_steps_keep_to_the_cap_of_their_stage(name):
    arm = dataclasses.replace(ARMS[name], interval=2, tasks_per_step=2, group_size=2)
    world = KeyDoors()
    policy = build_policy(world.vocabulary, 24 * 3, BaseConfig(width=16, layers=1))
    learner = GRPOLearner(policy, GRPOConfig(group_size=2))
    seen = []
    learner.learn = lambda batch, step: seen.append(int(batch.num_turns.max())) or {}
    for step in range(1, 8):
        train_step(arm, world, policy, learner, step, seed=0)
    # an untrained policy never gets out of a corridor by itself, so the longest walk shows the cap
    assert seen == {"fixed_6": [6] * 7, "fixed_24": [24] * 7, "growing": [6, 6, 12, 12, 24, 24, 24]}[name]


def test_the_arms_differ_in_nothing_but_the_horizon():
    alike = {dataclasses.replace(arm, name="", rounds=(1,)) for arm in ARMS.values()}
    assert len(alike) == 1


def test_the_area_is_the_mean_of_a_line():
    assert area_under(((0, 0.0), (10, 1.0))) == 0.5
    assert area_under(((0, 0.0), (10, 1.0), (40, 1.0))) == pytest.approx((5 + 30) / 40)


def test_seeds_are_compared_in_pairs():
    rows = [
        {"arm": arm, "seed": seed, "area": seed + gain + 0.01 * (seed % 2) * gain, "final": {"2": 0.0, "5": gain, "12": 1.0}}
        for arm, gain in (("growing", 0.1), ("fixed_24", 0.0))
        for seed in range(6)
    ]
    found = compare(rows, "growing", "fixed_24", lambda row: row["area"])
    assert found.mean == pytest.approx(0.1, abs=0.01)  # the seeds themselves differ by far more
    assert found.p_t < 0.001
    assert found.p_wilcoxon < 0.05
    assert compare(rows, "fixed_24", "growing", lambda row: row["area"]).p_t > 0.99
    assert final_success(rows[0], 5, 12) == pytest.approx(0.55)
    with pytest.raises(ValueError, match="share 0 seeds"):
        compare(rows, "growing", "fixed_6", lambda row: row["area"])
