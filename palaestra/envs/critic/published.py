"""The published scorer of CriticTool, verdict for verdict.

For comparisons with published numbers: unexpected arguments are ignored, a number that is one off scores by its text, and JSON
in prose ends the retries. `paper` is the scorer that the paper describes.

Items and replies are plain data as published: an item is `{"query_prompt", "ground_truth", "error_type"}`.

Source: Shellorley0513/CriticTool (arXiv:2506.13977), written again here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from palaestra.envs.critic.blocks import Mode, with_instruction
from palaestra.envs.critic.documents import CriticDataError, documents_of, json_type, literal
from palaestra.envs.critic.similarity import Similarity, as_text, bow
from palaestra.errors import UsageError
from palaestra.types import Json
from palaestra.types.plain_json import text_of

RETRIES = 3
FINISH = "FinishAction"
FINISH_SENTENCE = "I encountered an issue while trying to call{tool}, please let me know how you would like to proceed."
"""The reply that finishing is compared with; published without a space in front of the tool."""

_FENCE = "```json"
_CJK = re.compile("[\u4e00-\u9fff]")
_PYTHON = {"integer": int, "number": float, "boolean": bool, "string": str, "array": list, "object": dict, None: object}
_EVERY_ITEM = ("critic", "parse_rate")


class Scores(dict[str, Any]):
    """The scores of one item: a dict that also knows whether the item holds an error, which `means` asks.

    Attributes:
        is_error: Whether it is an item with an error of the model; None for failures of the environment.
    """

    def __init__(self, scores: Mapping[str, float], *, is_error: bool | None = None) -> None:
        """Keep the scores."""
        super().__init__(scores)
        self.is_error = is_error


def load(text: str, trim: bool) -> dict[str, Any]:
    """Read a reply.

    Args:
        text: What the model wrote.
        trim: Whether all before the first `{` and after the last `}` is cut away.

    Returns:
        `error`, `thought`, `name` and `args`; each is "" where the reply has none or cannot be read.
    """
    if _FENCE in text:
        text = text.partition(_FENCE)[2].strip("`").strip()
    if trim:
        text = text[text.find("{") :]  # without one: the last character, as published
        text = text[: text.rfind("}") + 1]
    found = _parsed(text)
    if not isinstance(found, dict):
        return {"error": "", "thought": "", "name": "", "args": ""}
    texts = {key: as_text(found[key]) if key in found else "" for key in ("thought", "name")}
    return {"error": found.get("error", ""), **texts, "args": found.get("args", "")}


def score_internal(item: Mapping[str, Json], prediction: str, cot: bool, *, similarity: Similarity = bow) -> dict[str, Any]:
    """Score the reply to a step that may be wrong.

    Args:
        item: The published item.
        prediction: The reply.
        cot: Whether the item asks for a thought.
        similarity: How texts are compared.

    Returns:
        `critic`, `reflect`, `name`, `args`, `parse_rate`, and with `cot` `goal`.

    Raises:
        CriticDataError: If the item is not one of this kind.
    """
    gold, label = action_of(item.get("ground_truth"), "ground_truth"), item.get("error_type")
    if not isinstance(label, str):
        raise CriticDataError(f"error_type is {text_of(label)}; expected the label of the error, or '' for none.")
    said = load(prediction, trim=True)
    scores: dict[str, float] = {"critic": 0, "reflect": 0, "name": 0, "args": 0}
    if cot:
        scores["goal"] = 0
    scores["parse_rate"] = is_read = int(_is_read(said, cot))
    if not label:
        scores["critic"] = int(not said["error"] and bool(is_read))
        return Scores(scores, is_error=False)
    scores["critic"] = int(bool(said["error"]))
    scores["reflect"] = int(said["error"] == label)
    if cot and said["thought"]:
        scores["goal"] = similarity(said["thought"], gold.get("thought", ""))
    if said["name"] == gold["name"]:
        scores["name"] = 1
        scores["args"] = score_args(_documents(item), said, gold, similarity)
    return Scores(scores, is_error=True)


def score_external(
    item: Mapping[str, Json], predictions: Sequence[str], mode: str, cot: bool, *, similarity: Similarity = bow
) -> dict[str, Any]:
    """Score the replies to a failure of the environment.

    Args:
        item: The published item.
        predictions: The replies, in order.
        mode: "skip" or "finish".
        cot: Whether the item asks for thoughts.
        similarity: How texts are compared.

    Returns:
        `retry`, `break`, `name`, `parse_rate`, for "skip" `args`, and with `cot` `thought`.

    Raises:
        CriticDataError: If the item is not one of this kind, or there are no replies.
        UsageError: For an unknown mode.
    """
    if mode not in ("skip", "finish"):
        raise UsageError(f"mode is {mode!r}; expected 'skip' or 'finish'.")
    failed, following = _pair(item)
    if not predictions:
        raise CriticDataError("There are no predictions; expected at least one reply.")
    replies = [load(prediction, trim=True) for prediction in predictions]
    is_read = all(_is_read(reply, cot) for reply in replies)
    scores: dict[str, float] = {"retry": 0, "break": 0, **({"thought": 0} if cot else {}), "name": 0}
    sentence = FINISH_SENTENCE.format(tool=failed["name"])
    for reply in replies:
        if is_same(reply, failed):
            scores["retry"] = 1
            continue
        if is_read:
            scores["break"] = 1
        if cot:
            scores["thought"] = similarity(reply["thought"], following.get("thought", "") if mode == "skip" else sentence)
        if mode == "skip" and reply["name"] == following["name"]:
            scores["name"] = 1
            if following["name"] == FINISH:
                scores["args"] = similarity(reply["args"], following["args"])
            else:
                scores["args"] = score_args(_documents(item), reply, following, similarity)
        elif mode == "finish" and reply["name"] == FINISH:
            scores["name"] = 1
            if cot:
                scores["thought"] = max(scores["thought"], similarity(reply["args"], sentence))
    if mode == "skip":
        scores.setdefault("args", 0)
    return Scores({**scores, "parse_rate": int(is_read)})


def retry_loop(
    item: Mapping[str, Json], reply: Callable[[list[dict[str, Json]]], str], cot: bool, *, mode: Mode = "skip"
) -> list[str]:
    """Ask a model until it does something other than the failed call, at most four times.

    A reply is read without cutting prose away, so that JSON in prose ends the retries.

    Args:
        item: The published item.
        reply: Returns the reply to messages with role and content.
        cot: Whether the model is asked for a thought.
        mode: "skip" or "finish": what the model is told to do after its retries.

    Returns:
        The replies, one to four.

    Raises:
        CriticDataError: If the item is not one of a failed call.
    """
    failed, _ = _pair(item)
    messages = with_instruction(_messages(item), mode, cot=cot)
    failure = messages[-1]
    predictions: list[str] = []
    while True:
        predictions.append(reply([dict(message) for message in messages]))
        if len(predictions) > RETRIES or not is_same(load(predictions[-1], trim=False), failed):
            return predictions
        messages += [{"role": "assistant", "content": predictions[-1]}, dict(failure)]


def means(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the means over items.

    `critic` and `parse_rate` count every item, the other scores of internal items those with an error; without one they are
    None. All scores of external items count every item.

    Args:
        rows: Scores of items as `score_internal` and `score_external` return them, or mappings of the same with the item's
            `error_type` (for internal items).

    Returns:
        Each mean under its name, and `n` (items), `n_error` (those with an error, None for external ones) and `means` (the
        means alone).

    Raises:
        UsageError: If it cannot be told whether an item holds an error.
    """
    found = [(dict(row), _is_error(row)) for row in rows]
    names = list(dict.fromkeys(name for row, _ in found for name, value in row.items() if _is_number(value)))
    result: dict[str, Any] = {}
    for name in names:
        counted = [row[name] for row, error in found if name in row and (name in _EVERY_ITEM or error is not False)]
        result[name] = sum(counted) / len(counted) if counted else None
    is_internal = any(error is not None for _, error in found)
    num_errors = sum(bool(error) for _, error in found) if is_internal else None
    return {**result, "n": len(found), "n_error": num_errors, "means": dict(result)}


