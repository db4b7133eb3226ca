from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.evaluation.evaluation import evaluate
from palaestra.agents.evaluation.rescoring import Scored, rescore, rescore_async, score_again
from palaestra.agents.evaluation.summary import compare
from palaestra.agents.reference import ExpertAgent, RandomAgent
from palaestra.agents.report import render_report
from palaestra.agents.store.records import Planned
from palaestra.agents.store.store import RunStore
from palaestra.errors import BudgetError, ConfigError, MissingExtraError, UnknownNameError, UsageError
from palaestra.media import current_media, tone
from palaestra.types import EpisodeError, Message, Outcome, Step, Trajectory
from tests.envs.miniature import MEASURED_ID, register_miniatures

register_miniatures()

NUM_EPISODES = 10


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with RunStore(tmp_path / "runs") as opened:
        evaluate(MEASURED_ID, RandomAgent(), n=5, samples=2, store=opened, run_id="played", results=False)
        yield opened


def shortness(trajectory: Trajectory) -> Mapping[str, Any]:
    return {"score": 1 / len(trajectory.steps), "success": len(trajectory.steps) < 5}


def everything(store: RunStore, run_id: str) -> list[Any]:
    return [played.to_json() for played in store.trajectories(run_id)], [line.to_json() for line in store.episodes(run_id)]


def by_id(store: RunStore, run_id: str) -> dict[str, Trajectory]:
    return {played.episode_id: played for played in store.trajectories(run_id)}


# -- what a rescored run holds ----------------------------------------------------------------------------------------


def test_scores_go_into_a_run_of_their_own_and_the_played_one_stays(store: RunStore) -> None:
    before = everything(store, "played")
    seen: list[tuple[int, int]] = []
    done = rescore(store, "played", shortness, into="short", progress=lambda *figures: seen.append(figures))
    assert (done.run_id, done.status, done.num_planned) == ("short", "finished", NUM_EPISODES)
    assert seen == [(i, NUM_EPISODES) for i in range(NUM_EPISODES + 1)]
    assert everything(store, "played") == before
    old, new = by_id(store, "played"), by_id(store, "short")
    assert new.keys() == old.keys()
    for episode_id, scored in new.items():
        played = old[episode_id]
        assert scored.outcome.score == 1 / len(played.steps)
        assert scored.outcome.success == (len(played.steps) < 5)
        assert scored.outcome.metrics == played.outcome.metrics
        assert scored.outcome.stop_reason == (
            "max_rounds" if played.outcome.stop_reason == "max_rounds" else "success" if scored.outcome.success else "failure"
        )
        assert scored.meta["outcomes_before"] == [played.outcome.to_json()]
        meta = {key: value for key, value in scored.meta.items() if key != "outcomes_before"}
        assert replace(scored, outcome=played.outcome, meta=meta) == played
    assert done.summary.score.mean == pytest.approx(sum(1 / len(played.steps) for played in old.values()) / NUM_EPISODES)
    config = store.config("short")
    assert (config["kind"], config["rescored"]) == ("rescore", "played")
    assert config["scorer"] == "tests.agents.evaluation.test_rescoring:shortness"
    assert config["envs"] == store.config("played")["envs"]
    assert [table.title for table in done.results[MEASURED_ID].tables] == ["Longest walks"]


def test_a_metric_alone_leaves_score_and_success(store: RunStore) -> None:
    done = rescore(store, "played", lambda played: {"metrics": {"words": len(played.steps)}}, into="words")
    old = by_id(store, "played")
    for episode_id, scored in by_id(store, "words").items():
        before = old[episode_id].outcome
        assert scored.outcome == replace(before, metrics={**before.metrics, "words": float(len(scored.steps))})
    assert done.summary.total.metrics["words"].n == NUM_EPISODES
    assert "distance" in done.summary.total.metrics
    assert compare(store.episodes("words"), store.episodes("played"), by="score").mean == 0


