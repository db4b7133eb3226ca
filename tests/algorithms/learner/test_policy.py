import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2Config, GraniteConfig

from palaestra.agents.core import Generation, Request, Sampling
from palaestra.algorithms.learner.policy import Policy
from palaestra.errors import ConfigError, UsageError
from palaestra.models.tiny_lm import build_tiny_lm
from palaestra.types import Message

CORPUS = ["Goal: craft dark oak planks.", "get 12 oak log", "craft 4 oak planks using 1 oak log"] * 4
REAL = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]]).bool()
IDS = torch.tensor([[5, 9, 200, 31, 7, 7], [80, 2, 41, 0, 0, 0], [6, 0, 0, 0, 0, 0]])
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def policy(seed: int = 0, **options: Any) -> Policy:
    return Policy(*build_tiny_lm(CORPUS, hidden_size=32, num_layers=2, num_heads=2, seed=seed), **options)


def one_by_one(model: Any, temperature: float, size: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Score every row alone, token by token."""
    log_prob, entropy = torch.zeros(IDS.shape), torch.zeros(IDS.shape)
    for row, length in enumerate(REAL.sum(1).tolist()):
        for place in range(1, length):
            logits = model(IDS[row : row + 1, :place], use_cache=False).logits[0, -1, :size].float() / temperature
            scores = torch.log_softmax(logits, dim=-1)
            log_prob[row, place] = scores[IDS[row, place]]
            entropy[row, place] = -(scores.exp() * scores).sum()
    return log_prob, entropy


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("max_logits", [2**24, 1])
def test_scores_stand_at_the_scored_token_whatever_the_padding_and_the_parts(temperature: float, max_logits: int) -> None:
    scorer = policy(max_logits=max_logits)
    with torch.no_grad():
        log_prob, entropy = one_by_one(scorer.model, temperature)
        right = scorer.token_log_probs(IDS, REAL, temperature=temperature, entropy=True)
        torch.testing.assert_close(right.log_prob, log_prob, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(right.entropy, entropy, atol=1e-5, rtol=1e-5)
        shifts = (IDS.shape[1] - REAL.sum(1)).tolist()
        left = scorer.token_log_probs(
            torch.stack([row.roll(shift) for row, shift in zip(IDS, shifts, strict=True)]),
            torch.stack([row.roll(shift) for row, shift in zip(REAL, shifts, strict=True)]),
            temperature=temperature,
        )
        expected = torch.stack([row.roll(shift) for row, shift in zip(log_prob, shifts, strict=True)])
        torch.testing.assert_close(left.log_prob, expected, atol=1e-5, rtol=1e-5)
    assert left.entropy is None


@pytest.mark.parametrize(
    "config", [GraniteConfig(vocab_size=300, **SIZES, logits_scaling=8.0), Gemma2Config(vocab_size=300, **SIZES, head_dim=8)]
)
def test_models_that_scale_or_cap_their_logits_are_scored_as_they_sample(config: Any) -> None:
    _, tokenizer = build_tiny_lm(CORPUS, hidden_size=32, num_layers=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        scorer = Policy(AutoModelForCausalLM.from_config(config), tokenizer)
    with torch.no_grad():
        log_prob, _ = one_by_one(scorer.model, 1.0, len(tokenizer))  # the rest of the 300 is padding
        torch.testing.assert_close(scorer.token_log_probs(IDS, REAL).log_prob, log_prob, atol=1e-5, rtol=1e-5)


def test_only_actions_are_scored_and_never_a_first_token_or_padding() -> None:
    scorer = policy()
    actions = torch.zeros(IDS.shape).bool()
    actions[0, 3] = actions[0, 0] = actions[1, 4] = True
    scored = scorer.token_log_probs(IDS, REAL, actions, entropy=True)
    assert torch.nonzero(scored.log_prob).tolist() == [[0, 3]]
    assert scored.entropy is not None
    assert torch.nonzero(scored.entropy).tolist() == [[0, 3]]


def test_gradient_in_parts_equals_gradient_in_one() -> None:
    whole, parts = policy(), policy(max_logits=1)
    for scorer in (whole, parts):
        scored = scorer.token_log_probs(IDS, REAL, entropy=True, temperature=0.9)
        assert scored.entropy is not None
        (scored.log_prob.sum() + scored.entropy.square().sum()).backward()
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-4)


def test_gradient_equals_that_of_the_plain_formula() -> None:
    scorer, plain = policy(), policy()
    scorer.token_log_probs(IDS, REAL).log_prob.sum().backward()
    one_by_one(plain.model, 1.0)[0].sum().backward()
    for a, b in zip(scorer.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-4, rtol=1e-3)


def test_nothing_to_score_gives_zeros() -> None:
    scored = policy().token_log_probs(IDS, REAL, torch.zeros(IDS.shape).bool(), entropy=True)
    assert torch.equal(scored.log_prob, torch.zeros(IDS.shape))
    assert scored.entropy is not None
    assert torch.equal(scored.entropy, torch.zeros(IDS.shape))


def sample(backend: Any, temperature: float) -> list[Generation]:
    async def everybody() -> list[Generation]:
        requests = [
            Request(
                (Message("user", "craft " + "oak " * i),),
                session=str(i),
                sampling=Sampling(temperature=temperature, max_tokens=4 + 3 * i),
            )
            for i in range(5)
        ]
        return list(await asyncio.gather(*map(backend.generate, requests)))

    return asyncio.run(everybody())


@pytest.mark.parametrize("temperature", [1.0, 1.4])
def test_sampler_and_learner_agree_on_every_log_prob_before_and_after_an_update(temperature: float) -> None:
    trained = policy()
    backend = trained.sampler(max_batch=3)
    optimiser = torch.optim.SGD(trained.parameters(), lr=0.05)
    for version in range(2):
        assert backend.model is trained.model
        turns = [generation.tokens for generation in sample(backend, temperature)]
        assert {turn.version for turn in turns if turn} == {version}
        rows = [(turn.prompt_ids + turn.completion_ids, turn) for turn in turns if turn]
        length = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([ids + (0,) * (length - len(ids)) for ids, _ in rows])
        real = torch.tensor([[True] * len(ids) + [False] * (length - len(ids)) for ids, _ in rows])
        scored = trained.token_log_probs(ids, real, temperature=temperature).log_prob
        for row, (tokens, turn) in enumerate(rows):
            start = len(turn.prompt_ids)
            assert scored[row, start : len(tokens)].tolist() == pytest.approx(turn.log_probs, abs=1e-4)
        scored.sum().neg().backward()
        optimiser.step()
        optimiser.zero_grad()
        trained.version += 1


def test_sampler_begins_with_the_present_version() -> None:
    trained = policy(version=7)
    assert trained.sampler().version == 7
    trained.version = 9
    assert trained.sampler(seed=3).version == 9


def test_frozen_copy_stays_when_the_policy_learns() -> None:
    trained = policy()
    reference = trained.frozen_copy()
    with torch.no_grad():
        before = reference.token_log_probs(IDS, REAL).log_prob
        for parameter in trained.parameters():
            parameter.add_(0.01)
        assert torch.equal(reference.token_log_probs(IDS, REAL).log_prob, before)
        assert not torch.equal(trained.token_log_probs(IDS, REAL).log_prob, before)
    assert list(reference.parameters()) == []
    assert len(list(trained.parameters())) > 0


def test_saved_policy_comes_back_bit_by_bit(tmp_path: Path) -> None:
    trained, other = policy(), policy(seed=4)
    path = trained.save(tmp_path / "policy")
    loaded = Policy.from_path(path, dtype="float32", version=3)
    other.load_weights(path)
    frozen = policy(seed=5).frozen_copy(path)
    with torch.no_grad():
        expected = trained.token_log_probs(IDS, REAL).log_prob
        for twin in (loaded, other, frozen):
            assert torch.equal(twin.token_log_probs(IDS, REAL).log_prob, expected)
    assert loaded.version == 3
    assert loaded.max_context == trained.max_context
    assert AutoTokenizer.from_pretrained(path).chat_template == trained.tokenizer.chat_template
    assert sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(path).parameters()) == trained.num_parameters


def test_loading_weights_voids_what_samplers_have_cached(tmp_path: Path) -> None:
    trained = policy()
    path = policy(seed=4).save(tmp_path / "other")
    backend = trained.sampler()
    fresh = policy(seed=4).sampler()
    sample(backend, 1.0)
    trained.load_weights(path)
    again, expected = sample(backend, 0.0), sample(fresh, 0.0)
    assert [g.message for g in again] == [g.message for g in expected]


def test_what_cannot_work_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="temperature is 0; expected above 0"):
        policy().token_log_probs(IDS, REAL, temperature=0)
    path = Policy(*build_tiny_lm(CORPUS, hidden_size=16, num_layers=1, num_heads=2)).save(tmp_path / "small")
    with pytest.raises(ConfigError, match="do not fit this policy"):
        policy().load_weights(path)
    with pytest.raises(UsageError, match="No model could be loaded"):
        Policy.from_path(tmp_path / "nowhere")
