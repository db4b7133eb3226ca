"""One played episode, a `Trajectory`: its `Step`s, its `Outcome`, its `Usage`, and the tokens the policy saw and sampled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from palaestra.errors import Boundary, unknown_name
from palaestra.types.messages import Message, ToolResult, result_messages
from palaestra.types.plain_json import Json, plain
from palaestra.types.tokens import Segment

StopReason = Literal["success", "failure", "env_done", "max_rounds", "max_tokens", "invalid_limit", "env_error", ""]

OPENING_HINTS = ("format", "transient", "opening", "history")
"""What the info of a reset may hold for agents in addition to task, instructions and tools; kept in `Trajectory.meta`."""


MAX_METRIC_NAME_CHARS = 100
"""Longest name of a metric."""

RETURN_TOLERANCE = 1e-6
"""How far the rewards of a solved episode may fall short of 1.0: ten of 0.1 do, and shares in single precision."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an episode or a request cost; adds up with `+`.

    Attributes:
        calls: Requests to a model, retries not counted.
        retries: Requests that were repeated after a failure.
        prompt_tokens: Tokens read by the model, cached ones included.
        cached_tokens: Those of them that came from a prompt cache.
        completion_tokens: Tokens written by the model.
        cost: Money, in the currency of the price table; 0 where no price is known.
        model_s: Seconds spent waiting for the model; sums over calls, also over those that run in parallel.
        env_s: Seconds spent in the environment; sums likewise.
    """

    calls: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    model_s: float = 0.0
    env_s: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        """Add field by field."""
        return Usage(
            self.calls + other.calls,
            self.retries + other.retries,
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
            self.model_s + other.model_s,
            self.env_s + other.env_s,
        )

    def timed(self, model_s: float, env_s: float) -> Usage:
        """Return the same with other times, in seconds (for every turn; `dataclasses.replace` takes longer)."""
        return Usage(
            self.calls,
            self.retries,
            self.prompt_tokens,
            self.cached_tokens,
            self.completion_tokens,
            self.cost,
            model_s,
            env_s,
        )

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {key: getattr(self, key) for key in self.__slots__}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Usage:
        """Rebuild from `to_json()`."""
        return cls(**{key: data[key] for key in cls.__slots__ if key in data})


@dataclass(frozen=True, slots=True)
class Step:
    """One turn: what the agent saw, what it did, what came of it.

    Attributes:
        observation: Text shown before the action.
        action: The assistant message that was played.
        reward: Increment for this step.
        terminated: The task ended with this step.
        truncated: The episode was stopped after this step.
        info: Kept part of the step's info: `score`, `success`, `reward_parts`, `metrics`, `tool_results`, ...
        state_hash: Digest of the world before the action, where the environment gives one.
        seat: Who acted, in an episode with several seats; empty in an episode with one.
    """

    observation: str
    action: Message
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    info: Mapping[str, Json] = field(default_factory=dict)
    state_hash: str | None = None
    seat: str = ""

    @property
    def finish_reason(self) -> str:
        """Why the model's answer ended: "length" (cut off), "empty", or "" where it ended as it should."""
        return self.action.finish_reason

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        data: dict[str, Json] = {
            "observation": self.observation,
            "action": self.action.to_json(),
            "reward": self.reward,
            "terminated": self.terminated,
            "truncated": self.truncated,
            "info": plain(self.info),
        }
        if self.state_hash is not None:
            data["state_hash"] = self.state_hash
        if self.seat:
            data["seat"] = self.seat
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Step:
        """Rebuild from `to_json()`."""
        return cls(
            observation=data["observation"],
            action=Message.from_json(data["action"]),
            reward=data.get("reward", 0.0),
            terminated=data.get("terminated", False),
            truncated=data.get("truncated", False),
            info=data.get("info", {}),
            state_hash=data.get("state_hash"),
            seat=data.get("seat", ""),
        )


@dataclass(frozen=True, slots=True)
class EpisodeError:
    """A failure that ended an episode.

    Attributes:
        boundary: Where it came from.
        type: Name of the exception class.
        message: Its text, without a traceback.
        detail: The traceback or the server's answer, for people who fix it.
    """

    boundary: Boundary
    type: str
    message: str
    detail: str = ""

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {"boundary": self.boundary, "type": self.type, "message": self.message, "detail": self.detail}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> EpisodeError:
        """Rebuild from `to_json()`."""
        return cls(data["boundary"], data["type"], data["message"], data.get("detail", ""))


