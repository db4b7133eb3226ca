"""Each place that stores, names or says something masks it by itself, whoever calls it."""

from __future__ import annotations

import json
import logging
import sqlite3
import traceback
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from palaestra.agents import masking
from palaestra.agents.backends.endpoint import Endpoint, check_url
from palaestra.agents.backends.registry import make_backend
from palaestra.agents.backends.reliable import Reliable, RetryPolicy
from palaestra.agents.backends.responses import redirect_problem
from palaestra.agents.backends.scripted import ScriptedBackend, ScriptedReply
from palaestra.agents.backends.wire import excerpt
from palaestra.agents.core import Generation, Request, Sampling, Tokens
from palaestra.agents.masking import MASK, remember_secrets
from palaestra.agents.rollout.env_pool import EnvPool
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.agents.rollout.seating import Seating
from palaestra.agents.secret_spellings import SecretFinder
from palaestra.agents.store import RunStore
from palaestra.agents.users_code import close_after
from palaestra.envs.desk.env import DeskEnv
from palaestra.errors import ModelError, UsageError
from palaestra.types import Message, ToolCall

SECRET = "mk9-Zq7-key"
URL = "http://me:mk9-pass1@host/v1?sig=mk9-query1"


@pytest.fixture(autouse=True)
def one_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_finder", SecretFinder())
    remember_secrets({"api_key": SECRET})


def assert_masked(text: str) -> None:
    assert MASK in text
    assert "mk9" not in text.lower()


