"""Every backend with marked secrets, through success and every failure: no byte written anywhere holds one."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import logging
import re
import sqlite3
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from palaestra.agents import masking
from palaestra.agents.backends import registry
from palaestra.agents.backends.litellm_sdk import import_litellm
from palaestra.agents.backends.registry import make_backend
from palaestra.agents.core import Generation, Request
from palaestra.agents.secret_spellings import SecretFinder
from palaestra.agents.store import RunStore
from palaestra.algorithms.run.recipe import parse_recipe
from palaestra.cli.main import main
from palaestra.errors import ConfigError, ModelError
from palaestra.types import Message
from tests.agents.backends import fault_server as faults
from tests.agents.backends.fault_server import PROVIDERS, FaultServer
from tests.agents.spellings import IN_BASE64 as IN_BASE_64
from tests.agents.spellings import SPELLINGS

MARKS = re.compile(  # how every secret begins: as it is, with its letters escaped, in hex, at the three places of base64
    rb"(?i:mk9(?![a-z0-9+/])|6d6b392d|%6d%6b%39|\\u006d\\u006b|\\x6d\\x6b|&#109;&#107;|&#x6d;&#x6b;)|bWs5L[Q-Za-f]|1rOS[0-3]|tazkt"
)
PACKED_MARKS = re.compile(MARKS.pattern.replace(rb"mk9(?![a-z0-9+/])", b"mk9-"))
"""The same in what is compressed, where three bytes come up by chance; its rows are searched as they were before."""
TEXTCRAFT = "palaestra/TextCraft-v0"
HEADERS = 'headers={X-Team="mk9-header value", Authorization2="Bearer mk9-bearer"}'


async def _echo(server: FaultServer, writer: asyncio.StreamWriter) -> None:
    """Refuse a request and repeat all that was sent, as debugging servers do, far into the text too."""
    last = server.received[-1]
    text = f"refused {json.dumps(last.headers)} at {last.target} " + "x" * 110 + f" {last.headers.get('authorization')}"
    body = json.dumps({"error": {"message": text, "code": last.headers.get("x-team")}}).encode()
    writer.write(faults.head(401, len(body)) + body)


async def _echo_text(server: FaultServer, writer: asyncio.StreamWriter) -> None:
    last = server.received[-1]
    body = ("y" * 180 + f"{last.headers} {last.target}").encode()
    writer.write(faults.head(500, len(body), kind="text/plain") + body)


async def _echo_location(server: FaultServer, writer: asyncio.StreamWriter) -> None:
    target = server.received[-1].target
    where = f"http://mk9-user:mk9-pass@elsewhere{target}{'&' if '?' in target else '?'}more=mk9-more"
    writer.write(faults.head(307, 0, f"Location: {where}"))


def spelled(server: FaultServer, way: str) -> str:
    """Return all secrets that were sent last, in a spelling, and what basic authorization holds."""
    last = server.received[-1]
    sent = [value for value in last.headers.values() if "mk9" in value] + parse_qsl(last.target.partition("?")[2])
    said = [
        text.removeprefix("Bearer ") for text in itertools.chain(*([one] if isinstance(one, str) else one for one in sent))
    ]
    for coded in re.findall("Basic (.+)", str(last.headers.get("authorization"))):
        user, _, password = base64.b64decode(coded).decode().partition(":")
        said += [f"{user}:{password}", password]
    return " ".join(FORMS[way](text) for text in said if text.startswith("mk9-"))


FORMS = {**SPELLINGS, **IN_BASE_64}


def _echo_in(way: str) -> Any:
    async def send(server: FaultServer, writer: asyncio.StreamWriter) -> None:
        body = spelled(server, way).encode()
        if len(server.received) % 2:
            body = json.dumps({"error": {"message": body.decode()}}).encode()
        writer.write(faults.head(400, len(body)) + body)

    return send


async def _echo_places(server: FaultServer, writer: asyncio.StreamWriter) -> None:
    """Name secrets of others, which nobody could remember."""
    body = b"u:mk9-1pass@db.example;jsessionid=mk9-1sid api_key: mk9-1key http://h/#access_token=mk9-1t 'X-Api-Key': 'mk9-1x'"
    writer.write(faults.head(400, len(body), kind="text/plain") + body)


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test stand alone: what another one remembered must not help it."""
    monkeypatch.setattr(masking, "_finder", SecretFinder())


