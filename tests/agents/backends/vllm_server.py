"""A real HTTP server on loopback that serves a local model in vLLM's wire format: token ids in and out, reload, tokenize."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from palaestra.agents.backends.checkpoints import load_checkpoint
from palaestra.agents.backends.local import LocalBackend
from palaestra.agents.core import Request, Sampling
from palaestra.types import Message


class _Ids:
    """Stands in for the chat template: a prompt is written as its ids."""

    def __init__(self, template: Any) -> None:
        self.end_ids = template.end_ids
        self.decode = template.decode
        self.opens_thought = False

    def render(self, messages: Any, tools: Any = ()) -> tuple[int, ...]:
        return tuple(map(int, messages[0].content.split()))


@dataclass
class VLLMServer:
    """The server's model and what it saw.

    Attributes:
        base_url: Up to and including /v1.
        path: Model folder that a reload reads.
        text_only: Leave ids and log-probs out, as other servers do.
        shift: Added to every log-prob.
        raw: Report log-probs before the temperature, as vLLM does by default.
        bodies: Completion requests.
        sessions: Their session headers.
        calls: Other paths that were posted to.
        under_way: Completions that are being answered.
        under_way_at_calls: How many there were at each of the calls.
        refuses: Which completions are answered with an error, by body and session.
        keys: Authorisations that came with completions.
    """

    path: Path
    base_url: str = ""
    text_only: bool = False
    shift: float = 0.0
    raw: bool = False
    delay_s: float = 0.0
    other_tokenizer: bool = False
    refuses: Callable[[dict[str, Any], str | None], bool] = lambda body, session: False
    bodies: list[dict[str, Any]] = field(default_factory=list)
    sessions: list[str | None] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    under_way: int = 0
    under_way_at_calls: list[int] = field(default_factory=list)
    served: list[tuple[list[int], list[int]]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.model, self.tokenizer = load_checkpoint(self.path)
        self.backend = LocalBackend(self.model, self.tokenizer)
        self.backend.template = _Ids(self.backend.template)  # type: ignore[assignment]

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "policy", "max_model_len": self.backend.max_context}]})

    async def tokenize(self, request: web.Request) -> web.Response:
        ids = self.tokenizer.encode((await request.json())["prompt"], add_special_tokens=False)
        return web.json_response({"tokens": ids[::-1] if self.other_tokenizer else ids})

    async def reload(self, request: web.Request) -> web.Response:
        self.calls.append(request.path)
        self.under_way_at_calls.append(self.under_way)
        if request.path == "/collective_rpc":
            assert (await request.json())["method"] == "reload_weights"
            self.backend.update_weights(load_checkpoint(self.path)[0])
        return web.json_response({})

    async def completions(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        self.sessions.append(request.headers.get("X-Session-Id"))
        self.keys.add(request.headers.get("Authorization"))
        if self.refuses(body, self.sessions[-1]):
            return web.json_response({"error": {"message": "the engine died"}}, status=500)
        sampling = Sampling(body["temperature"], body["top_p"], body["max_tokens"], tuple(body.get("stop", ())), body["seed"])
        prompt = " ".join(map(str, body["prompt"]))
        self.under_way += 1
        try:
            await asyncio.sleep(self.delay_s)
            found = await self.backend.generate(Request((Message("user", prompt),), sampling=sampling))
        finally:
            self.under_way -= 1
        tokens = found.tokens
        assert tokens is not None
        self.served.append((body["prompt"], list(tokens.completion_ids)))
        choice: dict[str, Any] = {"index": 0, "text": found.message.content, "logprobs": None}
        choice |= {"finish_reason": "length" if tokens.stop == "length" else "stop", "stop_reason": None}
        if not self.text_only:
            values = [value + self.shift for value in tokens.log_probs]
            if self.raw:
                values = [min(0.0, value * 1.5) for value in values]  # any other scale
            choice |= {
                "token_ids": list(tokens.completion_ids),
                "prompt_token_ids": body["prompt"],
                "logprobs": {"token_logprobs": values, "tokens": [], "text_offset": [], "top_logprobs": None},
            }
        return web.json_response({"object": "text_completion", "model": "policy", "choices": [choice]})


@contextmanager
def vllm_server(path: Path) -> Iterator[VLLMServer]:
    """Serve a model folder from a thread of its own."""
    server = VLLMServer(path)
    loop = asyncio.new_event_loop()
    app = web.Application()
    app.add_routes(
        [
            web.get("/v1/models", server.models),
            web.post("/v1/completions", server.completions),
            web.post("/tokenize", server.tokenize),
            web.post("/collective_rpc", server.reload),
            web.post("/reset_prefix_cache", server.reload),
        ]
    )
    runner = web.AppRunner(app)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    server.base_url = f"http://127.0.0.1:{loop.run_until_complete(start())}/v1"
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
