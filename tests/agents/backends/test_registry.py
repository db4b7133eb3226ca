from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from palaestra_toys.lamp import LampEnv

from palaestra.agents import ExpertAgent, evaluate, make_agent
from palaestra.agents.backends import registry as table
from palaestra.agents.backends.fast_http import FastHTTPBackend
from palaestra.agents.backends.limits import Budget, RateLimit
from palaestra.agents.backends.openai_sdk import OpenAIBackend
from palaestra.agents.backends.registry import list_backends, make_backend, make_bare_backend
from palaestra.agents.backends.scripted import ScriptedBackend
from palaestra.agents.core import Backend
from palaestra.errors import ConfigError, UsageError

URL = "http://127.0.0.1:8000/v1#tiny"


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "PALAESTRA_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("", "expected openai:NAME"),
        ("gpt-5-mini", "Did you mean 'openai:gpt-5-mini'"),
        ("/", "Did you mean 'hf:/'"),
        ("opnai:gpt-5-mini", "Did you mean 'openai'"),
        ("OpenAI:gpt-5-mini", "write it in small letters: 'openai:gpt-5-mini'"),
        ("openai:", "names no model"),
        ("hf:", "names no model. Expected hf:PATH"),
        ("hf: ", "names no model. Expected hf:PATH"),
        ("hf:" + "x" * 300, "No model could be loaded from"),
        ("scripted:", "names no file. Expected scripted:FILE"),
        ("http://", "names no server. Expected http://HOST:PORT/v1#NAME"),
        ("https:///", "names no server. Expected http://HOST:PORT/v1#NAME"),
        ("hf:org/name", "there is no such directory, and no model of that name in the cache"),
        ("openai:gpt-5-mini", "Set the environment variable OPENAI_API_KEY"),
        ("http://127.0.0.1:8000/v1", "Add its name after '#': http://127.0.0.1:8000/v1#NAME"),
        ("http://127.0.0.1:99999/v1#m", "is not a base URL"),
        ("http://#m", "is not a base URL"),
        ("http://[bad/v1#m", "is not a base URL"),
        ("http://bob:pass[word@host/v1#m", "'http://***@host/v1' is not a base URL"),
        ("https://a b/v1#m", "is not a base URL"),
        ("scripted:nowhere.jsonl", "No script at 'nowhere.jsonl'"),
        ("ftp://host/v1#m", "Unknown backend 'ftp'"),
    ],
)
def test_a_wrong_model_string_says_what_would_be_right(model: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_backend(model)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "connect" not in str(caught.value), "nobody tried to"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clint": "openai"}, "Did you mean 'client'"),
        ({"client": "curl"}, "expected one of auto, openai, aiohttp"),
        ({"base_url": "http://other/v1"}, "holds a URL already"),
        ({"timeout_s": 0}, "timeout_s is 0; expected a number above 0"),
        ({"max_retries": -1}, "retries is -1"),
        ({"rate_limit": {"requests": 3}}, "Unknown key of rate_limit 'requests'"),
        ({"rate_limit": 3}, "expected a mapping with requests_per_minute"),
        ({"budget": {"tokens": 0}}, "Budget.tokens is 0"),
        ({"budget": {"cost": 1.0}}, "has no price"),
        ({"prices": "nowhere.toml"}, "No price table at 'nowhere.toml'"),
        ({"concurrency": 0}, "concurrency is 0"),
    ],
)
def test_a_wrong_option_says_what_would_be_right(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_backend(URL, **options)
    assert message in str(caught.value)


def test_servers_get_the_client_that_suits_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_backend(URL).backend, FastHTTPBackend)
    assert isinstance(make_backend(URL, client="openai").backend, OpenAIBackend)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    backend = make_backend("openai:gpt-5-mini", base_url=None).backend
    assert isinstance(backend, OpenAIBackend)
    assert backend.endpoint.base_url == "https://api.openai.com/v1"
    assert backend.endpoint.api_key == "k"
    assert "'k'" not in repr(backend.endpoint), "a key is never shown"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1/")
    assert make_backend("openai:m").backend.endpoint.url == "http://127.0.0.1:8000/v1/chat/completions"  # type: ignore[attr-defined]
    assert make_backend(URL).backend.endpoint.api_key is None, "OpenAI's key goes to no other server unasked"  # type: ignore[attr-defined]


def test_limits_may_be_objects_or_mappings() -> None:
    backend = make_backend(
        URL,
        rate_limit={"requests_per_minute": 60},
        budget={"calls": 3},
        prices={"models": {"tiny": {"prompt": 1, "completion": 2}}},
    )
    assert backend.budget == Budget(calls=3)
    assert backend.has_price
    assert make_backend(URL, rate_limit=RateLimit(tokens_per_minute=5)).name == URL


