"""Cards that ship: every id has one, its verdicts are those of an audit now, and a floor is told only where it is known."""

import pytest

from palaestra.envs import audit_environment, list_envs
from palaestra.envs.audit.card import Card
from palaestra.envs.audit.shipped import shipped_card, shipped_floor, short, write_cards

OURS = [env_id for env_id in list_envs() if env_id.startswith("palaestra/")]


@pytest.mark.parametrize("env_id", OURS)
def test_the_card_of_an_id_is_what_an_audit_finds_now(env_id):
    card = shipped_card(env_id)
    assert card is not None, "make it with audit_environment and palaestra.envs.audit.shipped.write_cards"
    now = audit_environment(env_id, card.n)
    assert {p.name: p.verdict for p in now.points} == {p.name: p.verdict for p in card.points}


def test_a_floor_is_told_for_the_same_arguments_and_split_only():
    vehicle = "palaestra/VehicleWorld-v0"
    floor = shipped_floor(vehicle, {}, "test")
    assert floor is not None
    assert (floor.agent, floor.success, floor.n) == ("nothing", 0.08, 100)
    assert shipped_floor(vehicle, {"mode": "fc"}, "test") == floor  # the default, said aloud
    assert shipped_floor(vehicle, {"mode": "sfc"}, "test") is None
    assert shipped_floor(vehicle, {}, "train") != floor
    assert shipped_floor("tests/NoSuch-v0", {}, "test") is None


def test_cards_of_an_id_are_replaced_and_others_stay(tmp_path):
    path = tmp_path / "audit_cards.json"
    one, other = audit_environment(OURS[0], 1), audit_environment(OURS[-1], 1)
    write_cards(path, [one, other])
    before = path.read_text()
    write_cards(path, [one])
    assert path.read_text() == before
    assert Card.from_json(short(one)).verdict == one.verdict
