import random
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palaestra.envs.vehicle.calls.language import run_code
from palaestra.envs.vehicle.car import derived
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.car import Profile
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, MODULES, PRESETS, SEATS, Function, car_tables
from palaestra.envs.vehicle.car.views import plain_state, wrapped_state
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.envs.vehicle.writes import (
    SYNTAXES,
    Syntax,
    Write,
    WriteResult,
    apply_writes,
    extract_writes,
    format_writes,
    parse_writes,
    writes_between,
)
from palaestra.errors import UsageError
from tests.envs.vehicle.published_data import rows

TABLES = car_tables()


def write(text: str, world: VehicleWorld | None = None) -> tuple[VehicleWorld, WriteResult]:
    world = VehicleWorld() if world is None else world
    return world, apply_writes(world, parse_writes(text))


def refused(text: str, profile: Profile = "fixed") -> list[str]:
    world = VehicleWorld(profile)
    result = write(text, world)[1]
    assert not result.ok
    if profile == "fixed":
        assert world == VehicleWorld()
        assert not result.changes
    return [error.code for error in result.errors]


# -- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "vw['environment']['volume'] = 60",
        'vw["environment"]["volume"] = 60  # loud',
        "vw.environment.volume = 60",
        "vw.environment['volume'] = 60",
        "vw['environment']['value']['volume']['value'] = 60",
        '{"environment.volume": 60}',
        '{"vw.environment.volume": 60}',
        "{\"vw['environment']['volume']\": 60}",
        '{"environment.value.volume.value": 60}',
        "{'environment.volume': 60}",
        '[{"op": "set", "path": "environment.volume", "value": 60}]',
        '[{"path": "environment.volume", "value": 60}]',
        '{"op": "set", "path": "environment.volume", "value": 60}',
        "I make it louder.\n```python\nvw['environment']['volume'] = 60\n```\nDone.",
        'So:\n```json\n{"environment.volume": 60}\n```',
    ],
)
def test_all_syntaxes_say_the_same(text: str) -> None:
    assert parse_writes(text) == [Write("set", "environment.volume", 60)]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("vw['door']['doors'][\"driver's seat\"]['angle'] = 1", "door.doors.driver's seat.angle"),
        ("vw.door.doors['driver\\'s seat'].angle = 1", "door.doors.driver's seat.angle"),
        ('{"door.doors.driver\'s seat.angle": 1}', "door.doors.driver's seat.angle"),
        ('{"door.doors[driver\'s seat].angle": 1}', "door.doors.driver's seat.angle"),
        ("{\"door.doors['driver\\\\'s seat']['angle']\": 1}", "door.doors.driver's seat.angle"),
        ("vw['wiper']['front_wiper']['speed_setting']['value'] = 1", "wiper.front_wiper.speed_setting.value"),
        (
            "vw['wiper']['value']['front_wiper']['value']['speed_setting']['value']['value']['value'] = 1",
            "wiper.front_wiper.speed_setting.value",
        ),
        (
            "vw['wiper']['value']['front_wiper']['value']['speed_setting']['value']['unit']['value'] = 1",
            "wiper.front_wiper.speed_setting.unit",
        ),
        ("vw['music']['value']['_tracks']['value'][0]['is_favorite']['value'] = 1", "music._tracks[0].is_favorite"),
        ('{"music._tracks.0.is_favorite": 1}', "music._tracks[0].is_favorite"),
    ],
)
def test_paths_have_one_plain_form(text: str, path: str) -> None:
    assert parse_writes(text) == [Write("set", path, 1)]


