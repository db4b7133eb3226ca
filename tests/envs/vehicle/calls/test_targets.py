from typing import Any

import pytest

from palaestra.envs.vehicle.calls.targets import FRONT_SEATS, Targets
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.car import PROFILES, Profile
from palaestra.envs.vehicle.car.tables import SEATS, Function, Param
from palaestra.envs.vehicle.world import VehicleWorld

DRIVER, PASSENGER, REAR_LEFT = SEATS[0], SEATS[1], SEATS[2]


def targets(several: bool = True, **settings: Any) -> Targets:
    return Targets("position", several=several, **settings)


def world(profile: Profile = "fixed", speaker: str = REAR_LEFT) -> VehicleWorld:
    car = VehicleWorld(profile)
    car.state.set("environment.speaker", speaker)
    return car


@pytest.mark.parametrize("profile", PROFILES)
def test_places_come_in_the_cars_order_and_once(profile: Profile) -> None:
    named = [PASSENGER, DRIVER, PASSENGER]
    assert targets().resolve(world(profile), named) == [DRIVER, PASSENGER]


@pytest.mark.parametrize("profile", PROFILES)
def test_all_anywhere_in_a_list_means_every_place(profile: Profile) -> None:
    assert targets().resolve(world(profile), [DRIVER, "all"]) == list(SEATS)
    assert targets(places=FRONT_SEATS).resolve(world(profile), ["all"]) == list(FRONT_SEATS)


@pytest.mark.parametrize("profile", PROFILES)
def test_without_an_argument_the_speaker_is_meant(profile: Profile) -> None:
    assert targets().resolve(world(profile), None) == [REAR_LEFT]
    assert targets(omitted="all").resolve(world(profile), None) == list(SEATS)
    assert targets(omitted=PASSENGER).resolve(world(profile), None) == [PASSENGER]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_speaker_who_sits_at_none_of_the_places_means_the_first(profile: Profile) -> None:
    assert targets(places=FRONT_SEATS).resolve(world(profile), None) == [DRIVER]
    assert targets(places=FRONT_SEATS).resolve(world(profile, PASSENGER), None) == [PASSENGER]
    assert targets().resolve(world(profile, "nobody"), None) == [DRIVER]


@pytest.mark.parametrize("profile", PROFILES)
def test_an_empty_list_is_the_speaker_nobody_or_an_error(profile: Profile) -> None:
    assert targets().resolve(world(profile), []) == [REAR_LEFT]
    assert targets(empty="none").resolve(world(profile), []) == []
    with pytest.raises(Refusal) as refused:
        targets(empty="error").resolve(world(profile), [])
    assert refused.value.code == "missing_argument"


@pytest.mark.parametrize("unknown", ["drop", "error", "stop"])
def test_fixed_refuses_every_unknown_name(unknown: str) -> None:
    with pytest.raises(Refusal) as refused:
        targets(unknown=unknown, none_left="success").resolve(world(), [DRIVER, "roof"])
    assert (refused.value.code, refused.value.param) == ("unknown_target", "position")
    assert "roof" in refused.value.message
    assert PASSENGER in refused.value.message


def test_the_published_car_drops_unknown_names_or_refuses_them() -> None:
    car = world("published")
    assert targets().resolve(car, [DRIVER, "roof"]) == [DRIVER]
    assert targets(none_left="success").resolve(car, ["roof"]) == []
    for policy in (targets(), targets(unknown="error")):
        with pytest.raises(Refusal, match="roof"):
            policy.resolve(car, ["roof"])


def test_the_published_car_goes_through_the_places_until_an_unknown_name_stops_it() -> None:
    policy = targets(places=FRONT_SEATS, unknown="stop")
    places = iter(policy.each(world("published"), [PASSENGER, "roof", DRIVER]))
    assert next(places) == PASSENGER
    with pytest.raises(Refusal, match="roof"):
        next(places)
    assert list(policy.each(world("published"), ["all"])) == list(FRONT_SEATS)
    assert list(policy.each(world("published"), [])) == [DRIVER]


def test_fixed_names_no_place_before_an_unknown_one_is_refused() -> None:
    with pytest.raises(Refusal, match="roof"):
        targets(places=FRONT_SEATS, unknown="stop").each(world(), [PASSENGER, "roof"])


def test_one_text_is_a_list_of_one_except_where_the_published_car_takes_its_letters() -> None:
    assert targets().resolve(world(), DRIVER) == [DRIVER]
    assert targets(several=False).resolve(world("published"), DRIVER) == [DRIVER]
    assert targets().resolve(world("published"), "all") == list(SEATS)
    assert targets(none_left="success").resolve(world("published"), DRIVER) == []
    with pytest.raises(Refusal):
        targets().resolve(world("published"), DRIVER)


def test_the_functions_row_overrides_the_modules() -> None:
    row = Function("seat", "f", "flag", (Param("position", "targets"),), {"targets": {"omitted": "all"}})
    policy = Targets.of(row, {"targets": {"omitted": "speaker", "empty": "none", "places": list(FRONT_SEATS)}})
    assert policy == Targets("position", FRONT_SEATS, omitted="all", empty="none", several=True)
    side = Function("rearviewMirror", "f", "flag", (Param("position", "str"),), {})
    assert Targets.of(side, {}) == Targets("position", several=False)
    assert Targets.of(Function("seat", "f", "flag", (Param("switch", "bool"),), {}), {}) is None
