"""Names of metrics that the phases of a recipe log, so that a misspelt `checkpoint.best` is found before anything is played.

Algorithms and extensions say what they log (`Algorithm.metrics`, `Extension.metrics`); one from a package that does not say it
is believed. What an environment measures (`metric_NAME`) and its types of task are known to the environment alone.
"""

from __future__ import annotations

from palaestra.algorithms.config import nearest
from palaestra.algorithms.run.alarms import ALARM_TEXTS
from palaestra.algorithms.run.extension import Extension
from palaestra.algorithms.run.extension_registry import get_extension
from palaestra.algorithms.run.metrics import BY_ENV, BY_TYPE, CURVE, LOOP, OWN, episode_metrics
from palaestra.algorithms.run.recipe_configs import PhaseConfig, Recipe
from palaestra.algorithms.run.registry import get_algorithm
from palaestra.errors import ConfigError

_TEST = "test_"


def refuse_unknown_metric(recipe: Recipe) -> None:
    """Refuse a `checkpoint.best` that no phase of the recipe can log.

    Raises:
        ConfigError: With the nearest name that one of them logs.
    """
    best = recipe.checkpoint.best
    if best is None:
        return
    if best.startswith(_TEST) and not any(_has_points(recipe, phase) for phase in recipe.phases):
        raise ConfigError(
            f"checkpoint.best is {best!r}, and the learning curve has no points: evaluation.every is "
            f"{recipe.evaluation.every}, and no phase has as many steps. Lower it, or name a metric of training steps."
        )
    found: set[str] = set()
    for phase in recipe.phases:
        known = known_metrics(recipe, phase)
        if known is None or best in known or _is_own(recipe, best, known):
            return
        found |= known
    raise ConfigError(
        f"checkpoint.best is {best!r}, which no phase of the recipe logs.{nearest(best, sorted(found))} What an environment "
        f"measures itself is called {OWN}NAME, in the learning curve {_TEST}{OWN}NAME."
    )


def known_metrics(recipe: Recipe, phase: PhaseConfig) -> frozenset[str] | None:
    """Return the names that a phase may log, those of environments and types of task left out; None if nobody knows.

    Args:
        recipe: The whole recipe.
        phase: One of its phases.
    """
    algorithm = get_algorithm(phase.algorithm)
    if algorithm.metrics is None:
        return None
    names = {"seconds_cpu", *ALARM_TEXTS, *algorithm.metrics}
    if algorithm.plays:
        names |= {*episode_metrics([]), "clean_return_mean"}
        names |= _passes(max(getattr(phase.settings, name, 0) for name in ("group_size", "samples")))
    if hasattr(phase.settings, "on_collapse"):  # the settings of the shared outer loop
        names |= set(LOOP)
    for name in phase.active:
        extension = get_extension(name)
        if extension.metrics is not None:
            names |= extension.metrics
        elif any(getattr(extension, hook) is not getattr(Extension, hook) for hook in ("after_step", "collection")):
            return None
    if _has_points(recipe, phase):
        names |= {f"{_TEST}{name}" for name in (*CURVE, *_passes(recipe.evaluation.curve_samples))}
    return frozenset(names)


def _passes(most: int) -> set[str]:
    """Return the names of pass@k for as many plays of a task."""
    return {f"pass_at_{2**n}" for n in range(1, most.bit_length())}


def _has_points(recipe: Recipe, phase: PhaseConfig) -> bool:
    """Whether the learning curve of a phase has a point, as far as its settings tell its steps."""
    every, steps = recipe.evaluates_every(phase.name), getattr(phase.settings, "steps", None)
    return every > 0 and (steps is None or every <= steps)


def _is_own(recipe: Recipe, best: str, known: frozenset[str]) -> bool:
    """Whether a name is that of a metric by environment, seat or type of task, or of one that an environment measures."""
    prefix = _TEST if best.startswith(_TEST) else ""
    name, dot, part = best.removeprefix(prefix).partition(".")
    if name.startswith(OWN):
        return prefix == "" or any(one.startswith(_TEST) for one in known)
    if not dot or f"{prefix}{name}" not in known | {f"{_TEST}{one}" for one in BY_TYPE}:
        return False
    envs = {env.name for env in recipe.envs} if recipe.is_mixture else set[str]()
    where, _, kind = part.partition("type.")
    of_type = bool(kind) and name in BY_TYPE and (where == "" or where.rstrip(".") in envs)
    has_seats = any("seats" in phase.active for phase in recipe.phases)
    return of_type or (name in (*BY_ENV, *CURVE) and (part in envs or has_seats))


__all__ = ["known_metrics", "refuse_unknown_metric"]
