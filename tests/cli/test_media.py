"""`palaestra evaluate` on a world with sound and picture: played, killed, resumed, reported, exported, deleted."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from palaestra.agents.store.store import RunStore
from palaestra.errors import StoreError
from palaestra.media import MemoryMedia, find_media, tone, use_media
from palaestra.types import Trajectory
from tests.agents.report.page import parse
from tests.agents.test_kill import untimed
from tests.media.gallery import SPEC

N = 150


@pytest.fixture(autouse=True)
def media():
    with use_media(MemoryMedia()) as store:
        yield store


@pytest.fixture
def model(tmp_path) -> str:
    """A script that looks, listens and whistles."""
    (tmp_path / "whistle.wav").write_bytes(tone(220, 0.2))
    rows = [
        {"match": "Look:", "content": "red", "repeat": True, "delay_s": 0.01},
        {"match": "Listen:", "content": "low", "repeat": True, "delay_s": 0.01},
        {"match": "Whistle", "content": "so:", "media": ["whistle.wav"], "repeat": True, "delay_s": 0.01},
    ]
    path = tmp_path / "script.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"scripted:{path}"


def episodes(store: RunStore, run_id: str) -> dict[str, Trajectory]:
    """Return the stored episodes, after looking at every byte that they name."""
    found = {trajectory.episode_id: trajectory for trajectory in store.trajectories(run_id)}
    for trajectory in found.values():
        named = find_media(repr(trajectory))
        assert len(named) in (2, 3)
        assert all(item in store.media(run_id) for item in named)
    return found


def test_a_world_with_sound_and_picture_from_the_first_episode_to_the_last_file(palaestra_run, model, tmp_path):
    runs = tmp_path / "runs"
    words = ["evaluate", "--env", SPEC, "--model", model, "--format", "text", "-n", str(N)]
    command = [
        sys.executable,
        "-m",
        "palaestra.cli.main",
        *words,
        "--runs",
        str(runs),
        "--run",
        "killed",
        "--concurrency",
        "2",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    rng, kept = random.Random(1), [0]
    for _ in range(3):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(StoreError), RunStore(runs, read_only=True) as store:  # it may not be there yet
                if any(run.num_episodes > kept[-1] for run in store.runs()):
                    break
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.wait()
        with RunStore(runs, read_only=True) as store:
            kept.append(len(episodes(store, "killed")))
    assert 0 < kept[1] < kept[2] < kept[3] < N

    for ran in (
        palaestra_run("evaluate", "--runs", runs, "--run", "killed"),
        palaestra_run(*words, "--runs", runs, "--run", "whole"),
    ):
        assert ran.code == 0, ran.err
    with RunStore(runs, read_only=True) as store:
        killed, whole = episodes(store, "killed"), episodes(store, "whole")
        assert {key: untimed(found) for key, found in killed.items()} == {key: untimed(found) for key, found in whole.items()}
        assert set(store.media("killed")) == set(store.media("whole"))
        assert any(found.outcome.success for found in whole.values())

    page = parse((runs / "killed" / "report.html").read_text(encoding="utf-8"))
    assert set(page.data["media"]) == {item.sha256 for found in whole.values() for item in find_media(repr(found))}
    assert all(item["src"].startswith(("data:image/png;", "data:audio/wav;")) for item in page.data["media"].values())


def test_commands_about_a_run_tell_of_its_media_and_take_them_along(palaestra_run, model, tmp_path):
    runs = tmp_path / "runs"
    words = ("evaluate", "--env", SPEC, "--model", model, "--format", "text", "-n", "3", "--runs", runs, "--run", "a")
    assert palaestra_run(*words).code == 0
    with RunStore(runs, read_only=True) as store:
        kept = store.media("a")
    size = len(kept)
    assert size >= 4

    shown = palaestra_run("runs", "show", "a", "--runs", runs)
    told = f"{size} sounds and pictures ({kept.num_bytes / 1e3:,.1f} kB) in {kept.folder.resolve()}"
    assert told in shown.out.replace("\n", "")
    data = json.loads(palaestra_run("runs", "show", "a", "--runs", runs, "--json").out)
    assert data["media"] == {"files": size, "bytes": kept.num_bytes}
    assert data["files"] == ["report.html"]

    ran = palaestra_run("export", "a", "--runs", runs, "-o", tmp_path / "out" / "train.json")
    assert f", {size} sounds and pictures in train_media" in ran.out
    ran = palaestra_run("export", "a", "--runs", runs, "-o", tmp_path / "out" / "other.jsonl", "--format", "jsonl", "--json")
    exported = json.loads(ran.out)
    assert (exported["media"], exported["num_media"]) == (str(tmp_path / "out" / "other_media"), size)
    assert len(list(Path(exported["media"]).iterdir())) == size

    assert palaestra_run("runs", "delete", "a", "--yes", "--runs", runs).code == 0
    assert not (runs / "a").exists()


def test_a_model_for_text_alone_stops_at_once_with_one_line(refused, tmp_path, monkeypatch, model):
    from palaestra.agents.backends.scripted import ScriptedBackend

    monkeypatch.setattr(ScriptedBackend, "takes_media", False)
    refused(
        *("evaluate", "--env", SPEC, "--model", model, "--format", "text", "-n", "3", "--runs", tmp_path / "runs"),
        match=r"shows an image \(image/png\), and the backend 'scripted:script.jsonl' takes text only. Use a model behind",
    )


def test_an_export_says_which_media_are_lost(palaestra_run, model, tmp_path):
    runs = tmp_path / "runs"
    words = ("evaluate", "--env", SPEC, "--model", model, "--format", "text", "-n", "3", "--runs", runs, "--run", "a")
    assert palaestra_run(*words).code == 0
    with RunStore(runs, read_only=True) as store:
        whistle = next(store.trajectories("a")).steps[-1].action.media[0]
        names = sorted(one.episode_id for one in store.trajectories("a") if whistle in one.steps[-1].action.media)
        store.media("a").path(whistle).unlink()
    for options in ((), ("--json",)):
        ran = palaestra_run("export", "a", "--runs", runs, "-o", tmp_path / "out.jsonl", "--format", "chat", *options)
        assert ran.code == 0
        assert f"{len(names)} episodes left out: their sounds or pictures are missing or damaged." in ran.err
        assert all(f"  {name}: " in ran.err for name in names)
        assert whistle.sha256 in ran.err
        if options:
            assert sorted(json.loads(ran.out)["lost"]) == names
        else:
            assert f", {len(names)} left out" in ran.out
    for file in (runs / "a" / "media").iterdir():
        file.unlink()
    assert palaestra_run("export", "a", "--runs", runs, "-o", tmp_path / "out.jsonl").code == 0
