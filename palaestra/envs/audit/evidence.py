"""Evidence that something hidden is shown: a field that is it, a text that holds it, a fixed place where it stands, a name."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palaestra.envs.audit.figures import percent
from palaestra.envs.audit.hidden import ANSWER_NAME, MIN_LETTERS, following, frequencies, is_telling, text_of
from palaestra.envs.audit.shown import Case, Shown
from palaestra.envs.audit.texts import MAX_COMMAND, contains, excerpt, normal, words
from palaestra.types import Json

OFTEN = 0.8
"""Share of tasks in which a field or place has what is sought, for it to be a leak and not chance."""
MIN_TASKS = 4
LONG_WORD = 12
"""Letters of a word that is evidence if it is found in few tasks; so are values with digits, and of several words."""
MAX_OTHERS = 1
"""Other hidden values that a text may hold which leaks one; a text with more is a part of the world, rightly shown."""
SIGNIFICANT = 1e-3


@dataclass(frozen=True)
class Leak:
    """Something that was found.

    Attributes:
        reason: What it is.
        evidence: Where, and an example.
        is_sure: Whether it is a failure, and not a warning.
        is_of_one: Whether it may be a word that every task has, as only one was looked at: then nothing is judged.
    """

    reason: str
    evidence: Mapping[str, Json]
    is_sure: bool = True
    is_of_one: bool = False


def leaks_in(cases: Sequence[Case]) -> dict[str, list[Leak]]:
    """Return the leaks by channel."""
    found: dict[str, list[Leak]] = defaultdict(list)
    frequency = frequencies([case.sought for case in cases])
    places: dict[tuple[str, str], list[tuple[Case, Shown]]] = defaultdict(list)
    for case in cases:
        for shown in case.shown:
            places[shown.channel, shown.place].append((case, shown))
    for (channel, place), entries in places.items():
        for look in (_is_field, _holds, _fixed_place, _named):
            leak = look(place, entries, cases, frequency)
            if leak is not None:
                found[channel].append(leak)
                break
    return found


Entries = Sequence[tuple[Case, Shown]]


def _is_field(place: str, entries: Entries, cases: Sequence[Case], frequency: Mapping[str, float]) -> Leak | None:
    """A field whose value is what the expert says, task by task."""
    del frequency
    if entries[0][1].place in ("the first observation", "the observation of a step"):
        return None
    rows = [(case, shown, normal(shown.text)) for case, shown in entries]
    rows = [(case, shown, value) for case, shown, value in rows if value and case.sought.all_from(shown.turn)]
    rows = [row for row in rows if not (row[1].turn and contains(row[1].told, row[2]))]  # was told, or said, before
    if len({case.key for case, _, _ in rows}) < MIN_TASKS or len({value for _, _, value in rows}) < 2:
        return None
    hits = [(case, shown, value) for case, shown, value in rows if _said(case, shown, value)]
    rate = len(hits) / len(rows)
    if rate < OFTEN:
        return None
    chance = _chance(rows, cases)
    num = len({case.key for case, _, _ in hits})
    if chance**num > SIGNIFICANT or chance > rate - 0.2 or _is_public(hits, cases):
        return None
    case, _, value = hits[0]
    return Leak(
        f"{place} is what is to be found out in {percent(rate)} of the tasks, e.g. {value[:60]!r} in {case.key}.",
        {"place": place, "rate": rate, "by_chance": chance, "task": case.key, "value": value[:200]},
    )


def _said(case: Case, shown: Shown, value: str) -> bool:
    """Whether the expert will say a value, or its last words hold it."""
    sought = case.sought
    if value in sought.all_from(shown.turn):
        return True
    wholes = [v.text for v in sought.values if v.turn >= shown.turn and v.is_whole and "tool_call" not in v.text]
    return any(contains(text, value) for text in wholes if len(text.split()) <= MAX_COMMAND)


def _chance(rows: Sequence[tuple[Case, Shown, str]], cases: Sequence[Case]) -> float:
    """Return how often the values of a field would fit the other tasks."""
    fits = total = 0
    for case, shown, value in rows[:30]:
        for other in cases:
            if other.key != case.key:
                total += 1
                fits += _said(other, shown, value)
    return fits / total if total else 1.0


def _is_public(hits: Sequence[tuple[Case, Shown, str]], cases: Sequence[Case]) -> bool:
    """Whether the first observations say the values of a field, too, and at places that tell them from others."""
    num = said = 0
    precise: Counter[tuple[str, ...]] = Counter()
    total: Counter[tuple[str, ...]] = Counter()
    firsts = {case.key: words(text_of(case.play.observation)) for case in cases}
    values = {case.key: words(value) for case, _, value in hits}
    contexts: dict[str, set[tuple[str, ...]]] = {}
    for key, value in values.items():
        contexts[key] = set(_contexts(firsts[key], value))
    for key, first in firsts.items():
        for context in set().union(*contexts.values()) if contexts else ():
            found = [rest for rest in following(" ".join(first), context)] if context else []
            if found:
                total[context] += len(found)
                precise[context] += sum(rest[: len(values.get(key, ["\0"]))] == values.get(key) for rest in found)
    for key in values:
        num += 1
        said += any(precise[context] > total[context] / 2 for context in contexts[key])
    return num > 0 and said > num / 2


def _contexts(text: Sequence[str], value: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield one and two words that stand before each occurrence of a value."""
    size = len(value)
    for index in range(len(text) - size + 1):
        if list(text[index : index + size]) == list(value):
            for length in (1, 2, 3):
                if index >= length:
                    yield tuple(text[index - length : index])