def test_scores_can_be_scored_again_and_every_earlier_outcome_is_kept(store: RunStore) -> None:
    rescore(store, "played", shortness, into="first")
    rescore(store, "first", lambda played: Outcome(2.0, True), into="second")
    old, first = by_id(store, "played"), by_id(store, "first")
    for episode_id, scored in by_id(store, "second").items():
        assert (scored.outcome.score, scored.outcome.success) == (2.0, True)
        assert scored.meta["outcomes_before"] == [old[episode_id].outcome.to_json(), first[episode_id].outcome.to_json()]


def test_only_episodes_that_were_played_to_their_end_are_scored(store: RunStore) -> None:
    played = next(iter(store.trajectories("played")))
    failed = {
        boundary: replace(
            played,
            episode_id=boundary,
            outcome=Outcome(stop_reason="env_error", error=EpisodeError(boundary, "X", "failed")),  # type: ignore[arg-type]
        )
        for boundary in ("model", "user", "environment", "tool", "scoring", "judge")
    }
    store.create_run({"kind": "evaluate"}, "failed")
    for trajectory in failed.values():
        store.add("failed", trajectory)
    asked: list[str] = []

    def scorer(trajectory: Trajectory) -> Mapping[str, Any]:
        asked.append(trajectory.episode_id)
        return {"score": 1, "success": True}

    done = rescore(store, "failed", scorer, into="scored")
    assert sorted(asked) == ["judge", "scoring"]
    assert done.summary.errors == {"environment": 1, "model": 1, "tool": 1, "user": 1}
    found = by_id(store, "scored")
    assert found["model"] == failed["model"]
    assert found["scoring"].outcome == Outcome(1.0, True, "success")
    assert found["judge"].meta["outcomes_before"][0]["error"]["boundary"] == "judge"


def test_sounds_of_the_run_can_be_heard_and_come_along(store: RunStore) -> None:
    sound = store.media("played").put(tone(440, 0.05))
    spoken = Message("assistant", sound.tag, media=(sound,))
    store.create_run({"kind": "evaluate"}, "spoken")
    store.add("spoken", Trajectory("e", "x/Y-v0", {"key": "k"}, steps=(Step("Speak.", spoken),)), media=store.media("played"))
    heard: list[int] = []

    def scorer(trajectory: Trajectory) -> Mapping[str, Any]:
        heard.append(len(current_media().get(sound)))
        return {"score": 1, "success": True}

    rescore(store, "spoken", scorer, into="heard")
    assert heard == [len(tone(440, 0.05))]
    assert sound in store.media("heard")


# -- failures ---------------------------------------------------------------------------------------------------------


def raises(trajectory: Trajectory) -> Scored:
    raise KeyError("verdict")


FAILURES: list[tuple[Any, str]] = [
    (raises, "KeyError: 'verdict'"),
    (lambda played: None, "returned a NoneType"),
    (lambda played: 0.5, "returned a float"),
    (lambda played: {"scores": 1}, "'scores'; expected only score, success, metrics"),
    (lambda played: {"score": math.nan}, "The score is nan"),
    (lambda played: {"score": "1"}, "The score is '1'"),
    (lambda played: {"success": "yes"}, "success is 'yes'"),
    (lambda played: {"metrics": {"wer": math.inf}}, "Metric 'wer' is inf"),
    (lambda played: {"metrics": [1]}, "metrics are [1]; expected a mapping"),
    (lambda played: {"metrics": {"": 1.0}}, "the name ''; expected printable text"),
    (lambda played: {"metrics": {3: 1.0}}, "the name 3; expected printable text"),
    (lambda played: {"score": 10**400}, "expected a finite number"),
    (lambda played: Outcome(error="just text"), "expected an EpisodeError"),  # type: ignore[arg-type]
    (lambda played: Outcome(error=EpisodeError("weird", "X", "m")), "'weird'"),  # type: ignore[arg-type]
    (lambda played: Outcome(error=EpisodeError("scoring", "X", b"m")), "holds b'm'"),  # type: ignore[arg-type]
    (lambda played: sys.exit(3), "SystemExit: 3"),
    (lambda played: Outcome(error=EpisodeError("scoring", "Own", "no verdict")), "no verdict"),
]


