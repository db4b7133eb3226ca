"""Reference runs: tasks replayed on the world itself by plain functions, without an environment or a model.

`gold_turn` says what a request is to change; a `Policy` is anything that acts on a world when it gets a request. They are the
yardsticks of the scores: doing nothing, following the gold plan, and following it while vandalising the rest of the car.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.car.call_result import CallResult, Change, Refusal
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, MODULES, PRESETS, SEATS, car_tables
from palaestra.envs.vehicle.published.scoring import Scope
from palaestra.envs.vehicle.requests.task import CarRequest, CarTask
from palaestra.envs.vehicle.strict import TurnVerdict, judge_turn
from palaestra.envs.vehicle.world import Profile, VehicleWorld
from palaestra.errors import UsageError

LOOK = "to_dict"
"""Name of the call that looks at the state of a module; it is no function of the car, but published gold has it."""
_SETTER = "set_"
_DEGREE = "degree"

Policy = Callable[[VehicleWorld, CarTask, CarRequest], None]
"""Acts on a world when it gets a request of a task."""


@dataclass(frozen=True, slots=True)
class GoldTurn:
    """What a request is to change.

    Attributes:
        changes: Leaves that differ after the gold calls, over the whole car.
        results: What each gold call came to.
        degree_paths: Leaves that a gold call moved by a degree word.
    """

    changes: list[Change]
    results: list[CallResult]
    degree_paths: frozenset[str]


def gold_turn(world: VehicleWorld, calls: Sequence[Call]) -> GoldTurn:
    """Carry out the gold calls of a request on a world, and return what they changed.

    Args:
        world: World in the state before the request; it is changed.
        calls: Gold calls in order; refused ones change nothing and the rest goes on.
    """
    state = world.state
    start = state.mark()
    results: list[CallResult] = []
    by_degree: list[str] = []
    for call in calls:
        mark = state.mark()
        results.append(carry_out(world, call))
        if uses_degree(call):
            by_degree += [change.path for change in state.changes_since(mark)]
    return GoldTurn(state.changes_since(start), results, frozenset(by_degree))


def carry_out(world: VehicleWorld, call: Call) -> CallResult:
    """Carry out one gold call.

    Besides functions of the car, published gold looks at a module (`door.to_dict()`), and it has two kinds of steps that no
    agent can take: it puts a module into a preset (`readingLight.init2()`) or sets a shared property
    (`environment.set_language("English")`).
    """
    if call.function == LOOK:
        return CallResult(True)
    if call.module == ENVIRONMENT and call.function.startswith(_SETTER):
        return _stage(
            world, {"op": "env_set", "property": call.function.removeprefix(_SETTER), "value": next(iter(call.args), None)}
        )
    if call.function in PRESETS:
        return _stage(world, {"op": "module_preset", "module": call.module, "preset": call.function, "kwargs": call.kwargs})
    return world.call_with(call.module, call.function, call.args, call.kwargs)


def uses_degree(call: Call) -> bool:
    """Whether a call says an amount by a degree word ("little", "max", ...) instead of a number."""
    place = _degree_place(call.module, call.function)
    if place is None:
        return False
    return call.kwargs.get(_DEGREE, call.args[place] if place < len(call.args) else None) is not None


@cache
def _degree_place(module: str, function: str) -> int | None:
    """Return where in a function's parameters the degree stands; None if it takes none."""
    row = car_tables().modules[module].functions.get(function) if module in MODULES else None
    names = [] if row is None else [param.name for param in row.params]
    return names.index(_DEGREE) if _DEGREE in names else None


def replay(task: CarTask, policy: Policy, profile: Profile = "paper") -> list[TurnVerdict]:
    """Play a task with a policy and return the scores of its turns.

    The reference and the policy each have a car of their own, as in the published evaluation: what the policy did in a turn
    stays for the next.

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
        gold = gold_turn(reference, request.calls)
        policy(world, task, request)
        past = before.before(mark) if gold.changes else before
        made = world.state.changes_since(start)
        verdicts.append(judge_turn(scope, past, gold.changes, made, gold.degree_paths, agent=world.state))
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


def _stage(world: VehicleWorld, step: dict[str, object]) -> CallResult:
    """Carry out a set-up step in the middle of a task."""
    try:
        world.take_step(step)
    except UsageError as error:
        return CallResult(False, error=Refusal("invalid_value", str(error)))
    return CallResult(True)