def test_the_store_masks_what_it_is_given(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        store.create_run({"model": URL, "api_key": "mk9-1", "told": SECRET}, "a")
        (row,) = store._read("SELECT * FROM runs")  # before anything that masks on its way out or writes again
        assert_masked(repr(row))
        store.set_status("a", "failed", f"token: mk9-12345 and {SECRET}")
        assert_masked(json.dumps(store.config("a")))
        assert_masked(store.run("a").note)
        store.set_config("a", {"model": URL, "later": SECRET})
    (file,) = tmp_path.glob("*.db")
    connection = sqlite3.connect(file)
    (row,) = connection.execute("SELECT * FROM runs").fetchall()
    assert_masked(repr(row))


@pytest.mark.parametrize(
    "config",
    [
        {"api_key": "mk9-1"},
        {"a": {"clientSecret": "mk9-2"}},
        {"model": URL},
        {"x": f"y {SECRET}"},
        {"headers": {"a": "mk9-3"}},
    ],
)
def test_the_store_masks_what_an_earlier_version_stored(
    tmp_path: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier, RunStore(tmp_path) as store:
        earlier.setattr("palaestra.agents.store.store.masked", lambda config: config)
        store.create_run(config, "a")
    with RunStore(tmp_path) as store:
        assert_masked(json.dumps(store.config("a")))


def test_an_endpoint_masks_its_name_and_what_is_sent_back() -> None:
    endpoint = Endpoint(name=f"{URL}#m", model="m", base_url="http://me:mk9-pass1@host/v1", headers={"X-Team": "mk9-header1"})
    assert_masked(endpoint.name)
    said = "mk9-header1 MK9-PASS1 bWs5LWhlYWRlcjE= mk9\\u002dheader1"
    data = {"choices": [{"delta": {"content": said}, "index": 0}]}
    assert_masked(json.dumps(endpoint.decode(json.dumps(data).encode())))
    assert_masked(json.dumps(endpoint.decode(f"data: {json.dumps(data)}\n\ndata: [DONE]\n\n".encode())))
    assert_masked(str(endpoint.unreachable(OSError(f"tls of {SECRET} at u:mk9-1pass@db.example"))))
    for error in ({"error": {"message": f"bad key {SECRET}", "code": "api_key: mk9-123456"}}, [f"x {SECRET}"]):
        with pytest.raises(ModelError) as caught:
            endpoint.fail(401, {}, json.dumps(error).encode())
        assert_masked(str(caught.value))


@pytest.mark.parametrize("url", ["me:mk9-pass1@host", "ftp://me:mk9-pass1@host", "x://h?k=mk9-query1 y"])
def test_addresses_that_are_none_are_shown_without_secrets(url: str) -> None:
    with pytest.raises(UsageError, match="is not a base URL") as caught:
        check_url(url)
    assert_masked(str(caught.value))


def test_a_redirect_is_shown_without_secrets() -> None:
    assert_masked(redirect_problem(302, f"{URL}&more={SECRET}"))


@pytest.mark.parametrize("blanks", [0, 100, 3190, 3195, 2**15 - 5, 2**15 + 5])
def test_an_excerpt_shows_no_part_of_a_secret(blanks: int) -> None:
    for text in (" " * blanks + f"bad key {SECRET}" * 3, "\n" * blanks + SECRET):
        assert "mk9" not in excerpt(text)
        assert "mk9" not in excerpt(text.encode())
    assert_masked(excerpt({"error": f"bad key {SECRET}", "token": "mk9-1"}))


def test_a_backend_masks_its_name_and_what_shapes_it() -> None:
    inner = SimpleNamespace(name=f"mine {SECRET}", generate=None, aclose=None)
    assert_masked(Reliable(inner).name)  # type: ignore[arg-type]
    made = make_backend("http://host/v1#m", extra_headers=None, api_key=SECRET, max_tokens_field="max_tokens")
    assert "mk9" not in json.dumps(made.shaped_by())


async def test_an_agent_that_cannot_be_closed_is_named_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError(f"cannot close {SECRET}")

    await close_after(SimpleNamespace(name=f"mine {SECRET.upper()}", aclose=fail))  # type: ignore[arg-type]
    assert caplog.records[-1].levelno == logging.WARNING
    assert_masked(caplog.text)


def test_seats_are_recorded_without_secrets() -> None:
    seating = Seating.__new__(Seating)
    seating._about, seating._last_seen = {"user": {"instructions": "", "tools": ()}}, {}  # type: ignore[assignment]
    own = SimpleNamespace(name=f"mine {SECRET}", usage=None, segments=())
    (seat,) = seating.records(SimpleNamespace(seats={"user": own})).values()  # type: ignore[arg-type]
    assert_masked(seat.agent)


async def test_answers_of_any_backend_are_masked_and_those_with_token_ids_stay() -> None:
    call = ToolCall("say", {"text": f"it is {SECRET}"})
    told = ScriptedReply(Message("assistant", f"I know {SECRET}", tool_calls=(call,)))
    plain = ScriptedReply(Message("assistant", "nothing to hide"))
    backend = Reliable(ScriptedBackend([told, plain]))
    answer = await backend.generate(Request((Message("user", "?"),)))
    assert (answer.message.content, answer.message.tool_calls[0].arguments) == ("I know ***", {"text": "it is ***"})
    assert (await backend.generate(Request((Message("user", "?"),)))).message == plain.message

    class Sampled(ScriptedBackend):
        async def generate(self, request: Request) -> Generation:
            return replace(await super().generate(request), tokens=Tokens((1,), (2,), (-0.5,)))

    stays = (await Reliable(Sampled([told])).generate(Request((Message("user", "?"),)))).message
    assert (stays.content, stays.tool_calls[0].arguments) == (told.message.content, call.arguments)


async def test_secrets_of_a_requests_own_fields_are_remembered() -> None:
    backend = Reliable(ScriptedBackend(lambda request: "it is mk9-Own1 or mk9-Own2"))
    for number in (1, 2):
        sampling = Sampling(extra={"metadata": [{"api_key": f"mk9-Own{number}"}]})
        answer = await backend.generate(Request((Message("user", "?"),), sampling=sampling))
    assert answer.message.content == "it is *** or ***"


async def test_arguments_of_played_environments_are_remembered() -> None:
    pool = EnvPool(lambda plan: DeskEnv(), workers=0)
    plan = EpisodePlan(episode_id="e", env_id="palaestra/Desk-v0", env_kwargs={"server": {"token": "mk9-Deep1"}})
    await pool.give_back(await pool.take(plan), reusable=False)
    assert masking.masked("it said mk9-Deep1") == "it said ***"


@pytest.mark.parametrize("error", [RuntimeError, ModelError, ConnectionError, KeyError])
async def test_what_a_backend_raises_is_masked(error: type[Exception]) -> None:
    class Failing(ScriptedBackend):
        async def generate(self, request: Request) -> Generation:
            raise error(f"no way with {SECRET} or token: mk9-12345")

    backend = Reliable(Failing([]), policy=RetryPolicy(retries=0))
    with pytest.raises(ModelError if error is ConnectionError else error) as caught:
        await backend.generate(Request((Message("user", "?"),)))
    assert_masked("".join(traceback.format_exception(caught.value)).replace(__file__, "").replace(_SOURCE, ""))


_SOURCE = 'raise error(f"no way with {SECRET} or token: mk9-12345")'  # the line that a traceback shows


def test_clients_log_without_secrets_from_the_first_backend_on() -> None:
    before = logging.getLogRecordFactory()
    try:
        logging.setLogRecordFactory(logging.LogRecord)
        Reliable(ScriptedBackend([]))
        record = logging.getLogRecordFactory()("httpx", logging.INFO, "f", 1, "sent %s", (SECRET,), None)
        assert_masked(record.getMessage())
    finally:
        logging.setLogRecordFactory(before)
