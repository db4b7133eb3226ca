"""Items built from any environment with tools: the expert's steps, an error at one of them, and the answer to it.

`InjectErrors` plays the beginning of an episode and makes the error; wrong calls are run by the environment itself, so that no
word of a tool is made up. Nothing is kept that is not proven: the plan solves its task, the error is the planned one by its
postcondition, and a silent error leaves a trace. What is dropped is counted with a reason code.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np

from palaestra.envs.core.command_env import CommandEnv
from palaestra.envs.core.outermost import outermost
from palaestra.envs.core.snapshots import digest
from palaestra.envs.critic.documents import CriticDataError
from palaestra.envs.critic.evolution.parts import leaves, names_in
from palaestra.envs.critic.published import FINISH
from palaestra.envs.critic.record import Action, Record, system_message
from palaestra.envs.formats.action_format import prompt
from palaestra.envs.wrappers.chance import generator_of
from palaestra.envs.wrappers.injection import InjectErrors, holds
from palaestra.envs.wrappers.injection.reading import read_action
from palaestra.envs.wrappers.injection.taxonomy import EXTENDED, EXTERNAL, INTERNAL, family_of
from palaestra.envs.wrappers.text_wrapper import Action as Played
from palaestra.envs.wrappers.text_wrapper import Env, Result, TextWrapper
from palaestra.errors import UsageError, unknown_name
from palaestra.types import Json, Message, ToolCall, Trajectory

LABELS = ("", *INTERNAL, *EXTERNAL, *EXTENDED)
MAX_TRIES = 12
"""Episodes that are tried for one item."""
MAX_MISSED = 3
"""Items of a label that are missed before one was made, after which the label is given up."""


class Dropped(Exception):
    """An episode gives no item; the text is a reason code such as `expert:failed`."""


@dataclass(frozen=True)
class Built:
    """What was built.

    Attributes:
        records: The items.
        missing: How many are missing, by label.
        dropped: How many episodes were dropped, by label and reason code.
    """

    records: tuple[Record, ...]
    missing: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[tuple[str, str], int] = field(default_factory=dict)


def build_items(
    env: gymnasium.Env[Any, Any],
    number: int,
    *,
    seed: int = 0,
    labels: Sequence[str] = LABELS,
    split: str | None = None,
    trajectories: Sequence[Trajectory] = (),
) -> Built:
    """Build items from an environment: in every row of as many as there are labels each occurs once.

    Args:
        env: An environment with tools and an expert; it is played, and left in the middle of an episode.
        number: How many items.
        seed: Source of all chance.
        labels: The errors; "" for right steps.
        split: Split of the tasks; None for the environment's usual one.
        trajectories: Episodes of this environment whose steps are the right ones, in place of the expert's; those that did not
            solve their task are left out.

    Raises:
        UnknownNameError: For an unknown label.
        UsageError: If the environment has no tools, or `trajectories` none that solved its task.
        MissingExtraError: If schemas cannot be validated here.
    """
    for label in labels:
        if label not in LABELS:
            raise unknown_name("label", label, LABELS)
    if isinstance(number, bool) or not isinstance(number, int) or number < 1 or not labels:
        raise UsageError(f"number is {number!r} and labels {list(labels)!r}; expected at least one of each.")
    solved = [one for one in trajectories if one.outcome.success]
    if trajectories and not solved:
        raise UsageError(f"None of the {len(trajectories)} episodes solved its task; give some that did.")
    golden = Golden(env)
    records: dict[str, Record] = {}
    made, missing, dropped = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    for place in range(number):
        block, turn = divmod(place, len(labels))
        label = labels[int(generator_of(["labels", seed, block]).permutation(len(labels))[turn])]
        if not made[label] and missing[label] >= MAX_MISSED:
            missing[label] += 1
            continue
        for attempt in range(MAX_TRIES):
            rng = generator_of(["build", seed, place, attempt])
            told = solved[int(rng.integers(len(solved)))] if solved else None
            try:
                record = _item(golden, label, rng, split, told)
                if record.id in records:
                    raise Dropped("item:twice")
            except Dropped as reason:
                dropped[label, str(reason)] += 1
                continue
            records[record.id] = record
            made[label] += 1
            break
        else:
            missing[label] += 1
    return Built(tuple(records.values()), dict(sorted(missing.items())), dict(sorted(dropped.items())))


@dataclass(frozen=True)
class _Step:
    """A step of the expert: what it said, what it was told, the state afterwards."""

    action: Played
    observation: str
    results: tuple[str, ...]
    state: str | None


class Golden(TextWrapper):
    """Keeps the right steps of an episode: what the expert, or a stored episode, played to its end.

    Args:
        env: The environment.
    """

    def __init__(self, env: Env) -> None:
        """Nothing is played yet."""
        super().__init__(env)
        self.stored: Trajectory | None = None
        self.opening: tuple[str, dict[str, Any]] = ("", {})
        self.steps: list[_Step] = []
        self.is_solved = False
        self._is_shown = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begin an episode; from here on steps are not the expert's."""
        self._is_shown = False
        self.opening = self.env.reset(seed=seed, options=options)
        return self.opening

    def step(self, action: Played) -> Result:
        """Play a step, and keep it if it is the expert's."""
        result = self.env.step(action)
        if self._is_shown:
            results = tuple(one.content for one in result[4].get("tool_results") or ())
            self.steps.append(_Step(action, result[0], results, self.state()))
            self.is_solved = bool(result[4].get("success")) if result[2] or result[3] else False
        return result

    def expert(self) -> Iterator[Played]:
        """Begin to keep steps, and yield the expert's."""
        self.steps, self.is_solved, self._is_shown = [], False, True
        if self.stored is not None:
            yield from (step.action for step in self.stored.steps)
            return
        ask = outermost(self.env, "expert")
        if callable(ask):
            yield from ask()

    def state(self) -> str | None:
        """Return the digest of the state, None where there is none."""
        ask = outermost(self.env, "state_hash")
        return str(ask()) if callable(ask) else None

    def differs(self) -> bool:
        """Whether a stored episode was played otherwise than it is stored."""
        if self.stored is None:
            return False
        kept = [*(step.observation for step in self.stored.steps), self.stored.final_observation]
        return kept != [self.opening[0], *(step.observation for step in self.steps)]


