"""Finished dialogues in front of the query that have nothing to do with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from palaestra.envs.critic.evolution.parts import INSERTED, Refused, golden_names, names_in, query_at
from palaestra.envs.critic.evolution.texts import article, one_of, texts
from palaestra.envs.critic.made_tools import made
from palaestra.envs.critic.published import FINISH
from palaestra.envs.critic.record import Action, Record

MAX_TRIES = 12
MAX_DIALOGUES = 3
READING_CHARS, TASK_CHARS = 4_400, 1_600
"""Usual lengths of a text with its question (about 800 tokens) and of a task with other tools (about 400)."""

Messages = list[dict[str, str]]


def long_context(
    record: Record, rng: np.random.Generator, *, room: int | None = None, corpus: Sequence[str] = ()
) -> tuple[Record, dict[str, int]]:
    """Return an item with one to three finished dialogues in front of its query, and how many messages they are.

    Args:
        record: The item.
        rng: Source of chance.
        room: Characters to come near to; None for what dialogues usually have.
        corpus: Texts to read instead of made ones.

    Raises:
        Refused: If every draw shares a name or value with the expected actions.
    """
    for _ in range(MAX_TRIES):
        made_up = _dialogues(record, rng, room, corpus)
        if not context_problems(record, made_up):
            return insert(record, made_up)
    raise Refused("long_context:shared")


def insert(record: Record, dialogues: Messages) -> tuple[Record, dict[str, int]]:
    """Return an item with messages in front of its query, and their number for its provenance."""
    place = query_at(record)
    messages = [*record.messages[:place], *dialogues, *record.messages[place:]]
    steps = sum(message["role"] == "assistant" for message in dialogues)
    return record.model_copy(update={"messages": messages, "k": record.k + steps}), {INSERTED: len(dialogues)}


def context_problems(record: Record, dialogues: Messages) -> list[str]:
    """Say which tools and values of the expected actions stand in messages that are to be unrelated.

    Args:
        record: The item.
        dialogues: The messages.
    """
    shared = names_in("\n".join(message["content"] for message in dialogues), golden_names(record))
    found = [f"The text must not hold {name!r}, which the expected actions name." for name in shared]
    if not dialogues or dialogues[0]["role"] != "user" or dialogues[-1]["role"] != "assistant":
        found.append("The dialogues have to begin with the user and to end with the assistant.")
    return found


def reading(text: str, question: str, answer: str, ask: str) -> Messages:
    """Return the dialogue of a question about a text."""
    reply = Action(name=FINISH, args=answer).text()
    return [{"role": "user", "content": f"{ask}\n\n{text}\n\n{question}"}, {"role": "assistant", "content": reply}]


def _dialogues(record: Record, rng: np.random.Generator, room: int | None, corpus: Sequence[str]) -> Messages:
    """Return some dialogues."""
    found: Messages = []
    if room is None:
        for _ in range(int(rng.integers(1, MAX_DIALOGUES + 1))):
            found += _reading(READING_CHARS, rng, corpus) if rng.random() < 0.5 else _task(record, rng)
        return found
    left = room
    for number in range(MAX_DIALOGUES):
        if number and left < TASK_CHARS // 2:
            break
        if left >= TASK_CHARS and rng.random() < 0.4:
            added = _task(record, rng)
        else:
            added = _reading(max(200, min(left - 250, READING_CHARS)), rng, corpus)
        found += added
        left -= sum(len(message["content"]) for message in added)
    return found


def _reading(num_chars: int, rng: np.random.Generator, corpus: Sequence[str]) -> Messages:
    """Return a question about a text, made up or from the corpus."""
    ask = str(one_of(texts("reading")["ask"], rng))
    if not corpus:
        return reading(*article(num_chars, rng), ask)
    text = str(one_of(corpus, rng))[:num_chars]
    return reading(text, "How many words does it have?", f"It has {len(text.split())} words.", ask)


def _task(record: Record, rng: np.random.Generator) -> Messages:
    """Return a finished task with tools that the item does not list."""
    taken = {tool["function"]["name"] for tool in record.tools}
    tools = [tool for tool in made().values() if tool.name not in taken]
    if len(tools) < 4:
        return _reading(TASK_CHARS, rng, ())
    data, requests, steps = texts("earlier"), [], []
    for place in rng.permutation(len(tools))[: int(rng.integers(3, 5))]:
        tool = tools[int(place)]
        args = {one.name: one.draw(rng) for one in tool.parameters if one.is_required or rng.random() < 0.5}
        requests.append(tool.request(args, rng))
        steps += [("assistant", Action(name=tool.name, args=args).text()), ("function", tool.result(args))]
    order = one_of(data["openings"], rng).replace("{steps}", one_of(data["joins"], rng).join(requests))
    said = [("user", order), *steps, ("assistant", Action(name=FINISH, args=str(one_of(data["reports"], rng))).text())]
    return [{"role": role, "content": content} for role, content in said]


__all__ = ["context_problems", "insert", "long_context", "reading"]
