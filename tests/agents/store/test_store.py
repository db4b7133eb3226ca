from __future__ import annotations

import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.store.lock import this_process
from palaestra.agents.store.records import EpisodeSummary, record_check
from palaestra.agents.store.schema import SCHEMA_VERSION
from palaestra.agents.store.store import FILE_NAME, RunStore
from palaestra.errors import StoreError, UnknownNameError, UsageError
from palaestra.types import EpisodeError, Message, Outcome, Step, Trajectory, Usage
from tests.agents.countdown import Steady, plans


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with RunStore(tmp_path / "runs") as opened:
        yield opened


@pytest.fixture(scope="module")
def played() -> list[Trajectory]:
    return RolloutEngine().collect(plans(12, max_turns=2), Steady())


def failed(trajectory: Trajectory) -> Trajectory:
    error = EpisodeError("model", "ModelError", "429")
    return replace(trajectory, outcome=Outcome(error=error))


def test_a_summary_has_each_figure_of_its_trajectory() -> None:
    step = Step("o", Message("assistant", "a"), reward=0.25, truncated=True)
    usage = Usage(calls=3, prompt_tokens=40, cached_tokens=8, completion_tokens=9, cost=0.5, model_s=1.5, env_s=2.5)
    task = {"key": "k", "type": "t", "split": "test"}
    outcome = Outcome(0.75, False, "max_turns")
    trajectory = Trajectory(
        "e", "x/A-v0", task, steps=(step, step), outcome=outcome, usage=usage, group_id="g", sample=2, seed=7, agent="me"
    )
    row = EpisodeSummary.of(trajectory, 9.5).to_json()
    assert row == {
        "episode_id": "e",
        "env_id": "x/A-v0",
        "task_key": "k",
        "task_type": "t",
        "split": "test",
        "group_id": "g",
        "sample": 2,
        "seed": 7,
        "agent": "me",
        "score": 0.75,
        "success": False,
        "return_": 0.5,
        "stop_reason": "max_turns",
        "error_boundary": "",
        "error_type": "",
        "error_message": "",
        "num_turns": 2,
        "truncated": True,
        "calls": 3,
        "prompt_tokens": 40,
        "completion_tokens": 9,
        "cost": 0.5,
        "model_s": 1.5,
        "env_s": 2.5,
        "finished_s": 9.5,
        "metrics": {},
    }
    broken = EpisodeSummary.of(failed(trajectory))
    assert (broken.error_boundary, broken.error_type, broken.error_message) == ("model", "ModelError", "429")
    assert (broken.score, broken.success) == (None, None)
    plain = EpisodeSummary.of(Trajectory("e", "x/A-v0", {}))
    assert (plain.task_key, plain.task_type, plain.split, plain.truncated, plain.error_boundary) == ("", "", "", False, "")
    ended = replace(trajectory, steps=(step, replace(step, terminated=True)))
    assert not EpisodeSummary.of(ended).truncated
    assert not EpisodeSummary.of(replace(trajectory, steps=(step, replace(step, truncated=False)))).truncated


def test_what_was_stored_comes_back(store: RunStore, played: list[Trajectory]) -> None:
    run = store.create_run({"kind": "evaluate", "n": 12})
    for trajectory in played:
        assert store.add(run, trajectory)
    assert store.get(run, "episode-5") == played[5]
    assert list(store.trajectories(run)) == played
    assert store.finished(run) == {trajectory.episode_id for trajectory in played}
    assert [replace(line, finished_s=0) for line in store.episodes(run)] == [EpisodeSummary.of(t) for t in played]
    [line] = store.runs()
    assert (line.run_id, line.num_episodes, line.num_errors, line.num_success, line.status) == (run, 12, 0, 8, "created")
    assert line.config == {"kind": "evaluate", "n": 12}
    assert line.mean_score == pytest.approx((1 + 1 + 2 / 3) / 3)
    assert json.loads(json.dumps(line.to_json()))["run_id"] == run


