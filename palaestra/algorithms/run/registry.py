"""Algorithms by name: ours, and those of installed packages (entry-point group `palaestra.algorithms`).

An `Algorithm` is a config class (the recipe's table of that name) and a learner: the update, which turns the episodes of a
step into a better policy. The outer loop is shared (`run/on_policy.py`); an algorithm that plays or trains in another order
brings a function that runs a phase. A third party writes one and names it in its package metadata:

    [project.entry-points."palaestra.algorithms"]
    my_algorithm = "my_package.my_module:ALGORITHM"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from palaestra.algorithms.config import check
from palaestra.errors import ConfigError
from palaestra.lazy import entry_points_of, import_named

if TYPE_CHECKING:
    from palaestra.algorithms.learner.learner import Learner, MakeLearner
    from palaestra.algorithms.learner.policy import Policy

ENTRY_POINTS = "palaestra.algorithms"

_BUILTIN = {
    "sft": "palaestra.algorithms.sft:ALGORITHM",
    "grpo": "palaestra.algorithms.grpo:ALGORITHM",
    "dr_grpo": "palaestra.algorithms.grpo_family:DR_GRPO",
    "dapo": "palaestra.algorithms.grpo_family:DAPO",
    "gspo": "palaestra.algorithms.grpo_family:GSPO",
    "rloo": "palaestra.algorithms.grpo_family:RLOO",
    "reinforce_pp": "palaestra.algorithms.grpo_family:REINFORCE_PP",
    "rebn": "palaestra.algorithms.grpo_family:REBN",
    "turn_rloo": "palaestra.algorithms.grpo_family:TURN_RLOO",
    "ppo": "palaestra.algorithms.ppo:ALGORITHM",
    "vrpo": "palaestra.algorithms.vrpo:ALGORITHM",
    "gigpo": "palaestra.algorithms.grpo_family:GIGPO",
    "rft": "palaestra.algorithms.rft:ALGORITHM",
    "dpo": "palaestra.algorithms.dpo:ALGORITHM",
}


@dataclass(frozen=True)
class Algorithm:
    """A way to train a policy: a learner for the shared outer loop, a loop of its own, or both.

    Attributes:
        name: How recipes call it.
        config: Its settings; a recipe's table `[name]` is checked against it. An `OnPolicyConfig` for the shared outer loop.
        learner: Builds its update half, usually the learner's class; None if its update is not one of a batch of episodes.
        run: Trains `phase.policy` in place, logging and saving through the phase, and returns when the phase is over; called
            with a `Phase` and the config. None for the shared outer loop.
        arm: What reports call the policy that comes out, e.g. "cloned".
        metrics: Names of what its steps log in addition to what is measured of episodes and by the shared outer loop; None
            where it does not say. A `checkpoint.best` that is none of them is refused.
        check: Raises an error if something that it needs is missing on this machine; called before a run is created.
        copies: Copies of the weights that an update makes in addition to what its learner holds; `--dry-run` counts them.
        plays: Whether it plays episodes with the policy; to one that imitates recorded ones, extensions mean nothing.

    Raises:
        ConfigError: If it has neither a learner nor a loop.
    """

    name: str
    config: type[BaseModel]
    learner: MakeLearner | None = None
    run: Callable[[Any, Any], None] | None = None  # naming Phase would close a circle: recipes look algorithms up
    arm: str = "trained"
    plays: bool = True
    copies: int = 0
    metrics: frozenset[str] | None = None
    check: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        """Refuse an algorithm that does nothing."""
        if self.learner is None and self.run is None:
            raise ConfigError(f"The algorithm {self.name!r} has neither a learner nor a loop; expected one or both.")


def algorithm_names() -> list[str]:
    """Return the names of all algorithms that can be used here, sorted."""
    return sorted({*_BUILTIN, *_plugins()})


def get_algorithm(name: str) -> Algorithm:
    """Return an algorithm by name.

    Raises:
        UnknownNameError: If there is none of this name.
        MissingExtraError: If torch is not installed.
        ConfigError: If a package offers something else under it.
    """
    return import_named(  # type: ignore[no-any-return]
        "algorithm",
        name,
        _BUILTIN,
        _plugins(),
        fits=lambda found: isinstance(found, Algorithm),
        expected="a palaestra.algorithms.run.registry.Algorithm",
        attribute="ALGORITHM",
    )


def make_learner(name: str, policy: Policy, config: object = None, **options: Any) -> Learner:
    """Build the learner of an algorithm.

    Args:
        name: Of the algorithm.
        policy: Trained in place.
        config: Settings, of the algorithm's config class or plain data for it; None for its defaults.
        **options: `reference`, `temperature`, `seed`; see `learner.MakeLearner`.

    Raises:
        UnknownNameError: If there is no algorithm of this name.
        ConfigError: If it has no learner, or a setting is wrong.
    """
    algorithm = get_algorithm(name)
    if algorithm.learner is None:
        raise ConfigError(f"The algorithm {name!r} has a loop of its own and no learner; run it as a phase of a recipe.")
    settings = config if isinstance(config, algorithm.config) else check(algorithm.config, config or {}, name)
    return algorithm.learner(policy, settings, **options)


def _plugins() -> dict[str, str]:
    """Return the entry points of installed packages, by name."""
    return entry_points_of(ENTRY_POINTS)
