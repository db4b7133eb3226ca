"""What is read past damage: how little of a file still counts as a store, which of two rows is kept, what is lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.store.salvage import Found, KeptEpisode, read_all
from palaestra.agents.store.store import FILE_NAME, RunStore
from palaestra.errors import StoreError
from tests.agents.report.build import crafting

PAGE = 4096
RECORD = ("r", 1.0, 2.0, "finished", "", "{}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a store of two runs with three episodes each, and measurements."""
    folder = tmp_path_factory.mktemp("whole")
    with RunStore(folder) as store:
        for run_id in ("a", "b"):
            store.create_run({"name": run_id}, run_id)
            for number in range(3):
                store.add(run_id, crafting(number))
            store.log_metrics(run_id, 1, {"loss": 0.5})
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    return (folder / FILE_NAME).read_bytes()


def read(data: bytes, folder: Path) -> Found:
    file = folder / "copy.db"
    file.write_bytes(data)
    return read_all(file)


def test_a_whole_file_is_read_whole(whole: bytes, tmp_path: Path) -> None:
    found = read(whole, tmp_path)
    assert found.is_whole
    assert sorted(found.runs) == sorted(found.names) == ["a", "b"]
    assert {run_id: len(kept) for run_id, kept in found.by_run().items()} == {"a": 3, "b": 3}
    assert [row[:2] for row in found.metrics] == [("a", 1), ("b", 1)]


@pytest.mark.parametrize("size", [0, 1, 99, 100, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE - 1])
@pytest.mark.parametrize("is_torn", [False, True])
def test_less_than_two_pages_are_no_store(whole: bytes, tmp_path: Path, size: int, is_torn: bool) -> None:
    data = bytes(100) + whole[100:] if is_torn else whole
    if is_torn or size <= 100:
        with pytest.raises(StoreError, match="Nothing of this store can be read"):
            read(data[:size], tmp_path)
    else:  # the first page alone says which tables there were, and SQLite takes one that lacks its end
        assert read(data[:size], tmp_path).problems


@pytest.mark.parametrize("num_pages", [2, 3, 5])
def test_of_a_file_without_its_first_page_the_rest_is_tried(whole: bytes, tmp_path: Path, num_pages: int) -> None:
    found = read((bytes(PAGE) + whole[PAGE:])[: num_pages * PAGE], tmp_path)
    assert found.problems[0].startswith("The first page cannot be read")
    assert not found.is_whole


@pytest.mark.parametrize("first", [bytes(PAGE), b"\xa5" * PAGE, b"SQLite format 3\0" + bytes(PAGE - 16)])
def test_a_first_page_that_is_lost_costs_nothing_else(whole: bytes, tmp_path: Path, first: bytes) -> None:
    found, expected = read(first + whole[PAGE:], tmp_path), read(whole, tmp_path)
    assert found.problems[0].startswith("The first page cannot be read")
    assert found.episodes == expected.episodes
    assert (found.runs, found.metrics, found.lost, found.unknown) == (expected.runs, expected.metrics, {}, 0)


def kept(number: int, is_rebuilt: bool = False, name: str = "e") -> KeptEpisode:
    return KeptEpisode(number, [name, number], b"", is_rebuilt)


@pytest.mark.parametrize(
    ("former", "latter", "is_replaced"),
    [
        (kept(1), kept(2), True),
        (kept(2), kept(1), False),
        (kept(1, True), kept(2, True), True),
        (kept(2, True), kept(1, True), False),
        (kept(1), kept(2, True), False),
        (kept(2, True), kept(1), True),
    ],
)
def test_of_two_rows_of_an_episode_the_whole_one_is_kept_or_the_later(
    former: KeptEpisode, latter: KeptEpisode, is_replaced: bool
) -> None:
    found = Found()
    found.keep("r", former)
    found.keep("r", latter)
    assert found.episodes == {("r", "e"): latter if is_replaced else former}
    assert found.names == {"r"}


def test_an_older_state_adds_what_the_newer_lacks_and_replaces_nothing() -> None:
    newer = Found(runs={"r": RECORD}, names={"r"}, metrics=[("r", 1, "new")])
    newer.keep("r", kept(5, name="both"))
    newer.lose("r", "only-older")
    newer.lose("r", "in-none")
    older = Found(runs={"r": (*RECORD[:3], "running", "", "{}"), "q": ("q", *RECORD[1:])}, names={"r", "q"})
    older.run_problems = {"r": "old", "q": "its record is damaged"}
    older.metrics = [("r", 1, "old"), ("r", 2, "old"), ("q", 1, "old")]
    for name in ("both", "only-older"):
        older.keep("r", kept(1, name=name))
    newer.add_older(older)
    assert newer.runs == {"r": RECORD, "q": ("q", *RECORD[1:])}
    assert newer.run_problems == {"q": "its record is damaged"}
    assert newer.names == {"r", "q"}
    assert newer.episodes == {("r", "both"): kept(5, name="both"), ("r", "only-older"): kept(1, name="only-older")}
    assert newer.metrics == [("r", 1, "new"), ("r", 2, "old"), ("q", 1, "old")]
    assert newer.lost == {"r": {"in-none": None}}


def test_an_episode_without_the_record_of_its_run_is_kept_in_a_run_that_failed() -> None:
    found = Found()
    found.keep("r", kept(1))
    found.lose("r", "e")
    found.lose("r", "gone")
    found.lose("nobody", "x")
    found.lose("nobody", "y")
    found.finish()
    assert found.run_problems == {"r": "its record is lost; it can be read and exported, not resumed"}
    run_id, made, changed, status, note, config = found.runs["r"]
    assert (run_id, status, config) == ("r", "failed", "{}")
    assert made == changed
    assert note == "Its record is lost; it can be read and exported, not resumed."
    assert found.lost == {"r": {"gone": None}}
    assert found.unknown == 2


@pytest.mark.parametrize(
    "harm",
    [
        {"problems": ["p"]},
        {"unknown": 1},
        {"lost": {"r": {"e": None}}},
        {"run_problems": {"r": "p"}},
        {"episodes": {("r", "e"): kept(1, True)}},
    ],
)
def test_any_one_harm_makes_a_store_damaged(harm: dict[str, Any]) -> None:
    assert Found(episodes={("r", "e"): kept(1)}, names={"r"}, played=["r"], has_checks=False).is_whole
    assert not Found(**harm).is_whole
