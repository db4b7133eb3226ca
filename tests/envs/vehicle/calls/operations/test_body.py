from typing import Any

import pytest

from palaestra.envs.vehicle.calls.amounts import NOTHING, VOID, Amount, AmountRules
from palaestra.envs.vehicle.calls.operations import Operation, compile_function
from palaestra.envs.vehicle.calls.operations.axes import axis
from palaestra.envs.vehicle.calls.operations.lids import lid_axis
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.car import Profile
from palaestra.envs.vehicle.car.tables import Function, car_tables
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.errors import ConfigError

TABLES = car_tables()
MODULES = (
    "centerInformationDisplay", "instrumentPanel", "overheadScreen", "HUD", "rearviewMirror", "steeringWheel", "sunroof",
    "sunshade", "wiper", "trunk", "frontTrunk", "fuelPort", "bluetooth", "fogLight", "hazardLight", "tailLight",
    "positionLight", "highBeamHeadlight", "lowBeamHeadlight",
)  # fmt: skip
CID = "carcontrol_centerInformationDisplay"


def car(profile: Profile = "fixed", **presets: str) -> VehicleWorld:
    world = VehicleWorld(profile)
    world.set_up([{"op": "module_preset", "module": module, "preset": preset} for module, preset in presets.items()])
    return world


def put(world: VehicleWorld, **values: Any) -> VehicleWorld:
    for path, value in values.items():
        world.state.set(path.replace("__", "."), value)
    return world


def values(world: VehicleWorld, module: str, *names: str) -> list[Any]:
    return [world.state.values[f"{module}.{name}"] for name in names]


# -- amounts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alone", "both", "said", "expected"),
    [
        ("error", "error", {}, NOTHING),
        ("error", "error", {"value": 2, "unit": "gear"}, Amount(2, "gear")),
        ("error", "error", {"degree": "large"}, Amount(degree="large")),
        ("error", "value", {"value": 2, "unit": "gear", "degree": "large"}, Amount(2, "gear")),
        ("error", "degree", {"value": 2, "unit": "gear", "degree": "large"}, Amount(degree="large")),
        ("error", "value", {"value": 2, "degree": "large"}, Amount(degree="large")),
        ("ignore", "error", {"value": 2}, NOTHING),
        ("ignore", "error", {"unit": "gear"}, NOTHING),
        ("void", "error", {"unit": "gear"}, VOID),
        ("current", "error", {"value": 2}, Amount(2)),
        ("current", "error", {"unit": "gear"}, NOTHING),
        ("no value", "error", {"unit": "gear"}, NOTHING),
        ("void unit", "error", {"unit": "gear"}, VOID),
    ],
)
def test_published_rules_of_amounts(alone: str, both: str, said: dict[str, Any], expected: Amount) -> None:
    assert AmountRules(alone, both).read({"value": None, "unit": None, "degree": None, **said}) == expected


@pytest.mark.parametrize(
    ("alone", "said", "code"),
    [
        ("error", {"value": 2}, "missing_argument"),
        ("error", {"unit": "gear"}, "missing_argument"),
        ("no value", {"value": 2}, "missing_argument"),
        ("void unit", {"value": 2}, "missing_argument"),
        ("error", {"unit": "gear", "degree": "large"}, "conflicting_arguments"),
    ],
)
def test_amounts_said_wrongly_are_refused(alone: str, said: dict[str, Any], code: str) -> None:
    with pytest.raises(Refusal) as refused:
        AmountRules(alone).read({"value": None, "unit": None, "degree": None, **said})
    assert refused.value.code == code


def test_a_value_needs_no_unit_where_the_function_takes_none() -> None:
    assert AmountRules().read({"value": 3, "degree": None}) == Amount(3)


# -- every function ---------------------------------------------------------------------------------------------------

FUNCTIONS = [(module, name) for module in MODULES for name in TABLES.modules[module].functions]


@pytest.mark.parametrize(("module", "name"), FUNCTIONS)
def test_every_function_says_what_it_does_and_takes_no_nonsense(module: str, name: str) -> None:
    function, _ = compile_function(TABLES, module, name)
    assert function.doc.endswith(".")
    for param in function.params:
        for nonsense in (
            "nonsense",
            3.5j,
            None if param.required else [],
            float("nan"),
            float("inf"),
            True if param.type == "number" else 7,
        ):
            world = car(**{module: "init2"})
            before = world.copy()
            given = {
                other.name: True if other.type == "bool" else other.enum[0] for other in function.params if other.required
            }
            result = world.call_with(
                module,
                name,
                (),
                {**given, "unit": "gear", param.name: nonsense} if param.name == "value" else {**given, param.name: nonsense},
            )
            assert not result.ok, (param.name, nonsense)
            assert world == before