@pytest.mark.parametrize(("scorer", "message"), FAILURES, ids=[message for _, message in FAILURES])
def test_what_is_no_score_is_an_error_and_never_a_score(store: RunStore, scorer: Any, message: str) -> None:
    done = rescore(store, "played", scorer, into="bad", name="bad")
    assert done.summary.errors == {"scoring": NUM_EPISODES}
    assert done.summary.success.n == 0
    for scored in store.trajectories("bad"):
        outcome = scored.outcome
        assert outcome.error is not None
        assert (outcome.score, outcome.success, outcome.error.boundary) == (None, None, "scoring")
        assert message in outcome.error.message
        assert scored.meta["outcomes_before"][0]["score"] is not None


def test_a_scorer_that_gives_no_score_cannot_save_an_episode_without_one(store: RunStore) -> None:
    rescore(store, "played", raises, into="bad", name="s")
    done = rescore(store, "bad", lambda played: {"metrics": {"wer": 1}}, into="worse", name="s")
    assert done.summary.errors == {"scoring": NUM_EPISODES}
    assert "give both" in next(iter(store.trajectories("worse"))).outcome.error.message  # type: ignore[union-attr]


def test_scoring_errors_are_tried_again_when_asked_for(store: RunStore) -> None:
    broken = set(sorted(store.finished("played"))[:3])
    asked: list[str] = []

    def scorer(trajectory: Trajectory) -> Mapping[str, Any]:
        asked.append(trajectory.episode_id)
        if trajectory.episode_id in broken:
            raise ConnectionError("the judge is away")
        return shortness(trajectory)

    first = rescore(store, "played", scorer, into="r", name="s")
    assert first.summary.errors == {"scoring": 3}
    assert rescore(store, "played", scorer, into="r", name="s").summary.errors == {"scoring": 3}
    assert len(asked) == NUM_EPISODES
    mended, broken = broken, set()
    done = rescore(store, "played", scorer, into="r", name="s", retry_errors=True)
    assert done.summary.errors == {}
    assert set(asked[NUM_EPISODES:]) == mended
    assert len(store.episodes("r")) == NUM_EPISODES


@given(
    st.dictionaries(
        st.sampled_from(["score", "success", "metrics", "other"]),
        st.none()
        | st.booleans()
        | st.floats()
        | st.integers()
        | st.text(max_size=3)
        | st.dictionaries(st.text(), st.floats()),
    )
)
def test_whatever_a_scorer_returns_is_a_sound_outcome_or_an_error(given_figures: dict[str, Any]) -> None:
    played = Trajectory("e", "x/Y-v0", {"key": "k"}, outcome=Outcome(0.5, False, "failure", metrics={"a": 1.0}))
    scored = asyncio.run(score_again(played, lambda trajectory: given_figures))
    outcome = scored.outcome
    assert Trajectory.from_json(json.loads(json.dumps(scored.to_json(), allow_nan=False))).outcome == outcome
    if outcome.error is None:
        assert isinstance(outcome.score, float)
        assert isinstance(outcome.success, bool)
        assert outcome.metrics["a"] == (given_figures.get("metrics") or {}).get("a", 1.0)
        assert "other" not in given_figures
    else:
        assert outcome.error.boundary == "scoring"


def test_a_missing_package_stops_at_once(store: RunStore) -> None:
    def scorer(trajectory: Trajectory) -> Scored:
        raise MissingExtraError("Judging", "llm")

    with pytest.raises(MissingExtraError, match="needs the extra 'llm'"):
        rescore(store, "played", scorer, into="r")
    assert (store.status("r"), store.episodes("r")) == ("failed", [])


def test_a_spent_budget_stops_and_the_rest_is_scored_later(store: RunStore) -> None:
    left = [4]

    def scorer(trajectory: Trajectory) -> Mapping[str, Any]:
        left[0] -= 1
        if left[0] < 0:
            raise BudgetError("The budget of 4 calls is spent.")
        return shortness(trajectory)

    done = rescore(store, "played", scorer, into="r", name="s")
    assert (done.status, done.summary.total.num_episodes) == ("stopped", 4)
    assert "resume with into='r'" in done.note
    left[0] = 99
    assert rescore(store, "played", scorer, into="r", name="s").summary.total.num_episodes == NUM_EPISODES
    assert left == [99 - 6]


