"""The rest of GRPO's family: the same learner under the names and defaults of the papers.

A recipe names one (`phases = ["sft", "dapo"]`) and may change every setting in its table.
"""

from __future__ import annotations

from pydantic import Field, SerializeAsAny

from palaestra.algorithms.config import MOST_COUNTED, MOST_HELD
from palaestra.algorithms.grpo import GroupSamplingConfig, GRPOConfig, GRPOLearner
from palaestra.algorithms.learner.policy_update import UPDATE_METRICS, ClipConfig, KLConfig
from palaestra.algorithms.math.estimators import (
    AdvantageConfig,
    GiGPOAdvantage,
    GRPOAdvantage,
    ReBNAdvantage,
    ReinforcePPAdvantage,
    RLOOAdvantage,
    TurnRLOOAdvantage,
)
from palaestra.algorithms.math.losses import Aggregation, PolicyLoss, RatioLevel
from palaestra.algorithms.run.registry import Algorithm


class DrGRPOConfig(GRPOConfig):
    """Table `[dr_grpo]`: no division by spread or length.

    Papers:
        Dr.GRPO (arXiv:2503.20783): the unbiased loss, with a constant in place of the length.
    """

    advantage: SerializeAsAny[AdvantageConfig] = GRPOAdvantage(spread="none")
    """Nothing is divided by the spread."""
    aggregation: Aggregation = "constant"
    """Every token weighs the same, however long its episode is."""
    constant_length: int | None = Field(default=256, ge=1, le=MOST_COUNTED)
    """Tokens per episode that the sum is divided by; of the order of the longest episode."""


class DAPOConfig(GRPOConfig):
    """Table `[dapo]`: clip higher, dynamic sampling, token mean.

    Papers:
        DAPO (arXiv:2503.14476): clip-higher, dynamic sampling, token mean, overlong penalty (equation 13). Otherwise
            than there: the penalty is off until `overlong.limit` says how many tokens an episode may have (20,480 there,
            with a buffer of 4,096); it counts what is sampled in all turns, and -1 stands against returns from 0 to 1, not
            against -1 and 1; refills stop after `sampling.max_refills`. Left out: the filter of truncated episodes.
    """

    group_size: int = Field(default=16, ge=2, le=MOST_HELD)
    """Episodes per task."""
    clip: ClipConfig = ClipConfig(high=0.28)
    """Clip higher: .2 below, .28 above."""
    aggregation: Aggregation = "token_mean"
    """Every token of the batch weighs the same."""
    sampling: GroupSamplingConfig = GroupSamplingConfig(drop_equal_groups=True, max_refills=2)
    """Dynamic sampling: further tasks in place of groups that are all equal."""


class GSPOConfig(GRPOConfig):
    """Table `[gspo]`: one ratio per sequence.

    Papers:
        GSPO (arXiv:2507.18071): the sequence's ratio and its clip range, GSPO-token (`ratio`).
    """

    ratio: RatioLevel = "sequence"
    """The importance ratio is the geometric mean over the sequence."""
    clip: ClipConfig = ClipConfig(low=3e-4, high=4e-4)
    """3e-4 and 4e-4 for large models; .02 and .02 for tiny ones."""


class RLOOConfig(GRPOConfig):
    """Table `[rloo]`: each episode against the mean of the others.

    Papers:
        RLOO (arXiv:2402.14740): leave-one-out baseline, REINFORCE on-policy, tokens summed, divergence in the reward: k1
            of the whole episode is taken from its return before it is compared. Otherwise than there: the divergence is
            off until `kl.coefficient` is given (about .05 for large models).
    """

    advantage: SerializeAsAny[AdvantageConfig] = RLOOAdvantage()
    """Leave-one-out."""
    group_size: int = Field(default=4, ge=2, le=MOST_HELD)
    """Episodes per task."""
    epochs: int = Field(default=1, ge=1, le=MOST_COUNTED)
    """Passes over the episodes; set loss = "ppo" for more than one."""
    loss: PolicyLoss = "reinforce"
    """On-policy: no ratio."""
    aggregation: Aggregation = "sequence_sum"
    """An episode's tokens are summed, as its log-probability is: anything else biases the gradient."""
    kl: KLConfig = KLConfig(place="reward")
    """The divergence is part of the reward."""


