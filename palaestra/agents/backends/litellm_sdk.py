"""Every other provider through `litellm`: `litellm:PROVIDER/NAME`.

litellm takes and gives chat completions and translates them for each provider; what is sent and read is that of `wire.py`. A
provider that answers with a chat completion itself is read as it answered: litellm knows few words for why answers end, and
takes all others for "stop". Its retries, its telemetry, its download of prices and its reading of `.env` files are off, and
its clients are guarded like ours.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from importlib import import_module
from typing import Any, NoReturn

from palaestra.agents.backends.endpoint import Endpoint, has_clear_words
from palaestra.agents.backends.inside import fault_in
from palaestra.agents.backends.per_loop import PerLoop
from palaestra.agents.backends.reasoning_back import Form, ReasoningBack
from palaestra.agents.backends.responses import MAX_REDIRECTS, body_hook, response_hook
from palaestra.agents.backends.sdk import import_sdk, transport_of
from palaestra.agents.backends.strict_tools import check_number
from palaestra.agents.backends.wire import excerpt, request_body
from palaestra.agents.core import Generation, Request
from palaestra.agents.endings import Ending, announces_call, ending_of, reason_text
from palaestra.agents.masking import without_secrets
from palaestra.errors import ContextWindowError, ModelError, UsageError
from palaestra.types import Json, Message


class LiteLLMBackend:
    """A model behind litellm.

    Attributes:
        name: Shown in reports.
        endpoint: Model, key and limits; its `base_url` may be empty for the provider's own.
        takes_media: Sounds and pictures are sent as content parts; whether the model takes them, its server says.
    """

    takes_media = True

    def __init__(self, endpoint: Endpoint) -> None:
        """Nothing is connected yet.

        Raises:
            MissingExtraError: If litellm is not installed.
            UsageError: If litellm knows no such provider, or has no key for it.
        """
        self.name = endpoint.name
        self.endpoint = endpoint
        self._litellm = import_litellm()
        _own_clients(self._litellm)
        self._opened: PerLoop[_Opened] = PerLoop(lambda: _Opened(endpoint), _close)
        self.provider = self._checked_provider()
        self._reasoning = ReasoningBack(endpoint.send_reasoning, endpoint.model, endpoint.base_url, self.provider)
        self._places: PerLoop[asyncio.Semaphore] = PerLoop(lambda: asyncio.Semaphore(endpoint.max_connections), _free)
        self._takes_seed = "seed" in (self._litellm.get_supported_openai_params(model=endpoint.model) or ())

    async def generate(self, request: Request) -> Generation:
        """Ask the provider; once more where it asks for the reasoning of earlier turns, or refuses it.

        Raises:
            ModelError: If it cannot be reached, is too slow, refuses, or answers with no chat completion.
            UsageError: If the request cannot be put to this provider.
        """
        return await self._reasoning.ask(request, lambda form: self._ask(request, form))

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Estimate the tokens of a dialogue, with the reasoning that goes back."""
        return self._reasoning.count_tokens(messages)

    async def _ask(self, request: Request, reasoning: Form) -> Generation:
        """Ask the provider once."""
        endpoint = self.endpoint
        check_number(request.tools, endpoint.tool_limit, self.name)
        if not self._takes_seed:  # one that was asked for by name is refused; none is made up
            request = replace(request, turn=None)
        body = request_body(
            endpoint.model,
            request,
            send_defaults=False,
            send_reasoning=reasoning,
            reasoning_names=self._reasoning.names,
            strict_tools=endpoint.strict_tools,
        )
        owner = _OPENED.set(await self._opened.get())
        bodies: list[bytes] = []
        kept = _BODIES.set(bodies)
        started = time.perf_counter()
        answer: Any = None
        try:
            async with asyncio.timeout(endpoint.timeout_s), await self._places.get():
                answer = await self._litellm.acompletion(
                    **body,
                    api_key=endpoint.api_key,
                    api_base=endpoint.base_url or None,
                    extra_headers=dict(endpoint.headers) or None,
                    timeout=endpoint.timeout_s,
                    num_retries=0,
                    max_retries=0,
                )
        except TimeoutError:
            raise endpoint.timed_out("answer in full", endpoint.timeout_s) from None
        except ModelError:
            raise
        except Exception as error:  # litellm raises what its parts raise
            if _completion_in(self._decoded(bodies)) is None:
                self._fail(error)
        finally:
            _OPENED.reset(owner)
            _BODIES.reset(kept)
        sent = self._decoded(bodies)
        self._reasoning.note(sent)
        generation = self._read(answer, sent, request)
        return replace(generation, usage=replace(generation.usage, model_s=time.perf_counter() - started))

    async def aclose(self) -> None:
        """Close the clients that litellm opened."""
        await self._opened.aclose()
        await self._places.aclose()

    def _decoded(self, bodies: list[bytes]) -> Json:
        """Return the JSON that the provider answered last, or None if it is not JSON."""
        try:
            return self.endpoint.decode(bodies[-1]) if bodies else None
        except ModelError:
            return None

    def _read(self, answer: Any, sent: Json, request: Request) -> Generation:
        """Read what the provider sent, where it is a chat completion, else what litellm makes of it.

        Args:
            answer: What litellm made of it, or None if it could make nothing of it.
            sent: What the provider sent.
            request: What was asked.
        """
        endpoint = self.endpoint
        made = None if answer is None else without_secrets(answer.model_dump(exclude_none=True))
        completion = _completion_in(sent)
        if completion is None:
            return endpoint.read_data(made and _with_reason(made, _own_reason(sent)), request)
        generation = endpoint.read_data(completion, request)
        if made is None:
            return generation
        try:
            theirs = endpoint.read_data(made, request).message
        except ModelError:
            return generation
        # calls in a form of the provider's own, which litellm translates
        translated = len(theirs.tool_calls) != len(generation.message.tool_calls)
        return replace(generation, message=theirs) if translated else generation

    def _checked_provider(self) -> str:
        """Return litellm's name of the provider."""
        litellm, endpoint = self._litellm, self.endpoint
        try:
            _, provider, *_ = litellm.get_llm_provider(endpoint.model, api_base=endpoint.base_url or None)
        except litellm.exceptions.BadRequestError:
            raise UsageError(
                f"litellm knows no provider of {endpoint.model!r}. Expected litellm:PROVIDER/NAME, as in "
                f"litellm:mistral/mistral-large-latest; its page docs.litellm.ai/docs/providers lists them."
            ) from None
        missing = litellm.validate_environment(endpoint.model).get("missing_keys") or []
        if missing and not endpoint.api_key:
            raise UsageError(
                f"No API key for {self.name!r}. Set the environment variable {' and '.join(missing)}, or give api_key=."
            )
        return str(provider)

    def _fail(self, error: Exception) -> NoReturn:
        """Raise what an exception of litellm means."""
        kinds = self._litellm.exceptions
        cause: BaseException | None = error
        while cause is not None:  # of the guards, inside litellm's own
            if isinstance(cause, ModelError):
                raise cause from None
            if (slow := _timeout(cause, self.endpoint)) is not None:
                raise slow from None
            cause = cause.__cause__ or cause.__context__
        text = f"litellm ({self.provider}): {excerpt(str(error))}"
        if isinstance(error, kinds.ContextWindowExceededError):
            raise ContextWindowError(text, status=error.status_code) from None
        if isinstance(error, kinds.Timeout):
            raise self.endpoint.timed_out("answer", self.endpoint.timeout_s) from None
        if isinstance(error, kinds.UnsupportedParamsError):
            raise UsageError(
                f"{text}. If the model takes them all the same, give extra={{'allowed_openai_params': [...]}}; else leave "
                f"them out, and play without native tools, e.g. with format='hermes'."
            ) from None
        status = getattr(error, "status_code", None)
        said = str(error).encode("utf-8", "replace")
        if isinstance(error, kinds.APIConnectionError) or not isinstance(status, int):
            if has_clear_words(said):  # of an error inside of a good answer, of which litellm keeps the text
                self.endpoint.fail(400, {}, said)
            raise ModelError(f"{text}. Is the server running?", retryable=True) from None
        response = getattr(error, "litellm_response_headers", None) or getattr(getattr(error, "response", None), "headers", {})
        self.endpoint.fail(status, response, said)


