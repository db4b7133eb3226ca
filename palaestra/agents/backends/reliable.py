"""Retries, limits, budget, cache and cost, once around every backend.

    attempt -> answer
       |  `- ModelError, retryable: wait (Retry-After, else exponential with full jitter) and attempt again
       `- before each attempt: budget, rate limit, pause asked for by the server, free place

Secrets in names, errors and logs of a backend are masked here (`palaestra.agents.masking`).
A backend itself asks once and says in its `ModelError` whether to try again; nothing else in the library repeats a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from palaestra.agents.backends.cache import ResponseCache, is_deterministic, request_key
from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.limits import Budget, RateLimit, TokenBucket
from palaestra.agents.backends.per_loop import PerLoop
from palaestra.agents.backends.prices import Prices
from palaestra.agents.backends.too_long import too_long_or_not
from palaestra.agents.context import estimate_tokens
from palaestra.agents.core import Backend, Generation, Request
from palaestra.agents.endings import check_ending
from palaestra.agents.masking import mask_logs, masked, masked_error, remember_secrets, without_secrets
from palaestra.agents.ranges import MAX_SECONDS, check_range
from palaestra.errors import ConfigError, ModelError
from palaestra.types import Json, Message, Usage

_log = logging.getLogger(__name__)

_SEED = re.compile(r"(?<![a-z])(?:random_?)?seed(?![a-z])", re.IGNORECASE)
_UNKNOWN_COMPLETION = 256  # tokens reserved for an answer before any was seen, where the request sets no limit


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how soon a failed request is repeated.

    Attributes:
        retries: Attempts after the first.
        first_wait_s: Upper end of the wait before the first retry; it doubles each time. The wait is drawn evenly from 0 up.
        longest_wait_s: Where the doubling ends. A longer wait asked for by the server is kept.
        timeout_s: Seconds for one attempt; None leaves it to the backend.
        deadline_s: Seconds for a request in all: attempts and the waits between them, not the time in our own queue. A
            retry that could only start later is given up at once. None means no deadline.
        seed: Seed of the waits.
    """

    retries: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    timeout_s: float | None = None
    deadline_s: float | None = 1200.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        check_range("retries", self.retries, whole=True)
        for name in ("first_wait_s", "longest_wait_s"):
            check_range(name, getattr(self, name), above=True, high=MAX_SECONDS)
        for name in ("timeout_s", "deadline_s"):
            check_range(name, getattr(self, name), above=True, high=MAX_SECONDS, optional="no limit")

    def wait_s(self, retry: int, error: ModelError, draw: random.Random) -> float:
        """Return the wait before a retry.

        Args:
            retry: Retries made before this one.
            error: What the last attempt failed with.
            draw: Source of the jitter.
        """
        jitter = draw.uniform(0.0, min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(retry, 100)))
        if error.retry_after_s is None:
            return jitter
        # not earlier than asked; a little later, so that all who were turned away do not come back together
        return error.retry_after_s + min(jitter, self.first_wait_s)


