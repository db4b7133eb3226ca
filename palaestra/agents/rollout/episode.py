"""One episode, from plan to trajectory.

`play_episode` takes an environment from a pool, plays it with one agent, and returns what happened. Whatever fails is
attributed to the boundary it crossed and recorded; the steps played before are kept, and nothing failed is ever scored.
Four things are not data about an episode and are raised instead: cancellation, a spent budget, a mistake of the caller
(`UsageError`) while an episode is being set up, and an answer of an agent's code that is not an action (`NotAnAction`) or
not a record (`NotARecord`).
"""

from __future__ import annotations

import asyncio
import math
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from palaestra.agents.core import ENV_CALL, Agent, AgentRecord
from palaestra.agents.masking import masked, masked_message
from palaestra.agents.own import NotAnAction, answered
from palaestra.agents.rollout.env_pool import EnvPool
from palaestra.agents.rollout.env_slots import EnvSlot, RemoteFailure
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.agents.rollout.seating import Seating
from palaestra.agents.users_code import Exited, NotARecord, forked, place_of, recorded
from palaestra.envs.core.horizon import horizon_of
from palaestra.errors import (
    Boundary,
    BoundaryError,
    BudgetError,
    ContextWindowError,
    EnvironmentFault,
    MissingExtraError,
    ModelError,
    UnsupportedMediaError,
    UsageError,
)
from palaestra.media.items import write_tags
from palaestra.media.store import current_media
from palaestra.results.metrics import is_number, last_metrics, plain_number
from palaestra.types import (
    OPENING_HINTS,
    EpisodeError,
    Json,
    Message,
    Outcome,
    Step,
    StopReason,
    Trajectory,
    plain,
)
from palaestra.types.trajectory import MAX_METRIC_NAME_CHARS, add_by_name, is_full_return, is_metric_name

MAX_DETAIL_CHARS = 20_000

_Phase = Literal["make", "reset", "prepare", "act", "step", "done"]
_BOUNDARIES: dict[_Phase, Boundary] = {
    "make": "environment",
    "reset": "environment",
    "prepare": "model",
    "act": "model",
    "step": "environment",
    "done": "model",
}
_STOPPING = (MissingExtraError, UnsupportedMediaError, NotAnAction)  # mistakes of the caller that only playing shows
_SETTING_UP: tuple[_Phase, ...] = ("make", "reset", "prepare")