@pytest.mark.parametrize("module", MODULES)
def test_everything_that_changes_is_explained(module: str) -> None:
    row = TABLES.modules[module]
    assert row.summary.endswith(".")
    assert [prop.path for prop in row.properties if not prop.constant and not prop.doc] == []


def test_rows_that_name_what_is_not_there_are_told() -> None:
    row = TABLES.function("tailLight", "switch")
    operations: dict[str, Operation] = {"axis": axis, "lid_axis": lid_axis}
    for op, arguments, message in [
        ("axis", {"axis": "height", "direction": "up"}, "moves the axis 'height'"),
        ("axis", {"direction": "up"}, "needs the key 'axis'"),
        ("lid_axis", {"axis": "x", "direction": "up"}, "moves the axis 'x'"),
    ]:
        broken = Function("tailLight", "switch", op, row.params, arguments)
        with pytest.raises(ConfigError, match=message):
            operations[op](broken, TABLES)


# -- screens ----------------------------------------------------------------------------------------------------------


def test_clock_formats_have_one_spelling() -> None:  # Q4
    for world in (car(), car(overheadScreen="init2"), car(centerInformationDisplay="init1")):
        assert world.state.values["environment.time_display_format"] == "24-hour format"
        assert world.state.values["overheadScreen.time_display_format"] == "24-hour format"
    assert car("published").state.values["environment.time_display_format"] == "24-hour-format"


@pytest.mark.parametrize("profile", ["fixed", "published"])
def test_one_screen_changes_the_language_of_all(profile: Profile) -> None:
    world = car(profile)
    assert not world.call("overheadScreen", "carcontrol_overheadScreen_language_set", "English").ok
    assert world.call("instrumentPanel", "carcontrol_instrumentPanel_language_set", "English").ok
    assert values(world, "environment", "language") == values(world, "overheadScreen", "language") == ["English"]
    world.call("overheadScreen", "carcontrol_overheadScreen_switch", "open")
    assert world.call("overheadScreen", "carcontrol_overheadScreen_timeDisplayFormat_set", "12-hour format").ok
    assert values(world, "environment", "time_display_format") == ["12-hour format"]


def test_a_screens_preset_sets_the_language_of_all() -> None:
    world = car(centerInformationDisplay="init1", instrumentPanel="default")
    assert values(world, "overheadScreen", "language") == ["English"]
    world.set_up([{"op": "module_preset", "module": "overheadScreen", "preset": "default"}])
    assert values(world, "overheadScreen", "language") == values(world, "environment", "language") == ["English"]


@pytest.mark.parametrize(
    ("module", "function", "flag"),
    [
        ("centerInformationDisplay", f"{CID}_brightness_increase", "brightness_settings.auto_brightness"),
        ("instrumentPanel", "carcontrol_instrumentPanel_brightness_set", "auto_brightness"),
    ],
)
def test_brightness_by_hand_ends_automatic_brightness_unless_the_call_fails(
    module: str, function: str, flag: str
) -> None:  # Q9
    for profile, after_failure in (("fixed", True), ("published", False)):
        world = put(car(profile), **{f"{module}__{flag}": True})
        assert not world.call(module, function, degree="nonsense").ok
        assert values(world, module, flag) == [after_failure]
        assert world.call(module, function, value=1, unit="gear").ok
        assert values(world, module, flag) == [False]


def test_the_central_screen_tells_what_its_brightness_was() -> None:  # Q17
    result = car().call("centerInformationDisplay", f"{CID}_brightness_increase", 150, "percentage")
    assert result.data == {"previous": 50, "current": 100}


def test_the_panels_brightness_is_converted_when_its_unit_changes() -> None:  # Q8
    world = car()
    assert world.call("instrumentPanel", "carcontrol_instrumentPanel_brightness_increase", 60, "nit").ok
    assert values(world, "instrumentPanel", "brightness", "brightness_unit") == [310, "nit"]
    world = car("published")
    world.call("instrumentPanel", "carcontrol_instrumentPanel_brightness_increase", 60, "nit")
    assert values(world, "instrumentPanel", "brightness", "brightness_unit") == [110, "nit"]


