from __future__ import annotations

import json
import time
from functools import cache
from typing import Any

import pytest

from palaestra.envs.core.tasks import Task
from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.car.car import Profile
from palaestra.envs.vehicle.published.scoring import MeanScore
from palaestra.envs.vehicle.published.tasks import load_published
from palaestra.envs.vehicle.reference import Policy, do_nothing, follow_gold, replay, vandalise
from palaestra.envs.vehicle.requests.gold import carry_out, gold_effect, uses_degree
from palaestra.envs.vehicle.requests.task import CarRequest, CarTask
from palaestra.envs.vehicle.strict import RequestVerdict
from palaestra.envs.vehicle.world import VehicleWorld
from tests.envs.vehicle.published_data import changes, files

SHARED_TASKS = 934
WALL_CLOCK_LISTS = ("conversation.call_records", "conversation.messages")


@cache
def published_tasks() -> list[tuple[Task, CarTask]]:
    """Return all published tasks found."""
    tasks = {task.key: task for file in files("tasks.jsonl.gz") for task in load_published(file)}
    if not tasks:
        pytest.skip("no tasks.jsonl.gz in the folders named by PALAESTRA_FIXTURES")
    return [(task, CarTask.from_json(task.data)) for task in tasks.values()]


@cache
def played(policy: Policy) -> list[list[RequestVerdict]]:
    """Return the verdicts of a policy on all published tasks."""
    return [replay(task, policy) for _, task in published_tasks()]


def mean(policy: Policy, interaction: str = "") -> MeanScore:
    """Return the published scores of a policy."""
    verdicts = zip(published_tasks(), played(policy), strict=True)
    return MeanScore.of(
        MeanScore.of(verdict.published for verdict in requests)
        for (task, _), requests in verdicts
        if task.type == interaction or not interaction
    )


def percent(score: MeanScore) -> tuple[float, float, float]:
    return round(100 * score.f1_positive, 2), round(100 * score.f1_negative, 2), round(100 * score.accuracy, 2)


def follow_gold_by_another_clock(world: VehicleWorld, task: CarTask, request: CarRequest) -> None:
    """Follow the gold plan, a moment later: what is stamped with the wall clock is stamped differently."""
    state = world.state
    before = {path: state.lists[path] for path in WALL_CLOCK_LISTS}
    follow_gold(world, task, request)
    for path, old in before.items():
        for number in set(state.lists[path]) - set(old):
            stamp = state.records[number]["timestamp"]
            state.change_record(number, timestamp=(stamp if isinstance(stamp, float) else 0.0) + 1.5)


# -- published data ---------------------------------------------------------------------------------------------------


@pytest.mark.parity
def test_the_gold_calls_of_every_task_change_what_the_reference_changed() -> None:
    wrong = []
    for task, car_task in published_tasks():
        world = VehicleWorld("published")
        world.set_up(car_task.setup)
        for i, request in enumerate(car_task.requests):
            gold = gold_effect(world, request.calls)
            got = changes([change.to_json() for change in gold.changes])
            if got != changes(task.data["published"]["changed"][i]):
                wrong.append(f"{task.key}[{i}]: {got.keys() ^ changes(task.data['published']['changed'][i]).keys()}")
            if [result.ok for result in gold.results] != task.data["published"]["calls_ok"][i]:
                wrong.append(f"{task.key}[{i}]: {[result.error for result in gold.results]}")
    assert not wrong, f"{len(wrong)} requests differ\n" + "\n".join(wrong[:20])


@pytest.mark.parity
@pytest.mark.parametrize("profile", ["published", "fixed"])
def test_writing_the_resulting_state_comes_to_the_same_as_the_gold_calls(profile: Profile) -> None:
    from palaestra.envs.vehicle.writes import apply_writes, writes_between

    num_requests = 0
    for task, car_task in published_tasks():
        world = VehicleWorld(profile)
        world.set_up(car_task.setup)
        for i, request in enumerate(car_task.requests):
            before = world.copy()
            gold = gold_effect(world, request.calls)
            writes = writes_between(before, world)
            result = apply_writes(before, writes)
            assert result.ok, (task.key, i, result.errors)
            assert before == world, (task.key, i, before.difference(world))
            assert bool(writes) == bool(gold.changes), (task.key, i)
            num_requests += 1
    assert num_requests == sum(len(task.requests) for _, task in published_tasks())


@pytest.mark.parity
def test_reference_agents_get_the_published_marks() -> None:
    if len(published_tasks()) != SHARED_TASKS:
        pytest.skip(f"the published marks are of {SHARED_TASKS} tasks; {len(published_tasks())} were found")
    assert percent(mean(do_nothing)) == (25.66, 97.80, 25.66)
    by_class = {name: percent(mean(do_nothing, name))[2] for name in ("S-S", "S-M", "M-S", "M-M")}
    assert by_class == {"S-S": 17.61, "S-M": 8.57, "M-S": 42.72, "M-M": 26.75}
    assert percent(mean(follow_gold)) == (100, 100, 100)
    assert percent(mean(follow_gold_by_another_clock)) == (100, 100, 99.78)