def _holds(place: str, entries: Entries, cases: Sequence[Case], frequency: Mapping[str, float]) -> Leak | None:
    """A text with a long value that nothing had shown, and hardly any other hidden value."""
    if entries[0][1].channel == "observation":
        return None
    hits: dict[str, tuple[Case, Shown, str]] = {}
    is_constant = len(entries) > 1 and len({shown.text for _, shown in entries}) == 1  # tells tasks apart by their names only
    for case, shown in entries:
        text = normal(shown.text)
        if case.key in hits or len(text) < MIN_LETTERS:
            continue
        for value in case.sought.all_from(shown.turn):
            if not is_telling(value, frequency) or not contains(text, value):
                continue
            if contains(shown.told or case.sought.first, value) or (shown.channel == "error" and _is_due(case, shown, value)):
                continue
            if shown.channel not in ("tools", "instructions") and contains(case.sought.shown, value):
                continue
            others = sum(contains(text, other) for other in case.others)
            foreign = sum(
                any(is_telling(v, frequency) and v != value and contains(text, v) for v in other.sought.all_from(0))
                for other in cases
                if other.key != case.key
            )
            is_list = is_constant or foreign > MAX_OTHERS or _stands_anyway(value, case, entries)
            is_told = _looked_up(text, case, value) if is_list else others <= MAX_OTHERS
            if is_told:
                hits[case.key] = (case, shown, value)
                break
    if not any(_is_strong(value) for _, _, value in hits.values()) and len(hits) < len({case.key for case, _ in entries}) / 2:
        return None  # one word of a language, e.g. of those that an argument may have
    if len(hits) < 2 <= MIN_TASKS <= len(cases):
        return None  # one of many tasks: chance brings it, e.g. an example in the instructions
    num = len({case.key for case, _ in entries})
    case, shown, value = next(iter(hits.values()))
    return Leak(
        f"{place[0].upper()}{place[1:]} holds what is to be found out in {len(hits)} of {num} tasks, "
        f"e.g. {value[:60]!r} in {case.key}: {excerpt(shown.text, value)!r}.",
        {"place": place, "tasks": list(hits)[:10], "value": value[:200], "text": excerpt(shown.text, value, width=200)},
        is_of_one=len(cases) == 1
        and shown.channel in ("tools", "instructions")
        and not _looked_up(normal(shown.text), case, value),
    )


def _stands_anyway(value: str, case: Case, entries: Entries) -> bool:
    """Whether a place holds a value in most other tasks, too, in which it is not sought: it does not follow from the task."""
    others = [(other, shown) for other, shown in entries if other.key != case.key and value not in other.sought.all_from(0)]
    held = {other.key for other, shown in others if contains(normal(shown.text), value)}
    return len(held) > len({other.key for other, _ in others}) / 2


def _is_strong(value: str) -> bool:
    """Whether a value is more than a word of a language."""
    return len(value) >= LONG_WORD or any(letter.isdigit() or letter.isspace() for letter in value)


def _is_due(case: Case, shown: Shown, value: str) -> bool:
    """Whether the expert is told a value in the same line: a wrong action may take the turn that brings it, too."""
    lines = [normal(line) for line in shown.text.splitlines() if contains(normal(line), value)]
    told = [normal(text_of(step.observation)) for step in case.play.steps]
    return bool(lines) and all(any(contains(text, line) for text in told) for line in lines)