def test_an_overhead_screen_at_its_end_goes_no_further() -> None:
    world = car(overheadScreen="init1")
    assert world.call("overheadScreen", "carcontrol_overheadScreen_brightness_set", degree="max").ok
    result = world.call("overheadScreen", "carcontrol_overheadScreen_brightness_increase")
    assert result.error is not None
    assert result.error.code == "precondition_failed"


def test_head_up_presets_set_every_unit() -> None:
    world = car(HUD="init1")
    world.call("HUD", "carcontrol_HUD_brightness_set", degree="high")
    assert values(world, "HUD", "brightness.level", "brightness.percentage", "brightness.nits") == [8, 75, 750]
    world.call("HUD", "carcontrol_HUD_height_set", 9, "centimeter")
    assert values(world, "HUD", "height.level", "height.percentage", "height.centimeter") == [5, 45, 9]
    assert values(world, "HUD", "height.current_unit") == ["centimeter"]


def test_mileage_is_read() -> None:
    world = car(instrumentPanel="init2")
    result = world.call("instrumentPanel", "carcontrol_instrumentPanel_vehicleMileage_view")
    assert result.data == {"vehicle_mileage": 0, "unit": "Miles"}
    assert result.changes == []


# -- sets, words, switches --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "function", "value", "unit"),
    [
        ("centerInformationDisplay", f"{CID}_brightness_set", 6, "gear"),
        ("instrumentPanel", "carcontrol_instrumentPanel_brightness_set", 5, "percentage"),
        ("HUD", "carcontrol_HUD_height_set", 21, "centimeter"),
        ("rearviewMirror", "height_set", -1, "gear"),
        ("steeringWheel", "carcontrol_steeringWheel_heater_set", 60, "celsius"),
        ("sunroof", "carcontrol_sunroof_openDegree_set", 11, "gear"),
        ("sunshade", "carcontrol_sunshade_openDegree_set", 31, "centimeter"),
        ("wiper", "carcontrol_wiperBlade_speed_set", 6, "gear"),
        ("trunk", "carcontrol_trunk_openDegree_set", 101, "percentage"),
        ("frontTrunk", "carcontrol_frontTrunk_openDegree_set", 6, "gear"),
        ("highBeamHeadlight", "set_delay_close_duration", 1, "hour"),
        ("lowBeamHeadlight", "height_set", 16, "centimeter"),
    ],
)
def test_setting_outside_the_limits_is_refused(module: str, function: str, value: float, unit: str) -> None:
    world = car(**{module: "init2"})
    before = world.copy()
    result = world.call(module, function, value=value, unit=unit)
    assert result.error is not None
    assert (result.error.code, result.error.param) == ("out_of_range", "value")
    assert world == before


@pytest.mark.parametrize(
    ("module", "name"), [pair for pair in FUNCTIONS if pair[1].endswith(("increase", "decrease", "inside", "outside"))]
)
def test_steps_end_at_the_limits(module: str, name: str) -> None:
    world = car(**{module: "init2"})
    unit = next(param.enum[0] for param in TABLES.function(module, name).params if param.name == "unit")
    for value in (10**6, -(10**6), 10**6):
        world.call(module, name, value=value, unit=unit)
        for prop in TABLES.modules[module].properties:
            for path in prop.paths():
                held = world.state.values.get(path)
                if prop.high is not None and isinstance(held, int | float):
                    assert (prop.low or 0) <= held <= prop.high, path


@pytest.mark.parametrize(
    ("module", "function", "given", "code"),
    [
        ("HUD", "carcontrol_HUD_switch", {"switch": "yes"}, "invalid_type"),  # Q24
        ("trunk", "carcontrol_trunk_lock_switch", {"switch": 1}, "invalid_type"),
        ("wiper", "carcontrol_wiperBlade_switch", {"switch": "on"}, "invalid_type"),
        ("rearviewMirror", "height_increase", {"degree": "huge"}, "invalid_value"),
        ("sunroof", "carcontrol_sunroof_openDegree_increase", {"value": "3", "unit": "gear"}, "invalid_type"),  # Q25
        ("HUD", "carcontrol_HUD_brightness_set", {"value": "3", "unit": "level"}, "invalid_type"),
        ("frontTrunk", "carcontrol_frontTrunk_openDegree_increase", {"degree": "max"}, "invalid_value"),
        ("sunshade", "carcontrol_sunshade_openDegree_increase", {"value": 3}, "missing_argument"),
        ("wiper", "carcontrol_wiperBlade_speed_increase", {"unit": "gear"}, "missing_argument"),
        ("wiper", "carcontrol_wiperBlade_speed_set", {"value": 3, "unit": "gear", "degree": "max"}, "conflicting_arguments"),
        ("steeringWheel", "carcontrol_steeringWheel_heater_set", {}, "missing_argument"),
        ("fogLight", "carcontrol_fogLight_switch", {"switch": True, "position": "left"}, "invalid_value"),
    ],
)
def test_arguments_follow_one_rule(module: str, function: str, given: dict[str, Any], code: str) -> None:
    world = car(**{module: "init2"})
    before = world.copy()
    result = world.call(module, function, **given)
    assert result.error is not None
    assert result.error.code == code
    assert world == before