def import_litellm() -> Any:
    """Import litellm, which would otherwise ask the network for prices and read `.env` files when it is imported.

    Raises:
        MissingExtraError: If it is not installed.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    litellm: Any = import_sdk("litellm", "litellm")
    litellm.suppress_debug_info = True  # it prints advice for its own developers
    litellm.telemetry = False
    return litellm


class _Opened:
    """The HTTP clients that litellm opened for one backend on one event loop."""

    _numbers = itertools.count()

    def __init__(self, endpoint: Endpoint) -> None:
        """Nothing is opened yet."""
        self.number = next(self._numbers)
        self.endpoint = endpoint
        self.clients: list[Any] = []

    def add(self, client: Any) -> None:
        """Keep a client, which from now on follows no redirect to another server and reads no endless body."""
        limit, too_large = self.endpoint.max_response_bytes, self.endpoint.too_large
        own = [response_hook(self.endpoint.fail), body_hook(transport_of(type(client)), limit, too_large, _keep)]
        hooks = client.event_hooks
        client.event_hooks = {
            "request": [*hooks["request"], self._prepare],
            "response": [*hooks["response"], *own],
        }
        client.max_redirects = MAX_REDIRECTS
        self.clients.append(client)

    async def _prepare(self, request: Any) -> None:
        """Give a request our limits of time and the query of the base URL, which litellm would drop."""
        endpoint = self.endpoint
        silence_s = endpoint.read_timeout_s or endpoint.timeout_s
        request.extensions["timeout"] = {
            "connect": endpoint.connect_timeout_s,
            "read": silence_s,
            "write": silence_s,
            "pool": endpoint.timeout_s,
        }
        if self.endpoint.query:
            request.url = request.url.copy_merge_params(self.endpoint.query_values)

    async def close(self) -> None:
        """Close the clients."""
        for client in self.clients:
            await client.aclose()
        self.clients.clear()


_OPENED: ContextVar[_Opened | None] = ContextVar("_OPENED", default=None)
"""Whose request is being made."""
_BODIES: ContextVar[list[bytes] | None] = ContextVar("_BODIES", default=None)
"""What was answered to it."""


def _keep(body: bytes) -> None:
    """Keep the body of an answer next to what litellm makes of it."""
    bodies = _BODIES.get()
    if bodies is not None:
        bodies.append(body)


def _timeout(error: BaseException, endpoint: Endpoint) -> ModelError | None:
    """Return the error for a limit of time that the transport kept, or None for other exceptions."""
    names = {base.__name__ for base in type(error).__mro__ if base.__module__.startswith("httpx")}
    if "ConnectTimeout" in names:
        return endpoint.timed_out("accept a connection", endpoint.connect_timeout_s)
    if "TimeoutException" in names:
        return endpoint.timed_out("send anything", endpoint.read_timeout_s or endpoint.timeout_s)
    return None


def _completion_in(sent: Json) -> Mapping[str, Json] | None:
    """Return an answer if it is a chat completion, or an error in the place of one; else None."""
    if not isinstance(sent, Mapping):
        return None
    choices = sent.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if isinstance(first, Mapping):
        return sent if isinstance(first.get("message"), Mapping) or first.get("error") else None
    return sent if choices == [] or fault_in(sent) is not None else None


def _own_reason(sent: Json) -> str:
    """Return why an answer of another API ended, in the provider's own word; empty where it does not say."""
    candidates = sent.get("candidates") if isinstance(sent, Mapping) else None
    first = candidates[0] if isinstance(candidates, list) and candidates else sent
    if not isinstance(first, Mapping):
        return ""
    names = ("finishReason", "stop_reason", "stopReason", "finish_reason", "done_reason")
    return next((reason for name in names if (reason := reason_text(first.get(name)))), "")


