"""VRPO: PPO whose value model is made robust to noisy rewards.

The policy's side is PPO's. The value model gets (1) a variational information bottleneck before its predictor, and (2)
auxiliary losses from a frozen language-model head on its own hidden states: entropy and log-perplexity over the tokens of
which the frozen language model is least certain. With both switched off it is PPO, bit for bit.

    L = mean .5 (V - R)^2 + beta(t) mean KL + lambda_H mean H(q) + lambda_P mean -ln q(x)      q = softmax(W_frozen h)

The paper names the parts; widths, weights and thresholds are not public. The defaults are the project's, and the table
exposes the alternatives (what is selected by which threshold, minimise or distil, pooling over the turn) for when they are.

Source: Zhu et al. 2026, VRPO (arXiv:2508.03058), section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from palaestra.algorithms.config import MOST_COUNTED, Need
from palaestra.algorithms.learner.critic import Critic, CriticConfig, before, make_value_model
from palaestra.algorithms.learner.learner import MakePolicy
from palaestra.algorithms.learner.policy import Policy, meaningful
from palaestra.algorithms.learner.policy_update import computed, planned
from palaestra.algorithms.math.batch import Batch
from palaestra.algorithms.math.losses import divergence_of, entropy_of
from palaestra.algorithms.math.sequences import turn_sequences
from palaestra.algorithms.ppo import METRICS, PPOConfig, PPOLearner, train_with_critic
from palaestra.algorithms.run.on_policy import build_learner
from palaestra.algorithms.run.phase import Phase
from palaestra.algorithms.run.registry import Algorithm
from palaestra.errors import ConfigError
from palaestra.models.value_model import BottleneckValueHead, Valuation, ValueModel

COLLAPSED_DIVERGENCE = 1e-3  # nats
COLLAPSED_EXPLAINED = 0.05
COLLAPSED_UPDATES = 20
SAMPLED_TOKENS = 1024  # of a batch, to count active dimensions: a look at the latent should cost little
ACTIVE_VARIANCE = 0.01


class VRPOCriticConfig(CriticConfig):
    """Settings of VRPO's critic: table `[vrpo.critic]` of a recipe."""

    needs: ClassVar[Mapping[str, Need]] = {
        "bottleneck_dim": Need("bottleneck", (True,)),
        "bottleneck_over": Need("bottleneck", (True,)),
        "beta": Need("bottleneck", (True,)),
        "beta_warmup": Need("bottleneck", (True,)),
        "quantile": Need("threshold", ("quantile",)),
        "absolute": Need("threshold", ("absolute",)),
    }

    bottleneck: bool = True
    """The variational bottleneck; without it the head is PPO's."""
    bottleneck_dim: int = Field(default=8, ge=1, le=65_536)
    """Width of the latent: 8 for tiny models, 64 for large ones."""
    bottleneck_over: Literal["token", "turn"] = "token"
    """What is compressed: the hidden state before each token, or the mean over what was read before each turn."""
    beta: float = Field(default=1e-2, ge=0)
    """Weight of the latent's divergence, for unit-variance targets: 1e-2 after pre-training, else 1e-3; 3e-2 is too much."""
    beta_warmup: int = Field(default=50, ge=0, le=MOST_COUNTED)
    """Critic updates over which beta rises from 0: 50 for tiny models, 200 for large ones."""
    entropy_weight: float = Field(default=0.003, ge=0)
    """lambda_H: weight of the entropy of the frozen head on the critic's states; .01 for large models."""
    perplexity_weight: float = Field(default=0.001, ge=0)
    """lambda_P: weight of its log-perplexity."""
    auxiliary: Literal["minimise", "distil"] = "minimise"
    """Minimise entropy and log-perplexity, or keep the critic's language model near the frozen one: KL(frozen, q)."""
    selector: Literal["frozen_lm", "value_head"] = "frozen_lm"
    """Whose uncertainty selects the tokens: the frozen language model's, or that of the frozen head on the critic's states."""
    threshold: Literal["quantile", "absolute"] = "quantile"
    """What a token is compared with: a quantile of the batch, or a number of nats."""
    quantile: float = Field(default=0.8, ge=0, le=1)
    """Tokens at or above this quantile are selected."""
    absolute: float = Field(default=1.0, ge=0)
    """Tokens at or above this many nats are selected."""
    scope: Literal["all", "action", "observation"] = "all"
    """Tokens that may be selected."""
    subset: Literal["separate", "union", "intersection"] = "separate"
    """Each loss over its own selection, or both over the union or the intersection."""