@pytest.mark.parametrize(
    ("run_id", "options", "error", "match"),
    [
        ("playd", {}, UnknownNameError, "Did you mean 'played'"),
        ("played", {"into": "played"}, UsageError, "Name another run"),
        ("empty", {}, UsageError, "holds no episodes"),
        ("played", {"into": "other"}, ConfigError, "scorer was 'mine'"),
        ("played", {"concurrency": 0}, ConfigError, "concurrency is 0"),
    ],
)
def test_what_cannot_work_is_refused(store: RunStore, run_id: str, options: Any, error: Any, match: str) -> None:
    store.create_run({"kind": "train"}, "empty")
    rescore(store, "played", shortness, into="other", name="mine")
    with pytest.raises(error, match=match):
        rescore(store, run_id, shortness, **options)


# -- how it runs ------------------------------------------------------------------------------------------------------


async def test_an_asynchronous_scorer_scores_several_at_once(store: RunStore) -> None:
    at_once = [0, 0]

    async def scorer(trajectory: Trajectory) -> Mapping[str, Any]:
        at_once[0] += 1
        at_once[1] = max(at_once)
        await asyncio.sleep(0.01)
        at_once[0] -= 1
        return shortness(trajectory)

    await rescore_async(store, "played", scorer, into="async", concurrency=4)
    assert at_once == [0, 4]
    with pytest.raises(UsageError, match="rescore_async"):
        rescore(store, "played", scorer)


def test_the_way_it_is_scored_does_not_matter(store: RunStore) -> None:
    class Judge:
        async def __call__(self, trajectory: Trajectory) -> Outcome:
            await asyncio.sleep(len(trajectory.steps) / 1000)
            return Outcome(**shortness(trajectory))

    rescore(store, "played", shortness, into="plain", name="s")
    rescore(store, "played", Judge(), into="judge", name="s")
    assert by_id(store, "judge") == by_id(store, "plain")
    rescore(store, "played", Judge(), into="named")
    assert store.config("named")["scorer"].endswith("Judge")


def test_an_interruption_keeps_what_was_scored_and_the_rest_follows(store: RunStore) -> None:
    asked: list[str] = []

    def scorer(trajectory: Trajectory) -> Mapping[str, Any]:
        asked.append(trajectory.episode_id)
        if len(asked) == 6:
            raise KeyboardInterrupt
        return shortness(trajectory)

    with pytest.raises(KeyboardInterrupt):
        rescore(store, "played", scorer, into="r", name="s")
    assert store.status("r") == "interrupted"
    assert store.run("r").note.startswith("5 of ")
    assert store.finished("r") == set(asked[:5])
    rescore(store, "played", scorer, into="r", name="s")
    assert sorted(asked[6:]) == sorted(store.finished("played") - set(asked[:5]))
    rescore(store, "played", shortness, into="whole", name="s")
    assert by_id(store, "r") == by_id(store, "whole")


def test_episodes_that_were_played_later_are_scored_when_it_is_resumed(store: RunStore) -> None:
    rescore(store, "played", shortness, into="r")
    store.add("played", replace(next(iter(store.trajectories("played"))), episode_id="later"))
    done = rescore(store, "played", shortness, into="r")
    assert (done.num_planned, done.summary.total.num_episodes) == (NUM_EPISODES + 1, NUM_EPISODES + 1)


