"""The scorer that the paper describes: the default.

A reply claims an error or none, and acts. Scores are 0 or 1, those of arguments and thoughts between. A score that does not
apply to an item is not there.

Source: CriticTool (arXiv:2506.13977), sections 3 and 4. Arguments are scored as `palaestra.envs.wrappers.injection.arguments`
says, for items and for injected errors alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palaestra.envs.critic.blocks import Mode
from palaestra.envs.critic.documents import KEPT, json_type
from palaestra.envs.critic.published import FINISH
from palaestra.envs.critic.record import Action, Record
from palaestra.envs.critic.similarity import Similarity, bow
from palaestra.envs.wrappers.injection import critique
from palaestra.envs.wrappers.injection.arguments import alike, argument_score, same_json
from palaestra.envs.wrappers.injection.tool_list import Tool
from palaestra.types import Json
from palaestra.types.plain_json import is_deep, strict_json

GOOD_ARGS = 0.99
"""Score of arguments from which an action counts as right."""
UNKNOWN = critique.OTHER
"""Category of a claim in other words than the labels."""
MAX_ACTIONS = 4

_FENCED = re.compile(r"```[a-zA-Z]*\s*(.*?)\s*```", re.DOTALL)


@dataclass(frozen=True)
class Reply:
    """A reply that could be read: one JSON object.

    Attributes:
        claim: The label of the error that it names; `UNKNOWN` for other words, "" for none.
        action: What it does; None if that cannot be read.
        has_prose: Whether there was text around the object.
    """

    claim: str
    action: Action | None
    has_prose: bool = False


def read_reply(text: str) -> Reply | None:
    """Return the reply that a text holds; None if there is not one JSON object with an action or a claim.

    Args:
        text: What the model wrote. A fence around the object is tolerated, prose is noted.
    """
    found, has_prose = _object_in(text)
    if found is None:
        return None
    claim = claim_of(found.get("error"))
    name, args, thought = found.get("name"), found.get("args", ""), found.get("thought")
    is_action = isinstance(name, str) and bool(name.strip()) and isinstance(args, str if name == FINISH else dict)
    if not is_action and not claim:
        return None
    words = thought if isinstance(thought, str) and thought.strip() else None
    action = Action(name=str(name).strip(), args=args, thought=words) if is_action else None
    return Reply(claim, action, has_prose)


def claim_of(error: Json) -> str:
    """Return the label that an `error` field claims: one of the four, `UNKNOWN` for other words, "" for none.

    Args:
        error: The field's value. Case, spaces, hyphens and plurals do not matter.
    """
    return critique.claim_of(error).category


def score_internal(record: Record, text: str, *, similarity: Similarity = bow) -> dict[str, float]:
    """Score the reply to a step that may be wrong.

    Args:
        record: The item.
        text: The reply.
        similarity: How texts are compared.

    Returns:
        `detect`, `parse_rate`; where there is an error also `category`, `tool`, `args`, and with thoughts `thought`.
    """
    reply, gold = read_reply(text), record.golden
    assert gold is not None
    scores: dict[str, float] = {"parse_rate": _is_whole(reply, record)}
    claim = "" if reply is None else reply.claim
    action = None if reply is None else reply.action
    if not record.label:
        return {"detect": float(not claim and action is not None), **scores}
    scores["detect"] = float(bool(claim))
    scores["category"] = float(claim == record.label)
    scores |= _score_action(record, action, gold, similarity)
    if record.cot:
        scores["thought"] = _score_thought(action, gold, similarity)
    return scores


def score_external(record: Record, texts: Sequence[str], mode: Mode, *, similarity: Similarity = bow) -> dict[str, float]:
    """Score the replies to a failure of the environment.

    Args:
        record: The item.
        texts: The replies, in order; none counts as nothing done.
        mode: "skip" or "finish".
        similarity: How texts are compared.

    Returns:
        `retry`, `break`, `tool`, `parse_rate`; for "skip" also `args`, and with thoughts `thought`.
    """
    failed, following = record.failed(), record.next
    assert following is not None
    replies = [read_reply(text) for text in texts]
    actions = actions_of(replies)
    breaking = next((action for action in actions if not is_same(action, failed)), None)
    scores = {
        "retry": float(bool(actions) and is_same(actions[0], failed)),
        "break": float(breaking is not None),
        "parse_rate": float(bool(replies) and all(_is_whole(reply, record) for reply in replies)),
    }
    if mode == "finish":
        return {**scores, "tool": float(breaking is not None and breaking.name == FINISH)}
    scores |= _score_action(record, breaking, following, similarity)
    if record.cot:
        scores["thought"] = _score_thought(breaking, following, similarity)
    return scores


def score_args(tools: Sequence[Mapping[str, Any]], said: Action, gold: Action, similarity: Similarity = bow) -> float:
    """Return the score of the arguments of a call of the expected tool, 0 to 1.

    Args:
        tools: OpenAI schemas of the tools.
        said: The call.
        gold: The expected call.
        similarity: How texts are compared.
    """
    if isinstance(said.args, str) or isinstance(gold.args, str):
        return argument_score(said.args, gold.args, None, compare=similarity)
    function = next((tool["function"] for tool in tools if tool["function"]["name"] == gold.name), None)
    if function is None:
        return 0.0
    parameters = function["parameters"]
    properties = {name: _as_read(found) for name, found in parameters["properties"].items()}
    tool = Tool(gold.name, "", {**parameters, "properties": properties})
    return argument_score(said.args, gold.args, tool, compare=similarity)


def actions_of(replies: Iterable[Reply | None]) -> list[Action]:
    """Return the actions of those replies that have one.

    Args:
        replies: What `read_reply` returned.
    """
    return [reply.action for reply in replies if reply is not None and reply.action is not None]


def is_same(action: Action, other: Action) -> bool:
    """Whether two actions are the same call: equal names, equal arguments as JSON, whatever the order of keys."""
    return action.name == other.name and same_json(action.args, other.args)


def _score_action(record: Record, action: Action | None, gold: Action, similarity: Similarity) -> dict[str, float]:
    """Return the scores of tool and arguments."""
    if action is None or action.name != gold.name:
        return {"tool": 0.0, "args": 0.0}
    return {"tool": 1.0, "args": score_args(record.tools, action, gold, similarity)}


def _score_thought(action: Action | None, gold: Action, similarity: Similarity) -> float:
    """Return the score of a thought."""
    return alike(action.thought, gold.thought, similarity) if action and action.thought and gold.thought else 0.0


def _as_read(declared: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a property with the type that the paper's profile reads in its document."""
    kept = declared.get(KEPT, {}) if isinstance(declared, Mapping) else {}
    if "type" not in kept:
        return declared
    kind = json_type(kept["type"])
    rest = {name: value for name, value in declared.items() if name != "type"}
    return rest if kind is None else {**rest, "type": kind}


def _is_whole(reply: Reply | None, record: Record) -> float:
    """Whether a reply holds all that is asked for."""
    return float(reply is not None and reply.action is not None and (not record.cot or reply.action.thought is not None))


def _object_in(text: str) -> tuple[dict[str, Json] | None, bool]:
    """Return the JSON object of a text, None for none, and whether there is prose around it."""
    bare = text.strip()
    if (fenced := _FENCED.search(bare)) is not None:
        found = _parsed(fenced[1])
        if found is not None:
            return found, fenced[0] != bare
    found = _parsed(bare)
    if found is not None:
        return found, False
    start, end = bare.find("{"), bare.rfind("}")
    return (_parsed(bare[start : end + 1]) if 0 <= start < end else None), True


def _parsed(text: str) -> dict[str, Json] | None:
    """Return the object that a text stands for, as strict JSON."""
    try:
        found = strict_json(text)
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and not is_deep(found) else None


__all__ = [
    "GOOD_ARGS",
    "MAX_ACTIONS",
    "UNKNOWN",
    "Reply",
    "actions_of",
    "claim_of",
    "is_same",
    "read_reply",
    "score_args",
    "score_external",
    "score_internal",
]
