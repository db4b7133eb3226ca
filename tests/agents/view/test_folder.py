from __future__ import annotations

import os
import threading
import time

import pytest

from palaestra.agents.store.about import env_ids_of, far, model_of, what_of
from palaestra.agents.store.store import RunStore
from palaestra.agents.view.folder import Damaged, Kept, RunsFolder
from tests.agents.report import build


def settle(path):
    """Make the store's files as old as those that are surely not written within the same tick."""
    for file in path.glob("palaestra.db*"):
        os.utime(file, (time.time() - 60, time.time() - 60))


def test_a_file_that_is_not_written_is_read_once(tmp_path, monkeypatch):
    with RunStore(tmp_path) as store:
        build.add_evaluation(store, n=2)
        settle(tmp_path)
        folder, reads = RunsFolder(tmp_path), []
        read = folder._read
        monkeypatch.setattr(folder, "_read", lambda: reads.append(1) or read())
        assert [folder.listing() for _ in range(5)] == [folder.listing()] * 5
        assert len(reads) == 1
        store.create_run({}, "new")
        assert folder.listing().find("new") is not None
        assert folder.listing().find("none") is None


def test_a_file_that_was_written_this_very_moment_is_read_again(tmp_path):
    with RunStore(tmp_path) as store:
        store.create_run({}, "r")
        folder = RunsFolder(tmp_path)
        now = time.time() + 0.02  # within the same tick a second write would leave the same stamp
        os.utime(tmp_path / "palaestra.db", (now, now))
        assert folder.stamp() != folder.stamp()
        settle(tmp_path)
        assert folder.stamp() == folder.stamp()


def test_what_a_running_run_logs_makes_a_new_version_of_its_page_and_of_no_other(tmp_path):
    with RunStore(tmp_path) as store:
        for name in ("train", "train-arm", "training", "other"):
            store.create_run({"kind": "train"}, name)
            store.set_status(name, "finished")
        store.set_status("train-arm", "running")
        settle(tmp_path)
        folder = RunsFolder(tmp_path)
        before = {name: folder.version([name]) for name in ("train", "train-arm", "training", "other")}
        store.log_metrics("train-arm", 1, {"loss": 0.5})
        changed = {name for name, version in before.items() if folder.version([name]) != version}
        assert changed == {"train", "train-arm"}


def test_a_run_that_cannot_be_read_is_one_row(tmp_path, monkeypatch):
    with RunStore(tmp_path) as store:
        store.create_run({}, "good")
        store.create_run({}, "bad")
    one = RunStore.run

    def run(store, run_id):
        if run_id == "bad":
            raise KeyError("host")
        return one(store, run_id)

    monkeypatch.setattr(RunStore, "run", run)
    monkeypatch.setattr(RunStore, "runs", lambda store: [run(store, run_id) for run_id in store.run_ids()])
    bad, good = RunsFolder(tmp_path).listing().runs
    assert (type(bad), good.run_id) == (Damaged, "good")
    assert "KeyError: 'host'" in bad.problem


def test_the_last_few_are_kept_and_made_once_for_all_who_wait():
    kept, made = Kept(2), []

    def make(key):
        return kept.get(key, lambda: made.append(key) or key)

    threads = [threading.Thread(target=make, args=("a",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["a"]
    assert [make(key) for key in ("b", "a", "c", "a", "b")] == ["b", "a", "c", "a", "b"]
    assert made == ["a", "b", "c", "b"]  # "b" was the one used least lately when "c" came


@pytest.mark.parametrize(
    ("config", "what", "envs", "model"),
    [
        ({}, "", [], ""),
        (
            {"kind": "evaluate", "agent": "m", "envs": [{"env_id": "a/B-v0"}, {"env_id": "a/B-v0"}]},
            "m on a/B-v0",
            ["a/B-v0"],
            "m",
        ),
        ({"kind": "rescore", "rescored": "r", "scorer": "s:f", "agent": "m"}, "r scored by s:f", [], "m"),
        (
            {"kind": "train", "name": "n", "recipe": {"env": {"id": "x/Y-v1"}, "model": {"path": "p"}}},
            "n on x/Y-v1",
            ["x/Y-v1"],
            "p",
        ),
        (
            {"kind": "train", "recipe": {"env": [{"id": "1"}, {"id": "2"}], "model": {"kind": "k"}}},
            "train on 1, 2",
            ["1", "2"],
            "k",
        ),
        ({"kind": "evaluate", "envs": "x", "recipe": [3], "env": [None, 4]}, "", [], ""),
        ({"kind": "evaluate", "agent": "m"}, "m", [], "m"),
        ({"kind": "rescore"}, " scored by ", [], ""),
        ({"kind": "train"}, "train", [], ""),
    ],
)
def test_what_a_run_is_about_is_read_from_any_configuration(config, what, envs, model):
    assert (what_of(config), env_ids_of(config), model_of(config)) == (what, envs, model)


def test_how_far_a_run_is_is_part_of_its_status(tmp_path):
    with RunStore(tmp_path) as store:
        store.create_run({"kind": "evaluate"}, "r")
        store.set_status("r", "stopped", "budget spent (3 of 9 planned)")
        assert far(store.run("r")) == "stopped, 3 of 9 planned"
        store.set_status("r", "finished")
        assert far(store.run("r")) == "finished"
