"""`palaestra/ToolForge-v0`: the Gymnasium face of instances of tool-use tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from palaestra.envs.core.actions import sayable
from palaestra.envs.core.tasks import Task
from palaestra.envs.core.text_env import Turn
from palaestra.envs.core.tool_env import EMPTY_MESSAGE, ToolEnv
from palaestra.envs.formats.hermes import format_message, format_results
from palaestra.envs.formats.reasoning import said
from palaestra.envs.toolforge.answers import is_right
from palaestra.envs.toolforge.executors import PUBLISHED_OUTPUT_CHARS, PUBLISHED_TIMEOUT_S, Runner
from palaestra.envs.toolforge.expert import answer_of, noisy, ready_nodes
from palaestra.envs.toolforge.instance import Instance
from palaestra.envs.toolforge.progress import (
    EMPTY,
    MARKUP,
    METRICS,
    SCHEMES,
    Scheme,
    Solved,
    Tally,
    measures,
    open_nodes,
    reward_of_answer,
    reward_of_calls,
    solved_of,
)
from palaestra.envs.toolforge.published import answer_verify, is_present, message_reward
from palaestra.envs.toolforge.readers import PARSERS, Parser, read_published, text_of_arguments
from palaestra.envs.toolforge.rows import answer_text
from palaestra.envs.toolforge.strict import Played, solved_by
from palaestra.envs.toolforge.tasks import BuiltTasks, FileTasks, ForgeTasks, checked_scenario, prefix_of
from palaestra.envs.tools import SchemaTool, Toolkit, ToolRefusal
from palaestra.envs.tools.toolkit import MAX_RESULT_CHARS
from palaestra.errors import ConfigError, UsageError, unknown_name
from palaestra.types import Json, Message, ToolCall, ToolResult, ToolStatus

PROFILES = ("strict", "published")
REWARDS = ("paper_turn", "episode_f1", "success", "mixed")
MALFORMED = ("terminate", "feedback")
MIXED = MappingProxyType({"success": 0.5, "episode_f1": 0.5})
FAILED = ("error", "not_found")
"""Words under `status` by which a tool reports a failure as data."""
UNREADABLE = (
    "Your message has marks of a tool call, and no call in it can be read. Write the call again, or answer in plain text."
)


class ToolForgeEnv(ToolEnv):
    """Answer a question by calling tools that exist for this question alone, and prove it by what they returned.

    ## Description
    A question has one or more parts, its nodes. Each node is answered by one call of one tool; nodes stand alone, side by
    side, in a chain, or in branches that are joined (the four scenarios, which are the task types). Every task has tools of
    its own, among them some that no part needs. A node counts as solved when a call returned its answer.

    ## Action
    An assistant message with tool calls, or a text in the form of `palaestra.envs.formats.hermes`; a message without calls
    is the final answer: the answer alone in the last line, or between `<answer>` tags. With `profile="published"` texts are
    read as the published scorer reads them (see `parser`), after thoughts were taken away, as everywhere in this package.

    ## Observation
    First the question, then the results of each message's calls, in order. `info` of a step has `solved` (ids of the nodes
    solved so far), `remaining` (how many are not), `metrics` and `parse_errors`.

    ## Reward
    `reward="success"`: 1 with the final answer if every node is solved and the answer is right. `"episode_f1"`: the episode's
    Solve-F1 at its end; it does not look at the final answer. `"mixed"`: both, by `weights`. `"paper_turn"`: the paper's
    reward of every message: for p calls that solve q nodes 2q / (p + 1) (other `scheme`s: q / p, q, q * q / p), for an answer
    1 / (open nodes + 1) if it is right and 0.5 if it is wrong and every node is solved, -0.3 for marks of a call without a
    call, -0.5 for an empty message. Summed over an episode, useless messages are free under it and one call a message earns
    more than several; it is meant for each turn alone (discount 0).

    ## Termination and truncation
    Terminated by the final answer, truncated after `max_turns` messages. A message that tries to call a tool and cannot be
    read is told so and costs a turn; with `malformed="terminate"` it ends the episode, as published.

    ## Arguments
    * `preset`: "tiny", "easy", "paper_like", "hard" or "stress" (`palaestra.envs.toolforge.build`).
    * `scenario`: only "single_hop", "parallel_single_hop", "multi_hop" or "parallel_multi_hop".
    * `levels`: fixes levels of complexity (`function`, `params`, `types`, `toolset`, each 0 to 3) of built tasks.
    * `builder_seed`: names another endless sequence of built tasks.
    * `instances`: path of a file of instances in place of built ones: `toolenv/1` or published rows, JSON lines or parquet.
    * `profile`: "strict" (schemas are checked, answers are compared by type and between token boundaries, an argument that
      brings the answer along solves nothing) or "published" (bug for bug as published: substrings, errors can solve).
    * `reward`, `scheme`, `weights`: see above; `weights` is for "mixed", by default half success, half F1.
    * `no_free_guess`: whether under "paper_turn" an answer brings nothing while nodes are open; by default under strict.
    * `malformed`: "feedback" (default under strict) or "terminate" (default as published).
    * `parser`: how texts are read under "published": "auto", "tags", "json" or "openai".
    * `max_calls_per_turn`: calls of one message that are run; further ones are refused. Under "published" all are run.
    * `tool_timeout_s`: wall time of a call of a Python tool; by default 2 s, as published 10 s.
    * `executor`: what runs Python tools, see `palaestra.envs.sandbox.Sandbox`. Tables need none.
    * `expert_noise`: share of the expert's calls that go wrong first, so that demonstrations show how errors are corrected.
    * `lenient`: also accept near misses in calls (strict).
    * `split`: "train" or "test"; by default "train", or the first split of the file.
    * `max_turns`: messages after which the episode is truncated.

    Registered ids: `palaestra/ToolForge-v0` (preset "easy", reward "success", 20 turns).

    Expert: the golden calls, one message a level of the graph, then the answer; nothing where a golden call is not known, as
    in published rows. It continues from what is solved already.

    Data: made by this package, or read from `instances`. The published rows (Apache-2.0, bytedance/FTRL) are not shipped.

    Papers:
        FTRL (arXiv:2508.08791): scenarios, rewards of turns, measures, the published scorer. Left out: its training code.

    Version history: v0, the first.
    """

    results = "palaestra.envs.toolforge.results:forge_results"
    metrics = METRICS
    snapshot_fields: ClassVar[tuple[str, ...]] = (*ToolEnv.snapshot_fields, "_tally")
    snapshot_types: ClassVar[Mapping[str, Any]] = MappingProxyType({**ToolEnv.snapshot_types, "_tally": dict[str, Any]})

    def __init__(
        self,
        *,
        preset: str = "easy",
        scenario: str | None = None,
        levels: Mapping[str, int] | None = None,
        builder_seed: int = 0,
        instances: str | Path | None = None,
        profile: str = "strict",
        reward: str = "success",
        scheme: Scheme = "f1",
        weights: Mapping[str, float] | None = None,
        no_free_guess: bool | None = None,
        malformed: str | None = None,
        parser: Parser = "auto",
        max_calls_per_turn: int = 32,
        tool_timeout_s: float | None = None,
        executor: str = "auto",
        expert_noise: float = 0.0,
        lenient: bool = False,
        split: str | None = None,
        max_turns: int | None = 20,
        render_mode: str | None = None,
    ) -> None:
        """Check the arguments, and open the file of instances if there is one."""
        is_published = profile == "published"
        malformed = malformed or ("terminate" if is_published else "feedback")
        _one_of("profile", profile, PROFILES)
        _one_of("reward", reward, REWARDS)
        _one_of("scheme", scheme, SCHEMES)
        _one_of("malformed", malformed, MALFORMED)
        _one_of("parser", parser, PARSERS)
        if parser != "auto" and not is_published:
            raise ConfigError(f"parser={parser!r} goes with profile='published'; strict reads texts as the contract says.")
        if isinstance(expert_noise, bool) or not isinstance(expert_noise, int | float) or not 0 <= expert_noise < 1:
            raise ConfigError(f"expert_noise is {expert_noise!r}; expected a number from 0 to below 1.")
        self.profile, self.reward, self.scheme, self.malformed, self.parser = profile, reward, scheme, malformed, parser
        self.weights = _weights(reward, weights)
        self.no_free_guess = not is_published if no_free_guess is None else bool(no_free_guess)
        self.tool_timeout_s = (PUBLISHED_TIMEOUT_S if is_published else 2.0) if tool_timeout_s is None else tool_timeout_s
        self.executor = executor
        self.noise = float(expert_noise)  # not a setting of the episode: snapshots are restored whatever it is
        varies = "paper_turn" in self.weights or (self.noise and "episode_f1" in self.weights)
        self.full_return = None if varies else sum(self.weights.values())  # type: ignore[misc]
        self._runner = self._new_runner()
        self._instance: Instance | None = None
        self._implementations: dict[str, dict[str, Any]] = {}
        self._solved: Solved = {}
        self._tally: dict[str, Json] = Tally().to_json()
        self._values: dict[int, object] = {}
        checked_scenario(scenario)
        tasks: ForgeTasks = (
            BuiltTasks(preset, scenario=scenario, levels=levels, seed=builder_seed)
            if instances is None
            else FileTasks(instances, scenario=scenario)
        )
        super().__init__(
            tasks,
            rules=_rules(),
            max_calls_per_turn=max_calls_per_turn,
            lenient=lenient,
            split=split or ("train" if "train" in tasks.splits else tasks.splits[0]),
            max_turns=max_turns,
            render_mode=render_mode,
        )

    @property
    def instance(self) -> Instance:
        """The instance of the current task.

        Raises:
            UsageError: Before the first `reset`.
        """
        if self._instance is None:
            raise UsageError("There is no instance before reset(); call reset() first.")
        return self._instance

    def expert(self) -> Iterator[str]:
        """Yield the golden calls, a message for each level, then the answer; nothing where one is not known."""
        instance = self.instance
        if instance.final.answer is None or any(node.golden_args is None for node in instance.nodes):
            return
        idle = 0
        while (ready := ready_nodes(instance.nodes, [*self._solved])) and idle < 50:
            before, turn = len(self._solved), self._tally["turns"]
            golden = [ToolCall(node.tool, node.golden_args or {}) for node in ready[: self.max_calls_per_turn]]
            calls = [noisy(instance, call, self.noise, turn, place) for place, call in enumerate(golden)]
            yield format_message(Message("assistant", "", tuple(calls)))
            idle = 0 if len(self._solved) > before else idle + 1
            if idle and not self.noise:
                return
        yield answer_of(instance, is_published=self.profile == "published")

    def close(self) -> None:
        """End the workers of the sandbox; a later call starts them again."""
        self._runner.close()
        self._runner = self._new_runner()
        super().close()

    def run_tool(self, name: str, arguments: Mapping[str, Json]) -> Json:
        """Return the result of a tool of the current task, without looking at what it solves.

        Args:
            name: The tool.
            arguments: Its arguments.

        Raises:
            ToolRefusal: If it fails, or has no implementation.
        """
        if name not in self._implementations:
            raise ToolRefusal("This tool has no implementation; use another one.", status="error")
        return self._runner.call(self._implementations[name], name, arguments)

    # -- hooks ----------------------------------------------------------------------------------------------------

    def _begin(self, task: Task) -> str:
        """Show the question; play a prefix again, if there is one."""
        self._load(task, {})
        self._tally = Tally().to_json()
        instance = self.instance
        shown = [_conversation(instance.messages)]
        for message in prefix_of(instance):
            self._num_turns = 0
            turn = self._act(said(message))
            if turn.terminated:
                raise UsageError(
                    f"The prefix of {task.key!r} ends the episode under this profile; there is nothing to continue."
                )
            shown.append(f"You wrote:\n{format_message(message)}\n\nThe results:\n{turn.observation}")
        return "\n\n".join(shown)

    def _save(self) -> Json:
        """Return what is solved."""
        return {node: list(place) for node, place in self._solved.items()}

    def _load(self, task: Task, state: Json) -> None:
        """Offer the tools of a task, and take over what is solved."""
        instance = self._instance
        if instance is None or instance.to_json() != task.data:
            instance = Instance.of(dict(task.data), f"Task {task.key[:80]!r}")
        self._solved = solved_of(instance, state)
        self._instance = instance
        self._implementations = {name: one.model_dump() for name, one in instance.impl.items()}
        tools = [
            SchemaTool(tool, _Tool(self, name), quiet=True)
            for tool, name in zip(instance.tools, instance.tool_names(), strict=True)
        ]
        self.toolkit = Toolkit(*tools, names=None if tools else (), lenient=self.lenient)

    def _check_restored(self) -> None:
        """Look at the tally and the prefix of a snapshot."""
        Tally.from_json(self._tally)
        prefix_of(self.instance)

    def _act(self, action: str | Message) -> Turn:
        """Play a message as the profile says."""
        if self.profile == "published":
            return self._act_as_published(action)
        turn = super()._act(action)
        return turn if turn.metrics is not None else self._unread(turn, EMPTY if turn.observation == EMPTY_MESSAGE else MARKUP)

    def _refuse(self, problem: str) -> Turn:
        """Answer an action that cannot even be read."""
        return self._paid(Turn(problem, action_error=problem), MARKUP, (problem,))

    def _run(self, calls: tuple[ToolCall, ...]) -> Turn:
        """Run calls, and see what they solve."""
        self._values = {}
        turn = super()._run(calls)
        if not any(call.name for call in calls):
            return self._unread(turn, MARKUP, [result.content for result in turn.tool_results])
        played = []
        for call, one in zip(calls, turn.tool_results, strict=True):
            arguments = {} if isinstance(call.arguments, str) else call.arguments
            played.append(Played(call.name, arguments, one.status, self._values.get(id(call)), one.content))
        solved = solved_by(self.instance, played, open_nodes(self.instance, self._solved))
        errors = [one.content for call, one in zip(calls, turn.tool_results, strict=True) if not call.name]
        return self._noted(turn, calls, solved, errors)

    def _status(self, call: ToolCall, value: object) -> ToolStatus:
        """Keep what a tool returned; a failure may be part of it."""
        self._values[id(call)] = value
        return "error" if isinstance(value, dict) and value.get("status") in FAILED else "ok"

    def _finish(self, answer: str) -> Turn:
        """Score the final answer."""
        final, question = self.instance.final, self.instance.question
        ordered = final.op is not None and final.op.kind == "order"
        is_correct = is_right(answer, final.answer, final.answer_type, question=question, ordered=ordered)
        num_open = len(self.instance.nodes) - len(self._solved)
        paper = reward_of_answer(is_correct=is_correct, num_open=num_open, no_free_guess=self.no_free_guess)
        return self._ended(is_correct, paper)

    # -- the published profile ------------------------------------------------------------------------------------

    def _act_as_published(self, action: str | Message) -> Turn:
        """Read, run and score a message as the published scorer does."""
        reading = read_published(action, self.parser)
        if not reading.calls:
            if reading.is_malformed and self.malformed == "feedback":
                return self._unread(Turn(UNREADABLE, action_error=UNREADABLE), MARKUP, reading.errors)
            final = self.instance.final.answer
            golden = None if final is None else answer_text(final)
            num_open = len(self.instance.nodes) - len(self._solved)
            paper = message_reward(reading.content, golden, num_open, 0.0 if num_open else 1.0)
            if num_open and self.no_free_guess and paper > 0:
                paper = 0.0
            return self._ended(is_present(golden, reading.content), paper, reading.errors)
        results: list[ToolResult] = []
        solved: dict[str, int] = {}
        for place, call in enumerate(reading.calls):
            status, text = self._runner.call_as_published(self._implementations, call.name, text_of_arguments(call))
            for node in open_nodes(self.instance, {**self._solved, **solved}):
                if node.tool == call.name and answer_verify(text, answer_text(node.answer)):
                    solved[node.id] = place
                    break
            results.append(ToolResult(sayable(call.name), sayable(text[:MAX_RESULT_CHARS]), status, call.id))
        turn = Turn(format_results(results), tool_results=results)
        if not solved and not any(result.status == "ok" for result in results):
            turn.action_error = "\n".join(result.content for result in results)
        return self._noted(turn, reading.calls, solved, reading.errors)

    # -- rewards --------------------------------------------------------------------------------------------------

    def _noted(self, turn: Turn, calls: Sequence[ToolCall], solved: Mapping[str, int], errors: Sequence[str]) -> Turn:
        """Note what a message with calls did, and pay it."""
        tally = Tally.from_json(self._tally)
        self._solved.update({node: [tally.turns, place] for node, place in solved.items()})
        tally.note(calls, turn.tool_results)
        self._tally = tally.to_json()
        return self._paid(turn, reward_of_calls(len(solved), len(calls), self.scheme), errors)

    def _ended(self, is_correct: bool, paper: float, errors: Sequence[str] = ()) -> Turn:
        """Return the turn of a final answer."""
        self._tally["final_correct"] = is_correct
        is_solved = is_correct and len(self._solved) == len(self.instance.nodes)
        turn = Turn("Solved." if is_solved else "Not solved.", terminated=True, success=is_solved)
        return self._paid(turn, paper, errors)

    def _unread(self, turn: Turn, paper: float, errors: Sequence[str] = ()) -> Turn:
        """Pay a message that holds nothing to play; it may end the episode."""
        turn.terminated = turn.terminated or self.malformed == "terminate"
        return self._paid(turn, paper, errors or (turn.action_error,))

    def _paid(self, turn: Turn, paper: float, errors: Sequence[str]) -> Turn:
        """Fill in reward, measures and info of a turn."""
        is_published = self.profile == "published"
        found = measures(self.instance, self._solved, Tally.from_json(self._tally), no_calls=1.0 if is_published else 0.0)
        is_over = turn.terminated or self._num_turns + 1 >= self._limit
        values = {
            "paper_turn": paper,
            "success": float(turn.success),
            "episode_f1": found["solve_f1"] if is_over else 0.0,
        }
        turn.reward_parts = {name: weight * values[name] for name, weight in self.weights.items()}
        turn.reward = sum(turn.reward_parts.values())
        turn.metrics = found
        turn.info = {
            **(turn.info or {}),
            "solved": sorted(self._solved),
            "remaining": len(self.instance.nodes) - len(self._solved),
            "parse_errors": [sayable(error) for error in errors],
        }
        return turn

    def _new_runner(self) -> Runner:
        """Return a runner with the limits of the profile."""
        if self.profile == "published":
            return Runner(self.executor, timeout_s=self.tool_timeout_s, output_chars=PUBLISHED_OUTPUT_CHARS)
        return Runner(self.executor, timeout_s=self.tool_timeout_s)


class _Tool:
    """A tool of the current task, called with its arguments by name."""

    def __init__(self, env: ToolForgeEnv, name: str) -> None:
        """Keep what to call."""
        self.env, self.name = env, name

    def __call__(self, /, **arguments: Json) -> Json:
        """Run the tool."""
        return self.env.run_tool(self.name, arguments)


def _conversation(messages: Sequence[Mapping[str, Json]]) -> str:
    """Return the messages at the start as one text: the user's alone as it is, a longer conversation with its roles."""
    texts = [(str(one.get("role", "")), _content(one)) for one in messages]
    if [role for role, _ in texts] == ["user"]:
        return texts[0][1]
    return "\n\n".join(f"{role.capitalize()}:\n{text}" for role, text in texts)


