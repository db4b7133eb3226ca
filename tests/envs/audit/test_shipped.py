"""Cards that ship: every id and split has one, a short audit finds the same, and a floor is told only where it is known."""

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from palaestra.envs import audit_environment, list_envs
from palaestra.envs.audit import Subject, changes
from palaestra.envs.audit.card import Card
from palaestra.envs.audit.fingerprint import hashes_of
from palaestra.envs.audit.shipped import OUR_CARDS, shipped_card, shipped_cards, shipped_floor, short, write_cards
from palaestra.envs.registration import missing

ROOT = Path(__file__).parents[3]
OURS = [env_id for env_id in list_envs() if env_id.startswith("palaestra/")]


CARDS = [card for env_id in OURS for card in shipped_cards(env_id)]
NEXT_MOVE = "run `python docs/cards.py {}`, look at the card, and commit docs/cards and palaestra/envs/audit/audit_cards.json"


@pytest.mark.parametrize("env_id", OURS)
def test_every_id_has_a_card_of_each_split(env_id):
    assert shipped_cards(env_id), f"{env_id} has no audit card: {NEXT_MOVE.format(env_id)}"
    if lack := missing(env_id):
        pytest.skip(lack)
    subject = Subject(env_id)
    expected = [split for split, size in subject.splits.items() if size != 0]
    subject.close()
    found = [card.split for card in shipped_cards(env_id)]
    assert sorted(found) == sorted(expected), f"the splits of {env_id} changed: {NEXT_MOVE.format(env_id)}"
    assert shipped_card(env_id).split == ("test" if "test" in expected else found[0])


def test_only_registered_ids_have_a_card():
    kept = {card["env"] for card in json.loads(OUR_CARDS.read_text(encoding="utf-8"))}
    assert kept <= set(OURS), "run `python docs/cards.py`: it removes the cards of ids that are no longer registered"


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.env}-{card.split}")
def test_a_card_that_ships_is_what_an_audit_finds_now(card):
    if lack := missing(card.env):
        pytest.skip(lack)
    now = hashes_of(card.env)
    is_of_this = all(now.get(name) == card.hashes.get(name) for name in ("code", "data"))
    if is_of_this and (card.sections.get("effort") or {}).get("level") == "slow":
        pytest.skip(f"only shared code changed, and an audit takes minutes: python docs/cards.py --check {card.env}")
    assert changes(card) == [], f"{card.env} plays otherwise than its card says: {NEXT_MOVE.format(card.env)}"


def test_the_wheel_holds_the_cards():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    inside = OUR_CARDS.relative_to(ROOT).as_posix()
    assert any(inside.startswith(f"{folder}/") for folder in wheel["packages"])  # hatch takes every file there ...
    assert not {"include", "exclude", "only-include"} & set(wheel)
    if (ROOT / ".git").exists():  # ... that git does not ignore
        done = subprocess.run(["git", "check-ignore", "-q", inside], cwd=ROOT, check=False)
        assert done.returncode == 1


def test_a_wheel_that_is_built_holds_the_cards(tmp_path):
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    words = ["wheel", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        assert wheel.read(OUR_CARDS.relative_to(ROOT).as_posix()) == OUR_CARDS.read_bytes()


def test_a_floor_is_told_for_the_same_arguments_and_split_only():
    vehicle = "palaestra/VehicleWorld-v0"
    floor = shipped_floor(vehicle, {}, "test")
    assert floor is not None
    assert (floor.agent, floor.success, floor.n) == ("nothing", 0.08, 100)
    assert shipped_floor(vehicle, {"mode": "fc"}, "test") == floor  # the default, said aloud
    assert shipped_floor(vehicle, {"mode": "sfc"}, "test") is None
    train = shipped_floor(vehicle, {}, "train")
    assert train is not None
    assert train.n == 100
    assert train != floor
    assert shipped_floor("tests/NoSuch-v0", {}, "test") is None


def test_cards_of_an_id_are_replaced_and_others_stay(tmp_path):
    path = tmp_path / "audit_cards.json"
    one, other = (audit_environment(f"palaestra/{name}-v0", 1) for name in ("Desk", "TextCraft"))
    write_cards(path, [one, other])
    before = path.read_text()
    write_cards(path, [one])
    assert path.read_text() == before
    assert Card.from_json(short(one)).verdict == one.verdict