def _item(golden: Golden, label: str, rng: np.random.Generator, split: str | None, stored: Trajectory | None) -> Record:
    """Return the item of one episode.

    Raises:
        Dropped: If it gives none.
    """
    golden.stored = stored
    plan = {"step": "random", "label": label, "persistence": "always"}
    env = InjectErrors(golden, plan=plan, mode="prefix", seed=int(rng.integers(2**31)), critique="text")
    options = {} if split is None else {"split": split}
    seed: int | None = int(rng.integers(2**31))
    if stored is not None:
        seed, options = stored.seed, {"task": stored.task["key"], "split": stored.task["split"]}
    _, info = env.reset(seed=seed, options=options)
    schemas = golden.opening[1].get("tools") or ()
    if not schemas:
        raise UsageError("The environment offers no tools; items are built from those that have some.")
    injection = env.injection
    assert injection is not None
    if not golden.is_solved:
        raise Dropped("expert:failed")
    if golden.differs():
        raise Dropped("replay:differs")
    if "history" not in info or (label and injection.record is None):
        raise Dropped("error:none")
    record = injection.record
    if record is not None and record["label"] != label:
        raise Dropped("error:other")
    messages = [read_action(golden.unwrapped, step.action, schemas) for step in golden.steps]
    last = len(info["history"]) - 1
    shown, at = messages[last], 0
    if shown is None or not shown.tool_calls:
        raise Dropped("step:text")
    at = len(shown.tool_calls) - 1 if record is None else int(record["index"])
    right = shown.tool_calls[at]
    expected: dict[str, Json] = {}
    if label in INTERNAL:
        assert record is not None
        _expect_wrong(golden, env, record, right, last)
        expected["golden"] = action_of(right)
    else:
        following = _following(golden, messages, last, at)
        expected = {"golden_failed": action_of(right), "next": following} if label else {"golden": following}
    dialogue = [("user", golden.opening[0])]
    for number, entry in enumerate(info["history"]):
        dialogue += _said(entry, at if number == last else None)
    if record is not None and family_of(label) == "external":
        step = golden.steps[last]
        genuine = step.results[at] if len(step.results) == len(shown.tool_calls) else step.observation
        if record["result"]["content"] == genuine:
            raise Dropped("error:unseen")
        if unknown_values(expected["next"], genuine, "\n".join(content for _, content in dialogue)):
            raise Dropped("step:unknown")
    tools = [_whole(schema) for schema in schemas]
    rules = str(golden.opening[1].get("instructions") or "").partition(prompt("hermes"))[0]
    data: dict[str, Json] = {
        "family": "external" if label and label not in INTERNAL else "internal",
        "label": label,
        "kind": "" if record is None else str(record["kind"]),
        "k": sum(role == "assistant" for role, _ in dialogue),
        "messages": [{"role": role, "content": content} for role, content in [("system", "-"), *dialogue]],
        "tools": tools,
        **expected,
    }
    return _checked(golden, data, rules)


