"""Episodes as samples of inspect-ai's logs: messages with calls and reasoning, scores, usage, errors and limits.

The structure is the one that `inspect_ai.log.EvalSample` reads; inspect-ai itself is not needed. `eval_log.py` writes
the samples into a log. Fields that nobody recorded are left out rather than made up: the time at which an episode began,
targets, transcript events.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from palaestra.agents.export.conversations import item_id
from palaestra.agents.export.media_files import MediaFiles
from palaestra.agents.export.observations import calls_of
from palaestra.envs.formats.hermes import format_results, parse_message
from palaestra.media.items import Media, split_tags
from palaestra.media.store import MediaStore
from palaestra.types import Json, Message, Step, ToolResult, Trajectory, Usage, observation_messages, plain
from palaestra.types.openai_form import UNREADABLE

_UNSAFE = re.compile(r"[^\w .:;,=@#+()\[\]{}/-]|\.\.+")  # a sample's id is part of a path inside the log
_MAX_ID_CHARS = 200
_AUDIO_FORMATS = {"audio/wav": "wav", "audio/mpeg": "mp3"}  # those that a log can show
_CALL_ERRORS = {"invalid_arguments": "parsing", "timeout": "timeout", "blocked": "permission"}
_LIMITS = {
    "max_rounds": "stopped after the most turns of an episode",
    "max_tokens": "the dialogue became too long for the model",
    "invalid_limit": "stopped after too many actions that could not be read",
}


def eval_sample(trajectory: Trajectory) -> dict[str, Json]:
    """Return an episode as a sample of a log, its sounds and pictures as tags.

    Scores are `success` ("C" or "I"), `return`, `score`, and one for each metric; an episode that an error ended has an
    error and none of them. `epoch` counts the samples of a task from 1; its id is that of AgentTraj.

    Args:
        trajectory: The episode of one seat.
    """
    outcome, steps, usage = trajectory.outcome, trajectory.steps, trajectory.usage
    messages = _messages(trajectory, None)
    sample: dict[str, Json] = {
        "id": _safe_id(item_id(trajectory)),
        "epoch": trajectory.sample + 1,
        "input": steps[0].observation if steps else trajectory.final_observation,
        "target": "",
        "messages": messages,
        "output": _output(trajectory, messages),
        "scores": _scores(trajectory) if outcome.error is None else None,
        "metadata": _metadata(trajectory),
        "store": {},
        "events": [],
        "model_usage": {trajectory.agent: usage_record(usage)} if usage.calls else {},
        "working_time": usage.model_s + usage.env_s,
        "turn_count": trajectory.num_turns,
    }
    if outcome.error is not None:
        error = outcome.error
        message = f"{error.type} ({error.boundary}): {error.message}"
        sample["error"] = {"message": message, "traceback": error.detail or message, "traceback_ansi": error.detail or message}
    if outcome.stop_reason in _LIMITS:  # "custom" is known to every version that writes logs of this form
        limit = trajectory.max_turns if outcome.stop_reason == "max_rounds" else None
        reason = _LIMITS[outcome.stop_reason]
        sample["limit"] = {"type": "custom", "limit": float(limit or trajectory.num_turns), "reason": reason}
    return sample


def shown_in_log(record: dict[str, Json], trajectory: Trajectory, files: MediaFiles) -> dict[str, Json]:
    """Put the sounds and pictures that an episode shows into its messages, as data URLs."""
    return {**record, "messages": _messages(trajectory, files.source)}


def usage_record(usage: Usage) -> dict[str, Json]:
    """Return a usage in the log's form, in which tokens from a cache are not part of the input tokens."""
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    record: dict[str, Json] = {
        "input_tokens": usage.prompt_tokens - cached,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    if cached:
        record["input_tokens_cache_read"] = cached
    if usage.cost:
        record["total_cost"] = usage.cost
    return record


def _safe_id(name: str) -> str:
    """Return a name that can be part of a path inside a zip file."""
    return _UNSAFE.sub("_", name)[:_MAX_ID_CHARS].strip("/ ") or "_"


def _scores(trajectory: Trajectory) -> dict[str, Json]:
    """Return the scores of an episode that no error ended; numbers that JSON does not have are not scores."""
    outcome = trajectory.outcome
    scores: dict[str, Json] = {}
    if outcome.success is not None:
        scores["success"] = {"value": "C" if outcome.success else "I", "explanation": outcome.stop_reason or "ended"}
    numbers: dict[str, float | None] = {"return": trajectory.return_, "score": outcome.score}
    for name, value in outcome.metrics.items():
        numbers[name if name not in ("success", *numbers) else f"{name} (metric)"] = value
    for name, number in numbers.items():
        if number is not None and math.isfinite(number):
            scores[name] = {"value": number}
    return scores


def _metadata(trajectory: Trajectory) -> dict[str, Json]:
    """Return the other facts about an episode."""
    found: dict[str, Json] = {
        "episode_id": trajectory.episode_id,
        "env_id": trajectory.env_id,
        "task": plain(trajectory.task),
        "seed": trajectory.seed,
        "group_id": trajectory.group_id,
        "seat": trajectory.seat,
        "stop_reason": trajectory.outcome.stop_reason,
        "max_turns": trajectory.max_turns,
        "rewards": [step.reward for step in trajectory.steps],
        "tools": [_tool_name(tool) for tool in trajectory.tools],
        "meta": plain(trajectory.meta),
    }
    return {key: value for key, value in found.items() if value not in (None, "", [], {})}


def _tool_name(tool: Mapping[str, Json]) -> str:
    """Return the name of an OpenAI function schema."""
    return str(tool.get("function", tool).get("name", ""))


def _output(trajectory: Trajectory, messages: list[dict[str, Json]]) -> dict[str, Json]:
    """Return the last answer of the model."""
    last = next((message for message in reversed(messages) if message["role"] == "assistant"), None)
    if last is None:
        return {"model": trajectory.agent, "choices": []}
    cut = trajectory.steps[-1].finish_reason == "length"
    stop = "max_tokens" if cut else "tool_calls" if last.get("tool_calls") else "stop"
    return {"model": trajectory.agent, "choices": [{"message": last, "stop_reason": stop}]}


def _messages(trajectory: Trajectory, store: MediaStore | None) -> list[dict[str, Json]]:
    """Return the dialogue of `Trajectory.messages()`, the results of calls with what came of them.

    Args:
        trajectory: The episode of one seat.
        store: Where the bytes of sounds and pictures are; None leaves their tags in the texts.
    """
    messages = [_said("system", trajectory.instructions)] if trajectory.instructions else []
    observations = [step.observation for step in trajectory.steps] + [trajectory.final_observation]
    previous: Step | None = None
    for index, step in enumerate(trajectory.steps):
        messages += _told(previous, observations[index], index, store)
        previous = _with_calls(step, index, observations[index + 1])
        messages.append(_answer(previous, index, trajectory.agent, store))
    if trajectory.final_observation:
        messages += _told(previous, trajectory.final_observation, len(trajectory.steps), store)
    return messages


def _with_calls(step: Step, index: int, shown: str) -> Step:
    """Return a step whose action has native calls with ids, if what was shown next is the answer to each of its calls.

    Args:
        step: A step whose action may write its calls as text, or without ids.
        index: Its place in the episode.
        shown: The observation that followed.
    """
    action, calls = step.action, calls_of(step.action)
    if not calls or (action.tool_calls and all(call.id for call in calls)):
        return step
    results = [ToolResult.from_json(plain(result)) for result in step.info.get("tool_results", ())]
    if len(results) != len(calls) or format_results(results) != shown:
        return step
    read = action if action.tool_calls else parse_message(action.content, lenient=True)
    action = replace(
        action,
        content=read.content,
        media=read.media,
        tool_calls=tuple(replace(call, id=call.id or _call_id(index, position)) for position, call in enumerate(calls)),
        reasoning=action.reasoning or read.reasoning,
        raw=action.raw or action.content,
    )
    return replace(step, action=action)


def _call_id(index: int, position: int) -> str:
    """Return an id for a call that has none."""
    return f"turn_{index}_{position}"


def _said(role: str, content: Json, source: str = "input") -> dict[str, Json]:
    """Return a message with where it came from."""
    return {"role": role, "content": content, "source": source}


def _told(previous: Step | None, observation: str, index: int, store: MediaStore | None) -> Iterator[dict[str, Json]]:
    """Yield what the agent was shown before its turn `index`."""
    results = () if previous is None else previous.info.get("tool_results", ())
    for position, message in enumerate(observation_messages(previous, observation)):
        content = _content(message, store)
        if message.role != "tool":
            yield _said("user", content) if index == 0 else {"role": "user", "content": content}
            continue
        status = plain(results[position]).get("status", "ok")
        answer = {"role": "tool", "content": content, "tool_call_id": message.tool_call_id, "function": message.name}
        error = {"type": _CALL_ERRORS.get(status, "unknown"), "message": message.content}
        yield answer if status == "ok" else {**answer, "error": error}


def _answer(step: Step, index: int, agent: str, store: MediaStore | None) -> dict[str, Json]:
    """Return an action as the model wrote it: reasoning, text, calls; the raw text is kept where it says more."""
    action = step.action
    shown = _content(action, store)
    if action.raw and not action.tool_calls:
        shown = action.raw
    if action.reasoning and not (isinstance(shown, str) and action.reasoning in shown):
        text = [{"type": "text", "text": shown}] if isinstance(shown, str) and shown else shown or []
        shown = [{"type": "reasoning", "reasoning": action.reasoning}, *text]
    message = {**_said("assistant", shown, "generate"), "model": agent}
    if action.tool_calls:
        message["tool_calls"] = [
            _call(call.id or _call_id(index, position), call.name or UNREADABLE, call.arguments)
            for position, call in enumerate(action.tool_calls)
        ]
    more = {"raw": action.raw if shown != action.raw else "", "error": action.error, "finish_reason": action.finish_reason}
    if kept := {key: value for key, value in more.items() if value}:
        message["metadata"] = kept
    return message


def _call(call_id: str, name: str, arguments: Mapping[str, Json] | str) -> dict[str, Json]:
    """Return one call; of arguments that are not a JSON object the text is the error."""
    call: dict[str, Json] = {"id": call_id, "function": name, "type": "function"}
    if isinstance(arguments, str):
        return {**call, "arguments": {}, "parse_error": f"The arguments are not a JSON object: {arguments}"}
    return {**call, "arguments": dict(arguments)}


def _content(message: Message, store: MediaStore | None) -> Json:
    """Return the content of a message: text, or parts where it shows something whose bytes are there."""
    if store is None or not message.media:
        return message.content
    parts = [_part(piece, store) for piece in split_tags(message.content, message.media)]
    return parts if any(part["type"] != "text" for part in parts) else message.content


def _part(piece: str | Media, store: MediaStore) -> dict[str, Json]:
    """Return one part of a content; what a log cannot show is its tag."""
    if isinstance(piece, str):
        return {"type": "text", "text": piece}
    data = store.find(piece)
    form = _AUDIO_FORMATS.get(piece.type)
    if data is None or (piece.kind == "audio" and form is None):
        return {"type": "text", "text": piece.tag}
    url = f"data:{piece.type};base64,{base64.b64encode(data).decode('ascii')}"
    return {"type": "image", "image": url} if piece.kind == "image" else {"type": "audio", "audio": url, "format": form}


__all__ = ["eval_sample", "shown_in_log", "usage_record"]
