import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.calls.schemas import api_text, call_of_tool, tool_name, tool_schemas
from palaestra.envs.vehicle.car import derived
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.car import Profile
from palaestra.envs.vehicle.car.descriptions import module_list, schema_text
from palaestra.envs.vehicle.car.layout import car_layout
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, MODULES, PRESETS, SEATS, car_tables
from palaestra.envs.vehicle.car.views import plain_state, restore_plain, state_text, wrapped_state
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.errors import UsageError
from palaestra.types import ToolCall
from tests.envs.vehicle.published_data import files
from tests.envs.vehicle.writes.test_writes import some_request

TABLES = car_tables()


def unwrap(data: object) -> object:
    if isinstance(data, dict):
        if data.keys() == {"value", "type", "description"}:
            return unwrap(data["value"])
        return {name: unwrap(value) for name, value in data.items()}
    return [unwrap(value) for value in data] if isinstance(data, list) else data


@pytest.mark.parametrize("profile", ["fixed", "published"])
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 2**32))
def test_all_forms_show_the_same_and_the_plain_one_leads_back(profile: Profile, seed: int) -> None:
    _, world = some_request(random.Random(seed), profile)
    plain = plain_state(world)
    assert json.loads(state_text(world)) == plain
    assert unwrap(wrapped_state(world)) == plain
    assert json.loads(state_text(world, wrapped=True)) == wrapped_state(world)
    twin = VehicleWorld(profile)
    restore_plain(twin, json.loads(state_text(world)))
    assert plain_state(twin) == plain
    assert twin.state.flat() == world.state.flat()


@pytest.mark.parametrize("profile", ["fixed", "published"])
def test_records_are_one_again_after_a_round_trip(profile: Profile) -> None:
    for preset in PRESETS:
        world = VehicleWorld(profile)
        world.set_up([{"op": "module_preset", "module": module, "preset": preset} for module in MODULES])
        twin = VehicleWorld(profile)
        restore_plain(twin, plain_state(world))
        assert twin == world
        assert (
            twin.call("music", "music_favorite_collect", False).changes
            == world.call("music", "music_favorite_collect", False).changes
        )


def test_text_keeps_numbers_as_they_are() -> None:
    world = VehicleWorld("published")
    for value, text in ((25, "25"), (25.0, "25.0"), (True, "true"), (1, "1"), (0.5, "0.5"), ("1", '"1"'), (None, "null")):
        world.state.values["environment.volume"] = value
        assert state_text(world, [ENVIRONMENT]).startswith(f'{{"environment":{{"volume":{text},')


def test_modules_and_constants_can_be_left_out() -> None:
    world = VehicleWorld()
    assert list(plain_state(world, ["seat", "environment"])) == ["environment", "seat"]
    assert list(plain_state(world)) == [ENVIRONMENT, *MODULES]
    short = plain_state(world, ["radio", "HUD"], constants=False)
    assert "_max_history_size" not in short["radio"]
    assert list(short["HUD"]) == ["is_on", "brightness", "height"]
    assert json.loads(state_text(world, ["radio", "HUD"], constants=False)) == short
    assert json.loads(state_text(world, [])) == {}
    with pytest.raises(UsageError, match="Unknown module 'kitchen'"):
        state_text(world, ["kitchen"])


def test_what_only_the_published_profile_holds_is_shown() -> None:
    world = VehicleWorld("published")
    world.state.set("environment.mood", "good")
    world.state.set("kitchen.light", 3)
    assert plain_state(world)["environment"]["mood"] == "good"
    assert json.loads(state_text(world)) == plain_state(world)


def test_a_state_is_a_fresh_copy() -> None:
    world = VehicleWorld()
    plain_state(world)["music"]["_tracks"][0]["title"] = "x"
    assert world == VehicleWorld()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kitchen": {}}, "Unknown module 'kitchen'"),
        ({"door": 3}, "door is '3'; expected a map"),
        ({"environment": {"volume": 3, "mood": 1}}, "Unknown property of environment 'mood'"),
        ({"environment": {"volume": [3]}}, "expected a scalar"),
        ({"music": {"_tracks": 3}}, "expected a list"),
        ({"music": {"_tracks": [{"id": "1"}]}}, "expected a MusicTrack with the fields"),
        ({"video": {"current_video": 3}}, "expected a VideoItem"),
        ({"music": {"_musicians": 3}}, "expected a map"),
        ({"highBeamHeadlight": {"time_unit_options": 3}}, "expected a list"),
    ],
)
def test_data_that_do_not_fit_change_nothing(data: dict[str, object], message: str) -> None:
    world = VehicleWorld()
    with pytest.raises(UsageError, match=message):
        restore_plain(world, {"tailLight": {"is_on": True}} | data)
    assert world == VehicleWorld()


def test_restoring_a_part_leaves_the_rest() -> None:
    world = VehicleWorld()
    restore_plain(world, {"environment": {"volume": 7}, "music": {"_musicians": {}}})
    changed = {change.path.split(".")[1] for change in VehicleWorld().difference(world)}
    assert changed == {"volume", "_musicians"}
    assert plain_state(world, ["music"])["music"]["_musicians"] == {}
    assert json.loads(state_text(world, ["music"])) == plain_state(world, ["music"])
    assert world.state.values["environment.volume"] == 7


