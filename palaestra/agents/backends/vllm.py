"""Sampling for training from a vLLM server: token ids go there, token ids and log-probs come back.

Prompts are posted to `/v1/completions` as ids that extend the very ids sampled before (`token_turns.py`); the server tells
which ids it sampled, and how likely each was. Every request has a seed of its own, since replicas would share one, and names
its episode in a header, so that a router sends the turns of an episode to the replica that has its prefix cached.

    backend = VLLMBackend("http://127.0.0.1:8000/v1", policy.tokenizer, model="policy")
    await backend.probe(policy.model)                     # same tokens, same log-probs? else a UsageError that says why not
    ... play, update ...
    await backend.refresh(folder, version=policy.version)  # drain, let the server reload, go on

vLLM takes log-probs before the temperature unless it is started with `--logprobs-mode processed_logprobs`; the probe finds
out. A server that returns text only is refused: text serves evaluation and imitation, not policy gradients.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from palaestra.agents.backends.chat_template import ChatTemplate, Templated
from palaestra.agents.backends.checkpoints import num_ids
from palaestra.agents.backends.clients import make_endpoint
from palaestra.agents.backends.endpoint import check_url
from palaestra.agents.backends.fast_http import FastHTTPBackend
from palaestra.agents.backends.inside import fault_in, paid
from palaestra.agents.backends.token_turns import Stop, TokenTurn, extended_prompt, finished_turn
from palaestra.agents.backends.token_usage import usage_in
from palaestra.agents.backends.wire import excerpt
from palaestra.agents.core import Generation, Request, Tokens, session_seed
from palaestra.agents.endings import check_reason, is_cut, reason_text
from palaestra.errors import ContextWindowError, ModelError, UsageError
from palaestra.types import Json, Message, Usage

RELOAD: tuple[tuple[str, Mapping[str, Json]], ...] = (
    ("/collective_rpc", {"method": "reload_weights"}),
    ("/reset_prefix_cache", {}),
)
"""What a vLLM server in development mode is asked to do when the files it was started from have changed."""

NO_TOKENS = (
    "The server reports no token ids and log-probs. Text alone serves for evaluation and imitation, not for policy gradients: "
    "the ids would have to be guessed from the text. Use vLLM 0.10.2 or newer (return_token_ids), or a local model (hf:PATH)."
)
_PROBE_TEXTS = ("Hello.", "Wie weit ist es von hier?  12 * 7 = ", 'Naïve “quotes”, 東京, 🙂, {"a": [1, 2.5e-3]}')
_SESSION_LIMIT = 65536
_PROMPTED = "prompts are sent as token ids, which the chat template makes"
_NO_CHAT = {
    "max_tokens_field": "completions have one name for the limit on new tokens",
    "send_reasoning": f"{_PROMPTED}; it shows what was thought where append_only=True",
    "return_tokens": "token ids are always asked for; leave the option out",
    "strict_tools": _PROMPTED,
    "max_tools": _PROMPTED,
}
"""Options of chat completions that would have no effect here."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a probe found.

    Attributes:
        max_context: Longest sequence of the server, tokens.
        greedy_gap: Largest difference of log-probs, greedy, nats.
        sampled_gap: Largest difference at the sampling temperature, nats.
        tokens: Tokens compared.
    """

    max_context: int
    greedy_gap: float
    sampled_gap: float
    tokens: int


class VLLMBackend(Templated):
    """Samples tokens from a server that speaks vLLM's completions.

    Args:
        base_url: Up to and including /v1.
        tokenizer: The trainer's tokenizer, with a chat template.
        model: The server's name of the model.
        version: Version of the weights that the server has.
        max_tokens: Most tokens of an answer where the request does not say.
        seed: Mixed into the seeds of requests that bring none.
        session_header: Header that names the episode, for routers that keep its turns together.
        reload: Requests that make the server read its weights again: paths from the server's root, and JSON in which the texts
            "{path}" and "{version}" are filled in.
        append_only: Append to the dialogue even where the chat template would rewrite earlier turns.
        name: Shown in reports.
        **limits: Further fields of `Endpoint`: `api_key`, `timeout_s`, `max_connections`, ...

    Raises:
        UsageError: If the address is none, or the tokenizer has no chat template.
        ConfigError: For an option that is not known, or that would have no effect.
        MissingExtraError: If aiohttp is not installed.
    """

    def __init__(
        self,
        base_url: str,
        tokenizer: Any,
        *,
        model: str,
        version: int = 0,
        max_tokens: int = 512,
        seed: int = 0,
        session_header: str = "X-Session-Id",
        reload: Sequence[tuple[str, Mapping[str, Json]]] = RELOAD,
        append_only: bool = False,
        name: str = "vllm",
        **limits: Any,
    ) -> None:
        """Nothing is connected yet."""
        endpoint = make_endpoint(limits, (), _NO_CHAT, name=name, model=model, base_url=check_url(base_url))
        self.name = name
        self.version = version
        self.template = ChatTemplate(tokenizer, append_only=append_only)
        self._vocabulary = num_ids(tokenizer)
        self.max_context: int | None = None
        self._endpoint = endpoint
        self._http = FastHTTPBackend(endpoint)
        self._root = endpoint.base_url.removesuffix("/v1")
        self._max_tokens = max_tokens
        self._seed = seed
        self._header = session_header
        self._reload = tuple(reload)
        self._turns: OrderedDict[str, tuple[TokenTurn, int]] = OrderedDict()
        self._anonymous = count()
        self._in_flight = 0
        self._refreshing = False

    def shaped_by(self) -> dict[str, Json]:
        """Return all that answers follow from in addition to weights and requests."""
        return {"max_tokens": self._max_tokens, "append_only": self.template.append_only, "seed": self._seed}

    async def generate(self, request: Request) -> Generation:
        """Answer one request; see `palaestra.agents.core.Backend`.

        Raises:
            ContextWindowError: If the prompt leaves no room in the context.
            ModelError: If the server fails, or reports no tokens.
        """
        started = time.perf_counter()
        if request.tools:
            self.template.check_tools()
        turn, number = self._turns.get(request.session, (None, 0))
        prompt = None if turn is None else extended_prompt(self.template, turn, request)
        if prompt is None:
            prompt = self.template.render(request.messages, request.tools)
        seed = request.sampling.seed
        if seed is None:
            counted = number if request.turn is None else request.turn
            seed = session_seed(self._seed, request.session or f"\0{next(self._anonymous)}", counted)
        while self._refreshing:
            await asyncio.sleep(0.005)
        self._in_flight += 1
        try:
            version = self.version
            sampling = request.sampling
            ids, log_probs, stop = await self._complete(
                prompt,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_tokens or self._max_tokens,
                seed=seed,
                stop=sampling.stop,
                session=request.session,
                extra=sampling.extra,
            )
        finally:
            self._in_flight -= 1
        finished = finished_turn(self.template, request, prompt, ids, stop)
        if request.session:
            self._turns[request.session] = (finished, number + 1)
            self._turns.move_to_end(request.session)
            if len(self._turns) > _SESSION_LIMIT:
                self._turns.popitem(last=False)
        reason = "length" if stop == "length" else "tool_calls" if finished.answer.tool_calls else "stop"
        usage = Usage(calls=1, prompt_tokens=len(prompt), completion_tokens=len(ids), model_s=time.perf_counter() - started)
        return Generation(finished.answer, reason, usage, Tokens(prompt, ids, log_probs, version, stop))

    async def probe(
        self, model: Any, *, temperature: float = 1.0, tolerance: float | None = None, max_tokens: int = 16
    ) -> ProbeResult:
        """Compare the server with the trainer: context, tokenizer, and the log-probs of greedy and of sampled tokens.

        Args:
            model: The trainer's causal LM.
            temperature: Of the rollouts to come.
            tolerance: Largest difference of log-probs, nats; .05 in float32, .2 in bfloat16 by default.
            max_tokens: Tokens of each probe.

        Raises:
            UsageError: If anything differs, with what and by how much; if the server returns text only.
            ModelError: If the server cannot be asked.
        """
        if tolerance is None:
            tolerance = 0.05 if str(model.dtype) == "torch.float32" else 0.2
        context = await self._context()
        await self._compare_tokenizers()
        gaps: dict[str, float] = {"greedy": 0.0, "sampled": 0.0}
        tokens = 0
        for number, text in enumerate(_PROBE_TEXTS):
            prompt = self.template.render((Message("user", text),))
            for kind, heat in (("greedy", 0.0), ("sampled", temperature)):
                try:
                    ids, log_probs, _ = await self._complete(
                        prompt, temperature=heat, top_p=1.0, max_tokens=max_tokens, seed=number, session=f"probe-{number}"
                    )
                except ModelError as error:
                    if str(error) == NO_TOKENS:
                        raise UsageError(NO_TOKENS) from None
                    raise
                own, best = _scores(model, self._vocabulary, prompt, ids, heat or 1.0)
                gap = max(abs(a - b) for a, b in zip(own, log_probs, strict=True))
                behind = max((b - a for a, b in zip(own, best, strict=True)), default=0.0) if kind == "greedy" else 0.0
                if not max(gap, behind) <= tolerance:
                    raise UsageError(_difference(self.name, kind, gap, behind, heat, tolerance))
                gaps[kind] = max(gaps[kind], gap)
                tokens += len(ids)
        return ProbeResult(context, gaps["greedy"], gaps["sampled"], tokens)

    async def ask_context(self) -> int:
        """Return the longest sequence of the server in tokens; the first call finds out whether it is there.

        Raises:
            UsageError: If the server does not serve the model, or does not tell its context length.
            ModelError: If the server cannot be asked.
        """
        return await self._context()

    async def refresh(self, path: str | Path, *, version: int) -> None:
        """Let the server take over weights from files; turns in flight end first, so that each has one version.

        Args:
            path: Model folder that the trainer wrote; the one the server was started from, unless `reload` names it.
            version: Their version.

        Raises:
            ModelError: If the server refuses; it continues with what it has.
        """
        self._refreshing = True
        try:
            while self._in_flight:
                await asyncio.sleep(0.005)
            for place, body in self._reload:
                await self._http.post(
                    self._endpoint.address(self._root + place), _filled(body, path=str(path), version=str(version))
                )
            self.version = version
        finally:
            self._refreshing = False

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _complete(
        self,
        prompt: tuple[int, ...],
        *,
        temperature: float,
        top_p: float,
        max_tokens: int,
        seed: int,
        stop: Sequence[str] = (),
        session: str = "",
        extra: Mapping[str, Json] | None = None,
    ) -> tuple[tuple[int, ...], tuple[float, ...], Stop]:
        """Post ids; return sampled ids, their log-probs, and why sampling stopped."""
        room = await self._context() - len(prompt)
        if room < 1:
            raise ContextWindowError(
                f"The prompt has {len(prompt)} tokens and the context of {self.name!r} holds {self.max_context}, answer "
                "included. Shorten the dialogue (a context policy of the agent), or start the server with a longer one."
            )
        body: dict[str, Json] = {
            "model": self._endpoint.model,
            "prompt": list(prompt),
            "max_tokens": min(max_tokens, room),
            "temperature": temperature,
            "top_p": top_p,
            "top_k": 0,
            "seed": seed,
            "stop_token_ids": sorted(self.template.end_ids),
            "logprobs": 0,
            "return_token_ids": True,
            **({"stop": list(stop)} if stop else {}),
            **(extra or {}),
        }
        headers = {self._header: session} if session else None
        answer = _json(await self._http.post(self._endpoint.address(f"{self._endpoint.base_url}/completions"), body, headers))
        usage = usage_in(answer)
        self._endpoint.check_inside(answer, usage=usage)
        with paid(usage):
            ids, log_probs, stop = _read(answer, prompt)
        if max(ids, default=0) >= self._vocabulary:  # an embedding has padding, and the server may sample it
            raise ModelError(
                f"The server sampled id {max(ids)}, and the tokenizer has {self._vocabulary} ids: it stands for no text.",
                retryable=True,
            )
        return ids, log_probs, stop

    async def _context(self) -> int:
        """Return the longest sequence of the server, asked for once."""
        if self.max_context is None:
            listed = _json(await self._http.post(self._endpoint.address(f"{self._endpoint.base_url}/models"), None)).get(
                "data"
            )
            served = {str(entry.get("id")): entry for entry in listed or () if isinstance(entry, Mapping)}
            if self._endpoint.model not in served:
                raise UsageError(
                    f"{self._endpoint.base_url} serves {', '.join(sorted(served)) or 'nothing'}, not "
                    f"{self._endpoint.model!r}; give one of these as model."
                )
            length = served[self._endpoint.model].get("max_model_len")
            if not isinstance(length, int) or length < 2:
                raise UsageError(
                    f"{self._endpoint.base_url} does not tell its context length (max_model_len): {excerpt(length)}."
                )
            self.max_context = length
        return self.max_context

    async def _compare_tokenizers(self) -> None:
        """Encode the same texts on both sides."""
        own, theirs = hashlib.blake2b(digest_size=8), hashlib.blake2b(digest_size=8)
        for text in (*_PROBE_TEXTS, str(self.template.tokenizer.chat_template)):
            body = {"model": self._endpoint.model, "prompt": text, "add_special_tokens": False}
            found = _json(await self._http.post(self._endpoint.address(f"{self._root}/tokenize"), body)).get("tokens")
            theirs.update(json.dumps(found).encode())
            own.update(json.dumps(list(self.template.tokenizer.encode(text, add_special_tokens=False))).encode())
        if own.digest() != theirs.digest():
            raise UsageError(
                f"The server's tokenizer (digest {theirs.hexdigest()}) is not the trainer's ({own.hexdigest()}): ids would "
                "mean different texts. Serve the folder that the trainer loaded, tokenizer included."
            )


def _read(data: Mapping[str, Json], prompt: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...], Stop]:
    """Read one completion; nothing in it is trusted."""
    if (fault := fault_in(data)) is not None:
        raise ModelError(f"The server answered with an error: {excerpt(fault)}", retryable=True)
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, Mapping):
        raise ModelError(f"The server's answer holds no choices: {excerpt(dict(data))}", retryable=True)
    reason = reason_text(choice.get("finish_reason"))
    check_reason(reason, "The server")
    ids, log_probs = choice.get("token_ids"), choice.get("logprobs")
    found = log_probs.get("token_logprobs") if isinstance(log_probs, Mapping) else None
    if not isinstance(ids, list) or not isinstance(found, list):
        raise ModelError(NO_TOKENS)
    if not all(isinstance(token, int) and token >= 0 for token in ids) or len(found) != len(ids):
        raise ModelError(f"The server sent {excerpt(ids)} with {len(found)} log-probs; expected token ids and one each.")
    if not all(isinstance(value, (int, float)) and -1e9 < value <= 1e-3 for value in found):
        raise ModelError(f"The server sent log-probs that are none: {excerpt(found)}")
    echoed = choice.get("prompt_token_ids") or data.get("prompt_token_ids")
    if echoed is not None and echoed != list(prompt):
        raise ModelError(
            f"The server was sent a prompt of {len(prompt)} ids and answered one of {len(echoed)}: it changes prompts."
        )
    stop: Stop = "stop_string" if isinstance(choice.get("stop_reason"), str) else "eos"
    stop = "length" if is_cut(reason) else stop
    return tuple(ids), tuple(float(value) for value in found), stop


def _scores(
    model: Any, size: int, prompt: Sequence[int], ids: Sequence[int], temperature: float
) -> tuple[list[float], list[float]]:
    """Return the trainer's log-prob of each sampled token, and of the likeliest one in its place, among `size` ids."""
    import torch

    with torch.no_grad():
        row = torch.tensor([[*prompt, *ids]], device=model.device)
        logits = model(input_ids=row).logits[0, len(prompt) - 1 : -1, :size].float() / temperature
        table = torch.log_softmax(logits, dim=-1)
        own = table.gather(1, torch.tensor(list(ids), device=table.device)[:, None])[:, 0]
    return own.tolist(), table.max(dim=-1).values.tolist()


