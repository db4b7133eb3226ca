import json
import pickle
from functools import cache
from itertools import pairwise

import pytest

from palaestra.envs.vehicle.car.call_result import Change
from palaestra.envs.vehicle.car.tables import MODULES, car_tables
from palaestra.envs.vehicle.requests import vehicle_tasks
from palaestra.envs.vehicle.requests.generator import LEVELS, NUM_TEST_TASKS, Options, draw_task
from palaestra.envs.vehicle.requests.phrases import phrasebooks
from palaestra.envs.vehicle.requests.task import CarTask
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.errors import UnknownNameError, UsageError
from tests.hash_seeds import outputs

NUM = 250


@cache
def drawn(split: str, difficulty: str = "normal") -> list[tuple[CarTask, list[tuple[str, ...]]]]:
    pairs = [draw_task(split, index, Options(difficulty)) for index in range(NUM)]
    return [(CarTask.from_json(task.data), keys) for task, keys in pairs]


def start(task: CarTask) -> VehicleWorld:
    world = VehicleWorld("fixed")
    world.set_up(task.setup)
    return world


@pytest.mark.parametrize("difficulty", LEVELS)
def test_gold_plans_do_what_their_kinds_say(difficulty: str) -> None:
    for task, _ in drawn("train", difficulty):
        world = start(task)
        for request in task.requests:
            changes: list[Change] = []
            for call in request.calls:
                result = world.call_with(call.module, call.function, call.args, call.kwargs)
                assert result.ok, (request, result.error)
                changes += result.changes
            kinds = set(request.kinds)
            assert kinds & {"act", "query", "refuse", "already", "unmet"}
            assert bool(changes) == ("act" in kinds), request
            assert bool(request.calls) != bool(kinds & {"refuse", "unmet"}), request


def test_what_is_refused_would_indeed_be_refused() -> None:
    count = 0
    for task, keys in drawn("train", "hard"):
        world = start(task)
        for request, goals in zip(task.requests, keys, strict=True):
            if "refuse" in request.kinds:
                module, function, arguments = json.loads(goals[0])
                result = world.call_with(module, function, (), dict(arguments))
                assert not result.ok
                assert not result.changes
                count += 1
            for call in request.calls:
                world.call_with(call.module, call.function, call.args, call.kwargs)
    assert count >= 20


def test_writing_the_difference_ends_in_the_same_car_as_calling() -> None:
    writes = pytest.importorskip("palaestra.envs.vehicle.writes")
    for task, _ in (*drawn("train"), *drawn("test"), *drawn("train", "hard")):
        world = start(task)
        for request in task.requests:
            before = world.copy()
            for call in request.calls:
                world.call_with(call.module, call.function, call.args, call.kwargs)
            other = before.copy()
            result = writes.apply_writes(other, writes.writes_between(before, world))
            assert result.ok, (request, result)
            assert other == world, (request, world.difference(other))


@pytest.mark.parametrize("difficulty", LEVELS)
def test_splits_share_no_goal(difficulty: str) -> None:
    goals = {split: {frozenset(keys) for _, task in drawn(split, difficulty) for keys in task} for split in ("train", "test")}
    assert len(goals["test"]) >= 15
    assert not goals["train"] & goals["test"]


def test_splits_of_all_difficulties_and_seeds_stay_apart() -> None:
    train = {frozenset(keys) for difficulty in LEVELS for _, task in drawn("train", difficulty) for keys in task}
    other = [draw_task("test", index, Options("normal", seed=7))[1] for index in range(100)]
    assert not train & {frozenset(keys) for task in other for keys in task}


def test_a_task_is_made_alone_and_the_same_for_ever() -> None:
    tasks = vehicle_tasks()
    far = tasks.at("train", 123_456)
    assert vehicle_tasks().at("train", 123_456) == far
    assert tasks.find(far.key) == far
    assert pickle.loads(pickle.dumps(tasks)).at("train", 3) == tasks.at("train", 3)
    assert tasks.size("train") is None
    assert tasks.size("test") == NUM_TEST_TASKS
    assert len({json.dumps(tasks.at("train", index).data) for index in range(NUM)}) == NUM


def test_tasks_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "from palaestra.envs.vehicle.requests import vehicle_tasks; import json;"
        "print(json.dumps([vehicle_tasks('hard').at('test', i).data for i in range(15)]))"
    )
    assert len(outputs(code)) == 1


def test_tasks_survive_json_and_say_their_class() -> None:
    for index in range(30):
        task = vehicle_tasks().at("train", index)
        car = CarTask.from_json(json.loads(json.dumps(task.data)))
        assert car.to_json() == task.data
        assert task.type == car.interaction


def test_no_request_gives_away_a_function_name() -> None:
    for task, _ in (*drawn("train"), *drawn("train", "hard")):
        for request in task.requests:
            assert "_" not in request.text
            assert "{" not in request.text
            assert "[" not in request.text
            assert "  " not in request.text
            for call in request.calls:
                if any(letter.isupper() for letter in call.module[1:]) and call.module != "HUD":
                    assert call.module not in request.text