def _looked_up(text: str, case: Case, value: str) -> bool:
    """Whether a table in a text leads from the name of a task to a value."""
    for name in (normal(case.key), *case.marks):
        for found in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text) if name else ():
            if contains(text[found.end() : found.end() + len(value) + 10], value):
                return True
    return False


def _fixed_place(place: str, entries: Entries, cases: Sequence[Case], frequency: Mapping[str, float]) -> Leak | None:
    """A text with what solves the task after the same words in every task."""
    counts: Counter[tuple[str, ...]] = Counter()
    examples: dict[tuple[str, ...], tuple[Case, Shown, str]] = {}
    rows = []
    for case, shown in entries:
        is_asked_for = shown.channel == "observation" and shown.turn > 0  # what was looked up may well be the answer
        decisive = {value for value in case.sought.decisive_from(shown.turn, only_actions=is_asked_for) if value}
        if shown.channel == "error" or shown.turn == 0:
            decisive |= {value for value in case.sought.arguments() if not contains(case.sought.first, value)}
        if shown.channel == "error":
            decisive = {value for value in decisive if not contains(shown.told, value)}  # was in view before
        if not decisive:
            continue
        text = words(shown.text)
        rows.append((case, shown, text, decisive))
        found: set[tuple[str, ...]] = set()
        for value in decisive:
            for context in _contexts(text, value.split()):
                found.add(context)
                examples.setdefault(context, (case, shown, value))
        counts.update(found)
    if len({case.key for case, *_ in rows}) < MIN_TASKS:
        return None
    for context, count in counts.most_common(20):
        if count < 2:
            break
        rate, chance, keys, values = _precision(context, rows)
        if rate < OFTEN or len(values) < 2 or chance > rate - 0.2 or chance ** len(keys) > SIGNIFICANT:
            continue
        is_plain = rate == 1.0 and all(is_telling(value, frequency) for value in values)
        if len(keys) < (2 if is_plain else MIN_TASKS):
            continue
        case, shown, value = examples[context]
        at = " ".join(context)
        return Leak(
            f"{place[0].upper()}{place[1:]} has what solves the task after {at!r} in {len(keys)} tasks, "
            f"e.g. {value[:60]!r} in {case.key}.",
            {"place": place, "after": at, "rate": rate, "by_chance": chance, "task": case.key, "value": value[:200]},
        )
    return None


def _precision(context: tuple[str, ...], rows: Sequence[Any]) -> tuple[float, float, set[str], set[str]]:
    """Return how often what follows a context solves the own task and other tasks, in which tasks, and by which values."""
    right = total = foreign = compared = 0
    keys: set[str] = set()
    values: set[str] = set()
    for case, _, text, decisive in rows:
        for rest in following(" ".join(text), context):
            total += 1
            hit = next((value for value in decisive if rest[: len(value.split())] == value.split()), None)
            if hit is not None:
                right += 1
                keys.add(case.key)
                values.add(hit)
            for other, _, _, theirs in rows[:30]:
                if other.key != case.key:
                    compared += 1
                    foreign += any(rest[: len(value.split())] == value.split() for value in theirs)
    return right / total if total else 0.0, foreign / compared if compared else 1.0, keys, values


def _named(place: str, entries: Entries, cases: Sequence[Case], frequency: Mapping[str, float]) -> Leak | None:
    """A field that is called an answer, with a value that nothing else shows."""
    del cases, frequency
    path = place.removeprefix("info.").split(" of a step")[0].split(" after ")[0].split(" (")[0]
    if entries[0][1].channel != "info" or not ANSWER_NAME.search(f"_{path.split('.')[-1]}_"):
        return None
    rows = [(case, shown) for case, shown in entries if shown.text and not contains(shown.told, normal(shown.text))]
    if len(rows) < MIN_TASKS or len({shown.text for _, shown in rows}) < 2:
        return None
    case, shown = rows[0]
    return Leak(
        f"{place} is called an answer and shows what no text does, e.g. {excerpt(shown.text, width=60)!r} in {case.key}.",
        {"place": place, "task": case.key, "value": excerpt(shown.text, width=200)},
        is_sure=False,
    )


__all__ = ["Leak", "leaks_in"]