def test_an_episode_is_stored_exactly_once(store: RunStore, played: list[Trajectory]) -> None:
    run = store.create_run({})
    assert store.add(run, played[0])
    assert not store.add(run, replace(played[0], agent="another"))
    assert store.get(run, "episode-0").agent == "steady"
    assert store.add(run, replace(played[0], agent="another"), replace=True)
    assert [trajectory.agent for trajectory in store.trajectories(run)] == ["another"]
    assert store.run(run).num_episodes == 1


def test_episodes_are_filtered_and_paged(store: RunStore, played: list[Trajectory]) -> None:
    run = store.create_run({})
    for trajectory in [*played[:11], failed(played[11])]:
        store.add(run, trajectory)
    assert {line.task_type for line in store.episodes(run, task_type="from-2")} == {"from-2"}
    assert len(store.episodes(run, success=True)) == 8
    assert len(store.episodes(run, success=False)) == 3
    assert [line.episode_id for line in store.episodes(run, limit=3, offset=4)] == ["episode-4", "episode-5", "episode-6"]
    [broken] = [line for line in store.episodes(run) if line.error_boundary]
    assert (broken.success, broken.score, broken.error_type, broken.error_message) == (None, None, "ModelError", "429")
    assert store.finished(run, errors=False) == {f"episode-{i}" for i in range(11)}
    assert store.run(run).num_errors == 1


def test_runs_do_not_see_each_other(store: RunStore, played: list[Trajectory]) -> None:
    first, second = store.create_run({}, "first"), store.create_run({}, "second")
    store.add(first, played[0])
    store.add(second, played[1])
    assert store.finished(first) == {"episode-0"}
    assert [run.run_id for run in store.runs()] == ["second", "first"]


def test_a_deleted_run_takes_its_episodes_along_and_nothing_else(store: RunStore, played: list[Trajectory]) -> None:
    for run in ("first", "second"):
        store.create_run({}, run)
        store.add(run, played[0])
        store.log_metrics(run, 1, {"loss": 1.0})
    with store.lock("first"), pytest.raises(StoreError, match="is being played"):
        store.delete_run("first")
    store.delete_run("first")
    assert [run.run_id for run in store.runs()] == ["second"]
    assert store.get("second", "episode-0") == played[0]
    for table in ("episodes", "trajectories", "metrics", "locks"):
        rows = store._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        assert rows == (0 if table == "locks" else 1)


def test_listing_reads_along_an_index_without_sorting(store: RunStore) -> None:
    plan = store._connection.execute(
        "EXPLAIN QUERY PLAN SELECT episode_id FROM episodes WHERE run_id = 'r' AND number > 5 ORDER BY number LIMIT 64"
    ).fetchall()
    assert "episodes_by_run" in str(plan)
    assert "TEMP B-TREE" not in str(plan)


def test_status_and_folder(store: RunStore) -> None:
    run = store.create_run({}, "r.1")
    store.set_status(run, "stopped", "the budget is spent")
    assert (store.status(run), store.run(run).note) == ("stopped", "the budget is spent")
    assert store.run_folder(run) == store.folder / "r.1"
    assert store.run_folder(run).is_dir()
    with pytest.raises(UnknownNameError, match="Unknown run status 'done'"):
        store.set_status(run, "done")  # type: ignore[arg-type]


def test_metrics_of_a_step_are_merged(store: RunStore) -> None:
    run = store.create_run({})
    store.log_metrics(run, 2, {"loss": 0.5})
    store.log_metrics(run, 1, {"loss": 1.0})
    store.log_metrics(run, 2, {"success": 0.1, "loss": 0.25})
    assert store.metrics(run) == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.25, "success": 0.1}]


def test_whatever_a_model_writes_survives(store: RunStore, played: list[Trajectory]) -> None:
    run = store.create_run({})
    text = "naïve 日本 \ud800 \x00 \U0001f642"
    odd = replace(played[0], steps=(Step(text, Message("assistant", text), 1.0),), segments=())
    store.add(run, odd)
    assert store.get(run, "episode-0") == odd


def test_columns_hold_any_seed_and_any_message(store: RunStore, played: list[Trajectory]) -> None:
    run = store.create_run({})
    odd = replace(played[0], seed=2**64 + 5, outcome=Outcome(error=EpisodeError("model", "ModelError", "said \ud800")))
    store.add(run, odd)
    [line] = store.episodes(run)
    assert (line.seed, line.error_message) == (2**64 + 5, "said \\ud800")
    assert store.get(run, "episode-0") == odd


