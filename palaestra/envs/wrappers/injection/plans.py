"""Plans of injected errors: what goes wrong at which step of an episode, and how plans are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, cast, get_args

import numpy as np

from palaestra.envs.wrappers.injection.taxonomy import EXTERNAL, INTERNAL, KINDS, family_of
from palaestra.errors import ConfigError, unknown_name
from palaestra.types import Json

Mode = Literal["prefix", "slip", "outage"]
Persistence = int | Literal["always"]

FIRST_STEPS = (1, 2, 3)
"""Steps that "random" draws from, where the length of the episode is not known."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One error of an episode.

    Attributes:
        step: The message with calls that it befalls, counted from 1; "random" until an episode draws one.
        label: An error label; empty for the error-free control, in which nothing is injected.
        kind: Kind of an internal error, tried first; empty for any.
        persistence: How often the same call fails, at least 1, or "always"; for external errors.
        explicit: For internal errors: True for those that a validator tells of, False for those that it lets through.
        seed: Mixed into the chance of the error; None for nothing.
    """

    step: int | Literal["random"] = 1
    label: str = ""
    kind: str = ""
    persistence: Persistence = 1
    explicit: bool | Literal["auto"] = "auto"
    seed: int | None = None

    def __post_init__(self) -> None:
        """Check every field."""
        if self.step != "random" and not _is_count(self.step):
            raise ConfigError(f"The step of a plan is {self.step!r}; expected an integer of at least 1, or 'random'.")
        family = family_of(self.label)
        if self.kind and (family != "internal" or self.kind not in KINDS[self.label]):
            raise unknown_name(f"kind of {self.label or 'no error'}", self.kind, KINDS.get(self.label, ()))
        if self.persistence != "always" and not _is_count(self.persistence):
            raise ConfigError(
                f"The persistence of a plan is {self.persistence!r}; expected an integer of at least 1, or 'always'."
            )
        if self.explicit != "auto" and not isinstance(self.explicit, bool):
            raise ConfigError(f"explicit of a plan is {self.explicit!r}; expected True, False or 'auto'.")
        if self.seed is not None and (not isinstance(self.seed, int) or isinstance(self.seed, bool)):
            raise ConfigError(f"The seed of a plan is {self.seed!r}; expected an integer, or None.")

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {name: getattr(self, name) for name in _FIELDS}


_FIELDS = tuple(one.name for one in fields(Plan))


@dataclass(frozen=True, slots=True)
class PlanSampler:
    """Draws the plan of an episode; the weights are those of the families that a mode can inject.

    Attributes:
        error_free: Weight of episodes without an error.
        internal: Weight of internal errors, all labels alike.
        external: Weight of external errors, all labels alike.
        labels: The labels to draw from; by default the four internal and the five external ones of the paper.
        steps: The steps to draw from.
        persistence: The persistences to draw from.
    """

    error_free: float = 0.25
    internal: float = 0.5
    external: float = 0.25
    labels: Sequence[str] = (*INTERNAL, *EXTERNAL)
    steps: Sequence[int | Literal["random"]] = FIRST_STEPS
    persistence: Sequence[Persistence] = (1, 2, 3)

    def __post_init__(self) -> None:
        """Check weights, labels and steps."""
        for name in ("error_free", "internal", "external"):
            weight = getattr(self, name)
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < float("inf"):
                raise ConfigError(f"The weight {name} of a sampler is {weight!r}; expected a finite number from 0.")
        for name in ("labels", "steps", "persistence"):
            if isinstance(getattr(self, name), str) or not getattr(self, name):
                raise ConfigError(f"{name} of a sampler is {getattr(self, name)!r}; expected a list that is not empty.")
        for label in self.labels:
            Plan(label=label)
        for step in self.steps:
            Plan(step=step)
        for persistence in self.persistence:
            Plan(persistence=persistence)

    def __call__(self, rng: np.random.Generator, mode: Mode) -> Plan:
        """Draw a plan that a mode can carry out."""
        drawn, step, which, lasting = (float(number) for number in rng.random(4))
        return self.at((drawn, step, which, lasting), mode)

    def at(self, numbers: tuple[float, float, float, float], mode: Mode) -> Plan:
        """Return the plan that four numbers of [0, 1) stand for."""
        by_family = {name: [one for one in self.labels if family_of(one) == name] for name in ("internal", "external")}
        weights = {
            "error_free": self.error_free,
            "internal": self.internal if by_family["internal"] and mode != "outage" else 0.0,
            "external": self.external if by_family["external"] and mode != "slip" else 0.0,
        }
        drawn, step, which, lasting = numbers
        at = drawn * sum(weights.values())
        step_at, persistence = _pick(self.steps, step), _pick(self.persistence, lasting)
        for family in ("internal", "external"):
            if at < weights[family]:
                return Plan(step_at, _pick(by_family[family], which), persistence=persistence)
            at -= weights[family]
        return Plan(step_at)


Sampler = PlanSampler | Mapping[str, Any] | Callable[[np.random.Generator, Mode], "Plan | Mapping[str, Any]"]


def plan_of(given: Mapping[str, Any] | Plan, mode: Mode) -> Plan:
    """Return a plan from its plain form.

    Raises:
        ConfigError: If it has an unknown key or a wrong value, or the mode cannot carry it out.
    """
    if isinstance(given, Plan):
        plan = given
    elif isinstance(given, Mapping):
        for key in given:
            if key not in _FIELDS:
                raise unknown_name("key of a plan", key, _FIELDS)
        plan = Plan(**given)
    else:
        raise ConfigError(f'The plan is {given!r}; expected None or a dict such as {{"step": 1, "label": "rate_limit"}}.')
    family, wanted = family_of(plan.label), {"slip": "internal", "outage": "external"}.get(mode)
    if plan.label and wanted is not None and family != wanted:
        raise ConfigError(
            f"The mode {mode!r} injects {wanted} errors, and the plan has the label {plan.label!r}; use mode 'prefix' or "
            f"'{'outage' if mode == 'slip' else 'slip'}'."
        )
    return plan


def sampler_of(given: Sampler | None) -> Callable[[np.random.Generator, Mode], Plan | Mapping[str, Any]]:
    """Return the callable that draws plans.

    Raises:
        ConfigError: If it has an unknown key or a wrong value.
    """
    if given is None:
        return PlanSampler()
    if isinstance(given, Mapping):
        known = [one.name for one in fields(PlanSampler)]
        for key in given:
            if key not in known:
                raise unknown_name("key of a sampler", key, known)
        return PlanSampler(**given)
    if not callable(given):
        raise ConfigError(f"The sampler is {given!r}; expected a PlanSampler, a dict of its fields, or a callable.")
    return given


def checked_mode(mode: str) -> Mode:
    """Return a mode, or refuse one that does not exist."""
    for known in get_args(Mode):
        if mode == known:
            return cast(Mode, known)
    raise unknown_name("mode of injection", mode, get_args(Mode))


def _is_count(value: object) -> bool:
    """Whether a value is an integer of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _pick(choices: Sequence[Any], drawn: float) -> Any:
    """Return the choice that a number of [0, 1) stands for."""
    return choices[int(drawn * len(choices))]


__all__ = ["FIRST_STEPS", "Mode", "Persistence", "Plan", "PlanSampler", "Sampler", "checked_mode", "plan_of", "sampler_of"]
