"""The parts of an item that ways of making it harder look at: the query, what the ground truth names, the list of tools."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from palaestra.envs.critic.documents import END_OF_TOOLS, to_document
from palaestra.envs.critic.paper import read_reply
from palaestra.envs.critic.published import FINISH
from palaestra.envs.critic.record import Action, Record
from palaestra.types import Json

STRATEGIES = ("noisy_query", "harder_tools", "extra_tools", "long_context")
"""Ways of making an item harder, in the order in which they are applied: what is put in front of the query comes last."""
INSERTED = "messages"
"""How many messages stand in front of the query, in the provenance of `long_context`."""


class Refused(Exception):
    """An item cannot be made harder in a way; the text is a reason code such as `extra_tools:pool`."""


def expected_of(record: Record) -> list[Action]:
    """Return the actions that an item expects."""
    return [action for action in (record.golden, record.golden_failed, record.next) if action is not None]


def golden_names(record: Record) -> tuple[str, ...]:
    """Return the names in the expected actions: tools, and the values of their arguments as texts."""
    found: dict[str, None] = {}
    for action in expected_of(record):
        if action.name != FINISH:
            found[action.name] = None
            found |= dict.fromkeys(leaves(action.args))
    return tuple(found)


def protected_names(record: Record) -> tuple[str, ...]:
    """Return the names that no wording of the query may lose: tools, values of the expected calls and of those so far."""
    found = dict.fromkeys(tool["function"]["name"] for tool in record.tools)
    found |= dict.fromkeys(golden_names(record))
    for action in said_by(record):
        found |= dict.fromkeys(leaves(action.args))
    return tuple(found)


def said_by(record: Record) -> list[Action]:
    """Return the actions of the dialogue, those in front of the query left out."""
    replies = [read_reply(one["content"]) for one in record.messages[query_at(record) :] if one["role"] == "assistant"]
    return [reply.action for reply in replies if reply is not None and reply.action is not None]


def query_at(record: Record) -> int:
    """Return the position of the user's query in the messages.

    Raises:
        Refused: If there is none.
    """
    about = record.provenance.get("evolution", {}).get("long_context", {})
    start = int(about.get(INSERTED, 0)) + (record.messages[0]["role"] == "system")
    for place, message in enumerate(record.messages[start:], start):
        if message["role"] == "user":
            return place
    raise Refused("query:none")


def names_in(text: str, names: Sequence[str]) -> list[str]:
    """Return those names that a text holds as whole words, whatever their case."""
    lower = text.lower()
    return [name for name in names if name.lower() in lower and _whole(name.lower()).search(lower)]


def count_of(text: str, name: str) -> int:
    """Return how often a text holds a name as whole words, to the letter."""
    return len(_whole(name).findall(text)) if name in text else 0


def with_tools(record: Record, tools: Sequence[Mapping[str, Json]]) -> Record:
    """Return an item with other tools, in its system message too where that lists them."""
    messages = [dict(message) for message in record.messages]
    system = messages[0]
    start, end = system["content"].find("["), system["content"].find(END_OF_TOOLS)
    if system["role"] == "system" and 0 <= start < end:
        listed = json.dumps([to_document(tool) for tool in tools], ensure_ascii=False)
        system["content"] = system["content"][:start] + listed + system["content"][end:]
    return record.model_copy(update={"tools": [dict(tool) for tool in tools], "messages": messages})


def with_query(record: Record, query: str) -> Record:
    """Return an item with another query."""
    messages = [dict(message) for message in record.messages]
    messages[query_at(record)]["content"] = query
    return record.model_copy(update={"messages": messages})


def length_of(record: Record) -> int:
    """Return the characters of an item's messages."""
    return sum(len(message["content"]) for message in record.messages)


@lru_cache(maxsize=4096)
def _whole(name: str) -> re.Pattern[str]:
    """Return the pattern of a name as whole words."""
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")


def leaves(value: Json) -> Iterator[str]:
    """Yield the texts and numbers of a value as texts."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield json.dumps(value)
    elif isinstance(value, str) and value.strip():
        yield value.strip()


__all__ = [
    "INSERTED",
    "STRATEGIES",
    "Refused",
    "count_of",
    "expected_of",
    "golden_names",
    "leaves",
    "length_of",
    "names_in",
    "protected_names",
    "query_at",
    "said_by",
    "with_query",
    "with_tools",
]
