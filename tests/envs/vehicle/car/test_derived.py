from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.vehicle.car import derived
from palaestra.envs.vehicle.car.derived import contradictions, follows, scale_of, siblings, sync
from palaestra.envs.vehicle.car.tables import MODULES, PRESETS, Module, Param, car_tables
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.errors import ConfigError

TABLES = car_tables()
GROUPED = [name for name, module in TABLES.modules.items() if module.settings.get("groups")]
VALUES = {"bool": [True, False, "yes"], "str": ["nonsense"], "targets": [["all"], [], ["rocket"], ["passenger seat"]]}
PERCENT = "current_open_degree_percentage"
NUMBERS = [0, 1, 2, 3, 2.5, 7, 20, 33, 50, 66.6, 100, 250, -4, 10**6]


def write(world: VehicleWorld, path: str, value: Any, **options: Any) -> list[str]:
    world.state.set(path, value)
    return sync(world.state, path, tables=TABLES, **options)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("module", MODULES)
def test_no_preset_contradicts_itself(module: str, preset: str) -> None:
    world = VehicleWorld()
    world.set_up([{"op": "module_preset", "module": module, "preset": preset}])
    assert contradictions(world.state, TABLES) == []


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("overheadScreen.brightness_percentage", 70, {"brightness_gear": 4, "brightness_nit": 350}),
        ("overheadScreen.brightness_gear", 1, {"brightness_percentage": 20, "brightness_nit": 100}),
        ("HUD.brightness.level", 10, {"brightness.percentage": 100, "brightness.nits": 1000}),
        ("HUD.height.centimeter", 5, {"height.percentage": 25, "height.level": 3}),
        ("lowBeamHeadlight.height_centimeter", 3, {"height_percentage": 20, "height_level": 2}),
        ("steeringWheel.heater_celsius", 35, {"heater_level": 5, "heater_percentage": 50}),
        ("trunk.current_open_degree_gear", 3, {PERCENT: 30, "current_open_degree_cm": 30, "state": "open"}),
        ("trunk.state", "open", {PERCENT: 20, "current_open_degree_gear": 2, "current_open_degree_cm": 20}),
        ("sunroof.open_degree_centimeter", 10, {"open_degree_percentage": 20, "open_degree_gear": 2, "state": "open"}),
        ("sunroof.state", "tilted", {"open_degree_percentage": 15, "open_degree_gear": 1, "open_degree_centimeter": 7.5}),
        ("sunroof.state", "open", {"open_degree_percentage": 100, "open_degree_gear": 10, "open_degree_centimeter": 50}),
        ("door.doors.driver's seat.angle", 30, {"doors.driver's seat.status": "open"}),
        ("door.doors.second row left.status", "open", {"doors.second row left.angle": 10}),
        ("window.window_states.driver's seat.open_degree", 1, {"window_states.driver's seat.is_open": True}),
        ("window.window_states.third row right.is_open", True, {"window_states.third row right.open_degree": 10}),
        ("sunshade.front_row_status.is_open", True, {"front_row_status.open_degree_value": 100}),
        ("sunshade.rear_row_status.open_degree_value", 3, {"rear_row_status.is_open": True}),
        ("frontTrunk.state", "open", {"open_degree_value": 10}),
        ("bluetooth.is_enabled", True, {"connection_state": "CONNECTED"}),
        ("bluetooth.connection_state", "CONNECTED", {"is_enabled": True}),
        ("fuelPort.is_open", True, {"state": "OPEN"}),
        ("fuelPort.lock_state", "LOCKED", {"is_locked": True}),
        ("hazardLight.is_active", True, {"status": "ON"}),
        ("positionLight.status", "ON", {"is_on": True}),
    ],
)  # fmt: skip
def test_what_follows_from_a_written_leaf(path: str, value: Any, expected: dict[str, Any]) -> None:
    world = VehicleWorld()
    module = path.partition(".")[0]
    written = write(world, path, value)
    assert sorted(written) == sorted(f"{module}.{name}" for name in expected)
    assert {name: world.state.values[f"{module}.{name}"] for name in expected} == expected
    assert contradictions(world.state, TABLES) == []


def test_screens_share_language_and_clock() -> None:
    world = VehicleWorld()
    assert write(world, "environment.language", "English") == ["overheadScreen.language"]
    assert write(world, "overheadScreen.time_display_format", "12-hour format") == ["environment.time_display_format"]


