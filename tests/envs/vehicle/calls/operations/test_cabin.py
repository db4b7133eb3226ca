from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.vehicle.car.call_result import CallResult
from palaestra.envs.vehicle.car.car import PROFILES, Profile
from palaestra.envs.vehicle.car.derived import contradictions
from palaestra.envs.vehicle.car.tables import SEATS, Function, Param, car_tables
from palaestra.envs.vehicle.world import VehicleWorld

CABIN = ("seat", "airConditioner", "door", "window", "footPedal", "readingLight")
DRIVER, PASSENGER = SEATS[:2]
FUNCTIONS = [function for name in CABIN for function in car_tables().modules[name].functions.values()]
WITH_PLACES = [f for f in FUNCTIONS if any(param.type == "targets" for param in f.params)]
AMOUNTS = [f for f in FUNCTIONS if any(param.name == "degree" for param in f.params)]
SETS = [f for f in AMOUNTS if f["direction"] == "set"]
MOVES = [f for f in AMOUNTS if f["direction"] != "set"]
SWITCHES = [f for f in FUNCTIONS if any(param.type == "bool" for param in f.params)]
WORDS = [f for f in FUNCTIONS for p in f.params if p.enum and p.name not in ("unit", "degree")]


def car(profile: Profile = "fixed", *, climate: bool = True) -> VehicleWorld:
    world = VehicleWorld(profile)
    if climate:
        for seat in SEATS:
            world.state.set(f"airConditioner.ac_states.{seat}.is_on", True)
        world.state.forget()
    return world


