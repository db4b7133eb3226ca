from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palaestra.agents.export.export import EXPORT_FORMATS, export_trajectories
from palaestra.agents.export.reading import load_conversations, load_trajectories
from palaestra.agents.reference import ExpertAgent
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.errors import UsageError
from palaestra.media import FolderMedia, Media, MemoryMedia, current_media, describe, find_media, png_bytes, tone, use_media
from palaestra.types import Message, Outcome, Step, Trajectory
from tests.agents.export.test_export import records
from tests.media.gallery import ENV_ID


@pytest.fixture(autouse=True)
def media():
    with use_media(MemoryMedia()) as store:
        yield store


@pytest.fixture
def played(media) -> list[Trajectory]:
    media.put(tone(1234, 0.1))  # named by nobody
    plans = [EpisodePlan(f"e{i}", ENV_ID, task_key=f"test/{i}", seed=i) for i in range(3)]
    return RolloutEngine().collect(plans, ExpertAgent())


def write(played: list[Trajectory], folder: Path, format: str, **options) -> tuple[Path, list[dict[str, Any]], FolderMedia]:
    path = folder / f"train{EXPORT_FORMATS[format].suffix}"
    done = export_trajectories(played, path, format, **options)
    files = FolderMedia(folder / ("train/media" if format == "dataset" else "train_media"))
    assert done.num_media == len(files)
    assert done.media == (files.folder if done.num_media else None)
    return path, [] if format == "dataset" else records(path), files


def named(value: object) -> list[Media]:
    return list(find_media(repr(value)))


@pytest.mark.parametrize("format", [name for name in EXPORT_FORMATS if name not in ("chat", "eval")])
def test_files_of_what_is_named_lie_next_to_the_export(played, tmp_path, media, format):
    if format == "dataset":
        pytest.importorskip("datasets")
    _, _, files = write(played, tmp_path, format)
    wanted = named(played)
    assert sorted(files) == sorted({item.sha256 for item in wanted})
    assert all(files.get(item) == media.get(item) for item in wanted)
    # a second export finds them there
    write(played[:1], tmp_path / "other", format, media=files)


def test_whole_trajectories_come_back_with_their_media(played, tmp_path):
    path, _, files = write(played, tmp_path, "jsonl")
    with use_media(MemoryMedia()):
        back = list(load_trajectories(path))
        assert back == played
        assert all(item in files for item in named(back))


@pytest.mark.parametrize("format", ["agenttraj", "experience"])
def test_agenttraj_lists_its_media_with_paths(played, tmp_path, media, format):
    path, found, _ = write(played, tmp_path, format)
    for record, trajectory in zip(found, played, strict=True):
        assert [entry["sha256"] for entry in record["media"]] == [item.sha256 for item in named(trajectory)]
        for entry in record["media"]:
            assert describe((path.parent / entry["path"]).read_bytes(), entry["type"]).sha256 == entry["sha256"]
    for conversation, trajectory in zip(load_conversations(path), played, strict=True):
        assert [step.action.media for step in conversation.to_trajectory().steps] == [s.action.media for s in trajectory.steps]


def test_sharegpt_has_placeholders_and_their_paths_in_order(played, tmp_path, media):
    path, found, _ = write(played, tmp_path, "sharegpt")
    for record, trajectory in zip(found, played, strict=True):
        values = " ".join(turn["value"] for turn in record["conversations"])
        assert values.count("<image>") == len(record["images"]) == 1
        assert values.count("<audio>") == len(record["audios"]) == 2
        assert not find_media(values)
        files = [(path.parent / name).read_bytes() for name in [*record["images"], *record["audios"]]]
        assert list(dict.fromkeys(map(describe, files))) == named(trajectory)


def test_chat_holds_the_parts_of_openais_api(played, tmp_path, media):
    path, found, files = write(played, tmp_path, "chat")
    assert not files.folder.exists()
    for record, trajectory in zip(found, played, strict=True):
        users = [message["content"] for message in record["messages"] if message["role"] == "user"]
        shown = [part for content in users if isinstance(content, list) for part in content if part["type"] != "text"]
        assert [part["type"] for part in shown] == ["image_url", "input_audio"]
        picture, sound = named(trajectory)[:2]
        assert shown[0]["image_url"]["url"] == f"data:image/png;base64,{base64.b64encode(media.get(picture)).decode()}"
        assert base64.b64decode(shown[1]["input_audio"]["data"]) == media.get(sound)
    with use_media(MemoryMedia()) as later:
        back = [conversation.to_trajectory() for conversation in load_conversations(path)]
        assert [step.observation for step in back[0].steps] == [step.observation for step in played[0].steps]
        assert all(item in later for item in named([step.observation for one in back for step in one.steps]))