@pytest.mark.parity
def test_doing_nothing_is_right_in_just_the_requests_without_a_visible_change() -> None:
    for (task, _), verdicts in zip(published_tasks(), played(do_nothing), strict=True):
        for count, verdict in zip(task.data["published"]["metric_n_should_change"], verdicts, strict=True):
            assert verdict.published.should_change == count
            assert verdict.published.accuracy == (count == 0)
            assert verdict.published.f1_positive == verdict.do_nothing.f1_positive == verdict.do_nothing.accuracy


@pytest.mark.parity
def test_gold_is_perfect_by_every_score() -> None:
    for verdicts in played(follow_gold):
        for verdict in verdicts:
            assert (verdict.published.accuracy, verdict.published.f1_positive, verdict.published.f1_negative) == (1, 1, 1)
            assert verdict.strict.request_success
            assert verdict.strict.refusal in (True, None)


@pytest.mark.parity
def test_a_vandal_gets_the_marks_of_gold_and_is_caught_by_the_strict_scores() -> None:
    assert mean(vandalise) == mean(follow_gold)
    caught = 0
    for (_, task), verdicts in zip(published_tasks(), played(vandalise), strict=True):
        if {"door", "window"} <= set(task.modules):
            continue
        caught += 1
        assert not verdicts[0].strict.request_success
        assert not verdicts[0].strict.loose_success
        assert len(verdicts[0].strict.side_effects) >= 6
        assert verdicts[0].strict.refusal in (False, None)
    assert caught > 0.9 * len(published_tasks())


@pytest.mark.parity
def test_replaying_and_scoring_the_shared_tasks_takes_about_a_second() -> None:
    tasks = [task for _, task in published_tasks()]
    started = time.process_time()
    num_requests = sum(len(replay(task, follow_gold)) for task in tasks)
    assert (time.process_time() - started) / num_requests < 2 * 1.0 / 2093  # twice the aim: the machine may be busy


# -- small tasks of our own -------------------------------------------------------------------------------------------

OPEN = Call("door", "carcontrol_carDoor_switch", ("open",), {"position": ["driver's seat"]})
LOUDER = Call("video", "video_soundVolume_increase", (), {"degree": "tiny"})


def task_of(*requests: tuple[Call, ...], modules: tuple[str, ...] = ("door", "video")) -> CarTask:
    return CarTask(modules, (), tuple(CarRequest(f"request {i}", calls) for i, calls in enumerate(requests)))


@pytest.mark.parametrize("profile", ["published", "fixed"])
def test_what_a_policy_does_stays_for_the_next_request(profile: Profile) -> None:
    def late(world: VehicleWorld, task: CarTask, request: CarRequest) -> None:
        if request.text == "request 1":
            carry_out(world, OPEN)

    first, second = replay(task_of((OPEN,), (OPEN,)), late, profile)
    assert (first.published.accuracy, first.strict.request_success) == (0, False)
    assert len(first.strict.missing) == first.published.should_change > 0
    assert (second.published.should_change, second.strict.refusal) == (0, False)
    assert set(second.strict.side_effects) == set(first.strict.missing)


def test_leaves_moved_by_a_degree_word_are_known() -> None:
    gold = gold_effect(VehicleWorld(), [LOUDER, OPEN])
    assert [result.ok for result in gold.results] == [True, True]
    assert gold.degree_paths == {"environment.volume", "environment.sound_channel"}
    assert uses_degree(LOUDER)
    assert uses_degree(Call("window", "carcontrol_window_height_set", (["all"], None, None, "max")))
    assert not uses_degree(Call("window", "carcontrol_window_height_set", (["all"], 50, "percentage")))
    assert not uses_degree(Call("conversation", "conversation_message_send", ("low", "max")))
    assert not uses_degree(OPEN)


def test_a_degree_word_is_met_loosely_by_another_amount() -> None:
    def by_three(world: VehicleWorld, task: CarTask, request: CarRequest) -> None:
        world.call("video", "video_soundVolume_increase", value=3)

    (verdict,) = replay(task_of((LOUDER,)), by_three, "fixed")
    assert (verdict.strict.request_success, verdict.strict.loose_success) == (False, True)
    assert verdict.strict.wrong == ("environment.volume",)


def test_gold_may_look_set_what_is_shared_and_put_modules_into_presets() -> None:
    world = VehicleWorld()
    assert carry_out(world, Call("music", "to_dict")).ok
    assert gold_effect(world, [Call("environment", "set_volume", (12,))]).changes[0].new == 12
    assert gold_effect(world, [Call("door", "init2")]).changes
    assert world.state.changes_since(0)
    assert not carry_out(world, Call("environment", "set_volum", (12,))).ok
    assert not carry_out(world, Call("doors", "init2")).ok


def test_refused_gold_is_no_reason_to_stop() -> None:
    gold = gold_effect(VehicleWorld(), [Call("door", "nothing"), OPEN])
    assert [result.ok for result in gold.results] == [False, True]
    assert gold.changes


def test_verdicts_are_plain_data() -> None:
    (verdict,) = replay(task_of((OPEN, LOUDER)), vandalise, "fixed")
    scores: dict[str, Any] = json.loads(json.dumps(verdict.scores()))
    assert scores["side_effects"] >= 6
    assert scores["do_nothing"]["accuracy"] == 0
