import dataclasses
import json

import pytest
import torch

from experiments.common.base_model import BaseConfig, build_policy, trained_base
from experiments.common.rows import append_row, find_row, folder_of, read_rows
from experiments.feedback_keys.arms import ARMS, collect, run_arm
from experiments.feedback_keys.run import is_current, share_passed, table
from experiments.feedback_keys.world import (
    FEEDBACK_PLACE,
    KEY_PLACE,
    FeedbackKeys,
    FeedbackKeysGame,
    Tasks,
    expert_play,
    play,
    random_play,
    right_by_turn,
)
from palaestra.algorithms.run.registry import algorithm_names, get_algorithm


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_action_is_right_for_as_many_keys_and_seeds_differ():
    maps = [FeedbackKeys(map_seed=seed).right_action for seed in range(8)]
    for right in maps:
        assert torch.bincount(right - FeedbackKeys().action_tokens[0]).tolist() == [2, 2, 2]
    assert len({tuple(right.tolist()) for right in maps}) > 1


def test_the_feedback_is_about_the_action_before():
    world = FeedbackKeys()
    episodes = random_play(world, 64, generator())
    right = right_by_turn(world, episodes)
    feedback = episodes.ids[:, :, FEEDBACK_PLACE]
    assert (feedback[:, 0] == world.token("START")).all()
    assert torch.equal(feedback[:, 1:] == world.token("OK"), right[:, :-1])
    assert torch.equal(feedback[:, 1:] == world.token("BAD"), ~right[:, :-1])
    assert 0.2 < float(right.float().mean()) < 0.45


def test_a_token_that_is_no_action_is_wrong():
    world = FeedbackKeys()
    game = FeedbackKeysGame(world, world.draw(2, generator()))
    game.act(torch.tensor([world.token("ASK"), int(game.right_actions()[1])]))
    assert game.right[:, 0].tolist() == [False, True]


def test_dense_and_final_rewards_add_up_to_the_same_score():
    sparse, dense = (random_play(FeedbackKeys(dense=dense), 32, generator()) for dense in (False, True))
    assert torch.equal(sparse.ids, dense.ids)
    torch.testing.assert_close(sparse.return_, dense.return_)
    assert (sparse.reward[:, :-1] == 0).all()
    assert torch.equal(dense.reward > 0, right_by_turn(FeedbackKeys(), dense))


def test_the_expert_scores_one():
    episodes = expert_play(FeedbackKeys(), 16, generator())
    assert (episodes.return_ == 1).all()
    assert episodes.ended.all()


def test_the_exact_value_is_the_mean_score_of_random_play_from_every_state():
    world = FeedbackKeys()
    episodes = random_play(world, 20_000, generator())
    right = right_by_turn(world, episodes).long()
    so_far = torch.cat([torch.zeros(len(right), 1, dtype=torch.long), right.cumsum(1)[:, :-1]], dim=1)
    turn = torch.arange(4).expand_as(right)
    value = world.value(so_far, turn, torch.full((4,), 1 / 3))
    for now in range(4):
        for count in range(now + 1):
            chosen = episodes.return_[so_far[:, now] == count]
            error = float(chosen.std()) / len(chosen) ** 0.5
            exact = float(value[:, now][so_far[:, now] == count][0])
            assert abs(float(chosen.mean()) - exact) < 4 * error


def test_the_batch_is_what_the_policy_saw_and_sampled():
    world = FeedbackKeys(dense=True)
    policy = build_policy(world.vocabulary, world.num_tokens, BaseConfig(width=16, layers=1))
    tasks = world.draw(3, generator()).repeated(2)
    episodes = play(world, policy, tasks, generator(1), with_digests=True)
    batch = episodes.batch(torch.arange(3).repeat_interleave(2), version=7)
    assert batch.ids.shape == (6, 24)
    assert torch.equal(batch.ids[:, KEY_PLACE::6] - world.token("key0"), tasks.keys)
    assert batch.action_mask.nonzero()[:, 1].tolist() == [5, 11, 17, 23] * 6
    assert batch.turn_index[batch.action_mask].tolist() == [0, 1, 2, 3] * 6
    assert (batch.version[batch.action_mask] == 7).all()
    assert (batch.version[~batch.action_mask] == -1).all()
    torch.testing.assert_close(batch.token_reward.sum(dim=1), batch.return_)
    scored = policy.token_log_probs(batch.ids, batch.attention_mask, batch.action_mask).log_prob
    torch.testing.assert_close(scored.detach(), batch.rollout_log_prob, atol=1e-5, rtol=0)
    states = [digests[0] for digests in batch.states]
    assert states[0::2] == states[1::2]  # members of a group begin alike


def test_members_of_a_group_are_shown_the_same():
    tasks = Tasks(torch.tensor([[1, 2], [3, 4]]), torch.tensor([[5, 6], [7, 8]])).repeated(2)
    assert tasks.keys.tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]


