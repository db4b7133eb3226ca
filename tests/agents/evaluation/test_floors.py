from __future__ import annotations

import json
import math

import pytest

from palaestra.agents import NothingAgent, RandomAgent, Seats, evaluate
from palaestra.agents.evaluation.arms import PlayedRun, arms_of
from palaestra.agents.evaluation.floors import estimate_of, floor_for, floor_of_run, floors_of
from palaestra.agents.reference import ExpertAgent
from palaestra.agents.store.store import RunStore
from palaestra.cli.main import main
from palaestra.envs.audit import shipped
from palaestra.envs.audit.card import Card, Figure
from palaestra.envs.audit.shipped import Floor, shipped_floor
from palaestra.results.statistics import Estimate, above_floor, wilson_interval
from tests.cli.test_compare import played

CAR, CRAFT = "palaestra/VehicleWorld-v0", "palaestra/TextCraft-v0"
HALF = Estimate(0.5, 0.4, 0.6, 100)
PLAIN = {"envs": [{"env_id": CRAFT, "env_kwargs": {}}]}


@pytest.fixture
def cards(tmp_path, monkeypatch):
    """Cards of two settings of TextCraft, in place of those that ship."""
    path = tmp_path / shipped.FILE_NAME
    monkeypatch.setattr(shipped, "OUR_CARDS", path)
    free = {"nothing": Figure(0.0, 0.0, 50), "constant": Figure(0.25, 0.2, 40), "vandal": Figure(0.9, 0.9, 40, kind="harm")}
    card = Card(CRAFT, {}, "test", 50, 0, free, {"success": 1.0}, ())
    shipped.write_cards(path, [card, Card(CRAFT, {"depth": [2, 2]}, "test", 9, 0, {"nothing": Figure(0.5, 1.0, 9)}, {}, ())])
    return path


def test_success_is_put_above_the_best_agent_that_knows_nothing(cards):
    found = floor_for(CRAFT, {}, "test", HALF, PLAIN)
    assert found.floor == Floor("constant", 0.25, 0.2, 40)
    expected = above_floor(HALF, Estimate(0.25, *wilson_interval(10, 40), 40))
    assert found.above == expected
    assert found.above.low < 0.25 < found.above.high
    assert "constant" in found.told
    assert "25.0 % of 40 tasks" in found.told
    assert found.to_json() == {"floor": found.floor.to_json(), "above_floor": expected.to_json()}


@pytest.mark.parametrize(
    ("arguments", "split", "config", "why"),
    [
        ({}, "train", {}, "palaestra audit palaestra/TextCraft-v0 --split train"),
        ({"depth": [1, 4]}, "test", {}, "--set depth=[1, 4] --split test"),
        ({}, "", {}, "no card holds for these settings"),
        ({}, "test", {"max_turns": 3}, "max_turns = 3"),
        ({}, "test", {"seat_settings": {"user": {}}}, "agents in other seats"),
        ({}, "test", {"make_env": "mine:make"}, "environments made by mine:make"),
        ({}, "test", {"envs": []}, "a record that does not name the arguments"),
        ({}, "test", {"kind": "rescore", "scorer": "mine:score"}, "scores by mine:score"),
    ],
)
def test_other_settings_have_no_floor_and_are_told_how_to_get_one(cards, arguments, split, config, why):
    found = floor_for(CRAFT, arguments, split, HALF, {**PLAIN, **config})
    assert found.floor is None
    assert math.isnan(found.above.mean)
    assert why in found.missing
    assert "--model nothing --model random" in found.missing
    assert found.to_json() == {"floor": None, "above_floor": None, "missing": found.missing}


def test_a_card_of_other_arguments_is_found_by_them(cards):
    assert shipped_floor(CRAFT, {"depth": [2, 2]}, "test").success == 0.5


def test_damaged_cards_and_unknown_environments_end_nothing(cards):
    cards.write_text("{", encoding="utf-8")
    assert "its card cannot be read" in floor_for(CRAFT, {}, "test", HALF, PLAIN).missing
    assert floor_for("mine/Elsewhere-v0", {}, "test", HALF, PLAIN).floor is None


