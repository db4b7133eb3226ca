import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palaestra.agents.evaluation.arms import PlayedRun
from palaestra.agents.evaluation.comparing import compare_arms
from palaestra.agents.store.records import EpisodeSummary
from palaestra.cli.compare import print_comparison
from palaestra.cli.main import main
from palaestra.errors import UnknownNameError, UsageError
from palaestra.results.statistics import holm, mcnemar


def episode(task: str, sample: int, success: bool, **given: Any) -> EpisodeSummary:
    values: dict[str, Any] = {name: "" for name in EpisodeSummary.__slots__}
    values |= {"env_id": "palaestra/TextCraft-v0", "task_key": task, "sample": sample, "seed": 1, "agent": "me", "metrics": {}}
    values |= {"score": float(success), "success": success, "return_": float(success), "num_turns": 1, "truncated": False}
    values |= {name: 0 for name in ("calls", "prompt_tokens", "completion_tokens", "cost", "model_s", "env_s", "finished_s")}
    values |= {"answer_faults": {}, "episode_id": f"{task}#{sample}", **given}
    return EpisodeSummary(**values)


def played(name: str, outcomes: dict[str, list[bool]], config: dict[str, Any] | None = None, **given: Any) -> PlayedRun:
    episodes = [episode(task, i, won, agent=name, **given) for task, found in outcomes.items() for i, won in enumerate(found)]
    return PlayedRun(name, {"envs": [{"env_id": "palaestra/TextCraft-v0", "env_kwargs": {}}], **(config or {})}, episodes)


def test_flips_say_which_tasks_and_tests_are_of_them() -> None:
    first = played("a", {f"t{i}": [i < 12] for i in range(30)})
    second = played("b", {f"t{i}": [i < 2 or i == 20] for i in range(30)})
    third = played("c", {f"t{i}": [i < 12] for i in range(30)})
    found = compare_arms([first, second, third])
    pair = found.pairs[0]
    assert (set(pair.only_first), pair.only_second) == ({f"t{i}" for i in range(2, 12)}, ("t20",))
    assert (pair.exact, pair.mid_p) == mcnemar(10, 1)
    assert pair.difference.p_value == pytest.approx(pair.exact)
    assert pair.difference.mean == pytest.approx(9 / 30)
    assert pair.difference.low > 0
    assert [one.p_holm for one in found.pairs] == holm([one.difference.p_value for one in found.pairs])
    assert [one.verdict for one in found.pairs] == ["first", "undecided", "second"]
    assert found.pairs[1].difference.low < 0 < found.pairs[1].difference.high  # equal on every task is no certainty


def test_samples_give_pass_at_k_and_parts_of_the_variance() -> None:
    first = played("a", {f"t{i}": [True, i % 2 == 0] for i in range(10)})
    second = played("b", {f"t{i}": [False, i % 2 == 0] for i in range(10)})
    [pair] = compare_arms([first, second]).pairs
    assert pair.k == 2
    assert pair.at_k is not None
    assert pair.hat_k is not None
    assert (pair.at_k.mean, pair.hat_k.mean) == (0.5, 0.5)
    split = compare_arms([first, second]).variances["b", "palaestra/TextCraft-v0"]
    assert split.model == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (played("b", {}), ""),
        (played("b", {"x1": [True], "x2": [True]}), "they share no task"),
        (played("b", {"t1": [True]}), "one task says nothing"),
        (played("b", {"t0": [True], "t1": [True]}, error_boundary="model"), "they share no task"),
        (played("b", {"t0": [True]}, env_id="palaestra/Desk-v0"), "two environments"),
    ],
)
def test_what_could_not_be_judged_is_said(other: PlayedRun, problem: str) -> None:
    found = compare_arms([played("a", {"t0": [True], "t1": [False]}), other])
    if not problem:
        assert found.notices == ("Run 'b' has no episodes.",)
        assert found.pairs == ()
        return
    [pair] = found.pairs
    assert pair.verdict == "not judged"
    assert problem in pair.problem
    data = json.dumps(found.to_json(), allow_nan=False)
    assert problem in data


def test_other_users_seeds_and_tasks_are_told() -> None:
    outcomes = {f"t{i}": [i < 3] for i in range(6)}
    first = played("a", outcomes, {"seat_models": {"user": "x"}, "seed": 1, "tasks": [{"count": 6, "digest": "1"}]})
    second = played("b", outcomes, {"seat_models": {"user": "y"}, "seed": 2, "tasks": [{"count": 6, "digest": "1"}]})
    [pair] = compare_arms([first, second]).pairs
    assert any("other users" in notice for notice in pair.notices)
    assert "seed is 1 and 2" in pair.notices
    changed = played("c", outcomes, {"seat_models": {"user": "x"}, "seed": 1, "tasks": [{"count": 6, "digest": "2"}]})
    assert "other contents" in compare_arms([first, changed]).pairs[0].problem
    with pytest.raises(UsageError, match="at least 2 runs"):
        compare_arms([first])