@pytest.mark.parametrize(
    ("text", "writes"),
    [
        ("vw.music._favorite_tracks.append({'id': '2'})", [Write("add", "music._favorite_tracks", {"id": "2"})]),
        ("vw.music._favorite_tracks.insert(0, {'id': '2'})", [Write("add", "music._favorite_tracks[0]", {"id": "2"})]),
        ("vw.music._favorite_tracks.extend([{'id': '2'}])", [Write("add", "music._favorite_tracks", {"id": "2"})]),
        ("del vw.music._favorite_tracks[0]", [Write("remove", "music._favorite_tracks[0]")]),
        ("vw.music._favorite_tracks.pop(0)", [Write("remove", "music._favorite_tracks[0]")]),
        ("vw.music._favorite_tracks.pop()", [Write("remove", "music._favorite_tracks[-1]")]),
        ("vw.music._favorite_tracks.remove({'id': '1'})", [Write("remove", "music._favorite_tracks", {"id": "1"})]),
        ("vw.music._favorite_tracks.clear()", [Write("set", "music._favorite_tracks", [])]),
        ('{"music._favorite_tracks[+]": {"id": "2"}}', [Write("add", "music._favorite_tracks", {"id": "2"})]),
        ('{"music._favorite_tracks[+0]": {"id": "2"}}', [Write("add", "music._favorite_tracks[0]", {"id": "2"})]),
        ('{"music._favorite_tracks[-]": {"id": "1"}}', [Write("remove", "music._favorite_tracks", {"id": "1"})]),
        ('{"music._favorite_tracks[0]": null}', [Write("remove", "music._favorite_tracks[0]")]),
        ("vw.a.b = vw.c = (1, -2.5)", [Write("set", "a.b", [1, -2.5]), Write("set", "c", [1, -2.5])]),
        ('{"a": 1} {"b": 2}', [Write("set", "a", 1), Write("set", "b", 2)]),
        ('{"a": 1, "a": 2}', [Write("set", "a", 1), Write("set", "a", 2)]),
        ("'a docstring'\npass", []),
        ("", []),
        ("{}", []),
        ("```bash\nls\n```", []),
    ],
)
def test_lists_are_edited_in_every_syntax(text: str, writes: list[Write]) -> None:
    assert parse_writes(text) == writes


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("vw.environment.volume += 10", "forbidden_syntax", r"Line 1: State is written as the value that it becomes"),
        ("for s in [1]:\n  vw.a = s", "forbidden_syntax", "For is not part of a write"),
        ("vw.environment.volume = 50 + 10", "forbidden_syntax", "no literal"),
        ("vw.environment.volume = loud", "forbidden_syntax", "a text stands in quotes"),
        ("vw.environment.volume = true", "forbidden_syntax", "write True"),
        ("vw.door.carcontrol_carDoor_switch('open')", "forbidden_syntax", "not part of a write"),
        ("exec('x')", "forbidden_syntax", "Functions are not called here"),
        ("import os", "forbidden_syntax", "Import is not part"),
        ("volume = 60", "forbidden_syntax", "writes no state"),
        ("vw = 60", "forbidden_syntax", "writes no state"),
        ("vw[x] = 60", "forbidden_syntax", "no value"),
        ("vw[1.5] = 60", "unknown_path", "a text or a whole number"),
        ("f().x = 1", "forbidden_syntax", "Only vw"),
        ("vw.a = {1: 2}", "invalid_type", "keys of a map are texts"),
        ("the volume should be 60", "forbidden_syntax", "Line 1 cannot be read"),
        ("vw['seat']['driver's seat']['heater']['is_on'] = True", "forbidden_syntax", "stands in double quotes"),
        ('{"environment.volume": 60', "forbidden_syntax", "The JSON cannot be read.*line 1, column"),
        ('{"environment.volume": NaN}', "invalid_value", "NaN is no number"),
        ('{"": 1}', "unknown_path", "1 to 400 characters"),
        ('{"a..b": 1}', "unknown_path", "empty step"),
        ('{"a[0": 1}', "unknown_path", "not closed"),
        ('[{"op": "replace", "path": "a", "value": 1}]', "invalid_value", "'replace'; expected set, add, remove"),
        ('[{"op": "set", "value": 1}]', "invalid_type", "Operation 0 needs a path"),
        ('[{"op": "set", "path": "a"}]', "missing_argument", "needs a value"),
        ('[{"op": "set", "path": "a", "value": 1, "from": "b"}]', "invalid_value", "the key 'from'"),
        ("[1]", "forbidden_syntax", "Operation 0 is no object"),
        ("[" * 5000, "forbidden_syntax", "JSON"),
        ('{"a": "\\ud800"}', "invalid_value", "surrogate"),
        ("vw.a = '\\ud800'", "invalid_value", "surrogate"),
        ("vw.a = 1" + "0" * 400, "invalid_value", "finite"),
        ("vw.a = 1\n" * 1001, "limit", "writes 1001 times"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, code: str, message: str) -> None:
    with pytest.raises(Refusal, match=message) as caught:
        parse_writes(text)
    assert caught.value.code == code


