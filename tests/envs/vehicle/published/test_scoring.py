from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.vehicle.car.call_result import Change
from palaestra.envs.vehicle.car.tables import MODULES, SEATS
from palaestra.envs.vehicle.published.scoring import (
    MeanScore,
    RequestScore,
    Scope,
    idle_score,
    score_changes,
    score_request,
    score_scope,
    visible,
)
from palaestra.envs.vehicle.published.visibility import ABSENT
from palaestra.envs.vehicle.world import VehicleWorld
from tests.envs.vehicle.published_data import rows

FIGURES = {
    "TP": "true_positive",
    "FP": "false_positive",
    "negative_TP": "true_negative",
    "negative_FP": "false_negative",
    "correctly_changed": "correct",
    "change_accuracy": "accuracy",
    "f1_positive": "f1_positive",
    "f1_negative": "f1_negative",
}


@pytest.mark.parity
def test_every_published_scoring_example_comes_out_as_published() -> None:
    found = rows("metric_fixtures.jsonl.gz")
    if not found:
        pytest.skip("no metric_fixtures.jsonl.gz in the folders named by PALAESTRA_FIXTURES")
    for row in found:
        score = score_request(row["ref_before"], row["ref_after"], row["pred_before"], row["pred_after"])
        if "raises" in row["expected"]:
            assert score.incomparable >= 1, row["id"]
            continue
        got = {name: getattr(score, ours) for name, ours in FIGURES.items()}
        assert got == pytest.approx(row["expected"]["result"], abs=1e-9), row["id"]
        assert score.incomparable == 0, row["id"]


@pytest.mark.parity
def test_published_examples_come_out_the_same_from_changes_alone() -> None:
    found = rows("metric_fixtures.jsonl.gz")
    if not found:
        pytest.skip("no metric_fixtures.jsonl.gz in the folders named by PALAESTRA_FIXTURES")
    for row in found:
        if any(
            value is None for name in ("ref_before", "ref_after", "pred_before", "pred_after") for value in row[name].values()
        ):
            continue  # changes tell a null as absent, on both sides
        whole = score_request(row["ref_before"], row["ref_after"], row["pred_before"], row["pred_after"])
        assert _from_changes(row["ref_before"], row["ref_after"], row["pred_before"], row["pred_after"]) == whole, row["id"]


@pytest.mark.parity
def test_the_leaves_of_every_published_request_are_counted_as_published() -> None:
    found = rows("tasks.jsonl.gz")
    if not found:
        pytest.skip("no tasks.jsonl.gz in the folders named by PALAESTRA_FIXTURES")
    for row in found:
        world = VehicleWorld("published")
        world.set_up(row["init"])
        scope = Scope(row["modules"])
        num_leaves = scope.count(world.state)
        assert num_leaves == len(visible(world, row["modules"]))
        for request in row["dialogue"]:
            changes = [Change(c["op"], c["path"], c.get("old"), c.get("new")) for c in request["changed"]]
            seen = scope.changes(changes).values()
            num_new, num_gone = sum(old is ABSENT for old, _ in seen), sum(new is ABSENT for _, new in seen)
            counts = (len(seen), num_leaves - (len(seen) - num_new))
            assert counts == (request["metric_n_should_change"], request["metric_n_unchanged"]), row["id"]
            num_leaves += num_new - num_gone


def test_a_request_done_exactly_scores_one_everywhere() -> None:
    score = score_request({"a": 1, "b": "x"}, {"a": 3, "b": "x"}, {"a": 1, "b": "x"}, {"a": 3, "b": "x"})
    assert (score.accuracy, score.f1_positive, score.f1_negative) == (1, 1, 1)


def test_numbers_only_need_the_right_direction_and_texts_the_right_value() -> None:
    def correct(old: object, new: object, got: object) -> int:
        return score_request({"a": old}, {"a": new}, {"a": old}, {"a": got}).correct  # type: ignore[dict-item]

    assert correct(10, 20, 11) == 1
    assert correct(10, 20, 9) == 0
    assert correct(False, True, True) == 1
    assert correct("day", "night", "dusk") == 0
    assert correct("day", "night", "night") == 1


BEFORE = {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1}