@pytest.mark.parity
@pytest.mark.parametrize("module", MODULES)
def test_the_plain_state_of_every_preset_is_the_published_one(module: str) -> None:
    found = files("presets.json")
    if not found:
        pytest.skip("no presets.json in the folders named by PALAESTRA_FIXTURES")
    for preset in PRESETS:
        world = VehicleWorld("published")
        world.set_up([{"op": "module_preset", "module": module, "preset": preset}])
        published = json.loads(found[0].read_text(encoding="utf-8"))["modules"][module][preset]
        assert plain_state(world, [module])[module] == published


# -- texts and schemas ----------------------------------------------------------------------------------------------


def test_every_module_and_function_says_what_it_is() -> None:
    texts = module_list(TABLES)
    assert list(texts) == [ENVIRONMENT, *MODULES]
    api = api_text(TABLES)
    for module in TABLES.modules.values():
        assert texts[module.name]
        for function in module.functions.values():
            assert f"vw.{module.name}.{function.name}(" in api
            for param in function.params:
                assert all(repr(word) in api for word in param.enum)


def test_an_api_text_holds_only_the_modules_asked_for_in_that_order() -> None:
    text = api_text(TABLES, ["wiper", "door"])
    assert text.index("# wiper") < text.index("# door")
    assert "vw.seat" not in text
    assert "vw.wiper.carcontrol_wiperBlade_switch(switch: bool, position: 'front' | 'rear' | 'all' = 'all')" in text
    assert "No functions" in api_text(TABLES, [ENVIRONMENT])
    with pytest.raises(UsageError, match="Unknown module 'kitchen'"):
        api_text(TABLES, ["kitchen"])


def test_the_schema_tells_type_range_words_unit_and_what_follows() -> None:
    text = schema_text(TABLES, ["environment", "door", "sunroof", "music"])
    assert "volume: int;" in text
    assert "0 to 100" in text
    assert "speaker: one of driver's seat | passenger seat" in text
    assert "0 to 5 in gear, 0 to 100 in percentage, 0 to 80 in centimeter" in text
    assert "in celsius" in text
    assert "MusicTrack (told apart by id): id: str" in text
    assert "constant: configuration.*" in text
    lines = {line.split(": ")[0]: line for line in text.splitlines()}
    for path, line in (("open_degree_gear", True), ("open_degree_percentage", False)):
        assert lines[path].endswith("; derived") is line is derived.follows(TABLES, f"sunroof.{path}")
    with pytest.raises(UsageError, match="Unknown module 'kitchen'"):
        schema_text(TABLES, ["kitchen"])


def test_every_leaf_that_can_be_written_is_in_the_schema() -> None:
    text = schema_text(TABLES)
    for node in car_layout(TABLES).leaves():
        if not node.constant:
            assert f"\n{node.prop.path.replace('{seat}', '<seat>')}: " in text


def test_descriptions_tell_of_sound_climate_and_rows() -> None:
    wrapped = wrapped_state(VehicleWorld(), [ENVIRONMENT])[ENVIRONMENT]["value"]
    assert "whoever writes state writes this too" in wrapped["sound_channel"]["description"]
    assert "while cooling the lowest" in wrapped["temperature"]["description"]
    assert "front row is the row ahead" in wrapped["speaker"]["description"]
    assert wrapped["volume"]["value"] == 50


def test_tools_have_valid_names_and_schemas_and_lead_back() -> None:
    schemas = tool_schemas(TABLES)
    functions = [function for module in TABLES.modules.values() for function in module.functions.values()]
    assert len(schemas) == len(functions)
    assert len({schema["function"]["name"] for schema in schemas}) == len(functions)
    for schema, function in zip(schemas, functions, strict=True):
        shape = schema["function"]
        assert shape["name"] == tool_name(function)
        assert len(shape["name"]) <= 64
        assert shape["description"]
        parameters = shape["parameters"]
        assert parameters["type"] == "object"
        assert parameters["additionalProperties"] is False
        assert list(parameters["properties"]) == [param.name for param in function.params]
        assert parameters["required"] == [param.name for param in function.params if param.required]
        assert {part["type"] for part in parameters["properties"].values()} <= {
            "boolean",
            "integer",
            "number",
            "string",
            "array",
        }
        for name in (shape["name"], f"{function.module}__{function.name}"):
            call = call_of_tool(TABLES, ToolCall(name, {"switch": True}))
            assert call == Call(function.module, function.name, (), {"switch": True})


def test_tool_parameters_have_their_words_and_places() -> None:
    by_name = {
        schema["function"]["name"]: schema["function"]["parameters"]["properties"] for schema in tool_schemas(TABLES, ["door"])
    }
    opened = by_name["door__carcontrol_carDoor_angle_set"]
    assert opened["position"]["items"]["enum"] == [*SEATS, "all"]
    assert opened["unit"]["enum"] == ["gear", "percentage", "centimeter"]
    assert opened["value"]["type"] == "number"


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        (ToolCall("door__open", {}), "unknown_function", "Unknown function 'door__open'"),
        (ToolCall("tailLight__switch", "{oops"), "invalid_type", "no JSON object"),
        (ToolCall("tailLight__switch", {"switch": "\udfff"}), "invalid_value", "surrogate"),
        (ToolCall("tailLight__switch", {"switch": float("inf")}), "invalid_value", "finite"),
    ],
)
def test_wrong_tool_calls_are_refused(call: ToolCall, code: str, message: str) -> None:
    with pytest.raises(Refusal, match=message) as caught:
        call_of_tool(TABLES, call)
    assert caught.value.code == code
