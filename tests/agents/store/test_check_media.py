"""A check of a store reads its sounds and pictures: whatever is gone or changed is named, and nothing that is whole."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.reference import ExpertAgent
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.agents.store.check import check_store
from palaestra.agents.store.check_media import check_media
from palaestra.agents.store.records import pack, written
from palaestra.agents.store.store import FILE_NAME, RunStore
from palaestra.cli.main import main
from palaestra.media import MemoryMedia, describe, find_media, tone, use_media
from palaestra.types import Message, Step, Trajectory
from tests.media.gallery import ENV_ID, make_gallery

RUNS = ("a", "b")
VOICE = b"\xff\xf3 not a type that tells itself" * 40


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs whose episodes share some of their media; one medium is of a type that its bytes do not tell."""
    folder = tmp_path_factory.mktemp("whole")
    with use_media(MemoryMedia()) as media, RunStore(folder) as store:
        for seed, run_id in enumerate(RUNS):
            store.create_run({}, run_id)
            plans = [EpisodePlan(f"e{i}", ENV_ID, task_key=f"test/{i + 3 * seed}", seed=i) for i in range(6)]
            for trajectory in RolloutEngine().collect(plans, ExpertAgent(), make_env=make_gallery):
                store.add(run_id, trajectory)
            voice = media.put(VOICE, type="audio/opus")
            store.add(run_id, Trajectory("voice", ENV_ID, {}, final_observation=f"You hear {voice.tag}"))
    return folder


def expected(folder: Path, run_id: str) -> Counter[str]:
    """Count the episodes that name each file, by reading the run as anybody would."""
    found: Counter[str] = Counter()
    with RunStore(folder, read_only=True) as store:
        for trajectory in store.trajectories(run_id):
            paths = [store.media(run_id).path(media) for media in set(find_media(repr(trajectory.to_json())))]
            found.update({path.name for path in paths if path is not None})
    return found