@pytest.mark.parametrize("floor", [Floor("a", None, None, 5), Floor("a", 0.5, None, 0), Floor("a", math.nan, None, 5)])
def test_a_floor_without_a_rate_is_not_known_and_never_zero(floor):
    assert math.isnan(above_floor(HALF, estimate_of(floor)).mean)


def test_without_episodes_a_floor_is_known_and_nothing_above_it(cards):
    found = floor_for(CRAFT, {}, "test", Estimate(math.nan, math.nan, math.nan, 0), PLAIN)
    assert found.floor is not None
    assert found.to_json()["above_floor"] is None


def test_arms_that_know_nothing_are_the_floor_where_no_card_is(cards):
    config = {"max_turns": 3, "kind": "evaluate"}
    half = {f"t{i}": [i < 10] for i in range(20)}
    runs = [
        played("model", half, config),
        played("nothing", {f"t{i}": [i < 2] for i in range(20)}, config),
        played("random", {f"t{i}": [i < 4] for i in range(20)}, config),
        played("other", half, {**config, "max_turns": 4}),
    ]
    model, nothing, random, other = floors_of(arms_of(runs))
    assert (model.floor.agent, model.floor.success, model.floor.source) == ("random", 0.2, "measured")
    assert model.above.mean == pytest.approx(0.3)
    assert "measured next to it" in model.told
    assert nothing.floor is random.floor is None  # they are the floor
    assert other.floor is None  # played in another way
    assert other.missing


def test_a_card_goes_before_what_was_measured(cards):
    config = {"kind": "evaluate"}
    runs = [played("m", {"t": [True]}, config, split="test"), played("random", {"t": [True]}, config, split="test")]
    assert [one.floor.source for one in floors_of(arms_of(runs))] == ["card", "card"]


def test_an_evaluation_has_the_floor_of_its_card(tmp_path):
    evaluation = evaluate(CAR, ExpertAgent(), n=12, store=tmp_path / "runs")
    found = evaluation.floors[CAR]
    card = shipped_floor(CAR, {}, "test")
    assert found.floor == card
    assert found.above.mean == pytest.approx(1 - card.success)
    assert evaluation.to_json()["floors"][CAR]["floor"]["agent"] == card.agent
    [arm] = arms_of([PlayedRun("", evaluation.config, RunStore(tmp_path / "runs").episodes(evaluation.run_id))])
    assert floors_of([arm])[0].above == found.above
    [run] = RunStore(tmp_path / "runs").runs()
    assert floor_of_run(run).above.mean == pytest.approx(found.above.mean)
    assert math.isnan(floor_of_run(run).above.low)  # a line about a run knows no samples


def test_runs_of_a_horizon_or_with_agents_in_seats_have_none(tmp_path):
    cut = evaluate(CAR, NothingAgent(), n=2, max_turns=1)
    assert cut.floors[CAR].floor is None
    seated = evaluate("palaestra/TwentyQuestions-v1", Seats(RandomAgent(), answerer=RandomAgent()), n=2)
    assert "agents in other seats" in seated.floors["palaestra/TwentyQuestions-v1"].missing


def test_commands_show_the_floor_next_to_success(tmp_path, capsys):
    runs = ["--runs", str(tmp_path)]
    assert main(["evaluate", "--env", CAR, "--model", "expert", "--run", "a", "-n", "8", *runs]) == 0
    out = capsys.readouterr().out
    assert "Above floor" in out
    assert "which knows nothing of its task, solves" in out
    assert (
        main(["evaluate", "--env", CAR, "--model", "expert", "--set", "mode=sfc", "--run", "b", "-n", "8", "--json", *runs])
        == 0
    )
    [told] = json.loads(capsys.readouterr().out)["runs"]
    assert told["floors"][CAR]["floor"] is None
    assert 'palaestra audit palaestra/VehicleWorld-v0 --set mode="sfc" --split test' in told["floors"][CAR]["missing"]
    main(["compare", "a", "b", "--json", *runs])
    first, second = json.loads(capsys.readouterr().out)["arms"]
    assert first["above_floor"]["mean"] == pytest.approx(1 - first["floor"]["success"])
    assert (second["floor"], second["above_floor"]) == (None, None)
    main(["compare", "a", "b", *runs])
    assert "no card" in capsys.readouterr().out
    main(["runs", "list", *runs])
    assert "no card" in capsys.readouterr().out
