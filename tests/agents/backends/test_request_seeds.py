"""Seeds of requests: every provider whose API has the field is sent one, which follows from episode and turn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.backends.registry import make_bare_backend
from palaestra.agents.core import Request, Sampling, session_seed
from palaestra.errors import UsageError
from palaestra.types import Message
from tests.agents.backends import test_anthropic, test_google, test_openai_responses
from tests.agents.backends.fault_server import chat_completion
from tests.agents.backends.provider_server import Asked, provider_server

KEY = "test-key-000000"
SEEDED = {  # model string: path of the base URL, and where the seed stands
    "openai:m": ("/v1", ("seed",)),
    "azure:m": ("", ("seed",)),
    "litellm:openai/m": ("/v1", ("seed",)),
    "litellm:mistral/m": ("/v1", ("random_seed",)),
    "google:m": ("", ("generationConfig", "seed")),
}
UNSEEDED = {"anthropic:m": "", "openai-responses:m": "/v1", "azure-responses:m": "", "litellm:anthropic/m": ""}


def answer(asked: Asked) -> Any:
    """Answer in the words of the API that was asked."""
    if "generateContent" in asked.path:
        return test_google.answer([{"text": "ok"}])
    if "messages" in asked.path:
        return test_anthropic.answer([{"type": "text", "text": "ok"}])
    if "responses" in asked.path:
        part = {"type": "output_text", "text": "ok", "annotations": []}
        return test_openai_responses.answer([{"type": "message", "id": "m", "role": "assistant", "content": [part]}])
    return chat_completion("ok")


async def bodies(model: str, path: str, *requests: Request) -> list[Any]:
    """Return the requests that the server of a model receives."""
    with provider_server(answer) as server:
        backend = make_bare_backend(model, base_url=server.url + path, api_key=KEY)
        try:
            for request in requests:
                assert (await backend.generate(request)).message.content == "ok"
        finally:
            await backend.aclose()
        return [asked.body for asked in server.asked]


def asked(turn: int | None, session: str = "e#0", seed: int | None = None) -> Request:
    return Request((Message("user", "hello"),), session=session, turn=turn, sampling=Sampling(seed=seed))


def found(body: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        body = body.get(key, {}) if isinstance(body, dict) else None
    return body or None


@pytest.mark.parametrize("model", SEEDED)
async def test_who_has_the_field_is_sent_the_seed_of_the_turn(model: str) -> None:
    path, keys = SEEDED[model]
    sent = await bodies(model, path, asked(0), asked(1), asked(None), asked(0, ""), asked(1, seed=7))
    seeds = [found(body, keys) for body in sent]
    assert seeds == [session_seed("e#0", 0), session_seed("e#0", 1), None, None, 7]


@pytest.mark.parametrize("model", UNSEEDED)
async def test_who_has_none_is_sent_none(model: str) -> None:
    [body] = await bodies(model, UNSEEDED[model], asked(0))
    assert "seed" not in str(body)
    if model.startswith("litellm"):
        with pytest.raises(UsageError, match="seed"):
            await bodies(model, UNSEEDED[model], asked(0, seed=7))


@given(session=st.text(min_size=1), turn=st.integers(0, 10**6))
def test_a_seed_is_31_bits_of_session_and_turn_alone(session: str, turn: int) -> None:
    request = asked(turn, session)
    assert request.seed == asked(turn, session).seed == session_seed(session, turn)
    assert 0 <= request.seed < 2**31  # type: ignore[operator]
    assert request.seed != asked(turn + 1, session).seed
