"""Local `transformers` weights as a backend: continuous batching, kept caches, exact token ids.

Requests of many episodes arrive one by one on the event loop. One driver task runs the model: it reads the new tokens
of those that have just come, then samples one token for everybody at a time; who is ready gets the answer at once and
its place goes to the next. Between turns the keys and values of a session stay (`kv_slots.py`), so a turn costs its own
tokens only. Prompts are built by appending to the very ids that were sampled (`chat_template.py`).
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Self

from palaestra.agents.backends.chat_template import ChatTemplate, Templated
from palaestra.agents.backends.checkpoints import context_length, load_checkpoint, stop_ids, vocabulary_size, weights_digest
from palaestra.agents.backends.clients import unknown_option
from palaestra.agents.backends.kv_slots import CachedSequence, make_decoder
from palaestra.agents.backends.token_sampling import RowSampling, draw_tokens, random_stream
from palaestra.agents.backends.token_turns import Stop, TokenTurn, extended_prompt, finished_turn
from palaestra.agents.core import WEIGHTS, Generation, Request, Tokens
from palaestra.agents.ranges import MAX_THREADS, check_range
from palaestra.errors import ContextWindowError, ModelError, UsageError
from palaestra.types import Json, Usage

_OPENING_TOKENS = 32  # prompts that begin alike this far share what is read of them
_PREFILL_TOKENS = 8192  # most tokens, padding included, that are read in one forward


@dataclass(eq=False, slots=True)
class _Session:
    """What is known of one episode."""

    sequence: CachedSequence = field(default_factory=CachedSequence)
    turn: TokenTurn | None = None
    pending: asyncio.Future[Generation] | None = None
    num_requests: int = 0

    @property
    def is_busy(self) -> bool:
        """Whether a request of it is waiting or being answered."""
        return self.pending is not None and not self.pending.done()


@dataclass(eq=False, slots=True)
class _Job:
    """One request on its way."""

    request: Request
    session: _Session
    prompt: tuple[int, ...]
    limit: int
    rows: RowSampling
    future: asyncio.Future[Generation]
    started: float
    random_state: tuple[Any, ...]
    cached: int = 0
    version: int = 0
    log_probs: list[float] = field(default_factory=list)

    @property
    def sequence(self) -> CachedSequence:
        """The tokens, prompt and completion."""
        return self.session.sequence


class LocalBackend(Templated):
    """Samples from a causal language model in this process.

    Args:
        model: A transformers causal LM. It is used as it is, not copied, and put into evaluation mode.
        tokenizer: Its tokenizer, with a chat template.
        max_batch: Most requests decoded together.
        max_context: Longest sequence in tokens, prompt and answer; the model's own limit if None.
        max_tokens: Most tokens of an answer where the request does not say.
        version: Version of the weights, stored with every turn.
        name: Shown in reports.
        device: Where to move the model, e.g. "cpu", "cuda"; where it is if None.
        dtype: Data type of the weights, e.g. "float32", "bfloat16"; as it is if None.
        seed: Seed for requests that bring none; with session and turn it fixes every sample.
        max_sessions: Sessions whose tokens are remembered; the least recently used idle one is forgotten.
        cache_mb: Megabytes for keys and values kept between turns.
        append_only: Append to the dialogue even where the chat template would rewrite earlier turns.
        threads: Torch threads of the whole process; left alone if None. One is best for tiny models.

    Raises:
        UsageError: If there is no chat template, the tokenizer has more ids than the model, or an option cannot work.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        max_batch: int = 64,
        max_context: int | None = None,
        max_tokens: int = 512,
        version: int = 0,
        name: str = "local",
        device: str | None = "cpu",
        dtype: str | None = None,
        seed: int = 0,
        max_sessions: int = 4096,
        cache_mb: float = 1024.0,
        append_only: bool = False,
        threads: int | None = None,
    ) -> None:
        """Check the options; nothing is computed yet."""
        import torch

        for option, value in (("max_batch", max_batch), ("max_tokens", max_tokens), ("max_sessions", max_sessions)):
            check_range(option, value, low=1, whole=True)
        check_range("cache_mb", cache_mb)
        check_range("threads", threads, low=1, high=MAX_THREADS, whole=True, optional="those that torch has")
        if threads is not None:
            torch.set_num_threads(threads)
        if dtype is not None and not isinstance(getattr(torch, str(dtype), None), torch.dtype):
            raise UsageError(f"dtype is {dtype!r}; expected the name of a torch data type such as 'float32' or 'bfloat16'.")
        if device is not None or dtype is not None:
            model = model.to(device=device or model.device, dtype=getattr(torch, str(dtype)) if dtype else model.dtype)
        self.name = name
        self.version = version
        self.model = model
        self.tokenizer = tokenizer
        self.template = ChatTemplate(tokenizer, append_only=append_only)
        self.max_context = context_length(model, max_context)
        self._max_batch = max_batch
        self._max_tokens = max_tokens
        self._seed = seed
        self._max_sessions = max_sessions
        self._cache_bytes = int(cache_mb * 1e6)
        self._end_ids = stop_ids(model, self.template)
        self._vocabulary = vocabulary_size(model, tokenizer)
        self._decoder = self._make_decoder()
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._anonymous = count()
        self._waiting: list[_Job] = []
        self._active: list[_Job] = []
        self._steps_waited = 0
        self._driver: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @classmethod
    def from_path(cls, path: str | Path, *, download: bool = False, **options: Any) -> Self:
        """Load a checkpoint.

        Args:
            path: Directory of a model and its tokenizer, or the name of a model in the cache of transformers.
            download: Whether a name that is not in the cache may be fetched from the hub.
            **options: Arguments of `LocalBackend`.

        Raises:
            UsageError: If there is nothing to load there, or there is no such option.
        """
        known = [name for name in inspect.signature(cls).parameters if name not in ("model", "tokenizer")]
        for name in options:
            if name not in known:
                raise unknown_option("the backend hf", name, ["download", *known])
        model, tokenizer = load_checkpoint(path, download=download)
        return cls(model, tokenizer, **{"name": f"hf:{path}", **options})

    def shaped_by(self) -> dict[str, Json]:
        """Return all that answers follow from in addition to requests: digests of weights and chat template, and options."""
        template = str(getattr(self.tokenizer, "chat_template", ""))
        return {
            WEIGHTS: weights_digest(self.model),
            "chat_template": hashlib.blake2b(template.encode(), digest_size=8).hexdigest(),
            "max_context": self.max_context,
            "max_tokens": self._max_tokens,
            "append_only": self.template.append_only,
            "seed": self._seed,
        }

    @property
    def num_in_flight(self) -> int:
        """Requests that wait or are being answered."""
        return len(self._waiting) + len(self._active)

    async def generate(self, request: Request) -> Generation:
        """Answer one request; see `palaestra.agents.core.Backend`.

        Raises:
            ContextWindowError: If the prompt leaves no room in the context.
            ModelError: If the model gave NaN.
            UsageError: If the sampling options mean nothing here.
        """
        _check_sampling(request)
        if request.tools:
            self.template.check_tools()
        if self._closed:
            raise ModelError(f"The backend {self.name!r} is closed; make a new one.")
        self._enter_loop()
        job = self._make_job(request)
        self._waiting.append(job)
        if self._driver is None or self._driver.done():
            self._driver = asyncio.get_running_loop().create_task(self._drive())
        return await job.future

    def update_weights(self, weights: Any = None, *, version: int | None = None) -> None:
        """Take over new weights. Answers in progress are begun again, so that each has one version.

        Args:
            weights: A state dict or a model of the same shape; None if the model was changed in place.
            version: The new version; one more than the current one if None.
        """
        if weights is not None:
            self.model.load_state_dict(weights if isinstance(weights, Mapping) else weights.state_dict())
        self.version = self.version + 1 if version is None else version
        self._decoder.invalidate()
        for job in self._active:
            job.sequence.busy = False
            job.log_probs.clear()
            job.rows.stream.setstate(job.random_state)
        self._waiting = self._active + self._waiting
        self._active = []

    async def aclose(self) -> None:
        """Fail what is in flight and free the caches."""
        self._closed = True
        driver, self._driver = self._driver, None
        if driver is not None and not driver.done() and driver.get_loop() is asyncio.get_running_loop():
            driver.cancel()
            await asyncio.gather(driver, return_exceptions=True)
        self._fail_all(ModelError(f"The backend {self.name!r} was closed while it was answering."))
        self._sessions.clear()
        self._decoder = self._make_decoder()

    async def _drive(self) -> None:
        """Run the model as long as somebody waits."""
        await asyncio.sleep(0)  # whoever wakes up in the same round of the loop joins the first batch
        while self._waiting or self._active:
            try:
                self._step()
            except Exception as error:  # out of memory, a bug in a model's code: the episodes fail, the process does not
                failure = ModelError(f"The model {self.name!r} failed: {type(error).__name__}: {error}")
                failure.__cause__ = error
                self._fail_all(failure)
                self._decoder.invalidate()
            # Those who were just answered act and come back before the next step.
            await asyncio.sleep(0)

    def _step(self) -> None:
        """Read new prompts if it is time, then sample one token for everybody."""
        if self.model.training:
            self.model.eval()
        self._drop_cancelled()
        room = self._max_batch - len(self._active)
        # A forward for a single newcomer costs as much as a step for all: let a few gather, but not for long.
        enough = len(self._waiting) >= max(1, min(room, len(self._active) // 8))
        if self._waiting and room > 0 and (enough or self._steps_waited >= 3):
            self._steps_waited = 0
            joining, self._waiting = self._waiting[:room], self._waiting[room:]
            self._active += joining  # before anything can fail, so that a failure reaches them
            for wave in _waves(joining):
                for batch in self._admit(wave):
                    self._sample(batch)
        else:
            self._steps_waited += 1
            self._sample(self._active)

    def _admit(self, jobs: list[_Job]) -> list[list[_Job]]:
        """Set up the sequences, and group jobs of like length so that little padding is read."""
        for job in jobs:
            job.version = self.version
            job.sequence.rewrite(job.prompt)
            job.sequence.busy = True
            self._decoder.share(job.sequence)
            job.cached = job.sequence.cached
        batches: list[list[_Job]] = []
        width = 0
        for job in sorted(jobs, key=lambda job: job.cached - len(job.prompt)):
            new = len(job.prompt) - job.cached
            if not batches or 2 * new < width or width * (len(batches[-1]) + 1) > _PREFILL_TOKENS:
                batches.append([])
                width = new
            batches[-1].append(job)
        return batches

    def _sample(self, jobs: list[_Job]) -> None:
        """Advance jobs by one token and answer those that are ready."""
        if not jobs:
            return
        # what an embedding has beyond the tokenizer's ids is padding: no text stands for it
        logits = self._decoder.advance([job.sequence for job in jobs])[:, : self._vocabulary]
        ids, log_probs = draw_tokens(logits, [job.rows for job in jobs])
        finished = False
        for job, token, log_prob in zip(jobs, ids, log_probs, strict=True):
            if log_prob != log_prob:
                self._decoder.invalidate()  # NaN in a cache would spread to whoever gets the row next
                self._fail(
                    job, ModelError(f"The model {self.name!r} (version {self.version}) gave NaN; its weights diverged.")
                )
                finished = True
                continue
            job.sequence.ids.append(token)
            job.log_probs.append(log_prob)
            stop = self._stop_reason(job, token)
            if stop is not None:
                self._finish(job, stop)
                finished = True
        if finished:
            self._active = [job for job in self._active if not job.future.done()]

    def _stop_reason(self, job: _Job, token: int) -> Stop | None:
        """Say whether a job is ready after its newest token."""
        if token in self._end_ids:
            return "eos"
        stops = job.request.sampling.stop
        if stops:
            # A stop text that ends in this token lies in the last few tokens; each has at least one character or byte.
            tail = max(len(stop.encode()) for stop in stops) + 4
            written = job.sequence.ids[max(len(job.prompt), len(job.sequence.ids) - tail) :]
            text = self.template.decode(written)
            if any(stop in text for stop in stops):
                return "stop_string"
        return "length" if len(job.log_probs) >= job.limit else None

    def _finish(self, job: _Job, stop: Stop) -> None:
        """Answer a job and remember its turn."""
        ids = tuple(job.sequence.ids)
        completion = ids[len(job.prompt) :]
        request = job.request
        turn = finished_turn(self.template, request, job.prompt, completion, stop)
        answer = turn.answer
        job.sequence.busy = False
        job.session.turn = turn
        if not (request.session and self._decoder.keeps_turns):
            self._decoder.release(job.sequence)
        reason = "length" if stop == "length" else "tool_calls" if answer.tool_calls else "stop"
        usage = Usage(
            calls=1,
            prompt_tokens=len(job.prompt),
            cached_tokens=job.cached,
            completion_tokens=len(completion),
            model_s=time.perf_counter() - job.started,
        )
        tokens = Tokens(job.prompt, completion, tuple(job.log_probs), job.version, stop)
        job.future.set_result(Generation(answer, reason, usage, tokens))

    def _make_job(self, request: Request) -> _Job:
        """Build the prompt and everything else a request needs."""
        session = self._session(request)
        prompt = extended_prompt(self.template, session.turn, request) if session.turn is not None else None
        if prompt is None:
            prompt = self.template.render(request.messages, request.tools)
        room = self.max_context - len(prompt)
        if room < 1:
            raise ContextWindowError(
                f"The prompt has {len(prompt)} tokens and the context of {self.name!r} holds {self.max_context}, answer "
                "included. Shorten the dialogue (a context policy of the agent), or raise max_context."
            )
        sampling = request.sampling
        stream = self._stream(request, session)
        session.num_requests += 1
        session.pending = asyncio.get_running_loop().create_future()
        return _Job(
            request=request,
            session=session,
            prompt=prompt,
            limit=min(room, sampling.max_tokens or self._max_tokens),
            rows=RowSampling(sampling.temperature, sampling.top_p, stream),
            future=session.pending,
            started=time.perf_counter(),
            random_state=stream.getstate(),
        )

    def _session(self, request: Request) -> _Session:
        """Return the session of a request; a nameless one, or one that is being answered already, gets a fresh one."""
        if not request.session:
            return _Session()
        session = self._sessions.get(request.session)
        if session is not None and session.is_busy:
            return _Session()
        if session is None:
            session = self._sessions[request.session] = _Session()
            idle = (name for name, kept in self._sessions.items() if kept is not session and not kept.is_busy)
            if len(self._sessions) > self._max_sessions and (oldest := next(idle, None)) is not None:
                self._decoder.release(self._sessions.pop(oldest).sequence)
        self._sessions.move_to_end(request.session)
        return session

    def _stream(self, request: Request, session: _Session) -> Random:
        """Return the random stream of a request: its own seed, or one made of session and turn."""
        if request.sampling.seed is not None:
            return random_stream("request", request.sampling.seed, len(request.messages))
        if request.session:
            # not by what is remembered of the session: it may be played again, and an attempt may have failed
            turn = session.num_requests if request.turn is None else request.turn
            return random_stream("session", self._seed, request.session, turn)
        return random_stream("anonymous", self._seed, next(self._anonymous))

    def _make_decoder(self) -> Any:
        """Choose how to run the model."""
        self.model.eval()
        return make_decoder(
            self.model, num_rows=2 * self._max_batch, max_length=self.max_context, cache_bytes=self._cache_bytes
        )

    def _enter_loop(self) -> None:
        """Forget what was in flight on an event loop that is gone."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._loop is not None and not self._loop.is_closed() and self.num_in_flight:
            raise UsageError(f"The backend {self.name!r} is answering on another event loop; use one loop at a time.")
        for job in self._active:
            job.sequence.busy = False
        self._waiting, self._active, self._driver, self._loop = [], [], None, loop

    def _drop_cancelled(self) -> None:
        """Stop working for those who no longer wait."""
        for job in self._active:
            if job.future.done():
                job.sequence.busy = False
                if not (job.request.session and self._decoder.keeps_turns):
                    self._decoder.release(job.sequence)
        self._active = [job for job in self._active if not job.future.done()]
        self._waiting = [job for job in self._waiting if not job.future.done()]

    def _fail(self, job: _Job, error: ModelError) -> None:
        """Answer one job with an error."""
        job.sequence.busy = False
        if not job.future.done():
            job.future.set_exception(error)

    def _fail_all(self, error: ModelError) -> None:
        """Answer everything in flight with an error."""
        for job in (*self._active, *self._waiting):
            self._fail(job, error)
        self._waiting, self._active = [], []


def _waves(jobs: list[_Job]) -> list[list[_Job]]:
    """Let one job of each opening go first: the others (samples of one task, mostly) copy what it has read."""
    first: list[_Job] = []
    second: list[_Job] = []
    seen: set[tuple[int, ...]] = set()
    for job in jobs:
        opening = job.prompt[:_OPENING_TOKENS]
        is_known = opening in seen and not job.sequence.cached and len(opening) == _OPENING_TOKENS
        (second if is_known else first).append(job)
        seen.add(opening)
    return [wave for wave in (first, second) if wave]


def _check_sampling(request: Request) -> None:
    """Refuse options that mean nothing here, rather than ignore them."""
    sampling = request.sampling
    if sampling.temperature < 0 or not 0 < sampling.top_p <= 1:
        raise UsageError(
            f"temperature={sampling.temperature}, top_p={sampling.top_p}; expected temperature >= 0 and 0 < top_p <= 1."
        )
    if sampling.max_tokens is not None and sampling.max_tokens < 1:
        raise UsageError(f"max_tokens={sampling.max_tokens}; expected at least 1, or None for the backend's default.")
    if sampling.extra:
        raise UsageError(f"Local weights take no extra sampling fields {sorted(sampling.extra)}; leave them out.")