@settings(max_examples=25, deadline=None)
@given(text=st.text(st.characters(), max_size=60), reward=st.floats(allow_nan=False, allow_infinity=False))
def test_any_text_and_number_survives(text: str, reward: float) -> None:
    with tempfile.TemporaryDirectory() as folder, RunStore(folder) as store:
        run = store.create_run({"text": text})
        odd = Trajectory("e", "x/Y-v0", {"key": "k"}, steps=(Step(text, Message("assistant", text), reward),))
        store.add(run, odd)
        assert store.get(run, "e") == odd
        assert store.config(run) == {"text": text}


def test_names_that_do_not_exist_are_told_with_the_nearest(store: RunStore, played: list[Trajectory]) -> None:
    run = store.create_run({}, "textcraft-1")
    store.add(run, played[0])
    for ask in (store.config, store.finished, store.episodes, store.metrics, store.status, store.run_folder, store.run):
        with pytest.raises(UnknownNameError, match="Did you mean 'textcraft-1'"):
            ask("textcraft-2")
    with pytest.raises(UnknownNameError, match="Did you mean 'textcraft-1'"):
        store.add("textcraft-2", played[0])
    with pytest.raises(UnknownNameError, match="Unknown run"):
        store.log_metrics("textcraft-2", 1, {})
    with pytest.raises(UnknownNameError, match=r"Unknown episode 'episode-9'\. Did you mean 'episode-0'"):
        store.get(run, "episode-9")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 101, "a b"])
def test_a_run_id_has_to_be_a_plain_name(store: RunStore, name: str) -> None:
    with pytest.raises(UsageError, match="is not a plain name"):
        store.create_run({}, name)


def test_a_run_id_is_taken_once(store: RunStore) -> None:
    store.create_run({}, "r")
    with pytest.raises(UsageError, match="There is a run 'r' already"):
        store.create_run({}, "r")