class ReinforcePPConfig(GRPOConfig):
    """Table `[reinforce_pp]`: token returns, whitened over the batch.

    Papers:
        REINFORCE++ (arXiv:2501.03262): token returns less the k1 divergence of the tokens from there on, whitened over the
            batch; group baseline. Otherwise than there: the divergence is off until `kl.coefficient` is given (about .01
            for large models); with `advantage.group_baseline` the paper adds k2 to the loss instead, which here is
            `kl.place = "loss"` with `kl.estimator = "k2"`.
    """

    advantage: SerializeAsAny[AdvantageConfig] = ReinforcePPAdvantage()
    """Discounted token returns over the batch."""
    group_size: int = Field(default=1, ge=1, le=MOST_HELD)
    """Episodes per task; no group is needed."""
    tasks_per_step: int = Field(default=64, ge=1, le=MOST_HELD)
    """Tasks per step."""
    aggregation: Aggregation = "token_mean"
    """Every token of the batch weighs the same."""
    kl: KLConfig = KLConfig(place="reward")
    """The divergence is part of the reward."""


class ReBNConfig(GRPOConfig):
    """Table `[rebn]`: discounted turn returns, whitened over the batch.

    Papers:
        GEM (arXiv:2510.01051): return batch normalisation of turn returns. Left out: its environments.
    """

    advantage: SerializeAsAny[AdvantageConfig] = ReBNAdvantage(gamma=0.9)
    """Discounted turn returns over the batch."""
    group_size: int = Field(default=1, ge=1, le=MOST_HELD)
    """Episodes per task; no group is needed."""
    tasks_per_step: int = Field(default=64, ge=1, le=MOST_HELD)
    """Tasks per step."""
    aggregation: Aggregation = "token_mean"
    """Every token of the batch weighs the same."""


class TurnRLOOConfig(GRPOConfig):
    """Table `[turn_rloo]`: turn returns against the same turn of the others; unbiased, for rewards per turn."""

    advantage: SerializeAsAny[AdvantageConfig] = TurnRLOOAdvantage()
    """Leave-one-out by turn."""
    aggregation: Aggregation = "constant"
    """Every token weighs the same, however long its episode is: a division by lengths would bias the gradient."""
    constant_length: int | None = Field(default=256, ge=1)
    """Tokens per episode that the sum is divided by; of the order of the longest episode."""


class GiGPOConfig(GRPOConfig):
    """Table `[gigpo]`: groups of episodes, and of turns that began in the same state.

    Papers:
        GiGPO (arXiv:2505.10978): episode groups and step groups.
    """

    advantage: SerializeAsAny[AdvantageConfig] = GiGPOAdvantage(gamma=0.95)
    """Episode groups and step groups."""
    aggregation: Aggregation = "token_mean"
    """Every token of the batch weighs the same."""


DR_GRPO = Algorithm("dr_grpo", DrGRPOConfig, learner=GRPOLearner, metrics=UPDATE_METRICS)
DAPO = Algorithm("dapo", DAPOConfig, learner=GRPOLearner, metrics=UPDATE_METRICS)
GSPO = Algorithm("gspo", GSPOConfig, learner=GRPOLearner, metrics=UPDATE_METRICS)
RLOO = Algorithm("rloo", RLOOConfig, learner=GRPOLearner, metrics=UPDATE_METRICS)
REINFORCE_PP = Algorithm("reinforce_pp", ReinforcePPConfig, learner=GRPOLearner, metrics=UPDATE_METRICS)
REBN = Algorithm("rebn", ReBNConfig, learner=GRPOLearner, metrics=UPDATE_METRICS)
TURN_RLOO = Algorithm("turn_rloo", TurnRLOOConfig, learner=GRPOLearner, metrics=UPDATE_METRICS)
GIGPO = Algorithm("gigpo", GiGPOConfig, learner=GRPOLearner, metrics=UPDATE_METRICS)