def words(function: Function, **given: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for param in function.params:
        if param.type == "bool":
            arguments[param.name] = True
        elif param.type == "targets" and param.required:
            arguments[param.name] = [DRIVER]
        elif param.enum and param.name not in ("unit", "degree"):
            arguments[param.name] = param.enum[0]
    return {**arguments, **given}


def call(world: VehicleWorld, function: Function, **arguments: Any) -> CallResult:
    return world.call_with(function.module, function.name, (), words(function, **arguments))


def code(result: CallResult) -> str:
    return result.error.code if result.error else "ok"


def values(world: VehicleWorld, path: str, seat: str = DRIVER) -> Any:
    return world.state.values[path.replace("{seat}", seat)]


def named(functions: list[Function]) -> Any:
    return pytest.mark.parametrize("function", functions, ids=[f"{f.module}.{f.name}" for f in functions])


# -- what holds for all of them ----------------------------------------------------------------------------------------


@named(FUNCTIONS)
def test_every_function_works_and_explains_itself(function: Function) -> None:
    extra = {"degree": next(p for p in function.params if p.name == "degree").enum[1]} if function in AMOUNTS else {}
    for profile in PROFILES:
        result = call(car(profile), function, **extra)
        assert result.ok, result.error
        assert result.data
    assert len(function.doc) > 20
    assert "_" not in function.doc


@named(WITH_PLACES)
def test_an_unknown_place_is_refused_and_changes_nothing(function: Function) -> None:
    world = car()
    before = world.copy()
    result = call(world, function, position=[DRIVER, "roof"], **({"degree": "max"} if function in SETS else {}))
    assert code(result) == "unknown_target"
    assert not result.changes
    assert world == before


@named(WITH_PLACES)
def test_one_place_as_a_text_is_a_list_of_one(function: Function) -> None:
    extra = {"degree": next(p for p in function.params if p.name == "degree").enum[0]} if function in AMOUNTS else {}
    as_text, as_list = car(), car()
    assert call(as_text, function, position=PASSENGER, **extra).ok
    assert call(as_list, function, position=[PASSENGER], **extra).ok
    assert as_text == as_list


@named(SWITCHES)
@pytest.mark.parametrize("switch", ["yes", 1, 0, "true", [True]])
def test_a_switch_that_is_no_boolean_is_refused(function: Function, switch: Any) -> None:
    world = car()
    result = call(world, function, switch=switch)
    assert code(result) == "invalid_type"
    assert world == car()


@named(WORDS)
def test_a_word_that_is_not_listed_is_refused(function: Function) -> None:
    name = next(p.name for p in function.params if p.enum and p.name not in ("unit", "degree"))
    world = car()
    result = call(world, function, **{name: "upside down"})
    assert code(result) == "invalid_value"
    assert result.error
    assert result.error.param == name
    assert world == car()


@named(AMOUNTS)
def test_amounts_are_said_in_one_way(function: Function) -> None:
    params = {param.name: param for param in function.params}
    unit, degree = params["unit"].enum[0], params["degree"].enum[0]
    wrong = {
        "missing_argument": [{"value": 2}, {"unit": unit}],
        "conflicting_arguments": [{"value": 2, "unit": unit, "degree": degree}, {"value": 2, "degree": degree}],
        "invalid_type": [{"value": text, "unit": unit} for text in ("2", True, float("nan"), float("inf"), 10**400)],
        "invalid_value": [{"value": 2, "unit": "furlong"}, {"degree": "a bit"}],
    }
    for expected, cases in wrong.items():
        for case in cases:
            world = car()
            assert code(call(world, function, **case)) == expected, case
            assert world == car()


@named(SETS)
def test_set_refuses_what_lies_outside_the_limits(function: Function) -> None:
    unit = next(param for param in function.params if param.name == "unit").enum
    for name in unit:
        for value in (-1, 5000):
            if name == "celsius" and value == 5000 and function.module == "seat":
                continue  # the target temperature of a seat has no upper limit
            world = car()
            assert code(call(world, function, value=value, unit=name)) == "out_of_range", (value, name)
            assert world == car()


@named([f for f in SETS if f.module != "airConditioner"])
def test_set_needs_an_amount(function: Function) -> None:
    world = car()
    assert code(call(world, function)) == "missing_argument"
    assert world == car()


@named([f for f in MOVES if f.module in ("seat", "window")])
def test_set_words_in_up_and_down_are_refused_in_fixed_only(function: Function) -> None:
    assert code(call(car(), function, degree="medium")) == "invalid_value"
    assert call(car("published"), function, degree="medium").ok


# -- seats -------------------------------------------------------------------------------------------------------------


def test_seat_levels_switch_on_and_off_as_they_move() -> None:
    world = car()
    level, power = "seat.{seat}.heater.temperature_level", "seat.{seat}.heater.is_on"
    assert world.call("seat", "carcontrol_carSeat_heater_decrease").ok
    assert not world.state.log
    world.call("seat", "carcontrol_carSeat_heater_increase", degree="large")
    assert (values(world, level), values(world, power)) == (4, True)
    world.call("seat", "carcontrol_carSeat_heater_decrease", value=30, unit="percentage")
    assert (values(world, level), values(world, power)) == (2, True)
    world.call("seat", "carcontrol_carSeat_heater_decrease", degree="tiny")
    assert (values(world, level), values(world, power)) == (1, True)
    world.call("seat", "carcontrol_carSeat_heater_decrease")
    assert (values(world, level), values(world, power)) == (1, False)


def test_celsius_moves_the_target_temperature_of_the_heater_only() -> None:
    world = car()
    world.call("seat", "carcontrol_carSeat_heater_set", value=30, unit="celsius")
    world.call("seat", "carcontrol_carSeat_heater_decrease", value=4.5, unit="celsius")
    assert values(world, "seat.{seat}.heater.temperature_value") == 25.5
    assert values(world, "seat.{seat}.heater.temperature_level") == 1
    assert code(world.call("seat", "carcontrol_carSeat_massager_set", value=30, unit="celsius")) == "invalid_value"


def test_the_ventilation_remembers_every_number_and_the_massage_those_of_set() -> None:
    world = car()
    for part in ("ventilation", "massager"):
        world.call("seat", f"carcontrol_carSeat_{part}_increase", value=2, unit="gear")
    assert values(world, "seat.{seat}.ventilation.airflow_value") == 2
    assert values(world, "seat.{seat}.massager.intensity_value") == 0
    world.call("seat", "carcontrol_carSeat_massager_set", value=60, unit="percentage")
    assert values(world, "seat.{seat}.massager.intensity_value") == 60
    assert values(world, "seat.{seat}.massager.intensity_unit") == "percentage"
    assert values(world, "seat.{seat}.massager.intensity_level") == 3


def test_the_lowest_ventilation_is_off_and_the_lowest_heating_is_on() -> None:
    world = car()
    for part in ("ventilation", "heater"):
        world.call("seat", f"carcontrol_carSeat_{part}_set", degree="min")
    assert not values(world, "seat.{seat}.ventilation.is_on")
    assert values(world, "seat.{seat}.heater.is_on")


def test_negative_steps_stop_at_the_limits_in_fixed_and_are_not_stored_in_published() -> None:
    for profile, level, height in (("fixed", 1, 0), ("published", 3, 50)):
        world = car(profile)  # type: ignore[arg-type]
        world.call("seat", "carcontrol_carSeat_heater_set", degree="medium")
        world.call("seat", "carcontrol_carSeat_heater_increase", value=-9, unit="gear")
        world.call("seat", "carcontrol_carSeat_height_increase", value=-90, unit="percentage")
        assert values(world, "seat.{seat}.heater.temperature_level") == level
        assert values(world, "seat.{seat}.position.vertical_position") == height


@pytest.mark.parametrize(
    ("unit", "value", "expected"), [("gear", 4, 75), ("percentage", 12.5, 12.5), ("centimeter", 10, 33.3)]
)
def test_positions_are_set_in_their_units(unit: str, value: float, expected: float) -> None:
    world = car()
    world.call("seat", "carcontrol_carSeat_height_set", value=value, unit=unit)
    assert values(world, "seat.{seat}.position.vertical_position") == pytest.approx(expected)


def test_forward_lowers_and_backward_raises_the_position() -> None:
    world = car()
    world.call("seat", "carcontrol_carSeat_horizontal_forward", value=1, unit="gear")
    assert values(world, "seat.{seat}.position.horizontal_position") == 30
    world.call("seat", "carcontrol_carSeat_horizontal_backward", value=100, unit="percentage")
    assert values(world, "seat.{seat}.position.horizontal_position") == 100


def test_a_massage_mode_stops_only_where_it_runs() -> None:
    world = car()
    world.call("seat", "carcontrol_carSeat_massager_mode", True, "waist", [DRIVER])
    world.call("seat", "carcontrol_carSeat_massager_mode", True, "snake", [PASSENGER])
    world.call("seat", "carcontrol_carSeat_massager_mode", False, "waist", ["all"])
    mode, power = "seat.{seat}.massager.active_mode", "seat.{seat}.massager.is_on"
    assert (values(world, mode), values(world, power)) == (None, False)
    assert (values(world, mode, PASSENGER), values(world, power, PASSENGER)) == ("snake", True)


def test_seats_fold_and_greet() -> None:
    world = car()
    world.call("seat", "carcontrol_carSeat_switch", "close", [PASSENGER])
    world.call("seat", "carcontrol_carSeat_switch", "pause", ["all"])
    assert [values(world, "seat.{seat}.position.is_folded", seat) for seat in SEATS] == [
        False,
        True,
        False,
        False,
        False,
        False,
    ]
    assert len(world.call("seat", "carcontrol_carSeat_greetGuestMode", True).changes) == len(SEATS)
    assert world.call("seat", "carcontrol_carSeat_greetGuestMode", False, []).changes == []


# -- air conditioner ---------------------------------------------------------------------------------------------------


@named([f for f in FUNCTIONS if f.module == "airConditioner" and f.name not in ("switch", "view_switch", "child_safety_lock")])
@pytest.mark.parametrize("profile", PROFILES)
def test_climate_needs_a_unit_that_is_on(function: Function, profile: Profile) -> None:
    world = car(profile, climate=False)
    result = call(world, function)
    assert code(result) == "precondition_failed"
    assert not result.changes


@pytest.mark.parametrize(
    "name", ["temperature_set", "wind_speed_set", "outlet_direction_switch", "sweeping_mode", "outlet_mode"]
)
def test_units_that_are_off_are_left_alone(name: str) -> None:
    world = car(climate=False)
    world.call("airConditioner", "switch", [PASSENGER], True)
    function = car_tables().function("airConditioner", name)
    result = call(world, function, position=["all"], **({"degree": "max"} if name.endswith("_set") else {}))
    seats = [path.partition("ac_states.")[2] for path in (change.path for change in result.changes) if "ac_states" in path]
    assert seats
    assert all(path.startswith(PASSENGER) for path in seats)


def test_the_cabin_follows_the_coldest_unit_when_cooling_and_the_warmest_when_heating() -> None:
    for profile in PROFILES:
        world = car(profile)
        world.call("airConditioner", "temperature_set", [DRIVER], 20, "celsius")
        assert values(world, "environment.temperature") == 20
        world.call("airConditioner", "cool_mode_switch", True)
        world.call("airConditioner", "temperature_set", [PASSENGER], 28, "celsius")
        assert values(world, "environment.temperature") == 20
        world.call("airConditioner", "heat_mode_switch", True)
        world.call("airConditioner", "temperature_decrease", [DRIVER])
        assert values(world, "environment.temperature") == 28
        assert not values(world, "airConditioner.cool_mode")
        assert values(world, "airConditioner.heat_mode")


def test_the_cabin_follows_power_and_mode_changes_in_fixed_only() -> None:
    for profile, cooled, alone in (("fixed", 16, 25), ("published", 28, 28)):
        world = car(profile)  # type: ignore[arg-type]
        world.call("airConditioner", "temperature_set", [DRIVER], 16, "celsius")
        world.call("airConditioner", "temperature_set", [PASSENGER], 28, "celsius")
        world.call("airConditioner", "cool_mode_switch", True)
        assert values(world, "environment.temperature") == cooled
        world.call("airConditioner", "switch", [DRIVER], False)
        assert values(world, "environment.temperature") == alone
        world.call("airConditioner", "cool_mode_switch", False)
        assert values(world, "environment.temperature") == alone


def test_temperature_and_wind_have_defaults_levels_and_percentages() -> None:
    world = car()
    temperature, wind = "airConditioner.ac_states.{seat}.temperature", "airConditioner.ac_states.{seat}.wind_speed"
    world.call("airConditioner", "temperature_set", [])
    world.call("airConditioner", "wind_speed_set", [])
    assert (values(world, temperature), values(world, wind)) == (22, 4)
    world.call("airConditioner", "temperature_set", [], 7, "level")
    world.call("airConditioner", "wind_speed_set", [], 50, "percentage")
    assert (values(world, temperature), values(world, wind)) == (30, 4)
    world.call("airConditioner", "temperature_decrease", [], 50, "percentage")
    world.call("airConditioner", "wind_speed_increase", [], 30, "percentage")
    assert (values(world, temperature), values(world, wind)) == (22, 6)


def test_unknown_climate_words_are_kept_by_the_published_car() -> None:
    world = car("published")
    world.call("airConditioner", "recycle_mode_switch", "sideways")
    world.call("airConditioner", "sweeping_mode", True, "wildly", [DRIVER])
    assert world.call("airConditioner", "outlet_mode", True, "nose", [DRIVER]).changes == []
    assert values(world, "airConditioner.circulation_mode") == "sideways"
    assert values(world, "airConditioner.ac_states.{seat}.sweeping_mode") == "wildly"


def test_outlets_change_each_and_together_and_results_keep_what_they_told() -> None:
    world = car()
    first = world.call("airConditioner", "outlet_mode", True, "all", [DRIVER])
    told = [change.to_json() for change in first.changes]
    world.call("airConditioner", "outlet_mode", False, "feet", [DRIVER])
    assert [change.to_json() for change in first.changes] == told
    assert len(told) == 7
    assert not values(world, "airConditioner.ac_states.{seat}.outlet_modes.feet")
    assert not values(world, "airConditioner.ac_states.{seat}.outlet_modes.all")


def test_sweeping_ends_with_the_switch() -> None:
    world = car()
    world.call("airConditioner", "sweeping_mode", True, "Smart Flow", [DRIVER])
    assert values(world, "airConditioner.ac_states.{seat}.sweeping_mode") == "Smart Flow"
    world.call("airConditioner", "sweeping_mode", False, "Smart Flow", [DRIVER])
    assert values(world, "airConditioner.ac_states.{seat}.sweeping_mode") is None


# -- doors and windows -------------------------------------------------------------------------------------------------


def test_a_locked_door_stops_opening_and_undoes_it_in_fixed() -> None:
    for profile, opened in (("fixed", 0), ("published", 1)):
        world = car(profile)  # type: ignore[arg-type]
        world.call("door", "carcontrol_carDoor_lock_switch", True, [PASSENGER])
        result = world.call("door", "carcontrol_carDoor_switch", "open", ["all"])
        assert code(result) == "precondition_failed"
        assert sum(values(world, "door.doors.{seat}.status", seat) == "open" for seat in SEATS) == opened
        assert world.call("door", "carcontrol_carDoor_switch", "close", ["all"]).ok


def test_a_change_of_unit_converts_the_doors_angle_in_fixed_only() -> None:
    for profile, expected in (("fixed", 45), ("published", 55)):
        world = car(profile)  # type: ignore[arg-type]
        world.call("door", "carcontrol_carDoor_angle_set", value=50, unit="percentage")
        world.call("door", "carcontrol_carDoor_angle_increase", value=5, unit="centimeter")
        assert values(world, "door.doors.{seat}.angle") == expected
        assert values(world, "door.doors.{seat}.angle_unit") == "centimeter"


def test_a_door_is_open_as_long_as_its_angle_is_above_zero() -> None:
    world = car()
    assert world.call("door", "carcontrol_carDoor_angle_increase", degree="tiny").ok
    assert (values(world, "door.doors.{seat}.angle"), values(world, "door.doors.{seat}.status")) == (10, "open")
    world.call("door", "carcontrol_carDoor_angle_decrease", degree="large")
    assert (values(world, "door.doors.{seat}.angle"), values(world, "door.doors.{seat}.status")) == (0, "closed")
    world.call("door", "carcontrol_carDoor_angle_set", value=0, unit="gear")
    world.call("door", "carcontrol_carDoor_switch", "open")
    assert (values(world, "door.doors.{seat}.angle"), values(world, "door.doors.{seat}.angle_unit")) == (5, "gear")


@pytest.mark.parametrize(
    ("profile", "expected"), [("fixed", [0, 25, 50, 75, 100]), ("published", [0, 75, 50, 25, 100])], ids=["fixed", "published"]
)
def test_a_high_window_pane_is_nearly_shut_in_fixed_only(profile: Profile, expected: list[int]) -> None:
    world = car(profile)
    opened = []
    for degree in ("max", "high", "medium", "low", "min"):
        assert world.call("window", "carcontrol_window_height_set", [DRIVER], degree=degree).ok
        opened.append(values(world, "window.window_states.{seat}.open_degree"))
        assert values(world, "window.window_states.{seat}.is_open") is (opened[-1] > 0)
    assert opened == expected


def test_the_pane_goes_up_and_the_window_closes() -> None:
    world = car()
    degree = "window.window_states.{seat}.open_degree"
    world.call("window", "carcontrol_window_height_decrease", [DRIVER], 2, "gear")
    assert values(world, degree) == 50
    world.call("window", "carcontrol_window_height_increase", [DRIVER], 3, "centimeter")
    assert values(world, degree) == 35
    world.call("window", "carcontrol_window_switch", [DRIVER], True)
    assert values(world, degree) == 35
    world.call("window", "carcontrol_window_switch", ["all"], False)
    assert values(world, degree) == 0
    assert not values(world, "window.window_states.{seat}.is_open")
    assert world.call("window", "carcontrol_window_switch", None, True).ok
    assert values(world, degree) == 10
    assert values(car("published"), degree) == 0
    assert car("published").call("window", "carcontrol_window_switch", None, True).changes


# -- pedals and reading lights -----------------------------------------------------------------------------------------


def test_pedals_apply_until_an_unknown_place_in_published_and_not_at_all_in_fixed() -> None:
    for profile, applied in (("fixed", False), ("published", True)):
        world = car(profile)  # type: ignore[arg-type]
        result = world.call("footPedal", "carcontrol_pedals_switch", True, [PASSENGER, SEATS[3]])
        assert not result.ok
        assert values(world, "footPedal.pedals.{seat}.state", PASSENGER) is applied


def test_pedals_of_a_speaker_in_the_back_are_the_drivers() -> None:
    world = car()
    world.state.set("environment.speaker", SEATS[3])
    assert [change.path for change in world.call("footPedal", "carcontrol_pedals_switch", True).changes] == [
        f"footPedal.pedals.{DRIVER}.state"
    ]


def test_a_dark_reading_light_gets_four_steps_of_its_unit() -> None:
    world = car()
    for unit, expected in (("gear", 4), ("percentage", 40), ("Nits", 200)):
        world.call("readingLight", "carcontrol_readingLight_brightness_set", [DRIVER], 0, unit)
        world.call("readingLight", "carcontrol_readingLight_switch", [DRIVER], True)
        assert values(world, "readingLight.{seat}.brightness_value") == expected
        world.call("readingLight", "carcontrol_readingLight_switch", [DRIVER])
        assert values(world, "readingLight.{seat}.brightness_value") == 0


def test_brightness_is_moved_in_the_lights_own_unit() -> None:
    world = car()
    value, unit = "readingLight.{seat}.brightness_value", "readingLight.{seat}.brightness_unit"
    world.call("readingLight", "carcontrol_readingLight_brightness_set", [DRIVER], 2, "gear")
    world.call("readingLight", "carcontrol_readingLight_brightness_increase", [DRIVER], 100, "Nits")
    assert (values(world, value), values(world, unit)) == (3, "gear")
    world.call("readingLight", "carcontrol_readingLight_brightness_decrease", [DRIVER], degree="large")
    assert values(world, value) == pytest.approx(1.5)
    world.call("readingLight", "carcontrol_readingLight_brightness_increase", [DRIVER], 900, "percentage")
    assert values(world, value) == 5


def test_dimming_leaves_lights_alone_that_are_off_and_says_so() -> None:
    world = car()
    world.call("readingLight", "carcontrol_readingLight_switch", [DRIVER], True)
    result = world.call("readingLight", "carcontrol_readingLight_brightness_decrease", [DRIVER, PASSENGER])
    assert result.data
    assert [light["changed"] for light in result.data["lights"].values()] == [True, False]
    assert [change.path for change in result.changes] == [f"readingLight.{DRIVER}.brightness_value"]


def test_a_refused_brightness_leaves_the_light_off_in_fixed_only() -> None:
    for profile, on in (("fixed", False), ("published", True)):
        world = car(profile)  # type: ignore[arg-type]
        assert not world.call("readingLight", "carcontrol_readingLight_brightness_set", [DRIVER]).ok
        assert values(world, "readingLight.{seat}.is_on") is on


def test_the_automatic_mode_of_reading_lights_is_part_of_the_state() -> None:
    world = car()
    result = world.call("readingLight", "carcontrol_readingLight_mode_auto", True)
    assert [change.path for change in result.changes] == ["readingLight.auto_mode"]
    assert VehicleWorld.from_json(world.to_json()).state.values["readingLight.auto_mode"] is True


# -- properties --------------------------------------------------------------------------------------------------------

NUMBERS = st.one_of(st.integers(-200, 600), st.floats(-200, 600), st.sampled_from([0, 1, 5, 100, -1, 1e308, float("nan")]))
NOISE = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text(max_size=5), st.lists(st.text(max_size=3), max_size=2))