def test_scripts_and_options_that_they_do_not_take(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text('{"content": "hi"}')
    assert isinstance(make_backend(f"scripted:{path}", client="auto").backend, ScriptedBackend)
    with pytest.raises(UsageError, match="takes no option 'base_url'"):
        make_backend(f"scripted:{path}", base_url="http://x/v1")
    with pytest.raises(UsageError, match="cache is for models behind a server"):
        make_backend(f"scripted:{path}", cache=tmp_path / "c.db")


PAGE = Path(__file__).parents[3] / "docs" / "backends.md"


@pytest.mark.parametrize("scheme", table.BACKENDS)
def test_the_page_has_a_row_with_variable_and_extra_for_each_backend(scheme: str) -> None:
    entry = table.BACKENDS[scheme]
    [row] = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if f"| `{entry.form}`" in line]
    for needed in (*entry.variables, *([f"`{entry.extra}`"] if entry.extra else [])):
        assert needed in row, row
    assert callable(table._load(scheme)), "its target exists"


def test_the_backend_of_the_plugin_plays_an_environment_of_it() -> None:
    assert "toys_echo" in list_backends()
    agent = make_agent("toys_echo:level", format="text", prefix="press ")
    done = evaluate("toys/Lamp-v0", agent, n=1)
    assert (done.summary.success.mean, done.summary.usage.calls) == (1, 1)
    lost = evaluate("toys/Lamp-v0", make_agent("toys_echo:brightness", max_retries=0), n=1)
    assert lost.summary.errors == {"model": 1}
    with pytest.raises(UsageError, match=r"takes no option 'prefex'\. Its options: prefix"):
        make_agent("toys_echo:level", prefex="press ")


@pytest.mark.parametrize("action_format", [form.name for form in LampEnv.formats])
def test_the_environment_of_the_plugin_takes_its_text_form_and_all_others(action_format: str) -> None:
    done = evaluate("toys/Lamp-v0", ExpertAgent(), n=1, env_kwargs={"action_format": action_format})
    assert done.summary.success.mean == 1


class AcmeBackend(ScriptedBackend):
    def __init__(self, model: str, *, temperature_scale: float = 1.0) -> None:
        super().__init__(["hi"], name=f"acme:{model}")


def test_packages_add_backends_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("acme", f"{__name__}:AcmeBackend", table.ENTRY_POINT_GROUP),
        EntryPoint("gone", "no_such_module:Backend", table.ENTRY_POINT_GROUP),
        EntryPoint("openai", f"{__name__}:AcmeBackend", table.ENTRY_POINT_GROUP),
    ]
    monkeypatch.setattr(table, "entry_points", lambda group: points)
    monkeypatch.setattr(EntryPoint, "load", lambda self: AcmeBackend if self.name == "acme" else __import__("no_such_module"))
    assert "acme" in list_backends()
    backend = make_bare_backend("acme:small", temperature_scale=2.0)
    assert isinstance(backend, Backend)
    assert backend.name == "acme:small"
    with pytest.raises(UsageError, match=r"takes no option 'temprature_scale'.*temperature_scale"):
        make_bare_backend("acme:small", temprature_scale=2.0)
    with pytest.raises(UsageError, match=r"Known: .*acme, anthropic.*scripted"):
        make_bare_backend("acne:small")
    with pytest.raises(UsageError, match=r"'gone' could not be loaded \(ModuleNotFoundError"):
        make_bare_backend("gone:x")


ARGUMENTS = {"http": "127.0.0.1:9/v1#m", "https": "127.0.0.1:9/v1#m", "litellm": "mistral/m"}


@pytest.mark.parametrize("scheme", [scheme for scheme in table.BACKENDS])
def test_an_unknown_option_is_one_error_that_names_those_that_are_meant_for_users(scheme: str, tmp_path: Path) -> None:
    model = f"{scheme}:{'//' if scheme.startswith('http') else ''}{ARGUMENTS.get(scheme, 'm')}"
    url = {"base_url": "http://127.0.0.1:9"} if scheme not in ("http", "https", "hf", "scripted") else {}
    for unknown in ("galaxy", "_secrets", "like_openai"):
        with pytest.raises(ConfigError, match=f"{unknown!r}") as found:
            make_bare_backend(model, **url, **({"api_key": "k" * 8} if url else {}), **{unknown: 1})
        listed = str(found.value).partition("ptions: ")[2].rstrip(".").split(", ")
        assert len(listed) > 3 or scheme == "scripted"
        assert not [name for name in listed if name.startswith("_") or name in ("query", "path", "like_openai", "model")]
        assert set(url) <= set(listed)
    if scheme not in ("openai", "http", "https", "scripted"):
        with pytest.raises(ConfigError, match="'client'"):  # an option of other backends
            make_bare_backend(model, **url, **({"api_key": "k" * 8} if url else {}), client="openai")