@pytest.mark.parametrize(
    ("wanted", "made", "precision", "recall", "accuracy", "f1_negative"),
    [
        # of three leaves to move two move, and one that was to stay: 2 of 3 are hits, 2 of 3 are found
        ({"a": 2, "b": 2, "c": 2}, {"a": 2, "b": 2, "d": 2}, 2 / 3, 2 / 3, 2 / 3, 2 / 3),
        # everything wanted, and two leaves too many: precision 1/3, recall 1; of five that stay three do
        ({"a": 2}, {"a": 2, "b": 2, "c": 2}, 1 / 3, 1.0, 1.0, 2 * 1 * 0.6 / 1.6),
        # one of four, and nothing else: precision 1, recall 1/4; stayed 2 of 2, and 3 more that were to move
        ({"a": 2, "b": 2, "c": 2, "d": 2}, {"a": 2}, 1.0, 1 / 4, 1 / 4, 2 * 0.4 * 1 / 1.4),
        # two of four (one the wrong way), and one too many: precision 2/3, recall 1/2
        ({"a": 2, "b": 2, "c": 2, "d": 2}, {"a": 2, "b": 0, "e": 2}, 2 / 3, 1 / 2, 1 / 4, 2 * (1 / 3) * (1 / 2) / (5 / 6)),
        # nothing wanted, one moved: precision 0
        ({}, {"a": 2}, 0.0, 1.0, 1.0, 2 * 1 * (5 / 6) / (11 / 6)),
    ],
)
def test_precision_and_recall_worked_by_hand(
    wanted: dict, made: dict, precision: float, recall: float, accuracy: float, f1_negative: float
) -> None:
    score = score_request(BEFORE, BEFORE | wanted, BEFORE, BEFORE | made)
    both = precision + recall
    assert score.f1_positive == pytest.approx(2 * precision * recall / both if both else 0.0)
    assert (score.accuracy, score.f1_negative) == pytest.approx((accuracy, f1_negative))
    assert score.true_positive == pytest.approx(recall * len(wanted))
    if precision:
        assert score.true_positive + score.false_positive == pytest.approx(score.true_positive / precision)


def test_doing_nothing_is_perfect_where_nothing_was_wanted_and_worthless_elsewhere() -> None:
    state = {"a": 1, "b": 2}
    idle = score_request(state, state, state, state)
    assert (idle.accuracy, idle.f1_positive, idle.f1_negative) == (1, 1, 1)
    missed = score_request(state, {"a": 5, "b": 2}, state, state)
    assert (idle, missed) == (idle_score(0, 2), idle_score(1, 1))
    assert (missed.accuracy, missed.f1_positive) == (0, 0)
    assert missed.f1_negative == pytest.approx(2 / 3)


def test_a_number_that_becomes_a_text_is_a_wrong_change_and_reported() -> None:
    score = score_request({"a": 1, "b": 2}, {"a": 5, "b": 2}, {"a": 1, "b": 2}, {"a": "loud", "b": 2})
    assert (score.incomparable, score.true_positive, score.false_positive, score.correct) == (1, 0, 1, 0)
    assert (score.accuracy, score.f1_positive, score.f1_negative) == (0, 0, 1)
    assert MeanScore.of([score, score_request({}, {}, {}, {})]) == MeanScore(0.5, 0.5, 1.0, 2, 1)


def test_what_the_published_scores_cannot_see_is_no_leaf() -> None:
    world = VehicleWorld("published")
    leaves = visible(world, ["readingLight", "music", "seat"])
    assert "readingLight.driver's seat.is_on" in leaves
    assert "readingLight.driver's seat.brightness_unit" not in leaves
    assert "readingLight.auto_mode" not in leaves
    assert "music._current_playlist[0].title" in leaves
    assert "music._current_playlist[0].last_played" not in leaves
    assert not any(path.endswith("#len") or path.startswith("door.") for path in leaves)
    assert "environment.volume" in leaves
    assert "seat.driver's seat.massager.active_mode" not in leaves
    world.state.set("seat.driver's seat.massager.active_mode", "wave")
    assert "seat.driver's seat.massager.active_mode" in visible(world.state, ["seat"])


def test_unknown_modules_are_ignored_and_the_environment_is_always_seen() -> None:
    assert Scope(["no such module"]).modules == {"environment"}
    assert Scope([]).count(VehicleWorld().state) == len(visible(VehicleWorld(), []))