def is_metric_name(name: object) -> bool:
    """Whether a metric may have this name: printable text of at most 100 characters, not empty."""
    return isinstance(name, str) and len(name) <= MAX_METRIC_NAME_CHARS and name.isprintable() and bool(name.strip())


def check_metric_name(name: object) -> None:
    """Refuse what cannot be the name of a metric.

    Raises:
        ValueError: With what was expected.
    """
    if not is_metric_name(name):
        raise ValueError(
            f"The name of a metric is {repr(name)[:200]}; expected printable text of 1 to {MAX_METRIC_NAME_CHARS} characters."
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an episode ended.

    Attributes:
        score: Cumulative score in the environment's native scale; None if an error ended the episode.
        success: Whether the task was solved; None if an error ended the episode.
        stop_reason: Why it ended.
        error: The failure, if there was one.
        metrics: What else the environment measured, by name: the last value of each.
    """

    score: float | None = None
    success: bool | None = None
    stop_reason: StopReason = ""
    error: EpisodeError | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """An error is never a score; metrics have names that can be shown."""
        if self.error is not None and not isinstance(self.error, EpisodeError):
            raise TypeError(f"The error of an outcome is {self.error!r}; expected an EpisodeError.")
        if self.error is not None and (self.score is not None or self.success is not None or self.metrics):
            raise ValueError("An outcome with an error has no score, no success and no metrics; leave them out.")
        for name in self.metrics:
            check_metric_name(name)

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; `metrics` is left out where there are none."""
        error = None if self.error is None else self.error.to_json()
        data = {"score": self.score, "success": self.success, "stop_reason": self.stop_reason, "error": error}
        return {**data, "metrics": dict(self.metrics)} if self.metrics else data

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Outcome:
        """Rebuild from `to_json()`; metrics whose names are refused today are left out."""
        error = data.get("error")
        return cls(
            score=data.get("score"),
            success=data.get("success"),
            stop_reason=data.get("stop_reason", ""),
            error=None if error is None else EpisodeError.from_json(error),
            metrics={name: value for name, value in data.get("metrics", {}).items() if is_metric_name(name)},
        )


@dataclass(frozen=True, slots=True)
class SeatRecord:
    """What belongs to one seat of an episode that is not the policy's.

    Attributes:
        agent: Name of the agent that played it.
        instructions: What it was told once.
        tools: OpenAI function schemas it was given.
        usage: What it cost.
        segments: Tokens seen and sampled, where the agent reports them; spans index the steps of the whole episode.
        final_observation: What it was told after its last action.
    """

    agent: str = ""
    instructions: str = ""
    tools: tuple[Mapping[str, Json], ...] = ()
    usage: Usage = field(default_factory=Usage)
    segments: tuple[Segment, ...] = ()
    final_observation: str = ""

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {
            "agent": self.agent,
            "instructions": self.instructions,
            "tools": [plain(tool) for tool in self.tools],
            "usage": self.usage.to_json(),
            "segments": [segment.to_json() for segment in self.segments],
            "final_observation": self.final_observation,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> SeatRecord:
        """Rebuild from `to_json()`."""
        return cls(
            agent=data.get("agent", ""),
            instructions=data.get("instructions", ""),
            tools=tuple(data.get("tools", ())),
            usage=Usage.from_json(data.get("usage", {})),
            segments=tuple(Segment.from_json(segment) for segment in data.get("segments", ())),
            final_observation=data.get("final_observation", ""),
        )


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One played episode.

    In an episode with several seats the top-level fields are those of the policy's seat, `steps` are everybody's in the
    order they were played, and `seats` holds what belongs to the others.

    Attributes:
        episode_id: Unique within its run and the same whenever this episode is planned again.
        env_id: Registered id of the environment.
        task: `{"key", "split", "type"}` of the task.
        seed: Seed given to `reset`.
        agent: Name of the agent.
        instructions: What the agent was told once.
        tools: OpenAI function schemas the agent was given.
        steps: The turns.
        final_observation: What the environment showed after the last action.
        outcome: How it ended.
        usage: What it cost.
        segments: Tokens seen and sampled, where the policy reports them.
        group_id: Episodes of one task and seed that are compared with each other (GRPO); empty if alone.
        sample: Index of this episode within its group.
        max_turns: Horizon that was in force for this episode; None if unlimited.
        meta: Anything else worth keeping (environment arguments, run id, ...).
        seat: The policy's seat, in an episode with several; empty in an episode with one.
        seats: What belongs to the other seats that agents played, by name.
    """

    episode_id: str
    env_id: str
    task: Mapping[str, Json]
    seed: int | None = None
    agent: str = ""
    instructions: str = ""
    tools: tuple[Mapping[str, Json], ...] = ()
    steps: tuple[Step, ...] = ()
    final_observation: str = ""
    outcome: Outcome = field(default_factory=Outcome)
    usage: Usage = field(default_factory=Usage)
    segments: tuple[Segment, ...] = ()
    group_id: str = ""
    sample: int = 0
    max_turns: int | None = None
    meta: Mapping[str, Json] = field(default_factory=dict)
    seat: str = ""
    seats: Mapping[str, SeatRecord] = field(default_factory=dict)

    @property
    def return_(self) -> float:
        """Sum of the rewards of the policy."""
        return sum(step.reward for step in self.steps)

    @property
    def num_turns(self) -> int:
        """Number of messages the policy sent."""
        return len(self.steps) if not self.seats else sum(step.seat == self.seat for step in self.steps)

    @property
    def total_usage(self) -> Usage:
        """What the episode cost, all seats together."""
        return sum((record.usage for record in self.seats.values()), self.usage) if self.seats else self.usage

    def of_seat(self, name: str = "") -> Trajectory:
        """Return the episode of one seat, in the form of an episode with one seat.

        Rewards that came between two of its actions count for the first of them, rewards before its first action for
        that one; token spans index its own steps; ids end in "#name" unless it is the policy's seat.

        Args:
            name: A seat; the policy's by default. An episode with one seat is its own episode.

        Raises:
            UnknownNameError: If nobody played a seat of this name.
        """
        if not self.seats and name in ("", self.seat):
            return self
        name = name or self.seat
        if name != self.seat and name not in self.seats:
            raise unknown_name("seat", name, [seat for seat in (self.seat, *self.seats) if seat])
        return _seat_episode(self, name)

    def messages(self) -> list[Message]:
        """Return the policy's dialogue: instructions, then observations and actions in turn.

        Observations that answer native tool calls become "tool" messages, one per call.
        """
        if self.seats:
            return self.of_seat().messages()
        messages = [Message("system", self.instructions)] if self.instructions else []
        previous: Step | None = None
        for step in self.steps:
            messages += observation_messages(previous, step.observation)
            messages.append(step.action)
            previous = step
        if self.final_observation:
            messages += observation_messages(previous, self.final_observation)
        return messages

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; `seat` and `seats` are left out where there is one seat."""
        data: dict[str, Json] = {
            "episode_id": self.episode_id,
            "env_id": self.env_id,
            "task": plain(self.task),
            "seed": self.seed,
            "agent": self.agent,
            "instructions": self.instructions,
            "tools": [plain(tool) for tool in self.tools],
            "steps": [step.to_json() for step in self.steps],
            "final_observation": self.final_observation,
            "outcome": self.outcome.to_json(),
            "usage": self.usage.to_json(),
            "segments": [segment.to_json() for segment in self.segments],
            "group_id": self.group_id,
            "sample": self.sample,
            "max_turns": self.max_turns,
            "meta": plain(self.meta),
        }
        if self.seat:
            data["seat"] = self.seat
        if self.seats:
            data["seats"] = {name: record.to_json() for name, record in self.seats.items()}
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Trajectory:
        """Rebuild from `to_json()`."""
        return cls(
            episode_id=data["episode_id"],
            env_id=data["env_id"],
            task=data["task"],
            seed=data.get("seed"),
            agent=data.get("agent", ""),
            instructions=data.get("instructions", ""),
            tools=tuple(data.get("tools", ())),
            steps=tuple(Step.from_json(step) for step in data.get("steps", ())),
            final_observation=data.get("final_observation", ""),
            outcome=Outcome.from_json(data.get("outcome", {})),
            usage=Usage.from_json(data.get("usage", {})),
            segments=tuple(Segment.from_json(segment) for segment in data.get("segments", ())),
            group_id=data.get("group_id", ""),
            sample=data.get("sample", 0),
            max_turns=data.get("max_turns"),
            meta=data.get("meta", {}),
            seat=data.get("seat", ""),
            seats={name: SeatRecord.from_json(record) for name, record in data.get("seats", {}).items()},
        )

    def with_outcome(self, outcome: Outcome) -> Trajectory:
        """Return a copy that ended differently."""
        return replace(self, outcome=outcome)


_TABLE_INFO = ("rewards", "scores", "won", "exchange")
"""What the info of a step holds only where several seats are played; never part of the episode of one seat."""


def _seat_episode(whole: Trajectory, name: str) -> Trajectory:
    """Return the episode of one of several seats."""
    is_policy = name == whole.seat
    mine = [index for index, step in enumerate(whole.steps) if step.seat == name]
    ends = [*mine[1:], len(whole.steps)]
    starts = [0, *mine[1:]]  # what came before its first action counts for that one
    steps: list[Step] = []
    score = 0.0
    for own, start, end in zip(mine, starts, ends, strict=False):  # no action, no span
        span = whole.steps[start:end]
        score = next((step.info["scores"][name] for step in reversed(span) if name in step.info.get("scores", ())), score)
        steps.append(_own_step(whole.steps[own], span, name, is_policy, score))
    outcome = whole.outcome
    if not is_policy and outcome.error is None:
        last = steps[-1].info if steps else {}
        success = bool(last.get("success"))
        outcome = replace(outcome, score=score, success=success, stop_reason=_own_reason(outcome.stop_reason, success))
    record = SeatRecord(whole.agent, whole.instructions, whole.tools, whole.usage, whole.segments, whole.final_observation)
    record = record if is_policy else whole.seats[name]
    number = {index: position for position, index in enumerate(mine)}
    suffix = "" if is_policy else f"#{name}"
    hidden = () if whole.meta.get("unfinished_seat", name) == name else ("unfinished_action",)
    return replace(
        whole,
        episode_id=whole.episode_id + suffix,
        group_id=whole.group_id and whole.group_id + suffix,
        agent=record.agent,
        instructions=record.instructions,
        tools=record.tools,
        usage=record.usage,
        segments=tuple(_renumbered(segment, number) for segment in record.segments),
        final_observation=record.final_observation,
        steps=tuple(steps),
        outcome=outcome,
        meta={key: value for key, value in whole.meta.items() if key not in ("unfinished_seat", *hidden)},
        seat=name,
        seats={},
    )


def _own_step(step: Step, span: Sequence[Step], name: str, is_policy: bool, score: float) -> Step:
    """Return a step of one seat with everything that came of it until the seat acted again."""
    last = span[-1]
    reward = sum(one.reward if is_policy else one.info.get("rewards", {}).get(name, 0.0) for one in span)
    info = {key: value for key, value in step.info.items() if key not in _TABLE_INFO}
    info["reward_parts"] = add_by_name(one.info.get("reward_parts", {}) for one in span) if is_policy else {"task": reward}
    if metrics := {key: value for one in span for key, value in (one.info.get("metrics") or {}).items()}:
        info["metrics"] = metrics
    if is_policy:
        info |= {key: last.info[key] for key in ("score", "success", "stop_reason") if key in last.info}
    else:
        reason, won = last.info.get("stop_reason", ""), name in last.info.get("won", ())
        info |= {"score": score, "success": won, "stop_reason": _own_reason(reason, won)}
    return replace(step, reward=reward, terminated=last.terminated, truncated=last.truncated, info=info)


def _own_reason(reason: StopReason, success: bool) -> StopReason:
    """Return why an episode ended, as a seat with this success sees it."""
    return ("success" if success else "failure") if reason in ("success", "failure") else reason


def is_full_return(return_: float) -> bool:
    """Whether rewards add up to those of a solved episode, 1.0, as exactly as floats add up."""
    return return_ >= 1.0 - RETURN_TOLERANCE


def add_by_name(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Add up numbers by name."""
    sums: dict[str, float] = {}
    for one in parts:
        for name, value in one.items():
            sums[name] = sums.get(name, 0.0) + value
    return sums


def _renumbered(segment: Segment, number: Mapping[int, int]) -> Segment:
    """Return a segment whose spans index the steps of its seat; a span whose action was not played comes after them."""
    return replace(segment, turns=tuple(replace(span, turn=number.get(span.turn, len(number))) for span in segment.turns))


def observation_messages(previous: Step | None, observation: str) -> list[Message]:
    """Turn an observation into messages for a chat model.

    After an action with native tool calls (every call has an id) the results become one "tool" message per call;
    otherwise the observation is one "user" message.

    Args:
        previous: The step that led to `observation`, or None at the start.
        observation: The environment's text.
    """
    calls = () if previous is None else previous.action.tool_calls
    results: Iterable[Mapping[str, Json]] = () if previous is None else previous.info.get("tool_results", ())
    return result_messages(calls, [r if isinstance(r, ToolResult) else ToolResult.from_json(r) for r in results], observation)
