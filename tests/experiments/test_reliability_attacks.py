"""The attacks of `experiments/reliability` on stores, commands and clients, in a size that fits into the tests."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from experiments.reliability import faults, kills, stores
from palaestra.agents.store.store import FILE_NAME

BAD = ("silently changed", "silently lost", "other errors", "check missed it", "saved wrongly")


def test_damage_to_a_store_is_never_silent(tmp_path: Path) -> None:
    stores.make_store(tmp_path, episodes=6)
    counts = stores.attack(tmp_path, stores.ALL_KINDS * 3, seed=4)
    assert {kind: count["trials"] for kind, count in counts.items()} == dict.fromkeys(stores.ALL_KINDS, 3)
    assert {name: sum(count[name] for count in counts.values()) for name in BAD} == dict.fromkeys(BAD, 0)
    assert sum(count["refused"] for count in counts.values()) > 3
    assert sum(count["episodes saved"] for count in counts.values()) > 50


def test_the_attack_on_stores_notices_what_is_changed_and_what_is_gone(tmp_path: Path) -> None:
    stores.make_store(tmp_path, episodes=2)
    whole, errors = stores.content(tmp_path)
    assert errors == []
    data = (tmp_path / FILE_NAME).read_bytes()
    for kind in stores.KINDS:
        assert any(stores.damage(data, kind, random.Random(seed)) != data for seed in range(20)), kind
    believed = {**whole, ("run", "expert"): "another"}
    counts = stores.Counter[str]()
    stores._trial(tmp_path, believed, counts)
    assert counts["silently changed"] == 1


@pytest.mark.parametrize("seed", [1])
def test_a_killed_evaluation_loses_doubles_and_changes_nothing(seed: int) -> None:
    words = (*kills.EVALUATE[: kills.EVALUATE.index("-n")], "-n", "20", "--run", "a", "--run", "b")
    count = kills.attack(words, kills=2, seed=seed, seconds=20, most_in_a_row=2)
    assert count["kills"] >= 1
    assert count["episodes"] > 0
    bad = ("lost", "doubled", "changed", "lost runs", "not resumed", "unclear ends", "other results printed")
    assert {name: count[name] for name in bad} == dict.fromkeys(bad, 0)


@pytest.mark.parametrize("client", ["aiohttp", "openai"])
def test_a_server_that_fails_in_every_way_loses_doubles_and_shows_nothing(client: str, tmp_path: Path) -> None:
    row = faults.attack(client, 32, 32, tmp_path, timeout="2")
    assert (row["episodes"], row["requests"] > 32, row["errors"] > 0) == (32, True, True)
    for name in ("lost", "doubled", "errors_of_others", "errors_with_a_score", "neither", "secrets"):
        assert row[name] == 0, row
