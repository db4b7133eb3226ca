"""Checks of what the contract adds to Gymnasium: infos, tasks, tools, bad actions, expert, faults."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, get_args
from unittest import mock

from palaestra.envs.check.report import CheckFailed, expect
from palaestra.envs.check.subject import (
    TEXT_ENV_ADVICE,
    Env,
    Subject,
    full_return,
    method,
    next_expert_action,
    shown,
    state_hash,
)
from palaestra.envs.core.outermost import outermost
from palaestra.envs.core.snapshots import digest
from palaestra.envs.core.tasks import TaskSet
from palaestra.envs.wrappers.injection.grading import MAX_RETRIES
from palaestra.errors import UsageError
from palaestra.media.items import find_media
from palaestra.media.store import MemoryMedia, use_media
from palaestra.spaces import MAX_ACTION_CHARS
from palaestra.types import Message, StopReason, ToolCall, ToolResult, ToolStatus, plain

NUM_TASKS = 100  # looked at per split
MAX_EXPERT_TURNS = 1000

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # what OpenAI's API accepts
_JSON_TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")

BAD_ACTIONS: tuple[str | Message, ...] = (
    "",
    "   \n\t",
    "no such command at all",
    '<tool_call>{"name": "no_such_tool", "arguments": {}}</tool_call>',
    '<tool_call>{"name": </tool_call>',
    "<tool_call>",
    "Action: ",
    "Action: a\nAction: b",
    "Thought: " * 200,
    '{"name": "x"',
    "[[[[[[[[",
    "__import__('os').getcwd()",
    "\x00\x01\x02\x1b[2J\x7f",
    "ÿþ\u202e\ufeff\U0001f600",
    "9" * 5000,
    Message("assistant", ""),
    Message("assistant", tool_calls=(ToolCall("no_such_tool", {}),)),
    Message("assistant", tool_calls=(ToolCall("", "not an object", "1"), ToolCall("no such tool", {"a": [None]}, "2"))),
)
UNREADABLE_ACTIONS: tuple[str | Message, ...] = (
    "x" * (MAX_ACTION_CHARS + 1),
    "lone \ud800 surrogate",
    Message("assistant", "\udfff"),
    Message("assistant", error="No action could be read from your message.", raw="?"),
)


def check_reset_info(subject: Subject) -> str:
    """`reset` returns a text and an info with `task`, `instructions` and `tools`."""
    with subject.open() as env:
        observation, info = env.reset(seed=subject.seed)
    expect(isinstance(observation, str), f"reset() returned a {type(observation).__name__}; expected a text.")
    missing = sorted({"task", "instructions", "tools"} - set(info))
    expect(not missing, f"The info of reset() lacks {', '.join(missing)}.", TEXT_ENV_ADVICE)
    task = info["task"]
    expect(
        isinstance(task, Mapping) and {"key", "split", "type"} <= set(task) and all(isinstance(v, str) for v in task.values()),
        f"info['task'] is {shown(task)}; expected texts under key, split and type.",
        "Return task.public().",
    )
    expect(isinstance(info["instructions"], str), f"info['instructions'] is a {type(info['instructions']).__name__}.")
    expect(isinstance(info["tools"], Sequence), f"info['tools'] is a {type(info['tools']).__name__}; expected a list.")
    _expect_plain(info)
    return ""


def check_step_info(subject: Subject) -> str:
    """`step` returns five values of the right types, and an info that says all there is to say."""
    with subject.open() as env:
        actions = subject.script(env)
        env.reset(seed=subject.seed)
        total = 0.0
        for action in actions:
            observation, reward, terminated, truncated, info = env.step(action)
            expect(isinstance(observation, str), f"step() returned a {type(observation).__name__} as observation.")
            expect(
                isinstance(reward, (int, float)) and math.isfinite(reward),
                f"The reward is {reward!r}; expected a finite float.",
            )
            expect(isinstance(terminated, bool) and isinstance(truncated, bool), "terminated or truncated is not a bool.")
            _expect_step_info(info, float(reward), is_over=terminated or truncated)
            total += float(reward)
    return f"{len(actions)} actions, return {total:g}"


def check_media(subject: Subject) -> str:
    """Sounds and pictures that texts name were put into the current store, by every episode again."""
    named = set()
    for _ in range(2):  # bytes put by the first environment must not be missing from the second's episode
        with use_media(MemoryMedia()) as store, subject.open() as env:
            actions = subject.script(env)
            texts: list[Any] = [env.reset(seed=subject.seed), *map(env.step, actions)]
            found = [media for text in texts for media in find_media(repr(text))]
            lost = next((media for media in found if media not in store), None)
            expect(lost is None, f"A text names {lost and lost.tag}, whose bytes nobody has put.")
            named.update(found)
    return f"{len(named)} named" if named else "does not apply: no text names a sound or a picture"


def check_tools(subject: Subject) -> str:
    """The tools' schemas are what OpenAI's API accepts."""
    with subject.open() as env:
        _, info = env.reset(seed=subject.seed)
    tools = info.get("tools", ())
    if not tools:
        return "does not apply: there are no tools"
    names = []
    for schema in tools:
        expect(
            isinstance(schema, Mapping) and schema.get("type") == "function" and isinstance(schema.get("function"), Mapping),
            f'{shown(schema)} is not {{"type": "function", "function": {{...}}}}.',
        )
        function = schema["function"]
        name = function.get("name")
        expect(isinstance(name, str) and _TOOL_NAME.fullmatch(name), f"The tool name {name!r} is not {_TOOL_NAME.pattern}.")
        expect(function.get("description"), f"The tool {name!r} has no description.", "Write a docstring.")
        parameters = function.get("parameters")
        expect(
            isinstance(parameters, Mapping) and parameters.get("type") == "object",
            f"The parameters of {name!r} are not an object schema.",
        )
        _expect_schema(name, parameters)
        names.append(name)
    expect(len(set(names)) == len(names), f"A tool name occurs twice in {sorted(names)}.")
    json.dumps(plain(tools))
    return f"{len(names)} tools"


def check_tasks(subject: Subject) -> str:
    """`env.unwrapped.tasks` is a `TaskSet`: stable unique keys, lookup by key, splits that do not meet."""
    with subject.open() as env, subject.open() as other:
        tasks, again = _tasks(env), _tasks(other)
        expect(bool(tasks), "There are no tasks in any split.")
        owner: dict[str, str] = {}
        contents: dict[str, str] = {}
        for split in tasks.splits:
            for index, task in enumerate(tasks.split(split).first(NUM_TASKS)):
                place = f"task {index} of split {split!r}"
                expect(task.split == split, f"{place} says that it belongs to {task.split!r}.")
                expect(task.key not in owner, f"The key {task.key!r} of {place} also belongs to {owner.get(task.key)}.")
                owner[task.key] = place
                same = digest(plain(task.data))
                expect(
                    not task.data or contents.setdefault(same, split) == split,
                    f"{place} ({task.key!r}) is also a task of split {contents.get(same)!r}.",
                    "Give every split its own goals; a test task that was trained on measures nothing.",
                )
                expect(tasks.find(task.key) == task, f"find({task.key!r}) returns another task than at({split!r}, {index}).")
                expect(again.at(split, index) == task, f"{place} is another one in a second environment.")
                expect(task in tasks, f"{task.key!r} is not in the task set that it came from.")
        try:
            tasks.find("no such task")
        except UsageError:
            pass
        else:
            raise CheckFailed("find('no such task') found something.")
        sizes = {split: tasks.size(split) for split in tasks.splits}
        for alias, key in islice(tasks.aliases.items(), NUM_TASKS):
            expect(key in owner or key in tasks, f"The published id {alias!r} leads to {key!r}, which is not a key.")
            expect(tasks.resolve(alias).key == key, f"The published id {alias!r} leads to another task than {key!r}.")
    found = [f"{split}: {'no end' if size is None else size}" for split, size in sizes.items()]
    return ", ".join([*found, f"{len(tasks.aliases)} published ids"] if tasks.aliases else found)


def check_task_options(subject: Subject) -> str:
    """`reset(options=...)` plays the task or split asked for, and refuses what does not exist."""
    with subject.open() as env:
        tasks = _tasks(env)
        for split in (split for split in tasks.splits if tasks.size(split) != 0):
            task = tasks.split(split)[0]
            _, info = env.reset(seed=subject.seed, options={"task": task.key})
            expect(info["task"]["key"] == task.key, f"Asked for task {task.key!r}, reset() began {info['task']['key']!r}.")
            _, info = env.reset(seed=subject.seed, options={"split": split})
            expect(info["task"]["split"] == split, f"Asked for split {split!r}, reset() began {shown(info['task'])}.")
        before = state_hash(env)
        wrong: tuple[dict[str, Any], ...] = (
            {"task": "no such task"},
            {"task": 0},
            {"split": "no such split"},
            {"split": 1},
            {"no such option": 1},
        )
        for options in wrong:
            try:
                env.reset(options=options)
            except UsageError:
                expect(state_hash(env) == before, f"reset(options={options}) was refused but changed the state.")
            except Exception as error:
                raise CheckFailed(f"reset(options={options}) raised {type(error).__name__}; expected UsageError.") from None
            else:
                raise CheckFailed(f"reset(options={options}) went through.")
    return ""


def check_bad_actions(subject: Subject) -> str:
    """A bad action is an observation that says what was wrong; nothing raises, nothing changes."""
    num_refused = 0
    with subject.open() as env:
        _, info = env.reset(seed=subject.seed)
        calls = islice(_calls_with_surrogates(info.get("tools", ())), subject.budget.tool_calls)
        actions = [*UNREADABLE_ACTIONS, *BAD_ACTIONS, *calls]
        is_fresh = False
        for action in actions:
            if not is_fresh:
                env.reset(seed=subject.seed)
            before = state_hash(env)
            try:
                observation, _, terminated, truncated, info = env.step(action)
            except Exception as error:
                raise CheckFailed(f"The action {shown(action)} raised {type(error).__name__}: {shown(str(error))}") from None
            problem = info.get("action_error")
            expect(
                isinstance(observation, str) and observation in env.observation_space,
                f"The action {shown(action)} gave the observation {shown(observation)}.",
            )
            if action in UNREADABLE_ACTIONS:
                expect(problem, f"The action {shown(action)} was not refused.")
            if problem and "injection" not in info:
                num_refused += 1
                expect(observation.strip(), f"The refusal of {shown(action)} is an empty observation.")
                expect(state_hash(env) == before, f"The refused action {shown(action)} changed the state.")
                expect(not info.get("success"), f"The refused action {shown(action)} counts as success.")
            after = state_hash(env)  # what was let in can be written down
            is_fresh = not subject.budget.resets and before == after and not terminated and not truncated
    return f"{num_refused} of {len(actions)} strange actions were refused with a reason"


def check_wrong_types(subject: Subject) -> str:
    """Something that is not an action is a mistake of the caller: a `UsageError`, and nothing changes."""
    with subject.open() as env:
        env.reset(seed=subject.seed)
        before = state_hash(env)
        for action in (None, 3, 0.5, b"get", ["get"], {"role": "assistant"}, Message("user", "get")):
            try:
                env.step(action)
            except UsageError:
                expect(state_hash(env) == before, f"step({shown(action)}) was refused but changed the state.")
            except Exception as error:
                raise CheckFailed(f"step({shown(action)}) raised {type(error).__name__}: {error}") from None
            else:
                raise CheckFailed(f"step({shown(action)}) went through.")
    return ""


def check_expert(subject: Subject) -> str:
    """The expert solves tasks of every split: success, the return that the class declares, no refused action."""
    num_played = num_turns = 0
    with subject.open() as env:
        full = full_return(env)
        expect(
            full is None or (isinstance(full, (int, float)) and not isinstance(full, bool) and math.isfinite(full)),
            f"full_return is {full!r}; expected a finite number, or None.",
        )
        tasks = _tasks(env)
        expect(callable(outermost(env, "expert")), "There is no expert().", TEXT_ENV_ADVICE)
        for split in tasks.splits:
            for task in tasks.split(split).first(subject.budget.expert_tasks):
                _, start = env.reset(seed=subject.seed, options={"task": task.key})
                actions: Iterator[str | Message] = outermost(env, "expert")()
                is_hopeless = _has_lasting_error(start)
                total, done = 0.0, False
                info: dict[str, Any] = {}
                for action in islice(actions, MAX_EXPERT_TURNS):
                    _, reward, terminated, truncated, info = env.step(action)
                    total += float(reward)
                    num_turns += 1
                    is_hopeless = is_hopeless or _has_lasting_error(info)
                    is_refused = info["action_error"] and "injection" not in info  # errors on purpose are not the expert's
                    expect(not is_refused, f"On {task.key!r} its action {shown(action)} was refused.")
                    done = terminated or truncated
                    if done:
                        break
                if not info and next_expert_action(env) is None:
                    continue  # knows nothing about this task
                num_played += 1
                expect(done or is_hopeless, f"On {task.key!r} it stopped before the end of the episode.")
                expect(info["success"] or is_hopeless, f"It did not solve {task.key!r} (stop_reason {info['stop_reason']!r}).")
                if full is not None:
                    is_full = abs(total - full) < 1e-6 * max(1.0, abs(full))
                    expect(is_full, f"Its return on {task.key!r} is {total:g}; expected {full:g}.")
    if not num_played:
        return "does not apply: the expert knows no task"
    return f"{num_played} tasks solved in {num_turns / num_played:.1f} turns on average"


def check_available_actions(subject: Subject) -> str:
    """`available_actions()` lists actions that are accepted; asking changes nothing, and neither reset nor step asks."""
    with subject.open() as env:
        ask = getattr(env.unwrapped, "available_actions", None)
        actions = subject.script(env)
        env.reset(seed=subject.seed)
        if not callable(ask) or ask() is None:
            return "does not apply: there is no list"
        num_listed = _try_listed(subject, env)
        with mock.patch.object(type(env.unwrapped), "available_actions", side_effect=_Sabotage("not to be asked")):
            env.reset(seed=subject.seed)
            is_over = any(any(env.step(action)[2:4]) for action in actions)
        if not is_over:
            _try_listed(subject, env)
        for _ in range(MAX_EXPERT_TURNS):
            if is_over or (action := next_expert_action(env)) is None:
                break
            is_over = any(env.step(action)[2:4])
        expect(not is_over or not ask(), f"available_actions() lists {shown(ask())} after the end of the episode.")
    return f"{num_listed} at the start"


def _try_listed(subject: Subject, env: Env) -> int:
    """Play some of the actions that the environment lists, each from the current state; return how many there are."""
    inner: Any = env.unwrapped
    before = state_hash(env)
    listed = inner.available_actions()
    is_list = isinstance(listed, Sequence) and not isinstance(listed, str)
    expect(is_list, f"available_actions() is {shown(listed)}; expected a list, or None.")
    expect(state_hash(env) == before, "Asking for available_actions() changed the state.")
    expect(inner.available_actions() == listed, "Asked twice in one state, available_actions() differs.")
    expect(len(set(map(repr, listed))) == len(listed), "available_actions() lists an action twice.")
    for action in listed[:: 1 + len(listed) // subject.budget.samples]:
        expect(action in env.action_space, f"The listed action {shown(action)} is not in the action space.")
        saved = method(env, "snapshot")()
        info = env.step(action)[4]
        problem = "injection" not in info and info.get("action_error")
        method(env, "restore")(saved)
        expect(not problem, f"The listed action {shown(action)} was refused: {problem}")
    return len(listed)


def check_faults(subject: Subject) -> str:
    """A fault inside the environment is an exception, never a silent reward of 0."""
    with subject.open() as env:
        actions = subject.script(env)
        inner = env.unwrapped
        world = getattr(inner, "world", None) or getattr(inner, "_world", None)
        places = [(type(inner), "_act")] if hasattr(inner, "_act") else []
        if world is not None and not type(world).__module__.startswith("builtins"):
            methods = [n for n in ("act", "call", "step", "apply", "run", "play") if callable(getattr(type(world), n, None))]
            places += [(type(world), name) for name in methods]
        if not places:
            return "does not apply: there is no _act and no world to break"
        for owner, name in places:
            env.reset(seed=subject.seed)
            with mock.patch.object(owner, name, side_effect=_Sabotage("broken on purpose")) as broken:
                for action in actions:
                    try:
                        *_, terminated, truncated, info = env.step(action)
                    except Exception:
                        break
                    expect(
                        not broken.called,
                        f"{owner.__name__}.{name} failed, and step() went on with {shown(info)}",
                    )
                    if terminated or truncated:
                        break
    return f"broken on purpose: {', '.join(f'{owner.__name__}.{name}' for owner, name in places)}"


def _has_lasting_error(info: Mapping[str, Any]) -> bool:
    """Whether an error was injected that may not be mended: a wrong call had its effect, or a service never comes back."""
    injection = info.get("injection") or {}
    persistence = (injection.get("planned") or {}).get("persistence", 1)
    is_lasting = injection.get("family") == "external" and (persistence == "always" or persistence > MAX_RETRIES)
    return is_lasting or bool(injection.get("changed"))


class _Sabotage(RuntimeError):
    """Raised on purpose inside an environment."""


def _tasks(env: Env) -> TaskSet:
    """Return the environment's task set."""
    tasks = getattr(env.unwrapped, "tasks", None)
    if not isinstance(tasks, TaskSet):
        raise CheckFailed(
            f"env.unwrapped.tasks is {type(tasks).__name__}; expected a TaskSet.",
            "Give the environment a palaestra.envs.core.tasks.FixedTasks or GeneratedTasks.",
        )
    return tasks


