"""Both clients against a server that is not ours: `transformers serve` with an untrained tiny model."""

from __future__ import annotations

import asyncio

import pytest

from palaestra.agents.backends.registry import make_backend
from palaestra.agents.backends.reliable import Reliable
from palaestra.agents.core import Request, Sampling
from palaestra.errors import ModelError
from palaestra.types import Message, ToolCall
from tests.servers import ModelServer, transformers_server  # noqa: F401  (a fixture)

TOOLS = (
    {
        "type": "function",
        "function": {
            "name": "look",
            "description": "Looks at something.",
            "parameters": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
        },
    },
)
DIALOGUE = (
    Message("system", "You look at things."),
    Message("user", "Look at the door."),
    Message("assistant", "", (ToolCall("look", {"at": "door"}, "c1"), ToolCall("look", '{"at": ', "c2"))),
    Message("tool", "It is open.", tool_call_id="c1", name="look"),
    Message("tool", "The arguments are no JSON object.", tool_call_id="c2", name="look"),
)


@pytest.fixture(params=["aiohttp", "openai"])
def backend(request: pytest.FixtureRequest, transformers_server: ModelServer) -> Reliable:  # noqa: F811
    return make_backend(transformers_server.model_string, client=request.param, max_retries=0)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_tokens=6),
        Sampling(temperature=0, max_tokens=6),
        Sampling(temperature=0.7, top_p=0.9, max_tokens=6, stop=("\n\n",), seed=7),
    ],
)
@pytest.mark.parametrize("tools", [(), TOOLS])
async def test_a_real_server_answers(backend: Reliable, sampling: Sampling, tools: tuple[dict[str, object], ...]) -> None:
    generation = await backend.generate(Request(DIALOGUE, tools=tools, sampling=sampling, session="s"))
    assert generation.message.role == "assistant"
    assert generation.finish_reason in ("stop", "length", "tool_calls")
    assert generation.usage.prompt_tokens > 20
    assert 1 <= generation.usage.completion_tokens <= 6
    await backend.aclose()


async def test_requests_in_flight_together_are_all_answered(backend: Reliable) -> None:
    requests = [Request((Message("user", f"Look at {n}."),), TOOLS, Sampling(max_tokens=3)) for n in range(8)]
    assert len(await asyncio.gather(*[backend.generate(request) for request in requests])) == 8
    assert backend.usage.calls == 8
    await backend.aclose()


@pytest.mark.parametrize("client", ["aiohttp", "openai"])
async def test_the_wrong_model_name_is_one_final_error(transformers_server: ModelServer, client: str) -> None:  # noqa: F811
    backend = make_backend(f"{transformers_server.base_url}#tinny", client=client)
    with pytest.raises(ModelError, match=r"answered 400: .*pinned to 'tiny'.*'tinny'") as caught:
        await backend.generate(Request((Message("user", "hi"),)))
    assert not caught.value.retryable
    await backend.aclose()