@pytest.mark.parametrize(
    ("module", "function", "leaf"),
    [("HUD", "carcontrol_HUD_switch", "is_on"), ("trunk", "carcontrol_trunk_lock_switch", "is_locked")],
)
def test_the_published_switches_store_what_they_are_given(module: str, function: str, leaf: str) -> None:  # Q24
    world = car("published")
    assert world.call(module, function, "yes").ok
    assert values(world, module, leaf) == ["yes"]


def test_mirrors_go_down_by_the_whole_step_from_the_top() -> None:  # Q26
    for profile, expected in (("fixed", 80), ("published", 100)):
        world = put(car(profile), rearviewMirror__left_mirror__height=100)
        world.call("rearviewMirror", "height_decrease", "left side", degree="large")
        assert values(world, "rearviewMirror", "left_mirror.height", "right_mirror.height") == [expected, 50]


# -- lids -------------------------------------------------------------------------------------------------------------


def test_a_sunroof_settles_after_a_partial_move() -> None:  # Q15
    for profile, opened, lowered in (("fixed", "open", "open"), ("published", "opening", "opening")):
        world = car(profile)
        world.call("sunroof", "carcontrol_sunroof_openDegree_increase", 45, "percentage")
        assert values(world, "sunroof", "state", "open_degree_gear", "open_degree_centimeter") == [opened, 4, 22.5]
        world.call("sunroof", "carcontrol_sunroof_openDegree_decrease", degree="tiny")
        assert values(world, "sunroof", "state") == [lowered]
        world.call("sunroof", "carcontrol_sunroof_openDegree_decrease", degree="large")
        assert values(world, "sunroof", "state", "open_degree_percentage") == ["closed", 0]


def test_a_tilted_roof_moves_tilted_until_it_is_open_or_closed() -> None:
    world = car()
    world.call("sunroof", "carcontrol_sunroof_switch", "Tilt")
    assert values(world, "sunroof", "state", "open_degree_percentage") == ["tilted", 15]
    world.call("sunroof", "carcontrol_sunroof_openDegree_increase")
    assert values(world, "sunroof", "state", "open_degree_percentage") == ["tilted", 35]
    world.call("sunroof", "carcontrol_sunroof_openDegree_increase", 100, "percentage")
    assert values(world, "sunroof", "state") == ["open"]
    assert world.call("sunroof", "carcontrol_sunroof_switch", "pause").changes == []


def test_the_trunk_opens_unlocked_only_and_locks_closed_only() -> None:
    world = car()
    assert not world.call("trunk", "carcontrol_trunk_switch", "open").ok
    assert not world.call("trunk", "carcontrol_trunk_openDegree_set", degree="max").ok
    assert world.call("trunk", "carcontrol_trunk_lock_switch", False).ok
    assert not world.call("trunk", "carcontrol_trunk_openDegree_increase").ok
    assert world.call("trunk", "carcontrol_trunk_switch", "open").ok
    assert values(world, "trunk", "state", "current_open_degree_percentage") == ["open", 20]
    result = world.call("trunk", "carcontrol_trunk_lock_switch", True)
    assert result.error is not None
    assert "close it before locking" in result.error.message
    assert not world.call("trunk", "carcontrol_trunk_switch", "open").ok
    assert world.call("trunk", "carcontrol_trunk_switch", "close").ok
    assert world.call("trunk", "carcontrol_trunk_lock_switch", True).ok


def test_a_trunk_settles_after_a_partial_move() -> None:  # Q15
    for profile, state in (("fixed", "open"), ("published", "paused")):
        world = car(profile, trunk="init2")
        result = world.call("trunk", "carcontrol_trunk_openDegree_decrease", degree="large")
        assert values(world, "trunk", "state", "current_open_degree_percentage", "current_open_degree_cm") == [state, 80, 80]
        assert result.data is not None
        assert result.data["state"] == state
        world.call("trunk", "carcontrol_trunk_openDegree_set", 0, "gear")
        assert values(world, "trunk", "state", "is_in_motion") == ["closed", False]


