from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest

from palaestra.envs.vehicle.calls.targets import Targets
from palaestra.envs.vehicle.car.call_result import CallResult
from palaestra.envs.vehicle.car.tables import MODULES, Function, car_tables
from palaestra.envs.vehicle.world import VehicleWorld
from tests.envs.vehicle.published_data import build, differences, rows, trace_states

pytestmark = pytest.mark.parity

WHOLE = 5000  # rows of the shared data; a smaller part need not hold an example of every exemption

QUIRKS: tuple[tuple[str, str, str], ...] = (
    ("Q1", "radio.radio_play_stop", "stopping works, and fails where nothing plays"),
    ("Q2", "video.video_play_stop", "stopping fails where nothing plays"),
    ("Q6", "frontTrunk.carcontrol_frontTrunk_openDegree_*", "the amount counts in the unit given"),
    ("Q7", "window.carcontrol_window_height_set", "high and low are no longer swapped"),
    ("Q8", "door.carcontrol_carDoor_angle_*crease", "another unit converts what is there"),
    ("Q8", "instrumentPanel.carcontrol_instrumentPanel_brightness_*crease", "another unit converts what is there"),
    ("Q8", "sunshade.carcontrol_sunshade_openDegree_*crease", "another unit converts what is there"),
    ("Q9", "door.carcontrol_carDoor_switch", "a locked door among several leaves all as they were"),
    ("Q13", "radio.radio_play", "a station that is named is played, whatever plays, and known ones are known"),
    ("Q15", "sunroof.carcontrol_sunroof_openDegree_*crease", "a partial move settles"),
    ("Q15", "trunk.carcontrol_trunk_openDegree_*", "a partial move settles"),
    ("Q18", "airConditioner.cool_mode_switch", "the cabin temperature follows at once"),
    ("Q18", "airConditioner.heat_mode_switch", "the cabin temperature follows at once"),
    ("Q18", "airConditioner.switch", "the cabin temperature follows at once"),
    ("Q19", "sunshade.carcontrol_sunshade_switch", "the degree follows the state"),
    ("Q19", "sunshade.carcontrol_sunshade_openDegree_set", "the state follows the degree"),
    ("Q20", "music.music_soundVolume_*crease", "without an amount there is a step"),
)
"""Quirk, functions that it changes, what is different."""

ARGUMENTS = {
    "type": "Q24, Q25: a value of another type",
    "word": "Q10, Q22: an unknown word",
    "place": "2.4: an unknown place, also beside known ones",
    "conflict": "2.8: a value or unit beside a degree word",
    "unpaired": "2.8: a value without unit, or a unit without value",
    "nothing": "2.8: setting without saying what to",
    "outside": "6.2: setting a value outside the limits",
    "negative": "Q27: a negative amount",
}
"""Kinds of arguments that are taken otherwise whatever the function; all but the last are refused."""


@dataclass
class Outcome:
    """What the comparison came to.

    Attributes:
        wrong: Differences that nothing explains, by module.
        kinds: Calls that differ by their arguments, by kind.
        quirks: Calls that differ by a quirk, by quirk and functions.
        agreed: Calls that agree.
    """

    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    kinds: Counter[str] = field(default_factory=Counter)
    quirks: Counter[tuple[str, str]] = field(default_factory=Counter)
    agreed: int = 0


