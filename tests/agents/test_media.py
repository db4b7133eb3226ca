"""Bytes go where the texts that name them go: worker processes and threads, Ray, the store of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from palaestra.agents.backends.chat_template import ChatTemplate
from palaestra.agents.backends.token_turns import finished_turn
from palaestra.agents.backends.wire import request_body
from palaestra.agents.core import Agent, Request
from palaestra.agents.evaluation.evaluation import evaluate
from palaestra.agents.evaluation.rescoring import rescore
from palaestra.agents.export.reading import load_trajectories
from palaestra.agents.reference import ExpertAgent, RandomAgent
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.rollout.env_process import RemoteEnv
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.agents.store.store import RunStore
from palaestra.envs.wrappers import RecordTrajectory
from palaestra.errors import StoreError, UnknownNameError
from palaestra.media import FolderMedia, Media, MemoryMedia, current_media, describe, find_media, png_bytes, tone, use_media
from palaestra.media.store import VARIABLE, MediaOutbox, bytes_named
from palaestra.models.tiny_lm import train_tokenizer
from palaestra.types import Message, Outcome, Step, Trajectory
from tests.media.gallery import ENV_ID, make_gallery


@pytest.fixture(autouse=True, params=["memory", "folder"])
def media(request, tmp_path):
    """Let every test have a current store of its own."""
    with use_media(MemoryMedia() if request.param == "memory" else FolderMedia(tmp_path / "current")) as store:
        yield store


def plans(n: int, **kwargs) -> list[EpisodePlan]:
    return [EpisodePlan(f"e{i:02d}", ENV_ID, task_key=f"test/{i}", seed=i, **kwargs) for i in range(n)]


def named(trajectories: list[Trajectory]) -> set[Media]:
    return {item for trajectory in trajectories for item in find_media(repr(trajectory))}


@pytest.mark.parametrize(
    "options", [{}, {"env_workers": 2}, {"env_workers": 2, "worker_kind": "thread"}], ids=["in the loop", "process", "thread"]
)
@pytest.mark.parametrize("agent", [ExpertAgent(), RandomAgent()], ids=["expert", "random"])
def test_what_an_episode_names_lies_here_wherever_it_was_played(options, agent, media):
    played = RolloutEngine(4, **options).collect(plans(4), agent, make_env=make_gallery)
    assert [trajectory.outcome.error for trajectory in played] == [None] * 4
    if agent.name == "expert":
        assert all(trajectory.outcome.success for trajectory in played)
        assert {item.kind for item in named(played)} == {"audio", "image"}
        assert all(step.action.media for step in (trajectory.steps[-1] for trajectory in played))
    assert named(played)
    assert all(item in media for item in named(played))


def test_the_same_episodes_come_from_every_place():
    places = [{}, {"env_workers": 2}, {"env_workers": 2, "worker_kind": "thread"}]
    played = [RolloutEngine(4, **place).collect(plans(3), RandomAgent(), make_env=make_gallery) for place in places]
    assert [[trajectory.steps for trajectory in one] for one in played] == [[t.steps for t in played[0]]] * 3


def test_a_world_in_another_process_hears_what_an_agent_says_and_bytes_come_again_when_dropped(media):
    remote = RemoteEnv(make_gallery, plans(1)[0])
    try:
        for _ in range(2):
            observation, _ = remote.reset(seed=0, options={"task": "test/0"})
            [picture] = find_media(observation)
            assert picture in media
            if isinstance(media, MemoryMedia):
                media._items.clear()  # as if more than it holds had been put since
            for text in ("red", "low"):
                remote.step(text)
            silent = describe(tone(123, 0.07))
            observation, _, terminated, _, _ = remote.step(Message("assistant", silent.tag, media=(silent,)))
            assert (observation, terminated) == ("I hear nothing. Answer with a sound.", False)
            sound = media.put(tone(800, 0.2))
            assert remote.step(f"so: {sound.tag}")[2]  # a text names it as well as a message
    finally:
        remote.close()


def test_an_outbox_tells_what_was_put_since_it_was_last_asked():
    with use_media(MemoryMedia()):
        outbox = MediaOutbox.of_this_process()
        assert current_media() is outbox
        a, b = outbox.put(tone(100, 0.1)), outbox.put(tone(200, 0.1))
        assert [item for item, _ in outbox.take_fresh()] == [a, b]
        assert outbox.take_fresh() == []
        outbox.put(tone(100, 0.1))
        outbox.receive([(describe(tone(300, 0.1)), tone(300, 0.1))])
        assert outbox.take_fresh() == [(a, tone(100, 0.1))]
        assert bytes_named((f"{a.tag} {describe(tone(1, 1)).tag}", Message("user", b.tag))) == [
            (a, tone(100, 0.1)),
            (b, tone(200, 0.1)),
        ]


def test_where_a_folder_is_shared_nothing_is_sent(tmp_path):
    with use_media(FolderMedia(tmp_path / "shared")) as shared:
        outbox = MediaOutbox.of_this_process()
        assert current_media() is shared
        shared.put(tone(100, 0.1))
        assert outbox.take_fresh() == []


@pytest.mark.slow
def test_workers_of_a_cluster_send_what_their_episodes_name(media, tmp_path):
    pytest.importorskip("ray")
    if isinstance(media, FolderMedia):
        pytest.skip("bytes come in the same way, whatever the driver's store is")
    from palaestra.agents.rollout.ray import AgentSpec, RayRolloutEngine

    with RayRolloutEngine(2, 4) as engine:
        result = evaluate(
            ENV_ID, AgentSpec(ExpertAgent), n=6, store=tmp_path / "runs", run_id="far", engine=engine, make_env=make_gallery
        )
        assert result.summary.total.success.mean == 1.0
    with RunStore(tmp_path / "runs") as store:
        played = list(store.trajectories("far"))
        assert len(played) == 6
        assert all(item in store.media("far") for item in named(played))


# -- agents -----------------------------------------------------------------------------------------------------------


class Says(Agent):
    """Always answers the same."""

    name = "says"

    def __init__(self, answer: str | Message) -> None:
        self.answer = answer

    async def aact(self, observation: str, info: object) -> Message:
        return self.answer  # type: ignore[return-value]


def test_a_text_of_an_agent_names_media_that_are_there_and_prose_otherwise(media):
    here, nowhere = media.put(tone(440, 0.1)), describe(tone(441, 0.1))
    [played] = RolloutEngine().collect(plans(1), Says(f"{here.tag} {nowhere.tag}"), make_env=make_gallery)
    assert played.steps[0].action == Message("assistant", f"{here.tag} &lt;{nowhere.tag[1:]}", media=(here,))
    [played] = RolloutEngine().collect(plans(1), Says(nowhere.tag), make_env=make_gallery)
    assert played.steps[0].action == Message("assistant", nowhere.tag)
    assert played.outcome.error is None


def test_a_message_whose_bytes_are_nowhere_is_a_failure_of_the_agent():
    nowhere = describe(tone(441, 0.1))
    agent = Says(Message("assistant", nowhere.tag, media=(nowhere,)))
    [played] = RolloutEngine().collect(plans(1), agent, make_env=make_gallery)
    assert played.outcome.error is not None
    assert played.outcome.error.boundary == "model"
    assert f"has the audio {nowhere.sha256}, whose bytes are nowhere" in played.outcome.error.message


def test_a_message_that_does_not_name_its_media_is_a_failure_of_the_agent(media):
    agent = Says(Message("assistant", "silence", media=(media.put(tone(440, 0.1)),)))
    [played] = RolloutEngine().collect(plans(1), agent, make_env=make_gallery)
    assert played.outcome.error is not None
    assert played.outcome.error.boundary == "model"
    assert "not well-formed: A message has the media audio" in played.outcome.error.message


def test_what_a_local_model_writes_names_no_media(media):
    class Template(ChatTemplate):
        def decode(self, ids: Sequence[int]) -> str:
            return texts[ids[0]]

    template = Template(train_tokenizer(["a tool", "<tool_call> </tool_call>"]))
    real = media.put(tone(440, 0.1))
    call = '<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>'
    texts = [real.tag, f"&lt;{real.tag[1:]}", f"{real.tag}\n{call}"]
    for tools in ((), ({"type": "function", "function": {"name": "look"}},)):
        for number, text in enumerate(texts[: 3 if tools else 2]):
            turn = finished_turn(template, Request((), tools=tools), (), (number,), "eos")
            assert turn.answer.media == ()
            assert turn.answer.content == text.removesuffix(f"\n{call}")


def test_a_recorded_file_has_its_media_next_to_it(tmp_path, media):
    env = RecordTrajectory(make_gallery(plans(1)[0]), path=tmp_path / "played.jsonl")
    forged = describe(tone(441, 0.1))
    env.reset(options={"task": "test/0"})
    for action in env.unwrapped.expert():
        env.step(f"{action.content} {forged.tag}" if isinstance(action, Message) else action)
    [trajectory] = env.trajectories
    assert [len(step.action.media) for step in trajectory.steps] == [0, 0, 1]
    assert list(load_trajectories(tmp_path / "played.jsonl")) == [trajectory]
    kept = FolderMedia(tmp_path / "played_media")
    assert set(kept) == {item.sha256 for item in named([trajectory])} - {forged.sha256}


def test_vector_environments_in_processes_share_a_folder_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "shared"))
    with use_media(FolderMedia(tmp_path / "shared")) as shared:
        envs = gymnasium.make_vec(
            ENV_ID,
            num_envs=2,
            vectorization_mode="async",
            vector_kwargs={"shared_memory": False, "context": "spawn"},
            wrappers=(),
        )
        try:
            observations, _ = envs.reset(seed=0)
            assert all(item in shared for text in observations for item in find_media(text))
            assert all(find_media(text) for text in observations)
        finally:
            envs.close()


# -- the store of a run -----------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    with RunStore(tmp_path / "runs") as opened:
        opened.create_run({}, "a")
        yield opened


def test_a_stored_run_has_its_media_in_its_folder(store, media):
    played = RolloutEngine().collect(plans(5), ExpertAgent(), make_env=make_gallery)
    garbage = media.put(tone(999, 0.3))
    for trajectory in played:
        store.add("a", trajectory)
    kept = store.media("a")
    assert kept.folder == store.folder / "a" / "media"
    assert set(kept) == {item.sha256 for item in named(played)}
    assert garbage not in kept
    with use_media(MemoryMedia()):  # as in another process, later
        assert all(item in kept for item in named(list(store.trajectories("a"))))
        assert store.add("a", store.get("a", "e00"), replace=True)  # its bytes are there already
        store.create_run({}, "b")
        store.add("b", store.get("a", "e00"), media=kept)
        assert set(store.media("b")) == {item.sha256 for item in named(played[:1])}


def test_an_episode_with_media_is_replaced_only_when_asked(store, media):
    (played,) = RolloutEngine().collect(plans(1), ExpertAgent(), make_env=make_gallery)
    assert named([played])
    store.add("a", played)
    other = replace(played, agent="another")
    assert not store.add("a", other)
    assert [one.agent for one in store.trajectories("a")] == [played.agent]
    assert store.add("a", other, replace=True)
    assert [one.agent for one in store.trajectories("a")] == ["another"]
    assert store.run("a").num_episodes == 1


def test_scores_given_again_take_the_media_along(store):
    for trajectory in RolloutEngine().collect(plans(2), ExpertAgent(), make_env=make_gallery):
        store.add("a", trajectory)
    with use_media(MemoryMedia()):
        rescore(store, "a", lambda trajectory: {"score": 0.5}, into="b")
    assert set(store.media("b")) == set(store.media("a"))
    assert len(store.media("b")) > 2


def test_text_alone_makes_no_folder(store):
    store.add("a", Trajectory("e", ENV_ID, {}, steps=(Step("see", Message("assistant", "sha256=")),)))
    assert not (store.folder / "a").exists()
    assert len(store.media("a")) == 0


def test_a_forged_tag_is_prose_and_a_listed_medium_has_to_be_there(store):
    forged = describe(tone(441, 0.1))
    echo = Step(f"I do not know {forged.tag}.", Message("assistant", forged.tag))
    assert store.add("a", Trajectory("e", ENV_ID, {}, steps=(echo,)))
    assert len(store.media("a")) == 0
    listed = Trajectory("f", ENV_ID, {}, steps=(replace(echo, action=Message("assistant", forged.tag, media=(forged,))),))
    with pytest.raises(StoreError, match=rf"'f' has an action with the audio {forged.sha256}, whose bytes are nowhere"):
        store.add("a", listed)
    assert store.finished("a") == {"e"}


def test_media_that_memory_dropped_are_never_lost_silently(store):
    with use_media(MemoryMedia(max_bytes=10_000)) as small:
        dropped = small.put(tone(100, 0.2))
        small.put(tone(200, 0.3))
        with pytest.raises(StoreError, match=f"dropped the audio {dropped.sha256}"):
            store.add("a", Trajectory("e", ENV_ID, {}, final_observation=dropped.tag, outcome=Outcome()))
    assert store.finished("a") == set()


def test_media_of_an_unknown_run_are_an_error_and_leave_nothing(store, media):
    with pytest.raises(UnknownNameError, match="Unknown run 'b'"):
        store.media("b")
    with pytest.raises(UnknownNameError, match="Unknown run 'b'"):
        store.add("b", Trajectory("e", ENV_ID, {}, final_observation=media.put(tone(100, 0.1)).tag))
    assert not (store.folder / "b").exists()


def test_a_lost_file_is_written_again_by_the_next_episode_that_names_it(store, media):
    sound = media.put(tone(100, 0.1))
    for i in range(2):
        store.add("a", Trajectory(f"e{i}", ENV_ID, {}, final_observation=sound.tag))
        path = store.media("a").path(sound)
        assert path is not None
        path.unlink()
    store.add("a", Trajectory("e2", ENV_ID, {}, final_observation=sound.tag))
    assert sound in store.media("a")


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_scores_are_given_again_without_media_that_are_lost(store, harm):
    played = RolloutEngine().collect(plans(3), ExpertAgent(), make_env=make_gallery)
    for trajectory in played:
        store.add("a", trajectory)
    (whistle,) = played[0].steps[-1].action.media
    file = store.media("a").path(whistle)
    assert file is not None
    if harm == "damaged":
        file.write_bytes(b"noise")
    else:
        file.unlink()
    losers = {one.episode_id for one in played if whistle in one.steps[-1].action.media}

    def listens(trajectory: Trajectory) -> dict[str, float]:
        return {"score": len(current_media().get(trajectory.steps[-1].action.media[0]))}

    with use_media(MemoryMedia()):
        done = rescore(store, "a", lambda trajectory: {"score": 0.5}, into="b", name="deaf")
        heard = rescore(store, "a", listens, into="c")
    assert (done.status, done.summary.errors) == ("finished", {})
    assert heard.summary.errors == {"scoring": len(losers)}
    for run_id in ("b", "c"):
        for trajectory in store.trajectories(run_id):
            lost = trajectory.meta.get("lost_media", [])
            assert [row["sha256"] for row in lost] == [whistle.sha256] * (trajectory.episode_id in losers)
            assert all("from a copy" in row["problem"] for row in lost)
            if run_id == "c" and lost:
                assert "from a copy" in trajectory.outcome.error.message
    store.create_run({}, "d")
    with pytest.raises(StoreError, match="whose bytes are nowhere" if harm == "missing" else "is damaged"):
        store.add("d", played[0], media=store.media("a"))


@pytest.mark.parametrize(
    "claim",
    [
        "<audio sha256={wav} type=audio/flac/>",
        "<audio sha256={png}/>",
        "<image sha256={wav} type=image/png/>",
        "<audio sha256={wav} seconds=9999 rate=1/>",
    ],
)
def test_a_forged_tag_that_a_world_repeats_reaches_no_server_as_media(media, claim):
    forged = claim.format(wav=media.put(tone(100, 0.1)).sha256, png=media.put(png_bytes(np.zeros((2, 2), np.uint8))).sha256)
    assert find_media(forged)
    (step,) = RolloutEngine().collect(plans(1, max_turns=1), Says(forged), make_env=make_gallery)[0].steps
    assert step.action.media == ()
    echo = Message.of_text("user", f"I do not know {forged}")
    body = request_body("m", Request((echo,)))
    assert body["messages"][0]["content"] == echo.content