def _content(message: Mapping[str, Json]) -> str:
    """Return the text of a chat message, its calls in the canonical form."""
    content = message.get("content")
    text = content if isinstance(content, str) else "" if content is None else str(content)
    if not message.get("tool_calls"):
        return text
    try:
        return format_message(Message.from_openai(message))
    except UsageError:
        return f"{text}\n{message['tool_calls']}"


def _weights(reward: str, weights: Mapping[str, float] | None) -> dict[str, float]:
    """Return the weights of the parts of the reward."""
    if reward != "mixed":
        if weights is not None:
            raise ConfigError(f"weights={weights!r} goes with reward='mixed', and reward is {reward!r}.")
        return {reward: 1.0}
    found = dict(MIXED if weights is None else weights)
    for name, weight in found.items():
        _one_of("weight", name, [one for one in REWARDS if one != "mixed"])
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not abs(weight) < float("inf"):
            raise ConfigError(f"The weight of {name!r} is {weight!r}; expected a finite number.")
    if not found:
        raise ConfigError("weights is empty; give at least one of paper_turn, episode_f1, success.")
    return {name: float(weight) for name, weight in found.items()}


def _one_of(what: str, value: object, known: Sequence[str]) -> None:
    """Refuse a value that is not one of some words."""
    if not isinstance(value, str) or value not in known:
        raise unknown_name(what, str(value), known)


@cache
def _rules() -> str:
    """Return what an agent is told in addition to the form of calls."""
    return Path(__file__).with_name("instructions.txt").read_text(encoding="utf-8")


__all__ = ["MALFORMED", "PROFILES", "REWARDS", "ToolForgeEnv"]
