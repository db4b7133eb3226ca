"""What an agent is, what a backend is, and what passes between them.

An `Agent` plays one episode at a time: `reset(info)`, then `act(observation, info)` per turn. `fork()` gives an
independent agent for another episode that shares whatever is costly (clients, weights). A `Backend` answers one
`Request` with one `Generation`; retries, budgets and caches are wrapped around it (`agents/backends/reliable.py`).
"""

from __future__ import annotations

import copy
import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self, runtime_checkable

import gymnasium

from palaestra.agents.sync import run_sync
from palaestra.types import Json, Message, Segment, Usage

WEIGHTS = "weights"
"""Name under which a local backend's `shaped_by()` has the digest of its weights."""

ENV_CALL: ContextVar[Callable[..., Awaitable[Any]] | None] = ContextVar("ENV_CALL", default=None)
"""Runs a function where the environment of this episode lives (its worker); set by rollouts, for agents that ask it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model is asked to write.

    Attributes:
        temperature: 0 is greedy.
        top_p: Nucleus; 1 is off.
        max_tokens: Most tokens per message; None leaves it to the server.
        stop: Texts that end the message.
        seed: Seed of this request; None leaves it to the backend.
        extra: Further fields passed to the server as they are.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    extra: Mapping[str, Json] = field(default_factory=dict)


def session_seed(*parts: object) -> int:
    """Return 31 bits that depend on the parts (numbers and texts) alone."""
    text = "|".join(map(str, parts)).encode("utf-8", "backslashreplace")
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big") & 0x7FFFFFFF


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model.

    Attributes:
        messages: The dialogue so far, oldest first.
        tools: OpenAI function schemas the model may call.
        sampling: How to write.
        session: Name of the episode. Requests of one session come one after the other and mostly extend each other:
            backends route by it and keep caches for it.
        turn: Number of this request in its session, from 0; None where nobody counts. Session and turn name the sample:
            chance follows from them where the sampling has no seed, and caches tell samples apart by them.
    """

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Json], ...] = ()
    sampling: Sampling = Sampling()
    session: str = ""
    turn: int | None = None

    @property
    def seed(self) -> int | None:
        """Seed to send to a server that takes one: of the sampling, else of session and turn, 31 bits; None without either."""
        if self.sampling.seed is not None or not self.session or self.turn is None:
            return self.sampling.seed
        return session_seed(self.session, self.turn)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The token ids behind a generation, exactly as the sampler used them.

    Attributes:
        prompt_ids: Everything the policy was conditioned on.
        completion_ids: What it sampled, the end token included if it was sampled.
        log_probs: One per completion id, at the sampling temperature.
        version: Version of the policy.
        stop: Why sampling stopped.
    """

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    version: int = 0
    stop: Literal["eos", "length", "stop_string"] = "eos"


@dataclass(frozen=True, slots=True)
class Generation:
    """One answer of a model.

    Attributes:
        message: The assistant message.
        finish_reason: "stop", "length", "tool_calls", or the server's own word.
        usage: What it cost.
        tokens: Ids and log-probs, where the backend reports them.
    """

    message: Message
    finish_reason: str = "stop"
    usage: Usage = Usage(calls=1)
    tokens: Tokens | None = None


@runtime_checkable
class Backend(Protocol):
    """An LLM behind one method; one that takes sounds and pictures has an attribute `takes_media = True`."""

    name: str

    async def generate(self, request: Request) -> Generation:
        """Answer one request.

        Raises:
            ModelError: If the model or its server failed; `retryable` says whether to try again.
        """
        ...

    async def aclose(self) -> None:
        """Free connections, threads and memory; harmless when called twice."""
        ...


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """What an agent can tell about the episode it is playing, at any time.

    Attributes:
        usage: What it cost so far.
        segments: Tokens seen and sampled, where the backend reports them.
        name: Name of the agent, where it sits in a seat of its own.
        seats: Records of the agents in seats other than the policy's, by seat.
    """

    usage: Usage = Usage()
    segments: tuple[Segment, ...] = ()
    name: str = ""
    seats: Mapping[str, AgentRecord] = field(default_factory=dict)


async def _acts(self: Agent, observation: str, info: Mapping[str, Any]) -> Message:
    """Play what the `act` of a subclass says, which may itself be asynchronous."""
    answer: Any = self.act(observation, info)
    found: Message = await answer if inspect.isawaitable(answer) else answer
    return found


class Agent(ABC):
    """Plays episodes, one at a time. A subclass writes `aact`, or `act` alone where it waits for nothing.

    Attributes:
        name: Shown in reports and stored on trajectories.
        seats: Seats that it plays in addition to the policy's, in environments that have several (see `Seats`).
    """

    name: str = "agent"
    seats: tuple[str, ...] = ()

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Let a subclass write `act` alone, without `async`."""
        super().__init_subclass__(**keywords)
        if "act" in vars(cls) and getattr(cls.aact, "__isabstractmethod__", False):
            cls.aact = _acts  # type: ignore[method-assign]

    @property
    def version(self) -> str:
        """What tells agents of one name apart (settings, prompt, weights); compared when a run is resumed."""
        return ""

    def shaped_by(self) -> dict[str, Json]:
        """Name all that its answers follow from: plain JSON that the record of a run keeps and compares on resuming."""
        return {"version": self.version} if self.version else {}

    def reset(self, info: Mapping[str, Any], *, env: gymnasium.Env[Any, Any] | None = None, session: str = "") -> None:
        """Begin an episode.

        Args:
            info: `info` of the environment's reset: `task`, `instructions`, `tools`; in a seat of a table also `seat`, its
                name, and `private`, its goal and persona as data.
            env: The environment, for agents that need it (random, expert); a language model never looks at it.
            session: Unique name of the episode, of which the seed of an evaluation is part; chance is to follow from it.
        """
        del info, env, session

    @abstractmethod
    async def aact(self, observation: str, info: Mapping[str, Any]) -> Message:
        """Choose the next action.

        Args:
            observation: What the environment shows.
            info: `info` of the step (or the reset) that led here; in a seat of a table, of its own last action, with `seat`
                and `step`, the index of the step that its answer will be.

        Raises:
            ModelError: If the model behind the agent failed.
        """

    def act(self, observation: str, info: Mapping[str, Any]) -> Message:
        """Like `aact`, for plain loops; connections are kept between calls, and a loop may be running (Jupyter)."""
        return run_sync(self.aact(observation, info))

    def record(self) -> AgentRecord:
        """Return usage and tokens of the current episode."""
        return AgentRecord()

    def fork(self) -> Self:
        """Return an independent agent for another episode that shares what is costly."""
        return copy.copy(self)

    async def aclose(self) -> None:
        """Free what the agent and its forks share."""
        return None
