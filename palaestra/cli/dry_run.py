"""`palaestra train RECIPE --dry-run`: the plan of a recipe as a page, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palaestra.algorithms.run.dry_run import DryRun, PhasePlan, Texts

_GIB = 2**30
_PARTS = (
    ("weights", "weights that are trained"),
    ("gradients", "gradients"),
    ("moments", "moments of AdamW"),
    ("frozen", "frozen copies"),
    ("activations", "kept for the backward pass"),
    ("logits", "logits of a micro-batch"),
)


def show_plan(plan: DryRun, *, device_gib: float | None, as_json: bool) -> None:
    """Print a plan; refuse one that does not fit.

    Args:
        plan: What `dry_run` found.
        device_gib: Memory of a device in GiB; None for no limit.
        as_json: Print JSON.

    Raises:
        ConfigError: If a phase does not fit into the memory of a device.
    """
    from palaestra.cli.output import console, print_json

    if as_json:
        print_json(plan.to_json())
    else:
        out = console()
        out.print(f"{plan.recipe}: {plan.shape.parameters:,} weights in {plan.dtype}, {plan.model}", soft_wrap=True)
        out.print(_devices(plan), soft_wrap=True)
        for text in plan.texts:
            out.print(_lengths(text), soft_wrap=True)
        out.print(_steps(plan.phases))
        out.print(_memory(plan.phases))
        for note in plan.notes:
            out.print(f"Note: {note}", soft_wrap=True)
    if device_gib is not None:
        plan.check(int(device_gib * _GIB))


def _devices(plan: DryRun) -> str:
    """Return how the devices share the weights, as a sentence."""
    if plan.devices == 1:
        return "On one device."
    how = "each trains a shard and keeps a whole copy, which samples" if plan.is_sharded else "each holds all of it"
    return f"On {plan.devices} devices; {how}."


def _lengths(text: Texts) -> str:
    """Return how long an environment's texts are, as a sentence."""
    return (
        f"{text.env}: opening {text.prompt:,} tokens, an observation {text.observation:.0f} (longest "
        f"{text.longest_observation:,}), the expert needs up to {text.turns} turns ({text.num_episodes} episodes)"
    )


def _steps(phases: Sequence[PhasePlan]) -> object:
    """Return the table of what a step plays and writes."""
    from palaestra.cli.output import table

    numbers = (
        "Steps",
        "Episodes a step",
        "Turns at most",
        "Tokens written",
        "Tokens a step",
        "Longest dialogue",
        "Micro-batch",
    )
    found = table("A step, at most", "Phase", *numbers, numbers=numbers)
    for phase in phases:
        found.add_row(
            phase.name if phase.name == phase.algorithm else f"{phase.name} ({phase.algorithm})",
            "by the data" if phase.steps is None else f"{phase.steps:,}",
            f"{phase.episodes:,}",
            _stages(phase.rounds),
            _stages(phase.sampled),
            _stages(phase.tokens),
            f"{phase.longest:,}",
            f"{phase.microbatch:,}",
        )
    return found


def _memory(phases: Sequence[PhasePlan]) -> object:
    """Return the table of what a device holds."""
    from palaestra.cli.output import table

    names = [phase.name for phase in phases]
    found = table("A device holds", "Part", *names, numbers=tuple(names))
    for part, label in _PARTS:
        found.add_row(label, *(_bytes(getattr(phase.update, part)) for phase in phases))
    found.add_row("keys and values while it plays", *(_bytes(phase.sampling) for phase in phases))
    found.add_row("peak", *(_bytes(phase.peak) for phase in phases))
    return found


def _stages(values: Sequence[int]) -> str:
    """Return the values of all stages of a horizon."""
    return ", ".join(f"{value:,}" for value in values)


def _bytes(count: int) -> str:
    """Return bytes in the unit that suits them."""
    for unit, size in (("GiB", _GIB), ("MiB", 2**20)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 2**10:.0f} KiB" if count else "-"


__all__ = ["show_plan"]