NUMBERS = st.one_of(st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324]), st.floats())
SETTINGS = {
    "seed": st.integers(0, 2),
    "max_turns": st.integers(1, 3),
    "kind": st.just("evaluate"),
    "seats": st.just({"user": "x"}),
}


@st.composite
def any_run(draw: st.DrawFn, name: str) -> PlayedRun:
    """A run of up to four tasks: samples, errors, scores and metrics of every kind, and tasks or seeds that may be missing."""
    episodes = []
    for i, k in draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=9, unique=True)):
        given_ = {"score": draw(st.none() | NUMBERS), "return_": draw(NUMBERS)}
        given_ |= {
            "metrics": draw(st.dictionaries(st.sampled_from(["m", "n"]), NUMBERS)),
            "seed": draw(st.none() | st.just(i)),
        }
        given_ |= {
            "error_boundary": draw(st.sampled_from(["", "", "", "model"])),
            "split": draw(st.sampled_from(["test", "train"])),
        }
        episodes.append(episode(draw(st.sampled_from([f"t{i}", ""])), k, draw(st.booleans()), agent=name, **given_))
    config = draw(
        st.fixed_dictionaries({"envs": st.just([{"env_id": "palaestra/TextCraft-v0", "env_kwargs": {}}])}, optional=SETTINGS)
    )
    return PlayedRun(name, config, episodes)


@settings(max_examples=150, deadline=None)
@given(any_run("a"), any_run("b"), st.sampled_from(["success", "score", "return_", "m", "n"]))
def test_whatever_runs_hold_is_compared_or_not_judged_with_a_reason(one: PlayedRun, other: PlayedRun, by: str) -> None:
    try:
        found = compare_arms([one, other], by=by)
    except UnknownNameError:
        assert by in ("m", "n")  # no episode has it
        return
    json.dumps(found.to_json(), allow_nan=False)
    for pair in found.pairs:
        assert (pair.verdict == "not judged") == bool(pair.problem)
        if pair.verdict in ("first", "second"):
            assert math.isfinite(pair.difference.mean)
            assert pair.num_tasks >= 2


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=st.lists(any_run("a"), min_size=1, max_size=3), by=st.sampled_from(["success", "score", "return_"]))
def test_what_is_printed_of_any_runs_holds_no_number_that_is_none(
    runs: list[PlayedRun], by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    played = [run._replace(run_id=f"run-{i}") for i, run in enumerate([*runs, runs[0]])]
    capsys.readouterr()
    print_comparison(compare_arms(played, by=by), [])
    assert not re.search(r"\b(nan|inf|None)\b", capsys.readouterr().out)


def test_commands_compare_and_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = ["--runs", str(tmp_path)]
    for agent in ("random", "expert"):
        main(["evaluate", "--env", "palaestra/TextCraft-v0", "--model", agent, "-n", "6", "--run", agent, *runs, "--json"])
    capsys.readouterr()
    assert main(["compare", "expert", "random", *runs, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["pairs"][0]["verdict"] == "first"
    assert len(data["pairs"][0]["flips"]["only_first"]) == 6
    assert main(["compare", "expert", "random", *runs]) == 0
    assert "6 tasks better by expert" in capsys.readouterr().out
    assert main(["compare", "expert", "expert", *runs]) == 2  # one run is no comparison
    arguments = ["plan", "--env", "palaestra/TextCraft-v0", "--difference", "0.05", "-n", "100"]
    assert main([*arguments, "--json"]) == 0
    plans = json.loads(capsys.readouterr().out)["plans"]
    assert [row["episodes"] for row in plans] == sorted(row["episodes"] for row in plans)
    assert plans[0]["tasks"] > plans[1]["tasks"] > 100
    assert main(arguments) == 0
    assert main([*arguments, "--run", "expert", *runs]) == 2
    assert "ended alike" in capsys.readouterr().err
    assert main(["plan", "--env", "palaestra/TextCraft-v0", "--difference", "5"]) == 2
    for rate in ("0", "1"):  # nothing varies: no plan, rather than one of two tasks
        assert main(["plan", "--env", "palaestra/TextCraft-v0", "--difference", "0.1", "--rate", rate]) == 2
        assert "no variance follows" in capsys.readouterr().err
    assert main(["plan", "--env", "palaestra/Nowhere-v0", "--difference", "0.1"]) == 2