def test_code_in_a_message_is_found() -> None:
    assert extract_writes("a\n```json\n{}\n```\nb\n```\nvw.a = 1\n```") == "{}\nvw.a = 1"
    assert extract_writes("nothing to do") == ""


def test_an_unknown_syntax_is_named() -> None:
    with pytest.raises(UsageError, match="Unknown syntax 'yaml'"):
        format_writes([], syntax="yaml")  # type: ignore[arg-type]


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(-1e9, 1e9)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
LEAVES = sorted(VehicleWorld().state.values)
PATHS = st.sampled_from(LEAVES) | st.sampled_from(
    [
        "music._tracks",
        "music._tracks[0]",
        "music._tracks[2].title",
        "video.current_video",
        "radio._history[-1].city",
        "door.doors",
    ]
)


@st.composite
def some_writes(draw: st.DrawFn) -> list[Write]:
    found = []
    for path in draw(st.lists(PATHS, max_size=4)):
        op = draw(st.sampled_from(["set", "add", "remove"]))
        value = draw(VALUES)
        if op == "set" and value is None and path.endswith("]"):
            op = "remove"
        if op == "remove" and path.endswith("]"):
            value = None
        if op == "remove" and value is not None:
            value = {"id": "1"}
        found.append(Write(op, path, value))
    return found


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(some_writes(), st.sampled_from(SYNTAXES), st.booleans())
def test_what_is_written_out_is_read_back(writes: list[Write], syntax: Syntax, wrapped: bool) -> None:
    if syntax == "map":  # in a map the op shows in the path, and null for anything but an element is a value
        writes = [w for w in writes if w.op != "remove" or w.value is not None or w.path.endswith("]")]
    assert parse_writes(format_writes(writes, syntax, wrapped)) == writes


# -- carrying out ---------------------------------------------------------------------------------------------------


def test_what_follows_is_brought_into_step_and_the_last_write_counts() -> None:
    world, result = write("vw.sunroof.open_degree_percentage = 40")
    values = world.state.values
    assert (values["sunroof.open_degree_gear"], values["sunroof.open_degree_centimeter"]) == (4, 20)
    assert values["sunroof.state"] == "open"
    assert result.contradictions == []
    world, result = write("vw.sunroof.open_degree_percentage = 40\nvw.sunroof.open_degree_centimeter = 10", world)
    assert world.state.values["sunroof.open_degree_percentage"] == 20
    assert len(result.contradictions) == 1
    assert "sunroof.open_degree_percentage was written as 40 but is now 20" in result.contradictions[0]


def test_a_closed_lid_with_a_degree_is_a_contradiction() -> None:
    door = "vw['door']['doors']['passenger seat']"
    world, result = write(f"{door}['status'] = 'closed'\n{door}['angle'] = 40")
    assert world.state.values["door.doors.passenger seat.status"] == "open"
    assert any("status was written as 'closed' but is now 'open'" in line for line in result.contradictions)


