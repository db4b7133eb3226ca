"""A damaged store says so: nothing is lost, doubled or changed in silence, and what is whole is saved."""

from __future__ import annotations

import json
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents import RolloutEngine, RunStore, evaluate, make_agent
from palaestra.agents.store.check import check_store
from palaestra.agents.store.records import COLUMNS, EpisodeSummary, from_row, record_check, row_check, to_row
from palaestra.agents.store.schema import COUNTS
from palaestra.agents.store.store import FILE_NAME
from palaestra.cli.main import main
from palaestra.errors import PalaestraError, StoreError, UnknownNameError
from tests.agents.report import build
from tests.agents.store.killed import killed, put

RUNS = ("a", "b")
RANDOM = make_agent("random")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    for seed, run_id in enumerate(RUNS):
        evaluate(
            "palaestra/TextCraft-v0",
            RANDOM,
            env_kwargs={"recipes": "procedural"},
            n=30,
            seed=seed,
            max_turns=3,
            store=folder,
            run_id=run_id,
            engine=RolloutEngine(8),
        )
    with RunStore(folder) as store:
        for step in range(60):
            store.log_metrics("a", step, {"loss": 0.5 / (step + 1), "note": "x" * 60})
        store.set_status("b", "running", "30 of 90 planned")
        gone = ("b", json.dumps({"host": socket.gethostname(), "pid": 2**22 + 1, "started": "1"}))
        store._connection.execute("INSERT INTO locks VALUES (?, ?, ?)", (*gone, record_check(*gone)))
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


def told(folder: Path) -> dict[str, str]:
    """Everything that a store says of its runs."""
    with RunStore(folder, read_only=True) as store:
        found = {}
        for run_id in (run.run_id for run in store.runs()):
            found[run_id] = json.dumps([store.config(run_id), store.run(run_id).to_json(), store.metrics(run_id)])
            listed = store.episodes(run_id)
            assert store.episodes(run_id, offset=7, limit=9) == listed[7:16]
            assert {one.episode_id for one in listed} == store.finished(run_id)
            for one in listed:
                found[f"{run_id} {one.episode_id}"] = json.dumps([one.to_json(), store.get(run_id, one.episode_id).to_json()])
            assert [one.episode_id for one in store.trajectories(run_id)] == [one.episode_id for one in listed]
        return found


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Flip a bit, overwrite bytes or a page, zero a block, swap two pages or cut the end off."""
    made, at = bytearray(data), rng.randrange(len(data))
    kind = rng.choice(["bit", "bit", "bit", "bit", "bytes", "page", "zero", "swap", "swap", "swap", "cut"])
    if kind == "bit":
        made[at] ^= 1 << rng.randrange(8)
    elif kind == "bytes":
        made[at : at + 64] = rng.randbytes(min(64, len(data) - at))
    elif kind == "page":
        begin = at // 4096 * 4096
        made[begin : begin + 4096] = rng.randbytes(4096)
    elif kind == "swap":
        one, other = (4096 * rng.randrange(1, len(data) // 4096) for _ in range(2))
        made[one : one + 4096], made[other : other + 4096] = data[other : other + 4096], data[one : one + 4096]
    elif kind == "zero":
        made[at : at + 512] = bytes(min(512, len(data) - at))
    else:
        del made[at:]
    return bytes(made)


@pytest.mark.parametrize("seed", range(40))
def test_random_damage_is_never_silent_and_the_rest_is_saved(whole: Path, tmp_path: Path, seed: int) -> None:
    rng, expected = random.Random(seed), told(whole)
    data = damaged((whole / FILE_NAME).read_bytes(), rng)
    (tmp_path / FILE_NAME).write_bytes(data)
    try:
        found = told(tmp_path)
    except PalaestraError:
        found = None
    if found is not None:
        assert found == expected, "changed in silence"
    for end in ("-wal", "-shm"):
        (tmp_path / f"{FILE_NAME}{end}").unlink(missing_ok=True)
    (tmp_path / FILE_NAME).write_bytes(data)
    try:
        checked = check_store(tmp_path)
    except StoreError:
        assert len(data) < 8192, "only a file of which nothing is left cannot be checked"
        return
    if found is None:
        assert not checked.is_whole
    repaired = check_store(tmp_path, repair=True)
    assert repaired.runs == checked.runs
    assert check_store(tmp_path).is_whole
    kept = told(tmp_path)
    for key, text in kept.items():
        if " " in key:
            summary, trajectory = json.loads(text)
            first_summary, first_trajectory = json.loads(expected[key])
            assert trajectory == first_trajectory
            if summary != first_summary:
                assert {name for name in summary if summary[name] != first_summary[name]} <= {"finished_s"}
    num_kept = sum(" " in key for key in kept)
    assert num_kept == sum(run.kept for run in repaired.runs)
    if not checked.is_whole:
        assert (tmp_path / repaired.saved_as).read_bytes() == data


def test_most_of_a_store_survives_a_damaged_page(whole: Path, tmp_path: Path) -> None:
    kept = []
    data = (whole / FILE_NAME).read_bytes()
    for page in range(len(data) // 4096):
        made = bytearray(data)
        made[page * 4096 : page * 4096 + 4096] = b"\xa5" * 4096
        (tmp_path / FILE_NAME).write_bytes(bytes(made))
        kept.append(sum(run.kept for run in check_store(tmp_path).runs))
    assert sorted(kept)[len(kept) // 4] >= 40, kept  # of 60


def test_a_store_without_damage_is_whole(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(whole, tmp_path / "runs")
    before = (tmp_path / "runs" / FILE_NAME).read_bytes()
    for words in (["runs", "check"], ["runs", "check", "--repair"]):
        assert main([*words, "--runs", str(tmp_path / "runs")]) == 0
        said = capsys.readouterr().out
        assert "a: 30 episodes whole" in said
        assert "is damaged" in said
    assert (tmp_path / "runs" / FILE_NAME).read_bytes() == before


WRITER = """
import sys
from palaestra.agents.store.store import RunStore
from tests.agents.store.killed import episode
with RunStore(sys.argv[1]) as store:
    store.create_run({}, "live")
    print("begun", flush=True)
    played = [episode(number) for number in range(40)]
    for number in range(100_000):
        store.add("live", played[number % 40], replace=True)
        if number % 8 == 7:
            store.log_metrics("live", number, {"loss": 0.5})
        if number % 64 == 63:
            store._connection.execute("PRAGMA wal_checkpoint(RESTART)")
