from __future__ import annotations

import copy
import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerCallback
from trl import SFTConfig as TRLConfig
from trl import SFTTrainer
from trl.chat_template_utils import parse_response

from palaestra.algorithms.data.demonstrations import expert_episodes, tokenize
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.batch import collate
from palaestra.algorithms.math.losses import token_weights
from palaestra.algorithms.run.feed import TaskFeed
from palaestra.algorithms.run.player import policy_agent
from palaestra.algorithms.sft import clone_loss
from palaestra.algorithms.trl.datasets import token_dataset
from palaestra.algorithms.trl.preferences import PreferencePair, TokenPairCollator, preference_dataset
from palaestra.algorithms.trl.trainers import DPOSettings, isolated_random_state, response_template, train_dpo
from palaestra.errors import ConfigError, TrainingStopped
from tests.algorithms import toy_env
from tests.algorithms.toy_recipe import toy_policy, toy_recipe

PAIRS = [
    PreferencePair((70, 71, 72), (80, 90, 81), (1, 0, 1), (83, 91, 92, 84), (1, 0, 0, 1), 1.0, 0, "a", "b"),
    PreferencePair((70, 73), (82,), (1,), (85, 86), (1, 1), 0.5, 1, "c", "d"),
]


def weights(policy: Policy) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in policy.parameters()])


def log_prob(policy: Policy, pair: PreferencePair, side: str) -> torch.Tensor:
    """Log-probability of the sampled tokens of one side."""
    rest, mask = getattr(pair, f"{side}_ids"), getattr(pair, f"{side}_mask")
    ids = torch.tensor([[*pair.prompt_ids, *rest]])
    action = torch.tensor([[0] * len(pair.prompt_ids) + list(mask)]).bool()
    return policy.token_log_probs(ids, torch.ones_like(ids), action).log_prob.sum()