def test_intentions_are_not_guessed() -> None:
    world, _ = write("vw.video.is_playing = True\nvw.navigation.broadcast_mode = 'Mute'")
    assert world.state.values["environment.sound_channel"] == "music"
    assert world.state.values["navigation.voice_notifications_enabled"] is True


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("vw.environment.volum = 60", "unknown_path"),
        ("vw.enviroment.volume = 60", "unknown_path"),
        ("vw.environment.volume.loud = 60", "unknown_path"),
        ("vw.music._tracks['#len'] = 60", "unknown_path"),
        ("vw.music._tracks[0].name = 'x'", "unknown_path"),
        ("vw.environment.volume = '60'", "invalid_type"),
        ("vw.environment.volume = True", "invalid_type"),
        ("vw.environment.volume = 60.0", "invalid_type"),
        ("vw.environment.volume = None", "invalid_type"),
        ("vw.environment.volume = [60]", "invalid_type"),
        ("vw.environment.volume = 101", "out_of_range"),
        ("vw.environment.volume = -1", "out_of_range"),
        ("vw.environment.sound_channel = 'tv'", "invalid_value"),
        ("vw.tailLight.is_on = 1", "invalid_type"),
        ("vw.radio._max_history_size = 9", "constant"),
        ("vw.music._musicians['BTS'].name = 'x'", "constant"),
        ("vw.highBeamHeadlight.time_unit_options[0] = 'x'", "constant"),
        ("vw.door.doors['passenger seat'].angle = 101", "out_of_range"),
        ("vw.door.doors['passenger seat'] = {'angle': 6, 'angle_unit': 'gear'}", "out_of_range"),
        ("vw.door.doors['passenger seat'] = 3", "invalid_type"),
        ("vw.music._tracks = 3", "invalid_type"),
        ("vw.music._tracks = ['1']", "invalid_type"),
        ("vw.music._tracks[0] = 3", "invalid_type"),
        ("vw.music._tracks[3].is_favorite = True", "not_found"),
        ("vw.music._tracks[-4].is_favorite = True", "not_found"),
        ("vw.music._tracks[0].is_favorite = 'yes'", "invalid_type"),
        ("vw.music._tracks[0].id = '7'", "constant"),
        ("vw.music._tracks.append({'title': 'x'})", "missing_argument"),
        ("vw.music._tracks.append({'id': '77', 'title': 'x'})", "missing_argument"),
        ("vw.music._tracks.append({'id': '1', 'name': 'x'})", "unknown_path"),
        ("vw.music._tracks.append({'id': 1})", "invalid_type"),
        ("vw.music._tracks.insert(4, {'id': '1'})", "not_found"),
        ("vw.music._favorite_tracks.remove({'id': '2'})", "not_found"),
        ("vw.environment.append({'id': '2'})", "invalid_type"),
        ("del vw.environment.volume", "invalid_type"),
        ("del vw.music._tracks", "invalid_type"),
        ("vw.radio._current_station.city = 'x'", "not_found"),
        ("vw.navigation.waypoints.append({'location': 'x'})", "missing_argument"),
        ("vw.environment.timestamp = '" + "x" * 10_001 + "'", "limit"),
    ],
)
def test_a_wrong_write_is_refused_and_nothing_of_the_message_is_done(text: str, code: str) -> None:
    assert refused(f"vw.environment.language = 'English'\n{text}\nvw.fuelPort.is_open = True") == [code]


def test_every_error_is_told_with_its_path() -> None:
    _, result = write('{"volume": 1, "environment.volume": true, "music._tracks[9].title": "x"}')
    assert [error.param for error in result.errors] == ["volume", "environment.volume", "music._tracks[9].title"]
    assert "Did you mean environment.volume?" in result.errors[0].message
    assert "expected a whole number from 0 to 100" in result.errors[1].message
    assert result.to_json()["errors"][2]["code"] == "not_found"


def test_amount_and_unit_may_come_in_any_order() -> None:
    door = "vw.door.doors['passenger seat']"
    for lines in ([f"{door}.angle = 3", f"{door}.angle_unit = 'gear'"], [f"{door}.angle_unit = 'gear'", f"{door}.angle = 3"]):
        world, result = write("\n".join(lines))
        assert result.ok
        assert world.state.values["door.doors.passenger seat.angle"] == 3


def test_every_amount_with_ranges_by_unit_knows_its_unit() -> None:
    for path, row in TABLES.properties.items():
        if row.ranges:
            unit, (_, high) = next(iter(row.ranges.items()))
            name = path.rpartition(".")[0]
            units = [p for p, other in TABLES.properties.items() if p.startswith(name) and set(other.enum) == set(row.ranges)]
            assert len(units) == 1
            writes = [Write("set", units[0], unit), Write("set", path, high + 1)]
            assert [error.code for error in apply_writes(VehicleWorld(), writes).errors] == ["out_of_range"]
            assert apply_writes(VehicleWorld(), [writes[0], Write("set", path, int(high))]).ok


def test_a_larger_literal_may_repeat_what_is_there() -> None:
    world = VehicleWorld()
    for data in (plain_state(world), wrapped_state(world)):
        twin = VehicleWorld()
        result = apply_writes(twin, [Write("set", module, value) for module, value in data.items()])
        assert result.ok, result.errors
        assert result.changes == []
        assert twin == world
    door = plain_state(world, ["door"])["door"]["doors"]["passenger seat"]
    world, result = write(f"vw.door.doors['passenger seat'] = {door | {'angle': 40}!r}")
    assert world.state.values["door.doors.passenger seat.status"] == "open"
    assert result.contradictions == []
    assert refused(f"vw.door.doors['passenger seat'] = {door | {'position': 'second row left'}!r}") == ["constant"]