def _with_reason(made: dict[str, Json], reason: str) -> dict[str, Json]:
    """Return a chat completion of litellm's with the provider's own reason, where that says that it is not whole."""
    choices = made.get("choices")
    is_plain = ending_of(reason) is Ending.WHOLE and not announces_call(reason)
    if is_plain or not isinstance(choices, list) or not choices:
        return made
    return {**made, "choices": [{**choices[0], "finish_reason": reason}, *choices[1:]]}


def _own_clients(litellm: Any) -> None:
    """Have litellm, which keeps its HTTP clients in one cache of the process, keep those of each backend apart."""
    client_cache: Any = import_module("litellm.caching.llm_caching_handler").LLMClientCache

    class ClientsOfBackends(client_cache):  # type: ignore[misc]
        """Keeps clients by backend and event loop."""

        keeps_apart = True

        def update_cache_key_with_event_loop(self, key: str) -> str:
            opened = _OPENED.get()
            return f"{key}-palaestra-{opened.number}" if opened else str(super().update_cache_key_with_event_loop(key))

        def set_cache(self, key: str, value: Any, **kwargs: Any) -> Any:
            opened = _OPENED.get()
            client = getattr(value, "client", None) or getattr(value, "_client", None)
            if opened is not None and hasattr(client, "event_hooks") and hasattr(client, "aclose"):
                opened.add(client)
            return super().set_cache(key, value, **kwargs)

    if not getattr(litellm.in_memory_llm_clients_cache, "keeps_apart", False):
        litellm.in_memory_llm_clients_cache = ClientsOfBackends()


async def _free(places: asyncio.Semaphore) -> None:
    """Places hold nothing."""


async def _close(opened: _Opened) -> None:
    """Close the clients of an event loop."""
    await opened.close()


__all__ = ["LiteLLMBackend", "import_litellm"]
