from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import multiprocessing

from palaestra.algorithms.batch import collate
from palaestra.algorithms.critic import Critic, make_value_model
from palaestra.algorithms.distributed import ProcessRanks, join_ranks
from palaestra.algorithms.policy import Policy
from palaestra.algorithms.ppo import Learner, PPOConfig
from palaestra.algorithms.sft import Cloner, SFTConfig
from palaestra.algorithms.training import train
from palaestra.types import Trajectory
from tests.algorithms.test_grpo import play
from tests.algorithms.toy_recipe import toy_policy, toy_recipe

pytest.importorskip("accelerate")

TRAINING: dict[str, Any] = {
    "phases": ["sft", "ppo"],
    "sft": {"episodes": 8, "epochs": 1, "batch_size": 5},
    "ppo": {"steps": 2, "tasks_per_step": 5, "epochs": 1, "warmup_updates": 2, "critic": {"epochs": 1}},
    "evaluation": {"n": 2, "baselines": []},
}


def updated(folder: Path, played: list[Trajectory]) -> dict[str, Any]:
    """Two updates of PPO and one of cloning from the same start; what they give, whole."""
    policy = Policy.from_path(folder)
    limits = {"warmup_updates": 0, "max_tokens_per_microbatch": 128}
    shape = {"epochs": 2, "minibatches": 2, "kl_coefficient": 0.1, "entropy_coefficient": 0.01, "correction": "token"}
    config = PPOConfig.model_validate({**shape, **limits, "critic": {"epochs": 2, **limits}})
    critic = Critic(make_value_model(policy, config.critic, seed=0), config.critic)
    learner = Learner(policy, config, critic, reference=policy.frozen_copy())
    batch = collate(played)
    metrics = learner.learn(batch, 1)
    metrics |= {f"second_{name}": value for name, value in learner.learn(batch, 2).items()}
    state = learner.state()
    learner.load(state)  # and what was put together can be taken apart again
    Cloner(policy, SFTConfig(warmup_updates=0, max_tokens_per_microbatch=128), total=1).update(batch)
    return {
        "policy": dict(policy.model.state_dict()),
        "critic": state["critic"]["weights"],
        "adam": learner.state()["optimiser"]["adam"]["state"],
        "metrics": metrics,
    }


def work(rank: int, size: int, port: int, sharing: str, folder: Path) -> None:
    """What each process of a test does."""
    torch.set_num_threads(1)
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE=str(size), RANK=str(rank), LOCAL_RANK=str(rank),
        LOCAL_WORLD_SIZE=str(size), ACCELERATE_USE_CPU="true", ACCELERATE_USE_FSDP=str(sharing == "sharded").lower(),
    )  # fmt: skip
    played = torch.load(folder / "played.pt", weights_only=False)
    with join_ranks() as team:
        assert (team.size, team.sharing) == (size, sharing)
        found = updated(folder / "policy", played)
        if sharing == "sharded":  # the harder case: what is saved and sampled from has to be put together
            result = train(toy_recipe(**TRAINING), store=folder / sharing, run_id="toy")
            found["trained"] = dict(Policy.from_path(result.policy_path).model.state_dict())
        if team.is_main:
            torch.save(found, folder / f"{sharing}.pt")
    torch.distributed.destroy_process_group()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    policy = toy_policy()
    policy.save(folder / "policy")
    played = play(policy, num_tasks=2, group_size=4)[:7]  # an odd number: no even deal
    torch.save(played, folder / "played.pt")
    found = updated(folder / "policy", played)
    result = train(toy_recipe(**TRAINING), store=folder / "alone", run_id="toy")
    found["trained"] = dict(Policy.from_path(result.policy_path).model.state_dict())
    return folder, found


@pytest.mark.parametrize("sharing", ["replicated", "sharded"])
def test_two_processes_make_the_update_of_one(alone: tuple[Path, dict[str, Any]], sharing: str) -> None:
    folder, expected = alone
    multiprocessing.spawn(work, (2, free_port(), sharing, folder), 2)
    found = torch.load(folder / f"{sharing}.pt", weights_only=False)
    for part in ("policy", "critic", *(["trained"] if sharing == "sharded" else [])):
        for name, tensor in expected[part].items():
            torch.testing.assert_close(found[part][name], tensor, atol=1e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}")
    for place, moments in expected["adam"].items():
        torch.testing.assert_close(found["adam"][place]["exp_avg"], moments["exp_avg"], atol=1e-6, rtol=1e-3)
    assert found["metrics"] == pytest.approx(expected["metrics"], abs=1e-4, rel=1e-4)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=20), st.integers(1, 5), st.integers(1, 200))
def test_the_deal_gives_every_row_to_one_rank_and_keeps_all_in_step(lengths: list[int], size: int, budget: int) -> None:
    plans = []
    for rank in range(size):
        member = ProcessRanks.__new__(ProcessRanks)  # a place at the table without a group of processes
        member.rank, member.size = rank, size
        plans.append(member.plan(range(len(lengths)), lengths, budget))
    assert len({len(plan) for plan in plans}) == 1
    counted = [row for plan in plans for part in plan if part.weight for row in part]
    assert sorted(counted) == list(range(len(lengths)))
    shares = [sum(lengths[row] for part in plan if part.weight for row in part) for plan in plans]
    assert max(shares) - min(shares) <= max(lengths)