def test_a_trunk_that_cannot_be_set_stays_closed() -> None:  # Q9
    for profile, degree in (("fixed", 0), ("published", 20)):
        world = put(car(profile), trunk__is_locked=False)
        assert not world.call("trunk", "carcontrol_trunk_openDegree_set", -3, "gear").ok
        assert values(world, "trunk", "current_open_degree_percentage") == [degree]


def test_the_published_trunk_paused_at_the_top_stays_opening() -> None:
    for profile, expected in (("published", ["opening", True, 100]), ("fixed", ["open", False, 20])):
        world = put(car(profile, trunk="init2"), trunk__state="paused")
        assert world.call("trunk", "carcontrol_trunk_switch", "open").ok
        assert values(world, "trunk", "state", "is_in_motion", "current_open_degree_percentage") == expected


def test_the_front_trunk_converts_what_is_said() -> None:  # Q6
    for profile, degree in (("fixed", 40), ("published", 2)):
        world = car(profile)
        assert world.call("frontTrunk", "carcontrol_frontTrunk_openDegree_set", 2, "gear").ok
        assert values(world, "frontTrunk", "open_degree_value", "open_degree_unit") == [degree, "percentage"]
    world = car("published", frontTrunk="init2")
    assert not world.call("frontTrunk", "carcontrol_frontTrunk_openDegree_set", 150, "percentage").ok
    assert values(world, "frontTrunk", "open_degree_value", "open_degree_unit") == [50, "percentage"]


def test_a_half_open_front_trunk_is_open() -> None:  # Q19
    for profile, state in (("fixed", "open"), ("published", "closed")):
        world = car(profile)
        assert world.call("frontTrunk", "carcontrol_frontTrunk_openDegree_set", degree="medium").ok
        assert values(world, "frontTrunk", "state", "open_degree_value") == [state, 50]


def test_the_front_trunk_opens_by_word_within_its_unit() -> None:
    world = car(frontTrunk="init2")
    world.call("frontTrunk", "carcontrol_frontTrunk_switch", "close")
    world.call("frontTrunk", "carcontrol_frontTrunk_switch", "open")
    assert values(world, "frontTrunk", "state", "open_degree_value", "open_degree_unit") == ["open", 5, "gear"]


def test_sunshades_keep_flag_and_degree_together() -> None:  # Q19
    world = car()
    world.call("sunshade", "carcontrol_sunshade_switch", "open", "front row")
    assert values(world, "sunshade", "front_row_status.is_open", "front_row_status.open_degree_value") == [True, 100]
    world.call("sunshade", "carcontrol_sunshade_openDegree_set", "front row", 0, "percentage")
    assert values(world, "sunshade", "front_row_status.is_open", "front_row_status.open_degree_value") == [False, 0]
    assert values(world, "sunshade", "rear_row_status.is_open") == [False]
    world = car("published", sunshade="init2")
    world.call("sunshade", "carcontrol_sunshade_switch", "close")
    assert values(world, "sunshade", "front_row_status.is_open", "front_row_status.open_degree_value") == [False, 50]
    world.call("sunshade", "carcontrol_sunshade_openDegree_set", degree="min")
    assert values(world, "sunshade", "front_row_status.is_open", "front_row_status.open_degree_value") == [True, 0]


def test_an_open_sunshade_stays_where_it_is_when_opened_again() -> None:
    world = car(sunshade="init2")
    assert world.call("sunshade", "carcontrol_sunshade_switch", "open").changes == []


def test_sunshades_convert_their_degree_with_the_unit() -> None:  # Q8
    for profile, degree in (("fixed", 6), ("published", 10)):
        world = car(profile, sunshade="init2")
        world.call("sunshade", "carcontrol_sunshade_openDegree_increase", "front row", 1, "gear")
        assert values(world, "sunshade", "front_row_status.open_degree_value", "front_row_status.open_degree_unit") == [
            degree,
            "gear",
        ]


def test_opening_a_paused_shade_further_ends_the_pause() -> None:
    world = car(sunshade="init2")
    world.call("sunshade", "carcontrol_sunshade_switch", "pause", "rear row")
    assert values(world, "sunshade", "front_row_status.is_paused", "rear_row_status.is_paused") == [False, True]
    world.call("sunshade", "carcontrol_sunshade_openDegree_increase")
    assert values(world, "sunshade", "rear_row_status.is_paused") == [False]