def test_an_opening_lid_stays_within_its_unit() -> None:
    world = VehicleWorld()
    world.state.set("frontTrunk.open_degree_unit", "gear")
    write(world, "frontTrunk.state", "open")
    assert world.state.values["frontTrunk.open_degree_value"] == 5


def test_a_tilted_roof_stays_tilted_while_its_degree_changes() -> None:
    world = VehicleWorld()
    world.apply_preset("sunroof", "init2")
    write(world, "sunroof.open_degree_percentage", 30)
    assert world.state.values["sunroof.state"] == "tilted"
    write(world, "sunroof.open_degree_percentage", 0)
    assert world.state.values["sunroof.state"] == "closed"


def test_kept_leaves_are_not_touched_and_show_as_contradictions() -> None:
    world = VehicleWorld()
    world.state.set("window.window_states.driver's seat.is_open", False)
    kept = ["window.window_states.driver's seat.is_open"]
    assert write(world, "window.window_states.driver's seat.open_degree", 40, keep=kept) == []
    (line,) = contradictions(world.state, TABLES)
    assert "is_open is False" in line
    assert "open_degree is 40" in line


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("HUD.brightness.nits", 10, "HUD.brightness.percentage is 50 but HUD.brightness.nits is 10; 500 would agree"),
        ("bluetooth.connection_state", "CONNECTED", "is_enabled is False but bluetooth.connection_state is 'CONNECTED'"),
        ("overheadScreen.language", "English", "they are one setting"),
        ("trunk.state", "open", "trunk.state is 'open' but trunk.current_open_degree_percentage is 0"),
    ],
)
def test_contradictions_name_both_sides(path: str, value: Any, words: str) -> None:
    world = VehicleWorld()
    world.state.set(path, value)
    (line,) = contradictions(world.state, TABLES)
    assert words in line


def test_the_published_car_keeps_sunshades_and_lids_apart_from_their_degree() -> None:
    world = VehicleWorld("published")
    assert write(world, "sunshade.front_row_status.open_degree_value", 50, as_published=True) == []
    assert write(world, "frontTrunk.state", "open", as_published=True) == []
    assert write(world, "bluetooth.is_enabled", True, as_published=True) == ["bluetooth.connection_state"]


FOLLOWERS = [
    "door.doors.driver's seat.status",
    "window.window_states.driver's seat.is_open",
    "fuelPort.state",
    "HUD.height.level",
    "overheadScreen.language",
    "frontTrunk.state",
    "bluetooth.connection_state",
]
FREE = ["door.doors.driver's seat.angle", "trunk.state", "sunroof.state", "environment.language", "HUD.height.percentage",
        "fogLight.last_position"]  # fmt: skip


def test_followers_say_nothing_of_their_own() -> None:
    assert [path for path in FOLLOWERS + FREE if follows(TABLES, path)] == FOLLOWERS


def test_rows_name_what_a_leaf_follows_from() -> None:
    for path, row in TABLES.properties.items():
        assert bool(row.derived) is follows(TABLES, path), path


def test_siblings_reach_through_groups() -> None:
    assert set(siblings(TABLES, "trunk.state")) == {
        "trunk.current_open_degree_percentage", "trunk.current_open_degree_gear", "trunk.current_open_degree_cm"
    }  # fmt: skip
    assert siblings(TABLES, "environment.volume") == ()


def test_unknown_groups_are_told() -> None:
    with pytest.raises(ConfigError, match="names the group 'depth'"):
        scale_of(TABLES, "HUD", "depth")
    module = TABLES.modules["tailLight"]
    odd = Module(
        **{**{name: getattr(module, name) for name in module.__slots__}, "settings": {"groups": {"a": {"kind": "twin"}}}}
    )
    with pytest.raises(ConfigError, match="kind 'twin'; expected scale, lid, words or same"):
        derived._groups.__wrapped__(SimpleNamespace(modules={"tailLight": odd}))


def arguments(param: Param) -> st.SearchStrategy[Any]:
    if param.type in ("int", "number"):
        return st.sampled_from(NUMBERS)
    return st.sampled_from([*param.enum, *VALUES.get(param.type, ["nonsense"])])


