import json
import pickle

import pytest

from palaestra.envs.vehicle.car.car import PROFILES, Profile
from palaestra.envs.vehicle.car.tables import MODULES, SEATS, car_tables
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.errors import UsageError
from tests.envs.vehicle.published_data import files, rows


def test_the_car_has_30_modules_and_248_functions() -> None:
    tables = car_tables()
    assert len(MODULES) == 30
    assert sum(len(module.functions) for module in tables.modules.values()) == 248


@pytest.mark.parametrize("profile", PROFILES)
def test_every_function_can_be_called_and_says_what_it_does(profile: Profile) -> None:
    for module in MODULES:
        for function in car_tables().modules[module].functions.values():
            result = VehicleWorld(profile).call_with(module, function.name, (), {})
            json.dumps(result.to_json())
            assert len(function.doc) > 15, f"{module}.{function.name} has no doc"


@pytest.mark.parametrize("profile", PROFILES)
def test_a_world_comes_back_from_its_json(profile: Profile) -> None:
    world = VehicleWorld(profile)
    world.set_up([{"op": "env_preset", "preset": "init7"}, {"op": "module_preset", "module": "music", "preset": "init1"}])
    world.call("music", "music_favorite_play")
    text = json.dumps(world.to_json())
    back = VehicleWorld.from_json(json.loads(text))
    assert back == world
    assert hash(back) == hash(world)
    assert json.dumps(back.to_json()) == text
    assert pickle.loads(pickle.dumps(world)) == world
    assert (
        back.call("music", "music_favorite_collect", True).changes
        == world.call("music", "music_favorite_collect", True).changes
    )


def test_worlds_do_not_touch_each_other() -> None:
    world = VehicleWorld()
    other = world.copy()
    assert other.call("door", "carcontrol_carDoor_lock_switch", True, ["all"]).ok
    assert world == VehicleWorld()
    assert [change.path for change in world.difference(other)] == [f"door.doors.{seat}.is_locked" for seat in SEATS]


@pytest.mark.parametrize(
    ("module", "function", "code"),
    [("doors", "x", "unknown_module"), ("environment", "x", "unknown_module"), ("door", "open", "unknown_function")],
)
def test_an_unknown_name_is_a_result_that_says_what_there_is(module: str, function: str, code: str) -> None:
    result = VehicleWorld().call(module, function)
    assert result.error is not None
    assert (result.ok, result.error.code, result.changes) == (False, code, [])


@pytest.mark.parametrize(
    "step",
    [
        {"op": "warp"},
        {"op": "env_preset", "preset": "init9"},
        {"op": "env_set", "property": "speed", "value": 3},
        {"op": "module_preset", "module": "door", "preset": "init3"},
        {"op": "module_preset", "module": "doors", "preset": "init1"},
        {"op": "module_preset", "module": "door", "preset": "init1", "kwargs": {"angle": 3}},
    ],
)
def test_an_unknown_set_up_step_is_refused(step: dict) -> None:
    with pytest.raises(UsageError):
        VehicleWorld().set_up([step])


@pytest.mark.parity
@pytest.mark.parametrize("module", MODULES)
def test_presets_are_the_published_ones(module: str) -> None:
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files("presets.json")]
    if not found:
        pytest.skip("no presets.json in the folders named by PALAESTRA_FIXTURES")
    for data in found:
        for preset in ("default", "init1", "init2"):
            world = VehicleWorld("published")
            world.set_up([{"op": "module_preset", "module": module, "preset": preset}])
            leaves = {path: value for path, value in world.state.flat().items() if path.startswith(f"{module}.")}
            for path, value in _leaves(data["modules"][module][preset], module):
                assert leaves.pop(path) == value, (preset, path)
            assert not {path for path in leaves if not path.endswith(".#len")}, preset
            effects = data["environment_side_effects_of_module_presets"].get(f"{module}.{preset}", {})
            for name, value in effects.items():
                assert world.state.values[f"environment.{name}"] == value


@pytest.mark.parity
def test_tasks_start_in_the_published_environment() -> None:
    tasks = rows("tasks.jsonl.gz")
    if not tasks:
        pytest.skip("no tasks.jsonl.gz in the folders named by PALAESTRA_FIXTURES")
    wrong = []
    for task in tasks:
        world = VehicleWorld("published")
        world.set_up(task["init"])
        shared = {name: world.state.values[f"environment.{name}"] for name in task["initial_environment"]}
        if shared != task["initial_environment"]:
            wrong.append((task["id"], shared, task["initial_environment"]))
    assert not wrong, f"{len(wrong)} of {len(tasks)} differ, e.g. {wrong[:3]}"


def _leaves(tree, path):
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{path}.{key}")
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _leaves(value, f"{path}[{index}]")
    else:
        yield path, tree
