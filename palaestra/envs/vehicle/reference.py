"""Reference runs: tasks replayed on the world itself by plain functions, without an environment or a model.

A `Policy` is anything that acts on a world when it gets a request. The policies here are the yardsticks of the scores: doing
nothing, following the gold plan, and following it while vandalising the rest of the car.
"""

from __future__ import annotations

from collections.abc import Callable

from palaestra.envs.vehicle.car.car import Profile
from palaestra.envs.vehicle.car.tables import SEATS
from palaestra.envs.vehicle.published.scoring import Scope
from palaestra.envs.vehicle.requests.gold import carry_out, gold_effect
from palaestra.envs.vehicle.requests.task import CarRequest, CarTask
from palaestra.envs.vehicle.strict import RequestVerdict, judge_request
from palaestra.envs.vehicle.world import VehicleWorld

Policy = Callable[[VehicleWorld, CarTask, CarRequest], None]
"""Acts on a world when it gets a request of a task."""


def replay(task: CarTask, policy: Policy, profile: Profile = "published") -> list[RequestVerdict]:
    """Play a task with a policy and return the scores of its requests.

    The reference and the policy each have a car of their own, as in the published evaluation: what the policy did for a
    request stays for the next.

    Args:
        task: The task.
        policy: What acts.
        profile: Profile of both cars.
    """
    reference = VehicleWorld(profile)
    reference.set_up(task.setup)
    world = reference.copy()
    scope = Scope(task.modules)
    verdicts = []
    for request in task.requests:
        before, mark, start = reference.state, reference.state.mark(), world.state.mark()
        gold = gold_effect(reference, request.calls)
        policy(world, task, request)
        past = before.before(mark) if gold.changes else before
        made = world.state.changes_since(start)
        verdicts.append(judge_request(scope, past, gold.changes, made, gold.degree_paths, agent=world.state))
    return verdicts


def do_nothing(world: VehicleWorld, task: CarTask, request: CarRequest) -> None:
    """Leave the car as it is."""


def follow_gold(world: VehicleWorld, task: CarTask, request: CarRequest) -> None:
    """Carry out the gold calls."""
    for call in request.calls:
        carry_out(world, call)


def vandalise(world: VehicleWorld, task: CarTask, request: CarRequest) -> None:
    """Carry out the gold calls, then open every door and window where the published scores do not look."""
    follow_gold(world, task, request)
    if "door" not in task.modules:
        world.call("door", "carcontrol_carDoor_lock_switch", False, list(SEATS))
        world.call("door", "carcontrol_carDoor_switch", "open", list(SEATS))
    if "window" not in task.modules:
        world.call("window", "carcontrol_window_switch", list(SEATS), True)