def test_the_same_words_of_the_same_speaker_ask_for_the_same() -> None:
    meant: dict[tuple[str, object], tuple[str, ...]] = {}
    for task, goals in (
        *drawn("train"),
        *drawn("test"),
        *drawn("train", "hard"),
        *drawn("train", "easy"),
        *drawn("test", "easy"),
    ):
        speaker = start(task).state.values["environment.speaker"]
        for request, keys in zip(task.requests, goals, strict=True):
            if not {"compound", "inform", "follow-up"} & set(request.kinds):  # these mean what state or dialogue say
                assert meant.setdefault((request.text, speaker), keys) == keys, request


def test_easy_tasks_are_one_short_request_about_one_of_a_few_modules() -> None:
    for task, _ in drawn("train", "easy"):
        assert task.interaction == "S-S"
        assert task.modules[0] in LEVELS["easy"].modules
        assert task.requests[0].kinds[0] == "act"
        assert len(task.requests[0].calls) == 1
        assert len(task.requests[0].text.split()) <= 14


def test_hard_tasks_hold_every_kind_of_request() -> None:
    kinds = {kind for task, _ in drawn("train", "hard") for request in task.requests for kind in request.kinds}
    assert {
        "act",
        "query",
        "refuse",
        "already",
        "inform",
        "unmet",
        "speaker",
        "degree",
        "value",
        "compound",
        "follow-up",
    } <= kinds


def test_dialogues_have_up_to_five_requests_of_all_classes() -> None:
    tasks = [task for difficulty in ("normal", "hard") for task, _ in drawn("train", difficulty)]
    assert {len(task.requests) for task in tasks} == {1, 2, 3, 4, 5}
    assert {task.interaction for task in tasks} == {"S-S", "S-M", "M-S", "M-M"}


def test_tasks_can_be_narrowed() -> None:
    tasks = vehicle_tasks("hard", modules=["door", "music"], interactions=["M-M"], kinds=["refuse"])
    for index in range(10):
        car = CarTask.from_json(tasks.at("train", index).data)
        assert set(car.modules) == {"door", "music"}
        assert car.interaction == "M-M"
        assert any("refuse" in request.kinds for request in car.requests)


@pytest.mark.parametrize("kind", [f"C{number}" for number in range(1, 16)])
def test_every_coupling_is_asked_for_in_both_splits(kind: str) -> None:
    for split in ("train", "test"):
        car = CarTask.from_json(vehicle_tasks(kinds=[kind]).at(split, 0).data)
        assert any(kind in request.kinds for request in car.requests)


def test_tasks_of_the_published_profile_hold_in_it() -> None:
    for index in range(60):
        task = CarTask.from_json(vehicle_tasks(profile="published").at("train", index).data)
        world = VehicleWorld("published")
        world.set_up(task.setup)
        for request in task.requests:
            for call in request.calls:
                assert world.call_with(call.module, call.function, call.args, call.kwargs).ok


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"difficulty": "brutal"}, "Unknown difficulty 'brutal'"),
        ({"modules": ["doors"]}, "Unknown module 'doors'"),
        ({"interactions": ["X-S"]}, "Unknown interaction class"),
        ({"difficulty": "easy", "interactions": ["M-M"]}, "Unknown interaction class of easy tasks 'M-M'"),
        ({"profile": "rough"}, "Unknown profile 'rough'"),
    ],
)
def test_unknown_options_are_refused(options: dict[str, str], told: str) -> None:
    with pytest.raises(UnknownNameError, match=told):
        vehicle_tasks(**options)  # type: ignore[arg-type]


def test_options_that_leave_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="need two modules"):
        vehicle_tasks(modules=["door"], interactions=["S-M"])
    with pytest.raises(UsageError, match="No task was found"):
        vehicle_tasks("easy", modules=["door"], kinds=["C14"]).at("train", 0)


def test_the_gold_plans_of_normal_tasks_use_all_modules_and_functions() -> None:
    wanted = {(module, function) for module in MODULES for function in car_tables().modules[module].functions}
    assert {(module, i.function.name) for module, book in phrasebooks().items() for i in book.intents.values()} == wanted
    index = 0
    while wanted and index < 3000:
        task = CarTask.from_json(draw_task("train", index)[0].data)
        wanted -= {(call.module, call.function) for request in task.requests for call in request.calls}
        index += 1
    assert not wanted


def test_consecutive_tasks_differ_in_words_and_states() -> None:
    tasks = [task for task, _ in drawn("train")]
    assert sum(a.setup == b.setup for a, b in pairwise(tasks)) < NUM / 20
    assert len({request.text for task in tasks for request in task.requests}) > 0.8 * sum(len(t.requests) for t in tasks)


def test_the_stream_of_chance_has_its_first_name_in_every_profile() -> None:
    rest = "difficulty='normal', modules=(), interactions=(), kinds=()"
    assert Options(seed=5).stream == f"Options({rest}, profile='fixed', seed=5)"
    assert Options(profile="published", seed=5).stream == f"Options({rest}, profile='paper', seed=5)"
