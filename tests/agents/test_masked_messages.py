"""Each message of a command, a source of rewards or an episode masks its secrets by itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

import palaestra.cli.main as cli_main
from palaestra.agents import masking
from palaestra.agents.backends.clients import from_url, make_endpoint
from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.registry import _shaping, make_backend, make_bare_backend
from palaestra.agents.core import Request
from palaestra.agents.evaluation import evaluation
from palaestra.agents.evaluation.deciding import UntilDecided
from palaestra.agents.evaluation.resuming import open_run
from palaestra.agents.masking import masked, remember_secrets
from palaestra.agents.own import as_agent
from palaestra.agents.registry import make_agent
from palaestra.agents.report.audit_page import render_card_page
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.agents.secret_spellings import SecretFinder
from palaestra.agents.store import RunStore
from palaestra.algorithms.data.reward_sources import RewardJudge, RewardServer
from palaestra.algorithms.run.recipe import parse_recipe
from palaestra.cli import audit, check
from palaestra.cli.main import main
from palaestra.cli.options import parse_settings
from palaestra.cli.planned import planned_runs
from palaestra.cli.seats import ChosenSeats, SeatModel, masked_word
from palaestra.envs.audit.shipped import shipped_cards
from palaestra.envs.desk.env import DeskEnv
from palaestra.errors import ConfigError, ModelError, StoreError, UsageError
from palaestra.types import Message
from tests.agents.test_masked_places import SECRET, URL, assert_masked

DESK = "palaestra/Desk-v0"


@pytest.fixture(autouse=True)
def one_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_finder", SecretFinder())
    remember_secrets({"api_key": SECRET})


@pytest.mark.parametrize(
    ("model", "options", "says"),
    [
        (f"{URL}#m", {"base_url": "http://h"}, "holds a URL already"),
        ("http://h/v1#m", {"base_url": URL}, "holds a URL already"),
        (URL, {}, "names a server but no model"),
    ],
)
def test_models_that_name_no_server_or_two(model: str, options: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        from_url(model, **options)
    assert_masked(str(caught.value))


def test_an_option_that_a_backend_does_not_heed() -> None:
    with pytest.raises(ConfigError, match="would have no effect") as caught:
        make_endpoint({"path": "/x"}, refused={"path": "it has its own"}, name=f"{URL}#m", model="m", base_url="http://h")
    assert_masked(str(caught.value))


def test_a_key_next_to_a_user_and_a_backend_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="an api_key and a user") as caught:
        Endpoint(name="s", model="m", base_url=URL, api_key="mk9-1")
    assert_masked(str(caught.value))
    for number, make in enumerate((make_backend, make_bare_backend)):
        with pytest.raises(UsageError) as unknown:
            make(f"mk9-own{number}:m", api_key=f"mk9-own{number}")
        assert_masked(str(unknown.value))
    assert _shaping({"client_secret": "mk9-1", "n": 1, "headers": {}}) == {"client_secret": "***", "n": 1}


def test_a_run_with_secrets_is_resumed_with_the_same_ones(tmp_path: Path) -> None:
    config = {"kind": "evaluation", "model": URL, "model_options": {"headers": {"X-Own": "mk9-1"}, "n": 1}}
    with RunStore(tmp_path) as store:
        assert open_run(store, "a", config) == open_run(store, "a", config) == "a"
        with pytest.raises(ConfigError, match="other settings") as caught:
            open_run(store, "a", {**config, "model": f"{URL}&more=mk9-2"})
    assert_masked(str(caught.value))


async def test_an_episode_keeps_no_secret() -> None:
    class Failing:
        name = f"mine {SECRET}"

        def act(self, observation: str, info: Any) -> str:
            raise RuntimeError(f"no way with {SECRET}, token: mk9-12345")

    plan = EpisodePlan(episode_id="e", env_id=DESK, env_kwargs={"token": "mk9-1", "n": 2})
    played = RolloutEngine(1, env_workers=0).run([plan], as_agent(Failing()), make_env=lambda plan: DeskEnv())
    (episode,) = [one async for one in played]
    assert episode.meta["env_kwargs"] == {"token": "***", "n": 2}
    assert_masked(episode.agent)
    assert episode.outcome.error is not None
    assert_masked(episode.outcome.error.message)
    assert_masked(episode.outcome.error.detail)
    assert "mk9" not in json.dumps(episode.to_json())


def answers(status: int, text: str) -> Callable[[httpx.Request], httpx.Response]:
    async def pieces() -> AsyncIterator[bytes]:
        yield text.encode()

    return lambda request: httpx.Response(status, content=pieces())


def breaks(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError(f"tls of {SECRET}")


@pytest.mark.parametrize(
    "server",
    [
        answers(500, f"no {SECRET}"),
        answers(200, f"no JSON for {SECRET}"),
        answers(200, json.dumps({"scores": f"for {SECRET}"})),
        answers(401, "x" * 280 + f" {SECRET}"),
        breaks,
    ],
)
async def test_what_a_reward_server_answers(server: Callable[[httpx.Request], httpx.Response]) -> None:
    source = RewardServer("http://h/score")
    async with httpx.AsyncClient(transport=httpx.MockTransport(server)) as client:
        with pytest.raises(ModelError) as caught:
            await source._attempt(client, {}, 2)
    assert "mk9" not in str(caught.value).lower()
    assert "***" in str(caught.value) or len(str(caught.value)) > 300, "cut off before it"


def test_a_score_that_is_none_and_the_token_of_a_reward_server(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_masked(RewardServer("http://h").checked(f"I saw {SECRET}"))  # type: ignore[arg-type]
    monkeypatch.setenv("JUDGE_AT_HOME", "mk9-home1")
    RewardServer("http://h", api_key_env="JUDGE_AT_HOME")
    assert_masked(masked("it said mk9-home1"))


async def test_what_a_judge_answers() -> None:
    class Judge:
        name = "judge"

        def act(self, observation: str, info: Any) -> str:
            raise ModelError(f"refused {SECRET}")

    judge = RewardJudge(as_agent(Judge()))
    assert_masked(judge._read(f"I saw {SECRET}"))  # type: ignore[arg-type]
    trajectory = SimpleNamespace(episode_id="e", task={}, steps=(), instructions="", tools=(), opening=None)
    found = await judge._judge(await _played(trajectory))
    assert_masked(found)  # type: ignore[arg-type]


async def _played(_: object) -> Any:
    plan = EpisodePlan(episode_id="e", env_id=DESK, max_turns=1)
    run = RolloutEngine(1, env_workers=0).run([plan], as_agent(lambda observation, info: "look"))
    (episode,) = [one async for one in run]
    return episode


RECIPE: dict[str, Any] = {
    "phases": ["grpo"],
    "env": {"id": "palaestra/TwentyQuestions-v1"},
    "grpo": {"steps": 1},
    "seats": {"seat": "asker", "answerer": {"model": "http://host/v1#m", "options": {"headers": {"X-Own": "mk9-pass1"}}}},
}


def test_a_recipe_is_written_without_secrets_in_both_forms() -> None:
    recipe = parse_recipe(RECIPE)
    assert_masked(json.dumps(recipe.to_json()))
    assert_masked(masked("it said mk9-pass1"))
    phase = [{"algorithm": "grpo", "name": name, "steps": 1} for name in ("one", "two")]
    listed = {key: value for key, value in RECIPE.items() if key not in ("phases", "grpo")} | {"phase": phase}
    assert_masked(json.dumps(parse_recipe(listed).to_json()))


def test_agents_in_seats_and_settings_of_a_command_line() -> None:
    assert_masked(json.dumps(SeatModel(URL, {"headers": {"a": "mk9-1"}}).to_json()))
    assert_masked(masked_word("--option=token=mk9-1"))
    parse_settings(["server={token='mk9-set1'}"])
    assert_masked(masked("it said mk9-set1"))


def stored_run(store: RunStore, **changed: Any) -> None:
    config = {
        "kind": "evaluate",
        "model": "http://host/v1#m",
        "model_options": {"temperature": 0.5},
        "envs": [{"env_id": DESK, "env_kwargs": {}}],
        **{"split": "test", "n": 2, "samples": 1, "seed": 0, "max_turns": None},
    }
    store.create_run({**config, **changed}, "a")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"model": "http://***@host/v1#m"}, "--model of run 'a' is"),
        ({"model_options": {"headers": {"X-Own": "mk9-1"}}}, "The option headers of --model of run 'a' is"),
        ({"envs": [{"env_id": DESK, "env_kwargs": {"token": "mk9-1"}}]}, "The argument token of run 'a' is"),
        ({"seat_models": {"user": {"model": "http://***@h/v1#m", "options": {}}}}, "--seat user of run 'a' is"),
    ],
)
def test_a_run_is_not_resumed_without_its_secrets(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    with RunStore(tmp_path) as store:
        stored_run(store, **changed)
        with pytest.raises(ConfigError, match=f"{says} .*without its secrets"):
            planned_runs(store, ["a"], [], {}, {}, [{}], ChosenSeats(), None)
        if "envs" in changed:
            with pytest.raises(ConfigError, match=f"{says} .*without its secrets"):
                planned_runs(store, [], ["random"], {}, {}, [{}], ChosenSeats(), UntilDecided("a"))


def test_other_settings_than_those_of_a_run_are_shown_without_secrets(tmp_path: Path) -> None:
    seats = ChosenSeats(models={"user": SeatModel(URL)})
    with RunStore(tmp_path) as store:
        stored_run(store)
        for options, given, own in (
            ({"extra": {"api_key": "mk9-1"}}, {}, ChosenSeats()),
            ({}, {"env_kwargs": {"token": "mk9-1"}}, ChosenSeats()),
            ({}, {}, seats),
        ):
            with pytest.raises(ConfigError, match="was created with") as caught:
                planned_runs(store, ["a"], [], options, given, [{}], own, None)
            assert_masked(str(caught.value))


@pytest.mark.parametrize(("model", "options"), [("http://***@h/v1#m", {}), ("http://h/v1#m", {"headers": {"a": "***"}})])
def test_a_backend_is_not_made_of_what_was_stored(model: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="without its secrets"):
        make_backend(model, **options)


def test_what_a_command_refuses(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["evaluate", "--env", f"Desk-{SECRET}", "--model", "random"]) == 2
    assert_masked(capsys.readouterr().err)
    (tmp_path / "file").write_text("")
    assert main(["view", "--runs", str(tmp_path / "file"), "--token", "mk9-view1"]) == 2
    assert_masked(masked("it said mk9-view1"))


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_what_a_check_found(options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Report:
        ok = True

        def __str__(self) -> str:
            return f"it raised {SECRET}; token: mk9-12345"

        def to_json(self) -> dict[str, Any]:
            return {"text": f"it raised {SECRET}", "token": "mk9-1"}

    assert check.masked is masked
    monkeypatch.setattr("palaestra.envs.check.check_environment", lambda *_, **__: Report())
    assert main(["check", DESK, *options]) == 0
    assert_masked(capsys.readouterr().out)


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("every", [True, False])
def test_what_an_audit_found(
    options: list[str], every: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (whole, *_) = shipped_cards(DESK)
    card = replace(whole, points=[replace(point, reason=f"it shows {SECRET}", verdict="warn") for point in whole.points])
    assert_masked(render_card_page(card))
    found = SimpleNamespace(cards=() if every else (card,), skipped={"a/B-v0": f"no {SECRET}"})
    monkeypatch.setattr("palaestra.envs.audit.audit_all", lambda *_, **__: found)
    monkeypatch.setattr("palaestra.envs.audit.audit_environment", lambda *_, **__: card)
    assert audit.masked is masked
    main(["audit", *(["--all"] if every else [DESK]), *options])
    said = capsys.readouterr()
    assert_masked(said.out + said.err)


async def test_an_evaluation_remembers_its_arguments_and_stores_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[Any] = []

    def keep(store: object, run_id: object, config: Any) -> Any:
        configs.append(config)
        raise UsageError("that is all")

    monkeypatch.setattr(evaluation, "plan_and_record", lambda *_, **__: ([], {}))
    monkeypatch.setattr(evaluation, "open_run", keep)
    agent = as_agent(lambda observation, info: "look")
    with pytest.raises(UsageError, match="that is all"):
        await evaluation.evaluate_async(
            DESK, agent, env_kwargs={"token": "mk9-env1"}, store=tmp_path, extra_config={"model": URL, "told": SECRET}
        )
    (config,) = configs
    assert_masked(json.dumps(config))
    assert config["envs"][0]["env_kwargs"] == {"token": "***"}
    assert_masked(masked("it said mk9-env1"))


def test_a_backend_that_there_is_not_is_named_without_its_options() -> None:
    with pytest.raises(UsageError) as caught:
        make_agent("mk9-own1:m", api_key="mk9-own1")
    assert_masked(str(caught.value))
    assert_masked(masked("it said mk9-own1"))


def test_a_run_of_the_command_line_is_given_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[Any] = []

    def play(*_: object, extra_config: Any, **__: object) -> Any:
        configs.append(extra_config)
        raise StoreError("that is all.")

    monkeypatch.setattr(evaluation, "evaluate", play)
    words = ["evaluate", "--env", DESK, "--model", f"{URL}#m", "-n", "1", "--runs", str(tmp_path)]
    assert main(words) == 1
    assert_masked(json.dumps(configs))


def test_a_command_remembers_its_models_before_it_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(*_: object, **__: object) -> Any:
        raise UsageError("that is all.")

    monkeypatch.setattr("palaestra.cli.evaluate.planned_runs", plan)
    assert main(["evaluate", "--env", DESK, "--model", f"{URL}#m", "-n", "1", "--runs", str(tmp_path)]) == 2
    assert_masked(masked("it said mk9-pass1"))


def test_what_nobody_foresaw_and_the_last_line_of_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise RuntimeError(f"no row for {SECRET}")

    monkeypatch.setattr(cli_main, "app", fail)
    for words in (["runs"], ["runs", "--debug"]):
        with pytest.raises(RuntimeError) as caught:
            main(words)
        assert_masked(str(caught.value))
    assert cli_main._fail("it said token: mk9-12345", 2) == 2
    assert_masked(capsys.readouterr().err)


@pytest.mark.parametrize(
    "word", ["headers={X-Own='mk9-1'}", "--option=headers={X-Own='mk9-1'}", "api_key=mk9", "--api-key=http://h"]
)
def test_a_word_of_a_command_line_is_masked_by_its_name(word: str) -> None:
    assert_masked(masked_word(word))
    remember_secrets({"api_key": "mk9=Zq7-own"})
    assert_masked(masked_word("--mk9=Zq7-own"))
    assert_masked(masked_word(f"{URL}#m"))
    assert masked_word("--option=top_p=0.5") == "--option=top_p=0.5"


def test_what_litellm_makes_of_an_answer() -> None:
    module = pytest.importorskip("palaestra.agents.backends.litellm_sdk")
    made = {"choices": [{"message": {"role": "assistant", "content": f"as {SECRET} said"}, "finish_reason": "stop"}]}
    backend = SimpleNamespace(endpoint=Endpoint(name="s", model="m", base_url="http://h/v1"))
    answer = SimpleNamespace(model_dump=lambda **_: made)
    generation = module.LiteLLMBackend._read(backend, answer, None, Request((Message("user", "go"),)))
    assert_masked(generation.message.content)
