"""The published scorer, verdict for verdict: what solves, how a turn is read and paid, how an episode is measured.

For comparisons with published numbers only: an answer counts where it is a substring, an error message that repeats an
argument can solve, and so an agent that puts the answers into its arguments scores 1. `strict` is the sound scorer.

Source: bytedance/FTRL, `Code/utils`, `Code/verl/utils/reward_score/tool.py`, `Code/evaluation/evaluation_self.py` and
`Code/data_sample/data_sample.py` (Apache-2.0; arXiv:2508.08791), written again here.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from palaestra.envs.toolforge.executors import Runner, published_runner
from palaestra.errors import UsageError
from palaestra.types import Json

OPEN, CLOSE = "<tool_call>", "</tool_call>"
MARKS = (OPEN, CLOSE, "<tool_parsed_response>")
DONE = "done"
EMPTY_REWARD, MARKUP_REWARD, ALL_SOLVED_REWARD = -0.5, -0.3, 0.5
SCHEMES = ("solve_f1", "solve_precision", "solve_rate", "solve_pr")


def normalised(text: str) -> str:
    """Return a text as the scorer compares it: lower case, without commas and outer spaces."""
    return text.lower().replace(",", "").strip()


def text_of_result(value: Any) -> str:
    """Return the result of a tool as text: JSON for dicts and lists, `str` for the rest."""
    if type(value) in (dict, list):
        return json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) else str(value)


def answer_verify(predict: Any, golden: str) -> bool:
    """Whether an output counts as an expected answer: every part of it, split at ", ", is a substring.

    Args:
        predict: The output, of any type.
        golden: The expected answer.
    """
    found = normalised(text_of_result(predict))
    return all(normalised(part) in found for part in golden.split(", "))


def is_present(answer: str | None, text: str) -> bool:
    """Whether a final message holds the final answer, as a substring; none is never held."""
    return answer is not None and normalised(answer) in normalised(text)


def stripped(response: str) -> str:
    """Return a response without the marks that end a message, one of each, as it is read for its reward."""
    return response.strip().removesuffix("<|endoftext|>").strip().removesuffix("<|im_end|>").strip()


def parse_qwen(text: str, one_tool_only: bool = False) -> dict[str, Json]:
    """Return the message that a text stands for.

    Content ends at the first `<tool_call>`. The rest is split at `</tool_call>`; a piece counts if it begins with the tag, so
    prose between two blocks hides the second. Pieces that cannot be read are dropped; if none is left, all is content.

    Args:
        text: What the model wrote.
        one_tool_only: Read the first piece only.

    Returns:
        `role`, `content` and `tool_calls`, a list of OpenAI calls without ids, or None.
    """
    start = text.find(OPEN)
    if start < 0:
        return {"role": "assistant", "content": text.strip(), "tool_calls": None}
    pieces = text[start:].split(CLOSE)
    calls = [call for piece in pieces[: 1 if one_tool_only else None] if (call := _call_in(piece.strip())) is not None]
    return {"role": "assistant", "content": text[:start].strip() if calls else text.strip(), "tool_calls": calls or None}


def turn_reward(row: Mapping[str, Any], response: str, *, runner: Runner | None = None) -> dict[str, Json]:
    """Return the rewards of one turn under the four published schemes.

    Args:
        row: `codes` and `unsolved_set` (objects, or texts of JSON), `solve_rate`, `answer`; not changed.
        response: What the model wrote, end marks included.
        runner: Runs the tools; by default one that this process shares.

    Returns:
        `solve_f1`, `solve_precision`, `solve_rate`, `solve_pr`. Where the published scorer raises, the value is
        `{"raises": TYPE}`.
    """
    unsolved = copy.deepcopy(_object(row, "unsolved_set"))
    num_open = sum(len(answers) for answers in unsolved.values())
    message = parse_qwen(stripped(response))
    calls = message["tool_calls"]
    if not calls:
        return dict.fromkeys(SCHEMES, message_reward(message["content"], row.get("answer"), num_open, row["solve_rate"]))
    contents = _feedback(calls, _implementations(row), runner or _shared_runner())
    try:
        solved = sum(
            solve(call["function"]["name"], content, unsolved) is not None
            for call, content in zip(calls, contents, strict=True)
        )
    except (TypeError, AttributeError) as error:  # a name that cannot be looked up, an answer that is not a text
        return {scheme: {"raises": type(error).__name__} for scheme in SCHEMES}
    return rewards_of_calls(solved, len(calls))


def rewards_of_calls(solved: int, calls: int) -> dict[str, Json]:
    """Return the rewards of a turn with calls under the four schemes.

    Args:
        solved: Calls that solved something.
        calls: All calls, at least 1.
    """
    return {
        "solve_f1": 2 * solved / (calls + 1),
        "solve_precision": solved / calls,
        "solve_rate": float(solved),
        "solve_pr": solved * solved / calls,
    }


def message_reward(content: str, answer: str | None, num_open: int, solve_rate: float) -> float:
    """Return the reward of a message without calls, equal under all schemes.

    Args:
        content: What the message says.
        answer: The final answer; None for none.
        num_open: Expected answers that are not solved.
        solve_rate: Share that is solved.
    """
    if not content:
        return EMPTY_REWARD
    if any(mark in content for mark in MARKS):
        return MARKUP_REWARD
    if is_present(answer, content):
        return 1 / (1 + num_open)
    return ALL_SOLVED_REWARD if solve_rate == 1.0 else 0.0


def solve(name: Json, content: str, unsolved: dict[str, list[str]]) -> str | None:
    """Take the first expected answer of a tool that an output holds out of the open ones.

    Args:
        name: Name of the tool.
        content: The output, or the error; both can solve.
        unsolved: Open answers by tool, changed in place.

    Returns:
        The answer; None if the call solves nothing.

    Raises:
        TypeError: If the name cannot be looked up.
        AttributeError: If an expected answer is not a text.
    """
    answers = unsolved.get(name, [])
    for answer in answers:
        if answer_verify(content, answer):
            answers.remove(answer)
            return answer
    return None


def play(
    row: Mapping[str, Any], turns: Sequence[Mapping[str, Any]], max_turns: int = 20, *, runner: Runner | None = None
) -> dict[str, Json]:
    """Return the measures of an episode, and the training rows that the published collector takes from it.

    Args:
        row: `messages`, `codes`, `unsolved_set`; not changed.
        turns: Messages of the agent, `{"content", "tool_calls": [{"name", "arguments"}]}`; arguments are an object, or a text
            that is taken as it is. An agent that has used them up says "done".
        max_turns: Most messages of the agent.
        runner: Runs the tools; by default one that this process shares.

    Returns:
        `metrics` (`solve_precision`, `solve_rate`, `solve_f1`), `n_messages` (those of the row included), `feedback` (the
        text of every tool message), `snapshots` (`unsolved_set`, `solve_rate` and `n_messages` after every turn with calls).

    Raises:
        UsageError: If nothing is expected, which the published scorer refuses.
    """
    unsolved = copy.deepcopy(_object(row, "unsolved_set"))
    implementations, runner = _implementations(row), runner or _shared_runner()
    num_all = sum(len(answers) for answers in unsolved.values())
    if not num_all:
        raise UsageError("The row expects no answers: its unsolved_set is empty. Play the row that the episode began with.")
    num_messages, num_calls = len(row.get("messages", ())), 0
    feedback: list[str] = []
    snapshots: list[Json] = []
    for number in range(max_turns):
        num_messages += 1
        calls = _plain_calls(turns[number] if number < len(turns) else {"content": DONE})
        if not calls:
            break
        contents = _feedback(calls, implementations, runner)
        feedback += contents
        num_calls += len(calls)
        num_messages += len(calls)
        for call, content in zip(calls, contents, strict=True):
            solve(call["function"]["name"], content, unsolved)
        num_open = sum(len(answers) for answers in unsolved.values())
        snapshot = {"unsolved_set": copy.deepcopy(unsolved), "solve_rate": 1 - num_open / num_all, "n_messages": num_messages}
        snapshots.append(snapshot)
    solved = num_all - sum(len(answers) for answers in unsolved.values())
    metrics = measures(solved, num_calls, num_all)
    return {"metrics": metrics, "n_messages": num_messages, "feedback": feedback, "snapshots": snapshots}


def measures(solved: int, calls: int, expected: int) -> dict[str, float]:
    """Return the measures of an episode.

    Args:
        solved: Expected answers that were found.
        calls: Calls of the whole episode.
        expected: All expected answers, at least 1.
    """
    return {
        "solve_precision": solved / calls if calls else 1.0,
        "solve_rate": solved / expected,
        "solve_f1": 2 * solved / (calls + expected),
    }


def _call_in(piece: str) -> dict[str, Json] | None:
    """Return the call that a piece of text holds, None if it holds none."""
    if not piece.startswith(OPEN):
        return None
    try:
        value = json.loads(piece.lstrip(OPEN).strip())  # as published: any of the tag's characters are stripped, in any order
        if not value.get("name", None):
            return None
        arguments = value["arguments"]
        if type(arguments) is not dict:
            arguments = json.loads(arguments)
        return {
            "type": "function",
            "function": {"arguments": json.dumps(arguments, ensure_ascii=False), "name": value["name"]},
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _plain_calls(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the calls of a turn in the form of `parse_qwen`."""
    calls = []
    for call in turn.get("tool_calls") or ():
        arguments = call["arguments"]
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        calls.append({"type": "function", "function": {"arguments": text, "name": call["name"]}})
    return calls


def _feedback(calls: Sequence[Mapping[str, Any]], implementations: Mapping[str, Any], runner: Runner) -> list[str]:
    """Return the text of each call's tool message."""
    functions = [call["function"] for call in calls]
    return [runner.call_as_published(implementations, one["name"], one["arguments"])[1] for one in functions]


def _implementations(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tools of a row by name."""
    return {name: {"kind": "python", "source": source} for name, source in _object(row, "codes").items()}


def _object(row: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Return a field that is an object, or a text of JSON that holds one."""
    value = row[field]
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise UsageError(f"The field {field!r} of the row is {type(found).__name__}; expected an object by tool.")
    return found


@cache
def _shared_runner() -> Runner:
    """Return the runner of this process; its workers start with the first call and end with the process."""
    return published_runner()


__all__ = [
    "answer_verify",
    "is_present",
    "measures",
    "message_reward",
    "parse_qwen",
    "play",
    "rewards_of_calls",
    "solve",
    "stripped",
    "text_of_result",
    "turn_reward",
]