def test_a_track_is_one_thing_in_every_list() -> None:
    world, result = write("vw.music._tracks[0].is_favorite = False")
    assert {change.path.split("[")[0] for change in result.changes} == {
        f"music.{name}"
        for name in (
            "_tracks",
            "_current_playlist",
            "_history_tracks",
            "_favorite_tracks",
            "_local_tracks",
            "_downloaded_tracks",
        )
    }
    world, result = write("vw.music._favorite_tracks = [{'id': '2', 'is_favorite': True}, {'id': '1'}]", world)
    assert [record["title"] for record in world.state.items("music._favorite_tracks")] == ["Blinding Lights", "Shape of You"]
    assert world.state.items("music._tracks")[1]["is_favorite"] is True
    assert world.state.items("music._tracks")[0]["is_favorite"] is False


def test_an_unknown_identity_is_a_new_record_that_later_writes_know() -> None:
    station = {"name": "FM 4", "frequency_value": "103.8 MHz", "city": "Wien", "app_name": "ORF", "timestamp": 0}
    world, result = write(f"vw.radio._current_station = {station!r}\nvw.radio._history.insert(0, {station!r})")
    assert result.ok
    world.state.change_record(world.state.refs["radio._current_station"] or 0, city="Linz")
    assert world.state.items("radio._history")[0]["city"] == "Linz"
    assert len(world.state.items("radio._history")) == 3


def test_a_record_that_has_just_left_its_last_list_can_still_be_meant() -> None:
    world, result = write(
        "vw.radio._history.pop(0)\n"
        "vw.radio._current_station = {'name': 'WBEZ Chicago', 'frequency_value': '91.5 MHz', 'city': 'Gary'}"
    )
    assert result.ok
    station = world.state.item("radio._current_station")
    assert station is not None
    assert (station["app_name"], station["city"]) == ("Chicago Public Radio", "Gary")


def test_references_take_null_a_known_record_or_a_field() -> None:
    world, result = write("vw.video.current_video = {'video_id': 'loc_001', 'title': 'Scenic Drive Through Mountains'}")
    assert result.ok
    assert world.state.refs["video.current_video"] == world.state.lists["video.local_videos"][0]
    write("vw.video.current_video.is_liked = True", world)
    assert world.state.items("video.local_videos")[0]["is_liked"] is True
    write("vw.video.current_video = None\nvw.navigation.current_route = {'destination': 'Rome'}", world)
    assert world.state.item("video.current_video") is None
    assert world.state.item("navigation.current_route") == {"departure": "Current location", "destination": "Rome"}


def test_elements_come_and_go_in_order() -> None:
    world, result = write(
        "vw.conversation.messages.append({'contact': 'A', 'content': 'hi', 'incoming': False, 'read': True})\n"
        "vw.navigation.waypoints.append({'index': 1, 'location': 'Rome'})\n"
        "vw.navigation.waypoints[-1].location = 'Siena'\n"
        "del vw.navigation.waypoints[0]\n"
        "vw.music._favorite_tracks.remove({'id': '1'})\n"
        "vw.music._history_tracks.clear()"
    )
    assert result.ok
    assert world.state.items("conversation.messages")[-1]["timestamp"] is None
    assert [stop["location"] for stop in world.state.items("navigation.waypoints")] == ["Siena"]
    assert [track["id"] for track in world.state.items("music._favorite_tracks")] == ["3"]
    assert world.state.items("music._history_tracks") == []


def test_both_spellings_of_the_time_format_are_one() -> None:
    world, _ = write("vw.environment.time_display_format = '12-hour-format'")
    assert world.state.values["environment.time_display_format"] == "12-hour format"
    assert world.state.values["overheadScreen.time_display_format"] == "12-hour format"


