"""Every option that a backend of a server takes has an effect there, or is refused with the reason."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cache
from typing import Any

import pytest

from palaestra.agents.backends.clients import make_endpoint
from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.registry import make_bare_backend
from palaestra.agents.core import Request, Sampling
from palaestra.errors import ConfigError, PalaestraError
from palaestra.types import Message, ToolCall
from tests.agents.backends.provider_answers import MODELS, Answer
from tests.agents.backends.provider_server import Asked, provider_server
from tests.agents.backends.test_wire import TOOLS

DIALOGUE = (
    Message("user", "go"),
    Message("assistant", "", (ToolCall("look", {}, "c1"),), reasoning="Hm."),
    Message("tool", "a cup", tool_call_id="c1", name="look"),
)
ASK = Request(DIALOGUE, tools=TOOLS, sampling=Sampling(max_tokens=9))
INTERNAL = {"name", "model", "base_url", "query", "path", "like_openai"}
OPTIONS = sorted(f.name for f in fields(Endpoint) if f.init and f.name not in INTERNAL)
CHANGED: dict[str, Any] = {
    "api_key": "another-key-1",
    "headers": {"X-Team": "blue"},
    "timeout_s": 0.3,
    "read_timeout_s": 0.3,
    "connect_timeout_s": 0.3,
    "max_connections": 1,
    "max_response_bytes": 100,
    "max_tokens_field": "max_completion_tokens",
    "send_reasoning": True,
    "return_tokens": True,
    "strict_tools": True,
    "max_tools": 0,
}
REFUSED = {
    "anthropic": {"max_tokens_field", "send_reasoning", "return_tokens"},
    "google": {"max_tokens_field", "send_reasoning", "return_tokens"},
    "responses": {"max_tokens_field", "send_reasoning", "return_tokens"},
    "litellm": {"max_tokens_field", "return_tokens"},
    "mistral": {"max_tokens_field", "return_tokens"},
}


def make(kind: str, url: str, **options: Any) -> Any:
    _, model, fixed = MODELS[kind]
    given = {key: value.format(url=url) for key, value in fixed.items()}
    return make_bare_backend(model.format(url=url), **{**given, **options})


def seen(kind: str, options: dict[str, Any], pause_s: float = 0.0) -> Any:
    """Return what the server is sent with some options, and what comes of it."""
    answer = Answer("hello").by(MODELS[kind][0])

    def reply(asked: Asked) -> Any:
        time.sleep(pause_s)
        return answer

    async def go(url: str) -> str:
        backend = make(kind, url, **options)
        try:
            return str((await backend.generate(ASK)).message.content)
        except PalaestraError as error:
            return re.sub(r":\d{4,5}", "", str(error))
        finally:
            await backend.aclose()

    with provider_server(reply) as server:
        outcome = asyncio.run(go(server.url))
        told = ("authorization", "api-key", "x-api-key", "x-goog-api-key", "x-team")
        return outcome, [(a.path, {k: a.headers.get(k) for k in told}, a.body) for a in server.asked]


@cache
def plainly(kind: str) -> Any:
    return seen(kind, {})


def most_at_once(kind: str, **options: Any) -> int:
    """Return how many of some requests a server had to answer at the same time."""
    answer = Answer("hello").by(MODELS[kind][0])
    lock, now, most = threading.Lock(), 0, 0

    def reply(asked: Asked) -> Any:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.15)
        with lock:
            now -= 1
        return answer

    async def go(url: str) -> None:
        backend = make(kind, url, **options)
        await asyncio.gather(*(backend.generate(ASK) for _ in range(3)))
        await backend.aclose()

    with provider_server(reply) as server:
        asyncio.run(go(server.url))
    return most


@contextmanager
def deaf() -> Iterator[str]:
    """Listen on a port that accepts no connection: its queue is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = []
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
            waiting.append(one)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        for one in waiting:
            one.close()


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_has_an_effect_or_is_refused(kind: str, option: str) -> None:
    changed = {option: CHANGED[option]}
    if option in REFUSED.get(kind, ()):
        with pytest.raises(ConfigError, match=f"The option {option} would have no effect on"):
            make(kind, "http://127.0.0.1:9", **changed)
    elif option == "max_connections":
        assert most_at_once(kind, max_connections=3) > most_at_once(kind, **changed) == 1
    elif option == "connect_timeout_s":
        with deaf() as url:
            backend = make(kind, url, **changed, timeout_s=20.0)
            with pytest.raises(PalaestraError, match=r"did not accept a connection within 0\.3 s"):
                asyncio.run(backend.generate(ASK))
    elif option in ("timeout_s", "read_timeout_s"):
        outcome, _ = seen(kind, changed, pause_s=0.6)
        assert "within 0.3 s" in outcome
    else:
        assert plainly(kind)[0] == "hello"
        if (kind, option) == ("azure", "max_tokens_field"):
            changed = {option: "max_tokens"}  # its own is the other one
        assert json.dumps(seen(kind, changed)) != json.dumps(plainly(kind))


def test_every_option_is_tried() -> None:
    assert set(CHANGED) == set(OPTIONS)


@pytest.mark.parametrize("option", ["send_reasoning", "return_tokens", "strict_tools", "max_tools", "max_tokens_field"])
def test_the_sampler_of_tokens_refuses_options_of_chat(option: str) -> None:
    pytest.importorskip("torch")
    from palaestra.agents.backends.vllm import VLLMBackend

    with pytest.raises(ConfigError, match=f"The option {option} would have no effect on 'vllm'"):
        VLLMBackend("http://127.0.0.1:9/v1", None, model="m", **{option: CHANGED[option]})
    with pytest.raises(ConfigError, match="galaxy"):
        VLLMBackend("http://127.0.0.1:9/v1", None, model="m", galaxy=1)


def test_a_refused_option_is_not_listed_among_those_there_are() -> None:
    with pytest.raises(ConfigError) as found:
        make_endpoint({"galaxy": 1}, (), {"max_tools": "why"}, name="n", model="m", base_url="http://h")
    assert "max_tools" not in str(found.value)
    assert replace(make_endpoint({"max_tools": 3}, name="n", model="m", base_url="http://h")).max_tools == 3