async def play_episode(
    plan: EpisodePlan, agent: Agent, pool: EnvPool, *, timeout_s: float | None = None, record_state_hash: bool = False
) -> Trajectory:
    """Play one episode.

    Args:
        plan: What to play.
        agent: A fork of it plays; the agent itself is left alone.
        pool: Where the environment comes from and goes back to.
        timeout_s: Wall-clock limit of the episode in seconds, waiting for a free environment not included. Code that
            blocks the event loop is only stopped at the end of the call.
        record_state_hash: Keep the digest of the world before each action, where the environment gives one.

    Raises:
        BudgetError: If the budget is spent; the episode is not recorded.
        UsageError: If the environment or the agent refuses what it was given at the start.
    """
    episode = _Episode(plan, record_state_hash)
    slot: EnvSlot | None = None
    async with pool.seat(plan):
        try:
            async with asyncio.timeout(timeout_s) as clock:
                slot = await pool.take(plan)
                token = ENV_CALL.set(slot.call)  # agents that ask the environment, as experts do, ask it where it lives
                try:
                    await episode.play(slot, agent)
                finally:
                    ENV_CALL.reset(token)
        except (BudgetError, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # SystemExit too: code of an agent or a world ends its episode, not the evaluation
            error = error.original if isinstance(error, Exited) else error
            if (episode.phase in _SETTING_UP and isinstance(error, UsageError)) or isinstance(error, _STOPPING):
                raise
            if clock.expired():
                waited = "model" if _BOUNDARIES[episode.phase] == "model" else "environment"
                message = f"The episode took longer than {timeout_s} s (episode_timeout_s); it was waiting for the {waited}."
                error = ModelError(message) if waited == "model" else EnvironmentFault(message)
            episode.fail(error)
        finally:
            if slot is not None:
                # an environment that failed, or was left in the middle of a call, is never used again
                await pool.give_back(slot, reusable=episode.env_is_sound)
    return episode.trajectory()


class _Episode:
    """What is known of an episode while it is played."""

    def __init__(self, plan: EpisodePlan, record_state_hash: bool) -> None:
        self.plan = plan
        self.phase: _Phase = "make"
        self.env_is_sound = False
        self._record_state_hash = record_state_hash
        self._agent: Agent | None = None
        self._agent_name = ""
        self._seating: Seating | None = None
        self._reset_info: Mapping[str, Any] = {}
        self._steps: list[Step] = []
        self._observation = ""
        self._return = 0.0
        self._max_turns = plan.max_turns
        self._has_metrics = False
        self._unfinished: Message | None = None
        self._outcome = Outcome()
        self._env_s = 0.0
        self._model_s = 0.0

    async def play(self, slot: EnvSlot, agent: Agent) -> None:
        """Reset the environment and the agent, then act until the end."""
        plan, clock = self.plan, time.perf_counter
        self._agent_name = agent.name
        env_limit = horizon_of(slot.env)
        if env_limit is not None:
            self._max_turns = env_limit if plan.max_turns is None else min(env_limit, plan.max_turns)
        self._has_metrics = slot.has_metrics
        self.phase = "reset"
        self._seating = seating = Seating(slot.env.unwrapped, agent)
        started = clock()
        observation, info = await slot.call(slot.reset, plan.seed, seating.options(plan))
        self._env_s += clock() - started
        self._observation = _checked_text(observation)
        self._reset_info = info
        seating.begin(info)
        self.phase = "prepare"
        player = forked(agent)
        self._agent = player
        self._agent_name = player.name
        player.reset(info, env=slot.env, session=plan.session or plan.episode_id)
        state_hash = slot.state_hash if self._record_state_hash else None
        while True:
            digest = None
            if state_hash is not None:
                self.phase = "step"
                digest = await slot.call(state_hash)
            self.phase = "act"
            started = clock()
            try:
                action = _checked_action(await player.aact(self._observation, seating.shown(info, len(self._steps))))
            except ContextWindowError:
                # not even the opening fits: that is a setting to correct, not a way to play; nor is a partner's full context
                if not seating.is_policys_turn or not any(step.seat == seating.policy for step in self._steps):
                    raise
                self._model_s += clock() - started
                if not seating.has_seats:
                    self._cut_short("max_tokens")
                    break
                self.phase = "step"
                observation, reward, terminated, truncated, info = await slot.call(slot.cut, "max_tokens")
                if self._amend(_checked_text(observation), float(reward), bool(terminated), bool(truncated), info):
                    break
                continue
            ended = clock()
            self._model_s += ended - started
            self._unfinished = action
            self.phase = "step"
            observation, reward, terminated, truncated, info = await slot.call(slot.step, action)
            self._env_s += clock() - ended
            if self._take(action, _checked_text(observation), float(reward), bool(terminated), bool(truncated), info, digest):
                break
            await asyncio.sleep(0)  # agents and worlds that never wait must not starve the other episodes
        self.phase = "done"
        self.env_is_sound = True

    def _take(
        self,
        action: Message,
        observation: str,
        reward: float,
        terminated: bool,
        truncated: bool,
        info: Mapping[str, Any],
        digest: str | None,
    ) -> bool:
        """Keep one finished step; return whether the episode is over."""
        score = self._figures(len(self._steps), reward, info)
        seating = self._seating
        assert seating is not None
        is_limited = self.plan.max_turns is not None and not seating.has_seats  # who has seats keeps the horizon itself
        at_limit = is_limited and len(self._steps) + 1 >= (self.plan.max_turns or 0)
        truncated = truncated or (at_limit and not terminated)
        seat, info = seating.acting, seating.kept(info)
        self._steps.append(Step(self._observation, action, reward, terminated, truncated, _kept(info), digest, seat))
        self._unfinished = None
        self._observation = observation
        return self._is_over(terminated, truncated, score, info)

    def _figures(self, index: int, reward: float, info: Mapping[str, Any]) -> float:
        """Add a step's reward to the return, and return its score; what is not a figure is the environment's fault."""
        if not math.isfinite(reward):
            raise EnvironmentFault(f"The reward of step {index} is {reward}; expected a finite number.")
        self._return += reward
        if not math.isfinite(self._return):
            raise EnvironmentFault(f"The rewards up to step {index} add up to {self._return}; expected a finite sum.")
        score = plain_number(info.get("score", self._return))
        score = float(score) if isinstance(score, bool) else score
        if not is_number(score):
            raise EnvironmentFault(f"info['score'] of step {index} is {score!r}; expected a finite number.")
        for name, value in (info.get("metrics") or {}).items() if self._has_metrics else ():
            if not is_metric_name(name):
                raise EnvironmentFault(
                    f"A metric of step {index} has the name {repr(name)[:200]}; expected printable text of 1 to "
                    f"{MAX_METRIC_NAME_CHARS} characters."
                )
            if not is_number(value):
                raise EnvironmentFault(f"The metric {name!r} of step {index} is {value!r}; expected a finite number.")
        return float(score)  # type: ignore[arg-type]

    def _is_over(self, terminated: bool, truncated: bool, score: float, info: Mapping[str, Any]) -> bool:
        """Note how the episode ended, if it did."""
        if not terminated and not truncated:
            return False
        # an environment without `success` in its info follows the contract's reward: 1.0 for a solved episode
        success = bool(info.get("success", terminated and is_full_return(self._return)))
        reason: StopReason = info.get("stop_reason") or (
            "max_rounds" if truncated and not terminated else "success" if success else "failure"
        )
        self._outcome = Outcome(score, success, reason, metrics=self._last_metrics())
        return True

    def _amend(self, observation: str, reward: float, terminated: bool, truncated: bool, info: Mapping[str, Any]) -> bool:
        """Add to the last step what came of cutting the episode after it; return whether the episode is over."""
        seating, last = self._seating, self._steps[-1]
        assert seating is not None
        score = self._figures(len(self._steps) - 1, reward, info)
        info = _kept(seating.kept(info))
        merged = {**last.info, **{key: value for key, value in info.items() if key not in ("action_error", "tool_results")}}
        for key in ("reward_parts", "rewards"):
            if key in info:
                merged[key] = add_by_name((last.info.get(key, {}), info[key]))
        if "metrics" in info:
            merged["metrics"] = {**last.info.get("metrics", {}), **info["metrics"]}
        self._steps[-1] = replace(last, reward=last.reward + reward, terminated=terminated, truncated=truncated, info=merged)
        self._observation = observation
        return self._is_over(terminated, truncated, score, info)

    def _cut_short(self, reason: StopReason) -> None:
        """End the episode after its last step, with the score it has."""
        last = self._steps[-1]
        self._steps[-1] = replace(last, truncated=True)
        score, success = float(last.info.get("score", self._return)), bool(last.info.get("success", False))
        self._outcome = Outcome(score, success, reason, metrics=self._last_metrics())

    def _last_metrics(self) -> dict[str, float]:
        """Return what the environment measured, if it declares metrics."""
        return last_metrics(self._steps) if self._has_metrics else {}

    def fail(self, error: BaseException) -> None:
        """Record what ended the episode."""
        boundary = error.boundary if isinstance(error, (BoundaryError, RemoteFailure)) else _BOUNDARIES[self.phase]
        if self._seating is not None and self.phase == "act":
            boundary = self._seating.boundary(boundary)
        # a model's failure leaves the environment between two steps, ready for the next reset
        is_agents = boundary in ("model", "user", "judge")
        self.env_is_sound = self.phase in ("prepare", "act", "done") and is_agents
        name = error.type_name if isinstance(error, RemoteFailure) else type(error).__name__
        detail = error.detail if isinstance(error, RemoteFailure) else "".join(traceback.format_exception(error))
        message, detail = masked_message(str(error)) or f"{name} without a message", masked_message(detail)
        if is_agents and (place := place_of(error)):
            message = f"{message} (in {place})"
        self._outcome = Outcome(
            stop_reason="" if is_agents else "env_error",
            error=EpisodeError(boundary, name, message, detail[-MAX_DETAIL_CHARS:]),
        )

    def trajectory(self) -> Trajectory:
        """Return the played episode."""
        record = AgentRecord()
        if self._agent is not None:
            try:
                record = recorded(self._agent)
            except NotARecord:
                raise
            except (Exception, SystemExit) as error:
                if self._outcome.error is None:
                    self.phase = "done"
                    self.fail(error)
        plan, info = self.plan, self._reset_info
        task = plain(info.get("task")) or {"key": plan.task_key or "", "split": "", "type": ""}
        meta: dict[str, Json] = {"env_kwargs": masked(plain(plan.env_kwargs))} if plan.env_kwargs else {}
        if plan.wrappers:
            meta["wrappers"] = plain(plan.wrappers)
        meta |= {key: plain(info[key]) for key in OPENING_HINTS if key in info}
        seating = self._seating
        if self._unfinished is not None:
            meta["unfinished_action"] = self._unfinished.to_json()
            meta |= seating.meta() if seating is not None else {}
        is_open = seating is not None and seating.is_open
        return Trajectory(
            episode_id=plan.episode_id,
            env_id=plan.env_id,
            task=task,
            seed=plan.seed,
            agent=masked(self._agent_name),
            instructions=str(info.get("instructions", "")),
            tools=tuple(plain(tool) for tool in info.get("tools", ())),
            steps=tuple(self._steps),
            final_observation=self._observation,
            outcome=self._outcome,
            # the seats of a tick are asked together, so that only each agent knows how long it took
            usage=record.usage.timed(record.usage.model_s if is_open else self._model_s, self._env_s),
            segments=record.segments,
            group_id=plan.group_id,
            sample=plan.sample,
            max_turns=self._max_turns,
            meta=meta,
            seat=seating.policy if seating is not None else "",
            seats=seating.records(record) if seating is not None and is_open else {},
        )


def _checked_text(observation: object) -> str:
    """Return an observation if it is text."""
    if not isinstance(observation, str):
        raise EnvironmentFault(f"The observation is a {type(observation).__name__}; expected a str.")
    return observation


def _checked_action(action: object) -> Message:
    """Return an agent's answer as the assistant message it has to be."""
    message = action if isinstance(action, Message) and action.role == "assistant" else answered(action)
    if message.media:
        _check_media(message)
    return message


def _check_media(action: Message) -> None:
    """Refuse media that a message does not name, or whose bytes are nowhere."""
    try:
        write_tags(action.content, action.media)
    except UsageError as error:
        raise ModelError(f"The agent's message is not well-formed: {error}") from None
    for item in action.media:
        if current_media().find(item) is None:
            raise ModelError(
                f"The agent's message has the {item.kind} {item.sha256}, whose bytes are nowhere. Put them first: "
                f"palaestra.media.current_media().put(data)."
            )


def _kept(info: Mapping[str, Any]) -> dict[str, Json]:
    """Return the part of a step's info that can be stored: everything with a plain JSON form."""
    kept: dict[str, Json] = {}
    for key, value in info.items():
        try:
            kept[key] = plain(value)
        except TypeError:  # arrays of objects, engines ... of foreign environments
            continue
    return kept


__all__ = ["play_episode"]