def argument(param: Param) -> st.SearchStrategy[Any]:
    if param.type == "bool":
        sound: st.SearchStrategy[Any] = st.booleans()
    elif param.type == "targets":
        sound = st.lists(st.sampled_from([*SEATS, "all"]), max_size=3)
    elif param.type == "number":
        sound = NUMBERS
    else:
        sound = st.sampled_from(param.enum)
    return st.one_of(sound, sound, sound, sound, NOISE)


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    function = draw(st.sampled_from(FUNCTIONS))
    names = [param for param in function.params if param.required or draw(st.booleans())]
    return function.module, function.name, {param.name: draw(argument(param)) for param in names}


def assert_sound(world: VehicleWorld) -> None:
    assert contradictions(world.state, world.tables) == []
    rows = world.tables.properties
    for path, value in world.state.values.items():
        row = rows.get(path)
        if row is None or row.module not in CABIN:
            continue
        if row.type == "bool":
            assert type(value) is bool, path
        elif row.enum:
            assert value in row.enum or (value is None and row.nullable), path
        elif row.type in ("int", "float"):
            assert type(value) is int or (type(value) is float and row.type == "float"), (path, value)
            if row.low is not None and row.high is not None:
                assert row.low <= value <= row.high, (path, value)
    for seat in SEATS:
        for number, unit in (
            ("door.doors.{seat}.angle", "angle_unit"),
            ("readingLight.{seat}.brightness_value", "brightness_unit"),
        ):
            low, high = rows[number.replace("{seat}", seat)].ranges[values(world, number.rsplit(".", 1)[0] + f".{unit}", seat)]
            assert low <= values(world, number, seat) <= high
        assert values(world, "window.window_states.{seat}.is_open", seat) is (
            values(world, "window.window_states.{seat}.open_degree", seat) > 0
        )
        assert (values(world, "door.doors.{seat}.status", seat) == "open") is (
            values(world, "door.doors.{seat}.angle", seat) > 0
        )