def odd(function: Function, kwargs: Mapping[str, Any], result: CallResult) -> str:
    """Return the kind of arguments that the fixed profile takes otherwise than the published functions, or nothing."""
    given = {name: value for name, value in kwargs.items() if value is not None}
    names = {param.name for param in function.params}
    kinds = {"bool": (bool,), "int": (int,), "number": (int, float), "str": (str,), "targets": (list,), "list[str]": (list,)}
    if any(param.name in given and type(given[param.name]) not in kinds[param.type] for param in function.params):
        return "type"
    targets = Targets.of(function, car_tables().modules[function.module].settings)
    if targets is not None and targets.param in given:
        places = given[targets.param]
        if any(place not in (*targets.places, "all") for place in ([places] if isinstance(places, str) else places)):
            return "place"
    words = {param.name: param.enum for param in function.params if param.enum and param.type == "str"}
    if any(name in given and given[name] not in words[name] for name in words.keys() - {targets and targets.param}):
        return "word"
    if "degree" in given and given.keys() & {"value", "unit"}:
        return "conflict"
    if {"value", "unit"} <= names and ("value" in given) != ("unit" in given):
        return "unpaired"
    if given.get("value", 0) < 0:
        return "negative"
    if function.name.endswith(("_set", "_duration")):
        if not given.keys() & {"value", "unit", "degree"} and "degree" in names:
            return "nothing"
        if result.error is not None and result.error.code == "out_of_range":
            return "outside"
    return ""


@cache
def compared() -> Outcome:
    """Carry out every published call in the fixed profile, from the state that it was published in."""
    outcome = Outcome()
    worlds: dict[str, VehicleWorld] = {}
    for trace in rows("traces.jsonl.gz"):
        if trace["state"] not in worlds:
            worlds[trace["state"]] = build(trace_states()[trace["state"]], "published")
        world = VehicleWorld("fixed", worlds[trace["state"]].state.copy())
        result = world.call_with(trace["module"], trace["api"], (), trace["kwargs"])
        problems = differences(trace["changed"], result)
        if trace["ok"] is not None and result.ok is not trace["ok"]:
            problems.append(f"ok: expected {trace['ok']}, got {result.ok} ({result.error})")
        if problems:
            explain(outcome, trace, result, problems)
        else:
            outcome.agreed += 1
    return outcome


def explain(outcome: Outcome, trace: dict[str, Any], result: CallResult, problems: list[str]) -> None:
    """Count a difference where it belongs."""
    module, name = trace["module"], trace["api"]
    kind = odd(car_tables().function(module, name), trace["kwargs"], result)
    if kind and (kind == "negative" or not result.ok):
        outcome.kinds[kind] += 1
        return
    for quirk, functions, _ in QUIRKS:
        if fnmatchcase(f"{module}.{name}", functions):
            outcome.quirks[quirk, functions] += 1
            return
    outcome.wrong[module].append(f"{trace['id']} {trace['kwargs']}: {'; '.join(problems[:4])}")


@pytest.mark.parametrize("module", MODULES)
def test_the_fixed_car_does_what_the_published_one_does_but_for_quirks(module: str) -> None:
    if not any(trace["module"] == module for trace in rows("traces.jsonl.gz")):
        pytest.skip(f"no traces.jsonl.gz with calls of {module} in the folders named by PALAESTRA_FIXTURES")
    wrong = compared().wrong.get(module, [])
    assert not wrong, f"{len(wrong)} calls differ without a reason:\n" + "\n".join(wrong[:20])


def test_every_exemption_is_needed() -> None:
    if len(rows("traces.jsonl.gz")) < WHOLE:
        pytest.skip(f"fewer than {WHOLE} calls in the folders named by PALAESTRA_FIXTURES")
    outcome = compared()
    print(f"{outcome.agreed} calls agree")
    for kind, reason in ARGUMENTS.items():
        print(f"{outcome.kinds[kind]:5} {kind}: {reason}")
    for quirk, functions, reason in QUIRKS:
        print(f"{outcome.quirks[quirk, functions]:5} {quirk} {functions}: {reason}")
    assert not [kind for kind in ARGUMENTS if not outcome.kinds[kind]]
    assert not [(quirk, functions) for quirk, functions, _ in QUIRKS if not outcome.quirks[quirk, functions]]
    assert set(outcome.kinds) <= set(ARGUMENTS)


def test_every_exemption_names_functions_of_the_car() -> None:
    tables = car_tables()
    names = [f"{module}.{name}" for module in MODULES for name in tables.modules[module].functions]
    for _, functions, _ in QUIRKS:
        assert any(fnmatchcase(name, functions) for name in names), functions
