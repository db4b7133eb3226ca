"""A log that ends is read up to its end; a log that is damaged is never cut off without a word."""

from __future__ import annotations

import os
import random
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.store import open_files
from palaestra.agents.store.check import check_store
from palaestra.agents.store.store import FILE_NAME, RunStore
from palaestra.agents.store.write_ahead_log import (
    Witness,
    damage_of,
    read_log,
    read_witness,
    restore_pages,
    write_log,
)
from palaestra.errors import StoreError
from tests.agents.store.killed import FRAME, Files, files_of, killed, put, stored


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[Files]:
    return killed(tmp_path_factory.mktemp("killed"))


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> list[Files]:
    """The log begins again at its start, over older frames, at the eleventh episode."""
    return killed(tmp_path_factory.mktemp("restarted"), episodes=20, checkpoint_at=10)


@pytest.fixture(scope="module")
def expected(states: list[Files], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("expected")
    put(folder, states[-1])
    return stored(folder)


def test_a_killed_store_is_whole(states: list[Files], restarted: list[Files], tmp_path: Path) -> None:
    for files in (*states[::8], *restarted):
        for kept in (files, {end: data for end, data in files.items() if end != "-shm"}):
            put(tmp_path, kept)
            assert check_store(tmp_path).is_whole
            assert {end: (tmp_path / f"{FILE_NAME}{end}").read_bytes() for end in kept} == kept, "a check writes nothing"
    put(tmp_path, states[-1])
    assert len(stored(tmp_path)) == 40


@pytest.mark.parametrize("kind", ["bytes", "bit", "inverted", "frame"])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("has_index", [True, False])
def test_damage_to_the_log_is_never_silent_and_the_rest_is_saved(
    states: list[Files], expected: dict[str, str], tmp_path: Path, kind: str, seed: int, has_index: bool
) -> None:
    draw, files = random.Random(f"{kind} {seed}"), dict(states[-1])
    log = bytearray(files["-wal"])
    # without the index, the very last frame looks like a write that was cut off
    at = draw.randrange(len(log) if has_index else len(log) - FRAME)
    size = {"bytes": 64, "bit": 1, "inverted": 512, "frame": FRAME}[kind]
    part = log[at : at + size]
    flips = {"bit": bytes([1 << draw.randrange(8)]), "inverted": b"\xff" * size}.get(kind, draw.randbytes(size))
    log[at : at + size] = bytes(one ^ other for one, other in zip(part, flips, strict=False))
    files["-wal"] = bytes(log)
    if not has_index:
        del files["-shm"]
    for read_only in (True, False):
        put(tmp_path, files)
        with pytest.raises(StoreError, match=r"write-ahead log .* palaestra runs check"):
            RunStore(tmp_path, read_only=read_only)
        assert (tmp_path / f"{FILE_NAME}-wal").read_bytes() == files["-wal"], "what can be saved is still there"
    checked = check_store(tmp_path)
    assert "of the write-ahead log (-wal) are damaged or missing" in checked.problems[0]
    repaired = check_store(tmp_path, repair=True)
    assert check_store(tmp_path).is_whole
    kept = stored(tmp_path)
    assert all(expected[key] == text for key, text in kept.items())
    told = {f"{run.run_id} {name}" for run in repaired.runs for name in run.lost}
    assert told.isdisjoint(kept)
    assert len(expected) - len(kept) <= len(told) + repaired.unknown + 2, "the rows that a lost page held"
    assert len(kept) >= 32
    assert (tmp_path / f"{repaired.saved_as}-wal").read_bytes() == files["-wal"]


def test_a_log_that_was_cut_off_or_removed_is_missed(states: list[Files], tmp_path: Path) -> None:
    draw = random.Random(3)
    for cut in (0, 1, 31, 32, 100, *(draw.randrange(len(states[-1]["-wal"])) for _ in range(8))):
        put(tmp_path, {**states[-1], "-wal": states[-1]["-wal"][:cut]})
        with pytest.raises(StoreError, match="write-ahead log"):
            RunStore(tmp_path)
        if cut > 100:
            assert not check_store(tmp_path).is_whole
    (tmp_path / f"{FILE_NAME}-wal").unlink()
    with pytest.raises(StoreError, match="Nothing of this store can be read"):  # nothing was copied into the file yet
        check_store(tmp_path)


@given(st.data())
def test_a_log_that_ends_within_a_write_is_not_damaged(states: list[Files], data: st.DataObject) -> None:
    step = data.draw(st.integers(0, len(states) - 2))
    before, after = states[step], states[step + 1]
    # the next transaction was written up to some byte, and its index not yet
    cut = data.draw(st.integers(len(before["-wal"]), len(after["-wal"])))
    torn = after["-wal"][:cut] + data.draw(st.sampled_from([b"", b"\0" * 300]))
    for index in (read_witness(before["-shm"]), None):
        assert damage_of(torn, index) is None
    log = read_log(after["-wal"][:cut])
    assert log is None or log.num_replayed * FRAME + 32 in (len(before["-wal"]), len(after["-wal"]), 32)


def test_a_log_that_is_not_of_its_index_is_not_played(states: list[Files], restarted: list[Files], tmp_path: Path) -> None:
    put(tmp_path, restarted[-1])
    whole = stored(tmp_path)
    put(tmp_path, {"": restarted[-1][""]})
    copied = stored(tmp_path)
    older = {**restarted[-1], "-wal": restarted[8]["-wal"]}
    for files in (
        {**restarted[-1], "-wal": states[-1]["-wal"]},
        {**restarted[-1], "-shm": states[-1]["-shm"]},
        {**states[-1], "-wal": restarted[-1]["-wal"]},
        older,
    ):
        put(tmp_path, files)
        for attempt in (
            lambda: RunStore(tmp_path, read_only=True),
            lambda: RunStore(tmp_path),
            lambda: check_store(tmp_path),
            lambda: check_store(tmp_path, repair=True),
        ):
            with pytest.raises(StoreError, match=r"do not belong together.*Put back .* remove palaestra.db-shm"):
                attempt()
            assert files_of(tmp_path) == files
    put(tmp_path, {"": restarted[-1][""], "-wal": restarted[-1]["-wal"], "-shm": states[-1]["-shm"]})
    (tmp_path / f"{FILE_NAME}-shm").unlink()  # what the error advises, where the index is the wrong one
    assert stored(tmp_path) == whole
    put(tmp_path, older)
    for end in ("-shm", "-wal"):
        (tmp_path / f"{FILE_NAME}{end}").unlink()
    assert stored(tmp_path) == copied


def test_an_index_that_a_killed_process_left_behind_its_log_says_nothing(states: list[Files]) -> None:
    log = states[-1]["-wal"]
    first, rest = int.from_bytes(log[16:20], "big"), log[20:24]
    one = log[: 32 + FRAME * (1 + next(i for i in range(99) if log[32 + i * FRAME + 4 : 32 + i * FRAME + 8] != bytes(4)))]

    def is_other(data: bytes, salt: int, committed: int, tail: bytes = b"zzzz") -> bool:
        salts = (salt % 2**32).to_bytes(4, "big") + tail
        found = damage_of(data, Witness(salts, committed, 0))
        return found is not None and found.is_other

    for newer in (1, 7, 1000):
        assert not is_other(log, first - newer, 50), "the log began again, and the index was not kept in a power cut"
    assert not is_other(log, first + 1, 0), "the index tells first that the log begins again"
    assert is_other(log, first + 1, 1)
    for far in (10**6, 2**31, 2**32 - 10**6):
        assert is_other(log, first + far, 1)
        assert is_other(log, first + far, 0)
        assert not is_other(one, first + far, 0), "killed before it told the index of the first transaction"
        assert is_other(one, first + far, 1)
    assert not is_other(log, 0, 0, bytes(4)), "an index that was just made"
    assert not is_other(log, first, len(log) // FRAME, rest)


@given(st.data())
def test_an_older_generation_behind_the_end_is_not_damage(restarted: list[Files], data: st.DataObject) -> None:
    before, after = (restarted[step] for step in (11, 12))
    assert len(before["-wal"]) == len(after["-wal"]), "both end in frames of the first generation"
    end = data.draw(st.integers(0, len(after["-wal"])))
    torn = after["-wal"][:end] + before["-wal"][end:]
    for index in (read_witness(before["-shm"]), None):
        assert damage_of(torn, index) is None


def test_frames_that_were_copied_into_the_file_lose_nothing(tmp_path: Path) -> None:
    files = killed(tmp_path / "played", episodes=12)[-1]
    put(tmp_path, files)
    whole = stored(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        copied = {end: (tmp_path / f"{FILE_NAME}{end}").read_bytes() for end in files}
    for number in range(len(copied["-wal"]) // FRAME):
        log = bytearray(copied["-wal"])
        log[32 + number * FRAME + 100] ^= 255
        put(tmp_path, {**copied, "-wal": bytes(log)})
        assert check_store(tmp_path).problems[0].endswith("all that they hold can be saved.")
    check_store(tmp_path, repair=True)
    assert stored(tmp_path) == whole


def test_what_an_older_version_went_on_writing_over_is_still_noticed(states: list[Files], tmp_path: Path) -> None:
    log = bytearray(states[-1]["-wal"])
    log[32 + 20 * FRAME + 200] ^= 255
    put(tmp_path, {**states[-1], "-wal": bytes(log)})
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:  # drops the rest in silence
        connection.execute("UPDATE runs SET note = ''")
        seen = {end: (tmp_path / f"{FILE_NAME}{end}").read_bytes() for end in states[-1]}
    put(tmp_path, seen)
    with pytest.raises(StoreError, match="write-ahead log"):
        RunStore(tmp_path)


@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=4))
def test_a_log_of_all_pages_is_read_as_it_was_written(pages: list[int]) -> None:
    database = b"".join(random.Random(page).randbytes(4096) for page in pages)
    log = read_log(write_log(database))
    assert log is not None
    assert (log.num_replayed, log.num_committed()) == (len(pages), len(pages))
    restored, lost = restore_pages(b"", log, len(pages))
    assert (restored[:28] + restored[32:], lost) == (database[:28] + database[32:], 0)


def test_sqlite_reads_a_log_of_all_pages_over_any_file(states: list[Files], expected: dict[str, str], tmp_path: Path) -> None:
    put(tmp_path, states[-1])
    RunStore(tmp_path).close()
    database = (tmp_path / FILE_NAME).read_bytes()
    for other in (states[3][""], database[:100], b"\0" * 4096, database + b"\xff" * 8192):
        put(tmp_path, {"": other, "-wal": write_log(database)})
        assert stored(tmp_path) == expected


def test_an_index_is_believed_only_as_a_whole(states: list[Files]) -> None:
    index = states[-1]["-shm"]
    witness = read_witness(index)
    assert witness is not None
    assert witness.num_committed == (len(states[-1]["-wal"]) - 32) // FRAME
    for at in range(96):
        assert read_witness(index[:at] + bytes([index[at] ^ 4]) + index[at + 1 :]) is None
    both = bytearray(index)
    for at in (16, 64):
        both[at : at + 4] = struct.pack("=I", 7)
    assert read_witness(bytes(both)) is None
    assert read_witness(index[:99]) is None


def test_locks_of_this_process_outlive_another_opening(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        store.create_run({}, "r")
        assert open_files.is_open(tmp_path / FILE_NAME)
        RunStore(tmp_path, read_only=True).close()
        assert check_store(tmp_path).is_whole
        script = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0.1); c.execute('PRAGMA journal_mode = DELETE')"
        )
        assert os.spawnlp(os.P_WAIT, "python", "python", "-c", script, str(tmp_path / FILE_NAME)) == 1, "it is in use"
    assert not open_files.is_open(tmp_path / FILE_NAME)


def test_nothing_is_in_the_log_before_its_commit(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        store.create_run({}, "r")
        connection = store._connection
        connection.execute("PRAGMA cache_size = 4")
        log = tmp_path / f"{FILE_NAME}-wal"
        size = log.stat().st_size
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE big (data BLOB)")
        for _ in range(50):
            connection.execute("INSERT INTO big VALUES (zeroblob(20000))")
        assert log.stat().st_size == size, "a later, shorter transaction would leave frames without a beginning behind"
        connection.execute("ROLLBACK")