class VRPOConfig(PPOConfig):
    """Table `[vrpo]`: PPO whose value model is made robust to noisy rewards.

    Papers:
        VRPO (arXiv:2508.03058): bottleneck and auxiliary losses of the value model. Left out: widths, weights
            and thresholds, which are not published; the defaults are the project's.
    """

    critic: VRPOCriticConfig = VRPOCriticConfig()
    """Settings of the critic."""

    @model_validator(mode="after")
    def _values_are_known_where_needed(self) -> VRPOConfig:
        if self.bootstrap_truncated and self.critic.bottleneck_over == "turn":
            raise ConfigError(
                "bootstrap_truncated values states after a turn, and critic.bottleneck_over 'turn' knows only those before; "
                "set one of them otherwise."
            )
        return self


class VRPOCritic(Critic):
    """A critic with bottleneck and auxiliary losses.

    Args:
        model: What is trained.
        config: Settings.
        language_model: Frozen policy; its head judges the critic's states, its uncertainty selects tokens. None only if both
            auxiliary weights are 0.
        temperature: Temperature of the frozen language model's distributions.
        total: Planned number of updates.
        seed: Seed of minibatches and latents.
    """

    config: VRPOCriticConfig

    def __init__(
        self,
        model: ValueModel,
        config: VRPOCriticConfig,
        *,
        language_model: Policy | None = None,
        temperature: float = 1.0,
        total: int = 0,
        seed: int = 0,
    ) -> None:
        """Keep the parts."""
        super().__init__(model, config, total=total, seed=seed)
        if self.has_auxiliary and language_model is None:
            raise ConfigError("The auxiliary losses need a frozen language model; give one, or set both weights to 0.")
        self.language_model = language_model
        self.temperature = temperature
        self.low_updates = 0

    @property
    def has_auxiliary(self) -> bool:
        """Whether any auxiliary loss is on."""
        return self.config.entropy_weight > 0 or self.config.perplexity_weight > 0

    @property
    def beta(self) -> float:
        """Present weight of the latent's divergence."""
        warmup = self.config.beta_warmup
        return self.config.beta * (min(1.0, self.updates / warmup) if warmup else 1.0)

    def fit(self, batch: Batch, step: int, *, epochs: int | None = None, minibatches: int | None = None) -> dict[str, float]:
        """Train on the targets of a batch (see `Critic.fit`); adds the signs of a collapsed latent."""
        batch = self.annotated(batch)
        metrics = super().fit(batch, step, epochs=epochs, minibatches=minibatches)
        if "latent_divergence" in metrics:
            explained = metrics.get("explained_variance", float("nan"))
            is_low = metrics["latent_divergence"] < COLLAPSED_DIVERGENCE and not explained >= COLLAPSED_EXPLAINED
            self.low_updates = self.low_updates + 1 if is_low else 0
            metrics["latent_collapsed"] = float(self.low_updates >= COLLAPSED_UPDATES)
            metrics["latent_active"] = float(self.active_dimensions(batch))
        return metrics

    def valuation(self, rows: Batch, *, sample: bool = False) -> tuple[Valuation, Tensor]:
        """Value the state before each token (see `Critic.valuation`)."""
        if self.config.bottleneck_over == "token":
            return super().valuation(rows, sample=sample)
        states = self.model.states(rows.ids, rows.attention_mask)  # [b, t, d]
        return self.model.head(pooled_over_turns(states, rows), sample=sample), states

    def annotated(self, batch: Batch) -> Batch:
        """Add what the frozen language model finds of each token, unless it is there: one forward pass per batch."""
        return self.with_uncertainty(batch) if self.has_auxiliary and "lm_entropy" not in batch.extra else batch

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def with_uncertainty(self, batch: Batch) -> Batch:
        """Add what the frozen language model finds of each token: `lm_entropy` and `lm_surprise`, nats, [B, T]."""
        assert self.language_model is not None  # checked when the critic was made
        language_model = self.language_model
        everything = torch.ones(batch.num_rows, dtype=torch.bool)

        def judge(rows: Batch) -> tuple[Tensor, ...]:
            scored = language_model.token_log_probs(rows.ids, rows.attention_mask, temperature=self.temperature, entropy=True)
            assert scored.entropy is not None  # it was asked for
            return scored.entropy, -scored.log_prob

        entropy, surprise = computed(batch, everything, self.config.max_tokens_per_microbatch, judge, count=2)
        return batch.with_tensors(lm_entropy=entropy, lm_surprise=surprise)

    def prepared(self, batch: Batch) -> Batch:
        """Select the tokens of the auxiliary losses in a minibatch: `by_entropy` and `by_surprise`, 0 or 1, [B, T]."""
        if not self.has_auxiliary:
            return batch
        entropy, surprise = batch.extra["lm_entropy"], batch.extra["lm_surprise"]
        if self.config.selector == "value_head":
            entropy, surprise = self._own_uncertainty(batch)
        candidates = candidate_tokens(batch, self.config.scope)  # [b, t]
        by_entropy = self._selected(entropy, candidates)
        by_surprise = self._selected(surprise, candidates)
        if self.config.subset == "union":
            by_entropy = by_surprise = by_entropy | by_surprise
        elif self.config.subset == "intersection":
            by_entropy = by_surprise = by_entropy & by_surprise
        return batch.with_tensors(by_entropy=by_entropy.float(), by_surprise=by_surprise.float())

    def loss(self, rows: Batch, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a micro-batch (see `Critic.loss`)."""
        found, states = self.valuation(rows, sample=True)
        loss, values = self.squared_error(found.value, rows, batch)
        if found.divergence is not None:
            decisions = rows.extra["decision"].bool()
            divergence = torch.where(decisions, found.divergence, 0.0).sum() / batch.extra["decision"].sum()  # mean, nats
            loss = loss + self.beta * divergence
            values["latent_divergence"] = float(divergence.detach())
        if self.has_auxiliary:
            auxiliary, more = self._auxiliary(states, rows, batch)
            loss, values = loss + auxiliary, values | more
        return loss, values

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def active_dimensions(self, batch: Batch) -> int:
        """Number of latent dimensions whose mean varies over the decisions of some of the longest rows."""
        tokens = min(SAMPLED_TOKENS, self.config.max_tokens_per_microbatch)
        part = planned(batch, batch.action_mask.any(dim=1), tokens)[0]
        rows = batch.rows(part)
        found, _ = self.valuation(rows)
        if found.mean is None:
            return 0
        means = found.mean[rows.action_mask]  # [M, k]
        return int((means.var(dim=0, correction=0) > ACTIVE_VARIANCE).sum())

    def state(self) -> dict[str, Any]:
        """Return everything a resumed run needs."""
        return {**super().state(), "low_updates": self.low_updates}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        super().load(state)
        self.low_updates = int(state["low_updates"])

    def _auxiliary(self, states: Tensor, rows: Batch, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted auxiliary losses of a micro-batch, as shares of the minibatch's means."""
        config = self.config
        total = torch.zeros(())
        values: dict[str, float] = {}
        entropy, surprise = config.entropy_weight, config.perplexity_weight
        parts = (("by_entropy", entropy, "aux_entropy"), ("by_surprise", surprise, "aux_surprise"))
        for name, weight, shown in parts:
            chosen, count = rows.extra[name].bool(), batch.extra[name].sum()
            if weight == 0 or not bool(count):
                continue
            if config.auxiliary == "distil":
                each = self._distilled(states, rows, chosen)
            else:
                log_q = self._log_q(before(states)[chosen])  # [N, vocabulary]; states before the tokens that it judges
                if name == "by_entropy":
                    each = entropy_of(log_q)
                else:
                    each = -log_q.gather(1, rows.ids[chosen].unsqueeze(1)).squeeze(1)
            mean = each.sum() / count  # tokens of the whole minibatch
            total = total + weight * mean
            values[shown] = float(mean.detach())
        return total, values

    def _log_q(self, states: Tensor) -> Tensor:
        """Log-distribution of the frozen head on states [N, d]: [N, vocabulary]; the gradient goes to the states only."""
        assert self.language_model is not None
        head = self.language_model.model.get_output_embeddings()
        logits = meaningful(head(states), self.language_model.vocabulary)
        return torch.log_softmax(logits.float() / self.temperature, dim=-1)

    def _distilled(self, states: Tensor, rows: Batch, chosen: Tensor) -> Tensor:
        """KL of the critic's language model from the frozen one at chosen tokens: [N]."""
        assert self.language_model is not None
        with torch.no_grad():
            frozen = self.language_model.model.base_model(input_ids=rows.ids, use_cache=False).last_hidden_state
            log_p = self._log_q(before(frozen)[chosen])
        return divergence_of(log_p, self._log_q(before(states)[chosen]))

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _own_uncertainty(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Entropy and surprise of the frozen head on the critic's own states, [B, T]."""
        everything = torch.ones(batch.num_rows, dtype=torch.bool)

        def judge(rows: Batch) -> tuple[Tensor, ...]:
            log_q = self._log_q(before(self.model.states(rows.ids, rows.attention_mask)))
            return entropy_of(log_q), -log_q.gather(2, rows.ids.unsqueeze(2)).squeeze(2)

        entropy, surprise = computed(batch, everything, self.config.max_tokens_per_microbatch, judge, count=2)
        return entropy, surprise

    def _selected(self, uncertainty: Tensor, candidates: Tensor) -> Tensor:
        """Mark the candidates that are uncertain enough: bool [B, T]."""
        if self.config.threshold == "absolute":
            return candidates & (uncertainty >= self.config.absolute)
        return select_uncertain(uncertainty, candidates, quantile=self.config.quantile)


def select_uncertain(uncertainty: Tensor, candidates: Tensor, *, quantile: float) -> Tensor:
    """Mark the candidates at or above a quantile of their uncertainty; all of them where they are equal.

    Args:
        uncertainty: Any shape.
        candidates: bool, same shape.
        quantile: In [0, 1], interpolated linearly.
    """
    values = uncertainty[candidates]
    if not values.numel():
        return torch.zeros_like(candidates)
    ordered = values.double().sort().values  # torch.quantile takes no more than 16 million values
    place = quantile * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    level = ordered[low] + (place - low) * (ordered[high] - ordered[low])
    return candidates & (uncertainty.double() >= level - 1e-9)


def candidate_tokens(batch: Batch, scope: Literal["all", "action", "observation"]) -> Tensor:
    """Mark the real tokens that the auxiliary losses may select: bool [B, T]; the first of a row has nothing before it."""
    real = batch.attention_mask.clone()
    real[:, :1] = False
    if scope == "all":
        return real
    return real & (batch.action_mask if scope == "action" else ~batch.action_mask)


def pooled_over_turns(states: Tensor, rows: Batch) -> Tensor:
    """Mean hidden state over what was read before each turn, at all its action tokens: [B, T, d], 0 elsewhere.

    Args:
        states: [B, T, d], after each token.
        rows: Whose turns; what was read before a turn lies between the turn before it (or the start) and its first token.
    """
    sums = torch.cat([torch.zeros_like(states[:, :1]), states.cumsum(dim=1)], dim=1)  # [B, T + 1, d]
    width = rows.ids.shape[1]
    alone = torch.arange(rows.num_rows)  # every row for itself: a segment holds all that its turns could read
    turns = turn_sequences(rows.action_mask, alone, rows.turn_index)
    row = turns.episodes.unsqueeze(1).expand_as(turns.first)
    first, last = turns.first - row * width, turns.last - row * width
    begin = torch.cat([torch.zeros_like(first[:, :1]), last[:, :-1] + 1], dim=1)
    begin = torch.minimum(begin, (first - 1).clamp(min=0))  # nothing was read in between: the token before the turn
    total = sums[row, first] - sums[row, begin]  # [turns, K, d]: prefix sums make the mean of any stretch one difference
    mean = total / (first - begin).clamp(min=1).unsqueeze(-1)
    flat = torch.zeros(rows.num_rows * width, states.shape[2]).index_put((turns.tokens,), mean.flatten(0, 1)[turns.owner])
    return flat.view(rows.num_rows, width, -1)


def make_critic(
    policy: Policy, config: VRPOConfig, *, language_model: Policy | None, temperature: float, seed: int
) -> VRPOCritic:
    """Return VRPO's critic for a policy.

    Args:
        policy: Whose transformer the critic begins with.
        config: Settings.
        language_model: Frozen starting policy; may be None if both auxiliary weights are 0.
        temperature: Sampling temperature.
        seed: Of the head, minibatches and latents.
    """
    critic = config.critic

    def head(size: int) -> BottleneckValueHead:
        return BottleneckValueHead(size, critic.bottleneck_dim, init_std=critic.init_std)

    model = make_value_model(policy, critic, seed=seed, head=head if critic.bottleneck else None)
    total = config.steps * critic.epochs * critic.minibatches
    return VRPOCritic(model, critic, language_model=language_model, temperature=temperature, total=total, seed=seed)


def build(
    policy: Policy,
    config: VRPOConfig,
    *,
    reference: MakePolicy | None = None,
    temperature: float = 1.0,
    seed: int = 0,
) -> PPOLearner:
    """Return PPO's learner with VRPO's critic (see `registry.MakeLearner`)."""
    has_auxiliary = config.critic.entropy_weight > 0 or config.critic.perplexity_weight > 0
    language_model = reference() if has_auxiliary and reference is not None else None
    critic = make_critic(policy, config, language_model=language_model, temperature=temperature, seed=seed)
    return PPOLearner(policy, config, critic=critic, reference=reference, temperature=temperature, seed=seed)


def run(phase: Phase, config: VRPOConfig) -> None:
    """Train a policy with VRPO; resumes from the phase's last checkpoint.

    Raises:
        TrainingStopped: If a watchdog stops it.
    """
    train_with_critic(phase, config, build_learner(phase, config, build))


_LATENT = {"latent_divergence", "latent_collapsed", "latent_active", "aux_entropy", "aux_surprise"}

ALGORITHM = Algorithm("vrpo", VRPOConfig, learner=build, run=run, metrics=METRICS | _LATENT)