def _difference(name: str, kind: str, gap: float, behind: float, temperature: float, tolerance: float) -> str:
    """Say what a probe found, and what it may mean."""
    found = f"{name!r} and the trainer do not agree on {kind} tokens: log-probs differ by {gap:.3g} nats"
    if behind > tolerance:
        found += f", and the server's greedy token is {behind:.3g} nats behind the trainer's"
    if kind == "sampled" and temperature != 1.0:
        return (
            f"{found} at temperature {temperature:g} (tolerance {tolerance:g}), though greedy ones agree. Start vLLM with "
            "--logprobs-mode processed_logprobs."
        )
    return f"{found} (tolerance {tolerance:g}). Serve the trainer's present weights, in its number format."


def _filled(value: Any, **texts: str) -> Any:
    """Fill "{path}" and "{version}" into the texts of a JSON value."""
    if isinstance(value, Mapping):
        return {key: _filled(item, **texts) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(item, **texts) for item in value]
    if isinstance(value, str):
        for key, text in texts.items():
            value = value.replace(f"{{{key}}}", text)
    return value


def _json(body: bytes) -> Mapping[str, Json]:
    """Return a JSON object."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"The server answered with something that is not JSON ({error}): {excerpt(body)}", retryable=True
        ) from None
    if not isinstance(data, Mapping):
        raise ModelError(f"The server answered with JSON that is not an object: {excerpt(data)}", retryable=True)
    return data


__all__ = ["RELOAD", "ProbeResult", "VLLMBackend"]