@pytest.mark.parametrize("profile", ["published", "fixed"])
@pytest.mark.parametrize("seed", range(40))
def test_both_forms_agree_on_random_requests_of_the_whole_car(seed: int, profile: str) -> None:
    rng = random.Random(seed)
    reference, agent = VehicleWorld(profile), VehicleWorld(profile)  # type: ignore[arg-type]
    scope = Scope(rng.sample(MODULES, rng.randint(0, 8)))
    if rng.random() < 0.5:  # the agent may have drifted away in earlier requests
        _mess_up(agent, rng, 6)
    before, past = visible(reference, scope.modules), visible(agent, scope.modules)
    past_state, mark, start = reference.state.copy(), reference.state.mark(), agent.state.mark()
    shared = rng.getrandbits(30)
    _mess_up(reference, random.Random(shared), rng.randint(0, 8))
    _mess_up(agent, random.Random(shared if rng.random() < 0.5 else shared + 1), rng.randint(0, 8))
    whole = score_request(before, visible(reference, scope.modules), past, visible(agent, scope.modules))
    changes = reference.state.changes_since(mark), agent.state.changes_since(start)
    assert score_scope(scope, past_state, *changes, agent.state) == whole
    assert scope.count(reference.state) == len(visible(reference, scope.modules))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_both_forms_agree_on_random_maps(data: st.DataObject) -> None:
    leaf = st.one_of(st.booleans(), st.integers(0, 3), st.sampled_from(["x", "y"]))
    state = st.dictionaries(st.sampled_from("abcdefg"), leaf)
    maps = [data.draw(state) for _ in range(4)]
    assert _from_changes(*maps) == score_request(*maps)


def test_scoring_a_request_takes_less_than_a_fifth_of_a_millisecond() -> None:
    world = VehicleWorld("published")
    scope = Scope(MODULES)
    past, mark = world.state.copy(), world.state.mark()
    for seat in SEATS:
        world.state.set(f"window.window_states.{seat}.open_degree", 40)
        world.state.set(f"window.window_states.{seat}.is_open", True)
    changes = world.state.changes_since(mark)
    times = []
    for _ in range(200):
        started = time.perf_counter()
        score_scope(scope, past, changes, changes, world.state)
        times.append(time.perf_counter() - started)
    assert sorted(times)[20] < 0.0002  # the fastest tenth: other processes do not count


def _from_changes(before: dict, after: dict, past: dict, present: dict) -> RequestScore:
    def differences(one: dict, other: dict) -> dict:
        pairs = {path: (one.get(path, ABSENT), other.get(path, ABSENT)) for path in one.keys() | other.keys()}
        return {path: pair for path, pair in pairs.items() if pair[0] != pair[1]}

    lacking = before.keys() - present.keys()
    return score_changes(differences(before, after), differences(past, present), len(before), before.__contains__, lacking)


def _mess_up(world: VehicleWorld, rng: random.Random, times: int) -> None:
    """Write anything anywhere: scalars, lists, references, records."""
    state = world.state
    for _ in range(times):
        match rng.randrange(6):
            case 0 | 1 | 2:
                path = rng.choice(sorted(state.values))
                row = world.tables.properties.get(path)
                if row is None or row.constant:
                    continue
                nothing = [None] if row.nullable else []
                old = state.values[path]
                if isinstance(old, bool):
                    state.set(path, rng.choice([not old, *nothing]))
                elif isinstance(old, int | float):
                    state.set(path, rng.choice([old + rng.randint(-2, 2), *nothing]))
                else:
                    state.set(path, rng.choice(["this", "that", *nothing]))
            case 3:
                path = rng.choice(sorted(state.lists))
                state.set_list(path, rng.sample(state.lists[path], rng.randint(0, len(state.lists[path]))))
            case 4:
                path = rng.choice(sorted(state.refs))
                same = [n for other in state.refs if other != path for n in [state.refs[other]] if n is None]
                record = state.refs[path]
                fresh = [state.new_record({**state.records[record], "title": "new"})] if record is not None else []
                state.set_ref(path, rng.choice([None, *same, *fresh]))
            case _:
                number = rng.choice(sorted(state.records))
                name = rng.choice(sorted(state.records[number]))
                old = state.records[number][name]
                state.change_record(number, **{name: not old if isinstance(old, bool) else rng.choice(["p", "q", None])})