def test_runs_of_the_same_second_get_different_names(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = iter(["aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr("palaestra.agents.store.store.secrets.token_hex", lambda n: next(digits))
    monkeypatch.setattr("palaestra.agents.store.store.time.time", lambda: 0.0)
    assert [store.create_run({}), store.create_run({})] == ["19700101-000000-aaaa", "19700101-000000-bbbb"]


def test_threads_and_a_second_connection_share_a_store(store: RunStore, played: list[Trajectory]) -> None:
    run = store.create_run({})
    many = [replace(played[0], episode_id=f"{i}") for i in range(200)]

    def write(part: list[Trajectory], target: RunStore) -> None:
        for trajectory in part:
            target.add(run, trajectory)

    with RunStore(store.folder) as other:
        threads = [
            threading.Thread(target=write, args=(many[i::2], target)) for i, target in ((0, store), (1, other), (0, other))
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert len(other.episodes(run)) <= 200
        for thread in threads:
            thread.join()
        assert other.finished(run) == {f"{i}" for i in range(200)}
        assert len(store.episodes(run)) == 200


# -- what can be wrong with a file ------------------------------------------------------------------------------------


def one_line(error: pytest.ExceptionInfo[StoreError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_a_new_store_can_be_opened_by_several_at_once(tmp_path: Path) -> None:
    count = 4
    for trial in range(25):
        start = threading.Barrier(count)

        def opened(folder: Path, start: threading.Barrier = start) -> list[str]:
            start.wait()
            with RunStore(folder) as store:
                return [run.run_id for run in store.runs()]

        with ThreadPoolExecutor(count) as pool:
            assert list(pool.map(opened, [tmp_path / str(trial)] * count)) == [[]] * count


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("this is a shopping list, and rather a long one at that " * 100)
    with pytest.raises(StoreError, match="damaged or no run store") as error:
        RunStore(tmp_path)
    assert "Move it away" in one_line(error)
    assert "--repair" not in one_line(error), "there is nothing to repair in what is not a database"


@pytest.mark.parametrize("read_only", [True, False])
def test_a_damaged_database_names_the_command_that_repairs_it(tmp_path: Path, read_only: bool) -> None:
    folder = tmp_path / "my runs"
    with RunStore(folder) as store:
        store.create_run({}, "first")
    file = folder / FILE_NAME
    data = file.read_bytes()
    file.write_bytes(data[:100] + bytes(len(data) - 100))
    with pytest.raises(StoreError, match="damaged or no run store") as error:
        RunStore(folder, read_only=read_only).runs()
    told = one_line(error)
    command = shlex.split(told.partition("See what can be saved with: palaestra ")[2].partition(";")[0])
    assert command == ["runs", "check", "--runs", str(folder)]
    assert "save it with --repair" in told


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(StoreError, match="database of another program"):
        RunStore(tmp_path)
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]
    connection.close()
    assert len(before) == (tmp_path / FILE_NAME).stat().st_size


def test_a_newer_store_asks_for_an_upgrade(tmp_path: Path) -> None:
    RunStore(tmp_path).close()
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match=r"newer Palaestra \(store version 99, .*pip install -U"):
        RunStore(tmp_path)


def first_version(folder: Path, played: list[Trajectory]) -> None:
    """Make a store as the first version of the schema had it, with one run."""
    with RunStore(folder) as made:
        made.create_run({"kind": "evaluate"}, "r")
        for trajectory in played[:3]:
            made.add("r", trajectory)
    connection = sqlite3.connect(folder / FILE_NAME)
    for name in ("metrics", "data_check", "row_check"):
        connection.execute(f"ALTER TABLE episodes DROP COLUMN {name}")
    for table in ("runs", "metrics", "locks"):
        connection.execute(f"ALTER TABLE {table} DROP COLUMN row_check")
    connection.execute("DROP INDEX metrics_by_run")
    connection.execute("DROP INDEX episodes_by_run")
    connection.execute("CREATE INDEX episodes_by_run ON episodes (run_id, number)")
    connection.execute("CREATE INDEX episodes_by_type ON episodes (run_id, task_type, success)")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()


def measured(trajectory: Trajectory) -> Trajectory:
    return replace(trajectory, outcome=replace(trajectory.outcome, metrics={"wer": 0.25, "seconds": 3.0}))


def test_metrics_of_an_episode_stand_in_its_summary(store: RunStore, played: list[Trajectory]) -> None:
    run = store.create_run({})
    store.add(run, measured(played[0]))
    store.add(run, played[1])
    assert [line.metrics for line in store.episodes(run)] == [{"wer": 0.25, "seconds": 3.0}, {}]
    assert store.get(run, played[0].episode_id).outcome.metrics == {"wer": 0.25, "seconds": 3.0}
    assert json.loads(json.dumps(store.episodes(run)[0].to_json()))["metrics"] == {"wer": 0.25, "seconds": 3.0}


def test_a_store_of_the_first_version_opens_reads_and_goes_on(tmp_path: Path, played: list[Trajectory]) -> None:
    first_version(tmp_path, played)
    with RunStore(tmp_path) as store:
        assert list(store.trajectories("r")) == played[:3]
        assert [line.metrics for line in store.episodes("r")] == [{}] * 3
        store.add("r", measured(played[3]))
        assert store.episodes("r")[-1].metrics == {"wer": 0.25, "seconds": 3.0}
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    assert connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    connection.close()


def test_a_store_of_the_first_version_is_read_without_being_changed(tmp_path: Path, played: list[Trajectory]) -> None:
    first_version(tmp_path, played)
    before = (tmp_path / FILE_NAME).read_bytes()
    with RunStore(tmp_path, read_only=True) as reader:
        assert [line.metrics for line in reader.episodes("r")] == [{}] * 3
        assert reader.get("r", played[0].episode_id) == played[0]
        assert (tmp_path / FILE_NAME).read_bytes() == before
        with RunStore(tmp_path) as writer:  # brought up to date while somebody reads
            writer.add("r", measured(played[3]))
        assert reader.episodes("r")[-1].metrics == {"wer": 0.25, "seconds": 3.0}


def test_the_summary_of_an_episode_says_how_answers_ended(tmp_path: Path, played: list[Trajectory]) -> None:
    steps = tuple(replace(step, action=replace(step.action, finish_reason="length")) for step in played[0].steps)
    cut = replace(measured(played[0]), steps=steps)
    with RunStore(tmp_path) as store:
        run = store.create_run({})
        store.add(run, cut)
        store.add(run, played[1])
        found = store.episodes(run)
        assert store.get(run, cut.episode_id) == cut
    assert steps
    assert [(line.answer_faults, line.metrics) for line in found] == [({"length": len(steps)}, cut.outcome.metrics), ({}, {})]


def test_several_may_bring_an_old_store_up_to_date_at_once(tmp_path: Path, played: list[Trajectory]) -> None:
    first_version(tmp_path, played)

    def opened(_: int) -> int:
        with RunStore(tmp_path) as store:
            return len(store.episodes("r"))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(opened, range(16))) == [3] * 16


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_half_written_file_is_told_and_never_crashes(tmp_path: Path, played: list[Trajectory], share: float) -> None:
    with RunStore(tmp_path) as store:
        run = store.create_run({}, "r")
        for i in range(300):
            store.add(run, replace(played[i % 12], episode_id=str(i)))
    file = tmp_path / FILE_NAME
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])

    def read_everything() -> None:
        with RunStore(tmp_path) as store:
            list(store.trajectories("r"))
            store.episodes("r")

    with pytest.raises(StoreError, match=r"damaged|restore it from a copy") as error:
        read_everything()
    one_line(error)


def test_a_damaged_episode_does_not_hide_the_others(store: RunStore, played: list[Trajectory]) -> None:
    run = store.create_run({})
    for trajectory in played:
        store.add(run, trajectory)
    connection = sqlite3.connect(store.file)
    connection.execute("UPDATE trajectories SET data = substr(data, 1, 40) WHERE number = 3")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match=r"Episode 'episode-2' .* is damaged") as error:
        store.get(run, "episode-2")
    one_line(error)
    assert store.get(run, "episode-3") == played[3]
    assert len(store.episodes(run)) == 12