def test_the_fuel_port_opens_unlocked_only_and_locks_closed_only() -> None:
    world = car()
    assert world.call("fuelPort", "switch", True).ok
    assert values(world, "fuelPort", "is_open", "state") == [True, "OPEN"]
    assert not world.call("fuelPort", "lock_switch", True).ok
    assert world.call("fuelPort", "switch", False).ok
    assert world.call("fuelPort", "lock_switch", True).ok
    assert values(world, "fuelPort", "is_locked", "lock_state") == [True, "LOCKED"]
    assert not world.call("fuelPort", "switch", True).ok
    assert world.call("fuelPort", "switch", False).ok


# -- wipers, wheel, lights --------------------------------------------------------------------------------------------


def test_speed_is_of_the_wipers_that_are_on() -> None:
    world = car()
    result = world.call("wiper", "carcontrol_wiperBlade_speed_increase")
    assert result.error is not None
    assert result.error.code == "precondition_failed"
    world.call("wiper", "carcontrol_wiperBlade_switch", True, "front")
    result = world.call("wiper", "carcontrol_wiperBlade_speed_increase", degree="large")
    assert result.data == {"front": {"previous": 1, "current": 4, "unit": "gear"}}
    assert values(world, "wiper", "rear_wiper.speed_setting.value") == [1]


def test_a_wipers_unit_changes_when_set_and_not_by_steps() -> None:
    world = car(wiper="init1")
    world.call("wiper", "carcontrol_wiperBlade_speed_increase", 15, "percentage")
    assert values(world, "wiper", "front_wiper.speed_setting.value", "front_wiper.speed_setting.unit") == [4, "gear"]
    world.call("wiper", "carcontrol_wiperBlade_speed_set", 15, "percentage")
    assert values(world, "wiper", "front_wiper.speed_setting.value", "front_wiper.speed_setting.unit") == [15, "percentage"]


def test_the_wheel_heater_keeps_its_units_together_and_needs_to_be_on() -> None:
    world = car()
    assert not world.call("steeringWheel", "carcontrol_steeringWheel_heater_increase").ok
    world.call("steeringWheel", "carcontrol_steeringWheel_heater_switch", True)
    world.call("steeringWheel", "carcontrol_steeringWheel_heater_increase", 6, "celsius")
    assert values(world, "steeringWheel", "heater_level", "heater_celsius", "heater_percentage") == [2, 26, 20]
    assert values(world, "steeringWheel", "current_unit") == ["level"]


def test_low_beam_steps_count_in_the_unit_in_use() -> None:
    world = car()
    world.call("lowBeamHeadlight", "height_set", 3, "centimeter")
    world.call("lowBeamHeadlight", "height_increase", degree="large")
    assert values(world, "lowBeamHeadlight", "height_centimeter", "height_percentage", "current_unit") == [
        7.5,
        50,
        "centimeter",
    ]


def test_position_lights_note_the_cars_time() -> None:  # Q11
    world = put(car(), environment__timestamp="2025-04-13 12:00:30")
    assert world.call("positionLight", "carcontrol_positionLight_switch", True).ok
    assert values(world, "positionLight", "is_on", "status", "last_operation_timestamp", "last_operation_status") == [
        True, "ON", 1744545630, "SUCCESS"
    ]  # fmt: skip
    put(world, environment__timestamp="after lunch")
    assert world.call("positionLight", "switch", False).ok
    assert values(world, "positionLight", "status", "last_operation_timestamp") == ["OFF", 1744545630]


def test_fog_lights_remember_which_were_named() -> None:
    world = car()
    world.call("fogLight", "carcontrol_fogLight_switch", True, "rear")
    assert values(world, "fogLight", "front_light.is_on", "rear_light.is_on", "last_position") == [False, True, "rear"]
    assert world.call("fogLight", "carcontrol_fogLight_switch", False).data == {"switch": False, "position": ["front", "rear"]}


def test_bluetooth_connects_with_its_switch() -> None:
    world = car()
    world.call("bluetooth", "carcontrol_connection_bluetooth_switch", True)
    assert values(world, "bluetooth", "connection_state") == ["CONNECTED"]
    assert world.call("bluetooth", "carcontrol_connection_bluetooth_switch", True).changes == []


def test_the_high_beams_delay_counts_whole_seconds() -> None:
    world = car()
    world.call("highBeamHeadlight", "increase_delay_close_duration", 0.51, "minute")
    assert values(world, "highBeamHeadlight", "delay_off_duration_seconds") == [90]