@pytest.mark.filterwarnings("ignore:.*deprecated and will be removed in v6:FutureWarning")
def test_sft_of_trl_on_token_rows_has_the_gradient_of_ours(quiet: dict[str, Any]) -> None:
    policy = toy_policy()
    feed = TaskFeed(toy_env.ENV_ID, {}, split="train", seed=0)
    played = expert_episodes(feed.plans("rows", 1, num_tasks=4))
    found, _ = tokenize(played, policy_agent(policy, toy_recipe()), policy.template, max_context=128)
    batch = collate(found)
    scored = policy.token_log_probs(batch.ids, batch.attention_mask, batch.action_mask).log_prob
    clone_loss(scored, token_weights(batch.action_mask, batch.episode_index, "token_mean")).backward()
    ours = torch.cat([p.grad.flatten() for p in policy.parameters()])

    caught: list[torch.Tensor] = []

    class Catch(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            caught.append(torch.cat([p.grad.flatten().clone() for p in model.parameters()]))

    args = TRLConfig(**quiet, max_steps=1, per_device_train_batch_size=4, max_grad_norm=0.0)
    twin = toy_policy()
    SFTTrainer(
        twin.model, args=args, train_dataset=token_dataset(found), processing_class=twin.tokenizer, callbacks=[Catch()]
    ).train()
    torch.testing.assert_close(caught[0], ours, atol=1e-5, rtol=0)


def test_dpo_raises_chosen_against_rejected_and_reports_it() -> None:
    policy = toy_policy()

    def gap() -> list[float]:
        return [(log_prob(policy, pair, "chosen") - log_prob(policy, pair, "rejected")).item() for pair in PAIRS]

    before, version = gap(), policy.version
    told = train_dpo(policy, PAIRS, DPOSettings(epochs=4, batch_size=2, lr=3e-3))
    assert all(late > early + 0.5 for late, early in zip(gap(), before, strict=True))
    assert policy.version == version + 1
    assert (told["updates"], told["pairs"]) == (4.0, 2.0)
    assert told["reward_margin"] > 0
    assert told["loss"] < math.log(2)


def test_the_step_is_down_the_gradient_of_the_loss_written_out() -> None:
    policy, reference = toy_policy(), toy_policy()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.mul_(0.9)
    loss = torch.zeros(())
    for pair in PAIRS:
        chosen = log_prob(policy, pair, "chosen") - log_prob(reference, pair, "chosen").detach()
        rejected = log_prob(policy, pair, "rejected") - log_prob(reference, pair, "rejected").detach()
        loss = loss - torch.nn.functional.logsigmoid(0.3 * (chosen - rejected)) / len(PAIRS)
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in policy.parameters()])
    policy.model.zero_grad()
    before = weights(policy)
    told = train_dpo(policy, PAIRS, DPOSettings(beta=0.3, batch_size=2, lr=1e-4, grad_clip=1e9), reference=reference)
    assert told["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
    assert told["grad_norm"] == pytest.approx(float(gradient.norm()), rel=1e-3)
    moved = weights(policy) - before
    clear = gradient.abs() > 1e-4  # Adam's first step is the sign of the gradient
    assert torch.equal(moved[clear].sign(), -gradient[clear].sign())


def test_cutting_into_microbatches_changes_nothing_that_matters() -> None:
    results = []
    for micro in (1, 2):
        policy = toy_policy()
        train_dpo(policy, PAIRS, DPOSettings(batch_size=2, microbatch_pairs=micro, lr=1e-4))
        results.append(weights(policy))
    torch.testing.assert_close(results[0], results[1], atol=2e-5, rtol=0)
    with pytest.raises(ConfigError, match="batch_size is 3 and microbatch_pairs 2"):
        train_dpo(toy_policy(), PAIRS, DPOSettings(batch_size=3, microbatch_pairs=2))


def test_the_policy_stays_a_plain_model_and_the_random_state_is_left_alone() -> None:
    policy = toy_policy()
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    train_dpo(policy, PAIRS)
    found = (torch.rand(1).item(), random.random(), np.random.rand())
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    assert found == (torch.rand(1).item(), random.random(), np.random.rand())
    assert "forward" not in vars(policy.model)
    twin = policy.frozen_copy()
    with torch.no_grad():
        next(twin.model.parameters()).zero_()
    assert not torch.equal(weights(policy), torch.cat([p.flatten() for p in twin.model.parameters()]))


def test_the_same_seed_gives_the_same_weights_bit_for_bit() -> None:
    found = []
    for _ in range(2):
        policy = toy_policy()
        train_dpo(policy, PAIRS * 3, DPOSettings(batch_size=2, seed=5))
        found.append(weights(policy))
    assert torch.equal(found[0], found[1])


@pytest.mark.parametrize("tied", [True, False])
def test_padding_of_the_embedding_has_no_part_in_preferences(tied: bool) -> None:
    """With rows that would be the likeliest of all, the steps are those of the model without them."""
    plain, policy = toy_policy(), toy_policy()
    size, rows = plain.vocabulary, 40
    for one in (plain, policy):
        one.model.config.tie_word_embeddings = tied
        if not tied:
            head = one.model.get_output_embeddings()
            head.weight = torch.nn.Parameter(head.weight.detach().clone())
    policy.model.resize_token_embeddings(size + rows, mean_resizing=False)
    with torch.no_grad():
        table = policy.model.get_output_embeddings().weight
        table[size:] = 4.0 * table[torch.arange(rows) % size]
    padding = policy.model.get_output_embeddings().weight[size:].detach().clone()
    settings = DPOSettings(epochs=2, batch_size=2, lr=3e-3, sft_weight=0.2)
    expected, found = train_dpo(plain, PAIRS, settings), train_dpo(policy, PAIRS, settings)
    assert found == pytest.approx(expected, rel=1e-4)
    state = policy.model.state_dict()
    for name, tensor in plain.model.state_dict().items():
        torch.testing.assert_close(state[name][: len(tensor)], tensor, atol=1e-5, rtol=1e-4)
    assert torch.equal(policy.model.get_output_embeddings().weight[size:], padding)


@pytest.mark.filterwarnings("ignore:.*deprecated and will be removed in v6:FutureWarning")
def test_preference_rows_train_a_model_in_trls_own_trainer(quiet: dict[str, Any]) -> None:
    """By tokens with our collator, and as texts, which TRL encodes itself."""
    from trl import DPOConfig, DPOTrainer

    policy = toy_policy()
    rows = preference_dataset(PAIRS, policy.tokenizer)
    for options in (
        {"data_collator": TokenPairCollator(policy.tokenizer.pad_token_id), "train_dataset": rows},
        {"train_dataset": rows.select_columns(["prompt", "chosen", "rejected"])},
    ):
        twin = toy_policy()
        before = weights(twin)
        args = DPOConfig(**quiet, max_steps=2, per_device_train_batch_size=2, remove_unused_columns=False, max_length=None)
        anchor = toy_policy().frozen_copy().model
        trainer = DPOTrainer(model=twin.model, ref_model=anchor, args=args, processing_class=twin.tokenizer, **options)
        trainer.train()
        assert trainer.state.log_history[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
        assert not torch.equal(weights(twin), before)


def test_weights_that_are_not_finite_are_not_taken_over() -> None:
    policy = toy_policy()
    before = weights(policy)
    with pytest.raises(TrainingStopped, match="not finite after"):
        train_dpo(policy, PAIRS, DPOSettings(lr=math.inf, epochs=2, batch_size=2))
    assert torch.equal(weights(policy), before)


def test_tool_calls_are_read_with_the_template_made_for_a_tokenizer() -> None:
    tokenizer = copy.deepcopy(toy_policy().tokenizer)  # all toys share theirs
    tokenizer.response_template = response_template(tokenizer)
    prefix = tokenizer.encode("<|user|>hi<|end|><|assistant|>")

    def read(text: str) -> dict[str, Any]:
        found: dict[str, Any] = parse_response(tokenizer, tokenizer.encode(text), prefix=prefix)
        return found

    call = '<tool_call>\n{"name": "get", "arguments": {"item": "a", "count": 1}}\n</tool_call>'
    message = read(f"let me see\n{call}{call}<|end|>")
    assert message["content"] == "let me see"
    assert [c["function"] for c in message["tool_calls"]] == [{"name": "get", "arguments": {"item": "a", "count": 1}}] * 2
    assert read("plain<|end|>") == {"role": "assistant", "content": "plain"}
    assert "tool_calls" not in read("<tool_call>\n{broken</tool_call><|end|>")
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(ConfigError, match="does not mark the assistant's turn"):
        response_template(tokenizer)


def test_an_isolated_block_draws_what_it_likes() -> None:
    state = torch.get_rng_state()
    with isolated_random_state():
        torch.rand(3)
        random.random()
    assert torch.equal(torch.get_rng_state(), state)