def _checked(golden: Golden, data: dict[str, Json], rules: str) -> Record:
    """Return an item with its system message, id and provenance."""
    task = golden.opening[1].get("task") or {}
    try:
        found = Record.of({**data, "id": "-"}, "the item")
        system = system_message(found.documents(), rules)
        messages = [{"role": "system", "content": system}, *data["messages"][1:]]
        content = [found.label, messages, *(None if one is None else one.to_published() for one in (found.golden, found.next))]
        spec = golden.unwrapped.spec
        about: dict[str, Json] = {"source": "trajectory" if golden.stored is not None else "expert"}
        about |= {"env": "" if spec is None else spec.id, "task": str(task.get("key", ""))}
        data |= {"id": digest(content)[:20], "messages": messages, "split": str(task.get("split") or "train")}
        return Record.of({**data, "provenance": about}, "the item")
    except CriticDataError:
        raise Dropped("record:refused") from None


def _expect_wrong(golden: Golden, env: InjectErrors, record: Mapping[str, Any], right: ToolCall, last: int) -> None:
    """Drop an error whose postcondition does not hold, and a silent one that leaves no trace."""
    wrong = ToolCall.from_json(record["wrong"])
    if not holds(record["label"], record["kind"], right, wrong, env.tools_by_name):
        raise Dropped("error:postcondition")
    told, step = record["result"], golden.steps[last]
    if told is not None and told["status"] != "ok":
        return
    genuine = step.results[int(record["index"])] if record["index"] < len(step.results) else step.observation
    is_same = told is not None and told["content"] == genuine
    if is_same and (step.state is None or step.state == golden.state()):
        raise Dropped("error:no_trace")


def _following(golden: Golden, messages: Sequence[Message | None], last: int, at: int) -> Action:
    """Return the right step after one: the next call, or the report at the end."""
    shown = messages[last]
    if shown is not None and at + 1 < len(shown.tool_calls):
        return action_of(shown.tool_calls[at + 1])
    following = messages[last + 1] if last + 1 < len(messages) else None
    if following is not None and following.tool_calls:
        return action_of(following.tool_calls[0])
    is_report = following is not None and last + 2 == len(messages) and not isinstance(golden.unwrapped, CommandEnv)
    if following is None or not is_report or not following.content.strip():
        raise Dropped("step:no_next")
    return Action(name=FINISH, args=following.content.strip())


def unknown_values(action: Action, hidden: str, shown: str) -> list[str]:
    """Return the values of an action that nobody can know who has not seen the result of the call that failed.

    Args:
        action: The step after it.
        hidden: The result that did not arrive.
        shown: Everything that was seen.
    """
    if isinstance(action.args, str):
        values = [action.args] if any(character.isdigit() for character in action.args) else []
        values += names_in(hidden, [action.args.strip(" .")])
    else:
        values = names_in(hidden, [*leaves(action.args)])
    return [value for value in values if not names_in(shown, [value])]


def _said(entry: Mapping[str, Any], at: int | None) -> list[tuple[str, str]]:
    """Return a step as messages: every call and its result, up to the one in question."""
    calls = Message.from_json(entry["message"]).tool_calls
    results = [one["content"] for one in entry["results"]]
    if not calls:
        raise Dropped("step:text")
    if len(results) != len(calls):
        if len(calls) > 1:
            raise Dropped("step:no_results")
        results = [entry["observation"]]
    pairs = list(zip(calls, results, strict=True))[: None if at is None else at + 1]
    said = []
    for call, result in pairs:
        said += [("assistant", action_of(call).text()), ("function", str(result))]
    return said


def action_of(call: ToolCall) -> Action:
    """Return a call as an action of an item.

    Raises:
        Dropped: If its arguments could not be read.
    """
    if not isinstance(call.arguments, Mapping):
        raise Dropped("step:unreadable")
    return Action(name=call.name, args=json.loads(json.dumps(dict(call.arguments))))


def _whole(schema: Mapping[str, Any]) -> dict[str, Json]:
    """Return a schema with parameters and properties, which it may leave out."""
    function = dict(schema["function"])
    parameters = dict(function.get("parameters") or {"type": "object"})
    function["parameters"] = {**parameters, "properties": dict(parameters.get("properties") or {})}
    found: dict[str, Json] = json.loads(json.dumps({"type": "function", "function": function}))
    return found


__all__ = ["LABELS", "MAX_TRIES", "Built", "Dropped", "Golden", "action_of", "build_items", "unknown_values"]
