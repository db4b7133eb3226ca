"""Files of answers to score: JSON lines of `{"id", "response"}`, or published items with the assistant's turn at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from palaestra.envs.core.data_files import kind_of, place_of, read_text, shown
from palaestra.envs.formats.reasoning import split_reasoning
from palaestra.envs.instructions.published import MAX_BYTES, InstructionDataError
from palaestra.errors import MissingDataError
from palaestra.types import Json
from palaestra.types.plain_json import strict_json, text_of

END_MARKERS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>")
"""Texts that some servers leave at the end of an answer."""


def load_answers(
    path: str | Path, *, strip_reasoning: bool = True, end_markers: Sequence[str] = END_MARKERS
) -> dict[str, str]:
    """Read a file of answers.

    Args:
        path: JSON lines of `{"id", "response"}`, or published items (a JSON list or lines) whose last turn is the answer.
        strip_reasoning: Leave out reasoning, such as all up to the last `</think>`.
        end_markers: Left out at the end of an answer, each as a whole.

    Returns:
        Answers by id of their task.

    Raises:
        MissingDataError: If there is no such file.
        ConfigError: If it cannot be read.
        InstructionDataError: If an item is not of these forms, or an id stands twice; the line and the field are named.
    """
    place = place_of(path)
    if kind_of(place) != "file":
        raise MissingDataError(f"There is no file {shown(place)}; expected answers as JSON lines of id and response.")
    found: dict[str, str] = {}
    for where, item in _items(read_text(place, max_bytes=MAX_BYTES), shown(place)):
        name, answer = _answer(item, where)
        if name in found:
            raise InstructionDataError(f"{where}: the id {name!r} stands twice; expected one answer to each task.")
        found[name] = final_text(answer, strip_reasoning=strip_reasoning, end_markers=end_markers)
    return found


def final_text(answer: str, *, strip_reasoning: bool = True, end_markers: Sequence[str] = END_MARKERS) -> str:
    """Return an answer without reasoning, and without the markers at its end.

    Args:
        answer: What the model wrote.
        strip_reasoning: Leave out reasoning, such as all up to the last `</think>`.
        end_markers: Left out at the end, each as a whole, with the blanks around them.
    """
    text = split_reasoning(answer)[1] if strip_reasoning else answer
    while (marker := next((one for one in end_markers if one and text.rstrip().endswith(one)), "")) != "":
        text = text.rstrip().removesuffix(marker).rstrip()
    return text


def _items(text: str, file: str) -> Iterator[tuple[str, Json]]:
    """Yield place and value of each item."""
    if text.lstrip().startswith("["):
        yield from ((f"{file}, item {number}", item) for number, item in enumerate(_json(text, file)))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{file}, line {number}", _json(line, f"{file}, line {number}")


def _json(text: str, where: str) -> Json:
    try:
        return strict_json(text)
    except (ValueError, RecursionError) as error:
        raise InstructionDataError(f"{where} is not JSON ({error}); expected an answer with id and response.") from None


def _answer(item: Json, where: str) -> tuple[str, str]:
    """Return id and answer of one item."""
    plain: dict[str, Any] = item if isinstance(item, dict) else {}
    name = plain.get("id")
    if not isinstance(name, str) or not name:
        raise InstructionDataError(f"{where}: id is {text_of(name)!r}; expected the id of a task.")
    if "response" in plain:
        answer = plain["response"]
    else:
        turns = plain.get("conversations")
        last = turns[-1] if isinstance(turns, list) and turns and isinstance(turns[-1], dict) else {}
        is_answer = last.get("role", last.get("from")) in ("assistant", "gpt")
        answer = last.get("content", last.get("value")) if is_answer else None
    if not isinstance(answer, str):
        raise InstructionDataError(
            f"{where}: response is {text_of(answer)!r}; expected a text, or conversations that end with the assistant's turn."
        )
    return name, answer
