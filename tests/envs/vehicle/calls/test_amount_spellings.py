"""Profile `published`: every function that takes an amount, in every unit, the amount given as a number and as a text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.vehicle.car.call_result import CallResult
from palaestra.envs.vehicle.car.tables import MODULES, SEATS
from palaestra.envs.vehicle.world import VehicleWorld

SPOKEN: dict[str, Any] = {
    "HUD.is_on": True,
    "steeringWheel.is_heater_on": True,
    "overheadScreen.state": "open",
    "trunk.is_locked": False,
    "trunk.state": "open",
    "frontTrunk.is_locked": False,
    "frontTrunk.state": "open",
    "wiper.front_wiper.is_on": True,
}
"""What has to be so for the functions to do anything."""
LEVELS = {"heater": "temperature_level", "massager": "intensity_level", "ventilation": "airflow_level"}

SEAT_PARTS = ("_", "Cushion_", "Backrest_", "LegRest_", "FeetRest_", "HeadRest_")
TAKES: dict[str, dict[str, Any]] = {
    "carcontrol_carSeat_heater_set": {"gear": int, "celsius": str},  # degrees are stored as they were said
    **{f"carcontrol_carSeat{part}": {"gear": int} for part in SEAT_PARTS},
    "wind_speed_increase": {"level": int},
    "wind_speed_decrease": {"level": int},
    "carcontrol_sunroof_openDegree_increase": {"gear": int},
    "carcontrol_sunroof_openDegree_decrease": {"gear": int},
    "carcontrol_sunroof_openDegree_set": {"gear": int, "centimeter": float},
    "carcontrol_trunk_openDegree_increase": {"gear": int},
    "carcontrol_trunk_openDegree_decrease": {"gear": int},
    "carcontrol_HUD_brightness_set": {"level": int, "percentage": float, "Nits": float},
    "carcontrol_HUD_height_set": {"level": int, "percentage": float, "centimeter": float},
}
"""Beginnings of functions, and the units whose texts the published code turns into numbers; all others it refuses."""


def car() -> VehicleWorld:
    world = VehicleWorld("published")
    for path, value in SPOKEN.items():
        world.state.set(path, value)
    for seat in SEATS:
        world.state.set(f"airConditioner.ac_states.{seat}.is_on", True)
        world.state.set(f"readingLight.{seat}.is_on", True)
        for name, level in LEVELS.items():
            world.state.set(f"seat.{seat}.{name}.is_on", True)
            world.state.set(f"seat.{seat}.{name}.{level}", 5)
    world.state.forget()
    return world


CAR = car()
CASES = [
    (module, function.name, unit)
    for module in MODULES
    for function in CAR.tables.modules[module].functions.values()
    for params in [{param.name: param for param in function.params}]
    if "value" in params
    for unit in (params["unit"].enum if "unit" in params else [""])
]


def call(module: str, function: str, value: Any, unit: str = "", world: VehicleWorld | None = None) -> CallResult:
    rest: dict[str, Any] = {"unit": unit} if unit else {}
    params = {param.name for param in CAR.tables.modules[module].functions[function].params if param.required}
    if "position" in params:
        rest["position"] = ["driver's seat"]
    if "mode" in params:
        rest["mode"] = "Zoom in"
    return (world or CAR.copy()).call_with(module, function, (), {**rest, "value": value})


def moved(result: CallResult) -> dict[str, Any]:
    return {change.path: change.new for change in result.changes}


def reads(function: str, unit: str) -> Any:
    return next((units.get(unit) for name, units in TAKES.items() if function.startswith(name)), None)


def test_all_functions_with_an_amount_are_compared() -> None:
    assert len({(module, function) for module, function, _ in CASES}) > 80
    for name in TAKES:
        assert any(function.startswith(name) for _, function, _ in CASES), name


@pytest.mark.parametrize(("module", "function", "unit"), CASES)
def test_a_number_given_as_text_counts_as_the_number_or_is_refused(module: str, function: str, unit: str) -> None:
    read = reads(function, unit)
    for text in ("3", "2.5", "-1", " 1 ", "1e1", "three", ""):
        result = call(module, function, text, unit)
        try:
            number = None if read is None else read(text)
        except ValueError:
            number = None
        if number is None:
            assert not result.ok, (text, result.changes)
            continue
        same = call(module, function, number, unit)
        assert result.ok == same.ok, text
        # seats keep the amount itself as it was said
        assert {path: number if new == text else new for path, new in moved(result).items()} == moved(same), text


# -- what a refused text leaves behind ----------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["increase", "decrease", "set"])
def test_a_wiper_has_its_new_unit_when_a_text_is_refused(action: str) -> None:
    world = CAR.copy()
    world.state.set("wiper.front_wiper.speed_setting.value", 2)
    world.state.forget()
    result = call("wiper", f"carcontrol_wiperBlade_speed_{action}", "3", "percentage", world)
    assert moved(result) == {
        "wiper.front_wiper.speed_setting.unit": "percentage",
        "wiper.front_wiper.speed_setting.value": 25,  # gear 2 of 1 to 5
    }


@pytest.mark.parametrize("action", ["increase", "decrease", "set"])
def test_the_steering_wheel_keeps_the_unit_of_a_refused_text(action: str) -> None:
    result = call("steeringWheel", f"carcontrol_steeringWheel_heater_{action}", "3", "celsius")
    assert moved(result) == {"steeringWheel.current_unit": "celsius"}


def test_a_reading_light_has_its_new_unit_when_a_text_is_refused() -> None:
    world = CAR.copy()
    world.state.set("readingLight.driver's seat.brightness_value", 60)
    world.state.forget()
    result = call("readingLight", "carcontrol_readingLight_brightness_set", "3", "Nits", world)
    assert not result.ok
    place = "readingLight.driver's seat"
    assert moved(result) == {f"{place}.brightness_unit": "Nits", f"{place}.brightness_value": 300}


# -- the published arithmetic, to the last digit --------------------------------------------------------------------------

amounts = st.floats(0, 20).map(lambda number: round(number, 2))
ordinary = settings(max_examples=60, deadline=None)


@ordinary
@given(amounts)
def test_centimetres_of_a_window_are_divided_first(value: float) -> None:
    path = "window.window_states.driver's seat.open_degree"
    opened = moved(call("window", "carcontrol_window_height_decrease", value, "centimeter"))
    assert opened.get(path, 0) == value / 20 * 100
    placed = moved(call("window", "carcontrol_window_height_set", value, "centimeter"))
    assert placed.get(path, 0) == 100 - value / 20 * 100


@ordinary
@given(amounts)
def test_centimetres_of_the_trunk_stay_as_they_were_said(value: float) -> None:
    got = moved(call("trunk", "carcontrol_trunk_openDegree_set", value, "centimeter"))
    percent = value / 100 * 100
    assert got.get("trunk.current_open_degree_cm", 0) == value
    assert got.get("trunk.current_open_degree_percentage", 0) == percent
    assert got.get("trunk.current_open_degree_gear", 0) == int(percent / 10)


@ordinary
@given(amounts)
def test_centimetres_of_the_sunroof_come_back_from_its_percentage(value: float) -> None:
    got = moved(call("sunroof", "carcontrol_sunroof_openDegree_set", value, "centimeter"))
    percent = value / 50 * 100
    assert got.get("sunroof.open_degree_percentage", 0) == percent
    assert got.get("sunroof.open_degree_centimeter", 0) == percent / 100 * 50
    assert got.get("sunroof.open_degree_gear", 0) == int(percent / 100 * 10)


@pytest.mark.parametrize(("value", "taken"), [(10.5, False), (-0.5, False), (10, True), (9.9, True), (0.5, True), (11, False)])
def test_the_trunk_looks_at_the_whole_number_of_gears_it_was_told(value: float, taken: bool) -> None:
    result = call("trunk", "carcontrol_trunk_openDegree_set", value, "gear")
    assert result.ok is taken
    assert moved(result).get("trunk.current_open_degree_gear", 0) == (int(value) if taken else 0)


@ordinary
@given(st.floats(-2, 8).map(lambda number: round(number, 1)))
def test_the_overhead_screen_cuts_the_sum_of_its_gears(value: float) -> None:
    for action, sign in (("increase", 1), ("decrease", -1)):
        got = moved(call("overheadScreen", f"carcontrol_overheadScreen_brightness_{action}", value, "gear"))
        gear = max(0, min(5, int(3 + sign * value)))  # gear 3 goes with the 50 percent of the start
        assert got.get("overheadScreen.brightness_gear", 3) == gear
        assert got.get("overheadScreen.brightness_percentage", 50) == gear / 5 * 100


@ordinary
@given(st.floats(1, 10).map(lambda number: round(number, 1)))
def test_the_hud_takes_whole_levels_to_set_and_parts_of_them_to_move(value: float) -> None:
    got = moved(call("HUD", "carcontrol_HUD_height_set", value, "level"))
    assert got.get("HUD.height.level", 5) == int(value)
    assert got.get("HUD.height.percentage", 50) == (int(value) - 1) / 9 * 100
    got = moved(call("HUD", "carcontrol_HUD_height_increase", value, "level"))
    level = min(10, 5 + value)
    assert got["HUD.height.level"] == level
    assert got["HUD.height.centimeter"] == (level - 1) / 9 * 20


@ordinary
@given(st.floats(0, 100).map(lambda number: round(number, 1)))
def test_percentages_and_levels_of_the_air_conditioner_are_multiplied_as_published(value: float) -> None:
    world = CAR.copy()
    path = "airConditioner.ac_states.driver's seat."
    start, wind = world.state.values[path + "temperature"], world.state.values[path + "wind_speed"]
    got = moved(call("airConditioner", "temperature_increase", value, "percentage"))
    assert got.get(path + "temperature", start) == min(30, start + value / 100 * 16)  # type: ignore[operator]
    got = moved(call("airConditioner", "temperature_set", value, "percentage"))
    assert got.get(path + "temperature", start) == 14 + value / 100 * 16
    level = round(value / 10, 1)
    got = moved(call("airConditioner", "temperature_set", level, "level"))
    assert got.get(path + "temperature", start) == 14 + min(6, max(0, level - 1)) * (16 / 6)
    got = moved(call("airConditioner", "wind_speed_set", value, "percentage"))
    assert got.get(path + "wind_speed", wind) == int(1 + value / 100 * 6)