def _calls_with_surrogates(tools: Sequence[Mapping[str, Any]]) -> Iterator[str | Message]:
    """Call every tool that takes a text with one that has no UTF-8 form, as JSON escapes smuggle it in."""
    for schema in tools:
        function = schema["function"]
        for name, argument in function["parameters"].get("properties", {}).items():
            if isinstance(argument, Mapping) and argument.get("type") == "string":
                call = {"name": function["name"], "arguments": {name: "\ud800"}}
                yield Message("assistant", tool_calls=(ToolCall(call["name"], {name: "\ud800"}, "1"),))
                yield f"<tool_call>\n{json.dumps(call)}\n</tool_call>"


def _expect_plain(info: Mapping[str, Any]) -> None:
    """Fail unless an info can be stored."""
    try:
        json.dumps(plain(info))
    except (TypeError, ValueError) as error:
        raise CheckFailed(
            f"The info has no JSON form: {error}", "Put only plain data and palaestra.types into info."
        ) from None


def _expect_step_info(info: Mapping[str, Any], reward: float, *, is_over: bool) -> None:
    """Fail unless the info of a step is complete and true."""
    wanted: dict[str, type | tuple[type, ...]] = {
        "score": (int, float),
        "success": bool,
        "stop_reason": str,
        "reward_parts": Mapping,
        "tool_results": Sequence,
        "action_error": str,
    }
    missing = sorted(set(wanted) - set(info))
    expect(not missing, f"The info of step() lacks {', '.join(missing)}.", TEXT_ENV_ADVICE)
    for key, kind in wanted.items():
        expect(isinstance(info[key], kind), f"info[{key!r}] is {shown(info[key])}, a {type(info[key]).__name__}.")
    expect(math.isfinite(info["score"]), f"The score is {info['score']}.")
    expect(info["stop_reason"] in get_args(StopReason), f"The stop_reason is {info['stop_reason']!r}.")
    expect(bool(info["stop_reason"]) == is_over, f"The stop_reason is {info['stop_reason']!r} with is_over={is_over}.")
    total = sum(info["reward_parts"].values())
    expect(abs(total - reward) < 1e-6, f"The reward is {reward:g} but its parts add up to {total:g}.")
    for result in info["tool_results"]:
        expect(isinstance(result, ToolResult), f"info['tool_results'] holds a {type(result).__name__}; expected ToolResult.")
        expect(result.status in get_args(ToolStatus), f"A tool result has the unknown status {result.status!r}.")
    _expect_plain(info)


def _expect_schema(name: str, schema: Mapping[str, Any] | bool) -> None:
    """Fail unless a JSON schema of a tool's arguments is sound, at any depth."""
    if isinstance(schema, bool):
        expect(schema, f"An argument of the tool {name!r} can never be given: its schema is false.")
        return
    kind = schema.get("type")
    for one in kind if isinstance(kind, list) else [kind]:
        expect(one is None or one in _JSON_TYPES, f"The tool {name!r} has an argument of the unknown JSON type {one!r}.")
    expect(
        kind is not None
        or schema.keys() & {"enum", "const", "anyOf", "oneOf", "allOf", "$ref"}
        or schema.keys() <= {"description"},
        f"An argument of the tool {name!r} has no type: {shown(schema)}",
    )
    properties = schema.get("properties", {})
    unknown = sorted(set(schema.get("required", ())) - set(properties))
    expect(not unknown, f"The tool {name!r} requires {', '.join(unknown)}, which it does not describe.")
    items = schema.get("items")
    inner = [*properties.values(), *([items] if isinstance(items, Mapping) else []), *schema.get("anyOf", ())]
    for part in inner:
        _expect_schema(name, part)