def score_args(
    documents: Mapping[str, Mapping[str, Json]], said: Mapping[str, Any], gold: Mapping[str, Json], similarity: Similarity
) -> float:
    """Return the score of the arguments of a call, 0 to 1.

    Args:
        documents: The tools by name.
        said: `name` and `args` of the reply.
        gold: `name` and `args` of the expected action.
        similarity: How texts are compared.
    """
    document, args = documents.get(said["name"]), said["args"]
    if document is None or not isinstance(args, dict):
        return 0
    required = {one["name"] for one in document.get("required_parameters", ())}
    types = {one["name"]: one["type"] for one in document.get("optional_parameters", ())}
    types |= {one["name"]: one["type"] for one in document.get("required_parameters", ())}
    if not gold["args"]:
        return int(all(key in types for key in args))
    total = 0.0
    for key, expected in gold["args"].items():
        if key not in types:
            raise CriticDataError(f"The expected call of {gold['name']!r} has the argument {key!r}, which its document lacks.")
        if key not in args:
            total += 0 if key in required else 0.5
            continue
        value = args[key]
        if isinstance(value, _PYTHON[json_type(types[key], "published")]):
            total += 1 if as_text(value) == as_text(expected) else similarity(value, expected)
        elif isinstance(value, str) and isinstance(expected, str) and not (_CJK.search(value) or _CJK.search(expected)):
            total += similarity(value, expected)
    return total / len(gold["args"])


