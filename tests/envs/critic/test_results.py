"""The paper's table, made from episodes."""

import json

from palaestra.envs.critic.env import CriticEnv
from palaestra.envs.critic.results import blocks, critic_results, scored_of
from palaestra.results.tables import Arm
from palaestra.types import EpisodeError, Outcome, Step, Trajectory


def played(error: EpisodeError | None = None, claims: bool = True, **options) -> list[Trajectory]:
    """Ten episodes of the expert, which claims nothing if told so."""
    env, found = CriticEnv(**options), []
    for index in range(10):
        observation, info = env.reset(seed=0, options={"task": f"test/{index}"})
        task, steps = info["task"], []
        for action in env.expert():
            said = json.loads(action)
            action = action if claims else json.dumps({key: value for key, value in said.items() if key != "error"})
            after, reward, terminated, truncated, info = env.step(action)
            steps.append(Step(observation, action, float(reward), terminated, truncated, info))
            observation = after
        outcome = Outcome(error=error) if error else Outcome(info["score"], info["success"], metrics=info["metrics"])
        found.append(Trajectory(f"{index}", "palaestra/CriticTool-v0", task, steps=tuple(steps), outcome=outcome))
    return found


def test_the_modes_of_an_agent_make_a_row():
    arms = [
        Arm("a", "one", "palaestra/CriticTool-v0", {"mode": mode}, episodes=played(mode=mode), name=f"one {mode}")
        for mode in ("internal", "skip", "finish")
    ]
    arms.append(Arm("b", "two", "palaestra/CriticTool-v0", {}, episodes=played(claims=False)))
    found = critic_results(arms)
    rows = {row[0]: row[1:] for row in found.tables[0].rows}
    assert rows["one"] == ("100.0",) * 9
    assert rows["two"] == ("20.0", "0.0", "100.0", "100.0", "-", "-", "-", "-", "-")
    assert "profile paper, similarity bow" in found.tables[0].note
    behaviours = {row[:3]: row[3] for row in found.tables[1].rows}
    assert behaviours["one", "skip", "retry_then_skip"] == "10"
    assert behaviours["two", "errors", "correction_without_reflection"] == "8"
    assert any(row[0] == "GPT-4o" for row in found.tables[2].rows)
    assert found.to_json()["arms"][0]["n"] == 30


def test_arguments_other_than_the_mode_make_rows_of_their_own():
    arms = [
        Arm("a", "one", "palaestra/CriticTool-v0", {"profile": profile}, episodes=played(profile=profile))
        for profile in ("paper", "published")
    ]
    assert [row[0] for row in critic_results(arms).tables[0].rows] == ["one · profile=paper", "one · profile=published"]


def test_errors_and_nothing_are_no_rows():
    assert critic_results([]).tables == ()
    failed = played(EpisodeError("environment", "E", "broke"))
    assert scored_of(failed[0]) is None
    assert critic_results([Arm("a", "one", "palaestra/CriticTool-v0", episodes=failed)]).tables == ()
    assert scored_of(Trajectory("x", "palaestra/CriticTool-v0", {})) is None


def test_the_last_step_says_what_was_done():
    [(place, (block,))] = blocks(played(mode="skip")[0]).items()
    assert (place, block.verdict, block.mark) == (1, "retry then skip", "good")
    assert blocks(Trajectory("x", "palaestra/CriticTool-v0", {})) == {}
