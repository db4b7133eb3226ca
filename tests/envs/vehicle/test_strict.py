from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.vehicle.car.call_result import Change
from palaestra.envs.vehicle.published.scoring import Scope
from palaestra.envs.vehicle.strict import Efficiency, judge_request, normalised, strict_request
from palaestra.envs.vehicle.world import VehicleWorld

VOLUME = Change("set", "environment.volume", 50, 60)
CHANNEL = Change("set", "environment.sound_channel", "music", "radio")


def test_the_wanted_changes_and_nothing_else_are_a_success() -> None:
    score = strict_request([VOLUME, CHANNEL], [CHANNEL, VOLUME])
    assert (score.request_success, score.loose_success, score.refusal) == (True, True, None)
    assert (score.missing, score.wrong, score.side_effects) == ((), (), ())


def test_each_way_to_fail_is_named() -> None:
    missing = strict_request([VOLUME, CHANNEL], [CHANNEL])
    assert (missing.request_success, missing.missing) == (False, ("environment.volume",))
    wrong = strict_request([VOLUME], [VOLUME._replace(new=61)])
    assert (wrong.request_success, wrong.loose_success, wrong.wrong) == (False, False, ("environment.volume",))
    extra = strict_request([VOLUME], [VOLUME, CHANNEL])
    assert (extra.request_success, extra.loose_success, extra.side_effects) == (False, False, ("environment.sound_channel",))


@pytest.mark.parametrize(
    ("wanted", "made", "same"),
    [
        (0.3, 0.1 + 0.2, True),
        (3, 3.0, True),
        (3, 3.00001, False),
        (True, 1, False),
        (0, False, False),
        ("open", "open", True),
        ("open", "Open", False),
        (None, "x", False),
        (None, None, True),
    ],
)
def test_values_are_the_same_up_to_rounding_and_of_one_kind(wanted: object, made: object, same: bool) -> None:
    change = Change("set", "a.b", "before", wanted)  # type: ignore[arg-type]
    assert strict_request([change], [change._replace(new=made)]).request_success is same  # type: ignore[arg-type]


def test_a_degree_word_leaves_the_amount_open_but_not_the_direction() -> None:
    degree = frozenset({"environment.volume"})
    more, less = VOLUME._replace(new=55), VOLUME._replace(new=45)
    assert strict_request([VOLUME], [more], degree).loose_success
    assert not strict_request([VOLUME], [more], degree).request_success
    assert not strict_request([VOLUME], [less], degree).loose_success
    assert not strict_request([VOLUME], [], degree).loose_success
    assert not strict_request([VOLUME, CHANNEL], [more, CHANNEL._replace(new="video")], degree | {CHANNEL.path}).loose_success


def test_a_leaf_that_has_to_go_or_to_come_must_do_just_that() -> None:
    gone, new = Change("del", "a.b", 1, None), Change("add", "a.b", None, 1)
    assert strict_request([gone], [gone]).request_success
    assert strict_request([new], [new]).request_success
    assert not strict_request([gone], [Change("set", "a.b", 1, None)]).request_success


def test_refusals_count_only_where_nothing_is_to_change() -> None:
    assert strict_request([], []).refusal is True
    assert strict_request([], [VOLUME]).refusal is False
    assert strict_request([VOLUME], []).refusal is None


def test_the_length_of_a_list_is_told_by_its_items() -> None:
    item, length = (
        Change("add", "navigation.waypoints[1].location", None, "x"),
        Change("set", "navigation.waypoints.#len", 1, 2),
    )
    assert strict_request([item, length], [item]).request_success
    assert strict_request([], [item, length]).side_effects == (item.path,)


@given(st.lists(st.sampled_from([VOLUME, CHANNEL, VOLUME._replace(path="door.x")]), unique=True))
def test_what_was_made_as_wanted_is_always_a_success(changes: list[Change]) -> None:
    score = strict_request(changes, list(reversed(changes)))
    assert score.request_success
    assert score.refusal is (None if changes else True)


def test_normalised_scores_put_doing_nothing_at_zero_and_gold_at_one() -> None:
    assert normalised(0.25, 0.25) == 0
    assert normalised(1.0, 0.25) == 1
    assert normalised(0.0, 0.25) == pytest.approx(-1 / 3)
    assert normalised(1.0, 1.0) == 0
    assert normalised(0.4, 1.0) == pytest.approx(-0.6)


def test_a_verdict_holds_the_published_scores_the_strict_ones_and_those_of_doing_nothing() -> None:
    state = VehicleWorld("published").state
    window = Change("set", "window.auto_close_on_lock", False, True)
    scores = judge_request(Scope(["door"]), state, [VOLUME], [VOLUME, window]).scores()
    assert (scores["accuracy"], scores["f1_positive"], scores["f1_negative"]) == (1, 1, 1)  # window is out of scope
    assert (scores["request_success"], scores["side_effects"], scores["refusal"]) == (False, 1, None)
    kept = Scope(["door"]).count(state) - 1
    assert scores["do_nothing"] == {
        "accuracy": 0.0,
        "f1_positive": 0.0,
        "f1_negative": pytest.approx(2 * kept / (2 * kept + 1)),
        "request_success": False,
        "loose_success": False,
        "refusal": None,
        "side_effects": 0,
        "incomparable": 0,
    }


def test_doing_nothing_scores_as_it_says_it_would() -> None:
    state = VehicleWorld("published").state
    for wanted in ([], [VOLUME]):
        scores = judge_request(Scope(["door"]), state, wanted, []).scores()
        assert scores.pop("do_nothing") == scores


def test_costs_add_up() -> None:
    total = Efficiency(1, 100, 20, 2, 1, 0, 0.5) + Efficiency(2, 200, 10, 0, 0, 3, 0.25)
    assert total == Efficiency(3, 300, 30, 2, 1, 3, 0.75)
    assert total.to_json()["wall_s"] == 0.75