def is_same(said: Mapping[str, Any], gold: Mapping[str, Json]) -> bool:
    """Whether a reply is a certain call: name and arguments are equal, as Python compares them."""
    try:
        return bool(said["name"] == gold["name"] and said["args"] == gold["args"])
    except RecursionError:
        return False


def action_of(value: Json, what: str) -> dict[str, Json]:
    """Return an expected action of an item.

    Args:
        value: The action as the item has it.
        what: What it is called in messages.

    Raises:
        CriticDataError: If it is not an action.
    """
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not value["name"]:
        raise CriticDataError(f"{what} is {text_of(value)}; expected an action with name and args.")
    args = value.get("args")
    if not isinstance(args, str if value["name"] == FINISH else dict) and not (value["name"] == FINISH and args == {}):
        expected = "a text" if value["name"] == FINISH else "an object"
        raise CriticDataError(f"{what}: the args of {value['name']!r} are {text_of(args)}; expected {expected}.")
    return value


def _pair(item: Mapping[str, Json]) -> tuple[dict[str, Json], dict[str, Json]]:
    """Return the failed call and the action after it."""
    pair = item.get("ground_truth")
    if not isinstance(pair, list) or len(pair) != 2:
        raise CriticDataError(f"ground_truth is {text_of(pair)}; expected the failed action and the next one.")
    return action_of(pair[0], "ground_truth[0]"), action_of(pair[1], "ground_truth[1]")


def _is_read(said: Mapping[str, Any], cot: bool) -> bool:
    """Whether a reply counts as read."""
    return bool(said["name"] and (isinstance(said["args"], dict) or said["args"]) and (not cot or said["thought"]))


def _is_number(value: object) -> bool:
    """Whether a value of a row is a score; what else a row holds (an id, flags) is not averaged."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_error(row: Mapping[str, Any]) -> bool | None:
    """Whether the scores are of an item with an error; None if of a failure of the environment."""
    if "error_type" in row:
        return None if row["error_type"] is None else bool(row["error_type"])
    if isinstance(row, Scores):
        return row.is_error
    if "critic" in row:
        raise UsageError(
            "A row does not say whether its item holds an error; add 'error_type', or pass the scores as returned."
        )
    return None


def _parsed(text: str) -> Any:
    """Return the value of a text: a Python literal, JSON, or JSON with other quotation marks; None for none."""
    for read in (literal, json.loads, lambda found: json.loads(found.replace("'", '"'))):
        try:
            return read(text)
        except (ValueError, RecursionError):
            continue
    return None


def _documents(item: Mapping[str, Json]) -> dict[str, dict[str, Json]]:
    """Return the documents of an item by name."""
    for message in _messages(item):
        if message["role"] == "system":
            return _documents_of(message["content"])
    raise CriticDataError(f"query_prompt is {text_of(item['query_prompt'])}; expected messages, the first with role system.")


def _messages(item: Mapping[str, Json]) -> list[dict[str, Json]]:
    """Return the messages of an item."""
    found: Any = item.get("query_prompt")
    is_list = isinstance(found, list) and bool(found) and all(isinstance(one, dict) for one in found)
    if not is_list or not all(isinstance(one.get(key), str) for one in found for key in ("role", "content")):
        raise CriticDataError(f"query_prompt is {text_of(found)}; expected messages with role and content, texts.")
    return list(found)


@lru_cache(maxsize=512)
def _documents_of(system: str) -> dict[str, dict[str, Json]]:
    """Return the documents of a system message by name."""
    return {document["name"]: document for document in documents_of(system, "the item")}


__all__ = [
    "FINISH",
    "FINISH_SENTENCE",
    "RETRIES",
    "Scores",
    "action_of",
    "is_same",
    "load",
    "means",
    "retry_loop",
    "score_args",
    "score_external",
    "score_internal",
]