class Reliable:
    """A backend that retries, keeps to limits, remembers answers and counts what it spends.

    Attributes:
        name: Name of the backend inside.
        backend: The backend inside.
        usage: Everything spent so far.
        has_price: Whether `usage.cost` means anything: a price for this model was given.
        takes_media: Whether the backend inside takes sounds and pictures.
        context_window: Tokens that the model takes, where it is known.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        policy: RetryPolicy | None = None,
        rate_limit: RateLimit | None = None,
        concurrency: int | None = None,
        budget: Budget | None = None,
        prices: Prices | None = None,
        cache: ResponseCache | None = None,
        cache_sampled: bool = False,
        context_window: int | None = None,
        options: Mapping[str, Json] | None = None,
    ) -> None:
        """Wrap a backend.

        Args:
            backend: What answers.
            policy: Retries and time limits.
            rate_limit: What the server takes per minute.
            concurrency: Most attempts in flight at once, per event loop; None means no limit.
            budget: What may be spent in all.
            prices: What tokens cost.
            cache: Where answers are kept.
            cache_sampled: Keep answers that were sampled without a seed too, each under its request and the number of the
                sample: an episode that is played again, or a program that asks the same again in the same order, gets the
                same answers.
            context_window: Tokens that the model takes, prompt and answer, where it is known: more is refused for its length.
            options: Options that the backend was made with and that its answers depend on, for `shaped_by`.

        Raises:
            ConfigError: If the window is not a number of tokens, or the budget is in money and the model has no price.
        """
        check_range("concurrency", concurrency, low=1, whole=True, optional="no limit")
        check_range("context_window", context_window, low=1, whole=True, optional="a window that is not known")
        self.name = masked(backend.name)
        self.backend = backend
        self.context_window = context_window
        self._options = dict(options or {})
        self.takes_media = bool(getattr(backend, "takes_media", False))
        self.policy = policy or RetryPolicy()
        self.budget = budget or Budget()
        self.cache = cache
        self.cache_sampled = cache_sampled
        self._price = None if prices is None else prices.find(*_model_names(backend))
        if self.budget.cost is not None and self._price is None:
            raise ConfigError(
                f"The budget is {self.budget.cost:g} in money, but {self.name!r} has no price. Add it to the price table."
            )
        limit = rate_limit or RateLimit()
        self._requests = TokenBucket(limit.requests_per_minute / 60.0) if limit.requests_per_minute else None
        self._tokens = TokenBucket(limit.tokens_per_minute / 60.0) if limit.tokens_per_minute else None
        self._places: PerLoop[asyncio.Semaphore] | None = None
        if concurrency is not None:
            places = concurrency
            self._places = PerLoop(lambda: asyncio.Semaphore(places), _nothing_to_close)
        self._masks_itself = isinstance(getattr(backend, "endpoint", None), Endpoint)
        self._extra: Mapping[str, Json] | None = None  # whose secrets are remembered
        self._resume_at = 0.0
        self._draw = random.Random(self.policy.seed)
        self._lock = threading.Lock()
        self._attempts = 0
        self._usage = Usage()
        self._numbers: Counter[str] = Counter()  # by request: samples that were asked for, where nobody else counts
        self._asked: dict[tuple[asyncio.AbstractEventLoop, str], asyncio.Future[None]] = {}  # questions on their way
        self._takes_no_seed = False
        self._paid = Usage()  # without the answers of the cache, which the budget does not pay for
        self._count_tokens = getattr(backend, "count_tokens", estimate_tokens)
        mask_logs()

    @property
    def usage(self) -> Usage:
        """What was spent so far, failed attempts' time included."""
        return self._usage

    @property
    def has_price(self) -> bool:
        """Whether the model has a price, so that costs are known."""
        return self._price is not None

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Count the tokens of a dialogue as the backend does, or estimate them if it cannot."""
        return int(self._count_tokens(messages))

    @property
    def native_tools(self) -> bool:
        """Whether the backend inside takes tools as function schemas."""
        return bool(getattr(self.backend, "native_tools", True))

    def shaped_by(self) -> dict[str, Json]:
        """Return all that answers follow from in addition to requests: the backend's own word, and its options."""
        told = getattr(self.backend, "shaped_by", None)
        return {**(told() if callable(told) else {}), **self._options}

    def check_tools(self) -> None:
        """Refuse tools before the first request where the backend inside cannot offer them.

        Raises:
            UsageError: As the backend does.
        """
        check = getattr(self.backend, "check_tools", None)
        if check is not None:
            check()

    async def generate(self, request: Request) -> Generation:
        """Answer from the cache, or ask until there is an answer.

        Raises:
            BudgetError: If the budget is spent.
            ModelError: If the backend failed in a way that no retry fixes, or too often.
        """
        if (extra := request.sampling.extra) and extra is not self._extra:
            remember_secrets(extra)
            self._extra = extra
        if self.cache is None or not (self.cache_sampled or is_deterministic(request.sampling)):
            return await self._answer(request, None)
        key = self._key(request)
        place = asyncio.get_running_loop(), key
        if (asked := self._asked.get(place)) is not None:
            await asyncio.wait((asked,))  # the same question is on its way: its answer will be free
        if (kept := self.cache.get(key)) is not None:
            self._count(kept.usage, is_paid=False)
            return kept
        if place in self._asked or asked is not None:  # others wait already, or it failed: nobody waits for a second one
            return await self._answer(request, key)
        self._asked[place] = answered = place[0].create_future()
        try:
            return await self._answer(request, key)
        finally:
            del self._asked[place]
            answered.set_result(None)

    async def _answer(self, request: Request, key: str | None) -> Generation:
        """Ask, keep the answer, and add what failed answers before it cost."""
        generation, lost = await self._ask(request)
        if key is not None and self.cache is not None:
            self.cache.put(key, generation)
        return generation if lost is None else replace(generation, usage=generation.usage + lost)

    def _key(self, request: Request) -> str:
        """Return the key of an answer: of the request, and where that is sampled of the sample too.

        A sample is named by session and turn. Where nobody counts turns, it is numbered here, in the order in which equal
        requests of a session come.
        """
        if is_deterministic(request.sampling):
            return request_key(self.name, request)
        if request.session and request.turn is not None:
            return request_key(self.name, request, (request.session, request.turn))
        first = request_key(self.name, request, (request.session,) if request.session else ())
        with self._lock:
            number = self._numbers[first]
            self._numbers[first] += 1
        return first if not number else request_key(self.name, request, (request.session, number))

    async def aclose(self) -> None:
        """Close the backend and the cache."""
        if self._places is not None:
            await self._places.aclose()
        await self.backend.aclose()
        if self.cache is not None:
            self.cache.close()

    async def _ask(self, request: Request) -> tuple[Generation, Usage | None]:
        """Attempt, wait, attempt again; return the answer, and what those cost that were blocked or broke off."""
        policy = self.policy
        lost: Usage | None = None
        spent_s = model_s = 0.0
        retries = 0
        request, had_seed = (replace(request, turn=None) if self._takes_no_seed else request), False
        while True:
            reserved = await self._enter(request)
            used = 0
            try:
                async with await self._place():
                    started = time.monotonic()
                    generation = await self._attempt(
                        request, None if policy.deadline_s is None else policy.deadline_s - spent_s
                    )
                used = generation.usage.prompt_tokens + generation.usage.completion_tokens
            except ModelError as found:
                failed_s = time.monotonic() - started
                failed = Usage()
                if found.usage is not None:
                    failed = self._priced(found.usage)
                    used = failed.prompt_tokens + failed.completion_tokens
                    lost = failed if lost is None else lost + failed
                self._count(replace(failed, model_s=failed_s))
                spent_s, model_s = spent_s + failed_s, model_s + failed_s
                if _refuses_seed(found, request):
                    request, had_seed = replace(request, turn=None), True
                    continue
                error = too_long_or_not(found, request, self.count_tokens, self.context_window)
                wait_s = self._wait_s(error, retries, spent_s, lost)
            else:
                break
            finally:
                self._settle(reserved, used)
            retries += 1
            self._count(Usage(retries=1))
            await asyncio.sleep(wait_s)
            spent_s += wait_s
        if had_seed and not self._takes_no_seed:
            self._takes_no_seed = True
            _log.warning("%s refuses the field seed; it is left out from now on, and samples are not repeatable.", self.name)
        attempt_s = time.monotonic() - started
        usage = generation.usage
        cost = usage.cost if self._price is None else self._price.cost(usage)
        self._count(replace(usage, cost=cost, model_s=attempt_s))
        whole = replace(usage, retries=usage.retries + retries, cost=cost, model_s=model_s + attempt_s)
        return replace(generation, usage=whole), lost

    def _priced(self, usage: Usage) -> Usage:
        """Return the cost of a failed attempt, without its time, which is taken here."""
        cost = usage.cost if self._price is None else self._price.cost(usage)
        return replace(usage, cost=cost, model_s=0.0, env_s=0.0)

    def _wait_s(self, error: ModelError, retries: int, spent_s: float, lost: Usage | None) -> float:
        """Return how long to wait before the next attempt, or raise the error if there is to be none."""
        policy = self.policy
        if not error.retryable or retries >= policy.retries:
            raise _told(error, retries, lost) from error.__cause__
        wait_s = policy.wait_s(retries, error, self._draw)
        if policy.deadline_s is not None and spent_s + wait_s >= policy.deadline_s:
            reason = f"; the next try would come {wait_s:.3g} s later, past deadline_s={policy.deadline_s:g}"
            raise _told(error, retries, lost, reason) from error.__cause__
        if error.retry_after_s is not None and error.status in (429, 503, 529):
            self._resume_at = max(self._resume_at, time.monotonic() + error.retry_after_s)
        return wait_s

    async def _place(self) -> AbstractAsyncContextManager[object]:
        """Return what to enter to be one of those in flight."""
        return contextlib.nullcontext() if self._places is None else await self._places.get()

    async def _enter(self, request: Request) -> int:
        """Wait for the rate limit and the server's pause; return the tokens reserved."""
        with self._lock:
            self.budget.check(self._attempts, self._paid)
            self._attempts += 1
        reserved = self._estimate(request) if self._tokens is not None else 0
        wait_s = 0.0
        if self._requests is not None:
            wait_s = self._requests.reserve(1)
        if self._tokens is not None:
            wait_s = max(wait_s, self._tokens.reserve(reserved))
        try:
            if wait_s:
                await asyncio.sleep(wait_s)
            while (pause_s := self._resume_at - time.monotonic()) > 0:
                await asyncio.sleep(pause_s + self._draw.uniform(0.0, self.policy.first_wait_s))  # not all at once
        except BaseException:
            if self._requests is not None:
                self._requests.give_back(1)
            self._settle(reserved, 0)
            raise
        return reserved

    async def _attempt(self, request: Request, left_s: float | None) -> Generation:
        """Ask once, within the time limits."""
        limits = [limit for limit in (self.policy.timeout_s, left_s) if limit is not None]
        try:
            async with asyncio.timeout(min(limits) if limits else None):
                generation = check_ending(await self.backend.generate(request), self.name)
            return generation if self._masks_itself else _without_secrets(generation)
        except TimeoutError:
            within = f"within {min(limits):.3g} s" if limits else "in time"
            message = f"{self.name} did not answer {within}. Raise timeout_s if it is slow."
            raise ModelError(message, retryable=True) from None
        except Exception as error:
            safe = masked_error(error)
            if isinstance(safe, ConnectionError):
                raise ModelError(f"{self.name} lost its connection ({safe}).", retryable=True) from safe
            if safe is error:
                raise
            raise safe from None

    def _estimate(self, request: Request) -> int:
        """Return the tokens a request will probably take."""
        answered = self._usage.completion_tokens // self._usage.calls if self._usage.calls else _UNKNOWN_COMPLETION
        limit = request.sampling.max_tokens
        return self.count_tokens(request.messages) + (answered if limit is None else min(limit, answered))

    def _settle(self, reserved: int, used: int) -> None:
        """Correct the token limit by what was really used."""
        if self._tokens is not None:
            self._tokens.give_back(reserved - used)

    def _count(self, usage: Usage, *, is_paid: bool = True) -> None:
        """Add to what was used, and to what the budget pays for."""
        with self._lock:
            self._usage += usage
            if is_paid:
                self._paid += usage