"""


def test_a_store_that_is_written_to_meanwhile_is_not_called_damaged(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        written = set()
        for _ in range(25):
            checked = check_store(tmp_path)
            assert checked.is_whole, checked
            with RunStore(tmp_path, read_only=True) as store:
                written.add(len(store.metrics("live")))
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.communicate()
    assert len(written) > 5, "it was written to"
    assert check_store(tmp_path).is_whole, "a kill leaves it whole"


BETWEEN = """
import sys
from palaestra.agents.store.store import RunStore
from tests.agents.store.killed import episode
with RunStore(sys.argv[1]) as store:  # its end copies the log into the file and removes it
    for number in range(20, 40):
        store.add("a", episode(number))
"""


def test_a_process_that_writes_between_the_copies_of_file_and_log_does_not_tear_a_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, killed(tmp_path / "played", episodes=20, checkpoint_at=10)[-1])
    copy = shutil.copyfile

    def interrupted(source: str, target: str) -> None:
        copy(source, target)
        if source == f"{tmp_path / FILE_NAME}" and not calls:
            calls.append(source)
            subprocess.run([sys.executable, "-c", BETWEEN, str(tmp_path)], check=True, timeout=60)

    calls: list[str] = []
    monkeypatch.setattr(shutil, "copyfile", interrupted)
    checked = check_store(tmp_path)
    assert calls
    assert checked.is_whole, checked
    assert sum(run.kept for run in checked.runs) == 40


def test_a_repair_leaves_what_was_whole_as_it_was_and_says_why_the_rest_is_not(whole: Path, tmp_path: Path) -> None:
    expected = told(whole)
    shutil.copyfile(whole / FILE_NAME, tmp_path / FILE_NAME)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("UPDATE episodes SET score = 9.0 WHERE number = 5")
        connection.execute("UPDATE metrics SET data = '{}' WHERE step = 7")
        connection.execute("INSERT INTO runs VALUES (x'00', 1, 2, 'done', '', '{}', 0)")
        connection.execute("INSERT INTO runs VALUES ('c', 1, 2, 'done', '', 'no settings', 0)")
    checked = check_store(tmp_path)
    assert checked.problems == ("A run without a name was left out.", "Measurements of run 'a' at step 7 are damaged.")
    lost = "its settings are lost; it can be read and exported, not resumed"
    assert [run.to_json() for run in checked.runs] == [
        {"run_id": "a", "kept": 30, "rebuilt": 1, "lost": [], "media": [], "problem": ""},
        {"run_id": "b", "kept": 30, "rebuilt": 0, "lost": [], "media": [], "problem": ""},
        {"run_id": "c", "kept": 0, "rebuilt": 0, "lost": [], "media": [], "problem": lost},
    ]
    check_store(tmp_path, repair=True)
    kept = told(tmp_path)
    config, run, metrics = json.loads(kept.pop("c"))
    assert (config, run["status"], run["note"], metrics) == ({}, "failed", lost[0].upper() + lost[1:] + ".", [])
    (_, _, first), (_, _, left) = json.loads(expected["a"]), json.loads(kept["a"])
    assert left == [row for row in first if row["step"] != 7]
    assert {key: one for key, one in kept.items() if key != "a"} == {key: one for key, one in expected.items() if key != "a"}
    assert json.loads(kept["a"])[:2] == json.loads(expected["a"])[:2]


def test_a_run_whose_record_is_lost_keeps_its_episodes_and_what_nobody_names_is_counted(whole: Path, tmp_path: Path) -> None:
    shutil.copyfile(whole / FILE_NAME, tmp_path / FILE_NAME)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("UPDATE episodes SET score = 9.0 WHERE number IN (3, 5, 8)")
        connection.execute("DELETE FROM runs WHERE run_id = 'a'")
        connection.execute("DELETE FROM episodes WHERE number IN (4, 6)")
        connection.execute("UPDATE trajectories SET data = zeroblob(40) WHERE number = 6")
        connection.execute("INSERT INTO runs VALUES ('c', 1, 2, 'done', '', '{}', 0)")
    checked = check_store(tmp_path)
    assert checked.unknown == 2
    repaired = check_store(tmp_path, repair=True)
    assert replace(repaired, saved_as="") == checked
    assert not checked.is_whole
    assert [(run.run_id, run.kept, run.rebuilt) for run in checked.runs] == [("b", 30, 0), ("c", 0, 0), ("a", 28, 3)]
    with RunStore(tmp_path) as store:
        assert (store.run("a").status, store.run("a").num_episodes) == ("failed", 28)
        assert "record is lost" in store.run("a").note


def test_an_episode_that_is_there_twice_is_kept_once_and_the_other_is_told_as_lost(whole: Path, tmp_path: Path) -> None:
    shutil.copyfile(whole / FILE_NAME, tmp_path / FILE_NAME)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("UPDATE trajectories SET data = (SELECT data FROM trajectories WHERE number = 3) WHERE number = 5")
        connection.execute("UPDATE episodes SET score = 9.0 WHERE number = 5")
        (lost,) = connection.execute("SELECT episode_id FROM episodes WHERE number = 5").fetchone()
    (first, _) = check_store(tmp_path, repair=True).runs
    assert (first.kept, first.rebuilt, first.lost) == (29, 0, (lost,))
    with RunStore(tmp_path) as store:
        assert lost not in store.finished("a")
        assert len(store.finished("a")) == len(list(store.trajectories("a"))) == 29


def test_a_trajectory_whose_summary_is_gone_belongs_to_the_run_that_an_index_names(whole: Path, tmp_path: Path) -> None:
    shutil.copyfile(whole / FILE_NAME, tmp_path / FILE_NAME)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'episodes'").fetchone()
    data = bytearray((tmp_path / FILE_NAME).read_bytes())
    data[(page - 1) * 4096 : (page - 1) * 4096 + 8] = bytes([13, 0, 0, 0, 0, 16, 0, 0])  # a leaf without a row
    (tmp_path / FILE_NAME).write_bytes(bytes(data))
    checked = check_store(tmp_path, repair=True)
    assert [(run.run_id, run.kept, run.rebuilt, run.lost) for run in checked.runs] == [("a", 30, 30, ()), ("b", 30, 30, ())]
    with RunStore(tmp_path) as store:
        for run_id in RUNS:
            assert len(list(store.trajectories(run_id))) == 30


@pytest.mark.parametrize("table", ["runs", "locks", "trajectories", "episodes", "metrics"])
def test_a_table_whose_rows_cannot_be_read_is_named(whole: Path, tmp_path: Path, table: str) -> None:
    with closing(sqlite3.connect(whole / FILE_NAME)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    data = bytearray((whole / FILE_NAME).read_bytes())
    data[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    (tmp_path / FILE_NAME).write_bytes(bytes(data))
    assert f"Some rows of the table {table} cannot be read." in check_store(tmp_path).problems


def test_the_command_says_what_is_lost_saves_the_rest_and_the_run_resumes(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(whole / FILE_NAME, tmp_path / FILE_NAME)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("UPDATE trajectories SET data = zeroblob(40) WHERE number = 3")
        connection.execute("UPDATE episodes SET score = 9.0 WHERE number = 5")
        connection.execute("UPDATE runs SET config = '{}' WHERE run_id = 'b'")
    assert main(["runs", "check", "--runs", str(tmp_path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    first, second = sorted(found["runs"], key=lambda run: run["run_id"])
    assert (first["kept"], first["rebuilt"], len(first["lost"])) == (29, 1, 1)
    assert "settings and status may be wrong" in second["problem"]
    assert main(["runs", "--runs", str(tmp_path)]) == 1
    assert "palaestra runs check" in capsys.readouterr().err
    assert main(["runs", "check", "--repair", "--runs", str(tmp_path)]) == 0
    assert "1 lost" in capsys.readouterr().out
    evaluate(
        "palaestra/TextCraft-v0",
        RANDOM,
        env_kwargs={"recipes": "procedural"},
        n=30,
        max_turns=3,
        store=tmp_path,
        run_id="a",
    )
    expected = told(whole)
    with RunStore(tmp_path) as store:
        played = {f"a {one.episode_id}": one.to_json() for one in store.trajectories("a")}
    assert played.keys() == {key for key in expected if key.startswith("a ")}
    for key, one in played.items():
        assert one["steps"] == json.loads(expected[key])[1]["steps"]


@pytest.mark.parametrize(
    ("damage", "reads"),
    [
        ("UPDATE episodes SET success = 1 - success WHERE number = 2", "summary of episode"),
        ("UPDATE episodes SET task_type = 'x' WHERE number = 2", "summary of episode"),
        ("UPDATE episodes SET row_check = row_check + 1 WHERE number = 2", "summary of episode"),
        ("UPDATE episodes SET data_check = 7 WHERE number = 2", "summary of episode|is damaged"),
        ("UPDATE trajectories SET data = (SELECT data FROM trajectories WHERE number = 3) WHERE number = 2", "is damaged"),
        ("UPDATE runs SET note = 'x' WHERE run_id = 'a'", "record of run 'a'"),
        ("UPDATE runs SET status = 'failed' WHERE run_id = 'a'", "record of run 'a'"),
        ("UPDATE runs SET row_check = NULL WHERE run_id = 'a'", "record of run 'a'"),
        ("UPDATE episodes SET row_check = NULL WHERE number = 2", "summary of episode"),
        ("UPDATE metrics SET data = '{\"loss\": 7}' WHERE step = 3", "A measurement of run 'a'"),
        ("UPDATE metrics SET step = 99 WHERE step = 3", "A measurement of run 'a'"),
        ("UPDATE metrics SET row_check = NULL WHERE step = 3", "A measurement of run 'a'"),
        ("UPDATE locks SET owner = replace(owner, 'pid', 'p1d')", "lock of run 'b'"),
    ],
)
def test_each_kind_of_change_is_noticed_on_reading(whole: Path, tmp_path: Path, damage: str, reads: str) -> None:
    shutil.copyfile(whole / FILE_NAME, tmp_path / FILE_NAME)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        connection.execute(damage)
    with pytest.raises(StoreError, match=reads):
        told(tmp_path)


def of_version_3(whole: Path, folder: Path) -> None:
    """Copy a store as it was before every row had a check."""
    shutil.copyfile(whole / FILE_NAME, folder / FILE_NAME)
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("UPDATE episodes SET data_check = NULL, row_check = NULL WHERE number % 2")
        connection.execute("UPDATE runs SET row_check = NULL WHERE run_id = 'a'")
        for table in ("metrics", "locks"):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN row_check")
        connection.execute("DROP INDEX metrics_by_run")
        connection.execute("PRAGMA user_version = 3")


def test_every_row_of_an_older_version_is_given_a_check_when_it_is_opened(whole: Path, tmp_path: Path) -> None:
    of_version_3(whole, tmp_path)
    assert told(tmp_path) == told(whole)
    assert check_store(tmp_path).is_whole
    RunStore(tmp_path).close()
    assert told(tmp_path) == told(whole)
    assert check_store(tmp_path).is_whole
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        for table in ("runs", "episodes", "metrics", "locks"):
            assert connection.execute(f"SELECT count(*) FROM {table} WHERE row_check IS NULL").fetchone() == (0,)
        connection.execute("UPDATE trajectories SET data = (SELECT data FROM trajectories WHERE number = 3) WHERE number = 1")
    with pytest.raises(StoreError, match="is damaged"):
        told(tmp_path)


@pytest.mark.parametrize("table", ["runs", "episodes", "metrics", "locks"])
@pytest.mark.parametrize("way", [0, 1])
def test_rows_that_a_table_or_its_index_has_lost_are_missed(whole: Path, tmp_path: Path, table: str, way: int) -> None:
    # each in turn is emptied, as by a page that was swapped with an empty one; the rest is left as it was
    shutil.copyfile(whole / FILE_NAME, tmp_path / FILE_NAME)
    lost = COUNTS[table][way].removeprefix("INDEXED BY ")
    name = table if lost == "NOT INDEXED" else lost
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    data = bytearray((tmp_path / FILE_NAME).read_bytes())
    empty = bytes([13 if name == table else 10, 0, 0, 0, 0, 16, 0, 0])  # a leaf without a cell
    data[(page - 1) * 4096 : (page - 1) * 4096 + 8] = empty
    (tmp_path / FILE_NAME).write_bytes(bytes(data))
    with pytest.raises(StoreError):
        told(tmp_path)
    with RunStore(tmp_path, read_only=True) as store:
        readings = {
            "runs": lambda: store.run("a"),
            "episodes": lambda: list(store.trajectories("a")),
            "metrics": lambda: store.metrics("a"),
            "locks": store.runs,
        }
        with pytest.raises(StoreError):
            readings[table]()
    assert not check_store(tmp_path).is_whole


@pytest.mark.parametrize("name", [b"episodes_by_run", b"TABLE episodes", b"INDEX metrics_by_run", b"metrics"])
def test_a_name_in_the_schema_that_is_no_text_is_damage(whole: Path, tmp_path: Path, name: bytes) -> None:
    data = (whole / FILE_NAME).read_bytes()
    (tmp_path / FILE_NAME).write_bytes(data.replace(name, name[:-4] + b"\xfb\xee\x9e\xc6"))
    with pytest.raises(StoreError, match="is damaged"):
        told(tmp_path)
    assert not check_store(tmp_path).is_whole


def test_rows_of_an_older_version_have_the_trajectory_that_is_theirs(whole: Path, tmp_path: Path) -> None:
    of_version_3(whole, tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("UPDATE trajectories SET data = (SELECT data FROM trajectories WHERE number = 3) WHERE number = 1")
    with pytest.raises(StoreError, match="it is that of"):
        told(tmp_path)


@pytest.mark.parametrize("run_id", ["../../escaped", "/etc/x", "..", "a/b", ""])
def test_run_ids_of_a_file_never_leave_the_folder(tmp_path: Path, run_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "deep" / "runs"
    RunStore(folder).close()
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("INSERT INTO runs VALUES (?, 0, 0, 'created', '', '{}', NULL)", (run_id,))
    with RunStore(folder) as store:
        for use in (store.run_folder, store.media, store.folder_of):
            with pytest.raises(StoreError, match="not a plain name, so it has no folder"):
                use(run_id)
    for words in (["runs", "delete", "--yes"], ["runs", "show"], ["report"]):
        main([*words, "--runs", str(folder), "--", run_id])
    assert {path.name for path in tmp_path.rglob("*") if path.is_dir()} == {"deep", "runs"}
    capsys.readouterr()


TEXT = "TEXT"
TEXTS = st.text(max_size=6)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, width=32) | st.booleans()
SUMMARIES = st.builds(
    EpisodeSummary,
    **dict.fromkeys(("episode_id", "env_id", "task_key", "task_type", "split", "group_id", "agent", "stop_reason"), TEXTS),
    **dict.fromkeys(("error_boundary", "error_type", "error_message"), TEXTS),
    **dict.fromkeys(("sample", "num_turns", "calls", "prompt_tokens", "completion_tokens"), st.integers(0, 2**62)),
    **dict.fromkeys(("return_", "cost", "model_s", "env_s", "finished_s"), NUMBERS),
    seed=st.none() | st.integers(0, 2**70),
    score=st.none() | NUMBERS,
    success=st.none() | st.booleans(),
    truncated=st.booleans(),
    metrics=st.dictionaries(TEXTS.filter(bool), st.floats(allow_nan=False, allow_infinity=False), max_size=2),
    answer_faults=st.dictionaries(st.sampled_from(["length", "empty"]), st.integers(1, 9), max_size=2),
)


@given(SUMMARIES)
def test_a_row_comes_back_with_the_check_it_was_written_with(summary: EpisodeSummary) -> None:
    row = to_row(summary)
    with closing(sqlite3.connect(":memory:")) as connection:
        types = {"seed": "TEXT", **dict.fromkeys(("score", "return_", "cost", "model_s", "env_s", "finished_s"), "REAL")}
        integers = ("sample", "success", "num_turns", "truncated", "calls", "prompt_tokens", "completion_tokens")
        types |= dict.fromkeys(integers, "INTEGER")
        connection.execute(f"CREATE TABLE t ({', '.join(f'{name} {types.get(name, TEXT)}' for name in COLUMNS)})")
        connection.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(COLUMNS))})", row)
        (read,) = connection.execute("SELECT * FROM t").fetchall()
    assert row_check("r", row, 5) == row_check("r", read, 5)
    assert to_row(from_row(read)) == list(read)
    assert row_check("r", read, 6) != row_check("r", read, 5) != row_check("s", read, 5)


def test_an_episode_whose_trajectory_is_gone_is_damaged_and_never_unknown_or_left_out(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        store.create_run({"kind": "evaluate"}, "r")
        for number in range(3):
            store.add("r", build.crafting(number))
        first, *others = [line.episode_id for line in store.episodes("r")]
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("DELETE FROM trajectories WHERE number = (SELECT min(number) FROM trajectories)")
    connection.commit()
    connection.close()
    with RunStore(tmp_path) as store:
        with pytest.raises(StoreError, match="is damaged"):
            store.get("r", first)
        with pytest.raises(StoreError, match="is damaged"):
            list(store.trajectories("r"))
        damaged: dict[str, str] = {}
        assert [t.episode_id for t in store.trajectories("r", damaged=damaged)] == others
        assert list(damaged) == [first]
        with pytest.raises(UnknownNameError):
            store.get("r", "none")


def test_a_damaged_measurement_is_a_store_error(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        store.create_run({}, "r")
        store.log_metrics("r", 1, {"loss": 0.5})
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("UPDATE metrics SET data = '{broken'")
    connection.commit()
    connection.close()
    with RunStore(tmp_path) as store, pytest.raises(StoreError, match="measurement of run 'r'"):
        store.metrics("r")