@settings(max_examples=60, deadline=None)
@given(st.lists(calls(), min_size=1, max_size=12), st.sampled_from(SEATS))
def test_any_calls_leave_a_sound_car_and_failed_ones_change_nothing(
    plan: list[tuple[str, str, dict[str, Any]]], speaker: str
) -> None:
    world = car()
    world.state.set("environment.speaker", speaker)
    for module, function, arguments in plan:
        before = world.copy()
        result = world.call_with(module, function, (), arguments)
        assert result.ok or (world == before and result.changes == [])
        assert before.difference(world) == result.changes or {c.path: c for c in before.difference(world)} == {
            c.path: c for c in result.changes
        }
    assert_sound(world)


@settings(max_examples=40, deadline=None)
@given(calls())
def test_the_published_car_answers_any_call_with_a_result(plan: tuple[str, str, dict[str, Any]]) -> None:
    module, function, arguments = plan
    result = car("published").call_with(module, function, (), arguments)
    assert result.ok is (result.error is None)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(WITH_PLACES), st.sampled_from(SEATS))
def test_an_empty_or_missing_place_never_reaches_beyond_the_speaker(function: Function, speaker: str) -> None:
    if function.name in ("carcontrol_carSeat_greetGuestMode", "carcontrol_window_mode_childSafetyLock"):
        return  # these mean every seat
    world = car()
    world.state.set("environment.speaker", speaker)
    extra = {"degree": next(p for p in function.params if p.name == "degree").enum[0]} if function in AMOUNTS else {}
    required = next(p for p in function.params if p.type == "targets").required
    result = call(world, function, **({"position": []} if required else {}), **extra)
    mine = speaker if function.module != "footPedal" or speaker in SEATS[:2] else DRIVER
    assert result.ok
    assert all(f".{mine}." in change.path for change in result.changes if not change.path.startswith("environment."))
