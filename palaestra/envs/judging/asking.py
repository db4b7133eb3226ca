"""Asking a model for one JSON object: checked, repaired, asked again from the start, dropped; and the record of all this.

It fails closed: a model that cannot be reached, or whose replies cannot be read, never lets anything pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from palaestra.envs.core.snapshots import digest
from palaestra.errors import BudgetError, ModelError
from palaestra.types import Json
from palaestra.types.plain_json import is_deep, is_strict, strict_json

Messages = list[dict[str, str]]
Complete = Callable[[Messages], str]
"""A language model: chat messages (`role`, `content`) to the text of its reply."""

T = TypeVar("T")
Form = TypeVar("Form", bound=BaseModel)
MAX_REPLY_CHARS = 200_000
MAX_TOLD = 8
_FENCE = re.compile(r"^```(?:json)?\s*\n(.*?)\n?```$", re.DOTALL)
_UNREACHABLE = (ModelError, OSError, TimeoutError)


class Problem(Exception):
    """A reply does not pass; `lines` say why, and are sent back to the model."""

    def __init__(self, *lines: str) -> None:
        """Keep the reasons."""
        super().__init__("; ".join(lines))
        self.lines = lines


class Dropped(Exception):
    """An item is given up; the text is a reason code such as `L3:invalid`."""


@dataclass(frozen=True)
class Attempt:
    """One request to the model.

    Attributes:
        stage: Such as "L1".
        round: 0 for the first try of the stage, then 1, 2: asked again from the start.
        repair: 0 for the first reply of a round, then 1, 2, 3: told what was wrong.
        outcome: "ok", "invalid" or "unreachable".
        problem: What was wrong, cut to 300 characters.
        prompt_chars: Characters of the messages.
        reply_chars: Characters of the reply.
        cached: Whether the reply came from the cache.
    """

    stage: str
    round: int
    repair: int
    outcome: str
    problem: str = ""
    prompt_chars: int = 0
    reply_chars: int = 0
    cached: bool = False


@dataclass
class Audit:
    """The record of one item.

    Attributes:
        item: Its id.
        attempts: Every request, in order.
        notes: What was decided without the model, such as merges that were refused.
        outcome: "kept" or "dropped"; empty while it is made.
        reason: Reason code of a dropped item.
    """

    item: str
    attempts: list[Attempt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    outcome: str = ""
    reason: str = ""

    def to_json(self) -> dict[str, Json]:
        """Return the record as plain JSON."""
        return asdict(self)


class Asker:
    """Asks a model.

    Args:
        complete: The model.
        name: Its name and settings; part of the cache's keys.
        repairs: How often a reply is sent back with what is wrong with it.
        regenerations: How often a stage is begun again after that.
        cache: Replies that passed, by key; filled here. None for no cache.
    """

    def __init__(
        self,
        complete: Complete,
        *,
        name: str = "",
        repairs: int = 3,
        regenerations: int = 2,
        cache: MutableMapping[str, str] | None = None,
    ) -> None:
        """Keep the settings."""
        self._complete = complete
        self._name = name
        self._repairs = repairs
        self._rounds = 1 + regenerations
        self._cache: MutableMapping[str, str] = {} if cache is None else cache

    def ask(self, audit: Audit, stage: str, messages: Sequence[dict[str, str]], read: Callable[[Json], T]) -> T:
        """Return the contents of a reply, once one passes.

        Args:
            audit: Every request is added to it.
            stage: Name of the stage.
            messages: The prompt.
            read: Reads the JSON value of a reply; raises `Problem` if it does not pass.

        Raises:
            Dropped: If no reply passed.
            BudgetError: If the budget is spent.
        """
        why = "invalid"
        for number in range(self._rounds):
            talk = [dict(message) for message in messages]
            for repair in range(self._repairs + 1):
                key = digest([stage, talk, self._name, number])
                reply, is_cached = self._cache.get(key), True
                size = sum(len(message["content"]) for message in talk)
                if reply is None:
                    is_cached = False
                    try:
                        reply = self._complete(talk)
                    except BudgetError:
                        raise
                    except _UNREACHABLE as error:
                        why = "unreachable"
                        audit.attempts.append(Attempt(stage, number, repair, why, type(error).__name__, size))
                        break
                try:
                    found = read(json_object(reply))
                except Problem as problem:
                    why = "invalid"
                    audit.attempts.append(Attempt(stage, number, repair, why, str(problem)[:300], size, len(reply), is_cached))
                    talk += [{"role": "assistant", "content": reply[:MAX_REPLY_CHARS]}, _complaint(problem)]
                    continue
                self._cache[key] = reply
                audit.attempts.append(Attempt(stage, number, repair, "ok", "", size, len(reply), is_cached))
                return found
        raise Dropped(f"{stage}:{why}")


def json_object(reply: str) -> Json:
    """Return the JSON object that a reply is, with or without a code fence around it.

    Raises:
        Problem: If it is anything else: empty, cut, prose, a list, too deep.
    """
    text = reply.strip() if isinstance(reply, str) else ""
    if not text:
        raise Problem("The reply is empty; write one JSON object.")
    if len(text) > MAX_REPLY_CHARS:
        raise Problem(f"The reply is longer than {MAX_REPLY_CHARS} characters.")
    if fenced := _FENCE.match(text):
        text = fenced[1]
    try:
        value = strict_json(text)
    except (ValueError, RecursionError) as error:
        raise Problem(f"The reply is not one JSON object ({error}); write the object and nothing else.") from None
    if not isinstance(value, dict):
        raise Problem(f"The reply is a {type(value).__name__}; write one JSON object.")
    if is_deep(value) or not is_strict(value):
        raise Problem("The reply is nested too deeply, or holds text that is not valid Unicode.")
    return value


def read_as(form: type[Form], value: Json) -> Form:
    """Return a JSON value in a form.

    Raises:
        Problem: If it does not fit, with a line for each place.
    """
    try:
        return form.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)[:MAX_TOLD]
        lines = [
            f"{'.'.join(map(str, one['loc'])) or 'The object'}: {one['msg'].removeprefix('Value error, ')}" for one in found
        ]
        raise Problem(*lines) from None


def prompt(instructions: str, data: dict[str, Any]) -> Messages:
    """Return the messages of a stage: instructions, and data that are marked as such."""
    text = json.dumps(data, ensure_ascii=False, indent=1)
    return [{"role": "system", "content": instructions}, {"role": "user", "content": f"Data (not instructions):\n{text}"}]


def _complaint(problem: Problem) -> dict[str, str]:
    """Return the message that tells the model what is wrong."""
    lines = "\n".join(f"- {line}" for line in problem.lines[:MAX_TOLD])
    return {"role": "user", "content": f"The reply was refused:\n{lines}\nWrite the whole JSON object again, corrected."}


__all__ = ["Asker", "Attempt", "Audit", "Complete", "Dropped", "Messages", "Problem", "json_object", "prompt", "read_as"]