@st.composite
def calls(draw: st.DrawFn, modules: list[str]) -> tuple[str, str, dict[str, Any]]:
    module = draw(st.sampled_from(modules))
    function = TABLES.modules[module].functions[draw(st.sampled_from(sorted(TABLES.modules[module].functions)))]
    given_ = {param.name: draw(arguments(param)) for param in function.params if param.required or draw(st.booleans())}
    if "degree" in given_ and draw(st.booleans()):
        given_.pop("value", None)
        given_.pop("unit", None)
    elif "value" in given_ or "unit" in given_:
        given_.pop("degree", None)
        if draw(st.booleans()):
            for name in ("value", "unit"):
                param = next((param for param in function.params if param.name == name), None)
                if param is not None and name not in given_:
                    given_[name] = draw(arguments(param))
    return module, function.name, given_


@settings(max_examples=60, deadline=None)
@given(
    presets=st.lists(
        st.tuples(st.sampled_from([name for name in GROUPED if name in MODULES]), st.sampled_from(PRESETS)), max_size=4
    ),
    many=st.lists(calls([name for name in GROUPED if name in MODULES]), min_size=1, max_size=12),
)
def test_calls_leave_no_contradiction_and_failed_calls_change_nothing(
    presets: list[tuple[str, str]], many: list[tuple[str, str, dict[str, Any]]]
) -> None:
    world = VehicleWorld()
    world.set_up([{"op": "module_preset", "module": module, "preset": preset} for module, preset in presets])
    for module, name, keywords in many:
        before = world.state.copy()
        result = world.call_with(module, name, (), keywords)
        if not result.ok:
            assert world.state == before
        assert contradictions(world.state, TABLES) == [], (module, name, keywords)


@st.composite
def leaves(draw: st.DrawFn) -> tuple[str, Any]:
    paths = sorted({path for group in derived._groups(TABLES)[2] for path in group.paths})
    path = draw(st.sampled_from(paths))
    row = TABLES.properties[path]
    if row.type == "bool":
        return path, draw(st.booleans())
    if row.enum:
        return path, draw(st.sampled_from(row.enum))
    low, high = (
        (row.low, row.high) if row.high is not None else (0, min(high for _, high in row.ranges.values()) if row.ranges else 1)
    )
    if row.type == "str":
        return path, draw(st.sampled_from(["12-hour format", "24-hour format"]))
    number = draw(st.integers(int(low or 0), int(high)) if row.type == "int" else st.floats(low or 0, high))
    return path, number


@settings(max_examples=100, deadline=None)
@given(st.lists(leaves(), min_size=1, max_size=6))
def test_sync_ends_without_contradiction_and_has_nothing_left_to_do(writes: list[tuple[str, Any]]) -> None:
    world = VehicleWorld()
    for path, value in writes:
        write(world, path, value)
        assert world.state.values[path] == value
        assert contradictions(world.state, TABLES) == [], (path, value)
        assert sync(world.state, path, tables=TABLES) == []


@settings(max_examples=40, deadline=None)
@given(many=st.lists(calls([name for name in GROUPED if name in MODULES]), min_size=1, max_size=8), data=st.data())
def test_writing_every_leaf_of_a_consistent_state_rounded_ones_last_gives_that_state(
    many: list[tuple[str, str, dict[str, Any]]], data: st.DataObject
) -> None:
    goal = VehicleWorld()
    for module, name, keywords in many:
        goal.call_with(module, name, (), keywords)
    by_path, rounded = derived._groups(TABLES)[0], rounded_leaves()
    differing = [change for change in VehicleWorld().difference(goal) if change.path in by_path]
    world = VehicleWorld()
    for change in sorted(data.draw(st.permutations(differing)), key=lambda change: change.path in rounded):
        if world.state.values[change.path] != change.new:
            write(world, change.path, change.new)
    for change in differing:
        assert world.state.values[change.path] == change.new, (many, change)


def rounded_leaves() -> set[str]:
    scales = [group for group in derived._groups(TABLES)[2] if isinstance(group, derived.Scale)]
    return {scale.leaves[unit] for scale in scales for unit in scale.rounds}


def test_a_gear_that_agrees_leaves_the_percentage_alone() -> None:
    world = VehicleWorld()
    write(world, "trunk.current_open_degree_percentage", 37)
    assert world.state.values["trunk.current_open_degree_gear"] == 3
    world.state.set("trunk.current_open_degree_gear", 4)
    write(world, "trunk.current_open_degree_gear", 3)
    assert world.state.values["trunk.current_open_degree_percentage"] == 37
