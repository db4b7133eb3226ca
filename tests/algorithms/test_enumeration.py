"""What claims to be unbiased has the exact policy gradient on average: every outcome of a group, by its probability.

The process is a chain of at most three turns. In each the policy goes on, for a reward of .5, or stops and the episode ends.
So the policy chooses how long an episode is, and whatever is divided by lengths shows. An episode has four outcomes, a group
of three has 64: the mean of an estimate is a sum over them, without any sampling. Gradients are those of the learner's own
optimiser step.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from palaestra.algorithms import get_algorithm
from palaestra.algorithms.grpo import GRPOConfig, GRPOLearner
from palaestra.algorithms.learner.policy import TokenScores
from palaestra.algorithms.math.batch import collate
from palaestra.algorithms.math.estimators import estimator_names
from palaestra.algorithms.math.returns import generalised_advantages
from palaestra.algorithms.math.sequences import token_sequences
from palaestra.algorithms.run.registry import algorithm_names
from palaestra.types import Segment, Trajectory, TurnSpan
from tests.algorithms.build import episode

TURNS, GROUP, REWARD = 3, 3, 0.5
STOP, GO = 0, 1
OUTCOMES = [(GO,) * went + ((STOP,) if went < TURNS else ()) for went in range(TURNS + 1)]
THETA = torch.tensor([[0.0, 0.9], [0.2, -0.4], [-0.1, 0.5]])  # logits of stopping and going on, by turn


class TablePolicy:
    """A policy with one pair of logits per turn, as far as a learner looks at one."""

    def __init__(self) -> None:
        self.logits = torch.nn.Parameter(THETA.clone())
        self.version = 0

    def parameters(self) -> list[Tensor]:
        return [self.logits]

    def distribute(self) -> None:
        """One process alone."""

    def token_log_probs(
        self, ids: Tensor, attention_mask: Tensor, action_mask: Tensor, *, temperature: float = 1.0, entropy: bool = False
    ) -> TokenScores:
        """An action token at column 2k + 1 is that of turn k."""
        del attention_mask, temperature, entropy
        rows, columns = torch.nonzero(action_mask, as_tuple=True)
        found = self.logits.log_softmax(dim=1)[columns // 2, ids[rows, columns]]
        return TokenScores(torch.zeros(ids.shape).index_put((rows, columns), found), None)


def played(outcome: Sequence[int], name: str) -> Trajectory:
    """An episode: an observation before every action, and the same state in every turn of a number."""
    segment = Segment(
        ids=tuple(token for action in outcome for token in (2, action)),
        action=(False, True) * len(outcome),
        log_prob=(0.0, -1.0) * len(outcome),
        version=(-1, 0) * len(outcome),
        turns=tuple(TurnSpan(2 * turn + 1, 2 * turn + 2, turn) for turn in range(len(outcome))),
    )
    made = episode(name, [segment], [REWARD * action for action in outcome])
    return replace(made, steps=tuple(replace(step, state_hash=str(turn)) for turn, step in enumerate(made.steps)))


def probability(outcome: Sequence[int], logits: Tensor) -> Tensor:
    return logits.log_softmax(dim=1)[torch.arange(len(outcome)), torch.tensor(outcome)].sum().exp()


def exact_gradient() -> Tensor:
    logits = THETA.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(sum(REWARD * sum(o) * probability(o, logits) for o in OUTCOMES), logits)  # type: ignore[arg-type]
    return gradient


def step_gradient(config: GRPOConfig, outcomes: Sequence[Sequence[int]]) -> Tensor:
    """What the only optimiser step of an update climbs, for a group with these outcomes; 0 where no step is made."""
    policy = TablePolicy()
    learner = GRPOLearner(policy, config)  # type: ignore[arg-type]
    caught = [torch.zeros_like(THETA)]

    def catch(loss: float) -> dict[str, float]:
        del loss
        assert policy.logits.grad is not None
        caught.append(-policy.logits.grad.clone())
        return {}

    learner.optimiser.step = catch  # type: ignore[method-assign]
    learner.learn(collate([played(outcome, f"e{i}") for i, outcome in enumerate(outcomes)]), 1)
    return caught[-1]


def mean_gradient(config: GRPOConfig) -> Tensor:
    total = torch.zeros_like(THETA)
    for outcomes in itertools.product(OUTCOMES, repeat=GROUP):
        chance = torch.stack([probability(outcome, THETA) for outcome in outcomes]).prod()
        total += chance * step_gradient(config, outcomes)
    return total


def settings(table: type[GRPOConfig] = GRPOConfig, **given: Any) -> GRPOConfig:
    """One pass over groups of three; the table says 'no correction', and these tokens were sampled with made-up log-probs."""
    return table.model_validate({"group_size": GROUP, "epochs": 1, "correction": {"drift_limit": 1e6}, **given})


def bias(found: Tensor) -> float:
    """How far a gradient points away from the exact one: 1 - cosine."""
    return 1.0 - float(torch.cosine_similarity(found.flatten().double(), exact_gradient().flatten().double(), dim=0))


def assert_claim_holds(config: GRPOConfig) -> None:
    found, scale = mean_gradient(config), config.gradient_scale
    if scale is None:
        assert bias(found) > 1e-4
    else:
        torch.testing.assert_close(found, scale * exact_gradient(), atol=1e-7, rtol=1e-5)


ESTIMATORS: list[dict[str, Any]] = [
    *({"estimator": name} for name in estimator_names()),
    {"estimator": "grpo", "spread": "none"},
    {"estimator": "grpo", "spread": "batch"},
    {"estimator": "turn_rloo", "gamma": 0.8},
]


@pytest.mark.parametrize("advantage", ESTIMATORS, ids=lambda table: "-".join(map(str, table.values())))
@pytest.mark.parametrize(
    "form", [{"loss": "reinforce"}, {"loss": "ppo", "aggregation": "constant", "constant_length": 7}], ids=str
)
def test_the_claim_of_every_estimator_holds(advantage: dict[str, Any], form: dict[str, Any]) -> None:
    assert_claim_holds(settings(advantage=advantage, **{"aggregation": "sequence_sum", **form}))


TABLES = [name for name in algorithm_names() if issubclass(get_algorithm(name).config, GRPOConfig)]


@pytest.mark.parametrize("name", TABLES)
def test_the_claim_of_every_table_holds(name: str) -> None:
    assert_claim_holds(settings(get_algorithm(name).config, kl={"coefficient": 0.0}))  # type: ignore[arg-type]


def test_what_is_called_unbiased_claims_it() -> None:
    assert settings(get_algorithm("rloo").config).gradient_scale == 1.0  # type: ignore[arg-type]
    claims = [name for name in TABLES if settings(get_algorithm(name).config).gradient_scale is not None]  # type: ignore[arg-type]
    assert set(claims) >= {"dr_grpo", "rloo", "turn_rloo"}


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean"])
def test_a_mean_over_lengths_points_elsewhere(aggregation: str) -> None:
    config = settings(advantage="rloo", aggregation=aggregation)
    assert config.gradient_scale is None
    assert bias(mean_gradient(config)) > 1e-3


@pytest.mark.parametrize("lam", [1.0, 0.0])
def test_generalised_advantages_are_unbiased_with_a_full_trace_whatever_the_values(lam: float) -> None:
    total = torch.zeros_like(THETA)
    guess = torch.tensor([0.7, -0.3, 1.1])  # of the state before each turn, nowhere right
    for outcome in OUTCOMES:
        batch, logits = collate([played(outcome, "e")]), THETA.clone().requires_grad_()
        steps = token_sequences(batch.action_mask, batch.episode_index, batch.turn_index)
        value = guess[batch.turn_index.clamp(min=0)]
        found = generalised_advantages(steps.total(batch.token_reward), steps.at_first(value), steps.mask, gamma=1.0, lam=lam)
        log_prob = logits.log_softmax(dim=1)[torch.arange(len(outcome)), torch.tensor(outcome)]
        (gradient,) = torch.autograd.grad((found.advantage[0].detach() * log_prob).sum(), logits)
        total += probability(outcome, THETA) * gradient
    if lam == 1.0:
        torch.testing.assert_close(total, exact_gradient(), atol=1e-6, rtol=1e-5)
    else:
        assert bias(total) > 1e-3  # what is guessed wrongly stays in


def test_one_logit_for_all_turns_has_the_slope_of_the_closed_form() -> None:
    p = torch.tensor(0.6, dtype=torch.float64)
    logits = torch.stack([torch.zeros(()).double(), torch.logit(p)]).expand(TURNS, 2).clone().requires_grad_()
    (slope,) = torch.autograd.grad(sum(REWARD * sum(o) * probability(o, logits) for o in OUTCOMES), logits)  # type: ignore[arg-type]
    assert float(slope[:, GO].sum()) == pytest.approx(0.5 * (1 + 2 * 0.6 + 3 * 0.36) * 0.6 * 0.4)