def test_scores_of_a_run_that_was_cut_off_say_so_until_it_is_played_to_its_end(store: RunStore) -> None:
    store.set_status("played", "interrupted", f"{NUM_EPISODES} of 2,000 planned")
    done = rescore(store, "played", shortness, into="r")
    assert done.status == "interrupted"
    assert done.note == f"The run 'played' that was scored is interrupted ({NUM_EPISODES} of 2,000 planned)."
    scored = store.run("r")
    assert (scored.status, scored.planned) == ("interrupted", Planned(NUM_EPISODES, 2000))
    assert "biased towards short episodes" in scored.caveat
    assert scored.cut_off.startswith("Run 'r' is interrupted: The run 'played' that was scored is interrupted")
    store.set_status("played", "finished")
    assert rescore(store, "played", shortness, into="r").status == "finished"
    assert (store.run("r").caveat, store.run("r").cut_off) == ("", "")


def test_a_process_that_is_killed_loses_nothing_that_was_scored(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        evaluate(MEASURED_ID, ExpertAgent(), n=5, samples=60, store=store, run_id="played", results=False)
    program = textwrap.dedent(
        """
        import sys, time
        from palaestra.agents.evaluation.rescoring import rescore
        def scorer(trajectory):
            time.sleep(0.002)
            return {"score": len(trajectory.steps), "success": True}
        rescore(sys.argv[1], "played", scorer, into="r", name="s", results=False, progress=lambda *n: print(*n, flush=True))
        """
    )
    for _ in range(3):
        command = [sys.executable, "-c", program, str(tmp_path)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
        assert child.stdout is not None
        child.stdout.readline()
        child.stdout.readline()  # at least one more episode is stored
        time.sleep(0.03)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    with RunStore(tmp_path) as store:
        kept = store.finished("r")
        assert 3 <= len(kept) < 300
        asked: list[str] = []

        def scorer(trajectory: Trajectory) -> Mapping[str, Any]:
            asked.append(trajectory.episode_id)
            return {"score": len(trajectory.steps), "success": True}

        rescore(store, "played", scorer, into="r", name="s", results=False)
        assert set(asked) == store.finished("played") - kept
        assert len(asked) == 300 - len(kept)
        assert all(scored.outcome.score == len(scored.steps) for scored in store.trajectories("r"))


def test_whatever_a_scorer_changes_the_episode_is_stored_as_it_was_played(store: RunStore) -> None:
    old = by_id(store, "played")

    def spoils(played: Trajectory) -> Mapping[str, Any]:
        played.meta["x"] = object()  # type: ignore[index]
        played.task["key"] = "another"  # type: ignore[index]
        for step in played.steps:
            step.info["metrics"] = {"distance": 99.0}  # type: ignore[index]
        return {"score": 1.0, "success": True}

    done = rescore(store, "played", spoils, into="spoilt")
    assert done.summary.errors == {}
    for episode_id, scored in by_id(store, "spoilt").items():
        played = old[episode_id]
        meta = {key: value for key, value in scored.meta.items() if key != "outcomes_before"}
        assert replace(scored, outcome=played.outcome, meta=meta) == played


def test_media_that_a_scorer_makes_stay_out_of_the_played_run(store: RunStore) -> None:
    def makes_sound(played: Trajectory) -> Mapping[str, Any]:
        media = current_media().put(tone(440, 0.05))
        assert current_media().get(media) == tone(440, 0.05)
        return {"score": 1.0, "success": True}

    assert rescore(store, "played", makes_sound, into="loud").summary.errors == {}
    assert [len(store.media(run_id)) for run_id in ("played", "loud")] == [0, 0]


def test_the_largest_scores_leave_a_run_readable(store: RunStore) -> None:
    signs = iter([1, -1] * NUM_EPISODES)
    done = rescore(
        store,
        "played",
        lambda played: {"score": 1e308 * next(signs), "success": True, "metrics": {"big": 1.7e308}},
        into="big",
    )
    json.dumps(done.summary.to_json(), allow_nan=False)
    assert done.summary.total.metrics["big"].mean == 1.7e308
    assert abs(done.summary.score.mean) <= 1e308
    json.dumps(compare(store.episodes("big"), store.episodes("played"), by="score").to_json(), allow_nan=False)
    page = render_report(["big", "played"], store=store)
    assert "1.70e+308" in page
    again = rescore(store, "big", lambda played: {"score": 1.0, "success": True}, into="small")
    assert again.summary.score.mean == 1.0