# enough to know that an action comes after ASK; what the feedback says takes ten times as long and is not needed here
QUICK = BaseConfig(updates=120)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("bases")


@pytest.mark.parametrize(
    ("name", "bars"),
    [("sft", {5: 0.7, 10: 0.95}), ("grpo", {50: 0.5}), ("ppo", {30: 0.6})],
)
def test_short_runs_climb_from_chance(name, bars, cache):
    arm = dataclasses.replace(ARMS[name], bars=bars)
    found = run_arm(arm, 0, base=QUICK, cache=cache)
    assert 0.2 < found.curve[0] < 0.4
    assert found.passed(bars), found.curve


def test_a_trained_base_model_is_kept_and_found_again(tmp_path):
    world = FeedbackKeys()
    config = BaseConfig(width=16, layers=1, updates=5, batch_size=4)
    calls = []

    def play_at_random(num_episodes, generator):
        calls.append(num_episodes)
        return random_play(world, num_episodes, generator)

    def base(config):
        return trained_base("keys", world.vocabulary, world.num_tokens, play_at_random, config, world=world, cache=tmp_path)

    first, again = base(config), base(config)
    assert calls == [4] * 5
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    base(dataclasses.replace(config, seed=1))
    assert len(calls) == 10


def test_every_arm_is_an_algorithm_with_settings_that_its_table_knows():
    assert set(ARMS) <= set(algorithm_names())
    for name, arm in ARMS.items():
        if name not in ("sft", "rft"):
            config = get_algorithm(name).config(**arm.settings)
            assert config.tasks_per_step * config.group_size == 48
            assert config.entropy_coefficient == 0.02


def test_dynamic_sampling_plays_other_groups_in_place_of_equal_ones():
    world = FeedbackKeys()
    policy = build_policy(world.vocabulary, world.num_tokens, BaseConfig(width=16, layers=1))
    config = get_algorithm("dapo").config(tasks_per_step=6, group_size=2, max_refills=3)
    played = []
    batch = collect(world, policy, config, generator(0))
    assert batch.num_episodes == 12
    assert batch.group_index.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    for keys in batch.ids[:, KEY_PLACE::6].view(6, 2, 4):
        played.append(tuple(keys[0].tolist()))
        assert torch.equal(keys[0], keys[1])  # groups stay together
    plain = collect(
        world,
        policy,
        config.model_copy(update={"sampling": config.sampling.model_copy(update={"drop_equal_groups": False})}),
        generator(0),
    )
    assert not torch.equal(batch.ids, plain.ids)
    kept = [number for number in range(6) if plain.return_[2 * number] != plain.return_[2 * number + 1]]
    first = [tuple(plain.ids[2 * number, KEY_PLACE::6].tolist()) for number in kept]
    assert played[: len(first)] == first


def test_rows_are_kept_and_judged_over_all_seeds(tmp_path):
    path = tmp_path / "raw" / "rows.jsonl"
    assert read_rows(path) == []
    for seed, score in enumerate((0.9, 1.0, 0.8, 0.9)):
        row = {"arm": "grpo", "seed": seed, "passed": score >= 0.9, "curve": {"0": 0.3, "60": score}, "cpu_s": 2.0}
        append_row(path, row)
    rows = read_rows(path)
    assert [json.loads(line) for line in path.read_text().splitlines()] == rows
    assert share_passed(rows, "grpo") == 0.75
    assert share_passed(rows, "ppo") == 0
    assert "| grpo | >= 0.9 at 60 | 0.900 [0.770, 1.000] | 0.800 | 3/4 | 3/4 | 2.0 |" in table(rows, {"grpo": {60: 0.9}})


def test_a_line_that_was_cut_off_swallows_no_other(tmp_path):
    path = tmp_path / "raw" / "rows.jsonl"
    append_row(path, {"seed": 0, "score": 0.5})
    path.write_bytes(path.read_bytes() + b'{"seed": 1, "sc')
    append_row(path, {"seed": 2, "score": 0.7})
    rows = read_rows(path)
    assert [row["seed"] for row in rows] == [0, 2]
    assert find_row(rows, seed=2, score=0.7) == rows[1]
    assert find_row(rows, seed=1) is None


@pytest.mark.parametrize("seeds", [range(5, 10), range(5)], ids=str)
def test_the_page_shows_what_was_recorded(seeds):
    folder = folder_of("feedback_keys")
    rows = [row for row in read_rows(folder / "rows.jsonl") if is_current(row, ARMS) and row["seed"] in seeds]
    assert {(row["arm"], row["seed"]) for row in rows} == {(arm, seed) for arm in ARMS for seed in seeds}
    assert table(rows, {name: arm.bars for name, arm in ARMS.items()}) in (folder / "README.md").read_text(encoding="utf-8")