@pytest.mark.parametrize("format", [name for name in EXPORT_FORMATS if name not in ("dataset", "eval")])
def test_what_only_looks_like_a_tag_stays_text(tmp_path, media, format):
    real, forged = media.put(png_bytes(np.zeros((2, 2), np.uint8))), describe(tone(99, 0.1))
    seen = f"You wrote &lt;{real.tag[1:]} and {forged.tag}"
    steps = (Step(seen, Message("assistant", real.tag)), Step("and?", Message("assistant", "<audio>")))
    odd = Trajectory("e", "x/Y-v0", {"key": "k"}, steps=steps, outcome=Outcome(0.0, False))
    path, found, files = write([odd], tmp_path, format)
    if format == "jsonl":
        assert list(load_trajectories(path)) == [odd]
        return
    assert not files.folder.exists()
    assert not {"media", "images", "audios"} & found[0].keys()
    [back] = [conversation.to_trajectory() for conversation in load_conversations(path)]
    assert [step.action for step in back.steps] == [step.action for step in odd.steps]


@pytest.mark.parametrize("format", [name for name in EXPORT_FORMATS if name not in ("dataset", "eval")])
def test_text_alone_is_written_to_the_byte_as_without_a_store(tmp_path, media, format):
    text = Trajectory(
        "e", "x/Y-v0", {"key": "k"}, steps=(Step("see", Message("assistant", "act")),), outcome=Outcome(1.0, True)
    )
    paths = [write([text], tmp_path / name, format, media=store)[0] for name, store in (("a", MemoryMedia()), ("b", media))]
    media.put(tone(99, 0.1))
    paths.append(write([text], tmp_path / "c", format)[0])
    assert len({path.read_bytes() for path in paths}) == 1


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}},
        {"type": "image_url", "image_url": None},
        {"type": "input_audio", "input_audio": {"data": base64.b64encode(b"hello").decode()}},
        {"type": "input_audio"},
        {"type": "video_url", "video_url": {"url": "x"}},
        {"type": "text"},
        "text",
    ],
)
def test_a_content_part_that_cannot_be_read_is_one_clear_error(tmp_path, part):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": [part]}]}) + "\n")
    with pytest.raises(
        UsageError,
        match=r"line 1, record 1: messages\[0\].content: A content part is .* expected a text, an image_url",
    ):
        list(load_conversations(path))


# -- lost media -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["missing", "damaged", "folder"])
def harmed(request, played, tmp_path):
    """A folder of media, of which the first episode's whistle is lost."""
    kept = FolderMedia(tmp_path / "run")
    kept.keep(named(played), current_media())
    (whistle,) = played[0].steps[-1].action.media
    file = kept.path(whistle)
    if request.param == "damaged":
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    else:
        file.unlink()
        if request.param == "folder":
            file.mkdir()
    return FolderMedia(kept.folder), whistle


@pytest.mark.parametrize("format", list(EXPORT_FORMATS))
def test_episodes_whose_media_are_lost_are_left_out_and_named(played, tmp_path, harmed, format):
    if format == "dataset":
        pytest.importorskip("datasets")
    kept, whistle = harmed
    losers = [one.episode_id for one in played if whistle in one.steps[-1].action.media]
    path = tmp_path / f"out{EXPORT_FORMATS[format].suffix}"
    seen: list[tuple[int, int]] = []
    done = export_trajectories(played, path, format, media=kept, progress=lambda *figures: seen.append(figures))
    assert list(done.lost) == losers
    assert all(whistle.sha256 in problem and "from a copy" in problem for (problem,) in done.lost.values())
    assert (done.num_written, done.num_skipped, done.num_absent) == (len(played) - len(losers), 0, 0)
    assert seen == [(i, len(played)) for i in range(len(played) + 1)]
    if format not in ("dataset", "eval"):  # a log without a run has the time of writing in it
        whole = tmp_path / f"whole{EXPORT_FORMATS[format].suffix}"
        export_trajectories([one for one in played if one.episode_id not in losers], whole, format, media=kept)
        assert path.read_text().replace("out_media", "whole_media") == whole.read_text()


@pytest.mark.parametrize("format", [name for name in EXPORT_FORMATS if name not in ("dataset", "eval")])
def test_what_only_worlds_show_and_is_nowhere_stays_text_and_is_counted(played, tmp_path, format):
    spoken = [one.steps[-1].action.media[0] for one in played]
    kept = FolderMedia(tmp_path / "run")
    kept.keep(spoken, current_media())
    path = tmp_path / f"out{EXPORT_FORMATS[format].suffix}"
    done = export_trajectories(played, path, format, media=kept)
    assert (done.num_written, dict(done.lost), done.num_absent) == (len(played), {}, len(played))
    assert played[0].steps[0].observation in "".join(map(str, records(path))) or format == "chat"