def files(folder: Path, run_id: str) -> list[Path]:
    return sorted((folder / run_id / "media").iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_whole_store_is_whole_and_so_are_files_that_nothing_names(whole, tmp_path, capsys):
    folder = shutil.copytree(whole, tmp_path / "runs")
    assert sum(len(files(folder, run_id)) for run_id in RUNS) > 10
    extra = b"bytes of nobody"
    media = folder / "a" / "media"
    (media / f"{hashlib.sha256(extra).hexdigest()}.bin").write_bytes(extra)
    (media / "notes.txt").write_text("by hand")
    (media / f".{'0' * 64}.wav.1.aa.draft").write_bytes(b"half")
    (folder / "b" / "report.html").write_text("...")
    before = contents(folder)
    for repair in (False, True):
        checked = check_store(folder, repair=repair)
        assert (checked.is_whole, checked.notes, checked.saved_as) == (True, (), "")
        assert main(["runs", "check", "--runs", str(folder), *["--repair"] * repair]) == 0
    assert "Nothing in" in capsys.readouterr().out
    assert {name: data for name, data in contents(folder).items() if FILE_NAME not in name} == {
        name: data for name, data in before.items() if FILE_NAME not in name
    }


@given(seed=st.integers(0, 2**32), kind=st.sampled_from(["delete", "flip", "cut", "grow", "empty", "swap"]))
@settings(deadline=None, max_examples=40)
def test_every_harm_to_a_media_file_is_named_with_its_run_and_its_episodes(whole, tmp_path_factory, seed, kind):
    rng = random.Random(seed)
    folder = shutil.copytree(whole, tmp_path_factory.mktemp("harm") / "runs")
    counts = {run_id: expected(folder, run_id) for run_id in RUNS}
    harmed: dict[str, dict[str, str]] = {run_id: {} for run_id in RUNS}
    for run_id in rng.sample(RUNS, rng.randint(1, 2)):
        named = [path for path in files(folder, run_id) if path.name in counts[run_id]]
        chosen = rng.sample(named, 2)
        if kind == "swap":
            one, other = (path.read_bytes() for path in chosen)
            chosen[0].write_bytes(other)
            chosen[1].write_bytes(one)
        for path in chosen:
            data = bytearray(path.read_bytes())
            if kind == "delete":
                path.unlink()
            elif kind == "flip":
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            elif kind == "grow":
                data += b"\0"
            elif kind != "swap":
                del data[0 if kind == "empty" else rng.randrange(len(data)) :]
            if kind not in ("delete", "swap"):
                path.write_bytes(data)
            harmed[run_id][path.name] = "missing" if kind == "delete" else "damaged"
    before = contents(folder)
    for repair in (False, True):
        checked = check_store(folder, repair=repair)
        assert (checked.is_whole, checked.is_file_whole, checked.has_all_media, checked.saved_as) == (False, True, False, "")
        for run in checked.runs:
            assert {lost.file: (lost.problem, lost.episodes) for lost in run.media} == {
                name: (problem, counts[run.run_id][name]) for name, problem in harmed[run.run_id].items()
            }
            assert (run.kept, run.lost, run.problem) == (7, (), "")
    after = contents(folder)
    assert all(after[name] == data for name, data in before.items() if "media" in name), "nothing is touched or invented"
    assert {name for name in after if "media" in name} == {name for name in before if "media" in name}


def test_what_was_said_of_bytes_that_do_not_tell_is_read_as_well(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "runs")
    (told,) = (folder / "b" / "media").glob("*.told-*")
    told.write_bytes(told.read_bytes().replace(b"opus", b"mpeg"))
    first, second = sorted(check_store(folder).runs, key=lambda run: run.run_id)
    assert first.media == ()
    assert [(lost.file, lost.problem, lost.episodes) for lost in second.media] == [(told.name, "damaged", 1)]


def test_a_folder_that_is_gone_is_missing_file_by_file_and_the_trajectories_stay(whole, tmp_path, capsys):
    folder = shutil.copytree(whole, tmp_path / "runs")
    counts = expected(folder, "a")
    shutil.rmtree(folder / "a" / "media")
    for repair in ([], ["--repair"]):
        assert main(["runs", "check", "--runs", str(folder), *repair]) == 1
        told = capsys.readouterr().out
        assert "a: 7 episodes whole" in told
        assert told.count("missing, named by") == 5
        assert f"{len(counts)} media files in all" in told
        assert "Restore the media files from a copy" in told
        assert "Nothing in" not in told
        assert "Save what is whole" not in told
    assert main(["runs", "check", "--runs", str(folder), "--json"]) == 1
    (lost,) = [run["media"] for run in json.loads(capsys.readouterr().out)["runs"] if run["media"]]
    assert {row["file"]: row["episodes"] for row in lost} == counts
    with RunStore(folder) as store:
        assert len(store.finished("a")) == 7


def test_a_repair_of_the_file_says_which_media_are_lost(whole, tmp_path, capsys):
    folder = shutil.copytree(whole, tmp_path / "runs")
    with RunStore(folder) as store:
        store._connection.execute("UPDATE episodes SET env_id = 'x' WHERE run_id = 'b' AND episode_id = 'e0'")
    gone = files(folder, "a")[0]
    gone.write_bytes(b"noise")
    checked = check_store(folder, repair=True)
    assert checked.saved_as
    assert [lost.file for run in checked.runs for lost in run.media] == [gone.name]
    again = check_store(folder)
    assert (again.is_file_whole, again.has_all_media) == (True, False)


def test_what_never_had_bytes_is_not_missing(tmp_path):
    """Neither what a world wrote by itself, nor what a model made up, nor what was known to be lost when it was stored."""
    forged, example, here = describe(tone(441, 0.1)), describe(tone(442, 0.1)), describe(tone(443, 0.1))
    false = replace(here, seconds=9999)
    echo = Trajectory("echo", ENV_ID, {}, steps=(Step("say", Message("assistant", forged.tag)),), final_observation=forged.tag)
    with use_media(MemoryMedia()) as media, RunStore(tmp_path) as store:
        media.put(tone(443, 0.1))
        for run_id in ("a", "b"):
            store.create_run({}, run_id)
        store.add("a", echo)
        told = f"for example {example.tag}, {here.tag}, {false.tag}"
        store.add("a", Trajectory("told", ENV_ID, {}, instructions=told))
        store.add("a", Trajectory("same", ENV_ID, {}, steps=(Step("say", Message("assistant", here.tag, media=(here,))),)))
        assert store.get("a", "told").meta == {"absent_media": [example.to_json(), false.to_json()]}
        assert store.get("a", "same").meta == {}
        assert check_store(tmp_path).is_whole, "and while it is open"
        path = store.media("a").path(here)
        assert path is not None
        path.unlink()
        for trajectory in store.trajectories("a"):  # as scores are given again
            store.add("b", trajectory, media=store.media("a"), allow_lost=True)
        lost = {run.run_id: run.media for run in check_store(tmp_path).runs}
        assert [(one.file, one.problem, one.episodes) for one in lost["a"]] == [(path.name, "missing", 2)]
        assert lost["b"] == ()
        media.put(tone(442, 0.1))
        store.add("b", replace(store.get("a", "told"), episode_id="later"))
        assert store.get("b", "later").meta == {"absent_media": [false.to_json()]}


def test_an_episode_of_an_earlier_version_that_repeats_a_model_is_whole(tmp_path):
    """What an earlier version stored does not say which tags never had bytes."""
    forged, spoken = describe(tone(441, 0.1)), describe(tone(442, 0.1))
    said = Message("assistant", f"{spoken.tag} &lt;{forged.tag[1:]}", media=(spoken,))
    steps = (Step("say", said), Step(f"No {forged.tag}", Message("assistant", "oh")))
    with use_media(MemoryMedia()) as media, RunStore(tmp_path) as store:
        media.put(tone(442, 0.1))
        store.create_run({}, "a")
        trajectory = Trajectory("old", ENV_ID, {}, steps=steps)
        store.add("a", trajectory)
        (absent,) = store.get("a", "old").meta["absent_media"]
        assert absent == forged.to_json()
        data = pack(written(trajectory))
        assert check_media(tmp_path / "a", [data]) == ()
        (lost,) = check_media(tmp_path / "elsewhere", [data])
        assert (lost.file[:64], lost.problem, lost.episodes) == (spoken.sha256, "missing", 1)


def test_folders_of_runs_that_the_store_does_not_know_are_a_note(whole, tmp_path, capsys):
    folder = shutil.copytree(whole, tmp_path / "runs")
    shutil.copytree(folder / "a" / "media", folder / "stray" / "media")
    (folder / "of somebody else").mkdir()
    checked = check_store(folder)
    assert checked.is_whole
    (note,) = checked.notes
    assert "stray" in note
    assert main(["runs", "check", "--runs", str(folder)]) == 0
    assert note in capsys.readouterr().out
