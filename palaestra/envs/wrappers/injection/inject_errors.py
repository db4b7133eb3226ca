"""`InjectErrors`: errors in the calls of any environment with tools, on purpose and by plan."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gymnasium.utils import RecordConstructorArgs

from palaestra.envs.core.outermost import outermost
from palaestra.envs.core.snapshots import digest, read_snapshot, write_snapshot
from palaestra.envs.core.tasks import Task
from palaestra.envs.tools.json_schema import validator_of
from palaestra.envs.wrappers.chance import generator_of, numbers_of
from palaestra.envs.wrappers.injection.critique import Channel, describe, read_critique, report_name, report_schema
from palaestra.envs.wrappers.injection.episode import Injection
from palaestra.envs.wrappers.injection.outcomes import follow
from palaestra.envs.wrappers.injection.plans import Mode, Plan, PlanSampler, Sampler, checked_mode, plan_of, sampler_of
from palaestra.envs.wrappers.injection.playing import play_without
from palaestra.envs.wrappers.injection.prefix import present
from palaestra.envs.wrappers.injection.reading import read_action
from palaestra.envs.wrappers.injection.recovery import recovering
from palaestra.envs.wrappers.injection.striking import strike
from palaestra.envs.wrappers.injection.tool_list import Tool, same_call, tool_list
from palaestra.envs.wrappers.injection.turn import Turn
from palaestra.envs.wrappers.text_wrapper import Action, Env, Result, TextWrapper
from palaestra.errors import ConfigError, EpisodeStateError, unknown_name
from palaestra.types import Json, Message, ToolResult

_NAME, _FIELDS = "InjectErrors", ("inner", "origin", "number", "injection")


class InjectErrors(TextWrapper, RecordConstructorArgs):
    """Makes calls of tools go wrong, one a episode, so that agents can be graded on and trained in recovering from them.

    Three modes:

    * "slip": one of the agent's own calls is replaced by a wrong one before it is run: another tool, a tool that is not
      there, a wrong key or a wrong value. The right call is the agent's own.
    * "outage": one of the agent's calls is not run; a service fails on it instead. The same call fails `persistence` times
      and then works.
    * "prefix": the environment's expert plays the beginning, the next step is shown with an error as if the agent had made
      it, and the agent continues. The right call is the expert's.

    A step is a message with calls, counted from 1. The error befalls the first call of a step that is right by the schemas;
    if there is none, the next step that has one. A wrong call is run by the environment itself, so that what it says is its
    own; a call that a service fails on costs a turn and changes nothing. If a call cannot be made wrong as planned, it is
    made wrong in another way, and `info["injection"]` says in which.

    All chance comes from (`seed`, reset seed, number of the episode since that reset seed, task), and never from the
    environment's own stream. An episode whose plan has no label is the environment's own to the byte, unless a critique is
    asked for.

    `info["injection"]`, in the step of the error: `mode`, `label`, `family`, `kind`, `planned` (the plan), `step`, `turn`,
    `index` of the call in its message, `explicit` (whether it failed), `changed` (whether a wrong call changed anything),
    `call` (the right one), `wrong` (the one that was run), `played` (the message that stands in the history instead of the
    agent's own), `result`, `failures`. In the last step of an episode without its error: `planned` and `why`.
    `info["critique"]`, from the step that answers the error: `components`, `value`, `behaviour`, `claim`, `retries`,
    `recovered`, `steps_to_recovery`.

    Reward: `w_task` times the environment's, and `w_critic` times the value of the critique once, in the step that answers the
    error; every repetition of a failed call after the third costs a tenth of `w_critic`. `reward_parts` has it as "critic".
    `score` and `success` are not touched.

    Args:
        env: Any environment whose `info` has tools.
        plan: What goes wrong, for every episode, e.g. `{"step": 1, "label": "rate_limit", "persistence": 1}` (see `Plan`);
            None draws a plan for each.
        sampler: Draws plans: a `PlanSampler`, a dict of its fields, or a callable of a generator and the mode.
        mode: How errors come about.
        seed: Seed of the errors.
        critique: How agents are told to report an error in their last call: "text" (a tag in front of the next call), "tool"
            (a tool that reports), or None for not at all. Reports are taken out before the environment sees a message.
        w_task: Weight of the environment's reward.
        w_critic: Weight of the critique.

    Raises:
        ConfigError: If an argument has a wrong value, or the mode cannot inject what the plan says.
        MissingExtraError: If `jsonschema-rs` is not installed and there is something to inject.

    Papers:
        CriticTool (arXiv:2506.13977): labels and grading. Injection into running episodes is ours.
    """

    def __init__(
        self,
        env: Env,
        plan: Mapping[str, Any] | Plan | None = None,
        sampler: Sampler | None = None,
        mode: Mode = "slip",
        seed: int = 0,
        critique: Channel | None = None,
        w_task: float = 1.0,
        w_critic: float = 0.5,
    ) -> None:
        """Check the arguments."""
        self.mode: Mode = checked_mode(mode)
        if critique not in (None, "text", "tool"):
            raise unknown_name("critique channel", critique, ("text", "tool"))
        if plan is not None and sampler is not None:
            raise ConfigError("Both a plan and a sampler were given; give one of them.")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise ConfigError(f"seed is {seed!r}; expected an integer.")
        for name, weight in (("w_task", w_task), ("w_critic", w_critic)):
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not -1e9 < weight < 1e9:
                raise ConfigError(f"{name} is {weight!r}; expected a finite number.")
        self.plan = None if plan is None else plan_of(plan, self.mode)
        self.sampler = sampler_of(sampler)
        RecordConstructorArgs.__init__(
            self,
            plan=None if self.plan is None else self.plan.to_json(),
            sampler=sampler,
            mode=mode,
            seed=seed,
            critique=critique,
            w_task=w_task,
            w_critic=w_critic,
            _disable_deepcopy=callable(sampler),
        )
        if self.plan is None or self.plan.label:
            validator_of("{}")  # calls are checked by their schemas: what is missing for that is told now
        super().__init__(env)
        self.seed, self.critique = seed, critique
        self.w_task, self.w_critic = float(w_task), float(w_critic)
        self._origin: int | None = None
        self._number = 0
        self._injection: Injection | None = None
        self._task = Task("", "", "", {})
        self._schemas: Sequence[Mapping[str, Any]] | None = None
        self._tools: dict[str, Tool] | None = None
        self._listed: tuple[list[Mapping[str, Any]], dict[str, Tool]] | None = None
        self._report = ""

    # -- Gymnasium ------------------------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode and draw its plan; in mode "prefix" also play its beginning."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._number = 0 if seed is not None else self._number + 1
        self._origin = seed if seed is not None else self._origin
        self._task = _task_of(info, observation)
        self._offer(info.get("tools") or ())
        key: list[Json] = [self.seed, self._origin, self._number, self._task.key]
        injection = self._injection = Injection(self._drawn(key).to_json(), key)
        if injection.label:
            injection.note(observation)
        if self.mode == "prefix" and (injection.label or self.critique is not None):
            observation, info = present(self, injection, (observation, info), seed=seed, options=options)
        if self.critique is not None:
            rules = describe(self.critique, self._report)
            info = {**info, "instructions": "\n\n".join(filter(None, (info.get("instructions"), rules)))}
            info["tools"] = self._shown_tools(info.get("tools") or ())
        return observation, info

    def step(self, action: Action) -> Result:
        """Play one action, with an error in it where the plan says so."""
        injection = self._injection
        if injection is None or (not injection.label and self.critique is None and self.w_task == 1.0):
            return self.env.step(action)
        if injection.is_answered and self.critique is None:
            injection.turn += 1
            result = self.env.step(action)
            return follow(self, injection, self._late_turn(action, injection, result[4]), result)
        message = read_action(self.env.unwrapped, action, self.schemas)
        turn = Turn(action, message)
        if message is not None:
            turn.claim, bare, turn.reports = read_critique(message, self._report)
            turn.bare = message if self.critique is None else bare  # who was not told how to report may write anything
        injection.turn += 1
        observation, reward, terminated, truncated, info = self._play(turn, injection)
        if "tools" in info:
            self.offer(info)
            info = {**info, "tools": self._shown_tools(info["tools"])}
        return follow(self, injection, turn, (observation, reward, terminated, truncated, info))

    # -- the contract ---------------------------------------------------------------------------------------------

    @property
    def snapshot(self) -> Callable[[], bytes]:
        """`snapshot()` of the environment together with the state of the injection."""
        self._inner("snapshot")
        return self._snapshot

    @property
    def restore(self) -> Callable[[bytes], None]:
        """`restore(snapshot)` of what `snapshot()` returned."""
        self._inner("restore")
        return self._restore

    @property
    def state_hash(self) -> Callable[[], str]:
        """`state_hash()` of the environment and of the error that is still to come or to be answered."""
        self._inner("state_hash")
        return self._state_hash

    @property
    def expert(self) -> Callable[..., Iterator[str | Message]]:
        """`expert()` of the environment, which also recovers: it repeats a failed call, skips it, or says that it failed."""
        ask = self._inner("expert")
        return lambda *seat: recovering(self, ask, seat)

    @property
    def full_return(self) -> float | None:
        """Return of a solved episode; None, for it is not fixed, unless rewards are left as they are."""
        full = self._inner("full_return")
        return full if self.w_critic == 0.0 and self.w_task == 1.0 and self.mode != "prefix" else None

    @property
    def schemas(self) -> Sequence[Mapping[str, Any]]:
        """OpenAI function schemas of the environment's tools, the one that reports left out."""
        if self._schemas is None:  # after a restore
            ask = outermost(self.env, "tools")
            self._offer(ask() if callable(ask) else ())
        assert self._schemas is not None
        return self._schemas

    @property
    def tools_by_name(self) -> dict[str, Tool]:
        """The same tools, ready to check calls."""
        if self._tools is None:
            schemas = self.schemas
            if self._listed is None or list(schemas) != self._listed[0]:  # most tasks have the tools of the last one
                self._listed = list(schemas), tool_list(schemas)
            self._tools = self._listed[1]
        return self._tools

    @property
    def injection(self) -> Injection | None:
        """State of the current episode; None before the first `reset`."""
        return self._injection

    @property
    def report_tool(self) -> str:
        """Name of the tool that reports; empty unless there is one."""
        return self._report if self.critique == "tool" else ""

    def offer(self, info: Mapping[str, Any]) -> None:
        """Take the tools that an info brings, if it brings any."""
        if "tools" in info:
            self._offer(info["tools"] or ())

    # -- private --------------------------------------------------------------------------------------------------

    def _play(self, turn: Turn, injection: Injection) -> Result:
        """Play a message: with an error, without a call that still fails, or as it is."""
        message, calls = turn.message, turn.calls
        answered = {
            i: ToolResult(self._report, "Noted.", "ok", message.tool_calls[i].id) for i in turn.reports if message is not None
        }
        if message is not None and calls and injection.is_waiting:
            injection.steps += 1
            if injection.steps >= injection.plan["step"]:
                struck = strike(self, injection, message, answered)
                if struck is not None:
                    return struck
        gold = injection.right_call
        if message is not None and gold is not None and injection.family == "external":
            at = next((i for i, call in calls if same_call(call, gold)), None)
            if at is not None:
                injection.retries += injection.turn_recovered is None
                if injection.left:
                    injection.left -= injection.left > 0
                    injection.turn_failed = injection.turn
                    failed = ToolResult.from_json(injection.result or {})
                    answered[at] = replace(failed, call_id=message.tool_calls[at].id)
        if answered and message is not None:
            return play_without(self.env, message, answered)
        if turn.bare is not turn.message and turn.bare is not None:
            return self.env.step(turn.bare)
        return self.env.step(turn.action)

    def _late_turn(self, action: Action, injection: Injection, info: Mapping[str, Any]) -> Turn | None:
        """Return a turn after the answer to the error; None where it cannot be the recovery, which saves reading it."""
        names = [result.name for result in info.get("tool_results") or ()]
        if injection.turn_recovered is not None or (names and (injection.gold or {}).get("name") not in names):
            return None
        return Turn(action, read_action(self.env.unwrapped, action, self.schemas))

    def _drawn(self, key: list[Json]) -> Plan:
        """Return the plan of an episode, with its step drawn where the mode need not know how long the episode is."""
        if self.plan is not None and (self.plan.step != "random" or self.mode == "prefix"):
            return self.plan
        if self.plan is None and isinstance(self.sampler, PlanSampler):
            plan = self.sampler.at(numbers_of([*key, "plan"]), self.mode)
            if plan.step != "random" or self.mode == "prefix":
                return plan
        rng = generator_of([*key, "plan"])
        plan = self.plan if self.plan is not None else plan_of(self.sampler(rng, self.mode), self.mode)
        if plan.step == "random" and self.mode != "prefix":
            plan = replace(plan, step=1 + int(rng.integers(3)))
        return plan

    def _offer(self, schemas: Sequence[Mapping[str, Any]]) -> None:
        """Take other tools."""
        self._schemas, self._tools = schemas, None
        if self.critique == "tool":
            self._report = report_name([tool["function"]["name"] for tool in self._schemas])

    def _shown_tools(self, schemas: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the tools that agents are offered: with the one that reports, where there is one."""
        return [*schemas, report_schema(self._report)] if self.critique == "tool" else list(schemas)

    def _inner(self, name: str) -> Any:
        """Return an attribute of the wrapped environment, or say that there is none in the way that `hasattr` understands."""
        found = outermost(self.env, name)
        if found is None and not self.env.has_wrapper_attr(name):
            raise AttributeError(f"{self.env} has no {name}.")
        return found

    def _snapshot(self) -> bytes:
        """Return both states as bytes."""
        inner = self._inner("snapshot")()
        fields: dict[str, Json] = {
            "inner": base64.b64encode(inner).decode(),
            "origin": self._origin,
            "number": self._number,
            "injection": None if self._injection is None else self._injection.to_json(),
        }
        return write_snapshot(_NAME, self._task, fields, None, None, self._settings())

    def _restore(self, snapshot: bytes) -> None:
        """Look at the bytes, then restore both states."""
        saved = read_snapshot(snapshot, _NAME, _FIELDS, self._settings())
        try:
            inner = base64.b64decode(saved.fields["inner"], validate=True)
            data = saved.fields["injection"]
            injection = None if data is None else Injection.from_json(data)
        except Exception as error:
            raise EpisodeStateError(
                f"This snapshot of {_NAME} is incomplete ({error!r}); pass what snapshot() returned."
            ) from None
        self._inner("restore")(inner)
        self._origin, self._number, self._injection = saved.fields["origin"], saved.fields["number"], injection
        self._task, self._schemas, self._tools = saved.task, None, None
        _ = self.schemas

    def _settings(self) -> dict[str, Json]:
        """Return the settings that decide how an episode continues."""
        plan = None if self.plan is None else self.plan.to_json()
        return {
            "mode": self.mode,
            "plan": plan,
            "seed": self.seed,
            "critique": self.critique,
            "weights": [self.w_task, self.w_critic],
        }

    def _state_hash(self) -> str:
        """Return the digest of both states; the environment's own where nothing is injected."""
        inner = str(self._inner("state_hash")())
        injection = self._injection
        if injection is None or (not injection.label and self.critique is None):
            return inner
        return digest([inner, injection.hashed()])


def _task_of(info: Mapping[str, Any], observation: str) -> Task:
    """Return the task of an episode; the observation names it where the environment does not."""
    task = info.get("task")
    if isinstance(task, Mapping) and "key" in task:
        return Task(str(task["key"]), str(task.get("split", "")), str(task.get("type", "")), {})
    return Task(digest(observation), "", "", {})


__all__ = ["InjectErrors"]