def test_calls_and_writes_act_on_one_state() -> None:
    world, _ = write("vw.trunk.is_locked = False\nvw.trunk.current_open_degree_gear = 5")
    assert world.call("trunk", "carcontrol_trunk_switch", action="close").ok
    assert world.state.values["trunk.current_open_degree_percentage"] == 0
    assert world.call("music", "music_favorite_play").ok
    write("del vw.music._current_playlist[0]", world)
    assert [track["id"] for track in world.state.items("music._current_playlist")] == ["3"]


def test_the_published_car_writes_what_is_written_where_it_is_written() -> None:
    world, result = write(
        "vw.environment.volume = 'loud'\nvw.radio._max_history_size = 9\nvw.sunroof.open_degree_percentage = 40\n"
        "vw.environment.mood = 'good'\nvw.music._tracks[0].is_favorite = False\nvw.kitchen = {'light': [1, 2]}",
        VehicleWorld("published"),
    )
    values = world.state.values
    assert result.ok
    assert (values["environment.volume"], values["radio._max_history_size"]) == ("loud", 9)
    assert (values["environment.mood"], values["kitchen.light[1]"]) == ("good", 2)
    assert values["sunroof.open_degree_gear"] == 0
    assert [change.path for change in result.changes if change.path.startswith("music")] == ["music._tracks[0].is_favorite"]
    assert world.state.items("music._favorite_tracks")[0]["is_favorite"] is True


def test_the_published_car_tells_what_a_state_cannot_hold_and_writes_the_rest() -> None:
    _, result = write(
        "vw.music._tracks = 5\nvw.environment.volume = [1]\nvw.environment.volume.x = 5\nvw.tailLight.is_on = True",
        VehicleWorld("published"),
    )
    assert [error.code for error in result.errors] == ["invalid_type", "invalid_type", "unknown_path"]
    assert [change.path for change in result.changes] == ["tailLight.is_on"]


# -- between two states ---------------------------------------------------------------------------------------------


@cache
def functions() -> list[Function]:
    return [function for module in TABLES.modules.values() for function in module.functions.values()]


def some_arguments(chance: random.Random, function: Function) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    form = chance.choice(["value", "degree", "nothing"])
    for param in function.params:
        optional = not param.required
        if optional and (chance.random() < 0.2 or (param.name in ("value", "unit") and form != "value")):
            continue
        if optional and param.name == "degree" and form != "degree":
            continue
        if param.type == "bool":
            arguments[param.name] = chance.random() < 0.5
        elif param.enum:
            arguments[param.name] = chance.choice(param.enum)
        elif param.type in ("int", "number"):
            arguments[param.name] = chance.choice([1, 2, 3, 5, 10, 33.3, 50, 100] if param.type == "number" else [1, 2, 5, 50])
        elif param.type == "targets":
            arguments[param.name] = chance.choice([["all"], [SEATS[0]], [SEATS[2], SEATS[1]]])
        elif param.type == "list[str]":
            arguments[param.name] = chance.sample(["Berlin", "Paris", "Rome"], chance.randint(1, 2))
        else:
            arguments[param.name] = chance.choice(["Zhang San", "Li Si", "Default Contact", "Berlin", "News 24/7", "89.9 MHz"])
    if "value" in arguments and "unit" not in arguments:
        unit = next((param for param in function.params if param.name == "unit"), None)
        if unit is not None:
            arguments["unit"] = chance.choice(unit.enum or ("level",))
    return arguments


def some_request(chance: random.Random, profile: Profile) -> tuple[VehicleWorld, VehicleWorld]:
    world = VehicleWorld(profile)
    steps = [{"op": "env_preset", "preset": chance.choice(["default", "init1", "init3", "init7"])}]
    steps += [
        {"op": "module_preset", "module": module, "preset": chance.choice(PRESETS)}
        for module in MODULES
        if chance.random() < 0.7
    ]
    world.set_up(steps)
    before = world.copy()
    module = chance.choice(MODULES)
    for _ in range(chance.randint(1, 6)):
        near = [function for function in functions() if function.module == module]
        function = chance.choice(near if chance.random() < 0.6 else functions())
        world.call_with(function.module, function.name, (), some_arguments(chance, function))
    return before, world