def test_a_full_disk_loses_nothing(store: RunStore, played: list[Trajectory]) -> None:
    run = store.create_run({}, "r")
    store.add(run, played[0])
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    big = [replace(played[1], episode_id=str(i), instructions=os.urandom(3000).hex()) for i in range(10)]
    stored = ["episode-0"]

    def fill() -> None:
        for trajectory in big:
            store.add(run, trajectory)
            stored.append(trajectory.episode_id)

    with pytest.raises(StoreError, match=r"the disk of .* is full\. Nothing finished is lost: free space") as error:
        fill()
    one_line(error)
    assert len(stored) < 11
    assert store.finished(run) == set(stored)
    store._connection.execute("PRAGMA max_page_count = 100000")
    for trajectory in big:
        store.add(run, trajectory)
    assert len(list(store.trajectories(run))) == 11


@pytest.mark.parametrize("limit", [1000, 4096, 20_000, 40_000, 50_000])
def test_a_store_that_cannot_be_made_is_told_and_can_be_made_later(tmp_path: Path, limit: int) -> None:
    script = """
import os, resource, signal, shutil, sys
from palaestra.agents.store.store import RunStore
from palaestra.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
for free in (10**9, 0):
    shutil.disk_usage = lambda folder: shutil._ntuple_diskusage(10**9, 10**9 - free, free)
    try:
        RunStore(sys.argv[1]).create_run({}, "r")
    except StoreError as error:
        print(error, flush=True)
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), str(limit)], capture_output=True, text=True, timeout=60
    )
    failed, full = done.stdout.splitlines()
    assert re.match(r"Could not create (the store|a run): reading or writing .* failed .*ulimit", failed), done.stderr
    assert re.match(
        r"Could not (create the store|create a run|open): the disk of .* is full\. Nothing finished is lost: free space", full
    )
    with RunStore(tmp_path) as store:
        assert store.runs() == []
        store.create_run({}, "r")
    with RunStore(tmp_path) as store:
        assert store.run_ids() == ["r"]


def test_a_size_limit_of_the_system_loses_nothing(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from palaestra.agents.store.store import RunStore
from palaestra.errors import StoreError
from palaestra.types import Trajectory
import os
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = RunStore(sys.argv[1])
run = store.create_run({}, "r")
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
added = 0
try:
    while added < 1000:
        store.add(run, Trajectory(str(added), "x", {"key": "k"}, instructions=os.urandom(2000).hex()))
        added += 1
except StoreError as error:
    print(added, error)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60)
    added, _, message = done.stdout.strip().partition(" ")
    assert 0 < int(added) < 1000, done.stderr
    assert "resume the run" in message
    with RunStore(tmp_path) as store:
        assert store.finished("r") == {str(i) for i in range(int(added))}
        assert len(list(store.trajectories("r"))) == int(added)


@pytest.fixture
def foreign_folder() -> Iterator[Path]:
    """A folder that the test may read but not write, whoever runs it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        with RunStore(folder) as store:
            store.create_run({}, "r")
        user = os.geteuid()
        folder.chmod(0o555)
        (folder / FILE_NAME).chmod(0o444)
        if user == 0:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(user)
            folder.chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX rights")
