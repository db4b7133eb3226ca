"""`palaestra evaluate --until-decided --against RUN`: its options, and what it says at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palaestra.errors import ConfigError, UnknownNameError, UsageError
from palaestra.types import Json

if TYPE_CHECKING:
    from palaestra.agents.evaluation.deciding import UntilDecided
    from palaestra.agents.evaluation.evaluation import Evaluation
    from palaestra.agents.store.store import RunStore

_TAKEN: tuple[str, ...] = ("split", "n", "samples", "seed", "max_turns")

UntilFlag = Annotated[
    bool, typer.Option("--until-decided", help="Stop as soon as it is known which is better, this agent or --against.")
]
Against = Annotated[
    str | None,
    typer.Option(
        metavar="RUN", help="Finished run to decide against; gives the settings that are left out.", show_default=False
    ),
]
Difference = Annotated[
    float | None, typer.Option(metavar="D", help="Smallest difference of success that matters. Default: 0.05.")
]
Power = Annotated[float | None, typer.Option(metavar="P", help="Chance to find a difference that large. Default: 0.9.")]


def until_of(is_wanted: bool, against: str | None, difference: float | None, power: float | None) -> UntilDecided | None:
    """Return the decision that the options ask for; None for an evaluation that plays its plan.

    Raises:
        UsageError: If only some of them are given.
        ConfigError: If a number is out of its range.
    """
    from palaestra.agents.evaluation.deciding import UntilDecided

    if not is_wanted:
        given = {"--against": against, "--difference": difference, "--power": power}
        if alone := [name for name, value in given.items() if value is not None]:
            raise UsageError(f"{alone[0]} is of --until-decided; add --until-decided, or leave it out.")
        return None
    if against is None:
        raise UsageError("--until-decided needs the run to decide against: --against RUN, a name from: palaestra runs list.")
    numbers = {"difference": difference, "power": power}
    until = UntilDecided(against, **{name: value for name, value in numbers.items() if value is not None})
    until.test()
    return until


def settings_of(store: RunStore, until: UntilDecided | None) -> dict[str, Any]:
    """Return the settings of the run that is decided against, for those that are not given; none without one."""
    if until is None:
        return {}
    try:
        config = store.config(until.against)
    except UnknownNameError as error:
        raise UsageError(f"There is nothing to decide against: {error}") from error
    envs: Sequence[Mapping[str, Json]] = config.get("envs") or []
    if config.get("kind") != "evaluate" or len(envs) != 1:
        raise UsageError(f"Run {until.against!r} is not an evaluation in one environment; name one with --against.")
    kept = {name: config[name] for name in _TAKEN if name in config}
    return {"env_id": envs[0]["env_id"], "env_kwargs": envs[0]["env_kwargs"], **kept}


def stored_until(run_id: str, config: Mapping[str, Json], wish: UntilDecided | None) -> UntilDecided | None:
    """Return the decision that a stored run is played for; None if it is played to its end.

    Raises:
        ConfigError: If something else is wanted now.
    """
    from palaestra.agents.evaluation.deciding import KEY, UntilDecided

    kept = UntilDecided.from_json(config[KEY]) if KEY in config else None
    if wish is not None and wish != kept:
        was = "to the end of its plan" if kept is None else f"until decided with {kept.to_json()}"
        raise ConfigError(
            f"Run {run_id!r} is played {was}, now until decided with {wish.to_json()}; leave it out, or start a new run."
        )
    return kept


def print_decisions(out: Any, evaluations: Sequence[Evaluation]) -> None:
    """Print what was decided, and what that means for the figures above."""
    from palaestra.agents.store.records import DECIDED

    for evaluation in evaluations:
        if evaluation.decided is not None and evaluation.status in ("decided", "finished"):
            out.print(f"{evaluation.run_id}: {evaluation.note}", style="bold", soft_wrap=True, markup=False)
        if evaluation.status == "decided":
            out.print(f"  {DECIDED}.", style="yellow", soft_wrap=True)


__all__ = ["Against", "Difference", "Power", "UntilFlag", "print_decisions", "settings_of", "stored_until", "until_of"]