ECHOES = {
    "echo": _echo,
    "echo text": _echo_text,
    "echo location": _echo_location,
    "echo places": _echo_places,
    **{f"echo {way}": _echo_in(way) for way in FORMS},
}
MAIN_ECHOES = ("echo", "echo text", "echo location", "echo places", "echo json with slashes", "echo base64, second place")


@pytest.fixture
def all_faults(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(faults, "REDIRECTS", {**faults.REDIRECTS, **ECHOES})
    server.location = "http://mk9-user:mk9-pass@127.0.0.1:9/v1?k=mk9-query"
    server.retry_after = "0.01"
    names = [name for name in (*faults.FAULTS, *faults.REDIRECTS) if name not in ("hang", "drip")]  # two time-outs are enough
    return [*names, *MAIN_ECHOES, "hang", "ok", "ok"]


def bytes_written(folder: Path) -> dict[str, bytes]:
    """Return everything under a folder, what is compressed in stores as it was before."""
    found = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for path in folder.rglob("*.db"):
        connection = sqlite3.connect(path)
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for number, row in enumerate(connection.execute(f"SELECT * FROM {table}").fetchall()):
                texts = [zlib.decompress(cell) if isinstance(cell, bytes) and cell[:1] == b"x" else cell for cell in row]
                found[f"{path}:{table}:{number}"] = repr(texts).encode()
        connection.close()
    return found


def assert_no_secret(texts: dict[str, bytes]) -> None:
    for where, text in texts.items():
        marks = PACKED_MARKS if Path(where).suffix in (".db", ".db-wal") else MARKS
        if found := marks.search(text):
            raise AssertionError(f"{where}: {text[max(0, found.start() - 80) : found.end() + 60]!r}")


def test_the_marks_are_seen_in_every_spelling() -> None:
    for way, spell in FORMS.items():
        for secret in ("mk9-key", "mk9-header value", "mk9-user:mk9-pa/ss"):
            with pytest.raises(AssertionError, match="file"):
                assert_no_secret({"file": f"x {spell(secret)} y".encode()})
            assert_no_secret({"file": SecretFinder([secret]).masked(f"x {spell(secret)} y").encode()}), way


SAME_CODE = (("litellm:openai/stub", "url"), ("litellm:openai/stub", "environment"), ("litellm:mistral/stub", "key"))
"""What the other provider behind litellm tries already; litellm is slow."""


def evaluate_marked(words: list[str], faults_planned: int, timeout: str = "1.5") -> None:
    """Evaluate against a server that fails in every way, then look at the run with every command."""
    words = ["evaluate", "--env", TEXTCRAFT, "--set", "recipes=procedural", *words, "--option", HEADERS, "--retries", "0"]
    words += ["--timeout", timeout, "--option", "max_response_bytes=100000", "-n", str(faults_planned), "--max-turns", "1"]
    words += ["--run", "marked", "--concurrency", "1"]
    assert main(words) == 3
    assert main(["runs", "show", "marked"]) == 0
    assert main(["runs", "show", "marked", "--json"]) == 0
    assert main(["runs"]) == 0
    main([*words, "--temperature", "0.5"])  # other settings: an error that shows both
    main(["evaluate", "--run", "marked"])
    main(["export", "marked", "-o", "out.jsonl"])


def check_marked(folder: Path, server: FaultServer, num_faults: int, said: Any, logged: str, *, num_ok: int = 2) -> None:
    """Check that the secrets were sent, that every fault became an error, and that no byte written holds a secret."""
    sent = json.dumps([(one.headers, one.target) for one in server.received])
    assert len(server.received) >= num_faults
    assert "mk9-header value" in sent
    with RunStore("runs", read_only=True) as store:
        errors = [episode.error_message for episode in store.episodes("marked") if episode.error_boundary]
        config = store.config("marked")
    assert len(errors) == num_faults - num_ok
    assert any("***" in error for error in errors), "the echo was masked"
    assert all(len(error) < 1500 for error in errors), "what is shown of a body is short"
    assert "X-Team" in json.dumps(config)
    texts = bytes_written(folder)
    assert_no_secret({**texts, "stdout": said.out.encode(), "stderr": said.err.encode(), "log": logged.encode()})


@pytest.mark.parametrize("client", ["aiohttp", "openai"])
@pytest.mark.parametrize("way", ["key", "url", "base_url"])
def test_no_secret_is_written_whatever_the_server_does(
    server: FaultServer,
    all_faults: list[str],
    client: str,
    way: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server.plan.extend(all_faults)
    secret_url = server.base_url.replace("http://", "http://mk9-user:mk9-pa%2Fss@") + "?sig=mk9-query"
    chosen = {
        "key": ["--model", server.model_string, "--option", "api_key=mk9-key"],
        "url": ["--model", f"{secret_url}#stub"],
        "base_url": ["--model", "openai:stub", "--base-url", secret_url],
    }[way]
    with caplog.at_level(logging.DEBUG):
        evaluate_marked([*chosen, "--option", f"client={client}"], len(all_faults))
    check_marked(tmp_path, server, len(all_faults), capfd.readouterr(), caplog.text)


@pytest.mark.parametrize(
    ("model", "way"),
    [(model, way) for model in PROVIDERS for way in ("key", "url", "environment") if (model, way) not in SAME_CODE],
)
def test_no_secret_is_written_whatever_the_server_of_a_provider_does(
    server: FaultServer,
    all_faults: list[str],
    model: str,
    way: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in {name for entry in registry.BACKENDS.values() for name in entry.variables}:
        monkeypatch.delenv(name, raising=False)
    server.answer = PROVIDERS[model]
    server.plan.extend(all_faults)
    url = server.base_url
    words = ["--model", model]
    scheme = model.partition(":")[0]
    if scheme == "litellm":
        with capfd.disabled():  # it keeps the stderr that it finds when it is imported
            import_litellm()
    if way == "environment":
        variables = registry.BACKENDS[scheme].variables or (f"{model.partition(':')[2].partition('/')[0].upper()}_API_KEY",)
        monkeypatch.setenv(variables[0], "mk9-environment")
    elif way == "key" or scheme in ("azure", "azure-responses", "litellm"):  # these insist on a key
        words += ["--option", "api_key=mk9-key"]
    if way == "url":
        user = "mk9-user:mk9-pa%2Fss@" if "--option" not in words else ""
        url = url.replace("http://", f"http://{user}") + "?sig=mk9-query"
    with caplog.at_level(logging.DEBUG):
        # litellm is slow at first, and warns of its own where that takes longer than the time limit
        evaluate_marked([*words, "--base-url", url], len(all_faults), "5" if scheme == "litellm" else "1.5")
    sent = json.dumps([(one.headers, one.target) for one in server.received])
    assert {"key": "mk9-key", "url": "mk9-query", "environment": "mk9-environment"}[way] in sent
    check_marked(tmp_path, server, len(all_faults), capfd.readouterr(), caplog.text)


@pytest.mark.parametrize("client", ["aiohttp", "openai"])
@pytest.mark.parametrize("way", ["key", "url"])
def test_no_spelling_of_a_secret_in_an_error_is_written(
    server: FaultServer,
    client: str,
    way: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(faults, "REDIRECTS", {**faults.REDIRECTS, **ECHOES})
    echoes = [f"echo {way}" for way in FORMS]
    plan = [
        *itertools.chain(*([*echoes[at : at + 5], "ok"] for at in range(0, len(echoes), 5)))
    ]  # many failures in a row end a run
    server.plan.extend(plan)
    model = server.model_string if way == "key" else server.model_string.replace("http://", "http://mk9-user:mk9-pa%2Fss@")
    chosen = ["--model", model, *(["--option", "api_key=mk9-key"] if way == "key" else []), "--option", f"client={client}"]
    with caplog.at_level(logging.DEBUG):
        evaluate_marked(chosen, len(plan))
        main(["report", "marked"])
    check_marked(tmp_path, server, len(plan), capfd.readouterr(), caplog.text, num_ok=plan.count("ok"))


def test_every_backend_behind_a_server_is_tried_with_marked_secrets() -> None:
    tried = {model.partition(":")[0] for model in PROVIDERS} | {"openai", "http", "https"}
    assert {scheme for scheme, entry in registry.BACKENDS.items() if entry.is_remote} == tried


class Leaky:
    """A third party's backend that shows what it knows in every error, in its name, its logs and what it raises from."""

    def __init__(self, model: str, *, acme_token: str, pin: int = 0, headers: Any = None) -> None:
        self.name = f"leaky:{model}?{acme_token}"
        self.secrets = (acme_token, headers)
        self.calls = 0

    async def generate(self, request: Request) -> Generation:
        self.calls += 1
        logging.getLogger("httpx.leaky").warning("sent %s", self.secrets)
        kinds = (RuntimeError, ModelError, ConnectionError, KeyError, ValueError)
        if self.calls > len(kinds):
            return Generation(Message("assistant", "look around"))
        try:
            raise OSError(5, f"tls of {self.secrets}", self.secrets[0])
        except OSError as error:
            raise kinds[self.calls - 1](f"bad answer for {self.secrets}") from error

    async def aclose(self) -> None:
        pass


def test_no_secret_of_a_third_partys_backend_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(registry.BACKENDS, "leaky", registry.BackendEntry(f"{__name__}:Leaky", "leaky:NAME"))
    words = ["evaluate", "--env", TEXTCRAFT, "--model", "leaky:m", "--option", "acme_token=mk9-token", "--option", HEADERS]
    words += ["-n", "8", "--max-turns", "1", "--retries", "0", "--run", "marked", "--concurrency", "1"]
    with caplog.at_level(logging.DEBUG):
        assert main(words) == 3
        assert main(["runs", "show", "marked", "--json"]) == 0
        assert (
            main(["evaluate", "--env", TEXTCRAFT, "--model", "leaky:m", "--option", "wrong=mk9-x", "--option", HEADERS]) == 2
        )
    said = capfd.readouterr()
    with RunStore("runs", read_only=True) as store:
        assert sum(bool(episode.error_boundary) for episode in store.episodes("marked")) == 5
    texts = {**bytes_written(tmp_path), "stdout": said.out.encode(), "stderr": said.err.encode(), "log": caplog.text.encode()}
    assert_no_secret(texts)


@pytest.mark.parametrize(
    "words",
    [
        ["--model", "htp://mk9-user:mk9-pass@host/v1#m"],
        ["--model", "http://mk9-user:mk9-pass@host:port/v1#m"],
        ["--model", "http://mk9-user:mk9-pass@host/v1"],
        ["--model", "mk9 http://mk9-user:mk9-pass@host/v1"],
        ["--model", "http://mk9-user:mk9-pass@host/v1#m", "--option", "api_key=mk9-key"],
        ["--model", "http://host/v1#m", "--base-url", "http://mk9-user:mk9-pass@host/v1"],
        ["--model", "http://host/v1#m", "--option", "headers=mk9-header"],
        ["--model", "openai:m", "--base-url", "mk9-user:mk9-pass@host"],
        ["--model", "random", "--option", "api_key=mk9-key"],
        ["--model", "scripted:nothing", "--option", "api_key=mk9-key"],
    ],
)
def test_no_secret_is_in_the_errors_of_wrong_options(
    words: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["evaluate", "--env", TEXTCRAFT, "-n", "1", "--runs", str(tmp_path), "--retries", "0", *words]) in (1, 2, 3)
    said = capfd.readouterr()
    shown = {"stdout": said.out.encode(), "stderr": said.err.replace("mk9 http", "").encode()}
    assert_no_secret({**bytes_written(tmp_path), **shown})


def test_the_command_that_resumes_has_no_secret(
    server: FaultServer, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from palaestra.agents.evaluation import evaluation

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "evaluate", interrupted)
    model = server.model_string.replace("http://", "http://mk9-user:mk9-pass@")
    words = ["--env", TEXTCRAFT, "--model", model, "--model", "random", "--option", HEADERS, "--seed", "3"]
    assert main(["evaluate", *words, "--runs", str(tmp_path)]) == 130
    said = capfd.readouterr().err
    assert "mk9" not in said
    assert "--option 'headers=***' --seed 3" in said


def test_a_masked_run_resumes_with_its_secrets_given_again(
    server: FaultServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url = server.base_url.replace("http://", "http://mk9-user:mk9-pass@") + "#stub"
    words = ["evaluate", "--env", TEXTCRAFT, "--model", url, "--option", HEADERS, "--max-turns", "1", "--retries", "0"]
    words += ["--runs", str(tmp_path), "--run", "marked"]
    server.plan.extend(["ok", "500"])
    assert main([*words, "-n", "2"]) == 3
    again = ["evaluate", "--runs", str(tmp_path), "--run", "marked", "--retry-errors"]
    assert main(again) == 2
    assert "without its secrets; give the whole value again" in capfd.readouterr().err
    assert main([*words, "-n", "2", "--retry-errors"]) == 0
    assert len(server.received) == 3
    assert server.received[2].headers["authorization"] == server.received[0].headers["authorization"]
    assert server.received[2].headers["x-team"] == "mk9-header value"
    with RunStore(tmp_path) as store:
        assert store.config("marked")["model"] == f"{server.base_url.replace('http://', 'http://***@')}#stub"


def test_secrets_of_agents_in_seats_of_a_recipe_are_not_stored() -> None:
    options = {"api_key": "mk9-key", "headers": {"X": "mk9-header"}, "temperature": 0.5}
    recipe = parse_recipe(
        {
            "name": "x",
            "env": {"id": "palaestra/TwentyQuestions-v1"},
            "phases": ["grpo"],
            "seats": {"answerer": {"model": "http://mk9-user:mk9-pass@host/v1#m", "options": options}},
        }
    )
    text = json.dumps(recipe.to_json())
    assert "mk9" not in text
    assert "http://***@host/v1#m" in text
    assert "0.5" in text
    assert parse_recipe(recipe.to_json()).to_json() == recipe.to_json()


async def test_a_secret_shorter_than_any_word_is_masked_where_it_is_given(server: FaultServer) -> None:
    backend = make_backend(server.model_string.replace("http://", "http://u:pw@"), max_retries=0)
    server.plan.append("401")
    with pytest.raises(ModelError, match="answered 401: wrong key") as caught:
        await backend.generate(Request((Message("user", "x"),)))
    await backend.aclose()
    assert "pw@" not in f"{caught.value} {backend.name}"


@pytest.mark.parametrize("client", ["aiohttp", "openai"])
@pytest.mark.parametrize(
    "options",
    [{"headers": "mk9"}, {"headers": {"X": 5}}, {"headers": {"X": "mk9\r\nY: z"}}, {"api_key": "mk9\n"}, {"headers": ["mk9"]}],
)
def test_what_cannot_be_a_header_is_refused_without_showing_it(client: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"header|api_key") as caught:
        make_backend("http://127.0.0.1:9/v1#m", client=client, **options)
    assert "mk9" not in str(caught.value)


@pytest.mark.parametrize("client", ["aiohttp", "openai"])
async def test_a_key_of_digits_is_sent(server: FaultServer, client: str) -> None:
    backend = make_backend(server.model_string, client=client, api_key=123456789)
    await backend.generate(Request((Message("user", "x"),)))
    await backend.aclose()
    assert server.received[0].headers["authorization"] == "Bearer 123456789"
