"""What an agent sees: the request, what the stage asks for, and the part of the car that goes with it, as one text."""

from __future__ import annotations

import json
from collections.abc import Sequence

from palaestra.envs.vehicle import prompts
from palaestra.envs.vehicle.calls.schemas import api_text
from palaestra.envs.vehicle.car.descriptions import module_list, schema_text
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, MODULES
from palaestra.envs.vehicle.car.views import plain_state, state_text, wrapped_state
from palaestra.envs.vehicle.protocol import Progress, Rules
from palaestra.envs.vehicle.requests.task import CarRequest
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.envs.vehicle.writes.amount_words import amounts_text
from palaestra.types import Json

STATE_TAG, SCHEMA_TAG, FUNCTIONS_TAG = "state", "schema", "functions"


def observation(
    rules: Rules, world: VehicleWorld, requests: Sequence[CarRequest], progress: Progress, visible: Sequence[str]
) -> str:
    """Return the text of the current stage, feedback on the last message aside.

    Args:
        rules: Rules of the episode.
        world: The car.
        requests: Requests of the task.
        progress: Where the episode stands; modules shown are noted in it.
        visible: Modules that there are.
    """
    parts: list[str] = []
    if progress.round:
        left = prompts.count_messages(rules.reflections + 1 - progress.round, rules)
        parts.append(prompts.stage_text("more", messages=left))
    else:
        text = requests[progress.index].text
        parts.append(prompts.request_text(text, progress.index + 1, len(requests), progress.plan))
        if len(visible) < len(MODULES) and progress.stage == rules.first_stage():
            parts.append(prompts.visible_text(visible))
        if progress.feedback:
            parts.append(progress.feedback)  # on the choice of modules
    if progress.stage == "plan":
        parts.append(prompts.stage_text("plan"))
    elif progress.stage == "select":
        parts += _selection(rules, world, visible)
    elif rules.mode == "sfc":
        parts += _transition(rules, world, progress)
    elif rules.mode == "hybrid" and not progress.round:
        parts.append(prompts.stage_text("hybrid"))
        fresh = progress.show(progress.selected)
        if fresh and not rules.native:
            parts.append(prompts.block(FUNCTIONS_TAG, api_text(world.tables, fresh)))
    return "\n\n".join(parts)


def shown_modules(rules: Rules, progress: Progress, visible: Sequence[str]) -> tuple[str, ...] | None:
    """Return the modules whose state is shown at the current stage, None if none is."""
    if progress.stage == "select":
        return (ENVIRONMENT, *visible)
    if progress.stage == "act" and rules.mode == "sfc":
        return (ENVIRONMENT, *progress.selected)
    return None


def state_data(rules: Rules, world: VehicleWorld, modules: Sequence[str]) -> dict[str, Json]:
    """Return the state of modules as data, in the form that the rules ask for."""
    if rules.state_form == "wrapped":
        return wrapped_state(world, modules)
    return plain_state(world, modules, rules.constants)


def _selection(rules: Rules, world: VehicleWorld, visible: Sequence[str]) -> list[str]:
    """Return what the choice of modules is made from."""
    if rules.selection_state == "full":
        text = state_text(world, (ENVIRONMENT, *visible), constants=rules.constants, wrapped=rules.state_form == "wrapped")
        return [prompts.stage_text("select"), prompts.block(STATE_TAG, text)]
    modules = module_list(world.tables)
    lines = [f"{name}: {modules[name]}" for name in visible]
    standard = VehicleWorld(world.profile)
    shown = {ENVIRONMENT, *visible}
    changes = {change.path: change.new for change in standard.difference(world) if change.path.partition(".")[0] in shown}
    text = json.dumps(changes, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return [prompts.stage_text("select_compact"), prompts.block(STATE_TAG, "\n".join([*lines, text]))]


def _transition(rules: Rules, world: VehicleWorld, progress: Progress) -> list[str]:
    """Return what the new state is written from."""
    modules = (ENVIRONMENT, *progress.selected)
    wrapped = rules.state_form == "wrapped"
    parts = [] if progress.round else [prompts.stage_text("sfc")]
    parts.append(prompts.block(STATE_TAG, state_text(world, modules, constants=rules.constants, wrapped=wrapped)))
    fresh = progress.show(modules)
    if fresh and rules.schema and not wrapped:  # the wrapped form describes itself
        schema = schema_text(world.tables, fresh, follows=not world.as_published)
        parts.append(prompts.block(SCHEMA_TAG, f"{schema}\n\n{amounts_text(world.tables, fresh)}"))
    return parts


__all__ = ["STATE_TAG", "observation", "shown_modules", "state_data"]