def _model_names(backend: Backend) -> tuple[str, ...]:
    """Return the names a price may be listed under: the model string, then what follows its scheme or address."""
    name = backend.name
    short = name.rpartition("#")[2] if "#" in name else name.partition(":")[2]
    return (name, short) if short else (name,)


def _without_secrets(generation: Generation) -> Generation:
    """Return an answer in which no secret is repeated; one with token ids stays, its text being theirs."""
    if generation.tokens is not None:
        return generation
    data = generation.message.to_json()
    safe = without_secrets(data)
    return generation if safe is data else replace(generation, message=Message.from_json(safe))


def _refuses_seed(error: ModelError, request: Request) -> bool:
    """Whether a server may have refused a request for its seed, which nobody asked for by name."""
    if error.status not in (400, 422) or request.sampling.seed is not None or request.seed is None:
        return False
    return _SEED.search(str(error)) is not None


def _told(error: ModelError, retries: int, lost: Usage | None, reason: str = "") -> ModelError:
    """Return the error that the caller sees: it says how often it was tried, and what that cost."""
    tries = f" (after {retries} {'retry' if retries == 1 else 'retries'}{reason})" if retries or reason else ""
    told = error.told(f"{error}{tries}")
    told.usage = lost
    return told


async def _nothing_to_close(semaphore: asyncio.Semaphore) -> None:
    """A semaphore holds nothing."""