def test_a_folder_without_the_right_to_write_is_told_but_can_be_read(foreign_folder: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written; choose another one") as error:
        RunStore(foreign_folder)
    one_line(error)
    with pytest.raises(StoreError, match="cannot be made"):
        RunStore(foreign_folder / "runs")
    with RunStore(foreign_folder, read_only=True) as store:
        assert [run.run_id for run in store.runs()] == ["r"]
        with pytest.raises(StoreError, match="cannot be written"):
            store.create_run({}, "s")


def test_reading_asks_for_an_existing_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no run store at"):
        RunStore(tmp_path / "nowhere", read_only=True)
    assert not (tmp_path / "nowhere").exists()


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        RunStore(tmp_path / "runs")


# -- locks ------------------------------------------------------------------------------------------------------------


def test_a_run_is_held_by_one_process_at_a_time(store: RunStore) -> None:
    run = store.create_run({}, "r")
    script = (
        "import sys\nfrom palaestra.agents.store.store import RunStore\nstore = RunStore(sys.argv[1])\n"
        "with store.lock('r'):\n    store.set_status('r', 'running')\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(store.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=f"is being played by process {child.pid}") as error, store.lock(run):
            pass
        one_line(error)
        assert store.status(run) == "running"
        child.kill()
        # not collected yet: the system still knows the number
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert store.status(run) == "interrupted"
        with store.lock(run):
            assert store.status(run) == "running"
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
        child.stdin.close()
    with store.lock(run):
        pass


def hold(store: RunStore, run: str, **owner: Any) -> None:
    """Write a lock as another process would."""
    values = (run, json.dumps(owner))
    store._connection.execute("INSERT OR REPLACE INTO locks VALUES (?, ?, ?)", (*values, record_check(*values)))


def test_a_lock_of_a_process_whose_number_was_given_again_is_taken_over(store: RunStore) -> None:
    run = store.create_run({})
    with store.lock(run):
        hold(store, run, **{**this_process().to_json(), "started": "1"})
        with store.lock(run):
            pass


def test_a_lock_of_another_machine_is_respected_until_freed(store: RunStore) -> None:
    run = store.create_run({})
    hold(store, run, host="elsewhere", pid=1, started="1")
    with pytest.raises(StoreError, match=r"on the machine 'elsewhere'.*unlock\(\)"), store.lock(run):
        pass
    store.unlock(run)
    with store.lock(run):
        pass


def test_a_lock_is_freed_after_an_error(store: RunStore) -> None:
    run = store.create_run({})
    with pytest.raises(KeyboardInterrupt), store.lock(run):
        raise KeyboardInterrupt
    with store.lock(run):
        pass


def test_a_second_episode_of_an_id_is_never_dropped_silently(store: RunStore, played: list[Trajectory]) -> None:
    run = store.create_run({})
    assert store.add(run, played[0])
    assert not store.add(run, played[0])
    other = replace(played[1], episode_id=played[0].episode_id, steps=played[0].steps * 2)
    with pytest.warns(UserWarning, match="already holds another episode 'episode-0'"):
        assert not store.add(run, other)
    assert store.get(run, "episode-0") == played[0]
    assert store.add(run, other, replace=True)