@pytest.mark.parametrize("profile", ["fixed", "published"])
@settings(max_examples=250, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_writes_lead_from_any_state_to_any_that_calls_lead_to(profile: Profile, seed: int) -> None:
    before, after = some_request(random.Random(seed), profile)
    writes = writes_between(before, after)
    reached = before.copy()
    assert apply_writes(reached, writes).ok
    assert reached == after
    for syntax in SYNTAXES:
        assert parse_writes(format_writes(writes, syntax)) == writes
    changed = len(before.difference(after))
    assert len(writes) <= changed
    assert (not writes) is (changed == 0)


def test_derived_leaves_are_not_written() -> None:
    before = VehicleWorld()
    after = before.copy()
    after.call("steeringWheel", "carcontrol_steeringWheel_heater_switch", True)
    after.call("sunroof", "carcontrol_sunroof_switch", "open")
    after.call("door", "carcontrol_carDoor_switch", "open", ["all"])
    after.call("fuelPort", "switch", True)
    after.call("bluetooth", "carcontrol_connection_bluetooth_switch", not before.state.values["bluetooth.is_enabled"])
    writes = writes_between(before, after)
    assert not [write.path for write in writes if derived.follows(TABLES, write.path)]
    assert len(writes) == 1 + 1 + 6 + 1 + 1


def test_a_moved_record_is_named_by_its_identity_only() -> None:
    before = VehicleWorld()
    before.set_up([{"op": "module_preset", "module": "radio", "preset": "init2"}])
    after = before.copy()
    assert after.call("radio", "radio_favorite_play").ok
    writes = {write.path: write for write in writes_between(before, after)}
    assert set(writes) <= {
        "environment.sound_channel", "radio._is_playing", "radio._current_station", "radio._history", "radio._history[0]",
        "radio._collection[0].timestamp",
    }  # fmt: skip
    assert "city" not in str(writes["radio._history"].value)


def test_one_new_element_is_added_not_the_list_rewritten() -> None:
    before = VehicleWorld()
    before.set_up([{"op": "module_preset", "module": "conversation", "preset": "init2"}])
    after = before.copy()
    assert after.call("conversation", "conversation_message_send", "Zhang San", "On my way").ok
    assert [(write.op, write.path) for write in writes_between(before, after)] == [("add", "conversation.messages")]
    assert after.call("conversation", "conversation_contact_delete", "Li Si").ok
    assert Write("remove", "conversation.contacts[2]") in writes_between(before, after)


def test_states_that_no_write_leads_to_are_an_error_of_the_caller() -> None:
    before, after = VehicleWorld(), VehicleWorld()
    with pytest.raises(UsageError, match="profiles 'fixed' and 'published'"):
        writes_between(before, VehicleWorld("published"))
    after.state.set("environment.volume", 400)
    with pytest.raises(UsageError, match=r"No write leads to the state asked for: environment\.volume is 400"):
        writes_between(before, after)
    after = VehicleWorld()
    after.state.set("sunroof.open_degree_gear", 9)
    with pytest.raises(UsageError, match=r"stays|contradict"):
        writes_between(before, after)


def test_the_environment_can_be_written_as_a_whole() -> None:
    _, result = write("vw.environment = {'volume': 5, 'speaker': 'passenger seat'}")
    assert result.ok
    assert {change.path for change in result.changes} == {f"{ENVIRONMENT}.volume", f"{ENVIRONMENT}.speaker"}


@pytest.mark.parity
@pytest.mark.parametrize("profile", ["fixed", "published"])
def test_every_published_request_comes_out_the_same_by_calls_by_code_and_by_writes(profile: Profile) -> None:
    tasks = rows("tasks.jsonl.gz")
    if not tasks:
        pytest.skip("no tasks.jsonl.gz in the folders named by PALAESTRA_FIXTURES")
    for task in tasks:
        world = VehicleWorld(profile)
        world.set_up(task["init"])
        for request in task["dialogue"]:
            if not all("api" in call for call in request["calls"]):  # a gold answer that rebuilds a module, which is no call
                break
            before, by_code = world.copy(), world.copy()
            for call in request["calls"]:
                world.call_with(call["module"], call["api"], call["args"], call["kwargs"])
            by_writes = before.copy()
            assert apply_writes(by_writes, writes_between(before, world)).ok
            assert by_writes == world
            done = run_code(by_code, request["gold_raw"])
            if done.error is None:
                assert by_code == world
            else:  # the published gold sets shared properties in a few places, which no function of a module does
                assert "Environment.set_" in request["gold_raw"]
